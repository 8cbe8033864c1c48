"""What a stack handed out before is read while the engine begins to write its state."""

from types import SimpleNamespace
from typing import Any

import pulumi
import pytest

from components import outputs, state


def read(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> Any:
    """`own_outputs`, where the engine answers so, one after the other."""
    left = list(answers)

    def invoke(*_: Any) -> Any:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(value={"outputs": answer})

    monkeypatch.setattr(pulumi.runtime, "invoke", invoke)
    monkeypatch.setattr(state, "_BETWEEN_READS", (0.0,) * 5)
    monkeypatch.setattr(pulumi, "get_organization", lambda: "organization")
    return outputs.own_outputs()


def test_a_state_that_is_half_written_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    half = Exception("invoke failed: failed to load checkpoint: EOF")
    assert read(monkeypatch, half, half, {"contract": 1}) == {"contract": 1}


@pytest.mark.parametrize("message", ["failed to load checkpoint: EOF", "passphrase must be set"])
def test_a_state_that_cannot_be_read_is_an_error(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    failure = Exception(message)
    with pytest.raises(Exception, match=message):
        read(monkeypatch, *[failure] * 6)
