"""Tokens of a query, and the reader that walks over them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from local_azure.kql.budget import Budget
from local_azure.kql.errors import KqlError, wrong

LONGEST_QUERY = 1_000_000

TIMESPANS = {
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "milli", "millis", "millisec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("micro", "micros", "microsec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("tick", "ticks"), 1e-7),
}
"""Seconds in each unit that a timespan literal may end in."""
_DASHED = (
    "project-away",
    "project-keep",
    "project-rename",
    "project-reorder",
    "project-by-names",
    "mv-expand",
    "mv-apply",
    "make-series",
    "make-graph",
    "parse-where",
    "parse-kv",
    "sample-distinct",
    "top-nested",
    "top-hitters",
)
_TOKEN = re.compile(
    r"(?P<space>\s+|//[^\n]*)"
    r"|(?P<string>[hH]?(?:@\"(?:[^\"]|\"\")*\"|@'(?:[^']|'')*'|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|```(?:(?!```)[\s\S])*```))"
    rf"|(?P<timespan>\d+(?:\.\d+)?(?:{'|'.join(sorted(TIMESPANS, key=len, reverse=True))})\b)"
    r"|(?P<number>0[xX][0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<fold>in~)"
    rf"|(?P<name>(?:{'|'.join(_DASHED)})\b|[A-Za-z_$][\w$]*)"
    r"|(?P<mark>!in~|!=|==|=~|!~|<=|>=|<>|\.\.|=>|![A-Za-z_]+|[-+*/%<>=(),|;.\[\]:{}])"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the query: `kind` is string, timespan, number, name, mark or end; `at` its place."""

    kind: str
    text: str
    at: int


def tokenize(text: str) -> list[Token]:
    """The tokens of a query, white space and comments left out."""
    if len(text) > LONGEST_QUERY:
        raise KqlError("SyntaxError", "SYN0001", f"The query is longer than {LONGEST_QUERY} characters.", 0)
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            wrong(text[at : at + 1], at)
        if found.lastgroup != "space":
            kind = "mark" if found.lastgroup == "fold" else str(found.lastgroup)
            tokens.append(Token(kind, found.group(), at))
        at = found.end()
    return [*tokens, Token("end", "", len(text))]


def unescaped(text: str) -> str:
    """The value of a string literal."""
    text = text.removeprefix("h").removeprefix("H")
    if text.startswith("```"):
        return text[3:-3]
    if text.startswith("@"):
        return text[2:-1].replace(text[1] * 2, text[1])
    escapes = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "0": "\0"}

    def one(found: re.Match[str]) -> str:
        if found[1][0] in "uU" and len(found[1]) > 1:
            return chr(int(found[1][1:], 16)).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return escapes.get(found[1], found[0])

    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", one, text[1:-1])


class Reader:
    """Walks over the tokens of a query."""

    def __init__(self, query: str, budget: Budget) -> None:
        self.text, self.budget = query, budget
        self.tokens, self.at = tokenize(query), 0

    def peek(self, ahead: int = 0) -> Token:
        """The token to come."""
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def next(self) -> Token:
        """Take the token to come."""
        self.budget.step()
        token = self.peek()
        self.at += 1
        return token

    def is_next(self, *texts: str) -> bool:
        """Whether one of these marks or words comes."""
        token = self.peek()
        return token.kind in ("mark", "name") and token.text in texts

    def take(self, *texts: str) -> str | None:
        """Take one of these marks or words if it comes; which."""
        return self.next().text if self.is_next(*texts) else None

    def need(self, *texts: str) -> str:
        """Take one of these marks or words, or refuse."""
        return self.take(*texts) or self.wrong()

    def wrong(self) -> NoReturn:
        """Refuse the token to come."""
        wrong(self.peek().text, self.peek().at)

    def semantic(self, message: str, code: str = "SEM0100", token: Token | None = None) -> NoReturn:
        """Refuse what a token says."""
        token = token or self.peek(-1 if self.at else 0)
        raise KqlError("SemanticError", code, message, token.at, token.text[:100])

    def name(self) -> str:
        """Take a name: a word, or a string in brackets."""
        if self.take("["):
            token = self.next()
            if token.kind != "string" or not self.take("]"):
                wrong(token.text, token.at)
            return unescaped(token.text)
        token = self.next()
        if token.kind != "name":
            wrong(token.text, token.at)
        return token.text

    def named(self) -> str | None:
        """Take ``name =`` if it comes; the name."""
        if self.peek().kind == "name" and self.peek(1).text == "=":
            name = self.next().text
        elif self.peek().text == "[" and self.peek(1).kind == "string" and self.peek(3).text == "=":
            name = self.name()
        else:
            return None
        self.need("=")
        return name

    def pattern(self) -> str:
        """Take a name that may have `*` in it, such as ``Sec*``."""
        if self.peek().text == "[":
            return self.name().replace("*", "")
        parts, end = [], self.peek().at
        while self.peek().at == end and (self.peek().kind == "name" or self.peek().text == "*"):
            token = self.next()
            parts.append(token.text)
            end += len(token.text)
        return "".join(parts) or self.wrong()
