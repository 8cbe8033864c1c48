"""What values of azuread's properties must look like."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from entrant.facts import scopes
from local_azure.plugins.schema import Check
from local_azure.plugins.values import UNKNOWN, Properties

GUID = scopes.GUID.pattern


def matches(pattern: str, wrong: str) -> Check:
    compiled = re.compile(rf"(?:{pattern})\Z")
    return lambda value: None if compiled.match(value) else f"{wrong}, but is {value!r}"


def one_of(*values: str) -> Check:
    return lambda value: None if value in values else f"must be one of {', '.join(values)}, but is {value!r}"


def length(least: int, most: int) -> Check:
    return lambda value: (
        None if least <= len(value) <= most else f"must be {least} to {most} characters long, but has {len(value)}"
    )


def not_empty(value: str) -> str | None:
    return None if value else "must not be empty"


def not_blank(value: str) -> str | None:
    return None if value.strip() else "must not be blank"


def rfc3339(value: str) -> str | None:
    try:
        if re.match(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z", value):
            datetime.fromisoformat(value)
            return None
    except ValueError:
        pass
    return f"must be a date like 2018-01-01T01:02:03Z, but is {value!r}"


def in_base64(value: str) -> str | None:
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return "must be base64"
    return None


def claim_value(value: str) -> str | None:
    if len(value) > 249:
        return "must be at most 249 characters long"
    if value.startswith("."):
        return "must not begin with a period"
    if re.search(r"[^A-Za-z0-9:!#$%&'()*+,./;<=>?@\[\]^_{|}~`-]", value):
        return "must be letters, digits and !#$%&'()*+,-./:;<=>?@[]^+_`{|}~"
    return None


def uri(schemes: tuple[str, ...] = (), *, urn: bool = False, need_path: bool = False, longest: int = 0) -> Check:
    def test(value: str) -> str | None:
        if not value:
            return "must not be empty"
        if urn and value.startswith("urn:") and value.count(":") >= 2:
            return None
        try:
            parts = urlsplit(value)
        except ValueError:
            return "is not a URI"
        if not parts.netloc:
            return f"has no host: {value!r}"
        if schemes and need_path and not parts.path:
            return f"must have a trailing slash when there is no path: {value!r}"
        if schemes and parts.scheme not in schemes:
            return f"must begin with one of {', '.join(schemes)}, but is {value!r}"
        if longest and len(value) > longest:
            return f"must be at most {longest} characters long"
        return None

    return test


def personal_accounts(inputs: Properties) -> Iterator[str]:
    """Limits for applications that personal accounts can sign in to. Source: Microsoft's supported-accounts-validation."""
    audience = inputs.get("signInAudience")
    if audience not in ("AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount"):
        return
    api = inputs.get("api")
    api = api if isinstance(api, Mapping) else {}
    if api.get("requestedAccessTokenVersion", 1) not in (2, UNKNOWN):
        yield f"api.requestedAccessTokenVersion must be 2 when signInAudience is {audience!r}"
    scopes = api.get("oauth2PermissionScopes")
    if isinstance(scopes, list) and len(scopes) > 100:
        yield f"at most 100 api.oauth2PermissionScopes are allowed when signInAudience is {audience!r}"
    uris = inputs.get("identifierUris")
    if isinstance(uris, list):
        if len(uris) > 50:
            yield f"at most 50 identifierUris are allowed when signInAudience is {audience!r}"
        for uri in uris:
            if uri is not UNKNOWN and urlsplit(uri).scheme not in ("http", "https", "api", "ms-appx"):
                yield f"identifierUris: {uri!r} has a scheme that is not allowed when signInAudience is {audience!r}"


def no_duplicate_permissions(inputs: Properties) -> Iterator[str]:
    """An id and a value belong to one permission. Source: Microsoft Graph refuses anything else."""
    api = inputs.get("api")
    roles, scopes = inputs.get("appRoles"), (api.get("oauth2PermissionScopes") if isinstance(api, Mapping) else None)
    seen: dict[str, str] = {}
    values: dict[str, str] = {}
    for item in [*(roles if isinstance(roles, list) else []), *(scopes if isinstance(scopes, list) else [])]:
        identity, value = (item.get("id"), item.get("value")) if isinstance(item, Mapping) else (None, None)
        if not isinstance(identity, str) or not isinstance(value, str) or not value:
            continue
        if seen.setdefault(identity, value) != value:
            yield f"validation failed: duplicate ID found: {identity!r}"
        if values.setdefault(value, identity) != identity:
            yield f"validation failed: duplicate value found: {value!r}"
