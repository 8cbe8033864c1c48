"""Access that is proved: every declared grant tried, as the service principal itself, or seen from outside.

A new secret is known everywhere after some seconds, a new role effective after minutes, at Log Analytics after up to an hour; and
one success proves little, since the next call may meet a server that does not know yet. So a token must be given several times
in a row, to a fresh client each time, and then each grant is tried where it counts.

What cannot be tried as the app (a federated credential that works elsewhere, a consent for users, an owner) is looked at as
whoever is signed in: that it is there is all that can be said then, and `seen` is never `granted`.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from entrant import http
from entrant.access import monitor
from entrant.access.deployer import Deployer, unseen
from entrant.access.directory import Directory, api_of
from entrant.errors import AuthenticationError, EntrantError, RefusedError
from entrant.explain import explain
from entrant.facts.apis import GRAPH
from entrant.facts.clouds import Cloud
from entrant.facts.directory_roles import find_directory_role
from entrant.facts.roles import Permission, find_role, permits
from entrant.facts.scopes import Scope, parse_scope
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
_PERMISSIONS_VERSION = "2022-04-01"
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
    def said(self) -> str:
        """The state in words."""
        words = {"seen": "seen from outside, not tried as the app", "unknown": "unknown, neither tried nor seen"}
        return words.get(self.state, self.state)


class Untried(Exception):
    """A trial that may not be made; the message says what was seen in its place."""


class Unknowable(Exception):
    """A trial as the app that cannot tell; the message says why."""


class Missing(Exception):
    """What was looked for from outside is not there; the message says so."""


class Sight(NamedTuple):
    """What was seen from outside, and since when it is there, where that is known."""

    evidence: str
    since: dt.datetime | None = None


@dataclass(frozen=True)
class Trial:
    """One thing to prove of an app; `run` tries it once."""

    app: App
    layer: str
    target: str
    attempt: Callable[[], str] | None
    """Tries it as the app: returns evidence, or raises EntrantError, `Untried` or `Unknowable`; None where it cannot be tried."""
    outside: Callable[[Directory], Sight]
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
        except Untried as said:
            return self._proof("seen", str(said))
        except Unknowable as reason:
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

    def _from_outside(self, directory: Directory | None, reason: str, stack: str) -> Proof:
        before = f"{reason}; " if reason else ""
        if directory is None:
            said = f"{before}nobody is signed in to look from outside"
            return self._proof("unknown", said, "log in with `az login`, or set the ARM_* variables", final=True)
        try:
            return self._proof("seen", before + self.outside(directory).evidence)
        except Missing as missing:
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
        except Missing as missing:
            said = f"{missing}: run `pulumi up --refresh`"
            return self._proof("denied", f"{evidence}; {missing}", said, final=self.grant is not None)
        except EntrantError as error:
            return self._proof("pending", f"{evidence}; {unseen(error, self.right)}", step)
        said = f"{evidence}; {sight.evidence}"
        if sight.since is None:
            return self._proof("pending", said, step)
        if dt.datetime.now(dt.UTC) - sight.since < PROPAGATION:
            return self._proof("pending", said, "new roles take up to an hour: wait")
        return self._proof("denied", said, step)

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
    return bool(app.secret or app.certificate or app.assertion)


def trials(
    app: App, cloud: Cloud, outputs: Outputs, *, successes: int = SUCCESSES, write: bool = False
) -> Iterator[Trial]:
    """Everything to prove of an app, tokens first. With `write`, custom metrics are proved by sending one."""
    able = can_be(app)
    reason = "" if able else _NO_CREDENTIAL if app.credentials else "it has no credential"

    def token(audience: str) -> credentials.Token:
        # A fresh client each time: MSAL repeats a refusal for a minute, and a success until it expires.
        return credentials.fetch(credentials.Credential(app, cloud), app, clouds.scope(cloud, audience))

    def several() -> str:
        for _ in range(successes):
            token("arm")
        return f"{successes} tokens in a row"

    def tried(attempt: Callable[[], str]) -> Callable[[], str] | None:
        return attempt if able else None

    yield Trial(app, "token", "token", tried(several), _principal(app), reason=reason)
    for credential in app.credentials:
        if not (
            app.secret and credential["kind"] == "secret" and credential.get("current", True)
        ):  # its tokens prove it
            what = _CREDENTIALS.get(credential["kind"], credential["kind"])
            yield Trial(app, "credential", f"{what} {credential['name']}", None, _credential(app, credential))
    for grant in app.grants:
        scope = parse_scope(grant.scope)
        role = _role(cloud, token, grant, scope)
        rest = (assignment(app, grant), f"the role Reader at {scope.id}", grant, reason)
        yield Trial(app, "role", f"{grant.role} on {scope.name}", tried(role), *rest)
        if "query" in uses(grant):
            yield Trial(app, "query", f"query of {scope.name}", tried(_query(cloud, token, scope)), *rest)
        if "insights" in uses(grant):
            yield Trial(app, "query", f"query of {scope.name}", tried(_insights(cloud, token, scope)), *rest)
        if "metric" in uses(grant):
            yield Trial(
                app, "metric", f"metrics of {scope.name}", tried(_metric(cloud, token, scope, role, write)), *rest
            )
    for entry in app.permissions:
        if not entry["consent"]:
            continue
        api, target = api_of(outputs, entry), f"{entry['name']} at {entry['api']}"
        if entry["kind"] == "application":
            attempt = tried(
                _app_role(token, "graph" if api == GRAPH else f"{api}/.default", entry["name"], entry["api"])
            )
            yield Trial(app, "permission", target, attempt, _consented(app, api, entry), _CONSENTS, reason=reason)
        else:  # a user's, which no app can try by itself
            yield Trial(app, "permission", f"{target} (delegated)", None, _consented(app, api, entry), _CONSENTS)
    for side, owners in (app.owners or {}).items():
        for owner in owners:
            yield Trial(app, "owner", f"owner {owner} of the {side.replace('_', ' ')}", None, _owner(app, side, owner))
    for group in app.groups or ():
        right = "the Graph permission GroupMember.Read.All"
        yield Trial(app, "group", f"membership of group {group}", None, _member(app, group), right)
    for held in app.directory_roles or ():
        known, unit = find_directory_role(held["role_id"]), held.get("administrative_unit") or ""
        target = f"{known.name if known else held['role_id']} in the directory{f' on {unit}' if unit else ''}"
        right = "the Graph permission RoleManagement.Read.Directory"
        yield Trial(app, "directory role", target, None, _directory_role(app, held["role_id"], unit), right)


# ---------------------------------------------------------------------------------------------------------- as the app


def _role(cloud: Cloud, token: Callable[[str], credentials.Token], grant: Grant, scope: Scope) -> Callable[[], str]:
    def attempt() -> str:
        if grant.conditional:
            raise Unknowable("a conditional assignment: Resource Manager does not list what a condition lets through")
        url = f"{cloud.resource_manager}{scope.id.rstrip('/')}/providers/Microsoft.Authorization"
        query, bearer = {"api-version": _PERMISSIONS_VERSION}, token("arm").access_token
        role = find_role(grant.role_definition_id)
        if role is not None:
            wanted: Sequence[Permission] = role.permissions
        else:
            try:
                custom = http.get_json(f"{url}/roleDefinitions/{grant.role_definition_id}", token=bearer, params=query)
            except RefusedError as error:
                if error.status != 403:
                    raise
                raise Unknowable("a custom role, whose definition the app may not read") from error
            wanted = [Permission.of(entry) for entry in custom["properties"]["permissions"]]
        answer = http.get_json(f"{url}/permissions", token=bearer, params=query)
        held = {_key(Permission.of(entry)) for entry in answer.get("value", ())}
        if any(_key(block) not in held for block in wanted):
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


def _insights(cloud: Cloud, token: Callable[[str], credentials.Token], scope: Scope) -> Callable[[], str]:
    def attempt() -> str:
        known = monitor.application_id(cloud, token("arm").access_token, scope.id)
        monitor.query_insights(cloud, token("insights").access_token, known, "print proof = 1")
        return "a trial query was answered"

    return attempt


def _metric(
    cloud: Cloud, token: Callable[[str], credentials.Token], scope: Scope, role: Callable[[], str], write: bool
) -> Callable[[], str]:
    def attempt() -> str:
        if not write:
            raise Untried(f"{role()}; only a metric that is sent proves more: --probe=write sends one")
        bearer = token("metrics").access_token
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
        if error.status != 403:
            raise
        raise Unknowable(f"the region of {scope.name} is not readable for the app ({error.code})") from error
    return str(found["location"])


def _app_role(token: Callable[[str], credentials.Token], audience: str, name: str, api: str) -> Callable[[], str]:
    def attempt() -> str:
        claims = token(audience).claims
        if not claims:
            raise Unknowable(f"a token for {api} is not one that can be read")
        roles = claims.get("roles")
        if not isinstance(roles, list) or name not in roles:
            raise RefusedError(f"the token for {api} has no role {name}", status=403, code=None)
        return "it is in the token"

    return attempt


# ------------------------------------------------------------------------------------------------------- from outside

_CREDENTIALS = {"federated": "federated credential"}


def _principal(app: App) -> Callable[[Directory], Sight]:
    def look(directory: Directory) -> Sight:
        if directory.principal(app).get("accountEnabled") is False:
            raise Missing("the service principal is disabled, and gets no token")
        return Sight("the service principal is there and enabled")

    return look


def _credential(app: App, declared: Mapping[str, Any]) -> Callable[[Directory], Sight]:
    def look(directory: Directory) -> Sight:
        if declared["kind"] == "federated":
            # One that was renamed in the file keeps its name in Azure.
            key = str(declared.get("key_id")).lower()
            found = [entry for entry in directory.federated(app) if entry["id"].lower() == key]
            if not found:
                raise Missing(f"the registration has no federated credential with the id {key}")
            for part in ("issuer", "subject"):
                if declared.get(part) and declared[part] != found[0].get(part):
                    raise Missing(f"its {part} is {found[0].get(part)}, and not {declared[part]} as declared")
            return Sight(f"the registration has it, for {found[0].get('subject') or declared.get('claims')}")
        keys = {"secret": "passwordCredentials", "certificate": "keyCredentials"}
        listed = directory.registration(app).get(keys[declared["kind"]]) or ()
        key = str(declared.get("key_id")).lower()
        ends = [str(entry.get("endDateTime")) for entry in listed if entry["keyId"].lower() == key]
        if not ends:
            raise Missing(f"the registration has no {declared['kind']} with the key id {key}")
        if _moment(ends[0]) < dt.datetime.now(dt.UTC):
            raise Missing(f"it ended on {ends[0][:10]}")
        return Sight(f"the registration has it, until {ends[0][:10]}")

    return look


def assignment(app: App, grant: Grant) -> Callable[[Directory], Sight]:
    """Looks for the role assignment of a grant, and when it was made."""
    gone = "the role assignment is not there any more"

    def look(directory: Directory) -> Sight:
        deployer = directory.deployer
        if grant.assignment_id:
            try:
                found = deployer.arm(grant.assignment_id)["properties"]
            except RefusedError as error:
                if error.code != "RoleAssignmentNotFound":
                    raise
                raise Missing(gone) from error
        else:
            path = f"{grant.scope.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments"
            mine = {"$filter": f"principalId eq '{app.service_principal_id}'"}
            listed = (entry["properties"] for entry in deployer.listed(deployer.arm(path, **mine), "arm"))
            fitting = [entry for entry in listed if _fits(entry, app, grant)]
            if not fitting:
                raise Missing("there is no such role assignment")
            found = fitting[0]
        if not _fits(found, app, grant):
            raise Missing("the role assignment is for another role or principal")
        since = _moment(str(found["createdOn"]))
        age = dt.datetime.now(dt.UTC) - since
        minutes = max(0, int(age.total_seconds() // 60))
        condition = " and has a condition" if found.get("condition") else ""
        return Sight(f"the role assignment is {minutes} minutes old{condition}", since)

    return look


def _fits(assignment: Mapping[str, Any], app: App, grant: Grant) -> bool:
    role = str(assignment["roleDefinitionId"]).rsplit("/", 1)[-1]
    same = str(assignment["principalId"]).lower() == str(app.service_principal_id).lower()
    return (
        same
        and role.lower() == grant.role_definition_id.rsplit("/", 1)[-1].lower()
        and str(assignment["scope"]).lower().rstrip("/") == grant.scope.lower().rstrip("/")
    )


def _consented(app: App, api: str, declared: Mapping[str, Any]) -> Callable[[Directory], Sight]:
    def look(directory: Directory) -> Sight:
        held = directory.permissions(app) if declared["kind"] == "application" else directory.delegated(app)
        if any((entry.api, entry.name) == (api, declared["name"]) for entry in held):
            return Sight("the directory has the consent")
        raise Missing("nobody has consented to it")

    return look


def _owner(app: App, side: str, owner: str) -> Callable[[Directory], Sight]:
    return _listed(lambda directory: [entry["id"] for entry in directory.owners(app, side)], owner, "an owner")


def _member(app: App, group: str) -> Callable[[Directory], Sight]:
    return _listed(lambda directory: [entry["id"] for entry in directory.groups(app)], group, "a member")


def _directory_role(app: App, role: str, unit: str) -> Callable[[Directory], Sight]:
    def held(directory: Directory) -> list[str]:
        return [
            f"{entry['roleDefinitionId']} {str(entry['directoryScopeId']).removeprefix('/administrativeUnits/').strip('/')}"
            for entry in directory.directory_roles(app)
        ]

    return _listed(held, f"{role} {unit}", "assigned the role")


def _listed(read: Callable[[Directory], list[str]], wanted: str, what: str) -> Callable[[Directory], Sight]:
    def look(directory: Directory) -> Sight:
        if wanted.lower() in (one.lower() for one in read(directory)):
            return Sight(f"the directory says it is {what}")
        raise Missing(f"the directory says it is not {what}")

    return look


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text[:19] + "+00:00")


# ------------------------------------------------------------------------------------------------------ once, or until


NOTHING = Outputs("", "", {})


def check(
    apps: Sequence[App],
    cloud: Callable[[App], Cloud],
    *,
    deployer: Deployer | None,
    write: bool,
    stack: str,
    outputs: Outputs = NOTHING,
) -> list[Proof]:
    """Try everything once, apps side by side; the proofs in the order of the apps and their grants.

    Where an app gets no token, its other trials are not made and unknown. `outputs` are the stack's, to know its own APIs by.
    """

    def one(app: App) -> list[Proof]:
        directory = Directory(deployer) if deployer else None
        first, *rest = trials(app, cloud(app), outputs, write=write)
        proof = first.run(directory, stack=stack)
        lost = first.attempt is not None and proof.state != "granted"
        return [
            proof,
            *(
                trial._proof("unknown", "no token") if lost and trial.attempt else trial.run(directory, stack=stack)
                for trial in rest
            ),
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

    Stops early for what waiting cannot change, and after `seconds`. `tell` is called, from several threads, at each change
    of a trial's state, with the seconds since the start.
    """
    started = time.monotonic()

    def one(app: App) -> list[Proof]:
        last = []
        directory = Directory(deployer) if deployer else None
        for trial in trials(app, cloud(app), outputs, successes=successes, write=write):
            before: State | None = None
            while True:
                proof = trial.run(directory, stack=stack)
                elapsed = time.monotonic() - started
                if proof.state != before:
                    tell(proof, elapsed)
                    before = proof.state
                done = proof.state in ("granted", "seen") or proof.final
                replicated = trial.attempt is None and proof.state == "denied" and elapsed > REPLICATION.total_seconds()
                if done or replicated or elapsed + pause > seconds:
                    break
                time.sleep(pause)
                directory = Directory(deployer) if deployer else None
            last.append(proof)
            if proof.layer == "token" and proof.state not in ("granted", "seen"):
                break
        return last

    if not apps:
        return []
    with ThreadPoolExecutor(min(16, len(apps))) as pool:
        return [proof for proofs in pool.map(one, apps) for proof in proofs]
