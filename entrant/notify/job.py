"""Who has not been told yet is told, and it is noted: first the message, then the note.

A run that is killed between the two tells that message once more the next time, and no other.
"""

import datetime as dt
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from entrant.delivery.sinks import guard
from entrant.drift.expiry import GONE, Ending
from entrant.drift.live import Tenant
from entrant.errors import EntrantError
from entrant.facts.clouds import Cloud
from entrant.notify import targets
from entrant.notify.messages import Message, key, stage, stage_in_words
from entrant.notify.record import Record, Sent
from entrant.notify.targets import Target
from entrant.outputs import Outputs


@dataclass(frozen=True, slots=True)
class Notice:
    """What became of a message: who was told of which app, or why not."""

    app: str
    target: str
    outcome: str
    failure: EntrantError | None = None

    @property
    def sentence(self) -> str:
        """For people."""
        step = f"; {self.failure.next_step}" if self.failure and self.failure.next_step else ""
        return (
            f"{self.app}: {self.target}: {self.outcome}{step}" if self.app else f"{self.target}: {self.outcome}{step}"
        )


def notify(
    stack: str,
    outputs: Outputs,
    endings: Iterable[Ending],
    tenant: Tenant,
    cloud: Cloud,
    *,
    now: dt.datetime,
    cwd: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    tell: Callable[[Notice], None] = lambda notice: None,
) -> list[Notice]:
    """Tell every target of each app what it has not been told; a target that fails hinders no other.

    Raises:
        ConfigurationError: no target. EngineError: the stack's tags cannot be read, or not be written when something is to be told.
    """
    job = _Job(stack, outputs, tenant, Record(stack, cwd, environ), now, tell, [])
    by_app: dict[str, list[Ending]] = {}
    for ending in sorted(endings, key=lambda ending: ending.ends):
        if ending.counts and ending.state != GONE and stage(ending, now) is not None:
            by_app.setdefault(ending.app, []).append(ending)
    for target in targets.find(environ):
        try:
            guard(target.address(), cloud, "the message")
        except EntrantError as error:
            job.say(Notice("", target.name, str(error), error))
            continue
        job.target(target, by_app)
    return job.notices


@dataclass
class _Job:
    stack: str
    outputs: Outputs
    tenant: Tenant
    record: Record
    now: dt.datetime
    tell: Callable[[Notice], None]
    notices: list[Notice]

    def say(self, notice: Notice) -> None:
        self.notices.append(notice)
        self.tell(notice)

    def target(self, target: Target, by_app: Mapping[str, Sequence[Ending]]) -> None:
        sent = self.record.sent(target.name)
        for app, endings in by_app.items():
            due = {key(one): reached for one in endings if (reached := self._due(one, sent)) is not None}
            if due:
                self.record.open(self.now)
                self._tell(target, app, endings, due, sent)
        self._forget(target, by_app, sent)

    def _due(self, ending: Ending, sent: Mapping[str, Sent]) -> int | None:
        """The stage that a credential has reached and nobody was told of."""
        reached, before = stage(ending, self.now), sent.get(key(ending))
        return reached if reached is not None and (before is None or reached < before.stage) else None

    def _tell(
        self, target: Target, app: str, endings: Sequence[Ending], due: Mapping[str, int], sent: Mapping[str, Sent]
    ) -> None:
        stages = stage_in_words(min(due.values()))
        digest = hashlib.sha256(f"{self.stack} {sorted(due.items())}".encode()).hexdigest()[:24]
        owners = tuple(owner.name for owner in self.tenant.owners.get(app, ()))
        message = Message(self.stack, app, tuple(endings), owners, self.tenant.mail(app), self.now, digest)
        thread = next((sent[key(one)].thread for one in endings if key(one) in sent), "")
        try:
            thread, wrong = target.tell(message, thread)
        except EntrantError as error:
            self.say(Notice(app, target.name, f"not told ({stages}): {error}", error))
            return
        try:
            for name, reached in due.items():
                self.record.note(target.name, name, Sent(reached, app, thread), self.now)
        except EntrantError as error:
            outcome = f"told ({stages}), which could not be noted, so the next run tells it again: {error}"
            self.say(Notice(app, target.name, outcome, error))
            return
        failure = EntrantError(wrong, next_step="correct the addresses") if wrong else None
        where = f" in {thread}" if thread else ""
        self.say(Notice(app, target.name, f"told{where} ({stages})" + (f", but {wrong}" if wrong else ""), failure))

    def _forget(self, target: Target, by_app: Mapping[str, Sequence[Ending]], sent: Mapping[str, Sent]) -> None:
        """Take what needs nothing any more out of the record; not what could not be looked at."""
        waiting = {key(one) for endings in by_app.values() for one in endings}
        for name, before in sent.items():
            seen = before.app in self.tenant.credentials or before.app not in self.outputs.apps
            if name in waiting or not seen:
                continue
            try:
                done = None if before.app in by_app else target.over(before.app, before.thread)
                self.record.forget(target.name, name)
            except EntrantError as error:
                self.say(Notice(before.app, target.name, f"its end could not be told: {error}", error))
                continue
            if done:
                self.say(Notice(before.app, target.name, f"{done}: nothing of it ends soon any more"))
