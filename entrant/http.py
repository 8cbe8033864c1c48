"""HTTP calls to Azure's data planes, with errors that say what was asked and what came back. Never shows a token."""

import logging
import os
import ssl
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import MaxRetryError, ResponseError
from urllib3.util import Retry
from urllib3.util.ssl_ import create_urllib3_context

from entrant.errors import ConfigurationError, RefusedError, UnreachableError, unreadable_bundle
from entrant.explain import error_text, next_step
from entrant.retries import LONGEST_WAIT, NOT_DONE, PASSING, TRIES

TIMEOUT = (10.0, 180.0)
"""Seconds to connect, and to wait for an answer."""

# A request that is made again succeeds or ends in an error of ours; urllib3's own words would only add to it.
logging.getLogger("urllib3").addHandler(logging.NullHandler())


class _Retries(Retry):
    """urllib3's retries, except that nobody waits longer than `LONGEST_WAIT`."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        if response is not None and _pool is not None and (self.get_retry_after(response) or 0) > LONGEST_WAIT:
            raise MaxRetryError(_pool, url or "", ResponseError("asked to wait too long"))
        return super().increment(method, url, response, error, _pool, _stacktrace)


def _retries(repeat: bool) -> Retry:
    return _Retries(
        total=TRIES - 1,
        connect=TRIES - 1,
        read=TRIES - 1 if repeat else False,
        status=TRIES - 1,
        redirect=0,
        other=0,
        allowed_methods=None,
        status_forcelist=PASSING if repeat else NOT_DONE,
        backoff_factor=0.5,  # after 0, 1 and 2 s
        raise_on_status=False,
        raise_on_redirect=False,
    )


class _Adapter(HTTPAdapter):
    """requests' own, except that a file of certificates to trust is not read again for each connection, which takes 15 ms."""

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Have the connections of a pool trust what requests has them trust."""
        try:
            if isinstance(verify, str):
                os.stat(verify)
            super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
            if conn.ca_certs and conn.proxy is None:  # a proxy's own TLS goes by `ca_certs`
                conn.conn_kw["ssl_context"] = _trusting(conn.ca_certs)
                conn.ca_certs = None
        except OSError as error:
            raise unreadable_bundle(verify, error) from None


_CONTEXTS = threading.local()


def _trusting(bundle: str) -> ssl.SSLContext:
    """The TLS context that trusts a file of certificates as it is now: one for each thread, since urllib3 writes to it.

    Raises:
        OSError: the file cannot be read, or has no certificate.
    """
    found = os.stat(bundle)
    version = (found.st_ino, found.st_size, found.st_mtime_ns)
    made: dict[str, tuple[tuple[int, int, int], ssl.SSLContext]] = _CONTEXTS.__dict__
    if bundle not in made or made[bundle][0] != version:
        context = create_urllib3_context()
        context.load_verify_locations(bundle)
        made[bundle] = version, context
    return made[bundle][1]


def address(endpoint: str, path: str) -> str:
    """The URL of a path below an endpoint: of no other host, whatever the path is.

    >>> address("https://graph.microsoft.com", "/v1.0/me")
    'https://graph.microsoft.com/v1.0/me'

    Raises:
        ConfigurationError: the path does not begin with a slash, and would become a part of the host's name.
    """
    if not path.startswith("/"):
        raise ConfigurationError(f'"{path}" is no path below {endpoint}: it does not begin with "/"; nothing was sent')
    return endpoint.rstrip("/") + path


def get_json(url: str, **options: Any) -> dict[str, Any]:
    """GET a JSON object; see `call`."""
    return call("GET", url, **options)


def call(
    method: str,
    url: str,
    *,
    token: str | None = None,
    scheme: str = "Bearer",
    json: Any = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    repeat: bool | None = None,
) -> dict[str, Any]:
    """Make one request; the JSON object of a 2xx answer, or an empty one where it has no body. `scheme` is the kind of the token.

    What a service says it did not do (429, 503) is asked again, at most `TRIES` times in all, as is a connection that was not
    made. With `repeat` (unless said otherwise, all but POST and PATCH) so are other passing failures: 408, 500, 502, 504 and a
    connection that broke while it waited.

    Raises:
        RefusedError: any other answer, with the service's code and message.
        UnreachableError: no answer.
        ConfigurationError: REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names nothing to trust.
    """

    again = method not in ("POST", "PATCH") if repeat is None else repeat
    where = f"{method} {url}"
    answer = _request(method, url, token=token, scheme=scheme, repeat=again, json=json, params=params, headers=headers)
    if not answer.ok:
        raise refusal(where, answer)
    if not answer.content:
        return {}
    try:
        body = answer.json()
    except requests.exceptions.JSONDecodeError as error:
        raise RefusedError(f"{where}: the answer is not JSON", status=answer.status_code) from error
    return body if isinstance(body, dict) else {"value": body}


def content(url: str, most: int, *, token: str | None = None) -> bytes:
    """GET a file of at most `most` bytes.

    Raises:
        RefusedError: any other answer than 2xx, or a larger file. UnreachableError: no answer.
    """
    answer = _request("GET", url, token=token, repeat=True)
    if not answer.ok:
        raise refusal(f"GET {url}", answer)
    if len(answer.content) > most:
        raise RefusedError(f"GET {url}: the file is larger than {most} bytes", status=answer.status_code)
    return answer.content


def tell(url: str, body: Any, called: str) -> None:
    """POST JSON, once unless it is said that nothing was done; any answer of 2xx will do. `called` stands for the URL in errors.

    Raises:
        RefusedError: any other answer, a redirect too. UnreachableError: no answer.
    """
    answer = _request("POST", url, token=None, repeat=False, json=body, allow_redirects=False)
    if answer.status_code // 100 != 2:
        raise refusal(f"POST to {called}", answer)


def _request(
    method: str, url: str, *, token: str | None, scheme: str = "Bearer", repeat: bool, **options: Any
) -> requests.Response:
    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        # An auth callable, not a header: requests lets ~/.netrc overwrite a header.
        if token is not None:
            request.headers["Authorization"] = f"{scheme} {token}"
        return request

    where = f"{method} {url}"
    try:
        with requests.Session() as session:
            session.mount("https://", _Adapter(max_retries=_retries(repeat)))
            session.mount("http://", HTTPAdapter(max_retries=_retries(repeat)))
            return session.request(method, url, auth=authorize, timeout=TIMEOUT, **options)
    except requests.exceptions.SSLError as error:
        raise UnreachableError(
            f"{where}: the server's certificate is not trusted ({_short(error)})",
            next_step="name the CA bundle to trust in REQUESTS_CA_BUNDLE",
        ) from error
    except requests.RequestException as error:
        local = url.startswith("https://localhost:")
        raise UnreachableError(
            f"{where}: no answer ({_short(error)})",
            next_step="start the local Azure again: `python3 -m entrant rehearse STACK`, or `local start` for one by itself"
            if local
            else "check the network, then try again",
        ) from error


def refusal(where: str, answer: requests.Response) -> RefusedError:
    """The error for an answer that is not 2xx: Azure's code, and every message from the outermost to the innermost."""
    try:
        code, message = error_text(answer.json())
    except ValueError:
        code, message = None, ""
    message = message or answer.text.strip()[:500]
    return RefusedError(
        f"{where}: {answer.status_code} {answer.reason}: {message}".removesuffix(": "),
        status=answer.status_code,
        code=code,
        next_step=next_step(answer.text),
    )


def _short(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    return str(getattr(cause, "reason", cause)).split("\n")[0][:200]
