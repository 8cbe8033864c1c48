"""`entrant new`: a project of one's own, worked on with an installed package, far from the checkout."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import local_azure
from entrant import project, starter
from entrant.cli import cli
from entrant.rehearsal import environ
from entrant.setup.engine import find_pulumi
from tests.conftest import ROOT
from tests.distributions import Environment, attempt, run, wheels

INSTALLS = "pip install --quiet --disable-pip-version-check"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """`pip install 'entrant[pulumi,local]'`."""
    made = Environment(tmp_path_factory.mktemp("installed"), *wheels(tmp_path_factory.mktemp("wheels")))
    made.borrow()
    return made


def test_the_program_is_the_checkouts_own() -> None:
    own = (ROOT / "__main__.py").read_text("utf-8")
    assert own.replace("from components import", "from entrant.components import") == starter.PROGRAM


def test_it_makes_the_files_and_says_what_comes_next(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["new", str(tmp_path / "identities")])
    assert done.exit_code == 0, done.output
    made = {path.relative_to(tmp_path / "identities").as_posix() for path in (tmp_path / "identities").rglob("*.*")}
    assert made == set(starter.files("identities"))
    assert done.stdout.splitlines() == [str(tmp_path / "identities" / path) for path in starter.files("identities")]
    assert "entrant rehearse dev" in done.stderr
    assert yaml.safe_load((tmp_path / "identities/Pulumi.yaml").read_text())["name"] == "identities"


def test_it_overwrites_nothing_and_then_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/dev.yaml").write_text("mine")
    (tmp_path / ".gitignore").symlink_to("nowhere")
    done = CliRunner().invoke(cli, ["new", str(tmp_path), "--name", "mine"])
    assert done.exception is not None
    assert str(done.exception) == (
        f"{tmp_path} has files of these names already, and nothing was written:\n    config/dev.yaml\n    .gitignore"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"config", ".gitignore"}
    assert (tmp_path / "config/dev.yaml").read_text() == "mine"


@pytest.mark.parametrize("folder", ["file", "file/below", "readonly/below"])
def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "readonly").symlink_to("/proc")
    done = CliRunner().invoke(cli, ["new", str(tmp_path / folder)])
    assert "could not be written" in str(done.exception)


@pytest.mark.parametrize(("folder", "name"), [("über", None), ("1", None), ("ok", "a b"), ("ok", ""), ("ok", "-x")])
def test_a_name_that_pulumi_does_not_take_is_refused(tmp_path: Path, folder: str, name: str | None) -> None:
    done = CliRunner().invoke(cli, ["new", str(tmp_path / folder), *(["--name", name] if name is not None else [])])
    if folder == "über":
        assert yaml.safe_load((tmp_path / folder / "Pulumi.yaml").read_text())["name"] == "ber"
    else:
        assert "is no name for a Pulumi project" in str(done.exception)
        assert not (tmp_path / folder).exists()


# ------------------------------------------------------------------------------------------------------------- pipelines


def _scripts(node: Any) -> Iterator[list[str]]:
    """The scripts of each list of steps in a pipeline, in order; a list of GitLab's is one of scripts."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "steps":
                yield [text for step in value for text in _texts(step)]
            yield from _scripts(value)
    elif isinstance(node, list):
        for value in node:
            yield from _scripts(value)


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, (dict, list)):
        for value in node.values() if isinstance(node, dict) else node:
            yield from _texts(value)


@pytest.mark.parametrize("host", ["github", "azure-devops"])
def test_each_job_installs_entrant_before_it_runs_it(host: str) -> None:
    texts = {path: text for path, text in starter.files("mine", host).items() if path.startswith(starter.HOSTS[host])}
    assert len(texts) == len(list((ROOT / "pipelines" / host).iterdir()))
    jobs = 0
    for path, text in texts.items():
        for scripts in _scripts(yaml.safe_load(text)):
            used = [number for number, script in enumerate(scripts) if "python3 -m entrant" in script]
            installing = [number for number, script in enumerate(scripts) if INSTALLS.removeprefix("pip ") in script]
            if used and not path.endswith("entrant-as.yml"):  # steps of another file's job
                assert len(installing) == 1 and installing[0] < used[0], path
                jobs += 1
    assert jobs >= 4


def test_each_job_of_gitlab_installs_entrant_first() -> None:
    texts = {
        path: yaml.safe_load(text) for path, text in starter.files("mine", "gitlab").items() if ".gitlab-ci" in path
    }
    session = texts["pipelines/gitlab/session.gitlab-ci.yml"]
    assert "-r requirements.txt" in session["default"]["before_script"][0]
    assert "-r requirements.txt" in session[".session"]["before_script"][0]
    for path, document in texts.items():
        for name, job in document.items():
            if isinstance(job, dict) and name not in ("default", ".session"):
                assert "before_script" not in job, f"{path}: {name}"
    for name in ("review", "daily"):
        included = [
            each.get("local") for each in texts["pipelines/gitlab/entrant.gitlab-ci.yml"][name]["trigger"]["include"]
        ]
        assert "pipelines/gitlab/session.gitlab-ci.yml" in included


# ------------------------------------------------------------------------------------------------------- the whole job


def test_every_command_works_in_a_project_of_ones_own(installed: Environment, tmp_path: Path) -> None:
    """From `new` to `rehearse --down`; the stack's settings name the file, which is what another project's name could break."""
    root = tmp_path / "identities"
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(project.cache().parent)}
    command = [str(installed.python), "-m", "entrant"]
    run([*command, "new", "identities"], cwd=tmp_path, **home)
    (root / "config/dev.yaml").rename(root / "config/team.yaml")
    (root / "Pulumi.dev.yaml").write_text("config: {entrant:environment: config/team.yaml}\n")
    below = root / "policy"  # any folder below the project is as good

    def entrant(*arguments: str, codes: tuple[int, ...] = (0,), **more: str) -> str:
        done = attempt([*command, *arguments], cwd=below, **home | more)
        assert done.returncode in codes, f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    azure = root / ".entrant/rehearsal/dev/azure"
    try:
        assert entrant("validate", "--format", "json")
        summary = json.loads(entrant("rehearse", "dev", "--format", "json"))
        assert summary["apps"]["log-reader"]["queries"][0]["rows"] == 5
        job = local_azure.start(azure)
        settings = dict(re.findall(r"^export (\w+)='?(.*?)'?$", entrant("rehearse", "dev", "--env"), re.M))
        settings = {name: value for name, value in settings.items() if name != "PATH"}
        assert entrant("token", "-s", "dev", "log-reader", "logs", **settings).count(".") == 2
        entrant("doctor", "-s", "dev", **settings)
        assert "log-reader" in entrant("check", "-s", "dev", **settings)
        entrant("drift", "-s", "dev", **settings)
        entrant("review", "-s", "dev", **settings)

        pack = ["preview", "-s", "dev", "--policy-pack", "policy", "--non-interactive"]
        pulumi = str(find_pulumi().path)  # type: ignore[union-attr]
        path = f"{installed.python.parent}:{environ({})['PATH']}"
        file = root / "config/team.yaml"
        for level, stops in (
            ("off", False),
            ("error", True),
        ):  # the pack's levels are those of the file that the settings name
            file.write_text(
                re.sub("missing-owner: [a-z]+", f"missing-owner: {level}", file.read_text("utf-8")), "utf-8"
            )
            judged = attempt([pulumi, *pack], cwd=root, **home | settings | {"PATH": path})
            shown = judged.stdout + judged.stderr
            assert (judged.returncode != 0, "missing-owner" in shown) == (stops, stops), shown
        assert job.url
    finally:
        entrant("rehearse", "dev", "--down")
    assert not azure.exists()
    assert {path.name for path in root.iterdir()} >= {"config", "policy", ".entrant"}
    assert not [path for path in installed.site.glob("*") if path.name in ("config", "facts", "policy", "components")]
