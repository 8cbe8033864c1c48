"""After a killed run: what it made and did not note in the stack's state is noted there, and the next `up` goes on with it.

A run that is killed leaves a state that is older than the cloud: by the operations that were under way, or, where no
checkpoints were written, by all of it. `plan` compares three things: the state, the cloud as a refresh sees it, and what the
program declares, from a preview; what is declared and not in the state is looked for (`traces`). `apply` writes what was found
into the state with what the program asks for as its inputs, has Pulumi read it from the cloud, and removes secrets whose value
died with the run.

Only what is provably this stack's is touched. A registration or service principal has the tag of the stack (`facts.marks`) and
was made after the last `up` that ended well, and after the last `release`; the rest belongs to a registration or service principal
of the stack.
"""

import copy
import dataclasses
import datetime as dt
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from entrant import changes, config, engine, http, project, times
from entrant.access import deployer as deployers
from entrant.access.deployer import Deployer
from entrant.errors import ConfigurationError, EngineError, RefusedError
from entrant.facts.marks import of_stack
from entrant.pipeline import locks
from entrant.recovery.draft import Draft, Lost, Note, State, is_secret, is_unread, kind_and_name, of_azure, with_notes
from entrant.recovery.traces import Search
from entrant.tokens import clouds
from entrant.words import counted

RECOVERING = "ENTRANT_RECOVERING"
"""Set for the program, it declares registrations without the provider's check of their names, which those that are there fail."""
RELEASED = "entrant:released"
"""The stack tag that says when the stack last released an app. Such an app keeps the tag of the stack and is no longer the stack's:
what was made before, and is not in the state, is none of what a later run left."""
ROUNDS = 5
"""How often it is looked again, since what is found may be what something else hangs on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a recovery would do to a stack."""

    stack: str
    pending: tuple[str, ...] = ()
    """Operations that were under way, in words."""
    notes: tuple[Note, ...] = ()
    lost: tuple[Lost, ...] = ()
    gone: tuple[str, ...] = ()
    """Resources in the state that are no longer there."""
    changed: tuple[str, ...] = ()
    """Resources that differ in the cloud from the state, or were made in part."""
    worthless: tuple[str, ...] = ()
    """URNs of secrets in the state whose values are not."""
    left: tuple[str, ...] = ()
    """What stands in the way and is not provably this stack's."""
    document: State = field(default_factory=dict)
    """The stack's export as it was looked at."""
    complete: bool = True
    """Whether nothing more can be found once this is done."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.pending or self.notes or self.lost or self.gone or self.changed or self.worthless)

    def lines(self) -> Iterator[str]:
        """The plan for people, a line for each thing."""
        yield from (f"· was under way: {what}" for what in self.pending)
        yield from (f"+ note in the state: {note}" for note in self.notes if note.found)
        yield from (f"- remove from the directory: {lost}, whose {lost.what} is lost" for lost in self.lost)
        yield from (f"- take out of the state: {what}, which is gone" for what in self.gone)
        yield from (f"- take out of the state: {kind_and_name(urn)}, without its value" for urn in self.worthless)
        yield from (f"~ read again: {what}, which is not as the state has it" for what in self.changed)
        yield from (f"! left alone: {what}" for what in self.left)


def why(stack: str, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> str | None:
    """What tells of a run that was killed, or that failed under `entrant hold`, in words; None when nothing does.

    Raises:
        StackNotFoundError, EngineError: the state could not be read.
    """
    job = locks.marked(stack, cwd=cwd, environ=environ)
    return f"{job.run} of {job.pipeline} did not end well" if job else pending(stack, cwd=cwd, environ=environ)


def pending(stack: str, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> str | None:
    """What in the state tells of it, in words; as `why`."""
    deployment = engine.export(stack, cwd=cwd, environ=environ)["deployment"]
    operations = deployment.get("pending_operations") or ()
    if operations:
        return f"{counted(len(operations), 'operation')} of {stack} did not end"
    unread = any(is_unread(entry) for entry in deployment.get("resources") or ())
    return f"a recovery of {stack} did not end" if unread else None


def plan(
    stack: str,
    *,
    began: dt.datetime | None = None,
    settle: float = 0,
    cwd: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Plan:
    """Look at state, cloud and program, and change nothing.

    Args:
        began: when the first run began that did not end well. What was made before it, or before the end of the last `up` that
            ended well, is none of theirs. With neither, nothing is too old.
        settle: seconds for which the state must have been left alone, since the directory may answer from a place that a new
            object has not reached.

    Raises:
        ConfigurationError: the environment has problems, or there is no deployer.
        StackNotFoundError, EngineError: Pulumi could not read the state, the cloud or the program.
        RefusedError, UnreachableError: the directory or Resource Manager failed.
    """
    document = engine.export(stack, cwd=cwd, environ=environ)
    deployment = document["deployment"]
    entries: list[State] = deployment.get("resources") or []
    operations: list[State] = deployment.get("pending_operations") or []
    if any(of_azure(entry["urn"]) for entry in (*entries, *(operation["resource"] for operation in operations))):
        _let_settle(deployment, settle)
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(_refreshed, stack, cwd, environ) if entries else None
        steps = _previewed(stack, cwd, environ)
        seen = beside.result() if beside else changes.Reading()
    gone = {change.urn for change in seen.found if change.new is None}
    partly = [entry for entry in entries if entry.get("initErrors")]
    worthless = tuple(entry["urn"] for entry in partly if is_secret(entry) and not entry["outputs"].get("value"))
    differing = {change.urn for change in seen.found if change.new is not None} | {entry["urn"] for entry in partly}
    found = Plan(
        stack,
        pending=tuple(f"{operation['type']} {kind_and_name(operation['resource']['urn'])}" for operation in operations),
        gone=tuple(kind_and_name(urn) for urn in sorted(gone)),
        changed=tuple(kind_and_name(urn) for urn in sorted(differing - gone - {*worthless})),
        worthless=worthless,
        document=document,
    )
    if not any(of_azure(urn) for urn in (step["urn"] for step in (*steps, *entries))):
        return found
    held = [entry for entry in entries if entry["urn"] not in gone | {*worthless} or entry.get("delete")]
    environment = _environment(stack, cwd, environ)
    _let_settle(deployment, settle)
    began = _last_good(stack, deployment, cwd, environ) or began
    names, released = project_and_stack(steps, entries), _released(stack, cwd, environ)
    search = _search(environment, _deployer(environment, environ), names, held, began, released)
    kept = [credential.key_id for app in environment.apps.values() for credential in app.kept_credentials]
    draft = Draft(search, held, steps, kept)
    draft.declared()
    draft.under_way(operations)
    draft.strays()
    lost = tuple(draft.lost())
    return dataclasses.replace(
        found, notes=tuple(draft.notes), lost=lost, left=tuple(draft.left), complete=search.complete
    )


def _search(
    environment: config.Environment,
    deployer: Deployer,
    project_and_stack: tuple[str, str],
    held: Sequence[State],
    began: dt.datetime | None,
    released: dt.datetime | None,
) -> Search:
    """The search for what is this stack's and not held by its state."""
    certificates = (pair for app in environment.apps.values() for pair in app.held_certificates.items())
    return Search(
        deployer,
        of_stack(*project_and_stack),
        {str(entry["id"]).lower() for entry in held if entry.get("id")},
        began,
        released,
        {certificate.public.thumbprint: (key, certificate.public.pem) for key, certificate in certificates},
    )


def apply(plan: Plan, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> None:
    """Do what a plan says.

    Raises:
        EngineError: the state was changed since the plan was made, or Pulumi could not write or refresh it.
        RefusedError, UnreachableError: the directory did not remove a secret or a certificate.
    """
    document = copy.deepcopy(plan.document)
    deployment = document["deployment"]
    if plan.pending or plan.notes or plan.worthless:
        deployment.pop("pending_operations", None)
        deployment["resources"] = with_notes(
            [entry for entry in deployment.get("resources") or [] if entry["urn"] not in plan.worthless], plan.notes
        )
        put(plan.stack, plan.document, document, cwd=cwd, environ=environ)
    if plan.notes or plan.gone or plan.changed:
        refresh(plan.stack, cwd=cwd, environ=environ)
    if plan.lost:
        who = _deployer(_environment(plan.stack, cwd, environ), environ)
        for lost in plan.lost:
            _remove(lost, who)


def put(
    stack: str, before: State, after: State, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ
) -> None:
    """Put a state in the place of the one that was exported; Pulumi encrypts what of its secrets is in clear.

    Raises:
        EngineError: it was changed since, or Pulumi could not write it.
    """
    if engine.export(stack, cwd=cwd, environ=environ) != before:
        raise EngineError(f"the state of {stack} was changed meanwhile", next_step="run this again")
    engine.run(["stack", "import", "--stack", stack], cwd=cwd, environ=_unasked(environ), stdin=json.dumps(after))


def refresh(stack: str, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> None:
    """Have Pulumi read every resource of the stack from the cloud into the state."""
    command = ["refresh", "--yes", "--skip-preview", "--skip-pending-creates", "--stack", stack]
    engine.operate(command, cwd=cwd, environ=_unasked(environ))


def recover(
    stack: str,
    *,
    agree: Callable[[Plan], bool],
    began: dt.datetime | None = None,
    settle: float = 0,
    cwd: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Plan:
    """Plan and apply until nothing is left to do; the last plan, whose `left` says what stays in the way.

    Args:
        agree: is shown each plan that is not empty; where it answers no, nothing more is done.

    Raises:
        As `plan` and `apply`.
    """
    held = engine.export(stack, cwd=cwd, environ=environ)["deployment"].get("resources") or ()
    # What a recovery that was killed itself had noted, and what was made and could not be read afterwards.
    if any(is_unread(entry) or entry.get("initErrors") for entry in held):
        refresh(stack, cwd=cwd, environ=environ)
    for _ in range(ROUNDS):
        found = plan(stack, began=began, settle=settle, cwd=cwd, environ=environ)
        if found.empty or not agree(found):
            return found
        apply(found, cwd=cwd, environ=environ)
        if found.complete:
            break
    return found


# -------------------------------------------------------------------------------------------------------------------- engine


def _let_settle(deployment: State, settle: float) -> None:
    """Wait until the state is `settle` seconds old."""
    written = dt.datetime.fromisoformat(deployment["manifest"]["time"])
    age = (dt.datetime.now(dt.UTC) - written).total_seconds()
    if 0 <= age < settle:
        time.sleep(settle - age)


def _environment(stack: str, cwd: Path | None, environ: Mapping[str, str]) -> config.Environment:
    try:
        return config.load(engine.environment_of(stack, cwd=cwd, environ=environ), root=project.find(cwd))
    except config.ConfigError as error:
        raise ConfigurationError(
            str(error), next_step="correct the file; `python3 -m entrant validate` checks it"
        ) from None


def _deployer(environment: config.Environment, environ: Mapping[str, str]) -> Deployer:
    who = deployers.find(clouds.resolve(environment.cloud, environ), environ)
    if who is None:
        raise ConfigurationError(
            "there is no deployer to look for what was made", next_step="`az login`, or set the ARM_* variables"
        )
    return who


def _refreshed(stack: str, cwd: Path | None, environ: Mapping[str, str]) -> changes.Reading:
    """What a refresh would change in the state."""
    reading = changes.Reading()
    command = ["refresh", "--preview-only", "--skip-pending-creates", "--stack", stack]
    engine.operate(command, cwd=cwd, environ=_unasked(environ), on_event=reading.on_event)
    return reading


def _previewed(stack: str, cwd: Path | None, environ: Mapping[str, str]) -> list[State]:
    """The steps of a preview, as `pulumi preview --json` has them: each with the state that the program asks for."""
    arguments = ["preview", "--json", "--stack", stack]
    done = engine.run(arguments, cwd=cwd, environ=dict(environ) | {RECOVERING: "true"}, check=False)
    try:
        preview = json.loads(done.stdout)
    except ValueError:
        preview = {}
    if done.returncode:
        errors = [entry["message"] for entry in preview.get("diagnostics") or () if entry["severity"] == "error"]
        raise engine.failure(arguments, done.returncode, "".join(errors) or done.stderr)
    return list(preview["steps"])


def _last_good(stack: str, deployment: State, cwd: Path | None, environ: Mapping[str, str]) -> dt.datetime | None:
    """When the last `up` or `destroy` ended well that the state knows of; None when none did."""
    arguments = ["stack", "history", "--json", "--page-size", "100", "--page", "1", "--stack", stack]
    for update in json.loads(engine.run(arguments, cwd=cwd, environ=environ).stdout):
        if update["kind"] in ("update", "destroy") and update["result"] == "succeeded":
            ended = dt.datetime.fromisoformat(update["endTime"])
            # A state that was restored from a backup knows of less than the history does.
            return min(ended, dt.datetime.fromisoformat(deployment["manifest"]["time"]))
    return None


def _released(stack: str, cwd: Path | None, environ: Mapping[str, str]) -> dt.datetime | None:
    """When the stack last released an app; None when it never did.

    Raises:
        EngineError: the tag says no time, so that it is not known what is the stack's no longer.
    """
    moment = locks.tags(stack, cwd=cwd, environ=environ).get(RELEASED)
    try:
        return times.moment(moment) if moment else None
    except ValueError as error:
        raise EngineError(
            f"the tag {RELEASED} of {stack} is no time: {error}",
            next_step=f"set it to when an app was last released: pulumi stack tag set {RELEASED} 2026-01-31T12:00:00Z -s {stack}",
        ) from None


def project_and_stack(*listed: Sequence[State]) -> tuple[str, str]:
    """The names that are in every URN: the project's and the stack's."""
    urn = next(entry["urn"] for entries in listed for entry in entries)
    stack, project, _ = urn.removeprefix("urn:pulumi:").split("::", 2)
    return project, stack


def _unasked(environ: Mapping[str, str]) -> dict[str, str]:
    """Without the variable that Pulumi takes for `--yes`, which it refuses beside some options."""
    return {name: value for name, value in environ.items() if name != "PULUMI_SKIP_CONFIRMATIONS"}


def _remove(lost: Lost, who: Deployer) -> None:
    """Remove a secret or a certificate; that it is gone already is fine."""
    url = f"{who.cloud.graph}/v1.0/applications/{lost.object_id}"
    if lost.kind == "certificate":  # `removeKey` wants a proof by a private key that nobody has
        held = who.graph(f"/applications/{lost.object_id}", select="keyCredentials")["keyCredentials"]
        left = [entry for entry in held if entry["keyId"] != lost.key_id]
        if len(left) < len(held):
            http.call("PATCH", url, token=who.token("graph"), json={"keyCredentials": left})
        return
    try:
        http.call("POST", f"{url}/removePassword", token=who.token("graph"), json={"keyId": lost.key_id})
    except RefusedError:
        left = who.graph(f"/applications/{lost.object_id}", select="passwordCredentials")["passwordCredentials"]
        if any(entry["keyId"] == lost.key_id for entry in left):
            raise
