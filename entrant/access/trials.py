"""Access that is proved: every declared grant tried, as the service principal itself, or seen from outside.

A new secret is known everywhere after some seconds, a new role effective after minutes, at Log Analytics after up to an hour; and
one success proves little, since the next call may meet a server that does not know yet. So a token must be given several times
in a row, to a fresh client each time, and then each grant is tried where it counts.

What cannot be tried as the app (a federated credential that works elsewhere, a consent for users, an owner) is looked at as
whoever is signed in: that it is there is all that can be said then, and `seen` is never `granted`.
"""

import datetime as dt
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from entrant.access import as_app, from_outside
from entrant.access.deployer import Deployer, unseen
from entrant.access.directory import Directory, permission_of
from entrant.errors import AuthenticationError, EntrantError, RefusedError
from entrant.explain import explain
from entrant.facts.apis import GRAPH
from entrant.facts.clouds import Cloud
from entrant.facts.contract import calendar_of
from entrant.facts.directory_roles import find_directory_role
from entrant.facts.roles import find_role, permits
from entrant.facts.scopes import parse_scope
from entrant.outputs import App, Grant, Outputs
from entrant.tokens import clouds, credentials

State = Literal["granted", "seen", "pending", "denied", "unknown"]

PROPAGATION = dt.timedelta(hours=1)
"""How long a role assignment may take to be effective: ten minutes at Resource Manager, an hour at Log Analytics."""
REPLICATION = dt.timedelta(minutes=5)
"""How long the directory may deny what was just made."""
SUCCESSES = 3
_WORKSPACE = "microsoft.operationalinsights/workspaces"
_QUERY = "Microsoft.OperationalInsights/workspaces/query/read"
_COMPONENT = "microsoft.insights/components"
_INSIGHTS = "Microsoft.Insights/components/query/read"
_METRIC = "Microsoft.Insights/Metrics/Write"
_NO_CREDENTIAL = "no credential to be tried with here"
_APPLICATIONS = "the Graph permission Application.Read.All"
_CONSENTS = "the Graph permission Directory.Read.All"


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one trial. `layer` is `token`, `credential`, `role`, `query`, `metric`, `permission`, `owner`, `group` or
    `directory role`.

    `state`: `granted`, tried as the app and it works; `seen`, not tried as the app, but it is there; `pending`, refused, and may
    work later; `denied`, refused or not there; `unknown`, neither tried nor seen.
    """

    app: str
    layer: str
    target: str
    """What was tried, in words: `Reader on law-dev`."""
    state: State
    evidence: str
    next_step: str | None = None
    final: bool = False
    """Whether waiting cannot change it."""

    @property
    def in_words(self) -> str:
        """The state in words."""
        words = {"seen": "seen from outside, not tried as the app", "unknown": "unknown, neither tried nor seen"}
        return words.get(self.state, self.state)


@dataclass(frozen=True)
class Trial:
    """One thing to prove of an app; `run` tries it once."""

    app: App
    layer: str
    target: str
    attempt: Callable[[], str] | None
    """Tries it as the app: returns evidence, or raises EntrantError, `Untried` or `Unknowable`; None where it cannot be tried."""
    outside: Callable[[Directory], from_outside.Sight]
    """Looks for it as the deployer; raises EntrantError or `Missing`."""
    right: str = _APPLICATIONS
    """What it takes to look from outside."""
    grant: Grant | None = None
    reason: str = ""
    """Why it cannot be tried as the app."""

    def run(self, directory: Directory | None = None, *, stack: str = "STACK") -> Proof:
        """Try once, as the app where that can be. A refusal is explained, also by the age of the role that `directory` shows."""
        if self.attempt is None:
            return self._from_outside(directory, self.reason, stack)
        try:
            return self._proof("granted", self.attempt())
        except as_app.Untried as reason:
            return self._proof("seen", str(reason))
        except as_app.Unknowable as reason:
            return self._from_outside(directory, str(reason), stack)
        except EntrantError as error:
            if not isinstance(error, AuthenticationError | RefusedError):
                return self._proof("unknown", str(error), error.next_step)
            found = explain(error.code or "", stack=stack, app=self.app.name)
            step = f"{found[0].cause}; {found[0].next_step}" if found else error.next_step
            final = bool(found) and found[0].retry == "no"
            if directory is not None and (self.grant is not None or (self.layer == "permission" and not final)):
                return self._refused(directory, str(error), step)
            return self._proof("denied" if final else "pending", str(error), step, final=final)

    def without_token(self) -> "Trial":
        """The same where the app gets no token, to be looked for from outside."""
        return self if self.attempt is None else replace(self, attempt=None, reason="no token")

    def _from_outside(self, directory: Directory | None, reason: str, stack: str) -> Proof:
        before = f"{reason}; " if reason else ""
        if directory is None:
            message = f"{before}nobody is signed in to look from outside"
            return self._proof("unknown", message, "log in with `az login`, or set the ARM_* variables", final=True)
        try:
            return self._proof("seen", before + self.outside(directory).evidence)
        except from_outside.Missing as missing:
            return self._proof("denied", before + str(missing), self._again(stack), final=self.grant is not None)
        except EntrantError as error:
            if isinstance(error, RefusedError) and error.status == 404 and self._own(error):
                return self._proof("denied", f"{before}it is not in the directory ({error.code})", self._again(stack))
            final = isinstance(error, AuthenticationError) or (isinstance(error, RefusedError) and error.status == 403)
            return self._proof("unknown", before + unseen(error, self.right), error.next_step, final=final)

    def _refused(self, directory: Directory, evidence: str, step: str | None) -> Proof:
        """A refusal, in the light of what is there: new, old, or gone."""
        try:
            sight = self.outside(directory)
        except from_outside.Missing as missing:
            remedy = f"{missing}: run `pulumi up --refresh`"
            return self._proof("denied", f"{evidence}; {missing}", remedy, final=self.grant is not None)
        except EntrantError as error:
            return self._proof("pending", f"{evidence}; {unseen(error, self.right)}", step)
        evidence = f"{evidence}; {sight.evidence}"
        if sight.since is None:
            return self._proof("pending", evidence, step)
        if dt.datetime.now(dt.UTC) - sight.since < PROPAGATION:
            return self._proof("pending", evidence, "new roles take up to an hour: wait")
        return self._proof("denied", evidence, step)

    def _own(self, error: RefusedError) -> bool:
        own = (f"/applications/{self.app.object_id}", f"/servicePrincipals/{self.app.service_principal_id}")
        return any(path in str(error) for path in own)

    def _again(self, stack: str) -> str:
        return f"see what changed with `python3 -m entrant drift -s {stack}`; `pulumi up --refresh -s {stack}` puts it back"

    def _proof(self, state: State, evidence: str, step: str | None = None, *, final: bool = False) -> Proof:
        return Proof(self.app.name, self.layer, self.target, state, evidence, step, final)


def uses(grant: Grant) -> tuple[Literal["query", "insights", "metric"], ...]:
    """What a grant lets its app do that can be tried: query a workspace or a component, send a metric about a resource."""
    scope, role = parse_scope(grant.scope), find_role(grant.role_definition_id)
    if role is None or scope.kind != "resource":
        return ()
    query = scope.resource_type.lower() == _WORKSPACE and permits(role.permissions, _QUERY)
    insights = scope.resource_type.lower() == _COMPONENT and permits(role.permissions, _INSIGHTS)
    metric = permits(role.permissions, _METRIC, data=True)
    return (*(("query",) if query else ()), *(("insights",) if insights else ()), *(("metric",) if metric else ()))


def can_be(app: App) -> bool:
    """Whether this machine can be the app: a federated credential works only where its tokens are issued."""
    return bool(app.secret or app.certificate or app.issued or app.assertion)


def trials(
    app: App, cloud: Cloud, outputs: Outputs, *, successes: int = SUCCESSES, write: bool = False
) -> Iterator[Trial]:
    """Everything to prove of an app, tokens first. With `write`, custom metrics are proved by sending one."""
    able = can_be(app)
    reason = "" if able else _NO_CREDENTIAL if app.credentials else "it has no credential"

    def token(audience: str, who: App = app, environ: Mapping[str, str] = os.environ) -> credentials.Token:
        # A fresh client each time: MSAL repeats a refusal for a minute, and a success until it expires.
        return credentials.fetch(
            credentials.Credential(who, cloud, environ=environ), who, clouds.scope(cloud, audience)
        )

    def several(who: App = app) -> str:
        environ = os.environ if who is app else {}
        for _ in range(successes):
            token("arm", who, environ)
        return f"{successes} tokens in a row"

    def tried(attempt: Callable[[], str]) -> Callable[[], str] | None:
        return attempt if able else None

    yield Trial(app, "token", "token", tried(several), from_outside.principal(app), reason=reason)
    yield from _of_credentials(app, several)
    for grant in app.grants:
        scope = parse_scope(grant.scope)
        role = as_app.role(cloud, token, grant, scope)
        rest = (from_outside.assignment(app, grant), f"the role Reader at {scope.id}", grant, reason)
        yield Trial(app, "role", f"{grant.role} on {scope.name}", tried(role), *rest)
        if "query" in uses(grant):
            yield Trial(app, "query", f"query of {scope.name}", tried(as_app.query(cloud, token, scope)), *rest)
        if "insights" in uses(grant):
            yield Trial(app, "query", f"query of {scope.name}", tried(as_app.insights(cloud, token, scope)), *rest)
        if "metric" in uses(grant):
            yield Trial(
                app, "metric", f"metrics of {scope.name}", tried(as_app.metric(cloud, token, scope, role, write)), *rest
            )
    for entry in app.permissions:
        if not entry["consent"]:
            continue
        permission = (api, called) = permission_of(outputs, entry)
        target, outside = f"{entry['name']} at {entry['api']}", from_outside.consented(app, entry["kind"], permission)
        if entry["kind"] == "application":
            attempt = tried(
                as_app.app_role(token, "graph" if api == GRAPH else f"{api}/.default", called, entry["api"])
            )
            yield Trial(app, "permission", target, attempt, outside, _CONSENTS, reason=reason)
        else:  # a user's, which no app can try by itself
            yield Trial(app, "permission", f"{target} (delegated)", None, outside, _CONSENTS)
    yield from _of_the_directory(app)


def _of_credentials(app: App, tokens: Callable[[App], str]) -> Iterator[Trial]:
    """Its credentials, but for the secret whose tokens prove it; `tokens` gets several for an app."""
    for credential in app.credentials:
        newest = credential.get("current", True)
        if app.secret and credential["kind"] == "secret" and newest:
            continue
        key = calendar_of(credential) or ""
        by_itself = partial(tokens, app.alone(key)) if newest and key in app.issued else None
        what = _CREDENTIALS.get(credential["kind"], credential["kind"])
        yield Trial(
            app, "credential", f"{what} {credential['name']}", by_itself, from_outside.credential(app, credential)
        )


def _of_the_directory(app: App) -> Iterator[Trial]:
    """What only the directory tells: owners, groups, directory roles."""
    for side, owners in (app.owners or {}).items():
        for owner in owners:
            yield Trial(
                app,
                "owner",
                f"owner {owner} of the {side.replace('_', ' ')}",
                None,
                from_outside.owner(app, side, owner),
            )
    for group in app.groups or ():
        right = "the Graph permission GroupMember.Read.All"
        yield Trial(app, "group", f"membership of group {group}", None, from_outside.member(app, group), right)
    for held in app.directory_roles or ():
        known, unit = find_directory_role(held["role_id"]), held.get("administrative_unit") or ""
        target = f"{known.name if known else held['role_id']} in the directory{f' on {unit}' if unit else ''}"
        right = "the Graph permission RoleManagement.Read.Directory"
        yield Trial(app, "directory role", target, None, from_outside.directory_role(app, held["role_id"], unit), right)


_CREDENTIALS = {"federated": "federated credential"}


NOTHING = Outputs("", "", {})


def check(
    apps: Sequence[App],
    cloud: Callable[[App], Cloud],
    *,
    directory: Directory | None,
    write: bool,
    stack: str,
    outputs: Outputs = NOTHING,
) -> list[Proof]:
    """Try everything once, apps side by side; the proofs in the order of the apps and their grants.

    Where an app gets no token, the rest is looked for from outside. `directory` is what is looked at from outside, None where
    nobody is signed in; `outputs` are the stack's, to know its own APIs by.
    """

    def one(app: App) -> list[Proof]:
        first, *rest = trials(app, cloud(app), outputs, write=write)
        proof = first.run(directory, stack=stack)
        lost = first.attempt is not None and proof.state != "granted"
        return [
            proof,
            *((trial.without_token() if lost else trial).run(directory, stack=stack) for trial in rest),
        ]

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
    outputs: Outputs = NOTHING,
    successes: int = SUCCESSES,
    tell: Callable[[Proof, float], None] = lambda proof, elapsed: None,
    pause: float = 0.5,
) -> list[Proof]:
    """Try until everything is granted or, where it cannot be tried, seen; apps side by side; the last proofs.

    Stops early for what waiting cannot change, and after `seconds`. Where an app gets no token, the rest is looked for from
    outside, once. `tell` is called, from several threads, at each change
    of a trial's state, with the seconds since the start.
    """
    started = time.monotonic()

    def one(app: App) -> list[Proof]:
        last: list[Proof] = []
        directory = Directory(deployer) if deployer else None
        for trial in trials(app, cloud(app), outputs, successes=successes, write=write):
            lost = bool(last) and last[0].state not in ("granted", "seen")
            trial = trial.without_token() if lost else trial
            before: State | None = None
            while True:
                proof = trial.run(directory, stack=stack)
                elapsed = time.monotonic() - started
                if proof.state != before:
                    tell(proof, elapsed)
                    before = proof.state
                done = proof.state in ("granted", "seen") or proof.final
                replicated = trial.attempt is None and proof.state == "denied" and elapsed > REPLICATION.total_seconds()
                if done or lost or replicated or elapsed + pause > seconds:
                    break
                time.sleep(pause)
                directory = Directory(deployer) if deployer else None
            last.append(proof)
        return last

    if not apps:
        return []
    with ThreadPoolExecutor(min(16, len(apps))) as pool:
        return [proof for proofs in pool.map(one, apps) for proof in proofs]
