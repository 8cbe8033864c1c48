"""Applications, service principals, groups, users: create, read, list, update, delete, owners and members."""

from __future__ import annotations

import re
from typing import Any

from local_azure import first_party
from local_azure.graph import odata, schema
from local_azure.graph.context import KINDS, PLURALS, Context, Kind, routes
from local_azure.graph.credentials import add_password, keep_passwords, set_keys
from local_azure.graph.errors import bad_request, not_found, refuse
from local_azure.graph.rights import APPLICATION, GROUP, PRINCIPAL, USER, WRITE, may_read, may_write
from local_azure.wire import Reply, is_guid, new_guid, utc

Doc = dict[str, Any]


def shown(ctx: Context, doc: Doc, kind: Kind) -> Doc:
    """An object as this version of the API shows it: first-party permissions added, keys without their bytes."""
    result = {name: value for name, value in doc.items() if name in kind.of(ctx.version)}
    if kind is PRINCIPAL and doc.get("appId") in first_party.by_app_id():
        result["appRoles"] = first_party.app_roles(doc["appId"])
        result["oauth2PermissionScopes"] = first_party.permission_scopes(doc["appId"])
    if kind is USER:
        result.pop("passwordProfile", None)
    keys = result.get("keyCredentials")
    if keys and "keyCredentials" not in ctx.call.query.get("$select", ""):
        result["keyCredentials"] = [{**key, "key": None} for key in keys]
    return result


def typed(ctx: Context, object_id: str) -> Doc | None:
    """An object of any kind with its `@odata.type`, or `None`."""
    kind_name = ctx.world.directory.kind_of(object_id)
    if kind_name is None or kind_name not in KINDS:
        return None
    kind = KINDS[kind_name]
    return {"@odata.type": kind.odata_type, **shown(ctx, ctx.get(kind, object_id), kind)}


def list_objects(ctx: Context, kind: Kind) -> Reply:
    """A page of a collection, by the query options of the request."""
    may_read(ctx, kind)
    query, directory = ctx.call.query, ctx.world.directory
    size = odata.top_of(query.get("$top"))
    word, start = odata.skip_token(query.get("$skiptoken"))
    wanted = odata.parse_filter(query["$filter"]) if query.get("$filter") else None
    search = odata.parse_search(query["$search"]) if query.get("$search") else None
    counted = query.get("$count", "").lower() == "true"
    eventual = ctx.call.headers.get("consistencylevel", "").lower() == "eventual"
    order = query.get("$orderby")
    if wanted is not None:
        for name in sorted(wanted.names):
            if name not in kind.of("beta"):
                text = f"Invalid filter clause: Could not find a property named '{name}' on type 'microsoft.graph.{kind.name}'."
                bad_request(text, code="BadRequest")
    if search is not None and not eventual:
        bad_request(
            "Request with $search query parameter only works through MSGraph with a special request header: "
            "'ConsistencyLevel: eventual'",
            code="Request_UnsupportedQuery",
        )
    if wanted is not None and wanted.advanced and not (eventual and counted):
        bad_request(
            "Operator is not supported because the required parameters might be missing. Try adding $count=true query "
            "parameter and ConsistencyLevel:eventual header. Refer to https://aka.ms/graph-docs/advanced-queries for more "
            "information",
            code="Request_UnsupportedQuery",
        )
    key = _order(order, kind) if order else None
    index = wanted.index if wanted is not None else None
    after = start if word == "after" and key is None else 0
    matches = (
        (seq, doc)
        for seq, doc in directory.scan(kind.name, after=after, index=index)  # type: ignore[arg-type]
        if (wanted is None or wanted.test(doc)) and (search is None or search(doc))
    )
    body: Doc = {"@odata.context": f"{ctx.base}/$metadata#{kind.plural}"}
    more: str | None = None
    page: list[Doc] = []
    if key is not None:
        ordered = sorted((doc for _, doc in matches), key=key[0], reverse=key[1])
        page = ordered[start : start + size]
        if len(ordered) > start + size:
            more = odata.make_skip_token("skip", start + size)
    else:
        last = after
        for seq, doc in matches:
            if len(page) == size:
                more = odata.make_skip_token("after", last)
                break
            page.append(doc)
            last = seq
    if counted:
        if wanted is None and search is None:
            body["@odata.count"] = directory.count(kind.name)  # type: ignore[arg-type]
        else:
            every = directory.scan(kind.name, index=index)  # type: ignore[arg-type]
            body["@odata.count"] = sum(
                (wanted is None or wanted.test(doc)) and (search is None or search(doc)) for _, doc in every
            )
    if more is not None:
        body["@odata.nextLink"] = ctx.next_link(more)
    body["value"] = [_expanded(ctx, ctx.select(shown(ctx, doc, kind), kind), doc["id"]) for doc in page]
    return Reply(200, body)


def _order(text: str, kind: Kind) -> tuple[Any, bool]:
    found = re.fullmatch(r"\s*(\w+)(?:\s+(asc|desc))?\s*", text, re.IGNORECASE)
    if found is None or found[1] not in kind.of("beta"):
        bad_request("Unsupported sort property for type.", code="Request_UnsupportedQuery")
    name = found[1]
    return lambda doc: str(doc.get(name) or "").lower(), (found[2] or "").lower() == "desc"


EXPANDABLE = ("owners", "members", "memberOf")


def _expanded(ctx: Context, doc: Doc, object_id: str) -> Doc:
    asked = ctx.call.query.get("$expand")
    if not asked:
        return doc
    for item in re.split(r",(?![^(]*\))", asked):
        name = item.split("(")[0].strip()
        if name not in EXPANDABLE:
            bad_request(
                f"Parsing OData Select and Expand failed: Could not find a property named '{name}'.", code="BadRequest"
            )
        selected = re.search(r"\$select=([\w,]+)", item)
        names = set(selected[1].split(",")) if selected else None
        linked = [
            one if names is None else {key: value for key, value in one.items() if key in names or key.startswith("@")}
            for one in _linked(ctx, object_id, name)[:20]
        ]
        doc = {**doc, name: linked}
    return doc


def _linked(ctx: Context, object_id: str, relation: str) -> list[Doc]:
    directory = ctx.world.directory
    ids = directory.sources(object_id, "members") if relation == "memberOf" else directory.targets(object_id, relation)
    return [found for found in (typed(ctx, one) for one in ids) if found is not None]


def get_object(ctx: Context, kind: Kind, object_id: str) -> Reply:
    """One object."""
    may_read(ctx, kind)
    doc = ctx.get(kind, object_id)
    reply = ctx.one(shown(ctx, doc, kind), kind)
    return Reply(200, _expanded(ctx, reply.body, object_id))


# Create


def create_application(ctx: Context) -> Reply:
    """Register an application."""
    may_write(ctx, APPLICATION, None)
    body = ctx.body()
    changes = schema.checked(body, APPLICATION.of(ctx.version), "Application")
    if not changes.get("displayName"):
        bad_request("One or more property values specified are invalid. Property 'displayName' is required.")
    app_id, now = new_guid(), ctx.world.store.now()
    passwords = changes.pop("passwordCredentials", None) or []
    keys = changes.pop("keyCredentials", None) or []
    doc = schema.merge(
        {
            **schema.defaults(APPLICATION.of("beta")),
            "id": new_guid(),
            "appId": app_id,
            "createdDateTime": utc(now),
            "publisherDomain": ctx.world.domain,
        },
        {name: value for name, value in changes.items() if value is not None},
        APPLICATION.of("beta"),
    )
    check_application(ctx, doc, None)
    owners = bound(ctx, body, "owners")
    ctx.world.directory.create("application", doc)
    for owner in owners:
        ctx.world.directory.link(doc["id"], "owners", owner)
    secrets = [add_password(ctx, doc, wanted) for wanted in passwords]
    if keys:
        set_keys(ctx, doc, keys)
    ctx.world.directory.update(doc)
    answer = shown(ctx, doc, APPLICATION)
    if secrets:
        answer["passwordCredentials"] = secrets
    return ctx.one(answer, APPLICATION, status=201)


def create_principal(ctx: Context) -> Reply:
    """Make the service principal of an application in this tenant."""
    may_write(ctx, PRINCIPAL, None)
    body = ctx.body()
    changes = schema.checked(body, PRINCIPAL.of(ctx.version), "ServicePrincipal")
    app_id = changes.get("appId")
    if not app_id:
        bad_request("One or more property values specified are invalid. Property 'appId' is required.")
    directory = ctx.world.directory
    application = next(iter(directory.find("application", "appId", app_id)), None)
    if application is None:
        text = f"The appId '{app_id}' of the service principal does not reference a valid application object."
        bad_request(text, code="NoBackingApplicationObject")
    if directory.find("servicePrincipal", "appId", app_id):
        text = (
            "The service principal cannot be created, updated, or restored because the service principal name "
            f"{app_id} is already in use."
        )
        refuse(409, "Request_MultipleObjectsWithSameKeyValue", text)
    for name in ("displayName", "passwordCredentials", "keyCredentials"):
        changes.pop(name, None)
    doc = schema.merge(
        {
            **schema.defaults(PRINCIPAL.of("beta")),
            "id": new_guid(),
            "createdDateTime": utc(ctx.world.store.now()),
            "appOwnerOrganizationId": ctx.world.tenant_id,
        },
        {name: value for name, value in changes.items() if value is not None},
        PRINCIPAL.of("beta"),
    )
    doc = reflect(application, doc)
    owners = bound(ctx, body, "owners")
    directory.create("servicePrincipal", doc)
    for owner in owners:
        directory.link(doc["id"], "owners", owner)
    return ctx.one(shown(ctx, doc, PRINCIPAL), PRINCIPAL, status=201)


def reflect(application: Doc, principal: Doc) -> Doc:
    """A service principal with what it takes from its application."""
    web = application.get("web") or {}
    return {
        **principal,
        "appId": application["appId"],
        "appDisplayName": application["displayName"],
        "appDescription": application.get("description"),
        "displayName": application["displayName"],
        "appRoles": [{**role, "origin": "Application"} for role in application["appRoles"]],
        "oauth2PermissionScopes": (application.get("api") or {}).get("oauth2PermissionScopes") or [],
        "servicePrincipalNames": [*application["identifierUris"], application["appId"]],
        "replyUrls": [
            url
            for part in (web, application.get("spa") or {}, application.get("publicClient") or {})
            for url in part.get("redirectUris") or []
        ],
        "homepage": web.get("homePageUrl"),
        "logoutUrl": web.get("logoutUrl"),
        "info": application.get("info"),
        "signInAudience": application.get("signInAudience"),
    }


def create_group(ctx: Context) -> Reply:
    """Create a group."""
    may_write(ctx, GROUP, None)
    body = ctx.body()
    changes = schema.checked(body, GROUP.of(ctx.version), "Group")
    for name in ("displayName", "mailNickname"):
        if not changes.get(name):
            bad_request(f"A value is required for property '{name}' of resource 'Group'.")
    for name in ("mailEnabled", "securityEnabled"):
        if not isinstance(changes.get(name), bool):
            bad_request(f"A value is required for property '{name}' of resource 'Group'.")
    if changes["mailEnabled"] and "Unified" not in (changes.get("groupTypes") or []):
        bad_request(
            "The service does not currently support writes of mail-enabled groups. Please ensure that the mail-enablement "
            "property is unset and the security-enablement property is set."
        )
    owners, members = bound(ctx, body, "owners"), bound(ctx, body, "members")
    if changes.get("isAssignableToRole"):
        ctx.need("RoleManagement.ReadWrite.Directory")
    object_id = new_guid()
    doc = schema.merge(
        {
            **schema.defaults(GROUP.of("beta")),
            "id": object_id,
            "createdDateTime": utc(ctx.world.store.now()),
            "renewedDateTime": utc(ctx.world.store.now()),
            "securityIdentifier": security_identifier(object_id),
        },
        {name: value for name, value in changes.items() if value is not None},
        GROUP.of("beta"),
    )
    if doc["mailEnabled"]:
        doc["mail"] = f"{doc['mailNickname']}@{ctx.world.domain}"
    ctx.world.directory.create("group", doc)
    for relation, targets in (("owners", owners), ("members", members)):
        for target in targets:
            ctx.world.directory.link(object_id, relation, target)
    return ctx.one(shown(ctx, doc, GROUP), GROUP, status=201)


def security_identifier(object_id: str) -> str:
    """The SID of a directory object: `S-1-12-1-` and its GUID as four little-endian numbers."""
    import uuid

    raw = uuid.UUID(object_id).bytes_le
    return "S-1-12-1-" + "-".join(str(int.from_bytes(raw[at : at + 4], "little")) for at in range(0, 16, 4))


def create_user(ctx: Context) -> Reply:
    """Create a user (users never sign in here; they are members and owners)."""
    may_write(ctx, USER, None)
    changes = schema.checked(ctx.body(), USER.of(ctx.version), "User")
    for name in ("displayName", "mailNickname", "userPrincipalName", "passwordProfile"):
        if not changes.get(name):
            bad_request(f"A value is required for property '{name}' of resource 'User'.")
    if not isinstance(changes.get("accountEnabled"), bool):
        bad_request("A value is required for property 'accountEnabled' of resource 'User'.")
    _, _, domain = changes["userPrincipalName"].partition("@")
    if domain.lower() != ctx.world.domain:
        bad_request(
            "The domain portion of the userPrincipalName property is invalid. You must use one of the verified domain names "
            "in your organization."
        )
    if ctx.world.directory.find("user", "userPrincipalName", changes["userPrincipalName"]):
        bad_request("Another object with the same value for property userPrincipalName already exists.")
    changes.pop("passwordProfile")
    doc = schema.merge(
        {**schema.defaults(USER.of("beta")), "id": new_guid(), "createdDateTime": utc(ctx.world.store.now())},
        {name: value for name, value in changes.items() if value is not None},
        USER.of("beta"),
    )
    ctx.world.directory.create("user", doc)
    return ctx.one(shown(ctx, doc, USER), USER, status=201)


# Update and delete


def check_application(ctx: Context, doc: Doc, before: Doc | None) -> None:
    """The rules of an application as a whole: identifier URIs, ids of roles and scopes, what is enabled stays."""
    for uri in doc["identifierUris"]:
        if before is None or uri not in before["identifierUris"]:
            _identifier_uri(ctx, doc, uri)
    scopes = (doc.get("api") or {}).get("oauth2PermissionScopes") or []
    for name, entries in (("appRoles", doc["appRoles"]), ("oauth2PermissionScopes", scopes)):
        ids = [entry["id"] for entry in entries]
        values = [entry["value"] for entry in entries if entry.get("value")]
        if len(set(ids)) < len(ids) or len(set(values)) < len(values):
            bad_request(
                f"Property {name} has duplicate values: each id and value must be unique.", code="DuplicateValue"
            )
        old = (
            before[name]
            if before is not None and name == "appRoles"
            else ((before or {}).get("api") or {}).get(name) or []
        )
        held = {entry["id"]: entry for entry in entries}
        for entry in old:
            now = held.get(entry["id"])
            changed = now is None or any(now.get(part) != entry.get(part) for part in ("value", "allowedMemberTypes"))
            if entry.get("isEnabled") and changed and (now is None or now.get("isEnabled")):
                text = "Permission (scope or role) cannot be deleted or updated unless disabled first."
                bad_request(text, code="CannotDeleteOrUpdateEnabledEntitlement")
    if len(doc["identifierUris"]) > 1200:
        bad_request("The size of the object has exceeded its limit.", code="Directory_ObjectSizeExceeded")


def _identifier_uri(ctx: Context, doc: Doc, uri: str) -> None:
    """Microsoft, "Identifier URIs of an application": `api://` with the app's or tenant's id, or a verified domain."""
    found = re.match(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<rest>[^\s/?#]+)(?P<path>[^\s?#]*)\Z", uri, re.IGNORECASE)
    if found is None:
        bad_request(
            f"Invalid value specified for property 'identifierUris' of resource 'Application'. '{uri}' is not an absolute URI."
        )
    parts = {part.lower() for part in (found["rest"], *found["path"].split("/")) if part}
    host = found["rest"].lower()
    verified = host == ctx.world.domain or host.endswith("." + ctx.world.domain)
    if not verified and not (found["scheme"].lower() == "api" and parts & {doc["appId"], ctx.world.tenant_id}):
        text = f"Values of identifierUris property must use a verified domain of the organization or its subdomain: '{host}'"
        bad_request(text, code="HostNameNotOnVerifiedDomain")
    others = [
        other for other in ctx.world.directory.find("application", "identifierUris", uri) if other["id"] != doc["id"]
    ]
    if others:
        bad_request("Another object with the same value for property identifierUris already exists.")


def update_object(ctx: Context, kind: Kind, object_id: str) -> Reply:
    """Merge a request body into an object."""
    doc = ctx.get(kind, object_id)
    may_write(ctx, kind, object_id)
    body = ctx.body()
    changes = schema.checked(body, kind.of(ctx.version), kind.name[0].upper() + kind.name[1:])
    changes.pop("passwordCredentials", None) if kind is APPLICATION else None
    if "displayName" in changes and not changes["displayName"]:
        bad_request("Invalid value specified for property 'displayName'.")
    directory = ctx.world.directory
    keys = changes.pop("keyCredentials", None)
    changes.pop("passwordProfile", None)
    passwords = changes.pop("passwordCredentials", None)
    if kind is PRINCIPAL:
        if changes.pop("appId", doc["appId"]) != doc["appId"]:
            bad_request("Property 'appId' is read-only and cannot be set.")
        for name in ("appRoles", "oauth2PermissionScopes"):
            changes.pop(name, None)
    after = schema.merge(doc, changes, kind.of("beta"))
    if kind is APPLICATION:
        check_application(ctx, after, doc)
    if keys is not None or passwords is not None:
        if keys is not None:
            set_keys(ctx, after, keys)
        if passwords is not None:
            keep_passwords(ctx, after, passwords)
    directory.update(after)
    if kind is APPLICATION:
        for principal in directory.find("servicePrincipal", "appId", after["appId"]):
            directory.update(reflect(after, principal))
    return Reply(204)


def delete_object(ctx: Context, kind: Kind, object_id: str) -> Reply:
    """Move an object to the deleted ones; an application takes its service principal along."""
    doc = ctx.get(kind, object_id)
    may_write(ctx, kind, object_id)
    directory = ctx.world.directory
    if kind is PRINCIPAL and doc["appId"] in first_party.by_app_id():
        # [?] Graph's own answer for a Microsoft service principal is not documented; any 4xx makes azuread go on.
        text = "The service principal is a Microsoft first-party application and cannot be deleted."
        refuse(403, "Authorization_RequestDenied", text)
    directory.delete(object_id)
    if kind is APPLICATION:
        for principal in directory.find("servicePrincipal", "appId", doc["appId"]):
            directory.delete(principal["id"])
            directory.drop_grants(principal["id"])
    if kind is PRINCIPAL:
        directory.drop_grants(object_id)
    return Reply(204)


# Links


def bound(ctx: Context, body: Doc, relation: str) -> list[str]:
    """The object ids of an ``…@odata.bind`` list, each of which must exist."""
    urls = body.get(f"{relation}@odata.bind") or []
    if not isinstance(urls, list) or len(urls) > 20:
        bad_request(f"Invalid value specified for property '{relation}@odata.bind'.")
    return [reference(ctx, url) for url in dict.fromkeys(str(url) for url in urls)]


def reference(ctx: Context, url: Any) -> str:
    """The id of the existing object that a reference URL names; its host does not matter."""
    found = re.search(r"([0-9a-fA-F-]{36})(?:'?\))?/?\Z", url) if isinstance(url, str) else None
    if found is None or not is_guid(found[1]):
        bad_request("Invalid URL format specified in payload.", code="Request_BadRequest")
    if ctx.world.directory.kind_of(found[1]) is None:
        not_found(found[1].lower())
    return found[1].lower()


def add_link(ctx: Context, kind: Kind, object_id: str, relation: str) -> Reply:
    """Add an owner or a member."""
    ctx.get(kind, object_id)
    may_link(ctx, kind, object_id, relation)
    target = reference(ctx, ctx.body().get("@odata.id"))
    target_kind = ctx.world.directory.kind_of(target)
    allowed = ("user", "servicePrincipal") if relation == "owners" else ("user", "servicePrincipal", "group")
    if target_kind not in allowed or (target == object_id.lower() and kind is GROUP):
        text = f"The reference to the object with id '{target}' cannot be added to '{relation}': it is a {target_kind}."
        bad_request(text)
    if not ctx.world.directory.link(object_id, relation, target):
        bad_request(
            f"One or more added object references already exist for the following modified properties: '{relation}'."
        )
    return Reply(204)


def remove_link(ctx: Context, kind: Kind, object_id: str, relation: str, target: str) -> Reply:
    """Remove an owner or a member."""
    ctx.get(kind, object_id)
    may_link(ctx, kind, object_id, relation)
    if not ctx.world.directory.unlink(object_id, relation, target):
        not_found(target)
    return Reply(204)


def may_link(ctx: Context, kind: Kind, object_id: str, relation: str) -> None:
    """403 unless the caller may change owners or members."""
    if kind.name == "directoryRole":
        ctx.need("RoleManagement.ReadWrite.Directory")
    elif kind is GROUP and relation == "members":
        ctx.need("GroupMember.ReadWrite.All", *WRITE["group"])
    else:
        may_write(ctx, kind, object_id)


def list_links(ctx: Context, kind: Kind, object_id: str, relation: str) -> Reply:
    """Owners, members, or what an object is a member of."""
    may_read(ctx, kind)
    ctx.get(kind, object_id)
    return ctx.many(_linked(ctx, object_id, relation), "directoryObjects")


def list_refs(ctx: Context, kind: Kind, object_id: str, relation: str) -> Reply:
    """The URLs of owners or members."""
    may_read(ctx, kind)
    ctx.get(kind, object_id)
    ids = ctx.world.directory.targets(object_id, relation)
    urls = [
        {"@odata.id": f"{ctx.base}/directoryObjects/{one}/Microsoft.DirectoryServices.DirectoryObject"} for one in ids
    ]
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#Collection($ref)", "value": urls})


CREATE = {
    "applications": create_application,
    "serviceprincipals": create_principal,
    "groups": create_group,
    "users": create_user,
}


def _register(kind: Kind) -> None:
    plural = kind.plural

    routes.add("GET", plural)(lambda ctx: list_objects(ctx, kind))
    routes.add("GET", f"{plural}/$count")(lambda ctx: _count(ctx, kind))
    routes.add("GET", f"{plural}/*")(lambda ctx, one: get_object(ctx, kind, one))
    if plural.lower() in CREATE:
        routes.add("POST", plural)(CREATE[plural.lower()])
        routes.add("PATCH", f"{plural}/*")(lambda ctx, one: update_object(ctx, kind, one))
        routes.add("DELETE", f"{plural}/*")(lambda ctx, one: delete_object(ctx, kind, one))
    relations = {"group": ("owners", "members"), "directoryRole": ("members",), "user": ()}.get(kind.name, ("owners",))
    for relation in relations:
        _register_relation(kind, relation)
    if kind.name in ("group", "servicePrincipal", "user"):
        for name in ("memberOf", "transitiveMemberOf"):
            routes.add("GET", f"{plural}/*/{name}")(lambda ctx, one: list_links(ctx, kind, one, "memberOf"))


def _register_relation(kind: Kind, relation: str) -> None:
    path = f"{kind.plural}/*/{relation}"
    routes.add("GET", path)(lambda ctx, one: list_links(ctx, kind, one, relation))
    routes.add("GET", f"{path}/$ref")(lambda ctx, one: list_refs(ctx, kind, one, relation))
    routes.add("POST", f"{path}/$ref")(lambda ctx, one: add_link(ctx, kind, one, relation))
    routes.add("DELETE", f"{path}/*/$ref")(lambda ctx, one, target: remove_link(ctx, kind, one, relation, target))


def _count(ctx: Context, kind: Kind) -> Reply:
    may_read(ctx, kind)
    if ctx.call.headers.get("consistencylevel", "").lower() != "eventual":
        bad_request("$count is not currently supported.", code="Request_BadRequest")
    return Reply(200, str(ctx.world.directory.count(kind.name)).encode(), {"Content-Type": "text/plain"})  # type: ignore[arg-type]


for _kind in PLURALS.values():
    _register(_kind)
