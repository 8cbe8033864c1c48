"""What a preview or refresh of a stack would change, read from the engine's events; never with a secret in it."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from entrant.engine import Event, diagnosis
from entrant.facts.contract import issued_in
from entrant.facts.pulumi_types import API_CLIENTS, CERTIFICATE, IDENTITY, PASSWORD

SECRET: Final = "[secret]"
"""Stands for a value that is, or could be, secret."""
UNKNOWN: Final = "[unknown]"
"""Stands for a value that only the operation itself will tell, such as an id."""

_SECRET_MARK = "4dabf18193072939515e22adb298388d"  # sdk/v3/go/common/resource/sig: the key of special values
UNKNOWN_MARKS = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)  # sdk/v3/go/common/resource/plugin/rpc.go: what stands for a value that is not known yet
_SECRET_NAME = re.compile(
    r"secret|password|passphrase|private.?key|api.?key|access.?key|connection.?string|token$", re.IGNORECASE
)
_HARMLESS = frozenset({"accessTokenAcceptedVersion", "requestedAccessTokenVersion", "idTokenIssuanceEnabled"})


@dataclass(frozen=True, slots=True)
class Side:
    """A resource before or after: its id and its properties, without what is secret."""

    id: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    protected: bool = False
    """Whether Pulumi refuses to delete it."""

    def get(self, name: str) -> Any:
        """A property: as asked for, else as the provider told it."""
        return self.inputs.get(name, self.outputs.get(name))


@dataclass(frozen=True, slots=True)
class Difference:
    """A property that changes. `kind` is `add`, `update` or `delete`."""

    path: str
    kind: str
    replaces: bool
    """Whether the resource is replaced because of it."""
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Change:
    """A resource in a preview, changed or not."""

    urn: str
    type: str
    name: str
    app: str | None
    """The app of the environment that it belongs to, if it is part of one."""
    operation: str
    """`same`, `create`, `update`, `replace`, `delete`, `import`, …, as Pulumi has them; `forget` when the resource stays and
    Pulumi lets go of it."""
    old: Side | None
    new: Side | None
    differences: tuple[Difference, ...] = ()
    former: str = ""
    """The name that it had before, where it is found under another one (a Pulumi alias)."""
    imported: bool = False
    """Whether it is, or is replaced by, something that exists and is taken over. `old` is then what was there, if it was found,
    and the differences are what taking it over changes in it.
    """

    @property
    def protected(self) -> bool:
        """Whether Pulumi refuses to delete it as it is before the operation."""
        side = self.old or self.new
        return side is not None and side.protected

    @property
    def part(self) -> str:
        """What it is called within its app: `log-reader/github` is `github` of `log-reader`."""
        return self.name.removeprefix(self.app or "").lstrip("/-")

    @property
    def rotated(self) -> tuple[str, str] | None:
        """The calendar by which a client secret (`secret`) or a certificate (its key in the file) is made here, and what the
        stack's outputs call it; None for anything else."""
        if self.type == CERTIFICATE:
            return issued_in(self.name)
        side = self.new or self.old
        return ("secret", str(side.get("displayName"))) if self.type == PASSWORD and side else None

    @property
    def changes(self) -> bool:
        """Whether anything happens to the resource."""
        return self.operation not in ("same", "read")

    @property
    def protection_changes(self) -> bool:
        """Whether it is protected from now on, or no longer; Pulumi counts that as the same."""
        return self.old is not None and self.new is not None and self.old.protected != self.new.protected

    @property
    def replaces(self) -> tuple[str, ...]:
        """The properties it is replaced for."""
        return tuple(difference.path for difference in self.differences if difference.replaces)


class Reading:
    """Collects the events of one operation: give `on_event` to `engine.operate`, then read `planned` and `found`."""

    def __init__(self) -> None:
        self._planned: dict[str, Change] = {}
        self._found: dict[str, Change] = {}
        self._policies: list[Mapping[str, Any]] = []
        self.errors: list[str] = []
        """What the engine and the program said went wrong."""
        self.config: dict[str, str] = {}
        """The stack's settings, without those that are secret."""

    @property
    def planned(self) -> tuple[Change, ...]:
        """What the operation would do to each resource, in a stable order."""
        found_again = {_named(change.urn, change.former) for change in self._planned.values() if change.former}
        planned = (self._planned[urn] for urn in sorted(self._planned))
        return tuple(change for change in planned if change.new is not None or change.urn not in found_again)

    @property
    def found(self) -> tuple[Change, ...]:
        """What a refresh found different in the cloud from the state; `old` is the state, `new` the cloud (None: gone)."""
        return tuple(self._found[urn] for urn in sorted(self._found))

    @property
    def policies(self) -> tuple[Mapping[str, Any], ...]:
        """The engine's policy events."""
        return tuple(self._policies)

    def on_event(self, event: Event) -> None:
        """Take in one engine event."""
        if "diagnosticEvent" in event:
            if message := diagnosis(event):
                self.errors.append(message)
        elif prelude := event.get("preludeEvent"):
            settings = prelude.get("config") or {}
            self.config = {name: value for name, value in settings.items() if value != SECRET}
        elif policy := event.get("policyEvent"):
            self._policies.append(policy)
        elif before := event.get("resourcePreEvent"):
            self._before(before["metadata"])
        elif after := event.get("resOutputsEvent"):
            self._after(after["metadata"])

    def _before(self, metadata: Mapping[str, Any]) -> None:
        operation = metadata["op"]
        if operation == "refresh":
            return
        change = _change(metadata, _operation(operation))
        known = self._planned.get(change.urn)
        if known is not None and known.operation == "import":
            # An import compares what it found with what is wanted, and an update or replacement follows where they differ.
            self._planned[change.urn] = replace(
                known, new=change.new, differences=known.differences or change.differences
            )
            return
        # a replacement comes as several steps; the one that tells old and new together is the one to keep
        if known is None or (operation == "replace" and known.operation == "replace"):
            imported = change.imported or (known is not None and known.imported)
            self._planned[change.urn] = replace(change, imported=imported)

    def _after(self, metadata: Mapping[str, Any]) -> None:
        """Results of a refresh: `refresh` in a preview, `update` or `delete` in a refresh of its own; what an import found."""
        if metadata["op"] == "import":
            self._planned[metadata["urn"]] = _change(metadata, "import")
        elif metadata["op"] == "refresh" or metadata["urn"] not in self._planned:
            old, new = metadata.get("old"), metadata.get("new")
            if old and not new:
                self._found[metadata["urn"]] = _change(metadata, "delete")
            elif old and (metadata.get("detailedDiff") or metadata["op"] == "update"):
                self._found[metadata["urn"]] = _change(metadata, "update")


def read(events: Iterable[Event]) -> Reading:
    """The changes in `events`."""
    reading = Reading()
    for event in events:
        reading.on_event(event)
    return reading


def _operation(operation: str) -> str:
    return {
        "create-replacement": "replace",
        "delete-replaced": "replace",
        "read-replacement": "read",
        "import-replacement": "replace",
        "discard": "delete",
        "remove-pending-replace": "delete",
    }.get(operation, operation)


def _change(metadata: Mapping[str, Any], operation: str) -> Change:
    urn = metadata["urn"]
    states = [state for state in (metadata.get("old"), metadata.get("new")) if state]
    old, new = (_side(metadata.get(side)) for side in ("old", "new"))
    replaces = set(metadata.get("keys") or ())
    retained = operation == "delete" and any(state.get("retainOnDelete") for state in states)
    return Change(
        urn=urn,
        type=metadata["type"],
        name=urn.rsplit("::", 1)[-1],
        app=_app(urn, [state.get("parent", "") for state in reversed(states)]),
        operation="forget" if retained else operation,
        old=old,
        new=new,
        differences=tuple(_differences(metadata.get("detailedDiff") or {}, replaces, old, new)),
        former=_former(metadata),
        imported=metadata["op"].startswith("import"),
    )


def _named(urn: str, name: str) -> str:
    """The URN of a resource under another name."""
    return f"{urn.rpartition('::')[0]}::{name}"


def _former(metadata: Mapping[str, Any]) -> str:
    """The old name of what is found under another one than it has now."""
    name, old = metadata["urn"].rsplit("::", 1)[-1], (metadata.get("old") or {}).get("urn", "").rsplit("::", 1)[-1]
    return old if old != name else ""


def _app(urn: str, parents: Iterable[str]) -> str | None:
    for candidate in (urn, *parents):
        kind, _, name = candidate.rpartition("::")
        if kind.endswith((f"::{IDENTITY}", f"::{API_CLIENTS}")):
            return name
    return None


def _side(state: Mapping[str, Any] | None) -> Side | None:
    if not state:
        return None
    hidden = _hidden(state["type"])
    return Side(
        state.get("id") or "",
        _properties(state.get("inputs") or {}, hidden),
        _properties(state.get("outputs") or {}, hidden),
        bool(state.get("protect")),
    )


def _hidden(type_: str) -> Callable[[str], bool]:
    """Which property names of a type are secret whatever the provider marks."""
    password = type_.endswith("Password")
    return lambda name: (password and name == "value") or (name not in _HARMLESS and bool(_SECRET_NAME.search(name)))


def _properties(properties: Mapping[str, Any], hidden: Callable[[str], bool]) -> dict[str, Any]:
    return {name: _clean(name, value, hidden) for name, value in properties.items() if not name.startswith("__")}


def _clean(name: str, value: Any, hidden: Callable[[str], bool]) -> Any:
    if isinstance(value, Mapping) and _SECRET_MARK in value:
        return SECRET
    if isinstance(value, str) and value in UNKNOWN_MARKS:
        return UNKNOWN
    if value and not isinstance(value, bool) and hidden(name):
        return SECRET
    if name == "identities":  # the stack's output of this name holds no secret, whatever its apps are called

        def hidden(_: str) -> bool:
            return False

    if isinstance(value, Mapping):
        return _properties(value, hidden)
    if isinstance(value, list):
        return [_clean(name, item, hidden) for item in value]
    return value


def _differences(
    detailed: Mapping[str, Mapping[str, Any]], replaces: set[str], old: Side | None, new: Side | None
) -> Iterator[Difference]:
    for path in sorted(detailed):
        if path.startswith("__"):
            continue
        kind = detailed[path]["diffKind"]
        replaced = kind.endswith("-replace") or path in replaces
        plain, before, after = kind.removesuffix("-replace"), _at(old, path), _at(new, path)
        if path.endswith("]") and None not in (before, after) and before != after:
            # on the other side, another entry has this index
            before, after = (None if plain == "add" else before, None if plain == "delete" else after)
        leaves = list(_leaves(path, plain, replaced, before, after))
        # A provider may tell apart what looks alike here: its word counts.
        yield from leaves or [Difference(path, plain, replaced, before, after)]


def _leaves(path: str, kind: str, replaces: bool, old: Any, new: Any) -> Iterator[Difference]:
    """A difference of two mappings as the differences in them; what is empty and what is not there are the same."""
    if isinstance(old or {}, Mapping) and isinstance(new or {}, Mapping) and (old or new):
        before, after = old or {}, new or {}
        for name in sorted(before.keys() | after.keys()):
            was, will_be = before.get(name), after.get(name)
            if (was or None) != (will_be or None):
                inner = "add" if not was else "delete" if not will_be else "update"
                yield from _leaves(f"{path}.{name}", inner, replaces, was, will_be)
    else:
        yield Difference(path, kind, replaces, old, new)


_STEP = re.compile(r"""\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|\.?([^.\[\]]+)""")


def _at(side: Side | None, path: str) -> Any:
    """The value at a property path such as `web.redirectUris[0]` or `tags["a.b"]`; None where there is none."""
    if side is None:
        return None
    for properties in (side.inputs, side.outputs):
        value: Any = properties
        for quoted, index, name in _STEP.findall(path):
            if value in (SECRET, UNKNOWN):
                break
            if index:
                value = value[int(index)] if isinstance(value, list) and int(index) < len(value) else None
            else:
                key = json.loads(f'"{quoted}"') if quoted else name
                value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            return value
    return None
