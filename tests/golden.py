"""Texts that are held as files.

`python3 -m entrant test tests/entrant/test_review.py --regenerate` writes them anew; what changes is for a person to read.
"""

import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

_FILES = Path(__file__).resolve().parent / "entrant" / "golden"
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DAY = re.compile(r"\b20\d\d-\d\d-\d\d\b")
_EPOCH = date(2030, 1, 1)

Golden = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that writes the files."""
    parser.addoption("--regenerate", action="store_true", help="write the golden files anew instead of comparing")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """`golden("review/none.md", text)`: the text is what the file of that name below `tests/entrant/golden` holds."""

    def check(name: str, text: str) -> None:
        file = _FILES / name
        if request.config.getoption("--regenerate"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        assert file.exists(), f"{name} is missing: run with --regenerate"
        assert text == file.read_text("utf-8"), f"{name} differs: run with --regenerate and read what changes"

    return check


def settled(text: str, *, start: date, known: tuple[str, ...] = ()) -> str:
    """A text without what differs from run to run: ids other than `known` numbered in the order they come, digests named, and
    days from `start` on counted from 2030-01-01.
    """
    ids: dict[str, str] = {}

    def number(found: re.Match[str]) -> str:
        guid = found[0]
        return guid if guid in known else ids.setdefault(guid, f"00000000-0000-0000-0000-{len(ids) + 1:012}")

    def day(found: re.Match[str]) -> str:
        offset = date.fromisoformat(found[0]) - start
        return str(_EPOCH + offset) if timedelta() <= offset < timedelta(days=800) else found[0]

    text = re.sub(r"(?<=digest[ =])[0-9a-f]{32}", "DIGEST", text)
    return _DAY.sub(day, _GUID.sub(number, text))
