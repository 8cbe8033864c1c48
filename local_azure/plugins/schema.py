"""What a resource type is, as data, and what follows from it: Check, Diff, previews and imports.

The rules are those of the Terraform bridge that the real azuread plugin is built on: a property left out is the same as
its empty value; a property the service may fill in (``computed``) keeps its value when left out; sets have no order.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from local_azure.plugins.values import UNKNOWN, Properties, has_unknown

Kind = Literal["string", "bool", "int", "list", "set", "map", "object"]
Check = Callable[[Any], str | None]
"""Looks at one known value; returns what is wrong with it as the end of a sentence, or None."""

DEFAULTS = "__defaults"
META = "__meta"
_TIMEOUTS = "e2bfb730-ecaa-11e6-8f88-34363bc7c4c0"
EMPTY: dict[str, Any] = {"string": "", "bool": False, "int": 0}
_PLAIN: dict[str, Any] = {
    "string": str,
    "bool": bool,
    "int": int,
    "list": list,
    "set": list,
    "map": Mapping,
    "object": Mapping,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Prop:
    """One property of a resource type.

    ``wire`` is the dotted path of the value in the service's JSON (empty: the type's own code deals with it).
    A property is an input unless ``output_only``. ``computed`` inputs may be filled in by the service.
    ``follows`` names the input whose change makes this output unknown in a preview.
    ``unsupported`` says why the stand-in refuses a property that the real plugin knows.
    """

    kind: Kind
    wire: str = ""
    required: bool = False
    computed: bool = False
    output_only: bool = False
    force_new: bool = False
    secret: bool = False
    default: Any = None
    each: Prop | None = None
    fields: Mapping[str, Prop] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    conflicts: tuple[str, ...] = ()
    min_items: int = 0
    max_items: int = 0
    follows: str = ""
    codec: Literal["", "comma", "space", "absent-when-unset"] = ""
    blank: Any = None
    ignore_case: bool = False
    unsupported: str = ""

    @property
    def is_input(self) -> bool:
        """Whether a program may set it."""
        return not self.output_only


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourceType:
    """One resource type: its properties, and which family of operations it belongs to with what settings.

    ``schema_version`` and ``timeouts`` (minutes) are kept in the state, as the real plugin keeps them, so that it can take
    over a stack. ``rules`` look at all inputs at once and yield sentences.
    """

    token: str
    family: str
    props: Mapping[str, Prop]
    settings: Mapping[str, Any] = field(default_factory=dict)
    id_format: str = ""
    schema_version: int | None = None
    timeouts: Mapping[str, int] = field(default_factory=dict)
    rules: tuple[Callable[[Properties], Iterator[str]], ...] = ()

    def inputs(self) -> dict[str, Prop]:
        """The properties a program may set."""
        return {name: prop for name, prop in self.props.items() if prop.is_input}

    def required_inputs(self) -> set[str]:
        """The properties a program must set."""
        return {name for name, prop in self.props.items() if prop.required}

    def secrets(self) -> set[str]:
        """The properties whose values are always secret."""
        return {name for name, prop in self.props.items() if prop.secret}

    def meta(self) -> str | None:
        """The bookkeeping that the Terraform bridge keeps in the state."""
        if self.schema_version is None and not self.timeouts:
            return None
        meta: dict[str, Any] = {}
        if self.timeouts:
            meta[_TIMEOUTS] = {name: minutes * 60_000_000_000 for name, minutes in sorted(self.timeouts.items())}
        if self.schema_version is not None:
            meta["schema_version"] = str(self.schema_version)
        return json.dumps(meta, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Change:
    """One changed property path."""

    kind: Literal["add", "update", "delete"]
    replace: bool


# Check


def check(rtype: ResourceType, news: Mapping[str, Any]) -> tuple[Properties, list[tuple[str, str]]]:
    """``news`` with defaults filled in, and all that is wrong with it as (property path, sentence)."""
    problems: list[tuple[str, str]] = []
    checked = _check_fields(rtype.props, news, "", problems)
    for name, prop in rtype.props.items():
        for other in prop.conflicts:
            if _is_set(news, name) and _is_set(news, other) and name < other:
                problems.append((name, f"conflicts with {other!r}: give one of them"))
    if not problems:
        for rule in rtype.rules:
            problems.extend(("", sentence) for sentence in rule(checked))
    return checked, problems


def _is_set(values: Mapping[str, Any], name: str) -> bool:
    return values.get(name) is not None


def _check_fields(
    props: Mapping[str, Prop], news: Mapping[str, Any], base: str, problems: list[tuple[str, str]]
) -> Properties:
    checked: Properties = {}
    known = [name for name, prop in props.items() if prop.is_input]
    for name, value in news.items():
        path = f"{base}{name}"
        if name.startswith("__") or value is None:
            continue
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            what = "an output, it cannot be set" if name in props else "not a property of this resource"
            problems.append((path, f"is {what}{hint}"))
            continue
        checked[name] = _check_value(props[name], value, path, problems)
    defaults = []
    for name, prop in props.items():
        if not prop.is_input or _is_set(news, name):
            continue
        if prop.required:
            problems.append((f"{base}{name}", "is required, but is not set"))
        elif prop.default is not None and not any(_is_set(news, other) for other in prop.conflicts):
            checked[name] = prop.default
            defaults.append(name)
    checked[DEFAULTS] = sorted(defaults)
    return checked


def _check_value(prop: Prop, value: Any, path: str, problems: list[tuple[str, str]]) -> Any:
    if value is UNKNOWN:
        return value
    if prop.unsupported:
        problems.append((path, prop.unsupported))
        return value
    if prop.kind == "string" and isinstance(value, bool | int | float):
        value = str(value).lower() if isinstance(value, bool) else str(value)
    if prop.kind == "bool" and value in ("true", "false"):
        value = value == "true"
    if prop.kind == "int" and isinstance(value, str) and value.lstrip("-").isdigit():
        value = int(value)
    wanted = _PLAIN[prop.kind]
    if not isinstance(value, wanted) or (prop.kind == "int" and isinstance(value, bool)):
        problems.append((path, f"must be {_article(prop.kind)}, but is {_article(_kind_of(value))}"))
        return value
    if prop.kind == "object":
        return _check_fields(prop.fields, value, f"{path}.", problems)
    if prop.kind in ("list", "set"):
        if prop.min_items and len(value) < prop.min_items:
            problems.append((path, f"needs at least {prop.min_items} item, but has {len(value)}"))
        if prop.max_items and len(value) > prop.max_items:
            problems.append((path, f"takes at most {prop.max_items} item(s), but has {len(value)}"))
        each = prop.each or Prop(kind="string")
        return [_check_value(each, item, f"{path}[{index}]", problems) for index, item in enumerate(value)]
    if prop.kind == "map":
        each = prop.each or Prop(kind="string")
        return {key: _check_value(each, item, f"{path}.{key}", problems) for key, item in value.items()}
    for test in prop.checks:
        wrong = test(value)
        if wrong:
            problems.append((path, wrong))
    return value


def _kind_of(value: Any) -> str:
    for kind in ("bool", "string", "int", "list", "object"):
        if isinstance(value, _PLAIN[kind]):
            return kind
    return "number"


def _article(kind: str) -> str:
    return {
        "string": "a string",
        "bool": "a boolean",
        "int": "a whole number",
        "list": "a list",
        "set": "a list",
        "map": "a map",
        "object": "an object",
    }.get(kind, f"a {kind}")


# Diff


def canonical(prop: Prop, value: Any) -> Any:
    """A form of ``value`` in which equal means that the service would see no difference."""
    if value is UNKNOWN:
        return UNKNOWN
    if prop.kind == "object":
        values = value if isinstance(value, Mapping) else {}
        return tuple((name, canonical(item, values.get(name))) for name, item in sorted(prop.fields.items()))
    if prop.kind in ("list", "set"):
        each = prop.each or Prop(kind="string")
        items = [canonical(each, item) for item in value or []]
        return tuple(items) if prop.kind == "list" else frozenset(items)
    if prop.kind == "map":
        each = prop.each or Prop(kind="string")
        return tuple(sorted((key, canonical(each, item)) for key, item in (value or {}).items()))
    if value is None:
        value = prop.default if prop.default is not None else EMPTY[prop.kind]
    return value.casefold() if prop.ignore_case and isinstance(value, str) else value


def diff(props: Mapping[str, Prop], state: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Change]:
    """What changes from ``state`` (a resource's outputs) to ``news`` (checked inputs), by property path."""
    changes: dict[str, Change] = {}
    for name, prop in props.items():
        if prop.is_input:
            changes.update(_diff_value(prop, state.get(name), news.get(name), name, prop.force_new))
    return changes


def _diff_value(prop: Prop, old: Any, new: Any, path: str, replace: bool) -> dict[str, Change]:
    if prop.computed and _left_to_service(prop, new):
        return {}
    if prop.unsupported and new is None:
        return {}
    if new is UNKNOWN:
        return {path: Change("update" if old not in (None, "", [], {}) else "add", replace)}
    if canonical(prop, old) == canonical(prop, new):
        return {}
    if prop.kind == "object" and isinstance(old, Mapping) and isinstance(new, Mapping):
        changes: dict[str, Change] = {}
        for name, item in prop.fields.items():
            nested = _diff_value(item, old.get(name), new.get(name), f"{path}.{name}", replace or item.force_new)
            changes.update(nested)
        return changes
    if prop.kind in ("list", "set") and isinstance(old, list) and isinstance(new, list):
        return _diff_items(prop, old, new, path, replace)
    if prop.kind == "map" and isinstance(old, Mapping) and isinstance(new, Mapping):
        changes = {}
        for key in sorted({*old, *new}):
            if old.get(key) != new.get(key):
                kind = "add" if key not in old else "delete" if key not in new else "update"
                changes[f"{path}.{key}"] = Change(kind, replace)  # type: ignore[arg-type]
        return changes
    kind = "add" if old is None else "delete" if new is None else "update"
    return {path: Change(kind, replace)}  # type: ignore[arg-type]


def _left_to_service(prop: Prop, new: Any) -> bool:
    """Whether a computed input keeps its value: Terraform sees no change where it cannot tell one from "not set"."""
    if prop.kind in ("list", "set"):
        blocks = prop.each is not None and prop.each.kind == "object"
        return new is None or (new == [] if blocks else new is UNKNOWN)
    return new in (None, "")


def _diff_items(prop: Prop, old: Sequence[Any], new: Sequence[Any], path: str, replace: bool) -> dict[str, Change]:
    each = prop.each or Prop(kind="string")
    changes: dict[str, Change] = {}
    if prop.kind == "list":
        for index in range(max(len(old), len(new))):
            here = f"{path}[{index}]"
            if index >= len(old):
                changes[here] = Change("add", replace)
            elif index >= len(new):
                changes[here] = Change("delete", replace)
            else:
                changes.update(_diff_value(each, old[index], new[index], here, replace))
        return changes
    before = {canonical(each, item) for item in old if not has_unknown(item)}
    after = {canonical(each, item) for item in new if not has_unknown(item)}
    for index, item in enumerate(new):
        if has_unknown(item) or canonical(each, item) not in before:
            changes[f"{path}[{index}]"] = Change("update" if index < len(old) else "add", replace)
    for index, item in enumerate(old):
        if canonical(each, item) not in after:
            changes.setdefault(f"{path}[{index}]", Change("delete", replace))
    return changes


# Previews, state and imports


def plan(rtype: ResourceType, news: Mapping[str, Any], state: Mapping[str, Any] | None) -> Properties:
    """The outputs that an update from ``state`` (None: a create) to ``news`` is going to have, as far as known."""
    changes = diff(rtype.props, state, news) if state is not None else {}
    planned: Properties = {}
    for name, prop in rtype.props.items():
        follows = bool(prop.follows) and _touched(changes, prop.follows)
        if state is not None and name in state and not follows and not _touched(changes, name):
            planned[name] = state[name]
        elif follows or (prop.computed and news.get(name) is None):
            planned[name] = UNKNOWN
        else:
            planned[name] = _plan_value(prop, news.get(name))
    planned["id"] = UNKNOWN if state is None else state.get("id")
    return planned


def _plan_value(prop: Prop, value: Any) -> Any:
    if value is UNKNOWN:
        return UNKNOWN
    if prop.kind == "object" and value is not None:
        planned = {}
        for name, item in prop.fields.items():
            decided_later = value.get(name) is None and (item.computed or item.output_only)
            planned[name] = UNKNOWN if decided_later else _plan_value(item, value.get(name))
        return planned
    if prop.kind in ("list", "set") and prop.each is not None:
        blocks = prop.each.kind == "object"
        return ([] if blocks else None) if value is None else [_plan_value(prop.each, item) for item in value]
    return value


def _touched(changes: Mapping[str, Change], path: str) -> bool:
    return any(found == path or found.startswith((f"{path}.", f"{path}[")) for found in changes)


def settle(rtype: ResourceType, read: Mapping[str, Any], before: Mapping[str, Any], *, written: bool) -> Properties:
    """``read`` (what the service holds now) made comparable with ``before`` (state or inputs until now).

    A set keeps the order it had, so that reading twice gives the same value. Just after a write (``written``), a
    collection of scalars that was not set and is empty is null, as Terraform has it.
    """
    settled: Properties = {}
    for name, prop in rtype.props.items():
        value = _settle_value(prop, read.get(name), before.get(name))
        settled[name] = _null_unset(prop, value, before.get(name)) if written else value
    meta = rtype.meta()
    if meta is not None:
        settled[META] = meta
    return settled


def _settle_value(prop: Prop, value: Any, old: Any) -> Any:
    if prop.kind == "set" and isinstance(old, list) and canonical(prop, old) == canonical(prop, value):
        each = prop.each or Prop(kind="string")
        by_meaning = {canonical(each, item): item for item in value or []}
        return [by_meaning[canonical(each, item)] for item in old]
    if prop.kind == "object" and isinstance(value, Mapping) and isinstance(old, Mapping):
        return {name: _settle_value(item, value.get(name), old.get(name)) for name, item in prop.fields.items()}
    return value


def _null_unset(prop: Prop, value: Any, configured: Any) -> Any:
    scalars = prop.each is None or prop.each.kind != "object"
    if prop.kind in ("list", "set", "map") and scalars:
        return None if not value and configured is None and prop.is_input and not prop.computed else value
    if prop.kind == "object" and isinstance(value, Mapping) and isinstance(configured, Mapping):
        return {name: _null_unset(item, value.get(name), configured.get(name)) for name, item in prop.fields.items()}
    if (
        prop.kind in ("list", "set")
        and prop.each is not None
        and isinstance(value, list)
        and isinstance(configured, list)
    ):
        pairs = zip(value, configured, strict=False)
        return [_null_unset(prop.each, *pair) for pair in pairs] + value[len(configured) :]
    return value


def refreshed_inputs(rtype: ResourceType, old_inputs: Mapping[str, Any], state: Mapping[str, Any]) -> Properties:
    """``old_inputs`` with each value taken anew from ``state``; nothing is added that the program never set."""
    return _refreshed(rtype.props, old_inputs, state)[0]


def _refreshed(props: Mapping[str, Prop], old: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[Properties, bool]:
    defaults = set(old.get(DEFAULTS) or [])
    inputs: Properties = {}
    for name, value in old.items():
        prop = props.get(name)
        if name == DEFAULTS or prop is None or name not in state:
            continue
        if canonical(prop, value) == canonical(prop, state[name]) and value is not None:
            inputs[name] = value
            continue
        defaults.discard(name)
        inputs[name] = _fresh(prop, value, state[name])
    if DEFAULTS in old:
        inputs[DEFAULTS] = sorted(defaults)
    return inputs, True


def _fresh(prop: Prop, old: Any, now: Any) -> Any:
    if prop.kind == "object" and isinstance(old, Mapping) and isinstance(now, Mapping):
        return _refreshed(prop.fields, old, now)[0]
    return now


def imported_inputs(rtype: ResourceType, state: Mapping[str, Any]) -> Properties:
    """The inputs of a program that would describe ``state``."""
    return _imported(rtype.props, state)


def _imported(props: Mapping[str, Prop], state: Mapping[str, Any]) -> Properties:
    inputs: Properties = {}
    for name, prop in sorted(props.items()):
        value = state.get(name)
        if not prop.is_input or value is None:
            continue
        if prop.kind == "object" and isinstance(value, Mapping):
            value = _imported(prop.fields, value)
        elif prop.kind in ("list", "set") and prop.each is not None and prop.each.kind == "object":
            value = [_imported(prop.each.fields, item) for item in value]
        if not prop.required and _is_default(prop, value):
            continue
        if any(other in inputs for other in prop.conflicts):
            continue
        inputs[name] = value
    inputs[DEFAULTS] = []
    return inputs


def _is_default(prop: Prop, value: Any) -> bool:
    if prop.default is not None:
        return bool(value == prop.default)
    if isinstance(value, Mapping):
        return set(value) <= {DEFAULTS}
    return value in (None, "", False, 0, [])
