"""The example that uses every line of the vocabulary, through the real engine: up, no change, and each block removable."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import local_azure
from entrant import engine
from entrant.rehearsal import environ
from tests.conftest import Project
from tests.local_azure.conftest import READER, Client

EXAMPLE = Path("examples") / "everything.yaml"


@pytest.fixture(scope="module")
def everything(project: Project) -> Project:
    """A rehearsal of the whole vocabulary."""
    done = project.entrant("rehearse", str(EXAMPLE), "--propagation", "0")
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture
def edit(everything: Project) -> Iterator[Any]:
    """Changes the example's text for one test."""
    file = everything.root / EXAMPLE
    before = file.read_text("utf-8")

    def change(pattern: str, replacement: str = "") -> None:
        text, count = re.subn(pattern, replacement, file.read_text("utf-8"), flags=re.M)
        assert count == 1, pattern
        file.write_text(text, "utf-8")

    yield change
    file.write_text(before, "utf-8")


def preview(project: Project) -> dict[str, set[str]]:
    """What a preview would do, other than nothing: operation → names of resources."""
    rehearsal = project.rehearsal("everything")
    env = environ(rehearsal.settings(local_azure.start(rehearsal.azure)))
    found: dict[str, set[str]] = {}

    def note(event: engine.Event) -> None:
        planned = event.get("resourcePreEvent")
        if planned and planned["metadata"]["op"] != "same":
            metadata = planned["metadata"]
            found.setdefault(metadata["op"], set()).add(metadata["urn"].rsplit("::", 1)[-1])

    engine.operate(["preview", "--stack", "everything"], cwd=project.root, environ=env, on_event=note)
    return found


def test_the_whole_vocabulary_goes_up_and_shows_no_change_afterwards(everything: Project) -> None:
    assert preview(everything) == {}


def test_an_administrative_unit_that_it_names_is_there_and_the_role_is_limited_to_it(everything: Project) -> None:
    client = Client(local_azure.start(everything.rehearsal("everything").azure))
    roles = client.graph("GET", "/roleManagement/directory/roleAssignments")["value"]
    (unit,) = [one["directoryScopeId"] for one in roles if one["directoryScopeId"] != "/"]
    assert client.graph("GET", f"/directory{unit}")["displayName"]


@pytest.mark.parametrize(
    ("block", "replacement", "gone"),
    [
        (r"^    groups: .*\n", "", {"delete": 1}),
        (r"^      - \{role: User Administrator.*\n", "", {"delete": 1}),
        (r"^      - \{role: heartbeat-reader, scope: logs\}\n", "", {"delete": 1}),
        (r"^      - \{gitlab: \{project: contoso/obs, branch: main\}\}\n", "", {"delete": 1}),
        (r"^      batch: \{path: batch.pem\}\n", "", {"delete": 1}),
        (
            r"^    secret:\n(?:      .*\n)+(?=    certificates:)",
            "    secret: false\n",
            {"delete": 2},
        ),  # and in the vault
        (
            r"^      signing:\n(?:        .*\n)+(?=      inline:)",
            "",
            {"delete": 2},
        ),  # and in the vault
        (r"^      - \{api: log-api, application: \[Logs.Read.All\], consent: true\}\n", "", {"delete": 1, "update": 1}),
        (r"^      login_url: .*\n", "", {"update": 1}),
    ],
)
def test_a_block_that_is_removed_takes_exactly_its_own_with_it(
    everything: Project, edit: Any, block: str, replacement: str, gone: dict[str, int]
) -> None:
    edit(block, replacement)
    assert {op: len(names) for op, names in preview(everything).items()} == gone


def test_what_was_made_manually_is_taken_over_by_id_and_kept_on_removal(project: Project) -> None:
    """Adoption is an import that a preview shows; with `on_remove: keep` the objects outlive their entry."""
    plain = "apps:\n  other:\n    display_name: Other (adoption)\n    secret: false\n"
    project.write("adoption", plain)
    done = project.entrant("rehearse", "adoption", "--propagation", "0")
    assert done.returncode == 0, done.stderr
    azure = local_azure.start(project.rehearsal("adoption").azure)
    deployer = Client(azure)
    scope = f"/subscriptions/{azure.subscription_id}/resourceGroups/rg-adoption"
    azure.ensure([scope])
    app = deployer.graph("POST", "/applications", {"displayName": "Legacy reader"})
    principal = deployer.graph("POST", "/servicePrincipals", {"appId": app["appId"]})
    assignment = deployer.grant(READER, scope, principal["id"])
    adopted = (
        plain
        + f"""\
  legacy-reader:
    display_name: Legacy reader
    secret: false
    adopt: {{application: {app["id"]}, service_principal: {principal["id"]}}}
    on_remove: keep
    roles:
      - {{role: Reader, scope: {scope}, adopt: {assignment["name"]}, on_remove: keep}}
"""
    )
    project.write("adoption", adopted)
    shown = project.pulumi("adoption", "preview", "-s", "adoption")
    assert shown.returncode == 0, shown.stdout
    assert re.search(r"= 3 to import", shown.stdout), shown.stdout
    for _ in range(2):
        done = project.pulumi("adoption", "up", "--yes", "-s", "adoption")
        assert done.returncode == 0, done.stdout
    assert " unchanged" in done.stdout and "import" not in done.stdout.split("Resources:")[-1]
    outputs = project.pulumi("adoption", "stack", "output", "legacy_reader_client_id", "-s", "adoption")
    assert outputs.stdout.strip() == app["appId"]
    project.write("adoption", plain)
    done = project.pulumi("adoption", "up", "--yes", "-s", "adoption")
    assert done.returncode == 0, done.stdout
    assert deployer.graph("GET", f"/applications/{app['id']}")["displayName"] == "Legacy reader"
    assert deployer.graph("GET", f"/servicePrincipals/{principal['id']}")["appId"] == app["appId"]
    assert deployer.arm("GET", assignment["id"])["name"] == assignment["name"]
