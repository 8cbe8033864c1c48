"""The tenant as a whole: organization, domains, look-ups of any object, deleted items, and requests in a batch."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from local_azure.graph.context import KINDS, PLURALS, Context, Kind, dispatch, routes
from local_azure.graph.errors import bad_request, not_found, refuse
from local_azure.graph.reading import shown, typed
from local_azure.graph.rights import APPLICATION, GROUP, PRINCIPAL, READ, UNIT, USER, WRITE
from local_azure.wire import Call, Refused, Reply, utc

Doc = dict[str, Any]

MOST_IN_BATCH = 20
MOST_IDS = 1000
RESTORABLE = ("application", "servicePrincipal", "group", "user", "administrativeUnit")


@routes.add("GET", "me")
@routes.add("GET", "me/*")
def _me(ctx: Context, *_: str) -> Reply:
    bad_request("/me request is only valid with delegated authentication flow.", code="BadRequest")


@routes.add("GET", "organization")
def _organization(ctx: Context) -> Reply:
    ctx.need("Organization.Read.All", "Organization.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
    return ctx.many([_tenant(ctx)], "organization")


@routes.add("GET", "organization/*")
def _one_organization(ctx: Context, key: str) -> Reply:
    ctx.need("Organization.Read.All", "Organization.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
    if key.lower() != ctx.world.tenant_id:
        not_found(key)
    return Reply(
        200, {"@odata.context": f"{ctx.base}/$metadata#organization/$entity", **ctx.select(_tenant(ctx), None)}
    )


def _tenant(ctx: Context) -> Doc:
    return {
        "id": ctx.world.tenant_id,
        "deletedDateTime": None,
        "businessPhones": [],
        "city": None,
        "country": None,
        "countryLetterCode": "NL",
        "createdDateTime": utc(float(ctx.world.store.setting("created") or 0)),
        "directorySizeQuota": {"used": ctx.world.directory.used(), "total": ctx.world.directory_quota},
        "displayName": "Local directory",
        "tenantType": "AAD",
        "technicalNotificationMails": [],
        "assignedPlans": [],
        "verifiedDomains": [
            {
                "capabilities": "Email, OfficeCommunicationsOnline",
                "isDefault": True,
                "isInitial": True,
                "name": ctx.world.domain,
                "type": "Managed",
            }
        ],
    }


@routes.add("GET", "domains")
def _domains(ctx: Context) -> Reply:
    ctx.need("Domain.Read.All", "Domain.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
    domain = {
        "id": ctx.world.domain,
        "authenticationType": "Managed",
        "isAdminManaged": True,
        "isDefault": True,
        "isInitial": True,
        "isRoot": True,
        "isVerified": True,
        "supportedServices": ["Email", "OfficeCommunicationsOnline"],
    }
    return ctx.many([domain], "domains")


# Objects of any kind


def _may_read_any(ctx: Context) -> None:
    ctx.need("Directory.Read.All", "Directory.ReadWrite.All", *(name for names in READ.values() for name in names))


@routes.add("GET", "directoryObjects/*")
def _directory_object(ctx: Context, key: str) -> Reply:
    _may_read_any(ctx)
    found = typed(ctx, key)
    if found is None:
        not_found(key)
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#directoryObjects/$entity", **ctx.select(found, None)})


@routes.add("POST", "directoryObjects/getByIds")
def _by_ids(ctx: Context) -> Reply:
    _may_read_any(ctx)
    body = ctx.body()
    ids, types = body.get("ids"), body.get("types")
    if not isinstance(ids, list) or len(ids) > MOST_IDS or not all(isinstance(one, str) for one in ids):
        bad_request(f"Property ids is invalid: a list of at most {MOST_IDS} ids is expected.")
    if types is not None and not isinstance(types, list):
        bad_request("Property types is invalid: a list is expected.")
    wanted = {str(one).lower() for one in types} if types else None
    found = (typed(ctx, one) for one in dict.fromkeys(ids))
    docs = [
        one
        for one in found
        if one is not None
        and (wanted is None or "directoryobject" in wanted or one["@odata.type"].rsplit(".", 1)[1].lower() in wanted)
    ]
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#directoryObjects", "value": docs})


def _groups_of(ctx: Context, key: str) -> list[str]:
    _may_read_any(ctx)
    if ctx.world.directory.kind_of(key) is None:
        not_found(key)
    return sorted(ctx.world.directory.groups_of(key))


def _member_groups(ctx: Context, key: str) -> Reply:
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#Collection(Edm.String)", "value": _groups_of(ctx, key)})


def _check_groups(ctx: Context, key: str) -> Reply:
    ids = ctx.body().get("groupIds") or ctx.body().get("ids")
    if not isinstance(ids, list) or len(ids) > 20:
        bad_request("Property groupIds is invalid: a list of at most 20 ids is expected.")
    held = set(_groups_of(ctx, key))
    found = [one for one in ids if isinstance(one, str) and one.lower() in held]
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#Collection(Edm.String)", "value": found})


for _plural in ("directoryObjects", "users", "groups", "servicePrincipals"):
    routes.add("POST", f"{_plural}/*/getMemberGroups")(_member_groups)
    routes.add("POST", f"{_plural}/*/getMemberObjects")(_member_groups)
    routes.add("POST", f"{_plural}/*/checkMemberGroups")(_check_groups)
    routes.add("POST", f"{_plural}/*/checkMemberObjects")(_check_groups)


@routes.add("GET", "servicePrincipals/*/ownedObjects")
@routes.add("GET", "users/*/ownedObjects")
def _owned(ctx: Context, key: str) -> Reply:
    _may_read_any(ctx)
    if ctx.world.directory.kind_of(key) is None:
        not_found(key)
    found = (typed(ctx, one) for one in ctx.world.directory.sources(key, "owners"))
    return ctx.many([one for one in found if one is not None], "directoryObjects")


# Deleted items


def _deleted(ctx: Context, key: str) -> tuple[Kind, Doc]:
    found = ctx.world.directory.deleted(key)
    if found is None or found[0] not in RESTORABLE:
        not_found(key)
    kind = KINDS[found[0]]
    return kind, found[2] | {"deletedDateTime": utc(found[1])}


def _may_restore(ctx: Context, kind: Kind, key: str) -> None:
    ctx.need(*WRITE[kind.name], owned=key if kind in (APPLICATION, PRINCIPAL) else None)


@routes.add("GET", "directory/deletedItems/*")
def _deleted_items(ctx: Context, key: str) -> Reply:
    """One deleted object by its id, or all of a type such as `microsoft.graph.application`."""
    if key.lower().startswith("microsoft.graph."):
        kind = next((kind for kind in PLURALS.values() if kind.name.lower() == key.lower().rsplit(".", 1)[1]), None)
        if kind is None or kind.name not in RESTORABLE:
            bad_request(f"Resource not found for the segment '{key}'.", code="BadRequest")
        ctx.need(*READ[kind.name])
        scanned = ctx.world.directory.scan(kind.name, deleted=True)
        ids = [doc["id"] for _, doc in scanned]
        docs = [shown(ctx, _deleted(ctx, one)[1], kind) for one in ids if ctx.world.directory.deleted(one) is not None]
        return ctx.many(docs, kind.plural, kind)
    _may_read_any(ctx)
    kind, doc = _deleted(ctx, key)
    ctx.need(*READ[kind.name])
    body = {"@odata.context": f"{ctx.base}/$metadata#directoryObjects/$entity", "@odata.type": kind.odata_type}
    return Reply(200, body | shown(ctx, doc, kind))


@routes.add("POST", "directory/deletedItems/*/restore")
def _restore(ctx: Context, key: str) -> Reply:
    """Bring a deleted object back; an application's service principal has to be restored by itself (Graph says so)."""
    kind, doc = _deleted(ctx, key)
    _may_restore(ctx, kind, key)
    directory = ctx.world.directory
    if kind is PRINCIPAL:
        if not directory.find("application", "appId", doc["appId"]):
            text = f"The appId '{doc['appId']}' of the service principal does not reference a valid application object."
            bad_request(text, code="NoBackingApplicationObject")
        if directory.find("servicePrincipal", "appId", doc["appId"]):
            text = f"The service principal cannot be restored because the service principal name {doc['appId']} is already in use."
            refuse(409, "Request_MultipleObjectsWithSameKeyValue", text)
    if kind is APPLICATION:
        for uri in doc["identifierUris"]:
            if directory.find("application", "identifierUris", uri):
                bad_request("Another object with the same value for property identifierUris already exists.")
    directory.restore(key)
    body = {"@odata.context": f"{ctx.base}/$metadata#directoryObjects/$entity", "@odata.type": kind.odata_type}
    return Reply(200, body | shown(ctx, ctx.get(kind, key), kind))


@routes.add("DELETE", "directory/deletedItems/*")
def _purge(ctx: Context, key: str) -> Reply:
    kind, _ = _deleted(ctx, key)
    if kind is UNIT:
        bad_request("Administrative units cannot be permanently deleted.")  # [?] The text.
    if kind in (GROUP, USER):
        ctx.need(*(name for name in WRITE[kind.name] if name != "Directory.ReadWrite.All"))
    else:
        _may_restore(ctx, kind, key)
    ctx.world.directory.purge(key)
    return Reply(204)


# Batches


@routes.add("POST", "$batch")
def _batch(ctx: Context) -> Reply:
    """Up to 20 requests, each answered by itself, in order unless one waits for another."""
    requests = ctx.body().get("requests")
    if not isinstance(requests, list) or not requests:
        bad_request("Invalid batch payload format.", code="BadRequest")
    if len(requests) > MOST_IN_BATCH:
        bad_request(f"Number of batch request steps exceeds the maximum value of {MOST_IN_BATCH}.", code="BadRequest")
    answers: dict[str, Doc] = {}
    for one in requests:
        if not isinstance(one, dict) or not isinstance(one.get("id"), str) or one["id"] in answers:
            bad_request("Invalid batch request: every request needs its own 'id'.", code="BadRequest")
        depends = one.get("dependsOn") or []
        if not isinstance(depends, list) or any(earlier not in answers for earlier in depends):
            bad_request("Invalid batch request: 'dependsOn' names a request that is not before it.", code="BadRequest")
        if any(answers[earlier]["status"] >= 400 for earlier in depends):
            error = {"error": {"code": "FailedDependency", "message": "A request that this one depends on has failed."}}
            answers[one["id"]] = {"status": 424, "body": error}
            continue
        reply = _one_of_batch(ctx, _inner(ctx, one))
        body = reply.body.decode("utf-8", "replace") if isinstance(reply.body, bytes) else reply.body
        headers = {"Content-Type": "application/json", **reply.headers} if body is not None else dict(reply.headers)
        answers[one["id"]] = {"status": reply.status, "headers": headers, "body": body}
    return Reply(200, {"responses": [{"id": key, **answer} for key, answer in answers.items()]})


def _one_of_batch(ctx: Context, call: Call) -> Reply:
    """The answer to one request of a batch: throttled by itself, it meets what is not yet replicated, and may make more of it."""
    faults, now = ctx.world.faults, ctx.world.store.now()
    fault = faults.of(call) if faults.active else None
    if fault is not None and fault.reply is not None and not fault.rule.after:
        return fault.reply
    hidden = faults.hidden(call, now)
    if hidden is not None:
        return hidden
    try:
        reply = faults.listed(call, dispatch(Context(ctx.world, call, ctx.caller, ctx.version)), now)
    except Refused as refused:
        return refused.reply
    faults.created(call, reply, now)
    return reply


def _inner(ctx: Context, one: Doc) -> Call:
    method, url, headers = one.get("method"), one.get("url"), one.get("headers") or {}
    if not isinstance(method, str) or not isinstance(url, str) or not isinstance(headers, dict) or len(url) > 8192:
        bad_request("Invalid batch request: 'method' and 'url' are required.", code="BadRequest")
    parts = urlsplit(url)
    path = re.sub(r"\A/?(v1\.0|beta)(?=/)", "", unquote(parts.path))
    if "$batch" in path:
        bad_request("Invalid batch request: a batch cannot be nested.", code="BadRequest")
    body = one.get("body")
    return Call(
        method.upper(),
        f"/{ctx.version}/{path.lstrip('/')}",
        dict(parse_qsl(parts.query, keep_blank_values=True)),
        {str(name).lower(): str(value) for name, value in headers.items()},
        b"" if body is None else json.dumps(body).encode(),
    )
