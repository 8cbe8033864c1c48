"""The provider's inputs for a registration and a service principal, from the component's arguments."""

from collections.abc import Sequence
from typing import Any, TypeVar

import pulumi

from entrant.facts.marks import FEATURES, MARK, of_stack

from .arguments import (
    ApiArgs,
    AppIdentityArgs,
    AppRoleArgs,
    FeatureTagsArgs,
    LinksArgs,
    OptionalClaimArgs,
    OptionalClaimsArgs,
    PermissionArgs,
    PublicClientArgs,
    ServicePrincipalArgs,
    SpaArgs,
    WebArgs,
)

_T = TypeVar("_T")


def application_inputs(args: AppIdentityArgs) -> dict[str, Any]:
    """The provider's inputs for a registration, without its name check."""
    web, links = args.get("web") or WebArgs(), args.get("links") or LinksArgs()
    spa, public = args.get("spa") or SpaArgs(), args.get("public_client") or PublicClientArgs()
    grant, claims, api = web.get("implicit_grant"), args.get("optional_claims") or OptionalClaimsArgs(), args.get("api")
    adopted, owners = args.get("adopt") is not None, args.get("owners")
    return _given(
        display_name=args["display_name"],
        description=args.get("description"),
        notes=args.get("notes"),
        sign_in_audience=args.get("sign_in_audience"),
        identifier_uris=args.get("identifier_uris"),
        web=_given(
            redirect_uris=web.get("redirect_uris"),
            logout_url=web.get("logout_url"),
            homepage_url=links.get("homepage"),
            implicit_grant=_given(
                access_token_issuance_enabled=_or(grant.get("access_tokens"), False),
                id_token_issuance_enabled=_or(grant.get("id_tokens"), False),
            )
            if grant
            else None,
        ),
        single_page_application=_given(redirect_uris=spa.get("redirect_uris")),
        public_client=_given(redirect_uris=public.get("redirect_uris")),
        fallback_public_client_enabled=public.get("fallback"),
        marketing_url=links.get("marketing"),
        support_url=links.get("support"),
        terms_of_service_url=links.get("terms_of_service"),
        privacy_statement_url=links.get("privacy_statement"),
        logo_image=args.get("logo"),
        app_roles=[_app_role(value, role) for value, role in (args.get("app_roles") or {}).items()],
        api=None if api is None else _api(api),
        optional_claims=_given(
            access_tokens=_claims(claims.get("access_token")),
            id_tokens=_claims(claims.get("id_token")),
            saml2_tokens=_claims(claims.get("saml2_token")),
        ),
        group_membership_claims=args.get("group_claims"),
        tags=_tags(args, marked=not adopted),
        service_management_reference=args.get("service_management_reference"),
        owners=owners if owners is not None else None if adopted else args.get("first_owners"),
        required_resource_accesses=[
            _required(api)
            for api in (args.get("permissions") or {}).values()
            if api.get("application") or api.get("delegated")
        ],
    )


def principal_inputs(args: AppIdentityArgs) -> dict[str, Any]:
    """The provider's inputs for a service principal, without its client id."""
    principal, adopt = args.get("service_principal") or ServicePrincipalArgs(), args.get("adopt")
    own = principal.get("tags") is not None or principal.get("feature_tags") is not None
    existing = principal.get("use_existing") or (adopt and adopt.get("service_principal"))
    owners = principal.get("owners")
    return _given(
        account_enabled=principal.get("enabled"),
        app_role_assignment_required=principal.get("assignment_required"),
        description=principal.get("description"),
        notes=principal.get("notes"),
        notification_email_addresses=principal.get("notification_emails"),
        login_url=principal.get("login_url"),
        tags=_tags(principal if own else args, marked=not existing) if own or not existing else None,
        owners=owners if owners is not None else None if existing else args.get("first_owners"),
        use_existing=principal.get("use_existing"),
    )


def _tags(args: AppIdentityArgs | ServicePrincipalArgs, *, marked: bool) -> list[pulumi.Input[str]]:
    """The tags asked for and, with `marked`, those that tell which stack made it (`entrant recover` finds it by them).

    The provider cannot take the last tag away, since an empty list is to it the same as none given; with one that always stays, it
    can take away all others. Its `feature_tags` have the same fault, so theirs are written as the tags they stand for.
    """
    features = args.get("feature_tags") or FeatureTagsArgs()
    tags = [*(args.get("tags") or ()), *(tag for name, tag in FEATURES.items() if features.get(name))]
    marks = (MARK, of_stack(pulumi.get_project(), pulumi.get_stack())) if marked else ()
    return [*tags, *(mark for mark in marks if mark not in tags)]


def _given(**values: Any) -> dict[str, Any]:
    """The values that say something."""
    return {name: value for name, value in values.items() if value not in (None, [], {})}


def _or(value: _T | None, default: _T) -> _T:
    return default if value is None else value


def _app_role(value: str, args: AppRoleArgs) -> dict[str, Any]:
    return {
        "id": args["id"],
        "value": value,
        "display_name": args["display_name"],
        "description": args["description"],
        "allowed_member_types": args["allowed"],
        "enabled": _or(args.get("enabled"), True),
    }


def _api(args: ApiArgs) -> dict[str, Any]:
    return _given(
        requested_access_token_version=args.get("token_version"),
        mapped_claims_enabled=args.get("mapped_claims"),
        oauth2_permission_scopes=[
            _given(
                id=scope["id"],
                value=value,
                admin_consent_display_name=scope["display_name"],
                admin_consent_description=scope["description"],
                user_consent_display_name=scope.get("user_display_name"),
                user_consent_description=scope.get("user_description"),
                type=_or(scope.get("type"), "Admin"),
                enabled=_or(scope.get("enabled"), True),
            )
            for value, scope in (args.get("scopes") or {}).items()
        ],
    )


def _claims(claims: Sequence[OptionalClaimArgs] | None) -> list[dict[str, Any]]:
    return [{name: value for name, value in claim.items() if value is not None} for claim in claims or ()]


def _required(args: PermissionArgs) -> dict[str, Any]:
    roles = [{"id": permission, "type": "Role"} for permission in (args.get("application") or {}).values()]
    scopes = [{"id": permission, "type": "Scope"} for permission in (args.get("delegated") or {}).values()]
    return {"resource_app_id": args["client_id"], "resource_accesses": [*roles, *scopes]}
