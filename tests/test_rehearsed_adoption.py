"""A file that takes existing objects over is rehearsed unchanged: they are there first, as the file describes them."""

import json

import local_azure
from tests.conftest import Project
from tests.local_azure.conftest import Client
from tests.test_whole_job import WORKSPACE

APPLICATION, PRINCIPAL = "11111111-aaaa-4bbb-8ccc-000000000001", "11111111-aaaa-4bbb-8ccc-000000000002"
ALONE = "11111111-aaaa-4bbb-8ccc-000000000003"
ASSIGNMENT = "22222222-aaaa-4bbb-8ccc-000000000001"
TEXT = f"""\
apps:
  legacy:
    display_name: Legacy reader
    notes: Made manually
    adopt: {{application: {APPLICATION}, service_principal: {PRINCIPAL}}}
    on_remove: keep
    tags: [by-hand]
    web: {{redirect_uris: ["https://legacy.contoso.com/"]}}
    app_roles:
      Read.All: {{display_name: Read, description: Read all of it, allowed: [Application]}}
    secret: {{every: 90d, overlap: 7d}}
    federated: [{{github: {{repository: contoso/obs, environment: dev}}}}]
    roles:
      - {{role: Reader, scope: {WORKSPACE}, adopt: {ASSIGNMENT}, on_remove: keep, description: By hand}}
  alone:
    adopt: {{application: {ALONE}}}
    on_remove: keep
    permissions:
      - {{api: legacy, application: [Read.All], consent: true}}
  new:
    display_name: New API
    app_roles:
      Orders.Read: {{display_name: Read orders, description: Read all orders, allowed: [Application]}}
"""


def test_an_example_that_adopts_is_rehearsed_as_it_stands(project: Project) -> None:
    done = project.entrant("rehearse", "examples/adopt.yaml", "--propagation", "0", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["changes"]["import"] == 14
    again = project.entrant("rehearse", "examples/adopt.yaml", "--propagation", "0", "--format", "json")
    assert again.returncode == 0, again.stderr
    assert set(json.loads(again.stdout)["changes"]) == {"same"}
    done = project.entrant("rehearse", "examples/adopt.yaml", "--down")
    assert done.returncode == 0, done.stderr


def test_what_is_adopted_keeps_its_ids_and_gets_what_the_file_adds(project: Project) -> None:
    project.write("taken", TEXT)
    done = project.entrant("rehearse", "taken", "--propagation", "0", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert "✓ What the file takes over: 2 registrations, 1 role assignment made as the file says" in done.stderr
    azure = local_azure.start(project.rehearsal("taken").azure)
    client = Client(azure)
    legacy = client.graph("GET", f"/applications/{APPLICATION}")
    assert (legacy["displayName"], legacy["notes"], legacy["tags"]) == ("Legacy reader", "Made manually", ["by-hand"])
    assert len(legacy["passwordCredentials"]) == 1
    assert client.graph("GET", f"/servicePrincipals/{PRINCIPAL}")["appId"] == legacy["appId"]
    path = f"{WORKSPACE}/providers/Microsoft.Authorization/roleAssignments/{ASSIGNMENT}"
    assert client.arm("GET", path)["properties"]["principalId"] == PRINCIPAL
    assert not (project.rehearsal("taken").folder / "before").exists()
    again = project.entrant("rehearse", "taken", "--propagation", "0", "--format", "json")
    assert set(json.loads(again.stdout)["changes"]) == {"same"}, again.stderr
    assert "✓ What the file takes over: all there" in again.stderr
