"""How tokens are got: what is asked, how often, with what proof, and what is said when none comes."""

import asyncio
import base64
import dataclasses
import logging
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import entrant
import entrant.tokens.aio
import local_azure
from entrant.outputs import App
from entrant.retries import TRIES
from entrant.tokens import assertions, credentials, exchange, ways
from entrant.tokens.authority import Transport
from tests.entrant.authority import TENANT, Answer, Authority, certificate, refusal, serve
from tests.local_azure.conftest import Client, Identity

SCOPE = "https://api.loganalytics.io/.default"
APP = App("log-reader", TENANT, "c1", secret="s3cret-new", previous_secret="s3cret-old")


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    with serve(tmp_path) as running:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(running.ca_file))
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", running.url)
        yield running


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which take no time."""
    found: list[float] = []
    monkeypatch.setattr(Transport, "sleep", lambda _, seconds: found.append(seconds))
    monkeypatch.setattr(exchange, "sleep", found.append)
    return found


@pytest.fixture(params=["directly", "by azure-identity"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to ask: azure-identity's is taken where there is a proxy, which is not for this machine."""
    way: str = request.param
    if way == "by azure-identity":
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "localhost")
    return way


def agents(authority: Authority) -> list[str]:
    """Who made each request: `entrant` itself, or a library of azure-identity's."""
    return [re.split(r"[/ ]", request.headers["user-agent"])[0] for request in authority.requests]


def secrets(authority: Authority) -> list[str]:
    return [request.fields["client_secret"] for request in authority.requests]


# ------------------------------------------------------------------------------------------------------- how often


def test_a_token_is_renewed_when_entra_id_would_like_it(authority: Authority, by: str) -> None:
    authority.script = [
        Answer(200, {"token_type": "Bearer", "expires_in": 7200, "refresh_in": 1, "access_token": "first"})
    ]
    credential = entrant.credential(APP)
    info = credential.get_token_info(SCOPE)
    assert (info.token, info.token_type) == ("first", "Bearer")
    assert info.refresh_on is not None
    assert info.expires_on - info.refresh_on == 7199
    while time.time() < info.refresh_on:
        time.sleep(0.05)
    next(iter(credential._held.values())).tried = 0.0
    assert credential.get_token(SCOPE).token == "token-2"


def test_threads_that_ask_at_once_share_one_request(authority: Authority) -> None:
    authority.delay = 0.2
    credential, found = entrant.credential(APP), []
    threads = [threading.Thread(target=lambda: found.append(credential.get_token(SCOPE).token)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["token-1"] * 20
    assert len(authority.requests) == 1


def test_a_token_is_asked_for_once_for_each_scope(authority: Authority) -> None:
    credential = entrant.credential(APP)
    assert [credential.get_token(scope).token for scope in (SCOPE, "api://b/.default", SCOPE)] == [
        "token-1",
        "token-2",
        "token-1",
    ]


def test_a_token_that_an_api_did_not_accept_is_asked_for_anew(authority: Authority) -> None:
    """Azure SDK clients pass the API's challenge on as `claims`."""
    credential = entrant.credential(APP)
    credential.get_token(SCOPE)
    assert credential.get_token(SCOPE, claims='{"access_token": {}}').token == "token-2"


def test_a_token_with_less_time_left_than_wanted_is_renewed(authority: Authority) -> None:
    credential = entrant.credential(APP)
    authority.lifetime = 600
    credentials.fetch(credential, APP, SCOPE)
    authority.lifetime = 3599
    assert credentials.fetch(credential, APP, SCOPE, min_valid=500).access_token == "token-1"
    assert credentials.fetch(credential, APP, SCOPE, min_valid=1200).access_token == "token-2"
    with pytest.raises(entrant.ConfigurationError, match=r"valid for 359\d s, less than the 7200 s asked for"):
        credentials.fetch(credential, APP, SCOPE, min_valid=7200)


def test_a_token_that_cannot_be_renewed_early_is_good_until_it_ends(authority: Authority) -> None:
    credential = entrant.credential(APP)
    authority.lifetime = 100
    assert credential.get_token(SCOPE).token == "token-1"
    authority.always = refusal(7000215)
    held = next(iter(credential._held.values()))
    held.tried = 0.0
    assert credential.get_token(SCOPE).token == "token-1"
    assert len(authority.requests) == 3, "both secrets were tried"
    assert credential.get_token(SCOPE).token == "token-1"
    assert len(authority.requests) == 3, "and are not tried again at once"


def test_the_asynchronous_credential_gives_the_same_tokens(authority: Authority) -> None:
    authority.delay = 0.1

    async def ask() -> list[str]:
        async with entrant.tokens.aio.credential(APP) as credential:
            found = await asyncio.gather(*(credential.get_token(SCOPE) for _ in range(5)))
            info = await credential.get_token_info(SCOPE, options={})
            return [token.token for token in found] + [info.token]

    assert asyncio.run(ask()) == ["token-1"] * 6
    assert len(authority.requests) == 1


# ------------------------------------------------------------------------------------------------------ what fails


@pytest.mark.parametrize("code", [7000215, 7000222])
def test_the_previous_secret_is_tried_when_the_newest_is_unknown_or_expired(
    by: str, authority: Authority, code: int
) -> None:
    authority.script = [refusal(code)]
    assert entrant.credential(APP).get_token(SCOPE).token == "token-2"
    assert secrets(authority) == ["s3cret-new", "s3cret-old"]


def test_another_refusal_is_final_and_explained(by: str, authority: Authority) -> None:
    authority.script = [refusal(700016, 400, "unauthorized_client")]
    with pytest.raises(entrant.AuthenticationError) as caught:
        entrant.credential(APP).get_token(SCOPE)
    assert caught.value.code == "AADSTS700016"
    assert str(caught.value) == "no token for log-reader: AADSTS700016: No."
    assert caught.value.next_step is not None
    assert secrets(authority) == ["s3cret-new"]


def test_a_refusal_is_not_repeated_from_memory(authority: Authority) -> None:
    """MSAL would answer the second request itself, for a minute."""
    authority.script = [refusal(700016, 400, "unauthorized_client")]
    credential = entrant.credential(APP)
    with pytest.raises(entrant.AuthenticationError):
        credential.get_token(SCOPE)
    assert credential.get_token(SCOPE).token == "token-2"


@pytest.mark.parametrize(
    ("answer", "waited"),
    [
        (Answer(429, {"error": "throttled"}, {"Retry-After": "7"}), [7]),
        (Answer(429, {"error": "throttled"}), []),
        (Answer(503), []),
        (Answer(500, {"error": "server_error"}), []),
        (Answer(504), []),
        (Answer(reset=True), []),
    ],
    ids=["429 with Retry-After", "429", "503", "500", "504", "reset"],
)
def test_a_passing_failure_is_tried_again(
    by: str, authority: Authority, waits: list[float], answer: Answer, waited: list[float]
) -> None:
    authority.script = [answer]
    assert entrant.credential(APP).get_token(SCOPE).token == "token-2"
    assert [wait for wait in waits if wait] == waited


def test_a_certificate_or_an_assertion_is_tried_again_too(
    by: str, authority: Authority, waits: list[float], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("assertion")
    authority.script = [Answer(429, {"error": "throttled"}, {"Retry-After": "7"}), Answer(503), Answer(reset=True)]
    app = dataclasses.replace(APP, secret=None, assertion=str(tmp_path / "token"))
    assert entrant.credential(app).get_token(SCOPE).token == "token-4"


@pytest.mark.parametrize("status", [429, 503])
def test_tries_are_bounded(by: str, authority: Authority, waits: list[float], status: int) -> None:
    authority.always = Answer(status, {"error": "no"})
    with pytest.raises(entrant.UnreachableError, match=f"answers {status}$"):
        entrant.credential(APP).get_token(SCOPE)
    assert len(authority.requests) == TRIES


def test_a_date_that_no_calendar_has_is_no_reason_not_to_try_again(authority: Authority, waits: list[float]) -> None:
    authority.script = [Answer(429, headers={"Retry-After": "Fri, 01 Jan 99999 00:00:00 GMT"})]
    assert entrant.credential(APP).get_token(SCOPE).token == "token-2"
    assert waits == [0.0]


def test_all_tries_together_take_a_bounded_time(
    authority: Authority, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "ALL", 0)
    authority.always = Answer(503)
    with pytest.raises(entrant.UnreachableError):
        entrant.credential(APP).get_token(SCOPE)
    assert (len(authority.requests), waits) == (1, [])


def test_an_answer_without_an_end_is_not_read_whole(authority: Authority, waits: list[float]) -> None:
    authority.always = Answer(200, {"expires_in": 3599, "access_token": "t" * exchange.MOST})
    with pytest.raises(entrant.UnreachableError, match=f"an answer of more than {exchange.MOST} bytes"):
        entrant.credential(APP).get_token(SCOPE)
    authority.always = Answer(200, {"expires_in": 3599, "access_token": "t" * (exchange.MOST // 2)})
    assert len(entrant.credential(APP).get_token(SCOPE).token) == exchange.MOST // 2


def test_nobody_waits_for_an_hour(by: str, authority: Authority, waits: list[float]) -> None:
    authority.always = Answer(429, {"error": "no"}, {"Retry-After": "3600"})
    with pytest.raises(entrant.UnreachableError, match="answers 429 and asks to wait 3600 s"):
        entrant.credential(APP).get_token(SCOPE)
    assert len(authority.requests) == 1
    assert not any(waits)


def test_no_answer_at_all_is_told_apart_from_a_refusal(by: str, authority: Authority, waits: list[float]) -> None:
    authority.always = Answer(reset=True)
    with pytest.raises(entrant.UnreachableError, match="gave no answer"):
        entrant.credential(APP).get_token(SCOPE)


def test_an_untrusted_authority_is_told_with_the_variable_to_set(
    by: str, authority: Authority, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(entrant.UnreachableError) as caught:
        entrant.credential(APP).get_token(SCOPE)
    assert caught.value.next_step == "name the CA bundle to trust in REQUESTS_CA_BUNDLE"


def test_a_certificate_that_is_not_trusted_is_not_tried_again(
    authority: Authority, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(entrant.UnreachableError):
        entrant.credential(APP).get_token(SCOPE)
    assert waits == []


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_bundle_that_is_none_is_named(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    bundle = tmp_path / "none.pem"
    if content:
        bundle.write_text(content)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    with pytest.raises(entrant.ConfigurationError, match=f"certificates to trust in {bundle} cannot be read"):
        entrant.credential(APP).get_token(SCOPE)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200),
        Answer(200, ["no token"]),
        Answer(200, {"expires_in": 1}),
        Answer(200, {"expires_in": float("inf"), "access_token": "t"}),
        Answer(200, {"expires_in": 3599, "access_token": None}),
        Answer(200, {"expires_in": 3599, "access_token": ""}),
        Answer(200, {"expires_in": 3599, "access_token": "t\r\nX-Other: 1"}),
        Answer(302, headers={"Location": "/"}),
    ],
    ids=["empty", "a list", "no token", "no end", "no text", "no words", "two headers", "a redirect"],
)
def test_an_answer_that_is_no_token_is_a_refusal(authority: Authority, answer: Answer) -> None:
    authority.always = answer
    with pytest.raises(entrant.AuthenticationError, match="no token for log-reader: "):
        entrant.credential(APP).get_token(SCOPE)
    assert len(authority.requests) == 1


def test_azure_identity_asks_for_what_it_alone_can(by: str, authority: Authority, tmp_path: Path) -> None:
    """A challenge, a certificate, anything through a proxy. A secret and an assertion need no more than the standard library."""
    directly = by == "directly"
    entrant.credential(APP).get_token(SCOPE)
    (tmp_path / "token").write_text("assertion")
    entrant.credential(dataclasses.replace(APP, secret=None, assertion=str(tmp_path / "token"))).get_token(SCOPE)
    assert [agent == "entrant" for agent in agents(authority)] == [directly] * 2
    names = {"client_id", "scope", "grant_type"}
    secret, assertion = (request.fields for request in authority.requests)
    if directly:
        assert secret.keys() - names == {"client_secret"}
        assert assertion.keys() - names == {"client_assertion", "client_assertion_type"}
    for name in names:
        assert secret[name] == assertion[name]
    authority.requests.clear()
    entrant.credential(APP).get_token(SCOPE, claims="{}")
    entrant.credential(APP).get_token(SCOPE, enable_cae=True)
    (tmp_path / "c.pem").write_bytes(certificate()[0])
    proved = dataclasses.replace(APP, secret=None, certificate=str(tmp_path / "c.pem"))
    entrant.credential(proved).get_token(SCOPE)
    assert len(authority.requests) == 3
    assert "entrant" not in agents(authority)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_nothing_goes_round_a_proxy(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert exchange.can_ask("https://login.microsoftonline.com", TENANT)
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert not exchange.can_ask("https://login.microsoftonline.com", TENANT)
    assert exchange.document("https://login.microsoftonline.com/metadata") is None


@pytest.mark.parametrize(
    ("authority", "tenant"),
    [
        ("http://login.example.com", TENANT),
        ("https://login.example.com/adfs", TENANT),
        ("https://me@login.example.com", TENANT),
        ("https://login.example.com?x=1", TENANT),
        ("https://login.example.com", "adfs"),
        ("https://login.example.com", "../common"),
        ("https://login.example.com", "a b"),
        ("https://login.example.com", ""),
    ],
)
def test_only_an_authority_of_entra_ids_form_is_asked_directly(authority: str, tenant: str) -> None:
    assert not exchange.can_ask(authority, tenant)


def test_a_token_for_another_tenant_is_not_asked_of_ones_own(authority: Authority) -> None:
    with pytest.raises(entrant.AuthenticationError, match="tenant"):
        entrant.credential(APP).get_token(SCOPE, tenant_id="another")
    assert authority.requests == []


def test_no_error_shows_a_secret(authority: Authority) -> None:
    authority.always = refusal(7000215)
    with pytest.raises(entrant.AuthenticationError) as caught:
        entrant.credential(APP).get_token(SCOPE)
    assert "s3cret" not in f"{caught.value!r} {caught.value} {caught.value.next_step} {entrant.credential(APP)!r}"


# ------------------------------------------------------------------------------------------------------- the clock


@pytest.mark.parametrize(("ahead", "says"), [(95.0, "95 s behind"), (-3600.0, "3600 s ahead of"), (20.0, None)])
def test_a_clock_that_is_wrong_by_more_than_a_minute_is_told_once(
    authority: Authority, caplog: pytest.LogCaptureFixture, ahead: float, says: str | None
) -> None:
    authority.ahead = ahead
    credential = entrant.credential(APP)
    with caplog.at_level(logging.WARNING, "entrant"):
        credential.get_token(SCOPE)
        credential.get_token("api://b/.default")
    assert credential.skew == pytest.approx(ahead, abs=3)
    messages = [record.getMessage() for record in caplog.records if record.name == "entrant"]
    assert len(messages) == (1 if says else 0)
    assert all("this machine's clock is " in text for text in messages)


def test_an_assertion_refused_for_its_time_is_blamed_on_the_clock(by: str, authority: Authority) -> None:
    authority.ahead = 900
    authority.script = [refusal(700024)]
    with pytest.raises(entrant.AuthenticationError) as caught:
        entrant.credential(APP).get_token(SCOPE)
    assert "s behind Entra ID's" in str(caught.value.next_step)


# ------------------------------------------------------------------------------------------------ ways to prove it


EVERYTHING = {
    "AZURE_CLIENT_CERTIFICATE_PATH": "/c.pem",
    "AZURE_FEDERATED_TOKEN_FILE": "/token",
    "ACTIONS_ID_TOKEN_REQUEST_URL": "https://localhost/github",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "g",
    "SYSTEM_OIDCREQUESTURI": "https://localhost/devops",
    "SYSTEM_ACCESSTOKEN": "d",
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "sc",
}


def test_the_first_way_that_there_is_is_taken_unless_one_is_asked_for() -> None:
    bare = dataclasses.replace(APP, secret=None, previous_secret=None)
    environ = dict(EVERYTHING)
    assert ways.choose(APP, environ).kind == "secret"
    for kind, variable in (
        ("certificate", "AZURE_CLIENT_CERTIFICATE_PATH"),
        ("file", "AZURE_FEDERATED_TOKEN_FILE"),
        ("github", "ACTIONS_ID_TOKEN_REQUEST_URL"),
        ("azure-devops", "SYSTEM_OIDCREQUESTURI"),
    ):
        assert ways.choose(APP, EVERYTHING, kind).kind == kind
        assert ways.choose(bare, environ).kind == kind
        del environ[variable]
    with pytest.raises(entrant.ConfigurationError, match="log-reader has no credential to get tokens with") as caught:
        ways.choose(bare, environ)
    assert "give it a `secret:`, or a certificate with `every`, in its YAML" in str(caught.value.next_step)


@pytest.mark.parametrize(
    ("using", "says"),
    [
        ("secret", "no client secret"),
        ("certificate", "AZURE_CLIENT_CERTIFICATE_PATH is not set"),
        ("file", "AZURE_FEDERATED_TOKEN_FILE is not set"),
        ("github", "ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN are not set"),
        ("azure-devops", "SYSTEM_OIDCREQUESTURI, SYSTEM_ACCESSTOKEN, AZURESUBSCRIPTION_SERVICE_CONNECTION_ID not set"),
        ("password", 'no kind of credential "password"'),
    ],
)
def test_a_way_that_is_not_there_is_said_with_what_is_missing(authority: Authority, using: str, says: str) -> None:
    bare = dataclasses.replace(APP, secret=None)
    environ = {"AZURE_AUTHORITY_HOST": authority.url}
    with pytest.raises(entrant.ConfigurationError, match=says):
        entrant.token(bare, SCOPE, using=using, environ=environ)


def test_an_assertion_is_read_anew_for_each_token_request(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "token"
    app = dataclasses.replace(APP, secret=None, assertion=str(file))
    credential = entrant.credential(app)
    for text in ("first", "second"):
        file.write_text(text + "\n")
        credential.get_token(f"api://{text}/.default")
    assert [request.fields["client_assertion"] for request in authority.requests] == ["first", "second"]
    file.write_text("")
    with pytest.raises(entrant.ConfigurationError, match="is empty"):
        credential.get_token("api://third/.default")


def test_azure_devops_is_asked_for_the_service_connection(authority: Authority) -> None:
    """Azure DevOps REST API 7.1, "Oidctoken - Create"."""
    environ = {
        "AZURE_AUTHORITY_HOST": authority.url,
        "SYSTEM_OIDCREQUESTURI": f"{authority.url}/org/project/_apis/oidctoken",
        "SYSTEM_ACCESSTOKEN": "job-token",
        "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": "connection-1",
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": "c1",
    }
    authority.script = [Answer(503), Answer(200, {"oidcToken": "assertion"})]
    assert entrant.token(entrant.from_environment(environ), SCOPE, environ=environ).access_token == "token-3"
    request, token = authority.requests[1:]
    assert (request.method, request.path) == ("POST", "/org/project/_apis/oidctoken")
    assert request.fields == {"api-version": "7.1", "serviceConnectionId": "connection-1"}
    assert request.headers["authorization"] == "Bearer job-token"
    assert request.headers["x-tfs-fedauthredirect"] == "Suppress"
    assert token.fields["client_assertion"] == "assertion"


def test_a_job_that_may_not_ask_is_refused_by_name(authority: Authority) -> None:
    environ = {
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{authority.url}/github?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "g",
    }
    authority.script = [Answer(401, {"message": "no"})]
    with pytest.raises(entrant.AuthenticationError, match=r"GitHub gave no assertion: GET .* 401"):
        assertions.from_github("public", environ)
    authority.script = [Answer(200, {"value": "assertion"})]
    assert assertions.from_github("usgovernment", environ) == "assertion"
    assert authority.requests[-1].fields == {"api-version": "2.0", "audience": "api://AzureADTokenExchangeUSGov"}


@pytest.fixture
def identity(azure: local_azure.LocalAzure, monkeypatch: pytest.MonkeyPatch) -> Identity:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(azure.ca_bundle()))
    return Client(azure).new_identity()


def environ_of(azure: local_azure.LocalAzure, identity: Identity, **more: str) -> dict[str, str]:
    own = {"AZURE_TENANT_ID": azure.tenant_id, "AZURE_CLIENT_ID": identity.client_id, "AZURE_AUTHORITY_HOST": azure.url}
    return own | more


def who(token: entrant.Token) -> Any:
    return token.claims["appid"]


@pytest.mark.parametrize("password", [None, "open sesame"])
def test_a_certificate_gets_a_token(
    azure: local_azure.LocalAzure, identity: Identity, tmp_path: Path, password: str | None
) -> None:
    pem, der = certificate(password.encode() if password else None)
    (tmp_path / "c.pem").write_bytes(pem)
    register(azure, identity, der)
    environ = environ_of(azure, identity, AZURE_CLIENT_CERTIFICATE_PATH=str(tmp_path / "c.pem"))
    if password:
        with pytest.raises(entrant.ConfigurationError, match="gives no certificate with its RSA private key"):
            entrant.token(entrant.from_environment(environ), "logs", environ=environ)
        environ["AZURE_CLIENT_CERTIFICATE_PASSWORD"] = password
    found = entrant.token(entrant.from_environment(environ), "logs", environ=environ)
    assert who(found) == identity.client_id


def register(azure: local_azure.LocalAzure, identity: Identity, *ders: bytes) -> None:
    """Let these be all certificates of an app."""
    keys = [{"type": "AsymmetricX509Cert", "usage": "Verify", "key": base64.b64encode(der).decode()} for der in ders]
    Client(azure).graph("PATCH", f"/applications/{identity.application_id}", {"keyCredentials": keys})


def issued(azure: local_azure.LocalAzure, identity: Identity, *pems: bytes) -> App:
    """An app whose outputs have these certificates and no secret."""
    certificates = {f"c{number}": pem.decode() for number, pem in enumerate(pems)}
    return App("log-reader", azure.tenant_id, identity.client_id, issued=certificates)


def test_a_certificate_that_is_issued_here_gets_a_token_and_no_file_has_it(
    azure: local_azure.LocalAzure, identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pem, der = certificate()
    register(azure, identity, der)
    app, environ = issued(azure, identity, pem), {"AZURE_AUTHORITY_HOST": azure.url, "XDG_CACHE_HOME": str(tmp_path)}
    found = entrant.token(app, "logs", cache=True, environ=environ)
    assert (who(found), found.claims["appidacr"]) == (identity.client_id, "2")
    both = dataclasses.replace(app, secret=identity.secret)
    assert entrant.token(both, "logs", environ=environ).claims["appidacr"] == "1", "a secret is the first way"
    assert entrant.token(both, "logs", using="certificate", environ=environ).claims["appidacr"] == "2"
    register(azure, identity)
    assert entrant.token(app, "logs", cache=True, environ=environ) == found, "it is the proof of the cache's tokens"
    other = dataclasses.replace(app, issued={"c0": certificate()[0].decode()})
    with pytest.raises(entrant.AuthenticationError) as caught:
        entrant.token(other, "logs", cache=True, environ=environ)
    assert caught.value.code == "AADSTS700027"
    key = pem.decode().splitlines()[1]
    assert not any(key.encode() in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())


def test_another_certificate_of_the_app_is_tried_where_the_first_is_unknown_or_has_ended(
    azure: local_azure.LocalAzure, identity: Identity
) -> None:
    (unknown, _), (known, der) = certificate(), certificate()
    register(azure, identity, der)
    environ = {"AZURE_AUTHORITY_HOST": azure.url}
    assert who(entrant.token(issued(azure, identity, unknown, known), "logs", environ=environ)) == identity.client_id
    with pytest.raises(entrant.AuthenticationError) as caught:
        entrant.token(issued(azure, identity, unknown), "logs", environ=environ)
    assert caught.value.code == "AADSTS700027"


def test_a_file_that_the_environment_names_comes_before_a_certificate_that_is_issued_here(
    azure: local_azure.LocalAzure, identity: Identity, tmp_path: Path
) -> None:
    (mine, der), (other, _) = certificate(), certificate()
    register(azure, identity, der)
    (tmp_path / "mine.pem").write_bytes(mine)
    environ = {"AZURE_AUTHORITY_HOST": azure.url, "AZURE_CLIENT_CERTIFICATE_PATH": str(tmp_path / "mine.pem")}
    assert who(entrant.token(issued(azure, identity, other), "logs", environ=environ)) == identity.client_id


def test_a_damaged_certificate_of_the_outputs_is_named_without_a_word_of_it(authority: Authority) -> None:
    pem = certificate()[0].decode()
    lines = pem.splitlines()
    broken = "\n".join([*lines[:3], lines[3][::-1], *lines[4:]])
    app = dataclasses.replace(APP, secret=None, issued={"signing": broken})
    with pytest.raises(entrant.ConfigurationError) as caught:
        entrant.token(app, "logs", environ={"AZURE_AUTHORITY_HOST": authority.url})
    assert str(caught.value) == (
        "the certificate signing of log-reader in the stack's outputs is none with its RSA private key"
    )


def test_a_github_job_gets_a_token_without_any_secret(azure: local_azure.LocalAzure, identity: Identity) -> None:
    subject = "repo:contoso/obs:environment:dev"
    body = {
        "name": "github",
        "issuer": "https://token.actions.githubusercontent.com",
        "subject": subject,
        "audiences": ["api://AzureADTokenExchange"],
    }
    Client(azure).graph("POST", f"/applications/{identity.application_id}/federatedIdentityCredentials", body)
    environ = environ_of(
        azure,
        identity,
        ACTIONS_ID_TOKEN_REQUEST_URL=f"{azure.url}/_local/github/token?subject={subject}",
        ACTIONS_ID_TOKEN_REQUEST_TOKEN=(azure.state / "admin.key").read_text().strip(),
    )
    assert who(entrant.token(entrant.from_environment(environ), "logs", environ=environ)) == identity.client_id
    elsewhere = environ | {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{azure.url}/_local/github/token?subject=repo:a/b:ref:c"}
    with pytest.raises(entrant.AuthenticationError) as caught:
        entrant.token(entrant.from_environment(elsewhere), "logs", environ=elsewhere)
    assert caught.value.code == "AADSTS700213"
