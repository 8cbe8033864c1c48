"""Service principals."""

from __future__ import annotations

from local_azure.plugins.families.base import (
    OLD_FEATURES,
    Entity,
    body_of,
    features_of,
    ids_by_value,
    remembered,
    same,
)
from local_azure.plugins.graph import matching
from local_azure.plugins.server import Resource
from local_azure.plugins.session import ApiError, PluginError
from local_azure.plugins.values import Properties
from local_azure.plugins.wire import from_wire


class ServicePrincipal(Entity):
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
        body = {"@odata.type": "#microsoft.graph.servicePrincipal", **body_of(resource)}
        object_id = self.make(resource, body, _application_not_there_yet)
        self.finish(resource, object_id, [self.settle_owners(resource)])
        return resource.rtype.id_format.format(id=object_id), remembered(resource)

    def update(self, resource: Resource) -> Properties:
        path = self.path(resource)
        body = {"@odata.type": "#microsoft.graph.servicePrincipal", **body_of(resource)}
        del body["appId"]
        self.graph.call("PATCH", path, body)
        self.sync(resource, path, "owners")
        return remembered(resource)

    def read(self, resource: Resource) -> Properties | None:
        path = self.path(resource)
        found = self.graph.get(path)
        if found is None:
            return None
        beta = self.graph.call("GET", path, api="beta", params={"$select": "samlMetadataUrl"})
        return {
            **from_wire(resource.rtype.props, found),
            **remembered(resource),
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


def _application_not_there_yet(error: ApiError) -> bool:
    return (error.status == 400 and "does not reference a valid application object" in error.message) or (
        error.status == 403 and error.message.startswith("When using this permission, the backing application")
    )


def service_principal_extras(found: Properties, beta: Properties) -> Properties:
    features = features_of(found.get("tags"))
    old = {name: features[new] for name, new in OLD_FEATURES.items()}
    names = [name for name in found.get("servicePrincipalNames") or [] if not same(name, str(found.get("appId")))]
    return {
        "appRoleIds": ids_by_value(found.get("appRoles")),
        "featureTags": [features],
        "features": [{**old, "visibleToUsers": not features["hide"]}],
        "oauth2PermissionScopeIds": ids_by_value(found.get("oauth2PermissionScopes")),
        "samlMetadataUrl": beta.get("samlMetadataUrl") or "",
        "servicePrincipalNames": names,
    }
