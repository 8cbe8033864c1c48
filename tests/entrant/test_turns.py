"""Which plans are a calendar's turning over of secrets, and nothing else."""

import datetime as dt
from typing import Any

import pytest

from entrant import changes
from entrant.review import reviewer

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
SECRET = "azuread:index/applicationPassword:ApplicationPassword"
APP = "urn:pulumi:dev::entrant::entrant:index:AppIdentity::log-reader"


def step(operation: str, name: str, kind: str = SECRET, **inputs: Any) -> dict[str, Any]:
    """An event about a resource of the app `log-reader`."""
    urn = f"{APP}${kind}::{name}".replace(f"AppIdentity::log-reader${kind}", f"AppIdentity${kind}")
    state = {"type": kind, "urn": urn, "id": "1", "parent": APP, "inputs": inputs, "outputs": {}}
    old = None if operation == "create" else state
    new = None if operation == "delete" else state
    return {"resourcePreEvent": {"metadata": {"op": operation, "urn": urn, "type": kind, "old": old, "new": new}}}


KEPT = step("same", "log-reader-secret-2026-09-01", endDate="2026-12-08T00:00:00Z")
NEW = step("create", "log-reader-secret-2026-11-24", endDate="2027-03-01T00:00:00Z")
ENDED = step("delete", "log-reader-secret-2026-06-01", endDate="2026-11-01T00:00:00Z")


@pytest.mark.parametrize("events", [[], [KEPT], [KEPT, NEW], [KEPT, NEW, ENDED], [KEPT, ENDED]])
def test_a_secret_more_and_ended_ones_less_is_what_a_calendar_does(events: list[dict[str, Any]]) -> None:
    assert reviewer.turns_secrets_only(changes.read(events), NOW)


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([NEW], id="the first secret of an app"),
        pytest.param(
            [KEPT, step("delete", "a", endDate="2026-12-08T00:00:00Z")], id="a secret that is still good goes"
        ),
        pytest.param([step("replace", "a", endDate="2026-12-08T00:00:00Z")], id="a secret is replaced at once"),
        pytest.param([KEPT, NEW, step("create", "role", "azure-native:authorization:RoleAssignment")], id="a role"),
        pytest.param([KEPT, step("update", "app", "azuread:index/application:Application")], id="a setting"),
    ],
)
def test_anything_else_is_for_a_person_to_approve(events: list[dict[str, Any]]) -> None:
    assert not reviewer.turns_secrets_only(changes.read(events), NOW)
