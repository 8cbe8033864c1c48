"""Both distributions as people have them: wheels built from the tree, in virtual environments of their own."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from tests.clients import installing

ROOT = Path(__file__).resolve().parent.parent
_SOURCES = ("components", "entrant", "local_azure", "pipelines", "pyproject.toml", "README.md", "LICENSE")
_SITE = Path("lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")


def wheels(folder: Path) -> list[Path]:
    """The wheels of `entrant` and `entrant-local-azure`, built in `folder`."""
    source = folder / "source"
    for name in _SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    run([*pip, "--no-build-isolation", "--wheel-dir", str(folder), str(source), str(source / "local_azure")])
    return sorted(folder.glob("*.whl"))


class Environment:
    """A virtual environment without pip that holds some of the wheels, and nothing of the checkout."""

    def __init__(self, folder: Path, *distributions: Path) -> None:
        run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
        self.python = folder / "bin" / "python"
        self.site = folder / _SITE
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-index",
        ]
        run(
            [*pip, "--prefix", str(folder), "--ignore-installed", "--no-warn-script-location", *map(str, distributions)]
        )
        command = folder / "bin" / "entrant"  # as an installer of this environment would have written it
        command.write_text(f"#!{self.python}\n{command.read_text('utf-8').partition(chr(10))[2]}", "utf-8")
        self.command = command

    def add(self, *names: str) -> None:
        """Install what these distributions need, in the versions that the tests run with, and nothing else."""
        wanted = [each.partition("==")[0] for each in sorted(_needed({name: set() for name in names}, self.site))]
        made = installing.pip(wanted[0], installing.pinned(*wanted))
        shutil.copytree(made / _SITE, self.site, dirs_exist_ok=True, copy_function=os.link)

    def borrow(self) -> None:
        """Take everything else from the environment of the tests, which saves minutes."""
        (self.site / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n", "utf-8")

    def size(self) -> int:
        """The bytes of site-packages."""
        return sum(path.stat().st_size for path in self.site.rglob("*") if path.is_file())


def _needed(requested: dict[str, set[str]], site: Path) -> Iterator[str]:
    """The requirements of distributions with their extras, all the way down, as `name==version`."""
    seen: set[str] = set()
    own = {found.name: found for found in metadata.distributions(path=[str(site)])}
    queue = [(name, extras) for name, extras in requested.items()]
    while queue:
        name, extras = queue.pop()
        if f"{name}[{','.join(sorted(extras))}]" in seen:
            continue
        seen.add(f"{name}[{','.join(sorted(extras))}]")
        found = own.get(name) or metadata.distribution(name)
        if name not in own:
            yield f"{found.name}=={found.version}"
        for line in found.requires or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
                queue.append((requirement.name, requirement.extras))


def run(command: list[str], *, cwd: Path | None = None, **more: str) -> str:
    """Run a program that has to succeed, with nothing of the checkout on its path; what it wrote on standard output."""
    done = attempt(command, cwd=cwd, **more)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def attempt(command: list[str], *, cwd: Path | None = None, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a program, with nothing of the checkout on its path; `more` are further environment variables."""
    foreign = ("PYTHONPATH", "ARM_", "AZURE_", "PULUMI_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return subprocess.run(command, cwd=cwd, env=kept | more, capture_output=True, text=True, stdin=subprocess.DEVNULL)
