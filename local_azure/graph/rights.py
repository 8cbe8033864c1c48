"""Which application permission allows what on each kind of object.

Source: the permissions tables of Microsoft Graph's reference ("Create application", "List servicePrincipals", …).
"""

from __future__ import annotations

from local_azure.graph.context import KINDS, Context, Kind

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
        ctx.need(*WRITE[kind.name], owned=object_id)
    else:
        ctx.need(*WRITE[kind.name], on=object_id)
