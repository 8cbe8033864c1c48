"""The pace of the real cloud: how long it takes to answer, and how many requests it takes. Neither, unless it is asked for.

How long: nobody publishes it. The medians are estimates for a client on the same continent (Graph 100 to 200 ms, writes more); the
spread is log-normal, one request in twenty taking more than two and a half times as long. Each kind draws from a generator of its
own, so that the same requests in the same order take the same time again.

How many: Microsoft Graph, "Service-specific throttling limits", identity and access: 3,000 writes in 150 seconds, per app and
tenant. Azure Resource Manager, "Understand how Azure Resource Manager throttles requests": per subscription and service principal a
bucket of 250 reads, filled with 25 a second, and of 200 writes and 200 deletes, each filled with 10 a second.
"""

from __future__ import annotations

import base64
import json
import math
import random
from dataclasses import dataclass

from local_azure.faults import failure, family_of
from local_azure.wire import Call, Reply

MEDIANS = {
    "token": 0.12,
    "graph": 0.12,
    "graph write": 0.25,
    "arm": 0.15,
    "arm write": 0.4,
    "logs": 0.4,
    "insights": 0.4,
    "metrics": 0.1,
    "ingestion": 0.1,
    "keyvault": 0.08,
}
"""Seconds until half of the requests of a kind are answered."""
SPREAD = math.log(2.5) / 1.645
"""Standard deviation of the logarithm: 95 of 100 requests take less than 2.5 times the median."""
BUCKETS = {"graph write": (3000, 20.0), "arm read": (250, 25.0), "arm write": (200, 10.0), "arm delete": (200, 10.0)}
"""For a kind of request: how many are taken at once, and how many more each second."""


@dataclass
class _Bucket:
    """Requests that may still be made, at a moment."""

    left: float
    at: float


class Pace:
    """The pace in force; kept in memory, so a restart ends it."""

    def __init__(self) -> None:
        self.set(None, quotas=False)

    def set(self, latency: int | None, *, quotas: float) -> None:
        """Take the time that the real cloud takes, from this seed (`None`: none), and this share of the requests that it takes."""
        self.latency, self.quotas = latency, quotas
        self.active = latency is not None or quotas > 0
        self._chances: dict[str, random.Random] = {}
        self._buckets: dict[tuple[str, str, str], _Bucket] = {}

    def seconds(self, call: Call) -> float:
        """How long a request is to take."""
        if self.latency is None:
            return 0.0
        family = family_of(call)
        kind = family if call.method == "GET" or f"{family} write" not in MEDIANS else f"{family} write"
        if kind not in MEDIANS:
            return 0.0
        chances = self._chances.setdefault(kind, random.Random(f"{self.latency}/{kind}"))
        return MEDIANS[kind] * math.exp(chances.gauss(0.0, SPREAD))

    def refusal(self, call: Call, now: float) -> Reply | None:
        """The answer to a request that is one too many, or `None`; it tells when to come again."""
        family = family_of(call)
        done = {"GET": "read", "DELETE": "delete"}.get(call.method, "write")
        kind = f"{family} {'write' if family == 'graph' and done == 'delete' else done}"
        if not self.quotas or kind not in BUCKETS:
            return None
        most, refill = (number * self.quotas for number in BUCKETS[kind])
        most = max(most, 1)  # of the smallest share, too, each request is taken in the end
        of_subscription = family == "arm" and call.segments[0].lower() == "subscriptions"
        subscription = "".join(call.segments[1:2]).lower() if of_subscription else ""
        bucket = self._buckets.setdefault((kind, subscription, _asking(call)), _Bucket(most, now))
        bucket.left = min(most, bucket.left + (now - bucket.at) * refill)
        bucket.at = now
        if bucket.left < 1:
            wait = max(1, math.ceil((1 - bucket.left) / refill))
            return failure(family, 429, f"The limit of {most:.0f} requests ({kind}) was reached.", retry_after=wait)
        bucket.left -= 1
        return None


def _asking(call: Call) -> str:
    """The application that a request says it is of: whether that is true is seen when it is answered."""
    parts = call.headers.get("authorization", "").split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return str(claims.get("appid") or claims.get("azp") or claims.get("oid"))
    except (IndexError, ValueError, AttributeError):
        return ""
