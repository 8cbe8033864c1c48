"""The Log Analytics query API.

Source: Microsoft, "Azure Monitor Log Analytics API" (request and response format, errors). A caller needs
``Microsoft.OperationalInsights/workspaces/query/read`` and, for each table that is read, ``…/query/{table}/read`` (Microsoft,
"Manage access to Log Analytics workspaces"), or the data action ``…/workspaces/tables/data/read``. An Application Insights
component is queried here by its resource id, with ``Microsoft.Insights/components/query/read``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NoReturn

from entrant.facts.scopes import Scope, ScopeError, parse_scope
from local_azure import components
from local_azure.access import Caller, authenticate, permitted
from local_azure.kql import Columns, KqlError, Row, Source, answer, python_value
from local_azure.resources import Doc, key_of
from local_azure.wire import Call, Reply, is_guid, new_guid, refuse, span_of
from local_azure.world import World

WORKSPACE = "Microsoft.OperationalInsights/workspaces"


def handle(world: World, call: Call) -> Reply | None:
    """Answer a request to the query API; `None` when the path is none of its own."""
    segments = call.segments
    if not segments or segments[0].lower() != "v1":
        return None
    low = [part.lower() for part in segments]
    if low[1:] == ["$batch"] and call.method == "POST":
        return _batch(world, call)
    if low[-1] != "query" or len(low) < 3:
        refuse(404, "PathNotFoundError", "The requested path does not exist")
    caller = authenticate(world, call, "logs", "arm", wrong_audience=403)
    query, timespan = asked(call)
    return Reply(200, run(world, caller, _workspace(world, call.segments), query, timespan))


def asked(call: Call) -> tuple[str, str | None]:
    """The query of a request and its timespan, from the URL or the body."""
    if call.method == "GET":
        query, timespan = call.query.get("query"), call.query.get("timespan")
    elif call.method == "POST":
        try:
            body = call.json()
        except ValueError:
            bad_argument("The request body is not valid JSON.")
        query, timespan = (body.get("query"), body.get("timespan")) if isinstance(body, dict) else (None, None)
    else:
        refuse(405, "MethodNotAllowed", f"The HTTP method '{call.method}' is not supported for this request.")
    if not isinstance(query, str) or not query.strip():
        bad_argument("The query is missing: give it as 'query'.")
    if not isinstance(timespan, str | None):
        bad_argument("The timespan is not a string.")
    return query, timespan


def bad_argument(text: str, inner: dict[str, Any] | None = None) -> NoReturn:
    """Refuse what was asked for."""
    detail = inner or {"code": "InvalidPropertyValue", "message": text}
    refuse(
        400, "BadArgumentError", "The request had some invalid properties", innererror=detail, correlationId=new_guid()
    )


def insufficient() -> NoReturn:
    """Refuse a caller whose roles do not allow it."""
    text = "The provided credentials have insufficient access to perform the requested operation"
    refuse(403, "InsufficientAccessError", text, correlationId=new_guid())


def _workspace(world: World, segments: list[str]) -> Doc | str:
    """The workspace or the component that a path names, or, where there is none, the id that was asked for."""
    if segments[1].lower() == "workspaces" and len(segments) == 4:
        found = world.resources.workspace(segments[2]) if is_guid(segments[2]) else None
        return found if found is not None else segments[2]
    resource_id = "/" + "/".join(segments[1:-1])
    try:
        scope = parse_scope(resource_id)
    except ScopeError:
        refuse(404, "PathNotFoundError", "The requested path does not exist")
    found = world.resources.get(scope.id)
    queried = found is not None and found["type"].lower() in (WORKSPACE.lower(), components.TYPE.lower())
    return found if queried and found is not None else resource_id


def run(world: World, caller: Caller, workspace: Doc | str, query: str, timespan: str | None) -> Doc:
    """The answer to one query, or the refusal."""
    if isinstance(workspace, str):
        # [?] What the API says of a workspace that does not exist; a caller without any access must not learn the difference.
        if not permitted(world, caller, f"{WORKSPACE}/query/read", parse_scope("/")):
            insufficient()
        text = f"The workspace could not be found: {workspace[:100]}"
        refuse(404, "WorkspaceNotFoundError", text, correlationId=new_guid())
    scope = parse_scope(workspace["id"])
    component = workspace["type"].lower() == components.TYPE.lower()
    if not permitted(world, caller, f"{components.TYPE if component else WORKSPACE}/query/read", scope):
        insufficient()
    since, until = span(timespan, world.store.now())
    if component:
        return answered(world, query, components.Telemetry(world, workspace, since, until))
    return answered(world, query, _Workspace(world, caller, scope, since, until))


def answered(world: World, query: str, source: Source) -> Doc:
    """The answer to a query over some tables, or the refusal."""
    try:
        columns, rows = answer(query, source, datetime.fromtimestamp(world.store.now(), UTC))
    except KqlError as error:
        outer = {
            "SyntaxError": "A recognition error occurred in the query.",
            "SemanticError": "A semantic error occurred.",
        }[error.kind]
        detail: dict[str, Any] = {"code": error.code, "message": error.message}
        if error.position >= 0:
            line = query.count("\n", 0, error.position) + 1
            column = error.position - (query.rfind("\n", 0, error.position) + 1)
            where = f" on line [{line},{column}]" if error.kind == "SyntaxError" else ""
            detail |= {"message": error.message + where, "line": line, "pos": column, "token": error.token}
        bad_argument(error.message, {"code": error.kind, "message": outer, "innererror": detail})
    named = [{"name": name, "type": kind} for name, kind in columns.items()]
    return {"tables": [{"name": "PrimaryResult", "columns": named, "rows": rows}]}


class _Workspace(Source):
    def __init__(self, world: World, caller: Caller, scope: Scope, since: float | None, until: float | None) -> None:
        self.world, self.caller, self.scope, self.since, self.until = world, caller, scope, since, until
        self.key = key_of(scope.id)
        self.tables = world.telemetry.tables(self.key)

    def names(self) -> Iterable[str]:
        return self.tables

    def columns(self, name: str) -> Columns | None:
        return self.tables.get(name)

    def rows(self, name: str) -> Iterable[Row]:
        action = f"{WORKSPACE}/query/{name}/read"
        data = f"{WORKSPACE}/tables/data/read"
        if not permitted(self.world, self.caller, action, self.scope) and not permitted(
            self.world, self.caller, data, self.scope, data=True
        ):
            insufficient()
        kinds = {column: kind for column, kind in self.tables[name].items() if kind in ("datetime", "timespan")}
        return (
            {**row, **{column: python_value(row.get(column), kind) for column, kind in kinds.items()}}
            for row in self.world.telemetry.scan(self.key, name, self.since, self.until)
        )


def span(text: str | None, now: float) -> tuple[float | None, float | None]:
    """Start and end of a timespan, each as far as it says one."""
    try:
        return span_of(text, now) if text else (None, None)
    except ValueError:
        bad_argument(f"The timespan '{str(text)[:80]}' is not an ISO 8601 duration or interval.")


def _batch(world: World, call: Call) -> Reply:
    """``POST /v1/$batch``: several queries, each answered by itself."""
    from local_azure.wire import Refused

    caller = authenticate(world, call, "logs", "arm", wrong_audience=403)
    try:
        body = call.json()
    except ValueError:
        bad_argument("The request body is not valid JSON.")
    requests = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(requests, list) or len(requests) > 50:
        bad_argument("The batch is missing or has more than 50 requests.")
    answers = []
    for one in requests:
        if (
            not isinstance(one, dict)
            or not isinstance(one.get("body"), dict)
            or not isinstance(one.get("workspace"), str)
        ):
            bad_argument("A request of the batch is not an object with 'id', 'workspace' and 'body'.")
        try:
            query, timespan = one["body"].get("query"), one["body"].get("timespan")
            if not isinstance(query, str) or not isinstance(timespan, str | None):
                bad_argument("The query is missing: give it as 'query'.")
            found = world.resources.workspace(one["workspace"]) or one["workspace"]
            answer: Doc = {"status": 200, "body": run(world, caller, found, query, timespan)}
        except Refused as error:
            answer = {"status": error.reply.status, "body": error.reply.body}
        answers.append({"id": one.get("id"), **answer})
    return Reply(200, {"responses": answers})
