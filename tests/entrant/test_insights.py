"""Application Insights as an app: proved by `wait` and `check`, read by `insights`, against the local Azure."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import local_azure
from entrant.access import monitor, trials
from entrant.errors import ConfigurationError
from entrant.facts.clouds import CLOUDS, Cloud
from entrant.outputs import App, Grant
from entrant.tokens import clouds
from tests.conftest import ROOT
from tests.entrant.test_access import READER, Estate, states

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cloud(azure: local_azure.LocalAzure, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(azure.ca_bundle()))
    azure.admin("PATCH", "settings", {"propagation": {"roles": 0, "secrets": 0, "insights": 0}})
    yield clouds.resolve("public", azure.settings())
    azure.admin("PATCH", "settings", {"propagation": {"insights": 0}})


@pytest.fixture
def estate(azure: local_azure.LocalAzure, request: pytest.FixtureRequest) -> Estate:
    made = Estate(azure, f"insights-{abs(hash(request.node.name)) % 10**6}")
    azure.ensure([component(made)])
    return made


def component(estate: Estate) -> str:
    return f"{estate.workspace.rpartition('/providers/')[0]}/providers/Microsoft.Insights/components/shop"


def app_id(estate: Estate) -> str:
    found = estate.client.arm("GET", component(estate), version="2020-02-02")
    return str(found["properties"]["AppId"])


def check(app: App, cloud: Cloud) -> list[trials.Proof]:
    return trials.check([app], lambda _: cloud, directory=None, write=False, stack="dev")


# --------------------------------------------------------------------------------------------------------- wait and check


def test_a_role_on_a_component_is_tried_by_a_query_of_it(estate: Estate, cloud: Cloud) -> None:
    app = estate.with_grants(estate.grant(READER, "Reader", component(estate)))
    assert states(check(app, cloud)) == {
        "token": "granted",
        "Reader on shop": "granted",
        "query of shop": "granted",
    }


def test_a_new_role_is_pending_at_application_insights_when_resource_manager_knows_it(
    azure: local_azure.LocalAzure, estate: Estate, cloud: Cloud
) -> None:
    """The hour of 403 that its documentation warns of."""
    azure.admin("PATCH", "settings", {"propagation": {"insights": 3600}})
    app = estate.with_grants(estate.grant(READER, "Reader", component(estate)))
    proofs = check(app, cloud)
    assert states(proofs) == {"token": "granted", "Reader on shop": "granted", "query of shop": "pending"}
    assert "403" in proofs[2].evidence and "InsufficientAccessError" in proofs[2].evidence
    azure.admin("PATCH", "settings", {"propagation": {"insights": 2}})
    ready = trials.wait([app], lambda _: cloud, deployer=None, write=False, stack="dev", seconds=120)
    assert set(states(ready).values()) == {"granted"}


def test_a_component_without_a_role_is_denied(estate: Estate, cloud: Cloud) -> None:
    proofs = check(estate.with_grants(Grant("Reader", READER, component(estate))), cloud)
    assert states(proofs)["query of shop"] in ("pending", "denied")


# ------------------------------------------------------------------------------------------------------------ the command


@pytest.fixture
def run(azure: local_azure.LocalAzure, estate: Estate, cloud: Cloud, tmp_path: Path) -> Run:
    """`python -m entrant insights …` as an app with Reader on the component; `scopes` are others that its outputs tell of."""
    estate.grant(READER, "Reader", component(estate))

    def call(what: str, *arguments: str, scopes: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
        grants = [
            {"role": "Reader", "role_definition_id": READER, "scope": one} for one in scopes or (component(estate),)
        ]
        entry = {
            "display_name": "App",
            "object_id": "o",
            "service_principal_id": "s",
            "grants": grants,
            "credentials": [],
        }
        parameters = {
            "contract": 1,
            "tenant_id": azure.tenant_id,
            "cloud": "public",
            "reader_client_id": estate.app.client_id,
            "reader_client_secret": estate.app.secret,
            "identities": {"reader": entry},
        }
        (tmp_path / "outputs.json").write_text(json.dumps(parameters), "utf-8")
        env = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "ARM_"))}
        command = [sys.executable, "-m", "entrant", "insights", what, "--outputs", str(tmp_path / "outputs.json")]
        return subprocess.run(
            [*command, *arguments], cwd=ROOT, env=env | azure.environment(), capture_output=True, text=True
        )

    return call


def test_a_query_is_answered_as_a_table(run: Run, estate: Estate) -> None:
    query = "requests | summarize n = count() by success | order by success asc"
    for more in ((), ("--component", app_id(estate)), ("--component", component(estate))):
        done = run("query", query, "--format", "csv", *more)
        assert (done.returncode, done.stdout) == (0, "success,n\nFalse,3\nTrue,27\n"), done.stderr
    done = run("query", "requests | count", "--timespan", "PT0S", "--format", "json")
    assert json.loads(done.stdout) in ([{"Count": 0}], [{"Count": 1}])


@pytest.mark.parametrize("form", ["csv", "table", "json"])
def test_control_characters_of_a_result_are_shown_in_a_pipe_and_none_is_dropped(run: Run, form: str) -> None:
    done = run("query", 'print a = "\\u001b[31mred\\u001b[0m", b = "\\u0007x"', "--format", form)
    assert done.returncode == 0, done.stderr
    assert all(shown in done.stdout for shown in (r"\u001b[31mred\u001b[0m", r"\u0007x")), done.stdout


def test_metrics_are_rows_of_parts_and_segments(run: Run) -> None:
    done = run("metrics", "requests/count", "--format", "csv")
    header, row = done.stdout.splitlines()
    assert (done.returncode, header, row.rpartition(",")[2]) == (0, "start,end,sum", "30.0"), done.stderr
    options = ("--timespan", "PT2H", "--interval", "PT1H", "--segment", "request/name", "--aggregation", "max,avg")
    done = run("metrics", "requests/duration", *options, "--format", "csv")
    header, *rows = done.stdout.splitlines()
    assert header == "start,end,request/name,max,avg", done.stderr
    assert {line.split(",")[2] for line in rows} == {"GET /", "GET /orders", "POST /orders"}
    done = run("metrics", "requests/failed", "--filter", "request/name eq 'GET /'", "--format", "json")
    assert json.loads(done.stdout)["requests/failed"] == {"sum": 1.0}, done.stderr


def test_events_are_lines_of_json(run: Run) -> None:
    done = run("events", "requests", "--filter", "request/resultCode eq '500'", "--top", "2")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["request"]["success"] for event in events] == ["False", "False"], done.stderr
    done = run("events", "$all", "--search", "did not answer")
    assert {json.loads(line)["type"] for line in done.stdout.splitlines()} == {"exception"}
    longest = json.loads(run("events", "requests", "--orderby", "request/duration desc", "--top", "1").stdout)
    top = json.loads(run("metrics", "requests/duration", "--aggregation", "max", "--format", "json").stdout)
    assert top["requests/duration"]["max"] == longest["request"]["duration"]


def test_which_component_is_asked_for_where_there_is_none_or_several(run: Run, estate: Estate) -> None:
    done = run("query", "requests", scopes=(estate.workspace,))
    assert (done.returncode, done.stdout) == (2, "")
    assert "reader has no role on any single resource of type Microsoft.Insights/components\n" in done.stderr
    assert "say which with --component" in done.stderr
    done = run("query", "requests", scopes=(component(estate), component(estate).replace("shop", "other")))
    assert "reader has roles on 2 resources of type Microsoft.Insights/components: /subscriptions/" in done.stderr


def test_a_component_that_the_app_may_not_read_is_refused_with_what_to_do(run: Run, estate: Estate) -> None:
    done = run("query", "requests", "--component", component(estate).replace("shop", "other"))
    assert done.returncode == 4 and "AuthorizationFailed" in done.stderr
    assert "or name the component by its application id: --component GUID (property AppId)" in done.stderr
    done = run("query", "requests | where nme == 1")
    assert done.returncode == 4 and "nme" in done.stderr


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: monitor.query_insights(CLOUDS["public"], "t", "shop", "requests"), '"shop" is no application id'),
        (lambda: monitor.insights_metric(CLOUDS["public"], "t", READER, "a?b=c"), '"a?b=c" is no metric'),
        (lambda: monitor.insights_events(CLOUDS["public"], "t", READER, "../x"), '"../x" is no type of event'),
    ],
)
def test_what_cannot_be_asked_is_not_sent(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        call()
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("command", ["query", "metrics", "events"])
@pytest.mark.parametrize(
    "component", ["shop", ".evil.example/x", "@evil.example", ":1/x", "https://evil.example", "/", "/x"]
)
def test_a_component_that_is_neither_an_application_id_nor_a_resource_id_is_refused(
    run: Run, command: str, component: str
) -> None:
    done = run(command, "requests", "--component", component)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert f'"{component}" is neither an application id (AppId, a GUID) nor a resource id' in done.stderr


def test_a_resource_of_another_type_is_no_component(run: Run, estate: Estate) -> None:
    done = run("query", "requests", "--component", estate.workspace)
    assert done.returncode == 2, done.stderr
    assert (
        "is no component of Application Insights, but of the type Microsoft.OperationalInsights/workspaces"
        in done.stderr
    )
