"""What a principal is given: membership, permissions, directory roles."""

from __future__ import annotations

from local_azure.plugins.families.base import (
    Family,
    Grant,
    references_not_there_yet,
    same,
)
from local_azure.plugins.graph import matching, not_found
from local_azure.plugins.server import Resource
from local_azure.plugins.session import ApiError, PluginError
from local_azure.plugins.values import Properties
from local_azure.plugins.wire import to_wire


class GroupMember(Family):
    """A member of a group."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        group, member = str(resource.inputs["groupObjectId"]), str(resource.inputs["memberObjectId"])
        resource_id = resource.rtype.id_format.format(parent=group, key=member)
        with self.graph.session.locked(group):
            if self.graph.get(f"/groups/{group}", api="beta") is None:
                raise PluginError(f"/groups/{group} was not found")
            if self._find(group, member) is not None:
                raise PluginError(
                    f'A resource with the ID "{resource_id}" already exists. To be managed via Pulumi, this resource needs to '
                    f"be imported: in a program with import_={resource_id!r}"
                )
            link = {"@odata.id": self.graph.reference(member, "beta")}
            self.graph.call("POST", f"/groups/{group}/members/$ref", link, api="beta", retry_if=not_found)
            self.graph.appear(lambda: self._find(group, member), resource_id)
        return resource_id, {}

    def read(self, resource: Resource) -> Properties | None:
        parts = self.parse(resource)
        try:
            found = self._find(parts["parent"], parts["key"])
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return None if found is None else {"groupObjectId": parts["parent"], "memberObjectId": parts["key"]}

    def delete(self, resource: Resource) -> None:
        parts = self.parse(resource)
        with self.graph.session.locked(parts["parent"]):
            self.graph.call("DELETE", f"/groups/{parts['parent']}/members/{parts['key']}/$ref", api="beta")
            self.graph.vanish(lambda: self._find(parts["parent"], parts["key"]) is not None, resource.id)

    def _find(self, group: str, member: str) -> Properties | None:
        listed = self.graph.listed(f"/groups/{group}/members", api="beta", params=matching("id", member))
        return next((item for item in listed if same(item.get("id"), member)), None)


class AppRoleAssignment(Grant):
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
        made = self.graph.call("POST", path, body, retry_if=references_not_there_yet)
        return resource.rtype.id_format.format(parent=made["resourceId"], key=made["id"]), {}

    def path(self, resource: Resource) -> str:
        parts = self.parse(resource)
        return f"/servicePrincipals/{parts['parent']}/appRoleAssignedTo/{parts['key']}"


class DelegatedGrant(Grant):
    """Consent to delegated permissions, for all users or for one."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        for name in ("servicePrincipalObjectId", "resourceServicePrincipalObjectId"):
            if self.graph.get(f"/servicePrincipals/{resource.inputs[name]}") is None:
                raise PluginError(f"service principal {resource.inputs[name]} ({name}) was not found")
        body = to_wire(resource.rtype.props, resource.inputs)
        body["@odata.type"] = "#microsoft.graph.oAuth2PermissionGrant"
        body["consentType"] = "Principal" if resource.inputs.get("userObjectId") else "AllPrincipals"
        made = self.graph.call("POST", "/oauth2PermissionGrants", body, retry_if=references_not_there_yet)
        return resource.rtype.id_format.format(key=made["id"]), {}

    def update(self, resource: Resource) -> Properties:
        scope = " ".join(resource.inputs["claimValues"])
        self.graph.call("PATCH", self.path(resource), {"scope": scope})
        return {}

    def path(self, resource: Resource) -> str:
        return f"/oauth2PermissionGrants/{self.parse(resource)['key']}"


class DirectoryRoleAssignment(Grant):
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

    def path(self, resource: Resource) -> str:
        self.parse(resource)
        return resource.id
