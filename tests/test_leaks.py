"""No file that a run leaves behind has a secret in it, but for the encrypted state and the local Azure's own files."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import io
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

import local_azure
from benchmarks import kills
from local_azure import LocalAzure
from tests import leaks
from tests.conftest import ROOT, Project
from tests.entrant import places as recording
from tests.entrant.test_deliver import TAKES
from tests.local_azure.conftest import Client
from tests.test_delivery import VAULT

STACK = "leaks"
SECRET = b'x8Q~of.a-Test_and"more/+than<Azure>has&uses'


def packed(name: str, data: bytes) -> bytes:
    """A zip archive with one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(name, data)
    return archive.getvalue()


def database(path: Path, cell: str | bytes) -> None:
    """An SQLite database with a table of one cell."""
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE kept (cell)")
        made.execute("INSERT INTO kept VALUES (?)", (cell,))
        made.commit()


PLANTED: dict[str, Callable[[Path], Any]] = {
    "plain": lambda path: path.write_bytes(b"secret: " + SECRET + b"\n"),
    "base64 of a password in front": lambda path: path.write_bytes(base64.b64encode(b"id:" + SECRET + b"\n")),
    "base64 in lines": lambda path: path.write_bytes(base64.encodebytes(b"\0" * 40 + SECRET)),
    "base64url": lambda path: path.write_bytes(base64.urlsafe_b64encode(b"i" + SECRET)),
    "URL-encoded": lambda path: path.write_text(f"client_secret={quote(SECRET, safe='')}&grant_type=x"),
    "JSON in JSON": lambda path: path.write_text(json.dumps({"said": json.dumps({"it": SECRET.decode()})})),
    "hex": lambda path: path.write_text(SECRET.hex()),
    "gzip of JSON": lambda path: path.write_bytes(gzip.compress(json.dumps({"it": SECRET.decode()}).encode())),
    "half a gzip": lambda path: path.write_bytes(gzip.compress(SECRET + random.Random(1).randbytes(4000))[:2000]),
    "gzip in a zip": lambda path: path.write_bytes(packed("a/b.gz", gzip.compress(SECRET))),
    "gzip in a database": lambda path: database(path, gzip.compress(SECRET)),
    "database": lambda path: database(path, json.dumps(SECRET.decode())),
}


@pytest.mark.parametrize("how", PLANTED)
def test_a_secret_that_is_planted_is_found(how: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    PLANTED[how](tmp_path / "deep" / "file")
    (tmp_path / "other").write_text("nothing")
    found, opened = leaks.search([tmp_path], {"a secret": SECRET, "another": b"y9Q~something.else"})
    assert opened == 2
    assert {(leak.path.name, leak.secret) for leak in found} == {("file", "a secret")}


@dataclass
class Runs:
    """What is run in a copy of the project, with a home and a folder for temporary files of its own."""

    project: Project
    places: recording.Places
    place: Path
    """The folder of the program that secrets are delivered to; the only place outside the project."""
    secrets: dict[str, bytes] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    """What commands printed."""

    def write(self, **more: Any) -> None:
        """The environment: a secret for a vault, a program and GitHub, and an app with a certificate."""
        takes = [sys.executable, str(self.place / "takes.py"), str(self.place)]
        deliver = [
            {"key_vault": {"vault": VAULT, "name": "reader"}},
            {"exec": {"command": takes, "holds": [*takes, "which"]}},
            {"github": {"repository": "contoso/obs", "name": "READER"}},
        ]
        secret = {"every": "90d", "overlap": "7d", "starts": "2026-01-01", "deliver": deliver}
        issued = {name: secret[name] for name in ("every", "overlap", "starts")} | {
            "deliver": [
                {"key_vault": {"vault": VAULT, "name": "reader-issued"}},
                {"exec": {"command": ["sh", "-c", "wc -c > /dev/null"]}},
            ]
        }
        apps = {
            "reader": {"owners": ["deployer"], "secret": secret, "certificates": {"issued": issued}, **more},
            "signer": {"owners": ["deployer"], "certificates": {"signing": {"path": "signer.pem"}}},
        }
        self.project.write(STACK, yaml.safe_dump({"apps": apps}))

    @property
    def azure(self) -> LocalAzure:
        """The local Azure of the rehearsal."""
        return local_azure.start(self.project.rehearsal(STACK).azure)

    def settings(self) -> dict[str, str]:
        """The environment of commands, as after `rehearse --env`."""
        tokens = {"GH_TOKEN": recording.TOKEN, "GITHUB_API_URL": f"{self.places.url}/github"}
        found = self.project.rehearsal(STACK).settings(self.azure) | tokens | self.folders()
        return found | {"ENTRANT_TOKEN_CACHE": "1"}

    def folders(self) -> dict[str, str]:
        """Where everything else goes that programs write."""
        return {"TMPDIR": str(self.project.root / "tmp"), "HOME": str(self.project.root / "home")}

    def at(self, day: str) -> None:
        """Let the program read calendars on a day."""
        file = self.project.rehearsal(STACK).stack_config
        settings = yaml.safe_load(file.read_text()) or {}
        settings.setdefault("config", {})["entrant:now"] = f"{day}T12:00:00Z"
        file.write_text(yaml.safe_dump(settings))

    def entrant(self, *arguments: str, code: int | None = 0, more: Mapping[str, str] | None = None) -> str:
        """A command that ends with an exit code (None: any), in an environment with more; what it said."""
        done = self.project.entrant(*arguments, **self.settings(), **(more or {}))
        output = done.stdout + done.stderr
        assert code in (None, done.returncode), f"{arguments}: {output}"
        self.said.append(output)
        if arguments[0] in ("rotate", "revoke"):
            self.learn()
        return output

    def pulumi(self, *arguments: str, code: int = 0) -> None:
        """The engine itself."""
        done = self.project.pulumi(STACK, *arguments, "-s", STACK, **self.settings())
        self.said.append(done.stdout + done.stderr)
        assert done.returncode == code, f"{arguments}: {self.said[-1]}"
        if arguments[0] == "up":
            self.learn()

    def learn(self) -> None:
        """Take the secrets that are handed out to what is looked for."""
        done = self.project.pulumi(STACK, "stack", "output", "--json", "--show-secrets", "-s", STACK, **self.folders())
        for name, value in json.loads(done.stdout).items():
            if "_client_secret" in name and value.encode() not in self.secrets.values():
                self.secrets[f"{name} {len(self.secrets)}"] = value.encode()
            if name == "reader_certificates":
                part = part_of(value["issued"])
                if part not in self.secrets.values():
                    self.secrets[f"{name} {len(self.secrets)}"] = part

    def killed(self, *arguments: str) -> None:
        """A command whose processes are all killed right after Azure has made a secret for it."""
        azure, environ = self.azure, self.project.environ() | self.settings()
        seen = max((one["number"] for one in azure.requests()), default=0)
        with (self.project.root / "tmp" / "killed.log").open("w") as log:
            command = [sys.executable, "-m", "entrant", *arguments]
            job = subprocess.Popen(
                command, cwd=self.project.root, env=environ, stdout=log, stderr=log, start_new_session=True
            )
        while job.poll() is None:
            if any(one["path"].endswith("/addPassword") for one in azure.requests(after=seen)):
                kills.kill("job", job.pid, azure, random.Random(1))
                break
            time.sleep(0.01)
        assert job.wait() == -9, (self.project.root / "tmp" / "killed.log").read_text()


@pytest.fixture(scope="module")
def runs(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Everything that there is to run."""
    (project.root / "tmp").mkdir()
    shutil.copy(ROOT / ".gitignore", project.root)
    subprocess.run(["git", "init", "--quiet"], cwd=project.root, check=True)
    with recording.places() as places:
        made = Runs(project, places, tmp_path_factory.mktemp("place"))
        (made.place / "takes.py").write_text(TAKES)
        key = made.place / "key.pem"
        write_certificate(key, project.root / "config" / "signer.pem", made)
        made.write()
        everything(made, key)
        yield made


def part_of(pem: str) -> bytes:
    """What a private key has and its certificate has not."""
    key = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.private_numbers().d.to_bytes(256, "big")[64:96]


def write_certificate(key_file: Path, certificate: Path, runs: Runs) -> None:
    """A certificate, its key beside the program's folder, as an app has it."""
    key = rsa.generate_private_key(65537, 2048)
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer")]), dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = (
        builder.serial_number(7)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=300))
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key_file.write_bytes(made.public_bytes(Encoding.PEM) + private)
    runs.secrets["certificate key"] = part_of(private.decode())


def everything(runs: Runs, key: Path) -> None:
    """Every command that meets secrets, with runs that fail and runs that are killed."""
    done = runs.project.entrant("rehearse", STACK, "--propagation", "0", **runs.folders())
    assert done.returncode == 0, done.stderr
    runs.said.append(done.stdout + done.stderr)
    azure = runs.azure
    runs.secrets |= {"deployer's secret": azure.client_secret.encode(), "token of a place": recording.TOKEN.encode()}
    quick = ("--settle", "0", "--patience", "20")
    runs.learn()
    runs.entrant("rotate", "-s", STACK, *quick)
    signs_in = {"AZURE_CLIENT_CERTIFICATE_PATH": str(key)}
    runs.entrant("check", "-s", STACK, "--debug", more=signs_in)
    for app, more in (("reader", {}), ("signer", signs_in)):
        done = runs.project.entrant("token", "-s", STACK, app, "graph", **runs.settings(), **more)
        assert done.returncode == 0, done.stderr
        runs.secrets[f"token of {app}"] = done.stdout.strip().rpartition(".")[2].encode()  # its signature
    runs.at("2027-03-29")
    runs.killed("rotate", "-s", STACK, *quick)
    (runs.place / "broken").touch()
    runs.entrant("rotate", "-s", STACK, *quick, code=1)
    (runs.place / "broken").unlink()
    runs.entrant("rotate", "-s", STACK, *quick, "--debug")
    runs.entrant("revoke", "-s", STACK, "reader", "--yes", "--reason", "it was in a log", *quick)
    runs.write(notes="Another", roles=[{"role": "Reader", "scope": VAULT.replace("rg-obs", "rg-nowhere")}])
    runs.entrant("review", "-s", STACK, "--output", "review.md", "--format", "markdown")
    runs.pulumi("preview", "--diff", "--save-plan", "plan.json")
    runs.pulumi("up", "--yes", code=1)
    runs.write()
    runs.pulumi("up", "--yes", "--refresh", "--diff")
    client = Client(azure)
    [app] = client.graph("GET", "/applications?$filter=displayName eq 'reader'")["value"]
    client.graph("PATCH", f"/applications/{app['id']}", {"notes": "Manually"})
    runs.entrant("drift", "-s", STACK, "--settle", "0", code=7)
    runs.entrant("expiry", "-s", STACK, "--within", "365d", code=None)
    runs.entrant("deliver", "-s", STACK, "--check", "--debug")
    client.new_identity("by-hand")
    runs.entrant("import", "--name", "by-hand", "-o", "config/imported.yaml", code=None)
    runs.pulumi("stack", "export", "--file", "export.json")
    (runs.project.root / "tmp" / "said").write_text("\n".join(runs.said))


def allowed(leak: leaks.Leak, runs: Runs) -> bool:
    """Whether it is in a file of the local Azure that only its owner can read and git ignores."""
    if not leak.path.is_relative_to(runs.project.rehearsal(STACK).azure) or leak.mode != 0o600:
        return False
    command = ["git", "check-ignore", "--quiet", str(leak.path)]
    return subprocess.run(command, cwd=runs.project.root).returncode == 0


def searched(runs: Runs) -> list[tuple[str, str]]:
    """Where secrets are that should not be there: file and secret."""
    root = runs.project.root
    found, opened = leaks.search([root], runs.secrets)
    assert opened > 300
    return sorted({(str(leak.path.relative_to(root)), leak.secret) for leak in found if not allowed(leak, runs)})


def test_no_file_that_is_left_has_a_secret(runs: Runs) -> None:
    for output, least in (("reader_client_secret", 3), ("reader_certificates", 2)):
        assert len([name for name in runs.secrets if name.startswith(output)]) >= least, runs.secrets.keys()
    assert searched(runs) == []


def test_one_that_is_left_is_found_unless_the_local_azure_keeps_it_for_its_owner_alone(runs: Runs) -> None:
    folder = runs.project.rehearsal(STACK).folder
    name, value = next((name, value) for name, value in runs.secrets.items() if name.startswith("reader"))
    for place, mode, counts in (("azure", 0o600, False), ("azure", 0o644, True), ("state", 0o600, True)):
        planted = folder / place / "planted.gz"
        planted.write_bytes(gzip.compress(b'{"said": "' + base64.b64encode(b"id:" + value) + b'"}'))
        planted.chmod(mode)
        expected = [(str(planted.relative_to(runs.project.root)), name)] if counts else []
        assert searched(runs) == expected
        planted.unlink()
