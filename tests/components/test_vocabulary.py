"""Each block of the vocabulary as the resources and inputs it becomes, under mocks."""

from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.output import Unknown

from components import AppIdentity, declare, stack_outputs
from entrant import config
from entrant.config.known import custom_role_id, permission_id
from entrant.facts.scopes import parse_scope

from .mocked import APPLICATION, ASSIGNMENT, COMPONENT, PASSWORD, PRINCIPAL, TENANT, Deployment, deploy

RG = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg"
MARKS = ["entrant", "entrant:entrant/dev"]
"""The tags that tell whose it is."""
GUID = "00000000-0000-0000-0000-00000000000a"
GRAPH = "00000003-0000-0000-c000-000000000000"
ROOT = Path(__file__).parents[2]


def azuread(name: str) -> str:
    return f"azuread:index/{name[0].lower()}{name[1:]}:{name}"


def up(tmp_path: Path, text: str, **options: Any) -> Deployment:
    (tmp_path / "x.yaml").write_text(text)
    environment = config.load("x.yaml", root=tmp_path)
    return deploy(lambda: stack_outputs(environment, declare(environment, now="2026-11-20")), **options)


def app(tmp_path: Path, *lines: str, **options: Any) -> Deployment:
    """An environment with one app `a`, which has these lines."""
    return up(
        tmp_path, "\n".join(["apps:", "  a:", "    display_name: A", *(f"    {line}" for line in lines)]), **options
    )


@pytest.mark.parametrize(
    ("line", "inputs"),
    [
        ("description: what it is for", {"description": "what it is for"}),
        ("notes: ours", {"notes": "ours"}),
        ("sign_in_audience: AzureADMultipleOrgs", {"signInAudience": "AzureADMultipleOrgs"}),
        ('identifier_uris: ["api://{tenant_id}/a"]', {"identifierUris": [f"api://{TENANT}/a"]}),
        ("web: {redirect_uris: [https://x.example.com/cb]}", {"web": {"redirectUris": ["https://x.example.com/cb"]}}),
        ("web: {logout_url: https://x.example.com/out}", {"web": {"logoutUrl": "https://x.example.com/out"}}),
        (
            "web: {implicit_grant: {id_tokens: true}}",
            {"web": {"implicitGrant": {"idTokenIssuanceEnabled": True, "accessTokenIssuanceEnabled": False}}},
        ),
        (
            "spa: {redirect_uris: [https://x.example.com/]}",
            {"singlePageApplication": {"redirectUris": ["https://x.example.com/"]}},
        ),
        (
            "public_client: {redirect_uris: ['my.app://auth'], fallback: true}",
            {"publicClient": {"redirectUris": ["my.app://auth"]}, "fallbackPublicClientEnabled": True},
        ),
        ("links: {homepage: https://x.example.com}", {"web": {"homepageUrl": "https://x.example.com"}}),
        ("links: {marketing: https://x.example.com}", {"marketingUrl": "https://x.example.com"}),
        ("links: {support: https://x.example.com}", {"supportUrl": "https://x.example.com"}),
        ("links: {terms_of_service: https://x.example.com}", {"termsOfServiceUrl": "https://x.example.com"}),
        ("links: {privacy_statement: https://x.example.com}", {"privacyStatementUrl": "https://x.example.com"}),
        (
            "app_roles: {R.Do: {description: d}}",
            {
                "appRoles": [
                    {
                        "id": permission_id("a", "app role", "R.Do"),
                        "value": "R.Do",
                        "displayName": "R.Do",
                        "description": "d",
                        "allowedMemberTypes": ["User", "Application"],
                        "enabled": True,
                    }
                ]
            },
        ),
        (
            f"api: {{scopes: {{S.Do: {{description: d, type: User, id: {GUID}}}}}}}",
            {
                "api": {
                    "requestedAccessTokenVersion": 2,
                    "mappedClaimsEnabled": False,
                    "oauth2PermissionScopes": [
                        {
                            "id": GUID,
                            "value": "S.Do",
                            "adminConsentDisplayName": "S.Do",
                            "adminConsentDescription": "d",
                            "type": "User",
                            "enabled": True,
                        }
                    ],
                }
            },
        ),
        (
            "optional_claims: {id_token: [{name: upn, essential: true}]}",
            {"optionalClaims": {"idTokens": [{"name": "upn", "essential": True, "additionalProperties": []}]}},
        ),
        ("group_claims: [SecurityGroup]", {"groupMembershipClaims": ["SecurityGroup"]}),
        ("tags: [one]", {"tags": ["one", *MARKS]}),
        (
            "feature_tags: {hide: true, enterprise: true}",
            {"tags": ["WindowsAzureActiveDirectoryIntegratedApp", "HideApp", *MARKS]},
        ),
        ("service_management_reference: CMDB-1", {"serviceManagementReference": "CMDB-1"}),
        (f"owners: [{GUID}]", {"owners": [GUID]}),
        ("owners: [deployer]", {"owners": [TENANT]}),
        ("owners: [ada@example.com]", {"owners": ["user-ada@example.com"]}),
        (
            "permissions: [{api: Microsoft Graph, application: [User.Read.All], delegated: [openid]}]",
            {
                "requiredResourceAccesses": [
                    {
                        "resourceAppId": GRAPH,
                        "resourceAccesses": [
                            {"id": "df021288-bdef-4463-88db-98f22de89214", "type": "Role"},
                            {"id": "37f7f235-527c-4136-accd-4a02d197296e", "type": "Scope"},
                        ],
                    }
                ]
            },
        ),
    ],
)
def test_a_line_of_the_registration_becomes_the_providers_input(
    tmp_path: Path, line: str, inputs: dict[str, Any]
) -> None:
    plain = {"displayName": "A", "preventDuplicateNames": True, "tags": MARKS, "owners": [TENANT]}
    assert app(tmp_path, line).one(APPLICATION).inputs == plain | inputs


def test_a_logo_is_read_from_beside_its_file(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert app(tmp_path, "logo: logo.png").one(APPLICATION).inputs["logoImage"] == "iVBORw0KGgo="


@pytest.mark.parametrize(
    ("line", "inputs"),
    [
        ("enabled: false", {"accountEnabled": False}),
        ("assignment_required: true", {"appRoleAssignmentRequired": True}),
        ("description: d", {"description": "d"}),
        ("notes: ours", {"notes": "ours"}),
        ("notification_emails: [a@example.com]", {"notificationEmailAddresses": ["a@example.com"]}),
        ("login_url: https://x.example.com", {"loginUrl": "https://x.example.com"}),
        ("tags: [mine]", {"tags": ["mine", *MARKS]}),
        (
            "feature_tags: {gallery: true}",
            {"tags": ["WindowsAzureActiveDirectoryGalleryApplicationNonPrimaryV1", *MARKS]},
        ),
        (f"owners: [{GUID}]", {"owners": [GUID]}),
    ],
)
def test_a_line_of_the_service_principal_becomes_the_providers_input(
    tmp_path: Path, line: str, inputs: dict[str, Any]
) -> None:
    made = app(tmp_path, "tags: [app]", f"service_principal: {{{line}}}").one(PRINCIPAL).inputs
    plain = {
        "accountEnabled": True,
        "appRoleAssignmentRequired": False,
        "useExisting": False,
        "tags": ["app", *MARKS],
        "owners": [TENANT],
    }
    assert {key: value for key, value in made.items() if key != "clientId"} == plain | inputs


def test_an_existing_service_principal_keeps_its_tags_and_its_life(tmp_path: Path) -> None:
    made = app(tmp_path, "tags: [app]", "service_principal: {use_existing: true}")
    principal = made.one(PRINCIPAL)
    assert "tags" not in principal.inputs
    assert principal.request.retainOnDelete
    assert not made.one(APPLICATION).request.retainOnDelete


def test_a_certificate_is_declared_with_the_end_it_carries(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_bytes((ROOT / "examples" / "batch.pem").read_bytes())
    made = app(tmp_path, "certificates: {batch: {path: c.pem}}")
    certificate = made.one(azuread("ApplicationCertificate"), "a/batch")
    assert certificate.inputs["endDate"] == "2036-01-01T00:00:00Z"
    assert certificate.inputs["type"] == "AsymmetricX509Cert"
    assert made.result["identities"].value["a"]["credentials"][0]["kind"] == "certificate"


def test_a_federated_credential_is_named_and_described_in_the_outputs(tmp_path: Path) -> None:
    made = app(tmp_path, "federated: [{github: {repository: contoso/obs, branch: main}, description: d}]")
    key = "github-repo-contoso-obs-ref-refs-heads-main"
    credential = made.one(azuread("ApplicationFederatedIdentityCredential"), f"a/{key}")
    assert credential.inputs["displayName"] == key
    assert credential.inputs["audiences"] == ["api://AzureADTokenExchange"]
    assert credential.inputs["description"] == "d"
    [described] = made.result["identities"].value["a"]["credentials"]
    assert (described["kind"], described["subject"], described["ends"]) == (
        "federated",
        "repo:contoso/obs:ref:refs/heads/main",
        None,
    )
    assert made.all(PASSWORD) == []


def test_claims_make_a_flexible_federated_credential(tmp_path: Path) -> None:
    line = "federated: [{name: any, issuer: https://token.actions.githubusercontent.com, claims: \"claims['sub'] matches 'x'\"}]"
    credential = app(tmp_path, line).one(azuread("ApplicationFlexibleFederatedIdentityCredential"), "a/any")
    assert credential.inputs["claimsMatchingExpression"] == "claims['sub'] matches 'x'"
    assert credential.inputs["audience"] == "api://AzureADTokenExchange"


@pytest.mark.parametrize(
    ("line", "kind", "apart"),
    [
        ("claims: \"claims['sub'] matches 'x'\"", "ApplicationFlexibleFederatedIdentityCredential", "any-claims"),
        ("subject: x", "ApplicationFederatedIdentityCredential", "any-subject"),
    ],
)
def test_a_credential_that_goes_from_subject_to_claims_or_back_does_not_meet_itself(
    tmp_path: Path, line: str, kind: str, apart: str
) -> None:
    """Pulumi makes the new one first, and in Azure no two of an app have one name."""
    kinds = {"ApplicationFlexibleFederatedIdentityCredential", "ApplicationFederatedIdentityCredential"}
    (other,) = kinds - {kind}

    def name(*held: tuple[str, str]) -> str:
        state = {
            f"urn:pulumi:s::p::entrant:index:AppIdentity${azuread(type_)}::a/any": {
                "type": azuread(type_),
                "outputs": {"displayName": shown},
            }
            for type_, shown in held
        }
        lines = f"federated: [{{name: any, issuer: https://token.actions.githubusercontent.com, {line}}}]"
        return str(app(tmp_path, lines, state=state).one(azuread(kind), "a/any").inputs["displayName"])

    assert name() == name((kind, "any")) == "any"
    assert name((other, "any")) == apart
    assert name((kind, apart)) == name((kind, apart), (other, "any")) == apart, "it keeps its name"
    assert name((other, f"any-{'subject' if apart == 'any-claims' else 'claims'}")) == "any", "that is free"


CONSENT = (
    "permissions: [{api: Microsoft Graph, application: [User.Read.All], delegated: [openid, email], consent: true}]"
)


def test_consent_assigns_app_roles_and_grants_scopes(tmp_path: Path) -> None:
    made = app(tmp_path, CONSENT)
    principal = made.result["identities"].value["a"]["service_principal_id"]
    assignment = made.one(azuread("AppRoleAssignment"), "a/microsoft-graph/User.Read.All").inputs
    assert assignment == {
        "appRoleId": "df021288-bdef-4463-88db-98f22de89214",
        "principalObjectId": principal,
        "resourceObjectId": f"sp-{GRAPH}",
    }
    grant = made.one(azuread("ServicePrincipalDelegatedPermissionGrant"), "a/microsoft-graph").inputs
    assert grant["claimValues"] == ["email", "openid"]
    assert grant["servicePrincipalObjectId"] == principal


def test_without_consent_nothing_is_granted(tmp_path: Path) -> None:
    made = app(tmp_path, CONSENT.replace("consent: true", "consent: false"))
    assert made.all(azuread("AppRoleAssignment")) == made.all(azuread("ServicePrincipalDelegatedPermissionGrant")) == []


def test_permissions_of_an_api_that_is_not_known_here_are_asked_of_the_tenant(tmp_path: Path) -> None:
    made = app(tmp_path, f"permissions: [{{api: {GUID}, application: [Things.Read]}}]")
    [access] = made.one(APPLICATION).inputs["requiredResourceAccesses"]
    assert access == {"resourceAppId": GUID, "resourceAccesses": [{"id": f"role-Things.Read-{GUID}", "type": "Role"}]}


def test_a_permission_the_tenants_api_does_not_offer_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        pulumi.RunError,
        match=r"does not offer Things\.Write\. It offers: Data\.Read, Things\.All, Things\.Read, Things\.Use",
    ):
        app(tmp_path, f"permissions: [{{api: {GUID}, application: [Things.Write]}}]")


@pytest.mark.parametrize("kind", ["application", "delegated"])
def test_one_permission_by_name_and_by_id_stops_the_run(tmp_path: Path, kind: str) -> None:
    """Of an API that the tenant alone knows; of others `validate` says it."""
    name, start = {"application": ("Things.All", "1b1b1b1b"), "delegated": ("Things.Use", "2b2b2b2b")}[kind]
    id_ = f"{start}-1111-4222-8333-444444444444"
    message = (
        f"apps.a.permissions.{GUID}: {name} and {id_} under `{kind}` are one permission ({id_}). Keep one of the two."
    )
    with pytest.raises(pulumi.RunError) as refused:
        app(tmp_path, f"permissions: [{{api: {GUID}, {kind}: [{name}, {id_}]}}]")
    assert str(refused.value) == message


def test_a_permission_may_be_requested_by_its_id_and_consented_to_by_its_name(tmp_path: Path) -> None:
    """They are two resources, and each has it once."""
    id_ = "1b1b1b1b-1111-4222-8333-444444444444"
    made = app(
        tmp_path, f"permissions: [{{api: {GUID}, application: [{id_}], consent: {{application: [Things.All]}}}}]"
    )
    assert made.one(azuread("AppRoleAssignment"), f"a/{GUID}/Things.All").inputs["appRoleId"] == id_
    with pytest.raises(pulumi.RunError, match=r"Things.All and 1b1b.* under `consent.application` are one permission"):
        app(tmp_path, f"permissions: [{{api: {GUID}, consent: {{application: [Things.All, {id_}]}}}}]")


def test_permissions_by_id_are_what_their_names_are(tmp_path: Path) -> None:
    """A grant of delegated permissions has names alone; outputs and resources have the name where it is known."""
    graph = "api: Microsoft Graph, application: [DF021288-bdef-4463-88db-98f22de89214]"
    scopes = "delegated: [e1fe6dd8-ba31-4d61-89e7-88639da4683d], consent: true"
    other = f"api: {GUID}, delegated: [2b2b2b2b-1111-4222-8333-444444444444], consent: true"
    made = app(tmp_path, f"permissions: [{{{graph}, {scopes}}}, {{{other}}}]")
    made.one(azuread("AppRoleAssignment"), "a/microsoft-graph/User.Read.All")
    grant = azuread("ServicePrincipalDelegatedPermissionGrant")
    assert made.one(grant, "a/microsoft-graph").inputs["claimValues"] == ["User.Read"]
    assert made.one(grant, f"a/{GUID}").inputs["claimValues"] == ["Things.Use"]
    assert [each["name"] for each in made.result["identities"].value["a"]["permissions"]] == [
        "User.Read.All",
        "User.Read",
        "2b2b2b2b-1111-4222-8333-444444444444",
    ]


def test_an_api_without_a_service_principal_stops_the_run_with_the_remedy(tmp_path: Path) -> None:
    missing = "ffffffff-ffff-ffff-ffff-ffffffffffff"
    with pytest.raises(pulumi.RunError, match=f"az ad sp create --id {missing}"):
        app(tmp_path, f"permissions: [{{api: {missing}, application: [Things.Write]}}]")


PAIR = """
apps:
  portal:
    permissions: [{api: log-api, delegated: [Logs.Read], application: [Read.All], consent: true}]
  log-api:
    app_roles: {Read.All: {description: d}}
    api:
      scopes: {Logs.Read: {description: d}}
      known_clients: [portal]
      pre_authorized: [{client: portal, scopes: [Logs.Read]}, {client: 04b07795-8ddb-461a-bbee-02f9e1bf7b46, scopes: [Logs.Read]}]
"""


def test_an_api_and_its_client_know_each_other(tmp_path: Path) -> None:
    made = up(tmp_path, PAIR)
    ids = {name: identity["client_id"] for name, identity in made.result["identities"].value.items()}
    [access] = made.one(APPLICATION, "portal").inputs["requiredResourceAccesses"]
    assert access["resourceAppId"] == ids["log-api"]
    assert made.one(azuread("ApplicationKnownClients"), "log-api").inputs["knownClientIds"] == [ids["portal"]]
    assert made.one(azuread("ApplicationPreAuthorized"), "log-api/portal").inputs == {
        "applicationId": made.one(azuread("ApplicationKnownClients")).inputs["applicationId"],
        "authorizedClientId": ids["portal"],
        "permissionIds": [permission_id("log-api", "scope", "Logs.Read")],
    }
    assert list(made.result["identities"].value) == ["portal", "log-api"], "the file's order, whatever needs what"


def test_a_known_client_by_name_and_by_client_id_is_one(tmp_path: Path) -> None:
    made = up(tmp_path, PAIR)
    client = made.result["identities"].value["portal"]["client_id"]
    held = {"type": APPLICATION, "urn": f"urn:pulumi:s::p::{APPLICATION}::portal", "outputs": {"clientId": client}}
    both = PAIR.replace("known_clients: [portal]", f"known_clients: [portal, {client}]")
    again = up(tmp_path, both, state={held["urn"]: held})
    assert again.one(azuread("ApplicationKnownClients"), "log-api").inputs["knownClientIds"] == [client]


def test_known_clients_are_put_again_whenever_the_registration_changes(tmp_path: Path) -> None:
    """An update of the registration sends an empty list of known clients."""
    made = up(tmp_path, PAIR)
    request = made.one(azuread("ApplicationKnownClients")).request
    assert request.HasField("replacement_trigger")
    assert request.deleteBeforeReplace
    assert list(made.one(APPLICATION, "log-api").request.ignoreChanges) == ["api.knownClientApplications", "owners"]
    assert list(made.one(APPLICATION, "portal").request.ignoreChanges) == ["owners"]


def test_ids_of_roles_and_scopes_depend_on_app_and_value_alone() -> None:
    assert permission_id("a", "app role", "R") == permission_id("a", "app role", "R")
    ids = {permission_id(app, kind, value) for app in "ab" for kind in ("app role", "scope") for value in "RS"}
    assert len(ids) == 8
    assert permission_id("log-api", "scope", "Logs.Read") == "a15bad6c-20d6-574f-a6be-078210185fd5", "else all change"


def test_a_custom_role_is_declared_and_its_assignments_wait_for_it(tmp_path: Path) -> None:
    text = f"""
role_definitions:
  reader: {{name: Heartbeats, description: d, actions: ['*/read'], data_actions: [X/y/read], assignable_scopes: [{RG}]}}
apps:
  a: {{roles: [{{role: reader, scope: {RG}}}, {{role: Heartbeats, scope: {RG}/providers/X/y/z}}]}}
"""
    made = up(tmp_path, text)
    definition = made.one("azure-native:authorization:RoleDefinition", "reader")
    guid = custom_role_id("reader", parse_scope(RG))
    assert definition.inputs == {
        "scope": RG,
        "roleDefinitionId": guid,
        "roleName": "Heartbeats",
        "roleType": "CustomRole",
        "description": "d",
        "permissions": [{"actions": ["*/read"], "notActions": [], "dataActions": ["X/y/read"], "notDataActions": []}],
        "assignableScopes": [RG],
    }
    assert {a.inputs["roleDefinitionId"].rsplit("/", 1)[1] for a in made.all(ASSIGNMENT)} == {guid}
    preview = up(tmp_path, text, preview=True)
    assert all(isinstance(a.inputs["roleDefinitionId"], Unknown) for a in preview.all(ASSIGNMENT))


CONDITION = "Exists @Resource[a:b]"


def test_a_condition_comes_with_its_version(tmp_path: Path) -> None:
    made = app(
        tmp_path,
        f'roles: [{{role: Reader, scope: {RG}, description: d, condition: "Exists @Resource[a:b]", condition_version: "2.0"}}]',
    )
    inputs = made.one(ASSIGNMENT).inputs
    assert (inputs["condition"], inputs["conditionVersion"], inputs["description"]) == (
        "Exists @Resource[a:b]",
        "2.0",
        "d",
    )


def test_groups_and_directory_roles_are_given_to_the_service_principal(tmp_path: Path) -> None:
    made = app(
        tmp_path,
        f"groups: [{GUID}]",
        f"directory_roles: [{{role: Directory Readers}}, {{role: Printer Technician, administrative_unit: {GUID}}}]",
    )
    principal = made.result["identities"].value["a"]["service_principal_id"]
    assert made.one(azuread("GroupMember")).inputs == {"groupObjectId": GUID, "memberObjectId": principal}
    assert made.one(azuread("DirectoryRoleAssignment"), "a/directory-directory-readers").inputs == {
        "principalObjectId": principal,
        "roleId": "88d8e3e3-8f55-4a1e-953a-9b9898b8876b",
    }
    limited = made.one(azuread("DirectoryRoleAssignment"), f"a/directory-printer-technician-{GUID}").inputs
    assert limited["directoryScopeId"] == f"/administrativeUnits/{GUID}"


def test_adoption_imports_by_id_and_never_by_name(tmp_path: Path) -> None:
    made = app(
        tmp_path,
        f"adopt: {{application: {GUID}, service_principal: {GUID}}}",
        "on_remove: keep",
        f"roles: [{{role: Reader, scope: {RG}, adopt: {GUID}, on_remove: keep}}]",
    )
    registration, principal, assignment = made.one(APPLICATION), made.one(PRINCIPAL), made.one(ASSIGNMENT)
    assert registration.request.importId == f"/applications/{GUID}"
    assert principal.request.importId == f"/servicePrincipals/{GUID}"
    assert assignment.request.importId == f"{RG}/providers/Microsoft.Authorization/roleAssignments/{GUID}"
    assert assignment.inputs["roleAssignmentName"] == GUID
    assert all(resource.request.retainOnDelete for resource in (registration, principal, assignment))
    assert "preventDuplicateNames" not in registration.inputs, "its name is taken, by itself"
    assert "tags" not in registration.inputs, "an import must find things as they are"


OTHER = "00000000-0000-0000-0000-00000000000b"
PARTS = [
    "api: {scopes: {Show: {description: d}}, known_clients: [" + GRAPH + "],"
    " pre_authorized: [{client: " + GRAPH + ", scopes: [Show], adopt: true}]}",
    f"certificates: {{c: {{path: {ROOT / 'examples' / 'batch.pem'}, adopt: {OTHER}}}}}",
    f"federated: [{{name: exact, issuer: https://x.example.com, subject: s, adopt: {OTHER}}},"
    f" {{name: flexible, issuer: https://gitlab.com, claims: \"claims['sub'] matches 's'\", adopt: {OTHER[:-1]}c}}]",
    "permissions: [{api: Microsoft Graph, application: [User.Read.All], delegated: [User.Read], consent: true,"
    " adopt: {application: {User.Read.All: one}, delegated: two}}]",
    f"groups: [{{group: {OTHER}, adopt: true}}]",
    "directory_roles: [{role: Directory Readers, adopt: three}]",
]


def test_each_part_is_imported_by_the_id_that_its_provider_takes(tmp_path: Path) -> None:
    """Source of the forms: the "Import" sections of the azuread provider's documentation."""
    made = app(
        tmp_path,
        f"adopt: {{application: {GUID}, service_principal: {GUID}, known_clients: true}}",
        "on_remove: keep",
        *PARTS,
    )
    imported = {r.type.rpartition(":")[2]: r.request.importId for r in made.resources if r.request.importId}
    assert imported == {
        "Application": f"/applications/{GUID}",
        "ServicePrincipal": f"/servicePrincipals/{GUID}",
        "ApplicationKnownClients": f"/applications/{GUID}/knownClients",
        "ApplicationPreAuthorized": f"{GUID}/preAuthorizedApplication/{GRAPH}",
        "ApplicationCertificate": f"{GUID}/certificate/{OTHER}",
        "ApplicationFederatedIdentityCredential": f"{GUID}/federatedIdentityCredential/{OTHER}",
        "ApplicationFlexibleFederatedIdentityCredential": f"/applications/{GUID}/federatedIdentityCredentials/{OTHER[:-1]}c",
        "AppRoleAssignment": f"/servicePrincipals/sp-{GRAPH}/appRoleAssignedTo/one",
        "ServicePrincipalDelegatedPermissionGrant": "/oauth2PermissionGrants/two",
        "GroupMember": f"{OTHER}/member/{GUID}",
        "DirectoryRoleAssignment": "/roleManagement/directory/roleAssignments/three",
    }
    kept = {r.type.rpartition(":")[2] for r in made.resources if r.request.retainOnDelete}
    assert kept == imported.keys() - {"ApplicationKnownClients"}, "which goes with its registration"
    assert all(r.request.hooks for r in made.resources if r.request.importId)
    assert sorted(imported.values()) == made.result["adopted"].value


@pytest.mark.parametrize("part", [*PARTS[1:3], PARTS[4]], ids=["certificate", "federated", "group"])
def test_a_part_of_what_is_not_there_cannot_be_taken_over(tmp_path: Path, part: str) -> None:
    with pytest.raises(pulumi.RunError, match="which this stack neither holds nor takes over"):
        app(tmp_path, "on_remove: keep", part)


def test_what_the_stack_manages_is_not_put_aside_for_something_else(tmp_path: Path) -> None:
    """An import in the place of another object would delete that one."""
    urn = f"urn:pulumi:dev::entrant::entrant:index:AppIdentity${APPLICATION}::a"
    outputs = {"objectId": OTHER, "id": f"/applications/{OTHER}"}
    state = {urn: {"type": APPLICATION, "outputs": outputs}}
    lines = [f"adopt: {{application: {GUID}}}", "on_remove: keep"]
    with pytest.raises(pulumi.RunError, match=f"manages a already, as {OTHER}, which would be deleted"):
        app(tmp_path, *lines, state=state)
    stack = {"type": "pulumi:pulumi:Stack", "outputs": {"identities": {}, "adopted": [f"/applications/{GUID}"]}}
    made = app(tmp_path, *lines, state=state | {"urn:pulumi:dev::entrant::pulumi:pulumi:Stack::entrant-dev": stack})
    assert not made.one(APPLICATION).request.importId, "it was taken over and replaced since"


@pytest.mark.parametrize(
    ("environment", "own", "kept"), [("delete", "", False), ("keep", "", True), ("keep", "delete", False)]
)
def test_what_is_removed_is_kept_if_the_app_or_the_environment_says_so(
    tmp_path: Path, environment: str, own: str, kept: bool
) -> None:
    made = up(tmp_path, f"on_remove: {environment}\napps: {{a: {{{f'on_remove: {own}' if own else ''}}}}}\n")
    assert {r.request.retainOnDelete for r in made.resources if r.type in (APPLICATION, PRINCIPAL)} == {kept}


@pytest.mark.parametrize(
    ("lines", "owners", "ignored"),
    [
        ([], ([TENANT], [TENANT]), (True, True)),
        ([f"owners: [{GUID}]"], ([GUID], [TENANT]), (False, True)),
        (["owners: []", "service_principal: {owners: []}"], ([], []), (False, False)),
        ([f"service_principal: {{owners: [{GUID}]}}"], ([TENANT], [GUID]), (True, False)),
        (["service_principal: {use_existing: true}"], ([TENANT], []), (True, True)),
        ([f"adopt: {{application: {GUID}}}", "on_remove: keep"], ([], [TENANT]), (True, True)),
    ],
)
def test_whoever_makes_something_owns_it_unless_the_file_says_who_does(
    tmp_path: Path, lines: list[str], owners: tuple[list[str], list[str]], ignored: tuple[bool, bool]
) -> None:
    """And what the file does not say is left alone afterwards."""
    made = app(tmp_path, *lines)
    both = (made.one(APPLICATION), made.one(PRINCIPAL))
    assert tuple(each.inputs.get("owners", []) for each in both) == owners
    assert tuple("owners" in each.request.ignoreChanges for each in both) == ignored


def test_apps_are_owned_by_service_principals_of_other_apps(tmp_path: Path) -> None:
    made = up(tmp_path, "apps: {a: {owners: [b]}, b: {}}\n")
    assert made.one(APPLICATION, "a").inputs["owners"] == [made.result["identities"].value["b"]["service_principal_id"]]


def test_the_whole_example_is_declared(tmp_path: Path) -> None:
    environment = config.load(ROOT / "examples" / "everything.yaml")
    made = deploy(lambda: stack_outputs(environment, declare(environment, now="2026-11-20", before={})))
    assert len(made.all(COMPONENT)) == 3
    assert len(made.resources) == 51
    names = [(resource.type, resource.name) for resource in made.resources]
    assert len(names) == len(set(names))


def test_the_component_alone_takes_outputs_of_other_resources() -> None:
    """Used in another program, without YAML: a scope that only another resource's creation tells."""

    def program() -> None:
        other = AppIdentity("other", {"display_name": "Other"})
        scope = other.object_id.apply(lambda _: RG)
        AppIdentity("mine", {"display_name": "Mine", "roles": {"reader": {"role": "Reader", "scope": scope}}})

    assert deploy(program).one(ASSIGNMENT, "mine/reader").inputs["scope"] == RG
    assert isinstance(deploy(program, preview=True).one(ASSIGNMENT).inputs["scope"], Unknown)


def test_a_new_app_takes_nothing_over_that_another_app_of_the_stack_has_alike(tmp_path: Path) -> None:
    parts = """
    secret: {every: 90d, overlap: 7d}
    certificates: {batch: {path: batch.pem}}
    federated:
      - {github: {repository: contoso/obs, environment: prod}}
      - {name: any, issuer: https://i.example.com, claims: "claims['sub'] matches 'x'"}
    permissions:
      - {api: Microsoft Graph, application: [User.Read.All], delegated: [User.Read], consent: true}
    roles: [{role: Reader, scope: %s}]
    groups: [%s]
    directory_roles: [{role: Directory Readers}]
""" % (RG, GUID.replace("a", "1"))  # noqa: UP031
    (tmp_path / "batch.pem").write_text((ROOT / "examples" / "batch.pem").read_text())
    first = f"apps:\n  first:\n    display_name: First{parts}"
    before = up(tmp_path, first)
    state = {
        f"{resource.parent.rpartition('::')[0]}${resource.type}::{resource.name}": {
            "type": resource.type,
            "outputs": {**resource.inputs, "objectId": f"object of {resource.type}"},
        }
        for resource in before.resources
    }
    after = up(tmp_path, f"{first}  second:\n    display_name: Second{parts}", state=state)
    second = [resource for resource in after.resources if resource.name.startswith("second")]
    assert len(second) == len([resource for resource in before.resources if resource.name.startswith("first")]) > 10
    for resource in second:
        aliases = [*(alias.spec.name for alias in resource.request.aliases), *resource.request.aliasURNs]
        assert not [alias for alias in aliases if "first" in alias], resource.name
