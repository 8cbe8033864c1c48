"""The stacks that a change concerns, in a repository of this test's own."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from entrant import config
from entrant.cli import cli
from entrant.errors import ConfigurationError
from entrant.pipeline import matrix, repository
from tests.conftest import ROOT

SCOPE = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg"


class Repository:
    """A project in a folder of a repository, with two stacks on one base and one by itself."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.root = top / "identities"
        self.git("init", "-q", "-b", "main")
        self.write("config/base.yaml", "apps:\n  one:\n    logo: logo.png\n")
        self.write("config/dev.yaml", "extends: base.yaml\napps:\n  one: {display_name: One (dev)}\n")
        self.write("config/prod.yaml", "extends: base.yaml\n")
        certificate = "apps:\n  two:\n    certificates: {main: {path: certs/two.pem}}\n"
        self.write("config/alone.yaml", certificate)
        (self.root / "config" / "certs").mkdir()
        shutil.copy(ROOT / "examples" / "batch.pem", self.root / "config" / "certs" / "two.pem")
        shutil.copy(ROOT / "examples" / "logo.png", self.root / "config" / "logo.png")
        for stack in ("dev", "prod", "alone"):
            self.write(f"Pulumi.{stack}.yaml", "config: {}\n")
        self.write("__main__.py", "")
        self.write("README.md", "")
        self.commit()

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=A", "-c", "user.email=a@contoso.com", "-c", "commit.gpgSign=false"]
        done = subprocess.run(["git", *who, *arguments], cwd=self.top, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "Change")
        return self.git("rev-parse", "HEAD")

    def concerned(self, base: str | None = "HEAD") -> list[str]:
        return [stack.stack for stack in matrix.build(self.root, base).stacks]


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    yield Repository(tmp_path.resolve())


def test_without_a_base_every_stack_is_concerned(there: Repository) -> None:
    assert there.concerned(None) == ["alone", "dev", "prod"]


def test_nothing_changed_concerns_nobody(there: Repository) -> None:
    found = matrix.build(there.root, "HEAD")
    assert (found.stacks, found.unchanged, found.deleted) == ((), ("alone", "dev", "prod"), ())


@pytest.mark.parametrize(
    ("file", "stacks"),
    [
        ("config/dev.yaml", ["dev"]),
        ("config/base.yaml", ["dev", "prod"]),
        ("config/logo.png", ["dev", "prod"]),
        ("config/certs/two.pem", ["alone"]),
        ("Pulumi.prod.yaml", ["prod"]),
        ("README.md", []),
        ("docs/config/dev.yaml", []),
        ("__main__.py", ["alone", "dev", "prod"]),
        ("components/new/deep.py", ["alone", "dev", "prod"]),
        ("entrant/config/loader.py", ["alone", "dev", "prod"]),
        ("entrant/config.py", []),
        ("entrant/facts/data/roles.json", ["alone", "dev", "prod"]),
        ("entrant/policy/rules.py", ["alone", "dev", "prod"]),
        ("policy/__main__.py", ["alone", "dev", "prod"]),
        ("requirements.txt", ["alone", "dev", "prod"]),
        ("pulumi-plugins.sha256", ["alone", "dev", "prod"]),
        ("Pulumi.yaml", ["alone", "dev", "prod"]),
        ("tests/test_x.py", []),
    ],
)
def test_a_file_concerns_the_stacks_that_use_it(there: Repository, file: str, stacks: list[str]) -> None:
    """Not committed yet, and committed."""
    base = there.git("rev-parse", "HEAD")
    there.write(file, "# changed")
    assert there.concerned() == stacks
    there.commit()
    assert there.concerned(base) == stacks
    assert there.concerned() == []


@pytest.mark.parametrize("file", ["config/base.yaml", "config/logo.png"])
def test_a_file_that_was_deleted_concerns_the_stacks_that_name_it(there: Repository, file: str) -> None:
    (there.root / file).unlink()
    assert there.concerned() == ["dev", "prod"]


def test_a_link_and_what_it_leads_to_both_count(there: Repository) -> None:
    (there.top / "shared.yaml").write_text("apps: {three: {}}\n")
    (there.root / "config" / "linked.yaml").symlink_to("../../shared.yaml")
    there.commit()
    (there.top / "shared.yaml").write_text("apps: {four: {}}\n")
    assert there.concerned() == ["linked"]
    there.commit()
    (there.root / "config" / "linked.yaml").unlink()
    (there.root / "config" / "linked.yaml").symlink_to("dev.yaml")
    assert there.concerned() == ["linked"]


def test_what_others_changed_meanwhile_does_not_count(there: Repository) -> None:
    """A branch is compared with where it left main, as a pull request shows it."""
    there.git("switch", "-q", "-c", "feature")
    there.write("config/dev.yaml", "extends: base.yaml\n")
    there.commit()
    there.git("switch", "-q", "main")
    there.write("config/prod.yaml", "extends: base.yaml\nprotect: true\n")
    there.commit()
    there.git("switch", "-q", "feature")
    assert there.concerned("main") == ["dev"]


def test_a_deleted_environment_is_listed_apart(there: Repository) -> None:
    base = there.git("rev-parse", "HEAD")
    (there.root / "config" / "prod.yaml").unlink()
    there.git("mv", "identities/config/alone.yaml", "identities/config/single.yaml")
    there.commit()
    found = matrix.build(there.root, base)
    assert [stack.stack for stack in found.stacks] == ["single"]
    assert found.deleted == ("alone", "prod")
    assert there.git("status", "--porcelain") == ""


def test_a_base_is_no_stack_and_its_end_no_deletion(there: Repository) -> None:
    base = there.git("rev-parse", "HEAD")
    (there.root / "config" / "base.yaml").unlink()
    for stack in ("dev", "prod"):
        there.write(f"config/{stack}.yaml", "apps: {one: {}}\n")
    there.commit()
    assert matrix.build(there.root, base).deleted == ()


def test_a_stack_whose_settings_name_its_file_is_one_too(there: Repository) -> None:
    there.write("estates/eu.yaml", "apps: {one: {}}\n")
    there.write("Pulumi.prod-eu.yaml", "config: {entrant:environment: estates/eu.yaml}\n")
    there.commit()
    there.write("estates/eu.yaml", "apps: {two: {}}\n")
    [stack] = matrix.build(there.root, "HEAD").stacks
    assert (stack.stack, stack.file, stack.changed) == ("prod-eu", "estates/eu.yaml", ("estates/eu.yaml",))
    assert list(config.load("prod-eu", root=there.root).apps) == ["two"]


@pytest.mark.parametrize("ref", ["", "0" * 40])
def test_a_new_branch_has_no_base(there: Repository, ref: str) -> None:
    assert len(there.concerned(ref)) == 3


@pytest.mark.parametrize("ref", ["nowhere", "--all", "-x"])
def test_an_unknown_revision_is_refused_with_what_to_fetch(there: Repository, ref: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no revision") as caught:
        matrix.build(there.root, ref)
    assert "fetch-depth: 0" in str(caught.value.next_step)


def test_a_history_that_is_too_short_is_refused(there: Repository, tmp_path: Path) -> None:
    first = there.git("rev-parse", "HEAD")
    for _ in range(2):
        there.commit()
    shallow = tmp_path / "shallow"
    there.git("clone", "-q", "--depth", "1", f"file://{there.top}", str(shallow))
    subprocess.run(["git", "fetch", "-q", "--depth", "1", "origin", first], cwd=shallow, check=True)
    with pytest.raises(ConfigurationError, match="does not reach back") as caught:
        matrix.build(shallow / "identities", first)
    assert "--unshallow" in str(caught.value.next_step)


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ConfigurationError, match="not a git repository"):
        repository.fork(tmp_path, "main")


def test_names_with_spaces_and_newlines_are_seen(there: Repository) -> None:
    there.write("config/certs/a b\nü.pem", "x")
    commit = there.git("rev-parse", "HEAD")
    assert repository.changed(there.root, commit) == {there.root / "config" / "certs" / "a b\nü.pem"}


# ------------------------------------------------------------------------------------------------------- stages and forms


def test_stages_follow_the_patterns(there: Repository) -> None:
    found = matrix.build(there.root, None, ["dev*", "prod*", "*"])
    assert [(stack.stack, stack.stage) for stack in found.stacks] == [("dev", 1), ("prod", 2), ("alone", 3)]


def test_a_stack_that_no_pattern_fits_is_refused_and_not_left_out(there: Repository) -> None:
    with pytest.raises(ConfigurationError, match="no stage for alone"):
        matrix.build(there.root, None, ["dev*", "prod*"])


def example(*names: str, stages: int = 0) -> matrix.Matrix:
    stacks = tuple(
        matrix.Stack(name, f"config/{name}.yaml", at + 1 if stages else 1, ()) for at, name in enumerate(names)
    )
    return matrix.Matrix("c0ffee", stages, stacks, (), ("old",))


def outputs(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_github_gets_a_matrix_for_all_and_for_each_stage() -> None:
    found = outputs(matrix.github(example("dev", "prod", stages=3)))
    dev = {"stack": "dev", "file": "config/dev.yaml", "stage": 1}
    assert json.loads(found["matrix_1"]) == {"include": [dev]}
    assert [row["stack"] for row in json.loads(found["matrix"])["include"]] == ["dev", "prod"]
    assert (found["any"], found["any_1"], found["any_3"]) == ("true", "true", "false")
    assert json.loads(found["matrix_3"]) == {"include": []}
    assert json.loads(found["deleted"]) == ["old"]


def test_github_is_told_when_there_is_nothing_to_do() -> None:
    assert outputs(matrix.github(example()))["any"] == "false"


def test_azure_devops_gets_variables_whose_legs_have_allowed_names() -> None:
    lines = matrix.azure_devops(example("dev-eu", "dev_eu", "2nd")).splitlines()
    start = "##vso[task.setvariable variable=matrix;isOutput=true;]"
    assert lines[0].startswith(start)
    legs = json.loads(lines[0].removeprefix(start))
    assert {name: leg["stack"] for name, leg in legs.items()} == {
        "dev_eu_1": "dev-eu",
        "dev_eu_2": "dev_eu",
        "stack_2nd": "2nd",
    }
    assert all(isinstance(value, str) for leg in legs.values() for value in leg.values())
    assert lines[1] == "##vso[task.setvariable variable=any;isOutput=true;]true"


def test_gitlab_gets_a_job_for_each_stack_in_its_stage() -> None:
    found = yaml.safe_load(matrix.gitlab(example("dev", "default", stages=2)))
    assert found["stages"] == ["stage-1", "stage-2"]
    assert found["stack:default"] == {
        "extends": ".entrant",
        "stage": "stage-2",
        "variables": {"STACK": "default", "ENVIRONMENT_FILE": "config/default.yaml"},
    }


def test_a_gitlab_pipeline_is_never_without_a_job() -> None:
    found = yaml.safe_load(matrix.gitlab(example()))
    assert found["nothing-changed"]["stage"] in found["stages"]


def test_json_tells_why() -> None:
    stack = matrix.Stack("dev", "config/dev.yaml", 1, ("config/base.yaml",))
    found = json.loads(matrix.as_json(matrix.Matrix("c0ffee", 0, (stack,), ("prod",), ())))
    assert found["stacks"] == [{"stack": "dev", "file": "config/dev.yaml", "stage": 1, "changed": ["config/base.yaml"]}]
    assert (found["base"], found["unchanged"], found["deleted"]) == ("c0ffee", ["prod"], [])


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("json", '"stack": "prod"'),
        ("github", 'matrix_2={"include":[{"stack":"prod"'),
        ("azure-devops", "variable=matrix_1;isOutput=true"),
        ("gitlab", "extends: .entrant"),
    ],
)
def test_the_command_gives_each_ci_system_the_stages_of_a_change(there: Repository, form: str, says: str) -> None:
    """From a commit to the words of a CI system, with the reasons on standard error."""
    there.write("config/base.yaml", "apps:\n  one:\n    logo: logo.png\n    notes: changed\n")
    command = ["matrix", "-C", str(there.root), "--base", "HEAD", "--order", "dev*,*", "--format", form]
    done = CliRunner().invoke(cli, command, standalone_mode=False)
    assert done.exception is None and done.return_value == 0, done.output
    assert says in done.stdout
    assert "prod: config/base.yaml changed" in done.stderr


@pytest.mark.parametrize("name", ["$(id)", "a`id`", "a;b", "a b", "-x", "##vso[task.complete]", "a\n::error::b", "ä"])
@pytest.mark.parametrize("form", matrix.FORMATS)
def test_no_name_of_a_file_reaches_a_pipeline_that_is_more_than_a_name(there: Repository, name: str, form: str) -> None:
    there.write(f"config/{name}.yaml", "apps: {a: {}}\n")
    with pytest.raises(ConfigurationError, match="is no name of a stack"):
        matrix.FORMATS[form](matrix.build(there.root))
    (there.root / "config" / f"{name}.yaml").unlink()
    there.write("Pulumi.odd.yaml", json.dumps({"config": {"entrant:environment": f"config/x{name}#$(id).yaml"}}))
    there.write(f"config/x{name}#$(id).yaml", "apps: {a: {}}\n")
    (there.root / "config" / f"x{name}#$(id).yaml").rename(there.root / "other.yaml")
    with pytest.raises(ConfigurationError, match="characters in its name that shells or CI systems take for more"):
        matrix.FORMATS[form](matrix.build(there.root))


def test_a_job_that_does_nothing_is_there_only_when_no_stack_is_concerned() -> None:
    one = matrix.Stack("dev", "config/dev.yaml", 1, ())
    assert yaml.safe_load(matrix.gitlab(matrix.Matrix(None, 0, (one,), (), ()))) == {
        "stages": ["stage-1"],
        "stack:dev": {
            "extends": ".entrant",
            "stage": "stage-1",
            "variables": {"STACK": "dev", "ENVIRONMENT_FILE": "config/dev.yaml"},
        },
    }
    assert yaml.safe_load(matrix.gitlab(matrix.Matrix(None, 0, (), (), ()))) == {
        "stages": ["stage-1"],
        "nothing-changed": {"stage": "stage-1", "script": ["echo 'No environment changed.'"]},
    }
