"""How long a token takes: `entrant token` beside az, azure-identity, curl and `pulumi stack output`, at the same local Azure.

    python3 -m entrant test tests/test_structure.py    # once: sets up the virtual environment and Pulumi
    .entrant/venv/bin/python -m benchmarks.tokens [ROUNDS]

Rehearses `dev` first, for a stack and an app, and installs the Azure CLI from a package index below `.entrant/benchmarks/`.
The contenders of a group are run in turn, round after round, so that a slow moment of the machine meets all alike; the figures
are medians with their quartiles, and ratios to the first of the group, taken round by round.
"""

import argparse
import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import local_azure
from entrant import engine
from entrant.project import ROOT, STATE
from entrant.rehearsal import Rehearsal, environ

AZURE_CLI = "azure-cli==2.91.0"
STACK, APP = "dev", "log-reader"
HOME = STATE / "benchmarks"
AZURE_IDENTITY = """\
import os
from azure.identity import ClientSecretCredential

where = os.environ["AZURE_AUTHORITY_HOST"]
tenant, client, secret = (os.environ[f"AZURE_{name}"] for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET"))
credential = ClientSecretCredential(tenant, client, secret, authority=where, disable_instance_discovery=True)
print(credential.get_token(f"{where}/.default").token)
"""


@dataclass(frozen=True)
class Contender:
    """A command, what its output must hold, and what to do before each run of it (not measured)."""

    name: str
    command: list[str]
    env: Mapping[str, str]
    says: str = "eyJ"
    before: Callable[[], None] = lambda: None
    seconds: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Run it once."""
        self.before()
        started = time.perf_counter()
        done = subprocess.run(
            self.command, cwd=ROOT, env=dict(self.env), stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        self.seconds.append(time.perf_counter() - started)
        if done.returncode or self.says not in done.stdout:
            raise SystemExit(f"{self.name} failed ({done.returncode}): {done.stderr[-2000:]}")


def installed(home: Path, requirement: str, program: str) -> Path:
    """A program of a package, in a virtual environment of its own, which is made when it is missing."""
    found = home / "bin" / program
    if not found.exists():
        print(f"installing {requirement} …", file=sys.stderr)
        venv.EnvBuilder(with_pip=True, clear=True).create(home)
        pip = [str(home / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", requirement]
        subprocess.run(pip, check=True)
    return found


def log_in(az: Path, env: Mapping[str, str], secret: Path) -> None:
    """Have az know the local Azure as its cloud, and log it in as the app."""
    where = env["AZURE_AUTHORITY_HOST"]
    register = ["cloud", "register", "--name", "local", "--endpoint-resource-manager", where]
    register += ["--endpoint-active-directory", where, "--endpoint-active-directory-resource-id", where]
    login = ["login", "--service-principal", "--username", env["AZURE_CLIENT_ID"], "--password", f"@{secret}"]
    for arguments in (
        ["config", "set", "core.instance_discovery=false", "core.collect_telemetry=false"],
        register,
        ["cloud", "set", "--name", "local"],
        [*login, "--tenant", env["AZURE_TENANT_ID"], "--allow-no-subscriptions"],
    ):
        subprocess.run([str(az), *arguments, "--output", "none", "--only-show-errors"], env=dict(env), check=True)


@contextlib.contextmanager
def private(folder: Path, name: str, text: str) -> Iterator[Path]:
    """A file of its owner alone, for what must not be in a command line."""
    path = folder / name
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    yield path
    path.unlink()


def contenders(env: dict[str, str], folder: Path, az: Path, form: Path) -> dict[str, list[Contender]]:
    """The groups, each with what its ratios are to first."""
    python, where = sys.executable, env["AZURE_AUTHORITY_HOST"]
    cached = env | {"ENTRANT_TOKEN_CACHE": "1"}
    known = {name: value for name, value in env.items() if name != "ARM_METADATA_HOSTNAME"}
    token = [python, "-m", "entrant", "token"]
    get = [str(az), "account", "get-access-token", "--scope", f"{where}/.default"]
    url = f"{where}/{env['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    one = folder / "one file"
    one.write_text("eyJ")

    def forget() -> None:
        for name in ("msal_token_cache.json", "msal_http_cache.bin"):
            (Path(env["AZURE_CONFIG_DIR"]) / name).unlink(missing_ok=True)

    stack = ["-s", STACK, APP, "logs"]
    outputs = [str(engine.find(env)), "stack", "output", "--json", "--show-secrets", "-s", STACK]
    groups = {
        "cold, from `AZURE_*`": [
            Contender("`az account get-access-token`, logged in, no token kept", get, env, before=forget),
            Contender("`entrant token`, its cloud described by a metadata host", [*token, "logs"], env),
            Contender("`entrant token`, its cloud known, as Azure's are", [*token, f"{where}/.default"], known),
            Contender("azure-identity, a script of six lines", [python, "-c", AZURE_IDENTITY], env),
        ],
        "warm, from `AZURE_*`": [
            Contender(
                "a bare interpreter that reads one file", [python, "-c", f"print(open({str(one)!r}).read())"], env
            ),
            Contender("`entrant token`, `ENTRANT_TOKEN_CACHE=1`", [*token, "logs"], cached),
            Contender("the same with `--min-valid 10m`", [*token, "logs", "--min-valid", "10m"], cached),
            Contender("`az account get-access-token`, token kept", get, env),
        ],
        "from a stack": [
            Contender("`pulumi stack output --json --show-secrets`", outputs, env, says="client_secret"),
            Contender("`entrant token -s`", [*token, *stack], env),
            Contender("`entrant token -s`, `ENTRANT_TOKEN_CACHE=1`", [*token, *stack], cached),
        ],
    }
    curl = shutil.which("curl")
    if curl:
        command = [curl, "--silent", "--fail", "--cacert", env["REQUESTS_CA_BUNDLE"], "--data", f"@{form}", url]
        groups["cold, from `AZURE_*`"].append(Contender("curl, the one request alone", command, env))
    return groups


def measure(group: list[Contender], rounds: int) -> None:
    """Run a group: once unmeasured, then in turn."""
    for each in group:
        each.run()
        each.seconds.clear()
    for _ in range(rounds):
        for each in group:
            each.run()


def table(groups: Mapping[str, list[Contender]]) -> str:
    """The figures as Markdown."""
    lines = ["| | median | quartiles | ratio |", "|---|---|---|---|"]
    for title, group in groups.items():
        lines.append(f"| **{title}** | | | |")
        for each in group:
            low, middle, high = statistics.quantiles(each.seconds, n=4)
            ratio = statistics.median(mine / first for mine, first in zip(each.seconds, group[0].seconds, strict=True))
            lines.append(
                f"| {each.name} | {middle * 1000:.0f} ms | {low * 1000:.0f} to {high * 1000:.0f} | {ratio:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Rehearse, log in, measure, print."""
    parser = argparse.ArgumentParser(prog="benchmarks.tokens", description="How long a token takes.")
    parser.add_argument("rounds", nargs="?", type=int, default=21, help="how often each is run (default: %(default)s)")
    rounds: int = parser.parse_args().rounds
    az = installed(HOME / "azure-cli", AZURE_CLI, "az")
    rehearse = [sys.executable, "-m", "entrant", "rehearse", STACK]
    subprocess.run(rehearse, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
    rehearsal = Rehearsal(STACK)
    env = environ(rehearsal.settings(local_azure.start(rehearsal.azure)))
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # or Python would compile this project anew each time
    app = engine.stack_outputs(STACK, cwd=ROOT, environ=env).app(APP)
    assert app.secret is not None, f"{APP} has a secret in {STACK}"
    with tempfile.TemporaryDirectory(prefix="entrant-") as name:
        folder = Path(name)
        env |= {
            "AZURE_TENANT_ID": app.tenant_id,
            "AZURE_CLIENT_ID": app.client_id,
            "AZURE_CLIENT_SECRET": app.secret,
            "AZURE_CONFIG_DIR": str(folder / "az"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        form = f"grant_type=client_credentials&client_id={app.client_id}&client_secret={app.secret}"
        form += f"&scope={env['AZURE_AUTHORITY_HOST']}/.default"
        with private(folder, "secret", app.secret) as secret, private(folder, "form", form) as form_file:
            log_in(az, env, secret)
            groups = contenders(env, folder, az, form_file)
            for title, group in groups.items():
                print(f"{title} …", file=sys.stderr)
                measure(group, rounds)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{load}"
    print(f"{rounds} rounds, Python {platform.python_version()}, {AZURE_CLI}, {machine}\n\n{table(groups)}")


if __name__ == "__main__":
    main()
