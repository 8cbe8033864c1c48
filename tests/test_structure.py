"""The import arrows: who may know whom."""

import ast
import re
import subprocess
import sys
import tomllib
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
    "entrant.access": {"entrant.config", "entrant.facts", "entrant.setup", "entrant.tokens", "entrant"},
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
        assert named <= MAY_IMPORT[place] | {place}, file.relative_to(ROOT).as_posix()


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
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_set_up_needs_the_standard_library_only() -> None:
    for name in (
        "__init__",
        "__main__",
        "setup/__init__",
        "setup/bootstrap",
        "setup/pins",
        "errors",
        "outputs",
        "project",
    ):
        modules = {module.split(".")[0] for module in imports(ROOT / "entrant" / f"{name}.py")}
        outside = modules - set(sys.stdlib_module_names) - {"entrant"}
        assert outside == set(), name


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
            elif path.name not in ("README.md", "pyproject.toml"):
                files.add(path)
    assert listed == there | {name for name in places if name not in there}
    patterns = tool["package-data"]
    for path in files:
        given = [
            pattern
            for package in listed
            for pattern in (*patterns.get(package, []), *patterns.get("*", []))
            if path in set(_folder(package, places).glob(pattern))
        ]
        assert given, f"{path.relative_to(ROOT)} is in no package-data"


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
