"""Rotation from end to end: the secrets that are due are made, proved, delivered, and only then those before them go.

A run makes an `up` that may do nothing but rotate, proves each new secret by tokens, delivers it, and reads back what places hold.
What was proved and arrived everywhere is noted in the stack's outputs by a second `up`, which also takes away what has served its
time. Any run that was killed is gone on with by the next: what was made is in the state or is found by the recovery, what was
delivered is known by the places, and a secret that is not noted as delivered keeps its predecessor.
"""

import datetime as dt
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from entrant import engine, outputs, project
from entrant.changes import Change, Reading
from entrant.config import Environment
from entrant.delivery import deliver
from entrant.delivery.proof import PATIENCE, prove
from entrant.errors import EngineError, EntrantError
from entrant.facts.contract import ROTATION, SECRET_NAMES
from entrant.outputs import App, Outputs
from entrant.recovery import holding
from entrant.review import reviewer
from entrant.tokens import clouds

OTHER_PLAN = 7
"""Exit code when an `up` would do more than rotate."""
Revoked = Mapping[str, Mapping[str, str]]
"""App → slot of a secret → why it is to go."""


class MoreThanRotationError(EngineError):
    """An `up` would do more than rotate secrets; nothing was done."""

    exit_code = OTHER_PLAN

    def __init__(self, stack: str, changes: Sequence[Change]) -> None:
        listed = "\n".join(
            f"    {change.operation} {change.type.rpartition(':')[2]} {change.name}" for change in changes[:20]
        )
        more = f"\n    … {len(changes) - 20} more" if len(changes) > 20 else ""
        super().__init__(
            f"an `up` of {stack} would do more than rotate secrets, so nothing was done:\n{listed}{more}",
            next_step=f"review and apply that first: `python3 -m entrant review -s {stack}`, then `pulumi up -s {stack}`",
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether an app's newest secret gives tokens; `failure` is why not."""

    app: str
    secret: str
    failure: EntrantError | None = None


@dataclass(slots=True)
class Report:
    """What a rotation did, and what is left to do."""

    made: list[str] = field(default_factory=list)
    """New secrets: `log-reader 2026-11-01`."""
    removed: list[str] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    results: list[deliver.Result] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Secrets that stay although they would go, in words that say why."""

    @property
    def exit_code(self) -> int:
        """That of the first failure; 0 when there was none."""
        unproved = [proof.failure.exit_code for proof in self.proofs if proof.failure]
        failed = [result.exit_code for result in self.results if not result.arrived]
        return next((code for code in (*unproved, *failed) if code), 0)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A rotation of one stack."""

    stack: str
    environment: Environment
    cwd: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    settle: float = 15.0
    patience: float = PATIENCE
    revoked: Revoked = field(default_factory=dict)
    remark: Callable[[str], None] = lambda text: None
    """Is told what is going on."""
    show: Callable[[str], None] = lambda text: None
    """Is shown what a recovery does."""
    tell: Callable[[Proof | deliver.Result], None] = lambda found: None
    """Is told each proof and each delivery as it comes."""

    def run(self) -> Report:
        """Rotate.

        Raises:
            MoreThanRotationError: an `up` would do more; nothing was done.
            EngineError: Pulumi failed, or somebody else holds the stack.
            ContractError: the stack's outputs are not this project's.
        """
        with holding.hold(
            self.stack, settle=self.settle, cwd=self.cwd, environ=self.environ, remark=self.remark, show=self.show
        ) as held:
            try:
                report = self._run()
            except MoreThanRotationError:  # after a preview, and any `up` before it has ended
                held.well = True
                raise
            held.well = True
        return report

    def _run(self) -> Report:
        report = Report()
        before = self._outputs()
        now = self._up(before, {"revoked": self.revoked}, report, noting=False)
        found = self._outputs()
        for app in found.apps.values():
            if self._to_prove(app):
                proof = self._prove(app)
                report.proofs.append(proof)
                self.tell(proof)
        proofs = {proof.app: proof.failure for proof in report.proofs}
        report.results = deliver.deliver(
            found,
            self.environment,
            clouds.resolve(found.cloud, self.environ),
            project.find(self.cwd),
            environ=self.environ,
            patience=self.patience,
            proofs=proofs,
            tell=self.tell,
            now=now,
        )
        missing = {result.app for result in report.results if not result.arrived}
        in_use = {
            app.name: [slot(entry)]
            for app in found.apps.values()
            if app.name not in missing and proofs.get(app.name) is None and (entry := deliver.newest(app)) is not None
        }
        news = {
            name: slots
            for name, slots in in_use.items()
            if name in proofs and not (deliver.newest(found.apps[name]) or {}).get("delivered")
        }
        gone = [(app, entry) for app, entry in self._served(found, now) if app.name in in_use]
        if news or gone:
            self._up(found, {"delivered": news}, report, noting=True)
        report.kept = list(self._kept(found, now, in_use))
        return report

    # -------------------------------------------------------------------------------------------------------- parts

    def _up(self, found: Outputs, news: Mapping[str, Any], report: Report, *, noting: bool) -> dt.datetime:
        """An `up` that is told news, where its preview says that it would do something; the moment of its calendars.

        One that only notes what was delivered shows no change of a resource, so it is always made.
        """
        stated = {what: value for what, value in news.items() if value}
        environ = {**self.environ, **({ROTATION: json.dumps(stated)} if stated else {})}
        reading = Reading()
        engine.operate(["preview", "--stack", self.stack], cwd=self.cwd, environ=environ, on_event=reading.on_event)
        now = reviewer.moment(reading)
        served = {
            (app.name, str(entry["name"]))
            for app, entry in self._served(found, now)
            if noting or self._revoked(app, entry)
        }
        out_of_turn = self._out_of_turn(found)
        if more := reviewer.besides_rotation(reading, now, served | out_of_turn):
            raise MoreThanRotationError(self.stack, more)
        self._may_go(found, reading, out_of_turn, now)
        changed = [
            change for change in reading.planned if change.changes and change.type.endswith(":ApplicationPassword")
        ]
        if (
            not stated
            and not any(change.changes for change in reading.planned)
            and _noted(reading) == _handed_out(found)
        ):
            return now
        reason = next((f": {why}" for slots in self.revoked.values() for why in slots.values()), "")
        message = f"revoke{reason}" if self.revoked else "note what was delivered" if noting else "rotate secrets"
        command = ["up", "--yes", "--skip-preview", "--stack", self.stack, "--message", message]
        engine.operate(command, cwd=self.cwd, environ=environ)
        gone = _handed_out(found) - _noted(reading)
        for change in changed:
            side = change.new if change.operation == "create" else change.old
            name = str(side.get("displayName") if side else change.name)
            (report.made if change.operation == "create" else report.removed).append(_shown(change.app, name))
            gone.discard((change.app, name))
        report.removed += sorted(_shown(app, name) for app, name in gone)  # by a run that was killed
        return now

    def _may_go(
        self, found: Outputs, reading: Reading, out_of_turn: set[tuple[str | None, str]], now: dt.datetime
    ) -> None:
        """Raise why the newest secret of an app does not work, where the one before it would be taken away before its end."""
        gone = {
            (change.app, str(change.old.get("displayName")))
            for change in reading.planned
            if change.operation == "delete" and change.old and change.type.endswith(":ApplicationPassword")
        } - out_of_turn
        for app in found.apps.values():
            newest, before = deliver.newest(app), previous(app)
            if newest is None or before is None or newest.get("delivered"):
                continue
            if (app.name, str(before["name"])) in gone and dt.datetime.fromisoformat(before["ends"]) > now:
                failure = self._prove(app).failure
                if failure is not None:
                    raise failure

    def _outputs(self) -> Outputs:
        return engine.stack_outputs(self.stack, cwd=self.cwd, environ=self.environ)

    def _to_prove(self, app: App) -> bool:
        """Whether anything hangs on the newest secret of an app that is not known to work yet."""
        entry = deliver.newest(app)
        if entry is None or entry.get("delivered"):
            return False
        declared = self.environment.apps.get(app.name)
        return bool(declared and declared.deliveries) or previous(app) is not None

    def _prove(self, app: App) -> Proof:
        entry = deliver.newest(app)
        assert entry is not None
        cloud = clouds.resolve(app.cloud, self.environ)
        return Proof(app.name, slot(entry), prove(app, cloud, seconds=self.patience, environ=self.environ))

    def _served(self, found: Outputs, now: dt.datetime) -> Iterator[tuple[App, Mapping[str, Any]]]:
        """The secrets that go once their successor is in use: revoked ones, and those whose overlap is over."""
        for app in found.apps.values():
            newest, before = deliver.newest(app), previous(app)
            declared = self.environment.apps.get(app.name)
            if newest is None or before is None or declared is None or not declared.secret:
                continue
            over = dt.datetime.fromisoformat(newest.get("issued") or newest["starts"]) + declared.secret.overlap <= now
            if over or self._revoked(app, before):
                yield app, before

    def _revoked(self, app: App, entry: Mapping[str, Any]) -> bool:
        return bool(entry.get("revoked")) or slot(entry) in self.revoked.get(app.name, {})

    def _out_of_turn(self, found: Outputs) -> set[tuple[str | None, str]]:
        """The older ones of two whose newer one is revoked: they go when that gets a successor, there are never three."""
        pairs = ((app, deliver.newest(app), previous(app)) for app in found.apps.values())
        return {
            (app.name, str(before["name"]))
            for app, newest, before in pairs
            if newest is not None and before is not None and self._revoked(app, newest)
        }

    def _kept(self, found: Outputs, now: dt.datetime, in_use: Mapping[str, Any]) -> Iterator[str]:
        for app in found.apps.values():
            before, newest = previous(app), deliver.newest(app)
            if before is None or newest is None or app.name in in_use:
                continue
            ends = str(before["ends"])
            end = "has ended" if dt.datetime.fromisoformat(ends) <= now else f"stays, and works until {ends[:10]}"
            yield (
                f"{app.name}: the secret {slot(before)} {end}: its successor {slot(newest)} is not proved and delivered everywhere"
            )


def _shown(app: str | None, name: str) -> str:
    """A secret in a report."""
    return f"{app} {name.removeprefix(SECRET_NAMES)}"


def _noted(reading: Reading) -> set[tuple[str | None, str]]:
    """The secrets that the state has, by app and name: a run that was killed may not have handed one out."""
    return {
        (change.app, str(change.old.get("displayName")))
        for change in reading.planned
        if change.type.endswith(":ApplicationPassword") and change.old is not None
    }


def _handed_out(found: Outputs) -> set[tuple[str | None, str]]:
    """The secrets that the outputs have, by app and name."""
    apps = found.apps.values()
    return {(app.name, str(entry["name"])) for app in apps for entry in app.credentials if entry["kind"] == "secret"}


def slot(entry: Mapping[str, Any]) -> str:
    """The slot of a secret in the outputs."""
    return str(entry["name"]).removeprefix(SECRET_NAMES)


def previous(app: App) -> Mapping[str, Any] | None:
    """The entry of an app's client secret before the newest; None when there is none."""
    return next((entry for entry in app.credentials if entry["kind"] == "secret" and not entry["current"]), None)


def secrets_of(found: outputs.Outputs, app: str) -> list[Mapping[str, Any]]:
    """The entries of an app's client secrets, newest first."""
    return [entry for entry in found.app(app).credentials if entry["kind"] == "secret"]
