"""What single values need of the whole file: its scopes, custom roles and apps, and what refers to them."""

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from pydantic import ValidationInfo

from entrant.facts import apis
from entrant.facts.scopes import Scope, ScopeError, is_guid, parse_scope

from .broken import BROKEN
from .model import KEY
from .problems import Refused, did_you_mean, shorten
from .source import expected

_IDS: Final = uuid.UUID("c2a0f0de-7c39-4e6f-9a43-31c15fb4a9d5")
"""Namespace of ids made from names. Never change it: every app role, exposed scope and custom role would be replaced."""


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
    offered: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    """What apps of the file offer to others: app, `application` or `delegated`, and the permission's id → its name."""
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
        apps = _mapping(data.get("apps"))
        offered = {key: value for name, app in apps.items() for key, value in _offered(name, _mapping(app))}
        return cls(scopes, known.subscription, roles, tuple(apps), offered, all_read)


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
    return Role(name, custom_role_id(_first(key, value), first), key)


def _first(key: str, value: Mapping[str, Any]) -> str:
    """The first name of something in plain data."""
    former = value.get("renamed_from")
    return str(first_name(key, (former,) if isinstance(former, str) else former if isinstance(former, list) else ()))


def _offered(name: str, app: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str, str], str]]:
    """What an app offers, with the ids that `App.role_id` and `App.scope_id` tell."""
    kinds = (
        ("application", "app role", app.get("app_roles")),
        ("delegated", "scope", _mapping(app.get("api")).get("scopes")),
    )
    for kind, called, values in kinds:
        for value, permission in _mapping(values).items():
            id_ = _mapping(permission).get("id")
            own = permission_id(_first(name, app), called, _first(value, _mapping(permission)))
            yield (name, kind, id_.lower() if isinstance(id_, str) else own), value


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


def slug(text: str) -> str:
    """Lower-case words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


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
