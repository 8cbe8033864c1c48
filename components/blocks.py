"""The blocks of a file's app that name nothing else, as the component's arguments."""

from collections.abc import Iterable

from entrant.config import App
from entrant.config.registration import Api, FeatureTags, Links, OptionalClaim, OptionalClaims, Web

from .arguments import (
    ApiArgs,
    AppIdentityArgs,
    DeliveryArgs,
    FeatureTagsArgs,
    LinksArgs,
    OptionalClaimArgs,
    OptionalClaimsArgs,
    WebArgs,
)


def registration(name: str, app: App) -> AppIdentityArgs:
    """The registration of the app `name`, but for what names other things: owners, permissions, identifier URIs."""
    spa, public, adopt = app.spa, app.public_client, app.adopt
    return {
        "display_name": app.display_name or name,
        "description": app.description,
        "notes": app.notes,
        "sign_in_audience": app.sign_in_audience,
        "web": _web(app.web) if app.web else None,
        "spa": {"redirect_uris": list(spa.redirect_uris)} if spa else None,
        "public_client": {"redirect_uris": list(public.redirect_uris), "fallback": public.fallback} if public else None,
        "links": _links(app.links) if app.links else None,
        "logo": app.logo,
        "app_roles": {
            value: {
                "id": app.role_id(name, value),
                "display_name": role.display_name or value,
                "description": role.description,
                "allowed": list(role.allowed),
                "enabled": role.enabled,
            }
            for value, role in app.app_roles.items()
        },
        "api": _api(name, app, app.api) if app.api else None,
        "known_clients_apart": bool(app.api and app.api.known_clients),
        "optional_claims": _optional_claims(app.optional_claims) if app.optional_claims else None,
        "group_claims": list(app.group_claims),
        "tags": list(app.tags or ()),
        "feature_tags": feature_tags(app.feature_tags),
        "service_management_reference": app.service_management_reference,
        "adopt": {
            "application": adopt.application,
            "service_principal": adopt.service_principal,
            "no_service_principal": adopt.no_service_principal,
            "known_clients": adopt.known_clients,
        }
        if adopt
        else None,
        "change_adopted": app.change_adopted,
        "renamed_from": list(app.renamed_from),
    }


def key_vaults(app: App) -> list[DeliveryArgs]:
    """The Key Vaults that its client secret is delivered to."""
    places = [delivery.key_vault for delivery in app.deliveries if delivery.key_vault is not None]
    return [{"key_vault": {"vault": place.vault.id, "name": place.name, "adopt": place.adopt}} for place in places]


def feature_tags(tags: FeatureTags | None) -> FeatureTagsArgs | None:
    """Tags with a meaning, of a registration or of a service principal."""
    if tags is None:
        return None
    return {
        "custom_single_sign_on": tags.custom_single_sign_on,
        "enterprise": tags.enterprise,
        "gallery": tags.gallery,
        "hide": tags.hide,
    }


def _web(web: Web) -> WebArgs:
    grant = web.implicit_grant
    return {
        "redirect_uris": list(web.redirect_uris),
        "logout_url": web.logout_url,
        "implicit_grant": {"access_tokens": grant.access_tokens, "id_tokens": grant.id_tokens} if grant else None,
    }


def _links(links: Links) -> LinksArgs:
    return {
        "homepage": links.homepage,
        "marketing": links.marketing,
        "support": links.support,
        "terms_of_service": links.terms_of_service,
        "privacy_statement": links.privacy_statement,
    }


def _api(name: str, app: App, api: Api) -> ApiArgs:
    return {
        "token_version": api.token_version,
        "mapped_claims": api.mapped_claims,
        "scopes": {
            value: {
                "id": app.scope_id(name, value),
                "display_name": scope.display_name or value,
                "description": scope.description,
                "user_display_name": scope.user_display_name,
                "user_description": scope.user_description,
                "type": scope.type,
                "enabled": scope.enabled,
            }
            for value, scope in api.scopes.items()
        },
    }


def _optional_claims(claims: OptionalClaims) -> OptionalClaimsArgs:
    return {
        "access_token": _claims(claims.access_token),
        "id_token": _claims(claims.id_token),
        "saml2_token": _claims(claims.saml2_token),
    }


def _claims(claims: Iterable[OptionalClaim]) -> list[OptionalClaimArgs]:
    return [
        {
            "name": claim.name,
            "source": claim.source,
            "essential": claim.essential,
            "additional_properties": list(claim.additional_properties),
        }
        for claim in claims
    ]
