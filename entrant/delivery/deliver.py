"""The delivery of a stack's client secrets: each to every place of its app, where that does not hold it already.

Where secrets go is read from the environment's file, which is reviewed, and not from the state: whoever can write the state could
else have them sent to a place of their own, or have a program run.
"""

import datetime as dt
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from entrant.config import Environment
from entrant.config.delivery import (
    AzureDevOpsDelivery,
    CommandDelivery,
    Delivery,
    GitHubDelivery,
    GitLabDelivery,
    KubernetesDelivery,
)
from entrant.delivery.azure_devops import AzureDevOps
from entrant.delivery.github import GitHub
from entrant.delivery.gitlab import GitLab
from entrant.delivery.key_vault import KeyVault
from entrant.delivery.programs import Command, Kubernetes
from entrant.delivery.proof import PATIENCE, prove
from entrant.delivery.sinks import Item, Sink, guard
from entrant.errors import ConfigurationError, EntrantError, RefusedError
from entrant.facts.clouds import Cloud
from entrant.facts.contract import SECRET_NAMES
from entrant.outputs import App, Outputs
from entrant.tokens.runner import Masker

State = Literal["held", "delivered", "missing", "failed"]
_PAUSES = (1.0, 4.0)
"""Seconds before a place that failed is tried again."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of the delivery of an app's secret to one place.

    It was `held` there already, was `delivered`, is `missing` (in a check), or `failed`.
    """

    app: str
    secret: str
    """The secret's slot; empty when there is none."""
    where: str
    state: State
    said: str
    next_step: str | None = None
    exit_code: int = 0

    @property
    def arrived(self) -> bool:
        """Whether the place holds the newest secret."""
        return self.state in ("held", "delivered")


def open_sink(delivery: Delivery, app: str, cloud: Cloud, root: Path, environ: Mapping[str, str]) -> Sink:
    """The place that a delivery names."""
    place = delivery.place
    if isinstance(place, GitHubDelivery):
        return GitHub(place, environ)
    if isinstance(place, AzureDevOpsDelivery):
        return AzureDevOps(place, environ)
    if isinstance(place, GitLabDelivery):
        return GitLab(place, environ)
    if isinstance(place, KubernetesDelivery):
        return Kubernetes(place, root, environ)
    if isinstance(place, CommandDelivery):
        return Command(place, app, root, environ)
    return KeyVault(place, cloud, environ)


def newest(app: App) -> Mapping[str, Any] | None:
    """The entry of an app's newest client secret in the outputs; None when it has none."""
    return next((entry for entry in app.credentials if entry["kind"] == "secret" and entry["current"]), None)


def item_of(app: App) -> Item:
    """The newest secret of an app, for its way.

    Raises:
        ConfigurationError: it has none.
    """
    entry = newest(app)
    if entry is None or not app.secret:
        raise ConfigurationError(f"{app.name} has no client secret in the stack's outputs", next_step="run `pulumi up`")
    ends = dt.datetime.fromisoformat(entry["ends"])
    name = str(entry["name"]).removeprefix(SECRET_NAMES)
    return Item(app.name, app.tenant_id, app.client_id, entry["key_id"], name, ends, app.secret)


def deliver(
    outputs: Outputs,
    environment: Environment,
    cloud: Cloud,
    root: Path,
    *,
    check: bool = False,
    apps: Iterable[str] | None = None,
    patience: float = PATIENCE,
    proofs: Mapping[str, EntrantError | None] = MappingProxyType({}),
    environ: Mapping[str, str] = os.environ,
    tell: Callable[[Result], None] = lambda result: None,
    sleep: Callable[[float], None] = time.sleep,
    now: dt.datetime | None = None,
) -> list[Result]:
    """Deliver the newest secret of each app to its places, or with `check` only look; every place is tried, whatever others did.

    A secret is proved by tokens before it goes to the first place that does not hold it.

    Args:
        outputs: the stack's, with secrets.
        root: the project's folder, where programs run.
        apps: only these. Default: all.
        patience: seconds for which the directory may not know a new secret.
        proofs: what is known already, by app: why its newest secret does not work, or None.
        tell: called with each result as it comes.
    """
    results = []
    for name, declared in environment.apps.items():
        if not declared.deliveries or (apps is not None and name not in apps):
            continue
        proof = _Proof(cloud, patience, environ, now)
        if name in proofs:
            proof.found = [proofs[name]]
        for result in _of_app(name, declared.deliveries, outputs, proof, cloud, root, check, environ, sleep):
            results.append(result)
            tell(result)
    return results


def _of_app(
    name: str,
    deliveries: Iterable[Delivery],
    outputs: Outputs,
    proof: "_Proof",
    cloud: Cloud,
    root: Path,
    check: bool,
    environ: Mapping[str, str],
    sleep: Callable[[float], None],
) -> Iterator[Result]:
    app = outputs.apps.get(name)
    try:
        if app is None:
            raise ConfigurationError(
                f"the stack has no app {name}",
                next_step="run `pulumi up`, which makes it; if the stack has released it, take it out of the file",
            )
        item = item_of(app)
    except EntrantError as error:
        for delivery in deliveries:
            yield _failed(name, "", delivery.where, error, "")
        return
    noted = bool((newest(app) or {}).get("delivered"))
    for delivery in deliveries:
        sink = open_sink(delivery, name, cloud, root, environ)
        try:
            guard(sink.address(), cloud)
        except EntrantError as error:
            yield _failed(name, item.name, delivery.where, error, item.value)
            continue
        yield _to_sink(sink, delivery.where, item, lambda: proof.demand(app, item), noted, check, sleep)


class _Proof:
    """Whether a secret works, found out once and only when it is needed."""

    def __init__(self, cloud: Cloud, patience: float, environ: Mapping[str, str], now: dt.datetime | None) -> None:
        self._cloud, self._patience, self._environ = cloud, patience, environ
        self._now = now or dt.datetime.now(dt.UTC)
        self.found: list[EntrantError | None] = []

    def demand(self, app: App, item: Item) -> None:
        """Raise what is wrong with the newest secret of an app."""
        if item.ends <= self._now:
            raise ConfigurationError(
                f"the newest secret of {item.app} ended on {item.ends:%Y-%m-%d}",
                next_step="make the next one: `python3 -m entrant rotate`, or `pulumi up`",
            )
        if not self.found:
            self.found = [prove(app, self._cloud, seconds=self._patience, environ=self._environ)]
        if self.found[0] is not None:
            raise self.found[0]


def _to_sink(
    sink: Sink,
    where: str,
    item: Item,
    demand: Callable[[], None],
    noted: bool,
    check: bool,
    sleep: Callable[[float], None],
) -> Result:
    """One delivery, tried again where that may help."""
    for pause in (*_PAUSES, None):
        try:
            if not sink.readable:
                if noted or check:
                    state: State = "held" if noted else "missing"
                    message = (
                        "`rotate` noted that it was delivered; the place cannot be asked"
                        if noted
                        else "it cannot be asked what it holds"
                    )
                    return Result(item.app, item.name, where, state, message)
            else:
                held = sink.holds()
                if held == item.key_id:
                    return Result(item.app, item.name, where, "held", f"holds the secret {item.name}")
                if check:
                    message = f"does not hold the secret {item.name}" + (", but another one" if held else "")
                    return Result(item.app, item.name, where, "missing", message)
            demand()
            sink.put(item)
            if not sink.readable:
                return Result(
                    item.app, item.name, where, "delivered", f"took the secret {item.name}; it cannot be read back"
                )
            if sink.holds() != item.key_id:
                raise EntrantError("it took the secret, and does not say that it holds it when it is read back")
            return Result(item.app, item.name, where, "delivered", f"holds the secret {item.name} now")
        except EntrantError as error:
            if pause is None or not _may_pass(error):
                return _failed(item.app, item.name, where, error, item.value)
            sleep(pause)
    raise AssertionError("the last try returns")


def _may_pass(error: EntrantError) -> bool:
    """Whether it is worth asking again: not for what is refused, missing or not proved, nor after `http` has asked often enough."""
    if isinstance(error, RefusedError):
        return error.status in (408, 409, 429) or error.status >= 500
    return type(error) is EntrantError


def _failed(app: str, secret: str, where: str, error: EntrantError, value: str) -> Result:
    """A failure without the secret in it, should a place say it back."""
    message, step = _without(str(error), value), error.next_step and _without(error.next_step, value)
    return Result(app, secret, where, "failed", message, step, error.exit_code)


def _without(text: str, value: str) -> str:
    masker = Masker([value] if value else [])
    return (masker.feed(text.encode()) + masker.end()).decode("utf-8", "replace")
