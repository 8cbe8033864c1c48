"""What tokens are asked for: APIs by name, and the exact audience of each in every cloud.

Slashes count: Log Analytics is asked without a trailing slash, custom metrics and Batch with one ("Be sure to include the trailing
slash"). A GUID is an audience too: the application id of an API that has no URL of its own. `None` where an API is not offered in a
cloud, or where it has no audience of its own there and the resource's URL is named instead.

Each row has its source. Of the application ids it is hashicorp/go-azure-sdk, `sdk/environments/constants.go`, where nothing else is
said; only the local Azure needs them, which plays these APIs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from entrant.facts import apis


@dataclass(frozen=True, slots=True)
class Audience:
    """One API: what it is, its application id in every tenant, its audience in each cloud, and where that is written."""

    what: str
    app_id: str
    public: str
    usgovernment: str | None
    china: str | None
    source: str
    also: tuple[str, ...] = ()
    """Other words that people try for it, to find the right one."""

    def of(self, cloud: str) -> str | None:
        """The audience in a cloud, by the cloud's name."""
        return {"public": self.public, "usgovernment": self.usgovernment, "china": self.china}[cloud]


def _same(what: str, app_id: str, audience: str, source: str, *also: str) -> Audience:
    return Audience(what, app_id, audience, audience, audience, source, also)


AZURE_MONITOR = "6bccf540-eb86-4037-af03-7fa058c2db75"
_OSSRDBMS = Audience(
    "Azure Database for PostgreSQL, MySQL",
    "123cd850-d9df-40bd-94d5-c9f07b7fa203",
    "https://ossrdbms-aad.database.windows.net",
    "https://ossrdbms-aad.database.usgovcloudapi.net",
    "https://ossrdbms-aad.database.chinacloudapi.cn",
    "azure-cli, core/cloud.py (ossrdbms_resource_id)",
    ("ossrdbms", "postgres"),
)

AUDIENCES: Mapping[str, Audience] = MappingProxyType(
    {
        "logs": Audience(
            "Log Analytics queries",
            apis.LOG_ANALYTICS,
            "https://api.loganalytics.io",
            "https://api.loganalytics.us",
            "https://api.loganalytics.azure.cn",
            "azure-cli, core/cloud.py (log_analytics_resource_id)",
            ("loganalytics", "workspace"),
        ),
        "metrics": Audience(
            "custom metrics, sent",
            AZURE_MONITOR,
            "https://monitoring.azure.com/",
            "https://monitoring.azure.us/",
            "https://monitoring.azure.cn/",
            'Microsoft, "Send custom metrics for an Azure resource to the Azure Monitor metric store by using a REST API"',
            ("monitoring", "custommetrics"),
        ),
        "arm": Audience(
            "Azure Resource Manager",
            apis.AZURE_SERVICE_MANAGEMENT,
            "https://management.azure.com",
            "https://management.usgovcloudapi.net",
            "https://management.chinacloudapi.cn",
            'Microsoft, "Azure Government endpoint mapping"; "Azure China developer guide"',
            ("management", "resourcemanager"),
        ),
        "graph": Audience(
            "Microsoft Graph",
            apis.GRAPH,
            "https://graph.microsoft.com",
            "https://graph.microsoft.us",
            "https://microsoftgraph.chinacloudapi.cn",
            'Microsoft Graph, "National cloud deployments"',
            ("msgraph", "microsoftgraph"),
        ),
        "ingestion": Audience(
            "Logs Ingestion",
            "035f9e1d-4f00-4419-bf50-bf2d87eb4878",
            "https://monitor.azure.com",
            "https://monitor.azure.us",
            "https://monitor.azure.cn",
            'Microsoft, "Logs Ingestion API in Azure Monitor"',
            ("dcr", "monitor"),
        ),
        "keyvault": Audience(
            "Key Vault",
            apis.KEY_VAULT,
            "https://vault.azure.net",
            "https://vault.usgovcloudapi.net",
            "https://vault.azure.cn",
            'Microsoft, "Azure Key Vault security: authentication"',
            ("vault", "kv"),
        ),
        "storage": _same(
            "Storage (blobs, queues, tables, files)",
            "e406a681-f3d4-42a8-90b6-c2b029497af1",
            "https://storage.azure.com",
            'Microsoft, "Authorize access to blobs using Microsoft Entra ID": the same in every cloud',
            "blob",
        ),
        "insights": Audience(
            "Application Insights queries, metrics and events",
            "f5c26e74-f226-4ae8-85f0-b4af0080ac9e",
            "https://api.applicationinsights.io",
            "https://api.applicationinsights.us",
            "https://api.applicationinsights.azure.cn",
            "azure-cli, core/cloud.py (app_insights_resource_id)",
            ("appinsights", "applicationinsights"),
        ),
        "metrics-query": Audience(
            "metrics of many resources, read",
            AZURE_MONITOR,
            "https://metrics.monitor.azure.com",
            "https://metrics.monitor.azure.us",
            "https://metrics.monitor.azure.cn",
            "Azure SDK for Java, MetricsAudience",
            ("metricsquery",),
        ),
        "prometheus": Audience(
            "Prometheus queries of an Azure Monitor workspace",
            AZURE_MONITOR,  # [?] whose service principal has this name is not documented
            "https://prometheus.monitor.azure.com",
            "https://prometheus.monitor.azure.us",
            "https://prometheus.monitor.azure.cn",
            "kedacore/keda, pkg/scalers/azure (azureManagedPrometheusResourceURLInCloud)",
            ("promql",),
        ),
        "dataexplorer": Audience(
            "Azure Data Explorer (any cluster)",
            "2746ea77-4702-4b45-80ca-3c97e680e8b7",
            "https://kusto.kusto.windows.net",
            "https://kusto.kusto.usgovcloudapi.net",
            "https://kusto.kusto.chinacloudapi.cn",
            "KustoServiceResourceId of a cluster's /v1/rest/auth/metadata; grafana/azure-data-explorer-datasource",
            ("kusto", "adx"),
        ),
        "eventhubs": _same(
            "Event Hubs",
            "80369ed6-5f11-4dd9-bef3-692475845e77",
            "https://eventhubs.azure.net",
            'Microsoft, "Authenticate an application with Microsoft Entra ID to access Event Hubs": the same for all clouds',
            "eventhub",
        ),
        "servicebus": _same(
            "Service Bus",
            "80a10ef9-8168-493d-abf9-3297c4ef6e3c",
            "https://servicebus.azure.net",
            "Azure SDK for .NET, Azure.Messaging.ServiceBus: the same for all clouds",
        ),
        "sql": Audience(
            "Azure SQL Database, Managed Instance, Synapse SQL",
            "022907d3-0f1b-48f7-badc-1ba6abab6d66",
            "https://database.windows.net",
            "https://database.usgovcloudapi.net",
            "https://database.chinacloudapi.cn",
            "hashicorp/go-azure-sdk, sdk/environments (Sql)",
            ("database", "mssql", "azuresql"),
        ),
        "postgresql": _OSSRDBMS,
        "mysql": _OSSRDBMS,
        "cosmosdb": Audience(
            "Cosmos DB",
            "a232010e-820c-4083-83bb-3ace5fc29d0b",
            "https://cosmos.azure.com",
            None,
            None,
            "hashicorp/go-azure-sdk, sdk/environments (CosmosDB); elsewhere the account's own URL",
            ("cosmos",),
        ),
        "redis": Audience(
            "Azure Cache for Redis, Azure Managed Redis",
            "acca5fbb-b7e4-4009-81f1-37e38fd66d78",
            "https://redis.azure.com",
            "acca5fbb-b7e4-4009-81f1-37e38fd66d78",
            "acca5fbb-b7e4-4009-81f1-37e38fd66d78",
            'Microsoft, "Use Microsoft Entra for cache authentication" (both forms); Microsoft.Azure.StackExchangeRedis',
            ("cache",),
        ),
        "appconfiguration": Audience(
            "App Configuration",
            "35ffadb3-7fc1-497e-b61b-381d28e744cc",
            "https://appconfig.azure.com",
            "https://appconfig.azure.us",
            "https://appconfig.azure.cn",
            "Azure SDK for Python, azure-appconfiguration (get_default_scope)",
            ("appconfig", "azconfig"),
        ),
        "containerregistry": _same(
            "Container Registry, before its exchange for a registry token",
            "6a0ec4d3-30cb-4a83-91c0-ae56bc0e3d26",
            "https://containerregistry.azure.net",
            'Microsoft, "Disable authentication as ARM"; fluxcd/pkg, auth/azure: the same for all clouds',
            "acr",
            "registry",
        ),
        "kubernetes": _same(
            "Kubernetes API of an AKS cluster with Microsoft Entra ID",
            "6dae42f8-4368-4678-94ff-3960e28e3630",
            "6dae42f8-4368-4678-94ff-3960e28e3630",
            'Azure/kubelogin, "AKS AAD Server": the same for all clouds',
            "aks",
            "k8s",
        ),
        "devops": Audience(
            "Azure DevOps",
            "499b84ac-1321-427f-aa17-267ca6975798",
            "499b84ac-1321-427f-aa17-267ca6975798",
            None,
            None,
            'Microsoft, "Use service principals and managed identities in Azure DevOps"',
            ("azuredevops", "azdo", "ado"),
        ),
        "databricks": _same(
            "Azure Databricks",
            "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d",
            "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d",
            'Microsoft, "Get Microsoft Entra ID tokens for service principals"; databricks-sdk: the same for all clouds',
        ),
        "cognitiveservices": Audience(
            "Azure AI services, Azure OpenAI",
            "7d312290-28c8-473c-a0ed-8e53749b6d6d",
            "https://cognitiveservices.azure.com",
            "https://cognitiveservices.azure.us",
            "https://cognitiveservices.azure.cn",
            "Azure SDK for .NET, AzureOpenAIAudience; Azure China documentation of AI services",
            ("openai", "cognitive", "aiservices"),
        ),
        "foundry": Audience(
            "Azure AI Foundry projects and agents",
            "18a66f5f-dbdf-4c17-9dd7-1634712a9cbe",  # Microsoft's list of first-party applications
            "https://ai.azure.com",
            None,
            None,
            'Microsoft, "Authentication and authorization in Azure AI Foundry"',
            ("aifoundry", "ai"),
        ),
        "batch": Audience(
            "Batch",
            "ddbf3205-c6bd-46ae-8127-60eb93363864",
            "https://batch.core.windows.net/",
            "https://batch.core.usgovcloudapi.net/",
            "https://batch.chinacloudapi.cn/",
            "azure-cli, core/cloud.py (batch_resource_id)",
        ),
        "search": Audience(
            "AI Search",
            "880da380-985e-4198-81b9-e05b1cc53158",
            "https://search.azure.com",
            "https://search.azure.us",
            "https://search.azure.cn",
            "Azure SDK for .NET, SearchAudience",
            ("aisearch",),
        ),
        "synapse": Audience(
            "Synapse workspaces",
            "9e09aefc-b2e5-4d19-9f74-3e3e8b11a57b",
            "https://dev.azuresynapse.net",
            "https://dev.azuresynapse.usgovcloudapi.net",
            "https://dev.azuresynapse.azure.cn",
            "hashicorp/go-azure-sdk, sdk/environments (Synapse)",
        ),
        "powerbi": Audience(
            "Power BI",
            "00000009-0000-0000-c000-000000000000",
            "https://analysis.windows.net/powerbi/api",
            "https://high.analysis.usgovcloudapi.net/powerbi/api",
            "https://analysis.chinacloudapi.cn/powerbi/api",
            'Microsoft, "Embed content for national clouds" (of US Government the one for GCC High, whose tenants are there)',
            ("fabric", "pbi"),
        ),
    }
)
"""Name → API, in the order in which they are listed."""


def names(cloud: str) -> dict[str, str]:
    """The audiences of a cloud by name."""
    found = {name: api.of(cloud) for name, api in AUDIENCES.items()}
    return {name: audience for name, audience in found.items() if audience is not None}
