r"""Text that must not be shown as it is: what a terminal or the log of a CI system takes for more than text, and secrets.

Sources: GitHub, "Workflow commands" (`::name::` at a line's start, white space before it allowed) and actions/runner,
ActionCommand.cs (`##[name]` anywhere in a line); Azure DevOps, "Logging commands" (`##vso[…]` anywhere in a line, `##[…]`); GitLab,
"Custom collapsible sections" (`section_start:1:name\r`); ECMA-48 (control functions); Unicode, UAX #9 (marks of writing direction).
Every escape is one of JSON, too, so that a JSON document in which they were put says what it said before.
"""

import re
from typing import Final

COLOURS: Final = r"\x1b\[[0-9;]*m"
"""What sets colours on a terminal, and nothing else."""
_UNSEEN = (
    "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"
)
_CONTROL = re.compile(f"[{_UNSEEN}]")
_COMMAND = re.compile(
    r"""
    (?P<before> \#\#[A-Za-z]{0,20} (?=\[) | section_(?:start|end) (?=:) | (?m:^)[^\S\n]*: (?=:) )
    (?P<last> . )
    """,
    re.VERBOSE,
)
_JWT = r"\beyJ[\w-]{8,}(\.[\w-]*)*"
_PRIVATE_KEY = r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----(?:[^-]|-(?!----))*+(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?"
_SCHEME = r"(?i)\b(bearer|basic|sharedkey(?:lite)?)[ \t]{1,8}(?=\S{0,200}\d|\S{20})[\w.~+/:=-]{6,}"
_TOKEN = r"\b(?:gh[oprsu]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|pul-[0-9a-f]{16,}|\w{3}\dQ~[\w.~-]{20,})"
"""Tokens of GitHub, GitLab and Pulumi Cloud, and client secrets of Microsoft Entra, by their own form."""
_NAMES = (
    r"sig|code(?!=\d+(?![\w~.+/%-]))|pwd|passwd|[a-z_-]{0,40}(?:password|passphrase|secret|secret_?(?:text|value)|token|signature"
    r"|assertion|api[-_]?key|access[-_]?key|private[-_]?key|connection_?string|(?:functions|subscription)-key)"
    r"|(?:account|shared)[a-z]{0,12}key"
)
_PARAMETER = rf"(?i)\b({_NAMES})=[^&;\s\"'<>]+"
_QUOTED = (
    rf"""(?i)\b(?P<before>(?:{_NAMES})\\{{0,3}}["']?\s{{0,8}}[:=]\s{{0,8}})"""
    r"""(?P<open>(?P<escaped>\\{1,3}")|(?P<double>")|')(?(escaped)[^"\n]*|(?(double)(?:[^"\\\n]|\\.)*|[^'\n]*))["']?"""
)
_OF_QUOTED_NAME = (
    rf"""(?i)\b(?P<before>(?:{_NAMES})["']\s{{0,8}}:\s{{0,8}})"""
    r"""(?!true\b|false\b|null\b)[^\s"'{\[,}\]\\]+(?=\s{0,8}(?:[,}\]]|$))"""
)
_HEADER = r"(?i)\b(?P<before>[a-z-]{0,40}(?:api|functions|subscription)-key[ \t]{0,8}:[ \t]{0,8})[^\s\"',]+"
_USER = (
    r"(?i)([a-z][a-z0-9+.-]{0,30}://)"
    r"([^\s/:@?#\"'<>]{0,200}:(?!\d+(/|$))[^\s\"'<>]{0,500}|[^\s/?#\"'<>]{1,500})@"
)
_LOGIN = r"(?i)\b((?!https?:|wss?:)[a-z][a-z0-9+.-]{0,30}://)[^\s/:@?#\"'<>]{1,200}:[^\s\"'<>]{0,500}@"
"""A user and a password with anything in it; of the web, what looks so may be a port, and a path with an @."""
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def harmless(text: str, *, keep: str = "") -> str:
    r"""A text with its control characters, marks of writing direction included, as escapes to be read; `keep` lists exceptions.

    >>> print(harmless("\x1b[31mred\nnext"), harmless("a\tb", keep="\t"))
    \u001b[31mred\nnext a	b
    """
    return _CONTROL.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def no_command(text: str) -> str:
    r"""A text without control characters, in which no CI system finds a command. The last character of each is the one replaced.

    >>> print(no_command("a ##vso[task.complete]"), no_command("::debug::b"))
    a ##vso\u005btask.complete] :\u003adebug::b
    """
    return _COMMAND.sub(lambda found: found["before"] + _escape(found["last"]), text)


def inert(text: str) -> str:
    """A text of several lines, harmless and without a command."""
    return no_command(harmless(text, keep="\n\t"))


def without_secrets(text: str) -> str:
    """A text without tokens, private keys, values that are named as secret (in URLs, connection strings, JSON, headers) and who a
    URL logs in as.

    >>> without_secrets("GET /x?sig=abc&y=1 with eyJhbGciOiJSUzI1.eyJhdWQi.c2ln at postgres://me:pass@host/db")
    'GET /x?sig=***&y=1 with *** at postgres://***@host/db'
    """
    # By `re`, which keeps what it has compiled: most runs have nothing to mask, and compiling all of it takes a while.
    for whole in (_JWT, _PRIVATE_KEY, _TOKEN):
        text = re.sub(whole, "***", text)
    for of_url in (_LOGIN, _USER):
        text = re.sub(of_url, r"\1***@", text)
    text = re.sub(_QUOTED, lambda found: f"{found['before']}{found['open']}***{found['open']}", text)
    for named in (_OF_QUOTED_NAME, _HEADER):
        text = re.sub(named, lambda found: f"{found['before']}***", text)
    return re.sub(_SCHEME, r"\1 ***", re.sub(_PARAMETER, r"\1=***", text))


def _escape(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
