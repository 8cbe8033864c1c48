"""What `--debug` says on standard error: which programs were run and which services were called, with secrets masked."""

import logging
import os
import re
from collections.abc import Mapping
from typing import TextIO

_LOGGERS = ("entrant", "urllib3.connectionpool", "azure.identity")
"""Pulumi's calls are logged here, HTTP requests (the token libraries' too) by urllib3, credentials by azure-identity."""
_SECRET = re.compile(r"SECRET|PASSWORD|PASSPHRASE$|TOKEN$|PRIVATE|ACCESS_KEY|_KEY$")
_JWT = re.compile(r"\beyJ[\w-]{8,}(\.[\w-]*)+")
_PARAMETER = re.compile(r"(?i)\b(sig|code|token|assertion|[a-z_]*secret|password|access_token|api-?key)=[^&\s\"']+")


def masked(words: str, environ: Mapping[str, str] = os.environ) -> str:
    """Words without the secrets that are in the environment's variables, without tokens, and without secret parameters of URLs.

    >>> masked("GET /x?sig=abc&y=1 with eyJhbGciOiJSUzI1.eyJhdWQi.c2ln", {})
    'GET /x?sig=***&y=1 with ***'
    """
    for name, value in environ.items():
        if _SECRET.search(name) and len(value) >= 4:
            words = words.replace(value, "***")
    return _PARAMETER.sub(lambda found: f"{found[1]}=***", _JWT.sub("***", words))


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
