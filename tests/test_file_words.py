"""What a deployment stops for is told in the words of the environment's file; the keys that messages name are there."""

import ast
import json
import re

import local_azure
from entrant.config import schema
from tests.conftest import ROOT, Project
from tests.local_azure.conftest import Client

STACK = "words"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)
PRIVATE = ("import_", "resource option", "Terraform", "prevent_duplicate_names", "Pulumi program")
THING = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg/providers/Contoso.Things/things/one"
FILE = f"""
policy: {{missing-owner: off}}
scopes: {{thing: {THING}}}
apps:
  mine: {{display_name: Mine}}
"""


def test_a_taken_name_and_a_protected_app_are_told_with_the_keys_that_help(project: Project) -> None:
    project.write(STACK, FILE)
    made = project.entrant("rehearse", STACK)
    assert made.returncode == 0, made.stderr
    assert f"config/{STACK}.yaml:3:17: warning: scopes.thing: " in made.stderr, "what may be wrong is said first"
    client = Client(local_azure.start(project.rehearsal(STACK).azure))
    try:
        taken = client.graph("POST", "/applications", {"displayName": "Taken"}, status=201)["id"]
        project.write(STACK, FILE + "  other: {display_name: Taken}\n")
        refused = project.entrant("rehearse", STACK)
        assert refused.returncode == 1
        assert f"take it over with `adopt: {{application: {taken}}}` and `on_remove`" in refused.stderr
        assert not any(word in refused.stderr for word in PRIVATE), refused.stderr

        project.write(STACK, "protect: true\n" + FILE)
        assert project.entrant("rehearse", STACK).returncode == 0
        project.write(STACK, "protect: true\n" + FILE.replace("mine: {display_name: Mine", "new: {display_name: New"))
        refused = project.entrant("rehearse", STACK)
        assert refused.returncode != 0
        assert "set `protect: false` in a deployment of its own first" in refused.stderr, refused.stderr
        assert not any(word in refused.stderr for word in PRIVATE), refused.stderr
    finally:
        assert project.entrant("rehearse", STACK, "--down").returncode == 0


QUOTED = re.compile(r"`([a-z][a-z_]*(?:\.[a-z_]+)+|[a-z]+(?:_[a-z]+)+|[a-z_]+(?=:(?: \w+)?`))[`:]")
"""In backticks: `public_client.fallback`, `identifier_uris`, `cloud:`."""
OTHERS = {"client_id"}
"""What messages about codes name that is no key of the file: parts of a request for a token."""


def test_keys_that_messages_name_are_keys_of_the_file() -> None:
    document = schema.schema()
    keys: dict[str, set[str]] = {}
    for definition in (document, *document["$defs"].values()):
        for key, below in definition.get("properties", {}).items():
            models = re.findall(r"#/\$defs/(\w+)", json.dumps(below))
            keys.setdefault(key, set()).update(*(document["$defs"][model].get("properties", ()) for model in models))
    dotted = {f"{key}.{below}" for key, belows in keys.items() for below in belows}
    checked, wrong = 0, []
    for file in sorted((ROOT / "entrant").rglob("*.py")):
        tree = ast.parse(file.read_text("utf-8"))
        docs = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, DOCUMENTED)}
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        for text in texts:
            if not isinstance(text, str) or text in docs:
                continue
            for word in QUOTED.findall(text):
                about_codes = file.name == "errors.py" and word not in OTHERS
                if word.split(".")[0] in keys if "." in word else about_codes:
                    checked += 1
                    wrong += [] if word in keys or word in dotted else [f"{file.relative_to(ROOT)}: {word}"]
    assert checked > 20
    assert wrong == []
