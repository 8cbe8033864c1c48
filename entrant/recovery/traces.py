"""Where in the cloud a resource is that a run was making when it was killed, and the id by which Pulumi knows it.

One way of looking for each type that `components/` declares. Ids have the form that the azuread and azure-native providers give
them (source: their "Import" documentation; held against the stand-ins by tests/entrant/test_recovery.py).
"""

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from entrant.access.deployer import Deployer
from entrant.changes import UNKNOWN_MARKS
from entrant.errors import RefusedError

SKEW = dt.timedelta(minutes=5)
"""How far this machine's clock and Azure's may be apart."""
_SECRET, _SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
"""How a state marks a secret (source: Pulumi, sdk/v3/go/common/resource/sig)."""
_BEFORE = "before the last `up` that ended well, or the last `release`: it is not this state's"
_REGISTRATION = "id,appId,displayName,createdDateTime,tags,passwordCredentials,keyCredentials,api"

_TOLD: dict[str, dict[str, str]] = {
    "Application": {"applicationId": "id", "clientId": "clientId", "authorizedClientId": "clientId"},
    "ServicePrincipal": dict.fromkeys(
        (
            "principalId",
            "principalObjectId",
            "resourceObjectId",
            "memberObjectId",
            "servicePrincipalObjectId",
            "resourceServicePrincipalObjectId",
        ),
        "objectId",
    ),
    "RoleDefinition": {"roleDefinitionId": "id"},
}
"""Type of a resource → input of one that depends on it → the output that it is."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A resource that is there: its Pulumi id, and what of it others refer to."""

    id: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """Inputs that show in what is there, and not yet in the plan."""
    kept: bool = False
    """Whether a plugin cannot read its inputs back, and keeps those that the state has."""


class NotOurs(Exception):
    """Something stands where the resource belongs, and nothing proves that this stack made it; the message says what."""


def kind(type_: str) -> str:
    """`azuread:index/application:Application` → `Application`."""
    return type_.rsplit(":", 1)[-1]


def filled_in(
    inputs: Mapping[str, Any], depends: Mapping[str, Iterable[str]], known: Mapping[str, Trace]
) -> dict[str, Any] | None:
    """Planned inputs, with what the plan could not know yet taken from the resources that are there.

    What stays unknown is left out. None when something is needed of a resource that is not there: then this one is not either.
    """
    found = {}
    for name, value in inputs.items():
        if value not in UNKNOWN_MARKS if isinstance(value, str) else not _unknown_inside(value):
            found[name] = value
            continue
        for urn in depends.get(name, ()):
            alias = _TOLD.get(kind(urn.split("::")[2].rsplit("$", 1)[-1]), {}).get(name)
            if alias is None:
                continue
            if urn not in known:
                return None
            outputs = {"id": known[urn].id, **known[urn].outputs}
            if alias in outputs:  # a creation that failed half-way leaves an id alone
                found[name] = outputs[alias]
    return found


def _unknown_inside(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_unknown_inside(item) for item in value.values())
    if isinstance(value, list):
        return any(_unknown_inside(item) for item in value)
    return isinstance(value, str) and value in UNKNOWN_MARKS


class Search:
    """A look for what one stack made.

    Args:
        who: whoever looks.
        mark: the tag of what the stack makes.
        held: the ids that the state knows, in lower case.
        since: what was made before is not what a run left that was killed after; None for no such bound.
        released: when the stack last released an app: what was made before and is not in the state is another's.
        certificates: those that are declared: thumbprint → key in the file, and PEM form.
    """

    def __init__(
        self,
        who: Deployer,
        mark: str,
        held: set[str],
        since: dt.datetime | None,
        released: dt.datetime | None,
        certificates: Mapping[str, tuple[str, str]],
    ) -> None:
        self.who, self.mark, self.held, self.certificates = who, mark, held, certificates
        self.since = max(filter(None, (since and since - SKEW, released)), default=None)
        wanted = f"tags/any(t:t eq '{_quoted(mark)}')"
        self.marked = {entry["id"]: entry for entry in self._listed("/applications", wanted, select=_REGISTRATION)}
        """Every registration with the mark, by object id."""
        self.complete = True
        """Whether the plan said enough of all that was looked for."""
        self._ways: dict[str, Callable[[Mapping[str, Any]], Trace | None]] = {
            "Application": self._application,
            "ServicePrincipal": self._service_principal,
            "ApplicationCertificate": self._certificate,
            "ApplicationFederatedIdentityCredential": self._federated,
            "ApplicationFlexibleFederatedIdentityCredential": self._flexible,
            "ApplicationPreAuthorized": self._pre_authorized,
            "ApplicationKnownClients": self._known_clients,
            "AppRoleAssignment": self._consent,
            "ServicePrincipalDelegatedPermissionGrant": self._grant,
            "GroupMember": self._member,
            "DirectoryRoleAssignment": self._directory_role,
            "RoleAssignment": self._role,
            "RoleDefinition": self._role_definition,
        }

    def find(self, type_: str, name: str, inputs: dict[str, Any]) -> Trace | None:
        """The resource of this name with these inputs, if it is there and the state does not know it; never a secret.

        Raises:
            NotOurs: something else is in its place.
            RefusedError, UnreachableError: the directory or Resource Manager failed.
        """
        way = self._ways.get(kind(type_))
        try:
            found = way(inputs | {"__name": name}) if way else None
        except KeyError:  # the plan does not say enough of it yet
            self.complete = False
            return None
        return found if found and found.id.lower() not in self.held else None

    def made_since(self, moment: str | None) -> bool:
        """Whether something was made within the time asked about; what has no time counts."""
        return self.since is None or moment is None or dt.datetime.fromisoformat(moment) >= self.since

    def strays(self) -> list[Mapping[str, Any]]:
        """Registrations with the mark that the state does not know."""
        return [entry for entry in self.marked.values() if f"/applications/{entry['id']}".lower() not in self.held]

    def registration(self, object_id: str) -> Mapping[str, Any] | None:
        """A registration with its credentials; None when it is gone."""
        return self.marked.get(object_id) or self._get(f"/applications/{object_id}", _REGISTRATION)

    def keys(self, object_id: str) -> Sequence[Mapping[str, Any]]:
        """The certificates of a registration, which Graph shows only where it is asked for them alone."""
        found = self._get(f"/applications/{object_id}", "id,keyCredentials") or {}
        return found.get("keyCredentials") or ()

    def principal_of(self, client_id: str) -> Mapping[str, Any] | None:
        """The service principal of a registration."""
        wanted = f"appId eq '{_quoted(client_id)}'"
        return next(self._listed("/servicePrincipals", wanted, select="id,appId,displayName,tags"), None)

    # -------------------------------------------------------------------------------------------------------- ways

    def _application(self, inputs: Mapping[str, Any]) -> Trace | None:
        name = inputs["displayName"]
        mine = [entry for entry in self.strays() if entry["displayName"] == name]
        ours = sorted((entry for entry in mine if self.made_since(entry["createdDateTime"])), key=_age)
        if ours:
            return registration_trace(ours[0])
        for entry in mine:
            raise NotOurs(f'the registration "{name}" ({entry["id"]}) is of {entry["createdDateTime"]}, {_BEFORE}')
        for entry in self._listed("/applications", f"displayName eq '{_quoted(name)}'", select=_REGISTRATION):
            if f"/applications/{entry['id']}".lower() not in self.held:
                raise NotOurs(f'the registration "{name}" ({entry["id"]}) has the name, and not the tag {self.mark}')
        return None

    def _service_principal(self, inputs: Mapping[str, Any]) -> Trace | None:
        found = None if inputs.get("useExisting") else self.principal_of(inputs["clientId"])
        if found is None:
            return None
        trace = principal_trace(found)
        if self.mark not in (found.get("tags") or ()) and trace.id.lower() not in self.held:
            raise NotOurs(
                f'the service principal of "{found["displayName"]}" ({found["id"]}) has not the tag {self.mark}'
            )
        return trace

    def _certificate(self, inputs: Mapping[str, Any]) -> Trace | None:
        """By the thumbprint of the certificate whose key is the end of the name; a plan does not show the certificate."""
        parent = _last(inputs["applicationId"])
        for entry in (self.registration(parent) or {}).get("keyCredentials") or ():
            found = f"{parent}/certificate/{entry['keyId']}"
            key, pem = self.certificates.get(str(entry.get("customKeyIdentifier")).upper(), ("", ""))
            if pem and found.lower() not in self.held and inputs["__name"].endswith((f"/{key}", f"-{key}")):
                value = {_SECRET: _SECRET_SIGNATURE, "plaintext": json.dumps(pem)}
                return Trace(found, {"keyId": entry["keyId"]}, {"value": value}, kept=True)
        return None

    def _federated(self, inputs: Mapping[str, Any], form: str = "{}/federatedIdentityCredential/{}") -> Trace | None:
        parent = _last(inputs["applicationId"])
        for entry in self._listed(f"/applications/{parent}/federatedIdentityCredentials"):
            if entry["name"] == inputs["displayName"]:
                return Trace(form.format(parent, entry["id"]))
        return None

    def _flexible(self, inputs: Mapping[str, Any]) -> Trace | None:
        return self._federated(inputs, "/applications/{}/federatedIdentityCredentials/{}")

    def _pre_authorized(self, inputs: Mapping[str, Any]) -> Trace | None:
        parent, client = _last(inputs["applicationId"]), inputs["authorizedClientId"]
        entries = self._api(parent).get("preAuthorizedApplications") or ()
        there = any(entry["appId"] == client for entry in entries)
        return Trace(f"{parent}/preAuthorizedApplication/{client}") if there else None

    def _known_clients(self, inputs: Mapping[str, Any]) -> Trace | None:
        parent = _last(inputs["applicationId"])
        there = self._api(parent).get("knownClientApplications")
        return Trace(f"/applications/{parent}/knownClients") if there else None

    def _api(self, application: str) -> Mapping[str, Any]:
        return (self.registration(application) or {}).get("api") or {}

    def _consent(self, inputs: Mapping[str, Any]) -> Trace | None:
        resource, role = inputs["resourceObjectId"], inputs["appRoleId"]
        for entry in self._listed(f"/servicePrincipals/{inputs['principalObjectId']}/appRoleAssignments"):
            if (entry["resourceId"], entry["appRoleId"]) == (resource, role):
                return Trace(f"/servicePrincipals/{resource}/appRoleAssignedTo/{entry['id']}")
        return None

    def _grant(self, inputs: Mapping[str, Any]) -> Trace | None:
        resource = inputs["resourceServicePrincipalObjectId"]
        for entry in self._listed(f"/servicePrincipals/{inputs['servicePrincipalObjectId']}/oauth2PermissionGrants"):
            if (entry["resourceId"], entry["consentType"]) == (resource, "AllPrincipals"):
                return Trace(f"/oauth2PermissionGrants/{entry['id']}")
        return None

    def _member(self, inputs: Mapping[str, Any]) -> Trace | None:
        group, member = inputs["groupObjectId"], inputs["memberObjectId"]
        there = any(entry["id"] == group for entry in self._listed(f"/servicePrincipals/{member}/memberOf"))
        return Trace(f"{group}/member/{member}") if there else None

    def _directory_role(self, inputs: Mapping[str, Any]) -> Trace | None:
        path, mine = "/roleManagement/directory/roleAssignments", f"principalId eq '{inputs['principalObjectId']}'"
        wanted = (inputs["roleId"], inputs.get("directoryScopeId") or "/")
        for entry in self._listed(path, mine):
            if (entry["roleDefinitionId"], entry["directoryScopeId"]) == wanted:
                return Trace(f"{path}/{entry['id']}")
        return None

    def _role(self, inputs: Mapping[str, Any]) -> Trace | None:
        """By its name, which follows from scope, role and principal; by these where the name is not known yet."""
        place = f"/{inputs['scope'].strip('/')}/providers/Microsoft.Authorization/roleAssignments".replace("//", "/")
        if name := inputs.get("roleAssignmentName"):
            found = self._resource(f"{place}/{name}")
            return Trace(found["id"]) if found else None
        role = _last(inputs["roleDefinitionId"]).lower()
        mine = {"$filter": f"principalId eq '{inputs['principalId']}'"}
        answer = self.who.arm(place, **mine)
        for entry in self.who.listed(answer, "arm"):
            found = entry["properties"]
            same = _last(found["roleDefinitionId"]).lower() == role
            if same and str(found["scope"]).strip("/").lower() == inputs["scope"].strip("/").lower():
                return Trace(entry["id"], inputs={"roleAssignmentName": _last(entry["id"])})
        return None

    def _role_definition(self, inputs: Mapping[str, Any]) -> Trace | None:
        place = f"/{inputs['scope'].strip('/')}/providers/Microsoft.Authorization/roleDefinitions".replace("//", "/")
        found = self._resource(f"{place}/{inputs['roleDefinitionId']}")
        if found is None:
            return None
        moment = found["properties"].get("createdOn")
        if not self.made_since(moment) and found["id"].lower() not in self.held:
            raise NotOurs(f'the role "{inputs["roleName"]}" ({found["id"]}) is of {moment}, {_BEFORE}')
        return Trace(found["id"])

    def _resource(self, path: str) -> Mapping[str, Any] | None:
        try:
            return self.who.arm(path)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    # ---------------------------------------------------------------------------------------------------- directory

    def _get(self, path: str, select: str) -> Mapping[str, Any] | None:
        try:
            return self.who.graph(path, select=select)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def _listed(self, path: str, matching: str = "", *, select: str = "") -> Iterator[dict[str, Any]]:
        query = {name: text for name, text in (("filter", matching), ("select", select)) if text}
        try:
            yield from self.who.listed(self.who.graph(path, **query), "graph")
        except RefusedError as error:
            if error.status != 404:
                raise


def registration_trace(entry: Mapping[str, Any]) -> Trace:
    """A registration of the directory, as Pulumi knows it."""
    return Trace(f"/applications/{entry['id']}", {"objectId": entry["id"], "clientId": entry["appId"]})


def principal_trace(entry: Mapping[str, Any]) -> Trace:
    """A service principal of the directory, as Pulumi knows it."""
    return Trace(f"/servicePrincipals/{entry['id']}", {"objectId": entry["id"], "clientId": entry["appId"]})


def _age(entry: Mapping[str, Any]) -> tuple[str, str]:
    return str(entry["createdDateTime"]), str(entry["id"])


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _quoted(text: str) -> str:
    return text.replace("'", "''")
