"""What an app may do, in the vocabulary: Azure roles, API permissions, groups, directory roles."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, StringConstraints, WithJsonSchema

from entrant.facts import apis, conditions, limits
from entrant.facts.roles import Permission as RolePermission

from .broken import intact
from .problems import Refused, did_you_mean, shorten
from .registration import distinct
from .source import expected
from .values import (
    ApiRef,
    DirectoryRoleRef,
    Guid,
    Model,
    RenamedFrom,
    RoleRef,
    ScopeRef,
    Text,
    custom_role_id,
    first_name,
    text_of,
)

OnRemove = Literal["keep", "delete"]


def _condition(value: Any) -> str:
    """A condition that can be read."""
    text = text_of(value)
    try:
        conditions.parse(text)
    except conditions.ConditionError as error:
        example = "@Resource[<attribute>] StringEquals 'x'"
        raise Refused(f"the condition cannot be read: {error}; it is made of comparisons such as {example}") from None
    return text


Condition = Annotated[
    str,
    PlainValidator(_condition),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": limits.ROLE_CONDITION}),
]


class RoleGrant(Model):
    """An Azure role assignment: the app's service principal gets a role at a scope and everything below it."""

    role: RoleRef
    """A built-in role by name (`Reader`), a custom one by its key under `role_definitions`, any by GUID or full id."""
    scope: ScopeRef
    """A name from `scopes`, a full id, or `{subscription: …}`, `{resource_group: …}`, `{management_group: …}`."""
    description: Annotated[Text, StringConstraints(max_length=limits.ROLE_ASSIGNMENT_DESCRIPTION)] | None = None
    """Why the app has this role; stored with the assignment."""
    condition: Condition | None = None
    """An attribute-based condition that narrows the role."""
    condition_version: Literal["2.0"] | None = None
    """Version of the condition's language, `"2.0"`; needed with `condition`."""
    adopt: Guid | None = None
    """Name (GUID) of an existing assignment to take over, as a Pulumi import."""
    on_remove: OnRemove | None = None
    """With `adopt`: what becomes of the assignment when this entry goes."""

    @property
    def digest(self) -> str:
        """What tells it apart from the app's other ones: of role definition and scope, which Azure takes once."""
        return hashlib.sha256(f"{self.role.guid}|{self.scope.id}".lower().encode()).hexdigest()[:12]

    def together(self) -> Iterator[Refused]:
        """What goes with a condition and with an adoption is there."""
        if self.condition is not None and self.condition_version is None:
            yield Refused('`condition` needs `condition_version: "2.0"` beside it', "condition")
        if self.condition is None and self.condition_version is not None:
            yield Refused("`condition_version` goes with `condition`", "condition_version")
        if self.adopt is not None and self.on_remove is None:
            yield Refused(
                "say what becomes of an adopted assignment: add `on_remove: keep` or `on_remove: delete`", "adopt"
            )


class RoleDefinition(Model):
    """A custom Azure role. Its key names it in `roles`."""

    name: Annotated[Text, StringConstraints(max_length=limits.CUSTOM_ROLE_NAME)] | None = None
    """Its name in Azure, unique in the tenant. Default: the key."""
    description: Annotated[Text, StringConstraints(max_length=limits.CUSTOM_ROLE_DESCRIPTION)] | None = None
    """What it is for."""
    actions: tuple[Text, ...] = ()
    """Operations of Azure Resource Manager, such as `Microsoft.OperationalInsights/workspaces/query/read`."""
    not_actions: tuple[Text, ...] = ()
    """Operations taken out of `actions`."""
    data_actions: tuple[Text, ...] = ()
    """Operations on data, such as `Microsoft.Insights/Metrics/Write`."""
    not_data_actions: tuple[Text, ...] = ()
    """Operations taken out of `data_actions`."""
    assignable_scopes: Annotated[tuple[ScopeRef, ...], Field(min_length=1)]
    """Where it can be assigned; the first is where the definition is made and becomes part of its id."""

    renamed_from: RenamedFrom = ()
    """The role's key before, or a list of all it had, the first one first. It stays here: the role's id is made from the first."""

    def together(self) -> Iterator[Refused]:
        """Nothing is given twice."""
        for name in ("actions", "not_actions", "data_actions", "not_data_actions"):
            yield from distinct(getattr(self, name), "this operation", name)
        yield from distinct(self.assignable_scopes, "this scope", "assignable_scopes", by=lambda scope: scope.id)

    def guid(self, key: str) -> str:
        """Its GUID; `key` is the one it has now."""
        return custom_role_id(first_name(key, self.renamed_from), self.assignable_scopes[0])

    @property
    def permissions(self) -> tuple[RolePermission, ...]:
        """What it allows."""
        return (RolePermission(self.actions, self.not_actions, self.data_actions, self.not_data_actions),)


def _consent(value: Any) -> bool:
    if not isinstance(value, bool):
        remedy = "; consent of single users is theirs to give" if isinstance(value, dict | str) else ""
        raise Refused(expected("true or false", value) + remedy)
    return value


Consent = Annotated[bool, PlainValidator(_consent), WithJsonSchema({"type": "boolean"})]


class Permission(Model):
    """Permissions of one API that the app asks for."""

    api: ApiRef
    """`Microsoft Graph`, `Azure Service Management`, another API by name or client id, or an app of this environment."""
    application: tuple[Text, ...] = ()
    """Application permissions (app roles) by name, such as `User.Read.All`: what the app may do as itself."""
    delegated: tuple[Text, ...] = ()
    """Delegated permissions (scopes) by name, such as `User.Read`: what it may do for a signed-in user."""
    consent: Consent = False
    """Give admin consent: for `application` by app-role assignments, for `delegated` for all users. Default false."""

    def together(self) -> Iterator[Refused]:
        """There are permissions, each once, and the API offers them as far as is known here."""
        yield from distinct(self.application, "this permission", "application")
        yield from distinct(self.delegated, "this permission", "delegated")
        if self.application == () and self.delegated == ():
            yield Refused("name permissions under `application`, `delegated` or both")
        offered = offered_permissions(self.api.client_id) if self.api.client_id else None
        for kind in ("application", "delegated"):
            for index, name in intact(getattr(self, kind)):
                if offered is not None and name not in offered[kind]:
                    yield Refused(unknown_permission(self.api.name, kind, name, offered), kind, index)


class DirectoryRoleGrant(Model):
    """A Microsoft Entra directory role for the app's service principal."""

    role: DirectoryRoleRef
    """Name (`Directory Readers`) or template id."""
    administrative_unit: Guid | None = None
    """Object id of the administrative unit it is limited to. Default: the whole directory."""


@cache
def offered_permissions(client_id: str) -> dict[str, dict[str, str]] | None:
    """What an API offers, as kind → name → id, for the APIs that are known offline; else None."""
    if client_id == apis.GRAPH:
        graph = apis.graph_permissions()
        return {
            "application": dict(graph.application),
            "delegated": {name: permission.id for name, permission in graph.delegated.items()},
        }
    if client_id == apis.AZURE_SERVICE_MANAGEMENT:
        return {"application": {}, "delegated": {"user_impersonation": apis.USER_IMPERSONATION}}
    return None


@cache
def known_permissions() -> Mapping[tuple[str, str], tuple[str, str]]:
    """The permissions that are known offline: kind and id → the API's name and the permission's."""
    return {
        (kind, id_): (api, name)
        for api, client_id in apis.FIRST_PARTY.items()
        for kind, names in (offered_permissions(client_id) or {}).items()
        for name, id_ in names.items()
    }


def unknown_permission(api: str, kind: str, name: str, offered: dict[str, dict[str, str]]) -> str:
    """The message for a permission that the API does not offer."""
    other = "delegated" if kind == "application" else "application"
    message = f'{api} has no {kind} permission "{shorten(name)}"'
    if name in offered[other]:
        return f"{message}, but a {other} one; move it to `{other}`"
    if not offered[kind]:
        return f"{message}: it offers none"
    return message + (did_you_mean(name, offered[kind]) or "; look its name up in the API's permissions reference")
