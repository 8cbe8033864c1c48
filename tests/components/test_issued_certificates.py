"""Certificates that are issued here, under mocks: made by an `up`, handed out by its outputs, and read from there by the next."""

import inspect
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pulumi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from components import AppIdentity, declare, stack_outputs
from entrant import config
from entrant.facts.contract import ROTATION

from .mocked import CERTIFICATE, SUBSCRIPTION, Deployment, Registered, Seen, deploy

VAULT_SECRET = "azure-native:keyvault:Secret"
VAULT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-obs"
CALENDAR = "every: 90d, overlap: 7d"


def up(
    tmp_path: Path,
    before: dict[str, Any] | None,
    calendar: str = CALENDAR,
    now: str = "2026-11-20T10:00:00Z",
    app: str = "a",
    more: str = "",
    **options: Any,
) -> Deployment:
    """An app with a certificate `signing` of a calendar; `before` is what an earlier run left in the outputs."""
    (tmp_path / "x.yaml").write_text(
        f"scopes: {{kv: {VAULT}}}\napps:\n  {app}:\n    display_name: a\n    certificates:\n      signing: {{{calendar}}}\n{more}"
    )
    environment = config.load("x.yaml", root=tmp_path)
    return deploy(lambda: stack_outputs(environment, declare(environment, now=now, before=before)), **options)


def outputs(made: Deployment) -> dict[str, Any]:
    """The outputs, as the next run reads them."""
    return {name: value.value if isinstance(value, Seen) else value for name, value in made.result.items()}


def credentials(made: Deployment, app: str = "a") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = made.result["identities"].value[app]["credentials"]
    return found


def declared_pem(resource: Registered) -> Any:
    """The certificate that a resource is declared with: the provider's SDK makes it a secret."""
    return resource.inputs["value"]["value"]


def key_and_certificate(pem: str) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key, x509.load_pem_x509_certificate(pem[pem.index("-----BEGIN CERTIFICATE") :].encode())


def test_an_up_makes_a_key_and_a_certificate_that_it_signs(tmp_path: Path) -> None:
    made = up(tmp_path, {})
    declared = made.one(CERTIFICATE)
    assert declared.name == "a/signing/2026-09-28"
    assert declared.inputs["endDate"] == "2027-01-03T00:00:00Z"
    assert declared.inputs["type"] == "AsymmetricX509Cert"
    held = made.result["a_certificates"]
    assert held.secret
    assert list(held.value) == ["signing"]
    key, certificate = key_and_certificate(held.value["signing"])
    assert held.value["signing"].startswith("-----BEGIN PRIVATE KEY")
    assert certificate == x509.load_pem_x509_certificate(declared_pem(declared).encode())
    assert key.key_size == 2048
    assert certificate.public_key() == key.public_key()
    certificate.verify_directly_issued_by(certificate)
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    [organization] = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    assert (name.value, organization.value) == ("a signing 2026-09-28", "entrant")
    assert certificate.not_valid_before_utc == datetime(2026, 11, 20, 9, tzinfo=UTC)
    assert certificate.not_valid_after_utc == datetime(2027, 1, 3, tzinfo=UTC)
    [entry] = credentials(made)
    assert entry == {
        "kind": "certificate",
        "name": "signing-2026-09-28",
        "calendar": "signing",
        "key_id": entry["key_id"],
        "pem": declared_pem(declared),
        "thumbprint": certificate.fingerprint(hashes.SHA1()).hex().upper(),
        "starts": "2026-11-01T09:30:00Z",
        "ends": "2027-01-03T00:00:00Z",
        "issued": "2026-11-20T10:00:00Z",
        "successor_starts": "2026-12-27T00:00:00Z",
        "kept_until": "2027-01-03T00:00:00Z",
        "current": True,
    }
    assert not made.result["identities"].secret
    assert "PRIVATE KEY" not in json.dumps(made.result["identities"].value)


def test_a_calendar_that_is_read_ahead_of_time_makes_a_certificate_that_is_valid_today(tmp_path: Path) -> None:
    made = up(tmp_path, {}, now="2090-01-01")
    _, certificate = key_and_certificate(made.result["a_certificates"].value["signing"])
    assert certificate.not_valid_before_utc <= datetime.now(UTC) - timedelta(minutes=59)
    assert certificate.not_valid_after_utc > datetime(2090, 1, 1, tzinfo=UTC)


def test_names_that_are_too_long_for_a_certificate_keep_the_slot(tmp_path: Path) -> None:
    app = "a" * 60
    made = up(tmp_path, {}, app=app)
    _, certificate = key_and_certificate(made.result[f"{app}_certificates"].value["signing"])
    [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert len(name.value) <= 64
    assert str(name.value).endswith(" 2026-09-28")


def test_a_preview_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rsa, "generate_private_key", None)
    seen = up(tmp_path, {}, preview=True)
    declared = seen.one(CERTIFICATE)
    assert declared.name == "a/signing/2026-09-28"
    assert isinstance(declared_pem(declared), pulumi.output.Unknown)
    held = seen.result["a_certificates"]
    assert (held.known, held.secret) == (False, True)


@pytest.mark.parametrize("preview", [True, False])
def test_the_next_run_declares_what_was_handed_out(tmp_path: Path, preview: bool) -> None:
    first = up(tmp_path, {})
    second = up(tmp_path, outputs(first), preview=preview, now="2026-11-21")
    assert [(each.name, each.inputs) for each in second.all(CERTIFICATE)] == [
        (each.name, each.inputs | {"applicationId": second.one(CERTIFICATE).inputs.get("applicationId")})
        for each in first.all(CERTIFICATE)
    ]
    held = second.result["a_certificates"]
    assert (held.known, held.secret) == (True, True)
    assert held.value == first.result["a_certificates"].value


def test_a_successor_comes_beside_it_and_has_its_own_key(tmp_path: Path) -> None:
    first = up(tmp_path, {})
    second = up(tmp_path, outputs(first), now="2026-12-27")
    assert len(second.all(CERTIFICATE)) == 2
    newest, before = (second.one(CERTIFICATE, f"a/signing/{slot}") for slot in ("2026-12-27", "2026-09-28"))
    assert before.inputs["value"] == first.one(CERTIFICATE).inputs["value"]
    pem = second.result["a_certificates"].value["signing"]
    assert declared_pem(newest) in pem
    assert key_and_certificate(pem)[0] != key_and_certificate(first.result["a_certificates"].value["signing"])[0]
    assert pem.count("PRIVATE KEY-----") == 2, "only the newest one's key is kept"
    entries = credentials(second)
    assert [(each["name"], each["current"]) for each in entries] == [
        ("signing-2026-12-27", True),
        ("signing-2026-09-28", False),
    ]
    assert entries[1]["kept_until"] == "2027-01-03T00:00:00Z"
    third = up(tmp_path, outputs(second), now="2027-01-03")
    assert [each.name for each in third.all(CERTIFICATE)] == ["a/signing/2026-12-27"]
    assert third.result["a_certificates"].value["signing"] == pem


def test_calendars_do_not_know_of_each_other_nor_of_the_secrets(tmp_path: Path) -> None:
    more = "      other: {every: 30d, starts: 2026-11-10}\n    secret: {every: 30d, starts: 2026-11-15}\n"
    first = up(tmp_path, {}, more=more)
    assert sorted(each.name for each in first.all(CERTIFICATE)) == ["a/other/2026-11-10", "a/signing/2026-09-28"]
    assert sorted(first.result["a_certificates"].value) == ["other", "signing"]
    second = up(tmp_path, outputs(first), more=more, now="2026-12-11")
    assert sorted(each.name for each in second.all(CERTIFICATE)) == [
        "a/other/2026-11-10",
        "a/other/2026-12-10",
        "a/signing/2026-09-28",
    ]
    assert second.result["a_certificates"].value["signing"] == first.result["a_certificates"].value["signing"]
    names = [each["name"] for each in credentials(second)]
    assert names == ["entrant 2026-11-15", "signing-2026-09-28", "other-2026-12-10", "other-2026-11-10"]


def test_one_whose_up_failed_is_made_again_under_its_name(tmp_path: Path) -> None:
    """The outputs, which only an `up` that ends well writes, do not have it: nobody has its key."""
    lost = up(tmp_path, {}).one(CERTIFICATE)
    again = up(tmp_path, {}).one(CERTIFICATE)
    assert again.name == lost.name
    assert again.inputs["value"] != lost.inputs["value"]


@pytest.mark.parametrize("left", [None, {}, {"signing": "another"}])
def test_one_without_its_key_stays_and_is_said(
    tmp_path: Path, left: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = "every: 90d, deliver: [{key_vault: {vault: kv, name: signing}}]"
    first = up(tmp_path, {}, deliver)
    before = outputs(first)
    before["a_certificates"] = left
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda text, *_: warnings.append(text))
    second = up(tmp_path, before, deliver)
    assert second.one(CERTIFICATE).inputs["value"] == first.one(CERTIFICATE).inputs["value"]
    assert second.result["a_certificates"].value == {}
    assert second.all(VAULT_SECRET) == [], "there is nothing to put there"
    [warning] = warnings
    assert "apps.a.certificates.signing: the stack's outputs have no private key of signing-2026-09-28" in warning
    assert "python3 -m entrant revoke -s dev a signing-2026-09-28" in warning


def test_what_a_vault_holds_stays_where_nobody_else_has_the_key(tmp_path: Path) -> None:
    """So that `revoke`, whose `up` may do nothing but rotate, is left with an update of it."""
    deliver = "every: 90d, deliver: [{key_vault: {vault: kv, name: signing}}]"
    before = outputs(up(tmp_path, {}, deliver))
    del before["a_certificates"]
    urn = f"urn:pulumi:dev::entrant::entrant:index:AppIdentity${VAULT_SECRET}::a/key-vault-kv-obs-signing"
    state = {urn: {"type": VAULT_SECRET, "outputs": {"id": f"{VAULT}/secrets/signing"}}, **in_state("2026-09-28")}
    kept = up(tmp_path, before, deliver, state=state).one(VAULT_SECRET)
    assert list(kept.request.ignoreChanges) == ["properties", "tags"]
    assert list(up(tmp_path, {}, deliver, state=state).one(VAULT_SECRET).request.ignoreChanges) == []


def in_state(*slots: str) -> dict[str, Any]:
    """What the state has of the app: its component, and the certificates of these slots."""
    urn = "urn:pulumi:dev::entrant::entrant:index:AppIdentity"
    certificates = {f"{urn}${CERTIFICATE}::a/signing/{slot}": {"type": CERTIFICATE, "outputs": {}} for slot in slots}
    return {f"{urn}::a": {"type": "entrant:index:AppIdentity", "outputs": {}}} | certificates


def test_one_that_somebody_removed_does_not_come_back(tmp_path: Path) -> None:
    """Its key may have leaked; what comes in its place has another key and another name, and is delivered anew."""
    first = up(tmp_path, {})
    before = outputs(first)
    before["identities"]["a"]["credentials"][0]["delivered"] = True
    again = up(tmp_path, before, state=in_state())
    assert again.one(CERTIFICATE).name == "a/signing/2026-09-28-2"
    assert again.one(CERTIFICATE).inputs["value"] != first.one(CERTIFICATE).inputs["value"]
    [entry] = credentials(again)
    assert "delivered" not in entry
    kept = up(tmp_path, before, state=in_state("2026-09-28"))
    assert kept.one(CERTIFICATE).inputs["value"] == first.one(CERTIFICATE).inputs["value"]
    renamed = up(tmp_path, before, app="b", more="    renamed_from: a\n", state=in_state("2026-09-28"))
    assert renamed.one(CERTIFICATE).name == "b/signing/2026-09-28"


def test_a_revoked_one_that_somebody_removed_stays_away_while_its_successor_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = "every: 90d, deliver: [{exec: {command: [put]}}]"
    first = up(tmp_path, {}, pushed)
    monkeypatch.setenv(ROTATION, json.dumps({"revoked": {"a": {"signing-2026-09-28": "it leaked"}}}))
    revoked = up(tmp_path, outputs(first), pushed, state=in_state("2026-09-28"))
    assert len(revoked.all(CERTIFICATE)) == 2
    monkeypatch.delenv(ROTATION)
    left = up(tmp_path, outputs(revoked), pushed, state=in_state("2026-09-28-2"))
    assert left.one(CERTIFICATE).name == "a/signing/2026-09-28-2"


def test_an_app_that_is_renamed_keeps_its_certificates(tmp_path: Path) -> None:
    first = up(tmp_path, {})
    second = up(tmp_path, outputs(first), app="b", more="    renamed_from: a\n")
    assert second.one(CERTIFICATE).name == "b/signing/2026-09-28"
    assert second.one(CERTIFICATE).inputs["value"] == first.one(CERTIFICATE).inputs["value"]
    assert second.result["b_certificates"].value == first.result["a_certificates"].value


def test_what_rotate_and_revoke_say_is_noted_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed = "every: 90d, deliver: [{exec: {command: [put]}}]"
    first = up(tmp_path, {}, pushed)
    waiting = up(tmp_path, outputs(first), pushed)
    assert "delivered" not in credentials(waiting)[0]
    monkeypatch.setenv(ROTATION, json.dumps({"delivered": {"a": ["signing-2026-09-28"]}}))
    noted = up(tmp_path, outputs(first), pushed)
    assert credentials(noted)[0]["delivered"] is True
    monkeypatch.setenv(ROTATION, json.dumps({"revoked": {"a": {"signing-2026-09-28": "it leaked"}}}))
    revoked = up(tmp_path, outputs(noted), pushed)
    assert [(each["name"], each.get("revoked")) for each in credentials(revoked)] == [
        ("signing-2026-09-28-2", None),
        ("signing-2026-09-28", "it leaked"),
    ]
    monkeypatch.setenv(ROTATION, json.dumps({"delivered": {"a": ["signing-2026-09-28-2"]}}))
    [left] = credentials(up(tmp_path, outputs(revoked), pushed))
    assert left["name"] == "signing-2026-09-28-2"


def test_its_places_decide_whether_a_certificate_waits(tmp_path: Path) -> None:
    """Not those of the secret, or of another certificate."""
    more = "    secret: {every: 90d, deliver: [{exec: {command: [put]}}]}\n"
    raised = f"{CALENDAR}, generation: 2"
    first = up(tmp_path, {}, more=more)
    second = up(tmp_path, outputs(first), raised, more=more, now="2026-11-21")
    assert len(second.all(CERTIFICATE)) == 2
    third = up(tmp_path, outputs(second), raised, more=more, now="2026-11-29")
    assert [each["name"] for each in credentials(third) if each["kind"] == "certificate"] == ["signing-2026-09-28-g2"]


def test_a_vault_gets_key_and_certificate(tmp_path: Path) -> None:
    places = "deliver: [{key_vault: {vault: kv, name: signing}}, {exec: {command: [put]}}]"
    made = up(
        tmp_path, {}, f"every: 90d, {places}", more="    secret: {deliver: [{key_vault: {vault: kv, name: s}}]}\n"
    )
    version = made.one(VAULT_SECRET, "a/key-vault-kv-obs-signing")
    content = version.inputs["properties"]["value"]
    assert content["value"] == made.result["a_certificates"].value["signing"]
    assert content["contentType"] == "application/x-pem-file"
    assert content["attributes"] == {"enabled": True, "expires": 1798934400}  # 2027-01-03
    assert version.inputs["tags"]["secret"] == "signing-2026-09-28"
    assert version.inputs["tags"]["key_id"] == credentials(made)[1]["key_id"]
    assert made.result["identities"].value["a"]["deliver"] == [
        "key_vault kv-obs s",
        "key_vault kv-obs signing",
        "exec put",
    ]


def test_two_vaults_of_another_subscription_have_one_provider(tmp_path: Path) -> None:
    other = "11111111-6f14-4e0b-9b1c-2d58e0f4a631"
    vault = VAULT.replace(SUBSCRIPTION, other)
    made = up(
        tmp_path,
        {},
        f'every: 90d, deliver: [{{key_vault: {{vault: "{vault}", name: signing}}}}]',
        more=f'    secret: {{deliver: [{{key_vault: {{vault: "{vault}", name: s}}}}]}}\n',
    )
    assert len(made.all(VAULT_SECRET)) == 2
    assert made.one("pulumi:providers:azure-native").inputs["subscriptionId"] == other


def test_a_program_that_does_not_say_what_was_handed_out_gets_none(tmp_path: Path) -> None:
    """It would have another certificate in each `up`."""
    with pytest.raises(
        pulumi.RunError, match=r"apps\.a\.certificates: .*declare\(environment, before=own_outputs\(\)\)"
    ):
        up(tmp_path, None)


def test_an_app_that_issues_none_has_no_such_output(tmp_path: Path) -> None:
    (tmp_path / "y.yaml").write_text("apps: {a: {secret: {every: 90d}}}")
    environment = config.load("y.yaml", root=tmp_path)
    made = deploy(lambda: stack_outputs(environment, declare(environment, now="2026-11-20", before={})))
    assert "a_certificates" not in made.result


def test_other_programs_are_not_offered_what_the_component_does_not_do() -> None:
    """Annotations of the class are what an SDK in another language has."""
    assert "issued" not in inspect.get_annotations(AppIdentity)
