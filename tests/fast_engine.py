"""A year of a secret and a certificate in two minutes: the program's own calendars, rotation and delivery, without Pulumi's engine.

On the local Azure `FastStack` does what an `up` does: it asks the program's own code which are to exist, makes and removes them in
the directory one by one, keeps a state as the engine does (after each step), and writes outputs only when all of it went well. It
can be killed before and after each change, here or at a place that they are delivered to.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import datetime as dt
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from entrant import config, engine, http
from entrant import outputs as stack_outputs
from entrant.config.rotation import Due, due, handed_out
from entrant.config.values import moment_text
from entrant.delivery import deliver, programs
from entrant.delivery import rotate as rotation
from entrant.errors import EntrantError
from entrant.facts.contract import CLIENT_SECRET, ROTATION, issued_name
from entrant.facts.pulumi_types import CERTIFICATE, PASSWORD
from entrant.recovery import holding
from local_azure import LocalAzure
from tests.entrant import places as recording
from tests.entrant.authority import certificate
from tests.local_azure.conftest import Client

APP = "reader"
SIGNING = "signing"
"""The certificate's calendar."""
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
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
    certificates:
      signing:
        every: {rare}d
        overlap: {overlap}d
        starts: {starts}
        deliver:
          - github: {{repository: contoso/obs, name: SIGNING}}
          - exec: {{command: [put], holds: [which]}}
"""


class Killed(BaseException):
    """The process is gone."""


@dataclass
class FastStack:
    """A stack with one app, whose secret goes to three places, and whose certificate goes to two."""

    azure: LocalAzure
    places: recording.Places
    root: Path
    every: int = 90
    rare: int = 140
    """Days of a slot of the certificate's calendar."""
    overlap: int = 7
    now: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC).replace(microsecond=0))
    skew: dt.timedelta = dt.timedelta()
    """How far the deployer's clock is from Azure's."""
    outputs: dict[str, Any] = field(default_factory=dict)
    state: dict[str, dict[str, str]] = field(default_factory=dict)
    """What the state has: slot → calendar, key id, end, and a secret's value or a certificate without its key."""
    seen: dict[str, str] = field(default_factory=dict)
    """Values that were made → slot."""
    program: dict[str, str] = field(default_factory=dict)
    """What the program of the certificate has stored: value and key id."""
    down: bool = False
    """Whether that program fails."""
    kill_at: int | None = None
    """Changes until the process is killed."""
    changes: list[str] = field(default_factory=list)
    """Every change that was made, in order."""
    _signed_in: tuple[dt.datetime, Client] | None = None
    left: bool = False
    """Whether a run was killed."""

    def __post_init__(self) -> None:
        (self.root / "config").mkdir()
        text = FILE.format(
            every=self.every, rare=self.rare, overlap=self.overlap, starts=f"{self.now:%Y-%m-%d}", url=self.places.url
        )
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

    def wanted(self) -> dict[str, tuple[str, Due]]:
        """What the program declares: slot → calendar and what is due, of each calendar the newest first."""
        found = {}
        for calendar, rule in self.environment.apps[APP].calendars.items():
            for each in due(
                self.now + self.skew,
                every=rule.every,
                overlap=rule.overlap,
                starts=rule.starts,
                generation=rule.generation,
                handed_out=handed_out(self.outputs, (APP,), calendar),
                pushed=True,
            ):
                slot = each.name if calendar == CLIENT_SECRET else issued_name(calendar, each.name)
                found[slot] = calendar, each
        return found

    def slots(self, calendar: str) -> list[str]:
        """The slots of a calendar that the program declares, newest first."""
        return [slot for slot, (of, _) in self.wanted().items() if of == calendar]

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
            wanted = self.wanted()
        finally:
            del os.environ[ROTATION]
        entries = self.outputs.get("identities", {}).get(APP, {}).get("credentials", ())
        with_key = {entry["name"] for entry in entries if entry["kind"] == "certificate"}
        # A certificate that never came to the outputs has lost its key, and another takes its place in the state.
        lost = [slot for slot, held in self.state.items() if held["calendar"] != CLIENT_SECRET and slot not in with_key]
        gone = [slot for slot in self.state if slot not in wanted]
        new = [slot for slot in wanted if slot not in self.state]
        replaced = [slot for slot in lost if slot in wanted]
        if arguments[0] == "preview":
            for event in self._events(new, gone, replaced, wanted):
                on_event(event)
            return
        made: dict[str, str] = {}
        left = [self.state[slot] for slot in replaced]
        for slot in (*new, *replaced):
            calendar, about = wanted[slot]
            made[slot] = self._make_secret(slot, about) if calendar == CLIENT_SECRET else self._issue(slot, about)
            self.seen[made[slot]] = slot
        for held in left:
            self._remove("the lost one", held)
        for slot in gone:
            self._remove(slot, self.state[slot])
            del self.state[slot]
        self.step("write outputs", lambda: self._write(wanted, made))

    def _make_secret(self, slot: str, about: Due) -> str:
        ends = moment_text(about.ends)
        body = {"displayName": f"entrant {slot}", "endDateTime": ends}
        made = self._change(f"make {slot}", "addPassword", {"passwordCredential": body})
        value = str(made["secretText"])
        self.state[slot] = {"calendar": CLIENT_SECRET, "key_id": made["keyId"], "value": value, "ends": ends}
        return value

    def _issue(self, slot: str, about: Due) -> str:
        pem, der = certificate(starts=self.now - dt.timedelta(hours=1), ends=about.ends)
        entry = {
            "type": "AsymmetricX509Cert",
            "usage": "Verify",
            "key": base64.b64encode(der).decode(),
            "keyId": str(uuid.uuid4()),
            "endDateTime": moment_text(about.ends),
        }
        self.step(
            f"make {slot}", lambda: self._certificates([*self._registered("keyCredentials")["keyCredentials"], entry])
        )
        public = pem.decode().partition("-----END PRIVATE KEY-----\n")[2]
        self.state[slot] = {"calendar": SIGNING, "key_id": entry["keyId"], "pem": public, "ends": entry["endDateTime"]}
        return pem.decode()

    def _remove(self, what: str, held: Mapping[str, str]) -> None:
        """Remove something from the directory, unless it is gone already."""
        if held["key_id"] not in self.in_azure(held["calendar"]):
            return
        if held["calendar"] == CLIENT_SECRET:
            self._change(f"remove {what}", "removePassword", {"keyId": held["key_id"]})
        else:
            there = self._registered("keyCredentials")["keyCredentials"]
            left = [each for each in there if each["keyId"] != held["key_id"]]
            self.step(f"remove {what}", lambda: self._certificates(left))

    def _certificates(self, entries: list[dict[str, Any]]) -> None:
        self.client().graph("PATCH", f"/applications/{self.object_id}", {"keyCredentials": entries})

    def _registered(self, what: str) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = self.client().graph(
            "GET", f"/applications/{self.object_id}?$select={what}"
        )
        return found

    def _write(self, wanted: Mapping[str, tuple[str, Due]], made: Mapping[str, str]) -> None:
        entries, issued = [], {}
        newest: set[str] = set()
        for slot, (calendar, about) in wanted.items():
            held = self.state[slot]
            entry = {
                "kind": "secret",
                "name": f"entrant {slot}",
                "key_id": held["key_id"],
                "starts": moment_text(about.issued),
                "issued": moment_text(about.issued),
                "ends": moment_text(about.ends),
                "successor_starts": moment_text(about.successor),
                "kept_until": moment_text(about.kept_until),
                "current": calendar not in newest,
                "delivered": about.delivered,
                "revoked": about.revoked,
            }
            if calendar != CLIENT_SECRET:
                entry |= {"kind": "certificate", "name": slot, "calendar": calendar, "pem": held["pem"]}
                if calendar not in newest:
                    issued[calendar] = made.get(slot) or self.outputs["reader_certificates"][calendar]
            newest.add(calendar)
            entries.append(entry)
        values = [self.state[slot]["value"] for slot, (calendar, _) in wanted.items() if calendar == CLIENT_SECRET]
        app = {"grants": [], "object_id": self.object_id, "service_principal_id": "s", "display_name": APP}
        self.outputs = {
            "contract": 1,
            "tenant_id": self.azure.tenant_id,
            "cloud": "public",
            "reader_client_id": self.client_id,
            **dict(zip(("reader_client_secret", "reader_client_secret_previous"), values, strict=False)),
            "reader_certificates": issued,
            "identities": {APP: {**app, "credentials": entries}},
        }

    def _events(
        self, new: list[str], gone: list[str], replaced: list[str], wanted: Mapping[str, tuple[str, Due]]
    ) -> Iterator[dict[str, Any]]:
        """What the engine says of a preview."""
        yield {"preludeEvent": {"config": {"entrant:now": moment_text(self.now + self.skew)}}}
        stack = {"type": "pulumi:pulumi:Stack", "urn": "urn:pulumi:year::entrant::pulumi:pulumi:Stack::entrant-year"}
        held = {**stack, "outputs": copy.deepcopy(self.outputs)}
        yield {"resourcePreEvent": {"metadata": {"op": "same", **stack, "old": held, "new": held}}}
        for operation, slots in (
            ("same", [slot for slot in self.state if slot not in (*gone, *replaced)]),
            ("create", new),
            ("replace", replaced),
            ("delete", gone),
        ):
            for slot in slots:
                ends = self.state[slot]["ends"] if slot in self.state else ""
                calendar = self.state[slot]["calendar"] if slot in self.state else wanted[slot][0]
                type_, name = PASSWORD, f"{APP}-secret-{slot}"
                inputs = {"displayName": f"entrant {slot}", "endDate": ends}
                if calendar != CLIENT_SECRET:
                    type_, name = CERTIFICATE, f"{APP}/{calendar}/{slot.removeprefix(f'{calendar}-')}"
                    inputs = {"endDate": ends, "type": "AsymmetricX509Cert"}
                urn = URN.format(type_, name)
                side = {"type": type_, "urn": urn, "parent": IDENTITY, "inputs": inputs}
                old, new_ = (side if operation != "create" else None), (side if operation != "delete" else None)
                metadata = {"op": operation, "type": type_, "urn": urn, "old": old, "new": new_}
                yield {"resourcePreEvent": {"metadata": metadata}}

    def read(self, *_: Any, **__: Any) -> stack_outputs.Outputs:
        """In the place of `engine.stack_outputs`."""
        return stack_outputs.parse(self.outputs)

    @contextlib.contextmanager
    def hold(self, *_: Any, **__: Any) -> Iterator[Any]:
        """In the place of `holding.hold`, whose recovery removes what the state does not know, and forgets what is gone."""
        if self.left:
            there = {key: calendar for calendar in (CLIENT_SECRET, SIGNING) for key in self.in_azure(calendar)}
            known = {held["key_id"] for held in self.state.values()}
            for key in there.keys() - known:
                self._remove("what nobody knows", {"key_id": key, "calendar": there[key]})
            self.state = {slot: held for slot, held in self.state.items() if held["key_id"] in there}
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

    def execute(self, command: list[str], *, stdin: str = "", environ: Mapping[str, str], **_: Any) -> str:
        """The certificate's program, in the place of `programs.run`."""
        if list(command) == ["which"]:
            return self.program.get("key_id", "")
        assert (environ["ENTRANT_APP"], environ["ENTRANT_CERTIFICATE"]) == (APP, SIGNING)
        if self.down:
            raise EntrantError("put ended with exit code 3")
        self.step("put", lambda: self.program.update(value=stdin, key_id=environ["ENTRANT_KEY_ID"]))
        return ""

    # ------------------------------------------------------------------------------------------------- what is promised

    def in_azure(self, *calendars: str) -> dict[str, dt.datetime]:
        """What the app has of these calendars (without any, of all) in the directory: key id → end."""
        of = {CLIENT_SECRET: "passwordCredentials", SIGNING: "keyCredentials"}
        app = self._registered(",".join(of.values()))
        found = [each for calendar in calendars or of for each in app[of[calendar]]]
        return {entry["keyId"]: dt.datetime.fromisoformat(entry["endDateTime"]) for entry in found}

    def held(self) -> dict[str, str | None]:
        """What each place holds: three have the secret, two the certificate."""
        return {
            "github": self.places.secrets.get("repos/contoso/obs/environments/prod/secrets/READER", {}).get("value"),
            "devops": self.places.group["variables"].get("READER", {}).get("value"),
            "gitlab": self.places.variables.get(("READER", "*"), {}).get("value"),
            "github's certificate": self.places.secrets.get("repos/contoso/obs/actions/secrets/SIGNING", {}).get(
                "value"
            ),
            "exec": self.program.get("value"),
        }

    def described(self) -> dict[str, Any]:
        """What there is, by slots, for who reads a failure."""
        entries = self.outputs["identities"][APP]["credentials"]
        return {
            "now": moment_text(self.now),
            "places": {place: self.seen.get(value or "", "unknown") for place, value in self.held().items()},
            "state": {slot: held["ends"] for slot, held in self.state.items()},
            "outputs": [(entry["name"], entry["issued"], entry["ends"], entry["delivered"]) for entry in entries],
        }

    def gives_a_token(self, value: str) -> bool:
        """Whether the app signs in with a secret, or with a certificate by its key, now."""
        form = {"client_id": self.client_id, "client_secret": value}
        if "CERTIFICATE" in value:
            public = x509.load_pem_x509_certificate(value.partition("-----END PRIVATE KEY-----\n")[2].encode())
            now, url = int(self.now.timestamp()), f"{self.azure.url}/{self.azure.tenant_id}/oauth2/v2.0/token"
            claims = {"iss": self.client_id, "sub": self.client_id, "aud": url, "nbf": now, "exp": now + 600}
            thumbprint = base64.urlsafe_b64encode(public.fingerprint(hashes.SHA1())).decode().rstrip("=")
            proof = jwt.encode(claims, _private_key(value), "RS256", headers={"x5t": thumbprint})
            form |= {"client_secret": "", "client_assertion": proof, "client_assertion_type": ASSERTION}
        return self.client().ask_token("https://graph.microsoft.com/.default", **form).status_code == 200

    def broken(self) -> list[str]:
        """The promises that do not hold at this moment."""
        held = self.held()
        works = {value: self.gives_a_token(value) for value in set(held.values()) if value}
        live = {
            calendar: len([end for end in self.in_azure(calendar).values() if end > self.now])
            for calendar in (CLIENT_SECRET, SIGNING)
        }
        return [
            *(f"{place} has nothing that works" for place, value in held.items() if not value or not works[value]),
            *(f"{count} of {calendar} live" for calendar, count in live.items() if count > 2 + self.left),
        ]


@cache
def _private_key(pem: str) -> Any:
    """The key of a certificate; reading one checks it, which takes longer than signing with it."""
    return load_pem_private_key(pem.encode(), None)


@contextlib.contextmanager
def in_place(stack: FastStack, patch: Any) -> Iterator[None]:
    """`rotate` with this engine in the place of Pulumi's, and without pauses."""
    patch.setattr(deliver, "_PAUSES", (0.0,) * len(deliver._PAUSES))
    patch.setattr(engine, "operate", stack.operate)
    patch.setattr(engine, "stack_outputs", stack.read)
    patch.setattr(holding, "hold", stack.hold)
    patch.setattr(http, "call", stack.call(http.call))
    patch.setattr(programs, "run", stack.execute)
    # An assertion is valid for ten minutes by the clock of whoever makes it, which here goes with Azure's.
    patch.setattr("msal.oauth2cli.assertion.time", SimpleNamespace(time=lambda: stack.now.timestamp()))
    patch.setattr("entrant.delivery.deliver.time.sleep", lambda seconds: None)
    yield
