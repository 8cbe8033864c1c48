"""`rotate` and `revoke` from end to end: the real engine, the local Azure, a program and a GitHub that records."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

import local_azure
from local_azure import LocalAzure
from tests.conftest import Project
from tests.entrant import places as recording
from tests.entrant.test_deliver import TAKES
from tests.local_azure.conftest import Client

STACK = "rotation"
GITHUB = "repos/contoso/obs/actions/secrets/READER"


@dataclass
class Stack:
    """A stack with one app, whose secret goes to a program and to GitHub."""

    project: Project
    azure: LocalAzure
    places: recording.Places
    seen: dict[str, str] = field(default_factory=dict)
    """Values of secrets by slot."""

    def write(self, **more: Any) -> None:
        """The environment."""
        takes = [sys.executable, str(self.project.root / "takes.py"), str(self.project.root)]
        deliver = [
            {"exec": {"command": takes, "holds": [*takes, "which"]}},
            {"github": {"repository": "contoso/obs", "name": "READER"}},
        ]
        secret = {"every": "90d", "overlap": "7d", "starts": "2026-01-01", "deliver": deliver}
        app = {"owners": ["deployer"], "secret": secret, **more}
        self.project.write(STACK, yaml.safe_dump({"apps": {"reader": app}}))

    def at(self, day: str) -> None:
        """Let the program read calendars on a day."""
        file = self.project.rehearsal(STACK).stack_config
        settings = yaml.safe_load(file.read_text()) or {}
        settings.setdefault("config", {})["entrant:now"] = f"{day}T12:00:00Z"
        file.write_text(yaml.safe_dump(settings))

    def entrant(self, *arguments: str) -> Any:
        """A command, as after `rehearse --env`, with the tokens of the places."""
        tokens = {"GH_TOKEN": recording.TOKEN, "GITHUB_API_URL": f"{self.places.url}/github"}
        settings = self.project.rehearsal(STACK).settings(self.azure)
        done = self.project.entrant(*arguments, **settings, **tokens)
        for value in self.seen.values():
            assert value not in done.stdout + done.stderr
        return done

    def rotate(self, *arguments: str) -> Any:
        """`rotate`, and the report as JSON."""
        done = self.entrant("rotate", "-s", STACK, "--settle", "0", "--patience", "20", "--format", "json", *arguments)
        assert done.stdout.startswith("{"), done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout)

    def secrets(self) -> list[tuple[str, bool]]:
        """The slots of the app's secrets in the outputs, newest first, and whether each is noted as delivered."""
        done = self.project.pulumi(STACK, "stack", "output", "--json", "--show-secrets", "-s", STACK)
        outputs = json.loads(done.stdout)
        entries = outputs["identities"]["reader"]["credentials"]
        values = [
            outputs[name] for name in ("reader_client_secret", "reader_client_secret_previous") if name in outputs
        ]
        for entry, value in zip(entries, values, strict=True):
            self.seen[entry["name"].removeprefix("entrant ")] = value
        self.client_id = outputs["reader_client_id"]
        return [(entry["name"].removeprefix("entrant "), entry.get("delivered", False)) for entry in entries]

    def signs_in(self, slot: str) -> bool:
        """Whether a secret that was handed out gives a token."""
        scope = "https://graph.microsoft.com/.default"
        return Client(self.azure, self.client_id, self.seen[slot]).ask_token(scope).status_code == 200

    def held(self) -> dict[str, str]:
        """What each place holds, as the slot of the secret."""
        file = self.project.root / "held.json"
        values = {
            "exec": json.loads(file.read_text())["value"] if file.exists() else "",
            "github": self.places.secrets.get(GITHUB, {}).get("value", ""),
        }
        slots = {value: slot for slot, value in self.seen.items()}
        return {place: slots.get(value, "") for place, value in values.items()}

    def updates(self) -> int:
        """How many operations the stack's history has."""
        done = self.project.pulumi(STACK, "stack", "history", "--json", "-s", STACK)
        return len(json.loads(done.stdout))


@pytest.fixture(scope="module")
def stack(project: Project) -> Iterator[Stack]:
    """The stack after its rehearsal."""
    with recording.places() as places:
        made = Stack(project, None, places)  # type: ignore[arg-type]
        (project.root / "takes.py").write_text(TAKES)
        made.write()
        done = project.entrant("rehearse", STACK, "--propagation", "0")
        assert done.returncode == 0, done.stderr
        made.azure = local_azure.start(project.rehearsal(STACK).azure)
        yield made


def test_the_first_secret_is_proved_delivered_and_noted_and_then_nothing_is_done(stack: Stack) -> None:
    code, report = stack.rotate()
    assert code == 0, report
    assert [entry["state"] for entry in report["deliveries"]] == ["delivered", "delivered"]
    [(first, delivered)] = stack.secrets()
    assert (first, delivered) == ("2026-09-28", True)
    assert stack.held() == {"exec": first, "github": first}
    done = stack.updates(), len(stack.places.writes("github"))
    code, report = stack.rotate()
    assert (code, report["proofs"], report["made"]) == (0, [], [])
    assert [entry["state"] for entry in report["deliveries"]] == ["held", "held"]
    assert (stack.updates(), len(stack.places.writes("github"))) == done, "neither an `up` nor a delivery"


def test_a_secret_whose_successor_does_not_arrive_everywhere_stays_and_says_so(stack: Stack) -> None:
    stack.at("2026-12-28")
    (stack.project.root / "broken").write_text("")
    code, report = stack.rotate()
    assert code == 1, report
    assert report["made"] == ["reader 2026-12-27"]
    assert [entry["state"] for entry in report["deliveries"]] == ["failed", "delivered"]
    [kept] = report["kept"]
    assert kept == (
        "reader: the secret 2026-09-28 stays, and works until 2027-01-03: its successor 2026-12-27 is not proved and delivered "
        "everywhere"
    )
    assert stack.secrets() == [("2026-12-27", False), ("2026-09-28", True)]
    assert stack.held() == {"exec": "2026-09-28", "github": "2026-12-27"}
    assert stack.signs_in("2026-09-28") and stack.signs_in("2026-12-27")
    (stack.project.root / "broken").unlink()
    code, report = stack.rotate()
    assert (code, report["made"]) == (0, [])
    assert [entry["state"] for entry in report["deliveries"]] == ["delivered", "held"]
    assert stack.secrets() == [("2026-12-27", True), ("2026-09-28", True)]


def test_one_that_has_served_its_time_goes_once_its_successor_is_in_use(stack: Stack) -> None:
    stack.at("2027-01-04")
    code, report = stack.rotate()
    assert (code, report["removed"]) == (0, ["reader 2026-09-28"])
    assert stack.secrets() == [("2026-12-27", True)]
    assert not stack.signs_in("2026-09-28")


def test_an_up_that_would_do_more_is_refused_before_anything_is_done(stack: Stack) -> None:
    stack.at("2027-03-28")
    stack.write(notes="Changed by a commit that nobody has applied")
    done = stack.entrant("rotate", "-s", STACK, "--settle", "0")
    assert done.returncode == 7, done.stdout + done.stderr
    assert "would do more than rotate secrets, so nothing was done:\n    update Application reader" in done.stderr
    assert stack.secrets() == [("2026-12-27", True)]
    stack.write()
    stack.at("2027-01-05")
    done = stack.entrant("rotate", "-s", STACK, "--settle", "0")
    assert (done.returncode, "did not end well" in done.stderr) == (0, False), (
        "a refused run leaves nothing to look for"
    )


def test_a_revoked_secret_goes_after_its_successor_is_everywhere(stack: Stack) -> None:
    arguments = ("revoke", "-s", STACK, "reader", "--reason", "it was in a log (INC-4711)", "--settle", "0")
    done = stack.entrant(*arguments)
    assert done.returncode == 2 and "nobody can be asked here" in done.stderr
    assert "! reader: whoever uses the secret 2026-12-27 and is not named here cannot sign in" in done.stdout
    (stack.project.root / "broken").write_text("")
    done = stack.entrant(*arguments, "--yes", "--patience", "20")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ reader: 2026-12-27 is still there" in done.stdout
    assert stack.secrets() == [("2026-12-27-2", False), ("2026-12-27", True)]
    assert stack.signs_in("2026-12-27")
    (stack.project.root / "broken").unlink()
    code, report = stack.rotate()
    assert (code, report["removed"]) == (0, ["reader 2026-12-27"]), "rotate goes on with it, unasked"
    assert stack.secrets() == [("2026-12-27-2", True)]
    assert stack.held() == {"exec": "2026-12-27-2", "github": "2026-12-27-2"}
    assert not stack.signs_in("2026-12-27") and stack.signs_in("2026-12-27-2")
    history = json.loads(stack.project.pulumi(STACK, "stack", "history", "--json", "-s", STACK).stdout)
    assert "revoke: it was in a log (INC-4711)" in [entry["message"] for entry in history]


def test_a_slot_that_there_is_not_and_an_empty_reason_are_refused(stack: Stack) -> None:
    done = stack.entrant("revoke", "-s", STACK, "reader", "2020-01-01", "--reason", "x", "--yes")
    assert done.returncode == 2 and "reader has no client secret 2020-01-01" in done.stderr
    assert "there are: 2026-12-27-2" in done.stderr
    done = stack.entrant("revoke", "-s", STACK, "reader", "--reason", " ", "--yes")
    assert done.returncode == 2 and "--reason is empty" in done.stderr
    done = stack.entrant("revoke", "-s", STACK, "reader", "--reason", "x\x1b[2J", "--yes")
    assert done.returncode == 2 and "--reason has characters that cannot be printed" in done.stderr


def test_a_new_secret_that_gives_no_token_goes_nowhere_and_its_predecessor_stays(stack: Stack) -> None:
    """As where Conditional Access refuses the app; here somebody has disabled it."""
    stack.at("2027-03-28")
    client = Client(stack.azure)
    [principal] = client.graph("GET", f"/servicePrincipals?$filter=appId eq '{stack.client_id}'")["value"]
    client.graph("PATCH", f"/servicePrincipals/{principal['id']}", {"accountEnabled": False})
    code, report = stack.rotate("--patience", "0")
    client.graph("PATCH", f"/servicePrincipals/{principal['id']}", {"accountEnabled": True})
    assert code != 0
    assert report["proofs"][0]["failure"]
    assert {entry["state"] for entry in report["deliveries"]} == {"failed"}
    assert stack.held() == {"exec": "2026-12-27-2", "github": "2026-12-27-2"}
    assert stack.secrets() == [("2027-03-27", False), ("2026-12-27-2", True)]
    assert stack.signs_in("2026-12-27-2")
    code, report = stack.rotate()
    assert code == 0, report
    assert stack.secrets()[0] == ("2027-03-27", True)


def test_the_secret_before_the_newest_is_revoked_at_once_by_its_slot(stack: Stack) -> None:
    """Its successor is proved and delivered, so nothing has to be made first."""
    assert stack.secrets() == [("2027-03-27", True), ("2026-12-27-2", True)]
    arguments = (
        "revoke",
        "-s",
        STACK,
        "reader",
        "2026-12-27-2",
        "--reason",
        "its laptop was stolen",
        "--settle",
        "0",
        "--yes",
    )
    done = stack.entrant(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓ reader: 2026-12-27-2 is revoked: its laptop was stolen" in done.stdout
    assert stack.secrets() == [("2027-03-27", True)]
    assert stack.held() == {"exec": "2027-03-27", "github": "2027-03-27"}
    assert stack.signs_in("2027-03-27") and not stack.signs_in("2026-12-27-2")
