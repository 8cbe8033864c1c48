"""Which resource types are known, and that no real one is taken for a misspelt one."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from entrant.facts import resource_types
from entrant.facts.roles import builtin_roles
from entrant.facts.scopes import parse_scope

TABLE = Path(resource_types.__file__).with_name("resource_types.json")
GROUP = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg/providers"


def paths(below: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, children in below.items():
        yield (*before, name)
        yield from paths(children, (*before, name))


def test_every_type_of_the_table_is_known_in_any_case() -> None:
    found = list(paths(json.loads(TABLE.read_text("utf-8"))))
    assert len(found) > 3_700
    for provider, *types in found:
        assert resource_types.unknown(provider.upper(), [name.upper() for name in types]) is None


def test_no_operation_of_a_built_in_role_is_taken_for_a_misspelt_one() -> None:
    for role in builtin_roles():
        for block in role.permissions:
            for part in (block.actions, block.not_actions, block.data_actions, block.not_data_actions):
                for operation in part:
                    assert resource_types.unknown_operation(operation) is None, operation


@pytest.mark.parametrize(
    "resource",
    [
        "Microsoft.Storage/storageAccounts/a/fileServices/default/shares/s",
        "Microsoft.KeyVault/managedHSMs/h/keys/k",
        "Microsoft.Web/sites/w/slots/s/functions/f",
        "Microsoft.ServiceBus/namespaces/n/topics/t/subscriptions/s/rules/r",
        "Microsoft.DocumentDB/databaseAccounts/d/sqlDatabases/s/containers/c",
        "Microsoft.Network/virtualNetworks/v/subnets/s",
        "Microsoft.ManagedIdentity/userAssignedIdentities/i/federatedIdentityCredentials/f",
        "Microsoft.ContainerService/managedClusters/c/agentPools/p",
        "Microsoft.Storage/storageAccounts/a/providers/Microsoft.Authorization/roleAssignments/r",
        "Microsoft.KeyVault/vaults/v/providers/Microsoft.Insights/diagnosticSettings/d",
    ],
)
def test_types_that_are_there_are_known(resource: str) -> None:
    scope = parse_scope(f"{GROUP}/{resource}")
    assert resource_types.unknown(str(scope.provider), scope.types) is None


def test_what_is_like_no_known_type_is_not_corrected() -> None:
    for types in (["vaults", "zorks"], ["vaults", "secrets", "zork"], ["l4Networks"]):
        found = resource_types.unknown("Microsoft.KeyVault", types)
        assert found is not None and found.meant is None


def test_another_number_is_another_type() -> None:
    found = resource_types.unknown("Microsoft.NetworkCloud", ["l4Networks"])
    assert found == resource_types.Unknown("Microsoft.NetworkCloud/l4Networks", None)


def test_the_nearest_name_is_proposed() -> None:
    found = resource_types.unknown("Microsoft.Migrate", ["assessmentProjects", "avsAssesments"])
    assert found is not None and found.meant == "Microsoft.Migrate/assessmentProjects/avsAssessments"
