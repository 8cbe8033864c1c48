"""Applications and service principals: create, update, delete, what binds the two, templates and logos."""

from __future__ import annotations

import re
from typing import Any

from local_azure import first_party
from local_azure.graph import types
from local_azure.graph.context import Context, routes
from local_azure.graph.credentials import add_password, keep_passwords, set_keys
from local_azure.graph.errors import bad_request, not_found, refuse
from local_azure.graph.links import bound
from local_azure.graph.reading import shown
from local_azure.graph.rights import APPLICATION, PRINCIPAL, WRITE, may_read, may_write
from local_azure.wire import Reply, new_guid, utc

Doc = dict[str, Any]

MOST_URIS = 1200
LARGEST_LOGO = 100 * 1024


def make_application(ctx: Context, changes: Doc) -> Doc:
    """Store a new application with these (checked) properties."""
    doc = APPLICATION.new(
        changes,
        id=ctx.world.reserved("application", str(changes.get("displayName"))) or new_guid(),
        appId=new_guid(),
        createdDateTime=utc(ctx.world.store.now()),
        publisherDomain=ctx.world.domain,
    )
    check_application(ctx, doc, None)
    ctx.make_room()
    ctx.world.directory.create("application", doc)
    return doc


def make_principal(ctx: Context, application: Doc, changes: Doc) -> Doc:
    """Store the service principal of an application."""
    doc = PRINCIPAL.new(
        changes,
        id=ctx.world.reserved("servicePrincipal", application["id"]) or new_guid(),
        createdDateTime=utc(ctx.world.store.now()),
        appOwnerOrganizationId=ctx.world.tenant_id,
    )
    doc = reflect(application, doc)
    ctx.make_room()
    ctx.world.directory.create("servicePrincipal", doc)
    return doc


@routes.add("POST", "applications")
def _create_application(ctx: Context) -> Reply:
    may_write(ctx, APPLICATION, None)
    body = ctx.body()
    changes = APPLICATION.checked(body, ctx.version)
    if not changes.get("displayName"):
        bad_request("One or more property values specified are invalid. Property 'displayName' is required.")
    passwords = changes.pop("passwordCredentials", None) or []
    keys = changes.pop("keyCredentials", None) or []
    owners = bound(ctx, body, "owners")
    doc = make_application(ctx, changes)
    for owner in owners:
        ctx.world.directory.link(doc["id"], "owners", owner)
    secrets = [add_password(ctx, doc, wanted) for wanted in passwords]
    if keys:
        set_keys(ctx, doc, keys)
    if keys or secrets:
        ctx.world.directory.update(doc)
    answer = shown(ctx, doc, APPLICATION)
    if secrets:
        answer["passwordCredentials"] = secrets
    return ctx.one(answer, APPLICATION, status=201)


@routes.add("POST", "servicePrincipals")
def _create_principal(ctx: Context) -> Reply:
    may_write(ctx, PRINCIPAL, None)
    body = ctx.body()
    changes = PRINCIPAL.checked(body, ctx.version)
    app_id = changes.get("appId")
    if not app_id:
        bad_request("One or more property values specified are invalid. Property 'appId' is required.")
    directory = ctx.world.directory
    application = next(iter(directory.find("application", "appId", app_id)), None)
    if application is not None:
        # [?] No document says it of apps; without it, who may write nothing but its own could act as any other app.
        ctx.need(*WRITE["servicePrincipal"], owned=application["id"], on=application["id"])
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
    owners = bound(ctx, body, "owners")
    doc = make_principal(ctx, application, changes)
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
    if len(doc["identifierUris"]) > MOST_URIS:
        bad_request("The size of the object has exceeded its limit.", code="Directory_ObjectSizeExceeded")


def _identifier_uri(ctx: Context, doc: Doc, uri: str) -> None:
    """Microsoft, "Identifier URIs of an application": `api://` with the app's or tenant's id, or a verified domain."""
    found = re.match(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<rest>[^\s/?#]+)(?P<path>(/[^\s?#]*)?)\Z", uri, re.IGNORECASE)
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


@routes.add("PATCH", "applications/*")
def _update_application(ctx: Context, object_id: str) -> Reply:
    doc = ctx.get(APPLICATION, object_id)
    may_write(ctx, APPLICATION, object_id)
    changes = APPLICATION.checked(ctx.body(), ctx.version)
    if "displayName" in changes and not changes["displayName"]:
        bad_request("Invalid value specified for property 'displayName'.")
    keys, passwords = changes.pop("keyCredentials", None), changes.pop("passwordCredentials", None)
    after = APPLICATION.merged(doc, changes)
    check_application(ctx, after, doc)
    if keys is not None:
        set_keys(ctx, after, keys)
    if passwords is not None:
        keep_passwords(ctx, after, passwords)
    ctx.world.directory.update(after)
    for principal in ctx.world.directory.find("servicePrincipal", "appId", after["appId"]):
        ctx.world.directory.update(reflect(after, principal))
    return Reply(204)


@routes.add("PATCH", "servicePrincipals/*")
def _update_principal(ctx: Context, object_id: str) -> Reply:
    doc = ctx.get(PRINCIPAL, object_id)
    may_write(ctx, PRINCIPAL, object_id)
    changes = PRINCIPAL.checked(ctx.body(), ctx.version)
    if changes.pop("appId", doc["appId"]) != doc["appId"]:
        bad_request("Property 'appId' is read-only and cannot be set.")
    for name in ("appRoles", "displayName", "oauth2PermissionScopes"):
        changes.pop(name, None)
    keys, passwords = changes.pop("keyCredentials", None), changes.pop("passwordCredentials", None)
    after = PRINCIPAL.merged(doc, changes)
    if keys is not None:
        set_keys(ctx, after, keys)
    if passwords is not None:
        keep_passwords(ctx, after, passwords)
    ctx.world.directory.update(after)
    return Reply(204)


@routes.add("DELETE", "applications/*")
def _delete_application(ctx: Context, object_id: str) -> Reply:
    """Move an application to the deleted items, and its service principal with it."""
    doc = ctx.get(APPLICATION, object_id)
    may_write(ctx, APPLICATION, object_id)
    directory = ctx.world.directory
    directory.delete(object_id)
    for principal in directory.find("servicePrincipal", "appId", doc["appId"]):
        directory.delete(principal["id"])
        directory.drop_grants(principal["id"])
    return Reply(204)


@routes.add("DELETE", "servicePrincipals/*")
def _delete_principal(ctx: Context, object_id: str) -> Reply:
    doc = ctx.get(PRINCIPAL, object_id)
    may_write(ctx, PRINCIPAL, object_id)
    if doc["appId"] in first_party.by_app_id():
        # [?] Graph's own answer for a Microsoft service principal is not documented; any 4xx makes azuread go on.
        text = "The service principal is a Microsoft first-party application and cannot be deleted."
        refuse(403, "Authorization_RequestDenied", text)
    ctx.world.directory.delete(object_id)
    ctx.world.directory.drop_grants(object_id)
    return Reply(204)


# Templates

TEMPLATE = {
    "id": "8adf8e6e-67b2-4cf2-a259-e3dc5476c621",
    "displayName": "Custom",
    "homePageUrl": None,
    "supportedSingleSignOnModes": ["password", "saml", "external", "notSupported"],
    "supportedProvisioningTypes": ["sync"],
    "logoUrl": None,
    "categories": [],
    "publisher": None,
    "description": "A custom, non-gallery application.",
}
"""The template of a non-gallery application, the one that exists in every tenant under this id."""


@routes.add("GET", "applicationTemplates")
def _templates(ctx: Context) -> Reply:
    return ctx.many([TEMPLATE], "applicationTemplates")


@routes.add("GET", "applicationTemplates/*")
def _template(ctx: Context, key: str) -> Reply:
    if key.lower() != TEMPLATE["id"]:
        not_found(key)
    return Reply(200, {"@odata.context": f"{ctx.base}/$metadata#applicationTemplates/$entity", **TEMPLATE})


@routes.add("POST", "applicationTemplates/*/instantiate")
def _instantiate(ctx: Context, key: str) -> Reply:
    """An application and a service principal at once."""
    may_write(ctx, APPLICATION, None)
    if key.lower() != TEMPLATE["id"]:
        not_found(key)
    body = types.checked(ctx.body(), {"displayName": APPLICATION.properties["displayName"]}, APPLICATION.title)
    if not body.get("displayName"):
        bad_request("One or more property values specified are invalid. Property 'displayName' is required.")
    application = make_application(ctx, body | {"tags": ["WindowsAzureActiveDirectoryIntegratedApp"]})
    application["applicationTemplateId"] = TEMPLATE["id"]
    ctx.world.directory.update(application)
    principal = make_principal(ctx, application, {"tags": application["tags"]})
    principal["applicationTemplateId"] = TEMPLATE["id"]
    ctx.world.directory.update(principal)
    return Reply(
        201,
        {
            "@odata.context": f"{ctx.base}/$metadata#microsoft.graph.applicationServicePrincipal",
            "application": shown(ctx, application, APPLICATION),
            "servicePrincipal": shown(ctx, principal, PRINCIPAL),
        },
    )


# Logos


@routes.add("PUT", "applications/*/logo")
def _set_logo(ctx: Context, object_id: str) -> Reply:
    doc = ctx.get(APPLICATION, object_id)
    may_write(ctx, APPLICATION, object_id)
    kind = ctx.call.headers.get("content-type", "").split(";")[0].strip().lower()
    if not re.fullmatch(r"image/[a-z0-9.+-]{1,40}", kind) or not 0 < len(ctx.call.body) <= LARGEST_LOGO:
        bad_request("The logo must be an image of at most 100 KB.")
    store = ctx.world.store
    store.run("INSERT OR REPLACE INTO blob VALUES (?, 'logo', ?, ?)", object_id.lower(), kind, ctx.call.body)
    doc["info"]["logoUrl"] = f"{ctx.base}/applications/{doc['id']}/logo"
    ctx.world.directory.update(doc)
    return Reply(204)


@routes.add("GET", "applications/*/logo")
def _logo(ctx: Context, object_id: str) -> Reply:
    may_read(ctx, APPLICATION)
    ctx.get(APPLICATION, object_id)
    found = ctx.world.store.row("SELECT type, data FROM blob WHERE owner = ? AND name = 'logo'", object_id.lower())
    if found is None:
        not_found("logo")
    return Reply(200, bytes(found[1]), {"Content-Type": found[0]})
