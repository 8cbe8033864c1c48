"""Files of a state directory: whole or absent, private unless said otherwise, and a lock that dies with its holder."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def write_private(path: Path, content: bytes | str) -> None:
    """Write a file that only its owner can read (0600), all at once."""
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes | str) -> None:
    """Write a file that everyone can read (0644), all at once."""
    _write(path, content, 0o644)


def _write(path: Path, content: bytes | str, mode: int) -> None:
    data = content.encode() if isinstance(content, str) else content
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(mode)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


class Held(Exception):
    """Another process holds the lock."""


@contextlib.contextmanager
def lock(path: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock on `path`, waiting up to `wait` seconds; `Held` when another process keeps it.

    The system drops the lock when the process ends, however it ends.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    with os.fdopen(handle, "r+b") as file:
        deadline = time.monotonic() + wait
        while not _try(file):
            if time.monotonic() >= deadline:
                raise Held(path)
            time.sleep(0.02)
        yield


def is_held(path: Path) -> bool:
    """Whether a process holds the lock on `path` now. Those who only look do not hold it in each other's eyes."""
    try:
        file = path.open("r+b")
    except FileNotFoundError:
        return False
    with file:
        return not _try(file, shared=True)


def _try(file: IO[bytes], *, shared: bool = False) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
