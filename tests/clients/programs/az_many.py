"""azure-cli in one process: each line of its input is a command, a JSON list of arguments; each of its output what came of it."""

# mypy: disable-error-code="import-not-found, import-untyped"

import io
import json
import sys
from contextlib import redirect_stderr

from azure.cli.core import get_default_cli

cli = get_default_cli()
for line in sys.stdin:
    shown, errors = io.StringIO(), io.StringIO()
    with redirect_stderr(errors):
        try:
            code = cli.invoke([*json.loads(line), "--output", "json"], out_file=shown)
        except SystemExit as end:  # the parser refused
            code = end.code
    error = errors.getvalue() or str(cli.result.error) if code else ""
    print(json.dumps({"code": code, "shown": shown.getvalue(), "error": error}), flush=True)
