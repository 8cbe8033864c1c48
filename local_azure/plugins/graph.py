"""Microsoft Graph as the signed-in caller sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import requests

from local_azure.plugins.session import ApiError, PluginError, Session
from local_azure.plugins.values import Properties

_HEADERS = {
    "Accept": "application/json; charset=utf-8; IEEE754Compatible=false",
    "OData-Version": "4.0",
    "OData-MaxVersion": "4.0",
}
_APPEAR_SECONDS = 600.0


def not_found(error: ApiError) -> bool:
    """Whether the service says that there is no such thing."""
    return error.status == 404


class Graph:
    """Microsoft Graph as the signed-in caller."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._caller = ""

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        api: str = "v1.0",
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        content_type: str = "",
        retry_if: Callable[[ApiError], bool] = lambda _: False,
    ) -> Properties:
        """Send one request; the answer's JSON object, or an empty one when it has no body."""
        headers = {**_HEADERS, **({"Content-Type": content_type} if content_type else {})}
        response: requests.Response = self.session.request(
            method,
            f"{self.session.cloud.graph}/{api}{path}",
            audience=self.session.cloud.graph,
            params=params,
            body=body,
            data=data,
            headers=headers,
            accept=(200,) if method == "GET" else (200, 201, 202, 204),
            retry_if=retry_if,
        )
        if response.status_code == 204 or not response.content:
            return {}
        try:
            answer = response.json()
        except ValueError:
            raise PluginError(f"{method} {response.url}: the answer is not JSON") from None
        if not isinstance(answer, dict):
            raise PluginError(f"{method} {response.url}: the answer is not a JSON object")
        return answer

    def get(self, path: str, *, api: str = "v1.0", params: Mapping[str, str] | None = None) -> Properties | None:
        """The object at ``path``, or None when there is none."""
        try:
            return self.call("GET", path, api=api, params=params)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def listed(self, path: str, *, api: str = "v1.0", params: Mapping[str, str] | None = None) -> list[Properties]:
        """All items of the list at ``path``, page after page."""
        page = self.call("GET", path, api=api, params=params)
        items = list(page.get("value") or [])
        while page.get("@odata.nextLink"):
            link = str(page["@odata.nextLink"])
            base = f"{self.session.cloud.graph}/{api}"
            if not link.startswith(f"{base}/"):
                raise PluginError(f"GET {base}{path}: the next page is on another host: {link}")
            page = self.call("GET", link.removeprefix(base), api=api)
            items.extend(page.get("value") or [])
        return items

    def caller(self) -> str:
        """The object id of whoever is signed in."""
        if not self._caller:
            claims = self.session.claims(self.session.cloud.graph)
            self._caller = str(claims.get("oid") or "")
        if not self._caller:
            found = self.listed("/servicePrincipals", params=matching("appId", self.session.settings.client_id))
            if len(found) != 1:
                raise PluginError("the signed-in principal has no object id, and no service principal was found for it")
            self._caller = str(found[0]["id"])
        return self._caller

    def reference(self, object_id: str, api: str = "v1.0") -> str:
        """How a directory object is named in a link."""
        return f"{self.session.cloud.graph}/{api}/directoryObjects/{object_id}"

    def appear(self, look: Callable[[], Any], what: str) -> Any:
        """Wait until something just made can be read."""
        return self.session.until(look, what, _APPEAR_SECONDS)

    def vanish(self, still_there: Callable[[], bool], what: str) -> None:
        """Wait until something just removed can no longer be read."""
        self.session.until(lambda: None if still_there() else True, f"the removal of {what}", 300.0)


def matching(name: str, value: str) -> dict[str, str]:
    """The query that lists what has ``value`` as ``name``."""
    quoted = value.replace("'", "''")
    return {"$filter": f"{name} eq '{quoted}'"}
