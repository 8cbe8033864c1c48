"""From what was found to apps in the vocabulary: keys, references among them, and what a person must decide or know."""

import base64
import datetime as dt
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from entrant.config.access import known_permissions
from entrant.config.problems import Refused
from entrant.config.source import scalar
from entrant.config.values import NAME, parse_email
from entrant.facts import risks
from entrant.facts.apis import FIRST_PARTY, GRAPH
from entrant.facts.contract import output_name
from entrant.facts.directory_roles import DirectoryRole, find_directory_role
from entrant.facts.marks import stack_in
from entrant.facts.roles import Permission as Block
from entrant.facts.roles import find_role
from entrant.facts.scopes import Scope, ScopeError, parse_scope
from entrant.facts.unsafe_text import harmless

from . import properties, trusts
from .properties import given
from .reading import Apis, Found

Doc = dict[str, Any]

LONGEST_KEY: Final = 50
NO_ROLE: Final = "00000000-0000-0000-0000-000000000000"
"""The role id of default access, for an API that has no roles."""
LAST_YEAR: Final = 2500
"""The last that a moment of the vocabulary can have; secrets of before there were limits end in 9999."""
ROTATED: Final = "secret: {every: 90d, overlap: 7d}"
_TOP = ""


@dataclass(slots=True)
class Entry:
    """One app as it goes into the file."""

    key: str
    client_id: str
    data: Doc = field(default_factory=dict)
    comments: dict[str, list[str]] = field(default_factory=dict)
    """Lines above a key of the app, or above them all where the key is empty."""
    unsaid: list[str] = field(default_factory=list)
    """What is there and cannot be said: it stays as it is."""
    faults: list[str] = field(default_factory=list)
    """Why the app cannot be taken over unchanged; with one it stands in the file as a comment."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Files beside the environment's, by name."""
    privileged: list[str] = field(default_factory=list)

    def in_folder(self, folder: str) -> None:
        """Name the files in their folder."""
        if "logo" in self.data:
            self.data["logo"] = f"{folder}/{self.data['logo']}"
        for certificate in self.data.get("certificates", {}).values():
            certificate["path"] = f"{folder}/{certificate['path']}"

    def note(self, key: str, line: str) -> None:
        """Add a comment above a key."""
        self.comments.setdefault(key, []).append(line)


@dataclass(slots=True)
class Sheet:
    """An environment to be written: what is beside the apps, and these."""

    tenant: str
    cloud: str
    subscription: str | None
    scopes: dict[str, Any]
    role_definitions: dict[str, Doc]
    apps: list[Entry]


@dataclass(frozen=True, slots=True)
class There:
    """What the file has already: names that are taken, and those of what is found there again."""

    apps: frozenset[str] = frozenset()
    scopes: Mapping[str, str] = field(default_factory=dict)
    """By id in lower case."""
    scope_names: frozenset[str] = frozenset()
    roles: Mapping[str, str] = field(default_factory=dict)
    """Custom roles by GUID."""
    role_names: frozenset[str] = frozenset()
    subscription: str | None = None


def slug(text: str, otherwise: str) -> str:
    """A text as a name of the vocabulary: lower-case letters, digits and hyphens, a letter first."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:LONGEST_KEY].strip("-") or otherwise
    if not re.fullmatch(NAME, words) or not isinstance(scalar(words), str):
        words = f"app-{words}"
    return words[:LONGEST_KEY].strip("-")


def keys(found: Sequence[Found], taken: Iterable[str] = ()) -> dict[str, str]:
    """The key of each app by its client id. Of several with one name the oldest has it, the others the begin of their client id
    besides, so that one that comes later changes nobody's key.
    """
    used = {output_name(name, "") for name in (*taken, "deployer")}
    chosen = {}
    for each in sorted(found, key=lambda one: (str(one.registration.get("createdDateTime")), one.id)):
        plain = slug(str(each.registration.get("displayName") or ""), each.client_id[:8])
        wanted = (plain, *(f"{plain}-{each.client_id[:length]}" for length in (4, 8, 36)))
        key = next(name for name in wanted if output_name(name, "") not in used)
        used.add(output_name(key, ""))
        chosen[each.client_id] = key
    return chosen


class Translation:
    """One translation of a tenant's apps.

    Args:
        found: the apps.
        apis: the APIs whose permissions they have.
        definitions: custom role definitions, as Resource Manager shows them, by GUID.
        tenant, cloud: where they are.
        there: what the file has already.
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
        out: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self.found, self.apis, self.definitions = found, apis, definitions
        self.tenant, self.cloud, self.there, self.today, self.out = tenant, cloud, there, today, out
        self.keys = keys(found, there.apps)
        self.apps = {client: key for client, key in self.keys.items() if client not in out}
        self.principals = {
            str(each.principal["id"]).lower(): self.apps[each.client_id]
            for each in found
            if each.principal and each.client_id in self.apps
        }
        self._needs: dict[str, set[str]] = {}
        self.scopes = _Scopes(found, definitions.values(), there)
        self.role_definitions: dict[str, Doc] = {}
        self._definition_keys = dict(there.roles)
        for guid, definition in sorted(definitions.items()):
            self._definition(guid, definition)

    def sheet(self) -> Sheet:
        """All of it, the apps by key."""
        apps = sorted((self.app(each) for each in self.found), key=lambda entry: entry.key)
        scopes = self.scopes
        return Sheet(self.tenant, self.cloud, scopes.subscription, scopes.declared, self.role_definitions, apps)

    def app(self, each: Found) -> Entry:
        """One app."""
        key = self.keys[each.client_id]
        entry = Entry(key, each.client_id, faults=list(self.out.get(each.client_id, ())))
        said, left, faults = properties.registration(each.registration, key, self.tenant)
        entry.faults += faults
        entry.unsaid += [_left("registration", name, value) for name, value in left]
        entry.unsaid += [f"not seen: {what}" for what in each.unseen]
        ids = {"application": each.id.lower()}
        principal: Doc = {}
        if each.principal is not None:
            ids["service_principal"] = str(each.principal["id"]).lower()
            principal, left = properties.principal(each.principal, each.registration)
            entry.unsaid += [_left("service principal", name, value) for name, value in left]
        principal |= given(owners=self._owners(entry, each.principal_owners, "of the service principal"))
        if (mark := stack_in(said.get("tags", ()))) is not None:
            entry.note(_TOP, f"decide: its tags say that stack {mark} declares it; release it there first.")
        self._clients(entry, each, said, ids)
        owners = self._owners(entry, each.owners, "")
        entry.data |= said | given(
            logo=_logo(entry, each),
            owners=owners,
            service_principal=principal,
            kept_credentials=self._credentials(entry, each),
            federated=[trusts.entry(credential, self.cloud) for credential in each.federated],
            permissions=list(self._permissions(entry, each)),
            roles=list(self._roles(entry, each)),
            groups=list(_groups(entry, each)),
            directory_roles=list(_directory_roles(entry, each)),
        )
        entry.data = _ordered(entry.data | {"adopt": ids})
        if entry.privileged:
            entry.data |= {"allow_privileged": True, "reason": f"As it was taken over on {self.today}."}
            entry.note(
                "allow_privileged", f"decide: {_some(list(dict.fromkeys(entry.privileged)))}. Narrow it, or say why."
            )
        assigned = sum(one.get("principalType") != "ServicePrincipal" for one in each.assigned)
        if assigned:
            entry.unsaid.append(f"service principal: {assigned} users and groups are assigned to it or to its roles")
        return entry

    # -------------------------------------------------------------------------------------------------- references

    def _refer(self, one: str, other: str) -> bool:
        """Whether an app may need the other's id: not where that leads in a circle, for which a GUID is written."""
        edge, seen = [other], set()
        while edge:
            name = edge.pop()
            if name == one:
                return False
            seen.add(name)
            edge += self._needs.get(name, set()) - seen
        self._needs.setdefault(one, set()).add(other)
        return True

    def _owners(self, entry: Entry, owners: Sequence[Doc], of: str) -> list[str]:
        said = []
        for owner in owners:
            id_, user = str(owner["id"]).lower(), owner.get("userPrincipalName")
            key = self.principals.get(id_)
            if user and "#" not in user and _is_email(user):
                said.append(user)
            elif key is not None and self._refer(entry.key, key):
                said.append(key)
            else:
                said.append(id_)
                shown = user or owner.get("displayName")
                if shown:
                    where = "owners" if not of else "service_principal"
                    entry.note(where, f"{id_} is {_words(shown)}")
        return said

    def _clients(self, entry: Entry, each: Found, said: Doc, ids: Doc) -> None:
        """The clients that an API knows or authorizes in advance."""
        api = each.registration.get("api") or {}
        scopes = {scope["id"]: scope.get("value") for scope in api.get("oauth2PermissionScopes") or ()}
        clients = []
        for client in api.get("preAuthorizedApplications") or ():
            granted = client.get("delegatedPermissionIds") or client.get("permissionIds") or ()
            named = [scopes.get(id_) for id_ in granted]
            if named and all(named):
                id_ = str(client["appId"]).lower()
                clients.append({"client": self.apps.get(id_, id_), "scopes": named, "adopt": True})
            else:
                entry.unsaid.append(f"registration: pre-authorized client {client['appId']} without known scopes")
        known = [self.apps.get(str(id_).lower(), str(id_).lower()) for id_ in api.get("knownClientApplications") or ()]
        if known:
            ids["known_clients"] = True
        if clients or known:
            said["api"] = (
                {"token_version": 1} | said.get("api", {}) | given(pre_authorized=clients, known_clients=known)
            )

    # ------------------------------------------------------------------------------------------------- permissions

    def _permissions(self, entry: Entry, each: Found) -> Iterator[Doc]:
        asked: dict[str, dict[str, list[str]]] = {}
        for wanted in each.registration.get("requiredResourceAccess") or ():
            kinds = asked.setdefault(str(wanted["resourceAppId"]).lower(), {"application": [], "delegated": []})
            for access in wanted.get("resourceAccess") or ():
                kinds["application" if access.get("type") == "Role" else "delegated"].append(str(access["id"]).lower())
        roles: dict[str, dict[str, str]] = {}
        for held in each.app_permissions:
            api = self._api(held)
            if api is not None and held["appRoleId"] != NO_ROLE:
                roles.setdefault(api, {})[str(held["appRoleId"]).lower()] = held["id"]
            else:
                what = held.get("resourceDisplayName") or held["resourceId"]
                entry.unsaid.append(f"service principal: access to {_words(what)} by assignment {held['id']}")
        grants: dict[str, Doc] = {}
        single: Counter[str] = Counter()
        for grant in each.grants:
            api = self._api(grant)
            if grant["consentType"] != "AllPrincipals":
                single[self._name(api) if api else grant["resourceId"]] += 1
            elif api is not None:
                grants[api] = grant
        for name, count in single.items():
            entry.unsaid.append(f"service principal: consent of {count} single users to {_words(name)}")
        for api in dict.fromkeys((*asked, *roles, *grants)):
            kinds = asked.get(api, {"application": [], "delegated": []})
            yield from self._permission(entry, each, api, kinds, roles.get(api, {}), grants.get(api))

    def _api(self, held: Mapping[str, Any]) -> str | None:
        """The client id of the API that a consent is about."""
        api = self.apis.by_object.get(str(held["resourceId"]).lower())
        return str(api["appId"]).lower() if api is not None else None

    def _name(self, api: str) -> str:
        """What people call an API."""
        known = next((name for name, id_ in FIRST_PARTY.items() if id_ == api), None)
        return known or str(self.apis.by_client.get(api, {}).get("displayName") or api)

    def _offered(self, api: str) -> dict[str, dict[str, str]]:
        """The names of an API's permissions by kind and id."""
        doc = self.apis.by_client.get(api, {})
        offered: dict[str, dict[str, str]] = {"application": {}, "delegated": {}}
        for kind, name in (("application", "appRoles"), ("delegated", "oauth2PermissionScopes")):
            offered[kind] = {str(one["id"]).lower(): one["value"] for one in doc.get(name) or () if one.get("value")}
        for (kind, id_), (of, name) in known_permissions().items():
            if FIRST_PARTY[of] == api:
                offered[kind][id_] = name
        return offered

    def _permission(
        self,
        entry: Entry,
        each: Found,
        api: str,
        asked: Mapping[str, Sequence[str]],
        held: Mapping[str, str],
        grant: Doc | None,
    ) -> Iterator[Doc]:
        offered = self._offered(api)
        named: dict[str, list[str]] = {}
        for kind, ids in asked.items():
            unknown = [id_ for id_ in ids if id_ not in offered[kind]]
            if unknown:
                entry.faults.append(
                    f"it asks {_words(self._name(api))} for permissions that this offers no more: {', '.join(unknown)}"
                )
                return
            named[kind] = [offered[kind][id_] for id_ in dict.fromkeys(ids)]
        consented = {
            "application": {offered["application"].get(id_, ""): assignment for id_, assignment in held.items()}
        }
        if "" in consented["application"]:
            entry.unsaid.append(
                f"service principal: consent {consented['application'].pop('')} to a permission that is gone"
            )
        scopes = list(dict.fromkeys((grant or {}).get("scope", "").split()))
        known = set(offered["delegated"].values())
        if grant is not None and (not scopes or not set(scopes) <= known):
            what = ", ".join(scope for scope in scopes if scope not in known) or "nothing"
            entry.unsaid.append(
                f"service principal: consent {grant['id']} to {_words(what)} of {_words(self._name(api))}"
            )
            grant, scopes = None, []
        given_ = {"application": list(consented["application"]), "delegated": scopes}
        if not any((*named.values(), *given_.values())):
            return
        if api == GRAPH:
            entry.privileged += [
                why
                for name in (*named["application"], *named["delegated"], *given_["application"], *scopes)
                if (why := risks.of_permission(name))
            ]
        whole = all(set(given_[kind]) == set(named[kind]) for kind in named)
        consent: Any = True if whole else {kind: names for kind, names in given_.items() if names} or None
        yield given(
            api=self._reference(entry, api, named),
            application=named["application"],
            delegated=named["delegated"],
            consent=consent,
            adopt=given(application=consented["application"], delegated=grant["id"] if grant else None),
        )

    def _reference(self, entry: Entry, api: str, named: Mapping[str, Sequence[str]]) -> str:
        """How a permission names its API."""
        key = self.apps.get(api)
        if key is not None and self._refer(entry.key, key):
            return key
        known = next((name for name, id_ in FIRST_PARTY.items() if id_ == api), None)
        if known is None and (shown := key or self.apis.by_client.get(api, {}).get("displayName")):
            entry.note("permissions", f"{api} is {_words(shown)}")
        return known or api

    # -------------------------------------------------------------------------------------------------- Azure roles

    def _definition(self, guid: str, definition: Doc) -> None:
        """A custom role under `role_definitions`, where it can be said."""
        found = definition["properties"]
        blocks: Sequence[Doc] = found.get("permissions") or ()
        if guid in self._definition_keys or found.get("type") == "BuiltInRole" or len(blocks) != 1:
            return
        if any(value for name, value in blocks[0].items() if name not in _PARTS):
            return
        scopes = [self.scopes.reference(scope) for scope in found.get("assignableScopes") or ()]
        if not scopes or None in scopes:
            return
        plain = slug(str(found.get("roleName")), guid[:8])
        taken = {*self.role_definitions, *self.there.role_names}
        key = next(name for name in (plain, f"{plain}-{guid[:4]}", f"{plain}-{guid}") if name not in taken)
        self._definition_keys[guid] = key
        self.role_definitions[key] = given(
            name=found.get("roleName") if found.get("roleName") != key else None,
            description=found.get("description"),
            adopt=guid,
            on_remove="keep",
            **{name: list(blocks[0].get(wire) or ()) for wire, name in _PARTS.items()},
            assignable_scopes=scopes,
        )

    def _roles(self, entry: Entry, each: Found) -> Iterator[Doc]:
        for assignment in each.roles:
            found = assignment["properties"]
            guid = str(found["roleDefinitionId"]).rpartition("/")[2].lower()
            scope, version = self.scopes.reference(found["scope"]), found.get("conditionVersion")
            known = find_role(guid)
            definition = self.definitions.get(guid)
            name = known.name if known else str((definition or {}).get("properties", {}).get("roleName") or guid)
            if (
                scope is None
                or (found.get("condition") and version != "2.0")
                or found.get("delegatedManagedIdentityResourceId")
            ):
                entry.unsaid.append(f"role assignment {assignment['name']}: {_words(name)} at {found['scope']}")
                continue
            parsed = parse_scope(found["scope"])
            blocks = [Block.of(block) for block in (definition or {}).get("properties", {}).get("permissions") or ()]
            why = risks.of_role(name, guid, blocks) if not found.get("condition") else None
            entry.privileged += [reason for reason in (why, risks.of_scope(name, parsed)) if reason]
            role = known.name if known else self._definition_keys.get(guid, guid)
            if role == guid and name != guid:
                entry.note("roles", f"{guid} is {_words(name)}")
            yield given(
                role=role,
                scope=scope,
                description=found.get("description"),
                condition=found.get("condition"),
                condition_version="2.0" if found.get("condition") else None,
                adopt=str(assignment["name"]).lower(),
            )

    # -------------------------------------------------------------------------------------------------- credentials

    def _credentials(self, entry: Entry, each: Found) -> list[Doc]:
        """Secrets and what else cannot be declared; certificates go into `certificates`."""
        owner = next((one["userPrincipalName"] for one in each.owners if one.get("userPrincipalName")), None)
        kept = []
        for of, doc in (("", each.registration), ("of the service principal", each.principal or {})):
            for secret in doc.get("passwordCredentials") or ():
                kept.append(_kept(secret, "secret", of, owner))
            for key in doc.get("keyCredentials") or ():
                # A service principal repeats nothing of its registration: what it has is its own, such as to sign SAML tokens.
                if of or not _declare(entry, key):
                    kept.append(_kept(key, "certificate", of, owner))
        if any("kind" not in each for each in kept):
            entry.note(
                "kept_credentials",
                f"decide: secrets cannot be read back; these stay in use until they end. A declared one: `{ROTATED}` here, `up`, "
                "deliver it, prove it with `entrant wait`, then remove the old one (az ad app credential delete) and its line.",
            )
        return kept


_PARTS: Final = {
    "actions": "actions",
    "notActions": "not_actions",
    "dataActions": "data_actions",
    "notDataActions": "not_data_actions",
}
_ORDER: Final = (
    "display_name",
    "description",
    "notes",
    "adopt",
    "sign_in_audience",
    "service_management_reference",
    "identifier_uris",
    "web",
    "spa",
    "public_client",
    "links",
    "logo",
    "app_roles",
    "api",
    "optional_claims",
    "group_claims",
    "tags",
    "feature_tags",
    "owners",
    "service_principal",
    "kept_credentials",
    "certificates",
    "federated",
    "permissions",
    "roles",
    "groups",
    "directory_roles",
)


def _ordered(data: Doc) -> Doc:
    return {name: data[name] for name in (*_ORDER, *data) if name in data}


def _words(text: Any) -> str:
    """Words of the tenant, for a comment or a terminal."""
    shown = " ".join(harmless(str(text)).split())
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


def _some(reasons: Sequence[str]) -> str:
    more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return "; ".join(reasons[:3]) + more


def _left(of: str, name: str, value: Any) -> str:
    import json

    return f"{of}: {name}: {_words(json.dumps(value, ensure_ascii=False, default=str))}"


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


def _kept(credential: Mapping[str, Any], kind: str, of: str, owner: str | None) -> Doc:
    said = [str(credential.get("displayName") or ""), of]
    if credential.get("hint"):
        said.append(f"hint {credential['hint']}")
    if credential.get("startDateTime"):
        said.append(f"since {credential['startDateTime'][:10]}")
    ends = re.sub(r"\.\d+", "", str(credential["endDateTime"]))
    if int(ends[:4]) > LAST_YEAR:
        said.append("without an end")
        ends = f"{LAST_YEAR}-12-31T00:00:00Z"
    return given(
        key_id=str(credential["keyId"]).lower(),
        kind=kind if kind != "secret" else None,
        name=", ".join(word for word in said if word),
        ends=ends,
        owner=owner,
    )


def _declare(entry: Entry, key: Mapping[str, Any]) -> bool:
    """Add a certificate, unless it is none that can be declared."""
    if key.get("type") != "AsymmetricX509Cert" or key.get("usage") != "Verify" or not key.get("key"):
        return False
    try:
        text = _pem(base64.b64decode(key["key"], validate=True))
    except ValueError:
        return False
    shown = re.sub(r"^CN=", "", str(key.get("displayName") or ""), flags=re.IGNORECASE)
    plain = slug(shown, "certificate")
    certificates = entry.data.setdefault("certificates", {})
    name = next(
        name for name in (plain, f"{plain}-{key['keyId'][:4]}", f"{plain}-{key['keyId']}") if name not in certificates
    )
    file = f"{entry.key}-{name}.pem"
    entry.files[file] = text.encode()
    certificates[name] = {"path": file, "adopt": str(key["keyId"]).lower()}
    return True


def _pem(data: bytes) -> str:
    """A certificate in PEM form; raises ValueError for what is none."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_der_x509_certificate(data).public_bytes(Encoding.PEM).decode()


def _groups(entry: Entry, each: Found) -> Iterator[Doc]:
    for group in each.groups:
        id_, shown = str(group["id"]).lower(), _words(group.get("displayName"))
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
            entry.unsaid.append(f"service principal: directory role {role.name} limited to {_words(scope)}")
            continue
        if why := risks.of_directory_role(role):
            entry.privileged.append(why)
        yield given(role=role.name, administrative_unit=unit, adopt=assignment["id"])


class _Scopes:
    """The scopes that the apps use, named where that makes the file shorter."""

    def __init__(self, found: Sequence[Found], definitions: Iterable[Doc], there: There) -> None:
        uses = [str(entry["properties"]["scope"]) for each in found for entry in each.roles]
        uses += [
            str(scope) for definition in definitions for scope in definition["properties"].get("assignableScopes") or ()
        ]
        parsed = [scope for text in uses if (scope := _scope(text)) is not None]
        first = {scope.id.lower(): scope for scope in reversed(parsed)}
        count = Counter(scope.id.lower() for scope in parsed)
        inside = Counter(
            scope.subscription for scope in parsed if scope.subscription and scope.kind == "resource_group"
        )
        usual = max(inside, key=lambda name: (inside[name], name), default=None)
        self.subscription = usual if not (there.apps or there.subscription) else None
        """The subscription that the file is to name once; None where it does already, or need not."""
        self._usual = there.subscription or self.subscription
        self.names = dict(there.scopes)
        self.declared: dict[str, Any] = {}
        taken = set(there.scope_names)
        for id_, scope in sorted(first.items()):
            if id_ in self.names or scope.kind == "root" or (count[id_] < 2 and scope.kind != "resource"):
                continue
            plain = slug("subscription" if scope.kind == "subscription" else scope.name, "scope").removeprefix("app-")
            plain = plain if re.fullmatch(NAME, plain) else f"scope-{plain}"
            others = (f"{plain}-{number}" for number in range(2, len(first) + 3 + len(taken)))
            name = next(name for name in (plain, *others) if name not in taken)
            taken.add(name)
            self.names[id_] = name
            self.declared[name] = self._inline(scope)

    def reference(self, text: Any) -> Any:
        """How a role names a scope; None for what is no scope."""
        scope = _scope(str(text))
        return None if scope is None else self.names.get(scope.id.lower()) or self._inline(scope)

    def _inline(self, scope: Scope) -> Any:
        if scope.kind == "subscription":
            return {"subscription": scope.subscription}
        if scope.kind == "management_group":
            return {"management_group": scope.name}
        if scope.kind == "resource_group":
            here = {"resource_group": scope.resource_group}
            return here if scope.subscription == self._usual else here | {"subscription": scope.subscription}
        return scope.id


def _scope(text: str) -> Scope | None:
    try:
        return parse_scope(text)
    except ScopeError:
        return None


def custom_roles(found: Sequence[Found]) -> dict[str, str]:
    """The roles that are not built in, by the GUID of the definition, each with a scope at which it is assigned."""
    used: dict[str, str] = {}
    for each in found:
        for assignment in each.roles:
            guid = str(assignment["properties"]["roleDefinitionId"]).rpartition("/")[2].lower()
            if find_role(guid) is None:
                used.setdefault(guid, str(assignment["properties"]["scope"]))
    return used
