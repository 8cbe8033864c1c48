"""The import arrows: who may know whom."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "entrant.facts": set(),
    "entrant.config": {"entrant.facts", "entrant"},
    "entrant.policy": {"entrant.config", "entrant.facts", "entrant"},
    "components": {"entrant.config", "entrant.facts"},
    "entrant.setup": {"entrant"},
    "entrant.tokens": {"entrant.facts", "entrant"},
    "entrant.access": {"entrant.config", "entrant.facts", "entrant.tokens", "entrant"},
    "entrant.doctor": {"entrant.access", "entrant.config", "entrant.facts", "entrant.setup", "entrant"},
    "entrant.importing": {"entrant.config", "entrant.facts", "entrant.access", "entrant.tokens", "entrant"},
    "entrant.drift": {"entrant.config", "entrant.facts", "entrant.access", "entrant.tokens", "entrant"},
    "entrant.recovery": {
        "entrant.config",
        "entrant.facts",
        "entrant.access",
        "entrant.pipeline",
        "entrant.tokens",
        "entrant",
    },
    "entrant.review": {"entrant.config", "entrant.facts", "entrant.policy", "entrant.drift", "entrant"},
    "entrant.pipeline": {"entrant.config", "entrant"},
    "entrant.delivery": {
        "entrant.access",
        "entrant.config",
        "entrant.facts",
        "entrant.recovery",
        "entrant.review",
        "entrant.tokens",
        "entrant",
    },
    "entrant.notify": {"entrant.delivery", "entrant.drift", "entrant.facts", "entrant.pipeline", "entrant"},
    "entrant.rehearsal": {
        "entrant.access",
        "entrant.config",
        "entrant.facts",
        "entrant.pipeline",
        "entrant.recovery",
        "entrant.setup",
        "entrant.tokens",
        "entrant",
        "local_azure",
    },
    "local_azure": {"entrant.facts"},
}
"""Room → the rooms it may import from; `entrant` stands for the modules beside the rooms."""
NEVER = {"components", "local_azure"}
"""What nothing in `entrant` imports, but for the two places that start the local Azure."""
STARTS_THE_LOCAL_AZURE = ("entrant/rehearsal/", "entrant/commands/local.py")
TOP = {"components", "config", "entrant", "facts", "local_azure", "policy"}
ROOMS = {path.parent.name for path in (ROOT / "entrant").glob("*/__init__.py")}


def imports(file: Path) -> set[str]:
    """The modules that a file imports, wherever in it, dotted; `from a import b` counts as `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(module: str) -> str:
    """The room of a dotted module: `entrant.tokens.cache` is in `entrant.tokens`, `entrant.http` in `entrant`."""
    first, second, *_ = [*module.split("."), ""]
    return f"entrant.{second}" if first == "entrant" and second in ROOMS else first


@pytest.mark.parametrize("place", MAY_IMPORT)
def test_a_room_imports_only_from_the_rooms_that_lie_before_it(place: str) -> None:
    files = sorted((ROOT / place.replace(".", "/")).rglob("*.py"))
    assert files
    for file in files:
        named = {room(module) for module in imports(file) if module.split(".")[0] in TOP}
        itself = {"entrant"} if file == ROOT / "components" / "__main__.py" else set()  # once it is installed
        assert named <= MAY_IMPORT[place] | {place} | itself, file.relative_to(ROOT).as_posix()


def test_only_two_places_start_the_local_azure_and_none_imports_components() -> None:
    for file in sorted((ROOT / "entrant").rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        named = {module.split(".")[0] for module in imports(file)} & NEVER
        assert named <= ({"local_azure"} if name.startswith(STARTS_THE_LOCAL_AZURE) else set()), name


def test_only_the_program_reads_pulumi_config() -> None:
    readers = [
        file.relative_to(ROOT).as_posix()
        for package in ("components", "entrant")
        for file in (ROOT / package).rglob("*.py")
        if any(
            isinstance(node, ast.Attribute) and ast.unparse(node) == "pulumi.Config"
            for node in ast.walk(ast.parse(file.read_text("utf-8")))
        )
    ]
    assert readers == []


def test_importing_entrant_loads_neither_pulumi_nor_msal() -> None:
    code = (
        "import entrant, sys; print([m for m in ('pulumi', 'msal', 'azure.identity', 'requests') if m in sys.modules])"
    )
    stdout = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert stdout.strip() == "[]"


def test_set_up_needs_the_standard_library_only() -> None:
    folder = ROOT / "entrant"
    beside = [folder / f"{name}.py" for name in ("__init__", "__main__", "errors", "outputs", "project")]
    for file in [*beside, *(folder / "setup").glob("*.py")]:
        modules = {module.split(".")[0] for module in imports(file)}
        outside = modules - set(sys.stdlib_module_names) - {"entrant"}
        assert outside == set(), file


def test_the_map_of_entrant_names_every_module_and_no_other() -> None:
    folder = ROOT / "entrant"
    lines = (folder / "README.md").read_text("utf-8").splitlines()
    rooms = {found[1]: line for line in lines if (found := re.match(r"- `(\w+)/`", line))}
    assert rooms.keys() == {path.name for path in folder.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    for name, line in rooms.items():
        if name in ("commands", "config", "facts", "policy"):  # described as a whole
            continue
        named = set(re.findall(r"`(\w+)/?`", line)) - {name, "up", "pulumi"}
        there = {path.stem for path in (folder / name).iterdir() if path.suffix == ".py" or path.name == "toolchain"}
        assert named == there - {"__init__"}, name
    beside = set(re.findall(r"`(\w+)`", next(line for line in lines if line.startswith("Beside the rooms"))))
    assert beside == {path.stem for path in folder.glob("*.py")} - {"__init__"}


def _lists(file: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / file).read_text("utf-8"))
    return found


@pytest.mark.parametrize(
    ("file", "top"), [("pyproject.toml", "entrant"), ("local_azure/pyproject.toml", "local_azure")]
)
def test_a_distribution_has_every_folder_and_every_file_of_its_packages(file: str, top: str) -> None:
    tool = _lists(file)["tool"]["setuptools"]
    places = {name: (ROOT / file).parent / folder for name, folder in tool["package-dir"].items()}
    listed = set(tool["packages"])
    assert {name.split(".")[0] for name in listed} == {top}
    there, files = set(), set()
    for name, folder in places.items():
        for path in folder.rglob("*"):
            inside = path.relative_to(folder).parts
            if not path.is_file() or "__pycache__" in inside or any(part.endswith(".egg-info") for part in inside):
                continue
            if path.suffix == ".py":
                there.add(".".join((name, *inside[:-1])))
            elif path.name not in ("Dockerfile", "README.md", "pyproject.toml"):
                files.add(path)
    assert listed == there | {name for name in places if name not in there}
    patterns = tool["package-data"]
    for path in files:
        matching = [
            pattern
            for package in listed
            for pattern in (*patterns.get(package, []), *patterns.get("*", []))
            if path in set(_folder(package, places).glob(pattern))
        ]
        assert matching, f"{path.relative_to(ROOT)} is in no package-data"


def _folder(package: str, places: dict[str, Path]) -> Path:
    own = max((name for name in places if package == name or package.startswith(f"{name}.")), key=len)
    return places[own].joinpath(*package.removeprefix(own).split("."))


def test_both_distributions_have_one_version() -> None:
    import entrant

    project = _lists("local_azure/pyproject.toml")["project"]
    local = _lists("pyproject.toml")["project"]["optional-dependencies"]["local"]
    assert project["version"] == entrant.__version__
    assert f"entrant=={entrant.__version__}" in project["dependencies"]
    assert local == [f"entrant-local-azure=={entrant.__version__}"]


def test_the_tests_that_the_threat_model_names_are_there() -> None:
    words = re.findall(r"`([^`]+)`", (ROOT / "SECURITY.md").read_text("utf-8"))
    files = [file for file in (ROOT / "tests").rglob("test_*.py") if file.name != "test_structure.py"]
    functions = [name for file in files for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))]
    for word in words:
        if word.endswith((".py", ".json")) or "/" in word:
            assert (ROOT / word).exists() or word in {file.name for file in files}, word
        elif word.startswith(("test_", "…")):
            pattern = re.compile(".*".join(re.escape(part) for part in word.split("…")))
            assert any(pattern.fullmatch(name) for name in functions), word


# Sizes

LINES = {"module": 500, "class": 300, "function": 60}
REASON = "One module:"
"""A module that is longer says in its docstring, after these words, why it is one."""
CODE = [
    file
    for folder in ("components", "entrant", "local_azure", "policy")
    for file in sorted((ROOT / folder).rglob("*.py"))
]


def sizes(node: ast.AST, name: str) -> Iterator[tuple[str, str, int]]:
    """The classes and functions in a node: kind, name, lines."""
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inner = f"{name}.{child.name}" if " " in name else f"{name} {child.name}"
            kind = "class" if isinstance(child, ast.ClassDef) else "function"
            yield kind, inner, (child.end_lineno or 0) - child.lineno + 1
        yield from sizes(child, inner)


def test_modules_classes_and_functions_are_as_long_as_can_be_read() -> None:
    long = set()
    for file in CODE:
        name, text = file.relative_to(ROOT).as_posix(), file.read_text("utf-8")
        tree = ast.parse(text)
        if len(text.splitlines()) > LINES["module"] and REASON not in (ast.get_docstring(tree) or ""):
            long.add(name)
        long |= {found for kind, found, lines in sizes(tree, name) if lines > LINES[kind]}
    assert long == set(), "longer than LINES allows: divide it"


# Circles

CIRCLES: set[frozenset[str]] = set()
"""Modules that import one another, and are not yet divided."""


def at_run_time(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that are made when a module is loaded: neither for types alone nor in a function."""
    edge: list[ast.AST] = [tree]
    while edge:
        node = edge.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            edge += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            edge += ast.iter_child_nodes(node)


def test_no_modules_import_one_another() -> None:
    modules = {
        file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): file
        for file in CODE
    }
    graph: dict[str, set[str]] = {}
    for name, file in modules.items():
        found: set[str] = set()
        for node in at_run_time(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif node.level == 0 and node.module:
                each = {f"{node.module}.{alias.name}" for alias in node.names}
                found |= each & modules.keys() or {node.module}
        graph[name] = {one for one in found if one in modules} - {name}
    circles = {frozenset(circle) for circle in strongly_connected(graph) if len(circle) > 1}
    assert circles == CIRCLES


def strongly_connected(graph: dict[str, set[str]]) -> list[set[str]]:
    """The groups of nodes each of which can be reached from each other one."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen, edge = set[str](), [start]
        while edge:
            for following in graph[edge.pop()] - seen:
                seen.add(following)
                edge.append(following)
        reach[start] = seen
    groups: list[set[str]] = []
    for name in graph:
        if not any(name in group for group in groups):
            groups.append({name} | {other for other in reach[name] if name in reach[other]})
    return groups


def test_no_private_key_is_in_the_repository() -> None:
    """Tests make their keys when they run."""
    key = re.compile(rb"BEGIN [A-Z ]*PRIVATE KEY-----")
    places = [place for top in ROOT.glob("[!.]*") for place in (top, *top.rglob("*"))]
    files = [place for place in places if place.is_file() and "__pycache__" not in place.parts]
    assert ROOT / "tests" / "test_structure.py" in files
    assert [file for file in files if key.search(file.read_bytes())] == []


UNTELLING = {"said", "told", "asked", "given"}
"""Names that do not say what is held: `stdout`, `message`, `answer`, `arguments` do."""


def named(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every function, parameter and variable of a module, with its line; not the fields of classes."""
    fields = {
        id(item.target)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, ast.AnnAssign)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Name() if id(node) in fields:
                pass
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.FunctionDef(name=name):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)):
                yield node.lineno, name


@pytest.mark.parametrize("room", ["entrant", "components", "local_azure", "policy", "benchmarks", "tests"])
def test_what_a_name_holds_is_its_name(room: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {name}"
        for file in sorted((ROOT / room).rglob("*.py"))
        for node in [ast.parse(file.read_text("utf-8"))]
        for line, name in named(node)
        if name.strip("_") in UNTELLING
    ]
    assert found == []
