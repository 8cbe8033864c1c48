"""`local`: the local Azure by itself, for trying other clients of Azure."""

import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click
import yaml

import local_azure
from entrant import explain, extras, project, shells, terminal
from entrant.commands import options
from entrant.errors import ConfigurationError
from entrant.tokens import formats
from entrant.words import counted

_R = TypeVar("_R")
_FORMS = (*formats.SHELLS, "dotenv", "json", "github")


def _where(command: Callable[..., _R]) -> Callable[..., _R]:
    """Add the options that say which local Azure is meant; the command gets its state directory first."""

    @click.option("-s", "--stack", metavar="STACK", help="The one of this stack's rehearsal.")
    @click.option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path),
        help="The one of this directory; by default the one that the shell has the settings of, else .entrant/local-azure.",
    )
    @wraps(command)
    def chosen(*, stack: str | None, state: Path | None, **more: Any) -> _R:
        if stack is not None and state is not None:
            raise ConfigurationError("--stack and --state name two", next_step="give one of them")
        if stack is not None:
            extras.need("`--stack`", "pulumi", instead="name the local Azure's directory with --state")
            from entrant.rehearsal import Rehearsal

            state = Rehearsal.of(stack).azure
            if not state.is_dir():
                raise ConfigurationError(
                    f"{stack} has no rehearsal", next_step=f"run `python3 -m entrant rehearse {stack}`"
                )
        if state is None and not more.get("unset"):  # what takes settings back needs no local Azure
            state = _of_shell(forgets="purge" in more)
        return command(state or project.STATE / "local-azure", **more)

    return chosen


def _of_shell(*, forgets: bool) -> Path | None:
    """The state directory of the local Azure that this shell has the settings of, which is said; None without such settings.

    Raises:
        ConfigurationError: the command forgets what is there, so it is to be named.
    """
    found = shells.local_azure(os.environ)
    if found is None or found == (project.STATE / "local-azure").resolve():
        return None
    of_rehearsal = found.parent.parent == (project.STATE / "rehearsal").resolve()
    named = f"the rehearsal {found.parent.name}" if of_rehearsal else os.path.relpath(found)
    if forgets:
        step = f"name it: -s {found.parent.name}" if of_rehearsal else f"name it: --state {os.path.relpath(found)}"
        raise ConfigurationError(f"which local Azure? This shell has the settings of that of {named}", next_step=step)
    options.remark(f"the local Azure of {named}, as this shell has its settings; -s or --state names another")
    return found


def _running(state: Path) -> local_azure.LocalAzure:
    found = local_azure.find(state)
    if found is None:
        raise ConfigurationError("the local Azure is not running", next_step=_beginning(state))
    return found


def _beginning(state: Path) -> str:
    """What starts the local Azure of a directory."""
    if state == project.STATE / "local-azure":
        return "run `python3 -m entrant local start`, or name the one of a rehearsal with -s STACK"
    if state.parent.parent in (project.STATE / "rehearsal", (project.STATE / "rehearsal").resolve()):
        return f"run `python3 -m entrant rehearse {state.parent.name}`"
    return f"run `python3 -m entrant local start --state {state}`"


_form = options.form(
    *_FORMS,
    default="bash",
    help="Lines for a shell to read, a .env file, JSON, or $GITHUB_ENV for the steps that follow.",
)


def _print(settings: dict[str, str], form: str) -> None:
    if form == "json":
        terminal.say_exactly(json.dumps(settings, indent=2))
    elif form == "dotenv":
        terminal.say_exactly("\n".join(f"{name}={shlex.quote(value)}" for name, value in settings.items()))
    elif form == "github":
        path = os.environ.get("GITHUB_ENV")
        if not path:
            raise ConfigurationError(
                "GITHUB_ENV is not set", next_step="--format github is for a step of GitHub Actions"
            )
        for name, value in settings.items():
            if name.endswith("SECRET"):
                terminal.say_exactly(f"::add-mask::{value}")
        with open(path, "a", encoding="utf-8") as output:
            output.writelines(formats.for_github(name, value) for name, value in settings.items())
    else:
        terminal.say_exactly(shells.give(settings, form, os.environ))


@click.group()
def local() -> None:
    """The local Azure by itself: Entra ID, Graph, Resource Manager, Log Analytics and custom metrics on this machine."""


@local.command()
@_where
@click.option("--port", type=click.IntRange(1, 65535), help="By default the one of last time, or a free one.")
@click.option(
    "--propagation", type=click.FloatRange(0, 3600), default=0.0, show_default=True, help="Seconds until roles work."
)
def start(state: Path, port: int | None, propagation: float) -> None:
    """Start it, in the background, unless it runs; prints its address.

    \b
    python3 -m entrant local start --propagation 5
    """
    click.echo(local_azure.start(project.private(state), port=port, propagation=propagation).url)


@local.command()
@_where
def stop(state: Path) -> None:
    """Stop it; its state stays.

    \b
    python3 -m entrant local stop
    """
    local_azure.stop(state)


@local.command()
@_where
@options.form("text", "json", default="text", help="JSON has its settings and faults, too.")
def status(state: Path, form: str) -> int:
    """Whether it runs, where, as whom, and with what settings; exit code 1 if not.

    \b
    python3 -m entrant local status
    python3 -m entrant local status --format json
    """
    found = local_azure.find(state)
    if found is None:
        click.echo(json.dumps({"running": False}) if form == "json" else "not running")
        return 1
    settings, faults = found.admin("GET", "settings"), found.admin("GET", "faults")
    about = {
        "url": found.url,
        "process": found.pid,
        "tenant": found.tenant_id,
        "subscription": found.subscription_id,
        "deployer": found.client_id,
        "state": str(found.state),
    }
    if form == "json":
        click.echo(json.dumps({"running": True, **about, **settings, "faults": faults}, indent=2))
        return 0
    about["propagation"] = ", ".join(f"{what} {seconds:g} s" for what, seconds in settings["propagation"].items())
    if abs(settings["clock"]["now"] - time.time()) > 1 or settings["clock"]["speed"] != 1:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(settings["clock"]["now"]))
        about["clock"] = f"{stamp}, {settings['clock']['speed']:g} seconds a second"
    if faults["rules"]:
        about["faults"] = f"{counted(len(faults['rules']), 'rule')}, seed {faults['seed']}"
    for name, value in about.items():
        click.echo(f"{name:<13}{value}")
    return 0


@local.command()
@_where
def page(state: Path) -> None:
    """Print a link to its page in the browser: apps, grants as a picture, requests as they come, and a switch for faults.

    The link is good once and for two minutes. The browser will not know the certificate: it is the local Azure's own.

    \b
    python3 -m entrant local page
    """
    click.echo(_running(state).page())


@local.command()
@_where
@_form
@click.option("--unset", is_flag=True, help="Print what takes the settings back in a shell, as they were before.")
def env(state: Path, form: str, unset: bool) -> None:
    """Print the settings that point Azure's clients at it, as its deployer, which may do everything.

    \b
    eval "$(python3 -m entrant local env)" && python3 -m entrant token arm
    eval "$(python3 -m entrant local env)"; eval "$(python3 -m entrant local env --unset)"
    python3 -m entrant local env --format dotenv
    """
    if unset:
        if form not in formats.SHELLS:
            raise ConfigurationError(f"--unset is for a shell, not for {form}", next_step="give --format of a shell")
        terminal.say_exactly(shells.take_back(form, os.environ))
        return
    azure = _running(state)
    _print(azure.environment(), form)


@local.command()
@click.argument("name")
@_where
@click.option(
    "--role",
    "roles",
    multiple=True,
    metavar="ROLE[=SCOPE]",
    help="A built-in role that it has, at a scope that is made when missing; by default its subscription. Repeatable.",
)
@_form
def identity(state: Path, name: str, roles: tuple[str, ...], form: str) -> None:
    """Register an app NAME with a service principal, a client secret and roles; prints the settings to be it, as `env` does.

    \b
    eval "$(python3 -m entrant local identity reporter --role Reader)" && python3 -m entrant token arm
    python3 -m entrant local identity nobody --format json
    """
    azure = _running(state)
    pairs = [role.partition("=")[::2] for role in roles]
    granted = [(role, scope or f"/subscriptions/{azure.subscription_id}") for role, scope in pairs]
    _print(azure.environment(azure.create_identity(name, roles=granted)), form)


@local.command()
@_where
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--purge", is_flag=True, help="Stop it and remove its directory too: certificate authority, port, deployer."
)
def reset(state: Path, yes: bool, purge: bool) -> None:
    """Forget everything that was made in it: back to its first start, with the same address, tenant and deployer.

    \b
    python3 -m entrant local reset --yes
    """
    if not (state / "state.db").exists():  # nothing else is taken for one, or removed
        return
    if not yes:
        click.confirm(f"Forget everything in {os.path.relpath(state)}?", abort=True, err=True)
    if purge:
        local_azure.stop(state)
        shutil.rmtree(state)
        if shells.has_settings_of(state, os.environ):
            click.echo(shells.hint("python3 -m entrant local env --unset"), err=True)
        return
    running = local_azure.find(state)
    (running or local_azure.start(state)).reset()
    if running is None:
        local_azure.stop(state)


def _seed(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value not in (None, "none") and not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise click.BadParameter("a whole number, or none")
    return value


@local.command()
@_where
@click.option("--roles", type=click.FloatRange(0, 86400), metavar="SECONDS", help="Until a new role assignment works.")
@click.option(
    "--insights",
    type=click.FloatRange(0, 86400),
    metavar="SECONDS",
    help="Until a new role assignment works at Application Insights; by default as --roles.",
)
@click.option("--secrets", type=click.FloatRange(0, 86400), metavar="SECONDS", help="Until a new client secret works.")
@click.option(
    "--ahead",
    type=options.Duration(bare=True),
    callback=lambda ctx, parameter, value: None if value is None else value.total_seconds(),
    metavar="DURATION",
    help="How far its clock is ahead, such as 10m or 90d.",
)
@click.option("--speed", type=click.FloatRange(0, 100_000, min_open=True), help="Its clock's seconds in a second.")
@click.option("--quota", type=click.IntRange(1, 10**9), metavar="OBJECTS", help="How many objects its directory takes.")
@click.option(
    "--latency",
    callback=_seed,
    metavar="SEED|none",
    help="Answer as slowly as the real cloud does, the same for the same seed; `none` at once.",
)
@click.option("--quotas/--no-quotas", default=None, help="Refuse (429) more requests than the real cloud takes.")
@click.option("--rotate-keys", is_flag=True, help="Sign tokens with a new key from now on.")
def settings(
    state: Path,
    roles: float | None,
    insights: float | None,
    secrets: float | None,
    ahead: float | None,
    speed: float | None,
    quota: int | None,
    latency: str | None,
    quotas: bool | None,
    rotate_keys: bool,
) -> None:
    """Change how soon things work, its pace, what its clock says and how much its directory takes; prints all settings as JSON.

    What the pace is, and where its figures come from, is in docs/local.md. It ends with a restart.

    \b
    python3 -m entrant local settings --roles 120 --secrets 15
    python3 -m entrant local settings --ahead 90d
    python3 -m entrant local settings --quota 300
    python3 -m entrant local settings --latency 1 --quotas
    """
    azure = _running(state)
    if rotate_keys:
        azure.admin("POST", "keys/rotate")
    delays = (("roles", roles), ("secrets", secrets), ("insights", insights))
    propagation = {name: value for name, value in delays if value is not None}
    clock = {name: value for name, value in (("offset", ahead), ("speed", speed)) if value is not None}
    settings = (("propagation", propagation), ("clock", clock), ("directory_quota", quota))
    changes: dict[str, Any] = {name: value for name, value in settings if value}
    if latency is not None:
        changes["latency"] = None if latency == "none" else int(latency)
    if quotas is not None:
        changes["quotas"] = quotas
    click.echo(json.dumps(azure.admin("PATCH", "settings", changes), indent=2))


# --------------------------------------------------------------------------------------------------------------- the log


@local.command()
@_where
@click.option("-n", "--lines", type=click.IntRange(0, 1000), default=50, show_default=True, help="The last so many.")
@click.option("-f", "--follow", is_flag=True, help="Go on with each new request until interrupted.")
@click.option("--refused", is_flag=True, help="Only requests that were refused or broken.")
@options.form("text", "json", default="text", help="JSON is one object a line.")
def log(state: Path, lines: int, follow: bool, refused: bool, form: str) -> None:
    """Print what it was asked, by whom, and what it answered, newest last; of each refusal the cause and what to do.

    \b
    python3 -m entrant local log -n 10
    python3 -m entrant local log --refused --format json
    """
    azure = _running(state)
    for entry in _entries(azure, lines, follow, refused):
        entry["explanation"] = _explained(entry)
        click.echo(json.dumps(entry) if form == "json" else _line(entry))


def _entries(azure: local_azure.LocalAzure, lines: int, follow: bool, refused: bool) -> Iterator[dict[str, Any]]:
    """The last requests, and with `follow` each that comes, without end."""
    seen = azure.requests()
    last = seen[-1]["number"] if seen else 0

    def wanted(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [one for one in entries if not refused or one["status"] is None or one["status"] >= 400]

    held = wanted(seen)
    yield from held[max(len(held) - lines, 0) :]
    while follow:
        time.sleep(0.2)
        new = azure.requests(after=last)
        last = new[-1]["number"] if new else last
        yield from wanted(new)


def _explained(entry: dict[str, Any]) -> str | None:
    """The cause of a refusal and what to do, or None when it is not known."""
    if "code" not in entry:
        return None
    found = explain.explain(f"{entry['code']} {entry['message']}")
    return f"{found[0].cause}; {found[0].next_step}" if found else None


def _line(entry: dict[str, Any]) -> str:
    who = entry.get("principal") or {}
    name = who.get("name") or who.get("client_id") or "-"
    status = "broken" if entry["status"] is None else entry["status"]
    line = f"{entry['time']}  {status:<6}  {entry['milliseconds'] / 1000:7.3f} s  {name}  {entry['method']} {entry['path']}"
    if "code" in entry:
        line += f"\n    {entry['code']}: {entry['message'].partition(' Trace ID: ')[0]}"
        line += f"\n    {entry['explanation']}" if entry["explanation"] else ""
    return line


# ------------------------------------------------------------------------------------------------------------ the faults


@local.command()
@click.argument("kind", required=False, type=click.Choice(["status", "reset", "slow", "replication", "operation"]))
@_where
@click.option(
    "--family", metavar="NAME", help="Only at: token, graph, arm, logs, insights, metrics, ingestion or keyvault."
)
@click.option("--route", metavar="PATH", help="Only where the path starts so.")
@click.option("--method", metavar="METHOD", help="Only requests of this HTTP method.")
@click.option("--status", type=int, metavar="CODE", help="What `status` answers: 429, 500, 502, 503 (default) or 504.")
@click.option("--retry-after", type=int, metavar="SECONDS", help="The Retry-After header of `status` and `operation`.")
@click.option(
    "--seconds",
    type=float,
    help="How long `slow` waits, `replication` hides what was created, or an `operation` takes. Default: 1.",
)
@click.option("--rate", type=float, metavar="SHARE", help="The share that is hit, such as 0.3; by default all.")
@click.option("--count", type=int, help="How many are hit at most; by default no end.")
@click.option("--after", is_flag=True, help="`status` and `reset` lose only the answer: what was asked for is done.")
@click.option("--unknown", metavar="NAME", help="What `replication` hides an object by: id or appId; by default both.")
@click.option("--fails", is_flag=True, help="An `operation` ends as failed.")
@click.option(
    "--from", "file", type=click.File(encoding="utf-8"), help="Put the rules and the seed of a YAML file in force."
)
@click.option(
    "--seed", type=int, metavar="N", help="Begin this seed's sequence: the same requests meet the same faults."
)
@click.option("--clear", is_flag=True, help="End all faults.")
def faults(state: Path, kind: str | None, file: TextIO | None, seed: int | None, clear: bool, **fields: Any) -> None:
    """Let requests fail: add a rule of a KIND, or put a file of them in force; prints what is, as such a file.

    status answers with an error, reset breaks the connection, slow delays, replication lets what was just created be unknown,
    operation lets Resource Manager answer at once and finish its work later. The first rule that fits a request decides. Any change
    begins the seed's sequence anew.

    \b
    python3 -m entrant local faults status --family graph --status 429 --retry-after 1 --rate 0.3 --seed 7
    python3 -m entrant local faults replication --seconds 5
    python3 -m entrant local faults > faults.yaml && python3 -m entrant local faults --from faults.yaml
    python3 -m entrant local faults --clear
    """
    azure = _running(state)
    rule = {name: value for name, value in fields.items() if value not in (None, False)}
    if (kind is not None) + (file is not None) + clear > 1:
        raise ConfigurationError("a KIND, --from and --clear are three ways", next_step="use one at a time")
    if rule and kind is None:
        name = next(iter(rule)).replace("_", "-")
        raise ConfigurationError(
            f"--{name} belongs to a rule", next_step="name its kind, such as `local faults status`"
        )
    held = azure.admin("GET", "faults")
    if clear:
        held = {"rules": [], "seed": 0}
    elif file is not None:
        held = _read(file)
    elif kind is not None:
        held["rules"].append({"kind": kind, **rule})
    if seed is not None:
        held["seed"] = seed
    if clear or file is not None or kind is not None or seed is not None:
        held = azure.admin("PUT", "faults", held)
    click.echo(_shown(held), nl=False)


def _read(file: TextIO) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file.name} is not YAML: {error}") from None
    if isinstance(content, list):
        content = {"rules": content}
    if not isinstance(content, dict):
        raise ConfigurationError(f"{file.name} holds no rules", next_step="write `rules:` with a list, and `seed:`")
    return content


def _shown(held: dict[str, Any]) -> str:
    """Rules as YAML that `--from` takes: what was said of each, and as a comment how many requests it hit."""
    usual = {"family": "", "route": "", "method": "", "retry_after": None, "rate": 1, "count": None, "after": False}
    usual |= {"unknown": "", "fails": False}
    lines = [f"seed: {held['seed']}", "rules:" if held["rules"] else "rules: []"]
    for rule in held["rules"]:
        matters = {"status": ("status",), "reset": ()}.get(rule["kind"], ("seconds",))
        shown = {
            name: value
            for name, value in rule.items()
            if name in ("kind", *matters) or (name in usual and value != usual[name])
        }
        flow = yaml.safe_dump(shown, default_flow_style=True, sort_keys=False, width=1000).strip()
        lines.append(f"  - {flow}  # hit {rule['hits']}")
    return "\n".join(lines) + "\n"
