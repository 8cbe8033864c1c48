"""`AppIdentity`: an app registration, its service principal, its credentials and its Azure roles as one component."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_azuread as azuread
from pulumi_azure_native import authorization

from config.models import Secret, parse_moment, parse_role
from facts.scopes import parse_scope, role_definition_id

from .rotation import Slot, slots

_ASSIGNMENTS = uuid.UUID("5b0e5f0c-5a33-4a57-9d0a-6b1c7f9d3f52")
"""Namespace of role assignment names. Never change it: every assignment would be replaced."""


class SecretArgs(TypedDict):
    """A client secret that rotates by a calendar, known when the program runs."""

    every: NotRequired[str]
    """How long one secret is the current one: `90d`, `12h`, `4w`. Default `90d`."""
    overlap: NotRequired[str]
    """How long the secret before stays valid beside the current one; shorter than `every`. Default `7d`."""
    starts: NotRequired[str]
    """The calendar's anchor: a date or a time with zone. Default `2026-01-01`."""
    generation: NotRequired[int]
    """Raise it for a fresh secret at once. Default 1."""


class RoleAssignmentArgs(TypedDict):
    """An Azure role at a scope."""

    role: pulumi.Input[str]
    """A built-in role's name, or the GUID or full id of any role definition."""
    scope: pulumi.Input[str]
    """Full id of a management group, subscription, resource group or resource."""
    description: NotRequired[pulumi.Input[str]]
    """Why the app has this role."""


class AppIdentityArgs(TypedDict):
    """What an app identity consists of."""

    display_name: pulumi.Input[str]
    """The name people see in Microsoft Entra; creation fails if another registration has it already."""
    description: NotRequired[pulumi.Input[str]]
    """What the app is for."""
    secret: NotRequired[SecretArgs]
    """The client secret's calendar; without it the app has none."""
    roles: NotRequired[dict[str, RoleAssignmentArgs]]
    """Azure roles. Each key becomes part of a resource's name: changing it replaces the assignment."""
    now: NotRequired[str]
    """The moment the calendar is read at, as RFC 3339. Default: the clock's."""
    protect: NotRequired[bool]
    """Whether Pulumi refuses to delete the registration and the service principal."""


class AppIdentity(pulumi.ComponentResource):
    """An app registration with everything that makes it usable by a workload.

    Roles and credentials belong to the service principal and the registration declared here, and go with them. The
    component never looks a registration up by its display name. Secrets are `ApplicationPassword`s, which the portal
    shows under "Certificates & secrets", each with an explicit end date (the provider drops a relative one).
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
        lasting = pulumi.ResourceOptions(parent=self, protect=args.get("protect"))

        self.application = azuread.Application(
            name,
            display_name=args["display_name"],
            description=args.get("description"),
            prevent_duplicate_names=True,
            opts=lasting,
        )
        self.service_principal = azuread.ServicePrincipal(name, client_id=self.application.client_id, opts=lasting)
        self.client_id = self.application.client_id
        self.object_id = self.application.object_id
        self.service_principal_id = self.service_principal.object_id

        self.secrets = self._secrets(name, args.get("secret"), args.get("now"))
        self.role_assignments = {
            key: self._role_assignment(f"{name}-{key}", role) for key, role in args.get("roles", {}).items()
        }
        self.register_outputs(
            {
                "client_id": self.client_id,
                "object_id": self.object_id,
                "service_principal_id": self.service_principal_id,
            }
        )

    def _secrets(
        self, name: str, secret: SecretArgs | None, now: str | None
    ) -> Sequence[tuple[Slot, azuread.ApplicationPassword]]:
        """The secrets that are to exist now, newest first."""
        if secret is None:
            return ()
        rule = Secret.model_validate(secret)
        due = slots(
            parse_moment(now) if now is not None else datetime.now(UTC),
            every=rule.every,
            overlap=rule.overlap,
            starts=rule.starts,
            generation=rule.generation,
        )
        return tuple(
            (
                slot,
                azuread.ApplicationPassword(
                    f"{name}-secret-{slot.name}",
                    application_id=self.application.id,
                    display_name=f"entrant {slot.name}",
                    end_date=rfc3339(slot.ends),
                    opts=self._child,
                ),
            )
            for slot in due
        )

    def _role_assignment(self, name: str, args: RoleAssignmentArgs) -> authorization.RoleAssignment:
        scope = pulumi.Output.from_input(args["scope"]).apply(lambda text: parse_scope(text).id)
        definition = pulumi.Output.all(args["role"], scope).apply(
            lambda given: role_definition_id(parse_scope(given[1]), parse_role(given[0]).guid)
        )
        return authorization.RoleAssignment(
            name,
            scope=scope,
            role_definition_id=definition,
            principal_id=self.service_principal.object_id,
            principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
            role_assignment_name=pulumi.Output.all(scope, definition, self.service_principal.object_id).apply(
                lambda parts: assignment_name(*parts)
            ),
            description=args.get("description"),
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
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
        """What can prove this identity, without any secret value: kind, name, key id, start, end, whether it is
        current.
        """
        return [
            {
                "kind": "secret",
                "name": secret.display_name,
                "key_id": secret.key_id,
                "starts": secret.start_date,
                "ends": rfc3339(slot.ends),
                "current": index == 0,
            }
            for index, (slot, secret) in enumerate(self.secrets)
        ]


def assignment_name(scope: str, definition: str, principal: str) -> str:
    """The name of a role assignment: a GUID that is the same for the same scope, role definition and principal.

    A principal that was created anew gets new names, so a stale assignment of its predecessor is never taken for its
    own. Case, and how the role definition's id is qualified, make no difference.
    """
    return str(uuid.uuid5(_ASSIGNMENTS, "|".join((scope, definition.rsplit("/", 1)[-1], principal)).lower()))


def rfc3339(moment: datetime) -> str:
    """A UTC time as Microsoft Graph writes it: `2026-11-01T00:00:00Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
