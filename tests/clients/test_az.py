"""azure-cli, told only by its documented configuration where Azure is: a cloud registered, a CA bundle, no instance discovery."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_azure import LocalAzure
from tests.clients.az import Az, AzError, endpoints, sign_in, signed_in_to
from tests.passes import Passes

GRAPH = "00000003-0000-0000-c000-000000000000"
USER_READ_ALL = "df021288-bdef-4463-88db-98f22de89214"
"""The application permission User.Read.All of Microsoft Graph."""


@pytest.fixture(scope="module")
def signed_in(azure: LocalAzure, tmp_path_factory: pytest.TempPathFactory) -> Az:
    """az signed in as the deployer, to the cloud that the metadata endpoint describes."""
    return signed_in_to(azure, tmp_path_factory.mktemp("az"))


@pytest.fixture
def az(signed_in: Az, passes: Passes) -> Iterator[Az]:
    """The same az, whose commands go into the table of the test."""
    signed_in.passes = passes
    yield signed_in
    signed_in.passes = None


@pytest.fixture
def stranger(signed_in: Az, azure: LocalAzure, tmp_path: Path, passes: Passes) -> Az:
    """An az that is signed in as nobody, to a cloud whose endpoints were all named."""
    az = Az(signed_in.folder, tmp_path, signed_in.bundle, passes)
    az("cloud register", "--name", "Named", *endpoints(azure.url), how="(every endpoint named)")
    az("cloud set", "--name", "Named")
    return az


@pytest.fixture(scope="module")
def group(signed_in: Az) -> str:
    """The id of a resource group."""
    return str(signed_in("group create", "--name", "rg-az", "--location", "westeurope")["id"])


def test_the_deployer_signs_in_to_the_cloud_that_the_metadata_describes(
    az: Az, azure: LocalAzure, passes: Passes
) -> None:
    for command in az.done:
        passes("azure-cli", command)
    assert az("cloud show")["endpoints"]["microsoftGraphResourceId"] == azure.url
    account = az("account show")
    assert (account["id"], account["tenantId"], account["user"]["type"]) == (
        azure.subscription_id,
        azure.tenant_id,
        "servicePrincipal",
    )
    assert [one["id"] for one in az("account list")] == [azure.subscription_id]
    az("account set", "--subscription", azure.subscription_id)
    assert "westeurope" in [one["name"] for one in az("account list-locations")]


@pytest.mark.parametrize(
    "how",
    [
        (),
        ("--resource", "https://monitoring.azure.com/"),
        ("--resource", "https://api.loganalytics.io"),
        ("--resource-type", "ms-graph"),
        ("--scope", "https://vault.azure.net/.default"),
    ],
)
def test_tokens_for_several_resources(az: Az, how: tuple[str, ...]) -> None:
    token = az("account get-access-token", *how)
    assert token["tokenType"] == "Bearer" and token["accessToken"].count(".") == 2


def test_an_app_registration_from_start_to_end(az: Az) -> None:
    roles = [{"allowedMemberTypes": ["Application"], "description": "d", "displayName": "Read", "value": "Read"}]
    access = [{"resourceAppId": GRAPH, "resourceAccess": [{"id": USER_READ_ALL, "type": "Role"}]}]
    made = az(
        "ad app create",
        *("--display-name", "az app", "--sign-in-audience", "AzureADMyOrg"),
        *("--web-redirect-uris", "https://localhost/callback", "--enable-id-token-issuance", "true"),
        *("--app-roles", json.dumps(roles), "--required-resource-accesses", json.dumps(access)),
    )
    app, uri = made["appId"], f"api://{made['appId']}"
    assert [role["value"] for role in made["appRoles"]] == ["Read"]
    for how in (["--display-name", "az app"], ["--app-id", app], ["--filter", "startswith(displayName,'az a')"]):
        assert [one["appId"] for one in az("ad app list", *how)] == [app]
    az("ad app update", "--id", app, "--display-name", "az app, renamed", "--identifier-uris", uri)
    az("ad app update", "--id", made["id"], "--set", "notes=kept")
    for name in (app, made["id"], uri):
        shown = az("ad app show", "--id", name)
        assert (shown["appId"], shown["displayName"], shown["notes"]) == (app, "az app, renamed", "kept")

    assert az("ad app permission list", "--id", app) == access
    scope = "e1fe6dd8-ba31-4d61-89e7-88639da4683d"
    az("ad app permission add", "--id", app, "--api", GRAPH, "--api-permissions", f"{scope}=Scope")
    assert len(az("ad app permission list", "--id", app)[0]["resourceAccess"]) == 2
    az("ad app permission delete", "--id", app, "--api", GRAPH, "--api-permissions", scope)
    assert az("ad app permission list", "--id", app) == access

    az("ad app delete", "--id", app)
    with pytest.raises(AzError, match="does not exist"):
        az("ad app show", "--id", app)


def test_credentials_of_an_app_registration(az: Az) -> None:
    app = az("ad app create", "--display-name", "az credentials")["appId"]
    secret = az("ad app credential reset", "--id", app, "--append", "--display-name", "one", "--years", "1")
    assert secret["appId"] == app and secret["password"]
    (listed,) = az("ad app credential list", "--id", app)
    assert listed["displayName"] == "one" and listed["hint"] == secret["password"][:3]
    az("ad app credential delete", "--id", app, "--key-id", listed["keyId"])
    assert az("ad app credential list", "--id", app) == []
    az("ad app credential reset", "--id", app, "--create-cert", how="--create-cert")
    assert [one["type"] for one in az("ad app credential list", "--id", app, "--cert")] == ["AsymmetricX509Cert"]

    trust = {
        "name": "github",
        "issuer": "https://token.actions.githubusercontent.com",
        "subject": "repo:contoso/obs:ref:refs/heads/main",
        "audiences": ["api://AzureADTokenExchange"],
    }
    made = az("ad app federated-credential create", "--id", app, "--parameters", json.dumps(trust))
    assert made["subject"] == trust["subject"]
    chosen = ["--id", app, "--federated-credential-id", "github"]
    changed = {**trust, "subject": "repo:contoso/obs:environment:dev"}
    az("ad app federated-credential update", *chosen, "--parameters", json.dumps(changed))
    assert az("ad app federated-credential show", *chosen)["subject"] == changed["subject"]
    assert [one["name"] for one in az("ad app federated-credential list", "--id", app)] == ["github"]
    az("ad app federated-credential delete", *chosen)
    assert az("ad app federated-credential list", "--id", app) == []


def test_owners_of_an_app_registration(az: Az, azure: LocalAzure) -> None:
    app = az("ad app create", "--display-name", "az owned")["appId"]
    owner = ["--id", app, "--owner-object-id", azure.object_id]
    az("ad app owner add", *owner)
    assert [one["id"] for one in az("ad app owner list", "--id", app)] == [azure.object_id]
    az("ad app owner remove", *owner)
    assert az("ad app owner list", "--id", app) == []


def test_a_service_principal_from_start_to_end(az: Az) -> None:
    app = az("ad app create", "--display-name", "az principal")["appId"]
    made = az("ad sp create", "--id", app)
    for how in (["--display-name", "az principal"], ["--spn", app], ["--filter", f"appId eq '{app}'"]):
        assert [one["id"] for one in az("ad sp list", *how)] == [made["id"]]
    az("ad sp update", "--id", made["id"], "--set", "notes=kept")
    assert az("ad sp show", "--id", app)["notes"] == "kept"
    assert az("ad sp show", "--id", GRAPH)["displayName"] == "Microsoft Graph"
    assert az("ad sp owner list", "--id", app) == []

    secret = az("ad sp credential reset", "--id", app, "--append")
    assert secret["password"]
    (listed,) = az("ad sp credential list", "--id", app)
    az("ad sp credential delete", "--id", app, "--key-id", listed["keyId"])
    assert az("ad sp credential list", "--id", app) == []

    az("ad app permission grant", "--id", app, "--api", GRAPH, "--scope", "User.Read")
    (grant,) = az("ad app permission list-grants", "--id", app, "--show-resource-name")
    assert (grant["scope"], grant["resourceDisplayName"]) == ("User.Read", "Microsoft Graph")

    az("ad sp delete", "--id", app)
    assert az("ad sp list", "--spn", app) == []


def test_create_for_rbac_makes_what_signs_in(az: Az, azure: LocalAzure, group: str, stranger: Az) -> None:
    """An app with a role and a secret, one with a role and a certificate; both sign in, and see what they may read."""
    role = ["--role", "Reader", "--scopes", group]
    with_secret = az("ad sp create-for-rbac", "--name", "az with secret", *role, how="--role --scopes")
    (subscription,) = sign_in(stranger, azure.tenant_id, with_secret["appId"], secret=with_secret["password"])
    assert subscription["id"] == azure.subscription_id
    assert [one["id"] for one in stranger("group list")] == [group]
    with pytest.raises(AzError, match="AuthorizationFailed"):
        stranger("group delete", "--name", "rg-az", "--yes")

    with_certificate = az(
        "ad sp create-for-rbac", "--name", "az with certificate", *role, "--create-cert", how="--create-cert"
    )
    file = with_certificate["fileWithCertAndPrivateKey"]
    (subscription,) = sign_in(stranger, azure.tenant_id, with_certificate["appId"], "--certificate", file)
    assert subscription["user"]["name"] == with_certificate["appId"]
    stranger("logout")
    assert stranger("account list") == []


def test_a_federated_token_signs_in(az: Az, azure: LocalAzure, stranger: Az) -> None:
    app = az("ad app create", "--display-name", "az federated")["appId"]
    az("ad sp create", "--id", app)
    trust = {
        "name": "github",
        "issuer": "https://token.actions.githubusercontent.com",
        "subject": "repo:contoso/obs:environment:dev",
        "audiences": ["api://AzureADTokenExchange"],
    }
    az("ad app federated-credential create", "--id", app, "--parameters", json.dumps(trust))
    who = ["--username", app, "--tenant", azure.tenant_id, "--allow-no-subscriptions"]
    login = ["login --service-principal", *who, "--federated-token"]
    with pytest.raises(AzError, match="AADSTS7002"):
        stranger(*login, azure.assertion("repo:mallory/obs:environment:dev"))
    (account,) = stranger(*login, azure.assertion("repo:contoso/obs:environment:dev"), how="--federated-token")
    assert account["user"]["name"] == app
    token = stranger("account get-access-token", "--resource", "https://api.loganalytics.io")
    assert token["tenant"] == azure.tenant_id


def test_groups_and_users_of_the_directory(az: Az, azure: LocalAzure) -> None:
    group = az("ad group create", "--display-name", "az group", "--mail-nickname", "az-group")
    assert az("ad group show", "--group", "az group")["id"] == group["id"]
    assert group["id"] in [one["id"] for one in az("ad group list", "--filter", "startswith(displayName,'az')")]
    member = ["--group", group["id"], "--member-id", azure.object_id]
    az("ad group member add", *member)
    assert az("ad group member check", *member) == {"value": True}
    assert [one["id"] for one in az("ad group member list", "--group", group["id"])] == [azure.object_id]
    az("ad group member remove", *member)
    assert az("ad group owner list", "--group", group["id"]) == []
    az("ad group delete", "--group", group["id"])

    domain = az("rest", "--url", f"{azure.url}/v1.0/domains")["value"][0]["id"]
    name = f"az-user@{domain}"
    az("ad user create", "--display-name", "az user", "--user-principal-name", name, secret="Aa1!azure-cli")
    az("ad user update", "--id", name, "--display-name", "az user, renamed")
    assert az("ad user show", "--id", name)["displayName"] == "az user, renamed"
    az("ad user delete", "--id", name)
    assert name not in [one["userPrincipalName"] for one in az("ad user list")]


def test_managed_identities(az: Az, group: str) -> None:
    """A service principal without a registration, which goes with its resource."""
    what = ["--name", "az-identity", "--resource-group", "rg-az"]
    made = az("identity create", *what, "--location", "westeurope")
    principal = az("ad sp show", "--id", made["clientId"])
    assert (principal["id"], principal["servicePrincipalType"]) == (made["principalId"], "ManagedIdentity")
    az("identity update", *what, "--tags", "a=b", how="--tags")
    assert az("identity show", *what)["principalId"] == made["principalId"]
    assert [one["id"] for one in az("identity list", "--resource-group", "rg-az")] == [made["id"]]
    az("role assignment create", "--assignee", made["principalId"], "--role", "Reader", "--scope", group)
    az("identity delete", *what)
    with pytest.raises(AzError, match="does not exist"):
        az("ad sp show", "--id", made["clientId"])


def test_management_groups(az: Az) -> None:
    """Without `--no-register` az sleeps ten seconds in each of these commands."""
    group = ["--name", "az-teams", "--no-register"]
    made = az("account management-group create", *group, "--display-name", "Teams")
    assert az("account management-group show", *group)["id"] == made["id"]
    assert "az-teams" in [one["name"] for one in az("account management-group list", "--no-register")]
    app = az("ad sp create-for-rbac", "--name", "az of teams", "--role", "Reader", "--scopes", made["id"])["appId"]
    (held,) = az("role assignment list", "--assignee", app, "--scope", made["id"])
    assert held["roleDefinitionName"] == "Reader"
    az("role assignment delete", "--ids", held["id"])
    az("account management-group delete", *group)


def test_role_assignments(az: Az, group: str) -> None:
    app = az("ad sp create-for-rbac", "--name", "az roles")["appId"]
    principal = az("ad sp show", "--id", app)["id"]
    made = az("role assignment create", "--assignee", app, "--role", "Monitoring Metrics Publisher", "--scope", group)
    who = ["--assignee-object-id", principal, "--assignee-principal-type", "ServicePrincipal"]
    az("role assignment create", *who, "--role", "Contributor", "--scope", group, "--description", "for a test")
    again = az("role assignment create", *who, "--role", "Contributor", "--scope", group)
    assert again["description"] == "for a test", "an assignment that exists is shown"
    everywhere = az("role assignment list", "--assignee", app, "--all")
    assert sorted(one["roleDefinitionName"] for one in everywhere) == ["Contributor", "Monitoring Metrics Publisher"]
    assert {one["principalName"] for one in everywhere} == {app}
    az("role assignment delete", "--ids", made["id"])
    az("role assignment delete", "--assignee", app, "--role", "Contributor", "--scope", group)
    assert az("role assignment list", "--assignee", app, "--all") == []
    inherited = az("role assignment list", "--resource-group", "rg-az", "--include-inherited", "--include-groups")
    assert "Owner" in [one["roleDefinitionName"] for one in inherited]


def test_role_definitions(az: Az, azure: LocalAzure) -> None:
    (reader,) = az("role definition list", "--name", "Reader")
    assert (reader["roleType"], reader["permissions"][0]["actions"]) == ("BuiltInRole", ["*/read"])
    wanted: dict[str, Any] = {
        "Name": "az role",
        "Description": "first",
        "Actions": ["Microsoft.OperationalInsights/workspaces/read"],
        "AssignableScopes": [f"/subscriptions/{azure.subscription_id}"],
    }
    az("role definition create", "--role-definition", json.dumps(wanted))
    az("role definition update", "--role-definition", json.dumps(wanted | {"Description": "second"}))
    (custom,) = az("role definition list", "--custom-role-only", "--name", "az role")
    assert (custom["roleName"], custom["description"]) == ("az role", "second")
    assert az("role definition show", "--id", custom["id"])["name"] == custom["name"]
    az("role definition delete", "--name", "az role")
    assert az("role definition list", "--name", "az role") == []


def test_groups_and_resources(az: Az) -> None:
    made = az("group create", "--name", "rg-az-life", "--location", "westeurope", "--tags", "a=b")
    assert made["tags"] == {"a": "b"} and az("group exists", "--name", "rg-az-life") is True
    assert az("group update", "--name", "rg-az-life", "--set", "tags.c=d")["tags"] == {"a": "b", "c": "d"}
    assert az("group show", "--name", "rg-az-life")["id"] == made["id"]
    assert made["id"] in [one["id"] for one in az("group list")]

    what = ["--resource-group", "rg-az-life", "--name", "store", "--resource-type", "Microsoft.Storage/storageAccounts"]
    az("resource create", *what, "--location", "westeurope", "--properties", '{"minimumTlsVersion": "TLS1_2"}')
    assert az("resource show", *what)["properties"]["minimumTlsVersion"] == "TLS1_2"
    assert az("resource tag", *what, "--tags", "x=y")["tags"] == {"x": "y"}
    assert [one["name"] for one in az("resource list", "--resource-group", "rg-az-life")] == ["store"]
    az("resource delete", *what)
    assert az("resource list", "--resource-group", "rg-az-life") == []

    az("group delete", "--name", "rg-az-life", "--yes")
    with pytest.raises(AzError, match="ResourceGroupNotFound"):
        az("group show", "--name", "rg-az-life")


def test_resource_providers(az: Az) -> None:
    assert "Microsoft.OperationalInsights" in [one["namespace"] for one in az("provider list")]
    az("provider register", "--namespace", "Microsoft.Storage")
    found = az("provider show", "--namespace", "Microsoft.Storage")
    assert found["registrationState"] == "Registered"
    assert "storageAccounts" in [one["resourceType"] for one in found["resourceTypes"]]


def test_a_workspace_and_its_rows(az: Az, azure: LocalAzure, group: str, passes: Passes) -> None:
    """`az monitor log-analytics query` is an extension that no package registry has; `az rest` asks the same API."""
    where = ["--resource-group", "rg-az", "--workspace-name", "law-az"]
    made = az("monitor log-analytics workspace create", *where)
    assert made["customerId"] == az("monitor log-analytics workspace show", *where)["customerId"]
    az("monitor log-analytics workspace update", *where, "--retention-time", "60")
    (listed,) = az("monitor log-analytics workspace list", "--resource-group", "rg-az")
    assert listed["retentionInDays"] == 60
    assert az("monitor log-analytics workspace get-shared-keys", *where)["primarySharedKey"]
    answer = az(
        "rest",
        *("--method", "post", "--url", f"{azure.url}/v1/workspaces/{made['customerId']}/query"),
        *("--resource", "https://api.loganalytics.io", "--body", '{"query": "Heartbeat | take 2"}'),
    )
    assert len(answer["tables"][0]["rows"]) == 2
    az("monitor log-analytics workspace delete", *where, "--yes")
    assert az("monitor log-analytics workspace list", "--resource-group", "rg-az") == []


def test_rest_speaks_to_graph_and_to_resource_manager(az: Az, azure: LocalAzure, group: str) -> None:
    graph = az("rest", "--url", f"{azure.url}/v1.0/organization")
    assert graph["value"][0]["id"] == azure.tenant_id
    with pytest.raises(AzError, match="only valid with delegated"):
        az("ad app list", "--show-mine")
    groups = az("rest", "--url", "/subscriptions/{subscriptionId}/resourcegroups?api-version=2021-04-01")
    assert group in [one["id"] for one in groups["value"]]
