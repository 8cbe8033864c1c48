"""Federated credentials: which tokens each preset trusts."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from entrant.config import Federated
from entrant.config.federated import Trust
from entrant.facts.issuers import as_issued

EXCHANGE = "api://AzureADTokenExchange"
GITHUB = "https://token.actions.githubusercontent.com"
PULUMI = "https://api.pulumi.com/oidc"


def federated(**settings: Any) -> Federated:
    return TypeAdapter(Federated).validate_python(settings)


@pytest.mark.parametrize(
    ("settings", "issuer", "subject", "audience"),
    [
        (
            {"github": {"repository": "contoso/obs", "environment": "dev"}},
            GITHUB,
            "repo:contoso/obs:environment:dev",
            EXCHANGE,
        ),
        (
            {"github": {"repository": "contoso/obs", "branch": "release/1"}},
            GITHUB,
            "repo:contoso/obs:ref:refs/heads/release/1",
            EXCHANGE,
        ),
        ({"github": {"repository": "contoso/obs", "tag": "v1"}}, GITHUB, "repo:contoso/obs:ref:refs/tags/v1", EXCHANGE),
        (
            {"github": {"repository": "contoso/obs", "pull_request": True}},
            GITHUB,
            "repo:contoso/obs:pull_request",
            EXCHANGE,
        ),
        (
            {
                "github": {
                    "repository": "octocat/my-repo",
                    "owner_id": 123456,
                    "repository_id": "456789",
                    "branch": "main",
                }
            },
            GITHUB,
            "repo:octocat@123456/my-repo@456789:ref:refs/heads/main",
            EXCHANGE,
        ),
        (
            {"github": {"repository": "contoso/obs", "branch": "main", "enterprise": "contoso"}},
            f"{GITHUB}/contoso",
            "repo:contoso/obs:ref:refs/heads/main",
            EXCHANGE,
        ),
        (
            {
                "azure_devops": {
                    "organization_id": "5f3b5e5e-6a31-4c08-9d8c-2f9d7d1c4c11",
                    "organization": "contoso",
                    "project": "My project",
                    "service_connection": "azure",
                }
            },
            "https://vstoken.dev.azure.com/5f3b5e5e-6a31-4c08-9d8c-2f9d7d1c4c11",
            "sc://contoso/My project/azure",
            EXCHANGE,
        ),
        (
            {
                "azure_devops": {
                    "issuer": "https://login.microsoftonline.com/t/v2.0",
                    "subject": "/eid1/c/pub/t/x/a/y/sc/z",
                }
            },
            "https://login.microsoftonline.com/t/v2.0",
            "/eid1/c/pub/t/x/a/y/sc/z",
            EXCHANGE,
        ),
        (
            {"gitlab": {"project": "group/sub/obs", "branch": "main"}},
            "https://gitlab.com",
            "project_path:group/sub/obs:ref_type:branch:ref:main",
            "https://gitlab.com",
        ),
        (
            {"gitlab": {"project": "group/obs", "tag": "v1", "url": "https://gitlab.example.com/"}},
            "https://gitlab.example.com",
            "project_path:group/obs:ref_type:tag:ref:v1",
            "https://gitlab.example.com",
        ),
        (
            {"kubernetes": {"issuer": "https://oidc.example.com/c1/", "namespace": "obs", "service_account": "reader"}},
            "https://oidc.example.com/c1/",
            "system:serviceaccount:obs:reader",
            EXCHANGE,
        ),
        (
            {"hcp_terraform": {"organization": "contoso", "workspace": "dev", "run_phase": "plan"}},
            "https://app.terraform.io",
            "organization:contoso:project:Default Project:workspace:dev:run_phase:plan",
            EXCHANGE,
        ),
        (
            {"pulumi_cloud": {"organization": "contoso", "environment": "obs/dev"}},
            PULUMI,
            "pulumi:environments:org:contoso:env:obs/dev",
            "azure:contoso",
        ),
        (
            {"pulumi_cloud": {"organization": "contoso", "environment": "dev"}},
            PULUMI,
            "pulumi:environments:org:contoso:env:dev",
            "contoso",
        ),
        (
            {"pulumi_cloud": {"organization": "contoso", "project": "obs", "stack": "dev", "operation": "update"}},
            PULUMI,
            "pulumi:deploy:org:contoso:project:obs:stack:dev:operation:update:scope:write",
            "contoso",
        ),
        ({"issuer": "https://i.example.com", "subject": "s", "audience": "a"}, "https://i.example.com", "s", "a"),
    ],
)
def test_a_preset_trusts_exactly_the_tokens_of_its_platform(
    settings: dict[str, Any], issuer: str, subject: str, audience: str
) -> None:
    assert federated(**settings).trust("public") == Trust(issuer, subject, audience)


def test_claims_stand_in_for_a_subject() -> None:
    trust = federated(issuer=GITHUB, claims="claims['sub'] matches 'repo:contoso/*'").trust("public")
    assert trust == Trust(GITHUB, None, EXCHANGE, "claims['sub'] matches 'repo:contoso/*'")


@pytest.mark.parametrize(
    ("cloud", "audience"),
    [("usgovernment", "api://AzureADTokenExchangeUSGov"), ("china", "api://AzureADTokenExchangeChina")],
)
def test_national_clouds_expect_audiences_of_their_own(cloud: str, audience: str) -> None:
    assert federated(github={"repository": "a/b", "branch": "main"}).trust(cloud).audience == audience


def test_an_audience_of_ones_own_replaces_the_presets() -> None:
    assert (
        federated(github={"repository": "a/b", "branch": "m"}, audience="api://x").trust("public").audience == "api://x"
    )


def test_a_credential_is_named_after_what_it_trusts_unless_it_has_a_name() -> None:
    assert (
        federated(github={"repository": "contoso/obs", "environment": "dev"}).key
        == "github-repo-contoso-obs-environment-dev"
    )
    assert federated(name="mine", github={"repository": "contoso/obs", "environment": "dev"}).key == "mine"
    long = federated(issuer="https://i.example.com", subject="s" * 500).key
    assert len(long) <= 120
    assert long != federated(issuer="https://i.example.com", subject="s" * 501).key


@pytest.mark.parametrize(
    ("environment", "subject"),
    [
        ("Production EU", "repo:contoso/obs:environment:Production EU"),
        ("prod:eu/1", "repo:contoso/obs:environment:prod%3Aeu/1"),
    ],
)
def test_an_environment_of_github_is_called_as_it_is(environment: str, subject: str) -> None:
    """Its name is the subject's as it stands, but for colons, which GitHub encodes."""
    trust = federated(github={"repository": "contoso/obs", "environment": environment}).trust("public")
    assert trust.subject == subject


@pytest.mark.parametrize(
    ("written", "issued"),
    [
        ("https://GitLab.com/", "https://gitlab.com"),
        ("https://token.actions.githubusercontent.com/Contoso/", "https://token.actions.githubusercontent.com/Contoso"),
        ("https://sts.windows.net/5f3b5e5e-6a31-4c08-9d8c-2f9d7d1c4c11", None),
        ("https://oidc.eks.eu-west-1.amazonaws.com/id/AB12/", "https://oidc.eks.eu-west-1.amazonaws.com/id/AB12"),
        ("https://contoso.eu.auth0.com", "https://contoso.eu.auth0.com/"),
        ("https://gitlab.example.com/", "https://gitlab.example.com/"),
        ("https://gitlab.com.example.com/", "https://gitlab.com.example.com/"),
    ],
)
def test_issuers_of_known_platforms_are_known_with_their_slashes(written: str, issued: str | None) -> None:
    assert as_issued(written) == (f"{written}/" if issued is None else issued)
