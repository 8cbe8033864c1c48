"""Apps that go from one stack to another: their resources leave one state and enter the other, and nothing changes in the cloud.

`pulumi state move` moves resources alone: the outputs, by which the program knows which secrets are in use and what was taken over,
stay behind; and killed between its two writes it cannot be run again, while the next `up` of the source would delete what both
states then have. Here the source first protects what goes, so that no `up` deletes it, then the target gets it, and the source
forgets it last: a move that was killed is ended by another one. Source: Pulumi 3.259, pkg/cmd/pulumi/state/state_move.go.
"""

import copy
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from entrant import engine
from entrant.errors import EngineError
from entrant.facts.marks import of_stack
from entrant.facts.pulumi_types import APPLICATION
from entrant.pipeline import locks
from entrant.recovery import release, unfinished
from entrant.recovery.draft import State, kind_and_name
from entrant.recovery.release import STACK
from entrant.words import counted

_URNS = ("urn", "parent", "provider", "dependencies", "propertyDependencies", "deletedWith", "replaceWith")
"""What of an entry names resources of its stack."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Something that an app needs, and that the other stack holds from then on."""

    app: str
    named: str
    """An app, by its name, or a custom role."""
    of_source: bool
    """Whether the app is one that stays, and what it needs moves."""
    instead: str
    """What to write in the place of its name."""


@dataclass(frozen=True, slots=True)
class Move:
    """What goes from a stack to another."""

    source: release.Plan
    """What the source forgets."""
    target: str
    there: tuple[str, ...]
    """Of its apps, those that the target holds already: an earlier move was interrupted."""
    references: tuple[Reference, ...]
    marks: tuple[str, str]
    """The tags of the source and of the target."""
    before: State
    """The target's export as it was looked at."""
    after: State = field(repr=False)
    """The same with the apps; their secrets are in clear, and not in the repr."""

    def lines(self) -> Iterator[str]:
        """The move for people, a line for each thing."""
        source, target = self.source.stack, self.target
        for app in self.source.apps:
            mine = [
                each for each in self.source.forgotten if self.source.owners[each["urn"]] == app and _in_cloud(each)
            ]
            ids = next((f" ({each['id']})" for each in mine if each["type"] == APPLICATION), "")
            already = f"; {target} has it already, by a move that was interrupted" if app in self.there else ""
            yield f"· {app}{ids}: {counted(len(mine), 'resource')}{already}"
        old, new = self.marks
        marked = sum(old in _tags(entry) for entry in self.source.forgotten)
        if marked:
            yield (
                f"~ the next `up` of {target} writes the tag {new} in the place of {old} on {counted(marked, 'object')}; until "
                f"then `python3 -m entrant recover -s {source}` names them as left alone (exit code 7)"
            )
        yield f"! whoever reads outputs of these apps, or their tokens, from {source} finds them in {target} then: `-s {target}`"


def plan(
    source: str, target: str, apps: Sequence[str], *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Move:
    """What of these apps the source's state holds, and what the target's is with it. Changes nothing.

    Raises:
        StackNotFoundError, EngineError: a state cannot be read, operations of it did not end, the stacks are of two tenants, or the
            target holds another app of the same name.
    """
    found = release.plan(source, apps, cwd=cwd, environ=environ)
    before = engine.export(target, cwd=cwd, environ=environ)
    if before["deployment"].get("pending_operations"):
        raise EngineError(
            f"operations of {target} did not end", next_step=f"run `python3 -m entrant recover -s {target}` first"
        )
    names = locks.project_of(cwd or Path.cwd()), target.rsplit("/", 1)[-1]
    start = f"urn:pulumi:{names[1]}::{names[0]}::"
    after = copy.deepcopy(before)
    entries: list[State] = after["deployment"].get("resources") or [
        {"urn": f"{start}{STACK}::{'-'.join(names)}", "custom": False, "type": STACK}
    ]
    clear = engine.export(source, secrets=True, cwd=cwd, environ=environ)["deployment"].get("resources") or []
    there = tuple(app for app in found.apps if _held(app, found, entries, target))
    gone = {entry["urn"] for entry in found.forgotten if found.owners[entry["urn"]] not in there}
    moved = [entry for entry in clear if entry["urn"] in gone]
    _hand_over(_root(clear), _root(entries), [app for app in found.apps if app not in there], release.ids_of(moved))
    after["deployment"]["resources"] = [*entries, *_of_stack(start, moved, clear, entries)]
    marks = of_stack(names[0], source.rsplit("/", 1)[-1]), of_stack(*names)
    return Move(found, target, there, tuple(_references(found)), marks, before, after)


def apply(move: Move, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> None:
    """Do it, in an order in which a kill at any moment loses nothing, and an `up` of the source that comes between fails.

    Raises:
        EngineError: a state was changed since the move was planned, or could not be written.
    """
    source = move.source
    protected = copy.deepcopy(source.before)
    gone = {entry["urn"] for entry in source.forgotten}
    for entry in protected["deployment"]["resources"]:
        if entry["urn"] in gone and entry["custom"]:
            entry["protect"] = True
    unfinished.put(source.stack, source.before, protected, cwd=cwd, environ=environ)
    if len(move.there) < len(source.apps):
        unfinished.put(move.target, move.before, move.after, cwd=cwd, environ=environ)
    release.apply(release.plan(source.stack, source.apps, cwd=cwd, environ=environ), cwd=cwd, environ=environ)


def _of_stack(start: str, moved: Sequence[State], clear: Sequence[State], there: Sequence[State]) -> list[State]:
    """Entries of the source, and the providers that they need, as those of a stack that has some already."""
    known = {entry["urn"]: entry for entry in there}
    renamed = {entry["urn"]: start + entry["urn"].split("::", 2)[2] for entry in clear}
    renamed |= {entry["urn"]: there_too["urn"] for entry in clear for there_too in there if _both(entry, there_too)}
    providers = {entry["provider"].rpartition("::")[0] for entry in moved if entry.get("provider")}
    wanted = {entry["urn"] for entry in moved} | {urn for urn in providers if renamed[urn] not in known}
    found = [copy.deepcopy(entry) for entry in clear if entry["urn"] in wanted]
    known |= {renamed[entry["urn"]]: entry for entry in found}
    foreign = {urn for urn, new in renamed.items() if new not in known}
    for entry in found:
        entry.pop("aliases", None)
        release.independent(entry, foreign)
        for name in _URNS:
            if name in entry:
                entry[name] = _with(entry[name], renamed)
    for entry in found:
        if entry.get("provider"):
            provider = entry["provider"].rpartition("::")[0]
            entry["provider"] = f"{provider}::{known[provider]['id']}"
    return found


def _both(entry: State, other: State) -> bool:
    return bool(entry["type"] == other["type"] == STACK)


def _with(value: Any, renamed: Mapping[str, str]) -> Any:
    """A value with other URNs in it; of a provider, the id stays behind its URN."""
    if isinstance(value, Mapping):
        return {name: _with(item, renamed) for name, item in value.items()}
    if isinstance(value, list):
        return [_with(item, renamed) for item in value]
    if value in renamed:
        return renamed[value]
    urn, colons, id_ = str(value).rpartition("::")
    return f"{renamed[urn]}{colons}{id_}" if urn in renamed else value


def _held(app: str, found: release.Plan, entries: Sequence[State], target: str) -> bool:
    """Whether the target holds an app already.

    Raises:
        EngineError: it holds another one of this name.
    """

    def registrations(entries: Sequence[State], owners: Mapping[str, str]) -> set[str]:
        mine = (entry for entry in entries if entry["type"] == APPLICATION and owners.get(entry["urn"]) == app)
        return {str(entry.get("id")) for entry in mine}

    owners = release.owners_in(entries)
    if app not in owners.values():
        return False
    if not registrations(found.forgotten, found.owners) & registrations(entries, owners):
        raise EngineError(
            f"{target} holds another app called {app}",
            next_step=f"give one of the two another key first, with `renamed_from: [{app}]`, in an `up` of its own",
        )
    return True


def _hand_over(source: State, target: State, apps: Sequence[str], ids: Collection[str]) -> None:
    """Copy the outputs of apps from the root of a stack to that of another.

    Raises:
        EngineError: the stacks are of two tenants or clouds.
    """
    outputs, own = source.get("outputs") or {}, target.setdefault("outputs", {})
    for name in ("contract", "tenant_id", "cloud"):
        if name in outputs and own.setdefault(name, outputs[name]) != outputs[name]:
            raise EngineError(
                f"the stacks differ in {name}: {outputs[name]} and {own[name]}",
                next_step="move apps between stacks of one tenant, after an `up` of both by the same version",
            )
    for app in apps:
        own |= {name: outputs[name] for name in release.outputs_of(app) if name in outputs}
        if app in (outputs.get("identities") or {}):
            own.setdefault("identities", {})[app] = outputs["identities"][app]
    taken_over = {id_ for id_ in outputs.get("adopted") or () if str(id_).strip("/").lower() in ids}
    own["adopted"] = sorted({*(own.get("adopted") or ()), *taken_over})


def _references(found: release.Plan) -> Iterator[Reference]:
    """What apps of one stack need of the other, from then on, by what depends on what."""
    entries = {entry["urn"]: entry for entry in found.before["deployment"]["resources"]}
    identities = (_root(list(entries.values())).get("outputs") or {}).get("identities") or {}
    needed = {
        (app, found.owners.get(urn, kind_and_name(urn)), urn if urn not in found.owners else "")
        for entry in entries.values()
        if (app := found.owners.get(entry["urn"]))
        for urn in entry.get("dependencies") or ()
        if _in_cloud(entries[urn]) and (app in found.apps) != (found.owners.get(urn) in found.apps)
    }
    for app, named, urn in sorted(needed):
        if identity := identities.get(named):
            ids = identity["client_id"], identity["service_principal_id"]
            instead = f"the client id {ids[0]} (an owner: the object id {ids[1]})"
        else:
            instead = f"its id {entries[urn]['id'].rsplit('/', 1)[-1]}" if urn else "its client id"
        yield Reference(app, named, named in found.apps, instead)


def _in_cloud(entry: State) -> bool:
    return bool(entry["custom"]) and not entry["type"].startswith("pulumi:")


def _root(entries: Sequence[State]) -> State:
    return next((entry for entry in entries if entry["type"] == STACK), {})


def _tags(entry: State) -> Collection[str]:
    tags = (entry.get("inputs") or {}).get("tags") or ()
    return tags.values() if isinstance(tags, Mapping) else tags
