"""Application Insights components: what their provider computes, and their telemetry as tables.

A component that names a workspace keeps its telemetry there, in the tables `App…`, where queries of the workspace see it; one
without keeps it by itself. Queries of a component know the tables by these names and by the classic ones (`requests`, `traces`, …).

Source: Microsoft, "Migrate to workspace-based Application Insights resources" (tables and columns by both names), the reference of
the tables `App…`; azure-rest-api-specs (applicationinsights 2020-02-02).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_azure import samples
from local_azure.kql import Columns, Row, Source, python_value
from local_azure.resources import Doc, key_of
from local_azure.wire import new_guid, utc

if TYPE_CHECKING:
    from local_azure.world import World

TYPE = "Microsoft.Insights/components"
WORKSPACE = "Microsoft.OperationalInsights/workspaces"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of telemetry: its classic table, what an item is called, and its own columns: name → (classic name, type)."""

    classic: str
    item: str
    own: dict[str, tuple[str, str]]


def _texts(*names: str) -> dict[str, tuple[str, str]]:
    """Columns of text that are called the same but for their first letter."""
    return {name: (name[0].lower() + name[1:], "string") for name in names}


CLIENT = ("Browser", "City", "CountryOrRegion", "IP", "Model", "OS", "StateOrProvince", "Type")
SHARED: dict[str, tuple[str, str]] = {
    "TimeGenerated": ("timestamp", "datetime"),
    "OperationName": ("operation_Name", "string"),
    "OperationId": ("operation_Id", "string"),
    "ParentId": ("operation_ParentId", "string"),
    "SyntheticSource": ("operation_SyntheticSource", "string"),
    "SessionId": ("session_Id", "string"),
    "UserId": ("user_Id", "string"),
    "UserAuthenticatedId": ("user_AuthenticatedId", "string"),
    "UserAccountId": ("user_AccountId", "string"),
    "AppVersion": ("application_Version", "string"),
    "AppRoleName": ("cloud_RoleName", "string"),
    "AppRoleInstance": ("cloud_RoleInstance", "string"),
    **{f"Client{name}": (f"client_{name}", "string") for name in CLIENT},
    "ResourceGUID": ("appId", "string"),
    "IKey": ("iKey", "string"),
    "SDKVersion": ("sdkVersion", "string"),
    "ItemCount": ("itemCount", "int"),
    "_ItemId": ("itemId", "string"),
    "Properties": ("customDimensions", "dynamic"),
    "Measurements": ("customMeasurements", "dynamic"),
}
"""Columns that every table of telemetry has."""
DURATION = {"DurationMs": ("duration", "real")}
SUCCESS = {"Success": ("success", "bool")}
TABLES: dict[str, Kind] = {
    "AppAvailabilityResults": Kind(
        "availabilityResults",
        "availabilityResult",
        _texts("Id", "Name", "Location", "Message", "PerformanceBucket")
        | DURATION
        | SUCCESS
        | {"Size": ("size", "real")},
    ),
    "AppBrowserTimings": Kind(
        "browserTimings",
        "browserTiming",
        _texts("Name", "Url", "PerformanceBucket")
        | {
            f"{part}DurationMs": (f"{part.lower()}Duration", "real")
            for part in ("Network", "Processing", "Receive", "Send", "Total")
        },
    ),
    "AppDependencies": Kind(
        "dependencies",
        "dependency",
        _texts("Id", "Name", "Data", "Target", "ResultCode", "PerformanceBucket")
        | DURATION
        | SUCCESS
        | {"DependencyType": ("type", "string")},
    ),
    "AppEvents": Kind("customEvents", "customEvent", _texts("Name")),
    "AppExceptions": Kind(
        "exceptions",
        "exception",
        _texts("ProblemId", "HandledAt", "Assembly", "Message", "Method", "InnermostAssembly", "InnermostMessage")
        | _texts("InnermostMethod", "InnermostType", "OuterAssembly", "OuterMessage", "OuterMethod", "OuterType")
        | {
            "ExceptionType": ("type", "string"),
            "SeverityLevel": ("severityLevel", "int"),
            "Details": ("details", "dynamic"),
        },
    ),
    "AppMetrics": Kind(
        "customMetrics",
        "customMetric",
        _texts("Name") | {part: (f"value{part}", "real") for part in ("Sum", "Min", "Max")},
    ),
    "AppPageViews": Kind("pageViews", "pageView", _texts("Id", "Name", "Url", "PerformanceBucket") | DURATION),
    "AppPerformanceCounters": Kind(
        "performanceCounters",
        "performanceCounter",
        _texts("Name", "Category", "Instance") | {"Value": ("value", "real")},
    ),
    "AppRequests": Kind(
        "requests",
        "request",
        _texts("Id", "Name", "Url", "Source", "ResultCode", "PerformanceBucket") | DURATION | SUCCESS,
    ),
    "AppTraces": Kind("traces", "trace", _texts("Message") | {"SeverityLevel": ("severityLevel", "int")}),
}
COLUMNS: dict[str, Columns] = {
    name: {column: kind for column, (_, kind) in (SHARED | table.own).items()} for name, table in TABLES.items()
}
"""The columns of the tables `App…`."""
BY_CLASSIC = {table.classic: name for name, table in TABLES.items()}


def classic_columns(name: str) -> Columns:
    """The columns of a table under its classic names. What is a bool now was a text then."""
    table = TABLES[name]
    found = {old: "string" if old == "success" else kind for old, kind in (SHARED | table.own).values()}
    more = {"itemType": "string", "appName": "string"}
    if name == "AppMetrics":
        more |= {"value": "real", "valueCount": "int"}
    return found | more


def classic_row(name: str, row: Row, app_name: str) -> Row:
    """A row of a table `App…` under its classic names."""
    table = TABLES[name]
    found = {old: row.get(new) for new, (old, _) in (SHARED | table.own).items()}
    if "success" in found:
        found["success"] = None if found["success"] is None else str(found["success"])
    if name == "AppMetrics":
        count = found["itemCount"] or 1
        found |= {"valueCount": count, "value": None if found["valueSum"] is None else found["valueSum"] / count}
    return found | {"itemType": table.item, "appName": app_name}


# In Resource Manager


def computed(world: World, doc: Doc, stored: Doc | None) -> Doc:
    """What Microsoft.Insights computes for a component; a new one gets telemetry of the past hour."""
    held = (stored or {}).get("properties") or {}
    properties, now = doc["properties"], utc(world.store.now(), digits=7)
    app_id, key = held.get("AppId") or new_guid(), held.get("InstrumentationKey") or new_guid()
    doc.setdefault("kind", "web")
    doc["properties"] = {
        "Application_Type": "web",
        "Flow_Type": "Bluefield",
        "Request_Source": "rest",
        "RetentionInDays": 90,
        "publicNetworkAccessForIngestion": "Enabled",
        "publicNetworkAccessForQuery": "Enabled",
        "DisableIpMasking": False,
        "DisableLocalAuth": False,
        **properties,
        "ApplicationId": doc["name"],
        "AppId": app_id,
        "Name": doc["name"],
        "InstrumentationKey": key,
        "ConnectionString": f"InstrumentationKey={key};IngestionEndpoint={world.url}/;ApplicationId={app_id}",
        "CreationDate": held.get("CreationDate", now),
        "TenantId": doc["id"].split("/")[2],
        "IngestionMode": "LogAnalytics" if properties.get("WorkspaceResourceId") else "ApplicationInsights",
        "Ver": "v2",
        "provisioningState": "Succeeded",
    }
    world.resources.note("component", app_id, doc["id"])
    if stored is None:
        world.telemetry.seed(_place(world, doc), COLUMNS, samples.of_component(doc, app_id, world.store.now()))
    return doc


def find(world: World, app_id: str) -> Doc | None:
    """The component with this application id, or `None`."""
    return world.resources.noted("component", app_id, "AppId")


def _place(world: World, component: Doc) -> str:
    """The key that telemetry of a component is kept by: its workspace's, or its own."""
    named = component["properties"].get("WorkspaceResourceId")
    workspace = world.resources.get(named) if isinstance(named, str) else None
    held = workspace is not None and workspace["type"].lower() == WORKSPACE.lower()
    return key_of(str(named)) if held else key_of(component["id"])


class Telemetry(Source):
    """The telemetry of one component as tables, by either of their names, within a span of time when one is given."""

    def __init__(self, world: World, component: Doc, since: float | None = None, until: float | None = None) -> None:
        self.world, self.component, self.since, self.until = world, component, since, until
        self.key = _place(world, component)

    def names(self) -> Iterable[str]:
        return TABLES

    def columns(self, name: str) -> Columns | None:
        if name in BY_CLASSIC:
            return classic_columns(BY_CLASSIC[name])
        if name not in TABLES:
            return None
        return self.world.telemetry.tables(self.key).get(name) or COLUMNS[name]

    def rows(self, name: str) -> Iterable[Row]:
        table = BY_CLASSIC.get(name, name)
        owner, app_name = self.component["id"].lower(), self.component["name"]
        for row in self.world.telemetry.scan(self.key, table, self.since, self.until):
            if row.get("_ResourceId") == owner:
                typed = row | {"TimeGenerated": python_value(row["TimeGenerated"], "datetime")}
                yield classic_row(table, typed, app_name) if name in BY_CLASSIC else typed
