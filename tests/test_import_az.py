"""A tenant made by azure-cli alone is taken over by an `up` that changes nothing, and a second preview is empty."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import local_azure
from entrant import config
from tests.clients.az import Az, signed_in_to
from tests.conftest import Project
from tests.entrant.tenant import AUDIENCE, CONDITION, GRAPH, HOSTILE, MAIL_SEND, USER_READ, USER_READ_ALL
from tests.test_identity import Stack
from tests.test_import_round_trip import Place

SKIPPED = {
    "managed identities": 2,
    "service principals of other tenants' apps": 1,
    "deleted registrations, which can still be restored": 2,
}
READER, ADMINISTRATOR = "Reader", "User Access Administrator"
DIRECTORY_READERS = "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"


@dataclass
class Tenant:
    """What azure-cli makes: the registrations by name."""

    az: Az
    url: str
    apps: dict[str, dict[str, Any]] = field(default_factory=dict)
    principals: dict[str, dict[str, Any]] = field(default_factory=dict)

    def app(self, name: str, *options: str, principal: bool = True) -> str:
        """Register an app; its client id."""
        self.apps[name] = self.az("ad app create", "--display-name", name, *options)
        client_id = str(self.apps[name]["appId"])
        if principal:
            self.principals[name] = self.az("ad sp create", "--id", client_id)
        return client_id

    def rest(self, method: str, path: str, body: Any = None) -> Any:
        """What az has no command for."""
        version = "" if path.startswith(("/beta/", "/v1.0/")) else "/v1.0"
        more = ("--body", json.dumps(body)) if body is not None else ()
        return self.az("rest", "--method", method, "--url", f"{self.url}{version}{path}", *more)

    def make(self, subscription: str) -> None:
        """All of it."""
        self._settings()
        self._credentials()
        self._apis()
        self._roles(subscription)
        self._names()
        self._without_registration()

    def _settings(self) -> None:
        self.app("plain")
        self.app("no principal", principal=False)
        self.app("web", "--web-redirect-uris", "https://a.example.com/cb?x=1&y=[2]", "http://localhost:3000/")
        self.app("implicit", "--enable-id-token-issuance", "true", "--enable-access-token-issuance", "true")
        self.app("home page", "--web-home-page-url", "https://a.example.com/a b".replace(" ", "%20"))
        self.app("desktop", "--public-client-redirect-uris", "msal://x", "http://localhost")
        self.app("fallback", "--is-fallback-public-client", "true")
        spa = self.app("spa")
        self.az("ad app update", "--id", spa, "--set", 'spa={"redirectUris":["https://spa.example.com/"]}')
        self.app("fifty", "--web-redirect-uris", *(f"https://{n}.example.com/callback" for n in range(50)))
        for audience in ("AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount"):
            version = () if audience == "AzureADMultipleOrgs" else ("--requested-access-token-version", "2")
            self.app(audience, "--sign-in-audience", audience, *version)
        claims = {"idToken": [{"name": "auth_time", "essential": False}], "accessToken": [{"name": "ipaddr"}]}
        self.app("claims", "--optional-claims", json.dumps(claims))
        described = self.app("described", "--service-management-reference", "CMDB-1")
        self.az("ad app update", "--id", described, "--set", "notes=line 1\nline 2", "--set", "description=a: b # c")
        tagged = self.app("tagged")
        self.az("ad app update", "--id", tagged, "--set", 'tags=["prod","HideApp","a: b"]')
        self.az("ad sp update", "--id", tagged, "--set", 'tags=["WindowsAzureActiveDirectoryIntegratedApp","prod"]')
        closed = self.app("closed")
        self.az("ad sp update", "--id", closed, "--set", "accountEnabled=false", "appRoleAssignmentRequired=true")

    def _credentials(self) -> None:
        secrets = self.app("secrets")
        for name, years in (("ci", "1"), ("old: { ]", "2"), ("no end", "200")):
            self.az("ad app credential reset", "--id", secrets, "--append", "--display-name", name, "--years", years)
        self.az("ad sp credential reset", "--id", secrets, "--append", "--display-name", "of the principal")
        certificate = self.app("certificate")
        self.az("ad app credential reset", "--id", certificate, "--append", "--create-cert")
        federated = self.app("federated")
        github = "https://token.actions.githubusercontent.com"
        for name, issuer, subject in (
            ("github", github, "repo:contoso/obs:environment:prod"),
            ("by_id", github, "repo:contoso@1/obs@2:ref:refs/heads/a/b"),
            ("slash", "https://x.example.com/", "a: b"),
            ("k8s", "https://oidc.example.com/c", "system:serviceaccount:a:b"),
            ("pods", "https://oidc.example.com/c/", "system:serviceaccount:a:b:c"),
            ("other-audience", "https://y.example.com", "subject " + "x" * 500),
        ):
            of = "api://elsewhere" if name == "other-audience" else AUDIENCE
            trust = {
                "name": name,
                "issuer": issuer,
                "subject": subject,
                "audiences": [of],
                "description": f"for {name}",
            }
            self.az("ad app federated-credential create", "--id", federated, "--parameters", json.dumps(trust))

    def _apis(self) -> None:
        role, scope = (str(uuid.uuid4()) for _ in range(2))
        shown = {"description": "d", "displayName": "Read all", "isEnabled": True}
        roles = [shown | {"id": role, "allowedMemberTypes": ["Application"], "value": "Read.All"}]
        roles += [shown | {"id": str(uuid.uuid4()), "allowedMemberTypes": ["User"], "value": "Old", "isEnabled": False}]
        api = self.app("api", "--app-roles", json.dumps(roles), "--requested-access-token-version", "2")
        texts = {
            "adminConsentDescription": "Read",
            "adminConsentDisplayName": "Read",
            "isEnabled": True,
            "type": "User",
        }
        scopes = {"oauth2PermissionScopes": [texts | {"id": scope, "value": "Read"}]}
        self.az("ad app update", "--id", api, "--identifier-uris", f"api://{api}", "--set", f"api={json.dumps(scopes)}")
        wanted = [
            {"resourceAppId": api, "resourceAccess": [{"id": role, "type": "Role"}, {"id": scope, "type": "Scope"}]},
            {"resourceAppId": GRAPH, "resourceAccess": [{"id": USER_READ_ALL, "type": "Role"}]},
        ]
        client = self.app("client", "--required-resource-accesses", json.dumps(wanted))
        self.az("ad app permission add", "--id", client, "--api", GRAPH, "--api-permissions", f"{USER_READ}=Scope")
        self.az("ad app permission grant", "--id", client, "--api", GRAPH, "--scope", "User.Read openid")
        self.az("ad app permission grant", "--id", client, "--api", api, "--scope", "Read")
        known = {"preAuthorizedApplications": [{"appId": client, "delegatedPermissionIds": [scope]}]}
        self.rest("patch", f"/applications/{self.apps['api']['id']}", {"api": known})
        principal = self.principals["client"]["id"]
        microsoft = self.az("ad sp show", "--id", GRAPH)["id"]
        for resource, permission in ((self.principals["api"]["id"], role), (microsoft, MAIL_SEND)):
            held = {"principalId": principal, "resourceId": resource, "appRoleId": permission}
            self.rest("post", f"/servicePrincipals/{principal}/appRoleAssignments", held)
        owned = self.app("owned")
        domain = self.rest("get", "/domains")["value"][0]["id"]
        person = ("--display-name", "Ada", "--user-principal-name", f"ada@{domain}")
        ada = self.az("ad user create", *person, secret=uuid.uuid4().hex + "Xy1!")["id"]
        self.az("ad app owner add", "--id", owned, "--owner-object-id", ada)
        self.az("ad app owner add", "--id", owned, "--owner-object-id", principal)
        left = self.az("ad user create", *person[:3], f"left@{domain}", secret=uuid.uuid4().hex + "Xy1!")["id"]
        self.az("ad app owner add", "--id", self.app("owner is gone"), "--owner-object-id", left)
        self.az("ad user delete", "--id", left)

    def _roles(self, subscription: str) -> None:
        group = self.az("group create", "--name", "rg-az", "--location", "westeurope")["id"]
        where = ("--resource-group", "rg-az", "--workspace-name", "law-az")
        workspace = self.az("monitor log-analytics workspace create", *where)["id"]
        definition = {
            "Name": "az asker",
            "Description": "Asks: logs",
            "Actions": ["Microsoft.OperationalInsights/workspaces/query/read"],
            "AssignableScopes": [f"/subscriptions/{subscription}", group],
        }
        self.az("role definition create", "--role-definition", json.dumps(definition))
        for name, role, scope in (
            ("rbac reader", READER, group),
            ("rbac administrator", ADMINISTRATOR, f"/subscriptions/{subscription}"),
            ("rbac custom", "az asker", workspace),
        ):
            made = self.az("ad sp create-for-rbac", "--name", name, "--role", role, "--scopes", scope)
            self.apps[name] = self.az("ad app show", "--id", made["appId"])
        who = ("--assignee", str(self.apps["rbac reader"]["appId"]))
        blob = ("--role", "Storage Blob Data Contributor", "--scope", group)
        self.az("role assignment create", *who, *blob, "--condition", CONDITION, "--condition-version", "2.0")
        self.az("role assignment create", *who, "--role", READER, "--scope", workspace, "--description", "by: hand")
        member = self.app("member")
        readers = self.az("ad group create", "--display-name", "Readers: all", "--mail-nickname", "readers")["id"]
        principal = self.az("ad sp show", "--id", member)["id"]
        self.az("ad group member add", "--group", readers, "--member-id", principal)
        held = {"principalId": principal, "roleDefinitionId": DIRECTORY_READERS, "directoryScopeId": "/"}
        self.rest("post", "/roleManagement/directory/roleAssignments", held)
        self.az("role assignment create", *("--assignee", member), "--role", READER, "--scope", workspace)

    def _names(self) -> None:
        """`ad app create` with the name of an app changes that app, takes no name with a `'`, and what begins with `@` for a file.

        So these get their names later.
        """
        for number, name in enumerate((*HOSTILE, "plain", "plain", "PLAIN")):
            if number < len(HOSTILE) and "'" not in name and name[0] not in "-@" and name != "deployer":
                self.app(name)
                continue
            self.app(f"later {number}")
            self.rest("patch", f"/applications/{self.apps[f'later {number}']['id']}", {"displayName": name})

    def _without_registration(self) -> None:
        for name in ("id-one", "id-two", "id-gone"):
            self.az("identity create", "--name", name, "--resource-group", "rg-az", "--location", "westeurope")
        self.az("identity delete", "--name", "id-gone", "--resource-group", "rg-az")
        for name in ("deleted", "plain, deleted"):
            self.az("ad app delete", "--id", self.app(name))
            del self.apps[name]
        self.az("ad sp delete", "--id", self.app("principal deleted"))


@pytest.fixture(scope="module")
def place(project: Project) -> Iterator[Place]:
    """A local Azure, and an engine for it."""
    made = Stack(project)
    yield Place(project, made.rehearsal)
    local_azure.stop(made.rehearsal.azure)


@pytest.fixture(scope="module")
def tenant(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    """The tenant; what it has of another one's apps comes without azure-cli, since those would have to consent first."""
    azure = place.azure
    azure.admin("POST", "ensure", {"service_principals": {"Somebody else's": str(uuid.uuid4())}})
    az = signed_in_to(azure, Path(tmp_path_factory.mktemp("az")))
    made = Tenant(az, azure.url)
    with az.in_one_process():
        made.make(azure.subscription_id)
    return made


def test_a_tenant_that_azure_cli_made_is_taken_over_without_a_change(place: Place, tenant: Tenant) -> None:
    done = place.entrant("import", "--all", "--except", place.azure.client_id, "-o", "config/all.yaml")
    assert done.returncode == 0, done.stderr
    assert "not taken over" not in done.stderr
    for kind, count in SKIPPED.items():
        assert f"skipped: {kind}: {count}\n" in done.stderr
    apps = config.load("all", root=place.project.root).apps.values()
    assert {app.adopt.application for app in apps if app.adopt} == {made["id"] for made in tenant.apps.values()}
    assert len(apps) > 50
    assert place.adopted("all") > 100
