"""What an environment declares, as things that rules judge."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from config import App, Environment
from config.values import KEY
from facts import apis, risks

from .rules import (
    Audience,
    Credentials,
    GraphPermission,
    ImplicitGrant,
    Owners,
    RedirectUri,
    RoleAssignment,
    Secret,
    Thing,
)

Path = tuple[Any, ...]


def things(environment: Environment) -> Iterator[tuple[str, Path, Thing]]:
    """Everything there is to judge: the app's name, the path in the file, the thing."""
    for name, app in environment.apps.items():
        for path, thing in _app(app, environment):
            yield name, ("apps", name, *path), thing


def allowed_secret_lifetime(environment: Environment) -> timedelta:
    """What the environment allows a secret to live: its own limit, else what Microsoft's portal recommends."""
    own = "secret_lifetime" in environment.limits.model_fields_set
    return environment.limits.secret_lifetime if own else risks.SECRET_LIFETIME


def secret_of(app: App, environment: Environment) -> Secret | None:
    """The secrets that an app's calendar makes: each lives from its slot's start to the end of the overlap."""
    if not app.secret:
        return None
    return Secret(app.secret.every + app.secret.overlap, allowed_secret_lifetime(environment))


def _app(app: App, environment: Environment) -> Iterator[tuple[Path, Thing]]:
    yield (KEY,), Owners(len(app.owners))
    if app.sign_in_audience:
        yield ("sign_in_audience",), Audience(app.sign_in_audience)
    for platform in ("web", "spa", "public_client"):
        settings = getattr(app, platform)
        for index, uri in enumerate(settings.redirect_uris if settings else ()):
            yield (platform, "redirect_uris", index), RedirectUri(uri)
    if app.web and app.web.implicit_grant:
        yield ("web", "implicit_grant", "access_tokens"), ImplicitGrant(app.web.implicit_grant.access_tokens)
    yield ("secret",), Credentials(int(bool(app.secret)), tuple(credential.key for credential in app.federated))
    if secret := secret_of(app, environment):
        yield ("secret",), secret
    for index, grant in enumerate(app.roles):
        definition = environment.role_definitions.get(grant.role.declared or "")
        permissions = definition.permissions if definition else ()
        conditioned = grant.condition is not None
        yield (
            ("roles", index),
            RoleAssignment(grant.role.name, grant.role.guid, grant.scope, conditioned, permissions),
        )
    for index, permission in enumerate(app.permissions):
        if permission.api.client_id == apis.GRAPH:
            for kind in ("application", "delegated"):
                for position, value in enumerate(getattr(permission, kind)):
                    yield ("permissions", index, kind, position), GraphPermission(value)
    for index, role in enumerate(app.directory_roles):
        yield ("directory_roles", index, "role"), role.role
