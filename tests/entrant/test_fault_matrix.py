"""Whatever goes wrong between the helper and Azure ends in success, or in the right explanation."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

import local_azure
from entrant.access import deployer, monitor, trials
from entrant.errors import AuthenticationError, EntrantError, RefusedError, UnreachableError
from entrant.facts.clouds import Cloud
from entrant.outputs import App, Grant
from entrant.tokens import clouds, credentials
from tests.entrant.test_access import PUBLISHER, READER, Estate, cloud, environ, states

__all__ = ["cloud", "environ"]


@pytest.fixture(autouse=True)
def calm(azure: local_azure.LocalAzure) -> Iterator[None]:
    """No fault and a right clock before and after each test."""
    yield
    azure.faults()
    azure.admin("PATCH", "settings", {"clock": {"offset": 0, "speed": 1}, "propagation": 0})


@pytest.fixture(scope="module")
def estate(azure: local_azure.LocalAzure) -> Estate:
    azure.set_propagation(0)
    made = Estate(azure, "matrix")
    made.app = made.with_grants(made.grant(READER, "Reader", made.workspace))
    return made


def query(estate: Estate, cloud: Cloud) -> monitor.Table:
    """A fresh token, and a query with it."""
    found = credentials.fetch(credentials.Credential(estate.app, cloud), estate.app, clouds.scope(cloud, "logs"))
    return monitor.query_logs(cloud, found.access_token, estate.workspace, "Heartbeat | take 1")


@pytest.mark.parametrize("family", ["token", "logs"])
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 429, "retry_after": 1, "count": 1},
        {"kind": "status", "status": 429, "count": 1},
        {"kind": "status", "status": 500, "count": 1},
        {"kind": "status", "status": 503, "retry_after": 1, "count": 1},
        {"kind": "reset", "count": 1},
        {"kind": "slow", "seconds": 1.5, "count": 2},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)
def test_a_passing_fault_ends_in_success(
    azure: local_azure.LocalAzure, estate: Estate, cloud: Cloud, family: str, fault: dict[str, Any]
) -> None:
    azure.faults(fault | {"family": family})
    assert len(query(estate, cloud).rows) == 1


def test_retry_after_is_waited_for(azure: local_azure.LocalAzure, estate: Estate, cloud: Cloud) -> None:
    azure.faults({"kind": "status", "family": "logs", "status": 429, "retry_after": 2, "count": 1})
    started = time.monotonic()
    query(estate, cloud)
    assert time.monotonic() - started >= 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "status", "status": 503, "family": "logs"}, RefusedError),
        ({"kind": "reset", "family": "logs"}, UnreachableError),
        ({"kind": "reset", "family": "token"}, UnreachableError),
    ],
)
def test_a_lasting_fault_ends_in_its_name(
    azure: local_azure.LocalAzure, estate: Estate, cloud: Cloud, fault: dict[str, Any], kind: type[EntrantError]
) -> None:
    azure.faults(fault)
    with pytest.raises(kind) as caught:
        query(estate, cloud)
    assert estate.app.secret is not None and estate.app.secret not in str(caught.value)


def explained(call: Any) -> EntrantError:
    with pytest.raises(EntrantError) as caught:
        call()
    assert caught.value.next_step, caught.value
    return caught.value


def test_a_token_for_another_audience_is_explained_as_that(estate: Estate, cloud: Cloud) -> None:
    found = credentials.fetch(credentials.Credential(estate.app, cloud), estate.app, clouds.scope(cloud, "metrics"))
    error = explained(lambda: monitor.query_logs(cloud, found.access_token, estate.workspace, "Heartbeat"))
    assert error.next_step is not None and error.next_step.startswith("the token was made for another API")


def test_a_query_with_a_mistake_is_refused_with_the_mistake(estate: Estate, cloud: Cloud) -> None:
    found = credentials.fetch(credentials.Credential(estate.app, cloud), estate.app, clouds.scope(cloud, "logs"))
    with pytest.raises(RefusedError, match=r"SEM0100: .*Failed to resolve scalar expression named 'nosuch'"):
        monitor.query_logs(cloud, found.access_token, estate.workspace, "print a = nosuch + 1")


def test_a_missing_role_and_a_role_elsewhere_are_explained_as_that(
    azure: local_azure.LocalAzure, estate: Estate, cloud: Cloud
) -> None:
    other = Estate(azure, "elsewhere")
    found = credentials.fetch(credentials.Credential(estate.app, cloud), estate.app, clouds.scope(cloud, "logs"))
    error = explained(lambda: monitor.query_logs(cloud, found.access_token, other.workspace, "Heartbeat"))
    assert error.code == "InsufficientAccessError"
    assert error.next_step is not None and error.next_step.startswith(
        "no effective role lets the caller query this workspace"
    )


def test_an_expired_secret_and_a_deleted_app_are_explained_as_that(azure: local_azure.LocalAzure, cloud: Cloud) -> None:
    short = Estate(azure, "short")
    ends = {"passwordCredential": {"displayName": "short", "endDateTime": "2026-11-24T00:00:00Z"}}
    path = f"/v1.0/applications/{short.app.object_id}/addPassword"
    ends["passwordCredential"]["endDateTime"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 120))
    secret = short.client.call("POST", path, ends).json()["secretText"]
    azure.admin("PATCH", "settings", {"clock": {"offset": 3600}})
    app = App(**{name: getattr(short.app, name) for name in App.__slots__} | {"secret": secret})
    error = explained(lambda: credentials.Credential(app, cloud).get_token(clouds.scope(cloud, "arm")))
    assert (error.code, error.exit_code) == ("AADSTS7000222", 3)
    azure.admin("PATCH", "settings", {"clock": {"offset": 0}})
    short.client.call("DELETE", f"/v1.0/applications/{short.app.object_id}")
    error = explained(lambda: credentials.Credential(short.app, cloud).get_token(clouds.scope(cloud, "arm")))
    assert error.code == "AADSTS700016"


def test_a_secret_that_is_not_yet_known_is_waited_for(azure: local_azure.LocalAzure, cloud: Cloud) -> None:
    azure.admin("PATCH", "settings", {"propagation": {"roles": 0, "secrets": 2}})
    fresh = Estate(azure, "fresh")
    with pytest.raises(AuthenticationError) as caught:
        credentials.Credential(fresh.app, cloud).get_token(clouds.scope(cloud, "arm"))
    assert caught.value.code == "AADSTS7000215"
    proofs = trials.wait([fresh.app], lambda _: cloud, deployer=None, write=False, stack="dev", seconds=20)
    assert states(proofs) == {"token": "granted"}


@pytest.mark.parametrize(("propagation", "speed"), [(0, 1), (5, 5), (60, 40)])
def test_wait_ends_soon_after_a_role_is_effective(
    azure: local_azure.LocalAzure, cloud: Cloud, environ: dict[str, str], propagation: float, speed: float
) -> None:
    """A minute passes in a second and a half on the local Azure's clock."""
    azure.admin("PATCH", "settings", {"clock": {"speed": speed}, "propagation": {"roles": propagation, "secrets": 0}})
    late = Estate(azure, f"late-{propagation}")
    app = late.with_grants(
        late.grant(READER, "Reader", late.workspace),
        late.grant(PUBLISHER, "Monitoring Metrics Publisher", late.machine),
    )
    started = time.monotonic()
    who = deployer.find(cloud, environ)
    proofs = trials.wait([app], lambda _: cloud, deployer=who, write=False, stack="dev", seconds=60)
    assert {proof.state for proof in proofs if proof.layer != "metric"} == {"granted"}
    assert time.monotonic() - started < propagation / speed + 2 + 3, "two seconds, and the calls of the proof"


def test_a_clock_that_is_off_is_measured(azure: local_azure.LocalAzure, estate: Estate, cloud: Cloud) -> None:
    azure.admin("PATCH", "settings", {"clock": {"offset": 600}})
    credential = credentials.Credential(estate.app, cloud)
    credential.get_token(clouds.scope(cloud, "arm"))
    assert credential.skew is not None
    assert abs(abs(credential.skew) - 600) < 5


def test_wait_gives_up_at_once_on_what_waiting_cannot_change(azure: local_azure.LocalAzure, cloud: Cloud) -> None:
    lost = Estate(azure, "lost")
    app = App(
        **{name: getattr(lost.app, name) for name in App.__slots__}
        | {"tenant_id": "99999999-9999-4999-8999-999999999999"}
    )
    app = App(
        **{name: getattr(app, name) for name in App.__slots__} | {"grants": (Grant("Reader", READER, lost.workspace),)}
    )
    started = time.monotonic()
    proof, *rest = trials.wait([app], lambda _: cloud, deployer=None, write=False, stack="dev", seconds=60)
    assert (proof.layer, proof.state, proof.final) == ("token", "denied", True)
    assert {each.state for each in rest} == {"unknown"}, "nobody is signed in to look from outside"
    assert time.monotonic() - started < 10
