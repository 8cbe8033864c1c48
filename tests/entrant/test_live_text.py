"""Text of files, clouds and errors commands nobody: no CI system, no terminal, no Markdown, no XML, whatever command prints it."""

import csv
import datetime as dt
import io
import json
import logging
import os
import re
import string
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin
from xml.etree import ElementTree

import click
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from entrant import cli as command_line
from entrant import config, progress, terminal
from entrant.access import monitor
from entrant.access.trials import Proof
from entrant.commands import check, expiry, tables
from entrant.config import render
from entrant.drift import detect
from entrant.drift.expiry import Ending
from entrant.drift.manual_changes import ManualChange
from entrant.drift.unmanaged import Unmanaged
from entrant.errors import ConfigurationError, EntrantError
from entrant.facts.unsafe_text import inert
from entrant.markdown import Value
from entrant.policy import evaluate
from entrant.review import document, page, reviewer

ROOT = Path(__file__).resolve().parents[2]
LIVE = (
    "##vso[task.setvariable variable=a;isOutput=true]b",
    "###VSO[task.complete result=Failed]",
    "##[add-mask]b",
    "##[group]b",
    "##teamcity[buildStop]",
    "::add-mask::b",
    " \u00a0::stop-commands::b",
    "a\n::error file=x::b",
    "a\r::set-output name=x::b",
    "a\u2028::debug::b",
    "section_start:1560896352:x\r\x1b[0K",
    "section_end:1560896352:x",
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[31m",
    "\x9b31m\x90x\x9c",
    "\u202egnp.exe\u2066\u061c",
    "\ud800\ufeff\U000e0041",
)
MARKUP = (
    "<img src=x onerror=a> </details> @octocat #1 !1 [a](https://evil.example) ![b](http://evil.example) www.evil.example"
    + " | ` ``` *b*"
)
EVIL = " ".join(LIVE) + " " + MARKUP + " ]]> \" ' & \x00\x0b\ufffe"
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u206f\ud800-\udfff\ufeff\U000e0041]"
)
_COMMAND = re.compile(r"##[A-Za-z]*\[|section_(start|end):\d|(?m:^)\s*::")


def live(text: str) -> list[str]:
    """What in a text a terminal or a log would obey."""
    return [found[0] for found in (*_CONTROL.finditer(text), *_COMMAND.finditer(text))]


def live_markdown(text: str) -> list[str]:
    """What in Markdown is a tag of somebody else's, a mention, a link or a picture, outside code."""
    prose = re.sub(r"(?ms)^(`{3,}|~{3,}).*?^\1", "", text)
    prose = re.sub(r"(?s)(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"\\[`]", "", prose))
    ours = ("<details open>", "<details>", "</details>", "<summary>", "</summary>", "<br>", "<!--")
    for each in ours:
        prose = prose.replace(each, "")
    return re.findall(r"(?<!\\)<\w+|</\w+|(?<![\w\\])@\w+|(?<!\\)\]\(|https?://evil|www\.evil|(?<![\\\w#&])#1", prose)


Written = dict[str, io.TextIOWrapper]
Begin = Callable[[], Written]


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Begin:
    """To be called first: this process's streams, guarded as the command line guards them, and what is written to them."""

    def begun() -> Written:
        streams: Written = {
            name: io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for name in ("stdout", "stderr")
        }
        for name, stream in streams.items():
            monkeypatch.setattr(sys, name, stream)
        terminal.guard()
        return streams

    return begun


def written_to(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


@pytest.mark.parametrize("value", LIVE)
def test_no_stream_passes_on_what_is_live(value: str, begin: Begin) -> None:
    written = begin()
    assert live(value)
    for name in ("stdout", "stderr"):
        click.echo(f"name: {value}", err=name == "stderr")
        click.echo(value, err=name == "stderr")
        assert not live(written_to(written[name])), written_to(written[name])


def test_an_installed_command_calls_itself_so_and_changes_no_path() -> None:
    stream = io.StringIO()
    text = "see `python3 -m entrant check`\n  python3 -m entrant wait\n/home/a/python3 -m entrant.yaml\n"
    terminal.Guarded(stream, words=False, ours=True).write(text)
    assert stream.getvalue() == "see `entrant check`\n  entrant wait\n/home/a/python3 -m entrant.yaml\n"


@given(
    st.lists(st.sampled_from([*"#[:vso \n\r\x1bab\t", "##vso[", "section_start:", "1", "::"]), max_size=30).map("".join)
)
def test_however_a_text_is_cut_it_stays_harmless_and_the_same(text: str) -> None:
    whole, cut = io.StringIO(), io.StringIO()
    terminal.Guarded(whole, words=False).write(text)
    stream = terminal.Guarded(cut, words=False)
    for character in text:
        stream.write(character)
    assert whole.getvalue() == cut.getvalue()
    assert not live(cut.getvalue())


@given(st.text(st.characters(codec=None, exclude_categories=())) | st.sampled_from(LIVE))
def test_a_json_document_says_the_same_after_the_filter(value: str) -> None:
    for ascii_only in (True, False):
        document = json.dumps({value: [value]}, indent=2, ensure_ascii=ascii_only)
        stream = io.StringIO()
        terminal.Guarded(stream, words=False).write(document)
        assert json.loads(stream.getvalue()) == {value: [value]}
        assert not live(stream.getvalue())


def test_errors_warnings_logs_progress_and_tracebacks_pass_the_filter(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = begin()

    def fail(**_: Any) -> None:
        raise ConfigurationError(EVIL, next_step=EVIL)

    monkeypatch.setattr(command_line.cli, "main", fail)
    assert command_line.main() == 2
    whole = EVIL.replace("\ud800", "")  # which pytest could not report
    print(warnings.formatwarning(EVIL, UserWarning, "x", 1), file=sys.stderr)
    logging.getLogger("somebody").error("%s", whole)
    steps = progress.Steps()
    with steps.step(EVIL) as step:
        step.note = EVIL
        step.update(EVIL)
    steps.out.print(EVIL, markup=False)
    try:
        raise ValueError(EVIL)
    except ValueError:
        sys.excepthook(*sys.exc_info())
    text = written_to(written["stderr"])
    assert text.count("u005btask") >= 7 and not live(text), text


def test_colours_are_ours_alone(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    written = begin()
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.Steps().step(EVIL):
        pass
    text = written_to(written["stderr"])
    assert "\x1b[32m✓" in text
    assert not live(re.sub(r"\x1b\[(0|2|32)m", "", text))


def test_what_must_be_exact_passes(begin: Begin) -> None:
    written = begin()
    terminal.say_exactly("::add-mask::x")
    assert written_to(written["stdout"]) == "::add-mask::x\n"


def test_what_colours_a_message_is_shown_in_a_pipe_too() -> None:
    """click would take it out, and the name that is shown would be another."""
    done = subprocess.run(
        [sys.executable, "-m", "entrant", "validate", "\x1b[31mred.yaml"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.startswith(r"\u001b[31mred.yaml: error: there is no such file"), done.stdout
    done = subprocess.run(
        [sys.executable, "-m", "entrant", "rehearse", "\x1b[31mred"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stderr.startswith(r'entrant: "\u001b[31mred" is no name of a stack'), done.stderr


@pytest.mark.parametrize("guarded", [False, True])
def test_a_program_that_changes_a_stack_commands_nobody_and_one_that_was_asked_for_is_let_be(
    guarded: bool, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    code = "from entrant import terminal; terminal.guard()\nfrom entrant.tokens import runner; import sys\n"
    code += f"sys.exit(runner.run(sys.argv[1:], None, [], guarded={guarded}))"
    child = [
        sys.executable,
        "-c",
        "import sys; sys.stdout.buffer.write(b'##vso[a]\\n::b::\\xc3\\xa9\\x1b[31m\\xff\\n')",
    ]
    done = subprocess.run([sys.executable, "-c", code, *child], capture_output=True, cwd=ROOT, check=True).stdout
    if guarded:
        assert done.decode() == "##vso\\u005ba]\n:\\u003ab::é\\u001b[31m\ufffd\n"
    else:
        assert done == b"##vso[a]\n::b::\xc3\xa9\x1b[31m\xff\n"


# ------------------------------------------------------------------------------------------------------- environment files


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of the texts and the keys (with None as the last step) of a document."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield (*path, key, None)
            yield from leaves(below, (*path, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from leaves(below, (*path, index))
    elif isinstance(value, str):
        yield path


def changed(document: Any, path: tuple[Any, ...], value: str) -> Any:
    copy = json.loads(json.dumps(document))
    holder = copy
    last = path[:-2] if path[-1] is None else path[:-1]
    for step in last:
        holder = holder[step]
    if path[-1] is None:
        holder[value] = holder.pop(path[-2])
    else:
        holder[path[-1]] = value
    return copy


def everything() -> Any:
    class Loader(yaml.SafeLoader):
        pass

    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if not tag.endswith("timestamp")]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    return yaml.load((ROOT / "examples/everything.yaml").read_text("utf-8"), Loader)


def written_in_yaml(document: Any) -> str:
    """JSON, which is YAML but for surrogates; every character that YAML does not take as it is is an escape."""
    return re.sub(
        r"\\u(d[89ab]..)\\u(d[c-f]..)", _astral, re.sub(r"\\ud[89ab]..(?!\\ud[c-f])", "", json.dumps(document))
    )


def _astral(pair: re.Match[str]) -> str:
    return f"\\U{0x10000 + (int(pair[1], 16) - 0xD800) * 0x400 + int(pair[2], 16) - 0xDC00:08x}"


def shown_to_people(report: config.Report) -> None:
    """Everything that a check, and a review where it can be made, print."""
    problems = [*report.problems]
    if report.sound is not None:
        problems += [finding.problem for finding in evaluate(report.sound, report) if finding.problem is not None]
    click.echo(render.text(problems))
    click.echo(render.as_json(problems))
    for line in render.github(problems).split("\n"):
        assert not live(line.removeprefix("::error ").removeprefix("::warning ")), line
    base = reviewer.Base("main", None)
    errors = () if report.environment else tuple(map(str, report.errors))
    made = reviewer.of_commits("dev", base, report, now=dt.datetime(2026, 11, 26, tzinfo=dt.UTC), errors=errors)
    text = page.markdown(made).complete()
    assert not live_markdown(text), text
    click.echo(text)
    print(page.terminal(made, colour=False, width=None), file=terminal.coloured(sys.stdout))
    click.echo(made.as_json())


@pytest.mark.parametrize("part", range(6))
def test_no_text_and_no_key_of_an_environment_is_live_in_any_report(part: int, tmp_path: Path, begin: Begin) -> None:
    written = begin()
    for name in ("base.yaml", "batch.pem", "logo.png"):
        (tmp_path / name).write_bytes((ROOT / "examples" / name).read_bytes())
    document = everything()
    places = list(leaves(document))
    assert len(places) > 200
    shown = 0
    for number, path in enumerate(places[part::6]):
        value = (EVIL, f"a {LIVE[number % len(LIVE)]}", f"{LIVE[number % len(LIVE)]} {MARKUP}")[number % 3]
        (tmp_path / "dev.yaml").write_text(written_in_yaml(changed(document, path, value)), "utf-8")
        report = config.check("dev.yaml", root=tmp_path)
        shown += bool(live(render.text(report.problems)))
        shown_to_people(report)
        text = written_to(written["stdout"])
        assert not live(text), (path, live(text), [line for line in text.splitlines() if live(line)][:3])
        written = begin()
    assert shown > 20


def test_the_names_of_files_are_not_live(tmp_path: Path, begin: Begin) -> None:
    written = begin()
    (tmp_path / "config").mkdir()
    name = "##vso[task.complete]\x1b[31m\n::error::b.yaml"
    (tmp_path / "config" / name).write_text("apps: {a: {nothing: 1}}", "utf-8")
    shown_to_people(config.check(f"config/{name}", root=tmp_path))
    assert not live(written_to(written["stdout"]))


# ---------------------------------------------------------------------------------------------------- answers of the cloud


PROOFS = [
    Proof(f"app {EVIL}", "role", EVIL, state, EVIL, next_step=EVIL)
    for state in ("granted", "seen", "denied", "unknown")
]
UNDECLARED = [Unmanaged(EVIL, EVIL, EVIL, EVIL)]


@pytest.mark.parametrize("form", sorted(check._REPORTS))
def test_a_check_of_access_shows_the_clouds_words_as_words(form: str, begin: Begin) -> None:
    written = begin()
    assert len(live_markdown(EVIL)) > 5
    made = check._REPORTS[form](EVIL, PROOFS, UNDECLARED)
    if form == "markdown":
        assert not live_markdown(made), made
        table = [line for line in made.splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {5}
    click.echo(made)
    text = written_to(written["stdout"])
    assert not live(text)
    if form == "junit":
        suite = ElementTree.fromstring(text)
        assert len(suite.findall("testcase")) == len(PROOFS) + 1
        assert "vso\\u005b" in suite.find("testcase").attrib["name"]  # type: ignore[union-attr]
    if form == "json":
        assert json.loads(text)["grants"][0]["evidence"] == EVIL


@pytest.mark.parametrize("form", sorted(detect.FORMATS))
def test_a_report_of_drift_shows_the_clouds_words_as_words(form: str, begin: Begin) -> None:
    written = begin()
    words = ("the name is now ", Value(EVIL))
    finding = ManualChange(EVIL, "app", EVIL, "changed", words, EVIL, f"remove {EVIL}", old=EVIL, new=EVIL)
    made = detect.FORMATS[form](detect.Report("dev", (finding,), (), (EVIL,)))
    if form == "markdown":
        assert not live_markdown(made), made
    click.echo(made)
    assert not live(written_to(written["stdout"]))


def test_an_error_of_a_pulumi_program_or_policy_is_inert() -> None:
    assert not live(inert(EVIL))
    program = (ROOT / "__main__.py").read_text("utf-8")
    assert all(
        "inert(" in line for line in program.splitlines() if "log.warn(" in line or "raise pulumi.RunError(" in line
    )


def test_a_secret_in_a_url_is_in_no_error_and_no_note() -> None:
    error = EntrantError(
        "could not open postgres://entrant:hunter2@db.example/state?sig=abc%3D today", next_step="https://a:b@c/d"
    )
    assert str(error) == "could not open postgres://***@db.example/state?sig=*** today"
    assert error.next_step == "https://***@c/d"
    assert str(EntrantError("see https://login.example/error?code=50011 at https://h:8443/p/@x")) == (
        "see https://login.example/error?code=50011 at https://h:8443/p/@x"
    )


@pytest.mark.parametrize(
    "parameter",
    [
        "client_secret=12-abc~def",
        "client_secret=123~abc",
        "password=12345678",
        "sas_token=abc",
        "code=12-abc~def",
        "id_token=0.abc",
    ],
)
def test_a_secret_that_begins_with_a_number_is_masked_too(parameter: str) -> None:
    name = parameter.partition("=")[0]
    assert str(EntrantError(f"POST /x?{parameter}&y=1 failed")) == f"POST /x?{name}=***&y=1 failed"


SECRET = "12-Qx8~def/456.ghi"
TOKEN = string.ascii_letters[:20] + string.digits
WRITTEN = [
    ("could not open postgres://u:1234/56@host/db", "could not open postgres://***@host/db"),
    ("mongodb+srv://u:1/2@h/?x", "mongodb+srv://***@h/?x"),
    ("https://h:8443/p/@x", "https://h:8443/p/@x"),
    ("Authorization: Bearer ghs_<T>", "Authorization: Bearer ***"),
    ("bad token ghp_<T>, github_pat_<T>_a, glpat-<T>", "bad token ***, ***, ***"),
    ("Bearer authentication is off; Basic too", "Bearer authentication is off; Basic too"),
    ("Authorization: Basic dXNlcjpodW50ZXIyCg==", "Authorization: Basic ***"),
    ("Authorization: SharedKey acct:Zm9vYmFyMTIzNDU2", "Authorization: SharedKey ***"),
    ('{"client_secret": "<S>", "x": 1}', '{"client_secret": "***", "x": 1}'),
    ('{"secretText":"<S>","keyId":"1"}', '{"secretText":"***","keyId":"1"}'),
    ("{'password': '<S>', 'user': 'me'}", "{'password': '***', 'user': 'me'}"),
    ('body {\\"access_token\\":\\"<S>\\",\\"x\\":1}', 'body {\\"access_token\\":\\"***\\",\\"x\\":1}'),
    ('{"password": "with \\"quotes\\" inside", "x": 1}', '{"password": "***", "x": 1}'),
    (
        '{"password": 1234, "token": null, "secret": {"every": "90d"}}',
        '{"password": ***, "token": null, "secret": {"every": "90d"}}',
    ),
    ('cut off: {"client_secret": "12-Qx8~de', 'cut off: {"client_secret": "***"'),
    ('password="two words" user=me', 'password="***" user=me'),
    ("AccountName=a;AccountKey=<S>==;X=y", "AccountName=a;AccountKey=***;X=y"),
    ("SharedAccessKeyName=n;SharedAccessKey=<S>", "SharedAccessKeyName=n;SharedAccessKey=***"),
    ("?sv=2024&sp=r&sig=<S>%3D&se=1", "?sv=2024&sp=r&sig=***&se=1"),
    ("client_assertion=<S>&client_assertion_type=urn", "client_assertion=***&client_assertion_type=urn"),
    ("aws_secret_access_key = '<S>'", "aws_secret_access_key = '***'"),
    ("x-functions-key: <S>", "x-functions-key: ***"),
    ("the secret value abc8Q~<T><T>_-. is wrong", "the secret value *** is wrong"),
    ("secret: {every: 90d}; password: expected text", "secret: {every: 90d}; password: expected text"),
    (
        'unknown key "client_secret": a secret never stands in a file',
        'unknown key "client_secret": a secret never stands in a file',
    ),
]


@pytest.mark.parametrize(("text", "shown"), WRITTEN)
def test_a_secret_is_in_no_error_however_it_is_written(text: str, shown: str) -> None:
    assert str(EntrantError(text.replace("<S>", SECRET).replace("<T>", TOKEN))) == shown


def test_a_private_key_of_any_form_is_in_no_error() -> None:
    """Whole, encrypted, and cut off where a message ends."""
    rsa_key, ec_key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat
    plain, locked = serialization.NoEncryption(), serialization.BestAvailableEncryption(b"a password")
    written = [
        *(
            key.private_bytes(pem, each, plain)
            for key in (rsa_key, ec_key)
            for each in (form.TraditionalOpenSSL, form.PKCS8, form.OpenSSH)
        ),
        *(rsa_key.private_bytes(pem, each, locked) for each in (form.TraditionalOpenSSL, form.PKCS8)),
    ]
    for key in (one.decode() for one in written):
        assert str(EntrantError(f"cannot read\n{key}end")) == "cannot read\n***\nend"
        assert str(EntrantError(f"cannot read {key[: len(key) // 2]}")) == "cannot read ***"


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
@pytest.mark.parametrize("command", ["review", "drift", "expiry", "check", "token"])
def test_what_pulumi_says_of_its_backend_is_shown_without_the_password_and_without_a_command(
    command: str, form: str, tmp_path: Path
) -> None:
    if (command, form) in (("expiry", "markdown"), ("token", "markdown"), ("token", "text")):
        pytest.skip("there is no such form")
    pulumi = tmp_path / "pulumi"
    words = "error: could not open postgres://me:hunter2@db/state and azblob://s?sas=1&sig=c2lnbmF0dXJl%3D ##vso[task.complete]"
    pulumi.write_text(
        f"#!/bin/sh\n[ $1 = version ] && echo v3.259.0 && exit\necho '{words}' >&2\necho '::error::x' >&2\nexit 255\n"
    )
    pulumi.chmod(0o755)
    (tmp_path / "Pulumi.yaml").write_text("name: x\nruntime: python\n")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/dev.yaml").write_text("apps: {a: {}}\n")
    more = ["a", "arm"] if command == "token" else ["a"] if command == "check" else []
    done = subprocess.run(
        [sys.executable, "-m", "entrant", command, "-s", "dev", *more, "--debug", "--format", form],
        cwd=tmp_path,
        env=dict(os.environ) | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode, done.stderr
    shown = done.stdout + done.stderr
    assert "postgres://" in shown, shown
    assert "hunter2" not in shown and "c2lnbmF0" not in shown
    assert not live(done.stdout) and not live(done.stderr)


OURS = {"ends": "2026-12-24T00:00:00Z", "operation": "create", "digest": "0" * 32, "stack": "dev"}
"""Texts of a review that are never somebody else's: moments, words of the engine, names that Pulumi takes."""


def hostile(kind: Any, text: str) -> Any:
    """A value of a type with a text in every place where one fits; of a model every variant of its literals."""
    if kind in (str, Any):
        return text
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple:
        return tuple(hostile_variants(inner[0], text))
    if origin in (Union, UnionType):
        return hostile(inner[0], text)
    if origin is Literal:
        return inner[0]
    return True if kind is bool else kind


def hostile_variants(kind: Any, text: str) -> Iterator[Any]:
    """One of a model for each value of each literal that it has, with the text in all its texts."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        yield hostile(kind, text)
        return
    fields = {name: hostile(field.annotation, text) for name, field in kind.model_fields.items()}
    ours = {name: word for name, word in OURS.items() if name in fields}
    yield kind(**fields | ours)
    for name, field in kind.model_fields.items():
        for choice in get_args(field.annotation) if get_origin(field.annotation) is Literal else ():
            of_permission = kind is document.AccessChange and choice in ("consent", "permission")
            yield kind(**fields | ours | {name: choice} | ({"detail": "application"} if of_permission else {}))


@pytest.mark.parametrize("value", [EVIL, *(f"{each} {MARKUP}" for each in LIVE)])
def test_a_review_shows_the_clouds_words_as_words_in_every_field(value: str, begin: Begin) -> None:
    """Whatever kind of change it is of, with the cloud and without, whole and cut to fit."""
    written = begin()
    for made in hostile_variants(document.Review, value):
        for cloud in (True, False):
            shown = made.model_copy(update={"saw_cloud": cloud})
            whole = page.markdown(shown)
            for text in (whole.complete(), whole.render()[0], whole.render(3000)[0]):
                assert not live_markdown(text), live_markdown(text)
                click.echo(text)
            print(page.terminal(shown, colour=False, width=None), file=terminal.coloured(sys.stdout))
            click.echo(shown.as_json())
    assert not live(written_to(written["stdout"]))


@pytest.mark.parametrize("form", ["github", "azure-devops"])
def test_an_annotation_of_what_ends_is_one_command_of_its_own(form: str) -> None:
    """It is written as it is, so nothing of its words may end it or begin another."""
    ends = dt.datetime(2026, 12, 24, tzinfo=dt.UTC)
    for value in (EVIL, *LIVE):
        ending = Ending(value, value, "secret", value, value, ends, False, None, value)
        (line,) = expiry._ANNOTATIONS[form](ending, dt.datetime(2026, 11, 26, tzinfo=dt.UTC)).splitlines()
        _, mark, rest = line.partition("::error ")[::1] if form == "github" else line.partition("##vso[task.logissue ")
        command, mark, message = (rest or line).partition("::" if form == "github" else "]")
        assert mark and not live(command) and not live(message), line


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_rows_of_a_query_are_words(form: str, begin: Begin) -> None:
    written = begin()
    tables.show_table(lambda: monitor.Table((EVIL, "n"), ((EVIL, 1), (f"=cmd|{EVIL}", None))), form)
    text = written_to(written["stdout"])
    assert not live(text)
    if form == "csv":
        rows = list(csv.reader(io.StringIO(text)))
        assert len(rows) == 3 and not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
