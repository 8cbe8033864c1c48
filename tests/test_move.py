"""Apps move from one stack to another: the states change and the cloud does not; a move that was killed is ended by another one."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import local_azure
from entrant import engine
from entrant.errors import EngineError
from entrant.facts.marks import of_stack
from entrant.facts.pulumi_types import IDENTITY
from entrant.recovery import moving, release, unfinished
from entrant.rehearsal import environ
from tests.conftest import ROOT, Project
from tests.test_adoption import TEAM, everything
from tests.test_identity import GROUP, Stack

VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-move"
STAYS = f"""\
role_definitions:
  asker: {{name: Asker (move), actions: ["*/read"], assignable_scopes: [{GROUP}]}}
apps:
  api:
    display_name: API (move)
    api:
      scopes: {{Show: {{description: d}}}}
      pre_authorized: [{{client: MOVER, scopes: [Show]}}]
    app_roles: {{Read: {{description: d}}}}
"""
MOVES = f"""\
  mover:
    display_name: Mover (move)
    secret: {{every: 30d, overlap: 7d, deliver: [{{key_vault: {{vault: {VAULT}, name: mover}}}}]}}
    certificates: {{batch: {{path: {ROOT / "examples" / "batch.pem"}}}, signing: {{every: 30d, overlap: 7d}}}}
    federated: [{{github: {{repository: contoso/obs, branch: main}}}}]
    permissions:
      - {{api: API, application: [Read], consent: true}}
      - {{api: Microsoft Graph, application: [User.Read.All], delegated: [User.Read], consent: true}}
    roles:
      - {{role: Reader, scope: {GROUP}}}
      - {{role: ASKER, scope: {GROUP}}}
    groups: [{TEAM}]
    directory_roles: [{{role: Directory Readers}}]
  legacy:
    display_name: Legacy
    adopt: {{application: APP, service_principal: SP}}
    on_remove: keep
"""


class Two(Stack):
    """Two stacks, `one` and `two`, of one project and tenant."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.env = environ(self.settings)
        del self.env["PULUMI_OPTION_CONFIG_FILE"]
        self.azure.ensure([VAULT])
        self.azure.admin("POST", "ensure", {"groups": [TEAM]})
        for stack in ("one", "two"):
            (project.root / f"Pulumi.{stack}.yaml").unlink(missing_ok=True)
            self.declare(stack, "apps: {}")
            self.pulumi("stack", "init", stack)

    def declare(self, stack: str, text: str) -> None:
        """Write the environment of a stack."""
        self.project.write(stack, f"policy: {{missing-owner: off}}\n{text}")

    def pulumi(self, *arguments: str, fails: bool = False) -> str:
        """Run `pulumi`; what it said."""
        done = engine.run(list(arguments), cwd=self.project.root, environ=self.env, check=False)
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stdout

    def entrant(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `entrant`."""
        settings = {name: value for name, value in self.settings.items() if name != "PULUMI_OPTION_CONFIG_FILE"}
        return self.project.entrant(*arguments, **settings)

    def move(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `entrant move` from one to the other."""
        return self.entrant("move", "-s", "one", "--to", "two", *arguments)

    def changes(self, stack: str) -> dict[str, set[str]]:
        """What a preview would do, but for what stays the same: operation and resource → the properties that change."""
        steps = json.loads(self.pulumi("preview", "--json", "--stack", stack))["steps"]
        return {
            f"{step['op']} {step['urn'].split('::', 3)[3]}": set(step.get("diffReasons") or ())
            for step in steps
            if step["op"] != "same"
        }

    def secrets(self, stack: str) -> dict[str, str]:
        """The stack's outputs that are secrets, in clear."""
        outputs = json.loads(self.pulumi("stack", "output", "--json", "--show-secrets", "--stack", stack))
        return {name: value for name, value in outputs.items() if name.endswith(("_client_secret", "_certificates"))}


@pytest.fixture
def both(project: Project) -> Iterator[Two]:
    """The two stacks."""
    made = Two(project)
    yield made
    local_azure.stop(made.rehearsal.azure)


def test_apps_of_every_kind_move_and_only_their_mark_is_written_by_the_next_up(both: Two) -> None:
    app = both.client.graph("POST", "/applications", {"displayName": "Legacy"})
    principal = both.client.graph("POST", "/servicePrincipals", {"appId": app["appId"]})
    moves = MOVES.replace("APP", app["id"]).replace("SP", principal["id"])
    both.declare("one", STAYS.replace("MOVER", "mover") + moves.replace("API", "api").replace("ASKER", "asker"))
    both.pulumi("up", "--yes", "--skip-preview", "--stack", "one")
    identities = json.loads(both.pulumi("stack", "output", "--json", "--stack", "one"))["identities"]
    api, mover = identities["api"], identities["mover"]
    (asker,) = (grant["role_definition_id"] for grant in mover["grants"] if grant["role"] == "Asker (move)")
    secrets = both.secrets("one")
    assert set(secrets) == {"mover_client_secret", "mover_certificates"}
    there = {
        name: everything(both, each["object_id"], each["service_principal_id"]) for name, each in identities.items()
    }
    number = both.azure.requests()[-1]["number"]

    both.declare("two", f"apps:\n{moves.replace('API', 'api').replace('ASKER', 'asker')}")
    looked = both.move("mover", "legacy", "--dry-run")
    assert looked.returncode == 7, looked.stderr
    for line in (
        "From one to two go mover, legacy. Nothing is deleted or changed in the cloud:",
        f"· mover (/applications/{mover['object_id']}): 14 resources",
        "~ the next `up` of two writes the tag entrant:entrant/two in the place of entrant:entrant/one on 3 objects; until then",
        "! config/one.yaml still declares mover",
        "! config/two.yaml has errors; `python3 -m entrant validate` lists them",
        f"! in config/two.yaml, apps.mover needs api, which the other stack holds then: write the client id {api['client_id']} "
        f"(an owner: the object id {api['service_principal_id']}) in place of its name",
        "! in config/two.yaml, apps.mover needs RoleDefinition asker, which the other stack holds then: write its id "
        f"{asker} in place of its name",
        f"! in config/one.yaml, apps.api needs mover, which the other stack holds then: write the client id {mover['client_id']} ",
    ):
        assert line in looked.stdout
    refused = both.move("mover", "legacy", "--yes")
    assert refused.returncode == 2 and "nothing was moved" in refused.stderr

    both.declare("one", STAYS.replace("MOVER", mover["client_id"]))
    both.declare("two", f"apps:\n{moves.replace('API', api['client_id']).replace('ASKER', asker)}")
    done = both.move("--yes")
    assert done.returncode == 0, done.stderr
    assert "needs" not in done.stdout and "declare" not in done.stdout
    again = both.move("--yes")
    assert again.returncode == 0 and "nothing to move" in again.stderr
    assert [one for one in both.azure.requests(after=number) if one["method"] not in ("GET", "POST")] == []
    assert both.secrets("one") == {} and both.secrets("two") == secrets
    assert both.changes("one") == {}
    assert both.changes("two") == {f"update {name}": {"tags"} for name in ("mover", "mover/key-vault-kv-move-mover")}
    both.pulumi("up", "--yes", "--skip-preview", "--stack", "two")
    for name, each in identities.items():
        now = everything(both, each["object_id"], each["service_principal_id"])
        assert without_marks(now) == without_marks(there[name])
    for stack in ("one", "two"):
        assert both.changes(stack) == {}
        looked = both.entrant("recover", "-s", stack, "--dry-run", "--settle", "0")
        assert (looked.returncode, looked.stdout) == (0, ""), looked.stderr


def without_marks(there: Any) -> str:
    """What an app is in the cloud, but for the tag of its stack."""
    text = json.dumps(there)
    return text.replace(of_stack("entrant", "one"), "").replace(of_stack("entrant", "two"), "")


SMALL = """\
  {name}:
    display_name: {name} (killed)
    secret: {{every: 90d, overlap: 7d}}
"""


@pytest.mark.parametrize("moment", ["before the target has it", "before the source has forgotten it"])
def test_a_move_that_is_killed_between_its_writes_loses_nothing(
    both: Two, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An `up` of the source that comes between fails, since it would delete the apps; another move ends it."""
    stay, go = SMALL.format(name="stay"), SMALL.format(name="go")
    both.declare("one", f"apps:\n{stay}{go}")
    both.pulumi("up", "--yes", "--skip-preview", "--stack", "one")
    app = json.loads(both.pulumi("stack", "output", "--json", "--stack", "one"))["identities"]["go"]
    secret = both.secrets("one")["go_client_secret"]
    there = everything(both, app["object_id"], app["service_principal_id"])
    both.declare("one", f"apps:\n{stay}")
    both.declare("two", f"apps:\n{go}")

    written = unfinished.put
    calls: list[str] = []

    def put(stack: str, *arguments: Any, **more: Any) -> None:
        if len(calls) == (1 if moment == "before the target has it" else 2):
            raise KeyboardInterrupt
        calls.append(stack)
        written(stack, *arguments, **more)

    monkeypatch.setattr(unfinished, "put", put)
    where: dict[str, Any] = {"cwd": both.project.root, "environ": both.env}
    with pytest.raises(KeyboardInterrupt):
        moving.apply(moving.plan("one", "two", ["go"], **where), **where)
    monkeypatch.undo()
    output = both.pulumi("up", "--yes", "--skip-preview", "--stack", "one", fails=True)
    assert "because it is protected" in output
    assert everything(both, app["object_id"], app["service_principal_id"]) == there
    looked = both.move("--dry-run")
    assert ("two has it already, by a move that was interrupted" in looked.stdout) == (
        moment != "before the target has it"
    )
    done = both.move("--yes")
    assert done.returncode == 0, done.stderr
    assert both.changes("one") == {} and both.changes("two") == {"update go": {"tags"}}
    both.pulumi("up", "--yes", "--skip-preview", "--stack", "two")
    assert both.secrets("two")["go_client_secret"] == secret
    assert not release.plan("one", ["go"], **where).forgotten
    assert '"protect": true' not in both.pulumi("stack", "export", "--stack", "two")


def test_an_app_of_the_same_name_in_the_other_stack_is_left_alone(both: Two) -> None:
    both.declare("one", "apps:\n  same:\n    display_name: Same one\n")
    both.declare("two", "apps:\n  same:\n    display_name: Same two\n")
    for stack in ("one", "two"):
        both.pulumi("up", "--yes", "--skip-preview", "--stack", stack)
    before = [both.pulumi("stack", "export", "--stack", stack) for stack in ("one", "two")]
    with pytest.raises(EngineError, match="two holds another app called same"):
        moving.plan("one", "two", ["same"], cwd=both.project.root, environ=both.env)
    refused = both.move("same", "--yes")
    assert refused.returncode != 0 and "two holds another app called same" in refused.stderr
    assert [both.pulumi("stack", "export", "--stack", stack) for stack in ("one", "two")] == before


def test_apps_do_not_move_to_another_tenant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def export(stack: str, *, secrets: bool = False, **_: Any) -> dict[str, Any]:
        urn, outputs = f"urn:pulumi:{stack}::p::", {"tenant_id": f"tenant of {stack}", "cloud": "public"}
        root = {"urn": f"{urn}{release.STACK}::p-{stack}", "type": release.STACK, "custom": False, "outputs": outputs}
        app = {"urn": f"{urn}{IDENTITY}::go", "type": IDENTITY, "custom": False, "parent": root["urn"]}
        return {"deployment": {"resources": [root, app] if stack == "one" else [root]}}

    monkeypatch.setattr(engine, "export", export)
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: python\n")
    with pytest.raises(EngineError, match="the stacks differ in tenant_id: tenant of one and tenant of two"):
        moving.plan("one", "two", ["go"], cwd=tmp_path, environ={})


def test_what_a_move_holds_in_clear_is_not_in_its_repr() -> None:
    source = release.Plan("one", ("go",), (), {}, {})
    assert "s3cret" not in repr(moving.Move(source, "two", (), (), ("a", "b"), {}, {"outputs": "s3cret"}))
