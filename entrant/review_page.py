"""A review as people read it: Markdown for a pull request, text for a terminal."""

from collections.abc import Callable, Iterator, Sequence

from entrant.markdown import Comment, Section, code, details, text
from entrant.review import AccessChange, AppChange, CredentialChange, Finding, Review, SettingChange

_DRAWN = 40
"""Arrows of the picture at most: more is a tangle."""

_VERBS = {"gained": "gains", "lost": "loses", "changed": "has changed:"}
_APPS = {
    "added": "is new",
    "removed": "is removed",
    "kept": "is no longer declared and stays where it is",
    "adopted": "existed and is taken over",
    "replaced": "is replaced and gets a new client id",
}
_CREDENTIALS = {
    "created": "gets",
    "removed": "loses",
    "replaced": "gets a new",
    "changed": "has a changed",
    "ending": "has",
}
UNSEEN = (
    "Two commits are compared here; the cloud was not seen: what is deployed and what hands changed there is not in it."
)


def counts(review: Review) -> str:
    """The numbers in a line, such as `1 thing that breaks · 2 gained · 1 credential`."""
    numbers = (
        (len(review.errors), "error"),
        (len(review.breaks), "thing that breaks"),
        (sum(bool(entry.danger) for entry in review.access), "to look at twice"),
        (len(review.apps), "app"),
        (review.count("gained"), "gained"),
        (review.count("lost"), "lost"),
        (review.count("changed"), "changed access"),
        (sum(entry.change != "ending" for entry in review.credentials), "credential"),
        (len(review.settings), "setting"),
        (len(review.findings), "policy finding"),
        (len(review.outside), "changed outside"),
    )
    plural = {"error", "app", "credential", "setting", "policy finding"}
    said = []
    for number, word in numbers:
        if number > 1:
            word = "things that break" if word == "thing that breaks" else f"{word}s" if word in plural else word
        if number:
            said.append(f"{number} {word}")
    return " · ".join(said) or "no changes"


# ----------------------------------------------------------------------------------------------------------------- Markdown


def markdown(review: Review) -> Comment:
    """The review as one block of Markdown; the first line is a hidden marker by which its comment is found again."""
    head = [
        f"<!-- entrant-review stack={review.stack} digest={review.digest} -->",
        f"### Access review of {code(review.stack)}",
        "",
        f"**{counts(review)}**",
        "",
    ]
    if not review.saw_cloud:
        head += [f"> {UNSEEN}", ""]
    sections = [
        Section(
            "⛔ The preview failed", [line for error in review.errors for line in ("```", *_fenced(error), "```")], True
        )
        if review.errors
        else Section(),
        Section("💥 What breaks", [f"- {code(entry.app)}: {text(entry.text)}" for entry in review.breaks]),
        Section("Apps", [_app(entry, code) for entry in review.apps]),
        Section("Who gains what", [_access(e, code, text) for e in _first_dangerous(review, ("gained", "changed"))]),
        Section("Who loses what", [_access(e, code, text) for e in _first_dangerous(review, ("lost",))]),
        Section("Credentials", [_credential(entry, code, text) for entry in review.credentials]),
        Section("Policy", [_finding(entry, code, text) for entry in review.findings]),
        Section("Changed in the cloud by other hands", [f"- {code(e.app)}: {code(e.text)}" for e in review.outside]),
        Section("Settings", [_setting(entry, code) for entry in review.settings]),
        Section("", list(_drawn(review)), whole=True),
        Section("", _resources(review), whole=True),
    ]
    return Comment("\n".join(head), [section for section in sections if section.lines])


def _fenced(error: str) -> list[str]:
    return [line.replace("```", "'''") for line in error.splitlines()]


def _first_dangerous(review: Review, changes: Sequence[str]) -> list[AccessChange]:
    chosen = [entry for entry in review.access if entry.change in changes]
    return sorted(chosen, key=lambda entry: not entry.danger)


Quote = Callable[[object], str]


def _app(entry: AppChange, quote: Quote) -> str:
    client = f", client id {quote(entry.client_id)}" if entry.client_id else ""
    named = f" ({quote(entry.display_name)})" if entry.display_name != entry.app else ""
    return f"- {quote(entry.app)}{named} {_APPS[entry.change]}{client}"


def _access(entry: AccessChange, quote: Quote, words: Quote) -> str:
    what = {
        "role": f"{quote(entry.name)} on {quote(entry.where)}",
        "directory role": f"the directory role {quote(entry.name)} in {quote(entry.where)}",
        "consent": f"{quote(entry.name)} ({entry.detail}) of {quote(entry.where)}, with admin consent",
        "permission": f"{quote(entry.name)} ({entry.detail}) of {quote(entry.where)}, asked for without consent",
        "group": f"membership in group {quote(entry.name)}",
        "owner": f"the owner {quote(entry.name)}",
    }[entry.kind]
    line = f"- {'⚠️ ' if entry.danger else ''}{quote(entry.app)} {_VERBS[entry.change]} {what}"
    if entry.allows and entry.change != "lost":
        line += f": {words(entry.allows)}"
    if entry.detail and entry.kind == "role":
        line += f"; {quote(entry.detail)}"
    if entry.danger:
        why = f"; the file says why: {words(entry.reason)}" if entry.reason else ""
        line += f" — {words(entry.danger)}{why}"
    return line + (" (pending from before, not of this change)" if entry.pending else "")


def _credential(entry: CredentialChange, quote: Quote, words: Quote) -> str:
    named = "" if entry.name == "client secret" else f" {quote(entry.name)}"
    kind = "client secret" if entry.kind == "secret" else entry.kind
    line = f"- {quote(entry.app)} {_CREDENTIALS[entry.change]} {kind}{named}"
    if entry.detail:
        line += f": {quote(entry.detail)}"
    if entry.ends:
        line += f", {'which ends' if entry.change == 'ending' else 'until'} {entry.ends[:10]}"
    return line


def _finding(entry: Finding, quote: Quote, words: Quote) -> str:
    where = f" ({quote(entry.place)})" if entry.place else ""
    return f"- **{entry.severity}** {quote(entry.rule)}: {words(entry.message)}{where}. {words(entry.remediation)}"


def _setting(entry: SettingChange, quote: Quote) -> str:
    if entry.old is None:
        return f"- {quote(entry.app)}: {quote(entry.path)} is set to {quote(entry.new)}"
    if entry.new is None:
        return f"- {quote(entry.app)}: {quote(entry.path)} is taken away (was {quote(entry.old)})"
    return f"- {quote(entry.app)}: {quote(entry.path)} from {quote(entry.old)} to {quote(entry.new)}"


def _drawn(review: Review) -> Iterator[str]:
    """App → role → scope as Mermaid draws it: what is gained solid and green, what is lost dashed and red."""
    drawn = [entry for entry in review.access if entry.kind in ("role", "directory role", "consent")]
    if not drawn:
        return
    if len(drawn) > _DRAWN:
        yield from details("Picture", [f"{len(drawn)} changes are too many for a picture."])
        return
    nodes: dict[tuple[str, str], str] = {}

    def node(kind: str, label: str) -> str:
        return nodes.setdefault((kind, label), f"{kind}{len(nodes)}")

    arrows: list[str] = []
    styles: list[str] = []
    for number, entry in enumerate(drawn):
        role = node("r", f"{entry.name}\0{entry.where}")
        arrow = "-.->" if entry.change == "lost" else "-->"
        arrows.append(f"  {node('a', entry.app)} {arrow} {role} {arrow} {node('s', entry.where)}")
        colour = {"gained": "#1a7f37", "lost": "#cf222e", "changed": "#9a6700"}[entry.change]
        styles.append(f"  linkStyle {2 * number},{2 * number + 1} stroke:{colour},stroke-width:2px")
    shapes = {"a": ('["', '"]'), "r": ('(["', '"])'), "s": ('[("', '")]')}
    yield "```mermaid"
    yield "flowchart LR"
    for (kind, label), name in nodes.items():
        opening, closing = shapes[kind]
        yield f"  {name}{opening}{_label(label.split(chr(0))[0])}{closing}"
    yield from arrows
    yield from styles
    yield "```"


def _label(value: str) -> str:
    """A Mermaid label; everything that could be syntax becomes a character code."""
    plain = " ".join(value.split())
    return "".join(c if c.isalnum() or c in " ._-/" else f"#{ord(c)};" for c in plain) or "-"


def _resources(review: Review) -> list[str]:
    if not review.resources:
        return []
    lines = [
        f"- {entry.operation} {code(entry.type)} {code(entry.name)}"
        + (f": {', '.join(map(code, entry.properties))}" if entry.properties else "")
        for entry in review.resources
    ]
    return details(f"{len(lines)} resources", lines)


# --------------------------------------------------------------------------------------------------------------------- text


def terminal(review: Review, *, colour: bool) -> str:
    """The review as text, with colours when asked."""

    def paint(code_: str, line: str) -> str:
        return f"\x1b[{code_}m{line}\x1b[0m" if colour else line

    def plain(value: object) -> str:
        return "".join(c if c.isprintable() else "�" for c in " ".join(str(value).split()))

    lines = [paint("1", f"{review.stack}: {counts(review)}")]
    if not review.saw_cloud:
        lines.append(UNSEEN)
    for error in review.errors:
        lines += ["", paint("31", "The preview failed"), *(f"  {plain(line)}" for line in error.splitlines())]
    sections: Sequence[tuple[str, str, Sequence[str]]] = (
        ("31;1", "What breaks", [f"- {plain(e.app)}: {plain(e.text)}" for e in review.breaks]),
        ("", "Apps", [_app(entry, plain) for entry in review.apps]),
        ("32", "Who gains what", [_access(e, plain, plain) for e in _first_dangerous(review, ("gained", "changed"))]),
        ("31", "Who loses what", [_access(e, plain, plain) for e in _first_dangerous(review, ("lost",))]),
        ("", "Credentials", [_credential(entry, plain, plain) for entry in review.credentials]),
        ("33", "Policy", [_finding(entry, plain, plain) for entry in review.findings]),
        ("33", "Changed in the cloud by other hands", [f"- {plain(e.app)}: {plain(e.text)}" for e in review.outside]),
        ("", "Settings", [_setting(entry, plain) for entry in review.settings]),
    )
    for colour_code, title, entries in sections:
        if entries:
            lines += ["", paint(f"1;{colour_code}" if colour_code else "1", title)]
            lines += [f"  {entry.replace('**', '').removeprefix('- ')}" for entry in entries]
    return "\n".join(lines)
