"""At the end of a program Pulumi's SDK waits for its outputs; here each is waited for once.

The SDK waits for the first of all that are pending, and again for the first of the rest, each time going over all of them: with 100
apps, 28 of the 35 CPU seconds of a program (docs/decisions/2026-11-26-the-sdks-wait.md).
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from pulumi.runtime import stack
from pulumi.runtime.settings import SETTINGS


def wait_once() -> None:
    """Mend the SDK's wait; nothing happens where it is mended, or is not the one that is known."""
    known = stack.wait_for_rpcs
    code = getattr(known, "__code__", None)
    if code and "FIRST_COMPLETED" in code.co_names and code.co_varnames[:1] == ("await_all_outstanding_tasks",):
        stack.wait_for_rpcs = _waiting_once(known)


def _waiting_once(wait_for_rpcs: Callable[..., Awaitable[None]]) -> Any:
    """The SDK's wait, called when there is nothing left to wait for; what fails is left to it."""

    @wraps(wait_for_rpcs)
    async def wait(await_all_outstanding_tasks: bool = True) -> None:
        if await_all_outstanding_tasks:
            await wait_for_rpcs(False)
            await _outputs()
        await wait_for_rpcs(await_all_outstanding_tasks)

    return wait


async def _outputs() -> None:
    """Wait until all outputs are there, with those that are made meanwhile, or until one has failed or is cancelled."""
    pending: set[asyncio.Future[Any]] = set()
    failed = False
    moved = asyncio.Event()

    def done(output: asyncio.Future[Any]) -> None:
        nonlocal failed
        if output.cancelled() or output.exception() is not None:
            failed = True
        else:
            pending.discard(output)
        moved.set()

    try:
        while True:
            moved.clear()
            with SETTINGS.lock:
                made = list(SETTINGS.outputs)
                SETTINGS.outputs.clear()
            for output in made:
                if output not in pending:
                    pending.add(output)
                    output.add_done_callback(done)
            if failed or not pending:
                return
            await moved.wait()
    finally:
        with SETTINGS.lock:
            SETTINGS.outputs.update(pending)
