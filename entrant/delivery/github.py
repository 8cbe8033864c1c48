"""GitHub Actions secrets, of a repository or of one of its environments.

Sources: GitHub REST API 2022-11-28, "GitHub Actions Secrets" and "GitHub Actions Variables"; "Encrypting secrets for the REST API";
`gh help environment` for the variables with the token and the host.
"""

import base64
import datetime as dt
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from entrant import http
from entrant.config.delivery import GitHubDelivery
from entrant.delivery.sinks import Item, Sink, token
from entrant.errors import ConfigurationError, RefusedError

_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


class GitHub(Sink):
    """A secret of GitHub Actions, and beside it a variable with its key id and the time of its delivery."""

    def __init__(self, place: GitHubDelivery, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__(environ)
        self._name, self._note = place.name, f"{place.name}_KEY_ID"
        base = f"{api(environ)}/repos/{place.repository}"
        if place.environment is None:
            self._secrets, self._variables = f"{base}/actions/secrets", f"{base}/actions/variables"
            needs = "*Secrets* and *Variables*: read and write"
        else:
            base = f"{base}/environments/{quote(place.environment, safe='')}"
            self._secrets, self._variables = f"{base}/secrets", f"{base}/variables"
            needs = "*Environments*: read and write"
        self._needs = f"the repository permissions {needs} on {place.repository} (a classic token: the scope `repo`)"

    def address(self) -> str:
        """Its API's."""
        return self._secrets

    def holds(self) -> str | None:
        """The key id in the variable, unless somebody changed the secret after that was written."""
        note, secret = self._find(f"{self._variables}/{self._note}"), self._find(f"{self._secrets}/{self._name}")
        if note is None or secret is None:
            return None
        key_id, _, since = str(note.get("value", "")).partition(" ")
        try:
            changed = dt.datetime.fromisoformat(secret["updated_at"]) > dt.datetime.fromisoformat(note["updated_at"])
        except (KeyError, TypeError, ValueError):
            changed = True
        return None if changed or not since else key_id

    def put(self, item: Item) -> None:
        """Write the secret, then the variable: a delivery that is killed between them is made again."""
        key = self._call("GET", f"{self._secrets}/public-key")
        body = {"encrypted_value": _sealed(str(key["key"]), item.value), "key_id": key["key_id"]}
        self._call("PUT", f"{self._secrets}/{self._name}", json=body)
        # With the time, or a variable that says the same again would stay as old as it is.
        note = {"name": self._note, "value": f"{item.key_id} {dt.datetime.now(dt.UTC).isoformat()}"}
        if self._find(f"{self._variables}/{self._note}") is None:
            self._call("POST", self._variables, json=note)
        else:
            self._call("PATCH", f"{self._variables}/{self._note}", json=note, repeat=True)

    def _find(self, url: str) -> dict[str, Any] | None:
        try:
            return self._call("GET", url)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def _call(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        return call(method, url, self.environ, self._needs, **options)


def call(method: str, url: str, environ: Mapping[str, str], needs: str, **options: Any) -> dict[str, Any]:
    """A call of GitHub's API with the token of its host; `needs` says what that has to be allowed.

    Raises:
        ConfigurationError: no token is set. RefusedError, UnreachableError: see `http.call`.
    """
    names = ("GH_TOKEN", "GITHUB_TOKEN")
    if not _of_github(environ.get("GH_HOST") or "github.com"):
        names = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
    try:
        return http.call(method, url, token=token(environ, *names, needs=needs), headers=_HEADERS, **options)
    except RefusedError as error:
        if error.status in (401, 403, 404):
            error.next_step = f"the token in {' or '.join(names)} needs {needs}"
        raise


def api(environ: Mapping[str, str]) -> str:
    """That of GH_HOST, as for `gh`; else that of the job, which every job of GitHub has in GITHUB_API_URL."""
    host = environ.get("GH_HOST")
    if host:
        return f"https://api.{host}" if _of_github(host) else f"https://{host}/api/v3"
    return (environ.get("GITHUB_API_URL") or "https://api.github.com").rstrip("/")


def _of_github(host: str) -> bool:
    """Whether GitHub runs a host, and it is no GitHub Enterprise Server."""
    return host == "github.com" or host.endswith(".ghe.com")


def _sealed(key: str, value: str) -> str:
    """A value that only the owner of a public key can read: a sealed box of libsodium, base64."""
    try:
        from nacl.public import PublicKey, SealedBox
    except ImportError:
        raise ConfigurationError(
            "GitHub's secrets are encrypted with PyNaCl, which is not installed",
            next_step="pip install PyNaCl, or Entrant with its extra: in the checkout, pip install '.[deliver]'",
        ) from None
    return base64.b64encode(SealedBox(PublicKey(base64.b64decode(key))).encrypt(value.encode())).decode()
