"""Before `pulumi up`, as the deployer: what would stand in the way, and what to do about it."""

import contextlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote

from entrant import config, engine, outputs
from entrant.access import existing
from entrant.access.deployer import Deployer, unseen
from entrant.config.access import offered_permissions
from entrant.config.known import Owner
from entrant.errors import EntrantError, RefusedError, StackNotFoundError
from entrant.facts.directory_roles import find_directory_role
from entrant.facts.roles import RolePermission, find_role, permits
from entrant.facts.scopes import Scope, parse_scope
from entrant.outputs import App
from entrant.setup import bootstrap
from entrant.words import counted

State = Literal["ok", "problem", "unknown"]

PLUGINS = ("azuread", "azure-native")
"""The resource plugins that the program needs."""
ASSIGNMENTS = 4000
"""Role assignments that a subscription takes (Azure RBAC limits)."""
NON_ADMIN_OBJECTS = 250
"""Directory objects that somebody without an administrator role may create (Microsoft Entra service limits)."""
_ASSIGN = "Microsoft.Authorization/roleAssignments/write"
_DEFINE = "Microsoft.Authorization/roleDefinitions/write"
_POLICY = "the Graph permission Policy.Read.All"
_READ = "Microsoft.Authorization/roleDefinitions/read"
_ALL_APPLICATIONS = ("Application.ReadWrite.All", "Directory.ReadWrite.All")
_APPLICATION_ROLES = ("Application Administrator", "Cloud Application Administrator", "Global Administrator")
"""Directory roles that manage every registration and service principal, and have no quota of their own."""


@dataclass(frozen=True, slots=True)
class Right:
    """Something that an `up` does in the directory, and what lets it: one of the permissions of Microsoft Graph or one of the
    directory roles.

    `asked` tells what an app asks of it, in words that are the same for the same thing. Sources: the permissions tables of
    Microsoft Graph's reference for each request; Microsoft, "Microsoft Entra built-in roles".
    """

    what: str
    permissions: tuple[str, ...]
    roles: tuple[str, ...]
    asked: Callable[[config.App], Iterator[str]]
    there: Callable[[App], Iterator[str]]
    """What an app of the stack's outputs has of it already, in the same words."""


RIGHTS = (
    Right(  # POST /servicePrincipals/{id}/appRoleAssignments
        "consent",
        ("AppRoleAssignment.ReadWrite.All",),
        ("Privileged Role Administrator", "Global Administrator"),
        lambda app: _consents(app, "application"),
        lambda app: _consents_there(app, "application"),
    ),
    Right(  # POST /oauth2PermissionGrants
        "delegated consent",
        ("DelegatedPermissionGrant.ReadWrite.All", "Directory.ReadWrite.All"),
        ("Cloud Application Administrator", "Application Administrator", "Global Administrator"),
        lambda app: _consents(app, "delegated"),
        lambda app: _consents_there(app, "delegated"),
    ),
    Right(  # POST /groups/{id}/members/$ref
        "add to groups",
        ("GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All"),
        ("Groups Administrator", "Directory Writers", "User Administrator", "Global Administrator"),
        lambda app: (each.group for each in app.memberships if not each.adopt),
        lambda app: iter(app.groups or ()),
    ),
    Right(  # POST /roleManagement/directory/roleAssignments
        "give directory roles",
        ("RoleManagement.ReadWrite.Directory",),
        ("Privileged Role Administrator", "Global Administrator"),
        lambda app: (f"{each.role.id} {each.administrative_unit}" for each in app.directory_roles if not each.adopt),
        lambda app: (f"{each['role_id']} {each['administrative_unit']}" for each in app.directory_roles or ()),
    ),
)
"""What an `up` does in the directory beside making registrations and service principals."""


def _consents(app: config.App, kind: Literal["application", "delegated"]) -> Iterator[str]:
    """The consents of an app that are to be given: not those that are taken over."""
    for permission in app.permissions:
        adopt = permission.adopt
        for value in permission.consented()[kind]:
            if adopt is None or (value not in adopt.application if kind == "application" else adopt.delegated is None):
                yield f"{permission.api.name} {value}"


def _consents_there(app: App, kind: str) -> Iterator[str]:
    for entry in app.permissions:
        if entry["consent"] and entry["kind"] == kind:
            yield f"{entry['api']} {entry['name']}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found."""

    what: str
    state: State
    evidence: str
    next_step: str | None = None


def examine(
    environment: config.Environment,
    deployer: Deployer | None,
    *,
    cwd: Path,
    environ: Mapping[str, str],
    stack: str | None = None,
) -> Iterator[Finding]:
    """Everything that can be looked at; where a look fails, its finding is `unknown` and says why.

    What the outputs of `stack` have is there already: rights for it and room for it are not asked for again.
    """
    yield from _each(_engine, cwd, environ)
    if deployer is None:
        yield Finding(
            "deployer",
            "problem",
            "no identity is set up",
            "log in with `az login`, or set ARM_CLIENT_ID, ARM_TENANT_ID and a credential",
        )
        return
    there: Mapping[str, App] = {}
    if stack is not None:
        try:
            there = _there(stack, cwd, environ)
        except EntrantError as error:
            said = f"its outputs are not readable, so all of the file counts as new: {error}"
            yield Finding("stack", "unknown", said, error.next_step)
    for look in (_who, _lifetime):
        yield from _each(look, environment, deployer)
    for compare in (_applications, _owners, _rights, _look_ups, _roles, _definitions, _quotas):
        yield from _each(compare, environment, deployer, there)
    yield from _each(_existing, environment, deployer, there, lambda: _held_ids(stack, cwd, environ))


def _there(stack: str, cwd: Path, environ: Mapping[str, str]) -> Mapping[str, App]:
    """The apps of a stack's outputs; none before its first `up`.

    Raises:
        EntrantError: the outputs cannot be read.
    """
    try:
        stdout = engine.run(["stack", "output", "--json", "--stack", stack], cwd=cwd, environ=environ).stdout
    except StackNotFoundError:
        return {}
    return (
        {}
        if stdout.strip() in ("", "{}")
        else outputs.from_text(stdout, f"the output of stack {stack}", secrets=False).apps
    )


def _held_ids(stack: str | None, cwd: Path, environ: Mapping[str, str]) -> list[str]:
    """The ids of all that a stack holds: more than its outputs say, when an `up` has failed on the way."""
    if stack is None:
        return []
    try:
        exported = engine.run(["stack", "export", "--stack", stack], cwd=cwd, environ=environ).stdout
    except StackNotFoundError:
        return []
    return [entry["id"] for entry in json.loads(exported)["deployment"].get("resources") or () if entry.get("id")]


def _each(look: Callable[..., Iterator[Finding]], *given: object) -> Iterator[Finding]:
    try:
        yield from look(*given)
    except EntrantError as error:
        yield Finding(look.__name__.strip("_"), "unknown", str(error), error.next_step)


def _engine(cwd: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    found = engine.run(["version"], cwd=cwd, environ=environ).stdout.strip()
    recent = tuple(int(part) for part in re.findall(r"\d+", found)[:3]) >= bootstrap.OLDEST_PULUMI
    oldest = ".".join(map(str, bootstrap.OLDEST_PULUMI))
    yield Finding("pulumi", "ok" if recent else "problem", found, None if recent else f"install {oldest} or later")
    whoami = engine.run(["whoami", "--verbose"], cwd=cwd, environ=environ, check=False)
    backend = re.search(r"Backend URL: (\S+)", whoami.stdout)
    if backend is None:
        yield Finding(
            "backend", "problem", (whoami.stderr or "not logged in").strip().splitlines()[0], "run `pulumi login`"
        )
    else:
        yield Finding("backend", "ok", backend.group(1))
    yield from _plugins(cwd, environ)


def _plugins(cwd: Path, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the resource plugins that the Python packages ask for are there; Pulumi downloads one that is not."""
    listed = json.loads(engine.run(["plugin", "ls", "--json"], cwd=cwd, environ=environ).stdout)
    there = {(plugin["name"], plugin["version"]) for plugin in listed if plugin["kind"] == "resource"}
    for name in PLUGINS:
        wanted = version(f"pulumi-{name}")
        on_path = shutil.which(f"pulumi-resource-{name}", path=environ.get("PATH"))
        if (name, wanted) in there or on_path:
            yield Finding(f"plugin {name}", "ok", f"{wanted} ({on_path})" if on_path else wanted)
        else:
            by_hand = f"`pulumi plugin install resource {name} {wanted} --file …`"
            step = f"nothing, where Pulumi's downloads can be reached; else {by_hand}"
            yield Finding(f"plugin {name}", "unknown", f"{wanted} is to be downloaded", step)


def _who(environment: config.Environment, deployer: Deployer) -> Iterator[Finding]:
    claims = _claims(deployer, "arm")
    tenant = str(claims.get("tid"))
    name = claims.get("upn") or claims.get("app_displayname") or claims.get("appid")
    who = f"{deployer.name}: {name}, object id {claims.get('oid')}, tenant {tenant}"
    wanted = environment.tenant
    if wanted and wanted.lower() != tenant.lower():
        yield Finding("deployer", "problem", f"{who}; the environment wants tenant {wanted}", "log in to that tenant")
    else:
        yield Finding("deployer", "ok", who)


def _claims(deployer: Deployer, audience: str) -> Mapping[str, object]:
    from entrant.tokens.credentials import Token

    return Token(deployer.token(audience), 0, audience, "", "").claims


def _held(deployer: Deployer) -> tuple[set[str], set[str]]:
    """The Graph application permissions and the directory roles in the deployer's token."""
    claims = _claims(deployer, "graph")
    roles, wids = claims.get("roles") or (), claims.get("wids") or ()
    assert isinstance(roles, list | tuple) and isinstance(wids, list | tuple)
    return set(map(str, roles)), {role.name for wid in wids if (role := find_directory_role(str(wid)))}


def _by(deployer: Deployer, permissions: Iterable[str], roles: Iterable[str]) -> str:
    """Which of these the deployer has, in words; empty when it has none."""
    held, held_roles = _held(deployer)
    return ", ".join([*sorted(held & set(permissions)), *sorted(held_roles & set(roles))])


def _applications(
    environment: config.Environment, deployer: Deployer, there: Mapping[str, App] = MappingProxyType({})
) -> Iterator[Finding]:
    create = ("Application.ReadWrite.OwnedBy", *_ALL_APPLICATIONS)
    by = _by(deployer, create, ("Application Developer", *_APPLICATION_ROLES))
    if by:
        yield Finding("create applications", "ok", by)
        return
    try:
        policy = deployer.graph("/policies/authorizationPolicy")
    except EntrantError as error:
        evidence = f"no role in the token, and of the tenant's policy: {unseen(error, _POLICY)}"
        yield Finding("create applications", "unknown", evidence, error.next_step)
        return
    if policy.get("defaultUserRolePermissions", {}).get("allowedToCreateApps") and "idtyp" not in _claims(
        deployer, "graph"
    ):
        yield Finding("create applications", "ok", "the tenant lets its users")
    else:
        step = "grant the Graph application permission Application.ReadWrite.OwnedBy, or the role Application Developer"
        yield Finding("create applications", "problem", "no permission and no directory role for it", step)


def _owners(environment: config.Environment, deployer: Deployer, there: Mapping[str, App]) -> Iterator[Finding]:
    """Whether a deployer that may change only what it owns owns it, and goes on to."""
    if _by(deployer, _ALL_APPLICATIONS, _APPLICATION_ROLES):
        return
    claims = _claims(deployer, "graph")
    who = str(claims.get("oid")).lower()
    names = {who, str(claims.get("upn")).lower()}

    def among(owners: Iterable[Owner]) -> bool:
        return any(
            owner.kind == "deployer"
            or owner.value.lower() in names
            or (owner.kind == "app" and owner.value in there and there[owner.value].service_principal_id == who)
            for owner in owners
        )

    may = "may change only what it owns"
    for name, app in environment.apps.items():
        for where, holder in (("owners", app), ("service_principal.owners", app.service_principal)):
            if holder is not None and "owners" in holder.model_fields_set and not among(holder.owners):
                step = f"add it to `{where}`, or leave that out, or give it Application.ReadWrite.All"
                yield Finding(f"owners of {name}", "problem", f"the deployer {may}, and `{where}` leaves it out", step)
    wanted = {
        name: tuple(filter(None, (app.object_id, app.service_principal_id)))
        for name, app in there.items()
        if name in environment.apps
    }
    for name, app in environment.apps.items():
        if app.adopt and name not in wanted:
            wanted[name] = tuple(filter(None, (app.adopt.application, app.adopt.service_principal)))
    if not wanted:
        return
    collection = "servicePrincipals" if claims.get("idtyp") == "app" else "users"
    owned = deployer.listed(deployer.graph(f"/{collection}/{who}/ownedObjects", select="id"), "graph")
    ids = {str(entry["id"]).lower() for entry in owned}
    for name, objects in wanted.items():
        if foreign := [each for each in objects if each.lower() not in ids]:
            step = "have an administrator make it an owner, or give it Application.ReadWrite.All"
            yield Finding(f"owners of {name}", "problem", f"the deployer {may}, and not {' and '.join(foreign)}", step)


def _rights(environment: config.Environment, deployer: Deployer, there: Mapping[str, App]) -> Iterator[Finding]:
    for right in RIGHTS:
        wanting = [
            name
            for name, app in environment.apps.items()
            if set(right.asked(app)) - (set(right.there(there[name])) if name in there else set())
        ]
        if not wanting:
            continue
        if by := _by(deployer, right.permissions, right.roles):
            yield Finding(right.what, "ok", by)
        else:
            step = f"grant {right.permissions[0]}, or the role {right.roles[0]}, or let an administrator run the `up`"
            yield Finding(
                right.what, "problem", f"{', '.join(wanting)} ask for it and the deployer may not give it", step
            )


def _look_ups(environment: config.Environment, deployer: Deployer, there: Mapping[str, App]) -> Iterator[Finding]:
    """What the program looks up in the directory, or refers to there."""
    for user in environment.all_users():
        path, right = f"/users/{quote(user)}", "grant User.Read.All, or name the owner by object id"
        yield from _seen(deployer, f"owner {user}", path, "correct the owner", right)
    for client_id in sorted(_apis(environment)):
        what, right = f"API {client_id}", "grant Application.Read.All"
        try:
            found = deployer.graph("/servicePrincipals", filter=f"appId eq '{client_id}'", select="id")["value"]
        except EntrantError as error:
            yield _not_seen(error, what, right)
            continue
        if not found:
            step = f"check the id, or have an administrator add it: az ad sp create --id {client_id}"
            yield Finding(what, "problem", "it has no service principal in this tenant", step)
    for name, app in environment.apps.items():
        known = there.get(name)
        for group in sorted({each.group for each in app.memberships} - set((known.groups if known else None) or ())):
            yield from _seen(deployer, f"group {group}", f"/groups/{group}", "correct it", "grant GroupMember.Read.All")
        for unit in sorted({each.administrative_unit for each in app.directory_roles if each.administrative_unit}):
            path, right = f"/directory/administrativeUnits/{unit}", "grant AdministrativeUnit.Read.All to see it here"
            yield from _seen(deployer, f"administrative unit {unit}", path, "correct it", right, needed=False)
        if app.adopt and known is None:
            adopted = {"applications": app.adopt.application, "servicePrincipals": app.adopt.service_principal}
            for collection, guid in adopted.items():
                if guid:
                    right = "grant Application.Read.All"
                    yield from _seen(deployer, f"{name} adopts {guid}", f"/{collection}/{guid}", "correct it", right)


def _seen(
    deployer: Deployer, what: str, path: str, remedy: str, right: str, *, needed: bool = True
) -> Iterator[Finding]:
    """A finding where an object of the directory is not there, or cannot be seen though an `up` has to (`needed`)."""
    try:
        deployer.graph(path, select="id")
    except EntrantError as error:
        if error.code == "Request_ResourceNotFound":
            yield Finding(what, "problem", "there is none in this tenant", remedy)
        else:
            yield _not_seen(error, what, right, needed=needed)


def _not_seen(error: EntrantError, what: str, right: str, *, needed: bool = True) -> Finding:
    """A look-up that an `up` makes as well (`needed`): without the right it will fail, and any other failure may pass."""
    if isinstance(error, RefusedError) and error.status == 403:
        return Finding(what, "problem" if needed else "unknown", f"not readable (403 {error.code})", right)
    return Finding(what, "unknown", f"the look-up failed: {error}", error.next_step)


def _apis(environment: config.Environment) -> set[str]:
    """Client ids of the APIs whose service principals the program looks up."""
    return {
        permission.api.client_id
        for app in environment.apps.values()
        for permission in app.permissions
        if permission.api.client_id
        and (any(permission.consented().values()) or offered_permissions(permission.api.client_id) is None)
    }


def _adopted_certificates(
    environment: config.Environment, deployer: Deployer, there: Mapping[str, App]
) -> Iterator[Finding]:
    """Whether a certificate that is taken over is the file's: the provider cannot read it back, so an `up` does not see it."""
    for name, app in environment.apps.items():
        adopted = {key: each for key, each in app.certificates.items() if each.adopt}
        id_ = app.adopt.application if app.adopt else there[name].object_id if name in there else None
        if not adopted or id_ is None:
            continue
        registration = deployer.graph(f"/applications/{id_}", select="id,keyCredentials")
        held = {entry["keyId"].lower(): entry for entry in registration.get("keyCredentials") or ()}
        for key, certificate in adopted.items():
            found, what = held.get(certificate.adopt or ""), f"apps.{name}.certificates.{key}"
            if found is None and name not in there:
                step = "correct `adopt`, or take it out to have the certificate made"
                yield Finding(
                    what, "problem", f"the registration has no certificate with the key id {certificate.adopt}", step
                )
            elif found and str(found.get("customKeyIdentifier")).upper() != certificate.public.thumbprint:
                said = f"the registration has {found.get('customKeyIdentifier')} there, not {certificate.public.thumbprint}"
                yield Finding(what, "problem", said, "put that certificate into the file, or correct `adopt`")


def _existing(
    environment: config.Environment, deployer: Deployer, there: Mapping[str, App], held: Callable[[], Iterable[str]]
) -> Iterator[Finding]:
    """What the file declares anew and the tenant has already."""
    yield from _adopted_certificates(environment, deployer, there)
    seen = existing.look(environment, deployer, there, held())
    for each in seen.found:
        evidence = f"{each.what} exists and is not the stack's: an `up` would fail on it"
        yield Finding(each.place, "problem", evidence, each.remedy)
    for what in seen.unseen:
        yield Finding("what exists", "unknown", what)


def _roles(
    environment: config.Environment, deployer: Deployer, there: Mapping[str, App] = MappingProxyType({})
) -> Iterator[Finding]:
    new = _new_grants(environment, there)
    for scope in {grant.scope.id: grant.scope for grant in new}.values():
        step = "give the deployer Role Based Access Control Administrator there"
        yield _permitted(deployer, scope, f"assign roles on {scope.name}", _ASSIGN, step)


def _definitions(environment: config.Environment, deployer: Deployer, there: Mapping[str, App]) -> Iterator[Finding]:
    """A custom role is written with the right to at each scope it can be assigned at; read back, changed and removed it is at its
    subscription, which Azure makes it a part of.
    """
    for key, definition in environment.role_definitions.items():
        first = definition.assignable_scopes[0]
        kind = "providers/Microsoft.Authorization/roleDefinitions"
        path = f"{first.id.rstrip('/')}/{kind}/{definition.guid(key)}"
        try:
            deployer.arm(path)
            continue  # it is there
        except EntrantError as error:
            if not isinstance(error, RefusedError) or error.status not in (403, 404):
                yield _not_seen(error, f"define {key}", "")
                continue
        for scope in definition.assignable_scopes:
            step = "give the deployer Owner or User Access Administrator there"
            yield _permitted(deployer, scope, f"define {key} on {scope.name}", _DEFINE, step)
        if first.subscription:
            home = parse_scope(f"/subscriptions/{first.subscription}")
            read = _permitted(deployer, home, f"read {key} back", _READ, "give the deployer Reader there")
            yield read
            step = "give the deployer User Access Administrator there before it is changed or removed"
            later = _permitted(deployer, home, f"change or remove {key} later", _DEFINE, step)
            if read.state == "ok" and later.state == "problem":  # a first `up` works
                yield replace(later, state="unknown")


def _permitted(deployer: Deployer, scope: Scope, what: str, action: str, step: str) -> Finding:
    """Whether the deployer's roles at a scope allow an action there."""
    path = f"{scope.id.rstrip('/')}/providers/Microsoft.Authorization/permissions"
    try:
        blocks = [RolePermission.of(entry) for entry in deployer.listed(deployer.arm(path), "arm")]
    except EntrantError as error:
        if not isinstance(error, RefusedError) or error.status not in (403, 404):
            return _not_seen(error, what, step)
        gone = "check the scope's id, or create it first"
        return Finding(
            what, "problem", f"{error.status} {error.code}: {scope.id}", gone if error.status == 404 else step
        )
    if permits(blocks, action):
        if action == _ASSIGN and (condition := _narrowed(deployer, scope)):
            step = "see that it allows the roles of the file to service principals; Azure tells that only when one is assigned"
            return Finding(what, "unknown", f"{action} at {scope.id}, under the condition {condition}", step)
        return Finding(what, "ok", f"{action} at {scope.id}")
    return Finding(what, "problem", f"no role allows {action} at {scope.id}", step)


def _narrowed(deployer: Deployer, scope: Scope) -> str | None:
    """The condition that the deployer's right to assign roles at a scope is under; None without one, or where it cannot be seen."""
    path = f"{scope.id.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments"
    query = {"$filter": f"assignedTo('{_claims(deployer, 'arm').get('oid')}')"}
    conditions: list[str | None] = []
    with contextlib.suppress(RefusedError):
        for entry in deployer.listed(deployer.arm(path, **query), "arm"):
            held = entry["properties"]
            role = find_role(str(held["roleDefinitionId"]).rpartition("/")[2])
            below = str(held["scope"]).lower().startswith(f"{scope.id.lower()}/")
            if not below and (role is None or permits(role.permissions, _ASSIGN)):
                conditions.append(held.get("condition"))
    return None if not conditions or not all(conditions) else " ".join(str(conditions[0]).split())


def _new_grants(environment: config.Environment, there: Mapping[str, App]) -> list[config.RoleGrant]:
    """The role assignments that are not there yet."""
    held = {
        (name, grant.role_definition_id.lower(), grant.scope.lower())
        for name, app in there.items()
        for grant in app.grants
    }
    return [
        grant
        for name, app in environment.apps.items()
        for grant in app.roles
        if (name, grant.role.guid.lower(), grant.scope.id.lower()) not in held and not grant.adopt
    ]


def _lifetime(environment: config.Environment, deployer: Deployer) -> Iterator[Finding]:
    longest = max(
        ((app.secret.every + app.secret.overlap, name) for name, app in environment.apps.items() if app.secret),
        default=None,
    )
    if longest is None:
        return
    try:
        policy = deployer.graph("/policies/defaultAppManagementPolicy")
    except EntrantError as error:
        evidence = f"of the tenant's policy: {unseen(error, _POLICY)}"
        yield Finding("secret lifetime", "unknown", evidence, error.next_step)
        return
    rules = (policy.get("applicationRestrictions") or {}).get("passwordCredentials") or ()
    if not policy.get("isEnabled"):
        rules = ()
    for rule in rules:
        if rule.get("state") == "disabled":
            continue
        if rule["restrictionType"] == "passwordAddition":
            step = "use `federated:` or `certificates:` with `secret: false`"
            yield Finding("secret lifetime", "problem", "the tenant allows no client secrets", step)
            return
        if rule["restrictionType"] == "passwordLifetime":
            limit = _duration(str(rule["maxLifetime"]))
            if longest[0] > limit:
                evidence = f"{longest[1]} asks for {counted(longest[0].days, 'day')}; the tenant allows {limit.days}"
                yield Finding("secret lifetime", "problem", evidence, "shorten `every` plus `overlap`")
                return
    yield Finding("secret lifetime", "ok", f"{counted(longest[0].days, 'day')} at the longest ({longest[1]})")


def _duration(text: str) -> timedelta:
    """An ISO 8601 duration of days and hours, as Graph writes them: `P180D`, `P4DT12H`."""
    found = re.fullmatch(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?", text)
    if found is None:
        raise RefusedError(f'Graph gave a lifetime that is no duration: "{text}"', status=200)
    years, months, days, hours = (int(part or 0) for part in found.groups())
    return timedelta(days=365 * years + 30 * months + days, hours=hours)


def _quotas(
    environment: config.Environment, deployer: Deployer, there: Mapping[str, App] = MappingProxyType({})
) -> Iterator[Finding]:
    """Whether there is room for what is not there yet."""
    declared = {grant.scope.subscription for app in environment.apps.values() for grant in app.roles}
    new = Counter(grant.scope.subscription for grant in _new_grants(environment, there))
    for subscription in sorted(filter(None, declared)):
        path = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleAssignments"
        try:
            count = sum(1 for _ in deployer.listed(deployer.arm(path), "arm"))
        except EntrantError as error:
            evidence = unseen(error, f"Microsoft.Authorization/roleAssignments/read on {subscription}")
            yield Finding(f"assignments in {subscription}", "unknown", evidence, error.next_step)
            continue
        more = new[subscription]
        full = bool(more) and count + more > ASSIGNMENTS
        evidence = f"{count} of {ASSIGNMENTS}, {more} new"
        if not full and count >= ASSIGNMENTS:
            evidence = f"{count} where {ASSIGNMENTS} are allowed: the subscription is full, and nothing here is new"
        step = "assign to groups or at wider scopes, and remove orphans" if full else None
        yield Finding(f"assignments in {subscription}", "problem" if full else "ok", evidence, step)
    need = sum(_objects(app) for name, app in environment.apps.items() if name not in there)
    if need > NON_ADMIN_OBJECTS and not _held(deployer)[1] & set(_APPLICATION_ROLES):
        evidence = f"{need} are new; without an administrator role nobody may create more than {NON_ADMIN_OBJECTS}"
        yield Finding(
            "objects of the deployer", "problem", evidence, "give it the role Cloud Application Administrator"
        )
    organization = deployer.graph("/organization", select="id,directorySizeQuota").get("value") or [{}]
    quota = organization[0].get("directorySizeQuota") or {}
    if quota.get("total"):
        full = bool(need) and int(quota["used"]) + need > int(quota["total"])
        step = "remove what is no longer used; deleted objects count for 30 days" if full else None
        evidence = f"{quota['used']} of {quota['total']} objects, {need} new"
        if not full and int(quota["used"]) >= int(quota["total"]):
            evidence = f"{quota['used']} objects where {quota['total']} are allowed: the directory is full, and nothing here is new"
        yield Finding("directory size", "problem" if full else "ok", evidence, step)


def _objects(app: config.App) -> int:
    """How many objects of the directory a new app makes: its registration and its service principal, unless they exist."""
    existing = app.service_principal is not None and app.service_principal.use_existing
    if not app.has_principal:
        return 0
    if app.adopt:
        return int(not app.adopt.service_principal and not existing)
    return 2 - existing
