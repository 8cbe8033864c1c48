"""Federated identity credentials of applications (v1.0; with `claimsMatchingExpression` in beta).

Source: Microsoft Graph, "federatedIdentityCredential resource type": at most 20 for an application, one audience, the name cannot
be changed, issuer and subject together are unique.
"""

from __future__ import annotations

import re
from typing import Any

from local_azure.graph import types
from local_azure.graph.context import Context, routes
from local_azure.graph.errors import bad_request, not_found
from local_azure.graph.reading import expandable
from local_azure.graph.rights import APPLICATION, may_read, may_write
from local_azure.wire import Reply, new_guid

Doc = dict[str, Any]

MOST = 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,119}\Z")
PROPERTIES: dict[str, types.Type] = {
    "id": types.Guid(read_only=True),
    "audiences": types.Many(of=types.Str(longest=600)),
    "claimsMatchingExpression": types.Complex(
        of={"languageVersion": types.Int(), "value": types.Str(longest=1000)}, required=("languageVersion", "value")
    ),
    "description": types.Str(longest=600),
    "issuer": types.Str(longest=600),
    "name": types.Str(longest=120),
    "subject": types.Str(longest=600),
}
COLLECTION = "applications/*/federatedIdentityCredentials"


def _properties(ctx: Context) -> dict[str, types.Type]:
    return {
        name: spec for name, spec in PROPERTIES.items() if ctx.version == "beta" or name != "claimsMatchingExpression"
    }


def _shown(ctx: Context, doc: Doc) -> Doc:
    return {name: doc.get(name) for name in _properties(ctx)}


def _held(ctx: Context, application: str, key: str) -> Doc:
    """The credential with this id or name."""
    for _, doc in ctx.world.credentials.federated(application):
        if key.lower() == doc["id"] or key == doc["name"]:
            return doc
    not_found(key)


def _answer(ctx: Context, application: str, doc: Doc, status: int) -> Reply:
    context = f"{ctx.base}/$metadata#applications('{application}')/federatedIdentityCredentials/$entity"
    return Reply(status, {"@odata.context": context, **ctx.select(_shown(ctx, doc), None)})


def _check(ctx: Context, application: str, doc: Doc) -> None:
    if not NAME.match(doc.get("name") or ""):
        text = "Property name is invalid: 1 to 120 letters, digits, '-' or '_', the first a letter or a digit."
        bad_request(text)
    if not re.match(r"https?://[^\s]+\Z", doc.get("issuer") or ""):
        bad_request("Property issuer is invalid: it must be a URL.")
    flexible = (doc.get("claimsMatchingExpression") or {}).get("value")
    if bool(doc.get("subject")) == bool(flexible):
        either = " or a claimsMatchingExpression, not both" if ctx.version == "beta" else ""
        bad_request(f"Property subject is invalid: give a subject{either}.")
    if len(doc.get("audiences") or []) != 1 or not doc["audiences"][0]:
        bad_request("Property audiences is invalid: there must be exactly one audience.")
    others = [other for _, other in ctx.world.credentials.federated(application) if other["id"] != doc["id"]]
    if any(other["name"] == doc["name"] for other in others):
        text = f"FederatedIdentityCredential with name {doc['name']} already exists."
        bad_request(text, code="Request_MultipleObjectsWithSameKeyValue")
    same = ("issuer", "subject")
    if doc.get("subject") and any(all(other.get(name) == doc[name] for name in same) for other in others):
        text = f"Issuer and subject combination already exists for this Managed Identity/Application: {doc['subject']}"
        bad_request(text, code="Request_BadRequest")
    if len(others) >= MOST:
        text = f"An application cannot have more than {MOST} federated identity credentials."
        bad_request(text, code="Directory_QuotaExceeded")


@routes.add("GET", COLLECTION)
def _list(ctx: Context, application: str) -> Reply:
    may_read(ctx, APPLICATION)
    ctx.get(APPLICATION, application)
    return ctx.many(_all(ctx, application), f"applications('{application}')/federatedIdentityCredentials")


def _all(ctx: Context, application: str) -> list[Doc]:
    return [_shown(ctx, doc) for _, doc in ctx.world.credentials.federated(application)]


expandable("federatedIdentityCredentials", "application")(_all)


@routes.add("POST", COLLECTION)
def _create(ctx: Context, application: str) -> Reply:
    ctx.get(APPLICATION, application)
    may_write(ctx, APPLICATION, application)
    body = types.checked(ctx.body(), _properties(ctx), "FederatedIdentityCredential")
    doc = types.defaults(PROPERTIES) | {"id": new_guid()} | body
    _check(ctx, application, doc)
    doc["id"] = ctx.world.take_reserved("federatedIdentityCredential", f"{application}/{doc['name']}") or doc["id"]
    ctx.world.credentials.add_federated(application, doc)
    return _answer(ctx, application, doc, 201)


@routes.add("GET", f"{COLLECTION}/*")
def _read(ctx: Context, application: str, key: str) -> Reply:
    may_read(ctx, APPLICATION)
    ctx.get(APPLICATION, application)
    return _answer(ctx, application, _held(ctx, application, key), 200)


@routes.add("PATCH", f"{COLLECTION}/*")
def _update(ctx: Context, application: str, key: str) -> Reply:
    ctx.get(APPLICATION, application)
    may_write(ctx, APPLICATION, application)
    doc = _held(ctx, application, key)
    body = types.checked(ctx.body(), _properties(ctx), "FederatedIdentityCredential")
    if body.get("name", doc["name"]) != doc["name"]:
        bad_request("Property name is read-only and cannot be set.")
    after = types.merge(doc, body, PROPERTIES)
    _check(ctx, application, after)
    ctx.world.credentials.update_federated(after)
    return Reply(204)


@routes.add("DELETE", f"{COLLECTION}/*")
def _delete(ctx: Context, application: str, key: str) -> Reply:
    ctx.get(APPLICATION, application)
    may_write(ctx, APPLICATION, application)
    ctx.world.credentials.remove_federated(application, _held(ctx, application, key)["id"])
    return Reply(204)
