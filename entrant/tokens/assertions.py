"""Federated assertions: what proves, instead of a secret, that this is the app's GitHub job, Azure DevOps pipeline or pod.

Each lives for minutes only and is asked for anew for every token request.

| kind | found by | source |
|---|---|---|
| `file` | `AZURE_FEDERATED_TOKEN_FILE` | Azure's workload identity for Kubernetes; the file is rewritten while it runs |
| `github` | `ACTIONS_ID_TOKEN_REQUEST_URL`, `ACTIONS_ID_TOKEN_REQUEST_TOKEN` | GitHub Actions, with `id-token: write` |
| `azure-devops` | `SYSTEM_OIDCREQUESTURI`, `SYSTEM_ACCESSTOKEN`, `AZURESUBSCRIPTION_SERVICE_CONNECTION_ID` | Azure Pipelines |

Sources: azure-identity's WorkloadIdentityCredential and AzurePipelinesCredential; GitHub, "OpenID Connect reference"; Azure DevOps
REST API 7.1, "Oidctoken - Create". The last variable is what the tasks AzureCLI@2 and AzurePowerShell@5 set; elsewhere
`ARM_OIDC_AZURE_SERVICE_CONNECTION_ID`, as Terraform's and Pulumi's providers read it, says the same.
"""

from collections.abc import Mapping
from typing import Any

from entrant.errors import AuthenticationError, ConfigurationError, RefusedError
from entrant.facts.limits import EXCHANGE_AUDIENCE, EXCHANGE_AUDIENCES

_GITHUB = ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
_DEVOPS = ("SYSTEM_OIDCREQUESTURI", "SYSTEM_ACCESSTOKEN")
_CONNECTION = ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "ARM_OIDC_AZURE_SERVICE_CONNECTION_ID")
_DEVOPS_VERSION = "7.1"


def in_github(environ: Mapping[str, str]) -> bool:
    """Whether this is a GitHub Actions job that may ask for assertions."""
    return all(environ.get(name) for name in _GITHUB)


def in_azure_devops(environ: Mapping[str, str]) -> bool:
    """Whether this is a step of Azure Pipelines that was given its access token and a service connection."""
    return all(environ.get(name) for name in _DEVOPS) and _connection(environ) is not None


def proof(kind: str, environ: Mapping[str, str]) -> bytes:
    """What lets this process ask for assertions, as bytes; kept secret by GitHub and Azure DevOps for the time of the job."""
    return environ[{"github": _GITHUB[1], "azure-devops": _DEVOPS[1]}[kind]].encode()


def from_file(path: str) -> str:
    """The assertion that a file holds now.

    Raises:
        ConfigurationError: it cannot be read, or is empty.
    """
    try:
        with open(path, encoding="ascii") as file:
            text = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the federated token in {path} cannot be read: {error}",
            next_step="check AZURE_FEDERATED_TOKEN_FILE, or ARM_OIDC_TOKEN_FILE_PATH",
        ) from None
    if not text:
        raise ConfigurationError(f"{path} is empty; it should hold a federated token")
    return text


def from_github(cloud: str, environ: Mapping[str, str]) -> str:
    """An assertion about this GitHub Actions job, for Entra ID of a cloud (`public`, `usgovernment`, `china`).

    Raises:
        ConfigurationError: not in such a job. AuthenticationError: GitHub refused. UnreachableError: no answer.
    """
    if not in_github(environ):
        raise ConfigurationError(
            f"{' and '.join(_GITHUB)} are not set: this is no GitHub Actions job that may ask for tokens",
            next_step="give the job `permissions: id-token: write`",
        )
    url, token = (environ[name] for name in _GITHUB)
    audience = EXCHANGE_AUDIENCES.get(cloud, EXCHANGE_AUDIENCE)
    return _ask("GitHub", "GET", url, token, "value", params={"audience": audience})


def from_azure_devops(environ: Mapping[str, str]) -> str:
    """An assertion about the service connection of this step of Azure Pipelines.

    Raises:
        ConfigurationError: not in such a step. AuthenticationError: Azure DevOps refused. UnreachableError: no answer.
    """
    connection = _connection(environ)
    missing = [name for name in _DEVOPS if not environ.get(name)] + ([_CONNECTION[0]] if connection is None else [])
    if connection is None or missing:
        raise ConfigurationError(
            f"{', '.join(missing)} not set: this is no step of Azure Pipelines with a service connection",
            next_step="run it in an AzureCLI@2 task and map `SYSTEM_ACCESSTOKEN: $(System.AccessToken)` in its `env:`",
        )
    return _ask(
        "Azure DevOps",
        "POST",
        environ[_DEVOPS[0]].rstrip("/"),
        environ[_DEVOPS[1]],
        "oidcToken",
        params={"api-version": _DEVOPS_VERSION, "serviceConnectionId": connection},
        # Without it a refused request is answered with a redirect to a sign-in page.
        headers={"X-TFS-FedAuthRedirect": "Suppress", "Content-Type": "application/json"},
        repeat=True,
    )


def _connection(environ: Mapping[str, str]) -> str | None:
    return next((environ[name] for name in _CONNECTION if environ.get(name)), None)


def _ask(who: str, method: str, url: str, token: str, field: str, **options: Any) -> str:
    from entrant import http

    try:
        found = http.call(method, url, token=token, **options).get(field)
    except RefusedError as error:
        raise AuthenticationError(f"{who} gave no assertion: {error}", next_step=error.next_step) from None
    if not isinstance(found, str) or not found:
        raise AuthenticationError(f"{who} answered without an assertion")
    return found
