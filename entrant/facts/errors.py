"""What Azure's error codes mean: the cause, whether trying again helps, and what to do.

Sources: "Microsoft Entra authentication and authorization error codes", "Troubleshoot Azure RBAC", "Resolve common errors" of
Resource Manager, "Microsoft Graph error responses", "Azure Key Vault REST API error codes", "Azure Monitor Log Analytics API
errors", and the messages themselves.

One module: it is a table, and a code is looked for in one place.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, cast
from urllib.parse import unquote_plus

Retry = Literal["no", "later", "once"]


class Explanation(NamedTuple):
    """Why a service refused. `retry`: `no` it stays so; `later` it may pass by itself; `once` a fresh attempt may do.

    `cause` and `remedy` are sentences; `remedy` may hold `{stack}` and `{app}` for a caller to fill.
    """

    cause: str
    retry: Retry
    remedy: str


_TABLE = """
# Microsoft Entra ID, tokens
AADSTS7000215 (later) the client secret is not one of this app's: a wrong value, another app's, the secret's id in its
  place, or one so new that it is not known everywhere yet
  > take the secret from the stack's outputs; a new one works after 4 to 20 seconds
AADSTS7000222 (no) the client secret has expired
  > run `pulumi up -s {stack}`, which declares the calendar's next one
AADSTS700016 (later) the tenant has no such application: it was deleted, belongs to another tenant, or was registered
  seconds ago
  > check the tenant id and client id against `pulumi stack output -s {stack}`; after an `up`, try again in half a
    minute
AADSTS7000229 (later) the application has no service principal in this tenant
  > run `pulumi up -s {stack}`; after an `up`, try again in half a minute
AADSTS7000112 (no) the application's service principal is disabled
  > enable it: `service_principal: {enabled: true}`
AADSTS90002 (no) there is no such tenant in this cloud
  > check the tenant id, and `cloud:` in the environment's file
AADSTS900023 (no) the tenant is neither a GUID nor a domain
  > check the tenant id
AADSTS900144 (no) the token request lacks a parameter
  > name it; a client_credentials request has client_id and scope
AADSTS70011 (no) the scope is malformed
  > ask for one resource, such as https://api.loganalytics.io/.default
AADSTS1002012 (no) with client credentials the scope is a resource followed by /.default
  > end the scope in /.default
AADSTS500011 (no) the tenant knows no resource by that audience: misspelt, or its service principal is missing here
  > use an audience by name (`logs`, `metrics`, `arm`, …); slashes count
AADSTS501051 (no) the resource wants an assignment and this app has none
  > give the app one of the resource's app roles
AADSTS700027 (later) the certificate that signed the request is not registered on this app
  > compare its thumbprint with the app's certificates; a new one takes some seconds to be known
AADSTS700024 (once) the signed request is outside its own validity: a slow or fast clock, or a token used too late
  > set the clock by NTP; ask for the federated token right before using it
AADSTS700023 (no) the assertion was made for another audience
  > its audience is the token endpoint's URL
AADSTS70021 (later) no federated credential of the app matches the token's issuer, subject and audience
  > compare them letter by letter with the app's `federated:` entries; case counts
AADSTS700211 (later) no federated credential of the app has the token's issuer
  > compare `issuer` with the token's iss
AADSTS700212 (later) no federated credential of the app has the token's audience
  > compare `audience` with the token's aud
AADSTS700213 (later) no federated credential of the app has the token's subject
  > compare `subject` with the token's sub
AADSTS7000216 (no) the request carries no secret, certificate or assertion
  > give the app a credential
AADSTS700025 (no) the app is a public client and takes no secret
  > turn off `public_client.fallback`
AADSTS1000502 (no) the certificate that signed the request is outside its validity
  > sign with one that is valid today
AADSTS50027 (no) the signed request is no valid JWT
  > send the token as it was issued, whole
AADSTS50013 (no) the signature of the assertion cannot be verified with its issuer's keys
  > check that the token is of the declared issuer, and that the issuer publishes its keys
AADSTS700021 (no) the signed request is another application's than `client_id` says
  > its iss and sub are the client id
AADSTS50059 (no) a client cannot sign in by itself at common, organizations or consumers
  > name the tenant in the URL
AADSTS70003 (no) no such grant type
  > an app without a user uses client_credentials
AADSTS28000 (no) the scope names more than one resource
  > ask for a token for each
AADSTS901002 (no) the v2.0 endpoint takes no `resource`
  > send `scope`: the resource followed by /.default
AADSTS900561 (no) the token endpoint was called by GET
  > send a POST with a form
AADSTS53003 (no) a Conditional Access policy blocks this sign-in
  > ask who owns the policy for workload identities
AADSTS50196 (later) the same request was made too often in a short time
  > reuse tokens: they last about an hour
AADSTS90033 (later) a part of Entra ID is unavailable for the moment
  > try again
AADSTS90006 (later) an external service gave no answer
  > try again
AADSTS7002138 (no) the token's subject equals a federated credential's but for upper and lower case, which count
  > copy `subject` from the token's sub, or repository and environment with the case that GitHub shows
AADSTS70002 (no) the client's credential is not right
  > take secret or certificate from the stack's outputs
AADSTS70001, AADSTS700011 (no) the tenant has no such application, or it is disabled
  > check the tenant id and client id against `pulumi stack output -s {stack}`
AADSTS7000218 (no) the request carries neither client_secret nor client_assertion, and the app is no public client
  > give the app a credential; check that the variable that holds it is set
AADSTS7000113, AADSTS7000114 (no) an app's own token cannot be exchanged on behalf of a user
  > use client_credentials; on-behalf-of is for an API that a signed-in user calls
AADSTS700222, AADSTS700226 (no) of the tokens that Entra ID issues only a managed identity's stands for a secret
  > send the managed identity's own token, or an outside issuer's
AADSTS70025 (later) the app has no federated credential at all
  > declare one in `federated:`, and check the client id
AADSTS700223, AADSTS700238 (no) a policy of the tenant switches workload identity federation off, or this issuer
  > ask who owns the tenant's policies for app management; until then a certificate or a managed identity
AADSTS7002381 (no) a policy of the tenant wants GitHub's tokens to name the owning enterprise, and this one names none or another
  > run the workflow in a repository of that enterprise, or ask who owns the tenant's policies
AADSTS700229 (no) the token of Entra ID that was sent is a user's, and only an app's or a managed identity's is taken
  > get it by client_credentials or from the managed identity's endpoint
AADSTS700236 (no) the token is one of another tenant of Entra ID, and this tenant takes none of those
  > use a managed identity of the app's own tenant, or a certificate
AADSTS700231 (no) the token was itself got by a federated credential, and such tokens cannot stand for a secret again
  > send the outside issuer's token, or the managed identity's own
AADSTS700030 (no) the names in the certificate are not those that the application trusts
  > sign with a certificate whose subject the app declares
AADSTS700022 (no) the scope names more than one resource
  > ask for a token for each
AADSTS50000 (later) Entra ID could not issue the token
  > try again; if it stays, give Microsoft the trace id
AADSTS50001, AADSTS500014 (no) the resource is disabled in this tenant, or there is none by that audience
  > use an audience by name; an administrator enables its enterprise application
AADSTS50002, AADSTS500021, AADSTS500022 (no) the network's proxy lets nobody sign in to this tenant (tenant
  restrictions)
  > ask who runs the proxy to allow the tenant
AADSTS50003, AADSTS50006 (no) the signature cannot be verified: no key for it is known
  > check which certificate signed, and that the app declares it
AADSTS50012 (no) the certificate or the assertion was refused: its name, chain, thumbprint or signature
  > compare its thumbprint with the app's certificates
AADSTS500133 (once) the assertion is outside its own validity
  > get a fresh one right before using it; set the clock by NTP
AADSTS50033, AADSTS90012, AADSTS90024, AADSTS90090, AADSTS90091 (later) a part of Entra ID failed for the moment
  > try again
AADSTS50034 (no) the tenant has no such user
  > an app signs in by its client id with client_credentials, not as a user
AADSTS50048 (no) issuer and subject of the signed request differ
  > iss and sub of a request signed with a certificate are the client id
AADSTS50049 (no) there is no such cloud
  > check AZURE_AUTHORITY_HOST and `cloud:` in the environment's file
AADSTS50076, AADSTS50079, AADSTS50158 (no) a user's sign-in needs a second factor
  > pipelines sign in as an app: use its credential
AADSTS50105 (no) the API wants whoever calls it to be assigned, and the caller is not
  > give the app one of the API's app roles: `permissions:` with `consent: true`
AADSTS50128, AADSTS90019 (no) nothing in the request names a tenant
  > put the tenant id into the URL
AADSTS50194 (no) the application belongs to one tenant, and the request went to /common
  > name the tenant in the URL
AADSTS53000, AADSTS53001, AADSTS530032, AADSTS530034, AADSTS530035 (no) a policy of the tenant blocks this sign-in
  > ask who owns the tenant's Conditional Access policies
AADSTS65001 (no) nobody has consented to this permission of the API
  > declare it in `permissions:` with `consent: true`, or let an administrator consent
AADSTS65005, AADSTS650056 (no) the application asks for a permission that its registration does not name, or is not
  consented
  > declare it in `permissions:` with `consent: true`
AADSTS650052, AADSTS650051, AADSTS650054 (no) the tenant has no service principal of the API, or no subscription to it
  > let an administrator add it: az ad sp create --id <the API's client id>
AADSTS650057 (no) the resource is not among the permissions that the application's registration names
  > declare the API in `permissions:`; check the audience
AADSTS90004, AADSTS90013, AADSTS90014, AADSTS90023, AADSTS90100, AADSTS9002313 (no) the token request is malformed
  > the message names the parameter
AADSTS90009 (no) the application asks for a token for itself by a name that is not its client id
  > ask for <client id>/.default
AADSTS90027, AADSTS9001023, AADSTS90124, AADSTS90130 (no) this request cannot go to /common or /consumers
  > name the tenant in the URL
AADSTS90036, AADSTS90092 (later) Entra ID's directory failed in a way that another try will not mend at once
  > try again later; if it stays, give Microsoft the trace id
AADSTS90038, AADSTS90043, AADSTS90051, AADSTS900382, AADSTS900432 (no) the tenant is in another of Microsoft's clouds
  > set `cloud:` in the environment's file, and AZURE_AUTHORITY_HOST
AADSTS900384 (no) the signature of a token in the request is wrong
  > send the token as it was issued, whole
AADSTS90055, AADSTS90025 (later) the tenant makes too many requests
  > reuse tokens: they last about an hour
AADSTS90072 (no) the account is not in this tenant
  > sign in to the tenant of the app
AADSTS90093 (no) Microsoft Graph forbids this to the caller
  > give the caller the permission, or let an administrator do it
AADSTS90094, AADSTS90095 (no) only an administrator may consent to this
  > declare it with `consent: true` and deploy as somebody who may consent, or ask an administrator
AADSTS90099 (no) the application is not authorized in this tenant
  > let an administrator of the tenant consent to it
AADSTS1000031 (no) the application cannot be used for the moment: Microsoft or an administrator has stopped it
  > ask the tenant's administrator
AADSTS100007 (no) regional endpoints of Entra ID take only managed identities and Microsoft's own apps
  > unset AZURE_REGIONAL_AUTHORITY_NAME
AADSTS7500514, AADSTS75005 (no) that is an answer of the SAML protocol
  > an app without a user uses OAuth 2.0 client_credentials

# Microsoft Graph
Authorization_RequestDenied (no) the caller lacks a directory permission for this
  > to read, the caller needs Application.Read.All and Directory.Read.All, or the role Global Reader; to deploy,
    Application.ReadWrite.OwnedBy, and AppRoleAssignment.ReadWrite.All to consent, or a directory role
Request_ResourceNotFound (later) no such object in the directory: deleted, or made seconds ago and not replicated yet
  > try again in some seconds
NoBackingApplicationObject (later) the application of the new service principal is unknown: deleted, or made seconds
  ago and not replicated yet
  > try again in some seconds
Request_BadRequest (no) a property or the query is not valid
  > the message names it
Request_MultipleObjectsWithSameKeyValue (no) another object has this value where only one may
  > the message names it: choose another value
CredentialInvalidLifetimeAsPerAppPolicy (no) the tenant's app management policy allows no secret of this lifetime
  > shorten `every` plus `overlap`
CredentialTypeNotAllowedAsPerAppPolicy (no) the tenant's app management policy allows no client secrets
  > use `federated:` or `certificates:` with `secret: false`
Directory_QuotaExceeded (no) the directory quota is used up: 250 objects for a caller without an administrator role;
  deleted ones count 30 days
  > delete what is no longer used for good, or use an identity with a directory role
Directory_ConcurrencyViolation (once) two writes met at one object
  > try again
CannotDeleteOrUpdateEnabledEntitlement (once) an enabled app role or scope cannot be removed
  > disable it first; the azuread provider does so by itself
HostNameNotOnVerifiedDomain (no) an identifier URI must be api://<client id> or use a verified domain of the tenant
  > change `identifier_uris`
Authentication_MissingOrMalformed (once) the token is missing or malformed
  > get a fresh token with `token {app} graph`
Authentication_ExpiredToken (once) the token has expired
  > get a fresh token; check the clock
Authentication_RequestFromNonPremiumTenantOrB2CTenant (no) the tenant's licence does not include this
  > it needs Microsoft Entra ID P1 or P2
Authorization_IdentityNotFound (later) the caller is not in this directory: another tenant's token, or made seconds
  ago
  > check the tenant id; try again in some seconds
Authorization_Forbidden (no) the caller may not do this
  > the message names the permission or the role
Request_UnsupportedQuery (no) the list cannot be filtered, sorted or counted like that
  > send `ConsistencyLevel: eventual` and `$count=true`, or use a simpler filter
Request_InvalidReplicatedUpdate, Service_InternalServerError (later) the directory failed for the moment
  > try again
Request_ThrottledTemporarily (later) too many calls in a short time
  > wait as long as Retry-After says
Directory_ExpiredPageToken (once) the list's next page is no longer kept
  > list again from the first page
Directory_ObjectSizeExceeded (no) the object is full: keys, credentials, permissions and roles together
  > remove credentials and permissions that are no longer used
Directory_ResourceSizeExceeded, Directory_ObjectQuotaExceeded (no) a limit of the directory is reached
  > delete what is no longer used
DuplicateValue, InvalidValue, PropertyNotUpdatable, ObjectConflict (no) a property has a value that it cannot have
  > the message names it
KeyCredentialsInvalidKey, KeyCredentialsDuplicateKeyId (no) the certificate cannot be a key of the app
  > send the X.509 certificate (PEM or DER) with an RSA key, each once
KeyCredentialsInvalidEndDate, KeyCredentialsInvalidStartDate (no) the key's dates are not within the certificate's
  > use the certificate's own dates, and one that is valid today
PasswordCredentialsInvalidEndDate (no) the secret's dates cannot be
  > let it end later than it starts
FailedDependency (once) another request of the batch, which this one depends on, failed
  > the other one's error says why
Forbidden (no) the caller may not do this
  > the inner error or the message says which right is lacking
Unauthorized (once) no token, an expired one, or one for another API
  > get a fresh token by its audience's name

# Azure Resource Manager
AuthorizationFailed (later) no role of the caller allows this at this scope; a role given in the last ten minutes may
  not be effective yet
  > see `python3 -m entrant check -s {stack}`; if the role is declared, `python3 -m entrant wait -s {stack}`
LinkedAuthorizationFailed (no) the caller may do this, but not at another scope that it touches
  > give a role at the linked scope in the message
RoleAssignmentExists (no) the same principal already has this role at this scope, under another assignment name
  > take it over with `adopt:` or delete it
RoleAssignmentUpdateNotPermitted (no) an assignment's principal, role and scope cannot be changed under the same name
  > delete the stale assignment
RoleAssignmentLimitExceeded (no) the subscription has its 4,000 role assignments
  > assign to groups or at wider scopes; remove orphans
RoleAssignmentNotFound (no) no role assignment of this name at this scope
  > check name and scope
UnmatchedPrincipalType (no) the principal is of another type than `principalType` says
  > set the type it has, or none
RoleDefinitionHasAssignments (no) the custom role is still assigned
  > delete its assignments first, at every scope
RoleScopeBeingRemovedContainsAssignments (no) the custom role is assigned at or below a scope that is taken from it
  > delete these assignments first, in an `up` of its own, then take the scope out
RoleAssignmentScopeNotAssignableToRoleDefinition (later) the custom role's assignable scopes do not contain this scope, or
  do so only since a moment ago
  > add the scope to the role's assignable scopes
RoleDefinitionWithSameNameExists (no) the tenant has a custom role of this name
  > choose another name: it is unique in the tenant
PrincipalNotFound (later) the principal is not in the directory: not replicated yet, or an application's id in place
  of its service principal's
  > check that the id is the service principal's object id
InvalidPrincipalId (no) the principal id is not a GUID
  > use the service principal's object id
RoleDefinitionDoesNotExist (no) no such role definition at this scope
  > check the role's name or GUID
BadRequestFormat (no) the request is malformed; a role definition is named by its full id, not its GUID
  > use the full id
InvalidAuthenticationTokenTenant (no) the token is from another tenant than the subscription's
  > check the tenant id, and the subscription in the scope
InvalidAuthenticationTokenAudience (no) the token was made for another API
  > get one for this API by its audience's name; slashes count
InvalidAuthenticationToken (once) the token is malformed, expired, or of another issuer
  > get a fresh token for this API
ExpiredAuthenticationToken (once) the token has expired
  > get a fresh token; check the clock
AuthenticationFailed (no) the call carries no token that can be read
  > send `Authorization: Bearer <token>`
SubscriptionNotFound (no) no such subscription, or the caller has no role anywhere in it
  > check the subscription id and the caller's roles
ResourceGroupNotFound (no) no such resource group
  > check its name
ResourceNotFound (no) no such resource
  > check the scope in the environment's file
MissingApiVersionParameter (no) the request has no api-version
  > add ?api-version=, such as 2022-04-01 for role assignments
InvalidApiVersionParameter (no) no such api-version
  > the message names those that are known
InvalidResourceType (no) the provider has no such resource type
  > check the path's spelling
InvalidRequestContent (no) the body is not what this request takes
  > the message says what is wrong
LocationRequired (no) a new resource has no location
  > add `location`
UnsupportedQuery (no) the list has no such filter
  > use one that the message names
AnotherOperationInProgress (later) a change of this resource, or of one it depends on, has not ended
  > wait until it has, and try again
ResourceGroupBeingDeleted (later) the resource group is being deleted
  > wait until it is gone, and make it anew
ScopeLocked (no) a lock on the scope forbids changes
  > remove the lock, or ask who set it
RequestDisallowedByPolicy (no) an Azure Policy forbids this
  > the message names the policy
MissingSubscriptionRegistration (once) the subscription is not registered for this resource provider
  > az provider register --namespace <name>
InvalidRoleAssignmentCondition (no) the condition of the role assignment cannot be read
  > the message says at which character
ManagementGroupNotFound (no) no such management group
  > check its name, which is not its display name
InvalidPayload (no) a data collection rule whose streams, destinations and tables do not fit each other
  > the details name each thing that is wrong; the table must be there first
TooManyRequests (later) too many calls in a short time
  > wait as long as Retry-After says
InvalidAuthenticationInfo (once) the `Authorization` header cannot be read
  > send `Authorization: Bearer <token>`
AuthorizationPermissionMismatch (later) no data role lets the caller do this at the storage account
  > give Storage Blob Data Reader or another data role; it takes up to ten minutes
DenyAssignmentAuthorizationFailed (no) a deny assignment forbids this, whatever roles the caller has
  > ask who owns the deployment stack or managed application that made it
RoleAssignmentScopeNotAllowed, RequestDisallowedByAzure (no) Azure does not let anybody do this at this scope
  > choose another scope; the message says why
RoleDefinitionIsBuiltIn (no) a built-in role cannot be changed or deleted
  > make a custom role
RoleDefinitionLimitExceeded (no) the tenant has its 5,000 custom roles (2,000 in China)
  > delete custom roles that nobody is assigned
InvalidAssignableScope, InvalidRoleDefinitionName, InvalidRoleDefinitionPermissions, InvalidRoleDefinitionId,
  InvalidActionOrNotAction, MissingRoleDefinitionScope (no) the custom role is not one that Azure takes
  > the message names what is wrong
InvalidRoleAssignmentId, InvalidPrincipalType, InvalidConditionVersion (no) the role assignment is malformed
  > its name is a GUID, `principalType` is one of Azure's, `conditionVersion` is "2.0"
InvalidSubscriptionId, MissingSubscription (no) the path has no subscription's GUID
  > check the scope in the environment's file
InvalidResourceGroup, InvalidResourceGroupLocation, InvalidResourceNamespace, InvalidResourceAction, InvalidTags,
  InvalidParameter, InvalidRequestFormat, InvalidTemplate (no) a part of the path or the body cannot be
  > the message names it
InvalidGroupId, InvalidParentId (no) the management group, or what stands above it, cannot be
  > the message names it
UnsupportedFilter (no) the list has no such filter
  > use one that the message names
NoRegisteredProviderFound (no) the resource provider has no such type, API version or region
  > the message names those that it has
SubscriptionNotRegistered (once) the subscription is not registered for this resource provider
  > az provider register --namespace <name>
DisallowedOperation, ReadOnlyDisabledSubscription (no) the subscription is disabled or read-only
  > see its state and its bill in the portal
ResourceGroupQuotaExceeded, QuotaExceeded (no) a quota is used up
  > delete what is not used, or ask for more
DeploymentNotFound, DeploymentsNotSupported (no) the local Azure knows no template deployments
  > declare resources instead
DeploymentFailed (no) one of the deployment's resources failed
  > the details name it
OperationNotAllowed (no) Azure does not allow this operation on this resource as it is
  > the message says what stands against it
OperationNotFound, OperationIdNotFound (no) the operation is over and forgotten, or there was none
  > look at the resource itself
OperationFailed (no) the work did not succeed
  > the message or the details say why
PreconditionFailed (once) the object was changed in between
  > read it again, and repeat the change
Conflict, ConflictError (once) the object's present state, or another one of its name, is in the way
  > the message says what it is
SubscriptionRequestsThrottled, ResourceRequestsThrottled (later) too many calls in a short time
  > wait as long as Retry-After says
BadRequest (no) the request is malformed
  > the message says what is wrong
NotFound (no) there is nothing at this address, or the caller may not know of it
  > check the id in the address
MethodNotAllowed (no) the address does not take this HTTP method
  > check the method in the API's reference
UnsupportedMediaType (no) the body's type or encoding is not taken
  > send application/json, plain or gzip
RequestEntityTooLarge, ContentLengthLimitExceeded, RequestBodyTooLarge (no) the body is too large
  > send less at a time
InternalServerError, BadGateway, ServiceUnavailable, GatewayTimeout, ServerTimeout, RequestTimeout,
  ServiceUnavailableError, GatewayTimeoutError, InternalError (later) the service failed for the moment
  > try again

# Key Vault
ForbiddenByRbac (later) no role with data actions lets the caller do this in the vault: Owner and Contributor read no
  secrets
  > give Key Vault Secrets User to read, or Secrets Officer to write; a new role takes up to ten minutes
AccessDenied (no) the vault goes by access policies, and none permits this to the caller
  > add an access policy, or turn on `enableRbacAuthorization` and give a role
ObjectIsDeletedButRecoverable (no) a deleted secret of this name can still be recovered
  > recover it, or purge it first
SecretDisabled (no) the newest version of the secret is disabled
  > enable it, or set a new version
SecretNotFound (no) the vault has no such secret, or it was deleted
  > check its name; recover it
VaultAlreadyExists (no) the name is taken: names of vaults are unique in all of Azure, deleted ones included
  > choose another, or purge the deleted vault
ForbiddenByPolicy (no) the vault goes by access policies, and none permits this to the caller
  > add an access policy, or turn on `enableRbacAuthorization` and give a role
ForbiddenByFirewall, ForbiddenByConnection (no) the vault's firewall lets no calls in from this address
  > call from an allowed network or its private endpoint, or add the address to the vault's firewall
PurgeProtectionEnabled (no) the vault is protected from purging
  > wait until the deleted object's retention is over
VaultNotFound, DeletedVaultNotFound (no) no such vault
  > check its name and its subscription
VaultNameNotValid (no) the name is not one that a vault can have
  > 3 to 24 letters, digits and hyphens, beginning with a letter
SecretDeletedButRecoverable (no) a deleted secret of this name can still be recovered
  > recover it, or purge it first
KeyNotFound, CertificateNotFound (no) the vault has no such object, or it was deleted
  > check its name; recover it
BadParameter (no) a part of the request to the vault cannot be
  > the message names it

# Azure Monitor
InsufficientAccessError (later) no effective role lets the caller query this workspace or component: none is given, or
  elsewhere, or it is new (up to an hour)
  > see `python3 -m entrant check -s {stack}`; if the role is declared, `python3 -m entrant wait -s {stack}`
PathNotFoundError (no) no such workspace, component or resource
  > check the workspace's id
WorkspaceNotFoundError (no) no such workspace
  > check the workspace's id
BadArgumentError (no) the query cannot be run
  > the inner message says where it is wrong
ThrottledError (later) too many queries in a short time
  > wait as long as Retry-After says
SemanticError (no) the query names a table, column or function that is not there, or joins what does not fit
  > the inner message names it; a new table or column takes minutes to be there
SyntaxError (no) the query cannot be read as KQL
  > the inner message names line and column
PartialError (no) the query gave only a part of its result
  > the details say why: usually too many rows, or too much work; filter or summarize earlier
InvalidPropertyValue, InvalidPropertyName (no) a part of the request to the query API cannot be
  > the inner message names it
QueryValidationError, QueryExecutionError, EngineError, GeneralError (no) the query did not run to its end
  > the inner message says why
UnauthorizedClient (no) the app has no role that lets it query this
  > give it Log Analytics Reader or Monitoring Reader there; a new role takes up to an hour
InvalidTokenError (once) the token is malformed, expired, or made for another API
  > get a fresh token for `logs`
NoAuthorizationProvidedError, AuthorizationRequiredError (no) the call carries no token, or one for another API
  > send `Authorization: Bearer <token>` with one for `logs`
E_RUNAWAY_QUERY, E_LOW_MEMORY_CONDITION (no) the query needs more memory or time than one query gets
  > filter by time and summarize earlier, and join smaller tables
E_QUERY_RESULT_SET_TOO_LARGE (no) the result has more rows or bytes than one query gives (500,000 rows, 64 MB)
  > summarize, or ask for a shorter time span at a time
E_QUERY_TIMEOUT, QueryTimeoutError (later) the query took longer than it may (3 minutes unless `Prefer: wait=` says
  more)
  > ask for a shorter time span
WorkspaceNotProvisionedError (later) the workspace is still being set up
  > try again in some minutes
EventNotFoundError (no) no such event in the component, or none in the time span
  > check its id; ask with a longer `--timespan`
ApplicationNotFoundError, AppNotFoundError (no) no such Application Insights component
  > check the app id, which stands under API Access in the portal
InvalidStream, InvalidTransformOutput (no) the records do not fit the data collection rule
  > compare stream and columns with the rule

# The local Azure's own
AdminKeyRequired, OwnerRequired, LinkUsed, CrossSite, WrongHost (no) this part of the local Azure is for its owner
  alone
  > open the address that `local status` or `local page` prints
LocalAzureFault (no) the local Azure has a fault of its own
  > please report it with what `local log` shows
"""
"""Codes, in parentheses whether to try again, the cause; after `>` the remedy. Indented lines continue the one before."""


def _read(table: str) -> Iterator[tuple[str, Explanation]]:
    entry = re.compile(r"^(\w[\w\s,]*) \((no|later|once)\) (.+(?:\n  (?!>).+)*)\n  > (.+(?:\n    .+)*)$", re.MULTILINE)
    for names, retry, cause, remedy in entry.findall(table):
        explanation = Explanation(" ".join(cause.split()), cast(Retry, retry), " ".join(remedy.split()))
        yield from ((name, explanation) for name in re.split(r",\s+", names))


EXPLANATIONS: Mapping[str, Explanation] = MappingProxyType(dict(_read(_TABLE)))
"""Error code as Azure writes it → explanation. `find` also finds codes in other case, and Kusto's families of codes."""

_BY_LOWER = {code.lower(): code for code in EXPLANATIONS}
_FAMILIES = {"sem": "SemanticError", "syn": "SyntaxError"}


def find(code: str) -> tuple[str, Explanation] | None:
    """A code as Azure writes it, and its explanation; None if it is not known. Case makes no difference.

    >>> find("aadsts7000222")[0]
    'AADSTS7000222'
    """
    if known := _BY_LOWER.get(code.lower()):
        return known, EXPLANATIONS[known]
    if re.fullmatch(r"(?i)(SEM|SYN)\d{4}", code):  # Kusto's numbers of semantic and syntax errors
        return code.upper(), EXPLANATIONS[_FAMILIES[code[:3].lower()]]
    return None


def codes(text: str) -> list[str]:
    """The known codes in a text, in their order, as Azure writes them; URL-encoded text is decoded.

    A code that is a plain word (`Forbidden`, `Conflict`) is one only alone or after "code".
    """
    for _ in range(3):  # a URL inside a URL
        if re.search(r"%[0-9A-Fa-f]{2}", text):
            text = unquote_plus(text)
    found = []
    for word in re.finditer(r"[A-Za-z][A-Za-z_]+\d*", text):
        known = find(word[0])
        if known is None:
            continue
        before = text[max(0, word.start() - 12) : word.start()]
        stands_out = re.search(r"[A-Z].*[A-Z_]|_|\d", known[0]) or text.strip() == word[0]
        if stands_out or re.search(r"(?i)\bcode\W{1,6}\Z", before):
            found.append(known[0])
    return found
