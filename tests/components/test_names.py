"""The names of resources: no two of an environment meet, whatever its keys are."""

import itertools
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from components import declare
from entrant import config

from .mocked import deploy

WORDS = ("a", "b")
GUIDS = tuple(f"{digit * 8}-1111-4111-8111-111111111111" for digit in "123")
PEM = (Path(__file__).parents[2] / "examples" / "batch.pem").read_text()
VALUES = ("Read", "a/Read", "b-Read", "Show")
GROUPS = [f"/subscriptions/{GUIDS[0]}/resourceGroups/{name}" for name in ("a", "a-b", "A_b")]

KEYS = tuple("-".join(words) for count in (1, 2, 3) for words in itertools.product(WORDS, repeat=count))


def some(of: Any, most: int = 2, least: int = 0) -> Any:
    return st.lists(st.sampled_from(of), min_size=least, max_size=most, unique=True)


@st.composite
def environments(draw: Any) -> dict[str, Any]:
    """An environment whose apps are called almost alike and have everything that gets a name."""
    names = draw(st.lists(st.sampled_from(KEYS), min_size=2, max_size=4, unique=True))
    custom = draw(some(KEYS))
    roles = {key: {"name": f"Role {key}", "actions": ["*/read"], "assignable_scopes": GROUPS[:1]} for key in custom}
    apps = {}
    for index, name in enumerate(names):
        apis = [*draw(some(names[index + 1 :])), *draw(some((*GUIDS, "Microsoft Graph")))] if names[index + 1 :] else []
        apps[name] = {
            "display_name": f"App {name}",
            "secret": draw(st.sampled_from((False, {"every": "90d", "overlap": "7d"}))),
            "certificates": {key: {"pem": PEM} for key in draw(some(KEYS, 1))},
            "federated": [{"name": f"{key}-key", "issuer": "https://i.example.com", "subject": key} for key in KEYS],
            "permissions": [
                {
                    "api": api,
                    "application": ["User.Read.All"] if api == "Microsoft Graph" else ["Data.Read"],
                    "consent": True,
                }
                if api not in names
                else {
                    "api": api,
                    "application": draw(some(VALUES[:3], least=1)),
                    "delegated": ["Show"],
                    "consent": True,
                }
                for api in apis
            ],
            "roles": [{"role": role, "scope": GROUPS[0]} for role in {*draw(some(("Reader", GUIDS[1]))), *custom}],
            "groups": draw(some(GUIDS)),
            "directory_roles": [
                {"role": role} for role in draw(some(("Directory Readers", "Reports Reader", GUIDS[2])))
            ],
            "app_roles": {value: {"description": "d"} for value in VALUES[:3]},
            "api": {
                "scopes": {"Show": {"description": "d"}},
                "pre_authorized": [{"client": client, "scopes": ["Show"]} for client in draw(some((*names, *GUIDS)))],
            },
        }
    return {"apps": apps, **({"role_definitions": roles} if roles else {})}


@settings(max_examples=15, deadline=None)
@given(environments())
def test_no_two_resources_of_an_environment_have_one_name(data: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.yaml"
        file.write_text(yaml.safe_dump(data))
        environment = config.check(file).environment
        assert environment is not None, config.check(file).errors
    made = deploy(lambda: declare(environment, now="2026-11-20"))
    urns = [(resource.parent.rpartition("::")[0], resource.type, resource.name) for resource in made.resources]
    assert len(set(urns)) == len(urns)
