"""No key of the vocabulary is read and then dropped: each changes what is declared, and what a review of the files shows."""

import copy
import datetime as dt
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import pulumi
import pytest

from components import declare, issuing, stack_outputs
from entrant import config
from entrant.config.rotation import Due
from entrant.review import reviewer
from tests.components.mocked import Registered, deploy
from tests.conftest import ROOT, Project
from tests.test_vocabulary_cycle import APPS, SAMPLES, Cycle, keys_of_the_vocabulary, merged

NOW = "2026-11-20T00:00:00Z"
STATES = ("first", "second")

EITHER = {
    **dict.fromkeys(
        (f"apps.*.certificates.*.deliver[].{place}" for place in ("azure_devops", "gitlab")),
        "refused: it takes no text of several lines",
    ),
    "allow_privileged": "validate refuses what is privileged without it",
    "apps.*.federated[].github.pull_request": "one of several keys, and never there without a change of another",
    "apps.*.reason": "it is told with what is privileged",
    "apps.*.roles[].condition_version": "it is always 2.0",
    "defaults": "the keys of an app, merged into each before anything else",
    "extends": "another file that is merged",
}
NOT_DECLARED = EITHER | {
    **dict.fromkeys(
        (f"apps.*.secret.deliver[].{place}" for place in ("github", "azure_devops", "gitlab", "kubernetes", "exec")),
        "no resource: `entrant deliver` reads it",
    ),
    **dict.fromkeys(
        (f"apps.*.certificates.*.deliver[].{place}" for place in ("github", "kubernetes", "exec")),
        "no resource: `entrant deliver` reads it",
    ),
    **dict.fromkeys(
        (f"apps.*.{of}.deliver[].key_vault.adopt" for of in ("secret", "certificates.*")),
        "only of what the vault holds",
    ),
    "apps.*.certificates.*.renamed_from": "an alias alone, and only of what the state holds under the old name",
    "cloud": "a stack stays in its cloud",
    "drift": "no resource: what `drift` leaves out",
    "kept_credentials": "no resource: what drift and expiry know",
    "limits": "no resource: what validate refuses",
    "policy": "no resource: what validate reports",
    "tenant": "no resource: a run signed in elsewhere stops",
}
"""Keys, with all below them, that no resource shows, and why."""
NOT_REVIEWED = EITHER | {"renamed_from": "told with the new name, which is a change of that alone"}
"""Keys, with all below them, that a review of the files does not show, and why."""

EXTRA = SAMPLES["without_engine"]
ENVIRONMENT = {
    name: merged(SAMPLES["environment"][name], EXTRA["environment"].get(name, {})) for name in ("always", *STATES)
}
POLICY = ("error", "off")


def places(node: Any, key: str, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of a key, such as `apps.*.roles[].scope`, in a file."""
    step, _, rest = re.sub(r"(?<=[^.])\[\]", ".[]", key).partition(".")
    if step == "[]":
        found: Any = range(len(node)) if isinstance(node, list) else ()
    elif not isinstance(node, Mapping):
        found = ()
    else:
        found = list(node) if step == "*" else [step] if step in node else []
    for each in found:
        if rest:
            yield from places(node[each], rest, (*path, each))
        else:
            yield (*path, each)


def at(node: Any, path: tuple[Any, ...]) -> Any:
    """What is at a place."""
    for step in path:
        node = node[step]
    return node


def sample(app: str, name: str) -> dict[str, Any]:
    """A file of one app in a state, with those that it may name."""
    apps = {key: APPS[key].get("always", {}) for key in ("text", "name", "api-in-part")}
    own = (APPS | EXTRA["apps"])[app]
    apps[app] = merged(own.get("always", {}), own.get(name, {}))
    policy = dict.fromkeys(config.policy.RULES, POLICY[STATES.index(name)])
    whole: dict[str, Any] = merged(ENVIRONMENT["always"], ENVIRONMENT[name]) | {"apps": apps, "policy": policy}
    return whole


@cache
def files(key: str) -> tuple[dict[str, Any], ...]:
    """The files that have a key."""
    apps = [*APPS, *EXTRA["apps"]] if key.startswith("apps.") else ["roles", "role-forms"]
    made = (sample(app, name) for app in apps for name in STATES)
    return tuple(file for file in made if any(True for _ in places(file, key)))


def changed(key: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs of files that differ in nothing but the value of a key."""
    values = {
        json.dumps(at(file, path), default=str): at(file, path) for file in files(key) for path in places(file, key)
    }
    for file in files(key):
        for path in places(file, key):
            without = copy.deepcopy(file)
            del at(without, path[:-1])[path[-1]]
            yield file, without
            for value in values.values():
                if value != at(file, path):
                    other = copy.deepcopy(file)
                    at(other, path[:-1])[path[-1]] = value
                    yield file, other


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, Any]], config.Report]:
    """What a file says."""
    folder = tmp_path_factory.mktemp("effects")
    for name in ("config", "examples"):
        (folder / name).mkdir()
    shutil.copy(ROOT / "examples" / "logo.png", folder / "examples")
    samples = Cycle(Project(folder), "stand-in")
    reports: dict[str, config.Report] = {}

    def report(file: dict[str, Any]) -> config.Report:
        text = json.dumps(file, default=str)
        if text not in reports:
            for name, pem in samples.pems.items():
                text = text.replace(f'"pem": "{name}"', f'"pem": {json.dumps(pem)}')
            (folder / "config" / "x.yaml").write_text(text)
            reports[json.dumps(file, default=str)] = config.check("config/x.yaml", root=folder)
        return reports[json.dumps(file, default=str)]

    return report


def without_effect(
    read: Callable[[dict[str, Any]], config.Report],
    exceptions: Mapping[str, str],
    differ: Callable[[config.Report, config.Report], bool],
) -> list[str]:
    """The keys that no pair of valid files shows a difference for."""
    return [
        key
        for key in sorted(keys_of_the_vocabulary())
        if not any(re.search(rf"(^|\.){re.escape(other)}($|[.\[])", key) for other in exceptions)
        if not any(
            differ(one, other)
            for one, other in ((valid(read(one)), read(other)) for one, other in changed(key))
            if other.environment
        )
    ]


def valid(report: config.Report) -> config.Report:
    """A report without errors."""
    assert report.errors == ()
    return report


def seen(resource: Registered) -> tuple[Any, ...]:
    """A resource's inputs and those of its options that change what becomes of it."""
    request = resource.request
    options = (
        request.protect,
        request.retainOnDelete,
        request.importId,
        list(request.ignoreChanges),
        str(request.aliases),
        str(request.hooks),
    )
    return resource.type, resource.name, resource.inputs, *options


def made(app: str, calendar: str, about: Due) -> issuing.Issued:
    """A certificate that is the same whenever it is asked for."""
    pem = f"{app} {calendar} {about}"
    return issuing.Issued(about, pem, pem, pulumi.Output.secret(pem))


def test_every_key_changes_what_is_declared(
    read: Callable[[dict[str, Any]], config.Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARM_METADATA_HOSTNAME", "localhost")  # the providers are set to no cloud by name
    monkeypatch.setattr(issuing, "_made", made)
    declared: dict[int, list[tuple[Any, ...]]] = {}

    def resources(report: config.Report) -> list[tuple[Any, ...]]:
        environment = report.environment
        assert environment is not None
        if id(report) not in declared:
            done = deploy(lambda: stack_outputs(environment, declare(environment, now=NOW, before={})))
            declared[id(report)] = sorted((seen(resource) for resource in done.resources), key=str)
        return declared[id(report)]

    def differ(one: config.Report, other: config.Report) -> bool:
        try:
            return resources(one) != resources(other)
        except pulumi.RunError:  # the tenant does not have what the file names
            return False

    assert without_effect(read, NOT_DECLARED, differ) == []


def test_every_key_changes_what_a_review_of_the_files_shows(read: Callable[[dict[str, Any]], config.Report]) -> None:
    def differ(one: config.Report, other: config.Report) -> bool:
        now = dt.datetime.fromisoformat(NOW)
        review = reviewer.of_commits("x", reviewer.Base("before", one.environment), other, now=now)
        return any((review.apps, review.access, review.credentials, review.settings, review.breaks))

    assert without_effect(read, NOT_REVIEWED, differ) == []
