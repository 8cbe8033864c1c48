"""What an app may do, in the vocabulary: Azure roles, API permissions, groups, directory roles."""

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    PlainValidator,
    StringConstraints,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from entrant.facts import apis, conditions, limits
from entrant.facts.roles import RolePermission, find_role
from entrant.facts.scopes import is_guid

from .broken import BROKEN, intact
from .known import custom_role_id, first_name, known_of, slug
from .model import Model
from .problems import Refused, did_you_mean, shorten
from .registration import Bool, distinct
from .source import expected, text_of
from .values import ApiRef, DirectoryRoleRef, Guid, OnRemove, RenamedFrom, RoleRef, ScopeRef, Text


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
    """Name (GUID) of an existing assignment to take over."""
    on_remove: OnRemove | None = None
    """What becomes of the assignment when this entry goes. Default: `delete`; with `adopt`, what the app says."""

    @property
    def digest(self) -> str:
        """What tells it apart from the app's other ones: of role definition and scope, which Azure takes once."""
        return hashlib.sha256(f"{self.role.guid}|{self.scope.id}".lower().encode()).hexdigest()[:12]

    @property
    def key(self) -> str:
        """Its part of a resource name, such as `reader-law-dev-1f0c2b3a4d5e`.

        Made from what Azure holds unique, role definition and scope (of the app's principal), not from its place in a list, the
        name its scope has in the file, or how the role is named there, so that reordering and renaming change nothing.
        """
        known = find_role(self.role.guid)
        return "-".join((slug(known.name) if known else "custom", slug(self.scope.name) or "root", self.digest))

    @property
    def former_keys(self) -> list[str]:
        """What earlier versions called it, after the role's name or its GUID as the file had it."""
        place = slug(self.scope.name) or "root"
        return [f"{slug(role)}-{place}-{self.digest[:6]}" for role in (self.role.name, self.role.guid)]

    def together(self) -> Iterator[Refused]:
        """What goes with a condition is there."""
        if self.condition is not None and self.condition_version is None:
            yield Refused('`condition` needs `condition_version: "2.0"` beside it', "condition")
        if self.condition is None and self.condition_version is not None:
            yield Refused("`condition_version` goes with `condition`", "condition_version")


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
    adopt: Guid | None = None
    """Name (GUID) of an existing role definition to take over."""
    change_adopted: Bool = False
    """Let the role that is taken over be changed to what the file says. Default: a difference is shown and refused."""
    on_remove: OnRemove | None = None
    """What becomes of the role when this entry goes. Default: `delete`; to be stated with `adopt`."""

    def together(self) -> Iterator[Refused]:
        """What goes with an adoption is there, and not without one; nothing is given twice."""
        if self.adopt is not None and self.on_remove is None:
            yield Refused("say what becomes of an adopted role: add `on_remove: keep` or `on_remove: delete`", "adopt")
        if self.adopt is None and self.change_adopted:
            yield Refused("nothing here is adopted; take `change_adopted` away", "change_adopted")
        for name in ("actions", "not_actions", "data_actions", "not_data_actions"):
            yield from distinct(getattr(self, name), "this operation", name)
        yield from distinct(self.assignable_scopes, "this scope", "assignable_scopes", by=lambda scope: scope.id)

    def guid(self, key: str) -> str:
        """Its GUID; `key` is the one it has now."""
        return self.adopt or custom_role_id(first_name(key, self.renamed_from), self.assignable_scopes[0])

    @property
    def permissions(self) -> tuple[RolePermission, ...]:
        """What it allows."""
        return (RolePermission(self.actions, self.not_actions, self.data_actions, self.not_data_actions),)


class Consented(Model):
    """The permissions that admin consent is given to, where it is not to all that the app asks for and to nothing else."""

    application: tuple[Text, ...] = ()
    """Application permissions by name."""
    delegated: tuple[Text, ...] = ()
    """Delegated permissions by name, for all users."""


def _consent(value: Any) -> bool:
    if not isinstance(value, bool):
        remedy = "; consent of single users is theirs to give" if isinstance(value, str) else ""
        raise Refused(expected("true, false or {application: …, delegated: …}", value) + remedy)
    return value


Consent = Annotated[
    Annotated[Consented, Tag("mapping")]
    | Annotated[bool, PlainValidator(_consent), WithJsonSchema({"type": "boolean"}), Tag("flag")],
    Discriminator(lambda value: "mapping" if isinstance(value, dict | Consented) else "flag"),
]
Kind = Literal["application", "delegated"]
KINDS: tuple[Kind, ...] = ("application", "delegated")


class AdoptedConsent(Model):
    """Existing consents to take over."""

    application: dict[Text, Text] = Field(default_factory=dict)
    """By the permission's name: the id of its app role assignment, as Microsoft Graph has it."""
    delegated: Text | None = None
    """Id of the delegated permission grant (`oauth2PermissionGrant`) for all users."""


class Permission(Model):
    """Permissions of one API that the app asks for."""

    api: ApiRef
    """`Microsoft Graph`, `Azure Service Management`, another API by name or client id, or an app of this environment."""
    application: tuple[Text, ...] = ()
    """Application permissions (app roles) by name, such as `User.Read.All`: what the app may do as itself. One that has no
    name (any more) goes by its id, here and below."""
    delegated: tuple[Text, ...] = ()
    """Delegated permissions (scopes) by name, such as `User.Read`: what it may do for a signed-in user."""
    consent: Consent = False
    """Give admin consent: for `application` by app-role assignments, for `delegated` for all users. Default false.
    `{application: …, delegated: …}` names those that have it: not all, or more than the registration asks for."""
    adopt: AdoptedConsent | None = None
    """Existing consents to take over; others are made."""
    on_remove: OnRemove | None = None
    """What becomes of the consents when this entry goes, or one of them. Default: `delete`; with `adopt`, what the app says."""

    @field_validator(*KINDS)
    @classmethod
    def _by_name(cls, values: Any, info: ValidationInfo) -> Any:
        return _names(values, str(info.field_name), info)

    @field_validator("consent")
    @classmethod
    def _consent_by_name(cls, consent: Any, info: ValidationInfo) -> Any:
        if not isinstance(consent, Consented):
            return consent
        said_here = [kind for kind in KINDS if kind in consent.model_fields_set]
        return consent.model_copy(update={kind: _names(getattr(consent, kind), kind, info) for kind in said_here})

    @field_validator("adopt")
    @classmethod
    def _adopt_by_name(cls, adopt: Any, info: ValidationInfo) -> Any:
        if not isinstance(adopt, AdoptedConsent) or adopt.application is BROKEN:
            return adopt
        named = {_name(text, "application", info): assignment for text, assignment in adopt.application.items()}
        if len(named) < len(adopt.application):
            raise Refused("`application` has a permission twice, by its name and by its id; keep one of the two")
        return adopt.model_copy(update={"application": named}) if adopt.application else adopt

    def together(self) -> Iterator[Refused]:
        """There are permissions, each once, and the API offers them as far as is known here."""
        yield from distinct(self.application, "this permission", "application")
        yield from distinct(self.delegated, "this permission", "delegated")
        if isinstance(self.consent, Consented):
            yield from distinct(self.consent.application, "this permission", "consent", "application")
            yield from distinct(self.consent.delegated, "this permission", "consent", "delegated")
        consented = self.consent if isinstance(self.consent, Consented) else Consented()
        if all(names == () for each in (self, consented) for names in (each.application, each.delegated)):
            yield Refused("name permissions under `application`, `delegated` or both")
        offered = offered_permissions(self.api.client_id) if self.api.client_id else None
        for path, kind, name in self.named():
            if offered is not None and name not in offered[kind] and not is_guid(name):
                yield Refused(unknown_permission(self.api.name, kind, name, offered), *path)
        yield from self._adopted()

    def _adopted(self) -> Iterator[Refused]:
        if self.adopt is None:
            return
        consented = self.consented()
        for name in self.adopt.application:
            if name not in consented["application"]:
                message = f'"{shorten(name)}" has no consent here; name it under `application`, with `consent: true`'
                yield Refused(message, "adopt", "application", name)
        if self.adopt.delegated is not None and not consented["delegated"]:
            yield Refused(
                "no delegated permission has consent here; name them, with `consent: true`", "adopt", "delegated"
            )

    def consented(self) -> dict[Kind, tuple[str, ...]]:
        """The permissions that have admin consent."""
        consent = self.consent if isinstance(self.consent, Consented) else self if self.consent else Consented()
        return {"application": consent.application, "delegated": consent.delegated}

    def named(self) -> Iterator[tuple[tuple[str | int, ...], Kind, str]]:
        """Every permission that is asked for or has consent, once, with its path below this entry."""
        for kind in KINDS:
            requested = getattr(self, kind)
            yield from (((kind, index), kind, name) for index, name in intact(requested))
            if isinstance(self.consent, Consented):
                for index, name in intact(getattr(self.consent, kind)):
                    if requested is not BROKEN and name not in requested:
                        yield ("consent", kind, index), kind, name


def _names(values: Any, kind: str, info: ValidationInfo) -> Any:
    return values if values is BROKEN else tuple(_name(value, kind, info) for value in values)


def _name(text: Any, kind: str, info: ValidationInfo) -> Any:
    """The name of a permission that is given by its id, where it is known here; else the id, in lower case."""
    api = info.data.get("api")
    if text is BROKEN or not is_guid(text) or api is None or api is BROKEN:
        return text
    id_ = text.lower()
    if api.app is not None:
        return known_of(info).offered.get((api.app, kind, id_), id_)
    of, name = known_permissions().get((kind, id_), ("", id_))
    return name if apis.FIRST_PARTY.get(of) == api.client_id else id_


class DirectoryRoleGrant(Model):
    """A Microsoft Entra directory role for the app's service principal."""

    role: DirectoryRoleRef
    """Name (`Directory Readers`) or template id."""
    administrative_unit: Guid | None = None
    """Object id of the administrative unit it is limited to. Default: the whole directory."""
    adopt: Text | None = None
    """Id of an existing assignment to take over (`unifiedRoleAssignment`), as Microsoft Graph has it."""
    on_remove: OnRemove | None = None
    """What becomes of the assignment when this entry goes. Default: `delete`; with `adopt`, what the app says."""

    @property
    def key(self) -> str:
        """Its part of a resource name."""
        unit = f"-{self.administrative_unit}" if self.administrative_unit else ""
        return f"directory-{slug(self.role.name)}{unit}"


class Membership(Model):
    """A group that the app's service principal is a member of."""

    group: Guid
    """Object id of the group."""
    adopt: Bool = False
    """Take the existing membership over."""
    on_remove: OnRemove | None = None
    """What becomes of the membership when this entry goes. Default: `delete`; with `adopt`, what the app says."""


GroupOrMembership = Annotated[
    Annotated[Membership, Tag("mapping")] | Annotated[Guid, Tag("group")],
    Discriminator(lambda value: "mapping" if isinstance(value, dict | Membership) else "group"),
]


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
