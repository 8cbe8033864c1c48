"""Everything a handler may reach: the state, the signer, and what this tenant is called."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from local_azure.credentials import Credentials
from local_azure.directory import Directory
from local_azure.faults import Faults
from local_azure.issuers import Issuers
from local_azure.operations import Operations
from local_azure.pace import Pace
from local_azure.resources import Resources
from local_azure.store import Store
from local_azure.telemetry import Telemetry
from local_azure.tokens import Signer
from local_azure.vaults import Vaults
from local_azure.visits import Visits

T = TypeVar("T")

MOST_REQUESTS = 1000
DIRECTORY_QUOTA = 50_000
"""Objects of a tenant without a verified domain of its own (Microsoft Entra service limits)."""


class Aside(Exception):
    """Work that another thread has to do before a request can be answered; see `World.aside`."""

    def __init__(self, key: Hashable, work: Callable[[], Any]) -> None:
        super().__init__(key)
        self.key, self.work = key, work


@dataclass(slots=True)
class World:
    """One running local Azure. `url` is where clients reach it, without a trailing slash."""

    store: Store
    url: str
    directory: Directory = field(init=False)
    credentials: Credentials = field(init=False)
    resources: Resources = field(init=False)
    telemetry: Telemetry = field(init=False)
    vaults: Vaults = field(init=False)
    signer: Signer = field(init=False)
    issuers: Issuers = field(init=False)
    operations: Operations = field(init=False)
    faults: Faults = field(init=False)
    pace: Pace = field(init=False)
    visits: Visits = field(init=False)

    requests: deque[dict[str, Any]] = field(init=False)
    """The newest requests, oldest first, for ``/_local/log``: never their queries, headers or bodies."""
    asking: dict[str, str] | None = field(init=False, default=None)
    """Who makes the request that is being answered, once that is known: `client_id` and, where the token has them, `object_id`
    and `name`. At the token endpoint it is who the request says."""

    done: dict[Hashable, Future[Any]] | None = field(init=False, default=None)
    """What was done aside for the request that is being answered; `None` where nothing can be."""

    def aside(self, key: Hashable, work: Callable[[], T]) -> T:
        """What `work` returns or raises, done in another thread while other requests are answered.

        It may use nothing but plain values. The first time this raises `Aside`, which undoes what the request did so far; the
        server has the work done and answers the request from its begin, and then the outcome is here by its `key`.
        """
        if self.done is None:
            return work()
        if key not in self.done:
            raise Aside(key, work)
        outcome: T = self.done[key].result()
        return outcome

    def __post_init__(self) -> None:
        self.directory = Directory(self.store)
        self.credentials = Credentials(self.store)
        self.resources = Resources(self.store)
        self.telemetry = Telemetry(self.store)
        self.vaults = Vaults(self.store)
        self.signer = Signer(self.store)
        self.issuers = Issuers(self.store)
        self.operations = Operations(self.store, self.resources)
        self.faults = Faults()
        self.pace = Pace()
        self.visits = Visits()
        self.requests = deque(maxlen=MOST_REQUESTS)

    def reserve(self, kind: str, of: str, object_id: str) -> None:
        """Give the next object of a kind that is made `of` this (an app's display name, a principal's application) this id."""
        self.store.set_setting(f"reserved.{kind}.{of}", object_id)

    def reserved(self, kind: str, of: str) -> str | None:
        """The id that the next such object is to have, if it has one and nothing has it yet."""
        object_id = self.store.setting(f"reserved.{kind}.{of}")
        return object_id if object_id and self.directory.get(object_id) is None else None

    def take_reserved(self, kind: str, of: str) -> str | None:
        """The id that this one object is to have, if any."""
        id_ = self.store.setting(f"reserved.{kind}.{of}")
        if id_:
            self.store.set_setting(f"reserved.{kind}.{of}", "")
        return id_ or None

    @property
    def tenant_id(self) -> str:
        """The tenant's GUID."""
        return self.store.setting("tenant_id") or ""

    @property
    def domain(self) -> str:
        """The tenant's verified domain."""
        return f"local-{self.tenant_id[:8]}.onmicrosoft.com"

    @property
    def directory_quota(self) -> int:
        """How many objects the directory may have."""
        return int(self.store.setting("directory_quota") or DIRECTORY_QUOTA)

    @property
    def premium(self) -> bool:
        """Whether the tenant has a licence of Microsoft Entra ID P1 or P2, without which nobody is told of sign-ins."""
        return self.store.setting("premium") != "0"

    def propagation(self, what: str) -> float:
        """Seconds until something new takes effect: `roles`, `secrets`, or roles at `insights`, where those of all unless set."""
        set_for = self.store.setting(f"propagation.{what}")
        if set_for is None and what == "insights":
            set_for = self.store.setting("propagation.roles")
        return float(set_for or 0)
