"""What a PATCH does to each complex property of Microsoft Graph's objects: merged or replaced, as docs/local-azure.md says."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from local_azure.graph import federated, types
from local_azure.graph.context import KINDS
from tests.local_azure.conftest import Client

PAGE = Path(__file__).parents[2] / "docs" / "local-azure.md"
TABLE: dict[str, str] = dict(re.findall(r"^\| (\w+\.[\w.]+) \| (merged|replaced) \|", PAGE.read_text("utf-8"), re.M))
EXPRESSION = "federatedIdentityCredential.claimsMatchingExpression"
NEVER_SHOWN = "user.passwordProfile"
OPEN: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "application.authenticationBehaviors": (
        {"blockAzureADGraphAccess": True},
        {"removeUnverifiedEmailClaim": True},
        {"blockAzureADGraphAccess": True, "removeUnverifiedEmailClaim": True},
    ),
    "application.onPremisesPublishing": (
        {"externalUrl": "https://x.example/", "isHttpOnlyCookieEnabled": True},
        {"externalUrl": None},
        {"isHttpOnlyCookieEnabled": True},
    ),
    "application.requestSignatureVerification": (
        {"isSignedRequestRequired": True},
        {"allowedWeakAlgorithms": "rsaSha1"},
        {"isSignedRequestRequired": True, "allowedWeakAlgorithms": "rsaSha1"},
    ),
    "application.servicePrincipalLockConfiguration": (
        {"isEnabled": True},
        {"allProperties": True},
        {"isEnabled": True, "allProperties": True},
    ),
    "servicePrincipal.customSecurityAttributes": (
        {"Engineering": {"Level": "1", "Old": "x"}},
        {"Engineering": {"Team": "logs", "Old": None}},
        {"Engineering": {"Level": "1", "Team": "logs"}},
    ),
}
"""What is set first, what is patched then, and what is there at the end, where the schema does not list the properties."""
PATHS = {
    "application": "/beta/applications",
    "servicePrincipal": "/beta/servicePrincipals",
    "group": "/beta/groups",
    "user": "/beta/users",
}


def complex_properties(properties: Mapping[str, types.Type], owner: str) -> Iterator[tuple[str, types.Complex]]:
    """Every complex property that can be written, by its path."""
    for name, spec in properties.items():
        if isinstance(spec, types.Complex) and not spec.read_only:
            yield f"{owner}.{name}", spec
            yield from complex_properties(spec.of, f"{owner}.{name}")


COMPLEX = {
    path: spec
    for kind, properties in [
        *((kind.name, kind.of("beta")) for kind in KINDS.values()),
        ("federatedIdentityCredential", federated.PROPERTIES),
    ]
    for path, spec in complex_properties(properties, kind)
    if path != NEVER_SHOWN
}


def sample(spec: types.Type) -> Any:
    """A value of this type that is not its default."""
    match spec:
        case types.Many():
            return [sample(spec.of)]
        case types.Complex():
            return {name: sample(inner) for name, inner in spec.of.items() if not inner.read_only}
        case types.Bool():
            return True
        case types.Int():
            return 2
        case types.Guid():
            return str(uuid.uuid4())
        case types.Str(options=(first, *_)):
            return first
        case _:
            return "x"


@pytest.fixture(scope="module")
def objects(deployer: Client) -> dict[str, str]:
    """The path of an object of each kind."""
    name = uuid.uuid4().hex
    application = deployer.call("POST", PATHS["application"], {"displayName": name}).json()
    domain = deployer.graph("GET", "/domains")["value"][0]["id"]
    group = {"displayName": name, "mailNickname": name, "mailEnabled": False, "securityEnabled": True}
    user = {
        "accountEnabled": True,
        "displayName": name,
        "mailNickname": name,
        "passwordProfile": {"password": name},
        "userPrincipalName": f"{name}@{domain}",
    }
    bodies = {"servicePrincipal": {"appId": application["appId"]}, "group": group, "user": user}
    made = {kind: deployer.call("POST", PATHS[kind], body).json()["id"] for kind, body in bodies.items()}
    return {kind: f"{PATHS[kind]}/{key}" for kind, key in (made | {"application": application["id"]}).items()}


def test_the_page_says_of_each_complex_property_what_a_patch_does() -> None:
    assert sorted(TABLE) == sorted(COMPLEX)


@pytest.mark.parametrize("path", sorted(set(TABLE) - {EXPRESSION}))
def test_a_patch_changes_a_complex_property_as_documented(deployer: Client, objects: dict[str, str], path: str) -> None:
    kind, *names = path.split(".")
    spec = COMPLEX[path]
    if path in OPEN:
        before, change, merged = OPEN[path]
        untouched: dict[str, Any] = {}
    else:
        before = sample(spec)
        last = list(before)[-1]
        change = {last: sample(spec.of[last])} if len(before) > 1 else {}
        merged, untouched = before | change, types.defaults(spec.of)

    def patch(value: dict[str, Any]) -> dict[str, Any]:
        body: Any = value
        for name in reversed(names):
            body = {name: body}
        response = deployer.call("PATCH", objects[kind], body)
        assert response.status_code == 204, response.text
        found: Any = deployer.call("GET", objects[kind]).json()
        for name in names:
            found = found[name]
        return dict(found)

    assert patch(before).items() >= before.items(), "set"
    shown = patch(change)
    assert shown.items() >= (merged if TABLE[path] == "merged" else untouched | change).items()


def test_a_claims_expression_is_replaced_whole(deployer: Client, objects: dict[str, str]) -> None:
    base = f"{objects['application']}/federatedIdentityCredentials"
    expression = {"languageVersion": 1, "value": "claims['sub'] matches 'a'"}
    body = {
        "name": "any",
        "issuer": "https://token.actions.githubusercontent.com",
        "audiences": ["a"],
        "claimsMatchingExpression": expression,
    }
    path = f"{base}/{deployer.call('POST', base, body).json()['id']}"
    wrong = deployer.call("PATCH", path, {"claimsMatchingExpression": {"value": "claims['sub'] matches 'b'"}})
    assert (wrong.status_code, "claimsMatchingExpression.languageVersion" in wrong.text) == (400, True)
    changed = {**expression, "value": "claims['sub'] matches 'b'"}
    assert deployer.call("PATCH", path, {"claimsMatchingExpression": changed}).status_code == 204
    assert deployer.call("GET", path).json()["claimsMatchingExpression"] == changed
    plain = {"claimsMatchingExpression": None, "subject": "repo:a/b:environment:c"}
    assert deployer.call("PATCH", path, plain).status_code == 204
    assert deployer.call("GET", path).json()["claimsMatchingExpression"] is None


def test_optional_claims_go_with_an_empty_object(deployer: Client, objects: dict[str, str]) -> None:
    """That is how the azuread plugin removes them."""
    deployer.call("PATCH", objects["application"], {"optionalClaims": {"idToken": [{"name": "upn"}]}})
    assert deployer.call("PATCH", objects["application"], {"optionalClaims": {}}).status_code == 204
    claims = deployer.call("GET", objects["application"]).json()["optionalClaims"]
    assert claims == {"accessToken": [], "idToken": [], "saml2Token": []}
