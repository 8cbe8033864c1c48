"""What is written as YAML is read back as the same, here and by others, whatever the texts hold."""

import copy
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import strategies

from entrant.config import source
from entrant.config.problems import Problem
from entrant.importing import yaml_text
from tests.entrant.tenant import CONDITION, HOSTILE

AWKWARD = (
    *HOSTILE,
    *(
        "~",
        "a:",
        "a #b",
        "'x'",
        "%x",
        "?",
        "0?",
        "2026-01-01",
        "1:30",
        "=",
        "!x",
        "|",
        ">",
        "[a]",
        "a, b",
        "\ufeff",
        "x" * 300,
    ),
    *(
        "a\nb",
        "a\n\nb",
        "a\n",
        " a",
        "a ",
        "0x1F",
        ".5",
        "+1",
        "1_000",
        "0o7",
        "<<",
        "y",
        "\x85",
        "\xa0",
        "\u2028",
        "\U000e0001",
    ),
    *(
        CONDITION,
        f"{CONDITION} AND  {CONDITION}",
        f"@Resource[a:b] StringEquals 'x' {CONDITION}",
        "-----BEGIN X-----\nabc\n-----END X-----",
    ),
)
TEXTS = strategies.text(strategies.characters(exclude_categories=["Cs"]), max_size=20) | strategies.sampled_from(
    AWKWARD
)
SINGLE = TEXTS | strategies.booleans() | strategies.integers(-(10**6), 10**6)
KEYS = TEXTS.filter(lambda key: key != "<<")
DATA = strategies.recursive(
    SINGLE,
    lambda inner: (
        strategies.dictionaries(KEYS, inner, min_size=1, max_size=3)
        | strategies.lists(
            SINGLE | strategies.dictionaries(KEYS, inner, min_size=1, max_size=3), min_size=1, max_size=3
        )
    ),
    max_leaves=10,
)


class WithoutDates(yaml.SafeLoader):
    """A reader of YAML 1.1 that leaves dates as they are, as the vocabulary does."""


WithoutDates.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in copy.deepcopy(yaml.SafeLoader.yaml_implicit_resolvers).items()
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to write to."""
    return tmp_path_factory.mktemp("yaml") / "some.yaml"


@hypothesis.settings(max_examples=400, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(data=strategies.dictionaries(KEYS, DATA, min_size=1, max_size=3))
def test_what_is_written_is_read_back_as_the_same(file: Path, data: dict[str, Any]) -> None:
    text = "\n".join(yaml_text.mapping(data, comments={(next(iter(data)),): ["a comment \u202e\n: #"]})) + "\n"
    file.write_text(text, "utf-8", newline="")
    problems: list[Problem] = []
    node = source.read(file, "some.yaml", problems)
    assert problems == [] and node is not None, text
    assert node.plain() == data, text
    assert yaml.load(text, WithoutDates) == data, text


def test_what_fits_a_line_stands_on_one_as_in_the_examples() -> None:
    data = {
        "web": {"redirect_uris": ["https://a.example.com/"], "implicit_grant": {"id_tokens": True}},
        "roles": [{"role": "Reader", "scope": "logs"}, {"role": "x" * 60, "scope": "y" * 60}],
        "owners": ["deployer"],
        "notes": "one\ntwo",
        "condition": CONDITION,
    }
    assert list(yaml_text.mapping(data, comments={("owners",): ["who: " + "word " * 30]})) == [
        "web: {redirect_uris: [https://a.example.com/], implicit_grant: {id_tokens: true}}",
        "roles:",
        "  - {role: Reader, scope: logs}",
        f"  - role: {'x' * 60}",
        f"    scope: {'y' * 60}",
        "# who: " + " ".join(["word"] * 22),
        "#   " + " ".join(["word"] * 8),
        "owners: [deployer]",
        "notes: |-",
        "  one",
        "  two",
        "condition: >-",
        "  ((!(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write'})) OR",
        "  (@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'logs'))",
    ]
