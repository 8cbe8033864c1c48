"""The table of azuread resource types: what each property is, and which family of operations serves the type.

Source: the schema of pulumi-azuread 6.11 (required inputs, defaults, replace-on-change) and Microsoft Graph's resource types
(the wire names). ``tests/local_azure/test_plugins_types.py`` compares this table with the installed SDK.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from local_azure.plugins.schema import Check, Prop, ResourceType
from local_azure.plugins.values import UNKNOWN, Properties

GUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"

NOT_COVERED = "is known to the real azuread plugin, but not covered by this stand-in"

# What values must look like


def _matches(pattern: str, wrong: str) -> Check:
    compiled = re.compile(rf"(?:{pattern})\Z")
    return lambda value: None if compiled.match(value) else f"{wrong}, but is {value!r}"


def _one_of(*values: str) -> Check:
    return lambda value: None if value in values else f"must be one of {', '.join(values)}, but is {value!r}"


def _length(least: int, most: int) -> Check:
    return lambda value: (
        None if least <= len(value) <= most else f"must be {least} to {most} characters long, but has {len(value)}"
    )


def _not_empty(value: str) -> str | None:
    return None if value else "must not be empty"


def _not_blank(value: str) -> str | None:
    return None if value.strip() else "must not be blank"


def _rfc3339(value: str) -> str | None:
    try:
        if re.match(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)\Z", value):
            datetime.fromisoformat(value)
            return None
    except ValueError:
        pass
    return f"must be a date like 2018-01-01T01:02:03Z, but is {value!r}"


def _base64(value: str) -> str | None:
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return "must be base64"
    return None


def _claim_value(value: str) -> str | None:
    if len(value) > 249:
        return "must be at most 249 characters long"
    if value.startswith("."):
        return "must not begin with a period"
    if re.search(r"[^A-Za-z0-9:!#$%&'()*+,./;<=>?@\[\]^_{|}~`-]", value):
        return "must be letters, digits and !#$%&'()*+,-./:;<=>?@[]^+_`{|}~"
    return None


def _uri(schemes: tuple[str, ...] = (), *, urn: bool = False, need_path: bool = False, longest: int = 0) -> Check:
    def test(value: str) -> str | None:
        if not value:
            return "must not be empty"
        if urn and value.startswith("urn:") and value.count(":") >= 2:
            return None
        try:
            parts = urlsplit(value)
        except ValueError:
            return "is not a URI"
        if not parts.netloc:
            return f"has no host: {value!r}"
        if schemes and need_path and not parts.path:
            return f"must have a trailing slash when there is no path: {value!r}"
        if schemes and parts.scheme not in schemes:
            return f"must begin with one of {', '.join(schemes)}, but is {value!r}"
        if longest and len(value) > longest:
            return f"must be at most {longest} characters long"
        return None

    return test


_uuid = _matches(GUID, "must be a UUID")
_application_id = _matches(f"/applications/{GUID}", "must be an application's id, /applications/<object id>")
_service_principal_id = _matches(
    f"/servicePrincipals/{GUID}", "must be a service principal's id, /servicePrincipals/<object id>"
)
_http_url = _uri(("http", "https"))
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
    "adminConsentDescription": _string("adminConsentDescription", _not_empty, blank=""),
    "adminConsentDisplayName": _string("adminConsentDisplayName", _not_empty, blank=""),
    "enabled": _bool("isEnabled", default=True),
    "id": _string("id", _uuid, required=True),
    "type": _string("type", _one_of("Admin", "User"), default="User"),
    "userConsentDescription": _string("userConsentDescription", _not_empty, blank=""),
    "userConsentDisplayName": _string("userConsentDisplayName", _not_empty, blank=""),
    "value": _string("value", _claim_value, blank=""),
}
_APP_ROLE = {
    "allowedMemberTypes": _strings("allowedMemberTypes", _one_of("Application", "User"), required=True, min_items=1),
    "description": _string("description", _not_empty, required=True),
    "displayName": _string("displayName", _not_empty, required=True),
    "enabled": _bool("isEnabled", default=True),
    "id": _string("id", _uuid, required=True),
    "value": _string("value", _claim_value, blank=""),
}
_OPTIONAL_CLAIM = {
    "additionalProperties": _strings(
        "additionalProperties",
        _one_of(
            "cloud_displayname", "dns_domain_and_sam_account_name", "emit_as_roles",
            "include_externally_authenticated_upn", "include_externally_authenticated_upn_without_hash",
            "max_size_limit", "netbios_domain_and_sam_account_name", "on_premise_security_identifier",
            "sam_account_name", "use_guid",
        ),
        ordered=True,
    ),
    "essential": _bool("essential"),
    "name": _string("name", required=True),
    "source": _string("source", _one_of("user"), codec="absent-when-unset"),
}  # fmt: skip
_GROUP_CLAIMS = _one_of("All", "None", "ApplicationGroup", "DirectoryRole", "SecurityGroup")
_SIGN_IN_AUDIENCES = _one_of(
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


def _personal_accounts(inputs: Properties) -> Iterator[str]:
    """Limits for applications that personal accounts can sign in to. Source: Microsoft's supported-accounts-validation."""
    audience = inputs.get("signInAudience")
    if audience not in ("AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount"):
        return
    api = inputs.get("api")
    api = api if isinstance(api, Mapping) else {}
    if api.get("requestedAccessTokenVersion", 1) not in (2, UNKNOWN):
        yield f"api.requestedAccessTokenVersion must be 2 when signInAudience is {audience!r}"
    scopes = api.get("oauth2PermissionScopes")
    if isinstance(scopes, list) and len(scopes) > 100:
        yield f"at most 100 api.oauth2PermissionScopes are allowed when signInAudience is {audience!r}"
    uris = inputs.get("identifierUris")
    if isinstance(uris, list):
        if len(uris) > 50:
            yield f"at most 50 identifierUris are allowed when signInAudience is {audience!r}"
        for uri in uris:
            if uri is not UNKNOWN and urlsplit(uri).scheme not in ("http", "https", "api", "ms-appx"):
                yield f"identifierUris: {uri!r} has a scheme that is not allowed when signInAudience is {audience!r}"


def _no_duplicate_permissions(inputs: Properties) -> Iterator[str]:
    """An id and a value belong to one permission. Source: Microsoft Graph refuses anything else."""
    api = inputs.get("api")
    roles, scopes = inputs.get("appRoles"), (api.get("oauth2PermissionScopes") if isinstance(api, Mapping) else None)
    seen: dict[str, str] = {}
    values: dict[str, str] = {}
    for item in [*(roles if isinstance(roles, list) else []), *(scopes if isinstance(scopes, list) else [])]:
        identity, value = (item.get("id"), item.get("value")) if isinstance(item, Mapping) else (None, None)
        if not isinstance(identity, str) or not isinstance(value, str) or not value:
            continue
        if seen.setdefault(identity, value) != value:
            yield f"validation failed: duplicate ID found: {identity!r}"
        if values.setdefault(value, identity) != identity:
            yield f"validation failed: duplicate value found: {value!r}"


def _group_kind(inputs: Properties) -> Iterator[str]:
    """What a group must be at least. Source: Microsoft Graph's rules for groups."""
    mail, security = inputs.get("mailEnabled"), inputs.get("securityEnabled")
    types = inputs.get("types")
    types = types if isinstance(types, list) else []
    if mail is None and security is None:
        yield "one of mailEnabled and securityEnabled must be set"
    if "DynamicMembership" in types and not inputs.get("dynamicMembership"):
        yield "dynamicMembership must be set when types contains 'DynamicMembership'"
    if mail is True and "Unified" not in types and UNKNOWN not in types:
        yield "types must contain 'Unified' for mail-enabled groups"
    if "Unified" in types and mail in (None, False):
        yield "mailEnabled must be true for unified groups"
    if mail is True and not inputs.get("mailNickname"):
        yield "mailNickname is required for mail-enabled groups"
    if inputs.get("assignableToRole") is True and security in (None, False):
        yield "assignableToRole can only be true for security-enabled groups"


def _one_name_for_the_role(inputs: Properties) -> Iterator[str]:
    given = [name for name in ("displayName", "templateId") if inputs.get(name) is not None]
    if len(given) != 1:
        yield f"exactly one of displayName and templateId must be set, but {len(given)} are"


def _password(parent: str, check: Check, **settings: Any) -> dict[str, Any]:
    return {
        "family": "password",
        "settings": {"parent": parent, "deprecated": {"endDateRelative": _END_DATE_RELATIVE}, **settings},
        "id_format": "{parent}/password/{key}",
        "schema_version": 1,
        "timeouts": _timeouts(15, 5, 5, 5) if parent == "applicationId" else _timeouts(5, 5, 5),
        "props": {
            parent: _string("", check, required=True, force_new=True),
            "displayName": _string("displayName", computed=True, force_new=True),
            "endDate": _string("endDateTime", _rfc3339, computed=True, force_new=True, conflicts=("endDateRelative",)),
            "endDateRelative": _string("", _not_empty, force_new=True, conflicts=("endDate",)),
            "rotateWhenChanged": Prop(kind="map", force_new=True),
            "startDate": _string("startDateTime", _rfc3339, computed=True, force_new=True),
            "keyId": _out(),
            "value": _out(secret=True),
        },
    }


def _certificate(parent: str, check: Check) -> dict[str, Any]:
    return {
        "family": "certificate",
        "settings": {"parent": parent, "deprecated": {"endDateRelative": _END_DATE_RELATIVE}},
        "id_format": "{parent}/certificate/{key}",
        "timeouts": _timeouts(10, 5, 5, 10) if parent == "applicationId" else _timeouts(5, 5, 5),
        "props": {
            parent: _string("", check, required=True, force_new=True),
            "encoding": _string("", _one_of("base64", "hex", "pem"), default="pem", force_new=True),
            "endDate": _string("", _rfc3339, computed=True, force_new=True, conflicts=("endDateRelative",)),
            "endDateRelative": _string("", _not_empty, force_new=True, conflicts=("endDate",)),
            "keyId": _string("", _uuid, computed=True, force_new=True),
            "startDate": _string("", _rfc3339, computed=True, force_new=True),
            "type": _string("", _one_of("AsymmetricX509Cert", "Symmetric"), force_new=True),
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
        "rules": (_personal_accounts, _no_duplicate_permissions),
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
            "description": _string("description", _length(0, 1024)),
            "deviceOnlyAuthEnabled": _bool("isDeviceOnlyAuthSupported"),
            "displayName": _string("displayName", _not_empty, required=True),
            "fallbackPublicClientEnabled": _bool("isFallbackPublicClient"),
            "featureTags": _objects("", _FEATURE_TAGS, ordered=True, computed=True, conflicts=("tags",)),
            "groupMembershipClaims": _strings("groupMembershipClaims", _GROUP_CLAIMS, codec="comma"),
            "identifierUris": _strings("identifierUris", _not_empty),
            "logoImage": _string("", _base64),
            "marketingUrl": _string("info.marketingUrl"),
            "notes": _string("notes", _not_empty),
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
                "publicClient", {"redirectUris": _strings("redirectUris", _uri(urn=True, longest=256), max_items=256)}
            ),
            "requiredResourceAccesses": _objects(
                "requiredResourceAccess",
                {
                    "resourceAccesses": _objects(
                        "resourceAccess",
                        {
                            "id": _string("id", _uuid, required=True),
                            "type": _string("type", _one_of("Role", "Scope"), required=True),
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
                        "redirectUris", _uri(_redirect_schemes, need_path=True, longest=256), max_items=256
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
                    "logoutUrl": _string("logoutUrl", _uri(("http", "https"), longest=255)),
                    "redirectUris": _strings(
                        "redirectUris", _uri(_redirect_schemes, urn=True, need_path=True, longest=256), max_items=256
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
    "ApplicationRegistration": {
        "family": "registration",
        "id_format": "/applications/{id}",
        "timeouts": _timeouts(10, 5, 5, 10),
        "props": {
            "description": _string("description", _length(0, 1024)),
            "displayName": _string("displayName", _not_empty, required=True),
            "groupMembershipClaims": _strings("groupMembershipClaims", _GROUP_CLAIMS, codec="comma"),
            "homepageUrl": _string("web.homePageUrl", _http_url),
            "implicitAccessTokenIssuanceEnabled": _bool("web.implicitGrantSettings.enableAccessTokenIssuance"),
            "implicitIdTokenIssuanceEnabled": _bool("web.implicitGrantSettings.enableIdTokenIssuance"),
            "logoutUrl": _string("web.logoutUrl", _uri(("http", "https"), longest=255)),
            "marketingUrl": _string("info.marketingUrl", _http_url),
            "notes": _string("notes", _not_empty),
            "privacyStatementUrl": _string("info.privacyStatementUrl", _http_url),
            "requestedAccessTokenVersion": Prop(
                kind="int",
                wire="api.requestedAccessTokenVersion",
                default=2,
                checks=(lambda value: None if value in (1, 2) else f"must be 1 or 2, but is {value}",),
            ),
            "serviceManagementReference": _string("serviceManagementReference"),
            "signInAudience": _string("signInAudience", _SIGN_IN_AUDIENCES, default="AzureADMyOrg"),
            "supportUrl": _string("info.supportUrl", _http_url),
            "termsOfServiceUrl": _string("info.termsOfServiceUrl", _http_url),
            "clientId": _out(wire="appId"),
            "disabledByMicrosoft": _out(wire="disabledByMicrosoftStatus"),
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
            "alternativeNames": _strings("alternativeNames", _not_empty),
            "appRoleAssignmentRequired": _bool("appRoleAssignmentRequired"),
            "clientId": _string("appId", _uuid, required=True, force_new=True),
            "description": _string("description", _length(0, 1024)),
            "featureTags": _objects("", _FEATURE_TAGS, ordered=True, computed=True, conflicts=("features", "tags")),
            "features": _objects("", _OLD_FEATURES, ordered=True, computed=True, conflicts=("featureTags", "tags")),
            "loginUrl": _string("loginUrl", _http_url),
            "notes": _string("notes", _length(0, 1024)),
            "notificationEmailAddresses": _strings("notificationEmailAddresses", _not_empty),
            "owners": _strings("", _uuid),
            "preferredSingleSignOnMode": _string(
                "preferredSingleSignOnMode", _one_of("", "notSupported", "oidc", "password", "saml")
            ),
            "samlSingleSignOn": _object(
                "samlSingleSignOnSettings",
                {"relayState": _string("relayState", _not_empty, codec="absent-when-unset")},
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
    "ApplicationPassword": _password("applicationId", _application_id),
    "ServicePrincipalPassword": _password("servicePrincipalId", _service_principal_id),
    "ApplicationCertificate": _certificate("applicationId", _application_id),
    "ServicePrincipalCertificate": _certificate("servicePrincipalId", _service_principal_id),
    "ApplicationFederatedIdentityCredential": {
        "family": "federated credential",
        "settings": {"api": "v1.0"},
        "id_format": "{parent}/federatedIdentityCredential/{key}",
        "timeouts": _timeouts(15, 5, 5, 5),
        "props": {
            "applicationId": _string("", _application_id, required=True, force_new=True),
            "audiences": _strings("audiences", _not_empty, ordered=True, required=True, max_items=1),
            "description": _string("description", blank=""),
            "displayName": _string("name", _length(1, 120), required=True, force_new=True),
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
            "audience": _string("", _length(1, 600), required=True),
            "claimsMatchingExpression": _string("claimsMatchingExpression.value", _not_blank, required=True),
            "description": _string("description", _length(0, 600), blank=""),
            "displayName": _string("name", _length(1, 120), required=True, force_new=True),
            "issuer": _string("issuer", _not_blank, required=True),
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
    "ApplicationIdentifierUri": {
        "family": "identifier uri",
        "id_format": "/applications/{parent}/identifierUris/{key}",
        "timeouts": _timeouts(10, 5, 5),
        "props": {
            "applicationId": _string("", _application_id, required=True, force_new=True),
            "identifierUri": _string("", _not_empty, required=True, force_new=True),
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
    "ApplicationOwner": {
        "family": "reference",
        "settings": {
            "api": "v1.0",
            "collection": "applications",
            "list": "owners",
            "parent": "applicationId",
            "parent_prefix": "/applications/",
            "member": "ownerObjectId",
        },
        "id_format": "/applications/{parent}/owners/{key}",
        "timeouts": _timeouts(10, 5, 5),
        "props": {
            "applicationId": _string("", _application_id, required=True, force_new=True),
            "ownerObjectId": _string("", _uuid, required=True, force_new=True),
        },
    },
    "GroupMember": {
        "family": "reference",
        "settings": {
            "api": "beta",
            "collection": "groups",
            "list": "members",
            "parent": "groupObjectId",
            "parent_prefix": "",
            "member": "memberObjectId",
        },
        "id_format": "{parent}/member/{key}",
        "timeouts": _timeouts(5, 5, 5),
        "props": {
            "groupObjectId": _string("", _uuid, required=True, force_new=True),
            "memberObjectId": _string("", _uuid, required=True, force_new=True),
        },
    },
    "DirectoryRoleMember": {
        "family": "reference",
        "settings": {
            "api": "v1.0",
            "collection": "directoryRoles",
            "list": "members",
            "parent": "roleObjectId",
            "parent_prefix": "",
            "member": "memberObjectId",
        },
        "id_format": "/directoryRoles/{parent}/members/{key}",
        "schema_version": 1,
        "timeouts": _timeouts(5, 5, 5),
        "props": {
            "roleObjectId": _string("", _uuid, force_new=True),
            "memberObjectId": _string("", _uuid, force_new=True),
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
            "claimValues": _strings("scope", _not_empty, codec="space", required=True, min_items=1),
            "resourceServicePrincipalObjectId": _string("resourceId", _uuid, required=True, force_new=True),
            "servicePrincipalObjectId": _string("clientId", _uuid, required=True, force_new=True),
            "userObjectId": _string("principalId", _uuid, force_new=True, codec="absent-when-unset"),
        },
    },
    "Group": {
        "family": "group",
        "id_format": "/groups/{id}",
        "schema_version": 1,
        "timeouts": _timeouts(30, 5, 5, 30),
        "rules": (_group_kind,),
        "props": {
            "administrativeUnitIds": _strings("", _uuid, unsupported=NOT_COVERED),
            "assignableToRole": _bool("isAssignableToRole", force_new=True),
            "autoSubscribeNewMembers": _bool(computed=True, unsupported=NOT_COVERED),
            "behaviors": _strings("resourceBehaviorOptions", force_new=True, unsupported=NOT_COVERED),
            "description": _string("description"),
            "displayName": _string("displayName", _not_empty, required=True),
            "dynamicMembership": _object(
                "",
                {"enabled": _bool(required=True), "rule": _string("", _length(0, 3072), required=True)},
                conflicts=("members",),
            ),
            "externalSendersAllowed": _bool(computed=True, unsupported=NOT_COVERED),
            "hideFromAddressLists": _bool(computed=True, unsupported=NOT_COVERED),
            "hideFromOutlookClients": _bool(computed=True, unsupported=NOT_COVERED),
            "mailEnabled": _bool("mailEnabled"),
            "mailNickname": _string(
                "mailNickname",
                _matches(r'[^@()\\\[\]";:<>, ]*', 'cannot contain @()\\[]";:<>, or a space'),
                computed=True,
                force_new=True,
            ),
            "members": _strings("", _uuid, computed=True, conflicts=("dynamicMembership",)),
            "onpremisesGroupType": _string("", computed=True, unsupported=NOT_COVERED),
            "owners": _strings("", _uuid, computed=True, max_items=100),
            "preventDuplicateNames": _bool(),
            "provisioningOptions": _strings("resourceProvisioningOptions", force_new=True, unsupported=NOT_COVERED),
            "securityEnabled": _bool("securityEnabled"),
            "theme": _string("", unsupported=NOT_COVERED),
            "types": _strings("groupTypes", _one_of("DynamicMembership", "Unified"), force_new=True),
            "visibility": _string("", _one_of("Hiddenmembership", "Private", "Public"), computed=True),
            "writebackEnabled": _bool(unsupported=NOT_COVERED),
            "mail": _out(wire="mail"),
            "objectId": _out(wire="id"),
            "onpremisesDomainName": _out(wire="onPremisesDomainName"),
            "onpremisesNetbiosName": _out(wire="onPremisesNetBiosName"),
            "onpremisesSamAccountName": _out(wire="onPremisesSamAccountName"),
            "onpremisesSecurityIdentifier": _out(wire="onPremisesSecurityIdentifier"),
            "onpremisesSyncEnabled": _out("bool", wire="onPremisesSyncEnabled"),
            "preferredLanguage": _out(wire="preferredLanguage"),
            "proxyAddresses": _strings("proxyAddresses", ordered=True, output_only=True, computed=True),
        },
    },
    "DirectoryRole": {
        "family": "directory role",
        "id_format": "/directoryRoles/{id}",
        "schema_version": 1,
        "timeouts": _timeouts(5, 5, 5),
        "rules": (_one_name_for_the_role,),
        "props": {
            "displayName": _string("displayName", _not_empty, computed=True, force_new=True, ignore_case=True),
            "templateId": _string("roleTemplateId", _uuid, computed=True, force_new=True),
            "description": _out(wire="description"),
            "objectId": _out(wire="id"),
        },
    },
    "DirectoryRoleAssignment": {
        "family": "directory role assignment",
        "id_format": "/roleManagement/directory/roleAssignments/{key}",
        "schema_version": 1,
        "timeouts": _timeouts(5, 5, 5),
        "props": {
            "appScopeId": _string(
                "appScopeId", _not_empty, computed=True, force_new=True, conflicts=("directoryScopeId",)
            ),
            "directoryScopeId": _string(
                "directoryScopeId", _not_empty, computed=True, force_new=True, conflicts=("appScopeId",)
            ),
            "principalObjectId": _string("principalId", _uuid, required=True, force_new=True),
            "roleId": _string("roleDefinitionId", _uuid, required=True, force_new=True),
        },
    },
}

TYPES: dict[str, ResourceType] = {_token(name): ResourceType(token=_token(name), **row) for name, row in _ROWS.items()}
"""Every azuread resource type the stand-in covers, by type token."""
