"""Client secrets, certificates and federated credentials of an application."""

from __future__ import annotations

import base64
import binascii
import uuid

from local_azure.plugins.families.base import (
    Family,
    last,
    plain,
    remembered,
    same,
)
from local_azure.plugins.server import Partial, Resource
from local_azure.plugins.session import PluginError
from local_azure.plugins.values import Properties
from local_azure.plugins.wire import from_wire, to_wire


class Password(Family):
    """Client secrets of an application. The value is seen once, when it is made."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        owner = str(resource.inputs["applicationId"])
        credential: Properties = {
            wire: value
            for name, wire in (
                ("displayName", "displayName"),
                ("startDate", "startDateTime"),
                ("endDate", "endDateTime"),
            )
            if (value := resource.inputs.get(name)) not in (None, "")
        }
        with self.graph.session.locked(last(owner)):
            if self.graph.get(owner) is None:
                raise PluginError(f"{owner} was not found")
            made = self.graph.call("POST", f"{owner}/addPassword", {"passwordCredential": credential})
            key, value = made.get("keyId"), made.get("secretText")
            if not key or not value:
                raise PluginError(f"POST {owner}/addPassword: the answer has no keyId or no secretText")
            resource_id = resource.rtype.id_format.format(parent=last(owner), key=key)
            kept = {**remembered(resource), "keyId": key, "value": value}
            try:
                self.graph.appear(lambda: self._find(owner, str(key)), f"password {key} of {owner}")
            except PluginError as error:
                raise Partial(str(error), resource_id, {**plain(resource.inputs), **kept}) from None
        return resource_id, kept

    def read(self, resource: Resource) -> Properties | None:
        parts = self.parse(resource)
        owner = f"/applications/{parts['parent']}"
        found = self._find(owner, parts["key"])
        if found is None:
            return None
        kept = remembered(resource)
        return {
            **from_wire(resource.rtype.props, found),
            **kept,
            "displayName": found.get("displayName"),
            "applicationId": owner,
            "keyId": parts["key"],
            "value": kept.get("value"),
        }

    def delete(self, resource: Resource) -> None:
        parts = self.parse(resource)
        owner = f"/applications/{parts['parent']}"
        with self.graph.session.locked(parts["parent"]):
            self.graph.call("POST", f"{owner}/removePassword", {"keyId": parts["key"]})
            self.graph.vanish(lambda: self._find(owner, parts["key"]) is not None, resource.id)

    def _find(self, owner: str, key: str) -> Properties | None:
        found = self.graph.get(owner) or {}
        return next((item for item in found.get("passwordCredentials") or [] if same(item.get("keyId"), key)), None)


class Certificate(Family):
    """Certificates of an application: entries of its list of key credentials."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        inputs = resource.inputs
        owner = str(inputs["applicationId"])
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
        with self.graph.session.locked(last(owner)):
            now = self._credentials(owner)
            if any(same(item.get("keyId"), key) for item in now):
                raise PluginError(
                    f"{owner} already has a certificate with key id {key}: import it, or choose another key id"
                )
            self.graph.call("PATCH", owner, {"id": last(owner), "keyCredentials": [*now, credential]})
            self.graph.appear(lambda: self._find(owner, key), f"certificate {key} of {owner}")
        return resource.rtype.id_format.format(parent=last(owner), key=key), remembered(resource)

    def read(self, resource: Resource) -> Properties | None:
        parts = self.parse(resource)
        owner = f"/applications/{parts['parent']}"
        found = self._find(owner, parts["key"])
        if found is None:
            return None
        return {
            **remembered(resource),
            "applicationId": owner,
            "keyId": parts["key"],
            "type": found.get("type") or "",
            "startDate": found.get("startDateTime") or "",
            "endDate": found.get("endDateTime") or "",
        }

    def delete(self, resource: Resource) -> None:
        parts = self.parse(resource)
        owner = f"/applications/{parts['parent']}"
        with self.graph.session.locked(parts["parent"]):
            left = [item for item in self._credentials(owner) if not same(item.get("keyId"), parts["key"])]
            self.graph.call("PATCH", owner, {"id": parts["parent"], "keyCredentials": left})
            self.graph.vanish(lambda: self._find(owner, parts["key"]) is not None, resource.id)

    def _credentials(self, owner: str) -> list[Properties]:
        found = self.graph.get(owner)
        if found is None:
            raise PluginError(f"{owner} was not found")
        return list(found.get("keyCredentials") or [])

    def _find(self, owner: str, key: str) -> Properties | None:
        found = self.graph.get(owner) or {}
        return next((item for item in found.get("keyCredentials") or [] if same(item.get("keyId"), key)), None)


class FederatedCredential(Family):
    """Federated identity credentials of an application, plain (v1.0) and flexible (beta)."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        api = resource.rtype.settings["api"]
        parent = last(str(resource.inputs["applicationId"]))
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
