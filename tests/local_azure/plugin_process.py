"""A stand-in plugin run as the Pulumi engine runs it, and its calls."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

import local_azure
from local_azure import plugins
from local_azure.plugins.values import decode, encode

ROOT = Path(local_azure.__file__).resolve().parent.parent
_FOREIGN = ("ARM_", "AZURE_", "PULUMI_", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


def environ(azure: local_azure.LocalAzure, **changes: str | None) -> dict[str, str]:
    """The environment of a plugin that works on `azure`; `changes` are set, or left out when None."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    made = {**kept, **azure.settings(), "SSL_CERT_FILE": str(azure.ca_file)}
    made.update({name: value for name, value in changes.items() if value is not None})
    return {name: value for name, value in made.items() if name not in changes or changes[name] is not None}


class Refused(Exception):
    """The plugin's error: its message, and what it says about a resource made in part."""

    def __init__(self, error: Any) -> None:
        super().__init__(error.details())
        self.partial: provider_pb2.ErrorResourceInitFailed | None = None
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status = status_pb2.Status.FromString(value)
                self.partial = provider_pb2.ErrorResourceInitFailed()
                status.details[0].Unpack(self.partial)


class Plugin:
    """One plugin process."""

    def __init__(self, home: Path, name: str, env: Mapping[str, str], executable: Path | None = None) -> None:
        """Start the stand-in, or another executable that speaks the protocol."""
        if executable is None:
            plugins.install(home, sys.executable, ROOT, [name])
            version = plugins.sdk_version(name)
            executable = plugins.directory(home, name, version) / f"pulumi-resource-{name}"
        self.executable = executable
        self.process = subprocess.Popen(
            [self.executable, "127.0.0.1:1"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home
        )
        assert self.process.stdout
        self.port = self.process.stdout.readline().decode().strip()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self.stub: Any = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def stop(self) -> tuple[str, str]:
        """End the process; what else it said."""
        self._channel.close()
        self.process.kill()
        out, error = self.process.communicate()
        return out.decode(), error.decode()

    def _call(self, method: str, request: Any) -> Any:
        try:
            return getattr(self.stub, method)(request)
        except grpc.RpcError as error:
            raise Refused(error) from None

    def configure(self, **config: Any) -> Any:
        return self._call("Configure", provider_pb2.ConfigureRequest(acceptSecrets=True, args=encode(config)))

    def cancel(self) -> None:
        self._call("Cancel", empty_pb2.Empty())

    def urn(self, token: str, name: str = "it") -> str:
        return f"urn:pulumi:dev::project::{token}::{name}"

    def check(
        self, token: str, news: Mapping[str, Any], olds: Mapping[str, Any] | None = None, name: str = "it"
    ) -> tuple[dict[str, Any], list[str]]:
        request = provider_pb2.CheckRequest(
            urn=self.urn(token, name), news=encode(news), olds=encode(olds or {}), randomSeed=b"seed"
        )
        response = self._call("Check", request)
        return decode(response.inputs)[0], [failure.reason for failure in response.failures]

    def checked(self, token: str, **news: Any) -> dict[str, Any]:
        inputs, failures = self.check(token, news)
        assert failures == []
        return inputs

    def diff(
        self, token: str, resource_id: str, state: Mapping[str, Any], news: Mapping[str, Any], old: Mapping[str, Any]
    ) -> Any:
        request = provider_pb2.DiffRequest(
            urn=self.urn(token), id=resource_id, olds=encode(state), news=encode(news), old_inputs=encode(old)
        )
        return self._call("Diff", request)

    def preview(self, token: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        request = provider_pb2.CreateRequest(urn=self.urn(token), properties=encode(inputs), preview=True)
        return decode(self._call("Create", request).properties)[0]

    def create_raw(self, token: str, inputs: Mapping[str, Any]) -> Any:
        return self._call("Create", provider_pb2.CreateRequest(urn=self.urn(token), properties=encode(inputs)))

    def create(self, token: str, **inputs: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Check and create; the id, the state and the inputs."""
        checked = self.checked(token, **inputs)
        made = self.create_raw(token, checked)
        return made.id, decode(made.properties)[0], checked

    def update(
        self, token: str, resource_id: str, state: Mapping[str, Any], news: Mapping[str, Any], old: Mapping[str, Any]
    ) -> dict[str, Any]:
        request = provider_pb2.UpdateRequest(
            urn=self.urn(token), id=resource_id, olds=encode(state), news=encode(news), old_inputs=encode(old)
        )
        return decode(self._call("Update", request).properties)[0]

    def read(
        self,
        token: str,
        resource_id: str,
        state: Mapping[str, Any] | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        request = provider_pb2.ReadRequest(
            urn=self.urn(token), id=resource_id, properties=encode(state or {}), inputs=encode(inputs or {})
        )
        response = self._call("Read", request)
        return response.id, decode(response.properties)[0], decode(response.inputs)[0]

    def delete(
        self, token: str, resource_id: str, state: Mapping[str, Any], inputs: Mapping[str, Any] | None = None
    ) -> None:
        request = provider_pb2.DeleteRequest(
            urn=self.urn(token), id=resource_id, properties=encode(state), old_inputs=encode(inputs or {})
        )
        self._call("Delete", request)

    def invoke(self, token: str, **arguments: Any) -> dict[str, Any]:
        response = self._call("Invoke", provider_pb2.InvokeRequest(tok=token, args=encode(arguments)))
        return decode(getattr(response, "return"))[0]
