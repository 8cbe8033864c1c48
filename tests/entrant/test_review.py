"""Reviews through the real engine: each is what its golden file says, and none holds a secret."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import local_azure
from entrant import rehearsal as rehearsals
from entrant.rehearsal import Rehearsal
from tests.conftest import ROOT, Project
from tests.golden import Golden, settled
from tests.local_azure.conftest import Client

STACK = "team"
SUBSCRIPTION = "0c8a3f5e-1111-4222-8333-444455556666"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-team"
WORKSPACE = f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/law-team"
START = dt.date.today() - dt.timedelta(days=10)
READS = f"""\
  log-reader:
    display_name: Log reader (team)
    owners: [deployer]
    secret: {{every: 90d, overlap: 7d, starts: {START}}}
    roles:
      - {{role: Reader, scope: {WORKSPACE}}}
"""
GUARDED = """\
  guarded:
    display_name: Guarded (team)
    owners: [deployer]
    protect: true
"""
PIPELINE = f"""\
  pipeline:
    display_name: Pipeline (team)
    owners: [deployer]
    federated: [{{github: {{repository: contoso/obs, environment: dev}}}}]
    roles:
      - {{role: Log Analytics Reader, scope: {GROUP}}}
"""
ADOPTED = """\
  adopted:
    display_name: Adopted (team)
    owners: [deployer]
    adopt: {application: OBJECT}
    on_remove: keep
"""


class Team:
    """A stack, reviewed as a pipeline would."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.rehearsal = Rehearsal(STACK, project.root)
        self.azure = local_azure.start(self.rehearsal.azure, propagation=0)
        self.settings = self.rehearsal.settings(self.azure)
        self.client = Client(self.azure)
        self.deployer = json.loads((self.rehearsal.azure / "deployer.json").read_text())
        self.known = (SUBSCRIPTION,)
        self.said: list[str] = []
        """Everything that any review printed or wrote."""

    def write(self, *apps: str, more: str = "") -> None:
        """The environment, with these apps."""
        self.project.write(STACK, f"{more}apps:\n{''.join(apps)}")

    def adoptable(self) -> str:
        """A registration made manually; its object id."""
        owners = [f"{self.azure.url}/v1.0/directoryObjects/{self.deployer['object_id']}"]
        made = {"displayName": "Adopted (team)", "owners@odata.bind": owners}
        return str(self.client.graph("POST", "/applications", made)["id"])

    def at(self, day: int) -> None:
        """Let the program read its calendars that many days after `START`."""
        file = self.rehearsal.stack_config
        settings = yaml.safe_load(file.read_text())
        settings.setdefault("config", {})["entrant:now"] = f"{START + dt.timedelta(days=day)}T00:00:00Z"
        file.write_text(yaml.safe_dump(settings))

    def review(self, *arguments: str, code: int = 0) -> str:
        """What `entrant review` prints."""
        folder = self.project.root / "temporary"
        folder.mkdir(exist_ok=True)
        done = self.project.entrant("review", "-s", STACK, *arguments, **self.settings, TMPDIR=str(folder))
        self.said += [done.stdout, done.stderr]
        assert done.returncode == code, done.stderr + done.stdout
        assert list(folder.iterdir()) == [], "nothing is left behind"
        return done.stdout

    def markdown(self, *arguments: str, code: int = 0) -> str:
        """A review as Markdown, without what differs from run to run."""
        return settled(self.review("--format", "markdown", *arguments, code=code), start=START, known=self.known)

    def json(self, *arguments: str, code: int = 0) -> Any:
        """A review as JSON."""
        return json.loads(self.review("--format", "json", *arguments, code=code))


@pytest.fixture(scope="module")
def team(project: Project) -> Iterator[Team]:
    """A stack that is made and has nothing in it yet."""
    made = Team(project)
    made.azure.admin("POST", "ensure", {"scopes": [GROUP, WORKSPACE]})
    env = rehearsals.environ(made.settings)
    rehearsals.stack.prepare(made.rehearsal, env)
    rehearsals.providers.install(made.rehearsal, env, "auto")
    made.at(10)
    yield made


@pytest.fixture(scope="module")
def taken(team: Team) -> str:
    """The registration that the app `adopted` takes over."""
    return team.adoptable()


def test_a_first_deployment_is_apps_that_are_new_and_one_that_is_taken_over(
    team: Team, taken: str, golden: Golden
) -> None:
    team.write(READS, GUARDED, PIPELINE, ADOPTED.replace("OBJECT", taken))
    golden("review/first-deployment.md", team.markdown())


@pytest.fixture(scope="module")
def up(team: Team, taken: str) -> Team:
    """The stack after `pulumi up`."""
    team.write(READS, GUARDED, PIPELINE, ADOPTED.replace("OBJECT", taken))
    done = team.project.pulumi(STACK, "up", "--yes", "--skip-preview", "-s", STACK)
    assert done.returncode == 0, done.stdout + done.stderr
    return team


def test_without_a_change_there_is_nothing_to_review(up: Team, golden: Golden, tmp_path: Path) -> None:
    output = tmp_path / "output"
    golden("review/no-change.md", up.markdown("--only", "secrets", "--output", str(output)))
    assert output.read_text().splitlines()[1] == "changes=false"


GAINS = READS + f"      - {{role: Monitoring Metrics Publisher, scope: {GROUP}}}\n"


def test_a_grant_that_is_added(up: Team, taken: str, golden: Golden) -> None:
    up.write(GAINS, GUARDED, PIPELINE, ADOPTED.replace("OBJECT", taken))
    golden("review/grant-added.md", up.markdown("--only", "secrets", code=7))


def test_a_grant_that_is_removed(up: Team, taken: str, golden: Golden, tmp_path: Path) -> None:
    """And the same plan at a second look has the same digest."""
    without = READS.replace(f"    roles:\n      - {{role: Reader, scope: {WORKSPACE}}}\n", "")
    up.write(without, GUARDED, PIPELINE, ADOPTED.replace("OBJECT", taken))
    output = tmp_path / "output"
    golden("review/grant-removed.md", up.markdown("--output", str(output)))
    digest, changes = output.read_text().splitlines()
    assert changes == "changes=true"
    again = up.json("--expect", digest.removeprefix("digest="))
    jsonschema.validate(again, json.loads((ROOT / "entrant" / "review" / "review.schema.json").read_text()))


def test_another_registration_in_the_place_of_one_that_the_stack_manages_is_refused(up: Team, taken: str) -> None:
    """It would delete the first, and break whoever has its client id."""
    other = up.adoptable()
    up.write(READS, GUARDED, PIPELINE, ADOPTED.replace("OBJECT", other))
    shown = up.review("--format", "markdown", code=1)
    assert f"as {taken}, which would be deleted if `adopt` put {other} in its place" in shown


def test_a_secret_that_its_calendar_rotates(up: Team, taken: str, golden: Golden) -> None:
    up.write(READS, GUARDED, PIPELINE, ADOPTED.replace("OBJECT", taken))
    up.at(91)
    try:
        golden("review/secret-rotated.md", up.markdown("--only", "secrets"))
    finally:
        up.at(10)


def test_a_protected_app_that_is_removed(up: Team, taken: str, golden: Golden) -> None:
    """Pulumi refuses; the review says so, and ends with Pulumi's exit code."""
    up.write(READS, PIPELINE, ADOPTED.replace("OBJECT", taken))
    golden("review/protected-removed.md", up.markdown(code=1))


@pytest.fixture(scope="module")
def disturbed(up: Team, taken: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Hands took a role away and made a secret; secrets are wherever they can be. Returns them all.

    They look like ordinary text. One is marked in the state in a property that is none by its name, one is not marked at all, as
    in a state that was made without secrets.
    """
    up.write(GAINS, GUARDED, PIPELINE, ADOPTED.replace("OBJECT", taken))
    pulumi = up.project.pulumi
    setting = ("config", "set", "--secret", "entrant:note", "evening at the harbour")
    assert pulumi(STACK, *setting, "-s", STACK).returncode == 0
    exported = json.loads(pulumi(STACK, "stack", "export", "--show-secrets", "-s", STACK).stdout)
    values = ["blue boats", "evening at the harbour", "a quiet blue sky", "warm bread and butter"]
    up.settings["ENTRANT_TEST_TOKEN"] = values[0]
    for resource in exported["deployment"]["resources"]:
        if resource["type"].endswith(":ApplicationPassword"):
            values.append(json.loads(resource["outputs"]["value"]["plaintext"]))
            resource["outputs"]["value"] = values[2]
        if resource["type"].endswith(":RoleAssignment") and "log-reader" in resource["urn"]:
            up.client.arm("DELETE", resource["id"])
        if resource["type"].endswith(":Application") and resource["urn"].endswith("::log-reader"):
            mark = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
            for side in ("inputs", "outputs"):
                resource[side]["description"] = mark | {"plaintext": json.dumps(values[3])}
            made = {"passwordCredential": {"displayName": "manually"}}
            path = f"/applications/{resource['outputs']['objectId']}/addPassword"
            values.append(up.client.graph("POST", path, made)["secretText"])
    file = tmp_path_factory.mktemp("state") / "state.json"
    file.write_text(json.dumps(exported))
    assert pulumi(STACK, "stack", "import", "--file", str(file), "-s", STACK).returncode == 0
    values += [up.deployer["client_secret"], (up.rehearsal.folder / "passphrase").read_text()]
    assert len(values) == 8
    return values


def test_what_other_hands_did_is_told_apart_from_the_change(up: Team, disturbed: list[str]) -> None:
    """A role taken away manually is restored, and a secret made manually is undeclared."""
    found = up.json("--unmanaged")
    assert {(entry["name"], entry["origin"]) for entry in found["access"]} == {
        ("Reader", "restored"),
        ("Monitoring Metrics Publisher", ""),
    }
    assert {(entry["what"], entry["text"].partition(",")[0]) for entry in found["outside"]} >= {
        ("gone", "role assignment Reader on law-team is gone"),
        ("undeclared", 'secret "manually"'),
    }


def test_no_review_holds_a_secret(up: Team, disturbed: list[str], tmp_path: Path) -> None:
    """Marked in the state or not, in the stack's settings, in the environment of the process: none came out of any of these."""
    summary, output = tmp_path / "summary", tmp_path / "output"
    up.review("--format", "markdown", "--no-refresh", "--summary", str(summary), "--output", str(output))
    written = [file.read_text() for file in (summary, output) if file.exists()]
    for value in disturbed:
        assert not [text for text in (*up.said, *written) if value in text]
