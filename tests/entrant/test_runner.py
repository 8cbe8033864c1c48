"""`run`: what a command gets, what of it is shown, and that it is otherwise as if run directly."""

import base64
import contextlib
import hashlib
import html
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrant.outputs import App
from entrant.tokens import runner
from tests.entrant.authority import TENANT, Answer, Authority, certificate, serve
from tests.entrant.test_outputs import stack_outputs

ROOT = Path(__file__).resolve().parents[2]
APP = App("log-reader", TENANT, "c1", secret="s3cret~v4lue")

# ----------------------------------------------------------------------------------------------------------- masking


def masked(secrets: list[str], chunks: list[bytes]) -> bytes:
    masker = runner.Masker(secrets)
    return b"".join([masker.feed(chunk) for chunk in chunks] + [masker.end()])


def cut(whole: bytes, cuts: list[int]) -> list[bytes]:
    """A stream in chunks, cut at these places."""
    places = sorted({0, len(whole), *(place % (len(whole) + 1) for place in cuts)})
    return [whole[a:b] for a, b in itertools.pairwise(places)]


CUTS = st.lists(st.integers(0, 200), max_size=8)


@given(text=st.lists(st.sampled_from([b"abcd", b"abcdef", b"bcde", b"ab", b"c", b"d", b"x"]), max_size=30), cuts=CUTS)
def test_a_secret_is_masked_wherever_the_stream_is_cut(text: list[bytes], cuts: list[int]) -> None:
    secrets, whole = ["abcd", "abcdef", "bcde"], b"".join(text)
    found = masked(secrets, cut(whole, cuts))
    assert found == masked(secrets, [whole])
    assert not any(secret.encode() in found for secret in secrets)


LONG = base64.b64encode(bytes(range(100, 145))).decode()


@pytest.mark.parametrize("ending", ["\n", "\\n", "\\r\\n", "\\\\n"])
@given(first=st.integers(0, len(LONG)), width=st.integers(4, 80), cuts=CUTS)
def test_no_piece_of_a_wrapped_secret_is_shown_wherever_the_stream_is_cut(
    ending: str, first: int, width: int, cuts: list[int]
) -> None:
    """Nor where JSON has its lines, be it in a text of JSON itself."""
    lines = [LONG[:first], *(LONG[at : at + width] for at in range(first, len(LONG), width))]
    found = masked([LONG], cut(ending.join(["before", *lines, "after"]).encode(), cuts)).decode()
    shown = found.replace(ending, "")
    assert not any(LONG[at : at + 12] in shown for at in range(len(LONG) - 11))
    assert found.startswith(f"before{ending}") and found.endswith(f"{ending}after")


@given(st.binary(max_size=300))
def test_what_is_not_secret_is_untouched(data: bytes) -> None:
    if b"s3cret" not in data:
        assert masked(["s3cret"], [data[:7], data[7:]]) == data


def test_nothing_is_held_back_that_cannot_become_a_secret() -> None:
    masker = runner.Masker(["s3cret-value"])
    assert masker.feed(b"line one\n") == b"line one\n"
    assert masker.feed(b"password: s3cret-v") == b"password: "
    assert masker.feed(b"!") == b"s3cret-v!"


def test_a_secret_is_masked_as_urls_write_it_too() -> None:
    assert masked(["a/b+c="], [b"x=a%2Fb%2Bc%3D&y=a/b+c="]) == b"x=***&y=***"


TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL3gifQ." + "Zm9v-_bar" * 30
CLIENT_SECRET = "Qx8Q~a/b+c=d'e\"f<g>&h\\i.jklmnopqrstu_vw-xyz"
OTHERS: dict[str, Callable[[str], str]] = {
    "URL": lambda text: urllib.parse.quote(text, safe=""),
    "URL in lower case": lambda text: re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(text, safe="")),
    "form": urllib.parse.quote_plus,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON of PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON of Go": lambda text: re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text)[1:-1]),
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[3:-3],
    "Python": lambda text: repr(text)[1:-1],
    "HTML": html.escape,
    "text of HTML": lambda text: html.escape(text, quote=False),
    "XML": lambda text: html.escape(text).replace("&#x27;", "&apos;"),
    "PowerShell": lambda text: text.replace("'", "''"),
    "fish": lambda text: text.replace("\\", "\\\\").replace("'", "\\'"),
    "hexadecimal digits": lambda text: text.encode().hex(),
    "hexadecimal digits in capitals": lambda text: text.encode().hex().upper(),
    "shell": lambda text: shlex.quote(text)[1:-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "basic authorization": lambda text: base64.b64encode(f"x:{text}".encode()).decode(),
    "base64 further inside": lambda text: base64.b64encode(f"{{'a':'{text}'}}".encode()).decode(),
}


@pytest.mark.parametrize("width", [0, 8, 64, 76])
@pytest.mark.parametrize("written", OTHERS)
@pytest.mark.parametrize("secret", [TOKEN, CLIENT_SECRET])
def test_a_secret_is_masked_as_others_write_it_and_wrapped_into_lines(secret: str, written: str, width: int) -> None:
    text = OTHERS[written](secret)
    for ending in ("\n", "\r\n", "\n    "):
        lines = [text[at : at + width] for at in range(0, len(text), width)] if width else [text]
        data = f"before\n{ending.join(lines)}\nafter\n".encode()
        for size in (1, 7, 1 << 16):
            shown = masked([secret], [data[at : at + size] for at in range(0, len(data), size)])
            assert b"***" in shown
            left = re.sub(rb"\s", b"", shown.removeprefix(b"before\n").removesuffix(b"\nafter\n")).replace(b"***", b"")
            assert len(left) <= 24, shown  # of a text in base64, what is not the secret's
            assert shown.startswith(b"before\n") and shown.endswith(b"\nafter\n")


@pytest.mark.parametrize("written", OTHERS)
def test_of_a_private_key_each_line_is_masked_as_others_write_it(written: str) -> None:
    """The whole text in another form, a part of it, and one line by itself."""
    pem = certificate()[0].decode()
    key = [line for line in pem.partition("-----END")[0].splitlines()[1:] if len(line) >= 12]
    masker = runner.Masker([pem])
    for shown in (pem, "\n".join(key[3:9]), f"line 4: {key[3]}!"):
        for width in (0, 76):
            text = OTHERS[written](shown)
            lines = [text[at : at + width] for at in range(0, len(text), width)] if width else [text]
            found = masker.feed("\n".join(lines).encode()) + masker.end()
            masker = runner.Masker([pem])
            left = re.sub(rb"\s", b"", found).replace(b"***", b"").decode()
            for line in key:
                inner = OTHERS[written](line)[8:-8]
                assert inner not in left, found
            assert found.count(b"***") == sum(line in shown for line in key)


def test_a_private_key_is_masked_in_wrapped_base64_within_json() -> None:
    """What `base64 FILE` prints, quoted by another program."""
    pem = certificate()[0].decode()
    shown = masked([pem], [json.dumps({"key": base64.encodebytes(pem.encode()).decode()}).encode()]).decode()
    wrapped = shown.replace("\\n", "")
    for line in pem.partition("-----END")[0].splitlines()[1:]:
        for before in range(3):
            inner = base64.b64encode(b"x" * before + line.encode()).decode()[4:-4]
            assert inner not in wrapped


def test_a_backslash_is_shown_as_it_is() -> None:
    text = "C:\\new\\report \\\\n \\"
    assert masked([LONG], [text[:3].encode(), text[3:].encode()]) == text.encode()


def test_a_certificate_that_is_public_and_text_beside_a_key_are_untouched() -> None:
    pem = certificate()[0].decode()
    public = pem.partition("-----END PRIVATE KEY-----")[2]
    assert masked([pem], [public.encode()]) == public.encode()


def test_a_part_of_a_line_is_held_back_only_where_it_may_be_most_of_a_line() -> None:
    masker = runner.Masker([TOKEN])
    assert masker.feed(b"listening here\n") == b"listening here\n"
    assert masker.feed(f"{TOKEN[:40]}\n".encode()) == b""
    assert masker.feed(f"{TOKEN[40:]}\n".encode()) == b"***\n"


def test_the_signature_of_a_token_is_masked_by_itself() -> None:
    header, claims, signature = TOKEN.split(".")
    assert masked([TOKEN], [f"{header}\n{claims}\n{signature}\n".encode()]) == f"{header}\n{claims}\n***\n".encode()


def test_without_secrets_and_with_tiny_ones_nothing_is_masked() -> None:
    assert masked([], [b"abc"]) == b"abc"
    assert masked(["a", ""], [b"abc"]) == b"abc"


# ----------------------------------------------------------------------------------------------------------- identity


DEPLOYERS = {
    "ARM_CLIENT_SECRET": "s",
    "ARM_CLIENT_CERTIFICATE_PASSWORD": "p",
    "ARM_OIDC_TOKEN": "t",
    "ARM_ACCESS_KEY": "k",
    "PULUMI_ACCESS_TOKEN": "t",
    "PULUMI_CONFIG_PASSPHRASE": "p",
    "PULUMI_BACKEND_URL": "postgres://u:p@h/d",
    "AWS_SECRET_ACCESS_KEY": "k",
    "AWS_SESSION_TOKEN": "t",
    "AZURE_STORAGE_KEY": "k",
    "AZURE_STORAGE_SAS_TOKEN": "sig",
    "PGPASSWORD": "p",
    "GITHUB_TOKEN": "t",
    "GITLAB_TOKEN": "t",
    "SYSTEM_ACCESSTOKEN": "t",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "t",
    "ENTRANT_ID_TOKEN": "t",
}


def test_a_command_gets_nothing_that_the_deployer_proves_itself_with(tmp_path: Path) -> None:
    others = {"PATH": os.environ["PATH"], "ARM_METADATA_HOSTNAME": "h", "ARM_TENANT_ID": "t", "AWS_REGION": "r"}
    left, gone = runner.without_deployer(others | DEPLOYERS)
    assert (left, gone) == (others, sorted(DEPLOYERS))
    left, gone = runner.without_deployer(others | DEPLOYERS, way="github", keep=["GITHUB_TOKEN"])
    assert {"ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_TOKEN"} <= left.keys() and "SYSTEM_ACCESSTOKEN" in gone
    app = {"AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_ID": "c1", "AZURE_CLIENT_SECRET": "s3cret~v4lue"}
    for options, kept in (([], []), (["--keep", "AWS_SESSION_TOKEN", "--no-mask"], ["AWS_SESSION_TOKEN"])):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "entrant",
                "run",
                *options,
                "--",
                sys.executable,
                "-c",
                "import os; print(*os.environ)",
            ],
            cwd=ROOT,
            env=dict(os.environ) | DEPLOYERS | app,
            capture_output=True,
            text=True,
        )
        assert DEPLOYERS.keys() & set(done.stdout.split()) == set(kept), done.stderr
        assert (
            "AZURE_CLIENT_SECRET" in done.stdout
            and "does not get" in done.stderr
            and "ARM_CLIENT_SECRET" in done.stderr
        )


def test_a_command_becomes_the_app_and_nobody_else() -> None:
    other = {
        "PATH": "/bin",
        "AZURE_CLIENT_CERTIFICATE_PATH": "/other.pem",
        "AZURE_USERNAME": "u",
        "AZURE_PASSWORD": "p",
        "AZURE_CLIENT_ID": "other",
    }
    found = runner.identity(APP, other)
    assert found.environ == {
        "PATH": "/bin",
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": "c1",
        "AZURE_CLIENT_SECRET": "s3cret~v4lue",
    }
    assert found.secrets == ["s3cret~v4lue"]


def test_other_credentials_and_clouds_are_handed_on_as_azure_identity_reads_them() -> None:
    app = App("a", TENANT, "c1", cloud="china", certificate="/c.pem")
    found = runner.identity(app, {"AZURE_CLIENT_CERTIFICATE_PASSWORD": "open sesame"})
    assert found.environ["AZURE_CLIENT_CERTIFICATE_PATH"] == "/c.pem"
    assert found.environ["AZURE_AUTHORITY_HOST"] == "https://login.chinacloudapi.cn"
    assert found.secrets == ["open sesame"]
    file = runner.identity(App("a", TENANT, "c1"), {"AZURE_FEDERATED_TOKEN_FILE": "/token"})
    assert file.environ["AZURE_FEDERATED_TOKEN_FILE"] == "/token"
    assert file.secrets == []


# --------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    with serve(tmp_path) as running:
        yield running


def start(authority: Authority, *arguments: str, **more: str) -> "subprocess.Popen[str]":
    foreign = ("AZURE_", "ARM_", "ENTRANT_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | {
        "REQUESTS_CA_BUNDLE": str(authority.ca_file),
        "AZURE_AUTHORITY_HOST": authority.url,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": "c1",
        "AZURE_CLIENT_SECRET": "s3cret~v4lue",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "entrant", "run", *arguments],
        cwd=ROOT,
        env=env | more,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: "subprocess.Popen[str]", stdin: str = "") -> tuple[int, str, str]:
    out, err = process.communicate(stdin, timeout=60)
    return process.returncode, out, err


def test_a_command_gets_a_token_for_each_audience_and_nothing_secret_is_shown(authority: Authority) -> None:
    script = 'env | grep -c "TOKEN.*=token-"; echo "$ENTRANT_TOKEN_LOGS $MINE_TOKEN $AZURE_CLIENT_SECRET" >&2'
    code, out, err = ended(start(authority, "logs", "MINE_TOKEN=arm", "--", "sh", "-c", script))
    assert (code, out, err) == (0, "2\n", "*** *** ***\n")
    assert [request.fields["scope"] for request in authority.requests] == [
        "https://api.loganalytics.io/.default",
        "https://management.azure.com/.default",
    ]


def test_without_an_audience_a_command_gets_the_identity(authority: Authority) -> None:
    code, out, _ = ended(start(authority, "--", "sh", "-c", 'echo "$AZURE_CLIENT_ID $AZURE_CLIENT_SECRET"'))
    assert (code, out) == (0, "c1 ***\n")
    assert not authority.requests


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files in memory")
@pytest.mark.parametrize("mask", [[], ["--no-mask"]])
def test_a_command_reads_a_certificate_that_is_issued_here_and_no_disk_has_it(
    mask: list[str], authority: Authority, tmp_path: Path
) -> None:
    """By a path, as azure-identity reads it; what it starts can read it too."""
    pem = certificate()[0].decode()
    (tmp_path / "outputs.json").write_text(json.dumps(stack_outputs(log_reader_certificates={"signing": pem})))
    arguments = ["--outputs", str(tmp_path / "outputs.json"), "--credential", "certificate"]
    script = 'echo "$AZURE_CLIENT_CERTIFICATE_PATH"; (sha256sum "$AZURE_CLIENT_CERTIFICATE_PATH"; env)'
    code, out, err = ended(start(authority, *arguments, *mask, "--", "sh", "-c", script))
    assert code == 0, err
    assert re.match(r"/proc/\d+/fd/\d+\n", out)
    assert hashlib.sha256(pem.encode()).hexdigest() in out
    assert pem.splitlines()[1] not in out + err
    code, out, err = ended(start(authority, *arguments, "--", "sh", "-c", 'cat "$AZURE_CLIENT_CERTIFICATE_PATH"'))
    key, _, public = pem.partition("-----END PRIVATE KEY-----")
    assert out.startswith(pem[:28] + "***\n***")
    assert out.endswith(public)
    assert not any(len(line) >= 12 and line in out for line in key.splitlines()[1:])


@pytest.mark.parametrize("mask", [[], ["--no-mask"]])
@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_the_exit_code_is_the_commands(authority: Authority, mask: list[str], script: str, code: int) -> None:
    found = ended(start(authority, "logs", *mask, "--", "sh", "-c", script))[0]
    assert found % 256 == (code if not mask or code < 128 else 128 - code) % 256


def test_no_mask_becomes_the_command(authority: Authority) -> None:
    process = start(authority, "logs", "--no-mask", "--", "sh", "-c", 'echo "$$ $ENTRANT_TOKEN_LOGS"')
    code, out, _ = ended(process)
    assert (code, out) == (0, f"{process.pid} token-1\n")


def test_input_and_both_outputs_are_the_commands(authority: Authority) -> None:
    code, out, err = ended(start(authority, "logs", "--", "sh", "-c", "cat; echo problem >&2"), "hello\n")
    assert (code, out, err) == (0, "hello\n", "problem\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_reaches_the_command_which_may_answer_it(authority: Authority, number: signal.Signals) -> None:
    script = f"trap 'echo got it; exit 5' {number.name.removeprefix('SIG')}; echo ready; while :; do sleep 0.05; done"
    process = start(authority, "logs", "--", "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    code, out, _ = ended(process)
    assert (code, out) == (5, "got it\n")


ELSEWHERE = """
import signal, sys, threading, time
from entrant.tokens import runner

def take() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    time.sleep(600)

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
threading.Thread(target=take, daemon=True).start()
sys.exit(runner.run(sys.argv[1:], {}, ["s3cret"]))
"""


def test_a_signal_that_does_not_interrupt_the_wait_reaches_the_command() -> None:
    """It comes to another thread, or just before the wait begins: Python hears of it when the wait is over."""
    script = "trap 'echo got it; exit 5' TERM; echo ready; while :; do /bin/sleep 0.05; done"
    command = [sys.executable, "-c", ELSEWHERE, "/bin/sh", "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        try:
            out = process.communicate(timeout=60)[0]
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, out) == (5, "got it\n")


def test_a_command_that_dies_of_a_signal_ends_in_128_and_its_number(authority: Authority) -> None:
    process = start(authority, "logs", "--", "sh", "-c", "echo ready; exec sleep 60")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143


def test_output_is_shown_as_it_comes(authority: Authority) -> None:
    process = start(authority, "logs", "--", "sh", "-c", "echo first; read line; echo second")
    assert process.stdout is not None
    assert process.stdout.readline() == "first\n"
    assert ended(process, "go on\n")[1] == "second\n"


def test_a_reader_that_goes_away_ends_the_command(authority: Authority) -> None:
    process = start(authority, "logs", "--", "sh", "-c", "trap '' PIPE; while echo line; do :; done; exit 9")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.returncode == 9
    process.stderr.close()  # type: ignore[union-attr]
    process.stdin.close()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["logs"], "which command?"),
        (["logs", "--"], "which command?"),
        (["logs", "--", "/no/such/command"], "/no/such/command could not be started: No such file or directory"),
        (["logs", "--no-mask", "--", "/no/such"], "/no/such could not be started: No such file or directory"),
        (["a-b", "--", "true"], '"a-b" is no audience'),
    ],
)
def test_a_wrong_call_ends_in_a_sentence(authority: Authority, arguments: list[str], says: str) -> None:
    code, out, err = ended(start(authority, *arguments))
    assert (code, out) == (2, "")
    assert says in err
    assert "Traceback" not in err


def test_no_command_is_run_without_its_tokens(authority: Authority, tmp_path: Path) -> None:
    authority.always = Answer(401, {"error": "invalid_client", "error_description": "AADSTS7000215: No."})
    code, _, err = ended(start(authority, "logs", "--", "touch", str(tmp_path / "ran")))
    assert code == 3
    assert "AADSTS7000215" in err
    assert not (tmp_path / "ran").exists()


def test_the_app_is_the_first_word_if_there_is_one_of_this_name(authority: Authority, tmp_path: Path) -> None:
    import json

    (tmp_path / "outputs.json").write_text(json.dumps(stack_outputs()))
    for words in (["log-reader", "logs"], ["logs"]):
        process = start(authority, "--outputs", str(tmp_path / "outputs.json"), *words, "--", "true")
        assert ended(process)[0] == 0
    assert authority.requests[0].fields["client_secret"] == "s3cret-v4lue"
    _, out, _ = ended(start(authority, "--outputs", str(tmp_path / "outputs.json"), "logs", "--identity", "--", "env"))
    assert "AZURE_CLIENT_SECRET=***\n" in out
