"""Azure Resource Manager: subscriptions, resource groups, generic resources of any type and api-version.

Errors are ARM's ("Troubleshoot common Azure deployment errors"). What a resource provider would compute is modelled for the types
in `COMPUTED`; every other type keeps what it is given and reports success.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

from entrant.facts.scopes import ROOT, Scope, ScopeError, parse_scope
from local_azure import (
    authorization,
    collection,
    components,
    keyvault,
    management_groups,
    metrics,
    operations,
    tags,
    workspaces,
)
from local_azure.access import Caller, authenticate, demand, permitted
from local_azure.resources import key_of
from local_azure.seed import REGIONS
from local_azure.tree import body_of, no_method, no_resource, require, tags_of
from local_azure.wire import Call, Reply, refuse
from local_azure.world import World

Doc = dict[str, Any]

API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-[A-Za-z0-9.]+)?\Z")
GROUP_NAME = re.compile(r"[\w().-]{0,89}[\w()-]\Z")
PAGE = 1000
NEEDS_LOCATION = frozenset(
    {
        "microsoft.compute/virtualmachines",
        "microsoft.insights/components",
        "microsoft.insights/datacollectionendpoints",
        "microsoft.insights/datacollectionrules",
        "microsoft.keyvault/vaults",
        "microsoft.operationalinsights/workspaces",
        "microsoft.storage/storageaccounts",
    }
)
PROVIDERS: dict[str, dict[str, str]] = {
    "Microsoft.Authorization": {"roleAssignments": "2022-04-01", "roleDefinitions": "2022-04-01"},
    "Microsoft.Compute": {
        "disks": "2024-03-02",
        "virtualMachines": "2024-07-01",
        "virtualMachineScaleSets": "2024-07-01",
    },
    "Microsoft.Insights": {
        "actionGroups": "2023-01-01",
        "components": "2020-02-02",
        "dataCollectionEndpoints": "2023-03-11",
        "dataCollectionRules": "2023-03-11",
        "metricAlerts": "2018-03-01",
    },
    "Microsoft.KeyVault": {"vaults": "2023-07-01"},
    "Microsoft.Management": {"managementGroups": "2021-04-01"},
    "Microsoft.ManagedIdentity": {"userAssignedIdentities": "2023-01-31"},
    "Microsoft.Network": {"networkSecurityGroups": "2024-05-01", "virtualNetworks": "2024-05-01"},
    "Microsoft.OperationalInsights": {"workspaces": "2023-09-01"},
    "Microsoft.Resources": {"deployments": "2024-03-01", "resourceGroups": "2024-03-01", "subscriptions": "2022-12-01"},
    "Microsoft.Storage": {"storageAccounts": "2023-05-01"},
}
"""Resource providers and their main types, each with the api-version that clients are told; other types work as well."""


def handle(world: World, call: Call) -> Reply | None:
    """Answer a request to Resource Manager; `None` when the path is none of its own."""
    segments = call.segments
    first = segments[0].lower() if segments else ""
    if first not in ("subscriptions", "providers", "tenants"):
        return None
    caller = authenticate(world, call, "arm")
    _api_version(call)
    if call.method == "GET" or call.method == "HEAD":
        return _route(world, call, caller, segments)
    with world.store.write():
        reply = _route(world, call, caller, segments)
        # After the refusals that come first (no access, no such group): an operation under way is told to those who may write.
        operations.refuse_while_under_way(world, call)
        return reply


def _api_version(call: Call) -> None:
    version = call.query.get("api-version")
    if not version:
        text = "The api-version query parameter (?api-version=) is required for all requests."
        refuse(400, "MissingApiVersionParameter", text)
    if not API_VERSION.match(version):
        text = f"The api-version '{version[:40]}' is invalid. The supported versions are dates such as '2024-03-01'."
        refuse(400, "InvalidApiVersionParameter", text)


def _route(world: World, call: Call, caller: Caller, segments: list[str]) -> Reply:
    low = [segment.lower() for segment in segments]
    found = _extension(world, call, caller, segments, low)
    if found is not None:
        return found
    match low:
        case ["tenants"]:
            return _get(call, lambda: _value([_tenant(world)]))
        case ["providers"] | ["providers", _]:
            return _get(call, lambda: _providers(low, None))
        case ["subscriptions"]:
            return _get(
                call,
                lambda: _value([doc for doc in world.resources.subscriptions() if _sees(world, caller, doc["id"])]),
            )
    if low[0] == "providers":
        return management_groups.handle(world, call, caller, segments)
    scope = _scope(call.path)
    subscription = world.resources.get(f"/subscriptions/{segments[1]}")
    if subscription is None:
        refuse(404, "SubscriptionNotFound", f"The subscription '{segments[1]}' could not be found.")
    match low[2:]:
        case []:

            def read() -> Reply:
                if not _sees(world, caller, subscription["id"]):
                    demand(world, caller, "Microsoft.Resources/subscriptions/read", scope or ROOT)
                return Reply(200, subscription)

            return _get(call, read)
        case ["locations"]:
            return _get(call, lambda: _value([_location(segments[1], name) for name in REGIONS]))
        case ["providers"] | ["providers", _]:
            return _get(call, lambda: _providers(low[2:], segments[1]))
        case ["providers", _, "register"] if call.method == "POST":
            demand(world, caller, f"{segments[3]}/register/action", parse_scope(subscription["id"]))
            return _providers(low[2:4], segments[1])
        case ["tagnames"]:
            return _get(call, lambda: _value(tags.names(world, subscription["id"])))
        case ["operationresults", name]:
            return operations.show(world, call, name, outcome=True)
        case ["providers", _, "operationstatuses", name]:
            return operations.show(world, call, name, outcome=False)
        case ["providers", "microsoft.keyvault", *_]:
            found = keyvault.at_subscription(world, call, caller, segments[1], segments[4:])
            if found is not None:
                return found
        case ["resources"]:
            return _get(call, lambda: _list(world, call, caller, subscription["id"], None))
        case ["resourcegroups"]:
            return _get(
                call,
                lambda: _list(
                    world, call, caller, subscription["id"], "Microsoft.Resources/subscriptions/resourceGroups"
                ),
            )
        case ["resourcegroups", _]:
            return _group(world, call, caller, segments)
        case ["resourcegroups", _, "resources"]:
            group = _existing_group(world, segments)
            return _get(call, lambda: _list(world, call, caller, group["id"], None))
    return _resource(world, call, caller, segments, low, scope)


def _extension(world: World, call: Call, caller: Caller, segments: list[str], low: list[str]) -> Reply | None:
    """Requests to what hangs below any scope; `None` for any other."""
    for at in range(len(low) - 1, 0, -1):
        if low[at - 1] != "providers":
            continue
        match low[at:]:
            case ["microsoft.authorization", kind, *_] if kind != "register":
                return authorization.handle(world, call, caller, _extended(segments, at), segments[at + 1 :])
            case ["microsoft.resources", "tags", name]:
                return tags.handle(world, call, caller, _extended(segments, at), name)
            case ["microsoft.insights", ("metrics" | "metricdefinitions" | "metricnamespaces") as what]:
                if call.method != "GET":
                    no_method(call)
                return metrics.read(world, call, caller, _extended(segments, at), what)
            case ["microsoft.resources", "deployments", *rest]:
                return _deployments(call, rest)
    return None


def _extended(segments: list[str], at: int) -> Scope:
    """The scope that a path extends with the provider at `at`."""
    scope = _scope("/" + "/".join(segments[: at - 1]))
    if scope is None:
        text = "The request did not have a subscription or a valid tenant level resource provider."
        refuse(400, "MissingSubscription", text)
    return scope


def _deployments(call: Call, rest: list[str]) -> Reply:
    """Templates are not evaluated here, so there is never a deployment."""
    if not rest:
        return _get(call, lambda: _value([]))
    if call.method in ("GET", "HEAD", "DELETE"):
        refuse(404, "DeploymentNotFound", f"Deployment '{rest[0][:60]}' could not be found.")
    text = "This local Azure evaluates no templates. Create the resources themselves, each by a PUT of its id."
    refuse(400, "DeploymentsNotSupported", text)


def _scope(path: str) -> Scope | None:
    """The scope that a path names, or `None` when it names none (a collection or an action)."""
    text = "/" + "/".join(part for part in path.split("/") if part)
    try:
        return parse_scope(text)
    except ScopeError:
        return None


def _get(call: Call, answer: Callable[[], Reply]) -> Reply:
    if call.method not in ("GET", "HEAD"):
        no_method(call)
    return answer()


def _value(docs: list[Doc]) -> Reply:
    return Reply(200, {"value": docs})


def _sees(world: World, caller: Caller, scope_id: str) -> bool:
    """Whether a caller may list something: it may read it, or has a role somewhere in it."""
    scope = parse_scope(scope_id)
    if permitted(world, caller, f"{scope.resource_type}/read", scope):
        return True
    horizon = world.store.now() - world.propagation("roles")
    below = key_of(scope_id) + "/"
    held = world.resources.assignments_of(caller.principals)
    return any(one.created <= horizon and key_of(one.scope).startswith(below) for one in held)


def _tenant(world: World) -> Doc:
    return {
        "id": f"/tenants/{world.tenant_id}",
        "tenantId": world.tenant_id,
        "countryCode": "NL",
        "displayName": "Local directory",
        "domains": [world.domain],
        "defaultDomain": world.domain,
        "tenantCategory": "Home",
        "tenantType": "AAD",
    }


def _location(subscription: str, name: str) -> Doc:
    return {
        "id": f"/subscriptions/{subscription}/locations/{name}",
        "name": name,
        "displayName": name,
        "regionalDisplayName": name,
        "type": "Region",
        "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
    }


def _providers(low: list[str], subscription: str | None) -> Reply:
    prefix = f"/subscriptions/{subscription}" if subscription else ""
    known: list[Doc] = [
        {
            "id": f"{prefix}/providers/{name}",
            "namespace": name,
            "registrationPolicy": "RegistrationRequired",
            "registrationState": "Registered",
            "resourceTypes": [
                {"resourceType": kind, "locations": list(REGIONS), "apiVersions": [version], "capabilities": "None"}
                for kind, version in types.items()
            ],
        }
        for name, types in PROVIDERS.items()
    ]
    if len(low) == 1:
        return _value(known)
    found = next((one for one in known if one["namespace"].lower() == low[1]), None)
    if found is None:
        refuse(404, "InvalidResourceNamespace", f"The resource namespace '{low[1]}' is invalid.")
    return Reply(200, found)


# Resource groups


def _existing_group(world: World, segments: list[str]) -> Doc:
    found = world.resources.get("/" + "/".join(segments[:4]))
    if found is None:
        refuse(404, "ResourceGroupNotFound", f"Resource group '{segments[3]}' could not be found.")
    return found


def _group(world: World, call: Call, caller: Caller, segments: list[str]) -> Reply:
    name = segments[3]
    if not GROUP_NAME.match(name):
        text = (
            f"The provided resource group name '{name[:100]}' is not valid: only letters, digits, '-', '_', '(', ')' and '.' "
            "are allowed, 90 characters at most, no final dot."
        )
        refuse(400, "InvalidResourceGroup", text)
    scope = parse_scope(f"/subscriptions/{segments[1]}/resourceGroups/{name}")
    stored = world.resources.get(scope.id)
    verb = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}.get(call.method)
    if verb is None:
        no_method(call)
    demand(world, caller, f"Microsoft.Resources/subscriptions/resourceGroups/{verb}", scope)
    if call.method == "HEAD":
        return Reply(204 if stored else 404)
    if call.method == "PUT":
        body = body_of(call)
        location = _location_of(body) or (stored or {}).get("location")
        if location is None:
            refuse(400, "LocationRequired", "The location property is required for this definition.")
        if stored is not None and stored["location"] != location:
            text = (
                f"Invalid resource group location '{location}'. The Resource group already exists in location "
                f"'{stored['location']}'."
            )
            refuse(409, "InvalidResourceGroupLocation", text)
        doc: Doc = {
            "id": stored["id"] if stored else scope.id,
            "name": stored["name"] if stored else name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": location,
            "tags": tags_of(body),
            "managedBy": body.get("managedBy"),
            "properties": {"provisioningState": "Succeeded"},
        }
        doc = {key: value for key, value in doc.items() if value is not None}
        world.resources.put(doc["id"], scope.resource_type, doc)
        return Reply(200 if stored else 201, doc)
    if stored is None:
        refuse(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")
    if call.method == "PATCH":
        stored["tags"] = tags_of(body_of(call)) or {}
        world.resources.put(stored["id"], scope.resource_type, stored)
        return Reply(200, stored)
    if call.method == "DELETE":
        world.resources.delete(scope.id)
        return Reply(200)
    return Reply(200, stored)


def _list(world: World, call: Call, caller: Caller, scope_id: str, kind: str | None) -> Reply:
    query = call.query
    after = int(token) if re.fullmatch(r"\d{1,15}", token := query.get("$skiptoken", "0"), re.ASCII) else 0
    wanted = _filter(query.get("$filter", ""))
    rows = world.resources.below(scope_id, kind=kind or wanted.get("resourcetype"), after=after, limit=PAGE + 1)
    docs = [
        doc
        for _, doc in rows[:PAGE]
        if (kind is not None or doc["type"] != "Microsoft.Resources/resourceGroups")
        and _fits(doc, wanted)
        and _sees(world, caller, doc["id"])
    ]
    body: Doc = {"value": docs}
    if len(rows) > PAGE:
        kept = {name: value for name, value in query.items() if name in ("api-version", "$filter", "$expand")}
        more = urlencode(kept | {"$skiptoken": rows[PAGE - 1][0]}, safe="$")
        body["nextLink"] = f"{world.url}{quote(call.path)}?{more}"
    return Reply(200, body)


FILTERS = frozenset({"resourcetype", "resourcegroup", "name", "location", "tagname", "tagvalue"})


def _filter(text: str) -> dict[str, str]:
    """What a list is narrowed by: lower-case name → value."""
    wanted: dict[str, str] = {}
    for part in re.split(r"(?<!\s)\s+and\s+", text.strip(), flags=re.IGNORECASE) if text.strip() else []:
        found = re.fullmatch(r"(\w+)\s+eq\s+'((?:[^']|'')*)'", part, re.IGNORECASE)
        if found is None or found[1].lower() not in FILTERS:
            listed = "resourceType, resourceGroup, name, location, tagName and tagValue, each with eq and joined by and"
            refuse(400, "UnsupportedFilter", f"The filter '{part[:100]}' is not supported; what is: {listed}.")
        wanted[found[1].lower()] = found[2].replace("''", "'")
    return wanted


def _fits(doc: Doc, wanted: dict[str, str]) -> bool:
    held = {name.lower(): value for name, value in (doc.get("tags") or {}).items()}
    for name, value in wanted.items():
        if name == "tagname":
            fits = value.lower() in held
        elif name == "tagvalue":
            fits = held.get(wanted.get("tagname", "").lower()) == value
        elif name == "resourcegroup":
            fits = f"/resourcegroups/{value.lower()}/" in key_of(doc["id"])
        else:
            fits = str(doc.get("type" if name == "resourcetype" else name)).lower() == value.lower()
        if not fits:
            return False
    return True


# Generic resources


def _resource(
    world: World, call: Call, caller: Caller, segments: list[str], low: list[str], scope: Scope | None
) -> Reply:
    if "providers" not in low:
        text = f"The resource path '{call.path[:200]}' is not valid: after the subscription comes 'resourceGroups' or 'providers'."
        refuse(404, "InvalidResourceType", text)
    outer = _scope("/" + "/".join(segments[:8])) if low[8:9] == ["tables"] and len(low) < 11 else None
    if outer is not None and outer.resource_type.lower() == workspaces.TYPE.lower():
        return workspaces.tables(world, call, caller, outer, segments[9] if len(segments) > 9 else None)
    if scope is None:
        return _collection_or_action(world, call, caller, segments)
    kind = scope.resource_type
    verb = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}.get(call.method)
    if verb is None:
        no_method(call)
    demand(world, caller, f"{kind}/{verb}", scope)
    if scope.resource_group is not None:
        _existing_group(world, segments)
    stored = world.resources.get(scope.id)
    if call.method == "HEAD":
        return Reply(204 if stored else 404)
    if call.method in ("PUT", "PATCH") and stored is not None and keyvault.changes_model(stored, body_of(call)):
        demand(world, caller, "Microsoft.Authorization/roleAssignments/write", scope)
    if call.method == "PUT":
        return put_resource(world, scope, body_of(call), stored)
    if call.method == "DELETE":
        if stored is None:
            return Reply(204)
        world.resources.delete(scope.id)
        return Reply(200)
    if stored is None:
        name = "/".join(
            (str(scope.provider), *(part for pair in zip(scope.types, scope.names, strict=True) for part in pair))
        )
        no_resource(name, scope.resource_group)
    if call.method == "PATCH":
        body = body_of(call)
        return put_resource(world, scope, _merged(stored, body), stored)
    return Reply(200, stored)


def put_resource(world: World, scope: Scope, body: Doc, stored: Doc | None) -> Reply:
    """Create or replace a resource, with what its provider computes."""
    kind = scope.resource_type
    if len(scope.names) > 1 and scope.resource_group is not None:
        require(world, scope)
    location = _location_of(body) or (stored or {}).get("location")
    if location is None and kind.lower() in NEEDS_LOCATION:
        refuse(400, "LocationRequired", "The location property is required for this definition.")
    properties = body.get("properties") or {}
    now = world.store.now()
    group = world.resources.get(f"/subscriptions/{scope.subscription}/resourceGroups/{scope.resource_group}")
    resource_id = stored["id"] if stored else scope.id
    if group is not None and not stored:
        resource_id = group["id"] + scope.id[len(group["id"]) :]
    doc: Doc = {
        **{key: value for key, value in body.items() if key not in ("properties", "location", "tags")},
        "id": resource_id,
        "name": stored["name"] if stored else scope.name,
        "type": kind,
        "tags": tags_of(body),
        "location": location,
        "properties": {**properties, "provisioningState": "Succeeded"},
        "etag": f'"{hashlib.sha256(repr((now, resource_id)).encode()).hexdigest()[:16]}"',
    }
    doc = {key: value for key, value in doc.items() if value is not None}
    compute = COMPUTED.get(kind.lower())
    if compute is not None:
        doc = compute(world, doc, stored)
    world.resources.put(resource_id, kind, doc)
    return Reply(200 if stored else 201, doc)


COMPUTED: dict[str, Callable[[World, Doc, Doc | None], Doc]] = {
    "microsoft.insights/components": components.computed,
    "microsoft.insights/datacollectionendpoints": collection.computed_endpoint,
    "microsoft.insights/datacollectionrules": collection.computed_rule,
    "microsoft.keyvault/vaults": keyvault.computed_vault,
    "microsoft.keyvault/vaults/secrets": keyvault.computed_secret,
    "microsoft.operationalinsights/workspaces": workspaces.computed,
}


def _collection_or_action(world: World, call: Call, caller: Caller, segments: list[str]) -> Reply:
    """A path that ends in a type (list) or, with POST, in an action on a resource."""
    outer = _scope("/" + "/".join(segments[:-1]))
    if call.method == "POST" and outer is not None and outer.kind == "resource":
        demand(world, caller, f"{outer.resource_type}/{segments[-1]}/action", outer)
        stored = world.resources.get(outer.id)
        if stored is None:
            no_resource(f"{outer.resource_type}/{outer.name}", outer.resource_group)
        action = ACTIONS.get((outer.resource_type.lower(), segments[-1].lower()))
        if action is None:
            text = (
                f"The action '{segments[-1][:60]}' on '{outer.resource_type}' is not one that this local Azure knows."
            )
            refuse(400, "InvalidResourceAction", text)
        return action(world, stored or {})
    probe = _scope("/" + "/".join([*segments, "x"]))
    if probe is None:
        refuse(404, "InvalidResourceType", f"The resource path '{call.path[:200]}' is not valid.")
    if call.method not in ("GET", "HEAD"):
        no_method(call)
    above = next(scope for scope in list(probe.parents())[1:])
    demand(world, caller, f"{probe.resource_type}/read", above)
    require(world, above)
    rows = world.resources.below(above.id, kind=probe.resource_type)
    return _value([doc for _, doc in rows])


ACTIONS: dict[tuple[str, str], Callable[[World, Doc], Reply]] = {
    ("microsoft.operationalinsights/workspaces", "sharedkeys"): workspaces.shared_keys,
}


def _location_of(body: Doc) -> str | None:
    location = body.get("location")
    if location is None:
        return None
    if not isinstance(location, str) or not re.fullmatch(r"[A-Za-z0-9 ]{1,60}", location):
        refuse(400, "InvalidRequestContent", "The request content was invalid: 'location' is not a region's name.")
    return location.replace(" ", "").lower()


def _merged(stored: Doc, body: Doc) -> Doc:
    """`stored` with a merge patch (RFC 7386) applied."""
    result = dict(stored)
    for key, value in body.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        else:
            result[key] = value
    return result
