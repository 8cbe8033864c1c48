"""What stands in the way of a `pulumi up`, seen before it, as the deployer."""

import os
import shutil
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import local_azure
from entrant import config, engine
from entrant.access import deployer
from entrant.doctor import azure_rights, examination, limits, references
from entrant.doctor.findings import Finding
from entrant.facts.clouds import Cloud
from tests.conftest import ROOT
from tests.entrant.test_access import Estate, cloud, environ

__all__ = ["cloud", "environ"]


def environment(folder: Path, scope: str) -> config.Environment:
    (folder / "config").mkdir()
    (folder / "config" / "dev.yaml").write_text(f"""\
apps:
  reader:
    display_name: Reader
    secret: {{every: 90d, overlap: 7d}}
    roles: [{{role: Reader, scope: {scope}}}]
    permissions: [{{api: Microsoft Graph, application: [User.Read.All], consent: true}}]
""")
    return config.load("dev", root=folder)


def examined(folder: Path, scope: str, who: deployer.Deployer | None, env: dict[str, str]) -> dict[str, Finding]:
    pulumi = {
        "PULUMI_BACKEND_URL": f"file://{folder}",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    around = engine.environment(os.environ | env | pulumi)
    found = examination.examine(environment(folder, scope), who, cwd=folder, environ=around)
    return {finding.what: finding for finding in found}


def test_a_deployer_with_all_rights_is_told_so(
    azure: local_azure.LocalAzure, cloud: Cloud, environ: dict[str, str], tmp_path: Path
) -> None:
    estate = Estate(azure, "doctored")
    found = examined(tmp_path, estate.workspace, deployer.find(cloud, environ), environ)
    assert azure.object_id in found["deployer"].evidence
    fine = ("pulumi", "backend", "deployer", "create applications", "assign roles on law-doctored", "consent")
    assert {what: found[what].state for what in fine} == dict.fromkeys(fine, "ok")
    assert found[f"assignments in {azure.subscription_id}"].state == "ok"


def test_a_deployer_without_rights_learns_which_to_ask_for(
    azure: local_azure.LocalAzure, cloud: Cloud, environ: dict[str, str], tmp_path: Path
) -> None:
    poor = Estate(azure, "poor")
    assert poor.app.secret is not None
    who = deployer.find(cloud, environ | {"ARM_CLIENT_ID": poor.app.client_id, "ARM_CLIENT_SECRET": poor.app.secret})
    found = examined(tmp_path, poor.workspace, who, environ)
    assert found["create applications"].state != "ok"
    assert found["assign roles on law-poor"].state == "problem"
    assert found["consent"].state == "problem"
    assert found["consent"].next_step is not None and "AppRoleAssignment.ReadWrite.All" in found["consent"].next_step
    assert poor.app.secret not in str(found)


def test_nobody_logged_in_is_said_with_what_to_do(tmp_path: Path) -> None:
    found = examined(tmp_path, "/subscriptions/99999999-9999-4999-8999-999999999999/resourceGroups/rg-none", None, {})
    assert found["deployer"].state == "problem"
    assert found["deployer"].next_step is not None and "az login" in found["deployer"].next_step


def test_a_tenant_that_allows_shorter_secrets_only_is_seen_before_it_refuses(
    azure: local_azure.LocalAzure, cloud: Cloud, environ: dict[str, str], tmp_path: Path
) -> None:
    """The file asks for 97 days; the tenant's app management policy allows 30."""
    estate = Estate(azure, "strict")
    rule = {"restrictionType": "passwordLifetime", "maxLifetime": "P30D", "state": "enabled"}
    policy = "/policies/defaultAppManagementPolicy"
    limited = {"isEnabled": True, "applicationRestrictions": {"passwordCredentials": [rule]}}
    estate.client.graph("PATCH", policy, limited)
    try:
        found = examined(tmp_path, estate.workspace, deployer.find(cloud, environ), environ)["secret lifetime"]
        assert found.state == "problem"
        assert found.evidence == "reader asks for 97 days; the tenant allows 30"
        path = f"/applications/{estate.app.object_id}/addPassword"
        refused = estate.client.graph("POST", path, {"passwordCredential": {"displayName": "long"}}, 400)
        assert refused["error"]["code"] == "CredentialInvalidLifetimeAsPerAppPolicy"
    finally:
        estate.client.graph("PATCH", policy, {"isEnabled": False})


class Tenant:
    """A deployer whose tenant has an app management policy."""

    def __init__(self, enabled: bool = True, **rules: Any) -> None:
        self.policy = {"isEnabled": enabled, "applicationRestrictions": rules}

    def graph(self, path: str) -> dict[str, Any]:
        assert path == "/policies/defaultAppManagementPolicy"
        return self.policy

    def findings(self, tmp_path: Path) -> list[tuple[str, str, str]]:
        """What is said of a file with a certificate that is issued here, and a longer one whose key the app holds."""
        held = f"held: {{path: {ROOT / 'examples' / 'batch.pem'}}}"
        (tmp_path / "x.yaml").write_text(f"apps: {{a: {{certificates: {{signing: {{every: 365d}}, {held}}}}}}}")
        found = limits.lifetime(config.load("x.yaml", root=tmp_path), self)  # type: ignore[arg-type]
        return [(each.what, each.state, each.evidence) for each in found]


def test_a_tenant_that_allows_no_such_certificates_is_seen_before_it_refuses(tmp_path: Path) -> None:
    shorter = {"restrictionType": "asymmetricKeyLifetime", "maxLifetime": "P180D", "state": "enabled"}
    too_long = "a asks for 372 days; the tenant allows 180"
    assert Tenant(keyCredentials=[shorter]).findings(tmp_path) == [("certificate lifetime", "problem", too_long)]
    trusted = {"restrictionType": "trustedCertificateAuthority", "state": "enabled"}
    refused = "the tenant takes only certificates of authorities that it trusts, and those with `every` sign themselves"
    assert Tenant(keyCredentials=[trusted]).findings(tmp_path) == [("certificate lifetime", "problem", refused)]
    fine = [("certificate lifetime", "ok", "372 days at the longest (a)")]
    secrets = {"restrictionType": "passwordAddition", "state": "enabled"}
    assert Tenant(passwordCredentials=[secrets]).findings(tmp_path) == fine
    assert Tenant(keyCredentials=[shorter | {"maxLifetime": "P400D"}]).findings(tmp_path) == fine
    assert Tenant(keyCredentials=[trusted | {"state": "disabled"}]).findings(tmp_path) == fine
    assert Tenant(enabled=False, keyCredentials=[trusted]).findings(tmp_path) == fine


@pytest.mark.parametrize(("text", "days"), [("P180D", 180), ("P4DT12H", 4.5), ("P1Y", 365), ("P6M", 180)])
def test_a_lifetime_of_a_policy_is_read(text: str, days: float) -> None:
    assert limits._duration(text) == timedelta(days=days)


def test_plugins_that_are_not_there_are_told_with_their_versions(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    program = tmp_path / "bin" / "pulumi-resource-azure-native"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = examined(
        tmp_path,
        "/subscriptions/99999999-9999-4999-8999-999999999999/resourceGroups/rg-none",
        None,
        {"PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"},
    )
    assert found["plugin azure-native"].state == "ok"
    assert str(program) in found["plugin azure-native"].evidence
    if shutil.which("pulumi-resource-azuread") is None:
        assert found["plugin azuread"].state == "unknown"
        assert f"azuread {version('pulumi-azuread')} --file" in str(found["plugin azuread"].next_step)


@pytest.mark.parametrize(("apps", "reported"), [(125, False), (126, True)])
def test_more_objects_than_a_deployer_without_a_role_may_create_are_seen(
    azure: local_azure.LocalAzure, cloud: Cloud, environ: dict[str, str], tmp_path: Path, apps: int, reported: bool
) -> None:
    (tmp_path / "config").mkdir()
    many = "".join(f"  app-{number}: {{}}\n" for number in range(apps))
    (tmp_path / "config" / "dev.yaml").write_text(f"apps:\n{many}")
    who = deployer.find(cloud, environ)
    assert who is not None
    found = {finding.what: finding for finding in limits.quotas(config.load("dev", root=tmp_path), who, {})}
    assert ("objects of the deployer" in found) is reported


def test_a_look_that_fails_is_not_told_as_missing_or_forbidden(
    azure: local_azure.LocalAzure, cloud: Cloud, environ: dict[str, str], tmp_path: Path
) -> None:
    """Whatever the directory and Resource Manager answer with 503 is unknown, each with what failed."""
    estate = Estate(azure, "down")
    who = deployer.find(cloud, environ)
    text = f"""\
apps:
  reader:
    display_name: Reader
    secret: {{every: 90d, overlap: 7d}}
    owners: [ada@example.com]
    groups: [00000000-0000-4000-8000-00000000000a]
    roles: [{{role: Reader, scope: {estate.workspace}}}]
    permissions: [{{api: 00000000-0000-4000-8000-00000000000b, application: [Data.Read], consent: true}}]
"""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "dev.yaml").write_text(text)
    assert who is not None
    for audience in ("arm", "graph"):
        who.token(audience)
    azure.faults(
        {"kind": "status", "status": 503, "family": "graph"}, {"kind": "status", "status": 503, "family": "arm"}
    )
    try:
        looks = (references.look_ups, azure_rights.roles, limits.quotas)
        environment = config.load("dev", root=tmp_path)
        found = [finding for look in looks for finding in examination._each(look, environment, who, {})]
    finally:
        azure.faults()
    assert {finding.state for finding in found} == {"unknown"}, found
    evidence_of = {finding.what: finding.evidence for finding in found}
    named = {"owner ada@example.com", "group 00000000-0000-4000-8000-00000000000a", "assign roles on law-down"}
    assert named | {"API 00000000-0000-4000-8000-00000000000b"} <= evidence_of.keys()
    assert all("503" in evidence for evidence in evidence_of.values())
