"""`entrant metrics`: custom metrics as an app."""

from typing import Any, BinaryIO

import click

from entrant.access import monitor
from entrant.commands import options, source
from entrant.commands.tables import only_grant
from entrant.errors import ConfigurationError, EntrantError
from entrant.words import counted


@click.group()
def metrics() -> None:
    """Azure Monitor custom metrics."""


class _WithNumbers(click.Command):
    """A command whose last argument may be a negative number, which would be taken for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put a negative number behind `--`."""
        numbers = [] if "--" in args else [arg for arg in args if arg.startswith("-") and _number(arg) is not None]
        if numbers:
            args = [*(arg for arg in args if arg not in numbers), "--", *numbers]
        return super().parse_args(ctx, args)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@metrics.command("send", cls=_WithNumbers)
@click.argument("words", nargs=-1, metavar="[APP] NAME VALUE", shell_complete=options.complete_apps)
@source.source
@click.option(
    "-f",
    "--from",
    "samples",
    type=click.File("rb"),
    help="Send the samples of a file of JSON lines, or - for standard input.",
)
@click.option("-r", "--resource", metavar="ID", help="The resource's id; without it, the one the app has a role on.")
@click.option("--namespace", help="The metric's namespace; entrant unless given.")
@click.option("-d", "--dimension", "dimensions", multiple=True, metavar="NAME=VALUE")
@click.option("--region", help="The resource's region, part of the address in Microsoft's clouds.")
def metrics_send(
    words: tuple[str, ...],
    samples: BinaryIO | None,
    resource: str | None,
    namespace: str | None,
    dimensions: tuple[str, ...],
    region: str | None,
    **whose: Any,
) -> None:
    """Send one value of a custom metric as an app; with --from many, a JSON object with name, value, dimensions, time a line.

    Everything is checked before anything is sent. Lines of one metric and second with the same dimensions are added up and go
    together; if a request fails, what was accepted before is named.

    \b
    python3 -m entrant metrics send -s dev metrics-writer queue_length 7 -d queue=mail --region westeurope
    measure | python3 -m entrant metrics send -s dev metrics-writer --from - --region westeurope
    """
    named = 0 if samples else 2
    if len(words) not in (named, named + 1):
        raise click.UsageError("takes [APP] NAME VALUE, or [APP] --from FILE")
    app = words[0] if len(words) > named else None
    if samples:
        if namespace is not None or dimensions:
            raise ConfigurationError(
                "--namespace and --dimension are of one value",
                next_step='with --from, write "namespace" and "dimensions" on each line',
            )
        if samples.name == "<stdin>" and whose["file"] == "-":
            raise ConfigurationError("standard input holds the samples", next_step="give the outputs another way")
        lines, requests = _read(samples)
    else:
        name, number = words[-2:]
        value = _number(number)
        if value is None:
            raise ConfigurationError(f'the value of a metric is a number, not "{number}"')
        sample = monitor.Sample(name, value, namespace or "entrant", _pairs(dimensions))
        lines, requests = [], monitor.metrics([sample])
    who = source.app(app, **whose)
    where = resource or only_grant(who, None, "--resource")
    credential, found = source.token(who, "metrics")
    accepted = 0
    try:
        for request in requests:
            monitor.send_metrics(credential.cloud, found.access_token, where, [request.body], region=region)
            accepted += 1
    except EntrantError:
        if accepted:
            done, rest = (
                sorted(lines[index] for request in part for index in request.samples)
                for part in (requests[:accepted], requests[accepted:])
            )
            click.echo(f"accepted for {where}: lines {_ranges(done)}; not accepted: lines {_ranges(rest)}", err=True)
        raise
    values = f"{counted(len(lines), 'value')} in " if samples else ""
    options.remark(f"accepted: {values}{counted(accepted, 'request')} for {where}")


def _read(file: BinaryIO) -> tuple[list[int], list[monitor.MetricRequest]]:
    """The lines that hold samples, and the requests for these."""
    name = "standard input" if file.name == "<stdin>" else file.name
    try:
        found = monitor.read_samples(file.read().decode("utf-8-sig"))
        return list(found), monitor.metrics(found.values())
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is not UTF-8; nothing was sent") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: nothing was sent: {error}", next_step=error.next_step) from None


def _ranges(numbers: list[int]) -> str:
    """
    >>> _ranges([1, 2, 3, 7])
    '1-3, 7'
    """
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, part)) for part in parts)


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, value = _pair(text)
        if name in pairs:
            raise ConfigurationError(f'the dimension "{name}" is given twice', next_step="give it once")
        pairs[name] = value
    return pairs


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ConfigurationError(f'"{text}" is not NAME=VALUE')
    return name, value
