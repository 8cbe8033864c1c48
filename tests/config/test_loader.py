"""From files to an environment: finding them, `extends`, `defaults`, null, positions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from entrant import config

from .conftest import Check

ROOT = Path(__file__).parents[2]
APP = "apps: {a: {}}\n"
SCOPES = "scopes: {logs: /subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg}\n"


def lines(report: config.Report) -> list[str]:
    return [str(problem) for problem in report.problems]


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_committed_environments_are_sound(stack: str) -> None:
    assert lines(config.check(stack, root=ROOT)) == []


def test_dev_is_a_reader_of_logs_and_a_writer_of_metrics() -> None:
    apps = config.load("dev", root=ROOT).apps
    assert [(g.role.name, g.scope.resource_type) for g in apps["log-reader"].roles] == [
        ("Reader", "Microsoft.OperationalInsights/workspaces"),
        ("Reader", "Microsoft.Insights/components"),
    ]
    assert [(g.role.name, g.scope.resource_type) for g in apps["metrics-writer"].roles] == [
        ("Monitoring Metrics Publisher", "Microsoft.Compute/virtualMachines")
    ]


def test_load_raises_every_problem_and_check_returns_them(project: Callable[..., Path]) -> None:
    root = project(dev="aps: {}\ncloud: x\n")
    with pytest.raises(config.ConfigError) as caught:
        config.load("dev", root=root)
    assert caught.value.problems == config.check("dev", root=root).problems
    assert len(caught.value.problems) == 3


def test_a_path_names_a_file_and_anything_else_a_stack(project: Callable[..., Path]) -> None:
    root = project(dev=APP)
    assert config.load("config/dev.yaml", root=root) == config.load("dev", root=root)
    assert config.load(root / "config" / "dev.yaml") == config.load("dev", root=root)


def test_environments_are_the_files_that_no_other_extends(project: Callable[..., Path]) -> None:
    root = project(base=APP, dev="extends: base.yaml\n", prod="extends: base.yaml\n")
    assert config.environments(root) == ("dev", "prod")
    (root / "Pulumi.base.yaml").touch()
    assert config.environments(root) == ("base", "dev", "prod")


def test_the_nearer_file_wins_key_by_key(check: Check) -> None:
    report = check(
        "extends: mid.yaml\napps: {a: {display_name: near}}\n",
        mid="extends: base.yaml\napps: {a: {display_name: mid, description: mid}}\n",
        base="apps: {a: {display_name: base, description: base, secret: {every: 30d}}, b: {}}\n",
    )
    assert lines(report) == []
    assert report.environment is not None
    a = report.environment.apps["a"]
    assert (a.display_name, a.description, set(report.environment.apps)) == ("near", "mid", {"a", "b"})
    assert a.secret
    assert a.secret.every.days == 30
    assert report.files == ("config/dev.yaml", "config/mid.yaml", "config/base.yaml")


def test_a_list_is_replaced_whole(check: Check) -> None:
    report = check(
        "extends: base.yaml\napps: {a: {roles: [{role: Reader, scope: logs}]}}\n",
        base="apps: {a: {roles: [{role: Contributor, scope: logs}, {role: Reader, scope: logs}]}}\n" + SCOPES,
    )
    assert report.environment is not None
    assert [grant.role.name for grant in report.environment.apps["a"].roles] == ["Reader"]


def test_null_removes_what_a_file_further_away_says(check: Check) -> None:
    report = check(
        "extends: base.yaml\napps: {a: {description: null}, b: }\n", base="apps: {a: {description: x}, b: {}}\n"
    )
    assert lines(report) == []
    assert report.environment is not None
    assert set(report.environment.apps) == {"a"}
    assert report.environment.apps["a"].description is None


def test_defaults_lie_under_every_app_and_null_takes_one_away(check: Check) -> None:
    report = check("defaults: {secret: {every: 30d}}\napps: {a: {secret: {overlap: 1d}}, b: {secret: null}, c: {}}\n")
    assert report.environment is not None
    a, b, c = report.environment.apps.values()
    assert a.secret and c.secret
    assert (a.secret.every.days, a.secret.overlap.days, b.secret, c.secret.every.days) == (30, 1, None, 30)


def test_a_problem_stands_where_the_value_was_written(check: Check) -> None:
    report = check(
        "extends: base.yaml\napps: {b: {}}\n", base="apps:\n  a:\n    roles:\n      - {role: Readr, scope: /}\n"
    )
    assert [(p.file, p.line, p.column) for p in report.errors] == [("config/base.yaml", 4, 16)]


def test_a_problem_in_the_defaults_is_reported_once(check: Check) -> None:
    report = check("defaults: {secret: 1}\napps: {a: {}, b: {}}\n")
    assert lines(report) == [
        "config/dev.yaml:1:20: error: defaults.secret: expected a mapping (`key: value`, or {}); found a number"
    ]


def test_every_problem_of_every_file_is_listed_in_order(check: Check) -> None:
    report = check("extends: base.yaml\nclod: x\napps: {A: {}}\n", base="apps: {a: {rols: []}, a: {}}\n")
    assert [(p.file, p.line, p.column) for p in report.problems] == [
        ("config/base.yaml", 1, 12),
        ("config/base.yaml", 1, 23),
        ("config/dev.yaml", 2, 1),
        ("config/dev.yaml", 3, 8),
    ]


def test_a_file_outside_is_read_where_the_users_own_settings_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the shell of a rehearsal of such a file; the settings of the project itself lead nowhere out of it."""
    root, other = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (root, other):
        folder.mkdir()
    (other / "env.yaml").write_text("apps: {a: {}}\n")
    text = f'config: {{"entrant:environment": {other / "env.yaml"}}}\n'
    (root / "Pulumi.env.yaml").write_text(text)
    assert "leads out of the project" in str(config.check("env", root=root).problems[0])
    (tmp_path / "Pulumi.env.yaml").write_text(text)
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", str(tmp_path / "Pulumi.env.yaml"))
    assert config.check("env", root=root).environment is not None


OF_BEFORE = {
    "display_name": ("x" * 200, "is 200 characters long; at most 120 are allowed"),
    "web": ({"redirect_uris": ["http://old.example.com/"]}, '"http://old.example.com/" is not encrypted'),
    "identifier_uris": (["api://old"], "\"api://old\" must hold the app's or the tenant's id"),
    "permissions": (
        [{"api": "00000002-0000-0000-c000-000000000000", "delegated": ["User.Read"]}],
        "Azure AD Graph is retired",
    ),
}


@pytest.mark.parametrize("key", OF_BEFORE)
def test_what_a_registration_of_before_a_rule_has_can_be_taken_over(check: Check, key: str) -> None:
    """Microsoft Entra keeps what it would refuse today; a new app is refused it before."""
    value, message = OF_BEFORE[key]
    app = {key: value}
    [problem] = check(yaml.safe_dump({"apps": {"a": app}})).errors
    assert message in problem.message
    taken = app | {"adopt": {"application": "2b7c1c55-93a4-4c1e-9a38-9f0f9f0f6f11"}}
    report = check(yaml.safe_dump({"on_remove": "keep", "apps": {"a": taken}}))
    assert report.errors == ()


NONE = "the app has no service principal"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {
                "roles": [
                    {"role": "Reader", "scope": "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/r"}
                ]
            },
            NONE,
        ),
        ({"groups": ["3b8d7f2e-5c1a-4d90-8e6b-0a9c4f7e1d25"]}, NONE),
        ({"directory_roles": [{"role": "Directory Readers"}]}, NONE),
        ({"service_principal": {"notes": "x"}}, NONE),
        ({"permissions": [{"api": "Microsoft Graph", "delegated": ["User.Read"], "consent": True}]}, NONE),
        ({"permissions": [{"api": "Microsoft Graph", "delegated": ["User.Read"]}]}, None),
        ({}, None),
    ],
)
def test_an_app_without_a_service_principal_has_nothing_that_takes_one(
    check: Check, more: Any, message: str | None
) -> None:
    adopt = {"application": "2b7c1c55-93a4-4c1e-9a38-9f0f9f0f6f11", "no_service_principal": True}
    errors = check(yaml.safe_dump({"on_remove": "keep", "apps": {"a": {"adopt": adopt} | more}})).errors
    assert [str(message) in problem.message for problem in errors] == ([True] if message else [])


@pytest.mark.parametrize(
    "more",
    [
        {"owners": ["a"]},
        {"permissions": [{"api": "a", "application": ["Read"], "consent": True}]},
    ],
)
def test_nothing_can_refer_to_the_service_principal_of_an_app_that_has_none(check: Check, more: Any) -> None:
    adopt = {"application": "2b7c1c55-93a4-4c1e-9a38-9f0f9f0f6f11", "no_service_principal": True}
    roles = {"app_roles": {"Read": {"description": "d"}}}
    file = {"on_remove": "keep", "apps": {"a": {"adopt": adopt} | roles, "b": more}}
    [problem] = check(yaml.safe_dump(file)).errors
    assert "a has no service principal (`no_service_principal`), which this takes" in problem.message


def test_a_service_principal_is_there_or_not(check: Check) -> None:
    id_ = "2b7c1c55-93a4-4c1e-9a38-9f0f9f0f6f11"
    adopt = {"application": id_, "service_principal": id_, "no_service_principal": True}
    [problem] = check(yaml.safe_dump({"on_remove": "keep", "apps": {"a": {"adopt": adopt}}})).errors
    assert "`service_principal` names one; take one of the two out" in problem.message
