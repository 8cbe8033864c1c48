"""`pulumi up` as deployers with the least rights the README names, with the real engine: they stay owners of what they make."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import local_azure
from entrant.facts.apis import GRAPH, graph_permissions
from entrant.facts.directory_roles import find_directory_role
from local_azure import LocalAzure
from tests.conftest import Project
from tests.local_azure.conftest import READER, Client, Identity

STACK = "owners"
USER_ACCESS_ADMINISTRATOR = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"


@dataclass(frozen=True)
class Stack:
    """A stack with a local Azure of its own, for deployers that may do little."""

    project: Project
    azure: LocalAzure
    admin: Client

    def permit(self, who: Identity, name: str) -> None:
        """Give an identity a permission of Microsoft Graph."""
        graph = self.admin.graph("GET", f"/servicePrincipals?$filter=appId eq '{GRAPH}'&$select=id")["value"][0]["id"]
        body = {
            "principalId": who.object_id,
            "resourceId": graph,
            "appRoleId": graph_permissions().application[name],
        }
        self.admin.graph("POST", f"/servicePrincipals/{who.object_id}/appRoleAssignments", body)

    def permitted(self, name: str) -> Identity:
        """A new identity whose only right is a permission of Microsoft Graph."""
        made = self.admin.new_identity(name)
        self.permit(made, "Application.ReadWrite.OwnedBy")
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
    """Where the file does not say who the owners are; an owner manually stays through an update by another identity."""
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
    gone = stack.run(applies, "destroy", "--yes", "--skip-preview")
    assert gone.returncode == 0, gone.stdout


ASKS = """\
role_definitions:
  looker: {{actions: [Microsoft.Resources/subscriptions/read], assignable_scopes: [{scope}]}}
apps:
  asks:
    permissions: [{{api: Microsoft Graph, application: [User.Read.All], delegated: [User.Read], consent: true}}]
    groups: [{group}]
    directory_roles: [{{role: Directory Readers}}]
    roles: [{{role: looker, scope: {scope}}}]
"""


def test_an_up_works_once_the_deployer_has_what_doctor_misses(stack: Stack) -> None:
    """And is refused before."""
    scope = f"/subscriptions/{stack.azure.subscription_id}/resourceGroups/rg-asks"
    stack.azure.ensure([scope])
    body = {"displayName": "asked", "mailNickname": "asked", "mailEnabled": False, "securityEnabled": True}
    group = stack.admin.graph("POST", "/groups", body)["id"]
    who = stack.permitted("asking deployer")
    stack.admin.grant(READER, scope, who.object_id)
    stack.project.write(STACK, ASKS.format(scope=scope, group=group))

    def problems() -> set[str]:
        settings = stack.project.rehearsal(STACK).settings(stack.azure)
        more = settings | {"ARM_CLIENT_ID": who.client_id, "ARM_CLIENT_SECRET": who.secret}
        done = stack.project.entrant("doctor", "-s", STACK, "--format", "json", **more)
        found = {each["what"] for each in json.loads(done.stdout) if each["state"] == "problem"}
        assert done.returncode == (4 if found else 0), done.stdout + done.stderr
        return found

    directory = {"consent", "delegated consent", "add to groups", f"group {group}", "give directory roles"}
    assert problems() == directory | {"define looker on rg-asks", "read looker back", "assign roles on rg-asks"}
    failed = stack.run(who, "up", "--yes", "--skip-preview")
    assert failed.returncode != 0 and "AuthorizationFailed" in failed.stdout, failed.stdout
    stack.admin.grant(USER_ACCESS_ADMINISTRATOR, scope, who.object_id)
    stack.admin.grant(READER, f"/subscriptions/{stack.azure.subscription_id}", who.object_id)
    assert problems() == directory
    failed = stack.run(who, "up", "--yes", "--skip-preview")
    assert failed.returncode != 0 and "Authorization_RequestDenied" in failed.stdout, failed.stdout
    for name in (
        "AppRoleAssignment.ReadWrite.All",
        "DelegatedPermissionGrant.ReadWrite.All",
        "GroupMember.ReadWrite.All",
        "RoleManagement.ReadWrite.Directory",
    ):
        stack.permit(who, name)
    assert problems() == set()
    done = stack.run(who, "up", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout
    assert problems() == set()
    stack.admin.grant(USER_ACCESS_ADMINISTRATOR, f"/subscriptions/{stack.azure.subscription_id}", who.object_id)
    gone = stack.run(who, "destroy", "--yes", "--skip-preview")
    assert gone.returncode == 0, gone.stdout


def test_owners_that_the_file_names_are_what_there_is(stack: Stack) -> None:
    """Of registration and service principal each, whoever made them; `[]` is nobody."""
    stack.project.write(STACK, "apps:\n  owned: {owners: [], service_principal: {owners: []}}\n")
    done = stack.project.pulumi(STACK, "up", "--yes", "--skip-preview", "-s", STACK)
    assert done.returncode == 0, done.stdout
    assert stack.owners() == (set(), set())
