"""Every resource and data source of the azuread plugin that an app identity needs, from its creation to its deletion.

Tried with the real plugin where there is one, on PATH or installed by Pulumi, and with the stand-in always; both are driven as the
engine drives them. The lives of all resources run side by side: the real plugin waits 20 seconds after most deletions.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from entrant.rehearsal import users_home
from local_azure import LocalAzure, plugins
from local_azure.plugins.azuread import AzureAd
from local_azure.plugins.azuread_types import TYPES
from tests.clients.test_azuread_operations import operation_of
from tests.clients.test_sdks import self_signed
from tests.local_azure.conftest import Client
from tests.local_azure.plugin_process import Plugin, environ
from tests.passes import Passes

GRAPH = "00000003-0000-0000-c000-000000000000"
TEMPLATE = "8adf8e6e-67b2-4cf2-a259-e3dc5476c621"
"""The application template of what is in no gallery."""
ISSUER = "https://token.actions.githubusercontent.com"
ROLE, SCOPE, CLIENT = (str(uuid.uuid4()) for _ in range(3))
ROLES = [{"allowedMemberTypes": ["Application"], "description": "d", "displayName": "Do", "id": ROLE, "value": "Do.It"}]
SCOPES = [{"adminConsentDescription": "d", "adminConsentDisplayName": "D", "id": SCOPE, "value": "Read"}]
LOGO = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
FUNCTIONS = AzureAd("0").functions
Inputs = dict[str, Any]


class Directory:
    """Fresh objects for a resource to be made beside or below, so that no two lives meet."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.graph_principal: str = client.graph("GET", f"/servicePrincipals(appId='{GRAPH}')")["id"]

    def app(self, **properties: Any) -> dict[str, Any]:
        body = {"displayName": f"app {uuid.uuid4()}", **properties}
        found: dict[str, Any] = self.client.graph("POST", "/applications", body)
        return found

    def app_id(self, **properties: Any) -> str:
        """An application's id as other resources take it."""
        return f"/applications/{self.app(**properties)['id']}"

    def principal(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.graph("POST", "/servicePrincipals", {"appId": self.app()["appId"]})
        return found

    def group(self) -> dict[str, Any]:
        name = f"group-{uuid.uuid4()}"
        body = {"displayName": name, "mailNickname": name, "mailEnabled": False, "securityEnabled": True}
        found: dict[str, Any] = self.client.call("POST", "/beta/groups", body).json()
        return found

    def user(self) -> dict[str, Any]:
        domain = self.client.graph("GET", "/domains")["value"][0]["id"]
        name = f"user-{uuid.uuid4()}"
        body = {
            "accountEnabled": True,
            "displayName": name,
            "mailNickname": name,
            "passwordProfile": {"password": str(uuid.uuid4())},
            "userPrincipalName": f"{name}@{domain}",
        }
        found: dict[str, Any] = self.client.graph("POST", "/users", body)
        return found

    def role(self) -> str:
        """The object id of an activated directory role."""
        reader = "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"
        for held in self.client.graph("GET", "/directoryRoles")["value"]:
            if held["roleTemplateId"] == reader:
                return str(held["id"])
        return str(self.client.graph("POST", "/directoryRoles", {"roleTemplateId": reader})["id"])


@dataclass(frozen=True)
class Life:
    """What a program says of a resource, and what it says later if that can change in place."""

    name: str
    inputs: Callable[[Directory], Inputs]
    later: Inputs | None = None
    imported: bool = True
    unseen: frozenset[str] = frozenset()
    """Inputs that Azure does not give back, so that what is imported with them would be made anew."""
    needed: frozenset[str] = frozenset()
    """Inputs that cannot be left out though the schema does not say so."""
    fixed: frozenset[str] | None = None
    """Inputs that cannot be left out or changed in place, of a type that the stand-in does not have."""
    leaves: bool = True
    """Whether it is gone once deleted: some are a setting of an application, which goes back to empty."""

    @property
    def token(self) -> str:
        return f"azuread:index/{self.name[0].lower()}{self.name[1:]}:{self.name}"


def trust(**more: Any) -> Inputs:
    return {"displayName": "github", "issuer": ISSUER, **more}


def _with_uri(app: dict[str, Any]) -> Inputs:
    return {"applicationId": f"/applications/{app['id']}", "identifierUri": f"api://{app['appId']}"}


def _principal_id(directory: Directory) -> str:
    return f"/servicePrincipals/{directory.principal()['id']}"


def _user_inputs(directory: Directory) -> Inputs:
    domain = directory.client.graph("GET", "/domains")["value"][0]["id"]
    return {
        "displayName": "Ada",
        "userPrincipalName": f"ada-{uuid.uuid4()}@{domain}",
        "password": f"Aa1!{uuid.uuid4()}",
        "jobTitle": "first",
    }


LIVES = (
    Life(
        "Application",
        lambda _: {
            "displayName": f"whole {uuid.uuid4()}",
            "description": "first",
            "api": {"requestedAccessTokenVersion": 2, "mappedClaimsEnabled": True, "oauth2PermissionScopes": SCOPES},
            "appRoles": ROLES,
            "featureTags": [{"enterprise": True, "hide": True}],
            "groupMembershipClaims": ["SecurityGroup"],
            "logoImage": LOGO,
            "oauth2PostResponseRequired": True,
            "optionalClaims": {"accessTokens": [{"name": "email"}]},
            "owners": [_.client.azure.object_id],
            "publicClient": {"redirectUris": ["http://localhost/"]},
            "requiredResourceAccesses": [
                {
                    "resourceAppId": GRAPH,
                    "resourceAccesses": [{"id": "df021288-bdef-4463-88db-98f22de89214", "type": "Role"}],
                }
            ],
            "singlePageApplication": {"redirectUris": ["https://spa.example/"]},
            "web": {"homepageUrl": "https://x.example/", "redirectUris": ["https://x.example/cb"]},
        },
        {"description": "second", "appRoles": [], "notes": "kept"},
    ),
    Life(
        "ApplicationRegistration",
        lambda _: {"displayName": f"bare {uuid.uuid4()}", "homepageUrl": "https://x.example/"},
        {"notes": "kept"},
        fixed=frozenset({"displayName"}),
    ),
    Life("ApplicationPassword", lambda _: {"applicationId": _.app_id(), "displayName": "one"}, imported=False),
    Life(
        "ApplicationCertificate",
        lambda _: {"applicationId": _.app_id(), "type": "AsymmetricX509Cert", "value": self_signed()[0].decode()},
        unseen=frozenset({"value", "encoding"}),
    ),
    Life(
        "ApplicationFederatedIdentityCredential",
        lambda _: trust(applicationId=_.app_id(), subject="repo:a/b:environment:dev", audiences=["api://one"]),
        {"subject": "repo:a/b:environment:prod", "description": "second"},
    ),
    Life(
        "ApplicationFlexibleFederatedIdentityCredential",
        lambda _: trust(
            applicationId=_.app_id(),
            audience="api://one",
            claimsMatchingExpression="claims['sub'] matches 'repo:a/b:ref:refs/heads/*'",
        ),
        {"claimsMatchingExpression": "claims['sub'] matches 'repo:a/b:ref:refs/tags/*'"},
    ),
    Life(
        "ApplicationPreAuthorized",
        lambda _: {
            "applicationId": _.app_id(
                api={"oauth2PermissionScopes": [{**SCOPES[0], "type": "User", "isEnabled": True}]}
            ),
            "authorizedClientId": CLIENT,
            "permissionIds": [SCOPE],
        },
    ),
    Life("ApplicationIdentifierUri", lambda _: _with_uri(_.app())),
    Life(
        "ApplicationKnownClients",
        lambda _: {"applicationId": _.app_id(), "knownClientIds": [CLIENT]},
        {"knownClientIds": [ROLE]},
        leaves=False,
    ),
    Life(
        "ApplicationOwner",
        lambda _: {"applicationId": _.app_id(), "ownerObjectId": _.principal()["id"]},
    ),
    Life(
        "ApplicationApiAccess",
        lambda _: {
            "applicationId": _.app_id(),
            "apiClientId": GRAPH,
            "roleIds": ["df021288-bdef-4463-88db-98f22de89214"],
        },
        {"roleIds": ["9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30"]},
    ),
    Life(
        "ApplicationAppRole",
        lambda _: {
            "applicationId": _.app_id(),
            "roleId": ROLE,
            "allowedMemberTypes": ["Application"],
            "description": "first",
            "displayName": "Do",
            "value": "Do.It",
        },
        {"description": "second"},
    ),
    Life(
        "ApplicationFallbackPublicClient",
        lambda _: {"applicationId": _.app_id(), "enabled": True},
        leaves=False,
    ),
    Life(
        "ApplicationOptionalClaims",
        lambda _: {"applicationId": _.app_id(), "accessTokens": [{"name": "email"}]},
        {"accessTokens": [{"name": "upn"}]},
    ),
    Life(
        "ApplicationPermissionScope",
        lambda _: {
            "applicationId": _.app_id(),
            "scopeId": SCOPE,
            "adminConsentDescription": "first",
            "adminConsentDisplayName": "D",
            "value": "Read",
        },
        {"adminConsentDescription": "second"},
    ),
    Life(
        "ApplicationRedirectUris",
        lambda _: {"applicationId": _.app_id(), "type": "Web", "redirectUris": ["https://x.example/one"]},
        {"redirectUris": ["https://x.example/two"]},
    ),
    Life(
        "ApplicationFromTemplate",
        lambda _: {"displayName": f"t {uuid.uuid4()}", "templateId": TEMPLATE},
        {"displayName": "another name"},
    ),
    Life(
        "ServicePrincipal",
        lambda _: {"clientId": _.app()["appId"], "notes": "first", "tags": ["one"]},
        {"appRoleAssignmentRequired": True, "notes": "second"},
    ),
    Life("ServicePrincipalPassword", lambda _: {"servicePrincipalId": _principal_id(_)}, imported=False),
    Life(
        "ServicePrincipalCertificate",
        lambda _: {
            "servicePrincipalId": _principal_id(_),
            "type": "AsymmetricX509Cert",
            "value": self_signed()[0].decode(),
        },
        unseen=frozenset({"value", "encoding"}),
    ),
    Life(
        "ServicePrincipalTokenSigningCertificate",
        lambda _: {"servicePrincipalId": _principal_id(_), "displayName": "CN=signing"},
    ),
    Life(
        "AppRoleAssignment",
        lambda _: {
            "appRoleId": "df021288-bdef-4463-88db-98f22de89214",
            "principalObjectId": _.principal()["id"],
            "resourceObjectId": _.graph_principal,
        },
    ),
    Life(
        "ServicePrincipalDelegatedPermissionGrant",
        lambda _: {
            "claimValues": ["User.Read", "openid"],
            "servicePrincipalObjectId": _.principal()["id"],
            "resourceServicePrincipalObjectId": _.graph_principal,
        },
        {"claimValues": ["User.Read"]},
    ),
    Life(
        "Group",
        lambda _: {"displayName": f"g {uuid.uuid4()}", "securityEnabled": True, "members": [_.principal()["id"]]},
        {"description": "second", "members": []},
        needed=frozenset({"securityEnabled"}),
        fixed=frozenset({"displayName"}),
    ),
    Life(
        "GroupWithoutMembers",
        lambda _: {"displayName": f"g {uuid.uuid4()}", "securityEnabled": True},
        {"description": "second"},
    ),
    Life(
        "GroupMember",
        lambda _: {"groupObjectId": _.group()["id"], "memberObjectId": _.principal()["id"]},
    ),
    Life("DirectoryRole", lambda _: {"displayName": "Global Reader"}, imported=False, leaves=False),
    Life(
        "DirectoryRoleAssignment",
        lambda _: {"principalObjectId": _.principal()["id"], "roleId": "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"},
    ),
    Life(
        "DirectoryRoleMember",
        lambda _: {"memberObjectId": _.principal()["id"], "roleObjectId": _.role()},
    ),
    Life(
        "CustomDirectoryRole",
        lambda _: {
            "displayName": f"role {uuid.uuid4()}",
            "enabled": True,
            "version": "1.0",
            "permissions": [{"allowedResourceActions": ["microsoft.directory/applications/basic/update"]}],
        },
        {"description": "second"},
    ),
    Life(
        "User",
        _user_inputs,
        {"jobTitle": "second"},
        imported=False,
    ),
)


def settled(plugin: Plugin, life: Life, made: str, state: Inputs, inputs: Inputs) -> bool:
    """Whether a program that has not changed sees no change, neither as it is nor after a refresh."""
    before = plugin.diff(life.token, made, state, inputs, inputs)
    found, read, refreshed = plugin.read(life.token, made, state, inputs)
    after = plugin.diff(life.token, made, read, inputs, refreshed)
    assert not before.detailedDiff, f"after it was made: {dict(before.detailedDiff)}"
    assert not after.detailedDiff, f"after a refresh: {dict(after.detailedDiff)}"
    return found == made


def live(plugin: Plugin, life: Life, directory: Directory) -> list[str]:
    """Take a resource through its whole life; what has been done."""
    inputs = life.inputs(directory)
    made, state, checked = plugin.create(life.token, **inputs)
    assert made and settled(plugin, life, made, state, checked)
    done = ["create", "read", "refresh"]
    if life.later is not None:
        news, failures = plugin.check(life.token, inputs | life.later, checked)
        assert failures == []
        changes = plugin.diff(life.token, made, state, news, checked)
        assert changes.detailedDiff and not changes.replaces, f"{changes.detailedDiff} {changes.replaces}"
        state = plugin.update(life.token, made, state, news, checked)
        checked = news
        assert settled(plugin, life, made, state, checked)
        done.append("update")
    if life.later is not None and (life.token in TYPES or life.fixed is not None):
        props = TYPES[life.token].props if life.token in TYPES else {}
        fixed = {name for name, prop in props.items() if prop.required or prop.force_new} | (life.fixed or set())
        left = {name: value for name, value in (inputs | life.later).items() if name in fixed | life.needed}
        news, failures = plugin.check(life.token, left, checked)
        assert failures == []
        if plugin.diff(life.token, made, state, news, checked).detailedDiff:
            state = plugin.update(life.token, made, state, news, checked)
            checked = news
            assert settled(plugin, life, made, state, checked)
            done.append("leave out")
    if life.imported:
        imported, found, as_inputs = plugin.read(life.token, made)
        assert imported == made and as_inputs
        assert set(plugin.diff(life.token, made, found, checked, as_inputs).replaces) <= life.unseen
        done.append("import")
    plugin.delete(life.token, made, state, checked)
    still = plugin.read(life.token, made, state, checked)[0]
    assert bool(still) is not life.leaves
    return [*done, "delete"]


@dataclass(frozen=True)
class Lookup:
    """A data source, what it is asked, and what of its answer must be what."""

    name: str
    asked: Callable[[Directory], tuple[Inputs, Inputs]]

    @property
    def token(self) -> str:
        return f"azuread:index/{self.name}:{self.name}"


def by_id(found: dict[str, Any], *also: str) -> tuple[Inputs, Inputs]:
    """Ask for an object by its id, and expect these further properties as Graph has them."""
    return {"objectId": found["id"]}, {name: found[name] for name in also}


def _application(directory: Directory) -> tuple[Inputs, Inputs]:
    made = directory.app()
    return {"clientId": made["appId"]}, {"objectId": made["id"], "displayName": made["displayName"]}


def _several(found: list[dict[str, Any]]) -> tuple[Inputs, Inputs]:
    ids = [one["id"] for one in found]
    return {"objectIds": ids}, {"objectIds": ids}


LOOKUPS = (
    Lookup("getApplication", _application),
    Lookup("getApplicationPublishedAppIds", lambda _: ({}, {})),
    Lookup("getApplicationTemplate", lambda _: ({"displayName": "Custom"}, {"templateId": TEMPLATE})),
    Lookup(
        "getClientConfig",
        lambda _: ({}, {"clientId": _.client.azure.client_id, "objectId": _.client.azure.object_id}),
    ),
    Lookup("getDirectoryObject", lambda _: (by_id(_.principal())[0], {"type": "ServicePrincipal"})),
    Lookup("getDirectoryRoleTemplates", lambda _: ({}, {})),
    Lookup("getDirectoryRoles", lambda _: ({}, {})),
    Lookup("getDomains", lambda _: ({"onlyInitial": True}, {})),
    Lookup("getGroup", lambda _: by_id(_.group(), "displayName")),
    Lookup("getGroups", lambda _: _several([_.group(), _.group()])),
    Lookup("getServicePrincipal", lambda _: by_id(_.principal(), "displayName")),
    Lookup("getServicePrincipals", lambda _: _several([_.principal(), _.principal()])),
    Lookup("getUser", lambda _: by_id(_.user(), "userPrincipalName")),
    Lookup("getUsers", lambda _: _several([_.user(), _.user()])),
)


def look_up(lives: Lives, lookup: Lookup) -> None:
    inputs, expected = lookup.asked(lives.directory)
    found = lives.plugin.invoke(lookup.token, **inputs)
    assert found.get("id") and {name: found[name] for name in expected} == expected


class Lives:
    """All lives with one plugin, side by side."""

    def __init__(self, plugin: Plugin, client: Client, lives: list[Life]) -> None:
        self.plugin, self.directory = plugin, Directory(client)
        self._pool = ThreadPoolExecutor(max_workers=len(lives))
        self._futures: dict[str, Future[list[str]]] = {
            life.name: self._pool.submit(live, plugin, life, self.directory) for life in lives
        }

    def result(self, life: Life) -> list[str]:
        return self._futures[life.name].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self.plugin.stop()


def real_plugin() -> Path | None:
    """The real azuread plugin, on PATH or installed by Pulumi."""
    found = shutil.which("pulumi-resource-azuread")
    if found is not None:
        return Path(found)
    folder = plugins.directory(users_home(), "azuread", plugins.sdk_version("azuread"))
    file = folder / f"pulumi-resource-azuread{'.exe' if os.name == 'nt' else ''}"
    return file if file.is_file() else None


@pytest.fixture(scope="module")
def real(azure: LocalAzure, deployer: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    executable = real_plugin()
    if executable is None:
        pytest.skip("there is no real azuread plugin, neither on PATH nor installed by Pulumi")
    plugin = Plugin(tmp_path_factory.mktemp("home"), "azuread", environ(azure), executable)
    plugin.configure()
    lives = Lives(plugin, deployer, list(LIVES))
    yield lives
    lives.close()


@pytest.fixture(scope="module")
def stand_in(azure: LocalAzure, deployer: Client, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    plugin = Plugin(tmp_path_factory.mktemp("home"), "azuread", environ(azure))
    plugin.configure()
    lives = Lives(plugin, deployer, [life for life in LIVES if life.token in TYPES])
    yield lives
    lives.close()


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_a_resource_of_the_real_plugin_lives(life: Life, real: Lives, passes: Passes) -> None:
    passes("azuread plugin", f"{life.name}: {', '.join(real.result(life))}")


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_a_resource_of_the_stand_in_lives(life: Life, stand_in: Lives, passes: Passes) -> None:
    if life.token not in TYPES:
        pytest.skip(f"the stand-in does not have {life.name}: no component declares it")
    passes("azuread stand-in", f"{life.name}: {', '.join(stand_in.result(life))}")


@pytest.mark.parametrize("lookup", LOOKUPS, ids=lambda lookup: lookup.name)
def test_a_data_source_of_the_real_plugin_answers(lookup: Lookup, real: Lives, passes: Passes) -> None:
    look_up(real, lookup)
    passes("azuread plugin", lookup.name)


@pytest.mark.parametrize("lookup", LOOKUPS, ids=lambda lookup: lookup.name)
def test_a_data_source_of_the_stand_in_answers(lookup: Lookup, stand_in: Lives, passes: Passes) -> None:
    if lookup.token not in FUNCTIONS:
        pytest.skip(f"the stand-in does not have {lookup.name}: no component asks it")
    look_up(stand_in, lookup)
    passes("azuread stand-in", lookup.name)


def test_the_real_plugin_asks_nothing_that_is_not_tried_directly(azure: LocalAzure, real: Lives) -> None:
    for life in LIVES:
        real.result(life)
    requests = {
        (one["method"], one["path"]) for one in azure.requests() if one["path"].startswith(("/v1.0/", "/beta/"))
    }
    ours = f"/v1.0/servicePrincipals(appId='{GRAPH}')"
    assert len(requests) > 100
    assert [one for one in sorted(requests) if one[1] != ours and operation_of(*one) is None] == []
