"""The token endpoint: what it accepts, what it refuses and in which words, and what a token says."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import jwt
import pytest

import local_azure
from entrant.facts.clouds import CLOUDS
from local_azure import LocalAzure
from tests.local_azure.conftest import Client, Identity


def refusal(response: Any) -> tuple[int, str, int]:
    body = response.json()
    assert set(body) == {
        "error",
        "error_description",
        "error_codes",
        "timestamp",
        "trace_id",
        "correlation_id",
        "error_uri",
    }
    assert body["trace_id"] in body["error_description"] and body["correlation_id"] in body["error_description"]
    assert body["error_description"].startswith(f"AADSTS{body['error_codes'][0]}: ")
    return response.status_code, body["error"], body["error_codes"][0]


GRAPH = "https://graph.microsoft.com/.default"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"client_secret": "wrong"}, (401, "invalid_client", 7000215)),
        ({"client_id": str(uuid.uuid4())}, (400, "unauthorized_client", 700016)),
        ({"client_id": "00000003-0000-0000-c000-000000000000"}, (400, "unauthorized_client", 700016)),
        ({"client_id": ""}, (400, "invalid_request", 900144)),
        ({"grant_type": ""}, (400, "invalid_request", 900144)),
        ({"grant_type": "password"}, (400, "unsupported_grant_type", 70003)),
        ({"client_secret": ""}, (401, "invalid_client", 7000216)),
        ({"scope": ""}, (400, "invalid_request", 900144)),
        ({"scope": "https://graph.microsoft.com/User.Read"}, (400, "invalid_scope", 1002012)),
        ({"scope": "https://nobody.example/.default"}, (400, "invalid_resource", 500011)),
        (
            {"scope": "https://graph.microsoft.com/.default https://vault.azure.net/.default"},
            (400, "invalid_scope", 28000),
        ),
        ({"resource": "https://graph.microsoft.com"}, (400, "invalid_request", 901002)),
    ],
)
def test_refusals(deployer: Client, form: dict[str, str], expected: tuple[int, str, int]) -> None:
    """Each wrong request is refused with Entra's status, error and AADSTS code."""
    assert refusal(deployer.ask_token(**({"scope": GRAPH} | form))) == expected


def test_unknown_tenant(deployer: Client, azure: LocalAzure) -> None:
    """A tenant that does not exist is refused at the token endpoint and at the OpenID configuration."""
    other = f"{azure.url}/{uuid.uuid4()}"
    response = deployer.session.post(f"{other}/oauth2/v2.0/token", data={"grant_type": "client_credentials"})
    assert refusal(response) == (400, "invalid_request", 90002)
    assert refusal(deployer.session.get(f"{other}/v2.0/.well-known/openid-configuration")) == (
        400,
        "invalid_tenant",
        90002,
    )


def test_expired_secret(deployer: Client, azure: LocalAzure, state: Any) -> None:
    """A secret whose end has passed is refused as expired, one that has not begun as wrong."""
    own = local_azure.start(state)
    client = Client(own)
    app = client.new_identity()
    body = {"passwordCredential": {"startDateTime": "2030-01-01T00:00:00Z", "endDateTime": "2030-06-01T00:00:00Z"}}
    secret = client.graph("POST", f"/applications/{app.application_id}/addPassword", body)["secretText"]
    them = Client(own, app.client_id, secret)
    assert refusal(them.ask_token(GRAPH)) == (401, "invalid_client", 7000215)
    own.admin("PATCH", "settings", {"clock": {"offset": 5 * 365 * 86400}})
    assert refusal(them.ask_token(GRAPH)) == (401, "invalid_client", 7000222)


def test_removed_secret(deployer: Client, azure: LocalAzure, app: Identity) -> None:
    """A secret stops working when it is removed."""
    them = Client(azure, app.client_id, app.secret)
    assert them.ask_token(GRAPH).status_code == 200
    deployer.graph("POST", f"/applications/{app.application_id}/removePassword", {"keyId": app.key_id})
    assert refusal(them.ask_token(GRAPH)) == (401, "invalid_client", 7000215)


def test_app_without_service_principal(deployer: Client, azure: LocalAzure) -> None:
    """An application without a service principal in the tenant gets no token."""
    app = deployer.graph("POST", "/applications", {"displayName": "lonely"})
    secret = deployer.graph("POST", f"/applications/{app['id']}/addPassword", {})["secretText"]
    assert refusal(Client(azure, app["appId"], secret).ask_token(GRAPH)) == (401, "invalid_client", 7000229)


def test_disabled_service_principal(deployer: Client, azure: LocalAzure, app: Identity) -> None:
    """A disabled service principal gets no token."""
    deployer.graph("PATCH", f"/servicePrincipals/{app.object_id}", {"accountEnabled": False})
    assert refusal(Client(azure, app.client_id, app.secret).ask_token(GRAPH)) == (400, "unauthorized_client", 7000112)


@pytest.mark.parametrize(
    ("scope", "audience"),
    [
        ("https://monitoring.azure.com//.default", "https://monitoring.azure.com/"),
        ("https://monitoring.azure.com/.default", "https://monitoring.azure.com"),
        ("https://management.azure.com//.default openid offline_access profile", "https://management.azure.com/"),
    ],
)
def test_audience_is_the_scope_without_its_last_default(deployer: Client, scope: str, audience: str) -> None:
    """The audience keeps the slashes of the scope, and OpenID scopes beside it change nothing."""
    token = deployer.ask_token(scope).json()["access_token"]
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == audience


def test_v2_token_validates_against_the_published_keys(deployer: Client, azure: LocalAzure) -> None:
    """A token's signature, issuer and audience hold against the OpenID configuration, as a resource server checks them."""
    tenant = f"{azure.url}/{azure.tenant_id}"
    configuration = deployer.session.get(f"{tenant}/.well-known/openid-configuration").json()
    keys = jwt.PyJWKSet.from_dict(deployer.session.get(configuration["jwks_uri"]).json())
    answer = deployer.ask_token(GRAPH).json()
    token = answer["access_token"]
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, ["RS256"], audience="https://graph.microsoft.com", issuer=configuration["issuer"])
    assert answer["expires_in"] == 3599 and answer["token_type"] == "Bearer"
    assert claims["oid"] == claims["sub"] == azure.object_id
    assert claims["appid"] == azure.client_id and claims["tid"] == azure.tenant_id and claims["idtyp"] == "app"
    assert "Application.ReadWrite.All" in claims["roles"]
    assert claims["exp"] - claims["iat"] == 3600


def test_rotated_keys_leave_old_tokens_valid(deployer: Client, azure: LocalAzure) -> None:
    """After a key rotation new tokens have a new key and tokens from before still work."""
    before = deployer.token(fresh=True)
    azure.admin("POST", "keys/rotate")
    after = deployer.token(fresh=True)
    assert jwt.get_unverified_header(before)["kid"] != jwt.get_unverified_header(after)["kid"]
    url = f"{azure.url}/v1.0/applications?$top=1"
    assert deployer.session.get(url, headers={"Authorization": f"Bearer {before}"}).status_code == 200


def test_v1_token(deployer: Client, azure: LocalAzure) -> None:
    """The v1 endpoint takes a resource, keeps it as audience, and answers numbers as strings."""
    url = f"{azure.url}/{azure.tenant_id}/oauth2/token"
    form = {
        "grant_type": "client_credentials",
        "client_id": azure.client_id,
        "client_secret": azure.client_secret,
        "resource": "https://monitoring.azure.com/",
    }
    answer = deployer.session.post(url, data=form).json()
    assert answer["resource"] == "https://monitoring.azure.com/" and answer["expires_in"] == "3599"
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert claims["aud"] == "https://monitoring.azure.com/" and claims["ver"] == "1.0"


def test_basic_authentication(deployer: Client, azure: LocalAzure) -> None:
    """Client id and secret may come in an Authorization header."""
    pair = base64.b64encode(f"{azure.client_id}:{azure.client_secret.replace('~', '%7E')}".encode()).decode()
    response = deployer.session.post(
        f"{azure.url}/{azure.tenant_id}/oauth2/v2.0/token",
        data={"grant_type": "client_credentials", "scope": GRAPH},
        headers={"Authorization": f"Basic {pair}"},
    )
    assert response.status_code == 200


def test_own_api_gets_a_v2_token_with_its_roles(deployer: Client, azure: LocalAzure, app: Identity) -> None:
    """A token for one's own API has the API's id as audience when the API asks for v2 tokens."""
    api = deployer.graph("POST", "/applications", {"displayName": "api", "api": {"requestedAccessTokenVersion": 2}})
    deployer.graph("PATCH", f"/applications/{api['id']}", {"identifierUris": [f"api://{api['appId']}"]})
    deployer.graph("POST", "/servicePrincipals", {"appId": api["appId"]})
    token = Client(azure, app.client_id, app.secret).token(f"api://{api['appId']}/.default")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["aud"] == api["appId"] and claims["ver"] == "2.0" and claims["azp"] == app.client_id
    assert claims["iss"] == f"{azure.url}/{azure.tenant_id}/v2.0"


def test_token_of_another_local_azure_is_refused(deployer: Client, azure: LocalAzure, state: Any) -> None:
    """A token that another local Azure signed opens nothing here."""
    foreign = Client(local_azure.start(state)).token("https://graph.microsoft.com/.default")
    url = f"{azure.url}/v1.0/applications"
    response = deployer.session.get(url, headers={"Authorization": f"Bearer {foreign}"})
    assert response.status_code == 401 and response.json()["error"]["code"] == "InvalidAuthenticationToken"


def test_expired_token_is_refused(state: Any) -> None:
    """A token that has run out is refused at Graph and at Resource Manager in their own words."""
    own = local_azure.start(state)
    client = Client(own)
    client.token()
    own.admin("PATCH", "settings", {"clock": {"offset": 4000}})
    graph = client.call("GET", "/v1.0/applications").json()["error"]
    assert graph["message"] == "Lifetime validation failed, the token is expired."
    arm = client.call("GET", "/subscriptions?api-version=2022-12-01")
    assert arm.status_code == 401 and arm.json()["error"]["code"] == "ExpiredAuthenticationToken"


def test_new_secret_takes_effect_after_the_propagation_delay(state: Any) -> None:
    """With a propagation delay a new secret is refused at first and works later."""
    own = local_azure.start(state, propagation=600)
    client = Client(own)
    app = client.new_identity()
    them = Client(own, app.client_id, app.secret)
    assert refusal(them.ask_token(GRAPH)) == (401, "invalid_client", 7000215)
    own.admin("PATCH", "settings", {"clock": {"offset": 601}})
    assert them.ask_token(GRAPH).status_code == 200


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_token_is_given_for_every_api_that_has_a_name(deployer: Client, cloud: str) -> None:
    """With exactly the audience that was asked for, as in version 1 tokens of Microsoft's own APIs."""
    for name, audience in CLOUDS[cloud].audiences.items():
        answer = deployer.ask_token(CLOUDS[cloud].scope(name))
        assert answer.status_code == 200, f"{name}: {answer.text}"
        assert jwt.decode(answer.json()["access_token"], options={"verify_signature": False})["aud"] == audience


def test_a_token_for_one_api_of_azure_monitor_is_none_for_the_other(deployer: Client) -> None:
    path = f"/subscriptions/{deployer.azure.subscription_id}/metrics:getBatch"
    refused = deployer.call("POST", path, {"resourceids": []}, scope="https://monitoring.azure.com//.default")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "InvalidAuthenticationTokenAudience")
    heard = deployer.call("POST", path, {"resourceids": []}, scope="https://metrics.monitor.azure.com/.default")
    assert heard.status_code == 400
