"""What an environment refers to or takes over, made on the local Azure."""

import dataclasses
import shutil
from typing import Any

import yaml

import local_azure
from entrant import config
from entrant.config.values import FileName, path_of
from entrant.facts.scopes import role_definition_id
from entrant.progress import Step
from entrant.rehearsal import stack
from entrant.rehearsal.place import Rehearsal, environ

BEFORE = "before"


_OF_REGISTRATIONS = frozenset(
    {
        "display_name",
        "description",
        "notes",
        "sign_in_audience",
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
        "service_management_reference",
        "owners",
        "service_principal",
        "permissions",
    }
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

    Pulumi makes it, from an environment that holds nothing else and has no `adopt`, on a stack that is forgotten afterwards: so
    an import finds each property as the file has it. A role assignment is made with the name that the file has for it.
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
    if not missing:
        return "all there"
    before = dataclasses.replace(
        rehearsal, part=BEFORE, file=f".entrant/rehearsal/{rehearsal.stack}/{BEFORE}/environment.yaml"
    )
    before.folder.mkdir(mode=0o700)
    tree = config.check(rehearsal.file or rehearsal.stack, root=rehearsal.root).tree
    assert tree is not None, "the environment was loaded from it"
    described = _described(tree.plain(), set(missing))
    (before.folder / "environment.yaml").write_text(yaml.safe_dump(described, allow_unicode=True), "utf-8")
    env = environ(before.settings(azure))
    stack.prepare(before, env)
    stack.change("up", before, env, step)
    assignments = sum(_finish(azure, name, app) for name, app in missing.items())
    shutil.rmtree(before.folder)
    made = [f"{len(missing)} registration{'s' if len(missing) > 1 else ''}"]
    return ", ".join([*made, *([f"{assignments} role assignments"] if assignments else [])]) + " made as the file says"


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
            {key: value for key, value in permission.items() if key != "consent"}
            for permission in app.get("permissions", [])
            if known(permission.get("api"))
        ]
        app["owners"] = [owner for owner in app.get("owners", []) if known(owner)]
        if isinstance(api := app.get("api"), dict):  # who may call it is declared apart
            app["api"] = {key: value for key, value in api.items() if key not in ("known_clients", "pre_authorized")}
        if isinstance(principal := app.get("service_principal"), dict) and "owners" in principal:
            principal["owners"] = [owner for owner in principal["owners"] if known(owner)]
        apps[name] = {key: value for key, value in app.items() if value != []}
    return {key: data[key] for key in ("cloud", "tenant") if key in data} | {"apps": apps}


def _finish(azure: local_azure.LocalAzure, name: str, app: config.App) -> int:
    """Let an app that was made be as if it had been made manually; how many role assignments it has that are taken over."""
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
        return 0
    grants = [grant for grant in app.roles if grant.adopt]
    for grant in grants:
        where = f"{grant.scope.id.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments/{grant.adopt}"
        properties = {
            "roleDefinitionId": role_definition_id(grant.scope, grant.role.guid),
            "principalId": app.adopt.service_principal,
            "principalType": "ServicePrincipal",
            "description": grant.description,
            "condition": grant.condition,
            "conditionVersion": grant.condition_version,
        }
        given = {key: value for key, value in properties.items() if value is not None}
        azure.call("PUT", f"{where}?api-version=2022-04-01", {"properties": given})
    return len(grants)
