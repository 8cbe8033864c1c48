"""The vocabulary of an environment file: apps and what surrounds them.

Each field's docstring is what the JSON Schema shows in an editor and what the reference page says. Values are checked one by
one, with what they need to know of the rest of the file in the validation context; what takes several values together to see
is in `checks`.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from entrant.facts import limits
from entrant.facts.clouds import CLOUDS, Cloud
from entrant.facts.contract import CLIENT_SECRET
from entrant.facts.scopes import Scope

from .access import DirectoryRoleGrant, GroupOrMembership, Membership, Permission, RoleDefinition, RoleGrant
from .broken import BROKEN, intact
from .credentials import Calendar, Certificate, KeptCredential, SecretOrNot, calendar_path
from .delivery import Delivery
from .drift import Drift
from .federated import Federated
from .known import Owner, first_name, permission_id
from .model import KEY, Model, Property
from .policy import Policy
from .problems import Refused, shorten
from .registration import (
    Api,
    AppRole,
    Bool,
    FeatureTags,
    IdentifierUri,
    Links,
    OptionalClaims,
    PermissionValue,
    PreAuthorized,
    PublicClient,
    ServicePrincipal,
    SignInAudience,
    Spa,
    Tag_,
    Web,
    distinct,
    repeated,
)
from .values import Duration, Guid, Logo, Name, NamedScope, OnRemove, OwnerRef, RenamedFrom, Text

Part = Certificate | Federated | Permission | PreAuthorized | RoleGrant | Membership | DirectoryRoleGrant
"""What an app has that is an object of its own in Azure."""


class Adopt(Model):
    """Existing objects to take over by id, as Pulumi imports that the preview shows. Where the file describes them otherwise than
    they are, nothing is changed and the difference is shown, unless the app says `change_adopted: true`."""

    application: Guid
    """Object id of the registration (not its client id)."""
    service_principal: Guid | None = None
    """Object id of its service principal. Default: it has none yet, and one is made."""
    no_service_principal: Bool = False
    """The registration has no service principal, and gets none. It can neither sign in nor have a role then."""
    known_clients: Bool = False
    """Whether the registration has the clients of `api.known_clients` already."""

    def together(self) -> Iterator[Refused]:
        """It has a service principal or none."""
        if self.no_service_principal and self.service_principal is not None:
            yield Refused("`service_principal` names one; take one of the two out", "no_service_principal")


class App(Model):
    """One app: its registration, its service principal, its credentials and what it may do."""

    display_name: Annotated[
        Annotated[Text, StringConstraints(max_length=limits.DISPLAY_NAME_THERE)] | None, Property()
    ] = None
    """The name people see in Microsoft Entra. Default: the app's key."""
    description: Annotated[Annotated[Text, StringConstraints(max_length=limits.DESCRIPTION)] | None, Property()] = None
    """What the app is for, as its users see it."""
    notes: Annotated[Annotated[Text, StringConstraints(max_length=limits.NOTES)] | None, Property()] = None
    """Notes of its managers."""
    sign_in_audience: Annotated[SignInAudience | None, Property()] = None
    """Whose accounts can sign in: `AzureADMyOrg` (the default), `AzureADMultipleOrgs`, `AzureADandPersonalMicrosoftAccount`
    or `PersonalMicrosoftAccount`."""
    identifier_uris: Annotated[tuple[IdentifierUri, ...], Property()] = ()
    """URIs that name the app as an API: `api://{tenant_id}/logs` (written so, the id is filled in), or with a verified domain."""
    web: Annotated[Web | None, Property()] = None
    """The web application platform."""
    spa: Annotated[Spa | None, Property("single_page_application", "spa")] = None
    """The single-page application platform."""
    public_client: Annotated[PublicClient | None, Property()] = None
    """The mobile and desktop platform."""
    links: Annotated[Links | None, Property()] = None
    """Pages about the app."""
    logo: Annotated[Logo | None, Property("logo_image", graph="")] = None
    """An image file of at most 100 KiB, relative to the file this stands in: PNG, JPEG or GIF."""
    app_roles: dict[PermissionValue, AppRole] = Field(default_factory=dict)
    """Roles that the app defines, by value."""
    api: Annotated[Api | None, Property()] = None
    """The app as an API that others call."""
    optional_claims: Annotated[OptionalClaims | None, Property()] = None
    """Claims to add to tokens."""
    group_claims: Annotated[
        tuple[Literal["None", "SecurityGroup", "DirectoryRole", "ApplicationGroup", "All"], ...],
        Property("group_membership_claims"),
    ] = ()
    """Which group memberships tokens list."""
    tags: tuple[Tag_, ...] | None = None
    """Free tags. Whatever is declared here carries the tag `entrant` too."""
    feature_tags: FeatureTags | None = None
    """Tags with a meaning for Microsoft Entra."""
    service_management_reference: Annotated[Text | None, Property()] = None
    """The app's entry in a service or asset management database; some tenants demand it."""
    owners: tuple[OwnerRef, ...] = ()
    """Object ids, apps of this environment, user principal names, or `deployer` (whoever runs Pulumi). Default:
    whoever makes the registration, and owners are left alone afterwards."""
    service_principal: ServicePrincipal | None = None
    """Settings of the service principal, which every app has."""
    secret: SecretOrNot | None = None
    """A client secret and its calendar, or `false` for none. Default: none. Prefer `federated` where the app's platform can."""
    certificates: dict[Name, Certificate] = Field(default_factory=dict)
    """Certificates, by a name of your choice: of private keys that the app holds, or issued here by a calendar."""
    kept_credentials: tuple[KeptCredential, ...] = ()
    """Client secrets and certificates that exist and stay until their end."""
    federated: tuple[Federated, ...] = ()
    """Federated credentials: no secret at all. At most 20."""
    permissions: tuple[Permission, ...] = ()
    """Permissions of APIs such as Microsoft Graph."""
    roles: tuple[RoleGrant, ...] = ()
    """Azure roles that the app's service principal gets."""
    groups: tuple[GroupOrMembership, ...] = ()
    """Object ids of groups that the app's service principal is a member of."""
    directory_roles: tuple[DirectoryRoleGrant, ...] = ()
    """Microsoft Entra directory roles that the app's service principal gets."""
    adopt: Adopt | None = None
    """Take over an existing registration and service principal by id."""
    change_adopted: Bool = False
    """Let what is taken over, all that the app has included, be changed to what the file says. Default: a difference is shown and
    refused."""
    renamed_from: RenamedFrom = ()
    """The app's key before, or a list of all it had, the first one first. Nothing changes in the cloud. It stays here: the ids of
    the app's roles and scopes are made from the first."""
    on_remove: OnRemove | None = None
    """What becomes of registration and service principal when the app is removed here: `delete`, or `keep` (Pulumi forgets
    them). Default: the environment's; to be stated with `adopt`."""
    protect: Bool | None = None
    """Whether Pulumi refuses to delete registration and service principal. Default: the environment's `protect`."""
    allow_privileged: Bool = False
    """Allow what is dangerous to have, such as Owner, roles at subscriptions, `Directory.ReadWrite.All`. Needs `reason`."""
    reason: Text | None = None
    """Why the app may be privileged."""

    def together(self) -> Iterator[Refused]:
        """Nothing is given twice, and no name of a certificate is another's."""
        yield from self._certificate_names()
        for index, first in repeated(self.roles, lambda grant: (grant.role.guid, grant.scope.id.lower())):
            role = self.roles[index].role.name
            yield Refused(f"the app has {role} at this scope already (roles[{first}]); keep one", "roles", index)
        yield from distinct(self.permissions, "this API", "permissions", by=lambda permission: permission.api)
        yield from distinct(
            self.groups, "this group", "groups", by=lambda each: each if isinstance(each, str) else each.group
        )
        yield from distinct(self.kept_credentials, "this key id", "kept_credentials", by=lambda kept: kept.key_id)
        yield from distinct(
            self.directory_roles,
            "this directory role",
            "directory_roles",
            by=lambda granted: (granted.role.id, granted.administrative_unit),
        )
        yield from distinct(self.owners, "this owner", "owners", by=Owner.key)

    def _certificate_names(self) -> Iterator[Refused]:
        issued = [key for key, each in intact(self.certificates) if each.every is not None]
        for key in issued:
            if key == CLIENT_SECRET:
                message = f'"{key}" is what the client secret is called among what is rotated; give the certificate another name'
                yield Refused(message, "certificates", key, KEY)
        for key, _ in intact(self.certificates):
            calendar = next(
                (other for other in issued if re.match(rf"{re.escape(other)}-\d{{4}}-\d\d-\d\d", key)), None
            )
            if calendar is not None:
                message = (
                    f'"{shorten(key)}" may be what certificates.{calendar} issues; give this certificate another name'
                )
                yield Refused(message, "certificates", key, KEY)

    def role_id(self, name: str, value: str) -> str:
        """The id of an app role; `name` is the app's key."""
        role = self.app_roles[value]
        return role.id or permission_id(
            first_name(name, self.renamed_from), "app role", first_name(value, role.renamed_from)
        )

    def scope_id(self, name: str, value: str) -> str:
        """The id of an exposed scope; `name` is the app's key."""
        assert self.api is not None
        scope = self.api.scopes[value]
        return scope.id or permission_id(
            first_name(name, self.renamed_from), "scope", first_name(value, scope.renamed_from)
        )

    @property
    def memberships(self) -> tuple[Membership, ...]:
        """The groups that the app's service principal is a member of."""
        return tuple(each if isinstance(each, Membership) else Membership(group=each) for each in self.groups)

    def adopted_parts(self) -> Iterator[tuple[tuple[Any, ...], "Part"]]:
        """What the app takes over beside registration and service principal: each entry, with its path below the app."""
        api = self.api
        entries: tuple[tuple[tuple[Any, ...], Any], ...] = (
            (("certificates",), self.certificates),
            (("federated",), self.federated),
            (("permissions",), self.permissions),
            (("api", "pre_authorized"), () if api is None or api is BROKEN else api.pre_authorized),
            (("roles",), self.roles),
            (("groups",), self.groups),
            (("directory_roles",), self.directory_roles),
        )
        for path, parts in entries:
            for step, part in intact(parts):
                adopt = None if isinstance(part, str) else part.adopt
                if adopt is not None and adopt is not BROKEN and adopt is not False:
                    yield (*path, step), part

    @property
    def has_principal(self) -> bool:
        """Whether the app has a service principal, or gets one."""
        return self.adopt is None or self.adopt is BROKEN or self.adopt.no_service_principal is not True

    @property
    def needs(self) -> frozenset[str]:
        """The apps whose ids this one's registration needs: those it asks permissions of, and its owners."""
        owners = (owner.value for owner in self.all_owners if owner.kind == "app")
        apis = (permission.api for _, permission in intact(self.permissions))
        return frozenset({*owners, *(api.app for api in apis if api is not BROKEN and api.app)})

    @property
    def names(self) -> frozenset[str]:
        """The apps of the environment that this one names: those it needs, and the clients of its API."""
        api = self.api
        clients = () if api is None else (*(entry.client for entry in api.pre_authorized), *api.known_clients)
        return self.needs | {client.app for client in clients if client.app}

    @property
    def calendars(self) -> Mapping[str, Calendar]:
        """The calendars by which secrets and certificates are made: the client secret's (`secret`), and each certificate's that is
        issued here, by its key."""
        secret = (
            {} if self.secret is None or self.secret is BROKEN or self.secret is False else {CLIENT_SECRET: self.secret}
        )
        return secret | {key: each for key, each in intact(self.certificates) if each.every is not None}

    @property
    def held_certificates(self) -> Mapping[str, Certificate]:
        """The certificates whose private keys the app holds."""
        return {key: each for key, each in intact(self.certificates) if each.every is None}

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """Where its client secret and its certificates are delivered to."""
        return tuple(delivery for _, delivery in self.delivery_paths())

    def delivery_paths(self) -> Iterator[tuple[tuple[Any, ...], Delivery]]:
        """Each of `deliveries` with its path below the app: `("certificates", "signing", "deliver", 0)`."""
        for name, calendar in self.calendars.items():
            path = (*calendar_path(name), "deliver")
            yield from (((*path, index), delivery) for index, delivery in intact(calendar.deliver))

    def vaults(self) -> Iterator[tuple[tuple[Any, ...], Scope]]:
        """The Key Vaults among `deliveries`, each with its path."""
        for path, delivery in self.delivery_paths():
            place = delivery.key_vault
            if place is not None and place is not BROKEN and place.vault is not BROKEN:
                yield (*path, "key_vault", "vault"), place.vault

    @property
    def all_owners(self) -> tuple[Owner, ...]:
        """Owners of the registration and of the service principal."""
        principal = self.service_principal
        others = () if principal is None or principal is BROKEN else principal.owners
        return tuple(owner for owners in (self.owners, others) for _, owner in intact(owners))


class Limits(Model):
    """Lifetimes that the tenant's app management policy, or your own rules, allow."""

    secret_lifetime: Duration = limits.SECRET_LIFETIME
    """Longest lifetime of a client secret, `every` and `overlap` together. Default 730d; audits often ask for 180d."""
    certificate_lifetime: Duration = timedelta(days=36500)
    """Longest lifetime of a certificate; of one that is issued here, `every` and `overlap` together. Default: any."""


class Environment(Model):
    """An environment: one file, one Pulumi stack, all apps in it."""

    extends: Text | None = None
    """Another file, relative to this one, that this one changes: mappings merge, nearer values win, null removes."""
    tenant: Guid | None = None
    """The tenant this environment belongs to; a run signed in to another one stops before it changes anything."""
    cloud: Literal["public", "usgovernment", "china"] = "public"
    """The Azure cloud. Default public. Pulumi's providers are set to it by `azuread:environment` and `azure-native:environment`
    in the stack's configuration, or by ARM_ENVIRONMENT; a run stops where they are set otherwise."""
    subscription: Guid | None = None
    """The subscription that `{resource_group: …}` scopes are in when they name none."""
    scopes: dict[Name, NamedScope] = Field(default_factory=dict)
    """Names for scopes, so that apps need not repeat long ids."""
    limits: Limits = Field(default_factory=Limits)
    """Lifetimes that are allowed in this environment."""
    policy: Policy = Field(default_factory=Policy)
    """Which policy rules matter here, and how much."""
    drift: Drift = Field(default_factory=Drift)
    """Differences from the file that are known, and that `drift` need not report."""
    role_definitions: dict[Name, RoleDefinition] = Field(default_factory=dict)
    """Custom Azure roles that this environment declares, by name."""
    defaults: App = Field(default_factory=App)
    """Settings that every app gets unless it has its own; `null` in an app takes one away."""
    on_remove: OnRemove = "delete"
    """What becomes of registrations and service principals that are removed from the file. Default delete."""
    protect: Bool = False
    """Whether Pulumi refuses to delete registrations and service principals of this environment. Default false."""
    apps: Annotated[dict[Name, App], Field(min_length=1)]
    """The apps, by name. A name is lower case and becomes part of resource and output names."""

    def together(self) -> Iterator[Refused]:
        """What belongs to one app is no default."""
        own = (
            "display_name",
            "adopt",
            "change_adopted",
            "renamed_from",
            "identifier_uris",
            "reason",
            "kept_credentials",
        )
        for name in own:
            if name in self.defaults.model_fields_set:
                yield Refused(f"`{name}` belongs to one app; it cannot be a default", "defaults", name)

    @property
    def azure(self) -> Cloud:
        """Endpoints and audiences of the environment's cloud."""
        return CLOUDS[self.cloud]

    def keeps(self, app: App, part: Part | None = None) -> bool:
        """Whether registration and service principal of an app, or a part of it, stay in the cloud when they go from the file."""
        of_app = app.on_remove or self.on_remove
        if part is None:
            return of_app == "keep"
        return (part.on_remove or (of_app if part.adopt else "delete")) == "keep"

    def all_scopes(self) -> tuple[Scope, ...]:
        """Every scope the environment names or uses, each once, outer before inner."""

        def everything() -> Iterator[Scope]:
            yield from self.scopes.values()
            for definition in self.role_definitions.values():
                yield from definition.assignable_scopes
            for app in self.apps.values():
                for grant in app.roles:
                    yield grant.scope
                yield from (vault for _, vault in app.vaults())

        return tuple(sorted({scope.id.lower(): scope for scope in everything()}.values(), key=lambda scope: scope.id))

    def written_scopes(self) -> Iterator[tuple[tuple[Any, ...], Scope]]:
        """Every scope that is known, with its path: named ones where they are named, others where they are used."""
        named = set()
        for name, scope in intact(self.scopes):
            named.add(scope.id.lower())
            yield ("scopes", name), scope
        for key, definition in intact(self.role_definitions):
            for index, scope in intact(definition.assignable_scopes):
                if scope.id.lower() not in named:
                    yield ("role_definitions", key, "assignable_scopes", index), scope
        for name, app in intact(self.apps):
            for index, grant in intact(app.roles):
                if grant.scope is not BROKEN and grant.scope.id.lower() not in named:
                    yield ("apps", name, "roles", index, "scope"), grant.scope
            for path, vault in app.vaults():
                if vault.id.lower() not in named:
                    yield ("apps", name, *path), vault

    def all_users(self) -> tuple[str, ...]:
        """User principal names of owners."""
        return tuple(
            sorted({o.value.lower() for app in self.apps.values() for o in app.all_owners if o.kind == "user"})
        )
