"""Access that is proved: every declared grant tried, as the service principal itself.

A new secret is known everywhere after some seconds, a new role effective after minutes, at Log Analytics after up to an hour; and
one success proves little, since the next call may meet a server that does not know yet. So a token must be given several times
in a row, to a fresh client each time, and then each grant is tried where it counts.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from entrant import http
from entrant.access import monitor
from entrant.access.deployer import Deployer
from entrant.errors import AuthenticationError, EntrantError, RefusedError
from entrant.explain import explain
from entrant.facts.clouds import Cloud
from entrant.facts.roles import Permission, find_role, permits
from entrant.facts.scopes import Scope, parse_scope
from entrant.outputs import App, Grant
from entrant.tokens import clouds, credentials

State = Literal["granted", "pending", "denied", "unknown"]

PROPAGATION = dt.timedelta(hours=1)
"""How long a role assignment may take to be effective: ten minutes at Resource Manager, an hour at Log Analytics."""
SUCCESSES = 3
_WORKSPACE = "microsoft.operationalinsights/workspaces"
_QUERY = "Microsoft.OperationalInsights/workspaces/query/read"
_METRIC = "Microsoft.Insights/Metrics/Write"
_PERMISSIONS_VERSION = "2022-04-01"


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one trial. `layer` is `token`, `role`, `query`, `metric` or `permission`."""

    app: str
    layer: str
    target: str
    """What was tried, in words: `Reader on law-dev`."""
    state: State
    evidence: str
    next_step: str | None = None
    final: bool = False
    """Whether waiting cannot change it."""


@dataclass(frozen=True)
class Trial:
    """One thing to prove of an app; `run` tries it once."""

    app: App
    layer: str
    target: str
    attempt: Callable[[], str]
    """Returns evidence, or raises EntrantError; raises `Unknowable` where the answer cannot be known."""
    grant: Grant | None = None

    def run(self, deployer: Deployer | None = None, *, stack: str = "STACK") -> Proof:
        """Try once. A refusal is explained; with a deployer, by the age of the role assignment too."""
        try:
            return self._proof("granted", self.attempt())
        except Unknowable as reason:
            return self._proof("unknown", str(reason), final=True)
        except EntrantError as error:
            found = explain(error.code or "", stack=stack, app=self.app.name)
            step = f"{found[0].cause}; {found[0].next_step}" if found else error.next_step
            if isinstance(error, AuthenticationError | RefusedError):
                if self.grant is not None and deployer is not None:
                    return self._aged(deployer, str(error), step)
                final = bool(found) and found[0].retry == "no"
                return self._proof("denied" if final else "pending", str(error), step, final=final)
            return self._proof("unknown", str(error), error.next_step)

    def _aged(self, deployer: Deployer, evidence: str, step: str | None) -> Proof:
        assert self.grant is not None
        try:
            assignment = deployer.arm(self.grant.assignment_id)["properties"] if self.grant.assignment_id else None
        except RefusedError as error:
            if error.status != 404:
                return self._proof("pending", f"{evidence}; the assignment cannot be looked at ({error.code})", step)
            gone = "the role assignment is not there any more"
            return self._proof("denied", f"{evidence}; {gone}", f"{gone}: run `pulumi up --refresh`", final=True)
        if assignment is None:
            return self._proof("pending", evidence, step)
        age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(str(assignment["createdOn"]).replace("Z", "+00:00"))
        minutes = f"the role assignment is {max(0, int(age.total_seconds() // 60))} minutes old"
        if age < PROPAGATION:
            return self._proof("pending", f"{evidence}; {minutes}", "new roles take up to an hour: wait")
        return self._proof("denied", f"{evidence}; {minutes}", step)

    def _proof(self, state: State, evidence: str, step: str | None = None, *, final: bool = False) -> Proof:
        return Proof(self.app.name, self.layer, self.target, state, evidence, step, final)


class Unknowable(Exception):
    """A trial that cannot tell; the message says why."""


def uses(grant: Grant) -> tuple[Literal["query", "metric"], ...]:
    """What a grant lets its app do that can be tried: query a workspace, send a metric about a resource."""
    scope, role = parse_scope(grant.scope), find_role(grant.role_definition_id)
    if role is None or scope.kind != "resource":
        return ()
    query = scope.resource_type.lower() == _WORKSPACE and permits(role.permissions, _QUERY)
    metric = permits(role.permissions, _METRIC, data=True)
    return (*(("query",) if query else ()), *(("metric",) if metric else ()))


def trials(app: App, cloud: Cloud, *, successes: int = SUCCESSES, write: bool = False) -> Iterator[Trial]:
    """Everything to prove of an app, tokens first. With `write`, custom metrics are proved by sending one."""

    def token(audience: str) -> credentials.Token:
        # A fresh client each time: MSAL repeats a refusal for a minute, and a success until it expires.
        return credentials.fetch(credentials.Credential(app, cloud), app, clouds.scope(cloud, audience))

    def several() -> str:
        for _ in range(successes):
            token("arm")
        return f"{successes} tokens in a row"

    yield Trial(app, "token", "token", several)
    for grant in app.grants:
        scope = parse_scope(grant.scope)
        target = f"{grant.role} on {scope.name}"
        yield Trial(app, "role", target, _role(cloud, token, grant, scope), grant)
        if "query" in uses(grant):
            yield Trial(app, "query", f"query of {scope.name}", _query(cloud, token, scope), grant)
        if "metric" in uses(grant):
            yield Trial(app, "metric", f"metrics of {scope.name}", _metric(cloud, token, scope, write), grant)
    named = [entry for entry in app.permissions if entry["kind"] == "application" and entry["consent"]]
    for entry in named:
        if entry["api"] == "Microsoft Graph":
            yield Trial(app, "permission", f"{entry['name']} at Microsoft Graph", _app_role(token, entry["name"]))


def _role(cloud: Cloud, token: Callable[[str], credentials.Token], grant: Grant, scope: Scope) -> Callable[[], str]:
    def attempt() -> str:
        role = find_role(grant.role_definition_id)
        if role is None:
            raise Unknowable("a custom role: its permissions are not in the table of built-in roles")
        if grant.conditional:
            raise Unknowable("a conditional assignment: Resource Manager does not list what a condition lets through")
        url = f"{cloud.resource_manager}{scope.id.rstrip('/')}/providers/Microsoft.Authorization/permissions"
        answer = http.get_json(url, token=token("arm").access_token, params={"api-version": _PERMISSIONS_VERSION})
        held = {_key(Permission.of(entry)) for entry in answer.get("value", ())}
        missing = [block for block in role.permissions if _key(block) not in held]
        if missing:
            raise RefusedError(
                f"Resource Manager does not list the permissions of {grant.role} at {scope.id}",
                status=403,
                code="AuthorizationFailed",
            )
        return "Resource Manager lists the role's permissions at the scope"

    return attempt


def _key(block: Permission) -> tuple[frozenset[str], ...]:
    parts = (block.actions, block.not_actions, block.data_actions, block.not_data_actions)
    return tuple(frozenset(pattern.lower() for pattern in part) for part in parts)


def _query(cloud: Cloud, token: Callable[[str], credentials.Token], scope: Scope) -> Callable[[], str]:
    def attempt() -> str:
        monitor.query_logs(cloud, token("logs").access_token, scope.id, "print proof = 1")
        return "a trial query was answered"

    return attempt


def _metric(cloud: Cloud, token: Callable[[str], credentials.Token], scope: Scope, write: bool) -> Callable[[], str]:
    def attempt() -> str:
        bearer = token("metrics").access_token
        if not write:
            raise Unknowable("only a metric that is sent proves it: --probe=write sends one")
        body = monitor.metric("proof", 1)
        region = None
        if "{region}" in cloud.metrics:
            region = _region(cloud, token("arm").access_token, scope)
        monitor.send_metrics(cloud, bearer, scope.id, [body], region=region)
        return "a metric was accepted"

    return attempt


def _region(cloud: Cloud, bearer: str, scope: Scope) -> str:
    try:
        found = http.get_json(cloud.resource_manager + scope.id, token=bearer, params={"api-version": "2021-04-01"})
    except RefusedError as error:
        raise Unknowable(f"the region of {scope.name} is not readable for the app ({error.code})") from error
    return str(found["location"])


def _app_role(token: Callable[[str], credentials.Token], name: str) -> Callable[[], str]:
    def attempt() -> str:
        if name not in token("graph").claims.get("roles", ()):
            raise RefusedError(f"the token for Microsoft Graph has no role {name}", status=403, code=None)
        return "it is in the token"

    return attempt


# ------------------------------------------------------------------------------------------------------ once, or until


def check(
    apps: Sequence[App], cloud: Callable[[App], Cloud], *, deployer: Deployer | None, write: bool, stack: str
) -> list[Proof]:
    """Try everything once, apps side by side; the proofs in the order of the apps and their grants.

    Where an app gets no token, its other trials are not made and unknown.
    """

    def one(app: App) -> list[Proof]:
        first, *rest = trials(app, cloud(app), write=write)
        proof = first.run(deployer, stack=stack)
        if proof.state != "granted":
            return [proof, *(trial._proof("unknown", "no token") for trial in rest)]
        return [proof, *(trial.run(deployer, stack=stack) for trial in rest)]

    if not apps:
        return []
    with ThreadPoolExecutor(min(8, len(apps))) as pool:
        return [proof for proofs in pool.map(one, apps) for proof in proofs]


def wait(
    apps: Sequence[App],
    cloud: Callable[[App], Cloud],
    *,
    deployer: Deployer | None,
    write: bool,
    stack: str,
    seconds: float,
    successes: int = SUCCESSES,
    tell: Callable[[Proof, float], None] = lambda proof, elapsed: None,
    pause: float = 0.5,
) -> list[Proof]:
    """Try until everything is granted (or cannot be known), apps side by side; the last proofs.

    Stops early for what waiting cannot change, and after `seconds`. `tell` is called, from several threads, at each change
    of a trial's state, with the seconds since the start.
    """
    started = time.monotonic()

    def one(app: App) -> list[Proof]:
        last = []
        for trial in trials(app, cloud(app), successes=successes, write=write):
            before: State | None = None
            while True:
                proof = trial.run(deployer, stack=stack)
                elapsed = time.monotonic() - started
                if proof.state != before:
                    tell(proof, elapsed)
                    before = proof.state
                if proof.state == "granted" or proof.final or elapsed + pause > seconds:
                    break
                time.sleep(pause)
            last.append(proof)
            if proof.layer == "token" and proof.state != "granted":
                break
        return last

    if not apps:
        return []
    with ThreadPoolExecutor(min(16, len(apps))) as pool:
        return [proof for proofs in pool.map(one, apps) for proof in proofs]
