"""What the directory and Resource Manager hold about registrations: everything, app by app, so that a killed run goes on."""

import base64
import contextlib
import datetime as dt
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from entrant import http
from entrant.access import batches
from entrant.access.deployer import Deployer, unseen
from entrant.errors import RefusedError, UnreachableError
from entrant.facts.limits import LOGO_BYTES
from entrant.project import private

Doc = dict[str, Any]

AT_ONCE: Final = 4
"""Groups of apps that are read side by side."""
GROUP: Final = 20
"""Apps in a group."""
FRESH: Final = dt.timedelta(hours=1)
"""How long what an earlier run read is taken for what is there."""
_ASSIGNED: Final = 100
_RIGHTS: Final = {
    "application permissions": "the Graph permission Application.Read.All",
    "delegated permissions": "the Graph permission Directory.Read.All",
    "groups": "the Graph permission GroupMember.Read.All",
    "directory roles": "the Graph permission RoleManagement.Read.Directory",
}
_READABLE: Final = "the Graph permission Application.Read.All"


@dataclass(slots=True)
class Found:
    """One registration and everything that belongs to it, as Graph and Resource Manager show it."""

    registration: Doc
    principal: Doc | None = None
    federated: list[Doc] = field(default_factory=list)
    owners: list[Doc] = field(default_factory=list)
    principal_owners: list[Doc] = field(default_factory=list)
    app_permissions: list[Doc] = field(default_factory=list)
    """App role assignments of the service principal: the application permissions that it was given."""
    grants: list[Doc] = field(default_factory=list)
    """Delegated permission grants of the service principal."""
    groups: list[Doc] = field(default_factory=list)
    directory_roles: list[Doc] = field(default_factory=list)
    assigned: list[Doc] = field(default_factory=list)
    """Who is assigned to the app's own roles (a hundred at most)."""
    logo: str | None = None
    """Base64."""
    roles: list[Doc] = field(default_factory=list)
    """Role assignments of Resource Manager."""
    unseen: list[str] = field(default_factory=list)
    """What could not be read, and why."""

    @property
    def id(self) -> str:
        """The registration's object id."""
        return str(self.registration["id"])

    @property
    def client_id(self) -> str:
        """The client id, in lower case."""
        return str(self.registration["appId"]).lower()


@dataclass(frozen=True, slots=True)
class Apis:
    """The service principals of the APIs whose permissions the apps have, by client id and by object id, in lower case."""

    by_client: Mapping[str, Doc]
    by_object: Mapping[str, Doc]


def read(
    deployer: Deployer, registrations: Sequence[Doc], notebook: Path | None, tell: Callable[[int], None]
) -> list[Found]:
    """Everything about these registrations, but their Azure roles; one that is gone by now is left out.

    Args:
        notebook: where what is read is written down as it comes; a run after a killed one goes on from there.
        tell: called with the number of apps that are read.

    Raises:
        RefusedError, UnreachableError: Graph refused as a whole, or did not answer.
    """
    found = _noted(notebook, registrations)
    tell(len(found))
    left = [entry for entry in registrations if entry["id"] not in found]
    groups = [left[start : start + GROUP] for start in range(0, len(left), GROUP)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for group in pool.map(lambda entries: _group(deployer, entries), groups):
            found |= {each.id: each for each in group}
            _note(notebook, group)
            tell(len(found))
    return [found[entry["id"]] for entry in registrations if entry["id"] in found]


def _group(deployer: Deployer, registrations: Sequence[Doc]) -> list[Found]:
    first: dict[str, Doc] = {}
    paths: list[str] = []
    for entry in registrations:
        path = f"/applications/{entry['id']}"
        paths += [path, f"{path}/federatedIdentityCredentials", f"{path}/owners"]
        paths.append(f"/servicePrincipals(appId='{entry['appId']}')")
        if entry.get("keyCredentials"):  # asked for apart: Graph allows 150 such requests a minute
            paths.append(f"{path}?$select=id,keyCredentials")
    answers = batches.get(deployer, paths)
    found = []
    for entry in registrations:
        path = f"/applications/{entry['id']}"
        registration = answers[path]
        if isinstance(registration, RefusedError):
            if registration.status != 404:
                raise registration
            continue
        each = Found(registration)
        _with_keys(each, answers.get(f"{path}?$select=id,keyCredentials"))
        principal = answers[f"/servicePrincipals(appId='{entry['appId']}')"]
        if not isinstance(principal, RefusedError):
            each.principal = principal
        elif principal.status != 404:
            each.unseen.append(f"service principal: {unseen(principal, _READABLE)}")
        each.federated = _list(each, "federated credentials", answers[f"{path}/federatedIdentityCredentials"])
        each.owners = _list(each, "owners", answers[f"{path}/owners"])
        first[entry["id"]] = registration
        found.append(each)
    _principals(deployer, found)
    _flexible(deployer, found)
    for each in found:
        _logo(deployer, each)
    return found


def _with_keys(found: Found, answer: Doc | RefusedError | None) -> None:
    if isinstance(answer, RefusedError):
        found.unseen.append(f"certificates: {unseen(answer, _READABLE)}")
    elif answer is not None:
        found.registration = found.registration | {"keyCredentials": answer.get("keyCredentials") or []}


def _list(found: Found, what: str, answer: Doc | RefusedError) -> list[Doc]:
    try:
        return list(batches.listed(answer))
    except RefusedError as error:
        found.unseen.append(f"{what}: {unseen(error, _RIGHTS.get(what, _READABLE))}")
        return []


def _principals(deployer: Deployer, found: Sequence[Found]) -> None:
    """What hangs on the service principals."""
    parts = {
        "owners of the service principal": ("principal_owners", "/servicePrincipals/{}/owners"),
        "application permissions": ("app_permissions", "/servicePrincipals/{}/appRoleAssignments"),
        "delegated permissions": ("grants", "/servicePrincipals/{}/oauth2PermissionGrants"),
        "groups": ("groups", "/servicePrincipals/{}/memberOf"),
        "directory roles": (
            "directory_roles",
            "/roleManagement/directory/roleAssignments?$filter=principalId%20eq%20'{}'",
        ),
        "who is assigned": ("assigned", f"/servicePrincipals/{{}}/appRoleAssignedTo?$top={_ASSIGNED}"),
    }
    having = [(each, each.principal["id"]) for each in found if each.principal is not None]
    answers = batches.get(deployer, [path.format(id_) for _, id_ in having for _, path in parts.values()])
    for each, id_ in having:
        for what, (name, path) in parts.items():
            setattr(each, name, _list(each, what, answers[path.format(id_)]))
        each.groups = [entry for entry in each.groups if entry.get("@odata.type") == "#microsoft.graph.group"]


def _flexible(deployer: Deployer, found: Sequence[Found]) -> None:
    """Claims expressions, which v1.0 does not show: it shows such credentials without a subject."""
    having = [each for each in found if any(not entry.get("subject") for entry in each.federated)]
    paths = {each.id: f"/applications/{each.id}/federatedIdentityCredentials" for each in having}
    answers = batches.get(deployer, list(paths.values()), version="beta")
    for each in having:
        each.federated = _list(each, "federated credentials", answers[paths[each.id]])


def _logo(deployer: Deployer, found: Found) -> None:
    url = (found.registration.get("info") or {}).get("logoUrl")
    if not isinstance(url, str) or not url.startswith("https://"):
        return
    own = url.startswith(f"{deployer.cloud.graph}/")
    try:
        data = http.content(url, LOGO_BYTES, token=deployer.token("graph") if own else None)
        found.logo = base64.b64encode(data).decode()
    except (RefusedError, UnreachableError) as error:
        found.unseen.append(f"logo: {error}")


def apis_of(deployer: Deployer, found: Iterable[Found]) -> Apis:
    """The APIs that the apps ask for permissions of, or have been given some of, without those that are gone.

    Raises:
        RefusedError, UnreachableError: Graph refused to show one, or did not answer.
    """
    clients: dict[str, None] = {}
    objects: dict[str, None] = {}
    for each in found:
        for access in each.registration.get("requiredResourceAccess") or ():
            clients[str(access["resourceAppId"]).lower()] = None
        for grant in (*each.app_permissions, *each.grants):
            objects[str(grant["resourceId"]).lower()] = None
    shown = "$select=id,appId,displayName,appRoles,oauth2PermissionScopes,appOwnerOrganizationId"
    answers = batches.get(
        deployer,
        [
            *(f"/servicePrincipals(appId='{id_}')?{shown}" for id_ in clients),
            *(f"/servicePrincipals/{id_}?{shown}" for id_ in objects),
        ],
    )
    there = []
    for answer in answers.values():
        if not isinstance(answer, RefusedError):
            there.append(answer)
        elif answer.status not in (400, 404):
            raise answer
    return Apis({str(e["appId"]).lower(): e for e in there}, {str(e["id"]).lower(): e for e in there})


# --------------------------------------------------------------------------------------------------------- Azure roles


def assign_roles(deployer: Deployer, found: Sequence[Found], tell: Callable[[int, int], None]) -> list[str]:
    """Give each app its role assignments in every subscription and management group that can be seen; what cannot, in words.

    A subscription's list holds what is assigned above it, too; management groups are asked for those with no such subscription.
    """
    notes: list[str] = []
    principals = {each.principal["id"].lower(): each for each in found if each.principal is not None}
    places = [
        f"/subscriptions/{id_}" for id_ in _listed(deployer, notes, "/subscriptions", "2022-12-01", "subscriptionId")
    ]
    groups = _listed(deployer, notes, "/providers/Microsoft.Management/managementGroups", "2020-05-01", "name")
    places += [f"/providers/Microsoft.Management/managementGroups/{name}" for name in groups]

    def assignments(place: str) -> tuple[str, list[Doc] | RefusedError]:
        at_scope = {} if place.startswith("/subscriptions/") else {"$filter": "atScope()"}
        try:
            path = f"{place}/providers/Microsoft.Authorization/roleAssignments"
            return place, list(deployer.listed(deployer.arm(path, **at_scope), "arm"))
        except RefusedError as error:
            if error.status not in (401, 403, 404):
                raise
            return place, error

    seen: set[str] = set()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for done, (place, entries) in enumerate(pool.map(assignments, places), 1):
            tell(done, len(places))
            if isinstance(entries, RefusedError):
                notes.append(f"role assignments in {place}: {unseen(entries, 'the role Reader')}")
                continue
            for entry in entries:
                holder = principals.get(str(entry["properties"]["principalId"]).lower())
                if holder is not None and entry["id"].lower() not in seen:
                    seen.add(entry["id"].lower())
                    holder.roles.append(entry)
    return notes


def _listed(deployer: Deployer, notes: list[str], path: str, version: str, name: str) -> list[str]:
    try:
        return [str(entry[name]) for entry in deployer.listed(deployer.arm(path, version=version), "arm")]
    except RefusedError as error:
        if error.status not in (401, 403):
            raise
        notes.append(f"role assignments: {unseen(error, f'the right to list {path}')}")
        return []


def definitions_of(deployer: Deployer, scopes: Mapping[str, str], notes: list[str]) -> dict[str, Doc]:
    """Role definitions by GUID; `scopes` has a scope at which each is assigned."""
    found = {}
    for guid, scope in scopes.items():
        path = f"{scope.rstrip('/')}/providers/Microsoft.Authorization/roleDefinitions/{guid}"
        try:
            found[guid] = deployer.arm(path)
        except RefusedError as error:
            if error.status not in (401, 403, 404):
                raise
            notes.append(f"role definition {guid}: {unseen(error, 'the role Reader')}")
    return found


# ---------------------------------------------------------------------------------------------------- a run after a killed one


def notebook(root: Path, tenant: str, registrations: Iterable[Doc]) -> Path:
    """Where what is read of these registrations is written down: below the project's `.entrant`, for its owner alone."""
    ids = "\n".join(sorted(entry["id"] for entry in registrations))
    name = hashlib.sha256(f"{tenant}\n{ids}".encode()).hexdigest()[:16]
    return private(root / ".entrant" / "import") / f"{name}.jsonl"


def _noted(path: Path | None, registrations: Sequence[Doc]) -> dict[str, Found]:
    """What a killed run wrote down, unless it was long ago."""
    if path is None or not path.exists():
        return {}
    if dt.datetime.now(dt.UTC) - dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC) > FRESH:
        path.unlink()
        return {}
    wanted = {entry["id"] for entry in registrations}
    found = {}
    for line in path.read_text("utf-8").splitlines():
        with contextlib.suppress(ValueError, TypeError):  # the last line of a killed run may be half written
            each = Found(**json.loads(line))
            found[each.id] = each
    return {id_: each for id_, each in found.items() if id_ in wanted}


def _note(path: Path | None, found: Iterable[Found]) -> None:
    if path is None:
        return
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open(handle, "a", encoding="utf-8") as file:
        file.writelines(
            f"\n{json.dumps(asdict(each))}" for each in found
        )  # what was half written stays a line by itself
