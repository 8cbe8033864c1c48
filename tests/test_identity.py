"""What Azure holds unique is what a resource is: labels, spellings and names can change, and nothing happens in the cloud."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

import local_azure
from entrant import rehearsal as rehearsals
from entrant.rehearsal import Rehearsal
from tests.conftest import ROOT, Project
from tests.local_azure.conftest import READER, Client

SUBSCRIPTION = "7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-obs"
_NUMBERS = itertools.count(1)


class Stack:
    """A stack on a local Azure, changed file by file."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.name = f"ident-{next(_NUMBERS)}"
        self.rehearsal = Rehearsal(self.name, project.root)
        self.azure = local_azure.start(self.rehearsal.azure, propagation=0)
        self.settings = self.rehearsal.settings(self.azure)
        self.client = Client(self.azure)
        self.azure.ensure([GROUP])
        env = rehearsals.environ(self.settings)
        rehearsals.stack.prepare(self.rehearsal, env)
        rehearsals.providers.install(self.rehearsal, env, "auto")

    def write(self, text: str) -> None:
        """The environment."""
        self.project.write(self.name, f"policy: {{missing-owner: off}}\n{text}")

    def run(self, *arguments: str) -> tuple[int, str]:
        """A `pulumi` command on the stack: its exit code, and what it said."""
        done = self.project.pulumi(self.name, *arguments, "-s", self.name)
        return done.returncode, done.stdout + done.stderr

    def up(self, text: str) -> dict[str, int]:
        """Deploy an environment; what happened to how many resources."""
        self.write(text)
        code, output = self.run("up", "--yes", "--skip-preview")
        assert code == 0, output
        counted = re.findall(r"^\s+(?:[+~=-]+ ?)?(\d+) ([a-z]+)", output.split("Resources:")[-1], re.M)
        return {kind: int(count) for count, kind in counted}

    def review(self, text: str) -> tuple[int, dict[str, Any]]:
        """The exit code of a review of an environment, and the review."""
        self.write(text)
        done = self.project.entrant("review", "-s", self.name, "--format", "json", **self.settings)
        return done.returncode, json.loads(done.stdout)

    def outputs(self, app: str) -> dict[str, Any]:
        """What the stack's outputs say of an app."""
        code, output = self.run("stack", "output", "--json")
        assert code == 0, output
        found: dict[str, Any] = json.loads(output)["identities"][app]
        return found


@pytest.fixture
def stack(project: Project) -> Iterator[Stack]:
    """A stack of its own for each test."""
    made = Stack(project)
    yield made
    local_azure.stop(made.rehearsal.azure)


LEGACY = """\
apps:
  legacy:
    display_name: Legacy
    adopt: {application: APP, service_principal: SP}
    on_remove: keep
"""


def made_manually(stack: Stack) -> tuple[dict[str, Any], str]:
    """A registration with settings that nobody has written into a file, and LEGACY that takes it over."""
    graph = {"resourceAppId": "00000003-0000-0000-c000-000000000000"}
    graph["resourceAccess"] = [{"id": "df021288-bdef-4463-88db-98f22de89214", "type": "Role"}]  # type: ignore[assignment]
    wanted = {
        "displayName": "Legacy",
        "notes": "manually",
        "web": {"redirectUris": ["https://legacy.example.com/"]},
        "requiredResourceAccess": [graph],
    }
    app = stack.client.graph("POST", "/applications", wanted)
    principal = stack.client.graph("POST", "/servicePrincipals", {"appId": app["appId"]})
    return app, LEGACY.replace("APP", app["id"]).replace("SP", principal["id"])


def test_what_is_taken_over_is_not_changed_unless_the_app_says_so(stack: Stack) -> None:
    """Refused in preview and `up`, as often as it is tried, with both sides; done when the app says so."""
    app, text = made_manually(stack)
    before = stack.client.graph("GET", f"/applications/{app['id']}")
    code, made = stack.review(text)
    assert code != 0
    [error] = made["errors"]
    for line in (
        'notes: the tenant has "manually", the file says nothing',
        'web.redirect_uris: the tenant has ["https://legacy.example.com/"], the file says nothing',
        'required_resource_accesses: the tenant has [{"resourceAccesses": [{"id": "df021288-bdef-4463-88db-98f22de89214"',
        "`change_adopted: true` in apps.legacy",
    ):
        assert line in error
    assert {setting["path"] for setting in made["taken_over"]} == {
        "notes",
        "web.redirectUris",
        "requiredResourceAccesses",
    }
    for _ in range(2):  # the first one leaves the import in the state
        code, output = stack.run("up", "--yes", "--skip-preview")
        assert code != 0
        assert 'notes: the tenant has "manually", the file says nothing' in output
    assert stack.client.graph("GET", f"/applications/{app['id']}") == before
    allowed = text.replace("on_remove", "change_adopted: true\n    on_remove")
    stack.up(allowed)
    assert stack.client.graph("GET", f"/applications/{app['id']}")["notes"] is None


def test_an_adoption_that_is_changed_on_purpose_shows_each_property_first(stack: Stack) -> None:
    _, text = made_manually(stack)
    code, made = stack.review(text.replace("on_remove", "change_adopted: true\n    on_remove"))
    assert code == 0, made
    settings = {setting["path"]: (setting["old"], setting["new"]) for setting in made["taken_over"]}
    assert settings["notes"] == ("manually", None)
    assert settings["web.redirectUris"] == (["https://legacy.example.com/"], None)
    [lost] = made["access"]
    assert (lost["change"], lost["kind"], lost["name"], lost["origin"]) == ("lost", "permission", "User.Read.All", "")
    shown = stack.project.entrant("review", "-s", stack.name, **stack.settings).stdout
    assert shown.index("What taking over changes") < shown.index("What breaks") < shown.index("Apps")


def test_what_is_described_as_it_is_is_taken_over_and_then_changes_like_all_else(stack: Stack) -> None:
    app, text = made_manually(stack)
    permissions = "permissions: [{api: Microsoft Graph, application: [User.Read.All]}]"
    web = "web: {redirect_uris: [https://legacy.example.com/]}"
    full = text.replace("on_remove", f"notes: manually\n    {web}\n    {permissions}\n    on_remove")
    code, made = stack.review(full)
    assert (code, made["errors"], made["taken_over"]) == (0, [], [])
    assert [(entry["app"], entry["change"]) for entry in made["apps"]] == [("legacy", "adopted")]
    assert [(entry["name"], entry["origin"]) for entry in made["access"]] == [("User.Read.All", "adopted")]
    assert stack.up(full)["imported"] == 2
    assert stack.up(full.replace("manually", "by file"))["updated"] == 1
    assert stack.client.graph("GET", f"/applications/{app['id']}")["notes"] == "by file"


def test_a_role_assignment_is_taken_over_as_it_is_or_not_at_all(stack: Stack) -> None:
    _, text = made_manually(stack)
    principal = re.search(r"service_principal: (\S+)}", text)
    assert principal
    assignment = stack.client.grant(READER, GROUP, principal[1])
    described = """notes: manually
    web: {redirect_uris: [https://legacy.example.com/]}
    permissions: [{api: Microsoft Graph, application: [User.Read.All]}]
    roles: [{role: ROLE, scope: SCOPE, adopt: NAME, on_remove: keep}]
    on_remove""".replace("NAME", assignment["name"]).replace("SCOPE", GROUP)
    full = text.replace("on_remove", described)
    code, made = stack.review(full.replace("ROLE", "Contributor"))
    assert code != 0 and made["errors"]
    with_words = full.replace("ROLE", "Reader").replace(
        "adopt: " + assignment["name"], "description: why, adopt: " + assignment["name"]
    )
    code, made = stack.review(with_words)
    assert code != 0
    assert 'description: the tenant has nothing, the file says "why"' in "".join(made["errors"])
    assert stack.up(full.replace("ROLE", "Reader"))["imported"] == 3
    assert stack.client.arm("GET", assignment["id"])["properties"]["roleDefinitionId"].endswith(READER)


# ------------------------------------------------------------------------------------------------------------ names and labels

EVERYTHING = f"""\
scopes: {{obs: {GROUP}}}
role_definitions:
  asker: {{name: Asker (ident), actions: ["*/read"], assignable_scopes: [obs]}}
apps:
  web:
    display_name: Web
    certificates: {{batch: {{path: CERTIFICATE}}}}
    federated:
      - {{name: main, issuer: "https://token.actions.githubusercontent.com", subject: "repo:contoso/obs:ref:refs/heads/main"}}
    permissions:
      - {{api: log-api, application: [Read], delegated: [Show], consent: true}}
      - {{api: Microsoft Graph, application: [User.Read.All], consent: true}}
    roles:
      - {{role: Reader, scope: obs}}
      - {{role: asker, scope: obs}}
    directory_roles: [{{role: Directory Readers}}]
  log-api:
    app_roles: {{Read: {{description: d}}}}
    api: {{scopes: {{Show: {{description: d}}}}, pre_authorized: [{{client: web, scopes: [Show]}}]}}
""".replace("CERTIFICATE", str(ROOT / "examples" / "batch.pem"))


def names_of_before(stack: Stack) -> None:
    """Give the resources of the stack the names that earlier versions gave them."""
    code, text = stack.run("stack", "export")
    assert code == 0, text
    state = json.loads(text)
    new = [entry["urn"] for entry in state["deployment"]["resources"] if "/" in entry["urn"].rpartition("::")[2]]
    assert len(new) == 9
    for urn in new:
        head, _, name = urn.rpartition("::")
        old = name.replace("/", "-")
        if "RoleAssignment" in head and "directory" not in head:  # a shorter digest, and custom roles by their names
            old = re.sub(r"-([0-9a-f]{6})[0-9a-f]{6}$", r"-\1", old).replace("custom", "asker-ident")
        text = text.replace(f'"{urn}"', f'"{head}::{old}"')
    file = stack.project.root / "state.json"
    file.write_text(text)
    code, output = stack.run("stack", "import", "--file", str(file))
    assert code == 0, output


def everything_there(stack: Stack) -> Any:
    """All that the local Azure has of the app `Web`."""
    [app] = stack.client.graph("GET", "/applications?$filter=displayName eq 'Web'")["value"]
    [principal] = stack.client.graph("GET", f"/servicePrincipals?$filter=appId eq '{app['appId']}'")["value"]
    path = f"/servicePrincipals/{principal['id']}"
    listed = [
        f"/applications/{app['id']}/federatedIdentityCredentials",
        f"{path}/appRoleAssignments",
        f"{path}/oauth2PermissionGrants",
        f"{path}/transitiveMemberOf",
    ]
    roles = f"{GROUP}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId eq '{principal['id']}'"
    return [
        app,
        principal,
        *(stack.client.graph("GET", each)["value"] for each in listed),
        stack.client.arm("GET", roles),
    ]


def test_new_names_in_the_file_change_nothing_in_the_cloud(stack: Stack) -> None:
    """Names of earlier versions, other spellings of the same, and keys that are renamed."""
    made = stack.up(EVERYTHING)
    there = everything_there(stack)
    names_of_before(stack)
    assert stack.up(EVERYTHING) == {"unchanged": made["created"]}
    web, api = (stack.outputs(app)["client_id"] for app in ("web", "log-api"))
    spelled = (
        EVERYTHING.replace(GROUP, GROUP.upper().replace("/SUBSCRIPTIONS", "/subscriptions"))
        .replace("role: Reader", f"role: {READER}")
        .replace("api: log-api", f"api: {api}")
        .replace("client: web", f"client: {web}")
    )
    assert stack.up(spelled) == {"unchanged": made["created"]}
    renamed = EVERYTHING
    for old, new in (("web", "site"), ("log-api", "logs")):
        renamed = renamed.replace(f"  {old}:\n", f"  {new}:\n    renamed_from: {old}\n")
    renamed = (
        renamed.replace("client: web", "client: site")
        .replace("api: log-api", "api: logs")
        .replace("renamed_from: log-api", "renamed_from: log-api\n    display_name: log-api")
        .replace("asker: {", "inquirer: {renamed_from: asker, ")
        .replace("role: asker", "role: inquirer")
        .replace("batch: {", "nightly: {renamed_from: batch, ")
        .replace("name: main", "name: trunk, renamed_from: main")
    )
    code, review = stack.review(renamed)
    assert code == 0, review["errors"]
    assert [(entry["app"], entry["change"], entry["was"]) for entry in review["apps"]] == [
        ("logs", "renamed", "log-api"),
        ("site", "renamed", "web"),
    ]
    assert (review["breaks"], review["access"], review["credentials"], review["settings"]) == ([], [], [], [])
    assert stack.up(renamed) == {"unchanged": made["created"]}
    assert everything_there(stack) == there
    assert stack.outputs("site")["client_id"] == web


FEDERATED = """\
apps:
  ci:
    display_name: CI (ident)
    federated: [CREDENTIAL]
"""
GITHUB = "https://token.actions.githubusercontent.com"


def test_what_azure_holds_unique_is_met_once(stack: Stack) -> None:
    """A federated credential with another name; names that meet; an app or custom role under a new key without `renamed_from`."""
    named = f'{{name: main, issuer: "{GITHUB}", subject: "repo:contoso/obs:ref:refs/heads/main"}}'
    stack.up(FEDERATED.replace("CREDENTIAL", named))
    preset = FEDERATED.replace("CREDENTIAL", "{github: {repository: contoso/obs, branch: main}}")
    code, review = stack.review(preset)
    renamed = "github-repo-contoso-obs-ref-refs-heads-main"
    trusted = "repo:contoso/obs:ref:refs/heads/main of token.actions.githubusercontent.com"
    gap = f"{trusted} cannot sign in as it for some seconds: its federated credential main goes before {renamed} comes"
    assert (code, [entry["text"] for entry in review["breaks"]]) == (0, [gap])
    assert [(entry["change"], entry["name"], entry["detail"]) for entry in review["credentials"]] == [
        ("changed", renamed, f"{trusted}; was called main")
    ]
    assert [(entry["operation"], entry["name"]) for entry in review["resources"]] == [("replace", f"ci/{renamed}")]
    assert stack.up(preset)["replaced"] == 1
    object_id = stack.outputs("ci")["object_id"]
    [there] = stack.client.graph("GET", f"/applications/{object_id}/federatedIdentityCredentials")["value"]
    assert there["name"] == "github-repo-contoso-obs-ref-refs-heads-main"
    other = preset.replace("  ci:", "  runner:")
    code, review = stack.review(other)
    assert code != 0
    assert 'apps.runner has the name of apps.ci, "CI (ident)"' in "".join(review["errors"])
    assert "write `renamed_from: ci`" in "".join(review["errors"])
    taken = other + f"    adopt: {{application: {object_id}}}\n    on_remove: delete\n"
    for arguments in (("preview",), ("up", "--yes", "--skip-preview")):
        stack.write(taken)
        code, output = stack.run(*arguments)
        assert code != 0
        assert "`adopt` names what this stack manages already, as ci" in output
        assert "write `renamed_from: ci` in place of `adopt`" in output
    assert stack.client.graph("GET", f"/applications/{object_id}")["displayName"] == "CI (ident)"


BILLING = """\
apps:
  billing:
    display_name: Billing (ident)
    secret: {every: 90d}
    certificates: {signing: {every: 90d}}
    api: {scopes: {Show: {description: d}}, known_clients: [04b07795-8ddb-461a-bbee-02f9e1bf7b46]}
    federated: [{github: {repository: contoso/obs, branch: main}}]
"""


def test_an_app_is_renamed_after_an_up_that_was_refused(stack: Stack) -> None:
    """What is refused is not registered; and an empty component under the new name, of whatever run, is in no rename's way."""
    stack.up(BILLING)
    made = stack.outputs("billing")
    ids = f"application: {made['object_id']}, service_principal: {made['service_principal_id']}"
    stack.write(BILLING.replace("  billing:", f"  invoices:\n    on_remove: delete\n    adopt: {{{ids}}}"))
    code, output = stack.run("up", "--yes", "--skip-preview")
    assert code != 0 and "write `renamed_from: billing` in place of `adopt`" in output
    state = json.loads(stack.run("stack", "export")[1])
    resources = state["deployment"]["resources"]
    assert [each["urn"] for each in resources if each["urn"].endswith("::invoices")] == []
    components = [each for each in resources if each["type"].startswith("entrant:")]
    assert len(components) == 2
    for place, component in enumerate(components):
        left = component | {"urn": component["urn"].replace("::billing", "::invoices")}
        resources.insert(resources.index(component), left | {"outputs": {}})
        components[place] = left
    if "parent" in components[1] and components[1]["parent"].endswith("::billing"):
        components[1]["parent"] = components[0]["urn"]
    file = stack.project.root / "state.json"
    file.write_text(json.dumps(state), "utf-8")
    code, output = stack.run("stack", "import", "--file", str(file))
    assert code == 0, output
    renamed = BILLING.replace("  billing:", "  invoices:\n    renamed_from: billing")
    code, review = stack.review(renamed)
    assert (code, review["errors"], review["breaks"], review["credentials"]) == (0, [], [], [])
    assert [(entry["change"], entry["was"]) for entry in review["apps"]] == [("renamed", "billing")]
    assert {entry["operation"] for entry in review["resources"]} <= {"replace"}, "the known clients, once more"
    stack.up(renamed)
    assert set(stack.up(renamed)) == {"unchanged"}
    found = stack.outputs("invoices")
    assert {name: value for name, value in found.items() if name != "owners"} == {
        name: value for name, value in made.items() if name != "owners"
    }


def trusting(**subjects: str) -> str:
    """An app with federated credentials by name, each with its subject."""
    each = (
        f"{{name: {name}, issuer: https://i.example.com, subject: {subject}}}" for name, subject in subjects.items()
    )
    return FEDERATED.replace("CREDENTIAL", ", ".join(each))


def test_what_federated_credentials_trust_goes_from_one_to_another_in_an_order_that_azure_takes(stack: Stack) -> None:
    """Along a row the last one goes first; what no order does is refused by the preview, with a way that one `up` can go."""

    def there() -> dict[str, str]:
        path = f"/applications/{stack.outputs('ci')['object_id']}/federatedIdentityCredentials"
        return {each["name"]: each["subject"] for each in stack.client.graph("GET", path)["value"]}

    stack.up(trusting(one="a", two="b", three="c"))
    along = {"zero": "a", "one": "b", "two": "c", "three": "d"}
    code, review = stack.review(trusting(**along))
    assert code == 0
    assert sorted(entry["text"].partition(" of ")[0] for entry in review["breaks"]) == ["a", "b", "c"]
    assert stack.up(trusting(**along))["updated"] >= 3
    assert there() == along
    assert [credential["name"] for credential in stack.outputs("ci")["credentials"]] == list(along)
    exchanged = along | {"one": "c", "two": "b"}
    code, review = stack.review(trusting(**exchanged))
    assert code != 0
    assert "apps.ci.federated: one and two would trust what another federated credential" in review["errors"][0]
    stack.write(trusting(**exchanged))
    assert stack.run("up", "--yes", "--skip-preview")[0] != 0
    assert there() == along
    taken_over = {"one": "b", "two": "d", "zero": "a"}
    code, review = stack.review(trusting(**taken_over))
    assert code != 0 and "Give two another `name` in the same change." in review["errors"][0]
    renamed = {"zero": "a", "first": "c", "second": "b", "last": "d"}
    stack.up(trusting(**renamed))
    assert there() == renamed


NARROWED = f"""\
scopes: {{one: {GROUP}, two: {GROUP}-two}}
role_definitions: {{asker: {{name: Asker (narrowed), actions: ["*/read"], assignable_scopes: [SCOPES]}}}}
apps: {{web: {{display_name: Web (narrowed), roles: [ROLES]}}}}
"""


def test_a_custom_role_is_narrowed_once_it_is_not_assigned_there_any_more(stack: Stack) -> None:
    """Both in one `up` is refused by the preview: Azure wants the assignment gone, and Pulumi deletes last."""
    stack.azure.ensure([f"{GROUP}-two"])
    roles = "{role: asker, scope: one}, {role: asker, scope: two}"
    stack.up(NARROWED.replace("SCOPES", "one, two").replace("ROLES", roles))
    one = NARROWED.replace("ROLES", "{role: asker, scope: one}")
    code, review = stack.review(one.replace("SCOPES", "one"))
    assert code != 0
    assert f"role_definitions.asker: web has the role at {GROUP}-two, which is taken out" in "".join(review["errors"])
    assert stack.up(one.replace("SCOPES", "one, two"))["deleted"] == 1
    assert stack.up(one.replace("SCOPES", "one"))["updated"] == 1


MEETING = """\
apps:
  web: {permissions: [{api: log-api, application: [Read], delegated: [Show], consent: true}], certificates: {b-c: CERTIFICATE}}
  web-log: {permissions: [{api: api, application: [Read], delegated: [Show], consent: true}]}
  web-b: {certificates: {c: CERTIFICATE}}
  log-api: {app_roles: {Read: {description: d}}, api: API}
  api: {app_roles: {Read: {description: d}}, api: API}
  log2: {federated: [{name: x-github, issuer: "https://i.example.com", subject: s}]}
  log2-x: {federated: [{name: github, issuer: "https://i.example.com", subject: s}]}
""".replace("CERTIFICATE", f"{{path: {ROOT / 'examples' / 'batch.pem'}}}").replace(
    "API", "{scopes: {Show: {description: d}}, pre_authorized: [{client: web, scopes: [Show]}]}"
)


def test_hyphenated_names_do_not_meet(stack: Stack) -> None:
    assert stack.up(MEETING)["created"] > 20
