"""What the stack holds already: which objects it manages, and under which names, from its state."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import pulumi
from pulumi.runtime.settings import get_monitor

from entrant.facts.pulumi_types import GROUP_MEMBER, KNOWN_CLIENTS, PRE_AUTHORIZED
from entrant.facts.scopes import GUID

Key = tuple[str, str]
"""A resource's type and its name."""

_OWN_IDS = ("id", "objectId", "keyId", "credentialId", "name")
"""Outputs that end in the id of the object itself, by whatever provider."""
_WITHIN = frozenset({GROUP_MEMBER, PRE_AUTHORIZED, KNOWN_CLIENTS})
"""Types whose ids end in that of another object: the whole id tells them apart."""
_OWNER_IDS = (
    "applicationId",
    "principalObjectId",
    "principalId",
    "servicePrincipalObjectId",
    "memberObjectId",
)
"""Outputs that end in the id of the app that the object belongs to."""


@dataclass(frozen=True, slots=True)
class State:
    """The resources of the stack as its last operation left them, with their outputs; of client secrets that they are there."""

    resources: Mapping[Key, Mapping[str, Any]] = field(default_factory=dict)
    settled: frozenset[str] = frozenset()
    """The ids of what was taken over, as the stack's outputs have them, which only an operation that succeeds writes: what is there
    was agreed on."""
    as_is: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By app, what providers cannot read back and was taken over as the file had it then: key and digest."""

    refused: list[str] = field(default_factory=list)
    """What this run was to take over, and refused to change."""

    @classmethod
    def read(cls) -> "State":
        """The stack's own state before this run, as the engine tells it (what Pulumi's Node SDK has as `listResourceOutputs`).

        It is read once: of many components, a later one would see what the run itself has made.
        """
        run = get_monitor()
        if run not in _READ:
            _READ[run] = cls._read()
        return _READ[run]

    @classmethod
    def _read(cls) -> "State":
        answer = own_stack("readStackResourceOutputs", "stackName")
        found: Mapping[str, Any] = answer.get("outputs") or {}
        resources = {
            (str(entry["type"]), urn.split("::", 3)[3]): {} if entry["type"].endswith("Password") else entry["outputs"]
            for urn, entry in found.items()
            if not entry["type"].startswith("pulumi:")
        }
        outputs: Mapping[str, Any] = next(
            (entry["outputs"] for entry in found.values() if entry["type"] == "pulumi:pulumi:Stack"), {}
        )
        identities: Mapping[str, Any] = outputs.get("identities") or {}
        settled = outputs.get("adopted")
        if settled is None:  # outputs of before they listed it
            settled = [found[0] for found in GUID.finditer(json.dumps(identities, default=str))]
        return cls(
            resources,
            frozenset(_whole(id_) for id_ in settled),
            {name: identity.get("as_is") or {} for name, identity in identities.items()},
        )

    def get(self, type_: str, names: Iterable[str]) -> Mapping[str, Any]:
        """The outputs of the resource that has one of these names; empty when none has."""
        return next((self.resources[type_, name] for name in names if (type_, name) in self.resources), {})

    def holder(self, type_: str, id_: str) -> str | None:
        """The name under which an object is managed; None when it is not."""
        return next(
            (name for (of, name), outputs in self.resources.items() if of == type_ and _is(of, outputs, id_)), None
        )

    def agreed(self, type_: str, id_: str) -> bool:
        """Whether an operation has succeeded that took an object over."""
        return _whole(id_) in self.settled or (type_ not in _WITHIN and _last(id_) in self.settled)

    def aliases(self, type_: str, former: Iterable[str], owners: Iterable[str]) -> list[str]:
        """Of the names that a resource may have had, those that are its own in the state: of an app with one of these ids."""
        ids = set(owners)
        return [
            name
            for name in former
            if (outputs := self.resources.get((type_, name))) is not None
            and (not ids or ids & {_last(outputs.get(key)) for key in _OWNER_IDS})
        ]


_READ: WeakKeyDictionary[Any, State] = WeakKeyDictionary()
"""By the engine's side of a run, the state before it."""


def own_stack(function: str, argument: str) -> Mapping[str, Any]:
    """What the engine answers about the stack that is being run, by one of its own functions.

    Raises:
        Exception: the backend cannot be read; with the engine's words.
    """
    stack, organization = pulumi.get_stack(), pulumi.get_organization()
    # Backends without organizations call theirs this, and those of the oldest layout take a plain name alone.
    name = stack if organization == "organization" else f"{organization}/{pulumi.get_project()}/{stack}"
    for patience in (*_BETWEEN_READS, None):
        try:
            read = pulumi.runtime.invoke(f"pulumi:pulumi:{function}", {argument: name})
        except Exception as error:  # the engine's only kind
            # A file backend writes the state at the beginning of an operation: half of it may be read.
            if patience is None or "failed to load checkpoint" not in str(error):
                raise
            time.sleep(patience)
        else:
            return read.value or {}
    raise AssertionError("the last try returns or raises")


_BETWEEN_READS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds before the state is read again."""


def _last(value: Any) -> str:
    return str(value or "").rpartition("/")[2].lower()


def _whole(value: Any) -> str:
    return str(value or "").strip("/").lower()


def _is(type_: str, outputs: Mapping[str, Any], id_: str) -> bool:
    if type_ in _WITHIN:
        return _whole(outputs.get("id")) == _whole(id_)
    return _last(id_) in {_last(outputs.get(name)) for name in _OWN_IDS}


# ----------------------------------------------------------------------------------------------------------------- adoption


def adopted(
    state: State, type_: str, names: Sequence[str], import_id: str | None, *, change: bool, where: str
) -> dict[str, Any]:
    """The resource options that take an existing object over, unchanged: an import on which no update may follow.

    The engine reads the object, compares it with the program's inputs, and updates it in the same operation where they differ;
    the hook here refuses that update, in the preview already, and shows both sides. It does so until an operation has succeeded
    with the object: a failed one leaves the import in the state. From then on the object changes like any other.

    Args:
        state: what the stack holds.
        type_: type of the resource.
        names: its name, and those that it had before.
        import_id: the object, as its provider imports it; None: nothing is taken over.
        change: whether the app says that the object may be changed to what the file says.
        where: the app, for messages.

    Raises:
        pulumi.RunError: the stack manages the object already, as something else.
    """
    if import_id is None:
        return {}
    if refusal := held_otherwise(state, type_, names, import_id, where=where):
        raise pulumi.RunError(refusal)
    if state.get(type_, names) and state.agreed(type_, import_id):  # if it has another id now, it was replaced since
        return {}
    if change:
        return {"import_": import_id}

    def refuse(args: pulumi.ResourceHookArgs) -> None:
        state.refused.append(import_id)
        found = [_REPLACED]
        if args.old_inputs is not None:
            found = differences(args.old_inputs, args.new_inputs or {}, args.old_outputs or {}) or [_ORDER]
        lines = "\n".join(f"  {line}" for line in found)
        raise pulumi.RunError(
            f"{where}: {args.name} exists ({_last(import_id)}) and differs from the file. It was not changed:\n{lines}\n"
            f"Write what the tenant has into the file, or let it be changed: `change_adopted: true` in {where}."
        )

    hook = pulumi.ResourceHook(
        f"{names[0]} ({type_.rpartition(':')[2]}) is taken over unchanged",
        refuse,
        pulumi.ResourceHookOptions(on_dry_run=True),
    )
    return {"import_": import_id, "hooks": pulumi.ResourceHookBinding(before_update=[hook], before_create=[hook])}


def held_otherwise(state: State, type_: str, names: Sequence[str], import_id: str, *, where: str) -> str | None:
    """Why an object cannot be taken over: the stack manages it as something else, or something else in its place; else None.

    The arguments are those of `adopted`.
    """
    holder = state.holder(type_, import_id)
    if holder is not None and holder not in names:
        app = holder.partition("/")[0]
        return (
            f"{where}: `adopt` names what this stack manages already, as {holder} ({_last(import_id)}): it would be taken over "
            f"and then deleted. To rename {app}, write `renamed_from: {app}` in place of `adopt`; else take `adopt` out."
        )
    held = state.get(type_, names)
    if held and holder is None and not state.agreed(type_, import_id):
        return (
            f"{where}: this stack manages {names[0]} already, as {_last(held.get('id'))}, which would be deleted if `adopt` put "
            f"{_last(import_id)} in its place. Take `adopt` out, or have the stack forget what it manages first: "
            "python3 -m entrant release."
        )
    return None


_ORDER = "the order of a list, or how an id in it is spelled; the preview above says for which property"
_REPLACED = "it would have to be deleted and made anew; the preview above says for which properties"


_LEFT_ALONE = frozenset({"tags", "feature_tags", "features"})
"""What a provider leaves as it is where the file says nothing."""


def differences(tenant: Mapping[str, Any], file: Mapping[str, Any], outputs: Mapping[str, Any]) -> list[str]:
    """What two forms of one object differ in, a line each, both sides shown; a provider's defaults are not what a file says.

    Args:
        tenant: the inputs that would describe the object, as an import reads them: without what is a default.
        file: the inputs that the file makes.
        outputs: all that the provider tells of the object.
    """
    before, after, all_ = dict(_flat(tenant)), dict(_flat(file)), dict(_flat(outputs))
    before |= {path: all_[path] for path in after.keys() - before.keys() if path in all_}
    return [
        f"{path}: the tenant has {_shown(before.get(path))}, the file says {_shown(after.get(path))}"
        for path in sorted(before.keys() | after.keys())
        if _comparable(before.get(path)) != _comparable(after.get(path))
        if path in after or path not in _LEFT_ALONE
    ]


def _flat(properties: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    defaults = properties.get("__defaults") or ()
    for name, value in properties.items():
        if name.startswith("__") or name in defaults or name == "azureApiVersion":
            continue
        path = prefix + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}.")
        elif (plain := _plain(value)) not in (None, "", []):
            yield path, plain


def _plain(value: Any) -> Any:
    """A value without what providers add to it, and without what is empty in it."""
    if isinstance(value, Mapping):
        defaults = value.get("__defaults") or ()
        inner = {
            name: _plain(item) for name, item in value.items() if not name.startswith("__") and name not in defaults
        }
        return {name: item for name, item in inner.items() if item not in (None, "", [], {})}
    if isinstance(value, list):
        return [item for item in map(_plain, value) if item not in (None, {})]
    if isinstance(value, pulumi.Output):
        return "[secret]"
    return value


def _comparable(value: Any) -> Any:
    if value is False:  # to a provider, as if nothing were said
        return None
    if isinstance(value, list):
        return sorted(json.dumps(item, sort_keys=True, default=str) for item in value)
    return value


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return text if len(text) <= 300 else f"{text[:299]}…"
