"""What a pipeline works on: a bare repository, a local Azure with the pipelines' identities, a backend, a forge.

The identities are those of `examples/pipelines.yaml`, deployed by a rehearsal, so that the pipelines have what it says and no more.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import local_azure
from entrant import engine
from entrant.project import SOURCE
from tests.conftest import Project
from tests.entrant import forges
from tests.pipelines.machine import Machine, base

PASSPHRASE = "an ordinary sentence as a passphrase"
TENANT = "AZURE_TENANT_ID"
_DEV = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg-obs-dev"
_PROD = "/subscriptions/c1e60f8b-2b57-4d3a-8f96-94a7d3b1e208/resourceGroups/rg-obs-prod"
WORKSPACES = {
    "dev": f"{_DEV}/providers/Microsoft.OperationalInsights/workspaces/law-dev",
    "prod": f"{_PROD}/providers/Microsoft.OperationalInsights/workspaces/law-prod",
}


def environment(stack: str, owner: str, *more: str) -> str:
    """The YAML of a stack: one app with a secret and a role, and further lines; every app is the owner's, who applies it."""
    return "\n".join(
        [
            f"defaults: {{owners: [{owner}]}}",
            "apps:",
            "  log-reader:",
            f"    display_name: Log reader ({stack})",
            "    secret: {every: 90d, overlap: 7d}",
            "    roles:",
            f"      - {{role: Reader, scope: {WORKSPACES[stack]}}}",
            *more,
            "",
        ]
    )


@dataclass
class Estate:
    """All of it."""

    root: Path
    """A working copy of the repository."""
    bare: Path
    azure: local_azure.LocalAzure
    machine: Machine
    pull: forges.PullRequest
    clients: dict[str, str]
    """Client ids of the pipelines' identities."""
    principals: dict[str, str]
    """Object ids of their service principals."""
    backend: str
    admin: dict[str, str] = field(default_factory=dict)
    """A person's environment, who may do everything."""

    def environment(self, stack: str, *more: str) -> str:
        """The YAML of a stack, owned by the identity that applies it, with further lines."""
        return environment(stack, self.principals[f"entrant-apply-{stack}"], *more)

    def git(self, *arguments: str) -> str:
        """Run git in the working copy."""
        name = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        done = subprocess.run(["git", *name, *arguments], cwd=self.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, branch: str, files: Mapping[str, str | None], onto: str = "main") -> str:
        """Commit files (None: gone) on a branch, made from another if it is not there, and push it; the commit."""
        there = self.git("branch", "--list", branch)
        self.git("checkout", "-q", *([branch] if there else ["-b", branch, onto]))
        for path, text in files.items():
            if text is None:
                (self.root / path).unlink()
            else:
                (self.root / path).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-qm", f"Change {', '.join(files)}")
        self.git("push", "-q", "origin", branch)
        return self.git("rev-parse", "HEAD")

    def merge(self, branch: str) -> str:
        """Merge a branch into main and push it; the commit."""
        self.git("checkout", "-q", "main")
        self.git("merge", "-q", "--no-ff", "-m", f"Merge {branch}", branch)
        self.git("push", "-q", "origin", "main")
        return self.git("rev-parse", "HEAD")

    def opened(self, branch: str) -> tuple[str, str]:
        """A pull request of a branch: main's commit, and the commit of a merge with it, as the forges make one."""
        base = self.git("rev-parse", "main")
        self.git("checkout", "-q", "-B", f"pull/{branch}", "main")
        self.git("merge", "-q", "--no-ff", "-m", "Merge", branch)
        self.git("push", "-qf", "origin", f"pull/{branch}")
        return base, self.git("rev-parse", "HEAD")

    def pulumi(self, *arguments: str) -> str:
        """Run `pulumi` as a person in the working copy."""
        command = [str(engine.find()), "--non-interactive", "--color=never", *arguments]
        done = subprocess.run(command, cwd=self.root, env=self.admin, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def outputs(self, stack: str) -> dict[str, Any]:
        """A stack's outputs, secrets in clear."""
        found: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json", "--show-secrets", "-s", stack))
        return found

    def secrets(self) -> list[str]:
        """What must be in no log: passphrase, tokens of the forge and of the local Azure, every client secret there is."""
        known = [
            PASSPHRASE,
            forges.TOKEN,
            self.azure.client_secret,
            (self.azure.state / "admin.key").read_text().strip(),
        ]
        for stack in WORKSPACES:
            known += [value for name, value in self.outputs(stack).items() if "_client_secret" in name]
        return known


@contextmanager
def estate(project: Project, folder: Path) -> Iterator[Estate]:
    """Set it up: the identities on the local Azure, the repository with the stacks `dev` and `prod`, neither of them up."""
    done = project.entrant("rehearse", "examples/pipelines.yaml", "--propagation", "0", "--json")
    assert done.returncode == 0, done.stderr
    rehearsal = project.rehearsal("pipelines")
    azure = local_azure.start(rehearsal.azure)
    identities = json.loads(project.pulumi("pipelines", "stack", "output", "--json", "-s", "pipelines").stdout)[
        "identities"
    ]
    clients = {name: app["client_id"] for name, app in identities.items()}
    principals = {name: app["service_principal_id"] for name, app in identities.items()}
    azure.admin("POST", "ensure", {"scopes": list(WORKSPACES.values())})
    root, bare = folder / "copy", folder / "origin.git"
    shutil.copytree(project.root, root, ignore=shutil.ignore_patterns(".entrant", "home", "__pycache__"))
    for file in ("dev.yaml", "prod.yaml", "base.yaml"):
        (root / "config" / file).unlink()
    for stack in WORKSPACES:
        (root / "config" / f"{stack}.yaml").write_text(environment(stack, principals[f"entrant-apply-{stack}"]))
        (root / f"Pulumi.{stack}.yaml").unlink(missing_ok=True)
    shutil.copytree(SOURCE / "pipelines", root / "pipelines", dirs_exist_ok=True)
    shutil.copytree(SOURCE / "pipelines" / "github", root / ".github" / "workflows")
    (root / ".gitignore").write_text("/.entrant/\n__pycache__/\n")
    (folder / "state").mkdir()
    (folder / "home").mkdir()
    settings = rehearsal.settings(azure)
    env = base(settings, folder / "home", rehearsal.home)
    backend = (folder / "state").as_uri()
    identity = {name: value for name, value in settings.items() if name.startswith("ARM_")}
    own = {"PULUMI_BACKEND_URL": backend, "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}
    env |= {"PULUMI_SKIP_UPDATE_CHECK": "true", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with forges.forge() as pull:
        made = Estate(
            root, bare, azure, Machine(bare, folder, env), pull, clients, principals, backend, env | identity | own
        )
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
        subprocess.run(["git", "-C", str(bare), "config", "uploadpack.allowAnySHA1InWant", "true"], check=True)
        made.git("init", "-q", "-b", "main")
        made.git("remote", "add", "origin", str(bare))
        for stack in WORKSPACES:
            made.pulumi("stack", "init", stack)
        made.git("add", "-A")
        made.git("commit", "-qm", "Declare dev and prod")
        made.git("push", "-q", "origin", "main")
        yield made


def later(text: str, now: str) -> str:
    """A stack's settings with another moment for its calendars."""
    settings = yaml.safe_load(text) or {}
    settings.setdefault("config", {})["entrant:now"] = now
    return yaml.safe_dump(settings)


def assert_silent(estate: Estate) -> None:
    """No log that was written holds a secret, or what looks like a token."""
    logs = estate.machine.text()
    assert logs
    for secret in estate.secrets():
        assert secret not in logs
    assert "eyJ" not in logs
