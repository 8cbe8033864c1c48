"""The query language beside Microsoft's own parser of it: the same queries are wrong, and the columns of an answer are the same.

The parser is the npm package that the Azure portal's editor uses; it knows names and types, and runs nothing.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local_azure.kql import KqlError, evaluate
from local_azure.kql.functions import AGGREGATES, FUNCTIONS
from local_azure.kql.signatures import Function
from tests.clients import installing
from tests.local_azure.test_kql import NOW, Fixed

PACKAGE, VERSION, DAY = "@kusto/language-service-next", "12.4.1", "2026-11-20"
COLUMNS = Fixed().columns("T") or {}

ACCEPTED = """
T
T | where Host startswith 'web' and Load > 1 or not(Count == 2) | count
T | where Tags.env == 'dev' and Tags.x > 5 and Tags.env has 'a' and Tags.env in ('a', 'b')
T | where Host has_any ('a', 'b') and Host has_all ('a') and Host !in~ ('a') and Host matches regex 'a.*' and Host hasprefix 'w'
T | where Host in (T | where Load > 1 | project Host)
T | where Time between (ago(1d) .. now()) and Time !between (ago(1d) .. 1h)
T | where * has 'web'
T | take 2 | limit 1 | sample 1
T | project tolower(Host), tostring(Tags.env), Tags.env, Tags["env"], Tags.n[0], Host, Load * 2, bin(Time, 1h), toint(Count), 5, 'a'
T | project tolong(Load), floor(Load, 1), todatetime(Host), iff(true, Load, 1.0), round(Load, 1), startofday(Time), strlen(Host)
T | extend tolower(Host), Load * 2
T | extend tolong(Load), bin(Time, 1h), Tags.env
T | extend a = Tags.x + 1, b = Tags.x * 2.0, c = Tags.x > 5, d = Tags.x + Tags.y
T | extend Host = Load
T | extend ['a b'] = 1 | project ['a b']
T | extend row = pack_all() | project row
T | project-away *o*
T | project-keep C*, Host
T | project-rename M = Host
T | project-reorder T*, Host asc
T | summarize count(), avg(Load) by bin(Time, 1h), tolower(Host)
T | summarize sum(Load) / count(), round(avg(Load), 2), x = count() + 1, max(Load) - min(Load) by Host, tostring(Tags.env), Load > 2
T | summarize arg_max(Time, Host, Load), arg_min(Load, *) by Count
T | summarize mx = arg_max(Time, Host)
T | summarize (a, b) = arg_max(Time, Host)
T | summarize arg_max(Load + 1, Host, tolower(Host), x = Count)
T | summarize percentile(Load, 95), percentiles(Load, 5, 50), percentiles_array(Load, 5, 50), (p5, p50) = percentiles(Load, 5, 50)
T | summarize take_any(Host, Load), any(Host), take_any(*)
T | summarize max(Load + 1), sum(Load * 2), make_set(tolower(Host)), dcount(tolower(Host)), countif(Load > 1)
T | summarize count(), count()
T | summarize by Host
T | summarize Load = avg(Load), c = count() by Host = tolower(Host)
T | distinct Load * 2, tolower(Host)
T | distinct Host, l = Load
T | sort by Load asc nulls first, Host | top 2 by Count | order by Host desc
T | top 1 + 1 by Host
T | serialize rn = row_number()
T | order by Host | extend p = prev(Load), n = next(Load, 1, 0.0), rn = row_number(), cs = row_cumsum(Load)
T | make-series avg(Load) default=0 on Time from ago(1d) to now() step 1h by Host
T | make-series N = count(), max(Load) on Time from ago(1d) to now() step 1h
T | getschema
T | sample-distinct 2 of Host
T | count | as X
T | serialize | render timechart with (title='x')
T | union (T | project Host = Load), (print Count = 'x')
union withsource=Src T, (T | project Host)
union kind=outer T, (print Host = 1, y = 2)
union isfuzzy=true T, Nope
union T*
T | join (T | project Host, C2 = Count) on Host
T | join kind=inner (T | project Host, Load, x = 1) on Host, Load
T | join kind=leftsemi (T) on Host
T | join kind=leftanti (T) on Host
T | join kind=rightsemi (T | project Host, z = 1) on Host
T | join kind=rightanti (T | project Host, z = 1) on Host
T | join kind=rightouter (T | project Host, z = 1) on Host
T | join kind=leftouter hint.strategy=broadcast (T | project Host, z = 1) on Host
T | join kind=fullouter (T | project h = Host, z = 1) on $left.Host == $right.h
T | join (T | project Host, Host1 = 1) on Host
T | join T on Host
T | lookup (T | project Host, z = 1) on Host
T | lookup kind=inner (T | project h = Host, z = 1) on $left.Host == $right.h
T | mv-expand Tags
T | mv-expand n = Tags.n
T | mv-expand kind=array with_itemindex=i n = Tags.n to typeof(long), Tags limit 5
T | parse Host with Name '-' Num:int
T | parse-where Host with Name '-' Num:int *
T | parse kind=regex Host with Name '-+' Num:int
T | parse kind=relaxed flags=i Host with A 'x' B:datetime *
T | parse tostring(Tags) with A:long ',' B:real ',' C:datetime ',' D:timespan ',' E:bool ',' F:dynamic ',' G:guid
range x from 1 to 3 step 1
range x from 1 to 2.5 step 0.5
range d from ago(1d) to now() step 1h
datatable (a:int, b:string) [1, 'x', 2, 'y']
datatable (a:dynamic, t:datetime, s:timespan) [dynamic({"a":1}), datetime(2026-01-01), 1d]
let v = T | take 1; let n = 5; let f = (x:long, y:long = 2) { x * y + n }; v | extend z = f(1), w = f(2, 3)
let f = (a:string) { let b = strcat(a, 'x'); T | where Host == b }; f('x') | count
let g = (t:(Host:string)) { t | project Host }; g(T)
let h = view () { T | take 1 }; h()
let m = materialize(T | take 2); m | count
let n = 3; T | take n
let T = 5; print T
print 1, 2, a = 3, 4
print toint('1') + 1, toint('1') * toint('2'), 1 + 1.0, 7 % 2, 1.5 % 1, -toint(1)
print now() - now(), now() + 1d, 1d * 2, 2 * 1d, 1d / 1d, -1d
print iff(true, 1, 2.0), iff(true, 1, toint(1)), case(true, 1, 2.0), iff(true, dynamic(1), 2), coalesce(1, 2), max_of(1, 1.0)
print dynamic([1,2])[0], dynamic({"a": 1}).a, dynamic({'a b': 1})["a b"], parse_json('{"a": 1}').a
print datetime(2026-01-01), timespan(1d), timespan(01:02:03), 1.5h, 10ms, long(1), int(1), real(1)
print guid(74be27de-1e4e-49d9-b579-fe0b331d3642)
print h'secret', @'a\\b', 'a\\tb', "x'y", 0x1f, 1e3, bool(true), dynamic(null)
print toscalar(T | count), 1 in (1, 2), 5 between (1 .. 10), 'a' =~ 'A', true == 1, 1 == 1.0
T // comment
"""
REFUSED = """
T |
T take 1
T | where
T | where 5
T | where Load
T | where Tags.b
T | where Host + 1 == 2
T | where Nothing == 1
T | where Time > '2026'
T | where Time > 5
T | where Host has 5
T | where Load contains 'x'
T | where count() > 1
T | where Host in ()
T | where Host == 'a' | ;
T || take 1
T | take 'a'
T | count x
T | project Nothing
T | project a = Host, a = Load
T | project a = 1, b = a + 1
T | extend
T | extend x = Host + Host
T | extend x = Host.y
T | extend x = nosuch(1)
T | extend x = strlen()
T | extend x = strlen('a', 'b')
T | extend a = 1, b = a + 1
T | project-away Nothing
T | project-away N*
T | project-keep Nothing
T | project-rename A = Nothing
T | project-rename Host = Load
T | sort by Nothing
T | sort by Tags
T | sort Host
T | top Load by Host
T | top 5 by Host, Load
T | summarize nosuch(1)
T | summarize a = count(), b = a
T | summarize sum(Host)
T | summarize avg(Tags.x)
T | summarize countif(Load)
T | summarize count() by
T | summarize count() by Tags
T | distinct *
T | distinct
T | join (T)
T | join (Nope) on Host
T | join (T) on Nope
T | join kind=nosuch (T) on Host
T | join kind=leftsemi (T) on $left.Host == $right.Load
T | mv-expand Host
T | mv-expand Nothing
T | parse Host with A B
T | parse Host with * 'x' A:nosuch
T | evaluate nosuch()
T | nosuchop x
T | union
Nowhere | take 1
union T, T2
range x from 1 to 2
datatable (a:int, b:string) [1]
datatable (a:nosuch) [1]
let x = 5; let x = 6; print x
let f = () { f() }; print f()
let f = (x:int) { x + 1 }; print f()
print x
print
print a = 1, a = 2
print -'a'
print 1 + true
print 1d + 1
print 1d > 1
print 'a' + 'b'
print 'a' > 'b'
print not(1)
print true and 1
print 5 between ('a' .. 'b')
print coalesce('a', 1)
print case(true, 1)
print strcat()
print bin(1)
print bin(now(), 1)
print bin(1, 1d)
print startofday('a')
print datetime_add('x', 1, now())
print strlen(1)
print pack_array()
print 1 < 2 < 3
"""
SAMPLES = {
    "s": "'a'",
    "n": "1.0",
    "i": "1",
    "d": "now()",
    "t": "1d",
    "y": "dynamic([1])",
    "b": "true",
    "q": "1",
    "x": "1",
    "o": "1",
    "u": "1.0",
}
BAG = "dynamic({'a': 1})"
OTHERS = {
    "bag_has_key": f"bag_has_key({BAG}, 'a')",
    "bag_keys": f"bag_keys({BAG})",
    "bag_merge": f"bag_merge({BAG}, {BAG})",
    "bag_remove_keys": f"bag_remove_keys({BAG}, dynamic(['a']))",
    "datetime_add": "datetime_add('day', 1, now())",
    "datetime_diff": "datetime_diff('day', now(), now())",
    "datetime_part": "datetime_part('day', now())",
    "extract_all": "extract_all('(a)', 'b')",
    "indexof": "indexof('a', 'b')",
    "make_bag": f"make_bag({BAG})",
    "make_bag_if": f"make_bag_if({BAG}, true)",
    "parse_json": "parse_json('1')",
    "todynamic": "todynamic('1')",
    "toguid": "toguid('1')",
    "toobject": "toobject('1')",
}


def lines(text: str) -> list[str]:
    return [line for line in text.strip().splitlines() if line]


def sample(name: str, function: Function) -> str:
    """A call of a function with as few arguments as it takes."""
    return OTHERS.get(name) or f"{name}({', '.join(SAMPLES[function.kind(at)] for at in range(function.fewest))})"


def calls() -> list[str]:
    """A query for every function and every aggregate."""
    aggregates = {name: Function(one.takes, "", one.run) for name, one in AGGREGATES.items()}
    return [f"print x = {sample(name, one)}" for name, one in FUNCTIONS.items()] + [
        f"T | summarize {sample(name, one)}" for name, one in aggregates.items()
    ]


@pytest.fixture(scope="module")
def oracle() -> dict[str, dict[str, Any]]:
    """What Microsoft's parser says of every query here."""
    folder = installing.npm(PACKAGE, VERSION, before=DAY) / "node_modules" / PACKAGE
    queries = [*lines(ACCEPTED), *lines(REFUSED), *calls()]
    request = json.dumps({"schema": {"T": list(COLUMNS.items())}, "queries": queries})
    command = ["node", str(Path(__file__).with_name("kusto.js")), str(folder)]
    done = subprocess.run(command, input=request, capture_output=True, text=True, check=True)
    return dict(zip(queries, json.loads(done.stdout), strict=True))


def ours(query: str) -> list[list[str]]:
    table = evaluate(query, Fixed(), NOW)
    list(table.rows)
    return [[name, kind] for name, kind in table.columns.items()]


@pytest.mark.parametrize("query", [*lines(ACCEPTED), *calls()])
def test_columns_are_those_of_microsofts_parser(oracle: dict[str, dict[str, Any]], query: str) -> None:
    """What it accepts runs here, with columns of the same names and types (a decimal is a real here)."""
    theirs = oracle[query]
    assert theirs["errors"] == []
    named = [[name, {"decimal": "real"}.get(kind, kind)] for name, kind in theirs["columns"]]
    assert ours(query) == named


@pytest.mark.parametrize("query", lines(REFUSED))
def test_what_microsofts_parser_refuses_is_refused(oracle: dict[str, dict[str, Any]], query: str) -> None:
    """What it calls wrong is an error here, with a place in the query."""
    assert oracle[query]["errors"]
    with pytest.raises(KqlError) as refused:
        ours(query)
    assert 0 <= refused.value.position <= len(query)
