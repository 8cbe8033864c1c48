"""The whole loop on GitHub, from a change on a branch to a secret rotated on a later day, by the workflows' own steps.

Told in order: each test goes on where the one before it ended.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Project
from tests.entrant import forges
from tests.entrant.receivers import receivers
from tests.local_azure.conftest import Client
from tests.pipelines import estate as estates
from tests.pipelines.estate import WORKSPACES, Estate
from tests.pipelines.github import Actions, Result


@pytest.fixture(scope="module")
def estate(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    """One estate for all."""
    with estates.estate(project, tmp_path_factory.mktemp("estate")) as made:
        yield made


@pytest.fixture(scope="module")
def actions(estate: Estate) -> Actions:
    """The repository on GitHub."""
    applying = {f"{stack}{kind}": f"entrant-apply-{stack}" for stack in WORKSPACES for kind in ("", "-daily")}
    return Actions(
        estate.machine,
        estate.azure,
        variables={
            "AZURE_TENANT_ID": estate.azure.tenant_id,
            "AZURE_SUBSCRIPTION_ID": "7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631",
            "ENTRANT_PLAN_CLIENT_ID": estate.clients["entrant-plan"],
            "PULUMI_BACKEND_URL": estate.backend,
        },
        secrets={"PULUMI_CONFIG_PASSPHRASE": estates.PASSPHRASE},
        environments={name: {"ENTRANT_APPLY_CLIENT_ID": estate.clients[who]} for name, who in applying.items()},
        forge={
            "GITHUB_TOKEN": forges.TOKEN,
            "GITHUB_API_URL": estate.pull.url,
            "GITHUB_GRAPHQL_URL": f"{estate.pull.url}/graphql",
        },
    )


def results(done: dict[str, Result]) -> dict[str, str]:
    """Jobs and how they ended."""
    return {name: result.result for name, result in done.items()}


def request(estate: Estate, actions: Actions, branch: str, *, fork: bool = False) -> dict[str, Result]:
    """Run what a pull request of a branch starts on GitHub."""
    base, commit = estate.opened(branch)
    head = {"repo": {"full_name": "mallory/obs" if fork else actions.repository}}
    payload: dict[str, Any] = {"pull_request": {"number": 12, "base": {"sha": base}, "head": head}}
    return actions.event("entrant-review.yml", "pull_request", commit, payload, "refs/pull/12/merge")


def test_the_first_merge_puts_every_environment_up_from_dev_to_prod(estate: Estate, actions: Actions) -> None:
    done = actions.event("entrant-deploy.yml", "push", estate.git("rev-parse", "main"), {}, "refs/heads/main")
    assert results(done) == {"stacks": "success", "stage-1": "success", "stage-2": "success"}, estate.machine.text()
    applied = [log.job for log in estate.machine.logs if log.step.startswith("Apply")]
    assert applied == ["stage-1 (dev) / apply", "stage-2 (prod) / apply"]
    assert actions.groups == ["entrant-dev", "entrant-prod"]
    for stack in WORKSPACES:
        assert estate.outputs(stack)["log_reader_client_secret"]
    planned = {f"repo:contoso/obs:{what}" for what in ("ref:refs/heads/main", "environment:dev", "environment:prod")}
    assert set(actions.identities) == planned


AUDITOR = (
    "  log-auditor:",
    "    display_name: Log auditor (dev)",
    "    secret: false",
    "    federated: [{github: {repository: contoso/obs, environment: audit}}]",
    "    roles:",
    f"      - {{role: Reader, scope: {WORKSPACES['dev']}}}",
)


def test_a_pull_request_gets_one_comment_for_each_stack_that_it_concerns(estate: Estate, actions: Actions) -> None:
    estate.commit("audit", {"config/dev.yaml": estate.environment("dev", *AUDITOR)})
    done = request(estate, actions, "audit")
    assert results(done) == {"stacks": "success", "review": "success", "review-without-cloud": "skipped"}, (
        estate.machine.text()
    )
    (comment,) = estate.pull.own()
    assert comment.startswith("<!-- entrant-review stack=dev digest=")
    assert "log-auditor" in comment
    assert actions.identities[-1] == "repo:contoso/obs:pull_request"


def test_a_further_commit_changes_the_comment_in_place(estate: Estate, actions: Actions) -> None:
    before = estate.pull.own()
    estate.commit(
        "audit",
        {
            "config/dev.yaml": estate.environment(
                "dev", *AUDITOR[:-1], AUDITOR[-1].replace("Reader", "Log Analytics Reader")
            )
        },
    )
    request(estate, actions, "audit")
    (comment,) = estate.pull.own()
    assert comment != before[0]
    assert "Log Analytics Reader" in comment
    estate.commit("audit", {"config/dev.yaml": estate.environment("dev", *AUDITOR)})
    request(estate, actions, "audit")
    assert estate.pull.own() == before, "the same change has the same review"


def test_a_forks_pull_request_is_reviewed_without_any_credential(estate: Estate, actions: Actions) -> None:
    identities, comments = list(actions.identities), list(estate.pull.comments)
    done = request(estate, actions, "audit", fork=True)
    assert results(done) == {"stacks": "success", "review": "skipped", "review-without-cloud": "success"}
    assert actions.identities == identities
    assert estate.pull.comments == comments
    assert "log-auditor" in estate.machine.logs[-1].text


def test_a_merge_applies_what_was_planned_and_leaves_the_others_alone(estate: Estate, actions: Actions) -> None:
    commit = estate.merge("audit")
    before = len(estate.machine.logs)
    done = actions.event("entrant-deploy.yml", "push", commit, {}, "refs/heads/main")
    assert results(done) == {"stacks": "success", "stage-1": "success", "stage-2": "success"}, estate.machine.text()
    applied = [log.job for log in estate.machine.logs[before:] if log.step.startswith("Apply")]
    assert applied == ["stage-1 (dev) / apply"]
    assert estate.outputs("dev")["log_auditor_client_id"]


def test_what_somebody_changes_manually_is_found_the_next_day_and_owners_are_told(
    estate: Estate, actions: Actions
) -> None:
    app = estate.outputs("dev")["identities"]["log-reader"]
    admin = Client(estate.azure)
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(days=10)
    wanted = {"displayName": "mine", "endDateTime": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
    extra = admin.graph("POST", f"/applications/{app['object_id']}/addPassword", {"passwordCredential": wanted})
    commit = estate.commit("main", {"config/prod.yaml": None})  # one stack is enough from here on
    with receivers() as receiving:
        actions.secrets["ENTRANT_NOTIFY_WEBHOOK"] = f"{receiving.url}/hooks/T0"
        done = actions.event("entrant-daily.yml", "schedule", commit, {}, "refs/heads/main")
    del actions.secrets["ENTRANT_NOTIFY_WEBHOOK"]
    [post] = receiving.posts
    assert post["text"].startswith("log-reader (stack dev): secret ends in 9 days\n")
    assert results(done) == {"stacks": "success", "rotate": "success", "watch": "failure"}, estate.machine.text()
    failed = [log for log in estate.machine.logs if log.job == "watch (dev)" and log.code]
    assert [(log.step, log.code) for log in failed] == [("What drifted", 7), ("What ends soon", 5)]
    summaries = [log.text for log in estate.machine.logs if (log.job, log.step) == ("watch (dev)", "summary")]
    assert "mine" in summaries[-1]
    admin.graph("POST", f"/applications/{app['object_id']}/removePassword", {"keyId": extra["keyId"]})


def test_on_a_later_day_the_secret_is_rotated_without_anybodys_approval(estate: Estate, actions: Actions) -> None:
    old = estate.outputs("dev")
    (secret,) = [each for each in old["identities"]["log-reader"]["credentials"] if each["kind"] == "secret"]
    day = dt.datetime.fromisoformat(secret["ends"]) - dt.timedelta(days=3)  # of the week in which two are good
    estate.azure.admin("PATCH", "settings", {"clock": {"offset": (day - dt.datetime.now(dt.UTC)).total_seconds()}})
    settings = (estate.root / "Pulumi.dev.yaml").read_text()
    commit = estate.commit("main", {"Pulumi.dev.yaml": estates.later(settings, f"{day:%Y-%m-%dT%H:%M:%SZ}")})
    done = actions.event("entrant-daily.yml", "schedule", commit, {}, "refs/heads/main")
    assert results(done)["rotate"] == "success", estate.machine.text()
    found = estate.outputs("dev")
    assert found["log_reader_client_secret"] != old["log_reader_client_secret"]
    assert found["log_reader_client_secret_previous"] == old["log_reader_client_secret"]
    assert actions.identities.count("repo:contoso/obs:environment:dev-daily") == 2, "each day"
    assert results(done)["watch"] == "success", estate.machine.text()


def test_no_secret_was_ever_in_a_log(estate: Estate) -> None:
    estates.assert_silent(estate)
