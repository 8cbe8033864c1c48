"""The query language: what each operator and function gives, and how wrong queries are refused."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from local_azure.kql import Columns, KqlError, Row, Source, evaluate, wire_value

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


class Fixed(Source):
    """One table of four rows."""

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
        ("timespan(1.02:03:04)", "1.02:03:04"),
        ("@'a\\b'", "a\\b"),
        ("'it\\'s'", "it's"),
        ("9223372036854775807 + 1", None),
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
        ("T | summarize arg_max(Time, Host)", [["WEB-01"]]),
        ("T | where false | summarize count()", [[0]]),
        ("T | where false | summarize count() by Host", []),
        ("T | summarize make_list(Count)", [["[2, 4, 6, 8]"]]),
        ("T | summarize percentile(Count, 50)", [[4]]),
        ("T | distinct tostring(Tags.env) | count", [[3]]),
        ("T | project-rename Machine = Host | project Machine | take 1", [["web-01"]]),
        ("union T, T | count", [[8]]),
        ("(T | take 1) | count", [[1]]),
        ("let limit_ = 2; let recent = T | where Count > limit_; recent | count", [[3]]),
        ("T // comment\n| take 1 | project ['Host'] | render timechart", [["web-01"]]),
        ("print a = 1, b = 'x', 3", [[1, "x", 3]]),
    ],
)
def test_operators(query: str, expected: list[list[Any]]) -> None:
    """Each operator gives the rows that Kusto gives."""
    assert run(query)[1] == expected


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
        ("T | take x", "SyntaxError"),
        ("T | join (T) on Host", "SyntaxError"),
        ("print 'a", "SyntaxError"),
        ("print (1", "SyntaxError"),
        ("T | where Host matches regex '(a+)+'", "SyntaxError"),
        ("Nowhere | take 1", "SemanticError"),
        ("T | where Nothing == 1", "SemanticError"),
        ("T | project Nothing", "SemanticError"),
        ("T | where Host == 5", "SemanticError"),
        ("T | where Host", "SemanticError"),
        ("T | extend x = nonsense(1)", "SemanticError"),
        ("T | summarize nonsense()", "SemanticError"),
        ("T | where count() > 1", "SemanticError"),
        ("print strlen()", "SemanticError"),
        ("print " + "(" * 500 + "1" + ")" * 500, "SemanticError"),
        ("print " + "-" * 500 + "1", "SemanticError"),
        ("print x = datetime(soon)", "SemanticError"),
    ],
)
def test_wrong_queries(query: str, kind: str) -> None:
    """A query that is wrong, or outside the subset, is refused before a row is read, with Kusto's kind of error."""
    with pytest.raises(KqlError) as refused:
        run(query)
    assert refused.value.kind == kind


def test_strings_cannot_grow_without_end() -> None:
    """Doubling a string over and over is refused, not computed."""
    steps = "let s0 = 'xxxxxxxxxxxxxxxx'; " + "".join(f"let s{n + 1} = strcat(s{n}, s{n}); " for n in range(40))
    with pytest.raises(KqlError, match="longer than 1 MB"):
        run(f"{steps} print s40")
