"""Azure Resource Manager scopes: the ids that role assignments are made at.

Source: Azure RBAC documentation, "Understand scope for Azure RBAC": root, management group, subscription, resource group,
resource (child and extension resources included). Ids compare without regard to case.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["root", "management_group", "subscription", "resource_group", "resource"]

GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_GROUP_NAME = re.compile(r"[\w().-]{0,89}[\w()-]")
_SEGMENT = re.compile(r"[^/?#&%<>\\\s]+")
_NAMESPACE = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_MANAGEMENT_GROUP = "/providers/Microsoft.Management/managementGroups/"


class ScopeError(ValueError):
    """A text is not an Azure scope; the message says what is wrong with which part."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A parsed scope. `id` has no trailing slash and Azure's spelling of the fixed words (`/subscriptions/…/resourceGroups/…`)."""

    kind: Kind
    id: str
    subscription: str | None = None
    resource_group: str | None = None
    provider: str | None = None
    """Namespace of the (outermost) resource provider, such as `Microsoft.OperationalInsights`; None above a resource."""
    types: tuple[str, ...] = ()
    """Resource types, outermost first, such as `("workspaces",)` or `("servers", "databases")`."""
    names: tuple[str, ...] = ()
    """Resource names, one for each of `types`; for a management group its name."""

    @property
    def name(self) -> str:
        """What a person calls it: the last name, the resource group, the subscription's GUID, or `/`."""
        if self.names:
            return self.names[-1]
        return self.resource_group or self.subscription or "/"

    @property
    def resource_type(self) -> str:
        """Such as `Microsoft.OperationalInsights/workspaces`; the kind's ARM type above a resource."""
        if self.provider:
            return "/".join((self.provider, *self.types))
        return {
            "root": "/",
            "management_group": "Microsoft.Management/managementGroups",
            "subscription": "Microsoft.Resources/subscriptions",
        }.get(self.kind, "Microsoft.Resources/subscriptions/resourceGroups")

    def parents(self) -> Iterator["Scope"]:
        """This scope, then each enclosing one outward to the root.

        The management groups above a subscription are not in its id and so are not among them.
        """
        yield self
        outer = self
        while outer.kind != "root":
            outer = outer._outer()
            yield outer

    def _outer(self) -> "Scope":
        if self.kind in ("management_group", "subscription"):
            return ROOT
        text = self.id.rsplit("/", 2)[0]
        if re.search(r"/providers/[^/]+$", text, re.IGNORECASE):
            text = text.rsplit("/", 2)[0]
        return parse_scope(text or "/")

    def contains(self, other: "Scope") -> bool:
        """Whether `other` is this scope or lies below it (management groups contain only themselves here)."""
        mine, theirs = self.id.lower().rstrip("/"), other.id.lower()
        return theirs == mine or theirs.startswith(mine + "/")


ROOT = Scope("root", "/")


def is_guid(text: str) -> bool:
    """Whether `text` is a GUID in its dashed form."""
    return GUID.fullmatch(text) is not None


def parse_scope(text: str) -> Scope:
    """Read a scope id.

    Raises:
        ScopeError: with a message naming the wrong part, such as `"abc" is not a subscription GUID`.
    """
    if not text.startswith("/"):
        raise ScopeError(
            f'a scope starts with "/", such as /subscriptions/<guid>/resourceGroups/<name>; found "{text}"'
        )
    if text == "/":
        return ROOT
    if text.lower().startswith(_MANAGEMENT_GROUP.lower()) and text.count("/") == 4:
        name = text.rsplit("/", 1)[1]
        if not re.fullmatch(r"[\w().-]{1,90}", name):
            raise ScopeError(f'"{name}" is not a management group name')
        return Scope("management_group", _MANAGEMENT_GROUP + name, names=(name,))
    parts = text[1:].split("/")
    for part in parts:
        if not part:
            raise ScopeError("there is an empty part in it: a doubled or trailing slash")
        if not _SEGMENT.fullmatch(part):
            raise ScopeError(f'"{part}" has characters that no Azure id has')
    subscription = group = None
    prefix = ""
    if parts[0].lower() == "subscriptions":
        if len(parts) < 2 or not is_guid(parts[1]):
            found = parts[1] if len(parts) > 1 else ""
            raise ScopeError(f'"{found}" is not a subscription GUID')
        subscription = parts[1]
        prefix, parts = f"/subscriptions/{subscription}", parts[2:]
        if not parts:
            return Scope("subscription", prefix, subscription)
        if parts[0].lower() == "resourcegroups":
            if len(parts) < 2 or not _GROUP_NAME.fullmatch(parts[1]):
                found = parts[1] if len(parts) > 1 else ""
                raise ScopeError(
                    f'"{found}" is not a resource group name (1 to 90 letters, digits, ( ) . _ -, no final dot)'
                )
            group = parts[1]
            prefix, parts = f"{prefix}/resourceGroups/{group}", parts[2:]
            if not parts:
                return Scope("resource_group", prefix, subscription, group)
    return _resource(prefix, parts, subscription, group)


def _resource(prefix: str, parts: list[str], subscription: str | None, group: str | None) -> Scope:
    where = prefix or "the root"
    if parts[0].lower() != "providers":
        allowed = '"resourceGroups" or "providers"' if prefix.count("/") == 2 else '"providers"'
        allowed = '"subscriptions" or "providers"' if not prefix else allowed
        raise ScopeError(f'after {where} comes {allowed}, not "{parts[0]}"')
    provider: str | None = None
    types: list[str] = []
    names: list[str] = []
    canonical = prefix
    while parts:
        if parts[0].lower() == "providers":
            if len(parts) < 2 or not _NAMESPACE.fullmatch(parts[1]):
                found = parts[1] if len(parts) > 1 else ""
                raise ScopeError(f'"{found}" is not a resource provider namespace such as Microsoft.Compute')
            if provider is None:
                provider = parts[1]
            else:
                types.append(f"providers/{parts[1]}")
            canonical, parts = f"{canonical}/providers/{parts[1]}", parts[2:]
            if len(parts) < 2:
                raise ScopeError("it ends before a resource type and name: …/providers/<namespace>/<type>/<name>")
            if types and types[-1].startswith("providers/"):
                types[-1] = f"{types[-1].removeprefix('providers/')}/{parts[0]}"
            else:
                types.append(parts[0])
        elif len(parts) < 2:
            raise ScopeError(f'the resource type "{parts[0]}" has no name after it')
        else:
            types.append(parts[0])
        names.append(parts[1])
        canonical, parts = f"{canonical}/{parts[0]}/{parts[1]}", parts[2:]
    return Scope("resource", canonical, subscription, group, provider, tuple(types), tuple(names))


def role_definition_id(scope: Scope, guid: str) -> str:
    """The id of a role definition as ARM returns it for an assignment at `scope`.

    Qualified by the subscription at or below one, without it above (a difference would show as drift at each refresh).
    """
    qualifier = f"/subscriptions/{scope.subscription}" if scope.subscription else ""
    return f"{qualifier}/providers/Microsoft.Authorization/roleDefinitions/{guid}"
