"""The Logs Ingestion API: rows through a data collection rule into a workspace's tables.

Source: Microsoft, "Logs Ingestion API in Azure Monitor": ``POST /dataCollectionRules/{immutable id}/streams/{stream}`` with a JSON
array, gzip-compressed or not, at most 1 MB; 204 without a body. The caller needs the data action
``Microsoft.Insights/Telemetry/Write`` on the rule (Monitoring Metrics Publisher has it).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NoReturn

from entrant.facts.scopes import parse_scope
from local_azure.access import authenticate, permitted
from local_azure.kql import Columns, KqlError, Row, Source, evaluate, python_value, wire_value
from local_azure.resources import Doc, key_of
from local_azure.telemetry import SEEDED
from local_azure.wire import Call, Reply, epoch_of, parse_json, refuse, utc
from local_azure.world import World

TYPES = {
    "boolean": "bool",
    "datetime": "datetime",
    "dynamic": "dynamic",
    "int": "int",
    "long": "long",
    "real": "real",
    "string": "string",
}
"""A declared column's type (`KnownColumnDefinitionType`) as a table has it."""
LARGEST = 1024 * 1024
"""Bytes of one call's JSON, compressed or not ("Service limits", Logs Ingestion API)."""


def handle(world: World, call: Call) -> Reply | None:
    """Answer a request to the ingestion endpoint; `None` when the path is none of its own."""
    segments = call.segments
    if not segments or segments[0].lower() != "datacollectionrules":
        return None
    if len(segments) != 4 or segments[2].lower() != "streams":
        refuse(404, "NotFound", "The path is not /dataCollectionRules/{immutable id}/streams/{stream}.")
    if call.method != "POST":
        refuse(405, "MethodNotAllowed", f"The HTTP method '{call.method}' is not supported for this request.")
    caller = authenticate(world, call, "ingestion")
    if not call.query.get("api-version"):
        refuse(400, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required.")
    rule = world.resources.noted("dcr", segments[1], "immutableId")
    if rule is None:
        text = f"Data collection rule with immutable Id '{segments[1][:80]}' not found."
        refuse(404, "NotFound", text)
    if not permitted(world, caller, "Microsoft.Insights/Telemetry/Write", parse_scope(rule["id"]), data=True):
        text = (
            "The authentication token provided does not have access to ingest data for the data collection rule with immutable Id "
            f"'{segments[1]}'."
        )
        refuse(403, "OperationFailed", text)
    rows = _rows(call)
    with world.store.write():
        _keep(world, rule, segments[3], rows)
    return Reply(204)


def _bad(code: str, text: str) -> NoReturn:
    refuse(400, code, text)


def _rows(call: Call) -> list[Row]:
    body = call.body
    encoding = call.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "gzip":
        inflate = zlib.decompressobj(wbits=31)
        try:
            body = inflate.decompress(body, LARGEST + 1)
        except zlib.error:
            _bad("InvalidPayload", "The request body is not gzip, as its Content-Encoding says.")
        if len(body) <= LARGEST and not inflate.eof:
            _bad("InvalidPayload", "The request body ends before its gzip stream does.")
    elif encoding not in ("", "identity"):
        refuse(415, "UnsupportedMediaType", "The Content-Encoding must be gzip or absent.")
    if len(body) > LARGEST:
        refuse(413, "ContentLengthLimitExceeded", "Maximum allowed content length: 1048576 bytes (1 MB).")
    try:
        rows = parse_json(body)
    except ValueError:
        _bad("InvalidPayload", "The request body is not valid JSON.")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        _bad("InvalidPayload", "The request body must be a JSON array of objects.")
    return rows


def _keep(world: World, rule: Doc, stream: str, rows: list[Row]) -> None:
    properties = rule["properties"]
    columns = columns_of(properties, stream)
    flows = [flow for flow in _dicts(properties.get("dataFlows")) if stream in _list(flow.get("streams"))]
    destinations = properties.get("destinations")
    logs = _dicts(destinations.get("logAnalytics")) if isinstance(destinations, dict) else []
    if columns is None or not flows:
        _bad("InvalidStream", f"The stream {stream[:100]} was not configured for the data collection rule.")
    now = datetime.fromtimestamp(world.store.now(), UTC)
    for flow in flows:
        output = str(flow.get("outputStream") or stream)
        table_name = output.removeprefix("Custom-").removeprefix("Microsoft-")
        try:
            made, docs = transformed(world, str(flow.get("transformKql") or "source"), columns, rows, now)
        except KqlError as error:
            _bad("InvalidTransformOutput", f"The transformation of the data flow failed: {error.message}")
        for one in logs:
            workspace = world.resources.get(str(one.get("workspaceResourceId")))
            if one.get("name") in _list(flow.get("destinations")) and workspace is not None:
                _append(world, workspace, table_name, made, docs)


def transformed(
    world: World, transform: str, columns: Columns, rows: list[Row], now: datetime
) -> tuple[Columns, list[Row]]:
    """The columns and the rows, as tables keep them, that a transformation makes of a request's rows. Raises `KqlError`."""

    def work() -> tuple[Columns, list[Row]]:
        result = evaluate(transform, Stream(columns, rows), now)
        kept = [{name: _stored(row.get(name), kind) for name, kind in result.columns.items()} for row in result.rows]
        return result.columns, kept

    return world.aside((transform, tuple(columns.items())), work)


def _append(world: World, workspace: Doc, name: str, columns: Columns, docs: list[Row]) -> None:
    """Add rows to a table, and columns that the table has not."""
    now = world.store.now()
    fixed = {
        "TenantId": workspace["properties"].get("customerId"),
        "Type": name,
        "_ResourceId": workspace["id"].lower(),
    }
    timed = []
    for doc in docs:
        try:
            time = epoch_of(str(doc.get("TimeGenerated")))
        except ValueError:
            time = now
        timed.append((time, {**doc, **fixed, "TimeGenerated": utc(time, digits=7)}))
    key = key_of(workspace["id"])
    world.telemetry.add_table(key, name, {**columns, "TimeGenerated": "datetime"})
    world.telemetry.add_rows(key, name, timed)


def columns_of(properties: Doc, stream: str) -> Columns | None:
    """The columns of a stream: declared (``Custom-…``), or a standard table's (``Microsoft-…``); `None` for no such stream."""
    standard = SEEDED.get(stream.removeprefix("Microsoft-")) if stream.startswith("Microsoft-") else None
    if standard is not None:
        return {"TimeGenerated": "datetime", **standard}
    declared = properties.get("streamDeclarations")
    found = declared.get(stream) if isinstance(declared, dict) else None
    if not isinstance(found, dict):
        return None
    return {
        str(one["name"]): TYPES.get(str(one.get("type")).lower(), "dynamic")
        for one in _dicts(found.get("columns"))
        if "name" in one
    }


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[Doc]:
    return [one for one in _list(value) if isinstance(one, dict)]


def _stored(value: Any, kind: str) -> Any:
    """A value as the tables keep it."""
    return value if kind == "dynamic" else wire_value(value, kind)


class Stream(Source):
    """What came in, as the table `source` of a transformation."""

    def __init__(self, declared: Columns, records: list[Row]) -> None:
        self.declared, self.records = declared, records

    def columns(self, name: str) -> Columns | None:
        return self.declared if name == "source" else None

    def rows(self, name: str) -> Iterable[Row]:
        for row in self.records:
            yield {column: _typed(row.get(column), kind) for column, kind in self.declared.items()}


def _typed(value: Any, kind: str) -> Any:
    """A sent value in its column's type; null where it does not fit, as in Azure."""
    if kind in ("datetime", "timespan"):
        return python_value(value, kind) if isinstance(value, str) else None
    if kind == "string":
        return value if isinstance(value, str | None) else json.dumps(value)
    if kind == "bool":
        return value if isinstance(value, bool) else None
    if kind in ("int", "long"):
        return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63 else None
    if kind == "real":
        return (
            float(value)
            if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308
            else None
        )
    return value
