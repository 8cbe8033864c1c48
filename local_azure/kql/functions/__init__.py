"""Scalar functions and aggregates: what they take, what type they give, and how they compute it.

Source: Microsoft, "Scalar functions" and "Aggregation functions" of the Kusto Query Language.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_azure.kql.functions.aggregates import AGGREGATES
from local_azure.kql.functions.conditions import CONDITIONS
from local_azure.kql.functions.dynamics import DYNAMICS
from local_azure.kql.functions.numbers import NUMBERS
from local_azure.kql.functions.regexes import regex
from local_azure.kql.functions.texts import TEXTS
from local_azure.kql.functions.times import TIMES, unit_of
from local_azure.kql.signatures import Function

__all__ = ["AGGREGATES", "EARLY", "FUNCTIONS"]


FUNCTIONS: dict[str, Function] = CONDITIONS | NUMBERS | TEXTS | TIMES | DYNAMICS
"""Scalar functions that need only their arguments' values."""
EARLY: dict[str, tuple[int, Callable[[str], Any]]] = {
    "datetime_add": (0, unit_of),
    "datetime_diff": (0, unit_of),
    "extract": (0, regex),
    "extract_all": (0, regex),
    "replace_regex": (1, regex),
    "trim": (0, regex),
    "trim_start": (0, regex),
    "trim_end": (0, regex),
}
"""Function → which argument is checked when the query is read, if it is constant, and how."""
