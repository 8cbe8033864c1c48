"""Entrant: from the outputs of a Pulumi stack to access that works.

    import entrant

    app = entrant.from_stack("dev").app("log-reader")
    credential = entrant.credential(app)                 # any Azure SDK client takes it
    token = entrant.token(app, "logs")                   # token.access_token, for the Log Analytics API

Apps come from a stack (`from_stack`), from a file or text of its outputs (`from_file`, `from_text`) or from the `AZURE_*` variables
(`from_environment`). Importing this package imports neither Pulumi nor MSAL, nor anything else until it is used.
"""

TYPE_CHECKING = False
"""As in `typing`, which takes a third of a bare interpreter's start to load."""

if TYPE_CHECKING:
    from typing import Any

    from entrant.engine import stack_outputs as from_stack
    from entrant.errors import (
        AuthenticationError,
        ConfigurationError,
        ContractError,
        EngineError,
        EntrantError,
        NotReadyError,
        PartialResultError,
        RefusedError,
        StackNotFoundError,
        UnreachableError,
    )
    from entrant.outputs import App, Grant, Outputs, from_environment, from_file, from_text
    from entrant.tokens.credentials import Credential, Token, credential, token

__version__ = "0.1.0"

_WHERE = {
    "errors": (
        "AuthenticationError ConfigurationError ContractError EngineError EntrantError NotReadyError PartialResultError "
        "RefusedError StackNotFoundError UnreachableError"
    ),
    "outputs": "App Grant Outputs from_environment from_file from_text",
    "tokens.credentials": "Credential Token credential token",
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names.split()}

__all__ = [
    "App",
    "AuthenticationError",
    "ConfigurationError",
    "ContractError",
    "Credential",
    "EngineError",
    "EntrantError",
    "Grant",
    "NotReadyError",
    "Outputs",
    "PartialResultError",
    "RefusedError",
    "StackNotFoundError",
    "Token",
    "UnreachableError",
    "credential",
    "from_environment",
    "from_file",
    "from_stack",
    "from_text",
    "token",
]


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name == "from_stack":
        return import_module("entrant.engine").stack_outputs
    if name in _MODULE:
        return getattr(import_module(f"entrant.{_MODULE[name]}"), name)
    raise AttributeError(f"module 'entrant' has no attribute '{name}'")
