"""The JSON Schema of an environment file, made from the models.

`python -m config` writes `environment.schema.json` anew; a test fails when the file and the models differ.
"""

import json
from pathlib import Path
from typing import Any, Final

from .models import Environment

FILE: Final = Path(__file__).with_name("environment.schema.json")


def schema() -> dict[str, Any]:
    """The schema, for editors: everything that is optional may be null, which removes an inherited key."""
    document = Environment.model_json_schema(by_alias=True)
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}
    document.pop("required", None)
    document["title"] = "Entrant environment"
    _tidy(document)
    return document


def text() -> str:
    """The schema as the committed file holds it."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def _tidy(value: Any) -> None:
    """Drop pydantic's generated titles and defaults, which editors would show as noise; let optional values be null."""
    if isinstance(value, list):
        for item in value:
            _tidy(item)
    if not isinstance(value, dict):
        return
    if isinstance(properties := value.get("properties"), dict):
        required = value.get("required", ())
        for name, field in properties.items():
            if isinstance(field, dict):
                field.pop("title", None)
                field.pop("default", None)
                if name not in required:
                    properties[name] = _nullable(field)
    if isinstance(patterns := value.get("patternProperties"), dict):
        value["additionalProperties"] = False
        value.pop("minProperties", None)
        for pattern, field in patterns.items():
            patterns[pattern] = _nullable(field)
    for key, item in value.items():
        if key != "const":
            _tidy(item)


def _nullable(field: dict[str, Any]) -> dict[str, Any]:
    if {"type": "null"} in field.get("anyOf", ()):
        return field
    described = {key: field.pop(key) for key in ("description",) if key in field}
    return {**described, "anyOf": [field, {"type": "null"}]}
