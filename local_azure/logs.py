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
MOST_WORKSPACES = 99
"""How many may be queried together with the first (Microsoft, "Query across workspaces": 100 in one query)."""


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
    query, timespan = query_of(call)
    others = _others(call.json() if call.method == "POST" else {"workspaces": call.query.get("workspaces")})
    return Reply(200, run(world, caller, _workspace(world, call.segments), query, timespan, others))


def query_of(call: Call) -> tuple[str, str | None]:
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


def _others(body: Doc) -> list[str]:
    """The workspaces to query together with the one in the path: a list in a body, with commas between them in a URL."""
    named = body.get("workspaces") or []
    listed = named.split(",") if isinstance(named, str) else named
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        bad_argument("The workspaces are not a list of ids.")
    if len(listed) > MOST_WORKSPACES:
        bad_argument(f"A query is of at most {MOST_WORKSPACES + 1} workspaces.")
    return listed


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
    queried = found is not None and found.get("type", "").lower() in (WORKSPACE.lower(), components.TYPE.lower())
    return found if queried and found is not None else resource_id


def _named(world: World, text: str) -> Doc | str:
    """The workspace with this customer id or resource id, or the text where there is none."""
    if text.startswith("/"):
        return _workspace(world, ["v1", *text.strip("/").split("/"), "query"])
    return world.resources.workspace(text) or text


def run(
    world: World, caller: Caller, workspace: Doc | str, query: str, timespan: str | None, others: Iterable[str] = ()
) -> Doc:
    """The answer to one query, or the refusal; `others` are workspaces, by id, whose rows are queried as well."""
    since, until = span(timespan, world.store.now())
    sources = [
        _source(world, caller, one, since, until) for one in (workspace, *(_named(world, each) for each in others))
    ]
    return answered(world, query, sources[0] if len(sources) == 1 else _Together(sources))


def _source(world: World, caller: Caller, workspace: Doc | str, since: float | None, until: float | None) -> Source:
    """The tables of a workspace or a component for a caller, or the refusal."""
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
    if component:
        return components.Telemetry(world, workspace, since, until)
    return _Workspace(world, caller, scope, since, until)


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


class _Together(Source):
    """The tables of several workspaces, those of one name as one."""

    def __init__(self, sources: list[Source]) -> None:
        self.sources = sources

    def names(self) -> Iterable[str]:
        return list(dict.fromkeys(name for source in self.sources for name in source.names()))

    def columns(self, name: str) -> Columns | None:
        found = [columns for source in self.sources if (columns := source.columns(name)) is not None]
        return {column: kind for columns in reversed(found) for column, kind in columns.items()} if found else None

    def rows(self, name: str) -> Iterable[Row]:
        for source in self.sources:
            if source.columns(name) is not None:
                yield from source.rows(name)


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
