"""Azure DevOps and GitLab: a pull request, a merge and two later days, by the steps of the pipeline files themselves.

Told in order: GitLab's goes on where Azure DevOps' ended.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.conftest import Project
from tests.entrant import forges
from tests.entrant.receivers import receivers
from tests.local_azure.conftest import Client
from tests.pipelines import estate as estates
from tests.pipelines.azure_devops import Connection, Pipelines
from tests.pipelines.estate import WORKSPACES, Estate
from tests.pipelines.gitlab import Ci


@pytest.fixture(scope="module")
def estate(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """One estate for both."""
    with estates.estate(project, tmp_path_factory.mktemp("estate")) as made:
        yield made


VARIABLES = {"AZURE_SUBSCRIPTION_ID": "7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631"}
MAIN = {"Build.SourceBranch": "refs/heads/main"}
SUBJECT = "/eid1/c/pub/t/Wps_LlENbEqaDn8vPRyLQA/a/U3JpZG9uZQ/sc/6b1f/"
ENTRA = "https://login.microsoftonline.com/2e3f9b5a-0d51-4a6c-9a0e-7f2f3d1c8b40/v2.0"
GITLAB = "pipelines/gitlab/entrant.gitlab-ci.yml"
GAP = ("  log-gap:", "    secret: {every: 20d, overlap: 0d}")
"""An app that has no valid secret from the end of one until somebody runs `up`."""


@pytest.fixture(scope="module")
def devops(estate: Estate) -> Pipelines:
    """The project on Azure DevOps."""
    estate.pull.assertion = lambda connection: estate.azure.assertion(SUBJECT + connection, issuer=ENTRA)
    return Pipelines(
        estate.machine,
        estate.pull,
        estate.azure.tenant_id,
        variables=VARIABLES | {"PULUMI_BACKEND_URL": estate.backend},
        hidden={"PULUMI_CONFIG_PASSPHRASE": estates.PASSPHRASE},
        connections={name: Connection(name, client) for name, client in estate.clients.items()},
        groups={f"entrant-apply-{stack}": {"PULUMI_BACKEND_URL": estate.backend} for stack in WORKSPACES},
    )


@pytest.fixture(scope="module")
def ci(estate: Estate) -> Ci:
    """The project on GitLab."""
    applying = {f"{stack}{kind}": f"entrant-apply-{stack}" for stack in WORKSPACES for kind in ("", "-daily")}
    return Ci(
        estate.machine,
        estate.azure,
        variables=VARIABLES
        | {
            "AZURE_TENANT_ID": estate.azure.tenant_id,
            "ENTRANT_PLAN_CLIENT_ID": estate.clients["entrant-plan"],
            "PULUMI_BACKEND_URL": estate.backend,
            "PULUMI_CONFIG_PASSPHRASE": estates.PASSPHRASE,
            "GITLAB_TOKEN": forges.TOKEN,
            "CI_API_V4_URL": estate.pull.url,
            "CI_DEFAULT_BRANCH": "main",
        },
        environments={name: {"ENTRANT_APPLY_CLIENT_ID": estate.clients[who]} for name, who in applying.items()},
    )


@contextmanager
def manual_secret(estate: Estate, name: str) -> Iterator[None]:
    """For a block, `log-reader` of dev has a client secret that nobody declared, for ten more days."""
    app = f"/applications/{estate.outputs('dev')['identities']['log-reader']['object_id']}"
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(days=10)
    wanted = {"displayName": name, "endDateTime": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
    made = Client(estate.azure).graph("POST", f"{app}/addPassword", {"passwordCredential": wanted})
    yield
    Client(estate.azure).graph("POST", f"{app}/removePassword", {"keyId": made["keyId"]})


def a_day_of_two_secrets(estate: Estate, without: Iterable[str] = ()) -> tuple[dict[str, Any], str]:
    """Move the clock to the week in which `log-reader`'s secret of dev and the next are good: the outputs before, the commit.

    Stacks that it goes on `without` are in the repository no more.
    """
    before = estate.outputs("dev")
    (end,) = [
        each["ends"]
        for each in before["identities"]["log-reader"]["credentials"]
        if each["kind"] == "secret" and each["current"]
    ]
    day = dt.datetime.fromisoformat(end) - dt.timedelta(days=3)
    estate.azure.admin("PATCH", "settings", {"clock": {"offset": (day - dt.datetime.now(dt.UTC)).total_seconds()}})
    settings = (estate.root / "Pulumi.dev.yaml").read_text()
    changed: dict[str, str | None] = {"Pulumi.dev.yaml": estates.later(settings, f"{day:%Y-%m-%dT%H:%M:%SZ}")}
    return before, estate.commit("main", changed | {f"config/{stack}.yaml": None for stack in without})


def assert_rotated(estate: Estate, before: dict[str, Any]) -> None:
    """The secret is another one, and the one that was there is good for a while yet."""
    now = estate.outputs("dev")
    assert now["log_reader_client_secret"] != before["log_reader_client_secret"]
    assert now["log_reader_client_secret_previous"] == before["log_reader_client_secret"]


def test_azure_devops_reviews_and_deploys_alike(estate: Estate, devops: Pipelines) -> None:
    estate.pull.comments.clear()
    folder = estate.root / "pipelines" / "azure-devops"
    estate.commit("rename", {"config/dev.yaml": estate.environment("dev", *GAP).replace("reader (dev)", "reader")})
    _, commit = estate.opened("rename")
    reason = {"Build.Reason": "PullRequest", "System.PullRequest.TargetBranch": "refs/heads/main"}
    about = reason | {"System.PullRequest.IsFork": "False", "System.PullRequest.PullRequestId": "12"}
    done = devops.run(folder, "entrant-review.yml", commit, about)
    assert {name: job.result for name, job in done.items()} == {
        "stacks": "Succeeded",
        "review": "Succeeded",
        "review_without_cloud": "Skipped",
    }, estate.machine.text()
    (comment,) = estate.pull.own()
    assert comment.startswith("<!-- entrant-review stack=dev ")
    assert "Log reader" in comment
    assert devops.used == [("review dev", "entrant-plan")]
    stages = devops.run(folder, "entrant-deploy.yml", estate.merge("rename"), MAIN | {"Build.Reason": "IndividualCI"})
    assert {name: stage.result for name, stage in stages.items()} == {
        "plan_dev": "Succeeded",
        "apply_dev": "Succeeded",
        "plan_prod": "Succeeded",
        "apply_prod": "Succeeded",
    }, estate.machine.text()
    assert devops.environments == ["dev", "prod"]
    assert devops.entered == [(f"apply_{stack}", f"entrant-apply-{stack}") for stack in WORKSPACES]
    applied = [used for used in devops.used if used[0].startswith("apply")]
    assert applied == [(f"apply_{stack} / apply", f"entrant-apply-{stack}") for stack in WORKSPACES for _ in range(3)]
    assert estate.outputs("dev")["identities"]["log-reader"]["display_name"] == "Log reader"


def test_azure_devops_plans_and_applies_nothing_of_another_branch(estate: Estate, devops: Pipelines) -> None:
    """Somebody queued the pipeline on one."""
    folder = estate.root / "pipelines" / "azure-devops"
    used, entered = list(devops.used), list(devops.entered)
    queued = {"Build.Reason": "Manual", "Build.SourceBranch": "refs/heads/rename"}
    for file in ("entrant-deploy.yml", "entrant-daily.yml"):
        stages = devops.run(folder, file, estate.git("rev-parse", "rename"), queued)
        assert {stage.result for stage in stages.values()} == {"Skipped"}, file
    assert (devops.used, devops.entered) == (used, entered)


def daily(devops: Pipelines, estate: Estate, commit: str) -> dict[str, str]:
    """Run the daily pipeline of Azure DevOps for the stack dev; its stages and how they ended."""
    folder = estate.root / "pipelines" / "azure-devops"
    done = devops.run(folder, "entrant-daily.yml", commit, MAIN | {"Build.Reason": "Schedule"}, {"stacks": ["dev"]})
    return {name: stage.result for name, stage in done.items()}


def failed(estate: Estate, job: str, since: int) -> list[tuple[str, int]]:
    """The steps of a job that failed, and their exit codes."""
    return [(log.step, log.code) for log in estate.machine.logs[since:] if log.job == job and log.code]


def test_azure_devops_finds_the_next_day_manual_changes_and_what_ends(estate: Estate, devops: Pipelines) -> None:
    since = len(estate.machine.logs)
    with manual_secret(estate, "mine"), receivers() as receiving:
        devops.hidden["ENTRANT_NOTIFY_WEBHOOK"] = f"{receiving.url}/hooks/T0"
        done = daily(devops, estate, estate.git("rev-parse", "main"))
    del devops.hidden["ENTRANT_NOTIFY_WEBHOOK"]
    gap, mine = sorted(post["text"] for post in receiving.posts)
    assert gap.startswith("log-gap (stack dev): secret ends in ")
    assert mine.startswith("log-reader (stack dev): secret ends in 9 days\n")
    assert done == {"plan_dev": "Succeeded", "apply_dev": "Succeeded", "watch_dev": "Failed"}, estate.machine.text()
    assert failed(estate, "watch_dev / watch", since) == [("What drifted", 7), ("What ends soon", 5)]
    drifted, ending = (log.text for log in estate.machine.logs[-2:])
    assert "mine" in drifted
    issues = [line for line in ending.splitlines() if line.startswith("##vso[task.logissue ")]
    assert ["mine" in issue for issue in issues] == [True, False] and "log-gap" in issues[1]


def test_azure_devops_rotates_a_secret_on_a_later_day(estate: Estate, devops: Pipelines) -> None:
    before, commit = a_day_of_two_secrets(estate)
    done = daily(devops, estate, commit)
    assert done == dict.fromkeys(("plan_dev", "apply_dev", "watch_dev"), "Succeeded"), estate.machine.text()
    assert devops.environments[-1] == "dev-daily"
    assert_rotated(estate, before)


def test_gitlab_reviews_and_deploys_alike(estate: Estate, ci: Ci) -> None:
    estate.pull.comments.clear()
    estate.commit("less", {"config/dev.yaml": estate.environment("dev", *GAP).replace("reader (dev)", "reader of dev")})
    base, commit = estate.opened("less")
    about = {
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_COMMIT_REF_NAME": "less",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
        "CI_MERGE_REQUEST_IID": "12",
        "CI_MERGE_REQUEST_PROJECT_ID": "4",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "4",
    }
    assert ci.run(GITLAB, commit, about) == {"stacks": "success", "review": "success"}, estate.machine.text()
    (comment,) = estate.pull.own()
    assert comment.startswith("<!-- entrant-review stack=dev ")
    assert "Log reader of dev" in comment
    push = {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_REF_NAME": "main", "CI_COMMIT_BRANCH": "main"}
    jobs = ["plan:dev", "apply:dev", "plan:prod", "apply:prod"]
    assert ci.run(GITLAB, estate.merge("less"), push) == dict.fromkeys(jobs, "success"), estate.machine.text()
    assert ci.groups == ["entrant-dev", "entrant-prod"]
    assert estate.outputs("dev")["identities"]["log-reader"]["display_name"] == "Log reader of dev"


def test_gitlab_makes_no_assertion_for_a_forks_merge_request(estate: Estate, ci: Ci) -> None:
    asserted, comments = list(ci.asserted), list(estate.pull.comments)
    base, commit = estate.git("rev-parse", "main~1"), estate.git("rev-parse", "main")
    about = {
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_COMMIT_REF_NAME": "less",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
        "CI_MERGE_REQUEST_IID": "13",
        "CI_MERGE_REQUEST_PROJECT_ID": "4",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "5",
    }
    done = ci.run(GITLAB, commit, about)
    assert done == {"stacks": "success", "review-without-cloud": "success"}, estate.machine.text()
    assert (ci.asserted, estate.pull.comments) == (asserted, comments)
    assert "Log reader of dev" in estate.machine.logs[-1].text


def test_gitlab_finds_on_a_later_day_manual_changes_and_rotates_a_secret(estate: Estate, ci: Ci) -> None:
    schedule = {"CI_PIPELINE_SOURCE": "schedule", "CI_COMMIT_REF_NAME": "main", "CI_COMMIT_BRANCH": "main"}
    estate.azure.admin("PATCH", "settings", {"clock": {"offset": 0}})
    with manual_secret(estate, "theirs"), receivers() as receiving:
        before, commit = a_day_of_two_secrets(estate, without=["prod"])
        since = len(estate.machine.logs)
        ci.variables["ENTRANT_NOTIFY_WEBHOOK"] = f"{receiving.url}/hooks/T0"
        assert ci.run(GITLAB, commit, schedule) == {"stacks": "success", "daily": "failed"}
    assert_rotated(estate, before)
    (job,) = [log for log in estate.machine.logs[since:] if log.job.startswith("child / ")]
    assert job.code == 5, estate.machine.text()
    assert job.text.count("theirs") > 1, "in what drifted, and in what ends"
    [post] = receiving.posts
    assert post["text"].startswith("log-reader (stack dev): secret ends in 9 days\n")
    assert ci.groups[-1] == "entrant-dev"


def test_no_secret_was_ever_in_a_log(estate: Estate) -> None:
    estates.assert_silent(estate)
