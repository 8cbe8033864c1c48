"""Who may use the page in the browser: links that are good once, and the keys of the browsers that followed one.

A link holds no key that lasts, since links end up in a browser's history and in process lists. Everything is in memory: a restart
ends all visits.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Callable

from local_azure.wire import Call, refuse

LINK_SECONDS = 120.0
MOST = 50
"""How many links, and how many keys, are remembered: the newest."""
OWN_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?\Z", re.IGNORECASE)
ROUTES = frozenset(
    {("GET", "overview"), ("GET", "news"), ("PATCH", "settings"), ("PUT", "faults"), ("DELETE", "faults")}
)
"""What a visit's key opens below ``/_local/``; the rest is for the key of the owner."""


class Visits:
    """The links that nobody has followed yet, and the keys in use. `clock` gives seconds, from any beginning."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._links: dict[str, float] = {}
        self._keys: list[str] = []

    def invite(self) -> str:
        """A code that can be turned into a key once, within `LINK_SECONDS`."""
        code = secrets.token_urlsafe(32)
        self._links[code] = self._clock() + LINK_SECONDS
        for old in list(self._links)[:-MOST]:
            del self._links[old]
        return code

    def redeem(self, code: str) -> str | None:
        """The key for a code, which is used up by this; `None` when it is unknown, used or too old."""
        until = self._links.pop(code, None)
        if until is None or until < self._clock():
            return None
        self._keys = [*self._keys[1 - MOST :], secrets.token_urlsafe(32)]
        return self._keys[-1]

    def holds(self, key: str) -> bool:
        """Whether a key is that of a visit."""
        return any([hmac.compare_digest(one.encode(), key.encode()) for one in self._keys])


def refuse_strangers(call: Call) -> None:
    """Refuse what another site has made a browser ask for.

    A site whose name is pointed at this machine (DNS rebinding) shows in `Host`, any other in `Sec-Fetch-Site`, which pages cannot
    set (W3C, "Fetch Metadata Request Headers").
    """
    host = call.headers.get("host")
    if host is not None and not OWN_HOST.match(host):
        refuse(421, "WrongHost", f"This is served as localhost alone, not as '{host[:100]}'.")
    if call.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        # A link to the page may be followed from anywhere: it is only shown, and holds nothing without a key.
        if call.path == "/" and call.headers.get("sec-fetch-mode") == "navigate":
            return
        refuse(403, "CrossSite", "Another site asked for this.")
