"""How tokens and tables are printed."""

import json

from entrant import formats
from entrant.tokens import Token

TOKEN = Token("aaa.bbb.ccc", 1_800_000_000, "https://api.loganalytics.io/.default", "t1", "c1")


def test_raw_and_header_hold_nothing_but_the_token() -> None:
    assert formats.render(TOKEN, "raw") == "aaa.bbb.ccc"
    assert formats.render(TOKEN, "header") == "Authorization: Bearer aaa.bbb.ccc"


def test_json_has_both_times_and_who_it_is_for() -> None:
    assert json.loads(formats.render(TOKEN, "json")) == {
        "access_token": "aaa.bbb.ccc",
        "token_type": "Bearer",
        "expires_on": 1_800_000_000,
        "expires_at": "2027-01-15T08:00:00Z",
        "scope": "https://api.loganalytics.io/.default",
        "tenant": "t1",
        "client_id": "c1",
    }


def test_a_token_never_shows_itself_in_a_repr() -> None:
    assert "aaa" not in repr(TOKEN)


def test_a_table_is_aligned_and_csv_is_quoted() -> None:
    columns, rows = ("Computer", "n"), [("vm-1", 3), ('a,"b"', None)]
    assert formats.table(columns, rows, "table") == 'Computer  n\n--------  -\nvm-1      3\na,"b"\n'
    assert formats.table(columns, rows, "csv") == 'Computer,n\nvm-1,3\n"a,""b""",\n'
    assert json.loads(formats.table(columns, rows, "json")) == [
        {"Computer": "vm-1", "n": 3},
        {"Computer": 'a,"b"', "n": None},
    ]
