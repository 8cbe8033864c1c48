"""The arguments of `AppIdentity`: what an app identity consists of, as Pulumi inputs.

Whatever decides which resources there are (keys of mappings, the secret's calendar, what to adopt) is plain, because a preview
must know it; all else may be an output of other resources. An argument that is None is one that is left out.

The words are those of an environment file (`entrant.config.models.App`): `tests/components/test_arguments.py` holds both equal, key
by key and type by type, and lists what differs.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, NotRequired, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

import pulumi

from entrant.config.problems import did_you_mean


class ImplicitGrantArgs(TypedDict):
    """Tokens straight from the authorization endpoint."""

    access_tokens: NotRequired[pulumi.Input[bool] | None]
    """Issue access tokens this way."""
    id_tokens: NotRequired[pulumi.Input[bool] | None]
    """Issue ID tokens this way."""


class WebArgs(TypedDict):
    """The web application platform."""

    redirect_uris: NotRequired[list[pulumi.Input[str]] | None]
    """Where sign-in may return to."""
    logout_url: NotRequired[pulumi.Input[str] | None]
    """Where front-channel sign-out is sent to."""
    implicit_grant: NotRequired[ImplicitGrantArgs | None]
    """The implicit grant."""


class SpaArgs(TypedDict):
    """The single-page application platform."""

    redirect_uris: NotRequired[list[pulumi.Input[str]] | None]
    """Where sign-in may return to."""


class PublicClientArgs(TypedDict):
    """The mobile and desktop platform."""

    redirect_uris: NotRequired[list[pulumi.Input[str]] | None]
    """Where sign-in may return to."""
    fallback: NotRequired[pulumi.Input[bool] | None]
    """Treat the app as a public client where the flow does not tell."""


class LinksArgs(TypedDict):
    """Pages about the app."""

    homepage: NotRequired[pulumi.Input[str] | None]
    """Its home page."""
    marketing: NotRequired[pulumi.Input[str] | None]
    """Its marketing page."""
    support: NotRequired[pulumi.Input[str] | None]
    """Its support page."""
    terms_of_service: NotRequired[pulumi.Input[str] | None]
    """Its terms of service."""
    privacy_statement: NotRequired[pulumi.Input[str] | None]
    """Its privacy statement."""


class AppRoleArgs(TypedDict):
    """A role that the app defines."""

    id: str
    """The role's GUID; the same for ever."""
    display_name: pulumi.Input[str]
    """Name shown to administrators."""
    description: pulumi.Input[str]
    """What it allows."""
    allowed: list[pulumi.Input[str]]
    """Who can have it: `User`, `Application` or both."""
    enabled: NotRequired[pulumi.Input[bool] | None]
    """Default true."""


class ExposedScopeArgs(TypedDict):
    """A delegated permission that the app offers."""

    id: str
    """The scope's GUID; the same for ever."""
    display_name: pulumi.Input[str]
    """Name shown to administrators."""
    description: pulumi.Input[str]
    """What it allows, for administrators."""
    user_display_name: NotRequired[pulumi.Input[str] | None]
    """Name shown to users."""
    user_description: NotRequired[pulumi.Input[str] | None]
    """What it allows, for users."""
    type: NotRequired[pulumi.Input[str] | None]
    """Who can consent: `Admin` or `User`."""
    enabled: NotRequired[pulumi.Input[bool] | None]
    """Default true."""


class ApiArgs(TypedDict):
    """The app as an API that others call."""

    token_version: NotRequired[pulumi.Input[int] | None]
    """Version of the access tokens made for it: 1 or 2."""
    mapped_claims: NotRequired[pulumi.Input[bool] | None]
    """Accept claims mapping without a signing key of the app's own."""
    scopes: NotRequired[dict[str, ExposedScopeArgs] | None]
    """Delegated permissions that it offers, by value."""


class OptionalClaimArgs(TypedDict):
    """A claim to add to tokens."""

    name: pulumi.Input[str]
    """Such as `upn`, `groups`, `email`."""
    source: NotRequired[pulumi.Input[str] | None]
    """`user` for a directory extension."""
    essential: NotRequired[pulumi.Input[bool] | None]
    """Whether the client needs it."""
    additional_properties: NotRequired[list[pulumi.Input[str]] | None]
    """Such as `emit_as_roles`."""


class OptionalClaimsArgs(TypedDict):
    """Claims to add, by kind of token."""

    access_token: NotRequired[list[OptionalClaimArgs] | None]
    """To access tokens."""
    id_token: NotRequired[list[OptionalClaimArgs] | None]
    """To ID tokens."""
    saml2_token: NotRequired[list[OptionalClaimArgs] | None]
    """To SAML tokens."""


class FeatureTagsArgs(TypedDict):
    """Tags with a meaning for Microsoft Entra."""

    custom_single_sign_on: NotRequired[pulumi.Input[bool] | None]
    """A custom SAML application."""
    enterprise: NotRequired[pulumi.Input[bool] | None]
    """Listed under enterprise applications."""
    gallery: NotRequired[pulumi.Input[bool] | None]
    """A gallery application."""
    hide: NotRequired[pulumi.Input[bool] | None]
    """Not shown on My Apps."""


class ServicePrincipalArgs(TypedDict):
    """Settings of the service principal."""

    enabled: NotRequired[pulumi.Input[bool] | None]
    """Whether anyone can sign in."""
    assignment_required: NotRequired[pulumi.Input[bool] | None]
    """Whether users and apps need an assignment first."""
    description: NotRequired[pulumi.Input[str] | None]
    """Shown to users."""
    notes: NotRequired[pulumi.Input[str] | None]
    """Notes of its managers."""
    notification_emails: NotRequired[list[pulumi.Input[str]] | None]
    """Warned before a SAML signing certificate expires."""
    login_url: NotRequired[pulumi.Input[str] | None]
    """Where the service provider sends users to sign in."""
    tags: NotRequired[list[pulumi.Input[str]] | None]
    """Free tags. Without these and `feature_tags` it has those of the registration."""
    feature_tags: NotRequired[FeatureTagsArgs | None]
    """Tags with a meaning."""
    owners: NotRequired[list[pulumi.Input[str]] | None]
    """Object ids of owners."""
    use_existing: NotRequired[bool | None]
    """Take the one that exists already, and leave it on removal."""


class KeyVaultDeliveryArgs(TypedDict):
    """A secret in Azure Key Vault, with a new version for each client secret."""

    vault: str
    """The vault's full id."""
    name: str
    """The secret's name in the vault."""
    adopt: NotRequired[bool | None]
    """Whether the vault has a secret of this name already. Default false: that is refused."""


class DeliveryArgs(TypedDict):
    """A place that the newest client secret is delivered to by the program."""

    key_vault: NotRequired[KeyVaultDeliveryArgs | None]
    """Azure Key Vault."""


class SecretArgs(TypedDict):
    """A client secret that rotates by a calendar, known when the program runs."""

    every: NotRequired[str | None]
    """How long one secret is the current one: `90d`, `12h`, `4w`. Default `90d`."""
    overlap: NotRequired[str | None]
    """How long the secret before stays valid beside the current one; shorter than `every`. Default `7d`."""
    starts: NotRequired[str | None]
    """The calendar's anchor: a date or a time with zone. Default `2026-01-01`."""
    generation: NotRequired[int | None]
    """Raise it for a fresh secret at once. Default 1."""
    deliver: NotRequired[list[DeliveryArgs] | None]
    """Where each new secret is delivered to."""


class HandedOutArgs(TypedDict):
    """A client secret that the app has already."""

    name: str
    """Its part of resource names: `2026-11-01`."""
    issued: str
    """When the program first declared it, RFC 3339."""
    ends: str
    """Its end, RFC 3339."""
    delivered: NotRequired[bool | None]
    """Whether it was proved by tokens and seen in every place that it is delivered to. Default false."""
    revoked: NotRequired[str | None]
    """Why it is to go as soon as its successor is delivered."""


class CertificateArgs(TypedDict):
    """A certificate whose private key the app holds."""

    pem: pulumi.Input[str]
    """The certificate in PEM form."""
    ends: pulumi.Input[str]
    """The end of its validity, RFC 3339."""
    renamed_from: NotRequired[list[str] | None]
    """Keys that it had before."""
    adopt: NotRequired[str | None]
    """Key id of the existing certificate to take over."""
    on_remove: NotRequired[str | None]
    """`keep` leaves it where it is when it is removed from the program."""


class FederatedArgs(TypedDict):
    """Tokens of another issuer that stand in for a secret."""

    issuer: pulumi.Input[str]
    """The issuer of the tokens."""
    subject: NotRequired[pulumi.Input[str] | None]
    """The exact subject of the tokens; leave it out with `claims`."""
    claims: NotRequired[pulumi.Input[str] | None]
    """An expression that claims of the tokens match."""
    audience: pulumi.Input[str]
    """The audience of the tokens."""
    description: NotRequired[pulumi.Input[str] | None]
    """What the credential is for."""
    renamed_from: NotRequired[list[str] | None]
    """Keys that it had before, the first one first: that is its name in Microsoft Entra for ever."""
    adopt: NotRequired[str | None]
    """Id of an existing federated credential to take over."""
    on_remove: NotRequired[str | None]
    """`keep` leaves it where it is when it is removed from the program."""


class ConsentArgs(TypedDict):
    """Permissions of one API that have admin consent."""

    application: NotRequired[dict[str, pulumi.Input[str]] | None]
    """Application permissions: name to id."""
    delegated: NotRequired[dict[str, pulumi.Input[str]] | None]
    """Delegated permissions: name to id."""


class AdoptedConsentArgs(TypedDict):
    """Existing consents to take over."""

    application: NotRequired[dict[str, str] | None]
    """By the permission's name: the id of its app role assignment."""
    delegated: NotRequired[str | None]
    """Id of the delegated permission grant for all users."""
    api: NotRequired[str | None]
    """Object id of the API's service principal, as a preview must know it; needed for `application`."""


class PermissionArgs(TypedDict):
    """Permissions of one API."""

    client_id: pulumi.Input[str]
    """The API's client id."""
    service_principal_id: NotRequired[pulumi.Input[str] | None]
    """Object id of the API's service principal in this tenant; needed for consent."""
    application: NotRequired[dict[str, pulumi.Input[str]] | None]
    """Application permissions: name to id."""
    delegated: NotRequired[dict[str, pulumi.Input[str]] | None]
    """Delegated permissions: name to id."""
    consent: NotRequired[bool | None]
    """Whether to give admin consent to all that are asked for."""
    consented: NotRequired[ConsentArgs | None]
    """In place of `consent`: the permissions that have admin consent, asked for or not."""
    adopt: NotRequired[AdoptedConsentArgs | None]
    """Existing consents to take over; others are made."""
    on_remove: NotRequired[str | None]
    """`keep` leaves the consents when they are removed from the program."""
    renamed_from: NotRequired[list[str] | None]
    """Keys that it had before."""


class RoleAssignmentArgs(TypedDict):
    """An Azure role at a scope."""

    role: pulumi.Input[str]
    """A built-in role's name, or the GUID or full id of any role definition."""
    scope: pulumi.Input[str]
    """Full id of a management group, subscription, resource group or resource."""
    description: NotRequired[pulumi.Input[str] | None]
    """Why the app has this role."""
    condition: NotRequired[pulumi.Input[str] | None]
    """An attribute-based condition, in version 2.0 of the language."""
    adopt: NotRequired[str | None]
    """Name (GUID) of an existing assignment to take over."""
    renamed_from: NotRequired[list[str] | None]
    """Keys that it had before."""
    on_remove: NotRequired[str | None]
    """`keep` leaves the assignment in Azure when it is removed from the program."""
    unique: NotRequired[bool | None]
    """Whether the key stands for this role at this scope and no other, so that another spelling of them is no change."""


class DirectoryRoleArgs(TypedDict):
    """A Microsoft Entra directory role."""

    role_id: pulumi.Input[str]
    """Template id of the role."""
    administrative_unit: NotRequired[pulumi.Input[str] | None]
    """Object id of the administrative unit it is limited to."""
    adopt: NotRequired[str | None]
    """Id of an existing assignment to take over."""
    on_remove: NotRequired[str | None]
    """`keep` leaves it where it is when it is removed from the program."""


class MembershipArgs(TypedDict):
    """A group that the service principal is a member of."""

    group: pulumi.Input[str]
    """Object id of the group; plain with `adopt`."""
    adopt: NotRequired[bool | None]
    """Take the existing membership over."""
    on_remove: NotRequired[str | None]
    """`keep` leaves it where it is when it is removed from the program."""


class AdoptArgs(TypedDict):
    """Existing objects to take over."""

    application: str
    """Object id of the registration."""
    service_principal: NotRequired[str | None]
    """Object id of its service principal."""
    no_service_principal: NotRequired[bool | None]
    """Whether the registration has no service principal, and gets none."""
    known_clients: NotRequired[bool | None]
    """Whether the registration has the clients of an `ApiClients` component already."""


class AppIdentityArgs(TypedDict):
    """What an app identity consists of."""

    display_name: pulumi.Input[str]
    """The name people see in Microsoft Entra; creation fails if another registration has it already."""
    description: NotRequired[pulumi.Input[str] | None]
    """What the app is for."""
    notes: NotRequired[pulumi.Input[str] | None]
    """Notes of its managers."""
    sign_in_audience: NotRequired[pulumi.Input[str] | None]
    """Whose accounts can sign in."""
    identifier_uris: NotRequired[list[pulumi.Input[str]] | None]
    """URIs that name the app as an API."""
    web: NotRequired[WebArgs | None]
    """The web application platform."""
    spa: NotRequired[SpaArgs | None]
    """The single-page application platform."""
    public_client: NotRequired[PublicClientArgs | None]
    """The mobile and desktop platform."""
    links: NotRequired[LinksArgs | None]
    """Pages about the app."""
    logo: NotRequired[pulumi.Input[str] | None]
    """An image, base64."""
    app_roles: NotRequired[dict[str, AppRoleArgs] | None]
    """Roles that the app defines, by value."""
    api: NotRequired[ApiArgs | None]
    """The app as an API."""
    known_clients_apart: NotRequired[bool | None]
    """Whether an `ApiClients` component declares the API's known clients."""
    optional_claims: NotRequired[OptionalClaimsArgs | None]
    """Claims to add to tokens."""
    group_claims: NotRequired[list[pulumi.Input[str]] | None]
    """Which group memberships tokens list."""
    tags: NotRequired[list[pulumi.Input[str]] | None]
    """Free tags."""
    feature_tags: NotRequired[FeatureTagsArgs | None]
    """Tags with a meaning."""
    service_management_reference: NotRequired[pulumi.Input[str] | None]
    """The app's entry in a service or asset management database."""
    owners: NotRequired[list[pulumi.Input[str]] | None]
    """Object ids of the registration's owners."""
    first_owners: NotRequired[list[pulumi.Input[str]] | None]
    """Object ids of owners that registration and service principal are made with where `owners` does not say; afterwards their
    owners are left alone. The provider takes whoever makes them out again unless it is among them."""
    service_principal: NotRequired[ServicePrincipalArgs | None]
    """Settings of the service principal."""
    secret: NotRequired[SecretArgs | None]
    """The client secret's calendar; without it the app has none."""
    secrets_handed_out: NotRequired[list[HandedOutArgs] | None]
    """The client secrets that the stack's outputs have: a change of the calendar leaves the one in use alone until the new
    one's overlap is over. Without it the calendar alone decides, and a change of it takes the secret in use away."""
    certificates: NotRequired[dict[str, CertificateArgs] | None]
    """Certificates whose private keys the app has, or the program; the component issues none. Each key, here and below, becomes
    part of a resource's name: one that changes belongs in `renamed_from`."""
    federated: NotRequired[dict[str, FederatedArgs] | None]
    """Federated credentials, by their name in Microsoft Entra."""
    permissions: NotRequired[dict[str, PermissionArgs] | None]
    """Permissions of APIs."""
    roles: NotRequired[dict[str, RoleAssignmentArgs] | None]
    """Azure roles."""
    groups: NotRequired[dict[str, MembershipArgs] | None]
    """Groups that the service principal is a member of."""
    directory_roles: NotRequired[dict[str, DirectoryRoleArgs] | None]
    """Microsoft Entra directory roles."""
    adopt: NotRequired[AdoptArgs | None]
    """Existing objects to take over, as imports; the arguments must describe them as they are."""
    change_adopted: NotRequired[bool | None]
    """Whether what is taken over, all that the app has included, may be changed to what the arguments say."""
    renamed_from: NotRequired[list[str] | None]
    """Names that the component had before; its resources are found under them."""
    on_remove: NotRequired[str | None]
    """`keep` leaves registration and service principal in Microsoft Entra when they are removed from the program."""
    protect: NotRequired[bool | None]
    """Whether Pulumi refuses to delete registration and service principal."""
    now: NotRequired[str | None]
    """The moment the secret's calendar is read at, RFC 3339. Default: the clock's."""


def faults(args: object, kind: Any = AppIdentityArgs, path: str = "") -> Iterator[str]:
    """What is wrong with the keys of arguments, such as `has no argument roles.logs.conditon; did you mean "condition"?`.

    Args:
        args: what a program gives for `kind`: one of the classes above, or a list, mapping or union with them in it.
        kind: the type that is declared for it.
        path: where it is, with a dot behind it.
    """
    if is_typeddict(kind):
        if not isinstance(args, Mapping):
            return
        hints = _hints(kind)
        for key, value in args.items():
            if key in hints:
                yield from faults(value, hints[key], f"{path}{key}.")
            else:
                yield f"has no argument {path}{key}{did_you_mean(str(key), hints)}"
        yield from (f"needs {path}{key}" for key in hints if key in kind.__required_keys__ and args.get(key) is None)
    elif get_origin(kind) is dict:
        for key, value in args.items() if isinstance(args, Mapping) else ():
            yield from faults(value, get_args(kind)[1], f"{path}{key}.")
    elif get_origin(kind) is list:
        for number, value in enumerate(args if isinstance(args, list | tuple) else ()):
            yield from faults(value, get_args(kind)[0], f"{path}{number}.")
    else:
        for option in get_args(kind):
            yield from faults(args, option, path)


@contextmanager
def reading(where: str) -> Iterator[None]:
    """While an argument's text is read: what is wrong with it is said with `where` it is, as Pulumi shows it to the user."""
    try:
        yield
    except ValueError as error:
        raise pulumi.RunError(f"{where}: {error}") from None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, localns={"Output": pulumi.Output, "T": Any})
