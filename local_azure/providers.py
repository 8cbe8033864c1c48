"""What Resource Manager tells of itself: its providers, the regions, the tenant."""

from __future__ import annotations

from typing import Any

from local_azure.seed import REGIONS
from local_azure.tree import value_of
from local_azure.wire import Reply, refuse
from local_azure.world import World

Doc = dict[str, Any]

PROVIDERS: dict[str, dict[str, str]] = {
    "Microsoft.Authorization": {"roleAssignments": "2022-04-01", "roleDefinitions": "2022-04-01"},
    "Microsoft.Compute": {
        "disks": "2024-03-02",
        "virtualMachines": "2024-07-01",
        "virtualMachineScaleSets": "2024-07-01",
    },
    "Microsoft.Insights": {
        "actionGroups": "2023-01-01",
        "components": "2020-02-02",
        "dataCollectionEndpoints": "2023-03-11",
        "dataCollectionRules": "2023-03-11",
        "metricAlerts": "2018-03-01",
    },
    "Microsoft.KeyVault": {"vaults": "2023-07-01"},
    "Microsoft.Management": {"managementGroups": "2021-04-01"},
    "Microsoft.ManagedIdentity": {"userAssignedIdentities": "2023-01-31"},
    "Microsoft.Network": {"networkSecurityGroups": "2024-05-01", "virtualNetworks": "2024-05-01"},
    "Microsoft.OperationalInsights": {"workspaces": "2023-09-01"},
    "Microsoft.Resources": {"deployments": "2024-03-01", "resourceGroups": "2024-03-01", "subscriptions": "2022-12-01"},
    "Microsoft.Storage": {"storageAccounts": "2023-05-01"},
}
"""Resource providers and their main types, each with the api-version that clients are told; other types work as well."""


def providers(low: list[str], subscription: str | None) -> Reply:
    prefix = f"/subscriptions/{subscription}" if subscription else ""
    known: list[Doc] = [
        {
            "id": f"{prefix}/providers/{name}",
            "namespace": name,
            "registrationPolicy": "RegistrationRequired",
            "registrationState": "Registered",
            "resourceTypes": [
                {"resourceType": kind, "locations": list(REGIONS), "apiVersions": [version], "capabilities": "None"}
                for kind, version in types.items()
            ],
        }
        for name, types in PROVIDERS.items()
    ]
    if len(low) == 1:
        return value_of(known)
    found = next((one for one in known if one["namespace"].lower() == low[1]), None)
    if found is None:
        refuse(404, "InvalidResourceNamespace", f"The resource namespace '{low[1]}' is invalid.")
    return Reply(200, found)


def location(subscription: str, name: str) -> Doc:
    return {
        "id": f"/subscriptions/{subscription}/locations/{name}",
        "name": name,
        "displayName": name,
        "regionalDisplayName": name,
        "type": "Region",
        "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
    }


def tenant(world: World) -> Doc:
    return {
        "id": f"/tenants/{world.tenant_id}",
        "tenantId": world.tenant_id,
        "countryCode": "NL",
        "displayName": "Local directory",
        "domains": [world.domain],
        "defaultDomain": world.domain,
        "tenantCategory": "Home",
        "tenantType": "AAD",
    }
