"""Resources of Pulumi, as the engine hands them to the pack, turned into what rules judge."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from entrant.facts.apis import GRAPH, graph_permissions
from entrant.facts.pulumi_types import APPLICATION
from entrant.policy import rules
from entrant.policy.resources import UNKNOWN, StackResource, estates, things

NOW = datetime(2026, 11, 24, tzinfo=UTC)
PASSWORD = "azuread:index/applicationPassword:ApplicationPassword"
FEDERATED = "azuread:index/applicationFederatedIdentityCredential:ApplicationFederatedIdentityCredential"
ROLE = "azure-native:authorization:RoleAssignment"
OWNER_ROLE = "/providers/Microsoft.Authorization/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
SUBSCRIPTION = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631"


def resource(kind: str, name: str = "a", links: dict[str, list[str]] | None = None, **properties: Any) -> StackResource:
    return StackResource(kind, f"urn:pulumi:dev::p::{kind}::{name}", properties, None, links or {})


def broken(kind: str, **properties: Any) -> list[str]:
    """The rules that a resource breaks by itself."""
    found = things(resource(kind, **properties), allowed=timedelta(days=180), now=NOW)
    return [rule.name for thing in found for rule, _ in rules.broken(thing)]


@pytest.mark.parametrize(
    ("kind", "properties", "names"),
    [
        (APPLICATION, {"displayName": "a"}, []),
        (APPLICATION, {"signInAudience": "AzureADMyOrg"}, []),
        (APPLICATION, {"signInAudience": "AzureADMultipleOrgs"}, ["multi-tenant"]),
        (APPLICATION, {"signInAudience": UNKNOWN, "web": UNKNOWN, "requiredResourceAccesses": UNKNOWN}, []),
        (APPLICATION, {"web": {"redirectUris": ["https://a.example/", "http://localhost/"]}}, []),
        (APPLICATION, {"web": {"redirectUris": ["https://*.a.example/", UNKNOWN]}}, ["wildcard-redirect"]),
        (APPLICATION, {"singlePageApplication": {"redirectUris": ["http://a.example/"]}}, ["http-redirect"]),
        (APPLICATION, {"publicClient": {"redirectUris": ["http://a.example/"]}}, ["http-redirect"]),
        (APPLICATION, {"web": {"implicitGrant": {"accessTokenIssuanceEnabled": True}}}, ["implicit-grant"]),
        (APPLICATION, {"web": {"implicitGrant": {"accessTokenIssuanceEnabled": UNKNOWN}}}, []),
        (APPLICATION, {"password": {"endDate": "2027-11-24T00:00:00Z"}}, ["secret-lifetime"]),
        (
            "azuread:index/applicationRedirectUris:ApplicationRedirectUris",
            {"redirectUris": ["https://*.a.example/"]},
            ["wildcard-redirect"],
        ),
        (PASSWORD, {"endDate": "2027-05-23T00:00:00Z"}, []),
        (PASSWORD, {"endDate": "2027-05-24T00:00:00Z"}, ["secret-lifetime"]),
        (PASSWORD, {"endDate": "2027-05-24T00:00:00Z", "startDate": "2026-12-24T00:00:00Z"}, []),
        (PASSWORD, {"endDate": UNKNOWN}, []),
        (PASSWORD, {"endDateRelative": "240h"}, []),
        (PASSWORD, {}, ["secret-lifetime"]),
        (ROLE, {"scope": SUBSCRIPTION + "/resourceGroups/rg", "roleDefinitionId": UNKNOWN}, []),
        (ROLE, {"scope": UNKNOWN, "roleDefinitionId": OWNER_ROLE}, ["privileged-role"]),
        (ROLE, {"scope": SUBSCRIPTION.strip("/"), "roleDefinitionId": UNKNOWN}, ["wide-scope"]),
        (ROLE, {"scope": UNKNOWN, "roleDefinitionId": SUBSCRIPTION + OWNER_ROLE, "condition": "@Request…"}, []),
        (
            "azure-native:authorization/v20220401:RoleAssignment",
            {"scope": SUBSCRIPTION, "roleDefinitionId": SUBSCRIPTION + OWNER_ROLE},
            ["privileged-role", "wide-scope"],
        ),
        (
            "azure-native:authorization:RoleDefinition",
            {"roleName": "r", "permissions": [{"actions": ["*"], "notActions": []}]},
            ["privileged-role"],
        ),
        (
            "azure-native:authorization:RoleDefinition",
            {"roleName": "r", "permissions": [{"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]}]},
            [],
        ),
        (
            "azuread:index/directoryRoleAssignment:DirectoryRoleAssignment",
            {"roleId": "62e90394-69f5-4237-9190-012177145e10"},
            ["privileged-directory-role"],
        ),
        ("azuread:index/directoryRoleAssignment:DirectoryRoleAssignment", {"roleId": UNKNOWN}, []),
        (
            "azuread:index/appRoleAssignment:AppRoleAssignment",
            {"appRoleId": graph_permissions().application["Directory.ReadWrite.All"], "resourceObjectId": UNKNOWN},
            ["privileged-permission"],
        ),
        (
            "azuread:index/appRoleAssignment:AppRoleAssignment",
            {"appRoleId": graph_permissions().application["User.Read.All"]},
            [],
        ),
        (
            "azuread:index/servicePrincipalDelegatedPermissionGrant:ServicePrincipalDelegatedPermissionGrant",
            {"claimValues": ["User.Read", "Directory.AccessAsUser.All"]},
            ["privileged-permission"],
        ),
        ("random:index/randomPassword:RandomPassword", {"length": 8}, []),
    ],
)
def test_a_resource_by_itself(kind: str, properties: dict[str, Any], names: list[str]) -> None:
    assert broken(kind, **properties) == names


def test_what_an_application_asks_of_microsoft_graph_is_judged_and_what_it_asks_of_others_is_not() -> None:
    guid = graph_permissions().application["RoleManagement.ReadWrite.Directory"]
    for api, names in ((GRAPH, ["privileged-permission"]), ("00000000-0000-0000-0000-000000000001", [])):
        required = [{"resourceAppId": api, "resourceAccesses": [{"id": guid, "type": "Role"}]}]
        assert broken(APPLICATION, requiredResourceAccesses=required) == names


def judged(*resources: StackResource) -> dict[str, list[str]]:
    """The rules about whole stacks that each application breaks."""
    found: dict[str, list[str]] = {}
    for application, thing in estates(resources):
        found.setdefault(application.app, []).extend(rule.name for rule, _ in rules.broken(thing))
    return found


def test_owners_are_those_of_the_registration_and_those_declared_beside_it() -> None:
    app, other = resource(APPLICATION), resource(APPLICATION, "other")
    owner = resource("azuread:index/applicationOwner:ApplicationOwner", links={"applicationId": [app.urn]})
    assert judged(app, other, owner) == {"a": [], "other": ["missing-owner"]}
    assert judged(resource(APPLICATION, owners=["x"])) == {"a": []}
    assert judged(resource(APPLICATION, owners=UNKNOWN)) == {"a": []}
    assert judged(resource(APPLICATION, owners=[UNKNOWN])) == {"a": []}
    assert judged(resource(APPLICATION, owners=[])) == {"a": ["missing-owner"]}


def test_credentials_find_their_registration_by_link_or_by_id_and_through_its_service_principal() -> None:
    app, other = resource(APPLICATION, owners=["x"], objectId="1"), resource(APPLICATION, "other", owners=["x"])
    principal = resource("azuread:index/servicePrincipal:ServicePrincipal", links={"clientId": [app.urn]})
    by_link = resource(FEDERATED, "f", {"applicationId": [app.urn]}, displayName="github", applicationId=UNKNOWN)
    by_id = resource(PASSWORD, "p", applicationId="/applications/1")
    of_principal = resource(
        "azuread:index/servicePrincipalPassword:ServicePrincipalPassword", "q", {"servicePrincipalId": [principal.urn]}
    )
    for secret in (by_id, of_principal):
        assert judged(app, other, principal, by_link, secret) == {
            "a": ["client-secret", "avoidable-secret"],
            "other": [],
        }
    assert judged(resource(APPLICATION, owners=["x"], password=UNKNOWN)) == {"a": []}
    assert judged(resource(APPLICATION, owners=["x"], password={"displayName": "s"})) == {"a": ["client-secret"]}
    assert judged(app, other, by_link) == {"a": [], "other": []}
    issued = resource(
        "azuread:index/applicationCertificate:ApplicationCertificate",
        "a/signing/2026-11-01",
        applicationId="/applications/1",
    )
    assert judged(app, other, by_link, issued) == {"a": [], "other": []}


def test_a_resource_of_a_component_belongs_to_the_components_app() -> None:
    urn = "urn:pulumi:dev::p::entrant:index:AppIdentity$azuread:index/applicationPassword:ApplicationPassword::a-secret"
    component = "urn:pulumi:dev::p::entrant:index:AppIdentity::a"
    assert StackResource(PASSWORD, urn, {}, component).app == "a"
    assert resource(PASSWORD, "alone").app == "alone"
