"""Audiences per cloud, with their exact slashes, and what the environment says instead."""

import pytest

from entrant.errors import ConfigurationError
from entrant.facts.audiences import AUDIENCES
from entrant.tokens import clouds
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("cloud", "audience", "scope"),
    [
        ("public", "logs", "https://api.loganalytics.io/.default"),
        ("public", "metrics", "https://monitoring.azure.com//.default"),
        ("public", "arm", "https://management.azure.com/.default"),
        ("public", "graph", "https://graph.microsoft.com/.default"),
        ("usgovernment", "logs", "https://api.loganalytics.us/.default"),
        ("china", "arm", "https://management.chinacloudapi.cn/.default"),
        ("public", "https://vault.azure.net", "https://vault.azure.net/.default"),
        ("public", "https://monitoring.azure.com/", "https://monitoring.azure.com//.default"),
        ("public", "https://vault.azure.net/.default", "https://vault.azure.net/.default"),
        ("public", "api://one/.default", "api://one/.default"),
        ("public", "ca7f3f0b-7d91-482c-8e09-c5d840d0eac5", "ca7f3f0b-7d91-482c-8e09-c5d840d0eac5/.default"),
        ("public", "urn:contoso:orders", "urn:contoso:orders/.default"),
        ("public", "insights", "https://api.applicationinsights.io/.default"),
        ("china", "insights", "https://api.applicationinsights.azure.cn/.default"),
        ("usgovernment", "metrics-query", "https://metrics.monitor.azure.us/.default"),
        ("public", "batch", "https://batch.core.windows.net//.default"),
        ("public", "kubernetes", "6dae42f8-4368-4678-94ff-3960e28e3630/.default"),
        ("china", "sql", "https://database.chinacloudapi.cn/.default"),
        ("usgovernment", "powerbi", "https://high.analysis.usgovcloudapi.net/powerbi/api/.default"),
    ],
)
def test_an_audience_becomes_the_exact_scope(cloud: str, audience: str, scope: str) -> None:
    assert clouds.scope(clouds.resolve(cloud, {}), audience) == scope


def test_a_misspelt_audience_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(ConfigurationError) as caught:
        clouds.scope(clouds.resolve("public", {}), "metric")
    assert str(caught.value) == '"metric" is no audience'
    assert caught.value.next_step is not None
    assert caught.value.next_step.startswith('did you mean "metrics"? Names are logs, metrics, arm, graph')


@pytest.mark.parametrize(
    ("word", "name"),
    [("acr", "containerregistry"), ("Kusto", "dataexplorer"), ("aks", "kubernetes"), ("order-api", "orders-api")],
)
def test_what_others_call_an_api_leads_to_its_name(word: str, name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        clouds.scope(clouds.resolve("public", {}), word, {"orders-api": "api://orders"})
    assert str(caught.value.next_step).startswith(f'did you mean "{name}"? Names are logs, ')
    assert str(caught.value.next_step).endswith(
        "; apps of the stack are orders-api; a resource URL or a scope is taken as it is"
    )


def test_an_api_without_an_audience_in_a_cloud_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError) as caught:
        clouds.scope(clouds.resolve("china", {}), "devops")
    assert str(caught.value) == "devops (Azure DevOps) has no audience of its own in the cloud china"
    assert caught.value.next_step == "name the resource's URL instead"


def test_an_app_of_the_stack_is_an_audience_and_an_api_of_azure_comes_first() -> None:
    public, apps = clouds.resolve("public", {}), {"orders-api": "api://contoso/orders", "logs": "api://contoso/logs"}
    assert clouds.scope(public, "orders-api", apps) == "api://contoso/orders/.default"
    assert clouds.scope(public, "logs", apps) == "https://api.loganalytics.io/.default"


def test_every_api_has_a_source_and_no_word_leads_to_two() -> None:
    assert all(api.source and api.what for api in AUDIENCES.values())
    apart = {api.what: api for api in AUDIENCES.values()}  # PostgreSQL and MySQL are one API
    words = [*AUDIENCES, *(word for api in apart.values() for word in api.also)]
    assert len(words) == len(set(words))


def test_the_documentation_lists_every_audience_of_every_cloud() -> None:
    rows = [
        f"| `{name}` | {api.what} | "
        + " | ".join(f"`{url}`" if url else "" for url in (api.public, api.usgovernment, api.china))
        for name, api in AUDIENCES.items()
    ]
    table = "\n".join(f"{row} |".replace("|  |", "| |").replace("|  |", "| |") for row in rows)
    assert table in (ROOT / "docs" / "helper.md").read_text("utf-8"), f"docs/helper.md should have:\n{table}"


def test_the_environment_may_move_the_authority_and_the_data_planes() -> None:
    listed = {
        "AZURE_AUTHORITY_HOST": "login.example.test/",
        "ENTRANT_LOGS_ENDPOINT": "https://logs.example.test",
        "ENTRANT_INSIGHTS_ENDPOINT": "insights.example.test",
        "ENTRANT_METRICS_ENDPOINT": "https://{region}.metrics.example.test/",
    }
    cloud = clouds.resolve("public", listed)
    assert cloud.authority == "https://login.example.test"
    assert cloud.logs == "https://logs.example.test"
    assert cloud.insights == "https://insights.example.test"
    assert cloud.audiences["insights"] == "https://api.applicationinsights.io"
    assert cloud.metrics == "https://{region}.metrics.example.test"
    assert cloud.audiences["logs"] == "https://api.loganalytics.io"


@pytest.mark.parametrize("host", ["https://[login", "https://login:99999", "login .example.com", "https://", "a\nb"])
def test_an_authority_that_is_no_address_is_refused_with_the_variable(host: str) -> None:
    with pytest.raises(ConfigurationError, match="which is no address") as caught:
        clouds.resolve("public", {"AZURE_AUTHORITY_HOST": host})
    assert caught.value.next_step == "check AZURE_AUTHORITY_HOST and ARM_METADATA_HOSTNAME"


def test_a_description_of_a_cloud_is_not_read_unencrypted() -> None:
    with pytest.raises(ConfigurationError, match="http://localhost:1/metadata/endpoints would be read unencrypted"):
        clouds.resolve("public", {"ARM_METADATA_HOSTNAME": "http://localhost:1"})


def test_an_unknown_cloud_is_refused_with_the_names() -> None:
    with pytest.raises(ConfigurationError, match='there is no cloud "azure"'):
        clouds.resolve("azure", {})
