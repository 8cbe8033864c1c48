"""What `--debug` says on standard error: which programs were run and which services were called, with secrets masked."""

import logging
import os
import re
from collections.abc import Mapping
from typing import TextIO

from entrant.facts.unsafe_text import without_secrets

_LOGGERS = ("entrant", "urllib3.connectionpool", "azure.identity")
"""Pulumi's calls are logged here, HTTP requests (the token libraries' too) by urllib3, credentials by azure-identity."""
_SECRET = re.compile(r"SECRET|PASSWORD|WEBHOOK$|PASSPHRASE$|TOKEN$|PRIVATE|ACCESS_KEY|_KEY$")

_HIDDEN: set[str] = set()


def hide(*values: str) -> None:
    """Mask these from now on, wherever words are masked; what has fewer than six characters is not."""
    _HIDDEN.update(value for value in values if len(value) >= 6)


def masked(words: str, environ: Mapping[str, str] = os.environ) -> str:
    """Words without the secrets of the environment's variables, without tokens, secret parameters of URLs and who they log in as.

    >>> masked("GET /x?sig=abc&y=1 with eyJhbGciOiJSUzI1.eyJhdWQi.c2ln at postgres://me:pass@host/db", {})
    'GET /x?sig=***&y=1 with *** at postgres://***@host/db'
    """
    for name, value in environ.items():
        if _SECRET.search(name) and len(value) >= 6:
            words = words.replace(value, "***")
    for value in sorted(_HIDDEN, key=len, reverse=True):
        words = words.replace(value, "***")
    return without_secrets(words)


class _Masked(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def listen(stream: TextIO) -> None:
    """Write what is called to a stream, from now on; once, however often it is asked for."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(handler.formatter, _Masked) for handler in logger.handlers):
            handler = logging.StreamHandler(stream)
            handler.setFormatter(_Masked("debug: %(relativeCreated)d ms: %(message)s"))
            logger.addHandler(handler)
            logger.setLevel(logging.DEBUG)
            logger.propagate = False
