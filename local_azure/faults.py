"""Faults on demand: what goes wrong between a client and Azure, by rule, and repeatable from a seed.

A rule says which requests it is for (`family`, `route`, `method`), what happens to them (`kind`), how often (`rate`) and how many
times at most (`count`). The first rule that fits decides. Each rule draws from a generator of its own, seeded with the seed and the
rule's place, so the same requests in the same order meet the same faults. Without rules a request costs one look.

Bodies and headers are those that clients decide by: Microsoft Graph, "Microsoft Graph throttling guidance"; Azure Resource Manager,
"Understand how Azure Resource Manager throttles requests". Where a text is not documented the code says what happened.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, fields
from http import HTTPStatus
from typing import Any

from entrant.facts.scopes import GUID
from local_azure.wire import Call, Reply, new_guid, utc

FAMILIES = ("token", "graph", "arm", "logs", "insights", "metrics", "ingestion", "keyvault")
KINDS = ("status", "reset", "slow", "replication", "operation")
STATUSES = (429, 500, 502, 503, 504)
LONGEST = 600.0
MOST_RULES = 100
MOST_HIDDEN = 10_000
REFERRING = ("/serviceprincipals", "/$ref", "/approleassignedto", "/approleassignments", "/oauth2permissiongrants")
"""Ends of the paths of Graph whose bodies refer to other objects."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of fault for one kind of request.

    Attributes:
        kind: `status` answers with `status`; `reset` breaks the connection; `slow` answers `seconds` later; `replication` lets what
            a request creates be unknown for `seconds` of the local Azure's clock; `operation` lets Resource Manager answer a PUT,
            PATCH or DELETE of a resource at once, as work that ends `seconds` later.
        family: one of `FAMILIES`; empty for every one.
        route: what the path starts with, without regard to case; empty for every path.
        method: an HTTP method; empty for every one.
        status: for `status` alone: 429, 500, 502, 503 or 504.
        retry_after: seconds for the `Retry-After` header of a `status` (no header when `None`) or an `operation` (1 when `None`).
        seconds: for `slow`, `replication` and `operation`.
        rate: the share of the fitting requests that are hit, above 0 and at most 1.
        count: how many requests are hit at most; `None` for no end.
        after: for `status` and `reset`: the request is carried out and only its answer is lost.
        unknown: for `replication`: by what a directory object is unknown, its `id` or its `appId`; by both when empty.
        fails: for `operation`: it ends as failed, and what was to be deleted stays.
    """

    kind: str
    family: str = ""
    route: str = ""
    method: str = ""
    status: int = 503
    retry_after: int | None = None
    seconds: float = 1.0
    rate: float = 1.0
    count: int | None = None
    after: bool = False
    unknown: str = ""
    fails: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """What is to happen to one request."""

    rule: Rule
    reply: Reply | None = None


class Faults:
    """The rules in force, and what they have done; kept in memory, so a restart repeats them from the seed."""

    def __init__(self) -> None:
        self.set([], 0)

    def set(self, rules: list[Rule], seed: int) -> None:
        """Replace all rules and begin the seed's sequence; nothing stays hidden."""
        self.rules, self.seed = rules, seed
        self.hits = [0] * len(rules)
        self._chances = [random.Random(f"{seed}/{at}") for at in range(len(rules))]
        self._hidden: dict[str, float] = {}
        self.active = bool(rules)

    def describe(self) -> dict[str, Any]:
        """The rules as `read` takes them, each with the number of requests it hit."""
        rules = [{**asdict(rule), "hits": hits} for rule, hits in zip(self.rules, self.hits, strict=True)]
        return {"seed": self.seed, "rules": rules}

    def of(self, call: Call) -> Fault | None:
        """The fault for a request, or `None`; called once for each request while `active`."""
        family = family_of(call)
        for at, rule in enumerate(self.rules):
            if rule.kind == "replication" or (rule.kind == "operation" and not _takes_time(family, call)):
                continue
            if self._hits(at, rule, family, call):
                if rule.kind != "status":
                    return Fault(rule)
                text = f"This failure ({rule.status}) was asked for by a fault rule of the local Azure."
                return Fault(rule, failure(family, rule.status, text, retry_after=rule.retry_after))
        return None

    def hidden(self, call: Call, now: float) -> Reply | None:
        """The refusal of a request that needs something which is created but not yet replicated, or `None`."""
        self._forget(now)
        if not self._hidden:
            return None
        path, family = call.path.lower(), family_of(call)
        if path.endswith("/$batch"):
            return None  # each of its requests by itself
        parts = set(path.replace("'", "/").split("/"))
        for name in self._hidden:
            if path == name or path.startswith(name + "/") if name.startswith("/") else name in parts:
                return _unknown(name, family)
        if family == "graph" and call.method == "POST" and (path.endswith(REFERRING) or b"@odata.bind" in call.body):
            named = {found[0] for found in GUID.finditer(call.body.decode("utf-8", "replace").lower())}
            found = next((name for name in self._hidden if name in named), None)
            if found is not None:
                return _no_application(found) if path.endswith("/serviceprincipals") else _unknown(found, family)
        return None

    def unknown(self, name: str, now: float) -> bool:
        """Whether the directory does not know an object id or application id yet, though there is such an object."""
        self._forget(now)
        return name.lower() in self._hidden

    def listed(self, call: Call, reply: Reply, now: float) -> Reply:
        """A list of Graph without what is not yet replicated; any other answer as it is."""
        self._forget(now)
        body = reply.body
        if not self._hidden or family_of(call) != "graph" or not isinstance(body, dict):
            return reply
        docs = body.get("value")
        if reply.status != 200 or not isinstance(docs, list):
            return reply
        by = ("id", "appId") if "appid" in call.query.get("$filter", "").lower() else ("id",)
        kept = [
            doc
            for doc in docs
            if not isinstance(doc, dict) or not any(str(doc.get(name)).lower() in self._hidden for name in by)
        ]
        return Reply(reply.status, {**body, "value": kept}, reply.headers)

    def _forget(self, now: float) -> None:
        """Let what has been replicated by now be known."""
        self._hidden = {name: until for name, until in self._hidden.items() if until > now}

    def created(self, call: Call, reply: Reply, now: float) -> bool:
        """Hide what a request has just created when a rule says so; whether one did."""
        body = reply.body
        if reply.status != 201 or not isinstance(body, dict) or not isinstance(body.get("id"), str):
            return False
        family = family_of(call)
        for at, rule in enumerate(self.rules):
            if rule.kind == "replication" and self._hits(at, rule, family, call):
                wanted = (rule.unknown,) if rule.unknown and family == "graph" else ("id", "appId")
                for name in [str(body[key]).lower() for key in wanted if isinstance(body.get(key), str)]:
                    if len(self._hidden) >= MOST_HIDDEN:
                        self._hidden.pop(next(iter(self._hidden)))
                    self._hidden[name] = now + rule.seconds
                return True
        return False

    def _hits(self, at: int, rule: Rule, family: str, call: Call) -> bool:
        if (
            (rule.family and rule.family != family)
            or (rule.method and rule.method != call.method)
            or not call.path.lower().startswith(rule.route.lower())
            or (rule.count is not None and self.hits[at] >= rule.count)
            or (rule.rate < 1 and self._chances[at].random() >= rule.rate)
        ):
            return False
        self.hits[at] += 1
        return True


def _takes_time(family: str, call: Call) -> bool:
    """Whether a request is one that Resource Manager may answer before its work is done: not those of Microsoft.Authorization."""
    if family != "arm" or call.method not in ("PUT", "PATCH", "DELETE"):
        return False
    return call.path.lower().startswith("/subscriptions/") and "microsoft.authorization" not in call.path.lower()


def family_of(call: Call) -> str:
    """Which of `FAMILIES` a request is for; empty for none of them."""
    parts = [part.lower() for part in call.segments] or [""]
    if parts[0] == "vaults" or ".vault.localhost" in call.headers.get("host", "").lower():
        return "keyvault"
    if parts[0] in ("v1.0", "beta"):
        return "graph"
    if parts[0] == "v1":
        return "insights" if parts[1:2] == ["apps"] else "logs"
    if parts[0] == "datacollectionrules":
        return "ingestion"
    if parts[0] in ("subscriptions", "providers", "tenants"):
        sent = call.method == "POST" and parts[-1] == "metrics" and "api-version" not in call.query
        sent = sent or parts[-1] == "metrics:getbatch"
        return "metrics" if sent else "arm"
    return "token" if parts[-1] == "token" and "oauth2" in parts else ""


def read(body: Any) -> tuple[list[Rule], int]:
    """Rules and seed from JSON: ``{"seed": 7, "rules": [{"kind": "status", "status": 429, …}]}``.

    Raises:
        ValueError: when a name or a value is not one that `Rule` has; says which.
    """
    if not isinstance(body, dict) or not body.keys() <= {"seed", "rules"}:
        raise ValueError("Faults are an object with 'rules' and 'seed'.")
    rules, seed = body.get("rules", []), body.get("seed", 0)
    if not isinstance(rules, list) or len(rules) > MOST_RULES:
        raise ValueError(f"'rules' must be a list of at most {MOST_RULES} rules.")
    if isinstance(seed, bool) or not isinstance(seed, int) or abs(seed) > 2**63:
        raise ValueError("'seed' must be a whole number.")
    return [_rule(at, one) for at, one in enumerate(rules)], seed


def _rule(at: int, document: Any) -> Rule:
    names = [field.name for field in fields(Rule)]
    if not isinstance(document, dict):
        raise ValueError(f"Rule {at}: an object is expected.")
    values = {name: value for name, value in document.items() if name != "hits"}
    unknown = [name for name in values if name not in names]
    if unknown or "kind" not in values:
        raise ValueError(f"Rule {at}: 'kind' is needed, and of the rest only {', '.join(names[1:])} are known.")
    rule = Rule(**values)
    checks = {
        "kind": rule.kind in KINDS,
        "family": rule.family in ("", *FAMILIES),
        "route": isinstance(rule.route, str) and len(rule.route) <= 1000,
        "method": isinstance(rule.method, str) and (not rule.method or rule.method.isalpha()),
        "status": rule.status in STATUSES,
        "retry_after": rule.retry_after is None or _number(rule.retry_after, 0, LONGEST, whole=True),
        "seconds": _number(rule.seconds, 0, LONGEST),
        "rate": _number(rule.rate, 0, 1) and rule.rate > 0,
        "count": rule.count is None or _number(rule.count, 1, 1e9, whole=True),
        "after": isinstance(rule.after, bool) and (not rule.after or rule.kind in ("status", "reset")),
        "unknown": rule.unknown in ("", "id", "appId") and (not rule.unknown or rule.kind == "replication"),
        "fails": isinstance(rule.fails, bool) and (not rule.fails or rule.kind == "operation"),
    }
    wrong = [name for name, right in checks.items() if not right]
    if wrong:
        raise ValueError(f"Rule {at}: the value of '{wrong[0]}' is not one that a rule can have.")
    return rule


def _number(value: Any, low: float, high: float, *, whole: bool = False) -> bool:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    return bool(low <= value <= high)


def failure(family: str, status: int, text: str, *, retry_after: int | None = None) -> Reply:
    """The error answer of a family for a status."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    code = "TooManyRequests" if status == 429 else HTTPStatus(status).phrase.title().replace(" ", "")
    if family == "token":
        return Reply(status, {"error": "temporarily_unavailable", "error_description": text}, headers)
    return Reply(status, _error(family, code, text), {**headers, "x-ms-error-code": code})


def _error(family: str, code: str, text: str) -> dict[str, Any]:
    error: dict[str, Any] = {"code": code, "message": text}
    if family == "graph":
        request = new_guid()
        error["innerError"] = {
            "date": utc(0).removesuffix("Z"),
            "request-id": request,
            "client-request-id": request,
        }
    return {"error": error}


def _no_application(app_id: str) -> Reply:
    """Graph's refusal of a service principal for an application that it does not know."""
    error = _error(
        "graph",
        "NoBackingApplicationObject",
        f"The appId '{app_id}' of the service principal does not reference a valid application object.",
    )
    return Reply(400, error)


def _unknown(name: str, family: str) -> Reply:
    if name.startswith("/"):
        text = f"The Resource '{name.removeprefix('/')}' was not found."
        return Reply(404, _error("arm", "ResourceNotFound", text), {"x-ms-error-code": "ResourceNotFound"})
    text = f"Resource '{name}' does not exist or one of its queried reference-property objects are not present."
    return Reply(404, _error(family, "Request_ResourceNotFound", text))
