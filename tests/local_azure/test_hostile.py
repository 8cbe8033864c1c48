"""Hostile requests: whatever is sent, the answer is a refusal, never a fault of the local Azure itself."""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from local_azure import LocalAzure, admin, keyvault, management_groups, seed
from local_azure.resources import Assignment
from local_azure.server import App, _response
from local_azure.store import Store
from local_azure.wire import Call, parse_json
from local_azure.world import World

URL = "https://localhost:1"
TENANT_ROLE = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


class Bench:
    """An application in this process, with a token for each API."""

    def __init__(self, state: Path) -> None:
        self.world = World(Store(state / "state.db"), URL)
        self.deployer = seed.seed(self.world, state)
        self.app = App(self.world, "key", self.deployer)
        scope = f"/subscriptions/{self.deployer.subscription_id}/resourceGroups/rg/providers"
        self.workspace = f"{scope}/Microsoft.OperationalInsights/workspaces/law"
        with self.world.store.write():
            vaults = [f"{scope}/Microsoft.KeyVault/vaults/{name}" for name in ("safe", "gone-safe")]
            admin.ensure(self.world, {"scopes": [self.workspace, *vaults]})
            self._fill(vaults)
        self.customer = (self.world.resources.get(self.workspace) or {})["properties"]["customerId"]
        self.application = self.world.directory.find("application", "appId", self.deployer.client_id)[0]["id"]
        self.tokens = {
            name: self._token(name) for name in ("https://monitoring.azure.com/", "https://monitor.azure.com", URL)
        }

    def _fill(self, vaults: list[str]) -> None:
        """A management group; a vault that the deployer may use, with a secret and a deleted one; a deleted vault."""
        management_groups.make(self.world, "/providers/Microsoft.Management/managementGroups/top", "Top")
        self.world.resources.delete(vaults[1])
        kv = self.world.vaults.get("safe")
        assert kv is not None
        for name in ("kept", "gone"):
            keyvault.set_secret(self.world, kv, name, "value", {})
        self.world.vaults.set_deleted("safe", "gone", self.world.store.now())
        officer = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
        self.world.resources.put_assignment(
            Assignment(
                TENANT_ROLE,
                vaults[0],
                officer,
                self.deployer.object_id,
                0.0,
                {
                    "principalId": "",
                    "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{officer}",
                },
            )
        )

    def _token(self, audience: str) -> str:
        form = (
            f"client_id={self.deployer.client_id}&client_secret={self.deployer.client_secret}"
            f"&grant_type=client_credentials&scope={audience}/.default"
        )
        headers = {"content-type": "application/x-www-form-urlencoded"}
        reply = self.app.answer(
            Call("POST", f"/{self.deployer.tenant_id}/oauth2/v2.0/token", {}, headers, form.encode())
        )
        return str(reply.body["access_token"])

    def ask(self, call: Call) -> None:
        """Send a request and undo what it did; fails unless it is answered in order."""
        store = self.world.store
        store.db.execute("BEGIN IMMEDIATE")
        try:
            reply = self.app.answer(call)
        finally:
            store.db.execute("ROLLBACK")
        assert 200 <= reply.status < 500, (call, reply)
        assert b"LocalAzureFault" not in bytes(_response(reply, 0.0).body), (call, reply)

    def query(self, text: str) -> None:
        """Ask the workspace for `text`."""
        headers, body = {"authorization": f"Bearer {self.tokens[URL]}"}, json.dumps({"query": text}).encode()
        self.ask(Call("POST", f"/v1/workspaces/{self.customer}/query", {}, headers, body))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One for all examples."""
    made = Bench(tmp_path_factory.mktemp("hostile"))
    yield made
    made.world.store.close()


def words(text: str) -> st.SearchStrategy[str]:
    """One of the words of a text."""
    return st.sampled_from(text.split())


TEXT = st.text(max_size=12)
ODD = st.sampled_from(
    [
        "",
        ".",
        "..",
        "%2e",
        "\0",
        "'",
        '"',
        "(",
        ")",
        "$ref",
        "$count",
        "$value",
        "\ud800",
        "é" * 300,
        "x" * 5000,
        "1e999",
        "-1",
        "null",
        "[]",
        "{}",
        "🙂",
        "a b",
        "'; DROP TABLE object; --",
        "NaN",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.9Z",
    ]
)
GUID = st.sampled_from(
    [TENANT_ROLE, "00000000-0000-0000-0000-000000000000", "{app}", "{principal}", "{tenant}", "{customer}"]
)
WORD = words(
    """v1.0 beta v1 applications servicePrincipals groups users me organization directoryObjects deletedItems
        $batch owners members federatedIdentityCredentials addPassword removePassword addKey appRoleAssignments
        appRoleAssignedTo oauth2PermissionGrants getByIds checkMemberGroups getMemberGroups restore
        microsoft.graph.application directory roleManagement roleDefinitions roleAssignments domains subscribedSkus
        logo extensionProperties tokenLifetimePolicies applicationTemplates instantiate subscriptions providers
        tenants locations resources resourcegroups Microsoft.Authorization Microsoft.Resources
        Microsoft.OperationalInsights workspaces sharedKeys permissions register managementGroups metrics query
        oauth2 v2.0 token .well-known openid-configuration discovery keys common metadata endpoints _local faults
        visits redeem overview news
        vaults safe secrets deletedsecrets versions recover backup deletedVaults purge Microsoft.KeyVault
        checkNameAvailability operationresults operationStatuses tags default tables Rows_CL
        metricDefinitions metrics:getBatch Microsoft.Insights descendants deployments
        tagNames settings ensure assertions github issuers log reset dataCollectionRules
        streams Custom-Rows_CL delta"""
)
SEGMENT = st.one_of(WORD, WORD, WORD, GUID, ODD, TEXT)
START = st.sampled_from(
    [
        "/v1.0/applications/{app}",
        "/v1.0/servicePrincipals/{principal}",
        "/v1.0/applications(appId='{client}')",
        "/beta",
        "/v1.0",
        "/v1/workspaces/{customer}/query",
        "/v1/$batch",
        "{workspace}",
        "{workspace}/metrics",
        "{workspace}/providers/microsoft.insights/metrics",
        "/subscriptions/{subscription}/metrics:getBatch",
        "/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.Insights/dataCollectionRules/dcr",
        "/vaults/safe/secrets",
        "{workspace}/tables",
        "{workspace}/tables/Rows_CL",
        "/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.Resources/tags/default",
        "/providers/Microsoft.Management/managementGroups",
        "/providers/Microsoft.Management/managementGroups/top",
        "/providers/Microsoft.Management/managementGroups/{tenant}/subscriptions/{subscription}",
        "/vaults/safe/secrets/kept",
        "/vaults/safe/deletedsecrets/gone",
        "/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/safe",
        "/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/westeurope/deletedVaults/gone-safe",
        "/subscriptions/{subscription}",
        "/subscriptions/{subscription}/resourceGroups/rg",
        "/subscriptions/{subscription}/resourceGroups/rg/providers/Microsoft.Authorization/roleAssignments",
        "/providers/Microsoft.Authorization/roleDefinitions",
        "/{tenant}/oauth2/v2.0/token",
        "/{tenant}/oauth2/token",
        "/_local",
        "",
    ]
)
PATH = st.builds(lambda start, more: "/".join([start, *more]) or "/", START, st.lists(SEGMENT, max_size=4))
METHOD = st.sampled_from(["GET", "GET", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY"])
VALUE = st.one_of(
    ODD,
    TEXT,
    GUID,
    WORD,
    st.sampled_from(["displayName eq 'x'", "startswith(displayName,'a')", "atScope()", "1", "Heartbeat", "owners"]),
)
QUERY = st.dictionaries(
    st.sampled_from(
        [
            "$filter",
            "$select",
            "$expand",
            "$top",
            "$skiptoken",
            "$skip",
            "$count",
            "$search",
            "$orderby",
            "query",
            "timespan",
            "subject",
            "audience",
            "resource",
            "limit",
            "maxresults",
            "metricnames",
            "metricnamespace",
            "aggregation",
            "interval",
            "starttime",
            "$recurse",
        ]
    ),
    VALUE,
    max_size=3,
)
NAME = words(
    """displayName appId id properties location tags value api identifierUris requiredResourceAccess appRoles
        passwordCredential passwordCredentials keyCredentials keyId endDateTime startDateTime web spa redirectUris
        optionalClaims info @odata.id @odata.type principalId resourceId appRoleId roleDefinitionId principalType
        condition conditionVersion roleName permissions actions notActions dataActions assignableScopes type
        requests url method body headers workspace query timespan time data baseData metric namespace dimNames
        series dimValues min max sum count issuer subject audiences name ids value contentType attributes enabled
        nbf exp accessPolicies createMode schema columns plan retentionInDays details parent displayName parentGroupId
        operation resourceids streamDeclarations destinations dataFlows logAnalytics streams
        transformKql outputStream clientId consentType scope
        owners@odata.bind members@odata.bind sku features rules seed kind rate clock speed offset propagation scopes
        groups users claims keys key customKeyIdentifier description"""
)
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), VALUE)
JSON = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(NAME, NAME, TEXT), inner, max_size=5)
    ),
    max_leaves=10,
)
RAW = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"[" * 100_000, b'{"a":1e400}', b'"\\ud800"', b"\x1f\x8b\x08junk", b"{" * 9, b"9" * 5000]),
)
BODY = st.one_of(JSON, RAW, st.dictionaries(NAME, JSON, max_size=6))
TOKEN = st.sampled_from(
    [*[URL] * 15, "https://monitoring.azure.com/", "https://monitor.azure.com", "", "x.y.z", "eyJ.e30."]
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "prefer",
            "consistencylevel",
            "content-encoding",
            "content-type",
            "client-request-id",
            "if-match",
            "accept",
            "host",
        ]
    ),
    st.one_of(
        st.just("safe.vault.localhost:1"), ODD, TEXT, st.just("gzip"), st.just("eventual"), st.just("application/json")
    ),
    max_size=2,
)


def whole(text: str) -> str:
    """`text` as it comes out of a URL: percent-decoding leaves no lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def fill(bench: Bench, value: Any) -> Any:
    """`value` with the names in braces replaced, at any depth."""
    if isinstance(value, str):
        known = {
            "{app}": bench.application,
            "{principal}": bench.deployer.object_id,
            "{secret}": bench.deployer.client_secret,
            "{client}": bench.deployer.client_id,
            "{tenant}": bench.deployer.tenant_id,
            "{customer}": bench.customer,
            "{subscription}": bench.deployer.subscription_id,
            "{workspace}": bench.workspace,
        }
        for name, text in known.items():
            value = value.replace(name, text)
        return value
    if isinstance(value, list):
        return [fill(bench, one) for one in value]
    return {fill(bench, name): fill(bench, one) for name, one in value.items()} if isinstance(value, dict) else value


LIMITS = settings(
    max_examples=500, deadline=5000, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


ACCESS = st.lists(
    st.fixed_dictionaries({}, optional={"id": st.one_of(VALUE, GUID), "type": st.one_of(words("Role Scope"), VALUE)}),
    max_size=2,
)
STORED = st.fixed_dictionaries(
    {"displayName": st.one_of(TEXT, ODD)},
    optional={
        "requiredResourceAccess": st.lists(
            st.fixed_dictionaries({"resourceAppId": st.one_of(VALUE, GUID), "resourceAccess": ACCESS}), max_size=2
        ),
        "keyCredentials": JSON,
        "passwordCredentials": JSON,
        "appRoles": JSON,
        "api": JSON,
    },
)


@settings(LIMITS, max_examples=120)
@given(STORED, JSON, JSON)
def test_the_page_shows_whatever_was_stored(bench: Bench, application: Any, principal: Any, federated: Any) -> None:
    """What Graph has taken never breaks the overview that the page asks for."""
    headers = {"authorization": f"Bearer {bench.tokens[URL]}"}

    def post(path: str, body: Any) -> Any:
        return bench.app.answer(Call("POST", f"/v1.0/{path}", {}, headers, json.dumps(body).encode())).body

    bench.world.store.db.execute("BEGIN IMMEDIATE")
    try:
        made = post("applications", fill(bench, application))
        if "appId" in made:
            post("servicePrincipals", {"appId": made["appId"], **(principal if isinstance(principal, dict) else {})})
            post(f"applications/{made['id']}/federatedIdentityCredentials", federated)
        reply = bench.app.answer(Call("GET", "/_local/overview", {}, {"authorization": "Bearer key"}))
        assert reply.status == 200 and json.dumps(reply.body)
        assert "appId" not in made or reply.body["apps"][0]["client_id"] == made["appId"]
    finally:
        bench.world.store.db.execute("ROLLBACK")


@LIMITS
@given(METHOD, PATH, QUERY, st.booleans(), HEADERS, TOKEN, BODY)
def test_any_request_is_answered(
    bench: Bench,
    method: str,
    path: str,
    query: dict[str, str],
    dated: bool,
    headers: dict[str, str],
    token: str,
    body: Any,
) -> None:
    """Any method, path, query, headers and body, with and without a right token: 2xx to 4xx, and no fault in the log."""
    path, content = (
        whole(fill(bench, path)),
        body if isinstance(body, bytes) else json.dumps(fill(bench, body)).encode(),
    )
    bearer = "key" if path.startswith("/_local") else bench.tokens.get(token, token)
    version = {"api-version": "2022-04-01"} if dated else {}
    bench.ask(
        Call(
            method,
            path,
            {name: whole(fill(bench, value)) for name, value in query.items()} | version,
            headers | {"authorization": f"Bearer {bearer}"},
            content,
        )
    )


FORM = st.dictionaries(
    words("client_id client_secret grant_type scope resource client_assertion client_assertion_type claims"),
    st.one_of(
        ODD,
        TEXT,
        st.sampled_from(
            [
                "{client}",
                "client_credentials",
                f"{URL}/.default",
                "api://x/.default",
                "a.b.c",
                "eyJhbGciOiJub25lIn0.e30.",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                '{"access_token":[]}',
                "[" * 50_000,
            ]
        ),
    ),
)


@settings(LIMITS, max_examples=200)
@given(
    FORM,
    st.booleans(),
    st.sampled_from(["/{tenant}/oauth2/v2.0/token", "/{tenant}/oauth2/token", "/common/oauth2/token"]),
)
def test_any_form_is_answered(bench: Bench, form: dict[str, str], right: bool, path: str) -> None:
    """Any form at the token endpoint."""
    from urllib.parse import urlencode

    if right:
        form = {"client_id": "{client}", "client_secret": "{secret}", "grant_type": "client_credentials"} | form
    content = urlencode({name: fill(bench, value) for name, value in form.items()}, errors="surrogatepass").encode()
    bench.ask(Call("POST", fill(bench, path), {}, {"content-type": "application/x-www-form-urlencoded"}, content))


WORDS = words(
    """Heartbeat | where project extend summarize by count() take 5 sort order top join union on ago(1h) 1d ( ) [ ]
        , = == ~ and or not in has contains bin(TimeGenerated,1h) datetime(2020) 1e999 99999999999999999999 'a' "b"
        Computer TimeGenerated let x ; - + * / % print tolong tostring( iff( strcat( split( parse_json( matches
        regex '(a+)+$' arg_max( percentile( make_list( range( .. dynamic([1]) mv-expand render distinct getschema
        datatable evaluate externaldata @'\\' \ud800"""
)


@settings(LIMITS, max_examples=300)
@example(["Heartbeat", "|", "take", "99999999999999999999"])
@given(st.lists(WORDS, max_size=14))
def test_any_query_is_answered(bench: Bench, words: list[str]) -> None:
    """Any text as a query, most of it nearly KQL."""
    bench.query(" ".join(words))


LITERAL = words(
    """1 0 -1 1.5 1e308 9223372036854775807 1d 99999999d 'a' '' true Computer CounterValue TimeGenerated datetime(2020-01-01)
    datetime(9999-12-31) now() ago(1h) dynamic([1,2]) dynamic({}) long(null)"""
)
FUNCTION = words(
    """tostring tolong todouble toint todatetime totimespan tobool not isnull isempty strlen toupper abs round floor exp log"""
)
BINARY = words("bin strcat split substring coalesce round pow min_of datetime_diff")
SIGN = words("+ - * / % == != < >= and or contains has =~ startswith")
EXPRESSION = st.recursive(
    LITERAL,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, SIGN, inner),
        st.builds("{}({})".format, FUNCTION, inner),
        st.builds("{}({}, {})".format, BINARY, inner, inner),
        st.builds("iff({}, {}, {})".format, inner, inner, inner),
    ),
    max_leaves=5,
)
AGGREGATE = words("count sum avg min max dcount make_list make_set countif any")
OPERATOR = st.one_of(
    st.builds("where {}".format, EXPRESSION),
    st.builds("extend x = {}".format, EXPRESSION),
    st.builds("project {}, y = {}".format, words("Computer TimeGenerated *"), EXPRESSION),
    st.builds("summarize {}({}) by {}".format, AGGREGATE, EXPRESSION, EXPRESSION),
    st.builds("sort by {} {}".format, EXPRESSION, words("asc desc")),
    st.builds("top {} by {}".format, LITERAL, EXPRESSION),
    st.builds("take {}".format, LITERAL),
    words("count distinct* getschema"),
)


@settings(LIMITS, max_examples=400)
@example("Perf", ["extend x = (9223372036854775807 * 1e308)", "summarize avg(x)"])
@given(words("Perf Heartbeat AzureActivity Usage AzureMetrics Nothing"), st.lists(OPERATOR, max_size=4))
def test_any_operators_are_answered(bench: Bench, table: str, operators: list[str]) -> None:
    """Well-formed queries with any values in them: rows, or what is wrong with them."""
    bench.query(" | ".join([table, *operators]))


def test_numbers_without_end_are_refused() -> None:
    """A number that would become infinite, which JSON cannot say when it is sent back, is not accepted."""
    assert parse_json(b"[1e300, -0.5]") == [1e300, -0.5]
    with pytest.raises(ValueError, match="out of range"):
        parse_json(b'{"a": [1e400]}')


END = b"\r\nHost: localhost\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00\x01junk\r\n\r\n",
        b"GET http://elsewhere/ HTTP/1.1" + END + b"\r\n",
        b"OPTIONS * HTTP/1.1" + END + b"\r\n",
        b"CONNECT a:1 HTTP/1.1" + END + b"\r\n",
        b"GET /%ff%fe/%00?%ff=%zz&&=& HTTP/1.1" + END + b"\r\n",
        b"GET nothing HTTP/1.1" + END + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n\r\n",
        b"GET /subscriptions HTTP/1.1\r\nHost: a/b?c#d@e:99999999\r\nConnection: close\r\n\r\n",
        b"GET /_local/settings HTTP/1.1" + END + b"Authorization: Bearer \xff\xfe\r\n\r\n",
        b"GET /" + b"a" * 60_000 + b" HTTP/1.1" + END + b"\r\n",
        b"POST /v1.0/a HTTP/1.1" + END + b"Content-Length: 99999999999\r\n\r\n",
        b"POST /v1.0/a HTTP/1.1" + END + b"Content-Length: \xb2\r\n\r\n",
        b"POST /v1.0/a HTTP/1.1" + END + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1.0/a HTTP/1.1" + END + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_any_bytes_are_answered(azure: LocalAzure, raw: bytes) -> None:
    """Whatever comes over the connection is answered with 4xx, and without a fault in the server's log."""
    log = azure.state / "server.log"
    before = log.stat().st_size
    context = ssl.create_default_context(cafile=str(azure.ca_file))
    with (
        socket.create_connection(("127.0.0.1", azure.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(raw)
        assert connection.recv(12).startswith(b"HTTP/1.1 4")
    assert b"Traceback" not in log.read_bytes()[before:]


def test_the_log_has_a_line_a_record_and_no_token(azure: LocalAzure) -> None:
    """Line breaks and escape sequences of a path are shown as escapes, a token not at all."""
    log = azure.state / "server.log"
    before = log.stat().st_size
    token = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2lnbmF0dXJlb2ZpdA"
    context = ssl.create_default_context(cafile=str(azure.ca_file))
    with (
        socket.create_connection(("127.0.0.1", azure.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(f"GET /v1.0/a%0A%0Dfake%1B[31m%E2%80%AE##vso[b]/{token} HTTP/1.1".encode() + END + b"\r\n")
        assert connection.recv(12).startswith(b"HTTP/1.1 4")
    deadline = time.monotonic() + 30
    while b"fake" not in log.read_bytes()[before:] and time.monotonic() < deadline:
        time.sleep(0.05)
    added = log.read_bytes()[before:].decode()
    assert "fake\\u001b[31m\\u202e" in added
    assert token not in added and "c2lnbmF0dXJl" not in added
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in added.splitlines())


def test_client_that_leaves_in_the_middle(azure: LocalAzure) -> None:
    """A client that goes away before its body is whole leaves one line in the log, no fault."""
    log = azure.state / "server.log"
    before = log.stat().st_size
    context = ssl.create_default_context(cafile=str(azure.ca_file))
    with (
        socket.create_connection(("127.0.0.1", azure.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"POST /v1.0/left HTTP/1.1" + END + b"Content-Length: 9\r\n\r\nabc")
    deadline = time.monotonic() + 10
    while b"the client left" not in (written := log.read_bytes()[before:]):
        assert time.monotonic() < deadline, written
        time.sleep(0.01)
    assert b"Traceback" not in written and azure.admin("GET", "settings")
