"""Set-up: where Pulumi comes from, that failures end in a remedy, and that two set-ups do not meet."""

import fcntl
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from entrant.project import SOURCE
from entrant.setup import bootstrap


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with nothing set up, and a PATH with nothing but the system's tools. A real build is an error."""

    def no_build(making: Path, log: Path) -> str:
        raise AssertionError("a test came to install Go")

    monkeypatch.setattr(bootstrap, "_go_from_pypi", no_build)
    monkeypatch.setattr(bootstrap, "STATE", tmp_path / ".entrant")
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".entrant" / "venv")
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
    assert bootstrap.ensure_pulumi() == bootstrap.Pulumi(path, "3.240.1", "PATH")


@pytest.mark.parametrize(
    ("version", "host", "says"), [("v3.100.0", True, "is older than 3.230.0"), ("v3.240.1", False, "is not whole")]
)
def test_a_pulumi_that_cannot_serve_is_passed_over_aloud(
    project: Path, capsys: pytest.CaptureFixture[str], version: str, host: bool, says: str
) -> None:
    program(project / "bin" / "pulumi", f"echo {version}")
    if host:
        program(project / "bin" / "pulumi-language-python", "")
    assert bootstrap.find_pulumi() is None
    assert says in capsys.readouterr().err


def test_an_engine_built_for_one_project_serves_the_next(project: Path) -> None:
    """Each has it below its own `.entrant`, beside a language host that runs with the project's interpreter."""
    built = bootstrap._tools("built")
    program(built / "pulumi", "echo engine")
    program(built / "pulumi-language-python-exec", "echo executor")
    found = bootstrap.ensure_pulumi()
    assert (found.version, found.origin) == (bootstrap.PULUMI_VERSION, "built")
    folder = found.path.parent
    assert folder.is_relative_to(project / ".entrant") and built.is_relative_to(project / "cache")
    names = ["pulumi", "pulumi-language-python", "pulumi-language-python-exec"]
    assert sorted(file.name for file in folder.iterdir()) == names
    assert found.path.samefile(built / "pulumi")


def test_an_engine_on_another_file_system_is_copied(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refused)
    program(bootstrap._tools("built") / "pulumi", "echo engine")
    found = bootstrap.ensure_pulumi()
    assert subprocess.run([found.path], capture_output=True, text=True, check=True).stdout == "engine\n"


def test_an_engine_built_before_gets_the_language_host_of_today(project: Path) -> None:
    program(bootstrap._tools("built") / "pulumi", "")
    tools = bootstrap.ensure_pulumi().path.parent
    old = program(tools / "pulumi-language-python", "echo old")
    bootstrap.find_pulumi()
    assert "language_host.py" in old.read_text() and os.access(old, os.X_OK)
    assert sorted(file.name for file in tools.iterdir()) == ["pulumi", "pulumi-language-python"]
    made = old.stat().st_mtime_ns
    bootstrap.find_pulumi()
    assert old.stat().st_mtime_ns == made


def test_the_language_host_of_an_official_installation_stays(project: Path) -> None:
    program(bootstrap._tools("installer") / "pulumi", "")
    own = program(bootstrap._tools("installer") / "pulumi-language-python", "echo own")
    assert bootstrap.ensure_pulumi().path.parent == own.parent
    assert "echo own" in own.read_text()


def test_the_official_installer_serves_every_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = project / "install.sh"
    script.write_text(
        textwrap.dedent("""\
        set -eu
        test "$1 $2 $5" = "--version 3.259.0 --no-edit-path" && test "$3" = --install-root
        mkdir -p "$4/bin" && touch "$4/bin/pulumi" "$4/bin/pulumi-language-python"
        """)
    )
    monkeypatch.setattr(bootstrap, "INSTALLER", script.as_uri())
    monkeypatch.setattr(bootstrap, "reachable", lambda url: True)
    found = bootstrap.ensure_pulumi()
    assert found.origin == "installer"
    assert found.path.exists()
    assert found.path.is_relative_to(project / "cache")
    assert not list((project / "cache").rglob(".making-*"))


def test_a_build_that_fails_says_how_to_go_on_and_leaves_nothing_behind(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(
        project / "bin" / "go",
        'case $1 in version) echo go version go1.26.0 ;; *) echo "dial tcp: no route" >&2; exit 1; esac',
    )
    monkeypatch.setattr(bootstrap, "reachable", lambda url: False)
    with pytest.raises(
        bootstrap.SetupError, match="go build ended with exit code 1:\n    dial tcp: no route"
    ) as caught:
        bootstrap.ensure_pulumi()
    assert "reaches a Go module proxy" in caught.value.remedy
    assert os.listdir(project / "cache" / "entrant") == ["pulumi.lock"]


def test_a_full_disk_is_called_by_its_name(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        project / "bin" / "go",
        'case $1 in version) echo go version go1.26.0 ;; *) echo "write x: No space left on device" >&2; exit 1; esac',
    )
    monkeypatch.setattr(bootstrap, "reachable", lambda url: False)
    with pytest.raises(bootstrap.SetupError, match="the disk is full"):
        bootstrap.ensure_pulumi()


def test_too_little_space_is_said_before_anything_starts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "reachable", lambda url: False)
    monkeypatch.setattr(bootstrap, "_BUILD_SPACE", 2**60)
    with pytest.raises(bootstrap.SetupError, match="building Pulumi needs about"):
        bootstrap.ensure_pulumi()


def test_an_old_go_is_passed_over_aloud(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program(project / "bin" / "go", "echo go version go1.21.5 linux/amd64")
    assert bootstrap._go_on_path() is None
    assert "is older than 1.26" in capsys.readouterr().err


def test_an_interrupted_environment_is_made_anew(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(log: Path) -> None:
        made.append("venv")
        program(bootstrap.venv_python(), "")

    monkeypatch.setattr(bootstrap, "_make_venv", make)
    monkeypatch.setattr(bootstrap, "_install", lambda files, log: made.append("packages"))
    program(bootstrap.venv_python(), "")  # an interpreter, and no stamp: somebody was interrupted
    bootstrap.ensure_venv()
    assert made == ["venv", "packages"]
    bootstrap.ensure_venv()
    assert made == ["venv", "packages"]
    bootstrap.ensure_venv(tests=True)
    assert made == ["venv", "packages", "packages"]
    assert bootstrap.venv_ready() and bootstrap.venv_ready(tests=True)


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

    monkeypatch.setattr(bootstrap, "_make_venv", lambda log: None)
    monkeypatch.setattr(bootstrap, "_install", install)
    bootstrap.ensure_venv()
    assert bootstrap.venv_ready()


def test_packages_of_the_tests_that_do_not_install_leave_the_other_commands_at_work(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network, `entrant test` fails, and what worked before it works on."""

    def install(files: list[Path], log: Path) -> None:
        if len(files) > 1:
            raise bootstrap.SetupError("no network", "find one")

    monkeypatch.setattr(bootstrap, "_make_venv", lambda log: program(bootstrap.venv_python(), ""))
    monkeypatch.setattr(bootstrap, "_install", install)
    bootstrap.ensure_venv()
    with pytest.raises(bootstrap.SetupError):
        bootstrap.ensure_venv(tests=True)
    assert bootstrap.venv_ready() and not bootstrap.venv_ready(tests=True)


def test_a_lock_holds_until_the_programs_started_under_it_have_ended(project: Path) -> None:
    """A killed set-up leaves its installer running; the next set-up waits for that one."""
    lock, mark = project / "lock", project / "mark"
    code = textwrap.dedent(f"""\
        import os, subprocess, sys
        from pathlib import Path
        from entrant.setup import bootstrap
        with bootstrap.locked(Path({str(lock)!r})):
            subprocess.Popen(["sh", "-c", "sleep 1; echo done > {mark}"], close_fds=False)
            os.kill(os.getpid(), 9)
        """)
    subprocess.run([sys.executable, "-c", code], cwd=SOURCE)
    assert not mark.exists()
    with bootstrap.locked(lock):
        assert mark.read_text() == "done\n"


def test_nothing_listening_is_noticed_at_once() -> None:
    started = time.monotonic()
    assert not bootstrap.reachable("https://127.0.0.1:9")
    assert time.monotonic() - started < 3
