"""`rotate` and `revoke` from end to end: the real engine, the local Azure, a program and a GitHub that records."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential

import local_azure
from local_azure import LocalAzure
from tests.conftest import Project
from tests.entrant import places as recording
from tests.entrant.test_deliver import TAKES
from tests.local_azure.conftest import Client

STACK = "rotation"
GITHUB = "repos/contoso/obs/actions/secrets/READER"
KILLS = TAKES.replace(
    "value = sys.stdin.read()\n",
    """\
value = sys.stdin.read()
if (folder / "kill").exists():
    import signal
    os.kill(os.getppid(), signal.SIGKILL)
    sys.exit(1)
""",
)
"""The program that stores secrets; it can kill the run that it is part of."""
SIGNING = "signing"
"""The certificate's key in the file, and the folder of its program."""


@dataclass
class Stack:
    """A stack with one app, whose secret goes to a program and to GitHub, and so does its certificate, once it has one."""

    project: Project
    azure: LocalAzure
    places: recording.Places
    seen: dict[str, str] = field(default_factory=dict)
    """Values of secrets by slot."""

    def write(self, *, certificate: bool = False, **more: Any) -> None:
        """The environment."""
        secret = {"every": "90d", "overlap": "7d", "starts": "2026-01-01", "deliver": self._places("", "READER")}
        app = {"owners": ["deployer"], "secret": secret, **more}
        if certificate:
            (self.project.root / SIGNING).mkdir(exist_ok=True)
            deliver = self._places(SIGNING, "SIGNING")
            signing = {"every": "300d", "overlap": "30d", "starts": "2026-12-01", "deliver": deliver}
            app["certificates"] = {SIGNING: signing}
        self.project.write(STACK, yaml.safe_dump({"apps": {"reader": app}}))

    def _places(self, folder: str, name: str) -> list[dict[str, Any]]:
        takes = [sys.executable, str(self.project.root / "takes.py"), str(self.project.root / folder)]
        return [
            {"exec": {"command": takes, "holds": [*takes, "which"]}},
            {"github": {"repository": "contoso/obs", "name": name}},
        ]

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
            for line in value.partition("-----END")[0].splitlines()[-20:]:
                assert line not in done.stdout + done.stderr
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
        entries = [each for each in outputs["identities"]["reader"]["credentials"] if each["kind"] == "secret"]
        values = [
            outputs[name] for name in ("reader_client_secret", "reader_client_secret_previous") if name in outputs
        ]
        for entry, value in zip(entries, values, strict=True):
            self.seen[entry["name"].removeprefix("entrant ")] = value
        self.client_id = outputs["reader_client_id"]
        return [(entry["name"].removeprefix("entrant "), entry.get("delivered", False)) for entry in entries]

    def certificates(self) -> list[tuple[str, bool]]:
        """The same of its certificates."""
        done = self.project.pulumi(STACK, "stack", "output", "--json", "--show-secrets", "-s", STACK)
        outputs = json.loads(done.stdout)
        entries = [each for each in outputs["identities"]["reader"]["credentials"] if each["kind"] == "certificate"]
        [self.seen[entries[0]["name"]]] = outputs["reader_certificates"].values()
        return [(entry["name"], entry.get("delivered", False)) for entry in entries]

    def signs_in(self, slot: str) -> bool:
        """Whether a secret or a certificate that was handed out gives a token."""
        scope, value = "https://graph.microsoft.com/.default", self.seen[slot]
        if "-----" not in value:
            return Client(self.azure, self.client_id, value).ask_token(scope).status_code == 200
        credential = CertificateCredential(
            self.azure.tenant_id,
            self.client_id,
            certificate_data=value.encode(),
            authority=self.azure.url,
            disable_instance_discovery=True,
            connection_verify=str(self.azure.ca_file),
        )
        try:
            return bool(credential.get_token(scope).token)
        except ClientAuthenticationError:
            return False

    def held(self) -> dict[str, str]:
        """What each place holds, as the slot of the secret."""
        return self._held(self.project.root / "held.json", GITHUB)

    def held_certificates(self) -> dict[str, str]:
        """The same of certificates."""
        return self._held(self.project.root / SIGNING / "held.json", GITHUB.replace("READER", "SIGNING"))

    def _held(self, file: Path, github: str) -> dict[str, str]:
        values = {
            "exec": json.loads(file.read_text())["value"] if file.exists() else "",
            "github": self.places.secrets.get(github, {}).get("value", ""),
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
        (project.root / "takes.py").write_text(KILLS)
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
    assert (
        "would do more than rotate secrets and certificates, so nothing was done:\n    update Application reader"
        in done.stderr
    )
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
    assert done.returncode == 2 and "reader has no client secret 2020-01-01, and no " in done.stderr
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


def test_a_certificate_beside_the_secret_is_rotated_by_itself(stack: Stack) -> None:
    """Made, proved, delivered and noted; revoked, and kept where its successor does not arrive, whatever becomes of the secret."""
    secrets = stack.secrets()
    stack.write(certificate=True)
    done = stack.entrant("rotate", "-s", STACK, "--settle", "0")
    assert done.returncode == 7, "a calendar that is new is a change to be reviewed"
    done = stack.project.pulumi(STACK, "up", "--yes", "-s", STACK)
    assert done.returncode == 0, done.stdout + done.stderr
    code, report = stack.rotate()
    first = "signing-2026-12-01"
    assert stack.certificates() == [(first, True)]
    assert (code, report["made"], [proof["secret"] for proof in report["proofs"]]) == (0, [], [first])
    assert [(each["calendar"], each["state"]) for each in report["deliveries"]] == [
        ("secret", "held"),
        ("secret", "held"),
        ("signing", "delivered"),
        ("signing", "delivered"),
    ]
    assert stack.held_certificates() == {"exec": first, "github": first}
    assert stack.signs_in(first)

    revoke = (
        "revoke",
        "-s",
        STACK,
        "reader",
        "signing",
        "--reason",
        "its server was broken into",
        "--settle",
        "0",
        "--yes",
    )
    (stack.project.root / SIGNING / "broken").write_text("")
    done = stack.entrant(*revoke)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"! reader: whoever uses the certificate {first} and is not named here cannot sign in" in done.stdout
    assert f"✓ reader: {first}-2 gives tokens" in done.stdout
    assert (
        f"! reader: the certificate {first} stays, and works until 2027-10-27: its successor {first}-2 is not"
        in done.stdout
    )
    assert f"✗ reader: {first} is still there" in done.stdout
    assert stack.certificates() == [(f"{first}-2", False), (first, True)]
    assert stack.held_certificates() == {"exec": first, "github": f"{first}-2"}
    assert stack.signs_in(first) and stack.signs_in(f"{first}-2")
    assert stack.secrets() == secrets, "nothing of the secret hangs on it"

    (stack.project.root / SIGNING / "broken").unlink()
    code, report = stack.rotate()
    assert (code, report["made"], report["removed"]) == (0, [], [f"reader {first}"])
    assert stack.certificates() == [(f"{first}-2", True)]
    assert stack.held_certificates() == {"exec": f"{first}-2", "github": f"{first}-2"}
    assert not stack.signs_in(first) and stack.signs_in(f"{first}-2")
    token = stack.entrant("token", "-s", STACK, "reader", "graph", "--credential", "certificate")
    assert token.returncode == 0 and token.stdout.startswith("eyJ"), token.stderr


def test_a_secret_and_a_certificate_that_are_due_are_made_and_taken_away_in_one_run(stack: Stack) -> None:
    [(secret, _)], [(certificate, _)] = stack.secrets(), stack.certificates()
    stack.at("2027-09-28")
    code, report = stack.rotate()
    assert (code, sorted(report["made"])) == (0, ["reader 2027-09-23", "reader signing-2027-09-27"]), report
    assert stack.certificates() == [("signing-2027-09-27", True), (certificate, True)]
    assert stack.held_certificates() == {"exec": "signing-2027-09-27", "github": "signing-2027-09-27"}
    assert stack.secrets() == [("2027-09-23", True)]
    stack.at("2027-10-28")
    code, report = stack.rotate()
    assert (code, report["removed"]) == (0, [f"reader {certificate}"]), report
    assert not stack.signs_in(certificate) and stack.signs_in("signing-2027-09-27")
    assert not stack.signs_in(secret) and stack.signs_in("2027-09-23")


def test_a_certificate_whose_run_is_killed_before_it_is_delivered_is_the_one_that_the_next_run_delivers(
    stack: Stack,
) -> None:
    """Its key is in the outputs, and nowhere else."""
    [(before, _)] = stack.certificates()
    (stack.project.root / SIGNING / "kill").write_text("")
    revoke = ("revoke", "-s", STACK, "reader", before, "--reason", "the drill", "--settle", "0", "--yes")
    assert stack.entrant(*revoke).returncode == -9
    (stack.project.root / SIGNING / "kill").unlink()
    [(made, noted), (kept, _)] = stack.certificates()
    value = stack.seen[made]
    assert (noted, kept) == (False, before)
    assert stack.held_certificates() == {"exec": before, "github": before}
    code, report = stack.rotate()
    assert (code, report["made"], report["removed"]) == (0, [], [f"reader {before}"]), report
    assert stack.certificates() == [(made, True)]
    assert stack.seen[made] == value
    assert stack.held_certificates() == {"exec": made, "github": made}
