"""The project's Python language host: what an engine asks of it, and that nothing is left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
HOST = ROOT / "entrant" / "setup" / "toolchain" / "language_host.py"


@dataclass
class Served:
    """A host that runs, as its engine would start it, and what an engine calls it with."""

    process: "subprocess.Popen[str]"
    folder: Path
    stub: language_pb2_grpc.LanguageRuntimeStub = field(init=False)

    def __post_init__(self) -> None:
        assert self.process.stdout is not None
        self.channel = grpc.insecure_channel(f"127.0.0.1:{int(self.process.stdout.readline())}")
        self.stub = language_pb2_grpc.LanguageRuntimeStub(self.channel)

    def info(self, **options: str) -> language_pb2.ProgramInfo:
        """The program in the folder."""
        struct = struct_pb2.Struct()
        struct.update(options)
        where = str(self.folder)
        return language_pb2.ProgramInfo(
            root_directory=where, program_directory=where, entry_point=".", options=struct if options else None
        )

    def write(self, program: str) -> None:
        """Write the program."""
        (self.folder / "__main__.py").write_text(program, "utf-8")

    def run(self, program: str, **config: str) -> language_pb2.RunResponse:
        """Run a program as the executor would."""
        self.write(program)
        request = language_pb2.RunRequest(
            info=self.info(), pwd=str(self.folder), project="p", stack="dev", dryRun=True, parallel=4, config=config
        )
        response: language_pb2.RunResponse = self.stub.Run(request)
        return response

    def plugin(self, program: str) -> "Iterator[language_pb2.RunPluginResponse]":
        """Start a plugin; the stream of what it writes."""
        self.write(program)
        request = language_pb2.RunPluginRequest(
            info=self.info(), pwd=str(self.folder), args=["127.0.0.1:1"], env=["GREETING=a=b"], kind="analyzer"
        )
        stream: Iterator[language_pb2.RunPluginResponse] = self.stub.RunPlugin(request)
        return stream


EXECUTOR = """
import json, os, runpy, sys
with open("asked.json", "w") as file:
    json.dump({"arguments": sys.argv[1:], "config": os.environ.get("PULUMI_CONFIG")}, file)
sys.argv = sys.argv[:1]
runpy.run_path("__main__.py", run_name="__main__")
"""


def start(folder: Path, parent: list[str] | None = None) -> Served:
    (folder / "executor").write_text(EXECUTOR, "utf-8")
    command = [sys.executable, "-P", str(HOST), f"--executor={folder / 'executor'}", "127.0.0.1:1"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    process = subprocess.Popen(
        [*(parent or []), *command],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return Served(process, folder)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Served]:
    served = start(tmp_path)
    yield served
    served.channel.close()
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(20) == 0
    assert served.process.stdout is not None
    served.process.stdout.close()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):  # it may go between opening and reading
        return True


def until(what: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_it_names_the_plugins_that_the_installed_sdks_ask_for(host: Served) -> None:
    request = language_pb2.GetRequiredPackagesRequest(info=host.info())
    found = {
        package.name: (package.kind, package.version) for package in host.stub.GetRequiredPackages(request).packages
    }
    assert set(found) == {"azuread", "azure-native"}
    assert all(kind == "resource" and version.startswith("v") for kind, version in found.values())


def test_it_says_interpreter_and_version(host: Served) -> None:
    about = host.stub.About(language_pb2.AboutRequest(info=host.info()))
    assert about.version == ".".join(map(str, sys.version_info[:3]))
    assert Path(about.executable).exists()
    assert host.stub.GetPluginInfo(empty_pb2.Empty()).version.startswith("3.")


def test_it_lists_what_is_installed(host: Served) -> None:
    request = language_pb2.GetProgramDependenciesRequest(info=host.info(), transitiveDependencies=True)
    assert "pulumi" in {each.name for each in host.stub.GetProgramDependencies(request).dependencies}


def test_a_program_gets_its_configuration_by_its_environment_and_not_by_its_arguments(host: Served) -> None:
    assert host.run("", **{"p:secret": "hunter2"}) == language_pb2.RunResponse()
    answers = json.loads((host.folder / "asked.json").read_text("utf-8"))
    assert json.loads(answers["config"]) == {"p:secret": "hunter2"}
    assert "hunter2" not in str(answers["arguments"])
    options = dict(zip(answers["arguments"][:-1:2], answers["arguments"][1:-1:2], strict=True))
    assert options["--stack"] == "dev" and options["--dry_run"] == "true" and options["--parallel"] == "4"
    assert answers["arguments"][-1] == str(host.folder)


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        ("import sys; sys.exit(32)", language_pb2.RunResponse(bail=True)),
        ("import sys; sys.exit(3)", language_pb2.RunResponse(error="program exited with non-zero exit code: 3")),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            language_pb2.RunResponse(error="program exited unexpectedly: Killed"),
        ),
    ],
)
def test_how_a_program_ended_is_told(host: Served, program: str, answer: language_pb2.RunResponse) -> None:
    assert host.run(program) == answer


def test_a_plugin_is_streamed_with_its_arguments_environment_and_exit_code(host: Served) -> None:
    program = "import os, sys; print(sys.argv[1:], os.environ['GREETING']); print('e', file=sys.stderr); sys.exit(7)"
    answers = list(host.plugin(program))
    assert b"".join(each.stdout for each in answers) == b"['127.0.0.1:1'] a=b\n"
    assert b"".join(each.stderr for each in answers) == b"e\n"
    assert answers[-1].exitcode == 7


SLEEPER = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


def test_a_plugin_ends_with_its_call(host: Served) -> None:
    stream = host.plugin(SLEEPER)
    pid = int(next(stream).stdout)
    stream.cancel()  # type: ignore[attr-defined]
    until(lambda: gone(pid))


def test_a_plugin_that_does_not_listen_is_killed(host: Served) -> None:
    stream = host.plugin("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEPER)
    pid = int(next(stream).stdout)
    stream.cancel()  # type: ignore[attr-defined]
    until(lambda: gone(pid))


def test_an_interrupted_host_takes_its_processes_along(tmp_path: Path) -> None:
    served = start(tmp_path)
    pid = int(next(served.plugin("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + SLEEPER)).stdout)
    os.killpg(served.process.pid, signal.SIGINT)
    assert served.process.wait(20) == 0
    assert gone(pid)
    served.channel.close()
    assert served.process.stdout is not None
    served.process.stdout.close()


def test_a_host_whose_engine_was_killed_leaves_with_its_processes(tmp_path: Path) -> None:
    parent = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    served = start(tmp_path, [sys.executable, "-c", parent])
    pid = int(next(served.plugin("import os; print(os.getppid(), flush=True)\n" + SLEEPER)).stdout.split()[0])
    served.process.kill()
    served.process.wait()
    until(lambda: gone(pid))
    served.channel.close()
    assert served.process.stdout is not None
    served.process.stdout.close()


def test_a_virtual_environment_that_the_project_names_is_made_and_used(host: Served) -> None:
    (host.folder / "requirements.txt").write_text("", "utf-8")
    request = language_pb2.InstallDependenciesRequest(
        directory=str(host.folder), info=host.info(virtualenv="environment")
    )
    stdout = b"".join(each.stdout for each in host.stub.InstallDependencies(request))
    assert b"-m venv" in stdout and b"-m pip install" in stdout
    about = host.stub.About(language_pb2.AboutRequest(info=host.info(virtualenv="environment")))
    assert about.executable == str(host.folder / "environment" / "bin" / "python")
    packages = language_pb2.GetRequiredPackagesRequest(info=host.info(virtualenv="environment"))
    assert not host.stub.GetRequiredPackages(packages).packages


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"virtualenv": "nowhere"}, 'nowhere" is no virtual environment; run `pulumi install`'),
        ({"toolchain": "uv"}, "runtime.options.toolchain: uv needs an official installation of Pulumi"),
    ],
)
def test_what_cannot_be_run_is_said_with_its_remedy(host: Served, options: dict[str, str], says: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        host.stub.Run(language_pb2.RunRequest(info=host.info(**options)))
    assert says in str(caught.value)


def test_the_launcher_leads_to_the_host_and_the_interpreter_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is linked to; and, where the project has no environment of its own, to the interpreter on PATH."""
    from entrant.setup import engine, environment

    tools, source, python = tmp_path / "tools", tmp_path / "it's here", tmp_path / "venv" / "bin" / "python"
    for folder in (tools, source, python.parent):
        folder.mkdir(parents=True)
    monkeypatch.setattr(environment, "VENV", tmp_path / "venv")
    monkeypatch.setattr(engine, "TOOLCHAIN", source)
    engine._put_host(tools)
    (source / "language_host.py").write_text("import sys; print(sys.executable, sys.argv[1:])", "utf-8")
    linked = tmp_path / "linked"
    linked.symlink_to(tools)
    for interpreter in (str(python), shutil.which("python3", path=str(Path(sys.executable).parent))):
        if interpreter == str(python):
            python.symlink_to(sys.executable)
        else:
            python.unlink()
        env = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
        done = subprocess.run(
            [str(linked / "pulumi-language-python"), "e:1"], capture_output=True, text=True, env=env, check=True
        )
        found, arguments = done.stdout.split(maxsplit=1)
        assert found == interpreter
        assert arguments == f"['--executor={tools}/pulumi-language-python-exec', 'e:1']\n"


# ----------------------------------------------------------------------------------------------------- with the real engine


@pytest.fixture
def preview(tmp_path: Path) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Starts a preview of a program, with the engine that set-up built."""
    from entrant.setup import engine

    found = engine.find_pulumi()
    if found is None or not found.path.with_name("pulumi-language-python").read_bytes().startswith(b"#!/bin/sh"):
        pytest.skip("Pulumi here has its own language host")
    (tmp_path / "Pulumi.yaml").write_text("{name: trial, runtime: python}\n", "utf-8")
    paths = [str(Path(sys.executable).parent), str(found.path.parent), os.environ["PATH"]]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PULUMI_")} | {
        "PATH": os.pathsep.join(paths),
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_BACKEND_URL": tmp_path.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_SKIP_UPDATE_CHECK": "1",
    }
    subprocess.run([str(found.path), "stack", "init", "dev"], cwd=tmp_path, env=env, check=True, capture_output=True)
    started: list[subprocess.Popen[str]] = []

    def run(program: str) -> "subprocess.Popen[str]":
        (tmp_path / "__main__.py").write_text(program, "utf-8")
        command = [str(found.path), "preview", "-s", "dev", "--color=never", "--non-interactive"]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


NOTE = "import os; open('pids', 'w').write(f'{os.getpid()} {os.getppid()}\\n')\n"


def running(folder: Path) -> list[int]:
    """The program and its host, once the program runs."""
    file = folder / "pids"
    until(lambda: file.exists() and file.read_text().endswith("\n"), 120)
    return [int(pid) for pid in file.read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_preview_that_is_stopped_leaves_neither_program_nor_host(
    preview: Callable[[str], "subprocess.Popen[str]"], tmp_path: Path, number: signal.Signals
) -> None:
    process = preview(NOTE + SLEEPER)
    pids = running(tmp_path)
    process.send_signal(number)
    assert process.wait(60) != 0
    for pid in pids:
        until(lambda pid=pid: gone(pid))  # type: ignore[misc]


def test_an_error_of_a_program_is_shown_where_it_happened(preview: Callable[[str], "subprocess.Popen[str]"]) -> None:
    process = preview("print('hello')\nraise ValueError('boom')\n")
    stdout, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "hello" in stdout and "ValueError: boom" in stdout and "line 2" in stdout
    assert "language_host" not in stdout and "exit code" not in stdout
