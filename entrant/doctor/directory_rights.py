"""What an `up` does in the directory, and whether the deployer may."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from entrant import config
from entrant.access.deployer import Deployer, unseen
from entrant.config.known import Owner
from entrant.doctor import identity
from entrant.doctor.findings import Finding
from entrant.errors import EntrantError
from entrant.outputs import App

_ALL_APPLICATIONS = ("Application.ReadWrite.All", "Directory.ReadWrite.All")


@dataclass(frozen=True, slots=True)
class Right:
    """Something that an `up` does in the directory, and what lets it: one of the permissions of Microsoft Graph or one of the
    directory roles.

    `asks` tells what an app asks of it, in words that are the same for the same thing. Sources: the permissions tables of
    Microsoft Graph's reference for each request; Microsoft, "Microsoft Entra built-in roles".
    """

    what: str
    permissions: tuple[str, ...]
    roles: tuple[str, ...]
    asks: Callable[[config.App], Iterator[str]]
    there: Callable[[App], Iterator[str]]
    """What an app of the stack's outputs has of it already, in the same words."""


RIGHTS = (
    Right(  # POST /servicePrincipals/{id}/appRoleAssignments
        "consent",
        ("AppRoleAssignment.ReadWrite.All",),
        ("Privileged Role Administrator", "Global Administrator"),
        lambda app: _consents(app, "application"),
        lambda app: _consents_there(app, "application"),
    ),
    Right(  # POST /oauth2PermissionGrants
        "delegated consent",
        ("DelegatedPermissionGrant.ReadWrite.All", "Directory.ReadWrite.All"),
        ("Cloud Application Administrator", "Application Administrator", "Global Administrator"),
        lambda app: _consents(app, "delegated"),
        lambda app: _consents_there(app, "delegated"),
    ),
    Right(  # POST /groups/{id}/members/$ref
        "add to groups",
        ("GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All"),
        ("Groups Administrator", "Directory Writers", "User Administrator", "Global Administrator"),
        lambda app: (each.group for each in app.memberships if not each.adopt),
        lambda app: iter(app.groups or ()),
    ),
    Right(  # POST /roleManagement/directory/roleAssignments
        "give directory roles",
        ("RoleManagement.ReadWrite.Directory",),
        ("Privileged Role Administrator", "Global Administrator"),
        lambda app: (f"{each.role.id} {each.administrative_unit}" for each in app.directory_roles if not each.adopt),
        lambda app: (f"{each['role_id']} {each['administrative_unit']}" for each in app.directory_roles or ()),
    ),
)
"""What an `up` does in the directory beside making registrations and service principals."""


def _consents(app: config.App, kind: Literal["application", "delegated"]) -> Iterator[str]:
    """The consents of an app that are to be given: not those that are taken over."""
    for permission in app.permissions:
        adopt = permission.adopt
        for value in permission.consented()[kind]:
            if adopt is None or (value not in adopt.application if kind == "application" else adopt.delegated is None):
                yield f"{permission.api.name} {value}"


def _consents_there(app: App, kind: str) -> Iterator[str]:
    for entry in app.permissions:
        if entry["consent"] and entry["kind"] == kind:
            yield f"{entry['api']} {entry['name']}"


def applications(environment: config.Environment, deployer: Deployer, there: Mapping[str, App]) -> Iterator[Finding]:
    create = ("Application.ReadWrite.OwnedBy", *_ALL_APPLICATIONS)
    by = identity.held_of(deployer, create, ("Application Developer", *identity.APPLICATION_ROLES))
    if by:
        yield Finding("create applications", "ok", by)
        return
    step = "grant the Graph application permission Application.ReadWrite.OwnedBy, or the role Application Developer"
    none = Finding("create applications", "problem", "no permission and no directory role for it", step)
    if deployer.claims("graph").get("idtyp") == "app":  # what a tenant lets its users do is for people alone
        yield none
        return
    try:
        policy = deployer.graph("/policies/authorizationPolicy")
    except EntrantError as error:
        evidence = f"no role in the token, and of the tenant's policy: {unseen(error, identity.READS_POLICY)}"
        yield Finding("create applications", "unknown", evidence, error.next_step)
        return
    users_may = policy.get("defaultUserRolePermissions", {}).get("allowedToCreateApps")
    yield Finding("create applications", "ok", "the tenant lets its users") if users_may else none


def owners(environment: config.Environment, deployer: Deployer, there: Mapping[str, App]) -> Iterator[Finding]:
    """Whether a deployer that may change only what it owns owns it, and goes on to."""
    if identity.held_of(deployer, _ALL_APPLICATIONS, identity.APPLICATION_ROLES):
        return
    claims = deployer.claims("graph")
    who = str(claims.get("oid")).lower()
    names = {who, str(claims.get("upn")).lower()}

    def among(owners: Iterable[Owner]) -> bool:
        return any(
            owner.kind == "deployer"
            or owner.value.lower() in names
            or (owner.kind == "app" and owner.value in there and there[owner.value].service_principal_id == who)
            for owner in owners
        )

    may = "may change only what it owns"
    for name, app in environment.apps.items():
        for where, holder in (("owners", app), ("service_principal.owners", app.service_principal)):
            if holder is not None and "owners" in holder.model_fields_set and not among(holder.owners):
                step = f"add it to `{where}`, or leave that out, or give it Application.ReadWrite.All"
                yield Finding(f"owners of {name}", "problem", f"the deployer {may}, and `{where}` leaves it out", step)
    wanted = {
        name: tuple(filter(None, (app.object_id, app.service_principal_id)))
        for name, app in there.items()
        if name in environment.apps
    }
    for name, app in environment.apps.items():
        if app.adopt and name not in wanted:
            wanted[name] = tuple(filter(None, (app.adopt.application, app.adopt.service_principal)))
    if not wanted:
        return
    collection = "servicePrincipals" if claims.get("idtyp") == "app" else "users"
    owned = deployer.listed(deployer.graph(f"/{collection}/{who}/ownedObjects", select="id"), "graph")
    ids = {str(entry["id"]).lower() for entry in owned}
    for name, objects in wanted.items():
        if foreign := [each for each in objects if each.lower() not in ids]:
            step = "have an administrator make it an owner, or give it Application.ReadWrite.All"
            yield Finding(f"owners of {name}", "problem", f"the deployer {may}, and not {' and '.join(foreign)}", step)


def rights(environment: config.Environment, deployer: Deployer, there: Mapping[str, App]) -> Iterator[Finding]:
    for right in RIGHTS:
        wanting = [
            name
            for name, app in environment.apps.items()
            if set(right.asks(app)) - (set(right.there(there[name])) if name in there else set())
        ]
        if not wanting:
            continue
        if by := identity.held_of(deployer, right.permissions, right.roles):
            yield Finding(right.what, "ok", by)
        else:
            step = f"grant {right.permissions[0]}, or the role {right.roles[0]}, or let an administrator run the `up`"
            yield Finding(
                right.what, "problem", f"{', '.join(wanting)} ask for it and the deployer may not give it", step
            )
