"""The stand-ins against a server that answers from a script: retries, long-running operations, and half-made resources."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from local_azure.plugins.azure_native import AzureNative
from local_azure.plugins.azuread import AzureAd
from local_azure.plugins.server import Partial, Resource
from local_azure.plugins.session import (
    RETRIES,
    THROTTLED,
    ApiError,
    Cancelled,
    Cloud,
    PluginError,
    Session,
    ca_bundle,
    read_settings,
)

TENANT = "11111111-1111-4111-8111-111111111111"
ME = "22222222-2222-4222-8222-222222222222"
APP = "33333333-3333-4333-8333-333333333333"
APPLICATION = "azuread:index/application:Application"
PASSWORD = "azuread:index/applicationPassword:ApplicationPassword"
GROUP = "azure-native:resources:ResourceGroup"


@dataclass
class Script:
    """Answers in order, each (status, body, headers); the last one stays. What was asked is kept."""

    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    tokens: int = 0

    def say(self, status: int, body: Any = None, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, body, named))


@dataclass
class Server:
    """A scripted Azure and the session of a plugin with it; the session's pauses are kept, not slept."""

    script: Script
    session: Session
    pauses: list[float] = field(default_factory=list)


def _jwt() -> str:
    parts = [{"alg": "none"}, {"oid": ME, "tid": TENANT}]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2ln"])


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            base = f"https://localhost:{port}"
            status, headers = 200, {"Content-Type": "application/json"}
            body: Any
            if self.path.startswith("/metadata/"):
                audiences = {"loginEndpoint": base, "audiences": [base]}
                body = {"authentication": audiences, "resourceManager": base, "microsoftGraphResourceId": base}
            elif self.path.split("?")[0].endswith("openid-configuration"):
                body = {"authorization_endpoint": f"{base}/a", "token_endpoint": f"{base}/token", "issuer": base}
            elif self.path.endswith("/token"):
                script.tokens += 1
                body = {"access_token": _jwt(), "token_type": "Bearer", "expires_in": 3599}
            else:
                script.asked.append(f"{self.command} {self.path}")
                status, body, more = script.answers[0]
                headers = {**headers, **more}
                if len(script.answers) > 1:
                    script.answers.pop(0)
            content = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.socket = context.wrap_socket(http.socket, server_side=True)
    port = http.server_address[1]
    threading.Thread(target=http.serve_forever, daemon=True).start()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    env = {
        "ARM_METADATA_HOSTNAME": f"localhost:{port}",
        "ARM_TENANT_ID": TENANT,
        "ARM_CLIENT_ID": APP,
        "ARM_CLIENT_SECRET": "hunter2",
        "ARM_SUBSCRIPTION_ID": TENANT,
        "ARM_DISABLE_INSTANCE_DISCOVERY": "true",
    }
    session = Session("azuread", read_settings("azuread", {}, env))
    made = Server(script, session)
    monkeypatch.setattr(session, "wait", made.pauses.append)
    yield made
    session.close()
    http.shutdown()
    http.server_close()


def azuread(server: Server) -> AzureAd:
    plugin = AzureAd("0")
    plugin.configure(server.session)
    return plugin


def native(server: Server) -> AzureNative:
    plugin = AzureNative("0")
    plugin.configure(server.session)
    return plugin


def resource(plugin: AzureAd | AzureNative, token: str, made: str = "", **inputs: Any) -> Resource:
    return Resource(plugin.types[token], f"urn:pulumi:a::b::{token}::c", inputs, {}, made)


def get(server: Server, **more: Any) -> Any:
    graph = server.session.cloud.graph
    return server.session.request("GET", f"{graph}/v1.0/x", audience=graph, **more).json()


# Retries


@pytest.mark.parametrize("status", [408, 424, 429, 500, 502, 503, 504])
def test_a_passing_refusal_is_asked_again(server: Server, status: int) -> None:
    server.script.say(status, {"error": {"code": "Busy", "message": "later"}})
    server.script.say(200, {"ok": 1})
    assert get(server) == {"ok": 1} and len(server.script.asked) == 2


def test_the_service_says_how_long_to_wait(server: Server) -> None:
    server.script.say(429, {"error": {"code": "TooManyRequests", "message": "slow"}}, Retry_After="7")
    server.script.say(200, {})
    get(server)
    assert server.pauses == [7.0]


def test_pauses_grow_and_end(server: Server) -> None:
    server.script.say(503, {"error": {"code": "Down", "message": "for good"}})
    with pytest.raises(ApiError, match="unexpected status 503 with error: Down: for good"):
        get(server)
    assert len(server.script.asked) == RETRIES + 1
    assert server.pauses == sorted(server.pauses) and sum(server.pauses) < 60


def test_one_request_too_many_is_waited_for_longer_than_a_failure(server: Server) -> None:
    server.script.say(429, {"error": {"code": "TooManyRequests", "message": "slow"}}, Retry_After="1")
    with pytest.raises(ApiError, match="unexpected status 429"):
        get(server)
    assert len(server.script.asked) == THROTTLED + 1 > RETRIES + 1
    assert server.pauses == [1.0] * THROTTLED


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 501])
def test_any_other_refusal_is_final(server: Server, status: int) -> None:
    server.script.say(status, {"error": {"code": "No", "message": "never"}})
    with pytest.raises(ApiError):
        get(server)
    assert len(server.script.asked) == 1


def test_an_error_names_the_request_and_holds_no_token(server: Server) -> None:
    server.script.say(403, {"error": {"code": "Authorization_RequestDenied", "message": "Insufficient privileges"}})
    with pytest.raises(ApiError) as refused:
        get(server)
    text = str(refused.value)
    assert text.startswith("GET https://localhost:") and "Authorization_RequestDenied: Insufficient privileges" in text
    assert _jwt() not in text and "hunter2" not in text + repr(server.session.settings)


def test_an_answer_that_is_not_json_is_quoted(server: Server) -> None:
    server.script.say(400, None)
    with pytest.raises(ApiError, match="unexpected status 400 with error: Bad Request"):
        get(server)


def test_a_cancelled_plugin_asks_no_more(server: Server) -> None:
    server.script.say(200, {})
    server.session.cancelled.set()
    with pytest.raises(Cancelled):
        get(server)
    assert server.script.asked == []


def test_one_token_serves_many_requests(server: Server) -> None:
    server.script.say(200, {})
    for _ in range(3):
        get(server)
    assert server.script.tokens == 1


def test_a_list_is_read_page_after_page(server: Server) -> None:
    base = f"{server.session.cloud.graph}/v1.0"
    server.script.say(200, {"value": [{"id": "1"}], "@odata.nextLink": f"{base}/applications?$skiptoken=2"})
    server.script.say(200, {"value": [{"id": "2"}]})
    found = azuread(server).graph.listed("/applications")
    assert [item["id"] for item in found] == ["1", "2"]
    assert server.script.asked[1] == "GET /v1.0/applications?$skiptoken=2"


def test_the_next_page_on_another_host_is_not_fetched(server: Server) -> None:
    """The token goes to Graph alone, whatever an answer says."""
    server.script.say(200, {"value": [], "@odata.nextLink": "https://elsewhere.example/v1.0/applications"})
    with pytest.raises(PluginError, match="the next page is on another host"):
        azuread(server).graph.listed("/applications")


# Half-made resources


def test_an_application_that_cannot_be_finished_is_kept(server: Server) -> None:
    """What was made is in the state, so that it is not lost; the reason is the user's to read."""
    server.script.say(201, {"id": APP, "appId": APP})
    server.script.say(200, {"id": APP, "appId": APP})
    server.script.say(403, {"error": {"code": "Authorization_RequestDenied", "message": "no owners for you"}})
    plugin = azuread(server)
    with pytest.raises(Partial, match="no owners for you") as partial:
        plugin.create(resource(plugin, APPLICATION, displayName="x"))
    assert partial.value.resource_id == f"/applications/{APP}"
    assert partial.value.state["displayName"] == "x" and partial.value.state["objectId"] == APP


def test_a_new_application_that_is_not_there_yet_is_waited_for(server: Server) -> None:
    server.script.say(201, {"id": APP, "appId": APP})
    for _ in range(3):
        server.script.say(404, {"error": {"code": "Request_ResourceNotFound", "message": "not yet"}})
    server.script.say(200, {"id": APP, "appId": APP, "value": []})
    plugin = azuread(server)
    made, state = plugin.create(resource(plugin, APPLICATION, displayName="x"))
    assert made == f"/applications/{APP}" and state["clientId"] == APP
    assert len(server.pauses) == 3


def test_a_secret_whose_appearance_fails_is_not_lost(server: Server) -> None:
    server.script.say(200, {"id": APP})
    server.script.say(200, {"keyId": ME, "secretText": "s3cret"})
    server.script.say(403, {"error": {"code": "Authorization_RequestDenied", "message": "gone"}})
    plugin = azuread(server)
    with pytest.raises(Partial) as partial:
        plugin.create(resource(plugin, PASSWORD, applicationId=f"/applications/{APP}"))
    assert partial.value.state["value"] == "s3cret" and "s3cret" not in str(partial.value)


# Azure Resource Manager


def test_a_long_running_create_is_followed_to_its_end(server: Server) -> None:
    server.script.say(404, {"error": {"code": "ResourceGroupNotFound", "message": "none"}})
    server.script.say(202, None, Azure_AsyncOperation=f"{server.session.cloud.resource_manager}/operations/1")
    server.script.say(200, {"status": "InProgress"}, Retry_After="5")
    server.script.say(200, {"status": "Succeeded"})
    server.script.say(200, {"id": "/subscriptions/s/resourceGroups/rg", "name": "rg", "location": "westeurope"})
    plugin = native(server)
    made, state = plugin.create(resource(plugin, GROUP, resourceGroupName="rg", location="westeurope"))
    assert made == "/subscriptions/s/resourceGroups/rg" and state["name"] == "rg"
    assert server.pauses == [5.0]


def test_a_create_that_is_answered_with_the_resource_is_followed_to_its_end(server: Server) -> None:
    server.script.say(404, {"error": {"code": "ResourceGroupNotFound", "message": "none"}})
    creating = {"id": "/subscriptions/s/resourceGroups/rg", "name": "rg", "location": "westeurope"}
    link = f"{server.session.cloud.resource_manager}/operations/1"
    server.script.say(201, creating | {"properties": {"provisioningState": "Creating"}}, Azure_AsyncOperation=link)
    server.script.say(200, {"status": "Succeeded"})
    server.script.say(200, creating | {"properties": {"provisioningState": "Succeeded"}})
    plugin = native(server)
    made, state = plugin.create(resource(plugin, GROUP, resourceGroupName="rg", location="westeurope"))
    assert made == "/subscriptions/s/resourceGroups/rg" and state["properties"]["provisioningState"] == "Succeeded"


def test_a_long_running_operation_that_fails_says_why(server: Server) -> None:
    server.script.say(202, None, Location="/operations/1")
    server.script.say(200, {"status": "Failed", "error": {"code": "InUse", "message": "locked"}})
    plugin = native(server)
    with pytest.raises(PluginError, match="Failed: InUse: locked"):
        plugin.delete(resource(plugin, GROUP, "/subscriptions/s/resourceGroups/rg"))


def test_the_outcome_on_another_host_is_not_asked_for(server: Server) -> None:
    server.script.say(202, None, Location="https://elsewhere.example/operations/1")
    plugin = native(server)
    with pytest.raises(PluginError, match="names another host"):
        plugin.delete(resource(plugin, GROUP, "/subscriptions/s/resourceGroups/rg"))


def test_existence_that_cannot_be_checked_stops_a_create(server: Server) -> None:
    server.script.say(403, {"error": {"code": "AuthorizationFailed", "message": "not yours"}})
    plugin = native(server)
    with pytest.raises(PluginError, match=r"cannot check existence of resource '.*': status code 403.*not yours"):
        plugin.create(resource(plugin, GROUP, resourceGroupName="rg", location="westeurope"))
    assert len(server.script.asked) == 1


# Settings


@pytest.mark.parametrize("document", [{}, [], {"authentication": {"loginEndpoint": "x", "audiences": []}}, None])
def test_a_metadata_document_without_endpoints_is_refused(document: Any) -> None:
    with pytest.raises(PluginError, match="it is not a metadata host"):
        Cloud.from_metadata("localhost:1", document)


def test_the_ca_is_the_one_go_plugins_use(tmp_path: Path) -> None:
    """SSL_CERT_FILE is what users set for the real plugins; REQUESTS_CA_BUNDLE is for Python alone."""
    go, python = tmp_path / "go.pem", tmp_path / "python.pem"
    go.touch()
    python.touch()
    assert ca_bundle({"SSL_CERT_FILE": str(go), "REQUESTS_CA_BUNDLE": str(python)}) == str(go)
    assert ca_bundle({"REQUESTS_CA_BUNDLE": str(python)}) == str(python)


def test_the_certificates_to_trust_are_read_once_for_all_connections(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    load = ssl.SSLContext.load_verify_locations

    def loading(context: ssl.SSLContext, *arguments: Any) -> None:
        read.append(arguments)
        load(context, *arguments)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", loading)
    server.script.say(200, {"value": []}, Connection="close")
    for _ in range(3):
        server.session.request("GET", f"{server.session.cloud.graph}/v1.0/groups")
    assert len(server.script.asked) == 3 and read == []
    for name, content in (("other.pem", trustme.CA().cert_pem.bytes()), ("none.pem", b"none")):
        (tmp_path / name).write_bytes(content)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / name))
        with pytest.raises(PluginError, match="is not trusted; SSL_CERT_FILE must name a file that holds the CA"):
            Session("azuread", server.session.settings)


def test_an_oidc_token_is_read_anew_for_each_token(server: Server, tmp_path: Path) -> None:
    """A workload's token file is rotated while the plugin runs."""
    token = tmp_path / "token"
    token.write_text("first\n")
    env = {
        "ARM_METADATA_HOSTNAME": server.session.settings.metadata_host,
        "ARM_TENANT_ID": TENANT,
        "ARM_CLIENT_ID": APP,
        "ARM_USE_OIDC": "true",
        "ARM_OIDC_TOKEN_FILE_PATH": str(token),
    }
    session = Session("azuread", read_settings("azuread", {}, env))
    assert session.token(session.cloud.graph) == _jwt()
    assertion: Callable[[], str] = session._assertion
    token.write_text("second\n")
    assert assertion() == "second"
    session.close()


@pytest.mark.parametrize(("value", "wanted"), [("true", True), ("1", True), ("False", False), ("", False)])
def test_flags_are_read_as_go_reads_them(value: str, wanted: bool) -> None:
    env = {"ARM_METADATA_HOSTNAME": "localhost:1", "ARM_TENANT_ID": TENANT, "ARM_CLIENT_ID": APP}
    settings = read_settings("azuread", {}, {**env, "ARM_CLIENT_SECRET": "s", "ARM_USE_OIDC": value})
    assert settings.use_oidc is wanted
    with pytest.raises(PluginError, match="must be true or false, but is 'maybe'"):
        read_settings("azuread", {}, {**env, "ARM_USE_OIDC": "maybe"})
