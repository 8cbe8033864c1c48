"""What a change of an environment means for access: who gains and loses what, which credentials change, what breaks.

Two pictures are compared: before and after. With the cloud they come from the resources of a preview; without it from the YAML
of two commits. Everything after that is the same.
"""

import datetime as dt
import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

import config
from config import Environment
from entrant.changes import SECRET, UNKNOWN, Change, Reading
from entrant.errors import ConfigurationError
from entrant.picture import CREDENTIALS, GRANTS, Holding, Picture, of_changes, of_environment, scope_words
from facts import limits
from facts.roles import ASSIGN, describe, permits
from facts.scopes import ScopeError, parse_scope

SOON = dt.timedelta(days=30)
"""Credentials that end within this are mentioned."""

_SECRET = "azuread:index/applicationPassword:ApplicationPassword"
_WIDE = ("root", "management_group", "subscription")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Breakage(_Part):
    """Something that stops working for somebody."""

    app: str
    text: str


class AppChange(_Part):
    """An app that comes, goes or gets a new client id."""

    app: str
    display_name: str
    change: Literal["added", "removed", "kept", "adopted", "replaced"]
    """`kept`: no longer declared, and left where it is. `adopted`: existed, and is declared from now on."""
    client_id: str = ""


class AccessChange(_Part):
    """Something that an app may do from now on, or no longer."""

    app: str
    change: Literal["gained", "lost", "changed"]
    kind: str
    name: str
    scope: str = ""
    where: str = ""
    """The scope, the API or the administrative unit in words."""
    allows: str = ""
    detail: str = ""
    danger: str = ""
    """Why it deserves a second look; empty when it does not."""
    reason: str = ""
    """What the YAML says about that."""
    pending: bool = False
    """Whether it is not of this change: it was declared before and has not been applied, or was altered in the cloud."""


class CredentialChange(_Part):
    """A secret, certificate or federated credential that comes, goes or ends."""

    app: str
    change: Literal["created", "removed", "replaced", "changed", "ending"]
    kind: str
    name: str
    ends: str = ""
    detail: str = ""


class SettingChange(_Part):
    """Another setting of a registration."""

    app: str
    path: str
    old: Any = None
    new: Any = None


class Outside(_Part):
    """Something that was changed in the cloud by other hands."""

    app: str
    text: str


class Finding(_Part):
    """A policy rule that is not kept."""

    rule: str
    severity: str
    app: str
    place: str
    message: str
    remediation: str


class ResourceChange(_Part):
    """A resource that the operation touches."""

    operation: str
    type: str
    name: str
    properties: tuple[str, ...] = ()


class Review(_Part):
    """A review of one stack."""

    version: Literal[1] = 1
    stack: str
    saw_cloud: bool
    """Whether the review knows what is in the cloud; else it compares two commits."""
    base: str = ""
    """The commit compared with, if one was."""
    digest: str
    """Of what would be done, without times and ids that are not known yet."""
    breaks: tuple[Breakage, ...] = ()
    apps: tuple[AppChange, ...] = ()
    access: tuple[AccessChange, ...] = ()
    credentials: tuple[CredentialChange, ...] = ()
    settings: tuple[SettingChange, ...] = ()
    findings: tuple[Finding, ...] = ()
    outside: tuple[Outside, ...] = ()
    resources: tuple[ResourceChange, ...] = ()
    errors: tuple[str, ...] = ()
    """Why the preview failed, if it did."""

    @property
    def changed(self) -> bool:
        """Whether anything would change."""
        return bool(self.apps or self.access or self.settings or self.resources or self.errors) or any(
            credential.change != "ending" for credential in self.credentials
        )

    def count(self, change: str) -> int:
        """How much access is `gained`, `lost` or `changed`."""
        return sum(entry.change == change for entry in self.access)


JSON_SCHEMA: Annotated[dict[str, Any], Field()] = Review.model_json_schema() | {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Entrant review",
}
"""The schema of a review as JSON; `entrant/review.schema.json` holds it for others."""


# ------------------------------------------------------------------------------------------------------------------ reviewing


def of_preview(
    stack: str,
    reading: Reading,
    environment: Environment | None,
    *,
    base: Environment | None = None,
    base_name: str = "",
    errors: Sequence[str] = (),
    now: dt.datetime,
) -> Review:
    """The review of a preview.

    Args:
        stack: its name.
        reading: what the engine's events said.
        environment: the environment as it is to be; None when it cannot be read.
        base: the environment of the commit that the change is against, to tell the change from what was pending before.
        base_name: that commit.
        errors: why the preview failed, if it did.
        now: what is soon is counted from here.
    """
    before, after = (of_changes(reading.planned, side, environment) for side in ("old", "new"))
    own = None
    if base is not None and environment is not None:
        own = {holding.identity for _, holding in _compare(of_environment(base), of_environment(environment))}
    applied = [change for change in reading.planned if change.changes and not change.type.startswith("pulumi:")]
    return Review(
        stack=stack,
        saw_cloud=True,
        base=base_name,
        digest=_digest(_essence(change) for change in applied),
        breaks=tuple(_breaks(applied, now)),
        apps=tuple(_apps(before, after, applied)),
        access=tuple(_access(before, after, environment, own)),
        credentials=tuple(_credentials(before, after, applied, now)),
        settings=tuple(_planned_settings(applied)),
        findings=_findings(environment),
        outside=tuple(_outside(reading.found)),
        resources=tuple(
            ResourceChange(
                operation=change.operation,
                type=change.type,
                name=change.name,
                properties=tuple(difference.path for difference in change.differences),
            )
            for change in applied
            if not change.type.startswith("entrant:")
        ),
        errors=tuple(errors),
    )


def of_commits(
    stack: str, base: Environment | None, environment: Environment | None, *, base_name: str, now: dt.datetime
) -> Review:
    """The review of the YAML alone; None stands for an environment that is not there."""
    before, after = (Picture() if each is None else of_environment(each) for each in (base, environment))
    access = tuple(_access(before, after, environment, None))
    apps = tuple(_apps(before, after, ()))
    credentials = tuple(_credentials(before, after, (), now))
    settings = tuple(_declared_settings(before, after))
    parts = [part.model_dump() for group in (apps, access, credentials, settings) for part in group]
    return Review(
        stack=stack,
        saw_cloud=False,
        base=base_name,
        digest=_digest(part for part in parts if part.get("change") != "ending"),
        breaks=tuple(_declared_breaks(before, after, base)),
        apps=apps,
        access=access,
        credentials=credentials,
        settings=settings,
        findings=_findings(environment),
    )


def turns_secrets_only(reading: Reading, now: dt.datetime) -> bool:
    """Whether a preview does nothing but what the calendars of secrets ask for.

    That is: a secret more for an app that has one, and secrets taken away that have ended. Nobody gains or loses access by it.
    """
    held = {change.app for change in reading.planned if change.type == _SECRET and change.old is not None}
    for change in reading.planned:
        if not change.changes or change.type.startswith(("pulumi:", "entrant:")):
            continue
        if change.type != _SECRET or change.app not in held:
            return False
        if change.operation == "delete":
            ends = dt.datetime.fromisoformat(str(change.old.get("endDate"))) if change.old else now
            if ends > now:
                return False
        elif change.operation != "create":
            return False
    return True


def at_commit(stack: str, ref: str, root: Path) -> Environment | None:
    """The environment as it was at a commit; None when it was not there.

    Raises:
        ConfigurationError: there is no such commit, or the environment cannot be read there.
    """
    done = subprocess.run(
        ["git", "archive", "--format=tar", "--end-of-options", ref, "."], cwd=root, capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise ConfigurationError(f"git cannot read the commit {ref}: {said}", next_step="fetch it, or name another one")
    with tempfile.TemporaryDirectory(prefix="entrant-") as folder:
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(folder, filter="data")
        then = Path(folder)
        if not config.environment_file(stack, root=then).exists():
            return None
        report = config.check(stack, root=then)
        if report.environment is None:
            first = report.errors[0]
            message = f"the environment {stack} cannot be read at {ref}: {first.message}"
            raise ConfigurationError(message, next_step="name a commit at which `entrant validate` passes")
        return report.environment


# -------------------------------------------------------------------------------------------------------------------- parts


def _compare(before: Picture, after: Picture) -> Iterator[tuple[str, Holding]]:
    for identity in sorted(before.holdings.keys() | after.holdings.keys()):
        old, new = before.holdings.get(identity), after.holdings.get(identity)
        if old is None and new is not None:
            yield "gained", new
        elif new is None and old is not None:
            yield "lost", old
        elif old != new and new is not None:
            yield "changed", new


def _apps(before: Picture, after: Picture, changes: Iterable[Change]) -> Iterator[AppChange]:
    operations = {change.app: change.operation for change in changes if change.type.endswith(":Application")}
    for app in sorted(before.registrations.keys() | after.registrations.keys()):
        old, new = before.registrations.get(app), after.registrations.get(app)
        shown = new or old
        assert shown is not None
        change: Literal["added", "removed", "kept", "adopted", "replaced"] | None = None
        if operations.get(app) == "import":
            change = "adopted"
        elif old is None:
            change = "added"
        elif new is None:
            change = "kept" if operations.get(app) == "forget" else "removed"
        elif operations.get(app) == "replace":
            change = "replaced"
        if change:
            client_id = old.client_id if old else shown.client_id
            yield AppChange(app=app, display_name=shown.display_name, change=change, client_id=client_id)


def _access(
    before: Picture, after: Picture, environment: Environment | None, own: set[tuple[str, str, str]] | None
) -> Iterator[AccessChange]:
    consented = {
        (holding.app, holding.key)
        for picture in (before, after)
        for holding in picture.holdings.values()
        if holding.kind == "consent"
    }
    for change, holding in _compare(before, after):
        if holding.kind not in (*GRANTS, "owner", "permission"):
            continue
        if holding.kind == "permission" and (holding.app, holding.key) in consented:
            continue
        danger = "" if change == "lost" else danger_of(holding)
        app = environment.apps.get(holding.app) if environment else None
        yield AccessChange(
            app=holding.app,
            change=change,
            kind=holding.kind,
            name=holding.name,
            scope=holding.scope,
            where=_where(holding),
            allows=describe(holding.permissions) if holding.permissions else "",
            detail=holding.detail,
            danger=danger,
            reason=(app.reason or "") if danger and app else "",
            pending=own is not None and holding.identity not in own,
        )


def _where(holding: Holding) -> str:
    if holding.kind == "role":
        return scope_words(holding.scope)
    if holding.kind == "directory role":
        return f"administrative unit {holding.scope}" if holding.scope else "the whole directory"
    return holding.scope


def danger_of(holding: Holding) -> str:
    """Why a holding deserves a second look; empty when it does not."""
    if holding.kind == "role":
        said = []
        guid = holding.key.partition("|")[0]
        assigns = guid in limits.PRIVILEGED_ROLES or permits(holding.permissions or (), ASSIGN)
        if assigns and not holding.detail:
            said.append("can give itself any role")
        try:
            scope = parse_scope(holding.scope)
        except ScopeError:
            return "; ".join(said)
        if scope.kind in _WIDE:
            said.append("reaches a whole " + ("tenant" if scope.kind == "root" else scope.kind.replace("_", " ")))
        return "; ".join(said)
    if holding.kind in ("consent", "permission") and holding.name in limits.PRIVILEGED_PERMISSIONS:
        return "can take over accounts or the directory"
    if holding.kind == "directory role":
        from facts.directory_roles import find_directory_role

        role = find_directory_role(holding.name)
        return "a privileged directory role" if role is not None and role.privileged else ""
    return ""


def _credentials(
    before: Picture, after: Picture, changes: Iterable[Change], now: dt.datetime
) -> Iterator[CredentialChange]:
    replaced = {change.name for change in changes if change.operation == "replace"}
    words: Mapping[str, Literal["created", "removed", "changed"]] = {
        "gained": "created",
        "lost": "removed",
        "changed": "changed",
    }
    seen = set()
    for change, holding in _compare(before, after):
        if holding.kind in CREDENTIALS:
            seen.add(holding.identity)
            yield _credential(holding, words[change])
    for identity, holding in sorted(after.holdings.items()):
        if holding.kind not in CREDENTIALS or identity in seen:
            continue
        if holding.key in replaced:
            yield _credential(holding, "replaced")
        elif holding.ends and now <= _moment(holding.ends) <= now + SOON:
            yield _credential(holding, "ending")


def _credential(
    holding: Holding, change: Literal["created", "removed", "replaced", "changed", "ending"]
) -> CredentialChange:
    return CredentialChange(
        app=holding.app, change=change, kind=holding.kind, name=holding.name, ends=holding.ends, detail=holding.detail
    )


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _breaks(changes: Iterable[Change], now: dt.datetime) -> Iterator[Breakage]:
    gone = set()
    listed = list(changes)
    for change in listed:
        if change.app is None or not change.type.endswith(":Application"):
            continue
        client_id = change.old.outputs.get("clientId") if change.old else None
        if change.operation == "replace":
            gone.add(change.app)
            why = ", ".join(change.replaces) or "its registration"
            text = f"its registration is replaced ({why}): client id {client_id} and all its credentials stop working"
            yield Breakage(app=change.app, text=f"{text}; every consumer needs the new ones")
        elif change.operation == "delete":
            gone.add(change.app)
            yield Breakage(
                app=change.app, text=f"it is deleted: whoever signs in as client id {client_id} no longer can"
            )
    for change in listed:
        if change.app is None or change.app in gone or change.operation not in ("delete", "replace"):
            continue
        if change.type.endswith(":ServicePrincipal"):
            text = "its service principal is replaced: its roles and consents are gone until they are given again"
            yield Breakage(app=change.app, text=text)
        elif change.type.endswith(":ApplicationPassword") and change.old:
            ends = change.old.get("endDate")
            if isinstance(ends, str) and ends not in (SECRET, UNKNOWN) and _moment(ends) > now:
                name = str(change.old.get("displayName") or change.name).removeprefix("entrant ")
                text = f"its client secret {name} is taken away before it ends on {ends[:10]}: who still uses it cannot sign in"
                yield Breakage(app=change.app, text=text)
        elif change.type.endswith("FederatedIdentityCredential") and change.operation == "delete":
            yield Breakage(app=change.app, text=f"its federated credential {change.name} is taken away")
        elif change.type.endswith(":ApplicationCertificate"):
            yield Breakage(
                app=change.app, text=f"its certificate {change.name.removeprefix(change.app + '-')} is taken away"
            )


def _declared_breaks(before: Picture, after: Picture, base: Environment | None) -> Iterator[Breakage]:
    for app, registration in sorted(before.registrations.items()):
        if app in after.registrations:
            continue
        declared = base.apps[app] if base else None
        kept = declared and (declared.on_remove or (base.on_remove if base else None)) == "keep"
        if registration.protected:
            yield Breakage(
                app=app, text="it is protected: Pulumi will refuse to delete it until `protect` is taken away first"
            )
        elif not kept:
            yield Breakage(app=app, text="it is deleted: whoever signs in as it no longer can")
    for change, holding in _compare(before, after):
        if change == "lost" and holding.kind in CREDENTIALS and holding.app in after.registrations:
            yield Breakage(app=holding.app, text=f"its {holding.kind} {holding.name} is taken away")


_QUIET = ("owners", "requiredResourceAccesses")


def _planned_settings(changes: Iterable[Change]) -> Iterator[SettingChange]:
    for change in changes:
        if change.app is None or not change.type.endswith(
            (":Application", ":ServicePrincipal", ":ApplicationPreAuthorized")
        ):
            continue
        for difference in change.differences:
            if not difference.path.startswith(_QUIET):
                yield SettingChange(app=change.app, path=difference.path, old=difference.old, new=difference.new)


def _declared_settings(before: Picture, after: Picture) -> Iterator[SettingChange]:
    for app in sorted(before.registrations.keys() & after.registrations.keys()):
        old, new = before.registrations[app], after.registrations[app]
        pairs = [("display_name", old.display_name, new.display_name), ("protect", old.protected, new.protected)]
        pairs += [
            (path, old.settings.get(path), new.settings.get(path))
            for path in sorted(old.settings.keys() | new.settings.keys())
        ]
        for path, was, will_be in pairs:
            if was != will_be:
                yield SettingChange(app=app, path=path, old=was, new=will_be)


def _outside(found: Iterable[Change]) -> Iterator[Outside]:
    for change in found:
        kind = change.type.rsplit(":", 1)[-1]
        app = change.app or change.name
        if change.operation == "delete":
            yield Outside(app=app, text=f"{kind} {change.name} is gone")
        else:
            for difference in change.differences:
                text = (
                    f"{kind} {change.name}: {difference.path} was {_said(difference.old)}, is {_said(difference.new)}"
                )
                yield Outside(app=app, text=text)


def _said(value: Any) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)


def _findings(environment: Environment | None) -> tuple[Finding, ...]:
    return ()


# ------------------------------------------------------------------------------------------------------------------- digest


def _essence(change: Change) -> dict[str, Any]:
    """What makes a change the one that was reviewed: what is done to which resource, and the values asked for."""
    return {
        "urn": change.urn,
        "operation": change.operation,
        "inputs": change.new.inputs if change.new else None,
        "properties": [difference.path for difference in change.differences],
    }


def _digest(parts: Iterable[Mapping[str, Any]]) -> str:
    text = "\n".join(sorted(json.dumps(part, sort_keys=True, default=str) for part in parts))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
