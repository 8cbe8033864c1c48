"""Which app comes before which: one that needs the id of another comes after it."""

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter

from .models import App


def order(apps: Mapping[str, App]) -> tuple[str, ...]:
    """The apps, each after those whose ids it needs. Raises `graphlib.CycleError` when two need each other."""
    return tuple(TopologicalSorter(_needs(apps)).static_order())


def circles(apps: Mapping[str, App]) -> Iterator[list[str]]:
    """Circles that have no name in common, each from its first name on, a name before one that it needs."""
    needs, done = _needs(apps), set[str]()
    for first in needs:
        path: dict[str, Iterator[str]] = {} if first in done else {first: iter(needs[first])}
        while path:
            needed = next(path[next(reversed(path))], None)
            if needed is None:
                done.add(path.popitem()[0])
            elif needed in path:
                circle: list[str] = []
                while needed in path:
                    circle.append(path.popitem()[0])
                done.update(circle)
                circle.reverse()
                start = circle.index(min(circle))
                yield [*circle[start:], *circle[:start]]
            elif needed not in done:
                path[needed] = iter(needs[needed])


def _needs(apps: Mapping[str, App]) -> dict[str, list[str]]:
    return {name: sorted(app.needs & apps.keys()) for name, app in apps.items()}
