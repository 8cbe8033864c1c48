"""What a killed run made is told from what others made: by the mark, by when it was made, by the state."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from entrant.errors import RefusedError
from entrant.recovery.traces import NotOurs, Search, Trace

MARK = "entrant:shop/dev"
BEGAN = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
OWN, OLD, SECOND, OTHERS, KNOWN = "own", "old", "second", "others", "known"


def registration(object_id: str, name: str, created: str, *tags: str) -> dict[str, Any]:
    moment = f"2026-11-26T{created}:00Z"
    return {
        "id": object_id,
        "appId": f"{object_id}-client",
        "displayName": name,
        "createdDateTime": moment,
        "tags": [*tags],
    }


class Tenant:
    """A directory and a subscription, as `Deployer` shows them."""

    registrations = (
        registration(SECOND, "reader", "12:02", MARK),
        registration(OWN, "reader", "11:56", MARK),
        registration(OLD, "older", "11:54", MARK),
        registration(OTHERS, "taken", "12:01"),
        registration(KNOWN, "known", "12:01", MARK),
    )
    principals = (
        {"id": "sp-own", "appId": "own-client", "displayName": "reader", "tags": [MARK]},
        {"id": "sp-others", "appId": "others-client", "displayName": "taken", "tags": []},
    )

    def graph(self, path: str, **query: str) -> Any:
        """The answer to a GET: whatever the filter names."""
        wanted = query.get("filter", "")
        if path == "/applications":
            field = "displayName" if wanted.startswith("displayName") else "tags"
            return [entry for entry in self.registrations if any(f"'{text}'" in wanted for text in texts(entry[field]))]
        if path == "/servicePrincipals":
            return [entry for entry in self.principals if wanted == f"appId eq '{entry['appId']}'"]
        raise RefusedError("gone", status=404)

    def listed(self, answer: Any, audience: str) -> Iterator[Any]:
        """All pages."""
        return iter(answer)

    def arm(self, path: str, **query: str) -> Mapping[str, Any]:
        """A role definition; the id begins with the hour that it was made at."""
        if "/roleDefinitions/" not in path:
            raise RefusedError("gone", status=404)
        return {"id": path, "properties": {"createdOn": f"2026-11-26T{path.rpartition('/')[2][:2]}:00:00Z"}}


def texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def search(since: dt.datetime | None = BEGAN) -> Search:
    return Search(Tenant(), MARK, {f"/applications/{KNOWN}"}, since, None, {})  # type: ignore[arg-type]


def find(type_: str, **inputs: Any) -> Trace | None:
    return search().find(f"azure:{type_}", "reader", inputs)


def test_of_two_registrations_of_one_name_the_older_is_noted_within_the_clocks_difference() -> None:
    found = find("Application", displayName="reader")
    assert found == Trace(f"/applications/{OWN}", {"objectId": OWN, "clientId": "own-client"})


def test_without_a_bound_nothing_is_too_old() -> None:
    found = search(None).find("azure:Application", "older", {"displayName": "older"})
    assert found and found.id == f"/applications/{OLD}"


@pytest.mark.parametrize(
    ("type_", "inputs", "reason"),
    [
        ("Application", {"displayName": "older"}, 'the registration "older" (old) is of 2026-11-26T11:54:00Z, before'),
        (
            "Application",
            {"displayName": "taken"},
            f'the registration "taken" (others) has the name, and not the tag {MARK}',
        ),
        ("ServicePrincipal", {"clientId": "others-client"}, f'"taken" (sp-others) has not the tag {MARK}'),
        (
            "RoleDefinition",
            {"scope": "/subscriptions/x", "roleDefinitionId": "11", "roleName": "asker"},
            'the role "asker" (/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/11) is of',
        ),
    ],
)
def test_what_is_not_provably_the_stacks_is_refused_by_name(type_: str, inputs: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotOurs) as refused:
        find(type_, **inputs)
    assert reason in str(refused.value)


def test_what_the_state_knows_or_nobody_made_is_not_found() -> None:
    assert find("Application", displayName="known") is None
    assert find("Application", displayName="nobody's") is None
    assert find("ServicePrincipal", clientId="others-client", useExisting=True) is None
    assert find("GroupMember", groupObjectId="g", memberObjectId="m") is None
    assert find("ApplicationPassword", applicationId="/applications/own") is None


def test_a_custom_role_and_a_principal_of_this_run_are_found() -> None:
    role = find("RoleDefinition", scope="/subscriptions/x", roleDefinitionId="12", roleName="asker")
    assert role and role.id.endswith("/roleDefinitions/12")
    principal = find("ServicePrincipal", clientId="own-client")
    assert principal and principal.id == "/servicePrincipals/sp-own"


def test_a_plan_that_does_not_say_enough_asks_for_another_look() -> None:
    looked = search()
    assert looked.complete and looked.find("azure:AppRoleAssignment", "reader/x", {"appRoleId": "r"}) is None
    assert not looked.complete
