"""HTTP calls to Azure's data planes, with errors that say what was asked and what came back. Never shows a token."""

from collections.abc import Mapping
from typing import Any

import requests

from entrant.errors import RefusedError, UnreachableError
from entrant.explain import next_step

TIMEOUT = (10.0, 180.0)
"""Seconds to connect, and to wait for an answer."""


def get_json(url: str, **options: Any) -> dict[str, Any]:
    """GET a JSON object; see `call`."""
    return call("GET", url, **options)


def call(
    method: str,
    url: str,
    *,
    token: str | None = None,
    json: Any = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Make one request; the JSON object of a 2xx answer, or an empty one where it has no body.

    Raises:
        RefusedError: any other answer, with the service's code and message.
        UnreachableError: no answer.
    """

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        # An auth callable, not a header: requests lets ~/.netrc overwrite a header.
        if token is not None:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    where = f"{method} {url}"
    try:
        answer = requests.request(
            method, url, json=json, params=params, headers=headers, auth=authorize, timeout=TIMEOUT
        )
    except requests.exceptions.SSLError as error:
        raise UnreachableError(
            f"{where}: the server's certificate is not trusted ({_short(error)})",
            next_step="name the CA bundle to trust in REQUESTS_CA_BUNDLE",
        ) from error
    except requests.RequestException as error:
        raise UnreachableError(
            f"{where}: no answer ({_short(error)})", next_step="check the network, then try again"
        ) from error
    if not answer.ok:
        raise refusal(where, answer)
    if not answer.content:
        return {}
    try:
        body = answer.json()
    except requests.exceptions.JSONDecodeError as error:
        raise RefusedError(f"{where}: the answer is not JSON", status=answer.status_code) from error
    return body if isinstance(body, dict) else {"value": body}


def refusal(where: str, answer: requests.Response) -> RefusedError:
    """The error for an answer that is not 2xx: Azure's code and message, innermost code included."""
    code, message = None, answer.text.strip()[:500]
    try:
        error = answer.json()["error"]
        code, message = str(error["code"]), str(error["message"])
        inner = error.get("innererror")
        if isinstance(inner, dict) and inner.get("message"):
            message = f"{message}: {inner.get('code')}: {inner['message']}"
    except (ValueError, KeyError, TypeError):  # not Azure's error body: the text as it is
        pass
    return RefusedError(
        f"{where}: {answer.status_code} {answer.reason}{f': {code}' if code else ''}: {message}",
        status=answer.status_code,
        code=code,
        next_step=next_step(code),
    )


def _short(error: Exception) -> str:
    cause = error.args[0] if error.args else error
    return str(getattr(cause, "reason", cause)).split("\n")[0][:200]
