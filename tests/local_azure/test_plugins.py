"""The stand-in plugins over the engine's protocol, on the local Azure."""

from __future__ import annotations

import datetime
import importlib
import inspect
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from pulumi.runtime.proto import provider_pb2

import local_azure
from local_azure.plugins.values import UNKNOWN, decode, encode
from tests.local_azure.conftest import READER, Client
from tests.local_azure.plugin_process import Plugin, Refused, environ

APPLICATION = "azuread:index/application:Application"
PRINCIPAL = "azuread:index/servicePrincipal:ServicePrincipal"
PASSWORD = "azuread:index/applicationPassword:ApplicationPassword"
CERTIFICATE = "azuread:index/applicationCertificate:ApplicationCertificate"
KNOWN_CLIENTS = "azuread:index/applicationKnownClients:ApplicationKnownClients"
PRE_AUTHORIZED = "azuread:index/applicationPreAuthorized:ApplicationPreAuthorized"
MEMBER = "azuread:index/groupMember:GroupMember"
ASSIGNMENT = "azure-native:authorization:RoleAssignment"
DEFINITION = "azure-native:authorization:RoleDefinition"
RESOURCE_GROUP = "azure-native:resources:ResourceGroup"
GRAPH_APP_ID = "00000003-0000-0000-c000-000000000000"
ROLE_ID = "10000000-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def azuread(azure: local_azure.LocalAzure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    plugin = Plugin(tmp_path_factory.mktemp("home"), "azuread", environ(azure))
    plugin.configure()
    yield plugin
    assert plugin.stop() == ("", "")


@pytest.fixture(scope="module")
def native(azure: local_azure.LocalAzure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    plugin = Plugin(tmp_path_factory.mktemp("home"), "azure-native", environ(azure))
    plugin.configure()
    yield plugin
    assert plugin.stop() == ("", "")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(scope="module")
def registered(azuread: Plugin) -> tuple[str, dict[str, Any]]:
    """An application made by the plugin."""
    made, state, _ = azuread.create(APPLICATION, displayName="registered")
    return made, state


@pytest.fixture(scope="module")
def principal(azuread: Plugin, registered: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Its service principal."""
    made, state, _ = azuread.create(PRINCIPAL, clientId=registered[1]["clientId"])
    return made, state


def settled(plugin: Plugin, token: str, made: str, state: dict[str, Any], inputs: dict[str, Any]) -> bool:
    """Whether the program that made a resource sees no change, neither as it is nor after a refresh."""
    before = plugin.diff(token, made, state, inputs, inputs)
    found, read, refreshed = plugin.read(token, made, state, inputs)
    after = plugin.diff(token, made, read, inputs, refreshed)
    return found == made and not before.detailedDiff and not after.detailedDiff


# Registrations


def test_an_application_is_made_kept_changed_and_removed(azuread: Plugin, deployer: Client) -> None:
    made, state, inputs = azuread.create(APPLICATION, displayName="life", notes="first")
    assert made == f"/applications/{state['objectId']}" and state["id"] == made
    assert settled(azuread, APPLICATION, made, state, inputs)

    news = azuread.checked(APPLICATION, displayName="life", description="second")
    changes = azuread.diff(APPLICATION, made, state, news, inputs)
    assert sorted(changes.detailedDiff) == ["description", "notes"] and not changes.replaces
    state = azuread.update(APPLICATION, made, state, news, inputs)
    assert (state["description"], state["notes"]) == ("second", "")
    assert settled(azuread, APPLICATION, made, state, news)

    azuread.delete(APPLICATION, made, state, news)
    assert azuread.read(APPLICATION, made, state, news) == ("", {}, {})
    deployer.graph("GET", made, status=404)


def test_everything_an_application_says_survives_a_refresh(azuread: Plugin) -> None:
    made, state, inputs = azuread.create(
        APPLICATION,
        displayName="all of it",
        api={
            "requestedAccessTokenVersion": 2,
            "mappedClaimsEnabled": True,
            "oauth2PermissionScopes": [
                {
                    "id": str(uuid.uuid4()),
                    "adminConsentDescription": "d",
                    "adminConsentDisplayName": "D",
                    "value": "Data.Read",
                }
            ],
        },
        appRoles=[
            {
                "id": ROLE_ID,
                "allowedMemberTypes": ["Application"],
                "description": "d",
                "displayName": "Do",
                "value": "Do.It",
            }
        ],
        featureTags=[{"enterprise": True, "hide": True}],
        groupMembershipClaims=["SecurityGroup", "ApplicationGroup"],
        optionalClaims={"accessTokens": [{"name": "email"}]},
        publicClient={"redirectUris": ["http://localhost/"]},
        requiredResourceAccesses=[
            {
                "resourceAppId": GRAPH_APP_ID,
                "resourceAccesses": [{"id": "df021288-bdef-4463-88db-98f22de89214", "type": "Role"}],
            }
        ],
        singlePageApplication={"redirectUris": ["https://spa.example/"]},
        marketingUrl="https://m.example/",
        web={
            "homepageUrl": "https://x.example/",
            "redirectUris": ["https://x.example/cb"],
            "implicitGrant": {"idTokenIssuanceEnabled": True},
        },
    )
    assert state["appRoleIds"] == {"Do.It": ROLE_ID} and list(state["oauth2PermissionScopeIds"]) == ["Data.Read"]
    assert sorted(state["tags"]) == ["HideApp", "WindowsAzureActiveDirectoryIntegratedApp"]
    assert settled(azuread, APPLICATION, made, state, inputs)
    azuread.delete(APPLICATION, made, state)


def test_an_enabled_role_can_be_changed_and_removed(azuread: Plugin) -> None:
    role = {"allowedMemberTypes": ["Application"], "description": "d", "displayName": "Do", "value": "Do.It"}
    ids = [str(uuid.uuid4()), str(uuid.uuid4())]
    roles = [{**role, "id": ids[0]}, {**role, "id": ids[1], "value": "Do.More"}]
    made, state, inputs = azuread.create(APPLICATION, displayName="roles", appRoles=roles)
    news = azuread.checked(APPLICATION, displayName="roles", appRoles=[{**roles[0], "description": "other"}])
    state = azuread.update(APPLICATION, made, state, news, inputs)
    assert state["appRoleIds"] == {"Do.It": ids[0]} and state["appRoles"][0]["enabled"] is True
    azuread.delete(APPLICATION, made, state)


def test_a_preview_writes_nothing(azuread: Plugin, deployer: Client) -> None:
    name = f"preview {uuid.uuid4()}"
    planned = azuread.preview(APPLICATION, azuread.checked(APPLICATION, displayName=name))
    assert planned["displayName"] == name and planned["clientId"] is UNKNOWN
    assert deployer.graph("GET", f"/applications?$filter=displayName eq '{name}'")["value"] == []


def test_a_second_application_of_a_name_is_refused_when_asked_to(azuread: Plugin, registered: Any) -> None:
    inputs = azuread.checked(APPLICATION, displayName="registered", preventDuplicateNames=True)
    for attempt in (azuread.preview, azuread.create_raw):
        with pytest.raises(Refused, match="was found and `prevent_duplicate_names` was specified"):
            attempt(APPLICATION, inputs)


def test_only_the_named_owners_own_an_application(azuread: Plugin, principal: Any, deployer: Client) -> None:
    made, state, inputs = azuread.create(APPLICATION, displayName="owned", owners=[principal[1]["objectId"]])
    assert state["owners"] == [principal[1]["objectId"]]
    news = azuread.checked(APPLICATION, displayName="owned", owners=[deployer.azure.object_id])
    state = azuread.update(APPLICATION, made, state, news, inputs)
    assert state["owners"] == [deployer.azure.object_id]
    azuread.delete(APPLICATION, made, state)


def test_an_application_is_imported_with_the_inputs_that_describe_it(azuread: Plugin, deployer: Client) -> None:
    app = deployer.graph("POST", "/applications", {"displayName": "old", "notes": "from the portal"})
    found, state, inputs = azuread.read(APPLICATION, f"/applications/{app['id']}")
    assert found == f"/applications/{app['id']}"
    assert inputs["displayName"] == "old" and inputs["notes"] == "from the portal"
    news = azuread.checked(APPLICATION, displayName="old", notes="from the portal")
    assert not azuread.diff(APPLICATION, found, state, news, inputs).detailedDiff


def test_what_changed_in_the_portal_shows_after_a_refresh(azuread: Plugin, deployer: Client) -> None:
    made, state, inputs = azuread.create(APPLICATION, displayName="drift")
    deployer.graph("PATCH", made, {"notes": "changed manually"})
    _, state, refreshed = azuread.read(APPLICATION, made, state, inputs)
    changes = azuread.diff(APPLICATION, made, state, inputs, refreshed)
    assert list(changes.detailedDiff) == ["notes"]
    state = azuread.update(APPLICATION, made, state, inputs, refreshed)
    assert state["notes"] == ""
    azuread.delete(APPLICATION, made, state)


@pytest.mark.parametrize(
    "resource_id", ["", "x", "/applications/x", "/servicePrincipals/0b8e7c9d-3a51-4e5b-9a53-6c1f0f5a2d11"]
)
def test_an_id_of_the_wrong_form_is_refused_with_the_right_form(azuread: Plugin, resource_id: str) -> None:
    with pytest.raises(Refused, match=r"must look like /applications/\{id\}"):
        azuread.read(APPLICATION, resource_id)


# Service principals


def test_a_service_principal_is_made_and_changed(azuread: Plugin, deployer: Client) -> None:
    app, app_state, _ = azuread.create(APPLICATION, displayName="with principal")
    made, state, inputs = azuread.create(PRINCIPAL, clientId=app_state["clientId"], notes="n", tags=["a"])
    assert made == f"/servicePrincipals/{state['objectId']}" and state["displayName"] == "with principal"
    assert settled(azuread, PRINCIPAL, made, state, inputs)
    news = azuread.checked(PRINCIPAL, clientId=app_state["clientId"], appRoleAssignmentRequired=True)
    state = azuread.update(PRINCIPAL, made, state, news, inputs)
    assert (state["appRoleAssignmentRequired"], state["notes"], state["tags"]) == (True, "", ["a"])
    azuread.delete(PRINCIPAL, made, state)
    assert azuread.read(PRINCIPAL, made, state, news)[0] == ""
    azuread.delete(APPLICATION, app, app_state)


def test_another_application_replaces_the_service_principal(azuread: Plugin, principal: Any) -> None:
    made, state = principal
    news = azuread.checked(PRINCIPAL, clientId=str(uuid.uuid4()))
    changes = azuread.diff(PRINCIPAL, made, state, news, {"clientId": state["clientId"]})
    assert list(changes.replaces) == ["clientId"] and not changes.deleteBeforeReplace


def test_a_principal_that_is_there_is_refused_unless_taken_as_it_is(azuread: Plugin, deployer: Client) -> None:
    with pytest.raises(Refused, match=r"already exists.*import_='/servicePrincipals/"):
        azuread.create(PRINCIPAL, clientId=GRAPH_APP_ID)
    made, state, inputs = azuread.create(PRINCIPAL, clientId=GRAPH_APP_ID, useExisting=True)
    assert state["displayName"] == "Microsoft Graph" and state["appRoleIds"]["User.Read.All"]
    assert settled(azuread, PRINCIPAL, made, state, inputs)
    azuread.delete(PRINCIPAL, made, state)
    deployer.graph("GET", made, status=200)


def test_a_principal_of_no_application_is_refused_after_a_few_tries(
    azure: local_azure.LocalAzure, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replication may hide a new application for a while, but a wrong client id is an error, not an endless wait."""
    from local_azure.plugins import session as sessions
    from local_azure.plugins.azuread import AzureAd
    from local_azure.plugins.server import Resource

    monkeypatch.setenv("SSL_CERT_FILE", str(azure.ca_file))
    settings = sessions.read_settings("azuread", {}, azure.settings())
    session = sessions.Session("azuread", settings)
    waits: list[float] = []
    monkeypatch.setattr(session, "wait", waits.append)
    plugin = AzureAd("0")
    plugin.configure(session)
    inputs = {"clientId": str(uuid.uuid4()), "accountEnabled": True}
    with pytest.raises(sessions.ApiError, match="does not reference a valid application object"):
        plugin.create(Resource(plugin.types[PRINCIPAL], f"urn:pulumi:a::b::{PRINCIPAL}::c", inputs, {}))
    assert len(waits) == sessions.RETRIES and sum(waits) < 60


# Credentials


def test_a_client_secret_signs_in_and_is_secret(
    azuread: Plugin, registered: Any, principal: Any, azure: local_azure.LocalAzure
) -> None:
    made, state = registered
    inputs = azuread.checked(PASSWORD, applicationId=made, displayName="one", endDate="2099-01-01T00:00:00Z")
    response = azuread.create_raw(PASSWORD, inputs)
    plain, secrets = decode(response.properties)
    assert secrets == {"value"}
    assert response.id == f"{state['objectId']}/password/{plain['keyId']}"
    assert plain["endDate"] == "2099-01-01T00:00:00Z"
    answer = Client(azure, state["clientId"], plain["value"]).ask_token("https://graph.microsoft.com/.default")
    assert answer.status_code == 200
    _, read, _ = azuread.read(PASSWORD, response.id, plain, inputs)
    assert read["value"] == plain["value"] and not azuread.diff(PASSWORD, response.id, read, inputs, inputs).replaces
    azuread.delete(PASSWORD, response.id, plain, inputs)
    assert azuread.read(PASSWORD, response.id, plain, inputs)[0] == ""


def test_a_client_secret_cannot_be_imported(azuread: Plugin, registered: Any) -> None:
    with pytest.raises(Refused, match="cannot be imported: its value is shown only when it is made"):
        azuread.read(PASSWORD, f"{registered[1]['objectId']}/password/{uuid.uuid4()}")


def test_a_secret_for_no_application_is_refused_at_once(azuread: Plugin) -> None:
    with pytest.raises(Refused, match="was not found"):
        azuread.create(PASSWORD, applicationId=f"/applications/{uuid.uuid4()}")


def test_a_secret_value_in_a_bad_place_is_not_repeated(azuread: Plugin) -> None:
    """An input that is a Pulumi secret stays out of the message that refuses it."""
    request = provider_pb2.CheckRequest(
        urn=azuread.urn(APPLICATION),
        news=encode({"displayName": "x", "signInAudience": "hunter2"}, {"signInAudience"}),
    )
    failures = azuread.stub.Check(request).failures
    assert [failure.reason.split(",")[0] for failure in failures] == ["signInAudience: must be one of AzureADMyOrg"]
    assert "hunter2" not in str(failures)


def test_a_certificate_is_added_beside_others_and_taken_out_alone(
    azuread: Plugin, registered: Any, deployer: Client, tmp_path: Path
) -> None:
    made, state = registered
    pem = _certificate()
    first, first_state, inputs = azuread.create(CERTIFICATE, applicationId=made, type="AsymmetricX509Cert", value=pem)
    second, second_state, _ = azuread.create(
        CERTIFICATE, applicationId=made, type="AsymmetricX509Cert", value=_certificate()
    )
    assert first == f"{state['objectId']}/certificate/{first_state['keyId']}"
    assert settled(azuread, CERTIFICATE, first, first_state, inputs)
    azuread.delete(CERTIFICATE, first, first_state)
    keys = [key["keyId"] for key in deployer.graph("GET", made)["keyCredentials"]]
    assert keys == [second_state["keyId"]]
    azuread.delete(CERTIFICATE, second, second_state)


def _certificate() -> str:
    return _key_pair()[0]


def _key_pair() -> tuple[str, bytes]:
    """A certificate as PEM, and it with its key as PKCS #12 with the password `pfx`."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    bundle = pkcs12.serialize_key_and_certificates(
        b"app", key, made, None, serialization.BestAvailableEncryption(b"pfx")
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), bundle


# Parts of a registration, and links


def test_parts_of_an_application_come_and_go_alone(azuread: Plugin) -> None:
    app, state, _ = azuread.create(APPLICATION, displayName="parts")
    client = str(uuid.uuid4())
    scope = str(uuid.uuid4())
    api = {
        "oauth2PermissionScopes": [
            {"id": scope, "adminConsentDescription": "d", "adminConsentDisplayName": "D", "value": "Read"}
        ]
    }
    app_inputs = azuread.checked(APPLICATION, displayName="parts", api=api)
    state = azuread.update(APPLICATION, app, state, app_inputs, {})
    parts: dict[str, dict[str, Any]] = {
        KNOWN_CLIENTS: {"knownClientIds": [client]},
        PRE_AUTHORIZED: {"authorizedClientId": client, "permissionIds": [scope]},
    }
    made = {token: azuread.create(token, applicationId=app, **inputs) for token, inputs in parts.items()}
    for token, (part, part_state, inputs) in made.items():
        assert settled(azuread, token, part, part_state, inputs), token
        imported, imported_state, _ = azuread.read(token, part)
        assert imported == part and not azuread.diff(token, part, imported_state, inputs, {}).replaces, token
        with pytest.raises(Refused, match=r"already"):
            azuread.create_raw(token, inputs)
        azuread.delete(token, part, part_state, inputs)
    azuread.delete(APPLICATION, app, state)


def test_the_members_of_a_group(azuread: Plugin, principal: Any, deployer: Client) -> None:
    name = f"group-{uuid.uuid4()}"
    body = {"displayName": name, "mailNickname": name, "mailEnabled": False, "securityEnabled": True}
    group = deployer.graph("POST", "/groups", body)["id"]
    member, member_state, member_inputs = azuread.create(
        MEMBER, groupObjectId=group, memberObjectId=principal[1]["objectId"]
    )
    assert member == f"{group}/member/{principal[1]['objectId']}"
    assert settled(azuread, MEMBER, member, member_state, member_inputs)
    with pytest.raises(Refused, match="already exists"):
        azuread.create_raw(MEMBER, member_inputs)
    azuread.delete(MEMBER, member, member_state, member_inputs)
    assert azuread.read(MEMBER, member, member_state, member_inputs)[0] == ""
    with pytest.raises(Refused, match="was not found"):
        azuread.create(MEMBER, groupObjectId=str(uuid.uuid4()), memberObjectId=principal[1]["objectId"])


# Federated credentials, consent, directory roles


def lifecycle(
    plugin: Plugin, token: str, inputs: dict[str, Any], change: dict[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
    """Make, keep, import, change and remove one resource; its id and first state."""
    made, first, checked = plugin.create(token, **inputs)
    assert settled(plugin, token, made, first, checked)
    imported, state, _ = plugin.read(token, made)
    assert imported == made and not plugin.diff(token, made, state, checked, {}).replaces
    if change is not None:
        news = plugin.checked(token, **{**inputs, **change})
        changes = plugin.diff(token, made, first, news, checked)
        assert {path.split("[")[0] for path in changes.detailedDiff} == set(change) and not changes.replaces
        state = plugin.update(token, made, first, news, checked)
        assert settled(plugin, token, made, state, news)
    plugin.delete(token, made, state, checked)
    assert plugin.read(token, made, state, checked)[0] == ""
    return made, first


FEDERATED = "azuread:index/applicationFederatedIdentityCredential:ApplicationFederatedIdentityCredential"
FLEXIBLE = "azuread:index/applicationFlexibleFederatedIdentityCredential:ApplicationFlexibleFederatedIdentityCredential"
ISSUER = "https://token.actions.githubusercontent.com"


def test_a_federated_credential(azuread: Plugin, registered: Any) -> None:
    made, state = lifecycle(
        azuread,
        FEDERATED,
        {
            "applicationId": registered[0],
            "audiences": ["api://AzureADTokenExchange"],
            "displayName": "github",
            "issuer": ISSUER,
            "subject": "repo:contoso/obs:environment:dev",
        },
        {"subject": "repo:contoso/obs:environment:prod", "description": "prod"},
    )
    assert made == f"{registered[1]['objectId']}/federatedIdentityCredential/{state['credentialId']}"


def test_a_claims_matching_federated_credential(azuread: Plugin, registered: Any) -> None:
    made, state = lifecycle(
        azuread,
        FLEXIBLE,
        {
            "applicationId": registered[0],
            "audience": "api://AzureADTokenExchange",
            "displayName": "github-branches",
            "issuer": ISSUER,
            "claimsMatchingExpression": "claims['sub'] matches 'repo:contoso/obs:ref:refs/heads/*'",
        },
        {"claimsMatchingExpression": "claims['sub'] matches 'repo:contoso/obs:ref:refs/tags/*'"},
    )
    assert made == f"{registered[0]}/federatedIdentityCredentials/{state['credentialId']}"


def test_consent_to_an_application_permission(azuread: Plugin, principal: Any) -> None:
    graph = azuread.invoke("azuread:index/getServicePrincipal:getServicePrincipal", clientId=GRAPH_APP_ID)
    made, state = lifecycle(
        azuread,
        "azuread:index/appRoleAssignment:AppRoleAssignment",
        {
            "appRoleId": graph["appRoleIds"]["User.Read.All"],
            "principalObjectId": principal[1]["objectId"],
            "resourceObjectId": graph["objectId"],
        },
    )
    assert made.startswith(f"/servicePrincipals/{graph['objectId']}/appRoleAssignedTo/")
    assert (state["principalType"], state["resourceDisplayName"]) == ("ServicePrincipal", "Microsoft Graph")


def test_consent_to_delegated_permissions(azuread: Plugin, principal: Any) -> None:
    graph = azuread.invoke("azuread:index/getServicePrincipal:getServicePrincipal", clientId=GRAPH_APP_ID)
    made, _ = lifecycle(
        azuread,
        "azuread:index/servicePrincipalDelegatedPermissionGrant:ServicePrincipalDelegatedPermissionGrant",
        {
            "claimValues": ["User.Read", "openid"],
            "servicePrincipalObjectId": principal[1]["objectId"],
            "resourceServicePrincipalObjectId": graph["objectId"],
        },
        {"claimValues": ["User.Read"]},
    )
    assert made.startswith("/oauth2PermissionGrants/")


def test_a_directory_role_is_assigned(azuread: Plugin, principal: Any) -> None:
    made, state = lifecycle(
        azuread,
        "azuread:index/directoryRoleAssignment:DirectoryRoleAssignment",
        {"principalObjectId": principal[1]["objectId"], "roleId": "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"},
    )
    assert state["directoryScopeId"] == "/" and made.startswith("/roleManagement/directory/roleAssignments/")


# Functions


def test_the_client_config_is_the_deployers(azuread: Plugin, native: Plugin, azure: local_azure.LocalAzure) -> None:
    found = azuread.invoke("azuread:index/getClientConfig:getClientConfig")
    assert (found["clientId"], found["objectId"], found["tenantId"]) == (
        azure.client_id,
        azure.object_id,
        azure.tenant_id,
    )
    assert native.invoke("azure-native:authorization:getClientConfig") == {
        "clientId": azure.client_id,
        "objectId": azure.object_id,
        "subscriptionId": azure.subscription_id,
        "tenantId": azure.tenant_id,
    }


def test_applications_and_principals_are_looked_up(azuread: Plugin, registered: Any, principal: Any) -> None:
    by_client = azuread.invoke("azuread:index/getApplication:getApplication", clientId=registered[1]["clientId"])
    assert by_client["objectId"] == registered[1]["objectId"] and by_client["webs"][0]["implicitGrants"]
    found = azuread.invoke("azuread:index/getServicePrincipal:getServicePrincipal", clientId=GRAPH_APP_ID)
    assert found["displayName"] == "Microsoft Graph" and found["oauth2PermissionScopeIds"]["User.Read"]
    with pytest.raises(Refused, match="No application with clientId"):
        azuread.invoke("azuread:index/getApplication:getApplication", clientId=str(uuid.uuid4()))
    with pytest.raises(Refused, match="exactly one of objectId, clientId, displayName"):
        azuread.invoke("azuread:index/getServicePrincipal:getServicePrincipal")


def outputs(module: str, result: str) -> set[str]:
    """The names of a function's results in the SDK."""
    found = getattr(importlib.import_module(module), result)
    names = [name for name in inspect.signature(found.__init__).parameters if name not in ("self", "__self__")]
    return {name.split("_")[0] + "".join(part.capitalize() for part in name.split("_")[1:]) for name in names}


def test_a_user_is_looked_up_with_all_that_the_sdk_knows(azuread: Plugin, deployer: Client) -> None:
    domain = deployer.graph("GET", "/organization")["value"][0]["verifiedDomains"][0]["name"]
    address = f"u{uuid.uuid4().hex[:8]}@{domain}"
    body = {
        "displayName": "Ada",
        "userPrincipalName": address,
        "mailNickname": address.split("@")[0],
        "accountEnabled": True,
        "passwordProfile": {"password": str(uuid.uuid4())},
    }
    user = deployer.graph("POST", "/users", body)
    found = azuread.invoke("azuread:index/getUser:getUser", userPrincipalName=address)
    assert (found["objectId"], found["displayName"], found["accountEnabled"]) == (user["id"], "Ada", True)
    assert set(found) == outputs("pulumi_azuread.get_user", "GetUserResult")


def test_lookups_yield_what_the_sdk_knows(azuread: Plugin, registered: Any) -> None:
    found = azuread.invoke("azuread:index/getServicePrincipal:getServicePrincipal", clientId=GRAPH_APP_ID)
    assert set(found) == outputs("pulumi_azuread.get_service_principal", "GetServicePrincipalResult")
    found = azuread.invoke("azuread:index/getApplication:getApplication", clientId=registered[1]["clientId"])
    missing = outputs("pulumi_azuread.get_application", "GetApplicationResult") - set(found)
    assert missing == {"description", "identifierUri"}, "the real plugin leaves these out, too"


def test_a_built_in_role_is_looked_up(native: Plugin, azure: local_azure.LocalAzure) -> None:
    found = native.invoke(
        "azure-native:authorization:getRoleDefinition",
        scope=f"/subscriptions/{azure.subscription_id}",
        roleDefinitionId=READER,
    )
    assert found["roleName"] == "Reader" and found["permissions"][0]["actions"] == ["*/read"]


# Role assignments, role definitions, resource groups


def assignment(azure: local_azure.LocalAzure, principal: Any, **more: Any) -> dict[str, Any]:
    subscription = f"/subscriptions/{azure.subscription_id}"
    return {
        "principalId": principal[1]["objectId"],
        "principalType": "ServicePrincipal",
        "roleDefinitionId": f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{READER}",
        "scope": subscription,
        **more,
    }


def test_a_role_is_assigned_kept_and_taken_away(
    native: Plugin, azure: local_azure.LocalAzure, principal: Any, group_id: str
) -> None:
    name = str(uuid.uuid4())
    wanted = assignment(azure, principal, scope=group_id, roleAssignmentName=name, description="why")
    made, state, inputs = native.create(ASSIGNMENT, **wanted)
    assert made == f"{group_id}/providers/Microsoft.Authorization/roleAssignments/{name}"
    assert (state["name"], state["scope"], state["azureApiVersion"]) == (name, group_id, "2022-04-01")
    assert settled(native, ASSIGNMENT, made, state, inputs)

    with pytest.raises(Refused, match="cannot create already existing resource"):
        native.create_raw(ASSIGNMENT, inputs)

    imported, _, found = native.read(ASSIGNMENT, made)
    assert imported == made
    assert found == {**wanted, "scope": group_id.strip("/")}, "as azure-native imports it"

    native.delete(ASSIGNMENT, made, state, inputs)
    assert native.read(ASSIGNMENT, made, state, inputs)[0] == ""
    native.delete(ASSIGNMENT, made, state, inputs)


def test_a_preview_of_an_assignment_knows_what_is_given(
    native: Plugin, azure: local_azure.LocalAzure, principal: Any
) -> None:
    inputs = native.checked(ASSIGNMENT, **assignment(azure, principal))
    planned = native.preview(ASSIGNMENT, inputs)
    assert planned["scope"] == inputs["scope"] and planned["principalId"] == inputs["principalId"]
    assert {planned["name"], planned["createdOn"], planned["condition"]} == {UNKNOWN}


def test_an_unnamed_assignment_gets_a_guid_that_stays(
    native: Plugin, azure: local_azure.LocalAzure, principal: Any
) -> None:
    inputs = native.checked(ASSIGNMENT, **assignment(azure, principal))
    assert uuid.UUID(inputs["roleAssignmentName"])
    again, _ = native.check(ASSIGNMENT, assignment(azure, principal))
    kept, _ = native.check(ASSIGNMENT, assignment(azure, principal), {"roleAssignmentName": "old"})
    assert again == inputs and kept["roleAssignmentName"] == "old"


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"principalId": str(uuid.uuid4())}, True),
        ({"scope": "/subscriptions/" + str(uuid.uuid4())}, True),
        ({"roleAssignmentName": str(uuid.uuid4())}, True),
        ({"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/x"}, False),
        ({"description": "other"}, False),
    ],
)
def test_what_replaces_a_role_assignment(
    native: Plugin, azure: local_azure.LocalAzure, principal: Any, change: dict[str, str], replaces: bool
) -> None:
    """As in azure-native: its path and the principal; another role is an update, which Azure refuses."""
    old = native.checked(ASSIGNMENT, **assignment(azure, principal, roleAssignmentName=str(uuid.uuid4())))
    changes = native.diff(ASSIGNMENT, "id", old, {**old, **change}, old)
    assert bool(changes.replaces) == replaces and changes.deleteBeforeReplace == replaces
    made_up = {**old, "__createBeforeDelete": True}
    assert not native.diff(ASSIGNMENT, "id", old, {**made_up, **change}, made_up).deleteBeforeReplace


def test_azure_native_tells_an_empty_value_from_none(
    native: Plugin, azure: local_azure.LocalAzure, principal: Any
) -> None:
    """It compares inputs with inputs: `description=""` is a change from no description."""
    old = native.checked(ASSIGNMENT, **assignment(azure, principal))
    changes = native.diff(ASSIGNMENT, "id", old, {**old, "description": ""}, old)
    assert list(changes.detailedDiff) == ["description"]
    changes = native.diff(
        DEFINITION, "id", {}, {"permissions": [{"actions": ["a", "c"]}]}, {"permissions": [{"actions": ["b"]}]}
    )
    assert sorted(changes.detailedDiff) == ["permissions[0].actions[0]", "permissions[0].actions[1]"]


def test_another_role_under_the_same_name_is_refused_by_azure(
    native: Plugin, azure: local_azure.LocalAzure, principal: Any, group_id: str
) -> None:
    name = str(uuid.uuid4())
    made, state, inputs = native.create(
        ASSIGNMENT, **assignment(azure, principal, scope=group_id, roleAssignmentName=name)
    )
    other = inputs["roleDefinitionId"].replace(READER, "b24988ac-6180-42a0-ab88-20f7382dd24c")
    with pytest.raises(Refused, match=r"PUT https://.* 400 with error: RoleAssignmentUpdateNotPermitted"):
        native.update(ASSIGNMENT, made, state, {**inputs, "roleDefinitionId": other}, inputs)
    native.delete(ASSIGNMENT, made, state, inputs)


def test_a_missing_role_or_scope_is_named(native: Plugin) -> None:
    _, failures = native.check(ASSIGNMENT, {"principalId": "x"})
    assert any("missing required property 'scope'" in failure for failure in failures)
    assert any("missing required property 'roleDefinitionId'" in failure for failure in failures)


def test_a_custom_role_and_a_resource_group(native: Plugin, azure: local_azure.LocalAzure) -> None:
    subscription = f"/subscriptions/{azure.subscription_id}"
    group, state, inputs = native.create(RESOURCE_GROUP, location="westeurope", tags={"a": "b"})
    assert state["name"].startswith("it") and settled(native, RESOURCE_GROUP, group, state, inputs)
    role, role_state, role_inputs = native.create(
        DEFINITION,
        scope=subscription,
        roleName=f"Custom {uuid.uuid4()}",
        roleType="CustomRole",
        assignableScopes=[subscription],
        permissions=[{"actions": ["*/read"], "notActions": [], "dataActions": [], "notDataActions": []}],
    )
    assert settled(native, DEFINITION, role, role_state, role_inputs)
    for token, made, old in ((DEFINITION, role, role_state), (RESOURCE_GROUP, group, state)):
        native.delete(token, made, old)
        assert native.read(token, made, old, {"x": 1})[0] == ""


def test_a_location_is_compared_without_case_and_spaces(native: Plugin) -> None:
    old = {"location": "West Europe", "resourceGroupName": "rg"}
    assert not native.diff(RESOURCE_GROUP, "id", old, {**old, "location": "westeurope"}, old).detailedDiff


# What the stand-ins do not do


@pytest.mark.parametrize(
    ("token", "what"),
    [
        ("azuread:index/conditionalAccessPolicy:ConditionalAccessPolicy", "resource type"),
        ("azuread:index/user:User", "resource type"),
    ],
)
def test_a_type_that_is_not_covered_says_so_and_what_to_do(azuread: Plugin, token: str, what: str) -> None:
    with pytest.raises(Refused) as refused:
        azuread.check(token, {})
    for part in (f"does not cover the {what} {token}", "pulumi plugin install resource azuread", "Covered: "):
        assert part in str(refused.value)


def test_a_function_that_is_not_covered_says_so(azuread: Plugin) -> None:
    with pytest.raises(Refused, match="does not cover the function azuread:index/getNamedLocation:getNamedLocation"):
        azuread.invoke("azuread:index/getNamedLocation:getNamedLocation")


# Signing in


@pytest.mark.parametrize("name", ["azuread", "azure-native"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ARM_METADATA_HOSTNAME": None}, "is a stand-in for rehearsals on a local Azure"),
        ({"ARM_TENANT_ID": None}, "ARM_TENANT_ID must be set"),
        ({"ARM_CLIENT_ID": None}, "ARM_CLIENT_ID must be set"),
        ({"ARM_CLIENT_SECRET": None, "ARM_USE_CLI": "false"}, "set ARM_CLIENT_SECRET"),
        ({"ARM_ENVIRONMENT": "mars"}, 'failed to read Azure environment "mars"'),
        ({"SSL_CERT_FILE": None}, "SSL_CERT_FILE must name a file that holds the CA"),
        ({"SSL_CERT_FILE": "/nowhere.pem"}, "SSL_CERT_FILE names /nowhere.pem, which is not there"),
        ({"ARM_METADATA_HOSTNAME": "localhost:9"}, "localhost:9 cannot be reached; is the local Azure running?"),
    ],
)
def test_a_setting_that_cannot_work_is_named(
    azure: local_azure.LocalAzure, home: Path, name: str, changes: dict[str, str | None], message: str
) -> None:
    plugin = Plugin(home, name, environ(azure, **changes))
    with pytest.raises(Refused) as refused:
        plugin.configure()
    assert message in str(refused.value)
    assert azure.client_secret not in str(refused.value)
    assert plugin.stop() == ("", "")


def test_azure_native_does_not_ask_the_real_microsoft_about_a_local_azure(
    azure: local_azure.LocalAzure, home: Path
) -> None:
    plugin = Plugin(home, "azure-native", environ(azure, ARM_DISABLE_INSTANCE_DISCOVERY=None))
    with pytest.raises(Refused, match="set ARM_DISABLE_INSTANCE_DISCOVERY=true"):
        plugin.configure()
    plugin.stop()


def test_a_wrong_secret_is_entras_error_without_the_secret(azure: local_azure.LocalAzure, home: Path) -> None:
    plugin = Plugin(home, "azuread", environ(azure, ARM_CLIENT_SECRET="not-the-secret"))
    plugin.configure()
    with pytest.raises(Refused, match="AADSTS7000215") as refused:
        plugin.create(APPLICATION, displayName="x")
    out, error = plugin.stop()
    assert "not-the-secret" not in str(refused.value) + out + error


def test_a_client_certificate_signs_in(
    azuread: Plugin, registered: Any, principal: Any, azure: local_azure.LocalAzure, home: Path
) -> None:
    pem, bundle = _key_pair()
    made, state, inputs = azuread.create(CERTIFICATE, applicationId=registered[0], type="AsymmetricX509Cert", value=pem)
    (home / "app.pfx").write_bytes(bundle)
    changes = {
        "ARM_CLIENT_ID": registered[1]["clientId"],
        "ARM_CLIENT_SECRET": None,
        "ARM_CLIENT_CERTIFICATE_PATH": str(home / "app.pfx"),
        "ARM_CLIENT_CERTIFICATE_PASSWORD": "pfx",
    }
    for password, works in (("pfx", True), ("wrong", False)):
        changes["ARM_CLIENT_CERTIFICATE_PASSWORD"] = password
        plugin = Plugin(home, "azuread", environ(azure, **changes))
        plugin.configure()
        if works:
            found = plugin.invoke("azuread:index/getClientConfig:getClientConfig")
            assert found["objectId"] == principal[1]["objectId"]
        else:
            with pytest.raises(Refused, match="the credentials cannot be used"):
                plugin.invoke("azuread:index/getClientConfig:getClientConfig")
        plugin.stop()
    azuread.delete(CERTIFICATE, made, state, inputs)


def test_provider_configuration_goes_before_the_environment(azure: local_azure.LocalAzure, home: Path) -> None:
    plugin = Plugin(home, "azuread", environ(azure, ARM_CLIENT_SECRET="wrong"))
    plugin.configure(clientSecret=azure.client_secret)
    assert plugin.invoke("azuread:index/getClientConfig:getClientConfig")["objectId"] == azure.object_id
    plugin.stop()


def test_an_unknown_setting_is_refused(azuread: Plugin) -> None:
    response = azuread.stub.CheckConfig(provider_pb2.CheckRequest(news=encode({"clientSecrt": "x"})))
    assert [failure.reason for failure in response.failures] == ["azuread has no setting 'clientSecrt'"]


def test_the_secrets_of_a_provider_are_kept_as_secrets(azuread: Plugin) -> None:
    response = azuread.stub.CheckConfig(provider_pb2.CheckRequest(news=encode({"clientSecret": "x", "tenantId": "t"})))
    assert decode(response.inputs) == ({"clientSecret": "x", "tenantId": "t"}, {"clientSecret"})


# The process


def test_a_plugin_leaves_with_the_engine_that_started_it(azure: local_azure.LocalAzure, home: Path) -> None:
    """An engine that is killed cannot say goodbye; its plugins must not stay behind."""
    plugin = Plugin(home, "azuread", environ(azure))
    executable = str(plugin.executable)
    plugin.stop()
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.argv[1]], stdout=subprocess.PIPE); "
        "p.stdout.readline(); print(p.pid, flush=True); sys.stdin.read()"
    )
    engine = subprocess.Popen(
        [sys.executable, "-c", code, executable],
        env=environ(azure),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert engine.stdout
    pid = int(engine.stdout.readline())
    engine.send_signal(signal.SIGKILL)
    engine.communicate()
    deadline = time.monotonic() + 20
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:  # no Linux, or it has just ended
        return not Path("/proc/self").exists()


def test_a_plugin_names_itself_and_its_version(azuread: Plugin) -> None:
    from google.protobuf import empty_pb2

    from local_azure import plugins

    assert azuread.stub.GetPluginInfo(empty_pb2.Empty()).version == plugins.sdk_version("azuread")
