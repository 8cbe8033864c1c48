"""From an environment's file to components: read it, check it against the login and the stack, declare what it says."""

import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pulumi
import pulumi_azure_native as azure_native
import pulumi_azuread as azuread
from pulumi_azure_native import authorization

from entrant import config
from entrant.config import Environment
from entrant.config.checks import covers
from entrant.config.order import order
from entrant.config.problems import Refused
from entrant.config.values import parse_moment
from entrant.facts.clouds import cloud_name
from entrant.facts.pulumi_types import APPLICATION, PRINCIPAL, ROLE_ASSIGNMENT, ROLE_DEFINITION
from entrant.facts.scopes import parse_scope
from entrant.facts.unsafe_text import inert

from .api_clients import ApiClients
from .app_identity import AppIdentity
from .declared import Declared
from .state import State, adopted, held_otherwise


def load(stack_or_path: str) -> Environment:
    """The environment of a stack, or of a file, in the program's folder; its warnings go to Pulumi's log.

    Raises:
        pulumi.RunError: it has errors; each is a line of the message, with file, line and column.
    """
    report = config.check(stack_or_path)
    for problem in report.warnings:
        pulumi.log.warn(inert(f"{problem.place}: {problem.message}"))
    if report.environment is None:
        raise pulumi.RunError(inert("\n".join(f"{problem.place}: {problem.message}" for problem in report.errors)))
    return report.environment


def declare(
    environment: Environment, *, now: str | None = None, before: Mapping[str, Any] | None = None
) -> dict[str, AppIdentity]:
    """Declare every app of the environment, and its custom roles.

    Args:
        environment: what to declare.
        before: the stack's outputs as they are before this run (`own_outputs`), so that a secret in use outlives a change of
            its calendar. Default: not known, and the calendar alone decides; then no certificates can be issued.
        now: the moment that secret calendars are read at, RFC 3339. Default: the clock's.

    Raises:
        pulumi.RunError: `now` is malformed, the login is for another tenant, or something that the file names does not
            exist there.
    """
    try:
        return _declare(environment, now, before)
    except pulumi.RunError as error:  # with words of the file and the cloud in it
        raise pulumi.RunError(inert(str(error))) from None


def _declare(environment: Environment, now: str | None, before: Mapping[str, Any] | None) -> dict[str, AppIdentity]:
    _check_cloud(environment)
    try:
        moment = datetime.now(UTC) if now is None else parse_moment(now)
    except Refused as error:
        raise pulumi.RunError(f"entrant:now: {error}") from None
    declared = Declared(environment, moment, before, State.read())
    if environment.tenant is not None and environment.tenant != declared.tenant.id.lower():
        message = f"The environment belongs to tenant {environment.tenant}, but the login is for {declared.tenant.id}."
        raise pulumi.RunError(f"{message} Sign in to the former, or correct `tenant` in the file.")
    _renames(declared)
    _adoptions(declared)
    _narrowings(declared)
    for key in environment.role_definitions:
        declared.role_definitions[key] = _role_definition(declared, key)
    for name in order(environment.apps):
        declared.identities[name] = AppIdentity(name, declared.arguments(name), known=declared.known(name))
    for name, app in environment.apps.items():
        if app.api and (app.api.known_clients or app.api.pre_authorized):
            ApiClients(name, declared.identities[name], declared.clients(name, app.api))
    return {name: declared.identities[name] for name in environment.apps}


def _renames(declared: Declared) -> None:
    """Refuse what looks like a new name of something that the stack holds, before it is made a second time."""
    environment, held = declared.environment, declared.state.resources
    apps = {
        key: ("" if app.adopt else app.display_name or key, app.renamed_from) for key, app in environment.apps.items()
    }
    roles = {key: (role.name or key, role.renamed_from) for key, role in environment.role_definitions.items()}
    refusals = []
    for block, type_, output, entries in (
        ("apps", APPLICATION, "displayName", apps),
        ("role_definitions", ROLE_DEFINITION, "roleName", roles),
    ):
        known = {name for key, (_, former) in entries.items() for name in (key, *former)}
        gone = {
            str(outputs.get(output, "")).lower(): name
            for (of, name), outputs in held.items()
            if of == type_ and name not in known
        }
        for key, (shown, former) in entries.items():
            before = gone.get(shown.lower())
            if before and not declared.state.get(type_, (key, *former)):
                refusals.append(
                    f'{block}.{key} has the name of {block}.{before}, "{shown}", which is not in the file any more and which Azure '
                    f"would still hold when this one is made. If it is the same under another key, write `renamed_from: {before}`; "
                    "else give it another name, or take the old one away in an `up` of its own."
                )
    if refusals:
        raise pulumi.RunError("\n".join(refusals))


def _adoptions(declared: Declared) -> None:
    """Refuse to take over what the stack manages already, before anything of the app is registered with the engine."""
    refusals = []
    for key, app in declared.environment.apps.items():
        where, names = f"apps.{key}", (key, *app.renamed_from)
        named = {APPLICATION: f"/applications/{app.adopt.application}"} if app.adopt else {}
        if app.adopt and app.adopt.service_principal:
            named[PRINCIPAL] = f"/servicePrincipals/{app.adopt.service_principal}"
        found = (held_otherwise(declared.state, type_, names, id_, where=where) for type_, id_ in named.items())
        refusals += list(filter(None, found))[:1]
    if refusals:
        raise pulumi.RunError("\n".join(refusals))


def _narrowings(declared: Declared) -> None:
    """Refuse to narrow a custom role in the `up` that takes its assignments there away: Azure wants them gone before."""
    refusals = []
    for key, definition in declared.environment.role_definitions.items():
        if not declared.state.get(ROLE_DEFINITION, (key, *definition.renamed_from)):
            continue
        for (type_, name), outputs in declared.state.resources.items():
            if type_ != ROLE_ASSIGNMENT or not str(outputs.get("roleDefinitionId")).lower().endswith(
                definition.guid(key)
            ):
                continue
            scope = parse_scope(f"/{str(outputs['scope']).strip('/')}")
            if not any(covers(assignable, scope) for assignable in definition.assignable_scopes):
                refusals.append(
                    f"role_definitions.{key}: {name.partition('/')[0]} has the role at {scope.id}, which is taken out of its "
                    "`assignable_scopes`; Azure refuses that while the assignment is there, and an `up` deletes last. Leave the "
                    "scope in, take the assignment away in an `up` of its own, then the scope."
                )
    if refusals:
        raise pulumi.RunError("\n".join(refusals))


def _role_definition(declared: Declared, key: str) -> authorization.RoleDefinition:
    definition = declared.environment.role_definitions[key]
    scopes = [scope.id for scope in definition.assignable_scopes]
    held = declared.state.get(ROLE_DEFINITION, (key, *definition.renamed_from))
    # Another spelling of its scopes is no change: ids compare without regard to case, providers do not.
    same = []
    if (
        declared.state.holder(ROLE_DEFINITION, definition.guid(key)) is not None
    ):  # made from the first scope, in lower case
        same.append("scope")
    if {str(scope).lower() for scope in held.get("assignableScopes") or ()} == {scope.lower() for scope in scopes}:
        same.append("assignableScopes")
    taken_over = adopted(
        declared.state,
        ROLE_DEFINITION,
        (key, *definition.renamed_from),
        f"{scopes[0]}/providers/Microsoft.Authorization/roleDefinitions/{definition.adopt}"
        if definition.adopt
        else None,
        change=definition.change_adopted,
        where=f"role_definitions.{key}",
    )

    def allowed(operations: Sequence[str]) -> list[str] | None:
        """The operations; an import leaves out a list that is empty."""
        return None if definition.adopt and not operations else list(operations)

    return authorization.RoleDefinition(
        key,
        # An import reads the scope from the definition's id, where no slash leads it.
        scope=scopes[0].strip("/") if definition.adopt else scopes[0],
        role_definition_id=definition.guid(key),
        role_name=definition.name or key,
        role_type="CustomRole",
        description=definition.description,
        permissions=[
            authorization.PermissionArgs(
                actions=allowed(definition.actions),
                not_actions=allowed(definition.not_actions),
                data_actions=allowed(definition.data_actions),
                not_data_actions=allowed(definition.not_data_actions),
            )
        ],
        assignable_scopes=scopes,
        opts=pulumi.ResourceOptions(
            aliases=[pulumi.Alias(name=old) for old in definition.renamed_from],
            ignore_changes=None if taken_over else same,
            retain_on_delete=definition.on_remove == "keep",
            **taken_over,
        ),
    )


def _check_cloud(environment: Environment) -> None:
    """Stop where the providers are set to another cloud than the environment's, whose sign-in would not be known there.

    Where a metadata host is set, the providers take their endpoints from it and no cloud by name.
    """
    hosts = (azuread.config.metadata_host, azure_native.config.metadata_host)
    if any(hosts) or any(os.environ.get(name) for name in ("ARM_METADATA_HOSTNAME", "ARM_METADATA_HOST")):
        return
    by_environment = os.environ.get("ARM_ENVIRONMENT")
    wrong = {
        provider: set_to or "public"
        for provider, set_to in (
            ("azuread", azuread.config.environment or by_environment),
            ("azure-native", azure_native.config.environment or by_environment),
        )
        if cloud_name(set_to or "") != environment.cloud
    }
    if wrong:
        found = " and ".join(f"{provider} to {set_to}" for provider, set_to in wrong.items())
        commands = "; ".join(f"pulumi config set {provider}:environment {environment.cloud}" for provider in wrong)
        raise pulumi.RunError(
            f"The environment is of the cloud {environment.cloud}, but Pulumi's provider is set otherwise: {found}. Set it for the "
            f"stack ({commands}) or for all, with ARM_ENVIRONMENT={environment.cloud}; or correct `cloud` in the file."
        )
