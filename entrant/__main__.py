"""`entrant`, or `python3 -m entrant`: sets up what the command needs and is missing, then runs it.

A checkout runs in the interpreter it was started with when that is a virtual environment that holds the requirements; otherwise
in its own, `.entrant/venv`, which it makes. An installed package runs where it was installed, with what was installed beside it.
Standard library only, and as little of it as a token from the cache needs.
"""

import os
import sys


def _installed() -> bool:
    """Whether the active virtual environment was given the requirements by its owner (`pip install -r requirements.txt`)."""
    if sys.prefix == sys.base_prefix:
        return False
    from importlib.util import find_spec

    return all(find_spec(name) for name in ("click", "pydantic", "yaml", "msal", "rich", "pulumi", "starlette"))


def main() -> int:
    """Set up, then hand over; returns the command's exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - said here so that an older Python ends in a sentence
        print(f"entrant needs Python 3.11 or later; this is {sys.version.split()[0]}", file=sys.stderr)
        return 1
    arguments = sys.argv[1:]
    if arguments == ["--version"]:
        from entrant import __version__

        print(f"entrant {__version__}")
        return 0
    if arguments[:1] == ["token"]:
        from entrant.tokens.warm import answer

        text = answer(arguments[1:])
        if text is not None:
            print(text)
            return 0
    from entrant import terminal
    from entrant.project import CHECKOUT
    from entrant.setup import bootstrap, environment
    from entrant.setup.installers import SetupError

    terminal.guard()
    own_arguments = arguments[: arguments.index("--")] if "--" in arguments else arguments
    words = [word for before, word in zip(["", *own_arguments], own_arguments, strict=False) if before != "--color"]
    command = next((word for word in words if not word.startswith("-")), "")
    at_home = os.path.realpath(sys.prefix) == os.path.realpath(environment.VENV)
    helped = bool({"--help", "-h"} & set(own_arguments))  # a question about a command sets nothing up for it
    tests = command == "test" and not helped
    own = CHECKOUT and (tests or at_home or not _installed())
    engine = command in ("setup", "test", "rehearse", "review", "drift", "hold") and not helped
    try:
        bootstrap.prepare(venv=own, tests=tests, pulumi=engine)
        if own and not at_home:
            return _again(str(environment.venv_python()), arguments)
    except SetupError as error:
        print(f"entrant: {error}\n  What to do: {error.remedy}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"entrant: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("entrant: interrupted; run it again to go on", file=sys.stderr)
        return 130
    from entrant.cli import main as run

    return run()


def _again(python: str, arguments: list[str]) -> int:
    from entrant.project import SOURCE

    command = [python, "-m", "entrant", *arguments]
    environment = dict(os.environ)
    paths = [str(SOURCE), *filter(None, [environment.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    if sys.platform == "win32":
        import subprocess

        return subprocess.call(command, env=environment)
    os.execve(python, command, environment)


if __name__ == "__main__":
    sys.exit(main())
