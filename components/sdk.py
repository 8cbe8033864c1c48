"""Two functions of Pulumi's SDK that take more than a program of hundreds of resources can give, mended.

At a program's end the SDK waits for the first of all outputs that are pending, and again for the first of the rest, each time going
over all of them: with 100 apps, 28 of the 35 CPU seconds of a program. Here each is waited for once.

With each resource it sends the calls that led to it, down to how Python was started: a third of a state, which the engine writes at
each step. Here the calls end where the program begins. (docs/decisions/2026-11-26-the-sdks-wait.md)
"""

import asyncio
import os
import pathlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import wraps
from types import FrameType
from typing import Any

from pulumi.runtime import resource, stack
from pulumi.runtime.proto import source_pb2
from pulumi.runtime.settings import SETTINGS


def mend() -> None:
    """Mend both; nothing happens to one that is mended already, or is not the one that is known."""
    wait, trace = stack.wait_for_rpcs, getattr(resource, "_get_stack_trace", None)
    code = getattr(wait, "__code__", None)
    if code and "FIRST_COMPLETED" in code.co_names and code.co_varnames[:1] == ("await_all_outstanding_tasks",):
        stack.wait_for_rpcs = _waiting_once(wait)
    code = getattr(trace, "__code__", None)
    if code and "extract_stack" in code.co_names and code.co_argcount == 0:
        resource._get_stack_trace = _calls


def _calls() -> source_pb2.StackTrace:
    """The calls that led to the resource that is being made, the innermost first: of the program, not of the SDK or of Python."""
    made = [
        source_pb2.StackFrame(pc=source_pb2.SourcePosition(uri=pathlib.Path(file).as_uri(), line=line))
        for file, line in _program(sys._getframe())
    ]
    return source_pb2.StackTrace(frames=made)


def _program(frame: FrameType | None) -> Iterator[tuple[str, int]]:
    """File and line of each call outside the constructors of a resource, of which the SDK has two; none below Python's own."""
    constructors = 3
    while frame is not None and constructors:
        constructors -= frame.f_code.co_name == "__init__"
        frame = frame.f_back
    while frame is not None and os.path.isabs(frame.f_code.co_filename):
        yield frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back


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
