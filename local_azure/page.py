"""The page in the browser at the root (`page.html`), and what it shows.

The page itself holds nothing about this local Azure. With the key of a visit (see ``visits.py``) it asks ``/_local/news`` about
every second, and ``/_local/overview`` when something has changed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from entrant.facts import risks
from entrant.facts.directory_roles import find_directory_role
from entrant.facts.errors import codes, find
from entrant.facts.marks import stack_in
from entrant.facts.roles import BuiltInRole
from entrant.facts.scopes import parse_scope
from local_azure import LocalAzure, first_party
from local_azure.resources import permissions_of
from local_azure.visits import refuse_strangers
from local_azure.wire import Call, Reply
from local_azure.world import World

Doc = dict[str, Any]

MOST_APPS = 1000
MOST_GRANTS = 5000
MOST_NEWS = 300
ON_PURPOSE = {
    "cause": "a fault rule of this local Azure did this on purpose",
    "retry": "later",
    "remedy": "switch it off under Faults, or with `python3 -m entrant local faults --clear`",
}


def is_page(call: Call) -> bool:
    """Whether a browser asks for the page; any other client gets what it always got at the root."""
    return call.method == "GET" and call.path == "/" and "text/html" in call.headers.get("accept", "")


def handle(call: Call) -> Reply | None:
    """Answer a browser at the root; `None` for any other request."""
    if not is_page(call):
        return None
    refuse_strangers(call)
    content, policy = _page()
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    return Reply(200, content, headers)


@cache
def _page() -> tuple[bytes, str]:
    """The page, and the policy that lets a browser run its own script and style and nothing else."""
    content = Path(__file__).with_name("page.html").read_bytes()
    hashes = {
        name: base64.b64encode(hashlib.sha256(found[1]).digest()).decode()
        for name in ("script", "style")
        if (found := re.search(rf"<{name}>(.*?)</{name}>".encode(), content, re.DOTALL))
    }
    policy = [
        "default-src 'none'",
        f"script-src 'sha256-{hashes['script']}'",
        f"style-src 'sha256-{hashes['style']}'",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
    return content, "; ".join(policy)


def news(world: World, after: int, settings: Doc) -> Doc:
    """What is new since request number `after`: the requests, newest `MOST_NEWS` at most, with the refusals explained.

    `revision` differs when the overview may.
    """
    requests = [explained(one) for one in world.requests if one["number"] > after][-MOST_NEWS:]
    return {
        "requests": requests,
        "revision": world.store.db.total_changes,
        "settings": settings,
        "faults": world.faults.describe(),
    }


def explained(entry: Doc) -> Doc:
    """A request of the log, with cause and remedy when it was refused and that is known."""
    if entry.get("fault") in ("status", "reset", "replication"):
        return {**entry, "explanation": ON_PURPOSE}
    for code in codes(f"{entry.get('code')} {entry.get('message')}"):
        if known := find(code):
            found = known[1]
            remedy = found.remedy.replace("{stack}", "STACK").replace("{app}", "APP")
            return {**entry, "explanation": {"cause": found.cause, "retry": found.retry, "remedy": remedy}}
    return entry


def overview(world: World) -> Doc:
    """The tenant, its newest `MOST_APPS` apps, and of the newest `MOST_GRANTS` grants those of all but the other apps.

    Never a secret. Times are seconds since 1970 of the local Azure's clock; `effective` is when something new begins to work.
    `danger` says why a grant or permission is dangerous, in the words of the review; `None` when it is not.
    """
    deployer = json.loads(world.store.setting("deployer") or "{}")
    state = world.store.path.parent
    azure = LocalAzure(
        url=world.url,
        port=int(world.url.rpartition(":")[2]),
        pid=0,
        ca_file=state / "ca.pem",
        tenant_id=world.tenant_id,
        subscription_id=deployer.get("subscription_id", ""),
        client_id=deployer.get("client_id", ""),
        object_id=deployer.get("object_id", ""),
        state=state,
        client_secret="",
    )
    variables = azure.environment(bundle=state / "bundle.pem")
    apps = world.directory.newest("application", MOST_APPS)
    shown = {doc["appId"] for doc in apps}
    return {
        "tenant": {
            "id": world.tenant_id,
            "domain": world.domain,
            "url": world.url,
            "state": str(state),
            "subscriptions": [
                {"id": one["subscriptionId"], "name": one["displayName"]} for one in world.resources.subscriptions()
            ],
            "variables": {name: value for name, value in variables.items() if not name.endswith("SECRET")},
        },
        "apps": [_app(world, doc) for doc in apps],
        "apps_in_all": world.directory.count("application"),
        "grants": [*_grants(world, shown), *_directory_roles(world, shown)],
        "grants_in_all": world.resources.count_assignments() + world.directory.count("roleAssignment"),
    }


def _app(world: World, doc: Doc) -> Doc:
    directory = world.directory
    principal = next(iter(directory.find("servicePrincipal", "appId", doc["appId"])), None)
    owners = [doc, *([principal] if principal else [])]
    return {
        "client_id": doc["appId"],
        "name": doc["displayName"],
        "principal": principal and principal["id"],
        "tags": doc.get("tags") or [],
        "stack": stack_in(doc.get("tags") or []),
        "enabled": principal is not None and principal.get("accountEnabled") is not False,
        "credentials": [one for owner in owners for one in _credentials(world, owner)],
        "permissions": _permissions(world, doc, principal),
        "groups": sorted(
            str((directory.get(group) or {}).get("displayName"))
            for group in (directory.groups_of(principal["id"]) if principal else ())
        ),
    }


def _credentials(world: World, owner: Doc) -> Iterable[Doc]:
    """The credentials of an application or service principal, without the hint of a secret."""
    delay = world.propagation("secrets")
    made = world.credentials.secret_times(owner["id"])
    made |= {key: created for key, _, _, _, created in world.credentials.certificates([owner["id"]])}
    for kind, name in (("secret", "passwordCredentials"), ("certificate", "keyCredentials")):
        for one in owner.get(name) or []:
            yield {
                "kind": kind,
                "name": one.get("displayName") or "",
                "id": one["keyId"],
                "starts": one["startDateTime"],
                "ends": one["endDateTime"],
                "effective": made.get(one["keyId"].lower(), 0.0) + delay,
            }
    for created, one in world.credentials.federated(owner["id"]):
        yield {
            "kind": "federated",
            "name": one["name"],
            "id": one["id"],
            "issuer": one.get("issuer"),
            "subject": one.get("subject"),
            "effective": created + delay,
        }


def _permissions(world: World, application: Doc, principal: Doc | None) -> list[Doc]:
    """The API permissions that are declared, consented to, or both."""
    consents = _consents(world, principal["id"]) if principal else {}
    declared: dict[tuple[str, str, str], None] = {}
    for api in application.get("requiredResourceAccess") or []:
        for one in api.get("resourceAccess") or []:
            kind = "application" if one.get("type") == "Role" else "delegated"
            names = _names(world, api["resourceAppId"].lower(), kind)
            declared[(api["resourceAppId"].lower(), kind, names.get(one["id"].lower(), one["id"]))] = None
    return [
        {
            "api": _api_name(world, api),
            "kind": kind,
            "name": name,
            "declared": (api, kind, name) in declared,
            "consented": (api, kind, name) in consents,
            "danger": risks.of_permission(name, api),
        }
        for api, kind, name in declared | consents
    ]


def _consents(world: World, principal: str) -> dict[tuple[str, str, str], None]:
    """What a service principal may do at APIs, as (API's client id, kind, permission)."""
    directory, found = world.directory, dict[tuple[str, str, str], None]()
    for _, resource, _, role, _ in directory.app_roles(principal=principal):
        api = str((directory.get(resource) or {}).get("appId", resource)).lower()
        found[(api, "application", _names(world, api, "application").get(role, role))] = None
    for resource, scopes in directory.delegated(principal):
        api = str((directory.get(resource) or {}).get("appId", resource)).lower()
        found |= {(api, "delegated", name): None for name in scopes}
    return found


def _names(world: World, api: str, kind: str) -> dict[str, str]:
    """The permissions that an API offers, by id."""
    if offered := _offered(api, kind):
        return offered
    doc = next(iter(world.directory.find("servicePrincipal", "appId", api)), {})
    own = doc.get("appRoles" if kind == "application" else "oauth2PermissionScopes") or []
    return {one["id"].lower(): one.get("value") or one["id"] for one in own}


@cache
def _offered(api: str, kind: str) -> dict[str, str]:
    """The permissions that an API of Microsoft offers, by id; none for any other API."""
    offered = first_party.app_roles(api) if kind == "application" else first_party.permission_scopes(api)
    return {one["id"]: one["value"] for one in offered}


def _api_name(world: World, api: str) -> str:
    if found := first_party.by_app_id().get(api):
        return found.name
    doc = next(iter(world.directory.find("servicePrincipal", "appId", api)), {})
    return str(doc.get("displayName", api))


def _grants(world: World, apps: set[str]) -> Iterable[Doc]:
    """The role assignments, oldest first, of these apps and of whatever is no app."""
    delay = world.propagation("roles")
    principals: dict[str, Doc | None] = {}
    for one in world.resources.newest_assignments(MOST_GRANTS):
        if one.principal not in principals:
            principals[one.principal] = _principal(world, one.principal, apps)
        if principals[one.principal] is None:
            continue
        scope, role = parse_scope(one.scope), world.resources.role(one.role)
        custom = {} if role is None or isinstance(role, BuiltInRole) else role["properties"]
        name = role.name if isinstance(role, BuiltInRole) else custom.get("roleName", one.role)
        conditional = bool(one.doc.get("condition"))
        dangers = [
            risks.of_role(name, one.role, permissions_of(custom.get("permissions", [])), conditioned=conditional),
            risks.of_scope(name, scope),
        ]
        yield {
            "id": one.name,
            "principal": principals[one.principal],
            "role": name,
            "scope": {"id": scope.id, "name": scope.name, "kind": scope.kind, "type": scope.resource_type},
            "effective": one.created + delay,
            "conditional": conditional,
            "danger": "; ".join(filter(None, dangers)) or None,
        }


def _directory_roles(world: World, apps: set[str]) -> Iterable[Doc]:
    """The assignments of directory roles, oldest first, of these apps and of whatever is no app."""
    for _, one in world.directory.scan("roleAssignment"):
        principal = _principal(world, one["principalId"], apps)
        if principal is None:
            continue
        role = find_directory_role(one["roleDefinitionId"])
        own = world.directory.get(one["roleDefinitionId"], "roleDefinition") or {}
        whole = one["directoryScopeId"] == "/"
        unit = {} if whole else world.directory.get(one["directoryScopeId"].rpartition("/")[2]) or {}
        yield {
            "id": one["id"],
            "principal": principal,
            "role": role.name if role else own.get("displayName", one["roleDefinitionId"]),
            "scope": {
                "id": "directory" + one["directoryScopeId"],
                "name": "Whole directory" if whole else unit.get("displayName", one["directoryScopeId"]),
                "kind": "directory",
                "type": "Microsoft Entra",
            },
            "effective": 0.0,
            "conditional": False,
            "danger": risks.of_directory_role(role) if role else None,
        }


def _principal(world: World, object_id: str, apps: set[str]) -> Doc | None:
    """Who has a grant; `None` for an app that is none of these."""
    directory = world.directory
    doc, kind = directory.get(object_id) or {}, directory.kind_of(object_id)
    if kind == "servicePrincipal" and doc["appId"] not in apps and directory.find("application", "appId", doc["appId"]):
        return None
    return {"id": object_id.lower(), "kind": kind, "name": doc.get("displayName")}
