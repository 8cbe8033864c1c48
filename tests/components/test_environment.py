"""From an environment file to declared components and the stack's outputs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from pulumi.runtime.mocks import MockCallArgs

from components import AppIdentity, declare, stack_outputs
from entrant import config
from entrant.config.rotation import HandedOut, handed_out

from .mocked import ASSIGNMENT, PASSWORD, PRINCIPAL, TENANT, Deployment, _Cloud, deploy

SUBSCRIPTION = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631"
FILE = f"""
scopes:
  logs: {SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/law
apps:
  log-reader:
    display_name: Log reader
    secret: {{every: 90d, overlap: 7d, starts: 2026-11-01}}
    roles:
      - {{role: Reader, scope: logs}}
      - {{role: Log Analytics Reader, scope: logs}}
  idle:
    protect: true
"""


def up(tmp_path: Path, text: str = FILE, **options: Any) -> Deployment:
    (tmp_path / "x.yaml").write_text(text)
    environment = config.load("x.yaml", root=tmp_path)
    return deploy(
        lambda: stack_outputs(environment, declare(environment, now=options.get("now", "2026-11-20"))),
        preview=options.get("preview", False),
    )


def plain(outputs: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, "value", value) for name, value in outputs.items()}


def test_who_is_signed_in_is_asked_once_for_all_apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    call = _Cloud.call

    def counted(self: _Cloud, args: MockCallArgs) -> Any:
        calls.append(args.token.rpartition(":")[2])
        return call(self, args)

    monkeypatch.setattr(_Cloud, "call", counted)
    counts = []
    for names in ("a", "abcd"):
        calls.clear()
        app = "  {0}:\n    identifier_uris: ['api://{{tenant_id}}/{0}']\n"
        made = up(tmp_path, "apps:\n" + "".join(app.format(name) for name in names))
        counts.append(calls.count("getClientConfig"))
    assert counts[0] == counts[1]
    identities = made.result["identities"].value
    assert [identities[name]["audience"] for name in "abcd"] == [f"api://{TENANT}/{name}" for name in "abcd"]


def test_outputs_follow_the_contract(tmp_path: Path) -> None:
    made = up(tmp_path)
    outputs = plain(made.result)
    assert set(outputs) == {
        "contract",
        "tenant_id",
        "cloud",
        "log_reader_client_id",
        "log_reader_client_secret",
        "idle_client_id",
        "identities",
        "adopted",
    }
    assert (outputs["contract"], outputs["tenant_id"], outputs["cloud"]) == (1, TENANT, "public")
    assert made.result["log_reader_client_secret"].secret


def test_identities_tell_grants_and_credentials_and_no_secret(tmp_path: Path) -> None:
    made = up(tmp_path)
    identities = made.result["identities"].value
    assert not made.result["identities"].secret
    reader = identities["log-reader"]
    assert set(reader) == {
        "display_name",
        "client_id",
        "object_id",
        "service_principal_id",
        "audience",
        "grants",
        "permissions",
        "owners",
        "groups",
        "directory_roles",
        "credentials",
    }
    assert {assignment.inputs["principalId"] for assignment in made.all(ASSIGNMENT)} == {reader["service_principal_id"]}
    assert [(grant["role"], grant["scope"].rsplit("/", 1)[1]) for grant in reader["grants"]] == [
        ("Reader", "law"),
        ("Log Analytics Reader", "law"),
    ]
    assert all("/roleAssignments/" in grant["assignment_id"] for grant in reader["grants"])
    assert identities["idle"]["credentials"] == []
    assert made.result["log_reader_client_secret"].value not in json.dumps(identities)


def test_credentials_tell_when_a_secrets_successor_is_due_and_where_a_certificate_was_read(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parents[2] / "examples" / "batch.pem", tmp_path / "batch.pem")
    made = up(tmp_path, FILE + "    certificates: {main: {path: batch.pem}}\n")
    identities = made.result["identities"].value
    [secret] = identities["log-reader"]["credentials"]
    assert (secret["successor_starts"], secret["ends"]) == ("2027-01-30T00:00:00Z", "2027-02-06T00:00:00Z")
    [certificate] = identities["idle"]["credentials"]
    assert Path(certificate["file"]).resolve() == tmp_path / "batch.pem"


def test_in_the_overlap_the_secret_before_is_an_output_of_its_own(tmp_path: Path) -> None:
    made = up(tmp_path, now="2027-02-01")
    assert made.result["log_reader_client_secret"].value == "value-of-log-reader-secret-2027-01-30"
    assert made.result["log_reader_client_secret_previous"].value == "value-of-log-reader-secret-2026-11-01"
    assert made.result["log_reader_client_secret_previous"].secret


def names(made: Deployment) -> set[tuple[str, str]]:
    return {(resource.type, resource.name) for resource in made.resources}


def test_order_and_scope_names_in_the_file_do_not_change_resource_names(tmp_path: Path) -> None:
    lines = FILE.replace("logs:", "workspace:").replace("scope: logs", "scope: workspace").splitlines()
    first, second = (index for index, line in enumerate(lines) if "role:" in line)
    lines[first], lines[second] = lines[second], lines[first]
    assert names(up(tmp_path)) == names(up(tmp_path, "\n".join(lines)))


def test_a_role_given_by_guid_and_by_name_is_the_same_resource(tmp_path: Path) -> None:
    by_guid = FILE.replace("role: Reader", "role: ACDD72A7-3385-48EF-BD42-F606FBA81AE7")
    assert names(up(tmp_path)) == names(up(tmp_path, by_guid))


def test_a_name_given_to_a_role_assignment_can_be_read(tmp_path: Path) -> None:
    first, second = sorted(resource.name for resource in up(tmp_path).all(ASSIGNMENT))
    assert first.startswith("log-reader/log-analytics-reader-law-")
    assert second.startswith("log-reader/reader-law-")


def test_without_a_display_name_the_apps_name_is_used(tmp_path: Path) -> None:
    assert plain(up(tmp_path).result)["identities"]["idle"]["display_name"] == "idle"


def test_the_environments_protect_holds_for_apps_that_say_nothing(tmp_path: Path) -> None:
    made = up(tmp_path, "protect: true\n" + FILE.replace("protect: true", "protect: false"))
    assert {r.name for r in made.all(PRINCIPAL) if r.request.protect} == {"log-reader"}
    assert not any(r.request.protect for r in made.all(PASSWORD))


def test_the_wrong_tenant_stops_the_run_before_anything_is_declared(tmp_path: Path) -> None:
    with pytest.raises(pulumi.RunError, match="login is for " + TENANT):
        up(tmp_path, "tenant: 22222222-2222-2222-2222-222222222222\n" + FILE)


def test_the_component_describes_itself_to_pulumi() -> None:
    """The schema a component provider would publish has every argument with its docstring."""
    found = Analyzer("entrant").analyze([AppIdentity])
    definition = found["component_definitions"]["AppIdentity"]
    assert all(field.description for field in definition.inputs.values())
    assert set(definition.outputs) >= {"clientId", "objectId", "servicePrincipalId"}


@pytest.mark.parametrize(
    ("cloud", "variables", "wrong"),
    [
        ("usgovernment", {}, "azuread to public and azure-native to public"),
        ("public", {"ARM_ENVIRONMENT": "china"}, "azuread to china and azure-native to china"),
        ("usgovernment", {"ARM_ENVIRONMENT": "AzureUSGovernmentCloud"}, None),
        ("usgovernment", {"ARM_METADATA_HOSTNAME": "localhost:1"}, None),
        ("public", {}, None),
    ],
)
def test_a_provider_that_is_set_to_another_cloud_stops_the_run_with_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloud: str, variables: dict[str, str], wrong: str | None
) -> None:
    for name in ("ARM_ENVIRONMENT", "ARM_METADATA_HOSTNAME", "ARM_METADATA_HOST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    text = f"cloud: {cloud}\napps: {{a: {{}}}}\n"
    if wrong is None:
        assert up(tmp_path, text).resources
        return
    with pytest.raises(pulumi.RunError) as stopped:
        up(tmp_path, text)
    assert str(stopped.value) == (
        f"The environment is of the cloud {cloud}, but Pulumi's provider is set otherwise: {wrong}. Set it for the stack "
        f"(pulumi config set azuread:environment {cloud}; pulumi config set azure-native:environment {cloud}) or for all, with "
        f"ARM_ENVIRONMENT={cloud}; or correct `cloud` in the file."
    )


@pytest.mark.parametrize("names", [("a",), ("new", "a")])
def test_secrets_that_were_handed_out_are_found_under_the_apps_name_or_one_that_it_had(names: tuple[str, ...]) -> None:
    """Those of an earlier version of the outputs count from their start."""
    secret = {
        "kind": "secret",
        "name": "entrant 2026-09-28",
        "starts": "2026-09-28T01:00:00Z",
        "ends": "2027-01-03T00:00:00Z",
    }
    before = {"identities": {"a": {"credentials": [secret, {"kind": "certificate", "name": "c"}]}}}
    assert handed_out(before, names) == [HandedOut.read("2026-09-28", "2026-09-28T01:00:00Z", "2027-01-03T00:00:00Z")]
    assert handed_out({}, names) == [], "a first `up`"
