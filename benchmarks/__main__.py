"""All measurements that compare Entrant with others, and the page that they make.

    .entrant/venv/bin/python -m benchmarks [--quick] [--az] [--growth]

Writes `benchmarks/results.md` and `benchmarks/results.svg`: about a quarter of an hour on a quiet machine of two cores. `--quick`
tries that everything runs, in a minute or two, and writes to `.entrant/benchmarks/`. `--az` measures tokens too, and installs the
Azure CLI for it. `--growth` adds how CPU time and memory grow from 10 to 3,000 apps, what quotas make of it, and a day's memory:
some hours.
"""

import argparse
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from html import escape

from benchmarks import deployments
from benchmarks.deployments import Figures, Size, found
from entrant import engine
from entrant.project import SOURCE, STATE

GROWTH: dict[str, list[tuple[str, ...]]] = {
    "Growth": [("growth", "--apps", "10", "30", "100", "300", "--divide", "300")],
    "Growth with states written once, past 300 apps in stacks of 300 side by side": [
        ("growth", "--once", "--apps", "10", "30", "100", "300", "1000", "3000")
    ],
    "Quotas": [("throttling", "--apps", "100", "300"), ("throttling", "--apps", "100", "--drained")],
    "A day": [("day",)],
}
QUICK_GROWTH: dict[str, list[tuple[str, ...]]] = {
    "Growth": [("growth", "--apps", "2", "4", "--per-stack", "2")],
    "Quotas": [("throttling", "--apps", "2")],
    "A day": [("day", "--hours", "1")],
}
SIZES = (Size(20), Size(20, latency=True), Size(100, rounds=1))
QUICK = (Size(2, rounds=1, latency=True),)
COLORS = ("#5c4ee5", "#8a8a8a", "#0a7d5a", "#b5b5b5", "#6cc3a5")


def main() -> None:
    """Measure, and write the page and its picture."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure Entrant beside others; write the page.")
    parser.add_argument("--quick", action="store_true", help="try that everything runs")
    parser.add_argument("--az", action="store_true", help="tokens too, beside the Azure CLI, which is installed for it")
    parser.add_argument("--growth", action="store_true", help="growth, quotas and a day's memory too: some hours")
    options = parser.parse_args()
    folder = STATE / "benchmarks" if options.quick else SOURCE / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    measured = [(size, deployments.run(size)) for size in (QUICK if options.quick else SIZES)]
    own = [output("validate")] + ([output("tokens", "5" if options.quick else "21")] if options.az else [])
    growth = (QUICK_GROWTH if options.quick else GROWTH) if options.growth else {}
    own += [
        "\n\n".join([f"## {title}", *(output(*command) for command in commands)]) for title, commands in growth.items()
    ]
    (folder / "results.svg").write_text(picture(measured), "utf-8")
    (folder / "results.md").write_text(page(measured, own, load), "utf-8")
    print(folder / "results.md")


def output(module: str, *arguments: str) -> str:
    """What one of the other measurements prints."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.run(command, cwd=SOURCE, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def page(measured: list[tuple[Size, list[Figures]]], own: list[str], load: float) -> str:
    """The page."""
    tables = "\n\n".join(deployments.table(size, figures) for size, figures in measured)
    return f"""# Results

Made by `python -m benchmarks`, {datetime.now(UTC):%Y-%m-%d}: {platform.system()} {platform.machine()}, {os.cpu_count()} cores (load
{load:.1f} when it began), Python {platform.python_version()}, {versions()}.

Seconds of the clock / CPU seconds of all processes, medians; in brackets their ratios to the first column, round by round. An app
is an application, its service principal and a client secret; all contenders have the same local Azure and work on as many resources
at once ({measured[0][0].parallel}). Terraform's plan refreshes, which a preview of Pulumi does not unless it is told.

![CPU and clock seconds](results.svg)

{tables}

## Others

{f"{chr(10)}{chr(10)}".join(f"```{chr(10)}{text}{chr(10)}```" if "|" not in text else text for text in own)}
"""


def versions() -> str:
    """Whom it was compared with, and who was not found."""

    def first_line(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()

    parts = [f"Pulumi {first_line(str(engine.find()), 'version')}"]
    program = found("TERRAFORM", "terraform")
    provider = found("TERRAFORM_PROVIDER_AZUREAD", "terraform-provider-azuread")
    parts.append(first_line(program, "version") if program and provider else "Terraform or its provider not found")
    real = found("PULUMI_RESOURCE_AZUREAD", "pulumi-resource-azuread")
    parts.append("the real azuread plugin" if real else "the azuread stand-in, the real plugin not found")
    return ", ".join(parts)


def picture(measured: list[tuple[Size, list[Figures]]]) -> str:
    """Bars of the clock (full) and of CPU (light) for each operation of each size, as SVG."""
    rows: list[str] = []
    at = 10
    for size, figures in measured:
        for operation in size.operations:
            rows.append(f'<text x="10" y="{at + 12}" font-weight="bold">{escape(f"{size.title}: {operation}")}</text>')
            at += 20
            most = max(each.median(operation, what) for each in figures for what in ("wall", "cpu"))
            for each, color in zip(figures, COLORS, strict=False):
                rows.append(f'<text x="190" y="{at + 13}" text-anchor="end">{escape(each.name)}</text>')
                for place, what in enumerate(("wall", "cpu")):
                    value = each.median(operation, what)
                    y, opacity = at + 8 * place, (1, 0.5)[place]
                    rows.append(
                        f'<rect x="200" y="{y}" width="{max(1.0, 420 * value / most):.1f}" height="7" fill="{color}" '
                        f'opacity="{opacity}"/>'
                        f'<text x="{206 + 420 * value / most:.1f}" y="{y + 7}" font-size="8">{value:.1f} s {what}</text>'
                    )
                at += 20
            at += 8
    style = 'font-family="sans-serif" font-size="11"'
    inside = "\n".join(rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{at}" {style}>\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{inside}\n</svg>\n'
    )


if __name__ == "__main__":
    main()
