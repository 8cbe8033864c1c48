"""Manual changes in the cloud, in sentences: what a refresh found changed or gone, and what is there and not declared.

`drift` reports it by itself, `review` beside what a change does; both say the same.
"""

import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from entrant.changes import SECRET, Change, Side
from entrant.config.access import known_permissions
from entrant.drift.unmanaged import Unmanaged
from entrant.facts.apis import FIRST_PARTY
from entrant.facts.clouds import CLOUDS
from entrant.facts.directory_roles import find_directory_role
from entrant.facts.roles import find_role
from entrant.facts.scopes import ScopeError, parse_scope
from entrant.markdown import Value
from entrant.outputs import App

State = Literal["gone", "changed", "undeclared"]

KINDS: Mapping[str, str] = {
    "Application": "app registration",
    "ServicePrincipal": "service principal",
    "ApplicationPassword": "secret",
    "ApplicationCertificate": "certificate",
    "ApplicationFederatedIdentityCredential": "federated credential",
    "ApplicationFlexibleFederatedIdentityCredential": "federated credential",
    "AppRoleAssignment": "consent",
    "ServicePrincipalDelegatedPermissionGrant": "consent",
    "RoleAssignment": "role",
    "RoleDefinition": "role definition",
    "GroupMember": "group",
    "DirectoryRoleAssignment": "directory role",
    "ApplicationPreAuthorized": "clients",
    "ApplicationKnownClients": "clients",
}
"""Resource type → kind, as `drift.ignore` in an environment has them."""
_CALLED = {"role": "role assignment", "group": "membership of group"}
_OF_PRINCIPAL = frozenset({"consent", "group", "directory role"})
"""Kinds that go with the service principal."""
_LONGEST = 200
"""Characters of a value that are shown."""


@dataclass(frozen=True, slots=True)
class ManualChange:
    """One difference."""

    app: str | None
    """The app it is about; None for what the environment itself declares."""
    kind: str
    what: str
    """What differs, as `drift.ignore` may name it."""
    state: State
    words: tuple[str, ...]
    """The sentence in parts; a `Value` is a part that comes from elsewhere."""
    id: str
    next_step: str
    old: Any = None
    new: Any = None

    def sentence(self) -> str:
        """The difference in words."""
        return f"{self.app or 'the environment'}: {''.join(self.words)}"

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes it the same difference at a second look."""
        return (self.app, self.kind, self.what, self.state, self.id, self.sentence())


def tell(
    stack: str, found: Iterable[Change], undeclared: Sequence[Unmanaged], apps: Mapping[str, App], now: dt.datetime
) -> list[ManualChange]:
    """All manual changes.

    Args:
        stack: the stack, for next steps.
        found: what a refresh found different, as `changes.Reading.found` has it.
        undeclared: what there is besides, as `unmanaged.look` has it.
        apps: the stack's apps by name, which lend names; without them ids stand in their place.
        now: secrets, and certificates of a calendar, that have ended by then are missed by nobody.
    """
    findings = list(_of_refresh(stack, found, apps, now))
    # What came manually to lists that both see is told once, by name.
    doubled = {(item.app, item.kind) for item in undeclared if item.kind in ("owner", "consent")}
    findings = [
        finding
        for finding in findings
        if not (finding.state == "undeclared" and (finding.app, _doubled(finding)) in doubled)
    ]
    return findings + [_undeclared(stack, item, apps[item.app]) for item in undeclared]


def _doubled(finding: ManualChange) -> str:
    return "owner" if finding.what.startswith("owner ") else finding.kind


# ------------------------------------------------------------------------------------------------- what a refresh tells


def _of_refresh(
    stack: str, found: Iterable[Change], apps: Mapping[str, App], now: dt.datetime
) -> Iterator[ManualChange]:
    gone = [change for change in found if change.operation == "delete"]
    lost = {(change.app, _kind(change)) for change in gone}
    for change in found:
        app, kind = apps.get(change.app or ""), _kind(change)
        registration = (change.app, "app registration") in lost
        if change.operation != "delete":
            yield from _changed(stack, change, kind, app)
        elif kind == "app registration":
            yield _registration_gone(stack, change, app)
        elif not registration and not (kind in _OF_PRINCIPAL and (change.app, "service principal") in lost):
            if change.rotated and _ended(change, now):
                continue  # its calendar takes it away anyway
            what = _name(change, kind, app)
            words = (f"{_CALLED.get(kind, kind)} ", Value(what), " is gone")
            yield ManualChange(change.app, kind, what, "gone", words, _id(change), put_back(stack))


def _kind(change: Change) -> str:
    name = change.type.rsplit(":", 1)[-1]
    return KINDS.get(name, _words(name))


def _id(change: Change) -> str:
    side = change.old or change.new
    return side.id if side else ""


def _ended(change: Change, now: dt.datetime) -> bool:
    end = change.old.get("endDate") if change.old else None
    return isinstance(end, str) and dt.datetime.fromisoformat(end) <= now


def put_back(stack: str) -> str:
    """The next step for all that changed or went."""
    return f"`pulumi up -s {stack} --refresh` puts back what changed or went; or let the environment's file say what is there"


def _registration_gone(stack: str, change: Change, app: App | None) -> ManualChange:
    """Graph keeps a deleted registration for 30 days ("directory deletedItems")."""
    what = _name(change, "app registration", app)
    graph = CLOUDS[app.cloud if app else "public"].graph
    deleted = f"{graph}/v1.0/directory/deletedItems/{_last(_id(change))}"
    step = (
        f"within 30 days `az rest --method POST --uri {deleted}/restore` brings it back with its client id; "
        f"`pulumi up -s {stack} --refresh` makes another one"
    )
    words = ("app registration ", Value(what), " is gone, and with it all that it had")
    return ManualChange(change.app, "app registration", what, "gone", words, _id(change), step)


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _name(change: Change, kind: str, app: App | None) -> str:
    """What a resource is, in words, from the side that is known."""
    side = change.old or change.new
    assert side is not None
    if kind == "role":
        role = str(side.get("roleDefinitionId")).rsplit("/", 1)[-1]
        declared = (
            grant.role for grant in (app.grants if app else ()) if str(grant.assignment_id).lower() == side.id.lower()
        )
        known = find_role(role)
        return f"{next(declared, known.name if known else role)} on {_place(str(side.get('scope')))}"
    if kind == "consent":
        return _consent(change, side, app)
    if kind == "group":
        return str(side.get("groupObjectId"))
    if kind == "directory role":
        directory_role = find_directory_role(str(side.get("roleId")))
        return directory_role.name if directory_role else str(side.get("roleId"))
    if kind == "role definition":
        return str(side.get("roleName"))
    if kind == "certificate" and app:
        declared = (
            entry["name"] for entry in app.credentials if str(entry.get("key_id")).lower() == _last(side.id).lower()
        )
        return f'"{next(declared, change.name)}"'
    shown = side.get("displayName")
    return f'"{shown}"' if shown else change.name


def _consent(change: Change, side: Side, app: App | None) -> str:
    scopes = side.get("claimValues")
    if isinstance(scopes, list):
        return f"{' '.join(map(str, scopes))} (delegated, for every user)"
    declared = [str(entry["name"]) for entry in (app.permissions if app else ())]
    names = [name for name in declared if change.name.endswith((f"/{name}", f"-{name}"))]  # "-": before the next `up`
    return f"{max(names, key=len, default=side.get('appRoleId'))} at {side.get('resourceDisplayName')}"


def _place(scope: str) -> str:
    try:
        return parse_scope("/" + scope.lstrip("/")).name or "/"
    except ScopeError:
        return scope


# ------------------------------------------------------------------------------------------------------- changed properties

_ITEMS: Mapping[str, str] = {
    "redirectUris": "redirect URI",
    "identifierUris": "identifier URI",
    "owners": "owner",
    "tags": "tag",
    "claimValues": "delegated permission",
    "knownClientIds": "known client",
    "permissionIds": "permission",
    "audiences": "audience",
    "appRoles": "app role",
    "oauth2PermissionScopes": "exposed scope",
    "groupMembershipClaims": "group claim",
    "notificationEmailAddresses": "notification address",
    "requiredResourceAccesses": "requested permission",
    "accessTokens": "optional claim of access tokens",
    "idTokens": "optional claim of ID tokens",
    "saml2Tokens": "optional claim of SAML tokens",
    "actions": "action",
    "notActions": "excluded action",
    "dataActions": "data action",
    "notDataActions": "excluded data action",
    "assignableScopes": "assignable scope",
}
"""List property → what one item of it is called."""
_PLATFORMS: Mapping[str, str] = {
    "web": " (web)",
    "singlePageApplication": " (single-page)",
    "publicClient": " (public client)",
}
_KEYS = ("value", "name", "id")
"""What tells the items of a list of objects apart: the first that all have."""


@dataclass(frozen=True, slots=True)
class _Edit:
    """One edit of a property: what, in words, and the values before and after (None: not there)."""

    what: str
    state: State
    words: tuple[str, ...]
    old: Any = None
    new: Any = None


def _changed(stack: str, change: Change, kind: str, app: App | None) -> Iterator[ManualChange]:
    """What was edited of one resource. A part of an app is named; of the registration itself it goes without saying."""
    name = "" if kind in ("app registration", "service principal") else _name(change, kind, app)
    before: tuple[str, ...] = ()
    if kind != "app registration":
        before = (f"{_CALLED.get(kind, kind)} ", Value(name), ": ") if name else (f"{kind}: ",)
    paths = dict.fromkeys(difference.path.split("[", 1)[0] for difference in change.differences)
    edits = [edit for path in paths for edit in _change_edits(change, path)]
    for edit in edits or [_unlike(next(iter(paths), ""))]:
        what = f"{name}: {edit.what}" if name else edit.what
        words = (*before, *edit.words)
        yield ManualChange(change.app, kind, what, edit.state, words, _id(change), put_back(stack), edit.old, edit.new)


def _change_edits(change: Change, path: str) -> list[_Edit]:
    """The edits of one property, as the provider told it before and now, else as it was asked for.

    The inputs that the azuread provider reads back hold no more items of a list than there were, so they come second.
    """
    sides = [(side.outputs, side.inputs) if side else ({}, {}) for side in (change.old, change.new)]
    for old, new in zip(*sides, strict=True):
        before, after = _value(old, path), _value(new, path)
        if edits := list(_edits(path, before, after)):
            return edits
        if SECRET in (before, after):
            return [_unlike(path)]
    return []


def _unlike(path: str) -> _Edit:
    """For a value that is secret, or that the provider tells apart and does not show."""
    word = _words(path.rsplit(".", 1)[-1]) or "something"
    return _Edit(word, "changed", (f"{word} is not as declared",))


def _value(properties: Mapping[str, Any], path: str) -> Any:
    """The property at a dotted path; None where there is none."""
    value: Any = properties
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _edits(path: str, old: Any, new: Any) -> Iterator[_Edit]:
    if isinstance(old, Mapping) or isinstance(new, Mapping):
        old, new = old or {}, new or {}
        for name in dict.fromkeys((*old, *new)):
            yield from _edits(f"{path}.{name}", old.get(name), new.get(name))
    elif isinstance(old, list) or isinstance(new, list):
        yield from _item_edits(path, old or [], new or [])
    elif old != new and not (old in (None, "", False) and new in (None, "", False)):
        word = _words(path.rsplit(".", 1)[-1])
        before, after = (Value(f'"{shown}"' if " " in (shown := _shown(value)) else shown) for value in (old, new))
        if old in (None, ""):
            words: tuple[str, ...] = (f"{word} was set to ", after, " manually")
        elif new in (None, ""):
            words = (f"{word} was taken away; it was ", before)
        else:
            words = (f"{word} changed from ", before, " to ", after)
        yield _Edit(word, "changed", words, old, new)


def _item_edits(path: str, old: list[Any], new: list[Any]) -> Iterator[_Edit]:
    """Edits of a list whose order means nothing, as of all lists of the directory."""
    first, _, last = path.rpartition(".")
    word = _ITEMS.get(last, _words(last))
    where = _PLATFORMS.get(first, "") if last == "redirectUris" else ""
    before, after = _by_name(last, old), _by_name(last, new)
    for name in before.keys() - after.keys():
        words = (f"{word} ", Value(name), f"{where} was taken away")
        yield _Edit(f"{word} {name}", "changed", words, old=before[name])
    for name in after.keys() - before.keys():
        words = (f"{word} ", Value(name), f"{where} was added manually")
        yield _Edit(f"{word} {name}", "undeclared", words, new=after[name])
    for name in before.keys() & after.keys():
        for edit in _edits("", before[name], after[name]) if isinstance(before[name], Mapping) else ():
            yield _Edit(f"{word} {name}", "changed", (f"{word} ", Value(name), ": ", *edit.words), edit.old, edit.new)


def _by_name(property_: str, items: list[Any]) -> dict[str, Any]:
    """The items by what they are called."""
    if property_ == "requiredResourceAccesses":
        return {name: name for item in items for name in _requested(item)}
    objects = [item for item in items if isinstance(item, Mapping)]
    key = next((key for key in _KEYS if objects and all(item.get(key) for item in objects)), None)
    return {_shown(item[key] if key and isinstance(item, Mapping) else item): item for item in items}


def _requested(item: Mapping[str, Any]) -> Iterator[str]:
    """The permissions that a registration asks one API for, by name where it is known."""
    client = str(item.get("resourceAppId"))
    api = next((name for name, known in FIRST_PARTY.items() if known == client), client)
    for access in item.get("resourceAccesses") or ():
        kind = "delegated" if access.get("type") == "Scope" else "application"
        _, name = known_permissions().get((kind, str(access.get("id"))), ("", access.get("id")))
        yield f"{name} ({kind}) of {api}"


def _words(name: str) -> str:
    """`accountEnabled` is `account enabled`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()


def _shown(value: Any) -> str:
    if value == SECRET:
        return "a secret value"
    if isinstance(value, bool):
        return str(value).lower()
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


# ---------------------------------------------------------------------------------------------------- what came manually


def _undeclared(stack: str, item: Unmanaged, app: App) -> ManualChange:
    words = (f"{_CALLED.get(item.kind, item.kind)} ", Value(item.what), " was added manually")
    if item.kind == "orphan":
        words = ("orphaned role assignment: ", Value(item.what), "")
    step = f"{_removal(stack, item, app)}; or declare it"
    return ManualChange(item.app, item.kind, item.what, "undeclared", words, item.id, step)


def _removal(stack: str, item: Unmanaged, app: App) -> str:
    """What takes it away."""
    graph = f"az rest --method DELETE --uri {CLOUDS[app.cloud].graph}/v1.0"
    principal = f"{graph}/servicePrincipals/{app.service_principal_id}"
    of_principal = item.what.endswith("(of the service principal)")
    side = "sp" if of_principal else "app"
    key = f"az ad {side} credential delete --id {app.client_id} --key-id {item.id}"
    removed_by = {
        "secret": key,
        "certificate": f"{key} --cert",
        "federated credential": "az ad app federated-credential delete"
        f" --id {app.client_id} --federated-credential-id {item.id}",
        "role": f"az role assignment delete --ids {item.id}",
        "orphan": f"az role assignment delete --ids {item.id}",
        "owner": f"{principal}/owners/{item.id}/\\$ref"
        if of_principal
        else f"az ad app owner remove --id {app.client_id} --owner-object-id {item.id}",
        "group": f"az ad group member remove --group {item.id} --member-id {app.service_principal_id}",
        "directory role": f"{graph}/roleManagement/directory/roleAssignments/{item.id}",
        "consent": f"{principal}/appRoleAssignments/{item.id}",
    }
    if "(delegated" in item.what:
        grant = f"{graph}/oauth2PermissionGrants/{item.id}"
        return f"`pulumi up -s {stack} --refresh` sets a declared grant back, `{grant}` removes it whole"
    return f"`{removed_by[item.kind]}` removes it"
