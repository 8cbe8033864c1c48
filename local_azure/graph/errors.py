"""Microsoft Graph's errors: codes, texts and body."""

from __future__ import annotations

from typing import Any, NoReturn

from local_azure.wire import Refused, Reply, new_guid, utc


def refuse(status: int, code: str, message: str, *, details: list[dict[str, Any]] | None = None) -> NoReturn:
    """Raise an error in Graph's shape. The server fills in the time and request id of `innerError`."""
    request = new_guid()
    error: dict[str, Any] = {"code": code, "message": message}
    if details:
        error["details"] = details
    error["innerError"] = {"date": utc(0).removesuffix("Z"), "request-id": request, "client-request-id": request}
    raise Refused(Reply(status, {"error": error}, {"request-id": request, "client-request-id": request}), code, message)


def bad_request(message: str, *, code: str = "Request_BadRequest") -> NoReturn:
    """400: the request itself is wrong."""
    refuse(400, code, message)


def not_found(object_id: str) -> NoReturn:
    """404 as Graph says it for an object that does not exist (or not yet, or of another kind)."""
    text = f"Resource '{object_id}' does not exist or one of its queried reference-property objects are not present."
    refuse(404, "Request_ResourceNotFound", text)


def denied() -> NoReturn:
    """403: the token lacks the permission."""
    refuse(403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")


def invalid_value(name: str, kind: str) -> NoReturn:
    """400 for a property whose value is not what it may be."""
    bad_request(f"Invalid value specified for property '{name}' of resource '{kind}'.")
