"""First-party APIs: their application (client) ids and Microsoft Graph's permission ids.

Sources: Microsoft's list of first-party applications; the Microsoft Graph permissions reference (`graph_permissions.json`,
`application: {name: id}`, `delegated: {name: [id, who may consent]}`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

GRAPH = "00000003-0000-0000-c000-000000000000"
AZURE_SERVICE_MANAGEMENT = "797f4846-ba00-4fd7-ba43-dac1f8f63013"
LOG_ANALYTICS = "ca7f3f0b-7d91-482c-8e09-c5d840d0eac5"

FIRST_PARTY: Mapping[str, str] = MappingProxyType(
    {
        "Microsoft Graph": GRAPH,
        "Azure Service Management": AZURE_SERVICE_MANAGEMENT,
        "Log Analytics API": LOG_ANALYTICS,
        "Azure Key Vault": "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
        "Azure Storage": "e406a681-f3d4-42a8-90b6-c2b029497af1",
        "Azure DevOps": "499b84ac-1321-427f-aa17-267ca6975798",
        "Office 365 Exchange Online": "00000002-0000-0ff1-ce00-000000000000",
        "Office 365 SharePoint Online": "00000003-0000-0ff1-ce00-000000000000",
    }
)
"""Display name of an API → its application id, the same in every tenant."""

USER_IMPERSONATION = "41094075-9dad-400e-a0bd-54e686782033"
"""The one delegated permission of Azure Service Management, `user_impersonation`."""

LOG_ANALYTICS_DATA_READ = "e8f6e161-84d0-4cd7-9441-2d46ec9ec3d5"
"""The application permission of the Log Analytics API, `Data.Read`."""

KEY_VAULT = "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"
KEY_VAULT_USER_IMPERSONATION = "f53da476-18e3-4152-8e01-aec403e6edc0"
"""The one delegated permission of Azure Key Vault, `user_impersonation`."""

AZURE_AD_GRAPH = "00000002-0000-0000-c000-000000000000"
"""The API that Microsoft Graph has replaced; retired."""


@dataclass(frozen=True, slots=True)
class DelegatedPermission:
    """A delegated permission: its id and who may consent to it."""

    id: str
    consent: Literal["Admin", "User"]


@dataclass(frozen=True, slots=True)
class Permissions:
    """What an API offers: application permissions (app roles) by name → id, delegated ones (scopes) by name."""

    application: Mapping[str, str]
    delegated: Mapping[str, DelegatedPermission]


@cache
def graph_permissions() -> Permissions:
    """Microsoft Graph's permissions: 714 application and 805 delegated."""
    table = json.loads(Path(__file__).with_name("graph_permissions.json").read_text("utf-8"))
    return Permissions(
        MappingProxyType(table["application"]),
        MappingProxyType({name: DelegatedPermission(*entry) for name, entry in table["delegated"].items()}),
    )
