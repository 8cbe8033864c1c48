"""A Chromium for tests: `$CHROME`, one on PATH, or the one that an npm package carries, with its libraries and fonts."""

import os
import platform
import shutil
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.clients.installing import installed, npm_environ, run

NAME, VERSION = "@sparticuz/chromium", "153.0.0"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
]
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{0}/fonts</dir><cachedir>{1}</cachedir></fontconfig>
"""
UNPACK = """
const {readFileSync, writeFileSync} = require("fs"), {brotliDecompressSync} = require("zlib");
for (const name of process.argv.slice(1)) writeFileSync(name.replace(/\\.br$/, ""), brotliDecompressSync(readFileSync(name)));
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser, which reaches nothing but this machine. Skips the test where none can be had."""
    named = os.environ.get("CHROME") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    environ: dict[str, str | float | bool] = {**os.environ}
    folder: Path | None = None
    if named is None:
        folder = _from_npm()
        named = str(folder / "chromium")
        environ |= {"LD_LIBRARY_PATH": str(folder / "lib")}
    with TemporaryDirectory() as made, sync_playwright() as playwright:
        if folder is not None:  # names the fonts' folder, which may be elsewhere than when it was made
            fonts = Path(made) / "fonts.conf"
            fonts.write_text(FONTS.format(folder, made), "utf-8")
            environ["FONTCONFIG_FILE"] = str(fonts)
        browser = playwright.chromium.launch(executable_path=named, args=FLAGS, env=environ)
        try:
            yield browser
        finally:
            browser.close()


def _from_npm() -> Path:
    """The folder of an npm package's Chromium, which needs nothing of the system but libc."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if sys.platform != "linux" or platform.machine() != "x86_64" or not npm or not node:
        pytest.skip("there is no Chromium on PATH or in CHROME, and no npm to fetch one for x86-64 Linux")

    def make(folder: Path) -> None:
        run([npm, "pack", f"{NAME}@{VERSION}", "--pack-destination", str(folder)], cwd=folder, env=npm_environ())
        packed = next(folder.glob("*.tgz"))
        parts = ("chromium.br", "al2023.tar.br", "fonts.tar.br")
        with tarfile.open(packed) as archive:
            for part in parts:
                archive.extract(f"package/bin/{part}", folder, filter="data")
        binaries = folder / "package" / "bin"
        run([node, "-e", UNPACK, *(str(binaries / part) for part in parts)])
        for part in ("al2023.tar", "fonts.tar"):
            with tarfile.open(binaries / part) as archive:
                archive.extractall(folder, filter="data")
        (binaries / "chromium").rename(folder / "chromium")
        (folder / "chromium").chmod(0o755)
        shutil.rmtree(folder / "package")
        packed.unlink()

    return installed("chromium", VERSION, make)
