"""What a tenant has of a stack's credentials, asked of the local Azure."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import local_azure
from entrant.cli import cli
from entrant.drift.live import _listed
from entrant.outputs import App
from tests.entrant.test_access import Estate, environ
from tests.entrant.test_unmanaged import user
from tests.local_azure.conftest import Client, Identity
from tests.local_azure.test_assertions import certificate, declare, key

__all__ = ["environ", "key"]

DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(autouse=True)
def signed_in(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As the deployer of the local Azure."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)


def document(*apps: tuple[App, list[dict[str, Any]], list[dict[str, Any]]]) -> dict[str, Any]:
    """Outputs of a stack with these apps, what they declare and what they keep."""
    found: dict[str, Any] = {"contract": 1, "tenant_id": apps[0][0].tenant_id, "cloud": "public", "identities": {}}
    for app, declared, kept in apps:
        found[f"{app.name.replace('-', '_')}_client_id"] = app.client_id
        found["identities"][app.name] = {
            "display_name": app.name,
            "object_id": app.object_id,
            "service_principal_id": app.service_principal_id,
            "grants": [],
            "credentials": declared,
            "kept_credentials": kept,
        }
    return found


def made(estate: Estate, name: str, ends: datetime, side: str = "applications") -> str:
    """A secret that somebody made; its key id."""
    object_id = estate.app.object_id if side == "applications" else estate.app.service_principal_id
    body = {"passwordCredential": {"displayName": name, "endDateTime": text(ends)}}
    return str(estate.client.graph("POST", f"/{side}/{object_id}/addPassword", body)["keyId"])


def declared(estate: Estate, **more: Any) -> dict[str, Any]:
    """The entry of the estate's secret in the outputs."""
    entry = {
        "kind": "secret",
        "name": "entrant 2026-11-01",
        "key_id": estate.identity.key_id,
        "starts": text(NOW),
        "ends": text(NOW + 700 * DAY),
        "successor_starts": text(NOW + 600 * DAY),
        "current": True,
    }
    return entry | more


def run(tmp_path: Path, outputs: dict[str, Any], *arguments: str) -> tuple[int, str]:
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(outputs))
    command = ["expiry", "--outputs", str(file), "-s", "dev", "--now", text(NOW + timedelta(minutes=1)), *arguments]
    done = CliRunner().invoke(cli, command, standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, done.output


def records(tmp_path: Path, outputs: dict[str, Any], *arguments: str) -> dict[str, Any]:
    _, stdout = run(tmp_path, outputs, "--live", "--format", "json", *arguments)
    return {ending["key_id"]: ending for ending in json.loads(stdout)["endings"]}


def test_every_credential_is_told_and_those_first_that_the_file_does_not_say(
    azure: local_azure.LocalAzure, tmp_path: Path, key: Any
) -> None:
    estate = Estate(azure, "lively")
    ada = user(azure, estate.client, "ada-of-lively@example.com")
    reference = {"@odata.id": f"{azure.url}/v1.0/directoryObjects/{ada}"}
    estate.client.graph("POST", f"/applications/{estate.app.object_id}/owners/$ref", reference)
    manual = made(estate, "manually", NOW + 400 * DAY)
    behind = made(estate, "behind", NOW + 3 * DAY, side="servicePrincipals")
    kept = made(estate, "legacy", NOW + 20 * DAY)
    declare(estate.client, estate.identity, certificate(key, days=50))
    # The file has the end of what it keeps wrong: the tenant's counts.
    entry = {"kind": "secret", "key_id": kept.upper(), "name": None, "ends": text(NOW + 90 * DAY), "owner": "ada"}
    outputs = document((estate.app, [declared(estate)], [entry]))
    code, stdout = run(tmp_path, outputs, "--live")
    lines = stdout.splitlines()
    assert code == 5
    assert lines[0].startswith('✗ dev: secret "behind" of lively is not in the file; it ends in 2 days (')
    assert lines[1] == "    unknown; owners: ada-of-lively@example.com"
    assert lines[2].startswith("    find out who made it of the service principal, which the portal does not show,")
    assert re.match(r'✗ dev: certificate "CN=test" of lively is not in the file; it ends in (49|50) days \(', lines[3])
    assert lines[6].startswith('✗ dev: secret "manually" of lively is not in the file; it ends in 399 days (')
    assert lines[9].startswith('! dev: secret "legacy" of lively ends in 19 days (')
    assert lines[10] == "    kept; owners: ada-of-lively@example.com"
    assert lines[12].startswith('… dev: secret "entrant 2026-11-01" of lively ends in ')
    assert lines[13] == "    of the stack; owners: ada-of-lively@example.com"
    found = records(tmp_path, outputs)
    assert {key: (one["origin"], one["expected"]) for key, one in found.items() if one["kind"] == "secret"} == {
        behind: ("unknown", None),
        manual: ("unknown", "it ends later"),
        kept.upper(): ("kept", None),
        estate.identity.key_id: ("declared", "it ends later"),
    }
    assert list(found)[:3][0] == behind and found[kept.upper()]["ends"] == text(NOW + 20 * DAY)


def test_what_is_not_in_the_file_counts_strictly_whenever_it_ends(
    azure: local_azure.LocalAzure, tmp_path: Path
) -> None:
    estate = Estate(azure, "strict")
    outputs = document((estate.app, [declared(estate, successor_starts=text(NOW + 600 * DAY))], []))
    assert run(tmp_path, outputs, "--live")[0] == 0
    made(estate, "far off", NOW + 400 * DAY)
    assert run(tmp_path, outputs, "--live")[0] == 0
    code, stdout = run(tmp_path, outputs, "--live", "--strict", "--format", "github")
    assert (code, stdout.count("::error ")) == (5, 1)
    assert "title=dev%3A secret is not in the file::" in stdout


def test_a_credential_that_somebody_removed_counts(azure: local_azure.LocalAzure, tmp_path: Path) -> None:
    estate = Estate(azure, "robbed")
    kept = {"kind": "secret", "key_id": "00000000-0000-4000-8000-000000000000", "name": "old", "ends": text(NOW + DAY)}
    outputs = document((estate.app, [declared(estate)], [kept]))
    path = f"/applications/{estate.app.object_id}/removePassword"
    estate.client.graph("POST", path, {"keyId": estate.identity.key_id})
    code, stdout = run(tmp_path, outputs, "--live")
    assert code == 5
    assert 'secret "entrant 2026-11-01" of robbed is not in the tenant any more; it ends in' in stdout
    assert "run `python3 -m entrant drift -s dev`" in stdout
    assert "take its entry out of `apps.robbed.kept_credentials`" in stdout


def as_app(monkeypatch: pytest.MonkeyPatch, identity: Identity) -> None:
    monkeypatch.setenv("ARM_CLIENT_ID", identity.client_id)
    monkeypatch.setenv("ARM_CLIENT_SECRET", identity.secret)


def allow(client: Client, identity: Identity, *permissions: str) -> None:
    [graph] = client.graph("GET", "/servicePrincipals?$filter=appId eq '00000003-0000-0000-c000-000000000000'")["value"]
    for name in permissions:
        role = next(one["id"] for one in graph["appRoles"] if one["value"] == name)
        grant = {"principalId": identity.object_id, "resourceId": graph["id"], "appRoleId": role}
        client.graph("POST", f"/servicePrincipals/{identity.object_id}/appRoleAssignments", grant)


def test_what_may_not_be_read_is_said_and_counts_strictly(
    azure: local_azure.LocalAzure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As somebody without any right; and what the outputs say is told all the same."""
    estate = Estate(azure, "unseen")
    outputs = document((estate.app, [declared(estate, ends=text(NOW + 700 * DAY))], []))
    as_app(monkeypatch, estate.identity)
    code, stdout = run(tmp_path, outputs, "--live", "--unused", "30d")
    assert code == 0
    right = "403 Authorization_RequestDenied: the deployer lacks the Graph permission"
    assert stdout.splitlines()[:4] == [
        f"! dev: not seen: the registration of unseen: {right} Application.Read.All",
        f"! dev: not seen: the service principal of unseen: {right} Application.Read.All",
        f"! dev: not seen: the owners of unseen: {right} Application.Read.All",
        f"! dev: not seen: when credentials were last used: {right} AuditLog.Read.All",
    ]
    assert "of the stack; owners: not seen" in stdout and "no sign-in" not in stdout
    assert run(tmp_path, outputs, "--live", "--strict")[0] == 5
    assert len(json.loads(run(tmp_path, outputs, "--live", "--format", "json")[1])["unseen"]) == 3


def test_nobody_signed_in_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, azure: local_azure.LocalAzure
) -> None:
    for name in ("ARM_CLIENT_ID", "ARM_TENANT_ID"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", str(tmp_path))
    estate = Estate(azure, "alone")
    outputs = document((estate.app, [declared(estate)], []))
    code, stdout = run(tmp_path, outputs, "--live", "--strict")
    assert code == 5
    assert stdout.startswith("! dev: not seen: the tenant: nobody is signed in (`az login`, or ARM_* variables)\n")


@pytest.fixture
def free(azure: local_azure.LocalAzure) -> Iterator[None]:
    azure.admin("PATCH", "settings", {"premium": False})
    yield
    azure.admin("PATCH", "settings", {"premium": True})


def test_without_a_licence_nothing_is_called_unused(azure: local_azure.LocalAzure, tmp_path: Path, free: None) -> None:
    estate = Estate(azure, "penniless")
    outputs = document((estate.app, [declared(estate)], []))
    code, stdout = run(tmp_path, outputs, "--unused", "0d")
    assert code == 0
    assert stdout.startswith(
        "! dev: not seen: when credentials were last used: the tenant has no licence of Microsoft Entra ID P1 or P2, without which "
        "Graph tells no sign-ins\n"
    )
    assert run(tmp_path, outputs, "--unused", "0d", "--strict")[0] == 5


def test_what_gave_no_token_for_so_long_counts(azure: local_azure.LocalAzure, tmp_path: Path) -> None:
    """As the report says, which is made of real sign-ins; what is younger than that cannot be unused for so long."""
    estate = Estate(azure, "idle")
    since = NOW - 60 * DAY
    for name, age, used in (("busy", 60, True), ("lazy", 60, False), ("young", 10, False)):
        body = {"displayName": name, "startDateTime": text(NOW - age * DAY), "endDateTime": text(NOW + 400 * DAY)}
        secret = estate.client.graph(
            "POST", f"/applications/{estate.app.object_id}/addPassword", {"passwordCredential": body}
        )
        if used:
            Client(azure, estate.app.client_id, secret["secretText"]).token()
    outputs = document((estate.app, [declared(estate, starts=text(since))], []))
    code, stdout = run(tmp_path, outputs, "--unused", "30d")
    assert code == 5
    assert 'secret "lazy" of idle is not in the file and has no sign-in on record; it ends in' in stdout
    assert "see that nobody needs it, then remove it\n" in stdout
    assert stdout.count("has no sign-in on record") == 1
    busy = next(line for line in stdout.split("✗") if '"busy"' in line)
    assert f"last used {datetime.now(UTC):%Y-%m-%d}" in busy and "it ends later" in busy
    later = text(NOW + 35 * DAY)
    _, stdout = run(tmp_path, outputs, "--unused", "30d", "--now", later)
    assert 'secret "busy" of idle is not in the file and was not used for 3' in stdout
    assert 'secret "young" of idle is not in the file and has no sign-in on record' in stdout


def test_a_certificate_that_signs_saml_tokens_is_told_once() -> None:
    """A service principal has it three times: to sign, to verify, and the password of its key."""
    ends = {"endDateTime": "2027-01-01T00:00:00Z", "customKeyIdentifier": "c2FtbA=="}
    answer = {
        "keyCredentials": [{"keyId": "1", "usage": "Sign", **ends}, {"keyId": "2", "usage": "Verify", **ends}],
        "passwordCredentials": [{"keyId": "1", **ends}, {"keyId": "3", "endDateTime": ends["endDateTime"]}],
    }
    shown = [(one["kind"], one["key_id"]) for one in _listed(answer, True)]
    assert shown == [("secret", "3"), ("certificate", "2")]
    assert len(list(_listed(answer, False))) == 4
