"""The JSON Schema of an environment file, made from the models.

`python -m entrant.config` writes `environment.schema.json` anew; a test fails when the file and the models differ.
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from .model import Model
from .models import Environment

ID: Final = "urn:entrant:environment"
"""The schema's name. Editors read it from the file beside an environment, never from a network."""
FILE: Final = Path(__file__).parents[2] / "config" / "environment.schema.json"


def schema() -> dict[str, Any]:
    """The schema as editors want it.

    Mappings merge along `extends`, so nothing in them is required and everything may be null, which removes an inherited
    key; what stands in a list is always whole.
    """
    _describe()
    document = Environment.model_json_schema(by_alias=True)
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ID, **document}
    document["title"] = "Entrant environment"
    merging = _merging(document)
    for name, definition in document["$defs"].items():
        _tidy(definition, nullable=name in merging)
    definitions = document.pop("$defs")
    _tidy(document, nullable=True)
    return {**document, "$defs": definitions}


@cache
def _describe() -> None:
    """Give the models' fields their docstrings as descriptions.

    Nothing but the schema needs them, and pydantic would read the source of each model for them at every start.
    """
    for model in _models(Model):
        described = dict(docstrings(model))
        for name, field in model.model_fields.items():
            field.description = described.get(name, field.description)
        model.model_rebuild(force=True)


def _models(above: type[Model]) -> Iterator[type[Model]]:
    """All models, those that others hold before these, as they are defined."""
    for model in above.__subclasses__():
        yield model
        yield from _models(model)


def docstrings(model: type[Model]) -> Iterator[tuple[str, str]]:
    """The fields of a model, each with the text that stands below it."""
    if (above := model.__base__) is not None and issubclass(above, Model) and above is not Model:
        yield from docstrings(above)
    [defined] = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(defined, ast.ClassDef)
    for field, text in pairwise(defined.body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            yield field.target.id, inspect.cleandoc(str(text.value.value))


def text() -> str:
    """The schema as the committed file holds it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _merging(document: dict[str, Any]) -> set[str]:
    """The definitions that stand in mappings and never in a list."""
    found: set[str] = set()

    def follow(value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                follow(item)
        elif isinstance(value, dict):
            name = value.get("$ref", "").removeprefix("#/$defs/")
            if name and name not in found:
                found.add(name)
                follow(document["$defs"][name])
            for key, item in value.items():
                if key not in ("items", "$defs"):
                    follow(item)

    follow(document)
    return found


def _tidy(value: Any, *, nullable: bool) -> None:
    """Drop pydantic's titles and defaults, which editors would show as noise, and put descriptions on one line."""
    if isinstance(value, list):
        for item in value:
            _tidy(item, nullable=nullable)
    if not isinstance(value, dict):
        return
    if isinstance(description := value.get("description"), str):
        value["description"] = re.sub(r"(?<!\n)\n(?!\n)", " ", description)
    if isinstance(properties := value.get("properties"), dict):
        for name, field in properties.items():
            field.pop("title", None)
            field.pop("default", None)
            properties[name] = _nullable(field) if nullable else _not_null(field)
        if nullable and "anyOf" not in value:
            value.pop("required", None)
    if isinstance(patterns := value.get("patternProperties"), dict):
        value["additionalProperties"] = False
        value.pop("minProperties", None)
        for pattern, field in patterns.items():
            patterns[pattern] = _nullable(field)
    for key, item in value.items():
        if key != "const":
            _tidy(item, nullable=nullable and key != "items")


def _nullable(field: dict[str, Any]) -> dict[str, Any]:
    if {"type": "null"} in field.get("anyOf", ()):
        return field
    described = {key: field.pop(key) for key in ("description",) if key in field}
    return {**described, "anyOf": [field, {"type": "null"}]}


def _not_null(field: dict[str, Any]) -> dict[str, Any]:
    """A field without the null that stands for its absence in the model."""
    choices = [choice for choice in field.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == len(field.get("anyOf", ())):
        return field
    rest = {key: value for key, value in field.items() if key != "anyOf"}
    return {**rest, **choices[0]} if len(choices) == 1 and "$ref" not in choices[0] else {**rest, "anyOf": choices}
