"""What an environment refers to or takes over, made on the local Azure."""

import base64
import dataclasses
import shutil
from collections import Counter
from typing import Any

import yaml

import local_azure
from entrant import config
from entrant.config.access import Permission, offered_permissions
from entrant.config.federated import Federated
from entrant.config.files import FileName, path_of
from entrant.config.known import Reference, first_name
from entrant.config.model import plain
from entrant.config.values import moment_text
from entrant.facts.scopes import is_guid, role_definition_id
from entrant.progress import Step
from entrant.rehearsal import stack
from entrant.rehearsal.place import Rehearsal, environ

BEFORE = "before"


_OF_REGISTRATIONS = frozenset(
    [
        *(each.path[0] for each in plain(config.App)),
        *("app_roles", "tags", "feature_tags", "owners", "service_principal", "permissions"),
    ]
)
"""Keys of an app that describe its registration and service principal, which `adopt` is about."""


_MARK = "entrant"
"""What the tags of whatever is declared here begin with (`components.registration`), which what was made manually lacks."""


def referred(environment: config.Environment) -> dict[str, list[str]]:
    """What an environment names and does not declare, kind by kind; owners by id are taken for users."""
    owners = [owner for app in environment.apps.values() for owner in app.owners]
    owners += [
        owner for app in environment.apps.values() if app.service_principal for owner in app.service_principal.owners
    ]
    return {
        "scopes": [scope.id for scope in environment.all_scopes()],
        "users": sorted({owner.value for owner in owners if owner.kind in ("user", "object")}),
        "groups": sorted({each.group for app in environment.apps.values() for each in app.memberships}),
        "administrative_units": sorted(
            {
                role.administrative_unit
                for app in environment.apps.values()
                for role in app.directory_roles
                if role.administrative_unit
            }
        ),
    }


def make(rehearsal: Rehearsal, environment: config.Environment, azure: local_azure.LocalAzure, step: Step) -> str:
    """Make what the file takes over and the local Azure lacks, as the file describes it; what that was.

    Pulumi makes registrations and service principals, from an environment that holds nothing else and has no `adopt`, on a stack
    that is forgotten afterwards: so an import finds each property as the file has it. The rest is made with the id that the file
    has for it.
    """
    adopted = {name: app for name, app in environment.apps.items() if app.adopt}
    reserved = [
        {
            "display_name": app.display_name or name,
            **app.adopt.model_dump(mode="json", include={"application", "service_principal"}),
        }
        for name, app in adopted.items()
        if app.adopt
    ]
    new = set(azure.admin("POST", "ensure", {"reserved": reserved})["created"])
    missing = {name: app for name, app in adopted.items() if app.adopt and app.adopt.application in new}
    if missing:
        _registrations(rehearsal, azure, set(missing), step)
    for app in missing.values():
        _as_if_made_manually(azure, app)
    parts = Parts(azure, environment)
    parts.role_definitions()
    for name, app in adopted.items():
        parts.of(name, app)
    made = {"registrations": len(missing), **parts.made}
    words = [f"{count} {what if count > 1 else what.removesuffix('s')}" for what, count in made.items() if count]
    return f"{', '.join(words)} made as the file says" if words else "all there"


def _registrations(rehearsal: Rehearsal, azure: local_azure.LocalAzure, names: set[str], step: Step) -> None:
    """Have Pulumi make the registrations and service principals of some apps."""
    before = dataclasses.replace(
        rehearsal, part=BEFORE, file=f".entrant/rehearsal/{rehearsal.stack}/{BEFORE}/environment.yaml"
    )
    before.folder.mkdir(mode=0o700)
    tree = config.check(rehearsal.file or rehearsal.stack, root=rehearsal.root).tree
    assert tree is not None, "the environment was loaded from it"
    described = _described(tree.plain(), names)
    (before.folder / "environment.yaml").write_text(yaml.safe_dump(described, allow_unicode=True), "utf-8")
    env = environ(before.settings(azure))
    stack.prepare(before, env)
    stack.change("up", before, env, step)
    shutil.rmtree(before.folder)


def _described(data: Any, names: set[str]) -> dict[str, Any]:
    """The environment in which the apps of these names are alone and have their registrations and service principals alone."""

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept(one) for key, one in value.items()}
        if isinstance(value, list):
            return [kept(one) for one in value]
        return str(path_of(value)) if isinstance(value, FileName) else value

    def known(owner: Any) -> bool:
        return owner not in data["apps"] or owner in names

    apps = {}
    for name in names:
        app = {key: kept(value) for key, value in data["apps"][name].items() if key in _OF_REGISTRATIONS}
        app["permissions"] = [
            {key: value for key, value in permission.items() if key in ("api", "application", "delegated")}
            for permission in app.get("permissions", [])
            if known(permission.get("api")) and (permission.get("application") or permission.get("delegated"))
        ]
        app["owners"] = [owner for owner in app.get("owners", []) if known(owner)]
        if isinstance(api := app.get("api"), dict):  # who may call it is declared apart
            app["api"] = {key: value for key, value in api.items() if key not in ("known_clients", "pre_authorized")}
        if isinstance(principal := app.get("service_principal"), dict) and "owners" in principal:
            principal["owners"] = [owner for owner in principal["owners"] if known(owner)]
        apps[name] = {key: value for key, value in app.items() if value != []}
    return {key: data[key] for key in ("cloud", "tenant") if key in data} | {"apps": apps}


def _as_if_made_manually(azure: local_azure.LocalAzure, app: config.App) -> None:
    """Let an app that was made be as if it had been made manually: without the tags of a stack."""
    assert app.adopt is not None
    path = f"/v1.0/applications/{app.adopt.application}"
    registration = azure.call("GET", path)
    principals = azure.call("GET", f"/v1.0/servicePrincipals?$filter=appId%20eq%20'{registration['appId']}'")["value"]
    for where, tags in (
        (path, registration["tags"]),
        *((f"/v1.0/servicePrincipals/{one['id']}", one["tags"]) for one in principals),
    ):
        own = [tag for tag in tags if tag in (app.tags or ()) or tag.partition(":")[0] != _MARK]
        if own != tags:
            azure.call("PATCH", where, {"tags": own})
    if app.adopt.service_principal is None:
        for principal in principals:
            azure.call("DELETE", f"/v1.0/servicePrincipals/{principal['id']}")


class Parts:
    """What belongs to apps and is taken over, made where it is not there yet."""

    def __init__(self, azure: local_azure.LocalAzure, environment: config.Environment) -> None:
        self.azure, self.environment = azure, environment
        self.made: Counter[str] = Counter()

    def role_definitions(self) -> None:
        """The custom roles."""
        for key, definition in self.environment.role_definitions.items():
            scope = definition.assignable_scopes[0].id.rstrip("/")
            path = (
                f"{scope}/providers/Microsoft.Authorization/roleDefinitions/{definition.adopt}?api-version=2022-04-01"
            )
            if definition.adopt is None or self._there(path):
                continue
            properties = {
                "roleName": definition.name or key,
                "type": "CustomRole",
                "description": definition.description,
                "assignableScopes": [each.id for each in definition.assignable_scopes],
                "permissions": [
                    {
                        "actions": list(definition.actions),
                        "notActions": list(definition.not_actions),
                        "dataActions": list(definition.data_actions),
                        "notDataActions": list(definition.not_data_actions),
                    }
                ],
            }
            self.azure.call("PUT", path, {"properties": _without_none(properties)})
            self.made["custom roles"] += 1

    def of(self, name: str, app: config.App) -> None:
        """All that one app has."""
        assert app.adopt is not None
        application = f"/v1.0/applications/{app.adopt.application}"
        self._clients(name, app, application)
        for credential in app.federated:
            if credential.adopt:
                self._federated(app.adopt.application, credential)
        self._certificates(app, application)
        principal = app.adopt.service_principal
        if principal is None:
            return
        for grant in app.roles:
            if grant.adopt:
                self._role(principal, grant)
        for permission in app.permissions:
            if permission.adopt:
                self._consents(principal, permission)
        for membership in app.memberships:
            if membership.adopt and not self._there(
                f"/v1.0/groups/{membership.group}/members?$filter=id%20eq%20'{principal}'"
            ):
                link = {"@odata.id": f"{self.azure.url}/v1.0/directoryObjects/{principal}"}
                self.azure.call("POST", f"/v1.0/groups/{membership.group}/members/$ref", link)
                self.made["memberships"] += 1
        for role in app.directory_roles:
            if role.adopt and not self._there(f"/v1.0/roleManagement/directory/roleAssignments/{role.adopt}"):
                self._reserve("roleAssignment", f"{principal}/{role.role.id}", role.adopt)
                unit = f"/administrativeUnits/{role.administrative_unit}" if role.administrative_unit else "/"
                body = {"principalId": principal, "roleDefinitionId": role.role.id, "directoryScopeId": unit}
                self.azure.call("POST", "/v1.0/roleManagement/directory/roleAssignments", body)
                self.made["directory role assignments"] += 1

    def _there(self, path: str) -> bool:
        try:
            found = self.azure.call("GET", path)
        except local_azure.LocalAzureError:
            return False
        return found.get("value") != []

    def _reserve(self, kind: str, of: str, id_: str) -> None:
        self.azure.admin("POST", "ensure", {"ids": [{"kind": kind, "of": of, "id": id_}]})

    def _federated(self, application: str, credential: Federated) -> None:
        path = f"/applications/{application}/federatedIdentityCredentials"
        if self._there(f"/v1.0{path}/{credential.adopt}"):
            return
        trust = credential.trust(self.environment.cloud)
        shown = first_name(credential.key, credential.renamed_from)
        expression = {"value": trust.claims, "languageVersion": 1} if trust.claims else None
        body = {
            "name": shown,
            "description": credential.description,
            "issuer": trust.issuer,
            "subject": trust.subject,
            "audiences": [trust.audience],
            "claimsMatchingExpression": expression,
        }
        assert credential.adopt is not None
        self._reserve("federatedIdentityCredential", f"{application}/{shown}", credential.adopt)
        self.azure.call("POST", f"/{'beta' if expression else 'v1.0'}{path}", _without_none(body))
        self.made["federated credentials"] += 1

    def _certificates(self, app: config.App, path: str) -> None:
        there = self.azure.call("GET", path)["keyCredentials"]
        held = {entry["keyId"] for entry in there}
        new = [each for each in app.certificates.values() if each.adopt and each.adopt not in held]
        if new:
            made = [
                {
                    "keyId": each.adopt,
                    "type": "AsymmetricX509Cert",
                    "usage": "Verify",
                    "endDateTime": moment_text(each.expires),
                    "key": base64.b64encode(each.public.pem.encode()).decode(),
                }
                for each in new
            ]
            self.azure.call("PATCH", path, {"keyCredentials": [*there, *made]})
            self.made["certificates"] += len(new)

    def _clients(self, name: str, app: config.App, path: str) -> None:
        if app.api is None or app.adopt is None:
            return
        held = self.azure.call("GET", path)["api"]
        known = [self._client_id(client) for client in app.api.known_clients] if app.adopt.known_clients else []
        there = {entry["appId"]: entry for entry in held.get("preAuthorizedApplications") or ()}
        new = {
            client: {"appId": client, "delegatedPermissionIds": [app.scope_id(name, scope) for scope in entry.scopes]}
            for entry in app.api.pre_authorized
            if entry.adopt and (client := self._client_id(entry.client)) not in there
        }
        body: dict[str, Any] = {"preAuthorizedApplications": [*there.values(), *new.values()]} if new else {}
        if known and not held.get("knownClientApplications"):
            body["knownClientApplications"] = known
        if body:
            self.azure.call("PATCH", path, {"api": body})
            self.made["clients"] += len(new) + len(body.get("knownClientApplications", ()))

    def _client_id(self, reference: Reference) -> str:
        """The client id of an app that exists; raises `LocalAzureError` for one that does not."""
        if reference.client_id:
            return reference.client_id
        other = self.environment.apps[reference.app or ""].adopt
        return str(
            self.azure.call("GET", f"/v1.0/applications/{other.application if other else reference.app}")["appId"]
        )

    def _role(self, principal: str, grant: config.RoleGrant) -> None:
        where = f"{grant.scope.id.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments/{grant.adopt}"
        if self._there(f"{where}?api-version=2022-04-01"):
            return
        properties = {
            "roleDefinitionId": role_definition_id(grant.scope, grant.role.guid),
            "principalId": principal,
            "principalType": "ServicePrincipal",
            "description": grant.description,
            "condition": grant.condition,
            "conditionVersion": grant.condition_version,
        }
        self.azure.call("PUT", f"{where}?api-version=2022-04-01", {"properties": _without_none(properties)})
        self.made["role assignments"] += 1

    def _consents(self, principal: str, permission: Permission) -> None:
        assert permission.adopt is not None
        client_id = self._client_id(Reference(permission.api.app, permission.api.client_id))
        [api] = self.azure.call("GET", f"/v1.0/servicePrincipals?$filter=appId%20eq%20'{client_id}'")["value"]
        offered = offered_permissions(client_id)
        roles = offered["application"] if offered else {role["value"]: role["id"] for role in api["appRoles"]}
        there = self.azure.call("GET", f"/v1.0/servicePrincipals/{principal}/appRoleAssignments")["value"]
        held = {entry["appRoleId"] for entry in there if entry["resourceId"] == api["id"]}
        for value, id_ in permission.adopt.application.items():
            role = value if is_guid(value) else roles[value]
            if role not in held:
                self._reserve("appRoleAssignment", f"{principal}/{api['id']}/{role}", id_)
                body = {"principalId": principal, "resourceId": api["id"], "appRoleId": role}
                self.azure.call("POST", f"/v1.0/servicePrincipals/{principal}/appRoleAssignments", body)
                self.made["consents"] += 1
        grant = permission.adopt.delegated
        if grant and not self._there(f"/v1.0/oauth2PermissionGrants/{grant}"):
            self._reserve("oauth2PermissionGrant", f"{principal}/{api['id']}", grant)
            scope = " ".join(permission.consented()["delegated"])
            body = {"clientId": principal, "consentType": "AllPrincipals", "resourceId": api["id"], "scope": scope}
            self.azure.call("POST", "/v1.0/oauth2PermissionGrants", body)
            self.made["consents"] += 1


def _without_none(properties: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in properties.items() if value is not None}
