"""What pydantic finds wrong with a file, in words and at its place in it."""

import functools
from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from .broken import BROKEN
from .checks import findings
from .known import Known
from .model import KEY, Misnamed
from .models import Environment
from .problems import Problem, Refused, Severity, closest, did_you_mean, shorten
from .source import Node, Place, expected

_PASSES: Final = 40


def validate(tree: Node, problems: list[Problem], *, all_read: bool) -> Environment | None:
    """The environment, with `BROKEN` in the place of what is wrong; adds every problem of its values.

    What is wrong is reported and taken out, and the rest read again, until nothing is wrong by itself or with what stands beside
    it; what takes more of the file to see is checked then. None when nothing can be made of it, or a file that it extends could
    not be read: then only what is wrong whatever that file holds is reported.
    """
    data = tree.plain()
    known = Known.of(data, all_read=all_read)
    seen: set[tuple[Place, str]] = set()

    def report(place: Place, path: tuple[Any, ...], message: str, severity: Severity = "error") -> None:
        """Add a problem, once: what is wrong with `defaults` would be wrong with every app."""
        if (place, message) not in seen:
            seen.add((place, message))
            text = breadcrumb(path) + message
            problems.append(Problem(place.file, place.line, place.column, text, severity))

    for _ in range(_PASSES):
        try:
            environment = Environment.model_validate(data, context=known)
            break
        except ValidationError as error:
            news = False
            for fault in error.errors(include_url=False):
                # Of what is too short, what was there is itself wrong, and said so.
                if not (fault["type"] == "too_short" and problems) and (all_read or _wrong_anyhow(tree, fault)):
                    report(*_located(tree, fault))
                news |= _break(data, fault)
            if not news:
                return None
    else:
        return None
    if not all_read:
        return None
    for finding in findings(environment, tuple(known.apps)):
        place, path = _at(tree, finding.path)
        first = f"; the first is at {_at(tree, finding.first)[0]}" if finding.first else ""
        report(place, path, finding.message + first, finding.severity)
    return environment


def _wrong_anyhow(tree: Node, fault: Mapping[str, Any]) -> bool:
    """Whether a fault stays, whatever is merged in from a file that was not read: mappings may be completed from there."""
    if fault["type"] == "missing":
        return False
    return fault["type"] == "extra_forbidden" or type(tree.walk(fault["loc"])[0].value) is not dict


def _break(data: dict[str, Any], fault: Mapping[str, Any]) -> bool:
    """Put `BROKEN` in the place of what a fault is about, or take out what has no place; whether that changed anything."""
    holder: Any = None
    step: Any = None
    value: Any = data
    for each in fault["loc"]:
        if (type(value) is dict and each in value) or (type(value) is list and type(each) is int and each < len(value)):
            holder, step, value = value, each, value[each]
    if fault["type"] == "missing" and type(value) is dict:
        value[fault["loc"][-1]] = BROKEN
        return True
    if fault["type"] == "extra_forbidden" and type(holder) is dict:
        del holder[step]
        meant = closest(step, _fields(fault["loc"][:-1]))
        if meant is not None:
            holder.setdefault(meant, BROKEN)
    elif fault["loc"][-1:] == ("[key]",) and type(holder) is dict:
        entries = [(Misnamed(key) if key == step else key, item) for key, item in holder.items()]
        holder.clear()
        holder.update(entries)
    elif holder is None or value is BROKEN:
        return False
    else:
        holder[step] = BROKEN
    return True


def _at(tree: Node, path: tuple[Any, ...]) -> tuple[Place, tuple[str | int, ...]]:
    """Where a path leads, and the part of it that says so in words."""
    node, key, taken = tree.walk(path)
    return (key, taken[:-1]) if path and path[-1] is KEY else (node.place, taken)


def _located(tree: Node, fault: Mapping[str, Any]) -> tuple[Place, tuple[str | int, ...], str]:
    """A validator's error: the place it is about, the path to say, the message."""
    path: tuple[Any, ...] = fault["loc"]
    cause = fault.get("ctx", {}).get("error")
    if isinstance(cause, Refused):
        path = (*path, *cause.path)
    node, key, taken = tree.walk(path)
    what = fault["type"]
    name = str(path[-1]) if path else ""
    if what == "extra_forbidden":
        known = _fields(taken[:-1])
        hint = did_you_mean(name, known) or "; known are: " + ", ".join(known)
        if any(word in name.lower() for word in ("password", "client_secret", "secret_value")):
            hint = "; the value of a secret never stands in a file: `secret` makes one, and the stack's outputs hold it"
        return key, taken[:-1], f'unknown key "{shorten(name)}"{hint}'
    if what == "missing":
        return (key if taken and type(taken[-1]) is str else node.place), taken, f"`{name}` is missing; add it"
    if name == "[key]":
        return key, taken[:-1], _bad_key(str(taken[-1]), fault)
    if what in ("model_type", "model_attributes_type") and (model := _model_at(path)):
        needed = [field.alias or name for name, field in model.model_fields.items() if field.is_required()]
        if needed:
            return *_at(tree, path), expected(
                f"a mapping such as {{{', '.join(f'{name}: …' for name in needed)}}}", node.value
            )
    return *_at(tree, path), _message(what, node, fault)


def _bad_key(key: str, fault: Mapping[str, Any]) -> str:
    if fault["loc"][-3] == "app_roles" or fault["loc"][-4:-2] == ("api", "scopes"):
        return f'"{shorten(key)}" is no permission value: at most 120 characters, no spaces, quotes or backslashes'
    rule = "lower-case letters, digits, - and _, a letter first, at most 60"
    return f'"{shorten(key)}" is not a name: {rule}'


def _message(what: str, node: Node, fault: Mapping[str, Any]) -> str:
    context = fault.get("ctx", {})
    value = node.value
    wanted = {
        "string_type": "text",
        "bool_type": "true or false",
        "int_type": "a whole number",
        "model_type": "a mapping",
        "model_attributes_type": "a mapping",
        "dict_type": "a mapping",
        "tuple_type": "a list",
    }.get(what)
    if wanted is not None:
        return expected(wanted, value)
    if what == "value_error":
        return str(context["error"])
    if what == "literal_error":
        choices = str(context["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        if not isinstance(value, str):
            return expected("one of " + ", ".join(choices), value)
        return f'"{shorten(value)}" is not one of {", ".join(choices)}{did_you_mean(value, choices)}'
    if what == "string_too_short":
        return "expected text; found an empty text"
    if what == "string_too_long":
        return f"is {len(value):,} characters long; at most {context['max_length']:,} are allowed"
    if what == "too_short":
        return "is empty; at least one is needed"
    if what == "greater_than_equal":
        return f"expected {context['ge']} or more"
    if what == "less_than_equal":
        return f"expected {context['le']:,} or less"
    return str(fault["msg"])


def breadcrumb(path: tuple[str | int, ...]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{shorten(step)}" if text else shorten(step)
    return text + ": " if text else ""


def _fields(path: tuple[str | int, ...]) -> tuple[str, ...]:
    """The keys a mapping at `path` may have."""
    model = _model_at(path)
    return tuple(field.alias or name for name, field in model.model_fields.items()) if model is not None else ()


def _model_at(path: tuple[Any, ...]) -> type[BaseModel] | None:
    """The model of what stands at `path`."""
    annotation: Any = Environment
    for step in path:
        model = _model_in(annotation)
        if model is not None and step in model.model_fields:
            annotation = model.model_fields[str(step)].annotation
    return _model_in(annotation)


@functools.cache
def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
