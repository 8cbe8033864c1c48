"""What every place for a secret or a certificate can do: say which one it holds, and take a new one.

Beside it a place keeps the key id that Microsoft Entra gave it, which is no secret. A delivery goes by that: it never reads back
what is secret, and does nothing where the right one is.
"""

import datetime as dt
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from entrant.errors import ConfigurationError
from entrant.facts.clouds import Cloud
from entrant.facts.contract import CLIENT_SECRET, kind_of
from entrant.outputs import CERTIFICATE_BEGINS


@dataclass(frozen=True, slots=True)
class Item:
    """A client secret, or a certificate with its private key, on its way. Its repr does not show the value."""

    app: str
    tenant_id: str
    client_id: str
    key_id: str
    """Its id in Microsoft Entra."""
    name: str
    """Its slot in the calendar: `2026-11-01`, `signing-2026-11-01`."""
    ends: dt.datetime
    value: str = field(repr=False)
    """The client secret, or PEM text: the private key, then the certificate."""
    calendar: str = CLIENT_SECRET
    """`secret`, or the certificate's key in the file."""

    @property
    def noun(self) -> str:
        """What it is."""
        return kind_of(self.calendar)

    @property
    def pair(self) -> tuple[str, str]:
        """The private key and the certificate, each as PEM text."""
        at = self.value.index(CERTIFICATE_BEGINS)
        return self.value[:at], self.value[at:]


class Sink(ABC):
    """A place that secrets or certificates are delivered to."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ = environ

    readable = True
    """Whether `holds` can tell."""
    filled_by = "`python3 -m entrant deliver` delivers it; `rotate` does so by itself"
    """What to run where the newest is missing."""

    def address(self) -> str | None:
        """The URL of what it speaks to; None: the cloud's own vault, or a program that nobody knows more of."""
        return None

    @abstractmethod
    def holds(self) -> str | None:
        """The key id of what is there; None: there is nothing, or something of unknown origin.

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
        """See the function `token`."""
        return token(self.environ, *names, needs=needs)


def token(environ: Mapping[str, str], *names: str, needs: str) -> str:
    """The first of these variables that is set.

    Raises:
        ConfigurationError: none is.
    """
    found = next((environ[name] for name in names if environ.get(name)), None)
    if found is None:
        raise ConfigurationError(f"{' or '.join(names)} is not set", next_step=f"set it to a token with {needs}")
    return found


_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def on_this_machine(address: str | None) -> bool:
    """Whether a URL is one of this machine; so is none at all."""
    host = urlsplit(address or "").hostname
    return not host or host in _THIS_MACHINE


def guard(address: str | None, cloud: Cloud, what: str = "the secret") -> None:
    """Refuse a place that would be spoken to in the clear, and one in real use for what is of a local Azure alone.

    Raises:
        ConfigurationError: it is such a place. `what` would go there.
    """
    try:
        if on_this_machine(address):
            return
        found = urlsplit(address or "")
    except ValueError:
        raise ConfigurationError(f"{address} is no URL, and {what} would go there", next_step="correct it") from None
    if found.scheme not in ("https", "smtps"):
        raise ConfigurationError(f"{found.hostname} would get {what} unencrypted", next_step="use its https address")
    if on_this_machine(cloud.authority):
        raise ConfigurationError(
            f"{found.hostname} is a real place, and {what} is one of the local Azure, which means nothing there",
            next_step="use a shell without the rehearsal's settings; to try it out, name a server of this machine",
        )
