"""Whether the tests notice when the code is wrong: change one thing of a module, run its tests, and list what no test noticed.

    .entrant/venv/bin/python -m benchmarks.mutants --module entrant.times --sample 40 --seed 1

A mutant is the module with one comparison, operator, constant, condition, call or statement changed; docstrings and
annotations stay. Each is written to a copy of the project, where a forked process runs the test files of `TESTS` until
one fails. Seed and sample draw the same mutants again as long as the module is the same. Exit code 1 if one survived.
"""

import argparse
import ast
import contextlib
import copy
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_CONFIG = "tests/config --ignore=tests/config/test_fuzz.py --ignore=tests/config/test_source.py"
TESTS = {
    "entrant.access.monitor": "tests/entrant/test_monitor.py tests/entrant/test_metrics_send.py",
    "entrant.config.checks": _CONFIG,
    "entrant.config.rotation": "tests/components/test_rotation.py",
    "entrant.config.unique": "tests/config/test_unique.py tests/config/test_one_round.py",
    "entrant.drift.expiry": "tests/entrant/test_expiry.py",
    "entrant.facts.scopes": f"tests/facts {_CONFIG}",
    "entrant.outputs": "tests/entrant/test_outputs.py",
    "entrant.pipeline.matrix": "tests/entrant/test_matrix.py",
    "entrant.policy.rules": "tests/policy/test_rules.py",
    "entrant.review.comparison": "tests/entrant/test_review_commits.py",
    "entrant.times": "tests/entrant/test_times.py",
    "entrant.tokens.formats": "tests/entrant/test_formats.py",
}
"""Module → the arguments of pytest: the test files that concern it, but those that are slow."""
_HEAVY = (
    "hypothesis",
    "pulumi",
    "pulumi_azuread",
    "pydantic",
    "yaml",
    "requests",
    "cryptography.x509",
    "azure.identity",
    "click",
)
_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "startswith": "endswith", "endswith": "startswith"}


def alternatives(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node to make a mutant."""
    match node:
        case ast.Compare(ops=[operator]):
            yield ast.Compare(node.left, [_COMPARISONS[type(operator)]()], node.comparators)
        case ast.BoolOp(op=operator):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), node.values)
        case ast.BinOp(op=operator) if type(operator) in _OPERATORS:
            yield ast.BinOp(node.left, _OPERATORS[type(operator)](), node.right)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(value=str(value)):
            yield ast.Constant(f"{value}x")
        case ast.IfExp():
            yield node.body
            yield node.orelse
        case ast.If(test=test) if ast.unparse(test) != "TYPE_CHECKING":
            for value in (True, False):
                yield ast.If(ast.Constant(value), node.body, node.orelse)
        case ast.Name(id=name) if name in _NAMES:
            yield ast.Name(_NAMES[name], node.ctx)
        case ast.Attribute(attr=name) if name in _NAMES:
            yield ast.Attribute(node.value, _NAMES[name], node.ctx)
        case ast.Return(value=ast.expr()):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()) | ast.AugAssign() | ast.Raise():
            yield ast.Pass()
        case ast.Continue():
            yield ast.Break()
        case ast.Break():
            yield ast.Continue()


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """The places of all nodes that may be changed: parent, field, and index in it if it is a list."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "type_params") or (isinstance(tree, ast.JoinedStr) and field != "values"):
            continue
        if field == "decorator_list" and isinstance(tree, ast.ClassDef):
            continue  # options of dataclasses
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST) and not isinstance(child, ast.Import | ast.ImportFrom):
                if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                    continue  # a docstring
                yield tree, field, index
                yield from places(child)


def mutants(source: str) -> list[tuple[str, str]]:
    """Each mutant of a module: where and what it changes, and its text."""
    tree = ast.parse(source)
    found = []
    for parent, field, index in places(tree):
        value = getattr(parent, field)
        node = value if index is None else value[index]
        for other in alternatives(node):
            line = getattr(node, "lineno", 0)
            before, after = (ast.unparse(ast.fix_missing_locations(copy.deepcopy(each))) for each in (node, other))
            if before == after:
                continue
            _put(parent, field, index, other)
            found.append(
                (f"{line}: {_shown(before)}  →  {_shown(after)}", ast.unparse(ast.fix_missing_locations(tree)))
            )
            _put(parent, field, index, node)
    return found


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _shown(code: str) -> str:
    text = " ".join(code.split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def run(project: Path, tests: list[str], limit: float, log: Path) -> str:
    """The tests' end in a process of its own: `passed`, `failed`, or `time` when they take longer than `limit` (seconds)."""
    child = os.fork()
    if child == 0:
        code: Any = 70
        try:
            os.setsid()
            with log.open("w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            os.chdir(project)
            sys.path[0] = str(project)
            options = ["-q", "-x", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
            code = importlib.import_module("pytest").main([*options, *tests])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(int(code))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return "passed" if os.waitstatus_to_exitcode(status) == 0 else "failed"
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "time"


def measure(module: str, sample: int, seed: int) -> bool:
    """Print which of a module's sampled mutants survive, and the score; whether none did."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        project, log = Path(folder) / "project", Path(folder) / "log"
        ignored = shutil.ignore_patterns(".entrant", ".git", "__pycache__", ".hypothesis")
        shutil.copytree(ROOT, project, ignore=ignored, symlinks=True)
        (project / ".entrant").symlink_to(ROOT / ".entrant")
        file = project / (module.replace(".", "/") + ".py")
        source, tests = file.read_text("utf-8"), TESTS[module].split()
        started = time.monotonic()
        if run(project, tests, 600, log) != "passed":
            sys.exit(f"the tests of {module} fail as it is:\n{log.read_text('utf-8')[-2000:]}")
        limit = 30 + 5 * (time.monotonic() - started)
        for kept in file.parent.glob(f"__pycache__/{file.stem}.*"):
            kept.unlink()
        sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
        everything = mutants(source)
        drawn = sorted(random.Random(seed).sample(range(len(everything)), min(sample, len(everything))))
        survived = []
        for number in drawn:
            change, text = everything[number]
            file.write_text(text, "utf-8")
            if run(project, tests, limit, log) == "passed":
                survived.append(change)
                print(f"{module}:{change}", flush=True)
    killed = len(drawn) - len(survived)
    print(f"| `{module}` | {len(everything)} | {len(drawn)} | {killed} | {len(survived)} |", flush=True)
    return not survived


def main() -> None:
    """Draw, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants")
    parser.add_argument("--module", action="append", choices=list(TESTS), help="one of the modules (default: all)")
    parser.add_argument("--sample", type=int, default=40, help="mutants to draw from each module (default: 40)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for name in _HEAVY:  # once, before the processes part
        importlib.import_module(name)
    sound = True
    for module in options.module or TESTS:
        sound = measure(module, options.sample, options.seed) and sound
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
