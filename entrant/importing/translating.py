"""From what was found to apps in the vocabulary: keys, references among them, and what a person must decide or know."""

import base64
import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from entrant.config import App
from entrant.config.problems import Refused
from entrant.config.values import parse_email
from entrant.facts import risks
from entrant.facts.directory_roles import DirectoryRole, find_directory_role
from entrant.facts.marks import MARK, stack_in

from . import credentials, properties, trusts
from .azure_roles import Roles
from .entries import Entry, References, Sheet, There, keys, words
from .permissions import Permissions
from .properties import stated
from .reading import Apis, Found

Doc = dict[str, Any]

_TOP: Final = ""


class Translation:
    """One translation of a tenant's apps.

    Args:
        found: the apps.
        apis: the APIs whose permissions they have.
        definitions: custom role definitions, as Resource Manager shows them, by GUID.
        tenant, cloud: where they are.
        there: what the file has already.
        declared: keys of apps that it has already, by client id, as far as these were read.
        today: for what is written down as of a day.
        out: the apps that are left out as comments, by client id, and why: others refer to them by their ids.
    """

    def __init__(
        self,
        found: Sequence[Found],
        apis: Apis,
        definitions: Mapping[str, Doc],
        *,
        tenant: str,
        cloud: str,
        there: There,
        today: dt.date,
        declared: Mapping[str, str] = MappingProxyType({}),
        out: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self.found, self.tenant, self.cloud, self.there = found, tenant, cloud, there
        self.today, self.out = today, out
        self.keys = keys(found, there.apps)
        offering = {
            client: there.principals[id_]
            for client, api in apis.by_client.items()
            if (id_ := str(api["id"]).lower()) in there.principals
        }
        new = {client: key for client, key in self.keys.items() if client not in out}
        self.references = References(found, offering | dict(declared) | new, there.principals)
        self.permissions = Permissions(apis, self.references)
        self.roles = Roles(found, definitions, there)
        self._named: set[str] = set()

    def sheet(self) -> Sheet:
        """All of it, the apps by key."""
        apps = [self.app(each) for each in sorted(self.found, key=lambda each: self.keys[each.client_id])]
        scopes = self.roles.scopes
        return Sheet(self.tenant, self.cloud, scopes.subscription, scopes.declared, self.roles.declared, apps)

    def app(self, each: Found) -> Entry:
        """One app."""
        key = self.keys[each.client_id]
        entry = Entry(key, each.client_id, faults=list(self.out.get(each.client_id, ())))
        data, left, faults = properties.registration(each.registration, key, self.tenant)
        entry.faults += faults
        entry.unsaid += [_left("registration", name, value) for name, value in left]
        entry.unsaid += [f"not seen: {what}" for what in each.unseen]
        ids: Doc = {"application": each.id.lower()}
        principal: Doc = {}
        if each.principal is None and not any(what.startswith("service principal:") for what in each.unseen):
            ids["no_service_principal"] = True
        if each.principal is not None:
            ids["service_principal"] = str(each.principal["id"]).lower()
            principal, left = properties.principal(each.principal, each.registration)
            entry.unsaid += [_left("service principal", name, value) for name, value in left]
        principal |= stated(owners=self._owners(entry, each.principal_owners, "of the service principal"))
        if (mark := stack_in(data.get("tags", ()))) is not None:
            entry.note(
                _TOP,
                f"decide: its tags say that stack {mark} declares it; release it there first. After the first `up`, take the tag "
                f"{MARK}:{mark} out, by which a recovery of that stack finds what it made.",
            )
        self._clients(entry, each, data, ids)
        owners = self._owners(entry, each.owners, "")
        entry.data |= data | stated(
            logo=_logo(entry, each),
            owners=owners,
            service_principal=principal,
            kept_credentials=credentials.kept(entry, each),
            federated=[trusts.entry(credential, self.cloud) for credential in each.federated],
            permissions=list(self.permissions.of(entry, each)),
            roles=list(self.roles.of(entry, each)),
            groups=list(_groups(entry, each)),
            directory_roles=list(_directory_roles(entry, each)),
        )
        entry.data = _ordered(entry.data | {"adopt": ids} | ({} if self.there.keeps else {"on_remove": "keep"}))
        if entry.privileged:
            entry.data |= {"allow_privileged": True, "reason": f"As it was taken over on {self.today}."}
            entry.note(
                "allow_privileged", f"decide: {_some(list(dict.fromkeys(entry.privileged)))}. Narrow it, or say why."
            )
        assigned = sum(one.get("principalType") != "ServicePrincipal" for one in each.assigned)
        if assigned:
            entry.unsaid.append(
                f"service principal: users and groups that are assigned to it or to its roles: {assigned}"
            )
        return entry

    def _owners(self, entry: Entry, owners: Sequence[Doc], of: str) -> list[str]:
        names = []
        for owner in owners:
            id_, user = str(owner["id"]).lower(), owner.get("userPrincipalName")
            key = self.references.principals.get(id_)
            if user and "#" not in user and _is_email(user):
                names.append(user)
            elif key is not None and self.references.may(entry.key, key):
                names.append(key)
            else:
                names.append(id_)
                shown = user or owner.get("displayName")
                if shown and id_ not in self._named:
                    self._named.add(id_)
                    where = "owners" if not of else "service_principal"
                    entry.note(where, f"{id_} is {words(shown)}")
        return names

    def _clients(self, entry: Entry, each: Found, data: Doc, ids: Doc) -> None:
        """The clients that an API knows or authorizes in advance."""
        api = each.registration.get("api") or {}
        scopes = {scope["id"]: scope.get("value") for scope in api.get("oauth2PermissionScopes") or ()}
        clients = []
        for client in api.get("preAuthorizedApplications") or ():
            granted = client.get("delegatedPermissionIds") or client.get("permissionIds") or ()
            named = [scopes.get(id_) for id_ in granted]
            if named and all(named):
                id_ = str(client["appId"]).lower()
                clients.append({"client": self.references.apps.get(id_, id_), "scopes": named, "adopt": True})
            else:
                entry.unsaid.append(f"registration: pre-authorized client {client['appId']} without known scopes")
        known = [
            self.references.apps.get(str(id_).lower(), str(id_).lower())
            for id_ in api.get("knownClientApplications") or ()
        ]
        if known:
            ids["known_clients"] = True
        if clients or known:
            data["api"] = (
                {"token_version": 1} | data.get("api", {}) | stated(pre_authorized=clients, known_clients=known)
            )


_FIRST: Final = ("display_name", "description", "notes", "adopt", "on_remove")
"""Keys of an app that stand above the others, which are in the vocabulary's order."""


def _ordered(data: Doc) -> Doc:
    return {name: data[name] for name in (*_FIRST, *App.model_fields) if name in data}


def _some(reasons: Sequence[str]) -> str:
    more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return "; ".join(reasons[:3]) + more


def _left(of: str, name: str, value: Any) -> str:
    return f"{of}: {name}: {words(json.dumps(value, ensure_ascii=False, default=str))}"


def _is_email(text: str) -> bool:
    try:
        parse_email(text)
    except Refused:
        return False
    return True


def _logo(entry: Entry, each: Found) -> str | None:
    if each.logo is None:
        return None
    data = base64.b64decode(each.logo)
    kind = next((kind for start, kind in _IMAGES.items() if data.startswith(start)), None)
    if kind is None:
        entry.unsaid.append("registration: a logo that is neither PNG nor JPEG nor GIF")
        return None
    name = f"{entry.key}.{kind}"
    entry.files[name] = data
    return name


_IMAGES: Final = {b"\x89PNG\r\n\x1a\n": "png", b"GIF87a": "gif", b"GIF89a": "gif", b"\xff\xd8\xff": "jpg"}


def _groups(entry: Entry, each: Found) -> Iterator[Doc]:
    for group in each.groups:
        id_, shown = str(group["id"]).lower(), words(group.get("displayName"))
        if "DynamicMembership" in (group.get("groupTypes") or ()):
            entry.unsaid.append(f"service principal: member of {shown} ({id_}) by the group's rule")
        elif group.get("onPremisesSyncEnabled"):
            entry.unsaid.append(f"service principal: member of {shown} ({id_}), which is synchronized from on-premises")
        else:
            entry.note("groups", f"{id_} is {shown}")
            yield {"group": id_, "adopt": True}


def _directory_roles(entry: Entry, each: Found) -> Iterator[Doc]:
    for assignment in each.directory_roles:
        id_, scope = str(assignment["roleDefinitionId"]).lower(), str(assignment.get("directoryScopeId") or "/")
        unit = scope.removeprefix("/administrativeUnits/") if scope.startswith("/administrativeUnits/") else None
        role = find_directory_role(id_) or DirectoryRole(id_, id_, privileged=False)
        if unit is None and scope != "/":
            entry.unsaid.append(f"service principal: directory role {role.name} limited to {words(scope)}")
            continue
        if why := risks.of_directory_role(role):
            entry.privileged.append(why)
        yield stated(role=role.name, administrative_unit=unit, adopt=assignment["id"])
