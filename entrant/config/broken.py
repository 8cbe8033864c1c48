"""What stands for a value that is itself wrong, so that everything else of a file is checked in the same run.

A value that is wrong is reported where it stands and then replaced by `BROKEN`. Whoever asks anything of it, other than whether it
is there (`is None`), is stopped by `Unknown`: nothing follows from a value that nobody knows. So a check either sees all it needs
or says nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn, TypeVar

T = TypeVar("T")


class Unknown(Exception):
    """What a check asked about is itself wrong."""


class _Broken:
    """See `BROKEN`."""

    __slots__ = ()

    def _unknown(self, *_: Any) -> NoReturn:
        raise Unknown

    __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = __hash__ = _unknown
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __add__ = __radd__ = __sub__ = __rsub__ = _unknown
    __str__ = __format__ = __getattr__ = _unknown


BROKEN: Final[Any] = _Broken()
"""Stands for a value that is wrong and reported."""


def intact(values: Any) -> Iterator[tuple[Any, Any]]:
    """Index and item of a list, or key and value of a mapping, for those that are known."""
    if values is BROKEN:
        return
    pairs: Iterable[tuple[Any, Any]] = values.items() if isinstance(values, Mapping) else enumerate(values)
    yield from ((step, value) for step, value in pairs if value is not BROKEN)


def whole(values: Any) -> bool:
    """Whether every item of a list or mapping is known."""
    return values is not BROKEN and not any(
        value is BROKEN for value in (values.values() if isinstance(values, Mapping) else values)
    )


def attempt(check: Iterable[T]) -> Iterator[T]:
    """What a check finds until it meets something unknown."""
    try:
        yield from check
    except Unknown:
        return
