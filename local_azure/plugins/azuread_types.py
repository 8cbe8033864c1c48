"""The table of azuread resource types: what each property is, and which family of operations serves the type.

Source: the schema of pulumi-azuread 6.11 (required inputs, defaults, replace-on-change) and Microsoft Graph's resource types
(the wire names). ``tests/local_azure/test_plugins_types.py`` compares this table with the installed SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_azure.plugins.azuread_values import (
    GUID,
    claim_value,
    in_base64,
    length,
    matches,
    no_duplicate_permissions,
    not_blank,
    not_empty,
    one_of,
    personal_accounts,
    rfc3339,
    uri,
)
from local_azure.plugins.schema import Check, Prop, ResourceType

NOT_COVERED = "is known to the real azuread plugin, but not covered by this stand-in"


_uuid = matches(GUID, "must be a UUID")
_application_id = matches(f"/applications/{GUID}", "must be an application's id, /applications/<object id>")
_http_url = uri(("http", "https"))
_redirect_schemes = ("http", "https", "ms-appx-web", "brk-multihub")

# Short forms


def _string(wire: str = "", *checks: Check, **flags: Any) -> Prop:
    return Prop(kind="string", wire=wire, checks=checks, **flags)


def _bool(wire: str = "", **flags: Any) -> Prop:
    return Prop(kind="bool", wire=wire, **flags)


def _strings(wire: str = "", *checks: Check, ordered: bool = False, **flags: Any) -> Prop:
    return Prop(
        kind="list" if ordered else "set", wire=wire, each=Prop(kind="string", checks=checks, blank=""), **flags
    )


def _object(wire: str, fields: Mapping[str, Prop], **flags: Any) -> Prop:
    return Prop(kind="object", wire=wire, fields=fields, **flags)


def _objects(wire: str, fields: Mapping[str, Prop], *, ordered: bool = False, **flags: Any) -> Prop:
    return Prop(kind="list" if ordered else "set", wire=wire, each=Prop(kind="object", fields=fields), **flags)


def _out(kind: str = "string", wire: str = "", **flags: Any) -> Prop:
    return Prop(kind=kind, wire=wire, output_only=True, computed=True, **flags)  # type: ignore[arg-type]


def _timeouts(create: int, delete: int, read: int, update: int | None = None) -> dict[str, int]:
    minutes = {"create": create, "delete": delete, "read": read}
    return minutes if update is None else {**minutes, "update": update}


# Pieces shared by several types

_FEATURE_TAGS = {
    "customSingleSignOn": _bool(),
    "enterprise": _bool(),
    "gallery": _bool(),
    "hide": _bool(),
}
_OLD_FEATURES = {
    "customSingleSignOnApp": _bool(),
    "enterpriseApplication": _bool(),
    "galleryApplication": _bool(),
    "visibleToUsers": _bool(default=True),
}
_PERMISSION_SCOPE = {
    "adminConsentDescription": _string("adminConsentDescription", not_empty, blank=""),
    "adminConsentDisplayName": _string("adminConsentDisplayName", not_empty, blank=""),
    "enabled": _bool("isEnabled", default=True),
    "id": _string("id", _uuid, required=True),
    "type": _string("type", one_of("Admin", "User"), default="User"),
    "userConsentDescription": _string("userConsentDescription", not_empty, blank=""),
    "userConsentDisplayName": _string("userConsentDisplayName", not_empty, blank=""),
    "value": _string("value", claim_value, blank=""),
}
_APP_ROLE = {
    "allowedMemberTypes": _strings("allowedMemberTypes", one_of("Application", "User"), required=True, min_items=1),
    "description": _string("description", not_empty, required=True),
    "displayName": _string("displayName", not_empty, required=True),
    "enabled": _bool("isEnabled", default=True),
    "id": _string("id", _uuid, required=True),
    "value": _string("value", claim_value, blank=""),
}
_OPTIONAL_CLAIM = {
    "additionalProperties": _strings(
        "additionalProperties",
        one_of(
            "cloud_displayname", "dns_domain_and_sam_account_name", "emit_as_roles",
            "include_externally_authenticated_upn", "include_externally_authenticated_upn_without_hash",
            "max_size_limit", "netbios_domain_and_sam_account_name", "on_premise_security_identifier",
            "sam_account_name", "use_guid",
        ),
        ordered=True,
    ),
    "essential": _bool("essential"),
    "name": _string("name", required=True),
    "source": _string("source", one_of("user"), codec="absent-when-unset"),
}  # fmt: skip
_GROUP_CLAIMS = one_of("All", "None", "ApplicationGroup", "DirectoryRole", "SecurityGroup")
_SIGN_IN_AUDIENCES = one_of(
    "AzureADMyOrg", "AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount"
)
_END_DATE_RELATIVE = (
    "is deprecated, and the azuread plugin ignores it: the credential gets the service's default lifetime. Set endDate."
)


def _outputs_of(fields: Mapping[str, Prop], *, ordered_members: bool = False) -> dict[str, Prop]:
    return {
        name: Prop(
            kind="list" if prop.kind == "set" and ordered_members else prop.kind,
            wire=prop.wire,
            output_only=True,
            each=prop.each,
            fields=prop.fields,
        )
        for name, prop in fields.items()
    }


def _password() -> dict[str, Any]:
    return {
        "family": "password",
        "settings": {"deprecated": {"endDateRelative": _END_DATE_RELATIVE}},
        "id_format": "{parent}/password/{key}",
        "schema_version": 1,
        "timeouts": _timeouts(15, 5, 5, 5),
        "props": {
            "applicationId": _string("", _application_id, required=True, force_new=True),
            "displayName": _string("displayName", computed=True, force_new=True),
            "endDate": _string("endDateTime", rfc3339, computed=True, force_new=True, conflicts=("endDateRelative",)),
            "endDateRelative": _string("", not_empty, force_new=True, conflicts=("endDate",)),
            "rotateWhenChanged": Prop(kind="map", force_new=True),
            "startDate": _string("startDateTime", rfc3339, computed=True, force_new=True),
            "keyId": _out(),
            "value": _out(secret=True),
        },
    }


def _certificate() -> dict[str, Any]:
    return {
        "family": "certificate",
        "settings": {"deprecated": {"endDateRelative": _END_DATE_RELATIVE}},
        "id_format": "{parent}/certificate/{key}",
        "timeouts": _timeouts(10, 5, 5, 10),
        "props": {
            "applicationId": _string("", _application_id, required=True, force_new=True),
            "encoding": _string("", one_of("base64", "hex", "pem"), default="pem", force_new=True),
            "endDate": _string("", rfc3339, computed=True, force_new=True, conflicts=("endDateRelative",)),
            "endDateRelative": _string("", not_empty, force_new=True, conflicts=("endDate",)),
            "keyId": _string("", _uuid, computed=True, force_new=True),
            "startDate": _string("", rfc3339, computed=True, force_new=True),
            "type": _string("", one_of("AsymmetricX509Cert", "Symmetric"), force_new=True),
            "value": _string("", required=True, force_new=True, secret=True),
        },
    }


def _token(name: str) -> str:
    return f"azuread:index/{name[0].lower()}{name[1:]}:{name}"


_ROWS: dict[str, dict[str, Any]] = {
    "Application": {
        "family": "application",
        "id_format": "/applications/{id}",
        "schema_version": 2,
        "timeouts": _timeouts(10, 5, 5, 10),
        "rules": (personal_accounts, no_duplicate_permissions),
        "props": {
            "api": _object(
                "api",
                {
                    "knownClientApplications": _strings("knownClientApplications", _uuid),
                    "mappedClaimsEnabled": _bool("acceptMappedClaims"),
                    "oauth2PermissionScopes": _objects("oauth2PermissionScopes", _PERMISSION_SCOPE),
                    "requestedAccessTokenVersion": Prop(
                        kind="int",
                        wire="requestedAccessTokenVersion",
                        default=1,
                        checks=(lambda value: None if value in (1, 2) else f"must be 1 or 2, but is {value}",),
                    ),
                },
            ),
            "appRoles": _objects("appRoles", _APP_ROLE),
            "description": _string("description", length(0, 1024)),
            "deviceOnlyAuthEnabled": _bool("isDeviceOnlyAuthSupported"),
            "displayName": _string("displayName", not_empty, required=True),
            "fallbackPublicClientEnabled": _bool("isFallbackPublicClient"),
            "featureTags": _objects("", _FEATURE_TAGS, ordered=True, computed=True, conflicts=("tags",)),
            "groupMembershipClaims": _strings("groupMembershipClaims", _GROUP_CLAIMS, codec="comma"),
            "identifierUris": _strings("identifierUris", not_empty),
            "logoImage": _string("", in_base64),
            "marketingUrl": _string("info.marketingUrl"),
            "notes": _string("notes", not_empty),
            "oauth2PostResponseRequired": _bool(),
            "optionalClaims": _object(
                "optionalClaims",
                {
                    "accessTokens": _objects("accessToken", _OPTIONAL_CLAIM, ordered=True),
                    "idTokens": _objects("idToken", _OPTIONAL_CLAIM, ordered=True),
                    "saml2Tokens": _objects("saml2Token", _OPTIONAL_CLAIM, ordered=True),
                },
            ),
            "owners": _strings("", _uuid, max_items=100),
            "password": _object(
                "",
                {
                    "displayName": _string(required=True),
                    "endDate": _string(computed=True),
                    "keyId": _out(),
                    "startDate": _string(computed=True),
                    "value": _out(secret=True),
                },
                unsupported=f"{NOT_COVERED}: use an ApplicationPassword",
            ),
            "preventDuplicateNames": _bool(),
            "privacyStatementUrl": _string("info.privacyStatementUrl"),
            "publicClient": _object(
                "publicClient", {"redirectUris": _strings("redirectUris", uri(urn=True, longest=256), max_items=256)}
            ),
            "requiredResourceAccesses": _objects(
                "requiredResourceAccess",
                {
                    "resourceAccesses": _objects(
                        "resourceAccess",
                        {
                            "id": _string("id", _uuid, required=True),
                            "type": _string("type", one_of("Role", "Scope"), required=True),
                        },
                        ordered=True,
                        required=True,
                    ),
                    "resourceAppId": _string("resourceAppId", required=True),
                },
            ),
            "serviceManagementReference": _string("serviceManagementReference"),
            "signInAudience": _string("signInAudience", _SIGN_IN_AUDIENCES, default="AzureADMyOrg"),
            "singlePageApplication": _object(
                "spa",
                {
                    "redirectUris": _strings(
                        "redirectUris", uri(_redirect_schemes, need_path=True, longest=256), max_items=256
                    )
                },
            ),
            "supportUrl": _string("info.supportUrl"),
            "tags": _strings("", computed=True, conflicts=("featureTags",)),
            "templateId": _string(
                "", _uuid, computed=True, force_new=True, unsupported=f"{NOT_COVERED}: leave it out of a rehearsal"
            ),
            "termsOfServiceUrl": _string("info.termsOfServiceUrl"),
            "web": _object(
                "web",
                {
                    "homepageUrl": _string("homePageUrl", _http_url),
                    "implicitGrant": _object(
                        "implicitGrantSettings",
                        {
                            "accessTokenIssuanceEnabled": _bool("enableAccessTokenIssuance"),
                            "idTokenIssuanceEnabled": _bool("enableIdTokenIssuance"),
                        },
                    ),
                    "logoutUrl": _string("logoutUrl", uri(("http", "https"), longest=255)),
                    "redirectUris": _strings(
                        "redirectUris", uri(_redirect_schemes, urn=True, need_path=True, longest=256), max_items=256
                    ),
                },
            ),
            "appRoleIds": _out("map", follows="appRoles"),
            "clientId": _out(wire="appId"),
            "disabledByMicrosoft": _out(wire="disabledByMicrosoftStatus"),
            "logoUrl": _out(wire="info.logoUrl", follows="logoImage"),
            "oauth2PermissionScopeIds": _out("map", follows="api.oauth2PermissionScopes"),
            "objectId": _out(wire="id"),
            "publisherDomain": _out(wire="publisherDomain"),
        },
    },
    "ServicePrincipal": {
        "family": "service principal",
        "id_format": "/servicePrincipals/{id}",
        "schema_version": 1,
        "timeouts": _timeouts(10, 5, 5, 10),
        "props": {
            "accountEnabled": _bool("accountEnabled", default=True),
            "alternativeNames": _strings("alternativeNames", not_empty),
            "appRoleAssignmentRequired": _bool("appRoleAssignmentRequired"),
            "clientId": _string("appId", _uuid, required=True, force_new=True),
            "description": _string("description", length(0, 1024)),
            "featureTags": _objects("", _FEATURE_TAGS, ordered=True, computed=True, conflicts=("features", "tags")),
            "features": _objects("", _OLD_FEATURES, ordered=True, computed=True, conflicts=("featureTags", "tags")),
            "loginUrl": _string("loginUrl", _http_url),
            "notes": _string("notes", length(0, 1024)),
            "notificationEmailAddresses": _strings("notificationEmailAddresses", not_empty),
            "owners": _strings("", _uuid),
            "preferredSingleSignOnMode": _string(
                "preferredSingleSignOnMode", one_of("", "notSupported", "oidc", "password", "saml")
            ),
            "samlSingleSignOn": _object(
                "samlSingleSignOnSettings",
                {"relayState": _string("relayState", not_empty, codec="absent-when-unset")},
            ),
            "tags": _strings("", computed=True, conflicts=("featureTags", "features")),
            "useExisting": _bool(),
            "appRoleIds": _out("map"),
            "appRoles": _objects(
                "appRoles", _outputs_of(_APP_ROLE, ordered_members=True), ordered=True, output_only=True, computed=True
            ),
            "applicationTenantId": _out(wire="appOwnerOrganizationId"),
            "displayName": _out(wire="displayName"),
            "homepageUrl": _out(wire="homepage"),
            "logoutUrl": _out(wire="logoutUrl"),
            "oauth2PermissionScopeIds": _out("map"),
            "oauth2PermissionScopes": _objects(
                "oauth2PermissionScopes", _outputs_of(_PERMISSION_SCOPE), ordered=True, output_only=True, computed=True
            ),
            "objectId": _out(wire="id"),
            "redirectUris": _strings("replyUrls", ordered=True, output_only=True, computed=True),
            "samlMetadataUrl": _out(),
            "servicePrincipalNames": _strings("", ordered=True, output_only=True, computed=True),
            "signInAudience": _out(wire="signInAudience"),
            "type": _out(wire="servicePrincipalType"),
        },
    },
    "ApplicationPassword": _password(),
    "ApplicationCertificate": _certificate(),
    "ApplicationFederatedIdentityCredential": {
        "family": "federated credential",
        "settings": {"api": "v1.0"},
        "id_format": "{parent}/federatedIdentityCredential/{key}",
        "timeouts": _timeouts(15, 5, 5, 5),
        "props": {
            "applicationId": _string("", _application_id, required=True, force_new=True),
            "audiences": _strings("audiences", not_empty, ordered=True, required=True, max_items=1),
            "description": _string("description", blank=""),
            "displayName": _string("name", length(1, 120), required=True, force_new=True),
            "issuer": _string("issuer", required=True),
            "subject": _string("subject", required=True),
            "credentialId": _out(wire="id"),
        },
    },
    "ApplicationFlexibleFederatedIdentityCredential": {
        "family": "federated credential",
        "settings": {"api": "beta"},
        "id_format": "/applications/{parent}/federatedIdentityCredentials/{key}",
        "timeouts": _timeouts(15, 5, 5, 5),
        "props": {
            "applicationId": _string("", _application_id, required=True, force_new=True),
            "audience": _string("", length(1, 600), required=True),
            "claimsMatchingExpression": _string("claimsMatchingExpression.value", not_blank, required=True),
            "description": _string("description", length(0, 600), blank=""),
            "displayName": _string("name", length(1, 120), required=True, force_new=True),
            "issuer": _string("issuer", not_blank, required=True),
            "credentialId": _out(wire="id"),
        },
    },
    "ApplicationPreAuthorized": {
        "family": "pre-authorized",
        "id_format": "{parent}/preAuthorizedApplication/{key}",
        "timeouts": _timeouts(5, 5, 5, 5),
        "props": {
            "applicationId": _string("", _application_id, required=True, force_new=True),
            "authorizedClientId": _string("", _uuid, required=True, force_new=True),
            "permissionIds": _strings("", _uuid, required=True),
        },
    },
    "ApplicationKnownClients": {
        "family": "known clients",
        "id_format": "/applications/{parent}/knownClients",
        "timeouts": _timeouts(10, 5, 5, 10),
        "props": {
            "applicationId": _string("", _application_id, required=True, force_new=True),
            "knownClientIds": _strings("", _uuid, required=True),
        },
    },
    "GroupMember": {
        "family": "group member",
        "id_format": "{parent}/member/{key}",
        "timeouts": _timeouts(5, 5, 5),
        "props": {
            "groupObjectId": _string("", _uuid, required=True, force_new=True),
            "memberObjectId": _string("", _uuid, required=True, force_new=True),
        },
    },
    "AppRoleAssignment": {
        "family": "app role assignment",
        "id_format": "/servicePrincipals/{parent}/appRoleAssignedTo/{key}",
        "schema_version": 1,
        "timeouts": _timeouts(5, 5, 5),
        "props": {
            "appRoleId": _string("appRoleId", _uuid, required=True, force_new=True),
            "principalObjectId": _string("principalId", _uuid, required=True, force_new=True),
            "resourceObjectId": _string("resourceId", _uuid, required=True, force_new=True),
            "principalDisplayName": _out(wire="principalDisplayName"),
            "principalType": _out(wire="principalType"),
            "resourceDisplayName": _out(wire="resourceDisplayName"),
        },
    },
    "ServicePrincipalDelegatedPermissionGrant": {
        "family": "delegated grant",
        "id_format": "/oauth2PermissionGrants/{key}",
        "schema_version": 1,
        "timeouts": _timeouts(5, 5, 5, 5),
        "props": {
            "claimValues": _strings("scope", not_empty, codec="space", required=True, min_items=1),
            "resourceServicePrincipalObjectId": _string("resourceId", _uuid, required=True, force_new=True),
            "servicePrincipalObjectId": _string("clientId", _uuid, required=True, force_new=True),
            "userObjectId": _string("principalId", _uuid, force_new=True, codec="absent-when-unset"),
        },
    },
    "DirectoryRoleAssignment": {
        "family": "directory role assignment",
        "id_format": "/roleManagement/directory/roleAssignments/{key}",
        "schema_version": 1,
        "timeouts": _timeouts(5, 5, 5),
        "props": {
            "appScopeId": _string(
                "appScopeId", not_empty, computed=True, force_new=True, conflicts=("directoryScopeId",)
            ),
            "directoryScopeId": _string(
                "directoryScopeId", not_empty, computed=True, force_new=True, conflicts=("appScopeId",)
            ),
            "principalObjectId": _string("principalId", _uuid, required=True, force_new=True),
            "roleId": _string("roleDefinitionId", _uuid, required=True, force_new=True),
        },
    },
}

TYPES: dict[str, ResourceType] = {_token(name): ResourceType(token=_token(name), **row) for name, row in _ROWS.items()}
"""Every azuread resource type the stand-in covers, by type token."""
