"""Locks between processes."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from entrant.project import private
from entrant.setup.installers import WORDS


@contextlib.contextmanager
def locked(path: Path, *, remove: bool = False) -> Iterator[None]:
    """Hold an exclusive lock on `path` across processes; with `remove` the file is gone afterwards.

    Programs started by `installers.run` inherit it: when this process is killed, the lock is free once they have ended too, and not
    before, so that nobody clears a folder that an orphaned installer still writes to.
    """
    private(path.parent)
    while True:
        with path.open("a+b") as handle:
            os.set_inheritable(handle.fileno(), True)
            _wait_for(handle)
            if not _is_at(handle, path):  # whoever had it has removed it
                continue
            try:
                yield
            finally:
                if remove:
                    with contextlib.suppress(OSError):  # Windows removes no file that is open
                        path.unlink()
            return


def _wait_for(handle: BinaryIO) -> None:
    """Lock a file, as soon as nobody else does."""
    if sys.platform == "win32":
        import msvcrt

        while True:
            with contextlib.suppress(OSError):
                msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
                return
    else:
        import fcntl

        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            WORDS.say("another set-up of this project is running; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)


def _is_at(handle: BinaryIO, path: Path) -> bool:
    """Whether an open file is the one that a path leads to."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False
