"""The table of azure-native resource types: what each property is, and how the type is reached."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local_azure.plugins.schema import Prop, ResourceType


def _string(wire: str = "", **flags: Any) -> Prop:
    return Prop(kind="string", wire=wire, **flags)


def _strings(wire: str, **flags: Any) -> Prop:
    return Prop(kind="list", wire=wire, each=Prop(kind="string"), **flags)


def _out(wire: str, kind: str = "string", **flags: Any) -> Prop:
    return Prop(kind=kind, wire=wire, output_only=True, **flags)  # type: ignore[arg-type]


def _matches(pattern: str) -> Callable[[Any], str | None]:
    compiled = re.compile(pattern)
    return lambda value: None if compiled.search(value) else f"does not match expression '{pattern}'"


_AUDIT = {
    "createdBy": _out("properties.createdBy"),
    "createdOn": _out("properties.createdOn"),
    "updatedBy": _out("properties.updatedBy"),
    "updatedOn": _out("properties.updatedOn"),
}


_NAMED = {"name": _out("name"), "type": _out("type")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """How a type is reached: its path (``{scope}`` may hold slashes), its API version, and how it is named when unnamed."""

    path: str
    api_version: str
    name_input: str
    naming: str
    path_inputs: tuple[str, ...]


_ROWS: dict[str, tuple[Arm, dict[str, Prop]]] = {
    "azure-native:authorization:RoleAssignment": (
        Arm(
            path="/{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
            api_version="2022-04-01",
            name_input="roleAssignmentName",
            naming="uuid",
            path_inputs=("scope", "roleAssignmentName"),
        ),
        {
            "condition": _string("properties.condition"),
            "conditionVersion": _string("properties.conditionVersion"),
            "delegatedManagedIdentityResourceId": _string("properties.delegatedManagedIdentityResourceId"),
            "description": _string("properties.description"),
            "principalId": _string("properties.principalId", required=True, force_new=True),
            "principalType": _string("properties.principalType"),
            "roleAssignmentName": _string(required=True, force_new=True),
            "roleDefinitionId": _string("properties.roleDefinitionId", required=True),
            "scope": _string(required=True, force_new=True),
            **_AUDIT,
            **_NAMED,
        },
    ),
    "azure-native:authorization:RoleDefinition": (
        Arm(
            path="/{scope}/providers/Microsoft.Authorization/roleDefinitions/{roleDefinitionId}",
            api_version="2022-05-01-preview",
            name_input="roleDefinitionId",
            naming="uuid",
            path_inputs=("scope", "roleDefinitionId"),
        ),
        {
            "assignableScopes": _strings("properties.assignableScopes"),
            "description": _string("properties.description"),
            "permissions": Prop(
                kind="list",
                wire="properties.permissions",
                each=Prop(
                    kind="object",
                    fields={
                        "actions": _strings("actions"),
                        "dataActions": _strings("dataActions"),
                        "notActions": _strings("notActions"),
                        "notDataActions": _strings("notDataActions"),
                        "condition": _out("condition"),
                        "conditionVersion": _out("conditionVersion"),
                    },
                ),
            ),
            "roleDefinitionId": _string(required=True, force_new=True),
            "roleName": _string("properties.roleName"),
            "roleType": _string("properties.type"),
            "scope": _string(required=True, force_new=True),
            **_AUDIT,
            **_NAMED,
        },
    ),
    "azure-native:keyvault:Secret": (
        Arm(
            path="/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.KeyVault"
            "/vaults/{vaultName}/secrets/{secretName}",
            api_version="2024-11-01",
            name_input="secretName",
            naming="random",
            path_inputs=("resourceGroupName", "vaultName", "secretName"),
        ),
        {
            "properties": Prop(
                kind="object",
                wire="properties",
                required=True,
                fields={
                    "attributes": Prop(
                        kind="object",
                        wire="attributes",
                        fields={
                            "enabled": Prop(kind="bool", wire="enabled"),
                            "expires": Prop(kind="int", wire="exp"),
                            "notBefore": Prop(kind="int", wire="nbf"),
                            "created": _out("created", "int"),
                            "updated": _out("updated", "int"),
                        },
                    ),
                    "contentType": _string("contentType"),
                    "value": _string("value"),
                    "secretUri": _out("secretUri"),
                    "secretUriWithVersion": _out("secretUriWithVersion"),
                },
            ),
            "resourceGroupName": _string(required=True, force_new=True),
            "secretName": _string(required=True, force_new=True, checks=(_matches(r"^[a-zA-Z0-9-]{1,127}$"),)),
            "tags": Prop(kind="map", wire="tags"),
            "vaultName": _string(required=True, force_new=True),
            "location": _out("location"),
            **_NAMED,
        },
    ),
    "azure-native:resources:ResourceGroup": (
        Arm(
            path="/subscriptions/{subscriptionId}/resourcegroups/{resourceGroupName}",
            api_version="2024-03-01",
            name_input="resourceGroupName",
            naming="random",
            path_inputs=("resourceGroupName",),
        ),
        {
            "location": _string("location", required=True, force_new=True),
            "managedBy": _string("managedBy"),
            "resourceGroupName": _string(required=True, force_new=True, checks=(_matches(r"^[-\w\._\(\)]+$"),)),
            "tags": Prop(kind="map", wire="tags"),
            "properties": Prop(
                kind="object",
                wire="properties",
                output_only=True,
                fields={"provisioningState": _out("provisioningState")},
            ),
            **_NAMED,
        },
    ),
}


TYPES: dict[str, ResourceType] = {
    token: ResourceType(token=token, family="arm", props=props, id_format=arm.path)
    for token, (arm, props) in _ROWS.items()
}
"""Every azure-native resource type the stand-in covers, by type token."""
ARM: dict[str, Arm] = {token: arm for token, (arm, _) in _ROWS.items()}
"""How each is reached."""
