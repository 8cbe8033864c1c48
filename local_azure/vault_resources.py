"""Key vaults and their secrets in Resource Manager.

Sources: azure-rest-api-specs (Microsoft.KeyVault 2023-07-01), "Key Vault soft-delete overview".
"""

from __future__ import annotations

import re
from typing import Any

from entrant.facts.scopes import Scope, parse_scope
from local_azure.access import Caller, demand
from local_azure.keyvault import SECRET_NAME, described, set_secret, vault_uri
from local_azure.resources import key_of
from local_azure.tree import body_of, no_method
from local_azure.vaults import Vault
from local_azure.wire import Call, Reply, refuse, utc
from local_azure.world import World

Doc = dict[str, Any]

NAME = re.compile(r"(?=.{3,24}\Z)[A-Za-z](?:-?[A-Za-z0-9])*\Z")


def changes_model(stored: Doc, change: Doc) -> bool:
    """Whether a change to a vault is one between roles and access policies, which who may not assign roles may not make.

    Source: "Provide access to Key Vault keys, certificates, and secrets with Azure role-based access control".
    """
    wanted = (change.get("properties") or {}).get("enableRbacAuthorization")
    if stored["type"].lower() != "microsoft.keyvault/vaults" or wanted is None:
        return False
    return bool(stored["properties"]["enableRbacAuthorization"] is not wanted)


def computed_vault(world: World, doc: Doc, stored: Doc | None) -> Doc:
    """What Microsoft.KeyVault computes for a vault.

    Without `enableRbacAuthorization` a vault goes by roles, as the api-version of 2026 has it, unless it is given access policies.
    """
    name, requested = doc["name"], doc["properties"]
    if not NAME.match(name):
        text = (
            f"The vault name '{name[:40]}' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name must "
            "begin with a letter, end with a letter or digit, and not contain consecutive hyphens. Follow this link for more "
            "information: https://go.microsoft.com/fwlink/?linkid=2147742"
        )
        refuse(400, "VaultNameNotValid", text)
    held = world.vaults.get(name)
    recovering = requested.pop("createMode", None) == "recover"
    if held is not None and held.deleted is not None and not recovering:
        text = (
            "A vault with the same name already exists in deleted state. You need to either recover or purge existing key vault. "
            "Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete."
        )
        refuse(409, "ConflictError", text)
    if held is not None and held.deleted is None and held.key != key_of(doc["id"]):
        refuse(409, "VaultAlreadyExists", f"The vault name '{name}' is already in use.")
    before = stored or (held.doc if held is not None and recovering else {})
    properties: Doc = {
        "sku": {"family": "A", "name": "standard"},
        "tenantId": world.tenant_id,
        "enabledForDeployment": False,
        "enableSoftDelete": True,
        "softDeleteRetentionInDays": 90,
        "publicNetworkAccess": "Enabled",
        **(before.get("properties") or {}),
        **requested,
    }
    policies = properties.get("accessPolicies") or []
    if not isinstance(policies, list) or not all(
        isinstance(one, dict)
        and isinstance(permissions := one.get("permissions") or {}, dict)
        and isinstance(permissions.get("secrets") or [], list)
        for one in policies
    ):
        refuse(400, "BadRequest", "'accessPolicies' must be a list of objects with 'objectId' and 'permissions'.")
    days = properties["softDeleteRetentionInDays"]
    if type(days) is not int or not 7 <= days <= 90:
        refuse(400, "BadRequest", "The property 'softDeleteRetentionInDays' must be an integer from 7 to 90.")
    if properties["tenantId"] != world.tenant_id:
        refuse(400, "BadRequest", "An invalid value was provided for 'tenantId'.")
    by_role = properties.get("enableRbacAuthorization")
    doc["properties"] = properties | {
        "accessPolicies": policies,
        "enableRbacAuthorization": not policies if by_role is None else by_role is True,
        "vaultUri": vault_uri(world, name.lower()),
        "provisioningState": "Succeeded",
    }
    world.vaults.put(name, key_of(doc["id"]), doc)
    return doc


def computed_secret(world: World, doc: Doc, stored: Doc | None) -> Doc:
    """A secret put by Resource Manager: its value goes to the vault and is never shown."""
    properties, vault = doc["properties"], world.vaults.get(doc["id"].split("/")[-3])
    if vault is None or vault.deleted is not None:
        refuse(404, "VaultNotFound", "The vault of this secret does not exist.")
    if not SECRET_NAME.match(doc["name"]):
        refuse(400, "BadRequest", f"'{doc['name'][:140]}' is not a secret's name.")
    value = properties.pop("value", None)
    about = {**{name: properties.get(name) for name in ("contentType", "attributes")}, "tags": doc.get("tags")}
    if value is not None and not isinstance(value, str):
        refuse(400, "BadRequest", "The value of a secret must be a string.")
    if value is None:
        found = world.vaults.versions(vault, doc["name"])
        if not found:
            refuse(400, "BadRequest", "The value of the secret is missing.")
        world.vaults.update(vault.name, found[-1], described(about, found[-1].doc))
        one = found[-1]
    else:
        one = set_secret(world, vault, doc["name"], value, about)
    uri = f"{vault.doc['properties']['vaultUri']}secrets/{one.name}"
    doc["properties"] = properties | {"secretUri": uri, "secretUriWithVersion": f"{uri}/{one.version}"}
    return doc


def at_subscription(world: World, call: Call, caller: Caller, subscription: str, rest: list[str]) -> Reply | None:
    """``…/subscriptions/{id}/providers/Microsoft.KeyVault/{rest}`` for deleted vaults and names; `None` for anything else."""
    scope = parse_scope(f"/subscriptions/{subscription}")
    match [part.lower() for part in rest]:
        case ["deletedvaults"]:
            demand(world, caller, "Microsoft.KeyVault/deletedVaults/read", scope)
            if call.method != "GET":
                no_method(call)
            mine = [_shown(one) for one in world.vaults.deleted() if one.key.startswith(key_of(scope.id) + "/")]
            return Reply(200, {"value": mine})
        case ["locations", location, "deletedvaults", name]:
            demand(world, caller, "Microsoft.KeyVault/locations/deletedVaults/read", scope)
            return Reply(200, _shown(_find_deleted(world, location, name, scope)))
        case ["locations", location, "deletedvaults", name, "purge"] if call.method == "POST":
            demand(world, caller, "Microsoft.KeyVault/locations/deletedVaults/purge/action", scope)
            vault = _find_deleted(world, location, name, scope)
            if vault.doc["properties"].get("enablePurgeProtection"):
                refuse(409, "MethodNotAllowed", "Operation 'DeletedVaultPurge' is not allowed.")
            world.vaults.purge(vault.name)
            return Reply(200)
        case ["checknameavailability"] if call.method == "POST":
            demand(world, caller, "Microsoft.KeyVault/checkNameAvailability/read", scope)
            name = str(body_of(call).get("name"))
            if not NAME.match(name):
                return Reply(
                    200, {"nameAvailable": False, "reason": "AccountNameInvalid", "message": "Not a vault's name."}
                )
            if world.vaults.get(name) is not None:
                text = f"The vault name '{name}' is already in use."
                return Reply(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": text})
            return Reply(200, {"nameAvailable": True})
    return None


def _find_deleted(world: World, location: str, name: str, scope: Scope) -> Vault:
    vault = world.vaults.get(name)
    if (
        vault is None
        or vault.deleted is None
        or vault.doc.get("location") != location
        or not vault.key.startswith(key_of(scope.id) + "/")
    ):
        refuse(404, "DeletedVaultNotFound", f"The specified deleted vault '{name[:40]}' does not exist.")
    return vault


def _shown(vault: Vault) -> Doc:
    doc = vault.doc
    location, deleted = doc.get("location"), vault.deleted or 0.0
    return {
        "id": f"{'/'.join(doc['id'].split('/')[:3])}/providers/Microsoft.KeyVault/locations/{location}/deletedVaults/{doc['name']}",
        "name": doc["name"],
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": {
            "vaultId": doc["id"],
            "location": location,
            "tags": doc.get("tags") or {},
            "deletionDate": utc(deleted),
            "scheduledPurgeDate": utc(deleted + vault.retention),
            "purgeProtectionEnabled": bool(doc["properties"].get("enablePurgeProtection")),
        },
    }
