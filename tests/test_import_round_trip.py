"""What is imported is taken over by an `up` that changes nothing: the whole vocabulary, and a tenant of forty apps."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

import local_azure
from entrant.rehearsal import Rehearsal, environ
from tests.conftest import Project
from tests.entrant import tenant as tenants
from tests.local_azure.conftest import Client

EXAMPLE = "examples/everything.yaml"
KINDS = ("azuread:", "azure-native:authorization:")
"""What an app consists of; where its secret is delivered to goes with the secret."""
UNREAD = {
    "logoImage": "a provider cannot read it back",
    "preventDuplicateNames": "of the provider alone; an adopted registration has its name already",
    "knownClientApplications": "read when the registration was made, before its clients were",
    "encoding": "of a certificate's value",
    "value": "a certificate, which a provider cannot read back",
}
"""Outputs of a resource that an import cannot have, and why."""


@dataclass(frozen=True)
class Place:
    """A rehearsal's local Azure, and an engine with its login, backend and plugins, for other stacks than its own."""

    project: Project
    rehearsal: Rehearsal

    @property
    def azure(self) -> local_azure.LocalAzure:
        """The local Azure."""
        return local_azure.start(self.rehearsal.azure)

    def entrant(self, *arguments: str) -> Any:
        """Run a command as who is signed in to the local Azure."""
        own = environ(self.rehearsal.settings(self.azure))
        apart = ("HOME", "PULUMI_OPTION_CONFIG_FILE")
        return self.project.entrant(*arguments, **{name: own[name] for name in own if name not in apart})

    def pulumi(self, *arguments: str) -> str:
        """Run Pulumi; what it says."""
        done = self.project.pulumi(self.rehearsal.stack, *arguments, PULUMI_OPTION_CONFIG_FILE="")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def steps(self, stack: str) -> list[dict[str, Any]]:
        """What a preview would do."""
        output = self.pulumi("preview", "-s", stack, "--json")
        found: list[dict[str, Any]] = json.loads(output[output.index("{") :])["steps"]
        return found

    def adopted(self, stack: str) -> int:
        """Take a stack over: imports alone in the plan, an `up` that changes nothing, and nothing to do afterwards; how many."""
        before = tenant_now(Client(self.azure))
        self.pulumi("stack", "init", stack)
        of_azure = [step["op"] for step in self.steps(stack) if step["newState"]["type"].startswith("azure")]
        assert set(of_azure) == {"import"}
        self.pulumi("up", "--yes", "--skip-preview", "-s", stack)
        assert tenant_now(Client(self.azure)) == before
        assert {step["op"] for step in self.steps(stack)} == {"same"}
        return len(of_azure)

    def resources(self, stack: str) -> dict[str, tuple[str, Any]]:
        """The objects of Azure in a stack's state: by id, type and outputs."""
        exported = json.loads(self.pulumi("stack", "export", "-s", stack))["deployment"]["resources"]
        found = [each for each in exported if each.get("id") and each["type"].startswith(KINDS)]
        return {each["id"].rpartition("/")[2]: (each["type"], comparable(each["outputs"])) for each in found}


@pytest.fixture(scope="module")
def everything(project: Project) -> Place:
    """A rehearsal of the whole vocabulary."""
    done = project.entrant("rehearse", EXAMPLE, "--propagation", "0")
    assert done.returncode == 0, done.stderr
    return Place(project, project.rehearsal("everything"))


def tenant_now(client: Client) -> dict[str, Any]:
    """Everything that an `up` could change."""
    graph = client.graph
    lists = {path: graph("GET", f"{path}?$top=999")["value"] for path in ("/applications", "/servicePrincipals")}
    for application in lists["/applications"]:
        path = f"/applications/{application['id']}"
        for part in ("owners", "federatedIdentityCredentials"):
            lists[f"{path}/{part}"] = graph("GET", f"{path}/{part}")["value"]
    for principal in lists["/servicePrincipals"]:
        path = f"/servicePrincipals/{principal['id']}"
        for part in ("owners", "appRoleAssignments", "oauth2PermissionGrants", "memberOf"):
            lists[f"{path}/{part}"] = graph("GET", f"{path}/{part}")["value"]
    lists["roles"] = graph("GET", "/roleManagement/directory/roleAssignments")["value"]
    place = f"/subscriptions/{client.azure.subscription_id}/providers/Microsoft.Authorization"
    for part in ("roleAssignments", "roleDefinitions?$filter=type eq 'CustomRole'"):
        lists[part] = client.arm("GET", f"{place}/{part}")["value"]
    return lists


def comparable(value: Any) -> Any:
    """Outputs without those of `UNREAD`, without what is empty or false, and with lists in an order of their own."""
    if isinstance(value, dict):
        inner = {
            name: comparable(each) for name, each in value.items() if name not in UNREAD and not name.startswith("__")
        }
        return {name: each for name, each in inner.items() if each not in (None, False, "", [], {})}
    if isinstance(value, list):
        return sorted((comparable(each) for each in value), key=lambda each: json.dumps(each, sort_keys=True))
    return value


def test_the_whole_vocabulary_comes_back_as_it_was(everything: Place) -> None:
    done = everything.entrant("import", "--tag", "entrant:entrant/everything", "-o", "config/back.yaml")
    assert done.returncode == 0, done.stderr
    assert "✓ Preview: 44 to import, nothing else" in done.stderr
    assert "left as it is" not in done.stderr
    text = (everything.project.root / "config" / "back.yaml").read_text("utf-8")
    assert text.count("its tags say that stack entrant/everything declares it") == 3
    apps = yaml.safe_load(text)["apps"].values()
    certificates = [each for app in apps for each in app.get("certificates", {}).values()]
    assert [set(each) for each in certificates] == [{"path", "adopt"}] * 3, "what was issued here exists, as any other"
    # the state is forgotten: nothing knows of what is there any more
    before = everything.resources("everything")
    everything.pulumi("stack", "rm", "everything", "--yes", "--force", "--preserve-config")
    assert everything.adopted("back") == 44
    after = everything.resources("back")
    [secret] = [id_ for id_, (type_, _) in before.items() if type_.endswith("ApplicationPassword")]
    del before[secret]
    assert f"key_id: {secret}" in text
    for id_, (type_, _) in before.items():
        if type_.endswith("RoleDefinition"):  # the same by another beginning of its id
            before[id_] = (type_, after[id_][1])
    assert after == before


def test_a_tenant_of_forty_apps_is_taken_over_without_a_change(everything: Place) -> None:
    tenant = tenants.make(everything.azure)
    ids = [made["id"] for name, made in tenant.applications.items() if name != "deleted"]
    done = everything.entrant("import", *ids, "-o", "config/forty.yaml")
    assert done.returncode == 0, done.stderr
    assert len(ids) >= 40
    assert everything.adopted("forty") > 90


def test_what_is_new_comes_into_the_file_of_a_stack_that_exists(everything: Place) -> None:
    """The preview is of that stack: only what is new is imported, and the file keeps its comments and its order."""
    graph = Client(everything.azure).graph
    role = {"id": str(uuid.uuid4()), "value": "Read", "displayName": "Read", "description": "d"}
    other = role | {"id": str(uuid.uuid4()), "value": "Other"}
    offered = [
        role | {"allowedMemberTypes": ["Application"], "isEnabled": True},
        other | {"allowedMemberTypes": ["User"]},
    ]
    api = graph("POST", "/applications", {"displayName": "team api", "appRoles": offered})
    principal = graph("POST", "/servicePrincipals", {"appId": api["appId"]})["id"]
    done = everything.entrant("import", "--name", "team *", "-o", "config/team.yaml")
    assert done.returncode == 0, done.stderr
    assert everything.adopted("team") == 2
    file = everything.project.root / "config" / "team.yaml"
    before = f"# Ours.\n{file.read_text('utf-8')}    protect: false   # not yet\n# The end.\n"
    file.write_text(before, "utf-8")
    everything.pulumi("up", "--yes", "--skip-preview", "-s", "team")
    access = {"resourceAppId": api["appId"], "resourceAccess": [{"id": role["id"], "type": "Role"}]}
    client = graph("POST", "/applications", {"displayName": "team client", "requiredResourceAccess": [access]})
    holder = graph("POST", "/servicePrincipals", {"appId": client["appId"]})["id"]
    held = {"principalId": holder, "resourceId": principal, "appRoleId": role["id"]}
    graph("POST", f"/servicePrincipals/{holder}/appRoleAssignments", held)
    there = tenant_now(Client(everything.azure))
    done = everything.entrant("import", "--name", "team *", "--into", "config/team.yaml")
    assert done.returncode == 0, done.stderr
    assert "1 to import, 1 in the file already" in done.stderr
    assert "Preview: 3 to import, nothing else" in done.stderr
    after = file.read_text("utf-8")
    assert [line for line in after.splitlines() if line in before.splitlines() and line] == [
        line for line in before.splitlines() if line
    ]
    assert "- api: team-api\n" in after
    of_azure = [step["op"] for step in everything.steps("team") if step["newState"]["type"].startswith("azure")]
    assert of_azure == ["import"] * 3
    everything.pulumi("up", "--yes", "--skip-preview", "-s", "team")
    assert tenant_now(Client(everything.azure)) == there
    assert {step["op"] for step in everything.steps("team")} == {"same"}
