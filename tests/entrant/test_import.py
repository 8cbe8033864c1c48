"""`entrant import`: what the file says is what the tenant has, and the tenant is only read."""

import base64
import contextlib
import dataclasses
import datetime as dt
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import local_azure
from entrant import config, http
from entrant.access import batches
from entrant.access.deployer import Deployer
from entrant.cli import cli
from entrant.errors import EngineError, EntrantError, RefusedError
from entrant.facts.clouds import CLOUDS
from entrant.importing import credentials, proof, reading, trusts
from entrant.importing.entries import Entry
from tests.conftest import ROOT
from tests.entrant import tenant as tenants
from tests.entrant.authority import certificate
from tests.entrant.tenant import HOSTILE, Tenant

NOT_ALL = 7


@pytest.fixture(scope="module")
def tenant(azure: local_azure.LocalAzure) -> Tenant:
    """A tenant with forty apps."""
    return tenants.make(azure)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project without a Pulumi program."""
    (tmp_path / "config").mkdir()
    return tmp_path


def entrant(
    azure: local_azure.LocalAzure, folder: Path, *arguments: str, code: int = 0, who: local_azure.Identity | None = None
) -> Result:
    """Run `import` as the local Azure's deployer, or as somebody else."""
    own = {name: None for name in os.environ if name.startswith(("AZURE_", "ARM_", "ENTRANT_"))}
    env = own | azure.environment(who)
    done = CliRunner().invoke(cli, ["import", "-C", str(folder), *arguments], env=env, standalone_mode=False)
    if isinstance(done.exception, EntrantError):
        assert done.exception.exit_code == code, repr(done.exception)
    else:
        assert done.exception is None or code == 2, repr(done.exception)
    if done.exception is None:
        assert (done.return_value or 0) == code, done.output
    return done


def imported(tenant: Tenant, folder: Path, *arguments: str, code: int = 0) -> config.Environment:
    """The environment that an import makes."""
    entrant(tenant.azure, folder, *arguments, "--no-preview", "-o", "config/legacy.yaml", code=code)
    return config.load("legacy", root=folder)


def test_every_registration_comes_and_nothing_is_changed(tenant: Tenant, folder: Path) -> None:
    before = tenant.azure.requests()[-1]["number"]
    environment = imported(tenant, folder, "--all")
    requests = [each for each in tenant.azure.requests(after=before) if each["path"] != "/_local/log"]
    changing = {(each["method"], each["path"]) for each in requests if each["method"] not in ("GET", "HEAD")}
    assert {path for method, path in changing if "oauth2" not in path} == {"/v1.0/$batch", "/beta/$batch"}
    names = [str(app.display_name) for app in environment.apps.values()]
    there = [name for name in tenant.applications if name != "deleted"]
    assert sorted(names) == sorted([*there, "deployer"])  # and the local Azure's own deployer
    for app in environment.apps.values():
        if app.display_name in tenant.applications and app.display_name != "deployer":
            assert app.adopt is not None
            assert app.adopt.application == tenant.applications[app.display_name]["id"]
            principal = tenant.principals.get(app.display_name, {})
            assert app.adopt.service_principal == principal.get("id")


def test_hostile_names_are_data(tenant: Tenant, folder: Path) -> None:
    ids = [tenant.applications[name]["id"] for name in HOSTILE]
    environment = imported(tenant, folder, *ids)
    assert sorted(str(app.display_name) for app in environment.apps.values()) == sorted(HOSTILE)
    assert all(re.fullmatch(r"[a-z][a-z0-9-]*", key) for key in environment.apps)
    text = (folder / "config" / "legacy.yaml").read_text("utf-8")
    assert "\u202e" not in text and "\x1b" not in text and "\x07" not in text
    assert not (folder / "etc").exists() and [path.name for path in folder.iterdir()] != []


def test_keys_are_the_same_whatever_else_comes_along(tenant: Tenant, folder: Path) -> None:
    """Of names that differ in case alone the oldest has the plain key."""
    environment = imported(tenant, folder, "--name", "billing*")
    keys = {str(app.display_name): key for key, app in environment.apps.items()}
    assert len(keys) == 3 and "billing-api" in keys.values()
    others = {name: key for name, key in keys.items() if key != "billing-api"}
    for name, key in others.items():
        assert key == f"billing-api-{tenant.applications[name]['appId'][:4]}"
    assert {
        str(app.display_name): key for key, app in imported_again(tenant, folder, "--all").items()
    }.items() >= keys.items()


def imported_again(tenant: Tenant, folder: Path, *arguments: str) -> dict[str, config.App]:
    """The apps of an import into another file."""
    entrant(tenant.azure, folder, *arguments, "--no-preview", "-o", "config/other.yaml")
    return dict(config.load("other", root=folder).apps)


def one(tenant: Tenant, folder: Path, name: str) -> config.App:
    """One app, imported by its id."""
    return next(iter(imported(tenant, folder, tenant.applications[name]["appId"]).apps.values()))


def test_the_settings_of_a_registration(tenant: Tenant, folder: Path) -> None:
    app = one(tenant, folder, "web")
    assert app.web is not None and app.web.implicit_grant is not None and app.links is not None
    assert app.web.redirect_uris == ("https://a.example.com/cb?x=1&y=[2]", "http://localhost:3000/")
    assert app.web.implicit_grant.model_dump() == {"access_tokens": False, "id_tokens": True}
    assert (app.links.homepage, app.links.marketing) == ("https://a.example.com", "https://m.example.com")
    assert (app.notes, app.description) == ("line 1\nline 2", "What it is for: things")
    assert app.group_claims == ("SecurityGroup", "ApplicationGroup")
    assert app.sign_in_audience == "AzureADMultipleOrgs"
    assert app.public_client is not None and app.public_client.fallback
    assert (app.tags, app.feature_tags and app.feature_tags.hide) == (("prod",), True)


def test_owners_are_named_by_their_user_principal_name(tenant: Tenant, folder: Path) -> None:
    app = one(tenant, folder, "owned")
    named = tenant.user["userPrincipalName"]
    assert [owner.value for owner in app.owners] == [named]
    assert app.service_principal is not None and [owner.value for owner in app.service_principal.owners] == [named]


def test_the_settings_of_a_service_principal_and_what_cannot_be_said(tenant: Tenant, folder: Path) -> None:
    ids = [tenant.applications[name]["id"] for name in ("principal settings", "not to be said")]
    done = entrant(tenant.azure, folder, *ids, "--no-preview", "-o", "config/legacy.yaml")
    app = config.load("legacy", root=folder).apps["principal-settings"]
    assert app.service_principal is not None and app.service_principal.feature_tags is not None
    principal = app.service_principal
    assert (principal.enabled, principal.assignment_required, principal.notes) == (False, True, "of the principal")
    assert principal.notification_emails == ("a@example.com",) and principal.login_url == "https://l.example.com/"
    assert app.service_principal.feature_tags.enterprise
    lost = [
        'principal-settings: left as it is, not declared: service principal: preferredSingleSignOnMode: "saml"',
        "not-to-be-said: left as it is, not declared: registration: isDeviceOnlyAuthSupported: true",
        "not-to-be-said: left as it is, not declared: registration: parentalControlSettings.countriesBlockedForMinors: "
        '["DE"]',
    ]
    text = (folder / "config" / "legacy.yaml").read_text("utf-8")
    for line in lost:
        assert line in done.stderr
        assert line.partition(": ")[2][:80] in text


def test_credentials_come_without_secrets(tenant: Tenant, folder: Path) -> None:
    app = one(tenant, folder, "secrets")
    held = tenant.client.graph("GET", f"/applications/{tenant.applications['secrets']['id']}")["passwordCredentials"]
    assert {kept.key_id for kept in app.kept_credentials} == {secret["keyId"] for secret in held}
    assert {str(kept.name).partition(", since")[0] for kept in app.kept_credentials} == {
        ", ".join(word for word in (secret["displayName"], f"hint {secret['hint']}") if word) for secret in held
    }
    assert "secret: {every: 90d, overlap: 7d}" in (folder / "config" / "legacy.yaml").read_text("utf-8")


@pytest.mark.parametrize(("host", "token"), [("graph.example", "secret"), ("graph.example.evil.example", None)])
def test_only_graph_itself_gets_the_token_for_a_logo(
    monkeypatch: pytest.MonkeyPatch, host: str, token: str | None
) -> None:
    fetched: list[Any] = []

    def content(url: str, most: int, *, token: str | None) -> bytes:
        fetched.append((url, token))
        return b"x"

    monkeypatch.setattr(http, "content", content)
    monkeypatch.setattr(Deployer, "token", lambda *_: "secret")
    who = Deployer("a test", dataclasses.replace(CLOUDS["public"], graph="https://graph.example"), None)
    found = reading.Found({"id": "1", "info": {"logoUrl": f"https://{host}/logo"}})
    reading._logo(who, found)
    assert fetched == [(f"https://{host}/logo", token)]


def test_certificates_and_logos_are_files_beside_it(tenant: Tenant, folder: Path) -> None:
    ids = [tenant.applications[name]["id"] for name in ("certificate", "logo")]
    environment = imported(tenant, folder, *ids)
    app = environment.apps["certificate"]
    held = tenant.client.graph("GET", f"/applications/{app.adopt and app.adopt.application}")["keyCredentials"]
    assert [each.adopt for each in app.certificates.values()] == [held[0]["keyId"]]
    assert (folder / "config/legacy/certificate-batch.pem").read_text().startswith("-----BEGIN CERTIFICATE-----")
    [kept] = app.kept_credentials  # a secret that the portal does not show
    assert "of the principal, of the service principal" in str(kept.name)
    assert (folder / "config/legacy/logo.png").read_bytes() == (ROOT / "examples" / "logo.png").read_bytes()
    assert environment.apps["logo"].logo


def test_a_certificate_that_azure_takes_for_less_than_its_life_says_until_when(tenant: Tenant, folder: Path) -> None:
    """Azure CLI lets those that it makes end a second before themselves."""
    application, _ = tenant.app("ends early")
    key = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": tenants.certificate("early")}
    path = f"/applications/{application}"
    tenant.client.graph("PATCH", path, {"keyCredentials": [key]})
    [held] = tenant.client.graph("GET", path)["keyCredentials"]
    app = one(tenant, folder, "ends early")
    assert app.certificates["early"].ends is None
    ends = dt.datetime.fromisoformat(held["endDateTime"]) - dt.timedelta(seconds=1)
    tenant.client.graph("PATCH", path, {"keyCredentials": [key | {"endDateTime": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}]})
    app = imported_again(tenant, folder, application)["ends-early"]
    assert app.certificates["early"].ends == ends


def test_federated_credentials_use_presets(tenant: Tenant, folder: Path) -> None:
    app = one(tenant, folder, "federated")
    path = f"/beta/applications/{tenant.applications['federated']['id']}/federatedIdentityCredentials"
    held = tenant.client.call("GET", path).json()["value"]
    forms = {each.key: (each.preset, each.adopt, each.trust("public").subject, each.claims) for each in app.federated}
    presets = {"github": "github", "k8s": "kubernetes"}
    assert forms == {
        each["name"]: (
            presets.get(each["name"]),
            each["id"],
            each["subject"],
            (each["claimsMatchingExpression"] or {}).get("value"),
        )
        for each in held
    }


@pytest.mark.parametrize("index", range(16))
def test_a_preset_is_found_again_for_each_credential_of_the_examples(index: int) -> None:
    """Every credential of examples/everything.yaml is written as it stands there."""
    credentials = config.load("examples/everything.yaml", root=ROOT).apps["collector"].federated
    assert len(credentials) == 16
    credential = credentials[index]
    trust = credential.trust("public")
    shown: dict[str, Any] = {
        "id": "5F0B9B1E-2F65-4F0E-8B7A-5C9D0E1F2A34",
        "name": credential.key,
        "issuer": trust.issuer,
        "subject": trust.subject,
        "audiences": [trust.audience],
        "description": credential.description,
        "claimsMatchingExpression": {"value": trust.claims} if trust.claims else None,
    }
    written = trusts.entry(shown, "public")
    assert written.pop("adopt") == "5f0b9b1e-2f65-4f0e-8b7a-5c9d0e1f2a34"
    wanted = credential.model_dump(mode="json", exclude_defaults=True)
    if credential.audience == "api://AzureADTokenExchange":
        del wanted["audience"]  # the usual one
    assert config.Federated.model_validate(written).model_dump(mode="json", exclude_defaults=True) == wanted


def test_of_several_federated_credentials_those_that_cannot_be_said_are_left(tenant: Tenant, folder: Path) -> None:
    """Each by itself and with its own reason, wherever it stands in the list; the others come."""
    application, _ = tenant.app("refused federated")
    path = f"/applications/{application}/federatedIdentityCredentials"
    for name in ("a", "first-one", "b", "second-one", "c", "third-one"):
        trust = {
            "name": name,
            "issuer": f"https://{name}.example.com",
            "subject": name,
            "audiences": [tenants.AUDIENCE],
        }
        tenant.client.graph("POST", path, trust)
    done = entrant(tenant.azure, folder, application, "--no-preview", "-o", "config/legacy.yaml")
    app = config.load("legacy", root=folder).apps["refused-federated"]
    assert {each.key for each in app.federated} == {"first-one", "second-one", "third-one"}
    left = sorted(re.findall(r"left as it is, not declared: federated: (\S+): (.*)", done.stderr))
    reason = "expected 3 to 120 letters, digits, - and _, a letter or digit first; found"
    assert left == [(name, f'{reason} "{name}"') for name in "abc"]


def test_permissions_and_the_consents_there_are(tenant: Tenant, folder: Path) -> None:
    environment = imported(tenant, folder, "--name", "api", "--name", "client")
    principal = tenant.principals["client"]["id"]
    held = tenant.client.graph("GET", f"/servicePrincipals/{principal}/appRoleAssignments")["value"]
    grants = tenant.client.graph("GET", f"/servicePrincipals/{principal}/oauth2PermissionGrants")["value"]
    ids = {each["resourceDisplayName"]: each["id"] for each in held}
    everybody = next(grant["id"] for grant in grants if grant["consentType"] == "AllPrincipals")
    own, microsoft = environment.apps["client"].permissions
    assert (own.api.app, own.application, own.delegated) == ("api", ("All",), ("Read",))
    assert own.consented() == {"application": ("All",), "delegated": ()}
    assert own.adopt is not None and own.adopt.application == {"All": ids["api"]}
    assert (microsoft.api.name, microsoft.application) == ("Microsoft Graph", ("User.Read.All",))
    assert microsoft.consented() == {"application": ("Mail.Send",), "delegated": ("User.Read", "openid")}
    assert microsoft.adopt is not None and microsoft.adopt.application == {"Mail.Send": ids["Microsoft Graph"]}
    assert microsoft.adopt.delegated == everybody
    api = environment.apps["api"]
    assert api.api is not None and api.adopt is not None and api.adopt.known_clients
    assert [(each.client.app, each.scopes, each.adopt) for each in api.api.pre_authorized] == [
        ("client", ("Read",), True)
    ]
    assert [each.app for each in api.api.known_clients] == ["client"]
    text = (folder / "config" / "legacy.yaml").read_text("utf-8")
    assert "consent of 1 single user to api" in text
    wire = tenant.client.graph("GET", f"/applications/{tenant.applications['api']['id']}")
    assert {role["value"]: role["id"] for role in wire["appRoles"]} == {
        value: api.role_id("api", value) for value in api.app_roles
    }


def test_azure_roles_conditions_and_custom_roles(tenant: Tenant, folder: Path) -> None:
    environment = imported(tenant, folder, "--name", "roles")
    app = environment.apps["roles"]
    listed = tenant.client.arm(
        "GET",
        f"/subscriptions/{tenant.azure.subscription_id}/providers/Microsoft.Authorization/roleAssignments"
        f"?$filter=principalId eq '{tenant.principals['roles']['id']}'",
    )["value"]
    assert {
        grant.adopt: (grant.role.guid, grant.scope.id, grant.condition, grant.description) for grant in app.roles
    } == {
        each["name"]: (
            each["properties"]["roleDefinitionId"].rpartition("/")[2],
            each["properties"]["scope"],
            each["properties"]["condition"],
            each["properties"]["description"],
        )
        for each in listed
    }
    assert {grant.role.declared for grant in app.roles} == {None, "log-asker"}
    definition = environment.role_definitions["log-asker"]
    assert (definition.adopt, definition.name, definition.on_remove) == (tenant.custom_role, "Log asker", "keep")
    assert set(environment.scopes) == {"law-legacy", "rg-legacy"}
    assert app.allow_privileged and app.reason
    assert "decide: Owner can give itself any role" in (folder / "config" / "legacy.yaml").read_text("utf-8")


def test_groups_and_directory_roles(tenant: Tenant, folder: Path) -> None:
    app = one(tenant, folder, "memberships")
    [membership] = app.memberships
    assert (membership.group, membership.adopt) == (tenant.group["id"], True)
    [role] = app.directory_roles
    mine = f"principalId eq '{tenant.principals['memberships']['id']}'"
    [held] = tenant.client.graph("GET", f"/roleManagement/directory/roleAssignments?$filter={mine}")["value"]
    assert (role.role.name, role.adopt) == ("Directory Readers", held["id"])


def test_what_has_no_registration_here_is_counted_and_said(tenant: Tenant, folder: Path) -> None:
    done = entrant(tenant.azure, folder, "--all", "--no-preview", "-o", "config/legacy.yaml")
    assert "skipped: managed identities: 1\n" in done.stderr
    assert "skipped: service principals of other tenants' apps: 1\n" in done.stderr
    assert re.search(r"skipped: service principals of Microsoft's own apps: \d\d\n", done.stderr)
    assert "skipped: deleted registrations, which can still be restored: 1\n" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--tag", "billing"), {"owned"}),
        (("--tag", "billing", "--tag", "prod"), {"owned", "web"}),
        (("--tag", "prod", "--name", "O*"), {"owned"}),
        (("--owner", "{user}"), {"owned"}),
        (("--owner", "{id}", "--name", "x"), set()),
        (("--name", "BILLING API"), {"BILLING API", "Billing API", "billing api"}),
        (("--name", "*logo*"), {"logo"}),
        (("--tag", "billing", "--tag", "prod", "--except", "W?B"), {"owned"}),
        (("{owned}", "{web}", "--except", "{web}"), {"owned"}),
        (("--tag", "billing", "--tag", "prod", "--except", "{client}", "--except", "owned"), set()),
    ],
)
def test_conditions_narrow_and_repeated_ones_widen(
    tenant: Tenant, folder: Path, arguments: tuple[str, ...], names: set[str]
) -> None:
    ids = {name: tenant.applications[name]["id"] for name in ("owned", "web")} | {"id": tenant.user["id"]}
    client = tenant.applications["web"]["appId"].upper()
    filled_in = [each.format(user=tenant.user["userPrincipalName"], client=client, **ids) for each in arguments]
    code = 0 if names else 7
    done = entrant(tenant.azure, folder, *filled_in, "--no-preview", "-o", "config/legacy.yaml", code=code)
    if not names:
        assert "nothing to import: no file was written" in done.stderr
        assert list((folder / "config").iterdir()) == []
    else:
        environment = config.load("legacy", root=folder)
        assert {app.display_name for app in environment.apps.values()} == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--all", "-o", "config/there.yaml"), "config/there.yaml is there already"),
        (("--all",), "no file is named to write into"),
        (("-o", "config/x.yaml"), "no registrations are named"),
        (("--all", "--name", "x", "-o", "config/x.yaml"), "registrations are named in more than one way"),
        (("--all", "-o", "config/x.txt"), "the file of an environment ends in .yaml"),
        (("--all", "-o", "nowhere/x.yaml"), "there is no folder"),
        (("x", "-o", "config/x.yaml"), '"x" is no id'),
        (("11111111-2222-4333-8444-555555555555", "-o", "config/x.yaml"), "the tenant has no registration with this"),
        (("{deleted}", "-o", "config/x.yaml"), "this registration was deleted; restore it first"),
        (("{graph}", "-o", "config/x.yaml"), "one of the service principals of Microsoft's own apps"),
        (("--owner", "nobody@example.com", "-o", "config/x.yaml"), "there is no user or service principal nobody@"),
        (("--all", "--except", "deploier", "-o", "config/x.yaml"), 'none of the registrations asked for is "deploier"'),
        (("--all", "-o", "../outside.yaml"), "outside.yaml is outside the project, whose stacks could not read it"),
        (("--all", "--into", "../outside.yaml"), "outside.yaml is outside the project, whose stacks could not read it"),
    ],
)
def test_what_cannot_be_done_is_said(tenant: Tenant, folder: Path, arguments: tuple[str, ...], message: str) -> None:
    (folder / "config" / "there.yaml").write_text("apps: {a: {}}\n")
    ids = {"deleted": tenant.applications["deleted"]["id"], "graph": tenants.GRAPH}
    done = entrant(tenant.azure, folder, *(each.format(**ids) for each in arguments), code=2)
    assert message in str(done.exception)
    assert (folder / "config" / "there.yaml").read_text() == "apps: {a: {}}\n"
    assert [path.name for path in (folder / "config").iterdir()] == ["there.yaml"]


@pytest.mark.parametrize(
    ("file", "then"),
    [
        ("config/legacy.yaml", "python3 -m entrant review -s legacy"),
        (
            "old apps/legacy.yaml",
            "pulumi config set entrant:environment 'old apps/legacy.yaml' -s STACK, then python3 -m entrant review -s STACK",
        ),
    ],
)
def test_the_next_step_finds_the_file(tenant: Tenant, folder: Path, file: str, then: str) -> None:
    (folder / "old apps").mkdir()
    id_ = tenant.applications["plain"]["id"]
    done = entrant(tenant.azure, folder, id_, "--no-preview", "-o", file)
    assert done.stdout == f"{file}\n"
    assert (
        done.stderr.endswith(f"\n1 app. Next: {then}\n")
        and "of 1 app" in done.stderr
        and "of 1 apps" not in done.stderr
    )
    (folder / "Pulumi.other.yaml").write_text(f"config: {{'entrant:environment': '{file}'}}\n")
    assert set(config.load("other", root=folder).apps) == {"plain"}


def test_without_rights_to_read_it_names_those_for_reading(tenant: Tenant, folder: Path) -> None:
    nobody = tenant.azure.create_identity(f"nobody {folder.name}")
    try:
        for arguments in (("--all",), (tenant.applications["plain"]["id"],)):
            done = entrant(tenant.azure, folder, *arguments, "-o", "config/x.yaml", code=4, who=nobody)
            assert isinstance(done.exception, RefusedError)
            read = "to read, the caller needs Application.Read.All and Directory.Read.All, or the role Global Reader"
            assert read in str(done.exception.next_step)
    finally:
        tenant.client.graph("DELETE", f"/applications/{nobody.application_id}")


# ------------------------------------------------------------------------------------------------ into a file that is there

THERE = """\
# Ours, since 2024.
extends: base.yaml          # what all have

scopes:
  # by the team
  law: {workspace}

apps:
    # keep this one
    mine:   {{description: "as it was"}}   # with a comment

# The end of the apps.
policy: {{missing-owner: off}}
"""


def test_what_is_new_goes_into_a_file_which_keeps_every_byte(tenant: Tenant, folder: Path) -> None:
    file = folder / "config" / "team.yaml"
    before = THERE.format(workspace=tenant.workspace)
    file.write_text(before)
    (folder / "config" / "base.yaml").write_text("defaults: {tags: [ours], owners: [deployer], secret: {every: 30d}}\n")
    done = entrant(
        tenant.azure, folder, "--name", "roles", "--name", "web", "--no-preview", "--into", "config/team.yaml"
    )
    after = file.read_text("utf-8")
    position = 0
    for line in before.splitlines(keepends=True):  # each line stands there still, in its order
        position = after.index(line, position) + len(line)
    environment = config.load("team", root=folder)
    assert set(environment.apps) == {"mine", "roles", "web"}
    assert set(environment.role_definitions) == {"log-asker"}
    assert (
        after.index("role_definitions:") < after.index("apps:") < after.index("    mine:") < after.index("    roles:")
    )
    roles = environment.apps["roles"]
    # the file's defaults are taken away where the tenant has nothing of the kind
    assert (roles.tags, roles.owners, roles.secret) == (None, (), None)
    assert environment.apps["web"].tags == ("prod",)
    assert {grant.scope.id for grant in roles.roles} == {tenant.workspace, tenant.group_id}
    assert "scope: law" in after and after.count(tenant.workspace) == 1
    assert after.index("    roles:") < after.index("# The end of the apps.")
    assert "to import" in done.stderr
    again = entrant(
        tenant.azure, folder, "--name", "roles", "--name", "web", "--no-preview", "--into", "config/team.yaml"
    )
    assert "nothing new: config/team.yaml is as it was" in again.stderr
    assert file.read_text("utf-8") == after
    entrant(tenant.azure, folder, "--name", "[rwl]*o*", "--no-preview", "--into", "config/team.yaml")
    assert set(config.load("team", root=folder).apps) == {"mine", "roles", "web", "logo"}


@pytest.mark.parametrize("text", ["apps: {a: {}}\n", "{apps: {a: {}}}\n"])
def test_a_file_in_brackets_is_refused_and_kept(tenant: Tenant, folder: Path, text: str) -> None:
    file = folder / "config" / "team.yaml"
    file.write_text(text)
    done = entrant(tenant.azure, folder, "--name", "plain", "--no-preview", "--into", "config/team.yaml", code=2)
    assert "`apps` is written in brackets" in str(done.exception)
    assert file.read_text() == text
    assert [path.name for path in (folder / "config").iterdir()] == ["team.yaml"]


# ------------------------------------------------------------------------------------------------- throttling, and a killed run


@pytest.fixture
def failing(tenant: Tenant) -> Iterator[Tenant]:
    """The tenant, without faults afterwards."""
    yield tenant
    tenant.azure.faults()


def test_throttled_requests_are_made_again_after_what_graph_asks_for(
    failing: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("entrant.access.batches.time.sleep", waited.append)
    routes = ("/v1.0/applications", "/v1.0/servicePrincipals")
    failing.azure.faults(
        *({"kind": "status", "status": 429, "retry_after": 17, "route": route, "count": 9} for route in routes),
        {"kind": "status", "status": 429, "retry_after": 0, "route": "/v1.0/$batch", "count": 1},
    )
    ids = [failing.applications[name]["id"] for name in ("client", "roles", "plain")]
    environment = imported(failing, folder, *ids)
    assert set(environment.apps) == {"client", "roles", "plain"}
    assert len(environment.apps["client"].permissions) == 2
    assert waited and set(waited) == {17.0}


def test_a_killed_run_goes_on_where_it_stopped(failing: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "GROUP", 5)
    monkeypatch.setattr(reading, "AT_ONCE", 1)
    listed = failing.client.graph("GET", "/applications?$top=999")["value"]
    last = max(listed, key=lambda each: (each["createdDateTime"], each["id"]))  # they are read in this order
    failing.azure.faults({"kind": "status", "status": 500, "route": f"/v1.0/applications/{last['id']}"})
    monkeypatch.setattr("entrant.access.batches.ROUNDS", 1)
    env = {name: None for name in os.environ if name.startswith(("AZURE_", "ARM_"))} | failing.azure.environment()
    arguments = ["import", "-C", str(folder), "--all", "--no-preview", "-o", "config/legacy.yaml"]
    done = CliRunner().invoke(cli, arguments, env=env, standalone_mode=False)
    assert done.exception is not None and "500" in str(done.exception)
    assert list((folder / "config").iterdir()) == []
    [noted] = (folder / ".entrant" / "import").iterdir()
    assert noted.stat().st_mode & 0o777 == 0o600
    lines = sum(1 for line in noted.read_text("utf-8").splitlines() if line.startswith('{"registration"'))
    assert lines == 5 * ((len(listed) - 1) // 5)
    with noted.open("a") as file:
        file.write('\n{"registration": {"id": "half wri')
    failing.azure.faults()
    before = failing.azure.requests()[-1]["number"]
    environment = imported(failing, folder, "--all")
    assert len(environment.apps) == len(failing.applications)  # without the deleted, with the deployer
    batches = sum(each["path"] == "/v1.0/$batch" for each in failing.azure.requests(after=before))
    assert 0 < batches <= 10  # of the last group alone: the others would be some eighty
    assert list((folder / ".entrant" / "import").iterdir()) == []


def test_what_is_deleted_between_listing_and_reading_is_said(
    tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant.app("short-lived one")
    tenant.app("short-lived two")
    ids = [tenant.applications.pop(f"short-lived {number}")["id"] for number in ("one", "two")]
    read = reading.read

    def late(who: Any, registrations: Any, *more: Any) -> list[reading.Found]:
        tenant.client.graph("DELETE", f"/applications/{ids.pop()}")
        return read(who, registrations, *more)

    monkeypatch.setattr(reading, "read", late)
    gone = ids[1]
    done = entrant(tenant.azure, folder, "--name", "short-lived *", "--no-preview", "-o", "config/legacy.yaml")
    assert f"not seen: short-lived two ({gone}): deleted since it was listed\n" in done.stderr
    assert set(config.load("legacy", root=folder).apps) == {"short-lived-one"}
    done = entrant(tenant.azure, folder, "--name", "short-lived *", "--no-preview", "-o", "config/new.yaml", code=2)
    assert "everything that was to be imported has been deleted since it was listed" in str(done.exception)
    assert not (folder / "config" / "new.yaml").exists()


def test_an_api_that_graph_refuses_to_show_is_not_taken_for_one_that_is_gone(
    tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = batches.get

    def refusing(deployer: Any, paths: Any, **more: Any) -> Any:
        answers = get(deployer, paths, **more)
        refused = RefusedError("GET …: 403: no", status=403)
        return {path: refused if "oauth2PermissionScopes" in path else answers[path] for path in answers}

    monkeypatch.setattr(batches, "get", refusing)
    id_ = tenant.applications["client"]["id"]
    done = entrant(tenant.azure, folder, id_, "--no-preview", "-o", "config/legacy.yaml", code=RefusedError.exit_code)
    assert isinstance(done.exception, RefusedError)
    assert list((folder / "config").iterdir()) == []


def test_an_api_of_another_app_goes_by_its_id_where_names_would_go_in_a_circle(tenant: Tenant, folder: Path) -> None:
    """Two apps that ask for permissions of each other are valid in a tenant; a file can name one by its key."""
    graph = tenant.client.graph
    ids = []
    for name in ("left", "right"):
        role = {"id": f"00000000-0000-4000-8000-{len(name):012}", "value": "X", "displayName": "X", "description": "d"}
        application, _ = tenant.app(f"circle {name}", appRoles=[role | {"allowedMemberTypes": ["Application"]}])
        ids.append((application, tenant.applications[f"circle {name}"]["appId"], role["id"]))
    for (application, _, _), (_, other, role_id) in zip(ids, reversed(ids), strict=True):
        access = {"resourceAppId": other, "resourceAccess": [{"id": role_id, "type": "Role"}]}
        graph("PATCH", f"/applications/{application}", {"requiredResourceAccess": [access]})
    environment = imported(tenant, folder, "--name", "circle *")
    [left], [right] = (environment.apps[f"circle-{side}"].permissions for side in ("left", "right"))
    assert (left.api.app, right.api.app, right.api.client_id) == ("circle-right", None, ids[0][1])


# ----------------------------------------------------------------------------------------------------------------- the proof


def previewed(
    tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch, outcomes: list[proof.Outcome], code: int
) -> tuple[Result, list[str]]:
    """An import of two apps whose previews have these outcomes, the last one again and again; and the files previewed."""
    seen: list[str] = []

    def preview(stack: str, file: str, root: Path, tell: Any, *, draft: str | None, apps: Any) -> proof.Outcome:
        assert (stack, file, apps) == ("legacy", "config/legacy.yaml", None)
        seen.append((root / (draft or file)).read_text("utf-8"))
        return outcomes[min(len(seen), len(outcomes)) - 1]

    monkeypatch.setattr(proof, "preview", preview)
    ids = [tenant.applications[name]["id"] for name in ("api", "client")]
    return entrant(tenant.azure, folder, *ids, "-o", "config/legacy.yaml", code=code), seen


WRONG = proof.Outcome(3, {"api": ("import Application api (notes: 'x' becomes None)",)})


def test_what_differs_is_read_again(tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody changed it meanwhile; what shows every difference at once is a copy of the file, which goes again."""
    done, seen = previewed(tenant, folder, monkeypatch, [WRONG, proof.Outcome(4)], 0)
    assert len(seen) == 2
    assert "change_adopted" not in seen[0] and seen[1].count("change_adopted: true") == 2
    assert "Preview: 3 to import, 1 differ" in done.stderr and "Preview: 4 to import, nothing else" in done.stderr
    assert [path.name for path in (folder / "config").iterdir()] == ["legacy.yaml"]
    assert set(config.load("legacy", root=folder).apps) == {"api", "client"}


def test_what_differs_still_is_left_out_as_a_comment(
    tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others then refer to it by its client id."""
    done, _ = previewed(tenant, folder, monkeypatch, [WRONG, WRONG, proof.Outcome(1)], NOT_ALL)
    message = "api: not taken over, stands in the file as a comment: import Application api (notes: 'x' becomes None)"
    assert message in done.stderr
    environment = config.load("legacy", root=folder)
    assert set(environment.apps) == {"client"}
    api = tenant.applications["api"]["appId"]
    assert api in [permission.api.client_id for permission in environment.apps["client"].permissions]
    text = (folder / "config" / "legacy.yaml").read_text("utf-8")
    assert "\n  # api:\n  #   display_name: api\n" in text


def test_what_the_plan_holds_besides_is_said(tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done, seen = previewed(tenant, folder, monkeypatch, [proof.Outcome(4, {"": ("error: no plugin",)})], NOT_ALL)
    assert len(seen) == 1
    assert "the plan holds besides: error: no plugin" in done.stderr
    assert set(config.load("legacy", root=folder).apps) == {"api", "client"}


@pytest.mark.parametrize("option", ["-o", "--into"])
def test_where_nothing_can_be_taken_over_everything_stays_as_it_was(
    tenant: Tenant, folder: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    there = "apps:\n  mine: {}\n" if option == "--into" else None
    if there:
        (folder / "config" / "legacy.yaml").write_text(there)
    wrong = proof.Outcome(0, {"logo": ("import Application logo (notes: 'x' becomes None)",)})
    monkeypatch.setattr(proof, "preview", lambda *_, **__: wrong)
    done = entrant(tenant.azure, folder, tenant.applications["logo"]["id"], option, "config/legacy.yaml", code=2)
    assert "none of these can be taken over unchanged, so config/legacy.yaml is as it was:\n  logo: " in str(
        done.exception
    )
    left = {path.name: path.read_text() for path in (folder / "config").iterdir()}
    assert left == ({"legacy.yaml": there} if there else {})


def test_a_file_beside_it_that_is_somebody_elses_stays(tenant: Tenant, folder: Path) -> None:
    (folder / "config" / "legacy").mkdir()
    (folder / "config" / "legacy" / "logo.png").write_text("mine")
    id_ = tenant.applications["logo"]["id"]
    done = entrant(tenant.azure, folder, id_, "--no-preview", "-o", "config/legacy.yaml", code=2)
    assert "legacy/logo.png beside config/legacy.yaml is there already" in str(done.exception)
    assert (folder / "config" / "legacy" / "logo.png").read_text() == "mine"
    assert [path.name for path in (folder / "config").iterdir()] == ["legacy"]


def test_an_app_without_a_service_principal_gets_none(tenant: Tenant, folder: Path) -> None:
    app = one(tenant, folder, "no principal")
    assert app.adopt is not None and app.adopt.no_service_principal and not app.has_principal


def test_a_credential_of_which_graph_says_no_end_has_none() -> None:
    secret = {"keyId": "9B1F0C1E-0000-4000-8000-000000000001", "displayName": "old", "endDateTime": None}
    saml = {"keyId": "9b1f0c1e-0000-4000-8000-000000000002", "type": "Symmetric", "usage": "Verify"}
    found = reading.Found({"passwordCredentials": [secret], "keyCredentials": [saml]})
    kept = credentials.kept(Entry("app", "client"), found)
    assert [one["ends"] for one in kept] == ["2500-12-31T00:00:00Z"] * 2
    assert kept[0]["name"] == "old, without an end"


def test_a_certificate_that_azure_takes_for_more_than_its_life_is_kept_and_not_declared() -> None:
    key = {
        "keyId": "9b1f0c1e-0000-4000-8000-000000000001",
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
        "key": base64.b64encode(certificate()[1]).decode(),
        "endDateTime": "2099-01-01T00:00:00Z",
    }
    entry = Entry("app", "client")
    [kept] = credentials.kept(entry, reading.Found({"keyCredentials": [key]}))
    assert (kept["kind"], kept["ends"]) == ("certificate", "2099-01-01T00:00:00Z")
    assert (entry.data, entry.files) == ({}, {})


def test_a_preview_that_fails_as_a_whole_is_no_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a plugin, say: then nothing differs, and nothing is known."""
    urn = "urn:pulumi:legacy::entrant::"
    events = [
        ("pulumi:pulumi:Stack", "entrant-legacy", "create", None),
        ("pulumi:providers:azuread", "default_6_11_1", "create", "Could not automatically download the plugin azuread"),
        ("entrant:index:AppIdentity", "billing", "create", None),
        ("azuread:index/application:Application", "billing", "import", "apps.billing: billing exists and differs"),
    ]

    def fail(_: Any, *, on_event: Any, **__: Any) -> None:
        for type_, name, operation, error in happened:
            planned = {"op": operation, "urn": f"{urn}{type_}::{name}", "type": type_, "new": {"type": type_}}
            on_event({"resourcePreEvent": {"metadata": planned, "planning": True}})
            if error:
                diagnostic = {"urn": planned["urn"], "message": error, "severity": "error"}
                on_event({"diagnosticEvent": diagnostic})
        raise EngineError("preview failed")

    monkeypatch.setattr("entrant.engine.operate", fail)
    monkeypatch.setattr(proof, "_stack", lambda *_: contextlib.nullcontext(({}, [], False)))
    happened = events[:3]
    with pytest.raises(EngineError, match="preview failed"):
        proof.preview("legacy", "config/legacy.yaml", tmp_path, lambda _: None)
    happened = events
    assert list(proof.preview("legacy", "config/legacy.yaml", tmp_path, lambda _: None).others)[-1:] == ["billing"]
