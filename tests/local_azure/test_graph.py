"""Microsoft Graph: objects, query options, links, consent, deleted items, batches, and who may do what."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import jwt
import pytest

import local_azure
from entrant.facts.apis import GRAPH, LOG_ANALYTICS, graph_permissions
from entrant.facts.directory_roles import find_directory_role
from local_azure import LocalAzure
from local_azure.graph.context import routes
from tests.local_azure.conftest import Client, Identity

EVENTUAL = {"ConsistencyLevel": "eventual"}


def code(response: Any) -> tuple[int, str]:
    error = response.json()["error"]
    assert set(error["innerError"]) == {"date", "request-id", "client-request-id"}
    return response.status_code, error["code"]


def link(azure: LocalAzure, object_id: str) -> dict[str, str]:
    return {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{object_id}"}


class TestObjects:
    """Create, read, change, delete."""

    def test_application_has_every_property(self, deployer: Client) -> None:
        """A new application is answered whole, with defaults, and 201."""
        made = deployer.graph("POST", "/applications", {"displayName": "whole"}, status=201)
        assert (
            made["signInAudience"] == "AzureADMyOrg"
            and made["web"]["implicitGrantSettings"]["enableIdTokenIssuance"] is False
        )
        assert made["passwordCredentials"] == [] and made["api"]["preAuthorizedApplications"] == []
        read = deployer.graph("GET", f"/applications/{made['id']}")
        assert read == made
        assert deployer.graph("GET", f"/applications(appId='{made['appId']}')")["id"] == made["id"]

    def test_patch_merges_and_replaces(self, deployer: Client, app: Identity) -> None:
        """PATCH merges nested objects, replaces collections, and clears what is null."""
        path = f"/applications/{app.application_id}"
        first = {
            "web": {"homePageUrl": "https://a.example", "redirectUris": ["https://a.example/x"]},
            "notes": "n",
            "tags": ["a", "b"],
        }
        deployer.graph("PATCH", path, first, status=204)
        deployer.graph("PATCH", path, {"web": {"logoutUrl": "https://a.example/out"}, "notes": None, "tags": ["c"]})
        found = deployer.graph("GET", path)
        assert found["web"]["homePageUrl"] == "https://a.example" and found["web"]["redirectUris"] == [
            "https://a.example/x"
        ]
        assert found["web"]["logoutUrl"] == "https://a.example/out"
        assert found["notes"] is None and found["tags"] == ["c"]

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({}, "Request_BadRequest"),
            ({"displayName": ""}, "Request_BadRequest"),
            ({"displayName": 5}, "Request_BadRequest"),
            ({"displayName": "x" * 257}, "Request_BadRequest"),
            ({"displayName": "x", "nonsense": 1}, "Request_BadRequest"),
            ({"displayName": "x", "web": {"nonsense": 1}}, "Request_BadRequest"),
            ({"displayName": "x", "signInAudience": "Everyone"}, "Request_BadRequest"),
            (
                {"displayName": "x", "identifierUris": ["https://not-verified.example/api"]},
                "HostNameNotOnVerifiedDomain",
            ),
            ({"displayName": "x", "owners@odata.bind": ["nonsense"]}, "Request_BadRequest"),
        ],
    )
    def test_wrong_applications(self, deployer: Client, body: dict[str, Any], expected: str) -> None:
        """What Graph refuses of an application is refused with its code."""
        assert code(deployer.call("POST", "/v1.0/applications", body)) == (400, expected)

    def test_identifier_uri_is_unique(self, deployer: Client, azure: LocalAzure) -> None:
        """Two applications cannot have the same identifier URI, and a token can be asked for it."""
        uri = f"api://{azure.tenant_id}/{uuid.uuid4().hex}"
        made = deployer.graph("POST", "/applications", {"displayName": "one", "identifierUris": [uri]})
        assert (
            code(deployer.call("POST", "/v1.0/applications", {"displayName": "two", "identifierUris": [uri]}))[0] == 400
        )
        deployer.graph("POST", "/servicePrincipals", {"appId": made["appId"]})
        assert deployer.ask_token(f"{uri}/.default").status_code == 200

    def test_service_principal_follows_its_application(self, deployer: Client, app: Identity) -> None:
        """Name, roles and identifier URIs of the application show on its service principal."""
        role = {
            "id": str(uuid.uuid4()),
            "displayName": "r",
            "description": "r",
            "value": "R.Do",
            "allowedMemberTypes": ["Application"],
            "isEnabled": True,
        }
        change = {"displayName": "renamed", "appRoles": [role], "identifierUris": [f"api://{app.client_id}"]}
        deployer.graph("PATCH", f"/applications/{app.application_id}", change)
        principal = deployer.graph("GET", f"/servicePrincipals/{app.object_id}")
        assert principal["displayName"] == "renamed" and principal["appRoles"][0]["value"] == "R.Do"
        assert principal["servicePrincipalNames"] == [f"api://{app.client_id}", app.client_id]

    def test_one_service_principal_for_an_application(self, deployer: Client, app: Identity) -> None:
        """A second service principal is a conflict, one for an unknown application is refused."""
        again = deployer.call("POST", "/v1.0/servicePrincipals", {"appId": app.client_id})
        assert code(again) == (409, "Request_MultipleObjectsWithSameKeyValue")
        unknown = deployer.call("POST", "/v1.0/servicePrincipals", {"appId": str(uuid.uuid4())})
        assert code(unknown) == (400, "NoBackingApplicationObject")

    def test_enabled_role_cannot_be_removed(self, deployer: Client, app: Identity) -> None:
        """An app role must be disabled before it is removed."""
        path = f"/applications/{app.application_id}"
        role = {
            "id": str(uuid.uuid4()),
            "displayName": "r",
            "description": "r",
            "value": "R",
            "allowedMemberTypes": ["User"],
            "isEnabled": True,
        }
        deployer.graph("PATCH", path, {"appRoles": [role]})
        refused = deployer.call("PATCH", f"/v1.0{path}", {"appRoles": []})
        assert code(refused) == (400, "CannotDeleteOrUpdateEnabledEntitlement")
        deployer.graph("PATCH", path, {"appRoles": [role | {"isEnabled": False}]})
        deployer.graph("PATCH", path, {"appRoles": []})

    def test_beta_only_properties(self, deployer: Client, app: Identity) -> None:
        """A property of beta alone is unknown to v1.0."""
        path = f"applications/{app.application_id}"
        assert deployer.call("PATCH", f"/beta/{path}", {"oauth2RequirePostResponse": True}).status_code == 204
        selected = deployer.call("GET", f"/beta/{path}?$select=oauth2RequirePostResponse").json()
        assert selected["oauth2RequirePostResponse"] is True
        assert "oauth2RequirePostResponse" not in deployer.graph("GET", f"/{path}")
        assert code(deployer.call("PATCH", f"/v1.0/{path}", {"oauth2RequirePostResponse": True}))[0] == 400

    def test_not_found(self, deployer: Client, app: Identity) -> None:
        """An unknown id, and an id of another kind, is Request_ResourceNotFound."""
        for one in (str(uuid.uuid4()), "nonsense", app.object_id):
            assert code(deployer.call("GET", f"/v1.0/applications/{one}")) == (404, "Request_ResourceNotFound")

    def test_a_caller_without_rights_does_not_learn_what_there_is(self, deployer: Client) -> None:
        """The right is asked for first: what is not there is as forbidden to see as what is, by id and by any other key."""
        app, missing = deployer.new_identity(), str(uuid.uuid4())
        nobody = Client(deployer.azure, app.client_id, app.secret)
        open_to_all = {"applicationTemplates/*", "me/*"}
        beta = "reports/"
        paths = [
            "/".join(missing if part == "*" else part for part in parts)
            for routes_of_one_length in routes._table.values()
            for method, parts, _ in routes_of_one_length
            if method == "GET" and "*" in parts and not "/".join(parts).startswith(beta)
            if "/".join(parts) not in {path.lower() for path in open_to_all}
        ]
        assert {f"users/{missing}", f"groups/{missing}", f"directoryobjects/{missing}"} <= set(paths)
        keys = {
            "users(userPrincipalName": "no@body.example",
            "groups(uniqueName": "none",
            "applications(appId": missing,
        }
        keyed = [f"{name}='{value}')" for name, value in keys.items()]
        for path in (*paths, "users/no@body.example", "users/no@body.example/manager", *keyed):
            answer = nobody.call("GET", f"/v1.0/{path}")
            assert code(answer) == (403, "Authorization_RequestDenied"), path
        for path in ("users/no@body.example", *keyed):
            assert code(deployer.call("GET", f"/v1.0/{path}")) == (404, "Request_ResourceNotFound"), path

    def test_unknown_paths_and_methods(self, deployer: Client) -> None:
        """An unknown path is a 400, a known one with the wrong method a 405; neither is a 5xx."""
        assert code(deployer.call("GET", "/v1.0/nonsense")) == (400, "BadRequest")
        assert deployer.call("PUT", "/v1.0/applications").status_code == 405

    def test_logo(self, deployer: Client, app: Identity) -> None:
        """A logo comes back as it was sent."""
        url = f"{deployer.azure.url}/v1.0/applications/{app.application_id}/logo"
        headers = {"Authorization": f"Bearer {deployer.token()}", "Content-Type": "image/png"}
        assert deployer.session.put(url, data=b"\x89PNG", headers=headers).status_code == 204
        found = deployer.session.get(url, headers=headers)
        assert found.content == b"\x89PNG" and found.headers["Content-Type"] == "image/png"
        assert deployer.graph("GET", f"/applications/{app.application_id}")["info"]["logoUrl"] == url


class TestCredentials:
    """Client secrets."""

    def test_secret_is_shown_once(self, deployer: Client, app: Identity) -> None:
        """The value is in the answer to addPassword and nowhere later; its hint is its first three characters."""
        held = deployer.graph("GET", f"/applications/{app.application_id}")["passwordCredentials"]
        assert [(one["keyId"], one["hint"], one["secretText"]) for one in held] == [(app.key_id, app.secret[:3], None)]

    def test_dates(self, deployer: Client, app: Identity) -> None:
        """A secret ends after two years unless it is told otherwise, and cannot end before it begins or in the past."""
        path = f"/applications/{app.application_id}/addPassword"
        made = deployer.graph("POST", path, {"passwordCredential": {"endDateTime": "2099-05-06T07:08:09+02:00"}})
        assert made["endDateTime"] == "2099-05-06T05:08:09Z"
        for dates in (
            {"endDateTime": "2001-01-01T00:00:00Z"},
            {"startDateTime": "2099-01-01T00:00:00Z", "endDateTime": "2098-01-01T00:00:00Z"},
            {"endDateTime": "soon"},
        ):
            assert deployer.call("POST", f"/v1.0{path}", {"passwordCredential": dates}).status_code == 400

    def test_password_at_creation(self, deployer: Client, azure: LocalAzure) -> None:
        """An application can be created with a secret."""
        made = deployer.graph(
            "POST", "/applications", {"displayName": "p", "passwordCredentials": [{"displayName": "first"}]}
        )
        assert len(made["passwordCredentials"][0]["secretText"]) == 40

    def test_unknown_key(self, deployer: Client, app: Identity) -> None:
        """A secret that does not exist cannot be removed."""
        path = f"/v1.0/applications/{app.application_id}/removePassword"
        assert code(deployer.call("POST", path, {"keyId": str(uuid.uuid4())})) == (400, "Request_BadRequest")

    def test_service_principal_password(self, deployer: Client, azure: LocalAzure, app: Identity) -> None:
        """A secret of the service principal works like one of the application."""
        secret = deployer.graph("POST", f"/servicePrincipals/{app.object_id}/addPassword", {})["secretText"]
        assert Client(azure, app.client_id, secret).token()


@pytest.fixture(scope="module")
def tag(deployer: Client) -> str:
    """A tag that twelve applications share."""
    tag = uuid.uuid4().hex
    for number in range(12):
        deployer.graph(
            "POST",
            "/applications",
            {
                "displayName": f"query {tag} {number:02d}",
                "tags": [tag],
                "notes": "even" if number % 2 == 0 else None,
            },
        )
    return tag


class TestQueries:
    """Query options of collections."""

    @pytest.mark.parametrize(
        ("text", "count", "headers"),
        [
            ("tags/any(t:t eq '{tag}')", 12, {}),
            ("tags/any(t: startswith(t, '{tag}'))", 12, {}),
            ("startswith(displayName, 'QUERY {tag}')", 12, {}),
            ("displayName eq 'query {tag} 03'", 1, {}),
            ("displayName in ('query {tag} 03', 'query {tag} 04', 'x')", 2, {}),
            ("displayName eq 'query {tag} 03' or displayName eq 'query {tag} 05'", 2, {}),
            ("tags/any(t:t eq '{tag}') and notes eq 'even'", 6, {}),
            ("tags/any(t:t eq '{tag}') and notes eq null", 6, {}),
            ("tags/any(t:t eq '{tag}') and not(notes eq 'even')", 6, EVENTUAL),
            ("tags/any(t:t eq '{tag}') and notes ne 'even'", 6, EVENTUAL),
            ("endswith(displayName, '{tag} 07')", 1, EVENTUAL),
            ("(displayName eq 'a''b')", 0, {}),
        ],
    )
    def test_filter(self, deployer: Client, tag: str, text: str, count: int, headers: dict[str, str]) -> None:
        """Each form of $filter finds what it says."""
        query = {"$filter": text.replace("{tag}", tag)} | ({"$count": "true"} if headers else {})
        found = deployer.graph("GET", "/applications", params=query, headers=dict(headers))
        assert len(found["value"]) == count
        if headers:
            assert found["@odata.count"] == count

    @pytest.mark.parametrize("text", ["displayName ne 'x'", "not(displayName eq 'x')", "endswith(displayName,'x')"])
    def test_advanced_filters_need_their_header(self, deployer: Client, text: str) -> None:
        """Without ConsistencyLevel and $count Graph refuses these, and so does this one."""
        refused = deployer.call("GET", "/v1.0/applications", params={"$filter": text})
        assert code(refused) == (400, "Request_UnsupportedQuery")

    @pytest.mark.parametrize(
        "text",
        [
            "displayName",
            "displayName eq",
            "displayName eq 'a",
            "nonsense eq 'a'",
            "displayName contains 'a'",
            "(" * 200,
            "contains(displayName,'a')",
            "displayName eq 'a' and",
        ],
    )
    def test_malformed_filter(self, deployer: Client, text: str) -> None:
        """A $filter that cannot be read is a 400."""
        assert code(deployer.call("GET", "/v1.0/applications", params={"$filter": text})) == (400, "BadRequest")

    def test_paging(self, deployer: Client, tag: str) -> None:
        """Following @odata.nextLink gives every object once, in order."""
        url = f"/v1.0/applications?$filter=tags/any(t:t eq '{tag}')&$top=5&$select=id,displayName"
        sizes, names = [], []
        while url:
            page = deployer.call("GET", url).json()
            sizes.append(len(page["value"]))
            names += [one["displayName"] for one in page["value"]]
            assert all(set(one) == {"id", "displayName"} for one in page["value"])
            url = page.get("@odata.nextLink", "")
        assert sizes == [5, 5, 2] and names == [f"query {tag} {number:02d}" for number in range(12)]

    def test_order(self, deployer: Client, tag: str) -> None:
        """$orderby sorts, also across pages."""
        options = "$orderby=displayName desc&$top=7&$select=displayName"
        url = f"/v1.0/applications?$filter=startswith(displayName,'query {tag}')&{options}"
        first = deployer.call("GET", url).json()
        second = deployer.call("GET", first["@odata.nextLink"]).json()
        names = [one["displayName"] for one in first["value"] + second["value"]]
        assert names == sorted(names, reverse=True) and len(names) == 12

    def test_search(self, deployer: Client, tag: str) -> None:
        """$search finds words of a display name, with the header it needs."""
        query = {"$search": f'"displayName:{tag}"'}
        assert len(deployer.graph("GET", "/applications", params=query, headers=dict(EVENTUAL))["value"]) == 12
        assert code(deployer.call("GET", "/v1.0/applications", params=query)) == (400, "Request_UnsupportedQuery")

    def test_count(self, deployer: Client, tag: str) -> None:
        """The number of objects comes as plain text."""
        found = deployer.call("GET", "/v1.0/applications/$count", headers=dict(EVENTUAL))
        assert int(found.text) >= 12 and found.headers["Content-Type"].startswith("text/plain")

    def test_expand_owners(self, deployer: Client, azure: LocalAzure, app: Identity) -> None:
        """$expand puts the owners beside the application."""
        deployer.graph("POST", f"/applications/{app.application_id}/owners/$ref", link(azure, azure.object_id))
        found = deployer.graph("GET", f"/applications/{app.application_id}?$expand=owners($select=id)")
        assert found["owners"] == [{"@odata.type": "#microsoft.graph.servicePrincipal", "id": azure.object_id}]

    @pytest.mark.parametrize(
        "query",
        ["$top=0", "$top=1000", "$top=x", "$select=nonsense", "$skiptoken=x", "$orderby=nonsense", "$expand=nonsense"],
    )
    def test_malformed_options(self, deployer: Client, query: str) -> None:
        """A query option that cannot be read is a 400."""
        assert deployer.call("GET", f"/v1.0/applications?{query}").status_code == 400


class TestLinks:
    """Owners and members."""

    def test_owners(self, deployer: Client, azure: LocalAzure, app: Identity) -> None:
        """Owners are added once, listed with their type, and removed once."""
        path = f"/applications/{app.application_id}/owners"
        deployer.graph("POST", f"{path}/$ref", link(azure, azure.object_id), status=204)
        assert code(deployer.call("POST", f"/v1.0{path}/$ref", link(azure, azure.object_id))) == (
            400,
            "Request_BadRequest",
        )
        found = deployer.graph("GET", path)["value"]
        assert [(one["id"], one["@odata.type"]) for one in found] == [
            (azure.object_id, "#microsoft.graph.servicePrincipal")
        ]
        assert deployer.graph("GET", path, params={"$filter": f"id eq '{azure.object_id}'"})["value"]
        deployer.graph("DELETE", f"{path}/{azure.object_id}/$ref", status=204)
        assert deployer.call("DELETE", f"/v1.0{path}/{azure.object_id}/$ref").status_code == 404
        assert deployer.call("POST", f"/v1.0{path}/$ref", link(azure, str(uuid.uuid4()))).status_code == 404

    def test_group_members(self, deployer: Client, azure: LocalAzure, app: Identity) -> None:
        """Members of groups, at first hand and through groups, seen from both ends."""
        ids = []
        for name in ("outer", "inner"):
            body = {"displayName": name, "mailNickname": name, "mailEnabled": False, "securityEnabled": True}
            ids.append(deployer.call("POST", "/beta/groups", body).json()["id"])
        deployer.graph("POST", f"/groups/{ids[0]}/members/$ref", link(azure, ids[1]))
        deployer.graph("POST", f"/groups/{ids[1]}/members/$ref", link(azure, app.object_id))
        assert {one["id"] for one in deployer.graph("GET", f"/groups/{ids[0]}/transitiveMembers")["value"]} == {
            ids[1],
            app.object_id,
        }
        assert [
            one["id"] for one in deployer.graph("GET", f"/servicePrincipals/{app.object_id}/memberOf")["value"]
        ] == [ids[1]]
        found = deployer.graph(
            "POST", f"/servicePrincipals/{app.object_id}/getMemberGroups", {"securityEnabledOnly": False}
        )
        assert set(found["value"]) == set(ids)
        deployer.graph("DELETE", f"/groups/{ids[1]}", status=204)
        assert deployer.graph("GET", f"/groups/{ids[0]}/members")["value"] == []

    def test_group_needs_its_properties(self, deployer: Client) -> None:
        """A group without its required properties is refused."""
        assert deployer.call("POST", "/v1.0/groups", {"displayName": "g"}).status_code == 400


class TestConsent:
    """Application and delegated permissions."""

    @pytest.fixture
    def graph_id(self, deployer: Client) -> str:
        """The object id of Microsoft Graph's service principal."""
        found = deployer.graph("GET", f"/servicePrincipals?$filter=appId eq '{GRAPH}'")["value"]
        assert len(found) == 1
        return str(found[0]["id"])

    def test_first_party_principals_have_real_permissions(self, deployer: Client, graph_id: str) -> None:
        """Microsoft Graph offers its permissions under their real ids."""
        graph = deployer.graph("GET", f"/servicePrincipals/{graph_id}")
        offered = {role["value"]: role["id"] for role in graph["appRoles"]}
        assert offered["User.Read.All"] == "df021288-bdef-4463-88db-98f22de89214" and len(offered) > 500
        assert {scope["value"]: scope["id"] for scope in graph["oauth2PermissionScopes"]}[
            "User.Read"
        ] == "e1fe6dd8-ba31-4d61-89e7-88639da4683d"
        assert deployer.graph("GET", f"/servicePrincipals?$filter=appId eq '{LOG_ANALYTICS}'")["value"]

    def test_first_party_principals_cannot_be_deleted(self, deployer: Client, graph_id: str) -> None:
        """Deleting Microsoft Graph's service principal is refused, and changing its properties is accepted."""
        assert deployer.call("DELETE", f"/v1.0/servicePrincipals/{graph_id}").status_code == 403
        deployer.graph("PATCH", f"/servicePrincipals/{graph_id}", {"accountEnabled": True, "tags": []})

    def test_app_role_is_in_the_token(self, deployer: Client, azure: LocalAzure, app: Identity, graph_id: str) -> None:
        """An assigned application permission is in the next token's roles, and gone after it is removed."""
        role = graph_permissions().application["Application.Read.All"]
        body = {"principalId": app.object_id, "resourceId": graph_id, "appRoleId": role}
        path = f"/servicePrincipals/{graph_id}/appRoleAssignedTo"
        client = Client(azure, app.client_id, app.secret)
        assert code(client.call("GET", "/v1.0/applications")) == (403, "Authorization_RequestDenied")
        made = deployer.graph("POST", path, body, status=201)
        assert made["principalType"] == "ServicePrincipal" and made["resourceDisplayName"] == "Microsoft Graph"
        token = client.token(fresh=True)
        assert jwt.decode(token, options={"verify_signature": False})["roles"] == ["Application.Read.All"]
        client.graph("GET", "/applications")
        assert code(deployer.call("POST", f"/v1.0{path}", body)) == (400, "Request_BadRequest")
        assert (
            deployer.graph("GET", f"/servicePrincipals/{app.object_id}/appRoleAssignments")["value"][0]["id"]
            == made["id"]
        )
        assert deployer.graph("GET", f"{path}/{made['id']}")["appRoleId"] == role
        deployer.graph("DELETE", f"{path}/{made['id']}", status=204)
        assert deployer.call("GET", f"/v1.0{path}/{made['id']}").status_code == 404
        assert "roles" not in jwt.decode(client.token(fresh=True), options={"verify_signature": False})

    def test_wrong_app_role_assignments(self, deployer: Client, app: Identity, graph_id: str) -> None:
        """A role the API does not have, or a principal that does not exist, is refused."""
        path = f"/v1.0/servicePrincipals/{graph_id}/appRoleAssignedTo"
        role = graph_permissions().application["User.Read.All"]
        for body in (
            {"principalId": app.object_id, "resourceId": graph_id, "appRoleId": str(uuid.uuid4())},
            {"principalId": str(uuid.uuid4()), "resourceId": graph_id, "appRoleId": role},
            {"principalId": app.object_id, "resourceId": app.object_id, "appRoleId": role},
            {"principalId": app.object_id, "resourceId": graph_id},
        ):
            assert deployer.call("POST", path, body).status_code == 400

    def test_delegated_grant(self, deployer: Client, app: Identity, graph_id: str) -> None:
        """A delegated grant is made once, changed and deleted."""
        body = {
            "clientId": app.object_id,
            "consentType": "AllPrincipals",
            "resourceId": graph_id,
            "scope": "User.Read openid",
        }
        made = deployer.graph("POST", "/oauth2PermissionGrants", body, status=201)
        assert deployer.call("POST", "/v1.0/oauth2PermissionGrants", body).status_code == 409
        deployer.graph("PATCH", f"/oauth2PermissionGrants/{made['id']}", {"scope": "openid"}, status=204)
        assert deployer.graph("GET", f"/oauth2PermissionGrants/{made['id']}")["scope"] == "openid"
        found = deployer.graph("GET", f"/oauth2PermissionGrants?$filter=clientId eq '{app.object_id}'")["value"]
        assert [one["id"] for one in found] == [made["id"]]
        deployer.graph("DELETE", f"/oauth2PermissionGrants/{made['id']}", status=204)
        assert deployer.call("GET", f"/v1.0/oauth2PermissionGrants/{made['id']}").status_code == 404


class TestDirectoryRoles:
    """Directory roles through both of their APIs."""

    def test_member_and_assignment_are_one(self, deployer: Client, azure: LocalAzure, app: Identity) -> None:
        """A role given by roleManagement shows among the role's members, and lets the app do what the role says."""
        role = find_directory_role("Cloud Application Administrator")
        assert role is not None
        held = deployer.graph("GET", f"/directoryRoles?$filter=roleTemplateId eq '{role.id}'")["value"]
        active = held[0] if held else deployer.graph("POST", "/directoryRoles", {"roleTemplateId": role.id})
        client = Client(azure, app.client_id, app.secret)
        assert code(client.call("POST", "/v1.0/applications", {"displayName": "x"}))[0] == 403
        body = {"principalId": app.object_id, "roleDefinitionId": role.id, "directoryScopeId": "/"}
        made = deployer.graph("POST", "/roleManagement/directory/roleAssignments", body, status=201)
        members = deployer.graph("GET", f"/directoryRoles/{active['id']}/members")["value"]
        assert [one["id"] for one in members] == [app.object_id]
        client.graph("POST", "/applications", {"displayName": "x"})
        deployer.graph("DELETE", f"/directoryRoles/{active['id']}/members/{app.object_id}/$ref", status=204)
        assert deployer.call("GET", f"/v1.0/roleManagement/directory/roleAssignments/{made['id']}").status_code == 404

    def test_templates(self, deployer: Client) -> None:
        """The built-in roles are there as templates and as definitions."""
        names = {one["displayName"] for one in deployer.graph("GET", "/directoryRoleTemplates")["value"]}
        assert "Global Administrator" in names
        found = deployer.graph(
            "GET", "/roleManagement/directory/roleDefinitions?$filter=displayName eq 'Global Administrator'"
        )
        assert found["value"][0]["id"] == "62e90394-69f5-4237-9190-012177145e10"


class TestDeletedItems:
    """Soft delete and restore."""

    def test_application_is_deleted_softly(self, deployer: Client, azure: LocalAzure, app: Identity) -> None:
        """A deleted application gives no token; restored, with its service principal restored too, it does again."""
        client = Client(azure, app.client_id, app.secret)
        deployer.graph("DELETE", f"/applications/{app.application_id}", status=204)
        assert deployer.call("GET", f"/v1.0/applications/{app.application_id}").status_code == 404
        assert deployer.call("GET", f"/v1.0/servicePrincipals/{app.object_id}").status_code == 404
        assert client.ask_token("https://graph.microsoft.com/.default").status_code == 400
        listed = deployer.graph("GET", "/directory/deletedItems/microsoft.graph.application")["value"]
        assert app.application_id in [one["id"] for one in listed]
        assert deployer.graph("GET", f"/directory/deletedItems/{app.application_id}")["deletedDateTime"]
        deployer.graph("POST", f"/directory/deletedItems/{app.application_id}/restore")
        assert client.ask_token("https://graph.microsoft.com/.default").json()["error_codes"] == [7000229]
        deployer.graph("POST", f"/directory/deletedItems/{app.object_id}/restore")
        assert client.ask_token("https://graph.microsoft.com/.default").status_code == 200

    def test_purge(self, deployer: Client, app: Identity) -> None:
        """A deleted item can be deleted for good."""
        deployer.graph("DELETE", f"/applications/{app.application_id}")
        deployer.graph("DELETE", f"/directory/deletedItems/{app.application_id}", status=204)
        assert deployer.call("GET", f"/v1.0/directory/deletedItems/{app.application_id}").status_code == 404

    def test_nothing_is_restored_after_thirty_days(self, state: Any) -> None:
        """After 30 days a deleted application is gone."""
        own = local_azure.start(state)
        client = Client(own)
        app = client.new_identity()
        client.graph("DELETE", f"/applications/{app.application_id}")
        own.admin("PATCH", "settings", {"clock": {"offset": 31 * 86400}})
        client.token(fresh=True)
        assert client.call("POST", f"/v1.0/directory/deletedItems/{app.application_id}/restore").status_code == 404


FEDERATED = {
    "name": "gh-main",
    "issuer": "https://token.actions.githubusercontent.com",
    "subject": "repo:contoso/obs:ref:refs/heads/main",
    "audiences": ["api://AzureADTokenExchange"],
}


class TestFederatedCredentials:
    """Federated identity credentials as objects; how they open the door is in test_assertions."""

    def test_life(self, deployer: Client, app: Identity) -> None:
        """Create, read by id and name, change, delete."""
        path = f"/applications/{app.application_id}/federatedIdentityCredentials"
        made = deployer.graph("POST", path, FEDERATED, status=201)
        assert deployer.graph("GET", f"{path}/{made['id']}")["subject"] == FEDERATED["subject"]
        assert deployer.graph("GET", f"{path}/gh-main")["id"] == made["id"]
        deployer.graph("PATCH", f"{path}/{made['id']}", {"subject": "repo:contoso/obs:environment:dev"}, status=204)
        assert [one["subject"] for one in deployer.graph("GET", path)["value"]] == ["repo:contoso/obs:environment:dev"]
        deployer.graph("DELETE", f"{path}/{made['id']}", status=204)
        assert deployer.call("GET", f"/v1.0{path}/{made['id']}").status_code == 404

    @pytest.mark.parametrize(
        "change",
        [
            {"name": "x y"},
            {"issuer": "nonsense"},
            {"subject": ""},
            {"audiences": []},
            {"audiences": ["a", "b"]},
            {"subject": 5},
            {"claimsMatchingExpression": {"value": "x"}},
        ],
    )
    def test_malformed(self, deployer: Client, app: Identity, change: dict[str, Any]) -> None:
        """Each rule of a federated credential is held."""
        path = f"/v1.0/applications/{app.application_id}/federatedIdentityCredentials"
        assert deployer.call("POST", path, FEDERATED | change).status_code == 400

    def test_twenty_at_most_and_unique(self, deployer: Client, app: Identity) -> None:
        """The 21st is refused, and so is a second one for the same subject."""
        path = f"/applications/{app.application_id}/federatedIdentityCredentials"
        for number in range(20):
            deployer.graph("POST", path, FEDERATED | {"name": f"n{number}", "subject": f"repo:contoso/r{number}:ref:x"})
        assert deployer.call("POST", f"/v1.0{path}", FEDERATED).status_code == 400
        deployer.graph("DELETE", f"{path}/n0")
        assert (
            deployer.call("POST", f"/v1.0{path}", FEDERATED | {"subject": "repo:contoso/r5:ref:x"}).status_code == 400
        )


class TestTenant:
    """The tenant as a whole."""

    def test_organization_and_domains(self, deployer: Client, azure: LocalAzure) -> None:
        """The organization is the tenant, with a verified domain."""
        found = deployer.graph("GET", "/organization")["value"][0]
        assert found["id"] == azure.tenant_id
        assert deployer.graph("GET", "/domains")["value"][0]["id"] == found["verifiedDomains"][0]["name"]

    def test_me_is_for_users(self, deployer: Client) -> None:
        """An app has no /me, and Graph says so."""
        assert code(deployer.call("GET", "/v1.0/me")) == (400, "BadRequest")

    def test_directory_objects(self, deployer: Client, app: Identity) -> None:
        """Any object is found by its id, with its type."""
        assert (
            deployer.graph("GET", f"/directoryObjects/{app.object_id}")["@odata.type"]
            == "#microsoft.graph.servicePrincipal"
        )
        body = {"ids": [app.object_id, app.application_id, str(uuid.uuid4())], "types": ["application"]}
        found = deployer.graph("POST", "/directoryObjects/getByIds", body)["value"]
        assert [one["id"] for one in found] == [app.application_id]

    def test_batch(self, deployer: Client) -> None:
        """Requests of a batch are answered each by itself, in their order of dependence."""
        requests = [
            {
                "id": "1",
                "method": "POST",
                "url": "/applications",
                "body": {"displayName": "batched"},
                "headers": {"Content-Type": "application/json"},
            },
            {
                "id": "2",
                "method": "GET",
                "url": "/applications?$filter=displayName eq 'batched'&$select=displayName",
                "dependsOn": ["1"],
            },
            {"id": "3", "method": "GET", "url": "/applications/nonsense"},
            {"id": "4", "method": "GET", "url": "/me", "dependsOn": ["3"]},
        ]
        found = deployer.graph("POST", "/$batch", {"requests": requests})["responses"]
        assert [(one["id"], one["status"]) for one in found] == [("1", 201), ("2", 200), ("3", 404), ("4", 424)]
        assert found[1]["body"]["value"][-1] == {"displayName": "batched"}
        assert deployer.call("POST", "/v1.0/$batch", {"requests": [requests[0]] * 21}).status_code == 400

    def test_failed_part_of_a_batch_leaves_nothing(self, deployer: Client) -> None:
        """A request of a batch that fails half-way is undone, the others stay."""
        name = uuid.uuid4().hex
        bad = {"displayName": name, "keyCredentials": [{"key": "bm9uc2Vuc2U="}]}
        requests = [
            {"id": "1", "method": "POST", "url": "/applications", "body": bad},
            {"id": "2", "method": "POST", "url": "/applications", "body": {"displayName": f"{name}-2"}},
        ]
        found = deployer.graph("POST", "/$batch", {"requests": requests})["responses"]
        assert [one["status"] for one in found] == [400, 201]
        names = [
            one["displayName"]
            for one in deployer.graph("GET", f"/applications?$filter=startswith(displayName,'{name}')")["value"]
        ]
        assert names == [f"{name}-2"]


class TestRights:
    """What a deployer with fewer rights can and cannot do."""

    def give(self, deployer: Client, app: Identity, permission: str) -> None:
        graph = deployer.graph("GET", f"/servicePrincipals?$filter=appId eq '{GRAPH}'&$select=id")["value"][0]["id"]
        body = {
            "principalId": app.object_id,
            "resourceId": graph,
            "appRoleId": graph_permissions().application[permission],
        }
        deployer.graph("POST", f"/servicePrincipals/{app.object_id}/appRoleAssignments", body)

    def test_owned_by(self, deployer: Client, azure: LocalAzure, app: Identity) -> None:
        """With Application.ReadWrite.OwnedBy an app manages what it owns and nothing else, and cannot consent."""
        self.give(deployer, app, "Application.ReadWrite.OwnedBy")
        client, other = Client(azure, app.client_id, app.secret), deployer.new_identity()
        mine = client.graph(
            "POST",
            "/applications",
            {"displayName": "mine", "owners@odata.bind": [link(azure, app.object_id)["@odata.id"]]},
        )
        client.graph("POST", f"/applications/{mine['id']}/addPassword", {})
        client.graph("GET", f"/applications/{other.application_id}")
        assert code(client.call("PATCH", f"/v1.0/applications/{other.application_id}", {"notes": "x"})) == (
            403,
            "Authorization_RequestDenied",
        )
        assert client.call("DELETE", f"/v1.0/servicePrincipals/{other.object_id}").status_code == 403
        body = {"principalId": app.object_id, "resourceId": app.object_id, "appRoleId": str(uuid.uuid4())}
        assert (
            client.call("POST", f"/v1.0/servicePrincipals/{app.object_id}/appRoleAssignments", body).status_code == 403
        )

    def test_reader_cannot_write(self, deployer: Client, azure: LocalAzure, app: Identity) -> None:
        """Directory.Read.All reads everything and changes nothing."""
        self.give(deployer, app, "Directory.Read.All")
        client = Client(azure, app.client_id, app.secret)
        for path in ("applications", "servicePrincipals", "groups", "users", "organization", "directoryRoleTemplates"):
            client.graph("GET", f"/{path}")
        assert client.call("POST", "/v1.0/applications", {"displayName": "x"}).status_code == 403
        body = {"displayName": "g", "mailNickname": "g", "mailEnabled": False, "securityEnabled": True}
        assert client.call("POST", "/v1.0/groups", body).status_code == 403


def test_directory_size_quota(state: Path) -> None:
    """The organization tells how full the directory is, a deleted object counts a quarter, and a full one takes no more."""
    own = local_azure.start(state)
    client = Client(own)

    def used() -> int:
        return int(client.graph("GET", "/organization")["value"][0]["directorySizeQuota"]["used"])

    before = used()
    made = [client.graph("POST", "/applications", {"displayName": f"a{number}"})["id"] for number in range(8)]
    assert used() == before + 8
    for one in made[:4]:
        client.graph("DELETE", f"/applications/{one}")
    assert used() == before + 5
    own.admin("PATCH", "settings", {"directory_quota": before + 6})
    client.graph("POST", "/applications", {"displayName": "last"})
    for path, body in (
        ("/applications", {"displayName": "no"}),
        ("/groups", {"displayName": "no", "mailNickname": "no", "mailEnabled": False, "securityEnabled": True}),
    ):
        assert client.graph("POST", path, body, status=403)["error"]["code"] == "Directory_QuotaExceeded"
    client.graph("DELETE", f"/directory/deletedItems/{made[0]}")
    for one in made[4:7]:
        client.graph("DELETE", f"/applications/{one}")
    client.graph("POST", "/applications", {"displayName": "room again"})


def test_a_user_is_found_by_the_user_principal_name_in_the_path(deployer: Client) -> None:
    domain = deployer.graph("GET", "/domains")["value"][0]["id"]
    name = f"u{uuid.uuid4().hex[:8]}"
    body = {
        "displayName": name,
        "userPrincipalName": f"{name}@{domain}",
        "mailNickname": name,
        "accountEnabled": True,
        "passwordProfile": {"password": str(uuid.uuid4())},
    }
    made = deployer.graph("POST", "/users", body)
    assert deployer.graph("GET", f"/users/{name.upper()}@{domain}")["id"] == made["id"]
    deployer.graph("DELETE", f"/users/{name}@{domain}", status=204)
    assert deployer.graph("GET", f"/users/{name}@{domain}", status=404)["error"]["code"] == "Request_ResourceNotFound"


EVENTUAL = {"ConsistencyLevel": "eventual"}


def test_count_counts_what_filter_and_search_leave(deployer: Client) -> None:
    tag = f"t{uuid.uuid4().hex[:8]}"
    for name in ("one", "two"):
        deployer.graph("POST", "/applications", {"displayName": f"{tag} {name}"})
    for query, found in {
        f"$filter=startswith(displayName,'{tag}')": "2",
        f"$filter=displayName eq '{tag} one'": "1",
        f'$search="displayName:{tag}"': "2",
        f"$filter=not startswith(displayName,'{tag}') and startswith(displayName,'{tag}')": "0",
    }.items():
        answer = deployer.call("GET", f"/v1.0/applications/$count?{query}", headers=EVENTUAL)
        assert (answer.status_code, answer.text) == (200, found), query


def test_skip_is_refused_rather_than_passed_over(deployer: Client) -> None:
    assert "$skip" in deployer.graph("GET", "/applications?$skip=1", status=400)["error"]["message"]


def test_members_are_counted_and_cast_and_added_by_a_patch(deployer: Client, app: Identity) -> None:
    body = {"displayName": "g", "mailNickname": "g", "mailEnabled": False, "securityEnabled": True}
    group = f"/groups/{deployer.graph('POST', '/groups', body)['id']}"
    bind = {"members@odata.bind": [f"https://graph.microsoft.com/v1.0/directoryObjects/{app.object_id}"]}
    deployer.graph("PATCH", group, bind, status=204)
    assert [one["id"] for one in deployer.graph("GET", f"{group}/members")["value"]] == [app.object_id]
    assert deployer.call("GET", f"/v1.0{group}/members/$count", headers=EVENTUAL).text == "1"
    principals = deployer.graph("GET", f"{group}/members/microsoft.graph.servicePrincipal")["value"]
    assert [one["id"] for one in principals] == [app.object_id]
    assert deployer.graph("GET", f"{group}/members/microsoft.graph.user")["value"] == []
    deployer.graph("GET", f"{group}/members/microsoft.graph.unicorn", status=400)
    assert "already exist" in deployer.graph("PATCH", group, bind, status=400)["error"]["message"]


def test_grants_and_federated_credentials_are_expanded(deployer: Client, app: Identity) -> None:
    trust = {"name": "n", "issuer": "https://issuer.example", "subject": "s", "audiences": ["a"]}
    path = f"/applications/{app.application_id}"
    deployer.graph("POST", f"{path}/federatedIdentityCredentials", trust)
    shown = deployer.graph("GET", f"{path}?$expand=federatedIdentityCredentials")
    assert [one["name"] for one in shown["federatedIdentityCredentials"]] == ["n"]
    graph = deployer.graph("GET", f"/servicePrincipals(appId='{GRAPH}')")["id"]
    role = graph_permissions().application["User.Read.All"]
    principal = f"/servicePrincipals/{app.object_id}"
    body = {"principalId": app.object_id, "resourceId": graph, "appRoleId": role}
    deployer.graph("POST", f"{principal}/appRoleAssignments", body)
    shown = deployer.graph("GET", f"{principal}?$expand=appRoleAssignments,memberOf")
    assert [one["appRoleId"] for one in shown["appRoleAssignments"]] == [role] and shown["memberOf"] == []
    refused = deployer.graph("GET", f"{path}?$expand=appRoleAssignments", status=400)
    assert "Could not find a property named 'appRoleAssignments'" in refused["error"]["message"]


def test_a_federated_credential_is_addressed_by_its_name(deployer: Client, app: Identity) -> None:
    trust = {"name": "n", "issuer": "https://issuer.example", "subject": "s", "audiences": ["a"]}
    path = f"/applications/{app.application_id}/federatedIdentityCredentials"
    made = deployer.graph("POST", path, trust)
    named = f"{path}(name='n')"
    deployer.graph("PATCH", named, {"description": "kept"}, status=204)
    shown = deployer.graph("GET", named)
    assert (shown["id"], shown["description"]) == (made["id"], "kept")
    deployer.graph("DELETE", named, status=204)
    deployer.graph("GET", named, status=404)


def test_directory_role_assignments_show_principal_and_role(deployer: Client, app: Identity) -> None:
    role = find_directory_role("Global Reader")
    assert role is not None
    base = "/roleManagement/directory/roleAssignments"
    body = {"principalId": app.object_id, "roleDefinitionId": role.id, "directoryScopeId": "/"}
    deployer.graph("POST", base, body)
    where = f"$filter=principalId eq '{app.object_id}'"
    (shown,) = deployer.graph("GET", f"{base}?{where}&$expand=principal,roleDefinition")["value"]
    assert (shown["principal"]["id"], shown["roleDefinition"]["displayName"]) == (app.object_id, "Global Reader")
    deployer.graph("GET", f"{base}?$expand=everything", status=400)


class TestAdministrativeUnits:
    """Parts of the directory, and roles that are limited to one."""

    def test_create_change_list_and_restore(self, deployer: Client) -> None:
        path = "/directory/administrativeUnits"
        assert "displayName" in deployer.graph("POST", path, {}, status=400)["error"]["message"]
        made = deployer.graph("POST", path, {"displayName": "Seattle", "description": "d"}, status=201)
        deployer.graph("PATCH", f"{path}/{made['id']}", {"description": "District"})
        found = deployer.graph("GET", f"{path}?$filter=displayName eq 'Seattle'")
        assert found["@odata.context"].endswith("$metadata#directory/administrativeUnits")
        assert [(one["id"], one["description"]) for one in found["value"]] == [(made["id"], "District")]
        deployer.graph("DELETE", f"{path}/{made['id']}", status=204)
        deployer.graph("GET", f"{path}/{made['id']}", status=404)
        deployer.graph("POST", f"/directory/deletedItems/{made['id']}/restore")
        assert deployer.graph("GET", f"{path}/{made['id']}")["displayName"] == "Seattle"

    def test_a_role_limited_to_a_unit_counts_for_its_members_alone(self, deployer: Client, app: Identity) -> None:
        """Members are users and groups, and no groups of their members; the role goes with the unit."""
        unit = deployer.graph("POST", "/directory/administrativeUnits", {"displayName": "Part"})["id"]
        groups = []
        for name in ("within", "without"):
            body = {"displayName": name, "mailNickname": name, "mailEnabled": False, "securityEnabled": True}
            groups.append(deployer.graph("POST", "/groups", body)["id"])
        within, without = groups
        members = f"/directory/administrativeUnits/{unit}/members"
        url = f"{deployer.azure.url}/v1.0/directoryObjects"
        deployer.graph("POST", f"{members}/$ref", {"@odata.id": f"{url}/{app.object_id}"}, status=400)
        deployer.graph("POST", f"{members}/$ref", {"@odata.id": f"{url}/{within}"}, status=204)
        assert [one["id"] for one in deployer.graph("GET", members)["value"]] == [within]
        role = find_directory_role("Groups Administrator")
        assert role is not None
        grant = {"principalId": app.object_id, "roleDefinitionId": role.id}
        roles = "/roleManagement/directory/roleAssignments"
        for wrong, status in ((f"/administrativeUnits/{uuid.uuid4()}", 404), (f"/{unit}", 404), ("/unit", 400)):
            deployer.graph("POST", roles, {**grant, "directoryScopeId": wrong}, status=status)
        held = deployer.graph("POST", roles, {**grant, "directoryScopeId": f"/administrativeUnits/{unit}"})["id"]
        who = Client(deployer.azure, app.client_id, app.secret)
        who.graph("PATCH", f"/groups/{within}", {"description": "mine"}, status=204)
        who.graph("PATCH", f"/groups/{without}", {"description": "mine"}, status=403)
        assert (
            deployer.graph("POST", f"/groups/{within}/getMemberGroups", {"securityEnabledOnly": False})["value"] == []
        )
        deployer.graph("DELETE", f"{members}/{within}/$ref", status=204)
        who.graph("PATCH", f"/groups/{within}", {"description": "mine"}, status=403)
        deployer.graph("DELETE", f"/directory/administrativeUnits/{unit}")
        deployer.graph("GET", f"{roles}/{held}", status=404)

    def test_one_that_an_environment_names_is_made(self, deployer: Client) -> None:
        unit = str(uuid.uuid4())
        assert deployer.azure.admin("POST", "ensure", {"administrative_units": [unit]})["created"] == [unit]
        assert deployer.azure.admin("POST", "ensure", {"administrative_units": [unit]})["created"] == []
        assert deployer.graph("GET", f"/directory/administrativeUnits/{unit}")["displayName"]

    def test_a_policy_that_is_not_served_is_refused_by_name(self, deployer: Client) -> None:
        error = deployer.graph("GET", "/policies/claimsMappingPolicies", status=400)["error"]
        assert error["message"] == "Resource not found for the segment 'claimsMappingPolicies'."
