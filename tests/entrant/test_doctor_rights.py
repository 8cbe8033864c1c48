"""For each thing that an environment can ask for: a deployer who lacks the right to it is told so, and Azure refuses the write."""

from __future__ import annotations

import base64
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import local_azure
from entrant import config
from entrant.access import deployer
from entrant.config.models import App, Environment
from entrant.doctor import azure_rights, directory_rights, examination, limits, references
from entrant.doctor.findings import Finding
from entrant.facts.apis import GRAPH, graph_permissions
from entrant.facts.clouds import Cloud
from entrant.facts.directory_roles import find_directory_role
from entrant.outputs import App as Existing
from entrant.outputs import Grant
from tests.conftest import ROOT
from tests.entrant.test_access import cloud, environ
from tests.local_azure.conftest import READER, Client, Identity

__all__ = ["cloud", "environ"]
USER_ACCESS_ADMINISTRATOR = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"
RBAC_ADMINISTRATOR = "f58310d9-a9f6-439a-9e8d-f62e7b41a168"
PERMISSIONS = (
    "Application.ReadWrite.OwnedBy",
    "AppRoleAssignment.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
    "GroupMember.ReadWrite.All",
    "RoleManagement.ReadWrite.Directory",
    "User.Read.All",
    "Policy.Read.All",
    "Organization.Read.All",
)
"""All that the environment below needs, and what lets `doctor` see limits."""


@dataclass(frozen=True)
class Tenant:
    """What the environment refers to, and who makes deployers."""

    azure: local_azure.LocalAzure
    admin: Client
    scope: str
    graph: str
    """Object id of Microsoft Graph's service principal."""
    group: str
    user: str
    target: Identity
    """An app to try writes on."""

    def deployer(self, *, without: str = "", role: str = USER_ACCESS_ADMINISTRATOR, reads: bool = True) -> Identity:
        """A new identity with every permission but one, a role at the scope, and Reader at the subscription."""
        made = self.admin.new_identity()
        for name in PERMISSIONS:
            if name != without:
                guid = graph_permissions().application[name]
                body = {"principalId": made.object_id, "resourceId": self.graph, "appRoleId": guid}
                self.admin.graph("POST", f"/servicePrincipals/{made.object_id}/appRoleAssignments", body)
        self.admin.grant(role, self.scope, made.object_id)
        if reads:
            self.admin.grant(READER, f"/subscriptions/{self.azure.subscription_id}", made.object_id)
        return made

    def environment(self, folder: Path) -> config.Environment:
        """An environment that asks for everything that takes a right of its own."""
        (folder / "config").mkdir()
        (folder / "config" / "dev.yaml").write_text(f"""\
role_definitions:
  looker: {{actions: [Microsoft.Resources/subscriptions/read], assignable_scopes: [{self.scope}]}}
apps:
  a:
    owners: [deployer, {self.user}]
    permissions: [{{api: Microsoft Graph, application: [User.Read.All], delegated: [User.Read], consent: true}}]
    roles: [{{role: Reader, scope: {self.scope}}}]
    groups: [{self.group}]
    directory_roles: [{{role: Directory Readers}}]
""")
        return config.load("dev", root=folder)

    def reference(self, key: str) -> dict[str, str]:
        return {"@odata.id": f"{self.azure.url}/v1.0/directoryObjects/{key}"}


@pytest.fixture
def tenant(azure: local_azure.LocalAzure, environ: dict[str, str]) -> Iterator[Tenant]:
    admin = Client(azure)
    name = uuid.uuid4().hex[:8]
    scope = f"/subscriptions/{azure.subscription_id}/resourceGroups/rg-{name}"
    azure.ensure([scope])
    graph = admin.graph("GET", f"/servicePrincipals?$filter=appId eq '{GRAPH}'&$select=id")["value"][0]["id"]
    body = {"displayName": name, "mailNickname": name, "mailEnabled": False, "securityEnabled": True}
    group = admin.graph("POST", "/groups", body)["id"]
    upn = f"{name}@{admin.graph('GET', '/domains')['value'][0]['id']}"
    password = {"password": f"{uuid.uuid4()}Aa1", "forceChangePasswordNextSignIn": False}
    person = {"displayName": name, "mailNickname": name, "userPrincipalName": upn, "accountEnabled": True}
    admin.graph("POST", "/users", person | {"passwordProfile": password})
    yield Tenant(azure, admin, scope, graph, group, upn, admin.new_identity())


def problems(found: Iterator[Finding]) -> dict[str, Finding]:
    return {finding.what: finding for finding in found if finding.state == "problem"}


def examined(tenant: Tenant, who: Identity, cloud: Cloud, environ: dict[str, str], folder: Path) -> dict[str, Finding]:
    """The problems that `doctor` tells this deployer, leaving the engine out of it."""
    mine = environ | {"ARM_CLIENT_ID": who.client_id, "ARM_CLIENT_SECRET": who.secret}
    around = os.environ | {"PULUMI_BACKEND_URL": f"file://{folder}", "PULUMI_HOME": str(folder / "home")}
    found = examination.examine(tenant.environment(folder), deployer.find(cloud, mine), cwd=folder, environ=around)
    return problems(found)


def register(tenant: Tenant, client: Client) -> int:
    return client.call("POST", "/v1.0/applications", {"displayName": uuid.uuid4().hex}).status_code


def consent(tenant: Tenant, client: Client) -> int:
    principal = tenant.target.object_id
    role = graph_permissions().application["User.Read.All"]
    body = {"principalId": principal, "resourceId": tenant.graph, "appRoleId": role}
    return client.call("POST", f"/v1.0/servicePrincipals/{principal}/appRoleAssignments", body).status_code


def consent_for_all_users(tenant: Tenant, client: Client) -> int:
    body = {"clientId": tenant.target.object_id, "resourceId": tenant.graph, "consentType": "AllPrincipals"}
    return client.call("POST", "/v1.0/oauth2PermissionGrants", body | {"scope": "User.Read"}).status_code


def join(tenant: Tenant, client: Client) -> int:
    body = tenant.reference(tenant.target.object_id)
    return client.call("POST", f"/v1.0/groups/{tenant.group}/members/$ref", body).status_code


def become_reader(tenant: Tenant, client: Client) -> int:
    role = find_directory_role("Directory Readers")
    assert role is not None
    body = {"principalId": tenant.target.object_id, "roleDefinitionId": role.id, "directoryScopeId": "/"}
    return client.call("POST", "/v1.0/roleManagement/directory/roleAssignments", body).status_code


def find_owner(tenant: Tenant, client: Client) -> int:
    return client.call("GET", f"/v1.0/users/{tenant.user}").status_code


def assign(tenant: Tenant, client: Client) -> int:
    kind = "providers/Microsoft.Authorization"
    definition = f"/subscriptions/{tenant.azure.subscription_id}/{kind}/roleDefinitions/{READER}"
    body = {"roleDefinitionId": definition, "principalId": tenant.target.object_id, "principalType": "ServicePrincipal"}
    path = f"{tenant.scope}/{kind}/roleAssignments/{uuid.uuid4()}?api-version=2022-04-01"
    return client.call("PUT", path, {"properties": body}).status_code


def define(tenant: Tenant, client: Client) -> int:
    path = f"{tenant.scope}/providers/Microsoft.Authorization/roleDefinitions/{uuid.uuid4()}?api-version=2022-04-01"
    properties: dict[str, Any] = {
        "roleName": uuid.uuid4().hex,
        "type": "CustomRole",
        "permissions": [{"actions": ["Microsoft.Resources/subscriptions/read"]}],
        "assignableScopes": [tenant.scope],
    }
    return client.call("PUT", path, {"properties": properties}).status_code


def define_and_read(tenant: Tenant, client: Client) -> int:
    assert define(tenant, client) == 201
    home = f"/subscriptions/{tenant.azure.subscription_id}/providers/Microsoft.Authorization/roleDefinitions"
    return client.call("GET", f"{home}/{READER}?api-version=2022-04-01").status_code


def on(tenant: Tenant) -> str:
    return tenant.scope.rsplit("/", 1)[-1]


CASES: list[tuple[dict[str, Any], Callable[[Tenant], set[str]], Callable[[Tenant, Client], int]]] = [
    (
        {"without": "Application.ReadWrite.OwnedBy"},
        lambda tenant: {"create applications", f"API {GRAPH}"},
        register,
    ),
    ({"without": "AppRoleAssignment.ReadWrite.All"}, lambda tenant: {"consent"}, consent),
    (
        {"without": "DelegatedPermissionGrant.ReadWrite.All"},
        lambda tenant: {"delegated consent"},
        consent_for_all_users,
    ),
    ({"without": "GroupMember.ReadWrite.All"}, lambda tenant: {"add to groups", f"group {tenant.group}"}, join),
    ({"without": "RoleManagement.ReadWrite.Directory"}, lambda tenant: {"give directory roles"}, become_reader),
    ({"without": "User.Read.All"}, lambda tenant: {f"owner {tenant.user}"}, find_owner),
    (
        {"role": READER},
        lambda tenant: {f"assign roles on {on(tenant)}", f"define looker on {on(tenant)}"},
        assign,
    ),
    ({"reads": False}, lambda tenant: {"read looker back"}, define_and_read),
    ({"role": RBAC_ADMINISTRATOR}, lambda tenant: {f"define looker on {on(tenant)}"}, define),
]


def test_an_app_without_any_right_may_not_create_applications_whatever_the_tenant_lets_its_users(
    tenant: Tenant, cloud: Cloud, environ: dict[str, str], tmp_path: Path
) -> None:
    """And what it may not look at is said with the right that it lacks."""
    who = tenant.admin.new_identity()
    mine = environ | {"ARM_CLIENT_ID": who.client_id, "ARM_CLIENT_SECRET": who.secret}
    tenant_of = tenant.environment(tmp_path)
    around = os.environ | {"PULUMI_BACKEND_URL": f"file://{tmp_path}", "PULUMI_HOME": str(tmp_path / "home")}
    found = examination.examine(tenant_of, deployer.find(cloud, mine), cwd=tmp_path, environ=around)
    states = {finding.what: (finding.state, finding.evidence) for finding in found}
    assert states["create applications"] == ("problem", "no permission and no directory role for it")
    lacks = "403 Authorization_RequestDenied: the deployer lacks the Graph permission Organization.Read.All"
    assert states["directory size"] == ("unknown", lacks)


@pytest.mark.parametrize(("lacking", "expected", "write"), CASES, ids=lambda value: getattr(value, "__name__", None))
def test_a_right_that_is_missing_is_told_and_its_write_refused(
    tenant: Tenant,
    cloud: Cloud,
    environ: dict[str, str],
    tmp_path: Path,
    lacking: dict[str, Any],
    expected: Callable[[Tenant], set[str]],
    write: Callable[[Tenant, Client], int],
) -> None:
    """And with it nothing is told, and the write is done."""
    (tmp_path / "poor").mkdir()
    (tmp_path / "rich").mkdir()
    poor, rich = tenant.deployer(**lacking), tenant.deployer()
    found = examined(tenant, poor, cloud, environ, tmp_path / "poor")
    assert set(found) - {"backend"} == expected(tenant)
    assert all(finding.next_step for finding in found.values())
    assert write(tenant, Client(tenant.azure, poor.client_id, poor.secret)) == 403
    assert set(examined(tenant, rich, cloud, environ, tmp_path / "rich")) - {"backend"} == set()
    assert write(tenant, Client(tenant.azure, rich.client_id, rich.secret)) in (200, 201, 204)


def test_a_right_under_a_condition_is_not_called_enough(
    tenant: Tenant, cloud: Cloud, environ: dict[str, str], tmp_path: Path
) -> None:
    """A deployer that may assign some roles only: what it may is told, until it has the right without a condition."""
    made = tenant.admin.new_identity()
    who = deployer.find(cloud, environ | {"ARM_CLIENT_ID": made.client_id, "ARM_CLIENT_SECRET": made.secret})
    assert who is not None
    environment = tenant.environment(tmp_path)
    attribute = "@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId]"
    guid = "3913510d-42f4-4e42-8a64-420c390055eb"
    condition = (
        "((!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'})) OR "
        f"({attribute} ForAnyOfAnyValues:GuidEquals {{{guid}}}))"
    )
    more: dict[str, Any] = {"condition": condition, "conditionVersion": "2.0"}
    tenant.admin.grant(RBAC_ADMINISTRATOR, tenant.scope, made.object_id, **more)
    [finding] = azure_rights.roles(environment, who, {})
    assert finding.state == "unknown" and condition in finding.evidence
    assert assign(tenant, Client(tenant.azure, made.client_id, made.secret)) == 403
    tenant.admin.grant(USER_ACCESS_ADMINISTRATOR, tenant.scope, made.object_id)
    assert [finding.state for finding in azure_rights.roles(environment, who, {})] == ["ok"]


def test_a_custom_role_that_cannot_be_changed_later_is_told(
    tenant: Tenant, cloud: Cloud, environ: dict[str, str], tmp_path: Path
) -> None:
    """Azure makes it a part of the subscription: whoever may define it on a group of it alone cannot remove it."""
    made = tenant.deployer()
    who = deployer.find(cloud, environ | {"ARM_CLIENT_ID": made.client_id, "ARM_CLIENT_SECRET": made.secret})
    assert who is not None
    found = {finding.what: finding.state for finding in azure_rights.definitions(tenant.environment(tmp_path), who, {})}
    assert found == {
        f"define looker on {on(tenant)}": "ok",
        "read looker back": "ok",
        "change or remove looker later": "unknown",
    }


UNTOUCHED = {
    "extends": "a file",
    "tenant": "compared with the login",
    "cloud": "endpoints",
    "subscription": "part of scopes",
    "scopes": "names",
    "limits": "checked by validate",
    "policy": "checked by validate",
    "drift": "read by drift",
    "defaults": "part of apps",
    "on_remove": "an option of Pulumi",
    "protect": "an option of Pulumi",
    "change_adopted": "says what may become of what `adopt` names",
    "apps": "each key of it below",
    "allow_privileged": "checked by validate",
    "reason": "checked by validate",
    "kept_credentials": "no request is made of it",
}
"""Keys that no request of an `up` comes from."""
OF_THE_REGISTRATION = {
    "display_name", "description", "notes", "sign_in_audience", "identifier_uris", "web", "spa", "public_client", "links", "logo",
    "app_roles", "api", "optional_claims", "group_claims", "tags", "feature_tags", "service_management_reference",
    "service_principal", "secret", "certificates", "federated",
}  # fmt: skip
"""Keys that whoever may make and change the registration and its service principal may write."""
LOOKED_AT = {"role_definitions", "owners", "permissions", "roles", "groups", "directory_roles", "adopt"}
"""Keys that take a right of their own, which the tests here take away."""


def test_every_key_of_the_vocabulary_is_looked_at_or_takes_no_right_of_its_own() -> None:
    """A new key has to be put into one of the three, with its right in `doctor`."""
    keys = {*App.model_fields, *Environment.model_fields}
    assert keys - set(UNTOUCHED) - OF_THE_REGISTRATION - LOOKED_AT - {"renamed_from"} == set()


def test_an_adopted_app_of_somebody_else_is_told(
    tenant: Tenant, cloud: Cloud, environ: dict[str, str], tmp_path: Path
) -> None:
    """With Application.ReadWrite.OwnedBy alone; as its owner, nothing is told and it can be changed."""
    (tmp_path / "config").mkdir()
    adopt = f"{{application: {tenant.target.application_id}, service_principal: {tenant.target.object_id}}}"
    (tmp_path / "config" / "dev.yaml").write_text(f"apps:\n  a: {{adopt: {adopt}, on_remove: keep}}\n")
    environment = config.load("dev", root=tmp_path)
    made = tenant.deployer()
    who = deployer.find(cloud, environ | {"ARM_CLIENT_ID": made.client_id, "ARM_CLIENT_SECRET": made.secret})
    assert who is not None
    client = Client(tenant.azure, made.client_id, made.secret)
    change = ("PATCH", f"/v1.0/applications/{tenant.target.application_id}", {"notes": "ours"})
    [finding] = directory_rights.owners(environment, who, {})
    assert (finding.what, finding.state) == ("owners of a", "problem")
    assert tenant.target.application_id in finding.evidence and tenant.target.object_id in finding.evidence
    assert client.call(*change).status_code == 403
    for path in (f"applications/{tenant.target.application_id}", f"servicePrincipals/{tenant.target.object_id}"):
        tenant.admin.graph("POST", f"/{path}/owners/$ref", tenant.reference(made.object_id))
    assert list(directory_rights.owners(environment, who, {})) == []
    assert client.call(*change).status_code == 204


def test_an_adopted_certificate_that_is_not_the_files_is_told(
    tenant: Tenant, cloud: Cloud, environ: dict[str, str], tmp_path: Path
) -> None:
    """No provider reads a certificate back, so an `up` would not see it."""
    path = f"/applications/{tenant.target.application_id}"
    batch = ROOT / "examples" / "batch.pem"
    key = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": base64.b64encode(batch.read_bytes()).decode()}
    tenant.admin.graph("PATCH", path, {"keyCredentials": [key]})
    [held] = tenant.admin.graph("GET", path)["keyCredentials"]
    (tmp_path / "config").mkdir()
    who = deployer.find(cloud, environ)
    assert who is not None
    for key_id, evidence in (
        (held["keyId"], None),
        (held["keyId"][:-4] + "0000", "has no certificate with the key id"),
    ):
        text = f"apps:\n  a:\n    adopt: {{application: {tenant.target.application_id}}}\n    on_remove: keep\n"
        text += f"    certificates: {{batch: {{path: {batch}, adopt: {key_id}}}}}\n"
        (tmp_path / "config" / "dev.yaml").write_text(text)
        found = list(references.adopted_certificates(config.load("dev", root=tmp_path), who, {}))
        assert [evidence in finding.evidence for finding in found if evidence] == ([True] if evidence else [])
        assert len(found) == (evidence is not None)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("{}", []),
        ("{owners: [deployer]}", []),
        ("{owners: []}", ["owners"]),
        ("{owners: [11111111-1111-4111-8111-111111111111]}", ["owners"]),
        ("{service_principal: {owners: [ada@example.com]}}", ["service_principal.owners"]),
    ],
)
def test_owners_that_leave_the_deployer_out_are_told(
    tenant: Tenant, cloud: Cloud, environ: dict[str, str], tmp_path: Path, lines: str, expected: list[str]
) -> None:
    """Of registration and service principal each; not to somebody who may change every registration."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "dev.yaml").write_text(f"apps:\n  a: {lines}\n")
    environment = config.load("dev", root=tmp_path)
    made = tenant.deployer()
    limited = deployer.find(cloud, environ | {"ARM_CLIENT_ID": made.client_id, "ARM_CLIENT_SECRET": made.secret})
    everything = deployer.find(cloud, environ)
    assert limited is not None and everything is not None
    found = [finding.evidence for finding in directory_rights.owners(environment, limited, {})]
    assert found == [f"the deployer may change only what it owns, and `{where}` leaves it out" for where in expected]
    assert list(directory_rights.owners(environment, everything, {})) == []


def test_an_owner_who_cannot_be_looked_up_is_not_told_to_be_missing(
    tenant: Tenant, cloud: Cloud, environ: dict[str, str], tmp_path: Path
) -> None:
    """Who may read users is told that there is none of this name, who may not that the right is missing."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "dev.yaml").write_text("apps:\n  a: {owners: [deployer, no-such@example.com]}\n")
    environment, made = config.load("dev", root=tmp_path), tenant.admin.new_identity()
    limited = deployer.find(cloud, environ | {"ARM_CLIENT_ID": made.client_id, "ARM_CLIENT_SECRET": made.secret})
    everything = deployer.find(cloud, environ)
    assert limited is not None and everything is not None
    [unseen] = references.look_ups(environment, limited, {})
    assert "there is none" not in unseen.evidence and str(unseen.next_step).startswith("grant User.Read.All")
    [missing] = references.look_ups(environment, everything, {})
    assert (missing.evidence, missing.next_step) == ("there is none in this tenant", "correct the owner")


def test_what_is_there_already_takes_no_right_and_no_room(
    tenant: Tenant, cloud: Cloud, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Consents, groups, directory roles, assignments and objects of the stack's outputs are not counted as new."""
    made = tenant.admin.new_identity()
    who = deployer.find(cloud, environ | {"ARM_CLIENT_ID": made.client_id, "ARM_CLIENT_SECRET": made.secret})
    assert who is not None
    environment = tenant.environment(tmp_path)
    role = find_directory_role("Directory Readers")
    assert role is not None
    there = Existing(
        name="a",
        tenant_id=tenant.azure.tenant_id,
        client_id=tenant.target.client_id,
        object_id=tenant.target.application_id,
        service_principal_id=tenant.target.object_id,
        grants=(Grant("Reader", READER, tenant.scope),),
        permissions=(
            {"api": "Microsoft Graph", "kind": "application", "name": "User.Read.All", "consent": True},
            {"api": "Microsoft Graph", "kind": "delegated", "name": "User.Read", "consent": True},
        ),
        groups=[tenant.group],
        directory_roles=[{"role_id": role.id, "administrative_unit": None}],
    )
    assert len(list(directory_rights.rights(environment, who, {}))) == 4
    assert list(directory_rights.rights(environment, who, {"a": there})) == []
    assert list(azure_rights.roles(environment, who, {"a": there})) == []
    full = deployer.find(cloud, environ)
    assert full is not None
    monkeypatch.setattr(limits, "ASSIGNMENTS", 1)
    monkeypatch.setattr(limits, "NON_ADMIN_OBJECTS", 1)
    used = tenant.admin.graph("GET", "/organization?$select=directorySizeQuota")["value"][0]["directorySizeQuota"][
        "used"
    ]
    before = tenant.azure.admin("GET", "settings")["directory_quota"]
    tenant.azure.admin("PATCH", "settings", {"directory_quota": used})
    try:
        assert set(problems(limits.quotas(environment, full, {}))) == {
            f"assignments in {tenant.azure.subscription_id}",
            "objects of the deployer",
            "directory size",
        }
        assert problems(limits.quotas(environment, full, {"a": there})) == {}
        evidence = [finding.evidence for finding in limits.quotas(environment, full, {"a": there})]
        assert evidence[-1].endswith("are allowed: the directory is full, and nothing here is new")
    finally:
        tenant.azure.admin("PATCH", "settings", {"directory_quota": before})
