"""A tenant as years of manual work leave it: forty registrations of every shape, made through Graph and Resource Manager."""

import base64
import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

import local_azure
from tests.conftest import ROOT
from tests.local_azure.conftest import READER, Client

HOSTILE = (
    "\u202eevil",
    "a: b # c",
    "- dash",
    "null",
    "no",
    "123",
    "1e3",
    "x" * 120,
    "tab\there",
    "bell\x07 and \x1b[31mred",
    "émoji 😀",
    "'quoted' \"double\"",
    "{brace}: [x]",
    "*star",
    "&anchor",
    "%percent",
    "@at",
    "`tick`",
    "# hash",
    "two\nlines",
    "deployer",
    "日本語",
    " space ",
    "../../etc/passwd",
)
"""Names that a file, a terminal, a path or a reader of YAML takes for something else."""
OWNER, STORAGE_CONTRIBUTOR = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
CONDITION = (
    "((!(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write'})) OR "
    "(@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'logs'))"
)
GRAPH = "00000003-0000-0000-c000-000000000000"
USER_READ_ALL, MAIL_SEND = "df021288-bdef-4463-88db-98f22de89214", "b633e1c5-b582-4048-a93e-9f11b44c7e96"
USER_READ = "e1fe6dd8-ba31-4d61-89e7-88639da4683d"
AUDIENCE = "api://AzureADTokenExchange"


@dataclass
class Tenant:
    """The tenant: its registrations and service principals by display name."""

    client: Client
    azure: local_azure.LocalAzure
    applications: dict[str, dict[str, Any]] = field(default_factory=dict)
    principals: dict[str, dict[str, Any]] = field(default_factory=dict)
    user: dict[str, Any] = field(default_factory=dict)
    group: dict[str, Any] = field(default_factory=dict)
    custom_role: str = ""

    def app(self, name: str, *, principal: bool = True, **properties: Any) -> tuple[str, str]:
        """Register an app; the object ids of registration and service principal."""
        made = self.client.graph("POST", "/applications", {"displayName": name, **properties})
        self.applications[name] = made
        if principal:
            self.principals[name] = self.client.graph("POST", "/servicePrincipals", {"appId": made["appId"]})
        return made["id"], self.principals.get(name, {}).get("id", "")

    @property
    def group_id(self) -> str:
        """A resource group."""
        return f"/subscriptions/{self.azure.subscription_id}/resourceGroups/rg-legacy"

    @property
    def workspace(self) -> str:
        """A workspace in it."""
        return f"{self.group_id}/providers/Microsoft.OperationalInsights/workspaces/law-legacy"

    def own(self, path: str) -> None:
        """Let the user own an object."""
        reference = {"@odata.id": f"{self.azure.url}/v1.0/directoryObjects/{self.user['id']}"}
        self.client.graph("POST", f"{path}/owners/$ref", reference)


def certificate(name: str) -> str:
    """A certificate as Graph takes it: base64 of its DER form."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=90))
        .sign(key, hashes.SHA256())
    )
    return base64.b64encode(made.public_bytes(Encoding.DER)).decode()


def make(azure: local_azure.LocalAzure) -> Tenant:
    """The tenant on a local Azure."""
    tenant = Tenant(Client(azure), azure)
    azure.ensure([tenant.workspace])
    foreign = {"id-of-a-vm": "ManagedIdentity", "Somebody else's": str(uuid.uuid4())}
    azure.admin("POST", "ensure", {"service_principals": foreign})
    graph = tenant.client.graph
    domain = graph("GET", "/domains")["value"][0]["id"]
    person = {"displayName": "Ada", "mailNickname": "ada", "userPrincipalName": f"ada@{domain}", "accountEnabled": True}
    tenant.user = graph("POST", "/users", person | {"passwordProfile": {"password": uuid.uuid4().hex + "Xy1!"}})
    for name in ("plain", "Billing API", "billing api", "BILLING API", *HOSTILE):
        tenant.app(name)
    tenant.app("no principal", principal=False)
    for part in (_settings, _credentials, _api_and_client, _grants):
        part(tenant)
    application, _ = tenant.app("deleted")
    graph("DELETE", f"/applications/{application}")
    return tenant


def _settings(tenant: Tenant) -> None:
    graph = tenant.client.graph
    tenant.app(
        "web",
        web={
            "redirectUris": ["https://a.example.com/cb?x=1&y=[2]", "http://localhost:3000/"],
            "homePageUrl": "https://a.example.com",
            "logoutUrl": "https://a.example.com/out",
            "implicitGrantSettings": {"enableIdTokenIssuance": True},
        },
        spa={"redirectUris": ["https://spa.example.com/"]},
        publicClient={"redirectUris": ["msal://x"]},
        isFallbackPublicClient=True,
        notes="line 1\nline 2",
        description="What it is for: things",
        serviceManagementReference="CMDB-1",
        groupMembershipClaims="SecurityGroup, ApplicationGroup",
        optionalClaims={"idToken": [{"name": "email", "essential": True, "additionalProperties": []}]},
        info={"marketingUrl": "https://m.example.com"},
        signInAudience="AzureADMultipleOrgs",
        tags=["prod", "HideApp"],
    )
    application, principal = tenant.app("owned", tags=["prod", "billing"])
    tenant.own(f"/applications/{application}")
    tenant.own(f"/servicePrincipals/{principal}")
    _, principal = tenant.app("principal settings")
    settings = {
        "appRoleAssignmentRequired": True,
        "accountEnabled": False,
        "notes": "of the principal",
        "tags": ["WindowsAzureActiveDirectoryIntegratedApp"],
        "loginUrl": "https://l.example.com/",
        "notificationEmailAddresses": ["a@example.com"],
        "preferredSingleSignOnMode": "saml",
    }
    graph("PATCH", f"/servicePrincipals/{principal}", settings)
    tenant.app(
        "not to be said", isDeviceOnlyAuthSupported=True, parentalControlSettings={"countriesBlockedForMinors": ["DE"]}
    )
    application, _ = tenant.app("logo")
    logo = (ROOT / "examples" / "logo.png").read_bytes()
    headers = {"Content-Type": "image/png"}
    tenant.client.call("PUT", f"/v1.0/applications/{application}/logo", data=logo, headers=headers)


def _credentials(tenant: Tenant) -> None:
    graph = tenant.client.graph
    application, _ = tenant.app("secrets")
    for name in ("ci", "", "old: { ]"):
        wanted = {"displayName": name or None, "endDateTime": "2027-05-01T00:00:00Z"}
        graph("POST", f"/applications/{application}/addPassword", {"passwordCredential": wanted})
    application, principal = tenant.app("certificate")
    key = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": certificate("batch"), "displayName": "CN=batch"}
    graph("PATCH", f"/applications/{application}", {"keyCredentials": [key]})
    secret = {"passwordCredential": {"displayName": "of the principal"}}
    graph("POST", f"/servicePrincipals/{principal}/addPassword", secret)
    application, _ = tenant.app("federated")
    path = f"/applications/{application}/federatedIdentityCredentials"
    for name, issuer, subject in (
        ("github", "https://token.actions.githubusercontent.com", "repo:contoso/obs:environment:prod"),
        ("other", "https://x.example.com", "a: b"),
        ("k8s", "https://oidc.example.com/c", "system:serviceaccount:a:b"),
    ):
        graph("POST", path, {"name": name, "issuer": issuer, "subject": subject, "audiences": [AUDIENCE]})
    flexible = {
        "name": "any-branch",
        "issuer": "https://token.actions.githubusercontent.com",
        "audiences": [AUDIENCE],
        "claimsMatchingExpression": {
            "value": "claims['sub'] matches 'repo:contoso/obs:ref:refs/heads/*'",
            "languageVersion": 1,
        },
    }
    assert tenant.client.call("POST", f"/beta{path}", flexible).status_code == 201


def _api_and_client(tenant: Tenant) -> None:
    graph = tenant.client.graph
    role, old, scope = (str(uuid.uuid4()) for _ in range(3))
    shown = {"adminConsentDisplayName": "Read", "adminConsentDescription": "Read it", "type": "User", "isEnabled": True}
    application, api = tenant.app(
        "api",
        api={"requestedAccessTokenVersion": 2, "oauth2PermissionScopes": [{"id": scope, "value": "Read", **shown}]},
        appRoles=[
            {
                "id": id_,
                "value": value,
                "displayName": value,
                "description": "d",
                "allowedMemberTypes": [of],
                "isEnabled": on,
            }
            for id_, value, of, on in ((role, "All", "Application", True), (old, "Old", "User", False))
        ],
    )
    client_id = tenant.applications["api"]["appId"]
    graph("PATCH", f"/applications/{application}", {"identifierUris": [f"api://{client_id}"]})
    required = [
        {"resourceAppId": client_id, "resourceAccess": [{"id": role, "type": "Role"}, {"id": scope, "type": "Scope"}]},
        {
            "resourceAppId": GRAPH,
            "resourceAccess": [{"id": USER_READ_ALL, "type": "Role"}, {"id": USER_READ, "type": "Scope"}],
        },
    ]
    _, client = tenant.app("client", requiredResourceAccess=required)
    known = tenant.applications["client"]["appId"]
    clients = {
        "preAuthorizedApplications": [{"appId": known, "delegatedPermissionIds": [scope]}],
        "knownClientApplications": [known],
    }
    graph("PATCH", f"/applications/{application}", {"api": clients})
    microsoft = graph("GET", f"/servicePrincipals?$filter=appId eq '{GRAPH}'")["value"][0]["id"]
    for resource, role_id in ((api, role), (microsoft, MAIL_SEND)):
        held = {"principalId": client, "resourceId": resource, "appRoleId": role_id}
        graph("POST", f"/servicePrincipals/{client}/appRoleAssignments", held)
    everybody = {
        "clientId": client,
        "consentType": "AllPrincipals",
        "resourceId": microsoft,
        "scope": "User.Read openid",
    }
    graph("POST", "/oauth2PermissionGrants", everybody)
    single = {"clientId": client, "consentType": "Principal", "principalId": tenant.user["id"], "resourceId": api}
    graph("POST", "/oauth2PermissionGrants", single | {"scope": "Read"})


def _grants(tenant: Tenant) -> None:
    graph, client = tenant.client.graph, tenant.client
    _, principal = tenant.app("roles")
    client.grant(READER, tenant.workspace, principal, description="by hand: yes")
    client.grant(OWNER, tenant.group_id, principal)
    client.grant(STORAGE_CONTRIBUTOR, tenant.group_id, principal, condition=CONDITION, conditionVersion="2.0")
    tenant.custom_role = str(uuid.uuid4())
    subscription = f"/subscriptions/{tenant.azure.subscription_id}"
    definition = {
        "roleName": "Log asker",
        "description": "Asks",
        "type": "CustomRole",
        "assignableScopes": [subscription],
        "permissions": [{"actions": ["Microsoft.OperationalInsights/workspaces/query/read"], "notActions": []}],
    }
    path = f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{tenant.custom_role}"
    client.arm("PUT", path, {"properties": definition})
    client.grant(tenant.custom_role, tenant.workspace, principal)
    _, principal = tenant.app("memberships")
    wanted = {"displayName": "Readers", "mailEnabled": False, "mailNickname": "readers", "securityEnabled": True}
    tenant.group = graph("POST", "/groups", wanted)
    reference = {"@odata.id": f"{tenant.azure.url}/v1.0/directoryObjects/{principal}"}
    graph("POST", f"/groups/{tenant.group['id']}/members/$ref", reference)
    readers = {"roleDefinitionId": "88d8e3e3-8f55-4a1e-953a-9b9898b8876b", "directoryScopeId": "/"}
    graph("POST", "/roleManagement/directory/roleAssignments", readers | {"principalId": principal})
