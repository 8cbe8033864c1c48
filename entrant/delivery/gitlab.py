"""CI/CD variables of GitLab projects.

Sources: GitLab, "Project-level CI/CD variables API"; "Mask a CI/CD variable"; glab for GITLAB_TOKEN and GITLAB_HOST.
"""

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from entrant import http
from entrant.config.delivery import GitLabDelivery
from entrant.delivery.sinks import Item, Sink
from entrant.errors import RefusedError

_NEEDS = "the scope `api` and the role Maintainer in the project"
_NOTE = re.compile(r"entrant: key id (?P<key_id>[^\s,]+), ends ")


class GitLab(Sink):
    """A masked variable of a project; its description has the key id."""

    def __init__(self, place: GitLabDelivery, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__(environ)
        self._place = place
        self._variables = f"{_api(environ)}/projects/{quote(place.project, safe='')}/variables"
        self._one = f"{self._variables}/{place.name}"
        self._filter = {"filter[environment_scope]": place.environment}

    def address(self) -> str:
        """Its API's."""
        return self._variables

    def holds(self) -> str | None:
        """The key id in the description of a variable that is masked and protected as the file says."""
        found = self._find()
        if found is None or not found.get("masked") or bool(found.get("protected")) != self._place.protected:
            return None
        note = _NOTE.match(str(found.get("description") or ""))
        return note["key_id"] if note else None

    def put(self, item: Item) -> None:
        """Write value and description in one request."""
        body = {
            "value": item.value,
            "masked": True,
            "protected": self._place.protected,
            "raw": True,
            "environment_scope": self._place.environment,
            "description": f"entrant: key id {item.key_id}, ends {item.ends:%Y-%m-%d}",
        }
        if self._find() is None:
            self._call("POST", self._variables, json={"key": self._place.name, **body})
        else:
            self._call("PUT", self._one, json=body, params=self._filter)

    def _find(self) -> dict[str, Any] | None:
        try:
            return self._call("GET", self._one, params=self._filter)
        except RefusedError as error:
            if error.status == 404 and "variable" in str(error).lower().rpartition("404")[2]:
                return None
            raise

    def _call(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        try:
            return http.call(method, url, token=self.token("GITLAB_TOKEN", needs=_NEEDS), **options)
        except RefusedError as error:
            if error.status in (401, 403, 404):
                error.next_step = f"the token in GITLAB_TOKEN needs {_NEEDS}"
            raise


def _api(environ: Mapping[str, str]) -> str:
    host = environ.get("GITLAB_HOST", "").rstrip("/")
    if host:
        return f"{host if '://' in host else f'https://{host}'}/api/v4"
    return (environ.get("CI_API_V4_URL") or "https://gitlab.com/api/v4").rstrip("/")
