"""The families of operations over Microsoft Graph that serve the types of ``azuread_types``.

The requests are those of terraform-provider-azuread 3.9 (what the real plugin embeds). One difference: where the real
one waits for several hits in a row, 4 to 20 seconds at least, this one waits for the first.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local_azure.plugins.azuread_types import GUID
from local_azure.plugins.graph import Graph, matching, not_found
from local_azure.plugins.schema import canonical, from_wire, to_wire
from local_azure.plugins.server import Partial, Resource
from local_azure.plugins.session import ApiError, PluginError
from local_azure.plugins.values import UNKNOWN, Properties

_FEATURE_TAGS = {
    "customSingleSignOn": "WindowsAzureActiveDirectoryCustomSingleSignOnApplication",
    "enterprise": "WindowsAzureActiveDirectoryIntegratedApp",
    "gallery": "WindowsAzureActiveDirectoryGalleryApplicationNonPrimaryV1",
    "hide": "HideApp",
}
_OLD_FEATURES = {
    "customSingleSignOnApp": "customSingleSignOn",
    "enterpriseApplication": "enterprise",
    "galleryApplication": "gallery",
}
_IMAGE_TYPES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\xff\xd8\xff", "image/jpeg"),
)


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


class Family:
    """How the types of one family are made, read, changed and deleted. ``read`` answers None for what is gone."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def preview(self, resource: Resource) -> None:
        """Look ahead, without writing, for what would make the update fail."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        """Make it; its id and what must be remembered of it, which `read` cannot see."""
        raise NotImplementedError

    def read(self, resource: Resource) -> Properties | None:
        """Its properties as the service holds them now."""
        raise NotImplementedError

    def update(self, resource: Resource) -> Properties:
        """Change it; what must be remembered of it."""
        raise PluginError(f"{resource.rtype.token} cannot be changed in place")

    def delete(self, resource: Resource) -> None:
        """Remove it."""
        raise NotImplementedError

    def parse(self, resource: Resource) -> dict[str, str]:
        """The parts of the resource's id; raises `PluginError` that shows the form an id must have."""
        form = resource.rtype.id_format
        pattern = re.escape(form)
        for part, value in (("parent", f"(?P<parent>{GUID})"), ("id", f"(?P<id>{GUID})"), ("key", "(?P<key>.+)")):
            pattern = pattern.replace(re.escape(f"{{{part}}}"), value)
        match = re.fullmatch(pattern, resource.id)
        if not match:
            raise PluginError(f"{resource.id!r} is not the id of a {resource.rtype.token}: it must look like {form}")
        return match.groupdict()

    def application(self, object_id: str) -> Properties:
        """The application with this object id; raises `PluginError` when there is none."""
        found = self.graph.get(f"/applications/{object_id}")
        if found is None:
            raise PluginError(f'Application (Application: "{object_id}") was not found')
        return found


class _Entity(Family):
    """An object of its own, with owners."""

    collection = ""
    api = "v1.0"
    kind = ""

    def path(self, resource: Resource) -> str:
        return f"/{self.collection}/{self.parse(resource)['id']}"

    def owners(self, path: str, name: str = "owners") -> list[str]:
        return [str(item["id"]) for item in self.graph.listed(f"{path}/{name}", api=self.api)]

    def make(self, resource: Resource, body: Properties, retry_if: Callable[[ApiError], bool]) -> str:
        """Create it with the caller and up to 19 owners, then add the rest and take the caller out unless named."""
        caller = self.graph.caller()
        wanted = [str(owner) for owner in resource.inputs.get("owners") or []]
        first = [caller, *(owner for owner in wanted if owner != caller)][:20]
        body["owners@odata.bind"] = [self.graph.reference(owner, self.api) for owner in first]
        made = self.graph.call("POST", f"/{self.collection}", body, api=self.api, retry_if=retry_if)
        object_id = str(made.get("id") or "")
        if not object_id:
            raise PluginError(f"POST /{self.collection}: the answer names no id")
        return object_id

    def finish(self, resource: Resource, object_id: str, steps: Sequence[Callable[[str], None]]) -> None:
        """Do what follows a create; what fails here must not lose the object."""
        path = f"/{self.collection}/{object_id}"
        try:
            self.graph.appear(lambda: self.graph.get(path, api=self.api), f"the new {self.kind} {object_id}")
            for step in steps:
                step(path)
        except PluginError as error:
            resource_id = resource.rtype.id_format.format(id=object_id)
            raise Partial(str(error), resource_id, {**plain(resource.inputs), "objectId": object_id}) from None

    def settle_owners(self, resource: Resource) -> Callable[[str], None]:
        def step(path: str) -> None:
            caller = self.graph.caller()
            wanted = [str(owner) for owner in resource.inputs.get("owners") or []]
            for owner in [owner for owner in wanted if owner != caller][19:]:
                self.add(path, "owners", owner)
            if caller not in wanted:
                self.graph.call("DELETE", f"{path}/owners/{caller}/$ref", api=self.api)

        return step

    def add(self, path: str, name: str, member: str) -> None:
        self.graph.call(
            "POST", f"{path}/{name}/$ref", {"@odata.id": self.graph.reference(member, self.api)}, api=self.api
        )

    def sync(self, resource: Resource, path: str, name: str, *, add_first: bool = True) -> None:
        """Bring the list ``name`` (owners, members) to what the inputs say, if that changed."""
        prop = resource.rtype.props[name]
        wanted = resource.inputs.get(name)
        if wanted is None and prop.computed:
            return
        if canonical(prop, resource.state.get(name)) == canonical(prop, wanted):
            return
        now = self.owners(path, name)
        for member in [member for member in wanted or [] if member not in now]:
            self.add(path, name, member)
        for member in [member for member in now if member not in (wanted or [])]:
            self.graph.call("DELETE", f"{path}/{name}/{member}/$ref", api=self.api)

    def refuse_duplicates(self, resource: Resource, *, even_itself: bool = False) -> None:
        """What ``preventDuplicateNames`` asks for."""
        name = resource.inputs.get("displayName")
        if resource.inputs.get("preventDuplicateNames") is not True or name in (None, UNKNOWN):
            return
        own = resource.state.get("objectId")
        for found in self.graph.listed(f"/{self.collection}", api=self.api, params=matching("displayName", str(name))):
            if found.get("displayName") == name and found.get("id") != own:
                existing = resource.rtype.id_format.format(id=found.get("id"))
                raise PluginError(
                    f'An existing "azuread_{self.kind}" with name "{name}" (ID: "{found.get("id")}") was found and '
                    f"`prevent_duplicate_names` was specified. To be managed via Pulumi, this resource needs to be imported: "
                    f"in an environment's file with `adopt`, in a program with import_={existing!r}"
                )

    def delete(self, resource: Resource) -> None:
        path = self.path(resource)
        self.graph.call("DELETE", path, api=self.api)
        self.graph.vanish(lambda: self.graph.get(path, api=self.api) is not None, path)


class Application(_Entity):
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
        body = {"@odata.type": "#microsoft.graph.application", **self._body(resource)}
        object_id = self.make(resource, body, lambda _: False)

        def extras(path: str) -> None:
            if resource.inputs.get("oauth2PostResponseRequired") is not None:
                self._post_response(resource, path)
            if image:
                self.graph.call("PUT", f"{path}/logo", data=image[1], content_type=image[0])

        self.finish(resource, object_id, [extras, self.settle_owners(resource)])
        return resource.rtype.id_format.format(id=object_id), _kept(resource)

    def update(self, resource: Resource) -> Properties:
        path = self.path(resource)
        self.refuse_duplicates(resource)
        image = _image(resource.inputs.get("logoImage")) if self._changed(resource, "logoImage") else None
        body = {"@odata.type": "#microsoft.graph.application", **self._body(resource)}
        for name in ("appRoles", "identifierUris", "optionalClaims", "requiredResourceAccesses"):
            if not self._changed(resource, name):
                del body[resource.rtype.props[name].wire]
        with self.graph.session.locked(_last(path)):
            now = self.application(_last(path))
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
        return _kept(resource)

    def read(self, resource: Resource) -> Properties | None:
        path = self.path(resource)
        found = self.graph.get(path)
        if found is None:
            return None
        beta = self.graph.call("GET", path, api="beta", params={"$select": "oauth2RequirePostResponse"})
        return {
            **from_wire(resource.rtype.props, found),
            **_kept(resource),
            "appRoleIds": ids_by_value(found.get("appRoles")),
            "oauth2PermissionScopeIds": ids_by_value((found.get("api") or {}).get("oauth2PermissionScopes")),
            "oauth2PostResponseRequired": bool(beta.get("oauth2RequirePostResponse")),
            "owners": self.owners(path),
            "tags": list(found.get("tags") or []),
            "featureTags": [features_of(found.get("tags"))],
            "templateId": found.get("applicationTemplateId") or "",
            "logoImage": _kept(resource).get("logoImage") or "",
            "preventDuplicateNames": _kept(resource).get("preventDuplicateNames") or False,
        }

    def _body(self, resource: Resource) -> Properties:
        body = to_wire(resource.rtype.props, resource.inputs)
        body["tags"] = _tags(resource)
        return body

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


class Registration(_Entity):
    """App registrations, as azuread.ApplicationRegistration declares them: without owners, roles, or lists."""

    collection = "applications"
    kind = "application_registration"

    def create(self, resource: Resource) -> tuple[str, Properties]:
        body = {"@odata.type": "#microsoft.graph.application", **to_wire(resource.rtype.props, resource.inputs)}
        made = self.graph.call("POST", "/applications", body)
        object_id = str(made["id"])
        self.finish(resource, object_id, [])
        return resource.rtype.id_format.format(id=object_id), {}

    def update(self, resource: Resource) -> Properties:
        self.graph.call("PATCH", self.path(resource), to_wire(resource.rtype.props, resource.inputs))
        return {}

    def read(self, resource: Resource) -> Properties | None:
        found = self.graph.get(self.path(resource))
        return None if found is None else from_wire(resource.rtype.props, found)


class ServicePrincipal(_Entity):
    """Service principals: of an application of this tenant, or (``useExisting``) one that is there already."""

    collection = "servicePrincipals"
    kind = "service_principal"

    def create(self, resource: Resource) -> tuple[str, Properties]:
        found = self.graph.listed("/servicePrincipals", params=matching("appId", str(resource.inputs["clientId"])))
        if found:
            existing = resource.rtype.id_format.format(id=found[0]["id"])
            if resource.inputs.get("useExisting") is not True:
                raise PluginError(
                    f'A resource with the ID "{found[0]["id"]}" already exists. To be managed via Pulumi, this resource needs '
                    f"to be imported (in an environment's file with `adopt`, in a program with import_={existing!r}) or taken as "
                    f"it is (use_existing)"
                )
            there = Resource(resource.rtype, resource.urn, resource.inputs, {}, existing)
            return existing, self.update(there)
        body = {"@odata.type": "#microsoft.graph.servicePrincipal", **self._body(resource)}
        object_id = self.make(resource, body, _application_not_there_yet)
        self.finish(resource, object_id, [self.settle_owners(resource)])
        return resource.rtype.id_format.format(id=object_id), _kept(resource)

    def update(self, resource: Resource) -> Properties:
        path = self.path(resource)
        body = {"@odata.type": "#microsoft.graph.servicePrincipal", **self._body(resource)}
        del body["appId"]
        self.graph.call("PATCH", path, body)
        self.sync(resource, path, "owners")
        return _kept(resource)

    def read(self, resource: Resource) -> Properties | None:
        path = self.path(resource)
        found = self.graph.get(path)
        if found is None:
            return None
        beta = self.graph.call("GET", path, api="beta", params={"$select": "samlMetadataUrl"})
        return {
            **from_wire(resource.rtype.props, found),
            **_kept(resource),
            **service_principal_extras(found, beta),
            "owners": self.owners(path),
            "tags": list(found.get("tags") or []),
        }

    def delete(self, resource: Resource) -> None:
        path = self.path(resource)
        existing = resource.state.get("useExisting") is True
        try:
            self.graph.call("DELETE", path)
        except ApiError:
            if existing:
                return
            raise
        if not existing:
            self.graph.vanish(lambda: self.graph.get(path) is not None, path)

    def _body(self, resource: Resource) -> Properties:
        body = to_wire(resource.rtype.props, resource.inputs)
        body["tags"] = _tags(resource)
        return body


def _application_not_there_yet(error: ApiError) -> bool:
    return (error.status == 400 and "does not reference a valid application object" in error.message) or (
        error.status == 403 and error.message.startswith("When using this permission, the backing application")
    )


class Group(_Entity):
    """Security groups, assigned or dynamic."""

    collection = "groups"
    api = "beta"
    kind = "group"

    def preview(self, resource: Resource) -> None:
        if resource.inputs.get("displayName") != resource.state.get("displayName"):
            self.refuse_duplicates(resource)

    def create(self, resource: Resource) -> tuple[str, Properties]:
        self.refuse_duplicates(resource)
        inputs = resource.inputs
        body = {"@odata.type": "#microsoft.graph.group", **to_wire(resource.rtype.props, inputs)}
        body["mailNickname"] = inputs.get("mailNickname") or f"{secrets.token_hex(4)}-{secrets.token_hex(1)[0]}"
        body.update(self._membership(resource))
        if inputs.get("visibility"):
            body["visibility"] = inputs["visibility"]
        owners = [str(owner) for owner in inputs.get("owners") or []] or [self.graph.caller()]
        body["owners@odata.bind"] = [self.graph.reference(owner, "beta") for owner in owners[:20]]
        made = self.graph.call("POST", "/groups", body, api="beta", retry_if=_references_not_there_yet)
        object_id = str(made["id"])

        def members(path: str) -> None:
            for owner in owners[20:]:
                self.add(path, "owners", owner)
            for member in inputs.get("members") or []:
                self.add(path, "members", member)

        self.finish(resource, object_id, [members])
        return resource.rtype.id_format.format(id=object_id), _kept(resource)

    def update(self, resource: Resource) -> Properties:
        path = self.path(resource)
        self.refuse_duplicates(resource)
        inputs = resource.inputs
        body = {
            "@odata.type": "#microsoft.graph.group",
            "description": inputs.get("description") or None,
            "displayName": inputs["displayName"],
            "mailEnabled": bool(inputs.get("mailEnabled")),
            "securityEnabled": bool(inputs.get("securityEnabled")),
            **self._membership(resource),
        }
        if inputs.get("visibility") not in (None, resource.state.get("visibility")):
            body["visibility"] = inputs["visibility"]
        self.graph.call("PATCH", path, body, api="beta")
        self.sync(resource, path, "members")
        self.sync(resource, path, "owners")
        return _kept(resource)

    def read(self, resource: Resource) -> Properties | None:
        path = self.path(resource)
        found = self.graph.get(path, api="beta")
        if found is None:
            return None
        rule = found.get("membershipRule")
        dynamic = {"enabled": found.get("membershipRuleProcessingState") == "On", "rule": rule} if rule else None
        return {
            **from_wire(resource.rtype.props, found),
            **_kept(resource),
            "dynamicMembership": dynamic,
            "owners": self.owners(path),
            "members": self.owners(path, "members"),
            "visibility": found.get("visibility") or "",
            "theme": found.get("theme") or "",
            "preventDuplicateNames": _kept(resource).get("preventDuplicateNames") or False,
            "administrativeUnitIds": [],
            "autoSubscribeNewMembers": False,
            "externalSendersAllowed": False,
            "hideFromAddressLists": False,
            "hideFromOutlookClients": False,
            "onpremisesGroupType": "",
            "writebackEnabled": False,
        }

    def _membership(self, resource: Resource) -> Properties:
        dynamic = resource.inputs.get("dynamicMembership")
        if not isinstance(dynamic, Mapping):
            return {"membershipRule": None}
        state = "On" if dynamic.get("enabled") else "Paused"
        return {"membershipRule": dynamic.get("rule"), "membershipRuleProcessingState": state}


def _references_not_there_yet(error: ApiError) -> bool:
    return not_found(error) or (
        error.status == 400
        and (
            "does not exist or one of its queried reference-property objects are not present" in error.message
            or "Not a valid reference update" in error.message
        )
    )


class Password(Family):
    """Client secrets of an application or a service principal. The value is seen once, when it is made."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        owner = self._owner(resource.inputs)
        credential: Properties = {
            wire: value
            for name, wire in (
                ("displayName", "displayName"),
                ("startDate", "startDateTime"),
                ("endDate", "endDateTime"),
            )
            if (value := resource.inputs.get(name)) not in (None, "")
        }
        with self.graph.session.locked(_last(owner)):
            if self.graph.get(owner) is None:
                raise PluginError(f"{owner} was not found")
            made = self.graph.call("POST", f"{owner}/addPassword", {"passwordCredential": credential})
            key, value = made.get("keyId"), made.get("secretText")
            if not key or not value:
                raise PluginError(f"POST {owner}/addPassword: the answer has no keyId or no secretText")
            resource_id = resource.rtype.id_format.format(parent=_last(owner), key=key)
            kept = {**_kept(resource), "keyId": key, "value": value}
            try:
                self.graph.appear(lambda: self._find(owner, str(key)), f"password {key} of {owner}")
            except PluginError as error:
                raise Partial(str(error), resource_id, {**plain(resource.inputs), **kept}) from None
        return resource_id, kept

    def read(self, resource: Resource) -> Properties | None:
        parts = self.parse(resource)
        name = resource.rtype.settings["parent"]
        owner = f"{_PARENTS[name]}{parts['parent']}"
        found = self._find(owner, parts["key"])
        if found is None:
            return None
        kept = _kept(resource)
        return {
            **from_wire(resource.rtype.props, found),
            **kept,
            "displayName": found.get("displayName"),
            name: owner,
            "keyId": parts["key"],
            "value": kept.get("value"),
        }

    def delete(self, resource: Resource) -> None:
        parts = self.parse(resource)
        owner = f"{_PARENTS[resource.rtype.settings['parent']]}{parts['parent']}"
        with self.graph.session.locked(parts["parent"]):
            self.graph.call("POST", f"{owner}/removePassword", {"keyId": parts["key"]})
            self.graph.vanish(lambda: self._find(owner, parts["key"]) is not None, resource.id)

    def _owner(self, inputs: Mapping[str, Any]) -> str:
        return str(inputs.get("applicationId") or inputs.get("servicePrincipalId"))

    def _find(self, owner: str, key: str) -> Properties | None:
        found = self.graph.get(owner) or {}
        return next((item for item in found.get("passwordCredentials") or [] if _same(item.get("keyId"), key)), None)


_PARENTS = {"applicationId": "/applications/", "servicePrincipalId": "/servicePrincipals/"}


class Certificate(Family):
    """Certificates of an application or a service principal: entries of its list of key credentials."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        inputs = resource.inputs
        name = resource.rtype.settings["parent"]
        owner = str(inputs[name])
        key = str(inputs.get("keyId") or uuid.uuid4())
        credential: Properties = {
            "keyId": key,
            "type": inputs.get("type") or "",
            "usage": "Verify",
            "key": _certificate_key(str(inputs["value"]), str(inputs.get("encoding") or "pem")),
        }
        for input_name, wire in (("startDate", "startDateTime"), ("endDate", "endDateTime")):
            if inputs.get(input_name):
                credential[wire] = inputs[input_name]
        with self.graph.session.locked(_last(owner)):
            now = self._credentials(owner)
            if any(_same(item.get("keyId"), key) for item in now):
                raise PluginError(
                    f"{owner} already has a certificate with key id {key}: import it, or choose another key id"
                )
            self.graph.call("PATCH", owner, {"id": _last(owner), "keyCredentials": [*now, credential]})
            self.graph.appear(lambda: self._find(owner, key), f"certificate {key} of {owner}")
        return resource.rtype.id_format.format(parent=_last(owner), key=key), _kept(resource)

    def read(self, resource: Resource) -> Properties | None:
        parts = self.parse(resource)
        name = resource.rtype.settings["parent"]
        owner = f"{_PARENTS[name]}{parts['parent']}"
        found = self._find(owner, parts["key"])
        if found is None:
            return None
        return {
            **_kept(resource),
            name: owner,
            "keyId": parts["key"],
            "type": found.get("type") or "",
            "startDate": found.get("startDateTime") or "",
            "endDate": found.get("endDateTime") or "",
        }

    def delete(self, resource: Resource) -> None:
        parts = self.parse(resource)
        owner = f"{_PARENTS[resource.rtype.settings['parent']]}{parts['parent']}"
        with self.graph.session.locked(parts["parent"]):
            left = [item for item in self._credentials(owner) if not _same(item.get("keyId"), parts["key"])]
            self.graph.call("PATCH", owner, {"id": parts["parent"], "keyCredentials": left})
            self.graph.vanish(lambda: self._find(owner, parts["key"]) is not None, resource.id)

    def _credentials(self, owner: str) -> list[Properties]:
        found = self.graph.get(owner)
        if found is None:
            raise PluginError(f"{owner} was not found")
        return list(found.get("keyCredentials") or [])

    def _find(self, owner: str, key: str) -> Properties | None:
        found = self.graph.get(owner) or {}
        return next((item for item in found.get("keyCredentials") or [] if _same(item.get("keyId"), key)), None)


class FederatedCredential(Family):
    """Federated identity credentials of an application, plain (v1.0) and flexible (beta)."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        api = resource.rtype.settings["api"]
        parent = _last(str(resource.inputs["applicationId"]))
        with self.graph.session.locked(parent):
            self.application(parent)
            made = self.graph.call("POST", self._path(parent), self._body(resource), api=api)
            key = str(made.get("id") or "")
            if not key:
                raise PluginError(f"POST {self._path(parent)}: the answer names no id")
            self.graph.appear(lambda: self.graph.get(self._path(parent, key), api=api), f"federated credential {key}")
        return resource.rtype.id_format.format(parent=parent, key=key), {}

    def update(self, resource: Resource) -> Properties:
        parts = self.parse(resource)
        body = {"id": parts["key"], **self._body(resource)}
        with self.graph.session.locked(parts["parent"]):
            path = self._path(parts["parent"], parts["key"])
            self.graph.call("PATCH", path, body, api=resource.rtype.settings["api"])
        return {}

    def read(self, resource: Resource) -> Properties | None:
        parts = self.parse(resource)
        api = resource.rtype.settings["api"]
        found = self.graph.get(self._path(parts["parent"], parts["key"]), api=api)
        if found is None:
            return None
        read = {
            **from_wire(resource.rtype.props, found),
            "applicationId": f"/applications/{parts['parent']}",
            "credentialId": parts["key"],
        }
        if api == "beta":
            read["audience"] = next(iter(found.get("audiences") or []), "")
        return read

    def delete(self, resource: Resource) -> None:
        parts = self.parse(resource)
        api = resource.rtype.settings["api"]
        path = self._path(parts["parent"], parts["key"])
        with self.graph.session.locked(parts["parent"]):
            self.graph.call("DELETE", path, api=api)
            self.graph.vanish(lambda: self.graph.get(path, api=api) is not None, path)

    def _path(self, parent: str, key: str = "") -> str:
        path = f"/applications/{parent}/federatedIdentityCredentials"
        return f"{path}/{key}" if key else path

    def _body(self, resource: Resource) -> Properties:
        body = to_wire(resource.rtype.props, resource.inputs)
        if resource.rtype.settings["api"] == "beta":
            body["audiences"] = [resource.inputs["audience"]]
            body["claimsMatchingExpression"]["languageVersion"] = 1
        return body


class _Facet(Family):
    """One entry, or the whole, of a list that an application holds; changed by reading and patching the application."""

    def change(self, parent: str, change: Callable[[Properties], Properties]) -> None:
        with self.graph.session.locked(parent):
            self.graph.call("PATCH", f"/applications/{parent}", change(self.application(parent)))

    def look(self, parent: str) -> Properties | None:
        return self.graph.get(f"/applications/{parent}")


class IdentifierUri(_Facet):
    """One identifier URI of an application."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        parent, uri = _last(str(resource.inputs["applicationId"])), str(resource.inputs["identifierUri"])
        resource_id = resource.rtype.id_format.format(parent=parent, key=base64.b64encode(uri.encode()).decode())

        def change(app: Properties) -> Properties:
            now = list(app.get("identifierUris") or [])
            if uri in now:
                raise PluginError(f"the application has the identifier URI {uri!r} already: import {resource_id!r}")
            return {"identifierUris": [*now, uri]}

        self.change(parent, change)
        return resource_id, {}

    def read(self, resource: Resource) -> Properties | None:
        parts = self.parse(resource)
        app = self.look(parts["parent"])
        uri = self._uri(parts["key"])
        if app is None or uri not in (app.get("identifierUris") or []):
            return None
        return {"applicationId": f"/applications/{parts['parent']}", "identifierUri": uri}

    def delete(self, resource: Resource) -> None:
        parts = self.parse(resource)
        uri = self._uri(parts["key"])

        def change(app: Properties) -> Properties:
            now = list(app.get("identifierUris") or [])
            if uri not in now:
                raise PluginError(f"deleting {resource.id}: the application has no identifier URI {uri!r}")
            return {"identifierUris": [item for item in now if item != uri]}

        self.change(parts["parent"], change)

    def _uri(self, key: str) -> str:
        try:
            return base64.b64decode(key, validate=True).decode()
        except ValueError:
            raise PluginError(f"{key!r} is not an identifier URI in base64") from None


class PreAuthorized(_Facet):
    """One client that an application's API trusts without consent."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        parent, client = _last(str(resource.inputs["applicationId"])), str(resource.inputs["authorizedClientId"])
        resource_id = resource.rtype.id_format.format(parent=parent, key=client)

        def change(app: Properties) -> Properties:
            now = self._entries(app)
            if any(_same(item.get("appId"), client) for item in now):
                raise PluginError(f"the application pre-authorizes {client} already: import {resource_id!r}")
            return self._body([*now, self._entry(resource)])

        self.change(parent, change)
        return resource_id, {}

    def update(self, resource: Resource) -> Properties:
        parts = self.parse(resource)

        def change(app: Properties) -> Properties:
            now = self._entries(app)
            if not any(_same(item.get("appId"), parts["key"]) for item in now):
                raise PluginError(f"the application does not pre-authorize {parts['key']}")
            return self._body(
                [self._entry(resource) if _same(item.get("appId"), parts["key"]) else item for item in now]
            )

        self.change(parts["parent"], change)
        return {}

    def read(self, resource: Resource) -> Properties | None:
        parts = self.parse(resource)
        app = self.look(parts["parent"])
        found = next((item for item in self._entries(app or {}) if _same(item.get("appId"), parts["key"])), None)
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
            lambda app: self._body([item for item in self._entries(app) if not _same(item.get("appId"), parts["key"])]),
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
        parent = _last(str(resource.inputs["applicationId"]))
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


class Reference(Family):
    """One entry of a list of links: an owner of an application, a member of a group or of a directory role."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        settings = resource.rtype.settings
        parent = str(resource.inputs.get(settings["parent"]) or "").removeprefix(settings["parent_prefix"])
        member = str(resource.inputs.get(settings["member"]) or "")
        path = f"/{settings['collection']}/{parent}"
        resource_id = resource.rtype.id_format.format(parent=parent, key=member)
        with self.graph.session.locked(parent):
            if self.graph.get(path, api=settings["api"]) is None:
                raise PluginError(f"{path} was not found")
            if self._find(path, member, settings) is not None:
                raise PluginError(
                    f'A resource with the ID "{resource_id}" already exists. To be managed via Pulumi, this resource needs to '
                    f"be imported: in a program with import_={resource_id!r}"
                )
            link = {"@odata.id": self.graph.reference(member, settings["api"])}
            self.graph.call("POST", f"{path}/{settings['list']}/$ref", link, api=settings["api"], retry_if=not_found)
            self.graph.appear(lambda: self._find(path, member, settings), f"{resource_id}")
        return resource_id, {}

    def read(self, resource: Resource) -> Properties | None:
        settings = resource.rtype.settings
        parts = self.parse(resource)
        try:
            found = self._find(f"/{settings['collection']}/{parts['parent']}", parts["key"], settings)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        if found is None:
            return None
        return {settings["parent"]: settings["parent_prefix"] + parts["parent"], settings["member"]: parts["key"]}

    def delete(self, resource: Resource) -> None:
        settings = resource.rtype.settings
        parts = self.parse(resource)
        path = f"/{settings['collection']}/{parts['parent']}"
        with self.graph.session.locked(parts["parent"]):
            self.graph.call("DELETE", f"{path}/{settings['list']}/{parts['key']}/$ref", api=settings["api"])
            self.graph.vanish(lambda: self._find(path, parts["key"], settings) is not None, resource.id)

    def _find(self, path: str, member: str, settings: Mapping[str, Any]) -> Properties | None:
        listed = self.graph.listed(f"{path}/{settings['list']}", api=settings["api"], params=matching("id", member))
        return next((item for item in listed if _same(item.get("id"), member)), None)


class AppRoleAssignment(Family):
    """Consent to an application permission: an app role of a resource, given to a principal."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        parent = str(resource.inputs["resourceObjectId"])
        if self.graph.get(f"/servicePrincipals/{parent}") is None:
            raise PluginError(f'Service principal not found for resource (Object ID: "{parent}")')
        body = {
            "@odata.type": "#microsoft.graph.appRoleAssignment",
            **to_wire(resource.rtype.props, resource.inputs),
        }
        path = f"/servicePrincipals/{parent}/appRoleAssignedTo"
        made = self.graph.call("POST", path, body, retry_if=_references_not_there_yet)
        return resource.rtype.id_format.format(parent=made["resourceId"], key=made["id"]), {}

    def read(self, resource: Resource) -> Properties | None:
        found = self.graph.get(self._path(resource))
        return None if found is None else from_wire(resource.rtype.props, found)

    def delete(self, resource: Resource) -> None:
        self.graph.call("DELETE", self._path(resource))

    def _path(self, resource: Resource) -> str:
        parts = self.parse(resource)
        return f"/servicePrincipals/{parts['parent']}/appRoleAssignedTo/{parts['key']}"


class DelegatedGrant(Family):
    """Consent to delegated permissions, for all users or for one."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        for name in ("servicePrincipalObjectId", "resourceServicePrincipalObjectId"):
            if self.graph.get(f"/servicePrincipals/{resource.inputs[name]}") is None:
                raise PluginError(f"service principal {resource.inputs[name]} ({name}) was not found")
        body = to_wire(resource.rtype.props, resource.inputs)
        body["@odata.type"] = "#microsoft.graph.oAuth2PermissionGrant"
        body["consentType"] = "Principal" if resource.inputs.get("userObjectId") else "AllPrincipals"
        made = self.graph.call("POST", "/oauth2PermissionGrants", body, retry_if=_references_not_there_yet)
        return resource.rtype.id_format.format(key=made["id"]), {}

    def update(self, resource: Resource) -> Properties:
        scope = " ".join(resource.inputs["claimValues"])
        self.graph.call("PATCH", self._path(resource), {"scope": scope})
        return {}

    def read(self, resource: Resource) -> Properties | None:
        found = self.graph.get(self._path(resource))
        return None if found is None else from_wire(resource.rtype.props, found)

    def delete(self, resource: Resource) -> None:
        self.graph.call("DELETE", self._path(resource))

    def _path(self, resource: Resource) -> str:
        return f"/oauth2PermissionGrants/{self.parse(resource)['key']}"


class DirectoryRole(Family):
    """Directory roles, which are activated from a template and never deactivated."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        template = self._template(resource.inputs)
        found = self.graph.listed("/directoryRoles", params=matching("roleTemplateId", template))
        role = found[0] if found else self.graph.call("POST", "/directoryRoles", {"roleTemplateId": template})
        return resource.rtype.id_format.format(id=role["id"]), {}

    def read(self, resource: Resource) -> Properties | None:
        found = self.graph.get(f"/directoryRoles/{self.parse(resource)['id']}")
        return None if found is None else from_wire(resource.rtype.props, found)

    def delete(self, resource: Resource) -> None:
        """Nothing: a directory role cannot be deactivated."""

    def _template(self, inputs: Mapping[str, Any]) -> str:
        name = inputs.get("displayName")
        if not name:
            template = str(inputs["templateId"])
            if self.graph.get(f"/directoryRoleTemplates/{template}") is None:
                raise PluginError(f'no directory role template with object ID "{template}" was found')
            return template
        for found in self.graph.listed("/directoryRoleTemplates"):
            if str(found.get("displayName")).casefold() == str(name).casefold():
                return str(found["id"])
        raise PluginError(f"no directory role template named {name!r} was found")


class DirectoryRoleAssignment(Family):
    """A directory role given to a principal, in the whole directory or a part of it."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        body = {
            "principalId": resource.inputs["principalObjectId"],
            "roleDefinitionId": resource.inputs["roleId"],
        }
        if resource.inputs.get("appScopeId"):
            body["appScopeId"] = resource.inputs["appScopeId"]
        else:
            body["directoryScopeId"] = resource.inputs.get("directoryScopeId") or "/"
        made = self.graph.call("POST", "/roleManagement/directory/roleAssignments", body)
        resource_id = resource.rtype.id_format.format(key=made["id"])
        self.graph.appear(lambda: self.graph.get(resource_id), resource_id)
        return resource_id, {}

    def read(self, resource: Resource) -> Properties | None:
        self.parse(resource)
        found = self.graph.get(resource.id)
        return None if found is None else from_wire(resource.rtype.props, found)

    def delete(self, resource: Resource) -> None:
        self.parse(resource)
        self.graph.call("DELETE", resource.id)


FAMILIES: dict[str, type[Family]] = {
    "application": Application,
    "registration": Registration,
    "service principal": ServicePrincipal,
    "group": Group,
    "password": Password,
    "certificate": Certificate,
    "federated credential": FederatedCredential,
    "identifier uri": IdentifierUri,
    "pre-authorized": PreAuthorized,
    "known clients": KnownClients,
    "reference": Reference,
    "app role assignment": AppRoleAssignment,
    "delegated grant": DelegatedGrant,
    "directory role": DirectoryRole,
    "directory role assignment": DirectoryRoleAssignment,
}


# Helpers


def _same(one: Any, other: str) -> bool:
    return isinstance(one, str) and one.casefold() == other.casefold()


def plain(inputs: Mapping[str, Any]) -> Properties:
    return {name: value for name, value in inputs.items() if not name.startswith("__")}


def _kept(resource: Resource) -> Properties:
    """The properties no service stores: inputs as the program gives them, so that one left out goes; the rest from the state."""
    kept = {}
    for name, prop in resource.rtype.props.items():
        if prop.wire or (prop.computed and prop.is_input) or (prop.output_only and not prop.secret):
            continue
        source = resource.inputs if resource.inputs and prop.is_input else resource.state
        value = source.get(name)
        if value is None and prop.default is not None:
            value = prop.default
        kept[name] = value
    return kept


def _tags(resource: Resource) -> list[str]:
    """The tags to send: from feature tags when those were set and changed, else the tags."""
    for name, expand in (("featureTags", _expand_features), ("features", _expand_old_features)):
        prop = resource.rtype.props.get(name)
        wanted = resource.inputs.get(name)
        if prop and wanted and canonical(prop, wanted) != canonical(prop, resource.state.get(name)):
            return expand(wanted[0])
    tags = resource.inputs.get("tags")
    return list(resource.state.get("tags") or [] if tags is None else tags)


def _expand_features(features: Mapping[str, Any]) -> list[str]:
    return [tag for name, tag in _FEATURE_TAGS.items() if features.get(name)]


def _expand_old_features(features: Mapping[str, Any]) -> list[str]:
    named = {new: features.get(old) for old, new in _OLD_FEATURES.items()}
    return _expand_features({**named, "hide": features.get("visibleToUsers") is False})


def features_of(tags: Any) -> Properties:
    present = {str(tag).casefold() for tag in tags or []}
    return {name: tag.casefold() in present for name, tag in _FEATURE_TAGS.items()}


def ids_by_value(items: Any) -> dict[str, str]:
    return {item["value"]: item["id"] for item in items or [] if item.get("value") and item.get("id")}


def service_principal_extras(found: Properties, beta: Properties) -> Properties:
    features = features_of(found.get("tags"))
    old = {name: features[new] for name, new in _OLD_FEATURES.items()}
    names = [name for name in found.get("servicePrincipalNames") or [] if not _same(name, str(found.get("appId")))]
    return {
        "appRoleIds": ids_by_value(found.get("appRoles")),
        "featureTags": [features],
        "features": [{**old, "visibleToUsers": not features["hide"]}],
        "oauth2PermissionScopeIds": ids_by_value(found.get("oauth2PermissionScopes")),
        "samlMetadataUrl": beta.get("samlMetadataUrl") or "",
        "servicePrincipalNames": names,
    }


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


def _certificate_key(value: str, encoding: str) -> str:
    """A certificate as Graph takes it from the azuread plugin: base64 of the PEM text."""
    try:
        if encoding == "pem":
            pem = value.encode()
        else:
            text = value.strip()
            der = base64.b64decode(text, validate=True) if encoding == "base64" else bytes.fromhex(text)
            body = base64.encodebytes(der).decode().replace("\n", "")
            lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
            pem = f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n".encode()
    except (binascii.Error, ValueError):
        raise PluginError(f"value: the certificate is not {encoding}") from None
    return base64.b64encode(pem).decode()
