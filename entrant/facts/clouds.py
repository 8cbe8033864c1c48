"""Azure's national clouds: where each one's endpoints are. The audiences of its APIs are in `facts.audiences`.

Sources: Microsoft's documentation of national clouds (authority hosts, Microsoft Graph), "Azure Government endpoint mapping",
"Azure China developer guide", azure-cli's core/cloud.py (Application Insights). A v2 scope is the audience, a slash and
`.default`, so the scope for custom metrics in the public cloud is `https://monitoring.azure.com//.default`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from entrant.facts.audiences import names
from entrant.facts.scopes import is_guid


@dataclass(frozen=True, slots=True)
class Cloud:
    """One cloud. Endpoints are URLs without a trailing slash; `audiences` maps a short API name to the exact audience."""

    name: str
    authority: str
    """Where tokens come from: `{authority}/{tenant}/oauth2/v2.0/token`."""
    resource_manager: str
    graph: str
    logs: str
    """The Log Analytics query API: `{logs}/v1/workspaces/{id}/query`."""
    insights: str
    """The Application Insights API: `{insights}/v1/apps/{application id}/query`, `…/metrics`, `…/events`."""
    metrics: str
    """Custom metrics, with `{region}` for the resource's region: `{metrics}{resourceId}/metrics`."""
    audiences: Mapping[str, str]

    def scope(self, audience: str) -> str:
        """The OAuth v2 scope of a named audience, a resource URL, a GUID, `api://…` or `urn:…` id, or a scope that is one already.

        Raises:
            KeyError: it is none of these.
        """
        if audience in self.audiences:
            audience = self.audiences[audience]
        elif (
            "://" not in audience
            and not audience.startswith("urn:")
            and not is_guid(audience.removesuffix("/.default"))
        ):
            raise KeyError(audience)
        return audience if audience.endswith("/.default") else audience + "/.default"


def cloud_name(environment: str) -> str:
    """The cloud that a provider's setting `environment` (or ARM_ENVIRONMENT) means, in any of the spellings that are in use.

    >>> [cloud_name(text) for text in ("", "global", "AzureUSGovernmentCloud", "usgovernmentl5", "china", "mars")]
    ['public', 'public', 'usgovernment', 'usgovernment', 'china', 'mars']
    """
    plain = environment.lower().removeprefix("azure").removesuffix("cloud")
    if plain.startswith("usgov") or plain == "dod":
        return "usgovernment"
    return "public" if plain in ("", "public", "global") else plain


CLOUDS: Mapping[str, Cloud] = MappingProxyType(
    {
        "public": Cloud(
            "public",
            "https://login.microsoftonline.com",
            "https://management.azure.com",
            "https://graph.microsoft.com",
            "https://api.loganalytics.io",
            "https://api.applicationinsights.io",
            "https://{region}.monitoring.azure.com",
            MappingProxyType(names("public")),
        ),
        "usgovernment": Cloud(
            "usgovernment",
            "https://login.microsoftonline.us",
            "https://management.usgovcloudapi.net",
            "https://graph.microsoft.us",
            "https://api.loganalytics.us",
            "https://api.applicationinsights.us",
            "https://{region}.monitoring.azure.us",
            MappingProxyType(names("usgovernment")),
        ),
        "china": Cloud(
            "china",
            "https://login.chinacloudapi.cn",
            "https://management.chinacloudapi.cn",
            "https://microsoftgraph.chinacloudapi.cn",
            "https://api.loganalytics.azure.cn",
            "https://api.applicationinsights.azure.cn",
            "https://{region}.monitoring.azure.cn",
            MappingProxyType(names("china")),
        ),
    }
)
