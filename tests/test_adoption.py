"""What exists is foreseen and taken over unchanged, of every kind; what cannot be said stays; an app can be let go again."""

import base64
import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

import local_azure
from entrant.engine import in_file_words
from entrant.facts.marks import of_stack
from tests.conftest import ROOT, Project
from tests.local_azure.conftest import READER
from tests.test_identity import GROUP, LEGACY, Stack
from tests.test_identity import made_manually as by_hand

GRAPH = "00000003-0000-0000-c000-000000000000"
CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
USER_READ_ALL = "df021288-bdef-4463-88db-98f22de89214"
DIRECTORY_READERS = "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"
TEAM = "6c1f2a3b-4d5e-4f60-8a9b-0c1d2e3f4a5b"
ISSUER = "https://token.actions.githubusercontent.com"
SUBJECT = "repo:contoso/obs:ref:refs/heads/main"
LOGO = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def stack(project: Project) -> Iterator[Stack]:
    """A stack of its own for each test."""
    made = Stack(project)
    yield made
    local_azure.stop(made.rehearsal.azure)


def certificate(name: str) -> str:
    """A self-signed certificate in PEM form; all of them are valid for the same time."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    starts, ends = (dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (2026, 2036))
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    built = built.serial_number(x509.random_serial_number()).not_valid_before(starts).not_valid_after(ends)
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


# --------------------------------------------------------------------------------------------------------------- every kind

BARE = """\
apps:
  api:
    display_name: API (adoption)
    api: {scopes: {Show: {description: d}}}
    app_roles: {Read: {description: d}}
"""
PARTS = f"""\
role_definitions:
  asker: {{name: Asker (adoption), actions: ["*/read"], assignable_scopes: [{GROUP}]ASKER}}
apps:
  api:
    display_name: API (adoption)
    api:
      scopes: {{Show: {{description: d}}}}
      pre_authorized: [{{client: {CLI}, scopes: [Show]CLIENT}}]
    app_roles: {{Read: {{description: d}}}}
    certificates: {{batch: {{path: CERTIFICATE_FILE, CERTIFICATE}}}}
    federated: [{{issuer: "{ISSUER}", subject: "{SUBJECT}", FEDERATED}}]
    permissions:
      - {{api: Microsoft Graph, consent: {{application: [User.Read.All], delegated: [User.Read]}}CONSENT}}
    roles:
      - {{role: Reader, scope: {GROUP}ROLE}}
    groups: [TEAM]
    directory_roles: [{{role: Directory Readers, DIRECTORY}}]
"""
PLACES = ("CERTIFICATE", "FEDERATED", "CLIENT", "CONSENT", "ROLE", "DIRECTORY", "ASKER")


def made_manually(stack: Stack, app: dict[str, Any], principal: str) -> dict[str, str]:
    """One of every kind that an app can have, made past the stack; the ids by place in PARTS."""
    graph, azure = stack.client.graph, stack.azure
    azure.admin("POST", "ensure", {"groups": [TEAM]})
    path = f"/applications/{app['id']}"
    federated = graph(
        "POST",
        f"{path}/federatedIdentityCredentials",
        {"name": "by-hand", "issuer": ISSUER, "subject": SUBJECT, "audiences": ["api://AzureADTokenExchange"]},
    )
    pem = base64.b64encode((ROOT / "examples" / "batch.pem").read_bytes()).decode()
    credential = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": pem}
    scope = next(iter(app["api"]["oauth2PermissionScopes"]))["id"]
    client = {"appId": CLI, "delegatedPermissionIds": [scope]}
    graph("PATCH", path, {"keyCredentials": [credential], "api": {"preAuthorizedApplications": [client]}})
    [api] = graph("GET", f"/servicePrincipals?$filter=appId eq '{GRAPH}'")["value"]
    consent = {"principalId": principal, "resourceId": api["id"], "appRoleId": USER_READ_ALL}
    assigned = graph("POST", f"/servicePrincipals/{principal}/appRoleAssignments", consent)
    delegated = {"clientId": principal, "consentType": "AllPrincipals", "resourceId": api["id"], "scope": "User.Read"}
    granted = graph("POST", "/oauth2PermissionGrants", delegated)
    member = {"@odata.id": f"{azure.url}/v1.0/directoryObjects/{principal}"}
    graph("POST", f"/groups/{TEAM}/members/$ref", member)
    role = {"principalId": principal, "roleDefinitionId": DIRECTORY_READERS, "directoryScopeId": "/"}
    directory = graph("POST", "/roleManagement/directory/roleAssignments", role)
    asker = "4f1d0c0e-8a55-4d0b-9e0e-51f0c3a7b9d1"
    allowed = [{"actions": ["*/read"]}]
    definition = {
        "roleName": "Asker (adoption)",
        "type": "CustomRole",
        "assignableScopes": [GROUP],
        "permissions": allowed,
    }
    stack.client.arm(
        "PUT", f"{GROUP}/providers/Microsoft.Authorization/roleDefinitions/{asker}", {"properties": definition}
    )
    return {
        "CERTIFICATE": f"adopt: {graph('GET', path)['keyCredentials'][0]['keyId']}",
        "FEDERATED": f"name: by-hand, adopt: {federated['id']}",
        "CLIENT": ", adopt: true",
        "CONSENT": f", adopt: {{application: {{User.Read.All: {assigned['id']}}}, delegated: {granted['id']}}}",
        "ROLE": f", adopt: {stack.client.grant(READER, GROUP, principal)['name']}",
        "DIRECTORY": f"adopt: {directory['id']}",
        "ASKER": f", adopt: {asker}, on_remove: keep",
        "TEAM": f"{{group: {TEAM}, adopt: true}}",
    }


def with_ids(text: str, ids: dict[str, str]) -> str:
    """PARTS with an `adopt` on each entry, or with none."""
    text = text.replace("CERTIFICATE_FILE", str(ROOT / "examples" / "batch.pem"))
    for place in PLACES:
        alone = {"CERTIFICATE": "renamed_from: old", "FEDERATED": "description: d", "DIRECTORY": "on_remove: delete"}
        text = text.replace(place, ids.get(place, alone.get(place, "")), 1)
    return text.replace("groups: [TEAM]", f"groups: [{ids.get('TEAM', TEAM)}]")


def everything(stack: Stack, application: str, principal: str) -> list[Any]:
    """All that the local Azure has of an app, its parts included."""
    graph, path = stack.client.graph, f"/servicePrincipals/{principal}"
    assignments = f"{GROUP}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId eq '{principal}'"
    definitions = f"{GROUP}/providers/Microsoft.Authorization/roleDefinitions?$filter=type eq 'CustomRole'"
    return [
        graph("GET", f"/applications/{application}"),
        graph("GET", path),
        *(
            graph("GET", each)["value"]
            for each in (
                f"/applications/{application}/federatedIdentityCredentials",
                f"/applications/{application}/owners",
                f"{path}/owners",
                f"{path}/appRoleAssignments",
                f"{path}/oauth2PermissionGrants",
                f"{path}/memberOf",
                f"/roleManagement/directory/roleAssignments?$filter=principalId eq '{principal}'",
            )
        ),
        stack.client.arm("GET", assignments)["value"],
        stack.client.arm("GET", definitions)["value"],
    ]


def test_every_part_that_exists_is_foreseen_taken_over_unchanged_and_kept(stack: Stack) -> None:
    """Parts made manually of an app that the stack manages: doctor and review name each with its `adopt`; `up` imports them."""
    stack.up(BARE)
    made = stack.outputs("api")
    app, principal = stack.client.graph("GET", f"/applications/{made['object_id']}"), made["service_principal_id"]
    ids = made_manually(stack, app, principal)
    before = everything(stack, app["id"], principal)
    bare = with_ids(PARTS, {})
    code, review = stack.review(bare)
    assert code != 0
    errors = "\n".join(review["errors"])
    stack.write(bare)
    seen = stack.project.entrant("doctor", "-s", stack.name, **stack.settings).stdout
    for place in (*PLACES, "TEAM"):
        line = ids[place].removesuffix(", on_remove: keep").removeprefix(", ")
        if place == "CONSENT":
            for part in re.findall(r"application: \{.*?\}|delegated: \S+(?=\})", line):
                assert f"write `adopt: {{{part}}}`" in errors and f"write `adopt: {{{part}}}`" in seen
            continue
        line = line if place != "FEDERATED" else line.replace("name: by-hand", "name: by-hand")
        assert f"write `{line}` there" in errors, place
        assert f"write `{line}` there" in seen, place
    assert len(review["errors"]) == len(PLACES) + 2  # two consents, and the group
    code, output = stack.run("up", "--yes", "--skip-preview")
    assert code != 0
    assert "`python3 -m entrant doctor -s STACK` shows the `adopt` line that takes it over" in in_file_words(output)
    stack.up(BARE)  # away with what that `up` made
    before = everything(stack, app["id"], principal)
    full = with_ids(PARTS, ids) + "    on_remove: keep\n"
    code, review = stack.review(full)
    assert (code, review["errors"], review["taken_over"]) == (0, [], [])
    assert stack.up(full)["imported"] == len(PLACES) + 2
    assert everything(stack, app["id"], principal) == before
    assert set(stack.up(full)) == {"unchanged"}
    stack.up(BARE)  # every part goes, and is kept
    assert everything(stack, app["id"], principal) == before


def test_a_part_that_differs_is_shown_with_both_sides_and_not_changed(stack: Stack) -> None:
    stack.up(BARE)
    made = stack.outputs("api")
    app, principal = stack.client.graph("GET", f"/applications/{made['object_id']}"), made["service_principal_id"]
    ids = made_manually(stack, app, principal)
    before = everything(stack, app["id"], principal)
    other = with_ids(PARTS, ids) + "    on_remove: keep\n"
    for old, new in (
        ("branch/main", "branch/other"),
        (f'subject: "{SUBJECT}"', 'subject: "repo:contoso/obs:environment:prod"'),
        ("delegated: [User.Read]", "delegated: [User.Read, email]"),
        ("role: Directory Readers", "role: Reports Reader"),
        ('actions: ["*/read"]', 'actions: ["*/read", Microsoft.Insights/metrics/read]'),
        ("scopes: {Show: {description: d}}", "scopes: {Show: {description: d}, More: {description: d}}"),
        ("scopes: [Show]", "scopes: [Show, More]"),
    ):
        other = other.replace(old, new)
    code, review = stack.review(other)
    assert code != 0
    assert re.search(
        r"exists \(.+\) and differs from the file\. It was not changed:\n  .+: the tenant has ", review["errors"][0]
    )
    allowed = other.replace("on_remove: keep\n", "on_remove: keep\n    change_adopted: true\n")
    allowed = allowed.replace(", on_remove: keep", ", on_remove: keep, change_adopted: true")
    code, review = stack.review(allowed)
    assert code == 0, review["errors"]
    settings = {
        re.sub(r"\[.*?\]", "", setting["path"]): (setting["old"], setting["new"]) for setting in review["taken_over"]
    }
    assert settings["federated.subject"] == (SUBJECT, "repo:contoso/obs:environment:prod")
    assert settings["permissions.claimValues"][1] == "email"
    assert settings["directory_roles.roleId"][0] == DIRECTORY_READERS
    assert {"role_definitions.permissions.actions", "api.pre_authorized.permissionIds"} <= settings.keys()
    stack.write(other)
    for _ in range(2):
        stack.run("up", "--yes", "--skip-preview")
        after = everything(stack, app["id"], principal)
        assert after[2:] == before[2:]
        for held in ("keyCredentials", ("api", "preAuthorizedApplications")):
            path = (held,) if isinstance(held, str) else held
            assert at(after[0], path) == at(before[0], path)


def at(value: Any, path: tuple[str, ...]) -> Any:
    """What is at a place."""
    for step in path:
        value = value[step]
    return value


# ------------------------------------------------------------------------------------------------- what nothing may wipe

SETTINGS: dict[str, tuple[Any, str, str]] = {
    "description": ("Made manually", "description", 'description: "Made manually"'),
    "notes": ("Mind the gap", "notes", 'notes: "Mind the gap"'),
    "serviceManagementReference": ("CI-1", "service_management_reference", "service_management_reference: CI-1"),
    "identifierUris": (["api://TENANT/legacy"], "identifier_uris", 'identifier_uris: ["api://TENANT/legacy"]'),
    "web": (
        {"redirectUris": ["https://a.example.com/"], "homePageUrl": "https://a.example.com", "logoutUrl": "https://a.example.com/o"},
        "web.redirect_uris",
        "web: {redirect_uris: [https://a.example.com/], logout_url: https://a.example.com/o}",
    ),
    "spa": ({"redirectUris": ["https://s.example.com/"]}, "single_page_application.redirect_uris",
            "spa: {redirect_uris: [https://s.example.com/]}"),
    "publicClient": ({"redirectUris": ["http://localhost"]}, "public_client.redirect_uris",
                     "public_client: {redirect_uris: [http://localhost], fallback: true}"),
    "isFallbackPublicClient": (True, "fallback_public_client_enabled", ""),
    "info": ({"marketingUrl": "https://m.example.com"}, "marketing_url",
             "links: {homepage: https://a.example.com, marketing: https://m.example.com}"),
    "groupMembershipClaims": ("SecurityGroup", "group_membership_claims", "group_claims: [SecurityGroup]"),
    "optionalClaims": ({"idToken": [{"name": "upn", "essential": True}]}, "optional_claims.id_tokens",
                       "optional_claims: {id_token: [{name: upn, essential: true}]}"),
    "appRoles": (
        [{"id": "11111111-2222-4333-8444-555555555555", "value": "Read", "displayName": "Read", "description": "d",
          "allowedMemberTypes": ["User"], "isEnabled": True}],
        "app_roles",
        "app_roles: {Read: {id: 11111111-2222-4333-8444-555555555555, description: d, allowed: [User]}}",
    ),
    "api": (
        {"requestedAccessTokenVersion": 2, "acceptMappedClaims": True, "knownClientApplications": [CLI],
         "oauth2PermissionScopes": [{"id": "11111111-2222-4333-8444-666666666666", "value": "Show", "type": "Admin",
                                     "adminConsentDisplayName": "Show", "adminConsentDescription": "d", "isEnabled": True}]},
        "api.oauth2_permission_scopes",
        "api: {mapped_claims: true, known_clients: [" + CLI + "],"
        " scopes: {Show: {id: 11111111-2222-4333-8444-666666666666, description: d}}}",
    ),
    "requiredResourceAccess": (
        [{"resourceAppId": GRAPH, "resourceAccess": [{"id": USER_READ_ALL, "type": "Role"}]}],
        "required_resource_accesses",
        "permissions: [{api: Microsoft Graph, application: [User.Read.All]}]",
    ),
}  # fmt: skip
"""By the name that Graph has for it: a value, what a difference is called, and how a file says it."""
UNSAID = {"isDeviceOnlyAuthSupported": True, "tags": ["by-hand"]}
"""What a file has no word for, or need not say."""
OF_PRINCIPAL: dict[str, tuple[Any, str, str]] = {
    "notes": ("of the principal", "notes", "notes: of the principal"),
    "loginUrl": ("https://login.example.com", "login_url", "login_url: https://login.example.com"),
    "appRoleAssignmentRequired": (True, "app_role_assignment_required", "assignment_required: true"),
    "notificationEmailAddresses": (
        ["a@example.com"],
        "notification_email_addresses",
        "notification_emails: [a@example.com]",
    ),
}
NO_SAML = {"relayState": ""}
"""What the real provider writes for none."""
UNSAID_OF_PRINCIPAL = {
    "preferredSingleSignOnMode": "saml",
    "alternativeNames": ["by-hand"],
    "tags": ["by-hand", "HideApp"],
}


def test_nothing_that_a_registration_has_is_wiped_by_taking_it_over(stack: Stack) -> None:
    """A file that says nothing is refused for each setting; one that says all takes over unchanged, and changes one at a time."""
    tenant, graph = stack.azure.tenant_id, stack.client.graph
    values = json.loads(
        json.dumps({name: value for name, (value, *_) in SETTINGS.items()} | UNSAID).replace("TENANT", tenant)
    )
    stack.azure.admin("POST", "ensure", {"users": ["ada@contoso.com"]})
    app = graph("POST", "/applications", {"displayName": "Legacy", **values})
    picture = stack.client.call(
        "PUT", f"/v1.0/applications/{app['id']}/logo", headers={"Content-Type": "image/png"}, data=LOGO
    )
    assert picture.status_code == 204
    principal = graph("POST", "/servicePrincipals", {"appId": app["appId"]})
    of_principal = {name: value for name, (value, *_) in OF_PRINCIPAL.items()} | UNSAID_OF_PRINCIPAL
    graph("PATCH", f"/servicePrincipals/{principal['id']}", of_principal)
    [ada] = graph("GET", "/users?$filter=userPrincipalName eq 'ada@contoso.com'")["value"]
    for path in (f"/applications/{app['id']}", f"/servicePrincipals/{principal['id']}"):
        graph("POST", f"{path}/owners/$ref", {"@odata.id": f"{stack.azure.url}/v1.0/directoryObjects/{ada['id']}"})
    before = everything(stack, app["id"], principal["id"])
    text = LEGACY.replace("APP", app["id"]).replace("SP}", principal["id"] + "}")
    code, review = stack.review(text)
    assert code != 0
    errors = "\n".join(review["errors"])
    for name, (_, called, _) in SETTINGS.items():
        assert re.search(rf"^  {re.escape(called)}: the tenant has .+, the file says (nothing|false)", errors, re.M), (
            name
        )
    assert not re.search("device_only|owners|tags|logo_image", errors), errors
    assert stack.run("up", "--yes", "--skip-preview")[0] != 0
    assert everything(stack, app["id"], principal["id"]) == before
    lines = [line.replace("TENANT", "{tenant_id}") for *_, line in SETTINGS.values() if line]
    own = ", ".join(line for *_, line in OF_PRINCIPAL.values())
    full = "\n    ".join([*lines, f"service_principal: {{{own}}}", "on_remove"])
    full = text.replace("on_remove", full).replace(
        "service_principal: " + principal["id"] + "}",
        "service_principal: " + principal["id"] + ", known_clients: true}",
    )
    code, review = stack.review(full.replace(f"service_principal: {{{own}}}", "service_principal: {}"))
    assert code != 0
    errors = "\n".join(review["errors"])
    for name, (_, called, _) in OF_PRINCIPAL.items():
        assert re.search(rf"^  {re.escape(called)}: the tenant has .+, the file says (nothing|false)", errors, re.M), (
            name
        )
    assert not re.search("owners|tags|alternative|single_sign", errors), errors
    code, review = stack.review(full)
    assert (code, review["errors"], review["taken_over"]) == (0, [], [])
    assert stack.up(full)["imported"] == 2  # the `up` before left the registration's import
    assert everything(stack, app["id"], principal["id"]) == before
    assert set(stack.up(full)) == {"unchanged"}
    stack.up(full.replace("Mind the gap", "by file").replace("of the principal", "by file"))
    after = everything(stack, app["id"], principal["id"])
    changed = [
        {key: value for key, value in now.items() if value != was.get(key) and value != NO_SAML}
        for now, was in zip(after[:2], before[:2], strict=True)
    ]
    assert changed == [{"notes": "by file"}, {"notes": "by file"}]
    assert after[2:] == before[2:]
    nothing = "apps: {other: {display_name: Other}}\n"
    stack.up(nothing)  # away with it, and kept
    assert everything(stack, app["id"], principal["id"])[0]["api"] == before[0]["api"]


def test_a_run_that_goes_on_after_a_refusal_agrees_to_nothing_and_keeps_the_outputs(stack: Stack) -> None:
    """What the outputs say is adopted may be changed by the next `up`; without an app's secrets it would make others."""
    own = "  own: {display_name: Own, secret: {every: 90d}}\n"
    stack.up(f"apps:\n{own}")
    before = stack.outputs("own")
    app, text = by_hand(stack)
    stack.write(text + own)
    for options in (["--continue-on-error"], []):
        code, output = stack.run("up", "--yes", "--skip-preview", *options)
        assert code != 0
        assert "differs from the file. It was not changed" in output
        assert stack.client.graph("GET", f"/applications/{app['id']}")["notes"] == "manually"
        assert stack.outputs("own") == before
        assert json.loads(stack.run("stack", "output", "adopted", "--json")[1]) == []


def test_what_no_provider_reads_back_is_taken_for_what_is_there_and_sent_when_it_changes(stack: Stack) -> None:
    """A certificate and a logo: taken over untouched, and replaced when the file has another one, of the same end."""
    graph, folder = stack.client.graph, stack.project.root / "config"
    first, second = certificate("first"), certificate("second")
    (folder / "batch.pem").write_text(first)
    (folder / "logo.png").write_bytes(LOGO)
    key = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": base64.b64encode(first.encode()).decode()}
    app = graph("POST", "/applications", {"displayName": "Legacy"})
    graph("PATCH", f"/applications/{app['id']}", {"keyCredentials": [key]})
    [held] = graph("GET", f"/applications/{app['id']}")["keyCredentials"]
    principal = graph("POST", "/servicePrincipals", {"appId": app["appId"]})
    text = LEGACY.replace("APP", app["id"]).replace("SP}", principal["id"] + "}")
    text += f"    logo: logo.png\n    certificates: {{batch: {{path: batch.pem, adopt: {held['keyId']}ONREMOVE}}}}\n"
    text, kept = text.replace("ONREMOVE", ", on_remove: delete"), text.replace("ONREMOVE", "")
    assert stack.up(kept)["imported"] == 3
    assert graph("GET", f"/applications/{app['id']}")["keyCredentials"] == [held]
    sent = [one for one in stack.azure.requests() if one["path"].endswith("/logo")]
    assert (sent, set(stack.up(text))) == ([], {"unchanged"})
    (folder / "batch.pem").write_text(second)
    (folder / "logo.png").write_bytes(LOGO + b"\0")
    code, review = stack.review(kept)
    assert code != 0 and "`on_remove: keep` would leave the one before on the registration" in "".join(review["errors"])
    (folder / "batch.pem").write_text(first)
    (folder / "logo.png").write_bytes(LOGO)
    stack.up(text)  # it may go from now on
    (folder / "batch.pem").write_text(second)
    (folder / "logo.png").write_bytes(LOGO + b"\0")
    changed = stack.up(text)
    assert (changed["replaced"], changed["updated"]) == (1, 1)
    [other] = graph("GET", f"/applications/{app['id']}")["keyCredentials"]
    assert other["customKeyIdentifier"] != held["customKeyIdentifier"]
    assert [one["method"] for one in stack.azure.requests() if one["path"].endswith("/logo")] == ["PUT"]
    assert set(stack.up(text)) == {"unchanged"}


# ----------------------------------------------------------------------------------------------------------------- letting go

TWO = f"""\
apps:
  api:
    display_name: API (release)
    protect: true
    secret: {{}}
    certificates: {{signing: {{every: 90d}}}}
    app_roles: {{Read: {{description: d}}}}
    roles: [{{role: Reader, scope: {GROUP}}}]
    federated: [{{github: {{repository: contoso/obs, branch: main}}}}]
  user:
    display_name: User (release)
    permissions: [{{api: api, application: [Read], consent: true}}]
"""


def test_an_app_is_let_go_without_a_trace_in_the_cloud_and_can_be_taken_over_again(stack: Stack) -> None:
    stack.up(TWO)
    api, client_id, mark = stack.outputs("api"), stack.outputs("api")["client_id"], of_stack("entrant", stack.name)
    there = everything(stack, api["object_id"], api["service_principal_id"])
    number = stack.azure.requests()[-1]["number"]

    def release(*more: str) -> Any:
        return stack.project.entrant("release", "api", "api", "-s", stack.name, *more, **stack.settings)

    looked = release("--dry-run")
    assert looked.stdout.count("still declares api") == 1
    assert looked.returncode == 7
    for line in (
        "forgets api. Nothing of it is deleted or changed in the cloud",
        f"· Application api (/applications/{api['object_id']})",
        "! the value of api's client secret is in this state alone",
        "! the private keys of api's certificates are in this state alone; keep them first if needed: "
        f"pulumi stack output api_certificates --show-secrets -s {stack.name}",
        "still declares api: take `apps.api` out, or the next `up` fails, because the tenant has an app with its name",
        f"! api keeps the tag {mark}: until somebody takes it off,",
        "! apps.user names api: write its client id",
    ):
        assert line in looked.stdout
    assert release().returncode == 2  # nobody can be asked
    done = release("--yes")
    assert done.returncode == 0, done.stderr
    again = release("--yes")
    assert (again.returncode, again.stdout) == (0, "") and "holds nothing of api (it holds: user)" in again.stderr
    wrote = [one for one in stack.azure.requests(after=number) if one["method"] not in ("GET", "POST")]
    assert wrote == []
    assert everything(stack, api["object_id"], api["service_principal_id"]) == there
    code, output = stack.run("stack", "output", "--json")
    assert (
        code == 0
        and not [name for name in json.loads(output) if name.startswith("api_")]
        and list(json.loads(output)["identities"]) == ["user"]
    )
    alone = TWO[: TWO.index("  api:")] + TWO[TWO.index("  user:") :].replace("api: api", f"api: {client_id}")
    assert set(stack.up(alone)) == {"unchanged"}
    assert everything(stack, api["object_id"], api["service_principal_id"]) == there
    # the next `recover` knows it by its tag, and does not take it for a leftover of this stack
    looked = stack.project.entrant("recover", "-s", stack.name, "--dry-run", "--settle", "0", **stack.settings)
    assert looked.returncode == 7, looked.stderr
    assert looked.stdout == (
        f'! left alone: the registration "API (release)" ({api["object_id"]}), which nothing declares; '
        f"if this stack released it, take the tag {mark} off it\n"
    )
    stack.write(TWO)  # as if nobody had taken it out
    code, output = stack.run("up", "--yes", "--skip-preview")
    assert code != 0 and "the tenant has an app registration called" in in_file_words(output)
    adopt = f"adopt: {{application: {api['object_id']}, service_principal: {api['service_principal_id']}}}\n    on_remove: keep"
    taken = TWO.replace("protect: true", adopt).replace(
        "    secret: {}\n    certificates: {signing: {every: 90d}}\n", ""
    )
    taken = taken[: taken.index("    roles:")] + taken[taken.index("  user:") :]
    tags = there[0]["tags"]
    assert mark in tags

    def tagged(own: list[str]) -> str:
        return taken.replace("on_remove: keep", f"on_remove: keep\n    tags: {json.dumps(own)}")

    assert stack.up(tagged(tags))["imported"] == 2
    tags.remove(mark)
    stack.up(tagged(tags))
    assert everything(stack, api["object_id"], api["service_principal_id"])[0]["tags"] == tags
