"""Pulumi's types of the resources that make an identity, as their providers name them."""

from typing import Final


def _azuread(name: str) -> str:
    return f"azuread:index/{name[0].lower()}{name[1:]}:{name}"


APPLICATION: Final = _azuread("Application")
PRINCIPAL: Final = _azuread("ServicePrincipal")
PASSWORD: Final = _azuread("ApplicationPassword")
PRINCIPAL_PASSWORD: Final = _azuread("ServicePrincipalPassword")
CERTIFICATE: Final = _azuread("ApplicationCertificate")
FEDERATED: Final = _azuread("ApplicationFederatedIdentityCredential")
FLEXIBLE: Final = _azuread("ApplicationFlexibleFederatedIdentityCredential")
OWNER: Final = _azuread("ApplicationOwner")
REDIRECT_URIS: Final = _azuread("ApplicationRedirectUris")
PRE_AUTHORIZED: Final = _azuread("ApplicationPreAuthorized")
KNOWN_CLIENTS: Final = _azuread("ApplicationKnownClients")
APP_ROLE_ASSIGNMENT: Final = _azuread("AppRoleAssignment")
DELEGATED_GRANT: Final = _azuread("ServicePrincipalDelegatedPermissionGrant")
GROUP_MEMBER: Final = _azuread("GroupMember")
DIRECTORY_ROLE_ASSIGNMENT: Final = _azuread("DirectoryRoleAssignment")
ROLE_ASSIGNMENT: Final = "azure-native:authorization:RoleAssignment"
IDENTITY: Final = "entrant:index:AppIdentity"
API_CLIENTS: Final = "entrant:index:ApiClients"
ROLE_DEFINITION: Final = "azure-native:authorization:RoleDefinition"
VAULT_SECRET: Final = "azure-native:keyvault:Secret"
