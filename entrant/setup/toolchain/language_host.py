"""Pulumi's Python language host: starts programs and policy packs for an engine that came without one.

A Pulumi that is built from Go modules has none of its own version (the last one that its modules hold is of 2023, and knows no
policy packs). Official installations have theirs, and this one is not used then. It is run as a file, by the launcher that
set-up puts beside the engine.

Source of the protocol: `proto/pulumi/language.proto`, as generated into the Python SDK; of how programs are started:
`pulumi-language-python-exec`, which comes with the engine's modules.
"""

import importlib.util
import json
import os
import platform
import queue
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, Final, cast

for _package in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
    # The SDK's protocol without the SDK, whose import takes longer than all else here.
    if (_spec := importlib.util.find_spec(_package)) is None:
        break
    sys.modules[_package] = importlib.util.module_from_spec(_spec)
try:
    import grpc
    from google.protobuf import json_format
    from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2
except ImportError as error:
    sys.exit(
        f"{sys.executable} has no Pulumi SDK ({error}): pip install -r requirements.txt, in the environment in use"
    )

SHOWN: Final = 32
"""Exit code of a program that has said itself what is wrong."""
_OPTIONS: Final = [("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20)]
_PATIENCE: Final = 3.0
"""Seconds that a program has to end when it is told to, before it is killed."""


class Unusable(Exception):
    """A program cannot be started as its project asks; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Python:
    """The interpreter of a program: that of the virtual environment its project names, else the first one on PATH."""

    path: str
    virtualenv: Path | None = None

    @classmethod
    def of(cls, info: language_pb2.ProgramInfo) -> "Python":
        """The interpreter that a project's `runtime.options` ask for.

        Raises:
            Unusable: there is none, or the project wants another tool than pip.
        """
        options = json_format.MessageToDict(info.options) if info.HasField("options") else {}
        toolchain = options.get("toolchain", "pip")
        if toolchain != "pip":
            raise Unusable(f"runtime.options.toolchain: {toolchain} needs an official installation of Pulumi")
        named = options.get("virtualenv")
        if named:
            folder = Path(info.root_directory) / named
            path = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
            if not path.exists():
                raise Unusable(
                    f'runtime.options.virtualenv: "{folder}" is no virtual environment; run `pulumi install`'
                )
            return cls(str(path), folder)
        command = os.environ.get("PULUMI_PYTHON_CMD")
        found = shutil.which(command) if command else shutil.which("python3") or shutil.which("python")
        if found is None:
            raise Unusable("there is no python3 on PATH; install Python 3.11 or later, or activate its environment")
        return cls(found)

    def environ(self, base: dict[str, str]) -> dict[str, str]:
        """`base` with the virtual environment activated."""
        if self.virtualenv is None:
            return base
        folder = str(Path(self.path).parent)
        kept = {name: value for name, value in base.items() if name != "PYTHONHOME"}
        path = os.pathsep.join([folder, *filter(None, [base.get("PATH")])])
        return kept | {"VIRTUAL_ENV": str(self.virtualenv), "PATH": path}

    @property
    def ours(self) -> bool:
        """Whether it is the interpreter that runs this."""
        return Path(self.path).parent == Path(sys.executable).parent

    def version(self) -> str:
        """Its version."""
        if self.ours:
            return platform.python_version()
        command = [self.path, "-c", "import platform; print(platform.python_version())"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
        return done.stdout.strip()

    def search_path(self) -> list[str]:
        """Where it finds packages."""
        if self.ours:
            return sys.path
        command = [self.path, "-c", "import json, sys; print(json.dumps(sys.path))"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
        return cast(list[str], json.loads(done.stdout))


class Children:
    """The processes that run; all of them end when the host does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def start(self, command: Sequence[str], **more: Any) -> "subprocess.Popen[bytes]":
        """Start a process; after `close` it is ended at once."""
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, **more)
        with self._lock:
            self._running.add(process)
            closed = self._closed
        if closed:
            stop(process)
        return process

    def ended(self, process: "subprocess.Popen[bytes]") -> None:
        """Forget a process that has ended."""
        with self._lock:
            self._running.discard(process)

    def close(self) -> None:
        """End them all."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        threads = [threading.Thread(target=stop, args=(process,)) for process in running]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process, if it runs: ask, wait a little, kill."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()


class Host(language_pb2_grpc.LanguageRuntimeServicer):
    """The language runtime of one engine. What it does not have (writing programs and SDKs) answers as unimplemented."""

    def __init__(self, engine: str, executor: Path, children: Children) -> None:
        self.engine = engine
        self.executor = executor
        self.children = children

    def Handshake(self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext) -> Any:
        """Where the engine is."""
        self.engine = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        """The version of the SDK that this host speaks with."""
        return plugin_pb2.PluginInfo(version=version("pulumi"))

    def About(self, request: language_pb2.AboutRequest, context: grpc.ServicerContext) -> language_pb2.AboutResponse:
        """The interpreter and its version."""
        python = _python(request.info, context)
        return language_pb2.AboutResponse(executable=python.path, version=python.version())

    def GetRequiredPackages(
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        """The resource plugins that the installed SDKs ask for."""
        return language_pb2.GetRequiredPackagesResponse(packages=required(_python(request.info, context).search_path()))

    def GetRequiredPlugins(
        self, request: language_pb2.GetRequiredPluginsRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPluginsResponse:
        """The same, as older engines ask."""
        plugins = [
            plugin_pb2.PluginDependency(name=each.name, kind=each.kind, version=each.version, server=each.server)
            for each in required(_python(request.info, context).search_path())
        ]
        return language_pb2.GetRequiredPluginsResponse(plugins=plugins)

    def GetProgramDependencies(
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        """The installed packages, or those that no other needs."""
        command = [
            _python(request.info, context).path,
            "-m",
            "pip",
            "list",
            "--format=json",
            "--disable-pip-version-check",
        ]
        if not request.transitiveDependencies:
            command.append("--not-required")
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            context.abort(grpc.StatusCode.UNKNOWN, f"pip list ended with exit code {done.returncode}:\n{done.stderr}")
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[
                language_pb2.DependencyInfo(name=entry["name"], version=entry["version"])
                for entry in json.loads(done.stdout)
            ]
        )

    def RuntimeOptionsPrompts(self, request: Any, context: grpc.ServicerContext) -> Any:
        """There is nothing to ask whoever makes a new project."""
        return language_pb2.RuntimeOptionsResponse()

    def Run(self, request: language_pb2.RunRequest, context: grpc.ServicerContext) -> language_pb2.RunResponse:
        """Run a program to its end. Configuration, secrets in it, goes through its environment."""
        python = _python(request.info, context)
        flags = {
            "monitor": request.monitor_address,
            "engine": self.engine,
            "project": request.project,
            "root_directory": request.info.root_directory,
            "stack": request.stack,
            "pwd": request.pwd,
            "dry_run": "true" if request.dryRun else "false",
            "parallel": str(request.parallel),
            "organization": request.organization,
        }
        options = [part for name, value in flags.items() if value for part in (f"--{name}", value)]
        program = os.path.join(request.info.program_directory, request.info.entry_point or ".")
        settings = {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        environ = python.environ(dict(os.environ)) | settings
        command = [python.path, "-u", str(self.executor), *options, os.path.normpath(program), *request.args]
        process = self.children.start(command, env=environ)
        context.add_callback(partial(stop, process))
        code = process.wait()
        self.children.ended(process)
        if code == SHOWN:
            return language_pb2.RunResponse(bail=True)
        if code < 0:
            return language_pb2.RunResponse(error=f"program exited unexpectedly: {signal.strsignal(-code)}")
        return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {code}" if code else "")

    def RunPlugin(
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Run a plugin that is written in Python, such as a policy pack, until it or the call ends."""
        python = _python(request.info, context)
        environ = python.environ(dict(entry.split("=", 1) for entry in request.env if "=" in entry))
        program = os.path.normpath(os.path.join(request.info.program_directory, request.info.entry_point or "."))
        # Unbuffered: a plugin says its port on a pipe.
        command = [python.path, "-u", program, *request.args]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = self.children.start(command, cwd=request.pwd or None, env=environ, **pipes)
        context.add_callback(partial(stop, process))
        for name, data in outputs(process):
            if name == "stdout":
                yield language_pb2.RunPluginResponse(stdout=data)
            else:
                yield language_pb2.RunPluginResponse(stderr=data)
        yield language_pb2.RunPluginResponse(exitcode=process.wait())
        self.children.ended(process)

    def InstallDependencies(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        """Make the virtual environment that the project names, and install its requirements."""
        for command in self._installing(request, context):
            yield language_pb2.InstallDependenciesResponse(stdout=f"{' '.join(command[1:])}\n".encode())
            pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            process = self.children.start(command, cwd=request.directory, **pipes)
            context.add_callback(partial(stop, process))
            for name, data in outputs(process):
                yield language_pb2.InstallDependenciesResponse(**{name: data})
            code = process.wait()
            self.children.ended(process)
            if code:
                context.abort(grpc.StatusCode.UNKNOWN, f"{' '.join(command[1:4])} ended with exit code {code}")

    def _installing(
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[list[str]]:
        info = request.info
        named = json_format.MessageToDict(info.options).get("virtualenv") if info.HasField("options") else None
        if named and not (Path(info.root_directory) / named / "pyvenv.cfg").exists():
            base = _python(language_pb2.ProgramInfo(root_directory=info.root_directory), context)
            yield [base.path, "-m", "venv", str(Path(info.root_directory) / named)]
        pip = [_python(info, context).path, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        if (Path(request.directory) / "requirements.txt").exists():
            yield [*pip, "-r", "requirements.txt"]
        elif (Path(request.directory) / "pyproject.toml").exists():
            yield [*pip, "-e", "."]


def _python(info: language_pb2.ProgramInfo, context: grpc.ServicerContext) -> Python:
    """The program's interpreter; ends the call when there is none."""
    try:
        return Python.of(info)
    except Unusable as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        raise AssertionError from error  # abort does not return


def required(search_path: list[str]) -> Iterator[plugin_pb2.PackageDependency]:
    """The resource plugins that packages on the search path name in their `pulumi-plugin.json`, each once."""
    seen: set[str] = set()
    for file in (
        file for folder in search_path if folder for file in sorted(Path(folder).glob("*/pulumi-plugin.json"))
    ):
        module = file.parent.name
        plugin = json.loads(file.read_text("utf-8"))
        if module in seen or not plugin.get("resource"):
            continue
        seen.add(module)
        found = plugin.get("version") or _version(module)
        if found is None:
            continue
        dependency = plugin_pb2.PackageDependency(
            name=plugin.get("name") or module.removeprefix("pulumi_").replace("_", "-"),
            kind="resource",
            version=found if found.startswith("v") else f"v{found}",
            server=plugin.get("server", ""),
        )
        if parameters := plugin.get("parameterization"):
            json_format.ParseDict(parameters, dependency.parameterization, ignore_unknown_fields=True)
        yield dependency


def _version(module: str) -> str | None:
    """A package's version where it is a plugin's too: not for one before its release."""
    try:
        found = version(module.replace("_", "-"))
    except PackageNotFoundError:
        return None
    return found if re.fullmatch(r"\d+\.\d+\.\d+", found) else None


def outputs(process: "subprocess.Popen[bytes]") -> Iterator[tuple[str, bytes]]:
    """What a process writes, as it comes, until it has closed both: (`stdout` or `stderr`, bytes)."""
    written: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()

    def read(name: str, pipe: IO[bytes]) -> None:
        with pipe:
            while data := os.read(pipe.fileno(), 1 << 16):
                written.put((name, data))
        written.put((name, b""))

    for name in ("stdout", "stderr"):
        threading.Thread(target=read, args=(name, getattr(process, name)), daemon=True).start()
    still_open = 2
    while still_open:
        name, data = written.get()
        if data:
            yield name, data
        else:
            still_open -= 1


def main(arguments: Sequence[str]) -> int:
    """Serve until the engine ends it, or is gone."""
    parent = os.getppid()  # before the port is printed: an engine that has read it may be killed at once
    wakeup, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell)  # at once, whichever thread is interrupted
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: None)
    executor = next(each.partition("=")[2] for each in arguments if each.startswith("--executor="))
    engine = next((argument for argument in reversed(arguments) if not argument.startswith("-")), "")
    children = Children()
    server = grpc.server(ThreadPoolExecutor(max_workers=32), options=_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Host(engine, Path(executor), children), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    while os.getppid() == parent and not select.select([wakeup], [], [], 0.5)[0]:
        pass
    children.close()
    os._exit(0)  # threads that wait for pipes of what was ended need not be waited for


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
