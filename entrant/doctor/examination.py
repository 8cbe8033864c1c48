"""Before `pulumi up`, as the deployer: what would stand in the way, and what to do about it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from entrant import config, engine, outputs
from entrant.access.deployer import Deployer
from entrant.doctor import azure_rights, directory_rights, identity, limits, machine, references
from entrant.doctor.findings import Finding
from entrant.errors import EntrantError, StackNotFoundError
from entrant.outputs import App


def examine(
    environment: config.Environment,
    deployer: Deployer | None,
    *,
    cwd: Path,
    environ: Mapping[str, str],
    stack: str | None = None,
) -> Iterator[Finding]:
    """Everything that can be looked at; where a look fails, its finding is `unknown` and says why.

    What the outputs of `stack` have is there already: rights for it and room for it are not asked for again.
    """
    yield from _each(machine.engine, cwd, environ)
    if deployer is None:
        yield Finding(
            "deployer",
            "problem",
            "no identity is set up",
            "log in with `az login`, or set ARM_CLIENT_ID, ARM_TENANT_ID and a credential",
        )
        return
    there: Mapping[str, App] = {}
    if stack is not None:
        try:
            there = _there(stack, cwd, environ)
        except EntrantError as error:
            message = f"its outputs are not readable, so all of the file counts as new: {error}"
            yield Finding("stack", "unknown", message, error.next_step)
    for look in (identity.who, limits.lifetime):
        yield from _each(look, environment, deployer)
    for compare in (
        directory_rights.applications,
        directory_rights.owners,
        directory_rights.rights,
        references.look_ups,
        azure_rights.roles,
        azure_rights.definitions,
        limits.quotas,
    ):
        yield from _each(compare, environment, deployer, there)
    yield from _each(references.existing, environment, deployer, there, lambda: _held_ids(stack, cwd, environ))


def _there(stack: str, cwd: Path, environ: Mapping[str, str]) -> Mapping[str, App]:
    """The apps of a stack's outputs; none before its first `up`.

    Raises:
        EntrantError: the outputs cannot be read.
    """
    try:
        stdout = engine.run(["stack", "output", "--json", "--stack", stack], cwd=cwd, environ=environ).stdout
    except StackNotFoundError:
        return {}
    return (
        {}
        if stdout.strip() in ("", "{}")
        else outputs.from_text(stdout, f"the output of stack {stack}", secrets=False).apps
    )


def _held_ids(stack: str | None, cwd: Path, environ: Mapping[str, str]) -> list[str]:
    """The ids of all that a stack holds: more than its outputs say, when an `up` has failed on the way."""
    if stack is None:
        return []
    try:
        deployment = engine.export(stack, cwd=cwd, environ=environ)["deployment"]
    except StackNotFoundError:
        return []
    return [entry["id"] for entry in deployment.get("resources") or () if entry.get("id")]


def _each(look: Callable[..., Iterator[Finding]], *arguments: object) -> Iterator[Finding]:
    try:
        yield from look(*arguments)
    except EntrantError as error:
        yield Finding(look.__name__, "unknown", str(error), error.next_step)
