"""Microsoft Graph's usage reports.

Source: Microsoft Graph beta, "List appCredentialSignInActivities" and "Get appCredentialSignInActivity" (`AuditLog.Read.All` or
`Directory.Read.All`; $top and $filter, of which its examples filter by `keyId` and by `appId`).
"""

from __future__ import annotations

from local_azure.graph.context import Context, routes
from local_azure.graph.errors import bad_request, not_found, refuse
from local_azure.wire import Reply

_PATH = "reports/appCredentialSignInActivities"
_TYPE = "#microsoft.graph.appCredentialSignInActivity"


def _may_read(ctx: Context) -> None:
    if ctx.version != "beta":
        bad_request("Resource not found for the segment 'appCredentialSignInActivities'.", code="BadRequest")
    ctx.need("AuditLog.Read.All", "Directory.Read.All", "Directory.ReadWrite.All")
    if not ctx.world.premium:
        text = "Neither tenant is B2C or tenant doesn't have premium license"
        refuse(403, "Authentication_RequestFromNonPremiumTenantOrB2CTenant", text)


@routes.add("GET", _PATH)
def _activities(ctx: Context) -> Reply:
    _may_read(ctx)
    found = sorted(ctx.world.credentials.sign_ins(), key=lambda doc: str(doc["id"]))
    return ctx.many(({"@odata.type": _TYPE, **doc} for doc in found), _PATH)


@routes.add("GET", f"{_PATH}/*")
def _activity(ctx: Context, key: str) -> Reply:
    _may_read(ctx)
    found = next((doc for doc in ctx.world.credentials.sign_ins() if doc["id"] == key), None)
    if found is None:
        not_found(key)
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#{_PATH}/$entity", "@odata.type": _TYPE, **found})
