"""Every setting of a registration and service principal that an operation changes or removes is a line of the review."""

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import local_azure
from entrant import changes
from entrant.review import page, reviewer
from entrant.review.snapshot import flat
from tests.conftest import Project
from tests.entrant.test_changes import event, state
from tests.test_identity import Stack

ROLE, SCOPE = "11111111-2222-4333-8444-555555555555", "11111111-2222-4333-8444-666666666666"
CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
BEFORE: dict[str, tuple[str, str]] = {
    "claim": ("optional_claims: {id_token: [{name: upn}]}", "optionalClaims.idTokens[upn]"),
    "one-claim-of-two": (
        "optional_claims: {access_token: [{name: upn}, {name: email}]}",
        "optionalClaims.accessTokens[upn]",
    ),
    "claim-with-more": (
        "optional_claims: {saml2_token: [{name: upn, essential: true, additional_properties: [emit_as_roles]}]}",
        "optionalClaims.saml2Tokens[upn]",
    ),
    "role": (
        f"app_roles: {{Read: {{id: {ROLE}, description: d, allowed: [User], enabled: false}}}}",
        "appRoles[Read]",
    ),
    "scope": (
        f"api: {{scopes: {{Show: {{id: {SCOPE}, description: d, enabled: false}}}}}}",
        "api.oauth2PermissionScopes[Show]",
    ),
    "implicit-grant": ("web: {implicit_grant: {id_tokens: true}}", "web.implicitGrant.idTokenIssuanceEnabled"),
    "mapped-claims": ("api: {mapped_claims: true}", "api.mappedClaimsEnabled"),
    "fallback": ("public_client: {fallback: true}", "fallbackPublicClientEnabled"),
    "audience": ("sign_in_audience: AzureADMultipleOrgs", "signInAudience"),
    "group-claims": ("group_claims: [SecurityGroup]", "groupMembershipClaims[SecurityGroup]"),
    "spa": ("spa: {redirect_uris: [https://s.example.com/]}", "singlePageApplication.redirectUris[https://s.example.com/]"),
    "link": ("links: {support: https://s.example.com}", "supportUrl"),
    "known": (f"api: {{known_clients: [{CLI}]}}", f"knownClients[{CLI}]"),
    "tag": ("tags: [one]", "tags[one]"),
    "disabled": ("service_principal: {enabled: false}", "servicePrincipal.accountEnabled"),
    "assignment": ("service_principal: {assignment_required: true}", "servicePrincipal.appRoleAssignmentRequired"),
    "emails": (
        "service_principal: {notification_emails: [a@example.com]}",
        "servicePrincipal.notificationEmailAddresses[a@example.com]",
    ),
}  # fmt: skip
"""By app: what the file says before, and the path of the line that says that it goes."""
AFTER = {"one-claim-of-two": "optional_claims: {access_token: [{name: email}]}"}
"""What the file says afterwards; of the others nothing."""
REGISTRATION = {
    "optionalClaims": {"idToken": [{"name": "upn"}], "accessToken": [{"name": "groups", "essential": True}]},
    "appRoles": [
        {"id": ROLE, "value": "Read", "displayName": "Read", "description": "d", "allowedMemberTypes": ["User"],
         "isEnabled": False},
    ],
    "web": {"implicitGrantSettings": {"enableIdTokenIssuance": True}, "redirectUris": ["https://a.example.com/"]},
    "api": {"acceptMappedClaims": True, "knownClientApplications": [CLI]},
    "isFallbackPublicClient": True,
    "groupMembershipClaims": "SecurityGroup",
}  # fmt: skip
TAKEN_AWAY = {
    "optionalClaims.idTokens",
    "optionalClaims.accessTokens",
    "appRoles",
    "web.implicitGrant.idTokenIssuanceEnabled",
    "web.redirectUris",
    "api.mappedClaimsEnabled",
    "api.knownClientApplications",
    "fallbackPublicClientEnabled",
    "groupMembershipClaims",
}
"""What a file that says nothing takes away from it, as a preview calls it."""


@pytest.fixture(scope="module")
def stack(project: Project) -> Iterator[Stack]:
    """A stack for all tests of this module."""
    made = Stack(project)
    yield made
    local_azure.stop(made.rehearsal.azure)


def shown(stack: Stack) -> list[str]:
    """The review of the file as it is, as text and as Markdown."""
    return [
        stack.project.entrant("review", "-s", stack.name, "--format", form, **stack.settings).stdout
        for form in ("text", "markdown")
    ]


def test_an_ordinary_change_shows_each_setting_that_goes(stack: Stack) -> None:
    def text(settings: dict[str, str]) -> str:
        return "apps:\n" + "".join(
            f"  {app}:\n    display_name: {app}\n    {settings.get(app, '')}\n" for app in BEFORE
        )

    stack.up(text({app: line for app, (line, _) in BEFORE.items()}))
    code, review = stack.review(text(AFTER))
    assert code == 0, review["errors"]
    paths = {app: {each["path"] for each in review["settings"] if each["app"] == app} for app in BEFORE}
    missing = {app: paths[app] for app, (_, path) in BEFORE.items() if path not in paths[app]}
    assert not missing
    for words in shown(stack):
        assert [path for _, path in BEFORE.values() if path.split("[")[0] not in words] == []


def test_taking_over_shows_each_setting_that_goes_after_a_refused_up_too(stack: Stack) -> None:
    """The refused `up` leaves the import in the state: the next review is of an update."""
    graph = stack.client.graph
    app = graph("POST", "/applications", {"displayName": "Legacy", **REGISTRATION})
    principal = graph("POST", "/servicePrincipals", {"appId": app["appId"]})
    graph("PATCH", f"/servicePrincipals/{principal['id']}", {"appRoleAssignmentRequired": True})
    before = graph("GET", f"/applications/{app['id']}")
    text = (
        "apps:\n  legacy:\n    display_name: Legacy\n    on_remove: keep\n"
        f"    adopt: {{application: {app['id']}, service_principal: {principal['id']}}}\n"
    )
    stack.up("apps: {other: {}}\n")
    allowed = f"{text}    change_adopted: true\n"
    code, first = stack.review(allowed)
    assert code == 0, first["errors"]
    paths = {each["path"] for each in first["taken_over"]}
    assert paths >= TAKEN_AWAY | {"service_principal.appRoleAssignmentRequired"}
    stack.write(text)
    assert stack.run("up", "--yes", "--skip-preview")[0] != 0
    assert graph("GET", f"/applications/{app['id']}") == before
    code, second = stack.review(allowed)
    assert code == 0, second["errors"]
    assert "update" in {each["operation"] for each in second["resources"]}, "the import is in the state"
    paths = {each["path"].partition("[")[0] for each in (*second["settings"], *second["taken_over"])}
    assert paths >= TAKEN_AWAY
    for words in shown(stack):
        assert "optionalClaims.idTokens[upn]" in words and "is taken away" in words


# ------------------------------------------------------------------------------------------------------- without the engine

VALUES: list[Any] = [
    None,
    True,
    False,
    2,
    "text",
    ["a"],
    ["a", "b"],
    [{"name": "upn"}],
    [{"name": "upn"}, {"name": "email"}],
    [{"name": "upn", "essential": True}],
    [{"name": "upn", "essential": False}],
    [{"name": "upn", "additionalProperties": ["emit_as_roles"]}],
    [{"name": "upn", "source": "user"}, {"name": "upn"}],
    [{"id": "1", "enabled": True}],
    [{"id": "1", "enabled": False}],
    [{"essential": True}],
    {"inner": [{"name": "upn"}]},
    {"inner": {"value": [{"value": "a"}]}},
    {"inner": {"enabled": False}},
]


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(VALUES, 2)))
def test_what_differs_has_a_line(old: Any, new: Any) -> None:
    assert dict(flat({"setting": old})) != dict(flat({"setting": new}))


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        (
            [{"name": "a"}, {"name": "b"}],
            [{"name": "b"}, {"name": "a"}],
            {"setting[0].name": "update"},
        ),  # the order alone
        ([{"name": "a"}], [], {"setting": "delete"}),
        ([{"name": "a"}], None, {"setting[0]": "delete"}),
        ({"inner": {}}, None, {"setting.inner": "delete"}),  # empty, and yet the provider sees a difference
        ([], None, {"setting": "delete"}),
        (False, None, {"setting": "delete"}),
        (None, False, {"setting": "add"}),
    ],
)
@pytest.mark.parametrize("kind", ["application:Application", "servicePrincipal:ServicePrincipal"])
def test_what_a_provider_changes_has_a_line(old: Any, new: Any, detail: dict[str, str], kind: str) -> None:
    urn = f"urn:pulumi:dev::entrant::entrant:index:AppIdentity$azuread:index/{kind}::log-reader"
    difference = {path: {"diffKind": how, "inputDiff": True} for path, how in detail.items()}
    before, after = state(urn, setting=old), state(urn, setting=new)
    registration = (
        "urn:pulumi:dev::entrant::entrant:index:AppIdentity$azuread:index/application:Application::log-reader"
    )
    same = state(registration)
    events = [event("update", urn, old=before, new=after, detailedDiff=difference)]
    if urn != registration:
        events.append(event("same", registration, old=same, new=same))
    review = reviewer.of_preview("dev", changes.read(events), None, now=dt.datetime.now(dt.UTC))
    assert [each.app for each in review.settings if "etting" in each.path], review
    assert "etting" in "".join(map(str, page.parts(review)))


def test_an_entry_that_goes_from_a_list_is_not_told_as_the_one_that_moves_up() -> None:
    old, new = state(web={"redirectUris": ["https://a", "https://b"]}), state(web={"redirectUris": ["https://b"]})
    difference = {"web.redirectUris[0]": {"diffKind": "delete", "inputDiff": True}}
    (change,) = changes.read([event("update", old=old, new=new, detailedDiff=difference)]).planned
    assert [(each.old, each.new) for each in change.differences] == [("https://a", None)]
