"""The azuread stand-in: the plugin itself and its functions (data sources)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from local_azure.plugins.azuread_types import TYPES
from local_azure.plugins.families import FAMILIES, Family, features_of, ids_by_value, plain, service_principal_extras
from local_azure.plugins.graph import Graph, matching
from local_azure.plugins.schema import (
    Change,
    ResourceType,
    check,
    diff,
    imported_inputs,
    plan,
    refreshed_inputs,
    settle,
)
from local_azure.plugins.server import Checked, Partial, Read, Resource
from local_azure.plugins.session import PluginError, Session
from local_azure.plugins.values import Properties
from local_azure.plugins.wire import from_wire

PUBLISHED_APP_IDS = {
    "AzureActiveDirectoryGraph": "00000002-0000-0000-c000-000000000000",
    "AzureDevOps": "499b84ac-1321-427f-aa17-267ca6975798",
    "AzureKeyVault": "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
    "AzureKubernetesServiceAadServer": "6dae42f8-4368-4678-94ff-3960e28e3630",
    "AzureResourceManager": "797f4846-ba00-4fd7-ba43-dac1f8f63013",
    "AzureServiceManagement": "797f4846-ba00-4fd7-ba43-dac1f8f63013",
    "AzureStorage": "e406a681-f3d4-42a8-90b6-c2b029497af1",
    "LogAnalytics": "ca7f3f0b-7d91-482c-8e09-c5d840d0eac5",
    "MicrosoftAzureCli": "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
    "MicrosoftGraph": "00000003-0000-0000-c000-000000000000",
    "Office365ExchangeOnline": "00000002-0000-0ff1-ce00-000000000000",
    "Office365SharePointOnline": "00000003-0000-0ff1-ce00-000000000000",
}
"""First-party applications by the names the azuread plugin gives them. Source: Microsoft's list of first-party
applications; the real plugin knows some hundred more."""


class AzureAd:
    """The azuread plugin."""

    name = "azuread"
    types: Mapping[str, ResourceType] = TYPES
    config_names: Collection[str] = (
        "auxiliaryTenantIds", "adoPipelineServiceConnectionId", "clientCertificate", "clientCertificatePassword",
        "clientCertificatePath", "clientId", "clientIdFilePath", "clientSecret", "clientSecretFilePath",
        "disableTerraformPartnerId", "environment", "metadataHost", "msiEndpoint", "oidcRequestToken", "oidcRequestUrl",
        "oidcToken", "oidcTokenFilePath", "partnerId", "tenantId", "useAksWorkloadIdentity", "useCli", "useMsi", "useOidc",
    )  # fmt: skip

    def __init__(self, version: str) -> None:
        self.version = version
        self._graph: Graph | None = None
        self._families: dict[str, Family] = {}
        self.functions: Mapping[str, Callable[[Mapping[str, Any]], Properties]] = {
            "azuread:index/getClientConfig:getClientConfig": self._client_config,
            "azuread:index/getApplicationPublishedAppIds:getApplicationPublishedAppIds": self._published_app_ids,
            "azuread:index/getApplication:getApplication": self._get_application,
            "azuread:index/getServicePrincipal:getServicePrincipal": self._get_service_principal,
            "azuread:index/getUser:getUser": self._get_user,
        }

    @property
    def graph(self) -> Graph:
        """Microsoft Graph; raises `PluginError` before the plugin is configured."""
        if self._graph is None:
            raise PluginError("the azuread plugin is not configured")
        return self._graph

    def configure(self, session: Session) -> None:
        """Use ``session`` from now on."""
        self._graph = Graph(session)
        self._families = {name: family(self._graph) for name, family in FAMILIES.items()}

    def check(self, resource: Resource, old: Mapping[str, Any], seed: bytes) -> Checked:
        """Defaults and mistakes."""
        return Checked(*check(resource.rtype, resource.inputs))

    def diff(self, resource: Resource, old_inputs: Mapping[str, Any]) -> tuple[dict[str, Change], bool]:
        """What changes, and whether a replacement deletes first (never)."""
        return diff(resource.rtype.props, resource.state, resource.inputs), False

    def preview(self, resource: Resource) -> Properties:
        """The outputs to come, after a look at what would make the update fail."""
        self._family(resource).preview(resource)
        return plan(resource.rtype, resource.inputs, resource.state or None)

    def create(self, resource: Resource) -> tuple[str, Properties]:
        """Make it and read it back."""
        resource_id, kept = self._family(resource).create(resource)
        return resource_id, self._read_back(resource, resource_id, kept)

    def update(self, resource: Resource, old_inputs: Mapping[str, Any]) -> Properties:
        """Change it and read it back."""
        kept = self._family(resource).update(resource)
        return self._read_back(resource, resource.id, kept)

    def read(self, resource: Resource) -> Read | None:
        """Read it: a refresh when there is a state, else an import."""
        if not resource.state and resource.rtype.family == "password":
            raise PluginError(f"a {resource.rtype.token} cannot be imported: its value is shown only when it is made")
        found = self._family(resource).read(resource)
        if found is None:
            return None
        state = settle(resource.rtype, found, resource.state, written=False)
        state["id"] = resource.id
        if resource.inputs:
            inputs = refreshed_inputs(resource.rtype, resource.inputs, state)
        else:
            inputs = imported_inputs(resource.rtype, state)
        return Read(resource.id, state, inputs)

    def delete(self, resource: Resource) -> None:
        """Remove it."""
        self._family(resource).delete(resource)

    def _family(self, resource: Resource) -> Family:
        self.graph  # noqa: B018 - raises when the plugin is not configured
        return self._families[resource.rtype.family]

    def _read_back(self, resource: Resource, resource_id: str, kept: Properties) -> Properties:
        before = {**resource.state, **plain(resource.inputs), **kept}
        there = Resource(resource.rtype, resource.urn, resource.inputs, before, resource_id)
        try:
            found = self._family(resource).read(there)
        except PluginError as error:
            raise Partial(str(error), resource_id, before) from None
        if found is None:
            raise Partial(f"{resource_id} is gone just after it was written", resource_id, before)
        state = settle(resource.rtype, found, before, written=True)
        state["id"] = resource_id
        return state

    # Functions

    def _client_config(self, arguments: Mapping[str, Any]) -> Properties:
        settings = self.graph.session.settings
        caller = self.graph.caller()
        return {
            "clientId": settings.client_id,
            "id": f"{settings.tenant_id}-{settings.client_id}-{caller}",
            "objectId": caller,
            "tenantId": settings.tenant_id,
        }

    def _published_app_ids(self, arguments: Mapping[str, Any]) -> Properties:
        return {"id": "appIds", "result": dict(PUBLISHED_APP_IDS)}

    def _get_application(self, arguments: Mapping[str, Any]) -> Properties:
        choices = ("objectId", "clientId", "displayName", "identifierUri")
        by, value = _exactly_one(arguments, choices)
        if by == "objectId":
            found = self.graph.get(f"/applications/{value}")
            matches = [found] if found else []
        elif by == "identifierUri":
            quoted = value.replace("'", "''")
            condition = {"$filter": f"identifierUris/any(uri:uri eq '{quoted}')"}
            matches = self.graph.listed("/applications", params=condition)
        else:
            wire = {"clientId": "appId", "displayName": "displayName"}[by]
            matches = self.graph.listed("/applications", params=matching(wire, value))
        app = _single(matches, "application", by, value)
        rtype = TYPES["azuread:index/application:Application"]
        path = f"/applications/{app['id']}"
        read = from_wire(rtype.props, app)
        web = dict(read["web"])
        implicit_grant = web.pop("implicitGrant")
        return {
            "apis": [read["api"]],
            "appRoleIds": ids_by_value(app.get("appRoles")),
            "appRoles": read["appRoles"],
            "clientId": read["clientId"],
            "deviceOnlyAuthEnabled": read["deviceOnlyAuthEnabled"],
            "disabledByMicrosoft": read["disabledByMicrosoft"],
            "displayName": read["displayName"],
            "fallbackPublicClientEnabled": read["fallbackPublicClientEnabled"],
            "featureTags": [features_of(app.get("tags"))],
            "groupMembershipClaims": read["groupMembershipClaims"],
            "id": path,
            **({"identifierUri": value} if by == "identifierUri" else {}),
            "identifierUris": read["identifierUris"],
            "logoUrl": read["logoUrl"],
            "marketingUrl": read["marketingUrl"],
            "notes": read["notes"],
            "oauth2PermissionScopeIds": ids_by_value((app.get("api") or {}).get("oauth2PermissionScopes")),
            "oauth2PostResponseRequired": bool(
                self.graph.call("GET", path, api="beta", params={"$select": "oauth2RequirePostResponse"}).get(
                    "oauth2RequirePostResponse"
                )
            ),
            "objectId": read["objectId"],
            "optionalClaims": [read["optionalClaims"]] if app.get("optionalClaims") is not None else [],
            "owners": [str(item["id"]) for item in self.graph.listed(f"{path}/owners")],
            "privacyStatementUrl": read["privacyStatementUrl"],
            "publicClients": [read["publicClient"]],
            "publisherDomain": read["publisherDomain"],
            "requiredResourceAccesses": read["requiredResourceAccesses"],
            "serviceManagementReference": read["serviceManagementReference"],
            "signInAudience": read["signInAudience"],
            "singlePageApplications": [read["singlePageApplication"]],
            "supportUrl": read["supportUrl"],
            "tags": list(app.get("tags") or []),
            "termsOfServiceUrl": read["termsOfServiceUrl"],
            "webs": [{**web, "implicitGrants": [implicit_grant]}],
        }

    def _get_service_principal(self, arguments: Mapping[str, Any]) -> Properties:
        by, value = _exactly_one(arguments, ("objectId", "clientId", "displayName"))
        if by == "objectId":
            one = self.graph.get(f"/servicePrincipals/{value}")
            matches = [one] if one else []
        else:
            wire = {"clientId": "appId", "displayName": "displayName"}[by]
            matches = self.graph.listed("/servicePrincipals", params=matching(wire, value))
        found = _single(matches, "service principal", by, value)
        path = f"/servicePrincipals/{found['id']}"
        beta = self.graph.call("GET", path, api="beta", params={"$select": "samlMetadataUrl"})
        read = from_wire(TYPES["azuread:index/servicePrincipal:ServicePrincipal"].props, found)
        saml = read.pop("samlSingleSignOn")
        return {
            **read,
            **service_principal_extras(found, beta),
            "id": path,
            "samlSingleSignOns": [saml],
            "tags": list(found.get("tags") or []),
        }

    def _get_user(self, arguments: Mapping[str, Any]) -> Properties:
        choices = ("objectId", "userPrincipalName", "mail", "mailNickname", "employeeId")
        by, value = _exactly_one(arguments, choices)
        if by == "objectId":
            one = self.graph.get(f"/users/{value}")
            matches = [one] if one else []
        else:
            matches = self.graph.listed("/users", params=matching(by, value))
        found = _single(matches, "user", by, value)
        work = found.get("employeeOrgData") or {}
        manager = self.graph.get(f"/users/{found['id']}/manager") or {}
        return {
            **{name: found.get(wire) or empty for name, (wire, empty) in _USER.items()},
            "costCenter": work.get("costCenter") or "",
            "division": work.get("division") or "",
            "id": f"/users/{found['id']}",
            "managerId": manager.get("id") or "",
        }


_USER: dict[str, tuple[str, Any]] = {
    "accountEnabled": ("accountEnabled", False),
    "ageGroup": ("ageGroup", ""),
    "businessPhones": ("businessPhones", []),
    "city": ("city", ""),
    "companyName": ("companyName", ""),
    "consentProvidedForMinor": ("consentProvidedForMinor", ""),
    "country": ("country", ""),
    "creationType": ("creationType", ""),
    "department": ("department", ""),
    "displayName": ("displayName", ""),
    "employeeHireDate": ("employeeHireDate", ""),
    "employeeId": ("employeeId", ""),
    "employeeType": ("employeeType", ""),
    "externalUserState": ("externalUserState", ""),
    "faxNumber": ("faxNumber", ""),
    "givenName": ("givenName", ""),
    "imAddresses": ("imAddresses", []),
    "jobTitle": ("jobTitle", ""),
    "mail": ("mail", ""),
    "mailNickname": ("mailNickname", ""),
    "mobilePhone": ("mobilePhone", ""),
    "objectId": ("id", ""),
    "officeLocation": ("officeLocation", ""),
    "onpremisesDistinguishedName": ("onPremisesDistinguishedName", ""),
    "onpremisesDomainName": ("onPremisesDomainName", ""),
    "onpremisesImmutableId": ("onPremisesImmutableId", ""),
    "onpremisesSamAccountName": ("onPremisesSamAccountName", ""),
    "onpremisesSecurityIdentifier": ("onPremisesSecurityIdentifier", ""),
    "onpremisesSyncEnabled": ("onPremisesSyncEnabled", False),
    "onpremisesUserPrincipalName": ("onPremisesUserPrincipalName", ""),
    "otherMails": ("otherMails", []),
    "postalCode": ("postalCode", ""),
    "preferredLanguage": ("preferredLanguage", ""),
    "proxyAddresses": ("proxyAddresses", []),
    "showInAddressList": ("showInAddressList", False),
    "state": ("state", ""),
    "streetAddress": ("streetAddress", ""),
    "surname": ("surname", ""),
    "usageLocation": ("usageLocation", ""),
    "userPrincipalName": ("userPrincipalName", ""),
    "userType": ("userType", ""),
}


def _exactly_one(arguments: Mapping[str, Any], choices: Sequence[str]) -> tuple[str, str]:
    chosen = [name for name in choices if arguments.get(name)]
    if len(chosen) != 1:
        raise PluginError(f"exactly one of {', '.join(choices)} must be given, but {len(chosen)} are")
    return chosen[0], str(arguments[chosen[0]])


def _single(matches: Sequence[Properties | None], what: str, by: str, value: str) -> Properties:
    if not matches:
        raise PluginError(f"No {what} with {by} {value!r} was found")
    if len(matches) > 1 or matches[0] is None:
        raise PluginError(f"{len(matches)} {what}s with {by} {value!r} were found: use one that is unique")
    return matches[0]
