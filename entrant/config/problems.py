"""What can be wrong with an environment, as a list of problems with positions."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing to put right. `line` and `column` count from 1; both are 0 where a problem has no place inside a file.

    `message` names what was found and the remedy, and never holds the value of a secret.
    """

    file: str
    line: int
    column: int
    message: str
    severity: Severity = field(default="error")
    rule: str = field(default="")
    """The policy rule that it breaks, if it breaks one."""

    @property
    def place(self) -> str:
        """Where it is: `config/dev.yaml:14:13`, or the file alone."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    def __str__(self) -> str:
        return f"{self.place}: {self.severity}: {self.message}"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in values that are sound by themselves: the path of the value it is about, the message, how much it matters.

    `first` is the path of the other value, where one value is there twice.
    """

    path: tuple[Any, ...]
    message: str
    severity: Severity = "error"
    first: tuple[Any, ...] | None = None


class ConfigError(ValueError):
    """An environment cannot be used. `problems` holds every problem of every file, warnings included, in file order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(map(str, problems)))


class Refused(ValueError):
    """A validator's no: the message, and where the fault is, as a path from the value being validated."""

    def __init__(self, message: str, *path: Any) -> None:
        super().__init__(message)
        self.path = path


def shorten(text: str, limit: int = 60) -> str:
    """A text short enough for a message, on one line."""
    text = " ".join(text[: limit * 4].split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` for the known name closest to `text`, or nothing."""
    close = closest(text, known)
    return f'; did you mean "{close}"?' if close else ""


def closest(text: str, known: Iterable[str]) -> str | None:
    """The known name closest to `text`, if one is close."""
    return _closest(text, tuple(known))


@lru_cache(maxsize=512)
def _closest(text: str, known: tuple[str, ...]) -> str | None:
    if not 1 < len(text) <= 80:
        return None
    lowered = {name.lower(): name for name in known}
    close = get_close_matches(text.lower().replace("_", "-"), [name.replace("_", "-") for name in lowered], 1, 0.7)
    originals = {name.replace("_", "-"): original for name, original in lowered.items()}
    return originals[close[0]] if close else None
