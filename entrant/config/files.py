"""Files that an environment names: certificates and logos, relative to the file that names them."""

import base64
import binascii
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from entrant.facts import limits

from .problems import Refused, shorten
from .source import contents, text_of


class FileName(str):
    """A path in a file, with the directory that relative paths start at: that of the file it was written in."""

    directory: Path

    @classmethod
    def at(cls, text: str, directory: Path) -> "FileName":
        """The path `text`, written in a file of `directory`."""
        name = cls(text)
        name.directory = directory
        return name


def path_of(value: str) -> Path:
    """The path that a text in a file means: a relative one starts at the file's directory."""
    return (value.directory if isinstance(value, FileName) else Path()) / value


def read_file(value: Any, limit: int) -> bytes:
    """The content of a file named in the environment; raises `Refused` when there is none or it is too large."""
    text = text_of(value)
    if "\0" in text:
        raise Refused("a path has no NUL character")
    try:
        data = contents(path_of(value), limit)
    except OSError as error:
        reason = error.strerror or "it cannot be opened"
        raise Refused(
            f'cannot read "{shorten(text)}": {reason}; the path is relative to the file it stands in'
        ) from None
    if len(data) > limit:
        raise Refused(f'"{shorten(text)}" is larger than {limit // 1024} KiB')
    return data


def parse_logo(value: Any) -> str:
    """An image file, as base64; raises `Refused` for what Microsoft Entra does not take."""
    data = read_file(value, limits.LOGO_BYTES)
    if not data.startswith((b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"\xff\xd8\xff")):
        raise Refused(f'"{shorten(str(value))}" is no PNG, JPEG or GIF image')
    return base64.b64encode(data).decode()


def pem_blocks(text: str) -> Iterable[tuple[str, bytes]]:
    """The PEM blocks of a text: label and decoded content. Raises ValueError for a damaged one."""
    for block in text.split("-----BEGIN ")[1:]:
        label, _, rest = block.partition("-----")
        inside, end, _ = rest.partition(f"-----END {label}-----")
        if not end or not re.fullmatch(r"[A-Z0-9 ]+", label):
            continue
        try:
            yield label, base64.b64decode("".join(inside.split()), validate=True)
        except binascii.Error:
            raise ValueError from None
