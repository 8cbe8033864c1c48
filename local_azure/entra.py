"""Microsoft Entra ID: the token endpoints (v2 and v1), OpenID configuration and keys.

Error codes and texts are Entra's (Microsoft identity platform, "Authentication and authorization error codes", and the bodies
quoted in issue threads); where the status of one is not documented, the one that clients treat as final (4xx) is used.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import unquote_plus

from entrant.facts.apis import AZURE_AD_GRAPH, GRAPH, KEY_VAULT
from local_azure import first_party, keyvault, sign_ins
from local_azure.assertions import AssertionRefused, check_assertion
from local_azure.directory import Doc
from local_azure.tokens import LIFETIME, unique_id
from local_azure.wire import Call, Refused, Reply, is_guid, new_guid, utc
from local_azure.world import World

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SIGN_IN_SCOPES = frozenset({"openid", "offline_access", "profile", "email"})
SHARED_TENANTS = frozenset({"common", "organizations", "consumers"})
AUDIENCE_PATHS = ("oauth2/v2.0/token", "oauth2/token", "v2.0", "")
NOT_INSTALLED = (
    "This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in "
    "the tenant. You {} have sent your authentication request to the wrong tenant."
)


@dataclass(frozen=True, slots=True)
class Requested:
    """What a token is asked for: its service principal, and the audience as the token will carry it."""

    service_principal: Doc | None
    audience: str
    version: int = 1


def fail(world: World, status: int, error: str, code: int, text: str, *, correlation: str | None = None) -> NoReturn:
    """Refuse as Entra does: an AADSTS text with trace id, correlation id and time."""
    trace, correlation = new_guid(), correlation or new_guid()
    stamp = utc(world.store.now()).replace("T", " ")
    body = {
        "error": error,
        "error_description": f"AADSTS{code}: {text} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}",
        "error_codes": [code],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": f"{world.url}/error?code={code}",
    }
    raise Refused(Reply(status, body, NO_STORE), f"AADSTS{code}", text)


NO_STORE = {"Cache-Control": "no-store, no-cache", "Pragma": "no-cache"}


def handle(world: World, call: Call) -> Reply | None:
    """Answer a request to the login host; `None` when the path is none of its own."""
    parts = call.segments
    match [part.lower() for part in parts]:
        case [_, "oauth2", "v2.0", "token"]:
            return _TokenRequest(world, call, parts[0], 2).answer()
        case [_, "oauth2", "token"]:
            return _TokenRequest(world, call, parts[0], 1).answer()
        case [_, "v2.0", ".well-known", "openid-configuration"] | [
            "common",
            "v2.0",
            ".well-known",
            "openid-configuration",
        ]:
            return _configuration(world, parts[0], version=2)
        case [_, ".well-known", "openid-configuration"]:
            return _configuration(world, parts[0], version=1)
        case [_, "discovery", "v2.0", "keys"] | [_, "discovery", "keys"]:
            _tenant(world, parts[0], "invalid_tenant")
            return Reply(200, world.signer.jwks())
        case ["common", "discovery", "instance"]:
            return _instance(world)
    return None


def issuer(world: World, version: int) -> str:
    """The `iss` of tokens of a version; its host is the authority's, as MSAL demands."""
    return f"{world.url}/{world.tenant_id}/" + ("v2.0" if version == 2 else "")


def _tenant(world: World, name: str, error: str) -> str:
    known = {world.tenant_id, world.domain}
    if name.lower() in known:
        return world.tenant_id
    if not is_guid(name) and "." not in name:
        text = f"Specified tenant identifier '{name}' is neither a valid DNS name, nor a valid external domain."
        fail(world, 400, "invalid_request", 900023, text)
    text = (
        f"Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. "
        "Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
    )
    fail(world, 400, error, 90002, text)


def _configuration(world: World, tenant: str, *, version: int) -> Reply:
    name = tenant.lower()
    if name not in SHARED_TENANTS:
        name = _tenant(world, tenant, "invalid_tenant")
    base = f"{world.url}/{name}"
    flow = "oauth2/v2.0" if version == 2 else "oauth2"
    owner = "{tenantid}" if name in SHARED_TENANTS else name
    return Reply(
        200,
        {
            "token_endpoint": f"{base}/{flow}/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": f"{base}/discovery/{'v2.0/' if version == 2 else ''}keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": f"{world.url}/{owner}/" + ("v2.0" if version == 2 else ""),
            "request_uri_parameter_supported": False,
            "userinfo_endpoint": f"{world.url}/oidc/userinfo",
            "authorization_endpoint": f"{base}/{flow}/authorize",
            "device_authorization_endpoint": f"{base}/{flow}/devicecode",
            "http_logout_supported": True,
            "frontchannel_logout_supported": True,
            "end_session_endpoint": f"{base}/{flow}/logout",
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "tid", "ver", "oid", "roles"],
            "tenant_region_scope": "WW",
            "cloud_instance_name": world.url.removeprefix("https://"),
            "cloud_graph_host_name": world.url.removeprefix("https://"),
            "msgraph_host": world.url.removeprefix("https://"),
        },
    )


def _instance(world: World) -> Reply:
    host = world.url.removeprefix("https://")
    return Reply(
        200,
        {
            "tenant_discovery_endpoint": f"{world.url}/{world.tenant_id}/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
        },
    )


class _TokenRequest:
    """One request for a token."""

    def __init__(self, world: World, call: Call, tenant: str, version: int) -> None:
        self.world, self.call, self.tenant, self.version = world, call, tenant, version
        self.form = call.form()
        correlation = call.headers.get("client-request-id") or self.form.get("client-request-id")
        self.correlation = correlation if is_guid(correlation) else new_guid()

    def no(self, status: int, error: str, code: int, text: str) -> NoReturn:
        """Refuse it."""
        fail(self.world, status, error, code, text, correlation=self.correlation)

    def missing(self, name: str) -> NoReturn:
        """Refuse it for a parameter that it lacks."""
        self.no(400, "invalid_request", 900144, f"The request body must contain the following parameter: '{name}'.")

    def answer(self) -> Reply:
        """The token, or the refusal that Entra ID gives."""
        client_id, secret = self._read()
        application, principal = self._client(client_id)
        how, key_id = self._proven(client_id, secret, application, principal)
        if principal is None:
            text = (
                f"The client application {client_id} is missing service principal in the tenant {self.world.tenant_id}. "
                "See instructions here: https://go.microsoft.com/fwlink/?linkid=2225119"
            )
            self.no(401, "invalid_client", 7000229, text)
        if principal.get("accountEnabled") is False:
            text = f"Application '{client_id}'({principal['displayName']}) is disabled."
            self.no(400, "unauthorized_client", 7000112, text)
        identifier = self._identifier()
        resource = _resource(self.world, identifier)
        if resource is None:
            text = f"The resource principal named {identifier} was not found in the tenant named {self.world.domain}. "
            self.no(400, "invalid_resource", 500011, text + NOT_INSTALLED.format("might"))
        claims = _claims(self.world, principal, resource, how, self.form.get("claims"))
        sign_ins.note(self.world, key_id, application, principal, resource.service_principal)
        return _answer(self.world.signer.sign(claims), claims, identifier, self.version)

    def _read(self) -> tuple[str, str | None]:
        """The client id and the secret, if it has one, of a request that is well-formed."""
        form = self.form
        if self.call.method != "POST":
            text = f"The endpoint only accepts POST requests. Received a {self.call.method} request."
            self.no(400, "invalid_request", 900561, text)
        grant = form.get("grant_type") or self.missing("grant_type")
        if self.tenant.lower() in SHARED_TENANTS:
            text = (
                "No tenant-identifying information found in either the request or implied by any provided credentials."
            )
            self.no(400, "invalid_request", 50059, text)
        _tenant(self.world, self.tenant, "invalid_request")
        if grant != "client_credentials":
            self.no(400, "unsupported_grant_type", 70003, f"The app requested an unsupported grant type '{grant}'.")
        client_id, secret = _basic(self.call)
        client_id = client_id or form.get("client_id") or self.missing("client_id")
        self.world.asking = {"client_id": client_id[:100]}
        if self.version == 2 and form.get("resource"):
            self.no(400, "invalid_request", 901002, "The 'resource' request parameter is not supported.")
        return client_id, secret or form.get("client_secret")

    def _client(self, client_id: str) -> tuple[Doc | None, Doc | None]:
        """The registration and the service principal of a client; one of them is there."""
        world = self.world
        application = next(iter(world.directory.find("application", "appId", client_id)), None)
        principal = next(iter(world.directory.find("servicePrincipal", "appId", client_id)), None)
        known = application is not None or (principal is not None and principal["appId"] not in first_party.by_app_id())
        if not known or world.faults.unknown(client_id, world.store.now()):
            text = f"Application with identifier '{client_id}' was not found in the directory '{world.domain}'. "
            self.no(400, "unauthorized_client", 700016, text + NOT_INSTALLED.format("may"))
        world.asking = {**(world.asking or {}), "name": (application or principal or {})["displayName"]}
        return application, principal

    def _proven(
        self, client_id: str, secret: str | None, application: Doc | None, principal: Doc | None
    ) -> tuple[str, str | None]:
        """How the client proves who it is (`1` by a secret, `2` by an assertion), and the key id of what it proves it with."""
        owners = [owner["id"] for owner in (application, principal) if owner is not None]
        if secret:
            return "1", self._check_secret(owners, client_id, secret)
        if self.form.get("client_assertion"):
            if self.form.get("client_assertion_type") != ASSERTION_TYPE:
                self.missing("client_assertion_type")
            names, url = (self.tenant, self.world.tenant_id), self.world.url
            audiences = {f"{url}/{name}/{path}" for name in names for path in AUDIENCE_PATHS}
            try:
                assertion = self.form["client_assertion"]
                return "2", check_assertion(self.world, assertion, client_id, application, owners, audiences)
            except AssertionRefused as error:
                self.no(error.status, error.error, error.code, error.text)
        text = (
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
            if self.version == 1
            else "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."
        )
        self.no(401, "invalid_client", 7000216, text)

    def _check_secret(self, owners: list[str], client_id: str, value: str) -> str:
        """The key id of the secret that this is."""
        now, delay = self.world.store.now(), self.world.propagation("secrets")
        live = [
            secret
            for secret in self.world.credentials.secrets_of(owners, value)
            if secret.matches and secret.created + delay <= now
        ]
        valid = next((secret for secret in live if secret.starts <= now < secret.ends), None)
        if valid is not None:
            return valid.key_id
        if any(secret.ends <= now for secret in live):
            text = (
                f"The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to create new keys for "
                "your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: "
                "https://aka.ms/certCreds."
            )
            self.no(401, "invalid_client", 7000222, text)
        text = (
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the "
            f"client secret ID, for a secret added to app '{client_id}'."
        )
        self.no(401, "invalid_client", 7000215, text)

    def _identifier(self) -> str:
        """The API that a token is asked for, by its identifier."""
        form = self.form
        if self.version == 1:
            return form.get("resource") or AZURE_AD_GRAPH
        scopes = [
            scope
            for scope in (form.get("scope") or self.missing("scope")).split()
            if scope.lower() not in SIGN_IN_SCOPES
        ]
        if len(scopes) > 1:
            text = f"Provided value for the input parameter scope is not valid because it contains more than one resource. {scopes}"
            self.no(400, "invalid_scope", 28000, f"{text} is not valid.")
        scope = scopes[0] if scopes else form["scope"]
        if not scope.lower().endswith("/.default"):
            text = (
                f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
                "/.default suffixed to the resource identifier (application ID URI)."
            )
            self.no(400, "invalid_scope", 1002012, text)
        return scope[: -len("/.default")]


def _basic(call: Call) -> tuple[str | None, str | None]:
    kind, _, value = call.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None, None
    try:
        client, _, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None, None
    return unquote_plus(client) or None, unquote_plus(secret) or None


def _resource(world: World, identifier: str) -> Requested | None:
    """The API that a resource identifier names: a first-party audience, this server, an application id or identifier URI."""
    directory, plain = world.directory, identifier.rstrip("/")
    if plain.lower() == world.url:
        return Requested(next(iter(directory.find("servicePrincipal", "appId", GRAPH)), None), identifier)
    vaults = plain.lower() == keyvault.resource(world)
    api = first_party.by_app_id()[KEY_VAULT] if vaults else first_party.by_audience().get(plain.lower())
    if api is not None:
        return Requested(next(iter(directory.find("servicePrincipal", "appId", api.app_id)), None), identifier)
    guid = plain.lower().removeprefix("api://")
    found = directory.find("servicePrincipal", "appId", guid) if is_guid(guid) else []
    if not found:
        found = directory.find("servicePrincipal", "servicePrincipalNames", plain)
    if not found:
        return None
    application = next(iter(directory.find("application", "appId", found[0]["appId"])), {})
    version = (application.get("api") or {}).get("requestedAccessTokenVersion") or 1
    return Requested(found[0], found[0]["appId"] if version == 2 else identifier, version)


def _claims(world: World, principal: Doc, resource: Requested, how: str, asked_claims: str | None) -> dict[str, Any]:
    now = int(world.store.now())
    roles: list[str] = []
    if resource.service_principal is not None:
        roles = _roles(world, principal, resource.service_principal)
    ours = issuer(world, resource.version)
    claims: dict[str, Any] = {
        "aud": resource.audience,
        "iss": ours,
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME + 1,
        "aio": unique_id(),
        "idtyp": "app",
        "oid": principal["id"],
        "sub": principal["id"],
        "tid": world.tenant_id,
        "uti": unique_id(),
        "rh": f"1.{unique_id()}.",
        "tenant_region_scope": "WW",
    }
    if resource.version == 2:
        claims |= {"azp": principal["appId"], "azpacr": how, "ver": "2.0"}
    else:
        claims |= {
            "appid": principal["appId"],
            "app_displayname": principal["displayName"],
            "appidacr": how,
            "idp": ours,
            "ver": "1.0",
            "xms_tcdt": int(float(world.store.setting("created") or 0)),
            "xms_idrel": "7 30",
            "wids": ["0997a1d0-0d1d-4acb-b408-d5ca73121e90", *_directory_roles(world, principal)],
        }
    if roles:
        claims["roles"] = roles
    if asked_claims and "CP1" in _capabilities(asked_claims):
        claims["xms_cc"] = ["CP1"]
    return claims


def _directory_roles(world: World, principal: Doc) -> list[str]:
    """Template ids of the directory roles that a principal has in the whole directory."""
    held = world.directory.find("roleAssignment", "principalId", principal["id"])
    return sorted({one["roleDefinitionId"] for one in held if one["directoryScopeId"] == "/"})


def _roles(world: World, principal: Doc, resource: Doc) -> list[str]:
    offered = {role["id"].lower(): role.get("value") for role in resource.get("appRoles") or []}
    offered |= {role["id"]: role["value"] for role in first_party.app_roles(resource["appId"])}
    holders = [principal["id"], *sorted(world.directory.groups_of(principal["id"]))]
    held = [
        offered.get(role)
        for holder in holders
        for _, target, _, role, _ in world.directory.app_roles(principal=holder)
        if target == resource["id"]
    ]
    return list(dict.fromkeys(value for value in held if value))


def _capabilities(text: str) -> list[str]:
    try:
        values = json.loads(text)["access_token"]["xms_cc"]["values"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []
    return values if isinstance(values, list) else []


def _answer(token: str, claims: dict[str, Any], resource: str, version: int) -> Reply:
    if version == 2:
        body: dict[str, Any] = {
            "token_type": "Bearer",
            "expires_in": LIFETIME,
            "ext_expires_in": LIFETIME,
            "access_token": token,
        }
    else:
        body = {
            "token_type": "Bearer",
            "expires_in": str(LIFETIME),
            "ext_expires_in": str(LIFETIME),
            "expires_on": str(claims["exp"] - 1),
            "not_before": str(claims["nbf"]),
            "resource": resource,
            "access_token": token,
        }
    return Reply(200, body, NO_STORE)
