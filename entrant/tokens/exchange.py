"""One token from the token endpoint, for a secret or an assertion: OAuth 2.0's client credentials, with the standard library.

Most tokens need no more, and azure-identity takes longer to load than all the rest of them. What it alone can do (a certificate, an
API's challenge, another tenant, a proxy) goes through `authority`. Sources: RFC 6749, 4.4; RFC 7523, 2.2; Microsoft identity
platform, "OAuth 2.0 client credentials flow". TLS and HTTP are loaded by the first request.
"""

import functools
import json
import logging
import os
import re
import sys
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import entrant
from entrant.errors import ConfigurationError, unreadable_bundle
from entrant.retries import LONGEST_WAIT, PASSING, TRIES

if TYPE_CHECKING:
    from ssl import SSLContext

CONNECT, READ, ALL = 10, 30, 120
"""Seconds to connect, to wait for an answer, and for all tries of one request together (without the waits between them)."""
MOST = 1 << 20
"""Bytes of an answer; a token with two hundred groups has some ten thousand."""
_WAITS = (0.0, 1.6, 3.2)
"""Seconds between tries where the answer names none, as azure-core has it."""
_LOG = logging.getLogger("entrant")


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token, the second of its expiry, and the one from which Entra ID would like it renewed."""

    token: str
    expires_on: int
    refresh_on: int | None = None


class NoTokenError(Exception):
    """The endpoint gave no token; an `Outcome` says how."""


class Outcome:
    """How the last request ended, and what `Date` said."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        """Why the last request got no answer."""
        self.status = 0
        self.body = ""
        """The last answer's body if it was a refusal."""
        self.retry_after: str | None = None
        self.skew: float | None = None
        """Seconds that the server's clock is ahead of this machine's."""

    def answered(self, status: int, headers: Mapping[str, str], begun: float) -> None:
        """Note an answer to a request of that moment."""
        self.error, self.body = None, ""
        self.status, self.retry_after = status, headers.get("Retry-After")
        date = _moment(headers.get("Date") or "")
        if date is not None:
            # `Date` was cut to whole seconds somewhere between the request and its answer.
            self.skew = date + 0.5 - (begun + time.time()) / 2

    @property
    def too_busy(self) -> bool:
        """Whether the last answer was only that there would be none now."""
        return self.status == 429 or self.status >= 500


def can_ask(authority: str, tenant: str) -> bool:
    """Whether this module can ask an authority for a tenant's tokens: over TLS, without a proxy, at Entra ID's usual endpoint."""
    plain = re.fullmatch(r"https://([\w.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?/*", authority, re.ASCII | re.IGNORECASE)
    word = tenant.replace("-", "").replace(".", "")
    return bool(plain and word.isascii() and word.isalnum() and tenant.lower() != "adfs" and not _proxied())


def ask(authority: str, tenant: str, fields: Mapping[str, str], outcome: Outcome) -> Bearer:
    """A token for what the fields say beside `grant_type`; `outcome` is told how the last request ended.

    Raises:
        NoTokenError: a refusal, or no answer after all tries.
        ConfigurationError: REQUESTS_CA_BUNDLE names nothing to trust.
    """
    form = urllib.parse.urlencode({"grant_type": "client_credentials", **fields})
    begun = int(time.time())
    body = _post(f"{authority.rstrip('/')}/{tenant}/oauth2/v2.0/token", form, outcome)
    try:
        found = json.loads(body)
        refresh, token = found.get("refresh_in"), found["access_token"]
        if not re.fullmatch(r"[!-~]+", token):  # it goes into headers, variables and files
            raise ValueError
        return Bearer(token, begun + int(found["expires_in"]), begun + int(refresh) if refresh else None)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise NoTokenError("an answer that is no token") from None


def document(url: str) -> Any:
    """The JSON at a URL, asked for once; None where that does not work, for whatever reason."""
    if _proxied() or not url.startswith("https://"):
        return None
    try:
        status, _, body = _once("GET", url, None)
        return json.loads(body) if status == 200 else None
    except (OSError, ValueError, ConfigurationError):
        return None


def prepare() -> None:
    """Do what can be done before it is known which token is wanted.

    Raises:
        ConfigurationError: as `ask`.
    """
    if not _proxied():
        import http.client  # noqa: F401

        _trusted()


def _trusted() -> "SSLContext":
    """What is trusted: a file or folder of certificates that a variable names, or else certifi's, as requests has it."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if named:
        bundle = named
    else:
        certifi = find_spec("certifi")  # importing it loads much that is not needed
        assert certifi is not None and certifi.submodule_search_locations
        bundle = os.path.join(certifi.submodule_search_locations[0], "cacert.pem")
    try:
        return _context(bundle, os.stat(bundle).st_mtime_ns)
    except OSError as error:
        raise unreadable_bundle(bundle, error) from None


@functools.lru_cache(4)
def _context(bundle: str, changed: int) -> "SSLContext":
    import ssl

    folder = os.path.isdir(bundle)
    return ssl.create_default_context(cafile=None if folder else bundle, capath=bundle if folder else None)


def _proxied() -> bool:
    """Whether a request might go through a proxy, by variables or by the settings of macOS and Windows."""
    if sys.platform in ("darwin", "win32"):
        import urllib.request

        return bool(urllib.request.getproxies())
    return any(name.lower() in ("https_proxy", "all_proxy") for name, value in os.environ.items() if value)


def _post(url: str, form: str, outcome: Outcome) -> bytes:
    """The body of an answer with status 200, after as many tries as it takes and may take."""
    since, waited = time.monotonic(), 0.0
    for number in range(TRIES):
        begun = time.time()
        try:
            status, headers, body = _once("POST", url, form)
        except OSError as error:
            outcome.error, outcome.status = error, 0
            final = "certificate verify failed" in str(error)
        else:
            outcome.answered(status, headers, begun)
            if status == 200:
                return body
            outcome.body = body.decode(errors="replace")
            final = status not in PASSING
        wait = _wait(outcome, number)
        if final or wait is None or time.monotonic() - since - waited > ALL:
            break
        sleep(wait)
        waited += wait
    raise NoTokenError(str(outcome.error or f"the answer {outcome.status}"))


def _moment(date: str) -> float | None:
    """The second of a header's date; None when it is none."""
    from email.utils import mktime_tz, parsedate_tz

    parts = parsedate_tz(date)
    try:
        return mktime_tz(parts) if parts else None
    except (ValueError, OverflowError):  # a year that no calendar has
        return None


def _wait(outcome: Outcome, number: int) -> float | None:
    """Seconds before the next try after the one of that number; None when there is none."""
    if number + 1 >= TRIES:
        return None
    named = outcome.retry_after if outcome.error is None else None
    if not named:
        return _WAITS[number]
    try:
        wait = float(named)
    except ValueError:
        date = _moment(named)
        wait = date - time.time() if date is not None else _WAITS[number]
    return max(wait, 0) if wait <= LONGEST_WAIT else None


sleep = time.sleep


def _once(method: str, url: str, form: str | None) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of the answer to one request.

    Raises:
        OSError: no answer.
    """
    from http.client import HTTPException, HTTPSConnection

    parts = urllib.parse.urlsplit(url)
    connection = HTTPSConnection(parts.hostname or "", parts.port, timeout=CONNECT, context=_trusted())
    headers = {"Accept": "application/json", "User-Agent": f"entrant/{entrant.__version__}"}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    try:
        connection.connect()
        connection.sock.settimeout(READ)
        connection.request(method, parts._replace(scheme="", netloc="").geturl(), form, headers)
        answer = connection.getresponse()
        body = answer.read(MOST + 1 if answer.length is None or answer.length > MOST else None)
        if len(body) > MOST:
            raise ConnectionError(f"an answer of more than {MOST} bytes")
    except HTTPException as error:
        raise ConnectionError(f"an answer that is not HTTP's: {error!r}") from error
    finally:
        connection.close()
    _LOG.debug('%s://%s "%s %s HTTP/1.1" %d', parts.scheme, parts.netloc, method, parts.path, answer.status)
    return answer.status, answer.headers, body  # type: ignore[return-value]  # a Mapping in all that matters
