"""What an app may do: consent to permissions of APIs, Azure roles, groups, directory roles. All belong to its service principal."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pulumi
import pulumi_azuread as azuread
from pulumi_azure_native import authorization

from entrant.config.values import parse_role
from entrant.facts.pulumi_types import (
    APP_ROLE_ASSIGNMENT,
    DELEGATED_GRANT,
    DIRECTORY_ROLE_ASSIGNMENT,
    GROUP_MEMBER,
    PRINCIPAL,
    ROLE_ASSIGNMENT,
)
from entrant.facts.scopes import parse_scope, role_definition_id

from .arguments import (
    AdoptedConsentArgs,
    ConsentArgs,
    DirectoryRoleArgs,
    MembershipArgs,
    PermissionArgs,
    RoleAssignmentArgs,
    reading,
)
from .parts import Parts

_ASSIGNMENTS = uuid.UUID("5b0e5f0c-5a33-4a57-9d0a-6b1c7f9d3f52")
"""Namespace of role assignment names. Never change it: every assignment would be replaced."""


@dataclass(frozen=True)
class Access:
    """What one service principal may do."""

    parts: Parts
    principal_id: pulumi.Output[str]
    """Its object id."""

    def consent(self, key: str, args: PermissionArgs) -> None:
        """Admin consent: an app-role assignment for each application permission, one grant for the delegated ones."""
        consented = args.get("consented") or ConsentArgs()
        if args.get("consent"):
            consented = {"application": args.get("application"), "delegated": args.get("delegated")}
        if not any(consented.values()):
            return
        name, resource, keep = f"{self.parts.name}/{key}", args["service_principal_id"], args.get("on_remove") == "keep"
        was, application = args.get("renamed_from") or (), consented.get("application") or {}
        adopt = args.get("adopt") or AdoptedConsentArgs()
        there = adopt.get("application") or {}
        for permission, permission_id in application.items():
            # By its id it was called so, too, before the file was read by name.
            called = (permission, permission_id) if isinstance(permission_id, str) else (permission,)
            part_was = [f"{old}{join}{each}" for each in called for old in (key, *was) for join in "/-"]
            assignment = f"/servicePrincipals/{adopt.get('api')}/appRoleAssignedTo/{there.get(permission)}"
            azuread.AppRoleAssignment(
                f"{name}/{permission}",
                app_role_id=permission_id,
                principal_object_id=self.principal_id,
                resource_object_id=resource,
                opts=self.parts.options(
                    APP_ROLE_ASSIGNMENT,
                    f"{key}/{permission}",
                    others=[f"{key}/{other}" for other in application],
                    alike={"appRoleId": permission_id}
                    | ({"resourceObjectId": resource} if isinstance(resource, str) else {}),
                    was=part_was,
                    delete_before_replace=True,
                    retain_on_delete=keep,
                    **self.parts.adopted(
                        APP_ROLE_ASSIGNMENT,
                        assignment if permission in there else None,
                        f"{key}/{permission}",
                        part_was,
                    ),
                ),
            )
        if delegated := consented.get("delegated"):
            grant = adopt.get("delegated")
            azuread.ServicePrincipalDelegatedPermissionGrant(
                name,
                service_principal_object_id=self.principal_id,
                resource_service_principal_object_id=resource,
                claim_values=sorted(delegated),
                opts=self.parts.options(
                    DELEGATED_GRANT,
                    key,
                    alike={"resourceServicePrincipalObjectId": resource},
                    was=was,
                    delete_before_replace=True,
                    retain_on_delete=keep,
                    **self.parts.adopted(
                        DELEGATED_GRANT, f"/oauth2PermissionGrants/{grant}" if grant else None, key, was
                    ),
                ),
            )

    def role(self, key: str, args: RoleAssignmentArgs) -> authorization.RoleAssignment:
        """An Azure role at a scope, both given by their ids (`read_role`)."""
        name, scope, definition = f"{self.parts.name}/{key}", args["scope"], args["role"]
        adopt, condition, was = args.get("adopt"), args.get("condition"), args.get("renamed_from") or ()
        own_name = pulumi.Output.all(scope, definition, self.principal_id).apply(lambda parts: assignment_name(*parts))
        taken_over = self.parts.adopted(
            ROLE_ASSIGNMENT,
            f"{scope}/providers/Microsoft.Authorization/roleAssignments/{adopt}" if adopt else None,
            key,
            was,
        )
        return authorization.RoleAssignment(
            name,
            # An import reads the scope from the assignment's id, where no slash leads it.
            scope=pulumi.Output.from_input(scope).apply(lambda text: text.strip("/")) if adopt else scope,
            role_definition_id=definition,
            principal_id=self.principal_id,
            principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
            role_assignment_name=adopt or own_name,
            description=args.get("description"),
            condition=condition,
            condition_version=None if condition is None else "2.0",
            opts=self.parts.options(
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

    def groups(self, groups: Mapping[str, MembershipArgs]) -> None:
        """Membership in groups, by key."""
        for key, membership in groups.items():
            group = membership["group"]
            there = f"{group}/member/{self.parts.id_of(PRINCIPAL, key)}" if membership.get("adopt") else None
            azuread.GroupMember(
                f"{self.parts.name}/{key}",
                group_object_id=group,
                member_object_id=self.principal_id,
                opts=self.parts.options(
                    GROUP_MEMBER,
                    key,
                    delete_before_replace=True,
                    retain_on_delete=membership.get("on_remove") == "keep",
                    **self.parts.adopted(GROUP_MEMBER, there, key),
                ),
            )

    def directory_roles(self, roles: Mapping[str, DirectoryRoleArgs]) -> None:
        """Directory roles, by key."""
        for key, role in roles.items():
            unit, adopt = role.get("administrative_unit"), role.get("adopt")
            azuread.DirectoryRoleAssignment(
                f"{self.parts.name}/{key}",
                principal_object_id=self.principal_id,
                role_id=role["role_id"],
                directory_scope_id=pulumi.Output.concat("/administrativeUnits/", unit) if unit else None,
                opts=self.parts.options(
                    DIRECTORY_ROLE_ASSIGNMENT,
                    key,
                    delete_before_replace=True,
                    retain_on_delete=role.get("on_remove") == "keep",
                    **self.parts.adopted(
                        DIRECTORY_ROLE_ASSIGNMENT,
                        f"/roleManagement/directory/roleAssignments/{adopt}" if adopt else None,
                        key,
                    ),
                ),
            )


def check_each_once(where: str, args: PermissionArgs) -> None:
    """That no permission of an API is there under two names; `where` it is, such as `apps.reader.permissions.microsoft-graph`.

    Raises:
        pulumi.RunError: one is, which Azure would refuse in the middle of an `up`.
    """
    consented = args.get("consented") or ConsentArgs()
    for kind, permissions in (
        ("application", args.get("application")),
        ("delegated", args.get("delegated")),
        ("consent.application", consented.get("application")),
        ("consent.delegated", consented.get("delegated")),
    ):
        names: dict[str, str] = {}
        for name, id_ in (permissions or {}).items():
            other = names.setdefault(id_.lower(), name) if isinstance(id_, str) else name
            if other != name:
                raise pulumi.RunError(
                    f"{where}: {other} and {name} under `{kind}` are one permission ({id_}). Keep one of the two."
                )


def read_role(where: str, args: RoleAssignmentArgs) -> RoleAssignmentArgs:
    """The same role at the same scope, each by its id as Azure writes it; `where` it is, such as `roles.logs`."""
    scope = _read(f"{where}.scope", args["scope"], lambda text: parse_scope(text).id)
    role = _read(f"{where}.role", args["role"], lambda text: parse_role(text).guid)
    definition = pulumi.Output.all(scope, role).apply(lambda ids: role_definition_id(parse_scope(ids[0]), ids[1]))
    return {**args, "scope": scope, "role": definition}


def _read(where: str, value: pulumi.Input[str], reader: Callable[[str], str]) -> pulumi.Input[str]:
    """What a text is read as; one that is plain at once, so that its fault ends the program in one line."""

    def read(text: str) -> str:
        with reading(where):
            return reader(text)

    return read(value) if isinstance(value, str) else pulumi.Output.all(value).apply(lambda texts: read(texts[0]))


def assignment_name(scope: str, definition: str, principal: str) -> str:
    """The name of a role assignment: a GUID that is the same for the same scope, role definition and principal.

    A principal that was created anew gets new names, so a stale assignment of its predecessor is never taken for its own.
    Case, and how the role definition's id is qualified, make no difference.
    """
    return str(uuid.uuid5(_ASSIGNMENTS, "|".join((scope, definition.rsplit("/", 1)[-1], principal)).lower()))
