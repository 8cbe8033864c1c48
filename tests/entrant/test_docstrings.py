"""The examples in docstrings give what they show."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "module",
    ["commands.metrics", "debug", "outputs", "times", "tokens.formats", "tokens.runner", "tokens.warm"],
)
def test_examples_in_docstrings_are_true(module: str) -> None:
    done = doctest.testmod(import_module(f"entrant.{module}"))
    assert done.attempted
    assert not done.failed
