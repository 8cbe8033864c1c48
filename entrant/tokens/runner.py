"""Running a command with tokens and secrets in its environment: what is secret masked in its output, signals passed on.

from entrant.tokens import runner

code = runner.run(["./report.sh"], {**os.environ, "TOKEN": token}, [token])
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import BinaryIO, NamedTuple

from entrant.errors import ConfigurationError
from entrant.outputs import App
from entrant.tokens import clouds, credentials

MASK = b"***"
_CHUNK = 65536
_SHORTEST = 4
"""Shorter texts are not masked: they would be found everywhere."""
_OTHER_IDENTITIES = (
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_USERNAME",
    "AZURE_PASSWORD",
)
_FROM_TERMINAL = ("SIGINT", "SIGQUIT")
_PASSED_ON = ("SIGHUP", "SIGTERM", "SIGUSR1", "SIGUSR2", *_FROM_TERMINAL)


class Masker:
    """Takes secrets out of a stream of bytes, wherever its chunks are cut.

    >>> masker = Masker(["s3cret"])
    >>> masker.feed(b"it is s3c"), masker.feed(b"ret."), masker.end()
    (b'it is ', b'***.', b'')

    What may be the start of a secret is held back until more is known. Each secret is found as it is, and as URLs write it.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form.encode() for secret in secrets for form in (secret, urllib.parse.quote(secret, safe=""))}
        self._secrets = sorted((form for form in forms if len(form) >= _SHORTEST), key=len, reverse=True)
        self._any = re.compile(b"|".join(map(re.escape, self._secrets)) or b"(?!)")
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The next bytes; returns those that can be shown by now."""
        data = self._rest + data
        shown, at = bytearray(), 0
        while True:
            found, maybe = self._any.search(data, at), self._started(data, at)
            if found is None or found.start() >= maybe:
                break
            shown += data[at : found.start()] + MASK
            at = found.end()
        self._rest = data[maybe:]
        return bytes(shown + data[at:maybe])

    def end(self) -> bytes:
        """What is left when there is no more."""
        rest, self._rest = self._rest, b""
        return self._any.sub(MASK, rest)

    def _started(self, data: bytes, at: int) -> int:
        """Where, at `at` or later, a secret begins that is not all there yet; else the end of the data."""
        longest = len(self._secrets[0]) if self._secrets else 0
        for start in range(max(at, len(data) - longest + 1), len(data)):
            tail = data[start:]
            if any(len(tail) < len(secret) and secret.startswith(tail) for secret in self._secrets):
                return start
        return len(data)


class Identity(NamedTuple):
    """An environment that says who a command is, and what of it is secret."""

    environ: dict[str, str]
    secrets: list[str]


def identity(app: App, environ: Mapping[str, str], *, using: str = "auto") -> Identity:
    """`environ` with the `AZURE_*` variables of an app, as azure-identity reads them, and with those of no other identity.

    An app that proves itself with a GitHub or Azure DevOps job gets its tenant and client id; the job's own variables do the rest.

    Raises:
        ConfigurationError: the app has nothing to prove itself with.
    """
    way = credentials.choose(app, environ, using).kind
    own = {"AZURE_TENANT_ID": app.tenant_id, "AZURE_CLIENT_ID": app.client_id}
    secrets = []
    if way == "secret" and app.secret:
        own["AZURE_CLIENT_SECRET"] = app.secret
        secrets.append(app.secret)
    elif way == "certificate":
        own["AZURE_CLIENT_CERTIFICATE_PATH"] = app.certificate or environ["AZURE_CLIENT_CERTIFICATE_PATH"]
        password = environ.get("AZURE_CLIENT_CERTIFICATE_PASSWORD")
        if password:
            own["AZURE_CLIENT_CERTIFICATE_PASSWORD"] = password
            secrets.append(password)
    elif way == "file":
        own["AZURE_FEDERATED_TOKEN_FILE"] = app.assertion or environ["AZURE_FEDERATED_TOKEN_FILE"]
    authority = clouds.resolve(app.cloud, environ).authority
    if authority != clouds.resolve("public", {}).authority:
        own["AZURE_AUTHORITY_HOST"] = authority
    kept = {name: value for name, value in environ.items() if name not in _OTHER_IDENTITIES}
    return Identity(kept | own, secrets)


def become(command: Sequence[str], environ: Mapping[str, str], *, cwd: str | os.PathLike[str] | None = None) -> int:
    """Become the command: same process, same output. Returns only where there is no such thing (Windows), with its exit code.

    Raises:
        ConfigurationError: there is no such command.
    """
    if sys.platform == "win32":
        return subprocess.call(command, env=environ, cwd=cwd)
    if cwd is not None:
        os.chdir(cwd)
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them, and an ignored signal stays ignored
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    sys.stdout.flush()
    try:
        os.execvpe(command[0], list(command), environ)
    except OSError as error:
        raise _not_started(command[0], error) from None


def run(
    command: Sequence[str],
    environ: Mapping[str, str],
    secrets: Iterable[str],
    *,
    cwd: str | os.PathLike[str] | None = None,
) -> int:
    """Run a command with the secrets masked in what it writes; its exit code, or 128 and the number of the signal that ended it.

    Signals sent to this process reach the command. Those that a terminal sends reach it anyhow, and are not sent twice.

    Raises:
        ConfigurationError: there is no such command.
    """
    known = list(secrets)
    with _signals() as pass_to:
        try:
            process = subprocess.Popen(
                command, env=environ, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
            )
        except OSError as error:
            raise _not_started(command[0], error) from None
        assert process.stdout is not None and process.stderr is not None
        pass_to(process)
        sys.stdout.flush()
        copies = [
            threading.Thread(target=_copy, args=(source, target.buffer, Masker(known)), daemon=True)
            for source, target in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
        ]
        for copy in copies:
            copy.start()
        code = process.wait()
        for copy in copies:
            copy.join()
    return 128 - code if code < 0 else code


def _copy(source: BinaryIO, target: BinaryIO, masker: Masker) -> None:
    with source:
        while data := source.read(_CHUNK):
            if not _write(target, masker.feed(data)):
                return  # nobody reads on: with its pipe closed, the command learns of it as it would without us
        _write(target, masker.end())


def _write(target: BinaryIO, data: bytes) -> bool:
    try:
        target.write(data)
        target.flush()
    except BrokenPipeError:
        null = os.open(
            os.devnull, os.O_WRONLY
        )  # for what is left in the buffer: the interpreter's last flush must not fail
        os.dup2(null, target.fileno())
        os.close(null)
        return False
    return True


@contextlib.contextmanager
def _signals() -> Iterator["_PassOn"]:
    pass_on = _PassOn()
    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in _PASSED_ON if hasattr(signal, name)]
        before = {number: signal.signal(number, pass_on.handle) for number in numbers}
    try:
        yield pass_on
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _PassOn:
    """Sends signals on to a process, those that come before it is started too."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def __call__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        while self._early:
            process.send_signal(self._early.pop(0))

    def handle(self, number: int, frame: FrameType | None) -> None:
        if signal.Signals(number).name in _FROM_TERMINAL and _in_foreground():
            return
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)


def _in_foreground() -> bool:
    """Whether a key at the terminal (Ctrl-C) sends its signal to this process's group, and so to the command too."""
    if sys.platform == "win32":
        return True
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:  # no terminal
        return False


def _not_started(name: str, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"{name} could not be started: {error.strerror or error}", next_step="check the command after --"
    )
