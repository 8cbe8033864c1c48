"""Markdown for comments on pull requests: values that cannot become markup, and texts that fit.

GitHub, GitLab and Azure DevOps render it; all three take HTML in it, turn `@name` into a mention and `#1` into a link. Values from
files and clouds go through `code` or `text`, so that none of that happens.
"""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

LIMIT = 64_000
"""Characters of a comment; GitHub takes 65,536 and other writers stop at this."""

_MARKER = re.compile(r"<!-- (?P<kind>entrant-[a-z-]+) stack=(?P<stack>\S+)(?: .*)?-->\s*")
_NAMES = 400
"""Characters for the names of what is left out."""


class Value(str):
    """A part of a sentence that comes from a file or a cloud, to be shown as it is."""

    __slots__ = ()


def plain(value: object) -> str:
    """A value on one line, with what cannot be seen (control characters, marks that turn the direction of writing) spelled out."""
    words = " ".join(str(value).split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def code(value: object) -> str:
    """A value in a code span, on one line, whatever is in it."""
    words = plain(value) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", words)), default=0))
    pad = " " if words.startswith("`") or words.endswith("`") else ""
    return f"{fence}{pad}{words}{pad}{fence}"


def text(value: object) -> str:
    """Words that somebody wrote, on one line, with markup, mentions and links taken apart."""
    words = html.escape(plain(value), quote=False)
    words = re.sub(r"([\\`*_\[\]{}|~!#$])", r"\\\1", words)
    words = re.sub(r"^([-+=]|\d+(?=[.)]))", lambda found: f"\u200b{found[0]}", words)  # no list of their own
    return apart(words)


def apart(words: str) -> str:
    """Words in which nobody finds a mention, a link or a reference.

    What looks for them does so after any markup was read: no escape helps, only a character between.
    """
    return re.sub(r"(@|://|www\.|[#!~%$](?=\w))", lambda found: found[0][:1] + "\u200b" + found[0][1:], words)


def marker(kind: str, stack: str, **more: str) -> str:
    """The hidden first line of a comment, by which it is found again.

    >>> marker("entrant-review", "dev", digest="1f")
    '<!-- entrant-review stack=dev digest=1f -->'
    """
    return " ".join(["<!--", kind, f"stack={stack}", *(f"{name}={value}" for name, value in more.items()), "-->"])


def read_marker(comment: str) -> tuple[str, str] | None:
    """What a comment's first line says it is: its kind (`entrant-review`) and its stack; None if it says nothing.

    >>> read_marker("<!-- entrant-review stack=dev digest=1f -->\\n### dev")
    ('entrant-review', 'dev')
    """
    found = _MARKER.fullmatch(comment.partition("\n")[0])
    return (found["kind"], found["stack"]) if found else None


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a comment: a heading and lines that may be left out one by one, or one block that stays whole."""

    title: str = ""
    lines: Sequence[str] = ()
    whole: bool = False
    """Whether `lines` are one block (a code fence, a table, `<details>`), to be shown entirely or not at all."""
    name: str = ""
    """What it is called where it is left out; by default its title."""

    @property
    def called(self) -> str:
        """What it is called in a sentence."""
        return self.name or f"“{self.title}”"

    @property
    def size(self) -> int:
        """Characters that the whole of it has."""
        return len(self.title) + 7 + sum(map(len, self.lines)) + len(self.lines)

    def render(self, most: int) -> tuple[str, int]:
        """The section in at most `most` characters, and how many lines had to be left out."""
        head = f"#### {self.title}\n\n" if self.title else ""
        full = head + "\n".join(self.lines) + "\n"
        if len(full) <= most:
            return full, 0
        if self.whole:
            return "", 1
        shown: list[str] = []
        room = most - len(head) - 80
        for line in self.lines:
            if len(line) + 1 > room:
                break
            shown.append(line)
            room -= len(line) + 1
        left = len(self.lines) - len(shown)
        return (head + "\n".join([*shown, f"- … and {left} more"]) + "\n", left) if shown else ("", left)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment: what always stands first, then sections, the important ones before the others."""

    head: str
    sections: Sequence[Section] = field(default_factory=tuple)

    def render(self, most: int = LIMIT, *, rest: str = "") -> tuple[str, bool]:
        """The text, and whether something had to be left out; then `rest` says where it is, with `{what}` for what that is.

        Sections share the room evenly, but for what short ones leave to long ones: a long one hides no other.
        """
        parts = [self.head]
        room = most - len(self.head) - len(rest) - 2 - (_NAMES if "{what}" in rest else 0)
        left_out = []
        for section, share in zip(self.sections, _shares(self.sections, room), strict=True):
            rendered, left = section.render(share)
            if left:
                left_out.append(f"a part of {section.called}" if rendered else section.called)
            if rendered:
                parts.append(rendered)
        if left_out and rest:
            names = ", ".join(left_out)
            parts.append(rest.replace("{what}", names if len(names) <= _NAMES else f"{len(left_out)} parts"))
        return "\n".join(parts), bool(left_out)

    def complete(self) -> str:
        """Everything, however long."""
        return self.render(1 << 40)[0]


def _shares(sections: Sequence[Section], room: int) -> list[int]:
    """How much of the room each section gets; none for blocks that have no room, the last ones first."""
    shares = [0] * len(sections)
    waiting = list(range(len(sections)))
    while waiting:
        share = room // len(waiting)
        fitting = [at for at in waiting if sections[at].size < share]
        blocks = [at for at in waiting if sections[at].whole]
        for at in fitting:
            shares[at] = sections[at].size
            room -= sections[at].size + 1
            waiting.remove(at)
        if not fitting and blocks:
            waiting.remove(blocks[-1])
        elif not fitting:
            for at in waiting:
                shares[at] = share - 1
            break
    return shares


def details(summary: str, lines: Iterable[str]) -> list[str]:
    """The lines of a fold."""
    return ["<details>", f"<summary>{html.escape(summary)}</summary>", "", *lines, "", "</details>"]
