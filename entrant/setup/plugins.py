"""Resource plugins: their checksums noted, and Pulumi told to install them by those."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from entrant import project
from entrant.setup import pins
from entrant.setup.engine import ensure_pulumi
from entrant.setup.installers import WORDS, SetupError, run, scrubbed

_PLATFORMS = ("linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64")


def ensure_plugins(wanted: Mapping[str, Iterable[str]], root: Path, home: Path) -> dict[str, str]:
    """Have Pulumi install resource plugins (name → versions) below its `home`, each by its pinned checksum.

    Returns what became of each (`azuread 6.11.1` → `there`, `on PATH`, `installed`).

    Raises:
        SetupError: one is not there and has no checksum in the project's `pulumi-plugins.sha256`, or another than that.
    """
    checksums = pins.read(root / pins.PLUGINS)
    done: dict[str, str] = {}
    for name, version in ((name, version) for name, versions in wanted.items() for version in sorted(versions)):
        archive = f"pulumi-resource-{name}-v{version}-{pins.platform(plugin=True)}.tar.gz"
        if (home / "plugins" / f"resource-{name}-v{version}").exists():
            done[f"{name} {version}"] = "there"
        elif shutil.which(f"pulumi-resource-{name}"):
            done[f"{name} {version}"] = "on PATH"
        elif archive not in checksums:
            raise SetupError(
                f"no checksum is pinned for {archive}",
                f"run `python3 -m entrant setup --pin` once, where the network lets it, and commit {pins.PLUGINS}",
            )
        else:
            with WORDS.step(f"installing the plugin {name} {version}"):
                command = ["plugin", "install", "resource", name, version, "--checksum", checksums[archive]]
                run(
                    [ensure_pulumi().path, "--non-interactive", *command],
                    project.STATE / "log" / "plugins.log",
                    remedy=f"check that this machine reaches {pins.RELEASES}, and the checksum in {pins.PLUGINS}",
                    env=scrubbed() | {"PULUMI_HOME": str(home), "PULUMI_SKIP_UPDATE_CHECK": "true"},
                )
            done[f"{name} {version}"] = "installed"
    return done


def pin_plugins(wanted: Mapping[str, Iterable[str]], root: Path) -> Path:
    """Note the SHA-256 of plugins' archives, as they are to be had today, in the project's `pulumi-plugins.sha256`; that file.

    What it says already stays: a checksum that changes under a version is an error, never a new pin.

    Raises:
        SetupError: an archive is not to be had, or is another than was pinned.
    """
    file = root / pins.PLUGINS
    known = pins.read(file)
    for name, version, platform in (
        (name, version, platform)
        for name, all_ in wanted.items()
        for version in sorted(all_)
        for platform in _PLATFORMS
    ):
        archive = f"pulumi-resource-{name}-v{version}-{platform}.tar.gz"
        try:
            with WORDS.step(f"reading {archive}"):
                found = pins.fetch(f"{pins.RELEASES}/plugins/{archive}")
        except OSError as error:
            raise SetupError(
                f"{archive} could not be downloaded: {error}", f"check the way to {pins.RELEASES}"
            ) from error
        if known.setdefault(archive, found) != found:
            raise SetupError(
                f"{archive} has the SHA-256 {found}, and {known[archive]} is pinned",
                "the archive was changed after it was pinned: do not use it before you know why",
            )
    head = "# SHA-256 of the plugins that Pulumi may run for this project, as `sha256sum` writes them."
    lines = [f"{digest}  {archive}" for archive, digest in sorted(known.items())]
    file.write_text("\n".join([head, *lines, ""]), "utf-8")
    return file
