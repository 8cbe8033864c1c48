"""The delivery of a stack's client secrets and certificates: each to every place of its calendar that does not hold it already.

Where they go is read from the environment's file, which is reviewed, and not from the state: whoever can write the state could
else have them sent to a place of their own, or have a program run.
"""

import datetime as dt
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from entrant.config import Environment
from entrant.config.delivery import (
    AzureDevOpsDelivery,
    CommandDelivery,
    Delivery,
    GitHubDelivery,
    GitLabDelivery,
    KubernetesDelivery,
)
from entrant.delivery import succession
from entrant.delivery.azure_devops import AzureDevOps
from entrant.delivery.github import GitHub
from entrant.delivery.gitlab import GitLab
from entrant.delivery.key_vault import KeyVault
from entrant.delivery.programs import Command, Kubernetes
from entrant.delivery.proof import PATIENCE, prove
from entrant.delivery.sinks import Item, Sink, guard
from entrant.delivery.succession import Key, Succession, named
from entrant.errors import ConfigurationError, EntrantError, RefusedError
from entrant.facts.clouds import Cloud
from entrant.facts.contract import CLIENT_SECRET
from entrant.outputs import Outputs
from entrant.tokens.runner import Masker

State = Literal["held", "delivered", "missing", "failed"]
_PAUSES = (1.0, 4.0)
"""Seconds before a place that failed is tried again."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the delivery of an app's secret or certificate to one place.

    It was `held` there already, was `delivered`, is `missing` (in a check), or `failed`.
    """

    app: str
    secret: str
    """Its slot; empty when there is none."""
    where: str
    state: State
    said: str
    next_step: str | None = None
    exit_code: int = 0
    calendar: str = CLIENT_SECRET
    """`secret`, or the certificate's key in the file."""

    @property
    def key(self) -> Key:
        """What was delivered, whatever its slot."""
        return self.app, self.calendar

    @property
    def arrived(self) -> bool:
        """Whether the place holds the newest."""
        return self.state in ("held", "delivered")


def open_sink(delivery: Delivery, key: Key, cloud: Cloud, root: Path, environ: Mapping[str, str]) -> Sink:
    """The place that a delivery of what `key` names goes to."""
    app, calendar = key
    place = delivery.place
    if isinstance(place, GitHubDelivery):
        return GitHub(place, environ)
    if isinstance(place, AzureDevOpsDelivery):
        return AzureDevOps(place, environ)
    if isinstance(place, GitLabDelivery):
        return GitLab(place, environ)
    if isinstance(place, KubernetesDelivery):
        return Kubernetes(place, root, environ, calendar=calendar)
    if isinstance(place, CommandDelivery):
        return Command(place, app, root, environ, calendar=calendar)
    return KeyVault(place, cloud, environ)


def item_of(found: Outputs, key: Key) -> tuple[Item, Succession]:
    """The newest of a calendar of an app, for its way.

    Raises:
        ConfigurationError: there is none.
    """
    name, calendar = key
    app = found.apps.get(name)
    if app is None:
        raise ConfigurationError(
            f"the stack has no app {name}",
            next_step="run `pulumi up`, which makes it; if the stack has released it, take it out of the file",
        )
    held, value = succession.of(app, calendar), app.value(calendar) or ""
    if held is None:
        what = "client secret" if calendar == CLIENT_SECRET else named(calendar)
        raise ConfigurationError(f"{name} has no {what} in the stack's outputs", next_step="run `pulumi up`")
    entry = held.newest
    ends, name_ = dt.datetime.fromisoformat(entry["ends"]), succession.slot(entry)
    return Item(name, app.tenant_id, app.client_id, entry["key_id"], name_, ends, value, calendar), held


def deliver(
    outputs: Outputs,
    environment: Environment,
    cloud: Cloud,
    root: Path,
    *,
    check: bool = False,
    apps: Iterable[str] | None = None,
    patience: float = PATIENCE,
    proofs: Mapping[Key, EntrantError | None] = MappingProxyType({}),
    environ: Mapping[str, str] = os.environ,
    tell: Callable[[Result], None] = lambda result: None,
    sleep: Callable[[float], None] = time.sleep,
    now: dt.datetime | None = None,
) -> list[Result]:
    """Deliver the newest of each calendar of each app to its places, or with `check` only look.

    Every place is tried, whatever others did. What is delivered is proved by tokens before it goes to the first place that does not
    hold it.

    Args:
        outputs: the stack's, with secrets.
        root: the project's folder, where programs run.
        apps: only these. Default: all.
        patience: seconds for which the directory may not know a new secret or certificate.
        proofs: what is known already, by app and calendar: why the newest does not work, or None.
        tell: called with each result as it comes.
    """
    work = _Work(outputs, cloud, root, check, patience, environ, sleep, now or dt.datetime.now(dt.UTC))
    results = []
    for name, declared in environment.apps.items():
        if apps is not None and name not in apps:
            continue
        for calendar, rule in declared.calendars.items():
            key = name, calendar
            for result in work.deliver(key, rule.deliver, [proofs[key]] if key in proofs else []):
                results.append(result)
                tell(result)
    return results


@dataclass(frozen=True, slots=True)
class _Work:
    """Deliveries out of one stack's outputs."""

    outputs: Outputs
    cloud: Cloud
    root: Path
    check: bool
    patience: float
    environ: Mapping[str, str]
    sleep: Callable[[float], None]
    now: dt.datetime

    def deliver(self, key: Key, deliveries: Iterable[Delivery], proof: list[EntrantError | None]) -> Iterator[Result]:
        """The newest of a calendar, to its places; `proof` has what is known of it, once that is known."""
        for delivery in deliveries:
            item: Item | None = None
            try:
                item, held = item_of(self.outputs, key)
                sink = open_sink(delivery, key, self.cloud, self.root, self.environ)
                guard(sink.address(), self.cloud, f"the {item.noun}")
            except EntrantError as error:
                yield _failed(key, item, delivery.where, error)
            else:
                yield self._to_sink(sink, delivery.where, item, held, proof)

    def _demand(self, item: Item, held: Succession, proof: list[EntrantError | None]) -> None:
        """Raise what is wrong with it, which is found out once and only when it is needed."""
        if item.ends <= self.now:
            raise ConfigurationError(
                f"the newest {named(item.calendar)} of {item.app} ended on {item.ends:%Y-%m-%d}",
                next_step="make the next one: `python3 -m entrant rotate`, or `pulumi up`",
            )
        if not proof:
            proof.append(prove(held.app, item.calendar, self.cloud, seconds=self.patience))
        if proof[0] is not None:
            raise proof[0]

    def _to_sink(
        self, sink: Sink, where: str, item: Item, held: Succession, proof: list[EntrantError | None]
    ) -> Result:
        """One delivery, tried again where that may help."""
        result = partial(Result, item.app, item.name, where, calendar=item.calendar)
        missing = partial(result, "missing", next_step=sink.filled_by)
        this = f"the {item.noun} {item.name}"
        for pause in (*_PAUSES, None):
            try:
                if not sink.readable:
                    if held.noted:
                        return result("held", "`rotate` noted that it was delivered; the place cannot be asked")
                    if self.check:
                        return missing("it cannot be asked what it holds")
                else:
                    there = sink.holds()
                    if there == item.key_id:
                        return result("held", f"holds {this}")
                    if self.check:
                        return missing(f"does not hold {this}" + (", but another one" if there else ""))
                self._demand(item, held, proof)
                sink.put(item)
                if not sink.readable:
                    return result("delivered", f"took {this}; it cannot be read back")
                if sink.holds() != item.key_id:
                    raise EntrantError(
                        f"it took the {item.noun}, and does not say that it holds it when it is read back"
                    )
                return result("delivered", f"holds {this} now")
            except EntrantError as error:
                if pause is None or not _may_pass(error):
                    return _failed(held.key, item, where, error)
                self.sleep(pause)
        raise AssertionError("the last try returns")


def _may_pass(error: EntrantError) -> bool:
    """Whether it is worth asking again: not for what is refused, missing or not proved, nor after `http` has asked often enough."""
    if isinstance(error, RefusedError):
        return error.status in (408, 409, 429) or error.status >= 500
    return type(error) is EntrantError


def _failed(key: Key, item: Item | None, where: str, error: EntrantError) -> Result:
    """A failure without what is secret in it, should a place say it back."""
    masker = Masker([item.value] if item else [])

    def without(text: str) -> str:
        return (masker.feed(text.encode()) + masker.end()).decode("utf-8", "replace")

    step = without(error.next_step) if error.next_step else None
    message, (app, calendar) = without(str(error)), key
    return Result(app, item.name if item else "", where, "failed", message, step, error.exit_code, calendar)
