"""How tokens and query results are printed."""

import csv
import datetime as dt
import io
import json
from collections.abc import Sequence
from typing import Any

from entrant.tokens import Token


def render(token: Token, form: str) -> str:
    """A token as text: `raw` (the token alone), `header`, or `json`.

    JSON has `access_token`, `token_type`, `expires_on` (seconds since 1970), `expires_at` (RFC 3339, UTC), `scope`,
    `tenant` and `client_id`.
    """
    if form == "raw":
        return token.access_token
    if form == "header":
        return f"Authorization: Bearer {token.access_token}"
    expires = dt.datetime.fromtimestamp(token.expires_on, dt.UTC)
    return json.dumps(
        {
            "access_token": token.access_token,
            "token_type": "Bearer",
            "expires_on": token.expires_on,
            "expires_at": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "scope": token.scope,
            "tenant": token.tenant_id,
            "client_id": token.client_id,
        }
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> str:
    """A query result as `table` (aligned columns), `csv`, or `json` (a list of objects); ends in a newline."""
    if form == "json":
        return json.dumps([dict(zip(columns, row, strict=True)) for row in rows]) + "\n"
    texts = [["" if value is None else str(value) for value in row] for row in rows]
    if form == "csv":
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([columns, *texts])
        return out.getvalue()
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in (columns, ["-" * width for width in widths], *texts)
    ]
    return "\n".join(lines) + "\n"
