"""The plugin protocol: a Pulumi resource provider over gRPC for any `Plugin`.

Source of the protocol: ``proto/pulumi/provider.proto`` of Pulumi, as generated into the Python SDK.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent import futures
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf import any_pb2, empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from local_azure.plugins.package import package_schema
from local_azure.plugins.schema import Change, ResourceType
from local_azure.plugins.session import PluginError, Session, read_settings
from local_azure.plugins.values import Properties, decode, encode, has_unknown

_OPTIONS = [("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20)]
_SECRET_SETTINGS = {
    "clientCertificate",
    "clientCertificatePassword",
    "clientSecret",
    "oidcRequestToken",
    "oidcToken",
}
R = TypeVar("R")


class Partial(PluginError):
    """A resource was made, but what had to follow failed: it is in the state and the next update goes on with it."""

    def __init__(self, reason: str, resource_id: str, state: Mapping[str, Any]) -> None:
        super().__init__(reason)
        self.resource_id = resource_id
        self.state = state


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as an operation sees it: its type, its name in Pulumi, its inputs, and its state until now."""

    rtype: ResourceType
    urn: str
    inputs: Mapping[str, Any]
    state: Mapping[str, Any]
    id: str = ""

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.rsplit("::", 1)[-1]


@dataclass(frozen=True, slots=True)
class Checked:
    """What Check answers: the inputs to go on with, and what is wrong as (property, sentence)."""

    inputs: Properties
    problems: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Read:
    """What Read answers for a resource that exists."""

    id: str
    state: Properties
    inputs: Properties


class Plugin(Protocol):
    """What the protocol needs of a provider. Methods raise `PluginError` (or `Partial`) with a message for the user."""

    name: str
    version: str
    types: Mapping[str, ResourceType]
    functions: Mapping[str, Callable[[Mapping[str, Any]], Properties]]
    config_names: Collection[str]

    def configure(self, session: Session) -> None: ...
    def check(self, resource: Resource, old: Mapping[str, Any], seed: bytes) -> Checked: ...
    def diff(self, resource: Resource, old_inputs: Mapping[str, Any]) -> tuple[dict[str, Change], bool]: ...
    def preview(self, resource: Resource) -> Properties: ...
    def create(self, resource: Resource) -> tuple[str, Properties]: ...
    def read(self, resource: Resource) -> Read | None: ...
    def update(self, resource: Resource, old_inputs: Mapping[str, Any]) -> Properties: ...
    def delete(self, resource: Resource) -> None: ...


class _Refused(Exception):
    """A failure with the gRPC status to report it as."""

    def __init__(self, code: grpc.StatusCode, message: str, detail: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.detail = code, message, detail


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """Translates between the engine's calls and a `Plugin`."""

    def __init__(self, plugin: Plugin, engine: str) -> None:
        self.plugin = plugin
        self.session: Session | None = None
        self._engine_address = engine
        self._engine: engine_pb2_grpc.EngineStub | None = None

    # Start and configuration

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._engine_address = request.engine_address or self._engine_address
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def Attach(self, request: Any, context: grpc.ServicerContext) -> Any:
        self._engine_address = request.address
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo(version=self.plugin.version)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> Any:
        schema = package_schema(self.plugin.name, self.plugin.version, self.plugin.types)
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        config, secrets = decode(request.news)
        failures = [
            provider_pb2.CheckFailure(property=name, reason=f"{self.plugin.name} has no setting {name!r}")
            for name in config
            if name not in self.plugin.config_names and name != "version" and not name.startswith("__")
        ]
        return provider_pb2.CheckResponse(inputs=encode(config, secrets | _SECRET_SETTINGS), failures=failures)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return provider_pb2.DiffResponse()

    def Configure(self, request: Any, context: grpc.ServicerContext) -> Any:
        def configure() -> Any:
            config, _ = decode(request.args)
            prefix = f"{self.plugin.name}:config:"
            config = {**{key.removeprefix(prefix): value for key, value in request.variables.items()}, **config}
            if has_unknown(config):
                raise PluginError(
                    f"{self.plugin.name}: the provider's configuration must be known before the update runs"
                )
            self.session = Session(self.plugin.name, read_settings(self.plugin.name, config))
            self.plugin.configure(self.session)
            return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

        return self._answer(context, configure)

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Any:
        if self.session is not None:
            self.session.cancelled.set()
        return empty_pb2.Empty()

    # Resources

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:
        def run() -> Any:
            rtype = self._type(request.urn)
            news, secrets = decode(request.news)
            old, _ = decode(request.olds)
            checked = self.plugin.check(Resource(rtype, request.urn, news, {}), old, request.randomSeed)
            failures = [
                provider_pb2.CheckFailure(reason=_failure(path, sentence, hide=_top(path) in secrets))
                for path, sentence in checked.problems
            ]
            return provider_pb2.CheckResponse(inputs=encode(checked.inputs, secrets), failures=failures)

        return self._answer(context, run)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> Any:
        def run() -> Any:
            rtype = self._type(request.urn)
            news, _ = decode(request.news)
            state, _ = decode(request.olds)
            old_inputs, _ = decode(request.old_inputs)
            resource = Resource(rtype, request.urn, news, state, request.id)
            changes, delete_first = self.plugin.diff(resource, old_inputs)
            ignored = tuple(request.ignoreChanges)
            changes = {path: change for path, change in changes.items() if not _ignored(path, ignored)}
            replaced = any(change.replace for change in changes.values())
            kinds = provider_pb2.PropertyDiff.Kind
            return provider_pb2.DiffResponse(
                changes=provider_pb2.DiffResponse.DIFF_SOME if changes else provider_pb2.DiffResponse.DIFF_NONE,
                replaces=[path for path, change in changes.items() if change.replace],
                diffs=sorted({_top(path) for path in changes}),
                deleteBeforeReplace=replaced and delete_first,
                hasDetailedDiff=True,
                detailedDiff={
                    path: provider_pb2.PropertyDiff(
                        kind=kinds.Value(change.kind.upper() + ("_REPLACE" if change.replace else "")),
                        inputDiff=_top(path) in old_inputs or _top(path) in news,
                    )
                    for path, change in changes.items()
                },
            )

        return self._answer(context, run)

    def Create(self, request: Any, context: grpc.ServicerContext) -> Any:
        def run() -> Any:
            rtype = self._type(request.urn)
            inputs, secrets = decode(request.properties)
            secret = secrets | rtype.secrets()
            resource = Resource(rtype, request.urn, inputs, {})
            self._warn(resource)
            if request.preview:
                return provider_pb2.CreateResponse(properties=encode(self.plugin.preview(resource), secret))
            with self._partial(request.properties, secret):
                resource_id, state = self.plugin.create(resource)
            return provider_pb2.CreateResponse(id=resource_id, properties=encode(state, secret))

        return self._answer(context, run)

    def Read(self, request: Any, context: grpc.ServicerContext) -> Any:
        def run() -> Any:
            rtype = self._type(request.urn)
            state, state_secrets = decode(request.properties)
            inputs, secrets = decode(request.inputs)
            found = self.plugin.read(Resource(rtype, request.urn, inputs, state, request.id))
            if found is None:
                return provider_pb2.ReadResponse()
            secret = secrets | state_secrets | rtype.secrets()
            return provider_pb2.ReadResponse(
                id=found.id, properties=encode(found.state, secret), inputs=encode(found.inputs, secret)
            )

        return self._answer(context, run)

    def Update(self, request: Any, context: grpc.ServicerContext) -> Any:
        def run() -> Any:
            rtype = self._type(request.urn)
            news, secrets = decode(request.news)
            state, _ = decode(request.olds)
            old_inputs, _ = decode(request.old_inputs)
            secret = secrets | rtype.secrets()
            news |= {name: state[name] for name in request.ignoreChanges if name in state and name in rtype.props}
            resource = Resource(rtype, request.urn, news, state, request.id)
            if request.preview:
                return provider_pb2.UpdateResponse(properties=encode(self.plugin.preview(resource), secret))
            with self._partial(request.news, secret):
                updated = self.plugin.update(resource, old_inputs)
            return provider_pb2.UpdateResponse(properties=encode(updated, secret))

        return self._answer(context, run)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> Any:
        def run() -> Any:
            state, _ = decode(request.properties)
            inputs, _ = decode(request.old_inputs)
            self.plugin.delete(Resource(self._type(request.urn), request.urn, inputs, state, request.id))
            return empty_pb2.Empty()

        return self._answer(context, run)

    # Functions

    def Invoke(self, request: Any, context: grpc.ServicerContext) -> Any:
        def run() -> Any:
            function = self.plugin.functions.get(request.tok)
            if function is None:
                raise PluginError(self._uncovered("function", request.tok, self.plugin.functions))
            arguments, _ = decode(request.args)
            stated = {name: value for name, value in arguments.items() if value is not None}
            response = provider_pb2.InvokeResponse()
            getattr(response, "return").CopyFrom(encode(function(stated)))
            return response

        return self._answer(context, run)

    # Helpers

    def _type(self, urn: str) -> ResourceType:
        token = urn.split("::")[2].split("$")[-1]
        rtype = self.plugin.types.get(token)
        if rtype is None:
            raise PluginError(self._uncovered("resource type", token, self.plugin.types))
        return rtype

    def _uncovered(self, what: str, token: str, known: Collection[str]) -> str:
        covered = ", ".join(sorted(name.split(":")[-1] for name in known))
        return (
            f"the {self.plugin.name} plugin in use is a stand-in that does not cover the {what} {token}. Use the real plugin "
            f"where Pulumi can download it (`pulumi plugin install resource {self.plugin.name} v{self.plugin.version}`), "
            f"or leave {token.split(':')[-1]} out of what you rehearse. Covered: {covered}"
        )

    def _answer(self, context: grpc.ServicerContext, run: Callable[[], R]) -> R:
        try:
            return run()
        except _Refused as refused:
            _abort(context, refused.code, refused.message, refused.detail)
        except PluginError as error:
            _abort(context, grpc.StatusCode.UNKNOWN, str(error))
        raise AssertionError("unreachable")

    @contextlib.contextmanager
    def _partial(self, inputs: Any, secrets: Collection[str]) -> Iterator[None]:
        try:
            yield
        except Partial as partial:
            detail = provider_pb2.ErrorResourceInitFailed(
                id=partial.resource_id,
                properties=encode(partial.state, secrets),
                reasons=[str(partial)],
                inputs=inputs,
            )
            raise _Refused(grpc.StatusCode.UNKNOWN, str(partial), detail) from None

    def _warn(self, resource: Resource) -> None:
        warning = resource.rtype.settings.get("deprecated", {})
        for name, text in warning.items():
            if resource.inputs.get(name) is not None:
                self.log(resource.urn, f"{name}: {text}")

    def log(self, urn: str, message: str) -> None:
        """Show a warning to the user, beside the resource it is about."""
        if not self._engine_address:
            return
        if self._engine is None:
            self._engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(self._engine_address))
        with contextlib.suppress(grpc.RpcError):
            self._engine.Log(engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=message, urn=urn), timeout=10)


def _failure(path: str, sentence: str, *, hide: bool) -> str:
    if hide:
        sentence = sentence.split(", but is ")[0]
    return f"{path}: {sentence}" if path else sentence


def _top(path: str) -> str:
    return path.split(".")[0].split("[")[0]


def _ignored(path: str, ignored: tuple[str, ...]) -> bool:
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in ignored)


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode, message: str, detail: Any = None) -> None:
    if detail is not None:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status = status_pb2.Status(code=code.value[0], message=message, details=[packed])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, message)


def serve(plugin: Plugin, engine: str) -> None:
    """Serve ``plugin`` on a free loopback port, print the port as the protocol asks, and stay until the engine ends it or is gone.

    What is being done then is done to its end.
    """
    parent = os.getppid()  # before the port is printed: an engine that has read it may be killed at once
    wakeup, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)  # at once, whichever thread is interrupted
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: None)
    workers = futures.ThreadPoolExecutor(max_workers=64)
    server = grpc.server(workers, options=_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(plugin, engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while os.getppid() == parent:
        if select.select([wakeup], [], [], 1)[0]:
            server.stop(None)
            workers.shutdown()
            break
    os._exit(0)
