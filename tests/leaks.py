"""Looks for secrets in every file below a folder, as they are and as programs write them, also in archives and databases."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sqlite3
import stat
import tarfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DEEPEST = 4
"""Archives in archives that are opened."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A secret in a file: the file, what it was found in there (`gzip`, a table, …), which secret, and in what form."""

    path: Path
    inside: str
    secret: str
    form: str

    @property
    def mode(self) -> int:
        """The file's permissions."""
        return stat.S_IMODE(self.path.stat().st_mode)


def forms(value: bytes) -> dict[str, bytes]:
    """What a value looks like in a file, by the name of the form.

    In base64 a value looks different after none, one or two bytes of something else, as in `id:secret`; what depends on its
    neighbours is left out.
    """
    text = value.decode("latin-1")
    found = {
        "plain": value,
        "UTF-16": text.encode("utf-16-le"),
        "hex": value.hex().encode(),
        "URL-encoded": urllib.parse.quote(value, safe="").encode(),
        "URL-encoded, ~ too": urllib.parse.quote(value, safe="").replace("~", "%7E").encode(),
        "JSON": json.dumps(text)[1:-1].encode(),
        "JSON as Go writes it": _of_go(json.dumps(text)[1:-1]).encode(),
        "JSON in JSON": json.dumps(json.dumps(text)[1:-1])[1:-1].encode(),
    }
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + value)
        whole = encoded[-(-before * 8 // 6) : (before + len(value)) * 8 // 6]
        found[f"base64 after {before}"] = whole
        found[f"base64url after {before}"] = whole.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def _of_go(text: str) -> str:
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def contents(data: bytes, name: str = "", depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """A file's bytes, and what is packed in them."""
    yield name, data
    yield f"{name} without line ends", data.replace(b"\\n", b"").translate(None, b"\r\n\t ")
    if depth == DEEPEST:
        return
    if data.startswith(b"\x1f\x8b"):
        try:
            yield from contents(gzip.decompress(data), f"{name} gzip", depth + 1)
        except (OSError, EOFError, zlib.error):  # one that was not written to its end
            inflater = zlib.decompressobj(31)
            yield from contents(inflater.decompress(data), f"{name} half a gzip", depth + 1)
    elif data.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                yield from contents(archive.read(entry), f"{name} zip {entry.filename}", depth + 1)
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                if (file := archive.extractfile(member)) is not None:
                    yield from contents(file.read(), f"{name} tar {member.name}", depth + 1)


def cells(path: Path) -> Iterator[tuple[str, bytes]]:
    """What the tables of an SQLite database hold, packed or not, with what is only in its log yet."""
    with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in database.execute(f'SELECT * FROM "{table}"'):
                for cell in row:
                    if isinstance(cell, str | bytes):
                        yield from contents(cell.encode() if isinstance(cell, str) else cell, f"table {table}")
    database.close()


def search(folders: list[Path], secrets: Mapping[str, bytes]) -> tuple[list[Leak], int]:
    """Every secret that a file below the folders has, and how many files were opened. No symbolic link is followed."""
    wanted = {(name, form): data for name, value in secrets.items() for form, data in forms(value).items()}
    found, opened = [], 0
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            data, opened = path.read_bytes(), opened + 1
            parts = list(contents(data))
            if data.startswith(b"SQLite format 3\0"):
                parts += cells(path)
            seen = set()
            for inside, content in parts:
                for (name, form), written in wanted.items():
                    if written in content and (inside, name) not in seen:
                        seen.add((inside, name))
                        found.append(Leak(path, inside.strip(), name, form))
    return found, opened
