"""A review as people read it: Markdown for a pull request, text for a terminal. Both say the same sentences."""

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from entrant.markdown import Comment, Section, Value, code, details, marker, plain, text
from entrant.review.document import AccessChange, AppChange, Breakage, CredentialChange, Outside, Review, SettingChange
from entrant.words import counted

SUMMARY_LIMIT: Final = 340_000
"""Characters of what is written to a job's summary: GitHub takes 1 MiB a step, and a character has up to three bytes here."""
_DRAWN: Final = 40
"""Arrows of the picture at most: more is a tangle."""
_LONGEST: Final = 300
"""Characters of a value that are shown."""
_MANY: Final = 4
"""As many apps of which the same is said share a sentence."""
_A_LINE: Final = 100
"""Apps in one sentence at most."""
_LINES: Final = 60
"""Lines of an error that are shown."""


class Name(Value):
    """A value that the sentence is about."""

    __slots__ = ()


class Words(str):
    """A part of a sentence that is prose with values in it."""

    __slots__ = ()


Line = tuple[str, ...]
"""A sentence: what is neither of the three is ours."""


# ----------------------------------------------------------------------------------------------------------------- sentences

UNSEEN: Final = (
    "Two commits are compared here, without credentials. **The cloud was not seen**: what is deployed, what was done there "
    "manually, and whether `pulumi up` would succeed are not in this review."
)
_WORDS: Final = {
    "taken_over": ("setting changed by taking over", "settings changed by taking over"),
    "break": ("thing that breaks", "things that break"),
    "twice": ("to look at twice", "to look at twice"),
    "app": ("app", "apps"),
    "gained": ("gained", "gained"),
    "lost": ("lost", "lost"),
    "changed": ("changed access", "changed access"),
    "adopted": ("taken over", "taken over"),
    "kept": ("left in place", "left in place"),
    "credential": ("credential", "credentials"),
    "setting": ("setting", "settings"),
    "error": ("policy error", "policy errors"),
    "warning": ("policy warning", "policy warnings"),
    "outside": ("manual change", "manual changes"),
}


_NOTHING = "nothing was seen"


def _failed(review: Review) -> str:
    return "The preview failed" if review.saw_cloud else "The environment has errors"


def counts(review: Review) -> str:
    """The numbers in a line, such as `1 break · 2 gained · 1 credential`; `no changes` without any."""
    numbers = {
        "taken_over": len(review.taken_over),
        "break": len(review.breaks),
        "twice": sum(bool(entry.danger) for entry in review.access),
        "app": len(review.apps),
        "gained": review.count("gained"),
        "lost": review.count("lost"),
        "changed": review.count("changed"),
        "adopted": sum(entry.origin == "adopted" for entry in review.access)
        + sum(entry.change == "adopted" for entry in review.credentials),
        "kept": sum(entry.origin == "kept" for entry in review.access),
        "credential": sum(entry.change not in ("ending", "adopted") for entry in review.credentials),
        "setting": len(review.settings),
        "error": sum(finding.severity == "error" for finding in review.findings),
        "warning": sum(finding.severity == "warning" for finding in review.findings),
        "outside": len(review.outside),
    }
    counts = [f"{number:,} {_WORDS[what][number != 1]}" for what, number in numbers.items() if number]
    if not review.changed and not review.errors:
        counts.insert(0, "no changes" if not review.resources else "no change of access")
    elif not counts:
        counts.append(
            _NOTHING if review.errors else f"{counted(len(review.resources), 'resource')}, no change of access"
        )
    return " · ".join(counts)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a review: its heading, its sentences, and the colour it has in a terminal."""

    title: str
    lines: Sequence[Line]
    colour: str = ""


def parts(review: Review) -> list[Part]:
    """What there is to say, the important first."""

    def access(*changes: str) -> list[Line]:
        chosen = [entry for entry in review.access if entry.change in changes]
        chosen.sort(key=lambda entry: (not entry.danger, entry.origin != ""))
        return list(_together(map(_access, chosen)))

    words = [
        Part("What taking over changes", [_setting(entry) for entry in review.taken_over], "31"),
        Part("What breaks", [_breakage(entry) for entry in review.breaks], "31"),
        Part("Apps", [_app(entry) for entry in review.apps]),
        Part("Who gains what", access("gained", "changed"), "32"),
        Part("Who loses what", access("lost"), "31"),
        Part("Credentials", list(_together(map(_credential, review.credentials)))),
        Part("Policy", list(_findings(review)), "33"),
        Part("Changed manually in the cloud", [_outside(entry) for entry in review.outside], "33"),
        Part("Settings", [_setting(entry) for entry in review.settings]),
    ]
    return [part for part in words if part.lines]


_PLURAL: Final = {
    " gains ": " gain ",
    " loses ": " lose ",
    " has ": " have ",
    " gets ": " get ",
    " keeps, changed: ": " keep, changed: ",
}


def _together(lines: Iterable[Line]) -> Iterator[Line]:
    """Sentences, with those in one that say the same of many apps."""
    alike: dict[Line, list[tuple[int, Line]]] = {}
    for line in lines:
        at = next(index for index, part in enumerate(line) if isinstance(part, Name))
        alike.setdefault((*line[:at], *line[at + 1 :]), []).append((at, line))
    for group in alike.values():
        if len(group) < _MANY:
            yield from (line for _, line in group)
            continue
        for start in range(0, len(group), _A_LINE):
            some = group[start : start + _A_LINE]
            at, line = some[0]
            verb, *rest = line[at + 1 :]
            names = [part for _, each in some for part in (", ", each[at])][1:]
            plural = _PLURAL.get(verb, verb) if len(some) > 1 else verb
            yield (*line[:at], counted(len(some), "app"), plural, *rest, ": ", *names)


def _short(value: object) -> str:
    shown = str(value)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _breakage(entry: Breakage) -> Line:
    if entry.client_id and entry.client_id in entry.text:
        before, _, after = entry.text.partition(entry.client_id)
        return Name(entry.app), ": ", Words(before), Value(entry.client_id), Words(after)
    return Name(entry.app), ": ", Words(entry.text)


_APPS: Final = {
    "added": " is new",
    "removed": " is removed",
    "kept": " is no longer declared and stays where it is",
    "adopted": " exists and is taken over",
    "replaced": " is replaced and gets another client id",
    "restored": " is made anew, with another client id",
    "renamed": " has another name here and stays as it is in the cloud",
}


def _app(entry: AppChange) -> Line:
    named: Line = (" (", Value(entry.display_name), ")") if entry.display_name != entry.app else ()
    until_now = "until now " if entry.change in ("replaced", "removed", "restored") else ""
    client: Line = (f", {until_now}client id ", Value(entry.client_id)) if entry.client_id else ()
    if entry.was:
        old, new = (f"{name.replace('-', '_')}_…" for name in (entry.was, entry.app))
        client = ("; it was ", Value(entry.was), ": the outputs ", Value(old), " go, ", Value(new), " come")
    return Name(entry.app), *named, _APPS[entry.change], *client


_VERBS: Final = {"gained": " gains ", "lost": " loses ", "changed": " keeps, changed: "}
_ORIGINS: Final = {
    "": "",
    "adopted": " (and had it before: Entrant takes it over)",
    "kept": " (it stays in the cloud, and is no longer looked after)",
    "restored": " (restored: it was changed or removed manually)",
    "pending": " (not of this change: it was declared before and not applied yet)",
}


def _access(entry: AccessChange) -> Line:
    name, where = Name(_short(entry.name)), Value(entry.where)
    what: Line = {
        "role": (name, " on ", Words(entry.where)),
        "directory role": ("the directory role ", name, " in ", Words(entry.where)),
        "consent": (name, " of ", where, f" ({entry.detail}), with admin consent"),
        "permission": (name, " of ", where, f" ({entry.detail}), asked for and not consented to here"),
        "group": ("membership of group ", name),
        "owner": (
            "the owner ",
            name,
            *(() if entry.change == "lost" else (", who can add credentials to it and so be it",)),
        ),
    }[entry.kind]
    verb = " has " if entry.origin == "adopted" else _VERBS[entry.change]
    line: list[str] = [Name(entry.app), verb, *what]
    if entry.allows and entry.change != "lost":
        line += [": ", Words(entry.allows)]
    if entry.detail and entry.kind == "role":
        line += ["; ", Words("under the condition "), Value(_short(entry.detail.removeprefix("under the condition ")))]
    if entry.was:
        line += ["; ", Words(_short(entry.was))]
    if entry.danger:
        line = ["⚠ ", *line, ". ", Words(entry.danger)]
        if entry.reason:
            line += ["; the file says why: “", Words(_short(entry.reason)), "”"]
    return (*line, _ORIGINS[entry.origin])


_CREDENTIALS: Final = {
    "created": " gets ",
    "adopted": " has ",
    "removed": " loses ",
    "replaced": " gets a fresh ",
    "changed": " has another ",
    "ending": ": ",
}


def _credential(entry: CredentialChange) -> Line:
    kind = "client secret" if entry.kind == "secret" else entry.kind
    line: list[str] = [Name(entry.app), _CREDENTIALS[entry.change]]
    article = (
        "" if entry.change in ("replaced", "changed") else "the " if entry.change in ("removed", "ending") else "a "
    )
    line.append(f"{article}{kind}")
    if entry.name != "client secret":
        line += [" ", Value(_short(entry.name))]
    if entry.change == "ending":
        return (*line, f" ends on {entry.ends[:10]}; ", Words(entry.detail))
    if entry.ends and entry.change != "removed":
        line.append(f", until {entry.ends[:10]}")
    if entry.detail:
        line += [": ", Words(_short(entry.detail))]
    return (*line, _ORIGINS["adopted"] if entry.change == "adopted" else "")


def _findings(review: Review) -> Iterator[Line]:
    """Errors, and warnings about what is changed; how many there are besides."""
    touched = {
        entry.app for group in (review.apps, review.access, review.credentials, review.settings) for entry in group
    }
    besides = 0
    for entry in review.findings:
        if entry.severity == "warning" and not (entry.new and entry.app in touched):
            besides += 1
            continue
        place: Line = (" (", Value(entry.place), ")") if entry.place else ()
        reason: Line = ("; the file says why: “", Words(_short(entry.reason)), "”") if entry.reason else ()
        old = "" if entry.new else " It was so before."
        message = Words(_short(entry.message))
        what: Line = (f"{entry.severity} ", Value(entry.rule), ": ", Name(entry.app), ": ", message, *place)
        yield *what, *reason, "; ", Words(entry.remediation), ".", old
    if besides:
        words = "warning" if besides == 1 else "warnings"
        yield (f"{besides:,} {words} besides, about what does not change here (", Value("entrant validate"), ")")


def _outside(entry: Outside) -> Line:
    return Name(entry.app or "the environment"), ": ", Words(_short(entry.text))


def _setting(entry: SettingChange) -> Line:
    path, app = Value(_short(entry.path)), Name(entry.app or "the environment")
    if entry.old is None:
        in_path = entry.path.endswith(f"[{entry.new}]")
        return (app, ": ", path, *((" is new",) if in_path else (" is set to ", _value(entry.new))))
    if entry.new is None:
        in_path = entry.path.endswith(f"[{entry.old}]")
        return (app, ": ", path, " is taken away", *(() if in_path else (" (was ", _value(entry.old), ")")))
    return app, ": ", path, " from ", _value(entry.old), " to ", _value(entry.new)


def _value(value: Any) -> Value:
    return Value(_short(str(value).lower() if isinstance(value, bool) else value))


# ----------------------------------------------------------------------------------------------------------------- Markdown


def markdown(review: Review) -> Comment:
    """The review as one block of Markdown; the first line is a hidden marker by which its comment is found again."""
    seen = counts(review) != _NOTHING
    head = [
        marker("entrant-review", review.stack, digest=review.digest),
        f"### Access review of {code(review.stack)}",
        "",
        *(
            [f"**⛔ {_failed(review)}**{': what follows was seen until then' if seen else ''}.", ""]
            if review.errors
            else []
        ),
        *([f"**{counts(review)}**"] if seen else []),
        "",
    ]
    if not review.saw_cloud:
        head += [f"> {UNSEEN}", ""]
    for note in review.notes:
        head += [f"> {text(note)}", ""]
    sections = [
        *(Section("", _fenced(error), whole=True, name="what went wrong") for error in review.errors),
        *(
            Section(part.title, [f"- {_rendered(line, code, text, _bold)}" for line in part.lines])
            for part in parts(review)
        ),
        Section("", list(_drawn(review)), whole=True, name="the picture"),
        Section("", _scopes(review), whole=True, name="the scopes in full"),
        Section("", _resources(review), whole=True, name="the list of resources"),
    ]
    return Comment("\n".join(head), [section for section in sections if section.lines])


def _bold(value: object) -> str:
    return f"**{text(value)}**"


def _rendered(
    line: Line, value: Callable[[object], str], words: Callable[[object], str], name: Callable[[object], str]
) -> str:
    sentences = []
    for part in line:
        match part:
            case Name():
                sentences.append(name(part))
            case Value():
                sentences.append(value(part))
            case Words():
                # what stands at its ends belongs to the sentence
                inner = _prose(part, value, words)
                sentences.append(f"{' ' * part.startswith(' ')}{inner}{' ' * (part.endswith(' ') and len(part) > 1)}")
            case _:
                sentences.append(part)
    return "".join(sentences)


def _prose(part: str, value: Callable[[object], str], words: Callable[[object], str]) -> str:
    """Prose, in which what stands between backticks is a value."""
    if words is value:
        return words(part)
    pieces = part.split("`")
    if len(pieces) % 2 == 0:
        return words(part)
    sentences = []
    for index, piece in enumerate(pieces):
        inner = value(piece) if index % 2 else words(piece)
        around = (" " * piece[:1].isspace(), " " * (piece[-1:].isspace() and len(piece) > 1))
        sentences.append(
            inner if index % 2 else f"{around[0] if index else ''}{inner}{around[1] if index < len(pieces) - 1 else ''}"
        )
    return "".join(sentences)


def _fenced(error: str) -> list[str]:
    """An error as a code block, whatever is in it."""
    lines = [plain_line(line) for line in error.splitlines()]
    if len(lines) > _LINES:
        lines = [*lines[:_LINES], f"… and {len(lines) - _LINES} more lines"]
    fence = "`" * max(3, 1 + max((len(run) for line in lines for run in re.findall("`+", line)), default=0))
    return [f"{fence}text", *(line[:500] for line in lines), fence]


def plain_line(line: str) -> str:
    """A line with its indentation, and with what cannot be seen spelled out."""
    return " " * (len(line) - len(line.lstrip(" "))) + plain(line)


def _drawn(review: Review) -> Iterator[str]:
    """App → role → scope as Mermaid draws it: what is gained solid and green, what is lost dashed and red."""
    wanted = [entry for entry in review.access if entry.kind in ("role", "directory role", "consent")]
    if not wanted:
        return
    drawn = sorted(wanted, key=lambda entry: (not entry.danger, entry.app))[:_DRAWN]
    nodes: dict[tuple[str, str], str] = {}

    def node(kind: str, label: str) -> str:
        return nodes.setdefault((kind, label), f"{kind}{len(nodes)}")

    arrows: list[str] = []
    colours: dict[str, list[int]] = {}
    for number, entry in enumerate(drawn):
        role = node("r", f"{entry.name}\0{entry.scope}")
        scope = node("s", f"{entry.where}\0{entry.scope}")
        arrow = "-.->" if entry.change == "lost" else "-->"
        arrows.append(f"  {node('a', entry.app)} {arrow} {role} {arrow} {scope}")
        there = entry.origin in ("adopted", "kept")
        colour = "#656d76" if there else {"gained": "#1a7f37", "lost": "#cf222e", "changed": "#9a6700"}[entry.change]
        colours.setdefault(colour, []).extend((2 * number, 2 * number + 1))
    dangerous = {node("r", f"{entry.name}\0{entry.scope}") for entry in drawn if entry.danger}
    shapes = {"a": ('["', '"]'), "r": ('(["', '"])'), "s": ('[("', '")]')}
    yield "<details open>"
    more = f"; {_DRAWN} of {len(wanted):,} are drawn" if len(wanted) > len(drawn) else ""
    yield f"<summary>Picture: gained solid, lost dashed{more}</summary>"
    yield ""
    yield "```mermaid"
    yield "flowchart LR"
    for (kind, label), name in nodes.items():
        opening, closing = shapes[kind]
        yield f"  {name}{opening}{_label(label.split(chr(0))[0])}{closing}"
    yield from arrows
    for colour, links in colours.items():
        yield f"  linkStyle {','.join(map(str, links))} stroke:{colour},stroke-width:2px"
    if dangerous:
        yield "  classDef danger stroke:#cf222e,stroke-width:3px"
        yield f"  class {','.join(sorted(dangerous))} danger"
    yield "```"
    yield ""
    yield "</details>"


def _label(value: str) -> str:
    """A Mermaid label; everything that could be syntax becomes a character code."""
    words = plain(value)[:80]
    return "".join(c if c.isalnum() or c in " ._-/" else f"#{ord(c)};" for c in words) or "-"


def _scopes(review: Review) -> list[str]:
    """What the names of scopes stand for, since two can have the same."""
    scopes = {entry.scope: entry.where for entry in review.access if entry.kind == "role"}
    if not scopes:
        return []
    lines = [f"- {text(words)}: {code(scope)}" for scope, words in sorted(scopes.items())]
    return details("1 scope in full" if len(lines) == 1 else f"{len(lines):,} scopes in full", lines)


def _resources(review: Review) -> list[str]:
    if not review.resources:
        return []
    lines = []
    for entry in review.resources:
        line = f"- {entry.operation} {code(entry.type)} {code(entry.name)}"
        properties = [code(path) + (" (replaces)" if path in entry.replaces else "") for path in entry.properties]
        lines.append(line + (f": {', '.join(properties)}" if properties else ""))
    return details("1 resource" if len(lines) == 1 else f"{len(lines):,} resources", lines)


# --------------------------------------------------------------------------------------------------------------------- text


def terminal(review: Review, *, colour: bool = False, width: int | None = None) -> str:
    """The review as text: with colours when asked, and with lines of at most `width` characters where that is given."""

    def paint(code_: str, words: str) -> str:
        return f"\x1b[{code_}m{words}\x1b[0m" if colour and code_ else words

    def wrapped(words: str, indent: str) -> Iterator[str]:
        if width is None:
            yield words
        else:
            yield from textwrap.wrap(
                words, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            ) or [""]

    lines = [paint("1", f"{review.stack}: {counts(review)}")]
    if not review.saw_cloud:
        lines += wrapped(UNSEEN.replace("**", "").replace("`", ""), "")
    for note in review.notes:
        lines += wrapped(plain(note), "")
    if review.errors:
        lines += ["", paint("31;1", _failed(review))]
    for error in review.errors:
        lines += [f"  {plain_line(line)}" for line in error.splitlines()]
    for part in parts(review):
        lines += ["", paint(f"1;{part.colour}" if part.colour else "1", part.title)]
        for line in part.lines:
            lines += wrapped(f"  {_rendered(line, plain, plain, plain)}", "    ")
    if not review.errors:
        lines += ["", f"digest {review.digest}"]
    return "\n".join(lines)
