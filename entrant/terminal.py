"""The streams that the commands write to: nothing that came from a file, a cloud or an error is a command to who reads them.

`guard` puts a filter over standard output and standard error once, so that no writer can forget it. What must leave as it is (a
token, lines for a shell, commands of ours to a CI system) goes through `exact`. Standard library only.
"""

import codecs
import os
import re
import sys
from typing import Any, TextIO, cast

from entrant.debug import masked
from entrant.facts.unsafe_text import COLOURS, harmless, no_command

_TERMINAL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_COLOURS = re.compile(COLOURS)
_NOTHING = re.compile(r"(?!)")
_MODULE = re.compile(r"(?<![\w./-])python3 -m entrant(?![\w./-])")
_INSTALLED = os.path.basename(sys.argv[0]) in ("entrant", "entrant.exe")
"""Whether this process is an installed `entrant`: there may be no Python that has the module, and words name the command."""
_KEPT = 40
"""Characters of a line that has no end yet, as many as a command's beginning may have."""


class Guarded:
    """A text stream that takes commands and control characters out of what is written, however it is cut into pieces."""

    def __init__(
        self, stream: TextIO, *, words: bool, passing: re.Pattern[str] = _NOTHING, ours: bool = _INSTALLED
    ) -> None:
        self.stream = stream
        """The stream below, which writes everything as it is."""
        self.words = words
        """Whether it is for words alone, in which secrets are masked."""
        self._passing = passing
        self._ours = ours
        self._line = ""

    def write(self, text: str) -> int:
        """Write a text without what is live in it; its length."""
        if not isinstance(text, str):
            return self.stream.write(text)  # which says that it is no text
        shown = masked(text) if self.words else text
        if self._ours:
            shown = _MODULE.sub("entrant", shown)
        parts, at = [], 0
        for found in self._passing.finditer(shown):
            parts += [harmless(shown[at : found.start()], keep="\n\t"), found[0]]
            at = found.end()
        parts.append(harmless(shown[at:], keep="\n\t"))
        line = no_command(self._line + "".join(parts))
        self.stream.write(line[len(self._line) :])
        rest = line.rpartition("\n")[2].lstrip()
        self._line = rest if len(rest) <= _KEPT else f"…{rest[-_KEPT:]}"
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Copied:
    """A guarded stream for the bytes of a program that was run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: bytes) -> int:
        """Write what is whole of them by now."""
        self._stream.write(self._text.decode(data))
        return len(data)

    def flush(self) -> None:
        """Let it be seen."""
        self._stream.flush()

    def fileno(self) -> int:
        """The file descriptor below."""
        return self._stream.fileno()


def guard() -> None:
    """Put the filter over standard output and standard error of this process, unless it is there."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Guarded):
            if (getattr(stream, "encoding", None) or "").lower() in ("ascii", "us-ascii", "ansi_x3.4-1968"):
                stream.reconfigure(encoding="utf-8")  # what could not write a text would be gone round
            setattr(sys, name, Guarded(stream, words=name == "stderr"))


def exact(stream: TextIO) -> TextIO:
    """The stream below the filter, for what must leave as it is."""
    return stream.stream if isinstance(stream, Guarded) else stream


def results() -> TextIO:
    """Standard output for what others wrote, such as the rows of a query, in which not even our own name changes."""
    return cast(TextIO, Guarded(exact(sys.stdout), words=False, ours=False))


def say_exactly(text: str) -> None:
    """Print a line on standard output as it is: data that is exact, or a command of ours to a CI system."""
    print(text, file=exact(sys.stdout), flush=True)


def coloured(stream: TextIO) -> TextIO:
    """A stream that lets colours through, and on a terminal what moves the cursor: values in it were made harmless before."""
    passing = _TERMINAL if stream.isatty() else _COLOURS
    return cast(TextIO, Guarded(exact(stream), words=stream is sys.stderr, passing=passing))
