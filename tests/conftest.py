"""A copy of the project that a test may change and run, with the real engine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

import local_azure
from entrant import engine
from entrant.rehearsal import Rehearsal, environ, users_home
from entrant.setup.engine import find_pulumi
from local_azure import plugins

pytest_plugins = ["tests.guard", "tests.passes", "tests.golden", "pytester"]
ROOT = Path(__file__).resolve().parent.parent
# The programs that tests start by the thousand keep what Python compiles, and copies of the project take it along.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
hypothesis.settings.register_profile("entrant", deadline=None)  # how long an example takes depends on the machine
hypothesis.settings.load_profile("entrant")
_PARTS = (
    "components",
    "config",
    "examples",
    "entrant",
    "local_azure",
    "pipelines",
    "policy",
    "Pulumi.yaml",
    "__main__.py",
    "requirements.txt",
)


@dataclass(frozen=True)
class Project:
    """A copy of the project, its commands, and its rehearsals."""

    root: Path

    def write(self, stack: str, text: str) -> None:
        """Write the environment of a stack."""
        (self.root / "config" / f"{stack}.yaml").write_text(text, "utf-8")

    def rehearsal(self, stack: str) -> Rehearsal:
        """The rehearsal of a stack."""
        return Rehearsal(stack, self.root)

    def environ(self) -> dict[str, str]:
        """The environment for `entrant`: this interpreter and the engine on PATH, and no cloud."""
        paths = [str(Path(sys.executable).parent), str(engine.find().parent), os.environ["PATH"]]
        foreign = ("ARM_", "AZURE_", "PULUMI_", "PIP_", "XDG_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        own = {"PATH": os.pathsep.join(paths), "HOME": str(self.root / "home"), "PULUMI_HOME": str(users_home())}
        return kept | own

    def entrant(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run `python -m entrant` in the copy; `more` are further environment variables."""
        command = [sys.executable, "-m", "entrant", *arguments]
        return subprocess.run(
            command, cwd=self.root, env=self.environ() | more, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )

    def pulumi(self, stack: str, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run `pulumi` in the copy with a rehearsal's settings, as a person would after `--env`; `more` are further variables."""
        rehearsal = self.rehearsal(stack)
        azure = local_azure.start(rehearsal.azure)
        env = environ(rehearsal.settings(azure)) | more | {"HOME": str(self.root / "home")}
        return subprocess.run(
            [str(engine.find()), *arguments],
            cwd=self.root,
            env=env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )


def pytest_report_header() -> list[str]:
    """Which engine and which resource plugins the tests run with."""
    found = find_pulumi()
    served = []
    for name in plugins.NAMES:
        installed = plugins.directory(users_home(), name, plugins.sdk_version(name)).is_dir()
        real = installed or shutil.which(f"pulumi-resource-{name}") is not None
        served.append(f"{name} {'real' if real else 'stand-in'}")
    return [f"pulumi: {found.version if found else 'none'}", f"plugins: {', '.join(served)}"]


@pytest.fixture(scope="session", autouse=True)
def _engine() -> None:
    """Tests run the real engine; `python3 -m entrant test` sets it up first."""
    if find_pulumi() is None:
        pytest.exit("there is no pulumi; run the tests with `python3 -m entrant test`, which sets one up", 2)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A copy of the project; what runs in it is stopped at the end."""
    root = tmp_path_factory.mktemp("project")
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("*.pyc.*"))
        else:
            shutil.copy(source, root / part)
    for stack in ROOT.glob("Pulumi.*.yaml"):
        shutil.copy(stack, root / stack.name)
    (root / "home").mkdir()
    made = Project(root)
    yield made
    for azure in (root / ".entrant" / "local-azure", *root.glob(".entrant/rehearsal/*/azure")):
        local_azure.stop(azure)


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_azure.LocalAzure]:
    """A running local Azure of a module's own."""
    state = tmp_path_factory.mktemp("azure") / "state"
    yield local_azure.start(state)
    local_azure.stop(state)
