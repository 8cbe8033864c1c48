"""`pulumi up` with the real engine as a deployer that lacks a right: it fails as on Azure, and works once the right is given."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

import pytest

import local_azure
from entrant.facts.apis import GRAPH, graph_permissions
from local_azure import LocalAzure
from tests.conftest import Project
from tests.local_azure.conftest import Client, Identity

CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
USER_ACCESS_ADMINISTRATOR = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
SUBSCRIPTION = "/subscriptions/0c8a3f5e-1111-4222-8333-444455556666"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-rights"
FIRST = """\
apps:
  made-by-the-owner:
    display_name: Made by the owner
    secret: false
"""
APP = """\
  reporter:
    display_name: {name}
    secret: false
    owners: [deployer]
"""
ROLE = f"""\
    roles:
      - {{role: Reader, scope: {GROUP}}}
"""
PERMISSION = """\
    permissions:
      - {api: Microsoft Graph, application: [User.Read.All], consent: true}
"""


@dataclass(frozen=True)
class Stack:
    """A stack with a local Azure of its own, deployed by an identity whose rights are given one by one."""

    project: Project
    azure: LocalAzure
    owner: Client
    deployer: Identity

    def up(self, text: str) -> subprocess.CompletedProcess[str]:
        """`pulumi up` of an environment as that identity."""
        self.project.write("rights", FIRST + text)
        more = {"ARM_CLIENT_ID": self.deployer.client_id, "ARM_CLIENT_SECRET": self.deployer.secret}
        return self.project.pulumi("rights", "up", "--yes", "--skip-preview", "-s", "rights", **more)

    def permit(self, name: str) -> None:
        """Give the identity a permission of Microsoft Graph."""
        graph = self.owner.graph("GET", f"/servicePrincipals?$filter=appId eq '{GRAPH}'&$select=id")["value"][0]["id"]
        guid = graph_permissions().application[name]
        body = {"principalId": self.deployer.object_id, "resourceId": graph, "appRoleId": guid}
        self.owner.graph("POST", f"/servicePrincipals/{self.deployer.object_id}/appRoleAssignments", body)


@pytest.fixture(scope="module")
def stack(project: Project) -> Stack:
    """The stack with two apps, the second made by a Contributor with Application.ReadWrite.OwnedBy."""
    project.write("rights", FIRST)
    done = project.entrant("rehearse", "rights", "--propagation", "0")
    assert done.returncode == 0, done.stderr
    azure = local_azure.start(project.rehearsal("rights").azure)
    azure.ensure([GROUP])
    owner = Client(azure)
    made = Stack(project, azure, owner, owner.new_identity("Deployer with few rights"))
    owner.grant(CONTRIBUTOR, SUBSCRIPTION, made.deployer.object_id)
    made.permit("Application.ReadWrite.OwnedBy")
    first = made.up(APP.format(name="Reporter"))
    assert first.returncode == 0, first.stdout
    return made


def output(done: subprocess.CompletedProcess[str]) -> str:
    """What was printed, on one line."""
    return " ".join(done.stdout.split())


def test_without_the_right_to_assign_roles(stack: Stack) -> None:
    """A role assignment by a Contributor is AuthorizationFailed, naming client, object id, action and scope; then it works."""
    text = APP.format(name="Reporter") + ROLE
    failed = stack.up(text)
    assert failed.returncode != 0
    message = output(failed)
    assert "403" in message and "AuthorizationFailed" in message
    who = f"The client '{stack.deployer.client_id}' with object id '{stack.deployer.object_id}'"
    action = "perform action 'Microsoft.Authorization/roleAssignments/write'"
    assert f"{who} does not have authorization to {action} over scope '{GROUP}" in message
    stack.owner.grant(USER_ACCESS_ADMINISTRATOR, GROUP, stack.deployer.object_id)
    again = stack.up(text)
    assert again.returncode == 0, again.stdout


def test_without_the_right_to_consent(stack: Stack) -> None:
    """With Application.ReadWrite.OwnedBy a permission is declared and not consented to, until AppRoleAssignment.ReadWrite.All."""
    text = APP.format(name="Reporter") + PERMISSION
    failed = stack.up(text)
    assert failed.returncode != 0 and "Authorization_RequestDenied" in output(failed)
    stack.permit("AppRoleAssignment.ReadWrite.All")
    again = stack.up(text)
    assert again.returncode == 0, again.stdout


def test_an_app_of_somebody_else(stack: Stack) -> None:
    """With Application.ReadWrite.OwnedBy an app is changed as long as the deployer owns it."""
    [app] = stack.owner.graph("GET", "/applications?$filter=displayName eq 'Reporter'")["value"]
    owned = f"/applications/{app['id']}/owners"
    assert [one["id"] for one in stack.owner.graph("GET", owned)["value"]] == [stack.deployer.object_id]
    # The last owner of an app cannot be taken away.
    reference = {"@odata.id": f"{stack.azure.url}/v1.0/directoryObjects/{stack.azure.object_id}"}
    stack.owner.graph("POST", f"{owned}/$ref", reference)
    stack.owner.graph("DELETE", f"{owned}/{stack.deployer.object_id}/$ref")
    failed = stack.up(APP.format(name="Renamed reporter") + PERMISSION)
    assert failed.returncode != 0 and "Authorization_RequestDenied" in output(failed)
    assert stack.owner.graph("GET", f"/applications/{app['id']}")["displayName"] == "Reporter"
    mine = {"@odata.id": f"{stack.azure.url}/v1.0/directoryObjects/{stack.deployer.object_id}"}
    stack.owner.graph("POST", f"{owned}/$ref", mine)
    again = stack.up(APP.format(name="Renamed reporter") + PERMISSION)
    assert again.returncode == 0, again.stdout
