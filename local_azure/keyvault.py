"""Key Vault's data plane: the secrets of a vault.

A vault answers at ``https://NAME.vault.localhost:PORT`` where names below ``localhost`` resolve, and everywhere at
``https://localhost:PORT/vaults/NAME``; `vaultUri` is whichever this machine can reach. Ids of secrets are always of the first form,
because clients read name and version from their path.

Sources: azure-rest-api-specs (keyvault secrets 7.4 to 7.6), "Authentication, requests and
responses", "Key Vault soft-delete overview", "Azure Key Vault RBAC guide", and error bodies quoted in issue threads.
"""

from __future__ import annotations

import json
import re
import socket
from functools import cache
from typing import Any, NoReturn

from cryptography.fernet import InvalidToken

from entrant.facts.scopes import parse_scope
from local_azure import first_party
from local_azure.access import Caller, accepts, bearer, caller_of, permitted
from local_azure.tokens import TokenError
from local_azure.tree import no_method
from local_azure.vaults import SecretVersion, Vault
from local_azure.wire import Call, Refused, Reply, new_guid, parse_json, utc
from local_azure.world import World

Doc = dict[str, Any]

HOST = re.compile(r"([a-z0-9-]+)\.vault\.localhost(:\d+)?\Z", re.IGNORECASE)
VERSION = re.compile(r"7\.[0-6]|20\d\d-\d\d-\d\d(-preview(\.\d)?)?")
SECRET_NAME = re.compile(r"[0-9A-Za-z-]{1,127}\Z")
LARGEST_VALUE = 25 * 1024
LARGEST_PAGE = 25
ABSENT = (
    "A secret with (name/id) {} was not found in this key vault. If you recently deleted this secret you may be able to recover it "
    "using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
)
DATA_ACTIONS = {
    "get": "getSecret/action",
    "set": "setSecret/action",
    "update": "update/action",
    "list": "readMetadata/action",
    "delete": "delete",
    "recover": "recover/action",
    "purge": "purge/action",
    "backup": "backup/action",
    "restore": "restore/action",
}
"""An access policy's permission → what follows `Microsoft.KeyVault/vaults/secrets/` in the data action of roles."""


def handle(world: World, call: Call) -> Reply | None:
    """Answer a request to a vault; `None` when it is for none."""
    found = HOST.match(call.headers.get("host", ""))
    if found is not None:
        name, rest, origin = found[1], call.segments, f"https://{call.headers['host']}"
    elif (segments := call.segments)[:1] == ["vaults"] and len(segments) > 1:
        name, rest, origin = segments[1], segments[2:], world.url
    else:
        return None
    request = _Request(world, call, name.lower(), origin)
    if call.method in ("GET", "HEAD"):
        return request.answer(rest)
    with world.store.write():
        return request.answer(rest)


def vault_uri(world: World, name: str) -> str:
    """Where clients on this machine reach a vault, with the trailing slash of Azure's `vaultUri`."""
    return f"https://{name}.{_suffix(world)}/" if _resolves() else f"{world.url}/vaults/{name}/"


def resource(world: World) -> str:
    """The audience that a vault's challenge asks for: the domain of all vaults here."""
    return f"https://{_suffix(world)}"


def _suffix(world: World) -> str:
    return world.url.removeprefix("https://").replace("localhost", "vault.localhost", 1)


@cache
def _resolves() -> bool:
    """Whether this machine takes names below ``localhost`` for itself, as RFC 6761 wants and glibc alone does not."""
    try:
        found = socket.getaddrinfo("a.vault.localhost", None, proto=socket.IPPROTO_TCP)
    except OSError:
        return False
    return all(str(entry[4][0]) in ("127.0.0.1", "::1") for entry in found)


class _Request:
    """One request to the data plane of a vault."""

    def __init__(self, world: World, call: Call, name: str, origin: str) -> None:
        self.world, self.call, self.origin, self.vaults = world, call, origin, world.vaults
        self.caller = self._authenticate()
        version = call.query.get("api-version", "")
        if not VERSION.fullmatch(version):
            _no(
                400,
                "BadParameter",
                f"The specified version ({version[:40]}) is not recognized. Consider using 7.6.",
            )
        vault = self.vaults.get(name)
        if vault is None or vault.deleted is not None:
            # In Azure the name of such a vault does not resolve; here something has to be said.
            _no(404, "VaultNotFound", f"There is no vault '{name[:40]}' in this local Azure.")
        self.vault = vault

    def answer(self, rest: list[str]) -> Reply:
        """The answer to a request for the path `rest` below the vault."""
        match self.call.method, [part if at == 1 else part.lower() for at, part in enumerate(rest)]:
            case "GET", ["secrets"]:
                return self._list(deleted=False)
            case "POST", ["secrets", "restore"]:
                return self._restore()
            case "GET", ["secrets", name, "versions"]:
                return self._list_versions(name)
            case "POST", ["secrets", name, "backup"]:
                return self._backup(name)
            case "PUT", ["secrets", name]:
                return self._set(name)
            case "DELETE", ["secrets", name]:
                return self._delete(name)
            case "GET", ["secrets", name] | ["secrets", name, _]:
                return self._get(name, rest[2] if len(rest) > 2 else "")
            case "PATCH", ["secrets", name] | ["secrets", name, _]:
                return self._update(name, rest[2] if len(rest) > 2 else "")
            case "GET", ["deletedsecrets"]:
                return self._list(deleted=True)
            case "GET", ["deletedsecrets", name]:
                self._may("list", name)
                return Reply(200, self._bundle(self._deleted(name)[-1]))
            case "POST", ["deletedsecrets", name, "recover"]:
                return self._recover(name)
            case "DELETE", ["deletedsecrets", name]:
                return self._purge(name)
            case _, ["secrets" | "deletedsecrets", *_]:
                no_method(self.call)
        _no(404, "NotFound", f"This local Azure has no '{'/'.join(rest)[:60]}' in vaults; it serves secrets.")

    # Who may

    def _authenticate(self) -> Caller:
        world = self.world
        challenge = {
            "WWW-Authenticate": f'Bearer authorization="{world.url}/{world.tenant_id}", resource="{resource(world)}"'
        }
        token = bearer(self.call)
        if token is None:
            _no(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.", headers=challenge)
        try:
            claims = world.signer.verify(token)
        except TokenError as error:
            text = "AKV10046: Unable to resolve the key used for signature validation."
            if error.expired_at is not None:
                text = f"AKV10039: The token has expired at {utc(error.expired_at)}."
            _no(401, "Unauthorized", text, headers=challenge)
        audience = str(claims["aud"])
        if audience.rstrip("/").lower() != resource(world) and not accepts(world, audience, "keyvault"):
            allowed = ", ".join(first_party.audiences_of("keyvault"))
            text = f"AKV10022: Invalid audience. Expected {allowed}, found: {audience}."
            _no(401, "Unauthorized", text, headers=challenge)
        return caller_of(world, claims)

    def _may(self, permission: str, name: str | None = None) -> None:
        """403 unless the caller may do this to the secret of this name (to all, when it is `None`)."""
        if name is not None and not SECRET_NAME.match(name):
            _no(400, "BadParameter", f"The request URI contains an invalid name: {name[:140]}")
        doc, caller = self.vault.doc, self.caller
        who = f"appid={caller.app_id};oid={caller.object_id};iss=https://sts.windows.net/{self.world.tenant_id}/"
        where = f"{doc['name']};location={doc.get('location')}"
        if not doc["properties"]["enableRbacAuthorization"]:
            wanted = "set" if permission == "update" else permission
            for policy in doc["properties"]["accessPolicies"]:
                granted = [str(one).lower() for one in (policy.get("permissions") or {}).get("secrets") or []]
                if str(policy.get("objectId")).lower() in caller.principals and (wanted in granted or "all" in granted):
                    return
            text = (
                f"The user, group or application '{who}' does not have secrets {wanted} permission on key vault '{where}'. "
                "For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287"
            )
            _no(403, "Forbidden", text, inner="AccessDenied")
        action = f"Microsoft.KeyVault/vaults/secrets/{DATA_ACTIONS[permission]}"
        scope = f"{doc['id']}/secrets/{name}" if name is not None else doc["id"]
        if not permitted(self.world, caller, action, parse_scope(scope), data=True):
            text = (
                "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role "
                f"definitions were changed recently, please observe propagation time.\r\nCaller: {who}\r\nAction: '{action}'\r\n"
                f"Resource: '{scope.lower()}'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null \r\n"
                f"Vault: {where}\r\n"
            )
            _no(403, "Forbidden", text, inner="ForbiddenByRbac")

    # What there is

    def _live(self, name: str) -> list[SecretVersion]:
        found = self.vaults.versions(self.vault, name)
        if not found:
            _no(404, "SecretNotFound", ABSENT.format(name))
        return found

    def _one(self, name: str, version: str) -> SecretVersion:
        found = self._live(name)
        one = next((one for one in reversed(found) if version.lower() in ("", one.version)), None)
        if one is None:
            _no(404, "SecretNotFound", ABSENT.format(f"{name}/{version[:40]}"))
        return one

    def _deleted(self, name: str) -> list[SecretVersion]:
        found = self.vaults.versions(self.vault, name, deleted=True)
        if not found:
            text = f"Deleted Secret not found: {name}"
            _no(404, "SecretNotFound", text)
        return found

    def _item(self, one: SecretVersion, *, versioned: bool) -> Doc:
        doc, named = one.doc, f"{resource(self.world).replace('://', f'://{self.vault.name}.', 1)}/"
        item: Doc = {
            "id": f"{named}secrets/{one.name}" + (f"/{one.version}" if versioned else ""),
            "contentType": doc["contentType"],
            "attributes": {
                **doc["attributes"],
                "created": int(one.created),
                "updated": int(one.updated),
                "recoveryLevel": "Recoverable"
                if self.vault.doc["properties"].get("enablePurgeProtection")
                else "Recoverable+Purgeable",
                "recoverableDays": int(self.vault.retention // 86400),
            },
            "tags": doc["tags"],
        }
        if one.deleted is not None:
            item["recoveryId"] = f"{named}deletedsecrets/{one.name}"
            item["deletedDate"] = int(one.deleted)
            item["scheduledPurgeDate"] = int(one.deleted + self.vault.retention)
        return {key: value for key, value in item.items() if value is not None}

    def _bundle(self, one: SecretVersion) -> Doc:
        return self._item(one, versioned=True)

    def _page(self, found: list[SecretVersion], size: int, *, versioned: bool) -> Reply:
        shown, more = found[:size], len(found) > size
        query = (
            f"api-version={self.call.query['api-version']}&$skiptoken={shown[-1].seq if shown else 0}&maxresults={size}"
        )
        link = f"{self.origin}{self.call.path}?{query}" if more else None
        return Reply(200, {"value": [self._item(one, versioned=versioned) for one in shown], "nextLink": link})

    def _window(self) -> tuple[int, int]:
        """Where a page starts and how many it has."""
        query = self.call.query
        size = query.get("maxresults", str(LARGEST_PAGE))
        if not re.fullmatch(r"\d{1,6}", size, re.ASCII) or not 1 <= int(size) <= LARGEST_PAGE:
            _no(400, "BadParameter", f"The maxresults value must be between 1 and {LARGEST_PAGE}.")
        token = query.get("$skiptoken", "0")
        if not re.fullmatch(r"\d{1,15}", token, re.ASCII):
            _no(400, "BadParameter", "The $skiptoken is not one of this service's.")
        return int(token), int(size)

    # What is asked

    def _list(self, *, deleted: bool) -> Reply:
        self._may("list")
        after, size = self._window()
        return self._page(
            self.vaults.newest(self.vault, after=after, limit=size + 1, deleted=deleted), size, versioned=False
        )

    def _list_versions(self, name: str) -> Reply:
        self._may("list", name)
        after, size = self._window()
        found = [one for one in self.vaults.versions(self.vault, name) if one.seq > after]
        return self._page(found, size, versioned=True)

    def _get(self, name: str, version: str) -> Reply:
        self._may("get", name)
        one = self._one(name, version)
        if not one.doc["attributes"]["enabled"]:
            _no(403, "Forbidden", "Operation get is not allowed on a disabled secret.", inner="SecretDisabled")
        return Reply(200, {"value": self.vaults.value(one), **self._bundle(one)})

    def _set(self, name: str) -> Reply:
        self._may("set", name)
        body = self._body()
        value = body.get("value")
        if not isinstance(value, str):
            _no(400, "BadParameter", "The value of the secret must be a string.")
        one = set_secret(self.world, self.vault, name, value, body)
        return Reply(200, {"value": value, **self._bundle(one)})

    def _update(self, name: str, version: str) -> Reply:
        self._may("update", name)
        one = self._one(name, version)
        body = self._body()
        if "value" in body:
            _no(400, "BadParameter", "The value of a secret's version cannot be changed: set a new version.")
        self.vaults.update(self.vault.name, one, described(body, one.doc))
        return Reply(200, self._bundle(self._one(name, one.version)))

    def _delete(self, name: str) -> Reply:
        self._may("delete", name)
        self._live(name)
        self.vaults.set_deleted(self.vault.name, name, self.world.store.now())
        return Reply(200, self._bundle(self._deleted(name)[-1]))

    def _recover(self, name: str) -> Reply:
        self._may("recover", name)
        self._deleted(name)
        self.vaults.set_deleted(self.vault.name, name, None)
        return Reply(200, self._bundle(self._live(name)[-1]))

    def _purge(self, name: str) -> Reply:
        self._may("purge", name)
        self._deleted(name)
        if self.vault.doc["properties"].get("enablePurgeProtection"):
            text = 'Operation "purge" is not allowed because purge protection is enabled for this vault.'
            _no(403, "Forbidden", text, inner="PurgeProtectionEnabled")
        self.vaults.forget(self.vault.name, name)
        return Reply(204)

    def _backup(self, name: str) -> Reply:
        """All versions in one text that only this local Azure can read, and only restores in the same vault's subscription."""
        self._may("backup", name)
        held = [[one.name, one.version, one.created, one.doc, self.vaults.value(one)] for one in self._live(name)]
        return Reply(200, {"value": self.vaults.seal(json.dumps(held))})

    def _restore(self) -> Reply:
        self._may("restore")
        try:
            held = json.loads(self.vaults.unseal(str(self._body().get("value"))))
        except (InvalidToken, UnicodeEncodeError):
            _no(400, "BadParameter", "The backup is not one of this service's.")
        name = str(held[0][0])
        if self.vaults.versions(self.vault, name) or self.vaults.versions(self.vault, name, deleted=True):
            _no(409, "Conflict", f"A secret with the name {name} exists already in this vault.")
        for name, version, created, doc, value in held:
            self.vaults.add(self.vault.name, name, version, doc, value, at=created)
        return Reply(200, self._bundle(self._live(name)[-1]))

    def _body(self) -> Doc:
        try:
            body = parse_json(self.call.body)
        except ValueError:
            body = None
        if not isinstance(body, dict):
            _no(400, "BadParameter", "The request body must be a JSON object.")
        return body


def set_secret(world: World, vault: Vault, name: str, value: str, body: Doc) -> SecretVersion:
    """Add a version of a secret; `body` may have `contentType`, `tags` and `attributes` (`enabled`, `nbf`, `exp`)."""
    if len(value.encode("utf-8", "replace")) > LARGEST_VALUE:
        _no(400, "BadParameter", "The value of the secret must not be larger than 25 KB.")
    if world.vaults.versions(vault, name, deleted=True):
        text = (
            f"Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the "
            "secret can only be recovered or purged."
        )
        _no(409, "Conflict", text, inner="ObjectIsDeletedButRecoverable")
    doc = described(body, {"attributes": {"enabled": True}, "contentType": None, "tags": None})
    if not world.vaults.versions(vault, name):
        world.vaults.forget(vault.name, name)  # What was deleted so long ago that it is past recovery.
    version = new_guid().replace("-", "")
    world.vaults.add(vault.name, name, version, doc, value)
    return world.vaults.versions(vault, name)[-1]


def described(body: Doc, before: Doc) -> Doc:
    """What is said about a secret after a change: what is not given stays."""
    kind, tags, attributes = body.get("contentType"), body.get("tags"), body.get("attributes")
    if kind is not None and (not isinstance(kind, str) or len(kind) > 255):
        _no(400, "BadParameter", "'contentType' must be a string of at most 255 characters.")
    if tags is not None and (
        not isinstance(tags, dict) or len(tags) > 15 or not all(isinstance(one, str) for one in tags.values())
    ):
        _no(400, "BadParameter", "'tags' must be at most 15 pairs of strings.")
    if attributes is not None and not isinstance(attributes, dict):
        _no(400, "BadParameter", "'attributes' must be an object.")
    changed = dict(before["attributes"])
    for name, value in (attributes or {}).items():
        right = isinstance(value, bool) if name == "enabled" else type(value) is int and 0 <= value < 2**40
        if name in ("enabled", "nbf", "exp") and value is not None:
            if not right:
                _no(400, "BadParameter", f"The attribute '{name}' has a value that it cannot have.")
            changed[name] = value
    if changed.get("exp", 2**41) <= changed.get("nbf", -1):
        _no(400, "BadParameter", "'exp' must be later than 'nbf'.")
    return {
        "attributes": changed,
        "contentType": before["contentType"] if kind is None else kind,
        "tags": before["tags"] if tags is None else tags,
    }


def _no(
    status: int, code: str, message: str, *, inner: str | None = None, headers: dict[str, str] | None = None
) -> NoReturn:
    """Refuse in the data plane's shape; a code of more detail is in `innererror`."""
    error: Doc = {"code": code, "message": message}
    if inner is not None:
        error["innererror"] = {"code": inner}
    raise Refused(Reply(status, {"error": error}, headers or {}), inner or code, message)
