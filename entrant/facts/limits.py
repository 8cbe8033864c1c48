"""Limits of Microsoft Entra and Azure RBAC that reject a declaration, and names that are dangerous to grant.

Sources, by group: "Microsoft Entra service limits and restrictions" and the `application` resource of the Microsoft Graph
reference (registrations), "Workload identity federation: important considerations" (federated credentials), "Supported
accounts validation differences" (personal accounts), "Azure RBAC limits" and "Azure custom roles" (roles), "Privileged roles
and permissions in Microsoft Entra ID" (what counts as privileged).
"""

from datetime import timedelta
from typing import Final

DISPLAY_NAME: Final = 120
DISPLAY_NAME_THERE: Final = 256
"""Longest display name that Microsoft Graph keeps; the portal takes shorter ones."""
DESCRIPTION: Final = 1024
NOTES: Final = 1024
TAG: Final = 256
OWNERS: Final = 100
REDIRECT_URIS: Final = 256
REDIRECT_URIS_PERSONAL: Final = 100
REDIRECT_URI_LENGTH: Final = 256
LOGOUT_URL_LENGTH: Final = 255
IDENTIFIER_URIS_PERSONAL: Final = 50
EXPOSED_SCOPES_PERSONAL: Final = 100
EXPOSED_SCOPE_LENGTH_PERSONAL: Final = 40
PERMISSION_VALUE: Final = 120
"""Longest `value` of an app role or of an exposed scope."""
APIS: Final = 50
"""APIs that one registration may ask permissions of."""
PERMISSIONS: Final = 400
"""Permissions that one registration may ask for, over all APIs."""
PERMISSIONS_PERSONAL: Final = 200
PERMISSIONS_AN_API_PERSONAL: Final = 30
LOGO_BYTES: Final = 100 * 1024

SECRET_LIFETIME: Final = timedelta(days=730)
"""Longest lifetime of a client secret that the portal and Microsoft Graph accept."""

ISSUED_CERTIFICATE_LIFETIME: Final = timedelta(days=36500)
"""Longest lifetime of a certificate that is issued here. Microsoft Entra has no limit of its own, dates have."""

RSA_KEY: Final = 2048
"""Smallest key of a certificate, in bits; other kinds than RSA are not taken ("Certificate credentials")."""

FEDERATED_CREDENTIALS: Final = 20
FEDERATED_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{2,119}"
FEDERATED_TEXT: Final = 600
"""Longest issuer, subject, audience or description of a federated credential."""
EXCHANGE_AUDIENCE: Final = "api://AzureADTokenExchange"
EXCHANGE_AUDIENCES: Final = {
    "public": EXCHANGE_AUDIENCE,
    "usgovernment": "api://AzureADTokenExchangeUSGov",
    "china": "api://AzureADTokenExchangeChina",
}
"""Cloud → the audience that Microsoft Entra ID expects of a token to exchange."""

ROLE_ASSIGNMENT_DESCRIPTION: Final = 2048
ROLE_CONDITION: Final = 8192
CUSTOM_ROLE_NAME: Final = 512
CUSTOM_ROLE_DESCRIPTION: Final = 2048

PRIVILEGED_ROLES: Final = frozenset(
    {
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",  # Owner
        "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",  # User Access Administrator
        "f58310d9-a9f6-439a-9e8d-f62e7b41a168",  # Role Based Access Control Administrator
    }
)
"""Azure roles that can hand out any role, their own included."""

PRIVILEGED_PERMISSIONS: Final = frozenset(
    {
        "AppRoleAssignment.ReadWrite.All",
        "Application.ReadWrite.All",
        "AuthenticationContext.ReadWrite.All",
        "DeviceManagementConfiguration.ReadWrite.All",
        "DeviceManagementRBAC.ReadWrite.All",
        "Directory.AccessAsUser.All",
        "Directory.ReadWrite.All",
        "Domain.ReadWrite.All",
        "EntitlementManagement.ReadWrite.All",
        "Group.ReadWrite.All",
        "GroupMember.ReadWrite.All",
        "Policy.ReadWrite.AuthenticationMethod",
        "Policy.ReadWrite.ConditionalAccess",
        "Policy.ReadWrite.PermissionGrant",
        "PrivilegedAccess.ReadWrite.AzureAD",
        "PrivilegedAccess.ReadWrite.AzureADGroup",
        "PrivilegedAccess.ReadWrite.AzureResources",
        "PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup",
        "PrivilegedEligibilitySchedule.ReadWrite.AzureADGroup",
        "RoleAssignmentSchedule.ReadWrite.Directory",
        "RoleEligibilitySchedule.ReadWrite.Directory",
        "RoleManagement.ReadWrite.Directory",
        "RoleManagementPolicy.ReadWrite.AzureADGroup",
        "RoleManagementPolicy.ReadWrite.Directory",
        "User.DeleteRestore.All",
        "User.EnableDisableAccount.All",
        "User.ReadWrite.All",
        "UserAuthenticationMethod.ReadWrite.All",
    }
)
"""Microsoft Graph permissions with which a holder can widen its own access or take accounts over."""
STACK_APPS: Final = 300
"""Apps of one stack, past which each costs an `up` about twice what it does in a stack of 30 to 100, since the engine writes
the whole state at each step. Measured 2026-11-26 by `python -m benchmarks.growth` (benchmarks/README.md)."""
