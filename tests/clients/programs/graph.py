"""What msgraph-sdk does with a tenant, step by step: run with the environment of EnvironmentCredential and GRAPH_ENDPOINT.

Prints each operation that has worked on a line of its own.
"""

# mypy: disable-error-code="import-not-found"

import asyncio
import os
import uuid
from typing import Any
from urllib.parse import urlsplit

from azure.identity.aio import EnvironmentCredential
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_abstractions.headers_collection import HeadersCollection
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph import GraphRequestAdapter, GraphServiceClient
from msgraph.generated.applications.applications_request_builder import ApplicationsRequestBuilder as Applications
from msgraph.generated.applications.item.add_password.add_password_post_request_body import AddPasswordPostRequestBody
from msgraph.generated.applications.item.remove_password.remove_password_post_request_body import (
    RemovePasswordPostRequestBody,
)
from msgraph.generated.directory_objects.get_by_ids.get_by_ids_post_request_body import GetByIdsPostRequestBody
from msgraph.generated.models.app_role_assignment import AppRoleAssignment
from msgraph.generated.models.application import Application
from msgraph.generated.models.federated_identity_credential import FederatedIdentityCredential
from msgraph.generated.models.group import Group
from msgraph.generated.models.o_auth2_permission_grant import OAuth2PermissionGrant
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.password_credential import PasswordCredential
from msgraph.generated.models.reference_create import ReferenceCreate
from msgraph.generated.models.service_principal import ServicePrincipal
from msgraph.generated.models.web_application import WebApplication
from msgraph.generated.service_principals.service_principals_request_builder import (
    ServicePrincipalsRequestBuilder as Principals,
)
from msgraph_core.requests.batch_request_content import BatchRequestContent
from msgraph_core.requests.batch_request_item import BatchRequestItem
from msgraph_core.tasks.page_iterator import PageIterator

ENDPOINT = os.environ["GRAPH_ENDPOINT"]
GRAPH = "00000003-0000-0000-c000-000000000000"


def done(operation: str) -> None:
    print(operation, flush=True)


def asking(builder: Any, name: str, *, eventual: bool = False, **query: Any) -> Any:
    """A request configuration with query parameters, and the consistency level that advanced queries need."""
    parameters = getattr(builder, f"{name}GetQueryParameters")(**query)
    headers = HeadersCollection()
    if eventual:
        headers.add("ConsistencyLevel", "eventual")
    return RequestConfiguration(query_parameters=parameters, headers=headers)


def apps(**query: Any) -> Any:
    return asking(Applications, "ApplicationsRequestBuilder", **query)


def principals(**query: Any) -> Any:
    return asking(Principals, "ServicePrincipalsRequestBuilder", **query)


def reference(object_id: str) -> Any:
    return ReferenceCreate(odata_id=f"{ENDPOINT}/v1.0/directoryObjects/{object_id}")


async def applications(graph: Any, adapter: Any) -> Any:
    tag = uuid.uuid4().hex[:8]
    made = await graph.applications.post(
        Application(display_name=f"{tag} first", web=WebApplication(redirect_uris=["https://localhost/callback"]))
    )
    done("applications.post")
    for number in range(4):
        await graph.applications.post(Application(display_name=f"{tag} other {number}"))

    found = await graph.applications.by_application_id(made.id).get()
    assert found.display_name == f"{tag} first" and found.web.redirect_uris == ["https://localhost/callback"]
    done("applications.by_application_id.get")
    await graph.applications.by_application_id(made.id).patch(Application(notes="kept"))
    found = await graph.applications_with_app_id(made.app_id).get()
    assert found.notes == "kept" and found.display_name == f"{tag} first"
    done("applications.by_application_id.patch")
    done("applications_with_app_id.get")

    listed = await graph.applications.get(apps(filter=f"displayName eq '{tag} first'", select=["id", "displayName"]))
    assert [one.id for one in listed.value] == [made.id] and listed.value[0].app_id is None
    done("applications.get $filter $select")
    listed = await graph.applications.get(apps(search=f'"displayName:{tag}"', count=True, eventual=True))
    assert listed.odata_count == len(listed.value) == 5
    done("applications.get $search $count")
    listed = await graph.applications.get(apps(filter=f"startswith(displayName,'{tag}')", orderby=["displayName"]))
    assert [one.display_name for one in listed.value][:2] == [f"{tag} first", f"{tag} other 0"]
    done("applications.get $orderby")
    assert await graph.applications.count.get(RequestConfiguration(headers=_eventual())) >= 5
    done("applications.count.get")

    first = await graph.applications.get(apps(filter=f"startswith(displayName,'{tag}')", top=2))
    names: list[str] = []
    assert first.odata_next_link

    def note(one: Any) -> bool:
        names.append(one.display_name)
        return True

    await PageIterator(first, adapter).iterate(note)
    assert len(names) == len(set(names)) == 5
    done("applications.get $top, all pages by PageIterator")
    return made


def _eventual() -> Any:
    headers = HeadersCollection()
    headers.add("ConsistencyLevel", "eventual")
    return headers


async def credentials(graph: Any, app: Any) -> None:
    one = graph.applications.by_application_id(app.id)
    secret = await one.add_password.post(
        AddPasswordPostRequestBody(password_credential=PasswordCredential(display_name="for a test"))
    )
    assert secret.secret_text and secret.key_id
    done("applications.add_password.post")
    await one.remove_password.post(RemovePasswordPostRequestBody(key_id=secret.key_id))
    assert (await one.get()).password_credentials == []
    done("applications.remove_password.post")

    trusts = one.federated_identity_credentials
    trust = await trusts.post(
        FederatedIdentityCredential(
            name="github",
            issuer="https://token.actions.githubusercontent.com",
            subject="repo:contoso/obs:environment:dev",
            audiences=["api://AzureADTokenExchange"],
        )
    )
    done("applications.federated_identity_credentials.post")
    assert [held.name for held in (await trusts.get()).value] == ["github"]
    done("applications.federated_identity_credentials.get")
    await trusts.by_federated_identity_credential_id(trust.id).delete()
    assert (await trusts.get()).value == []
    done("applications.federated_identity_credentials.delete")


async def service_principals(graph: Any, app: Any) -> Any:
    me = (await graph.service_principals_with_app_id(os.environ["AZURE_CLIENT_ID"]).get()).id
    made = await graph.service_principals.post(ServicePrincipal(app_id=app.app_id))
    done("service_principals.post")
    one = graph.service_principals.by_service_principal_id(made.id)
    await one.patch(ServicePrincipal(tags=["HideApp"]))
    assert (await one.get()).tags == ["HideApp"]
    done("service_principals.by_service_principal_id.patch")
    listed = await graph.service_principals.get(principals(filter=f"appId eq '{app.app_id}'"))
    assert [held.id for held in listed.value] == [made.id]
    done("service_principals.get $filter")

    owners = graph.applications.by_application_id(app.id).owners
    await owners.ref.post(reference(me))
    done("applications.owners.ref.post")
    held = (await owners.get()).value
    assert [owner.id for owner in held] == [me] and isinstance(held[0], ServicePrincipal)
    done("applications.owners.get")
    await owners.by_directory_object_id(me).ref.delete()
    assert (await owners.get()).value == []
    done("applications.owners.by_directory_object_id.ref.delete")

    graph_principal = await graph.service_principals_with_app_id(GRAPH).get()
    done("service_principals_with_app_id.get")
    role = next(role for role in graph_principal.app_roles if role.value == "User.Read.All")
    grant = await one.app_role_assignments.post(
        AppRoleAssignment(
            principal_id=uuid.UUID(made.id), resource_id=uuid.UUID(graph_principal.id), app_role_id=role.id
        )
    )
    done("service_principals.app_role_assignments.post")
    assert [held.id for held in (await one.app_role_assignments.get()).value] == [grant.id]
    done("service_principals.app_role_assignments.get")
    await one.app_role_assignments.by_app_role_assignment_id(grant.id).delete()
    assert (await one.app_role_assignments.get()).value == []
    done("service_principals.app_role_assignments.delete")

    consent = await graph.oauth2_permission_grants.post(
        OAuth2PermissionGrant(
            client_id=made.id, resource_id=graph_principal.id, consent_type="AllPrincipals", scope="User.Read"
        )
    )
    done("oauth2_permission_grants.post")
    chosen = graph.oauth2_permission_grants.by_o_auth2_permission_grant_id(consent.id)
    await chosen.patch(OAuth2PermissionGrant(scope="User.Read openid"))
    assert (await chosen.get()).scope == "User.Read openid"
    done("oauth2_permission_grants.patch")
    done("oauth2_permission_grants.get")
    await chosen.delete()
    done("oauth2_permission_grants.delete")
    return made


async def directory(graph: Any, principal: Any) -> None:
    group = await graph.groups.post(
        Group(display_name="a group", mail_enabled=False, mail_nickname="agroup", security_enabled=True)
    )
    done("groups.post")
    members = graph.groups.by_group_id(group.id).members
    await members.ref.post(reference(principal.id))
    assert [one.id for one in (await members.get()).value] == [principal.id]
    done("groups.members.ref.post")
    done("groups.members.get")
    found = await graph.directory_objects.get_by_ids.post(GetByIdsPostRequestBody(ids=[group.id, principal.id]))
    assert {type(one) for one in found.value} == {Group, ServicePrincipal}
    done("directory_objects.get_by_ids.post")
    await graph.groups.by_group_id(group.id).delete()
    done("groups.by_group_id.delete")
    assert (await graph.organization.get()).value[0].id == os.environ["AZURE_TENANT_ID"]
    done("organization.get")


async def batch(graph: Any, app: Any) -> None:
    wanted = [graph.applications.by_application_id(name) for name in (app.id, str(uuid.uuid4()))]
    content = BatchRequestContent()
    items = [BatchRequestItem(one.to_get_request_information()) for one in wanted]
    for item in items:
        content.add_request(item.id, item)
    answers = await graph.batch.post(batch_request_content=content)
    assert [answers.get_response_by_id(item.id).status for item in items] == [200, 404]
    done("batch.post")


async def deletion(graph: Any, app: Any, principal: Any) -> None:
    await graph.service_principals.by_service_principal_id(principal.id).delete()
    done("service_principals.by_service_principal_id.delete")
    await graph.applications.by_application_id(app.id).delete()
    done("applications.by_application_id.delete")
    try:
        await graph.applications.by_application_id(app.id).get()
    except ODataError as error:
        assert (error.response_status_code, error.error.code) == (404, "Request_ResourceNotFound")
        done("a refusal as ODataError")
    await graph.directory.deleted_items.by_directory_object_id(app.id).restore.post()
    assert (await graph.applications.by_application_id(app.id).get()).app_id == app.app_id
    done("directory.deleted_items.restore.post")


async def main() -> None:
    host = urlsplit(ENDPOINT)
    async with EnvironmentCredential(disable_instance_discovery=True) as credential:
        provider = AzureIdentityAuthenticationProvider(
            credential, scopes=[f"{ENDPOINT}/.default"], allowed_hosts=[host.hostname]
        )
        adapter = GraphRequestAdapter(provider)
        adapter.base_url = f"{ENDPOINT}/v1.0"
        graph = GraphServiceClient(request_adapter=adapter)
        app = await applications(graph, adapter)
        await credentials(graph, app)
        principal = await service_principals(graph, app)
        await directory(graph, principal)
        await batch(graph, app)
        await deletion(graph, app, principal)


if __name__ == "__main__":
    asyncio.run(main())
