"""The `entrant` command. Data on standard output, words on standard error; exit codes follow Pulumi's."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from entrant import bootstrap
from entrant.errors import ConfigurationError, EntrantError

if TYPE_CHECKING:
    from entrant.outputs import App
    from entrant.tokens import Credential, Token

_F = TypeVar("_F", bound=Callable[..., Any])


def main() -> int:
    """Run the command line; the process's exit code."""
    try:
        result = cli.main(prog_name="entrant", standalone_mode=False)
    except EntrantError as error:
        _say(f"entrant: {error}")
        if error.next_step:
            _say(f"  What to do: {error.next_step}")
        return error.exit_code
    except bootstrap.SetupError as error:
        _say(f"entrant: {error}\n  What to do: {error.remedy}")
        return 1
    except _local_errors() as error:
        _say(f"entrant: {error}")
        return 1
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        _say("entrant: interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads on; keep the interpreter's last flush quiet
        return 141
    return result if isinstance(result, int) else 0


def _local_errors() -> tuple[type[Exception], ...]:
    """What the local Azure and its plugins raise, if they were loaded: their messages hold the remedy."""
    classes = {"local_azure": "LocalAzureError", "local_azure.plugins": "InstallError"}
    return tuple(getattr(sys.modules[module], name) for module, name in classes.items() if module in sys.modules)


def _say(text: str) -> None:
    click.echo(text, err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Declare Azure app identities in YAML, put them up with Pulumi, and get bearer tokens that work.

    \b
    python3 -m entrant rehearse dev                  the whole job on a local Azure
    python3 -m entrant validate                      check every environment, without any cloud
    pulumi up -s dev                                 the job on a real tenant
    python3 -m entrant token -s dev log-reader logs  a bearer token for the Log Analytics API
    """


def _source(command: _F) -> _F:
    """The options that say whose token: a stack, a file of outputs, or the AZURE_* variables."""
    command = click.option(
        "-s",
        "--stack",
        metavar="STACK",
        help="The Pulumi stack that declares the app; without it, the AZURE_* variables.",
    )(command)
    command = click.option(
        "--outputs",
        "file",
        metavar="FILE",
        help="Stack outputs from a file, or - for standard input: `pulumi stack output --json --show-secrets`.",
    )(command)
    return click.option(
        "-C", "--cwd", type=click.Path(file_okay=False, exists=True, path_type=Path), help="Run as if here."
    )(command)


def _app(name: str | None, stack: str | None, file: str | None, cwd: Path | None) -> "App":
    import entrant
    from entrant import outputs

    if stack and file:
        raise ConfigurationError("--stack and --outputs are two sources", next_step="give one of them")
    if file:
        found = outputs.from_text(sys.stdin.read(), "standard input") if file == "-" else outputs.from_file(Path(file))
        return found.app(name)
    if stack:
        return entrant.from_stack(stack, cwd=cwd).app(name)
    if name is not None:
        raise ConfigurationError(f'"{name}" is an app of which stack?', next_step="name it with -s STACK")
    return outputs.from_environment(os.environ)


def _token(app: "App", audience: str) -> "tuple[Credential, Token]":
    from entrant import clouds, tokens

    credential = tokens.credential(app)
    return credential, tokens.fetch(credential, app, clouds.scope(credential.cloud, audience))


# ---------------------------------------------------------------------------------------------------------- rehearsing


@cli.command()
@click.argument("stack")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON summary on standard output.")
@click.option(
    "--env", "as_env", is_flag=True, help="Print the shell settings of the rehearsal, for eval, and do nothing else."
)
@click.option("--down", is_flag=True, help="Destroy what the rehearsal made and remove its state.")
@click.option(
    "--propagation",
    type=click.FloatRange(0, 3600),
    default=2.0,
    show_default=True,
    help="Seconds until a new role assignment or secret takes effect on the local Azure.",
)
@click.option(
    "--plugins",
    type=click.Choice(["auto", "real", "stand-in"]),
    default="auto",
    show_default=True,
    help="Pulumi's real resource plugins where it can have them, or the local Azure's stand-ins.",
)
def rehearse(stack: str, as_json: bool, as_env: bool, down: bool, propagation: float, plugins: str) -> None:
    """Run environment STACK, unchanged, on a local Azure: `pulumi up`, tokens, first API calls.

    Sets up whatever is missing. A second run reuses everything. Nothing outside .entrant/ is touched.

    \b
    python3 -m entrant rehearse dev
    eval "$(python3 -m entrant rehearse dev --env)" && pulumi preview --diff -s dev
    python3 -m entrant rehearse dev --down
    """
    import config
    from entrant import rehearsal
    from entrant.progress import Steps

    job = rehearsal.Rehearsal(stack)
    if as_env:
        click.echo(rehearsal.shell(job))
        return
    steps = Steps()
    with bootstrap.locked(job.folder.parent / f"{stack}.lock"):
        if down:
            rehearsal.down(job, steps)
            return
        try:
            summary = rehearsal.run(job, propagation=propagation, which=plugins, steps=steps)
        except config.ConfigError as error:
            raise _refused(error) from None
    if as_json:
        click.echo(rehearsal.json_summary(summary))
    for line in _closing(stack, summary):
        _say(line)


def _closing(stack: str, summary: dict[str, Any]) -> list[str]:
    first = next(iter(summary["apps"]), "APP")
    return [
        f"The local Azure is at {summary['local_azure']['url']}; Pulumi's state is in {summary['pulumi']['state']}.",
        "Try next:",
        f'  eval "$(python3 -m entrant rehearse {stack} --env)"',
        f"  pulumi preview --diff -s {stack}",
        f"  python3 -m entrant token -s {stack} {first} logs",
        f"  python3 -m entrant rehearse {stack} --down",
    ]


def _refused(error: Any) -> ConfigurationError:
    count = len(error.problems)
    return ConfigurationError(
        "\n".join([f"{count} problem{'s' if count != 1 else ''}, nothing was made:", *map(str, error.problems)]),
        next_step="correct the file; `python3 -m entrant validate` checks it without any cloud",
    )


@cli.command()
@click.argument("stacks", nargs=-1)
def validate(stacks: tuple[str, ...]) -> int:
    """Check environments (all of config/, or those named) without any cloud; every problem with file, line and column.

    \b
    python3 -m entrant validate
    python3 -m entrant validate dev prod
    """
    import config

    names = stacks or tuple(config.environments(root=bootstrap.ROOT))
    reports = [config.check(name, root=bootstrap.ROOT) for name in names]
    problems = dict.fromkeys(problem for report in reports for problem in report.problems)
    for problem in problems:
        click.echo(str(problem))
    wrong = sum(report.environment is None for report in reports)
    _say(f"{len(reports)} environments checked, {wrong} with errors, {len(problems)} problems")
    return 2 if wrong else 0


# --------------------------------------------------------------------------------------------------------------- tokens


@cli.command()
@click.argument("app", required=False)
@click.argument("audience")
@_source
@click.option("--format", "form", type=click.Choice(["raw", "json", "header"]), default="raw", show_default=True)
def token(app: str | None, audience: str, stack: str | None, file: str | None, cwd: Path | None, form: str) -> None:
    """Print a bearer token for AUDIENCE and nothing else: logs, metrics, arm, graph, …, a resource URL or a scope.

    APP may be left out where the stack has one, or with AZURE_* variables.

    \b
    python3 -m entrant token -s dev log-reader logs
    python3 -m entrant token -s dev metrics-writer metrics --format header
    """
    from entrant import formats

    _, found = _token(_app(app, stack, file, cwd), audience)
    click.echo(formats.render(found, form))


@cli.group()
def logs() -> None:
    """Log Analytics."""


@logs.command("query")
@click.argument("app", required=False)
@click.argument("query")
@_source
@click.option(
    "-w", "--workspace", metavar="ID", help="Workspace GUID or resource id; without it, the one the app has a role on."
)
@click.option("--timespan", metavar="ISO8601", help="Such as P1D, or start/end.")
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def logs_query(
    app: str | None,
    query: str,
    stack: str | None,
    file: str | None,
    cwd: Path | None,
    workspace: str | None,
    timespan: str | None,
    form: str,
) -> None:
    """Run a KQL query as an app.

    \b
    python3 -m entrant logs query -s dev log-reader 'Heartbeat | take 5'
    """
    from entrant import formats, monitor

    who = _app(app, stack, file, cwd)
    where = workspace or _only_grant(who, "Microsoft.OperationalInsights/workspaces", "--workspace")
    credential, found = _token(who, "logs")
    table = monitor.query_logs(credential.cloud, found.access_token, where, query, timespan=timespan)
    click.echo(formats.table(table.columns, table.rows, form), nl=False)


@cli.group()
def metrics() -> None:
    """Azure Monitor custom metrics."""


@metrics.command("send")
@click.argument("app", required=False)
@click.argument("name")
@click.argument("value", type=float)
@_source
@click.option("-r", "--resource", metavar="ID", help="The resource's id; without it, the one the app has a role on.")
@click.option("--namespace", default="entrant", show_default=True)
@click.option("-d", "--dimension", "dimensions", multiple=True, metavar="NAME=VALUE")
@click.option("--region", help="The resource's region, part of the address in Microsoft's clouds.")
def metrics_send(
    app: str | None,
    name: str,
    value: float,
    stack: str | None,
    file: str | None,
    cwd: Path | None,
    resource: str | None,
    namespace: str,
    dimensions: tuple[str, ...],
    region: str | None,
) -> None:
    """Send one value of a custom metric as an app.

    \b
    python3 -m entrant metrics send -s dev metrics-writer queue_length 7 -d queue=mail --region westeurope
    """
    from entrant import monitor

    pairs = dict(_pair(text) for text in dimensions)
    who = _app(app, stack, file, cwd)
    where = resource or _only_grant(who, None, "--resource")
    body = monitor.metric(name, value, namespace=namespace, dimensions=pairs)
    credential, found = _token(who, "metrics")
    monitor.send_metrics(credential.cloud, found.access_token, where, [body], region=region)
    _say(f"accepted: {namespace}/{name} = {value:g} for {where}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigurationError(f'"{text}" is not NAME=VALUE')
    return name, value


def _only_grant(app: "App", resource_type: str | None, option: str) -> str:
    """The one resource (of a type) that the app has a role on."""
    from facts.scopes import parse_scope

    scopes = {
        grant.scope.lower(): scope
        for grant in app.grants
        if (scope := parse_scope(grant.scope)).kind == "resource"
        and (resource_type is None or scope.resource_type.lower() == resource_type.lower())
    }
    if len(scopes) != 1:
        found = ", ".join(scope.id for scope in scopes.values()) or "none"
        raise ConfigurationError(
            f"{app.name} has roles on {len(scopes)} such resources ({found})", next_step=f"say which with {option}"
        )
    return next(iter(scopes.values())).id


# --------------------------------------------------------------------------------------------------------------- tests


@cli.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> int:
    """Run every test, the linter and the type checker; arguments go to pytest.

    \b
    python3 -m entrant test
    python3 -m entrant test tests/config -k extends
    """
    checks: list[list[str]] = (
        []
        if arguments
        else [
            ["ruff", "check", "."],
            ["ruff", "format", "--check", "."],
            ["mypy"],
        ]
    )
    failed = 0
    for check in checks:
        _say(f"$ {' '.join(check)}")
        failed |= subprocess.call([sys.executable, "-m", *check], cwd=bootstrap.ROOT)
    code = subprocess.call([sys.executable, "-m", "pytest", *arguments], cwd=bootstrap.ROOT)
    return code or (1 if failed else 0)


@cli.command(hidden=True)
def about() -> None:
    """What is set up, as JSON, for bug reports."""
    click.echo(json.dumps(bootstrap.describe(), indent=2))
