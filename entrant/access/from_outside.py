"""What an app has, looked for as whoever is signed in. A look raises `EntrantError` or `Missing`."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from entrant.access.directory import Directory
from entrant.errors import RefusedError
from entrant.outputs import App, Grant


class Missing(Exception):
    """What was looked for from outside is not there; the message says so."""


class Sight(NamedTuple):
    """What was seen from outside, and since when it is there, where that is known."""

    evidence: str
    since: dt.datetime | None = None


def principal(app: App) -> Callable[[Directory], Sight]:
    """Looks for the service principal, and whether it is enabled."""

    def look(directory: Directory) -> Sight:
        if directory.principal(app).get("accountEnabled") is False:
            raise Missing("the service principal is disabled, and gets no token")
        return Sight("the service principal is there and enabled")

    return look


def credential(app: App, declared: Mapping[str, Any]) -> Callable[[Directory], Sight]:
    """Looks for a declared credential at the registration."""

    def look(directory: Directory) -> Sight:
        if declared["kind"] == "federated":
            # One that was renamed in the file keeps its name in Azure.
            key = str(declared.get("key_id")).lower()
            found = [entry for entry in directory.federated(app) if entry["id"].lower() == key]
            if not found:
                raise Missing(f"the registration has no federated credential with the id {key}")
            for part in ("issuer", "subject"):
                if declared.get(part) and declared[part] != found[0].get(part):
                    raise Missing(f"its {part} is {found[0].get(part)}, and not {declared[part]} as declared")
            return Sight(f"the registration has it, for {found[0].get('subject') or declared.get('claims')}")
        keys = {"secret": "passwordCredentials", "certificate": "keyCredentials"}
        listed = directory.registration(app).get(keys[declared["kind"]]) or ()
        key = str(declared.get("key_id")).lower()
        ends = [str(entry.get("endDateTime")) for entry in listed if entry["keyId"].lower() == key]
        if not ends:
            raise Missing(f"the registration has no {declared['kind']} with the key id {key}")
        if _moment(ends[0]) < dt.datetime.now(dt.UTC):
            raise Missing(f"it ended on {ends[0][:10]}")
        return Sight(f"the registration has it, until {ends[0][:10]}")

    return look


def assignment(app: App, grant: Grant) -> Callable[[Directory], Sight]:
    """Looks for the role assignment of a grant, and when it was made."""
    gone = "the role assignment is not there any more"

    def look(directory: Directory) -> Sight:
        deployer = directory.deployer
        if grant.assignment_id:
            try:
                found = deployer.arm(grant.assignment_id)["properties"]
            except RefusedError as error:
                if error.code != "RoleAssignmentNotFound":
                    raise
                raise Missing(gone) from error
        else:
            path = f"{grant.scope.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments"
            mine = {"$filter": f"principalId eq '{app.service_principal_id}'"}
            listed = (entry["properties"] for entry in deployer.listed(deployer.arm(path, **mine), "arm"))
            fitting = [entry for entry in listed if _fits(entry, app, grant)]
            if not fitting:
                raise Missing("there is no such role assignment")
            found = fitting[0]
        if not _fits(found, app, grant):
            raise Missing("the role assignment is for another role or principal")
        since = _moment(str(found["createdOn"]))
        age = dt.datetime.now(dt.UTC) - since
        minutes = max(0, int(age.total_seconds() // 60))
        condition = " and has a condition" if found.get("condition") else ""
        return Sight(f"the role assignment is {minutes} minutes old{condition}", since)

    return look


def _fits(assignment: Mapping[str, Any], app: App, grant: Grant) -> bool:
    role = str(assignment["roleDefinitionId"]).rsplit("/", 1)[-1]
    same = str(assignment["principalId"]).lower() == str(app.service_principal_id).lower()
    return (
        same
        and role.lower() == grant.role_definition_id.rsplit("/", 1)[-1].lower()
        and str(assignment["scope"]).lower().rstrip("/") == grant.scope.lower().rstrip("/")
    )


def consented(app: App, kind: str, permission: tuple[str, str]) -> Callable[[Directory], Sight]:
    """Looks for a consent; `kind` is `application` or `delegated`, and the permission as `Granted.of` takes it."""

    def look(directory: Directory) -> Sight:
        held = directory.permissions(app) if kind == "application" else directory.delegated(app)
        if any(entry.of({permission}) for entry in held):
            return Sight("the directory has the consent")
        raise Missing("nobody has consented to it")

    return look


def owner(app: App, side: str, owner: str) -> Callable[[Directory], Sight]:
    """Looks for an owner of the registration or (`side`) the service principal."""
    return _listed(lambda directory: [entry["id"] for entry in directory.owners(app, side)], owner, "an owner")


def member(app: App, group: str) -> Callable[[Directory], Sight]:
    """Looks for the membership of a group."""
    return _listed(lambda directory: [entry["id"] for entry in directory.groups(app)], group, "a member")


def directory_role(app: App, role: str, unit: str) -> Callable[[Directory], Sight]:
    """Looks for a directory role, in the tenant or an administrative unit."""

    def held(directory: Directory) -> list[str]:
        return [
            f"{entry['roleDefinitionId']} {str(entry['directoryScopeId']).removeprefix('/administrativeUnits/').strip('/')}"
            for entry in directory.directory_roles(app)
        ]

    return _listed(held, f"{role} {unit}", "assigned the role")


def _listed(read: Callable[[Directory], list[str]], wanted: str, what: str) -> Callable[[Directory], Sight]:
    def look(directory: Directory) -> Sight:
        if wanted.lower() in (one.lower() for one in read(directory)):
            return Sight(f"the directory says it is {what}")
        raise Missing(f"the directory says it is not {what}")

    return look


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text[:19] + "+00:00")
