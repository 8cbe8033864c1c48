"""What takes more than one value to see: limits, tenant rules that reject a declaration, what is dangerous or deprecated."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from facts import apis, limits, risks
from facts.roles import find_role
from facts.scopes import Scope, is_guid

from .access import RoleDefinition, RoleGrant, unknown_permission
from .credentials import Federated
from .drift import Ignored
from .models import App, Environment, Limits
from .problems import Severity, did_you_mean, shorten
from .registration import PERSONAL
from .values import KEY


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault in values that are sound by themselves: the path of the value it is about, the message, how much it matters."""

    path: tuple[Any, ...]
    message: str
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class Sound:
    """What of an environment is sound by itself, whatever else is wrong with it."""

    names: tuple[str, ...]
    """The names of all apps, sound or not."""
    apps: Mapping[str, App]
    role_definitions: Mapping[str, RoleDefinition]
    limits: Limits
    cloud: str
    on_remove: str | None
    """What the file says about removal; None when it says nothing."""
    ignored: tuple[Ignored, ...] = ()

    @classmethod
    def of(cls, environment: Environment) -> "Sound":
        """All of an environment."""
        return cls(
            tuple(environment.apps),
            environment.apps,
            environment.role_definitions,
            environment.limits,
            environment.cloud,
            environment.on_remove if "on_remove" in environment.model_fields_set else None,
            environment.drift.ignore,
        )


def findings(sound: Sound) -> Iterator[Finding]:
    """Every finding about an environment, warnings included."""
    yield from _names(sound.names)
    for index, ignored in enumerate(sound.ignored):
        if ignored.app is not None and ignored.app not in sound.names:
            hint = did_you_mean(ignored.app, sound.names) or "; take the entry out when the app is gone"
            yield Finding(("drift", "ignore", index, "app"), f'no app is called "{shorten(ignored.app)}"{hint}')
    yield from _cycles(sound.apps)
    yield from _role_definitions(sound.role_definitions)
    for name, app in sound.apps.items():
        for finding in _app(app, sound):
            yield Finding(("apps", name, *finding.path), finding.message, finding.severity)


def output_name(app: str) -> str:
    """An app's name as it stands in stack outputs: a shell name, so `-` becomes `_`."""
    return app.replace("-", "_")


def order(apps: Mapping[str, App]) -> tuple[str, ...]:
    """The apps, each after those whose ids it needs. Raises `graphlib.CycleError` when two need each other."""
    graph = {name: sorted(app.needs & apps.keys()) for name, app in apps.items()}
    return tuple(TopologicalSorter(graph).static_order())


def _names(names: Iterable[str]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for name in names:
        first = seen.setdefault(output_name(name), name)
        if first != name:
            message = f'"{name}" and "{first}" make the same output names ({output_name(name)}_client_id); rename one'
            yield Finding(("apps", name, KEY), message)


def _cycles(apps: Mapping[str, App]) -> Iterator[Finding]:
    try:
        order(apps)
    except CycleError as error:
        circle: list[str] = error.args[1][:-1]
        start = circle.index(min(circle))
        circle = [*circle[start:], *circle[:start]]
        remedy = "give one of the ids as a GUID, known after its first `pulumi up`"
        if len(circle) == 1:
            message = f"{circle[0]} needs its own id (as owner or API) before it exists; {remedy}"
        else:
            round_trip = " needs ".join((*circle, circle[0]))
            message = f"permissions or owners go in a circle: {round_trip}; {remedy}"
        yield Finding(("apps", circle[0], KEY), message)


# ---------------------------------------------------------------------------------------------------------- custom roles


def _role_definitions(definitions: Mapping[str, RoleDefinition]) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for key, definition in definitions.items():
        path = ("role_definitions", key)
        name = definition.name or key
        at = (*path, "name") if definition.name else (*path, KEY)
        if built_in := find_role(name):
            yield Finding(at, f'there is a built-in role "{built_in.name}" already; give this one another name')
        first = seen.setdefault(name.lower(), key)
        if first != key:
            yield Finding(at, f'"{name}" is the name of role_definitions.{first} already; names are unique in a tenant')
        if not definition.actions and not definition.data_actions:
            yield Finding(path, "the role allows nothing; list `actions` or `data_actions`")
        for field in ("actions", "not_actions", "data_actions", "not_data_actions"):
            for index, action in enumerate(getattr(definition, field)):
                if action != "*" and ("/" not in action or " " in action):
                    example = "such as Microsoft.Insights/metrics/read"
                    message = f'"{shorten(action)}" is no operation; expected <provider>/<type>/<operation>, {example}'
                    yield Finding((*path, field, index), message)
        yield from _assignable_scopes(path, definition)


def _assignable_scopes(path: tuple[Any, ...], definition: RoleDefinition) -> Iterator[Finding]:
    groups = [scope for scope in definition.assignable_scopes if scope.kind == "management_group"]
    for index, scope in enumerate(definition.assignable_scopes):
        at = (*path, "assignable_scopes", index)
        if scope.kind == "root":
            yield Finding(at, "a custom role cannot be assignable at /; name management groups or subscriptions")
        if scope.kind == "resource":
            yield Finding(
                at, "a custom role is assignable at resource groups or wider, not at a resource; name its group"
            )
        if scope.kind == "management_group" and definition.data_actions:
            yield Finding(
                at, "a role with `data_actions` cannot be assignable at a management group; name subscriptions"
            )
        if scope.kind == "management_group" and scope is not groups[0]:
            yield Finding(at, "a custom role has at most one management group among its assignable scopes")


# ------------------------------------------------------------------------------------------------------------------- apps


def _app(app: App, sound: Sound) -> Iterator[Finding]:
    yield from _registration(app)
    yield from _api(app)
    yield from _credentials(app, sound)
    yield from _permissions(app, sound.apps)
    for index, grant in enumerate(app.roles):
        yield from _grant(("roles", index), grant, sound)
    if app.adopt and app.on_remove is None and sound.on_remove is None:
        yield Finding(("adopt",), "say what becomes of what is adopted: add `on_remove: keep` or `on_remove: delete`")
    yield from _privileges(app, sound)


def _registration(app: App) -> Iterator[Finding]:
    for owner, path in ((app, ()), (app.service_principal, ("service_principal",))):
        if owner is not None and len(owner.owners) > limits.OWNERS:
            yield Finding(
                (*path, "owners"), f"{len(owner.owners)} owners; Microsoft Entra takes at most {limits.OWNERS}"
            )
    for index, uri in enumerate(app.identifier_uris):
        if uri.startswith("api://") and not _names_owner(uri):
            message = f"\"{shorten(uri)}\" must hold the app's or the tenant's id, or a verified domain"
            message += "; write api://{tenant_id}/<name>"
            yield Finding(("identifier_uris", index), message)
    uris = {
        "web": app.web.redirect_uris if app.web else (),
        "spa": app.spa.redirect_uris if app.spa else (),
        "public_client": app.public_client.redirect_uris if app.public_client else (),
    }
    for platform, values in uris.items():
        if len(values) > limits.REDIRECT_URIS:
            message = f"{len(values)} redirect URIs; Microsoft Entra takes at most {limits.REDIRECT_URIS}"
            yield Finding((platform, "redirect_uris"), message)
    if app.sign_in_audience in PERSONAL:
        yield from _personal_accounts(app, uris)
    for value in app.app_roles:
        if app.api and value in app.api.scopes:
            message = f'"{shorten(value)}" is an app role and an exposed scope; a value stands for one of them'
            yield Finding(("app_roles", value, KEY), message)
    if len(app.group_claims) > 1 and {"None", "All"} & set(app.group_claims):
        yield Finding(("group_claims",), "`None` and `All` stand alone; list the kinds you want instead")


def _names_owner(uri: str) -> bool:
    """Microsoft's "Restrictions on identifier URIs": an id is a whole part of the path, a domain stands first."""
    host, *path = uri.removeprefix("api://").split("/")
    return "." in host or any(part == "{tenant_id}" or is_guid(part) for part in (host, *path))


def _personal_accounts(app: App, redirects: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    """Microsoft's "Supported accounts validation differences"."""
    audience = f"`sign_in_audience: {app.sign_in_audience}`"
    if app.api is None or app.api.token_version != 2:
        at = ("api", "token_version") if app.api else ("sign_in_audience",)
        yield Finding(at, f"{audience} needs tokens of version 2; write `api: {{token_version: 2}}`")
    for platform, values in redirects.items():
        if len(values) > limits.REDIRECT_URIS_PERSONAL:
            most = limits.REDIRECT_URIS_PERSONAL
            yield Finding(
                (platform, "redirect_uris"), f"{audience} takes at most {most} redirect URIs; found {len(values)}"
            )
        for index, uri in enumerate(values):
            if "*" in uri.split("/")[2 if "//" in uri else 0]:
                yield Finding(
                    (platform, "redirect_uris", index), f"{audience} takes no wildcard in a redirect URI's host"
                )
    if len(app.identifier_uris) > limits.IDENTIFIER_URIS_PERSONAL:
        yield Finding(
            ("identifier_uris",), f"{audience} takes at most {limits.IDENTIFIER_URIS_PERSONAL} identifier URIs"
        )
    for index, uri in enumerate(app.identifier_uris):
        if uri.startswith("urn:"):
            yield Finding(
                ("identifier_uris", index), f"{audience} takes no urn: identifier URI; use api:// or https://"
            )
    scopes = app.api.scopes if app.api else {}
    if len(scopes) > limits.EXPOSED_SCOPES_PERSONAL:
        yield Finding(("api", "scopes"), f"{audience} takes at most {limits.EXPOSED_SCOPES_PERSONAL} exposed scopes")
    for value in scopes:
        if len(value) > limits.EXPOSED_SCOPE_LENGTH_PERSONAL:
            most = limits.EXPOSED_SCOPE_LENGTH_PERSONAL
            yield Finding(("api", "scopes", value, KEY), f"{audience} takes scope names of at most {most} characters")


def _api(app: App) -> Iterator[Finding]:
    if app.api is None:
        return
    for index, client in enumerate(app.api.pre_authorized):
        for position, value in enumerate(client.scopes):
            if value not in app.api.scopes:
                hint = did_you_mean(value, app.api.scopes) or "; declare it there"
                message = f'the app exposes no scope "{shorten(value)}" under api.scopes{hint}'
                yield Finding(("api", "pre_authorized", index, "scopes", position), message)


def _credentials(app: App, sound: Sound) -> Iterator[Finding]:
    if app.secret:
        lifetime, most = app.secret.every + app.secret.overlap, sound.limits.secret_lifetime
        if lifetime > most:
            message = f"secrets would live {lifetime.days} days; limits.secret_lifetime allows {most.days}"
            yield Finding(("secret",), f"{message}: shorten `every` or `overlap`")
    for key, certificate in app.certificates.items():
        lifetime, most = certificate.public.ends - certificate.public.starts, sound.limits.certificate_lifetime
        if lifetime > most:
            message = f"the certificate lives {lifetime.days} days; limits.certificate_lifetime allows {most.days}"
            yield Finding(("certificates", key), message)
    if len(app.federated) > limits.FEDERATED_CREDENTIALS:
        message = f"{len(app.federated)} federated credentials; an app takes at most {limits.FEDERATED_CREDENTIALS}"
        yield Finding(("federated",), f"{message}: match several subjects with `claims`, or divide the app")
    trusted: dict[tuple[str, str], int] = {}
    named: dict[str, int] = {}
    for index, credential in enumerate(app.federated):
        trust = credential.trust(sound.cloud)
        subject = trust.subject or trust.claims or ""
        if (first := trusted.setdefault((trust.issuer, subject), index)) != index:
            message = f"federated[{first}] has this issuer and subject already; Microsoft Entra takes a pair once"
            yield Finding(("federated", index), message)
        elif (first := named.setdefault(credential.key.lower(), index)) != index:
            message = f'federated[{first}] is called "{credential.key}" already; give this one a `name` of its own'
            yield Finding(("federated", index), message)
        yield from _federated(("federated", index), credential)


_CLAIMS_ISSUERS = ("https://token.actions.githubusercontent.com", "https://gitlab.com", "https://app.terraform.io")


def _federated(path: tuple[Any, ...], credential: Federated) -> Iterator[Finding]:
    if credential.azure_devops and credential.azure_devops.retiring:
        message = "the Azure DevOps issuer is retired on 1 July 2027 in public clouds; convert the service connection"
        yield Finding((*path, "azure_devops"), f"{message} and give its new `issuer` and `subject`", "warning")
    if credential.claims and credential.issuer and not credential.issuer.startswith(_CLAIMS_ISSUERS):
        message = "Microsoft Entra matches claims for GitHub, GitLab and HCP Terraform issuers only"
        yield Finding((*path, "claims"), f"{message}; give an exact `subject` if it refuses this one", "warning")


def _permissions(app: App, apps: Mapping[str, App]) -> Iterator[Finding]:
    asked = 0
    for index, permission in enumerate(app.permissions):
        path: tuple[Any, ...] = ("permissions", index)
        count = len(permission.application) + len(permission.delegated)
        asked += count
        if app.sign_in_audience in PERSONAL and count > limits.PERMISSIONS_AN_API_PERSONAL:
            most = limits.PERMISSIONS_AN_API_PERSONAL
            yield Finding(path, f"{count} permissions of one API; with personal accounts it is at most {most}")
        if permission.api.client_id == apis.AZURE_AD_GRAPH:
            yield Finding((*path, "api"), "Azure AD Graph is retired; ask Microsoft Graph for the permission instead")
        other = apps.get(permission.api.app or "")
        if other is None:
            continue
        offered = {
            "application": {value: "" for value, role in other.app_roles.items() if "Application" in role.allowed},
            "delegated": dict.fromkeys(other.api.scopes if other.api else (), ""),
        }
        for kind in ("application", "delegated"):
            for position, value in enumerate(getattr(permission, kind)):
                if value not in offered[kind]:
                    message = unknown_permission(permission.api.name, kind, value, offered)
                    yield Finding((*path, kind, position), message.replace("look its name up in", "declare it in"))
    if len(app.permissions) > limits.APIS:
        yield Finding(
            ("permissions",), f"permissions of {len(app.permissions)} APIs; at most {limits.APIS} are allowed"
        )
    most = limits.PERMISSIONS_PERSONAL if app.sign_in_audience in PERSONAL else limits.PERMISSIONS
    if asked > most:
        yield Finding(("permissions",), f"{asked} permissions in all; at most {most} are allowed")


def _grant(path: tuple[Any, ...], grant: RoleGrant, sound: Sound) -> Iterator[Finding]:
    definition = sound.role_definitions.get(grant.role.declared or "")
    if definition is not None and not any(_covers(scope, grant.scope) for scope in definition.assignable_scopes):
        message = (
            f"role_definitions.{grant.role.declared} is not assignable here; add the scope to its `assignable_scopes`"
        )
        yield Finding((*path, "scope"), message)
    data_only = definition.data_actions if definition is not None else None
    if grant.scope.kind == "management_group" and data_only:
        yield Finding((*path, "scope"), "a custom role with `data_actions` cannot be assigned at a management group")


def _covers(assignable: Scope, scope: Scope) -> bool:
    """Whether a role assignable at one scope can be assigned at another; a management group's members are not known here."""
    return assignable.contains(scope) or assignable.kind == "management_group"


# -------------------------------------------------------------------------------------------------------------- privileges


def _privileges(app: App, sound: Sound) -> Iterator[Finding]:
    """What is dangerous is refused, unless the app says that it is meant and why; policy judges it then."""
    if app.allow_privileged and app.reason is None:
        yield Finding(("allow_privileged",), "`allow_privileged` needs a `reason` beside it, for those who review it")
    if app.reason is not None and not app.allow_privileged:
        yield Finding(
            ("reason",), "`reason` goes with `allow_privileged: true`; without it there is nothing to explain"
        )
    found = tuple(_dangers(app, sound))
    if app.allow_privileged and not found:
        yield Finding(("allow_privileged",), "nothing here needs `allow_privileged`; take it away", "warning")
    if not app.allow_privileged:
        for path, what in found:
            yield Finding(path, f"{what}; narrow it, or say `allow_privileged: true` with a `reason`")


def _dangers(app: App, sound: Sound) -> Iterator[tuple[tuple[Any, ...], str]]:
    for index, grant in enumerate(app.roles):
        definition = sound.role_definitions.get(grant.role.declared or "")
        permissions = definition.permissions if definition else ()
        role = risks.of_role(grant.role.name, grant.role.guid, permissions)
        if role and grant.condition is None:
            yield ("roles", index, "role"), role
        if scope := risks.of_scope(grant.role.name, grant.scope):
            yield ("roles", index, "scope"), scope
    for index, permission in enumerate(app.permissions):
        if permission.api.client_id == apis.GRAPH:
            for kind in ("application", "delegated"):
                for position, name in enumerate(getattr(permission, kind)):
                    if what := risks.of_permission(name):
                        yield ("permissions", index, kind, position), what
    for index, granted in enumerate(app.directory_roles):
        if what := risks.of_directory_role(granted.role):
            yield ("directory_roles", index, "role"), what
