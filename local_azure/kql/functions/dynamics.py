"""Functions of dynamic values: arrays and bags."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from local_azure.kql.budget import LONGEST_STRING
from local_azure.kql.errors import semantic
from local_azure.kql.functions.sets import distinct, merged
from local_azure.kql.signatures import Function, Values
from local_azure.kql.values import key, plain, sortable, text


def _array(value: Any) -> Values:
    return value if isinstance(value, list) else []


def _slice(value: Any, start: Any, end: Any) -> Values | None:
    if not isinstance(value, list) or not isinstance(start, int) or not isinstance(end, int):
        return None
    first = start + len(value) if start < 0 else start
    last = end + len(value) if end < 0 else end
    return value[max(first, 0) : max(last + 1, 0)]


def _sorted(descending: bool) -> Callable[..., Any]:
    def run(value: Any, nulls_last: Any = True) -> Any:
        if not isinstance(value, list):
            return None
        held = sorted((one for one in value if one is not None), key=sortable, reverse=descending)
        nulls: Values = [None] * (len(value) - len(held))
        return held + nulls if nulls_last is not False else nulls + held

    return run


def _set(choose: Callable[[dict[Any, Any], dict[Any, Any]], dict[Any, Any]]) -> Callable[..., Values]:
    def run(first: Any, *others: Any) -> Values:
        found = distinct(_array(first))
        for other in others:
            found = choose(found, distinct(_array(other)))
        return list(found.values())

    return run


def _bag(*pairs: Any) -> dict[str, Any]:
    return {text(name): plain(value) for name, value in zip(pairs[::2], pairs[1::2], strict=False)}


def _range(start: Any, stop: Any, step: Any = None) -> Values | None:
    if step is None:
        step = timedelta(hours=1) if isinstance(start, datetime | timedelta) else 1
    found: Values = []
    try:
        zero = type(step)()
        while step != zero and (start <= stop if step > zero else start >= stop):
            found.append(plain(start))
            if len(found) > LONGEST_STRING:
                semantic("range(): more than 1048576 values.", "E_RUNAWAY_QUERY")
            start = start + step
    except (TypeError, OverflowError):
        return None
    return found


def _index_of(values: Any, wanted: Any) -> int:
    wanted = key(plain(wanted))
    return next((at for at, value in enumerate(_array(values)) if key(value) == wanted), -1)


def _total_of(values: Any) -> float | None:
    numbers = [value for value in _array(values) if isinstance(value, int | float) and not isinstance(value, bool)]
    try:
        return float(sum(numbers))
    except OverflowError:
        return None


def _without(bag: Any, names: Any) -> Any:
    gone = {text(name) for name in _array(names)}
    return {name: value for name, value in bag.items() if name not in gone} if isinstance(bag, dict) else None


def _chosen(tests: Any, yes: Any, no: Any) -> Values:
    def one(value: Any, at: int) -> Any:
        return (value[at] if at < len(value) else None) if isinstance(value, list) else value

    return [one(yes if test is True else no, at) for at, test in enumerate(_array(tests))]


_F = Function
DYNAMICS: dict[str, Function] = {
    "array_concat": _F("yy*", "dynamic", lambda *arrays: list(itertools.chain.from_iterable(map(_array, arrays)))),
    "array_iff": _F("yxx", "dynamic", _chosen),
    "array_index_of": _F("yx", "long", _index_of),
    "array_length": _F("y", "long", lambda value: len(value) if isinstance(value, list) else None),
    "array_reverse": _F("y", "dynamic", lambda value: value[::-1] if isinstance(value, list) else None),
    "array_slice": _F("yii", "dynamic", _slice),
    "array_sort_asc": _F("yb?", "dynamic", _sorted(False)),
    "array_sort_desc": _F("yb?", "dynamic", _sorted(True)),
    "array_sum": _F("y", "real", _total_of),
    "bag_has_key": _F("ys", "bool", lambda bag, name: text(name) in bag if isinstance(bag, dict) else None),
    "bag_keys": _F("y", "dynamic", lambda bag: list(bag) if isinstance(bag, dict) else None),
    "bag_merge": _F("yy*", "dynamic", merged),
    "bag_pack": _F("sx*", "dynamic", _bag),
    "pack": _F("sx*", "dynamic", _bag),
    "bag_remove_keys": _F("yy", "dynamic", _without),
    "dynamic_to_json": _F(
        "y", "string", lambda value: json.dumps(value, sort_keys=True, separators=(",", ":"), default=text)
    ),
    "pack_array": _F("x*", "dynamic", lambda *values: [plain(value) for value in values]),
    "range": _F("qqx?", "dynamic", _range),
    "repeat": _F("xi", "dynamic", lambda value, times: [plain(value)] * min(max(times or 0, 0), LONGEST_STRING)),
    "set_difference": _F("yy*", "dynamic", _set(lambda left, right: {at: left[at] for at in left if at not in right})),
    "set_has_element": _F("yx", "bool", lambda values, wanted: _index_of(values, wanted) >= 0),
    "set_intersect": _F("yy*", "dynamic", _set(lambda left, right: {at: left[at] for at in left if at in right})),
    "set_union": _F("yy*", "dynamic", _set(lambda left, right: {**left, **right})),
    "zip": _F("yy*", "dynamic", lambda *arrays: [list(one) for one in itertools.zip_longest(*map(_array, arrays))]),
}
