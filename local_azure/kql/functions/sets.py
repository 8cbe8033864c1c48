"""Sets and bags that functions and aggregates both make."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from local_azure.kql.values import key


def distinct(values: Iterable[Any]) -> dict[Any, Any]:
    return {key(value): value for value in values}


def merged(*bags: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for bag in bags:
        for name, value in bag.items() if isinstance(bag, dict) else ():
            found.setdefault(name, value)
    return found
