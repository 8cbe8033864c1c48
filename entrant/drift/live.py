"""What a tenant has of a stack's credentials: those of its registrations and service principals, their owners, their last use.

Sources: Microsoft Graph, "application resource type" and "servicePrincipal resource type" (`passwordCredentials`,
`keyCredentials`, `notificationEmailAddresses`); beta, "List appCredentialSignInActivities" (`AuditLog.Read.All`; a sign-in shows
after some hours). A list of owners has the ids alone of what its reader may not read.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from entrant import http, times
from entrant.access import batches
from entrant.access.deployer import Deployer, unseen
from entrant.errors import RefusedError
from entrant.outputs import App, Outputs

_READABLE: Final = "the Graph permission Application.Read.All"
_NO_LICENCE: Final = "Authentication_RequestFromNonPremiumTenantOrB2CTenant"
_NEVER: Final = "9999-12-31T00:00:00Z"
_KINDS: Final = (("secret", "passwordCredentials"), ("certificate", "keyCredentials"))


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner of a registration: what it is called, and where mail reaches it, if anywhere."""

    name: str
    mail: str | None


@dataclass(slots=True)
class Tenant:
    """What was read of a tenant, and what could not be read and why."""

    credentials: dict[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    """By app: `kind`, `key_id`, `name`, `starts`, `ends`, and `principal` for those of the service principal. Without an app whose
    credentials could not all be read."""
    owners: dict[str, tuple[Owner, ...]] = field(default_factory=dict)
    """By app; without an app whose owners could not be read."""
    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By app: its service principal's `notificationEmailAddresses`."""
    used: dict[str, dt.datetime] | None = None
    """When a token was last given for a key id; None: nobody tells."""
    unseen: list[str] = field(default_factory=list)

    def mail(self, app: str) -> tuple[str, ...]:
        """Where mail about an app goes: to its owners, and to who is named for it."""
        owners = (owner.mail for owner in self.owners.get(app, ()))
        return tuple(dict.fromkeys([*(mail for mail in owners if mail), *self.addresses.get(app, ())]))


def read(outputs: Outputs, deployer: Deployer | None, *, usage: bool = False) -> Tenant:
    """Read the credentials and owners of a stack's apps, and with `usage` when each was last used.

    Raises:
        RefusedError: Graph refused all of it. UnreachableError: no answer. AuthenticationError: nobody is signed in.
    """
    tenant = Tenant()
    if deployer is None:
        tenant.unseen.append("the tenant: nobody is signed in (`az login`, or ARM_* variables)")
        return tenant
    shown = "$select=id,passwordCredentials,keyCredentials"
    sides: dict[str, dict[str, str]] = {}
    for app in outputs.apps.values():
        sides[app.name] = {"registration": f"/applications/{app.object_id}?{shown}"} if app.object_id else {}
        if app.service_principal_id:
            path = f"/servicePrincipals/{app.service_principal_id}?{shown},notificationEmailAddresses"
            sides[app.name]["service principal"] = path
    owners = {app.name: f"/applications/{app.object_id}/owners" for app in outputs.apps.values() if app.object_id}
    paths = [path for parts in sides.values() for path in parts.values()]
    answers = batches.get(deployer, [*paths, *owners.values()])
    for app in outputs.apps.values():
        _credentials(tenant, app, {side: answers[path] for side, path in sides[app.name].items()})
        if app.name in owners:
            _owners(tenant, app, answers[owners[app.name]])
    if usage:
        _usage(tenant, deployer)
    return tenant


def _credentials(tenant: Tenant, app: App, answers: Mapping[str, dict[str, Any] | RefusedError]) -> None:
    found: list[Mapping[str, Any]] = []
    for side, answer in answers.items():
        if isinstance(answer, RefusedError):
            why = "it is not in the tenant" if answer.status == 404 else unseen(answer, _READABLE)
            tenant.unseen.append(f"the {side} of {app.name}: {why}")
            continue
        found += _listed(answer, side == "service principal")
        tenant.addresses[app.name] = tuple(answer.get("notificationEmailAddresses") or ())
    if not any(isinstance(answer, RefusedError) for answer in answers.values()):
        tenant.credentials[app.name] = tuple(found)


def _listed(answer: Mapping[str, Any], principal: bool) -> Iterator[Mapping[str, Any]]:
    """The credentials of an object. A SAML signing certificate is three under one identifier, which are told as one."""
    signing = {
        key.get("customKeyIdentifier") for key in answer.get("keyCredentials") or () if key.get("usage") == "Sign"
    }
    for kind, name in _KINDS:
        for entry in answer.get(name) or ():
            part = entry.get("customKeyIdentifier") in signing - {None} and entry.get("usage") != "Verify"
            if not (principal and part):
                yield {
                    "kind": kind,
                    "key_id": entry["keyId"],
                    "name": entry.get("displayName"),
                    "starts": entry.get("startDateTime"),
                    "ends": entry.get("endDateTime") or _NEVER,
                    "principal": principal,
                }


def _owners(tenant: Tenant, app: App, answer: dict[str, Any] | RefusedError) -> None:
    if isinstance(answer, RefusedError):
        if answer.status != 404:
            tenant.unseen.append(f"the owners of {app.name}: {unseen(answer, _READABLE)}")
        return
    names = ("userPrincipalName", "displayName", "id")
    entries: Sequence[Mapping[str, Any]] = answer.get("value") or ()
    tenant.owners[app.name] = tuple(
        Owner(next(str(entry[name]) for name in names if entry.get(name)), entry.get("mail") or None)
        for entry in entries
    )


def _usage(tenant: Tenant, deployer: Deployer) -> None:
    url = f"{deployer.cloud.graph}/beta/reports/appCredentialSignInActivities"
    try:
        listed = list(deployer.listed(http.get_json(url, token=deployer.token("graph")), "graph"))
    except RefusedError as error:
        if error.code == _NO_LICENCE:
            why = "the tenant has no licence of Microsoft Entra ID P1 or P2, without which Graph tells no sign-ins"
        elif error.status in (400, 404):
            why = f"the report is not served here (national clouds do not have it): {error}"
        else:
            why = unseen(error, "the Graph permission AuditLog.Read.All")
        tenant.unseen.append(f"when credentials were last used: {why}")
        return
    try:
        tenant.used = {
            str(entry["keyId"]).lower(): times.moment(last)
            for entry in listed
            if (last := (entry.get("signInActivity") or {}).get("lastSignInDateTime"))
        }
    except ValueError as error:
        tenant.unseen.append(f"when credentials were last used: a time of the report is none ({error})")
