"""Single values of an environment file: durations, ids, scopes, roles, references to other apps.

Each type reads text into what it means and refuses anything else with the remedy. Those that depend on the rest of the file
(named scopes, custom roles, other apps) find it in the validation context, `Known`.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal, cast
from urllib.parse import urlsplit

from pydantic import (
    PlainSerializer,
    PlainValidator,
    StrictStr,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import core_schema

from entrant import times
from entrant.facts import apis
from entrant.facts.directory_roles import DirectoryRole, directory_roles, find_directory_role
from entrant.facts.roles import builtin_roles, find_role
from entrant.facts.scopes import GUID, Scope, is_guid

from .broken import BROKEN
from .files import parse_logo
from .known import ApiReference, Known, Owner, Reference, Role, known_of, scope_of
from .problems import Refused, did_you_mean, shorten
from .source import text_of

NAME: Final = r"[a-z][a-z0-9_-]*"


# ------------------------------------------------------------------------------------------------------------ plain values


def parse_duration(value: Any) -> timedelta:
    """A duration of whole hours such as `90d`, `12h` or `2w`; raises `Refused` for anything else."""
    text = text_of(value)
    if not re.fullmatch(r"[0-9]{1,5}[hdw]", text):
        raise Refused("expected a duration such as 90d, 12h or 2w")
    return times.duration(text)


def moment_text(moment: datetime) -> str:
    """A UTC time as Microsoft Graph writes it: `2026-11-01T00:00:00Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def duration_text(duration: timedelta) -> str:
    """A duration of whole hours as `parse_duration` reads it."""
    hours = duration // timedelta(hours=1)
    return f"{hours}h" if hours % 24 else f"{hours // 24}d"


def parse_moment(value: Any) -> datetime:
    """A date (midnight UTC) or an RFC 3339 time with zone, as UTC to the second; raises `Refused` for anything else."""
    try:
        return times.moment(text_of(value))
    except Refused:
        raise
    except ValueError as error:
        raise Refused(str(error)) from None


def parse_guid(value: Any) -> str:
    """A GUID in lower case; raises `Refused` for anything else."""
    text = text_of(value)
    if not is_guid(text):
        raise Refused(f'expected a GUID such as 00000000-0000-0000-0000-000000000000; found "{shorten(text)}"')
    return text.lower()


def parse_url(value: Any, *schemes: str) -> str:
    """An absolute URL with one of the schemes; raises `Refused` for anything else."""
    text = text_of(value)
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        host = None
    wanted = " or ".join(f"{scheme}://" for scheme in schemes)
    if not host or parts.scheme.lower() not in schemes or any(character.isspace() for character in text):
        raise Refused(f'expected a URL that starts with {wanted}; found "{shorten(text)}"')
    return text


def parse_email(value: Any) -> str:
    """An e-mail address, loosely; raises `Refused` for anything else."""
    text = text_of(value)
    found = re.fullmatch(r"[^@\s]+@([^@\s]+)", text)
    if found is None or "." not in found[1][1:-1]:
        raise Refused(f'expected an e-mail address such as team@contoso.com; found "{shorten(text)}"')
    return text


# --------------------------------------------------------------------------------------------------------- scopes and roles


_ROLE_ID = re.compile(rf"(?:/.*)?/providers/Microsoft\.Authorization/roleDefinitions/({GUID.pattern})", re.IGNORECASE)


def parse_role(value: Any, known: Known | None = None) -> Role:
    """A role by name, GUID or full id; raises `Refused` with the nearest name for an unknown one."""
    text = text_of(value)
    declared = known.roles if known is not None else {}
    if text.lower() in declared:
        return declared[text.lower()]
    if match := _ROLE_ID.fullmatch(text):
        text = match[1]
    if role := find_role(text):
        return Role(role.name, role.id)
    if is_guid(text):
        return Role(text.lower(), text.lower())
    if text.startswith("/"):
        form = "/subscriptions/<guid>/providers/Microsoft.Authorization/roleDefinitions/<guid>"
        raise Refused(f"this is not the id of a role definition; expected {form}")
    if known is not None and not known.all_read:
        return cast(Role, BROKEN)
    hint = did_you_mean(text, (*declared, *(role.name for role in builtin_roles())))
    more = "; a custom role is declared under `role_definitions` or given by its GUID"
    raise Refused(f'no role is called "{shorten(text)}"{hint or more}')


def parse_directory_role(value: Any) -> DirectoryRole:
    """A Microsoft Entra directory role by name or template id; raises `Refused` with the nearest name."""
    text = text_of(value)
    if role := find_directory_role(text):
        return role
    if is_guid(text):
        return DirectoryRole(text.lower(), text.lower(), privileged=False)
    hint = did_you_mean(text, (role.name for role in directory_roles()))
    if not hint and find_role(text):
        hint = "; this is an Azure role: it belongs under `roles`, with a scope"
    raise Refused(f'no directory role is called "{shorten(text)}"{hint or "; a custom one is given by its GUID"}')


# -------------------------------------------------------------------------------------------------- references and owners


def parse_reference(value: Any, known: Known) -> Reference:
    """Another registration: an app of this environment by name, any by client id; raises `Refused`."""
    text = text_of(value)
    if is_guid(text):
        return Reference(client_id=text.lower())
    if text in known.apps:
        return Reference(app=text)
    if not known.all_read:
        return cast(Reference, BROKEN)
    hint = did_you_mean(text, known.apps) or "; other registrations are given by their client id, a GUID"
    raise Refused(f'no app of this environment is called "{shorten(text)}"{hint}')


def parse_owner(value: Any, known: Known) -> Owner:
    """An owner: object id, app name, user principal name or `deployer`; raises `Refused`."""
    text = text_of(value)
    if is_guid(text):
        return Owner("object", text.lower())
    if "@" in text:
        return Owner("user", parse_email(text))
    if text == "deployer":
        return Owner("deployer", text)
    if text in known.apps:
        return Owner("app", text)
    if not known.all_read:
        return cast(Owner, BROKEN)
    forms = "an owner is an object id, an app of this environment, a user principal name, or `deployer`"
    hint = did_you_mean(text, (*known.apps, "deployer")) or f"; {forms}"
    raise Refused(f'"{shorten(text)}" is not a known owner{hint}')


def parse_api(value: Any, known: Known) -> ApiReference:
    """An API by name, client id or app name; raises `Refused`."""
    text = text_of(value)
    names = {name.lower(): name for name in apis.FIRST_PARTY}
    if text.lower() in names:
        name = names[text.lower()]
        return ApiReference(name, client_id=apis.FIRST_PARTY[name])
    if is_guid(text):
        name = next((name for name, guid in apis.FIRST_PARTY.items() if guid == text.lower()), text.lower())
        return ApiReference(name, client_id=text.lower())
    if text in known.apps:
        return ApiReference(text, app=text)
    if not known.all_read:
        return cast(ApiReference, BROKEN)
    hint = did_you_mean(text, (*apis.FIRST_PARTY, *known.apps))
    raise Refused(f'no API is called "{shorten(text)}"{hint or "; give the client id of any other API, a GUID"}')


# -------------------------------------------------------------------------------------------------------------------- files


# ------------------------------------------------------------------------------------------------------------ field types

_SCOPE_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["subscription"],
            "properties": {"subscription": {"type": "string", "description": "GUID of a subscription."}},
        },
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["management_group"],
            "properties": {"management_group": {"type": "string", "description": "Name of a management group."}},
        },
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["resource_group"],
            "properties": {
                "resource_group": {"type": "string", "description": "Name of a resource group."},
                "subscription": {"type": "string", "description": "Its subscription. Default: the environment's."},
            },
        },
    ],
}
_STRING: Final[dict[str, Any]] = {"type": "string"}


def _text_schema(**more: Any) -> WithJsonSchema:
    return WithJsonSchema({**_STRING, **more})


@dataclass(frozen=True, slots=True)
class _Suggested:
    """Any text, with names that an editor can complete."""

    names: Callable[[], Iterable[str]]

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(self.names())}, dict(_STRING)]}


@dataclass(frozen=True, slots=True)
class Shaped:
    """A text that matches a pattern; `form` says in words what it looks like."""

    pattern: str
    form: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**_STRING, "pattern": f"^{self.pattern}$"}

    def _check(self, value: Any) -> str:
        text = text_of(value)
        if not re.fullmatch(self.pattern, text):
            raise Refused(f'expected {self.form}; found "{shorten(text)}"')
        return text


Guid = Annotated[str, PlainValidator(parse_guid), _text_schema(pattern=f"^{GUID.pattern}$")]
Duration = Annotated[
    timedelta,
    PlainValidator(parse_duration),
    PlainSerializer(duration_text),
    _text_schema(pattern="^[0-9]{1,5}[hdw]$"),
]
Moment = Annotated[
    datetime,
    PlainValidator(parse_moment),
    PlainSerializer(moment_text),
    _text_schema(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}"),
]
HttpsUrl = Annotated[str, PlainValidator(lambda value: parse_url(value, "https")), _text_schema(pattern="^https://")]
HttpUrl = Annotated[
    str, PlainValidator(lambda value: parse_url(value, "https", "http")), _text_schema(pattern="^https?://")
]
Email = Annotated[str, PlainValidator(parse_email), _text_schema(pattern="@")]
Logo = Annotated[str, PlainValidator(parse_logo), _text_schema()]
ScopeRef = Annotated[
    Scope,
    PlainValidator(lambda value, info: scope_of(value, known_of(info))),
    PlainSerializer(lambda scope: scope.id),
    WithJsonSchema(_SCOPE_SCHEMA),
]
NamedScope = Annotated[
    Scope,
    PlainValidator(lambda value, info: scope_of(value, known_of(info), names=False)),
    WithJsonSchema(_SCOPE_SCHEMA),
]
RoleRef = Annotated[
    Role,
    PlainValidator(lambda value, info: parse_role(value, known_of(info))),
    _Suggested(lambda: (role.name for role in builtin_roles())),
]
DirectoryRoleRef = Annotated[
    DirectoryRole,
    PlainValidator(parse_directory_role),
    _Suggested(lambda: (role.name for role in directory_roles())),
]
AppRef = Annotated[
    Reference,
    PlainValidator(lambda value, info: parse_reference(value, known_of(info))),
    PlainSerializer(lambda other: other.app or other.client_id),
    _text_schema(),
]
OwnerRef = Annotated[
    Owner,
    PlainValidator(lambda value, info: parse_owner(value, known_of(info))),
    PlainSerializer(lambda owner: owner.value),
    _text_schema(),
]
ApiRef = Annotated[
    ApiReference,
    PlainValidator(lambda value, info: parse_api(value, known_of(info))),
    _Suggested(lambda: apis.FIRST_PARTY),
]
Name = Annotated[StrictStr, StringConstraints(pattern=f"^{NAME}$", max_length=60)]
OnRemove = Literal["keep", "delete"]
Text = Annotated[StrictStr, StringConstraints(min_length=1)]


def parse_former(value: Any) -> tuple[str, ...]:
    """One name, or several, the first that the thing had first; raises `Refused`."""
    names = value if isinstance(value, list | tuple) else (value,)
    if not names:
        raise Refused("expected the name that it had before")
    found = tuple(text_of(name) for name in names)
    if "" in found or len(set(found)) < len(found):
        raise Refused("expected the names that it had before, each once")
    return found


RenamedFrom = Annotated[
    tuple[str, ...],
    PlainValidator(parse_former),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]}),
]
"""The name before, or all of them, the first one first."""
