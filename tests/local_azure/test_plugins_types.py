"""The stand-ins' tables of resource types against the installed SDKs, which are generated from the real plugins' schemas."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest

from local_azure.plugins.azure_native_types import TYPES as AZURE_NATIVE
from local_azure.plugins.azuread_types import TYPES as AZUREAD
from local_azure.plugins.package import package_schema
from local_azure.plugins.schema import (
    Prop,
    ResourceType,
    canonical,
    check,
    diff,
    imported_inputs,
    plan,
)
from local_azure.plugins.values import UNKNOWN

ALL = {**AZUREAD, **AZURE_NATIVE}
FILLED_IN_BY_THE_PLUGIN = {"roleAssignmentName", "secretName", "roleDefinitionId", "resourceGroupName", "location"}


def sdk(token: str) -> ModuleType:
    package, module, _ = token.split(":")
    name = "pulumi_azuread" if package == "azuread" else f"pulumi_azure_native.{module}"
    found = importlib.import_module(name)
    assert found._utilities  # loads it: a module of it that is imported before would be missing from it for good
    return found


def resource_module(token: str) -> ModuleType:
    file = re.sub("(?<!^)([A-Z])", r"_\1", token.split(":")[-1]).lower()
    return importlib.import_module(f"{sdk(token).__name__}.{file}")


def args_class(token: str) -> Any:
    name = token.split(":")[-1]
    module = resource_module(token)
    return getattr(module, f"{name}InitArgs", None) or getattr(module, f"{name}Args")


def camel(name: str) -> str:
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(part.capitalize() for part in rest)


def parameters(cls: Any) -> dict[str, inspect.Parameter]:
    found = inspect.signature(cls.__init__).parameters
    return {camel(name): parameter for name, parameter in found.items() if name not in ("self", "__self__")}


def required(cls: Any) -> set[str]:
    return {name for name, parameter in parameters(cls).items() if parameter.default is inspect.Parameter.empty}


def nested_class(module: ModuleType, parameter: inspect.Parameter) -> Any:
    names = re.findall(r"'(\w+Args)'", str(parameter.annotation))
    return getattr(module, names[0], None) if names else None


@pytest.mark.parametrize("token", ALL)
def test_every_input_of_the_sdk_is_known_and_no_other(token: str) -> None:
    assert set(ALL[token].inputs()) == set(parameters(args_class(token)))


@pytest.mark.parametrize("token", ALL)
def test_every_required_input_of_the_sdk_is_required(token: str) -> None:
    rtype = ALL[token]
    filled = FILLED_IN_BY_THE_PLUGIN if token in AZURE_NATIVE else set()
    assert rtype.required_inputs() - filled == required(args_class(token)) - filled
    assert required(args_class(token)) <= rtype.required_inputs()


@pytest.mark.parametrize("token", ALL)
def test_nested_objects_have_the_fields_of_the_sdk(token: str) -> None:
    module = importlib.import_module(sdk(token).__name__ + "._inputs")

    def compare(props: Mapping[str, Prop], cls: Any, path: str) -> None:
        for name, parameter in parameters(cls).items():
            prop = props[name]
            inner = nested_class(module, parameter)
            fields = prop.fields or (prop.each.fields if prop.each else {})
            assert bool(inner) == bool(fields), f"{path}.{name}"
            if inner:
                inputs = {field for field, item in fields.items() if item.is_input or item.secret or field == "keyId"}
                assert inputs == set(parameters(inner)), f"{path}.{name}"
                needed = {field for field, item in fields.items() if item.required}
                assert needed == required(inner), f"{path}.{name}"
                compare(fields, inner, f"{path}.{name}")

    compare(ALL[token].props, args_class(token), token)


@pytest.mark.parametrize("token", AZUREAD)
def test_every_output_of_the_sdk_is_produced(token: str) -> None:
    state = getattr(resource_module(token), f"_{token.split(':')[-1]}State")
    assert set(ALL[token].props) == set(parameters(state))


@pytest.mark.parametrize("token", AZURE_NATIVE)
def test_every_output_of_the_sdk_is_produced_by_azure_native(token: str) -> None:
    cls = getattr(resource_module(token), token.split(":")[-1])
    outputs = {
        camel(name)
        for name, value in vars(cls).items()
        if isinstance(value, property) and name not in ("system_data", "azure_api_version")
    }
    assert outputs <= set(ALL[token].props)


@pytest.mark.parametrize("token", AZUREAD)
def test_what_the_docs_say_replaces_replaces(token: str) -> None:
    text = inspect.getdoc(args_class(token).__init__) or ""
    marked = {
        camel(name)
        for name, description in re.findall(r":param pulumi\.Input\[.*?\] (\w+): (.*?)(?=\n:param|\Z)", text, re.DOTALL)
        if "forces a new resource" in description.replace("\n", " ")
    }
    replaces = {name for name, prop in ALL[token].inputs().items() if prop.force_new}
    assert marked <= replaces, marked - replaces


@pytest.mark.parametrize("token", ALL)
def test_secret_outputs_are_those_of_the_sdk(token: str) -> None:
    source = inspect.getsource(getattr(resource_module(token), token.split(":")[-1]))
    listed = re.search(r"additional_secret_outputs=\[(.*?)\]", source)
    names = set(re.findall(r'"(\w+)"', listed[1])) if listed else set()
    assert ALL[token].secrets() == names


@pytest.mark.parametrize("token", ALL)
def test_an_empty_resource_is_refused_with_every_required_input(token: str) -> None:
    _, problems = check(ALL[token], {})
    assert {path for path, sentence in problems if "is required" in sentence} == ALL[token].required_inputs()


@pytest.mark.parametrize(("name", "types"), [("azuread", AZUREAD), ("azure-native", AZURE_NATIVE)])
def test_the_schema_pulumi_asks_for_describes_the_table(name: str, types: Mapping[str, ResourceType]) -> None:
    """`pulumi import` writes programs from it, so every type it refers to must be there."""
    schema = package_schema(name, "1.0.0", types)
    text = json.dumps(schema)
    assert set(re.findall(r'"#/types/([^"]+)"', text)) == set(schema["types"])
    for token, rtype in types.items():
        described = schema["resources"][token]
        assert set(described["inputProperties"]) == set(rtype.inputs())
        assert set(described["properties"]) == set(rtype.props)
        assert set(described["requiredInputs"]) == rtype.required_inputs()


APPLICATION = AZUREAD["azuread:index/application:Application"]
PASSWORD = AZUREAD["azuread:index/applicationPassword:ApplicationPassword"]


def problems(rtype: ResourceType, **inputs: Any) -> list[tuple[str, str]]:
    return check(rtype, inputs)[1]


def test_an_unknown_input_is_named_with_what_may_be_meant() -> None:
    (path, sentence), *_ = problems(APPLICATION, displayName="x", displayNam="y")
    assert (path, sentence) == ("displayNam", "is not a property of this resource; did you mean 'displayName'?")


def test_an_output_cannot_be_set() -> None:
    assert problems(APPLICATION, displayName="x", clientId="y")[0][1].startswith("is an output, it cannot be set")


def test_defaults_are_filled_in_and_named() -> None:
    checked, _ = check(APPLICATION, {"displayName": "x", "api": {}})
    assert checked["signInAudience"] == "AzureADMyOrg" and checked["__defaults"] == ["signInAudience"]
    assert checked["api"] == {
        "requestedAccessTokenVersion": 1,
        "__defaults": ["requestedAccessTokenVersion"],
    }


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({"displayName": ""}, "displayName"),
        ({"displayName": ["x"]}, "displayName"),
        ({"displayName": "x", "signInAudience": "Everyone"}, "signInAudience"),
        ({"displayName": "x", "owners": ["me"]}, "owners[0]"),
        ({"displayName": "x", "web": {"redirectUris": ["https://x"]}}, "web.redirectUris[0]"),
        ({"displayName": "x", "tags": ["a"], "featureTags": [{"hide": True}]}, "featureTags"),
        ({"displayName": "x", "templateId": "00000000-0000-0000-0000-000000000001"}, "templateId"),
    ],
)
def test_a_bad_value_is_refused_where_it_is(inputs: dict[str, Any], path: str) -> None:
    assert path in [found for found, _ in problems(APPLICATION, **inputs)]


def test_unknown_values_pass_every_check() -> None:
    assert problems(PASSWORD, applicationId=UNKNOWN, endDate=UNKNOWN) == []


def test_personal_accounts_need_version_2_tokens() -> None:
    found = problems(APPLICATION, displayName="x", signInAudience="PersonalMicrosoftAccount")
    assert "requestedAccessTokenVersion must be 2" in found[0][1]


def test_one_permission_value_for_one_id() -> None:
    role = {"allowedMemberTypes": ["User"], "description": "d", "displayName": "n", "value": "Do.It"}
    ids = [f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2)]
    found = problems(APPLICATION, displayName="x", appRoles=[{**role, "id": one} for one in ids])
    assert "duplicate value found: 'Do.It'" in found[0][1]


def test_an_empty_value_is_no_change_from_none() -> None:
    state = {"displayName": "x", "description": "", "owners": [], "web": {"redirectUris": [], "homepageUrl": ""}}
    assert diff(APPLICATION.props, state, {"displayName": "x"}) == {}


def test_a_value_taken_out_of_the_program_is_a_change() -> None:
    state = {"displayName": "x", "notes": "n", "signInAudience": "AzureADMyOrg"}
    news = {"displayName": "x", "signInAudience": "AzureADMyOrg"}
    changes = diff(APPLICATION.props, state, news)
    assert {path: change.kind for path, change in changes.items()} == {"notes": "delete"}


def test_a_value_the_service_chose_is_no_change() -> None:
    state = {"applicationId": "/applications/x", "endDate": "2027-01-01T00:00:00Z", "displayName": "one"}
    assert diff(PASSWORD.props, state, {"applicationId": "/applications/x"}) == {}


def test_the_order_of_a_set_is_no_change() -> None:
    prop = APPLICATION.props["tags"]
    assert canonical(prop, ["a", "b"]) == canonical(prop, ["b", "a"])


def test_a_new_secret_lifetime_replaces_the_secret() -> None:
    state = {"applicationId": "/applications/x", "endDate": "2027-01-01T00:00:00Z"}
    changes = diff(PASSWORD.props, state, {"applicationId": "/applications/x", "endDate": "2028-01-01T00:00:00Z"})
    assert changes["endDate"].replace


def test_an_unknown_value_of_a_replacing_property_replaces() -> None:
    state = {"applicationId": "/applications/x"}
    assert diff(PASSWORD.props, state, {"applicationId": UNKNOWN})["applicationId"].replace


def test_a_preview_knows_what_is_given_and_nothing_that_the_service_decides() -> None:
    planned = plan(APPLICATION, {"displayName": "x", "signInAudience": "AzureADMyOrg"}, None)
    assert planned["displayName"] == "x" and planned["notes"] is None
    assert {planned["clientId"], planned["objectId"], planned["id"], planned["tags"]} == {UNKNOWN}


def test_a_preview_of_an_update_keeps_what_does_not_change() -> None:
    state = {"displayName": "x", "clientId": "c", "appRoleIds": {"a": "b"}, "id": "/applications/1", "notes": ""}
    planned = plan(APPLICATION, {"displayName": "y"}, state)
    assert planned["displayName"] == "y" and planned["clientId"] == "c" and planned["appRoleIds"] == {"a": "b"}


def test_a_preview_of_new_roles_does_not_know_their_ids() -> None:
    role = {
        "id": "00000000-0000-0000-0000-000000000001",
        "allowedMemberTypes": ["User"],
        "description": "d",
        "displayName": "n",
    }
    planned = plan(APPLICATION, {"displayName": "x", "appRoles": [role]}, {"displayName": "x", "appRoleIds": {}})
    assert planned["appRoleIds"] is UNKNOWN


def test_an_import_yields_inputs_without_what_is_empty_or_default() -> None:
    state = {
        "displayName": "x",
        "notes": "",
        "signInAudience": "AzureADMyOrg",
        "tags": ["HideApp"],
        "featureTags": [{"hide": True, "enterprise": False}],
        "clientId": "c",
        "identifierUris": ["api://x"],
    }
    assert imported_inputs(APPLICATION, state) == {
        "displayName": "x",
        "featureTags": [{"hide": True, "__defaults": []}],
        "identifierUris": ["api://x"],
        "__defaults": [],
    }
