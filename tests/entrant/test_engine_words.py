"""What the engine and its providers say reaches users in the words of an environment's file, with the remedy."""

import pytest

from entrant.engine import diagnosis, in_file_words

ID = "6b2f7c3a-0d51-4a6c-9a0e-7f2f3d1c8b40"
SCOPE = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg"
TERRAFORM = "To be managed via Terraform, this resource needs to be imported into the State. Please see the resource documentation"


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (
            f'An existing "azuread_application" with name "Log reader" (ID: "{ID}") was found and `prevent_duplicate_names` was '
            f"specified. {TERRAFORM}",
            f"take it over with `adopt: {{application: {ID}}}` and `on_remove`, else give this app another `display_name`",
        ),
        (
            f'A resource with the ID "{ID}" already exists - to be managed via Terraform this resource needs to be imported',
            f"with `service_principal: {ID}` under `adopt`, or take it as it is with `service_principal: {{use_existing: true}}`",
        ),
        (
            f'A resource with the ID "{ID}/member/{ID}" already exists. To be managed via Pulumi, this resource needs to be '
            "imported",
            f"take the membership over with `{{group: {ID}, adopt: true}}` under `groups`",
        ),
        (
            f'A resource with the ID "{ID}/preAuthorizedApplication/{ID}" already exists - to be managed via Terraform this '
            "resource needs to be imported",
            "take the entry over with `adopt: true` beside `client`",
        ),
        (
            f'A resource with the ID "/applications/{ID}/knownClients" already exists - to be managed via Terraform this resource '
            "needs to be imported",
            "take them over with `known_clients: true` under the app's `adopt`",
        ),
        *(
            (message, "`python3 -m entrant doctor -s STACK` shows the `adopt` line that takes it over")
            for message in (
                "unexpected status 409 (409 Conflict) with error: Request_MultipleObjectsWithSameKeyValue: "
                "FederatedIdentityCredential with name main already exists.",
                "Issuer and subject combination already exists for this Managed Identity/Application: repo:contoso/obs:x",
                "unexpected status 400 with error: Request_BadRequest: Permission being assigned already exists on the object",
                "unexpected status 409 with error: Request_MultipleObjectsWithSameKeyValue: Permission entry already exists.",
                "Assigning directory role: unexpected status 400: A conflicting object with one or more of the specified "
                "property values is present in the directory.",
                'Code="RoleDefinitionWithSameNameExists" Message="A custom role with the same name already exists ."',
            )
        ),
        (
            'Status=409 Code="RoleAssignmentExists" Message="The role assignment already exists. The ID of the existing role '
            f'assignment is {ID.replace("-", "")}."',
            f"take it over with `adopt: {ID}` and `on_remove` beside `role`",
        ),
        (
            f"cannot create already existing resource '{SCOPE}/providers/Microsoft.Authorization/roleAssignments/{ID}'",
            f"take it over with `adopt: {ID}` and `on_remove` beside `role`, or remove it",
        ),
        (
            f"cannot create already existing resource '{SCOPE}/providers/Microsoft.Authorization/roleDefinitions/{ID}'",
            f"take it over with `adopt: {ID}` and `on_remove`, give it another key under `role_definitions`, or remove it",
        ),
        (
            'resource "urn:pulumi:dev::entrant::x::a" cannot be deleted\nbecause it is protected. To unprotect the resource, '
            "either remove the `protect` flag from the resource in your Pulumi program",
            "set `protect: false` in a deployment of its own first",
        ),
        (
            'unable to replace resource "urn:pulumi:dev::entrant::x::a"\nas it is currently marked for protection.',
            "set `protect: false` in a deployment of its own first",
        ),
        (
            "inputs to import do not match the existing resource",
            "`adopt` takes an object over as it is: describe it so first",
        ),
        (
            f"Preview failed: resource '/applications/{ID}' does not exist",
            f"id /applications/{ID} that stands under `adopt`",
        ),
    ],
)
def test_a_remedy_names_the_keys_of_the_file_and_no_option_of_the_engine(message: str, remedy: str) -> None:
    shown = diagnosis(
        {"diagnosticEvent": {"severity": "error", "message": message, "urn": "urn:pulumi:dev::entrant::t::a-b"}}
    )
    assert shown is not None
    assert shown.startswith("a-b: ")
    assert remedy in shown
    assert not any(
        word in shown for word in ("import_", "Terraform", "State", "Pulumi program", "prevent_duplicate_names")
    )


def test_what_is_not_known_stays_as_it_is() -> None:
    assert in_file_words("something {else} happened") == "something {else} happened"
    assert diagnosis({"diagnosticEvent": {"severity": "warning", "message": "x"}}) is None
    assert diagnosis({"summaryEvent": {}}) is None
