"""The provider's inputs for a registration and a service principal, from the component's arguments."""

from typing import Any, cast

import pulumi

from entrant.facts.marks import FEATURES, MARK, of_stack

from .arguments import ApiArgs, AppIdentityArgs, AppRoleArgs, PermissionArgs, ServicePrincipalArgs


def application_inputs(args: AppIdentityArgs) -> dict[str, Any]:
    """The provider's inputs for a registration, without its name check."""
    web, links = args.get("web", {}), args.get("links", {})
    spa, public = args.get("spa", {}), args.get("public_client", {})
    grant = web.get("implicit_grant")
    inputs = {
        "display_name": args["display_name"],
        "description": args.get("description"),
        "notes": args.get("notes"),
        "sign_in_audience": args.get("sign_in_audience"),
        "identifier_uris": args.get("identifier_uris"),
        "web": _given(
            redirect_uris=web.get("redirect_uris"),
            logout_url=web.get("logout_url"),
            homepage_url=links.get("homepage"),
            implicit_grant=_given(
                access_token_issuance_enabled=grant.get("access_tokens", False),
                id_token_issuance_enabled=grant.get("id_tokens", False),
            )
            if grant
            else None,
        ),
        "single_page_application": _given(redirect_uris=spa.get("redirect_uris")),
        "public_client": _given(redirect_uris=public.get("redirect_uris")),
        "fallback_public_client_enabled": public.get("fallback"),
        "marketing_url": links.get("marketing"),
        "support_url": links.get("support"),
        "terms_of_service_url": links.get("terms_of_service"),
        "privacy_statement_url": links.get("privacy_statement"),
        "logo_image": args.get("logo"),
        "app_roles": [_app_role(value, role) for value, role in args.get("app_roles", {}).items()],
        "api": _api(args["api"]) if "api" in args else None,
        "optional_claims": _given(
            **{f"{kind}s": claims for kind, claims in args.get("optional_claims", {}).items() if claims}
        ),
        "group_membership_claims": args.get("group_claims"),
        "tags": _tags(args, marked="adopt" not in args),
        "service_management_reference": args.get("service_management_reference"),
        "owners": args.get("owners", None if "adopt" in args else args.get("first_owners")),
        "required_resource_accesses": [
            _required(api)
            for api in args.get("permissions", {}).values()
            if api.get("application") or api.get("delegated")
        ],
    }
    return {name: value for name, value in inputs.items() if value not in (None, [], {})}


def principal_inputs(args: AppIdentityArgs) -> dict[str, Any]:
    """The provider's inputs for a service principal, without its client id."""
    principal = args.get("service_principal", cast(ServicePrincipalArgs, {}))
    own = "tags" in principal or "feature_tags" in principal
    existing = principal.get("use_existing") or args.get("adopt", {}).get("service_principal")
    inputs = {
        "account_enabled": principal.get("enabled"),
        "app_role_assignment_required": principal.get("assignment_required"),
        "description": principal.get("description"),
        "notes": principal.get("notes"),
        "notification_email_addresses": principal.get("notification_emails"),
        "login_url": principal.get("login_url"),
        "tags": _tags(principal if own else args, marked=not existing) if own or not existing else None,
        "owners": principal.get("owners", None if existing else args.get("first_owners")),
        "use_existing": principal.get("use_existing"),
    }
    return {name: value for name, value in inputs.items() if value not in (None, [], {})}


def _tags(args: AppIdentityArgs | ServicePrincipalArgs, *, marked: bool) -> list[pulumi.Input[str]]:
    """The tags asked for and, with `marked`, those that tell which stack made it (`entrant recover` finds it by them).

    The provider cannot take the last tag away, since an empty list is to it the same as none given; with one that always stays, it
    can take away all others. Its `feature_tags` have the same fault, so theirs are written as the tags they stand for.
    """
    features = args.get("feature_tags", {})
    tags = [*args.get("tags", []), *(tag for name, tag in FEATURES.items() if features.get(name))]
    marks = (MARK, of_stack(pulumi.get_project(), pulumi.get_stack())) if marked else ()
    return [*tags, *(mark for mark in marks if mark not in tags)]


def _given(**values: Any) -> dict[str, Any] | None:
    given = {name: value for name, value in values.items() if value not in (None, [], {})}
    return given or None


def _app_role(value: str, args: AppRoleArgs) -> dict[str, Any]:
    return {
        "id": args["id"],
        "value": value,
        "display_name": args["display_name"],
        "description": args["description"],
        "allowed_member_types": args["allowed"],
        "enabled": args.get("enabled", True),
    }


def _api(args: ApiArgs) -> dict[str, Any]:
    scopes = [
        {
            "id": scope["id"],
            "value": value,
            "admin_consent_display_name": scope["display_name"],
            "admin_consent_description": scope["description"],
            "user_consent_display_name": scope.get("user_display_name"),
            "user_consent_description": scope.get("user_description"),
            "type": scope.get("type", "Admin"),
            "enabled": scope.get("enabled", True),
        }
        for value, scope in args.get("scopes", {}).items()
    ]
    api = {
        "requested_access_token_version": args.get("token_version"),
        "mapped_claims_enabled": args.get("mapped_claims"),
        "oauth2_permission_scopes": [
            {name: value for name, value in scope.items() if value is not None} for scope in scopes
        ],
    }
    return {name: value for name, value in api.items() if value not in (None, [])}


def _required(args: PermissionArgs) -> dict[str, Any]:
    roles = [{"id": permission, "type": "Role"} for permission in args.get("application", {}).values()]
    scopes = [{"id": permission, "type": "Scope"} for permission in args.get("delegated", {}).values()]
    return {"resource_app_id": args["client_id"], "resource_accesses": [*roles, *scopes]}
