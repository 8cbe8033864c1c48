"""Policies of the tenant: who may register applications, and which client secrets these may have.

Sources: Microsoft Graph, "tenantAppManagementPolicy resource type", "passwordCredentialConfiguration resource type" and
"authorizationPolicy resource type". [?] The text of the refusals: only the codes are documented.
"""

from __future__ import annotations

import json
import re
from typing import Any

from local_azure.graph.context import Context, routes
from local_azure.graph.errors import bad_request
from local_azure.wire import Reply

Doc = dict[str, Any]

_SETTING = "policy.appManagement"
_PARTS = ("isEnabled", "applicationRestrictions", "servicePrincipalRestrictions")


def _app_management(ctx: Context) -> Doc:
    kept = ctx.world.store.setting(_SETTING)
    empty: Doc = {"passwordCredentials": [], "keyCredentials": []}
    return {
        "id": "00000000-0000-0000-0000-000000000000",
        "displayName": "Default app management tenant policy",
        "description": "Default tenant policy that enforces app management restrictions.",
        "isEnabled": False,
        "applicationRestrictions": empty,
        "servicePrincipalRestrictions": empty,
        **(json.loads(kept) if kept else {}),
    }


@routes.add("GET", "policies/authorizationPolicy")
def _authorization(ctx: Context) -> Reply:
    ctx.need("Policy.Read.All", "Policy.ReadWrite.Authorization")
    permissions = {"allowedToCreateApps": True, "allowedToCreateSecurityGroups": True, "allowedToReadOtherUsers": True}
    return Reply(200, {"id": "authorizationPolicy", "defaultUserRolePermissions": permissions})


@routes.add("GET", "policies/defaultAppManagementPolicy")
def _read(ctx: Context) -> Reply:
    ctx.need("Policy.Read.All", "Policy.Read.ApplicationConfiguration", "Policy.ReadWrite.ApplicationConfiguration")
    context = f"{ctx.base}/$metadata#policies/defaultAppManagementPolicy/$entity"
    return Reply(200, {"@odata.context": context, **_app_management(ctx)})


@routes.add("PATCH", "policies/defaultAppManagementPolicy")
def _change(ctx: Context) -> Reply:
    ctx.need("Policy.ReadWrite.ApplicationConfiguration")
    changes = {name: value for name, value in ctx.body().items() if name in _PARTS}
    if not isinstance(changes.get("isEnabled", False), bool):
        bad_request("The value of property 'isEnabled' must be true or false.")
    for name in _PARTS[1:]:
        _checked(changes.get(name, {}), name)
    kept = {name: value for name, value in _app_management(ctx).items() if name in _PARTS}
    ctx.world.store.set_setting(_SETTING, json.dumps(kept | changes))
    return Reply(204)


def _checked(restrictions: Any, name: str) -> None:
    rules = restrictions.get("passwordCredentials", []) if isinstance(restrictions, dict) else None
    if not isinstance(rules, list) or len(rules) > 20 or not all(isinstance(rule, dict) for rule in rules):
        bad_request(f"The value of property '{name}' is not valid.")
    for rule in rules:
        if rule.get("restrictionType") == "passwordLifetime" and _seconds(rule.get("maxLifetime")) is None:
            bad_request("The value of property 'maxLifetime' must be a duration such as P180D.")


def _seconds(text: Any) -> float | None:
    found = re.fullmatch(r"P(?:(\d{1,5})D)?(?:T(?:(\d{1,5})H)?)?", text) if isinstance(text, str) else None
    if found is None or not any(found.groups()):
        return None
    days, hours = (int(part or 0) for part in found.groups())
    return days * 86400.0 + hours * 3600.0


def check_secret(ctx: Context, seconds: float, *, application: bool) -> None:
    """400 when the tenant's policy allows no client secret, or none that is valid for so long."""
    policy = _app_management(ctx)
    if not policy["isEnabled"]:
        return
    kind = "applicationRestrictions" if application else "servicePrincipalRestrictions"
    for rule in policy[kind].get("passwordCredentials", ()):
        if rule.get("state", "enabled") != "enabled":
            continue
        if rule.get("restrictionType") == "passwordAddition":
            bad_request(
                "Credential type not allowed as per assigned policy.", code="CredentialTypeNotAllowedAsPerAppPolicy"
            )
        longest = _seconds(rule.get("maxLifetime"))
        if rule.get("restrictionType") == "passwordLifetime" and longest is not None and seconds > longest:
            bad_request(
                "Credential lifetime exceeds the max value allowed as per assigned policy.",
                code="CredentialInvalidLifetimeAsPerAppPolicy",
            )
