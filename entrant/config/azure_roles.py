"""Checks of custom roles, and of the resource types that scopes and operations name."""

from collections.abc import Iterator
from typing import Any

from entrant.facts import resource_types
from entrant.facts.roles import find_role
from entrant.facts.scopes import Scope

from .access import RoleDefinition
from .broken import intact
from .model import KEY
from .problems import Fault, shorten


def role_name(path: tuple[Any, ...], key: str, definition: RoleDefinition) -> Iterator[Fault]:
    """A custom role is not called what a built-in one is."""
    name = key if definition.name is None else definition.name
    if built_in := find_role(name):
        at = (*path, KEY) if definition.name is None else (*path, "name")
        yield Fault(at, f'there is a built-in role "{built_in.name}" already; give this one another name')


def role_actions(path: tuple[Any, ...], key: str, definition: RoleDefinition) -> Iterator[Fault]:
    """Its operations are some, and of types that are not misspelt, as far as that is known."""
    for field in ("actions", "not_actions", "data_actions", "not_data_actions"):
        for index, action in intact(getattr(definition, field)):
            if action != "*" and ("/" not in action or " " in action):
                example = "such as Microsoft.Insights/metrics/read"
                message = f'"{shorten(action)}" is no operation; expected <provider>/<type>/<operation>, {example}'
                yield Fault((*path, field, index), message)
                continue
            unknown = resource_types.unknown_operation(action)
            if unknown is None or unknown.meant is None:
                continue
            if unknown.provider:
                yield Fault((*path, field, index), _no_type(unknown))
            else:  # operations have types of their own, such as `Microsoft.Web/sites/backup`, and the table is of resources
                message = f'the resource type "{unknown.what}" is not known here; did you mean "{unknown.meant}"?'
                yield Fault((*path, field, index), message, "warning")
    if not definition.actions and not definition.data_actions:
        yield Fault(path, "the role allows nothing; list `actions` or `data_actions`")


def assignable_scopes(path: tuple[Any, ...], key: str, definition: RoleDefinition) -> Iterator[Fault]:
    """It is assignable where Azure takes it."""
    groups = [scope for _, scope in intact(definition.assignable_scopes) if scope.kind == "management_group"]
    for index, scope in intact(definition.assignable_scopes):
        at = (*path, "assignable_scopes", index)
        if scope.kind == "root":
            yield Fault(at, "a custom role cannot be assignable at /; name management groups or subscriptions")
        if scope.kind == "resource":
            yield Fault(
                at, "a custom role is assignable at resource groups or wider, not at a resource; name its group"
            )
        if scope.kind == "management_group" and definition.data_actions:
            yield Fault(at, "a role with `data_actions` cannot be assignable at a management group; name subscriptions")
        if scope.kind == "management_group" and scope is not groups[0]:
            yield Fault(at, "a custom role has at most one management group among its assignable scopes")


def resource_type(path: tuple[Any, ...], scope: Scope) -> Iterator[Fault]:
    """A resource provider or type that is not known: an error when it is misspelt, else a warning."""
    unknown = resource_types.unknown(scope.provider, scope.types) if scope.provider else None
    if unknown is None:
        return
    if unknown.meant is not None:
        yield Fault(path, _no_type(unknown))
    elif not unknown.child:
        message = f'the resource provider or type "{shorten(unknown.what)}" is not known here'
        yield Fault(path, f"{message}; a role at what does not exist is refused: see that it is spelt right", "warning")


def _no_type(unknown: resource_types.Unknown) -> str:
    return f'there is no resource provider or type "{unknown.what}"; did you mean "{unknown.meant}"?'
