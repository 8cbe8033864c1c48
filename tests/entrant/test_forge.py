"""A stack's one comment on a pull request, on each forge."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrant.errors import ConfigurationError, RefusedError
from entrant.pipeline import code_host
from entrant.project import SOURCE
from tests.entrant import forges

FORGES = ["github", "gitlab", "azure_devops"]
REVIEW = "<!-- entrant-review stack=dev digest=1f -->\n### dev\n\nlog-reader gains Reader\n"


@pytest.fixture
def pull() -> Iterator[forges.PullRequest]:
    """A pull request with comments of others, more than a page of them."""
    with forges.forge() as found:
        for number in range(130):
            found.add(f"I think {number}", author=8)
        yield found


@pytest.mark.parametrize("name", FORGES)
def test_a_review_is_one_comment_that_is_changed_in_place(name: str, pull: forges.PullRequest, tmp_path: Path) -> None:
    environ = getattr(pull, name)(tmp_path)
    assert code_host.post("dev", REVIEW, environ)[0] == "created"
    for number in range(120):  # it ends up between two pages of others' words
        pull.add(f"No, {number}", author=9)
    assert code_host.post("dev", REVIEW.replace("gains", "loses"), environ)[0] == "updated"
    assert code_host.post("dev", REVIEW.replace("gains", "loses"), environ)[0] == "unchanged"
    assert pull.own() == [REVIEW.replace("gains", "loses")]
    assert len(pull.writes()) == 2


@pytest.mark.parametrize("name", FORGES)
def test_each_stack_and_each_kind_of_report_has_a_comment_of_its_own(
    name: str, pull: forges.PullRequest, tmp_path: Path
) -> None:
    environ = getattr(pull, name)(tmp_path)
    texts = [REVIEW, REVIEW.replace("stack=dev", "stack=dev-2"), REVIEW.replace("entrant-review", "entrant-drift")]
    for text, stack in zip(texts, ["dev", "dev-2", "dev"], strict=True):
        assert code_host.post(stack, text, environ)[0] == "created"
    assert pull.own() == texts


@pytest.mark.parametrize("name", FORGES)
def test_a_comment_with_the_marker_that_somebody_else_wrote_is_left_alone(
    name: str, pull: forges.PullRequest, tmp_path: Path
) -> None:
    pull.add(REVIEW, author=9)
    changed = REVIEW.replace("gains", "loses")
    assert code_host.post("dev", changed, getattr(pull, name)(tmp_path))[0] == "created"
    assert [comment["text"] for comment in pull.comments if comment["author"] == 9] == [REVIEW]
    assert pull.own() == [changed]


def test_a_marker_that_a_comment_only_quotes_is_none(pull: forges.PullRequest, tmp_path: Path) -> None:
    pull.add("As I said:\n" + REVIEW)
    assert code_host.post("dev", REVIEW, pull.github(tmp_path))[0] == "created"


@pytest.mark.parametrize(
    ("status", "done"), [(429, False), (500, False), (500, True), (502, False), (502, True), (503, False)]
)
@pytest.mark.parametrize("name", FORGES)
def test_what_passes_is_tried_again_and_never_leads_to_two_comments(
    name: str, done: bool, status: int, pull: forges.PullRequest, tmp_path: Path
) -> None:
    """Even when the forge wrote the comment and its answer was lost."""
    pull.refusals = [(status, done)]
    assert code_host.post("dev", REVIEW, getattr(pull, name)(tmp_path))[0] in ("created", "unchanged")
    assert pull.own() == [REVIEW]


@pytest.mark.parametrize(
    ("name", "needed"),
    [("github", "pull-requests: write"), ("gitlab", "scope `api`"), ("azure_devops", "Contribute to pull requests")],
)
def test_a_refusal_says_what_the_token_needs(name: str, needed: str, pull: forges.PullRequest, tmp_path: Path) -> None:
    pull.refusals = [(403, False)]
    with pytest.raises(RefusedError) as caught:
        code_host.post("dev", REVIEW, getattr(pull, name)(tmp_path))
    assert "403" in str(caught.value)
    assert needed in str(caught.value.next_step)


@pytest.mark.parametrize("name", FORGES)
def test_what_is_too_long_is_said_before_anything_is_sent(name: str, pull: forges.PullRequest, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="characters"):
        code_host.post("dev", REVIEW + "x" * 1_000_001, getattr(pull, name)(tmp_path))
    assert pull.requests == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("### dev\n", "has no marker"),
        (REVIEW.replace("stack=dev", "stack=prod"), "is the comment of prod, not of dev"),
        ("\n" + REVIEW, "has no marker"),
    ],
)
def test_a_text_that_is_not_this_stacks_is_refused(
    text: str, message: str, pull: forges.PullRequest, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        code_host.post("dev", text, pull.github(tmp_path))


@pytest.mark.parametrize("name", FORGES)
def test_every_variable_that_is_missing_is_named(name: str, pull: forges.PullRequest, tmp_path: Path) -> None:
    environ: dict[str, str] = getattr(pull, name)(tmp_path)
    needless = {"GITHUB_API_URL", "GITHUB_GRAPHQL_URL", "CI_PROJECT_ID"}
    for missing in (
        environ.keys() - needless - {"GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "CI_MERGE_REQUEST_PROJECT_ID"}
    ):
        with pytest.raises(ConfigurationError, match=missing):
            code_host.post("dev", REVIEW, {key: value for key, value in environ.items() if key != missing})
    with pytest.raises(ConfigurationError, match="no pipeline"):
        code_host.post("dev", REVIEW, {})


def test_a_run_that_is_about_no_pull_request_is_told_so(pull: forges.PullRequest, tmp_path: Path) -> None:
    environ = pull.github(tmp_path)
    Path(environ["GITHUB_EVENT_PATH"]).write_text("{}")
    with pytest.raises(ConfigurationError, match="no pull request"):
        code_host.post("dev", REVIEW, environ)


def run(environ: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command, in this process's environment without any pipeline's."""
    from os import environ as present

    foreign = ("GITHUB_", "CI_", "GITLAB_", "TF_", "SYSTEM_", "BUILD_")
    env: dict[str, Any] = {name: value for name, value in present.items() if not name.startswith(foreign)} | environ
    command = [sys.executable, "-m", "entrant", *arguments]
    return subprocess.run(command, cwd=SOURCE, env=env, capture_output=True, text=True)


def test_the_command_says_what_it_did_and_never_the_token(pull: forges.PullRequest, tmp_path: Path) -> None:
    file = tmp_path / "review.md"
    file.write_text(REVIEW)
    environ = pull.github(tmp_path)
    done = run(environ, "comment", "-s", "dev", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "GitHub contoso/obs#12: the comment of dev created\n"
    pull.refusals = [(403, False)]
    file.write_text(REVIEW + "more\n")
    refused = run(environ, "comment", "-s", "dev", str(file))
    assert refused.returncode == 4
    wrong = run(environ | {"GITHUB_TOKEN": "wrong-token-value"}, "comment", "-s", "dev", str(file))
    assert wrong.returncode == 4
    assert "401" in wrong.stderr
    for answer in (done, refused, wrong):
        assert forges.TOKEN not in answer.stdout + answer.stderr
        assert "wrong-token-value" not in answer.stdout + answer.stderr
