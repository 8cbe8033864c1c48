"""Where messages go: a webhook, issues of a GitHub repository, mail by a relay. Each is there when its variable is set.

| target | is there with | and takes |
|---|---|---|
| webhook | `ENTRANT_NOTIFY_WEBHOOK`, its URL, or `ENTRANT_NOTIFY_WEBHOOK_FILE`, a file with it | |
| github | `ENTRANT_NOTIFY_GITHUB`, a repository | the token of `entrant.delivery.github` |
| email | `ENTRANT_NOTIFY_SMTP`, host or host:port | `ENTRANT_NOTIFY_FROM`; `_SMTP_USER` and `_SMTP_PASSWORD`, `ENTRANT_NOTIFY_TO` |

Sources: Slack, "Sending messages using incoming webhooks" (`text`, and `&`, `<`, `>` escaped); Microsoft Teams, "Create incoming
webhooks with Workflows for Microsoft Teams" (a message with an adaptive card); GitHub REST API 2022-11-28, "Issues", and GraphQL
`Issue.viewerDidAuthor`; RFC 5321 and 3207 (a 4xx reply may be another one later).
"""

import re
import smtplib
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

import requests

from entrant import debug, http, markdown
from entrant.delivery import github
from entrant.delivery.sinks import on_this_machine
from entrant.errors import ConfigurationError, EntrantError, RefusedError, UnreachableError
from entrant.notify.messages import Message

_ATOM = r'[^\s\x00-\x20\x7f-\xa0\ud800-\udfff()<>\[\]:;@\\,."]+'
_ADDRESS: Final = re.compile(rf"{_ATOM}(\.{_ATOM})*@{_ATOM}(\.{_ATOM})*")
"""An address without quotes, comments and groups, which are not sent to whom they name."""
_LONGEST: Final = 254
"""Characters of an address: RFC 5321, 4.5.3.1.3."""


class Target(ABC):
    """A place that is told."""

    name: ClassVar[str]

    def __init__(self, setting: str, environ: Mapping[str, str]) -> None:
        self.setting, self.environ = setting, environ

    @abstractmethod
    def address(self) -> str:
        """The URL of what it speaks to."""

    @abstractmethod
    def tell(self, message: Message, thread: str) -> tuple[str, str | None]:
        """Tell it; where to go on the next time, and what of it did not succeed although it was told.

        Raises:
            EntrantError: it was not told, or nobody knows.
        """

    def over(self, app: str, thread: str) -> str | None:
        """Nothing of an app ends soon any more; what was done about it."""
        return None


class Webhook(Target):
    """A JSON POST with a text, which Slack, Mattermost, Google Chat and others take; a card for Workflows of Teams."""

    name = "webhook"

    def __init__(self, setting: str, environ: Mapping[str, str]) -> None:
        super().__init__(setting.strip(), environ)
        debug.hide(self.setting)
        try:
            parts, sent = urlsplit(self.setting), requests.Request("POST", self.setting).prepare()
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError
        except ValueError:
            raise ConfigurationError(
                "the webhook is no URL", next_step="set ENTRANT_NOTIFY_WEBHOOK to its https URL"
            ) from None
        # As it is written, and as it is sent: with other characters quoted, which is how --debug would show it.
        debug.hide(f"{parts.path}?{parts.query}" if parts.query else parts.path, sent.path_url, str(sent.url))

    def address(self) -> str:
        """Its URL, which is a secret."""
        return self.setting

    def tell(self, message: Message, thread: str) -> tuple[str, str | None]:
        """POST the message."""
        http.tell(self.setting, self.body(message), "the webhook")
        return "", None

    def body(self, message: Message) -> dict[str, Any]:
        """What is sent."""
        host = urlsplit(self.setting).hostname or ""
        if not host.endswith((".logic.azure.com", ".powerplatform.com")):
            return {"text": message.chat()}
        blocks = [{"type": "TextBlock", "text": line, "wrap": True} for line in message.chat().split("\n")]
        card = {"type": "AdaptiveCard", "version": "1.4", "body": blocks}
        kind = "application/vnd.microsoft.card.adaptive"
        return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


class Issues(Target):
    """One issue for each app, with a comment for each further stage; closed when nothing of the app ends soon any more."""

    name = "github"
    _OPEN = """\
query($owner: String!, $name: String!, $after: String) {
  repository(owner: $owner, name: $name) {
    issues(first: 100, after: $after, states: OPEN, orderBy: {field: CREATED_AT, direction: DESC}) {
      nodes { number body viewerDidAuthor }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

    def __init__(self, setting: str, environ: Mapping[str, str]) -> None:
        super().__init__(setting, environ)
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", setting):
            raise ConfigurationError("ENTRANT_NOTIFY_GITHUB is no repository", next_step="set it to OWNER/NAME")
        self._issues = f"{github.api(environ)}/repos/{setting}/issues"

    def address(self) -> str:
        """Its API's."""
        return self._issues

    def tell(self, message: Message, thread: str) -> tuple[str, str | None]:
        """Comment on the app's issue, opened again if somebody closed it, or open one."""
        marker = f"<!-- entrant-expiry stack={message.stack} app={message.app}"
        body = f"{marker} told={message.id} -->\n{message.markdown()}"
        issue = self._noted(message.app, thread)
        if issue is None:  # one may be there that a killed run did not note
            found = self._own(f"{marker} ")
            if found and found["body"].partition("\n")[0].strip() == body.partition("\n")[0]:
                return f"{self.setting}#{found['number']}", None
            issue = found
        if issue is None:
            issue = self._call("POST", self._issues, json={"title": message.subject, "body": body})
        else:
            url = f"{self._issues}/{issue['number']}"
            self._call("POST", f"{url}/comments", json={"body": body})
            if issue.get("state") == "closed":
                self._call("PATCH", url, json={"state": "open"}, repeat=True)
        return f"{self.setting}#{issue['number']}", None

    def over(self, app: str, thread: str) -> str | None:
        """Close the app's issue."""
        issue = self._noted(app, thread)
        if issue is None:
            return None
        closed = {"state": "closed", "state_reason": "completed"}
        self._call("PATCH", f"{self._issues}/{issue['number']}", json=closed, repeat=True)
        return f"closed {thread}"

    def _noted(self, app: str, thread: str) -> dict[str, Any] | None:
        """The issue that a tag of the stack names, if it is one about the app: whoever writes tags does not choose another."""
        repository, _, number = thread.partition("#")
        if repository != self.setting or not re.fullmatch(r"[1-9]\d{0,17}", number, re.ASCII):
            return None
        try:
            issue = self._call("GET", f"{self._issues}/{number}")
        except RefusedError as error:
            if error.status in (404, 410):
                return None
            raise
        first = str(issue.get("body")).partition("\n")[0]
        return issue if first.startswith("<!-- entrant-expiry stack=") and f" app={app} told=" in first else None

    def _own(self, marker: str) -> dict[str, Any] | None:
        """The open issue with this marker that this token's identity wrote: anybody can write a marker."""
        owner, _, name = self.setting.partition("/")
        variables: dict[str, Any] = {"owner": owner, "name": name, "after": None}
        url = f"{github.api(self.environ).removesuffix('/v3')}/graphql"
        while True:
            answer = self._call("POST", url, json={"query": self._OPEN, "variables": variables}, repeat=True)
            try:
                found = answer["data"]["repository"]["issues"]
            except (KeyError, TypeError):
                reasons = (
                    "; ".join(str(error.get("message")) for error in answer.get("errors") or ()) or "no such thing"
                )
                raise RefusedError(
                    f"POST {url}: {reasons}", status=404, next_step=f"the token needs {self._needs}"
                ) from None
            for node in found["nodes"]:
                if node["viewerDidAuthor"] and str(node["body"]).startswith(marker):
                    return dict(node)
            if not found["pageInfo"]["hasNextPage"]:
                return None
            variables["after"] = found["pageInfo"]["endCursor"]

    @property
    def _needs(self) -> str:
        return (
            f"the repository permission *Issues*: read and write on {self.setting} (a classic token: the scope `repo`)"
        )

    def _call(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        return github.call(method, url, self.environ, self._needs, **options)


class Mail(Target):
    """Mail to the owners of an app, those named for it, and those of ENTRANT_NOTIFY_TO; a repeat has the same Message-ID."""

    name = "email"
    pauses: ClassVar[tuple[float, ...]] = (1.0, 4.0)
    """Seconds before a relay that could not be reached, or asks to come again, is tried again."""

    def __init__(self, setting: str, environ: Mapping[str, str]) -> None:
        super().__init__(setting, environ)
        try:
            parts = urlsplit(f"//{setting}")
            self._host, self._port = parts.hostname or "", parts.port or 587
            plain = bool(self._host) and not parts.path and not parts.username
        except ValueError:
            plain = False
        if not plain:
            raise ConfigurationError("ENTRANT_NOTIFY_SMTP is no relay", next_step="set it to HOST or HOST:PORT")
        self._sender = environ.get("ENTRANT_NOTIFY_FROM", "")
        if not re.fullmatch(r"[^@\s]+@[^@\s]+", self._sender):
            raise ConfigurationError("ENTRANT_NOTIFY_FROM is no address", next_step="set it to who mail is to be from")

    def address(self) -> str:
        """The relay, which is spoken to in the clear on this machine alone."""
        return f"smtps://{self._host}:{self._port}"

    def tell(self, message: Message, thread: str) -> tuple[str, str | None]:
        """Send one mail to all of them."""
        named = filter(None, re.split(r"[\s,;]+", self.environ.get("ENTRANT_NOTIFY_TO", "")))
        wanted = list(dict.fromkeys([*message.mail, *named]))
        to = [one for one in wanted if len(one) <= _LONGEST and _ADDRESS.fullmatch(one)]
        if not to:
            raise ConfigurationError(
                f"nobody of {message.app} has a mail address that could be read",
                next_step="give it an owner with a mailbox (addresses are read with User.ReadBasic.All), or set ENTRANT_NOTIFY_TO",
            )
        mail = EmailMessage()
        mail["Subject"], mail["From"], mail["To"] = message.subject, self._sender, ", ".join(to)
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<entrant.{message.id}@{self._sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text())
        refused = self._send(mail, to)
        wrong = [f"the relay refused {', '.join(refused)}"] if refused else []
        wrong += [f"{markdown.plain(one)[:_LONGEST]} is no address" for one in wanted if one not in to]
        return "", "; ".join(wrong) or None

    def _send(self, mail: EmailMessage, to: list[str]) -> list[str]:
        where = f"mail by {self._host}:{self._port}"
        for pause in (*self.pauses, None):
            try:
                return self._once(mail, to)
            except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as error:
                code, words = _reply(error)
                if pause is None or not 400 <= code < 500:
                    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
                    raise RefusedError(f"{where}: {code} {text}", status=code, next_step=_SMTP_STEP) from None
            except ssl.SSLError as error:
                raise UnreachableError(
                    f"{where}: its certificate is not trusted ({error.reason})",
                    next_step="name the CA bundle to trust in REQUESTS_CA_BUNDLE",
                ) from None
            except smtplib.SMTPException as error:  # nobody knows whether it was sent
                raise EntrantError(f"{where}: {error}", next_step=_SMTP_STEP) from None
            except OSError as error:
                if pause is None:
                    raise UnreachableError(f"{where}: no answer ({error})", next_step=_SMTP_STEP) from None
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _once(self, mail: EmailMessage, to: list[str]) -> list[str]:
        context = ssl.create_default_context(cafile=self.environ.get("REQUESTS_CA_BUNDLE") or None)
        with smtplib.SMTP(self._host, self._port, timeout=60) as relay:
            relay.ehlo()
            if relay.has_extn("starttls") or not on_this_machine(self.address()):
                relay.starttls(context=context)
                relay.ehlo()
            user = self.environ.get("ENTRANT_NOTIFY_SMTP_USER")
            if user:
                relay.login(user, self.environ.get("ENTRANT_NOTIFY_SMTP_PASSWORD", ""))
            able = to if relay.has_extn("smtputf8") else [one for one in to if one.isascii()]
            if not able:
                raise smtplib.SMTPResponseException(553, "it takes addresses in ASCII alone")
            mail.replace_header("To", ", ".join(able))
            refused = relay.send_message(mail, self._sender, able)
            return [one for one in to if one in refused or one not in able]


def _reply(error: smtplib.SMTPRecipientsRefused | smtplib.SMTPResponseException) -> tuple[int, bytes | str]:
    """The relay's reply; of several the first."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        found: tuple[int, bytes | str] = next(iter(error.recipients.values()))
        return found
    return error.smtp_code, error.smtp_error


_SMTP_STEP = (
    "check ENTRANT_NOTIFY_SMTP, _SMTP_USER and _SMTP_PASSWORD, and what the relay says; the next run tells it again"
)


def find(environ: Mapping[str, str]) -> list[Target]:
    """The targets that the variables name.

    Raises:
        ConfigurationError: none, or one that cannot be.
    """
    url, file = environ.get("ENTRANT_NOTIFY_WEBHOOK"), environ.get("ENTRANT_NOTIFY_WEBHOOK_FILE")
    if file and not url:
        try:
            url = Path(file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"ENTRANT_NOTIFY_WEBHOOK_FILE cannot be read: {error}") from None
    settings: tuple[tuple[type[Target], str | None], ...] = (
        (Webhook, url),
        (Issues, environ.get("ENTRANT_NOTIFY_GITHUB")),
        (Mail, environ.get("ENTRANT_NOTIFY_SMTP")),
    )
    found = [kind(setting, environ) for kind, setting in settings if setting]
    if not found:
        raise ConfigurationError(
            "there is nobody to tell",
            next_step="set ENTRANT_NOTIFY_WEBHOOK, ENTRANT_NOTIFY_GITHUB or ENTRANT_NOTIFY_SMTP; docs/secrets.md says how",
        )
    return found
