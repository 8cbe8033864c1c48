"""Makes reviews: of a preview, or of the YAML of two commits.

Two pictures are compared: before and after. With the cloud they come from the resources of a preview; without it from the YAML
of two commits. Everything after that is the same.
"""

import contextlib
import datetime as dt
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from entrant.changes import Change, Reading
from entrant.config import Environment, Report
from entrant.config.delivery import PLACE
from entrant.config.problems import Refused
from entrant.config.values import parse_moment
from entrant.drift import manual_changes
from entrant.drift.unmanaged import Unmanaged
from entrant.facts.pulumi_types import APPLICATION, CERTIFICATE, IDENTITY, PRINCIPAL, VAULT_SECRET
from entrant.facts.scopes import is_guid
from entrant.outputs import App
from entrant.review import resources
from entrant.review.comparison import Comparison, Origin, client_id_of, differing, first_step, later
from entrant.review.document import BrokenRule, CredentialChange, Outside, Part, ResourceChange, Review, SettingChange
from entrant.review.snapshot import (
    Holding,
    Identity,
    Picture,
    of_environment,
    renamed,
)


@dataclass(frozen=True, slots=True)
class Base:
    """The environment that a change is against: the commit's name, and the environment there (None: there was none)."""

    name: str
    environment: Environment | None


def of_preview(
    stack: str,
    reading: Reading,
    report: Report | None,
    *,
    now: dt.datetime,
    base: Base | None = None,
    errors: Sequence[str] = (),
    notes: Sequence[str] = (),
    undeclared: Sequence[Unmanaged] = (),
    apps: Mapping[str, App] = MappingProxyType({}),
) -> Review:
    """The review of a preview.

    Args:
        stack: its name.
        reading: what the engine's events said.
        report: the check of the environment as it is to be; None when there is no such file.
        now: what has ended, and what ends soon, is counted from here.
        base: the environment that the change is against, to tell the change from what was pending before.
        errors: why the preview failed, if it did.
        notes: what there is to say about the review itself.
        undeclared: what is in the cloud and declared nowhere.
        apps: the stack's apps by name, as its outputs have them; they lend names to manual changes.
    """
    environment = report.environment if report else None
    applied = [change for change in reading.planned if change.changes and not change.type.startswith("pulumi:")]
    comparison = _comparison(reading, applied, environment, base, now)
    missing = {change.urn: client_id_of(change) for change in reading.found if change.new is None}
    settings = {c.urn: _settings_of(c) for c in applied}
    touched = _by_app((c.app, settings[c.urn]) for c in applied)
    edited = _by_app((c.app, settings[c.urn]) for c in applied if c.operation != "import")  # without what is taken over
    essence = (_essence(c, environment) for c in reading.planned if c.changes or c.protection_changes)
    deliveries = tuple(_deliveries(reading, environment))
    own_settings = tuple(comparison.settings(edited))
    return Review(
        stack=stack,
        saw_cloud=True,
        base=base.name if base else "",
        digest=_digest("plan", stack, (*essence, *(setting.model_dump() for setting in deliveries))),
        breaks=tuple(comparison.planned_breaks(missing, touched)),
        apps=tuple(comparison.apps({change.urn for change in reading.found})),
        access=tuple(comparison.access()),
        credentials=tuple(comparison.credentials()),
        taken_over=tuple(setting for change in applied if change.operation == "import" for setting in _details(change)),
        settings=(
            *own_settings,
            *_untold(applied, own_settings),
            *deliveries,
            *(setting for change in applied for setting in _other_settings(change)),
        ),
        findings=_findings(report, base),
        outside=tuple(
            Outside(app=entry.app or "", what=entry.state, text="".join(entry.words), id=entry.id)
            for entry in manual_changes.tell(stack, reading.found, undeclared, apps, now)
        ),
        resources=tuple(_resource(change) for change in applied if not change.type.startswith("entrant:")),
        notes=tuple(notes),
        errors=tuple(errors),
    )


def _comparison(
    reading: Reading, applied: Sequence[Change], environment: Environment | None, base: Base | None, now: dt.datetime
) -> Comparison:
    """Who may do what before and after what is planned."""
    after = resources.of_changes(reading.planned, "new", environment)
    return Comparison(
        _before(reading.planned, after, environment, base.environment if base else None),
        after,
        environment,
        applied,
        _origins(reading, environment, base),
        now,
        kept_until=_kept_until(reading),
        outputs={"identities": _identities(reading)},
        former={c.app: c.former for c in reading.planned if c.app and c.former and c.type in (IDENTITY, APPLICATION)},
    )


def _by_app(steps: Iterable[tuple[str | None, Iterable[str]]]) -> dict[str | None, set[str]]:
    """First steps of paths by app."""
    found: dict[str | None, set[str]] = {}
    for app, names in steps:
        found.setdefault(app, set()).update(names)
    return found


def _untold(applied: Iterable[Change], settings: Iterable[SettingChange]) -> Iterator[SettingChange]:
    """What an update changes in a registration or service principal without a difference of settings, such as an order."""
    known = {(setting.app, first_step(setting.path)) for setting in settings}
    for change in applied:
        if change.operation in ("update", "replace") and change.type in _REGISTRATION:
            for difference in change.differences:
                path = f"{_REGISTRATION[change.type]}{difference.path}"
                elsewhere = first_step(difference.path) in resources.TOLD_ELSEWHERE
                if not elsewhere and (change.app or "", first_step(path)) not in known:
                    yield SettingChange(app=change.app or "", path=path, old=difference.old, new=difference.new)


def _other_settings(change: Change) -> Iterator[SettingChange]:
    """What changes in a resource that is neither registration nor service principal and of which nothing else is told."""
    if change.operation in ("update", "replace") and change.type not in (*resources.CLIENTS, *_REGISTRATION):
        for setting in _details(change):
            if setting.path.rpartition(".")[2] not in _TOLD_ELSEWHERE:
                yield setting


def _resource(change: Change) -> ResourceChange:
    return ResourceChange(
        operation=change.operation,
        type=change.type,
        name=change.name,
        properties=tuple(difference.path for difference in change.differences),
        replaces=change.replaces,
    )


def of_commits(
    stack: str,
    base: Base,
    report: Report | None,
    *,
    now: dt.datetime,
    notes: Sequence[str] = (),
    errors: Sequence[str] = (),
) -> Review:
    """The review of the YAML alone: `base` and what `report` is the check of (None: there is no such file any more)."""
    environment = report.environment if report else None
    before, after = (of_environment(each) if each else Picture() for each in (base.environment, environment))
    former = {
        old: name
        for name, app in (environment.apps if environment else {}).items()
        for old in app.renamed_from
        if old in before.registrations and name not in before.registrations
    }
    comparison = Comparison(
        renamed(before, former), after, environment, (), {}, now, former={new: old for old, new in former.items()}
    )
    parts: dict[str, tuple[Part, ...]] = {
        "apps": tuple(comparison.apps(())),
        "access": tuple(comparison.access()),
        "credentials": tuple(comparison.credentials()),
        "settings": tuple(comparison.settings(None)),
    }
    planned = [
        {"part": name, **entry.model_dump(exclude={"reason"})}
        for name, entries in parts.items()
        for entry in entries
        if not (isinstance(entry, CredentialChange) and entry.change == "ending")
    ]
    return Review(
        stack=stack,
        saw_cloud=False,
        base=base.name,
        digest=_digest("files", stack, planned),
        breaks=tuple(comparison.declared_breaks()),
        findings=_findings(report, base),
        notes=tuple(notes),
        errors=tuple(errors),
        **parts,
    )


def turns_secrets_only(reading: Reading, now: dt.datetime) -> bool:
    """Whether a preview does nothing but what the calendars of secrets and certificates ask for; see `besides_rotation`."""
    return not besides_rotation(reading, now)


def besides_rotation(
    reading: Reading, now: dt.datetime, also: Collection[tuple[str | None, str]] = frozenset()
) -> list[Change]:
    """What a preview does besides what the calendars of secrets and certificates ask for.

    They ask for one more where an app has one, for its new version in Key Vault, and for taking those away that have ended or
    whose overlap is over. Nobody gains or loses access by it.

    Args:
        also: further ones that may be taken away, by app and name in the stack's outputs.
    """
    kept_until = _kept_until(reading)
    held = {(change.app, change.rotated[0]) for change in reading.planned if change.rotated and change.old is not None}

    def rotates(change: Change) -> bool:
        if change.type == VAULT_SECRET:
            return change.operation == "update" and any(change.app == app for app, _ in held)
        if change.rotated is None or (change.app, change.rotated[0]) not in held:
            return False
        _, name = change.rotated
        if change.operation == "delete" and change.old is not None:
            ends = kept_until.get((change.app, name), str(change.old.get("endDate")))
            return (change.app, name) in also or not later(ends, now)
        # One that the outputs do not have is of an `up` that did not end well: nobody has its key.
        again = change.operation == "replace" and change.type == CERTIFICATE and (change.app, name) not in kept_until
        return again or change.operation == "create"

    return [
        change
        for change in reading.planned
        if change.protection_changes
        or (change.changes and not change.type.startswith(("pulumi:", "entrant:")) and not rotates(change))
    ]


def moment(reading: Reading) -> dt.datetime:
    """The moment that the program of a preview read its calendars at."""
    set_to = reading.config.get("entrant:now")
    with contextlib.suppress(Refused):  # the program has said so
        return parse_moment(set_to) if set_to else dt.datetime.now(dt.UTC)
    return dt.datetime.now(dt.UTC)


def _deliveries(reading: Reading, environment: Environment | None) -> Iterator[SettingChange]:
    """Places that are delivered to from now on, or no longer: no resources, so the stack's outputs tell those of before."""
    identities = _identities(reading)
    for name, app in environment.apps.items() if environment else ():
        held = [identities[old] for old in (name, *app.renamed_from) if old in identities]
        before = set(held[0].get("deliver") or ()) if held else set()
        after = {delivery.where: (".".join(map(str, path[:-1])), delivery) for path, delivery in app.delivery_paths()}
        # The outputs do not tell of what is no longer in the file whether a secret or a certificate went there.
        issues = bool(held) and any(entry.get("calendar") for entry in held[0].get("credentials") or ())
        for where in sorted(before ^ after.keys()):
            path, delivery = after.get(where, ("deliver" if issues else "secret.deliver", None))
            old, new = PLACE if where in before else None, delivery.how if delivery else None
            yield SettingChange(app=name, path=f"{path}[{where}]", old=old, new=new)


def _identities(reading: Reading) -> Mapping[str, Any]:
    """The output `identities` of the stack, as it is before."""
    stack = next((change for change in reading.planned if change.type == "pulumi:pulumi:Stack" and change.old), None)
    identities = stack.old.outputs.get("identities") if stack and stack.old else None
    return identities if isinstance(identities, Mapping) else {}


def _kept_until(reading: Reading) -> dict[tuple[str | None, str], str]:
    """Until when secrets and certificates stay that have been succeeded, by app and name, as the stack's outputs have it."""
    return {
        (name, entry["name"]): entry["kept_until"]
        for name, app in _identities(reading).items()
        for entry in app["credentials"]
        if entry.get("kept_until")
    }


_REGISTRATION: Final = {APPLICATION: "", PRINCIPAL: "servicePrincipal."}
"""The types that settings are of, and what their paths begin with."""
_PARTS: Final = {
    "RoleAssignment": "roles",
    "RoleDefinition": "role_definitions",
    "ApplicationCertificate": "certificates",
    "ApplicationPassword": "secret",
    "ApplicationFederatedIdentityCredential": "federated",
    "ApplicationFlexibleFederatedIdentityCredential": "federated",
    "AppRoleAssignment": "permissions",
    "ServicePrincipalDelegatedPermissionGrant": "permissions",
    "GroupMember": "groups",
    "DirectoryRoleAssignment": "directory_roles",
    "ApplicationKnownClients": "api.known_clients",
    "ApplicationPreAuthorized": "api.pre_authorized",
    "ServicePrincipal": "service_principal",
    "Secret": "deliver",
}
"""Types by their last name, and what they are in a file."""
_TOLD_ELSEWHERE: Final = frozenset({"condition", "conditionVersion", "issuer", "subject", "claimsMatchingExpression"})
"""Properties whose changes are told as access or credentials."""


def _settings_of(change: Change) -> set[str]:
    """Which settings of its app a change is about: the first step of their paths."""
    if change.type in resources.CLIENTS:
        return {"preAuthorized", "knownClients"}
    prefix = _REGISTRATION.get(change.type)
    if prefix is None:
        return set()
    return {prefix + first_step(difference.path) for difference in change.differences}


def _details(change: Change) -> Iterator[SettingChange]:
    """What changes in one resource, property by property."""
    part = _PARTS.get(change.type.rpartition(":")[2], "")
    if part and change.part:
        part = f"{part}[{change.part}]"
    for difference in change.differences:
        path = f"{part}.{difference.path}" if part else difference.path
        yield SettingChange(app=change.app or "", path=path, old=difference.old, new=difference.new)


def _before(
    planned: Sequence[Change], after: Picture, environment: Environment | None, before: Environment | None
) -> Picture:
    """What there is before; of what is taken over, registrations and whatever does not stay as it is."""
    found = [replace(each, operation="update") for each in planned if each.operation == "import" and each.old]
    held = resources.of_changes(planned, "old", environment, before)
    there = resources.of_changes([*(c for c in planned if c.operation != "import"), *found], "old", environment, before)
    changed = {key: each for key, each in there.holdings.items() if after.holdings.get(key) != each}
    return Picture(there.registrations, {**changed, **held.holdings})


def _origins(reading: Reading, environment: Environment | None, base: Base | None) -> dict[Identity, Origin]:
    """Of the holdings that are not simply of this change, why they are there."""
    origins: dict[Identity, Origin] = {}
    planned = reading.planned
    if base is not None and environment is not None:
        before = of_environment(base.environment) if base.environment else Picture()
        declared = {held.identity for pair in differing(before, of_environment(environment)) for held in pair if held}
        for side in ("old", "new"):
            everything = resources.of_changes(planned, side, environment, base.environment).holdings
            pending = {held.identity for held in everything.values() if _comparable(held)} - declared
            origins |= dict.fromkeys(pending, "pending")
    found = {change.urn for change in reading.found}
    again = resources.of_changes((change for change in planned if change.urn in found), "new", environment).holdings
    origins |= dict.fromkeys(again, "restored")
    imports = [change for change in planned if change.operation == "import"]
    there = [replace(each, operation="update", old=each.old or each.new) for each in imports]
    found_there = resources.of_changes(there, "old", environment).holdings
    taken = resources.of_changes(imports, "new", environment).holdings
    origins |= {key: "adopted" for key, held in taken.items() if found_there.get(key) == held}
    left = resources.of_changes(
        (change for change in planned if change.operation == "forget"), "old", environment
    ).holdings
    return origins | dict.fromkeys(left, "kept")


def _comparable(held: Holding) -> bool:
    """Whether files and resources have the same name for it: not for owners, which files name in several ways, nor for what
    only the tenant knows the name of.
    """
    return held.kind != "owner" and not is_guid(held.name if held.kind in ("consent", "permission") else "")


def _findings(report: Report | None, base: Base | None) -> tuple[BrokenRule, ...]:
    if report is None or report.environment is None:
        return ()
    from entrant import policy

    before = policy.evaluate(base.environment) if base and base.environment else []
    known = {(finding.app, finding.rule, finding.message) for finding in before}
    found = [
        BrokenRule(
            rule=finding.rule,
            severity=finding.severity,
            app=finding.app,
            place=finding.problem.place if finding.problem else "",
            message=finding.message,
            remediation=finding.remediation,
            reason=finding.reason or "",
            new=(finding.app, finding.rule, finding.message) not in known,
        )
        for finding in policy.evaluate(report.environment, report)
    ]
    return tuple(sorted(found, key=lambda finding: (finding.severity != "error", not finding.new)))


# ------------------------------------------------------------------------------------------------------------------- digest


def _essence(change: Change, environment: Environment | None) -> dict[str, Any]:
    """What makes a change the one that was reviewed: what is done to which resource, from what, to what.

    Where the file does not say who owns something new, whoever makes it does, which is somebody else in a plan.
    """
    inputs = dict(change.new.inputs) if change.new else None
    if inputs is not None and change.operation == "create" and environment is not None:
        app = environment.apps.get(change.app or "")
        if app is not None and not resources.says_owners(app, change.type):
            inputs.pop("owners", None)
    return {
        "urn": change.urn,
        "operation": change.operation,
        "id": change.old.id if change.old else "",
        "inputs": inputs,
        "protected": [side.protected if side else None for side in (change.old, change.new)],
        "differences": [
            (difference.path, difference.kind, difference.replaces, difference.old) for difference in change.differences
        ],
    }


def _digest(kind: str, stack: str, parts: Iterable[Mapping[str, Any]]) -> str:
    """A hash of what would be done, in any order; `kind` keeps plans of Pulumi and differences of files apart."""
    text = "\n".join(
        [kind, stack.rpartition("/")[2], *sorted(json.dumps(part, sort_keys=True, default=str) for part in parts)]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]
