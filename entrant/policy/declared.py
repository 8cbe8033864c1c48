"""What an environment declares, as things that rules judge."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from entrant.config import App, Environment
from entrant.config.access import Permission, RoleGrant
from entrant.config.broken import BROKEN, attempt, intact
from entrant.config.checks import redirect_uris
from entrant.config.model import KEY
from entrant.facts import apis, risks

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

Path = tuple[Any, ...]


def things(environment: Environment) -> Iterator[tuple[str, Path, Thing]]:
    """Everything there is to judge, of what is sound: the app's name, the path in the file, the thing."""
    for name, app in intact(environment.apps):
        for path, thing in _app(app, environment):
            yield name, ("apps", name, *path), thing


def allowed_secret_lifetime(environment: Environment) -> timedelta:
    """What the environment allows a secret to live: its own limit, else what Microsoft's portal recommends."""
    own = "secret_lifetime" in environment.limits.model_fields_set
    return environment.limits.secret_lifetime if own else risks.SECRET_LIFETIME


def secret_of(app: App, environment: Environment) -> SecretLifetime | None:
    """The secrets that an app's calendar makes: each lives from its slot's start to the end of the overlap."""
    if app.secret is None or app.secret is False:
        return None
    return SecretLifetime(app.secret.every + app.secret.overlap, allowed_secret_lifetime(environment))


def _app(app: App, environment: Environment) -> Iterator[tuple[Path, Thing]]:
    for part in (_registration, _credentials, _secret):
        yield from attempt(part(app, environment))
    for index, grant in intact(app.roles):
        yield from attempt(_role(("roles", index), grant, environment))
    for index, permission in intact(app.permissions):
        yield from attempt(_permissions(("permissions", index), permission))
    for index, role in intact(app.directory_roles):
        if role.role is not BROKEN:
            yield ("directory_roles", index, "role"), role.role


def _registration(app: App, environment: Environment) -> Iterator[tuple[Path, Thing]]:
    if app.owners is not BROKEN:
        yield (KEY,), Owners(len(app.owners))
    if app.sign_in_audience is not None and app.sign_in_audience is not BROKEN:
        yield ("sign_in_audience",), Audience(app.sign_in_audience)
    for platform, uris in redirect_uris(app).items():
        for index, uri in intact(uris):
            yield (platform, "redirect_uris", index), RedirectUri(uri)
    if app.web is not None and app.web.implicit_grant is not None:
        access_tokens = app.web.implicit_grant.access_tokens
        if access_tokens is not BROKEN:
            yield ("web", "implicit_grant", "access_tokens"), ImplicitGrant(access_tokens)


def _credentials(app: App, environment: Environment) -> Iterator[tuple[Path, Thing]]:
    secrets = 0 if app.secret is None or app.secret is False else 1
    names = [name for _, credential in intact(app.federated) for name in attempt(each.key for each in (credential,))]
    yield ("secret",), Credentials(secrets, tuple(names))


def _secret(app: App, environment: Environment) -> Iterator[tuple[Path, Thing]]:
    if secret := secret_of(app, environment):
        yield ("secret",), secret


def _role(path: Path, grant: RoleGrant, environment: Environment) -> Iterator[tuple[Path, Thing]]:
    declared = grant.role.declared
    permissions = () if declared is None else environment.role_definitions.get(declared, BROKEN).permissions
    conditioned = grant.condition is not None
    yield path, RoleAssignment(grant.role.name, grant.role.guid, grant.scope, conditioned, permissions)


def _permissions(path: Path, permission: Permission) -> Iterator[tuple[Path, Thing]]:
    if permission.api.client_id is not None and permission.api.client_id == apis.GRAPH:
        for place, _, value in permission.named():
            yield (*path, *place), GraphPermission(value)
