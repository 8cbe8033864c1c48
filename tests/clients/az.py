"""azure-cli for tests: told only by its documented configuration where Azure is, a process a command or one for many."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_azure import LocalAzure
from tests.clients import installing
from tests.passes import Passes


class AzError(Exception):
    """az has refused; the message is what it said."""


@dataclass
class Az:
    """`az` with a configuration folder of its own."""

    folder: Path
    home: Path
    bundle: Path
    passes: Passes | None = None
    done: list[str] = field(default_factory=list)
    _many: subprocess.Popen[str] | None = None

    def __call__(self, command: str, *options: str, secret: str | None = None, how: str = "") -> Any:
        """Run `az COMMAND OPTIONS`, note that it works (`how`, for the table), and return the JSON that it prints.

        A secret is read from a file.
        """
        if secret is not None:
            file = self.home / "secret"
            file.touch(0o600)
            file.write_text(secret, "utf-8")
            options += ("--password", f"@{file}")
        run = self._alone if self._many is None else self._among_many
        shown = run([*command.split(), *options], f"az {command}")
        self.done.append(f"az {command} {how}".strip())
        if self.passes is not None:
            self.passes("azure-cli", self.done[-1])
        return json.loads(shown) if shown.strip() else None

    @contextlib.contextmanager
    def in_one_process(self) -> Iterator[None]:
        """Run the commands within in one process of azure-cli: it takes a second or two to start."""
        line = [self._python, str(Path(__file__).with_name("programs") / "az_many.py")]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            line, cwd=self.home, env=self._environ(), stdin=pipe, stdout=pipe, text=True
        ) as self._many:
            try:
                yield
            finally:
                process, self._many = self._many, None
                assert process.stdin is not None
                process.stdin.close()  # it ends with what it reads

    @property
    def _python(self) -> str:
        return str(self.folder / "bin" / "python")

    def _environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ARM_", "AZURE_"))}
        return kept | {
            "HOME": str(self.home),
            "PYTHONDONTWRITEBYTECODE": "",  # its modules are compiled once, when they are loaded
            "AZURE_CONFIG_DIR": str(self.home / "azure"),
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "AZURE_CORE_COLLECT_TELEMETRY": "false",
            "NO_PROXY": "localhost",
            "REQUESTS_CA_BUNDLE": str(self.bundle),
        }

    def _alone(self, arguments: list[str], name: str) -> str:
        line = [self._python, "-m", "azure.cli", *arguments, "--output", "json"]
        ran = subprocess.run(
            line,
            cwd=self.home,
            env=self._environ(),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
        )
        if ran.returncode:
            raise AzError(f"{name}: {ran.stderr}")
        return ran.stdout

    def _among_many(self, arguments: list[str], name: str) -> str:
        process = self._many
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(f"{json.dumps(arguments)}\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise AzError(f"{name}: azure-cli ended")
        answer = json.loads(line)
        if answer["code"]:
            raise AzError(f"{name}: {answer['error']}")
        return str(answer["shown"])


def signed_in_to(azure: LocalAzure, home: Path) -> Az:
    """az signed in as the deployer, to the cloud that the metadata endpoint describes."""
    az = Az(installing.pip("azure-cli"), home, azure.ca_bundle())
    az("cloud register", "--name", "LocalAzure", "--endpoint-resource-manager", azure.url, how="(from the metadata)")
    az("cloud set", "--name", "LocalAzure")
    sign_in(az, azure.tenant_id, azure.client_id, secret=azure.client_secret)
    return az


def endpoints(url: str) -> list[str]:
    """The options of `az cloud register` by which every endpoint is the local Azure's."""
    names = (
        "resource-manager",
        "active-directory",
        "active-directory-resource-id",
        "active-directory-graph-resource-id",
        "microsoft-graph-resource-id",
    )
    return [part for name in names for part in (f"--endpoint-{name}", url)]


def sign_in(az: Az, tenant: str, client: str, *options: str, secret: str | None = None) -> Any:
    """Sign a service principal in."""
    who = ["--username", client, "--tenant", tenant, *options]
    return az("login --service-principal", *who, secret=secret, how="--certificate" if secret is None else "--password")
