"""Client secrets on their way into Key Vault, under mocks; and what the program notes of deliveries."""

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components import declare, stack_outputs
from entrant import config
from entrant.facts.contract import ROTATION

from .mocked import PASSWORD, SUBSCRIPTION, Deployment, deploy

SECRET = "azure-native:keyvault:Secret"
SECRET_MARK = "4dabf18193072939515e22adb298388d"
PROVIDER = "pulumi:providers:azure-native"
VAULT = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-obs"


def up(tmp_path: Path, *places: str, vault: str = VAULT, before: Any = None, **options: Any) -> Deployment:
    """An app whose secret is delivered to these places."""
    listed = "".join(f"      - {place}\n" for place in places)
    text = f"scopes: {{kv: {vault}}}\napps:\n  a:\n    secret:\n      every: 90d\n      deliver:\n{listed}"
    (tmp_path / "x.yaml").write_text(text)
    environment = config.load("x.yaml", root=tmp_path)
    return deploy(lambda: stack_outputs(environment, declare(environment, now="2026-11-20", before=before)), **options)


def test_a_vault_gets_the_newest_secret_with_its_end_and_whose_it_is(tmp_path: Path) -> None:
    deployed = up(tmp_path, "key_vault: {vault: kv, name: the-secret}")
    made = deployed.one(SECRET)
    assert made.name == "a/key-vault-kv-obs-the-secret"
    assert (made.inputs["vaultName"], made.inputs["resourceGroupName"]) == ("kv-obs", "rg")
    assert made.request.retainOnDelete
    assert made.inputs["properties"] == {
        SECRET_MARK: "1b47061264138c4ac30d75fd1eb44270",
        "value": {
            "attributes": {"enabled": True, "expires": 1798934400},  # 2027-01-03
            "contentType": "client secret of Microsoft Entra ID",
            "value": "value-of-a-secret-2026-09-28",
        },
    }
    assert made.inputs["tags"]["app"] == "a"
    assert made.inputs["tags"]["stack"] == "entrant:entrant/dev"
    assert made.inputs["tags"]["secret"] == "2026-09-28"
    assert made.inputs["tags"]["key_id"] == credentials(deployed)[0]["key_id"]
    assert set(made.inputs["tags"]) == {"app", "client_id", "key_id", "secret", "stack"}


def test_of_two_secrets_the_vault_gets_the_newest(tmp_path: Path) -> None:
    made = up(tmp_path, "key_vault: {vault: kv, name: the-secret}", before=two_secrets()).one(SECRET)
    assert made.inputs["tags"]["secret"] == "2026-09-28"
    assert made.inputs["properties"]["value"]["value"] == "value-of-a-secret-2026-09-28"


def test_a_vault_of_another_subscription_has_a_provider_of_its_own(tmp_path: Path) -> None:
    own = up(tmp_path, "key_vault: {vault: kv, name: secret-n}")
    assert own.all(PROVIDER) == []
    other = "11111111-6f14-4e0b-9b1c-2d58e0f4a631"
    provider = up(tmp_path, "key_vault: {vault: kv, name: secret-n}", vault=VAULT.replace(SUBSCRIPTION, other)).one(
        PROVIDER
    )
    assert provider.inputs["subscriptionId"] == other


def test_what_the_vault_has_already_is_taken_over_where_it_is_this_stacks_or_the_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(pulumi.RunError, match="has a secret secret-n that this stack did not make"):
        up(tmp_path, "key_vault: {vault: kv, name: secret-n}", vault_secrets={"secret-n": {"owner": "ada"}})
    adopted = up(tmp_path, "key_vault: {vault: kv, name: secret-n, adopt: true}", vault_secrets={"secret-n": {}})
    assert adopted.one(SECRET).request.importId == f"{VAULT}/secrets/secret-n"
    left = up(
        tmp_path, "key_vault: {vault: kv, name: secret-n}", vault_secrets={"secret-n": {"stack": "entrant:entrant/dev"}}
    )
    assert left.one(SECRET).request.importId == f"{VAULT}/secrets/secret-n"
    fresh = up(tmp_path, "key_vault: {vault: kv, name: secret-n, adopt: true}")
    assert fresh.one(SECRET).request.importId == ""


def secret(name: str, issued: str, ends: str, **more: Any) -> dict[str, Any]:
    """A secret in the outputs."""
    return {"kind": "secret", "name": f"entrant {name}", "issued": issued, "starts": issued, "ends": ends, **more}


def two_secrets() -> dict[str, Any]:
    """The outputs with a secret and the one before it."""
    newest = secret("2026-09-28", "2026-11-19T00:00:00Z", "2027-01-03T00:00:00Z")
    before = secret("2026-06-30", "2026-07-01T00:00:00Z", "2026-12-31T00:00:00Z")
    return {"identities": {"a": {"credentials": [newest, before]}}}


def credentials(made: Deployment) -> list[dict[str, Any]]:
    """The credentials in the outputs."""
    found: list[dict[str, Any]] = made.result["identities"].value["a"]["credentials"]
    return found


def test_one_that_somebody_removed_is_not_noted_as_delivered_any_more(tmp_path: Path) -> None:
    """What is made in its place has another value, under the same name."""
    before = two_secrets()
    before["identities"]["a"]["credentials"][0]["delivered"] = True
    urn = "urn:pulumi:dev::entrant::entrant:index:AppIdentity"
    there = {
        f"{urn}${PASSWORD}::a-secret-{slot}": {"type": PASSWORD, "outputs": {}} for slot in ("2026-09-28", "2026-06-30")
    }
    kept = credentials(up(tmp_path, "exec: {command: [put]}", before=before, state=there))
    assert kept[0]["delivered"] is True
    del there[f"{urn}${PASSWORD}::a-secret-2026-09-28"]
    again = credentials(up(tmp_path, "exec: {command: [put]}", before=before, state=there))
    assert [(each["name"], each.get("delivered")) for each in again] == [
        ("entrant 2026-09-28", None),
        ("entrant 2026-06-30", None),
    ]


def test_what_rotate_says_of_an_up_is_noted_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the outputs, so that the next `up` knows it without being told."""
    before = two_secrets()
    place = "exec: {command: [put]}"
    first = credentials(up(tmp_path, place, before=before))
    assert [(entry["name"], entry.get("delivered")) for entry in first] == [
        ("entrant 2026-09-28", None),
        ("entrant 2026-06-30", None),
    ]
    assert first[1]["kept_until"] == "2026-12-31T00:00:00Z"
    news = {"delivered": {"a": ["2026-09-28"]}, "revoked": {"a": {"2026-06-30": "it leaked"}}}
    monkeypatch.setenv(ROTATION, json.dumps(news))
    [described] = credentials(up(tmp_path, place, before=before))
    assert (described["name"], described["delivered"]) == ("entrant 2026-09-28", True)
    monkeypatch.delenv(ROTATION)
    before["identities"]["a"]["credentials"][0]["delivered"] = True
    assert credentials(up(tmp_path, place, before=before))[0]["delivered"] is True


def test_where_secrets_go_is_in_the_outputs(tmp_path: Path) -> None:
    """`review` tells from it what the file changes."""
    made = up(tmp_path, "key_vault: {vault: kv, name: secret-n}", "github: {repository: contoso/obs, name: SECRET_N}")
    assert made.result["identities"].value["a"]["deliver"] == [
        "key_vault kv-obs secret-n",
        "github contoso/obs SECRET_N",
    ]
