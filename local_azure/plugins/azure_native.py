"""The azure-native stand-in: resource types and functions over Azure Resource Manager, from one table.

Behaviour of pulumi-azure-native 3.29: a resource is created only where none is (one GET first), written with PUT and
read back; inputs are compared with inputs; what is in the resource's path replaces it; a replacement deletes first
unless the plugin chose the name.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Collection, Mapping
from itertools import zip_longest
from typing import Any
from urllib.parse import quote, urljoin

import requests

from local_azure.plugins.azure_native_types import ARM, TYPES, Arm
from local_azure.plugins.schema import DEFAULTS, Change, Prop, ResourceType, check
from local_azure.plugins.server import Checked, Partial, Read, Resource
from local_azure.plugins.session import ApiError, PluginError, Session
from local_azure.plugins.values import UNKNOWN, Properties

_CREATE_BEFORE_DELETE = "__createBeforeDelete"
_API_VERSION = "azureApiVersion"


class AzureNative:
    """The azure-native plugin."""

    name = "azure-native"
    types: Mapping[str, ResourceType] = TYPES
    config_names: Collection[str] = (
        "auxiliaryTenantIds", "clientCertificatePassword", "clientCertificatePath", "clientId", "clientSecret",
        "disableInstanceDiscovery", "disablePulumiPartnerId", "environment", "location", "metadataHost", "msiEndpoint",
        "oidcAudience", "oidcRequestToken", "oidcRequestUrl", "oidcToken", "oidcTokenFilePath", "partnerId",
        "skipReadOnUpdate", "subscriptionId", "tenantId", "useDefaultAzureCredential", "useMsi", "useOidc",
    )  # fmt: skip

    def __init__(self, version: str) -> None:
        self.version = version
        self._session: Session | None = None
        self._location = ""
        self.functions: Mapping[str, Callable[[Mapping[str, Any]], Properties]] = {
            "azure-native:authorization:getClientConfig": self._client_config,
            "azure-native:authorization:getClientToken": self._client_token,
            "azure-native:authorization:getRoleAssignment": self._getter("azure-native:authorization:RoleAssignment"),
            "azure-native:authorization:getRoleDefinition": self._getter("azure-native:authorization:RoleDefinition"),
            "azure-native:keyvault:getSecret": self._getter("azure-native:keyvault:Secret"),
            "azure-native:resources:getResourceGroup": self._getter("azure-native:resources:ResourceGroup"),
        }

    @property
    def session(self) -> Session:
        """The signed-in session; raises `PluginError` before the plugin is configured."""
        if self._session is None:
            raise PluginError("the azure-native plugin is not configured")
        return self._session

    def configure(self, session: Session) -> None:
        """Use ``session`` from now on."""
        settings = session.settings
        if not settings.disable_instance_discovery:
            raise PluginError(
                f"azure-native would ask login.microsoftonline.com whether {settings.metadata_host} is an authority it knows; "
                f"set ARM_DISABLE_INSTANCE_DISCOVERY=true (or azure-native:disableInstanceDiscovery) for a local Azure"
            )
        if not settings.subscription_id:
            raise PluginError("azure-native: ARM_SUBSCRIPTION_ID (or azure-native:subscriptionId) must be set")
        self._session = session

    # Resources

    def check(self, resource: Resource, old: Mapping[str, Any], seed: bytes) -> Checked:
        """Names and API version filled in, and mistakes."""
        arm = ARM[resource.rtype.token]
        news = {name: value for name, value in resource.inputs.items() if value is not None}
        version = news.pop(_API_VERSION, arm.api_version)
        flag = news.pop(_CREATE_BEFORE_DELETE, None)
        if arm.name_input not in news:
            if old.get(arm.name_input):
                news[arm.name_input] = old[arm.name_input]
                flag = old.get(_CREATE_BEFORE_DELETE)
            else:
                news[arm.name_input] = _name(arm, resource.name, seed)
                flag = True
        checked, problems = check(resource.rtype, news)
        checked = _without_defaults(checked)
        problems = [(path, _wording(path, sentence)) for path, sentence in problems]
        checked[_API_VERSION] = version
        if flag is True:
            checked[_CREATE_BEFORE_DELETE] = True
        return Checked(checked, problems)

    def diff(self, resource: Resource, old_inputs: Mapping[str, Any]) -> tuple[dict[str, Change], bool]:
        """What changed between the inputs of then and now; a replacement deletes first unless the name was made up."""
        old, new = dict(old_inputs), dict(resource.inputs)
        changes: dict[str, Change] = {}
        for name, prop in resource.rtype.inputs().items():
            changes.update(_difference(old.get(name), new.get(name), name, prop.force_new))
        old_place, new_place = old.get("location"), new.get("location")
        if isinstance(old_place, str) and isinstance(new_place, str) and _squeezed(old_place) == _squeezed(new_place):
            changes.pop("location", None)
        return changes, old.get(_CREATE_BEFORE_DELETE) is not True

    def preview(self, resource: Resource) -> Properties:
        """The inputs, and unknown for all the service decides."""
        planned: Properties = {}
        for name, prop in resource.rtype.props.items():
            if name in resource.inputs and (prop.wire or name == "scope"):
                planned[name] = resource.inputs[name]
            elif prop.wire:
                planned[name] = UNKNOWN
        for name in ("name", "location"):
            if name in resource.state:
                planned[name] = resource.state[name]
        planned[_API_VERSION] = ARM[resource.rtype.token].api_version
        return planned

    def create(self, resource: Resource) -> tuple[str, Properties]:
        """Make it where nothing is yet."""
        path = self._path(resource.rtype, resource.inputs)
        self._must_not_exist(resource.rtype, path)
        body = self._body(resource)
        made = self._put(resource.rtype, path, body)
        resource_id = str(made.get("id") or path)
        return resource_id, self._read_back(resource, resource_id, made)

    def update(self, resource: Resource, old_inputs: Mapping[str, Any]) -> Properties:
        """Write all of it anew."""
        path = self._path(resource.rtype, resource.inputs)
        return self._read_back(resource, resource.id, self._put(resource.rtype, path, self._body(resource)))

    def read(self, resource: Resource) -> Read | None:
        """Read it: a refresh when there are inputs, else an import."""
        body = self._get(resource.rtype, resource.id)
        if body is None:
            return None
        state = self._outputs(resource.rtype, body)
        if resource.inputs:
            return Read(resource.id, state, _refreshed(resource, state))
        inputs = {
            name: _significant(state[name])
            for name, prop in resource.rtype.inputs().items()
            if prop.wire and _significant(state.get(name)) is not None
        }
        inputs.update(self._path_inputs(resource.rtype, resource.id))
        return Read(resource.id, state, inputs)

    def delete(self, resource: Resource) -> None:
        """Remove it; it being gone already is fine."""
        if resource.rtype.token == "azure-native:keyvault:Secret":
            # The real plugin asks NAME.vault.azure.net, whatever the metadata host says of the cloud.
            raise PluginError(
                f"{resource.id}: secrets of a vault are deleted by its data plane, which is not this one's"
            )
        try:
            response = self._call("DELETE", resource.rtype, resource.id, accept=(200, 202, 204))
        except ApiError as error:
            if error.status == 404:
                return
            raise
        if response.status_code == 202:
            self._poll(response, resource.id)

    # Azure Resource Manager

    def _call(
        self, method: str, rtype: ResourceType, path: str, *, accept: tuple[int, ...] = (200,), body: Any = None
    ) -> requests.Response:
        return self.session.request(
            method,
            self.session.cloud.resource_manager + path,
            audience=self.session.cloud.audience,
            params={"api-version": ARM[rtype.token].api_version},
            accept=accept,
            body=body,
            retry_if=lambda error: error.status == 409 and error.code == "AnotherOperationInProgress",
        )

    def _must_not_exist(self, rtype: ResourceType, path: str) -> None:
        try:
            found = self._call("GET", rtype, path, accept=(200, 204, 404))
        except ApiError as error:
            raise PluginError(
                f"cannot check existence of resource '{path}': status code {error.status}, {error.code}: {error.message}"
            ) from None
        if found.status_code == 200 and _json(found):
            raise PluginError(f"cannot create already existing resource '{path}'")

    def _get(self, rtype: ResourceType, path: str) -> Properties | None:
        try:
            return _json(self._call("GET", rtype, path))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _put(self, rtype: ResourceType, path: str, body: Properties) -> Properties:
        response = self._call("PUT", rtype, path, accept=(200, 201, 202), body=body)
        if response.status_code == 202 or "Azure-AsyncOperation" in response.headers:
            self._poll(response, path)
            return self._get(rtype, path) or {}
        return _json(response)

    def _poll(self, response: requests.Response, path: str) -> None:
        """Follow a long-running operation until it is done. Source: ARM's asynchronous operations."""
        session = self.session
        link = response.headers.get("Azure-AsyncOperation") or response.headers.get("Location")
        if not link:
            raise PluginError(f"{path}: the service answered 202 without saying where to ask for the outcome")
        link = urljoin(session.cloud.resource_manager, link)
        if not link.startswith(f"{session.cloud.resource_manager}/"):
            raise PluginError(f"{path}: the service names another host for the outcome: {link}")
        while True:
            answer = session.request("GET", link, audience=session.cloud.audience, accept=(200, 202, 204))
            status = str(_json(answer).get("status", "Succeeded")) if answer.status_code == 200 else ""
            if answer.status_code == 204 or status == "Succeeded":
                return
            if status in ("Failed", "Canceled"):
                error = _json(answer).get("error") or {}
                raise PluginError(f"{path}: {status}: {error.get('code', '')}: {error.get('message', '')}")
            try:
                session.wait(float(answer.headers.get("Retry-After", 1)))
            except ValueError:
                session.wait(1)

    def _path(self, rtype: ResourceType, inputs: Mapping[str, Any]) -> str:
        arm = ARM[rtype.token]
        path = arm.path.replace("{subscriptionId}", quote(self.session.settings.subscription_id, safe=""))
        for name in arm.path_inputs:
            value = str(inputs[name])
            part = value.strip("/") if name == "scope" else quote(value, safe="")
            path = path.replace(f"{{{name}}}", part)
        return re.sub("^//+", "/", path)

    def _path_inputs(self, rtype: ResourceType, resource_id: str) -> Properties:
        arm = ARM[rtype.token]
        pattern = re.escape(arm.path)
        for name in (*arm.path_inputs, "subscriptionId"):
            value = f"(?P<{name}>.*)" if name == "scope" else f"(?P<{name}>[^/]+)"
            pattern = pattern.replace(re.escape(f"{{{name}}}"), value)
        pattern = pattern.replace("/(?P<scope>.*)/", "/?(?P<scope>.*)/")
        match = re.fullmatch(pattern, resource_id, re.IGNORECASE)
        if not match:
            raise PluginError(f"{resource_id!r} is not the id of a {rtype.token}: it must look like {arm.path}")
        return {name: match[name] for name in arm.path_inputs}

    def _body(self, resource: Resource) -> Properties:
        body: Properties = {}
        for name, prop in resource.rtype.inputs().items():
            value = resource.inputs.get(name)
            if prop.wire and value is not None:
                _put_at(body, prop.wire, _wire_value(prop, value))
        return body

    def _outputs(self, rtype: ResourceType, body: Mapping[str, Any]) -> Properties:
        state = _present(rtype.props, body)
        if isinstance(scope := (body.get("properties") or {}).get("scope"), str) and "scope" in rtype.props:
            state["scope"] = scope
        state[_API_VERSION] = ARM[rtype.token].api_version
        return state

    def _read_back(self, resource: Resource, resource_id: str, made: Properties) -> Properties:
        try:
            body = self._get(resource.rtype, resource_id)
        except PluginError as error:
            raise Partial(str(error), resource_id, self._outputs(resource.rtype, made)) from None
        return self._outputs(resource.rtype, body or made)

    # Functions

    def _client_config(self, arguments: Mapping[str, Any]) -> Properties:
        settings = self.session.settings
        claims = self.session.claims(self.session.cloud.graph)
        return {
            "clientId": str(claims.get("appid") or settings.client_id),
            "objectId": str(claims.get("oid") or ""),
            "subscriptionId": settings.subscription_id,
            "tenantId": str(claims.get("tid") or settings.tenant_id),
        }

    def _client_token(self, arguments: Mapping[str, Any]) -> Properties:
        endpoint = str(arguments.get("endpoint") or f"{self.session.cloud.resource_manager}/")
        return {"token": self.session.token(endpoint)}

    def _getter(self, token: str) -> Callable[[Mapping[str, Any]], Properties]:
        rtype = TYPES[token]
        arm = ARM[token]

        def get(arguments: Mapping[str, Any]) -> Properties:
            missing = [name for name in arm.path_inputs if arguments.get(name) is None]
            if missing:
                raise PluginError(f"missing required argument {missing[0]!r}")
            path = self._path(rtype, arguments)
            body = self._get(rtype, path)
            if body is None:
                raise PluginError(f"request failed {path}: 404: there is no such resource")
            return {**self._outputs(rtype, body), "id": str(body.get("id") or path)}

        return get


# Helpers


def _json(response: requests.Response) -> Properties:
    if not response.content:
        return {}
    try:
        document = response.json()
    except ValueError:
        raise PluginError(f"{response.request.method} {response.url}: the answer is not JSON") from None
    return document if isinstance(document, dict) else {}


def _name(arm: Arm, name: str, seed: bytes) -> str:
    """A name nobody else has, the same for the same ``seed``, so that a preview and its update agree."""
    digest = hashlib.sha256(seed + name.encode()).hexdigest() if seed else uuid.uuid4().hex
    return str(uuid.UUID(digest[:32])) if arm.naming == "uuid" else f"{name}{digest[:8]}"


def _wording(path: str, sentence: str) -> str:
    if sentence.startswith("is required"):
        hint = "; set it, or configure azure-native:location" if path == "location" else ""
        return f"missing required property '{path}'{hint}"
    return sentence


def _difference(old: Any, new: Any, path: str, replace: bool) -> dict[str, Change]:
    """What differs between two inputs; unlike azuread, an empty value is not the same as none."""
    if old == new:
        return {}
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        pairs = [(f"{path}.{name}", old.get(name), new.get(name)) for name in sorted({*old, *new})]
    elif isinstance(old, list) and isinstance(new, list):
        padded = zip_longest(old, new)
        pairs = [(f"{path}[{index}]", *pair) for index, pair in enumerate(padded)]
    elif old is None:
        return {path: Change("add", replace)}
    elif new is None:
        return {path: Change("delete", replace)}
    else:
        return {path: Change("update", replace)}
    changes: dict[str, Change] = {}
    for nested, before, after in pairs:
        changes.update(_difference(before, after, nested, replace))
    return changes


def _significant(value: Any) -> Any:
    """``value`` without what is empty, false or zero, as an import leaves those out; None when nothing is left."""
    if isinstance(value, Mapping):
        kept = {name: _significant(item) for name, item in value.items()}
        return {name: item for name, item in kept.items() if item is not None} or None
    if isinstance(value, list):
        return [_significant(item) for item in value] or None
    return value or None


def _squeezed(location: str) -> str:
    return location.replace(" ", "").lower()


def _without_defaults(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_defaults(item) for name, item in value.items() if name != DEFAULTS}
    if isinstance(value, list):
        return [_without_defaults(item) for item in value]
    return value


def _wire_value(prop: Prop, value: Any) -> Any:
    if prop.kind == "object":
        return {item.wire: _wire_value(item, value[name]) for name, item in prop.fields.items() if name in value}
    if prop.kind == "list" and prop.each is not None:
        return [_wire_value(prop.each, item) for item in value]
    return value


def _put_at(body: Properties, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        body = body.setdefault(parent, {})
    body[last] = value


def _present(props: Mapping[str, Prop], body: Mapping[str, Any]) -> Properties:
    """The properties that ``body`` shows, without those it leaves out or that are null."""
    shown: Properties = {}
    for name, prop in props.items():
        value: Any = body
        for part in prop.wire.split(".") if prop.wire else ():
            value = value.get(part) if isinstance(value, Mapping) else None
        if prop.wire and value is not None:
            shown[name] = _present_value(prop, value)
    return shown


def _present_value(prop: Prop, value: Any) -> Any:
    if prop.kind == "object" and isinstance(value, Mapping):
        return _present(prop.fields, value)
    if prop.kind == "list" and prop.each is not None and isinstance(value, list):
        return [_present_value(prop.each, item) for item in value]
    return value


def _refreshed(resource: Resource, state: Mapping[str, Any]) -> Properties:
    """The inputs, with what changed in the service since it was last read."""
    inputs = dict(resource.inputs)
    for name, prop in resource.rtype.inputs().items():
        if not prop.wire or resource.state.get(name) == state.get(name):
            continue
        if name in state:
            inputs[name] = state[name]
        else:
            inputs.pop(name, None)
    return inputs
