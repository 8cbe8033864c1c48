"""Secret variables of Azure DevOps variable groups.

Sources: Azure DevOps REST API 7.1, "Variablegroups" (an update is of the whole group; a secret's value is never told, and null
leaves it as it is); the Azure DevOps CLI for AZURE_DEVOPS_EXT_PAT.
"""

import base64
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from entrant import http
from entrant.config.delivery import AzureDevOpsDelivery
from entrant.delivery.sinks import Item, Sink
from entrant.errors import ConfigurationError, RefusedError

_NEEDS = "the scope *Variable Groups (read, create & manage)*, of an administrator of the group"


class AzureDevOps(Sink):
    """A secret variable of a group, and beside it a variable with its key id, written in one request."""

    def __init__(self, place: AzureDevOpsDelivery, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__(environ)
        self._place = place
        name = place.organization
        self._organization = name if "://" in name else f"https://dev.azure.com/{quote(name, safe='')}"
        self._note = f"{place.name}_KEY_ID"

    def address(self) -> str:
        """Its API's."""
        return self._organization

    def holds(self) -> str | None:
        """The key id in the variable beside the secret one."""
        variables = self._group()["variables"]
        if not _named(variables, self._place.name).get("isSecret"):
            return None
        return _named(variables, self._note).get("value") or None

    def put(self, item: Item) -> None:
        """Read the group, and write it with both variables: all others stay as they are."""
        group = self._group()
        gone = {self._place.name.lower(), self._note.lower()}  # names compare without regard to case
        kept = {name: value for name, value in group["variables"].items() if name.lower() not in gone}
        group["variables"] = kept | {
            self._place.name: {"value": item.value, "isSecret": True},
            self._note: {"value": item.key_id},
        }
        names = ("name", "description", "type", "providerData", "variables", "variableGroupProjectReferences")
        body = {name: group[name] for name in names if group.get(name) is not None}
        self._call("PUT", f"{self._organization}/_apis/distributedtask/variablegroups/{group['id']}", json=body)

    def _group(self) -> dict[str, Any]:
        place = self._place
        url = f"{self._organization}/{quote(place.project, safe='')}/_apis/distributedtask/variablegroups"
        groups = self._call("GET", url, params={"groupName": place.group})["value"]
        found = next((group for group in groups if str(group["name"]).lower() == place.group.lower()), None)
        if found is None:
            raise ConfigurationError(
                f"there is no variable group {place.group} in {place.project}, or the token may not see it",
                next_step=f"make it, or give the token {_NEEDS}",
            )
        if found.get("type", "Vsts") != "Vsts":
            raise ConfigurationError(
                f"the variable group {place.group} is linked to a Key Vault, which fills it",
                next_step="deliver to that Key Vault (`key_vault`) instead",
            )
        group: dict[str, Any] = found
        return group

    def _call(
        self, method: str, url: str, *, params: Mapping[str, str] | None = None, **options: Any
    ) -> dict[str, Any]:
        token, scheme = self.token("AZURE_DEVOPS_EXT_PAT", "SYSTEM_ACCESSTOKEN", needs=_NEEDS), "Bearer"
        if self.environ.get("AZURE_DEVOPS_EXT_PAT"):
            token, scheme = base64.b64encode(f":{token}".encode()).decode(), "Basic"
        headers = {"X-TFS-FedAuthRedirect": "Suppress"}  # without it a refusal is a redirect to a sign-in page
        query = {"api-version": "7.1", **(params or {})}
        try:
            return http.call(method, url, headers=headers, params=query, token=token, scheme=scheme, **options)
        except RefusedError as error:
            if error.status in (203, 401, 403, 404):
                error.next_step = f"the token needs {_NEEDS}"
            raise


def _named(variables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = next((value for key, value in variables.items() if key.lower() == name.lower()), None)
    return found if isinstance(found, Mapping) else {}
