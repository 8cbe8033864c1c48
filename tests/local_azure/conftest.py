"""One local Azure for all tests of this folder, and a few ways to talk to it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

import local_azure


@dataclass(frozen=True, slots=True)
class Identity:
    """An app registration with a service principal and a client secret."""

    client_id: str
    object_id: str
    application_id: str
    key_id: str
    secret: str


class Client:
    """Raw HTTP to the local Azure as one service principal (the deployer unless said otherwise)."""

    def __init__(self, azure: local_azure.LocalAzure, client_id: str | None = None, secret: str | None = None) -> None:
        self.azure = azure
        self.client_id, self.secret = client_id or azure.client_id, secret or azure.client_secret
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(azure.ca_file)
        self._tokens: dict[str, str] = {}

    def ask_token(self, scope: str, **form: str) -> requests.Response:
        """The token endpoint's answer."""
        fields = {
            "client_id": self.client_id,
            "client_secret": self.secret,
            "grant_type": "client_credentials",
            "scope": scope,
        }
        url = f"{self.azure.url}/{self.azure.tenant_id}/oauth2/v2.0/token"
        return self.session.post(url, data={k: v for k, v in (fields | form).items() if v})

    def token(self, scope: str | None = None, *, fresh: bool = False) -> str:
        """A bearer token, by default for the local Azure itself."""
        scope = scope or f"{self.azure.url}/.default"
        if fresh or scope not in self._tokens:
            response = self.ask_token(scope)
            assert response.status_code == 200, response.text
            self._tokens[scope] = response.json()["access_token"]
        return self._tokens[scope]

    def call(
        self, method: str, path: str, body: Any = None, *, scope: str | None = None, **more: Any
    ) -> requests.Response:
        """One request with a bearer token; `path` may be a whole URL."""
        url = path if path.startswith("https://") else self.azure.url + path
        headers = {"Authorization": f"Bearer {self.token(scope)}", **more.pop("headers", {})}
        return self.session.request(method, url, json=body, headers=headers, **more)

    def graph(self, method: str, path: str, body: Any = None, status: int | None = None, **more: Any) -> Any:
        """Microsoft Graph v1.0; the JSON of the answer."""
        response = self.call(method, f"/v1.0{path}", body, **more)
        expected = (status,) if status else (200, 201, 204)
        assert response.status_code in expected, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def arm(
        self, method: str, path: str, body: Any = None, status: int | None = None, version: str = "2022-04-01"
    ) -> Any:
        """Resource Manager; the JSON of the answer."""
        response = self.call(method, f"{path}{'&' if '?' in path else '?'}api-version={version}", body)
        expected = (status,) if status else (200, 201, 204)
        assert response.status_code in expected, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def new_identity(self, name: str | None = None) -> Identity:
        """Register an app with a service principal and a secret."""
        app = self.graph("POST", "/applications", {"displayName": name or f"app-{uuid.uuid4().hex[:8]}"})
        principal = self.graph("POST", "/servicePrincipals", {"appId": app["appId"]})
        password = self.graph(
            "POST", f"/applications/{app['id']}/addPassword", {"passwordCredential": {"displayName": "test"}}
        )
        return Identity(app["appId"], principal["id"], app["id"], password["keyId"], password["secretText"])

    def grant(
        self, role: str, scope: str, principal: str, status: int | None = None, name: str | None = None, **more: Any
    ) -> Any:
        """Assign a role, by the GUID of its definition."""
        qualifier = f"/subscriptions/{self.azure.subscription_id}"
        properties = {
            "roleDefinitionId": f"{qualifier}/providers/Microsoft.Authorization/roleDefinitions/{role}",
            "principalId": principal,
            "principalType": "ServicePrincipal",
            **more,
        }
        path = f"{scope.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments/{name or uuid.uuid4()}"
        return self.arm("PUT", path, {"properties": {k: v for k, v in properties.items() if v is not None}}, status)


READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
METRICS_PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_azure.LocalAzure]:
    """A running local Azure."""
    state = tmp_path_factory.mktemp("azure") / "state"
    yield local_azure.start(state)
    local_azure.stop(state)


@pytest.fixture(scope="session")
def deployer(azure: local_azure.LocalAzure) -> Client:
    """The deployer, which may do everything."""
    return Client(azure)


@pytest.fixture
def app(deployer: Client) -> Identity:
    """A fresh app registration without any role."""
    return deployer.new_identity()


@pytest.fixture
def group_id(azure: local_azure.LocalAzure, deployer: Client) -> str:
    """The id of a fresh resource group."""
    path = f"/subscriptions/{azure.subscription_id}/resourceGroups/rg-{uuid.uuid4().hex[:8]}"
    deployer.arm("PUT", path, {"location": "westeurope"}, version="2024-03-01")
    return path


@pytest.fixture
def workspace(deployer: Client, group_id: str) -> dict[str, Any]:
    """A fresh Log Analytics workspace."""
    path = f"{group_id}/providers/Microsoft.OperationalInsights/workspaces/law"
    body = {"location": "westeurope", "properties": {"sku": {"name": "PerGB2018"}}}
    found: dict[str, Any] = deployer.arm("PUT", path, body, version="2023-09-01")
    return found


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state directory of this test's own; what runs on it is stopped at the end."""
    path = tmp_path / "state"
    yield path
    local_azure.stop(path)
