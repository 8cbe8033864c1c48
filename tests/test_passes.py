"""The table of clients and operations is what the tests record."""

from pathlib import Path

import pytest
from azure.core.credentials import AzureKeyCredential

from tests import passes
from tests.passes import MARK, TABLE, Passes, Row, complaint, merged, parse, render

ROWS = {
    Row("az", "az x", "tests/test_passes.py", "test_the_page_is_as_it_would_be_written"),
    Row("go", "a", "b.py", "c"),
}


def test_the_page_is_as_it_would_be_written() -> None:
    text = TABLE.read_text("utf-8")
    assert text.endswith(render(parse(text)))


def test_every_row_names_a_test_that_exists() -> None:
    assert [row for row in passes.committed() if not passes.exists(row)] == []


def test_what_is_rendered_is_read_back() -> None:
    assert parse("prose\n" + render(ROWS)) == ROWS


def test_a_run_replaces_the_rows_of_its_tests_and_drops_those_of_tests_that_are_gone() -> None:
    new = ("tests/test_passes.py", "test_what_is_rendered_is_read_back")
    assert merged(ROWS, {new: {("az", "az y")}}) == {
        next(row for row in ROWS if row.client == "az"),
        Row("az", "az y", *new),
    }
    again = ("tests/test_passes.py", "test_the_page_is_as_it_would_be_written")
    assert merged(ROWS, {again: {("az", "az z")}}) == {Row("az", "az z", *again)}


def test_a_test_that_records_too_much_or_too_little_is_told() -> None:
    assert complaint({("az", "a")}, {("az", "a")}, in_part=False) == ""
    assert "pass and are not in" in complaint({("az", "a")}, set(), in_part=True)
    assert "was not tried: az: a" in complaint(set(), {("az", "a")}, in_part=False)
    assert complaint(set(), {("az", "a")}, in_part=True) == ""


def test_the_calls_of_a_watched_client_are_recorded_once_they_return() -> None:
    recorded: set[tuple[str, str]] = set()
    client = Passes(recorded).watch("azure-core", AzureKeyCredential("x"))
    with pytest.raises(TypeError):
        client.update(1)  # type: ignore[arg-type]
    assert recorded == set()
    client.update("y")
    assert client.key == "y" and recorded == {("azure-core", "update")}


def test_a_passing_test_with_other_rows_than_it_records_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(passes):\n    passes('az', 'az new')\n")
    pytester.makeconftest("pytest_plugins = ['tests.passes']")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*these pass and are not in local-azure.md: az: az new*"])


def test_the_table_is_written_by_a_run_that_is_told_to(
    pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"prose\n{MARK}", "utf-8")
    monkeypatch.setattr(passes, "TABLE", page)
    pytester.makepyfile(
        test_it="def test_one(passes):\n    passes('az', 'az x')\n\ndef test_two(passes):\n    passes('az', 'az y')\n    assert 0\n"
    )
    pytester.makeconftest("pytest_plugins = ['tests.passes']")
    pytester.runpytest_inprocess("-p", "no:cacheprovider", "--write-table").assert_outcomes(passed=1, failed=1)
    text = page.read_text("utf-8")
    assert text.startswith("prose\n") and parse(text) == {Row("az", "az x", "test_it.py", "test_one")}
