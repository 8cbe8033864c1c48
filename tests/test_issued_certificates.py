"""Certificates that are issued here, with the real engine: made by an `up`, handed out, succeeded, and made again after one that
failed."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

import local_azure
from benchmarks import kills
from entrant import engine
from entrant.rehearsal import environ
from local_azure import LocalAzure
from tests.conftest import Project
from tests.local_azure.conftest import Client
from tests.test_delivery import VAULT

STACK = "issued"
START = dt.date.today() - dt.timedelta(days=10)
CALENDAR = {"every": "90d", "overlap": "7d", "starts": str(START)}
TOKEN = """
import sys
from azure.identity import CertificateCredential
data = sys.stdin.buffer.read()
credential = CertificateCredential(sys.argv[1], sys.argv[2], certificate_data=data, authority=sys.argv[3],
                                   disable_instance_discovery=True)
print(len(credential.get_token("https://graph.microsoft.com/.default").token))
"""


@dataclass
class Stack:
    """A stack with one app that has a certificate of a calendar."""

    project: Project
    azure: LocalAzure
    seen: dict[str, str] = field(default_factory=dict)
    """Key and certificate of each that was handed out, by name."""
    printed: list[str] = field(default_factory=list)
    """What commands printed."""

    def write(self, **more: Any) -> None:
        """The environment."""
        certificate = CALENDAR | {name: more.pop(name) for name in ("generation", "deliver") if name in more}
        app = {"owners": ["deployer"], "certificates": {"signing": certificate}, **more}
        self.project.write(STACK, yaml.safe_dump({"apps": {"a": app}}))

    def at(self, day: int) -> None:
        """Let the program read calendars that many days after `START`."""
        file = self.project.rehearsal(STACK).stack_config
        settings = yaml.safe_load(file.read_text()) or {}
        settings.setdefault("config", {})["entrant:now"] = f"{START + dt.timedelta(days=day)}T12:00:00Z"
        file.write_text(yaml.safe_dump(settings))

    def pulumi(self, *arguments: str, code: int = 0) -> str:
        """The engine; what it printed."""
        done = self.project.pulumi(STACK, *arguments, "-s", STACK)
        self.printed += [done.stdout, done.stderr]
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def up(self) -> list[str]:
        """`pulumi up`: the names of the app's certificates, newest first; afterwards a preview shows no change."""
        self.pulumi("up", "--yes")
        self.pulumi("preview", "--diff", "--expect-no-changes")
        done = self.project.pulumi(STACK, "stack", "output", "--json", "--show-secrets", "-s", STACK)
        outputs = json.loads(done.stdout)
        self.client_id, self.tenant = outputs["a_client_id"], outputs["tenant_id"]
        entries = outputs["identities"]["a"]["credentials"]
        [(calendar, pem)] = outputs["a_certificates"].items()
        assert calendar == "signing"
        assert entries[0]["pem"] in pem
        assert self.seen.setdefault(entries[0]["name"], pem) == pem, "a certificate keeps its key"
        assert {entry["thumbprint"] for entry in entries} == self.in_directory()
        return [entry["name"] for entry in entries]

    def in_directory(self) -> set[str]:
        """The thumbprints of the registration's certificates."""
        [app] = Client(self.azure).graph("GET", "/applications?$filter=displayName eq 'a'")["value"]
        held = Client(self.azure).graph("GET", f"/applications/{app['id']}?$select=keyCredentials")
        return {entry["customKeyIdentifier"].upper() for entry in held["keyCredentials"]}

    def signs_in(self, name: str) -> bool:
        """Whether azure-identity gets a token with a certificate that was handed out."""
        settings = self.project.rehearsal(STACK).settings(self.azure)
        done = subprocess.run(
            [sys.executable, "-c", TOKEN, self.tenant, self.client_id, settings["AZURE_AUTHORITY_HOST"]],
            input=self.seen[name],
            capture_output=True,
            text=True,
            env=os.environ | settings,
        )
        assert done.returncode == 0 or "AADSTS" in done.stderr, done.stderr
        return done.returncode == 0

    def killed(self, method: str, route: str) -> None:
        """`pulumi up`, whose processes are killed while Azure does something, and never get its answer."""
        seen = max((one["number"] for one in self.azure.requests()), default=0)
        rule = {"kind": "slow", "method": method, "route": route, "seconds": 3, "count": 1}
        self.azure.admin("PUT", "faults", {"rules": [rule], "seed": 0})
        job = subprocess.Popen(
            [str(engine.find()), "up", "--yes", "--skip-preview", "-s", STACK],
            cwd=self.project.root,
            env=environ(self.project.rehearsal(STACK).settings(self.azure)) | {"HOME": str(self.project.root / "home")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        while job.poll() is None and not self.azure.admin("GET", "faults")["rules"][0]["hits"]:
            time.sleep(0.01)
        kills.kill("job", job.pid, self.azure, random.Random(1))
        output, _ = job.communicate()
        assert job.returncode == -9, output
        self.printed.append(output)
        while not any(one["method"] == method and route in one["path"] for one in self.azure.requests(after=seen)):
            time.sleep(0.05)
        self.azure.admin("DELETE", "faults")

    def state(self) -> str:
        """The state as it is exported without secrets."""
        return self.pulumi("stack", "export")


@pytest.fixture(scope="module")
def stack(project: Project) -> Iterator[Stack]:
    """The stack after a rehearsal, ten days into a calendar of 90 days."""
    rehearsed = Stack(project, None)  # type: ignore[arg-type]
    rehearsed.write()
    done = project.entrant("rehearse", STACK, "--propagation", "0", "--plugins", "stand-in")
    assert done.returncode == 0, done.stderr
    rehearsed.azure = local_azure.start(project.rehearsal(STACK).azure)
    rehearsed.printed += [done.stdout, done.stderr]
    yield rehearsed


def day(number: int) -> str:
    """The certificate of the slot that starts that many days after `START`."""
    return f"signing-{START + dt.timedelta(days=number)}"


def test_a_certificate_is_made_kept_succeeded_and_made_again_after_an_up_that_failed(stack: Stack) -> None:
    stack.at(10)
    assert stack.up() == [day(0)]
    assert stack.signs_in(day(0))
    assert stack.up() == [day(0)]

    stack.at(91)
    assert stack.up() == [day(90), day(0)]
    assert stack.signs_in(day(90))
    assert stack.signs_in(day(0)), "who has it can use it for the overlap"
    stack.at(99)
    assert stack.up() == [day(90)]
    assert not stack.signs_in(day(0))

    # The next one is made, and what follows it is refused: it stands in the state, and nobody has its key.
    second = f"{day(90)}-g2"
    nowhere = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg-nowhere"
    stack.write(generation=2, roles=[{"role": "Reader", "scope": nowhere}])
    stack.pulumi("up", "--yes", "--skip-preview", "--parallel", "1", code=1)
    assert f"/signing/{second.removeprefix('signing-')}" in stack.state()
    [lost] = stack.in_directory() - {*map(thumbprint, stack.seen.values())}
    assert stack.signs_in(day(90))
    stack.write(generation=2)
    assert stack.up() == [second, day(90)]
    assert lost not in stack.in_directory()
    assert stack.signs_in(second)
    assert stack.signs_in(day(90))

    # No part of a private key is anywhere but in the encrypted values of the state.
    stack.printed.append(stack.state())
    for pem in stack.seen.values():
        body = pem.partition("-----END PRIVATE KEY")[0].splitlines()[1:]
        assert len(body) > 20
        for line in body[5:]:
            assert not any(line in text for text in stack.printed)


def test_one_that_a_killed_run_made_is_removed_and_another_is_made(stack: Stack) -> None:
    """Nobody has its key: the engine never knew that Azure made it, or no outputs were written after it did."""
    stack.at(99)
    stack.write(generation=2)
    before = stack.up()
    held = stack.in_directory()
    stack.write(generation=3)
    stack.killed("PATCH", "/v1.0/applications")
    [lost] = stack.in_directory() - held
    stack.pulumi("cancel", "--yes")  # the lock of the one that was killed
    settings = stack.project.rehearsal(STACK).settings(stack.azure)
    done = stack.project.entrant("recover", "-s", STACK, "--yes", "--settle", "0", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("- remove")]
    name = f"a signing {day(90).removeprefix('signing-')}-g3"
    assert line.startswith(f'- remove from the directory: certificate "{name}" of "a" (')
    assert line.endswith("), whose private key is lost")
    assert stack.in_directory() == held, lost
    assert stack.signs_in(before[0])
    assert stack.up() == [f"{day(90)}-g3", before[0]]
    assert stack.signs_in(f"{day(90)}-g3")


def test_one_whose_key_is_gone_from_the_outputs_stays_until_it_is_revoked(stack: Stack) -> None:
    stack.at(99)
    stack.azure.ensure([VAULT])
    stack.write(generation=4, deliver=[{"key_vault": {"vault": VAULT, "name": "signing"}}])
    name = stack.up()[0]
    document = json.loads(stack.pulumi("stack", "export"))
    [root] = [each for each in document["deployment"]["resources"] if each["type"] == "pulumi:pulumi:Stack"]
    del root["outputs"]["a_certificates"]
    file = stack.project.root / "without.json"
    file.write_text(json.dumps(document))
    stack.pulumi("stack", "import", "--file", str(file))

    held = stack.in_directory()
    stack.pulumi("preview", "--diff", "--expect-no-changes")
    warned = "".join(stack.printed[-2:])
    assert f"apps.a.certificates.signing: the stack's outputs have no private key of {name}" in warned
    stack.pulumi("up", "--yes")
    assert stack.in_directory() == held
    assert stack.signs_in(name), "where it is, it works"

    settings = stack.project.rehearsal(STACK).settings(stack.azure)
    remedy = warned.partition("To have another made: python3 -m entrant ")[2].splitlines()[0]
    done = stack.project.entrant(*shlex.split(remedy), "--yes", "--settle", "0", "--patience", "20", **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    stack.printed += [done.stdout, done.stderr]
    [following] = stack.up()
    assert following == f"{name}-2"
    assert stack.signs_in(following)
    assert not stack.signs_in(name)


@pytest.mark.parametrize("at_once", [False, True])
def test_one_that_somebody_removed_does_not_come_back(stack: Stack, at_once: bool) -> None:
    """Whoever removes one in the portal may know that its key has leaked."""
    stack.at(99)
    stack.write(generation=6 if at_once else 5)
    name = stack.up()[0]
    removed = thumbprint(stack.seen[name])
    [app] = Client(stack.azure).graph("GET", "/applications?$filter=displayName eq 'a'")["value"]
    held = Client(stack.azure).graph("GET", f"/applications/{app['id']}?$select=keyCredentials")["keyCredentials"]
    left = [entry for entry in held if entry["customKeyIdentifier"].upper() != removed]
    Client(stack.azure).graph("PATCH", f"/applications/{app['id']}", {"keyCredentials": left})
    if at_once:
        stack.pulumi("up", "--yes", "--refresh", code=1)
        assert f"apps.a.certificates.signing: somebody removed {name}, and its key may have leaked" in stack.printed[-2]
    else:
        stack.pulumi("refresh", "--yes")
    following = stack.up()[0]
    assert following != name
    assert removed not in stack.in_directory()
    assert stack.signs_in(following)
    assert not stack.signs_in(name)


def thumbprint(pem: str) -> str:
    """Of the certificate behind a key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    certificate = x509.load_pem_x509_certificate(pem[pem.index("-----BEGIN CERTIFICATE") :].encode())
    return certificate.fingerprint(hashes.SHA1()).hex().upper()
