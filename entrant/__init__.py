"""Entrant: from the outputs of a Pulumi stack to access that works.

    import entrant

    app = entrant.from_stack("dev").app("log-reader")
    credential = entrant.credential(app)                 # any Azure SDK client takes it
    token = entrant.token(app, "logs")                   # token.access_token, for the Log Analytics API

Apps come from a stack (`from_stack`), from a file or text of its outputs (`from_file`, `from_text`) or from the `AZURE_*`
variables (`from_environment`). Importing this package imports neither Pulumi nor MSAL.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from entrant.errors import (
    AuthenticationError,
    ConfigurationError,
    ContractError,
    EngineError,
    EntrantError,
    NotReadyError,
    RefusedError,
    StackNotFoundError,
    UnreachableError,
)
from entrant.outputs import App, Grant, Outputs, from_environment, from_file, from_text

if TYPE_CHECKING:
    from entrant.tokens import Credential, Token

__all__ = [
    "App",
    "AuthenticationError",
    "ConfigurationError",
    "ContractError",
    "EngineError",
    "EntrantError",
    "Grant",
    "NotReadyError",
    "Outputs",
    "RefusedError",
    "StackNotFoundError",
    "UnreachableError",
    "credential",
    "from_environment",
    "from_file",
    "from_stack",
    "from_text",
    "token",
]


def from_stack(stack: str, *, cwd: Path | None = None) -> Outputs:
    """The outputs of a Pulumi stack, secrets decrypted, through the `pulumi` command.

    Raises:
        StackNotFoundError, EngineError, ContractError.
    """
    from entrant import engine

    return engine.stack_outputs(stack, cwd=cwd)


def credential(app: App, *, environ: Mapping[str, str] = os.environ) -> "Credential":
    """An azure-core `TokenCredential` for an app; `environ` may point to another cloud (see `entrant.clouds`)."""
    from entrant import clouds
    from entrant.tokens import Credential

    return Credential(app, clouds.resolve(app.cloud, environ))


def token(app: App, audience: str, *, environ: Mapping[str, str] = os.environ) -> "Token":
    """A token for an audience: a name (`logs`, `metrics`, `arm`, `graph`, …), a resource URL, or a scope.

    Raises:
        AuthenticationError: Entra ID refused. UnreachableError: no answer.
    """
    from entrant import clouds, tokens

    source = credential(app, environ=environ)
    return tokens.fetch(source, app, clouds.scope(source.cloud, audience))
