"""How a stand-in reaches Azure: settings, cloud metadata, tokens, and HTTP with the retries the real plugins do.

Settings are those of the real plugins: provider configuration first, then ``ARM_*`` variables. Credentials are tried in the
order of go-azure-sdk: client certificate, client secret, OIDC token, GitHub OIDC, Azure CLI.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import requests

from local_azure.plugins.trust import Adapter

T = TypeVar("T")

METADATA_API_VERSION = "2022-09-01"
RETRIES = 6
THROTTLED = 16
"""How often a request is made again that was one too many, as go-azure-sdk does, which the real azuread plugin is made with; other
failures would take ten minutes so."""
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 60.0
_TIMEOUT = (10, 120)
_BEFORE_IT_ENDS = 300.0
"""Seconds before its end from which a token is not used any more."""


class PluginError(Exception):
    """Something the user of the plugin has to know; the message says what happened and what to do."""


class Cancelled(PluginError):
    """The engine asked the plugin to stop."""


class ApiError(PluginError):
    """The service refused a request.

    ``code`` and ``message`` are the service's own. Neither holds a token: only the method and the URL of the request
    are kept.
    """

    def __init__(self, status: int, code: str, message: str, request: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.request = request
        super().__init__(f"{request}: unexpected status {status} with error: {code}: {message}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Where and as whom to sign in. Secrets are left out of ``repr``."""

    metadata_host: str
    tenant_id: str
    client_id: str
    subscription_id: str = ""
    environment: str = "public"
    disable_instance_discovery: bool = False
    client_secret: str = field(default="", repr=False)
    certificate: bytes = field(default=b"", repr=False)
    certificate_password: str = field(default="", repr=False)
    oidc_token: str = field(default="", repr=False)
    oidc_token_file: str = ""
    oidc_request_url: str = ""
    oidc_request_token: str = field(default="", repr=False)
    use_oidc: bool = False
    use_cli: bool = True


_ENVIRONMENTS = (
    "public", "global", "usgovernment", "usgovernmentl4", "dod", "usgovernmentl5", "china", "chinacloud",
    "azurecloud", "azurepubliccloud", "azureusgovernment", "azureusgovernmentcloud", "azurechinacloud", "",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a plugin was given: provider configuration first, then the environment."""

    plugin: str
    config: Mapping[str, Any]
    env: Mapping[str, str]

    def text(self, name: str, *variables: str) -> str:
        """A setting that is a text; empty where it is not given."""
        value = self.config.get(name)
        if isinstance(value, str) and value:
            return value
        return next((self.env[variable] for variable in variables if self.env.get(variable)), "")

    def flag(self, name: str, variable: str, default: bool) -> bool:
        """A setting that is true or false; `PluginError` where it is anything else."""
        value = self.config.get(name)
        if value is None or value == "":
            value = self.env.get(variable) or default
        if isinstance(value, bool):
            return value
        if str(value).lower() in ("true", "1", "t"):
            return True
        if str(value).lower() in ("false", "0", "f"):
            return False
        raise PluginError(f"{self.plugin}: {name} ({variable}) must be true or false, but is {str(value)!r}")

    def certificate(self) -> bytes:
        """The client certificate in a file or in base64; empty when there is neither."""
        path = self.text("clientCertificatePath", "ARM_CLIENT_CERTIFICATE_PATH")
        data = self.text("clientCertificate", "ARM_CLIENT_CERTIFICATE")
        try:
            return Path(path).read_bytes() if path else base64.b64decode(data)
        except (OSError, ValueError) as error:
            raise PluginError(f"{self.plugin}: reading the client certificate: {error}") from None


def read_settings(plugin: str, config: Mapping[str, Any], env: Mapping[str, str] = os.environ) -> Settings:
    """The settings in provider configuration ``config`` and the environment.

    Raises `PluginError` naming what is missing or contradictory.
    """
    inputs = _Inputs(plugin, config, env)
    metadata_host = inputs.text("metadataHost", "ARM_METADATA_HOSTNAME", "ARM_METADATA_HOST")
    if not metadata_host:
        raise PluginError(
            f"this {plugin} plugin is a stand-in for rehearsals on a local Azure and never talks to the real one. "
            f"Set ARM_METADATA_HOSTNAME (and ARM_TENANT_ID, ARM_CLIENT_ID, ARM_CLIENT_SECRET) to those of the local "
            f"Azure; for a real tenant, let Pulumi have the real plugin: remove this one with `pulumi plugin rm resource "
            f"{plugin} --all` and run `pulumi install` where Pulumi can download plugins."
        )
    environment = inputs.text("environment", "ARM_ENVIRONMENT")
    if environment.lower() not in _ENVIRONMENTS:
        raise PluginError(
            f'failed to read Azure environment "{environment}": it must be public, usgovernment or china, '
            f"even with a metadata host"
        )
    settings = Settings(
        metadata_host=metadata_host.removeprefix("https://").rstrip("/"),
        tenant_id=inputs.text("tenantId", "ARM_TENANT_ID"),
        client_id=inputs.text("clientId", "ARM_CLIENT_ID"),
        subscription_id=inputs.text("subscriptionId", "ARM_SUBSCRIPTION_ID"),
        environment=environment or "public",
        disable_instance_discovery=inputs.flag("disableInstanceDiscovery", "ARM_DISABLE_INSTANCE_DISCOVERY", False),
        client_secret=inputs.text("clientSecret", "ARM_CLIENT_SECRET"),
        certificate=inputs.certificate(),
        certificate_password=inputs.text("clientCertificatePassword", "ARM_CLIENT_CERTIFICATE_PASSWORD"),
        oidc_token=inputs.text("oidcToken", "ARM_OIDC_TOKEN"),
        oidc_token_file=inputs.text("oidcTokenFilePath", "ARM_OIDC_TOKEN_FILE_PATH"),
        oidc_request_url=inputs.text("oidcRequestUrl", "ARM_OIDC_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_URL"),
        oidc_request_token=inputs.text("oidcRequestToken", "ARM_OIDC_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
        use_oidc=inputs.flag("useOidc", "ARM_USE_OIDC", False),
        use_cli=inputs.flag("useCli", "ARM_USE_CLI", True),
    )
    _refuse_what_cannot_sign_in(plugin, settings)
    return settings


def _refuse_what_cannot_sign_in(plugin: str, settings: Settings) -> None:
    if settings.metadata_host.startswith("http://"):
        raise PluginError(f"{plugin}: the metadata host must serve https, but is {settings.metadata_host!r}")
    needed = {"ARM_TENANT_ID": settings.tenant_id}
    if settings.client_secret or settings.certificate or settings.use_oidc:
        needed["ARM_CLIENT_ID"] = settings.client_id
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise PluginError(f"{plugin}: cannot sign in: {' and '.join(missing)} must be set")
    if not (settings.client_secret or settings.certificate or settings.use_oidc or settings.use_cli):
        raise PluginError(
            f"{plugin}: failed to load Azure credentials: set ARM_CLIENT_SECRET, ARM_CLIENT_CERTIFICATE_PATH, or "
            f"ARM_USE_OIDC=true with ARM_OIDC_TOKEN or ARM_OIDC_TOKEN_FILE_PATH"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Cloud:
    """The endpoints a metadata host names (each without a trailing slash)."""

    login: str
    resource_manager: str
    audience: str
    graph: str

    @classmethod
    def from_metadata(cls, host: str, document: Any) -> Cloud:
        """The cloud in a metadata document; raises `PluginError` when it lacks what the real plugins need."""
        try:
            return cls(
                login=document["authentication"]["loginEndpoint"].rstrip("/"),
                resource_manager=document["resourceManager"].rstrip("/"),
                audience=document["authentication"]["audiences"][0],
                graph=document["microsoftGraphResourceId"].rstrip("/"),
            )
        except (KeyError, IndexError, TypeError, AttributeError):
            raise PluginError(
                f"{host} answered /metadata/endpoints without loginEndpoint, audiences, resourceManager or "
                f"microsoftGraphResourceId: it is not a metadata host"
            ) from None


def ca_bundle(env: Mapping[str, str] = os.environ) -> str | bool:
    """The CA certificates to trust: SSL_CERT_FILE as the real (Go) plugins do, else REQUESTS_CA_BUNDLE, else requests' own."""
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        path = env.get(variable)
        if path:
            if not Path(path).is_file():
                raise PluginError(f"{variable} names {path}, which is not there")
            return path
    system = ssl.get_default_verify_paths().cafile
    return system if system and Path(system).is_file() else True


class Session:
    """One signed-in plugin process: HTTP with tokens, retries and cancellation. Safe to use from many threads."""

    def __init__(self, plugin: str, settings: Settings) -> None:
        self.plugin = plugin
        self.settings = settings
        self.cancelled = threading.Event()
        self._verify = ca_bundle()
        self._http = requests.Session()
        self._http.mount("https://", Adapter(pool_connections=8, pool_maxsize=64))
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()
        self._credential: Any = None
        self._tokens: dict[str, tuple[str, float]] = {}
        self.cloud = self._discover()

    def _discover(self) -> Cloud:
        host = self.settings.metadata_host
        url = f"https://{host}/metadata/endpoints?api-version={METADATA_API_VERSION}"
        try:
            response = self._http.get(url, verify=self._verify, timeout=_TIMEOUT)
        except requests.RequestException as error:
            raise PluginError(_connection_problem("GET", url, error)) from None
        if response.status_code != 200:
            raise PluginError(f"GET {url}: expected 200 OK but got {response.status_code}")
        try:
            document = json.loads(response.content.decode("utf-8-sig"))
        except ValueError:
            raise PluginError(f"GET {url}: the answer is not JSON") from None
        return Cloud.from_metadata(host, document)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()
        if self._credential is not None and hasattr(self._credential, "close"):
            self._credential.close()

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold the lock called ``name``: two changes of one object's list must not overwrite each other."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            yield

    def wait(self, seconds: float) -> None:
        """Sleep; raises `Cancelled` at once when the engine asks to stop."""
        if self.cancelled.wait(seconds):
            raise Cancelled("cancelled")

    def token(self, audience: str) -> str:
        """An access token for ``audience``, cached until shortly before it expires."""
        with self.locked(f"token for {audience}"):
            held = self._tokens.get(audience)
            if held is None or held[1] < time.monotonic() + _BEFORE_IT_ENDS:
                held = self._tokens[audience] = self._signed_in(audience)
        return held[0]

    def _signed_in(self, audience: str) -> tuple[str, float]:
        """A new access token, and when it ends by the monotonic clock."""
        settings = self.settings
        if settings.certificate or not (settings.client_secret or settings.use_oidc):
            return self._by_identity(audience)
        proof = {"client_secret": settings.client_secret}
        if not settings.client_secret:
            kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            proof = {"client_assertion_type": kind, "client_assertion": self._assertion()}
        form = {"grant_type": "client_credentials", "client_id": settings.client_id, "scope": f"{audience}/.default"}
        url = f"{self.cloud.login}/{settings.tenant_id}/oauth2/v2.0/token"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        sent = time.monotonic()
        try:
            response = self.request("POST", url, data=urlencode(form | proof).encode(), headers=headers)
            document = response.json()
            return str(document["access_token"]), sent + float(document["expires_in"])
        except ApiError as error:
            raise PluginError(f"signing in as {settings.client_id}: {error.message}") from None
        except (ValueError, KeyError, TypeError):
            raise PluginError(f"signing in at {self.cloud.login}: the answer has no token") from None

    def _by_identity(self, audience: str) -> tuple[str, float]:
        """The same with a certificate, or from the Azure CLI."""
        from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

        if self._credential is None:
            self._credential = self._make_credential()
        try:
            found = self._credential.get_token(f"{audience}/.default")
        except ClientAuthenticationError as error:
            raise PluginError(
                f"signing in as {self.settings.client_id or 'the Azure CLI user'}: {error.message}"
            ) from None
        except ServiceRequestError as error:
            raise PluginError(f"signing in at {self.cloud.login}: {error.message}") from None
        return str(found.token), time.monotonic() + found.expires_on - time.time()

    def claims(self, audience: str) -> dict[str, Any]:
        """The claims of the access token for ``audience``, unverified, as the real plugins read them."""
        parts = self.token(audience).split(".")
        if len(parts) != 3:
            raise PluginError(f"the access token for {audience} is not a JWT of three parts")
        try:
            return dict(json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))))
        except ValueError:
            raise PluginError(f"the claims of the access token for {audience} cannot be read") from None

    def _make_credential(self) -> Any:
        from azure import identity
        from azure.core.pipeline.transport import RequestsTransport

        settings = self.settings
        common: dict[str, Any] = {
            "authority": self.cloud.login,
            "disable_instance_discovery": True,
            "transport": RequestsTransport(connection_verify=self._verify),
        }
        try:
            if settings.certificate:
                password = settings.certificate_password or None
                return identity.CertificateCredential(
                    settings.tenant_id,
                    settings.client_id,
                    certificate_data=settings.certificate,
                    password=password,
                    **common,
                )
        except ValueError as error:
            raise PluginError(f"{self.plugin}: the credentials cannot be used: {error}") from None
        return identity.AzureCliCredential(tenant_id=settings.tenant_id)

    def _assertion(self) -> str:
        settings = self.settings
        if settings.oidc_token:
            return settings.oidc_token
        if settings.oidc_token_file:
            try:
                return Path(settings.oidc_token_file).read_text(encoding="utf-8").strip()
            except OSError as error:
                raise PluginError(f"{self.plugin}: reading ARM_OIDC_TOKEN_FILE_PATH: {error}") from None
        if settings.oidc_request_url and settings.oidc_request_token:
            url = settings.oidc_request_url
            url += ("&" if "?" in url else "?") + "audience=api%3A%2F%2FAzureADTokenExchange"
            headers = {"Authorization": f"Bearer {settings.oidc_request_token}", "Accept": "application/json"}
            try:
                response = self._http.get(url, headers=headers, verify=self._verify, timeout=_TIMEOUT)
                response.raise_for_status()
                return str(response.json()["value"])
            except (requests.RequestException, ValueError, KeyError) as error:
                raise PluginError(f"{self.plugin}: asking for an OIDC token: {type(error).__name__}") from None
        raise PluginError(f"{self.plugin}: ARM_USE_OIDC is set, but no OIDC token: set ARM_OIDC_TOKEN")

    def request(
        self,
        method: str,
        url: str,
        *,
        audience: str | None = None,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        accept: tuple[int, ...] = (200,),
        retry_if: Callable[[ApiError], bool] = lambda _: False,
        retries: int = RETRIES,
    ) -> requests.Response:
        """Send one request, again where that is worth it, and return its accepted answer.

        408, 424, 429 and 5xx (but 501) are sent again after ``Retry-After`` or a growing pause, as is whatever
        ``retry_if`` picks. Raises `ApiError` for any other answer. Without ``audience`` it is sent without a token.
        """
        sent_headers = {"Accept": "application/json", **(headers or {})}
        content = data
        if body is not None:
            content = json.dumps(body).encode()
            sent_headers.setdefault("Content-Type", "application/json; charset=utf-8")
        pause = _FIRST_WAIT
        for attempt in range(max(retries, THROTTLED) + 1):
            if self.cancelled.is_set():
                raise Cancelled("cancelled")
            if audience is not None:
                sent_headers["Authorization"] = f"Bearer {self.token(audience)}"
            try:
                response = self._http.request(
                    method,
                    url,
                    params=params,
                    data=content,
                    headers=sent_headers,
                    verify=self._verify,
                    timeout=_TIMEOUT,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                repeatable = method in ("GET", "PUT", "DELETE") or audience is None
                if attempt < retries and repeatable and _worth_another_try(error):
                    self.wait(pause)
                    pause = min(pause * 2, _LONGEST_WAIT)
                    continue
                raise PluginError(_connection_problem(method, url, error)) from None
            if response.status_code in accept:
                return response
            refused = _api_error(response)
            passing = response.status_code in (408, 424, 429) or (
                response.status_code >= 500 and response.status_code != 501
            )
            most = THROTTLED if response.status_code == 429 else retries
            if attempt >= most or not (passing or retry_if(refused)):
                raise refused
            self.wait(_retry_after(response) or pause)
            pause = min(pause * 2, _LONGEST_WAIT)
        raise AssertionError("unreachable")

    def until(self, look: Callable[[], T | None], what: str, seconds: float) -> T:
        """Ask ``look`` again and again until it answers something, for at most ``seconds``."""
        deadline = time.monotonic() + seconds
        pause = 0.1
        while True:
            found = look()
            if found is not None:
                return found
            if time.monotonic() + pause > deadline:
                raise PluginError(f"{what} did not show up within {seconds:.0f} seconds")
            self.wait(pause)
            pause = min(pause * 2, 5.0)


def _retry_after(response: requests.Response) -> float | None:
    try:
        seconds = float(response.headers.get("Retry-After", ""))
    except ValueError:
        return None
    return min(seconds, 300.0) if seconds > 0 else None


def _worth_another_try(error: requests.RequestException) -> bool:
    return isinstance(error, requests.ConnectionError | requests.Timeout) and not isinstance(
        error, requests.exceptions.SSLError
    )


def _connection_problem(method: str, url: str, error: requests.RequestException) -> str:
    host = url.split("/")[2]
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"{method} {url}: the certificate of {host} is not trusted; SSL_CERT_FILE must name a file that holds the CA "
            f"of the local Azure"
        )
    if isinstance(error, requests.exceptions.ConnectionError):
        return f"{method} {url}: {host} cannot be reached; is the local Azure running?"
    return f"{method} {url}: {type(error).__name__}"


def _api_error(response: requests.Response) -> ApiError:
    request = f"{response.request.method} {response.url}"
    code, message = response.headers.get("x-ms-error-code", ""), ""
    try:
        document = response.json()
    except ValueError:
        document = None
        message = response.text[:500]
    if isinstance(document, Mapping):
        error = document.get("error", document.get("odata.error", document))
        if isinstance(error, Mapping):
            code = str(error.get("code", code))
            message = error.get("message", message)
            if isinstance(message, Mapping):
                message = message.get("value", "")
        elif isinstance(error, str):
            code, message = error, str(document.get("error_description", ""))
    return ApiError(response.status_code, code or response.reason or "Error", str(message), request)
