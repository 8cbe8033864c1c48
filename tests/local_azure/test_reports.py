"""The report of the last sign-in with each credential, made of the token requests that were answered here."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

import local_azure
from tests.local_azure import test_assertions as assertions
from tests.local_azure.conftest import Client, Identity

PATH = "/beta/reports/appCredentialSignInActivities"
GRAPH = "00000003-0000-0000-c000-000000000000"


@pytest.fixture(autouse=True)
def prompt(azure: local_azure.LocalAzure) -> None:
    azure.set_propagation(0)


def activities(client: Client, query: str = "") -> list[dict[str, Any]]:
    found = client.call("GET", PATH + query)
    assert found.status_code == 200, found.text
    return list(found.json()["value"])


def test_a_token_leaves_a_trace_of_the_secret_that_got_it(
    azure: local_azure.LocalAzure, deployer: Client, app: Identity
) -> None:
    mine = f"?$filter=appId eq '{app.client_id}'"
    assert activities(deployer, mine) == []
    refused = Client(azure, app.client_id, "wrong").ask_token("https://graph.microsoft.com/.default")
    assert refused.status_code == 401
    assert activities(deployer, mine) == []
    Client(azure, app.client_id, app.secret).token()
    [first] = activities(deployer, mine)
    [graph] = deployer.graph("GET", f"/servicePrincipals?$filter=appId eq '{GRAPH}'")["value"]
    assert {name: first[name] for name in first if name not in ("signInActivity", "createdDateTime")} == {
        "@odata.type": "#microsoft.graph.appCredentialSignInActivity",
        "id": base64.b64encode(f"{app.key_id}|application".encode()).decode(),
        "keyId": app.key_id,
        "keyType": "clientSecret",
        "keyUsage": "sign",
        "appId": app.client_id,
        "appObjectId": app.application_id,
        "servicePrincipalObjectId": app.object_id,
        "resourceId": graph["id"],
        "credentialOrigin": "application",
        "expirationDateTime": first["expirationDateTime"],
    }
    assert first["signInActivity"]["lastSignInDateTime"].endswith("Z")
    again = f"{PATH}/{first['id']}"
    assert deployer.call("GET", again).json()["signInActivity"] == first["signInActivity"]
    Client(azure, app.client_id, app.secret).token()
    [second] = activities(deployer, f"?$filter=keyId eq '{app.key_id}'")
    assert second["signInActivity"]["lastSignInRequestId"] != first["signInActivity"]["lastSignInRequestId"]


def test_a_certificate_leaves_one_too_and_a_secret_of_the_service_principal(
    azure: local_azure.LocalAzure, deployer: Client, app: Identity
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    cert = assertions.certificate(key)
    assertions.declare(deployer, app, cert)
    client = Client(azure, app.client_id, app.secret)
    assert assertions.ask(client, assertions.assertion(azure, app, key, cert)).status_code == 200
    path = f"/servicePrincipals/{app.object_id}/addPassword"
    behind = deployer.graph("POST", path, {"passwordCredential": {"displayName": "behind"}})
    Client(azure, app.client_id, behind["secretText"]).token()
    found = activities(deployer, f"?$filter=appId eq '{app.client_id}'")
    kinds = {(one["keyType"], one["keyUsage"], one["credentialOrigin"]) for one in found}
    assert kinds == {("certificate", "verify", "application"), ("clientSecret", "sign", "servicePrincipal")}
    assert behind["keyId"] in {one["keyId"] for one in found}


def test_it_is_in_beta_and_takes_the_right_to_read_the_log(
    azure: local_azure.LocalAzure, deployer: Client, app: Identity
) -> None:
    assert deployer.call("GET", PATH.replace("/beta", "/v1.0")).status_code == 400
    assert Client(azure, app.client_id, app.secret).call("GET", PATH).status_code == 403
    [graph] = deployer.graph("GET", f"/servicePrincipals?$filter=appId eq '{GRAPH}'")["value"]
    role = next(one["id"] for one in graph["appRoles"] if one["value"] == "AuditLog.Read.All")
    grant = {"principalId": app.object_id, "resourceId": graph["id"], "appRoleId": role}
    deployer.graph("POST", f"/servicePrincipals/{app.object_id}/appRoleAssignments", grant)
    assert Client(azure, app.client_id, app.secret).call("GET", PATH).status_code == 200


@pytest.fixture
def free(azure: local_azure.LocalAzure) -> Iterator[None]:
    azure.admin("PATCH", "settings", {"premium": False})
    yield
    azure.admin("PATCH", "settings", {"premium": True})


def test_a_tenant_without_a_licence_is_told_nothing(free: None, deployer: Client) -> None:
    refused = deployer.call("GET", PATH)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "Authentication_RequestFromNonPremiumTenantOrB2CTenant"
