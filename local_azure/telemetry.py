"""What the data planes hold: rows of log tables, and metric samples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from local_azure import components
from local_azure.store import Store
from local_azure.wire import utc

Row = dict[str, Any]
Columns = dict[str, str]

COMMON: Columns = {"TimeGenerated": "datetime", "TenantId": "string", "Type": "string", "_ResourceId": "string"}
SEEDED: dict[str, Columns] = {
    "Heartbeat": {
        "Computer": "string",
        "Category": "string",
        "OSType": "string",
        "Version": "string",
        "ComputerIP": "string",
        "SourceSystem": "string",
    },
    "AzureActivity": {
        "OperationNameValue": "string",
        "Level": "string",
        "ActivityStatusValue": "string",
        "Caller": "string",
        "CallerIpAddress": "string",
        "ResourceGroup": "string",
        "SubscriptionId": "string",
        "CorrelationId": "string",
    },
    "Usage": {
        "DataType": "string",
        "Quantity": "real",
        "QuantityUnit": "string",
        "IsBillable": "bool",
        "Solution": "string",
        "ResourceUri": "string",
    },
    "Perf": {
        "Computer": "string",
        "ObjectName": "string",
        "CounterName": "string",
        "InstanceName": "string",
        "CounterValue": "real",
    },
    "AzureMetrics": {
        "MetricName": "string",
        "Total": "real",
        "Count": "real",
        "Minimum": "real",
        "Maximum": "real",
        "Average": "real",
        "TimeGrain": "string",
        "UnitName": "string",
    },
    **components.COLUMNS,
}
"""The tables that every workspace has."""


class Telemetry:
    """Log tables of workspaces and metric samples of resources, found by resource key."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def tables(self, workspace: str) -> dict[str, Columns]:
        """The tables of a workspace: name → column name → type."""
        rows = self.store.rows("SELECT name, columns FROM log_table WHERE workspace = ? ORDER BY name", workspace)
        return {row[0]: json.loads(row[1]) for row in rows}

    def add_table(self, workspace: str, name: str, columns: Columns) -> None:
        """Create a table, or add columns to it."""
        found = self.store.row("SELECT columns FROM log_table WHERE workspace = ? AND name = ?", workspace, name)
        merged = (json.loads(found[0]) if found else dict(COMMON)) | columns
        self.store.run("INSERT OR REPLACE INTO log_table VALUES (?, ?, ?)", workspace, name, json.dumps(merged))

    def drop_table(self, workspace: str, name: str) -> None:
        """Remove a table and its rows."""
        for table in ("log_table", "log_row"):
            self.store.run(f"DELETE FROM {table} WHERE workspace = ? AND name = ?", workspace, name)

    def add_rows(self, workspace: str, name: str, rows: list[tuple[float, Row]]) -> None:
        """Append rows, each with its time."""
        self.store.db.executemany(
            "INSERT INTO log_row (workspace, name, time, doc) VALUES (?, ?, ?, ?)",
            [(workspace, name, time, json.dumps(row)) for time, row in rows],
        )

    def scan(self, workspace: str, name: str, since: float | None = None, until: float | None = None) -> Iterator[Row]:
        """Rows of a table in order of time, lazily, within a span of time when one is given."""
        cursor = self.store.db.execute(
            "SELECT doc FROM log_row WHERE workspace = ? AND name = ? AND time >= ? AND time <= ? ORDER BY time, seq",
            (workspace, name, -1e15 if since is None else since, 1e15 if until is None else until),
        )
        for (doc,) in cursor:
            yield json.loads(doc)

    def add_metrics(self, resource: str, namespace: str, name: str, time: float, docs: list[Row]) -> None:
        """Keep samples of a metric: dimensions and min, max, sum, count."""
        self.store.db.executemany(
            "INSERT INTO metric (resource, namespace, name, time, doc) VALUES (?, ?, ?, ?, ?)",
            [(resource, namespace, name, time, json.dumps(doc)) for doc in docs],
        )

    def metrics(self, resource: str) -> list[Row]:
        """Every sample of a resource in the order it came: namespace, metric, time (RFC 3339), and what was sent."""
        rows = self.store.rows(
            "SELECT namespace, name, time, doc FROM metric WHERE resource = ? ORDER BY seq", resource
        )
        return [{"namespace": row[0], "metric": row[1], "time": utc(row[2]), **json.loads(row[3])} for row in rows]

    def seed(self, key: str, tables: Mapping[str, Columns], rows: Mapping[str, list[tuple[float, Row]]]) -> None:
        """Give a new workspace or component its tables, with rows in some of them."""
        for name, columns in tables.items():
            self.add_table(key, name, columns)
        for name, some in rows.items():
            self.add_rows(key, name, some)
