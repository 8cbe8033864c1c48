"""Small forges on loopback that keep the comments of one pull request, page them as the real ones do, and refuse when told to."""

import json
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN = "forge-token-of-this-job"
ME = 7
ASKING = ("/graphql", "/oidc")
"""Where a POST changes nothing."""


@dataclass
class PullRequest:
    """A pull request's comments, as `{"id", "author", "text"}`, the requests that were made, and what to answer instead."""

    url: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[tuple[int, bool]] = field(default_factory=list)
    """Statuses to answer writes with, first come, and whether the write is done all the same."""
    assertion: Callable[[str], str] | None = None
    """Azure DevOps' assertion for the id of a service connection."""

    def add(self, text: str, author: int = ME) -> None:
        """A comment by somebody."""
        self.comments.append({"id": 1000 + len(self.comments), "author": author, "text": text})

    def own(self) -> list[str]:
        """What this token's identity wrote."""
        return [comment["text"] for comment in self.comments if comment["author"] == ME]

    def writes(self) -> list[tuple[str, str]]:
        """The requests that were to change something."""
        return [(method, path) for method, path in self.requests if method != "GET" and path not in ASKING]

    def github(self, folder: Path) -> dict[str, str]:
        """The variables of a GitHub Actions job about it."""
        event = folder / "event.json"
        event.write_text(json.dumps({"pull_request": {"number": 12}}))
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_REPOSITORY": "contoso/obs",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_API_URL": self.url,
            "GITHUB_GRAPHQL_URL": f"{self.url}/graphql",
        }

    def gitlab(self, folder: Path) -> dict[str, str]:
        """The variables of a GitLab job about it."""
        return {
            "GITLAB_CI": "true",
            "GITLAB_TOKEN": TOKEN,
            "CI_API_V4_URL": self.url,
            "CI_PROJECT_ID": "5",
            "CI_MERGE_REQUEST_PROJECT_ID": "4",
            "CI_MERGE_REQUEST_IID": "12",
        }

    def azure_devops(self, folder: Path) -> dict[str, str]:
        """The variables of an Azure DevOps job about it."""
        return {
            "TF_BUILD": "True",
            "SYSTEM_ACCESSTOKEN": TOKEN,
            "SYSTEM_COLLECTIONURI": f"{self.url}/contoso/",
            "SYSTEM_TEAMPROJECT": "obs",
            "BUILD_REPOSITORY_ID": "r1",
            "SYSTEM_PULLREQUEST_PULLREQUESTID": "12",
        }


class _Handler(BaseHTTPRequestHandler):
    pull: PullRequest

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or "{}")
        path, _, query = self.path.partition("?")
        self.pull.requests.append((self.command, path))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._say(401, {"message": "Bad credentials"})
        writing = self.command != "GET" and path not in ASKING
        refusal, done = self.pull.refusals.pop(0) if writing and self.pull.refusals else (0, True)
        answer = self._do(path, dict(urllib.parse.parse_qsl(query)), body) if done else {}
        return self._say(refusal or 200, {"message": "refused"} if refusal else answer)

    do_GET = do_POST = do_PUT = do_PATCH = _answer

    def _do(self, path: str, query: dict[str, str], body: dict[str, Any]) -> Any:
        comments = self.pull.comments
        match self.command, path.strip("/").split("/"):
            case "POST", ["graphql"]:
                return self._graphql(body["variables"])
            case "POST", ["oidc"] if self.pull.assertion:
                return {"oidcToken": self.pull.assertion(query["serviceConnectionId"])}
            case "POST", ["repos", "contoso", "obs", "issues", "12", "comments"]:
                return self.pull.add(body["body"])
            case "PATCH", ["repos", "contoso", "obs", "issues", "comments", number]:
                return self._change(number, body["body"])
            case "GET", ["user"]:
                return {"id": ME}
            case "GET", ["projects", "4", "merge_requests", "12", "notes"]:
                size, page = int(query["per_page"]), int(query["page"])
                shown = comments[(page - 1) * size : page * size]
                return [
                    {"id": c["id"], "author": {"id": c["author"]}, "body": c["text"], "system": False} for c in shown
                ]
            case "POST", ["projects", "4", "merge_requests", "12", "notes"]:
                return self.pull.add(body["body"])
            case "PUT", ["projects", "4", "merge_requests", "12", "notes", number]:
                return self._change(number, body["body"])
            case "GET", ["contoso", "_apis", "connectionData"]:
                return {"authenticatedUser": {"id": str(ME)}}
            case "GET", [*_, "r1", "pullRequests", "12", "threads"] if query.get("api-version") == "7.1":
                return {"value": [self._thread(comment) for comment in comments]}
            case "POST", [*_, "r1", "pullRequests", "12", "threads"]:
                return self.pull.add(body["comments"][0]["content"])
            case "PATCH", [*_, "threads", number, "comments", "1"]:
                return self._change(number, body["content"])
        raise AssertionError(f"{self.command} {self.path} is no request of a forge")

    def _graphql(self, body: dict[str, Any]) -> dict[str, Any]:
        assert (body["owner"], body["name"], body["number"]) == ("contoso", "obs", 12)
        start = int(body["after"] or 0)
        nodes = [
            {"databaseId": c["id"], "body": c["text"], "viewerDidAuthor": c["author"] == ME}
            for c in self.pull.comments[start : start + 100]
        ]
        page = {"hasNextPage": start + 100 < len(self.pull.comments), "endCursor": str(start + 100)}
        return {"data": {"repository": {"pullRequest": {"comments": {"nodes": nodes, "pageInfo": page}}}}}

    @staticmethod
    def _thread(comment: dict[str, Any]) -> dict[str, Any]:
        shown = {"id": 1, "author": {"id": str(comment["author"])}, "content": comment["text"]}
        return {"id": comment["id"], "comments": [shown]}

    def _change(self, number: str, text: str) -> None:
        (found,) = [comment for comment in self.pull.comments if comment["id"] == int(number)]
        found["text"] = text

    def _say(self, status: int, body: Any) -> None:
        data = json.dumps(body if body is not None else {}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def forge() -> Iterator[PullRequest]:
    """A forge with one pull request without comments."""
    pull = PullRequest()
    handler = type("Handler", (_Handler,), {"pull": pull})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    pull.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield pull
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
