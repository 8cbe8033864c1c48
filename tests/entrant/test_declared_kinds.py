"""Every kind of declared grant that works, is missing, or cannot be looked at: what `wait` and `check` say, and their codes."""

import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any
from xml.etree import ElementTree

import pytest

import local_azure
from entrant import engine
from entrant.access import deployer, trials
from entrant.access.directory import Directory
from entrant.drift import unmanaged
from entrant.errors import EntrantError, NotReadyError, RefusedError
from entrant.facts.clouds import Cloud
from entrant.outputs import App, Grant, Outputs
from tests.entrant.authority import certificate
from tests.entrant.test_access import PUBLISHER, READER, Estate, cloud, environ

__all__ = ["cloud", "environ"]

GRAPH = "00000003-0000-0000-c000-000000000000"
USER_READ_ALL = "df021288-bdef-4463-88db-98f22de89214"
DIRECTORY_READERS = "88d8e3e3-8f55-4a1e-953a-9b9898b8876b"
UNIT_ROLE = "fdd7a751-b60b-444a-984c-02652fe8fa1c"  # Groups Administrator
CONDITION = "(!(ActionMatches{'Microsoft.Storage/storageAccounts/blobServices/containers/blobs/read'}))"
Make = Callable[[Estate, App, bool], App]
"""Declares something of an app, and makes it too where that is asked for."""


def role(estate: Estate, app: App, made: bool) -> App:
    grant = estate.grant(READER, "Reader", estate.workspace) if made else Grant("Reader", READER, estate.workspace)
    return replace(app, grants=(grant,))


def deleted_role(estate: Estate, app: App, made: bool) -> App:
    grant = estate.grant(READER, "Reader", estate.workspace)
    if not made:
        estate.client.arm("DELETE", str(grant.assignment_id))
    return replace(app, grants=(grant,))


def conditional_role(estate: Estate, app: App, made: bool) -> App:
    grant = Grant("Reader", READER, estate.workspace, conditional=True)
    if made:
        who, version = estate.identity.object_id, "2.0"
        estate.client.grant(READER, estate.workspace, who, condition=CONDITION, conditionVersion=version)
    return replace(app, grants=(grant,))


def custom_role(actions: str) -> Make:
    def make(estate: Estate, app: App, made: bool) -> App:
        guid = str(uuid.uuid4())
        group = estate.workspace.partition("/providers/")[0]
        body = {
            "roleName": f"custom {guid}",
            "type": "CustomRole",
            "assignableScopes": [group],
            "permissions": [{"actions": [actions], "notActions": [], "dataActions": [], "notDataActions": []}],
        }
        path = f"{group}/providers/Microsoft.Authorization/roleDefinitions/{guid}"
        estate.client.arm("PUT", path, {"properties": body})
        if made:
            estate.client.grant(guid, estate.workspace, estate.identity.object_id)
        return replace(app, grants=(Grant("custom", guid, estate.workspace),))

    return make


def metric(estate: Estate, app: App, made: bool) -> App:
    grant = Grant("Monitoring Metrics Publisher", PUBLISHER, estate.machine)
    if made:
        estate.client.grant(PUBLISHER, estate.machine, estate.identity.object_id)
    return replace(app, grants=(grant,))


def graph_permission(estate: Estate, app: App, made: bool) -> App:
    if made:
        api = estate.client.graph("GET", f"/servicePrincipals(appId='{GRAPH}')")["id"]
        consent(estate, app, api, USER_READ_ALL)
    declared = {"api": "Microsoft Graph", "kind": "application", "name": "User.Read.All", "consent": True}
    return replace(app, permissions=(declared,))


def consent(estate: Estate, app: App, api: str, app_role: str) -> None:
    body = {"principalId": app.service_principal_id, "resourceId": api, "appRoleId": app_role}
    estate.client.graph("POST", f"/servicePrincipals/{app.service_principal_id}/appRoleAssignments", body)


def own_api_permission(named: bool) -> Make:
    """A permission of an API of the same stack, or of one that the file names by its client id."""

    def make(estate: Estate, app: App, made: bool) -> App:
        api = estate.client.new_identity(f"api-{uuid.uuid4().hex[:6]}")
        identity = str(uuid.uuid4())
        offered = {"allowedMemberTypes": ["Application"], "displayName": "R", "description": "R", "value": "Data.Read"}
        roles = {"appRoles": [offered | {"id": identity, "isEnabled": True}]}
        estate.client.graph("PATCH", f"/applications/{api.application_id}", roles)
        if made:
            consent(estate, app, api.object_id, identity)
        if named:
            APIS["orders-api"] = api.client_id
        declared = {
            "api": "orders-api" if named else api.client_id,
            "kind": "application",
            "name": "Data.Read",
            "consent": True,
        }
        return replace(app, permissions=(declared,))

    return make


APIS: dict[str, str] = {}
"""Client ids of the stack's own APIs, by name."""


def delegated(estate: Estate, app: App, made: bool) -> App:
    if made:
        api = estate.client.graph("GET", f"/servicePrincipals(appId='{GRAPH}')")["id"]
        body = {"clientId": app.service_principal_id, "resourceId": api, "consentType": "AllPrincipals"}
        estate.client.graph("POST", "/oauth2PermissionGrants", body | {"scope": "Mail.Read"})
    declared = {"api": "Microsoft Graph", "kind": "delegated", "name": "Mail.Read", "consent": True}
    return replace(app, permissions=(declared,))


def federated(estate: Estate, app: App, made: bool) -> App:
    declared = {"name": "github-dev", "issuer": "https://issuer.example", "subject": "repo:contoso/obs:environment:dev"}
    key = str(uuid.uuid4())
    if made:
        body = declared | {"name": "name-in-azure", "audiences": ["api://AzureADTokenExchange"]}
        path = f"/applications/{app.object_id}/federatedIdentityCredentials"
        key = estate.client.graph("POST", path, body)["id"]
    credential = {"kind": "federated", "key_id": key} | declared
    return replace(app, secret=None, credentials=(*app.credentials, credential))


def federated_for_another(estate: Estate, app: App, made: bool) -> App:
    found = federated(estate, app, True)
    if made:
        return found
    other = {**found.credentials[-1], "subject": "repo:contoso/OBS:environment:dev"}
    return replace(found, credentials=(*app.credentials, other))


def own_certificate(estate: Estate, app: App, made: bool) -> App:
    key = str(uuid.uuid4())
    if made:
        entry = {"keyId": key, "type": "AsymmetricX509Cert", "usage": "Verify"}
        entry["key"] = base64.b64encode(certificate()[1]).decode()
        estate.client.graph("PATCH", f"/applications/{app.object_id}", {"keyCredentials": [entry]})
    return replace(app, credentials=(*app.credentials, {"kind": "certificate", "key_id": key, "name": "laptop"}))


def previous_secret(estate: Estate, app: App, made: bool) -> App:
    key = str(uuid.uuid4())
    if made:
        path = f"/applications/{app.object_id}/addPassword"
        key = estate.client.graph("POST", path, {"passwordCredential": {"displayName": "before"}})["keyId"]
    declared = {"kind": "secret", "key_id": key, "name": "before", "current": False}
    return replace(app, credentials=(*app.credentials, declared))


def owner(side: str) -> Make:
    def make(estate: Estate, app: App, made: bool) -> App:
        other = estate.client.new_identity().object_id
        paths = {"registration": f"/applications/{app.object_id}"}
        if made:
            reference = {"@odata.id": f"{estate.client.azure.url}/v1.0/directoryObjects/{other}"}
            path = paths.get(side, f"/servicePrincipals/{app.service_principal_id}")
            estate.client.graph("POST", f"{path}/owners/$ref", reference)
        return replace(app, owners={"registration": [], "service_principal": []} | {side: [other.upper()]})

    return make


def group(estate: Estate, app: App, made: bool) -> App:
    body = {"displayName": "Team", "mailEnabled": False, "mailNickname": "team", "securityEnabled": True}
    found = estate.client.graph("POST", "/groups", body)["id"]
    if made:
        reference = {"@odata.id": f"{estate.client.azure.url}/v1.0/directoryObjects/{app.service_principal_id}"}
        estate.client.graph("POST", f"/groups/{found}/members/$ref", reference)
    return replace(app, groups=[found])


def directory_role(estate: Estate, app: App, made: bool) -> App:
    body = {"principalId": app.service_principal_id, "roleDefinitionId": DIRECTORY_READERS, "directoryScopeId": "/"}
    if made:
        estate.client.graph("POST", "/roleManagement/directory/roleAssignments", body)
    return replace(app, directory_roles=[{"role_id": DIRECTORY_READERS, "administrative_unit": None}])


def directory_role_elsewhere(estate: Estate, app: App, made: bool) -> App:
    """Limited to a unit, where the file says the whole directory unless `made`."""
    unit = estate.client.graph("POST", "/directory/administrativeUnits", {"displayName": "Unit"})["id"]
    scope = f"/administrativeUnits/{unit}"
    body = {"principalId": app.service_principal_id, "roleDefinitionId": UNIT_ROLE, "directoryScopeId": scope}
    estate.client.graph("POST", "/roleManagement/directory/roleAssignments", body)
    return replace(app, directory_roles=[{"role_id": UNIT_ROLE, "administrative_unit": unit if made else None}])


def disabled(estate: Estate, app: App, made: bool) -> App:
    if not made:
        path = f"/servicePrincipals/{app.service_principal_id}"
        estate.client.graph("PATCH", path, {"accountEnabled": False})
    return replace(app, secret=None)


def bare(make: Make) -> Make:
    """The same, of an app that nobody can be here."""
    return lambda estate, app, made: replace(make(estate, app, made), secret=None)


KINDS: dict[str, tuple[Make, str, str, str]] = {
    # what, and the state where it works, where it is missing, where the deployer may not look
    "role": (role, "granted", "denied", "granted"),
    "role, deleted": (deleted_role, "granted", "denied", "granted"),
    "role with a condition": (conditional_role, "seen", "denied", "unknown"),
    "custom role": (custom_role("*/read"), "granted", "denied", "granted"),
    "custom role that cannot read itself": (custom_role("Microsoft.Compute/*/read"), "seen", "denied", "unknown"),
    "metric": (metric, "seen", "denied", "seen"),
    "role of a federated app": (bare(role), "seen", "denied", "unknown"),
    "custom role of a federated app": (bare(custom_role("*/read")), "seen", "denied", "unknown"),
    "metric of a federated app": (bare(metric), "seen", "denied", "unknown"),
    "Graph permission": (graph_permission, "granted", "denied", "granted"),
    "permission of the stack's API": (own_api_permission(True), "granted", "denied", "granted"),
    "permission of another API": (own_api_permission(False), "granted", "denied", "granted"),
    "Graph permission of a federated app": (bare(graph_permission), "seen", "denied", "unknown"),
    "permission of the stack's API of a federated app": (bare(own_api_permission(True)), "seen", "denied", "unknown"),
    "delegated consent": (delegated, "seen", "denied", "unknown"),
    "federated credential": (federated, "seen", "denied", "unknown"),
    "federated credential for another subject": (federated_for_another, "seen", "denied", "unknown"),
    "certificate": (own_certificate, "seen", "denied", "unknown"),
    "previous secret": (previous_secret, "seen", "denied", "unknown"),
    "owner of the registration": (owner("registration"), "seen", "denied", "unknown"),
    "owner of the service principal": (owner("service_principal"), "seen", "denied", "unknown"),
    "group": (group, "seen", "denied", "unknown"),
    "directory role": (directory_role, "seen", "denied", "unknown"),
    "directory role on a unit": (directory_role_elsewhere, "seen", "denied", "unknown"),
    "service principal": (disabled, "seen", "denied", "unknown"),
}  # fmt: skip
CASES = [
    (kind, case)
    for kind, (_, *states) in KINDS.items()
    for case, state in zip(("works", "missing", "not visible"), states, strict=True)
    if (case, state) != ("not visible", "granted") or kind == "role"  # what is tried needs no deployer
]
CODES = {"granted": 0, "seen": 0, "denied": 4, "pending": 4, "unknown": 9}


@pytest.fixture
def who(cloud: Cloud, environ: dict[str, str]) -> deployer.Deployer:
    found = deployer.find(cloud, environ)
    assert found is not None
    return found


@pytest.fixture
def poor(azure: local_azure.LocalAzure, cloud: Cloud, environ: dict[str, str]) -> deployer.Deployer:
    """A deployer that may look at nothing."""
    other = azure.create_identity(f"poor-{uuid.uuid4().hex[:6]}")
    found = deployer.find(cloud, environ | {"ARM_CLIENT_ID": other.client_id, "ARM_CLIENT_SECRET": other.client_secret})
    assert found is not None
    return found


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    azure: local_azure.LocalAzure,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """`check` or `wait` of a stack with one app, as a deployer: exit code, standard output, standard error."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    def call(command: str, app: App, as_whom: deployer.Deployer | None, *arguments: str) -> tuple[int, str, str]:
        apis = {name: App(name, app.tenant_id, client) for name, client in APIS.items()}
        outputs = Outputs(app.tenant_id, "public", {app.name: app, **apis})
        monkeypatch.setattr(engine, "stack_outputs", lambda *a, **k: outputs)
        monkeypatch.setattr(deployer, "find", lambda *a, **k: as_whom)
        capsys.readouterr()
        try:
            code = getattr(import_module(f"entrant.commands.{command}"), command).main(
                [app.name, "-s", "dev", *arguments], standalone_mode=False
            )
        except EntrantError as error:
            capsys.disabled()
            captured = capsys.readouterr()
            return error.exit_code, captured.out, f"{captured.err}{error}"
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_a_declared_grant_is_tried_seen_or_said_to_be_neither(
    azure: local_azure.LocalAzure, who: deployer.Deployer, poor: deployer.Deployer, run: Run, kind: str, case: str
) -> None:
    make, *states = KINDS[kind]
    expected = states[["works", "missing", "not visible"].index(case)]
    estate = Estate(azure, f"kind-{uuid.uuid4().hex[:8]}")
    app = make(estate, estate.app, case != "missing")
    as_whom = poor if case == "not visible" else who
    code, out, _ = run("check", app, as_whom, "--format", "json")
    document = json.loads(out)
    grants = document["grants"]
    roles = [grant for grant in grants if grant["layer"] == "role"]
    one = grants[0] if kind == "service principal" else roles[0] if roles and "metric" not in kind else grants[-1]
    assert one["state"] == expected, grants
    assert document["counts"][expected] >= 1
    rank = ["granted", "seen", "unknown", "pending", "denied"]
    worst = max((grant["state"] for grant in grants), key=rank.index)
    assert (code, worst) == (CODES[worst], expected if case != "not visible" else worst), grants
    if expected == "denied":
        assert one["next_step"]
    code, _, stderr = run("wait", app, as_whom, "--timeout", "0.2")
    assert code == (0 if worst in ("granted", "seen") else 9), stderr
    document = json.loads(run("wait", app, as_whom, "--timeout", "0.2", "--format", "json")[1])
    assert document["ready"] == all(grant["state"] == "granted" for grant in grants)
    assert max((grant["state"] for grant in document["grants"]), key=rank.index) == worst
    assert ("\nready: " in stderr) == all(grant["state"] == "granted" for grant in grants), stderr
    if worst == "seen":
        assert "seen from outside, not tried as the app" in stderr and "nothing is missing: " in stderr


def test_check_reads_each_list_of_an_app_once(azure: local_azure.LocalAzure, who: deployer.Deployer, run: Run) -> None:
    """What was seen of a declared credential, owner, group or role says, too, what is there and not declared."""
    estate = Estate(azure, f"once-{uuid.uuid4().hex[:6]}")
    app = directory_role(estate, group(estate, previous_secret(estate, estate.app, True), True), True)
    app = owner("service_principal")(estate, federated(estate, app, True), True)
    before = azure.requests()[-1]["number"]
    code, out, _ = run("check", app, who)
    own = (f"/v1.0/applications/{app.object_id}", f"/v1.0/servicePrincipals/{app.service_principal_id}")
    roles = "/v1.0/roleManagement/directory/roleAssignments"
    paths = [each["path"] for each in azure.requests(after=before) if each["path"].startswith((*own, roles))]
    assert code == 0, out
    assert len(paths) == len(set(paths)) == 9


@pytest.mark.parametrize("kind", ["owner of the registration", "role of a federated app", "role with a condition"])
def test_without_anybody_signed_in_what_cannot_be_tried_is_neither_tried_nor_seen(
    azure: local_azure.LocalAzure, run: Run, kind: str
) -> None:
    estate = Estate(azure, f"nobody-{uuid.uuid4().hex[:6]}")
    app = KINDS[kind][0](estate, estate.app, True)
    code, out, _ = run("check", app, None)
    assert code == 9
    assert "? " in out and "nobody is signed in to look from outside" in out and "az login" in out
    code, _, stderr = run("wait", app, None, "--timeout", "0.2")
    assert code == NotReadyError.exit_code and "neither tried nor seen" in stderr and "ready:" not in stderr


def test_a_look_that_fails_is_not_told_as_missing(
    azure: local_azure.LocalAzure, who: deployer.Deployer, run: Run
) -> None:
    estate = Estate(azure, f"failing-{uuid.uuid4().hex[:6]}")
    app = group(estate, estate.app, True)
    path = f"/v1.0/servicePrincipals/{app.service_principal_id}/memberOf"
    azure.faults({"kind": "status", "status": 503, "route": path, "retry_after": 0})
    try:
        code, out, err = run("check", app, who, "--format", "json")
    finally:
        azure.faults()
    last = json.loads(out)["grants"][-1]
    assert (code, last["state"]) == (9, "unknown"), out
    assert "the look-up failed: GET " in last["evidence"] and "503" in last["evidence"]
    assert "undeclared access was not looked for: GET " in err


def test_another_object_s_404_is_not_taken_for_the_app_s(
    azure: local_azure.LocalAzure, who: deployer.Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscription that is gone, in the middle of the look for undeclared roles, is told and not passed over."""
    estate = Estate(azure, f"far-{uuid.uuid4().hex[:6]}")
    app = role(estate, estate.app, True)
    app = replace(app, owners={"registration": [], "service_principal": []}, groups=[], directory_roles=[])
    outputs = Outputs(app.tenant_id, "public", {app.name: app})
    assert unmanaged.look(outputs, who) == unmanaged.Look((), ())
    listed = deployer.Deployer.listed

    def gone(self: deployer.Deployer, answer: dict[str, Any], audience: str) -> Any:
        yield from listed(self, answer, audience)
        if any("/roleAssignments/" in entry.get("id", "") for entry in answer["value"]):
            raise RefusedError("GET …/subscriptions/2: 404", status=404, code="SubscriptionNotFound")

    monkeypatch.setattr(deployer.Deployer, "listed", gone)
    [unseen] = unmanaged.look(outputs, who).unseen
    assert unseen == f"role assignments in {azure.subscription_id}: the look-up failed: GET …/subscriptions/2: 404"


def test_what_was_found_before_a_look_failed_is_kept(
    azure: local_azure.LocalAzure, who: deployer.Deployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    estate = Estate(azure, f"half-{uuid.uuid4().hex[:6]}")
    app = replace(estate.app, owners={"registration": [], "service_principal": []}, groups=[], directory_roles=[])
    assignment = estate.grant(READER, "Reader", estate.workspace).assignment_id

    def refuse(*arguments: object) -> Any:
        raise RefusedError("POST …/getByIds: 403", status=403, code="Authorization_RequestDenied")

    monkeypatch.setattr(unmanaged, "_missing", refuse)
    look = unmanaged.look(Outputs(app.tenant_id, "public", {app.name: app}), who)
    assert [item.id for item in look.found] == [assignment]
    right = "the Graph permission Directory.Read.All"
    assert look.unseen == (f"orphans: 403 Authorization_RequestDenied: the deployer lacks {right}",)


def test_a_deployer_who_gets_no_token_is_told_and_no_traceback(cloud: Cloud, environ: dict[str, str]) -> None:
    wrong = deployer.find(cloud, environ | {"ARM_CLIENT_SECRET": "not-this"})
    assert wrong is not None
    with pytest.raises(EntrantError) as caught:
        wrong.graph("/organization")
    assert caught.value.code == "AADSTS7000215" and "not-this" not in str(caught.value)


def test_every_format_tells_tried_from_seen(azure: local_azure.LocalAzure, who: deployer.Deployer, run: Run) -> None:
    estate = Estate(azure, f"formats-{uuid.uuid4().hex[:6]}")
    app = delegated(estate, role(estate, estate.app, True), True)
    code, out, _ = run("check", app, who)
    assert code == 0
    seen = "Mail.Read at Microsoft Graph (delegated)"
    assert f"○ {app.name}: {seen}: seen from outside, not tried as the app: the directory has the consent" in out
    assert out.splitlines()[-1] == "3 work, tried as the app, 1 seen from outside, not tried as the app"
    suite = ElementTree.fromstring(run("check", app, who, "--format", "junit")[1])
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "0", "0")
    [case] = [case for case in suite if case.get("name") == f"permission: {seen}"]
    assert (case.findtext("system-out") or "").startswith("seen from outside, not tried as the app: ")
    markdown = run("check", app, who, "--format", "markdown")[1]
    assert (
        f"| {app.name} | {seen} | ○ seen from outside, not tried as the app | the directory has the consent |"
        in markdown
    )
    assert "3 work, tried as the app, 1 seen from outside, not tried as the app." in markdown
    counts = json.loads(run("check", app, who, "--format", "json")[1])["counts"]
    assert counts == {"granted": 3, "seen": 1, "pending": 0, "denied": 0, "unknown": 0}
    unknown = ElementTree.fromstring(run("check", app, None, "--format", "junit")[1])
    assert unknown.get("errors") == "1"


def test_what_comes_while_waiting_is_seen(azure: local_azure.LocalAzure, who: deployer.Deployer, cloud: Cloud) -> None:
    estate = Estate(azure, f"late-{uuid.uuid4().hex[:6]}")
    app = delegated(estate, estate.app, False)
    lines: list[str] = []

    def tell(proof: trials.Proof, elapsed: float) -> None:
        lines.append(f"{proof.layer}: {proof.state}")
        if proof.state == "denied":
            delegated(estate, app, True)

    proofs = trials.wait(
        [app], lambda _: cloud, deployer=who, write=False, stack="dev", seconds=300, tell=tell, pause=0.01
    )
    assert lines == ["token: granted", "permission: denied", "permission: seen"]
    assert [proof.state for proof in proofs] == ["granted", "seen"]


def test_a_new_role_that_is_not_effective_yet_is_pending_and_its_age_told(
    azure: local_azure.LocalAzure, who: deployer.Deployer, cloud: Cloud
) -> None:
    estate = Estate(azure, f"new-{uuid.uuid4().hex[:6]}")
    azure.admin("PATCH", "settings", {"propagation": {"roles": 600, "secrets": 0}})
    app = metric(estate, estate.app, True)
    proofs = trials.check([app], lambda _: cloud, directory=Directory(who), write=False, stack="dev")
    assert [proof.state for proof in proofs] == ["granted", "pending", "pending"]
    assert proofs[1].evidence.endswith("; the role assignment is 0 minutes old")
