"""What `wait`, `check`, `doctor`, `explain` share."""

import os
from collections.abc import Callable, Sequence
from typing import Any, get_args

import click

from entrant import outputs
from entrant.access import trials
from entrant.facts.clouds import Cloud
from entrant.tokens import clouds

MARKS = {"granted": "✓", "seen": "○", "ok": "✓", "pending": "…", "denied": "✗", "problem": "✗", "unknown": "?"}


probe_option = click.option(
    "--probe",
    type=click.Choice(["read", "write"]),
    default="read",
    show_default=True,
    help="With write, custom metrics are proved by sending one.",
)


def apps_and_clouds(
    found: outputs.Outputs, apps: tuple[str, ...]
) -> tuple[list[outputs.App], Callable[[outputs.App], Cloud]]:
    chosen = [found.app(name) for name in apps] if apps else list(found.apps.values())
    cloud = clouds.resolve(found.cloud, os.environ)
    return chosen, lambda app: cloud


def records(proofs: Sequence[trials.Proof]) -> dict[str, Any]:
    """Proofs for JSON: `counts` by state, and `grants`."""
    names = ("app", "layer", "target", "state", "evidence", "next_step")
    return {
        "counts": {state: sum(proof.state == state for proof in proofs) for state in get_args(trials.State)},
        "grants": [{name: getattr(proof, name) for name in names} for proof in proofs],
    }


def counted(proofs: list[trials.Proof]) -> str:
    """How many were tried, seen, and so on, in words."""
    words = {
        "granted": "work, tried as the app",
        "seen": "seen from outside, not tried as the app",
        "pending": "pending",
        "denied": "denied",
        "unknown": "neither tried nor seen",
    }
    counts = {state: sum(proof.state == state for proof in proofs) for state in words}
    return ", ".join(f"{count} {words[state]}" for state, count in counts.items() if count) or "nothing is declared"
