"""The import arrows: who may know whom."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"facts", "config", "components", "entrant", "local_azure", "policy"}
MAY_IMPORT = {
    "facts": set(),
    "config": {"facts"},
    "components": {"config", "facts"},
    "policy": {"config", "facts"},
    "entrant": {"config", "facts", "policy"},
    "local_azure": {"facts"},
}
STARTS_THE_LOCAL_AZURE = {"entrant/rehearsal.py", "entrant/commands/local.py"}


def imports(file: Path) -> set[str]:
    """The top-level packages that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_lies_before_it_in_the_flow(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for file in files:
        name = file.relative_to(ROOT).as_posix()
        allowed = MAY_IMPORT[package] | {package} | ({"local_azure"} if name in STARTS_THE_LOCAL_AZURE else set())
        assert imports(file) & OURS <= allowed, name


def test_only_the_program_reads_pulumi_config() -> None:
    readers = [
        file.relative_to(ROOT).as_posix()
        for package in ("components", "config", "facts", "policy", "entrant")
        for file in (ROOT / package).rglob("*.py")
        if "pulumi.Config" in file.read_text("utf-8")
    ]
    assert readers == []


def test_importing_entrant_loads_neither_pulumi_nor_msal() -> None:
    code = (
        "import entrant, sys; print([m for m in ('pulumi', 'msal', 'azure.identity', 'requests') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_set_up_needs_the_standard_library_only() -> None:
    for name in ("__init__", "__main__", "bootstrap", "errors", "outputs"):
        outside = imports(ROOT / "entrant" / f"{name}.py") - set(sys.stdlib_module_names) - {"entrant"}
        assert outside == set(), name


def test_the_map_of_entrant_names_every_module_and_no_other() -> None:
    folder = ROOT / "entrant"
    named = set(re.findall(r"`(\w+)/?`", (folder / "README.md").read_text("utf-8"))) - {"up", "entrant", "pulumi"}
    there = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.name in ("commands", "toolchain")}
    assert named == there - {"__init__"}
