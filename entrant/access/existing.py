"""What the file declares anew and the tenant has already: an `up` would fail on it, unless the file takes it over."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from entrant import config
from entrant.access.deployer import Deployer, unseen
from entrant.access.directory import Directory
from entrant.config.access import Permission
from entrant.config.known import first_name
from entrant.errors import EntrantError, RefusedError
from entrant.facts import pulumi_types as types
from entrant.outputs import App


@dataclass(frozen=True, slots=True)
class Existing:
    """Something that exists and that the file would make."""

    app: str
    """Empty for a custom role."""
    type: str
    """Pulumi's type of the resource that would be made."""
    place: str
    """Where the file declares it: `apps.x.federated[0]`."""
    what: str
    """What it is, as it is called in the tenant."""
    adopt: str
    """What to write there, to take it over."""

    @property
    def remedy(self) -> str:
        """What to do, in words."""
        return f"write `{self.adopt}` there, and `on_remove` unless the app says it; or remove it from the tenant"


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, and what could not be looked at and why."""

    found: tuple[Existing, ...]
    unseen: tuple[str, ...]


TYPES = frozenset(
    {
        types.PRINCIPAL,
        types.CERTIFICATE,
        types.FEDERATED,
        types.FLEXIBLE,
        types.PRE_AUTHORIZED,
        types.KNOWN_CLIENTS,
        types.APP_ROLE_ASSIGNMENT,
        types.DELEGATED_GRANT,
        types.GROUP_MEMBER,
        types.DIRECTORY_ROLE_ASSIGNMENT,
        types.ROLE_ASSIGNMENT,
        types.ROLE_DEFINITION,
    }
)
"""The types that are looked for; the provider itself finds a registration of a taken name in a preview."""
_RIGHTS = {
    "consents": "the Graph permission Directory.Read.All",
    "groups": "the Graph permission GroupMember.Read.All",
    "directory roles": "the Graph permission RoleManagement.Read.Directory",
    "roles": "the role Reader",
    "custom roles": "the role Reader",
}
_APPLICATIONS = "the Graph permission Application.Read.All"


def look(
    environment: config.Environment,
    deployer: Deployer,
    there: Mapping[str, App],
    held: Iterable[str],
    made: Collection[tuple[str, str]] | None = None,
) -> Look:
    """What exists of what the file declares and does not adopt.

    Args:
        environment: what the file says.
        deployer: whoever looks.
        there: the apps that the stack holds, by name.
        held: the ids of all that the stack holds, as its state has them.
        made: the app and the type of each resource that a plan makes, to look for nothing else; None: no plan is known.
    """
    seeing = _Seeing(environment, deployer, there, held, made)
    found = [each for name in environment.apps for each in seeing.app(name)]
    found += seeing.guarded("custom roles", ("", types.ROLE_DEFINITION), seeing.definitions)
    return Look(tuple(found), tuple(dict.fromkeys(seeing.unseen)))


_Part = Callable[[str, config.App, App], Iterator[Existing]]


class _Seeing:
    def __init__(
        self,
        environment: config.Environment,
        deployer: Deployer,
        there: Mapping[str, App],
        held: Iterable[str],
        made: Collection[tuple[str, str]] | None,
    ) -> None:
        self.environment, self.deployer, self.made = environment, deployer, made
        whole = {id_.strip("/").lower() for id_ in held}
        self.held = whole | {id_.rpartition("/")[2] for id_ in whole if "/member/" not in id_}
        self.directory = Directory(deployer)
        self.unseen: list[str] = []
        self.there: dict[str, App] = {}
        """The apps that exist: those of the stack, and those that are taken over."""
        for name, app in environment.apps.items():
            if of_stack := next((there[each] for each in (name, *app.renamed_from) if each in there), None):
                self.there[name] = of_stack
            elif app.adopt:
                application, principal = app.adopt.application, app.adopt.service_principal
                self.there[name] = App(name, "", "", object_id=application, service_principal_id=principal)

    def guarded(self, what: str, of: tuple[str, str], part: Callable[[], Iterator[Existing]]) -> list[Existing]:
        """What one part finds; what may not be looked at is noted, and what is gone has nothing."""
        if self.made is not None and of not in self.made:
            return []
        found: list[Existing] = []
        try:
            for each in part():
                found.append(each)
        except EntrantError as error:
            if not isinstance(error, RefusedError) or error.status != 404:
                self.unseen.append(f"which {what} exist: {unseen(error, _RIGHTS.get(what, _APPLICATIONS))}")
        return found

    def app(self, name: str) -> list[Existing]:
        """What exists of one app's parts; of an app that is to be made, registrations of its name."""
        held, app = self.there.get(name), self.environment.apps[name]
        if held is None and self.made is not None:  # a preview has found a taken name
            return []
        if held is None:
            return self.guarded("app registrations", (name, types.APPLICATION), lambda: self._registrations(name, app))
        parts: list[tuple[str, str, _Part]] = [
            ("service principals", types.PRINCIPAL, self._principal),
            ("certificates", types.CERTIFICATE, self._certificates),
            ("federated credentials", types.FEDERATED, self._federated),
            ("federated credentials", types.FLEXIBLE, self._federated),
            ("pre-authorized clients", types.PRE_AUTHORIZED, self._pre_authorized),
            ("known clients", types.KNOWN_CLIENTS, self._known_clients),
        ]
        if held.service_principal_id:
            parts += [
                ("consents", types.APP_ROLE_ASSIGNMENT, self._consents),
                ("delegated consents", types.DELEGATED_GRANT, self._delegated),
                ("groups", types.GROUP_MEMBER, self._groups),
                ("directory roles", types.DIRECTORY_ROLE_ASSIGNMENT, self._directory_roles),
                ("roles", types.ROLE_ASSIGNMENT, self._roles),
            ]
        found = [
            each
            for what, type_, part in parts
            for each in self.guarded(what, (name, type_), lambda part=part: part(name, app, held))  # type: ignore[misc]
            if each.type == type_
        ]
        return found

    def _registrations(self, name: str, app: config.App) -> Iterator[Existing]:
        shown = (app.display_name or name).replace("'", "''")
        for entry in self.deployer.graph("/applications", filter=f"displayName eq '{shown}'", select="id,appId")[
            "value"
        ]:
            if entry["id"].lower() in self.held:  # of an `up` that failed: no output names it yet
                continue
            matching = f"appId eq '{entry['appId']}'"
            principals = self.deployer.graph("/servicePrincipals", filter=matching, select="id")["value"]
            ids = [f"application: {entry['id']}", *(f"service_principal: {each['id']}" for each in principals)]
            what, adopt = f"an app registration called {app.display_name or name}", f"adopt: {{{', '.join(ids)}}}"
            yield Existing(name, types.APPLICATION, f"apps.{name}", what, adopt)

    def _principal(self, name: str, app: config.App, held: App) -> Iterator[Existing]:
        use_existing = app.service_principal is not None and app.service_principal.use_existing
        if held.service_principal_id or use_existing:
            return
        for entry in self.deployer.graph("/servicePrincipals", filter=f"appId eq '{self._client_id(held)}'")["value"]:
            what, adopt = f"the service principal {entry['displayName']}", f"service_principal: {entry['id']}"
            yield Existing(name, types.PRINCIPAL, f"apps.{name}.adopt", what, adopt)

    def _certificates(self, name: str, app: config.App, held: App) -> Iterator[Existing]:
        declared = {each.public.thumbprint: key for key, each in app.held_certificates.items() if not each.adopt}
        for entry in self.directory.registration(held).get("keyCredentials") or () if declared else ():
            key = declared.get(str(entry.get("customKeyIdentifier")).upper())
            if key and entry["keyId"].lower() not in self.held:
                what = f'the certificate "{entry.get("displayName") or entry["keyId"]}"'
                place, adopt = f"apps.{name}.certificates.{key}", f"adopt: {entry['keyId']}"
                yield Existing(name, types.CERTIFICATE, place, what, adopt)

    def _federated(self, name: str, app: config.App, held: App) -> Iterator[Existing]:
        declared = [(index, each) for index, each in enumerate(app.federated) if not each.adopt]
        for entry in self.directory.federated(held) if declared else ():
            for index, credential in declared if entry["id"].lower() not in self.held else ():
                trust = credential.trust(self.environment.cloud)
                of_name = first_name(credential.key, credential.renamed_from).lower() == entry["name"].lower()
                if of_name or (entry["issuer"], entry.get("subject")) == (trust.issuer, trust.subject):
                    type_ = types.FEDERATED if trust.claims is None else types.FLEXIBLE
                    named = "" if of_name else f"name: {entry['name']}, "
                    place, what = f"apps.{name}.federated[{index}]", f"the federated credential {entry['name']}"
                    yield Existing(name, type_, place, what, f"{named}adopt: {entry['id']}")

    def _pre_authorized(self, name: str, app: config.App, held: App) -> Iterator[Existing]:
        declared = app.api.pre_authorized if app.api else ()
        entries = self._api_of(held).get("preAuthorizedApplications") or () if declared else ()
        known = {entry["appId"].lower() for entry in entries}
        for index, entry in enumerate(declared):
            other = self.there.get(entry.client.app or "")
            client = (entry.client.client_id or (self._client_id(other) if other else "")).lower()
            mine = f"{held.object_id}/preAuthorizedApplication/{client}".lower() in self.held
            if client in known and not entry.adopt and not mine:
                place, what = f"apps.{name}.api.pre_authorized[{index}]", f"the pre-authorized client {client}"
                yield Existing(name, types.PRE_AUTHORIZED, place, what, "adopt: true")

    def _known_clients(self, name: str, app: config.App, held: App) -> Iterator[Existing]:
        adopted = app.adopt is not None and app.adopt.known_clients
        mine = f"applications/{held.object_id}/knownClients".lower() in self.held
        declared = app.api is not None and app.api.known_clients and not adopted and not mine
        if declared and (clients := self._api_of(held).get("knownClientApplications")):
            what, place = f"the known clients {', '.join(clients)}", f"apps.{name}.adopt"
            yield Existing(name, types.KNOWN_CLIENTS, place, what, "known_clients: true")

    def _api_of(self, held: App) -> Mapping[str, Any]:
        api: Mapping[str, Any] = self.directory.registration(held).get("api") or {}
        return api

    def _client_id(self, held: App) -> str:
        return held.client_id or str(self.directory.registration(held)["appId"])

    def _client_id_of(self, permission: Permission) -> str:
        """The client id of an API, in lower case; empty where it is an app that is to be made."""
        other = self.there.get(permission.api.app or "")
        return (permission.api.client_id or (self._client_id(other) if other else "")).lower()

    def _consents(self, name: str, app: config.App, held: App) -> Iterator[Existing]:
        for index, permission in enumerate(app.permissions):
            adopted = permission.adopt.application if permission.adopt else {}
            api = self._client_id_of(permission)
            wanted = {(api, value) for value in permission.consented()["application"] if value not in adopted}
            for found in self.directory.permissions(held) if wanted else ():
                if found.of(wanted) and found.id.lower() not in self.held:
                    what, place = (
                        f"the consent to {found.name} of {found.api_name}",
                        f"apps.{name}.permissions[{index}]",
                    )
                    called = found.name if (api, found.name) in wanted else found.permission_id
                    adopt = f"adopt: {{application: {{{called}: {found.id}}}}}"
                    yield Existing(name, types.APP_ROLE_ASSIGNMENT, place, what, adopt)

    def _delegated(self, name: str, app: config.App, held: App) -> Iterator[Existing]:
        for index, permission in enumerate(app.permissions):
            adopted = permission.adopt is not None and permission.adopt.delegated is not None
            grants: dict[str, list[str]] = {}
            for found in self.directory.delegated(held) if permission.consented()["delegated"] and not adopted else ():
                if found.api == self._client_id_of(permission) and found.id.lower() not in self.held:
                    grants.setdefault(found.id, []).append(found.name)
            for id_, names in grants.items():
                what, place = f"the consent to {' '.join(names)} for all users", f"apps.{name}.permissions[{index}]"
                yield Existing(name, types.DELEGATED_GRANT, place, what, f"adopt: {{delegated: {id_}}}")

    def _groups(self, name: str, app: config.App, held: App) -> Iterator[Existing]:
        wanted = {each.group: index for index, each in enumerate(app.memberships) if not each.adopt}
        for entry in self.directory.groups(held) if wanted else ():
            index = wanted.get(entry["id"].lower())
            mine = f"{entry['id']}/member/{held.service_principal_id}".lower() in self.held
            if index is not None and not mine:
                what, place = (
                    f"the membership in {entry.get('displayName') or entry['id']}",
                    f"apps.{name}.groups[{index}]",
                )
                yield Existing(name, types.GROUP_MEMBER, place, what, f"{{group: {entry['id']}, adopt: true}}")

    def _directory_roles(self, name: str, app: config.App, held: App) -> Iterator[Existing]:
        wanted = {
            (each.role.id, each.administrative_unit or ""): index
            for index, each in enumerate(app.directory_roles)
            if not each.adopt
        }
        for entry in self.directory.directory_roles(held) if wanted else ():
            unit = str(entry["directoryScopeId"]).removeprefix("/administrativeUnits/").strip("/").lower()
            index = wanted.get((entry["roleDefinitionId"].lower(), unit))
            if index is not None and entry["id"].lower() not in self.held:
                what = f"the directory role {app.directory_roles[index].role.name}"
                place = f"apps.{name}.directory_roles[{index}]"
                yield Existing(name, types.DIRECTORY_ROLE_ASSIGNMENT, place, what, f"adopt: {entry['id']}")

    def _roles(self, name: str, app: config.App, held: App) -> Iterator[Existing]:
        known = {(grant.scope.lower(), grant.role_definition_id.lower()) for grant in held.grants}
        mine = f"principalId eq '{held.service_principal_id}'"
        for index, grant in enumerate(app.roles):
            scope = grant.scope.id
            if grant.adopt or (scope.lower(), grant.role.guid) in known:
                continue
            path = f"{scope.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments"
            for entry in self.deployer.listed(self.deployer.arm(path, **{"$filter": mine}), "arm"):
                of = entry["properties"]
                role = str(of["roleDefinitionId"]).rpartition("/")[2].lower()
                here = str(of["scope"]).lower().rstrip("/") == scope.lower().rstrip("/")
                if here and role == grant.role.guid and entry["name"].lower() not in self.held:
                    what, place = f"the role {grant.role.name} on {scope}", f"apps.{name}.roles[{index}]"
                    yield Existing(name, types.ROLE_ASSIGNMENT, place, what, f"adopt: {entry['name']}")

    def definitions(self) -> Iterator[Existing]:
        """Custom roles of the same names."""
        for key, definition in self.environment.role_definitions.items():
            if definition.adopt or definition.guid(key) in self.held:
                continue
            scope = definition.assignable_scopes[0].id
            path = f"{scope.rstrip('/')}/providers/Microsoft.Authorization/roleDefinitions"
            shown = (definition.name or key).lower()
            for entry in self.deployer.listed(self.deployer.arm(path, **{"$filter": "type eq 'CustomRole'"}), "arm"):
                if entry["properties"]["roleName"].lower() == shown:
                    what, place = f"the custom role {entry['properties']['roleName']}", f"role_definitions.{key}"
                    yield Existing("", types.ROLE_DEFINITION, place, what, f"adopt: {entry['name']}")
