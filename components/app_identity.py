"""`AppIdentity`: an app registration, its service principal, its credentials and what it may do, as one component."""

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pulumi
import pulumi_azuread as azuread
from pulumi_azure_native import authorization

from entrant.config.credentials import Secret
from entrant.config.values import parse_moment, parse_role
from entrant.facts.scopes import parse_scope, role_definition_id

from .arguments import AppIdentityArgs, FederatedArgs, PermissionArgs, RoleAssignmentArgs
from .registration import application_inputs, principal_inputs
from .rotation import Due, HandedOut, due

FederatedCredential: TypeAlias = (
    azuread.ApplicationFederatedIdentityCredential | azuread.ApplicationFlexibleFederatedIdentityCredential
)

_ASSIGNMENTS = uuid.UUID("5b0e5f0c-5a33-4a57-9d0a-6b1c7f9d3f52")
"""Namespace of role assignment names. Never change it: every assignment would be replaced."""

SECRET_NAMES = "entrant "
"""What the names of client secrets start with, as the portal shows them."""


class AppIdentity(pulumi.ComponentResource):
    """An app registration with everything that makes it usable by a workload.

    Roles and credentials belong to the service principal and the registration declared here, and go with them. The component
    never looks a registration up by its display name. Secrets are `ApplicationPassword`s, which the portal shows under
    "Certificates & secrets", each with an explicit end date (the provider drops a relative one).
    """

    client_id: pulumi.Output[str]
    """The application (client) id, used to sign in."""
    object_id: pulumi.Output[str]
    """The registration's object id."""
    service_principal_id: pulumi.Output[str]
    """The service principal's object id, which roles are assigned to."""

    def __init__(self, name: str, args: AppIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Declare the identity `name`.

        Raises:
            config.problems.Refused, pydantic.ValidationError: `secret` or `now` is malformed.
        """
        super().__init__("entrant:index:AppIdentity", name, {}, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._declare_registration(name, args)
        self.secrets = self._secrets(name, args)
        self.certificates = {
            key: azuread.ApplicationCertificate(
                f"{name}-{key}",
                application_id=self.application.id,
                type="AsymmetricX509Cert",
                value=certificate["pem"],
                end_date=certificate["ends"],
                opts=self._child,
            )
            for key, certificate in args.get("certificates", {}).items()
        }
        self.federated = {
            key: self._federated_credential(name, key, credential)
            for key, credential in args.get("federated", {}).items()
        }
        for key, permission in args.get("permissions", {}).items():
            self._consent(f"{name}-{key}", permission)
        self.role_assignments = {
            key: self._role_assignment(f"{name}-{key}", role) for key, role in args.get("roles", {}).items()
        }
        self._memberships(name, args)
        self.register_outputs(
            {
                "client_id": self.client_id,
                "object_id": self.object_id,
                "service_principal_id": self.service_principal_id,
            }
        )

    def _declare_registration(self, name: str, args: AppIdentityArgs) -> None:
        adopt = args.get("adopt")
        keep = args.get("on_remove") == "keep"
        inputs = application_inputs(args)
        self.application = azuread.Application(
            name,
            **inputs,
            # An adopted registration has its name already, and the provider would find it taken.
            prevent_duplicate_names=None if adopt else True,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.get("protect"),
                retain_on_delete=keep,
                import_=f"/applications/{adopt['application']}" if adopt else None,
                ignore_changes=[
                    *(["api.knownClientApplications"] if args.get("known_clients_apart") else []),
                    *(["owners"] if "owners" not in args and "first_owners" in args else []),
                ],
            ),
        )
        own = {
            name: value for name, value in inputs.items() if name != "owners" or "owners" in args
        }  # not the deployer
        self.registration_digest = pulumi.Output.json_dumps(own).apply(
            lambda text: hashlib.sha256(text.encode()).hexdigest()
        )
        principal = args.get("service_principal", {})
        adopted = adopt.get("service_principal") if adopt else None
        self.service_principal = azuread.ServicePrincipal(
            name,
            client_id=self.application.client_id,
            **principal_inputs(args),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.get("protect"),
                # The provider would delete a service principal even where it only used an existing one.
                retain_on_delete=keep or principal.get("use_existing", False),
                import_=f"/servicePrincipals/{adopted}" if adopted else None,
                ignore_changes=["owners"] if "owners" not in principal and "first_owners" in args else [],
            ),
        )
        self.client_id = self.application.client_id
        self.object_id = self.application.object_id
        self.service_principal_id = self.service_principal.object_id

    def _secrets(self, name: str, args: AppIdentityArgs) -> Sequence[tuple[Due, azuread.ApplicationPassword]]:
        """The secrets that are to exist now, newest first."""
        if "secret" not in args:
            return ()
        rule = Secret.model_validate(args["secret"])
        handed_out = args.get("secrets_handed_out")
        secrets = due(
            parse_moment(args["now"]) if "now" in args else datetime.now(UTC),
            every=rule.every,
            overlap=rule.overlap,
            starts=rule.starts,
            generation=rule.generation,
            handed_out=None
            if handed_out is None
            else [
                HandedOut(secret["name"], parse_moment(secret["issued"]), parse_moment(secret["ends"]))
                for secret in handed_out
            ],
        )
        return tuple(
            (
                secret,
                azuread.ApplicationPassword(
                    f"{name}-secret-{secret.name}",
                    application_id=self.application.id,
                    display_name=f"{SECRET_NAMES}{secret.name}",
                    end_date=rfc3339(secret.ends),
                    opts=self._child,
                ),
            )
            for secret in secrets
        )

    def _federated_credential(self, name: str, key: str, args: FederatedArgs) -> FederatedCredential:
        if "claims" in args:
            return azuread.ApplicationFlexibleFederatedIdentityCredential(
                f"{name}-{key}",
                application_id=self.application.id,
                display_name=key,
                description=args.get("description"),
                issuer=args["issuer"],
                claims_matching_expression=args["claims"],
                audience=args["audience"],
                opts=self._child,
            )
        return azuread.ApplicationFederatedIdentityCredential(
            f"{name}-{key}",
            application_id=self.application.id,
            display_name=key,
            description=args.get("description"),
            issuer=args["issuer"],
            subject=args["subject"],
            audiences=[args["audience"]],
            opts=self._child,
        )

    def _consent(self, name: str, args: PermissionArgs) -> None:
        """Admin consent: an app-role assignment for each application permission, one grant for the delegated ones."""
        if not args.get("consent"):
            return
        resource = args["service_principal_id"]
        for permission, permission_id in args.get("application", {}).items():
            azuread.AppRoleAssignment(
                f"{name}-{permission}",
                app_role_id=permission_id,
                principal_object_id=self.service_principal_id,
                resource_object_id=resource,
                opts=self._child,
            )
        if delegated := args.get("delegated"):
            azuread.ServicePrincipalDelegatedPermissionGrant(
                name,
                service_principal_object_id=self.service_principal_id,
                resource_service_principal_object_id=resource,
                claim_values=sorted(delegated),
                opts=self._child,
            )

    def _role_assignment(self, name: str, args: RoleAssignmentArgs) -> authorization.RoleAssignment:
        scope = pulumi.Output.from_input(args["scope"]).apply(lambda text: parse_scope(text).id)
        definition = pulumi.Output.all(args["role"], scope).apply(
            lambda given: role_definition_id(parse_scope(given[1]), parse_role(given[0]).guid)
        )
        adopt = args.get("adopt")
        own_name = pulumi.Output.all(scope, definition, self.service_principal_id).apply(
            lambda parts: assignment_name(*parts)
        )
        return authorization.RoleAssignment(
            name,
            # An import reads the scope from the assignment's id, where no slash leads it.
            scope=scope.apply(lambda text: text.strip("/")) if adopt else scope,
            role_definition_id=definition,
            principal_id=self.service_principal_id,
            principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
            role_assignment_name=adopt or own_name,
            description=args.get("description"),
            condition=args.get("condition"),
            condition_version="2.0" if "condition" in args else None,
            opts=pulumi.ResourceOptions(
                parent=self,
                # ARM refuses a second assignment of the same role, scope and principal, under whatever name.
                delete_before_replace=True,
                retain_on_delete=args.get("on_remove") == "keep",
                import_=f"{args['scope']}/providers/Microsoft.Authorization/roleAssignments/{adopt}" if adopt else None,
            ),
        )

    def _memberships(self, name: str, args: AppIdentityArgs) -> None:
        for key, group in args.get("groups", {}).items():
            azuread.GroupMember(
                f"{name}-{key}",
                group_object_id=group,
                member_object_id=self.service_principal_id,
                opts=self._child,
            )
        for key, role in args.get("directory_roles", {}).items():
            unit = role.get("administrative_unit")
            azuread.DirectoryRoleAssignment(
                f"{name}-{key}",
                principal_object_id=self.service_principal_id,
                role_id=role["role_id"],
                directory_scope_id=pulumi.Output.concat("/administrativeUnits/", unit) if unit else None,
                opts=self._child,
            )

    @property
    def client_secret(self) -> pulumi.Output[str] | None:
        """The current client secret, as a Pulumi secret; None when the app has none."""
        return pulumi.Output.secret(self.secrets[0][1].value) if self.secrets else None

    @property
    def client_secret_previous(self) -> pulumi.Output[str] | None:
        """The secret before, as a Pulumi secret, while it is inside its overlap."""
        return pulumi.Output.secret(self.secrets[1][1].value) if len(self.secrets) > 1 else None

    @property
    def credentials(self) -> list[Mapping[str, Any]]:
        """What can prove this identity, without any secret value: kind, name, key id, start, end, whether it is current.

        A secret's `issued` is when an `up` first declared it, by the clock that its calendar is read at; its
        `successor_starts` is the moment from which an `up` makes the next one, its `kept_until` that from which an `up` takes it
        away.
        """
        secrets = [
            {
                "kind": "secret",
                "name": secret.display_name,
                "key_id": secret.key_id,
                "starts": secret.start_date,
                "ends": rfc3339(due.ends),
                "issued": rfc3339(due.issued),
                "successor_starts": rfc3339(due.successor),
                "kept_until": rfc3339(due.kept_until),
                "current": index == 0,
            }
            for index, (due, secret) in enumerate(self.secrets)
        ]
        certificates = [
            {
                "kind": "certificate",
                "name": key,
                "key_id": certificate.key_id,
                "starts": certificate.start_date,
                "ends": certificate.end_date,
                "current": True,
            }
            for key, certificate in self.certificates.items()
        ]
        federated = [
            {
                "kind": "federated",
                "name": key,
                "key_id": credential.credential_id,
                "starts": None,
                "ends": None,
                "current": True,
                "issuer": credential.issuer,
                "subject": getattr(credential, "subject", None),
                "claims": getattr(credential, "claims_matching_expression", None),
            }
            for key, credential in self.federated.items()
        ]
        return [*secrets, *certificates, *federated]


def assignment_name(scope: str, definition: str, principal: str) -> str:
    """The name of a role assignment: a GUID that is the same for the same scope, role definition and principal.

    A principal that was created anew gets new names, so a stale assignment of its predecessor is never taken for its own.
    Case, and how the role definition's id is qualified, make no difference.
    """
    return str(uuid.uuid5(_ASSIGNMENTS, "|".join((scope, definition.rsplit("/", 1)[-1], principal)).lower()))


def rfc3339(moment: datetime) -> str:
    """A UTC time as Microsoft Graph writes it: `2026-11-01T00:00:00Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def slug(text: str) -> str:
    """Lower-case words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
