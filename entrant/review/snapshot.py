"""Who may do what: the apps of an environment and what each has, from its YAML.

`resources` gives the same `Picture` from a preview's resources, so that two of them can be compared wherever they come from.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

from entrant.config import App, Environment, Federated, Permission
from entrant.config.credentials import Calendar, Secret
from entrant.config.federated import PRESETS
from entrant.config.known import first_name
from entrant.config.model import Model
from entrant.facts.contract import CLIENT_SECRET
from entrant.facts.directory_roles import find_directory_role
from entrant.facts.roles import RolePermission, find_role
from entrant.facts.scopes import Scope, ScopeError, parse_scope
from entrant.words import counted

Kind = Literal[
    "role", "directory role", "consent", "permission", "group", "owner", "secret", "certificate", "federated credential"
]

Identity = tuple[str, str, str]
"""App, kind and key of a holding."""

GRANTS: tuple[Kind, ...] = ("role", "directory role", "consent", "group")
"""The kinds that let an app do something."""
CREDENTIALS: tuple[Kind, ...] = ("secret", "certificate", "federated credential")
"""The kinds that let somebody be the app."""


@dataclass(frozen=True, slots=True)
class Holding:
    """One thing that an app has.

    `key` tells holdings of a kind apart and is the same wherever the picture comes from; `name` is what people call it.
    """

    app: str
    kind: Kind
    key: str
    name: str
    scope: str = field(default="", compare=False)
    """Role: the scope id. Consent and permission: the API. Directory role: the administrative unit. Else empty. `key` has it in
    lower case: ids compare without regard to case."""
    ends: str = ""
    """Credentials that end: when (RFC 3339, UTC)."""
    detail: str = ""
    """What else is to be known: a condition, issuer and subject, a calendar; in words."""
    permissions: tuple[RolePermission, ...] | None = field(default=None, compare=False)
    """Role: what it allows, where that is known."""
    calendar: str = field(default="", compare=False)
    """The calendar by which a credential is made here: `secret`, or the certificate's key; else empty."""

    @property
    def identity(self) -> Identity:
        """App, kind and key."""
        return self.app, self.kind, self.key


@dataclass(frozen=True, slots=True)
class Registration:
    """An app registration with its service principal, as far as a reviewer cares."""

    app: str
    display_name: str
    client_id: str = ""
    """Empty where it is not known."""
    protected: bool = False
    kept: bool = False
    """Whether it stays where it is when it is no longer declared. Told by an environment only."""
    adopts: str = ""
    """The object id that it is taken over by. Told by an environment only."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Its other settings by property path."""


@dataclass(frozen=True)
class Picture:
    """Every app and what it has."""

    registrations: Mapping[str, Registration] = field(default_factory=dict)
    holdings: Mapping[Identity, Holding] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the environment itself, its custom roles included, by path. Told by an environment only."""

    @cached_property
    def credentials(self) -> Mapping[tuple[str, Kind], Sequence[Holding]]:
        """The credentials of each app by kind, the one that ends first first."""
        found: dict[tuple[str, Kind], list[Holding]] = {}
        for held in sorted(self.holdings.values(), key=lambda held: (held.ends, held.key)):
            if held.kind in CREDENTIALS:
                found.setdefault((held.app, held.kind), []).append(held)
        return found

    @classmethod
    def of(
        cls,
        registrations: Iterable[Registration],
        holdings: Iterable[Holding],
        settings: Mapping[str, Any] = MappingProxyType({}),
    ) -> "Picture":
        """A picture of these."""
        return cls(
            {registration.app: registration for registration in registrations},
            {holding.identity: holding for holding in holdings},
            settings,
        )


def renamed(picture: Picture, names: Mapping[str, str]) -> Picture:
    """A picture with other names for some apps, old to new."""
    registrations = [replace(each, app=names.get(each.app, each.app)) for each in picture.registrations.values()]
    holdings = []
    for held in picture.holdings.values():
        api = names.get(held.scope, held.scope) if held.kind in ("permission", "consent") else held.scope
        key = f"{api}|{held.name}|{held.detail}".lower() if api != held.scope else held.key
        holdings.append(replace(held, app=names.get(held.app, held.app), scope=api, key=key))
    return Picture.of(registrations, holdings, picture.settings)


_TOLD_OTHERWISE = {
    "display_name", "protect", "renamed_from", "allow_privileged", "reason",
    "owners", "secret", "certificates", "federated", "permissions", "roles", "groups", "directory_roles",
}  # fmt: skip
"""Keys of an app that are no settings: what holdings tell, and what goes with other changes."""
_MERGED = {"apps", "defaults", "extends", "on_remove", "protect", "role_definitions", "scopes", "subscription"}
"""Keys of an environment that are no settings of its own: what apps are made of."""


def of_environment(environment: Environment) -> Picture:
    """What the environment declares."""
    apps = environment.apps
    return Picture.of(
        (_declared_registration(environment, name, app) for name, app in apps.items()),
        (holding for name, app in apps.items() for holding in _declared(environment, name, app)),
        dict(flat(_shown(environment, *_MERGED) | {"role_definitions": _role_definitions(environment)})),
    )


def _shown(model: Model, *but: str) -> dict[str, Any]:
    """What a file says, in its words, but for some keys."""
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=set(but))


def _role_definitions(environment: Environment) -> dict[str, Any]:
    """Custom roles by the first key they had, which their ids are made from."""
    return {
        first_name(key, definition.renamed_from): _shown(definition, "renamed_from") | {"name": definition.name or key}
        for key, definition in environment.role_definitions.items()
    }


def _declared_registration(environment: Environment, name: str, app: App) -> Registration:
    kept = (app.on_remove or environment.on_remove) == "keep"
    shown = _shown(app, *_TOLD_OTHERWISE) | {
        "on_remove": "keep" if kept else None,
        "roles": {
            f"{grant.role.name} at {scope_words(grant.scope.id)}": _shown(
                grant, "role", "scope", "condition", "condition_version"
            )
            for grant in app.roles
        },
        "federated": {
            credential.key: _shown(credential, "name", "renamed_from", *PRESETS, "issuer", "subject", "claims")
            for credential in app.federated
        },
        "certificates": {
            **{key: _shown(each, "path", "pem", "renamed_from") for key, each in app.held_certificates.items()},
            **{key: _places(each) for key, each in app.calendars.items() if key != CLIENT_SECRET},
        },
        "permissions": {
            each.api.name: _shown(each, "api", "application", "delegated", "consent") for each in app.permissions
        },
        "groups": {each.group: _shown(each, "group") for each in app.memberships},
        "directory_roles": {
            f"{each.role.name}{f' in {each.administrative_unit}' if each.administrative_unit else ''}": _shown(
                each, "role", "administrative_unit"
            )
            for each in app.directory_roles
        },
        "secret": _places(app.secret) if app.secret else {},
    }
    if app.api:  # its default is another one than that of an app without `api`
        shown["api"] = {"token_version": app.api.token_version, **shown["api"]}
    return Registration(
        name,
        app.display_name or name,
        protected=environment.protect if app.protect is None else app.protect,
        kept=kept,
        adopts=app.adopt.application if app.adopt else "",
        settings=dict(flat(shown)),
    )


def _places(calendar: Calendar) -> dict[str, str]:
    """Where a secret or a certificate is delivered to."""
    return {f"deliver[{delivery.where}]": delivery.how for delivery in calendar.deliver}


def _declared(environment: Environment, name: str, app: App) -> Iterator[Holding]:
    for grant in app.roles:
        custom = environment.role_definitions.get(grant.role.declared or "")
        known = find_role(grant.role.guid)
        permissions = known.permissions if known else None
        if custom is not None:
            permissions = custom.permissions
        yield of_role(name, grant.role.guid, grant.role.name, grant.scope.id, grant.condition or "", permissions)
    for role in app.directory_roles:
        yield of_directory_role(name, role.role.id, role.administrative_unit or "")
    for permission in app.permissions:
        yield from _permissions(name, permission)
    for membership in app.memberships:
        yield Holding(name, "group", membership.group, membership.group)
    for owner in app.all_owners:
        yield Holding(name, "owner", owner.value.lower(), owner.value)
    for key, calendar in app.calendars.items():
        if key == CLIENT_SECRET:
            yield Holding(name, "secret", "calendar", "client secret", detail=_rule(calendar), calendar=key)
        else:
            yield Holding(name, "certificate", key, key, detail=f"issued here, {_rule(calendar)}", calendar=key)
    for key, certificate in app.held_certificates.items():
        first = first_name(key, certificate.renamed_from)
        ends = certificate.expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        yield Holding(name, "certificate", first, key, ends=ends, detail=f"thumbprint {certificate.public.thumbprint}")
    for credential in app.federated:
        yield _federated(name, environment, credential)


def _rule(calendar: Calendar) -> str:
    """A calendar in words."""
    generation = f", generation {calendar.generation}" if calendar.generation > 1 else ""
    starts = "" if calendar.starts == Secret().starts else f" from {moment_words(calendar.starts)} on"
    every, overlap = _days(calendar.every), _days(calendar.overlap)
    return f"a new one every {every}{starts}, the one before valid {overlap} more{generation}"


def moment_words(moment: datetime) -> str:
    """A date; with the time, where that is not midnight."""
    return f"{moment:%Y-%m-%d}" if moment.time() == time.min else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _days(span: Any) -> str:
    hours = round(span.total_seconds() / 3600)
    return counted(hours // 24, "day") if hours % 24 == 0 else counted(hours, "hour")


def _permissions(name: str, permission: Permission) -> Iterator[Holding]:
    for kind, consented in permission.consented().items():
        for value in getattr(permission, kind):
            yield of_permission(name, "permission", permission.api.name, value, kind)
        for value in consented:
            yield of_permission(name, "consent", permission.api.name, value, kind)


def _federated(name: str, environment: Environment, credential: Federated) -> Holding:
    trust = credential.trust(environment.cloud)
    return Holding(
        name,
        "federated credential",
        first_name(credential.key, credential.renamed_from),
        credential.key,
        detail=trust_words(trust.issuer, trust.subject or trust.claims),
    )


def trust_words(issuer: str, subject: str | None) -> str:
    """Whom a federated credential trusts, in words."""
    return f"{subject} of {issuer.removeprefix('https://').rstrip('/')}"


def of_role(
    app: str, guid: str, name: str, scope: str, condition: str, permissions: tuple[RolePermission, ...] | None
) -> Holding:
    """A role assignment."""
    detail = f"under the condition {condition}" if condition else ""
    return Holding(app, "role", f"{guid}|{scope}".lower(), name, scope, detail=detail, permissions=permissions)


def of_directory_role(app: str, role_id: str, unit: str) -> Holding:
    """A directory role, in the tenant or an administrative unit."""
    known = find_directory_role(role_id)
    return Holding(app, "directory role", f"{role_id}|{unit}".lower(), known.name if known else role_id, unit)


def of_permission(app: str, kind: Literal["permission", "consent"], api: str, value: str, how: str) -> Holding:
    """A permission that a registration asks for, or a consent to it."""
    return Holding(app, kind, f"{api}|{value}|{how}".lower(), value, api, detail=how)


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Values by path; the items of a list are told apart by what they are, not by their place."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and all(isinstance(item, str) for item in value):
        for item in value:
            yield f"{path}[{item}]", item
    elif isinstance(value, list) and (name := _told_apart_by(value)):
        for item in value:
            yield f"{path}[{item[name]}]", item[name]
            yield from flat({key: part for key, part in item.items() if key != name}, f"{path}[{item[name]}]")
    elif isinstance(value, str) and path in ("logo", "logoImage"):
        yield path, f"an image, SHA-256 {hashlib.sha256(value.encode()).hexdigest()[:12]}"
    elif value is not None:
        yield path, value


def _told_apart_by(items: list[Any]) -> str | None:
    """The property whose value every item of a list has for itself."""
    for name in ("value", "name", "id", "client"):
        values = [item.get(name) for item in items if isinstance(item, Mapping)]
        if len(set(map(str, values))) == len(items) and all(isinstance(value, str) for value in values):
            return name
    return None


def scope_words(text: str) -> str:
    """A scope as people say it: `workspace law-dev`, `resource group rg-obs`, `the whole tenant`."""
    try:
        scope = parse_scope(text)
    except ScopeError:
        return text or "a scope that is not known yet"
    return f"{scope_kind(scope)} {scope.name}" if scope.kind != "root" else "the whole tenant"


def scope_kind(scope: Scope) -> str:
    """The kind of a scope in words: `workspace`, `storage account`, `subscription`."""
    if scope.kind != "resource":
        return scope.kind.replace("_", " ")
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", scope.types[-1].rsplit("/", 1)[-1]).lower()
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word.removesuffix("es") if word.endswith("sses") else word.removesuffix("s")
