"""The lock that Pulumi leaves on a stack of a self-managed backend when it is killed, and whose it is.

A lock says who made it: user, host, process and time, on every such backend alike (file, Azure Blob, S3, PostgreSQL). That does not
tell one job of a pipeline from another, so `hold` marks the stack first, with the stack tag `entrant:job`: which pipeline, which
run of it, as whom, where, since when. A lock is taken away only where the mark says that it is this pipeline's own, which lets
no two of its jobs work on one stack at once, and where no living process of this machine holds it.

Sources: Pulumi 3.259, pkg/backend/diy, lock.go (content and message) and backend.go (`CreateStack` locks before it says that there
is such a stack, `CancelCurrentUpdate` deletes every lock of a stack); Pulumi Cloud has no such locks.
"""

import contextlib
import dataclasses
import datetime as dt
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from entrant import engine
from entrant.errors import ConfigurationError, EngineError

TAG = "entrant:job"
"""The stack tag that says which job of which pipeline is at work on a stack."""
_MADE = re.compile(r"created by (?P<user>.{1,256})@(?P<host>[^@\s]+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)$", re.M)


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
    first: dt.datetime | None = None
    """When the first of the runs began since the last one that ended well, if that was another run than this one."""
    ended: dt.datetime | None = None
    """When it ended, if it did, and not well. The engine may have been killed all the same, and left its lock."""
    looking: tuple[tuple[str, dt.datetime], ...] = ()
    """Later jobs of the pipeline that look for locks, as which user of which host, since when: a look takes a lock for a moment."""

    @property
    def began(self) -> dt.datetime:
        """What was made before this moment, no run that did not end well has made."""
        return self.first or self.since

    @classmethod
    def here(cls, pipeline: str | None = None, run: str | None = None) -> Self:
        """This process, as a job of a pipeline, or without one as whoever runs it."""
        by = f"{_user()}@{socket.gethostname()}"
        return cls(pipeline or by, run or f"process {os.getpid()}", by, _now())

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The job that a tag's value tells of; None if it tells of none."""
        try:
            found = json.loads(text)
            since, first, ended = (
                dt.datetime.fromisoformat(found[name]) if name == "since" or name in found else None
                for name in ("since", "first", "ended")
            )
            assert since is not None
            looking = tuple((by, dt.datetime.fromisoformat(at)) for by, at in found.get("looking") or ())
            return cls(found["pipeline"], found["run"], found["by"], since, first, ended, looking)
        except (ValueError, KeyError, TypeError):
            return None

    def __str__(self) -> str:
        record: dict[str, Any] = {"pipeline": self.pipeline, "run": self.run, "by": self.by}
        moments = {"since": self.since, "first": self.first, "ended": self.ended}
        record |= {name: moment.isoformat() for name, moment in moments.items() if moment}
        if self.looking:
            record["looking"] = [[by, at.isoformat()] for by, at in self.looking]
        return json.dumps(record, separators=(",", ":"))


def find(stack: str, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> list[Lock]:
    """The locks of a stack, which must exist; none on Pulumi Cloud.

    Raises:
        EngineError: the backend could not be asked.
    """
    plain = {name: value for name, value in environ.items() if name != "PULUMI_OPTION_CONFIG_FILE"}
    plain["PULUMI_CONFIG_PASSPHRASE"] = plain.get("PULUMI_CONFIG_PASSPHRASE") or "none is needed to be told of a lock"
    arguments = ["stack", "init", "--no-select", "--stack", stack]
    with tempfile.TemporaryDirectory(prefix="entrant-") as folder:
        project = {"name": project_of(cwd or Path.cwd()), "runtime": "python"}
        (Path(folder) / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        done = engine.run(arguments, cwd=Path(folder), environ=plain, check=False)
    if "currently locked" in done.stderr:
        return [
            Lock(made["user"], made["host"], int(made["pid"]), dt.datetime.fromisoformat(made["since"]))
            for made in _MADE.finditer(done.stderr)
        ]
    if done.returncode and "already exists" in done.stderr:
        return []
    raise engine.failure(["stack", "init"], done.returncode, done.stderr)


@dataclass(slots=True)
class Held:
    """A stack that is held for a job."""

    left_by: Job | None
    """The job before, if it was killed or did not end well."""
    well: bool = False
    """Set it when what the stack is held for ended well."""


@contextlib.contextmanager
def hold(
    stack: str,
    job: Job,
    *,
    cwd: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Held]:
    """For a block that changes a stack: mark it as `job`'s, after taking away what a killed job of the same pipeline left.

    What that job left running on this machine is waited for. The mark goes when the block ended well.

    Raises:
        EngineError: it is locked by somebody else; the lock stays.
        engine.ForeignPluginError: its state, or the project, asks for plugins that are not this project's.
    """
    engine.refuse_foreign_plugins(stack, cwd=cwd, environ=environ)
    mark = marked(stack, cwd=cwd, environ=environ)
    ours = mark is None or mark.pipeline == job.pipeline
    if ours:  # before the look for locks: one that is killed leaves its own, which is the pipeline's too
        looking = dataclasses.replace(mark, looking=(*mark.looking, (job.by, job.since))) if mark else job
        _mark(stack, looking, cwd, environ)
    held = find(stack, cwd=cwd, environ=environ)
    while working := [lock for lock in held if foreign(lock, mark, job) is None and at_work(lock)]:
        tell(f"waiting for {working[0]}, which is at work")
        while any(at_work(lock) for lock in working):
            time.sleep(0.5)
        held = find(stack, cwd=cwd, environ=environ)
    for lock in held:
        reason = foreign(lock, mark, job)
        if reason:
            if ours:
                _mark(stack, mark, cwd, environ)
            raise EngineError(
                f"the stack {stack} is locked by {lock}, and {reason}",
                next_step=f"wait for it to end; if it never will, and you know why, `pulumi cancel {stack}` and then "
                f"`python3 -m entrant recover -s {stack}`",
            )
    if held and mark:
        engine.run(["cancel", "--yes", "--stack", stack], cwd=cwd, environ=environ)
        tell(f"took away the lock of {held[0]}: {mark.run} of {mark.pipeline} was killed")
    if mark:
        job = dataclasses.replace(job, first=mark.began)
    _mark(stack, job, cwd, environ)
    found = Held(mark)
    try:
        yield found
    finally:
        if found.well:
            done = engine.run([*_TAGS, "rm", TAG, "--stack", stack], cwd=cwd, environ=environ, check=False)
            if done.returncode:
                tell(f"the tag {TAG} of {stack} could not be removed: {done.stderr.strip()}")
        else:
            _mark(stack, dataclasses.replace(job, ended=_now()), cwd, environ)


_TAGS = ("stack", "tag")


def marked(stack: str, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> Job | None:
    """The job that is at work on a stack, was killed there, or did not end well."""
    return Job.parse(tags(stack, cwd=cwd, environ=environ).get(TAG, ""))


def tags(stack: str, *, cwd: Path | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The tags that the backend has of a stack."""
    listed = engine.run([*_TAGS, "ls", "--json", "--stack", stack], cwd=cwd, environ=environ).stdout
    return dict(json.loads(listed))


def _mark(stack: str, job: Job | None, cwd: Path | None, environ: Mapping[str, str]) -> None:
    change = ["set", TAG, str(job)] if job else ["rm", TAG]
    engine.run([*_TAGS, *change, "--stack", stack], cwd=cwd, environ=environ)


def foreign(lock: Lock, mark: Job | None, job: Job) -> str | None:
    """Why a lock is not one of a job of the same pipeline; None if it is."""
    if mark is None:
        return "no job of a pipeline has marked the stack"
    if mark.pipeline != job.pipeline:
        return f"the stack is marked as {mark.pipeline}'s ({mark.run}), and this is {job.pipeline}"
    if any(by == f"{lock.user}@{lock.host}" and lock.since >= since for by, since in mark.looking):
        return None
    late = mark.ended is not None and lock.since > mark.ended
    if mark.by != f"{lock.user}@{lock.host}" or lock.since < mark.since or late:
        until = f" until {mark.ended.isoformat()}" if mark.ended else ""
        return f"the mark of {mark.run} is {mark.by}'s since {mark.since.isoformat()}{until}: the lock is not its own"
    return None


def at_work(lock: Lock) -> bool:
    """Whether the process that made a lock lives on this machine."""
    return lock.host == socket.gethostname() and alive(lock.pid)


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


def _now() -> dt.datetime:
    """The time to the second, as locks have it."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


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


def project_of(folder: Path) -> str:
    """The name of the Pulumi project that a folder is in."""
    for place in (folder.resolve(), *folder.resolve().parents):
        for name in ("Pulumi.yaml", "Pulumi.yml"):
            if (place / name).is_file():
                return str(yaml.safe_load((place / name).read_text("utf-8"))["name"])
    raise ConfigurationError(f"{folder} is in no Pulumi project", next_step="name the project's folder with --cwd")
