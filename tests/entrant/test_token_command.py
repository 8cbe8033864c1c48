"""`token` as it is called: from scripts, from other tools, from the jobs of GitHub and Azure DevOps."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

import local_azure
from tests.entrant.authority import TENANT, Answer, Authority, refusal, serve
from tests.entrant.test_outputs import stack_outputs
from tests.local_azure.conftest import Client

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    with serve(tmp_path) as running:
        yield running


@pytest.fixture
def run(authority: Authority, tmp_path: Path) -> Run:
    """`python -m entrant token …`; `stdin` is its standard input, `more` are further variables."""
    foreign = ("AZURE_", "ARM_", "ENTRANT_", "GITHUB_", "KUBERNETES_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "REQUESTS_CA_BUNDLE": str(authority.ca_file),
        "AZURE_AUTHORITY_HOST": authority.url,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": "c1",
        "AZURE_CLIENT_SECRET": "s3cret-v4lue",
        "XDG_CACHE_HOME": str(tmp_path),
    }

    def call(*arguments: str, stdin: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "entrant", "token", *arguments]
        return subprocess.run(command, cwd=ROOT, env=env | more, input=stdin, capture_output=True, text=True)

    return call


def test_a_token_and_nothing_else_is_printed(run: Run) -> None:
    done = run("logs")
    assert (done.returncode, done.stdout, done.stderr) == (0, "token-1\n", "")


def test_a_refusal_is_two_lines_on_standard_error_and_exit_code_3(run: Run, authority: Authority) -> None:
    authority.always = refusal(7000215)
    done = run("logs")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(
        "entrant: no token for c1: AADSTS7000215: No.\n  What to do: the client secret is not"
    )
    assert len(done.stderr.splitlines()) == 2


def test_throttling_is_no_refusal(run: Run, authority: Authority) -> None:
    authority.always = Answer(429, {"error": "throttled"}, {"Retry-After": "900"})
    done = run("logs")
    assert (done.returncode, done.stdout) == (1, "")
    assert "answers 429 and asks to wait 900 s" in done.stderr


def test_a_wrong_clock_is_told_beside_the_token(run: Run, authority: Authority) -> None:
    authority.ahead = 600
    done = run("logs")
    assert done.stdout == "token-1\n"
    assert "entrant: this machine's clock is " in done.stderr
    assert " s behind Entra ID's" in done.stderr


def test_the_outputs_of_a_stack_come_through_a_pipe(run: Run, authority: Authority) -> None:
    outputs = json.dumps(stack_outputs(log_reader_client_secret_previous="older"))
    authority.script = [refusal(7000222)]
    done = run("--outputs", "-", "log-reader", "logs", stdin=outputs)
    assert done.stdout == "token-2\n", done.stderr
    assert [request.fields["client_secret"] for request in authority.requests] == ["s3cret-v4lue", "older"]


def test_bazel_is_answered_over_standard_input(run: Run) -> None:
    done = run("logs", "--format", "bazel", stdin='{"uri": "https://cache.example.com/"}')
    assert json.loads(done.stdout)["headers"] == {"Authorization": ["Bearer token-1"]}


def test_github_gets_the_mask_on_standard_output_and_the_token_in_its_file(run: Run, tmp_path: Path) -> None:
    done = run("logs", "--format", "github-env", "--name", "LOGS_TOKEN", GITHUB_ENV=str(tmp_path / "env"))
    assert done.stdout == "::add-mask::token-1\n"
    assert (tmp_path / "env").read_text() == "LOGS_TOKEN=token-1\n"


def test_variables_have_a_name_of_their_own_or_the_one_given(run: Run) -> None:
    assert run("logs", "--format", "bash").stdout == "export ENTRANT_TOKEN_LOGS=token-1\n"
    assert run("logs", "--format", "bash", "--name", "T").stdout == "export T=token-2\n"


def test_kubectl_finds_its_version_in_the_environment(run: Run) -> None:
    info = json.dumps({"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "spec": {}})
    done = run("6dae42f8-4368-4678-94ff-3960e28e3630", "--format", "kubernetes", KUBERNETES_EXEC_INFO=info)
    assert json.loads(done.stdout)["apiVersion"] == "client.authentication.k8s.io/v1beta1"


def test_a_minimum_of_validity_renews_what_the_cache_holds(run: Run, authority: Authority) -> None:
    authority.lifetime = 900
    assert run("logs", "--cache").stdout == "token-1\n"
    authority.lifetime = 3599
    assert run("logs", "--cache", "--min-valid", "10m").stdout == "token-1\n"
    assert run("logs", "--cache", "--min-valid", "30m").stdout == "token-2\n"
    assert run("logs", "--cache").stdout == "token-2\n"
    too_much = run("logs", "--min-valid", "2h")
    assert (too_much.returncode, too_much.stdout) == (2, "")
    assert "less than the 7200 s asked for" in too_much.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["logs", "--name", "a-b"], '"a-b" is no name of a variable'),
        (["logs", "--min-valid", "soon"], 'expected a duration such as 90d, 12h, 10m or 2w; found "soon"'),
        (["logz"], 'did you mean "logs"?'),
        (["--outputs", "-", "logs", "--format", "bazel"], "standard input holds Bazel's request"),
        (["logs", "--format", "github-output"], "GITHUB_OUTPUT is not set"),
        (["logs", "--credential", "github"], "this is no GitHub Actions job that may ask for tokens"),
    ],
)
def test_a_wrong_call_ends_in_a_sentence_and_exit_code_2(run: Run, arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_app_of_the_stack_is_an_audience_by_its_name(
    azure: local_azure.LocalAzure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its identifier URI, and by its client id where it has none; the tokens are what the local Azure gives for them."""
    deployer = Client(azure)
    client, api, plain = (deployer.new_identity() for _ in range(3))
    deployer.graph(
        "PATCH", f"/applications/{api.application_id}", {"identifierUris": [f"api://{api.client_id}/orders"]}
    )
    entries = {
        "orders-client": (client, {}),
        "orders-api": (api, {"audience": f"api://{api.client_id}/orders"}),
        "plain-api": (plain, {"audience": plain.client_id}),
        "of-an-older-version": (plain, {}),
    }
    outputs: dict[str, Any] = {"contract": 1, "tenant_id": azure.tenant_id, "cloud": "public", "identities": {}}
    for name, (identity, more) in entries.items():
        outputs[f"{name.replace('-', '_')}_client_id"] = identity.client_id
        outputs["identities"][name] = stack_outputs()["identities"]["log-reader"] | {"grants": []} | more
    outputs["orders_client_client_secret"] = client.secret
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(outputs), "utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "ARM_"))}
    env |= azure.environment()

    def token(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "entrant", "token", "--outputs", str(file), "orders-client", *arguments]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)

    def audience(*arguments: str) -> str:
        done = token(*arguments)
        assert done.returncode == 0, done.stderr
        claims = jwt.decode(done.stdout.strip(), options={"verify_signature": False})
        assert claims["appid"] == client.client_id
        return str(claims["aud"])

    assert audience("orders-api") == f"api://{api.client_id}/orders"
    assert audience("plain-api") == plain.client_id
    assert audience("of-an-older-version") == plain.client_id
    assert audience("eventhubs") == "https://eventhubs.azure.net"
    done = token("order-api")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'did you mean "orders-api"?' in done.stderr


@pytest.mark.parametrize(
    ("words", "found"),
    [("entrant token app cogn", ["cognitiveservices"]), ("entrant run app TOKEN=metrics-", ["TOKEN=metrics-query"])],
)
def test_a_shell_completes_audiences(words: str, found: list[str]) -> None:
    env = os.environ | {"_ENTRANT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": "3"}
    done = subprocess.run([sys.executable, "-m", "entrant"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == found, done.stderr
