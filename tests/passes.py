"""The tables of `docs/local-azure.md`: which operations of which client pass, as tests record them.

A test asks for the fixture `passes` and says what has just worked: `passes("azure-cli", "az group list")`. A test that passes but
records something else than the table says of it fails. `python3 -m entrant test tests/clients tests/local_azure --write-table`
writes what the tests of that run record, and leaves the rows of all others.
"""

import ast
import functools
import inspect
import re
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "local-azure.md"
T = TypeVar("T")
MARK = "<!-- From here on written by the tests: python3 -m entrant test tests/clients tests/local_azure --write-table -->\n"


@dataclass(frozen=True, order=True)
class Row:
    """An operation of a client, and the test that tries it: its file from the project's root, its name without parameters."""

    client: str
    operation: str
    file: str
    test: str


def parse(text: str) -> set[Row]:
    """The rows of a page."""
    rows, client = set(), ""
    for line in text.partition(MARK)[2].splitlines():
        if line.startswith("## "):
            client = line.removeprefix("## ")
        elif found := re.fullmatch(r"\| `(.+)` \| (.+) \|", line):
            tests = re.findall(r"\[(\w+)\]\(\.\./([\w/.]+)\)", found[2])
            rows |= {Row(client, found[1], file, test) for test, file in tests}
    return rows


def render(rows: Iterable[Row]) -> str:
    """A section for each client, a line for each operation."""
    clients: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows):
        clients[row.client][row.operation].append(f"[{row.test}](../{row.file})")
    lines = []
    for client, operations in clients.items():
        lines += ["", f"## {client}", "", "| operation | passes in |", "|---|---|"]
        lines += [f"| `{operation}` | {', '.join(tests)} |" for operation, tests in operations.items()]
    return MARK + "".join(f"{line}\n" for line in lines)


def merged(old: set[Row], recorded: dict[tuple[str, str], set[tuple[str, str]]]) -> set[Row]:
    """The old rows of tests that did not run and still exist, and what those that ran recorded."""
    kept = {row for row in old if (row.file, row.test) not in recorded and exists(row)}
    return kept | {Row(*one, *test) for test, operations in recorded.items() for one in operations}


def exists(row: Row) -> bool:
    """Whether there is still such a test."""
    return row.test in _tests_in(ROOT / row.file)


@cache
def _tests_in(file: Path) -> frozenset[str]:
    if not file.is_file():
        return frozenset()
    nodes = ast.walk(ast.parse(file.read_text("utf-8")))
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@cache
def committed() -> set[Row]:
    """The rows of the committed page."""
    return parse(TABLE.read_text("utf-8"))


def complaint(recorded: set[tuple[str, str]], rows: set[tuple[str, str]], *, in_part: bool) -> str:
    """What differs between what a test recorded and its rows; `in_part` when it is one run of a test with parameters."""
    parts = []
    if missing := recorded - rows:
        parts.append(f"these pass and are not in {TABLE.name}: {_listed(missing)}")
    if not in_part and (gone := rows - recorded):
        parts.append(f"{TABLE.name} has what was not tried: {_listed(gone)}")
    return "; ".join(parts)


def _listed(operations: set[tuple[str, str]]) -> str:
    return ", ".join(f"{client}: {operation}" for client, operation in sorted(operations))


_RECORDED = pytest.StashKey[set[tuple[str, str]]]()


class Passes:
    """Records which operations of which clients work."""

    def __init__(self, recorded: set[tuple[str, str]]) -> None:
        self._recorded = recorded

    def __call__(self, client: str, operation: str) -> None:
        """Record one operation."""
        assert not re.search(r"[|`\n]", client + operation), "it is to stand in a table"
        self._recorded.add((client, operation))

    def watch(self, name: str, client: T) -> T:
        """The client of an Azure library, each of whose calls that returns is recorded under the library's name."""
        return cast(T, _Watched(client, lambda operation: self(name, operation)))


class _Watched:
    """Stands before a client and its groups of operations."""

    def __init__(self, inner: object, record: Callable[[str], None], path: str = "") -> None:
        self._inner, self._record, self._path = inner, record, path

    def __getattr__(self, name: str) -> Any:
        found, path = getattr(self._inner, name), f"{self._path}{name}"
        if inspect.ismethod(found):

            @functools.wraps(found)
            def call(*arguments: Any, **more: Any) -> Any:
                answer = found(*arguments, **more)
                self._record(path)
                return answer

            return call
        group = type(found).__module__.startswith("azure.") and not name.startswith("_")
        return _Watched(found, self._record, f"{path}.") if group else found


@pytest.fixture
def passes(request: pytest.FixtureRequest) -> Passes:
    """What a test says works."""
    return Passes(request.node.stash.setdefault(_RECORDED, set()))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-table`."""
    parser.addoption("--write-table", action="store_true", help="write what the tests record to docs/local-azure.md")


def _test_of(item: pytest.Item) -> tuple[str, str]:
    return item.nodeid.partition("::")[0], getattr(item, "originalname", None) or item.name


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Hold a test that has passed to its rows."""
    yield
    file, test = _test_of(item)
    recorded = item.stash.get(_RECORDED, set())
    if item.config.getoption("write_table"):
        if recorded:
            item.user_properties.append(("passes", [file, test, sorted(recorded)]))
        return
    rows = {(row.client, row.operation) for row in committed() if (row.file, row.test) == (file, test)}
    message = complaint(recorded, rows, in_part=hasattr(item, "callspec"))
    assert not message, f"{message}. Write the table anew with --write-table if that is meant."


class _Writer:
    def __init__(self) -> None:
        self.recorded: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            for name, value in report.user_properties:
                if name == "passes":
                    file, test, operations = cast(tuple[str, str, list[tuple[str, str]]], value)
                    self.recorded[file, test] |= {(client, operation) for client, operation in operations}

    def pytest_sessionfinish(self) -> None:
        text = TABLE.read_text("utf-8")
        TABLE.write_text(text.partition(MARK)[0] + render(merged(parse(text), self.recorded)), "utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """With `--write-table`, gather what all workers record."""
    if config.getoption("write_table") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Writer())
