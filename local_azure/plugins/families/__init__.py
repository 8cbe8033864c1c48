"""The families of operations over Microsoft Graph that serve the types of ``azuread_types``.

The requests are those of terraform-provider-azuread 3.9 (what the real plugin embeds). One difference: where the real
one waits for several hits in a row, 4 to 20 seconds at least, this one waits for the first.
"""

from __future__ import annotations

from local_azure.plugins.families.applications import Application, KnownClients, PreAuthorized
from local_azure.plugins.families.base import Family, features_of, ids_by_value, plain
from local_azure.plugins.families.credentials import Certificate, FederatedCredential, Password
from local_azure.plugins.families.grants import AppRoleAssignment, DelegatedGrant, DirectoryRoleAssignment, GroupMember
from local_azure.plugins.families.service_principals import ServicePrincipal, service_principal_extras

__all__ = ["FAMILIES", "Family", "features_of", "ids_by_value", "plain", "service_principal_extras"]


FAMILIES: dict[str, type[Family]] = {
    "application": Application,
    "service principal": ServicePrincipal,
    "password": Password,
    "certificate": Certificate,
    "federated credential": FederatedCredential,
    "pre-authorized": PreAuthorized,
    "known clients": KnownClients,
    "group member": GroupMember,
    "app role assignment": AppRoleAssignment,
    "delegated grant": DelegatedGrant,
    "directory role assignment": DirectoryRoleAssignment,
}
