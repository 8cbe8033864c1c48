"""What Azure holds once: in an app, in a tenant. Two of it pass a preview and are refused by Azure in the middle of an `up`.

Sources: Microsoft Graph reference, `application` (`identifierUris`, `appRoles`, `api.oauth2PermissionScopes`),
`federatedIdentityCredential`; "Redirect URI restrictions and limitations"; "Azure custom roles", Custom role limits; the azuread
provider (`prevent_duplicate_names`, ids and values of app roles and scopes).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .access import DirectoryRoleGrant, Permission, RoleDefinition, RoleGrant
from .broken import BROKEN, attempt, intact
from .credentials import Certificate
from .delivery import KeyVaultDelivery
from .federated import Federated
from .known import first_name
from .model import KEY
from .models import App, Environment, Part
from .problems import Fault, Problem, shorten
from .values import NAME

if TYPE_CHECKING:
    from .loader import Report


@dataclass(frozen=True, slots=True)
class Held:
    """Something that can be there once: who has it where, and in words what it is and what to do about a second one."""

    key: tuple[str, ...]
    """The same for what Azure takes for the same; it begins with the app where it is unique in an app only."""
    holder: str
    path: tuple[Any, ...]
    what: str
    remedy: str
    exists: bool = False
    """Whether it exists already and is taken over as it is; two such do not meet."""

    def meets(self, other: "Held") -> bool:
        """Whether one of two with the same key is refused."""
        return self.holder != other.holder and not (self.exists and other.exists)

    def refusal(self, other: "Held", of: str = "") -> str:
        """The message about this one, where the other was first; `of` says in which file."""
        return f"{other.holder}{of} has {self.what} already; {self.remedy}"


def within(environment: Environment) -> Iterator[Fault]:
    """What is there twice in an environment."""
    seen: dict[tuple[str, ...], list[Held]] = {}
    yield from _renamed(environment)
    yield from _alike(environment)
    for name, app in intact(environment.apps):
        yield from attempt(_vault_secrets(name, app))
    for held in (*in_apps(environment), *in_tenant(environment)):
        others = seen.setdefault(held.key, [])
        first = next((other for other in others if held.meets(other)), None)
        if first is not None:
            yield Fault(held.path, held.refusal(first), first=first.path)
        others.append(held)


def in_apps(environment: Environment) -> Iterator[Held]:
    """What an app holds once."""
    for name, app in intact(environment.apps):
        for part in (_redirect_uris, _permissions):
            yield from attempt(part(name, app))
        for key, certificate in app.held_certificates.items():
            yield from attempt(_certificate(name, key, certificate))
        for index, credential in intact(app.federated):
            for each in (_trust, _credential_name):
                yield from attempt(each(name, index, credential))


def in_tenant(environment: Environment) -> Iterator[Held]:
    """What a tenant holds once."""
    for name, app in intact(environment.apps):
        for part in (_display_name, _identifier_uris, _adopted, _deliveries):
            yield from attempt(part(name, app, environment))
    for key, definition in intact(environment.role_definitions):
        yield from attempt(_role_definition(key, definition))


def _renamed(environment: Environment) -> Iterator[Fault]:
    """What `renamed_from` says of names that are in use: each stands for one thing."""
    yield from attempt(_former(("apps",), environment.apps))
    yield from attempt(_former(("role_definitions",), environment.role_definitions))
    for name, app in intact(environment.apps):
        at = ("apps", name)
        scopes = app.api.scopes if app.api is not None and app.api is not BROKEN else {}
        kinds: tuple[tuple[tuple[str, ...], Any], ...] = (
            (("certificates",), app.certificates),
            (("app_roles",), app.app_roles),
            (("api", "scopes"), scopes),
            (("federated",), app.federated),
        )
        for path, entries in kinds:
            yield from attempt(_former((*at, *path), entries))


def _alike(environment: Environment) -> Iterator[Fault]:
    """Display names that differ in case or spaces alone: Azure takes both."""
    seen: dict[str, tuple[str, tuple[Any, ...]]] = {}
    for name, app in intact(environment.apps):
        if app.display_name is BROKEN or not re.fullmatch(NAME, name):
            continue
        shown = name if app.display_name is None else app.display_name
        path = ("apps", name, KEY) if app.display_name is None else ("apps", name, "display_name")
        first, at = seen.setdefault(" ".join(shown.split()).casefold(), (shown, path))
        if first != shown:
            message = (
                f'"{shorten(first)}", the display name of apps.{at[1]}, differs from this one in case or spaces alone'
            )
            yield Fault(path, f"{message}: nobody tells the two apart; give one of them another", "warning", first=at)


def _former(path: tuple[Any, ...], entries: Any) -> Iterator[Fault]:
    within = ".".join(map(str, path))
    named = {entry.key if isinstance(entry, Federated) else step: step for step, entry in intact(entries)}
    had: dict[str, Any] = {}
    for key, step in named.items():
        former = entries[step].renamed_from
        for old in former if former is not BROKEN else ():
            at, first = (*path, step, "renamed_from"), had.setdefault(old, step)
            if old == key:
                yield Fault(at, f'"{shorten(old)}" is the name that it has now; give the one before, or take this out')
            elif isinstance(entries[step], Federated) and old == former[0]:
                continue  # its name in Azure, which is compared as such
            elif old in named:
                other = f"{within}[{named[old]}]" if isinstance(named[old], int) else f"{within}.{named[old]}"
                message = f'"{shorten(old)}" is still there, as {other}, so this one was not renamed from it'
                yield Fault(at, f"{message}; take one of the two out")
            elif first != step:
                message = f'{within}.{first} was renamed from "{shorten(old)}" already, and one thing becomes one'
                yield Fault(at, f"{message}; take one of the two out", first=(*path, first, "renamed_from"))


def _redirect_uris(name: str, app: App) -> Iterator[Held]:
    remedy = "Microsoft Entra takes it on one platform of an app, keep one"
    for platform in ("web", "spa", "public_client"):
        settings = getattr(app, platform)
        if settings is not None and settings is not BROKEN:
            for index, uri in intact(settings.redirect_uris):
                path = ("apps", name, platform, "redirect_uris", index)
                yield Held((name, "redirect", uri), f"`{platform}`", path, "this redirect URI", remedy)


def _permissions(name: str, app: App) -> Iterator[Held]:
    scopes = app.api.scopes if app.api is not None and app.api is not BROKEN else {}
    kinds: tuple[tuple[str, tuple[str, ...], Any], ...] = (
        ("app role", ("app_roles",), app.app_roles),
        ("scope", ("api", "scopes"), scopes),
    )
    for kind, where, values in kinds:
        for value, permission in values.items() if values is not BROKEN else ():
            path, holder = ("apps", name, *where, value), f"{'.'.join(where)}.{shorten(value)}"
            remedy = "values of app roles and scopes compare without regard to case, give this one another"
            yield Held((name, "value", value.lower()), holder, (*path, KEY), f'the value "{shorten(value)}"', remedy)
            if permission is not BROKEN and permission.id is not BROKEN:
                id_ = app.role_id(name, value) if kind == "app role" else app.scope_id(name, value)
                at = (*path, "id" if permission.id else KEY)
                remedy = "ids are unique among an app's roles and scopes, give this one another"
                yield Held((name, "id", id_), holder, at, f"the id {id_}", remedy)


def _certificate(name: str, key: str, certificate: Certificate) -> Iterator[Held]:
    path, remedy = ("apps", name, "certificates", key), "one of the two is enough, take this one out"
    thumbprint = certificate.public.thumbprint
    yield Held((name, "certificate", thumbprint), f"certificates.{key}", path, "this certificate", remedy)


def _trust(name: str, index: int, credential: Federated) -> Iterator[Held]:
    trust = credential.trust("public")
    pair = f"{trust.issuer} {trust.subject if trust.claims is None else trust.claims}"
    path, what = ("apps", name, "federated", index), "this issuer and subject"
    yield Held((name, "trust", pair), f"federated[{index}]", path, what, "Microsoft Entra takes a pair once")


def _credential_name(name: str, index: int, credential: Federated) -> Iterator[Held]:
    path, key = ("apps", name, "federated", index), first_name(credential.key, credential.renamed_from)
    remedy = "give this one a `name` of its own"
    yield Held((name, "credential", key.lower()), f"federated[{index}]", path, f'the name "{key}"', remedy)


def _display_name(name: str, app: App, environment: Environment) -> Iterator[Held]:
    shown = name if app.display_name is None else app.display_name
    path = ("apps", name, KEY) if app.display_name is None else ("apps", name, "display_name")
    what, remedy = (
        f'the display name "{shorten(shown)}"',
        "`up` refuses a second app of one name, give this one another",
    )
    yield Held(("display name", shown), f"apps.{name}", path, what, remedy, exists=app.adopt is not None)


def _identifier_uris(name: str, app: App, environment: Environment) -> Iterator[Held]:
    for index, uri in intact(app.identifier_uris):
        tenant = environment.tenant
        key = uri if tenant is None or tenant is BROKEN else uri.replace("{tenant_id}", tenant)
        path, what = ("apps", name, "identifier_uris", index), f"the URI {shorten(uri)}"
        holder = f"apps.{name}.identifier_uris[{index}]"
        yield Held(("uri", key.lower()), holder, path, what, "a tenant has it once, give this app another")


def _adopted(name: str, app: App, environment: Environment) -> Iterator[Held]:
    remedy = "one object is declared once, take one of the two out"
    if app.adopt is not None:
        for part, what in (("application", "registration"), ("service_principal", "service principal")):
            id_ = getattr(app.adopt, part)
            if id_ is not None and id_ is not BROKEN:
                path = ("apps", name, "adopt", part)
                yield Held((part, id_), f"apps.{name}", path, f"the {what} {id_} under `adopt`", remedy)
    for below, entry in app.adopted_parts():
        path = ("apps", name, *below, "adopt")
        holder = _in_words(path[:-1])
        for kind, within_, id_ in _adopted_ids(entry):
            what = f"the {kind} {shorten(id_)} under `adopt`"
            yield Held((kind, id_.lower()), holder, (*path, *within_), what, remedy)


def _in_words(path: tuple[Any, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


def _adopted_ids(part: Part) -> Iterator[tuple[str, tuple[Any, ...], str]]:
    """The ids that an entry takes over and a tenant has once: what they are of, the path below `adopt`, the id."""
    if isinstance(part, Permission):
        assert part.adopt is not None
        yield from (("consent", ("application", name), id_) for name, id_ in intact(part.adopt.application))
        if part.adopt.delegated is not None and part.adopt.delegated is not BROKEN:
            yield "delegated grant", ("delegated",), part.adopt.delegated
    elif isinstance(part.adopt, str):
        yield _KINDS[type(part)], (), part.adopt


_KINDS: dict[type[Any], str] = {
    Certificate: "certificate",
    Federated: "federated credential",
    RoleGrant: "assignment",
    DirectoryRoleGrant: "directory role assignment",
}


def _deliveries(name: str, app: App, environment: Environment) -> Iterator[Held]:
    remedy = "a place holds one secret, give this one another name"
    for path, delivery in app.delivery_paths():
        if delivery.exec is not None:  # it is told which app's secret it gets
            continue
        place = delivery.place
        if place is BROKEN:
            continue
        where = delivery.where
        if delivery.azure_devops is not None:  # its note is a variable of the same group
            while where.upper().endswith("_KEY_ID"):
                where = where[: -len("_KEY_ID")]
        key = f"{place.vault.id}/{place.name}" if isinstance(place, KeyVaultDelivery) else where
        at = ("apps", name, *path)
        beside = "" if delivery.azure_devops is None else " (and the same with _KEY_ID for its note)"
        yield Held(("delivery", key.lower()), _in_words(at), at, f"the place {shorten(where)}{beside}", remedy)


def _vault_secrets(name: str, app: App) -> Iterator[Fault]:
    """Secrets of two vaults that the deployment calls alike: `kv-obs` with `log-reader`, `kv-obs-log` with `reader`."""
    seen: dict[str, tuple[str, tuple[Any, ...]]] = {}
    for path, delivery in app.delivery_paths():
        place = delivery.key_vault
        if place is None or place is BROKEN or place.vault is BROKEN or place.name is BROKEN:
            continue
        at, vault = ("apps", name, *path), place.vault_name.lower()
        first, there = seen.setdefault(f"{vault}-{place.name}".lower(), (vault, at))
        if first != vault:
            message = (
                f"the vault's name and the secret's make {vault}-{place.name}, as those of {_in_words(there[2:])} do, and the "
                "deployment tells secrets apart by it; give this one another name"
            )
            yield Fault(at, message, first=there)


def _role_definition(key: str, definition: RoleDefinition) -> Iterator[Held]:
    name = key if definition.name is None else definition.name
    path: tuple[Any, ...] = ("role_definitions", key)
    holder = f"role_definitions.{key}"
    at = (*path, KEY) if definition.name is None else (*path, "name")
    remedy = "names are unique in a tenant, give this one another"
    yield Held(("role", name.lower()), holder, at, f'the name "{shorten(name)}"', remedy)
    id_ = definition.guid(key)
    if definition.adopt is None:
        at, remedy = (*path, KEY), "it is made from the key and the first of `assignable_scopes`, use another key"
    else:
        at, remedy = (*path, "adopt"), "one object is declared once, take one of the two out"
    yield Held(("role id", id_), holder, at, f"the id {id_}", remedy)


# ------------------------------------------------------------------------------------------------- the stacks of one tenant


def across(reports: Iterable["Report"]) -> Iterator[tuple["Report", Problem]]:
    """What two environments of one tenant have and a tenant holds once, each with the second one.

    An error where both say `tenant`; where one does not, the two may be of different tenants, and it is a warning.
    """
    seen: dict[tuple[str, ...], list[tuple[Held, Report]]] = {}
    read = {report.files[0]: report for report in reports if report.sound is not None}
    for report in read.values():
        assert report.sound is not None
        mine = tuple(in_tenant(report.sound))
        for held in mine:
            for first, other in seen.get(held.key, ()):
                one_tenant = _one_tenant(report.sound, other.sound)
                if one_tenant is False or (first.exists and held.exists):
                    continue
                at = other.problem(first.path, "").place
                message = f"{held.refusal(first, f' of {other.files[0]}')}; the first is at {at}"
                if one_tenant is None:
                    message += "; if the two are of different tenants, say `tenant` in both files"
                problem = report.problem(held.path, message, "warning" if one_tenant is None else "error")
                if problem.file != report.files[0]:
                    problem = replace(problem, message=f"{problem.message}; {report.files[0]} extends this file")
                yield report, problem
                break
        for held in mine:
            seen.setdefault(held.key, []).append((held, report))


def _one_tenant(one: Environment | None, other: Environment | None) -> bool | None:
    """Whether two environments are of one tenant; None when they do not say."""
    assert one is not None and other is not None
    if one.cloud is not BROKEN and other.cloud is not BROKEN and one.cloud != other.cloud:
        return False
    tenants = [each.tenant for each in (one, other) if each.tenant is not None and each.tenant is not BROKEN]
    return tenants[0] == tenants[1] if len(tenants) == 2 else None
