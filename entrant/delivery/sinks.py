"""What every place for a secret can do: say which secret it holds, and take a new one.

Beside the secret a place keeps the key id that Microsoft Entra gave it, which is no secret. A delivery goes by that: it never
reads a secret back, and does nothing where the right one is.
"""

import datetime as dt
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from entrant.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Item:
    """A client secret on its way. Its repr does not show the value."""

    app: str
    tenant_id: str
    client_id: str
    key_id: str
    """Its id in Microsoft Entra."""
    name: str
    """Its slot in the calendar: `2026-11-01`."""
    ends: dt.datetime
    value: str = field(repr=False)


class Sink(ABC):
    """A place that secrets are delivered to."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ = environ

    readable = True
    """Whether `holds` can tell."""

    def address(self) -> str | None:
        """The URL of what it speaks to; None: the cloud's own vault, or a program that nobody knows more of."""
        return None

    @abstractmethod
    def holds(self) -> str | None:
        """The key id of the secret that is there; None: there is none, or one of unknown origin.

        Raises:
            EntrantError: it could not be asked.
        """

    @abstractmethod
    def put(self, item: Item) -> None:
        """Replace what is there.

        Raises:
            EntrantError: it was refused, or nobody answered. What was there before is still there.
        """

    def token(self, *names: str, needs: str) -> str:
        """The first of these variables that is set.

        Raises:
            ConfigurationError: none is.
        """
        found = next((self.environ[name] for name in names if self.environ.get(name)), None)
        if found is None:
            raise ConfigurationError(f"{' or '.join(names)} is not set", next_step=f"set it to a token with {needs}")
        return found
