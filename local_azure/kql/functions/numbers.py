"""Functions of numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from local_azure.kql.signatures import Function
from local_azure.kql.values import binned, sortable, whole


def _real(compute: Callable[..., float]) -> Callable[..., float | None]:
    def run(*values: Any) -> float | None:
        try:
            result = compute(*values)
            return float(result) if math.isfinite(result) else None
        except (TypeError, ValueError, OverflowError, ZeroDivisionError):
            return None

    return run


def _round(value: Any, digits: Any = 0) -> Any:
    if not isinstance(value, int | float) or not isinstance(digits, int) or abs(digits) > 15:
        return None
    return round(value, digits) if digits else type(value)(round(value))


def _bits(compute: Callable[[int, int], int]) -> Callable[[Any, Any], int | None]:
    def run(left: Any, right: Any) -> int | None:
        return whole(compute(left, right)) if isinstance(left, int) and isinstance(right, int) else None

    return run


def _extreme(sign: int) -> Callable[..., Any]:
    def run(*values: Any) -> Any:
        held = [value for value in values if value is not None]
        return (max if sign > 0 else min)(held, key=sortable, default=None)

    return run


_F = Function
NUMBERS: dict[str, Function] = {
    "abs": _F("x", "number", lambda value: abs(value) if isinstance(value, int | float | timedelta) else None),
    "bin": _F("xx", "bin", binned, True),
    "floor": _F("xx", "bin", binned, True),
    "ceiling": _F("n", "real", _real(math.ceil)),
    "exp": _F("n", "real", _real(math.exp)),
    "exp2": _F("n", "real", _real(lambda value: 2.0**value)),
    "exp10": _F("n", "real", _real(lambda value: 10.0**value)),
    "log": _F("n", "real", _real(math.log)),
    "log2": _F("n", "real", _real(math.log2)),
    "log10": _F("n", "real", _real(math.log10)),
    "pow": _F("nn", "real", _real(lambda value, by: float(value) ** float(by))),
    "sqrt": _F("n", "real", _real(math.sqrt)),
    "pi": _F("", "real", lambda: math.pi),
    "rand": _F(
        "n?", "real", lambda most=None: random.random() if not most else float(random.randrange(max(int(most), 1)))
    ),
    "round": _F("nn?", "same", _round, True),
    "sign": _F("n", "real", _real(lambda value: float((value > 0) - (value < 0)))),
    "isfinite": _F("n", "bool", lambda value: value is not None),
    "isinf": _F("n", "bool", lambda _: False),
    "isnan": _F("n", "bool", lambda _: False),
    "max_of": _F("xx*", "common", _extreme(1)),
    "min_of": _F("xx*", "common", _extreme(-1)),
    "binary_and": _F("ii", "long", _bits(lambda left, right: left & right)),
    "binary_or": _F("ii", "long", _bits(lambda left, right: left | right)),
    "binary_xor": _F("ii", "long", _bits(lambda left, right: left ^ right)),
    "tohex": _F("i", "string", lambda value: "" if value is None else f"{value & (1 << 64) - 1:x}"),
}
