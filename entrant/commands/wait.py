"""`entrant wait`: until every declared grant works."""

import json
import os
import threading
from pathlib import Path

import click

from entrant import engine
from entrant.access import deployer as deployers
from entrant.access import trials
from entrant.commands import options
from entrant.commands.proofs import MARKS, apps_and_clouds, counted, probe_option, records
from entrant.errors import NotReadyError


@click.command()
@click.argument("apps", nargs=-1, shell_complete=options.complete_apps)
@options.stack
@options.cwd
@probe_option
@click.option("--timeout", type=click.FloatRange(0), default=3600.0, show_default=True, help="Seconds to wait at most.")
@click.option(
    "--successes", type=click.IntRange(1, 100), default=trials.SUCCESSES, show_default=True, help="Tokens in a row."
)
@options.form("text", "json", default="text", help="JSON is what `check` prints of grants, and whether all is ready.")
def wait(
    apps: tuple[str, ...], stack: str, cwd: Path | None, probe: str, timeout: float, successes: int, form: str
) -> int:
    """Wait until every declared grant works, tried as the service principals themselves.

    What cannot be tried as the app (it has no credential here, a consent for users, an owner, a group) is looked for as whoever
    is signed in, and told as seen, not tried. Exit code 9 when the time is up, at once where waiting cannot help, and
    where something could be neither tried nor seen.

    \b
    pulumi up -s dev && python3 -m entrant wait -s dev
    python3 -m entrant wait -s dev log-reader --timeout 600
    """
    found = engine.stack_outputs(stack, cwd=cwd)
    chosen, cloud = apps_and_clouds(found, apps)
    voice = threading.Lock()

    def tell(proof: trials.Proof, elapsed: float) -> None:
        with voice:
            options.remark(f"{MARKS[proof.state]} {elapsed:5.1f} s  {proof.app}: {proof.target}: {proof.in_words}")

    proofs = trials.wait(
        chosen,
        cloud,
        deployer=deployers.find(cloud(chosen[0]), os.environ) if chosen else None,
        write=probe == "write",
        stack=stack,
        seconds=timeout,
        outputs=found,
        successes=successes,
        tell=tell,
    )
    missing = [proof for proof in proofs if proof.state not in ("granted", "seen")]
    ready = all(proof.state == "granted" for proof in proofs)
    if form == "json":
        click.echo(json.dumps({"stack": stack, "ready": ready, **records(proofs)}))
    if missing:
        listed = "; ".join(f"{proof.app}: {proof.target} ({proof.in_words}: {proof.evidence})" for proof in missing)
        raise NotReadyError(f"still missing: {listed}", next_step=missing[0].next_step)
    options.remark(f"{'ready' if ready else 'nothing is missing'}: {counted(proofs)}")
    return 0
