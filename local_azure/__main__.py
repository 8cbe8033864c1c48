"""``python -m local_azure serve --state DIR``: run a local Azure in the foreground."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from entrant.facts.scopes import is_guid
from entrant.facts.unsafe_text import harmless, inert, without_secrets


def _options(arguments: list[str] | None) -> argparse.Namespace:
    """The options of the command line; the process ends with exit code 2 where one is not valid."""
    parser = argparse.ArgumentParser(
        prog="python -m local_azure", description="Microsoft Entra ID and Azure, on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="run in the foreground until interrupted")
    serve.add_argument("--state", type=Path, required=True, metavar="DIR", help="where everything is kept")
    serve.add_argument(
        "--port", type=int, metavar="N", help="port on localhost; default: the one used before, else a free one"
    )
    serve.add_argument(
        "--propagation",
        type=float,
        metavar="SECONDS",
        help="delay before new role assignments and client secrets take effect",
    )
    serve.add_argument(
        "--request-timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how long a client may take to send one request; default: 30",
    )
    serve.add_argument("--connections", type=int, default=500, metavar="N", help="how many there may be; default: 500")
    serve.add_argument("--tenant", metavar="GUID", help="the id of a new one's tenant; default: a random one")
    options = parser.parse_args(arguments)
    if options.port is not None and not 0 < options.port < 65536:
        parser.error(f"--port {options.port}: a port is 1 to 65535")
    if options.propagation is not None and not 0 <= options.propagation <= 86400:
        parser.error(f"--propagation {options.propagation}: seconds are 0 to 86400")
    if not 0 < options.request_timeout <= 86400:
        parser.error(f"--request-timeout {options.request_timeout}: seconds are above 0 and at most 86400")
    if not 0 < options.connections <= 100_000:
        parser.error(f"--connections {options.connections}: a number above 0")
    if options.tenant is not None and not is_guid(options.tenant):
        parser.error(f"--tenant {options.tenant}: a tenant's id is a GUID")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    options = _options(arguments)
    os.umask(0o077)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)sZ %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.Formatter.converter = time.gmtime
    from local_azure.connections import Limits
    from local_azure.server import StartError
    from local_azure.server import serve as run
    from local_azure.store import StateVersionError

    signal.signal(signal.SIGTERM, _end)
    try:
        limits = Limits(options.request_timeout, options.connections)
        run(
            options.state.resolve(),
            port=options.port,
            propagation=options.propagation,
            limits=limits,
            tenant=options.tenant and options.tenant.lower(),
        )
    except (StartError, StateVersionError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename or options.state}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


class _OneLine(logging.Formatter):
    """A line for each record, but for a traceback's; no secret, and nothing that a terminal would obey."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return harmless(without_secrets(super().formatMessage(record)), keep="\t")

    def formatException(self, ei: Any) -> str:
        return inert(without_secrets(super().formatException(ei)))


def _end(signum: int, frame: FrameType | None) -> None:
    """Leave in order: what was begun is undone on the way out."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
