"""The distributions by themselves, each in a virtual environment that holds it and what it asks for."""

import json
import os
from pathlib import Path

import pytest
import requests

import entrant
import local_azure
from entrant.cli import COMMANDS
from tests.distributions import Environment, attempt, run, wheels

MEGABYTE = 2**20
GROUP = "/subscriptions/0c8a3f5e-1111-4222-8333-444455556666/resourceGroups/rg-installed"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheels of the base and of the local Azure."""
    return wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module")
def base(built: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """`pip install entrant`."""
    made = Environment(tmp_path_factory.mktemp("base"), built[0])
    made.add("entrant")
    return made


def test_the_base_puts_one_name_into_site_packages_and_little_beside_it(base: Environment) -> None:
    listing = json.loads(
        run(
            [
                str(base.python),
                "-c",
                "import json, importlib.metadata as m; print(json.dumps(m.packages_distributions()))",
            ]
        )
    )
    assert [name for name, owners in listing.items() if "entrant" in owners] == ["entrant"]
    assert not {"config", "facts", "policy", "components", "pulumi", "pydantic", "yaml"} & {
        path.stem for path in base.site.iterdir()
    }
    megabytes = base.size() / MEGABYTE
    assert megabytes < 40, f"the base takes {megabytes:.0f} MB"


def test_the_base_tells_its_version_explains_an_error_and_imports_nothing(base: Environment, tmp_path: Path) -> None:
    entrant_ = [str(base.command)]
    assert run([*entrant_, "--version"], cwd=tmp_path) == f"entrant {entrant.__version__}\n"
    assert "secret" in run([*entrant_, "explain", "AADSTS7000215"], cwd=tmp_path)
    heavy = (
        "import entrant, sys; print([m for m in ('pulumi', 'msal', 'azure', 'requests', 'click') if m in sys.modules])"
    )
    assert run([str(base.python), "-c", heavy], cwd=tmp_path) == "[]\n"


def test_an_installed_command_names_itself_as_it_was_called(base: Environment, tmp_path: Path) -> None:
    module = [str(base.python), "-m", "entrant"]
    (tmp_path / "empty.json").write_text("{}")
    for arguments in (
        ["--help"],
        ["explain", "AuthorizationFailed"],
        ["token", "app", "graph", "--outputs", "empty.json"],
    ):
        as_command, as_module = (
            attempt([*called, *arguments], cwd=tmp_path) for called in ([str(base.command)], module)
        )
        assert "python3 -m entrant" in as_module.stdout + as_module.stderr
        for of_command, of_module in ((as_command.stdout, as_module.stdout), (as_command.stderr, as_module.stderr)):
            assert of_command == of_module.replace("python3 -m entrant", "entrant")


def test_a_command_that_needs_an_extra_names_it(base: Environment, tmp_path: Path) -> None:
    rows = {name: row for name, row in COMMANDS.items() if row.extras}
    for name in ("validate", "rehearse", "local", "hold"):
        done = attempt([str(base.command), name, "--help"], cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr == (
            f"entrant: `entrant {name}` needs what the extra {' and the extra '.join(rows[name].extras)} of the package installs\n"
            f"  What to do: in the checkout of Entrant: pip install '.[{','.join(rows[name].extras)}]'"
            f"{' ./local_azure' if 'local' in rows[name].extras else ''}\n"
        )


def test_every_other_command_loads_with_the_base_alone(base: Environment, tmp_path: Path) -> None:
    modules = {name for name, row in COMMANDS.items() if not row.extras}
    code = "import importlib, sys; [importlib.import_module(f'entrant.commands.{each}') for each in sys.argv[1:]]"
    run([str(base.python), "-c", code, *sorted(modules)], cwd=tmp_path)


def test_the_base_alone_completes_what_needs_no_environment(base: Environment, tmp_path: Path) -> None:
    variables = {"_ENTRANT_COMPLETE": "bash_complete", "COMP_WORDS": "entrant token -s ", "COMP_CWORD": "3"}
    done = attempt([str(base.command)], cwd=tmp_path, **variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def test_the_base_alone_gets_a_token_from_any_folder(
    base: Environment, tmp_path: Path, azure: local_azure.LocalAzure
) -> None:
    token = run([str(base.command), "token", "graph"], cwd=tmp_path, **azure.environment()).strip()
    answer = requests.get(
        f"{azure.url}/v1.0/organization",
        headers={"Authorization": f"Bearer {token}"},
        verify=azure.trust()["REQUESTS_CA_BUNDLE"],
        timeout=60,
    )
    assert answer.json()["value"][0]["id"] == azure.tenant_id


def test_the_results_of_a_query_are_as_they_came(
    base: Environment, tmp_path: Path, azure: local_azure.LocalAzure
) -> None:
    workspace = f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/law"
    azure.ensure([workspace])
    query = [str(base.command), "logs", "query", "-w", workspace, 'print x="run python3 -m entrant now"']
    for form, shown in (
        ("csv", "x\nrun python3 -m entrant now\n"),
        ("json", '[{"x": "run python3 -m entrant now"}]\n'),
    ):
        assert run([*query, "--format", form], cwd=tmp_path, **azure.environment()) == shown


def test_the_local_azure_alone_serves_azure_identity(
    built: list[Path], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    made = Environment(tmp_path_factory.mktemp("local"), *built)
    made.add("entrant-local-azure")
    assert not (made.site / "pulumi").exists()
    try:
        run([str(made.command), "local", "start"], cwd=tmp_path)
        settings = json.loads(run([str(made.command), "local", "env", "--format", "json"], cwd=tmp_path))
        code = (
            "from azure.identity import EnvironmentCredential as C;"
            "print(C(disable_instance_discovery=True).get_token('https://graph.microsoft.com/.default').token)"
        )
        assert run([str(made.python), "-c", code], cwd=tmp_path, **settings).count(".") == 2
        of_stack = attempt([str(made.command), "local", "status", "-s", "dev"], cwd=tmp_path)
        assert (of_stack.returncode, of_stack.stderr) == (
            2,
            "entrant: `--stack` needs what the extra pulumi of the package installs\n"
            "  What to do: in the checkout of Entrant: pip install '.[pulumi]'; or name the local Azure's directory with --state\n",
        )
    finally:
        run([str(made.command), "local", "stop"], cwd=tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".entrant"]
