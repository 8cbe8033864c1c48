"""Before `pulumi up`, as the deployer: what would stand in the way, and what to do about it."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from entrant import config, engine
from entrant.access.deployer import Deployer
from entrant.errors import EntrantError, RefusedError
from entrant.facts.roles import Permission, permits
from entrant.setup import bootstrap

State = Literal["ok", "problem", "unknown"]

PLUGINS = ("azuread", "azure-native")
"""The resource plugins that the program needs."""
ASSIGNMENTS = 4000
"""Role assignments that a subscription takes (Azure RBAC limits)."""
NON_ADMIN_OBJECTS = 250
"""Directory objects that somebody without an administrator role may create (Microsoft Entra service limits)."""
_WRITE = "Microsoft.Authorization/roleAssignments/write"
_CREATES = ("Application.ReadWrite.All", "Application.ReadWrite.OwnedBy", "Directory.ReadWrite.All")
_CONSENTS = ("AppRoleAssignment.ReadWrite.All",)
_DIRECTORY_ROLES = {
    "62e90394-69f5-4237-9190-012177145e10": "Global Administrator",
    "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3": "Application Administrator",
    "158c047a-c907-4556-b7ef-446551a6b5f7": "Cloud Application Administrator",
    "cf1c38e5-3621-4004-a7cb-879624dced7c": "Application Developer",
    "e8611ab8-c189-46e8-94e1-60213ab1f814": "Privileged Role Administrator",
}
"""Template ids of directory roles, as they stand in a token's `wids` claim (Microsoft Entra built-in roles)."""
_ROLES_WITHOUT_QUOTA = ("Global Administrator", "Application Administrator", "Cloud Application Administrator")
_ROLES_THAT_CONSENT = ("Global Administrator", "Privileged Role Administrator")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found."""

    what: str
    state: State
    evidence: str
    next_step: str | None = None


def examine(
    environment: config.Environment, deployer: Deployer | None, *, cwd: Path, environ: Mapping[str, str]
) -> Iterator[Finding]:
    """Everything that can be looked at; where a look fails, its finding is `unknown` and says why."""
    yield from _each(_engine, cwd, environ)
    if deployer is None:
        yield Finding(
            "deployer",
            "problem",
            "no identity is set up",
            "log in with `az login`, or set ARM_CLIENT_ID, ARM_TENANT_ID and a credential",
        )
        return
    for look in (_who, _applications, _roles, _consent, _lifetime, _quotas):
        yield from _each(look, environment, deployer)


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
    said = f"{deployer.name}: {name}, object id {claims.get('oid')}, tenant {tenant}"
    wanted = environment.tenant
    if wanted and wanted.lower() != tenant.lower():
        yield Finding("deployer", "problem", f"{said}; the environment wants tenant {wanted}", "log in to that tenant")
    else:
        yield Finding("deployer", "ok", said)


def _claims(deployer: Deployer, audience: str) -> Mapping[str, object]:
    from entrant.tokens.credentials import Token

    return Token(deployer.token(audience), 0, audience, "", "").claims


def _held(deployer: Deployer) -> tuple[set[str], set[str]]:
    """The Graph application permissions and the directory roles in the deployer's token."""
    claims = _claims(deployer, "graph")
    roles, wids = claims.get("roles") or (), claims.get("wids") or ()
    assert isinstance(roles, list | tuple) and isinstance(wids, list | tuple)
    return set(map(str, roles)), {_DIRECTORY_ROLES[str(wid)] for wid in wids if str(wid) in _DIRECTORY_ROLES}


def _applications(environment: config.Environment, deployer: Deployer) -> Iterator[Finding]:
    permissions, roles = _held(deployer)
    by = [*sorted(permissions & set(_CREATES)), *sorted(roles - {"Privileged Role Administrator"})]
    if by:
        yield Finding("create applications", "ok", ", ".join(by))
        return
    try:
        policy = deployer.graph("/policies/authorizationPolicy")
    except RefusedError as error:
        yield Finding(
            "create applications",
            "unknown",
            f"no role in the token, and the tenant's policy is not readable ({error.code})",
        )
        return
    if policy.get("defaultUserRolePermissions", {}).get("allowedToCreateApps") and "idtyp" not in _claims(
        deployer, "graph"
    ):
        yield Finding("create applications", "ok", "the tenant lets its users")
    else:
        step = "grant the Graph application permission Application.ReadWrite.OwnedBy, or the role Application Developer"
        yield Finding("create applications", "problem", "no permission and no directory role for it", step)


def _roles(environment: config.Environment, deployer: Deployer) -> Iterator[Finding]:
    scopes = {grant.scope.id: grant.scope for app in environment.apps.values() for grant in app.roles}
    for scope in scopes.values():
        what = f"assign roles on {scope.name}"
        path = f"{scope.id.rstrip('/')}/providers/Microsoft.Authorization/permissions"
        try:
            blocks = [Permission.of(entry) for entry in deployer.listed(deployer.arm(path), "arm")]
        except RefusedError as error:
            gone = error.status == 404
            step = "check the scope's id, or create it first" if gone else error.next_step
            yield Finding(what, "problem", f"{error.code}: {scope.id}", step)
            continue
        if permits(blocks, _WRITE):
            yield Finding(what, "ok", f"{_WRITE} at {scope.id}")
        else:
            step = "give the deployer Role Based Access Control Administrator there"
            yield Finding(what, "problem", f"no role allows {_WRITE} at {scope.id}", step)


def _consent(environment: config.Environment, deployer: Deployer) -> Iterator[Finding]:
    wanting = [
        name for name, app in environment.apps.items() if any(permission.consent for permission in app.permissions)
    ]
    if not wanting:
        return
    permissions, roles = _held(deployer)
    by = [*sorted(permissions & set(_CONSENTS)), *sorted(roles & set(_ROLES_THAT_CONSENT))]
    if by:
        yield Finding("consent", "ok", ", ".join(by))
    else:
        step = "grant AppRoleAssignment.ReadWrite.All and DelegatedPermissionGrant.ReadWrite.All, or let an administrator consent"
        yield Finding("consent", "problem", f"{', '.join(wanting)} ask for it and the deployer may not give it", step)


def _lifetime(environment: config.Environment, deployer: Deployer) -> Iterator[Finding]:
    longest = max(
        ((app.secret.every + app.secret.overlap, name) for name, app in environment.apps.items() if app.secret),
        default=None,
    )
    if longest is None:
        return
    try:
        policy = deployer.graph("/policies/defaultAppManagementPolicy")
    except RefusedError as error:
        yield Finding(
            "secret lifetime",
            "unknown",
            f"the tenant's policy is not readable ({error.code})",
            "Policy.Read.All reads it",
        )
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
                said = f"{longest[1]} asks for {longest[0].days} days; the tenant allows {limit.days}"
                yield Finding("secret lifetime", "problem", said, "shorten `every` plus `overlap`")
                return
    yield Finding("secret lifetime", "ok", f"{longest[0].days} days at the longest ({longest[1]})")


def _duration(text: str) -> timedelta:
    """An ISO 8601 duration of days and hours, as Graph writes them: `P180D`, `P4DT12H`."""
    found = re.fullmatch(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?", text)
    if found is None:
        raise RefusedError(f'Graph gave a lifetime that is no duration: "{text}"', status=200)
    years, months, days, hours = (int(part or 0) for part in found.groups())
    return timedelta(days=365 * years + 30 * months + days, hours=hours)


def _quotas(environment: config.Environment, deployer: Deployer) -> Iterator[Finding]:
    wanted: dict[str, int] = {}
    for app in environment.apps.values():
        for grant in app.roles:
            if grant.scope.subscription:
                wanted[grant.scope.subscription] = wanted.get(grant.scope.subscription, 0) + 1
    for subscription, more in wanted.items():
        path = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleAssignments"
        try:
            count = sum(1 for _ in deployer.listed(deployer.arm(path), "arm"))
        except RefusedError as error:
            yield Finding(f"assignments in {subscription}", "unknown", f"not readable ({error.code})")
            continue
        full = count + more > ASSIGNMENTS
        said = f"{count} of {ASSIGNMENTS}, {more} declared"
        step = "assign to groups or at wider scopes, and remove orphans" if full else None
        yield Finding(f"assignments in {subscription}", "problem" if full else "ok", said, step)
    need = 2 * len(environment.apps)
    if need > NON_ADMIN_OBJECTS and not _held(deployer)[1] & set(_ROLES_WITHOUT_QUOTA):
        said = f"{need} are declared; without an administrator role nobody may create more than {NON_ADMIN_OBJECTS}"
        yield Finding("objects of the deployer", "problem", said, f"give it the role {_ROLES_WITHOUT_QUOTA[-1]}")
    organization = deployer.graph("/organization", select="id,directorySizeQuota").get("value") or [{}]
    quota = organization[0].get("directorySizeQuota") or {}
    if quota.get("total"):
        left = int(quota["total"]) - int(quota["used"])
        step = "remove what is no longer used; deleted objects count for 30 days" if left < need else None
        yield Finding(
            "directory size", "ok" if left >= need else "problem", f"{quota['used']} of {quota['total']} objects", step
        )
