"""What is mended of the SDK: each output is waited for once, and a failure ends the run as with the SDK's own wait; calls end where
the program begins.
"""

import asyncio
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime import stack
from pulumi.runtime.settings import SETTINGS

from components import sdk

from .mocked import deploy

MENDED = stack.wait_for_rpcs
SDKS: Callable[..., Any] = MENDED.__wrapped__  # type: ignore[attr-defined]


@pytest.fixture(params=[SDKS, MENDED], ids=["the SDK's", "ours"])
def wait(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same programs end in the same way with both."""
    monkeypatch.setattr(stack, "wait_for_rpcs", request.param)
    yield
    loop = asyncio.get_event_loop()
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


class Thing(pulumi.CustomResource):
    """A resource with nothing to it."""

    def __init__(self, name: str, **more: Any) -> None:
        super().__init__("test:index:Thing", name, more)


def later(value: Any, turns: int = 3) -> pulumi.Output[Any]:
    """An output that is there after some turns of the event loop."""

    async def wait() -> Any:
        for _ in range(turns):
            await asyncio.sleep(0)
        if isinstance(value, BaseException):
            raise value
        return value

    return pulumi.Output.from_input(wait())


def never() -> pulumi.Output[Any]:
    """An output that is never there."""
    return pulumi.Output.from_input(asyncio.get_event_loop().create_future())


@pytest.mark.usefixtures("wait")
def test_what_is_registered_while_the_program_waits_is_waited_for() -> None:
    def first(name: str) -> None:
        Thing(name)
        later("b", 20).apply(second)

    def second(name: str) -> None:
        Thing(name)

    def program() -> None:
        later("a", 20).apply(first)

    assert sorted(each.name for each in deploy(program).resources) == ["a", "b"]


@pytest.mark.usefixtures("wait")
def test_a_failure_ends_the_program_though_other_outputs_never_come() -> None:
    def program() -> None:
        never()
        later(ValueError("this one"), 20)

    with pytest.raises(ValueError, match=r"^this one$"):
        deploy(program)


@pytest.mark.usefixtures("wait")
def test_a_failure_in_what_was_made_meanwhile_ends_the_program() -> None:
    def program() -> None:
        never()
        later("x", 20).apply(lambda _: later(ValueError("this one"), 20))

    with pytest.raises(ValueError, match=r"^this one$"):
        deploy(program)


@pytest.mark.usefixtures("wait")
def test_a_failure_that_is_recovered_is_none() -> None:
    seen: list[str] = []

    def program() -> None:
        later(ValueError("this one")).recover(lambda error: str(error)).apply(seen.append)

    deploy(program)
    assert seen == ["this one"]


@pytest.mark.usefixtures("wait")
def test_an_output_that_is_cancelled_ends_the_program() -> None:
    def program() -> None:
        never()
        task = later("x", 1_000)._data
        asyncio.get_event_loop().call_later(0, task.cancel)

    with pytest.raises(asyncio.CancelledError):
        deploy(program)


@pytest.mark.usefixtures("wait")
def test_a_refused_request_ends_the_program_with_the_engines_words() -> None:
    def program() -> None:
        never()
        later("unknown:index:call", 20).apply(lambda call: pulumi.runtime.invoke_async(call, {}))

    with pytest.raises(Exception, match="unexpected call of unknown:index:call"):
        deploy(program)


@pytest.mark.usefixtures("wait")
def test_a_program_that_raises_ends_with_its_own_error() -> None:
    def program() -> None:
        Thing("a")
        raise ValueError("the program's")

    with pytest.raises(ValueError, match=r"^the program's$"):
        deploy(program)


class Counted(asyncio.Future[Any]):
    """An output's future that counts how often somebody begins to wait for it."""

    waits = 0

    def add_done_callback(self, *arguments: Any, **more: Any) -> None:
        """Begin to wait."""
        type(self).waits += 1
        super().add_done_callback(*arguments, **more)


@pytest.mark.parametrize("count", [50, 400])
def test_each_output_is_waited_for_a_fixed_number_of_times(count: int) -> None:
    Counted.waits = 0

    async def run() -> None:
        loop = asyncio.get_running_loop()
        futures = [Counted(loop=loop) for _ in range(count)]
        SETTINGS.outputs.update(futures)
        for turn, future in enumerate(futures):
            loop.call_later(turn / 10_000, future.set_result, None)
        await MENDED()

    deploy(lambda: None)  # the SDK's settings of a program
    asyncio.run(run())
    assert Counted.waits <= 2 * count


def test_the_sdk_still_needs_it() -> None:
    """When this fails the SDK has mended its wait: remove it from `components/sdk.py`, and these tests."""
    assert "FIRST_COMPLETED" in SDKS.__code__.co_names


def test_the_calls_that_led_to_a_resource_are_the_programs(tmp_path: Path) -> None:
    """Python starts a program as `runpy` does here; what is below is not the program's."""
    program = tmp_path / "program.py"
    program.write_text(
        "from tests.components.test_sdk import Thing\n\ndef make():\n    Thing('a')\n\nmake()\n", "utf-8"
    )
    [made] = deploy(lambda: runpy.run_path(str(program))).resources
    calls = [(frame.pc.uri, frame.pc.line) for frame in made.request.stackTrace.frames]
    assert calls == [(program.as_uri(), 4), (program.as_uri(), 6)]
    assert (made.request.sourcePosition.uri, made.request.sourcePosition.line) == calls[0]


def test_another_wait_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait_for_rpcs(await_all_outstanding_tasks: bool = True) -> None:
        """Mended by the SDK."""

    for own in (wait_for_rpcs, MENDED):
        monkeypatch.setattr(stack, "wait_for_rpcs", own)
        sdk.mend()
        assert stack.wait_for_rpcs is own
