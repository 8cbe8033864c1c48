"""Pinned checksums: the SHA-256 of every archive that set-up may download, in files as `sha256sum` writes them.

Standard library only. What has no checksum is not downloaded.
"""

import os
import re
from pathlib import Path

ENGINE = Path(__file__).with_name("checksums.txt")
"""The archives of Pulumi itself."""
PLUGINS = "pulumi-plugins.sha256"
"""The file in a project's folder with the archives of its resource plugins; `entrant setup --pin` writes it."""
RELEASES = "https://get.pulumi.com/releases"
"""Where Pulumi's archives are; those of plugins below `plugins`, of itself below `sdk`."""
_LINE = re.compile(r"(?P<digest>[0-9a-fA-F]{64})\s+\*?(?P<archive>\S+)")
_PLUGIN = re.compile(
    r"pulumi-resource-(?P<name>[a-z0-9-]+?)-v(?P<version>\d+\.\d+\.\d[\w.+-]*?)-(?P<os>linux|darwin|windows)-"
)


def read(file: Path) -> dict[str, str]:
    """Archive's name → SHA-256, in lower case; nothing where there is no such file.

    Raises:
        ValueError: a line is neither a comment nor a checksum and a name.
    """
    found: dict[str, str] = {}
    if not file.is_file():
        return found
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = _LINE.fullmatch(line.strip())
        if parts is None:
            raise ValueError(f"{file}:{number}: not a SHA-256 and the name of an archive, as sha256sum writes them")
        found[parts["archive"]] = parts["digest"].lower()
    return found


def plugins(root: Path) -> dict[str, set[str]]:
    """The resource plugins that a project pins: name → versions."""
    found: dict[str, set[str]] = {}
    for archive in read(root / PLUGINS):
        if parts := _PLUGIN.match(archive):
            found.setdefault(parts["name"], set()).add(parts["version"])
    return found


def platform(*, plugin: bool) -> str:
    """This machine in the name of an archive: `linux-x64`, of a plugin `linux-amd64`."""
    import platform as machines
    import sys

    machine = machines.machine().lower()
    intel = "amd64" if plugin else "x64"
    return f"{'windows' if sys.platform == 'win32' else sys.platform}-{'arm64' if machine in ('arm64', 'aarch64') else intel}"


def fetch(url: str, target: Path | None = None) -> str:
    """Download a file, into `target` if that is named; its SHA-256.

    Raises:
        OSError: no answer, or one that is not the file.
    """
    import hashlib
    import urllib.request

    digest = hashlib.sha256()
    with urllib.request.urlopen(url, timeout=60) as answer, Path(target or os.devnull).open("wb") as output:
        while block := answer.read(2**20):
            digest.update(block)
            output.write(block)
    return digest.hexdigest()


def reachable(url: str, timeout: float = 3.0) -> bool:
    """Whether a connection to the URL's host can be opened, directly or through the proxy the environment names."""
    import socket
    import urllib.parse
    import urllib.request

    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    proxy = urllib.request.getproxies().get("https")
    if proxy:
        parts = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
        host, port = parts.hostname or "", parts.port or 80
    try:
        socket.create_connection((host, port), timeout=timeout).close()
    except OSError:
        return False
    return True
