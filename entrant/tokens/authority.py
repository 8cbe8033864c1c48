"""How azure-identity's clients talk to Entra ID here: bounded retries, and an eye on what came back and on the clock."""

import email.utils
import time
from typing import Any

from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import RetryPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.identity import CertificateCredential, ClientAssertionCredential, ClientSecretCredential

from entrant.retries import LONGEST_WAIT, PASSING, TRIES

__all__ = ["CertificateCredential", "ClientAssertionCredential", "ClientSecretCredential", "Retries", "Transport"]

CONNECT, READ, ALL = 10, 30, 120
"""Seconds to connect, to wait for an answer, and for all tries of one request together (without the waits between them)."""


class Transport(RequestsTransport):  # type: ignore[misc]  # azure-core loads it lazily, and so untyped
    """A transport that remembers how the last request ended, and what `Date` said."""

    def __init__(self) -> None:
        super().__init__(connection_timeout=CONNECT, read_timeout=READ)
        self.error: Exception | None = None
        """Why the last request got no answer."""
        self.status = 0
        self.body = ""
        """The last answer's body if it was a refusal."""
        self.retry_after: str | None = None
        self.skew: float | None = None
        """Seconds that the server's clock is ahead of this machine's."""

    def send(self, request: Any, **options: Any) -> Any:
        """Send one request; what azure-core's pipeline calls."""
        self.status, self.body, self.retry_after, self.error = 0, "", None, None
        before = time.time()
        try:
            answer = super().send(request, **options)
        except Exception as error:
            self.error = error
            raise
        self.status, self.retry_after = answer.status_code, answer.headers.get("Retry-After")
        if self.status >= 400:
            self.body = answer.text()
        date = email.utils.parsedate_tz(answer.headers.get("Date") or "")
        if date is not None:
            # `Date` was cut to whole seconds somewhere between the request and its answer.
            self.skew = email.utils.mktime_tz(date) + 0.5 - (before + time.time()) / 2
        return answer

    @property
    def too_busy(self) -> bool:
        """Whether the last answer was only that there would be none now."""
        return self.status == 429 or self.status >= 500


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
