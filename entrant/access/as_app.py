"""Grants tried as the app itself: calls that return evidence, or raise `EntrantError`, `Untried` or `Unknowable`."""

from collections.abc import Callable, Sequence

from entrant import http
from entrant.access import monitor
from entrant.errors import RefusedError
from entrant.facts.clouds import Cloud
from entrant.facts.roles import RolePermission, find_role
from entrant.facts.scopes import Scope, is_guid
from entrant.outputs import Grant
from entrant.tokens import credentials

_PERMISSIONS_VERSION = "2022-04-01"


class Untried(Exception):
    """A trial that may not be made; the message says what was seen in its place."""


class Unknowable(Exception):
    """A trial as the app that cannot tell; the message says why."""


def role(cloud: Cloud, token: Callable[[str], credentials.Token], grant: Grant, scope: Scope) -> Callable[[], str]:
    """Asks Resource Manager for the permissions of a grant's role at its scope."""

    def attempt() -> str:
        if grant.conditional:
            raise Unknowable("a conditional assignment: Resource Manager does not list what a condition lets through")
        url = http.address(cloud.resource_manager, f"{scope.id.rstrip('/')}/providers/Microsoft.Authorization")
        query, bearer = {"api-version": _PERMISSIONS_VERSION}, token("arm").access_token
        role = find_role(grant.role_definition_id)
        if role is not None:
            wanted: Sequence[RolePermission] = role.permissions
        else:
            try:
                custom = http.get_json(f"{url}/roleDefinitions/{grant.role_definition_id}", token=bearer, params=query)
            except RefusedError as error:
                if error.status != 403:
                    raise
                raise Unknowable("a custom role, whose definition the app may not read") from error
            wanted = [RolePermission.of(entry) for entry in custom["properties"]["permissions"]]
        answer = http.get_json(f"{url}/permissions", token=bearer, params=query)
        held = {_key(RolePermission.of(entry)) for entry in answer.get("value", ())}
        if any(_key(block) not in held for block in wanted):
            raise RefusedError(
                f"Resource Manager does not list the permissions of {grant.role} at {scope.id}",
                status=403,
                code="AuthorizationFailed",
            )
        return "Resource Manager lists the role's permissions at the scope"

    return attempt


def _key(block: RolePermission) -> tuple[frozenset[str], ...]:
    parts = (block.actions, block.not_actions, block.data_actions, block.not_data_actions)
    return tuple(frozenset(pattern.lower() for pattern in part) for part in parts)


def query(cloud: Cloud, token: Callable[[str], credentials.Token], scope: Scope) -> Callable[[], str]:
    """Asks a workspace a question."""

    def attempt() -> str:
        monitor.query_logs(cloud, token("logs").access_token, scope.id, "print proof = 1")
        return "a trial query was answered"

    return attempt


def insights(cloud: Cloud, token: Callable[[str], credentials.Token], scope: Scope) -> Callable[[], str]:
    """Asks a component of Application Insights a question."""

    def attempt() -> str:
        known = monitor.application_id(cloud, token("arm").access_token, scope.id)
        monitor.query_insights(cloud, token("insights").access_token, known, "print proof = 1")
        return "a trial query was answered"

    return attempt


def metric(
    cloud: Cloud, token: Callable[[str], credentials.Token], scope: Scope, role: Callable[[], str], write: bool
) -> Callable[[], str]:
    """Sends a metric, or with `write` false says what is known without one."""

    def attempt() -> str:
        if not write:
            raise Untried(f"{role()}; only a metric that is sent proves more: --probe=write sends one")
        bearer = token("metrics").access_token
        body = monitor.metric("proof", 1)
        region = None
        if "{region}" in cloud.metrics:
            region = _region(cloud, token("arm").access_token, scope)
        monitor.send_metrics(cloud, bearer, scope.id, [body], region=region)
        return "a metric was accepted"

    return attempt


def _region(cloud: Cloud, bearer: str, scope: Scope) -> str:
    try:
        url = http.address(cloud.resource_manager, scope.id)
        found = http.get_json(url, token=bearer, params={"api-version": "2021-04-01"})
    except RefusedError as error:
        if error.status != 403:
            raise
        raise Unknowable(f"the region of {scope.name} is not readable for the app ({error.code})") from error
    return str(found["location"])


def app_role(token: Callable[[str], credentials.Token], audience: str, name: str, api: str) -> Callable[[], str]:
    """Looks for a permission in a token of its API."""

    def attempt() -> str:
        if is_guid(name):
            raise Unknowable("a token names permissions, and this one is known by its id alone")
        claims = token(audience).claims
        if not claims:
            raise Unknowable(f"a token for {api} is not one that can be read")
        roles = claims.get("roles")
        if not isinstance(roles, list) or name not in roles:
            raise RefusedError(f"the token for {api} has no role {name}", status=403, code=None)
        return "it is in the token"

    return attempt
