"""Single values of an environment file: durations, ids, scopes, roles, references to other apps.

Each type reads text into what it means and refuses anything else with the remedy. Those that depend on the rest of the file
(named scopes, custom roles, other apps) find it in the validation context, `Known`.
"""

import base64
import binascii
import re
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, cast, get_origin
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    StrictStr,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, core_schema

from entrant import times
from entrant.facts import apis, limits
from entrant.facts.directory_roles import DirectoryRole, directory_roles, find_directory_role
from entrant.facts.roles import builtin_roles, find_role
from entrant.facts.scopes import GUID, Scope, ScopeError, is_guid, parse_scope

from .broken import BROKEN, attempt
from .problems import Refused, did_you_mean, shorten
from .source import contents, expected

_IDS: Final = uuid.UUID("c2a0f0de-7c39-4e6f-9a43-31c15fb4a9d5")
"""Namespace of ids made from names. Never change it: every app role, exposed scope and custom role would be replaced."""

NAME: Final = r"[a-z][a-z0-9_-]*"


class Model(BaseModel):
    """Base of all models: unknown keys are errors, values do not change, docstrings describe fields (`schema` reads them).

    A value that is wrong and reported is `BROKEN` here, so that the rest can be checked beside it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def together(self) -> Iterator[Refused]:
        """What is wrong with the values taken together, each of which is sound by itself."""
        yield from ()

    @model_validator(mode="after")
    def _together(self) -> Self:
        refused = [each for each in attempt(self.together()) if not _leads_to_broken(self, each.path)]
        refused += self._twice({each.path for each in refused})
        if refused:
            raise _invalid((tuple(step for step in each.path if step is not KEY), each) for each in refused)
        return self

    def _twice(self, told: Collection[tuple[Any, ...]]) -> Iterator[Refused]:
        """Texts that a list has twice, but for what has been told."""
        for name in sorted(self.model_fields_set):
            values, first = getattr(self, name), dict[str, int]()
            for index, value in enumerate(values if isinstance(values, tuple) else ()):
                if isinstance(value, str) and first.setdefault(value, index) != index and (name, index) not in told:
                    message = f'"{shorten(value)}" is there twice; entry {first[value]} is the same, keep one'
                    yield Refused(message, name, index)

    @field_validator("*", mode="wrap")
    @classmethod
    def _beside_what_is_broken(cls, value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """Check what is not broken: all of a value, or what there is of a list or of a mapping by name."""
        if value is BROKEN:
            return value
        by_name = get_origin(cls.model_fields[str(info.field_name)].annotation) is dict
        if by_name and isinstance(value, dict):
            if not any(item is BROKEN or isinstance(key, Misnamed) for key, item in value.items()):
                return check(value)
            names = {
                f"misnamed-{place}" if isinstance(key, Misnamed) else key: key
                for place, (key, item) in enumerate(value.items())
                if item is not BROKEN
            }
            found = _known_of(check, {name: value[key] for name, key in names.items()}, names)
            known = {names[name]: item for name, item in found.items()} if found else {}
            return {str(key): known.get(key, BROKEN) for key in value}
        if isinstance(value, list) and any(item is BROKEN for item in value):
            places = dict(enumerate(place for place, item in enumerate(value) if item is not BROKEN))
            found = _known_of(check, [value[place] for place in places.values()], places)
            known = dict(zip(places.values(), found or (), strict=True))
            return tuple(known.get(place, BROKEN) for place in range(len(value)))
        return check(value)


class Misnamed(str):
    """A key that is no name, and reported; what it holds is checked all the same."""


def _known_of(check: ValidatorFunctionWrapHandler, known: Any, steps: Mapping[Any, Any]) -> Any:
    """What is known of a list or a mapping, checked; None when nothing is. `steps` leads from its paths to those in the whole."""
    try:
        return check(known)
    except ValidationError as error:
        faults = [fault for fault in error.errors() if fault["type"] != "too_short" or fault["loc"]]
        if not faults:
            return None
        paths = [
            (steps.get(fault["loc"][0], fault["loc"][0]), *fault["loc"][1:]) if fault["loc"] else () for fault in faults
        ]
        raise _invalid(zip(paths, faults, strict=True)) from None


def _leads_to_broken(value: Any, path: tuple[Any, ...]) -> bool:
    """Whether what a path is about is wrong by itself, and reported."""
    for step in path:
        value = value[step] if isinstance(value, dict | tuple) else getattr(value, str(step), None)
        if value is BROKEN:
            return True
    return False


def _invalid(faults: Iterable[tuple[tuple[Any, ...], Any]]) -> ValidationError:
    """What pydantic raises: faults, each a `Refused` or one of its own, at paths below the value that is validated."""
    return ValidationError.from_exception_data(
        "together",
        [
            InitErrorDetails(type="value_error", loc=path, input=None, ctx={"error": fault})
            if isinstance(fault, Refused)
            else InitErrorDetails(type=fault["type"], loc=path, input=fault["input"], ctx=fault.get("ctx", {}))
            for path, fault in faults
        ],
    )


@dataclass(frozen=True, slots=True)
class Role:
    """An Azure role: `guid` of its role definition, `name` where it is known, else the GUID.

    `declared` is its key under `role_definitions` when this environment declares it.
    """

    name: str
    guid: str
    declared: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """Another registration: an app of this environment, or any by its client id."""

    app: str | None = None
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Who owns a registration: an object id, an app of this environment, a user principal name, or whoever runs Pulumi."""

    kind: Literal["object", "app", "user", "deployer"]
    value: str

    def key(self) -> tuple[str, str]:
        """What tells owners apart; user principal names compare without regard to case."""
        return self.kind, self.value.lower()


@dataclass(frozen=True, slots=True)
class ApiReference:
    """An API whose permissions are asked for: by `client_id`, or an app of this environment."""

    name: str
    client_id: str | None = None
    app: str | None = None

    @property
    def key(self) -> str:
        """Its part of a resource name; an app that is called like one of Microsoft's APIs is told from it."""
        if self.app is None:
            return slug(self.name)
        return f"app-{self.app}" if self.app in {slug(name) for name in apis.FIRST_PARTY} else self.app


@dataclass(frozen=True, slots=True)
class Known:
    """What single values need of the whole file. What is itself wrong is `BROKEN`; it is reported where it stands."""

    scopes: Mapping[str, Scope] = field(default_factory=dict)
    subscription: str | None = None
    roles: Mapping[str, Role] = field(default_factory=dict)
    """Custom roles by key and by name in lower case."""
    apps: tuple[str, ...] = ()
    all_read: bool = True
    """Whether every file was read; else a name that is not known here may be of one that was not, and is `BROKEN`."""

    @classmethod
    def of(cls, data: Mapping[str, Any], *, all_read: bool = True) -> "Known":
        """Read from a file's plain data, without a word about what is wrong."""
        subscription = data.get("subscription")
        sound = subscription is None or (isinstance(subscription, str) and is_guid(subscription))
        known = cls(subscription=subscription if sound and (subscription or all_read) else BROKEN, all_read=all_read)
        scopes: dict[str, Scope] = {}
        for key, value in _mapping(data.get("scopes")).items():
            try:
                scopes[key] = scope_of(value, known, names=False)
            except Refused:
                scopes[key] = BROKEN
        known = cls(scopes, known.subscription, all_read=all_read)
        roles: dict[str, Role] = {}
        for key, value in _mapping(data.get("role_definitions")).items():
            role = _declared(key, _mapping(value), known)
            name = _mapping(value).get("name")
            for alias in {key, name, role.guid if role is not BROKEN else key} if isinstance(name, str) else {key}:
                roles[alias.lower()] = role
        return cls(scopes, known.subscription, roles, tuple(_mapping(data.get("apps"))), all_read)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _declared(key: str, value: Mapping[str, Any], known: Known) -> Role:
    places = value.get("assignable_scopes")
    try:
        first = scope_of(places[0], known) if isinstance(places, list) and places else BROKEN
    except Refused:
        first = BROKEN
    name = value.get("name", key)
    adopted = value.get("adopt")
    if first is BROKEN or not isinstance(name, str) or (adopted is not None and not is_guid(adopted)):
        return cast(Role, BROKEN)
    if adopted is not None:
        return Role(name, adopted.lower(), key)
    former = value.get("renamed_from")
    first_key = first_name(key, (former,) if isinstance(former, str) else former if isinstance(former, list) else ())
    return Role(name, custom_role_id(str(first_key), first), key)


def first_name(name: str, renamed_from: Sequence[str]) -> str:
    """The name that ids are made from: the first that the thing had."""
    return renamed_from[0] if renamed_from else name


def custom_role_id(key: str, scope: Scope) -> str:
    """The GUID of a declared role definition: the same for the same first key and first assignable scope."""
    return str(uuid.uuid5(_IDS, f"role definition|{scope.id}|{key}".lower()))


def permission_id(app: str, kind: str, value: str) -> str:
    """The id of an app role or an exposed scope: the same for the same first names of app and value, in every environment."""
    return str(uuid.uuid5(_IDS, f"{kind}|{app}|{value}"))


def known_of(info: ValidationInfo) -> Known:
    """The context of a validation; an empty one when a model is used outside a file."""
    return info.context if isinstance(info.context, Known) else Known()


# ------------------------------------------------------------------------------------------------------------ plain values


def text_of(value: Any) -> str:
    """The value if it is a text with something in it."""
    if not isinstance(value, str) or not value:
        raise Refused(expected("text", value))
    return value


def parse_duration(value: Any) -> timedelta:
    """A duration of whole hours such as `90d`, `12h` or `2w`; raises `Refused` for anything else."""
    text = text_of(value)
    if not re.fullmatch(r"[0-9]{1,5}[hdw]", text):
        raise Refused("expected a duration such as 90d, 12h or 2w")
    return times.duration(text)


def moment_text(moment: datetime) -> str:
    """A UTC time as Microsoft Graph writes it: `2026-11-01T00:00:00Z`."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def slug(text: str) -> str:
    """Lower-case words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


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

_SCOPE_KEYS: Final = ("subscription", "management_group", "resource_group")


def scope_of(value: Any, known: Known, *, names: bool = True) -> Scope:
    """The scope that a name, an id or a mapping stands for; raises `Refused`.

    A name whose own entry is wrong is `BROKEN`, so that it is reported only once.
    """
    if isinstance(value, dict):
        return _scope_of_parts(value, known)
    if not isinstance(value, str) or not value:
        forms = "{subscription: …}, {resource_group: …} or {management_group: …}"
        raise Refused(expected(f"a scope: a name from `scopes`, an id such as /subscriptions/…, {forms}", value))
    if value.startswith("/") or not names:
        return _scope_of_id(value)
    if value not in known.scopes:
        if not known.all_read:
            return cast(Scope, BROKEN)
        there = shorten(", ".join(sorted(known.scopes)) or "none", 120)
        hint = did_you_mean(value, known.scopes) or f" (named there: {there}); a full id starts with /"
        raise Refused(f'no scope is called "{shorten(value)}" under `scopes`{hint}')
    return known.scopes[value]


def _scope_of_id(text: str, *place: str) -> Scope:
    try:
        return parse_scope(text)
    except ScopeError as error:
        form = "/subscriptions/<guid>/resourceGroups/<name>/providers/<namespace>/<type>/<name>, or a beginning of it"
        message = str(error)
        raise Refused(
            shorten(message if "/subscriptions/" in message else f"{message}; expected {form}", 400), *place
        ) from None


def _scope_of_parts(value: dict[str, Any], known: Known) -> Scope:
    forms = ("subscription",), ("management_group",), ("resource_group",), ("resource_group", "subscription")
    if tuple(sorted(value)) not in forms:
        message = "a scope is {subscription: …}, {management_group: …} or {resource_group: …, subscription: …}"
        wrong = next((key for key in value if key not in _SCOPE_KEYS), None)
        if wrong is None:
            raise Refused(message)
        hint = did_you_mean(wrong, _SCOPE_KEYS) or f"; {message}"
        raise Refused(f'unknown key "{shorten(wrong)}"{hint}', wrong, KEY)
    for key, part in value.items():
        if not isinstance(part, str) or not part:
            raise Refused(expected("text", part), key)
    if "management_group" in value:
        name = value["management_group"]
        return _scope_of_id(f"/providers/Microsoft.Management/managementGroups/{name}", "management_group")
    subscription = value.get("subscription", known.subscription)
    if subscription is BROKEN:
        return cast(Scope, BROKEN)
    if subscription is None:
        raise Refused("which subscription? Add `subscription` here, or once at the top of the file", "resource_group")
    if not is_guid(subscription):
        raise Refused(f'"{shorten(subscription)}" is not a subscription GUID', "subscription")
    if "resource_group" not in value:
        return _scope_of_id(f"/subscriptions/{subscription}")
    return _scope_of_id(f"/subscriptions/{subscription}/resourceGroups/{value['resource_group']}", "resource_group")


KEY: Final = object()
"""Last step of a `Refused` path that is about a key rather than its value."""

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


class FileName(str):
    """A path in a file, with the directory that relative paths start at: that of the file it was written in."""

    directory: Path

    @classmethod
    def at(cls, text: str, directory: Path) -> "FileName":
        """The path `text`, written in a file of `directory`."""
        name = cls(text)
        name.directory = directory
        return name


def path_of(value: str) -> Path:
    """The path that a text in a file means: a relative one starts at the file's directory."""
    return (value.directory if isinstance(value, FileName) else Path()) / value


def read_file(value: Any, limit: int) -> bytes:
    """The content of a file named in the environment; raises `Refused` when there is none or it is too large."""
    text = text_of(value)
    if "\0" in text:
        raise Refused("a path has no NUL character")
    try:
        data = contents(path_of(value), limit)
    except OSError as error:
        reason = error.strerror or "it cannot be opened"
        raise Refused(
            f'cannot read "{shorten(text)}": {reason}; the path is relative to the file it stands in'
        ) from None
    if len(data) > limit:
        raise Refused(f'"{shorten(text)}" is larger than {limit // 1024} KiB')
    return data


def parse_logo(value: Any) -> str:
    """An image file, as base64; raises `Refused` for what Microsoft Entra does not take."""
    data = read_file(value, limits.LOGO_BYTES)
    if not data.startswith((b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"\xff\xd8\xff")):
        raise Refused(f'"{shorten(str(value))}" is no PNG, JPEG or GIF image')
    return base64.b64encode(data).decode()


def pem_blocks(text: str) -> Iterable[tuple[str, bytes]]:
    """The PEM blocks of a text: label and decoded content. Raises ValueError for a damaged one."""
    for block in text.split("-----BEGIN ")[1:]:
        label, _, rest = block.partition("-----")
        inside, end, _ = rest.partition(f"-----END {label}-----")
        if not end or not re.fullmatch(r"[A-Z0-9 ]+", label):
            continue
        try:
            yield label, base64.b64decode("".join(inside.split()), validate=True)
        except binascii.Error:
            raise ValueError from None


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
