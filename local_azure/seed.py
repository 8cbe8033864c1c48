"""What a new local Azure starts with: a tenant, a subscription, Microsoft's own service principals, and a deployer.

The deployer is the identity that `pulumi up` runs as: a service principal with Owner at the root and the Graph permissions below.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from entrant.facts.apis import GRAPH, graph_permissions
from entrant.facts.roles import find_role
from local_azure import first_party
from local_azure.credentials import new_secret
from local_azure.files import write_private
from local_azure.graph.applications import reflect
from local_azure.graph.rights import APPLICATION, PRINCIPAL
from local_azure.resources import Assignment
from local_azure.wire import is_guid, new_guid, utc
from local_azure.world import World

DEPLOYER_PERMISSIONS = (
    "AdministrativeUnit.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All",
    "Application.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
    "Directory.ReadWrite.All",
    "Group.ReadWrite.All",
    "Policy.Read.All",
    "Policy.ReadWrite.ApplicationConfiguration",
    "RoleManagement.ReadWrite.Directory",
    "User.ReadWrite.All",
)
FAR = 253370764800.0
"""A client secret that does not end in practice: the year 9999."""
REGIONS = (
    "westeurope",
    "northeurope",
    "eastus",
    "eastus2",
    "westus2",
    "uksouth",
    "francecentral",
    "germanywestcentral",
)


@dataclass(frozen=True, slots=True)
class Deployer:
    """The content of `deployer.json`."""

    tenant_id: str
    subscription_id: str
    client_id: str
    object_id: str
    client_secret: str = field(repr=False)


def read_deployer(path: Path) -> Deployer | None:
    """The deployer in a file, or `None` when there is no usable one."""
    try:
        content = json.loads(path.read_text("utf-8"))
        deployer = Deployer(**{name: str(content[name]) for name in Deployer.__slots__})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return deployer if is_guid(deployer.tenant_id) else None


def seed(world: World, state: Path, tenant: str | None = None) -> Deployer:
    """Make sure the tenant and its deployer exist and that `deployer.json` opens the door; the deployer.

    A new tenant has the id `tenant`, if that is given; one that exists keeps its own.
    """
    path = state / "deployer.json"
    kept = read_deployer(path)
    if not world.tenant_id:
        deployer = kept or Deployer(new_guid(), new_guid(), new_guid(), new_guid(), new_secret())
        deployer = replace(deployer, tenant_id=tenant or deployer.tenant_id)
        write_private(path, json.dumps(asdict(deployer), indent=1))
        with world.store.write():
            _tenant(world, deployer)
        return deployer
    known = json.loads(world.store.setting("deployer") or "{}")
    deployer = Deployer(world.tenant_id, known["subscription_id"], known["client_id"], known["object_id"], new_secret())
    if kept is not None and kept.client_id == deployer.client_id:
        deployer = kept
    with world.store.write():
        _first_parties(world)  # an older version may not have had them all
        _identity(world, deployer, known["application"])
        held = world.credentials.secrets_of([known["application"], deployer.object_id], deployer.client_secret)
        if not any(secret.matches for secret in held):
            _add_secret(world, known["application"], deployer.client_secret)
    if deployer is not kept:
        write_private(path, json.dumps(asdict(deployer), indent=1))
    return deployer


def reset(world: World, deployer: Deployer) -> None:
    """Go back to the first start: same tenant, subscription, deployer and keys, nothing else; clock, pace and faults as at first.

    Tokens of the deployer stay valid; those of other identities speak for nobody.
    """
    with world.store.write():
        world.store.erase(settings=("issuer_key",))
        _tenant(world, deployer)
        world.store.set_clock(offset=0.0, speed=1.0)
    world.faults.set([], 0)
    world.pace.set(None, quotas=False)


def _tenant(world: World, deployer: Deployer) -> None:
    store, directory, now = world.store, world.directory, world.store.now()
    store.set_setting("tenant_id", deployer.tenant_id)
    store.set_setting("created", str(now))
    add_subscription(world, deployer.subscription_id, "Local subscription")
    _first_parties(world)
    graph = directory.find("servicePrincipal", "appId", GRAPH)[0]

    application_id = new_guid()
    _identity(world, deployer, application_id)
    _add_secret(world, application_id, deployer.client_secret)
    for name in DEPLOYER_PERMISSIONS:
        directory.assign_app_role(new_guid(), graph["id"], deployer.object_id, graph_permissions().application[name])
    owner = find_role("Owner")
    assert owner is not None, "the table of built-in roles has Owner"
    properties = {
        "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{owner.id}",
        "principalId": deployer.object_id,
        "principalType": "ServicePrincipal",
        "scope": "/",
        "condition": None,
        "conditionVersion": None,
        "description": None,
        "createdOn": utc(now, digits=7),
        "updatedOn": utc(now, digits=7),
        "createdBy": deployer.object_id,
        "updatedBy": deployer.object_id,
        "delegatedManagedIdentityResourceId": None,
    }
    world.resources.put_assignment(Assignment(new_guid(), "/", owner.id, deployer.object_id, 0.0, properties))
    store.set_setting(
        "deployer",
        json.dumps(
            {
                "application": application_id,
                "client_id": deployer.client_id,
                "object_id": deployer.object_id,
                "subscription_id": deployer.subscription_id,
            }
        ),
    )


def _identity(world: World, deployer: Deployer, application_id: str) -> None:
    """Let the deployer's application and service principal exist: brought back when they were deleted."""
    directory, now = world.directory, utc(world.store.now())
    for object_id in (application_id, deployer.object_id):
        directory.restore(object_id)
    application = directory.get(application_id, "application")
    if application is None:
        application = APPLICATION.new(
            {"displayName": "deployer", "description": "Runs pulumi up against this local Azure."},
            id=application_id,
            appId=deployer.client_id,
            createdDateTime=now,
            publisherDomain=world.domain,
        )
        directory.create("application", application)
    if directory.get(deployer.object_id, "servicePrincipal") is None:
        principal = PRINCIPAL.new(
            {}, id=deployer.object_id, createdDateTime=now, appOwnerOrganizationId=deployer.tenant_id
        )
        directory.create("servicePrincipal", reflect(application, principal))


def _add_secret(world: World, application_id: str, value: str) -> None:
    """Replace the deployer's own client secret, of which there is always one, in effect at once."""
    directory, key = world.directory, new_guid()
    application = directory.get(application_id, "application")
    assert application is not None, "_identity comes first"
    for old in application["passwordCredentials"]:
        if old["displayName"] == "deployer.json":
            world.credentials.remove_secret(application_id, old["keyId"])
    credential = {
        "customKeyIdentifier": None,
        "displayName": "deployer.json",
        "endDateTime": utc(FAR),
        "hint": value[:3],
        "keyId": key,
        "secretText": None,
        "startDateTime": utc(0),
    }
    others = [old for old in application["passwordCredentials"] if old["displayName"] != "deployer.json"]
    application["passwordCredentials"] = [*others, credential]
    directory.update(application)
    world.credentials.add_secret(application_id, key, value, 0.0, FAR, created=0.0)


def _first_parties(world: World) -> None:
    """Let the service principal of each of Microsoft's own APIs exist."""
    for api in first_party.all_apis():
        if not world.directory.find("servicePrincipal", "appId", api.app_id):
            world.directory.create("servicePrincipal", _first_party(api, world.store.now()))


def _first_party(api: first_party.FirstPartyApi, now: float) -> dict[str, Any]:
    return PRINCIPAL.new(
        {"displayName": api.name, "servicePrincipalNames": [api.app_id, *api.audiences]},
        id=new_guid(),
        appId=api.app_id,
        appDisplayName=api.name,
        appOwnerOrganizationId=first_party.MICROSOFT_TENANT,
        createdDateTime=utc(now),
        signInAudience="AzureADMultipleOrgs",
    )


def add_subscription(world: World, subscription_id: str, name: str) -> None:
    """Let a subscription exist."""
    doc: dict[str, Any] = {
        "id": f"/subscriptions/{subscription_id}",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription_id,
        "tenantId": world.tenant_id,
        "displayName": name,
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    }
    world.resources.put(doc["id"], "Microsoft.Resources/subscriptions", doc)
