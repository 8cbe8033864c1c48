"""What is imported is taken over by an `up` that changes nothing: the whole vocabulary, and a tenant of forty apps."""

import json
from typing import Any

import pytest

import local_azure
from entrant.rehearsal import environ
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
    "value": "a certificate, which a provider cannot read back",
}
"""Outputs of a resource that an import cannot have, and why."""


@pytest.fixture(scope="module")
def everything(project: Project) -> Project:
    """A rehearsal of the whole vocabulary."""
    done = project.entrant("rehearse", EXAMPLE, "--propagation", "0")
    assert done.returncode == 0, done.stderr
    return project


def azure(project: Project) -> local_azure.LocalAzure:
    """Its local Azure."""
    return local_azure.start(project.rehearsal("everything").azure)


def settings(project: Project) -> dict[str, str]:
    """The rehearsal's login, backend and plugins, for other stacks than its own."""
    own = project.rehearsal("everything").settings(azure(project))
    return environ({name: value for name, value in own.items() if name != "PULUMI_OPTION_CONFIG_FILE"})


def entrant(project: Project, *arguments: str) -> Any:
    """Run a command as who is signed in to the rehearsal's local Azure."""
    own = settings(project)
    return project.entrant(*arguments, **{name: own[name] for name in own if name != "HOME"})


def pulumi(project: Project, *arguments: str) -> str:
    """Run Pulumi with the rehearsal's backend; what it says."""
    done = project.pulumi("everything", *arguments, PULUMI_OPTION_CONFIG_FILE="")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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


def adopted(project: Project, stack: str) -> int:
    """Take a stack over: imports alone in the plan, an `up` that changes nothing, and nothing to do afterwards; how many."""
    before = tenant_now(Client(azure(project)))
    pulumi(project, "stack", "init", stack)
    planned = pulumi(project, "preview", "-s", stack, "--json")
    steps = json.loads(planned[planned.index("{") :])["steps"]
    of_azure = [step["op"] for step in steps if step["newState"]["type"].startswith("azure")]
    assert set(of_azure) == {"import"}
    pulumi(project, "up", "--yes", "--skip-preview", "-s", stack)
    assert tenant_now(Client(azure(project))) == before
    again = pulumi(project, "preview", "-s", stack, "--json")
    assert {step["op"] for step in json.loads(again[again.index("{") :])["steps"]} == {"same"}
    return len(of_azure)


def resources(project: Project, stack: str) -> dict[str, tuple[str, Any]]:
    """The objects of Azure in a stack's state: by id, type and outputs."""
    exported = json.loads(pulumi(project, "stack", "export", "-s", stack))["deployment"]["resources"]
    found = [each for each in exported if each.get("id") and each["type"].startswith(KINDS)]
    return {each["id"].rpartition("/")[2]: (each["type"], comparable(each["outputs"])) for each in found}


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


def test_the_whole_vocabulary_comes_back_as_it_was(everything: Project) -> None:
    done = entrant(everything, "import", "--tag", "entrant:entrant/everything", "-o", "config/back.yaml")
    assert done.returncode == 0, done.stderr
    assert "✓ Preview: 43 to import, nothing else" in done.stderr
    assert "left as it is" not in done.stderr
    text = (everything.root / "config" / "back.yaml").read_text("utf-8")
    assert text.count("its tags say that stack entrant/everything declares it") == 3
    # the state is forgotten: nothing knows of what is there any more
    before = resources(everything, "everything")
    pulumi(everything, "stack", "rm", "everything", "--yes", "--force", "--preserve-config")
    assert adopted(everything, "back") == 43
    after = resources(everything, "back")
    [secret] = [id_ for id_, (type_, _) in before.items() if type_.endswith("ApplicationPassword")]
    del before[secret]
    assert f"key_id: {secret}" in text
    for id_, resource in before.items():
        found = after[id_]
        if resource[0].endswith("RoleDefinition"):  # the same by another beginning of its id
            assert found[0] == resource[0]
        else:
            assert found == resource
    assert after.keys() == before.keys()


def test_a_tenant_of_forty_apps_is_taken_over_without_a_change(everything: Project) -> None:
    tenant = tenants.make(azure(everything))
    ids = [made["id"] for name, made in tenant.applications.items() if name != "deleted"]
    done = entrant(everything, "import", *ids, "-o", "config/forty.yaml")
    assert done.returncode == 0, done.stderr
    assert len(ids) >= 40
    assert adopted(everything, "forty") > 90
