"""What was changed manually is found and named, and nothing else is."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

import local_azure
from entrant import changes
from entrant.changes import SECRET
from entrant.config import Ignored
from entrant.drift import detect, manual_changes
from entrant.drift.manual_changes import ManualChange
from entrant.errors import RefusedError
from entrant.markdown import Value
from entrant.outputs import Outputs
from entrant.rehearsal import environ
from tests.conftest import ROOT, Project
from tests.local_azure.conftest import Client

GROUP = "/subscriptions/0c8a3f5e-1111-4222-8333-444455556666/resourceGroups/rg-drift"
WORKSPACE = f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/law-drift"
ENVIRONMENT = f"""\
apps:
  log-reader:
    display_name: Log reader (STACK)
    secret: {{every: 90d, overlap: 7d}}
    web: {{redirect_uris: [https://logs.example.com/cb]}}
    roles:
      - {{role: Reader, scope: {WORKSPACE}}}
  asker:
    display_name: Asker (STACK)
    federated: [{{github: {{repository: contoso/obs, environment: dev}}}}]
    permissions:
      - {{api: Microsoft Graph, application: [User.Read.All], delegated: [User.Read], consent: true}}
  doomed:
    display_name: Doomed (STACK)
    secret: {{every: 90d, overlap: 7d}}
    roles:
      - {{role: Log Analytics Reader, scope: {WORKSPACE}}}
"""
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
NOW = dt.datetime.now(dt.UTC)
PUT_BACK = (
    "`pulumi up -s drifting --refresh` puts back what changed or went; or let the environment's file say what is there"
)


class Estate:
    """A stack that is up on the local Azure, with hands on both."""

    def __init__(self, project: Project, stack: str) -> None:
        self.project, self.stack = project, stack
        self.text = ENVIRONMENT.replace("STACK", stack)
        project.write(stack, self.text)
        done = project.entrant("rehearse", stack, "--json", "--propagation", "0")
        assert done.returncode == 0, done.stderr
        self.rehearsal = project.rehearsal(stack)
        self.azure = local_azure.start(self.rehearsal.azure)
        self.client = Client(self.azure)
        self.settings = self.rehearsal.settings(self.azure)
        shown = project.pulumi(stack, "stack", "output", "-s", stack, "--json")
        self.identities: dict[str, Any] = json.loads(shown.stdout)["identities"]

    def application(self, app: str) -> str:
        return f"/applications/{self.identities[app]['object_id']}"

    def principal(self, app: str) -> str:
        return f"/servicePrincipals/{self.identities[app]['service_principal_id']}"

    def look(self, *ignore: Ignored, now: dt.datetime = NOW) -> detect.Report:
        return detect.look(self.stack, ignore, now=now, settle=0, cwd=self.project.root, environ=environ(self.settings))

    def state(self) -> dict[str, str]:
        """Every file of the backend and its content."""
        files = [path for path in (self.rehearsal.folder / "state").rglob("*") if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def estate(project: Project) -> Iterator[Estate]:
    made = Estate(project, "drifting")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", made.settings["REQUESTS_CA_BUNDLE"])
        yield made


def test_right_after_an_up_there_is_no_drift_and_state_and_history_stay_as_they_are(estate: Estate) -> None:
    before = estate.state()
    assert any("history" in path for path in before) and any("stacks" in path for path in before)
    done = estate.project.entrant("drift", "-s", "drifting", "--settle", "0", **estate.settings)
    assert (done.returncode, done.stdout) == (0, "✓ drifting: no drift\n"), done.stderr
    assert estate.state() == before


def test_a_secret_that_the_next_up_would_make_is_no_drift(estate: Estate) -> None:
    assert estate.look(now=NOW + dt.timedelta(days=100)).findings == ()


def change_manually(estate: Estate) -> None:
    """What somebody with the portal open may do."""
    graph, arm = estate.client.graph, estate.client.arm
    reader, asker = estate.identities["log-reader"], estate.identities["asker"]
    graph(
        "POST", f"{estate.application('log-reader')}/addPassword", {"passwordCredential": {"displayName": "`x` | @y"}}
    )
    uris = {"redirectUris": ["https://logs.example.com/cb", "https://evil.example.com/cb"]}
    graph("PATCH", estate.application("log-reader"), {"web": uris, "notes": "by hand"})
    arm("DELETE", reader["grants"][0]["assignment_id"])
    estate.client.grant("b24988ac-6180-42a0-ab88-20f7382dd24c", GROUP, asker["service_principal_id"])
    estate.azure.admin("POST", "ensure", {"users": ["eve@example.com"]})
    [eve] = graph("GET", "/users?$filter=userPrincipalName eq 'eve@example.com'")["value"]
    reference = {"@odata.id": f"{estate.azure.url}/v1.0/directoryObjects/{eve['id']}"}
    graph("POST", f"{estate.application('log-reader')}/owners/$ref", reference)
    credentials = f"{estate.application('asker')}/federatedIdentityCredentials"
    [github] = graph("GET", credentials)["value"]
    graph("PATCH", f"{credentials}/{github['id']}", {"subject": "repo:evil/obs:environment:dev"})
    evil = {"name": "evil", "issuer": "https://issuer.example.com", "subject": "x"}
    graph("POST", credentials, evil | {"audiences": ["api://AzureADTokenExchange"]})
    api = graph("GET", "/servicePrincipals(appId='00000003-0000-0000-c000-000000000000')")["id"]
    [consent] = graph("GET", f"{estate.principal('asker')}/appRoleAssignments")["value"]
    graph("DELETE", f"{estate.principal('asker')}/appRoleAssignments/{consent['id']}")
    mail = {"principalId": asker["service_principal_id"], "resourceId": api}
    mail |= {"appRoleId": "810c84a8-4a9e-49e6-bf7d-12d183f40d01"}
    graph("POST", f"{estate.principal('asker')}/appRoleAssignments", mail)
    [grant] = graph("GET", f"{estate.principal('asker')}/oauth2PermissionGrants")["value"]
    graph("PATCH", f"/oauth2PermissionGrants/{grant['id']}", {"scope": "User.Read Mail.Read"})
    graph("PATCH", estate.principal("asker"), {"accountEnabled": False})
    graph("DELETE", estate.application("doomed"))


@pytest.fixture(scope="module")
def drifted(estate: Estate) -> detect.Report:
    change_manually(estate)
    before = estate.state()
    report = estate.look()
    assert estate.state() == before
    return report


FOUND = {
    "log-reader: redirect URI https://evil.example.com/cb (web) was added manually": "undeclared",
    'log-reader: notes was set to "by hand" manually': "changed",
    "log-reader: role assignment Reader on law-drift is gone": "gone",
    "log-reader: owner eve@example.com (of the registration) was added manually": "undeclared",
    f"asker: role assignment Contributor on {GROUP} was added manually": "undeclared",
    'asker: federated credential "github-repo-contoso-obs-environment-dev": subject changed from '
    "repo:contoso/obs:environment:dev to repo:evil/obs:environment:dev": "changed",
    "asker: federated credential evil, https://issuer.example.com x was added manually": "undeclared",
    "asker: consent User.Read.All at Microsoft Graph is gone": "gone",
    "asker: consent Mail.Read at Microsoft Graph was added manually": "undeclared",
    "asker: consent Mail.Read at Microsoft Graph (delegated, for every user) was added manually": "undeclared",
    "asker: service principal: account enabled changed from true to false": "changed",
    'doomed: app registration "Doomed (drifting)" is gone, and with it all that it had': "gone",
}


@pytest.mark.parametrize("sentence", FOUND)
def test_a_manual_change_is_named(drifted: detect.Report, sentence: str) -> None:
    found = {finding.sentence(): finding.state for finding in drifted.findings}
    assert found.get(sentence) == FOUND[sentence], "\n".join(found)


def test_nothing_else_is_found(drifted: detect.Report) -> None:
    """Each once, the parts of a deleted app not one by one, and the one whose words hold a day."""
    rest = {finding.sentence() for finding in drifted.findings} - FOUND.keys()
    assert len(drifted.findings) == len(FOUND) + 1
    assert [sentence.split(", valid until")[0] for sentence in rest] == ['log-reader: secret "`x` | @y"']
    assert drifted.notes == ()


def test_each_finding_says_what_to_do(drifted: detect.Report) -> None:
    steps = {finding.sentence(): finding.next_step for finding in drifted.findings}
    assert steps["log-reader: role assignment Reader on law-drift is gone"] == PUT_BACK
    doomed = steps['doomed: app registration "Doomed (drifting)" is gone, and with it all that it had']
    assert "/directory/deletedItems/" in doomed and "with its client id" in doomed
    [secret] = [finding for finding in drifted.findings if finding.kind == "secret"]
    assert f"--key-id {secret.id}` removes it" in secret.next_step


def test_markdown_shows_values_as_code_so_that_they_are_no_markup(drifted: detect.Report) -> None:
    page = detect.as_markdown(drifted)
    assert page.startswith("<!-- entrant-drift stack=drifting -->\n### Drift of `drifting`: 13 differences\n")
    assert '**log-reader**: secret ``"`x` | @y", valid until' in page
    assert page.count("- **") == 13
    assert page.count("puts back what changed or went") == 1


def test_json_follows_its_schema(drifted: detect.Report) -> None:
    schema = json.loads((ROOT / "entrant" / "drift" / "drift.schema.json").read_text())
    asker = known(app="asker", until="2099-01-01")
    some = detect._sorted_out("drifting", drifted.findings, [asker], NOW, ["a note"])
    for report in (drifted, some):
        document = json.loads(detect.as_json(report))
        jsonschema.Draft202012Validator(schema).validate(document)
        assert len(document["drift"]) == len(report.findings)
    assert {entry["app"] for entry in document["ignored"]} == {"asker"}


def test_the_command_ends_with_7_and_with_0_when_all_is_known(estate: Estate, drifted: detect.Report) -> None:
    done = estate.project.entrant("drift", "-s", "drifting", "--settle", "0", **estate.settings)
    assert done.returncode == 7, done.stderr
    assert done.stdout.count("✗ ") == 13
    known = "".join(
        f"    - {{app: {app}, reason: A known experiment, until: 2099-01-01}}\n" for app in estate.identities
    )
    estate.project.write("drifting", f"drift:\n  ignore:\n{known}{estate.text}")
    done = estate.project.entrant("drift", "-s", "drifting", "--settle", "0", **estate.settings)
    estate.project.write("drifting", estate.text)
    assert done.returncode == 0, done.stdout
    assert "known until 2099-01-01: A known experiment" in done.stdout
    assert done.stdout.endswith("✓ drifting: no drift\n")


def test_a_secret_that_had_ended_and_was_removed_is_no_drift(estate: Estate, drifted: detect.Report) -> None:
    [secret] = [one for one in estate.identities["log-reader"]["credentials"] if one["current"]]
    path = f"{estate.application('log-reader')}/removePassword"
    estate.client.graph("POST", path, {"keyId": secret["key_id"]})
    gone = f'log-reader: secret "{secret["name"]}" is gone'
    assert gone in {finding.sentence() for finding in estate.look().findings}
    later = dt.datetime.fromisoformat(secret["ends"])
    assert gone not in {finding.sentence() for finding in estate.look(now=later).findings}


def test_an_unknown_stack_ends_with_pulumis_exit_code(estate: Estate) -> None:
    done = estate.project.entrant("drift", "-s", "nosuch", **estate.settings)
    assert done.returncode == 6
    assert "no stack named 'nosuch' found" in done.stderr


# ---------------------------------------------------------------------------------------------------- what is known


def finding(what: str = "redirect URI https://evil.example.com/cb", **more: Any) -> ManualChange:
    fields: dict[str, Any] = {"app": "log-reader", "kind": "app registration", "state": "undeclared", "id": "i-1"}
    words = (Value(what), " was added manually")
    return ManualChange(what=what, words=words, next_step="", **(fields | more))


def known(**fields: Any) -> Ignored:
    return Ignored.model_validate({"reason": "why", "until": "2027-01-31"} | fields)


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"app": "log-reader"}, True),
        ({"app": "other"}, False),
        ({"kind": "app registration"}, True),
        ({"kind": "secret"}, False),
        ({"what": "EVIL.example.com"}, True),
        ({"what": "redirect URI https://*.example.com/*"}, True),
        ({"what": "https://*.example.com/cb"}, False),
        ({"what": "i-1"}, True),
        ({"what": "good"}, False),
        ({"app": "log-reader", "kind": "app registration", "what": "evil"}, True),
        ({"app": "log-reader", "kind": "secret", "what": "evil"}, False),
    ],
)
def test_an_entry_fits_what_all_that_it_names_fits(fields: dict[str, str], fits: bool) -> None:
    assert detect.fits(known(**fields), finding()) is fits


MOMENT = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)


def test_an_entry_that_has_ended_counts_again_and_is_told() -> None:
    for days, counts in ((29, False), (30, True)):
        now = MOMENT + dt.timedelta(days=days)
        report = detect._sorted_out("dev", [finding()], [known(app="log-reader")], now, [])
        assert bool(report.findings) is counts
        assert bool(report.ignored) is not counts
    assert report.notes == (
        "drift.ignore[0] ended on 2027-01-31 (why); counted again: "
        "log-reader: redirect URI https://evil.example.com/cb was added manually",
    )


def test_an_entry_that_fits_nothing_is_told() -> None:
    report = detect._sorted_out("dev", [finding()], [known(app="log-reader"), known(what="other")], MOMENT, [])
    assert report.notes == ("drift.ignore[1] fits nothing (why); take it out of the file",)


# -------------------------------------------------------------------------------------------------- looking twice


def looks(monkeypatch: pytest.MonkeyPatch, *answers: list[ManualChange]) -> list[float]:
    """Let one look after another find something else; returns the pauses between them."""
    rest = list(answers)
    pauses: list[float] = []
    monkeypatch.setattr(detect, "_once", lambda *_: (rest.pop(0), ()))
    monkeypatch.setattr("entrant.engine.stack_outputs", lambda *_, **__: Outputs("t", "public", {}))
    monkeypatch.setattr("entrant.access.deployer.find", lambda *_: None)
    monkeypatch.setattr("time.sleep", pauses.append)
    return pauses


def test_what_is_not_there_at_a_second_look_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory answers from places that a change has not reached yet."""
    pauses = looks(monkeypatch, [finding("passing"), finding("staying")], [finding("staying")])
    report = detect.look("dev", (), now=MOMENT, settle=15)
    assert [one.what for one in report.findings] == ["staying"]
    assert report.notes == ("seen once and not again: log-reader: passing was added manually",)
    assert pauses == [15]


def test_without_a_difference_nobody_looks_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = looks(monkeypatch, [])
    assert detect.look("dev", (), now=MOMENT, settle=15).findings == ()
    assert pauses == []


def test_what_cannot_be_looked_at_is_told(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, drifted: detect.Report
) -> None:
    monkeypatch.setattr("entrant.access.deployer.find", lambda *_: None)
    report = estate.look()
    assert "not looked at: what is undeclared: there is no deployer (az login, or ARM_* variables)" in report.notes
    assert any("role assignment Reader on law-drift is gone" in one.sentence() for one in report.findings)


def test_a_directory_that_fails_ends_in_an_error_and_not_in_no_drift(
    estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise RefusedError("GET: 500", status=500)

    monkeypatch.setattr("entrant.drift.unmanaged.look", fails)
    with pytest.raises(RefusedError):
        estate.look()


def test_a_rehearsal_with_drift_is_taken_down_all_the_same(estate: Estate, drifted: detect.Report) -> None:
    """Last of those that use it: there is nothing to destroy of what was taken away manually."""
    done = estate.project.entrant("rehearse", "drifting", "--down")
    assert done.returncode == 0, done.stderr
    assert not estate.rehearsal.folder.exists()


# --------------------------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize(
    ("path", "old", "new", "words"),
    [
        ("tags", ["a", "b"], ["b", "a"], []),
        ("tags", None, ["a"], ["tag a was added manually"]),
        ("tags", ["a"], None, ["tag a was taken away"]),
        ("description", "", None, []),
        ("description", None, "x y", ['description was set to "x y" manually']),
        ("description", "x", "", ["description was taken away; it was x"]),
        ("accountEnabled", True, False, ["account enabled changed from true to false"]),
        ("web", None, {"homepageUrl": "", "implicitGrant": {"idTokenIssuanceEnabled": False}}, []),
        ("publicClient", {"redirectUris": ["a://b"]}, {}, ["redirect URI a://b (public client) was taken away"]),
        ("api", {"requestedAccessTokenVersion": 1}, {"requestedAccessTokenVersion": 2},
         ["requested access token version changed from 1 to 2"]),
        ("appRoles", [{"value": "A", "enabled": True}], [{"value": "A", "enabled": False}, {"value": "B"}],
         ["app role A: enabled changed from true to false", "app role B was added manually"]),
        ("requiredResourceAccesses", [], [{"resourceAppId": "00000003-0000-0000-c000-000000000000",
         "resourceAccesses": [{"id": "df021288-bdef-4463-88db-98f22de89214", "type": "Role"}]}],
         ["requested permission User.Read.All (application) of Microsoft Graph was added manually"]),
        ("clientSecret", "a", SECRET, ["client secret changed from a to \"a secret value\""]),
    ],
)  # fmt: skip
def test_a_changed_property_is_said_in_words(path: str, old: Any, new: Any, words: list[str]) -> None:
    assert sorted("".join(edit.words) for edit in manual_changes._edits(path, old, new)) == words


APPLICATION = "urn:pulumi:dev::entrant::entrant:index:AppIdentity$azuread:index/application:Application::one"


def refreshed(detail: list[str], **sides: dict[str, dict[str, Any]]) -> list[str]:
    """What is said of a registration whose sides are these in a refresh's event."""
    kind, parent = "azuread:index/application:Application", "urn:pulumi:dev::entrant::entrant:index:AppIdentity::one"
    own = {"type": kind, "urn": APPLICATION, "id": "/applications/1", "parent": parent}
    metadata = {"op": "update", "urn": APPLICATION, "type": kind} | {side: own | sides[side] for side in sides}
    metadata["detailedDiff"] = {path: {"diffKind": "update"} for path in detail}
    found = changes.read([{"resOutputsEvent": {"metadata": metadata}}]).found
    return [one.sentence() for one in manual_changes.tell("dev", found, (), {}, MOMENT)]


def test_what_the_provider_tells_counts_before_the_inputs_that_it_reads_back() -> None:
    """Read back, a list in the inputs of the real azuread provider has no more items than it had."""
    words = refreshed(
        ["tags[0]"],
        old={"inputs": {"tags": ["b"]}, "outputs": {"tags": ["b"]}},
        new={"inputs": {"tags": ["a"]}, "outputs": {"tags": ["a", "b"]}},
    )
    assert words == ["one: tag a was added manually"]


def test_a_changed_secret_value_is_told_and_not_shown() -> None:
    value = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": "correct horse"}
    sides = {"inputs": {}, "outputs": {"notes": value}}
    assert refreshed(["notes"], old=sides, new=sides) == ["one: notes is not as declared"]


def test_a_difference_that_cannot_be_seen_is_told_all_the_same() -> None:
    sides = {"inputs": {"tags": ["a"]}, "outputs": {"tags": ["a"]}}
    assert refreshed(["tags[0]"], old=sides, new=sides) == ["one: tags is not as declared"]


def test_a_report_in_markdown_fits_a_comment_and_ends_with_a_whole_line() -> None:
    many = tuple(finding(f"redirect URI https://{'x' * 100}/{number}") for number in range(2000))
    page = detect.as_markdown(detect.Report("dev", many, (), ()))
    assert len(page) <= 64_000
    assert "2000 differences" in page
    assert "`--format json` lists it all" in page
    listed = [line for line in page.splitlines() if line.startswith("- **")]
    assert len(listed) > 150
    assert all("was added manually" in line for line in listed)
