"""The telemetry of the past hour that a new workspace or component starts with; the same for the same id."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from local_azure.wire import utc

Row = dict[str, Any]
Rows = dict[str, list[tuple[float, Row]]]
"""Table → its rows, each with its time."""
Add = Callable[..., None]
"""Adds a row: its table, how many minutes ago it was, and its columns by name."""

MACHINES = ("web-01", "web-02", "db-01")
ACTIVITY = (
    ("MICROSOFT.RESOURCES/SUBSCRIPTIONS/RESOURCEGROUPS/WRITE", "Information", "Success"),
    ("MICROSOFT.OPERATIONALINSIGHTS/WORKSPACES/WRITE", "Information", "Success"),
    ("MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE", "Warning", "Failure"),
    ("MICROSOFT.AUTHORIZATION/ROLEASSIGNMENTS/WRITE", "Information", "Success"),
    ("MICROSOFT.COMPUTE/VIRTUALMACHINES/START/ACTION", "Information", "Success"),
)
"""Operation, level and status of what is in the activity log."""


def _adding(rows: Rows, now: float, shared: Callable[[], Row]) -> Add:
    def add(table: str, minutes: float, **own: Any) -> None:
        time = now - minutes * 60
        rows[table].append((time, {"TimeGenerated": utc(time, digits=7), "Type": table, **shared(), **own}))

    return add


def of_workspace(resource_id: str, customer_id: str, now: float) -> Rows:
    """Three machines and their subscription, as a Log Analytics workspace has them."""
    rows: Rows = defaultdict(list)
    resource, chance = resource_id.lower(), random.Random(customer_id)
    add = _adding(rows, now, lambda: {"TenantId": customer_id, "_ResourceId": resource})
    agent = {"Category": "Azure Monitor Agent", "OSType": "Linux", "Version": "1.33.1", "SourceSystem": "Linux"}
    for minute in range(59, -1, -5):
        for at, machine in enumerate(MACHINES):
            add("Heartbeat", minute, Computer=machine, ComputerIP=f"10.0.0.{4 + at}", **agent)
    parts = resource_id.split("/")
    caller = {
        "Caller": "admin@contoso.example",
        "CallerIpAddress": "203.0.113.7",
        "ResourceGroup": parts[4] if len(parts) > 4 else "",
        "SubscriptionId": parts[2] if len(parts) > 2 else "",
    }
    for at, (operation, level, status) in enumerate(ACTIVITY):
        one = {"OperationNameValue": operation, "Level": level, "ActivityStatusValue": status}
        add("AzureActivity", 50 - at * 10, **one, **caller, CorrelationId=f"00000000-0000-4000-8000-{at:012d}")
    for table in ("Heartbeat", "AzureActivity", "Perf"):
        amount = {"Quantity": round(chance.uniform(0.01, 3), 4), "QuantityUnit": "MBytes"}
        billed = {"IsBillable": table != "AzureActivity", "Solution": "LogManagement", "ResourceUri": resource}
        add("Usage", 60, DataType=table, **amount, **billed)
    counter = {"ObjectName": "Processor", "CounterName": "% Processor Time", "InstanceName": "_Total"}
    for minute in range(55, -1, -10):
        for machine in MACHINES:
            add("Perf", minute, Computer=machine, **counter, CounterValue=round(chance.uniform(2, 60), 2))
    return rows


def of_component(component: Row, app_id: str, now: float) -> Rows:
    """A small web shop, as Application Insights has it."""
    rows: Rows = defaultdict(list)
    chance, properties = random.Random(app_id), component["properties"]
    fixed = {
        "TenantId": properties["TenantId"],
        "_ResourceId": component["id"].lower(),
        "ResourceGUID": app_id,
        "IKey": properties["InstrumentationKey"],
        "SDKVersion": "py3.11:otel1.30.0:ext1.6.0",
        "ItemCount": 1,
        "AppRoleName": "shop",
        "AppRoleInstance": "shop-0",
        "AppVersion": "1.4.0",
        "ClientType": "PC",
        "ClientCity": "Dublin",
        "ClientCountryOrRegion": "Ireland",
        "Properties": {},
    }
    add = _adding(rows, now, lambda: {**fixed, "_ItemId": f"{chance.getrandbits(128):032x}"})
    for at, minute in enumerate(range(58, -1, -2)):
        _request(add, chance, at, minute)
    for minute in range(55, -1, -10):
        _measures(add, chance, minute)
    return rows


def _request(add: Add, chance: random.Random, at: int, minute: int) -> None:
    """A request to the shop, and what belongs to it."""
    name = ("GET /", "GET /orders", "POST /orders")[at % 3]
    failed, operation = at % 10 == 9, f"{chance.getrandbits(128):032x}"
    taken = {"DurationMs": round(chance.uniform(4, 400), 2), "PerformanceBucket": "<250ms"}
    one = {
        "OperationId": operation,
        "OperationName": name,
        "UserId": f"user-{at % 4}",
        "SessionId": f"session-{at % 5}",
    }
    url = f"https://shop.contoso.example{name.split()[1]}"
    outcome = {"ResultCode": "500" if failed else "200", "Success": not failed}
    add("AppRequests", minute, **one, **taken, **outcome, Id=operation[:16], Name=name, Url=url)
    if at % 3:
        query = {"Name": "orders", "Target": "db.contoso.example", "DependencyType": "SQL", "Data": "select …"}
        answer = {"DurationMs": 3.5, "ResultCode": "0", "Success": True}
        add("AppDependencies", minute, **one, **query, **answer, Id=f"dependency-{at}")
    message = f"{name} took {taken['DurationMs']} ms"
    add("AppTraces", minute, **one, Message=message, SeverityLevel=3 if failed else 1)
    if failed:
        kind = {"ExceptionType": "TimeoutError", "OuterType": "TimeoutError", "ProblemId": "TimeoutError at orders"}
        add("AppExceptions", minute, **one, **kind, OuterMessage="the database did not answer", SeverityLevel=3)
    if name == "POST /orders":
        add("AppEvents", minute, **one, Name="OrderPlaced", Properties={"channel": "web"})
    if name == "GET /":
        add("AppPageViews", minute, **one, Name="Home", Url=url, DurationMs=812.0)


def _measures(add: Add, chance: random.Random, minute: int) -> None:
    """What is measured besides requests."""
    counter = {"Category": "Process", "Instance": "python"}
    percent = round(chance.uniform(5, 60), 1)
    add("AppPerformanceCounters", minute, **counter, Name="% Processor Time Normalized", Value=percent)
    depth = round(chance.uniform(0, 40))
    add("AppMetrics", minute, Name="queue_length", Sum=depth, Min=depth, Max=depth)
    test = {"Name": "home page", "Location": "North Europe", "Id": f"availability-{minute}", "Message": "Passed"}
    add("AppAvailabilityResults", minute, **test, DurationMs=220.0, Success=True)
