"""Issuers of tokens that federated credentials trust: how the platforms write them.

Microsoft Entra compares a token's `iss` with the credential's issuer as text, slashes and case included ("Workload identity
federation"). Sources: each platform's page about OpenID Connect with Azure, or its discovery document.
"""

import re

_HOSTED = r"https://(?:{})"
_WITHOUT_SLASH = re.compile(
    _HOSTED.format(
        "|".join(
            (
                r"token\.actions\.githubusercontent\.com(?:/[a-z0-9_-]+)?",  # GitHub Actions; an enterprise's own
                r"token\.actions\.[a-z0-9-]+\.ghe\.com",
                r"gitlab\.com",
                r"app\.terraform\.io",
                r"api\.pulumi\.com/oidc",
                r"vstoken\.dev\.azure\.com/[0-9a-f-]{36}",
                r"login\.microsoftonline\.(?:com|us)/[^/]+/v2\.0",
                r"login\.partner\.microsoftonline\.cn/[^/]+/v2\.0",
                r"accounts\.google\.com",
                r"container\.googleapis\.com/v1/projects/.+",
                r"oidc\.eks\.[a-z0-9-]+\.amazonaws\.com/id/[0-9a-f]+",
                r"oidc\.circleci\.com/org/[0-9a-f-]{36}",
                r"agent\.buildkite\.com",
                r"api\.bitbucket\.org/2\.0/workspaces/[^/]+/pipelines-config/identity/oidc",
                r"oidc\.vercel\.com(?:/[^/]+)?",
                r"oidc\.fly\.io/[^/]+",
                r"[a-z0-9-]+\.app\.spacelift\.io",
            )
        )
    ),
    re.IGNORECASE,
)
_WITH_SLASH = re.compile(
    _HOSTED.format(
        "|".join(
            (
                r"[a-z0-9]+\.oic\.prod-aks\.azure\.com/[0-9a-f-]{36}/[0-9a-f-]{36}",  # Azure Kubernetes Service
                r"sts\.windows\.net/[0-9a-f-]{36}",  # Microsoft Entra ID, tokens of version 1
                r"[a-z0-9-]+(?:\.[a-z0-9-]+)?\.auth0\.com",
            )
        )
    ),
    re.IGNORECASE,
)


def as_issued(issuer: str) -> str:
    """An issuer as its platform writes it into tokens, where that is known; else as it is."""
    bare = issuer.rstrip("/")
    scheme, _, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    lowered = f"{scheme.lower()}://{host.lower()}{slash}{path}"
    if _WITHOUT_SLASH.fullmatch(bare):
        return lowered
    return f"{lowered}/" if _WITH_SLASH.fullmatch(bare) else issuer
