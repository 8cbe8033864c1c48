"""A project in a temporary folder for tests of the loader."""

from collections.abc import Callable
from pathlib import Path

import pytest

from entrant import config

Check = Callable[..., config.Report]


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Writes files into `config/` of a project: `project(dev="apps: …")`; returns the project's folder."""

    def write(**files: str | bytes) -> Path:
        (tmp_path / "config").mkdir(exist_ok=True)
        for name, text in files.items():
            (tmp_path / "config" / f"{name}.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write


@pytest.fixture
def check(project: Callable[..., Path]) -> Check:
    """Checks an environment `dev` with the given text, beside the given other files."""

    def run(dev: str | bytes, **others: str | bytes) -> config.Report:
        return config.check("dev", root=project(dev=dev, **others))

    return run
