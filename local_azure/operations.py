"""Work of Resource Manager that takes its time, when a fault rule of the kind `operation` asks for it.

Source: "Track asynchronous Azure operations": a PUT or PATCH is answered at once with the resource and its `provisioningState`, a
DELETE with 202; `Azure-AsyncOperation` is where the status is asked for, `Location` where the outcome is, `Retry-After` when. What
is pending is kept in the state, so a restart goes on with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from local_azure.faults import Rule
from local_azure.resources import Resources, key_of
from local_azure.store import Store
from local_azure.wire import Call, Reply, new_guid, refuse, utc

if TYPE_CHECKING:
    from local_azure.world import World

Doc = dict[str, Any]

FAILURE = {
    "code": "OperationFailed",
    "message": "This failure of an operation was asked for by a fault rule of the local Azure.",
}
GROUP = "microsoft.resources/resourcegroups"


class _Undone(Exception):
    """Takes back what a request did."""


class Operations:
    """What is under way, and what became of it."""

    def __init__(self, store: Store, resources: Resources) -> None:
        self.store, self.resources = store, resources
        self.look()

    def look(self) -> None:
        """Find out when the next operation is due."""
        found = self.store.row("SELECT min(due) FROM operation WHERE settled = 0")
        self._next: float | None = None if found is None else found[0]

    def add(self, doc: Doc, due: float) -> None:
        """Let an operation end at `due`."""
        self.store.run("INSERT INTO operation VALUES (?, ?, 0, ?)", doc["id"], due, json.dumps(doc))
        self.look()

    def get(self, name: str) -> tuple[Doc, bool] | None:
        """An operation and whether it has ended, or `None`."""
        found = self.store.row("SELECT doc, settled FROM operation WHERE id = ?", name.lower())
        return None if found is None else (json.loads(found[0]), bool(found[1]))

    def under_way(self, resource_id: str) -> Doc | None:
        """The operation on a resource, or the deletion of what it is in, that has not ended; `None` when there is none."""
        if self._next is None:
            return None
        key = key_of(resource_id)
        for doc in (json.loads(row[0]) for row in self.store.rows("SELECT doc FROM operation WHERE settled = 0")):
            held = key_of(doc["resource"])
            if key == held or (doc["verb"] == "DELETE" and key.startswith(held + "/")):
                return dict(doc)
        return None

    def settle(self) -> None:
        """Do what is due; called before each request."""
        now = self.store.now()
        if self._next is None or self._next > now:
            return
        with self.store.write():
            rows = self.store.rows("SELECT doc FROM operation WHERE settled = 0 AND due <= ? ORDER BY due", now)
            for doc in (json.loads(row[0]) for row in rows):
                self._end(doc)
                self.store.run("UPDATE operation SET settled = 1 WHERE id = ?", doc["id"])
        self.look()

    def _end(self, doc: Doc) -> None:
        if doc["verb"] == "DELETE" and not doc["fails"]:
            self.resources.delete(doc["resource"])
        else:
            self.mark(doc["resource"], "Failed" if doc["fails"] else "Succeeded")

    def mark(self, resource_id: str, state: str) -> Doc | None:
        """Write a resource's `provisioningState`; the resource, or `None` when it is gone."""
        held = self.resources.get(resource_id)
        if held is not None:
            held["properties"] = {**(held.get("properties") or {}), "provisioningState": state}
            self.resources.put(held["id"], held["type"], held)
        return held


def begin(world: World, call: Call, rule: Rule, answer: Callable[[Call], Reply]) -> Reply:
    """Answer a write to Resource Manager as work that ends `rule.seconds` later; a refusal stays what it is."""
    if call.method == "DELETE":
        reply = _tried(world, call, answer)
        if reply.status != 200:
            return reply
        state = "Deleting"
    else:
        reply = answer(call)
        if reply.status not in (200, 201) or not isinstance(reply.body, dict):
            return reply
        state = "Creating" if reply.status == 201 else "Updating"
    with world.store.write():
        held = world.operations.mark(call.path, state)
        if held is None:
            return reply
        now = world.store.now()
        doc = {
            "id": new_guid(),
            "verb": call.method,
            "resource": held["id"],
            "type": held["type"],
            "fails": rule.fails,
            "started": now,
            "ends": now + rule.seconds,
            "retry": 1 if rule.retry_after is None else rule.retry_after,
        }
        world.operations.add(doc, now + rule.seconds)
    status, outcome = _links(world, doc, call.query.get("api-version", ""))
    headers = {"Retry-After": str(doc["retry"])}
    if call.method == "DELETE":
        headers["Location"] = outcome
        # A resource group's deletion is followed by its Location alone.
        return Reply(202, None, headers | ({} if _is_group(doc) else {"Azure-AsyncOperation": status}))
    return Reply(reply.status, held, {**reply.headers, **headers, "Azure-AsyncOperation": status})


def refuse_while_under_way(world: World, call: Call) -> None:
    """409 for a write on a resource while an operation on it, or the deletion of its group, has not ended.

    Source: "Troubleshoot common Azure deployment errors" (AnotherOperationInProgress). [?] What is said of a group that is being
    deleted is in no list of codes; it is what Resource Manager's clients report.
    """
    found = world.operations.under_way(call.path)
    if found is None:
        return
    name = str(found["resource"]).rsplit("/", 1)[-1]
    if _is_group(found) and found["verb"] == "DELETE":
        text = f"The resource group '{name}' is in deprovisioning state and cannot perform this operation."
        refuse(409, "ResourceGroupBeingDeleted", text)
    text = (
        f"Another operation on this or dependent resource is in progress. To retrieve status of the operation use uri: "
        f"{_links(world, found, call.query.get('api-version', ''))[0]}."
    )
    refuse(409, "AnotherOperationInProgress", text)


def show(world: World, call: Call, name: str, *, outcome: bool) -> Reply:
    """Where a client asks for the status of an operation or, with `outcome`, for what came of it."""
    if call.method != "GET":
        refuse(405, "MethodNotAllowed", f"The HTTP method '{call.method}' is not supported for this request.")
    found = world.operations.get(name)
    if found is None:
        _unknown(name)
    doc, ended = found
    if not outcome:
        return Reply(200, *_status(world, doc, ended, call))
    if not ended:
        _, location = _links(world, doc, call.query.get("api-version", ""))
        return Reply(202, None, {"Location": location, "Retry-After": str(doc["retry"])})
    if doc["fails"]:
        refuse(409, FAILURE["code"], FAILURE["message"])
    if doc["verb"] == "DELETE":
        return Reply(200 if _is_group(doc) else 204)
    return Reply(200, world.resources.get(doc["resource"]))


def _status(world: World, doc: Doc, ended: bool, call: Call) -> tuple[Doc, dict[str, str]]:
    status: Doc = {"id": call.path, "name": doc["id"], "startTime": utc(doc["started"], digits=7)}
    if not ended:
        return status | {"status": "InProgress"}, {"Retry-After": str(doc["retry"])}
    status["endTime"] = utc(doc["ends"], digits=7)
    if doc["fails"]:
        return status | {"status": "Failed", "error": FAILURE}, {}
    return status | {"status": "Succeeded", "percentComplete": 100.0}, {}


def _links(world: World, doc: Doc, version: str) -> tuple[str, str]:
    """Where the status and the outcome of an operation are."""
    subscription, query = "/".join(doc["resource"].split("/")[:3]), f"?api-version={version}"
    namespace = doc["type"].split("/")[0]
    return (
        f"{world.url}{subscription}/providers/{namespace}/operationStatuses/{doc['id']}{query}",
        f"{world.url}{subscription}/operationresults/{doc['id']}{query}",
    )


def _is_group(doc: Doc) -> bool:
    return str(doc["type"]).lower() == GROUP


def _tried(world: World, call: Call, answer: Callable[[Call], Reply]) -> Reply:
    """The answer to a request of which nothing stays."""
    replies: list[Reply] = []
    try:
        with world.store.write():
            replies.append(answer(call))
            raise _Undone
    except _Undone:
        world.operations.look()
        return replies[0]


def _unknown(name: str) -> NoReturn:
    refuse(404, "OperationNotFound", f"There is no operation '{name[:60]}'.")
