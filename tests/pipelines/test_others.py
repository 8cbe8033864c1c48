"""Azure DevOps and GitLab: a pull request and a merge, by the steps of the pipeline files themselves.

Told in order: GitLab's goes on where Azure DevOps' ended.
"""

from collections.abc import Iterator

import pytest

from tests.conftest import Project
from tests.entrant import forges
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
SUBJECT = "/eid1/c/pub/t/Wps_LlENbEqaDn8vPRyLQA/a/U3JpZG9uZQ/sc/6b1f/"
ENTRA = "https://login.microsoftonline.com/2e3f9b5a-0d51-4a6c-9a0e-7f2f3d1c8b40/v2.0"


def test_azure_devops_reviews_and_deploys_alike(estate: Estate) -> None:
    estate.pull.comments.clear()
    estate.pull.assertion = lambda connection: estate.azure.assertion(SUBJECT + connection, issuer=ENTRA)
    devops = Pipelines(
        estate.machine,
        estate.pull,
        estate.azure.tenant_id,
        variables=VARIABLES | {"PULUMI_BACKEND_URL": estate.backend},
        hidden={"PULUMI_CONFIG_PASSPHRASE": estates.PASSPHRASE},
        connections={name: Connection(name, client) for name, client in estate.clients.items()},
    )
    folder = estate.root / "pipelines" / "azure-devops"
    estate.commit("rename", {"config/dev.yaml": estate.environment("dev").replace("reader (dev)", "reader")})
    _, commit = estate.opened("rename")
    reason = {"Build.Reason": "PullRequest", "System.PullRequest.TargetBranch": "refs/heads/main"}
    about = reason | {"System.PullRequest.IsFork": "False", "System.PullRequest.PullRequestId": "12"}
    done = devops.run(folder, "entrant-review.yml", commit, about)
    assert {name: job.result for name, job in done.items()} == {
        "stacks": "Succeeded",
        "review": "Succeeded",
        "review_without_cloud": "Skipped",
    }, estate.machine.said()
    (comment,) = estate.pull.own()
    assert comment.startswith("<!-- entrant-review stack=dev ")
    assert "Log reader" in comment
    assert devops.used == [("review dev", "entrant-plan")]
    stages = devops.run(folder, "entrant-deploy.yml", estate.merge("rename"), {"Build.Reason": "IndividualCI"})
    assert {name: stage.result for name, stage in stages.items()} == {
        "plan_dev": "Succeeded",
        "apply_dev": "Succeeded",
        "plan_prod": "Succeeded",
        "apply_prod": "Succeeded",
    }, estate.machine.said()
    assert devops.environments == ["dev", "prod"]
    applied = [used for used in devops.used if used[0].startswith("apply")]
    assert applied == [(f"apply_{stack} / apply", f"entrant-apply-{stack}") for stack in WORKSPACES for _ in range(2)]
    assert estate.outputs("dev")["identities"]["log-reader"]["display_name"] == "Log reader"


def test_gitlab_reviews_and_deploys_alike(estate: Estate) -> None:
    estate.pull.comments.clear()
    applying = {f"{stack}{kind}": f"entrant-apply-{stack}" for stack in WORKSPACES for kind in ("", "-daily")}
    ci = Ci(
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
    file = "pipelines/gitlab/entrant.gitlab-ci.yml"
    estate.commit("less", {"config/dev.yaml": estate.environment("dev").replace("reader (dev)", "reader of dev")})
    base, commit = estate.opened("less")
    about = {
        "CI_PIPELINE_SOURCE": "merge_request_event",
        "CI_COMMIT_REF_NAME": "less",
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
        "CI_MERGE_REQUEST_IID": "12",
        "CI_MERGE_REQUEST_PROJECT_ID": "4",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "4",
    }
    assert ci.run(file, commit, about) == {"stacks": "success", "review": "success"}, estate.machine.said()
    (comment,) = estate.pull.own()
    assert comment.startswith("<!-- entrant-review stack=dev ")
    assert "Log reader of dev" in comment
    push = {"CI_PIPELINE_SOURCE": "push", "CI_COMMIT_REF_NAME": "main", "CI_COMMIT_BRANCH": "main"}
    jobs = ["plan:dev", "apply:dev", "plan:prod", "apply:prod"]
    assert ci.run(file, estate.merge("less"), push) == dict.fromkeys(jobs, "success"), estate.machine.said()
    assert ci.groups == ["entrant-dev", "entrant-prod"]
    assert estate.outputs("dev")["identities"]["log-reader"]["display_name"] == "Log reader of dev"


def test_no_secret_was_ever_in_a_log(estate: Estate) -> None:
    estates.assert_silent(estate)
