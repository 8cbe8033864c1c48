"""Plain data as YAML in the form of the examples: what fits a line stands on one, the rest in blocks, texts quoted where need be.

What is written is read back as the same by `entrant.config.source` and by any reader of YAML 1.1 or 1.2.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from entrant.config.source import scalar
from entrant.facts.unsafe_text import harmless

WIDTH: Final = 120
DEEPEST: Final = 2
"""Mappings within one another on a line."""
_FLOW = re.compile(r"[\w/.$(][\w/.$()@+=~^;*'’–—…:#\\ -]*")
_BLOCK = re.compile(r"[\w/.$(][\w/.$()@+=~^;*'’–—…:#\\ ,?!&|<>%{}\[\]\"-]*")
"""Texts that may stand without quotes, within brackets or elsewhere, but for what `_is_plain` looks at besides."""
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([Tt ].*)?")
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}

Comments = Mapping[tuple[str, ...], Sequence[str]]
"""Lines above the key at a path."""


def mapping(data: Mapping[str, Any], indent: int = 0, comments: Comments | None = None) -> Iterator[str]:
    """The lines of a mapping in block form."""
    notes = comments or {}
    margin = " " * indent
    for key, value in data.items():
        for line in notes.get((key,), ()):
            yield from comment(line, indent)
        below = {path[1:]: lines for path, lines in notes.items() if len(path) > 1 and path[0] == key}
        yield from _entry(f"{margin}{text(key, flow=True)}:", value, indent + 2, below)


def comment(line: str, indent: int) -> list[str]:
    """A comment, in as many lines as it takes."""
    start = " " * indent + "# "
    return textwrap.wrap(
        harmless(line),
        WIDTH,
        initial_indent=start,
        subsequent_indent=start + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _entry(start: str, value: Any, indent: int, comments: Comments) -> Iterator[str]:
    """What stands behind a key or a dash."""
    if isinstance(value, str) and (block := _block(value, indent)):
        yield f"{start} {block[0]}"
        yield from block[1:]
    elif isinstance(value, str):
        yield f"{start} {text(value)}"
    elif not comments and (inline := _inline(value)) is not None and _fits(f"{start} {inline}", value):
        yield f"{start} {inline}"
    elif isinstance(value, Mapping):
        yield start
        yield from mapping(value, indent, comments)
    else:
        yield start
        for item in value:
            yield from _item(item, indent)


def _item(item: Any, indent: int) -> Iterator[str]:
    margin = " " * indent
    inline = text(item) if isinstance(item, str) else _inline(item)
    if inline is not None and (_fits(f"{margin}- {inline}", item) or not isinstance(item, Mapping)):
        yield f"{margin}- {inline}"
        return
    first, *others = mapping(item, indent + 2)
    yield f"{margin}- {first.lstrip()}"
    yield from others


def _fits(line: str, value: Any) -> bool:
    """Whether a line is short enough; a single value has no other form."""
    return len(line) <= WIDTH or not isinstance(value, Mapping | list | tuple)


def _inline(value: Any) -> str | None:
    """A value on one line; None for what is easier to read in several."""
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return None
    if isinstance(value, Mapping) and (
        not value or _depth(value) > DEEPEST or any(_long(each) for each in value.values())
    ):
        return None if value else "{}"
    return _flow(value)


def _long(value: Any) -> bool:
    return (isinstance(value, str) and "\n" in value) or (
        isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value)
    )


def _depth(value: Any) -> int:
    if isinstance(value, Mapping):
        return 1 + max((_depth(each) for each in value.values()), default=0)
    return 0


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{text(key, flow=True)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(each) for each in value) + "]"
    return value_text(value)


def value_text(value: Any) -> str:
    """A single value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return text(value, flow=True) if isinstance(value, str) else str(value)


def text(value: str, *, flow: bool = False) -> str:
    """A text, without quotes where it is one without them; `flow` where it stands within brackets."""
    return value if _is_plain(value, _FLOW if flow else _BLOCK) else quoted(value)


def _is_plain(value: str, form: re.Pattern[str]) -> bool:
    return (
        bool(form.fullmatch(value))
        and harmless(value) == value
        and not value.endswith((" ", ":"))
        and not re.search(r": | #|  ", value)
        and not _number_like(value)
        and isinstance(scalar(value), str)
        and len(value) <= 400
    )


def _number_like(value: str) -> bool:
    """What readers of YAML 1.1 take for a number or a boolean in more forms than can be listed; a date stays a text here."""
    return bool(re.fullmatch(r"[-+.\d][\d_.:,eExXoO+-]*", value)) and not _DATE.fullmatch(value)


def quoted(value: str) -> str:
    """A text in double quotes, on one line, with what cannot be seen as escapes."""
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if harmless(character) == character and character not in "\x85\xa0\u2028\u2029" and _printable(character):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _printable(character: str) -> bool:
    code = ord(character)
    return 0x20 <= code < 0x7F or 0xA0 <= code < 0xD800 or 0xE000 <= code < 0xFFFE or 0x10000 <= code <= 0x10FFFF


def _block(value: str, indent: int) -> list[str] | None:
    """A text of several lines, or a long condition, as a block; None where it is none or cannot be one."""
    lines = value.split("\n")
    seen = all(_escaped(character) == character or character in '"\\' for line in lines for character in line)
    sound = seen and all(line and line == line.strip() for line in lines)
    margin = " " * indent
    if not sound or (len(lines) < 2 and not (len(value) > WIDTH and value.startswith(("(", "@")))):
        return None
    if len(lines) > 1:
        return ["|-", *(margin + line for line in lines)]
    return [">-", *(margin + line for line in _folded(value, WIDTH - indent))]


def _folded(value: str, width: int) -> list[str]:
    """A text of one line in several, which read as that one: broken at single spaces."""
    lines: list[str] = []
    for word in re.split(r"(?<=\S) (?=\S)", value):
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def as_json(value: Any) -> str:
    """Plain data for comparison."""
    return json.dumps(value, sort_keys=True, default=str)
