"""The vocabulary of an environment file, as models.

Each field's docstring is what the JSON Schema shows in an editor. Values are checked one by one here, with what they
need to know of the rest of the file in the validation context; what takes several apps together is in `checks`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PlainValidator,
    StrictInt,
    StrictStr,
    StringConstraints,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from facts.clouds import CLOUDS, Cloud
from facts.roles import builtin_roles, find_role
from facts.scopes import GUID, Scope, ScopeError, is_guid, parse_scope

from .problems import Refused, did_you_mean, shorten
from .source import expected

MAX_SECRET_LIFETIME = timedelta(days=730)
"""Longest lifetime of a client secret (Microsoft Entra, "Add credentials": 24 months)."""


@dataclass(frozen=True, slots=True)
class Known:
    """What single values need of the whole file: its named scopes and its default subscription."""

    scopes: Mapping[str, Scope | None] = field(default_factory=dict)
    """Named scopes; None for one that is itself wrong, which is reported where it stands."""
    subscription: str | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Known":
        """Read from a file's plain data, passing over whatever is wrong."""
        subscription = data.get("subscription")
        known = cls(subscription=subscription if isinstance(subscription, str) and is_guid(subscription) else None)
        named = data.get("scopes")
        scopes: dict[str, Scope | None] = {}
        for name, value in named.items() if isinstance(named, dict) else ():
            try:
                scopes[name] = _scope(value, known, names=False)
            except Refused:
                scopes[name] = None
        return cls(scopes, known.subscription)


@dataclass(frozen=True, slots=True)
class Role:
    """An Azure role: `guid` of its role definition, `name` where it is known (built-in roles), else the GUID."""

    name: str
    guid: str


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Refused(expected("text", value))
    return value


def parse_duration(value: Any) -> timedelta:
    """A duration such as `90d`, `12h` or `2w`; raises `Refused` for anything else."""
    text = _text(value)
    if not re.fullmatch(r"[0-9]{1,5}[hdw]", text):
        raise Refused("expected a duration such as 90d, 12h or 2w")
    return timedelta(hours=int(text[:-1]) * {"h": 1, "d": 24, "w": 168}[text[-1]])


def parse_moment(value: Any) -> datetime:
    """A date (midnight UTC) or an RFC 3339 time with zone, as UTC to the second; raises `Refused` for anything else."""
    text = _text(value)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or not re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ]|$)", text):
        raise Refused("expected a date such as 2026-01-01 or a time such as 2026-01-01T06:00:00Z")
    if len(text) > 10 and moment.tzinfo is None:
        raise Refused("the time has no zone; end it with Z for UTC")
    return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)).replace(microsecond=0)


def _guid(value: Any) -> str:
    text = _text(value)
    if not is_guid(text):
        raise Refused(f'expected a GUID such as 00000000-0000-0000-0000-000000000000; found "{shorten(text)}"')
    return text.lower()


def _scope(value: Any, known: Known, *, names: bool = True) -> Scope:
    if isinstance(value, dict):
        return _scope_of_parts(value, known)
    if not isinstance(value, str) or not value:
        forms = "{subscription: …}, {resource_group: …} or {management_group: …}"
        raise Refused(expected(f"a scope: a name from `scopes`, an id such as /subscriptions/…, {forms}", value))
    if value.startswith("/") or not names:
        try:
            return parse_scope(value)
        except ScopeError as error:
            raise Refused(shorten(str(error), 300)) from None
    if value not in known.scopes:
        there = shorten(", ".join(sorted(known.scopes)) or "none", 120)
        hint = did_you_mean(value, known.scopes) or f" (named there: {there}); a full id starts with /"
        raise Refused(f'no scope is called "{shorten(value)}" under `scopes`{hint}')
    scope = known.scopes[value]
    return scope if scope is not None else parse_scope("/")


def _scope_of_parts(value: dict[str, Any], known: Known) -> Scope:
    forms = ("subscription",), ("management_group",), ("resource_group",), ("resource_group", "subscription")
    if tuple(sorted(value)) not in forms:
        wrong = next((key for key in value if key not in ("subscription", "management_group", "resource_group")), None)
        message = "a scope is {subscription: …}, {management_group: …} or {resource_group: …, subscription: …}"
        if wrong is not None:
            hint = did_you_mean(wrong, ("subscription", "management_group", "resource_group"))
            raise Refused(f'unknown key "{shorten(wrong)}"{hint}: {message}', wrong)
        raise Refused(message)
    for key, part in value.items():
        if not isinstance(part, str) or not part:
            raise Refused(expected("text", part), key)
    if "management_group" in value:
        text = "/providers/Microsoft.Management/managementGroups/" + value["management_group"]
        place = "management_group"
    else:
        place = "resource_group" if "resource_group" in value else "subscription"
        subscription = value.get("subscription", known.subscription)
        if subscription is None:
            message = "which subscription? Add `subscription` here, or once at the top of the file"
            raise Refused(message, "resource_group")
        if not is_guid(subscription):
            raise Refused(f'"{shorten(subscription)}" is not a subscription GUID', "subscription")
        text = f"/subscriptions/{subscription}"
        if "resource_group" in value:
            text += f"/resourceGroups/{value['resource_group']}"
    try:
        return parse_scope(text)
    except ScopeError as error:
        raise Refused(shorten(str(error), 300), place) from None


def _scope_in_file(value: Any, info: ValidationInfo) -> Scope:
    return _scope(value, info.context if isinstance(info.context, Known) else Known())


def _named_scope(value: Any, info: ValidationInfo) -> Scope:
    return _scope(value, info.context if isinstance(info.context, Known) else Known(), names=False)


_ROLE_ID = re.compile(rf"(?:/.*)?/providers/Microsoft\.Authorization/roleDefinitions/({GUID.pattern})", re.IGNORECASE)


def parse_role(value: Any) -> Role:
    """A role by built-in name, GUID or full id; raises `Refused` with the nearest name for an unknown one."""
    text = _text(value)
    if match := _ROLE_ID.fullmatch(text):
        text = match[1]
    if role := find_role(text):
        return Role(role.name, role.id)
    if is_guid(text):
        return Role(text.lower(), text.lower())
    if text.startswith("/"):
        form = "/subscriptions/<guid>/providers/Microsoft.Authorization/roleDefinitions/<guid>"
        raise Refused(f"this is not the id of a role definition; expected {form}")
    hint = did_you_mean(text, (role.name for role in builtin_roles())) or "; a custom role is given by its GUID"
    raise Refused(f'no built-in role is called "{shorten(text)}"{hint}')


_SCOPE_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "subscription": {"type": "string", "description": "GUID of a subscription."},
                "management_group": {"type": "string", "description": "Name of a management group."},
                "resource_group": {
                    "type": "string",
                    "description": "Name of a resource group, in `subscription` or in the environment's subscription.",
                },
            },
        },
    ],
}

Guid = Annotated[str, PlainValidator(_guid), WithJsonSchema({"type": "string", "pattern": f"^{GUID.pattern}$"})]
Duration = Annotated[
    timedelta, PlainValidator(parse_duration), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,5}[hdw]$"})
]
Moment = Annotated[
    datetime, PlainValidator(parse_moment), WithJsonSchema({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}"})
]
ScopeRef = Annotated[Scope, PlainValidator(_scope_in_file), WithJsonSchema(_SCOPE_SCHEMA)]
NamedScope = Annotated[Scope, PlainValidator(_named_scope), WithJsonSchema(_SCOPE_SCHEMA)]
RoleRef = Annotated[Role, PlainValidator(parse_role), WithJsonSchema({"type": "string"})]
Name = Annotated[StrictStr, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=60)]
Text = Annotated[StrictStr, StringConstraints(min_length=1)]


class Model(BaseModel):
    """Base of all models: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Secret(Model):
    """A client secret that belongs to a slot of a calendar, so that it rotates without an outage.

    Slot k starts at `starts` plus k times `every`; its secret is valid until the slot ends and `overlap` has passed.
    The secret of the slot that holds now is declared, and the one before while it is inside its overlap: never more
    than two.
    """

    every: Duration = timedelta(days=90)
    """How long a slot lasts, and so how often a new secret is made: `90d`, `12h`, `4w`. Default 90d."""
    overlap: Duration = timedelta(days=7)
    """How long the secret of the slot before stays valid beside the new one; shorter than `every`. Default 7d."""
    starts: Moment = datetime(2026, 1, 1, tzinfo=UTC)
    """Where the calendar is anchored: a date or a time with zone. Default 2026-01-01."""
    generation: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 1
    """Raise it to have a fresh secret at once, whatever the calendar says (after a leak). Default 1."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not timedelta(hours=1) <= self.every:
            raise Refused("a slot lasts at least 1h", "every")
        if self.overlap >= self.every:
            raise Refused("`overlap` is shorter than `every`, so that never more than two secrets are valid", "overlap")
        if self.every + self.overlap > MAX_SECRET_LIFETIME:
            raise Refused("`every` and `overlap` together exceed 730 days, the longest lifetime of a secret", "every")
        return self


class RoleGrant(Model):
    """An Azure role assignment: the app's service principal gets a role at a scope and everything below it."""

    role: RoleRef
    """Name of a built-in role (`Reader`, `Monitoring Metrics Publisher`), or GUID or full id of any role definition."""
    scope: ScopeRef
    """A name from `scopes`, a full id, or `{subscription: …}`, `{resource_group: …}`, `{management_group: …}`."""
    description: Text | None = None
    """Why the app has this role; stored with the assignment."""


SecretOrNot = Annotated[
    Annotated[Secret, Tag("mapping")] | Annotated[Literal[False], Tag("false")],
    Discriminator(lambda value: "false" if value is False else "mapping"),
]


class App(Model):
    """One app: its registration, its service principal, its credentials and what it may do."""

    display_name: Annotated[Text, StringConstraints(max_length=120)] | None = None
    """The name people see in Microsoft Entra. Default: the app's key."""
    description: Annotated[Text, StringConstraints(max_length=1024)] | None = None
    """What the app is for."""
    secret: SecretOrNot | None = None
    """A client secret and its calendar, or `false` for none. Default: none."""
    roles: tuple[RoleGrant, ...] = ()
    """Azure roles the app's service principal gets."""
    protect: Annotated[bool, Field(strict=True)] | None = None
    """Whether Pulumi refuses to delete what belongs to this app. Default: the environment's `protect`."""

    @field_validator("roles")
    @classmethod
    def _distinct(cls, roles: tuple[RoleGrant, ...]) -> tuple[RoleGrant, ...]:
        seen: dict[tuple[str, str], int] = {}
        for index, grant in enumerate(roles):
            first = seen.setdefault((grant.role.guid, grant.scope.id.lower()), index)
            if first != index:
                raise Refused(f"the app has {grant.role.name} at this scope already (roles[{first}]); keep one", index)
        return roles


class Environment(Model):
    """An environment: one file, one Pulumi stack, all apps in it."""

    extends: Text | None = None
    """Another file, relative to this one, that this one changes: mappings merge, nearer values win, null removes."""
    tenant: Guid | None = None
    """The tenant this environment belongs to; a run signed in to another one stops before it changes anything."""
    cloud: Literal["public", "usgovernment", "china"] = "public"
    """The Azure cloud. Default public."""
    subscription: Guid | None = None
    """The subscription that `{resource_group: …}` scopes are in when they name none."""
    scopes: dict[Name, NamedScope] = Field(default_factory=dict)
    """Names for scopes, so that apps need not repeat long ids."""
    defaults: App = Field(default_factory=App)
    """Settings that every app gets unless it has its own."""
    protect: Annotated[bool, Field(strict=True)] = False
    """Whether Pulumi refuses to delete anything of this environment. Default false."""
    apps: Annotated[dict[Name, App], Field(min_length=1)]
    """The apps, by name. A name is lower case and becomes part of resource and output names."""

    @property
    def azure(self) -> Cloud:
        """Endpoints and audiences of the environment's cloud."""
        return CLOUDS[self.cloud]

    def all_scopes(self) -> tuple[Scope, ...]:
        """Every scope the environment names or uses, each once, outer before inner."""

        def everything() -> Iterator[Scope]:
            yield from self.scopes.values()
            for app in self.apps.values():
                for grant in app.roles:
                    yield grant.scope

        return tuple(sorted({scope.id.lower(): scope for scope in everything()}.values(), key=lambda scope: scope.id))
