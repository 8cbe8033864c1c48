"""Conditions of role assignments: what a delegate may hand out, and that no condition is stored and ignored."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrant.facts.conditions import ConditionError, Facts, parse
from entrant.facts.roles import matches
from local_azure import LocalAzure
from tests.local_azure.conftest import METRICS_PUBLISHER, READER, Client, Identity

ADMINISTRATOR = "f58310d9-a9f6-439a-9e8d-f62e7b41a168"
"""Role Based Access Control Administrator."""
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
WRITE = "Microsoft.Authorization/roleAssignments/write"
ROLE = "Microsoft.Authorization/roleAssignments:RoleDefinitionId"
TYPE = "Microsoft.Authorization/roleAssignments:PrincipalType"


def delegated(roles: str, kinds: str = "'ServicePrincipal'") -> str:
    """The condition that the portal writes for "constrain roles and principal types"."""
    return f"""(
 (
  !(ActionMatches{{'{WRITE}'}})
 )
 OR
 (
  @Request[{ROLE}] ForAnyOfAnyValues:GuidEquals {{{roles}}}
  AND
  @Request[{TYPE}] ForAnyOfAnyValues:StringEqualsIgnoreCase {{{kinds}}}
 )
)
AND
(
 (
  !(ActionMatches{{'Microsoft.Authorization/roleAssignments/delete'}})
 )
 OR
 (
  @Resource[{ROLE}] ForAnyOfAnyValues:GuidEquals {{{roles}}}
 )
)"""


@pytest.fixture
def delegate(azure: LocalAzure, deployer: Client, app: Identity, group_id: str) -> Client:
    """An administrator of roles that may hand out Reader to service principals, and no more."""
    narrowed = {"condition": delegated(READER), "conditionVersion": "2.0"}
    deployer.grant(ADMINISTRATOR, group_id, app.object_id, None, **narrowed)
    return Client(azure, app.client_id, app.secret)


def test_delegate_hands_out_what_the_condition_allows(deployer: Client, delegate: Client, group_id: str) -> None:
    """Reader for a service principal is given and taken back; another role, its own included, and another type are refused."""
    other = deployer.new_identity()
    made = delegate.grant(READER, group_id, other.object_id, status=201)
    for role, principal, kind in (
        (METRICS_PUBLISHER, other.object_id, "ServicePrincipal"),
        (OWNER, delegate.client_id, "ServicePrincipal"),
        (READER, str(uuid.uuid4()), "User"),
    ):
        error = delegate.grant(role, group_id, principal, status=403, principalType=kind)["error"]
        assert error["code"] == "AuthorizationFailed"
        assert "does not have authorization or an ABAC condition not fulfilled to perform action" in error["message"]
    theirs = deployer.grant(METRICS_PUBLISHER, group_id, other.object_id)
    delegate.arm("DELETE", theirs["id"], status=403)
    delegate.arm("DELETE", made["id"], status=200)


def test_type_of_the_principal_is_looked_up(deployer: Client, delegate: Client, group_id: str) -> None:
    """A request that names no principal type is judged by what the principal is."""
    body = {"displayName": "g", "mailNickname": "g", "mailEnabled": False, "securityEnabled": True}
    group = deployer.graph("POST", "/groups", body)["id"]
    delegate.grant(READER, group_id, group, status=403, principalType=None)
    delegate.grant(READER, group_id, deployer.new_identity().object_id, status=201, principalType=None)


def test_another_assignment_without_the_condition_counts(
    deployer: Client, delegate: Client, app: Identity, group_id: str, workspace: dict[str, str]
) -> None:
    """A condition narrows its own assignment only."""
    other = deployer.new_identity()
    delegate.grant(OWNER, workspace["id"], other.object_id, status=403)
    deployer.grant(ADMINISTRATOR, workspace["id"], app.object_id)
    delegate.grant(OWNER, workspace["id"], other.object_id, status=201)


@pytest.mark.parametrize(
    "condition",
    [
        "x",
        "@Request[a:b] StringEquals",
        "@Request[a:b] StringResembles 'x'",
        "@Request[a:b] StringEquals 'x' AND",
        "(@Request[a:b] StringEquals 'x'",
        "@Wish[a:b] StringEquals 'x'",
        "ActionMatches{}",
        "ActionMatches{'a' 'b'}",
        "@Request[a:b] ForSomeValues:GuidEquals {acdd72a7-3385-48ef-bd42-f606fba81ae7}",
        "@Request[a:b] GuidEquals {nobody}",
        "@Request[a:b] NumericEquals 'x'",
        "@Request[a:b] BoolEquals maybe",
        "'x' StringEquals 'x'",
        "@Request[a:b] StringEquals 'x' %",
        "!" * 5000,
        "(" * 5000,
    ],
)
def test_what_cannot_be_read_is_refused(deployer: Client, app: Identity, group_id: str, condition: str) -> None:
    """A condition that is none is refused with its place, and nothing is assigned."""
    more = {"condition": condition, "conditionVersion": "2.0"}
    error = deployer.grant(READER, group_id, app.object_id, status=400, **more)["error"]
    assert error["code"] == "InvalidRoleAssignmentCondition"
    assert error["message"].startswith("The given role assignment condition is invalid: ")
    assert deployer.grant(READER, group_id, app.object_id, status=201)


def holds(condition: str, **attributes: object) -> bool:
    """Whether a condition holds with `@Request[a:NAME]` as given."""
    found = {("request", f"a:{name.lower()}"): value for name, value in attributes.items()}
    return parse(condition)(Facts(WRITE, found))


@pytest.mark.parametrize(
    ("condition", "attributes", "expected"),
    [
        ("ActionMatches{'*/write'}", {}, True),
        ("!ActionMatches{'*/write'} OR ActionMatches{'*/read', 'x'}", {}, False),
        ("NOT (@Request[a:x] StringEquals 'a') && ActionMatches{'*'}", {"x": "b"}, True),
        ("@Request[a:x] StringEquals 'it''s' || Exists @Request[a:y]", {"x": "it's"}, True),
        ("Exists @Request[a:y]", {"x": "a"}, False),
        ("@Request[a:x] StringEquals 'A'", {"x": "a"}, False),
        ("@Request[a:x] StringEqualsIgnoreCase 'A'", {"x": "a"}, True),
        ("@Request[a:x] StringNotEquals 'a'", {"x": "b"}, True),
        ("@Request[a:x] StringNotEquals 'a'", {}, False),
        ("@Request[a:x] StringLike 'lo?s/*'", {"x": "logs/2026/a"}, True),
        ("@Request[a:x] StringNotLike 'lo?s/*'", {"x": "logs/2026/a"}, False),
        ("@Request[a:x] StringStartsWith 'lo['", {"x": "lo[gs"}, True),
        ("@Request[a:x] GuidEquals ACDD72A7-3385-48ef-bd42-f606fba81ae7", {"x": READER}, True),
        (f"@Request[a:x] ForAnyOfAllValues:GuidNotEquals {{{READER}, {OWNER}}}", {"x": READER}, False),
        (f"@Request[a:x] ForAnyOfAllValues:GuidNotEquals {{{READER}, {OWNER}}}", {"x": METRICS_PUBLISHER}, True),
        ("@Request[a:x] ForAllOfAnyValues:StringEquals {'a', 'b'}", {"x": ["a", "b"]}, True),
        ("@Request[a:x] ForAllOfAnyValues:StringEquals {'a', 'b'}", {"x": ["a", "c"]}, False),
        ("@Request[a:x] ForAnyOfAnyValues:StringEquals {'a', 'b'}", {"x": ["a", "c"]}, True),
        ("@Request[a:x] ForAllOfAllValues:StringNotEquals {'a', 'b'}", {"x": ["c", "a"]}, False),
        ("@Request[a:x] StringEquals @Request[a:y]", {"x": "a", "y": "a"}, True),
        ("@Request[a:x] NumericLessThanEquals 3.5", {"x": 3.5}, True),
        ("@Request[a:x] BoolEquals true", {"x": True}, True),
        ("@Request[a:x] DateTimeGreaterThan '2026-01-01T00:00:00Z'", {"x": "2026-05-01T00:00:00Z"}, True),
        ("@Request[a:x] DateTimeGreaterThan 'soon'", {"x": "2026-05-01T00:00:00Z"}, False),
        ("@Resource[a:x] StringEquals 'a'", {"x": "a"}, False),
    ],
)
def test_meaning(condition: str, attributes: dict[str, object], expected: bool) -> None:
    """What operators, quantifiers and connectives mean, and that what is absent fits nothing."""
    assert holds(condition, **attributes) is expected


WORDS = st.sampled_from(
    f"""( ) ! AND OR NOT && || {{ }} , 'a' {READER} 1 true Exists StringEquals ForAnyOfAnyValues:GuidEquals ActionMatches
    @Request[a:x] @Request[ ' \0 é StringLike {"x" * 999}""".split()
)


@settings(database=None, derandomize=True, max_examples=400)
@given(st.lists(WORDS, max_size=12))
def test_any_text_is_a_condition_or_refused(words: list[str]) -> None:
    """Whatever it says, a text is a condition that can be evaluated or is refused as none."""
    try:
        test = parse(" ".join(words))
    except ConditionError:
        return
    assert test(Facts(WRITE, {("request", "a:x"): "a"})) in (True, False)


def test_patterns_of_many_wildcards_end() -> None:
    """Wildcards of a role or a condition cost no more than their number, so none keeps the server busy."""
    assert not matches("*a" * 30 + "b", "a" * 200)
    assert matches("*a" * 30 + "*", "a" * 200)
    assert not holds("@Request[a:x] StringLike '" + "*a" * 30 + "b'", x="a" * 200)
