"""A review: what a change of an environment means for access, as a document; `review.schema.json` is its schema.

`reviewer` makes it, `review_page` shows it to people.
"""

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from entrant.drift.manual_changes import State


class Part(BaseModel):
    """A part of a review."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Breakage(Part):
    """Something that stops working for somebody, or that Pulumi will refuse to do."""

    app: str
    text: str
    client_id: str = ""
    """The client id that stops working, where one does."""


class AppChange(Part):
    """An app that comes, goes or gets a new client id."""

    app: str
    display_name: str
    change: Literal["added", "removed", "kept", "adopted", "replaced", "restored", "renamed"]
    """`kept`: no longer declared, and left where it is. `adopted`: existed, and is declared from now on. `restored`: was deleted
    manually, and is made anew."""
    client_id: str = ""
    """As it is before the change; empty where it is not known."""
    was: str = ""
    """Renamed: its name before, whose outputs go."""


class AccessChange(Part):
    """Something that an app may do from now on, or no longer; or who owns it."""

    app: str
    change: Literal["gained", "lost", "changed"]
    kind: Literal["role", "directory role", "consent", "permission", "group", "owner"]
    name: str
    scope: str = ""
    """Role: the scope's id. Consent and permission: the API. Directory role: the administrative unit."""
    where: str = ""
    """The same in words."""
    allows: str = ""
    """Role: what it allows, in words."""
    detail: str = ""
    """Role: its condition. Consent and permission: `application` or `delegated`."""
    was: str = ""
    """Changed: what is different from before, in words."""
    danger: str = ""
    """Why it deserves a second look; empty when it does not."""
    reason: str = ""
    """What the environment's file says about that."""
    origin: Literal["", "adopted", "kept", "restored", "pending"] = ""
    """Where it is not simply of this change. `adopted`: existed, and is taken over. `kept`: stays in the cloud, no longer declared.
    `restored`: changed or removed manually, and restored. `pending`: the files do not differ in it; it was declared
    before and not applied yet."""


class CredentialChange(Part):
    """A secret, certificate or federated credential that comes, goes or ends."""

    app: str
    change: Literal["created", "adopted", "removed", "replaced", "changed", "ending"]
    """`adopted`: existed, and is taken over."""
    kind: Literal["secret", "certificate", "federated credential"]
    name: str
    ends: str = ""
    """When it ends (RFC 3339, UTC); empty where it does not, or it is not known."""
    detail: str = ""
    """What else there is to know, in words."""
    routine: bool = False
    """Whether a secret or a certificate is rotated by its calendar and nobody is left without one."""


class SettingChange(Part):
    """Another setting of an app or of something that belongs to it."""

    app: str
    """Empty for what belongs to no app, such as a custom role."""
    path: str
    old: Any = None
    new: Any = None


class Outside(Part):
    """A manual change in the cloud."""

    app: str
    """Empty for what the environment itself declares."""
    what: State
    text: str
    id: str = ""
    """Of what was changed, is gone or was added, as the cloud has it."""


class BrokenRule(Part):
    """A policy rule that the environment breaks."""

    rule: str
    severity: Literal["error", "warning"]
    app: str
    place: str
    """File, line and column."""
    message: str
    remediation: str
    reason: str = ""
    """What the file says in defence."""
    new: bool = True
    """False when the base breaks it too."""


class ResourceChange(Part):
    """A resource that the operation touches."""

    operation: str
    type: str
    name: str
    properties: tuple[str, ...] = ()
    """The properties that differ."""
    replaces: tuple[str, ...] = ()
    """Those that it is replaced for."""


class Review(Part):
    """A review of one stack."""

    version: Literal[1] = 1
    stack: str
    saw_cloud: bool
    """Whether the review knows what is in the cloud; else it compares two commits."""
    base: str = ""
    """What it is compared with, as the caller named it."""
    digest: str
    """Of what would be done, without times and ids that are not known yet: the same for the same plan."""
    breaks: tuple[Breakage, ...] = ()
    taken_over: tuple[SettingChange, ...] = ()
    """What taking over what exists changes in it. Empty for an adoption that changes nothing."""
    apps: tuple[AppChange, ...] = ()
    access: tuple[AccessChange, ...] = ()
    credentials: tuple[CredentialChange, ...] = ()
    settings: tuple[SettingChange, ...] = ()
    findings: tuple[BrokenRule, ...] = ()
    outside: tuple[Outside, ...] = ()
    resources: tuple[ResourceChange, ...] = ()
    notes: tuple[str, ...] = ()
    """What there is to say about the review itself."""
    errors: tuple[str, ...] = ()
    """Why the preview failed, if it did; the rest then is what was seen until then."""

    @property
    def changed(self) -> bool:
        """Whether anything would change."""
        parts = (self.breaks, self.apps, self.access, self.settings, self.resources)
        return any(parts) or any(entry.change != "ending" for entry in self.credentials)

    def as_json(self) -> str:
        """The document; half of a pair of surrogates, which a file's name may hold, as an escape (pydantic writes none)."""
        return json.dumps(self.model_dump(mode="json"), indent=2)

    def count(self, change: str) -> int:
        """How much access is `gained`, `lost` or `changed`; what is taken over was there before, and what is left stays there."""
        return sum(entry.change == change and entry.origin not in ("adopted", "kept") for entry in self.access)


def json_schema() -> dict[str, Any]:
    """The schema of a review as JSON; `entrant/review/review.schema.json` holds it for others."""
    made = Review.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "Review"}
