"""How tokens and tables are printed."""

import csv
import dataclasses
import datetime as dt
import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from entrant.errors import ConfigurationError
from entrant.tokens import formats
from entrant.tokens.credentials import Token

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
        "audience": "https://api.loganalytics.io",
        "scope": "https://api.loganalytics.io/.default",
        "tenant": "t1",
        "client_id": "c1",
    }


@pytest.mark.parametrize(
    ("form", "shell", "show"),
    [("bash", "bash", 'printf %s "$T"'), ("bash", "sh", 'printf %s "$T"'), ("fish", "fish", 'printf %s "$T"')],
)
@pytest.mark.parametrize("secret", ["aaa.bbb.ccc", "a'b\"c\\d$e`f g"])
def test_a_shell_reads_the_token_back(form: str, shell: str, show: str, secret: str) -> None:
    if shutil.which(shell) is None:
        assert shell == "fish", "every machine has a POSIX shell"
        assert formats.render(TOKEN, "fish", name="T") == "set -gx T 'aaa.bbb.ccc'"
        return
    line = formats.render(dataclasses.replace(TOKEN, access_token=secret), form, name="T")
    done = subprocess.run([shell, "-c", f"{line}\n{show}"], capture_output=True, text=True, check=True)
    assert done.stdout == secret


def test_every_form_that_is_offered_is_printed() -> None:
    others = {"bazel", "github-env", "github-output"}  # these do more than print
    assert all("aaa.bbb.ccc" in formats.render(TOKEN, form, environ={}) for form in formats.FORMS if form not in others)
    assert others < set(formats.FORMS) and set(formats.SHELLS) < set(formats.FORMS)


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "unset ENTRANT_TOKEN"),
        ("fish", "set -e ENTRANT_TOKEN"),
        ("powershell", "Remove-Item Env:ENTRANT_TOKEN -ErrorAction SilentlyContinue"),
    ],
)
def test_a_shell_forgets_the_token(shell: str, line: str) -> None:
    assert formats.removal(shell, "ENTRANT_TOKEN") == line


def test_powershell_quotes_as_its_single_quotes_need_it() -> None:
    token = dataclasses.replace(TOKEN, access_token="a'b$c")
    assert formats.render(token, "powershell", name="T") == "$env:T = 'a''b$c'"


def test_the_form_of_az_is_read_as_az_itself_is() -> None:
    """azure-identity's AzureCliCredential prefers `expires_on`, and older readers parse `expiresOn` as local time."""
    from azure.identity._credentials.azure_cli import parse_token

    text = formats.render(TOKEN, "az")
    parsed = parse_token(text)
    assert parsed is not None
    assert (parsed.token, parsed.expires_on) == ("aaa.bbb.ccc", 1_800_000_000)
    fields = json.loads(text)
    assert dt.datetime.strptime(fields["expiresOn"], "%Y-%m-%d %H:%M:%S.%f").timestamp() == 1_800_000_000
    assert (fields["tenant"], fields["tokenType"]) == ("t1", "Bearer")


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_kubernetes_is_answered_in_the_version_it_asks_for(version: str) -> None:
    name = f"client.authentication.k8s.io/{version}"
    info = json.dumps({"apiVersion": name, "kind": "ExecCredential", "spec": {"interactive": False}})
    assert json.loads(formats.render(TOKEN, "kubernetes", environ={"KUBERNETES_EXEC_INFO": info})) == {
        "apiVersion": name,
        "kind": "ExecCredential",
        "status": {"token": "aaa.bbb.ccc", "expirationTimestamp": "2027-01-15T08:00:00Z"},
    }


def test_kubernetes_is_answered_in_v1_when_it_does_not_ask() -> None:
    assert (
        json.loads(formats.render(TOKEN, "kubernetes", environ={}))["apiVersion"] == "client.authentication.k8s.io/v1"
    )


@pytest.mark.parametrize("info", ["{", "[]", '{"apiVersion": "client.authentication.k8s.io/v1alpha1"}'])
def test_kubernetes_is_told_what_cannot_be_answered(info: str) -> None:
    with pytest.raises(ConfigurationError):
        formats.render(TOKEN, "kubernetes", environ={"KUBERNETES_EXEC_INFO": info})


def test_bazel_gets_headers_that_expire_and_none_for_a_uri_in_clear() -> None:
    assert json.loads(formats.answer_bazel(TOKEN, '{"uri": "https://cache.example.com/x"}')) == {
        "headers": {"Authorization": ["Bearer aaa.bbb.ccc"]},
        "expires": "2027-01-15T08:00:00Z",
    }
    assert json.loads(formats.answer_bazel(TOKEN, '{"uri": "http://cache.example.com/x"}')) == {"headers": {}}


@pytest.mark.parametrize("request_", ["", "{}", "[1]", '{"uri": 3}'])
def test_what_is_no_request_of_bazel_is_refused(request_: str) -> None:
    with pytest.raises(ConfigurationError, match="not a credential helper's request"):
        formats.answer_bazel(TOKEN, request_)


@pytest.mark.parametrize(("form", "file"), [("github-env", "GITHUB_ENV"), ("github-output", "GITHUB_OUTPUT")])
def test_github_masks_the_token_before_it_is_anywhere(tmp_path: Path, form: str, file: str) -> None:
    path = tmp_path / "file"
    path.write_text("BEFORE=1\n")
    seen: list[tuple[str, str]] = []
    formats.give_github(TOKEN, form, "T", lambda text: seen.append((text, path.read_text())), {file: str(path)})
    assert seen == [("::add-mask::aaa.bbb.ccc", "BEFORE=1\n")]
    assert path.read_text() == "BEFORE=1\nT=aaa.bbb.ccc\n"
    with pytest.raises(ConfigurationError, match=f"{file} is not set"):
        formats.give_github(TOKEN, form, "T", print, {})


def test_azure_devops_keeps_the_variable_secret_and_its_value_whole() -> None:
    start = "##vso[task.setvariable variable=T;issecret=true]"
    assert formats.render(TOKEN, "azure-devops", name="T") == start + "aaa.bbb.ccc"
    odd = dataclasses.replace(TOKEN, access_token="a%b\r\nc")
    assert formats.render(odd, "azure-devops", name="T") == start + "a%AZP25b%0D%0Ac"


@pytest.mark.parametrize(
    ("audience", "name"),
    [
        ("logs", "ENTRANT_TOKEN_LOGS"),
        ("https://vault.azure.net/.default", "ENTRANT_TOKEN_VAULT_AZURE_NET"),
        ("api://my-api", "ENTRANT_TOKEN_MY_API"),
        ("6dae42f8-4368-4678-94ff-3960e28e3630", "ENTRANT_TOKEN_6DAE42F8_4368_4678_94FF_3960E28E3630"),
    ],
)
def test_the_variable_is_named_after_the_audience(audience: str, name: str) -> None:
    assert formats.variable(audience) == name


def test_a_token_never_shows_itself_in_a_repr() -> None:
    assert "aaa" not in repr(TOKEN)


def test_values_are_written_as_kql_and_json_write_them() -> None:
    values = (True, False, None, 1.5, 10**20, {"a": [1, True, None]}, ["x"], "2026-11-26T07:00:00Z", "", "ünï")
    columns = [f"c{index}" for index in range(len(values))]
    assert formats.table(columns, [values], "csv").splitlines()[1] == (
        'true,false,,1.5,100000000000000000000,"{""a"": [1, true, null]}","[""x""]",2026-11-26T07:00:00Z,,ünï'
    )
    assert formats.table(columns, [values], "table").splitlines()[2].split() == (
        [
            "true",
            "false",
            "1.5",
            "100000000000000000000",
            '{"a":',
            "[1,",
            "true,",
            "null]}",
            '["x"]',
            "2026-11-26T07:00:00Z",
            "ünï",
        ]
    )
    assert list(json.loads(formats.table(columns, [values], "json"))[0].values()) == list(values)


def test_a_table_passes_no_control_characters_of_a_log_to_a_terminal() -> None:
    """Escape sequences, line ends and marks of direction are shown, not obeyed; CSV and JSON keep the value."""
    evil = "\x1b[2J\x1b]0;x\x07\r\nfake\tline\x9b31m\u202egnp"
    shown = formats.table(["Mess\x1bage"], [(evil,)], "table")
    assert shown.splitlines()[0] == r"Mess\u001bage"
    assert shown.splitlines()[2] == r"\u001b[2J\u001b]0;x\u0007\r\nfake\tline\u009b31m\u202egnp"
    assert json.loads(formats.table(["m"], [(evil,)], "json"))[0]["m"] == evil
    assert "\x1b" not in formats.table(["m"], [(evil,)], "json")
    assert next(csv.reader(io.StringIO(formats.table(["m"], [(evil,)], "csv").removeprefix("m\n"), newline=""))) == [
        evil
    ]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_text_is_no_formula_in_csv_and_a_number_stays_one(text: str) -> None:
    made = formats.table([text, "n"], [(text, -1)], "csv")
    assert list(csv.reader(io.StringIO(made, newline=""))) == [[f"'{text}", "n"], [f"'{text}", "-1"]]


def test_a_value_of_several_lines_sets_no_other_variable_on_github() -> None:
    assert formats.for_github("A", "b=c<<d") == "A=b=c<<d\n"
    for ending in ("\n", "\r", "\r\n"):
        value = f"x{ending}PATH=/evil"
        first, rest = formats.for_github("A", value).split("\n", 1)
        name, end = first.split("<<")
        assert (name, rest) == ("A", f"{value}\n{end}\n") and len(end) > 30
    assert formats.for_github("A", "x\ny") != formats.for_github("A", "x\ny")


@pytest.mark.parametrize("quote", "'\u2018\u2019\u201a\u201b")
def test_every_quote_of_powershell_is_doubled(quote: str) -> None:
    assert (
        formats.assignment("powershell", "A", f"x{quote}; calc {quote}") == f"$env:A = 'x{quote * 2}; calc {quote * 2}'"
    )


def test_a_table_is_aligned_and_csv_is_quoted() -> None:
    columns, rows = ("Computer", "n"), [("vm-1", 3), ('a,"b"', None)]
    assert formats.table(columns, rows, "table") == 'Computer  n\n--------  -\nvm-1      3\na,"b"\n'
    assert formats.table(columns, rows, "csv") == 'Computer,n\nvm-1,3\n"a,""b""",\n'
    assert json.loads(formats.table(columns, rows, "json")) == [
        {"Computer": "vm-1", "n": 3},
        {"Computer": 'a,"b"', "n": None},
    ]
