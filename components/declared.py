"""What a program has declared so far, and an app of its file as the component's arguments, which name all else by id."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pulumi
from pulumi_azure_native import authorization

from entrant.config import App, Environment, RoleGrant
from entrant.config.access import AdoptedConsent, Kind, Permission, offered_permissions
from entrant.config.known import ApiReference, Owner, Reference
from entrant.config.models import Part
from entrant.config.registration import Api, ServicePrincipal
from entrant.config.rotation import Due, HandedOut, due_by, handed_out
from entrant.config.values import OnRemove, moment_text
from entrant.facts.contract import CLIENT_SECRET
from entrant.facts.pulumi_types import APPLICATION, CERTIFICATE, PASSWORD, PRINCIPAL
from entrant.facts.scopes import is_guid, role_definition_id

from . import blocks
from .api_clients import ApiClientsArgs, PreAuthorizedArgs
from .app_identity import AppIdentity, FromFile
from .arguments import (
    AdoptedConsentArgs,
    AppIdentityArgs,
    FederatedArgs,
    PermissionArgs,
    RoleAssignmentArgs,
    ServicePrincipalArgs,
)
from .issuing import IssuedByCalendar, issued
from .state import State
from .tenant import Tenant


@dataclass
class Declared:
    """What a program has declared so far."""

    environment: Environment
    now: datetime
    """The moment that secret calendars are read at."""
    before: Mapping[str, Any] | None = None
    """The stack's outputs as they are before the run; None where they are not known."""
    state: State = field(default_factory=State)
    tenant: Tenant = field(default_factory=Tenant)
    identities: dict[str, AppIdentity] = field(default_factory=dict)
    role_definitions: dict[str, authorization.RoleDefinition] = field(default_factory=dict)

    def arguments(self, name: str) -> AppIdentityArgs:
        """The arguments of the component for one app."""
        app = self.environment.apps[name]
        return {
            **blocks.registration(name, app),
            "identifier_uris": [self._filled_in(uri) for uri in app.identifier_uris],
            "owners": self._owners(app),
            "first_owners": [self.tenant.deployer],
            "service_principal": self._service_principal(app.service_principal) if app.service_principal else None,
            "secret": {"deliver": blocks.key_vaults(app)},
            "certificates": {
                key: {
                    "pem": certificate.public.pem,
                    "ends": moment_text(certificate.expires),
                    "renamed_from": list(certificate.renamed_from),
                    "adopt": certificate.adopt,
                    "on_remove": self._on_remove(app, certificate),
                }
                for key, certificate in app.held_certificates.items()
            },
            "federated": self._federated(app),
            "permissions": self._permissions(name, app),
            "roles": {grant.key: self._role(app, grant) for grant in app.roles},
            "groups": {
                f"group-{each.group}": {
                    "group": each.group,
                    "adopt": each.adopt,
                    "on_remove": self._on_remove(app, each),
                }
                for each in app.memberships
            },
            "directory_roles": {
                granted.key: {
                    "role_id": granted.role.id,
                    "administrative_unit": granted.administrative_unit,
                    "adopt": granted.adopt,
                    "on_remove": self._on_remove(app, granted),
                }
                for granted in app.directory_roles
            },
            "on_remove": self._on_remove(app),
            "protect": self.environment.protect if app.protect is None else app.protect,
        }

    def _on_remove(self, app: App, part: Part | None = None) -> OnRemove:
        return "keep" if self.environment.keeps(app, part) else "delete"

    def known(self, name: str) -> FromFile:
        """What an app's component is told besides its arguments."""
        app = self.environment.apps[name]
        calendars = {calendar: self._due(name, calendar) for calendar in app.calendars}
        secrets = calendars.pop(CLIENT_SECRET, ())
        if calendars and self.before is None:
            raise pulumi.RunError(
                f"apps.{name}.certificates: the program does not say what the stack handed out before, so each `up` would issue "
                "these certificates anew. Pass it: declare(environment, before=own_outputs())"
            )
        names = (name, *app.renamed_from)
        certificates = {
            calendar: IssuedByCalendar(
                issued(name, calendar, each, self.before or {}, names), blocks.vaults_of(app, calendar)
            )
            for calendar, each in calendars.items()
        }
        return FromFile(self.state, secrets, certificates)

    def _due(self, name: str, calendar: str) -> Sequence[Due]:
        """The secrets or certificates of an app's calendar that are to exist now, newest first."""
        app = self.environment.apps[name]
        rule, names = app.calendars[calendar], (name, *app.renamed_from)
        found = None if self.before is None else handed_out(self.before, names, calendar)
        if found is not None:
            # A client secret is made again under its name, with a value that nobody has yet. Of a certificate the outputs still
            # have the key, and whoever removed it may know that others have it, too: another takes its place.
            change: dict[str, Any] = {"delivered": False} if calendar == CLIENT_SECRET else {"ends": _GONE}
            found = [replace(each, **change) if self._gone(names, calendar, each) else each for each in found]
        return due_by(rule, self.now, found)

    def _gone(self, names: Sequence[str], calendar: str, held: HandedOut) -> bool:
        """Whether somebody removed a secret or a certificate that was handed out."""
        resources = [
            (PASSWORD, f"{name}-secret-{held.name}")
            if calendar == CLIENT_SECRET
            else (CERTIFICATE, f"{name}/{calendar}/{held.name}")
            for name in names
        ]
        return bool(self.state.resources) and not any(each in self.state.resources for each in resources)

    def clients(self, name: str, api: Api) -> ApiClientsArgs:
        """The arguments of the component for the clients of an app that is an API."""
        app = self.environment.apps[name]
        pre_authorized: dict[str, PreAuthorizedArgs] = {}
        for entry in api.pre_authorized:
            own = entry.client.app or self._app_of(entry.client.client_id)
            key = own or entry.client.client_id or ""
            if key in pre_authorized:
                raise pulumi.RunError(
                    f"apps.{name}.api.pre_authorized has {own} twice, by its name and by its client id."
                )
            former = self.environment.apps[own].renamed_from if own else ()
            pre_authorized[key] = {
                "client_id": self._client_id(entry.client),
                "scope_ids": [app.scope_id(name, value) for value in entry.scopes],
                "renamed_from": [old for old in (*former, entry.client.client_id) if old and old != key],
                "adopt": self._known_client_id(name, entry.client) if entry.adopt else None,
                "on_remove": self._on_remove(app, entry),
            }
        # An app by its name and by its client id is one client.
        known_clients = {
            each.app or self._app_of(each.client_id) or each.client_id: self._client_id(each)
            for each in api.known_clients
        }
        return {"known_clients": list(known_clients.values()), "pre_authorized": pre_authorized}

    def _known_client_id(self, name: str, of: Reference) -> str:
        """The client id of another registration, as it is known before an operation."""
        if of.app is None:
            return of.client_id or ""
        app = self.environment.apps[of.app]
        held = self.state.get(APPLICATION, (of.app, *app.renamed_from)).get("clientId")
        if not held and app.adopt is None:
            raise pulumi.RunError(
                f"apps.{name}.api.pre_authorized: {of.app} is not there yet, so no entry for it can be taken over. Take that "
                "`adopt` out, or name the registration under its own."
            )
        return str(held) if held or app.adopt is None else self.tenant.client_id(app.adopt.application)

    def _filled_in(self, text: str) -> str:
        """A text with the tenant's id in place of `{tenant_id}`."""
        if "{tenant_id}" not in text:
            return text
        return text.replace("{tenant_id}", self.environment.tenant or self.tenant.id)

    def _owners(self, of: App | ServicePrincipal) -> list[pulumi.Input[str]] | None:
        """The object ids of owners; None where the file does not say who they are."""
        return [self._owner(owner) for owner in of.owners] if "owners" in of.model_fields_set else None

    def _owner(self, owner: Owner) -> pulumi.Input[str]:
        match owner.kind:
            case "object":
                return owner.value
            case "app":
                return self.identities[owner.value].service_principal_id
            case "deployer":
                return self.tenant.deployer
            case "user":
                return self.tenant.user(owner.value)

    def _app_of(self, client_id: str | None) -> str | None:
        """The app of this environment that has a client id, as far as the state knows; None when none has."""
        for name, app in self.environment.apps.items():
            held = self.state.get(APPLICATION, (name, *app.renamed_from))
            if client_id is not None and str(held.get("clientId", "")).lower() == client_id:
                return name
        return None

    def _client_id(self, of: Reference | ApiReference) -> pulumi.Input[str]:
        """The client id of another registration."""
        return self.identities[of.app].client_id if of.app else of.client_id or ""

    def _service_principal(self, principal: ServicePrincipal) -> ServicePrincipalArgs:
        return {
            **blocks.properties(ServicePrincipalArgs, principal),
            "tags": None if principal.tags is None else list(principal.tags),
            "feature_tags": blocks.feature_tags(principal.feature_tags),
            "owners": self._owners(principal),
        }

    def _federated(self, app: App) -> dict[str, FederatedArgs]:
        trusts = {credential.key: credential.trust(self.environment.cloud) for credential in app.federated}
        return {
            credential.key: {
                "issuer": trusts[credential.key].issuer,
                "subject": trusts[credential.key].subject,
                "claims": trusts[credential.key].claims,
                "audience": trusts[credential.key].audience,
                "description": credential.description,
                "renamed_from": list(credential.renamed_from),
                "adopt": credential.adopt,
                "on_remove": self._on_remove(app, credential),
            }
            for credential in app.federated
        }

    def _permissions(self, name: str, app: App) -> dict[str, PermissionArgs]:
        """Permissions by API; one whose app is of this environment counts as that, also where its client id is given."""
        found: dict[str, PermissionArgs] = {}
        for permission in app.permissions:
            api = permission.api
            own = api.app or self._app_of(api.client_id)
            key = (ApiReference(own, app=own) if own else api).key
            if key in found:
                raise pulumi.RunError(
                    f"apps.{name}.permissions asks for permissions of {own or api.name} twice, by its name and by its "
                    "client id; write them as one entry."
                )
            former = [ApiReference(old, app=old).key for old in self.environment.apps[own].renamed_from] if own else []
            ids, consented = self._permission_ids(permission), permission.consented()
            scopes = self._scope_names(permission, consented["delegated"])
            consents = any(consented.values())
            found[key] = {
                "client_id": self._client_id(api),
                "application": {name: ids["application", name] for name in permission.application},
                "delegated": {scopes.get(name, name): ids["delegated", name] for name in permission.delegated},
                "consented": {
                    "application": {name: ids["application", name] for name in consented["application"]},
                    "delegated": {shown: ids["delegated", name] for name, shown in scopes.items()},
                },
                "service_principal_id": self._principal_of(api) if consents else None,
                "renamed_from": [*former, *([api.client_id] if own and api.client_id else [])],
                "adopt": self._adopted_consent(name, permission, permission.adopt) if permission.adopt else None,
                "on_remove": self._on_remove(app, permission),
            }
        return found

    def _adopted_consent(self, name: str, permission: Permission, adopt: AdoptedConsent) -> AdoptedConsentArgs:
        api = permission.api
        principal = None
        if adopt.application and api.app is None:
            principal = self.tenant.api(api.client_id or "").object_id
        elif adopt.application and api.app is not None:
            principal = self.identities[api.app].parts.id_of(PRINCIPAL, f"the consents of {name}")
        return {"application": dict(adopt.application), "delegated": adopt.delegated, "api": principal}

    def _principal_of(self, api: ApiReference) -> pulumi.Input[str]:
        """The object id of an API's service principal."""
        return (
            self.identities[api.app].service_principal_id if api.app else self.tenant.api(api.client_id or "").object_id
        )

    def _scope_names(self, permission: Permission, consented: Sequence[str]) -> dict[str, str]:
        """The names of delegated permissions, as a grant has them, by what the file calls them: of an id, where the API tells."""
        names = dict(zip(consented, consented, strict=True))
        by_id = [name for name in consented if is_guid(name)]
        if by_id and permission.api.app is None:
            offered = self.tenant.api(permission.api.client_id or "").oauth2_permission_scope_ids
            found = {id_.lower(): name for name, id_ in offered.items()}
            names |= {id_: found.get(id_, id_) for id_ in by_id}
        return names

    def _permission_ids(self, permission: Permission) -> dict[tuple[Kind, str], str]:
        """The ids of all permissions that are named, by kind and name: from the table, the app, or the tenant.

        Raises:
            pulumi.RunError: the API does not offer one of them.
        """
        api = permission.api
        by_id = {(kind, name): name.lower() for _, kind, name in permission.named() if is_guid(name)}
        named = [(kind, name) for _, kind, name in permission.named() if (kind, name) not in by_id]
        if api.app is not None:
            other = self.environment.apps[api.app]
            ids = {"application": other.role_id, "delegated": other.scope_id}
            return by_id | {(kind, name): ids[kind](api.app, name) for kind, name in named}
        offered = offered_permissions(api.client_id or "")
        if offered is None and not named:  # the API may have no service principal here
            return by_id
        if offered is None:
            found = self.tenant.api(api.client_id or "")
            offered = {"application": dict(found.app_role_ids), "delegated": dict(found.oauth2_permission_scope_ids)}
        if missing := [name for kind, name in named if name not in offered[kind]]:
            listed = ", ".join(sorted((*offered["application"], *offered["delegated"]))) or "none"
            raise pulumi.RunError(f"{api.name} does not offer {', '.join(missing)}. It offers: {listed}")
        return by_id | {(kind, name): offered[kind][name] for kind, name in named}

    def _role(self, app: App, grant: RoleGrant) -> RoleAssignmentArgs:
        role_id = role_definition_id(grant.scope, grant.role.guid)
        declared = self.role_definitions.get(grant.role.declared or "")
        return {
            "role": role_id if declared is None else declared.id.apply(lambda _: role_id),
            "scope": grant.scope.id,
            "description": grant.description,
            "condition": grant.condition,
            "adopt": grant.adopt,
            "on_remove": self._on_remove(app, grant),
            "renamed_from": grant.former_keys,
            "unique": True,
        }


_GONE = datetime.min.replace(tzinfo=UTC)
"""The end of a certificate that somebody removed: its name is taken all the same."""
