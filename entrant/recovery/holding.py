"""A stack held for a job, after clearing up what a killed run of the same pipeline left."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from entrant.pipeline import code_host, locks
from entrant.recovery import checkpoints, unfinished


@contextlib.contextmanager
def hold(
    stack: str,
    *,
    settle: float,
    cwd: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    remark: Callable[[str], None],
    show: Callable[[str], None],
) -> Iterator[locks.Held]:
    """Hold a stack, as `locks.hold` does, once what a killed run made and did not note is noted or removed.

    Args:
        settle: seconds for which the state must have been left alone before that is looked for.
        remark: is told what was found.
        show: is shown each line of what is noted and removed.
    """

    def agree(plan: unfinished.Plan) -> bool:
        for line in plan.lines():
            show(line)
        return True

    backend = checkpoints.folder(cwd, environ)
    for file in checkpoints.drop_broken_attributes(backend) if backend else ():
        remark(f"removed {file.name}, which a killed run left unfinished and Pulumi does not need")
    job = locks.Job.here(*(code_host.pipeline() or ()))
    with locks.hold(stack, job, cwd=cwd, environ=environ, tell=remark) as held:
        before = held.left_by
        reason = before and f"{before.run} of {before.pipeline} did not end well"
        reason = reason or unfinished.pending(stack, cwd=cwd, environ=environ)
        if reason:
            remark(f"{reason}; looking for what it left")
            began = before.began if before else None
            unfinished.recover(stack, agree=agree, began=began, settle=settle, cwd=cwd, environ=environ)
        yield held
