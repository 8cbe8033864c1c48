"""Whatever the loader is given, it answers with an environment or with listed errors, and accepts nothing that is wrong."""

import copy
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrant import config
from entrant.config import schema

from .test_schema import _typed

EXAMPLES = Path(__file__).parents[2] / "examples"
EVERYTHING = _typed(yaml.load((EXAMPLES / "everything.yaml").read_text("utf-8"), Loader=yaml.CBaseLoader))
VALIDATOR = jsonschema.Draft202012Validator(schema.schema())

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp())
    shutil.copytree(EXAMPLES, folder / "config")
    yield folder
    shutil.rmtree(folder)


def answer(root: Path, data: bytes) -> config.Report:
    """The report on a file with this content; what every report must be."""
    (root / "config" / "dev.yaml").write_bytes(data)
    report = config.check("dev", root=root)
    assert (report.environment is None) == bool(report.errors)
    assert len(report.problems) <= 501
    for problem in report.problems:
        assert problem.message
        assert len(str(problem)) < 2_000
        assert "\n" not in str(problem)
        assert (problem.line >= 1 and problem.column >= 1) or problem.line == problem.column == 0
    assert list(report.problems) == sorted(report.problems)
    return report


@quick
@given(data=st.binary(max_size=300))
def test_any_bytes(root: Path, data: bytes) -> None:
    answer(root, data)


@quick
@given(text=st.text(max_size=200))
def test_any_text(root: Path, text: str) -> None:
    answer(root, text.encode("utf-8", "surrogatepass"))


PIECES = st.sampled_from(
    r"""apps:~a:~\n~  ~ ~\t~- ~{~}~[~]~, ~: ~? ~# c\n~é~'~"~&x ~*x~<<: ~!!str ~!x ~>-\n~---\n~...\n~%YAML 1.1\n~no~on~0755
    ~1:30~null~true~extends: ~dev.yaml~secret:""".replace(r"\n", "\n")
    .replace(r"\t", "\t")
    .split("~")
)


@settings(quick, max_examples=200)
@given(pieces=st.lists(PIECES, max_size=30))
def test_any_yaml_like_text(root: Path, pieces: list[str]) -> None:
    answer(root, "".join(pieces).encode())


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 2**70),
        st.floats(allow_nan=True),
        st.text(max_size=12),
        st.sampled_from(
            ["Reader", "logs", "/", "90d", "no", "0755", "a@b.c", "deployer", "log-api", "x" * 3000, "2026-01-01"]
        ),
        st.uuids().map(str),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["role", "scope", "name", "a", "A b", "subscription", "github", "every"]), inner, max_size=3
        ),
    ),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


PLACES = sorted(places(EVERYTHING), key=str)


def test_what_is_changed_below_is_sound_before(root: Path) -> None:
    assert answer(root, yaml.safe_dump(EVERYTHING).encode()).environment is not None


@settings(quick, max_examples=150)
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_any_value_in_the_place_of_any_other(root: Path, place: tuple[Any, ...], value: Any) -> None:
    """What is accepted satisfies the JSON Schema too, which was not asked."""
    changed = copy.deepcopy(EVERYTHING)
    holder = changed
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    report = answer(root, yaml.safe_dump(changed, allow_unicode=True).encode())
    if report.environment is not None:
        VALIDATOR.validate(changed)


@settings(quick, max_examples=100)
@given(place=st.sampled_from(PLACES))
def test_any_key_or_entry_less(root: Path, place: tuple[Any, ...]) -> None:
    changed = copy.deepcopy(EVERYTHING)
    holder = changed
    for step in place[:-1]:
        holder = holder[step]
    del holder[place[-1]]
    answer(root, yaml.safe_dump(changed, allow_unicode=True).encode())
