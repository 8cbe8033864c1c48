"""The stack's outputs: those of the last run, and those of this one."""

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import pulumi
import pulumi_azuread as azuread

from entrant.config import App, Environment
from entrant.config.credentials import KeptCredential
from entrant.config.values import moment_text
from entrant.facts.contract import CERTIFICATES, CLIENT_SECRET, CONTRACT, output_name

from .app_identity import AppIdentity
from .state import State, own_stack


def own_outputs() -> Mapping[str, Any]:
    """The outputs of the stack that is being run, as they are before the run; empty on its first.

    Raises:
        Exception: the backend cannot be read; with the engine's words.
    """
    outputs: Mapping[str, Any] = own_stack("readStackOutputs", "name")["outputs"]
    return outputs


def stack_outputs(environment: Environment, identities: Mapping[str, AppIdentity]) -> dict[str, Any]:
    """The stack's outputs, contract 1.

    `<app>_client_id`, `<app>_client_secret`, `<app>_client_secret_previous` and `<app>_certificates` are flat, so that CI systems
    can mask each; `identities` holds no secret.
    """
    tenant: pulumi.Output[str] = azuread.get_client_config_output().tenant_id
    outputs: dict[str, Any] = {
        "contract": CONTRACT,
        "tenant_id": tenant,
        "cloud": environment.cloud,
    }
    for name, identity in identities.items():
        outputs[output_name(name, "client_id")] = identity.client_id
        if identity.client_secret is not None:
            outputs[output_name(name, "client_secret")] = identity.client_secret
        if identity.client_secret_previous is not None:
            outputs[output_name(name, "client_secret_previous")] = identity.client_secret_previous
        if environment.apps[name].calendars.keys() - {CLIENT_SECRET}:
            outputs[output_name(name, CERTIFICATES)] = pulumi.Output.secret(pulumi.Output.from_input(identity.issued))
    taken_over = [id_ for identity in identities.values() for id_ in identity.parts.taken_over]
    taken_over += [definition.adopt for definition in environment.role_definitions.values() if definition.adopt]
    described = pulumi.Output.from_input(
        {name: _described(environment, tenant, name, identity) for name, identity in identities.items()}
    )
    refused = State.read().refused

    def agreed(_: Any) -> list[str]:
        if refused:  # with `--continue-on-error` the program goes on to its end
            raise pulumi.RunError("Not all was taken over, so the stack's outputs stay as they were.")
        return sorted(taken_over)

    outputs["adopted"] = described.apply(agreed, run_with_unknowns=True)
    outputs["identities"] = described
    return outputs


def _described(
    environment: Environment, tenant: pulumi.Output[str], name: str, identity: AppIdentity
) -> dict[str, Any]:
    app = environment.apps[name]
    return {
        "display_name": identity.application.display_name,
        "client_id": identity.client_id,
        "object_id": identity.object_id,
        "service_principal_id": identity.service_principal_id,
        "audience": _audience(app, tenant, identity),
        "grants": [
            {
                "role": grant.role.name,
                "role_definition_id": grant.role.guid,
                "scope": grant.scope.id,
                "assignment_id": identity.role_assignments[grant.key].id,
                "conditional": grant.condition is not None,
            }
            for grant in app.roles
        ],
        "permissions": [
            {"api": permission.api.name, "kind": kind, "name": value, "consent": value in permission.consented()[kind]}
            for permission in app.permissions
            for _, kind, value in permission.named()
        ],
        "owners": {
            "registration": identity.application.owners.apply(lambda owners: sorted(owners or [])),
            "service_principal": identity.service_principal.owners.apply(lambda owners: sorted(owners or []))
            if identity.service_principal
            else [],
        },
        "groups": [each.group for each in app.memberships],
        "directory_roles": [
            {"role_id": role.role.id, "administrative_unit": role.administrative_unit} for role in app.directory_roles
        ],
        **({"deliver": [delivery.where for delivery in app.deliveries]} if app.deliveries else {}),
        "credentials": [{**entry, **_read_from(app, entry)} for entry in identity.credentials],
        **({"kept_credentials": [_kept(entry) for entry in app.kept_credentials]} if app.kept_credentials else {}),
        **({"as_is": identity.parts.as_is} if identity.parts.as_is else {}),
    }


def _kept(entry: KeptCredential) -> dict[str, str | None]:
    return {
        "kind": entry.kind,
        "key_id": entry.key_id,
        "name": entry.name,
        "ends": moment_text(entry.ends),
        "owner": entry.owner,
    }


def _audience(app: App, tenant: pulumi.Output[str], identity: AppIdentity) -> pulumi.Input[str]:
    """What a token for this app is asked for: its first identifier URI, or its client id, which Entra ID takes as well."""
    if not app.identifier_uris:
        return identity.client_id
    first = app.identifier_uris[0]
    if "{tenant_id}" not in first:
        return first
    return tenant.apply(lambda id_: first.replace("{tenant_id}", id_))


def _read_from(app: App, credential: Mapping[str, Any]) -> dict[str, str]:
    """The file of a certificate that has one, from where the program runs."""
    certificate = app.held_certificates.get(credential["name"]) if credential["kind"] == "certificate" else None
    file = certificate.public.file if certificate else None
    return {"file": PurePath(os.path.relpath(file)).as_posix()} if file else {}
