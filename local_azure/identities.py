"""Managed identities: what Microsoft.ManagedIdentity computes for one, and its service principal, which has no registration."""

from __future__ import annotations

from typing import Any

from local_azure.graph.rights import PRINCIPAL
from local_azure.wire import new_guid, utc
from local_azure.world import World

Doc = dict[str, Any]


def computed(world: World, doc: Doc, stored: Doc | None) -> Doc:
    """What Microsoft.ManagedIdentity computes for a user-assigned identity; a new one gets its service principal."""
    if stored is None:
        made = principal(world, doc["name"], alternative_names=["isExplicit=True", doc["id"]])
        held = {"tenantId": world.tenant_id, "principalId": made["id"], "clientId": made["appId"]}
    else:
        held = {name: stored["properties"][name] for name in ("tenantId", "principalId", "clientId")}
    doc["properties"] = held
    return doc


def principal(world: World, name: str, *, tenant: str | None = None, alternative_names: list[str] | None = None) -> Doc:
    """Make a service principal without a registration in this tenant: of an app of another one, else of a managed identity."""
    client_id = new_guid()
    doc = PRINCIPAL.new(
        {"displayName": name, "servicePrincipalType": "Application" if tenant else "ManagedIdentity"},
        id=new_guid(),
        appId=client_id,
        appOwnerOrganizationId=tenant,
        servicePrincipalNames=[client_id],
        alternativeNames=alternative_names or [],
        createdDateTime=utc(world.store.now()),
    )
    world.directory.create("servicePrincipal", doc)
    return doc
