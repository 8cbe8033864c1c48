"""The `pulumi` command, run as a program: outputs, and operations followed through their event log."""

import contextlib
import json
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entrant import outputs, plugins, project
from entrant.errors import ConfigurationError, EngineError, StackNotFoundError
from entrant.setup import pins
from entrant.setup.engine import find_pulumi

Event = Mapping[str, Any]
_LOADING = frozenset({"up", "update", "preview", "refresh", "destroy", "import", "watch"})
"""Operations that load plugins, as the state has them."""
_log = logging.getLogger(__name__)


def find(environ: Mapping[str, str] = os.environ) -> Path:
    """The `pulumi` to run: the one on PATH, else the one set up below `.entrant`.

    Raises:
        EngineError: there is none.
    """
    on_path = shutil.which("pulumi", path=environ.get("PATH"))
    if on_path:
        return Path(on_path)
    own = find_pulumi()
    if own is None:
        raise EngineError(
            "there is no pulumi on PATH",
            next_step="install Pulumi, or run `python3 -m entrant rehearse dev`, which sets one up",
        )
    return own.path


PARALLEL = {"PULUMI_PARALLEL": "64"}
"""How many resources Pulumi works on at once where nobody says: it mostly waits for the cloud, and its own choice is four for each
core. With 64, the writes of some 600 apps stay within Microsoft Graph's 3,000 in 150 seconds."""

ONE_WRITE = {"PULUMI_SKIP_CHECKPOINTS": "true"}
"""Has Pulumi write a state at the end of an operation and not at each step, which takes longer than all else with some hundred
resources. For rehearsals, whose cloud is thrown away: what a killed run made is not found whole without the steps
(docs/decisions/2026-11-26-a-state-at-each-step.md)."""


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`environ` with `PARALLEL`, and with the folders where the language host looks for Python and for Pulumi first on PATH."""
    first = [str(Path(sys.executable).parent), str(find(environ).parent)]
    return PARALLEL | dict(environ) | {"PATH": os.pathsep.join([*first, environ.get("PATH", os.defpath)])}


def run(
    arguments: list[str],
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    check: bool = True,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run `pulumi` to its end with its output captured; it reads `stdin`.

    Raises:
        StackNotFoundError, EngineError: it failed (unless `check` is false); the message carries what it said on stderr.
        ForeignPluginError: it would load plugins, and the state or project asks for some that are not this project's.
    """
    if arguments[0] in _LOADING:
        refuse_foreign_plugins(_stack_of(arguments), operation=arguments, cwd=cwd, environ=environ)
    _log.debug("pulumi %s", shlex.join(arguments))
    done = subprocess.run(
        [str(find(environ)), "--non-interactive", "--color=never", *arguments],
        cwd=cwd,
        env=environment(environ),
        input=stdin,
        capture_output=True,
        text=True,
    )
    _log.debug("pulumi %s ended with exit code %d", arguments[0], done.returncode)
    if check and done.returncode:
        raise failure(arguments, done.returncode, done.stderr or done.stdout)
    return done


def failure(arguments: list[str], code: int, output: str) -> EngineError:
    """The error for a failed call, from what the engine said."""
    words = "\n".join(line for line in output.strip().splitlines() if line.strip())
    if "no stack named" in words:
        return StackNotFoundError(
            words.removeprefix("error: "),
            status=code,
            next_step="check -s, and `pulumi whoami -v` for the backend in use; `pulumi stack init` makes a new stack",
        )
    remedy = next((what for mark, what in _REMEDIES if mark in words), None)
    shown = f"pulumi {arguments[0]} ended with exit code {code}:\n{words[-4000:]}"
    return EngineError(shown, status=code, next_step=remedy)


_TAKEN = (
    "if an earlier run was killed or failed, `python3 -m entrant recover -s STACK` notes what it made; what somebody else made "
    "is taken over with `adopt` in the file"
)
_REMEDIES = (
    (
        "PULUMI_ACCESS_TOKEN must be set",
        "run `pulumi login` (`pulumi login file://FOLDER` and others work too), or set PULUMI_BACKEND_URL",
    ),
    (
        "passphrase must be set",
        "set PULUMI_CONFIG_PASSPHRASE, or PULUMI_CONFIG_PASSPHRASE_FILE, to what the stack was made with",
    ),
    ("incorrect passphrase", "PULUMI_CONFIG_PASSPHRASE (or …_FILE) is not what the stack was made with"),
    (
        "secrets (code=PermissionDenied)",
        "whoever runs this has to decrypt with the key of the stack's secrets, for a key in Key Vault as *Key Vault Crypto User*",
    ),
    (
        "ERROR CODE: BadParameter",
        "the stack does not name the version of its key, and the key has a newer one: name it, as docs/backends.md says",
    ),
    ("failed to load checkpoint", "`python3 -m entrant recover -s STACK` offers the last state that can be read"),
    ("`prevent_duplicate_names` was specified", _TAKEN),
    ("this resource needs to be imported", _TAKEN),
    ("cannot create already existing resource", _TAKEN),
    ("no Pulumi.yaml project file found", "run it in the project's folder, or name that with -C"),
)
"""What pulumi says when it cannot begin → what to do about it."""


def stack_outputs(
    stack: str, *, secrets: bool = True, cwd: Path | None = None, environ: Mapping[str, str] = os.environ
) -> outputs.Outputs:
    """The outputs of a stack, read through `pulumi stack output`; its secrets decrypted, or none of them read."""
    arguments = ["stack", "output", "--json", *(["--show-secrets"] if secrets else []), "--stack", stack]
    stdout = run(arguments, cwd=cwd, environ=environ).stdout
    return outputs.from_text(stdout, f"the output of stack {stack}", secrets=secrets)


def export(
    stack: str, *, secrets: bool = False, cwd: Path | None = None, environ: Mapping[str, str] = os.environ
) -> dict[str, Any]:
    """`pulumi stack export`, its secrets encrypted unless `secrets` asks for them in clear."""
    clear = ["--show-secrets"] if secrets else []
    return dict(json.loads(run(["stack", "export", *clear, "--stack", stack], cwd=cwd, environ=environ).stdout))


def selected(*, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """The stack that is selected, as `pulumi stack` has it.

    Raises:
        EngineError: none is, or there is no Pulumi, project or login.
    """
    return run(["stack", "--show-name"], cwd=cwd, environ=environ).stdout.strip()


def setting(stack: str, key: str, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> str | None:
    """A value of a stack's configuration that is no secret; None when it has none of that name."""
    found = json.loads(run(["config", "--json", "--stack", stack], cwd=cwd, environ=environ).stdout)
    value = found.get(key, {}).get("value")
    return str(value) if value is not None else None


def environment_of(stack: str, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> str:
    """What `config` finds the environment of a stack by: the file that its settings name, wherever Pulumi has them, or its name."""
    return setting(stack, "entrant:environment", cwd=cwd, environ=environ) or stack


class ForeignPluginError(EngineError):
    """A state or a project asks Pulumi for plugins that are not this project's."""


def refuse_foreign_plugins(
    stack: str | None,
    *,
    operation: list[str] | None = None,
    cwd: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Look at the plugins that a stack's state and the project ask for, before an operation (`operation`) loads them.

    Raises:
        ForeignPluginError: some are not this project's.
        StackNotFoundError, EngineError: the state cannot be read.
    """
    root = project.find(cwd)
    try:
        may_run = plugins.allowed(root)
    except ValueError as error:
        raise ConfigurationError(
            str(error), next_step="correct the line, or write the file anew: `entrant setup --pin`"
        ) from None
    of_stack = ["--stack", stack] if stack else []
    done = run(["stack", "export", *of_stack], cwd=cwd, environ=environ, check=False)
    if done.returncode:
        raise failure(operation or ["stack", "export"], done.returncode, done.stderr or done.stdout)

    def own(package: str, name: str) -> set[str]:
        settings = json.loads(run(["config", "--json", *of_stack], cwd=cwd, environ=environ).stdout)
        setting = settings.get(f"{package}:{name}", {}).get("value")
        ours = {value for key, value in environ.items() if key.startswith(("ARM_", "AZURE_"))}
        return ours | ({setting} if setting else set())

    found = plugins.in_project(root, may_run) + plugins.in_state(json.loads(done.stdout), may_run, own)
    if found:
        listed = "\n".join(f"    {each}" for each in found[:20]) + ("\n    …" if len(found) > 20 else "")
        raise ForeignPluginError(
            f"the stack {stack or 'that is selected'} asks Pulumi to run what is not this project's, so nothing was run:\n{listed}",
            next_step="find out who wrote it, and put the last good version of the state back (docs/backends.md); a plugin that "
            f"the project does use is pinned in {pins.PLUGINS}",
        )


def _stack_of(arguments: list[str]) -> str | None:
    """The stack that a command line of Pulumi names; None when it names none."""
    for index, argument in enumerate(arguments[:-1]):
        if argument in ("--stack", "-s"):
            return arguments[index + 1]
    return next((each.partition("=")[2] for each in arguments if each.startswith("--stack=")), None)


@dataclass(frozen=True, slots=True)
class Summary:
    """What an operation did: the number of resources for each kind of change (`create`, `update`, `same`, …)."""

    changes: Mapping[str, int]

    @property
    def changed(self) -> int:
        """How many resources are not as they were."""
        return sum(count for kind, count in self.changes.items() if kind != "same")


def operate(
    arguments: list[str],
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    on_event: Callable[[Event], None] = lambda _: None,
) -> Summary:
    """Run `up`, `preview`, `refresh` or `destroy`, following its engine events as they come.

    Raises:
        EngineError: it failed; the message carries the diagnostics of the resources that did.
        ForeignPluginError: the state or project asks for plugins that are not this project's; nothing was run.
    """
    refuse_foreign_plugins(_stack_of(arguments), operation=arguments, cwd=cwd, environ=environ)
    import tempfile

    with tempfile.TemporaryDirectory(prefix="entrant-") as folder:
        log = Path(folder) / "events"
        command = [str(find(environ)), *arguments, "--non-interactive", "--color=never", "--event-log", str(log)]
        _log.debug("pulumi %s", shlex.join(arguments))
        process: subprocess.Popen[str] | None = None
        reader: threading.Thread | None = None
        messages: list[str] = []
        try:
            with _undisturbed():
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=environment(environ)
                    | {"PULUMI_DEBUG_COMMANDS": "true"},  # without it --event-log does not exist
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            assert process.stdout is not None
            reader = threading.Thread(target=messages.extend, args=(process.stdout,), daemon=True)
            reader.start()
            events = _follow(log, process, on_event)
            code = process.wait()
        except BaseException:
            if process is not None:
                process.terminate()  # pulumi cancels in order and releases its lock
                process.wait()
            raise
        finally:
            if reader is not None:
                reader.join()
            if process is not None and process.stdout is not None:
                process.stdout.close()
    _log.debug("pulumi %s ended with exit code %d", arguments[0], code)
    if code:
        raise failure(arguments, code, _diagnostics(events) or _errors(messages))
    summary: Mapping[str, Any] = next((event["summaryEvent"] for event in events if "summaryEvent" in event), {})
    return Summary(summary.get("resourceChanges") or {})


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a signal to end wait until the block is over: a program that is just being started would be left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
        if signal.getsignal(number) is not None
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _follow(log: Path, process: "subprocess.Popen[str]", on_event: Callable[[Event], None]) -> list[Event]:
    events: list[Event] = []
    rest = b""
    position = 0
    while True:
        ended = process.poll() is not None
        if log.exists():
            with log.open("rb") as source:
                source.seek(position)
                rest += source.read()
                position = source.tell()
            *lines, rest = rest.split(b"\n")
            for line in filter(None, lines):
                event = json.loads(line)
                events.append(event)
                on_event(event)
        if ended:
            return events
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue


def _errors(lines: list[str]) -> str:
    """What the engine said in the end, from its error on, without the progress before it."""
    first = next((index for index, line in enumerate(lines) if line.startswith("error:")), 0)
    return "".join(lines[first:])


def _diagnostics(events: list[Event]) -> str:
    return "\n".join(dict.fromkeys(filter(None, map(diagnosis, events))))


def diagnosis(event: Event) -> str | None:
    """What an error of the engine or of a provider says, after its resource's name, in an environment file's words.

    None for an event that is no error.
    """
    diagnostic = event.get("diagnosticEvent")
    if not diagnostic or diagnostic.get("severity") != "error":
        return None
    urn = diagnostic.get("urn", "")
    name = f"{urn.rsplit('::', 1)[-1]}: " if urn else ""
    return name + in_file_words(diagnostic["message"].strip())


def in_file_words(message: str) -> str:
    """An error with its remedy in the vocabulary of an environment's file, where it names an option of Pulumi or Terraform.

    What is not known stays as it is.
    """
    for pattern, words in _IN_FILE_WORDS:
        if found := re.search(pattern, message, re.DOTALL):
            return words.format(**{name: value or "" for name, value in found.groupdict().items()})
    return message


_IMPORT = r"(\.|\s*-) *[Tt]o be managed via (Terraform|Pulumi),? this (resource|association) needs to be imported"
_EXISTS = (
    "it was made manually or by another stack; `python3 -m entrant doctor -s STACK` shows the `adopt` line that takes it over, or "
    "remove it"
)
_IN_FILE_WORDS: tuple[tuple[str, str], ...] = (
    (
        r'existing "azuread_application" with name "(?P<name>[^"]*)" \(ID: "(?P<id>[^"]*)"\) was found',
        'the tenant has an app registration called "{name}" already, with the object id {id}; if that is meant and no stack '
        "declares it, take it over with `adopt: {{application: {id}}}` and `on_remove`, else give this app another "
        "`display_name`",
    ),
    (
        r'A resource with the ID "(/servicePrincipals/)?(?P<id>[0-9a-f-]{36})" already exists' + _IMPORT,
        "the app has a service principal already, with the object id {id}; take it over with `service_principal: {id}` under "
        "`adopt`, or take it as it is with `service_principal: {{use_existing: true}}`",
    ),
    (
        r'A resource with the ID "(?P<id>[0-9a-f-]{36})/member/[^"]*" already exists' + _IMPORT,
        "the app is a member of the group {id} already; take the membership over with `{{group: {id}, adopt: true}}` under "
        "`groups`, or remove it",
    ),
    (
        r'A resource with the ID "[^"]*/preAuthorizedApplication/(?P<id>[^"]*)" already exists'
        + _IMPORT
        + r"|the application pre-authorizes (?P<same>\S+) already",
        "the client {id}{same} is pre-authorized already; take the entry over with `adopt: true` beside `client`, or remove it",
    ),
    (
        r'A resource with the ID "/applications/[^"]*/knownClients" already exists'
        + _IMPORT
        + r"|the application has known clients already",
        "the registration has known clients already; take them over with `known_clients: true` under the app's `adopt`, or "
        "remove them",
    ),
    (
        r"FederatedIdentityCredential with name (?P<id>\S+) already exists|Issuer and subject combination already exists",
        "the registration has a federated credential of this name, or of this issuer and subject, already: " + _EXISTS,
    ),
    (
        r"Permission being assigned already exists on the object|Permission entry already exists",
        "the app has this consent already: " + _EXISTS,
    ),
    (
        r"(?=.*/roleManagement/directory/roleAssignments|.*[Dd]irectory role).*A conflicting object with one or more of the "
        r"specified property values is present in the directory",
        "the app has this directory role already: " + _EXISTS,
    ),
    (
        r'A resource with the ID "(?P<id>[^"]*)" already exists' + _IMPORT,
        "{id} is there already and does not belong to this stack: it was made manually or by another stack; remove it there "
        "and run again, or take the entry out of the file",
    ),
    (
        r"RoleAssignmentExists.*?ID of the (existing|conflicting) role assignment is (?P<a>[0-9a-f]{8})-?(?P<b>[0-9a-f]{4})"
        r"-?(?P<c>[0-9a-f]{4})-?(?P<d>[0-9a-f]{4})-?(?P<e>[0-9a-f]{12})",
        "the app has this role at this scope already, by an assignment made manually or by another stack; take it over with "
        "`adopt: {a}-{b}-{c}-{d}-{e}` and `on_remove` beside `role`, or remove that assignment",
    ),
    (
        r"cannot create already existing (subresource|resource) '[^']*/roleAssignments/(?P<id>[^'/]+)'",
        "the assignment {id} is there already and does not belong to this stack; take it over with `adopt: {id}` and "
        "`on_remove` beside `role`, or remove it",
    ),
    (
        r"cannot create already existing (subresource|resource) '[^']*/roleDefinitions/(?P<id>[^'/]+)'",
        "the custom role {id} is there already and does not belong to this stack: another stack declares the same key and "
        "first assignable scope, or a removed stack left it; take it over with `adopt: {id}` and `on_remove`, give it another "
        "key under `role_definitions`, or remove it",
    ),
    (
        r"RoleDefinitionWithSameNameExists|A custom role with the same name already exists",
        "the tenant has a custom role of this name already: " + _EXISTS,
    ),
    (
        r"(marked for protection|because it is protected|is protected and cannot be)",
        "the file or the stack says `protect: true` for it, so it is not deleted or replaced; if that is meant, set "
        "`protect: false` in a deployment of its own first",
    ),
    (
        r"inputs to import do not match the existing resource",
        "what the file says of it differs from what is there; `adopt` takes an object over as it is: describe it so first, and "
        "change it in a later deployment (`python3 -m entrant review` shows the differences)",
    ),
    (
        r"resource '(?P<id>[^']*)' does not exist",
        "there is nothing with the id {id} that stands under `adopt`; correct the id, or take `adopt` out to have it made",
    ),
    (
        r"Duplicate resource URN '[^']*::(?P<name>[^':]+)'",
        "two entries of the file make one resource ({name}); rename one of them",
    ),
)
"""What the engine and the azuread and azure-native providers say → the same in an environment file's words."""
