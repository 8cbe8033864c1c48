"""What others take from the repository by its address: the pre-commit hook, the action, the image."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import yaml

from entrant.config import schema

ROOT = Path(__file__).resolve().parent.parent


def _extras() -> list[str]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: list[str] = project["optional-dependencies"]["pulumi"]
    return found


def test_the_hook_installs_what_validate_needs_and_runs_on_environments() -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    only_deploying = ("pulumi-azure-native", "pulumi-azuread", "pulumi-policy")
    assert hook["additional_dependencies"] == [each for each in _extras() if not each.startswith(only_deploying)]
    files = re.compile(hook["files"])
    assert all(files.search(path) for path in ("config/dev.yaml", "config/teams/a.yml", "Pulumi.dev.yaml"))
    assert not any(files.search(path) for path in ("README.md", "Pulumi.yaml", "other/config/dev.yaml"))
    assert shlex.split(hook["entry"]) == ["entrant", "validate"]


def test_the_action_and_the_image_install_by_checksum_and_build_from_their_own_files() -> None:
    (step,) = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))["runs"]["steps"]
    image = (ROOT / "local_azure" / "Dockerfile").read_text("utf-8")
    for text in (step["run"], image):
        assert "--require-hashes --only-binary :all: -r" in text
        assert "--no-deps --no-index --no-build-isolation" in text
    requirements = (ROOT / "requirements.txt").read_text("utf-8")
    assert "--hash=sha256:" in requirements
    assert re.search(r"^setuptools==", requirements, re.M), "what builds the packages is not pinned"
    copied = {name for line in re.findall(r"^COPY (.*) \S+$", image, re.M) for name in line.split()}
    assert all((ROOT / name).exists() for name in copied)
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    assert set(tool["package-dir"].values()) < copied


def test_the_schema_has_a_name_of_its_own() -> None:
    assert schema.schema()["$id"] == schema.ID
