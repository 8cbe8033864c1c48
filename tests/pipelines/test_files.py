"""The pipeline files, held to their systems' schemas and to linters."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from entrant.project import SOURCE
from entrant.setup import pins
from tests.clients import installing
from tests.pipelines import azure_devops

PIPELINES = SOURCE / "pipelines"
GITHUB = sorted((PIPELINES / "github").glob("*.yml"))
SCHEMAS = {
    "github": ["--builtin-schema", "vendor.github-workflows"],
    "gitlab": ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
}
PINNED = re.compile(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|uses: \./\.github/workflows/[\w-]+\.yml")


def run(command: list[str | Path], cwd: Path) -> str:
    """What a linter says; fails when it finds something."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the workflows where GitHub looks for them."""
    workflows = tmp_path / ".github" / "workflows"
    workflows.mkdir(parents=True)
    for file in GITHUB:
        shutil.copy(file, workflows)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


@pytest.mark.parametrize("system", SCHEMAS)
def test_the_files_are_what_the_systems_schema_says(system: str) -> None:
    checker = installing.pip("check-jsonschema")
    files = sorted((PIPELINES / system).glob("*.yml"))
    assert files
    run([checker / "bin" / "python", "-m", "check_jsonschema", *SCHEMAS[system], *files], SOURCE)


def test_what_keeps_the_pins_is_what_renovates_schema_says() -> None:
    checker = installing.pip("check-jsonschema")
    check: list[str | Path] = [checker / "bin" / "python", "-m", "check_jsonschema"]
    run([*check, "--builtin-schema", "vendor.renovate", SOURCE / "renovate.json"], SOURCE)
    managers = json.loads((SOURCE / "renovate.json").read_text())["customManagers"]
    plugin = f"{'a' * 64}  pulumi-resource-azure-native-v3.29.0-linux-amd64.tar.gz"
    texts = [file.read_text() for file in (pins.ENGINE, SOURCE / "entrant" / "setup" / "engine.py")] + [plugin]
    for manager, text in zip(managers, texts, strict=True):
        assert re.search(manager["matchStrings"][0].replace("(?<", "(?P<"), text), manager["description"]


@pytest.mark.parametrize("file", ["entrant-review.yml", "entrant-deploy.yml", "entrant-daily.yml"])
def test_the_expanded_azure_devops_pipelines_are_what_the_schema_says(file: str) -> None:
    """As the service sees them after templates are put in; its schema has every scalar as a text."""
    checker = installing.pip("check-jsonschema")
    (schema,) = checker.glob("lib/python*/site-packages/check_jsonschema/builtin_schemas/vendor/azure-pipelines.json")
    expanded = azure_devops.expand(PIPELINES / "azure-devops", file)
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text()))
    assert [error.message for error in validator.iter_errors(_texts(expanded))] == []
    wrong = _texts(expanded) | {"stage": [{"jobs": "none"}]}
    assert list(validator.iter_errors(wrong)), "the schema refuses what is wrong"


def _texts(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _texts(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_texts(item) for item in node]
    return str(node).lower() if isinstance(node, bool) else str(node)


def test_actionlint_finds_nothing(repository: Path) -> None:
    actionlint = installing.go("actionlint", "v1.7.12", "github.com/rhysd/actionlint/cmd/actionlint")
    run([actionlint, "-shellcheck=", "-pyflakes=", "-no-color"], repository)


def audited(repository: Path) -> set[str]:
    """What zizmor finds, without asking any server."""
    zizmor = installing.pip("zizmor") / "bin" / "zizmor"
    command = [str(zizmor), "--offline", "--no-progress", "--no-exit-codes", "--format=json", "."]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {finding["ident"] for finding in json.loads(done.stdout)}


def test_zizmor_finds_nothing(repository: Path) -> None:
    """No template injection, unpinned action, excessive permission, persisted credential and so on."""
    newer_syntax = {"self-repository"}  # `uses: $/…`, which GitHub Enterprise Server and actionlint do not know yet
    assert audited(repository) - newer_syntax == set()


def test_the_linters_find_what_they_are_for(repository: Path) -> None:
    """A title of a pull request in a script, an action by its tag: what would pass here would pass anything."""
    file = repository / ".github" / "workflows" / "entrant-review.yml"
    text = file.read_text()
    file.write_text(
        re.sub(r"actions/checkout@\w+ # v", "actions/checkout@v", text).replace(
            "run: python3 -m entrant validate",
            "run: echo ${{ github.event.pull_request.title }}; python3 -m entrant validate",
        )
    )
    assert audited(repository) >= {"template-injection", "unpinned-uses"}
    actionlint = installing.go("actionlint", "v1.7.12", "github.com/rhysd/actionlint/cmd/actionlint")
    done = subprocess.run([actionlint, "-shellcheck=", "-pyflakes="], cwd=repository, capture_output=True, text=True)
    assert "untrusted" in done.stdout


@pytest.mark.parametrize("file", GITHUB, ids=lambda file: file.stem)
def test_workflows_ask_for_no_more_than_they_need(file: Path) -> None:
    text = file.read_text()
    for line in re.findall(r"^ +(?:- )?(uses: .*)$", text, re.M):
        assert PINNED.fullmatch(line), line
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {}
    for name, job in workflow["jobs"].items():
        allowed = {"contents": "read", "id-token": "write"}
        if name == "review":
            allowed["pull-requests"] = "write"
        assert job["permissions"].items() <= allowed.items(), name
        for step in job.get("steps", ()):
            assert "${{" not in step.get("run", ""), "what a script gets, it gets from its environment"


@pytest.mark.parametrize("file", sorted(PIPELINES.rglob("*.yml")), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_script_shows_what_it_runs(file: Path) -> None:
    assert not re.search(r"set -\w*x|--show-secrets|--logtostderr|printenv", file.read_text())


# ------------------------------------------------------------------------------------- whoever may push a branch, or fork only

SETUP = "python3 -m entrant setup --plugins"
NO_PLUGINS = "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"
CREDENTIALS = {
    "PULUMI_ACCESS_TOKEN",
    "PULUMI_CONFIG_PASSPHRASE",
    "PGPASSWORD",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
}
AZURE_DEVOPS = ["entrant-review.yml", "entrant-deploy.yml", "entrant-daily.yml"]


def gitlab(file: str) -> dict[str, Any]:
    """A file of the GitLab pipeline."""
    loaded: dict[str, Any] = yaml.safe_load((PIPELINES / "gitlab" / f"{file}.gitlab-ci.yml").read_text())
    return loaded


@pytest.mark.parametrize("file", GITHUB, ids=lambda file: file.stem)
def test_github_sets_up_before_there_is_a_credential_and_fetches_no_plugin_after_it(file: Path) -> None:
    for name, job in yaml.safe_load(file.read_text())["jobs"].items():
        steps = job.get("steps", [])
        if job["permissions"].get("id-token") != "write" or not steps:
            assert not CREDENTIALS & set(str(steps).replace("'", " ").split()), name
            continue
        assert job["env"][NO_PLUGINS] == "true", name
        assert not CREDENTIALS & job["env"].keys(), "of the steps that need them"
        assert steps[0]["uses"].startswith("actions/checkout@")
        assert steps[1]["run"] == SETUP and "env" not in steps[1], name
        for step in steps[2:]:
            reads = re.search(r"entrant (review|hold|wait|check|drift|expiry)", step["run"])
            assert (
                step.get("env", {}).keys() >= CREDENTIALS if reads else not CREDENTIALS & step.get("env", {}).keys()
            ), name


def test_only_jobs_of_an_environment_apply_on_github() -> None:
    """An environment says which branches may: elsewhere a branch could bring a job of its own."""
    for file in GITHUB:
        for name, job in yaml.safe_load(file.read_text())["jobs"].items():
            applies = "ENTRANT_APPLY_CLIENT_ID" in str(job.get("env"))
            assert applies == ("environment" in job), name


@pytest.mark.parametrize("file", AZURE_DEVOPS)
def test_azure_devops_sets_up_before_there_is_a_credential_and_applies_of_main_alone(file: str) -> None:
    document = azure_devops.expand(PIPELINES / "azure-devops", file)
    stages = document.get("stages", [{"stage": "review", "jobs": document.get("jobs")}])
    for stage in stages:
        groups = [item["group"] for item in stage.get("variables", []) if "group" in item]
        for job in stage["jobs"]:
            steps = job.get("steps") or job["strategy"]["runOnce"]["deploy"]["steps"]
            assert steps[0]["checkout"] == "self" and steps[0]["clean"] is True, "nothing of an earlier job's is run"
            tasks = [index for index, step in enumerate(steps) if "task" in step]
            if not tasks:
                continue
            before = steps[1]
            assert before["script"] == SETUP and "env" not in before, job
            connections = {steps[index]["inputs"]["azureSubscription"] for index in tasks}
            assert all(steps[index]["env"][NO_PLUGINS] == "true" for index in tasks)
            if file != "entrant-review.yml":
                assert "eq(variables['Build.SourceBranch'], 'refs/heads/main')" in stage["condition"]
            if "deployment" in job:
                assert groups == list(connections) == [f"entrant-apply-{stage['stage'].removeprefix('apply_')}"]
            else:
                assert (groups, connections) == ([], {"entrant-plan"})


def test_gitlab_sets_up_before_it_writes_an_assertion_and_fetches_no_plugin() -> None:
    session = gitlab("session")[".session"]
    assert session["variables"][NO_PLUGINS] == "true"
    assert session["before_script"][0] == SETUP
    assert "ARM_OIDC_TOKEN" in session["before_script"][-1]
    for file in ("review", "daily", "entrant"):
        for name, job in gitlab(file).items():
            if "script" in job and name != "stacks":
                assert job["extends"] == ".session" or job["extends"].startswith("."), name


def test_gitlab_has_no_assertion_for_a_forks_merge_request() -> None:
    fork = gitlab("fork")[".entrant"]
    assert not {"id_tokens", "extends", "environment", "before_script"} & fork.keys()
    assert [step for step in fork["script"] if "--no-cloud" not in step] == []
    pipeline = gitlab("entrant")
    own, foreign = (
        "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID " + sign + " $CI_MERGE_REQUEST_PROJECT_ID" for sign in ("==", "!=")
    )
    assert [rule["if"].partition(" && ")[2] for rule in pipeline["review"]["rules"]] == [own]
    assert [rule["if"].partition(" && ")[2] for rule in pipeline["review-without-cloud"]["rules"]] == [foreign]
    assert "id_tokens" not in pipeline["stacks"] and "extends" not in pipeline["stacks"]


def test_every_package_that_the_tests_install_has_its_hashes() -> None:
    """What is not held to a hash pip refuses, and nothing is built on the way."""
    files = [file for file in (SOURCE / "tests" / "clients").glob("*.txt") if "==" in file.read_text("utf-8")]
    assert len(files) >= 6
    texts = [file.read_text("utf-8") for file in files] + [installing.pinned("PyJWT", "typing_extensions")]
    for text in texts:
        entries = re.findall(r"^[\w.\[\]-]+==(?:.*\\\n)*.*$", text, re.M)
        assert entries and all("--hash=sha256:" in entry for entry in entries)
    source = (SOURCE / "tests" / "clients" / "installing.py").read_text("utf-8")
    commands = re.findall(r'"pip", "install".*', source)
    assert len(commands) == 2 and all("*options" in command for command in commands), "by pip, and by uv"
    assert source.count('options = ["--require-hashes", "--only-binary=:all:"') == 1
