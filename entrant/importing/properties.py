"""A registration and its service principal, property by property, in the vocabulary; and what of them the vocabulary cannot say.

Source: Microsoft Graph reference, resource types `application` and `servicePrincipal`.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from entrant.config import App
from entrant.config.known import permission_id
from entrant.config.model import Model, plain, put
from entrant.config.registration import AppRole, ExposedScope, ServicePrincipal
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


def stated(**values: Any) -> Doc:
    """The values that say something."""
    return {name: value for name, value in values.items() if value not in (None, "", [], {}, ())}


def registration(doc: Mapping[str, Any], key: str, tenant: str) -> tuple[Doc, list[tuple[str, Any]], list[str]]:
    """A registration in the vocabulary; then what of it the vocabulary cannot say, and is left as it is; then why an adoption of
    it would change it, if it would.
    """
    rest, faults = _Rest(doc), list[str]()
    data = _plain(App, rest)
    claims = str(data.get("group_claims", "")).split(",")
    scopes = _by_value(ExposedScope, "scope", rest.take("api.oauth2PermissionScopes"), key, faults)
    data = stated(
        **data
        | {
            "identifier_uris": [uri.replace(tenant, "{tenant_id}") for uri in data.get("identifier_uris", ())],
            "app_roles": _by_value(AppRole, "app role", rest.take("appRoles"), key, faults),
            "api": _api(data.get("api", {}), (doc.get("api") or {}).get("requestedAccessTokenVersion"), scopes),
            "group_claims": [claim.strip() for claim in claims if claim.strip()],
            **_tags(rest.take("tags")),
        }
    )
    if data.get("sign_in_audience") == "AzureADMyOrg":
        del data["sign_in_audience"]
    for setting in rest.take("web.redirectUriSettings") or ():
        if setting.get("index") is not None:
            faults.append("web.redirectUriSettings gives redirect URIs an order")
    return data, list(rest.left()), faults


def _plain(model: type[Model], rest: _Rest) -> Doc:
    """Each `Property` of a model that is not as it is where a file does not say."""
    data: Doc = {}
    for each in plain(model):
        value = rest.take(each.graph) if each.graph else None
        if each.items is not None and value is not None:
            value = [_plain(each.items, _Rest(item)) for item in value]
        default = each.default
        if value != default and not (default and isinstance(default, tuple) and set(value or ()) == set(default)):
            put(data, each.path, value)
    return _blocks(data)


def _blocks(data: Doc) -> Doc:
    return stated(**{key: _blocks(value) if isinstance(value, dict) else value for key, value in data.items()})


def _by_value(
    model: type[Model], kind: str, docs: Iterable[Mapping[str, Any]] | None, key: str, faults: list[str]
) -> Doc:
    """The app roles or scopes that the app `key` offers."""
    found: Doc = {}
    for doc in docs or ():
        enabled = bool(doc.get("isEnabled"))  # providers take one that does not say so for disabled
        value, data = doc.get("value"), _plain(model, _Rest({**doc, "isEnabled": enabled}))
        if not value:
            faults.append(f'{kind} "{data.get("display_name")}" ({doc["id"]}) has no value')
            continue
        if data.get("display_name") == value:
            del data["display_name"]
        id_ = doc["id"].lower()
        found[value] = data | stated(id=id_ if id_ != permission_id(key, kind, value) else None)
    return found


def _api(properties: Doc, version: int | None, scopes: Doc) -> Doc:
    """The block `api`, which says its token version: that is 1 where there is no such block."""
    api = stated(**{name: value for name, value in properties.items() if name != "token_version"}, scopes=scopes)
    return {"token_version": version or 1, **api} if api or version == 2 else {}


def _tags(tags: Iterable[str] | None) -> Doc:
    features = {tag: name for name, tag in FEATURES.items()}
    listed = list(tags or ())
    return stated(
        tags=[tag for tag in listed if tag not in features],
        feature_tags={features[tag]: True for tag in listed if tag in features},
    )


def principal(doc: Mapping[str, Any], app: Mapping[str, Any]) -> tuple[Doc, list[tuple[str, Any]]]:
    """A service principal in the vocabulary, and what of it the vocabulary cannot say."""
    rest = _Rest(doc)
    web = app.get("web") or {}
    data = _plain(ServicePrincipal, rest) | _tags(rest.take("tags"))
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
    more = stated(
        replyUrls=[uri for uri in rest.take("replyUrls") or () if uri not in redirects],
        servicePrincipalNames=[name for name in rest.take("servicePrincipalNames") or () if name.lower() not in names],
        appRoles=[role["id"] for role in rest.take("appRoles") or () if role["id"] not in ids],
        oauth2PermissionScopes=[
            scope["id"] for scope in rest.take("oauth2PermissionScopes") or () if scope["id"] not in scopes
        ],
    )
    return data, [*rest.left(), *more.items()]
