"""What a killed run made is found and noted, and nothing that is not this stack's is touched."""

import base64
import datetime as dt
import json
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

import local_azure
from entrant.errors import EngineError
from entrant.facts import pulumi_types as types
from entrant.facts.contract import issued_in
from entrant.facts.marks import of_stack
from entrant.recovery import checkpoints, draft, unfinished
from entrant.rehearsal import Rehearsal
from tests.conftest import Project
from tests.local_azure.conftest import Client

SMALL = """\
apps:
  reader:
    display_name: Reader (NAME)
    secret: {every: 90d, overlap: 7d}
    roles:
      - {role: Reader, scope: /subscriptions/0c8a3f5e-1111-4222-8333-444455556666/resourceGroups/rg-recovery}
  caller:
    display_name: Caller (NAME)
    federated: [{github: {repository: contoso/obs, environment: dev}}]
"""


class Estate:
    """A rehearsed stack, its state and its local Azure."""

    def __init__(self, project: Project, rehearsed: str) -> None:
        self.project = project
        self.name = rehearsed
        done = project.entrant("rehearse", rehearsed, "--propagation", "0")
        assert done.returncode == 0, done.stderr
        self.rehearsal = Rehearsal.of(str(project.root / rehearsed) if "/" in rehearsed else rehearsed, project.root)
        self.stack = self.rehearsal.stack
        self.azure = local_azure.start(self.rehearsal.azure)
        self.client = Client(self.azure)

    def entrant(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run `entrant` on the stack, as in the shell of its rehearsal."""
        command, *rest = arguments
        return self.project.entrant(command, "-s", self.stack, *rest, **self.rehearsal.settings(self.azure) | more)

    def pulumi(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run `pulumi`, which has to succeed."""
        done = self.project.pulumi(self.stack, *arguments, "-s", self.stack, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def state(self) -> dict[str, Any]:
        """The stack's export."""
        return json.loads(self.pulumi("stack", "export").stdout)  # type: ignore[no-any-return]

    def restore(self, state: dict[str, Any]) -> None:
        """Put a state in the place of the stack's."""
        file = self.project.root / "state.json"
        file.write_text(json.dumps(state))
        self.pulumi("stack", "import", "--file", str(file))

    def ids(self) -> dict[str, str]:
        """URN → id of what the state holds of Azure, but for what nobody can have again: secrets, certificates that are issued
        here, and what delivers them to Key Vault."""
        entries = self.state()["deployment"]["resources"]
        return {
            entry["urn"]: entry["id"]
            for entry in entries
            if draft.Note(entry).found
            and not entry["type"].endswith((":ApplicationPassword", "keyvault:Secret"))
            and not (entry["type"] == types.CERTIFICATE and issued_in(entry["urn"].rpartition("::")[2]))
        }

    def secrets(self) -> dict[str, int]:
        """Display names of the stack's registrations → how many secrets they have."""
        mine = f"tags/any(t:t eq '{of_stack('entrant', self.stack)}')"
        found = self.client.graph("GET", f"/applications?$filter={mine}")["value"]
        return {entry["displayName"]: len(entry["passwordCredentials"]) for entry in found}


def small(project: Project, stack: str) -> Estate:
    project.write(stack, SMALL.replace("NAME", stack))
    return Estate(project, stack)


def operations(preview: "subprocess.CompletedProcess[str]") -> dict[str, set[str]]:
    """What a preview in JSON would do: operation → types of resources."""
    found: dict[str, set[str]] = {}
    for step in json.loads(preview.stdout)["steps"]:
        found.setdefault(step["op"], set()).add(step["urn"].split("::")[2].rsplit(":", 1)[-1])
    return found


def test_of_every_type_what_a_run_without_checkpoints_made_is_noted(project: Project) -> None:
    """The state knows nothing; afterwards all but secrets is as it was, and an `up` makes these alone."""
    estate = Estate(project, "examples/everything.yaml")
    before, secrets = estate.ids(), estate.secrets()
    empty = estate.state()
    empty["deployment"]["resources"] = []
    estate.restore(empty)
    looked = estate.entrant("recover", "--dry-run", "--settle", "0")
    assert looked.returncode == 7, looked.stderr
    assert looked.stdout.count("+ note in the state: ") == len(before)
    assert estate.state()["deployment"].get("resources") in (None, [])
    done = estate.entrant("recover", "--yes", "--settle", "0")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == sorted(looked.stdout.splitlines())
    assert estate.ids() == before
    assert sum(estate.secrets().values()) == 0
    assert 'certificate "collector signing ' in done.stdout and "whose private key is lost" in done.stdout
    doing = operations(estate.pulumi("preview", "--json"))
    # A secret of a vault is taken over by the program itself, with a provider for the vault's subscription, and gets the new value.
    assert doing.pop("create") == {"ApplicationPassword", "ApplicationCertificate", "azure-native"}
    assert doing.pop("import") == {"Secret"} and doing.pop("same")
    # Known clients are put again after each update of their registration.
    assert doing == {"update": {"Application", "Secret"}, "replace": {"ApplicationKnownClients"}}
    estate.pulumi("up", "--yes", "--skip-preview")
    estate.pulumi("preview", "--expect-no-changes")
    assert estate.secrets() == secrets
    assert estate.entrant("drift", "--settle", "0").returncode == 0
    assert estate.entrant("recover", "--dry-run", "--settle", "0").returncode == 0


def test_what_was_made_and_could_not_be_read_afterwards_is_read_first(project: Project) -> None:
    """Creations that failed half-way: the state has the ids of the objects, and errors, and not what it needs of them."""
    estate = small(project, "half-made")
    before, state = estate.ids(), estate.state()
    kept = []
    for entry in state["deployment"]["resources"]:
        if entry["type"] == "azuread:index/application:Application":
            entry["initErrors"] = ["cannot be reached"]
            entry["outputs"] = dict(entry["inputs"])
        elif draft.Note(entry).found:
            continue
        kept.append(entry)
    state["deployment"]["resources"] = kept
    estate.restore(state)
    looked = estate.entrant("recover", "--dry-run", "--settle", "0")
    assert "Traceback" not in looked.stderr, looked.stderr
    done = estate.entrant("recover", "--yes", "--settle", "0")
    assert done.returncode == 0, done.stderr
    assert estate.ids() == before


def test_what_is_not_provably_this_stacks_is_left_alone_and_named(project: Project) -> None:
    """By hand, of another stack, of a stack of the same name in another backend; secrets of another name."""
    estate = small(project, "ours")
    graph = estate.client.graph
    full = estate.state()
    for name, tags in (
        ("By hand", []),
        ("Of another stack", ["entrant", of_stack("entrant", "ours-too")]),
        ("Of another project", ["entrant", of_stack("other", "ours")]),
    ):
        made = graph("POST", "/applications", {"displayName": name, "tags": tags})
        for secret in ("entrant 2026-01-01", "mine"):
            graph("POST", f"/applications/{made['id']}/addPassword", {"passwordCredential": {"displayName": secret}})
        graph("POST", "/servicePrincipals", {"appId": made["appId"], "tags": tags})
    [reader] = graph("GET", "/applications?$filter=displayName eq 'Reader (ours)'")["value"]
    for secret in ("entrant 2026-01-01", "mine"):
        graph("POST", f"/applications/{reader['id']}/addPassword", {"passwordCredential": {"displayName": secret}})
    [caller] = graph("GET", "/applications?$filter=displayName eq 'Caller (ours)'")["value"]
    graph("PATCH", f"/applications/{caller['id']}", {"tags": ["entrant"]})
    state = json.loads(json.dumps(full))
    kept = [entry for entry in state["deployment"]["resources"] if not entry["urn"].endswith("::caller")]
    kept = [entry for entry in kept if "caller" not in entry["urn"]]
    state["deployment"]["resources"] = kept
    estate.restore(state)
    others = {entry["id"]: entry for entry in graph("GET", "/applications")["value"] if entry["id"] != reader["id"]}
    principals = graph("GET", "/servicePrincipals")["value"]
    done = estate.entrant("recover", "--yes", "--settle", "0")
    assert done.returncode == 7, done.stderr
    assert [line.split(" (")[0] for line in done.stdout.splitlines()] == [
        '- remove from the directory: secret "entrant 2026-01-01" of "Reader',
        '! left alone: the registration "Caller',
    ]
    assert (
        "has the name, and not the tag entrant:entrant/ours; Application caller cannot be made beside it" in done.stdout
    )
    after = {entry["id"]: entry for entry in graph("GET", "/applications")["value"]}
    names = sorted(entry["displayName"] for entry in after.pop(reader["id"])["passwordCredentials"])
    assert (names[0][:8], names[1:]) == ("entrant ", ["mine"])
    assert after == others
    assert graph("GET", "/servicePrincipals")["value"] == principals


def test_another_state_of_the_same_name_takes_nothing_over(project: Project) -> None:
    """What was made before this stack's last good `up` was made by a stack of the same name somewhere else."""
    estate = small(project, "twice")
    state = estate.state()
    state["deployment"]["resources"] = []
    estate.restore(state)
    mark = of_stack("entrant", "twice")
    search = estate.client.graph("GET", f"/applications?$filter=tags/any(t:t eq '{mark}')")["value"]
    assert len(search) == 2
    later = time.strftime("%Y-%m-%dT%H:%M:%S.000000000Z", time.gmtime(time.time() + 3600))
    state["deployment"]["manifest"]["time"] = later
    estate.restore(state)
    history = estate.rehearsal.folder / "state" / ".pulumi" / "history"
    for file in history.rglob("*.history.json"):
        update = json.loads(file.read_text())
        update["endTime"] = int(time.time()) + 3600
        file.write_text(json.dumps(update))
    done = estate.entrant("recover", "--yes", "--settle", "0")
    assert done.returncode == 7, done.stdout + done.stderr
    assert done.stdout.count("before the last `up` that ended well, or the last `release`: it is not this state's") == 2
    assert estate.state()["deployment"].get("resources") in (None, [])
    assert sum(estate.secrets().values()) == 1


def test_what_went_and_what_was_being_deleted_is_taken_out_of_the_state(project: Project) -> None:
    estate = small(project, "gone")
    state = estate.state()
    entries = state["deployment"]["resources"]
    [reader] = [entry for entry in entries if entry["urn"].endswith("application:Application::reader")]
    [federated] = [entry for entry in entries if "FederatedIdentity" in entry["type"]]
    estate.client.graph("DELETE", f"/applications/{reader['id'].rsplit('/', 1)[-1]}")
    state["deployment"]["pending_operations"] = [
        {"resource": federated, "type": "deleting"},
        {"resource": reader | {"id": ""}, "type": "updating"},
    ]
    checkpoint(estate, state)
    looked = estate.entrant("recover", "--dry-run", "--settle", "0")
    assert looked.returncode == 7
    assert "· was under way: deleting ApplicationFederatedIdentityCredential caller/github-" in looked.stdout
    assert "- take out of the state: Application reader, which is gone" in looked.stdout
    assert estate.entrant("recover", "--yes", "--settle", "0").returncode == 0
    estate.pulumi("up", "--yes", "--skip-preview")
    estate.pulumi("preview", "--expect-no-changes", "--refresh")


def test_what_was_being_made_and_is_declared_no_longer_is_deleted_by_the_next_up(project: Project) -> None:
    estate = small(project, "changed")
    state = estate.state()
    entries = state["deployment"]["resources"]
    caller = [entry for entry in entries if "caller" in entry["urn"]]
    state["deployment"]["resources"] = [entry for entry in entries if entry not in caller]
    state["deployment"]["pending_operations"] = [
        {
            "resource": {name: value for name, value in entry.items() if name not in ("id", "outputs")},
            "type": "creating",
        }
        for entry in caller
        if entry["custom"]
    ]
    checkpoint(estate, state)
    project.write("changed", SMALL.replace("NAME", "changed").split("  caller:")[0])
    done = estate.entrant("recover", "--yes", "--settle", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("which nothing declares: the next `up` deletes it") == 3
    estate.pulumi("up", "--yes", "--skip-preview")
    names = {entry["displayName"] for entry in estate.client.graph("GET", "/applications")["value"]}
    assert "Reader (changed)" in names and "Caller (changed)" not in names
    estate.pulumi("preview", "--expect-no-changes", "--refresh")


def checkpoint(estate: Estate, state: dict[str, Any]) -> None:
    """Write a state with pending operations, which `pulumi stack import` would drop."""
    [file] = (estate.rehearsal.folder / "state" / ".pulumi" / "stacks").rglob(f"{estate.stack}.json")
    written = json.loads(file.read_text())
    written["checkpoint"]["latest"] = state["deployment"]
    file.write_text(json.dumps(written))


BROKEN: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_bytes(b""),
    "cut off": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "zeroes": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "null": lambda file: file.write_text("null"),
    "with empty attributes": lambda file: Path(f"{file}.attrs").touch(),
}
"""Ways in which a crash leaves the file of a state."""


@pytest.mark.parametrize("way", BROKEN)
def test_a_state_that_cannot_be_read_is_seen_and_its_newest_backup_found(tmp_path: Path, way: str) -> None:
    file = tmp_path / ".pulumi" / "stacks" / "entrant" / "dev.json"
    states = {
        file: "2026-11-26T10:00:00Z",
        file.with_name("dev.json.bak"): "2026-11-26T09:00:00Z",
        tmp_path / ".pulumi" / "backups" / "entrant" / "dev" / "dev.1.json": "2026-11-25T10:00:00Z",
        tmp_path / ".pulumi" / "history" / "entrant" / "dev" / "dev-1.checkpoint.json": "2026-11-26T09:30:00Z",
    }
    for place, moment in states.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        latest = {"manifest": {"time": moment}, "resources": [{}, {}]}
        place.write_text(json.dumps({"version": 3, "checkpoint": {"stack": "dev", "latest": latest}}))
    BROKEN[way](tmp_path / ".pulumi" / "backups" / "entrant" / "dev" / "dev.1.json")
    assert checkpoints.unreadable(file) is None
    BROKEN[way](file)
    if "attributes" in way:
        assert Path(f"{file}.attrs") in checkpoints.broken_attributes(tmp_path)
        return
    assert checkpoints.unreadable(file) == f"dev.json is {'empty' if way == 'empty' else 'no state of Pulumi'}"
    first, *rest = checkpoints.backups(file)
    assert (first.file.name, first.resources) == ("dev-1.checkpoint.json", 2)
    assert [backup.file.name for backup in rest] == ["dev.json.bak"]
    kept = checkpoints.restore(file, first)
    assert checkpoints.unreadable(file) is None and kept.exists()


def test_a_rehearsal_whose_state_cannot_be_read_says_so_and_starts_over(project: Project) -> None:
    estate = small(project, "broken")
    [file] = (estate.rehearsal.folder / "state" / ".pulumi" / "stacks").rglob("broken.json")
    Path(f"{file}.attrs").touch()  # of no use to Pulumi, which stops at it all the same
    again = project.entrant("rehearse", "broken", "--propagation", "0")
    assert (again.returncode, "no changes" in again.stdout + again.stderr) == (0, True), again.stderr
    file.write_bytes(b"")
    again = project.entrant("rehearse", "broken", "--propagation", "0")
    assert again.returncode == 0, again.stderr
    output = again.stdout + again.stderr
    assert (
        "The last run cannot be gone on with: its state cannot be read (broken.json is empty); starting over." in output
    )
    file.write_bytes(file.read_bytes()[:100])
    assert project.entrant("rehearse", "broken", "--down").returncode == 0
    assert not estate.rehearsal.folder.exists()


def test_the_backup_of_a_state_is_put_back_with_consent_and_the_rest_is_found(project: Project) -> None:
    estate = small(project, "restored")
    [file] = (estate.rehearsal.folder / "state" / ".pulumi" / "stacks").rglob("restored.json")
    before = estate.ids()
    file.write_bytes(b"")
    failed = estate.entrant("drift")
    assert "`python3 -m entrant recover -s STACK` offers the last state that can be read" in failed.stderr
    looked = estate.entrant("recover", "--dry-run", "--settle", "0")
    assert looked.returncode == 7 and file.read_bytes() == b"", looked.stderr
    assert "! the state of restored cannot be read: restored.json is empty" in looked.stdout
    assert "+ put the state of 2" in looked.stdout
    done = estate.entrant("recover", "--yes", "--settle", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert estate.ids() == before
    estate.pulumi("up", "--yes", "--skip-preview")
    estate.pulumi("preview", "--expect-no-changes")


def test_a_review_after_a_killed_run_plans_what_it_made_as_new_and_says_so(project: Project) -> None:
    """The plan of a pipeline is made before `hold` recovers, and must not end at names that the killed run took."""
    estate = small(project, "reviewed")
    state = estate.state()
    made = [entry for entry in state["deployment"]["resources"] if entry["urn"].endswith("Application::reader")]
    state["deployment"]["resources"] = []
    state["deployment"]["pending_operations"] = [
        {
            "resource": {name: value for name, value in made[0].items() if name not in ("id", "outputs")},
            "type": "creating",
        }
    ]
    state["deployment"]["pending_operations"][0]["resource"].pop("provider")
    checkpoint(estate, state)
    done = estate.entrant("review", "--format", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    review = json.loads(done.stdout)
    assert any(
        "1 operation of reviewed did not end: before the `up`, `entrant hold` notes" in note for note in review["notes"]
    )
    again = estate.entrant("review", "--expect", review["digest"])
    assert again.returncode == 0, again.stdout


def test_a_rehearsal_goes_on_where_a_killed_one_stopped(project: Project) -> None:
    estate = small(project, "stopped")
    before = estate.ids()
    state = estate.state()
    state["deployment"]["resources"] = []
    estate.restore(state)
    (estate.rehearsal.folder / "at-work").touch()
    done = project.entrant("rehearse", "stopped", "--propagation", "0")
    assert done.returncode == 0, done.stderr
    assert f"What the last run left: {len(before)} noted, 1 secret removed" in done.stdout + done.stderr
    assert estate.ids() == before and not (estate.rehearsal.folder / "at-work").exists()


def test_attributes_that_a_killed_run_left_unfinished_are_removed_and_no_others(tmp_path: Path) -> None:
    """Pulumi stops at them; `hold` takes them away before it reads the state."""
    stacks = tmp_path / ".pulumi" / "stacks" / "entrant"
    stacks.mkdir(parents=True)
    (stacks / "dev.json").write_text("{}")
    (stacks / "dev.json.attrs").write_text("")
    (stacks / "prod.json.attrs").write_text("{}")
    assert checkpoints.drop_broken_attributes(tmp_path, settle=0) == [stacks / "dev.json.attrs"]
    assert sorted(file.name for file in stacks.iterdir()) == ["dev.json", "prod.json.attrs"]
    assert checkpoints.drop_broken_attributes(tmp_path, settle=0) == []


def test_what_is_to_be_taken_over_is_not_looked_for() -> None:
    """The next `up` imports it; noted as made, it could be changed by the same `up`."""
    urn = "urn:pulumi:dev::entrant::azuread:index/application:Application::a"
    state = {"urn": urn, "type": "azuread:index/application:Application", "custom": True, "importID": "/applications/x"}
    looked = draft.Draft(None, [], [{"urn": urn, "newState": state}])  # type: ignore[arg-type]  # it would fail
    looked.declared()
    assert (looked.notes, looked.left) == ([], [])


def test_a_secret_that_the_file_keeps_is_not_a_lost_one() -> None:
    """A registration that another stack has released brings a secret with a name of ours, which its consumers use."""

    class Directory:
        def registration(self, object_id: str) -> dict[str, Any]:
            secrets = [{"keyId": key_id, "displayName": "entrant 2026-09-28"} for key_id in ("KEPT", "lost")]
            return {"displayName": "Billing", "passwordCredentials": secrets}

        def made_since(self, moment: str | None) -> bool:
            return True

    held = [{"urn": "urn:pulumi:dev::entrant::t::billing", "type": types.APPLICATION, "id": "/applications/x"}]
    looked = draft.Draft(Directory(), held, [], kept_credentials=["kept"])  # type: ignore[arg-type]
    assert [lost.key_id for lost in looked.lost()] == ["lost"]
    assert looked.left == []


class Certificates:
    """A directory whose one registration has certificates, of which it shows no more than key ids unless it is asked."""

    def __init__(self, since: dt.datetime | None = None, **certificates: str) -> None:
        self.certificates, self.since = certificates, since
        self.asked = 0

    def registration(self, object_id: str) -> dict[str, Any]:
        return {"displayName": "Billing", "keyCredentials": [{"keyId": key_id} for key_id in self.certificates]}

    def keys(self, object_id: str) -> list[dict[str, Any]]:
        self.asked += 1
        return [{"keyId": key_id, "key": key} for key_id, key in self.certificates.items()]

    def made_since(self, moment: str | None) -> bool:
        return self.since is None or dt.datetime.fromisoformat(str(moment)) >= self.since

    def look(self, *held: str, kept: Iterable[str] = ()) -> draft.Draft:
        """A recovery of a stack whose state has these certificates."""
        registration = {"urn": "urn:pulumi:dev::entrant::t::a", "type": types.APPLICATION, "id": "/applications/X"}
        entries = [
            {"urn": f"urn:pulumi:dev::entrant::t::{key_id}", "type": types.CERTIFICATE, "id": f"X/certificate/{key_id}"}
            for key_id in held
        ]
        return draft.Draft(self, [registration, *entries], [], kept_credentials=kept)  # type: ignore[arg-type]


def certificate(made: dt.datetime = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC), **names: str) -> str:
    """A certificate in base64: as it is issued here, or with other names."""
    subject, issuer = (
        x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, names.get(whose, "entrant")),
                x509.NameAttribute(NameOID.COMMON_NAME, "a signing 2026-11-24"),
            ]
        )
        for whose in ("subject", "issuer")
    )
    key = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(made - dt.timedelta(hours=1)).not_valid_after(made + dt.timedelta(days=9))
    return base64.b64encode(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)).decode()


def test_a_certificate_that_was_issued_here_and_is_in_no_state_is_lost_and_no_other() -> None:
    directory = Certificates(
        ours=certificate(),
        known=certificate(),
        KEPT=certificate(),
        theirs=certificate(subject="Contoso", issuer="Contoso"),
        signed=certificate(issuer="Contoso"),
        damaged="x",
        unreadable=base64.b64encode(b"x").decode(),
    )
    looked = directory.look("known", kept=["kept"])
    [lost] = looked.lost()
    assert (lost.key_id, lost.kind, lost.what) == ("ours", "certificate", "private key")
    assert str(lost) == 'certificate "a signing 2026-11-24" of "Billing" (ours)'
    assert looked.left == []


def test_a_certificate_of_before_the_run_is_left_alone_by_the_hour_it_was_made() -> None:
    """It is valid from an hour before, so that is no time of a run."""
    made = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
    directory = Certificates(since=made - dt.timedelta(minutes=5), ours=certificate(made))
    assert [lost.key_id for lost in directory.look().lost()] == ["ours"]
    later = Certificates(since=made + dt.timedelta(minutes=5), ours=certificate(made)).look()
    assert list(later.lost()) == []
    assert later.left == [
        'certificate "a signing 2026-11-24" of "Billing" (ours), from before the last `up` that ended well'
    ]


def test_certificates_are_asked_for_where_one_is_not_in_the_state_alone() -> None:
    directory = Certificates(known=certificate())
    assert list(directory.look("known").lost()) == []
    assert directory.asked == 0


def test_a_state_that_somebody_changed_meanwhile_is_not_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrant.engine.export", lambda *_, **__: {"deployment": {"resources": ["theirs"]}})
    monkeypatch.setattr("entrant.engine.run", lambda *_, **__: pytest.fail("it was written"))
    with pytest.raises(EngineError, match="the state of dev was changed meanwhile"):
        unfinished.put("dev", {"deployment": {}}, {"deployment": {"resources": ["ours"]}})


def test_what_was_restored_from_a_backup_knows_of_no_later_update(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last `up` that ended well bounds what a killed run made, and an older state that was put back bounds it earlier."""
    updates = [
        {"kind": "update", "result": "failed", "endTime": "2026-11-26T13:00:00Z"},
        {"kind": "refresh", "result": "succeeded", "endTime": "2026-11-26T12:30:00Z"},
        {"kind": "update", "result": "succeeded", "endTime": "2026-11-26T12:00:00Z"},
    ]
    done = subprocess.CompletedProcess([], 0, json.dumps(updates), "")
    monkeypatch.setattr("entrant.engine.run", lambda *_, **__: done)
    for written, hour in (("2026-11-26T11:00:00Z", 11), ("2026-11-26T13:00:00Z", 12)):
        found = unfinished._last_good("dev", {"manifest": {"time": written}}, None, {})
        assert found == dt.datetime(2026, 11, 26, hour, tzinfo=dt.UTC)


def test_a_tag_that_says_no_time_of_a_release_stops_a_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may write the state may write tags; what the stack released is not to be taken for its own."""
    for value in ("soon", "2026-11-26T12:00:00", "9" * 5000):
        monkeypatch.setattr("entrant.pipeline.locks.tags", lambda *_, value=value, **__: {unfinished.RELEASED: value})
        with pytest.raises(EngineError, match="the tag entrant:released of dev is no time"):
            unfinished._released("dev", None, {})
    monkeypatch.setattr(
        "entrant.pipeline.locks.tags", lambda *_, **__: {unfinished.RELEASED: "2026-11-26T12:00:00+00:00"}
    )
    assert unfinished._released("dev", None, {}) == dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)


def test_what_nothing_declares_is_left_alone_where_it_is_unknown_since_when_runs_failed() -> None:
    """A stack that was made anew under its name, without a history, may have released it; noted, the next `up` would delete it."""

    class Directory:
        since = None
        mark = of_stack("entrant", "dev")

        def strays(self) -> list[dict[str, Any]]:
            return [{"id": "x", "appId": "y", "displayName": "Billing", "createdDateTime": "2026-01-01T00:00:00Z"}]

        def made_since(self, moment: str | None) -> bool:
            return True

    looked = draft.Draft(Directory(), [], [])  # type: ignore[arg-type]
    looked.strays()
    assert (looked.notes, looked.left) == (
        [],
        [
            'the registration "Billing" (x), which nothing declares; if this stack released it, take the tag entrant:entrant/dev '
            "off it"
        ],
    )
