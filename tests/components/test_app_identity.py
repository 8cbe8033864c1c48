"""`AppIdentity` under Pulumi mocks: what is registered, how it is named, what is secret, what a preview does not
know.
"""

from typing import Any

import pulumi
import pytest
from pulumi.output import Unknown

from components import AppIdentity, AppIdentityArgs, assignment_name, state

from .mocked import APPLICATION, ASSIGNMENT, COMPONENT, PASSWORD, PRINCIPAL, Deployment, deploy

SUBSCRIPTION = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631"
WORKSPACE = f"{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/law"
READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


def args(**more: Any) -> AppIdentityArgs:
    settings: AppIdentityArgs = {
        "display_name": "Log reader",
        "secret": {"every": "90d", "overlap": "7d", "starts": "2026-11-01"},
        "roles": {"reader-law": {"role": "Reader", "scope": WORKSPACE}},
        "now": "2026-11-20",
    }
    return settings | more  # type: ignore[return-value]


def identity(*, preview: bool = False, generation: int = 0, **more: Any) -> Deployment:
    def program() -> dict[str, Any]:
        made = AppIdentity("log-reader", args(**more))
        return {
            "client_id": made.client_id,
            "secret": made.client_secret,
            "previous": made.client_secret_previous,
            "credentials": pulumi.Output.from_input(made.credentials),
        }

    return deploy(program, preview=preview, generation=generation)


def test_the_secret_is_a_pulumi_secret_and_the_client_id_is_not() -> None:
    made = identity()
    assert made.result["secret"].value == "value-of-log-reader-secret-2026-11-01"
    assert made.result["secret"].secret
    assert not made.result["client_id"].secret


def test_credentials_are_described_without_any_secret() -> None:
    seen = identity().result["credentials"]
    assert not seen.secret
    assert [(c["kind"], c["name"], c["ends"], c["current"]) for c in seen.value] == [
        ("secret", "entrant 2026-11-01", "2027-02-06T00:00:00Z", True)
    ]
    assert "value-of" not in repr(seen.value)


def test_inside_the_overlap_both_secrets_exist_and_the_newest_is_current() -> None:
    made = identity(now="2027-02-01")
    assert {p.name for p in made.all(PASSWORD)} == {"log-reader-secret-2027-01-30", "log-reader-secret-2026-11-01"}
    assert made.result["secret"].value == "value-of-log-reader-secret-2027-01-30"
    assert made.result["previous"].value == "value-of-log-reader-secret-2026-11-01"
    assert made.result["previous"].secret
    assert [c["current"] for c in made.result["credentials"].value] == [True, False]


def test_without_a_secret_there_is_no_password_and_no_output() -> None:
    def program() -> dict[str, Any]:
        made = AppIdentity("log-reader", {"display_name": "Log reader"})
        return {"secret": made.client_secret, "previous": made.client_secret_previous}

    made = deploy(program)
    assert made.all(PASSWORD) == []
    assert made.result == {"secret": None, "previous": None}


def test_everything_is_a_child_of_the_component_and_outputs_are_registered_once() -> None:
    made = identity()
    component = "urn:pulumi:dev::entrant::pulumi:pulumi:Stack$entrant:index:AppIdentity::log-reader"
    assert {(r.type, r.name, r.parent) for r in made.resources if r.type != COMPONENT} == {
        (APPLICATION, "log-reader", component),
        (PRINCIPAL, "log-reader", component),
        (PASSWORD, "log-reader-secret-2026-11-01", component),
        (ASSIGNMENT, "log-reader/reader-law", component),
    }
    [(_, outputs)] = [done for done in made.completed if done[0] == component]
    assert set(outputs) == {"client_id", "object_id", "service_principal_id"}


def test_the_password_ends_at_a_stated_moment_and_not_after_a_relative_time() -> None:
    """The provider drops a relative end date without a word, and the secret would live for two years."""
    password = identity().one(PASSWORD)
    assert password.inputs["endDate"] == "2027-02-06T00:00:00Z"
    assert "endDateRelative" not in password.inputs


def test_creation_refuses_a_display_name_that_is_taken() -> None:
    assert identity().one(APPLICATION).inputs["preventDuplicateNames"] is True


def test_a_role_is_assigned_to_the_service_principal_by_type() -> None:
    made = identity()
    inputs = made.one(ASSIGNMENT).inputs
    assert inputs["principalType"] == "ServicePrincipal"
    assert inputs["scope"] == WORKSPACE
    assert inputs["roleDefinitionId"] == f"{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    assert inputs["roleAssignmentName"] == assignment_name(WORKSPACE, READER, inputs["principalId"])


def test_above_subscriptions_a_role_definition_is_not_qualified() -> None:
    group = "/providers/Microsoft.Management/managementGroups/platform"
    made = identity(roles={"reader": {"role": READER, "scope": group}})
    expected = f"/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    assert made.one(ASSIGNMENT).inputs["roleDefinitionId"] == expected


def test_an_assignment_keeps_its_name_until_the_principal_is_made_anew() -> None:
    first, again, anew = (identity(generation=g).one(ASSIGNMENT).inputs["roleAssignmentName"] for g in (0, 0, 1))
    assert first == again
    assert first != anew


def test_an_assignment_name_depends_on_scope_role_and_principal_but_not_on_case() -> None:
    name = assignment_name(WORKSPACE, READER, "aaaa")
    assert name == "5c212299-148e-562c-a1fa-c8f6a4681f06", "a different name would replace every assignment there is"
    assert name == assignment_name(WORKSPACE.upper(), READER.upper(), "AAAA")
    assert name == assignment_name(WORKSPACE, f"/x/roleDefinitions/{READER}", "aaaa")
    assert len({name, assignment_name(SUBSCRIPTION, READER, "aaaa"), assignment_name(WORKSPACE, READER, "bbbb")}) == 3


def test_a_preview_does_not_make_up_what_only_creation_tells() -> None:
    made = identity(preview=True)
    assert not made.result["client_id"].known
    assert not made.result["secret"].known
    assert made.result["secret"].secret
    inputs = made.one(ASSIGNMENT).inputs
    assert isinstance(inputs["roleAssignmentName"], Unknown)
    assert inputs["scope"] == WORKSPACE


def test_protect_covers_registration_and_principal_but_not_what_rotates() -> None:
    made = identity(protect=True)
    assert {r.type for r in made.resources if r.request.protect} == {APPLICATION, PRINCIPAL}


def test_options_of_the_caller_reach_the_component_alone() -> None:
    def program() -> None:
        AppIdentity("log-reader", args(), pulumi.ResourceOptions(ignore_changes=["x"]))

    made = deploy(program)
    assert {r.type for r in made.resources if list(r.request.ignoreChanges)} == {COMPONENT}


@pytest.mark.parametrize(
    "secret", [{"every": "90"}, {"every": "7d", "overlap": "7d"}, {"every": "7d", "overlap": None}]
)
def test_a_malformed_calendar_is_refused(secret: dict[str, str | None]) -> None:
    with pytest.raises(pulumi.RunError, match=r'^AppIdentity "log-reader": secret\.(every|overlap): [^:]+$') as refused:
        identity(secret=secret)
    assert "None" not in str(refused.value)


def test_components_of_a_run_read_the_state_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read is of the whole state; of a hundred components, the last would wait for a hundred."""
    calls: list[str] = []
    own_stack = state.own_stack

    def counted(function: str, argument: str) -> Any:
        calls.append(function)
        return own_stack(function, argument)

    monkeypatch.setattr(state, "own_stack", counted)
    for runs in (1, 2):
        deploy(lambda: [AppIdentity(name, {"display_name": name}) for name in ("a", "b", "c")])
        assert calls == ["readStackResourceOutputs"] * runs


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"owner": ["x"]}, ' has no argument owner; did you mean "owners"?'),
        (
            {"web": {"redirect_uri": ["https://x"]}, "colour": 1},
            ' has no argument web.redirect_uri; did you mean "redirect_uris"?; has no argument colour',
        ),
        (
            {"roles": {"law": {"role": "Reader", "scope": WORKSPACE, "conditon": "x"}}},
            ' has no argument roles.law.conditon; did you mean "condition"?',
        ),
        (
            {"secret": {"every": "90d", "deliver": [{"github": {}}]}},
            " has no argument secret.deliver.0.github",
        ),
        (
            {"secret": {"every": "90x"}},
            ": secret.every: expected a duration such as 90d, 12h or 2w, not '90x'",
        ),
        ({"display_name": None}, " needs display_name"),
        (
            {"roles": {"law": {"role": "Reader"}}, "groups": {"ops": {}}},
            " needs roles.law.scope; needs groups.ops.group",
        ),
        (
            {"secret": {}, "now": "soon"},
            ": now: expected a date such as 2026-01-01 or a time such as 2026-01-01T06:00:00Z",
        ),
        (
            {"secret": {}, "secrets_handed_out": [{"name": "2026-01-01", "issued": "soon", "ends": "2027-01-01"}]},
            ": secrets_handed_out: expected a date such as 2026-01-01 or a time such as 2026-01-01T06:00:00Z",
        ),
        (
            {"permissions": {"api": {"client_id": "x", "application": {"Read": "ab", "R": "AB"}}}},
            ": permissions.api: Read and R under `application` are one permission (AB). Keep one of the two.",
        ),
        (
            {"roles": {"law": {"role": "Readr", "scope": WORKSPACE}}},
            ': roles.law.role: no role is called "Readr"; did you mean "Reader"?',
        ),
        (
            {"roles": {"law": {"role": "Reader", "scope": "workspace"}}},
            ': roles.law.scope: a scope starts with "/", such as /subscriptions/<guid>/resourceGroups/<name>; found "workspace"',
        ),
    ],
)
def test_what_an_argument_is_not_is_said_and_never_dropped(more: dict[str, Any], message: str) -> None:
    """A Python program is checked by nobody else: `TypedDict`s hold for type checkers alone."""
    with pytest.raises(pulumi.RunError) as refused:
        identity(**more)
    assert str(refused.value) == f'AppIdentity "log-reader"{message}'
