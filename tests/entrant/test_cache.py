"""The cache on disk: who can read it, what survives a kill, how many requests are made."""

import hashlib
import itertools
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import entrant
from entrant.tokens import cache
from tests.entrant.authority import TENANT, Authority, certificate, refusal, serve

ROOT = Path(__file__).resolve().parents[2]
SCOPE = "https://api.loganalytics.io/.default"
KEY = ("token", "t", "c", "a", "s")
SECRET = "s3cret-v4lue"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path / "entrant" / "tokens")


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    with serve(tmp_path) as running:
        for name, value in environ(running, tmp_path).items():
            monkeypatch.setenv(name, value)
        yield running


def environ(authority: Authority, tmp_path: Path) -> dict[str, str]:
    return {
        "REQUESTS_CA_BUNDLE": str(authority.ca_file),
        "AZURE_AUTHORITY_HOST": authority.url,
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": "c1",
        "AZURE_CLIENT_SECRET": SECRET,
        "XDG_CACHE_HOME": str(tmp_path),
        cache.VARIABLE: "1",
    }


def files(folder: str) -> list[Path]:
    return [path for path in Path(folder).iterdir() if not path.name.startswith("lock-")]


def command(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


# ------------------------------------------------------------------------------------------------------ who can read it


def test_only_a_holder_of_the_credential_reads_what_is_kept(folder: str) -> None:
    cache.Cache(b"proof", folder).write(["1", "eyJ.token"], *KEY)
    assert cache.Cache(b"proof", folder).read(*KEY) == ["1", "eyJ.token"]
    assert cache.Cache(b"another", folder).read(*KEY) is None
    assert cache.Cache(b"proof", folder).read(*KEY[:-1], "another") is None


def test_files_are_for_their_owner_alone_and_show_nothing(folder: str) -> None:
    before = os.umask(0)
    try:
        store = cache.Cache(SECRET.encode(), folder)
        with store.locked(*KEY):
            store.write(["1800000000", "eyJ.token"], *KEY)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in Path(folder).iterdir()} == {0o600}
    content = b"".join(path.read_bytes() + path.name.encode() for path in Path(folder).iterdir())
    assert not re.search(rb"eyJ|token|1800000000|s3cret", content)


def test_a_folder_that_others_can_read_is_closed_first(folder: str) -> None:
    os.makedirs(folder, mode=0o755)
    cache.Cache(b"proof", folder).write(["1", "x"], *KEY)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_a_folder_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="is a link"):
        cache.Cache(b"proof", str(tmp_path / "link")).write(["1", "x"], *KEY)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's folder")
def test_a_folder_of_another_user_is_not_used_and_the_token_is_given_all_the_same(
    authority: Authority, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    os.makedirs(folder)
    os.chown(folder, 12345, 12345)
    assert entrant.token(entrant.from_environment(), SCOPE).access_token == "token-1"
    assert "belongs to another user" in caplog.text
    assert not files(folder)


@given(cut=st.integers(0, 200), flip=st.integers(0, 200), noise=st.binary(min_size=1, max_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_damaged_file_is_a_miss(folder: str, cut: int, flip: int, noise: bytes) -> None:
    store = cache.Cache(b"proof", folder)
    store.write(["1", "eyJ.token"], *KEY)
    (path,) = files(folder)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[flip % len(whole)] = noise[0]
    for data in (whole[: cut % len(whole)], bytes(damaged), noise):
        path.write_bytes(data)
        assert store.read(*KEY) in (None, ["1", "eyJ.token"] if data == whole else None)


def test_what_is_written_is_as_documented_and_never_the_same_twice(folder: str) -> None:
    """docs/decisions/2026-11-26-token-cache-cipher.md."""
    store = cache.Cache(b"proof", folder)
    written = []
    for _ in range(2):
        store.write(["1", "eyJ.token"], *KEY)
        (path,) = files(folder)
        written.append(path.read_bytes())
    assert not set(zip(*[iter(written[0])] * 4, strict=False)) & set(zip(*[iter(written[1])] * 4, strict=False))
    keys = hashlib.blake2b(b"proof", person=b"entrant tokens 3").digest()
    assert path.name == hashlib.blake2b("\0".join(KEY).encode(), key=keys[:32], digest_size=20).hexdigest()
    for data in written:
        assert AESGCM(keys[32:]).decrypt(data[:12], data[12:], path.name.encode()) == b"1\0eyJ.token"


def test_a_file_under_the_name_of_another_is_a_miss(folder: str) -> None:
    store = cache.Cache(b"proof", folder)
    store.write(["1", "for a"], *KEY[:-1], "a")
    (a,) = files(folder)
    store.write(["1", "for b"], *KEY[:-1], "b")
    (b,) = set(files(folder)) - {a}
    b.write_bytes(a.read_bytes())
    assert store.read(*KEY[:-1], "b") is None


def test_what_is_too_old_is_cleared_away(folder: str) -> None:
    store = cache.Cache(b"proof", folder)
    store.write(["1", "old"], *KEY)
    (old,) = files(folder)
    os.utime(old, (time.time() - 90_000,) * 2)
    store.write(["1", "new"], "other")
    assert old not in files(folder)
    assert len(files(folder)) == 1


# -------------------------------------------------------------------------------------------------- only when asked for


def test_nothing_is_kept_on_disk_unless_asked_for(
    authority: Authority, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(cache.VARIABLE)
    entrant.token(entrant.from_environment(), SCOPE)
    assert not Path(folder).exists()
    entrant.token(entrant.from_environment(), SCOPE, cache=True)
    assert files(folder)
    monkeypatch.setenv(cache.VARIABLE, "1")
    assert entrant.token(entrant.from_environment(), SCOPE, cache=False).access_token == "token-3"


def test_a_token_from_disk_serves_every_way_to_ask(authority: Authority) -> None:
    app = entrant.from_environment()
    assert entrant.token(app, SCOPE).access_token == "token-1"
    assert entrant.token(app, "https://api.loganalytics.io").access_token == "token-1"
    assert entrant.credential(app).get_token(SCOPE).token == "token-1"
    assert len(authority.requests) == 1


def test_a_token_that_nears_its_end_is_renewed(authority: Authority) -> None:
    app = entrant.from_environment()
    authority.lifetime = 200
    assert entrant.token(app, SCOPE).access_token == "token-1"
    authority.lifetime = 3599
    assert entrant.token(app, SCOPE).access_token == "token-2"
    assert entrant.token(app, SCOPE, min_valid=3000).access_token == "token-2"


def test_tokens_of_different_apps_tenants_and_authorities_never_mix(authority: Authority, folder: str) -> None:
    store = cache.Cache(b"proof", folder)
    keys = [cache.token_key(*(("x" if n == i else "y") for n in range(4))) for i in range(4)]
    for number, key in enumerate(keys):
        store.write([str(number)], *key)
    assert [store.read(*key) for key in keys] == [["0"], ["1"], ["2"], ["3"]]


def test_a_challenged_token_is_neither_taken_from_disk_nor_kept_there(authority: Authority) -> None:
    app = entrant.from_environment()
    entrant.credential(app).get_token(SCOPE)
    assert entrant.credential(app).get_token(SCOPE, claims="{}").token == "token-2"
    assert entrant.credential(app).get_token(SCOPE).token == "token-1"


def test_a_token_that_is_another_for_the_same_scope_is_not_kept_for_it(authority: Authority, folder: str) -> None:
    """One of another tenant, or one that an API may revoke."""
    app = entrant.from_environment()
    assert entrant.credential(app).get_token(SCOPE, enable_cae=True).token == "token-1"
    assert not os.path.exists(folder)
    assert entrant.credential(app).get_token(SCOPE).token == "token-2"
    assert entrant.credential(app).get_token(SCOPE, enable_cae=True).token == "token-3"


# -------------------------------------------------------------------------------------------- many at once, and killed


def test_fifty_processes_that_ask_at_once_make_one_request(authority: Authority, folder: str) -> None:
    authority.delay = 1.0
    processes = [command("-m", "entrant", "token", SCOPE) for _ in range(50)]
    outputs = [process.communicate() for process in processes]
    assert {process.returncode for process in processes} == {0}, outputs[0]
    assert {out for out, _ in outputs} == {"token-1\n"}
    assert len(authority.requests) == 1


def test_threads_with_credentials_of_their_own_make_one_request(authority: Authority) -> None:
    authority.delay = 0.3
    app, found = entrant.from_environment(), []
    threads = [
        threading.Thread(target=lambda: found.append(entrant.credential(app).get_token(SCOPE).token)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["token-1"] * 8


def test_a_failed_request_leaves_nothing_behind_for_the_next(authority: Authority, folder: str) -> None:
    authority.script = [refusal(7000215)]
    with pytest.raises(entrant.AuthenticationError):
        entrant.token(entrant.from_environment(), SCOPE)
    assert not files(folder)
    assert entrant.token(entrant.from_environment(), SCOPE).access_token == "token-2"


WRITER = """
import sys
from entrant.tokens import cache
store = cache.Cache(b"proof", sys.argv[1])
print("go", flush=True)
number = 0
while True:
    number += 1
    with store.locked("k"):
        store.write([str(number), "x" * 4000 + str(number)], "k")
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_value_and_a_free_lock(folder: str) -> None:
    store = cache.Cache(b"proof", folder)
    for pause in (0.0, 0.001, 0.003, 0.005, 0.01, 0.02, 0.05):
        process = command("-c", WRITER, folder)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with store.locked("k"):
            found = store.read("k")
        assert found is None or found[1] == "x" * 4000 + found[0]
        assert {stat.S_IMODE(path.stat().st_mode) for path in Path(folder).iterdir()} <= {0o600}


def test_a_reader_never_sees_a_part(folder: str) -> None:
    store = cache.Cache(b"proof", folder)
    store.write(["0", "x" * 4000 + "0"], "k")
    process = command("-c", WRITER, folder)
    assert process.stdout is not None
    process.stdout.readline()
    seen: set[str] = set()
    until = time.monotonic() + 60
    for number in itertools.count():
        if (number >= 2000 and len(seen) > 1) or time.monotonic() > until:
            break
        found = store.read("k")
        assert found is not None
        assert found[1] == "x" * 4000 + found[0]
        seen.add(found[0])
    process.kill()
    process.communicate()
    assert len(seen) > 1


# ------------------------------------------------------------------------------------------------------- the short cut


def imported(stderr: str) -> set[str]:
    return {
        line.rsplit("|", 1)[1].strip().split(".")[0] for line in stderr.splitlines() if line.startswith("import time:")
    }


def test_a_warm_token_needs_no_msal_no_pulumi_and_no_set_up(authority: Authority) -> None:
    cold = command("-X", "importtime", "-m", "entrant", "token", SCOPE)
    out, err = cold.communicate()
    assert (cold.returncode, out) == (0, "token-1\n")
    assert "ssl" in imported(err), "the test sees what is imported"
    assert not imported(err) & {"msal", "azure", "requests", "urllib3"}, "a secret needs none of these"
    for arguments in (["token", SCOPE, "--min-valid", "10m"], ["token", "--cache", SCOPE, "--format", "header"]):
        warm = command("-X", "importtime", "-m", "entrant", *arguments)
        out, err = warm.communicate()
        assert out == ("Authorization: Bearer " if "header" in arguments else "") + "token-1\n"
        assert not imported(err) & {
            "msal",
            "azure",
            "pulumi",
            "click",
            "requests",
            "subprocess",
            "ssl",
            "pathlib",
            "json",
            "hashlib",
        }
    assert len(authority.requests) == 1


def test_an_interpreter_without_the_requirements_leaves_a_warm_token_to_the_command(authority: Authority) -> None:
    """`-S` is a Python without site-packages, as the one on PATH may be."""
    entrant.token(entrant.from_environment(), SCOPE)
    program = f"from entrant.tokens.warm import answer; print(answer(['{SCOPE}']))"
    assert command("-c", program).communicate() == ("token-1\n", "")
    assert command("-S", "-c", program).communicate() == ("None\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", SCOPE, "--format", "json"],
        ["token", "--credential", "secret", SCOPE],
    ],
)
def test_other_warm_calls_need_no_msal_either(authority: Authority, arguments: list[str]) -> None:
    entrant.token(entrant.from_environment(), SCOPE)
    warm = command("-X", "importtime", "-m", "entrant", *arguments)
    out, err = warm.communicate()
    assert warm.returncode == 0, err
    assert "token-1" in out
    assert not imported(err) & {"msal", "azure", "pulumi", "requests"}


def test_the_short_cut_gives_no_token_with_less_time_left_than_wanted(authority: Authority) -> None:
    from entrant.tokens import warm

    authority.lifetime = 900
    entrant.token(entrant.from_environment(), SCOPE)
    assert warm.answer([SCOPE, "--min-valid", "10m"]) == "token-1"
    assert warm.answer([SCOPE, "--min-valid", "1h"]) is None
    assert warm.answer([SCOPE, "--min-valid", "soon"]) is None
    assert warm.answer([SCOPE, "--min-valid"]) is None


@pytest.mark.parametrize(
    "change",
    [{"AZURE_CLIENT_SECRET": "another"}, {"AZURE_CLIENT_ID": "c2"}, {cache.VARIABLE: ""}],
)
def test_the_short_cut_is_not_taken_for_anything_else(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, change: dict[str, str]
) -> None:
    entrant.token(entrant.from_environment(), SCOPE)
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    process = command("-m", "entrant", "token", SCOPE)
    out, err = process.communicate()
    assert out == "token-2\n", err


@pytest.mark.parametrize(
    "arguments", [{"AZURE_CLIENT_SECRET": "s\udcff"}, {"AZURE_CLIENT_ID": "c\udcff"}, SCOPE + "\udcff"]
)
def test_bytes_that_are_no_text_end_in_a_sentence(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, str] | str
) -> None:
    for name, value in arguments.items() if isinstance(arguments, dict) else ():
        monkeypatch.setenv(name, value)
    process = command("-m", "entrant", "token", arguments if isinstance(arguments, str) else SCOPE)
    out, err = process.communicate()
    assert out == "" and err.startswith("entrant: no token for ") and "Traceback" not in err
    assert authority.requests == []


def test_a_certificate_and_a_token_file_are_proofs_for_the_short_cut_too(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from entrant.tokens import warm

    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    (tmp_path / "token").write_text("assertion\n")
    (tmp_path / "c.pem").write_bytes(certificate()[0])
    for variable, file in (
        ("AZURE_FEDERATED_TOKEN_FILE", tmp_path / "token"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", tmp_path / "c.pem"),
    ):
        monkeypatch.setenv(variable, str(file))
        assert warm.answer([SCOPE]) is None
        found = entrant.token(entrant.from_environment(), SCOPE).access_token
        assert warm.answer([SCOPE]) == found
        file.write_text("another")
        assert warm.answer([SCOPE]) is None
