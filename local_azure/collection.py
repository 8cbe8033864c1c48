"""Data collection rules and endpoints in Resource Manager: what their provider computes, and which rules it refuses.

Source: "Structure of a data collection rule in Azure Monitor", and bodies quoted in issue threads of azure-rest-api-specs:
400 InvalidPayload with a code, a message and a target for each thing that is wrong. [?] marks codes that none of them has.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from local_azure.ingestion import TYPES, columns_of, transformed
from local_azure.kql import KqlError
from local_azure.resources import key_of
from local_azure.wire import new_guid, refuse
from local_azure.world import World

Doc = dict[str, Any]

MOST_FLOWS, LONGEST_TRANSFORM = 10, 15_360
"""Source: "Azure Monitor service limits", data collection rules."""
UNDECLARED = ("workspacetransforms",)
"""Kinds of rules whose streams are those of tables, without a declaration."""


def computed_rule(world: World, doc: Doc, stored: Doc | None) -> Doc:
    """The immutable id by which the Logs Ingestion API knows a rule; 400 for a rule whose parts do not fit each other."""
    wrong = list(_wrong(world, doc))
    if wrong:
        details = [{"code": code, "message": text, "target": target} for code, text, target in wrong]
        refuse(400, "InvalidPayload", "Data collection rule is invalid", details=details)
    held = (stored or {}).get("properties") or {}
    immutable = held.get("immutableId") or f"dcr-{new_guid().replace('-', '')}"
    doc["properties"]["immutableId"] = immutable
    # A rule of kind Direct has an endpoint of its own (api-version 2023-03-11).
    if doc.get("kind") == "Direct":
        doc["properties"]["endpoints"] = {"logsIngestion": world.url, "metricsIngestion": world.url}
    world.resources.note("dcr", immutable, doc["id"])
    return doc


def computed_endpoint(world: World, doc: Doc, stored: Doc | None) -> Doc:
    """The addresses of a data collection endpoint: all of them this server."""
    held = (stored or {}).get("properties") or {}
    doc["properties"] |= {
        "immutableId": held.get("immutableId") or f"dce-{new_guid().replace('-', '')}",
        "configurationAccess": {"endpoint": world.url},
        "logsIngestion": {"endpoint": world.url},
        "metricsIngestion": {"endpoint": world.url},
    }
    return doc


def _wrong(world: World, doc: Doc) -> Iterator[tuple[str, str, str]]:
    """What is wrong with a rule: code, message, target."""
    properties = doc["properties"]
    shapes = {"streamDeclarations": dict, "destinations": dict, "dataSources": dict, "dataFlows": list}
    for name, shape in shapes.items():
        if not isinstance(properties.get(name) or shape(), shape):
            yield "InvalidProperty", f"'{name}' has a value of the wrong type.", f"properties.{name}"  # [?]
            return
    for name, declared in (properties.get("streamDeclarations") or {}).items():
        yield from _wrong_stream(name, declared)
    if len(properties.get("dataFlows") or []) > MOST_FLOWS:
        yield "InvalidDataFlow", f"A rule has at most {MOST_FLOWS} data flows.", "properties.dataFlows"  # [?]
        return
    destinations = _destinations(properties.get("destinations") or {})
    for name, destination in destinations.items():
        if (
            "workspaceResourceId" in destination
            and world.resources.get(str(destination["workspaceResourceId"])) is None
        ):
            text = f"The workspace of destination '{name}' does not exist: {str(destination['workspaceResourceId'])[:300]}."
            yield "InvalidDestination", text, "properties.destinations.logAnalytics"  # [?]
            return
    for at, flow in enumerate(properties.get("dataFlows") or []):
        if not isinstance(flow, dict) or not all(
            isinstance(flow.get(part), list) and flow[part] and all(isinstance(one, str) for one in flow[part])
            for part in ("streams", "destinations")
        ):
            text = "'DataFlows' item must have 'streams' and 'destinations', each a list of names that is not empty."
            yield "InvalidDataFlow", text, f"properties.dataFlows[{at}]"
            continue
        unknown = [name for name in flow["destinations"] if name not in destinations]
        if unknown:
            yield (
                "InvalidDataFlow",
                f"'DataFlows' destination name is unknown: {unknown[0][:100]}.",
                "Properties.DataFlows",
            )
            continue
        used = [destinations[name] for name in flow["destinations"]]
        yield from _wrong_flow(world, doc, flow, dict(zip(flow["destinations"], used, strict=True)), at)


def _wrong_stream(name: str, declared: Any) -> Iterator[tuple[str, str, str]]:
    target = f"properties.streamDeclarations.{name[:100]}"
    if not name.startswith("Custom-"):
        yield "InvalidStream", f"The name of a declared stream must begin with 'Custom-': {name[:100]}.", target  # [?]
    columns = declared.get("columns") if isinstance(declared, dict) else None
    if not isinstance(columns, list) or not columns:
        yield "InvalidStream", "'Columns' must not be empty.", f"{target}.columns"  # [?]
        return
    for at, one in enumerate(columns):
        kind = str(one.get("type")).lower() if isinstance(one, dict) else ""
        if not isinstance(one, dict) or not isinstance(one.get("name"), str) or kind not in TYPES:
            text = f"A column has a name and one of the types {', '.join(TYPES)}."
            yield "InvalidStream", text, f"{target}.columns[{at}]"  # [?]


def _destinations(destinations: Doc) -> dict[str, Doc]:
    """Every destination by its name, of whatever kind."""
    found = {}
    for several in destinations.values():
        for one in several if isinstance(several, list) else [several]:
            if isinstance(one, dict) and isinstance(one.get("name"), str):
                found[one["name"]] = one
    return found


def _wrong_flow(
    world: World, doc: Doc, flow: Doc, destinations: dict[str, Doc], at: int
) -> Iterator[tuple[str, str, str]]:
    target, properties = f"properties.dataFlows[{at}]", doc["properties"]
    declared = properties.get("streamDeclarations") or {}
    for stream in flow["streams"]:
        if not stream.startswith(("Custom-", "Microsoft-")):
            yield (
                "InvalidDataFlow",
                f"A stream's name begins with 'Custom-' or 'Microsoft-': {stream[:100]}.",
                target,
            )  # [?]
            return
        if stream.startswith("Custom-") and stream not in declared and str(doc.get("kind")).lower() not in UNDECLARED:
            yield "InvalidDataFlow", f"'DataFlows' stream name is unknown: {stream[:100]}.", target  # [?]
            return
        output = flow.get("outputStream") or stream
        if not isinstance(output, str) or not output.startswith(("Custom-", "Microsoft-")):
            text = f"The output stream's name begins with 'Custom-' or 'Microsoft-': {str(output)[:100]}."
            yield "InvalidDataFlow", text, target  # [?]
            return
        # Of Azure's own tables a real workspace has many more than one here.
        for name, destination in destinations.items() if output.startswith("Custom-") else ():
            if "workspaceResourceId" not in destination:
                continue
            if output.removeprefix("Custom-") not in world.telemetry.tables(
                key_of(str(destination["workspaceResourceId"]))
            ):
                text = f"Table for output stream '{output[:100]}' is not available for destination '{name[:100]}'."
                yield "InvalidOutputTable", text, target
                return
        transform, columns = flow.get("transformKql"), columns_of(properties, stream)
        if transform is not None and not isinstance(transform, str):
            yield "InvalidTransform", "'transformKql' must be a string.", target
        elif transform and len(transform) > LONGEST_TRANSFORM:
            yield "InvalidTransform", f"'transformKql' has more than {LONGEST_TRANSFORM} characters.", target  # [?]
        elif transform and columns is not None:
            try:
                transformed(world, transform, columns, [], datetime.fromtimestamp(world.store.now(), UTC))
            except KqlError as error:
                yield "InvalidTransform", error.message, target
