"""The reference page of the vocabulary, `docs/environment.md`, made from the JSON Schema and the examples.

`python -m entrant.config` writes it anew; a test fails when it and the schema differ.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from .schema import schema

ROOT: Final = Path(__file__).parents[2]
FILE: Final = ROOT / "docs" / "environment.md"
EXAMPLES: Final = (
    ROOT / "examples" / "everything.yaml",
    ROOT / "examples" / "base.yaml",
    ROOT / "examples" / "adopt.yaml",
)

_PLAIN: Final = re.compile("true|false")


class _Loader(yaml.SafeLoader):
    """Reads booleans as YAML 1.2 has them: `off` is text."""


class _Dumper(yaml.SafeDumper):
    """Writes them so."""


for _class in (_Loader, _Dumper):
    _class.yaml_implicit_resolvers = {
        first: [(tag, _PLAIN if tag.endswith(":bool") else pattern) for tag, pattern in resolvers]
        for first, resolvers in _class.yaml_implicit_resolvers.items()
    }

LONGEST_EXAMPLE: Final = 30
"""Lines; what is longer is shown by the sections of its parts."""

_INTRODUCTION: Final = """\
<!-- Written by `python -m entrant.config` from the models in config/; change those, not this page. -->
# Environment files

One YAML file is one environment and one Pulumi stack: `config/dev.yaml` is the stack `dev`. Put

    # yaml-language-server: $schema=environment.schema.json

into its first line and an editor with the YAML language server completes, explains and checks as you type, offline.
`python3 -m entrant validate` lists everything that is wrong, with file, line and column.
[everything.yaml](../examples/everything.yaml) uses every line of this page.

- **Secretless first.** An app has no secret unless it says so. Where the app's platform can present tokens of its own,
  `federated` is the better choice: nothing to leak, nothing to rotate.
- **Several files.** `extends` names a file to start from. Mappings merge key by key, the nearer file wins, lists are replaced
  whole, and `null` takes away what a file further away says. `defaults` lies under every app in the same way.
- **Several stacks.** One file per team and environment, each its own stack, keeps plans short: `config/dev-payments.yaml` can
  extend `dev.yaml` for its scopes.
- **Text is text.** Write `"no"`, `"on"` and `"0755"` in quotes where they are meant as text; YAML readers disagree about them.
- **What is dangerous** (roles that can give themselves any role, roles at whole subscriptions, permissions that can take
  accounts over) is refused unless the app says `allow_privileged: true` with a `reason`; `policy` decides what it is then.
"""


def text() -> str:
    """The page."""
    document = schema()
    examples = [yaml.load(file.read_text("utf-8"), Loader=_Loader) for file in EXAMPLES]
    parts = [_INTRODUCTION, *(_section(document, path, name, examples) for path, name in _sections(document))]
    return "\n".join(parts).rstrip() + "\n"


def _sections(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """Where each mapping of the vocabulary stands first, outer before inner, and the name of its definition."""
    seen: set[str] = set()
    waiting: list[tuple[tuple[str, ...], str | None]] = [((), None)]
    while waiting:
        path, name = waiting.pop(0)
        yield path, name
        fields = (document if name is None else document["$defs"][name])["properties"]
        inner = []
        for field, described in fields.items():
            if field == "defaults":
                continue
            for steps, found in _references(described):
                if found not in seen:
                    seen.add(found)
                    inner.append(((*path, field, *steps), found))
        waiting = [*inner, *waiting]


def _references(value: Any, steps: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The definitions a field leads to, each with the steps through lists and mappings."""
    if isinstance(value, list):
        for item in value:
            yield from _references(item, steps)
    elif isinstance(value, dict):
        if "$ref" in value:
            yield steps, value["$ref"].removeprefix("#/$defs/")
        for key in ("anyOf", "oneOf"):
            yield from _references(value.get(key, []), steps)
        if "items" in value:
            yield from _references(value["items"], (*steps, "[]"))
        for below in value.get("patternProperties", {}).values():
            yield from _references(below, (*steps, "<name>"))


def _title(path: tuple[str, ...]) -> str:
    return "".join(step if step == "[]" else f".{step}" for step in path).lstrip(".") or "The file"


def anchor(path: tuple[str, ...]) -> str:
    """The link target of a section, as GitHub makes it from the heading."""
    return re.sub(r"[^\w -]", "", _title(path).lower()).replace(" ", "-")


def _section(
    document: Mapping[str, Any], path: tuple[str, ...], name: str | None, examples: list[dict[str, Any]]
) -> str:
    definition = document if name is None else document["$defs"][name]
    places = {found: where for where, found in _sections(document) if found is not None}
    lines = [f"## {'The file' if not path else f'`{_title(path)}`'}", "", definition["description"], ""]
    shown = _example(path, examples) if path else None
    if shown is not None:
        lines += ["```yaml", shown, "```", ""]
    lines += ["| key | value | meaning |", "| --- | --- | --- |"]
    required = definition.get("required", ())
    for field, described in definition["properties"].items():
        meaning = described.get("description", "") + (" **Required.**" if field in required else "")
        lines.append(f"| `{field}` | {_form(described, places)} | {meaning.replace('|', '&#124;')} |")
    return "\n".join(lines) + "\n"


def _form(value: Mapping[str, Any], places: Mapping[str, tuple[str, ...]]) -> str:
    """What a field takes, in words."""
    if "$ref" in value:
        name = value["$ref"].removeprefix("#/$defs/")
        return f"[mapping](#{anchor(places[name])})"
    if "const" in value:
        return f"`{str(value['const']).lower() if isinstance(value['const'], bool) else value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"]) if len(value["enum"]) <= 8 else "a name"
    choices = value.get("anyOf") or value.get("oneOf")
    if choices:
        return " or ".join(dict.fromkeys(_form(choice, places) for choice in choices if choice != {"type": "null"}))
    if value.get("type") == "array":
        return f"list: {_form(value['items'], places)}"
    if "patternProperties" in value or ("additionalProperties" in value and "properties" not in value):
        [below] = value.get("patternProperties", {"": value["additionalProperties"]}).values()
        return f"by name: {_form(below, places)}"
    if "properties" in value:
        return "`{" + ", ".join(f"{key}: …" for key in value["properties"]) + "}`"
    return {"string": "text", "boolean": "`true`, `false`", "integer": "number"}[value["type"]]


def _example(path: tuple[str, ...], examples: list[dict[str, Any]]) -> str | None:
    for example in examples:
        for found in _find(example, path):
            shown: str = yaml.dump(found, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110).rstrip()
            return shown if shown.count("\n") < LONGEST_EXAMPLE else None
    return None


def _find(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """The parts of an example that stand at `path`, each wrapped in its last key."""
    if not path:
        if value not in (None, False):
            yield value
        return
    step, *rest = path
    if step == "[]" and isinstance(value, list):
        for item in value:
            yield from _find(item, tuple(rest))
    elif step == "<name>" and isinstance(value, dict):
        for key, item in value.items():
            for found in _find(item, tuple(rest)):
                yield found if rest else {key: found}
    elif isinstance(value, dict) and step in value:
        for found in _find(value[step], tuple(rest)):
            yield {step: [found]} if rest == ["[]"] else {step: found} if not rest or rest == ["<name>"] else found
