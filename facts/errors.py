"""What Azure's error codes mean: the cause, whether trying again helps, and what to do.

Sources: "Microsoft Entra authentication and authorization error codes", "Troubleshoot Azure RBAC", "Microsoft Graph error
responses", "Azure Monitor Log Analytics API errors", and the messages themselves.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

Retry = Literal["no", "later", "once"]


class Explanation(NamedTuple):
    """Why a service refused. `retry`: `no` it stays so; `later` it may pass by itself; `once` a fresh attempt may do.

    `cause` and `remedy` are sentences; `remedy` may hold `{stack}` and `{app}` for a caller to fill.
    """

    cause: str
    retry: Retry
    remedy: str


_E = Explanation

EXPLANATIONS: Mapping[str, Explanation] = MappingProxyType(
    {
        # ------------------------------------------------------------------------------------- Microsoft Entra ID, tokens
        "AADSTS7000215": _E(
            "the client secret is not one of this app's: a wrong value, another app's, the secret's id in its place, "
            "or one so new that it is not known everywhere yet",
            "later",
            "take the secret from the stack's outputs; a new one works after 4 to 20 seconds",
        ),
        "AADSTS7000222": _E(
            "the client secret has expired", "no", "run `pulumi up -s {stack}`, which declares the calendar's next one"
        ),
        "AADSTS700016": _E(
            "the tenant has no such application: it was deleted, belongs to another tenant, or was registered seconds ago",
            "later",
            "check the tenant id and client id against `pulumi stack output -s {stack}`; after an `up`, try again in half a minute",
        ),
        "AADSTS7000229": _E(
            "the application has no service principal in this tenant",
            "later",
            "run `pulumi up -s {stack}`; after an `up`, try again in half a minute",
        ),
        "AADSTS7000112": _E(
            "the application's service principal is disabled", "no", "enable it: `service_principal: {enabled: true}`"
        ),
        "AADSTS90002": _E(
            "there is no such tenant in this cloud", "no", "check the tenant id, and `cloud:` in the environment's file"
        ),
        "AADSTS900023": _E("the tenant is neither a GUID nor a domain", "no", "check the tenant id"),
        "AADSTS900144": _E(
            "the token request lacks a parameter", "no", "name it; a client_credentials request has client_id and scope"
        ),
        "AADSTS70011": _E(
            "the scope is malformed", "no", "ask for one resource, such as https://api.loganalytics.io/.default"
        ),
        "AADSTS1002012": _E(
            "with client credentials the scope is a resource followed by /.default", "no", "end the scope in /.default"
        ),
        "AADSTS500011": _E(
            "the tenant knows no resource by that audience: misspelt, or its service principal is missing here",
            "no",
            "use an audience by name (`logs`, `metrics`, `arm`, …); slashes count",
        ),
        "AADSTS501051": _E(
            "the resource wants an assignment and this app has none",
            "no",
            "give the app one of the resource's app roles",
        ),
        "AADSTS700027": _E(
            "the certificate that signed the request is not registered on this app",
            "later",
            "compare its thumbprint with the app's certificates; a new one takes some seconds to be known",
        ),
        "AADSTS700024": _E(
            "the signed request is outside its own validity: a slow or fast clock, or a token used too late",
            "once",
            "set the clock by NTP; ask for the federated token right before using it",
        ),
        "AADSTS700023": _E(
            "the assertion was made for another audience", "no", "its audience is the token endpoint's URL"
        ),
        "AADSTS70021": _E(
            "no federated credential of the app matches the token's issuer, subject and audience",
            "later",
            "compare them letter by letter with the app's `federated:` entries; case counts",
        ),
        "AADSTS700211": _E(
            "no federated credential of the app has the token's issuer",
            "later",
            "compare `issuer` with the token's iss",
        ),
        "AADSTS700212": _E(
            "no federated credential of the app has the token's audience",
            "later",
            "compare `audience` with the token's aud",
        ),
        "AADSTS700213": _E(
            "no federated credential of the app has the token's subject",
            "later",
            "compare `subject` with the token's sub",
        ),
        "AADSTS7000216": _E(
            "the request carries no secret, certificate or assertion", "no", "give the app a credential"
        ),
        "AADSTS700025": _E("the app is a public client and takes no secret", "no", "turn off `fallback_public_client`"),
        "AADSTS1000502": _E(
            "the certificate that signed the request is outside its validity", "no", "sign with one that is valid today"
        ),
        "AADSTS50027": _E("the signed request is no valid JWT", "no", "send the token as it was issued, whole"),
        "AADSTS50013": _E(
            "the signature of the assertion cannot be verified with its issuer's keys",
            "no",
            "check that the token is of the declared issuer, and that the issuer publishes its keys",
        ),
        "AADSTS700021": _E(
            "the signed request is another application's than `client_id` says",
            "no",
            "its iss and sub are the client id",
        ),
        "AADSTS50059": _E(
            "a client cannot sign in by itself at common, organizations or consumers",
            "no",
            "name the tenant in the URL",
        ),
        "AADSTS70003": _E("no such grant type", "no", "an app without a user uses client_credentials"),
        "AADSTS28000": _E("the scope names more than one resource", "no", "ask for a token for each"),
        "AADSTS901002": _E(
            "the v2.0 endpoint takes no `resource`", "no", "send `scope`: the resource followed by /.default"
        ),
        "AADSTS900561": _E("the token endpoint was called by GET", "no", "send a POST with a form"),
        "AADSTS53003": _E(
            "a Conditional Access policy blocks this sign-in", "no", "ask who owns the policy for workload identities"
        ),
        "AADSTS50196": _E(
            "the same request was made too often in a short time", "later", "reuse tokens: they last about an hour"
        ),
        "AADSTS90033": _E("a part of Entra ID is unavailable for the moment", "later", "try again"),
        "AADSTS90006": _E("an external service gave no answer", "later", "try again"),
        # ----------------------------------------------------------------------------------------------- Microsoft Graph
        "Authorization_RequestDenied": _E(
            "the caller lacks a directory permission for this",
            "no",
            "the deployer needs Application.ReadWrite.OwnedBy, AppRoleAssignment.ReadWrite.All to consent, or a directory role",
        ),
        "Request_ResourceNotFound": _E(
            "no such object in the directory: deleted, or made seconds ago and not replicated yet",
            "later",
            "try again in some seconds",
        ),
        "NoBackingApplicationObject": _E(
            "the application of the new service principal is unknown: deleted, or made seconds ago and not replicated yet",
            "later",
            "try again in some seconds",
        ),
        "Request_BadRequest": _E("a property or the query is not valid", "no", "the message names it"),
        "Request_MultipleObjectsWithSameKeyValue": _E(
            "another object has this value where only one may", "no", "the message names it: choose another value"
        ),
        "CredentialInvalidLifetimeAsPerAppPolicy": _E(
            "the tenant's app management policy allows no secret of this lifetime",
            "no",
            "shorten `every` plus `overlap`",
        ),
        "CredentialTypeNotAllowedAsPerAppPolicy": _E(
            "the tenant's app management policy allows no client secrets",
            "no",
            "use `federated:` or `certificates:` with `secret: false`",
        ),
        "Directory_QuotaExceeded": _E(
            "the directory quota is used up: 250 objects for a caller without an administrator role; deleted ones count 30 days",
            "no",
            "delete what is no longer used for good, or use an identity with a directory role",
        ),
        "Directory_ConcurrencyViolation": _E("two writes met at one object", "once", "try again"),
        "CannotDeleteOrUpdateEnabledEntitlement": _E(
            "an enabled app role or scope cannot be removed",
            "once",
            "disable it first; the azuread provider does so by itself",
        ),
        "HostNameNotOnVerifiedDomain": _E(
            "an identifier URI must be api://<client id> or use a verified domain of the tenant",
            "no",
            "change `identifier_uris`",
        ),
        # -------------------------------------------------------------------------------------------- Azure Resource Manager
        "AuthorizationFailed": _E(
            "no role of the caller allows this at this scope; a role given in the last ten minutes may not be effective yet",
            "later",
            "see `python3 -m entrant check -s {stack}`; if the role is declared, `python3 -m entrant wait -s {stack}`",
        ),
        "LinkedAuthorizationFailed": _E(
            "the caller may do this, but not at another scope that it touches",
            "no",
            "give a role at the linked scope in the message",
        ),
        "RoleAssignmentExists": _E(
            "the same principal already has this role at this scope, under another assignment name",
            "no",
            "take it over with `adopt:` or delete it",
        ),
        "RoleAssignmentUpdateNotPermitted": _E(
            "an assignment's principal, role and scope cannot be changed under the same name",
            "no",
            "delete the stale assignment",
        ),
        "RoleAssignmentLimitExceeded": _E(
            "the subscription has its 4,000 role assignments",
            "no",
            "assign to groups or at wider scopes; remove orphans",
        ),
        "RoleAssignmentNotFound": _E("no role assignment of this name at this scope", "no", "check name and scope"),
        "UnmatchedPrincipalType": _E(
            "the principal is of another type than `principalType` says", "no", "set the type it has, or none"
        ),
        "RoleDefinitionHasAssignments": _E(
            "the custom role is still assigned", "no", "delete its assignments first, at every scope"
        ),
        "RoleDefinitionWithSameNameExists": _E(
            "the tenant has a custom role of this name", "no", "choose another name: it is unique in the tenant"
        ),
        "PrincipalNotFound": _E(
            "the principal is not in the directory: not replicated yet, or an application's id in place of its service principal's",
            "later",
            "check that the id is the service principal's object id",
        ),
        "InvalidPrincipalId": _E("the principal id is not a GUID", "no", "use the service principal's object id"),
        "RoleDefinitionDoesNotExist": _E(
            "no such role definition at this scope", "no", "check the role's name or GUID"
        ),
        "BadRequestFormat": _E(
            "the request is malformed; a role definition is named by its full id, not its GUID", "no", "use the full id"
        ),
        "InvalidAuthenticationTokenTenant": _E(
            "the token is from another tenant than the subscription's",
            "no",
            "check the tenant id, and the subscription in the scope",
        ),
        "InvalidAuthenticationTokenAudience": _E(
            "the token was made for another API", "no", "get one for this API by its audience's name; slashes count"
        ),
        "InvalidAuthenticationToken": _E(
            "the token is malformed, expired, or of another issuer", "once", "get a fresh token for this API"
        ),
        "ExpiredAuthenticationToken": _E("the token has expired", "once", "get a fresh token; check the clock"),
        "AuthenticationFailed": _E(
            "the call carries no token that can be read", "no", "send `Authorization: Bearer <token>`"
        ),
        "SubscriptionNotFound": _E(
            "no such subscription, or the caller has no role anywhere in it",
            "no",
            "check the subscription id and the caller's roles",
        ),
        "ResourceGroupNotFound": _E("no such resource group", "no", "check its name"),
        "ResourceNotFound": _E("no such resource", "no", "check the scope in the environment's file"),
        "MissingApiVersionParameter": _E(
            "the request has no api-version", "no", "add ?api-version=, such as 2022-04-01 for role assignments"
        ),
        "InvalidApiVersionParameter": _E("no such api-version", "no", "the message names those that are known"),
        "InvalidResourceType": _E("the provider has no such resource type", "no", "check the path's spelling"),
        "InvalidRequestContent": _E("the body is not what this request takes", "no", "the message says what is wrong"),
        "LocationRequired": _E("a new resource has no location", "no", "add `location`"),
        "UnsupportedQuery": _E("the list has no such filter", "no", "use one that the message names"),
        "AnotherOperationInProgress": _E(
            "a change of this resource, or of one it depends on, has not ended",
            "later",
            "wait until it has, and try again",
        ),
        "ResourceGroupBeingDeleted": _E(
            "the resource group is being deleted", "later", "wait until it is gone, and make it anew"
        ),
        "ScopeLocked": _E("a lock on the scope forbids changes", "no", "remove the lock, or ask who set it"),
        "RequestDisallowedByPolicy": _E("an Azure Policy forbids this", "no", "the message names the policy"),
        "MissingSubscriptionRegistration": _E(
            "the subscription is not registered for this resource provider",
            "once",
            "az provider register --namespace <name>",
        ),
        "InvalidRoleAssignmentCondition": _E(
            "the condition of the role assignment cannot be read", "no", "the message says at which character"
        ),
        "ManagementGroupNotFound": _E(
            "no such management group", "no", "check its name, which is not its display name"
        ),
        "InvalidPayload": _E(
            "a data collection rule whose streams, destinations and tables do not fit each other",
            "no",
            "the details name each thing that is wrong; the table must be there first",
        ),
        "TooManyRequests": _E("too many calls in a short time", "later", "wait as long as Retry-After says"),
        # ----------------------------------------------------------------------------------------------------- Key Vault
        "ForbiddenByRbac": _E(
            "no role with data actions lets the caller do this in the vault: Owner and Contributor read no secrets",
            "later",
            "give Key Vault Secrets User to read, or Secrets Officer to write; a new role takes up to ten minutes",
        ),
        "AccessDenied": _E(
            "the vault goes by access policies, and none permits this to the caller",
            "no",
            "add an access policy, or turn on `enableRbacAuthorization` and give a role",
        ),
        "ObjectIsDeletedButRecoverable": _E(
            "a deleted secret of this name can still be recovered", "no", "recover it, or purge it first"
        ),
        "SecretDisabled": _E("the newest version of the secret is disabled", "no", "enable it, or set a new version"),
        "SecretNotFound": _E("the vault has no such secret, or it was deleted", "no", "check its name; recover it"),
        "VaultAlreadyExists": _E(
            "the name is taken: names of vaults are unique in all of Azure, deleted ones included",
            "no",
            "choose another, or purge the deleted vault",
        ),
        # ------------------------------------------------------------------------------------------------- Azure Monitor
        "InsufficientAccessError": _E(
            "no effective role lets the caller query this workspace: none is given, or elsewhere, or it is new (up to an hour)",
            "later",
            "see `python3 -m entrant check -s {stack}`; if the role is declared, `python3 -m entrant wait -s {stack}`",
        ),
        "PathNotFoundError": _E("no such workspace or resource", "no", "check the workspace's id"),
        "WorkspaceNotFoundError": _E("no such workspace", "no", "check the workspace's id"),
        "BadArgumentError": _E("the query cannot be run", "no", "the inner message says where it is wrong"),
        "ThrottledError": _E("too many queries in a short time", "later", "wait as long as Retry-After says"),
    }
)
"""Error code → explanation. Codes compare as they are written."""


def codes(text: str) -> list[str]:
    """The words of a text that look like an error code, in their order, known or not."""
    return re.findall(r"AADSTS\d+|[A-Z][A-Za-z_]{5,}", text)
