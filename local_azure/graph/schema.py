"""The properties of Graph's objects: type, default, who may write them.

Source: Microsoft Graph v1.0 and beta reference (resource types application, servicePrincipal, group, user, and the complex types in
them). A property that is not listed is refused as Graph refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping

from local_azure.graph.types import Binary, Bool, Complex, Guid, Int, Many, Str, Time, Type

APP_ROLE = Complex(
    of={
        "allowedMemberTypes": Many(of=Str(options=("User", "Application"))),
        "description": Str(),
        "displayName": Str(),
        "id": Guid(),
        "isEnabled": Bool(default=True),
        "origin": Str(read_only=True),
        "value": Str(longest=250),
    },
    required=("id", "displayName", "description", "allowedMemberTypes"),
)
PERMISSION_SCOPE = Complex(
    of={
        "adminConsentDescription": Str(),
        "adminConsentDisplayName": Str(),
        "id": Guid(),
        "isEnabled": Bool(default=True),
        "isPrivate": Bool(),
        "origin": Str(read_only=True),
        "type": Str(options=("User", "Admin")),
        "userConsentDescription": Str(),
        "userConsentDisplayName": Str(),
        "value": Str(longest=250),
    },
    required=("id",),
)
PASSWORD = Complex(
    of={
        "customKeyIdentifier": Binary(),
        "displayName": Str(longest=256),
        "endDateTime": Time(),
        "hint": Str(read_only=True),
        "keyId": Guid(),
        "secretText": Str(read_only=True),
        "startDateTime": Time(),
    }
)
KEY = Complex(
    of={
        "customKeyIdentifier": Binary(),
        "displayName": Str(longest=256),
        "endDateTime": Time(),
        "hasExtendedValue": Bool(),
        "key": Binary(),
        "keyId": Guid(),
        "startDateTime": Time(),
        "type": Str(options=("AsymmetricX509Cert", "X509CertAndPassword", "Symmetric")),
        "usage": Str(options=("Verify", "Sign", "Encrypt", "Decrypt", "PairwiseIdentifier", "None")),
    }
)
CLAIM = Complex(
    of={"additionalProperties": Many(), "essential": Bool(default=False), "name": Str(), "source": Str()},
    required=("name",),
)
SAML = Complex(of={"relayState": Str()})
ADD_INS = Many(of=Complex(of={"id": Guid(), "properties": Many(of=Complex()), "type": Str()}))
INFO = {
    "logoUrl": Str(read_only=True),
    "marketingUrl": Str(),
    "privacyStatementUrl": Str(),
    "supportUrl": Str(),
    "termsOfServiceUrl": Str(),
}
VERIFIED_PUBLISHER = Complex(
    of={"addedDateTime": Time(), "displayName": Str(), "verifiedPublisherId": Str()}, read_only=True
)
SIGN_IN = Str(
    options=("AzureADMyOrg", "AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount"),
    default="AzureADMyOrg",
)

APPLICATION: Mapping[str, Type] = {
    "id": Guid(read_only=True),
    "deletedDateTime": Time(read_only=True),
    "appId": Guid(read_only=True),
    "applicationTemplateId": Str(read_only=True),
    "disabledByMicrosoftStatus": Str(read_only=True),
    "createdDateTime": Time(read_only=True),
    "displayName": Str(longest=256),
    "description": Str(longest=1024),
    "groupMembershipClaims": Str(),
    "identifierUris": Many(of=Str(longest=255)),
    "isDeviceOnlyAuthSupported": Bool(),
    "isFallbackPublicClient": Bool(),
    "notes": Str(longest=1024),
    "publisherDomain": Str(read_only=True),
    "serviceManagementReference": Str(longest=128),
    "signInAudience": SIGN_IN,
    "tags": Many(of=Str(longest=256)),
    "tokenEncryptionKeyId": Guid(),
    "uniqueName": Str(longest=256),
    "samlMetadataUrl": Str(),
    "defaultRedirectUri": Str(),
    "certification": Complex(read_only=True),
    "optionalClaims": Complex(
        of={"accessToken": Many(of=CLAIM), "idToken": Many(of=CLAIM), "saml2Token": Many(of=CLAIM)}, whole=True
    ),
    "servicePrincipalLockConfiguration": Complex(),
    "requestSignatureVerification": Complex(),
    "nativeAuthenticationApisEnabled": Str(),
    "authenticationBehaviors": Complex(),
    "addIns": ADD_INS,
    "api": Complex(
        of={
            "acceptMappedClaims": Bool(),
            "knownClientApplications": Many(of=Guid()),
            "requestedAccessTokenVersion": Int(),
            "oauth2PermissionScopes": Many(of=PERMISSION_SCOPE),
            "preAuthorizedApplications": Many(
                of=Complex(
                    of={"appId": Guid(), "delegatedPermissionIds": Many(of=Guid()), "permissionIds": Many(of=Guid())}
                )
            ),
        }
    ),
    "appRoles": Many(of=APP_ROLE),
    "info": Complex(of=INFO),
    "keyCredentials": Many(of=KEY),
    "parentalControlSettings": Complex(
        of={"countriesBlockedForMinors": Many(), "legalAgeGroupRule": Str(default="Allow")}
    ),
    "passwordCredentials": Many(of=PASSWORD),
    "publicClient": Complex(of={"redirectUris": Many()}),
    "requiredResourceAccess": Many(
        of=Complex(
            of={
                "resourceAppId": Str(longest=64),
                "resourceAccess": Many(
                    of=Complex(of={"id": Guid(), "type": Str(options=("Scope", "Role"))}, required=("id",))
                ),
            },
            required=("resourceAppId",),
        )
    ),
    "verifiedPublisher": VERIFIED_PUBLISHER,
    "web": Complex(
        of={
            "homePageUrl": Str(),
            "logoutUrl": Str(longest=255),
            "redirectUris": Many(),
            "implicitGrantSettings": Complex(
                of={"enableAccessTokenIssuance": Bool(default=False), "enableIdTokenIssuance": Bool(default=False)}
            ),
            "redirectUriSettings": Many(of=Complex()),
        }
    ),
    "spa": Complex(of={"redirectUris": Many()}),
    "windows": Complex(of={"packageSid": Str(), "redirectUris": Many()}),
}
APPLICATION_BETA: Mapping[str, Type] = {
    "oauth2RequirePostResponse": Bool(default=False),
    "isManagementRestricted": Bool(read_only=True),
    "onPremisesPublishing": Complex(),
    "orgRestrictions": Many(of=Guid()),
    "trustedSubjectNameAndIssuers": Many(of=Complex()),
}

SERVICE_PRINCIPAL: Mapping[str, Type] = {
    "id": Guid(read_only=True),
    "deletedDateTime": Time(read_only=True),
    "accountEnabled": Bool(default=True),
    "alternativeNames": Many(),
    "appDisplayName": Str(read_only=True),
    "appDescription": Str(read_only=True),
    "appId": Guid(),
    "applicationTemplateId": Str(read_only=True),
    "appOwnerOrganizationId": Guid(read_only=True),
    "appRoleAssignmentRequired": Bool(default=False),
    "createdDateTime": Time(read_only=True),
    "customSecurityAttributes": Complex(),
    "description": Str(longest=1024),
    "disabledByMicrosoftStatus": Str(read_only=True),
    "displayName": Str(longest=256),
    "homepage": Str(),
    "loginUrl": Str(),
    "logoutUrl": Str(),
    "notes": Str(longest=1024),
    "notificationEmailAddresses": Many(),
    "preferredSingleSignOnMode": Str(longest=64),
    "preferredTokenSigningKeyThumbprint": Str(longest=128),
    "replyUrls": Many(),
    "servicePrincipalNames": Many(),
    "servicePrincipalType": Str(default="Application"),
    "signInAudience": Str(read_only=True),
    "tags": Many(of=Str(longest=256)),
    "tokenEncryptionKeyId": Guid(),
    "samlSingleSignOnSettings": SAML,
    "addIns": ADD_INS,
    "appRoles": Many(of=APP_ROLE),
    "info": Complex(of=INFO),
    "keyCredentials": Many(of=KEY),
    "oauth2PermissionScopes": Many(of=PERMISSION_SCOPE),
    "passwordCredentials": Many(of=PASSWORD),
    "resourceSpecificApplicationPermissions": Many(of=Complex(), read_only=True),
    "verifiedPublisher": VERIFIED_PUBLISHER,
}
SERVICE_PRINCIPAL_BETA: Mapping[str, Type] = {
    "samlMetadataUrl": Str(),
    "errorUrl": Str(read_only=True),
    "publisherName": Str(read_only=True),
    "isAuthorizationServiceEnabled": Bool(),
}

GROUP: Mapping[str, Type] = {
    "id": Guid(read_only=True),
    "deletedDateTime": Time(read_only=True),
    "classification": Str(),
    "createdDateTime": Time(read_only=True),
    "description": Str(longest=1024),
    "displayName": Str(longest=256),
    "expirationDateTime": Time(read_only=True),
    "groupTypes": Many(),
    "isAssignableToRole": Bool(),
    "isManagementRestricted": Bool(read_only=True),
    "mail": Str(read_only=True),
    "mailEnabled": Bool(default=False),
    "mailNickname": Str(longest=64),
    "membershipRule": Str(longest=3072),
    "membershipRuleProcessingState": Str(options=("On", "Paused")),
    "onPremisesDomainName": Str(read_only=True),
    "onPremisesLastSyncDateTime": Time(read_only=True),
    "onPremisesNetBiosName": Str(read_only=True),
    "onPremisesSamAccountName": Str(read_only=True),
    "onPremisesSecurityIdentifier": Str(read_only=True),
    "onPremisesSyncEnabled": Bool(read_only=True),
    "onPremisesProvisioningErrors": Many(read_only=True),
    "preferredDataLocation": Str(),
    "preferredLanguage": Str(),
    "proxyAddresses": Many(read_only=True),
    "renewedDateTime": Time(read_only=True),
    "resourceBehaviorOptions": Many(),
    "resourceProvisioningOptions": Many(),
    "securityEnabled": Bool(default=False),
    "securityIdentifier": Str(read_only=True),
    "serviceProvisioningErrors": Many(read_only=True),
    "theme": Str(),
    "uniqueName": Str(),
    "visibility": Str(),
}
GROUP_BETA: Mapping[str, Type] = {
    "accessType": Str(),
    "isFavorite": Bool(),
    "writebackConfiguration": Complex(of={"isEnabled": Bool(), "onPremisesGroupType": Str()}),
    "allowExternalSenders": Bool(),
    "autoSubscribeNewMembers": Bool(),
    "hideFromAddressLists": Bool(),
    "hideFromOutlookClients": Bool(),
}

USER: Mapping[str, Type] = {
    "id": Guid(read_only=True),
    "deletedDateTime": Time(read_only=True),
    "accountEnabled": Bool(default=True),
    "ageGroup": Str(),
    "businessPhones": Many(),
    "city": Str(longest=128),
    "companyName": Str(longest=64),
    "consentProvidedForMinor": Str(),
    "country": Str(longest=128),
    "createdDateTime": Time(read_only=True),
    "creationType": Str(read_only=True),
    "department": Str(longest=64),
    "displayName": Str(longest=256),
    "employeeHireDate": Time(),
    "employeeId": Str(longest=16),
    "employeeOrgData": Complex(of={"costCenter": Str(), "division": Str()}),
    "employeeType": Str(),
    "externalUserState": Str(),
    "faxNumber": Str(),
    "givenName": Str(longest=64),
    "imAddresses": Many(read_only=True),
    "jobTitle": Str(longest=128),
    "mail": Str(),
    "mailNickname": Str(longest=64),
    "mobilePhone": Str(longest=64),
    "officeLocation": Str(longest=128),
    "onPremisesImmutableId": Str(),
    "onPremisesSyncEnabled": Bool(read_only=True),
    "onPremisesDistinguishedName": Str(read_only=True),
    "onPremisesDomainName": Str(read_only=True),
    "onPremisesSamAccountName": Str(read_only=True),
    "onPremisesSecurityIdentifier": Str(read_only=True),
    "onPremisesUserPrincipalName": Str(read_only=True),
    "otherMails": Many(),
    "passwordPolicies": Str(),
    "passwordProfile": Complex(
        of={"forceChangePasswordNextSignIn": Bool(), "forceChangePasswordNextSignInWithMfa": Bool(), "password": Str()}
    ),
    "postalCode": Str(longest=40),
    "preferredLanguage": Str(),
    "proxyAddresses": Many(read_only=True),
    "showInAddressList": Bool(),
    "state": Str(longest=128),
    "streetAddress": Str(longest=1024),
    "surname": Str(longest=64),
    "usageLocation": Str(longest=2),
    "userPrincipalName": Str(longest=113),
    "userType": Str(default="Member"),
}

ADMINISTRATIVE_UNIT: Mapping[str, Type] = {
    "id": Guid(read_only=True),
    "deletedDateTime": Time(read_only=True),
    "description": Str(),
    "displayName": Str(longest=256),
    "isMemberManagementRestricted": Bool(default=False),
    "membershipRule": Str(longest=3072),
    "membershipRuleProcessingState": Str(options=("On", "Paused")),
    "membershipType": Str(options=("Assigned", "Dynamic")),
    "visibility": Str(options=("Public", "HiddenMembership")),
}

DIRECTORY_ROLE: Mapping[str, Type] = {
    "id": Guid(read_only=True),
    "deletedDateTime": Time(read_only=True),
    "description": Str(read_only=True),
    "displayName": Str(read_only=True),
    "roleTemplateId": Guid(),
}
