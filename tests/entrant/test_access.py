"""Access proved by trying, against the local Azure with faults of its own."""

import base64
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest

import local_azure
from entrant import explain
from entrant.access import deployer, trials
from entrant.access.directory import Directory
from entrant.facts.clouds import Cloud
from entrant.outputs import App, Grant
from entrant.tokens import clouds, credentials
from tests.entrant.authority import certificate
from tests.local_azure.conftest import Client

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"


@pytest.fixture
def environ(azure: local_azure.LocalAzure, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    bundle = str(azure.ca_bundle())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", bundle)
    azure.set_propagation(0)
    return azure.settings() | {"ENTRANT_METRICS_ENDPOINT": azure.url}


@pytest.fixture
def cloud(environ: dict[str, str]) -> Cloud:
    return clouds.resolve("public", environ)


class Estate:
    """An app with roles on a workspace and a machine, made through the APIs."""

    def __init__(self, azure: local_azure.LocalAzure, name: str) -> None:
        self.client = Client(azure)
        group = f"/subscriptions/{azure.subscription_id}/resourceGroups/rg-{name}"
        self.workspace = f"{group}/providers/Microsoft.OperationalInsights/workspaces/law-{name}"
        self.machine = f"{group}/providers/Microsoft.Compute/virtualMachines/vm-{name}"
        azure.ensure([self.workspace, self.machine])
        made = self.client.new_identity(name)
        self.identity = made
        self.app = App(
            name=name,
            tenant_id=azure.tenant_id,
            client_id=made.client_id,
            object_id=made.application_id,
            service_principal_id=made.object_id,
            secret=made.secret,
            credentials=({"kind": "secret", "key_id": made.key_id, "name": "one"},),
        )

    def grant(self, role: str, name: str, scope: str) -> Grant:
        assignment = str(self.client.grant(role, scope, self.identity.object_id)["id"])
        return Grant(name, role, scope, assignment)

    def with_grants(self, *grants: Grant) -> App:
        return App(**{name: getattr(self.app, name) for name in App.__slots__} | {"grants": grants})


def states(proofs: list[trials.Proof]) -> dict[str, str]:
    return {proof.target: proof.state for proof in proofs}


def test_every_declared_grant_is_tried_as_the_app_itself(azure: local_azure.LocalAzure, cloud: Cloud) -> None:
    estate = Estate(azure, "whole")
    app = estate.with_grants(
        estate.grant(READER, "Reader", estate.workspace),
        estate.grant(PUBLISHER, "Monitoring Metrics Publisher", estate.machine),
    )
    proofs = trials.check([app], lambda _: cloud, directory=None, write=True, stack="dev")
    assert states(proofs) == {
        "token": "granted",
        "Reader on law-whole": "granted",
        "query of law-whole": "granted",
        "Monitoring Metrics Publisher on vm-whole": "granted",
        "metrics of vm-whole": "granted",
    }


def test_a_metric_is_sent_only_when_asked_for(azure: local_azure.LocalAzure, cloud: Cloud) -> None:
    estate = Estate(azure, "quiet")
    app = estate.with_grants(estate.grant(PUBLISHER, "Monitoring Metrics Publisher", estate.machine))
    proofs = trials.check([app], lambda _: cloud, directory=None, write=False, stack="dev")
    assert states(proofs)["metrics of vm-quiet"] == "seen"
    assert azure.metrics(estate.machine) == []


def test_a_role_that_is_not_there_is_told_from_one_that_is_new(
    azure: local_azure.LocalAzure, cloud: Cloud, environ: dict[str, str]
) -> None:
    estate = Estate(azure, "young")
    gone = Grant(
        "Reader",
        READER,
        estate.workspace,
        f"{estate.workspace}/providers/Microsoft.Authorization/roleAssignments/{READER}",
    )
    who = deployer.find(cloud, environ)
    assert who is not None
    proofs = trials.check(
        [estate.with_grants(gone)], lambda _: cloud, directory=Directory(who), write=False, stack="dev"
    )
    assert states(proofs) == {"token": "granted", "Reader on law-young": "denied", "query of law-young": "denied"}
    assert "the role assignment is not there any more" in proofs[1].evidence
    azure.admin("PATCH", "settings", {"propagation": {"roles": 600, "secrets": 0}})
    new = estate.with_grants(estate.grant(READER, "Reader", estate.workspace))
    proofs = trials.check([new], lambda _: cloud, directory=Directory(who), write=False, stack="dev")
    assert states(proofs) == {"token": "granted", "Reader on law-young": "pending", "query of law-young": "pending"}
    assert "the role assignment is 0 minutes old" in proofs[1].evidence


def test_wait_notices_readiness_within_two_seconds(
    azure: local_azure.LocalAzure, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks again after two seconds at most; how long a look takes is the machine's affair."""
    pauses, sleep = list[float](), time.sleep

    def rest(seconds: float) -> None:
        pauses.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", rest)
    estate = Estate(azure, "soon")
    azure.set_propagation(3)
    app = estate.with_grants(estate.grant(READER, "Reader", estate.workspace))
    made = time.monotonic()
    proofs = trials.wait([app], lambda _: cloud, deployer=None, write=False, stack="dev", seconds=120)
    assert set(states(proofs).values()) == {"granted"}
    assert time.monotonic() - made + 0.5 >= 3
    assert max(pauses) <= 2


def test_wait_ends_when_its_time_is_up_and_says_what_is_missing(azure: local_azure.LocalAzure, cloud: Cloud) -> None:
    estate = Estate(azure, "never")
    lines: list[str] = []
    app = estate.with_grants(Grant("Reader", READER, estate.workspace))
    proofs = trials.wait(
        [app],
        lambda _: cloud,
        deployer=None,
        write=False,
        stack="dev",
        seconds=1.5,
        tell=lambda proof, elapsed: lines.append(f"{proof.target}: {proof.state}"),
    )
    assert states(proofs) == {"token": "granted", "Reader on law-never": "pending", "query of law-never": "pending"}
    assert lines == ["token: granted", "Reader on law-never: pending", "query of law-never: pending"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"tenant_id": "99999999-9999-4999-8999-999999999999"}, "AADSTS90002"),
        ({"client_id": "99999999-9999-4999-8999-999999999999"}, "AADSTS700016"),
        ({"secret": "n0t-th1s-0ne"}, "AADSTS7000215"),
    ],
)
def test_a_token_that_is_refused_is_explained(
    azure: local_azure.LocalAzure, cloud: Cloud, change: dict[str, Any], code: str
) -> None:
    estate = Estate(azure, f"refused-{code.lower()}")
    app = App(**{name: getattr(estate.app, name) for name in App.__slots__} | change)
    (proof,) = trials.check([app], lambda _: cloud, directory=None, write=False, stack="dev")
    expected = explain.explain(code, stack="dev", app=app.name)[0]
    assert proof.state == ("denied" if expected.retry == "no" else "pending")
    assert code in proof.evidence
    assert proof.next_step == f"{expected.cause}; {expected.next_step}"
    assert "n0t-th1s-0ne" not in proof.evidence


@pytest.mark.parametrize("waits", [False, True])
def test_grants_of_an_app_that_gets_no_token_are_seen_from_outside(
    azure: local_azure.LocalAzure, cloud: Cloud, environ: dict[str, str], waits: bool
) -> None:
    """Here its service principal is disabled; one of its two roles is gone."""
    estate = Estate(azure, f"disabled-{waits}".lower())
    there, gone = estate.grant(READER, "Reader", estate.workspace), Grant("Owner", PUBLISHER, estate.machine)
    app = estate.with_grants(there, gone)
    estate.client.graph("PATCH", f"/servicePrincipals/{estate.identity.object_id}", {"accountEnabled": False})
    who = deployer.find(cloud, environ)
    assert who is not None
    if waits:
        proofs = trials.wait([app], lambda _: cloud, deployer=who, write=False, stack="dev", seconds=3600)
    else:
        proofs = trials.check([app], lambda _: cloud, directory=Directory(who), write=False, stack="dev")
    assert [(proof.layer, proof.state) for proof in proofs] == [
        ("token", "denied"),
        ("role", "seen"),
        ("query", "seen"),
        ("role", "denied"),
        ("metric", "denied"),
    ]
    assert proofs[0].evidence.startswith(f"no token for {app.name}: AADSTS7000112: ")
    assert proofs[1].evidence.startswith("no token; the role assignment is ")
    assert proofs[3].evidence == "no token; there is no such role assignment"
    unseen = trials.check([app], lambda _: cloud, directory=None, write=False, stack="dev")[1:]
    assert {proof.state for proof in unseen} == {"unknown"}, "nobody is signed in to look"


def test_an_error_body_is_explained_innermost_included() -> None:
    body = {"error": {"code": "InsufficientAccessError", "innererror": {"code": "AuthorizationFailed"}}}
    assert [finding.code for finding in explain.explain(json.dumps(body))] == [
        "InsufficientAccessError",
        "AuthorizationFailed",
    ]
    error_text = "ERROR: (RoleAssignmentExists) The role assignment already exists. AADSTS700016: x"
    assert [finding.code for finding in explain.explain(error_text)] == ["RoleAssignmentExists", "AADSTS700016"]
    assert explain.explain("all is well") == []


@pytest.mark.parametrize("secret", [True, False])
def test_each_certificate_that_is_issued_here_is_tried_by_itself(
    secret: bool, azure: local_azure.LocalAzure, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else the app, or the shell, has to prove it with."""
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", "/of-somebody-else.pem")
    estate = Estate(azure, f"certificates-{secret}".lower())
    (known, der), (unknown, _) = certificate(), certificate()
    key = {"type": "AsymmetricX509Cert", "usage": "Verify", "key": base64.b64encode(der).decode()}
    estate.client.graph("PATCH", f"/applications/{estate.identity.application_id}", {"keyCredentials": [key]})
    entries = [
        {"kind": "certificate", "name": f"{key}-2026-11-01", "key_id": "k", "calendar": key, "current": True}
        for key in ("known", "unknown")
    ]
    app = dataclasses.replace(
        estate.app,
        secret=estate.app.secret if secret else None,
        issued={"known": known.decode(), "unknown": unknown.decode()},
        credentials=tuple(entries),
    )
    if not secret:
        monkeypatch.delenv("AZURE_CLIENT_CERTIFICATE_PATH")
    proofs = trials.check([app], lambda _: cloud, directory=None, write=False, stack="dev")
    assert states(proofs) == {
        "token": "granted",
        "certificate known-2026-11-01": "granted",
        "certificate unknown-2026-11-01": "pending",
    }
    assert "AADSTS700027" in proofs[-1].evidence and "PRIVATE" not in repr(proofs)


def test_no_proof_holds_a_secret(azure: local_azure.LocalAzure, cloud: Cloud, tmp_path: Path) -> None:
    estate = Estate(azure, "silent")
    proofs = trials.check([estate.app], lambda _: cloud, directory=None, write=False, stack="dev")
    assert estate.app.secret is not None
    assert estate.app.secret not in repr(proofs)
    assert estate.app.secret not in repr(credentials.Credential(estate.app, cloud))
