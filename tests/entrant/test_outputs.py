"""Reading stack outputs: what fits the contract is read, what does not is named, and no secret is ever shown."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import entrant
from entrant import outputs

TENANT = "11111111-2222-3333-4444-555555555555"
SECRET = "s3cret-v4lue"
SCOPE = "/subscriptions/11111111-2222-3333-4444-555555555555"
PEM = "".join(f"-----BEGIN {what}-----\nk3y\n-----END {what}-----\n" for what in ("PRIVATE KEY", "CERTIFICATE"))
CREDENTIALS = [
    {"kind": "secret", "name": "s", "current": True},
    {"kind": "certificate", "name": "signing-2026-11-01", "calendar": "signing", "current": True},
    {"kind": "certificate", "name": "signing-2025-11-01", "calendar": "signing", "current": False},
    {"kind": "certificate", "name": "mine", "current": True},
    {"kind": "federated", "name": "github", "current": True},
]


def stack_outputs(**changes: Any) -> dict[str, Any]:
    entry = {
        "display_name": "Log reader",
        "client_id": "c1",
        "object_id": "o1",
        "service_principal_id": "s1",
        "grants": [{"role": "Reader", "role_definition_id": "acdd72a7", "scope": SCOPE}],
        "credentials": [],
    }
    return {
        "contract": 1,
        "tenant_id": TENANT,
        "cloud": "public",
        "log_reader_client_id": "c1",
        "log_reader_client_secret": SECRET,
        "identities": {"log-reader": entry},
    } | changes


def test_an_app_is_read_with_its_secret_and_grants() -> None:
    app = outputs.parse(stack_outputs()).app("log-reader")
    assert (app.tenant_id, app.client_id, app.secret) == (TENANT, "c1", SECRET)
    assert app.grants == (entrant.Grant("Reader", "acdd72a7", SCOPE),)


def test_all_that_an_app_has_is_read() -> None:
    entry = stack_outputs()["identities"]["log-reader"] | {
        "grants": [
            {"role": "Reader", "role_definition_id": "r1", "scope": SCOPE, "assignment_id": "a1", "conditional": True}
        ],
        "credentials": CREDENTIALS,
        "permissions": [{"api": "Microsoft Graph"}],
        "owners": {"registration": ["u1"], "service_principal": []},
        "groups": ["g1"],
        "directory_roles": [{"role_id": "d1", "administrative_unit": None}],
        "audience": "api://log-reader",
    }
    found = stack_outputs(
        cloud="china",
        log_reader_client_secret_previous="old",
        log_reader_certificates={"signing": PEM},
        identities={"log-reader": entry},
    )
    expected = entrant.App(
        name="log-reader",
        tenant_id=TENANT,
        client_id="c1",
        cloud="china",
        object_id="o1",
        service_principal_id="s1",
        display_name="Log reader",
        secret=SECRET,
        previous_secret="old",
        grants=(entrant.Grant("Reader", "r1", SCOPE, "a1", True),),
        issued={"signing": PEM},
        credentials=tuple(CREDENTIALS),
        permissions=({"api": "Microsoft Graph"},),
        owners={"registration": ["u1"], "service_principal": []},
        groups=["g1"],
        directory_roles=[{"role_id": "d1", "administrative_unit": None}],
        audiences={"log-reader": "api://log-reader"},
    )
    assert outputs.parse(found) == outputs.Outputs(TENANT, "china", {"log-reader": expected})
    without = dataclasses.replace(expected, secret=None, previous_secret=None, issued={})
    masked = found | {name: "[secret]" for name in found if "secret" in name or "certificates" in name}
    assert outputs.parse(masked, secrets=False).app(None) == without


def test_what_follows_a_calendar_is_told_from_what_does_not() -> None:
    entry = stack_outputs()["identities"]["log-reader"] | {"credentials": CREDENTIALS}
    found = stack_outputs(log_reader_certificates={"signing": PEM, "other": PEM}, identities={"log-reader": entry})
    app = outputs.parse(found).app(None)
    assert app.calendars == ["secret", "signing"]
    assert [each["name"] for each in app.of_calendar("signing")] == ["signing-2026-11-01", "signing-2025-11-01"]
    assert [app.value(calendar) for calendar in ("secret", "signing", "mine")] == [SECRET, PEM, None]
    assert (app.alone("signing").secret, app.alone("signing").issued) == (None, {"signing": PEM})
    assert (app.alone("secret").secret, app.alone("secret").issued) == (SECRET, {})


def test_an_app_without_an_identifier_uri_is_asked_for_by_its_client_id() -> None:
    assert outputs.parse(stack_outputs()).app(None).audiences == {"log-reader": "c1"}


def test_which_app_is_asked_where_there_are_several() -> None:
    entry = stack_outputs()["identities"]["log-reader"]
    two = stack_outputs(log_writer_client_id="c2", identities={"log-reader": entry, "log-writer": entry})
    with pytest.raises(entrant.ConfigurationError) as caught:
        outputs.parse(two).app(None)
    assert (str(caught.value), caught.value.next_step) == (
        "which app? There are 2",
        "name one of: log-reader, log-writer",
    )
    with pytest.raises(entrant.ConfigurationError) as caught:
        outputs.parse(two).app("x")
    assert caught.value.next_step == "name one of: log-reader, log-writer"
    with pytest.raises(entrant.ConfigurationError) as caught:
        outputs.parse(stack_outputs(identities={})).app(None)
    assert (str(caught.value), caught.value.next_step) == ("which app? There are 0", "name one of: none")


def test_the_app_may_be_left_out_where_there_is_one() -> None:
    assert outputs.parse(stack_outputs()).app(None).name == "log-reader"


def test_an_unknown_app_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(entrant.ConfigurationError) as caught:
        outputs.parse(stack_outputs()).app("log-writer")
    assert str(caught.value) == 'the stack has no app "log-writer"'
    assert caught.value.next_step == "name one of: log-reader"


def test_no_repr_shows_a_secret() -> None:
    parsed = outputs.parse(stack_outputs(log_reader_certificates={"signing": PEM}))
    for shown in (repr(parsed), repr(parsed.app(None))):
        assert SECRET not in shown and "PRIVATE KEY" not in shown


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"contract": 2}, "the outputs keep contract 2; this version reads contract 1"),
        ({"contract": None}, 'there is no output "contract": these are not the outputs of this project\'s program'),
        ({"tenant_id": None}, 'the output "tenant_id" is missing'),
        ({"log_reader_client_id": None}, 'the output "log_reader_client_id" is missing'),
        ({"log_reader_client_secret": "[secret]"}, 'the output "log_reader_client_secret" is masked'),
        ({"log_reader_client_secret": 7}, 'the output "log_reader_client_secret" is not a text'),
        ({"log_reader_certificates": "[secret]"}, 'the output "log_reader_certificates" is masked'),
        ({"log_reader_certificates": {"a": "[secret]"}}, 'the output "log_reader_certificates.a" is masked'),
        ({"log_reader_certificates": PEM}, 'the output "log_reader_certificates" is not a map'),
        (
            {"log_reader_certificates": {"a": PEM.partition("-----END")[0]}},
            'the output "log_reader_certificates.a" is no PEM text of a private key and its certificate',
        ),
        (
            {"log_reader_certificates": {"a": 7}},
            'the output "log_reader_certificates.a" is no PEM text of a private key and its certificate',
        ),
        ({"identities": []}, 'the output "identities" is not a map'),
        ({"identities": {"log-reader": {"grants": []}}}, "identities.log-reader has no 'object_id'"),
        (
            {
                "identities": {
                    "log-reader": {"grants": [{"role": "R", "role_definition_id": "r", "scope": "/x\n::error::"}]}
                }
            },
            "identities.log-reader.grants[0].scope is no scope of Azure",
        ),
        (
            {"identities": {"log-reader": {"grants": [{"role": "R", "role_definition_id": "r", "scope": 7}]}}},
            "identities.log-reader.grants[0].scope is no scope of Azure",
        ),
        ({"identities": {"log-reader": {"grants": 3}}}, "identities.log-reader is not of the contract's form"),
    ],
)
def test_outputs_that_break_the_contract_are_refused_by_name(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(entrant.ContractError) as caught:
        outputs.parse(stack_outputs(**changes))
    assert str(caught.value) == says


def test_outputs_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(stack_outputs()))
    assert entrant.from_file(file).app(None).secret == SECRET
    file.write_text(SECRET)
    with pytest.raises(entrant.ContractError) as caught:
        entrant.from_file(file)
    assert SECRET not in str(caught.value)


def test_variables_give_an_app_or_say_which_are_missing() -> None:
    variables = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": "c1", "AZURE_CLIENT_SECRET": SECRET}
    app = entrant.from_environment(variables)
    assert (app.tenant_id, app.client_id, app.secret, app.cloud) == (TENANT, "c1", SECRET, "public")
    with pytest.raises(entrant.ConfigurationError, match=r"AZURE_TENANT_ID, AZURE_CLIENT_SECRET \(or"):
        entrant.from_environment({"AZURE_CLIENT_ID": "c1"})


def test_variables_tell_the_cloud_and_each_kind_of_credential() -> None:
    variables = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": "c1", "ENTRANT_CLOUD": "china"}
    found = entrant.from_environment(variables | {"AZURE_CLIENT_CERTIFICATE_PATH": "a.pem"})
    assert found == entrant.App("c1", TENANT, "c1", "china", certificate="a.pem")
    found = entrant.from_environment(variables | {"AZURE_FEDERATED_TOKEN_FILE": "token"})
    assert found == entrant.App("c1", TENANT, "c1", "china", assertion="token")
    with pytest.raises(entrant.ConfigurationError) as caught:
        entrant.from_environment({"AZURE_CLIENT_SECRET": SECRET, "AZURE_CLIENT_ID": ""})
    assert (str(caught.value), caught.value.next_step) == (
        "no credential: AZURE_TENANT_ID, AZURE_CLIENT_ID not set",
        "set them, or name a stack with -s",
    )


@pytest.mark.parametrize(
    ("text", "says", "next_step"),
    [
        ("x", "it is not JSON", "write it with `pulumi stack output --json --show-secrets`"),
        ("[]", "it holds no JSON object", None),
        ("{}", "the stack has no outputs", outputs.NO_OUTPUTS),
        (
            '{"contract": 2}',
            "the outputs keep contract 2; this version reads contract 1",
            "run `pulumi up` with this version of the project",
        ),
    ],
)
def test_a_text_that_is_no_outputs_is_refused_with_what_to_do(text: str, says: str, next_step: str | None) -> None:
    with pytest.raises(entrant.ContractError) as caught:
        outputs.from_text(text, "it")
    assert (str(caught.value), caught.value.next_step) == (says, next_step)


def test_masked_outputs_are_refused_with_how_to_write_them() -> None:
    with pytest.raises(entrant.ContractError) as caught:
        outputs.parse(stack_outputs(log_reader_client_secret_previous="[secret]"))
    assert (str(caught.value), caught.value.next_step) == (
        'the output "log_reader_client_secret_previous" is masked',
        "write the outputs with `pulumi stack output --json --show-secrets`",
    )
