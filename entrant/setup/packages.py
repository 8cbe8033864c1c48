"""Python packages, each held to its hashes: installed by uv, in a tenth of pip's time and told what pip is; else by pip."""

import ast
import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from entrant.setup.installers import WORDS, SetupError, pip_install, run, scrubbed

UV: Final = Path(__file__).resolve().parent / "toolchain" / "uv.txt"
_AS_UV: Final = {
    "index-url": ("UV_DEFAULT_INDEX",),
    "extra-index-url": ("UV_INDEX",),
    "no-index": ("UV_NO_INDEX",),
    "find-links": ("UV_FIND_LINKS",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "no-cache-dir": ("UV_NO_CACHE",),
    "cert": ("SSL_CERT_FILE",),
    "client-cert": ("SSL_CLIENT_CERT",),
    "proxy": ("HTTPS_PROXY", "HTTP_PROXY"),
}
"""Settings of pip, and the variables that tell uv the same. Sources: pip, "Configuration"; uv, "Environment variables"."""
_NO_MATTER: Final = re.compile(
    "break-system-packages|cache-dir|(no-)?compile|config-file|(default-)?timeout|disable-pip-version-check|exists-action|log"
    "|no-color|no-input|no-python-version-warning|no-warn-script-location|only-binary|prefer-binary|progress-bar|quiet"
    "|require-hashes|require-virtualenv|retries|root-user-action|verbose"
)
"""Settings of pip that change nothing of what is installed here, and from where."""
_SELDOM: Final = (
    r"[\\/]pulumi_azure_native[\\/](?!authorization[\\/]|keyvault[\\/]|[^\\/]*$)"
    r"|[\\/](setuptools|debugpy|pip|pygments[\\/]lexers|azure[\\/]mgmt)[\\/]"
)
"""What is compiled when it is loaded: nine tenths of all the packages' text."""


def install(python: Path, *wanted: str | Path, log: Path, remedy: str, cwd: Path) -> None:
    """Install what the words for pip ask for (`-r FILE`) into the environment of an interpreter, and compile what is often loaded.

    Raises:
        SetupError: neither uv nor pip could, with the remedy.
    """
    variables = as_uv(pip_settings(python), os.environ)
    if variables is None or not _by_uv(python, wanted, log, cwd, variables):
        run(pip_install(python, "--no-compile", *wanted), log, remedy=remedy, cwd=cwd)
    with contextlib.suppress(SetupError):  # a file that is no Python of this version stays as it is
        run([python, "-m", "compileall", "-q", "-j", "0", "-x", _SELDOM, python.parent.parent], log, remedy=remedy)


def _by_uv(python: Path, wanted: Sequence[str | Path], log: Path, cwd: Path, variables: Mapping[str, str]) -> bool:
    """Whether uv installed it: that of PATH, else the one that is pinned."""
    uv: str | Path | None = shutil.which("uv")
    try:
        if uv is None:
            run(pip_install(python, "-r", UV), log, remedy="")
            uv = python.with_name("uv")
        command = [uv, "pip", "install", "--require-hashes", "--only-binary=:all:", "--python", python, *wanted]
        run(command, log, remedy="", cwd=cwd, env={**scrubbed(), **variables})
    except SetupError as error:
        WORDS.say(f"uv did not manage ({str(error).splitlines()[0]}); trying pip")
        return False
    return True


def pip_settings(python: Path) -> dict[str, str]:
    """What an interpreter's pip is told by its files and variables, for `pip install`."""
    command = [str(python), "-m", "pip", "config", "list"]
    listed = subprocess.run(command, env=scrubbed(), stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}  # the last one counts
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, setting = name.partition(".")
        if section in found:
            found[section][setting] = ast.literal_eval(value)
    return {**found["global"], **found["install"], **found[":env:"]}


def as_uv(settings: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str] | None:
    """The variables by which uv is told what pip is; None, and it is said, where uv does not know such a setting.

    What uv itself is told of indexes goes before what pip is.
    """
    variables = {name: environ[name] for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if environ.get(name)}
    variables = {"SSL_CERT_FILE": next(iter(variables.values()))} if variables else {}
    for name, value in settings.items():
        if _NO_MATTER.fullmatch(name):
            continue
        if name not in _AS_UV:
            WORDS.say(f"pip is told {name}, which uv does not know; using pip")
            return None
        variables |= dict.fromkeys(_AS_UV[name], ("," if name == "find-links" else " ").join(value.split()))
    if "UV_INDEX" in variables:
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # as pip does; each file has its hash
    own = any(name.startswith("UV_") and "INDEX" in name for name in environ)
    return {name: value for name, value in variables.items() if not (own and "INDEX" in name)}
