"""The machine that a job runs on: a checkout of a commit, a shell, an environment, and a record of all that was said."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from entrant import engine


class NotUnderstoodError(Exception):
    """The pipeline file holds something that its runner does not know; nothing is left out on the quiet."""


def only(mapping: Mapping[str, object], known: set[str], where: str) -> None:
    """Refuse keys that are not known."""
    foreign = set(map(str, mapping)) - known
    if foreign:
        raise NotUnderstoodError(f"{where}: {', '.join(sorted(foreign))}")


@dataclass
class Log:
    """A step that ran."""

    job: str
    step: str
    code: int
    text: str


@dataclass
class Machine:
    """Runs scripts. `env` is what the machine itself gives to every job: where Azure is, PATH, a Pulumi home with plugins."""

    repository: Path
    """The bare repository."""
    folder: Path
    env: dict[str, str]
    logs: list[Log] = field(default_factory=list)
    _jobs: int = 0

    def workspace(self) -> Path:
        """An empty folder for a job, with a `temp` beside it."""
        self._jobs += 1
        place = self.folder / f"job-{self._jobs}"
        (place / "temp").mkdir(parents=True)
        (place / "work").mkdir()
        return place / "work"

    def checkout(self, workspace: Path, commit: str, *, whole: bool) -> None:
        """Check a commit out, with the whole history or that commit alone; its tools are linked in, as an image has them."""
        run = ["git", "-C", str(workspace)]
        subprocess.run([*run, "init", "-q"], check=True)
        subprocess.run([*run, "remote", "add", "origin", self.repository.as_uri()], check=True)
        depth = [] if whole else ["--depth=1"]
        subprocess.run([*run, "fetch", "-q", *depth, "origin", commit], check=True)
        if whole:
            subprocess.run([*run, "fetch", "-q", "origin", "+refs/heads/*:refs/remotes/origin/*"], check=True)
        subprocess.run([*run, "checkout", "-q", commit], check=True)

    def run(
        self, job: str, step: str, script: str, env: Mapping[str, str], workspace: Path, *, shell: str = "-e"
    ) -> Log:
        """Run a script in bash."""
        file = workspace.parent / "script.sh"
        file.write_text(script)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", shell, str(file)],
            cwd=workspace,
            env=self.env | dict(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self.logs.append(Log(job, step, done.returncode, done.stdout))
        return self.logs[-1]

    def text(self) -> str:
        """Every log."""
        return "\n".join(log.text for log in self.logs)


def base(settings: Mapping[str, str], home: Path, pulumi_home: Path) -> dict[str, str]:
    """A machine's environment for an Azure elsewhere than the public one, without any identity or backend."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TZ", "TMPDIR") if name in os.environ}
    identity = (
        "ARM_CLIENT_ID",
        "ARM_CLIENT_SECRET",
        "ARM_TENANT_ID",
        "ARM_SUBSCRIPTION_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
    )
    foreign = (
        *identity,
        "AZURE_TENANT_ID",
        "AZURE_SUBSCRIPTION_ID",
        "PULUMI_BACKEND_URL",
        "PULUMI_CONFIG_PASSPHRASE_FILE",
    )
    where = {name: value for name, value in settings.items() if name not in (*foreign, "PULUMI_OPTION_CONFIG_FILE")}
    python = Path(sys.executable).parent
    paths = [str(python), str(engine.find().parent), os.environ["PATH"]]
    assert shutil.which("python3", path=str(python)), "the virtual environment has a python3"
    own = {"PATH": os.pathsep.join(paths), "HOME": str(home), "PULUMI_HOME": str(pulumi_home), "CI": "true"}
    return kept | where | own
