"""What a role allows, in words."""

import pytest

from entrant.facts.roles import RolePermission, builtin_roles, describe, find_role


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("Reader", "reads everything in it"),
        ("Contributor", "does everything in it except giving access"),
        ("Owner", "does everything in it; gives itself and others any role"),
        ("Monitoring Metrics Publisher", "writes data of metrics, telemetry"),
        ("Key Vault Secrets User", "reads data of secrets of key vaults"),
        ("Storage Account Key Operator Service Role", "obtains keys of storage accounts"),
        ("Network Contributor", "manages Network"),
    ],
)
def test_a_built_in_role_is_what_it_lets_its_holder_do(role: str, words: str) -> None:
    found = find_role(role)
    assert found is not None
    assert describe(found.permissions) == words


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (RolePermission(("*",), ("*/write", "*/delete")), "does everything in it except giving access; except */write, */delete"),
        (RolePermission(("Microsoft.Web/*",), ("Microsoft.Web/*/delete",)), "manages Web; except Microsoft.Web/*/delete"),
        (RolePermission(("Microsoft.Storage/*",), ("Microsoft.Storage/*",)), "reads what surrounds it"),
        (RolePermission(("Microsoft.Authorization/*",)), "gives itself and others any role; manages Authorization"),
        (RolePermission((), (), ("*",)), "does everything with data of everything in it"),
        (RolePermission(), "does nothing by itself"),
    ],
)  # fmt: skip
def test_what_not_actions_take_away_is_not_said_to_be_allowed(block: RolePermission, words: str) -> None:
    assert describe([block]) == words


def test_every_built_in_role_has_words() -> None:
    assert all(describe(role.permissions) for role in builtin_roles())
