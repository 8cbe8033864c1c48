"""Whether memory stays flat: a day of a service that asks for a token and sends a metric each minute, in some minutes.

    .entrant/venv/bin/python -m benchmarks.day [--hours 24]

The local Azure's clock is put forward by a minute each time. This program is the service, with the library as a service has it; it
takes a new credential each hour, since its own clock stands still and the last token would look valid for longer than it is. What
is told is the memory that each process has (RSS, Linux), hour by hour, and its growth from the end of the third hour on.
"""

import argparse
import datetime as dt
import os
import tempfile
from pathlib import Path

import entrant
import local_azure
from entrant.access import monitor

MACHINE = "/subscriptions/{}/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm"
WARM = 3
"""Hours after which nothing new is loaded any more."""


def measure(hours: int) -> list[tuple[float, float]]:
    """MB of the local Azure and of this program, at the start and at the end of each hour."""
    with tempfile.TemporaryDirectory(prefix="entrant-day-") as name:
        azure = local_azure.start(Path(name) / "azure", propagation=0)
        try:
            machine = MACHINE.format(azure.subscription_id)
            who = azure.create_identity("service", roles=[("Monitoring Metrics Publisher", machine)])
            os.environ.update(azure.environment(who))
            found = [(_memory(azure.pid), _memory(os.getpid()))]
            for hour in range(hours):
                credential = entrant.credential(entrant.from_environment())
                for minute in range(60):
                    offset = dt.timedelta(hours=hour, minutes=minute + 1)
                    azure.admin("PATCH", "settings", {"clock": {"offset": offset.total_seconds()}})
                    bearer = credential.get_token("https://monitoring.azure.com//.default")
                    moment = f"{dt.datetime.now(dt.UTC) + offset:%Y-%m-%dT%H:%M:%SZ}"
                    sample = monitor.Sample("load", float(minute))
                    bodies = [request.body | {"time": moment} for request in monitor.metrics([sample])]
                    monitor.send_metrics(credential.cloud, bearer.token, machine, bodies)
                found.append((_memory(azure.pid), _memory(os.getpid())))
            return found
        finally:
            local_azure.stop(Path(name) / "azure")


def _memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))


def table(found: list[tuple[float, float]]) -> str:
    """The figures as Markdown."""
    shown = [hour for hour in (0, 1, WARM, 6, 12, 18, len(found) - 1) if hour < len(found)]
    shown = sorted(set(shown))
    lines = [f"| MB after | {' | '.join(f'{hour} h' for hour in shown)} | growth after {WARM} h |"]
    lines.append("|---" * (len(shown) + 2) + "|")
    for place, name in enumerate(("local Azure", "service: token and metric each minute")):
        values = [each[place] for each in found]
        grown = f"{values[-1] - values[WARM]:+.1f} MB" if len(values) > WARM + 1 else "-"
        lines.append(f"| {name} | {' | '.join(f'{values[hour]:.1f}' for hour in shown)} | {grown} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.day", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=int, default=24, help="default: %(default)s")
    print(table(measure(parser.parse_args().hours)))


if __name__ == "__main__":
    main()
