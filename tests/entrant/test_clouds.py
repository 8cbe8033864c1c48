"""Audiences per cloud, with their exact slashes, and what the environment says instead."""

import pytest

from entrant import clouds
from entrant.errors import ConfigurationError


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


def test_the_environment_may_move_the_authority_and_the_data_planes() -> None:
    said = {
        "AZURE_AUTHORITY_HOST": "login.example.test/",
        "ENTRANT_LOGS_ENDPOINT": "https://logs.example.test",
        "ENTRANT_METRICS_ENDPOINT": "https://{region}.metrics.example.test/",
    }
    cloud = clouds.resolve("public", said)
    assert cloud.authority == "https://login.example.test"
    assert cloud.logs == "https://logs.example.test"
    assert cloud.metrics == "https://{region}.metrics.example.test"
    assert cloud.audiences["logs"] == "https://api.loganalytics.io"


def test_an_unknown_cloud_is_refused_with_the_names() -> None:
    with pytest.raises(ConfigurationError, match='there is no cloud "azure"'):
        clouds.resolve("azure", {})
