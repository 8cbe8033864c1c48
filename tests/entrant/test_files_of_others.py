"""Files and folders as an attacker or a careless umask leaves them: nothing hangs, nothing foreign is read, quoted or deleted."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrant import config, project
from entrant.rehearsal import Rehearsal
from entrant.setup import engine
from entrant.tokens.cache import Cache

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes, links and pipes of Unix")
ROOT = Path(__file__).resolve().parents[2]
SECRET = "root:x:0:0:hunter2: [unclosed\n"
OUT = "leads out of the project, whose files alone are read; keep a copy in it"


@pytest.fixture(autouse=True)
def ends() -> Iterator[None]:
    """What waits for ever fails."""

    def fail(*_: object) -> None:
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(100)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def run(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "entrant", *arguments],
        cwd=folder,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


# ----------------------------------------------------------------------------------------------------------------- folders


def test_state_is_its_owners_whatever_the_umask(tmp_path: Path, no_umask: None) -> None:
    folder = Rehearsal("dev", tmp_path).folder
    project.private(folder)
    for each in (folder, folder.parent, tmp_path / ".entrant"):
        assert mode(each) == 0o700
    assert (tmp_path / ".entrant" / ".gitignore").read_text() == "*\n"


def test_state_that_others_could_write_to_is_closed_to_them(tmp_path: Path, no_umask: None) -> None:
    folder = tmp_path / ".entrant" / "rehearsal"
    folder.mkdir(parents=True)
    assert mode(folder) == 0o777
    project.private(folder / "dev")
    assert [mode(each) for each in (folder, folder.parent, folder / "dev")] == [0o755, 0o755, 0o700]
    assert mode(tmp_path) & 0o700 == 0o700


def test_what_is_made_is_made_in_the_one_way() -> None:
    for file in (ROOT / "entrant").rglob("*.py"):
        if file.name not in (
            "project.py",
            "starter.py",
        ):  # a new project is its user's, with the rights that the umask gives
            text = file.read_text("utf-8")
            assert "parents=True" not in text and "makedirs" not in text, file


def test_a_file_in_the_place_of_a_folder_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / ".entrant").write_text("")
    with pytest.raises(NotADirectoryError):
        project.private(tmp_path / ".entrant" / "x")


def test_the_cache_is_its_owners_whatever_the_umask(tmp_path: Path, no_umask: None) -> None:
    folder = tmp_path / "cache" / "entrant" / "tokens"
    Cache(b"proof", str(folder)).write(["1", "t"], "key")
    assert [mode(each) for each in (folder, folder.parent, folder.parent.parent)] == [0o700] * 3


def test_a_linked_cache_is_refused_and_nothing_foreign_is_swept(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (tmp_path / "entrant").mkdir()
    old = time.time() - 90 * 86400
    for name in ("thesis.tex", "a" * 40):
        (foreign / name).write_text("mine")
        os.utime(foreign / name, (old, old))
    (tmp_path / "entrant" / "tokens").symlink_to(foreign)
    with pytest.raises(PermissionError, match="is a link"):
        Cache(b"proof", str(tmp_path / "entrant" / "tokens")).write(["1", "t"], "key")
    assert {path.name for path in foreign.iterdir()} == {"thesis.tex", "a" * 40}
    Cache(b"proof", str(foreign)).write(["1", "t"], "key")
    assert (foreign / "thesis.tex").exists() and not (foreign / ("a" * 40)).exists()


def test_a_link_among_what_a_killed_set_up_left_is_removed_and_not_followed(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    (foreign / "below").mkdir(parents=True)
    (foreign / "below").chmod(0o700)
    (tmp_path / ".making-x").symlink_to(foreign)
    engine._remove(tmp_path / ".making-x")
    assert mode(foreign / "below") == 0o700 and not os.path.lexists(tmp_path / ".making-x")


# -------------------------------------------------------------------------------------------------------- what is no file


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


PLACES = {
    "itself": "apps: {a: {}}",
    "extends": "extends: thing.yaml\napps: {a: {}}",
    "logo": "apps: {a: {logo: thing.yaml}}",
    "certificate": "apps: {a: {certificates: {c: {path: thing.yaml}}}}",
}


@pytest.mark.parametrize("make", [pipe, device, folder, loop, huge])
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_or_endless_is_an_error_at_once(place: str, make: object, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    thing = tmp_path / "config" / "thing.yaml"
    assert callable(make)
    make(thing)
    if place != "itself":
        (tmp_path / "config" / "dev.yaml").write_text(PLACES[place], "utf-8")
    config.environments(tmp_path)
    report = config.check("thing" if place == "itself" else "dev", root=tmp_path)
    assert report.environment is None and len(report.problems) == 1, report.problems


def test_long_names_loops_and_odd_names_are_errors(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: x\nruntime: python\n")
    (tmp_path / "config" / "loop.yaml").symlink_to("loop.yaml")
    for name in ("a" * 300, "x/" * 3000 + "x.yaml", "a" * 300 + ".yaml", "loop", "config/loop.yaml"):
        report = config.check(name, root=tmp_path)
        assert report.environment is None and len(report.problems) >= 1
    for value in ("a" * 300, "b/" * 5000, "loop.yaml", '"a\\0b"', "."):
        for form in ("extends: {}\napps: {{a: {{}}}}", "apps: {{a: {{logo: {}}}}}"):
            (tmp_path / "config" / "dev.yaml").write_text(form.format(value), "utf-8")
            config.environments(tmp_path)
            assert config.check("dev", root=tmp_path).environment is None
    (tmp_path / "Pulumi.pipe.yaml").symlink_to("Pulumi.pipe.yaml")
    assert config.check("pipe", root=tmp_path).environment is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate", "a" * 300),
        ("validate", "loop.yaml"),
        ("local", "start", "--state", "/proc/entrant/azure"),
        ("local", "start", "--state", "file/azure"),
        ("local", "start", "--state", "loop.yaml/azure"),
        ("expiry", "--outputs", "loop.yaml"),
        ("comment", "-s", "dev", "a" * 300),
        ("rehearse", "loop.yaml"),
        ("rehearse", "a" * 300),
    ],
)
def test_a_command_ends_in_a_sentence_and_no_traceback(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "file").write_text("")
    (tmp_path / "Pulumi.yaml").write_text("name: x\nruntime: python\n")
    done = run(tmp_path, *arguments)
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr and (done.stderr + done.stdout).strip()


# -------------------------------------------------------------------------------------------------- outside of the project


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    """A project, and beside it a file that is nobody's business."""
    (tmp_path / "secret.yaml").write_text(SECRET, "utf-8")
    (tmp_path / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "project" / "config").mkdir(parents=True)
    (tmp_path / "project" / "linked").symlink_to(tmp_path)
    (tmp_path / "project" / "config" / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    return tmp_path / "project"


@pytest.mark.parametrize(
    "path",
    ["../../secret.yaml", "link.yaml", "../linked/secret.yaml", "{absolute}", "/etc/passwd", "/proc/self/environ"],
)
@pytest.mark.parametrize("place", ["extends", "logo", "certificate"])
def test_no_file_outside_the_project_is_quoted_and_none_is_extended(place: str, path: str, inside: Path) -> None:
    """A logo or a certificate, which is public, may lie elsewhere; what is none is not quoted."""
    path = path.format(absolute=inside.parent / "secret.yaml")
    (inside / "config" / "dev.yaml").write_text(PLACES[place].replace("thing.yaml", path), "utf-8")
    report = config.check("dev", root=inside)
    assert [OUT in problem.message for problem in report.problems] == [place == "extends"], report.problems
    assert "hunter2" not in str(report.problems) and "root:" not in str(report.problems)


def test_an_environment_that_is_a_link_out_is_not_read_whoever_names_it(inside: Path) -> None:
    (inside / "Pulumi.set.yaml").write_text("config: {entrant:environment: ../secret.yaml}", "utf-8")
    for name in ("link", "config/link.yaml", "linked/secret.yaml", "set"):
        report = config.check(name, root=inside)
        assert [problem.message for problem in report.problems] == [OUT], name


def test_a_file_that_the_user_names_may_lie_elsewhere_with_its_neighbours(inside: Path) -> None:
    elsewhere = inside.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "base.yaml").write_text((ROOT / "examples" / "base.yaml").read_text("utf-8"), "utf-8")
    (elsewhere / "one.yaml").write_text("extends: base.yaml\napps: {a: {}}", "utf-8")
    assert not [each for each in config.check(str(elsewhere / "one.yaml"), root=inside).problems if OUT in each.message]
    (elsewhere / "two.yaml").write_text("extends: ../secret.yaml\napps: {a: {}}", "utf-8")
    assert [OUT in each.message for each in config.check(str(elsewhere / "two.yaml"), root=inside).problems] == [True]


def test_projects_of_one_repository_share_files(inside: Path) -> None:
    (inside.parent / ".git").mkdir()
    (inside.parent / "base.yaml").write_text((ROOT / "examples" / "base.yaml").read_text("utf-8"), "utf-8")
    (inside / "config" / "dev.yaml").write_text("extends: ../../base.yaml\napps: {a: {}}", "utf-8")
    assert not [each for each in config.check("dev", root=inside).problems if OUT in each.message]
