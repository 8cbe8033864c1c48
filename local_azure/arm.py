"""Azure Resource Manager: which part answers a request.

Errors are ARM's ("Troubleshoot common Azure deployment errors").
"""

from __future__ import annotations

import re
from typing import Any

from entrant.facts.scopes import Scope, parse_scope
from local_azure import (
    authorization,
    generic,
    groups,
    management_groups,
    metrics,
    operations,
    providers,
    tags,
    vault_resources,
)
from local_azure.access import Caller, authenticate, demand
from local_azure.listing import page, sees
from local_azure.seed import REGIONS
from local_azure.tree import get_only, no_method, scope_of, value_of
from local_azure.wire import Call, Reply, refuse
from local_azure.world import World

Doc = dict[str, Any]

API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-[A-Za-z0-9.]+)?\Z")


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
            return get_only(call, lambda: value_of([providers.tenant(world)]))
        case ["providers"] | ["providers", _]:
            return get_only(call, lambda: providers.providers(low, None))
        case ["providers", *_]:
            return management_groups.handle(world, call, caller, segments)
        case ["subscriptions"]:
            every = world.resources.subscriptions()
            return get_only(call, lambda: value_of([doc for doc in every if sees(world, caller, doc["id"])]))
    return _in_subscription(world, call, caller, segments, low)


def _in_subscription(world: World, call: Call, caller: Caller, segments: list[str], low: list[str]) -> Reply:
    subscription = world.resources.get(f"/subscriptions/{segments[1]}")
    if subscription is None:
        refuse(404, "SubscriptionNotFound", f"The subscription '{segments[1]}' could not be found.")

    def listed(of: Doc, kind: str | None = None) -> Reply:
        return get_only(call, lambda: page(world, call, caller, of["id"], kind))

    match low[2:]:
        case []:
            return get_only(
                call, lambda: _subscription(world, caller, parse_scope(f"/subscriptions/{segments[1]}"), subscription)
            )
        case ["locations"]:
            return get_only(call, lambda: value_of([providers.location(segments[1], name) for name in REGIONS]))
        case ["providers"] | ["providers", _]:
            return get_only(call, lambda: providers.providers(low[2:], segments[1]))
        case ["providers", _, "register"] if call.method == "POST":
            demand(world, caller, f"{segments[3]}/register/action", parse_scope(subscription["id"]))
            return providers.providers(low[2:4], segments[1])
        case ["tagnames"]:
            return get_only(call, lambda: value_of(tags.names(world, subscription["id"])))
        case ["operationresults", name]:
            return operations.show(world, call, name, outcome=True)
        case ["providers", _, "operationstatuses", name]:
            return operations.show(world, call, name, outcome=False)
        case ["providers", "microsoft.keyvault", *_]:
            found = vault_resources.at_subscription(world, call, caller, segments[1], segments[4:])
            if found is not None:
                return found
        case ["resources"]:
            return listed(subscription)
        case ["resourcegroups"]:
            return listed(subscription, "Microsoft.Resources/subscriptions/resourceGroups")
        case ["resourcegroups", _]:
            return groups.handle(world, call, caller, segments)
        case ["resourcegroups", _, "resources"]:
            return listed(groups.existing(world, segments))
    return generic.handle(world, call, caller, segments)


def _subscription(world: World, caller: Caller, scope: Scope, subscription: Doc) -> Reply:
    if not sees(world, caller, scope.id):
        demand(world, caller, "Microsoft.Resources/subscriptions/read", scope)
    return Reply(200, subscription)


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
    scope = scope_of(segments[: at - 1])
    if scope is None:
        text = "The request did not have a subscription or a valid tenant level resource provider."
        refuse(400, "MissingSubscription", text)
    return scope


def _deployments(call: Call, rest: list[str]) -> Reply:
    """Templates are not evaluated here, so there is never a deployment."""
    if not rest:
        return get_only(call, lambda: value_of([]))
    if call.method in ("GET", "HEAD", "DELETE"):
        refuse(404, "DeploymentNotFound", f"Deployment '{rest[0][:60]}' could not be found.")
    text = "This local Azure evaluates no templates. Create the resources themselves, each by a PUT of its id."
    refuse(400, "DeploymentsNotSupported", text)
