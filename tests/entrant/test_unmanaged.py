"""What is there and nobody declared, against the local Azure."""

from dataclasses import replace
from typing import Any

import pytest

import local_azure
from entrant.access import deployer, trials
from entrant.access.directory import Directory
from entrant.drift import unmanaged
from entrant.facts.clouds import Cloud
from entrant.outputs import App, Outputs
from tests.entrant.test_access import PUBLISHER, READER, Estate, cloud, environ
from tests.local_azure.conftest import Client

__all__ = ["cloud", "environ"]

GRAPH = "00000003-0000-0000-c000-000000000000"


def stack(*apps: App) -> Outputs:
    """The outputs of a stack with these apps and without owners, groups and directory roles."""
    none: dict[str, Any] = {
        "owners": {"registration": [], "service_principal": []},
        "groups": [],
        "directory_roles": [],
    }
    return Outputs(apps[0].tenant_id, "public", {app.name: replace(app, **none) for app in apps})


@pytest.fixture
def who(cloud: Cloud, environ: dict[str, str]) -> deployer.Deployer:
    found = deployer.find(cloud, environ)
    assert found is not None
    return found


def kinds(look: unmanaged.Look) -> dict[str, str]:
    return {item.kind: item.what for item in look.found}


def test_what_nobody_declared_is_found(azure: local_azure.LocalAzure, who: deployer.Deployer) -> None:
    estate = Estate(azure, "watched")
    declared = estate.grant(READER, "Reader", estate.workspace)
    app = estate.with_grants(declared)
    assert unmanaged.look(stack(app), who) == unmanaged.Look((), ())
    assignment = estate.client.grant(PUBLISHER, estate.machine, estate.identity.object_id)["id"]
    added = estate.client.call(
        "POST", f"/v1.0/applications/{app.object_id}/addPassword", {"passwordCredential": {"displayName": "manually"}}
    ).json()
    found = {(item.kind, item.id): item.what for item in unmanaged.look(stack(app), who).found}
    assert found.keys() == {("secret", added["keyId"]), ("role", assignment)}
    assert found["secret", added["keyId"]].startswith('"manually", valid until ')
    assert found["role", assignment] == f"Monitoring Metrics Publisher on {estate.machine}"
    assert added["secretText"] not in str(found)
    kept = {"kind": "secret", "key_id": added["keyId"].upper(), "name": "manually", "ends": "2099-01-01T00:00:00Z"}
    [left] = unmanaged.look(stack(replace(app, kept_credentials=(kept,))), who).found
    assert left.kind == "role", "a secret that the file keeps is known"


def test_a_federated_credential_is_known_by_its_id_whatever_it_is_called_in_azure(
    azure: local_azure.LocalAzure, who: deployer.Deployer
) -> None:
    """One that was renamed in the file keeps its name in Azure."""
    estate = Estate(azure, "renamed")
    app = estate.with_grants()
    path = f"/applications/{app.object_id}/federatedIdentityCredentials"
    ids = []
    for name in ("first-name", "by-hand"):
        body = {"name": name, "issuer": "https://i.example.com", "subject": name, "audiences": ["a"]}
        ids.append(estate.client.graph("POST", path, body)["id"])
    declared = {"kind": "federated", "name": "second-name", "key_id": ids[0]}
    app = replace(app, credentials=(*app.credentials, declared))
    assert [(item.kind, item.id) for item in unmanaged.look(stack(app), who).found] == [
        ("federated credential", ids[1])
    ]


def test_of_an_app_without_a_service_principal_the_registration_alone_is_looked_at(
    azure: local_azure.LocalAzure, who: deployer.Deployer
) -> None:
    client = Client(azure)
    made = client.graph("POST", "/applications", {"displayName": "no principal"})
    app = App("alone", azure.tenant_id, made["appId"], object_id=made["id"], service_principal_id="")
    assert unmanaged.look(stack(app), who) == unmanaged.Look((), ())
    secret = client.graph("POST", f"/applications/{made['id']}/addPassword", {"passwordCredential": {}})
    before = azure.requests()[-1]["number"]
    assert [item.id for item in unmanaged.look(stack(app), who).found] == [secret["keyId"]]
    paths = [each["path"] for each in azure.requests(after=before)]
    assert not [path for path in paths if path.startswith("/v1.0/servicePrincipals")]


def test_an_assignment_whose_principal_is_gone_is_an_orphan(
    azure: local_azure.LocalAzure, who: deployer.Deployer
) -> None:
    estate, other = Estate(azure, "kept"), Estate(azure, "left")
    app = estate.with_grants(estate.grant(READER, "Reader", estate.workspace))
    orphan = other.client.grant(READER, estate.workspace, other.identity.object_id)["id"]
    other.client.call("DELETE", f"/v1.0/servicePrincipals/{other.identity.object_id}")
    assert [(item.kind, item.id) for item in unmanaged.look(stack(app), who).found] == [("orphan", orphan)]


def test_a_secret_of_the_service_principal_is_found_which_the_portal_does_not_show(
    azure: local_azure.LocalAzure, who: deployer.Deployer
) -> None:
    estate = Estate(azure, "behind")
    path = f"/servicePrincipals/{estate.app.service_principal_id}/addPassword"
    estate.client.graph("POST", path, {"passwordCredential": {"displayName": "back door"}})
    [item] = unmanaged.look(stack(estate.app), who).found
    assert item.kind == "secret"
    assert item.what.startswith('"back door", valid until ') and item.what.endswith(" (of the service principal)")


def user(azure: local_azure.LocalAzure, client: Client, name: str) -> str:
    azure.admin("POST", "ensure", {"users": [name]})
    [found] = client.graph("GET", f"/users?$filter=userPrincipalName eq '{name}'")["value"]
    return str(found["id"])


def consent(client: Client, principal: str | None, api: str, role: str) -> None:
    body = {"principalId": principal, "resourceId": api, "appRoleId": role}
    client.graph("POST", f"/servicePrincipals/{principal}/appRoleAssignments", body)


def test_a_consent_is_told_by_api_and_not_by_its_name_alone(
    azure: local_azure.LocalAzure, who: deployer.Deployer
) -> None:
    """Two APIs of the same stack offer a permission of the same name; one is declared."""
    estate, known, other = Estate(azure, "asking"), Estate(azure, "known-api"), Estate(azure, "other-api")
    role = {"allowedMemberTypes": ["Application"], "displayName": "Read", "description": "Read", "value": "Data.Read"}
    for number, api in enumerate((known, other)):
        identity = f"00000000-0000-4000-8000-00000000000{number}"
        roles = {"appRoles": [role | {"id": identity, "isEnabled": True}]}
        estate.client.graph("PATCH", f"/applications/{api.app.object_id}", roles)
        consent(estate.client, estate.app.service_principal_id, str(api.app.service_principal_id), identity)
    declared = {"api": "known-api", "kind": "application", "name": "Data.Read", "consent": True}
    app = replace(estate.app, permissions=(declared,))
    look = unmanaged.look(stack(app, known.app, other.app), who)
    assert kinds(look) == {"consent": "Data.Read at other-api"}


@pytest.mark.parametrize("kind", ["application", "delegated"])
def test_a_consent_is_known_by_the_permissions_id_too(
    azure: local_azure.LocalAzure, who: deployer.Deployer, cloud: Cloud, kind: str
) -> None:
    """As a file may have it, and in outputs whatever its case: declared for `drift`, and there for `check`."""
    estate = Estate(azure, f"by-id-{kind}")
    api = estate.client.graph("GET", f"/servicePrincipals(appId='{GRAPH}')")["id"]
    if kind == "application":
        id_ = "DF021288-BDEF-4463-88DB-98F22DE89214"
        consent(estate.client, estate.app.service_principal_id, api, id_.lower())
    else:
        id_ = "E1FE6DD8-BA31-4D61-89E7-88639DA4683D"
        grant = {"clientId": estate.app.service_principal_id, "resourceId": api, "scope": "User.Read"}
        estate.client.graph("POST", "/oauth2PermissionGrants", grant | {"consentType": "AllPrincipals"})
    declared = {"api": "Microsoft Graph", "kind": kind, "name": id_, "consent": True}
    app = replace(estate.app, permissions=(declared,))
    assert unmanaged.look(stack(app), who).found == ()
    directory = Directory(who)
    [found] = [
        proof
        for proof in trials.check([app], lambda _: cloud, directory=directory, write=False, stack="dev")
        if proof.layer == "permission"
    ]
    assert (found.state, found.evidence.rpartition("; ")[2]) == ("seen", "the directory has the consent")
    other = replace(estate.app, permissions=(declared | {"name": GRAPH},))
    assert [item.kind for item in unmanaged.look(stack(other), who).found] == ["consent"]


def test_a_delegated_grant_for_everybody_is_found_and_one_of_a_single_user_is_not(
    azure: local_azure.LocalAzure, who: deployer.Deployer
) -> None:
    estate = Estate(azure, "delegate")
    api = estate.client.graph("GET", f"/servicePrincipals(appId='{GRAPH}')")["id"]
    grant = {"clientId": estate.app.service_principal_id, "resourceId": api}
    declared = {"api": "Microsoft Graph", "kind": "delegated", "name": "User.Read", "consent": True}
    app = replace(estate.app, permissions=(declared,))
    eve = user(azure, estate.client, "eve@example.com")
    own = grant | {"consentType": "Principal", "principalId": eve, "scope": "Files.Read"}
    estate.client.graph("POST", "/oauth2PermissionGrants", own)
    assert unmanaged.look(stack(app), who).found == ()
    wide = grant | {"consentType": "AllPrincipals", "scope": "User.Read Mail.Read"}
    estate.client.graph("POST", "/oauth2PermissionGrants", wide)
    assert kinds(unmanaged.look(stack(app), who)) == {
        "consent": "Mail.Read at Microsoft Graph (delegated, for every user)"
    }


def test_owners_of_registration_and_service_principal_are_found(
    azure: local_azure.LocalAzure, who: deployer.Deployer
) -> None:
    estate, declared = Estate(azure, "owned"), Estate(azure, "declared-owner")
    mallory = user(azure, estate.client, "mallory@example.com")
    principal = str(declared.app.service_principal_id)
    for path in (f"/applications/{estate.app.object_id}", f"/servicePrincipals/{estate.app.service_principal_id}"):
        for owner in (mallory, principal):
            reference = {"@odata.id": f"{azure.url}/v1.0/directoryObjects/{owner}"}
            estate.client.graph("POST", f"{path}/owners/$ref", reference)
    outputs = stack(estate.app)
    owners = {"registration": [principal.upper()], "service_principal": [principal]}
    app = replace(outputs.apps["owned"], owners=owners)
    look = unmanaged.look(Outputs(outputs.tenant_id, "public", {"owned": app}), who)
    assert sorted(item.what for item in look.found) == [
        "mallory@example.com (of the registration)",
        "mallory@example.com (of the service principal)",
    ]
    assert {item.id for item in look.found} == {mallory}


def test_groups_and_directory_roles_are_found(azure: local_azure.LocalAzure, who: deployer.Deployer) -> None:
    estate = Estate(azure, "joined")
    group = {"displayName": "Admins", "mailEnabled": False, "mailNickname": "admins", "securityEnabled": True}
    made = estate.client.graph("POST", "/groups", group)["id"]
    principal = str(estate.app.service_principal_id)
    reference = {"@odata.id": f"{azure.url}/v1.0/directoryObjects/{principal}"}
    estate.client.graph("POST", f"/groups/{made}/members/$ref", reference)
    readers = "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"
    role = {"principalId": principal, "roleDefinitionId": readers, "directoryScopeId": "/"}
    estate.client.graph("POST", "/roleManagement/directory/roleAssignments", role)
    outputs = stack(estate.app)
    assert kinds(unmanaged.look(outputs, who)) == {"group": "Admins", "directory role": "Directory Readers"}
    known = {"groups": [made.upper()], "directory_roles": [{"role_id": readers, "administrative_unit": None}]}
    app = replace(outputs.apps["joined"], **known)  # type: ignore[arg-type]
    assert unmanaged.look(Outputs(outputs.tenant_id, "public", {"joined": app}), who) == unmanaged.Look((), ())


def test_a_role_in_another_subscription_is_found(azure: local_azure.LocalAzure, who: deployer.Deployer) -> None:
    estate = Estate(azure, "elsewhere")
    far = "/subscriptions/0d0f1f0c-7b1a-4f54-9f0a-2f8f6d6f0a11/resourceGroups/rg-far"
    azure.ensure([far])
    app = estate.with_grants(estate.grant(READER, "Reader", estate.workspace))
    assignment = estate.client.grant(PUBLISHER, far, estate.identity.object_id)["id"]
    [item] = unmanaged.look(stack(app), who).found
    assert (item.kind, item.id, item.what) == ("role", assignment, f"Monitoring Metrics Publisher on {far}")


def test_an_app_that_is_gone_has_nothing_undeclared(azure: local_azure.LocalAzure, who: deployer.Deployer) -> None:
    estate = Estate(azure, "vanished")
    estate.client.graph("DELETE", f"/applications/{estate.app.object_id}")
    assert unmanaged.look(stack(estate.app), who) == unmanaged.Look((), ())


def test_what_the_deployer_may_not_see_is_told(
    azure: local_azure.LocalAzure, cloud: Cloud, environ: dict[str, str]
) -> None:
    estate = Estate(azure, "poor-seer")
    own = {"ARM_CLIENT_ID": estate.app.client_id, "ARM_CLIENT_SECRET": str(estate.app.secret)}
    poor = deployer.find(cloud, environ | own)
    assert poor is not None
    look = unmanaged.look(stack(estate.app), poor)
    assert look.found == ()
    assert any(unseen.startswith("credentials: ") for unseen in look.unseen)
    assert any(unseen.startswith("directory roles: ") for unseen in look.unseen)


def test_outputs_of_an_earlier_version_are_told_to_lack_something(
    azure: local_azure.LocalAzure, who: deployer.Deployer
) -> None:
    estate = Estate(azure, "older")
    look = unmanaged.look(Outputs(azure.tenant_id, "public", {"older": estate.app}), who)
    assert "owners: the outputs are of an earlier version; run `pulumi up`" in look.unseen
