"""Every error of a file in one run: what is wrong by itself, beside its neighbours, across apps, and by policy."""

from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrant import policy

from .conftest import Check

RG = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg"
ID = "2b7c1c55-93a4-4c1e-9a38-9f0f9f0f6f11"

ERRORS: list[tuple[str, Any, str]] = [
    ("display_name", "Taken", 'apps.first has the display name "Taken" already'),
    ("display_name", "x" * 257, "is 257 characters long"),
    (
        "identifier_uris",
        ["api://{tenant_id}/taken", "api://{tenant_id}/x/"],
        "apps.first.identifier_uris[0] has the URI",
    ),
    ("identifier_uris", ["api://{tenant_id}/taken", "api://{tenant_id}/x/"], "does not end with a slash"),
    ("adopt", {"application": ID}, f"apps.second has the registration {ID} under `adopt` already"),
    ("adopt", {"application": "mine"}, 'expected a GUID such as 00000000-0000-0000-0000-000000000000; found "mine"'),
    ("secret", {"every": "30d", "overlap": "40d"}, "`overlap` must be shorter than `every`"),
    ("secret", {"every": "monthly"}, "expected a duration"),
    ("certificates", {"c": {"pem": "x"}}, "expected one certificate in PEM form"),
    ("certificates", {"c": {"path": "nowhere.pem"}}, 'cannot read "nowhere.pem"'),
    (
        "federated",
        [{"github": {"repository": "x", "branch": "m"}}],
        'without the rest of an address; found "x"',
    ),
    ("federated", [{"github": {"repository": "a/b"}, "subject": "s"}], "give one of `environment`, `branch`"),
    ("federated", [{"issuer": "https://i.example.com"}], "`issuer` goes with `subject` or `claims`"),
    ("federated", [{"issuer": "https://i.example.com", "subject": "s"}] * 2, "has this issuer and subject already"),
    ("permissions", [{"api": "Microsoft Graph", "application": ["User.Raed.All"]}], 'permission "User.Raed.All"'),
    ("permissions", [{"api": "first", "application": ["Nothing"]}], 'first has no application permission "Nothing"'),
    ("permissions", [{"api": "Microsoft Graph"}], "name permissions under `application`"),
    ("roles", [{"role": "Readr", "scope": RG}], 'no role is called "Readr"'),
    ("roles", [{"role": "Reader"}], "`scope` is missing"),
    ("roles", [{"role": "Reader", "scope": RG}, {"role": "Reader", "scope": RG.upper()}], "/ROLE"),
    ("roles", [{"role": "Owner", "scope": RG}, {"role": "Reader", "scope": "nowhere"}], "Owner can give itself any"),
    ("roles", [{"role": "Owner", "scope": RG}, {"role": "Reader", "scope": "nowhere"}], 'no scope is called "nowhere"'),
    ("owners", ["deployer", "nobody", "deployer"], '"nobody" is not a known owner'),
    ("owners", ["deployer", "nobody", "deployer"], "this owner is there twice"),
    ("groups", ["x"], 'found "x"'),
    ("directory_roles", [{"role": "Directory Raeders"}], 'no directory role is called "Directory Raeders"'),
    ("directory_roles", [{"role": "Global Administrator"}], "Global Administrator is a privileged directory role"),
    ("web", {"redirect_uris": ["https://a.example.com/*", "nothing"]}, "https://a.example.com/* has a wildcard"),
    ("web", {"redirect_uris": ["https://a.example.com/*", "nothing"]}, 'found "nothing"'),
    ("web", {"redirect_uris": ["https://a.example.com/*", "nothing"]}, "has a wildcard"),
    ("app_roles", {"A": {"description": "d"}, "a": {"description": "d"}}, 'has the value "a" already'),
    ("app_roles", {"A": {"id": ID}}, "`description` is missing"),
    ("protect", "yes", "expected true or false"),
    ("tags", 3, "expected a list"),
    ("reason", "because", "`reason` goes with `allow_privileged: true`"),
    ("nonsense", 1, 'unknown key "nonsense"'),
    ("links", {"homepage": None}, "nothing stands here"),
    ("group_claims", ["All", "SecurityGroup"], "`None` and `All` stand alone"),
]
ERRORS = [
    (key, value, expected.replace("/ROLE", "the app has Reader at this scope already"))
    for key, value, expected in ERRORS
]
FIRST = {
    "display_name": "Taken",
    "identifier_uris": ["api://{tenant_id}/taken"],
    "owners": ["deployer"],
}
SECOND = {"adopt": {"application": ID}, "owners": ["deployer"]}


def messages(check: Check, environment: dict[str, Any]) -> str:
    """All that `validate` has to say about an environment."""
    report = check(yaml.safe_dump(environment, allow_unicode=True, sort_keys=False))
    assert report.environment is None
    assert report.sound is not None
    rules = [finding.problem for finding in policy.evaluate(report.sound, report)]
    return "\n".join(map(str, (*report.problems, *rules)))


@pytest.mark.parametrize("index", range(len(ERRORS)))
def test_each_error_alone_is_reported(check: Check, index: int) -> None:
    key, value, expected = ERRORS[index]
    assert expected in messages(
        check, {"on_remove": "keep", "apps": {"first": FIRST, "second": SECOND, "a": {key: value}}}
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chosen=st.lists(st.sampled_from(range(len(ERRORS))), min_size=2, max_size=14, unique=True), apps=st.integers(1, 3)
)
def test_errors_that_do_not_hang_together_are_all_reported_in_one_run(
    check: Check, chosen: list[int], apps: int
) -> None:
    """Whichever they are, in one app or several, beside a wrong entry of the file's own."""
    made: dict[str, Any] = {"first": FIRST, "second": SECOND} | {f"app{number}": {} for number in range(apps)}
    expected = ['"mars" is not one of']
    for index in chosen:
        key, value, message = ERRORS[index]
        others = (app for name, app in made.items() if name not in ("first", "second"))
        free = next((app for app in others if app.get(key, value) == value), None)
        if free is None:
            free = made.setdefault(f"more{len(made)}", {})
        free[key] = value
        expected.append(message)
    text = messages(check, {"on_remove": "keep", "cloud": "mars", "limits": {"secret_lifetime": 1}, "apps": made})
    assert [message for message in expected if message not in text] == []


def test_what_stands_under_a_wrong_name_is_checked_all_the_same(check: Check) -> None:
    text = messages(
        check,
        {
            "scopes": {"Logs": RG},
            "apps": {
                "first": FIRST,
                "Wrong Name": {"display_name": "Taken", "owners": ["deployer", "deployer"], "protect": 1},
                "Other": {"secret": {"every": "30d", "overlap": "40d"}, "roles": [{"role": "Owner", "scope": "Logs"}]},
            },
        },
    )
    for expected in (
        '"Wrong Name" is not a name',
        '"Other" is not a name',
        '"Logs" is not a name',
        'apps.first has the display name "Taken" already',
        "apps.Wrong Name.owners[1]: this owner is there twice",
        "apps.Wrong Name.protect: expected true or false",
        "apps.Other.secret.overlap: `overlap` must be shorter",
        "apps.Other.roles[0].role: Owner can give itself any role",
        "apps.Other: the registration has no owner",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("environment", "absent"),
    [
        ("apps: {a: {onwers: [deployer]}}", "has no owner"),
        ("apps: {a: {adopt: {application: " + ID + "}, on_remove: kepe}}", "say what becomes"),
        ("on_remove: kepe\napps: {a: {adopt: {application: " + ID + "}}}", "say what becomes"),
        ("apps: {a: {allow_privileged: yes, roles: [{role: Owner, scope: " + RG + "}]}}", "narrow it, or say"),
        ("apps: {a: {roles: [{role: Owner, scope: " + RG + ', condition: 1, condition_version: "2.0"}]}}', "can give"),
        (
            "apps: {a: {allow_privileged: true, reason: r, roles: [{role: Ownr, scope: " + RG + "}]}}",
            "nothing here needs",
        ),
        ("apps: {a: {display_name: 1}, b: {display_name: a}}", "has the display name"),
        ("scopes: {x: /nowhere}\napps: {a: {roles: [{role: Reader, scope: x}]}}", "reaches everything"),
        ("subscription: x\nscopes: {r: {resource_group: rg}}\napps: {a: {}}", "which subscription?"),
        (
            "apps: {a: {sign_in_audience: PersonalMicrosoftAccount, api: {token_version: 3}}}",
            "needs tokens of version 2",
        ),
        ("policy: {missing-owner: of}\napps: {a: {}}", "has no owner"),
        ("limits: {secret_lifetime: long}\napps: {a: {secret: {every: 200d}}}", "are allowed"),
        ("role_definitions: {r: {assignable_scopes: [" + RG + "], actions: [1]}}\napps: {a: {}}", "allows nothing"),
    ],
)
def test_nothing_is_concluded_from_what_is_wrong(check: Check, environment: str, absent: str) -> None:
    assert absent not in messages(check, yaml.safe_load(environment))


@pytest.mark.parametrize(
    ("extends", "expected"),
    [
        ("base.yaml", ["config/base.yaml:2:1: error: not valid YAML"]),
        ("bsae.yaml", ['config/dev.yaml:1:10: error: extends: there is no file "bsae.yaml"']),
    ],
)
def test_a_file_that_cannot_be_read_hides_no_error_of_one_that_extends_it(
    check: Check, extends: str, expected: list[str]
) -> None:
    """Of the nearer file, what is wrong whatever the other one holds: names and keys may be there."""
    text = f"""\
extends: {extends}
scopes: {{own: /subscriptions/x}}
role_definitions: {{asker: {{description: d}}}}
apps:
  shared: {{logo: null, display_nam: x}}
  gone: null
  a:
    secret: {{overlap: 1}}
    web: {{redirect_uris: [ftp://x, https://a.example.com, https://a.example.com]}}
    owners: [other]
    permissions: [{{api: other, application: [Read]}}]
    roles: [{{role: asker, scope: logs}}, {{role: theirs, scope: logs}}, {{scope: {{resource_group: rg}}, role: Reader}}]
    allow_privileged: true
"""
    messages = [str(problem) for problem in check(text, base="apps: {}\n]\n").problems]
    assert [line[: len(start)] for line, start in zip(messages, expected, strict=False)] == expected
    rest = [line.removeprefix("config/dev.yaml:").partition(";")[0] for line in messages[len(expected) :]]
    assert rest == [
        '2:15: error: scopes.own: "x" is not a subscription GUID',
        '5:24: error: apps.shared: unknown key "display_nam"',
        "8:23: error: apps.a.secret.overlap: expected text",
        "9:27: error: apps.a.web.redirect_uris[0]: expected a URL that starts with https:// or http:// or ms-appx-web:// or brk-multihub://",
        '9:36: error: apps.a.web.redirect_uris[1]: a redirect URI without a path ends with a slash: write "https://a.example.com/"',
        '9:59: error: apps.a.web.redirect_uris[2]: a redirect URI without a path ends with a slash: write "https://a.example.com/"',
    ]


def test_every_app_that_needs_itself_is_told_however_many_there_are(check: Check) -> None:
    apps = "".join(f"  app-{number}: {{owners: [app-{number}]}}\n" for number in range(1200))
    problems = check(f"apps:\n{apps}").problems
    assert "app-0 needs its own id (as owner or API) before it exists" in problems[1].message, (
        "after the number of apps"
    )
    assert problems[-1].message == "701 further problems are not listed"
