"""What a change of an environment means for access: who gains and loses what, which credentials change, what breaks.

Two pictures are compared: before and after. With the cloud they come from the resources of a preview; without it from the YAML
of two commits. Everything after that is the same.
"""

import contextlib
import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from config import Environment, Report
from entrant import by_hand
from entrant.changes import UNKNOWN, Change, Reading
from entrant.outputs import App
from entrant.picture import CLIENTS, CREDENTIALS, GRANTS, Holding, Picture, of_changes, of_environment, scope_words
from entrant.unmanaged import Unmanaged
from facts import risks
from facts.directory_roles import find_directory_role
from facts.roles import describe
from facts.scopes import ScopeError, is_guid, parse_scope

SOON: Final = dt.timedelta(days=30)
"""Credentials that end within this are mentioned."""

_SECRET: Final = ":ApplicationPassword"
Identity = tuple[str, str, str]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Breakage(_Part):
    """Something that stops working for somebody, or that Pulumi will refuse to do."""

    app: str
    text: str
    client_id: str = ""
    """The client id that stops working, where one does."""


class AppChange(_Part):
    """An app that comes, goes or gets a new client id."""

    app: str
    display_name: str
    change: Literal["added", "removed", "kept", "adopted", "replaced", "restored"]
    """`kept`: no longer declared, and left where it is. `adopted`: existed, and is declared from now on. `restored`: was deleted
    by other hands, and is made anew."""
    client_id: str = ""
    """As it is before the change; empty where it is not known."""


class AccessChange(_Part):
    """Something that an app may do from now on, or no longer; or who owns it."""

    app: str
    change: Literal["gained", "lost", "changed"]
    kind: Literal["role", "directory role", "consent", "permission", "group", "owner"]
    name: str
    scope: str = ""
    """Role: the scope's id. Consent and permission: the API. Directory role: the administrative unit."""
    where: str = ""
    """The same in words."""
    allows: str = ""
    """Role: what it allows, in words."""
    detail: str = ""
    """Role: its condition. Consent and permission: `application` or `delegated`."""
    was: str = ""
    """Changed: what is different from before, in words."""
    danger: str = ""
    """Why it deserves a second look; empty when it does not."""
    reason: str = ""
    """What the environment's file says about that."""
    origin: Literal["", "adopted", "kept", "restored", "pending"] = ""
    """Where it is not simply of this change. `adopted`: existed, and is taken over. `kept`: stays in the cloud, no longer declared.
    `restored`: other hands changed or removed it, and it is put back. `pending`: the files do not differ in it; it was declared
    before and not applied yet."""


class CredentialChange(_Part):
    """A secret, certificate or federated credential that comes, goes or ends."""

    app: str
    change: Literal["created", "removed", "replaced", "changed", "ending"]
    kind: Literal["secret", "certificate", "federated credential"]
    name: str
    ends: str = ""
    """When it ends (RFC 3339, UTC); empty where it does not, or it is not known."""
    detail: str = ""
    """What else there is to know, in words."""
    routine: bool = False
    """Whether a secret is turned over by its calendar and nobody is left without one."""


class SettingChange(_Part):
    """Another setting of a registration or its service principal."""

    app: str
    path: str
    old: Any = None
    new: Any = None


class Outside(_Part):
    """Something that other hands did in the cloud."""

    app: str
    """Empty for what the environment itself declares."""
    what: by_hand.State
    text: str
    id: str = ""
    """Of what was changed, is gone or was added, as the cloud has it."""


class Finding(_Part):
    """A policy rule that the environment breaks."""

    rule: str
    severity: Literal["error", "warning"]
    app: str
    place: str
    """File, line and column."""
    message: str
    remediation: str
    reason: str = ""
    """What the file says in defence."""
    new: bool = True
    """False when the base breaks it too."""


class ResourceChange(_Part):
    """A resource that the operation touches."""

    operation: str
    type: str
    name: str
    properties: tuple[str, ...] = ()
    """The properties that differ."""
    replaces: tuple[str, ...] = ()
    """Those that it is replaced for."""


class Review(_Part):
    """A review of one stack."""

    version: Literal[1] = 1
    stack: str
    saw_cloud: bool
    """Whether the review knows what is in the cloud; else it compares two commits."""
    base: str = ""
    """What it is compared with, as the caller named it."""
    digest: str
    """Of what would be done, without times and ids that are not known yet: the same for the same plan."""
    breaks: tuple[Breakage, ...] = ()
    apps: tuple[AppChange, ...] = ()
    access: tuple[AccessChange, ...] = ()
    credentials: tuple[CredentialChange, ...] = ()
    settings: tuple[SettingChange, ...] = ()
    findings: tuple[Finding, ...] = ()
    outside: tuple[Outside, ...] = ()
    resources: tuple[ResourceChange, ...] = ()
    notes: tuple[str, ...] = ()
    """What there is to say about the review itself."""
    errors: tuple[str, ...] = ()
    """Why the preview failed, if it did; the rest then is what was seen until then."""

    @property
    def changed(self) -> bool:
        """Whether anything would change."""
        parts = (self.breaks, self.apps, self.access, self.settings, self.resources)
        return any(parts) or any(entry.change != "ending" for entry in self.credentials)

    def count(self, change: str) -> int:
        """How much access is `gained`, `lost` or `changed`; what is taken over was there before, and what is left stays there."""
        return sum(entry.change == change and entry.origin not in ("adopted", "kept") for entry in self.access)


def json_schema() -> dict[str, Any]:
    """The schema of a review as JSON; `entrant/review.schema.json` holds it for others."""
    made = Review.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "Review"}


# ------------------------------------------------------------------------------------------------------------------ reviewing


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
        apps: the stack's apps by name, as its outputs have them; they lend names to what other hands did.
    """
    environment = report.environment if report else None
    applied = [change for change in reading.planned if change.changes and not change.type.startswith("pulumi:")]
    comparison = _Comparison(
        of_changes(reading.planned, "old", environment, base.environment if base else None),
        of_changes(reading.planned, "new", environment),
        environment,
        applied,
        _origins(reading, environment, base),
        now,
    )
    missing = {change.urn: _client_id(change) for change in reading.found if change.new is None}
    edited = {
        change.app
        for change in applied
        if change.type in CLIENTS
        or (change.differences and change.type.endswith((":Application", ":ServicePrincipal")))
    }
    return Review(
        stack=stack,
        saw_cloud=True,
        base=base.name if base else "",
        digest=_digest("plan", stack, map(_essence, (c for c in reading.planned if c.changes or c.protection_changes))),
        breaks=tuple(comparison.planned_breaks(missing, edited)),
        apps=tuple(comparison.apps({change.urn for change in reading.found})),
        access=tuple(comparison.access()),
        credentials=tuple(comparison.credentials()),
        settings=tuple(comparison.settings(edited)),
        findings=_findings(report, base),
        outside=tuple(
            Outside(app=entry.app or "", what=entry.state, text="".join(entry.words), id=entry.id)
            for entry in by_hand.tell(stack, reading.found, undeclared, apps, now)
        ),
        resources=tuple(
            ResourceChange(
                operation=change.operation,
                type=change.type,
                name=change.name,
                properties=tuple(difference.path for difference in change.differences),
                replaces=change.replaces,
            )
            for change in applied
            if not change.type.startswith("entrant:")
        ),
        notes=tuple(notes),
        errors=tuple(errors),
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
    comparison = _Comparison(before, after, environment, (), {}, now)
    parts: dict[str, tuple[_Part, ...]] = {
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
        breaks=tuple(comparison.declared_breaks(base.environment)),
        findings=_findings(report, base),
        notes=tuple(notes),
        errors=tuple(errors),
        **parts,
    )


def turns_secrets_only(reading: Reading, now: dt.datetime) -> bool:
    """Whether a preview does nothing but what the calendars of secrets ask for.

    That is: a secret more for an app that has one, and secrets taken away that have ended. Nobody gains or loses access by it.
    """
    held = {change.app for change in reading.planned if change.type.endswith(_SECRET) and change.old is not None}
    for change in reading.planned:
        if change.protection_changes:
            return False
        if not change.changes or change.type.startswith(("pulumi:", "entrant:")):
            continue
        if not change.type.endswith(_SECRET) or change.app not in held:
            return False
        if change.operation == "delete":
            if change.old is None or _later(str(change.old.get("endDate")), now):
                return False
        elif change.operation != "create":
            return False
    return True


def _differing(before: Picture, after: Picture) -> Iterator[tuple[Holding | None, Holding | None]]:
    for identity in sorted(before.holdings.keys() | after.holdings.keys()):
        old, new = before.holdings.get(identity), after.holdings.get(identity)
        if old != new or (old and new and old.permissions != new.permissions):
            yield old, new


def _origins(
    reading: Reading, environment: Environment | None, base: Base | None
) -> dict[Identity, Literal["adopted", "kept", "restored", "pending"]]:
    """Of the holdings that are not simply of this change, why they are there."""
    origins: dict[Identity, Literal["adopted", "kept", "restored", "pending"]] = {}
    planned = reading.planned
    if base is not None and environment is not None:
        before = of_environment(base.environment) if base.environment else Picture()
        declared = {held.identity for pair in _differing(before, of_environment(environment)) for held in pair if held}
        for side in ("old", "new"):
            everything = of_changes(planned, side, environment, base.environment).holdings
            pending = {held.identity for held in everything.values() if _comparable(held)} - declared
            origins |= dict.fromkeys(pending, "pending")
    found = {change.urn for change in reading.found}
    again = of_changes((change for change in planned if change.urn in found), "new", environment).holdings
    origins |= dict.fromkeys(again, "restored")
    taken = of_changes((change for change in planned if change.operation == "import"), "new", environment).holdings
    origins |= dict.fromkeys(taken, "adopted")
    left = of_changes((change for change in planned if change.operation == "forget"), "old", environment).holdings
    return origins | dict.fromkeys(left, "kept")


def _comparable(held: Holding) -> bool:
    """Whether files and resources have the same name for it: not for owners, which files name in several ways, nor for what
    only the tenant knows the name of.
    """
    return held.kind != "owner" and not is_guid(held.name if held.kind in ("consent", "permission") else "")


# ----------------------------------------------------------------------------------------------------------------- comparing


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Two pictures, the resources that change (none without the cloud), and what their differences mean."""

    before: Picture
    after: Picture
    environment: Environment | None
    applied: Sequence[Change]
    origins: Mapping[Identity, Literal["adopted", "kept", "restored", "pending"]]
    now: dt.datetime
    gone: set[str] = field(default_factory=set)
    """Apps whose client id stops working: what becomes of their credentials goes without saying."""

    def apps(self, found: AbstractSet[str] | tuple[()]) -> Iterator[AppChange]:
        """Apps that come, go or change their client id; `found` are the resources that a refresh found different."""
        changes = {change.app: change for change in self.applied if change.type.endswith(":Application")}
        before, after = self.before.registrations, self.after.registrations
        for app in sorted(before.keys() | after.keys()):
            old, new, change = before.get(app), after.get(app), changes.get(app)
            shown = new or old
            assert shown is not None
            operation = change.operation if change else ""
            what: Literal["added", "removed", "kept", "adopted", "replaced", "restored"]
            if operation == "import":
                what = "adopted"
            elif operation == "replace":
                what = "replaced"
            elif old is None:
                what = "restored" if change and change.urn in found else "added"
            elif new is None:
                kept = self._keeps(app) if change is None else operation == "forget"
                what = "kept" if kept else "removed"
            else:
                continue
            client_id = _client_id(change) if change else ""
            yield AppChange(app=app, display_name=shown.display_name, change=what, client_id=client_id)

    def _keeps(self, app: str) -> bool:
        """Whether the registration of a removed app stays, as its last file says."""
        return self.before.registrations[app].kept

    def access(self) -> Iterator[AccessChange]:
        """Everything but credentials, the apps' ids and settings."""
        consented = {
            (held.app, held.key)
            for picture in (self.before, self.after)
            for held in picture.holdings.values()
            if held.kind == "consent"
        }
        consented_of = {(app, key.partition("|")[0]) for app, key in consented}
        for old, new in _differing(self.before, self.after):
            held = new or old
            assert held is not None
            if held.kind not in (*GRANTS, "owner", "permission"):
                continue
            if held.kind == "permission" and (
                (held.app, held.key) in consented
                or (is_guid(held.name) and (held.app, held.scope.lower()) in consented_of)
            ):
                continue
            if held.kind in ("owner", "permission") and held.app not in self.after.registrations:
                continue
            danger = danger_of(new) if new else ""
            app = self.environment.apps.get(held.app) if self.environment else None
            yield AccessChange(
                app=held.app,
                change="gained" if old is None else "lost" if new is None else "changed",
                kind=held.kind,
                name=held.name,
                scope=held.scope,
                where=_where(held),
                allows=describe(held.permissions) if held.permissions else "",
                detail=held.detail,
                was=_was(old, new) if old and new else "",
                danger=danger,
                reason=(app.reason or "") if danger and app else "",
                origin=self.origins.get(held.identity, ""),
            )

    def credentials(self) -> Iterator[CredentialChange]:
        """Credentials that come, go or end soon; those of apps that go are gone with them."""
        replaced = {change.name for change in self.applied if change.operation == "replace"}
        seen = set()
        for old, new in _differing(self.before, self.after):
            held = new or old
            assert held is not None
            if held.kind in CREDENTIALS and held.app in self.after.registrations:
                seen.add(held.identity)
                yield self._credential(old, new, again=held.kind == "secret" and held.key in replaced)
        for identity, held in sorted(self.after.holdings.items()):
            if held.kind not in CREDENTIALS or identity in seen:
                continue
            if held.kind == "secret" and held.key in replaced:
                yield self._credential(held, held, again=True)
            elif held.ends and self.now <= _moment(held.ends) <= self.now + SOON:
                yield _changed(held, "ending", self._next(held))

    def _next(self, held: Holding) -> str:
        """What comes after a credential that ends soon."""
        later = [other for other in self._of_kind(self.after, held) if other.ends > held.ends]
        if later:
            return f"{later[-1].name} is there already"
        app = self.environment.apps.get(held.app) if self.environment else None
        if held.kind == "secret" and app is not None and app.secret:
            return f"an `up` from {(_moment(held.ends) - app.secret.overlap):%Y-%m-%d} on makes the next one"
        return "nothing that ends later is declared"

    def _credential(self, old: Holding | None, new: Holding | None, *, again: bool) -> CredentialChange:
        if old and new:
            if again:
                return _changed(new, "replaced", "a new value; the one before is taken away")
            was = f"was {old.detail}" if old.detail != new.detail else f"ended {old.ends[:10]} before"
            return _changed(new, "changed", f"{new.detail}; {was}" if new.detail else was)
        if new:
            earlier = self._of_kind(self.before, new)
            if new.kind != "secret" or not new.ends or not earlier:
                return _changed(new, "created", new.detail)
            last = earlier[-1]
            stays = last.identity in self.after.holdings
            if last.name[:10] == new.name[:10]:
                return _changed(new, "created", f"out of turn, in place of {last.name}")
            if stays:
                detail = f"turned over by its calendar; {last.name} works until {last.ends[:10]}"
            else:
                detail = f"in place of {last.name}"
            return _changed(new, "created", detail, routine=stays or _ended(last, self.now))
        assert old is not None
        ended = _ended(old, self.now)
        detail = "it has ended" if ended else "" if old.kind == "secret" else old.detail
        return _changed(old, "removed", detail, routine=ended and old.kind == "secret")

    def _of_kind(self, picture: Picture, like: Holding) -> list[Holding]:
        """The app's credentials of a kind, the one that ends first first."""
        alike = [held for held in picture.holdings.values() if (held.app, held.kind) == (like.app, like.kind)]
        return sorted(alike, key=lambda held: (held.ends, held.key))

    def settings(self, touched: AbstractSet[str | None] | None) -> Iterator[SettingChange]:
        """Other settings of apps that stay; of those in `touched` only, when the preview says which are."""
        before, after = self.before.registrations, self.after.registrations
        for app in sorted(before.keys() & after.keys()):
            old, new = before[app], after[app]
            if old.protected != new.protected:
                yield SettingChange(app=app, path="protect", old=old.protected, new=new.protected)
            if touched is not None and app not in touched:
                continue
            if old.display_name != new.display_name:
                yield SettingChange(app=app, path="display_name", old=old.display_name, new=new.display_name)
            for path in sorted(old.settings.keys() | new.settings.keys()):
                was, will_be = old.settings.get(path), new.settings.get(path)
                if was != will_be:
                    yield SettingChange(app=app, path=path, old=was, new=will_be)

    def planned_breaks(self, missing: Mapping[str, str], edited: AbstractSet[str | None]) -> Iterator[Breakage]:
        """What the resources that change break; `missing` are those that a refresh did not find any more, with their client ids,
        `edited` the apps whose settings change.
        """
        yield from self._client_ids(missing)
        for change in self.applied:
            if change.app is None or change.app in self.gone or change.operation not in ("delete", "replace"):
                continue
            name = change.name.removeprefix(f"{change.app}-")
            what = change.type.rsplit(":", 1)[-1]
            said = ""
            if what == "ServicePrincipal":
                said = "its service principal goes: its roles and consents are gone until they are given again"
            elif what == "RoleAssignment" and change.operation == "replace":
                said = f"its role assignment {name} is taken away and given anew: for some minutes it does not work"
            elif what == "ApplicationPassword":
                ends = str(change.old.get("endDate")) if change.old else ""
                if _later(ends, self.now):
                    name = str(change.old.get("displayName")).removeprefix("entrant ") if change.old else name
                    said = f"its client secret {name} is taken away before it ends on {ends[:10]}"
                    said += ": who still uses it cannot sign in"
            elif what == "ApplicationCertificate":
                if change.old is None or _later(str(change.old.get("endDate")), self.now):
                    said = f"its certificate {name} is taken away: who still uses it cannot sign in"
            elif what.endswith("FederatedIdentityCredential"):
                said = f"its federated credential {name} is taken away: whoever it trusted cannot sign in as it"
            if said:
                yield Breakage(app=change.app, text=said)
        yield from self._addresses(edited)

    def _client_ids(self, missing: Mapping[str, str]) -> Iterator[Breakage]:
        """Client ids that stop working, and apps that Pulumi will refuse to delete."""
        refused = set()
        for change in self.applied:
            goes = change.operation in ("delete", "forget")
            if change.app is None or not goes or not change.protected or change.app in refused:
                continue
            refused.add(change.app)
            self.gone.add(change.app)
            text = "it is protected: Pulumi refuses to delete it; if that is meant, take `protect` away in a change of its own"
            yield Breakage(app=change.app, text=text)
        for change in self.applied:
            if change.app is None or change.app in refused or not change.type.endswith(":Application"):
                continue
            client_id = _client_id(change) or missing.get(change.urn, "")
            consumers = f"consumers of client id {client_id} break" if client_id else "whoever signs in as it breaks"
            if change.operation == "replace":
                why = "another registration is taken over" if change.imported else ", ".join(change.replaces)
                text = f"its registration is replaced{f' ({why})' if why else ''}: {consumers} until they have the new client id"
                text += " and new credentials"
            elif change.operation == "delete":
                heir = self._heir(change)
                text = f"it is deleted: {consumers}" + (
                    f"; {heir} gets its name, and another client id" if heir else ""
                )
            elif change.operation == "create" and change.urn in missing:
                text = (
                    "its registration was deleted by other hands and is made anew: consumers of the old client id break"
                )
                text += "; within 30 days it can be restored instead, with its client id"
            else:
                continue
            self.gone.add(change.app)
            yield Breakage(app=change.app, text=text, client_id=client_id)

    def _heir(self, change: Change) -> str:
        """The app that is made with the display name of one that is deleted."""
        mine = self.before.registrations.get(change.app or "")
        made = self.after.registrations.keys() - self.before.registrations.keys()
        return next(
            (app for app in sorted(made) if mine and self.after.registrations[app].display_name == mine.display_name),
            "",
        )

    def _addresses(self, touched: AbstractSet[str | None] | None) -> Iterator[Breakage]:
        """What others know an app by and that is taken away."""
        for setting in self.settings(touched):
            path = setting.path.replace("_", "").lower()
            if path in ("serviceprincipal.enabled", "serviceprincipal.accountenabled") and setting.new is False:
                yield Breakage(app=setting.app, text="it is disabled: nobody can sign in as it")
            if setting.new is None and setting.app not in self.gone:
                if path.startswith("identifieruris["):
                    yield Breakage(app=setting.app, text=f"tokens for {setting.old} are no longer given")
                elif "redirecturis[" in path:
                    yield Breakage(app=setting.app, text=f"sign-ins that return to {setting.old} fail")

    def declared_breaks(self, base: Environment | None) -> Iterator[Breakage]:
        """What the files alone say will break."""
        after = self.after.registrations
        for app, old in sorted(self.before.registrations.items()):
            new = after.get(app)
            text = ""
            if new is None and old.protected:
                text = "it is protected: Pulumi refuses to delete it; if that is meant, take `protect` away in a change of its own"
            elif new is None and not old.kept:
                heirs = [other for other in sorted(after.keys() - self.before.registrations.keys())
                         if after[other].display_name == old.display_name]  # fmt: skip
                text = "it is deleted: consumers of its client id break"
                text += f"; {heirs[0]} gets its name, and another client id" if heirs else ""
            elif new is not None and old.adopts != new.adopts and new.adopts:
                text = "another registration is taken over in its place: consumers of its client id break"
            if text:
                self.gone.add(app)
                yield Breakage(app=app, text=text)
        for before, now in _differing(self.before, self.after):
            if before is None or before.kind not in CREDENTIALS or before.app not in after or before.app in self.gone:
                continue
            named = "client secret" if before.kind == "secret" else f"{before.kind} {before.name}"
            if now is None:
                if not before.ends or _later(before.ends, self.now):
                    yield Breakage(app=before.app, text=f"its {named} is taken away: who still uses it cannot sign in")
            elif before.kind == "federated credential":
                yield Breakage(
                    app=before.app, text=f"its {named} trusts another: {before.detail} cannot sign in as it any more"
                )
        yield from self._addresses(None)


def _client_id(change: Change) -> str:
    value = change.old.outputs.get("clientId") if change.old else None
    return "" if value in (None, UNKNOWN) else str(value)


def _changed(
    held: Holding,
    change: Literal["created", "removed", "replaced", "changed", "ending"],
    detail: str,
    *,
    routine: bool = False,
) -> CredentialChange:
    return CredentialChange(
        app=held.app,
        change=change,
        kind=held.kind,
        name=held.name,
        ends=held.ends,
        detail=detail,
        routine=routine,
    )


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _ended(held: Holding, now: dt.datetime) -> bool:
    return bool(held.ends) and not _later(held.ends, now)


def _later(text: str, now: dt.datetime) -> bool:
    """Whether a time is after now; one that cannot be read counts as later."""
    try:
        return _moment(text) > now
    except (ValueError, TypeError):
        return True


def _where(held: Holding) -> str:
    if held.kind == "role":
        return scope_words(held.scope)
    if held.kind == "directory role":
        return f"administrative unit {held.scope}" if held.scope else "the whole directory"
    return held.scope


def _was(old: Holding, new: Holding) -> str:
    """What is different about something that stays."""
    said = []
    if old.detail != new.detail:
        said.append(f"was {old.detail}" if old.detail else "was without a condition")
    if old.permissions != new.permissions and old.permissions is not None:
        said.append(f"it allowed less or other things before: {describe(old.permissions)}")
    if old.name != new.name:
        said.append(f"was called {old.name}")
    return "; ".join(said)


def danger_of(held: Holding) -> str:
    """Why a holding deserves a second look; empty when it does not."""
    said: list[str | None] = []
    match held.kind:
        case "role":
            if not held.detail:
                said.append(risks.of_role(held.name, held.key.partition("|")[0], held.permissions or ()))
            with contextlib.suppress(ScopeError):  # not known yet
                said.append(risks.of_scope(held.name, parse_scope(held.scope)))
        case "consent" | "permission":
            said.append(risks.of_permission(held.name) if held.scope == "Microsoft Graph" else None)
        case "directory role":
            role = find_directory_role(held.name)
            said.append(risks.of_directory_role(role) if role else None)
    return "; ".join(filter(None, said))


def _findings(report: Report | None, base: Base | None) -> tuple[Finding, ...]:
    if report is None or report.environment is None:
        return ()
    import policy

    before = policy.evaluate(base.environment) if base and base.environment else []
    known = {(finding.app, finding.rule, finding.message) for finding in before}
    found = [
        Finding(
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


def _essence(change: Change) -> dict[str, Any]:
    """What makes a change the one that was reviewed: what is done to which resource, from what, to what."""
    return {
        "urn": change.urn,
        "operation": change.operation,
        "id": change.old.id if change.old else "",
        "inputs": change.new.inputs if change.new else None,
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
