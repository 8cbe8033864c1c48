"""Those who are told, on loopback: a webhook, GitHub's issues and a mail relay. They keep what arrived, and can refuse or kill.

Sources: GitHub REST API 2022-11-28, "Issues", GraphQL `Repository.issues`; RFC 5321.
"""

import email
import email.policy
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "token-of-the-teller"
ME, OTHER = "entrant-bot", "mallory"


@dataclass
class Receivers:
    """What arrived."""

    url: str = ""
    relay: str = ""
    posts: list[dict[str, Any]] = field(default_factory=list)
    """What the webhook was sent."""
    issues: list[dict[str, Any]] = field(default_factory=list)
    """`number`, `title`, `body`, `state`, `author`, `comments`."""
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    refusals: dict[str, list[int]] = field(default_factory=dict)
    """Target → statuses to answer its next writes with instead of doing them."""
    arrived: Callable[[str], None] = lambda target: None
    """Called when something has arrived, before it is answered."""
    tls: ssl.SSLContext | None = None
    """With it the relay offers STARTTLS."""
    refused: set[str] = field(default_factory=set)
    """Recipients that the relay does not know."""
    secure: list[bool] = field(default_factory=list)
    """Whether each mail came encrypted."""

    def environ(self) -> dict[str, str]:
        """The settings with which all of them are told."""
        host = self.url.removeprefix("http://")
        return {
            "ENTRANT_NOTIFY_WEBHOOK": f"{self.url}/hooks/T0SECRET/B0SECRET",
            "ENTRANT_NOTIFY_GITHUB": "contoso/obs",
            "GITHUB_API_URL": f"http://{host}/api",
            "GH_TOKEN": TOKEN,
            "ENTRANT_NOTIFY_SMTP": self.relay,
            "ENTRANT_NOTIFY_FROM": "entrant@contoso.com",
        }

    def issue(self, number: str) -> dict[str, Any]:
        """An issue."""
        return next(issue for issue in self.issues if issue["number"] == int(number))

    def github(self, method: str, path: list[str], body: dict[str, Any]) -> tuple[int, Any]:
        """Issues of one repository."""
        match method, path:
            case "POST", ["graphql"]:
                assert (body["variables"]["owner"], body["variables"]["name"]) == ("contoso", "obs")
                opened = [issue for issue in reversed(self.issues) if issue["state"] == "open"]
                start = int(body["variables"]["after"] or 0)
                nodes = [
                    {"number": one["number"], "body": one["body"], "viewerDidAuthor": one["author"] == ME}
                    for one in opened[start : start + 100]
                ]
                page = {"hasNextPage": start + 100 < len(opened), "endCursor": str(start + 100)}
                return 200, {"data": {"repository": {"issues": {"nodes": nodes, "pageInfo": page}}}}
            case "GET", ["repos", "contoso", "obs", "issues", number]:
                return 200, {name: self.issue(number)[name] for name in ("number", "state", "body")}
            case "POST", ["repos", "contoso", "obs", "issues"]:
                self.add(body["title"], body["body"])
                self.arrived("github")
                return 201, {"number": len(self.issues), "state": "open"}
            case "POST", ["repos", "contoso", "obs", "issues", number, "comments"]:
                self.issue(number)["comments"].append(body["body"])
                self.arrived("github")
                return 201, {"id": 1}
            case "PATCH", ["repos", "contoso", "obs", "issues", number]:
                self.issue(number).update(body)
                return 200, {"number": int(number)}
        raise AssertionError(f"{method} {path} is no request of issues")

    def add(self, title: str, body: str, author: str = ME) -> None:
        """An issue by somebody."""
        number = len(self.issues) + 1
        one = {"number": number, "title": title, "body": body, "state": "open", "author": author, "comments": []}
        self.issues.append(one)


class _Http(BaseHTTPRequestHandler):
    receivers: Receivers

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        place, *path = self.path.strip("/").split("/")
        target = "webhook" if place == "hooks" else "github"
        if self.command != "GET" and path != ["graphql"] and self.receivers.refusals.get(target):
            return self._say(self.receivers.refusals[target].pop(0), {"message": f"refused at {self.path}"})
        if target == "webhook":
            assert self.command == "POST" and self.headers["Content-Type"] == "application/json"
            self.receivers.posts.append(body)
            self.receivers.arrived("webhook")
            return self._say(200, None)
        assert self.headers["Authorization"] == f"Bearer {TOKEN}"
        return self._say(*self.receivers.github(self.command, path, body))

    do_GET = do_POST = do_PATCH = _answer

    def _say(self, status: int, body: Any) -> None:
        data = b"ok" if body is None else json.dumps(body).encode()  # as Slack answers
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", f"{self.receivers.url}/hooks/elsewhere")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class _Smtp(socketserver.StreamRequestHandler):
    """A relay: EHLO, STARTTLS, MAIL, RCPT, DATA, RSET, QUIT."""

    receivers: Receivers

    def handle(self) -> None:
        to: list[str] = []
        encrypted = False
        self._say("220 relay")
        while line := self.rfile.readline():
            word, rest = line.decode().strip().partition(" ")[::2]
            if word.upper() == "EHLO":
                offers = "250-relay\r\n250-STARTTLS\r\n250 8BITMIME"
                self._say(offers if self.receivers.tls and not encrypted else "250-relay\r\n250 8BITMIME")
            elif word.upper() == "STARTTLS" and self.receivers.tls:
                self._say("220 go on")
                self.connection = self.receivers.tls.wrap_socket(
                    self.connection, server_side=True, do_handshake_on_connect=False
                )
                try:
                    self.connection.do_handshake()
                except (ssl.SSLError, OSError):
                    return
                self.rfile.close()
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
                encrypted = True
            elif word.upper() in ("MAIL", "RSET"):
                to = []
                waiting = self.receivers.refusals.get("email")
                self._say(f"{waiting.pop(0)} no" if word.upper() == "MAIL" and waiting else "250 ok")
            elif word.upper() == "RCPT":
                address = rest.partition("<")[2].partition(">")[0]
                if address in self.receivers.refused:
                    self._say("550 unknown")
                else:
                    to.append(address)
                    self._say("250 ok")
            elif word.upper() == "DATA":
                self._say("354 go on")
                lines = []
                while (part := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(part.removeprefix(b"."))
                mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
                assert isinstance(mail, EmailMessage)
                self.receivers.mails.append(mail)
                self.receivers.recipients.append(to)
                self.receivers.secure.append(encrypted)
                self.receivers.arrived("email")
                self._say("250 ok")
            elif word.upper() == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("502 no such command")

    def finish(self) -> None:
        """Close what TLS was put around, too."""
        super().finish()
        self.connection.close()

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
        self.wfile.flush()


class _Relay(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def receivers() -> Iterator[Receivers]:
    """All of them, who were told nothing."""
    made = Receivers()
    web = ThreadingHTTPServer(("127.0.0.1", 0), type("Http", (_Http,), {"receivers": made}))
    relay = _Relay(("127.0.0.1", 0), type("Smtp", (_Smtp,), {"receivers": made}))
    made.url = f"http://127.0.0.1:{web.server_address[1]}"
    made.relay = f"127.0.0.1:{relay.server_address[1]}"
    threads = [threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True) for each in (web, relay)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        for server, thread in zip((web, relay), threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
