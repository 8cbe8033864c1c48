"""The JSON Schema and the reference page: never behind the models, and true of the files there are."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from entrant import config
from entrant.config import reference, schema
from tests.clients import installing

ROOT = Path(__file__).parents[2]
SCHEMA = schema.schema()
FILES = sorted([*(ROOT / "config").glob("*.yaml"), *(ROOT / "examples").glob("*.yaml")])


def test_the_committed_schema_is_that_of_the_models() -> None:
    """Run `python -m entrant.config` after a change of the vocabulary."""
    assert schema.FILE.read_text("utf-8") == schema.text()


def test_the_committed_reference_page_is_that_of_the_models() -> None:
    """Run `python -m entrant.config` after a change of the vocabulary or of the examples."""
    assert reference.FILE.read_text("utf-8") == reference.text()


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_that_validates_satisfies_the_schema_and_names_it(file: Path) -> None:
    text = file.read_text("utf-8")
    found = json.loads(json.dumps(yaml.load(text, Loader=yaml.CBaseLoader)))  # dates as text, as editors see them
    jsonschema.Draft202012Validator(SCHEMA).validate(_typed(found))
    modeline = text.splitlines()[0].removeprefix("# yaml-language-server: $schema=")
    assert (file.parent / modeline).resolve() == schema.FILE


def test_a_checker_that_nobody_here_wrote_takes_the_schema_and_the_files_of_the_project() -> None:
    """Its regular expressions are JavaScript's, as those of editors are, which refuse escapes that mean nothing."""
    checker: list[str | Path] = [installing.pip("check-jsonschema") / "bin" / "python", "-m", "check_jsonschema"]
    done = subprocess.run([*checker, "--schemafile", schema.FILE, *FILES], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _typed(value: Any) -> Any:
    """Plain scalars as YAML 1.2 reads them."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    known = {"true": True, "false": False, "null": None, "": None}
    return known[value] if value in known else int(value) if value.isdigit() else value


@pytest.mark.parametrize("file", [file for file in FILES if file.name != "base.yaml"], ids=lambda file: file.name)
def test_committed_environments_and_examples_have_no_error(file: Path) -> None:
    assert config.check(file, root=ROOT).errors == ()


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Each key of the vocabulary, by the definition it belongs to."""
    if isinstance(value, dict):
        for name in value.get("properties", {}):
            yield f"{path}.{name}"
        for key, item in value.items():
            if key == "$defs":
                for definition, content in item.items():
                    yield from keys(content, definition)
            elif key != "properties":
                yield from keys(item, path)
    elif isinstance(value, list):
        for item in value:
            yield from keys(item, path)


def test_every_key_is_explained() -> None:
    described = [SCHEMA, *SCHEMA["$defs"].values()]
    silent = [
        name
        for definition in described
        for name, field in definition["properties"].items()
        if not field.get("description")
    ]
    assert silent == []


def test_the_examples_use_every_key_of_the_vocabulary() -> None:
    used: set[str] = set()

    def collect(value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                used.add(str(key))
                collect(item)
        elif isinstance(value, list):
            for item in value:
                collect(item)

    for file in (ROOT / "examples").glob("*.yaml"):
        collect(yaml.safe_load(file.read_text("utf-8")))
    missing = {key for key in keys(SCHEMA) if key.rsplit(".", 1)[-1] not in used}
    assert missing - {".tenant"} == set(), "only `tenant` depends on where the example runs"


def test_every_link_of_the_reference_page_leads_to_a_heading() -> None:
    page = reference.FILE.read_text("utf-8")
    headings = {
        "".join(c for c in line[3:].lower() if c.isalnum() or c in "_- ").replace(" ", "-")
        for line in page.splitlines()
        if line.startswith("## ")
    }
    links = {part.split(")")[0] for part in page.split("](#")[1:]}
    assert links <= headings
