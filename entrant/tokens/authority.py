"""How azure-identity's clients talk to Entra ID here: bounded retries, and an eye on what came back and on the clock."""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from azure.core.exceptions import AzureError
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import RetryPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import CertificateCredential, ClientAssertionCredential, ClientSecretCredential

from entrant.retries import LONGEST_WAIT, PASSING, TRIES
from entrant.tokens.exchange import ALL, CONNECT, READ, Bearer, NoTokenError, Outcome

__all__ = [
    "CertificateCredential",
    "ClientAssertionCredential",
    "ClientSecretCredential",
    "Retries",
    "Transport",
    "ask",
]

Client = ClientSecretCredential | CertificateCredential | ClientAssertionCredential


def ask(
    make: Callable[..., Client], authority: str, scopes: tuple[str, ...], options: Mapping[str, Any], outcome: Outcome
) -> Bearer:
    """A token from a client that azure-identity is to make; `outcome` is told how the last request ended.

    Raises:
        NoTokenError: a refusal, or no answer after all tries.
        ValueError: a tenant or client id that cannot be one.
    """
    made = make(
        authority=authority,
        # One request less: it would only confirm a host that is in our table, or that the user named.
        disable_instance_discovery=True,
        retry_policy_class=Retries,
        transport=Transport(outcome),
    )
    with closing(made) as client:
        try:
            settings: Any = {key: value for key, value in options.items() if value is not None}
            found = client.get_token_info(*scopes, options=settings)
        except AzureError as error:
            raise NoTokenError(str(getattr(error, "message", error))) from None
    return Bearer(found.token, found.expires_on, found.refresh_on)


class Transport(RequestsTransport):  # type: ignore[misc]  # azure-core loads it lazily, and so untyped
    """A transport that tells an `Outcome` how each request ended."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(connection_timeout=CONNECT, read_timeout=READ)
        self.outcome = outcome

    def send(self, request: Any, **options: Any) -> Any:
        """Send one request; what azure-core's pipeline calls."""
        begun = time.time()
        try:
            answer = super().send(request, **options)
        except Exception as error:
            self.outcome.error, self.outcome.status = error, 0
            raise
        self.outcome.answered(answer.status_code, answer.headers, begun)
        if answer.status_code >= 400:
            self.outcome.body = answer.text()
        return answer


class Retries(RetryPolicy[Any, Any]):
    """azure-core's retries (0, 1.6 and 3.2 s, or what `Retry-After` says), which are without a bound, with one.

    azure-core tries anything again that has a `Retry-After`, and would wait for hours if that says so.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"retry_total": TRIES - 1, "timeout": ALL})

    def is_retry(self, settings: dict[str, Any], response: PipelineResponse[Any, Any]) -> bool:
        """Whether to ask again after this answer."""
        if response.http_response.status_code not in PASSING:
            return False
        return (self.get_retry_after(response) or 0) <= LONGEST_WAIT and super().is_retry(settings, response)
