"""Cloud metadata discovery: where the endpoints of this cloud are.

The document's fields are those that go-azure-sdk, azure-native and azure-cli read. `tenant` and `identityProvider` must be these
values, otherwise azurerm takes the cloud for Azure Stack.
"""

from __future__ import annotations

from typing import Any

from local_azure.wire import Call, Reply
from local_azure.world import World


def handle(world: World, call: Call) -> Reply | None:
    """Answer `GET /metadata/endpoints`; `None` for any other path."""
    if call.method != "GET" or [part.lower() for part in call.segments] != ["metadata", "endpoints"]:
        return None
    cloud = describe(world.url)
    return Reply(
        200, [cloud] if call.query.get("api-version", "") < "2022-09-01" and "api-version" in call.query else cloud
    )


def describe(url: str) -> dict[str, Any]:
    """The metadata document of a local Azure at `url`."""
    host = url.removeprefix("https://")
    return {
        "portal": url,
        "authentication": {
            "loginEndpoint": url,
            "audiences": [url, "https://management.core.windows.net", "https://management.azure.com"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "media": url,
        "graphAudience": url,
        "graph": url,
        "name": "LocalAzure",
        "suffixes": {
            "acrLoginServer": host,
            "azureDataLakeAnalyticsCatalogAndJob": host,
            "azureDataLakeStoreFileSystem": host,
            "azureFrontDoorEndpointSuffix": host,
            "attestationEndpoint": host,
            "keyVaultDns": f"vault.{host}",
            "mariadbServerEndpoint": host,
            "mhsmDns": host,
            "mysqlServerEndpoint": host,
            "postgresqlServerEndpoint": host,
            "sqlServerHostname": host,
            "storage": host,
            "storageSyncEndpointSuffix": host,
            "synapseAnalytics": host,
        },
        "batch": url,
        "resourceManager": url,
        "vmImageAliasDoc": f"{url}/aliases.json",
        "activeDirectoryDataLake": url,
        "sqlManagement": url,
        "microsoftGraphResourceId": url,
        "appInsightsResourceId": url,
        "appInsightsTelemetryChannelResourceId": url,
        "attestationResourceId": url,
        "synapseAnalyticsResourceId": url,
        "logAnalyticsResourceId": url,
        "ossrDbmsResourceId": url,
        "gallery": url,
    }
