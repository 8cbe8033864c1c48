"""Every key of the vocabulary, set, changed, taken away and set again through the real engine: each time one `up` does all of it.

Afterwards a preview shows no change and `drift` finds no difference. Tried with the azuread stand-in always, and with the real
plugin where there is one.
"""

import copy
import datetime
import itertools
import json
import os
import re
import shutil
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

import local_azure
from entrant import config, engine
from entrant.config import schema
from entrant.rehearsal import environ, users_home
from local_azure import plugins
from tests.conftest import ROOT, Project

SAMPLES = yaml.safe_load(Path(__file__).with_name("vocabulary.yaml").read_text("utf-8"))
STACK = "vocabulary"
SUBSCRIPTION = SAMPLES["environment"]["always"]["subscription"]
PARTS = (
    "certificates.*",
    "federated[]",
    "permissions[]",
    "api.pre_authorized[]",
    "roles[]",
    "groups[]",
    "directory_roles[]",
)
ELSEWHERE = {
    **dict.fromkeys(
        (
            *(
                f"{of}.adopt"
                for of in ("apps.*", "role_definitions.*", "certificates.*", "pre_authorized[]", "federated[]")
            ),
            *(f"{of}[].adopt" for of in ("directory_roles", "groups", "permissions", "roles")),
        ),
        "it needs ids of what exists: test_what_was_made_manually_is_taken_over_by_id_and_kept_on_removal",
    ),
    "change_adopted": "it goes with adopt: test_what_is_taken_over_is_not_changed_unless_the_app_says_so",
    **dict.fromkeys(
        (
            *(f"apps.*.{part}.on_remove" for part in PARTS),
            "role_definitions.*.on_remove",
        ),
        "it goes with adopt",
    ),
    **dict.fromkeys(
        (f"certificates.*.deliver[].{place}" for place in ("azure_devops", "gitlab")),
        "refused: it takes no text of several lines",
    ),
    "kept_credentials": "no resource: what drift and expiry know",
    "cloud": "a stack stays in its cloud, and the local Azure is of one",
    "defaults": "the keys of an app, merged into each before anything is declared",
    "drift": "no resource: what `drift` leaves out",
    "extends": "no resource: another file that is merged",
    "limits": "no resource: what validate refuses",
    "policy": "no resource: what validate reports",
    "renamed_from": "it stays where it was set: test_new_names_in_the_file_change_nothing_in_the_cloud",
    "tenant": "no resource: a run signed in elsewhere stops",
}
"""Keys, with all below them, that no sample sets, and why."""

SCOPES: tuple[Any, ...] = (
    "named",
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-id",
    {"subscription": SUBSCRIPTION},
    {"resource_group": "rg-form"},
    {"resource_group": "rg-form", "subscription": SUBSCRIPTION},
    {"management_group": "form"},
)
READERS = (
    "Reader", "Log Analytics Reader", "Monitoring Reader", "Storage Blob Data Reader", "Cost Management Reader",
    "Backup Reader", "Security Reader", "Key Vault Reader", "Billing Reader", "Workbook Reader",
    "Search Index Data Reader", "App Configuration Data Reader", "Storage Queue Data Reader", "Storage Table Data Reader",
    "Azure Event Hubs Data Receiver",
)  # fmt: skip
ROLES = (
    "Reader",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7",
    f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7",
    "mine",
)
TRUSTS: tuple[dict[str, Any], ...] = (
    {"github": {"repository": "contoso/form", "branch": "{n}"}},
    {
        "azure_devops": {
            "issuer": f"https://login.microsoftonline.com/{SUBSCRIPTION}/v2.0",
            "subject": "/eid1/c/pub/t/{n}",
        }
    },
    {"gitlab": {"project": "contoso/form", "branch": "{n}"}},
    {"kubernetes": {"issuer": "https://k8s.example.com", "namespace": "form", "service_account": "{n}"}},
    {"hcp_terraform": {"organization": "form", "workspace": "{n}", "run_phase": "plan"}},
    {"pulumi_cloud": {"organization": "form", "environment": "form/{n}"}},
    {"issuer": "https://general.example.com", "subject": "{n}"},
    {"issuer": "https://claims.example.com", "claims": "claims['sub'] matches '{n}'"},
)


def pairs_of(forms: tuple[Any, ...]) -> list[tuple[Any, Any]]:
    """Each two forms, every other pair the other way round."""
    return [pair if number % 2 else pair[::-1] for number, pair in enumerate(itertools.combinations(forms, 2))]


def form_pairs() -> dict[str, dict[str, Any]]:
    """Apps that go from one form of a value to another, for each two forms."""
    apps: dict[str, dict[str, Any]] = {}
    pairs = list(zip(READERS, pairs_of(SCOPES), strict=True))
    apps["scope-forms"] = {
        "always": {"allow_privileged": True, "reason": "Tries scopes of every kind"},
        **{
            state: {"roles": [{"role": role, "scope": pair[index]} for role, pair in pairs]}
            for index, state in enumerate(("first", "second"))
        },
    }
    apps["role-forms"] = {
        state: {
            "roles": [
                {"role": pair[index], "scope": {"resource_group": f"rg-role-{number}", "subscription": SUBSCRIPTION}}
                for number, pair in enumerate(pairs_of(ROLES))
            ]
        }
        for index, state in enumerate(("first", "second"))
    }
    for number, pair in enumerate(pairs_of(TRUSTS)):
        app = apps.setdefault(f"trust-forms-{number % 7}", {"first": {"federated": []}, "second": {"federated": []}})
        for trust, state in zip(pair, app.values(), strict=True):
            own = json.loads(json.dumps(trust).replace("{n}", f"n{number}"))
            state["federated"].append({"name": f"form-{number}", **own})
    return apps


APPS: dict[str, dict[str, Any]] = SAMPLES["apps"] | form_pairs()


def merged(under: Any, over: Any) -> Any:
    """Two states of a mapping, one over the other."""
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return copy.deepcopy(over)
    return {key: merged(under.get(key), over[key]) if key in over else under[key] for key in {**under, **over}}


def state(name: str) -> dict[str, Any]:
    """The environment in a state: `first`, `second`, or another that has neither."""
    environment = SAMPLES["environment"]
    apps = {key: merged(app.get("always", {}), app.get(name, {})) for key, app in APPS.items()}
    whole: dict[str, Any] = merged(environment["always"], environment.get(name, {})) | {"apps": apps}
    return whole


def keys_of_the_vocabulary() -> set[str]:
    """Every key of the models, by its path; `defaults` is not followed."""
    document = schema.schema()

    def walk(node: Any, path: str) -> Iterator[str]:
        if name := node.get("$ref", "").removeprefix("#/$defs/"):
            node = document["$defs"][name]
        for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())):
            yield from walk(choice, path)
        for key, inner in node.get("properties", {}).items():
            yield f"{path}.{key}" if path else key
            yield from walk(inner, f"{path}.{key}" if path else key) if (path, key) != ("", "defaults") else ()
        for inner in node.get("patternProperties", {}).values():
            yield from walk(inner, f"{path}.*")
        for name, mark in (("additionalProperties", ".*"), ("items", "[]")):
            if isinstance(node.get(name), dict):
                yield from walk(node[name], path + mark)

    return set(walk(document, ""))


MAPPINGS = ("apps", "apps.*.app_roles", "apps.*.api.scopes", "apps.*.certificates", "role_definitions", "scopes")


def values(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each key of a file, and its value."""
    if isinstance(node, Mapping):
        for key, inner in node.items():
            below = f"{path}.*" if path in MAPPINGS else f"{path}.{key}" if path else key
            if not below.endswith(".*"):
                yield below, json.dumps(inner, sort_keys=True, default=str)
            yield from values(inner, below)
    elif isinstance(node, list):
        for item in node:
            yield from values(item, f"{path}[]")


def by_key(name: str) -> dict[str, list[str]]:
    """The values of each key in a state of the samples."""
    found: dict[str, list[str]] = {}
    for key, value in sorted(values(state(name))):
        found.setdefault(key, []).append(value)
    return found


def test_every_key_of_the_vocabulary_has_a_sample_that_sets_changes_and_takes_it_away() -> None:
    first, second, without = (by_key(name) for name in ("first", "second", "without"))
    keys = keys_of_the_vocabulary()
    tried = {
        key for key in keys if not any(re.search(rf"(^|\.){re.escape(other)}($|[.\[])", key) for other in ELSEWHERE)
    }
    assert len(tried) > 150
    assert set(first) | set(second) == tried, "a key without a sample in tests/vocabulary.yaml, or a sample of no key"
    assert [key for key in sorted(tried) if first.get(key) == second.get(key)] == [], "never changed"
    count = {
        key: max(len(first.get(key, ())), len(second.get(key, ())))
        for key in tried - {"apps", "scopes", "subscription"}
    }
    assert [key for key in sorted(count) if len(without.get(key, ())) == count[key]] == [], "never taken away"


def test_each_state_of_the_samples_is_valid(tmp_path: Path) -> None:
    for folder in ("config", "examples"):
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "examples" / "logo.png", tmp_path / "examples")
    samples = Cycle(Project(tmp_path), "stand-in")
    for name in ("first", "second", "without"):
        samples.write(name)
        assert len(config.load(samples.stack, root=tmp_path).apps) == len(APPS)


def _certificate(name: str) -> str:
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    ends = datetime.datetime(2036, 1, 1, tzinfo=datetime.UTC)
    made = made.not_valid_before(ends - datetime.timedelta(days=3650)).not_valid_after(ends)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _has_real_plugin(folder: Path) -> bool:
    return (folder / "pulumi-resource-azuread").exists()


@pytest.fixture(scope="module", params=["stand-in", "real"])
def cycle(request: pytest.FixtureRequest, project: Project) -> Iterator["Cycle"]:
    """The environment file, and ways to run it with one kind of azuread plugin."""
    installed = plugins.directory(users_home(), "azuread", plugins.sdk_version("azuread"))
    if request.param == "real" and not (installed.is_dir() or shutil.which("pulumi-resource-azuread")):
        pytest.skip("there is no real azuread plugin, on PATH or installed by Pulumi")
    made = Cycle(project, request.param)
    yield made
    local_azure.stop(project.rehearsal(made.stack).azure)


class Cycle:
    """An environment, its states and what is seen of them."""

    def __init__(self, project: Project, plugin: str) -> None:
        self.project, self.plugin, self.stack = project, plugin, f"{STACK}-{plugin}"
        folder = project.root / "config"
        certificates = {name: _certificate(name) for name in ("one", "two", "three", "four")}
        self.pems = {name.upper(): pem for name, pem in certificates.items()}
        for name, pem in certificates.items():
            (folder / f"{name}.pem").write_text(pem)
        shutil.copy(project.root / "examples" / "logo.png", folder)
        header = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
        (folder / "other.gif").write_bytes(header + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\x00;")
        found = os.environ["PATH"].split(os.pathsep)
        kept = found if plugin == "real" else [folder for folder in found if not _has_real_plugin(Path(folder))]
        # Pulumi takes a plugin on PATH before any other.
        self.searched = os.pathsep.join([*project.environ()["PATH"].split(os.pathsep)[:2], *kept])

    def write(self, name: str) -> None:
        """Write the file of a state."""
        whole = state(name)
        for app in whole["apps"].values():
            for certificate in app.get("certificates", {}).values():
                if certificate.get("pem") in self.pems:
                    certificate["pem"] = self.pems[certificate["pem"]]
        self.project.write(self.stack, json.dumps(whole, default=str))

    def up(self) -> dict[str, int]:
        """Deploy it once; what was done."""
        which = ["--plugins", "stand-in"] if self.plugin == "stand-in" else []
        done = self.project.entrant("rehearse", self.stack, "--propagation", "0", "--json", *which, PATH=self.searched)
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        assert summary["plugins"]["azuread"] == self.plugin
        return dict(summary["changes"])

    def down(self) -> None:
        """Destroy it."""
        done = self.project.entrant("rehearse", self.stack, "--down", PATH=self.searched)
        assert done.returncode == 0, done.stderr

    def settings(self) -> dict[str, str]:
        """The rehearsal's settings."""
        rehearsal = self.project.rehearsal(self.stack)
        return rehearsal.settings(local_azure.start(rehearsal.azure))

    def preview(self) -> dict[str, Any]:
        """What another `up` would do: resource → operation and the properties that differ."""
        planned: dict[str, Any] = {}

        def note(event: engine.Event) -> None:
            if (found := event.get("resourcePreEvent")) and found["metadata"]["op"] != "same":
                metadata = found["metadata"]
                planned[metadata["urn"].rsplit("::", 2)[-1]] = (metadata["op"], metadata.get("diffs"))

        env = environ(self.settings()) | {"PATH": self.searched}
        engine.operate(["preview", "--stack", self.stack], cwd=self.project.root, environ=env, on_event=note)
        return planned

    def drift(self) -> str:
        """What `drift` says when something differs."""
        settings = self.settings() | {"PATH": self.searched}
        done = self.project.entrant("drift", "-s", self.stack, "--settle", "0", **settings)
        assert done.returncode in (0, 7), done.stderr
        return done.stdout + done.stderr if done.returncode else ""


def test_each_key_is_set_changed_taken_away_and_set_again_by_one_up_each(cycle: Cycle) -> None:
    for number, name in enumerate(("first", "second", "without", "first")):
        cycle.write(name)
        changes = cycle.up()
        assert set(changes) - {"same"}, name
        assert cycle.preview() == {}, f"after {name}"
        if number:  # what is made in the beginning is made again at the end
            assert cycle.drift() == "", f"after {name}"
    cycle.down()
