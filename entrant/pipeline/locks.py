"""The lock that Pulumi leaves on a stack of a self-managed backend when it is killed, and whose it is.

A lock says who made it: user, host, process and time, on every such backend alike (file, Azure Blob, S3, PostgreSQL). That does not
tell one job of a pipeline from another, so `hold` marks the stack first, with the stack tag `entrant:job`: which pipeline, which
run of it, as whom, where, since when. A lock is taken away only where the mark says that it is this pipeline's own, which lets
no two of its jobs work on one stack at once, and where no living process of this machine holds it.

Sources: Pulumi 3.259, pkg/backend/diy, lock.go (content and message) and backend.go (`CreateStack` locks before it says that there
is such a stack, `CancelCurrentUpdate` deletes every lock of a stack); Pulumi Cloud has no such locks.
"""

import contextlib
import datetime as dt
import json
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml

from entrant import engine
from entrant.errors import ConfigurationError, EngineError

TAG = "entrant:job"
"""The stack tag that says which job of which pipeline is at work on a stack."""
_MADE = re.compile(r"created by (?P<user>.+)@(?P<host>[^@\s]+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)$", re.M)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock of a stack: whose process made it, and when, to the second."""

    user: str
    host: str
    pid: int
    since: dt.datetime

    def __str__(self) -> str:
        return f"{self.user}@{self.host} (process {self.pid}) since {self.since.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True)
class Job:
    """Who is at work: a pipeline and a run of it, or a person; as which user of which host, since when."""

    pipeline: str
    run: str
    by: str
    since: dt.datetime

    @classmethod
    def here(cls, pipeline: str | None = None, run: str | None = None) -> Self:
        """This process, as a job of a pipeline, or without one as whoever runs it."""
        by = f"{_user()}@{socket.gethostname()}"
        now = dt.datetime.now(dt.UTC).replace(microsecond=0)
        return cls(pipeline or by, run or f"process {os.getpid()}", by, now)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The job that a tag's value tells of; None if it tells of none."""
        try:
            found = json.loads(text)
            return cls(found["pipeline"], found["run"], found["by"], dt.datetime.fromisoformat(found["since"]))
        except (ValueError, KeyError, TypeError):
            return None

    def __str__(self) -> str:
        return json.dumps(
            {"pipeline": self.pipeline, "run": self.run, "by": self.by, "since": self.since.isoformat()},
            separators=(",", ":"),
        )


def find(stack: str, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> list[Lock]:
    """The locks of a stack, which must exist; none on Pulumi Cloud.

    Raises:
        EngineError: the backend could not be asked.
    """
    plain = {name: value for name, value in environ.items() if name != "PULUMI_OPTION_CONFIG_FILE"}
    plain["PULUMI_CONFIG_PASSPHRASE"] = plain.get("PULUMI_CONFIG_PASSPHRASE") or "none is needed to be told of a lock"
    asked = ["stack", "init", "--no-select", "--stack", stack]
    with tempfile.TemporaryDirectory(prefix="entrant-") as folder:
        project = {"name": _project(cwd or Path.cwd()), "runtime": "python"}
        (Path(folder) / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        done = engine.run(asked, cwd=Path(folder), environ=plain, check=False)
    if "currently locked" in done.stderr:
        return [
            Lock(made["user"], made["host"], int(made["pid"]), dt.datetime.fromisoformat(made["since"]))
            for made in _MADE.finditer(done.stderr)
        ]
    if done.returncode and "already exists" in done.stderr:
        return []
    raise engine.failure(["stack", "init"], done.returncode, done.stderr)


@contextlib.contextmanager
def hold(
    stack: str,
    job: Job,
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """For a block that changes a stack: mark it as `job`'s, after taking away what a killed job of the same pipeline left.

    Raises:
        EngineError: it is locked by somebody else, or by a process that lives; the lock stays.
    """
    tags = ["stack", "tag"]
    listed = engine.run([*tags, "ls", "--json", "--stack", stack], cwd=cwd, environ=environ).stdout
    mark = Job.parse(json.loads(listed).get(TAG, ""))
    held = find(stack, cwd=cwd, environ=environ)
    for lock in held:
        why = foreign(lock, mark, job)
        if why:
            raise EngineError(
                f"the stack {stack} is locked by {lock}, and {why}",
                next_step="wait for it to end; if it never will, and you know why, `pulumi cancel`",
            )
    if held and mark:
        engine.run(["cancel", "--yes", "--stack", stack], cwd=cwd, environ=environ)
        tell(f"took away the lock of {held[0]}: {mark.run} of {mark.pipeline} was killed")
    engine.run([*tags, "set", TAG, str(job), "--stack", stack], cwd=cwd, environ=environ)
    try:
        yield
    finally:
        done = engine.run([*tags, "rm", TAG, "--stack", stack], cwd=cwd, environ=environ, check=False)
        if done.returncode:
            tell(f"the tag {TAG} of {stack} could not be removed: {done.stderr.strip()}")


def foreign(lock: Lock, mark: Job | None, job: Job) -> str | None:
    """Why a lock is not one that a killed job of the same pipeline left; None if it is."""
    if mark is None:
        return "no job of a pipeline has marked the stack"
    if mark.pipeline != job.pipeline:
        return f"the stack is marked as {mark.pipeline}'s ({mark.run}), and this is {job.pipeline}"
    if mark.by != f"{lock.user}@{lock.host}" or lock.since < mark.since:
        return f"the mark of {mark.run} is {mark.by}'s since {mark.since.isoformat()}: the lock is not its own"
    if lock.host == socket.gethostname() and alive(lock.pid):
        return "that process is at work"
    return None


def alive(pid: int) -> bool:
    """Whether a process of this machine lives; on Linux, one that is Pulumi's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's process
        return True
    status = Path(f"/proc/{pid}/stat")
    try:
        name, _, rest = status.read_text().partition("(")[2].rpartition(")")
    except OSError:  # no Linux, or it has just ended
        return not Path("/proc/self").exists()
    return "pulumi" in name and rest.split()[0] != "Z"  # a dead process that nobody has asked after is no living one


def _user() -> str:
    """The name that Pulumi puts on its locks."""
    try:
        import pwd
    except ImportError:  # Windows
        return f"{os.environ.get('USERDOMAIN', '')}\\{os.environ.get('USERNAME', '')}"
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return os.environ.get("USER", "")


def _project(folder: Path) -> str:
    for place in (folder.resolve(), *folder.resolve().parents):
        for name in ("Pulumi.yaml", "Pulumi.yml"):
            if (place / name).is_file():
                return str(yaml.safe_load((place / name).read_text("utf-8"))["name"])
    raise ConfigurationError(f"{folder} is in no Pulumi project", next_step="name the project's folder with --cwd")
