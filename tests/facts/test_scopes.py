"""Scope ids: what each kind is read as, what encloses it, and what is said of those that are none."""

import pytest

from entrant.facts.scopes import ROOT, ScopeError, parse_scope

GUID = "7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631"
SUBSCRIPTION = f"/subscriptions/{GUID}"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-obs"
WORKSPACE = f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/law-dev"
DATABASE = f"{GROUP}/providers/Microsoft.Sql/servers/sql-one/databases/orders"
LOCK = f"{WORKSPACE}/providers/Microsoft.Authorization/locks/keep"
MANAGEMENT_GROUP = "/providers/Microsoft.Management/managementGroups/mg-all"


@pytest.mark.parametrize(
    ("text", "kind", "name", "resource_type"),
    [
        ("/", "root", "/", "/"),
        (MANAGEMENT_GROUP, "management_group", "mg-all", "Microsoft.Management/managementGroups"),
        (SUBSCRIPTION, "subscription", GUID, "Microsoft.Resources/subscriptions"),
        (GROUP, "resource_group", "rg-obs", "Microsoft.Resources/subscriptions/resourceGroups"),
        (WORKSPACE, "resource", "law-dev", "Microsoft.OperationalInsights/workspaces"),
        (DATABASE, "resource", "orders", "Microsoft.Sql/servers/databases"),
        (LOCK, "resource", "keep", "Microsoft.OperationalInsights/workspaces/Microsoft.Authorization/locks"),
    ],
)
def test_each_kind_is_read_with_its_name_and_type(text: str, kind: str, name: str, resource_type: str) -> None:
    scope = parse_scope(text)
    assert (scope.kind, scope.id, scope.name, scope.resource_type) == (kind, text, name, resource_type)


def test_the_words_that_azure_compares_without_case_get_its_spelling() -> None:
    scope = parse_scope(WORKSPACE.replace("subscriptions", "SUBSCRIPTIONS").replace("resourceGroups", "resourcegroups"))
    assert scope == parse_scope(WORKSPACE)


@pytest.mark.parametrize(
    ("text", "outward"),
    [
        ("/", ["/"]),
        (MANAGEMENT_GROUP, [MANAGEMENT_GROUP, "/"]),
        (DATABASE, [DATABASE, DATABASE.rsplit("/", 2)[0], GROUP, SUBSCRIPTION, "/"]),
        (LOCK, [LOCK, WORKSPACE, GROUP, SUBSCRIPTION, "/"]),
    ],
)
def test_what_encloses_a_scope_is_found_outward_to_the_root(text: str, outward: list[str]) -> None:
    assert [scope.id for scope in parse_scope(text).parents()] == outward


def test_a_scope_contains_itself_and_what_is_below_and_nothing_of_a_longer_name() -> None:
    group = parse_scope(GROUP)
    assert group.contains(parse_scope(WORKSPACE)) and group.contains(parse_scope(GROUP.replace("rg-obs", "RG-Obs")))
    assert not group.contains(parse_scope(f"{GROUP}-two")) and not group.contains(parse_scope(SUBSCRIPTION))
    assert ROOT.contains(group)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rg-obs", 'a scope starts with "/"'),
        ("/providers/Microsoft.Management/managementGroups/a b", '"a b" is not a management group name'),
        (f"{GROUP}/", "there is an empty part in it"),
        (f"{GROUP}//providers", "there is an empty part in it"),
        (f"{GROUP}/providers/Microsoft.Sql/servers/a?b", '"a?b" has characters that no Azure id has'),
        ("/subscriptions", '"" is not a subscription GUID'),
        ("/subscriptions/abc", '"abc" is not a subscription GUID'),
        (f"{SUBSCRIPTION}/resourceGroups", '"" is not a resource group name'),
        (f"{SUBSCRIPTION}/resourceGroups/rg.", '"rg." is not a resource group name'),
        (f"{SUBSCRIPTION}/groups/x", f'after {SUBSCRIPTION} comes "resourceGroups" or "providers", not "groups"'),
        (f"{GROUP}/workspaces/x", f'after {GROUP} comes "providers", not "workspaces"'),
        ("/tenants/x", 'after the root comes "subscriptions" or "providers", not "tenants"'),
        (f"{GROUP}/providers", '"" is not a resource provider namespace'),
        (f"{GROUP}/providers/Microsoft.Sql", "it ends before a resource type and name"),
        (f"{GROUP}/providers/Microsoft.Sql/servers", "it ends before a resource type and name"),
        (f"{DATABASE}/tables", 'the resource type "tables" has no name after it'),
    ],
)
def test_what_is_no_scope_is_refused_and_the_wrong_part_is_named(text: str, words: str) -> None:
    with pytest.raises(ScopeError) as refused:
        parse_scope(text)
    assert words in str(refused.value)
