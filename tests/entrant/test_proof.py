"""Proof of a new secret or certificate on the local Azure: with it alone, and patiently while the directory does not know it."""

import base64
import dataclasses

import pytest

import local_azure
from entrant.delivery.proof import prove
from entrant.errors import AuthenticationError
from entrant.facts.clouds import Cloud
from entrant.outputs import App
from entrant.tokens import clouds
from tests.entrant.authority import certificate
from tests.local_azure.conftest import Client, Identity


@pytest.fixture
def cloud(azure: local_azure.LocalAzure, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(azure.ca_bundle()))
    monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", "/of-somebody-else.pem")
    azure.set_propagation(0)
    return clouds.resolve("public", azure.settings())


@pytest.fixture
def identity(azure: local_azure.LocalAzure) -> Identity:
    return Client(azure).new_identity()


class Directory:
    """The app's certificates in the directory, which learns of the next one whenever somebody waits."""

    def __init__(self, azure: local_azure.LocalAzure, identity: Identity, *to_come: bytes) -> None:
        self.client, self.identity, self.to_come = Client(azure), identity, list(to_come)
        self.waits = 0

    def wait(self, seconds: float) -> None:
        """In the place of `time.sleep`."""
        self.waits += 1
        if self.to_come:
            key = base64.b64encode(self.to_come.pop(0)).decode()
            body = {"keyCredentials": [{"type": "AsymmetricX509Cert", "usage": "Verify", "key": key}]}
            self.client.graph("PATCH", f"/applications/{self.identity.application_id}", body)


def test_a_certificate_is_asked_about_again_until_the_directory_knows_it(
    azure: local_azure.LocalAzure, cloud: Cloud, identity: Identity
) -> None:
    pem, der = certificate()
    app = App("a", azure.tenant_id, identity.client_id, issued={"signing": pem.decode()})
    directory = Directory(azure, identity, certificate()[1], der)
    assert prove(app, "signing", cloud, sleep=directory.wait) is None
    assert directory.waits == 2
    unknown = prove(app, "signing", cloud, seconds=0, sleep=directory.wait)
    assert unknown is None
    other = dataclasses.replace(app, issued={"signing": certificate()[0].decode()})
    refused = prove(other, "signing", cloud, seconds=0, sleep=directory.wait)
    assert isinstance(refused, AuthenticationError) and refused.code == "AADSTS700027"


def test_a_certificate_is_proved_by_itself_whatever_else_the_app_or_the_shell_has(
    azure: local_azure.LocalAzure, cloud: Cloud, identity: Identity
) -> None:
    (known, der), (unknown, _) = certificate(), certificate()
    Directory(azure, identity, der).wait(0)
    issued = {"signing": unknown.decode(), "tls": known.decode()}
    app = App("a", azure.tenant_id, identity.client_id, secret=identity.secret, issued=issued)
    assert prove(app, "tls", cloud, seconds=0) is None
    assert prove(app, "secret", cloud, seconds=0) is None
    assert prove(app, "signing", cloud, seconds=0) is not None
    wrong = dataclasses.replace(app, secret="n0t-th1s-0ne", previous_secret=identity.secret)
    assert prove(wrong, "secret", cloud, seconds=0) is not None


def test_what_the_directory_will_not_know_later_either_is_not_asked_about_again(
    azure: local_azure.LocalAzure, cloud: Cloud, identity: Identity
) -> None:
    """Here somebody has disabled the app."""
    pem, der = certificate()
    directory = Directory(azure, identity, der)
    directory.wait(0)
    directory.client.graph("PATCH", f"/servicePrincipals/{identity.object_id}", {"accountEnabled": False})
    app = App("a", azure.tenant_id, identity.client_id, issued={"signing": pem.decode()})
    refused = prove(app, "signing", cloud, sleep=directory.wait)
    assert isinstance(refused, AuthenticationError) and refused.code == "AADSTS7000112"
    assert directory.waits == 1, "only the one before"
