"""What runs at every start and for every app has not doubled, beside what it cannot do without.

Each path is measured with its own baseline in the same run: CPU seconds, the lesser of two tries made in turn, so that a busy
machine does not matter. The ratios beside the paths are of 2026-11-26.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRIES = 2
MOST = 1.8
"""How many times its ratio a path may cost: less than double, more than what two runs on a busy machine differ by."""
START = "import time; begun = time.process_time()\n"
END = "\nprint(time.process_time() - begun)"
FILE = """
from pathlib import Path
file = Path(__import__("sys").argv[1]) / "many.yaml"
scope = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg"
app = "  app-{0}:\\n    secret: {{every: 90d, overlap: 7d}}\\n    roles: [{{role: Reader, scope: " + scope + "}}]\\n"
file.write_text("apps:\\n" + "".join(app.format(number) for number in range(300)))
"""
REVIEW = """
import datetime as dt
from pathlib import Path
from entrant import config
from entrant.review import reviewer
app = "  app-{0}: {{federated: [{{github: {{repository: {1}/r{0}, branch: main}}}}]}}\\n"
def report(owner):
    file = Path(__import__("sys").argv[1]) / f"{owner}.yaml"
    file.write_text("apps:\\n" + "".join(app.format(number, owner) for number in range(1500)))
    return config.check(file)
before, after = report("one"), report("two")
"""
PROGRAM = """
from tests.components.mocked import deploy
import pulumi_azuread as azuread
from components import AppIdentity
def plain(name):
    app = azuread.Application(name, display_name=name)
    azuread.ServicePrincipal(name, client_id=app.client_id)
    azuread.ApplicationPassword(name, application_id=app.id, end_date="2099-01-01T00:00:00Z")
def own(name):
    AppIdentity(name, {"display_name": name, "secret": {"every": "90d", "overlap": "7d"}, "now": "2026-11-26T00:00:00Z"})
deploy(lambda: own("first"))
"""
PATHS = {
    "the program's imports": (
        "",
        "import pulumi, pulumi_azuread, pydantic, yaml; from pulumi_azure_native import authorization",
        "import components",
        1.6,
    ),
    "a warm token's imports": ("", "import runpy, json, re, typing", "import runpy, entrant.tokens.warm", 0.5),
    "a new token's imports": (
        "",
        "import click, http.client, inspect, ssl; ssl.create_default_context()",
        "import entrant.cli, entrant.commands.token, entrant.tokens.exchange as e; e.prepare()",
        1.6,
    ),
    "a file of 300 apps": (
        FILE + "import yaml; from entrant import config; config.check('dev')",
        "yaml.safe_load(file.read_text())",
        "assert config.check(file).environment",
        0.6,
    ),
    "a review of 1,500 changed credentials": (
        REVIEW,
        "report('one'), report('two')",
        "reviewer.of_commits('dev', reviewer.Base('main', before.environment), after, now=dt.datetime.now(dt.UTC))",
        0.4,
    ),
    "a program of 60 apps": (
        PROGRAM,
        "deploy(lambda: [plain(f'a{number}') for number in range(60)])",
        "deploy(lambda: [own(f'a{number}') for number in range(60)])",
        1.6,
    ),
}
"""What is measured → what comes before, the baseline, the path, and how many times as much it cost."""


def seconds(before: str, code: str, folder: Path) -> float:
    """The CPU time that a fresh interpreter needs for code."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", before + "\n" + START + code + END, str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1])


@pytest.mark.parametrize("path", PATHS)
def test_a_hot_path_has_not_doubled(path: str, tmp_path: Path) -> None:
    before, baseline, code, ratio = PATHS[path]
    tries = [(seconds(before, baseline, tmp_path), seconds(before, code, tmp_path)) for _ in range(TRIES)]
    least, taken = (min(column) for column in zip(*tries, strict=True))
    print(f"{path}: {taken / least:.2f} times {least:.3f} s")
    assert taken <= MOST * ratio * least, f"{path}: {taken / least:.2f} times {least:.3f} s; it was {ratio} times"
