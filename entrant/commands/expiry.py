"""`entrant expiry`: secrets and certificates that end soon."""

import datetime as dt
import functools
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from entrant import ci, engine, outputs, terminal
from entrant.access import deployer as deployers
from entrant.commands import options
from entrant.drift import expiry as endings
from entrant.drift import live as tenants
from entrant.drift.live import Tenant
from entrant.errors import ConfigurationError
from entrant.markdown import plain
from entrant.tokens import clouds
from entrant.words import counted

ENDING = 5
"""Exit code of `expiry` when something ends within the time asked about."""


@click.command("expiry")
@click.option(
    "-s",
    "--stack",
    "stacks",
    multiple=True,
    metavar="STACK",
    shell_complete=options.complete_stacks,
    help="The Pulumi stack; several are possible; without one, the selected one.",
)
@click.option(
    "--outputs",
    "files",
    multiple=True,
    metavar="FILE",
    help="Outputs from a file (`pulumi stack output --json`, masked or not), or - for standard input, instead of the stack's.",
)
@options.cwd
@click.option(
    "--within", type=options.Duration(), default="30d", show_default=True, metavar="TIME", help="Such as 30d, 12h, 2w."
)
@click.option(
    "--live",
    is_flag=True,
    help="Read the tenant, too: every secret and certificate of the stack's apps, those first that the file does not say.",
)
@click.option(
    "--unused",
    type=options.Duration(),
    metavar="TIME",
    help="With --live: credentials count that gave no token for so long. Takes AuditLog.Read.All, and a tenant with Entra ID P1.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Count secrets too that their calendar rotates in time; with --live, all that is not in the file or may not be read.",
)
@click.option(
    "--notify",
    is_flag=True,
    help="Tell who owns what ends, once for each stage, by webhook, GitHub issue or mail (docs/secrets.md). Implies --live.",
)
@options.now
@options.form("text", "json", "github", "azure-devops", default="text")
def expiry(
    stacks: tuple[str, ...],
    files: tuple[str, ...],
    cwd: Path | None,
    within: dt.timedelta,
    live: bool,
    unused: dt.timedelta | None,
    strict: bool,
    notify: bool,
    now: dt.datetime | None,
    form: str,
) -> int:
    """Secrets and certificates that have ended or end soon, from the outputs of stacks alone: no cloud, no secret read.

    A secret that its calendar rotates before it ends is shown and does not count, nor does the one before it. Exit code 5 if
    something counts. `github` and `azure-devops` print it as annotations of the run. With --live the tenant is read as whoever is
    signed in, and all credentials are shown, with their owners. With --notify owners are told 30, 14, 7 and 1 days before an end
    and after it; a message that failed gives its exit code, and the next run sends it.

    \b
    python3 -m entrant expiry -s dev --within 30d
    python3 -m entrant expiry -s dev --live --unused 90d
    python3 -m entrant expiry -s dev --within 2w --format github
    pulumi stack output -s dev --json | python3 -m entrant expiry -s dev --outputs - --format json
    """
    if notify and files:
        raise ConfigurationError(
            "--notify keeps what it told in the tags of the stack",
            next_step="name the stack with -s, without --outputs",
        )
    moment, live = now or dt.datetime.now(dt.UTC), live or notify or unused is not None
    looks = [
        _look(stack, declared, moment, within, strict, unused, live) for stack, declared in _outputs(stacks, files, cwd)
    ]
    found = [ending for look in looks for ending in look.endings]
    unseen = [f"{look.stack}: not seen: {what}" for look in looks for what in look.unseen]
    if form == "json":
        records = [_record(ending, look.tenant is not None) for look in looks for ending in look.endings]
        document: dict[str, Any] = {"now": _rfc3339(moment), "endings": records}
        click.echo(json.dumps(document | ({"unseen": unseen} if live else {}), indent=2))
    elif form == "text":
        for look in looks:
            _tell(look, moment, within)
    else:
        for words in unseen:
            terminal.say_exactly(_WARNINGS[form](words))
        for ending in found:
            if ending.counts:
                terminal.say_exactly(_ANNOTATIONS[form](ending, moment))
    failed = _notify(looks, moment, cwd, form) if notify else 0
    return failed or (ENDING if any(ending.counts for ending in found) or (strict and unseen) else 0)


def _notify(looks: list["_Look"], now: dt.datetime, cwd: Path | None, form: str) -> int:
    """Tell owners what ends, whatever is shown; the exit code of the first failure."""
    from entrant.notify import job, messages

    def tell(stack: str, notice: job.Notice) -> None:
        words = f"{stack}: {notice.sentence}"
        if notice.failure and form in _WARNINGS:
            terminal.say_exactly(_WARNINGS[form](words))
        else:
            click.echo(f"{'✗' if notice.failure else '✓'} {words}", err=form == "json")

    codes = []
    for look in looks:
        assert look.tenant is not None
        horizon = dt.timedelta(days=messages.STAGES[0])
        found = endings.find(look.stack, look.declared, now=now, within=horizon, tenant=look.tenant)
        cloud = clouds.resolve(look.declared.cloud, os.environ)
        report = functools.partial(tell, look.stack)
        notices = job.notify(look.stack, look.declared, found, look.tenant, cloud, now=now, cwd=cwd, tell=report)
        codes += [notice.failure.exit_code for notice in notices if notice.failure]
    return next(iter(codes), 0)


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found about a stack; `tenant` is None where it was not to be read."""

    stack: str
    declared: outputs.Outputs
    endings: list[endings.Ending]
    tenant: Tenant | None

    @property
    def unseen(self) -> list[str]:
        return self.tenant.unseen if self.tenant else []


def _look(
    stack: str,
    declared: outputs.Outputs,
    now: dt.datetime,
    within: dt.timedelta,
    strict: bool,
    unused: dt.timedelta | None,
    live: bool,
) -> _Look:
    tenant = None
    if live:
        cloud = clouds.resolve(declared.cloud, os.environ)
        tenant = tenants.read(declared, deployers.find(cloud, os.environ), usage=unused is not None)
    found = endings.find(stack, declared, now=now, within=within, strict=strict, tenant=tenant, unused=unused)
    return _Look(stack, declared, list(found), tenant)


def _outputs(stacks: tuple[str, ...], files: tuple[str, ...], cwd: Path | None) -> list[tuple[str, outputs.Outputs]]:
    if not stacks and not files and (found := options.selected(cwd)):
        stacks = (found,)
    if not stacks and not files:
        raise ConfigurationError("which stack?", next_step="name it with -s STACK, or its outputs with --outputs FILE")
    if not files:
        return [(stack, engine.stack_outputs(stack, secrets=False, cwd=cwd)) for stack in stacks]
    if stacks and len(stacks) != len(files):
        raise ConfigurationError(
            f"{counted(len(stacks), 'stack')} and {counted(len(files), 'file')} of outputs",
            next_step="give one file for each stack, in order",
        )
    return [
        (
            stack,
            outputs.from_text(sys.stdin.read(), "standard input", secrets=False)
            if file == "-"
            else outputs.from_file(Path(file), secrets=False),
        )
        for stack, file in zip(stacks or ["STACK"] * len(files), files, strict=True)
    ]


def _record(ending: endings.Ending, live: bool) -> dict[str, Any]:
    fields = ("stack", "app", "kind", "name", "key_id", "ended", "expected", "next_step")
    record = {name: getattr(ending, name) for name in fields} | {"ends": _rfc3339(ending.ends)}
    if live:
        used = _rfc3339(ending.last_used) if ending.last_used else None
        more = {
            "origin": ending.origin,
            "state": ending.state or None,
            "owners": list(ending.owners),
            "last_used": used,
        }
        record |= more
    return record


def _rfc3339(moment: dt.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _tell(look: _Look, now: dt.datetime, within: dt.timedelta) -> None:
    for what in look.unseen:
        click.echo(f"! {look.stack}: not seen: {plain(what)}")
    for ending in look.endings:
        loud = ending.ended or ending.origin == "unknown"
        mark = ("✗" if loud else "!") if ending.counts else "✗" if ending.origin == "unknown" else "…"
        reason = f": {ending.expected}" if ending.expected else ""
        click.echo(f"{mark} {look.stack}: {plain(ending.sentence(now) + reason)}")
        if look.tenant:
            click.echo(f"    {plain(_whose(ending, look.tenant))}")
        if ending.expected != endings.LATER or ending.origin == "unknown":
            click.echo(f"    {plain(ending.next_step)}")
    if not any(ending.ends <= now + within for ending in look.endings):
        days = counted(within / dt.timedelta(days=1), "day")
        following = endings.soonest(look.declared, after=now)
        then = f"; the next is {plain(following[1])}, {following[0]:%Y-%m-%d}" if following else ""
        click.echo(f"✓ {look.stack}: nothing ends within {days}{then}")


def _whose(ending: endings.Ending, tenant: Tenant) -> str:
    """Who owns the app of a credential, whose it is, and when it was last used where that was asked."""
    origin = {"declared": "of the stack", "kept": "kept", "unknown": "unknown"}[ending.origin]
    names = ", ".join(ending.owners) or ("nobody" if ending.app in tenant.owners else "not seen")
    used = f"; last used {ending.last_used:%Y-%m-%d}" if ending.last_used else ""
    return f"{origin}; owners: {names}{used}"


def _github(ending: endings.Ending, now: dt.datetime) -> str:
    level = "error" if ending.ended or ending.origin == "unknown" else "warning"
    return ci.workflow_command(level, f"{ending.sentence(now)}. {ending.next_step}", title=_title(ending))


def _azure_devops(ending: endings.Ending, now: dt.datetime) -> str:
    level = "error" if ending.ended or ending.origin == "unknown" else "warning"
    words = f"{_title(ending)}: {ending.sentence(now)}. {ending.next_step}"
    return ci.logging_command("task.logissue", words, type=level)


def _title(ending: endings.Ending) -> str:
    return f"{ending.stack}: {ending.title}"


_WARNINGS = {
    "github": lambda words: ci.workflow_command("warning", words),
    "azure-devops": lambda words: ci.logging_command("task.logissue", words, type="warning"),
}
_ANNOTATIONS = {"github": _github, "azure-devops": _azure_devops}
