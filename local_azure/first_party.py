"""Microsoft's own APIs as every tenant has them: service principals with fixed application ids, audiences and permissions.

Application ids: Microsoft's list of first-party applications. Permission ids of Microsoft Graph: ``facts.apis``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from facts import apis
from facts.clouds import CLOUDS

MICROSOFT_TENANT = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
"""`appOwnerOrganizationId` of Microsoft's own service principals."""


@dataclass(frozen=True, slots=True)
class Api:
    """One first-party API: the audiences a token may be asked for (compared without a trailing slash)."""

    app_id: str
    name: str
    audiences: tuple[str, ...]
    short: str


def _everywhere(short: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cloud.audiences[short].rstrip("/") for cloud in CLOUDS.values()))


APIS: tuple[Api, ...] = (
    Api(apis.GRAPH, "Microsoft Graph", _everywhere("graph"), "graph"),
    Api(
        apis.AZURE_SERVICE_MANAGEMENT,
        "Windows Azure Service Management API",
        (
            *_everywhere("arm"),
            "https://management.core.windows.net",
            "https://management.core.usgovcloudapi.net",
            "https://management.core.chinacloudapi.cn",
        ),
        "arm",
    ),
    Api(apis.LOG_ANALYTICS, "Log Analytics API", (*_everywhere("logs"), "https://westus2.api.loganalytics.io"), "logs"),
    Api(
        "035f9e1d-4f00-4419-bf50-bf2d87eb4878",
        "Azure Monitor Control Service",
        _everywhere("ingestion"),
        "ingestion",
    ),
    Api(
        "6bccf540-eb86-4037-af03-7fa058c2db75",
        "Azure Monitor",
        (*(audience.rstrip("/") for audience in _everywhere("metrics")), "https://metrics.monitor.azure.com"),
        "metrics",
    ),
    Api("cfa8b339-82a2-471a-a3c9-0fc0be7a4093", "Azure Key Vault", _everywhere("keyvault"), "keyvault"),
    Api("e406a681-f3d4-42a8-90b6-c2b029497af1", "Azure Storage", _everywhere("storage"), "storage"),
    Api(
        "00000002-0000-0000-c000-000000000000",
        "Windows Azure Active Directory",
        ("https://graph.windows.net",),
        "aad-graph",
    ),
)


@cache
def by_app_id() -> Mapping[str, Api]:
    """Every first-party API by its application id."""
    return {api.app_id: api for api in APIS}


@cache
def by_audience() -> Mapping[str, Api]:
    """Every first-party API by audience, lower-case and without a trailing slash."""
    return {audience.lower().rstrip("/"): api for api in APIS for audience in api.audiences}


@cache
def app_roles(app_id: str) -> tuple[Mapping[str, Any], ...]:
    """The API's application permissions, as a service principal's `appRoles`."""
    if app_id == apis.GRAPH:
        offered = dict(apis.graph_permissions().application)
    else:
        offered = {"Data.Read": apis.LOG_ANALYTICS_DATA_READ} if app_id == apis.LOG_ANALYTICS else {}
    return tuple(
        {
            "allowedMemberTypes": ["Application"],
            "description": name,
            "displayName": name,
            "id": guid,
            "isEnabled": True,
            "origin": "Application",
            "value": name,
        }
        for name, guid in offered.items()
    )


@cache
def permission_scopes(app_id: str) -> tuple[Mapping[str, Any], ...]:
    """The API's delegated permissions, as a service principal's `oauth2PermissionScopes`."""
    if app_id == apis.GRAPH:
        offered = [(name, scope.id, scope.consent) for name, scope in apis.graph_permissions().delegated.items()]
    elif app_id == apis.AZURE_SERVICE_MANAGEMENT:
        offered = [("user_impersonation", apis.USER_IMPERSONATION, "User")]
    elif app_id == apis.KEY_VAULT:
        offered = [("user_impersonation", apis.KEY_VAULT_USER_IMPERSONATION, "User")]
    else:
        offered = []
    return tuple(
        {
            "adminConsentDescription": name,
            "adminConsentDisplayName": name,
            "id": guid,
            "isEnabled": True,
            "type": consent,
            "userConsentDescription": name,
            "userConsentDisplayName": name,
            "value": name,
        }
        for name, guid, consent in offered
    )
