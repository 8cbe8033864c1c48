"""Tokens on disk, only when asked for: encrypted, readable by their owner alone, one request for all who ask at once.

The keys are derived from the credential itself (the client secret, the file with the private key, …), so that whoever can read a
token could have asked for it, and no key lies beside what it locks. A file that is damaged, foreign or of another credential is
no token: it is as if it were not there.

Imports little, since a warm `entrant token` is mostly this; the cipher, most of it, is loaded for a file that is there
(docs/decisions/2026-11-26-token-cache-cipher.md).
"""

import contextlib
import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import blake2b

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
else:
    try:  # the same without OpenSSL's hashes, which take longer to load than all the rest
        from _blake2 import blake2b
    except ImportError:  # another Python than CPython
        from hashlib import blake2b

VARIABLE = "ENTRANT_TOKEN_CACHE"
"""Set to 1, it turns the cache on."""
FRESH = 300
"""Seconds that a token must have left to be handed out again, as azure-identity does it."""
_KEPT = 24 * 3600
_NONCE = 12
"""Bytes before the text, other ones for each writing."""
_FORMAT = b"entrant tokens 3"


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for the cache: `ENTRANT_TOKEN_CACHE=1`."""
    return environ.get(VARIABLE, "").lower() in ("1", "true", "yes", "on")


def folder(environ: Mapping[str, str]) -> str:
    """Where the cache is: `entrant/tokens` in `XDG_CACHE_HOME`, which is `~/.cache` unless set."""
    base = environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "entrant", "tokens")


def asked_key(tenant: str, client: str, cloud: str, audience: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The key of what an audience means (authority and scope) in the cloud that the environment points to."""
    where = [environ.get(name, "") for name in ("ARM_METADATA_HOSTNAME", "AZURE_AUTHORITY_HOST")]
    return "asked", tenant, client, cloud, *where, audience


def token_key(tenant: str, client: str, authority: str, scope: str) -> tuple[str, ...]:
    """The key of a token."""
    return "token", tenant, client, authority, scope


def token(store: "Cache", key: tuple[str, ...], min_valid: float = 0) -> tuple[int, str] | None:
    """The time of expiry and the token that are kept under a key, if it has `min_valid` seconds left, and five minutes."""
    found = store.read(*key)
    if found is None or int(found[0]) - time.time() < max(FRESH, min_valid):
        return None
    return int(found[0]), found[1]


class Cache:
    """Short texts by key, for whoever holds the same `proof` (the bytes of a client secret, of a private key's file, …).

    >>> import tempfile
    >>> cache = Cache(b"the client secret", tempfile.mkdtemp())
    >>> cache.write(["1800000000", "eyJ0…"], "token", "tenant", "client", "https://login.microsoftonline.com", "scope")
    >>> cache.read("token", "tenant", "client", "https://login.microsoftonline.com", "scope")
    ['1800000000', 'eyJ0…']
    >>> Cache(b"another", cache.folder).read("token", "tenant", "client", "https://login.microsoftonline.com", "scope")
    """

    def __init__(self, proof: bytes, folder: str) -> None:
        self.folder = folder
        # Client secrets (Entra ID makes them) and private keys are random and long: one pass of a hash makes keys of them.
        keys = blake2b(proof, person=_FORMAT).digest()
        self._names, self._texts = keys[:32], keys[32:]

    def read(self, *key: str) -> list[str] | None:
        """What was written under a key; None when nothing was, or not by a holder of the same proof."""
        name = self._name(key)
        try:
            with open(os.path.join(self.folder, name), "rb", buffering=0) as file:
                data = file.read()
        except OSError:
            return None
        from cryptography.exceptions import InvalidTag

        try:
            return self._box().decrypt(data[:_NONCE], data[_NONCE:], name.encode()).decode().split("\0")
        except (InvalidTag, ValueError):  # damaged, foreign, or cut short: a miss
            return None

    def write(self, value: list[str], *key: str) -> None:
        """Keep texts (without NUL) under a key. Whoever reads meanwhile sees the old value or the new one, never a part.

        Raises:
            OSError: the folder is not ours or cannot be written.
        """
        name = self._name(key)
        nonce = os.urandom(_NONCE)
        data = nonce + self._box().encrypt(nonce, "\0".join(value).encode(), name.encode())
        self._prepare()
        path = os.path.join(self.folder, name)
        temporary = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        self._sweep()

    @contextlib.contextmanager
    def locked(self, *key: str) -> Iterator[None]:
        """Be the only one, of all processes and threads, that is about to write this key. A killed holder's lock is free.

        Raises:
            OSError: the folder is not ours or cannot be written.
        """
        self._prepare()
        # A few lock files for ever, not one a key: removing a lock file that somebody may be waiting for is a race.
        handle = os.open(os.path.join(self.folder, f"lock-{self._name(key)[0]}"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            _lock(handle)
            yield
        finally:
            os.close(handle)

    def _name(self, key: tuple[str, ...]) -> str:
        return blake2b("\0".join(key).encode(errors="surrogatepass"), key=self._names, digest_size=20).hexdigest()

    def _box(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(self._texts)

    def _prepare(self) -> None:
        from pathlib import Path

        from entrant.project import private

        private(Path(self.folder))
        if sys.platform != "win32":
            found = os.lstat(self.folder)
            if stat.S_ISLNK(found.st_mode):
                raise PermissionError(f"{self.folder} is a link")
            if found.st_uid != os.getuid():
                raise PermissionError(f"{self.folder} belongs to another user")
            if found.st_mode & 0o077:
                os.chmod(self.folder, 0o700)

    def _sweep(self) -> None:
        """Clear away what is too old to be of use, such as a killed writer's half."""
        import re

        ours = re.compile(r"[0-9a-f]{40}(\.\d+\.[0-9a-f]{8})?")  # and no lock, nor anything of somebody else
        oldest = time.time() - _KEPT
        for entry in os.scandir(self.folder):
            if ours.fullmatch(entry.name):
                with contextlib.suppress(FileNotFoundError):  # another writer sweeps too
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        os.unlink(entry.path)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        while True:
            with contextlib.suppress(OSError):  # it gives up after ten seconds
                msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
                return
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)
