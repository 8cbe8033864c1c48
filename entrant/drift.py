"""Where the cloud differs from what was put up: what changed or went, as a refresh sees it, and what came, which no refresh sees.

A refresh in preview compares Pulumi's state with the cloud as an `up` would, so that what only Azure computes does not count, and
writes nothing; the program is not run, so that secrets that are due do not count either. `unmanaged` looks for the rest.
"""

import datetime as dt
import fnmatch
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from config import Ignored
from entrant import changes, clouds, engine, markdown, unmanaged
from entrant import deployer as deployers
from entrant.changes import SECRET, Change, Side
from entrant.deployer import Deployer
from entrant.outputs import App, Outputs
from entrant.unmanaged import Unmanaged
from facts.apis import FIRST_PARTY, GRAPH, graph_permissions
from facts.clouds import CLOUDS
from facts.directory_roles import find_directory_role
from facts.roles import find_role
from facts.scopes import ScopeError, parse_scope

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


class Value(str):
    """A part of a sentence that comes from elsewhere, to be shown as it is."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Finding:
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


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, what of it is known, and what there is to say about the looking itself."""

    stack: str
    findings: tuple[Finding, ...]
    ignored: tuple[tuple[Finding, Ignored], ...]
    notes: tuple[str, ...]


def look(
    stack: str,
    ignore: Sequence[Ignored],
    *,
    now: dt.datetime,
    settle: float,
    cwd: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Report:
    """Compare a stack with the cloud.

    Args:
        stack: the stack, which is not changed, nor its history.
        ignore: the differences that are known.
        now: the moment that their `until` is compared with, and the end of secrets.
        settle: seconds to wait before what was found is looked for again; the directory may answer from a place that a change
            has not reached, so only what is seen twice counts. With 0 what is seen once does.

    Raises:
        StackNotFoundError, EngineError: Pulumi could not refresh.
        RefusedError, UnreachableError: the directory or Resource Manager failed.
    """
    outputs = engine.stack_outputs(stack, secrets=False, cwd=cwd, environ=environ)
    who = deployers.find(clouds.resolve(outputs.cloud, environ), environ)
    found, unseen = _once(stack, outputs, who, now, cwd, environ)
    notes = [f"not looked at: {what}" for what in unseen]
    if found and settle:
        time.sleep(settle)
        again, _ = _once(stack, outputs, who, now, cwd, environ)
        twice = {finding.key for finding in again}
        passing = [finding for finding in found if finding.key not in twice]
        notes += [f"seen once and not again: {finding.sentence()}" for finding in passing]
        found = [finding for finding in found if finding.key in twice]
    return _sorted_out(stack, found, ignore, now, notes)


def _once(
    stack: str, outputs: Outputs, who: Deployer | None, now: dt.datetime, cwd: Path | None, environ: Mapping[str, str]
) -> tuple[list[Finding], tuple[str, ...]]:
    reading = changes.Reading()
    with ThreadPoolExecutor(1) as pool:
        beside = pool.submit(unmanaged.look, outputs, who) if who else None
        # Pulumi takes this variable for `--yes`, which it refuses beside `--preview-only`.
        asking = {name: value for name, value in environ.items() if name != "PULUMI_SKIP_CONFIRMATIONS"}
        command = ["refresh", "--preview-only", "--stack", stack]
        engine.operate(command, cwd=cwd, environ=asking, on_event=reading.on_event)
        seen = (
            beside.result()
            if beside
            else unmanaged.Look((), ("what is undeclared: there is no deployer (az login, or ARM_* variables)",))
        )
    differences = list(_of_state(stack, reading.found, outputs, now))
    if seen.found:
        # What came by hand to lists that both see is told once, by name.
        doubled = {(item.app, item.kind) for item in seen.found if item.kind in ("owner", "consent")}
        differences = [
            finding
            for finding in differences
            if not (finding.state == "undeclared" and (finding.app, _doubled(finding)) in doubled)
        ]
    differences += [_undeclared(stack, item, outputs) for item in seen.found]
    return differences, seen.unseen


def _doubled(finding: Finding) -> str:
    return "owner" if finding.what.startswith("owner ") else finding.kind


# ------------------------------------------------------------------------------------------------------------ what is known


def fits(ignored: Ignored, finding: Finding) -> bool:
    """Whether a difference is one that the entry is about."""
    if ignored.app is not None and ignored.app != finding.app:
        return False
    if ignored.kind is not None and ignored.kind != finding.kind:
        return False
    if ignored.what is None:
        return True
    wanted, what = ignored.what.lower(), finding.what.lower()
    return wanted in what or fnmatch.fnmatchcase(what, wanted) or wanted == finding.id.lower()


def _sorted_out(
    stack: str, found: Iterable[Finding], ignore: Sequence[Ignored], now: dt.datetime, notes: list[str]
) -> Report:
    counted: list[Finding] = []
    known: list[tuple[Finding, Ignored]] = []
    used: set[int] = set()
    for finding in found:
        fitting = [index for index, ignored in enumerate(ignore) if fits(ignored, finding)]
        used.update(fitting)
        valid = [ignore[index] for index in fitting if ignore[index].until > now]
        if valid:
            known.append((finding, valid[0]))
            continue
        counted.append(finding)
        for index in fitting:
            ended = f"drift.ignore[{index}] ended on {ignore[index].until:%Y-%m-%d} ({ignore[index].reason})"
            notes.append(f"{ended}; counted again: {finding.sentence()}")
    notes += [
        f"drift.ignore[{index}] fits nothing ({ignored.reason}); take it out of the file"
        for index, ignored in enumerate(ignore)
        if index not in used
    ]
    counted.sort(key=lambda finding: (finding.app or "", finding.kind, finding.sentence()))
    return Report(stack, tuple(counted), tuple(known), tuple(notes))


# ------------------------------------------------------------------------------------------------- what a refresh tells


def _of_state(stack: str, found: Iterable[Change], outputs: Outputs, now: dt.datetime) -> Iterator[Finding]:
    gone = [change for change in found if change.operation == "delete"]
    lost = {(change.app, _kind(change)) for change in gone}
    for change in found:
        app, kind = outputs.apps.get(change.app or ""), _kind(change)
        registration = (change.app, "app registration") in lost
        if change.operation != "delete":
            yield from _changed(stack, change, kind, app)
        elif kind == "app registration":
            yield _registration_gone(stack, change, app)
        elif not registration and not (kind in _OF_PRINCIPAL and (change.app, "service principal") in lost):
            if kind == "secret" and _ended(change, now):
                continue  # its calendar takes it away anyway
            what = _name(change, kind, app)
            words = (f"{_CALLED.get(kind, kind)} ", Value(what), " is gone")
            yield Finding(change.app, kind, what, "gone", words, _id(change), _put_back(stack))


def _kind(change: Change) -> str:
    name = change.type.rsplit(":", 1)[-1]
    return KINDS.get(name, _words(name))


def _id(change: Change) -> str:
    side = change.old or change.new
    return side.id if side else ""


def _ended(change: Change, now: dt.datetime) -> bool:
    end = change.old.get("endDate") if change.old else None
    return isinstance(end, str) and dt.datetime.fromisoformat(end) <= now


def _put_back(stack: str) -> str:
    """The next step for all that changed or went."""
    return f"`pulumi up -s {stack} --refresh` puts back what changed or went; or let the environment's file say what is there"


def _registration_gone(stack: str, change: Change, app: App | None) -> Finding:
    """Graph keeps a deleted registration for 30 days ("directory deletedItems")."""
    what = _name(change, "app registration", app)
    graph = CLOUDS[app.cloud if app else "public"].graph
    deleted = f"{graph}/v1.0/directory/deletedItems/{_last(_id(change))}"
    step = (
        f"within 30 days `az rest --method POST --uri {deleted}/restore` brings it back with its client id; "
        f"`pulumi up -s {stack} --refresh` makes another one"
    )
    words = ("app registration ", Value(what), " is gone, and with it all that it had")
    return Finding(change.app, "app registration", what, "gone", words, _id(change), step)


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
    names = [entry["name"] for entry in (app.permissions if app else ()) if change.name.endswith(f"-{entry['name']}")]
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


def _changed(stack: str, change: Change, kind: str, app: App | None) -> Iterator[Finding]:
    """What was edited of one resource. A part of an app is named; of the registration itself it goes without saying."""
    name = "" if kind in ("app registration", "service principal") else _name(change, kind, app)
    before: tuple[str, ...] = ()
    if kind != "app registration":
        before = (f"{_CALLED.get(kind, kind)} ", Value(name), ": ") if name else (f"{kind}: ",)
    paths = dict.fromkeys(difference.path.split("[", 1)[0] for difference in change.differences)
    edits = [edit for path in paths for edit in _told(change, path)]
    for edit in edits or [_unlike(next(iter(paths), ""))]:
        what = f"{name}: {edit.what}" if name else edit.what
        words = (*before, *edit.words)
        yield Finding(change.app, kind, what, edit.state, words, _id(change), _put_back(stack), edit.old, edit.new)


def _told(change: Change, path: str) -> list[_Edit]:
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
            words: tuple[str, ...] = (f"{word} was set to ", after, " by hand")
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
        words = (f"{word} ", Value(name), f"{where} was added by hand")
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
    names = _graph_names() if client == GRAPH else {}
    for access in item.get("resourceAccesses") or ():
        kind = "delegated" if access.get("type") == "Scope" else "application"
        yield f"{names.get(str(access.get('id')), access.get('id'))} ({kind}) of {api}"


@cache
def _graph_names() -> dict[str, str]:
    offered = graph_permissions()
    return {value: name for name, value in offered.application.items()} | {
        permission.id: name for name, permission in offered.delegated.items()
    }


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


# ---------------------------------------------------------------------------------------------------- what came by hand


def _undeclared(stack: str, item: Unmanaged, outputs: Outputs) -> Finding:
    words = (f"{_CALLED.get(item.kind, item.kind)} ", Value(item.what), " was added by hand")
    if item.kind == "orphan":
        words = ("orphaned role assignment: ", Value(item.what), "")
    step = f"{_removal(stack, item, outputs.apps[item.app])}; or declare it"
    return Finding(item.app, item.kind, item.what, "undeclared", words, item.id, step)


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


# ---------------------------------------------------------------------------------------------------------------- reports


def text(report: Report) -> str:
    """Lines for a terminal."""
    lines = []
    for finding in report.findings:
        lines.append(f"✗ {finding.sentence()}")
        if finding.next_step != _put_back(report.stack):
            lines.append(f"    {finding.next_step}")
    if any(finding.next_step == _put_back(report.stack) for finding in report.findings):
        lines.append(_put_back(report.stack))
    for finding, ignored in report.ignored:
        lines.append(f"… {finding.sentence()}: known until {ignored.until:%Y-%m-%d}: {ignored.reason}")
    lines += [f"! {note}" for note in report.notes]
    if not report.findings:
        lines.append(f"✓ {report.stack}: no drift")
    return "\n".join(lines)


def as_json(report: Report) -> str:
    """A document of `entrant/drift.schema.json`."""

    def record(finding: Finding) -> dict[str, Any]:
        names = ("app", "kind", "what", "state", "id", "old", "new", "next_step")
        return {name: getattr(finding, name) for name in names} | {"sentence": finding.sentence()}

    known = [
        record(finding) | {"reason": ignored.reason, "until": f"{ignored.until:%Y-%m-%dT%H:%M:%SZ}"}
        for finding, ignored in report.ignored
    ]
    document = {
        "stack": report.stack,
        "drift": [record(finding) for finding in report.findings],
        "ignored": known,
        "notes": list(report.notes),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def as_markdown(report: Report) -> str:
    """For a pull request, an issue or a job's summary; whole differences only, as many as forges take."""
    count, general = len(report.findings), _put_back(report.stack)
    title = f"{count} difference{'' if count == 1 else 's'}" if count else "none"
    head = f"<!-- entrant-drift stack={report.stack} -->\n### Drift of {markdown.code(report.stack)}: {title}\n"
    entries = [
        f"- {_marked(finding)}{'' if finding.next_step == general else f'<br>{_step(finding.next_step)}'}"
        for finding in report.findings
    ]
    known = [
        f"- {_marked(finding)}: known until {ignored.until:%Y-%m-%d}: {markdown.text(ignored.reason)}"
        for finding, ignored in report.ignored
    ]
    notes = [f"- {markdown.text(note)}" for note in report.notes]
    sections = [markdown.Section(lines=entries)] if entries else []
    if any(finding.next_step == general for finding in report.findings):
        sections.append(markdown.Section(lines=[_step(general)], whole=True))
    for heading, lines in (("Known", known), ("Notes", notes)):
        if lines:
            sections.append(markdown.Section(lines=markdown.details(f"{heading}: {len(lines)}", lines), whole=True))
    comment = markdown.Comment(head, sections)
    return comment.render(rest="More is left out here; `--format json` lists it all.\n")[0]


def _marked(finding: Finding) -> str:
    words = (markdown.code(part) if isinstance(part, Value) else part for part in finding.words)
    return f"**{finding.app or 'the environment'}**: {''.join(words)}"


def _step(text: str) -> str:
    """A next step, whose commands stand between backticks already, in words of ours."""
    return "".join(markdown.code(part) if index % 2 else part for index, part in enumerate(text.split("`")))


FORMATS = {"text": text, "markdown": as_markdown, "json": as_json}
"""Renderers by the name that `--format` takes."""
