"""Limits of the tenant: how long a secret or a certificate may last, how many objects and role assignments there may be."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from entrant import config
from entrant.access.deployer import Deployer, unseen
from entrant.doctor import identity
from entrant.doctor.azure_rights import new_grants
from entrant.doctor.findings import Finding
from entrant.errors import EntrantError, RefusedError
from entrant.facts.contract import kind_of
from entrant.outputs import App
from entrant.words import counted

ASSIGNMENTS = 4000
"""Role assignments that a subscription takes (Azure RBAC limits)."""


NON_ADMIN_OBJECTS = 250
"""Directory objects that somebody without an administrator role may create (Microsoft Entra service limits)."""


_RULES = {
    "secret": ("passwordCredentials", "passwordLifetime", "passwordAddition"),
    "certificate": ("keyCredentials", "asymmetricKeyLifetime", "trustedCertificateAuthority"),
}
"""Of secrets, and of certificates that are issued here: where a policy has its rules, the rule about their lifetime, and the one
that allows none (Microsoft Graph, "passwordCredentialConfiguration" and "keyCredentialConfiguration resource type")."""
_NONE = {
    "secret": ("the tenant allows no client secrets", "use `federated:` or `certificates:` with `secret: false`"),
    "certificate": (
        "the tenant takes only certificates of authorities that it trusts, and those with `every` sign themselves",
        "use `federated:`, or a certificate of such an authority with `path:`",
    ),
}


def lifetime(environment: config.Environment, deployer: Deployer) -> Iterator[Finding]:
    """Whether the tenant lets client secrets, and certificates that are issued here, last as long as the file says."""
    longest: dict[str, tuple[timedelta, str]] = {}
    for name, app in environment.apps.items():
        for calendar, rule in app.calendars.items():
            kind = kind_of(calendar)
            longest[kind] = max(longest.get(kind, (timedelta(), "")), (rule.every + rule.overlap, name))
    if not longest:
        return
    try:
        policy = deployer.graph("/policies/defaultAppManagementPolicy")
    except EntrantError as error:
        evidence = f"of the tenant's policy: {unseen(error, identity.READS_POLICY)}"
        yield from (Finding(f"{kind} lifetime", "unknown", evidence, error.next_step) for kind in longest)
        return
    restrictions = (policy.get("applicationRestrictions") or {}) if policy.get("isEnabled") else {}
    for kind, (lasts, name) in longest.items():
        yield _allowed(kind, lasts, name, restrictions.get(_RULES[kind][0]) or ())


def _allowed(kind: str, lasts: timedelta, app: str, rules: Iterable[Mapping[str, Any]]) -> Finding:
    """Whether rules let secrets or certificates last so long, the longest of which an app asks for."""
    _, limited, none_at_all = _RULES[kind]
    what = f"{kind} lifetime"
    for rule in rules:
        if rule.get("state") == "disabled":
            continue
        if rule["restrictionType"] == none_at_all:
            return Finding(what, "problem", *_NONE[kind])
        if rule["restrictionType"] == limited:
            limit = _duration(str(rule["maxLifetime"]))
            if lasts > limit:
                evidence = f"{app} asks for {counted(lasts.days, 'day')}; the tenant allows {limit.days}"
                return Finding(what, "problem", evidence, "shorten `every` plus `overlap`")
    return Finding(what, "ok", f"{counted(lasts.days, 'day')} at the longest ({app})")


def _duration(text: str) -> timedelta:
    """An ISO 8601 duration of days and hours, as Graph writes them: `P180D`, `P4DT12H`."""
    found = re.fullmatch(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?", text)
    if found is None:
        raise RefusedError(f'Graph gave a lifetime that is no duration: "{text}"', status=200)
    years, months, days, hours = (int(part or 0) for part in found.groups())
    return timedelta(days=365 * years + 30 * months + days, hours=hours)


def quotas(environment: config.Environment, deployer: Deployer, there: Mapping[str, App]) -> Iterator[Finding]:
    """Whether there is room for what is not there yet."""
    declared = {grant.scope.subscription for app in environment.apps.values() for grant in app.roles}
    new = Counter(grant.scope.subscription for grant in new_grants(environment, there))
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
    if need > NON_ADMIN_OBJECTS and not identity.held(deployer)[1] & set(identity.APPLICATION_ROLES):
        evidence = f"{need} are new; without an administrator role nobody may create more than {NON_ADMIN_OBJECTS}"
        yield Finding(
            "objects of the deployer", "problem", evidence, "give it the role Cloud Application Administrator"
        )
    try:
        organization = deployer.graph("/organization", select="id,directorySizeQuota").get("value") or [{}]
    except EntrantError as error:
        evidence = unseen(error, "the Graph permission Organization.Read.All")
        yield Finding("directory size", "unknown", evidence, error.next_step)
        return
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
