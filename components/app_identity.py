"""`AppIdentity`: an app registration, its service principal, its credentials and what it may do, as one component."""

import hashlib
import os
import re
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pulumi
import pulumi_azuread as azuread
from pulumi_azure_native import authorization

from entrant.config.credentials import Secret
from entrant.config.values import parse_moment, parse_role
from entrant.facts.contract import SECRET_NAMES
from entrant.facts.pulumi_types import (
    APP_ROLE_ASSIGNMENT,
    APPLICATION,
    CERTIFICATE,
    DELEGATED_GRANT,
    DIRECTORY_ROLE_ASSIGNMENT,
    FEDERATED,
    FLEXIBLE,
    GROUP_MEMBER,
    PRINCIPAL,
    ROLE_ASSIGNMENT,
)
from entrant.facts.scopes import parse_scope, role_definition_id

from . import trusts
from .arguments import AppIdentityArgs, ConsentArgs, FederatedArgs, PermissionArgs, RoleAssignmentArgs
from .registration import application_inputs, principal_inputs
from .rotation import Due, HandedOut, due
from .state import State, adopted

FederatedCredential: TypeAlias = (
    azuread.ApplicationFederatedIdentityCredential | azuread.ApplicationFlexibleFederatedIdentityCredential
)

_ASSIGNMENTS = uuid.UUID("5b0e5f0c-5a33-4a57-9d0a-6b1c7f9d3f52")
"""Namespace of role assignment names. Never change it: every assignment would be replaced."""


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
    client_secret: pulumi.Output[str] | None
    """The current client secret, a Pulumi secret; none when the app has none."""
    client_secret_previous: pulumi.Output[str] | None
    """The secret before, a Pulumi secret, while it is inside its overlap."""
    grants: list[dict[str, Any]]
    """The role assignments: `key`, `role_definition_id`, `scope`, `assignment_id`."""
    credentials: list[dict[str, Any]]
    """What can prove this identity, without any secret value: kind, name, key id, start, end, whether it is current.

    A secret's `issued` is when an `up` first declared it, by the clock that its calendar is read at; its `successor_starts` is the
    moment from which an `up` makes the next one, its `kept_until` that from which an `up` takes it away.
    """

    def __init__(
        self,
        name: str,
        args: AppIdentityArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        state: State | None = None,
    ) -> None:
        """Declare the identity `name`; `state` is what the stack holds already, read when it is not given.

        Raises:
            config.problems.Refused, pydantic.ValidationError: `secret` or `now` is malformed.
            pulumi.RunError: `adopt` names what the stack manages already.
        """
        former = [pulumi.Alias(name=old) for old in args.get("renamed_from", [])]
        opts = pulumi.ResourceOptions.merge(pulumi.ResourceOptions(aliases=former), opts)
        super().__init__("entrant:index:AppIdentity", name, {}, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._state = State.read() if state is None else state
        self.names = (name, *args.get("renamed_from", []))
        """The app's name, and those that it had."""
        self._change_adopted = args.get("change_adopted", False)
        self._ids = {
            str(self._state.get(type_, self.names).get("objectId", "")).lower() for type_ in (APPLICATION, PRINCIPAL)
        } - {""}
        self._declare_registration(name, args)
        self.secrets = self._secrets(name, args)
        self.certificates = {
            key: azuread.ApplicationCertificate(
                f"{name}/{key}",
                application_id=self.application.id,
                type="AsymmetricX509Cert",
                value=certificate["pem"],
                end_date=certificate["ends"],
                opts=self.part(
                    CERTIFICATE,
                    key,
                    others=args["certificates"],
                    alike={"value": certificate["pem"]},
                    was=certificate.get("renamed_from", []),
                ),
            )
            for key, certificate in args.get("certificates", {}).items()
        }
        self.federated = self._federated(name, args.get("federated", {}))
        for key, permission in args.get("permissions", {}).items():
            self._consent(name, key, permission)
        self.role_assignments = {
            key: self._role_assignment(name, key, role) for key, role in args.get("roles", {}).items()
        }
        self._memberships(name, args)
        values = [pulumi.Output.secret(secret.value) for _, secret in self.secrets]
        self.client_secret, self.client_secret_previous = (*values, None, None)[:2]
        self.credentials = self._credentials()
        self.grants = [
            {
                "key": key,
                "role_definition_id": assignment.role_definition_id,
                "scope": assignment.scope,
                "assignment_id": assignment.id,
            }
            for key, assignment in self.role_assignments.items()
        ]
        self.register_outputs(
            {
                "client_id": self.client_id,
                "object_id": self.object_id,
                "service_principal_id": self.service_principal_id,
            }
        )

    def part(
        self,
        type_: str,
        key: str,
        *,
        parent: pulumi.Resource | None = None,
        others: Collection[str] = (),
        alike: Mapping[str, Any] | None = None,
        was: Iterable[str] = (),
        **more: Any,
    ) -> pulumi.ResourceOptions:
        """The options of a part of the app, a resource that is called `<app>/<key>`: no app's name has a slash.

        Args:
            type_: its type.
            parent: what it belongs to. Default: the app.
            key: what tells it apart.
            others: the keys of all parts of its kind.
            alike: outputs by which Azure tells it apart, as far as they are known: what has them in the state is this part,
                whatever it is called there.
            was: keys that it had before.
            more: further options.
        """
        aliases = [pulumi.Alias(name=name) for name in self._former(type_, key, others, alike or {}, was)]
        return pulumi.ResourceOptions(parent=parent or self, aliases=aliases, **more)

    def _former(
        self, type_: str, key: str, others: Collection[str], alike: Mapping[str, Any], was: Iterable[str]
    ) -> list[str]:
        """The other names that a part of the app has in the state."""
        taken = {f"{self.names[0]}/{other}" for other in (key, *others)}
        names = self._names(key, tuple(was))
        # Without an id of the app, what is alike may be another app's. Outputs tell their values only later.
        if self._ids and alike and all(isinstance(value, str) for value in alike.values()):
            names += [
                name
                for (of, name), outputs in self._state.resources.items()
                if of == type_ and all(outputs.get(output) == value for output, value in alike.items())
            ]
        wanted = (name for name in dict.fromkeys(names) if name not in taken)
        return self._state.aliases(type_, wanted, self._ids)

    def _declare_registration(self, name: str, args: AppIdentityArgs) -> None:
        adopt = args.get("adopt")
        keep = args.get("on_remove") == "keep"
        inputs = application_inputs(args)
        self.application = azuread.Application(
            name,
            **inputs,
            # An adopted registration has its name already, and the provider would find it taken; so would the preview that
            # `entrant recover` makes to learn what a killed run was making.
            prevent_duplicate_names=None if adopt or os.environ.get("ENTRANT_RECOVERING") else True,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.get("protect"),
                retain_on_delete=keep,
                **self._adopted(APPLICATION, name, f"/applications/{adopt['application']}" if adopt else None),
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
        principal_id = adopt.get("service_principal") if adopt else None
        self.service_principal = azuread.ServicePrincipal(
            name,
            client_id=self.application.client_id,
            **principal_inputs(args),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.get("protect"),
                # The provider would delete a service principal even where it only used an existing one.
                retain_on_delete=keep or principal.get("use_existing", False),
                **self._adopted(PRINCIPAL, name, f"/servicePrincipals/{principal_id}" if principal_id else None),
                ignore_changes=["owners"] if "owners" not in principal and "first_owners" in args else [],
            ),
        )
        self.client_id = self.application.client_id
        self.object_id = self.application.object_id
        self.service_principal_id = self.service_principal.object_id

    def _adopted(self, type_: str, name: str, import_id: str | None) -> dict[str, Any]:
        """The options that take an existing object over, where there is one to be taken over."""
        names = [name, *(f"{app}{name.removeprefix(self.names[0])}" for app in self.names[1:])]
        return adopted(self._state, type_, names, import_id, change=self._change_adopted, where=f"apps.{self.names[0]}")

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

    def _federated(self, name: str, credentials: Mapping[str, FederatedArgs]) -> dict[str, FederatedCredential]:
        """The federated credentials, in an order that Azure takes."""
        names = {key: self._names(key, args.get("renamed_from", [])) for key, args in credentials.items()}
        made: dict[str, FederatedCredential] = {}
        for key, first in trusts.order(name, credentials, names, trusts.of_app(self._state, self._ids)).items():
            made[key] = self._federated_credential(name, key, credentials, [made[other] for other in first])
        return {key: made[key] for key in credentials}

    def _names(self, key: str, was: Sequence[str]) -> list[str]:
        """The names that a part of the app may have in the state, its own first."""
        return [f"{app}{join}{old}" for app in self.names for old in (key, *was) for join in "/-"]

    def _federated_credential(
        self, name: str, key: str, credentials: Mapping[str, FederatedArgs], depends_on: Sequence[FederatedCredential]
    ) -> FederatedCredential:
        args, others = credentials[key], credentials.keys()
        was = args.get("renamed_from", [])
        # Its name in Azure never changes, so one that is renamed keeps the first; what it trusts is unique in the app, so
        # one that is replaced goes before the next comes.
        display_name = self._name_in_azure("claims" in args, key, was)
        if "claims" in args:
            return azuread.ApplicationFlexibleFederatedIdentityCredential(
                f"{name}/{key}",
                application_id=self.application.id,
                display_name=display_name,
                description=args.get("description"),
                issuer=args["issuer"],
                claims_matching_expression=args["claims"],
                audience=args["audience"],
                opts=self.part(
                    FLEXIBLE,
                    key,
                    others=others,
                    alike={"issuer": args["issuer"], "claimsMatchingExpression": args["claims"]},
                    was=was,
                    depends_on=depends_on,
                    delete_before_replace=True,
                ),
            )
        return azuread.ApplicationFederatedIdentityCredential(
            f"{name}/{key}",
            application_id=self.application.id,
            display_name=display_name,
            description=args.get("description"),
            issuer=args["issuer"],
            subject=args["subject"],
            audiences=[args["audience"]],
            opts=self.part(
                FEDERATED,
                key,
                others=others,
                alike={"issuer": args["issuer"], "subject": args["subject"]},
                was=was,
                depends_on=depends_on,
                delete_before_replace=True,
            ),
        )

    def _name_in_azure(self, flexible: bool, key: str, was: Sequence[str]) -> str:
        """A federated credential's name in Azure: the first it had.

        Pulumi has two types for what is of one kind in Azure, where no two of an app have one name. One that goes from a subject to
        claims, or back, is made before the other goes, so it gets a name of its own and keeps that.
        """
        first = was[0] if was else key
        names = self._names(key, was)
        own, other = (FLEXIBLE, FEDERATED) if flexible else (FEDERATED, FLEXIBLE)
        apart = f"{first[:110]}-{'claims' if flexible else 'subject'}"
        held, going = (self._state.get(type_, names).get("displayName") for type_ in (own, other))
        return apart if held == apart or (held is None and going == first) else first

    def _consent(self, name: str, key: str, args: PermissionArgs) -> None:
        """Admin consent: an app-role assignment for each application permission, one grant for the delegated ones."""
        consented: ConsentArgs = args.get("consented", {})
        if args.get("consent"):
            consented = {"application": args.get("application", {}), "delegated": args.get("delegated", {})}
        if not any(consented.values()):
            return
        resource = args["service_principal_id"]
        was = args.get("renamed_from", [])
        application = consented.get("application", {})
        for permission, permission_id in application.items():
            azuread.AppRoleAssignment(
                f"{name}/{key}/{permission}",
                app_role_id=permission_id,
                principal_object_id=self.service_principal_id,
                resource_object_id=resource,
                opts=self.part(
                    APP_ROLE_ASSIGNMENT,
                    f"{key}/{permission}",
                    others=[f"{key}/{other}" for other in application],
                    alike={"appRoleId": permission_id}
                    | ({"resourceObjectId": resource} if isinstance(resource, str) else {}),
                    was=[f"{old}{join}{permission}" for old in (key, *was) for join in "/-"],
                    delete_before_replace=True,
                ),
            )
        if delegated := consented.get("delegated"):
            azuread.ServicePrincipalDelegatedPermissionGrant(
                f"{name}/{key}",
                service_principal_object_id=self.service_principal_id,
                resource_service_principal_object_id=resource,
                claim_values=sorted(delegated),
                opts=self.part(
                    DELEGATED_GRANT,
                    key,
                    alike={"resourceServicePrincipalObjectId": resource},
                    was=was,
                    delete_before_replace=True,
                ),
            )

    def _role_assignment(self, app: str, key: str, args: RoleAssignmentArgs) -> authorization.RoleAssignment:
        name, was = f"{app}/{key}", args.get("renamed_from", [])
        scope = pulumi.Output.from_input(args["scope"]).apply(lambda text: parse_scope(text).id)
        definition = pulumi.Output.all(args["role"], scope).apply(
            lambda given: role_definition_id(parse_scope(given[1]), parse_role(given[0]).guid)
        )
        adopt = args.get("adopt")
        own_name = pulumi.Output.all(scope, definition, self.service_principal_id).apply(
            lambda parts: assignment_name(*parts)
        )
        taken_over = self._adopted(
            ROLE_ASSIGNMENT,
            name,
            f"{args['scope']}/providers/Microsoft.Authorization/roleAssignments/{adopt}" if adopt else None,
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
            opts=self.part(
                ROLE_ASSIGNMENT,
                key,
                was=was,
                # ARM refuses a second assignment of the same role, scope and principal, under whatever name.
                delete_before_replace=True,
                retain_on_delete=args.get("on_remove") == "keep",
                # Another spelling of the same would replace it: ids compare without regard to case, providers do not.
                ignore_changes=["scope", "roleDefinitionId"] if args.get("unique") and not taken_over else None,
                **taken_over,
            ),
        )

    def _memberships(self, name: str, args: AppIdentityArgs) -> None:
        for key, group in args.get("groups", {}).items():
            azuread.GroupMember(
                f"{name}/{key}",
                group_object_id=group,
                member_object_id=self.service_principal_id,
                opts=self.part(GROUP_MEMBER, key, delete_before_replace=True),
            )
        for key, role in args.get("directory_roles", {}).items():
            unit = role.get("administrative_unit")
            azuread.DirectoryRoleAssignment(
                f"{name}/{key}",
                principal_object_id=self.service_principal_id,
                role_id=role["role_id"],
                directory_scope_id=pulumi.Output.concat("/administrativeUnits/", unit) if unit else None,
                opts=self.part(DIRECTORY_ROLE_ASSIGNMENT, key, delete_before_replace=True),
            )

    def _credentials(self) -> list[dict[str, Any]]:
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
