"""An app that a stack forgets: its resources leave the state, and all of them stay in the cloud as they are."""

import copy
import datetime as dt
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from entrant import engine
from entrant.errors import EngineError
from entrant.facts.contract import CERTIFICATES, issued_in, output_name
from entrant.facts.marks import of_stack
from entrant.facts.pulumi_types import API_CLIENTS, APPLICATION, CERTIFICATE, IDENTITY, PASSWORD
from entrant.recovery import unfinished
from entrant.recovery.draft import State, kind_and_name

STACK = "pulumi:pulumi:Stack"
"""Type of the entry that has the stack's outputs."""
_COMPONENTS = (IDENTITY, API_CLIENTS)
_OUTPUTS = ("client_id", "client_secret", "client_secret_previous", CERTIFICATES)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stack forgets."""

    stack: str
    apps: tuple[str, ...]
    """The apps that are forgotten: those asked for of which the stack holds anything."""
    forgotten: tuple[State, ...]
    """The entries of the state that go."""
    owners: Mapping[str, str]
    """URN → app, of all that belongs to an app."""
    before: State
    """The stack's export as it was looked at."""

    def lines(self) -> Iterator[str]:
        """The plan for people, a line for each thing."""
        for entry in self.forgotten:
            if entry.get("custom"):
                yield f"· {kind_and_name(entry['urn'])} ({entry['id']})"
        for app in self.apps:
            mine = [entry for entry in self.forgotten if self.owners[entry["urn"]] == app]
            if any(entry["type"] == PASSWORD for entry in mine):
                command = f"pulumi stack output {output_name(app, 'client_secret')} --show-secrets -s {self.stack}"
                yield f"! the value of {app}'s client secret is in this state alone; keep it first if it is needed: {command}"
            if any(entry["type"] == CERTIFICATE and issued_in(_name(entry)) for entry in mine):
                command = f"pulumi stack output {output_name(app, CERTIFICATES)} --show-secrets -s {self.stack}"
                yield f"! the private keys of {app}'s certificates are in this state alone; keep them first if needed: {command}"

        for entry in self.forgotten:
            mark = of_stack(*unfinished.project_and_stack([entry]))
            if entry["type"] == APPLICATION and mark in ((entry.get("inputs") or {}).get("tags") or ()):
                yield (
                    f"! {_name(entry)} keeps the tag {mark}: until somebody takes it off, "
                    f"`python3 -m entrant recover -s {self.stack}` names it as left alone (exit code 7)"
                )

    @property
    def held(self) -> tuple[str, ...]:
        """Every app of the stack."""
        return tuple(dict.fromkeys(self.owners.values()))

    @property
    def after(self) -> State:
        """The export without what is forgotten."""
        document = copy.deepcopy(self.before)
        gone = {entry["urn"] for entry in self.forgotten}
        kept = [entry for entry in document["deployment"]["resources"] if entry["urn"] not in gone]
        for entry in kept:
            independent(entry, gone)
            if entry["type"] == STACK:
                _forget_outputs(entry.get("outputs") or {}, self.apps, ids_of(self.forgotten))
        document["deployment"]["resources"] = kept
        return document


def plan(stack: str, apps: Sequence[str], *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> Plan:
    """What of a stack's state is of these apps. Changes nothing.

    Raises:
        StackNotFoundError, EngineError: the state cannot be read, or a killed run left operations in it.
    """
    document = engine.export(stack, cwd=cwd, environ=environ)
    entries: list[State] = document["deployment"].get("resources") or []
    if document["deployment"].get("pending_operations"):
        raise EngineError(
            f"operations of {stack} did not end", next_step=f"run `python3 -m entrant recover -s {stack}` first"
        )
    owners = owners_in(entries)
    forgotten = tuple(entry for entry in entries if owners.get(entry["urn"]) in apps)
    found = {owners[entry["urn"]] for entry in forgotten}
    return Plan(stack, tuple(app for app in apps if app in found), forgotten, owners, document)


def owners_in(entries: Sequence[State]) -> dict[str, str]:
    """Of a state's entries, those that belong to an app: URN → app."""
    components = {entry["urn"]: _name(entry) for entry in entries if entry["type"] in _COMPONENTS}
    parents = {entry["urn"]: entry.get("parent") or "" for entry in entries}

    def app_of(urn: str) -> str | None:
        while urn and urn not in components:
            urn = parents.get(urn, "")
        return components.get(urn)

    return {entry["urn"]: app for entry in entries if (app := app_of(entry["urn"]))}


def ids_of(entries: Sequence[State]) -> set[str]:
    """The ids of entries, and those that they were imported by, as they compare."""
    return {str(entry.get(name) or "").strip("/").lower() for entry in entries for name in ("id", "importID")}


def independent(entry: State, gone: Collection[str]) -> None:
    """Have an entry depend on none of these URNs."""
    for name in ("dependencies", "replaceWith"):
        if name in entry:
            entry[name] = [urn for urn in entry[name] if urn not in gone]
    if "propertyDependencies" in entry:
        depends = entry["propertyDependencies"].items()
        entry["propertyDependencies"] = {name: [urn for urn in urns or () if urn not in gone] for name, urns in depends}
    if entry.get("deletedWith") in gone:
        del entry["deletedWith"]


def apply(plan: Plan, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> None:
    """Have the stack forget what a plan says. Nothing in the cloud is asked or changed.

    Raises:
        EngineError: the state was changed since the plan was made, or could not be written.
    """
    # The tag is first: a release that is killed must not leave what a recovery takes for its own.
    tag = ["stack", "tag", "set", unfinished.RELEASED, dt.datetime.now(dt.UTC).isoformat(), "--stack", plan.stack]
    engine.run(tag, cwd=cwd, environ=environ)
    unfinished.put(plan.stack, plan.before, plan.after, cwd=cwd, environ=environ)


def _name(entry: State) -> str:
    return str(entry["urn"]).rpartition("::")[2]


def outputs_of(app: str) -> list[str]:
    """The names of the stack's flat outputs of an app."""
    return [output_name(app, name) for name in _OUTPUTS]


def _forget_outputs(outputs: State, apps: Sequence[str], ids: set[str]) -> None:
    identities = outputs.get("identities")
    for app in apps:
        if isinstance(identities, dict):
            identities.pop(app, None)
        for name in outputs_of(app):
            outputs.pop(name, None)
    if isinstance(outputs.get("adopted"), list):
        outputs["adopted"] = [id_ for id_ in outputs["adopted"] if str(id_).strip("/").lower() not in ids]
