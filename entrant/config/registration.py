"""The app registration and its service principal in the vocabulary."""

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, PlainValidator, StringConstraints, WithJsonSchema

from entrant.facts import limits, risks
from entrant.facts.scopes import is_guid

from .broken import Unknown, intact
from .known import Owner
from .model import Model, Property
from .problems import Refused, shorten
from .source import expected, text_of
from .values import AppRef, Email, Guid, HttpsUrl, HttpUrl, OnRemove, OwnerRef, RenamedFrom, Text, parse_url

_T = TypeVar("_T")

Bool = Annotated[bool, Field(strict=True)]
SignInAudience = Literal[
    "AzureADMyOrg", "AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount"
]
PERSONAL = ("AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount")


def _redirect(value: Any, *, public: bool) -> str:
    text = text_of(value)
    if len(text) > limits.REDIRECT_URI_LENGTH:
        raise Refused(f"a redirect URI has at most {limits.REDIRECT_URI_LENGTH} characters")
    if public and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text) and not text.startswith(("http:", "https:")):
        return text
    parse_url(text, "https", "http", *(() if public else ("ms-appx-web", "brk-multihub")))
    faults = []
    plain, fragment, _ = text.partition("#")
    if fragment:
        faults.append(f'a redirect URI has no fragment; remove what follows # in "{shorten(text)}"')
    if not public and re.fullmatch(r"[A-Za-z-]+://[^/?]+", plain):
        right = re.sub("(?i)^http:", "https:", plain) if risks.is_unencrypted(text) else plain
        faults.append(f'a redirect URI without a path ends with a slash: write "{shorten(right)}/"')
    if faults and risks.is_unencrypted(text):  # by itself it is refused in a new registration alone
        faults.append("it is not encrypted: use https, or http for localhost alone")
    if faults:
        raise Refused("; ".join(faults))
    return text


def _identifier(value: Any) -> str:
    text = text_of(value)
    if re.fullmatch(r"urn:[^\s:]+:\S+", text):
        return text
    if "{client_id}" in text or "{appId}" in text:
        message = "the client id is known only once the app exists: write api://{tenant_id}/<name>"
        raise Refused(f"{message}, or the id itself after the first `pulumi up`")
    parse_url(text.replace("{tenant_id}", "tenant-id"), "api", "https", "http", "ms-appx")
    faults = []
    if unknown := re.search(r"\{(?!tenant_id\}).*?(\}|$)", text):
        faults.append(f'"{shorten(unknown[0])}" is not filled in; {{tenant_id}} is the only placeholder')
    if "*" in text or "#" in text:
        faults.append("an identifier URI has neither wildcard nor fragment")
    if text.endswith("/"):
        faults.append(f'an identifier URI does not end with a slash: write "{shorten(text.rstrip("/"))}"')
    if faults and not unknown and not names_owner(text):  # by itself it is refused in a new registration alone
        faults.append(OWNER_NEEDED)
    if faults:
        raise Refused("; ".join(faults))
    return text


OWNER_NEEDED = "it must hold the app's or the tenant's id, or a verified domain; write api://{tenant_id}/<name>"


def names_owner(uri: str) -> bool:
    """Microsoft's "Restrictions on identifier URIs": in `api:` an id is a whole part of the path, or a domain stands first."""
    if not uri.startswith("api://"):
        return True
    host, *path = uri.removeprefix("api://").split("/")
    return "." in host or any(part == "{tenant_id}" or is_guid(part) for part in (host, *path))


def _token_version(value: Any) -> int:
    if type(value) is not int or value not in (1, 2):
        raise Refused(expected("1 or 2", value))
    return int(value)


TokenVersion = Annotated[int, PlainValidator(_token_version), WithJsonSchema({"enum": [1, 2]})]
RedirectUri = Annotated[
    str, PlainValidator(lambda value: _redirect(value, public=False)), WithJsonSchema({"type": "string"})
]
PublicRedirectUri = Annotated[
    str, PlainValidator(lambda value: _redirect(value, public=True)), WithJsonSchema({"type": "string"})
]
IdentifierUri = Annotated[str, PlainValidator(_identifier), WithJsonSchema({"type": "string"})]
PermissionValue = Annotated[
    Text,
    StringConstraints(
        pattern=r"""^[A-Za-z0-9_!#$%&'()*+,/:;<=>?@^`{|}~-][^\s"\\]*$""", max_length=limits.PERMISSION_VALUE
    ),
]


def distinct(
    values: tuple[_T, ...], what: str, *path: str, by: Callable[[_T], Any] = lambda value: value
) -> Iterator[Refused]:
    """A `Refused` below `path` for each value that is there already, as `repeated` compares them."""
    for index, first in repeated(values, by):
        yield Refused(f"{what} is there twice; entry {first} is the same, keep one", *path, index)


def repeated(values: tuple[_T, ...], by: Callable[[_T], Any] = lambda value: value) -> Iterator[tuple[int, int]]:
    """The index of each value that is there already, without regard to case, and that of the first; `by` is what to compare."""
    seen: dict[Any, int] = {}
    for index, value in intact(values):
        try:
            key = by(value)
            first = seen.setdefault(key.lower() if isinstance(key, str) else key, index)
        except Unknown:
            continue
        if first != index:
            yield index, first


class ImplicitGrant(Model):
    """Tokens straight from the authorization endpoint; a legacy flow that single-page apps no longer need."""

    access_tokens: Annotated[
        Bool,
        Property(
            "web.implicit_grant.access_token_issuance_enabled", "web.implicitGrantSettings.enableAccessTokenIssuance"
        ),
    ] = False
    """Issue access tokens this way. Default false."""
    id_tokens: Annotated[
        Bool,
        Property("web.implicit_grant.id_token_issuance_enabled", "web.implicitGrantSettings.enableIdTokenIssuance"),
    ] = False
    """Issue ID tokens this way. Default false."""


class Web(Model):
    """The web application platform."""

    redirect_uris: Annotated[tuple[RedirectUri, ...], Property()] = ()
    """Where sign-in may return to: https, or http for localhost."""
    logout_url: Annotated[Annotated[HttpUrl, Field(max_length=limits.LOGOUT_URL_LENGTH)] | None, Property()] = None
    """Where front-channel sign-out is sent to."""
    implicit_grant: Annotated[ImplicitGrant | None, Property()] = None
    """The implicit grant."""

    def together(self) -> Iterator[Refused]:
        """Each redirect URI is there once."""
        yield from distinct(self.redirect_uris, "this redirect URI", "redirect_uris")


class Spa(Model):
    """The single-page application platform (authorization code with PKCE)."""

    redirect_uris: Annotated[tuple[RedirectUri, ...], Property()] = ()
    """Where sign-in may return to: https, or http for localhost."""

    def together(self) -> Iterator[Refused]:
        """Each redirect URI is there once."""
        yield from distinct(self.redirect_uris, "this redirect URI", "redirect_uris")


class PublicClient(Model):
    """The mobile and desktop platform."""

    redirect_uris: Annotated[tuple[PublicRedirectUri, ...], Property()] = ()
    """Where sign-in may return to; schemes of the app's own are allowed."""
    fallback: Annotated[Bool, Property("fallback_public_client_enabled", "isFallbackPublicClient")] = False
    """Treat the app as a public client where the flow does not tell (device code, integrated Windows sign-in)."""

    def together(self) -> Iterator[Refused]:
        """Each redirect URI is there once."""
        yield from distinct(self.redirect_uris, "this redirect URI", "redirect_uris")


class Links(Model):
    """Pages about the app, shown to its users."""

    homepage: Annotated[HttpUrl | None, Property("web.homepage_url", "web.homePageUrl")] = None
    """The app's home page."""
    marketing: Annotated[HttpUrl | None, Property("marketing_url", "info.marketingUrl")] = None
    """Its marketing page."""
    support: Annotated[HttpUrl | None, Property("support_url", "info.supportUrl")] = None
    """Its support page."""
    terms_of_service: Annotated[HttpUrl | None, Property("terms_of_service_url", "info.termsOfServiceUrl")] = None
    """Its terms of service."""
    privacy_statement: Annotated[HttpUrl | None, Property("privacy_statement_url", "info.privacyStatementUrl")] = None
    """Its privacy statement."""


class AppRole(Model):
    """A role that the app defines, for users, for other apps, or both. Its key is the value in the `roles` claim."""

    display_name: Annotated[Text | None, Property()] = None
    """Name shown to administrators. Default: the key."""
    description: Annotated[Text, Property()]
    """What it allows."""
    allowed: Annotated[
        tuple[Literal["User", "Application"], ...], Field(min_length=1), Property("allowed_member_types")
    ] = ("User", "Application")
    """Who can have it: `User` (users and groups), `Application`, or both. Default: both."""
    enabled: Annotated[Bool, Property(graph="isEnabled")] = True
    """Default true."""
    id: Guid | None = None
    """Only for a role that exists already under another id. Default: made from the app's name and the key."""
    renamed_from: RenamedFrom = ()
    """The role's value before, or a list of all it had, the first one first. It stays here, and with it the id: who has the role
    keeps it."""


class ExposedScope(Model):
    """A delegated permission that the app offers. Its key is the value in the `scp` claim."""

    display_name: Annotated[Text | None, Property("admin_consent_display_name")] = None
    """Name shown to administrators. Default: the key."""
    description: Annotated[Text, Property("admin_consent_description")]
    """What it allows, for administrators who are asked to consent."""
    user_display_name: Annotated[Text | None, Property("user_consent_display_name")] = None
    """Name shown to users who are asked to consent."""
    user_description: Annotated[Text | None, Property("user_consent_description")] = None
    """What it allows, for users."""
    type: Annotated[Literal["Admin", "User"], Property()] = "Admin"
    """Who can consent: `Admin` alone, or `User` too. Default Admin."""
    enabled: Annotated[Bool, Property(graph="isEnabled")] = True
    """Default true."""
    id: Guid | None = None
    """Only for a scope that exists already under another id. Default: made from the app's name and the key."""
    renamed_from: RenamedFrom = ()
    """The scope's value before, or a list of all it had, the first one first. It stays here, and with it the id."""


class PreAuthorized(Model):
    """A client whose users are not asked for consent to scopes of this API."""

    client: AppRef
    """An app of this environment, or a client id."""
    scopes: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Keys of `api.scopes`."""
    adopt: Bool = False
    """Take the existing entry for this client over."""
    on_remove: OnRemove | None = None
    """What becomes of it when this entry goes. Default: `delete`; with `adopt`, what the app says."""


class Api(Model):
    """The app as an API that others call."""

    token_version: Annotated[TokenVersion, Property("api.requested_access_token_version")] = 2
    """Version of the access tokens made for this API: 1 or 2. Default 2 (without `api`, Microsoft's default, 1)."""
    mapped_claims: Annotated[Bool, Property("api.mapped_claims_enabled", "api.acceptMappedClaims")] = False
    """Accept claims mapping without a signing key of the app's own. Default false."""
    scopes: dict[PermissionValue, ExposedScope] = Field(default_factory=dict)
    """Delegated permissions that the app offers, by value."""
    pre_authorized: tuple[PreAuthorized, ...] = ()
    """Clients whose users are not asked for consent."""
    known_clients: tuple[AppRef, ...] = ()
    """Clients whose consent covers this API too: apps of this environment, or client ids."""

    def together(self) -> Iterator[Refused]:
        """Each client is there once."""
        yield from distinct(self.known_clients, "this client", "known_clients")
        yield from distinct(self.pre_authorized, "this client", "pre_authorized", by=lambda entry: entry.client)


class OptionalClaim(Model):
    """A claim to add to tokens."""

    name: Annotated[Text, Property()]
    """Such as `upn`, `groups`, `email`."""
    source: Annotated[Literal["user"] | None, Property()] = None
    """`user` for a directory extension; else leave it out."""
    essential: Annotated[Bool, Property()] = False
    """Whether the client needs it for a smooth experience. Default false."""
    additional_properties: Annotated[tuple[Text, ...], Property()] = ()
    """Such as `emit_as_roles`, `dns_domain_and_sam_account_name`, `include_externally_authenticated_upn`."""


class OptionalClaims(Model):
    """Claims to add, by kind of token."""

    access_token: Annotated[
        tuple[OptionalClaim, ...], Property("optional_claims.access_tokens", "optionalClaims.accessToken")
    ] = ()
    """To access tokens made for this API."""
    id_token: Annotated[tuple[OptionalClaim, ...], Property("optional_claims.id_tokens", "optionalClaims.idToken")] = ()
    """To ID tokens."""
    saml2_token: Annotated[
        tuple[OptionalClaim, ...], Property("optional_claims.saml2_tokens", "optionalClaims.saml2Token")
    ] = ()
    """To SAML tokens."""

    def together(self) -> Iterator[Refused]:
        """A token has each claim once."""
        for name in ("access_token", "id_token", "saml2_token"):
            yield from distinct(getattr(self, name), "this claim", name, by=lambda claim: claim.name)


class FeatureTags(Model):
    """Tags with a meaning for Microsoft Entra."""

    custom_single_sign_on: Bool = False
    """The app is a custom SAML application."""
    enterprise: Bool = False
    """Listed under enterprise applications."""
    gallery: Bool = False
    """A gallery application."""
    hide: Bool = False
    """Not shown on My Apps."""


Tag_ = Annotated[Text, StringConstraints(max_length=limits.TAG)]


class ServicePrincipal(Model):
    """The app's service principal: its presence in this tenant, which roles and permissions are given to."""

    enabled: Annotated[Bool, Property("account_enabled")] = True
    """Whether anyone, the app included, can sign in. Default true."""
    assignment_required: Annotated[Bool, Property("app_role_assignment_required")] = False
    """Whether users and apps need an assignment before they get tokens for it. Default false."""
    description: Annotated[Annotated[Text, StringConstraints(max_length=limits.DESCRIPTION)] | None, Property()] = None
    """Shown to users."""
    notes: Annotated[Annotated[Text, StringConstraints(max_length=limits.NOTES)] | None, Property()] = None
    """Notes of its managers."""
    notification_emails: Annotated[tuple[Email, ...], Property("notification_email_addresses")] = ()
    """Addresses that Microsoft warns before a SAML signing certificate expires."""
    login_url: Annotated[HttpsUrl | None, Property()] = None
    """Where the service provider sends users to sign in."""
    tags: tuple[Tag_, ...] | None = None
    """Free tags. Default, without `feature_tags` either: those of the registration."""
    feature_tags: FeatureTags | None = None
    """Tags with a meaning."""
    owners: tuple[OwnerRef, ...] = ()
    """Object ids, apps of this environment, user principal names, or `deployer` (whoever runs Pulumi). Default: whoever makes
    the service principal, and owners are left alone afterwards."""
    use_existing: Annotated[Bool, Property(graph="")] = False
    """Take the service principal that exists for this registration already, and leave it on removal. Default false."""

    def together(self) -> Iterator[Refused]:
        """Each owner is there once."""
        yield from distinct(self.owners, "this owner", "owners", by=Owner.key)
