"""The extras of the package, and what to say where one is not installed."""

from importlib.util import find_spec
from typing import Final

from entrant.errors import ConfigurationError

MODULES: Final = {"pulumi": ("pydantic", "yaml", "rich", "pulumi"), "local": ("local_azure",)}
"""Extra → modules that are there when it is installed."""


def installed(extra: str) -> bool:
    """Whether an extra is installed."""
    return all(find_spec(module) for module in MODULES[extra])


def command(*extras: str) -> str:
    """How to install extras; no package index has Entrant yet."""
    beside = " ./local_azure" if "local" in extras else ""
    return f"in the checkout of Entrant: pip install '.[{','.join(extras)}]'{beside}"


def need(what: str, *extras: str, instead: str = "") -> None:
    """See that extras are installed.

    Args:
        what: what needs them, as a sentence may begin.
        instead: what else to do, as a sentence may go on after "or ".

    Raises:
        ConfigurationError: one is not; says which, and how to install it.
    """
    missing = [name for name in extras if not installed(name)]
    if missing:
        raise ConfigurationError(
            f"{what} needs what the extra {' and the extra '.join(missing)} of the package installs",
            next_step=command(*missing) + (f"; or {instead}" if instead else ""),
        )
