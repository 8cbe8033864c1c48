"""From a checked environment to components, and from components to the stack's outputs."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import Any, TypeVar, cast

import pulumi
import pulumi_azure_native as azure_native
import pulumi_azuread as azuread
from pulumi_azure_native import authorization

from entrant import config
from entrant.config import App, Environment, RoleGrant
from entrant.config.access import Permission, offered_permissions
from entrant.config.checks import order
from entrant.config.problems import Refused
from entrant.config.registration import ServicePrincipal
from entrant.config.values import Api, Owner, Reference, parse_moment
from entrant.facts import errors
from entrant.facts.apis import FIRST_PARTY
from entrant.facts.clouds import cloud_name
from entrant.facts.contract import CONTRACT, SECRET_NAMES, output_name
from entrant.facts.pulumi_types import APPLICATION, ROLE_DEFINITION
from entrant.facts.roles import find_role
from entrant.facts.unsafe_text import inert

from .api_clients import ApiClients, ApiClientsArgs, PreAuthorizedArgs
from .app_identity import AppIdentity, rfc3339, slug
from .arguments import AppIdentityArgs, FederatedArgs, HandedOutArgs, PermissionArgs, RoleAssignmentArgs
from .state import State, own_stack

_T = TypeVar("_T")


@dataclass
class Declared:
    """What a program has declared so far."""

    environment: Environment
    before: Mapping[str, Any] | None = None
    """The stack's outputs as they are before the run; None where they are not known."""
    state: State = field(default_factory=State)
    identities: dict[str, AppIdentity] = field(default_factory=dict)
    role_definitions: dict[str, authorization.RoleDefinition] = field(default_factory=dict)
    _apis: dict[str, azuread.GetServicePrincipalResult] = field(default_factory=dict)
    _users: dict[str, str] = field(default_factory=dict)

    @cached_property
    def deployer(self) -> str:
        """The object id of whoever runs the program."""
        return cast(str, _signed_in().object_id)

    def owners(self, said: App | ServicePrincipal) -> list[pulumi.Input[str]] | None:
        """The object ids of owners; None where the file does not say who they are."""
        return [self.owner(owner) for owner in said.owners] if "owners" in said.model_fields_set else None

    def api(self, client_id: str) -> azuread.GetServicePrincipalResult:
        """The service principal of an API that this environment does not declare."""
        if client_id not in self._apis:
            self._apis[client_id] = look_up(
                lambda: azuread.get_service_principal(client_id=client_id),
                f"the service principal of the API {client_id}",
                missing=f"The API {client_id} has no service principal in this tenant. "
                f"Check the id, or have an administrator add it: az ad sp create --id {client_id}",
                right="Application.Read.All or Application.ReadWrite.OwnedBy",
            )
        return self._apis[client_id]

    def filled_in(self, text: str) -> str:
        """A text with the tenant's id in place of `{tenant_id}`."""
        if "{tenant_id}" not in text:
            return text
        return text.replace("{tenant_id}", self.environment.tenant or _signed_in().tenant_id)

    def owner(self, owner: Owner) -> pulumi.Input[str]:
        """The object id of an owner."""
        if owner.kind == "object":
            return owner.value
        if owner.kind == "app":
            return self.identities[owner.value].service_principal_id
        if owner.kind == "deployer":
            return self.deployer
        if owner.value not in self._users:
            self._users[owner.value] = look_up(
                lambda: azuread.get_user(user_principal_name=owner.value).object_id,
                f"the owner {owner.value}",
                missing=f"There is no user {owner.value} in this tenant. Correct the owner, or give the object id.",
                right="User.ReadBasic.All, or give the owner's object id, which is not looked up",
            )
        return self._users[owner.value]

    def app_of(self, client_id: str | None) -> str | None:
        """The app of this environment that has a client id, as far as the state knows; None when none has."""
        for name, app in self.environment.apps.items():
            held = self.state.get(APPLICATION, (name, *app.renamed_from))
            if client_id is not None and str(held.get("clientId", "")).lower() == client_id:
                return name
        return None

    def client_id(self, reference: Reference) -> pulumi.Input[str]:
        """The client id of another registration."""
        return self.identities[reference.app].client_id if reference.app else cast(str, reference.client_id)


_NOT_FOUND = re.compile(
    r"(?i)\b(user|service principal)\b.{0,200}\bnot found|\bno (user|service principal)s?\b.{0,200}\bfound"
)
"""What the azuread provider says of something that the directory does not have; its own failures name a status besides."""


def look_up(read: Callable[[], _T], what: str, *, missing: str, right: str) -> _T:
    """What `read` finds in the directory.

    Args:
        what: what is looked up, in words that may begin a sentence after "Looking up".
        missing: what to say where the directory answers that there is no such thing, and what to do.
        right: the Graph permission that the look-up takes, for a refusal.

    Raises:
        pulumi.RunError: it is missing, or the look-up failed, which is told apart.
    """
    try:
        return read()
    except Exception as error:  # the SDK raises a bare Exception with the provider's words
        said = re.sub(
            r"^invoke of \S+ failed: (invocation of \S+ returned an error: )?", "", " ".join(str(error).split())
        )
    if _NOT_FOUND.search(said) and not re.search(r"\bstatus:? \d{3}\b", said):
        raise pulumi.RunError(f"{missing}\n{said}") from None
    known = [found[1] for code in errors.codes(said) if (found := errors.find(code))]
    steps = [
        f"What it means: {explanation.cause}; {explanation.remedy}."
        for explanation in known[-1:]
        if "{" not in explanation.remedy
    ]
    if re.search(r"\b403\b|Authorization_", said):
        steps = [f"Whoever runs Pulumi may not read it: grant the Microsoft Graph permission {right}."]
    nothing = "Whether it exists is not known."
    raise pulumi.RunError(" ".join((f"Looking up {what} failed: {said.rstrip('.')}. {nothing}", *steps))) from None


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


def _signed_in() -> azuread.GetClientConfigResult:
    return look_up(azuread.get_client_config, "who is signed in", missing="Nobody is signed in.", right="User.Read")


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
            its calendar. Default: not known, and the calendar alone decides.
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
    if environment.tenant is not None:
        signed_in = _signed_in().tenant_id
        if signed_in.lower() != environment.tenant:
            message = f"The environment belongs to tenant {environment.tenant}, but the login is for {signed_in}."
            raise pulumi.RunError(f"{message} Sign in to the former, or correct `tenant` in the file.")
    if now is not None:
        try:
            parse_moment(now)
        except Refused as error:
            raise pulumi.RunError(f"entrant:now: {error}") from None
    declared = Declared(environment, before, State.read())
    _renames(declared)
    for key in environment.role_definitions:
        declared.role_definitions[key] = _role_definition(declared, key)
    for name in order(environment.apps):
        args = identity_args(declared, name, now=now)
        declared.identities[name] = AppIdentity(name, args, state=declared.state)
    for name, app in environment.apps.items():
        if app.api and (app.api.known_clients or app.api.pre_authorized):
            ApiClients(name, declared.identities[name], _clients(declared, name, app))
    return {name: declared.identities[name] for name in environment.apps}


def _renames(declared: Declared) -> None:
    """Refuse what looks like a new name of something that the stack holds, before it is made a second time."""
    environment, held = declared.environment, declared.state.resources
    apps = {
        key: ("" if app.adopt else app.display_name or key, app.renamed_from) for key, app in environment.apps.items()
    }
    roles = {key: (role.name or key, role.renamed_from) for key, role in environment.role_definitions.items()}
    said = []
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
                said.append(
                    f'{block}.{key} has the name of {block}.{before}, "{shown}", which is not in the file any more and which Azure '
                    f"would still hold when this one is made. If it is the same under another key, write `renamed_from: {before}`; "
                    "else give it another name, or take the old one away in an `up` of its own."
                )
    if said:
        raise pulumi.RunError("\n".join(said))


def identity_args(declared: Declared, name: str, *, now: str | None = None) -> AppIdentityArgs:
    """The arguments of the component for one app."""
    environment = declared.environment
    app = environment.apps[name]
    args = {
        "display_name": app.display_name or name,
        **{
            field_name: getattr(app, field_name)
            for field_name in ("description", "notes", "sign_in_audience", "logo", "service_management_reference")
        },
        **{
            field_name: list(getattr(app, field_name))
            for field_name in ("group_claims", "tags")
            if getattr(app, field_name)
        },
        **{
            field_name: getattr(app, field_name).model_dump(mode="json", exclude_none=True)
            for field_name in ("web", "spa", "public_client", "links", "optional_claims", "feature_tags")
            if getattr(app, field_name) is not None
        },
        "identifier_uris": [declared.filled_in(uri) for uri in app.identifier_uris],
        "app_roles": _app_roles(name, app),
        "api": _api(name, app),
        "known_clients_apart": bool(app.api and app.api.known_clients) or None,
        "first_owners": [declared.deployer],
        "service_principal": _service_principal(declared, app),
        "secret": _secret(app),
        "certificates": {
            key: {
                "pem": certificate.public.pem,
                "ends": rfc3339(certificate.public.ends),
                "renamed_from": list(certificate.renamed_from),
            }
            for key, certificate in app.certificates.items()
        },
        "federated": _federated(environment, app),
        "permissions": _permissions(declared, name),
        "roles": {role_key(grant): _role(declared, grant) for grant in app.roles},
        "groups": {f"group-{each.group}": each.group for each in app.memberships},
        "directory_roles": {
            f"directory-{slug(role.role.name)}{f'-{role.administrative_unit}' if role.administrative_unit else ''}": {
                "role_id": role.role.id,
                **({"administrative_unit": role.administrative_unit} if role.administrative_unit else {}),
            }
            for role in app.directory_roles
        },
        "adopt": app.adopt.model_dump(mode="json", exclude_none=True) if app.adopt else None,
        "change_adopted": app.change_adopted or None,
        "renamed_from": list(app.renamed_from),
        "on_remove": app.on_remove or environment.on_remove,
        "protect": environment.protect if app.protect is None else app.protect,
        "now": now,
    }
    given = {key: value for key, value in args.items() if value not in (None, [], {})}
    owners = declared.owners(app)
    given |= {} if owners is None else {"owners": owners}
    return cast(AppIdentityArgs, given | _handed_out(declared.before, name, *app.renamed_from))


def _app_roles(name: str, app: App) -> dict[str, Any]:
    return {
        value: {
            "id": app.role_id(name, value),
            "display_name": role.display_name or value,
            "description": role.description,
            "allowed": list(role.allowed),
            "enabled": role.enabled,
        }
        for value, role in app.app_roles.items()
    }


def _api(name: str, app: App) -> dict[str, Any] | None:
    if app.api is None:
        return None
    return {
        "token_version": app.api.token_version,
        "mapped_claims": app.api.mapped_claims,
        "scopes": {
            value: {
                "id": app.scope_id(name, value),
                "display_name": scope.display_name or value,
                **scope.model_dump(mode="json", exclude_none=True, exclude={"id", "display_name", "renamed_from"}),
            }
            for value, scope in app.api.scopes.items()
        },
    }


def _service_principal(declared: Declared, app: App) -> dict[str, Any] | None:
    principal = app.service_principal
    if principal is None:
        return None
    args = principal.model_dump(mode="json", exclude_none=True, exclude={"owners"})
    owners = declared.owners(principal)
    return args if owners is None else args | {"owners": owners}


def _secret(app: App) -> dict[str, Any] | None:
    if not app.secret:
        return None
    return {
        "every": f"{app.secret.every.total_seconds() / 3600:.0f}h",
        "overlap": f"{app.secret.overlap.total_seconds() / 3600:.0f}h",
        "starts": rfc3339(app.secret.starts),
        "generation": app.secret.generation,
    }


def _handed_out(before: Mapping[str, Any] | None, *names: str) -> dict[str, list[HandedOutArgs]]:
    """The secrets of an app in the stack's outputs, under its name or one that it had. Those of an earlier version do not tell
    when they were issued.
    """
    if before is None:
        return {}
    identities: Mapping[str, Any] = before.get("identities", {})
    app: Mapping[str, Any] = next((identities[name] for name in names if name in identities), {})
    secrets = [entry for entry in app.get("credentials", ()) if entry["kind"] == "secret"]
    return {
        "secrets_handed_out": [
            {
                "name": entry["name"].removeprefix(SECRET_NAMES),
                "issued": entry.get("issued") or entry["starts"],
                "ends": entry["ends"],
            }
            for entry in secrets
        ]
    }


def _federated(environment: Environment, app: App) -> dict[str, FederatedArgs]:
    found = {}
    for credential in app.federated:
        trust = credential.trust(environment.cloud)
        args = {
            "issuer": trust.issuer,
            "subject": trust.subject,
            "claims": trust.claims,
            "audience": trust.audience,
            "description": credential.description,
            "renamed_from": list(credential.renamed_from) or None,
        }
        found[credential.key] = cast(FederatedArgs, {key: value for key, value in args.items() if value is not None})
    return found


def permission_ids(declared: Declared, permission: Permission) -> tuple[dict[str, str], dict[str, str]]:
    """The ids of application and delegated permissions by name: from the table, the app, or the tenant.

    Raises:
        pulumi.RunError: the API does not offer one of them.
    """
    api = permission.api
    wanted: dict[str, list[str]] = {"application": [], "delegated": []}
    for _, kind, name in permission.named():
        wanted[kind].append(name)
    if api.app is not None:
        other = declared.environment.apps[api.app]
        roles = {name: other.role_id(api.app, name) for name in wanted["application"]}
        scopes = {name: other.scope_id(api.app, name) for name in wanted["delegated"]}
        return roles, scopes
    assert api.client_id is not None
    offered = offered_permissions(api.client_id)
    if offered is None:
        found = declared.api(api.client_id)
        offered = {"application": dict(found.app_role_ids), "delegated": dict(found.oauth2_permission_scope_ids)}
    missing = [name for kind, names in wanted.items() for name in names if name not in offered[kind]]
    if missing:
        listed = ", ".join(sorted((*offered["application"], *offered["delegated"]))) or "none"
        raise pulumi.RunError(f"{api.name} does not offer {', '.join(missing)}. It offers: {listed}")
    return (
        {name: offered["application"][name] for name in wanted["application"]},
        {name: offered["delegated"][name] for name in wanted["delegated"]},
    )


def _permissions(declared: Declared, name: str) -> dict[str, PermissionArgs]:
    """The permissions of an app by API; one whose app is of this environment counts as that, also where its client id is given."""
    found: dict[str, PermissionArgs] = {}
    for permission in declared.environment.apps[name].permissions:
        own = permission.api.app or declared.app_of(permission.api.client_id)
        key = api_key(Api(own, app=own) if own else permission.api)
        if key in found:
            raise pulumi.RunError(
                f"apps.{name}.permissions asks for permissions of {own or permission.api.name} twice, by its name and by its "
                "client id; write them as one entry."
            )
        found[key] = _permission(declared, permission)
        former = declared.environment.apps[own].renamed_from if own else ()
        was = [api_key(Api(old, app=old)) for old in former] + ([permission.api.client_id] if own else [])
        if renamed_from := [old for old in was if old]:
            found[key]["renamed_from"] = renamed_from
    return found


def _permission(declared: Declared, permission: Permission) -> PermissionArgs:
    application, delegated = permission_ids(declared, permission)
    api = permission.api
    args: PermissionArgs = {
        "client_id": declared.identities[api.app].client_id if api.app else cast(str, api.client_id),
        "application": {name: application[name] for name in permission.application},
        "delegated": {name: delegated[name] for name in permission.delegated},
    }
    consented = permission.consented()
    if any(consented.values()):
        args["consented"] = {
            "application": {name: application[name] for name in consented["application"]},
            "delegated": {name: delegated[name] for name in consented["delegated"]},
        }
        args["service_principal_id"] = (
            declared.identities[api.app].service_principal_id
            if api.app
            else declared.api(cast(str, api.client_id)).object_id
        )
    return args


def api_key(api: Api) -> str:
    """An API's part of a resource name; an app that is called like one of Microsoft's APIs is told from it."""
    if api.app is None:
        return slug(api.name)
    return f"app-{api.app}" if api.app in {slug(name) for name in FIRST_PARTY} else api.app


def _role(declared: Declared, grant: RoleGrant) -> RoleAssignmentArgs:
    definition = declared.role_definitions.get(grant.role.declared or "")
    args = {
        "role": grant.role.guid if definition is None else definition.id,
        "scope": grant.scope.id,
        "description": grant.description,
        "condition": grant.condition,
        "adopt": grant.adopt,
        "on_remove": grant.on_remove,
        "renamed_from": _former_role_keys(grant),
        "unique": True,
    }
    return cast(RoleAssignmentArgs, {key: value for key, value in args.items() if value is not None})


def role_key(grant: RoleGrant) -> str:
    """A grant's part of a resource name, such as `reader-law-dev-1f0c2b3a4d5e`.

    Made from what Azure holds unique, role definition and scope (of the app's principal), not from its place in a list, the name
    its scope has in the file, or how the role is named there, so that reordering and renaming change nothing.
    """
    known = find_role(grant.role.guid)
    return "-".join((slug(known.name) if known else "custom", slug(grant.scope.name) or "root", grant.digest))


def _former_role_keys(grant: RoleGrant) -> list[str]:
    """What earlier versions called it, after the role's name or its GUID as the file had it."""
    place, digest = slug(grant.scope.name) or "root", grant.digest[:6]
    return [f"{slug(role)}-{place}-{digest}" for role in (grant.role.name, grant.role.guid)]


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
    return authorization.RoleDefinition(
        key,
        scope=scopes[0],
        role_definition_id=definition.guid(key),
        role_name=definition.name or key,
        role_type="CustomRole",
        description=definition.description,
        permissions=[
            authorization.PermissionArgs(
                actions=list(definition.actions),
                not_actions=list(definition.not_actions),
                data_actions=list(definition.data_actions),
                not_data_actions=list(definition.not_data_actions),
            )
        ],
        assignable_scopes=scopes,
        opts=pulumi.ResourceOptions(
            aliases=[pulumi.Alias(name=old) for old in definition.renamed_from], ignore_changes=same
        ),
    )


def _clients(declared: Declared, name: str, app: App) -> ApiClientsArgs:
    assert app.api is not None
    args: ApiClientsArgs = {}
    if app.api.known_clients:
        args["known_clients"] = [declared.client_id(client) for client in app.api.known_clients]
    pre_authorized: dict[str, PreAuthorizedArgs] = {}
    for entry in app.api.pre_authorized:
        own = entry.client.app or declared.app_of(entry.client.client_id)
        key = own or cast(str, entry.client.client_id)
        if key in pre_authorized:
            raise pulumi.RunError(f"apps.{name}.api.pre_authorized has {own} twice, by its name and by its client id.")
        pre_authorized[key] = {
            "client_id": declared.client_id(entry.client),
            "scope_ids": [app.scope_id(name, value) for value in entry.scopes],
        }
        was = [*(declared.environment.apps[own].renamed_from if own else ()), entry.client.client_id]
        if renamed_from := [old for old in was if old and old != key]:
            pre_authorized[key]["renamed_from"] = renamed_from
    if pre_authorized:
        args["pre_authorized"] = pre_authorized
    return args


# ------------------------------------------------------------------------------------------------------------------ outputs


def own_outputs() -> Mapping[str, Any]:
    """The outputs of the stack that is being run, as they are before the run; empty on its first.

    Raises:
        Exception: the backend cannot be read; with the engine's words.
    """
    return cast(Mapping[str, Any], own_stack("readStackOutputs", "name")["outputs"])


def stack_outputs(environment: Environment, identities: Mapping[str, AppIdentity]) -> dict[str, Any]:
    """The stack's outputs, contract 1.

    `<app>_client_id`, `<app>_client_secret` and `<app>_client_secret_previous` are flat, so that CI systems can mask each;
    `identities` holds no secret.
    """
    outputs: dict[str, Any] = {
        "contract": CONTRACT,
        "tenant_id": azuread.get_client_config_output().tenant_id,
        "cloud": environment.cloud,
    }
    for name, identity in identities.items():
        outputs[output_name(name, "client_id")] = identity.client_id
        if identity.client_secret is not None:
            outputs[output_name(name, "client_secret")] = identity.client_secret
        if identity.client_secret_previous is not None:
            outputs[output_name(name, "client_secret_previous")] = identity.client_secret_previous
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
        "audience": _audience(app, identity),
        "grants": [
            {
                "role": grant.role.name,
                "role_definition_id": grant.role.guid,
                "scope": grant.scope.id,
                "assignment_id": identity.role_assignments[role_key(grant)].id,
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
            "service_principal": identity.service_principal.owners.apply(lambda owners: sorted(owners or [])),
        },
        "groups": [each.group for each in app.memberships],
        "directory_roles": [
            {"role_id": role.role.id, "administrative_unit": role.administrative_unit} for role in app.directory_roles
        ],
        "credentials": [{**entry, **_read_from(app, entry)} for entry in identity.credentials],
    }


def _audience(app: App, identity: AppIdentity) -> pulumi.Input[str]:
    """What a token for this app is asked for: its first identifier URI, or its client id, which Entra ID takes as well."""
    if not app.identifier_uris:
        return identity.client_id
    first = app.identifier_uris[0]
    if "{tenant_id}" not in first:
        return first
    tenant: pulumi.Output[str] = azuread.get_client_config_output().tenant_id
    return tenant.apply(lambda id_: first.replace("{tenant_id}", id_))


def _read_from(app: App, credential: Mapping[str, Any]) -> dict[str, str]:
    """The file of a certificate that has one, from where the program runs."""
    certificate = app.certificates.get(credential["name"]) if credential["kind"] == "certificate" else None
    file = certificate.public.file if certificate else None
    return {"file": PurePath(os.path.relpath(file)).as_posix()} if file else {}
