"""Owners are told once of each credential and stage: what arrived at a webhook, at GitHub and at a relay, over daily runs."""

import datetime as dt
import json
import os
import random
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner

import local_azure
from entrant import debug, engine, outputs
from entrant.cli import cli
from entrant.drift.expiry import Ending
from entrant.errors import ConfigurationError, EngineError, EntrantError, RefusedError
from entrant.notify import messages, targets
from entrant.notify.record import Record
from entrant.outputs import App
from tests.conftest import ROOT
from tests.entrant import receivers as receiving
from tests.entrant.receivers import OTHER, Receivers
from tests.entrant.test_access import Estate, environ
from tests.entrant.test_expiry_live import DAY, NOW, declared, document, made, signed_in, text
from tests.entrant.test_live_text import EVIL, LIVE, live, live_markdown
from tests.entrant.test_unmanaged import user

__all__ = ["environ", "signed_in"]


@pytest.fixture
def receivers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receivers]:
    """Everybody who can be told, as the environment names them."""
    monkeypatch.setattr(targets.Mail, "pauses", (0.0, 0.0))
    with receiving.receivers() as found:
        for name in ("GH_HOST", "GITHUB_TOKEN", "ENTRANT_NOTIFY_TO", "ENTRANT_NOTIFY_SMTP_USER"):
            monkeypatch.delenv(name, raising=False)
        for name, value in found.environ().items():
            monkeypatch.setenv(name, value)
        yield found


class Killed(BaseException):
    """The process is gone."""


class Stack:
    """A stack's outputs and tags, in the place of Pulumi."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, document: dict[str, Any]) -> None:
        self.document, self.tags = document, dict[str, str]()
        self.kill, self.read_only = "", False
        monkeypatch.setattr(engine, "run", self.run)
        monkeypatch.setattr(engine, "stack_outputs", lambda *_, **__: outputs.parse(self.document, secrets=False))

    def run(self, arguments: list[str], **_: Any) -> Any:
        """`pulumi stack tag`, which keeps names and values as long as Pulumi Cloud does."""
        match arguments:
            case ["stack", "tag", "ls", "--json", "--stack", "dev"]:
                return subprocess.CompletedProcess(arguments, 0, json.dumps(self.tags), "")
            case ["stack", "tag", "set", name, value, "--stack", "dev"]:
                if self.read_only:
                    raise EngineError("pulumi stack ended with exit code 255: access denied")
                if self.kill and name.startswith(f"entrant:told:{self.kill}:"):
                    raise Killed
                assert len(name) <= 40 and len(value) <= 256
                self.tags[name] = value
            case ["stack", "tag", "rm", name, "--stack", "dev"]:
                del self.tags[name]
            case _:
                raise AssertionError(arguments)
        return None

    def records(self) -> list[str]:
        """The targets of which something is noted."""
        return sorted(name.split(":")[2] for name in self.tags if name.startswith("entrant:told:"))


class Watched:
    """An app with an owner, a secret of the stack, one that is kept until day 33, and one of unknown origin until day 45."""

    def __init__(self, azure: local_azure.LocalAzure, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.estate = Estate(azure, name)
        self.mail = f"ada-of-{name}@example.com"
        ada = user(azure, self.estate.client, self.mail)
        self.estate.client.graph("PATCH", f"/users/{ada}", {"mail": self.mail})
        reference = {"@odata.id": f"{azure.url}/v1.0/directoryObjects/{ada}"}
        self.estate.client.graph("POST", f"/applications/{self.estate.app.object_id}/owners/$ref", reference)
        self.kept = made(self.estate, "legacy", NOW + 33 * DAY)
        self.manual = made(self.estate, "manual", NOW + 45 * DAY)
        entry = {"kind": "secret", "key_id": self.kept, "name": "legacy", "ends": text(NOW + 33 * DAY), "owner": "ada"}
        self.stack = Stack(monkeypatch, document((self.estate.app, [declared(self.estate)], [entry])))
        self.app: App = self.estate.app

    def remove(self, key_id: str) -> None:
        """Somebody renews a credential, and takes the old one away."""
        path = f"/applications/{self.app.object_id}/removePassword"
        self.estate.client.graph("POST", path, {"keyId": key_id})
        self.stack.document["identities"][self.app.name]["kept_credentials"] = [
            one
            for one in self.stack.document["identities"][self.app.name]["kept_credentials"]
            if one["key_id"] != key_id
        ]


def run(day: float, *arguments: str) -> tuple[int, str]:
    """The daily run of a day."""
    moment = text(NOW + day * DAY + dt.timedelta(minutes=1))
    command = ["expiry", "-s", "dev", "--notify", "--now", moment, *arguments]
    done = CliRunner().invoke(cli, command, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.output


def message(app: str) -> messages.Message:
    """What is told of an app with one secret."""
    secret = Ending("dev", app, "secret", "one", "k", NOW + DAY, False, None, "rotate it")
    return messages.Message("dev", app, (secret,), (), (), NOW, "0" * 24)


STAGES = [(3, "legacy"), (15, "manual"), (19, "legacy"), (26, "legacy"), (31, "manual"), (32, "legacy"), (33, "legacy")]
STAGES += [(38, "manual"), (44, "manual"), (45, "manual")]
"""The days on which a credential reaches a stage."""


def test_two_months_of_daily_runs_tell_each_stage_once(
    azure: local_azure.LocalAzure, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(azure, "two-months", monkeypatch)
    days: dict[str, list[int]] = {"webhook": [], "github": [], "email": []}
    today = 0
    receivers.arrived = lambda target: days[target].append(today)
    for today in range(60):
        code, output = run(today)
        assert code == (5 if today >= 3 else 0), output
    assert days == {target: [day for day, _ in STAGES] for target in days}
    # The 14 days of what is kept: the other one is named, too.
    third = receivers.posts[2]["text"].split("\n")
    assert third[0].startswith("two-months (stack dev): secret ends in 13 days, and 1 more")
    assert third[1].startswith('secret "legacy" of two-months ends in 13 days (')
    assert third[2].startswith('secret "manual" of two-months is not in the file; it ends in 25 days (')
    assert third[3] == f"Owners: {watched.mail.replace('@', '@' + chr(0x200B))}."
    [issue] = receivers.issues
    assert len(issue["comments"]) == len(STAGES) - 1
    assert receivers.recipients == [[watched.mail]] * len(STAGES)
    assert receivers.mails[0]["Subject"] == "two-months (stack dev): secret ends in 29 days"
    assert len({mail["Message-ID"] for mail in receivers.mails}) == len(STAGES)
    watched.remove(watched.kept)
    run(60)
    assert issue["state"] == "open"
    watched.remove(watched.manual)
    code, output = run(61)
    assert (code, issue["state"], issue["state_reason"]) == (0, "closed", "completed")
    assert "two-months: github: closed contoso/obs#1: nothing of it ends soon any more" in output
    assert watched.stack.records() == []
    made(watched.estate, "next", NOW + 80 * DAY)
    run(62)
    assert [issue["state"] for issue in receivers.issues] == ["closed", "open"]


def test_days_without_a_run_failures_and_kills_cost_at_most_one_repeat_each(
    azure: local_azure.LocalAzure, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(1)
    watched = Watched(azure, "two-bad-months", monkeypatch)
    arrived: dict[str, int] = dict.fromkeys(("webhook", "github", "email"), 0)
    kills = dict.fromkeys(arrived, 0)

    def count(target: str) -> None:
        arrived[target] += 1

    receivers.arrived = count
    for day in range(60):
        if chance.random() < 0.2:
            continue
        failing = chance.sample(sorted(arrived), chance.choice([0, 0, 1, 2]))
        receivers.refusals = {target: [451] * 3 if target == "email" else [500] * 4 for target in failing}
        watched.stack.kill = chance.choice(["", "", *arrived])
        before = dict(arrived)
        try:
            code, output = run(day)
            failed = [target for target in failing if f"{target}: not told" in output]
            assert code == (4 if failed else 5 if day >= 3 else 0), output
        except Killed:
            killed = watched.stack.kill
            assert arrived[killed] == before[killed] + 1
            kills[killed] += 1
    watched.stack.kill, receivers.refusals = "", {}
    run(60)
    run(61)
    assert sum(kills.values()) > 0
    # A stage that was reached with the next one, in days without a run or a target, is told as one.
    ids = [mail["Message-ID"] for mail in receivers.mails]
    assert len(ids) - len(set(ids)) <= kills["email"]
    for target, number in arrived.items():
        assert 5 <= number <= len(STAGES) + kills[target], target
    again = dict(arrived)
    assert run(61)[0] == 5
    assert arrived == again
    last = [receivers.posts[-1]["text"], receivers.mails[-1].get_content(), [*receivers.issues[0]["comments"]][-1]]
    assert all('"manual" of' in one.replace("\\", "") and "ended" in one for one in last)
    assert [issue["state"] for issue in receivers.issues] == ["open"], "no kill leaves an issue more"


FAKE = """\
#!{python}
import json, sys
arguments = [one for one in sys.argv[1:] if not one.startswith("--") and one != "dev"]
file = {file!r}
state = json.load(open(file))
match arguments:
    case ["version"]: print("v3.259.0")
    case ["stack", "output", *_]: print(json.dumps(state["outputs"]))
    case ["stack", "tag", "ls"]: print(json.dumps(state["tags"]))
    case ["stack", "tag", "set", name, value]: state["tags"][name] = value
    case ["stack", "tag", "rm", name]: del state["tags"][name]
    case _: sys.exit(f"what is {{arguments}}")
json.dump(state, open(file, "w"))
"""


@pytest.mark.parametrize("target", ["webhook", "github", "email"])
def test_a_process_that_is_killed_when_a_message_arrives_repeats_it_once_at_most(
    azure: local_azure.LocalAzure, receivers: Receivers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """kill -9 after the message arrived and before anybody noted it."""
    watched = Watched(azure, f"killed-by-{target}", monkeypatch)
    file, pulumi = tmp_path / "state.json", tmp_path / "pulumi"
    file.write_text(json.dumps({"outputs": watched.stack.document, "tags": {}}))
    pulumi.write_text(FAKE.format(python=sys.executable, file=str(file)))
    pulumi.chmod(0o755)
    (tmp_path / "Pulumi.yaml").write_text("name: x\nruntime: python\n")
    running: list[subprocess.Popen[str]] = []
    arrived: list[str] = []

    def arrive(where: str) -> None:
        arrived.append(where)
        if where == target and arrived.count(target) == 1:
            running[-1].kill()
            running[-1].wait()

    receivers.arrived = arrive
    names = ("ENTRANT_NOTIFY_WEBHOOK", "ENTRANT_NOTIFY_GITHUB", "ENTRANT_NOTIFY_SMTP")
    mine = {"webhook": names[0], "github": names[1], "email": names[2]}[target]
    settings = {name: value for name, value in os.environ.items() if name not in names or name == mine}
    settings |= {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    codes = []
    for _ in range(3):
        command = [sys.executable, "-m", "entrant", "expiry", "-s", "dev", "--notify", "--now", text(NOW + 20 * DAY)]
        running.append(
            subprocess.Popen(
                command, cwd=tmp_path, env=settings, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        )
        output, _ = running[-1].communicate(timeout=300)
        codes.append(running[-1].returncode)
    assert codes == [-9, 5, 5], output
    # An issue is found again by what it says; a webhook and a relay cannot be asked.
    assert arrived == [target] * (1 if target == "github" else 2)
    assert len(receivers.issues) == (target == "github")
    assert len({mail["Message-ID"] for mail in receivers.mails}) == (target == "email")
    tags = json.loads(file.read_text())["tags"]
    assert sorted(tag.rpartition(":")[0] for tag in tags) == ["entrant", *[f"entrant:told:{target}"] * 2]


def test_a_target_that_fails_hinders_no_other_and_is_told_by_the_next_run(
    azure: local_azure.LocalAzure, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(azure, "failing", monkeypatch)
    receivers.refusals = {"webhook": [500], "email": [550]}
    code, output = run(20)
    assert code == 4
    assert "✗ dev: failing: webhook: not told (14 days): POST to the webhook: 500" in output and "SECRET" not in output
    assert "✗ dev: failing: email: not told (14 days): mail by 127.0.0.1:" in output and ": 550 no; check" in output
    assert "✓ dev: failing: github: told in contoso/obs#1 (14 days)" in output
    assert watched.stack.records() == ["github", "github"]
    receivers.refusals = {"webhook": [503], "email": [451]}  # tried again at once
    code, output = run(20)
    assert (code, len(receivers.posts), len(receivers.mails), len(receivers.issues)) == (5, 1, 1, 1), output


def test_where_nothing_can_be_noted_nothing_is_told(
    azure: local_azure.LocalAzure, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An identity that may only read the state would tell the same every day."""
    watched = Watched(azure, "read-only", monkeypatch)
    watched.stack.read_only = True
    with pytest.raises(EngineError, match="access denied"):
        run(20)
    assert (receivers.posts, receivers.issues, receivers.mails) == ([], [], [])
    assert run(0)[0] == 0, "with nothing to tell nothing is written"


def test_what_cannot_be_looked_at_is_not_taken_for_renewed(
    azure: local_azure.LocalAzure, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(azure, "hidden", monkeypatch)
    run(20)
    identity = watched.estate.identity
    with monkeypatch.context() as patch:
        patch.setenv("ARM_CLIENT_ID", identity.client_id)
        patch.setenv("ARM_CLIENT_SECRET", identity.secret)
        code, output = run(21)
    assert code == 5 and "not seen: the registration of hidden" in output
    assert len(watched.stack.records()) == 6
    run(22)
    assert (len(receivers.posts), receivers.issues[0]["state"]) == (1, "open")


def test_an_issue_that_somebody_closed_is_opened_again_at_the_next_stage(
    azure: local_azure.LocalAzure, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    Watched(azure, "closed", monkeypatch)
    run(4)
    receivers.issues[0]["state"] = "closed"
    run(5)
    assert receivers.issues[0]["state"] == "closed"
    run(15)
    assert (receivers.issues[0]["state"], len(receivers.issues[0]["comments"]), len(receivers.issues)) == ("open", 1, 1)


def test_an_issue_of_somebody_elses_is_not_taken_for_ours(
    azure: local_azure.LocalAzure, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can write the marker."""
    Watched(azure, "faked", monkeypatch)
    receivers.add("faked", "<!-- entrant-expiry stack=dev app=faked told=0 -->", OTHER)
    for _ in range(120):
        receivers.add("another", "words")
    run(20)
    assert receivers.issues[0]["comments"] == []
    assert receivers.issues[-1]["body"].startswith("<!-- entrant-expiry stack=dev app=faked told=")


@pytest.mark.parametrize(
    ("name", "value", "output"),
    [
        (
            "ENTRANT_NOTIFY_WEBHOOK",
            "https://hooks.example.com/T0SECRET",
            "hooks.example.com is a real place, and the message",
        ),
        ("ENTRANT_NOTIFY_WEBHOOK", "http://hooks.example.com/T0SECRET", "would get the message unencrypted"),
        (
            "GITHUB_API_URL",
            "https://api.github.com",
            "api.github.com is a real place, and the message is one of the local Azure",
        ),
        ("GITHUB_API_URL", "https://[api", "is no URL, and the message would go there"),
        (
            "ENTRANT_NOTIFY_SMTP",
            "smtp.example.com",
            "smtp.example.com is a real place, and the message is one of the local Azure",
        ),
    ],
)
def test_nothing_of_the_local_azure_goes_to_a_real_place_and_nothing_at_all_in_the_clear(
    azure: local_azure.LocalAzure,
    receivers: Receivers,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    output: str,
) -> None:
    Watched(azure, f"guarded-{name.lower().replace('_', '-')}-{len(value)}", monkeypatch)
    monkeypatch.setenv(name, value)
    code, shown = run(20)
    assert code == 2 and output in shown and "T0SECRET" not in shown
    assert len(receivers.posts) + len(receivers.issues) + len(receivers.mails) == 2, "the others are told"


def test_a_redirect_of_the_webhook_is_refused_and_its_url_is_nowhere(
    azure: local_azure.LocalAzure, receivers: Receivers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Watched(azure, "redirected", monkeypatch)
    monkeypatch.delenv("ENTRANT_NOTIFY_GITHUB")
    monkeypatch.delenv("ENTRANT_NOTIFY_SMTP")
    file = tmp_path / "url"
    file.write_text(f"{os.environ['ENTRANT_NOTIFY_WEBHOOK']}\n")
    monkeypatch.delenv("ENTRANT_NOTIFY_WEBHOOK")
    monkeypatch.setenv("ENTRANT_NOTIFY_WEBHOOK_FILE", str(file))
    receivers.refusals = {"webhook": [302]}
    code, output = run(20)
    assert code == 4 and "POST to the webhook: 302" in output and "T0SECRET" not in output
    file.write_text("http://localhost:9/hooks/T0SECRET/B0SECRET")
    code, output = run(20)
    assert code == 1 and "webhook: not told (14 days)" in output and "T0SECRET" not in output
    assert "SECRET" not in debug.masked('http://localhost:9 "POST /hooks/T0SECRET/B0SECRET HTTP/1.1" 200', {})
    assert receivers.posts == []


@pytest.mark.parametrize(
    "url", ["https://[hooks/T0SECRET", "https://hooks:99999/T0SECRET", "hooks.example.com/T0SECRET"]
)
def test_a_webhook_that_is_no_url_ends_in_a_sentence_without_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="the webhook is no URL"):
        targets.find({"ENTRANT_NOTIFY_WEBHOOK": url})
    assert "T0SECRET" not in debug.masked(f"POST {url}", {})


def test_a_webhook_is_masked_as_it_is_sent_too(receivers: Receivers, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "urllib3.connectionpool")
    url = f"{receivers.url}/hooks/T0%2dSECRET/with space"
    [webhook] = targets.find({"ENTRANT_NOTIFY_WEBHOOK": url})
    webhook.tell(message("x"), "")
    assert len(receivers.posts) == 1
    assert "SECRET" in caplog.text and "SECRET" not in debug.masked(caplog.text, {})


@pytest.mark.parametrize("relay", ["[relay", "relay:99999", "relay/path", "me@relay"])
def test_a_relay_that_is_none_ends_in_a_sentence(relay: str) -> None:
    with pytest.raises(ConfigurationError, match="ENTRANT_NOTIFY_SMTP is no relay"):
        targets.find({"ENTRANT_NOTIFY_SMTP": relay, "ENTRANT_NOTIFY_FROM": "entrant@contoso.com"})


@pytest.mark.parametrize(
    "address",
    [
        *(
            '"a@b.example',
            'a"@b.example',
            "a(b@c.example",
            "a:b@c.example",
            ".@b.example",
            "a@b\r\nRCPT TO:<x@y>",
            "a\ud800@b",
        ),
        *("a@b, c@d", "[a]@b.example", "a@b@c.example", f"a@{'b' * 300}.example", "a\x00@b.example"),
    ],
)
def test_mail_goes_to_the_others_where_one_address_is_none(receivers: Receivers, address: str) -> None:
    """Who sends gets to know which; nobody gets it who was not named."""
    mail = targets.find(os.environ)[2]
    _, wrong = mail.tell(replace(message("x"), mail=("ada@example.com", address)), "")
    assert wrong and wrong.endswith(" is no address") and "\n" not in wrong
    assert receivers.recipients == [["ada@example.com"]]
    assert receivers.mails[0]["To"] == "ada@example.com"


def test_mail_goes_to_the_others_where_the_relay_takes_one_address_not_as_it_is_written(receivers: Receivers) -> None:
    mail = targets.find(os.environ)[2]
    _, wrong = mail.tell(replace(message("x"), mail=("zoë@example.com", "ada@example.com")), "")
    assert wrong == "the relay refused zoë@example.com"
    assert receivers.recipients == [["ada@example.com"]]
    with pytest.raises(RefusedError, match="553 it takes addresses in ASCII alone"):
        mail.tell(replace(message("x"), mail=("zoë@example.com",)), "")
    assert len(receivers.mails) == 1


def test_a_relay_elsewhere_that_offers_no_encryption_gets_nothing(
    receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "on_this_machine", lambda _: False)
    monkeypatch.setenv("ENTRANT_NOTIFY_SMTP_USER", "me")
    with pytest.raises(EntrantError, match="STARTTLS"):
        targets.find(os.environ)[2].tell(replace(message("x"), mail=("ada@example.com",)), "")
    assert receivers.mails == []


@pytest.mark.parametrize("number", ["1", "2/../1", "../../other/repo/issues/1", "1?state=open", "01", "x", "²", ""])
def test_a_tag_does_not_choose_the_issue_that_is_closed(receivers: Receivers, number: str) -> None:
    """Who may write the stack's tags need not be allowed to close issues."""
    receivers.add("of somebody else", "words")
    issues = targets.find(os.environ)[1]
    assert issues.over("x", f"contoso/obs#{number}") is None
    thread, _ = issues.tell(message("x"), f"contoso/obs#{number}")
    assert thread == "contoso/obs#2"
    assert (receivers.issues[0]["state"], receivers.issues[0]["comments"]) == ("open", [])
    assert issues.over("y", thread) is None, "it is about another app"
    assert issues.over("x", thread) == "closed contoso/obs#2"


@pytest.mark.parametrize("value", ["² x 2026-01-01", "", "9" * 5000, "-1 x", "14"])
def test_a_tag_that_is_none_of_ours_is_no_record(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    stack = Stack(monkeypatch, {})
    stack.tags = {"entrant:told:email:0123456789ab": value}
    assert [sent.app for sent in Record("dev").sent("email").values()] == ([""] if value == "14" else [])


def test_a_relay_that_offers_it_is_spoken_to_encrypted_and_has_to_be_trusted(
    azure: local_azure.LocalAzure, receivers: Receivers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    watched = Watched(azure, "encrypted", monkeypatch)
    for name in ("ENTRANT_NOTIFY_WEBHOOK", "ENTRANT_NOTIFY_GITHUB"):
        monkeypatch.delenv(name)
    authority, receivers.tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(receivers.tls)
    code, output = run(20)
    assert code == 1 and "its certificate is not trusted" in output and receivers.mails == []
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(Path(os.environ["REQUESTS_CA_BUNDLE"]).read_bytes() + authority.cert_pem.bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    monkeypatch.setenv("ENTRANT_NOTIFY_TO", "team@contoso.com, gone@contoso.com")
    receivers.refused = {"gone@contoso.com"}
    code, output = run(20)
    assert code == 1 and "email: told (14 days), but the relay refused gone@contoso.com" in output
    assert receivers.secure == [True] and receivers.recipients == [[watched.mail, "team@contoso.com"]]
    assert run(20)[0] == 5 and len(receivers.mails) == 1


def test_mail_goes_to_who_is_named_for_the_service_principal_and_nobody_is_said(
    azure: local_azure.LocalAzure, receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(azure, "named", monkeypatch)
    client, app = watched.estate.client, watched.app
    [owner] = client.graph("GET", f"/applications/{app.object_id}/owners")["value"]
    client.graph("DELETE", f"/applications/{app.object_id}/owners/{owner['id']}/$ref")
    code, output = run(20)
    assert code == 2 and "email: not told (14 days): nobody of named has a mail address that could be read" in output
    path = f"/servicePrincipals/{app.service_principal_id}"
    client.graph("PATCH", path, {"notificationEmailAddresses": ["saml@contoso.com"]})
    assert run(20)[0] == 5
    assert receivers.recipients == [["saml@contoso.com"]]


def test_nobody_to_tell_and_outputs_of_a_file_are_refused(
    azure: local_azure.LocalAzure, receivers: Receivers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Watched(azure, "nobody", monkeypatch)
    for name in ("ENTRANT_NOTIFY_WEBHOOK", "ENTRANT_NOTIFY_GITHUB", "ENTRANT_NOTIFY_SMTP"):
        monkeypatch.delenv(name)
    with pytest.raises(Exception, match="there is nobody to tell"):
        run(20)
    with pytest.raises(Exception, match="--notify keeps what it told in the tags of the stack"):
        run(20, "--outputs", str(tmp_path / "outputs.json"))


@pytest.mark.parametrize("value", [EVIL, *LIVE])
def test_a_name_in_a_message_commands_nothing(value: str) -> None:
    """Who may add a secret chooses its name: no mention, link, command or header comes of it."""
    ends = NOW + DAY
    ending = Ending("dev", "a", "secret", value, "k", ends, False, None, value, "unknown", "is not in the file")
    message = messages.Message("dev", "a", (ending,), (value,), (), NOW, "1")
    assert "\n" not in message.subject and not live(message.subject)
    assert not live(message.text())
    assert not live_markdown(message.markdown()) and not live(message.markdown())
    chat = message.chat()
    assert not live(chat) and "<" not in chat and "://" not in chat and len(chat.split("\n")) == 3
    assert not [at for at in range(len(chat)) if chat[at] == "@" and chat[at + 1 : at + 2] != "\u200b"]


def test_workflows_of_teams_get_a_card() -> None:
    ending = Ending("dev", "a", "secret", "s", "k", NOW + DAY, False, None, "renew it")
    message = messages.Message("dev", "a", (ending,), (), (), NOW, "1")
    hook = targets.Webhook("https://prod-01.westeurope.logic.azure.com/workflows/1?sig=abcdefgh", {})
    [card] = hook.body(message)["attachments"]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert [block["text"] for block in card["content"]["body"]] == message.chat().split("\n")
