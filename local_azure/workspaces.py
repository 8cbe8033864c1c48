"""Log Analytics workspaces in Resource Manager: what their provider computes, their tables, their keys.

Source: azure-rest-api-specs (operationalinsights 2023-09-01), "Create a custom table".
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

from entrant.facts.scopes import Scope
from local_azure import samples
from local_azure.access import Caller, demand
from local_azure.resources import key_of
from local_azure.telemetry import COMMON, SEEDED, Columns
from local_azure.tree import body_of, no_method, no_resource, verb_of
from local_azure.wire import Call, Reply, new_guid, refuse, utc
from local_azure.world import World

Doc = dict[str, Any]

TYPE = "Microsoft.OperationalInsights/workspaces"
TABLES = f"{TYPE}/tables"
CUSTOM_NAME = re.compile(r"[A-Za-z]\w{0,59}_CL\Z", re.ASCII)
COLUMN_NAME = re.compile(r"[A-Za-z_]\w{0,44}\Z", re.ASCII)
KINDS = {
    "boolean": "bool",
    "datetime": "datetime",
    "dynamic": "dynamic",
    "guid": "string",
    "int": "int",
    "long": "long",
    "real": "real",
    "string": "string",
}
"""A column's type in Resource Manager, lower-case, as queries have it; of a guid the text is kept."""
SHOWN = {kind: name for name, kind in KINDS.items()} | {"datetime": "dateTime", "string": "string"}
MOST_COLUMNS = 500


def computed(world: World, doc: Doc, stored: Doc | None) -> Doc:
    """What Microsoft.OperationalInsights computes for a workspace; a new one gets seeded tables."""
    held = (stored or {}).get("properties") or {}
    customer, now = held.get("customerId") or new_guid(), utc(world.store.now(), digits=7)
    properties = doc["properties"]
    sku = properties.get("sku") if isinstance(properties.get("sku"), dict) else {}
    doc["properties"] = {
        "source": "Azure",
        "retentionInDays": 30,
        "publicNetworkAccessForIngestion": "Enabled",
        "publicNetworkAccessForQuery": "Enabled",
        "workspaceCapping": {"dailyQuotaGb": -1.0, "quotaNextResetTime": now, "dataIngestionStatus": "RespectQuota"},
        **properties,
        "features": {"legacy": 0, "searchVersion": 1, "enableLogAccessUsingOnlyResourcePermissions": True}
        | (properties.get("features") if isinstance(properties.get("features"), dict) else {}),
        "sku": {"name": "pergb2018", "lastSkuUpdate": held.get("createdDate", now)} | sku,
        "customerId": customer,
        "provisioningState": "Succeeded",
        "createdDate": held.get("createdDate", now),
        "modifiedDate": now,
    }
    if stored is None:
        world.resources.set_workspace(customer, doc["id"])
        rows = samples.of_workspace(doc["id"], customer, world.store.now())
        world.telemetry.seed(key_of(doc["id"]), SEEDED, rows)
    return doc


def shared_keys(world: World, doc: Doc) -> Reply:
    """Keys of the old HTTP data collector, which is not served here: stable for a workspace and of no use elsewhere."""
    keys = [base64.b64encode(hashlib.sha512(f"{doc['id']}/{name}".encode()).digest()).decode() for name in "ab"]
    return Reply(200, {"primarySharedKey": keys[0], "secondarySharedKey": keys[1]})


# Tables


def tables(world: World, call: Call, caller: Caller, workspace: Scope, name: str | None) -> Reply:
    """Answer a request for the tables of a workspace, or for the one of this name."""
    verb = verb_of(call, "PATCH")
    if name is None and verb != "read":
        no_method(call)
    demand(world, caller, f"{TABLES}/{verb}", workspace)
    held = world.resources.get(workspace.id)
    if held is None:
        no_resource(f"{TYPE}/{workspace.name}", workspace.resource_group)
    known = world.telemetry.tables(key_of(workspace.id))
    if name is None:
        return Reply(200, {"value": [_shown(world, held["id"], one, columns) for one, columns in known.items()]})
    # Names of tables count without regard to case in Resource Manager, and with it in queries.
    name = next((one for one in known if one.lower() == str(name).lower()), name)
    if verb == "write":
        return _put(world, call, held["id"], name, known.get(name))
    columns = known.get(name)
    if columns is None:
        if verb == "delete":
            return Reply(204)
        no_resource(
            f"Microsoft.OperationalInsights/workspaces/{workspace.name}/tables/{name}", workspace.resource_group
        )
    if verb == "delete":
        if name in SEEDED:
            refuse(400, "InvalidParameter", f"The table '{name}' is one of Azure's own and cannot be deleted.")
        world.telemetry.drop_table(key_of(workspace.id), name)
        world.resources.delete(f"{held['id']}/tables/{name}")
        return Reply(200)
    return Reply(200, _shown(world, held["id"], name, columns))


def _put(world: World, call: Call, workspace: str, name: str, before: Columns | None) -> Reply:
    properties: Doc = body_of(call).get("properties") or {}
    schema = properties.get("schema") or {}
    if before is None and not CUSTOM_NAME.match(name):
        text = f"The table name '{name[:70]}' is not valid: a custom table's name ends in '_CL' and has letters, digits and '_'."
        refuse(400, "InvalidParameter", text)
    if not isinstance(schema, dict) or str(schema.get("name") or name).lower() != name.lower():
        refuse(400, "InvalidParameter", "'properties.schema' must be an object whose name is the table's.")
    columns = _columns(schema.get("columns"))
    if before is None and columns.get("TimeGenerated") != "datetime":
        refuse(400, "InvalidParameter", "A custom table must have a column 'TimeGenerated' of type dateTime.")
    changed = [one for one, kind in columns.items() if (before or {}).get(one, kind) != kind]
    if changed:
        refuse(400, "InvalidParameter", f"The type of column '{changed[0]}' cannot be changed.")
    kept = {
        part: properties[part] for part in ("plan", "retentionInDays", "totalRetentionInDays") if part in properties
    }
    days = [kept[part] for part in ("retentionInDays", "totalRetentionInDays") if part in kept]
    if kept.get("plan", "Analytics") not in ("Analytics", "Basic", "Auxiliary") or not all(
        type(one) is int and (one == -1 or 4 <= one <= 4383) for one in days
    ):
        refuse(400, "InvalidParameter", "The plan or the retention of the table is not one that it can have.")
    world.telemetry.add_table(key_of(workspace), name, columns)
    held = (world.resources.get(f"{workspace}/tables/{name}") or {}).get("properties") or {}
    table_id = f"{workspace}/tables/{name}"
    about = {"id": table_id, "name": name, "type": TABLES, "properties": held | kept}
    world.resources.put(table_id, TABLES, about)
    now = world.telemetry.tables(key_of(workspace))[name]
    return Reply(200, _shown(world, workspace, name, now))


def _columns(columns: Any) -> Columns:
    found: Columns = {}
    if columns is None:
        return found
    if (
        not isinstance(columns, list)
        or len(columns) > MOST_COLUMNS
        or not all(isinstance(one, dict) for one in columns)
    ):
        refuse(
            400, "InvalidParameter", f"'columns' must be a list of at most {MOST_COLUMNS} objects with name and type."
        )
    for one in columns:
        name, kind = one.get("name"), KINDS.get(str(one.get("type")).lower())
        if not isinstance(name, str) or not COLUMN_NAME.match(name) or kind is None:
            refuse(400, "InvalidParameter", f"The column '{str(name)[:60]}' has a name or a type that it cannot have.")
        found[name] = kind
    return found


def _shown(world: World, workspace: str, name: str, columns: Columns) -> Doc:
    """A table on the wire."""
    kept = (world.resources.get(f"{workspace}/tables/{name}") or {}).get("properties") or {}
    days = {
        part: kept.get(part, 30) if kept.get(part) != -1 else 30 for part in ("retentionInDays", "totalRetentionInDays")
    }
    days["totalRetentionInDays"] = max(days.values())
    own = [
        {"name": one, "type": SHOWN[kind]}
        for one, kind in columns.items()
        if one == "TimeGenerated" or one not in COMMON
    ]
    fixed = [{"name": one, "type": SHOWN[kind]} for one, kind in COMMON.items() if one != "TimeGenerated"]
    custom = name not in SEEDED
    schema = {
        "tableSubType": "DataCollectionRuleBased" if custom else "Any",
        "name": name,
        "tableType": "CustomLog" if custom else "Microsoft",
        "columns" if custom else "standardColumns": own,
        "solutions": ["LogManagement"],
        "isTroubleshootingAllowed": True,
    }
    schema.setdefault("standardColumns", fixed)
    return {
        "id": f"{workspace}/tables/{name}",
        "name": name,
        "type": TABLES,
        "properties": {
            **days,
            "archiveRetentionInDays": days["totalRetentionInDays"] - days["retentionInDays"],
            "plan": kept.get("plan", "Analytics"),
            "retentionInDaysAsDefault": "retentionInDays" not in kept,
            "totalRetentionInDaysAsDefault": "totalRetentionInDays" not in kept,
            "schema": schema,
            "provisioningState": "Succeeded",
        },
    }
