"""`pulumi up` as deployers with the least rights the README names, with the real engine: they stay owners of what they make."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import local_azure
from entrant.facts.apis import GRAPH, graph_permissions
from entrant.facts.directory_roles import find_directory_role
from local_azure import LocalAzure
from tests.conftest import Project
from tests.local_azure.conftest import Client, Identity

STACK = "owners"


@dataclass(frozen=True)
class Stack:
    """A stack with a local Azure of its own, for deployers that may do little."""

    project: Project
    azure: LocalAzure
    admin: Client

    def permitted(self, name: str) -> Identity:
        """A new identity whose only right is a permission of Microsoft Graph."""
        made = self.admin.new_identity(name)
        graph = self.admin.graph("GET", f"/servicePrincipals?$filter=appId eq '{GRAPH}'&$select=id")["value"][0]["id"]
        guid = graph_permissions().application["Application.ReadWrite.OwnedBy"]
        body = {"principalId": made.object_id, "resourceId": graph, "appRoleId": guid}
        self.admin.graph("POST", f"/servicePrincipals/{made.object_id}/appRoleAssignments", body)
        return made

    def developer(self, name: str) -> Identity:
        """A new identity whose only right is the directory role Application Developer."""
        made = self.admin.new_identity(name)
        role = find_directory_role("Application Developer")
        assert role is not None
        body = {"roleDefinitionId": role.id, "principalId": made.object_id, "directoryScopeId": "/"}
        self.admin.graph("POST", "/roleManagement/directory/roleAssignments", body)
        return made

    def run(self, who: Identity, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A `pulumi` command as an identity."""
        more = {"ARM_CLIENT_ID": who.client_id, "ARM_CLIENT_SECRET": who.secret}
        return self.project.pulumi(STACK, *arguments, "-s", STACK, **more)

    def up(self, who: Identity, app: str, *arguments: str) -> None:
        """`pulumi up` of one app, which works."""
        self.project.write(STACK, f"apps:\n  owned: {app}\n")
        done = self.run(who, "up", "--yes", "--skip-preview", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def owners(self) -> tuple[set[str], set[str]]:
        """The object ids of the owners of the registration and of the service principal."""
        found = []
        for collection in ("applications", "servicePrincipals"):
            [made] = self.admin.graph("GET", f"/{collection}?$filter=displayName eq 'owned'")["value"]
            found.append({one["id"] for one in self.admin.graph("GET", f"/{collection}/{made['id']}/owners")["value"]})
        return found[0], found[1]


@pytest.fixture(scope="module")
def stack(project: Project) -> Iterator[Stack]:
    """The stack, empty."""
    project.write(STACK, "apps:\n  owned: {}\n")
    done = project.entrant("rehearse", STACK, "--propagation", "0")
    assert done.returncode == 0, done.stderr
    azure = local_azure.start(project.rehearsal(STACK).azure)
    made = Stack(project, azure, Client(azure))
    gone = made.project.pulumi(STACK, "destroy", "--yes", "--skip-preview", "-s", STACK)
    assert gone.returncode == 0, gone.stdout
    yield made


@pytest.mark.parametrize("right", ["permitted", "developer"])
@pytest.mark.parametrize("owners", ["", "owners: [deployer], "])
def test_a_deployer_with_few_rights_manages_what_it_made(stack: Stack, right: str, owners: str) -> None:
    """It makes an app with a secret, changes registration and service principal, changes nothing, and destroys it."""
    who: Identity = getattr(stack, right)(f"{right} {len(owners)}")
    stack.up(who, f"{{{owners}secret: {{every: 90d}}}}")
    assert stack.owners() == ({who.object_id}, {who.object_id})
    changed = f"{{{owners}secret: {{every: 90d}}, description: d, service_principal: {{assignment_required: true, notes: ours}}}}"
    stack.up(who, changed)
    stack.up(who, changed, "--expect-no-changes")
    assert stack.owners() == ({who.object_id}, {who.object_id})
    gone = stack.run(who, "destroy", "--yes", "--skip-preview")
    assert gone.returncode == 0, gone.stdout


def test_identities_that_plan_and_apply_make_one_plan_and_leave_owners_alone(stack: Stack) -> None:
    """Where the file does not say who the owners are; an owner by hand stays through an update by another identity."""
    applies, plans = stack.permitted("applies"), stack.permitted("plans")
    stack.project.write(STACK, "apps:\n  owned: {}\n")

    def digest(who: Identity) -> str:
        settings = stack.project.rehearsal(STACK).settings(stack.azure)
        more = settings | {"ARM_CLIENT_ID": who.client_id, "ARM_CLIENT_SECRET": who.secret}
        done = stack.project.entrant("review", "-s", STACK, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        assert who.object_id not in done.stdout
        return done.stdout.rpartition("digest ")[2].strip()

    assert digest(applies) == digest(plans)
    stack.up(applies, "{}")
    preview = stack.run(plans, "preview", "--expect-no-changes")
    assert preview.returncode == 0, preview.stdout
    [app] = stack.admin.graph("GET", "/applications?$filter=displayName eq 'owned'")["value"]
    reference = {"@odata.id": f"{stack.azure.url}/v1.0/directoryObjects/{stack.azure.object_id}"}
    stack.admin.graph("POST", f"/applications/{app['id']}/owners/$ref", reference)
    stack.up(applies, "{description: d}", "--refresh")
    assert stack.owners() == ({applies.object_id, stack.azure.object_id}, {applies.object_id})


def test_owners_that_the_file_names_are_what_there_is(stack: Stack) -> None:
    """Of registration and service principal each, whoever made them; `[]` is nobody."""
    stack.project.write(STACK, "apps:\n  owned: {owners: [], service_principal: {owners: []}}\n")
    done = stack.project.pulumi(STACK, "up", "--yes", "--skip-preview", "-s", STACK)
    assert done.returncode == 0, done.stdout
    assert stack.owners() == (set(), set())
