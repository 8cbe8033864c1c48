"""How CPU time and memory grow with the number of apps, and how large a stack is best.

    .entrant/venv/bin/python -m benchmarks.growth [--apps 10 30 100 300 1000 3000] [--per-stack 300] [--divide 300] [--once]

An app is an application, its service principal and a client secret. More apps than `--per-stack` are several stacks, whose `up`s
run side by side, as many at once as there are cores. The exponent is the slope of the logarithm of CPU seconds over that of apps:
1.0 is growth in proportion. `--divide` makes so many apps in stacks of several sizes, and says what an app costs in each.
"""

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import local_azure
from benchmarks import deployments, processes
from benchmarks.processes import Cost
from entrant import engine

OPERATIONS = ("create", "same")


@dataclass(frozen=True)
class Measured:
    """What so many apps cost in so many stacks, by operation: CPU of all stacks, and the largest process of each kind in any."""

    apps: int
    stacks: int
    costs: dict[str, Cost]
    server: float
    """MB of the local Azure's largest size."""


def measure(apps: int, per_stack: int, *, parallel: int = 64, once: bool = False) -> Measured:
    """Make so many apps in stacks of at most that size, from nothing, and preview them without changes."""
    stacks = math.ceil(apps / per_stack)
    sizes = [apps // stacks + (number < apps % stacks) for number in range(stacks)]
    with tempfile.TemporaryDirectory(prefix="entrant-growth-") as name:
        azure = local_azure.start(Path(name) / "azure")
        try:
            made = [_stack(Path(name), azure, number, size, parallel) for number, size in enumerate(sizes)]
            costs = {}
            for operation in OPERATIONS:
                with ThreadPoolExecutor(os.cpu_count()) as pool:
                    costs[operation] = _together(list(pool.map(partial(_run, operation, once), made)))
                seconds = f"{costs[operation].wall:6.1f} s, {costs[operation].cpu:6.1f} CPU"
                print(f"{apps} apps, {stacks} stacks: {operation:<8} {seconds}", file=sys.stderr, flush=True)
            status = Path(f"/proc/{azure.pid}/status")
            peak = (
                [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
                if status.exists()
                else []
            )
            return Measured(apps, stacks, costs, int(peak[0].split()[1]) / 1024 if peak else 0.0)
        finally:
            local_azure.stop(Path(name) / "azure")


def _stack(root: Path, azure: local_azure.LocalAzure, number: int, apps: int, parallel: int) -> deployments.Contender:
    folder = root / f"stack-{number}"
    folder.mkdir()
    real = deployments.found("PULUMI_RESOURCE_AZUREAD", "pulumi-resource-azuread")
    return deployments.entrant(folder, azure, apps, parallel, real, first=number * apps)


def _run(operation: str, once: bool, stack: deployments.Contender) -> Cost:
    env = {**stack.env, **(engine.ONE_WRITE if once else {})}
    return processes.run(stack.commands[operation], cwd=stack.folder, env=env)[0]


def _together(costs: Sequence[Cost]) -> Cost:
    """CPU in sum; of the clock the longest, and of memory the largest."""
    kinds = {kind for cost in costs for kind in cost.peaks}
    return Cost(
        max(cost.wall for cost in costs),
        sum(cost.cpu for cost in costs),
        max(cost.peak for cost in costs),
        {kind: max(cost.peaks.get(kind, 0.0) for cost in costs) for kind in kinds},
    )


def exponent(found: Sequence[Measured], operation: str) -> float:
    """The slope of log CPU over log apps, by least squares; what a stack costs without apps is part of it."""
    xs, ys = ([math.log(value) for value in values] for values in _points(found, operation))
    middle = sum(xs) / len(xs), sum(ys) / len(ys)
    over = sum((x - middle[0]) * (y - middle[1]) for x, y in zip(xs, ys, strict=True))
    return over / sum((x - middle[0]) ** 2 for x in xs)


def _points(found: Sequence[Measured], operation: str) -> tuple[list[float], list[float]]:
    return [float(each.apps) for each in found], [each.costs[operation].cpu for each in found]


def table(found: Sequence[Measured]) -> str:
    """CPU and memory by size, as Markdown."""
    kinds = [kind for kind in dict.fromkeys(processes.KINDS.values()) if any(kind in _peaks(each) for each in found)]
    lines = [f"| | {' | '.join(f'{each.apps:,} apps' for each in found)} |", "|---" * (len(found) + 1) + "|"]
    lines.append(f"| stacks | {' | '.join(str(each.stacks) for each in found)} |")
    for operation in OPERATIONS:
        cells = [f"{each.costs[operation].cpu:.1f} s ({each.costs[operation].cpu / each.apps:.2f})" for each in found]
        lines.append(f"| {operation}: CPU (per app) | {' | '.join(cells)} |")
    for kind in kinds:
        lines.append(f"| memory: {kind} | {' | '.join(f'{_peaks(each).get(kind, 0):.0f} MB' for each in found)} |")
    lines.append(f"| memory: local Azure | {' | '.join(f'{each.server:.0f} MB' for each in found)} |")
    if len(found) > 1:
        slopes = ", ".join(f"{operation} {exponent(found, operation):.2f}" for operation in OPERATIONS)
        lines.append(f"\nExponent of CPU over apps: {slopes}.")
        ratios = ", ".join(
            f"{after.apps:,} to {before.apps:,}: {after.costs['create'].cpu / before.costs['create'].cpu:.1f}"
            for before, after in pairwise(found)
        )
        lines.append(f"Create, ratios of CPU: {ratios}.")
    return "\n".join(lines)


def _peaks(each: Measured) -> dict[str, float]:
    return {
        kind: peak for cost in each.costs.values() for kind, peak in sorted(cost.peaks.items(), key=lambda one: one[1])
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.growth", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--apps", type=int, nargs="*", default=[10, 30, 100, 300], help="default: 10 30 100 300")
    parser.add_argument("--per-stack", type=int, default=300, help="apps in a stack at most (default: %(default)s)")
    parser.add_argument("--divide", type=int, help="so many apps, in stacks of 10, 30, 100 and so on")
    parser.add_argument("--once", action="store_true", help="write states once, at the end, as rehearsals do")
    options = parser.parse_args()
    if options.apps:
        print(table([measure(apps, options.per_stack, once=options.once) for apps in options.apps]), flush=True)
    if options.divide:
        sizes = [size for size in (10, 30, 100, 300, 1000) if size <= options.divide]
        print(table([measure(options.divide, size, once=options.once) for size in sizes]))


if __name__ == "__main__":
    main()
