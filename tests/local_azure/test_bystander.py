"""One client cannot stop the local Azure: while it is sent what once took minutes, another client is answered."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import local_azure
from local_azure import LocalAzure
from local_azure.graph.odata import parse_filter
from local_azure.wire import Refused
from tests.local_azure.conftest import METRICS_PUBLISHER, Client, Identity
from tests.local_azure.test_assertions import ask, federate

LONG = 60_000
BOUND = 1.0
"""Seconds within which a bystander is answered, of the server's processor time: what else the machine does makes them no longer."""
ISSUER = "https://token.actions.githubusercontent.com"
GLOB = {"value": f"claims['sub'] matches '{'*a' * 16}b'", "languageVersion": 1}


def spent(process: int) -> float:
    """The processor time that a process has used so far, seconds; where the system does not tell, the clock's."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return time.monotonic()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def get(path: str, **query: str) -> Callable[[Client, Identity], Any]:
    def send(client: Client, app: Identity) -> Any:
        subscription = f"/subscriptions/{client.azure.subscription_id}"
        url = path.replace("SUB", subscription).replace("APP", app.application_id)
        return client.call("GET", url, params=query)

    return send


def change_application(**change: Any) -> Callable[[Client, Identity], Any]:
    return lambda client, app: client.call("PATCH", f"/v1.0/applications/{app.application_id}", change)


def present(key: Any, subject: str) -> Callable[[Client, Identity], Any]:
    """A token of the app by an assertion with this subject, signed by a stranger or, with no key, by the pretend provider."""

    def send(client: Client, app: Identity) -> Any:
        audience = "api://AzureADTokenExchange"
        claims = {"iss": ISSUER, "sub": subject, "aud": audience, "exp": int(time.time()) + 600}
        made = jwt.encode(claims, key, "ES256") if key else client.azure.assertion(subject)
        return ask(Client(client.azure, app.client_id), made)

    return send


def pem(data: bytes) -> dict[str, Any]:
    key = base64.b64encode(data).decode()
    return {"keyCredentials": [{"type": "AsymmetricX509Cert", "usage": "Verify", "key": key}]}


ARM = {"api-version": "2022-04-01"}
AUTHORIZATION = "SUB/providers/Microsoft.Authorization"
HOSTILE: dict[str, Callable[[Client, Identity], Any]] = {
    "claims of a stranger": present(ec.generate_private_key(ec.SECP256R1()), "a" * 32),
    "claims of a provider": present(None, "a" * 1000),
    "an endless assertion": present(ec.generate_private_key(ec.SECP256R1()), "a" * LONG),
    "a filter of resources": get("SUB/resources", **ARM, **{"$filter": f"name eq 'a'{' ' * LONG}x"}),
    "a filter of assignments": get(f"{AUTHORIZATION}/roleAssignments", **ARM, **{"$filter": f"a{' ' * LONG}x"}),
    "a filter of roles": get(f"{AUTHORIZATION}/roleDefinitions", **ARM, **{"$filter": f"a{' ' * LONG}x"}),
    "a filter of metrics": get(
        "SUB/providers/microsoft.insights/metrics", **ARM, **{"$filter": f"a{' ' * LONG}x", "metricnames": "a"}
    ),
    "a filter of Graph": get("/v1.0/applications", **{"$filter": f"displayName{' ' * LONG}!"}),
    "a filter of many parts": get("/v1.0/applications", **{"$filter": " or ".join(["notes eq 'a'"] * 4000)}),
    "an expansion": get("/v1.0/applications", **{"$expand": "," * LONG}),
    "an expansion again and again": get("/v1.0/applications", **{"$expand": "owners," * (LONG // 7) + "owners"}),
    "a search": get("/v1.0/applications", **{"$search": f'"displayName:a"{" " * LONG}x'}),
    "an identifier URI": change_application(identifierUris=[f"api://{'a' * 240} "] * 1000),
    "a certificate": change_application(**pem(b"-----BEGIN CERTIFICATE-----" + b"\n" * 45_000)),
    "many certificates' begins": change_application(**pem(b"-----BEGIN CERTIFICATE-----\n" * 1600)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_bystander_is_answered(azure: LocalAzure, deployer: Client, app: Identity, what: str) -> None:
    federate(deployer, app, subject=None, claimsMatchingExpression=GLOB)
    hostile, bystander = Client(azure), Client(azure)
    hostile.token()
    bystander.graph("GET", "/organization")
    longest = 0.0
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(HOSTILE[what], hostile, app)
        while True:
            last, began = sent.done(), spent(azure.pid)
            bystander.graph("GET", "/organization")
            longest = max(longest, spent(azure.pid) - began)
            if last or longest > BOUND:
                break
    assert longest < BOUND, what
    answer = sent.result()
    assert answer.status_code < 500 and "LocalAzureFault" not in answer.text, answer.text[:500]


def test_a_transformation_holds_nobody_else_up(state: Path) -> None:
    """Neither when its rule is checked nor when rows are sent through it."""
    own = local_azure.start(state, propagation=0)
    group = f"/subscriptions/{own.subscription_id}/resourceGroups/rg"
    workspace = f"{group}/providers/Microsoft.OperationalInsights/workspaces/law"
    own.ensure([workspace])
    client, bystander = Client(own), Client(own)
    bystander.token()
    principal = client.graph("GET", f"/servicePrincipals(appId='{own.client_id}')?$select=id")["id"]
    client.grant(METRICS_PUBLISHER, group, principal)
    table = {"schema": {"name": "Slow_CL", "columns": [{"name": "TimeGenerated", "type": "dateTime"}]}}
    client.arm("PUT", f"{workspace}/tables/Slow_CL", {"properties": table}, version="2023-09-01")
    slow = "source | extend n = range(1, 30000, 1) | mv-expand n | extend t = strcat(tostring(n), A) | summarize A = count() by t"
    flow = {"streams": ["Custom-S"], "destinations": ["law"], "outputStream": "Custom-Slow_CL"}
    properties: dict[str, Any] = {
        "streamDeclarations": {"Custom-S": {"columns": [{"name": "A", "type": "string"}]}},
        "destinations": {"logAnalytics": [{"workspaceResourceId": workspace, "name": "law"}]},
        "dataFlows": [flow | {"transformKql": slow + " | project TimeGenerated = now(), A"}],
    }
    path = f"{group}/providers/Microsoft.Insights/dataCollectionRules/dcr"
    body = {"location": "westeurope", "properties": properties}
    made = client.arm("PUT", path, body, version="2023-03-11")
    stream = f"/dataCollectionRules/{made['properties']['immutableId']}/streams/Custom-S?api-version=2023-01-01"
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(client.call, "POST", stream, [{"A": "x"}] * 3, scope="https://monitor.azure.com/.default")
        while not sent.done():
            bystander.graph("GET", "/organization")
    assert sent.result().status_code in (204, 400), sent.result().text
    log = own.requests()
    (post,) = [entry for entry in log if entry["path"].endswith("/streams/Custom-S")]
    assert post["principal"]["client_id"] == own.client_id
    ended = datetime.fromisoformat(post["time"])
    begun = ended - timedelta(milliseconds=post["milliseconds"])
    margin = (ended - begun) / 5
    times = [datetime.fromisoformat(entry["time"]) for entry in log if entry["path"] == "/v1.0/organization"]
    assert [one for one in times if begun + margin < one < ended - margin]
    properties["dataFlows"] = [flow | {"transformKql": "source | where " + "(" * 10_000}]
    assert client.arm("PUT", path, body, status=400, version="2023-03-11")["error"]["code"] == "InvalidPayload"


def test_what_a_failed_transformation_was_told_for_stays_undone(
    deployer: Client, group_id: str, workspace: Any
) -> None:
    """A rule that is refused after its transformations were looked at elsewhere is not there."""
    properties = {
        "streamDeclarations": {"Custom-S": {"columns": [{"name": "A", "type": "string"}]}},
        "destinations": {"logAnalytics": [{"workspaceResourceId": workspace["id"], "name": "law"}]},
        "dataFlows": [
            {"streams": ["Custom-S"], "destinations": ["law"], "outputStream": "Microsoft-Syslog", "transformKql": text}
            for text in ("source | extend B = A", "source | where Missing == 1")
        ],
    }
    path = f"{group_id}/providers/Microsoft.Insights/dataCollectionRules/refused"
    body = {"location": "westeurope", "properties": properties}
    (wrong,) = deployer.arm("PUT", path, body, status=400, version="2023-03-11")["error"]["details"]
    assert wrong["code"] == "InvalidTransform" and "Missing" in wrong["message"]
    deployer.arm("GET", path, status=404, version="2023-03-11")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from(["notes", "eq", "'a'", " ", "(", ")", "and", "or", "not", "/any", ",", "1", ":"]), max_size=9
    ),
    st.integers(1, 400),
)
def test_any_filter_is_read_or_refused(words: list[str], times: int) -> None:
    """However often it repeats itself."""
    try:
        parse_filter(" ".join(words * times)).test({"notes": "a"})
    except Refused as refused:
        assert refused.reply.status == 400
