"""What Pulumi resources are, as things that rules judge.

Properties are plain data: mappings, lists, texts, numbers, and `UNKNOWN` where a preview does not know a value yet. What is not
known is never held against a resource.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final

from entrant.facts import apis, limits
from entrant.facts import pulumi_types as types
from entrant.facts.directory_roles import find_directory_role
from entrant.facts.roles import RolePermission, find_role
from entrant.facts.scopes import Scope, ScopeError, parse_scope

from .rules import (
    Audience,
    Credentials,
    GraphPermission,
    ImplicitGrant,
    Owners,
    RedirectUri,
    RoleAssignment,
    SecretLifetime,
    Thing,
)

UNKNOWN: Final = object()
"""A value that a preview does not know yet."""

_PASSWORDS: Final = (types.PASSWORD, types.PRINCIPAL_PASSWORD)
_FEDERATED: Final = (types.FEDERATED, types.FLEXIBLE)
_LINKS: Final = ("applicationId", "servicePrincipalId", "clientId")
"""Properties by which a resource belongs to a registration, directly or through its service principal."""


@dataclass(frozen=True, slots=True)
class StackResource:
    """A resource of a stack. `links` are the URNs that each of its properties comes from."""

    type: str
    urn: str
    properties: Mapping[str, Any]
    parent: str | None = None
    links: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ignored: Sequence[str] = ()
    """The properties whose changes are ignored, so that what they are declared as is not what they are."""

    @property
    def app(self) -> str:
        """The app that it belongs to: the name of the component around it, else its own."""
        inside = self.parent is not None and _type(self.parent) == types.IDENTITY
        return _name(self.parent) if inside and self.parent else _name(self.urn)


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]


def _type(urn: str) -> str:
    return urn.split("::", 3)[2].rsplit("$", 1)[-1]


def things(resource: StackResource, *, allowed: timedelta, now: datetime) -> Iterator[Thing]:
    """What there is to judge in a resource by itself.

    Args:
        resource: the resource, its inputs at least.
        allowed: what a client secret may live.
        now: when a secret starts that has no start yet.
    """
    properties = resource.properties
    kind = re.sub(r"^azure-native:authorization/v\w+:", "azure-native:authorization:", resource.type)
    if kind == types.APPLICATION:
        yield from _application(properties, allowed, now)
    elif kind in _PASSWORDS:
        yield from _secret(properties, allowed, now)
    elif kind == types.REDIRECT_URIS:
        yield from _redirects(properties.get("redirectUris"))
    elif kind == types.APP_ROLE_ASSIGNMENT:
        yield from _graph(properties.get("appRoleId"))
    elif kind == types.DELEGATED_GRANT:
        yield from (GraphPermission(name) for name in _texts(properties.get("claimValues")))
    elif kind == types.DIRECTORY_ROLE_ASSIGNMENT:
        found = find_directory_role(_text(properties.get("roleId")))
        if found:
            yield found
    elif kind == types.ROLE_ASSIGNMENT:
        yield _role_assignment(properties)
    elif kind == types.ROLE_DEFINITION:
        permissions = tuple(
            RolePermission(
                *(_texts(block.get(part)) for part in ("actions", "notActions", "dataActions", "notDataActions"))
            )
            for block in _mappings(properties.get("permissions"))
        )
        name = _text(properties.get("roleName")) or _name(resource.urn)
        yield RoleAssignment(name, "", permissions=permissions)


def estates(resources: Sequence[StackResource]) -> Iterator[tuple[StackResource, Thing]]:
    """What it takes a whole stack to judge, with the registration that it is about: its owners and its credentials."""
    by_urn = {resource.urn: resource for resource in resources}
    applications = [each for each in resources if each.type == types.APPLICATION]
    by_id = {f"/applications/{guid}": each for each in applications if (guid := _text(each.properties.get("objectId")))}

    def registration(resource: StackResource, depth: int = 2) -> StackResource | None:
        for link in _LINKS if depth else ():
            known = by_id.get(_text(resource.properties.get(link)))
            if known:
                return known
            for urn in resource.links.get(link, ()):
                other = by_urn.get(urn)
                if other is None:
                    continue
                found = other if other.type == types.APPLICATION else registration(other, depth - 1)
                if found:
                    return found
        return None

    members: dict[str, list[StackResource]] = {each.urn: [] for each in applications}
    for resource in resources:
        if resource.type in (*_PASSWORDS, *_FEDERATED, types.OWNER):
            home = registration(resource)
            if home is not None:
                members[home.urn].append(resource)
    for application in applications:
        mine = members[application.urn]
        # Where they are ignored, nobody is named: whoever makes the registration owns it, and others may come.
        owners = application.properties.get("owners") if "owners" not in application.ignored else None
        count = len(owners) if isinstance(owners, list) else int(owners is UNKNOWN)
        yield application, Owners(count + sum(each.type == types.OWNER for each in mine))
        inline = bool(_mapping(application.properties.get("password")))  # the provider takes one at most
        secrets = inline + sum(each.type in _PASSWORDS for each in mine)
        federated = (each for each in mine if each.type in _FEDERATED)
        names = tuple(_text(each.properties.get("displayName")) or _name(each.urn) for each in federated)
        yield application, Credentials(secrets, names)


def _application(properties: Mapping[str, Any], allowed: timedelta, now: datetime) -> Iterator[Thing]:
    if audience := _text(properties.get("signInAudience")):
        yield Audience(audience)
    for platform in ("web", "singlePageApplication", "publicClient"):
        yield from _redirects(_mapping(properties.get(platform)).get("redirectUris"))
    grant = _mapping(_mapping(properties.get("web")).get("implicitGrant"))
    yield ImplicitGrant(grant.get("accessTokenIssuanceEnabled") is True)
    for api in _mappings(properties.get("requiredResourceAccesses")):
        if api.get("resourceAppId") == apis.GRAPH:
            for access in _mappings(api.get("resourceAccesses")):
                yield from _graph(access.get("id"))
    if password := _mapping(properties.get("password")):
        yield from _secret(password, allowed, now)


def _secret(properties: Mapping[str, Any], allowed: timedelta, now: datetime) -> Iterator[SecretLifetime]:
    starts = _moment(properties.get("startDate")) or now
    ends, relative = properties.get("endDate"), re.fullmatch(r"([0-9]+)h", _text(properties.get("endDateRelative")))
    if relative:
        yield SecretLifetime(timedelta(hours=int(relative[1])), allowed)
    elif ends is None:
        yield SecretLifetime(limits.SECRET_LIFETIME, allowed)  # what Microsoft Graph gives when it is not told
    elif end := _moment(ends):
        yield SecretLifetime(end - starts, allowed)


def _redirects(uris: Any) -> Iterator[RedirectUri]:
    yield from map(RedirectUri, _texts(uris))


def _graph(permission: Any) -> Iterator[GraphPermission]:
    name = _permissions().get(_text(permission).lower())
    if name:
        yield GraphPermission(name)


@cache
def _permissions() -> dict[str, str]:
    """Permissions of Microsoft Graph by id."""
    graph = apis.graph_permissions()
    delegated = {permission.id.lower(): name for name, permission in graph.delegated.items()}
    return delegated | {guid.lower(): name for name, guid in graph.application.items()}


def _role_assignment(properties: Mapping[str, Any]) -> RoleAssignment:
    guid = _text(properties.get("roleDefinitionId")).rsplit("/", 1)[-1]
    found = find_role(guid)
    conditioned = properties.get("condition") not in (None, "")
    return RoleAssignment(found.name if found else guid or "a role", guid, _scope(properties.get("scope")), conditioned)


def _scope(value: Any) -> Scope | None:
    text = _text(value)
    try:
        return parse_scope("/" + text.strip("/")) if text else None  # an import's scope has no slash before it
    except ScopeError:
        return None


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple(each for each in value if isinstance(each, Mapping)) if isinstance(value, list) else ()
