"""Which application permission allows what on each kind of object.

Source: the permissions tables of Microsoft Graph's reference ("Create application", "List servicePrincipals", …), and what
`docs/local-azure-rights.md` names beside each rule.
"""

from __future__ import annotations

from local_azure.graph.context import ADMINISTRATORS, KINDS, ROLE_GROUPS, Context, Kind

APPLICATION, PRINCIPAL, GROUP, USER, UNIT = (
    KINDS[name] for name in ("application", "servicePrincipal", "group", "user", "administrativeUnit")
)

READ = {
    "application": (
        "Application.Read.All",
        "Application.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    ),
    "servicePrincipal": (
        "Application.Read.All",
        "Application.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    ),
    "group": (
        "Group.Read.All",
        "Group.ReadWrite.All",
        "GroupMember.Read.All",
        "GroupMember.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    ),
    "user": (
        "User.ReadBasic.All",
        "User.Read.All",
        "User.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    ),
    "administrativeUnit": (
        "AdministrativeUnit.Read.All",
        "AdministrativeUnit.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    ),
    "directoryRole": (
        "RoleManagement.Read.Directory",
        "RoleManagement.ReadWrite.Directory",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    ),
}
WRITE = {
    "application": ("Application.ReadWrite.All", "Directory.ReadWrite.All"),
    "servicePrincipal": ("Application.ReadWrite.All", "Directory.ReadWrite.All"),
    "group": ("Group.ReadWrite.All", "Directory.ReadWrite.All"),
    "user": ("User.ReadWrite.All", "Directory.ReadWrite.All"),
    "administrativeUnit": ("AdministrativeUnit.ReadWrite.All",),
}


def may_read(ctx: Context, kind: Kind) -> None:
    """403 unless the caller may read objects of this kind (an app that may write its own applications may read them all)."""
    extra = ("Application.ReadWrite.OwnedBy",) if kind in (APPLICATION, PRINCIPAL) else ()
    ctx.need(*READ[kind.name], *extra)


def may_write(ctx: Context, kind: Kind, object_id: str | None) -> None:
    """403 unless the caller may change the object, or create one when `object_id` is `None`."""
    if object_id is None and kind in (APPLICATION, PRINCIPAL):
        ctx.need(*WRITE[kind.name], "Application.ReadWrite.OwnedBy")
    elif kind in (APPLICATION, PRINCIPAL):
        ctx.need(*WRITE[kind.name], owned=object_id, on=object_id)
    elif kind is GROUP and object_id is not None:
        may_write_group(ctx, object_id, *WRITE["group"])
    else:
        ctx.need(*WRITE[kind.name], on=object_id)


def may_write_group(ctx: Context, object_id: str, *permissions: str) -> None:
    """403 unless the caller may change a group, its owners or members with one of these permissions.

    A role-assignable group takes `RoleManagement.ReadWrite.Directory` beside it, unless the caller owns the group.
    """
    if ctx.get(GROUP, object_id)["isAssignableToRole"]:
        may_manage_role_group(ctx, object_id, *permissions)
    else:
        ctx.need(*permissions, on=object_id)


def may_manage_role_group(ctx: Context, object_id: str | None, *permissions: str) -> None:
    """403 unless the caller may change a role-assignable group, or create one when `object_id` is `None`."""
    ctx.need(*permissions, ROLE_GROUPS, on=object_id)
    if object_id is None or not ctx.owns(object_id):
        ctx.need("RoleManagement.ReadWrite.Directory")


def may_delete(ctx: Context, kind: Kind, object_id: str) -> None:
    """403 unless the caller may delete a group or user: `Directory.ReadWrite.All` deletes neither.

    A user who has a directory role is deleted by those alone who may perform sensitive actions on administrators.
    """
    permissions = [name for name in WRITE[kind.name] if name != "Directory.ReadWrite.All"]
    if kind is GROUP:
        may_write_group(ctx, object_id, *permissions)
    else:
        ctx.need(*permissions, on=object_id)
        spare_administrators(ctx, object_id)


def spare_administrators(ctx: Context, user: str) -> None:
    """403 for a sensitive action on a user who has a directory role, by a caller without a role that is above it."""
    directory = ctx.world.directory
    if any(directory.find("roleAssignment", "principalId", one) for one in {user.lower(), *directory.groups_of(user)}):
        ctx.need(ADMINISTRATORS)
