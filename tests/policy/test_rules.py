"""Each rule lets something pass and finds something, in a thing and in an environment's file."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from entrant import config, policy
from entrant.config.policy import Policy
from entrant.facts.directory_roles import find_directory_role
from entrant.facts.roles import RolePermission, find_role
from entrant.facts.scopes import parse_scope
from entrant.policy import RULES, rules

SUBSCRIPTION = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg"


class Case(NamedTuple):
    """Things that pass, things that do not, and an app in YAML that does not, with the place of its finding."""

    passes: tuple[rules.Thing, ...]
    fails: tuple[rules.Thing, ...]
    app: str
    place: str


def role(name: str, scope: str | None = GROUP, **more: bool | tuple[RolePermission, ...]) -> rules.RoleAssignment:
    found = find_role(name)
    at = parse_scope(scope) if scope else None
    return rules.RoleAssignment(name, found.id if found else "", at, **more)  # type: ignore[arg-type]


def directory_role(name: str) -> rules.Thing:
    found = find_directory_role(name)
    assert found
    return found


ASSIGNS = (RolePermission(("Microsoft.Authorization/*",), ()),)
READS = (RolePermission(("Microsoft.Authorization/*",), ("Microsoft.Authorization/*/write",)),)
MEANT = "allow_privileged: true\n    reason: SEC-77\n    "
CASES: dict[str, Case] = {
    "privileged-role": Case(
        (role("Reader"), role("Owner", conditioned=True), role("custom", permissions=READS)),
        (role("Owner"), role("User Access Administrator", scope=None), role("custom", permissions=ASSIGNS)),
        MEANT + f"roles: [{{role: Owner, scope: {GROUP}}}]",
        "5:20",
    ),
    "wide-scope": Case(
        (role("Reader"), role("Reader", None), role("Reader", f"{GROUP}/providers/Microsoft.Compute/disks/d")),
        (
            role("Reader", "/"),
            role("Reader", SUBSCRIPTION),
            role("Reader", "/providers/Microsoft.Management/managementGroups/mg"),
        ),
        MEANT + f"roles: [{{role: Reader, scope: {SUBSCRIPTION}}}]",
        "5:35",
    ),
    "privileged-directory-role": Case(
        (directory_role("Message Center Reader"),),
        (directory_role("Global Administrator"),),
        MEANT + "directory_roles: [{role: Global Administrator}]",
        "5:30",
    ),
    "privileged-permission": Case(
        (rules.GraphPermission("User.Read.All"),),
        (rules.GraphPermission("Directory.ReadWrite.All"),),
        MEANT
        + "permissions: [{api: Microsoft Graph, application: [RoleManagement.ReadWrite.Directory], consent: true}]",
        "5:56",
    ),
    "client-secret": Case(
        (rules.Credentials(0, ("github",)),), (rules.Credentials(1),), "secret: {every: 90d}", "3:13"
    ),
    "avoidable-secret": Case(
        (rules.Credentials(1), rules.Credentials(0, ("github",))),
        (rules.Credentials(1, ("github",)), rules.Credentials(2, ("github", "gitlab"))),
        "federated: [{github: {repository: contoso/obs, branch: main}}]\n    secret: {every: 90d}",
        "4:13",
    ),
    "secret-lifetime": Case(
        (
            rules.SecretLifetime(timedelta(days=180)),
            rules.SecretLifetime(timedelta(days=1)),
            rules.SecretLifetime(timedelta(days=300), timedelta(days=365)),
        ),
        (
            rules.SecretLifetime(timedelta(days=180, seconds=1)),
            rules.SecretLifetime(timedelta(days=40), timedelta(days=30)),
        ),
        "secret: {every: 300d}",
        "3:13",
    ),
    "missing-owner": Case((rules.Owners(1),), (rules.Owners(0),), "tags: [a]", "2:3"),
    "multi-tenant": Case(
        (rules.Audience("AzureADMyOrg"),),
        (rules.Audience("AzureADMultipleOrgs"), rules.Audience("PersonalMicrosoftAccount")),
        "sign_in_audience: AzureADMultipleOrgs",
        "3:23",
    ),
    "wildcard-redirect": Case(
        (rules.RedirectUri("https://a.example/callback?next=1"),),
        (rules.RedirectUri("https://*.example/"), rules.RedirectUri("https://a.example/*")),
        "web: {redirect_uris: [https://a.example/, https://*.b.example/]}",
        "3:47",
    ),
    "http-redirect": Case(
        (
            rules.RedirectUri("https://a.example/"),
            rules.RedirectUri("http://localhost:5000/signin"),
            rules.RedirectUri("http://127.0.0.1"),
            rules.RedirectUri("http://[::1]:8080/"),
            rules.RedirectUri("msal://callback"),
        ),
        (
            rules.RedirectUri("http://a.example/"),
            rules.RedirectUri("HTTP://a.example/"),
            rules.RedirectUri("http://localhost.example/"),
        ),
        "",  # refused when the file is read
        "",
    ),
    "implicit-grant": Case(
        (rules.ImplicitGrant(False),),
        (rules.ImplicitGrant(True),),
        "web: {implicit_grant: {access_tokens: true}}",
        "3:43",
    ),
}
FOUND_IN_FILES = [name for name, case in CASES.items() if case.app]


@pytest.fixture
def evaluate(tmp_path: Path) -> Callable[[str], list[policy.Violation]]:
    """Evaluates an environment `dev` with the given text."""

    def run(text: str) -> list[policy.Violation]:
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config" / "dev.yaml").write_text(text, "utf-8")
        report = config.check("dev", root=tmp_path)
        assert report.environment is not None, report.errors
        return policy.evaluate(report.environment, report)

    return run


def levels(level: str, *names: str) -> str:
    """The given rules at a level, all others off."""
    return "policy: {" + ", ".join(f"{name}: {level if name in names else 'off'}" for name in RULES) + "}\n"


def test_every_rule_has_a_case_a_description_and_a_remedy() -> None:
    assert list(CASES) == list(RULES) == [str(field.alias) for field in Policy.model_fields.values()]
    assert all(rule.description and rule.remediation for rule in RULES.values())


@pytest.mark.parametrize("name", CASES)
def test_a_rule_lets_pass_what_is_right(name: str) -> None:
    for thing in CASES[name].passes:
        assert isinstance(thing, RULES[name].judges)
        assert RULES[name].check(thing) is None, thing


@pytest.mark.parametrize("name", CASES)
def test_a_rule_says_what_is_wrong(name: str) -> None:
    for thing in CASES[name].fails:
        assert name in {rule.name for rule, message in rules.broken(thing) if message}, thing


@pytest.mark.parametrize(
    ("name", "thing", "says"),
    [
        ("client-secret", rules.Credentials(1), "it has a client secret"),
        (
            "avoidable-secret",
            rules.Credentials(1, ("github",)),
            "it has a client secret although it trusts tokens of another issuer (github)",
        ),
        (
            "avoidable-secret",
            rules.Credentials(1, ("github", "gitlab", "aks")),
            "it has a client secret although it trusts tokens of another issuer (github and 2 more)",
        ),
        (
            "secret-lifetime",
            rules.SecretLifetime(timedelta(days=180, seconds=1)),
            "a client secret lives 181 days; 180 are allowed",
        ),
        ("missing-owner", rules.Owners(0), "the registration has no owner"),
        (
            "multi-tenant",
            rules.Audience("AzureADMultipleOrgs"),
            "accounts of other tenants can sign in (AzureADMultipleOrgs)",
        ),
    ],
)
def test_a_rule_says_how_much_is_wrong(name: str, thing: rules.Thing, says: str) -> None:
    assert RULES[name].check(thing) == says


@pytest.mark.parametrize("name", FOUND_IN_FILES)
def test_a_rule_finds_the_value_in_the_file(name: str, evaluate: Callable[[str], list[policy.Violation]]) -> None:
    text = "apps:\n  a:\n    " + CASES[name].app + "\n"
    [finding] = evaluate(text + levels("error", name))
    assert (finding.app, finding.rule, finding.severity) == ("a", name, "error")
    assert finding.problem is not None
    assert finding.problem.place == f"config/dev.yaml:{CASES[name].place}"
    assert finding.message in finding.problem.message and finding.remediation in finding.problem.message


@pytest.mark.parametrize("name", FOUND_IN_FILES)
def test_the_environment_decides_how_much_a_rule_matters(
    name: str, evaluate: Callable[[str], list[policy.Violation]]
) -> None:
    text = "apps:\n  a:\n    " + CASES[name].app + "\n"
    assert [finding.severity for finding in evaluate(text + levels("warning", name))] == ["warning"]
    assert evaluate(text + levels("off")) == []


@pytest.mark.parametrize("name", CASES)
def test_a_level_that_is_not_named_is_the_rules_own(name: str) -> None:
    assert Policy().level(name) == (
        "off" if name == "client-secret" else Policy.model_fields[name.replace("-", "_")].default
    )


def test_a_sound_app_breaks_no_rule(evaluate: Callable[[str], list[policy.Violation]]) -> None:
    text = f"apps: {{a: {{owners: [deployer], secret: {{every: 90d}}, roles: [{{role: Reader, scope: {GROUP}}}]}}}}\n"
    assert evaluate(text) == []


def test_a_certificate_that_is_issued_here_is_no_client_secret(
    evaluate: Callable[[str], list[policy.Violation]],
) -> None:
    trust = "federated: [{github: {repository: contoso/obs, branch: main}}]"
    app = f"apps: {{a: {{owners: [deployer], certificates: {{signing: {{every: 700d}}}}, {trust}}}}}\n"
    assert evaluate(app + levels("error")) == []


def test_a_limit_of_the_environment_is_the_lifetime_that_is_allowed(
    evaluate: Callable[[str], list[policy.Violation]],
) -> None:
    app = "apps: {a: {owners: [deployer], secret: {every: 300d}}}\n"
    assert [finding.rule for finding in evaluate(app)] == ["secret-lifetime"]
    assert evaluate(app + "limits: {secret_lifetime: 365d}\n") == []


def test_a_privileged_grant_carries_the_reason_given(evaluate: Callable[[str], list[policy.Violation]]) -> None:
    text = "apps:\n  a:\n    owners: [deployer]\n    " + CASES["privileged-role"].app + "\n"
    [finding] = evaluate(text)
    assert finding.reason == "SEC-77"
    assert finding.problem is not None and '(reason given: "SEC-77")' in finding.problem.message


def test_without_a_report_findings_have_no_place_and_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "dev.yaml").write_text("apps: {a: {}}\n", "utf-8")
    [finding] = policy.evaluate(config.load("dev.yaml", root=tmp_path))
    assert (finding.rule, finding.problem) == ("missing-owner", None)
