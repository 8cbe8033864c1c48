"""A registration and its service principal, property by property, in the vocabulary; and what of them the vocabulary cannot say.

Source: Microsoft Graph reference, resource types `application` and `servicePrincipal`.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from entrant.config.known import permission_id
from entrant.facts.marks import FEATURES

Doc = dict[str, Any]

_OWN: Final = frozenset(
    [
        "id",
        "appId",
        "createdDateTime",
        "deletedDateTime",
        "publisherDomain",
        "verifiedPublisher",
        "certification",
        "applicationTemplateId",
        "info.logoUrl",
        "displayName",
        "passwordCredentials",
        "keyCredentials",
        "requiredResourceAccess",
        "api.preAuthorizedApplications",
        "api.knownClientApplications",
        "servicePrincipalType",
        "appOwnerOrganizationId",
        "appDisplayName",
        "appDescription",
        "signInAudience",
        "resourceSpecificApplicationPermissions",
    ]
)
"""Properties that somebody else sets, or that are told elsewhere."""
_USUAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "parentalControlSettings.legalAgeGroupRule": ("Allow",),
    "nativeAuthenticationApisEnabled": ("none",),
    "preferredSingleSignOnMode": ("notSupported",),
    "servicePrincipalLockConfiguration": (
        {"isEnabled": True, "allProperties": True},
        {
            "isEnabled": True,
            "allProperties": True,
            "credentialsWithUsageVerify": True,
            "credentialsWithUsageSign": True,
            "tokenEncryptionKeyId": True,
            "identifierUris": False,
        },
    ),
}
"""Values that Microsoft gives by itself."""


class _Rest:
    """An object of Graph, of which what is said is taken away, so that the rest can be told."""

    def __init__(self, doc: Mapping[str, Any]) -> None:
        self._doc = copy.deepcopy(dict(doc))

    def take(self, path: str) -> Any:
        """A value, which counts as said; None where there is none."""
        *outer, last = path.split(".")
        holder: Any = self._doc
        for step in outer:
            holder = holder.get(step) if isinstance(holder, dict) else None
        return holder.pop(last, None) if isinstance(holder, dict) else None

    def left(self) -> Iterator[tuple[str, Any]]:
        """What is left and not as it is by itself."""
        yield from self._left(self._doc, "")

    def _left(self, doc: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for name, value in doc.items():
            path = prefix + name
            if path in _OWN or "@" in name or value in (None, "", False, [], {}) or value in _USUAL.get(path, ()):
                continue
            if isinstance(value, dict) and path not in _USUAL:
                yield from self._left(value, f"{path}.")
            else:
                yield path, value


def given(**values: Any) -> Doc:
    """The values that say something."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {}, ())}


def registration(doc: Mapping[str, Any], key: str, tenant: str) -> tuple[Doc, list[tuple[str, Any]], list[str]]:
    """A registration in the vocabulary; then what of it the vocabulary cannot say, and is left as it is; then why an adoption of
    it would change it, if it would.
    """
    rest, faults = _Rest(doc), list[str]()
    audience = doc.get("signInAudience")
    data = given(
        display_name=doc.get("displayName"),
        description=rest.take("description"),
        notes=rest.take("notes"),
        sign_in_audience=audience if audience != "AzureADMyOrg" else None,
        identifier_uris=[uri.replace(tenant, "{tenant_id}") for uri in rest.take("identifierUris") or ()],
        web=_web(rest),
        spa=given(redirect_uris=rest.take("spa.redirectUris")),
        public_client=given(
            redirect_uris=rest.take("publicClient.redirectUris"), fallback=rest.take("isFallbackPublicClient") or None
        ),
        links=given(
            homepage=rest.take("web.homePageUrl"),
            marketing=rest.take("info.marketingUrl"),
            support=rest.take("info.supportUrl"),
            terms_of_service=rest.take("info.termsOfServiceUrl"),
            privacy_statement=rest.take("info.privacyStatementUrl"),
        ),
        app_roles=_app_roles(rest.take("appRoles") or (), key, faults),
        api=_api(rest, key, faults),
        optional_claims=_claims(rest),
        group_claims=[each.strip() for each in (rest.take("groupMembershipClaims") or "").split(",") if each.strip()],
        **_tags(rest.take("tags")),
        service_management_reference=rest.take("serviceManagementReference"),
    )
    for setting in rest.take("web.redirectUriSettings") or ():
        if setting.get("index") is not None:
            faults.append("web.redirectUriSettings gives redirect URIs an order")
    return data, list(rest.left()), faults


def _web(rest: _Rest) -> Doc:
    grant = given(
        access_tokens=rest.take("web.implicitGrantSettings.enableAccessTokenIssuance") or None,
        id_tokens=rest.take("web.implicitGrantSettings.enableIdTokenIssuance") or None,
    )
    return given(
        redirect_uris=rest.take("web.redirectUris"), logout_url=rest.take("web.logoutUrl"), implicit_grant=grant
    )


def _app_roles(roles: Iterable[Mapping[str, Any]], key: str, faults: list[str]) -> Doc:
    found: Doc = {}
    for role in roles:
        value = role.get("value")
        if not value:
            faults.append(f'app role "{role.get("displayName")}" ({role["id"]}) has no value')
            continue
        allowed = role.get("allowedMemberTypes") or []
        found[value] = given(
            display_name=role["displayName"] if role.get("displayName") != value else None,
            description=role.get("description"),
            allowed=allowed if set(allowed) != {"User", "Application"} else None,
            id=role["id"].lower() if role["id"].lower() != permission_id(key, "app role", value) else None,
        ) | ({} if role.get("isEnabled", True) else {"enabled": False})
    return found


def _api(rest: _Rest, key: str, faults: list[str]) -> Doc:
    version = rest.take("api.requestedAccessTokenVersion")
    mapped = rest.take("api.acceptMappedClaims")
    scopes: Doc = {}
    for scope in rest.take("api.oauth2PermissionScopes") or ():
        value = scope.get("value")
        if not value:
            faults.append(f'scope "{scope.get("adminConsentDisplayName")}" ({scope["id"]}) has no value')
            continue
        shown = scope.get("adminConsentDisplayName")
        scopes[value] = given(
            display_name=shown if shown != value else None,
            description=scope.get("adminConsentDescription"),
            user_display_name=scope.get("userConsentDisplayName"),
            user_description=scope.get("userConsentDescription"),
            type=scope["type"] if scope.get("type") != "Admin" else None,
            id=scope["id"].lower() if scope["id"].lower() != permission_id(key, "scope", value) else None,
        ) | ({} if scope.get("isEnabled", True) else {"enabled": False})
    api = given(mapped_claims=mapped or None, scopes=scopes)
    return {"token_version": version or 1, **api} if api or version == 2 else {}


def _claims(rest: _Rest) -> Doc:
    kinds = {"access_token": "accessToken", "id_token": "idToken", "saml2_token": "saml2Token"}
    return given(
        **{
            name: [
                given(
                    name=claim["name"],
                    source=claim.get("source"),
                    essential=claim.get("essential") or None,
                    additional_properties=claim.get("additionalProperties"),
                )
                for claim in rest.take(f"optionalClaims.{wire}") or ()
            ]
            for name, wire in kinds.items()
        }
    )


def _tags(tags: Iterable[str] | None) -> Doc:
    features = {tag: name for name, tag in FEATURES.items()}
    listed = list(tags or ())
    return given(
        tags=[tag for tag in listed if tag not in features],
        feature_tags={features[tag]: True for tag in listed if tag in features},
    )


def principal(doc: Mapping[str, Any], app: Mapping[str, Any]) -> tuple[Doc, list[tuple[str, Any]]]:
    """A service principal in the vocabulary, and what of it the vocabulary cannot say."""
    rest = _Rest(doc)
    web = app.get("web") or {}
    data = ({} if rest.take("accountEnabled") is not False else {"enabled": False}) | given(
        assignment_required=rest.take("appRoleAssignmentRequired") or None,
        description=rest.take("description"),
        notes=rest.take("notes"),
        notification_emails=rest.take("notificationEmailAddresses"),
        login_url=rest.take("loginUrl"),
        **_tags(rest.take("tags")),
    )
    mirrored = {
        "homepage": web.get("homePageUrl"),
        "logoutUrl": web.get("logoutUrl"),
        "info": app.get("info"),
        "addIns": app.get("addIns"),
    }
    for name, value in mirrored.items():
        if doc.get(name) == value or name == "info":
            rest.take(name)
    redirects = {
        uri
        for platform in ("web", "spa", "publicClient")
        for uri in (app.get(platform) or {}).get("redirectUris") or ()
    }
    names = {str(app["appId"]).lower(), *(uri.lower() for uri in app.get("identifierUris") or ())}
    ids = {role["id"] for role in app.get("appRoles") or ()}
    scopes = {scope["id"] for scope in (app.get("api") or {}).get("oauth2PermissionScopes") or ()}
    more = given(
        replyUrls=[uri for uri in rest.take("replyUrls") or () if uri not in redirects],
        servicePrincipalNames=[name for name in rest.take("servicePrincipalNames") or () if name.lower() not in names],
        appRoles=[role["id"] for role in rest.take("appRoles") or () if role["id"] not in ids],
        oauth2PermissionScopes=[
            scope["id"] for scope in rest.take("oauth2PermissionScopes") or () if scope["id"] not in scopes
        ],
    )
    return data, [*rest.left(), *more.items()]
