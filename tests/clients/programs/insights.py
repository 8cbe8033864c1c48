"""Reads an Application Insights component with azure-applicationinsights; prints each operation that has worked."""

import os
from datetime import timedelta
from typing import Any

from azure.applicationinsights import ApplicationInsightsDataClient
from azure.applicationinsights.models import (
    ErrorResponseException,
    MetricsPostBodySchema,
    MetricsPostBodySchemaParameters,
    QueryBody,
)
from msrest.authentication import BasicTokenAuthentication

APP = os.environ["APP_ID"]


def client(token: str) -> Any:
    return ApplicationInsightsDataClient(BasicTokenAuthentication({"access_token": token}), os.environ["ENDPOINT"])


def main() -> None:
    insights = client(os.environ["TOKEN"])

    table = insights.query.execute(APP, QueryBody(query="requests | summarize n = count() by success", timespan="P1D"))
    rows = {row[0]: row[1] for row in table.tables[0].rows}
    assert rows == {"True": 27, "False": 3}, rows
    print("query.execute")

    value = insights.metrics.get(APP, "requests/count", timespan="P1D").value
    assert value.additional_properties["requests/count"] == {"sum": 30}, value.additional_properties
    print("metrics.get")

    value = insights.metrics.get(APP, "requests/duration", timespan="PT2H", interval=timedelta(minutes=30)).value
    assert value.interval == timedelta(minutes=30) and len(value.segments) == 4, value
    print("metrics.get, interval")

    value = insights.metrics.get(APP, "requests/count", timespan="P1D", segment=["cloud/roleName"]).value
    assert value.segments[0].additional_properties == {"cloud/roleName": "shop", "requests/count": {"sum": 30}}, value
    print("metrics.get, segment")

    query = MetricsPostBodySchemaParameters(metric_id="exceptions/count", timespan="P1D")
    (item,) = insights.metrics.get_multiple(APP, [MetricsPostBodySchema(id="one", parameters=query)])
    assert (item.id, item.status) == ("one", 200), item
    assert item.body.value.additional_properties["exceptions/count"] == {"sum": 3}, item
    print("metrics.get_multiple")

    assert "requests/count" in insights.metrics.get_metadata(APP)["metrics"]
    print("metrics.get_metadata")

    found = insights.events.get_by_type(APP, "requests", filter="request/resultCode eq '500'", top=2).value
    assert [(one.type, one.request.success) for one in found] == [("request", "False")] * 2, found
    assert found[0].timestamp > found[1].timestamp and found[0].cloud.role_name == "shop"
    print("events.get_by_type")

    assert [one.id for one in insights.events.get(APP, "requests", found[0].id).value] == [found[0].id]
    print("events.get")

    for token, app, status in (("WRONG_TOKEN", APP, 403), ("TOKEN", "00000000-0000-4000-8000-000000000000", 403)):
        try:
            client(os.environ[token]).query.execute(app, QueryBody(query="requests"))
            raise AssertionError("it was answered")
        except ErrorResponseException as error:
            assert error.response.status_code == status and error.error.error.code, error
    print("a refusal as ErrorResponseException")


if __name__ == "__main__":
    main()
