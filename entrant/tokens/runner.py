"""Running a command with tokens and secrets in its environment: what is secret masked in its output, signals passed on.

from entrant.tokens import runner

code = runner.run(["./report.sh"], {**os.environ, "TOKEN": token}, [token])
"""

import base64
import bisect
import contextlib
import copy
import html
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import BinaryIO, NamedTuple, Protocol

from entrant.errors import ConfigurationError
from entrant.outputs import App
from entrant.terminal import Copied, exact
from entrant.tokens import clouds, ways

MASK = b"***"
_CHUNK = 65536
_SHORTEST = 4
"""Shorter texts are not masked: they would be found everywhere."""
_PIECE = 12
"""As many characters of base64, or of the rest of a secret that was cut in two, are masked."""
_LINE_BREAK = re.compile(rb"[\r\n]+[ \t]*")
"""What stands between the lines of a text that was wrapped."""
_ESCAPED_BREAK = re.compile(rb"(?:\\+[rn])+")
"""The same in a string of JSON or of a program, or in one inside another."""
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----([^-]*)-----END")
"""A private key in PEM form, and its lines."""
_FIRST_LINE = 4
"""Characters that a wrapped secret has in its first line: what ends in fewer of them is not held back for a next line."""
_OTHER_IDENTITIES = (
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_USERNAME",
    "AZURE_PASSWORD",
)
_DEPLOYERS = re.compile(
    r"ARM_.*(SECRET|PASSWORD|CERTIFICATE|TOKEN|ACCESS_KEY|SAS).*|ARM_OIDC_.*|PULUMI_(ACCESS_TOKEN|CONFIG_PASSPHRASE.*|BACKEND_URL)"
    r"|AZURE_STORAGE_(KEY|SAS_TOKEN|CONNECTION_STRING)|AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|WEB_IDENTITY_TOKEN_FILE)"
    r"|GOOGLE_(CREDENTIALS|APPLICATION_CREDENTIALS|OAUTH_ACCESS_TOKEN)|PG(PASSWORD|PASSFILE)"
    r"|(GITHUB|GH|GITLAB)_TOKEN|CI_(JOB_TOKEN|JOB_JWT.*|REGISTRY_PASSWORD|DEPLOY_PASSWORD)|SYSTEM_(ACCESSTOKEN|OIDCREQUESTURI)"
    r"|ACTIONS_(ID_TOKEN_REQUEST|RUNTIME)_(TOKEN|URL)|.*_ID_TOKEN|ENTRANT_SHELL_BEFORE"
)
"""What whoever runs `pulumi up` proves itself with, to Azure, to the state and to the CI system."""
_OF_THE_JOB = {
    "github": ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL"),
    "azure-devops": ("SYSTEM_ACCESSTOKEN", "SYSTEM_OIDCREQUESTURI"),
}
"""How an app proves itself → the job's variables that do it."""
_FROM_TERMINAL = ("SIGINT", "SIGQUIT")
_PASSED_ON = ("SIGHUP", "SIGTERM", "SIGUSR1", "SIGUSR2", *_FROM_TERMINAL)


class Masker:
    """Takes secrets out of a stream of bytes, wherever its chunks are cut.

    >>> masker = Masker(["s3cret"])
    >>> masker.feed(b"it is s3c"), masker.feed(b"ret."), masker.end()
    (b'it is ', b'***.', b'')

    What may be the start of a secret is held back until more is known. Each secret is found as it is and as URLs, JSON, base64 (as
    a part of a longer text, too) and hexadecimal digits write it, wrapped into lines or not, also where JSON has those lines. Of a
    private key in PEM form each line is a secret.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        parts = {part for secret in secrets for part in _parts(secret)}
        written = {_LINE_BREAK.sub(b"", form.encode()) for part in parts for form in _forms(part)}
        self._secrets = sorted((form for form in written if len(form) >= _SHORTEST), key=len, reverse=True)
        self._by_first: dict[int, list[bytes]] = {}
        for form in self._secrets:
            self._by_first.setdefault(form[0], []).append(form)
        # By their first bytes, or each place of a long output is compared with each form of each line of a key.
        groups = (
            re.escape(bytes([first])) + b"(?:" + b"|".join(re.escape(one[1:]) for one in forms) + b")"
            for first, forms in self._by_first.items()
        )
        self._any = re.compile(b"|".join(groups) or b"(?!)")
        self._break, self._rest = _LINE_BREAK, b""
        self._escaped: Masker | None = copy.copy(self)
        """Looks through what was not found for what was wrapped, and then quoted."""
        self._escaped._break, self._escaped._escaped = _ESCAPED_BREAK, None

    def feed(self, data: bytes) -> bytes:
        """The next bytes; returns those that can be shown by now."""
        shown = self._mask(self._rest + data, ended=False)
        return self._escaped.feed(shown) if self._escaped else shown

    def end(self) -> bytes:
        """What is left when there is no more."""
        shown = self._mask(self._rest, ended=True)
        return self._escaped.feed(shown) + self._escaped.end() if self._escaped else shown

    def _mask(self, data: bytes, *, ended: bool) -> bytes:
        """What of the data can be shown; the rest is kept. It is searched as if it were one line."""
        if not ended and self._break is _ESCAPED_BREAK and data.endswith(b"\\"):
            whole = data.rstrip(b"\\")  # what comes next says whether it is a break
            before = self._mask(whole, ended=False)
            self._rest += data[len(whole) :]
            return before
        breaks = [found.span() for found in self._break.finditer(data)]
        line = self._break.sub(b"", data)
        places: list[int] = []  # of the breaks, in `line`
        gone = 0
        for start, end in breaks:
            places.append(start - gone)
            gone += end - start

        def in_data(at: int, before: int) -> int:
            """A place of `line` in the data, where so many breaks stand before it."""
            return at + (breaks[before - 1][1] - places[before - 1] if before else 0)

        shown, at, done = bytearray(), 0, 0
        while True:
            maybe = len(line) if ended else self._started(line, at, places)
            found = self._any.search(line, at)
            if found is None or found.start() >= maybe:
                break
            shown += data[done : in_data(found.start(), bisect.bisect_right(places, found.start()))] + MASK
            at = found.end()
            done = in_data(at, bisect.bisect_left(places, at))
        kept = len(data) if maybe == len(line) else max(done, in_data(maybe, bisect.bisect_right(places, maybe)))
        self._rest = data[kept:]
        return bytes(shown + data[done:kept])

    def _started(self, line: bytes, at: int, places: list[int]) -> int:
        """Where, at `at` or later, a secret begins that is not all there yet; else the end of the line."""
        longest = len(self._secrets[0]) if self._secrets else 0
        for start in range(max(at, len(line) - longest + 1), len(line)):
            rest = line[start:]
            for secret in self._by_first.get(rest[0], ()):
                if len(rest) < len(secret) and secret.startswith(rest):
                    broken = bisect.bisect_right(places, start)
                    if broken == len(places) or places[broken] - start >= _FIRST_LINE:
                        return start
        return len(line)


def _parts(secret: str) -> list[str]:
    """The texts that are looked for: the secret, or the lines of the private keys in it, of which a part may be shown."""
    keys = _PRIVATE_KEY.findall(secret)
    return [line for key in keys for line in key.split() if len(line) >= _PIECE] or [secret]


def _forms(secret: str) -> Iterator[str]:
    """A secret as it is and as URLs, JSON, HTML, shells, base64 and hexadecimal digits write it; of a JWT its signature, too."""
    yield secret
    yield from _rests(secret)
    for quoted in (urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret), urllib.parse.quote_plus(secret)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)
    for written in (json.dumps(secret), json.dumps(secret, ensure_ascii=False)):
        yield written[1:-1]
        yield written[1:-1].replace("/", "\\/")
        for characters in ("[<>&]", "[<>&'=+]"):  # Go's, and what .NET and others add
            yield re.sub(characters, lambda found: f"\\u{ord(found[0]):04x}", written[1:-1])
    yield json.dumps(json.dumps(secret)[1:-1])[1:-1]
    yield repr(secret)[1:-1]
    for quotes in (False, True):
        yield html.escape(secret, quote=quotes)
    yield html.escape(secret).replace("&#x27;", "&apos;")
    for digits in (secret.encode().hex(), secret.encode().hex().upper()):
        yield digits
        yield from _rests(digits)
    yield secret.replace("'", "'\\''")
    yield secret.replace("'", "''")
    yield secret.replace("\\", "\\\\").replace("'", "\\'")
    yield shlex.quote(secret)[1:-1]
    signature = secret.rpartition(".")[2]
    if secret.count(".") == 2 and len(signature) >= 2 * _PIECE:
        yield signature
    for before in range(3):  # bytes that stand before it in what was encoded
        data = bytes(before) + secret.encode()
        whole = base64.b64encode(data).decode()[(0, 2, 3)[before] : len(data) * 8 // 6]
        if len(whole) >= _PIECE:
            for alphabet in (whole, whole.replace("+", "-").replace("/", "_")):
                yield alphabet
                yield from _rests(alphabet)


def _rests(text: str) -> Iterator[str]:
    """What is left of a text where a line ended after too few of its characters to be held back."""
    if len(text) >= _PIECE + _FIRST_LINE:
        yield from (text[start:] for start in range(1, _FIRST_LINE))


class Identity(NamedTuple):
    """An environment that says who a command is, and what of it is secret."""

    environ: dict[str, str]
    secrets: list[str]
    way: str = ""
    """How it proves itself."""


def identity(app: App, environ: Mapping[str, str], *, using: str = "auto") -> Identity:
    """`environ` with the `AZURE_*` variables of an app, as azure-identity reads them, and with those of no other identity.

    An app that proves itself with a GitHub or Azure DevOps job gets its tenant and client id; the job's own variables do the rest.

    Raises:
        ConfigurationError: the app has nothing to prove itself with.
    """
    way = ways.choose(app, environ, using).kind
    own = {"AZURE_TENANT_ID": app.tenant_id, "AZURE_CLIENT_ID": app.client_id}
    secrets = []
    if way == "secret" and app.secret:
        own["AZURE_CLIENT_SECRET"] = app.secret
        secrets.append(app.secret)
    elif way == "certificate":
        path, password = ways.certificate_file(app, environ), environ.get("AZURE_CLIENT_CERTIFICATE_PASSWORD")
        own["AZURE_CLIENT_CERTIFICATE_PATH"] = path or _in_memory(app)
        if path and password:
            own["AZURE_CLIENT_CERTIFICATE_PASSWORD"] = password
            secrets.append(password)
        secrets += app.issued.values()
    elif way == "file":
        own["AZURE_FEDERATED_TOKEN_FILE"] = app.assertion or environ["AZURE_FEDERATED_TOKEN_FILE"]
    authority = clouds.resolve(app.cloud, environ).authority
    if authority != clouds.resolve("public", {}).authority:
        own["AZURE_AUTHORITY_HOST"] = authority
    kept = {name: value for name, value in environ.items() if name not in _OTHER_IDENTITIES}
    return Identity(kept | own, secrets, way)


def _in_memory(app: App) -> str:
    """A path to the first certificate that is issued here: memory of this process, which a command that it becomes keeps.

    Raises:
        ConfigurationError: this system has no such files.
    """
    if sys.platform != "linux":
        raise ConfigurationError(
            f"{app.name} proves itself with a certificate of the stack's outputs, which a command could have here only from a file "
            "on disk, and none is written",
            next_step="name an AUDIENCE, and the command gets a token; or name a file with a certificate in "
            "AZURE_CLIENT_CERTIFICATE_PATH",
        )
    handle = os.memfd_create("certificate.pem")
    os.fchmod(handle, 0o600)
    os.set_inheritable(handle, True)
    with open(handle, "wb", closefd=False) as file:
        file.write(next(iter(app.issued.values())).encode())
    return f"/proc/{os.getpid()}/fd/{handle}"


def without_deployer(
    environ: Mapping[str, str], *, way: str | None = None, keep: Collection[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """`environ` without what whoever runs `pulumi up` proves itself with, and the names of what that took out.

    Args:
        way: how the app proves itself (as `Identity.way`), when that needs variables of the job.
        keep: names that stay.
    """
    stay = {*keep, *_OF_THE_JOB.get(way or "", ())}
    gone = sorted(name for name in environ if _DEPLOYERS.fullmatch(name) and name not in stay)
    return {name: value for name, value in environ.items() if name not in gone}, gone


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
    guarded: bool = False,
) -> int:
    """Run a command with the secrets masked in what it writes; its exit code, or 128 and the number of the signal that ended it.

    With `guarded`, what it writes goes through the filter of this process's streams (see `entrant.terminal`); else as it is.

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
            threading.Thread(
                target=_copy, args=(source, Copied(to) if guarded else exact(to).buffer, Masker(known)), daemon=True
            )
            for source, to in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
        ]
        for copy in copies:
            copy.start()
        code = _wait(process)
        for copy in copies:
            copy.join()
    return 128 - code if code < 0 else code


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """The exit code of a process, once it has ended; until then, signals are handled as they come.

    Python handles a signal between two of its own steps. One that comes as a wait begins, or to another thread, would be handled
    after the wait: hence a pipe, to which a signal writes (`signal.set_wakeup_fd`).
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        return process.wait()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def end() -> None:
        process.wait()
        with contextlib.suppress(BlockingIOError):  # full: who reads is awake
            os.write(writer, b"\0")

    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    waiting = threading.Thread(target=end, daemon=True)
    waiting.start()
    try:
        while waiting.is_alive() and process.returncode is None:
            os.read(reader, 512)
        return process.wait()
    finally:
        signal.set_wakeup_fd(before)
        waiting.join(timeout=1)
        if not waiting.is_alive():
            os.close(writer)
        os.close(reader)


class _Target(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object: ...
    def flush(self) -> object: ...
    def fileno(self) -> int: ...


def _copy(source: BinaryIO, target: _Target, masker: Masker) -> None:
    with source:
        while data := source.read(_CHUNK):
            if not _write(target, masker.feed(data)):
                return  # nobody reads on: with its pipe closed, the command learns of it as it would without us
        _write(target, masker.end())


def _write(target: _Target, data: bytes) -> bool:
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
