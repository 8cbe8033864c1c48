"""App registrations, and the parts of one that are resources of their own."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from local_azure.plugins.families.base import (
    Entity,
    Family,
    body_of,
    features_of,
    ids_by_value,
    last,
    remembered,
    same,
)
from local_azure.plugins.schema import canonical
from local_azure.plugins.server import Resource
from local_azure.plugins.session import PluginError
from local_azure.plugins.values import UNKNOWN, Properties
from local_azure.plugins.wire import from_wire

_IMAGE_TYPES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\xff\xd8\xff", "image/jpeg"),
)


class Application(Entity):
    """App registrations, as azuread.Application declares them."""

    collection = "applications"
    kind = "application"

    def preview(self, resource: Resource) -> None:
        if resource.inputs.get("displayName") != resource.state.get("displayName"):
            self.refuse_duplicates(resource)
        _image(resource.inputs.get("logoImage"))

    def create(self, resource: Resource) -> tuple[str, Properties]:
        self.refuse_duplicates(resource)
        image = _image(resource.inputs.get("logoImage"))
        body = {"@odata.type": "#microsoft.graph.application", **body_of(resource)}
        object_id = self.make(resource, body, lambda _: False)

        def extras(path: str) -> None:
            if resource.inputs.get("oauth2PostResponseRequired") is not None:
                self._post_response(resource, path)
            if image:
                self.graph.call("PUT", f"{path}/logo", data=image[1], content_type=image[0])

        self.finish(resource, object_id, [extras, self.settle_owners(resource)])
        return resource.rtype.id_format.format(id=object_id), remembered(resource)

    def update(self, resource: Resource) -> Properties:
        path = self.path(resource)
        self.refuse_duplicates(resource)
        image = _image(resource.inputs.get("logoImage")) if self._changed(resource, "logoImage") else None
        body = {"@odata.type": "#microsoft.graph.application", **body_of(resource)}
        for name in ("appRoles", "identifierUris", "optionalClaims", "requiredResourceAccesses"):
            if not self._changed(resource, name):
                del body[resource.rtype.props[name].wire]
        with self.graph.session.locked(last(path)):
            now = self.application(last(path))
            if "appRoles" in body:
                self._disable(path, now.get("appRoles") or [], body["appRoles"], lambda roles: {"appRoles": roles})
            scopes = body["api"]["oauth2PermissionScopes"]
            old_scopes = (now.get("api") or {}).get("oauth2PermissionScopes") or []
            if self._changed(resource, "api"):
                self._disable(path, old_scopes, scopes, lambda found: {"api": {"oauth2PermissionScopes": found}})
            else:
                del body["api"]["oauth2PermissionScopes"]
            self.graph.call("PATCH", path, body)
        if self._changed(resource, "oauth2PostResponseRequired"):
            self._post_response(resource, path)
        self.sync(resource, path, "owners")
        if image:
            self.graph.call("PUT", f"{path}/logo", data=image[1], content_type=image[0])
        return remembered(resource)

    def read(self, resource: Resource) -> Properties | None:
        path = self.path(resource)
        found = self.graph.get(path)
        if found is None:
            return None
        beta = self.graph.call("GET", path, api="beta", params={"$select": "oauth2RequirePostResponse"})
        return {
            **from_wire(resource.rtype.props, found),
            **remembered(resource),
            "appRoleIds": ids_by_value(found.get("appRoles")),
            "oauth2PermissionScopeIds": ids_by_value((found.get("api") or {}).get("oauth2PermissionScopes")),
            "oauth2PostResponseRequired": bool(beta.get("oauth2RequirePostResponse")),
            "owners": self.owners(path),
            "tags": list(found.get("tags") or []),
            "featureTags": [features_of(found.get("tags"))],
            "templateId": found.get("applicationTemplateId") or "",
            "logoImage": remembered(resource).get("logoImage") or "",
            "preventDuplicateNames": remembered(resource).get("preventDuplicateNames") or False,
        }

    def _changed(self, resource: Resource, name: str) -> bool:
        prop = resource.rtype.props[name]
        return bool(canonical(prop, resource.state.get(name)) != canonical(prop, resource.inputs.get(name)))

    def _post_response(self, resource: Resource, path: str) -> None:
        value = bool(resource.inputs.get("oauth2PostResponseRequired"))
        self.graph.call("PATCH", path, {"oauth2RequirePostResponse": value}, api="beta")

    def _disable(
        self,
        path: str,
        now: list[Properties],
        wanted: list[Properties],
        body: Callable[[list[Properties]], Properties],
    ) -> None:
        """Graph changes or removes a role or scope only once it is disabled: do that first."""
        by_id = {item["id"]: item for item in wanted}
        going = [
            item["id"]
            for item in now
            if item.get("isEnabled") and not _same_permission(item, by_id.get(item.get("id")))
        ]
        if going:
            disabled = [{**item, "isEnabled": item.get("isEnabled") and item["id"] not in going} for item in now]
            self.graph.call("PATCH", path, body(disabled))


def _same_permission(now: Properties, wanted: Properties | None) -> bool:
    if wanted is None:
        return False
    names = {*now, *wanted} - {"isEnabled", "origin"}
    return all((now.get(name) or "") == (wanted.get(name) or "") for name in names if name in wanted)


def _image(logo: Any) -> tuple[str, bytes] | None:
    if logo in (None, "", UNKNOWN):
        return None
    try:
        data = base64.b64decode(str(logo).strip(), validate=True)
    except (binascii.Error, ValueError):
        raise PluginError("logoImage: must be base64") from None
    for start, content_type in _IMAGE_TYPES:
        if data.startswith(start):
            return content_type, data
    raise PluginError("logoImage: must be a GIF, PNG or JPEG image in base64")


class _Facet(Family):
    """One entry, or the whole, of a list that an application holds; changed by reading and patching the application."""

    def change(self, parent: str, change: Callable[[Properties], Properties]) -> None:
        with self.graph.session.locked(parent):
            self.graph.call("PATCH", f"/applications/{parent}", change(self.application(parent)))

    def look(self, parent: str) -> Properties | None:
        return self.graph.get(f"/applications/{parent}")


class PreAuthorized(_Facet):
    """One client that an application's API trusts without consent."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        parent, client = last(str(resource.inputs["applicationId"])), str(resource.inputs["authorizedClientId"])
        resource_id = resource.rtype.id_format.format(parent=parent, key=client)

        def change(app: Properties) -> Properties:
            now = self._entries(app)
            if any(same(item.get("appId"), client) for item in now):
                raise PluginError(f"the application pre-authorizes {client} already: import {resource_id!r}")
            return self._body([*now, self._entry(resource)])

        self.change(parent, change)
        return resource_id, {}

    def update(self, resource: Resource) -> Properties:
        parts = self.parse(resource)

        def change(app: Properties) -> Properties:
            now = self._entries(app)
            if not any(same(item.get("appId"), parts["key"]) for item in now):
                raise PluginError(f"the application does not pre-authorize {parts['key']}")
            return self._body(
                [self._entry(resource) if same(item.get("appId"), parts["key"]) else item for item in now]
            )

        self.change(parts["parent"], change)
        return {}

    def read(self, resource: Resource) -> Properties | None:
        parts = self.parse(resource)
        app = self.look(parts["parent"])
        found = next((item for item in self._entries(app or {}) if same(item.get("appId"), parts["key"])), None)
        if found is None:
            return None
        return {
            "applicationId": f"/applications/{parts['parent']}",
            "authorizedClientId": parts["key"],
            "permissionIds": list(found.get("delegatedPermissionIds") or []),
        }

    def delete(self, resource: Resource) -> None:
        parts = self.parse(resource)
        if self.look(parts["parent"]) is None:
            return
        self.change(
            parts["parent"],
            lambda app: self._body([item for item in self._entries(app) if not same(item.get("appId"), parts["key"])]),
        )

    def _entries(self, app: Properties) -> list[Properties]:
        return list((app.get("api") or {}).get("preAuthorizedApplications") or [])

    def _entry(self, resource: Resource) -> Properties:
        return {
            "appId": resource.inputs["authorizedClientId"],
            "delegatedPermissionIds": list(resource.inputs["permissionIds"]),
        }

    def _body(self, entries: list[Properties]) -> Properties:
        return {"api": {"preAuthorizedApplications": entries}}


class KnownClients(_Facet):
    """The clients whose consent is bundled with an application's."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        parent = last(str(resource.inputs["applicationId"]))
        resource_id = resource.rtype.id_format.format(parent=parent)

        def change(app: Properties) -> Properties:
            if (app.get("api") or {}).get("knownClientApplications"):
                raise PluginError(f"the application has known clients already: import {resource_id!r}")
            return self._body(resource.inputs["knownClientIds"])

        self.change(parent, change)
        return resource_id, {}

    def update(self, resource: Resource) -> Properties:
        self.change(self.parse(resource)["parent"], lambda _: self._body(resource.inputs["knownClientIds"]))
        return {}

    def read(self, resource: Resource) -> Properties | None:
        parent = self.parse(resource)["parent"]
        app = self.look(parent)
        if app is None:
            return None
        clients = list((app.get("api") or {}).get("knownClientApplications") or [])
        return {"applicationId": f"/applications/{parent}", "knownClientIds": clients}

    def delete(self, resource: Resource) -> None:
        self.change(self.parse(resource)["parent"], lambda _: self._body([]))

    def _body(self, clients: list[str]) -> Properties:
        return {"api": {"knownClientApplications": list(clients)}}
