"""Regular expressions: RE2, as Kusto itself, so that none takes more than linear time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2

from local_azure.kql.budget import LONGEST_STRING
from local_azure.kql.errors import semantic
from local_azure.kql.signatures import Values
from local_azure.kql.values import text

_REGEX = re2.Options()
_REGEX.log_errors = False
_REGEX.max_mem = 2 << 20
LONGEST_PATTERN = 10_000


@lru_cache(32)
def regex(pattern: str) -> Any:
    """A compiled pattern; refuses what RE2 does not know."""
    if len(pattern) > LONGEST_PATTERN:
        semantic(f"Regex pattern is longer than {LONGEST_PATTERN} characters.", "SEM0420")
    try:
        return re2.compile(pattern, _REGEX)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        semantic(
            f"Regex pattern is ill-formed: '{pattern[:100]}' ({reason.decode() if isinstance(reason, bytes) else reason}).",
            "SEM0420",
        )


def extract(pattern: Any, group: Any, source: Any) -> str:
    found = regex(text(pattern)).search(text(source))
    if found is None or not isinstance(group, int) or not 0 <= group <= found.re.groups:
        return ""
    return found.group(group) or ""


def extract_all(pattern: Any, *rest: Any) -> Values | None:
    compiled = regex(text(pattern))
    wanted = rest[0] if len(rest) == 2 and isinstance(rest[0], list) else range(1, compiled.groups + 1)
    groups = [one for one in wanted if isinstance(one, int) and 0 <= one <= compiled.groups]
    found = [[match.group(one) or "" for one in groups] for match in compiled.finditer(text(rest[-1]))]
    if not found:
        return None
    return [one[0] for one in found] if len(groups) == 1 else list(found)


def replace_regex(source: Any, pattern: Any, new: Any) -> str:
    compiled, string, rewrite = regex(text(pattern)), text(source), text(new)
    if len(string) * max(len(rewrite), 1) > LONGEST_STRING * 4:
        most = LONGEST_STRING // max(len(rewrite), 1) + 1
        matches = sum(1 for _ in itertools.islice(compiled.finditer(string), most))
        fits("replace_regex", len(string) * (1 + rewrite.count("\\")) + matches * len(rewrite))
    try:
        return str(compiled.sub(rewrite, string))
    except (re2.error, IndexError):
        semantic(f"replace_regex(): '{rewrite[:100]}' refers to a group that the pattern has not.", "SEM0219")


def trim(start: bool, end: bool) -> Callable[[Any, Any], str]:
    def trim(pattern: Any, source: Any) -> str:
        string = text(source)
        if start and (found := regex(f"^(?:{text(pattern)})").search(string)):
            string = string[found.end() :]
        if end and (found := regex(f"(?:{text(pattern)})$").search(string)):
            string = string[: found.start()]
        return string

    return trim


def fits(name: str, size: int) -> None:
    if size > LONGEST_STRING:
        semantic(f"Runaway query: {name}(): the result is longer than 1 MB.", "E_RUNAWAY_QUERY")
