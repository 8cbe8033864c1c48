"""Microsoft's own APIs as every tenant has them: service principals with fixed application ids, audiences and permissions.

Application ids and audiences: ``facts.audiences``. Permission ids of Microsoft Graph: ``facts.apis``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from entrant.facts import apis
from entrant.facts.audiences import AUDIENCES, AZURE_MONITOR

MICROSOFT_TENANT = "f8cdef31-a31e-4b4a-93e4-5f571e91255a"
"""`appOwnerOrganizationId` of Microsoft's own service principals."""


@dataclass(frozen=True, slots=True)
class FirstPartyApi:
    """One first-party API: its audiences, compared without regard to case and a trailing slash, each with its name here."""

    app_id: str
    name: str
    audiences: Mapping[str, str]

    @property
    def shorts(self) -> frozenset[str]:
        """The names of its audiences: one API may have several, such as custom metrics and queries of metrics."""
        return frozenset(self.audiences.values())


ALSO = {
    "arm": (
        "https://management.core.windows.net",
        "https://management.core.usgovcloudapi.net",
        "https://management.core.chinacloudapi.cn",
    ),
    "logs": ("https://westus2.api.loganalytics.io",),
}
"""Audiences that an API takes besides those of `facts.audiences`."""
NAMES = {
    apis.AZURE_SERVICE_MANAGEMENT: "Windows Azure Service Management API",
    apis.LOG_ANALYTICS: "Log Analytics API",
    AZURE_MONITOR: "Azure Monitor",
    AUDIENCES["ingestion"].app_id: "Azure Monitor Control Service",
    AUDIENCES["insights"].app_id: "Application Insights API",
    apis.KEY_VAULT: "Azure Key Vault",
    AUDIENCES["storage"].app_id: "Azure Storage",
}
"""Display names that are not the description in `facts.audiences`."""


@cache
def all_apis() -> tuple[FirstPartyApi, ...]:
    """Every first-party API."""
    found: dict[str, FirstPartyApi] = {}
    for short, row in AUDIENCES.items():
        urls = [audience for audience in (row.public, row.usgovernment, row.china) if audience and "://" in audience]
        taken = {text.rstrip("/"): short for text in (*urls, *ALSO.get(short, ()))}
        known = found.get(row.app_id)
        name = known.name if known else NAMES.get(row.app_id, row.what)
        # PostgreSQL and MySQL are one API with one audience under two names.
        found[row.app_id] = FirstPartyApi(row.app_id, name, taken | (dict(known.audiences) if known else {}))
    old = FirstPartyApi(
        apis.AZURE_AD_GRAPH, "Windows Azure Active Directory", {"https://graph.windows.net": "aad-graph"}
    )
    return (*found.values(), old)


@cache
def by_app_id() -> Mapping[str, FirstPartyApi]:
    """Every first-party API by its application id."""
    return {api.app_id: api for api in all_apis()}


@cache
def by_audience() -> Mapping[str, FirstPartyApi]:
    """Every first-party API by audience, lower-case and without a trailing slash."""
    return {audience.lower(): api for api in all_apis() for audience in api.audiences}


def audiences_of(*shorts: str) -> list[str]:
    """The audiences, without a trailing slash, that stand for any of these names."""
    return [text for api in all_apis() for text, short in api.audiences.items() if short in shorts]


def stands_for(audience: str, shorts: Collection[str]) -> bool:
    """Whether an audience, or an application id in its place, is one of an API with one of these names."""
    plain = audience.lower().rstrip("/")
    api = by_audience().get(plain)
    if api is not None:
        return next(short for text, short in api.audiences.items() if text.lower() == plain) in shorts
    named = by_app_id().get(plain)
    return named is not None and not named.shorts.isdisjoint(shorts)


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
