"""Two pictures of who may do what, before and after a change, and what their differences mean."""

import contextlib
import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from entrant.changes import UNKNOWN, Change
from entrant.config import App, Environment
from entrant.config.rotation import due_by, handed_out
from entrant.facts import pulumi_types as types
from entrant.facts import risks
from entrant.facts.contract import SECRET_NAMES
from entrant.facts.directory_roles import find_directory_role
from entrant.facts.roles import describe
from entrant.facts.scopes import ScopeError, is_guid, parse_scope
from entrant.review.document import AccessChange, AppChange, Breakage, CredentialChange, SettingChange
from entrant.review.snapshot import CREDENTIALS, GRANTS, Holding, Identity, Picture, moment_words, scope_words

SOON: Final = dt.timedelta(days=30)
"""Credentials that end within this are mentioned."""
Origin = Literal["adopted", "kept", "restored", "pending"]
"""Why a holding is there that is not simply of this change, as `AccessChange.origin` has it."""
_NO_NEXT: Final = "nothing that ends later is declared"
_PROTECTED: Final = (
    "it is protected: Pulumi refuses to delete it; if that is meant, take `protect` away in a change of its own"
)


def differing(before: Picture, after: Picture) -> Iterator[tuple[Holding | None, Holding | None]]:
    """What is not the same in both, before and after (None: not there)."""
    for identity in sorted(before.holdings.keys() | after.holdings.keys()):
        old, new = before.holdings.get(identity), after.holdings.get(identity)
        if old != new or (old and new and old.permissions != new.permissions):
            yield old, new


def _unlike(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """The paths whose values are not the same in both, with them."""
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            yield path, before.get(path), after.get(path)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two pictures, the resources that change (none without the cloud), and what their differences mean."""

    before: Picture
    after: Picture
    environment: Environment | None
    applied: Sequence[Change]
    origins: Mapping[Identity, Origin]
    now: dt.datetime
    kept_until: Mapping[tuple[str | None, str], str] = field(default_factory=dict)
    """Until when secrets stay that have been succeeded, by app and name (RFC 3339)."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """The stack's outputs as they are before, as far as they tell of credentials."""
    former: Mapping[str, str] = field(default_factory=dict)
    """Apps that have another name than before, and which."""
    gone: set[str] = field(default_factory=set)
    """Apps whose client id stops working: what becomes of their credentials goes without saying."""

    def apps(self, found: AbstractSet[str] | tuple[()]) -> Iterator[AppChange]:
        """Apps that come, go or change their client id; `found` are the resources that a refresh found different."""
        changes = {change.app: change for change in self.applied if change.type == types.APPLICATION}
        before, after = self.before.registrations, self.after.registrations
        for app in sorted(before.keys() | after.keys()):
            old, new, change = before.get(app), after.get(app), changes.get(app)
            shown = new or old
            assert shown is not None
            operation = change.operation if change else ""
            what: Literal["added", "removed", "kept", "adopted", "replaced", "restored"]
            if app in self.former:
                yield AppChange(app=app, display_name=shown.display_name, change="renamed", was=self.former[app])
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
            client_id = client_id_of(change) if change else ""
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
        for old, new in differing(self.before, self.after):
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
        for old, new in differing(self.before, self.after):
            held = new or old
            assert held is not None
            if held.kind in CREDENTIALS and held.app in self.after.registrations:
                seen.add(held.identity)
                if new is None and _same_but_for_its_name(held, self.after):
                    continue  # told with its new name
                earlier = _same_but_for_its_name(held, self.before) if old is None else None
                if earlier is not None and earlier.identity not in self.after.holdings:
                    yield _changed(held, "changed", f"{held.detail}; was called {earlier.name}")
                else:
                    yield self._credential(old, new, again=bool(held.calendar) and held.key in replaced)
        for identity, held in sorted(self.after.holdings.items()):
            if held.kind not in CREDENTIALS or identity in seen:
                continue
            if held.calendar and held.key in replaced:
                yield self._credential(held, held, again=True)
            elif held.ends and self.now <= _moment(held.ends) <= self.now + SOON:
                yield _changed(held, "ending", self._next(held))

    def _next(self, held: Holding) -> str:
        """What comes after a credential that ends soon."""
        later = [each for each in _of_kind(self.after, held) if each.ends > held.ends]
        if later and not self._kept_until(held.app, later[-1].name, ""):  # else it has a successor that ends sooner
            known = later[-1].identity in self.before.holdings
            return f"{later[-1].name} {'is there already' if known else 'is made to take its place'}"
        app = self.environment.apps.get(held.app) if self.environment else None
        following = _following(held, app, self.outputs, self.now) if app else None
        return f"an `up` from {moment_words(following)} on makes the next one" if following else _NO_NEXT

    def _credential(self, old: Holding | None, new: Holding | None, *, again: bool) -> CredentialChange:
        if old and new:
            if again:
                fresh = "a new value" if new.kind == "secret" else "a new key"
                return _changed(new, "replaced", f"{fresh}; the one before is taken away")
            was = f"was {old.detail}" if old.detail != new.detail else f"ended {old.ends[:10]} before"
            return _changed(new, "changed", f"{new.detail}; {was}" if new.detail else was)
        if new:
            if self.origins.get(new.identity) == "adopted":
                return _changed(new, "adopted", new.detail)
            earlier = _of_kind(self.before, new)
            if not new.calendar or not new.ends or not earlier:
                return _changed(new, "created", new.detail)
            staying = [held for held in earlier if held.identity in self.after.holdings]
            last = (staying or earlier)[-1]
            if not staying:
                return _changed(new, "created", f"in place of {last.name}", routine=_ended(last, self.now))
            app = self.environment.apps.get(new.app) if self.environment else None
            calendar = app.calendars.get(new.calendar) if app else None
            overlap_ends = self.now + calendar.overlap if calendar else _moment(last.ends)
            if _moment(last.ends) <= overlap_ends:
                detail = f"rotated by its calendar; {last.name} works until {last.ends[:10]}"
                return _changed(new, "created", detail, routine=True)
            until = f"works until the first `up` from {overlap_ends:%Y-%m-%d} on"
            return _changed(new, "created", f"out of turn, beside {last.name}, which {until}")
        assert old is not None
        detail = old.detail
        if old.calendar:
            overlapped = not later(self._kept_until(old.app, old.name, old.ends), self.now)
            detail = "it has ended" if _ended(old, self.now) else "its overlap is over" if overlapped else ""
        return _changed(old, "removed", detail, routine=bool(detail) and bool(old.calendar))

    def _kept_until(self, app: str, name: str, ends: str) -> str:
        """Until when a secret or a certificate stays, by its name without the mark."""
        return self.kept_until.get((app, f"{SECRET_NAMES}{name}"), self.kept_until.get((app, name), ends))

    def settings(self, touched: Mapping[str | None, AbstractSet[str]] | None) -> Iterator[SettingChange]:
        """Other settings of apps that stay; with `touched`, only the settings that a preview changes: first steps by app."""
        if touched is None:
            for path, was, will_be in _unlike(self.before.settings, self.after.settings):
                yield SettingChange(app="", path=path, old=was, new=will_be)
        before, after = self.before.registrations, self.after.registrations
        for app in sorted(before.keys() & after.keys()):
            old, new = before[app], after[app]
            if old.protected != new.protected:
                yield SettingChange(app=app, path="protect", old=old.protected, new=new.protected)
            steps = None if touched is None else touched.get(app, frozenset())
            if old.display_name != new.display_name and (steps is None or "displayName" in steps):
                yield SettingChange(app=app, path="display_name", old=old.display_name, new=new.display_name)
            for path, was, will_be in _unlike(old.settings, new.settings):
                if steps is None or first_step(path) in steps:
                    yield SettingChange(app=app, path=path, old=was, new=will_be)

    def planned_breaks(
        self, missing: Mapping[str, str], edited: Mapping[str | None, AbstractSet[str]]
    ) -> Iterator[Breakage]:
        """What the resources that change break; `missing` are those that a refresh did not find any more, with their client ids,
        `edited` the settings that change: first steps of their paths by app.
        """
        yield from self._client_ids(missing)
        for change in self.applied:
            if change.app is None or change.app in self.gone or change.operation not in ("delete", "replace"):
                continue
            name = change.part
            text = ""
            if change.type == types.PRINCIPAL:
                text = "its service principal goes: its roles and consents are gone until they are given again"
            elif change.type == types.ROLE_ASSIGNMENT and change.operation == "replace":
                text = f"its role assignment {name} is taken away and given anew: for some minutes it does not work"
            elif change.rotated:
                kind = "client secret" if change.type == types.PASSWORD else "certificate"
                name = change.rotated[1].removeprefix(SECRET_NAMES)
                ends = str(change.old.get("endDate")) if change.old else ""
                stays = self._kept_until(change.app, name, ends)
                if later(stays, self.now):
                    when = f"it ends on {ends[:10]}" if stays == ends else f"its overlap ends on {stays[:10]}"
                    text = f"its {kind} {name} is taken away before {when}: who still uses it cannot sign in"
            elif change.type == types.CERTIFICATE and (
                change.old is None or later(str(change.old.get("endDate")), self.now)
            ):
                text = f"its certificate {name} is taken away: who still uses it cannot sign in"
            if text:
                yield Breakage(app=change.app, text=text)
        yield from self._trusts()
        yield from self._addresses(edited)

    def _trusts(self) -> Iterator[Breakage]:
        """Whom federated credentials no longer trust, and whom they do not trust for a moment: no trust is there twice, so the
        credential that has it goes, or gets another, before the next one comes.
        """
        for old, new in differing(self.before, self.after):
            if old is None or old.kind != "federated credential" or (new and new.detail == old.detail):
                continue
            if old.app not in self.after.registrations or old.app in self.gone:
                continue
            what = f"its federated credential {old.name}"
            if heir := _same_but_for_its_name(old, self.after):
                text = f"{old.detail} cannot sign in as it for some seconds: {what} goes before {heir.name} comes"
            elif new:
                text = f"{what} trusts another: {old.detail} cannot sign in as it any more"
            else:
                text = f"{what} is taken away: {old.detail} cannot sign in as it any more"
            yield Breakage(app=old.app, text=text)

    def _client_ids(self, missing: Mapping[str, str]) -> Iterator[Breakage]:
        """Client ids that stop working, and apps that Pulumi will refuse to delete."""
        refused, heirs = set(), self._heirs()
        for change in self.applied:
            goes = change.operation in ("delete", "forget")
            if change.app is None or not goes or not change.protected or change.app in refused:
                continue
            refused.add(change.app)
            self.gone.add(change.app)
            yield Breakage(app=change.app, text=_PROTECTED)
        for change in self.applied:
            if change.app is None or change.app in refused or change.type != types.APPLICATION:
                continue
            client_id = client_id_of(change) or missing.get(change.urn, "")
            consumers = f"consumers of client id {client_id} break" if client_id else "whoever signs in as it breaks"
            if change.operation == "replace":
                why = "another registration is taken over" if change.imported else ", ".join(change.replaces)
                text = f"its registration is replaced{f' ({why})' if why else ''}: {consumers} until they have the new client id"
                text += " and new credentials"
            elif change.operation == "delete":
                text = f"it is deleted: {consumers}{heirs.get(change.app, '')}"
            elif change.operation == "create" and change.urn in missing:
                text = "its registration was deleted manually and is made anew: consumers of the old client id break"
                text += "; within 30 days it can be restored instead, with its client id"
            else:
                continue
            self.gone.add(change.app)
            yield Breakage(app=change.app, text=text, client_id=client_id)

    def _heirs(self) -> dict[str, str]:
        """For the end of a sentence about an app that is deleted: which one is made with its display name; by app, if one is."""
        before, after = self.before.registrations, self.after.registrations
        made = {after[app].display_name: app for app in sorted(after.keys() - before.keys(), reverse=True)}
        return {
            app: f"; {made[old.display_name]} gets its name, and another client id"
            for app, old in before.items()
            if old.display_name in made
        }

    def _addresses(self, touched: Mapping[str | None, AbstractSet[str]] | None) -> Iterator[Breakage]:
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

    def declared_breaks(self) -> Iterator[Breakage]:
        """What the files alone say will break."""
        after, heirs = self.after.registrations, self._heirs()
        for app, old in sorted(self.before.registrations.items()):
            new = after.get(app)
            text = ""
            if new is None and old.protected:
                text = _PROTECTED
            elif new is None and not old.kept:
                text = f"it is deleted: consumers of its client id break{heirs.get(app, '')}"
            elif new is not None and old.adopts != new.adopts and new.adopts:
                text = "another registration is taken over in its place: consumers of its client id break"
            if text:
                self.gone.add(app)
                yield Breakage(app=app, text=text)
        for before, now in differing(self.before, self.after):
            if now is not None or before is None or before.kind not in ("secret", "certificate"):
                continue
            if before.app not in after or before.app in self.gone or _same_but_for_its_name(before, self.after):
                continue
            named = "client secret" if before.kind == "secret" else f"certificate {before.name}"
            if not before.ends or later(before.ends, self.now):
                yield Breakage(app=before.app, text=f"its {named} is taken away: who still uses it cannot sign in")
        yield from self._trusts()
        yield from self._addresses(None)


def _same_but_for_its_name(held: Holding, picture: Picture) -> Holding | None:
    """The credential of a picture that proves the same as one of the other, which Azure takes once: a trust, a key pair."""
    alike = _of_kind(picture, held) if held.detail and not held.calendar else ()
    return next((other for other in alike if other.detail == held.detail), None)


def _of_kind(picture: Picture, like: Holding) -> Sequence[Holding]:
    """The app's credentials of a kind, and of the same calendar, the one that ends first first."""
    return [each for each in picture.credentials.get((like.app, like.kind), ()) if each.calendar == like.calendar]


def first_step(path: str) -> str:
    """The property that a path begins with; of a service principal's, with its prefix: `web`, `servicePrincipal.notes`."""
    found = re.match(r"(servicePrincipal\.)?[^.\[]+", path)
    return found[0] if found else path


def client_id_of(change: Change) -> str:
    """The client id of a registration before a change; empty where it is not known."""
    value = change.old.outputs.get("clientId") if change.old else None
    return "" if value in (None, UNKNOWN) else str(value)


def _following(held: Holding, app: App, outputs: Mapping[str, Any], now: dt.datetime) -> dt.datetime | None:
    """From when on an `up` makes the next of a calendar, by the rules of the program; None where the file has no such calendar."""
    if (calendar := app.calendars.get(held.calendar)) is None:
        return None
    ends, there = _moment(held.ends), handed_out(outputs, (held.app, *app.renamed_from), held.calendar)
    found = next((each for each in due_by(calendar, now, there) if each.ends == ends), None)
    return found.successor if found else ends - calendar.overlap


def _changed(
    held: Holding,
    change: Literal["created", "adopted", "removed", "replaced", "changed", "ending"],
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
    return bool(held.ends) and not later(held.ends, now)


def later(text: str, now: dt.datetime) -> bool:
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
    differences = []
    if old.detail != new.detail:
        differences.append(f"was {old.detail}" if old.detail else "was without a condition")
    if old.permissions != new.permissions and old.permissions is not None:
        differences.append(f"it allowed less or other things before: {describe(old.permissions)}")
    if old.name != new.name:
        differences.append(f"was called {old.name}")
    return "; ".join(differences)


def danger_of(held: Holding) -> str:
    """Why a holding deserves a second look; empty when it does not."""
    reasons: list[str | None] = []
    match held.kind:
        case "role":
            guid, conditioned = held.key.partition("|")[0], bool(held.detail)
            reasons.append(risks.of_role(held.name, guid, held.permissions or (), conditioned=conditioned))
            with contextlib.suppress(ScopeError):  # not known yet
                reasons.append(risks.of_scope(held.name, parse_scope(held.scope)))
        case "consent" | "permission":
            reasons.append(risks.of_permission(held.name, held.scope))
        case "directory role":
            role = find_directory_role(held.name)
            reasons.append(risks.of_directory_role(role) if role else None)
    return "; ".join(filter(None, reasons))
