"""How long `validate` takes for 1,000 apps in one file, beside starting the interpreter and importing the package.

    python3 -m benchmarks.validate

Prints seconds and the ratio, medians of five runs made in turn, so that a slow moment of the machine meets all alike.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from entrant.project import ROOT

APPS = 1000
_APP = """\
  app-{0:04}:
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
_CHECK = """\
import sys, time
from entrant import config
started = time.perf_counter()
report = config.check(sys.argv[1])
assert report.environment is not None and len(report.environment.apps) == int(sys.argv[2]), report.problems
print(time.perf_counter() - started)
"""
_START = """\
import time
started = time.perf_counter()
from entrant import config
print(time.perf_counter() - started)
"""


def seconds(code: str, *arguments: str) -> float:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", code, *arguments]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "thousand.yaml"
        file.write_text(_SCOPES + "".join(map(_APP.format, range(APPS))), "utf-8")
        pairs = [(seconds(_START), seconds(_CHECK, str(file), str(APPS))) for _ in range(5)]
    starts, checks = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"import config           {starts:.2f} s")
    print(f"validate {APPS:,} apps     {checks:.2f} s")
    print(f"ratio                   {checks / starts:.1f}")


if __name__ == "__main__":
    main()
