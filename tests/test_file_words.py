"""What a deployment stops for is told in the words of the environment's file, whoever said it first."""

import local_azure
from tests.conftest import Project
from tests.local_azure.conftest import Client

STACK = "words"
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
