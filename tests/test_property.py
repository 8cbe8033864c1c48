"""A property of a registration is two lines: its field in the vocabulary, and in the component's arguments. Tried on a copy."""

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT

ADDED = {
    "entrant/config/models.py": (
        "    web: Annotated[Web | None",
        "    device_only_auth: Annotated[\n"
        '        Bool, Property("device_only_auth_enabled", "isDeviceOnlyAuthSupported")\n'
        "    ] = False\n"
        '    """Sign in without a user."""\n',
    ),
    "entrant/config/registration.py": (
        "    login_url: Annotated[HttpsUrl",
        '    preferred_single_sign_on_mode: Annotated[Text | None, Property()] = None\n    """How users sign in."""\n',
    ),
    "components/arguments.py": (
        "    web: NotRequired[WebArgs",
        '    device_only_auth: NotRequired[pulumi.Input[bool] | None]\n    """Sign in without a user."""\n',
    ),
    "components/arguments.py (service principal)": (
        "    login_url: NotRequired[pulumi",
        '    preferred_single_sign_on_mode: NotRequired[pulumi.Input[str] | None]\n    """How users sign in."""\n',
    ),
}
"""File → the line before which another property is added, and that property."""
FILE = """\
apps:
  a:
    device_only_auth: true
    service_principal: {preferred_single_sign_on_mode: saml}
"""
PROGRAM = """
import json, pathlib
from components import declare, stack_outputs
from components.registration import unsaid
from entrant import config
from entrant.config import reference
from entrant.config.registration import ServicePrincipal
from entrant.config.schema import schema
from entrant.importing import properties
from entrant.rehearsal import existing
from entrant.review.snapshot import of_environment
from tests.components import mocked, test_arguments

test_arguments.test_arguments_and_environment_files_have_the_same_words()
root = pathlib.Path.cwd()
environment = config.load("config/x.yaml", root=root)
made = mocked.deploy(lambda: stack_outputs(environment, declare(environment, now="2026-11-20")))
graph = {"id": "1", "appId": "2", "isDeviceOnlyAuthSupported": True}
principal = {"id": "3", "preferredSingleSignOnMode": "saml"}
print(json.dumps({
    "application": made.one(mocked.APPLICATION).inputs,
    "principal": made.one(mocked.PRINCIPAL).inputs,
    "unsaid": unsaid(config.App, "device_only_auth_enabled", "template_id"),
    "unsaid of the principal": unsaid(ServicePrincipal, "preferred_single_sign_on_mode", "saml_single_sign_on"),
    "schema": schema()["$defs"]["App"]["properties"]["device_only_auth"],
    "page": reference.text(),
    "import": properties.registration(graph, "a", "t"),
    "import of the principal": properties.principal(principal, graph),
    "review": dict(of_environment(environment).registrations["a"].settings),
    "rehearsal": "device_only_auth" in existing._OF_REGISTRATIONS,
}))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What becomes of the added properties."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("entrant", "components", "local_azure", "tests/components", "config", "examples"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "tests" / "__init__.py").touch()
    (copy / "config" / "x.yaml").write_text(FILE)
    for name, (before, added) in ADDED.items():
        file = copy / name.partition(" ")[0]
        text = file.read_text("utf-8")
        assert text.count(before) == 1, name
        file.write_text(text.replace(before, added + before), "utf-8")
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=copy, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_is_declared(seen: dict[str, Any]) -> None:
    assert seen["application"]["deviceOnlyAuthEnabled"] is True
    assert seen["principal"]["preferredSingleSignOnMode"] == "saml"


def test_it_is_no_longer_left_as_it_is_in_what_is_taken_over(seen: dict[str, Any]) -> None:
    assert seen["unsaid"] == ["templateId"]
    assert seen["unsaid of the principal"] == ["samlSingleSignOn"]


def test_it_is_imported(seen: dict[str, Any]) -> None:
    assert seen["import"] == [{"device_only_auth": True}, [], []]
    assert seen["import of the principal"] == [{"preferred_single_sign_on_mode": "saml"}, []]


def test_it_is_reviewed_rehearsed_and_described(seen: dict[str, Any]) -> None:
    assert seen["review"] == {"device_only_auth": True, "service_principal.preferred_single_sign_on_mode": "saml"}
    assert seen["rehearsal"]
    assert seen["schema"]["description"] == "Sign in without a user."
    assert "Sign in without a user." in seen["page"]
    assert "How users sign in." in seen["page"]
