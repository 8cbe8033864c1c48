"""The environment file: a new one, or what is new put into one that is there, which keeps every byte that it has."""

import datetime as dt
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from entrant.config.problems import Problem
from entrant.config.source import Node, read
from entrant.errors import ConfigurationError
from entrant.words import counted

from . import yaml_text
from .entries import Entry, Sheet

Doc = dict[str, Any]

_OF_ONE: Final = frozenset(
    {
        "display_name",
        "adopt",
        "identifier_uris",
        "reason",
        "kept_credentials",
        "logo",
        "certificates",
        "allow_privileged",
        "change_adopted",
    }
)
"""Keys that belong to one app."""
_PARTS: Final = ("scopes", "role_definitions", "apps")


def document(sheet: Sheet, today: dt.date, schema: str | None, *, compact: bool = True) -> str:
    """A new file; `compact` puts what apps share into `defaults`."""
    taken = [entry for entry in sheet.apps if not entry.faults]
    defaults = shared([entry.data for entry in taken]) if compact else {}
    top: Doc = {"tenant": sheet.tenant}
    if sheet.cloud != "public":
        top["cloud"] = sheet.cloud
    if sheet.subscription:
        top["subscription"] = sheet.subscription
    top["on_remove"] = "keep"
    without = sum("owners" not in entry.data for entry in taken)
    lines = [
        *([f"# yaml-language-server: $schema={schema}"] if schema else []),
        f"# {counted(len(taken), 'app')} as of {today}: the first `up` takes over what `adopt` names, unchanged.",
        "# Lines with `decide:` are for a person. What is removed from here is kept in Azure (`on_remove`).",
        *([f"# decide: {without} of them {'has' if without == 1 else 'have'} no owner."] if without else []),
        *yaml_text.mapping(top),
    ]
    for name, data in (
        ("scopes", sheet.scopes),
        ("role_definitions", sheet.role_definitions),
        ("defaults", defaults),
    ):
        if data:
            lines += ["", f"{name}:", *yaml_text.mapping(data, 2)]
    lines += ["", "apps:"]
    lines += _apps(taken, defaults, 2)
    lines += _left_out(sheet.apps, 2)
    return "\n".join(lines) + "\n"


def _apps(entries: Sequence[Entry], defaults: Mapping[str, Any], indent: int) -> list[str]:
    lines: list[str] = []
    for entry in entries:
        lines += ([""] if lines else []) + _app(entry, defaults, indent)
    return lines


def _app(entry: Entry, defaults: Mapping[str, Any], indent: int) -> list[str]:
    """One app; what cannot be said stands above it."""
    margin = " " * indent
    comments: dict[tuple[str, ...], list[str]] = {(key,): lines for key, lines in entry.comments.items() if key}
    left = [f"left as it is, not declared: {what}" for what in entry.unsaid]
    above = [] if entry.faults else [*entry.comments.get("", ()), *left]
    data = over(defaults, entry.data)
    return [
        *(wrapped for line in above for wrapped in yaml_text.comment(line, indent)),
        f"{margin}{entry.key}:",
        *yaml_text.mapping(data, indent + 2, comments),
    ]


def _left_out(entries: Sequence[Entry], indent: int) -> list[str]:
    """The apps that cannot be taken over unchanged, as comments."""
    lines: list[str] = []
    margin = " " * indent
    for entry in entries:
        if entry.faults:
            lines.append("")
            for fault in entry.faults:
                lines += yaml_text.comment(f"not taken over: {' '.join(fault.split())}", indent)
            lines += [f"{margin}# {line[indent:]}".rstrip() for line in _app(entry, {}, indent)]
    return lines


def shared(apps: Sequence[Doc]) -> Doc:
    """What more than half of the apps say, and none of them lacks: their defaults."""
    found: Doc = {}
    for name in dict.fromkeys(key for app in apps for key in app):
        values = [app[name] for app in apps if name in app and name not in _OF_ONE]
        if len(values) < len(apps) or len(apps) < 2:
            continue
        texts = Counter(map(yaml_text.as_json, values))
        text, count = texts.most_common(1)[0]
        # mappings merge with a default key by key: only one that all have is one
        if count == len(apps) or (count > len(apps) / 2 and not any(isinstance(value, Mapping) for value in values)):
            found[name] = next(value for value in values if yaml_text.as_json(value) == text)
    return found


def over(defaults: Mapping[str, Any], wanted: Mapping[str, Any]) -> Doc:
    """What an app must say so that it has what is wanted where these defaults are laid under it."""
    lines: Doc = {}
    for name, value in wanted.items():
        below = defaults.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            if inner := over(below, value):
                lines[name] = inner
        elif value != below or name not in defaults:
            lines[name] = value
    return lines | {name: None for name in defaults if name not in wanted}


# ------------------------------------------------------------------------------------------------ into a file that is there


def insert(path: Path, shown: str, text: str, sheet: Sheet, defaults: Mapping[str, Any]) -> str:
    """A file's text with the sheet's scopes, custom roles and apps at the ends of their parts; all else is as it was.

    Raises:
        ConfigurationError: a part is written in brackets, which nothing can be put into.
    """
    taken = [entry for entry in sheet.apps if not entry.faults]
    news: dict[str, Any] = {
        "scopes": sheet.scopes,
        "role_definitions": sheet.role_definitions,
        "apps": {entry.key: over(defaults, entry.data) for entry in taken},
    }
    root = _node(path, shown)
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.removesuffix(newline).split(newline)
    parts: dict[str, tuple[int, list[str]]] = {}
    apps_at = _above(lines, root.value["apps"].key.line - 1) if "apps" in root.value else len(lines)
    for name in _PARTS:
        if not news[name]:
            continue
        at, indent = _end(lines, name, root)
        if name == "apps":
            new = ["", *_apps(taken, defaults, indent), *_left_out(sheet.apps, indent)]
        else:
            new = list(yaml_text.mapping(news[name], indent))
        parts[name] = (at, new) if at is not None else (apps_at, [f"{name}:", *new, ""])
    for at, new in sorted(parts.values(), key=lambda part: -part[0]):  # from the end, so that places stay
        lines[at:at] = new
    return newline.join((*lines, ""))


def _above(lines: Sequence[str], at: int) -> int:
    """A line, or the first of the comments right above it."""
    while at and lines[at - 1].startswith("#"):
        at -= 1
    return at


def _end(lines: Sequence[str], name: str, root: Node) -> tuple[int | None, int]:
    """The line after a part of the file and the indentation in it; None where the file has no such part."""
    entry = root.value.get(name)
    if entry is None:
        return None, 2
    if not isinstance(entry.node.value, dict) or not entry.node.value or entry.node.place.line == entry.key.line:
        raise ConfigurationError(
            f"{entry.node.place}: `{name}` is written in brackets or empty, so that nothing can be put into it",
            next_step=f"write `{name}:` as a block, an entry a line, or import into a file of its own with -o",
        )
    indent = next(iter(entry.node.value.values())).key.column - 1
    last = entry.key.line
    for number in range(entry.key.line, len(lines)):
        line = lines[number]
        if line.strip() and not line.startswith((" ", "\t")):
            if not line.startswith("#"):
                break
        elif line.strip():
            last = number + 1
    return last, indent


def _node(path: Path, shown: str) -> Node:
    problems: list[Problem] = []
    node = read(path, shown, problems)
    if node is None or problems:
        raise ConfigurationError(
            str(problems[0]), next_step="correct the file; `python3 -m entrant validate` checks it"
        )
    return node


# -------------------------------------------------------------------------------------------------------------------- files


def save(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        if path.exists():
            draft.chmod(path.stat().st_mode & 0o777)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
