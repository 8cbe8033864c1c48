"""The rules: each a function over one neutral thing, so that it judges environments and Pulumi resources alike.

A rule's name, what it finds and how much it matters by default are in `config.policy`; here is how it finds it, and the remedy.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeAlias, TypeVar, get_type_hints

from entrant.config import policy
from entrant.facts import risks
from entrant.facts.directory_roles import DirectoryRole
from entrant.facts.roles import RolePermission
from entrant.facts.scopes import Scope
from entrant.words import counted


@dataclass(frozen=True, slots=True)
class RoleAssignment:
    """A role at a scope, or a role definition by itself (`scope` None). `permissions` are those of a custom role."""

    role: str
    guid: str
    scope: Scope | None = None
    conditioned: bool = False
    permissions: tuple[RolePermission, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphPermission:
    """A permission of Microsoft Graph that an app asks for or has."""

    name: str


@dataclass(frozen=True, slots=True)
class SecretLifetime:
    """A client secret: how long it lives, and the longest that is allowed."""

    lifetime: timedelta
    allowed: timedelta = risks.SECRET_LIFETIME


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an app can prove itself with: the number of its secrets, the names of its federated credentials."""

    secrets: int
    federated: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Owners:
    """The number of a registration's owners that are named."""

    count: int


@dataclass(frozen=True, slots=True)
class Audience:
    """Whose accounts can sign in, as Microsoft Graph says it (`AzureADMultipleOrgs`)."""

    value: str


@dataclass(frozen=True, slots=True)
class RedirectUri:
    """Where a sign-in may return to."""

    uri: str


@dataclass(frozen=True, slots=True)
class ImplicitGrant:
    """Whether access tokens come straight from the authorization endpoint."""

    access_tokens: bool


Thing: TypeAlias = (
    RoleAssignment
    | DirectoryRole
    | GraphPermission
    | SecretLifetime
    | Credentials
    | Owners
    | Audience
    | RedirectUri
    | ImplicitGrant
)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: `check` says what is wrong with a thing of the kind `judges`, or None.

    `at` is the key that the fault is about, where the thing is a mapping in an environment's file.
    """

    name: str
    remediation: str
    judges: type
    check: Callable[[Any], str | None]
    at: str | None = None

    @property
    def description(self) -> str:
        """What it finds."""
        return policy.meanings()[self.name]


_T = TypeVar("_T")
_rules: dict[str, Rule] = {}


def _rule(
    remediation: str, *, at: str | None = None
) -> Callable[[Callable[[_T], str | None]], Callable[[_T], str | None]]:
    """Make a rule of a function: its name with hyphens, judging what its one argument is."""

    def made(check: Callable[[_T], str | None]) -> Callable[[_T], str | None]:
        name = check.__name__.replace("_", "-")
        hints = get_type_hints(check)
        hints.pop("return")
        [judges] = hints.values()
        _rules[name] = Rule(name, remediation, judges, check, at)
        return check

    return made


@_rule("give the narrower role that the work needs, or constrain what may be assigned with a `condition`", at="role")
def privileged_role(assignment: RoleAssignment) -> str | None:
    """Owner and its like, and custom roles that can assign roles; a condition can constrain them."""
    return risks.of_role(assignment.role, assignment.guid, assignment.permissions, conditioned=assignment.conditioned)


@_rule("assign it at the resource or the resource group that the work is about", at="scope")
def wide_scope(assignment: RoleAssignment) -> str | None:
    """A subscription or more."""
    return risks.of_scope(assignment.role, assignment.scope) if assignment.scope else None


@_rule("give a role without that label, a custom one with the few permissions needed, or limit it to a unit")
def privileged_directory_role(role: DirectoryRole) -> str | None:
    """Microsoft's own label."""
    return risks.of_directory_role(role)


@_rule("ask for the narrower permission that the calls need, such as one that ends in .OwnedBy or .Selected")
def privileged_permission(permission: GraphPermission) -> str | None:
    """Permissions that widen themselves."""
    return risks.of_permission(permission.name)


@_rule("use a federated credential, or a certificate whose private key never leaves its store")
def client_secret(credentials: Credentials) -> str | None:
    """Any at all."""
    return "it has a client secret" if credentials.secrets else None


@_rule("let the consumer exchange its own token instead, and take the secret away")
def avoidable_secret(credentials: Credentials) -> str | None:
    """One beside a federated credential."""
    if not credentials.secrets or not credentials.federated:
        return None
    first, *others = credentials.federated
    more = f" and {len(others)} more" if others else ""
    return f"it has a client secret although it trusts tokens of another issuer ({first}{more})"


@_rule("rotate it more often: shorten `every` or `overlap`, or the end date")
def secret_lifetime(secret: SecretLifetime) -> str | None:
    """`limits.secret_lifetime`, else what Microsoft's portal recommends."""
    if secret.lifetime <= secret.allowed:
        return None
    days = -(-secret.lifetime // timedelta(days=1))
    return f"a client secret lives {counted(days, 'day')}; {secret.allowed.days} are allowed"


@_rule("name who answers for it under `owners`; `deployer` is whoever runs Pulumi")
def missing_owner(owners: Owners) -> str | None:
    """None at all."""
    return None if owners.count else "the registration has no owner"


@_rule("use `AzureADMyOrg`, unless other organizations are really meant to sign in")
def multi_tenant(audience: Audience) -> str | None:
    """Anything but the one tenant."""
    return None if audience.value == "AzureADMyOrg" else f"accounts of other tenants can sign in ({audience.value})"


@_rule("list each redirect URI in full; state that differs belongs into the `state` parameter")
def wildcard_redirect(redirect: RedirectUri) -> str | None:
    """A token could be sent to whoever holds any matching host or path."""
    return f"{redirect.uri} has a wildcard: codes and tokens go to whatever matches it" if "*" in redirect.uri else None


@_rule("use https; http is for localhost, 127.0.0.1 and [::1] alone")
def http_redirect(redirect: RedirectUri) -> str | None:
    """Codes and tokens in clear."""
    return f"{redirect.uri} is not encrypted" if risks.is_unencrypted(redirect.uri) else None


@_rule("use the authorization code flow with PKCE: `spa.redirect_uris`")
def implicit_grant(grant: ImplicitGrant) -> str | None:
    """For access tokens; ID tokens are another matter."""
    return "the implicit grant for access tokens is deprecated" if grant.access_tokens else None


RULES: Final[dict[str, Rule]] = {name: _rules[name] for name in policy.RULES}
"""Every rule by its name."""


def broken(thing: Thing) -> Iterator[tuple[Rule, str]]:
    """The rules that a thing breaks, each with what is wrong."""
    for rule in RULES.values():
        if isinstance(thing, rule.judges):
            message = rule.check(thing)
            if message is not None:
                yield rule, message
