"""The deployer: whoever runs `pulumi up`, found as Pulumi's Azure providers find it, for checks that an app cannot make itself."""

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from entrant import http
from entrant.errors import AuthenticationError, ConfigurationError, EntrantError, RefusedError, UnreachableError
from entrant.explain import next_step
from entrant.facts.clouds import Cloud
from entrant.facts.errors import codes
from entrant.tokens import assertions, clouds

_EARLY: Final = 300
"""Seconds before its end from which a token is not used any more."""


@dataclass(frozen=True)
class Deployer:
    """An identity that may look at the directory and at role assignments. `name` says where it comes from."""

    name: str
    cloud: Cloud
    credential: Any
    """An azure-core TokenCredential."""

    def token(self, audience: str) -> str:
        """A bearer token for a named audience.

        Raises:
            AuthenticationError: Entra ID refused, or nobody is logged in. UnreachableError: it did not answer.
        """
        from azure.core.exceptions import AzureError, ClientAuthenticationError

        try:
            return str(self.credential.get_token(clouds.scope(self.cloud, audience)).token)
        except AzureError as error:
            message = f"no token for {self.name}: {' '.join(str(error).split())[:800]}"
            step = next_step(str(error)) or "log in with `az login`, or set the ARM_* variables"
            if isinstance(error, ClientAuthenticationError):
                code = next(iter(codes(str(error))), None)
                raise AuthenticationError(message, code=code, next_step=step) from error
            raise UnreachableError(message, next_step="check the network, then try again") from error

    def claims(self, audience: str) -> Mapping[str, Any]:
        """What the token for a named audience says of its bearer."""
        from entrant.tokens.credentials import Token

        return Token(self.token(audience), 0, audience, "", "").claims

    def arm(self, path: str, *, version: str = "2022-04-01", **params: str) -> dict[str, Any]:
        """GET from Azure Resource Manager."""
        query = {"api-version": version} | params
        return http.get_json(http.address(self.cloud.resource_manager, path), token=self.token("arm"), params=query)

    def graph(self, path: str, **params: str) -> dict[str, Any]:
        """GET from Microsoft Graph v1.0; a parameter `filter` becomes `$filter`."""
        query = {f"${name}": value for name, value in params.items()}
        return http.get_json(http.address(f"{self.cloud.graph}/v1.0", path), token=self.token("graph"), params=query)

    def listed(self, answer: dict[str, Any], audience: str) -> Iterator[dict[str, Any]]:
        """The entries of a list answer and of its further pages."""
        while True:
            yield from answer.get("value", ())
            following = answer.get("@odata.nextLink") or answer.get("nextLink")
            if not following:
                return
            answer = http.get_json(str(following), token=self.token(audience))


class _Kept:
    """A credential whose tokens are asked for once while they are valid: the Azure CLI's starts a program for each."""

    def __init__(self, credential: Any) -> None:
        self._credential = credential
        self._tokens: dict[tuple[str, ...], Any] = {}
        self._lock = Lock()

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """The token kept for these scopes, or a new one."""
        with self._lock:
            kept = self._tokens.get(scopes)
            if kept is None or kept.expires_on - time.time() < _EARLY:
                kept = self._tokens[scopes] = self._credential.get_token(*scopes, **options)
        return kept


def unseen(error: EntrantError, right: str) -> str:
    """Why a look was not possible: the right that is lacking, or what failed. Never that there is nothing."""
    if isinstance(error, RefusedError) and error.status == 403:
        return f"403 {error.code or 'Forbidden'}: the deployer lacks {right}"
    return f"the look-up failed: {error}"


def find(cloud: Cloud, environ: Mapping[str, str] = os.environ) -> Deployer | None:
    """The deployer that the environment describes: the `ARM_*` variables, else the Azure CLI's login; None without either.

    `ARM_CLIENT_ID` and `ARM_TENANT_ID` with `ARM_CLIENT_SECRET`, `ARM_CLIENT_CERTIFICATE_PATH`, `ARM_OIDC_TOKEN` or
    `ARM_OIDC_TOKEN_FILE_PATH` (Pulumi's azuread and azure-native provider configuration), or, with `ARM_USE_OIDC`, a job of GitHub
    Actions or Azure Pipelines that may ask for assertions (see `entrant.tokens.assertions`).

    Raises:
        ConfigurationError: the variables name an identity and no way to be it.
    """
    import shutil

    from azure.identity import (
        AzureCliCredential,
        CertificateCredential,
        ClientAssertionCredential,
        ClientSecretCredential,
    )

    tenant, client = environ.get("ARM_TENANT_ID"), environ.get("ARM_CLIENT_ID")
    common: dict[str, Any] = {
        "authority": cloud.authority,
        "disable_instance_discovery": not clouds.is_known_authority(cloud.authority),
    }
    if tenant and client:
        name = f"service principal {client} (ARM_CLIENT_ID)"
        secret, certificate = environ.get("ARM_CLIENT_SECRET"), environ.get("ARM_CLIENT_CERTIFICATE_PATH")
        token, file = environ.get("ARM_OIDC_TOKEN"), environ.get("ARM_OIDC_TOKEN_FILE_PATH")
        if secret:
            return Deployer(name, cloud, ClientSecretCredential(tenant, client, secret, **common))
        if certificate:
            password = environ.get("ARM_CLIENT_CERTIFICATE_PASSWORD")
            credential = CertificateCredential(tenant, client, certificate, password=password, **common)
            return Deployer(name, cloud, credential)
        in_github, in_devops = assertions.in_github(environ), assertions.in_azure_devops(environ)
        asks = environ.get("ARM_USE_OIDC", "").lower() in ("true", "1") and (in_github or in_devops)
        if token or file or asks:

            def assertion() -> str:
                if token:
                    return token
                if file:
                    return assertions.from_file(file)
                return (
                    assertions.from_github(cloud.name, environ) if in_github else assertions.from_azure_devops(environ)
                )

            return Deployer(name, cloud, ClientAssertionCredential(tenant, client, assertion, **common))
        raise ConfigurationError(
            "ARM_CLIENT_ID names a deployer and nothing says how to be it",
            next_step="set ARM_CLIENT_SECRET, ARM_CLIENT_CERTIFICATE_PATH or ARM_OIDC_TOKEN_FILE_PATH; in a pipeline ARM_USE_OIDC",
        )
    if shutil.which("az"):
        cli = AzureCliCredential(tenant_id=tenant or "", process_timeout=30)
        return Deployer("the Azure CLI's login", cloud, _Kept(cli))
    return None
