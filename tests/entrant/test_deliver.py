"""Client secrets on their way: what arrives at each place, in its own protocol, and what becomes of a place that fails."""

import base64
import dataclasses
import datetime as dt
import json
import os
import select
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from entrant import config, engine
from entrant import outputs as stack_outputs
from entrant.commands import deliver as command
from entrant.commands.revoke import choose, warn
from entrant.commands.rotate import summary
from entrant.config.delivery import GitHubDelivery, KubernetesDelivery
from entrant.delivery import deliver as delivery
from entrant.delivery import programs, proof, succession
from entrant.delivery.deliver import Result
from entrant.delivery.github import GitHub
from entrant.delivery.programs import Kubernetes
from entrant.delivery.rotate import Proof, Report
from entrant.errors import AuthenticationError, ConfigurationError, EntrantError
from entrant.facts.clouds import CLOUDS, Cloud
from tests.entrant import places as recording
from tests.entrant.authority import certificate

VALUES = {
    "k1": "a8Q~first.Value-of_the~secret123456789012",
    "k2": "b8Q~second.Value-of_the~secret12345678901",
    "c1": certificate()[0].decode(),
    "c2": certificate()[0].decode(),
}
"""By key id: client secrets, and certificates with their keys."""
NAMES = ("github", "github-environment", "devops", "gitlab", "kubernetes", "exec")
FOR_CERTIFICATES = ("github", "github-environment", "kubernetes", "exec")
TAKES = """\
import json, os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
if sys.argv[2:] == ["which"]:
    held = folder / "held.json"
    print(json.loads(held.read_text())["key_id"] if held.exists() else "")
    sys.exit()
value = sys.stdin.read()
(folder / "calls").open("a").write("x")
if (folder / "broken").exists():
    print("cannot store", value.partition("-----END")[0], file=sys.stderr)
    sys.exit(3)
told = {name: os.environ[f"ENTRANT_{name.upper()}"] for name in ("app", "client_id", "tenant_id", "key_id", "ends")}
told["certificate"] = os.environ.get("ENTRANT_CERTIFICATE", "")
(folder / "held.json").write_text(json.dumps(told | {"value": value, "argv": sys.argv}))
"""


@dataclass
class World:
    """Places, a project that delivers to some of them, and the stack's outputs."""

    places: recording.Places
    root: Path
    environ: dict[str, str]
    told: list[delivery.Result] = field(default_factory=list)
    proved: list[str] = field(default_factory=list)

    def forms(self) -> dict[str, dict[str, Any]]:
        """A delivery of each kind, as a file has it."""
        takes = [sys.executable, str(self.root / "takes.py"), str(self.root)]
        devops = {
            "organization": f"{self.places.url}/devops/contoso",
            "project": "Obs",
            "group": "obs",
            "name": "LOG_READER",
        }
        return {
            "github": {"github": {"repository": "contoso/obs", "name": "LOG_READER"}},
            "github-environment": {
                "github": {"repository": "contoso/obs", "environment": "prod eu", "name": "LOG_READER"}
            },
            "devops": {"azure_devops": devops},
            "gitlab": {"gitlab": {"project": "contoso/obs", "environment": "prod", "name": "LOG_READER"}},
            "kubernetes": {"kubernetes": {"context": "obs", "namespace": "obs", "name": "log-reader"}},
            "exec": {"exec": {"command": takes, "holds": [*takes, "which"]}},
        }

    def write(self, *forms: Mapping[str, Any], certificate: Sequence[Mapping[str, Any]] | None = None) -> None:
        """The environment's file: the places of the secret, and those of the certificate `signing`, if there is one."""
        app: dict[str, Any] = {"owners": ["deployer"], "secret": {"deliver": list(forms)}}
        if certificate is not None:
            app["certificates"] = {"signing": {"every": "365d", "overlap": "30d", "deliver": list(certificate)}}
        (self.root / "config" / "dev.yaml").write_text(yaml.safe_dump({"apps": {"log-reader": app}}))

    def deliver(
        self, *keys: str, check: bool = False, noted: bool = False, cloud: Cloud = CLOUDS["public"]
    ) -> list[delivery.Result]:
        """Deliver the secret or the certificate with each of these key ids; without any the first secret."""
        return delivery.deliver(
            self.outputs(*(keys or ("k1",)), noted=noted),
            config.load("dev", root=self.root),
            cloud,
            self.root,
            check=check,
            environ=self.environ,
            tell=self.told.append,
            sleep=lambda seconds: None,
            now=dt.datetime(2026, 11, 26, tzinfo=dt.UTC),
        )

    @staticmethod
    def outputs(*keys: str, noted: bool = False) -> stack_outputs.Outputs:
        """The stack's outputs, with what has these key ids."""
        entries, values = [], dict[str, Any]()
        for key in keys:
            kind = {"kind": "secret", "name": "entrant "}
            if key.startswith("c"):
                kind = {"kind": "certificate", "name": "signing-", "calendar": "signing"}
                values["log_reader_certificates"] = {"signing": VALUES[key]}
            else:
                values["log_reader_client_secret"] = VALUES[key]
            more = {"key_id": key, "current": True, "ends": f"2027-02-0{key[1]}T00:00:00Z", "delivered": noted}
            entries.append(kind | more | {"name": f"{kind['name']}2026-11-0{key[1]}"})
        app = {"grants": [], "object_id": "o", "service_principal_id": "s", "display_name": "d", "credentials": entries}
        return stack_outputs.parse(
            {
                "contract": 1,
                "tenant_id": "t",
                "cloud": "public",
                "log_reader_client_id": "c",
                **values,
                "identities": {"log-reader": app},
            }
        )

    def values(self) -> dict[str, str | None]:
        """What each place holds."""
        data = self.places.kubernetes.get("obs/log-reader", {"data": {}})["data"]
        secret = data.get("AZURE_CLIENT_SECRET") or data.get("client.pem", "")
        held = self.root / "held.json"
        paths = {
            "github": "repos/contoso/obs/actions/secrets/LOG_READER",
            "github-environment": "repos/contoso/obs/environments/prod eu/secrets/LOG_READER",
        }
        return {
            **{name: self.places.secrets.get(path, {}).get("value") for name, path in paths.items()},
            "devops": self.places.group["variables"].get("LOG_READER", {}).get("value"),
            "gitlab": self.places.variables.get(("LOG_READER", "prod"), {}).get("value"),
            "kubernetes": base64.b64decode(secret).decode() or None,
            "exec": json.loads(held.read_text())["value"] if held.exists() else None,
        }


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A world where secrets prove themselves."""
    (tmp_path / "config").mkdir()
    (tmp_path / "takes.py").write_text(TAKES)
    with recording.places() as places:
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "c", "cluster": {"server": places.kubernetes_url, "certificate-authority-data": places.ca}}
            ],
            "users": [{"name": "u", "user": {"token": recording.TOKEN}}],
            "contexts": [{"name": "obs", "context": {"cluster": "c", "user": "u"}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "GH_TOKEN": recording.TOKEN,
            "GITHUB_API_URL": f"{places.url}/github",
            "AZURE_DEVOPS_EXT_PAT": recording.TOKEN,
            "GITLAB_TOKEN": recording.TOKEN,
            "GITLAB_HOST": f"{places.url}/gitlab",
            "KUBECONFIG": str(tmp_path / "kubeconfig"),
        }
        made = World(places, tmp_path, environ)

        def prove(app: stack_outputs.App, calendar: str, *_: Any, **__: Any) -> None:
            made.proved.append(str(app.value(calendar)))

        monkeypatch.setattr(delivery, "prove", prove)
        yield made


def kinds() -> list[Any]:
    """The places, but for Kubernetes where there is no kubectl."""
    skip = pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
    return [pytest.param(name, marks=[skip] if name == "kubernetes" else []) for name in NAMES]


def both() -> list[Any]:
    """The same with what is delivered: a secret, or a certificate where that may go there."""
    marked = [(each.values[0], each.marks) for each in kinds()]
    certificates = [pytest.param(name, "c", marks=marks) for name, marks in marked if name in FOR_CERTIFICATES]
    return [*(pytest.param(name, "k", marks=marks) for name, marks in marked), *certificates]


def places_of(world: World, kind: str, name: str) -> None:
    """A file where what is delivered goes to one place."""
    form = world.forms()[name]
    world.write(*([form] if kind == "k" else []), certificate=[form] if kind == "c" else None)


@pytest.mark.parametrize(("name", "kind"), both())
def test_a_secret_or_a_certificate_arrives_once_and_its_successor_takes_its_place(
    name: str, kind: str, world: World
) -> None:
    places_of(world, kind, name)
    first, second = f"{kind}1", f"{kind}2"
    shown = {"k": "secret 2026-11-0", "c": "certificate signing-2026-11-0"}[kind]
    [missing] = world.deliver(first, check=True)
    assert (missing.state, world.values()[name], world.proved) == ("missing", None, [])
    assert missing.next_step == "`python3 -m entrant deliver` delivers it; `rotate` does so by itself"
    [delivered] = world.deliver(first)
    assert (delivered.state, delivered.said) == ("delivered", f"holds the {shown}1 now")
    assert world.values()[name] == VALUES[first]
    assert world.proved == [VALUES[first]]
    done = len(world.places.writes(name)), (world.root / "calls").exists()
    assert [result.state for result in (*world.deliver(first), *world.deliver(first, check=True))] == ["held", "held"]
    assert (len(world.places.writes(name)), (world.root / "calls").exists()) == done, "nothing is written twice"
    assert world.proved == [VALUES[first]], "and nothing is proved for nothing"
    [other] = world.deliver(second, check=True)
    assert (other.state, other.said) == ("missing", f"does not hold the {shown}2, but another one")
    assert [result.state for result in world.deliver(second)] == ["delivered"]
    assert world.values()[name] == VALUES[second]


@pytest.mark.parametrize(("name", "kind"), both())
def test_the_value_is_where_it_belongs_and_nowhere_else(name: str, kind: str, world: World) -> None:
    """In no address, in no file but the receiving program's, and at GitHub not even in a body."""
    places_of(world, kind, name)
    world.deliver(f"{kind}1")
    value = VALUES[f"{kind}1"].splitlines()[kind == "c"]
    in_clear = [body for _, path, body in world.places.requests if value in body or value in path]
    expected = {"github": 0, "github-environment": 0, "exec": 0, "kubernetes": 0}.get(name, 1)
    assert len(in_clear) == expected
    assert not any(value in path for _, path, _ in world.places.requests)
    shown = " ".join(f"{result.said} {result.next_step} {result}" for result in world.told)
    assert value not in shown
    files = [file for file in world.root.rglob("*") if file.is_file() and value in file.read_text(errors="replace")]
    assert files == ([world.root / "held.json"] if name == "exec" else [])
    if name == "exec":
        held = json.loads((world.root / "held.json").read_text())
        assert value not in held["argv"]
        assert {key: value for key, value in held.items() if key not in ("value", "argv")} == {
            "app": "log-reader",
            "client_id": "c",
            "tenant_id": "t",
            "key_id": f"{kind}1",
            "ends": "2027-02-01T00:00:00Z",
            "certificate": {"k": "", "c": "signing"}[kind],
        }


def test_a_failed_place_is_told_and_the_others_go_on(world: World) -> None:
    forms = world.forms()
    world.write(forms["github"], forms["devops"], forms["gitlab"], forms["exec"])
    (world.root / "broken").write_text("")
    world.places.refusals = {"devops": [403] * 9, "gitlab": [400] * 9}
    results = {result.where.split()[0]: result for result in world.deliver()}
    assert {where: result.state for where, result in results.items()} == {
        "github": "delivered",
        "azure_devops": "failed",
        "gitlab": "failed",
        "exec": "failed",
    }
    assert "Variable Groups" in str(results["azure_devops"].next_step)
    assert results["azure_devops"].exit_code == 4
    assert "cannot store ***" in results["exec"].said
    assert (world.root / "calls").read_text() == "xxx", "a program that failed is run again, twice"
    assert VALUES["k1"] not in repr(results), "even where a place says back what it was sent"
    world.places.refusals.clear()
    (world.root / "broken").unlink()
    assert [result.state for result in world.deliver()] == ["held", "delivered", "delivered", "delivered"]


@pytest.mark.parametrize("statuses", [[503, 502, 500], [409, 408, 429]])
@pytest.mark.parametrize("name", ["github", "devops", "gitlab"])
def test_what_passes_is_tried_again(name: str, statuses: list[int], world: World) -> None:
    world.write(world.forms()[name])
    world.places.refusals = {name: statuses}
    assert [result.state for result in world.deliver()] == ["delivered"]
    assert world.values()[name] == VALUES["k1"]


@pytest.mark.parametrize("status", [500, 403])
def test_github_killed_between_secret_and_note_is_delivered_again(status: int, world: World) -> None:
    world.write(world.forms()["github"])
    world.deliver()
    world.places.notes["repos/contoso/obs/actions/variables/LOG_READER_KEY_ID"]["value"] = "k0 2026-01-01T00:00:00Z"
    assert [result.state for result in world.deliver(check=True)] == ["missing"]
    assert [result.state for result in world.deliver()] == ["delivered"]


def test_a_secret_that_somebody_changed_after_the_delivery_is_delivered_again(world: World) -> None:
    """At GitHub by the time of the change, in Kubernetes by who owns the field."""
    world.write(world.forms()["github"])
    world.deliver()
    secret = world.places.secrets["repos/contoso/obs/actions/secrets/LOG_READER"]
    secret |= {"value": "by hand", "at": world.places.now()}
    assert [result.state for result in world.deliver(check=True)] == ["missing"]
    assert [result.state for result in world.deliver()] == ["delivered"]
    assert secret["value"] == "by hand" and world.values()["github"] == VALUES["k1"]
    assert [result.state for result in world.deliver()] == ["held"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_a_kubernetes_secret_keeps_what_is_not_ours_and_a_conflict_is_told(world: World) -> None:
    world.write(world.forms()["kubernetes"])
    world.deliver()
    held = world.places.kubernetes["obs/log-reader"]
    assert {key: base64.b64decode(value).decode() for key, value in held["data"].items()} == {
        "AZURE_CLIENT_ID": "c",
        "AZURE_TENANT_ID": "t",
        "AZURE_CLIENT_SECRET": VALUES["k1"],
    }
    held["data"]["OTHER"] = "b3RoZXI="
    world.deliver("k2")
    assert held["data"]["OTHER"] == "b3RoZXI="
    assert all(manager == "entrant" for manager in [entry["manager"] for entry in held["metadata"]["managedFields"]])
    held["metadata"]["managedFields"][0]["manager"] = "argocd"
    assert [result.state for result in world.deliver("k2", check=True)] == ["missing"], "another may have written it"
    held["metadata"]["managedFields"][0]["manager"] = "entrant"
    world.places.edit("obs/log-reader", "by hand")
    [failed] = world.deliver("k2")
    assert failed.state == "failed" and 'conflict with "kubectl-edit"' in failed.said
    assert "something else writes this Secret" in str(failed.next_step)
    assert VALUES["k2"] not in repr(failed) and base64.b64encode(VALUES["k2"].encode()).decode() not in repr(failed)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_a_kubernetes_secret_with_a_certificate_is_one_of_tls_and_has_what_azure_identity_reads(world: World) -> None:
    places_of(world, "c", "kubernetes")
    assert [result.state for result in world.deliver("c1")] == ["delivered"]
    held = world.places.kubernetes["obs/log-reader"]
    data = {key: base64.b64decode(value).decode() for key, value in held["data"].items()}
    assert held["type"] == "kubernetes.io/tls"
    assert data.keys() == {"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "tls.crt", "tls.key", "client.pem"}
    assert data["client.pem"] == VALUES["c1"] == data["tls.key"] + data["tls.crt"]
    key = serialization.load_pem_private_key(data["tls.key"].encode(), None)
    assert key.public_key() == x509.load_pem_x509_certificate(data["tls.crt"].encode()).public_key()
    world.places.edit("obs/log-reader", "by hand", "tls.key")
    assert [result.state for result in world.deliver("c1", check=True)] == ["missing"], "another may have written it"
    [failed] = world.deliver("c2")
    assert 'conflict with "kubectl-edit"' in failed.said
    lines = VALUES["c2"].partition("-----END")[0].splitlines()[1:]
    assert not any(line in repr(failed) or base64.b64encode(line.encode()).decode() in repr(failed) for line in lines)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
def test_a_kubernetes_secret_of_another_type_is_told_with_what_to_do(world: World) -> None:
    world.write(world.forms()["kubernetes"])
    world.deliver("k1")
    places_of(world, "c", "kubernetes")
    [failed] = world.deliver("k1", "c1")
    assert (failed.state, "field is immutable" in failed.said) == ("failed", True)
    assert failed.next_step == (
        "the Secret log-reader has another type than a certificate needs, and types cannot be changed: deliver under another name, "
        "or delete it and deliver again"
    )
    assert world.values()["kubernetes"] == VALUES["k1"], "nothing was changed"


@pytest.mark.parametrize("broken", ["secret", "certificate"])
def test_what_becomes_of_one_calendar_concerns_no_other(broken: str, world: World) -> None:
    forms = world.forms()
    first, second = (forms["exec"], forms["github"]) if broken == "secret" else (forms["github"], forms["exec"])
    world.write(first, certificate=[second])
    (world.root / "broken").write_text("")
    results = {result.calendar: result for result in world.deliver("k1", "c1")}
    calendar, other = ("secret", "signing") if broken == "secret" else ("signing", "secret")
    assert (results[calendar].state, results[other].state) == ("failed", "delivered")
    secret = [VALUES["k1"], *VALUES["c1"].partition("-----END")[0].splitlines()[1:]]
    assert [line for line in secret if line in repr(results)] == []
    assert "cannot store ***" in results[calendar].said
    (world.root / "broken").unlink()
    assert [result.state for result in world.deliver("k1", "c1")] == (
        ["delivered", "held"] if broken == "secret" else ["held", "delivered"]
    )


@pytest.mark.parametrize("unproved", ["secret", "signing"])
def test_what_does_not_prove_itself_keeps_nothing_of_another_calendar_back(
    unproved: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether that is found out on the way or is known already."""
    forms = world.forms()
    world.write(forms["github"], certificate=[forms["github-environment"]])
    refusal = AuthenticationError("AADSTS700027: unknown", code="AADSTS700027")
    monkeypatch.setattr(delivery, "prove", lambda app, calendar, *_, **__: refusal if calendar == unproved else None)
    known: list[dict[tuple[str, str], EntrantError | None]] = [{("log-reader", unproved): refusal}, {}]
    for proofs in known:
        results = delivery.deliver(
            world.outputs("k1", "c1"),
            config.load("dev", root=world.root),
            CLOUDS["public"],
            world.root,
            environ=world.environ,
            proofs=proofs,
            now=dt.datetime(2026, 11, 26, tzinfo=dt.UTC),
        )
        assert {result.calendar: (result.state, result.arrived) for result in results} == {
            unproved: ("failed", False),
            "signing" if unproved == "secret" else "secret": ("delivered" if proofs else "held", True),
        }


def test_revoke_finds_what_is_meant_by_its_slot_or_by_its_calendar(world: World) -> None:
    app = world.outputs("k1", "c1").apps["log-reader"]
    entries = (
        *({**entry, "name": f"{entry['name']}-2"} for entry in app.credentials),
        *({**entry, "current": False} for entry in app.credentials),
        {"kind": "certificate", "name": "mine", "current": True},
    )
    app = dataclasses.replace(app, credentials=entries)

    def chosen(slot: str | None, app: stack_outputs.App = app) -> tuple[str, str]:
        calendar, entry = choose(app, slot)
        return calendar, succession.slot(entry)

    newest, certificate_ = ("secret", "2026-11-01-2"), ("signing", "signing-2026-11-01-2")
    assert [chosen(slot) for slot in (None, "secret", "2026-11-01-2")] == [newest] * 3
    assert [chosen(slot) for slot in ("signing", "signing-2026-11-01-2")] == [certificate_] * 2
    assert chosen("2026-11-01") == ("secret", "2026-11-01")
    assert chosen("signing-2026-11-01") == ("signing", "signing-2026-11-01")
    only = dataclasses.replace(app, credentials=entries[1:2])
    assert chosen(None, only) == certificate_, "the only calendar that the app has"
    several = dataclasses.replace(only, credentials=(entries[1], {**entries[1], "calendar": "tls", "name": "tls-1"}))
    for slot, message in (
        (None, "log-reader has no client secret"),
        ("mine", "log-reader has no client secret mine, and no certificate of that name with a calendar"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            choose(several, slot)
        assert (str(caught.value), caught.value.next_step) == (
            message,
            "name one of those that there are: signing-2026-11-01-2, tls-1",
        )


@pytest.mark.parametrize(
    ("slot", "next_step"),
    [
        (
            "mine",
            "the app holds the key of mine: declare another certificate beside it in the file, then take "
            "`apps.log-reader.certificates.mine` out, each with an `up`",
        ),
        (
            "signing",
            "there is nothing to revoke: log-reader has no client secret, and no certificate that is issued here",
        ),
        (None, "there is nothing to revoke: log-reader has no client secret, and no certificate that is issued here"),
    ],
)
def test_revoke_says_what_to_do_with_a_certificate_that_no_up_makes(
    slot: str | None, next_step: str, world: World
) -> None:
    app = world.outputs("k1").apps["log-reader"]
    held = dataclasses.replace(app, credentials=({"kind": "certificate", "name": "mine", "current": True},))
    with pytest.raises(ConfigurationError) as caught:
        choose(held, slot)
    assert caught.value.next_step == next_step


def test_a_certificate_whose_key_is_lost_goes_nowhere_and_stays_where_it_is(world: World) -> None:
    places_of(world, "c", "github")
    world.deliver("c1")
    found = world.outputs("c1")
    lost = dataclasses.replace(found.apps["log-reader"], issued={})
    assert proof.prove(lost, "signing", CLOUDS["public"]) is not None
    stale = dataclasses.replace(found, apps={"log-reader": lost})
    environment = config.load("dev", root=world.root)
    deliver = partial(delivery.deliver, environment=environment, cloud=CLOUDS["public"], root=world.root)
    now = dt.datetime(2026, 11, 26, tzinfo=dt.UTC)
    [held] = deliver(stale, environ=world.environ, now=now)
    assert held.state == "held"
    world.places.secrets.clear()
    failure = proof.prove(lost, "signing", CLOUDS["public"])
    [failed] = deliver(stale, environ=world.environ, now=now, proofs={("log-reader", "signing"): failure})
    assert (failed.state, failed.said, failed.next_step) == (
        "failed",
        "the stack's outputs do not have the newest certificate signing of log-reader with its private key",
        "have another made: `python3 -m entrant revoke -s STACK log-reader signing`",
    )
    [none] = deliver(dataclasses.replace(found, apps={"log-reader": dataclasses.replace(lost, credentials=())}))
    assert (none.state, none.said) == ("failed", "log-reader has no certificate signing in the stack's outputs")


def test_other_variables_of_a_group_stay_secrets_included(world: World) -> None:
    world.write(world.forms()["devops"])
    world.deliver()
    assert world.places.group["variables"] == {
        "OTHER": {"value": "of somebody else", "isSecret": True},
        "REGION": {"value": "westeurope"},
        "LOG_READER": {"value": VALUES["k1"], "isSecret": True},
        "LOG_READER_KEY_ID": {"value": "k1"},
    }
    assert world.places.group["description"] == "for the observers"
    world.places.group["type"] = "AzureKeyVault"
    [failed] = world.deliver("k2")
    assert failed.state == "failed" and "linked to a Key Vault" in failed.said


def test_a_gitlab_variable_is_masked_and_protected(world: World) -> None:
    world.write(world.forms()["gitlab"])
    world.deliver()
    variable = world.places.variables["LOG_READER", "prod"]
    assert {key: variable[key] for key in ("masked", "protected", "raw", "environment_scope")} == {
        "masked": True,
        "protected": True,
        "raw": True,
        "environment_scope": "prod",
    }
    variable["masked"] = False
    assert [result.state for result in world.deliver(check=True)] == ["missing"], "one that shows in logs is not right"
    assert [result.state for result in world.deliver()] == ["delivered"]
    assert variable["masked"] is True


def test_a_secret_that_does_not_prove_itself_goes_nowhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    forms = world.forms()
    world.write(forms["github"], forms["devops"])
    refusal = AuthenticationError("AADSTS7000215: unknown", code="AADSTS7000215")
    errors: list[EntrantError] = []

    def prove(*_: Any, **__: Any) -> EntrantError:
        errors.append(refusal)
        return refusal

    monkeypatch.setattr(delivery, "prove", prove)
    results = world.deliver()
    assert [(result.state, result.exit_code) for result in results] == [("failed", 3), ("failed", 3)]
    assert len(errors) == 1, "it is proved once for all places"
    assert world.places.writes("") == []


def test_a_secret_that_has_ended_goes_nowhere(world: World) -> None:
    world.write(world.forms()["devops"])
    entry = {**world.outputs("k1").apps["log-reader"].credentials[0], "ends": "2026-11-25T00:00:00Z"}
    found = world.outputs("k1")
    app = found.apps["log-reader"]
    stale = dataclasses.replace(found, apps={"log-reader": dataclasses.replace(app, credentials=(entry,))})
    [result] = delivery.deliver(
        stale,
        config.load("dev", root=world.root),
        CLOUDS["public"],
        world.root,
        environ=world.environ,
        now=dt.datetime(2026, 11, 26, tzinfo=dt.UTC),
    )
    assert (result.state, result.said) == ("failed", "the newest secret of log-reader ended on 2026-11-25")
    assert world.places.writes("") == []


def test_a_place_that_takes_a_secret_and_holds_another_afterwards_has_failed(world: World) -> None:
    form = world.forms()["exec"]
    form["exec"]["holds"] = ["echo", "k0"]
    world.write(form)
    [result] = world.deliver()
    assert (result.state, result.said, result.exit_code) == (
        "failed",
        "it took the secret, and does not say that it holds it when it is read back",
        1,
    )
    assert (world.root / "calls").read_text() == "xxx", "it is tried again"


def test_a_program_that_fails_where_there_is_no_secret_yet_is_told_how_to_say_so(world: World) -> None:
    """`cat` of a file that is not there, for one."""
    form = world.forms()["exec"]
    form["exec"]["holds"] = ["false"]
    world.write(form)
    [result] = world.deliver()
    assert (result.state, result.said) == (
        "failed",
        "false ended with exit code 1; where there is no secret yet, `holds` prints nothing and ends with 0",
    )


def test_a_program_that_cannot_tell_is_run_until_rotate_has_noted_it(world: World) -> None:
    form = world.forms()["exec"]
    del form["exec"]["holds"]
    world.write(form)
    for _ in range(2):
        [result] = world.deliver()
        assert (result.state, result.said) == ("delivered", "took the secret 2026-11-01; it cannot be read back")
    assert [result.state for result in (*world.deliver(noted=True), *world.deliver(check=True))] == ["held", "missing"]
    assert (world.root / "calls").read_text() == "xx"


@pytest.mark.parametrize(
    ("name", "variable"), [("github", "GH_TOKEN"), ("devops", "AZURE_DEVOPS_EXT_PAT"), ("gitlab", "GITLAB_TOKEN")]
)
def test_a_missing_or_wrong_token_says_which_and_what_it_needs(name: str, variable: str, world: World) -> None:
    world.write(world.forms()[name])
    world.environ[variable] = "wrong"
    [refused] = world.deliver()
    assert (refused.state, refused.exit_code) == ("failed", 4)
    del world.environ[variable]
    [missing] = world.deliver()
    assert (missing.state, missing.exit_code) == ("failed", 2)
    assert variable in missing.said
    assert missing.next_step and refused.next_step


@pytest.mark.parametrize("name", ["github", "devops", "gitlab", "exec"])
def test_offline_or_without_the_program_it_fails_with_a_reason(name: str, world: World) -> None:
    forms = world.forms()
    world.write(forms[name])
    gone = "http://127.0.0.1:9"
    if name == "devops":
        forms[name]["azure_devops"]["organization"] = f"{gone}/devops/contoso"
        world.write(forms[name])
    if name == "exec":
        forms[name]["exec"]["command"] = forms[name]["exec"]["holds"] = ["./no-such-program"]
        world.write(forms[name])
    world.environ |= {"GITHUB_API_URL": gone, "GITLAB_HOST": gone}
    [failed] = world.deliver()
    assert failed.state == "failed"
    assert ("no answer" in failed.said) != (name == "exec")
    assert failed.next_step


@pytest.mark.parametrize("name", [kind for kind in kinds() if kind.values[0] != "exec"])
def test_a_secret_of_the_local_azure_goes_to_no_real_place_and_none_goes_in_the_clear(name: str, world: World) -> None:
    """In the shell of a rehearsal a delivery would else replace the secret that is in use."""
    local = dataclasses.replace(CLOUDS["public"], authority="https://localhost:43217")
    form = world.forms()[name]
    world.write(form)
    assert [result.state for result in world.deliver(cloud=local)] == ["delivered"], "a server of this machine"
    before = world.values()
    kubeconfig = Path(world.environ.get("KUBECONFIG", ""))
    for scheme, message in (("https", "is a real place"), ("http", "unencrypted")):
        url = f"{scheme}://code.contoso.com"
        world.environ |= {"GITHUB_API_URL": url, "CI_API_V4_URL": url, "GITLAB_HOST": url}
        if name == "kubernetes":
            config_ = yaml.safe_load(kubeconfig.read_text())
            config_["clusters"][0]["cluster"]["server"] = url
            kubeconfig.write_text(yaml.safe_dump(config_))
        if name == "devops":
            form["azure_devops"]["organization"] = f"{url}/contoso"
            world.write(form)
        [result] = world.deliver("k2", cloud=local)
        assert result.state == "failed" and "code.contoso.com" in result.said and message in result.said
    assert world.values() == before


def test_an_app_that_is_named_and_has_no_place_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write()
    monkeypatch.setattr(command, "declared", lambda *_: config.load("dev", root=world.root))
    monkeypatch.setattr(engine, "stack_outputs", lambda *_, **__: world.outputs("k1"))
    done = CliRunner().invoke(command.deliver, ["-s", "dev", "log-reader"], standalone_mode=False)
    assert (done.return_value, done.stdout, done.stderr) == (
        0,
        "",
        "! log-reader: there is no `deliver` under its `secret` or a certificate, so nothing is delivered\n",
    )
    done = CliRunner().invoke(command.deliver, ["-s", "dev"], standalone_mode=False)
    assert (
        done.output == "✓ dev: nothing is to be delivered: no app has `deliver` under its `secret` or a certificate\n"
    )


def test_an_app_that_the_stack_does_not_hold_says_what_to_do_after_a_release_too(world: World) -> None:
    world.write(world.forms()["exec"])
    [result] = delivery.deliver(
        dataclasses.replace(world.outputs("k1"), apps={}),
        config.load("dev", root=world.root),
        CLOUDS["public"],
        world.root,
        environ=world.environ,
    )
    assert (result.state, result.said, result.next_step) == (
        "failed",
        "the stack has no app log-reader",
        "run `pulumi up`, which makes it; if the stack has released it, take it out of the file",
    )


@pytest.mark.parametrize(
    ("environ", "address", "token"),
    [
        ({}, "https://api.github.com", "GH_TOKEN or GITHUB_TOKEN"),
        ({"GITHUB_API_URL": "https://ghe.corp/api/v3/"}, "https://ghe.corp/api/v3", "GH_TOKEN or GITHUB_TOKEN"),
        ({"GH_HOST": "github.com"}, "https://api.github.com", "GH_TOKEN or GITHUB_TOKEN"),
        ({"GH_HOST": "contoso.ghe.com"}, "https://api.contoso.ghe.com", "GH_TOKEN or GITHUB_TOKEN"),
        (
            {"GH_HOST": "ghe.corp", "GITHUB_API_URL": "https://api.github.com"},
            "https://ghe.corp/api/v3",
            "GH_ENTERPRISE_TOKEN or GITHUB_ENTERPRISE_TOKEN",
        ),
    ],
    ids=["github.com", "a job of a server", "named", "a company's at GitHub", "a server, from a job of github.com"],
)
def test_a_github_of_ones_own_gets_its_own_token_and_no_other(
    environ: dict[str, str], address: str, token: str
) -> None:
    github = GitHub(GitHubDelivery(repository="contoso/obs", name="READER"), environ)
    assert github.address() == f"{address}/repos/contoso/obs/actions/secrets"
    with pytest.raises(EntrantError, match=f"^{token} is not set$"):
        github.holds()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl")
@pytest.mark.parametrize("server", ["https://10.0.0.1", "https://[fd00::1]"])
def test_in_a_pod_without_a_kubeconfig_the_place_is_the_pods_own_cluster(server: str, tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": server[8:].strip("[]")}
    place = KubernetesDelivery(namespace="obs", name="reader")
    assert Kubernetes(place, tmp_path, environ).address() == server
    del environ["KUBERNETES_SERVICE_HOST"]
    with pytest.raises(EntrantError, match="current-context must exist"):
        Kubernetes(place, tmp_path, environ).address()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no process groups")
def test_a_program_that_does_not_end_is_killed_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "PATIENCE", 2.0)
    os.mkfifo(tmp_path / "held")
    reader = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with pytest.raises(
            EntrantError, match=r"^sh, or a program that it started, did not end within 2 s and was killed$"
        ):
            programs.run(["sh", "-c", "exec 3>held; sleep 60 & exit 0"], cwd=tmp_path, environ=os.environ)
        assert select.select([reader], [], [], 30) == ([reader], [], []), "what it started goes on"
        assert os.read(reader, 1) == b""
    finally:
        os.close(reader)


@pytest.mark.parametrize("newest", [True, False])
@pytest.mark.parametrize("delivered", [True, False])
@pytest.mark.parametrize("calendar", ["secret", "signing"])
def test_revoke_says_first_whom_it_leaves_without_a_secret(
    calendar: str, newest: bool, delivered: bool, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    forms, other = [world.forms()["github"]] if delivered else [], [world.forms()["github-environment"]]
    world.write(*(forms if calendar == "secret" else other), certificate=other if calendar == "secret" else forms)
    app = config.load("dev", root=world.root).apps["log-reader"]
    name, what = ("2026-11-01", "secret") if calendar == "secret" else ("signing-2026-11-01", "certificate")
    warn("log-reader", calendar, name, app.calendars[calendar], newest)
    lost, then, tokens = capsys.readouterr().out.splitlines()
    assert lost == (
        f"! log-reader: whoever uses the {what} {name} and is not named here cannot sign in once it is gone"
    )
    assert (
        then
        == {
            (True, True): "·   github contoso/obs LOG_READER gets another one first",
            (True, False): "·   github contoso/obs LOG_READER gets the newest first",
            (
                False,
                True,
            ): "·   no place is named under `deliver`: its consumers have no other when this one goes, and you bring them "
            "the new one afterwards",
            (False, False): "·   no place is named under `deliver`: see first that its consumers have the newest one",
        }[delivered, newest]
    )
    assert tokens.startswith("! tokens that were issued with it work on, 60 to 90 minutes, ")


def test_the_end_of_a_rotation_says_what_is_not_as_it_should_be(capsys: pytest.CaptureFixture[str]) -> None:
    held = Result("reader", "2026-09-28", "exec put", "held", "holds the secret 2026-09-28")
    failed = Result("pusher", "2026-12-27", "github contoso/obs A", "failed", "no answer", exit_code=1)
    summary("prod", Report(results=[held]))
    summary("prod", Report(results=[held, failed]))
    proof = Proof("pusher", "2026-12-27", EntrantError("no token"))
    summary("prod", Report(made=["pusher 2026-12-27"], removed=["reader 2026-09-28"], proofs=[proof]))
    assert capsys.readouterr().out.splitlines() == [
        "✓ prod: nothing was due",
        "✗ prod: nothing was due; 1 of 2 places without the newest",
        "✗ prod: made: pusher 2026-12-27; taken away: reader 2026-09-28; without tokens: pusher 2026-12-27",
    ]
