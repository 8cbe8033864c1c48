"""What `drift` need not report: differences from the environment that are known, with a reason and a day they are to be gone."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import StringConstraints

from .model import Model
from .problems import Refused
from .values import Moment, Text

Kind = Literal[
    "app registration",
    "service principal",
    "secret",
    "certificate",
    "federated credential",
    "role",
    "consent",
    "owner",
    "group",
    "directory role",
    "orphan",
    "role definition",
    "clients",
]
"""What can drift. A changed property is of the object that it belongs to."""


class Ignored(Model):
    """A difference that is known: what all of `app`, `kind` and `what` fit is not counted as drift until the day given."""

    app: Annotated[Text, StringConstraints(max_length=60)] | None = None
    """The app it is about. Default: any."""
    kind: Kind | None = None
    """What it is about. Default: anything."""
    what: Text | None = None
    """What it is, as `drift` reports it: a part of the words, or a pattern with `*` and `?` that fits them all, without
    regard to case; or its id. Default: anything."""
    reason: Text
    """Why it may stay."""
    until: Moment
    """From when on it counts again: a date or a time with zone."""

    def together(self) -> Iterator[Refused]:
        """It is narrower than everything."""
        if self.app is None and self.kind is None and self.what is None:
            yield Refused("this would ignore everything; say `app`, `kind` or `what`")


class Drift(Model):
    """What `python3 -m entrant drift` makes of differences between the environment and what is there."""

    ignore: tuple[Ignored, ...] = ()
    """Known differences."""
