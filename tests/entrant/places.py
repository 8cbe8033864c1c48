"""Places for secrets on loopback that keep to their real protocols, record what they are asked, and refuse when told to.

GitHub decrypts the sealed box, Azure DevOps never tells a secret variable and keeps those that are sent as null,
GitLab masks, and Kubernetes tracks who owns which field.
"""

import base64
import datetime as dt
import json
import ssl
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme
from nacl.public import PrivateKey, SealedBox

TOKEN = "token-of-the-deliverer"
PAT = base64.b64encode(f":{TOKEN}".encode()).decode()
KEY = PrivateKey.generate()


class Answer(Exception):
    """Another answer than 200."""

    def __init__(self, status: int, body: Any = None) -> None:
        super().__init__(status)
        self.status, self.body = status, body


@dataclass
class Places:
    """All of them on one server, by the first step of the path."""

    url: str = ""
    kubernetes_url: str = ""
    """The same with TLS: kubectl gives no token to a server without."""
    ca: str = ""
    """The PEM text of who signed its certificate, base64."""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path with query, body."""
    refusals: dict[str, list[int]] = field(default_factory=dict)
    """Place → statuses to answer its next writes with instead of doing them."""
    clock: dt.datetime = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)
    secrets: dict[str, Any] = field(default_factory=dict)
    """GitHub's secrets, decrypted, by path: value and time."""
    notes: dict[str, Any] = field(default_factory=dict)
    """GitHub's variables by path: value and time."""
    group: dict[str, Any] = field(default_factory=dict)
    """The variable group of Azure DevOps, with secrets."""
    variables: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """GitLab's variables by name and environment."""
    kubernetes: dict[str, Any] = field(default_factory=dict)
    """The Secrets of Kubernetes by namespace and name, with `managedFields`."""

    def writes(self, place: str) -> list[tuple[str, str, str]]:
        """The requests that were to change something at a place."""
        return [each for each in self.requests if each[0] != "GET" and each[1].startswith(f"/{place}")]

    def now(self) -> str:
        """The next moment of the places' clock."""
        self.clock += dt.timedelta(seconds=1)
        return self.clock.strftime("%Y-%m-%dT%H:%M:%SZ")

    # GitHub

    def github(self, method: str, path: list[str], query: dict[str, str], body: dict[str, Any]) -> Any:
        """Secrets and variables of Actions. Source: GitHub REST API 2022-11-28."""
        match method, path:
            case "GET", ["repos", "contoso", "obs", *_, "secrets", "public-key"]:
                return {"key_id": "k1", "key": base64.b64encode(bytes(KEY.public_key)).decode()}
            case "GET", ["repos", "contoso", "obs", *_, "secrets", name]:
                found = self.secrets.get("/".join(path))
                if found is None:
                    raise Answer(404, {"message": "Not Found"})
                return {"name": name, "created_at": found["at"], "updated_at": found["at"]}
            case "PUT", ["repos", "contoso", "obs", *_, "secrets", name]:
                assert set(body) == {"encrypted_value", "key_id"} and body["key_id"] == "k1"
                value = SealedBox(KEY).decrypt(base64.b64decode(body["encrypted_value"])).decode()
                known = "/".join(path) in self.secrets
                self.secrets["/".join(path)] = {"value": value, "at": self.now()}
                raise Answer(204 if known else 201)
            case "GET", ["repos", "contoso", "obs", *_, "variables", name]:
                found = self.notes.get("/".join(path))
                if found is None:
                    raise Answer(404, {"message": "Not Found"})
                return {"name": name, "value": found["value"], "updated_at": found["at"]}
            case "POST", ["repos", "contoso", "obs", *_, "variables"]:
                self.notes["/".join([*path, body["name"]])] = {"value": body["value"], "at": self.now()}
                raise Answer(201)
            case "PATCH", ["repos", "contoso", "obs", *_, "variables", name]:
                note = self.notes["/".join(path)]
                if note["value"] != body["value"]:
                    note |= {"value": body["value"], "at": self.now()}
                raise Answer(204)
        raise AssertionError(f"{method} {path} is no request of GitHub's")

    # Azure DevOps

    def devops(self, method: str, path: list[str], query: dict[str, str], body: dict[str, Any]) -> Any:
        """Variable groups. Source: Azure DevOps REST API 7.1, "Variablegroups"."""
        assert query["api-version"] == "7.1"
        match method, path:
            case "GET", ["contoso", "Obs", "_apis", "distributedtask", "variablegroups"]:
                found = [self.group] if self.group.get("name") == query["groupName"] else []
                return {"count": len(found), "value": [self._shown(each) for each in found]}
            case "PUT", ["contoso", "_apis", "distributedtask", "variablegroups", "7"]:
                if not body.get("variableGroupProjectReferences") or body["type"] != "Vsts":
                    raise Answer(
                        400, {"message": "Value cannot be null. Parameter name: variableGroupProjectReferences"}
                    )
                before = self.group["variables"]
                for name, variable in body["variables"].items():
                    if variable.get("isSecret") and variable.get("value") is None:
                        variable["value"] = before[name]["value"]
                self.group |= body
                return self._shown(self.group)
        raise AssertionError(f"{method} {path} is no request of Azure DevOps'")

    @staticmethod
    def _shown(group: dict[str, Any]) -> dict[str, Any]:
        variables = {
            name: {**variable, "value": None} if variable.get("isSecret") else variable
            for name, variable in group["variables"].items()
        }
        return {**group, "variables": variables}

    # GitLab

    def gitlab(self, method: str, path: list[str], query: dict[str, str], body: dict[str, Any]) -> Any:
        """CI/CD variables. Source: GitLab, "Project-level CI/CD variables API"."""
        assert path[:4] == ["api", "v4", "projects", "contoso/obs"], path
        scope = query.get("filter[environment_scope]", "*")
        match method, path[4:]:
            case "GET", ["variables", name]:
                if (name, scope) not in self.variables:
                    raise Answer(404, {"message": "404 Variable Not Found"})
                return self.variables[name, scope]
            case "POST", ["variables"]:
                assert (body["key"], body["environment_scope"]) not in self.variables
                self.variables[body["key"], body["environment_scope"]] = self._masked(body)
                raise Answer(201, body)
            case "PUT", ["variables", name]:
                self.variables[name, scope] |= self._masked(body)
                return self.variables[name, scope]
        raise AssertionError(f"{method} {path} is no request of GitLab's")

    @staticmethod
    def _masked(body: dict[str, Any]) -> dict[str, Any]:
        """GitLab refuses to mask what is short or has spaces, and says it back."""
        if body["masked"] and (len(body["value"]) < 8 or " " in body["value"]):
            raise Answer(400, {"message": {"value": ["is invalid"]}})
        return body

    # Kubernetes

    def k8s(self, method: str, path: list[str], query: dict[str, str], body: dict[str, Any]) -> Any:
        """Discovery, and Secrets by server-side apply. Source: Kubernetes API reference, "Server-Side Apply"."""
        match method, path:
            case "GET", ["version"]:
                return {"major": "1", "minor": "32", "gitVersion": "v1.32.0"}
            case "GET", ["api"]:
                return {"kind": "APIVersions", "versions": ["v1"]}
            case "GET", ["apis"]:
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
            case "GET", ["api", "v1"]:
                verbs = ["get", "list", "patch", "create", "update"]
                entry = {
                    "name": "secrets",
                    "singularName": "secret",
                    "namespaced": True,
                    "kind": "Secret",
                    "verbs": verbs,
                }
                return {"kind": "APIResourceList", "groupVersion": "v1", "resources": [entry]}
            case "GET", ["api", "v1", "namespaces", namespace, "secrets", name]:
                return self._secret(namespace, name)
            case "PATCH", ["api", "v1", "namespaces", namespace, "secrets", name]:
                return self._apply(namespace, name, query, body)
            case "GET", ["api", "v1", "namespaces", namespace]:
                return {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": namespace}}
            case "GET", _:
                raise Answer(404, _status(404, "the server could not find the requested resource"))
        raise AssertionError(f"{method} {path} is no request of kubectl's")

    def _secret(self, namespace: str, name: str) -> Any:
        if f"{namespace}/{name}" not in self.kubernetes:
            raise Answer(404, _status(404, f'secrets "{name}" not found', "NotFound"))
        return self.kubernetes[f"{namespace}/{name}"]

    def _apply(self, namespace: str, name: str, query: dict[str, str], body: dict[str, Any]) -> Any:
        manager, type_ = query["fieldManager"], body.get("type", "Opaque")
        if type_ == "kubernetes.io/tls" and not {"tls.crt", "tls.key"} <= body["data"].keys():
            raise Answer(422, _status(422, f'Secret "{name}" is invalid: data[tls.crt]: Required value', "Invalid"))
        held = self.kubernetes.setdefault(
            f"{namespace}/{name}",
            {"apiVersion": "v1", "kind": "Secret", "type": type_, "data": {}, "metadata": {"managedFields": []}},
        )
        if body.get("type", held["type"]) != held["type"]:
            text = f'Secret "{name}" is invalid: type: Invalid value: "{type_}": field is immutable'
            raise Answer(422, _status(422, text, "Invalid"))
        owners = held["metadata"]["managedFields"]
        wanted = {f"f:{key}" for key in body["data"]}
        for entry in owners:
            theirs = wanted & entry["fieldsV1"]["f:data"].keys()
            changed = [key for key in theirs if held["data"].get(key[2:]) != body["data"][key[2:]]]
            if entry["manager"] != manager and changed and query.get("force") != "true":
                text = f'Apply failed with 1 conflict: conflict with "{entry["manager"]}": .data.{changed[0][2:]}'
                raise Answer(409, _status(409, text, "Conflict"))
        held["data"] |= body["data"]
        held["metadata"] |= {**body["metadata"], "resourceVersion": str(len(self.requests))}
        others = [entry for entry in owners if entry["manager"] != manager]
        mine = {"manager": manager, "operation": "Apply", "fieldsV1": {"f:data": {key: {} for key in wanted}}}
        held["metadata"]["managedFields"] = [*others, mine]
        return held

    def edit(self, secret: str, value: str, key: str = "AZURE_CLIENT_SECRET") -> None:
        """Somebody writes a Secret by `kubectl edit`: the field is theirs from then on."""
        held = self.kubernetes[secret]
        held["data"][key] = base64.b64encode(value.encode()).decode()
        for entry in held["metadata"]["managedFields"]:
            entry["fieldsV1"]["f:data"].pop(f"f:{key}", None)
        held["metadata"]["managedFields"].append(
            {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {f"f:{key}": {}}}}
        )


def _status(code: int, message: str, reason: str = "") -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


_SIGN_IN = {
    "github": f"Bearer {TOKEN}",
    "devops": f"Basic {PAT}",
    "gitlab": f"Bearer {TOKEN}",
    "k8s": f"Bearer {TOKEN}",
}


class _Handler(BaseHTTPRequestHandler):
    places: Places

    def _answer(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.places.requests.append((self.command, self.path, text))
        path, _, query = self.path.partition("?")
        place, *steps = [urllib.parse.unquote(step) for step in path.strip("/").split("/")]
        try:
            if self.headers.get("Authorization") != _SIGN_IN[place]:
                raise Answer(401, {"message": "Bad credentials"})
            if self.command == "PATCH" and place == "k8s":
                assert self.headers["Content-Type"] == "application/apply-patch+yaml"
            if self.command != "GET" and self.places.refusals.get(place):
                # Some services say back what they were sent.
                raise Answer(self.places.refusals[place].pop(0), {"message": f"refused: {text}"})
            parameters = dict(urllib.parse.parse_qsl(query))
            self._say(200, getattr(self.places, place)(self.command, steps, parameters, json.loads(text or "{}")))
        except Answer as answer:
            self._say(answer.status, answer.body)

    do_GET = do_POST = do_PUT = do_PATCH = _answer

    def _say(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def places() -> Iterator[Places]:
    """All places, empty but for a variable group with a secret of somebody else's."""
    made = Places()
    made.group = {
        "id": 7,
        "name": "obs",
        "type": "Vsts",
        "description": "for the observers",
        "variables": {"OTHER": {"value": "of somebody else", "isSecret": True}, "REGION": {"value": "westeurope"}},
        "variableGroupProjectReferences": [{"name": "obs", "projectReference": {"id": "p", "name": "Obs"}}],
    }
    handler = type("Handler", (_Handler,), {"places": made})
    plain, secure = (ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2))
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    made.url = f"http://127.0.0.1:{plain.server_address[1]}"
    made.kubernetes_url = f"https://127.0.0.1:{secure.server_address[1]}/k8s"
    made.ca = base64.b64encode(authority.cert_pem.bytes()).decode()
    threads = [threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True) for each in (plain, secure)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        for server, thread in zip((plain, secure), threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
