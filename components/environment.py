"""From a checked environment to components, and from components to the stack's outputs."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_azuread as azuread

from config import App, Environment, RoleGrant
from config.checks import output_name

from .app_identity import AppIdentity, AppIdentityArgs, RoleAssignmentArgs, SecretArgs, rfc3339

CONTRACT = 1
"""Version of the stack outputs. It changes when a reader of the old form would go wrong."""


def declare(environment: Environment, *, now: str | None = None) -> dict[str, AppIdentity]:
    """Declare every app of the environment.

    Args:
        environment: what to declare.
        now: the moment that secret calendars are read at, RFC 3339. Default: the clock's.

    Raises:
        pulumi.RunError: the environment names a tenant and the login is for another one.
    """
    if environment.tenant is not None:
        signed_in = azuread.get_client_config().tenant_id
        if signed_in.lower() != environment.tenant:
            message = f"The environment belongs to tenant {environment.tenant}, but the login is for {signed_in}."
            raise pulumi.RunError(f"{message} Sign in to the former, or correct `tenant` in the file.")
    return {name: AppIdentity(name, identity_args(environment, name, now=now)) for name in environment.apps}


def identity_args(environment: Environment, name: str, *, now: str | None = None) -> AppIdentityArgs:
    """The arguments of the component for one app."""
    app = environment.apps[name]
    args: AppIdentityArgs = {
        "display_name": app.display_name or name,
        "roles": {role_key(grant): _role(grant) for grant in app.roles},
        "protect": environment.protect if app.protect is None else app.protect,
    }
    if app.description is not None:
        args["description"] = app.description
    if app.secret:
        args["secret"] = _secret(app)
    if now is not None:
        args["now"] = now
    return args


def _secret(app: App) -> SecretArgs:
    assert app.secret
    hours = {"every": app.secret.every, "overlap": app.secret.overlap}
    return {
        "every": f"{hours['every'].total_seconds() / 3600:.0f}h",
        "overlap": f"{hours['overlap'].total_seconds() / 3600:.0f}h",
        "starts": rfc3339(app.secret.starts),
        "generation": app.secret.generation,
    }


def _role(grant: RoleGrant) -> RoleAssignmentArgs:
    args: RoleAssignmentArgs = {"role": grant.role.guid, "scope": grant.scope.id}
    if grant.description is not None:
        args["description"] = grant.description
    return args


def role_key(grant: RoleGrant) -> str:
    """A grant's part of a resource name, such as `reader-law-dev-1f0c2b`.

    Made from what the grant is, not from its place in a list or the name its scope has in the file, so that
    reordering and renaming change nothing.
    """
    digest = hashlib.sha256(f"{grant.role.guid}|{grant.scope.id}".lower().encode()).hexdigest()[:6]
    return "-".join((slug(grant.role.name), slug(grant.scope.name) or "root", digest))


def slug(text: str) -> str:
    """Lower-case words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def stack_outputs(environment: Environment, identities: Mapping[str, AppIdentity]) -> dict[str, Any]:
    """The stack's outputs, contract 1.

    `<app>_client_id`, `<app>_client_secret` and `<app>_client_secret_previous` are flat, so that CI systems can mask
    each; `identities` holds no secret.
    """
    outputs: dict[str, Any] = {
        "contract": CONTRACT,
        "tenant_id": azuread.get_client_config_output().tenant_id,
        "cloud": environment.cloud,
    }
    for name, identity in identities.items():
        flat = output_name(name)
        outputs[f"{flat}_client_id"] = identity.client_id
        if identity.client_secret is not None:
            outputs[f"{flat}_client_secret"] = identity.client_secret
        if identity.client_secret_previous is not None:
            outputs[f"{flat}_client_secret_previous"] = identity.client_secret_previous
    outputs["identities"] = pulumi.Output.from_input(
        {name: _described(environment, name, identity) for name, identity in identities.items()}
    )
    return outputs


def _described(environment: Environment, name: str, identity: AppIdentity) -> dict[str, Any]:
    app = environment.apps[name]
    return {
        "display_name": identity.application.display_name,
        "client_id": identity.client_id,
        "object_id": identity.object_id,
        "service_principal_id": identity.service_principal_id,
        "grants": [
            {
                "role": grant.role.name,
                "role_definition_id": grant.role.guid,
                "scope": grant.scope.id,
                "assignment_id": identity.role_assignments[role_key(grant)].id,
            }
            for grant in app.roles
        ],
        "permissions": [],
        "credentials": identity.credentials,
    }
