"""Apps made, looked at and removed: Entrant beside Terraform and plain Pulumi, at the same local Azure.

    .entrant/venv/bin/python -m benchmarks.deployments --apps 20 --rounds 3 [--latency] [--quotas] [--parallel 64]

An app is an application, its service principal and a client secret. Contenders that are not found are left out:
`terraform` and `terraform-provider-azuread` (on PATH, or TERRAFORM and TERRAFORM_PROVIDER_AZUREAD), the real plugin
`pulumi-resource-azuread` (on PATH, or PULUMI_RESOURCE_AZUREAD); with none of it plain Pulumi and Entrant run with the stand-ins.
They run in turn, round after round, each from an empty directory to an empty one; figures are medians, ratios go round by round.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import local_azure
from benchmarks import processes
from benchmarks.processes import Cost
from entrant import engine
from entrant.project import SOURCE as ROOT
from entrant.rehearsal import environ
from local_azure import plugins

OPERATIONS = {
    "create": "create",
    "same": "plan, no change (Terraform refreshes, Pulumi does not)",
    "refresh": "plan, no change, with refresh",
    "alone": "plan, no change, without refresh",
    "destroy": "destroy",
}
_TERRAFORM = """\
terraform {{
  required_providers {{ azuread = {{ source = "hashicorp/azuread" }} }}
}}
locals {{ apps = toset([for n in range({apps}) : format("app-%04d", n)]) }}
resource "azuread_application" "app" {{
  for_each     = local.apps
  display_name = each.key
}}
resource "azuread_service_principal" "app" {{
  for_each  = local.apps
  client_id = azuread_application.app[each.key].client_id
}}
resource "azuread_application_password" "app" {{
  for_each       = local.apps
  application_id = azuread_application.app[each.key].id
  end_date       = "2099-01-01T00:00:00Z"
}}
"""
_PLAIN = """\
import pulumi
import pulumi_azuread as azuread

for number in range({apps}):
    name = f"app-{{number:04}}"
    app = azuread.Application(name, display_name=name)
    azuread.ServicePrincipal(name, client_id=app.client_id)
    azuread.ApplicationPassword(name, application_id=app.id, end_date="2099-01-01T00:00:00Z")
    pulumi.export(f"{{name}}_client_id", app.client_id)
"""


@dataclass
class Contender:
    """Somebody who makes the apps: the command of each operation, run in a folder of its own."""

    name: str
    folder: Path
    env: Mapping[str, str]
    commands: Mapping[str, list[str]]


@dataclass
class Figures:
    """What a contender's operations cost, and how many requests each made, round by round."""

    name: str
    costs: dict[str, list[Cost]] = field(default_factory=dict)
    requests: dict[str, list[int]] = field(default_factory=dict)

    def median(self, operation: str, what: str) -> float:
        """Seconds of an operation, `wall` or `cpu`."""
        return statistics.median(cost.seconds(what) for cost in self.costs[operation])

    def ratio(self, other: "Figures", operation: str, what: str) -> float:
        """How many times as much as another's, round by round."""
        pairs = zip(self.costs[operation], other.costs[operation], strict=True)
        return statistics.median(mine.seconds(what) / its.seconds(what) for mine, its in pairs)


def found(variable: str, name: str) -> str | None:
    """A program that a variable names, or that is on PATH."""
    return os.environ.get(variable) or shutil.which(name)


def terraform(folder: Path, azure: local_azure.LocalAzure, apps: int, parallel: int) -> Contender | None:
    """Terraform with a provider that is there already; nothing is downloaded."""
    program = found("TERRAFORM", "terraform")
    provider = found("TERRAFORM_PROVIDER_AZUREAD", "terraform-provider-azuread")
    if program is None or provider is None:
        return None
    (folder / "main.tf").write_text(_TERRAFORM.format(apps=apps))
    overrides = f'provider_installation {{\n  dev_overrides {{ "hashicorp/azuread" = "{Path(provider).parent}" }}\n'
    (folder / "terraform.rc").write_text(overrides + "  direct {}\n}\n")
    env = environ(azure.environment()) | {"TF_CLI_CONFIG_FILE": str(folder / "terraform.rc"), "CHECKPOINT_DISABLE": "1"}
    most, quiet = f"-parallelism={parallel}", ["-no-color", "-input=false"]
    plan = [program, "plan", *quiet, most, "-detailed-exitcode"]
    commands = {
        "create": [program, "apply", *quiet, most, "-auto-approve"],
        "same": plan,
        "refresh": plan,
        "alone": [*plan, "-refresh=false"],
        "destroy": [program, "destroy", *quiet, most, "-auto-approve"],
    }
    return Contender("Terraform", folder, env, commands)


def pulumi(name: str, folder: Path, azure: local_azure.LocalAzure, parallel: int, real: str | None) -> Contender:
    """A Pulumi project in a folder that holds its program, with a state of its own and the real plugin or the stand-ins."""
    (folder / "Pulumi.yaml").write_text("name: benchmark\nruntime: python\n")
    (folder / "state").mkdir()
    home = folder / "home"
    plugins.install(home, sys.executable, ROOT, [each for each in plugins.NAMES if not (real and each == "azuread")])
    if real:
        os.symlink(real, folder / "pulumi-resource-azuread")
    base = environ(
        azure.environment()
        | {
            "PULUMI_HOME": str(home),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "benchmark",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PYTHONPATH": str(ROOT),
        }
    )
    path = [each for each in base["PATH"].split(os.pathsep) if not (Path(each) / "pulumi-resource-azuread").exists()]
    env = base | {"PATH": os.pathsep.join([str(folder), *path] if real else path)}
    program = str(engine.find(env))
    common = ["--non-interactive", "--stack", "dev", "--parallel", str(parallel)]
    processes.run([program, "stack", "init", "dev"], cwd=folder, env=env)
    preview = [program, "preview", *common, "--expect-no-changes"]
    commands = {
        "create": [program, "up", "--yes", "--skip-preview", *common],
        "same": preview,
        "refresh": [*preview, "--refresh"],
        "alone": preview,
        "destroy": [program, "destroy", "--yes", "--skip-preview", *common],
    }
    return Contender(f"{name}{'' if real else ', stand-ins'}", folder, env, commands)


def contenders(
    folder: Path, azure: local_azure.LocalAzure, apps: int, parallel: int, with_stand_ins: bool
) -> Iterator[Contender]:
    """Whoever is found, each with an empty folder; the first is what the ratios are to."""

    def own(name: str) -> Path:
        made = folder / name
        made.mkdir()
        return made

    if one := terraform(own("terraform"), azure, apps, parallel):
        yield one
    real = found("PULUMI_RESOURCE_AZUREAD", "pulumi-resource-azuread")
    for plugin in dict.fromkeys([real, None] if with_stand_ins else [real]):
        kind = "real" if plugin else "stand-in"
        plain = own(f"plain-{kind}")
        (plain / "__main__.py").write_text(_PLAIN.format(apps=apps))
        yield pulumi("plain Pulumi", plain, azure, parallel, plugin)
        yield entrant(own(f"entrant-{kind}"), azure, apps, parallel, plugin)


def entrant(
    folder: Path,
    azure: local_azure.LocalAzure,
    apps: int,
    parallel: int,
    real: str | None,
    *,
    first: int = 0,
    more: str = "",
) -> Contender:
    """Entrant's program in an empty folder, and an environment of so many apps, numbered from `first` on; `more` of each."""
    shutil.copy(ROOT / "__main__.py", folder)
    (folder / "config").mkdir()
    numbers = range(first, first + apps)
    declared = [f"  app-{number:04}:\n    secret: {{every: 90d, overlap: 7d}}\n{more}" for number in numbers]
    (folder / "config" / "dev.yaml").write_text("apps:\n" + "".join(declared))
    return pulumi("Entrant", folder, azure, parallel, real)


def measure(azure: local_azure.LocalAzure, contender: Contender, into: Figures, operations: list[str]) -> None:
    """Run a contender through these operations."""
    for operation in operations:
        before = _requests(azure)
        cost, _ = processes.run(contender.commands[operation], cwd=contender.folder, env=contender.env)
        into.costs.setdefault(operation, []).append(cost)
        into.requests.setdefault(operation, []).append(_requests(azure) - before)
        shown = f"{cost.wall:6.1f} s, {cost.cpu:6.1f} CPU, {cost.peak:4.0f} MB"
        print(f"{contender.name:<24} {operation:<8} {shown}", file=sys.stderr)


def _requests(azure: local_azure.LocalAzure) -> int:
    newest = azure.requests()[-1:]
    return int(newest[0]["number"]) if newest else 0


@dataclass(frozen=True)
class Size:
    """What is measured: how many apps, how often, and how the local Azure behaves."""

    apps: int
    rounds: int = 3
    parallel: int = 64
    latency: bool = False
    quotas: bool = False
    operations: tuple[str, ...] = ("create", "same", "refresh")

    @property
    def title(self) -> str:
        """In words."""
        pace = [word for word, on in (("the real cloud's latency", self.latency), ("its quotas", self.quotas)) if on]
        return f"{self.apps} apps{', with ' if pace else ''}{' and '.join(pace)}"


def run(size: Size, *, with_stand_ins: bool = False) -> list[Figures]:
    """The figures of one size, Terraform's or plain Pulumi's first."""
    with tempfile.TemporaryDirectory(prefix="entrant-benchmark-") as name:
        folder = Path(name)
        azure = local_azure.start(folder / "azure")
        figures: dict[str, Figures] = {}
        try:
            for number in range(size.rounds):
                own = folder / f"round-{number}"
                own.mkdir()
                for each in contenders(own, azure, size.apps, size.parallel, with_stand_ins):
                    azure.reset()
                    azure.admin("PATCH", "settings", {"latency": 1 if size.latency else None, "quotas": size.quotas})
                    measure(azure, each, figures.setdefault(each.name, Figures(each.name)), list(size.operations))
        finally:
            local_azure.stop(folder / "azure")
        return list(figures.values())


def table(size: Size, found: list[Figures]) -> str:
    """The figures as Markdown: seconds of the clock / of CPU, and in brackets their ratios to the first."""
    lines = [f"| {size.title} | {' | '.join(each.name for each in found)} |", "|---" * (len(found) + 1) + "|"]
    for operation in size.operations:
        cells = []
        for each in found:
            wall, cpu = (each.median(operation, what) for what in ("wall", "cpu"))
            ratios = " / ".join(f"{each.ratio(found[0], operation, what):.2f}" for what in ("wall", "cpu"))
            cells.append(f"{wall:.1f} / {cpu:.1f}" + ("" if each is found[0] else f" ({ratios})"))
        lines.append(f"| {OPERATIONS[operation]} | {' | '.join(cells)} |")
    for operation in size.operations:
        cells = []
        for each, before in zip(found, [None, *found], strict=False):
            over = before if before and each.name.startswith("Entrant") else None
            ratios = " / ".join(f"{each.ratio(over, operation, what):.2f}" for what in ("wall", "cpu")) if over else ""
            cells.append(ratios)
        lines.append(f"| {operation}, to plain Pulumi | {' | '.join(cells)} |")
    for operation in size.operations:
        counts = [f"{statistics.median(each.requests[operation]) / size.apps:.1f}" for each in found]
        lines.append(f"| requests per app, {operation} | {' | '.join(counts)} |")
    peaks = [f"{max(cost.peak for costs in each.costs.values() for cost in costs):.0f} MB" for each in found]
    lines.append(f"| memory of the largest process | {' | '.join(peaks)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.deployments", description="Apps made, looked at and removed.")
    parser.add_argument("--apps", type=int, nargs="+", default=[20], help="default: 20")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender runs (default: %(default)s)")
    parser.add_argument("--parallel", type=int, default=64, help="resources at once, of all (default: %(default)s)")
    parser.add_argument("--latency", action="store_true", help="answers take as long as the real cloud's")
    parser.add_argument("--quotas", action="store_true", help="no more requests than the real cloud takes")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=list(Size.operations))
    parser.add_argument("--stand-ins", action="store_true", help="with the stand-ins too, besides the real plugin")
    options = parser.parse_args()
    for apps in options.apps:
        size = Size(apps, options.rounds, options.parallel, options.latency, options.quotas, tuple(options.operations))
        print(table(size, run(size, with_stand_ins=options.stand_ins)), end="\n\n")


if __name__ == "__main__":
    main()
