"""Whether the next run of a pipeline ends what a killed one began: kill -9 at random moments, and look at the cloud.

    python3 -m entrant test tests/test_structure.py    # once: sets up the virtual environment and Pulumi
    .entrant/venv/bin/python -m benchmarks.kills --trials 100 --seed 1

A trial runs what a pipeline runs, `entrant hold -- pulumi up`, on a new stack of the local Azure, kills one of its processes at a
random moment of the run, and runs it again, once. It has converged when that run ends well, a preview shows no changes, and the
directory holds each registration, service principal, secret, federated credential, consent and role of the stack once, and none
that the state does not know. Half of the trials kill the first `up` of a stack, half one that changes it. Trials go round victims
and backends; with the seed, the same moments are drawn again. Exit code 1 if a trial did not converge.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import local_azure
from entrant import engine, outputs
from entrant.access import deployer
from entrant.drift import unmanaged
from entrant.facts.marks import of_stack
from entrant.project import SOURCE as ROOT
from entrant.tokens import clouds
from local_azure import plugins
from tests.test_backends import MAKE

VICTIMS = ("engine", "program", "plugin", "azure", "helper", "job")
"""What is killed: a process of the job, the local Azure, or everything of the job at once, as with its machine."""
BACKENDS = ("file", "blob", "postgres")
GROUP = "3f0b0d0e-3333-4222-8333-444455556666"
SCOPES = [
    f"/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg-{name}/providers/"
    f"Microsoft.OperationalInsights/workspaces/law-{name}"
    for name in ("one", "two")
]
_COMMANDS = {
    "engine": lambda words: Path(words[0]).name == "pulumi",
    "program": lambda words: any("pulumi-language-python" in word for word in words),
    "plugin": lambda words: any("pulumi-resource-" in word or "local_azure.plugins" in word for word in words[:4]),
    "helper": lambda words: "hold" in words and "entrant" in words,
}
PIPELINE = {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "contoso/obs"}


def environment(stack: str, apps: int, *, changed: bool) -> str:
    """An environment of so many apps, of each kind one after the other; changed, it wants other things of most of them."""
    lines = ["policy: {}", "apps:"]
    for number in range(apps):
        kind = number % 4
        if changed and number == apps - 1:
            continue  # deleted
        lines += [
            f"  app-{number}:",
            f"    display_name: App {number} ({stack}){' II' if changed and kind == 1 else ''}",
        ]
        scope = SCOPES[1 if changed and kind == 2 else 0]
        if kind == 0:
            lines += ["    app_roles:", "      Read.All: {description: Reads, allowed: [Application]}"]
            lines += [
                f"    federated: [{{github: {{repository: contoso/obs, environment: {'b' if changed else 'a'}}}}}]"
            ]
        elif kind == 1:
            secret = "{every: 90d, overlap: 7d, generation: 2}" if changed else "{every: 90d, overlap: 7d}"
            lines += [f"    secret: {secret}", f"    roles: [{{role: Reader, scope: {scope}}}]", "    permissions:"]
            lines += [f"      - {{api: app-{number - 1}, application: [Read.All], consent: true}}"]
        elif kind == 2:
            lines += ["    secret: {every: 30d, overlap: 7d}", f"    roles: [{{role: Reader, scope: {scope}}}]"]
            delegated = "User.Read, Mail.Read" if changed else "User.Read"
            lines += [
                "    permissions:",
                f"      - {{api: Microsoft Graph, application: [User.Read.All], delegated: [{delegated}], consent: true}}",
            ]
        else:
            lines += [f"    groups: [{GROUP}]", "    directory_roles: [{role: Directory Readers}]"]
            lines += [f"    roles: [{{role: Reader, scope: {scope}}}]"]
    if changed:
        lines += ["  app-new:", f"    display_name: App new ({stack})", "    secret: {every: 90d, overlap: 7d}"]
    return "\n".join(line for line in lines if line != "policy: {}") + "\n"


@dataclass
class Place:
    """Where pipelines run: a copy of the project, a backend, a local Azure."""

    root: Path
    state: Path
    """The local Azure's."""
    backend: Mapping[str, str]
    _run: int = 0

    def azure(self) -> local_azure.LocalAzure:
        """The local Azure, started where it does not run."""
        return local_azure.start(self.state)

    def environ(self, *, run: int | None = None) -> dict[str, str]:
        """The environment of a job: the next run of the pipeline, unless a number is given."""
        foreign = ("ARM_", "AWS_", "AZURE_", "PULUMI_", "PG", "GITHUB_", "CI_", "GITLAB_", "TF_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        azure = self.azure()
        bundle = str(azure.ca_bundle())
        own = {
            "PULUMI_HOME": str(self.root / "home"),
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "SSL_CERT_FILE": bundle,
            "REQUESTS_CA_BUNDLE": bundle,
        }
        self._run += 1
        job = PIPELINE | {"GITHUB_RUN_ID": str(run or self._run), "GITHUB_RUN_ATTEMPT": "1"}
        return engine.environment(kept) | azure.settings() | own | dict(self.backend) | job

    def write(self, stack: str, text: str) -> None:
        """Write the environment of a stack."""
        (self.root / "config" / f"{stack}.yaml").write_text(text, "utf-8")

    def pulumi(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `pulumi` to its end."""
        return engine.run(list(arguments), cwd=self.root, environ=self.environ(), check=False)

    def up(self, stack: str, **more: str) -> "subprocess.Popen[str]":
        """Start the command of a pipeline, in a session of its own; `more` are further variables."""
        up = ["pulumi", "up", "--yes", "--skip-preview", "-s", stack]
        return subprocess.Popen(
            [sys.executable, "-m", "entrant", "hold", "-s", stack, "--settle", "0", "--", *up],
            cwd=self.root,
            env=self.environ() | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


@contextlib.contextmanager
def place(backend: str) -> Iterator[Place]:
    """A place, for a block."""
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        root = Path(folder) / "project"
        for part in ("components", "config", "entrant", "local_azure"):
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Pulumi.yaml", "__main__.py", "requirements.txt"):
            shutil.copy(ROOT / name, root / name)
        plugins.install(root / "home", sys.executable, root, plugins.NAMES)
        own = Path(folder) / "backend"
        own.mkdir()
        with MAKE[backend](own) as settings:
            made = Place(root, Path(folder) / "azure", settings)
            made.azure().admin("POST", "ensure", {"scopes": SCOPES, "groups": [GROUP]})
            try:
                yield made
            finally:
                local_azure.stop(made.state)


# ------------------------------------------------------------------------------------------------------------------- killing


def processes(session: int) -> dict[int, list[str]]:
    """The living processes of a session and their command lines (Linux)."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            words = status.with_name("cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found[int(status.parent.name)] = words
    return found


def kill(victim: str, session: int, azure: local_azure.LocalAzure, draw: random.Random) -> bool:
    """Kill a victim; whether it was there."""
    if victim == "azure":
        os.kill(azure.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(azure.pid, 0)
        return True
    alive = processes(session)
    chosen = alive if victim == "job" else {pid: 1 for pid, words in alive.items() if _COMMANDS[victim](words)}
    if victim == "plugin" and chosen:
        chosen = {draw.choice(sorted(chosen)): 1}
    for pid in chosen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(chosen)


# ------------------------------------------------------------------------------------------------------------------- looking


def faults(stack: str, place: Place) -> list[str]:
    """What is not as it should be after a run that ended well."""
    found = []
    preview = place.pulumi("preview", "--expect-no-changes", "-s", stack)
    if preview.returncode:
        found.append(f"a preview shows changes: {(preview.stdout + preview.stderr)[-600:]}")
    shown = engine.stack_outputs(stack, cwd=place.root, environ=place.environ())
    azure = place.azure()
    with _environ(place.environ()):
        who = deployer.find(clouds.resolve(shown.cloud, os.environ))
        assert who is not None
        look = unmanaged.look(shown, who)
        found += [str(item) for item in look.found] + [f"not seen: {what}" for what in look.unseen]
        tag = f"tags/any(t:t eq '{of_stack('entrant', stack)}')"
        for kind in ("applications", "servicePrincipals"):
            made = list(who.listed(who.graph(f"/{kind}", filter=tag), "graph"))
            if len(made) != len(shown.apps):
                found.append(f"{len(made)} {kind} have the mark, of {len(shown.apps)} apps")
        for app in shown.apps.values():
            found += [f"{app.name}: {what}" for what in _missing(app, who)]
    assert azure
    return found


def _missing(app: outputs.App, who: deployer.Deployer) -> Iterator[str]:
    there = who.graph(f"/applications/{app.object_id}", select="passwordCredentials")["passwordCredentials"]
    declared = {entry["key_id"] for entry in app.credentials if entry["kind"] == "secret"}
    if {entry["keyId"] for entry in there} != declared:
        yield f"{len(there)} secrets, {len(declared)} in the state"
    path = f"/applications/{app.object_id}/federatedIdentityCredentials"
    trusted = {entry["name"] for entry in who.graph(path)["value"]}
    if trusted != {entry["name"] for entry in app.credentials if entry["kind"] == "federated"}:
        yield f"federated credentials: {trusted}"
    consents = who.graph(f"/servicePrincipals/{app.service_principal_id}/appRoleAssignments")["value"]
    if len(consents) != sum(entry["kind"] == "application" and entry["consent"] for entry in app.permissions):
        yield f"{len(consents)} consents"
    for grant in app.grants:
        who.arm(str(grant.assignment_id))  # raises where there is none


@contextlib.contextmanager
def _environ(settings: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# -------------------------------------------------------------------------------------------------------------------- trials


@dataclass
class Trial:
    """What was killed when, and what came of it."""

    victim: str
    backend: str
    apps: int
    changing: bool
    moment: float
    once: bool = False
    """Whether the jobs write the state once, at their end."""
    killed: bool = False
    faults: list[str] = field(default_factory=list)
    output: str = ""

    def __str__(self) -> str:
        kind = f"{'change' if self.changing else 'first up'}{', once' if self.once else ''}"
        end = "converged" if not self.faults else "; ".join(self.faults)
        when = f"{self.moment:.2f} s" if self.killed else "after the end"
        return f"{self.backend:9} {self.victim:8} {self.apps:2} apps, {kind:16} {when:14} {end}"


def run(trial: Trial, stack: str, place: Place, draw: random.Random) -> None:
    """Make a trial."""
    made = place.pulumi("stack", "init", stack)
    assert made.returncode == 0, made.stderr
    place.write(stack, environment(stack, trial.apps, changed=False))
    if trial.changing:
        first = place.up(stack)
        output, _ = first.communicate()
        assert first.returncode == 0, output
        place.write(stack, environment(stack, trial.apps, changed=True))
    azure = place.azure()
    job = place.up(stack, **(engine.ONE_WRITE if trial.once else {}))
    until = time.monotonic() + trial.moment
    while time.monotonic() < until and job.poll() is None:
        time.sleep(0.01)
    while job.poll() is None and not trial.killed:  # a victim that is not there yet is waited for
        trial.killed = kill(trial.victim, job.pid, azure, draw)
        time.sleep(0.01)
    trial.output, _ = job.communicate()  # the job's own children keep its output open: until all have ended
    again = place.up(stack, **(engine.ONE_WRITE if trial.once else {}))
    output, _ = again.communicate()
    trial.output += f"\n--- again ---\n{output}"
    trial.faults = [f"the next run ended with {again.returncode}"] if again.returncode else faults(stack, place)


def table(trials: list[Trial]) -> str:
    """The trials, by victim and backend: converged of killed."""
    count: dict[Any, list[int]] = collections.defaultdict(lambda: [0, 0])
    for trial in (trial for trial in trials if trial.killed):
        for key in ((trial.victim, trial.backend), (trial.victim, "all"), ("all", trial.backend), ("all", "all")):
            count[key][0] += not trial.faults
            count[key][1] += 1
    backends = [*dict.fromkeys(trial.backend for trial in trials), "all"]
    lines = [f"| killed | {' | '.join(backends)} |", f"|---|{'---|' * len(backends)}"]
    for victim in (*dict.fromkeys(trial.victim for trial in trials), "all"):
        cells = [f"{count[victim, backend][0]} of {count[victim, backend][1]}" for backend in backends]
        lines.append(f"| {victim} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Print each trial as it ends, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--victims", default=",".join(VICTIMS))
    parser.add_argument(
        "--once", action="store_true", help="states are written once in each trial, not in every seventh"
    )
    parser.add_argument("--log", type=Path, help="a file for what the runs said that did not converge")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    done: list[Trial] = []
    backends, victims = options.backends.split(","), options.victims.split(",")
    shares = [
        options.trials // len(backends) + (index < options.trials % len(backends)) for index in range(len(backends))
    ]
    for backend, share in zip(backends, shares, strict=True):
        with place(backend) as here:
            lasts = {}
            for number in range(share):
                victim = victims[number % len(victims)]
                apps, changing = (20 if number % 10 == 9 else draw.choice([3, 4, 5])), draw.random() < 0.5
                if (apps, changing) not in lasts:  # how long a run takes that nobody kills
                    lasts[apps, changing] = _duration(here, apps, changing)
                moment = draw.uniform(0.05, 0.85) * lasts[apps, changing]
                trial = Trial(victim, backend, apps, changing, moment, once=options.once or number % 7 == 6)
                run(trial, f"kill{number}", here, draw)
                done.append(trial)
                print(f"{len(done):3} {trial}", flush=True)
                if trial.faults and options.log:
                    with options.log.open("a") as log:
                        log.write(f"=== {trial}\n{trial.output}\n")
    print(f"\n{table(done)}")
    print(json.dumps({"trials": len(done), "seed": options.seed, "converged": sum(not trial.faults for trial in done)}))
    return int(any(trial.faults for trial in done))


def _duration(place: Place, apps: int, changing: bool) -> float:
    stack = f"whole{apps}{'c' if changing else ''}"
    place.pulumi("stack", "init", stack)
    last = 0.0
    for changed in [False, True] if changing else [False]:
        place.write(stack, environment(stack, apps, changed=changed))
        begun = time.monotonic()
        job = place.up(stack)
        output, _ = job.communicate()
        assert job.returncode == 0, output
        last = time.monotonic() - begun
    return last


if __name__ == "__main__":
    sys.exit(main())
