"""What takes more than one value, or more than one app, to see."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .models import App
from .problems import Severity


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault in sound values: the path of the value it is about, the message, and how much it matters."""

    path: tuple[Any, ...]
    message: str
    severity: Severity = "error"
    at_key: bool = False


def findings(names: Iterable[str], apps: dict[str, App]) -> Iterator[Finding]:
    """Every finding about an environment.

    Args:
        names: the names of all apps, sound or not.
        apps: the apps whose values are sound.
    """
    yield from _colliding_names(names)


def _colliding_names(names: Iterable[str]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(output_name(name), name)
        if first != name:
            message = f'"{name}" and "{first}" make the same output names ({output_name(name)}_client_id); rename one'
            yield Finding(("apps", name), message, at_key=True)


def output_name(app: str) -> str:
    """An app's name as it stands in stack outputs: a shell name, so `-` becomes `_`."""
    return app.replace("-", "_")
