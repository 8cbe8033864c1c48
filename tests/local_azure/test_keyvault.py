"""Key Vault: Azure's own clients on it, roles and access policies, and what is kept of a secret's value."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.keyvault.secrets import SecretClient
from azure.mgmt.keyvault import KeyVaultManagementClient

import local_azure
from entrant.facts.errors import EXPLANATIONS
from local_azure import LocalAzure
from tests.local_azure.conftest import Client, Identity
from tests.local_azure.test_clients import credential
from tests.passes import Passes

USER = "4633458b-17de-408a-b874-0445c86b69e6"
OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
VERSION = "2023-07-01"


@pytest.fixture
def vault(deployer: Client, group_id: str) -> dict[str, Any]:
    """A fresh vault that goes by roles."""
    path = f"{group_id}/providers/Microsoft.KeyVault/vaults/kv-{uuid.uuid4().hex[:8]}"
    sku = {"family": "A", "name": "standard"}
    properties = {"sku": sku, "tenantId": deployer.azure.tenant_id, "enableRbacAuthorization": True}
    body = {"location": "westeurope", "properties": properties}
    made: dict[str, Any] = deployer.arm("PUT", path, body, version=VERSION)
    return made


@pytest.fixture
def officer(azure: LocalAzure, deployer: Client, vault: dict[str, Any], passes: Passes) -> SecretClient:
    """A SecretClient whose identity is Key Vault Secrets Officer of the vault."""
    identity = deployer.new_identity()
    deployer.grant(OFFICER, vault["id"], identity.object_id)
    return passes.watch("azure-keyvault-secrets", client(azure, vault, identity))


def client(azure: LocalAzure, vault: dict[str, Any], identity: Identity, **more: Any) -> SecretClient:
    # Of the two addresses only the one below *.vault.localhost passes the client's comparison of host and resource.
    return SecretClient(
        vault["properties"]["vaultUri"],
        credential(azure, identity.client_id, identity.secret),
        verify_challenge_resource=False,
        connection_verify=str(azure.ca_file),
        retry_total=0,
        **more,
    )


def refused(call: Callable[..., Any], *arguments: Any) -> tuple[int, str]:
    """The status of a refused call, and the code with most detail."""
    with pytest.raises(HttpResponseError) as failed:
        call(*arguments)
    error = failed.value.response.json()["error"]  # type: ignore[union-attr]
    return failed.value.status_code or 0, error.get("innererror", error)["code"]


@pytest.mark.parametrize("version", ["7.4", "7.5", "7.6", None])
def test_secret_client_sets_and_gets(
    azure: LocalAzure, deployer: Client, vault: Any, version: str | None, passes: Passes
) -> None:
    """The unmodified SecretClient (`None`: its usual api-version) follows the challenge, writes versions, reads each."""
    identity = deployer.new_identity()
    deployer.grant(OFFICER, vault["id"], identity.object_id)
    secrets = client(azure, vault, identity, **({"api_version": version} if version else {}))
    secrets = passes.watch("azure-keyvault-secrets", secrets)
    until = datetime(2040, 1, 1, tzinfo=UTC)
    first = secrets.set_secret("db-password", "one", content_type="text/plain", tags={"a": "b"}, expires_on=until)
    second = secrets.set_secret("db-password", "zwei ü")
    assert secrets.get_secret("db-password").value == "zwei ü"
    read = secrets.get_secret("db-password", first.properties.version)
    assert (read.value, read.properties.expires_on, read.properties.tags) == ("one", until, {"a": "b"})
    found = {one.version for one in secrets.list_properties_of_secret_versions("db-password")}
    assert found == {first.properties.version, second.properties.version}
    changed = secrets.update_secret_properties("db-password", enabled=False, content_type="x")
    assert changed.enabled is False and changed.content_type == "x" and changed.version == second.properties.version
    assert refused(secrets.get_secret, "db-password") == (403, "SecretDisabled")
    assert secrets.get_secret("db-password", first.properties.version).value == "one"


def test_pages(officer: SecretClient) -> None:
    """A list longer than a page is followed to its end, by names and by versions."""
    for number in range(30):
        officer.set_secret(f"s-{number:02}", "x")
    assert [one.name for one in officer.list_properties_of_secrets()] == [f"s-{number:02}" for number in range(30)]
    pages = list(officer.list_properties_of_secrets(max_page_size=7).by_page())
    assert [len(list(page)) for page in pages] == [7, 7, 7, 7, 2]
    for _ in range(26):
        officer.set_secret("s-00", "y")
    assert len(list(officer.list_properties_of_secret_versions("s-00"))) == 27


def test_deleted_secrets(officer: SecretClient) -> None:
    """A deleted secret is out of reach, keeps its name, comes back with all versions, and goes for good when purged."""
    officer.set_secret("one", "old")
    officer.set_secret("one", "new")
    gone = officer.begin_delete_secret("one").result()
    assert gone.recovery_id and gone.scheduled_purge_date and gone.deleted_date
    assert (gone.scheduled_purge_date - gone.deleted_date).days == 90
    with pytest.raises(ResourceNotFoundError):
        officer.get_secret("one")
    with pytest.raises(ResourceExistsError):
        officer.set_secret("one", "x")
    assert [one.name for one in officer.list_deleted_secrets()] == ["one"]
    assert list(officer.list_properties_of_secrets()) == []
    officer.begin_recover_deleted_secret("one").wait()
    assert officer.get_secret("one").value == "new"
    assert len(list(officer.list_properties_of_secret_versions("one"))) == 2
    officer.begin_delete_secret("one").wait()
    officer.purge_deleted_secret("one")
    with pytest.raises(ResourceNotFoundError):
        officer.get_deleted_secret("one")
    assert officer.set_secret("one", "again").value == "again"


def test_backup_and_restore(officer: SecretClient) -> None:
    """A backup brings every version back after a purge, and shows no value."""
    officer.set_secret("kept", "precious-1")
    officer.set_secret("kept", "precious-2")
    backup = officer.backup_secret("kept")
    assert b"precious" not in backup
    with pytest.raises(ResourceExistsError):
        officer.restore_secret_backup(backup)
    officer.begin_delete_secret("kept").wait()
    officer.purge_deleted_secret("kept")
    officer.restore_secret_backup(backup)
    assert officer.get_secret("kept").value == "precious-2"
    assert len(list(officer.list_properties_of_secret_versions("kept"))) == 2


def test_roles_decide(azure: LocalAzure, deployer: Client, vault: Any, officer: SecretClient) -> None:
    """Secrets User reads and no more; a role at one secret counts for that one; the Owner of everything reads nothing."""
    officer.set_secret("mine", "1")
    officer.set_secret("other", "2")
    reader, narrow = deployer.new_identity(), deployer.new_identity()
    deployer.grant(USER, vault["id"], reader.object_id)
    deployer.grant(USER, f"{vault['id']}/secrets/mine", narrow.object_id)
    user, one = client(azure, vault, reader), client(azure, vault, narrow)
    assert user.get_secret("other").value == "2" and len(list(user.list_properties_of_secrets())) == 2
    assert refused(user.set_secret, "mine", "x") == (403, "ForbiddenByRbac")
    assert refused(user.begin_delete_secret, "mine") == (403, "ForbiddenByRbac")
    assert one.get_secret("mine").value == "1"
    assert refused(one.get_secret, "other") == (403, "ForbiddenByRbac")
    assert refused(list, one.list_properties_of_secrets()) == (403, "ForbiddenByRbac")
    owner = Identity(azure.client_id, azure.object_id, "", "", azure.client_secret)
    assert refused(client(azure, vault, owner).get_secret, "mine") == (403, "ForbiddenByRbac")


def test_access_policies(azure: LocalAzure, deployer: Client, group_id: str, app: Identity) -> None:
    """A vault with access policies goes by them and by no role."""
    policy = {"tenantId": azure.tenant_id, "objectId": app.object_id, "permissions": {"secrets": ["Get", "Set"]}}
    body = {"location": "westeurope", "properties": {"accessPolicies": [policy]}}
    path = f"{group_id}/providers/Microsoft.KeyVault/vaults/kv-{uuid.uuid4().hex[:8]}"
    vault = deployer.arm("PUT", path, body, version=VERSION)
    secrets, other = client(azure, vault, app), deployer.new_identity()
    secrets.set_secret("a", "b")
    assert secrets.get_secret("a").value == "b"
    assert refused(list, secrets.list_properties_of_secrets()) == (403, "AccessDenied")
    deployer.grant(OFFICER, vault["id"], other.object_id)
    assert refused(client(azure, vault, other).get_secret, "a") == (403, "AccessDenied")


def test_refusals_are_logged_by_their_own_code(azure: LocalAzure, deployer: Client, vault: Any) -> None:
    """The request log names why a vault refused, and no value or query."""
    before = azure.requests()[-1]["number"]
    deployer.call("PUT", f"/vaults/{vault['name']}/secrets/a?api-version=7.6", {"value": "Hush-4711"})
    [entry] = azure.requests(after=before)
    assert entry["code"] == "ForbiddenByRbac" and entry["code"] in EXPLANATIONS
    assert "Hush" not in str(entry)


def test_challenge_and_address(azure: LocalAzure, deployer: Client, vault: Any) -> None:
    """Without a token comes the challenge; the vault's own host name and the path lead to the same vault."""
    name, vaults = vault["name"], f"vault.localhost:{azure.port}"
    answer = deployer.session.get(f"{azure.url}/vaults/{name}/secrets?api-version=7.6")
    expected = f'Bearer authorization="{azure.url}/{azure.tenant_id}", resource="https://{vaults}"'
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, expected)
    deployer.grant(OFFICER, vault["id"], azure.object_id)
    deployer.call("PUT", f"/vaults/{name}/secrets/a?api-version=7.6", {"value": "b"})
    for scope in (f"https://{vaults}/.default", "https://vault.azure.net/.default"):
        headers = {"Host": f"{name}.{vaults}"}
        shown = deployer.call("GET", "/secrets/a?api-version=7.6", scope=scope, headers=headers).json()
        assert shown["value"] == "b" and shown["id"].startswith(f"https://{name}.{vaults}/secrets/a/")
    wrong = deployer.call(
        "GET", f"/vaults/{name}/secrets/a?api-version=7.6", scope="https://api.loganalytics.io/.default"
    )
    assert wrong.status_code == 401 and "AKV10022" in wrong.json()["error"]["message"]
    assert deployer.call("GET", f"/vaults/{name}/secrets/a?api-version=1").status_code == 400


def test_management_client(azure: LocalAzure, deployer: Client, group_id: str, passes: Passes) -> None:
    """azure-mgmt-keyvault creates, lists, deletes, recovers and purges a vault; a deleted one keeps its name."""
    arm = KeyVaultManagementClient(
        credential(azure, azure.client_id, azure.client_secret),
        azure.subscription_id,
        base_url=azure.url,
        credential_scopes=[f"{azure.url}/.default"],
        connection_verify=str(azure.ca_file),
        retry_total=0,
    )
    arm = passes.watch("azure-mgmt-keyvault", arm)
    group, name = group_id.split("/")[-1], f"kv-{uuid.uuid4().hex[:8]}"
    parameters: Any = {
        "location": "westeurope",
        "properties": {"tenantId": azure.tenant_id, "sku": {"family": "A", "name": "standard"}},
    }
    made = arm.vaults.begin_create_or_update(group, name, parameters).result()
    assert made.properties.vault_uri and name in made.properties.vault_uri
    assert [one.name for one in arm.vaults.list_by_resource_group(group)] == [name]
    assert name in {one.name for one in arm.vaults.list_by_subscription()}
    assert not arm.vaults.check_name_availability({"name": name, "type": "Microsoft.KeyVault/vaults"}).name_available
    arm.vaults.delete(group, name)
    assert name in {one.name for one in arm.vaults.list_deleted()}
    assert refused(arm.vaults.begin_create_or_update, group, name, parameters) == (409, "ConflictError")
    parameters["properties"]["createMode"] = "recover"
    arm.vaults.begin_create_or_update(group, name, parameters).result()
    secret = arm.secrets.create_or_update(group, name, "by-arm", {"properties": {"value": "unseen"}})
    assert secret.properties.secret_uri_with_version and secret.properties.value is None
    arm.vaults.delete(group, name)
    arm.vaults.begin_purge_deleted(name, "westeurope").result()
    assert arm.vaults.check_name_availability({"name": name, "type": "Microsoft.KeyVault/vaults"}).name_available


def test_values_are_not_on_disk_in_clear(state: Path) -> None:
    """No file of the state has a secret's value or a part of it, its key file is private, and a restart reads the value."""
    own = local_azure.start(state)
    deployer = Client(own)
    vault = f"/subscriptions/{own.subscription_id}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/kv-clear"
    own.ensure([f"{vault}/secrets/ensured"])
    deployer.grant(OFFICER, vault, own.object_id)
    for path, body in (
        ("/vaults/kv-clear/secrets/a?api-version=7.6", {"value": "Hush-9314"}),
        (f"{vault}/secrets/b?api-version=2023-07-01", {"properties": {"value": "Hush-9314"}}),
    ):
        assert deployer.call("PUT", path, body).status_code in (200, 201)
    local_azure.stop(state)
    for file in state.iterdir():
        assert file.is_dir() or b"Hush" not in file.read_bytes(), file
    assert (state / "vault.key").stat().st_mode & 0o777 == 0o600
    local_azure.start(state)
    assert deployer.call("GET", "/vaults/kv-clear/secrets/b?api-version=7.6").json()["value"] == "Hush-9314"
