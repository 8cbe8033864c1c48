"""After a killed run: what it made and did not note in the stack's state is noted there, and the next `up` goes on with it.

A run that is killed leaves a state that is older than the cloud: by the operations that were under way, or, where no
checkpoints were written, by all of it. `plan` compares three things: the state, the cloud as a refresh sees it, and what the
program declares, from a preview; what is declared and not in the state is looked for (`traces`). `apply` writes what was found
into the state with what the program asks for as its inputs, has Pulumi read it from the cloud, and removes secrets whose value
died with the run.

Only what is provably this stack's is touched. A registration or service principal has the tag of the stack (`facts.marks`) and
was made after the last `up` that ended well; the rest belongs to a registration or service principal of the stack.
"""

import copy
import dataclasses
import datetime as dt
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from entrant import changes, config, engine, http, project
from entrant.access import deployer as deployers
from entrant.access.deployer import Deployer
from entrant.errors import ConfigurationError, EngineError, RefusedError
from entrant.facts import pulumi_types as types
from entrant.facts.marks import MARK, of_stack
from entrant.pipeline import locks
from entrant.recovery import traces
from entrant.recovery.traces import NotOurs, Search, Trace
from entrant.tokens import clouds
from entrant.words import counted

RECOVERING = "ENTRANT_RECOVERING"
"""Set for the program, it declares registrations without the provider's check of their names, which those that are there fail."""
ROUNDS = 5
"""How often it is looked again, since what is found may be what something else hangs on."""
_UNREAD = frozenset({"logoImage", "preventDuplicateNames"})
"""Inputs that no provider reads back: left out of what is noted, they are sent again by the next `up`."""

State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was made and is not in the state."""

    entry: State
    """What is written into the state."""
    unwanted: bool = False
    """Whether no file declares it (any more), so that the next `up` deletes it."""

    @property
    def found(self) -> bool:
        """Whether it is in the cloud, and no component or provider that it stands on."""
        return _azures(self.entry["urn"])

    def __str__(self) -> str:
        end = ", which nothing declares: the next `up` deletes it" if self.unwanted else ""
        return f"{told(self.entry['urn'])} ({self.entry['id']}){end}"


@dataclass(frozen=True, slots=True)
class Lost:
    """A secret whose value nobody has."""

    registration: str
    """Display name of the registration."""
    object_id: str
    key_id: str
    name: str

    def __str__(self) -> str:
        return f'secret "{self.name}" of "{self.registration}" ({self.key_id})'


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
        yield from (f"- remove from the directory: {lost}, whose value is lost" for lost in self.lost)
        yield from (f"- take out of the state: {what}, which is gone" for what in self.gone)
        yield from (f"- take out of the state: {told(urn)}, without its value" for urn in self.worthless)
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
    deployment = export(stack, cwd=cwd, environ=environ)["deployment"]
    operations = deployment.get("pending_operations") or ()
    if operations:
        return f"{counted(len(operations), 'operation')} of {stack} did not end"
    unread = any(_unread(entry) for entry in deployment.get("resources") or ())
    return f"a recovery of {stack} did not end" if unread else None


def export(stack: str, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> State:
    """`pulumi stack export`, its secrets encrypted."""
    said = engine.run(["stack", "export", "--stack", stack], cwd=cwd, environ=environ).stdout
    return dict(json.loads(said))


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
    document = export(stack, cwd=cwd, environ=environ)
    deployment = document["deployment"]
    entries: list[State] = deployment.get("resources") or []
    operations: list[State] = deployment.get("pending_operations") or []
    if any(_azures(entry["urn"]) for entry in (*entries, *(operation["resource"] for operation in operations))):
        _let_settle(deployment, settle)
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(_refreshed, stack, cwd, environ) if entries else None
        steps = _previewed(stack, cwd, environ)
        seen = beside.result() if beside else changes.Reading()
    gone = {change.urn for change in seen.found if change.new is None}
    partly = [entry for entry in entries if entry.get("initErrors")]
    worthless = tuple(entry["urn"] for entry in partly if _is_secret(entry) and not entry["outputs"].get("value"))
    differing = {change.urn for change in seen.found if change.new is not None} | {entry["urn"] for entry in partly}
    found = Plan(
        stack,
        pending=tuple(f"{operation['type']} {told(operation['resource']['urn'])}" for operation in operations),
        gone=tuple(told(urn) for urn in sorted(gone)),
        changed=tuple(told(urn) for urn in sorted(differing - gone - {*worthless})),
        worthless=worthless,
        document=document,
    )
    if not any(_azures(urn) for urn in (step["urn"] for step in (*steps, *entries))):
        return found
    held = [entry for entry in entries if entry["urn"] not in gone | {*worthless} or entry.get("delete")]
    environment = _environment(stack, cwd, environ)
    _let_settle(deployment, settle)
    search = Search(
        _deployer(environment, environ),
        of_stack(*_project_and_stack(steps, entries)),
        {str(entry["id"]).lower() for entry in held if entry.get("id")},
        _last_good(stack, deployment, cwd, environ) or began,
        {
            certificate.public.thumbprint: (key, certificate.public.pem)
            for app in environment.apps.values()
            for key, certificate in app.certificates.items()
        },
    )
    draft = _Draft(search, held, steps)
    draft.declared()
    draft.under_way(operations)
    draft.strays()
    lost = tuple(draft.lost())
    return dataclasses.replace(
        found, notes=tuple(draft.notes), lost=lost, left=tuple(draft.left), complete=search.complete
    )


def apply(plan: Plan, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> None:
    """Do what a plan says.

    Raises:
        EngineError: the state was changed since the plan was made, or Pulumi could not write or refresh it.
        RefusedError, UnreachableError: the directory did not remove a secret.
    """
    document = copy.deepcopy(plan.document)
    deployment = document["deployment"]
    if plan.pending or plan.notes or plan.worthless:
        deployment.pop("pending_operations", None)
        deployment["resources"] = _with_notes(
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
    """Put a state in the place of the one that was exported.

    Raises:
        EngineError: it was changed since, or Pulumi could not write it.
    """
    if export(stack, cwd=cwd, environ=environ) != before:
        raise EngineError(f"the state of {stack} was changed meanwhile", next_step="run this again")
    with tempfile.TemporaryDirectory(prefix="entrant-") as folder:
        file = Path(folder) / "state.json"
        file.write_text(json.dumps(after), "utf-8")
        engine.run(["stack", "import", "--stack", stack, "--file", str(file)], cwd=cwd, environ=_unasked(environ))


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
    held = export(stack, cwd=cwd, environ=environ)["deployment"].get("resources") or ()
    # What a recovery that was killed itself had noted, and what was made and could not be read afterwards.
    if any(_unread(entry) or entry.get("initErrors") for entry in held):
        refresh(stack, cwd=cwd, environ=environ)
    for _ in range(ROUNDS):
        found = plan(stack, began=began, settle=settle, cwd=cwd, environ=environ)
        if found.empty or not agree(found):
            return found
        apply(found, cwd=cwd, environ=environ)
        if found.complete:
            break
    return found


# ------------------------------------------------------------------------------------------------------------------ planning


class _Draft:
    """What a plan notes, while it is made."""

    def __init__(self, search: Search, held: Sequence[State], steps: Sequence[State]) -> None:
        self.search = search
        self.held = held
        self.declared_urns = {step["urn"] for step in steps}
        self.wanted = [step["newState"] for step in steps if step.get("newState")]
        self.notes: list[Note] = []
        self.left: list[str] = []
        self.known = {
            entry["urn"]: Trace(entry["id"], entry.get("outputs") or {})
            for entry in held
            if entry.get("id") and not entry.get("delete")
        }
        self._places = {entry["urn"]: entry for entry in (*self.wanted, *held)}

    def declared(self) -> None:
        """What the program declares and the state has not."""
        for state in self.wanted:
            if state["custom"] and state["urn"] not in self.known:
                self._look(state)

    def under_way(self, operations: Sequence[State]) -> None:
        """What was being created when the run was killed and is declared no longer, or takes another's place."""
        for operation in operations:
            state = operation["resource"]
            if operation["type"] != "creating":
                continue
            # One that was to replace what is in the state goes too: the next `up` makes another.
            if state["urn"] in self.known or state["urn"] not in self.declared_urns:
                self._look(state, unwanted=True)

    def strays(self) -> None:
        """Registrations with the mark that are neither in the state nor declared, and their service principals."""
        for entry in self.search.strays():
            trace = traces.registration_trace(entry)
            if not self.search.made_since(entry["createdDateTime"]):
                self.left.append(f'the registration "{entry["displayName"]}" ({entry["id"]}), which nothing declares')
                continue
            application = self._stray(types.APPLICATION, trace)
            principal = self.search.principal_of(entry["appId"])
            if application and principal:
                self._stray(
                    types.PRINCIPAL,
                    traces.principal_trace(principal),
                    application,
                    {"clientId": entry["appId"]},
                )

    def lost(self) -> Iterator[Lost]:
        """Secrets with names of ours on registrations of the stack, whose key ids the state does not have."""
        entries = [*self.held, *(note.entry for note in self.notes if not note.unwanted)]
        kept = {str(entry["id"]).lower() for entry in self.held if entry.get("id")}
        for entry in entries:
            if entry["type"] != types.APPLICATION:
                continue
            object_id = entry["id"].rsplit("/", 1)[-1]
            found = self.search.registration(object_id) or {}
            for secret in found.get("passwordCredentials") or ():
                name = str(secret.get("displayName") or "")
                if f"{object_id}/password/{secret['keyId']}".lower() in kept or not name.startswith(f"{MARK} "):
                    continue
                lost = Lost(found["displayName"], object_id, secret["keyId"], name)
                if self.search.made_since(secret.get("startDateTime")):
                    yield lost
                else:
                    self.left.append(f"{lost}, from before the last `up` that ended well")

    def _look(self, state: State, *, unwanted: bool = False) -> None:
        if state.get("importID"):  # the next `up` takes it over
            return
        depends = state.get("propertyDependencies") or {}
        inputs = traces.filled_in(state.get("inputs") or {}, depends, self.known)
        if inputs is None:
            return
        try:
            trace = self.search.find(state["type"], state["urn"].split("::", 3)[-1], inputs)
        except NotOurs as reason:
            self.left.append(f"{reason}; {told(state['urn'])} cannot be made beside it")
            return
        if trace is None:
            return
        replaced = unwanted and state["urn"] in self.known
        entry = {name: value for name, value in state.items() if name not in ("outputs", "stackTrace")}
        entry["id"] = trace.id
        entry["inputs"] = {name: value for name, value in inputs.items() if name not in _UNREAD} | dict(trace.inputs)
        entry["outputs"] = {**entry["inputs"], **trace.outputs, "id": trace.id} if trace.kept else {}
        if "replacementTrigger" in entry:  # what hangs on an update of another is made again after the one that follows
            entry["replacementTrigger"] = "recovered"
        if replaced:
            entry |= {"delete": True, "outputs": {"id": trace.id}}
        else:
            self.known[state["urn"]] = trace
        self._note(entry, unwanted)

    def _stray(
        self, type_: str, trace: Trace, parent: State | None = None, inputs: Mapping[str, Any] | None = None
    ) -> State | None:
        """Note what no program declares: at the top of the stack, under its own id."""
        like = next((entry for entry in self._places.values() if entry["type"] == type_), None)
        root = next((urn for urn, entry in self._places.items() if entry["type"] == "pulumi:pulumi:Stack"), None)
        if like is None or root is None:
            self.left.append(f"{trace.id}, which nothing declares")
            return None
        start = "::".join(like["urn"].split("::")[:2])
        entry = {
            "urn": f"{start}::{type_}::{trace.id.rsplit('/', 1)[-1]}",
            "custom": True,
            "type": type_,
            "id": trace.id,
            "inputs": dict(inputs or {}),
            "outputs": {},
            "parent": root,
            "provider": like["provider"],
            "dependencies": [parent["urn"]] if parent else [],
        }
        self._note(entry, unwanted=True)
        return entry

    def _note(self, entry: State, unwanted: bool) -> None:
        """Note an entry, and before it what it needs to stand on: its provider, and the components around it."""
        above, urn = [], entry.get("parent")
        present = {known["urn"] for known in self.held} | {note.entry["urn"] for note in self.notes}
        while urn and urn not in present:
            place = self._places.get(urn) or _component(urn)
            kept = ("urn", "custom", "type", "parent")
            above.append({name: place[name] for name in kept if name in place} | {"outputs": {}})
            urn = place.get("parent")
        self.notes += [Note(place) for place in reversed(above)]
        provider = entry["provider"].rpartition("::")[0]
        there = next((known for known in (*self.held, *self._noted()) if known["urn"] == provider), None)
        if there is None:
            there = _default_provider(provider)
            self.notes.append(Note(there))
        entry["provider"] = f"{provider}::{there['id']}"
        present = {known["urn"] for known in self.held} | {known["urn"] for known in self._noted()}
        entry["dependencies"] = [urn for urn in entry.get("dependencies") or () if urn in present]
        entry["propertyDependencies"] = {
            name: [urn for urn in urns if urn in present]
            for name, urns in (entry.get("propertyDependencies") or {}).items()
        }
        self.notes.append(Note(entry, unwanted))
        self.search.held.add(entry["id"].lower())

    def _noted(self) -> list[State]:
        return [note.entry for note in self.notes]


def _with_notes(entries: Sequence[State], notes: Sequence[Note]) -> list[State]:
    """The state with what was found: in the place of the entry that is gone, else after all that it may depend on."""
    wanted = {note.entry["urn"]: note.entry for note in notes if not note.entry.get("delete")}
    there = [entry if entry.get("delete") else wanted.pop(entry["urn"], entry) for entry in entries]
    return [*there, *wanted.values(), *(note.entry for note in notes if note.entry.get("delete"))]


def _component(urn: str) -> State:
    """A component that neither state nor program has any more, at the top of its stack."""
    stack, project, type_, _ = urn.removeprefix("urn:pulumi:").split("::", 3)
    root = f"urn:pulumi:{stack}::{project}::pulumi:pulumi:Stack::{project}-{stack}"
    made: State = {"urn": urn, "custom": False, "type": type_.rsplit("$", 1)[-1]}
    return made if urn == root else made | {"parent": root}


def _default_provider(urn: str) -> State:
    """The entry that Pulumi makes for a provider that a program does not configure: `default_6_11_1` is of version 6.11.1."""
    version = urn.rpartition("::default_")[2].replace("_", ".")
    type_ = urn.split("::")[2]
    inputs = {"__internal": {}, "version": version}
    return {
        "urn": urn, "custom": True, "id": str(uuid.uuid4()), "type": type_, "inputs": inputs, "outputs": {"version": version}
    }  # fmt: skip


def _unread(entry: State) -> bool:
    """Whether an entry was noted and never read from the cloud."""
    return Note(entry).found and not entry.get("outputs")


def _is_secret(entry: State) -> bool:
    return bool(entry["type"] == types.PASSWORD)


def _azures(urn: str) -> bool:
    """Whether a resource is one that Azure's plugins make."""
    return _type(urn).startswith(("azuread:", "azure-native:"))


def _type(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1]


def told(urn: str) -> str:
    """`…::entrant:index:AppIdentity$azuread:index/application:Application::log-reader` → `Application log-reader`."""
    return f"{traces.kind(_type(urn))} {urn.split('::', 3)[-1]}"


# -------------------------------------------------------------------------------------------------------------------- engine


def _let_settle(deployment: State, settle: float) -> None:
    """Wait until the state is `settle` seconds old."""
    written = dt.datetime.fromisoformat(deployment["manifest"]["time"])
    age = (dt.datetime.now(dt.UTC) - written).total_seconds()
    if 0 <= age < settle:
        time.sleep(settle - age)


def _environment(stack: str, cwd: Path | None, environ: Mapping[str, str]) -> config.Environment:
    try:
        setting = engine.setting(stack, "entrant:environment", cwd=cwd, environ=environ)
        return config.load(setting or stack.rsplit("/", 1)[-1], root=project.find(cwd))
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
    asked = ["preview", "--json", "--stack", stack]
    done = engine.run(asked, cwd=cwd, environ=dict(environ) | {RECOVERING: "true"}, check=False)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        told = {}
    if done.returncode:
        errors = [entry["message"] for entry in told.get("diagnostics") or () if entry["severity"] == "error"]
        raise engine.failure(asked, done.returncode, "".join(errors) or done.stderr)
    return list(told["steps"])


def _last_good(stack: str, deployment: State, cwd: Path | None, environ: Mapping[str, str]) -> dt.datetime | None:
    """When the last `up` or `destroy` ended well that the state knows of; None when none did."""
    asked = ["stack", "history", "--json", "--page-size", "100", "--page", "1", "--stack", stack]
    for update in json.loads(engine.run(asked, cwd=cwd, environ=environ).stdout):
        if update["kind"] in ("update", "destroy") and update["result"] == "succeeded":
            ended = dt.datetime.fromisoformat(update["endTime"])
            # A state that was restored from a backup knows of less than the history does.
            return min(ended, dt.datetime.fromisoformat(deployment["manifest"]["time"]))
    return None


def _project_and_stack(*listed: Sequence[State]) -> tuple[str, str]:
    """The names that are in every URN."""
    urn = next(entry["urn"] for entries in listed for entry in entries)
    stack, project, _ = urn.removeprefix("urn:pulumi:").split("::", 2)
    return project, stack


def _unasked(environ: Mapping[str, str]) -> dict[str, str]:
    """Without the variable that Pulumi takes for `--yes`, which it refuses beside some options."""
    return {name: value for name, value in environ.items() if name != "PULUMI_SKIP_CONFIRMATIONS"}


def _remove(lost: Lost, who: Deployer) -> None:
    """Remove a secret; that it is gone already is fine."""
    url = f"{who.cloud.graph}/v1.0/applications/{lost.object_id}"
    try:
        http.call("POST", f"{url}/removePassword", token=who.token("graph"), json={"keyId": lost.key_id})
    except RefusedError:
        left = who.graph(f"/applications/{lost.object_id}", select="passwordCredentials")["passwordCredentials"]
        if any(entry["keyId"] == lost.key_id for entry in left):
            raise
