"""The query language: what each operator and function gives, and how wrong queries are refused."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local_azure.kql import Columns, KqlError, Row, Source, answer, evaluate, wire_value
from local_azure.kql.functions import FUNCTIONS
from local_azure.kql.operators import OPERATORS

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
DYNAMIC = '["2026-01-02T00:00:00.0000000Z",-1,"01:30:00",true,null,{"a":"b"}]'
OTHERS = ["web-02", "db-01", "WEB-01"]
WORDS = [
    f" {word} "
    for word in [*OPERATORS, *FUNCTIONS, "by", "on", "kind=", "$left", "let", "dynamic", "datetime", "1d", "with", "to"]
]


class Fixed(Source):
    """One table of four rows."""

    def names(self) -> Iterable[str]:
        return ["T"]

    def columns(self, name: str) -> Columns | None:
        return (
            {"Time": "datetime", "Host": "string", "Load": "real", "Count": "long", "Tags": "dynamic"}
            if name == "T"
            else None
        )

    def rows(self, name: str) -> Iterable[Row]:
        return [
            {
                "Time": NOW - timedelta(minutes=90),
                "Host": "web-01",
                "Load": 1.5,
                "Count": 2,
                "Tags": {"env": "dev", "n": [1, 2]},
            },
            {"Time": NOW - timedelta(minutes=50), "Host": "web-02", "Load": 3.5, "Count": 4, "Tags": {"env": "prod"}},
            {"Time": NOW - timedelta(minutes=20), "Host": "db-01", "Load": None, "Count": 6, "Tags": None},
            {"Time": NOW - timedelta(minutes=5), "Host": "WEB-01", "Load": 2.0, "Count": 8, "Tags": {"env": "dev"}},
        ]


def run(query: str) -> tuple[dict[str, str], list[list[Any]]]:
    table = evaluate(query, Fixed(), NOW)
    return table.columns, [
        [wire_value(row.get(name), kind) for name, kind in table.columns.items()] for row in table.rows
    ]


def value(expression: str) -> Any:
    return run(f"print x = {expression}")[1][0][0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 / 2", 3),
        ("7.0 / 2", 3.5),
        ("7 % 4", 3),
        ("-5 + 2", -3),
        ("1 / 0", None),
        ("'a' == 'A'", False),
        ("'a' =~ 'A'", True),
        ("'abc' contains 'BC'", True),
        ("'a b c' has 'b'", True),
        ("'abc' has 'b'", False),
        ("'abc' startswith 'AB' and not('abc' endswith 'x')", True),
        ("2 in (1, 2, 3)", True),
        ("'B' in~ ('a', 'b')", True),
        ("2 !in (1, 3)", True),
        ("5 between (1 .. 10)", True),
        ("1 == 1 or 1 == 2", True),
        ("1h + 30m", "01:30:00"),
        ("2 * 1d", "2.00:00:00"),
        ("1d / 1h", 24.0),
        ("now()", "2026-05-01T12:00:00.0000000Z"),
        ("ago(1d)", "2026-04-30T12:00:00.0000000Z"),
        ("datetime(2026-01-02) - datetime(2026-01-01)", "1.00:00:00"),
        ("datetime(2026-01-02T03:04:05Z) + 1h", "2026-01-02T04:04:05.0000000Z"),
        ("bin(datetime(2026-01-02T03:44:05Z), 1h)", "2026-01-02T03:00:00.0000000Z"),
        ("bin(17, 5)", 15),
        ("startofday(now())", "2026-05-01T00:00:00.0000000Z"),
        ("strcat('a', 1, true)", "a1true"),
        ("strlen('abc')", 3),
        ("toupper('a')", "A"),
        ("substring('abcdef', 2, 3)", "cde"),
        ("iff(1 > 2, 'y', 'n')", "n"),
        ("case(1 > 2, 'a', 2 > 1, 'b', 'c')", "b"),
        ("coalesce('', 'b')", "b"),
        ("isempty('')", True),
        ("isnull(int(null))", True),
        ("toint('12')", 12),
        ("todouble('x')", None),
        ("tostring(1.5)", "1.5"),
        ("round(1.2345, 2)", 1.23),
        ("parse_json('{\"a\": [1, 2]}').a[1]", "2"),
        ("dynamic([1, 2])[0]", "1"),
        ("extract('b', 0, tostring(parse_json('[\"\\\\ud800b\"]')[0]))", "b"),
        ("extract('b', 0, '\\ud800b')", "b"),
        ("parse_json('[1e999]')", "[null]"),
        ("dynamic([datetime(2026-01-02), -1, 1.5h, true, null, {'a': \"b\"}])", DYNAMIC),
        ("datetime(0001-01-02)", "0001-01-02T00:00:00.0000000Z"),
        ("timespan(1.02:03:04)", "1.02:03:04"),
        ("@'a\\b'", "a\\b"),
        ("'it\\'s'", "it's"),
        ("9223372036854775807 + 1", None),
        ("-7 / 2", -3),
        ("-14 % 12", 10),
        ("14 % -12", 2),
        ("bin(-7, 5)", -10),
        ("'log_reader' has 'reader'", True),
        ("'Web' has_cs 'web'", False),
        ("'web-01' hasprefix 'WE' and 'web-01' hassuffix '1'", True),
        ("'abc' has_any ('x', 'abc')", True),
        ("'a b' has_all ('a', 'c')", False),
        ("'abc' matches regex '^a.c$'", True),
        ("1 in (dynamic([1, 2]))", True),
        ("datetime(2026-01-05) between (datetime(2026-01-01) .. 7d)", True),
        ("extract('([a-z]+)([0-9]+)', 2, 'abc123')", "123"),
        ("extract('x', 0, 'abc')", ""),
        ("extract_all('([a-z])([0-9])', 'a1 b2')", '[["a","1"],["b","2"]]'),
        ("replace_regex('a1b2', '([a-z])([0-9])', '\\\\2\\\\1')", "1a2b"),
        ("replace_string('aXbX', 'X', '--')", "a--b--"),
        ("split('a,b,c', ',')", '["a","b","c"]'),
        ("split('a,b,c', ',', 1)", '["b"]'),
        ("strcat_array(dynamic(['a', 1]), '-')", "a-1"),
        ("strcat_delim('-', 'a', 1)", "a-1"),
        ("trim('-+', '--a--')", "a"),
        ("indexof('abcabc', 'c', 3)", 5),
        ("countof('aaa', 'aa')", 2),
        ("substring('abcdef', -2)", "ef"),
        ("url_decode(url_encode('a b/c'))", "a b/c"),
        ("base64_decode_tostring(base64_encode_tostring('Kusto'))", "Kusto"),
        ("parse_url('https://u@h:8/p?a=1#f').Host", "h"),
        ("ipv4_is_in_range('10.0.0.4', '10.0.0.0/24')", True),
        ("format_datetime(datetime(2026-01-02 03:04:05), 'yyyy-MM-dd HH:mm')", "2026-01-02 03:04"),
        ("format_timespan(1d + 2h, 'd.hh:mm')", "1.02:00"),
        ("datetime_add('month', 1, datetime(2026-01-31))", "2026-02-28T00:00:00.0000000Z"),
        ("datetime_diff('day', datetime(2026-01-02), datetime(2026-01-01 23:00))", 1),
        ("datetime_diff('month', datetime(2026-03-01), datetime(2025-12-31))", 3),
        ("endofday(datetime(2026-01-02))", "2026-01-02T23:59:59.9999990Z"),
        ("startofweek(datetime(2026-01-07))", "2026-01-04T00:00:00.0000000Z"),
        ("startofmonth(datetime(2026-03-07), -1)", "2026-02-01T00:00:00.0000000Z"),
        ("dayofweek(datetime(2026-01-07))", "3.00:00:00"),
        ("make_datetime(2026, 1, 2, 3, 4, 5)", "2026-01-02T03:04:05.0000000Z"),
        ("unixtime_seconds_todatetime(0)", "1970-01-01T00:00:00.0000000Z"),
        ("totimespan('1.02:03:04')", "1.02:03:04"),
        ("array_length(dynamic([1, 2]))", 2),
        ("array_slice(dynamic([1, 2, 3, 4]), 1, -2)", "[2,3]"),
        ("array_sort_desc(dynamic([1, 3, 2]))", "[3,2,1]"),
        ("array_index_of(dynamic(['a', 'b']), 'b')", 1),
        ("set_difference(dynamic([1, 2]), dynamic([2]))", "[1]"),
        ("bag_keys(dynamic({'a': 1, 'b': 2}))", '["a","b"]'),
        ("bag_pack('a', 1, 'b', dynamic([2]))", '{"a":1,"b":[2]}'),
        ("bag_merge(dynamic({'a': 1}), dynamic({'a': 2, 'b': 3}))", '{"a":1,"b":3}'),
        ("range(1, 7, 3)", "[1,4,7]"),
        ("pack_array(1, 'a', 1d)", '[1,"a","1.00:00:00"]'),
        ("tolong('0x1f')", 31),
        ("tolong(1.9)", 1),
        ("toint('9999999999')", None),
        ("tobool('TRUE')", True),
        ("tostring(dynamic({'a': [1, null]}))", '{"a":[1,null]}'),
        ("parse_json('nonsense')", "nonsense"),
        ("max_of(1, 3, 2)", 3),
        ("sqrt(-1)", None),
        ("pow(10, 400)", None),
        ("toscalar(T | count)", 4),
        ("column_ifexists('none', 5)", 5),
        ("h'secret'", "secret"),
        ("```a\nb```", "a\nb"),
        ("'\\u0041'", "A"),
    ],
)
def test_expressions(expression: str, expected: Any) -> None:
    """Each expression has the value that Kusto gives it."""
    assert value(expression) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("T | count", [[4]]),
        ("T | where Host startswith 'web' | count", [[3]]),
        ("T | filter Load > 1.8 | project Host, Double = Load * 2", [["web-02", 7.0], ["WEB-01", 4.0]]),
        ("T | where Time > ago(1h) | project Host | take 2", [["web-02"], ["db-01"]]),
        ("T | where isnull(Load) | project-keep Host", [["db-01"]]),
        ("T | where Tags.env == 'dev' | count", [[2]]),
        ("T | project-away Time, Tags, Load, Count | limit 1", [["web-01"]]),
        ("T | project Host, Load | order by Load asc | take 2", [["db-01", None], ["web-01", 1.5]]),
        ("T | project Host, Load | sort by Load desc | take 2", [["web-02", 3.5], ["WEB-01", 2.0]]),
        ("T | project Host, Load | sort by Load desc nulls first | take 1", [["db-01", None]]),
        ("T | top 1 by Count | project Host", [["WEB-01"]]),
        (
            "T | extend Kind = tolower(substring(Host, 0, 2)) | summarize count() by Kind | order by Kind asc",
            [["db", 1], ["we", 3]],
        ),
        ("T | summarize sum(Count), avg(Load), min(Load), max(Host), dcount(Host)", [[20, 7 / 3, 1.5, "web-02", 4]]),
        (
            "T | summarize N = countif(Count > 4) by bin(Time, 1h) | order by Time asc",
            [["2026-05-01T10:00:00.0000000Z", 0], ["2026-05-01T11:00:00.0000000Z", 2]],
        ),
        ("T | summarize arg_max(Time, Host)", [["2026-05-01T11:55:00.0000000Z", "WEB-01"]]),
        ("T | where false | summarize count()", [[0]]),
        ("T | where false | summarize count() by Host", []),
        ("T | summarize make_list(Count)", [["[2,4,6,8]"]]),
        ("T | summarize percentile(Count, 50)", [[4]]),
        ("T | distinct tostring(Tags.env) | count", [[3]]),
        ("T | project-rename Machine = Host | project Machine | take 1", [["web-01"]]),
        ("union T, T | count", [[8]]),
        ("(T | take 1) | count", [[1]]),
        ("let limit_ = 2; let recent = T | where Count > limit_; recent | count", [[3]]),
        ("T // comment\n| take 1 | project ['Host'] | render timechart", [["web-01"]]),
        ("print a = 1, b = 'x', 3", [[1, "x", 3]]),
        ("T | where Host in (T | where Count > 4 | project Host) | count", [[2]]),
        ("T | where * has '01' | count", [[3]]),
        ("T | project-away T*, L*, C* | take 1", [["web-01"]]),
        ("T | project-reorder Count, H* | project-keep Host, Count | take 1", [[2, "web-01"]]),
        (
            "T | mv-expand n = Tags.n | project Host, n",
            [["web-01", "1"], ["web-01", "2"], *[[one, None] for one in OTHERS]],
        ),
        ("print a = dynamic([]) | mv-expand a", []),
        ("print a = dynamic([1, 'x', 2]) | mv-expand with_itemindex=i a to typeof(long) limit 2", [[1, 0], [None, 1]]),
        ("print a = dynamic([1, 2]), b = dynamic([3]) | mv-expand a, b", [["1", "3"], ["2", None]]),
        ("print a = dynamic({'x': 1, 'y': 2}) | mv-expand a", [['{"x":1}'], ['{"y":2}']]),
        ("print a = dynamic({'x': 1}) | mv-expand kind=array a", [['["x",1]']]),
        ("T | parse Host with Kind '-' Number:int | project Kind, Number | take 1", [["web", 1]]),
        ("T | parse-where Host with 'db' * '-' Number:long | project Number", [[1]]),
        ("T | parse Host with 'db-' Number:long | summarize countif(isnull(Number))", [[3]]),
        ("print s = 'a=1, b=x' | parse s with 'a=' A:int ', b=' B:int | project A, B", [[None, None]]),
        ("print s = 'a=1, b=x' | parse kind=relaxed s with 'a=' A:int ', b=' B:int | project A, B", [[1, None]]),
        (
            "print s = 'GET /a 200' | parse kind=regex s with Verb '\\\\s+' Path ' ' Code:int | project Verb, Path, Code",
            [["GET", "/a", 200]],
        ),
        ("T | summarize Share = round(100.0 * countif(Count > 2) / count(), 1)", [[75.0]]),
        (
            "T | summarize make_set(tolower(Host)), make_list_if(Count, Load > 1.8)",
            [['["web-01","web-02","db-01"]', "[4,8]"]],
        ),
        (
            "T | summarize sumif(Count, Load > 1.8), dcountif(Host, Count > 2), take_anyif(Host, Count == 6)",
            [[12, 3, "db-01"]],
        ),
        (
            "T | summarize percentiles(Count, 25, 50, 99), round(stdev(Count), 3), variance(Count)",
            [[2, 4, 8, 2.582, 20 / 3]],
        ),
        ("T | summarize (t, host) = arg_min(Count, Host)", [[2, "web-01"]]),
        (
            "T | summarize arg_max(Count, *) by Kind = substring(tolower(Host), 0, 2) | project Kind, Host",
            [["we", "WEB-01"], ["db", "db-01"]],
        ),
        ("T | summarize make_bag(bag_pack(Host, Count))", [['{"web-01":2,"web-02":4,"db-01":6,"WEB-01":8}']]),
        ("T | sample-distinct 2 of Host", [["web-01"], ["web-02"]]),
        ("T | as X | union X | count", [[8]]),
        ("union withsource=S (T | take 1), T | summarize count() by S", [["union_arg0", 1], ["T", 4]]),
        ("union kind=inner (T | project Host, Load), (T | project Host) | take 1", [["web-01"]]),
        ("union isfuzzy=true T, Nowhere | count", [[4]]),
        ("print x = 'a' | project-away x | union (print x = 'b')", [[""], ["b"]]),
        ("union T* | count", [[4]]),
        ("union (print a = 1), (print a = 'x')", [[1, ""], [None, "x"]]),
        ("print x = 1 | join kind=fullouter (print x = 2) on x", [[1, None], [None, 2]]),
        ("T | join kind=inner (T | project Host, N = Count) on Host | summarize sum(N)", [[20]]),
        ("T | lookup (print Host = 'db-01', Owner = 'ann') on Host | project Owner", [[""], [""], ["ann"], [""]]),
        ("T | summarize count() + toscalar(T | summarize count()) + max(Count)", [[16]]),
        (
            "T | sort by Count | extend r = toscalar(T | sort by Count | extend q = row_number() | summarize max(q)) "
            "+ row_number() | summarize sum(r)",
            [[26]],
        ),
        ("range x from 3 to 1 step -1", [[3], [2], [1]]),
        (
            "T | sort by Count asc | extend p = prev(Count), n = next(Count, 2, 0), r = row_number(), s = row_cumsum(Count) "
            "| project p, n, r, s",
            [[None, 6, 1, 2], [2, 8, 2, 6], [4, 0, 3, 12], [6, 0, 4, 20]],
        ),
        ("T | sort by Count asc | where row_number() == 3 or prev(Count) == 6 | project Count", [[6], [8]]),
        (
            "T | make-series N = count() default=0, L = max(Load) on Time from ago(2h) to now() step 1h "
            "by K = substring(Host, 0, 2) | project K, N, L | sort by K asc",
            [["WE", "[0,1]", "[null,2.0]"], ["db", "[0,1]", "[null,null]"], ["we", "[1,1]", "[1.5,3.5]"]],
        ),
        (
            "print x = 5 | make-series sum(x) default=0 on x from 4 to 7 step 1",
            [["[0,5,0]", "[4,5,6]"]],
        ),
        ("range d from datetime(2026-01-01) to datetime(2026-01-02) step 1d | count", [[2]]),
        ("datatable (a:int, b:string) [1, 'x', 2, 'y'] | where b == 'y'", [[2, "y"]]),
        ("let f = (x:long, y:long = 2) { let z = x * y; z + 1 }; T | project n = f(Count) | take 2", [[5], [9]]),
        ("let f = (t:(Host:string), n:long) { t | take n }; f(T, 2) | count", [[2]]),
        ("let f = (h:string) { T | where Host == h }; f('db-01') | project Count", [[6]]),
        ("let m = materialize(T | take 2); m | union m | count", [[4]]),
        ("set notruncation; let x = 5; print x", [[5]]),
        ("T | render timechart with (title='a|b') ", None),
        ("T | getschema | project ColumnName, ColumnType | take 1", [["Time", "datetime"]]),
    ],
)
def test_operators(query: str, expected: list[list[Any]] | None) -> None:
    """Each operator gives the rows that Kusto gives (`None`: those of the table)."""
    assert run(query)[1] == (run("T")[1] if expected is None else expected)


JOINED = {
    "innerunique": [(1, "a", 1, "x"), (1, "a", 1, "y")],
    "inner": [(1, "a", 1, "x"), (1, "a", 1, "y"), (1, "b", 1, "x"), (1, "b", 1, "y")],
    "leftouter": [
        (1, "a", 1, "x"),
        (1, "a", 1, "y"),
        (1, "b", 1, "x"),
        (1, "b", 1, "y"),
        (2, "c", None, ""),
        (None, "n", None, ""),
    ],
    "rightouter": [
        *[(1, "a", 1, "x"), (1, "a", 1, "y"), (1, "b", 1, "x"), (1, "b", 1, "y")],
        *[(None, "", 3, "z"), (None, "", None, "m")],
    ],
    "fullouter": [
        *[(1, "a", 1, "x"), (1, "a", 1, "y"), (1, "b", 1, "x"), (1, "b", 1, "y")],
        *[(2, "c", None, ""), (None, "n", None, ""), (None, "", 3, "z"), (None, "", None, "m")],
    ],
    "leftanti": [(2, "c"), (None, "n")],
    "leftsemi": [(1, "a"), (1, "b")],
    "rightanti": [(3, "z"), (None, "m")],
    "rightsemi": [(1, "x"), (1, "y")],
}


@pytest.mark.parametrize("kind", JOINED)
def test_joins(kind: str) -> None:
    """Each kind of join gives its rows; a null key meets nothing."""
    left = "datatable (k:long, l:string) [1, 'a', 1, 'b', 2, 'c', long(null), 'n']"
    right = "datatable (k:long, r:string) [1, 'x', 1, 'y', 3, 'z', long(null), 'm']"
    assert [tuple(row) for row in run(f"{left} | join kind={kind} ({right}) on k")[1]] == JOINED[kind]
    if kind == "innerunique":
        assert [tuple(row) for row in run(f"{left} | join ({right}) on k")[1]] == JOINED[kind]


ROWS = st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.integers(-3, 3)), max_size=8)


def table(rows: list[tuple[int | None, int]]) -> str:
    """Rows as a query."""
    values = ", ".join(f"{'long(null)' if key is None else key}, {value}" for key, value in rows)
    return f"(datatable (k:long, v:long) [{values}])"


@given(ROWS, ROWS)
def test_joins_agree_with_nested_loops(left: list[tuple[int | None, int]], right: list[tuple[int | None, int]]) -> None:
    """inner, anti and semi joins give what comparing every pair of rows gives."""

    def joined(kind: str) -> list[tuple[Any, ...]]:
        return sorted(map(tuple, run(f"{table(left)} | join kind={kind} {table(right)} on k")[1]), key=str)

    pairs = [(*one, *other) for one in left for other in right if one[0] is not None and one[0] == other[0]]
    assert joined("inner") == sorted(pairs, key=str)
    keys = {key for key, _ in right if key is not None}
    assert joined("leftsemi") == sorted([one for one in left if one[0] in keys], key=str)
    assert joined("leftanti") == sorted([one for one in left if one[0] not in keys], key=str)


@given(ROWS)
def test_groups_and_order_agree_with_python(rows: list[tuple[int | None, int]]) -> None:
    """summarize, distinct, sort and top give what a dictionary, a set and `sorted` give."""
    groups: dict[int | None, list[int]] = {}
    for key, value in rows:
        groups.setdefault(key, []).append(value)
    made = run(f"{table(rows)} | summarize count(), sum(v), min(v), max(v), avg(v), dcount(v) by k")[1]
    assert {one[0]: one[1:] for one in made} == {
        key: [len(held), sum(held), min(held), max(held), sum(held) / len(held), len(set(held))]
        for key, held in groups.items()
    }
    assert sorted(map(str, run(f"{table(rows)} | distinct k, v")[1])) == sorted(str([*one]) for one in set(rows))
    ordered = run(f"{table(rows)} | sort by v asc, k desc")[1]
    assert ordered == [list(one) for one in sorted(rows, key=lambda one: (one[1], one[0] is None, -(one[0] or 0)))]
    assert run(f"{table(rows)} | top 2 by v asc")[1] == run(f"{table(rows)} | sort by v asc | take 2")[1]


MARKS = ["T", *"|() ,=<>.'\"[]{}*-+/%;:$x1aé\n\t"]


@given(st.lists(st.sampled_from(MARKS) | st.sampled_from(WORDS), max_size=30).map("".join))
def test_whatever_is_written_is_an_answer_or_an_error(query: str) -> None:
    """No text makes anything but rows or a `KqlError`."""
    try:
        run(query)
    except KqlError as error:
        assert error.kind in ("SyntaxError", "SemanticError")


ATOMS = (
    *(
        "Time",
        "Host",
        "Load",
        "Count",
        "Tags",
        "Tags.env",
        "Tags.n[0]",
        "1",
        "-1",
        "9223372036854775807",
        "1.5",
        "1e308",
    ),
    *(
        "''",
        "'web-01'",
        "'('",
        "true",
        "now()",
        "datetime(0001-01-01)",
        "datetime(9999-12-31)",
        "1d",
        "-1tick",
        "10000000d",
    ),
    *(
        "dynamic([1, 'a', null, {'x': 1}])",
        "dynamic({})",
        "int(null)",
        "datetime(null)",
        "'day'",
        "row_number()",
        "prev(Load)",
    ),
)
TESTS = (*"+-*/%<>", "==", "!=", "=~", "has", "contains", "startswith_cs", "and", "or", "matches regex")
STEPS = (
    *(
        "where {0} == {1}",
        "extend x = {0}, {1}",
        "project x = {0}, Host, Time, Load, Count, Tags",
        "distinct {0}",
        "count",
    ),
    *(
        "summarize max({0}), y = dcount({1}) by x = {2}",
        "summarize arg_max({0}, *) by Host",
        "sort by {0}",
        "top 3 by {0} asc",
    ),
    *(
        "mv-expand x = {0}",
        "mv-expand kind=array x = Tags to typeof(guid)",
        "union (T | extend x = {0})",
        "project-away x*",
    ),
    *(
        "join kind=fullouter (T | extend x = {0}) on Host",
        "parse Host with A '-' B:datetime",
        "serialize r = row_number()",
    ),
    *(
        "make-series sum({0}) default={1} on Time from ago(2h) to now() step 1h by Host",
        "summarize make_list({0}), avg({1})",
    ),
)
SHAPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "dynamic": str,
    "datetime": str,
    "timespan": str,
    "guid": str,
    "bool": bool,
    "real": (int, float),
}


def expression(chance: Random, depth: int = 0) -> str:
    """An expression that can be read, and may or may not make sense."""
    if depth > 2 or chance.random() < 0.4:
        return chance.choice(ATOMS)
    left, right = expression(chance, depth + 1), expression(chance, depth + 1)
    if chance.random() < 0.3:
        return f"({left} {chance.choice(TESTS)} {right})"
    name = chance.choice(list(FUNCTIONS))
    count = chance.randint(FUNCTIONS[name].fewest, min(FUNCTIONS[name].most, 4))
    return f"{name}({', '.join(expression(chance, depth + 1) for _ in range(count))})"


@settings(max_examples=400)
@given(st.randoms(use_true_random=False))
def test_every_value_is_of_its_columns_type(chance: Random) -> None:
    """Whatever is asked for, an answer's values are what its columns say, or the query is refused."""
    steps = [chance.choice(STEPS).format(*(expression(chance) for _ in range(3))) for _ in range(chance.randint(1, 3))]
    query = " | ".join(["T", *steps])
    try:
        columns, rows = answer(query, Fixed(), NOW)
    except KqlError:
        return
    for row in rows:
        for (name, kind), held in zip(columns.items(), row, strict=True):
            right = held is None or (
                isinstance(held, SHAPES.get(kind, int)) and isinstance(held, bool) <= (kind == "bool")
            )
            assert right or kind == "dynamic", (query, name, kind, held)


def test_json_that_is_too_deep_is_text() -> None:
    """JSON nested deeper than it can be read is kept as the text it is."""
    assert value("gettype(parse_json(strcat(strrep('[', 100000), strrep(']', 100000))))") == "string"


def test_columns_are_typed() -> None:
    """The columns of an answer have names and types, computed ones too."""
    assert run("T | summarize count(), avg(Load) by Host")[0] == {
        "Host": "string",
        "count_": "long",
        "avg_Load": "real",
    }
    assert run("print 1, y = 2h")[0] == {"print_0": "long", "y": "timespan"}


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("T |", "SyntaxError"),
        ("T | where", "SyntaxError"),
        ("T take 1", "SyntaxError"),
        ("T | take 'x'", "SyntaxError"),
        ("T | join (T)", "SyntaxError"),
        ("print 'a", "SyntaxError"),
        ("print (1", "SyntaxError"),
        ("T | where Host matches regex '(?=a)'", "SemanticError"),
        ("Nowhere | take 1", "SemanticError"),
        ("T | where Nothing == 1", "SemanticError"),
        ("T | project Nothing", "SemanticError"),
        ("T | where Host == 5", "SemanticError"),
        ("T | where Host", "SemanticError"),
        ("T | extend p = prev(Load)", "SemanticError"),
        ("T | serialize | extend x = toscalar(print row_number())", "SemanticError"),
        ("T | serialize | extend x = prev(Load, row_number())", "SemanticError"),
        ("T | summarize x = column_ifexists(tostring(count()), 1)", "SemanticError"),
        ("T | sort by Host | summarize count() | extend r = row_number()", "SemanticError"),
        ("T | make-series count() on Time from now() to ago(1d) step 1h", "SemanticError"),
        ("T | make-series count() on Time from 1 to 2 step 1", "SemanticError"),
        ("T | extend x = nonsense(1)", "SemanticError"),
        ("T | summarize nonsense()", "SemanticError"),
        ("T | where count() > 1", "SemanticError"),
        ("print strlen()", "SemanticError"),
        ("print " + "(" * 500 + "1" + ")" * 500, "SemanticError"),
        ("print x = datetime(soon)", "SemanticError"),
    ],
)
def test_wrong_queries(query: str, kind: str) -> None:
    """A query that is wrong, or outside the subset, is refused before a row is read, with Kusto's kind of error."""
    with pytest.raises(KqlError) as refused:
        run(query)
    assert refused.value.kind == kind


def test_an_error_says_where() -> None:
    """A wrong name, deep in a query of several lines, is named with its operator and its place."""
    query = "T\n| where Load > 1\n| project Host, Nothing"
    with pytest.raises(KqlError) as refused:
        run(query)
    assert refused.value.message == "'project' operator: Failed to resolve scalar expression named 'Nothing'"
    assert query[refused.value.position :] == "Nothing" and refused.value.token == "Nothing"


HOSTILE = {
    "a string that doubles": "let s0 = 'xxxxxxxxxxxxxxxx'; "
    + "".join(f"let s{n + 1} = strcat(s{n}, s{n}); " for n in range(40))
    + "print s40",
    "an array that doubles": "let a0 = dynamic([1]); "
    + "".join(f"let a{n + 1} = pack_array(a{n}, a{n}); " for n in range(40))
    + "print a40",
    "functions that double": "let f0 = () { 1 }; "
    + "".join(f"let f{n + 1} = () {{ f{n}() + f{n}() }}; " for n in range(40))
    + "print f40()",
    "views that double": "let v0 = range x from 1 to 1000 step 1; "
    + "".join(f"let v{n + 1} = union v{n}, v{n}; " for n in range(40))
    + "v40 | count",
    "a product of tables": "range x from 1 to 100000 step 1 | extend k = 1 "
    "| join kind=inner (range y from 1 to 100000 step 1 | extend k = 1) on k | count",
    "an endless range": "range x from 1 to 1000000000000 step 1 | count",
    "a wide table": "T | extend "
    + ", ".join(f"c{n} = 'x'" for n in range(2000))
    + " | mv-expand n = range(1, 1000000) | sort by Host",
    "a long array": "print range(1, 10000000000)",
    "long text in many rows": "range x from 1 to 400000 step 1 | extend s = strrep('x', 100000)",
    "a long replacement": "print replace_string(strrep('a', 1000000), 'a', strrep('b', 1000000))",
    "a long rewrite": "print replace_regex(strrep('a', 1000000), 'a', strrep('b', 1000000))",
    "many aggregates": "range x from 1 to 100000 step 1 | summarize "
    + ", ".join(f"a{n} = max(x)" for n in range(3000)),
    "literals in literals": "print " + "dynamic(" * 5000 + "1" + ")" * 5000,
    "a long pattern": "print extract(strrep('(a?)', 100000), 0, 'a')",
    "many orders": "range x from 1 to 100000 step 1 | sort by " + ", ".join(["x % 7"] * 3000),
    "many operators": "T" + " | where true" * 5000,
    "many terms": "print " + "+".join(["1"] * 200_000) + " + 'a'",
    "deep parentheses": "print " + "(" * 5000 + "1" + ")" * 5000,
    "deep tables": "(" * 5000 + "T" + ")" * 5000,
    "deep literals": "print dynamic(" + "[" * 5000 + "]" * 5000 + ")",
    "deep members": "print parse_json('{}')" + ".a" * 5000,
    "deep JSON": "print parse_json(strcat(strrep('[', 100000), strrep(']', 100000)))[0][0]"
    + " | where print_0 == 1 | project x = nosuch",
    "many list members": "range x from 1 to 1000 step 1 | where 'a' has_any (range(1, 1000000))",
    "arguments that double": "let f = (x:long) { x + x }; print " + "f(" * 30 + "1" + ")" * 30,
    "values that double": "let f = (a:long) { let b0 = a; "
    + "".join(f"let b{n + 1} = b{n} + b{n}; " for n in range(60))
    + "b60 }; T | extend x = f(Count)",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_query_costs_without_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that would use up time or memory ends in an error, within its budget."""
    monkeypatch.setattr("local_azure.kql.budget.SECONDS", 0.5)
    with pytest.raises(KqlError):
        answer(HOSTILE[name], Fixed(), NOW)


def test_a_long_sum_is_computed() -> None:
    """A chain of 20,000 terms, or of 20,000 conditions, is no nesting."""
    assert value("+".join(["1"] * 20_000)) == 20_000
    assert value(" or ".join(["1 == 2"] * 20_000)) is False
