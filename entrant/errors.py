"""What can go wrong, as one small tree. Every error says what happened and, where there is one, the next step.

    EntrantError
    ├── ConfigurationError     a wrong call, file or setting               exit code 2
    │   └── ContractError      outputs that are not this project's         exit code 2
    ├── AuthenticationError    Microsoft Entra ID gave no token            exit code 3
    ├── RefusedError           an API answered, and refused                exit code 4
    │   └── PartialResultError  a query gave only a part of its result     exit code 4
    ├── UnreachableError       no answer came                              exit code 1
    ├── EngineError            pulumi did not do what was asked            exit code 1, or pulumi's own
    │   └── StackNotFoundError                                             exit code 6
    └── NotReadyError          access did not work within the time given   exit code 9

Exit codes follow Pulumi's. Only the command line prints or exits.
"""

from typing import TYPE_CHECKING, ClassVar

from entrant.debug import masked

if TYPE_CHECKING:
    from entrant.access.monitor import Table


class EntrantError(Exception):
    """Base of every error that this package raises on purpose.

    `str(error)` says what happened; `next_step` what to do, or None; `code` is the service's own error code where it gave
    one (such as `AADSTS7000215` or `InsufficientAccessError`). Secrets are masked in both texts.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, next_step: str | None = None, code: str | None = None) -> None:
        super().__init__(masked(message))
        self.next_step = masked(next_step) if next_step else None
        self.code = code


class ConfigurationError(EntrantError):
    """A wrong call, file or setting."""

    exit_code = 2


class ContractError(ConfigurationError):
    """Outputs that do not keep the contract of this project's stacks."""


class AuthenticationError(EntrantError):
    """Microsoft Entra ID gave no token."""

    exit_code = 3


class RefusedError(EntrantError):
    """An API answered, and refused. `status` is the HTTP status."""

    exit_code = 4

    def __init__(self, message: str, *, status: int, next_step: str | None = None, code: str | None = None) -> None:
        super().__init__(message, next_step=next_step, code=code)
        self.status = status


class PartialResultError(RefusedError):
    """A query gave only a part of its result: `table` holds its rows, and the message says what is missing and why."""

    def __init__(self, message: str, table: "Table", *, next_step: str | None = None, code: str | None = None) -> None:
        super().__init__(message, status=200, next_step=next_step, code=code)
        self.table = table


class UnreachableError(EntrantError):
    """No answer came: no connection, a time-out, a certificate that is not trusted."""


class EngineError(EntrantError):
    """`pulumi` did not do what was asked. `status` is its exit code; None when it did not run."""

    def __init__(
        self, message: str, *, status: int | None = None, next_step: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, next_step=next_step, code=code)
        self.status = status


class StackNotFoundError(EngineError):
    """There is no such stack in the backend in use."""

    exit_code = 6


class NotReadyError(EntrantError):
    """Access did not work within the time given."""

    exit_code = 9


def unreadable_bundle(bundle: str, error: OSError) -> ConfigurationError:
    """The error for a file or folder of certificates to trust that is not there, cannot be read, or has none."""
    return ConfigurationError(
        f"the certificates to trust in {bundle} cannot be read: {error.strerror or error}",
        next_step="name a file of certificates (PEM) in REQUESTS_CA_BUNDLE, or unset it",
    )
