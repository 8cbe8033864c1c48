"""What takes more than one value to see: limits, tenant rules that reject a declaration, what is dangerous or deprecated."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from entrant.facts import apis, limits, risks
from entrant.facts.contract import kind_of, output_name
from entrant.facts.issuers import as_issued
from entrant.facts.scopes import Scope, is_guid

from . import azure_roles, unique
from .access import DirectoryRoleGrant, Permission, RoleGrant, unknown_permission
from .broken import BROKEN, Unknown, attempt, intact, whole
from .credentials import Calendar, Certificate, calendar_path
from .federated import Federated
from .model import KEY
from .models import App, Environment, Limits
from .order import circles
from .problems import Fault, did_you_mean, shorten
from .registration import OWNER_NEEDED, PERSONAL, names_owner


def findings(environment: Environment, names: Iterable[str]) -> Iterator[Fault]:
    """Every finding about an environment, warnings included.

    Args:
        environment: what to check; what is wrong by itself is `BROKEN` there, and nothing is said that hangs on it.
        names: the names of all apps, sound or not.
    """
    names = tuple(names)
    yield from _names(names)
    yield from _size(names)
    yield from attempt(_ignored(environment, names))
    yield from _cycles(dict(intact(environment.apps)))
    definitions = dict(intact(environment.role_definitions))
    for key, definition in definitions.items():
        for check in (azure_roles.role_name, azure_roles.role_actions, azure_roles.assignable_scopes):
            yield from attempt(check(("role_definitions", key), key, definition))
    yield from unique.within(environment)
    for path, scope in environment.written_scopes():
        yield from attempt(azure_roles.resource_type(path, scope))
    for name, app in intact(environment.apps):
        for finding in _app(app, environment):
            yield replace(finding, path=("apps", name, *finding.path))


def _ignored(environment: Environment, names: tuple[str, ...]) -> Iterator[Fault]:
    for index, ignored in intact(environment.drift.ignore):
        if ignored.app is not None and ignored.app is not BROKEN and ignored.app not in names:
            hint = did_you_mean(ignored.app, names) or "; take the entry out when the app is gone"
            yield Fault(("drift", "ignore", index, "app"), f'no app is called "{shorten(ignored.app)}"{hint}')


def _names(names: Iterable[str]) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for name in names:
        output = output_name(name, "client_id")
        first = seen.setdefault(output, name)
        if first != name:
            message = f'"{name}" and "{first}" make the same output names ({output}); rename one'
            yield Fault(("apps", name, KEY), message)


def _size(names: Sequence[str]) -> Iterator[Fault]:
    if len(names) > limits.STACK_APPS:
        message = (
            f"{len(names):,} apps in one stack; past {limits.STACK_APPS} each costs about twice what it does in a stack of "
            "100; `python3 -m entrant move` takes some to another stack (docs/stacks.md)"
        )
        yield Fault(("apps", KEY), message, "warning")


def _cycles(apps: Mapping[str, App]) -> Iterator[Fault]:
    remedy = "give one of the ids as a GUID, known after its first `pulumi up`"
    for circle in circles(apps):
        if len(circle) == 1:
            message = f"{circle[0]} needs its own id (as owner or API) before it exists; {remedy}"
        else:
            round_trip = " needs ".join((*circle, circle[0]))
            message = f"permissions or owners go in a circle: {round_trip}; {remedy}"
        yield Fault(("apps", circle[0], KEY), message)


# ------------------------------------------------------------------------------------------------------------------- apps


def _app(app: App, environment: Environment) -> Iterator[Fault]:
    for part in (
        _owners,
        _display_name,
        _identifier_uris,
        _redirect_uris,
        _personal_accounts,
        _group_claims,
        _api,
        _lifetimes,
        _permissions,
    ):
        yield from attempt(part(app, environment))
    for index, credential in intact(app.federated):
        for check in (_issuer, _federated):
            yield from attempt(check(("federated", index), credential))
    for index, grant in intact(app.roles):
        yield from attempt(_grant(("roles", index), grant, environment))
    for part in (_removal, _adopted, _without_principal, _kept_credentials):
        yield from attempt(part(app, environment))
    yield from attempt(_privileges(app, environment))


def _removal(app: App, environment: Environment) -> Iterator[Fault]:
    parts = tuple(app.adopted_parts())
    if app.change_adopted and app.adopt is None and not parts:
        yield Fault(("change_adopted",), "nothing here is adopted; take `change_adopted` away")
    if app.on_remove is not None or "on_remove" in environment.model_fields_set:
        return
    message = "say what becomes of what is adopted: add `on_remove: keep` or `on_remove: delete`"
    if app.adopt is not None:
        yield Fault(("adopt",), message)
    else:
        yield from (Fault((*path, "adopt"), message) for path, part in parts if part.on_remove is None)


_OF_PRINCIPAL = ("permissions", "roles", "groups", "directory_roles")


def _adopted(app: App, environment: Environment) -> Iterator[Fault]:
    """What an adoption needs: the object that what is taken over belongs to."""
    if app.adopt is None:
        return
    if app.adopt.known_clients and not (app.api is not None and app.api.known_clients):
        message = "the file names no known clients; list those of the registration under `api.known_clients`"
        yield Fault(("adopt", "known_clients"), message)
    use_existing = app.service_principal is not None and app.service_principal.use_existing
    if app.adopt.service_principal is None and app.has_principal and not use_existing:
        for path, _ in app.adopted_parts():
            if path[0] in _OF_PRINCIPAL:
                message = "it is the service principal's, which is not taken over; add `service_principal` to the app's `adopt`"
                yield Fault((*path, "adopt"), message)


def _without_principal(app: App, environment: Environment) -> Iterator[Fault]:
    """What takes a service principal, of this app or of one that it names."""
    consents = [(index, each.api.app) for index, each in intact(app.permissions) if any(each.consented().values())]
    if not app.has_principal:
        message = "the app has no service principal; take `no_service_principal` out of `adopt` to have one made"
        held = [key for key in ("service_principal", "roles", "groups", "directory_roles") if getattr(app, key)]
        yield from (Fault((key,), message) for key in held)
        yield from (Fault(("permissions", index, "consent"), message) for index, _ in consents)
    named: list[tuple[Any, str | None]] = [(("permissions", index, "consent"), api) for index, api in consents]
    named += [(("owners",), owner.value) for owner in app.all_owners if owner.kind == "app"]
    for path, name in named:
        other = environment.apps.get(name) if name else None
        if other is not None and other is not BROKEN and not other.has_principal:
            yield Fault(path, f"{name} has no service principal (`no_service_principal`), which this takes")


def _kept_credentials(app: App, environment: Environment) -> Iterator[Fault]:
    adopted = {certificate.adopt: key for key, certificate in intact(app.certificates) if certificate.adopt}
    for index, kept in intact(app.kept_credentials):
        if kept.key_id is not BROKEN and kept.key_id in adopted:
            message = f"certificates.{adopted[kept.key_id]} takes this one over; keep one of the two"
            yield Fault(("kept_credentials", index, "key_id"), message)
        if kept.ends is not BROKEN and kept.ends <= datetime.now(UTC):
            message = f"it ended on {kept.ends.date()}; remove it from the registration, and take this entry out"
            yield Fault(("kept_credentials", index, "ends"), message, "warning")


def _owners(app: App, environment: Environment) -> Iterator[Fault]:
    for owner, path in ((app, ()), (app.service_principal, ("service_principal",))):
        if owner is not None and owner is not BROKEN and len(owner.owners) > limits.OWNERS:
            yield Fault((*path, "owners"), f"{len(owner.owners)} owners; Microsoft Entra takes at most {limits.OWNERS}")


def _identifier_uris(app: App, environment: Environment) -> Iterator[Fault]:
    for index, uri in intact(app.identifier_uris):
        if not names_owner(uri):
            message = OWNER_NEEDED.replace("it", f'"{shorten(uri)}"', 1)
            # A registration of before the rule keeps what it has.
            yield Fault(("identifier_uris", index), message, "error" if app.adopt is None else "warning")


def _redirect_uris(app: App, environment: Environment) -> Iterator[Fault]:
    for platform, values in redirect_uris(app).items():
        if len(values) > limits.REDIRECT_URIS:
            message = f"{len(values)} redirect URIs; Microsoft Entra takes at most {limits.REDIRECT_URIS}"
            yield Fault((platform, "redirect_uris"), message)
        for index, uri in intact(values):
            if risks.is_unencrypted(uri):
                message = f'"{shorten(uri)}" is not encrypted; use https, or http for localhost alone'
                # A registration of before the rule keeps what it has.
                yield Fault((platform, "redirect_uris", index), message, "error" if app.adopt is None else "warning")


def _display_name(app: App, environment: Environment) -> Iterator[Fault]:
    if app.display_name is not None and len(app.display_name) > limits.DISPLAY_NAME and app.adopt is None:
        message = f"is {len(app.display_name):,} characters long; at most {limits.DISPLAY_NAME} are allowed"
        yield Fault(("display_name",), message)


def _group_claims(app: App, environment: Environment) -> Iterator[Fault]:
    if len(app.group_claims) > 1 and {"None", "All"} & set(app.group_claims):
        yield Fault(("group_claims",), "`None` and `All` stand alone; list the kinds you want instead")


def _personal_accounts(app: App, environment: Environment) -> Iterator[Fault]:
    """Microsoft's "Supported accounts validation differences"."""
    if app.sign_in_audience not in PERSONAL:
        return
    for check in (_personal_tokens, _personal_uris, _personal_scopes):
        yield from attempt(check(app, f"`sign_in_audience: {app.sign_in_audience}`"))


def _personal_tokens(app: App, audience: str) -> Iterator[Fault]:
    if app.api is None or app.api.token_version is None or app.api.token_version != 2:
        at = ("sign_in_audience",) if app.api is None else ("api", "token_version")
        yield Fault(at, f"{audience} needs tokens of version 2; write `api: {{token_version: 2}}`")


def _personal_uris(app: App, audience: str) -> Iterator[Fault]:
    for platform, values in redirect_uris(app).items():
        if len(values) > limits.REDIRECT_URIS_PERSONAL:
            most = limits.REDIRECT_URIS_PERSONAL
            yield Fault(
                (platform, "redirect_uris"), f"{audience} takes at most {most} redirect URIs; found {len(values)}"
            )
        for index, uri in intact(values):
            if "*" in uri.split("/")[2 if "//" in uri else 0]:
                yield Fault(
                    (platform, "redirect_uris", index), f"{audience} takes no wildcard in a redirect URI's host"
                )
    if len(app.identifier_uris) > limits.IDENTIFIER_URIS_PERSONAL:
        yield Fault(("identifier_uris",), f"{audience} takes at most {limits.IDENTIFIER_URIS_PERSONAL} identifier URIs")
    for index, uri in intact(app.identifier_uris):
        if uri.startswith("urn:"):
            yield Fault(("identifier_uris", index), f"{audience} takes no urn: identifier URI; use api:// or https://")


def _personal_scopes(app: App, audience: str) -> Iterator[Fault]:
    scopes = {} if app.api is None else app.api.scopes
    if len(scopes) > limits.EXPOSED_SCOPES_PERSONAL:
        yield Fault(("api", "scopes"), f"{audience} takes at most {limits.EXPOSED_SCOPES_PERSONAL} exposed scopes")
    for value in scopes:
        if len(value) > limits.EXPOSED_SCOPE_LENGTH_PERSONAL:
            most = limits.EXPOSED_SCOPE_LENGTH_PERSONAL
            yield Fault(("api", "scopes", value, KEY), f"{audience} takes scope names of at most {most} characters")


def redirect_uris(app: App) -> dict[str, tuple[str, ...]]:
    """The redirect URIs of each platform that is known."""
    platforms = {"web": app.web, "spa": app.spa, "public_client": app.public_client}
    return {
        name: platform.redirect_uris
        for name, platform in platforms.items()
        if platform is not None and platform is not BROKEN and platform.redirect_uris is not BROKEN
    }


def _api(app: App, environment: Environment) -> Iterator[Fault]:
    if app.api is None:
        return
    for index, client in intact(app.api.pre_authorized):
        for position, value in intact(client.scopes):
            if value not in app.api.scopes:
                hint = did_you_mean(value, app.api.scopes) or "; declare it there"
                message = f'the app exposes no scope "{shorten(value)}" under api.scopes{hint}'
                yield Fault(("api", "pre_authorized", index, "scopes", position), message)


def _lifetimes(app: App, environment: Environment) -> Iterator[Fault]:
    for key, certificate in app.held_certificates.items():
        yield from attempt(_certificate_lifetime(key, certificate, environment.limits))
    for name, calendar in app.calendars.items():
        yield from attempt(_calendar_lifetime(name, calendar, environment.limits))
    if len(app.federated) > limits.FEDERATED_CREDENTIALS:
        message = f"{len(app.federated)} federated credentials; an app takes at most {limits.FEDERATED_CREDENTIALS}"
        yield Fault(("federated",), f"{message}: match several subjects with `claims`, or divide the app")


def _certificate_lifetime(key: str, certificate: Certificate, allowed: Limits) -> Iterator[Fault]:
    lifetime, most = certificate.expires - certificate.public.starts, allowed.certificate_lifetime
    if lifetime > most:
        message = f"the certificate lives {lifetime.days} days; limits.certificate_lifetime allows {most.days}"
        yield Fault(("certificates", key), message)


def _calendar_lifetime(name: str, calendar: Calendar, allowed: Limits) -> Iterator[Fault]:
    kind = kind_of(name)
    lifetime, most = calendar.every + calendar.overlap, getattr(allowed, f"{kind}_lifetime")
    if lifetime > most:
        message = f"{kind}s would live {lifetime.days} days; limits.{kind}_lifetime allows {most.days}"
        yield Fault(calendar_path(name), f"{message}: shorten `every` or `overlap`")


_CLAIMS_ISSUERS = ("https://token.actions.githubusercontent.com", "https://gitlab.com", "https://app.terraform.io")


def _issuer(path: tuple[Any, ...], credential: Federated) -> Iterator[Fault]:
    """Issuers and subjects that tokens of well-known platforms do not have."""
    holder = getattr(credential, credential.preset) if credential.preset else credential
    at = (*path, credential.preset) if credential.preset else path
    issuer = getattr(holder, "issuer", None)
    if issuer is BROKEN:
        return
    if issuer is not None and (issued := as_issued(issuer)) != issuer:
        message = f'tokens of this platform have the issuer "{issued}", and Microsoft Entra compares every character'
        yield Fault((*at, "issuer"), f"{message}: no token matches this one; write it so", "warning")
    subject = getattr(holder, "subject", None)
    if subject is None or subject is BROKEN or issuer is None:
        return
    if issuer.startswith(_CLAIMS_ISSUERS[0]) and (found := re.search(r":ref:(?!refs/)(.*)", subject)):
        message = (
            f'GitHub writes refs in full, such as ":ref:refs/heads/{shorten(found[1])}"; no token matches this subject'
        )
        yield Fault((*at, "subject"), message, "warning")
    if re.search(r"refs/(heads|tags)/refs/", subject):
        yield Fault((*at, "subject"), "refs/ stands twice in it; no token matches this subject", "warning")


def _federated(path: tuple[Any, ...], credential: Federated) -> Iterator[Fault]:
    if credential.azure_devops and credential.azure_devops.retiring:
        message = "the Azure DevOps issuer is retired on 1 July 2027 in public clouds; convert the service connection"
        yield Fault((*path, "azure_devops"), f"{message} and give its new `issuer` and `subject`", "warning")
    if credential.claims and credential.issuer and not credential.issuer.startswith(_CLAIMS_ISSUERS):
        message = "Microsoft Entra matches claims for GitHub, GitLab and HCP Terraform issuers only"
        yield Fault((*path, "claims"), f"{message}; give an exact `subject` if it refuses this one", "warning")


def _permissions(app: App, environment: Environment) -> Iterator[Fault]:
    for index, permission in intact(app.permissions):
        yield from attempt(_permission(("permissions", index), permission, app, environment.apps))
    if len(app.permissions) > limits.APIS:
        yield Fault(("permissions",), f"permissions of {len(app.permissions)} APIs; at most {limits.APIS} are allowed")
    count = sum(len(permission.application) + len(permission.delegated) for permission in app.permissions)
    most = limits.PERMISSIONS_PERSONAL if app.sign_in_audience in PERSONAL else limits.PERMISSIONS
    if count > most:
        yield Fault(("permissions",), f"{count} permissions in all; at most {most} are allowed")


def _permission(path: tuple[Any, ...], permission: Permission, app: App, apps: Mapping[str, App]) -> Iterator[Fault]:
    if permission.api.client_id is not None and permission.api.client_id == apis.AZURE_AD_GRAPH:
        message = "Azure AD Graph is retired; ask Microsoft Graph for the permission instead"
        yield Fault((*path, "api"), message, "error" if app.adopt is None else "warning")
    if permission.api.app is not None and permission.api.app in apps:
        yield from attempt(_offered(path, permission, apps[permission.api.app]))
    count = len(permission.application) + len(permission.delegated)
    if app.sign_in_audience in PERSONAL and count > limits.PERMISSIONS_AN_API_PERSONAL:
        most = limits.PERMISSIONS_AN_API_PERSONAL
        yield Fault(path, f"{count} permissions of one API; with personal accounts it is at most {most}")


def _offered(path: tuple[Any, ...], permission: Permission, other: App) -> Iterator[Fault]:
    roles = {value: "" for value, role in other.app_roles.items() if role is BROKEN or "Application" in role.allowed}
    scopes = {} if other.api is None else dict.fromkeys(other.api.scopes, "")
    offered = {"application": roles, "delegated": scopes}
    for place, kind, value in permission.named():
        if value not in offered[kind] and not is_guid(value):
            message = unknown_permission(permission.api.name, kind, value, offered)
            yield Fault((*path, *place), message.replace("look its name up in", "declare it in"))


def _grant(path: tuple[Any, ...], grant: RoleGrant, environment: Environment) -> Iterator[Fault]:
    if grant.role.declared is None:
        return
    definition = environment.role_definitions.get(grant.role.declared, BROKEN)
    if grant.scope.kind == "management_group" and definition.data_actions:
        yield Fault((*path, "scope"), "a custom role with `data_actions` cannot be assigned at a management group")
    if not any(covers(scope, grant.scope) for scope in definition.assignable_scopes):
        message = (
            f"role_definitions.{grant.role.declared} is not assignable here; add the scope to its `assignable_scopes`"
        )
        yield Fault((*path, "scope"), message)


def covers(assignable: Scope, scope: Scope) -> bool:
    """Whether a role assignable at one scope can be assigned at another; a management group's members are not known here."""
    return assignable.contains(scope) or assignable.kind == "management_group"


# -------------------------------------------------------------------------------------------------------------- privileges


def _privileges(app: App, environment: Environment) -> Iterator[Fault]:
    """What is dangerous is refused, unless the app says that it is meant and why; policy judges it then."""
    if app.allow_privileged and app.reason is None:
        yield Fault(("allow_privileged",), "`allow_privileged` needs a `reason` beside it, for those who review it")
    if app.reason is not None and not app.allow_privileged:
        yield Fault(("reason",), "`reason` goes with `allow_privileged: true`; without it there is nothing to explain")
    found: list[tuple[tuple[Any, ...], str]] = []
    complete = all(map(whole, (app.roles, app.permissions, app.directory_roles)))
    for part in _dangers(app, environment):
        try:
            found.extend(part)
        except Unknown:
            complete = False
    if app.allow_privileged and not found and complete:
        yield Fault(("allow_privileged",), "nothing here needs `allow_privileged`; take it away", "warning")
    if not app.allow_privileged:
        for path, what in found:
            yield Fault(path, f"{what}; narrow it, or say `allow_privileged: true` with a `reason`")


def _dangers(app: App, environment: Environment) -> Iterator[Iterator[tuple[tuple[Any, ...], str]]]:
    for index, grant in intact(app.roles):
        yield _dangerous_role(("roles", index), grant, environment)
        yield _dangerous_scope(("roles", index), grant)
    for index, permission in intact(app.permissions):
        yield _dangerous_permissions(("permissions", index), permission)
    for index, granted in intact(app.directory_roles):
        yield _dangerous_directory_role(("directory_roles", index, "role"), granted)


def _dangerous_directory_role(
    path: tuple[Any, ...], granted: DirectoryRoleGrant
) -> Iterator[tuple[tuple[Any, ...], str]]:
    if what := risks.of_directory_role(granted.role):
        yield path, what


def _dangerous_role(
    path: tuple[Any, ...], grant: RoleGrant, environment: Environment
) -> Iterator[tuple[tuple[Any, ...], str]]:
    definitions, declared = environment.role_definitions, grant.role.declared
    permissions = () if declared is None else definitions.get(declared, BROKEN).permissions
    conditioned = grant.condition is not None
    if role := risks.of_role(grant.role.name, grant.role.guid, permissions, conditioned=conditioned):
        yield (*path, "role"), role


def _dangerous_scope(path: tuple[Any, ...], grant: RoleGrant) -> Iterator[tuple[tuple[Any, ...], str]]:
    if scope := risks.of_scope(grant.role.name, grant.scope):
        yield (*path, "scope"), scope


def _dangerous_permissions(path: tuple[Any, ...], permission: Permission) -> Iterator[tuple[tuple[Any, ...], str]]:
    api = permission.api.client_id
    for place, _, name in permission.named() if api else ():
        if what := risks.of_permission(name, api or ""):
            yield (*path, *place), what
