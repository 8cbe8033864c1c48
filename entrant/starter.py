"""The files of a project of one's own: a Pulumi program that declares what `config/dev.yaml` says, and pipelines for it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import entrant
from entrant.config import schema
from entrant.errors import ConfigurationError

_HERE = Path(__file__).resolve().parent
PIPELINES: Final = _HERE / "pipelines" if (_HERE / "pipelines").is_dir() else _HERE.parent / "pipelines"
"""The pipelines of each code host: beside the package in a checkout, in it once it is installed."""
HOSTS: Final = {"github": ".github/workflows", "azure-devops": "pipelines/azure-devops", "gitlab": "pipelines/gitlab"}
"""Code host → the folder of a repository that holds its pipelines."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
"""A name of a project that Pulumi takes."""

PROGRAM: Final = '''\
"""The Pulumi program: load the stack's environment, declare its app identities, export what their users need.

Stack configuration: `entrant:environment`, a file instead of `config/<stack>.yaml`; `entrant:now`, the moment that secret
calendars are read at instead of the clock's.
"""

import pulumi

from entrant.components import declare, load, own_outputs, stack_outputs

settings = pulumi.Config("entrant")
environment = load(settings.get("environment") or pulumi.get_stack())
identities = declare(environment, now=settings.get("now"), before=own_outputs())
for name, value in stack_outputs(environment, identities).items():
    pulumi.export(name, value)
'''
_DEV = """\
# yaml-language-server: $schema=environment.schema.json
policy:
  missing-owner: off # until the apps below say their owners

scopes:
  # Put the id of your Log Analytics workspace here. A rehearsal makes whatever stands here on the local Azure.
  logs: /subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/law

apps:
  log-reader:
    display_name: Log reader (dev)
    description: Queries the Log Analytics workspace.
    secret: {every: 90d, overlap: 7d}
    roles:
      - {role: Reader, scope: logs}
"""
_POLICY = '''\
"""The policy rules: `pulumi preview --policy-pack policy`, and `up` likewise."""

from entrant.policy.pack import serve

serve()
'''
_REQUIREMENTS = """\
# The version that this project was made with. No package index has Entrant yet: make its wheels in a checkout,
#     pip wheel --no-deps --wheel-dir FOLDER . ./local_azure
# and name their folder here, in a line of its own: --find-links FOLDER
# To hold every package to its hashes: uv pip compile --generate-hashes requirements.txt -o requirements.lock, and install that
# file with --require-hashes wherever this one is installed.
entrant[pulumi,local]=={version}
"""


def project_name(folder: Path, name: str | None) -> str:
    """The name of a project: the one given, or made of its folder's.

    Raises:
        ConfigurationError: Pulumi takes no such name.
    """
    made = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.absolute().name).strip("-.")
    found = made if name is None else name
    if not _NAME.fullmatch(found):
        raise ConfigurationError(
            f'"{found}" is no name for a Pulumi project: letters, digits, - _ and . after a letter, at most 100',
            next_step="give another: --name NAME",
        )
    return found


def files(name: str, host: str | None = None) -> dict[str, str]:
    """The project's files, by their path in its folder; `host` is whose pipelines it has (`HOSTS`)."""
    found = {
        "Pulumi.yaml": f"name: {name}\ndescription: App identities, declared in YAML\nruntime: python\n",
        "Pulumi.dev.yaml": "# Settings of the stack `dev`; its apps are in config/dev.yaml.\nconfig: {}\n",
        "__main__.py": PROGRAM,
        "config/dev.yaml": _DEV,
        "config/environment.schema.json": schema.text(),
        "requirements.txt": _REQUIREMENTS.format(version=entrant.__version__),
        ".gitignore": "/.entrant/\n__pycache__/\n.venv/\n",
        "policy/PulumiPolicy.yaml": "description: The rules of Entrant about app identities\nversion: 1.0.0\nruntime: python\n",
        "policy/__main__.py": _POLICY,
    }
    if host is not None:
        for source in sorted((PIPELINES / host).glob("*.yml")):
            found[f"{HOSTS[host]}/{source.name}"] = _installing(source.read_text("utf-8"), host)
    return found


def write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files into a folder, which is made if it is not there.

    Raises:
        ConfigurationError: some are there already, or cannot be written; the first is found out before anything is written.
    """
    taken = [path for path in texts if os.path.lexists(folder / path)]
    if taken:
        listed = "".join(f"\n    {path}" for path in taken)
        raise ConfigurationError(
            f"{folder} has files of these names already, and nothing was written:{listed}",
            next_step="name another folder, or move them away",
        )
    try:
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with (folder / path).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename or folder} could not be written: {error.strerror}",
            next_step="name another folder",
        ) from None


# ------------------------------------------------------------------------------------------------------------- pipelines

_STEPS: Final = {
    "github": """\
- name: Install Entrant
  run: |
    python3 -m venv "$RUNNER_TEMP/venv"
    "$RUNNER_TEMP/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
    echo "$RUNNER_TEMP/venv/bin" >> "$GITHUB_PATH"
""",
    "azure-devops": """\
- script: |
    python3 -m venv "$AGENT_TEMPDIRECTORY/venv"
    "$AGENT_TEMPDIRECTORY/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
    echo "##vso[task.prependpath]$AGENT_TEMPDIRECTORY/venv/bin"
  displayName: Install Entrant
""",
}
_CHECKOUT: Final = re.compile(
    r"^(?P<indent> *)- (?:uses: actions/checkout@|checkout: self).*\n(?:(?P=indent) .*\n)*", re.M
)
_GITLAB: Final = (
    "python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore -r requirements.txt"
)


def _installing(text: str, host: str) -> str:
    """A pipeline of the checkout as one of a repository that installs Entrant first: a checkout sets itself up."""
    text = text.replace("docs/pipelines.md", "docs/pipelines.md of Entrant")
    if host == "gitlab":  # each pipeline includes the file with `.session`
        session = text.replace("  before_script:\n", f"  before_script:\n    - {_GITLAB}\n")
        return session if session == text else f"default:\n  before_script:\n    - {_GITLAB}\n\n{session}"

    def with_step(found: re.Match[str]) -> str:
        return found[0] + "".join(f"{found['indent']}{line}\n" for line in _STEPS[host].splitlines())

    return _CHECKOUT.sub(with_step, text)
