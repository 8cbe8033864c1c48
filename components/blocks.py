"""The blocks of a file's app that name nothing else, as the component's arguments."""

from collections.abc import Callable
from typing import Any, TypeVar

from entrant.config import App
from entrant.config.model import Model, plain, put
from entrant.config.registration import FeatureTags
from entrant.facts.contract import CLIENT_SECRET

from .arguments import (
    ApiArgs,
    AppIdentityArgs,
    AppRoleArgs,
    DeliveryArgs,
    ExposedScopeArgs,
    FeatureTagsArgs,
    KeyVaultDeliveryArgs,
)

_Args = TypeVar("_Args")


def registration(name: str, app: App) -> AppIdentityArgs:
    """The registration of the app `name`, but for what names other things: owners, permissions, identifier URIs."""
    api, adopt = app.api, app.adopt
    return {
        **properties(AppIdentityArgs, app),
        "display_name": app.display_name or name,
        "app_roles": {
            value: {
                **properties(AppRoleArgs, role),
                "id": app.role_id(name, value),
                "display_name": role.display_name or value,
            }
            for value, role in app.app_roles.items()
        },
        "api": {
            **properties(ApiArgs, api),
            "scopes": {
                value: {
                    **properties(ExposedScopeArgs, scope),
                    "id": app.scope_id(name, value),
                    "display_name": scope.display_name or value,
                }
                for value, scope in api.scopes.items()
            },
        }
        if api
        else None,
        "known_clients_apart": bool(api and api.known_clients),
        "tags": list(app.tags or ()),
        "feature_tags": feature_tags(app.feature_tags),
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
    return [{"key_vault": place} for place in vaults_of(app, CLIENT_SECRET)]


def vaults_of(app: App, calendar: str) -> list[KeyVaultDeliveryArgs]:
    """The Key Vaults that the client secret, or a certificate that is issued here, is delivered to."""
    if calendar not in app.calendars:
        return []
    places = [delivery.key_vault for delivery in app.calendars[calendar].deliver if delivery.key_vault is not None]
    return [{"vault": place.vault.id, "name": place.name, "adopt": place.adopt} for place in places]


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


def properties(args: Callable[..., _Args], model: Model) -> _Args:
    """Each `Property` of a model, as arguments of the class `args`, which has the same keys and types
    (`tests/components/test_arguments.py`).
    """
    return args(**_properties(model))


def _properties(model: Model) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in plain(type(model)):
        value: Any = model
        *blocks, key = each.path
        for block in blocks:
            value = getattr(value, block, None)
        if value is None:
            continue
        value = getattr(value, key)
        if isinstance(value, tuple):
            value = [_properties(item) if isinstance(item, Model) else item for item in value]
        put(found, each.path, value)
    return found
