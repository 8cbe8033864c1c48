"""What Azure holds once: across an app, a file, and the environments of one tenant; both places are named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from entrant import config
from entrant.config import unique

from .conftest import Check

ID = "2b7c1c55-93a4-4c1e-9a38-9f0f9f0f6f11"
RG = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg"
TENANT = "tenant: 5f3b5e5e-6a31-4c08-9d8c-2f9d7d1c4c11\n"
PEM = (Path(__file__).parents[2] / "examples" / "batch.pem").as_posix()


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ("a: {display_name: Same}", "b: {display_name: Same}", "apps.b.display_name: apps.a has the display name"),
        ("a: {}", "b: {display_name: a}", "apps.b.display_name: apps.a has the display name"),
        (
            'a: {identifier_uris: ["api://{tenant_id}/x"]}',
            'b: {identifier_uris: ["api://5f3b5e5e-6a31-4c08-9d8c-2f9d7d1c4c11/X"]}',
            "apps.b.identifier_uris[0]: apps.a.identifier_uris[0] has the URI",
        ),
        (
            f"a: {{adopt: {{application: {ID}}}}}",
            f"b: {{adopt: {{application: {ID.upper()}}}}}",
            "apps.b.adopt.application: apps.a has the registration",
        ),
        (
            f"a: {{adopt: {{application: {ID[:-1]}2, service_principal: {ID}}}}}",
            f"b: {{adopt: {{application: {ID[:-1]}3, service_principal: {ID}}}}}",
            "apps.b.adopt.service_principal: apps.a has the service principal",
        ),
        (
            f"a: {{roles: [{{role: Reader, scope: {RG}, adopt: {ID}, on_remove: keep}}]}}",
            f"b: {{roles: [{{role: Reader, scope: {RG}, adopt: {ID}, on_remove: keep}}]}}",
            "apps.b.roles[0].adopt: apps.a.roles[0] has the assignment",
        ),
        (
            f"a: {{federated: [{{github: {{repository: c/o, branch: main}}, adopt: {ID}}}]}}",
            f"b: {{federated: [{{github: {{repository: c/o, branch: main}}, adopt: {ID}}}]}}",
            "apps.b.federated[0].adopt: apps.a.federated[0] has the federated credential",
        ),
        (
            "a: {permissions: [{api: Microsoft Graph, delegated: [User.Read], consent: true, adopt: {delegated: x}}]}",
            "b: {permissions: [{api: Microsoft Graph, delegated: [User.Read], consent: true, adopt: {delegated: x}}]}",
            "apps.b.permissions[0].adopt.delegated: apps.a.permissions[0] has the delegated grant",
        ),
        (
            "a: {directory_roles: [{role: Directory Readers, adopt: x}]}",
            "b: {directory_roles: [{role: Directory Readers, adopt: x}]}",
            "apps.b.directory_roles[0].adopt: apps.a.directory_roles[0] has the directory role assignment",
        ),
    ],
)
def test_two_apps_do_not_have_what_a_tenant_holds_once(check: Check, first: str, second: str, what: str) -> None:
    report = check(f"{TENANT}on_remove: keep\napps:\n  {first}\n  {second}\n")
    [problem] = report.errors
    assert (problem.line, problem.message.startswith(what)) == (5, True), problem
    assert f"; the first is at config/dev.yaml:4:{4 + first.index(first.split('{', 1)[1]) - 3}"[:35] in problem.message


@pytest.mark.parametrize(
    ("app", "what"),
    [
        (
            "web: {redirect_uris: [https://x.example.com/cb]}\n    spa: {redirect_uris: [https://x.example.com/cb]}",
            "apps.a.spa.redirect_uris[0]: `web` has this redirect URI already",
        ),
        (
            "public_client: {redirect_uris: [http://localhost/]}\n    web: {redirect_uris: [http://localhost/]}",
            "apps.a.public_client.redirect_uris[0]: `web` has this redirect URI already",
        ),
        (
            "api: {scopes: {Logs.Read: {description: d}, logs.read: {description: d}}}",
            'apps.a.api.scopes: api.scopes.Logs.Read has the value "logs.read" already',
        ),
        (
            "app_roles: {Logs.Read: {description: d}}\n    api: {scopes: {logs.Read: {description: d}}}",
            'apps.a.api.scopes: app_roles.Logs.Read has the value "logs.Read" already',
        ),
        (
            f"app_roles: {{A: {{description: d, id: {ID}}}}}\n    api: {{scopes: {{B: {{description: d, id: {ID}}}}}}}",
            f"apps.a.api.scopes.B.id: app_roles.A has the id {ID} already",
        ),
        (
            'identifier_uris: ["api://{tenant_id}/x", "https://a.example.com", "api://{tenant_id}/X"]',
            "apps.a.identifier_uris[2]: apps.a.identifier_uris[0] has the URI api://{tenant_id}/X already",
        ),
        (
            f"certificates: {{one: {{path: {PEM}}}, two: {{path: {PEM}}}}}",
            "apps.a.certificates.two: certificates.one has this certificate already",
        ),
    ],
)
def test_an_app_does_not_have_twice_what_it_holds_once(check: Check, app: str, what: str) -> None:
    [problem] = check(f"apps:\n  a:\n    {app}\n").errors
    assert problem.message.startswith(what), problem
    assert "; the first is at config/dev.yaml:" in problem.message


@pytest.mark.parametrize(
    "apps",
    [
        f"a: {{display_name: S, adopt: {{application: {ID}}}}}\n  b: {{display_name: S, adopt: {{application: {ID[:-1]}2}}}}",
        "a: {federated: [{github: {repository: a/b, branch: m}}]}\n  b: {federated: [{github: {repository: a/b, branch: m}}]}",
        "a: {web: {redirect_uris: [https://x.example.com/cb]}}\n  b: {spa: {redirect_uris: [https://x.example.com/cb]}}",
        "a: {app_roles: {R: {description: d}}}\n  b: {app_roles: {R: {description: d}}}",
        f"a: {{certificates: {{c: {{path: {PEM}}}}}}}\n  b: {{certificates: {{c: {{path: {PEM}}}}}}}",
    ],
)
def test_what_two_apps_may_both_have_passes(check: Check, apps: str) -> None:
    assert check(f"on_remove: keep\napps:\n  {apps}\n").problems == ()


def clashes(root: Path, *stacks: str) -> list[str]:
    """What the environments of these stacks have and a tenant holds once."""
    return [str(problem) for _, problem in unique.across(config.check(stack, root=root) for stack in stacks)]


def test_two_environments_of_one_tenant_do_not_have_what_it_holds_once(project: Callable[..., Path]) -> None:
    root = project(
        dev=f"{TENANT}apps: {{a: {{display_name: Same}}}}\n", prod=f"{TENANT}apps: {{b: {{display_name: Same}}}}\n"
    )
    assert clashes(root, "dev", "prod") == [
        'config/prod.yaml:2:26: error: apps.b.display_name: apps.a of config/dev.yaml has the display name "Same" already; '
        "`up` refuses a second app of one name, give this one another; the first is at config/dev.yaml:2:26"
    ]
    assert clashes(root, "dev", "dev", "config/dev.yaml") == [], "one environment is no two"


def test_what_both_have_from_one_base_is_told_with_both_names(project: Callable[..., Path]) -> None:
    root = project(base="apps: {a: {}}\n", dev=f"{TENANT}extends: base.yaml\n", prod=f"{TENANT}extends: base.yaml\n")
    [problem] = clashes(root, "dev", "prod")
    assert problem.startswith("config/base.yaml:1:8: error: apps.a: apps.a of config/dev.yaml has the display name")
    assert problem.endswith("the first is at config/base.yaml:1:8; config/prod.yaml extends this file")


def test_custom_roles_meet_by_name_and_by_the_id_made_of_their_key(project: Callable[..., Path]) -> None:
    role = (
        "role_definitions: {{r: {{name: {}, actions: ['*/read'], assignable_scopes: ["
        + RG
        + "]}}}}\napps: {{{}: {{}}}}\n"
    )
    root = project(dev=TENANT + role.format("One", "a"), prod=TENANT + role.format("ONE", "b"))
    assert ["has the name" in problem or "has the id" in problem for problem in clashes(root, "dev", "prod")] == [
        True
    ] * 2
    root = project(prod=TENANT + role.format("Two", "b"))
    [problem] = clashes(root, "dev", "prod")
    assert "has the id" in problem


@pytest.mark.parametrize(
    ("dev", "prod", "severity"),
    [
        (TENANT, "", "warning"),
        ("", "", "warning"),
        (TENANT, TENANT.replace("5f3b", "0000"), None),
        ("", "cloud: china\n", None),
    ],
)
def test_environments_that_do_not_say_their_tenant_may_be_of_one(
    project: Callable[..., Path], dev: str, prod: str, severity: str | None
) -> None:
    found = clashes(project(dev=f"{dev}apps: {{a: {{}}}}\n", prod=f"{prod}apps: {{a: {{}}}}\n"), "dev", "prod")
    assert [f": {severity}: " in problem for problem in found] == ([True] if severity else [])
    assert all(problem.endswith("if the two are of different tenants, say `tenant` in both files") for problem in found)


def test_a_file_with_errors_is_compared_all_the_same(project: Callable[..., Path]) -> None:
    root = project(dev=f"{TENANT}apps: {{a: {{}}}}\n", prod=f"{TENANT}clod: x\napps: {{a: {{protect: 1}}}}\n")
    assert len(clashes(root, "dev", "prod")) == 1
