"""Where the cloud differs from the last deployment: what changed or went, as a refresh sees it, and what only a look finds.

A refresh in preview compares Pulumi's state with the cloud as an `up` would, so that what only Azure computes does not count, and
writes nothing; the program is not run, so that secrets that are due do not count either. `unmanaged` looks for the rest.
"""

import datetime as dt
import fnmatch
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrant import changes, engine, markdown
from entrant.access import deployer as deployers
from entrant.access.deployer import Deployer
from entrant.config import Ignored
from entrant.drift import manual_changes, unmanaged
from entrant.drift.manual_changes import ManualChange, put_back
from entrant.outputs import Outputs
from entrant.tokens import clouds
from entrant.words import counted


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, what of it is known, and what there is to say about the looking itself."""

    stack: str
    findings: tuple[ManualChange, ...]
    ignored: tuple[tuple[ManualChange, Ignored], ...]
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
) -> tuple[list[ManualChange], tuple[str, ...]]:
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
    return manual_changes.tell(stack, reading.found, seen.found, outputs.apps, now), seen.unseen


# ------------------------------------------------------------------------------------------------------------ what is known


def fits(ignored: Ignored, finding: ManualChange) -> bool:
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
    stack: str, found: Iterable[ManualChange], ignore: Sequence[Ignored], now: dt.datetime, notes: list[str]
) -> Report:
    counted: list[ManualChange] = []
    known: list[tuple[ManualChange, Ignored]] = []
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


# ---------------------------------------------------------------------------------------------------------------- reports


def text(report: Report) -> str:
    """Lines for a terminal."""
    lines = []
    for finding in report.findings:
        lines.append(f"✗ {finding.sentence()}")
        if finding.next_step != put_back(report.stack):
            lines.append(f"    {finding.next_step}")
    if any(finding.next_step == put_back(report.stack) for finding in report.findings):
        lines.append(put_back(report.stack))
    for finding, ignored in report.ignored:
        lines.append(f"… {finding.sentence()}: known until {ignored.until:%Y-%m-%d}: {ignored.reason}")
    lines += [f"! {note}" for note in report.notes]
    if not report.findings:
        lines.append(f"✓ {report.stack}: no drift")
    return "\n".join(lines)


def as_json(report: Report) -> str:
    """A document of `entrant/drift/drift.schema.json`."""

    def record(finding: ManualChange) -> dict[str, Any]:
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
    count, general = len(report.findings), put_back(report.stack)
    title = counted(count, "difference") if count else "none"
    head = f"{markdown.marker('entrant-drift', report.stack)}\n### Drift of {markdown.code(report.stack)}: {title}\n"
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


def _marked(finding: ManualChange) -> str:
    words = (markdown.code(part) if isinstance(part, markdown.Value) else part for part in finding.words)
    return f"**{markdown.text(finding.app or 'the environment')}**: {''.join(words)}"


def _step(text: str) -> str:
    """A next step, whose commands stand between backticks already."""
    return "".join(
        markdown.code(part) if index % 2 else markdown.text(part) for index, part in enumerate(text.split("`"))
    )


FORMATS = {"text": text, "markdown": as_markdown, "json": as_json}
"""Renderers by the name that `--format` takes."""
