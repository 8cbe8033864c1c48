"""The provider's inputs for a registration and a service principal, from the component's arguments."""

from collections.abc import Mapping
from typing import Any, TypeVar

import pulumi

from entrant.config import App
from entrant.config.model import Model, camel, plain, put
from entrant.config.registration import AppRole, ExposedScope, ServicePrincipal
from entrant.facts.marks import FEATURES, MARK, of_stack

from .arguments import (
    ApiArgs,
    AppIdentityArgs,
    AppRoleArgs,
    ExposedScopeArgs,
    FeatureTagsArgs,
    PermissionArgs,
    ServicePrincipalArgs,
)

_T = TypeVar("_T")


def application_inputs(args: AppIdentityArgs) -> dict[str, Any]:
    """The provider's inputs for a registration, without its name check."""
    adopted, owners = args.get("adopt") is not None, args.get("owners")
    scopes = (args.get("api") or ApiArgs()).get("scopes") or {}
    inputs = _properties(App, args)
    inputs["api"]["oauth2_permission_scopes"] = [_scope(value, scope) for value, scope in scopes.items()]
    return _pruned(
        inputs
        | {
            "app_roles": [_app_role(value, role) for value, role in (args.get("app_roles") or {}).items()],
            "tags": _tags(args, marked=not adopted),
            "owners": owners if owners is not None else None if adopted else args.get("first_owners"),
            "required_resource_accesses": [
                _required(api)
                for api in (args.get("permissions") or {}).values()
                if api.get("application") or api.get("delegated")
            ],
        }
    )


def principal_inputs(args: AppIdentityArgs) -> dict[str, Any]:
    """The provider's inputs for a service principal, without its client id."""
    principal, adopt = args.get("service_principal") or ServicePrincipalArgs(), args.get("adopt")
    own = principal.get("tags") is not None or principal.get("feature_tags") is not None
    existing = principal.get("use_existing") or (adopt and adopt.get("service_principal"))
    owners = principal.get("owners")
    return _pruned(
        _properties(ServicePrincipal, principal)
        | {
            "tags": _tags(principal if own else args, marked=not existing) if own or not existing else None,
            "owners": owners if owners is not None else None if existing else args.get("first_owners"),
        }
    )


def unsaid(model: type[Model], *inputs: str) -> list[str]:
    """Those of a provider's inputs, as Pulumi calls them, that no `Property` of a model is passed to."""
    passed = {each.provider[0] for each in plain(model)}
    return [camel(each) for each in inputs if each not in passed]


def _properties(model: type[Model], args: Mapping[str, Any]) -> dict[str, Any]:
    """Each `Property` of a model that the arguments have, as the provider calls it; None where they do not have it."""
    found: dict[str, Any] = {}
    for each in plain(model):
        value: Any = args
        for step in each.path:
            value = (value or {}).get(step)
        if each.items is not None and value is not None:
            value = [_stated(_properties(each.items, item)) for item in value]
        put(found, each.provider, value)
    return found


def _tags(args: AppIdentityArgs | ServicePrincipalArgs, *, marked: bool) -> list[pulumi.Input[str]]:
    """The tags asked for and, with `marked`, those that tell which stack made it (`entrant recover` finds it by them).

    The provider cannot take the last tag away, since an empty list is to it the same as none given; with one that always stays, it
    can take away all others. Its `feature_tags` have the same fault, so theirs are written as the tags they stand for.
    """
    features = args.get("feature_tags") or FeatureTagsArgs()
    tags = [*(args.get("tags") or ()), *(tag for name, tag in FEATURES.items() if features.get(name))]
    marks = (MARK, of_stack(pulumi.get_project(), pulumi.get_stack())) if marked else ()
    return [*tags, *(mark for mark in marks if mark not in tags)]


def _pruned(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that say something, in blocks too."""
    kept = {name: _pruned(value) if isinstance(value, dict) else value for name, value in values.items()}
    return {name: value for name, value in kept.items() if value not in (None, [], {})}


def _or(value: _T | None, default: _T) -> _T:
    return default if value is None else value


def _app_role(value: str, args: AppRoleArgs) -> dict[str, Any]:
    enabled = _or(args.get("enabled"), True)
    return {"id": args["id"], "value": value, **_properties(AppRole, args), "enabled": enabled}


def _scope(value: str, args: ExposedScopeArgs) -> dict[str, Any]:
    defaults = {"type": _or(args.get("type"), "Admin"), "enabled": _or(args.get("enabled"), True)}
    return {"id": args["id"], "value": value, **_stated(_properties(ExposedScope, args)), **defaults}


def _stated(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _required(args: PermissionArgs) -> dict[str, Any]:
    roles = [{"id": permission, "type": "Role"} for permission in (args.get("application") or {}).values()]
    scopes = [{"id": permission, "type": "Scope"} for permission in (args.get("delegated") or {}).values()]
    return {"resource_app_id": args["client_id"], "resource_accesses": [*roles, *scopes]}
