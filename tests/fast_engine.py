"""A year of a secret in a minute: the program's own calendar, rotation and delivery, on the local Azure, without Pulumi's engine.

`FastStack` does to secrets what an `up` does: it asks the program's own code which are to exist, makes and removes them in the
directory one by one, keeps a state as the engine does (after each step), and writes outputs only when all of it went well. It can
be killed before and after each change, here or at a place that secrets are delivered to.
"""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.declared import handed_out
from components.rotation import Due, due
from entrant import config, engine, http
from entrant import outputs as stack_outputs
from entrant.config.values import moment_text
from entrant.delivery import rotate as rotation
from entrant.facts.contract import ROTATION
from entrant.recovery import holding
from local_azure import LocalAzure
from tests.entrant import places as recording
from tests.local_azure.conftest import Client

APP = "reader"
PASSWORD = "azuread:index/applicationPassword:ApplicationPassword"
URN = "urn:pulumi:year::entrant::entrant:index:AppIdentity${}::{}"
IDENTITY = f"urn:pulumi:year::entrant::entrant:index:AppIdentity::{APP}"
FILE = """\
apps:
  reader:
    owners: [deployer]
    secret:
      every: {every}d
      overlap: {overlap}d
      starts: {starts}
      deliver:
        - github: {{repository: contoso/obs, environment: prod, name: READER}}
        - azure_devops: {{organization: {url}/devops/contoso, project: Obs, group: obs, name: READER}}
        - gitlab: {{project: contoso/obs, name: READER}}
"""


class Killed(BaseException):
    """The process is gone."""


@dataclass
class FastStack:
    """A stack with one app, whose secret goes to three places."""

    azure: LocalAzure
    places: recording.Places
    root: Path
    every: int = 90
    overlap: int = 7
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC).replace(microsecond=0))
    skew: dt.timedelta = dt.timedelta()
    """How far the deployer's clock is from Azure's."""
    outputs: dict[str, Any] = field(default_factory=dict)
    state: dict[str, dict[str, str]] = field(default_factory=dict)
    """Secrets in the state: slot → key id, value and end."""
    kill_at: int | None = None
    """Changes until the process is killed."""
    changes: list[str] = field(default_factory=list)
    """Every change that was made, in order."""
    _signed_in: tuple[dt.datetime, Client] | None = None
    left: bool = False
    """Whether a run was killed."""

    def __post_init__(self) -> None:
        (self.root / "config").mkdir()
        text = FILE.format(every=self.every, overlap=self.overlap, starts=f"{self.now:%Y-%m-%d}", url=self.places.url)
        (self.root / "config" / "year.yaml").write_text(text)
        self.environment = config.load("year", root=self.root)
        self.move(dt.timedelta())
        client = self.client()
        app = client.graph("POST", "/applications", {"displayName": APP})
        client.graph("POST", "/servicePrincipals", {"appId": app["appId"]})
        self.object_id, self.client_id = app["id"], app["appId"]

    # ------------------------------------------------------------------------------------------------------------- time

    def move(self, by: dt.timedelta) -> None:
        """Let time go by, in Azure and here."""
        self.now += by
        offset = (self.now - dt.datetime.now(dt.UTC)).total_seconds()
        self.azure.admin("PATCH", "settings", {"clock": {"offset": offset}})

    def client(self) -> Client:
        """Whoever deploys; signed in anew at each moment, since tokens end."""
        if self._signed_in is None or self._signed_in[0] != self.now:
            self._signed_in = (self.now, Client(self.azure))
        return self._signed_in[1]

    # ----------------------------------------------------------------------------------------------------- the engine

    def step(self, what: str, act: Callable[[], Any]) -> Any:
        """A change somewhere else, before or after which the process may be killed."""
        self._survive()
        done = act()
        self.changes.append(what)
        self._survive()
        return done

    def _change(self, what: str, action: str, body: dict[str, Any]) -> Any:
        """A change in the directory."""
        path = f"/applications/{self.object_id}/{action}"
        return self.step(what, lambda: self.client().graph("POST", path, body))

    def _survive(self) -> None:
        if self.kill_at is not None:
            self.kill_at -= 1
            if self.kill_at < 0:
                self.kill_at, self.left = None, True
                raise Killed

    def wanted(self) -> tuple[Due, ...]:
        """What the program declares."""
        secret = self.environment.apps[APP].secret
        assert secret
        return due(
            self.now + self.skew,
            every=secret.every,
            overlap=secret.overlap,
            starts=secret.starts,
            generation=secret.generation,
            handed_out=handed_out(self.outputs, (APP,)),
            pushed=True,
        )

    def operate(
        self,
        arguments: list[str],
        *,
        cwd: Path | None = None,
        environ: Mapping[str, str] = os.environ,
        on_event: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        """`preview` or `up`, in the place of `engine.operate`."""
        news = environ.get(ROTATION, "")
        os.environ[ROTATION] = news
        try:
            secrets = self.wanted()
        finally:
            del os.environ[ROTATION]
        names = {secret.name for secret in secrets}
        gone = [name for name in self.state if name not in names]
        new = [secret for secret in secrets if secret.name not in self.state]
        if arguments[0] == "preview":
            for event in self._events(new, gone):
                on_event(event)
            return
        for secret in new:
            body = {"displayName": f"entrant {secret.name}", "endDateTime": moment_text(secret.ends)}
            made = self._change(f"make {secret.name}", "addPassword", {"passwordCredential": body})
            self.state[secret.name] = {
                "key_id": made["keyId"],
                "value": made["secretText"],
                "ends": moment_text(secret.ends),
            }
        for name in gone:
            if self.state[name]["key_id"] in self.in_azure():  # what is gone already is fine
                self._change(f"remove {name}", "removePassword", {"keyId": self.state[name]["key_id"]})
            del self.state[name]
        self.step("write outputs", lambda: self._write(secrets))

    def _write(self, secrets: tuple[Due, ...]) -> None:
        values = [self.state[secret.name]["value"] for secret in secrets]
        entries = [
            {
                "kind": "secret",
                "name": f"entrant {secret.name}",
                "key_id": self.state[secret.name]["key_id"],
                "starts": moment_text(secret.issued),
                "issued": moment_text(secret.issued),
                "ends": moment_text(secret.ends),
                "successor_starts": moment_text(secret.successor),
                "kept_until": moment_text(secret.kept_until),
                "current": index == 0,
                "delivered": secret.delivered,
                "revoked": secret.revoked,
            }
            for index, secret in enumerate(secrets)
        ]
        app = {"grants": [], "object_id": self.object_id, "service_principal_id": "s", "display_name": APP}
        self.outputs = {
            "contract": 1,
            "tenant_id": self.azure.tenant_id,
            "cloud": "public",
            "reader_client_id": self.client_id,
            **dict(zip(("reader_client_secret", "reader_client_secret_previous"), values, strict=False)),
            "identities": {APP: {**app, "credentials": entries}},
        }

    def _events(self, new: list[Due], gone: list[str]) -> Iterator[dict[str, Any]]:
        """What the engine says of a preview."""
        yield {"preludeEvent": {"config": {"entrant:now": moment_text(self.now + self.skew)}}}
        stack = {"type": "pulumi:pulumi:Stack", "urn": "urn:pulumi:year::entrant::pulumi:pulumi:Stack::entrant-year"}
        held = {**stack, "outputs": copy.deepcopy(self.outputs)}
        yield {"resourcePreEvent": {"metadata": {"op": "same", **stack, "old": held, "new": held}}}
        for operation, names in (
            ("same", [name for name in self.state if name not in gone]),
            ("create", [secret.name for secret in new]),
            ("delete", gone),
        ):
            for name in names:
                ends = self.state[name]["ends"] if name in self.state else ""
                inputs = {"displayName": f"entrant {name}", "endDate": ends}
                urn = URN.format(PASSWORD, f"{APP}-secret-{name}")
                side = {"type": PASSWORD, "urn": urn, "parent": IDENTITY, "inputs": inputs}
                old, new_ = (side if operation != "create" else None), (side if operation != "delete" else None)
                metadata = {"op": operation, "type": PASSWORD, "urn": urn, "old": old, "new": new_}
                yield {"resourcePreEvent": {"metadata": metadata}}

    def read(self, *_: Any, **__: Any) -> stack_outputs.Outputs:
        """In the place of `engine.stack_outputs`."""
        return stack_outputs.parse(self.outputs)

    @contextlib.contextmanager
    def hold(self, *_: Any, **__: Any) -> Iterator[Any]:
        """In the place of `holding.hold`, whose recovery removes what the state does not know, and forgets what is gone."""
        if self.left:
            known, there = {secret["key_id"] for secret in self.state.values()}, self.in_azure().keys()
            for key in there - known:
                self._change("recover", "removePassword", {"keyId": key})
            self.state = {slot: secret for slot, secret in self.state.items() if secret["key_id"] in there}
        self.left = False
        yield type("Held", (), {})()

    # ------------------------------------------------------------------------------------------------------------ a run

    def rotate(self, revoked: rotation.Revoked | None = None) -> rotation.Report | None:
        """A run of `rotate`; None when it was killed."""
        environ = {
            **os.environ,
            "GH_TOKEN": recording.TOKEN,
            "GITHUB_API_URL": f"{self.places.url}/github",
            "AZURE_DEVOPS_EXT_PAT": recording.TOKEN,
            "GITLAB_TOKEN": recording.TOKEN,
            "GITLAB_HOST": f"{self.places.url}/gitlab",
        }
        made = rotation.Rotation(
            "year", self.environment, cwd=self.root, environ=environ, settle=0, patience=5, revoked=revoked or {}
        )
        try:
            return made.run()
        except Killed:
            return None
        finally:
            self.kill_at = None

    def call(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """`http.call` of places, whose changes are steps."""

        def call(method: str, url: str, **options: Any) -> Any:
            if method == "GET" or not url.startswith(self.places.url):
                return real(method, url, **options)
            return self.step(f"{method} {url.partition('//')[2].split('/')[1]}", lambda: real(method, url, **options))

        return call

    # ------------------------------------------------------------------------------------------------- what is promised

    def in_azure(self) -> dict[str, dt.datetime]:
        """The app's secrets in the directory: key id → end."""
        found = self.client().graph("GET", f"/applications/{self.object_id}")["passwordCredentials"]
        return {entry["keyId"]: dt.datetime.fromisoformat(entry["endDateTime"]) for entry in found}

    def held(self) -> dict[str, str | None]:
        """What each place holds."""
        return {
            "github": self.places.secrets.get("repos/contoso/obs/environments/prod/secrets/READER", {}).get("value"),
            "devops": self.places.group["variables"].get("READER", {}).get("value"),
            "gitlab": self.places.variables.get(("READER", "*"), {}).get("value"),
        }

    def described(self) -> dict[str, Any]:
        """What there is, by slots, for who reads a failure."""
        slots = {secret["value"]: slot for slot, secret in self.state.items()}
        entries = self.outputs["identities"][APP]["credentials"]
        return {
            "now": moment_text(self.now),
            "places": {place: slots.get(value or "", "unknown") for place, value in self.held().items()},
            "state": {slot: secret["ends"] for slot, secret in self.state.items()},
            "outputs": [(entry["name"], entry["issued"], entry["ends"], entry["delivered"]) for entry in entries],
        }

    def gives_a_token(self, value: str) -> bool:
        """Whether the app signs in with a secret now."""
        scope = "https://graph.microsoft.com/.default"
        return Client(self.azure, self.client_id, value).ask_token(scope).status_code == 200

    def broken(self) -> list[str]:
        """The promises that do not hold at this moment."""
        held = self.held()
        works = {value: self.gives_a_token(value) for value in set(held.values()) if value}
        live = [end for end in self.in_azure().values() if end > self.now]
        return [
            *(f"{place} has no secret that works" for place, value in held.items() if not value or not works[value]),
            *([f"{len(live)} secrets live"] if len(live) > 2 + self.left else []),
        ]


@contextlib.contextmanager
def in_place(stack: FastStack, patch: Any) -> Iterator[None]:
    """`rotate` with this engine in the place of Pulumi's."""
    patch.setattr(engine, "operate", stack.operate)
    patch.setattr(engine, "stack_outputs", stack.read)
    patch.setattr(holding, "hold", stack.hold)
    patch.setattr(http, "call", stack.call(http.call))
    patch.setattr("entrant.delivery.deliver.time.sleep", lambda seconds: None)
    yield
