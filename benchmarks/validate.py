"""How long `entrant validate` takes for 1,000 and 10,000 apps in one file, beside check-jsonschema with the project's own schema.

    .entrant/venv/bin/python -m benchmarks.validate [APPS …]

check-jsonschema knows the form of a file alone; `validate` also what holds between its parts, and the tenant's rules. Whole
commands, in turn, round after round; seconds of the clock and of CPU are medians, ratios are taken round by round.
check-jsonschema is installed from a package index below `.entrant/benchmarks/`.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks import processes
from benchmarks.tokens import HOME, installed
from entrant.project import ROOT

CHECK_JSONSCHEMA = "check-jsonschema==0.39.0"
ROUNDS = {1_000: 5, 10_000: 3}
_APP = """\
  app-{0:05}:
    display_name: App {0}
    secret: {{every: 90d, overlap: 7d}}
    federated:
      - {{github: {{repository: contoso/app-{0}, environment: dev}}}}
    roles:
      - {{role: Reader, scope: logs}}
      - {{role: Monitoring Metrics Publisher, scope: vm}}
    permissions:
      - {{api: Microsoft Graph, application: [User.Read.All]}}
"""
_GROUP = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg/providers"
_SCOPES = f"""\
scopes:
  logs: {_GROUP}/Microsoft.OperationalInsights/workspaces/law
  vm: {_GROUP}/Microsoft.Compute/virtualMachines/vm
apps:
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.validate", description="One file of many apps, checked.")
    parser.add_argument("apps", type=int, nargs="*", default=list(ROUNDS), help="how many (default: 1000 10000)")
    sizes = parser.parse_args().apps
    other = installed(HOME / "check-jsonschema", CHECK_JSONSCHEMA, "check-jsonschema")
    print("| apps | check-jsonschema | `entrant validate` |\n|---|---|---|")
    for apps in sizes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "many.yaml"
            file.write_text(_SCOPES + "".join(map(_APP.format, range(apps))), "utf-8")
            schema = str(ROOT / "config" / "environment.schema.json")
            commands = {
                "other": [str(other), "--schemafile", schema, str(file)],
                "own": [sys.executable, "-m", "entrant", "validate", str(file)],
            }
            rounds = [
                {name: processes.run(each, cwd=ROOT, env=os.environ)[0] for name, each in commands.items()}
                for _ in range(ROUNDS.get(apps, 3))
            ]
        cells = []
        for name in commands:
            times = (statistics.median(each[name].seconds(what) for each in rounds) for what in ("wall", "cpu"))
            ratios = (
                statistics.median(each[name].seconds(what) / each["other"].seconds(what) for each in rounds)
                for what in ("wall", "cpu")
            )
            shown = " / ".join(f"{seconds:.1f}" for seconds in times)
            cells.append(shown + (f" ({' / '.join(f'{ratio:.2f}' for ratio in ratios)})" if name == "own" else ""))
        print(f"| {apps:,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
