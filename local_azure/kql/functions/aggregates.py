"""Aggregates over the rows of a group."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from local_azure.kql.budget import LONGEST_STRING
from local_azure.kql.functions.sets import distinct, merged
from local_azure.kql.signatures import Aggregate, Values
from local_azure.kql.values import Row, plain, sortable, whole


def _present(values: Values) -> Values:
    return [value for value in values if value is not None]


def _sum(values: Values) -> Any:
    held = _present(values)
    try:
        if held and isinstance(held[0], timedelta):
            return sum(held, timedelta(0))
        return math.fsum(held) if any(isinstance(one, float) for one in held) else whole(sum(held))
    except OverflowError:
        return None


def _avg(values: Values) -> Any:
    held = _present(values)
    try:
        if held and isinstance(held[0], timedelta):
            return sum(held, timedelta(0)) / len(held)
        return math.fsum(held) / len(held) if held else None
    except OverflowError:
        return None


def _best(largest: bool) -> Callable[[Values], Any]:
    return lambda values: (max if largest else min)(_present(values), key=sortable, default=None)


def percentile(values: Values, share: Any) -> Any:
    """The smallest value that is at least as large as `share` percent of all (nearest rank)."""
    held = sorted(_present(values), key=sortable)
    if not held or not isinstance(share, int | float):
        return None
    return held[min(len(held) - 1, max(0, math.ceil(share / 100 * len(held)) - 1))]


def _spread(compute: Callable[[Values], float]) -> Callable[[Values], float | None]:
    def run(values: Values) -> float | None:
        held = [float(value) for value in _present(values)]
        try:
            return compute(held) if len(held) > 1 else (0.0 if held else None)
        except OverflowError:
            return None

    return run


def _most(sizes: Values) -> int:
    return sizes[0] if sizes and isinstance(sizes[0], int) and sizes[0] >= 0 else LONGEST_STRING


def _list(values: Values, sizes: Values = []) -> Values:  # noqa: B006  (never changed)
    return [plain(value) for value in _present(values)][: _most(sizes)]


def _set_of(values: Values, sizes: Values = []) -> Values:  # noqa: B006  (never changed)
    return [plain(value) for value in distinct(_present(values)).values()][: _most(sizes)]


def _bag_of(values: Values) -> dict[str, Any]:
    return merged(*values)


def _any(values: Values) -> Any:
    return next(iter(_present(values)), None)


_A = Aggregate
AGGREGATES: dict[str, Aggregate] = {
    "count": _A("", "long", len, "count"),
    "countif": _A("b", "long", len, "countif", True),
    "dcount": _A("xi?", "long", lambda values, *_: len(distinct(_present(values))), "dcount"),
    "dcountif": _A("xbi?", "long", lambda values, *_: len(distinct(_present(values))), "dcountif", True),
    "count_distinct": _A("x", "long", lambda values: len(distinct(_present(values))), "count_distinct"),
    "count_distinctif": _A("xb", "long", lambda values: len(distinct(_present(values))), "count_distinctif", True),
    "sum": _A("u", "sum", _sum, "sum"),
    "sumif": _A("ub", "sum", _sum, "sumif", True),
    "avg": _A("u", "avg", _avg, "avg"),
    "avgif": _A("ub", "avg", _avg, "avgif", True),
    "min": _A("o", "same", _best(False), "min"),
    "minif": _A("ob", "same", _best(False), "minif", True),
    "max": _A("o", "same", _best(True), "max"),
    "maxif": _A("ob", "same", _best(True), "maxif", True),
    "stdev": _A("n", "real", _spread(statistics.stdev), "stdev"),
    "stdevif": _A("nb", "real", _spread(statistics.stdev), "stdevif", True),
    "variance": _A("n", "real", _spread(statistics.variance), "variance"),
    "varianceif": _A("nb", "real", _spread(statistics.variance), "varianceif", True),
    "make_list": _A("xi?", "dynamic", _list, "list"),
    "make_list_if": _A("xbi?", "dynamic", _list, "list", True),
    "make_set": _A("xi?", "dynamic", _set_of, "set"),
    "make_set_if": _A("xbi?", "dynamic", _set_of, "set", True),
    "make_bag": _A("y", "dynamic", _bag_of, "bag"),
    "make_bag_if": _A("yb", "dynamic", _bag_of, "bag", True),
    "take_anyif": _A("xb", "same", _any, "", True),
}
"""Aggregates that give one column from their arguments' values; `arg_max`, `percentiles` and their kin are operators' own."""


def fold_row(rows: list[Row], value: Callable[[Row], Any], largest: bool) -> Row | None:
    """The row where a value is largest or smallest, or `None` when it is null in all."""
    filled = [row for row in rows if value(row) is not None]
    return (max if largest else min)(filled, key=lambda row: sortable(value(row)), default=None)
