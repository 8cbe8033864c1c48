"""``/_local/…``: the switches of this local Azure, for its owner alone (bearer key in `admin.key`)."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable
from typing import Any, Literal, NoReturn

from entrant.facts.scopes import Scope, ScopeError, parse_scope
from local_azure import faults, generic, identities, management_groups, page
from local_azure.access import bearer
from local_azure.credentials import new_secret
from local_azure.graph.rights import GROUP, UNIT, USER
from local_azure.issuers import AUDIENCE, GITHUB
from local_azure.resources import key_of
from local_azure.seed import add_subscription
from local_azure.visits import ROUTES, refuse_strangers
from local_azure.wire import Call, Reply, is_guid, new_guid, refuse, utc
from local_azure.world import World

Doc = dict[str, Any]


def handle(world: World, call: Call, key: str, reset: Callable[[], None]) -> Reply | None:
    """Answer a request to ``/_local/…``; `None` for any other path. `reset` brings the first start back."""
    segments = call.segments
    if not segments or segments[0] != "_local":
        return None
    refuse_strangers(call)
    if (call.method, segments[1:]) == ("POST", ["visits", "redeem"]):
        return Reply(200, {"key": _redeemed(world, _body(call))})
    _demand_key(world, call, key)
    return _answer(world, call, reset)


def _demand_key(world: World, call: Call, key: str) -> None:
    """401 and 403 unless a request has the owner's key, or that of a visit and does what a visit may."""
    token = bearer(call) or ""
    if not hmac.compare_digest(token.encode(), key.encode()):
        if not world.visits.holds(token):
            refuse(401, "AdminKeyRequired", "Send the content of the state directory's admin.key as bearer token.")
        if (call.method, "/".join(call.segments[1:])) not in ROUTES:
            refuse(403, "OwnerRequired", "The page in the browser may not do this; the key in admin.key may.")


def _answer(world: World, call: Call, reset: Callable[[], None]) -> Reply:
    match call.method, call.segments[1:]:
        case "POST", ["visits"]:
            return Reply(201, {"code": world.visits.invite()})
        case "GET", ["overview"]:
            return Reply(200, page.overview(world))
        case "GET", ["news"]:
            return Reply(200, page.news(world, _after(call), settings(world)))
        case "POST", ["assertions"]:
            return Reply(200, {"value": _assertion(world, _body(call))})
        case "GET", ["github", "token"]:
            return Reply(200, {"value": _github_token(world, call)})
        case "PUT", ["issuers"]:
            with world.store.write():
                _register_issuer(world, _body(call))
            return Reply(204)
        case "GET", ["settings"]:
            return Reply(200, settings(world))
        case "PATCH", ["settings"]:
            with world.store.write():
                _change(world, _body(call))
            return Reply(200, settings(world))
        case "GET", ["faults"]:
            return Reply(200, world.faults.describe())
        case "PUT", ["faults"]:
            try:
                world.faults.set(*faults.read(_body(call)))
            except ValueError as error:
                _bad(str(error))
            return Reply(200, world.faults.describe())
        case "DELETE", ["faults"]:
            world.faults.set([], 0)
            return Reply(204)
        case "POST", ["reset"]:
            reset()
            return Reply(204)
        case "GET", ["log"]:
            after = _after(call)
            return Reply(200, {"value": [one for one in world.requests if one["number"] > after]})
        case "POST", ["ensure"]:
            with world.store.write():
                return Reply(200, {"created": ensure(world, _body(call))})
        case "GET", ["metrics"]:
            return Reply(200, {"value": world.telemetry.metrics(key_of(call.query.get("resource", "")))})
        case "POST", ["keys", "rotate"]:
            with world.store.write():
                world.signer.rotate()
            return Reply(204)
    refuse(404, "NotFound", f"There is no {call.method} {call.path[:100]}.")


def _after(call: Call) -> int:
    """The number of the last request that is known already."""
    return int(text) if re.fullmatch(r"[0-9]{1,15}", text := call.query.get("after", "0")) else 0


def _redeemed(world: World, body: Doc) -> str:
    """The key of a visit for the code in a link."""
    key = world.visits.redeem(code) if isinstance(code := body.get("code"), str) else None
    if key is None:
        refuse(401, "LinkUsed", "The link was used already, or is older than two minutes.")
    return key


def _assertion(world: World, body: Doc) -> str:
    """An assertion of the pretend provider: `subject`, and `issuer`, `audience`, `claims` when they differ from GitHub's."""
    subject, claims = body.get("subject"), body.get("claims") or {}
    issuer, audience = body.get("issuer") or GITHUB, body.get("audience") or AUDIENCE
    if not all(isinstance(text, str) for text in (subject, issuer, audience)) or not isinstance(claims, dict):
        _bad("An assertion takes 'subject', 'issuer' and 'audience' as strings and 'claims' as an object.")
    return world.issuers.issue(str(subject), issuer=issuer, audience=audience, **claims)


def _github_token(world: World, call: Call) -> str:
    """What GitHub Actions answers at ACTIONS_ID_TOKEN_REQUEST_URL; the subject is in the URL that the job was given."""
    subject = call.query.get("subject")
    if not subject:
        _bad("Give the job's subject, such as ?subject=repo:contoso/obs:environment:dev.")
    return world.issuers.issue(subject, audience=call.query.get("audience") or "https://github.com/contoso")


def _register_issuer(world: World, body: Doc) -> None:
    issuer, keys = body.get("issuer"), body.get("keys")
    if not isinstance(issuer, str) or not isinstance(keys, dict):
        _bad("An issuer takes 'issuer' (a URL) and 'keys' (a JSON Web Key Set).")
    try:
        world.issuers.register(issuer, keys)
    except ValueError as error:
        _bad(str(error))


PROPAGATION = ("roles", "secrets", "insights")
"""What takes its time: new roles, new secrets, and new roles at Application Insights."""
Referred = Literal["group", "user", "administrativeUnit"]
"""Kinds of directory objects that an environment may refer to without declaring them."""


def settings(world: World) -> Doc:
    """What can be changed, as it is now."""
    return {
        "propagation": {what: world.propagation(what) for what in PROPAGATION},
        "clock": {
            "now": world.store.now(),
            "offset": round(world.store.now() - time.time(), 3),
            "speed": world.store.clock_speed,
        },
        "directory_quota": world.directory_quota,
        "premium": world.premium,
        "latency": world.pace.latency,
        "quotas": world.pace.quotas,
    }


def set_propagation(world: World, what: str, seconds: Any) -> None:
    """Let new roles or secrets (one of `PROPAGATION`) take effect `seconds` after they are made."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 86400:
        _bad(f"The propagation delay of {what} must be 0 to 86400 seconds.")
    world.store.set_setting(f"propagation.{what}", repr(float(seconds)))


def _change(world: World, body: Doc) -> None:
    for name, value in body.items():
        if name == "propagation" and isinstance(value, int | float):
            for what in ("roles", "secrets"):
                set_propagation(world, what, value)
        elif name == "propagation" and isinstance(value, dict) and value.keys() <= set(PROPAGATION):
            for what, seconds in value.items():
                set_propagation(world, what, seconds)
        elif name == "clock" and isinstance(value, dict) and value.keys() <= {"offset", "speed"}:
            numbers = {part: number for part, number in value.items() if isinstance(number, int | float)}
            if (
                len(numbers) != len(value)
                or not 0 < numbers.get("speed", 1) <= 100_000
                or abs(numbers.get("offset", 0)) > 1e10
            ):
                _bad("The clock takes 'offset' in seconds and a 'speed' above 0.")
            world.store.set_clock(offset=numbers.get("offset"), speed=numbers.get("speed"))
        elif name == "premium" and isinstance(value, bool):
            world.store.set_setting(name, str(int(value)))
        elif name == "directory_quota" and type(value) is int and 0 < value <= 10**9:
            world.store.set_setting(name, str(value))
        elif name == "latency" and (value is None or (type(value) is int and abs(value) < 2**63)):
            world.pace.set(value, quotas=world.pace.quotas)
        elif name == "quotas" and isinstance(value, int | float) and (value == 0 or 0.001 <= value <= 1):
            world.pace.set(world.pace.latency, quotas=value)
        else:
            _bad(f"'{name}' is no setting, or its value is not valid.")


def ensure(world: World, body: Doc) -> list[str]:
    """Make what an environment refers to exist; the ids and names that were new.

    `reserved` is a list of applications that are yet to be made: `{"display_name": …, "application": id, "service_principal": id}`;
    these get these ids then, and those that are there already are none of the answer's. `ids` is a list of `{"kind": …, "of": …,
    "id": …}`, for the next one that is made of: `federatedIdentityCredential` (`application/name`), `appRoleAssignment`
    (`principal/resource/role`), `oauth2PermissionGrant` (`client/resource`), `roleAssignment` (`principal/role`, of the directory).

    `scopes` are subscriptions, resource groups and resources, made with all that encloses them; `groups` and
    `administrative_units` are object ids, `users` object ids or user principal names. `service_principals` are those that have no
    registration in this tenant, by display name: `ManagedIdentity`, or the tenant that their registration is in.
    """
    created = [*_reserve(world, body.get("reserved", [])), *_ensure_objects(world, body)]
    created += _ensure_principals(world, body.get("service_principals", {}))
    for one in body.get("ids", []):
        if not isinstance(one, dict) or not all(isinstance(one.get(name), str) for name in ("kind", "of", "id")):
            _bad("'ids' must be a list of objects with 'kind', 'of' and 'id'.")
        world.reserve(one["kind"], one["of"], one["id"])
    scopes, location = body.get("scopes", []), body.get("location", "westeurope")
    if not isinstance(scopes, list) or not isinstance(location, str) or len(scopes) > 10_000:
        _bad("'scopes' must be a list of resource ids.")
    for text in scopes:
        try:
            scope = parse_scope(text if isinstance(text, str) else "")
        except ScopeError as error:
            _bad(str(error))
        for one in reversed(list(scope.parents())):
            if one.kind != "root" and world.resources.get(one.id) is None:
                _make(world, one, location)
                created.append(one.id)
    return created


def _reserve(world: World, wanted: Any) -> list[str]:
    created = []
    if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
        _bad("'reserved' must be a list of objects.")
    for one in wanted:
        ids = [one.get("application"), one.get("service_principal")]
        name = one.get("display_name")
        if not isinstance(name, str) or not all(
            isinstance(id_, str) and is_guid(id_) for id_ in ids if id_ is not None
        ):
            _bad("A reservation takes 'display_name', and 'application' and 'service_principal' as object ids.")
        if ids[0] is not None and world.directory.get(ids[0].lower()) is None:
            world.reserve("application", name, ids[0].lower())
            if ids[1] is not None:
                world.reserve("servicePrincipal", ids[0].lower(), ids[1].lower())
            created.append(ids[0])
    return created


def _ensure_objects(world: World, body: Doc) -> list[str]:
    created: list[str] = []
    kinds: tuple[tuple[str, Referred], ...] = (
        ("groups", "group"),
        ("users", "user"),
        ("administrative_units", "administrativeUnit"),
    )
    for name, kind in kinds:
        wanted = body.get(name, [])
        if not isinstance(wanted, list) or len(wanted) > 10_000 or not all(isinstance(one, str) for one in wanted):
            _bad(f"'{name}' must be a list of object ids.")
        for one in wanted:
            by_name = kind == "user" and "@" in one
            if not by_name and not is_guid(one):
                _bad(f"'{one[:100]}' is not an object id.")
            known = (
                world.directory.find("user", "userPrincipalName", one) if by_name else world.directory.get(one.lower())
            )
            if not known:
                world.directory.create(kind, _object(world, kind, one))
                created.append(one)
    return created


def _ensure_principals(world: World, wanted: Any) -> list[str]:
    if not isinstance(wanted, dict) or not all(isinstance(of, str) for of in wanted.values()):
        _bad("'service_principals' must be an object.")
    created = []
    for name, of in wanted.items():
        if of != "ManagedIdentity" and not is_guid(of):
            _bad(f"'{of[:100]}' is neither ManagedIdentity nor the id of a tenant.")
        tenant = None if of == "ManagedIdentity" else of.lower()
        created.append(identities.principal(world, name, tenant=tenant)["id"])
    return created


def _object(world: World, kind: Referred, name: str) -> Doc:
    now, short = utc(world.store.now()), name[:8]
    if kind == "administrativeUnit":
        return UNIT.new({"displayName": f"Administrative unit {short}"}, id=name.lower())
    if kind == "group":
        properties = {"displayName": f"Group {short}", "mailNickname": short, "securityEnabled": True}
        return GROUP.new(properties, id=name.lower(), createdDateTime=now, renewedDateTime=now)
    by_name, alias = "@" in name, name.split("@")[0]
    return USER.new(
        {
            "displayName": alias,
            "mailNickname": alias,
            "userPrincipalName": name if by_name else f"{short}@{world.domain}",
        },
        id=new_guid() if by_name else name.lower(),
        createdDateTime=now,
    )


def _make(world: World, scope: Scope, location: str) -> None:
    if scope.kind == "subscription":
        add_subscription(world, str(scope.subscription).lower(), f"Subscription {str(scope.subscription)[:8]}")
    elif scope.kind == "resource_group":
        group = {
            "id": scope.id,
            "name": scope.name,
            "type": "Microsoft.Resources/resourceGroups",
            "location": location,
            "properties": {"provisioningState": "Succeeded"},
        }
        world.resources.put(scope.id, scope.resource_type, group)
    elif scope.kind == "management_group":
        management_groups.make(world, scope.id, scope.name)
    else:
        # A vault's secret cannot be without a value.
        secret = scope.resource_type.lower() == "microsoft.keyvault/vaults/secrets"
        body = {"properties": {"value": new_secret()}} if secret else {"location": location}
        generic.put(world, scope, body, None)


def _body(call: Call) -> Doc:
    try:
        value = call.json()
    except ValueError:
        _bad("The request body is not valid JSON.")
    if not isinstance(value, dict):
        _bad("The request body is not a JSON object.")
    return value


def _bad(text: str) -> NoReturn:
    refuse(400, "BadRequest", text)
