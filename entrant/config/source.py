"""YAML files as trees of nodes that remember where each value stands.

Reads libyaml's events rather than its objects, so that nothing recurses, aliases cost nothing until they are counted,
and each scalar keeps the form it was written in. Scalars follow the YAML 1.2 core schema; what YAML 1.1 readers take
for something else (`no`, `0755`, `1:30`) is kept apart as `Unclear` and is no valid value anywhere.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from .problems import Problem, Refused, shorten

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 40
MAX_VALUES: Final = 250_000
"""Values in one file, each alias counted with everything below it."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_OLD_BOOLEAN = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF|y|Y|n|N")
_OLD_NUMBER = re.compile(
    r"[-+]?(0o?[0-7_]+|0[0-9_]+|0b[01_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*_[0-9_]*|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)"
)
_BOOLEANS: Final = {text: text.lower() == "true" for text in ("true", "True", "TRUE", "false", "False", "FALSE")}
_NULLS: Final = frozenset(("", "~", "null", "Null", "NULL"))


@dataclass(frozen=True, slots=True)
class Unclear:
    """A plain scalar that YAML 1.1 and 1.2 read differently; `kind` says as what, such as `the YAML 1.1 boolean no`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: the file as shown to people, line and column from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def problem(self, message: str) -> Problem:
        """An error at this place."""
        return Problem(self.file, self.line, self.column, message)


class Node:
    """A value and its place: a `dict` of `Entry`, a `list` of `Node`, or a scalar (`str`, `int`, …, `Unclear`)."""

    __slots__ = ("place", "size", "value")

    def __init__(self, value: Any, place: Place) -> None:
        self.value = value
        self.place = place
        self.size = 1

    def plain(self) -> Any:
        """The value as Python data, without places."""
        value = self.value
        if type(value) is dict:
            return {key: entry.node.plain() for key, entry in value.items()}
        if type(value) is list:
            return [item.plain() for item in value]
        return value

    def walk(self, path: tuple[Any, ...]) -> "tuple[Node, Place, tuple[str | int, ...]]":
        """The deepest node on `path`, where its key stands, and the part of the path that led there.

        Steps that are no key or index here are passed over: validators put names of union branches into their paths.
        """
        node, key, taken = self, self.place, []
        for step in path:
            value = node.value
            if type(value) is dict and step in value:
                key, node = value[step].key, value[step].node
            elif type(value) is list and type(step) is int and step < len(value):
                node = value[step]
                key = node.place
            else:
                continue
            taken.append(step)
        return node, key, tuple(taken)


class Entry:
    """A mapping's value with the place of its key."""

    __slots__ = ("key", "node")

    def __init__(self, key: Place, node: Node) -> None:
        self.key = key
        self.node = node


def scalar(text: str) -> Any:
    """A plain (unquoted) scalar's value by YAML 1.2's core schema, or `Unclear` where YAML 1.1 disagrees."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    first = text[0]
    if first in "yYnNoO":
        return Unclear(f"the YAML 1.1 boolean {text}") if _OLD_BOOLEAN.fullmatch(text) else text
    if first in "-+.0123456789" and len(text) <= 100:
        if _INT.fullmatch(text):
            return int(text)
        if _OLD_NUMBER.fullmatch(text):
            return Unclear(f"{text}, an octal or otherwise special number in YAML 1.1")
        if _FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def total(node: Node) -> int:
    """How many values a tree has, shared ones counted each time they are used."""
    memo: dict[int, int] = {}

    def count(node: Node) -> int:
        known = memo.get(id(node))
        if known is None:
            value = node.value
            if type(value) is dict:
                known = 1 + sum(count(entry.node) for entry in value.values())
            else:
                known = 1 + sum(map(count, value)) if type(value) is list else 1
            memo[id(node)] = known
        return known

    return count(node)


class _Unreadable(Exception):
    """Stops the reading of one file; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def contents(path: Path, most: int) -> bytes:
    """At most so many bytes of a file, and one more where it is larger.

    Raises:
        OSError: it cannot be read, or is a folder, a pipe or a device, which are not opened: that may wait for ever.
    """
    _need_file(os.stat(path))
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        _need_file(os.fstat(handle))  # another may be there by now
        return file.read(most + 1)


def _need_file(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no file but a pipe or a device")


def read(path: Path, shown: str, problems: list[Problem]) -> Node | None:
    """The file's root mapping, or None when it cannot be read; what is wrong is added to `problems`.

    Args:
        path: the file.
        shown: its name in messages.
    """
    try:
        text = _text(path, shown)
        root = _Builder(shown, problems).build(text)
        if not isinstance(root.value, dict):
            message = f"an environment is a mapping such as `apps: {{…}}`; found {kind(root.value)}"
            raise _Unreadable(root.place.problem(message))
        return root
    except _Unreadable as unreadable:
        problems.append(unreadable.problem)
        return None


def kind(value: Any) -> str:
    """What a value is, in words, without saying the value itself."""
    if isinstance(value, Unclear):
        return value.kind
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "text" if value else "an empty text"
    if isinstance(value, int | float):
        return "a number"
    return "a mapping" if isinstance(value, Mapping) else "a list"


def expected(what: str, value: Any) -> str:
    """The message for a value of the wrong kind; it never holds the value."""
    if isinstance(value, Unclear) and what == "text":
        return f"expected text; found {value.kind}: put it in quotes"
    if isinstance(value, Unclear) and what == "true or false":
        return f"expected true or false; found {value.kind}: write true or false"
    if what == "text" and isinstance(value, bool | int | float):
        return f"expected text; found {kind(value)}: put it in quotes"
    if what == "true or false" and value in ("true", "false"):
        return "expected true or false; found text: take the quotes away"
    if what == "a mapping" and value is True:
        return "expected a mapping; found true: write {} for one with all defaults"
    forms = {"a mapping": "a mapping (`key: value`, or {})", "a list": "a list (`- item`, or [])"}
    found = "an empty list" if isinstance(value, list | tuple) and not value else kind(value)
    return f"expected {forms.get(what, what)}; found {found}"


def _text(path: Path, shown: str) -> str:
    try:
        data = contents(path, MAX_BYTES)
    except OSError as error:
        raise _Unreadable(Problem(shown, 0, 0, f"cannot be read: {error.strerror}")) from None
    if len(data) > MAX_BYTES:
        message = f"is larger than {MAX_BYTES // 1024 // 1024} MiB; divide it into several environments"
        raise _Unreadable(Problem(shown, 0, 0, message))
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _Unreadable(Problem(shown, 1, 1, "is UTF-16; save it as UTF-8"))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        message = f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise _Unreadable(Problem(shown, *_line_and_column(before), message)) from None
    if bad := _UNPRINTABLE.search(text):
        message = f"the control character U+{ord(bad[0]):04X} cannot stand in YAML; remove it"
        raise _Unreadable(Problem(shown, *_line_and_column(text[: bad.start()]), message))
    return text


def _line_and_column(before: str) -> tuple[int, int]:
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


class _Open:
    """A collection whose end has not come yet; `key` is the mapping key that waits for its value."""

    __slots__ = ("anchor", "key", "key_place", "node", "skip")

    def __init__(self, node: Node, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: str | None = None
        self.key_place: Place | None = None
        self.skip = False


class _Builder:
    """Turns one file's events into nodes."""

    def __init__(self, shown: str, problems: list[Problem]) -> None:
        self.shown = shown
        self.problems = problems
        self.anchors: dict[str, Node | None] = {}
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.values = 0

    def build(self, text: str) -> Node:
        documents = 0
        for event in self._events(text):
            what = type(event)
            if what is yaml.ScalarEvent:
                self._scalar(event)
            elif what is yaml.MappingStartEvent:
                self._open(event, {})
            elif what is yaml.SequenceStartEvent:
                self._open(event, [])
            elif what is yaml.MappingEndEvent or what is yaml.SequenceEndEvent:
                self._close()
            elif what is yaml.AliasEvent:
                self._alias(event)
            elif what is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    self._fail(event, "a second document starts here; keep one environment to a file")
        if self.root is None:
            raise _Unreadable(Problem(self.shown, 1, 1, "is empty; an environment needs at least `apps: {…}`"))
        return self.root

    def _events(self, text: str) -> Iterator[Any]:
        try:
            yield from yaml.parse(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = "not valid YAML: " + (error.problem or "it cannot be parsed")
            if error.context:
                message += f" ({error.context})"
            if error.context and "flow" in error.context and error.context_mark:
                message += f"; the bracket opened in line {error.context_mark.line + 1} is not closed"
            if "\\t" in message or "cannot start any token" in message:
                message += "; indent with spaces, and quote a text that starts with a special character"
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise _Unreadable(Problem(self.shown, line, column, message)) from None
        except yaml.YAMLError:
            message = "not valid YAML: it holds characters YAML does not allow"
            raise _Unreadable(Problem(self.shown, 1, 1, message)) from None

    def _place(self, event: Any) -> Place:
        mark = event.start_mark
        return Place(self.shown, mark.line + 1, mark.column + 1)

    def _fail(self, event: Any, message: str) -> None:
        raise _Unreadable(self._place(event).problem(message))

    def _check_tag(self, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            message = "tags such as !!str or !custom have no meaning here; remove it"
            self.problems.append(self._place(event).problem(message))

    def _scalar(self, event: Any) -> None:
        self._check_tag(event)
        plain = event.implicit[0]
        place = self._place(event)
        top = self.stack[-1] if self.stack else None
        if top is not None and type(top.node.value) is dict and top.key is None and not top.skip:
            self._key(top, scalar(event.value) if plain else event.value, event, place)
            return
        node = Node(scalar(event.value) if plain else event.value, place)
        if event.anchor:
            self.anchors[event.anchor] = node
        self._add(node, event)

    def _key(self, top: _Open, key: Any, event: Any, place: Place) -> None:
        if event.anchor:
            self.anchors[event.anchor] = Node(key, place)
        if not isinstance(key, str):
            message = f"a key is text; found {kind(key)}: put it in quotes if it is meant as a name"
            self.problems.append(place.problem(message))
            key = str(event.value)  # what it holds is checked all the same
        if key == "<<" and event.implicit[0]:
            message = (
                "merge keys (<<) are not used here; `defaults` is for what apps share, `extends` for what files share"
            )
            self.problems.append(place.problem(message))
        elif key in top.node.value:
            first = top.node.value[key].key.line
            message = f'the key "{shorten(key)}" is written twice; the first is in line {first}'
            self.problems.append(place.problem(message))
        else:
            top.key, top.key_place = key, place
            return
        top.skip = True

    def _open(self, event: Any, value: Any) -> None:
        self._check_tag(event)
        if len(self.stack) >= MAX_DEPTH:
            self._fail(event, f"nested more than {MAX_DEPTH} levels deep; nothing here needs that")
        top = self.stack[-1] if self.stack else None
        if top is not None and type(top.node.value) is dict and top.key is None and not top.skip:
            self._fail(event, f"a key is text; found {kind(value)}")
        if event.anchor:
            self.anchors[event.anchor] = None
        self.stack.append(_Open(Node(value, self._place(event)), event.anchor))
        self._count(event, 1)

    def _close(self) -> None:
        done = self.stack.pop()
        node = done.node
        children = (entry.node for entry in node.value.values()) if type(node.value) is dict else node.value
        node.size = 1 + sum(child.size for child in children)
        if done.anchor:
            self.anchors[done.anchor] = node
        self._attach(node)

    def _alias(self, event: Any) -> None:
        node = self.anchors.get(event.anchor)
        top = self.stack[-1] if self.stack else None
        if top is not None and type(top.node.value) is dict and top.key is None and not top.skip:
            self._fail(event, "an alias cannot be a key; write the key out")
        if node is None:
            message = "no anchor (&name) above has this name; a text that starts with * goes in quotes"
            if event.anchor in self.anchors:
                message = "the alias stands inside what it stands for; write the value out"
            self._fail(event, message)
        else:
            self._add(node, event)

    def _count(self, event: Any, size: int) -> None:
        self.values += size
        if self.values > MAX_VALUES:
            message = f"more than {MAX_VALUES:,} values, aliases counted with all they stand for; divide the file"
            self._fail(event, message)

    def _add(self, node: Node, event: Any) -> None:
        self._count(event, node.size)
        self._attach(node)

    def _attach(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        if type(top.node.value) is list:
            top.node.value.append(node)
        elif top.skip:
            top.skip = False
        else:
            assert top.key is not None and top.key_place is not None
            top.node.value[top.key] = Entry(top.key_place, node)
            top.key = None


def text_of(value: Any) -> str:
    """The value if it is a text with something in it."""
    if not isinstance(value, str) or not value:
        raise Refused(expected("text", value))
    return value
