"""Bearer tokens for an app, from azure-identity: credentials that every Azure SDK client takes.

MSAL answers a token request that was refused with 400 from its own cache for 60 s, so each retry here uses a fresh client.
"""

import base64
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenCredential, TokenRequestOptions
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity import CertificateCredential, ClientAssertionCredential, ClientSecretCredential

from entrant import clouds
from entrant.errors import AuthenticationError, ConfigurationError, UnreachableError
from entrant.explain import next_step
from entrant.outputs import App
from facts.clouds import Cloud

_WRONG_SECRET = frozenset({"AADSTS7000215", "AADSTS7000222"})
"""Unknown secret, expired secret: Microsoft Entra authentication and authorization error codes."""


class Credential:
    """An azure-core `TokenCredential` for one app.

    If Entra ID refuses the newest client secret as unknown or expired, the previous one is tried: a secret that was just
    turned over takes some seconds to be known everywhere.
    """

    def __init__(self, app: App, cloud: Cloud) -> None:
        self.app = app
        self.cloud = cloud
        self._sources = list(_sources(app, cloud))
        if not self._sources:
            raise ConfigurationError(
                f"{app.name} has no credential to get tokens with",
                next_step="give it a `secret:` in its YAML, or a certificate or federated token by AZURE_* variables",
            )

    def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, **options: Any
    ) -> AccessToken:
        """A token for the scopes, such as `https://api.loganalytics.io/.default`.

        Raises:
            AuthenticationError: Entra ID refused; `code` is its AADSTS code.
            UnreachableError: it did not answer.
        """
        info = self._first(scopes, {"claims": claims, "tenant_id": tenant_id} | options)
        return AccessToken(info.token, info.expires_on)

    def get_token_info(self, *scopes: str, options: TokenRequestOptions | None = None) -> AccessTokenInfo:
        """The same with the token's type and refresh time; what newer Azure SDK clients call."""
        return self._first(scopes, dict(options or {}))

    def close(self) -> None:
        """Close the connections. The credential is not to be used afterwards."""
        for source in self._sources:
            source.close()

    def _first(self, scopes: tuple[str, ...], options: Mapping[str, Any]) -> AccessTokenInfo:
        given: TokenRequestOptions = {key: value for key, value in options.items() if value is not None}  # type: ignore[assignment]
        refused: AuthenticationError | None = None
        for source in self._sources:
            try:
                return source.get_token_info(*scopes, options=given)
            except (ClientAuthenticationError, ServiceRequestError) as error:
                translated = _translate(error, self.app)
                if not isinstance(translated, AuthenticationError) or translated.code not in _WRONG_SECRET:
                    raise translated from None
                refused = refused or translated
        assert refused is not None
        raise refused


_Source = ClientSecretCredential | CertificateCredential | ClientAssertionCredential


def _sources(app: App, cloud: Cloud) -> Iterator[_Source]:
    common: dict[str, Any] = {
        "authority": cloud.authority,
        "disable_instance_discovery": not clouds.is_known_authority(cloud.authority),
    }
    for secret in (app.secret, app.previous_secret):
        if secret:
            yield ClientSecretCredential(app.tenant_id, app.client_id, secret, **common)
    if app.certificate:
        yield CertificateCredential(app.tenant_id, app.client_id, app.certificate, **common)
    if app.assertion:
        path = app.assertion

        def assertion() -> str:
            with open(path, encoding="utf-8") as file:
                return file.read().strip()

        yield ClientAssertionCredential(app.tenant_id, app.client_id, assertion, **common)


def _translate(error: Exception, app: App) -> AuthenticationError | UnreachableError:
    text = str(getattr(error, "message", error))
    if isinstance(error, ServiceRequestError):
        trust = "certificate verify failed" in text.lower()
        return UnreachableError(
            f"no token for {app.name}: the authority gave no answer ({text[:300]})",
            next_step="name the CA bundle to trust in REQUESTS_CA_BUNDLE"
            if trust
            else "check the network, then try again",
        )
    if (
        "Unable to get authority configuration" in text
    ):  # MSAL's words when the tenant's OpenID configuration is refused
        text = f"AADSTS90002: Tenant '{app.tenant_id}' not found."
    code = re.search(r"AADSTS\d+", text)
    words = re.sub(
        r"\s*(Trace ID|Correlation ID|Timestamp):\s*\S+( \S+Z)?", "", text.removeprefix("Authentication failed: ")
    )
    found = code.group() if code else None
    return AuthenticationError(
        f"no token for {app.name}: {words.strip()[:800]}", code=found, next_step=next_step(found, app=app.name)
    )


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and what it is for. Its repr does not show it."""

    access_token: str
    expires_on: int
    """Seconds since 1970."""
    scope: str
    tenant_id: str
    client_id: str

    def __repr__(self) -> str:
        return f"Token(scope={self.scope!r}, client_id={self.client_id!r}, expires_on={self.expires_on})"

    @property
    def claims(self) -> Mapping[str, Any]:
        """The token's claims, not verified: for looking at, never for deciding who somebody is."""
        try:
            payload = self.access_token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (IndexError, ValueError):
            return {}
        return claims if isinstance(claims, dict) else {}


def credential(app: App, *, environ: Mapping[str, str] = os.environ) -> Credential:
    """An azure-core `TokenCredential` for an app; `environ` may point to another cloud (see `entrant.clouds`)."""
    return Credential(app, clouds.resolve(app.cloud, environ))


def token(app: App, audience: str, *, environ: Mapping[str, str] = os.environ) -> Token:
    """A token for an audience: a name (`logs`, `metrics`, `arm`, `graph`, …), a resource URL, or a scope.

    Raises:
        AuthenticationError: Entra ID refused. UnreachableError: no answer.
    """
    source = credential(app, environ=environ)
    return fetch(source, app, clouds.scope(source.cloud, audience))


def fetch(credential: TokenCredential, app: App, scope: str) -> Token:
    """One token for `scope`."""
    token = credential.get_token(scope)
    return Token(token.token, int(token.expires_on), scope, app.tenant_id, app.client_id)
