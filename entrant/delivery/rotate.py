"""Rotation from end to end: secrets and certificates that are due are made, proved, delivered, and only then those before them go.

A run makes an `up` that may do nothing but rotate, proves what is new by tokens, delivers it, and reads back what places hold.
What was proved and arrived everywhere is noted in the stack's outputs by a second `up`, which also takes away what has served its
time. Any run that was killed is gone on with by the next: what was made is in the state or is found by the recovery, what was
delivered is known by the places, and what is not noted as delivered keeps its predecessor.

What becomes of one calendar of an app concerns no other, be it of the same app.
"""

import datetime as dt
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from entrant import engine, project
from entrant.changes import Change, Reading
from entrant.config import Environment
from entrant.config.credentials import Calendar
from entrant.delivery import deliver, succession
from entrant.delivery.proof import PATIENCE, prove
from entrant.delivery.succession import Key, Succession, slot
from entrant.errors import EngineError, EntrantError
from entrant.facts.contract import CLIENT_SECRET, ROTATION, SECRET_NAMES, calendar_of, kind_of
from entrant.outputs import Outputs
from entrant.recovery import holding
from entrant.review import reviewer
from entrant.tokens import clouds

OTHER_PLAN = 7
"""Exit code when an `up` would do more than rotate."""
Revoked = Mapping[str, Mapping[str, str]]
"""App → slot → why it is to go."""


class MoreThanRotationError(EngineError):
    """An `up` would do more than rotate; nothing was done."""

    exit_code = OTHER_PLAN

    def __init__(self, stack: str, changes: Sequence[Change]) -> None:
        listed = "\n".join(
            f"    {change.operation} {change.type.rpartition(':')[2]} {change.name}" for change in changes[:20]
        )
        more = f"\n    … {len(changes) - 20} more" if len(changes) > 20 else ""
        super().__init__(
            f"an `up` of {stack} would do more than rotate secrets and certificates, so nothing was done:\n{listed}{more}",
            next_step=f"review and apply that first: `python3 -m entrant review -s {stack}`, then `pulumi up -s {stack}`",
        )


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether the newest of a calendar of an app gives tokens; `failure` is why not."""

    app: str
    secret: str
    """Its slot."""
    failure: EntrantError | None = None
    calendar: str = CLIENT_SECRET
    """`secret`, or the certificate's key in the file."""

    @property
    def key(self) -> Key:
        """What was proved, whatever its slot."""
        return self.app, self.calendar


@dataclass(slots=True)
class Report:
    """What a rotation did, and what is left to do."""

    made: list[str] = field(default_factory=list)
    """New ones: `log-reader 2026-11-01`, `log-reader signing-2026-11-01`."""
    removed: list[str] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    results: list[deliver.Result] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Those that stay although they would go, in words that say why."""

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
        successions = list(succession.all_of(found))
        for held in successions:
            if self._to_prove(held):
                proof = self._prove(held)
                report.proofs.append(proof)
                self.tell(proof)
        proofs = {proof.key: proof.failure for proof in report.proofs}
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
        missing = {result.key for result in report.results if not result.arrived}
        in_use = {held.key for held in successions if held.key not in missing and proofs.get(held.key) is None}
        news: dict[str, list[str]] = {}
        for held in successions:
            if held.key in in_use and held.key in proofs and not held.noted:
                news.setdefault(held.app.name, []).append(slot(held.newest))
        if news or any(held.key in in_use for held, _ in self._served(found, now)):
            self._up(found, {"delivered": news}, report, noting=True)
        report.kept = [_kept(held, now) for held in successions if held.before and held.key not in in_use]
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
            (held.app.name, str(entry["name"]))
            for held, entry in self._served(found, now)
            if noting or self._revoked(held, entry)
        }
        out_of_turn = self._out_of_turn(found)
        if more := reviewer.besides_rotation(reading, now, served | out_of_turn):
            raise MoreThanRotationError(self.stack, more)
        self._may_go(found, reading, out_of_turn, now)
        changed = [change for change in reading.planned if change.changes and change.rotated]
        if (
            not stated
            and not any(change.changes for change in reading.planned)
            and _noted(reading) == _handed_out(found)
        ):
            return now
        reason = next((f": {why}" for slots in self.revoked.values() for why in slots.values()), "")
        message = f"revoke{reason}" if self.revoked else "note what was delivered" if noting else "rotate"
        command = ["up", "--yes", "--skip-preview", "--stack", self.stack, "--message", message]
        engine.operate(command, cwd=self.cwd, environ=environ)
        gone = _handed_out(found) - _noted(reading)
        for change in changed:
            name = change.rotated[1] if change.rotated else ""
            (report.removed if change.operation == "delete" else report.made).append(_shown(change.app, name))
            gone.discard((change.app, name))
        report.removed += sorted(_shown(app, name) for app, name in gone)  # by a run that was killed
        return now

    def _may_go(
        self, found: Outputs, reading: Reading, out_of_turn: set[tuple[str | None, str]], now: dt.datetime
    ) -> None:
        """Raise why the newest of a calendar does not work, where the one before it would be taken away before its end."""
        deleted = {(change.app, change.rotated) for change in reading.planned if change.operation == "delete"}
        gone = {(app, rotated[1]) for app, rotated in deleted if rotated} - out_of_turn
        for held in succession.all_of(found):
            if held.before is None or held.noted or (held.app.name, held.before["name"]) not in gone:
                continue
            if dt.datetime.fromisoformat(held.before["ends"]) > now and (failure := self._prove(held).failure):
                raise failure

    def _outputs(self) -> Outputs:
        return engine.stack_outputs(self.stack, cwd=self.cwd, environ=self.environ)

    def _to_prove(self, held: Succession) -> bool:
        """Whether anything hangs on the newest of a calendar that is not known to work yet."""
        declared = self._declared(held)
        return not held.noted and (bool(declared and declared.deliver) or held.before is not None)

    def _prove(self, held: Succession) -> Proof:
        cloud = clouds.resolve(held.app.cloud, self.environ)
        failure = prove(held.app, held.calendar, cloud, seconds=self.patience)
        return Proof(held.app.name, slot(held.newest), failure, held.calendar)

    def _declared(self, held: Succession) -> Calendar | None:
        app = self.environment.apps.get(held.app.name)
        return app.calendars.get(held.calendar) if app else None

    def _served(self, found: Outputs, now: dt.datetime) -> Iterator[tuple[Succession, Mapping[str, Any]]]:
        """Those that go once their successor is in use: revoked ones, and those whose overlap is over."""
        for held in succession.all_of(found):
            declared = self._declared(held)
            if held.before is None or declared is None:
                continue
            issued = dt.datetime.fromisoformat(held.newest.get("issued") or held.newest["starts"])
            if issued + declared.overlap <= now or self._revoked(held, held.before):
                yield held, held.before

    def _revoked(self, held: Succession, entry: Mapping[str, Any]) -> bool:
        return bool(entry.get("revoked")) or slot(entry) in self.revoked.get(held.app.name, {})

    def _out_of_turn(self, found: Outputs) -> set[tuple[str | None, str]]:
        """The older ones of two whose newer one is revoked: they go when that gets a successor, there are never three."""
        return {
            (held.app.name, str(held.before["name"]))
            for held in succession.all_of(found)
            if held.before is not None and self._revoked(held, held.newest)
        }


def _kept(held: Succession, now: dt.datetime) -> str:
    """Why one that would go stays."""
    assert held.before is not None
    ends = str(held.before["ends"])
    end = "has ended" if dt.datetime.fromisoformat(ends) <= now else f"stays, and works until {ends[:10]}"
    this, successor = f"the {kind_of(held.calendar)} {slot(held.before)}", slot(held.newest)
    return f"{held.app.name}: {this} {end}: its successor {successor} is not proved and delivered everywhere"


def _shown(app: str | None, name: str) -> str:
    """A secret or a certificate in a report."""
    return f"{app} {name.removeprefix(SECRET_NAMES)}"


def _noted(reading: Reading) -> set[tuple[str | None, str]]:
    """Those that the state has, by app and name: a run that was killed may not have handed one out."""
    planned = reading.planned
    return {(change.app, change.rotated[1]) for change in planned if change.rotated and change.old is not None}


def _handed_out(found: Outputs) -> set[tuple[str | None, str]]:
    """Those that the outputs have, by app and name."""
    apps = found.apps.values()
    return {(app.name, str(entry["name"])) for app in apps for entry in app.credentials if calendar_of(entry)}
