"""Which registrations are meant: by id, by name, by owner, by tag, or all; and what is no registration of this tenant."""

import fnmatch
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from entrant.access import batches
from entrant.access.deployer import Deployer
from entrant.errors import ConfigurationError, RefusedError
from entrant.facts.scopes import is_guid

MICROSOFT: Final = frozenset({"f8cdef31-a31e-4b4a-93e4-5f571e91255a", "72f988bf-86f1-41af-91ab-2d7cd011db47"})
"""Tenants that Microsoft's own service principals belong to."""
_PAGE: Final = "999"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for: registrations that fit each kind of condition that is given, or those of `ids`."""

    ids: tuple[str, ...] = ()
    """Object ids or client ids."""
    names: tuple[str, ...] = ()
    """Display names, or patterns with `*`, `?` and `[…]`, compared without regard to case."""
    owners: tuple[str, ...] = ()
    """User principal names, or object ids of users and service principals."""
    tags: tuple[str, ...] = ()
    excepted: tuple[str, ...] = ()
    """Those that are left out all the same: display names as above, object ids or client ids."""

    @property
    def everything(self) -> bool:
        """Whether there is no condition."""
        return not (self.ids or self.names or self.owners or self.tags)

    def fits(self, entry: Mapping[str, Any]) -> bool:
        """Whether name and tags of an object are asked for."""
        shown, tags = str(entry.get("displayName") or ""), set(entry.get("tags") or ())
        named = not self.names or any(_called(shown, name) for name in self.names)
        return named and (not self.tags or any(tag in tags for tag in self.tags))


@dataclass(frozen=True, slots=True)
class Selected:
    """The registrations, as Graph shows them, and what was passed over."""

    registrations: tuple[dict[str, Any], ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    """Kind of what is no registration of this tenant, in words → how many."""
    notes: tuple[str, ...] = ()


def select(deployer: Deployer, wanted: Wanted, tenant: str) -> Selected:
    """Find what is asked for.

    Raises:
        ConfigurationError: an id, an owner or what is to be left out is not there.
        RefusedError, UnreachableError: Graph refused to list registrations, or did not answer.
    """
    if wanted.ids:
        return Selected(_without(wanted.excepted, _by_id(deployer, wanted.ids, tenant)))
    listed = _owned(deployer, wanted) if wanted.owners else _listed(deployer, "/applications", wanted)
    registrations = {entry["id"]: entry for entry in listed if wanted.fits(entry)}
    skipped, notes = _skipped(deployer, wanted, tenant) if not wanted.owners else ({}, [])
    ordered = sorted(registrations.values(), key=lambda entry: (str(entry.get("createdDateTime")), entry["id"]))
    return Selected(_without(wanted.excepted, ordered), skipped, tuple(notes))


def _called(shown: str, name: str) -> bool:
    """Whether a display name is the one that is asked for, or fits its pattern."""
    return fnmatch.fnmatchcase(shown.lower(), name.lower())


def _without(excepted: Sequence[str], registrations: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The registrations but those that are to be left out."""

    def meant(entry: Mapping[str, Any], name: str) -> bool:
        return name.lower() in (entry["id"].lower(), entry["appId"].lower()) or _called(
            str(entry.get("displayName") or ""), name
        )

    for name in excepted:
        if not any(meant(entry, name) for entry in registrations):
            raise ConfigurationError(
                f'--except: none of the registrations asked for is "{name}"',
                next_step="give a display name, an object id or a client id of one that would come along",
            )
    return tuple(entry for entry in registrations if not any(meant(entry, name) for name in excepted))


def quoted(text: str) -> str:
    """A text as a string of OData."""
    return "'" + text.replace("'", "''") + "'"


def _filter(wanted: Wanted) -> str | None:
    """What Graph can sort out itself, so that a large tenant need not be read whole."""
    if wanted.tags:
        return " or ".join(f"tags/any(t:t eq {quoted(tag)})" for tag in wanted.tags)
    beginnings = [_beginning(name) for name in wanted.names]
    if beginnings and all(beginnings):
        return " or ".join(f"startswith(displayName,{quoted(begin)})" for begin in beginnings)
    return None


def _beginning(pattern: str) -> str:
    """A pattern up to its first wildcard."""
    return next((pattern[:at] for at, character in enumerate(pattern) if character in "*?["), pattern)


def _listed(deployer: Deployer, path: str, wanted: Wanted, **more: str) -> Iterator[dict[str, Any]]:
    condition = _filter(wanted)
    query = {"top": _PAGE, **({"filter": condition} if condition else {}), **more}
    yield from deployer.listed(deployer.graph(path, **query), "graph")


def _owned(deployer: Deployer, wanted: Wanted) -> Iterator[dict[str, Any]]:
    for owner in wanted.owners:
        kinds = ("users",) if "@" in owner else ("users", "servicePrincipals")
        paths = [f"/{kind}/{quote(owner, safe='@')}/ownedObjects" for kind in kinds]
        answers = batches.get(deployer, paths)
        found = next((answer for answer in answers.values() if not isinstance(answer, RefusedError)), None)
        if found is None:
            refused = next(iter(answers.values()))
            if isinstance(refused, RefusedError) and refused.status not in (400, 404):
                raise refused
            raise ConfigurationError(
                f"--owner: there is no user or service principal {owner}",
                next_step="give a user principal name or an object id",
            )
        ids = [
            entry["id"] for entry in batches.listed(found) if entry.get("@odata.type") == "#microsoft.graph.application"
        ]
        for answer in batches.get(deployer, [f"/applications/{id_}" for id_ in ids]).values():
            if not isinstance(answer, RefusedError):
                yield answer
            elif answer.status != 404:
                raise answer


def _by_id(deployer: Deployer, ids: Sequence[str], tenant: str) -> list[dict[str, Any]]:
    """Registrations by object id or client id, in the order in which they are named."""
    for id_ in ids:
        if not is_guid(id_):
            raise ConfigurationError(
                f'"{id_}" is no id', next_step="give object ids or client ids, or choose with --name, --owner or --tag"
            )
    paths = {id_: (f"/applications/{id_}", f"/applications(appId='{id_}')") for id_ in ids}
    answers = batches.get(deployer, [path for each in paths.values() for path in each])
    found: dict[str, dict[str, Any]] = {}
    for id_, each in paths.items():
        answer = next((one for path in each if not isinstance(one := answers[path], RefusedError)), None)
        if answer is None:
            refused = next((one for path in each if isinstance(one := answers[path], RefusedError)), None)
            if refused is not None and refused.status not in (400, 404):
                raise refused
            raise ConfigurationError(
                f"{id_}: {_instead(deployer, id_, tenant)}", next_step="check the id and the tenant"
            )
        found[answer["id"]] = answer
    return list(found.values())


def _instead(deployer: Deployer, id_: str, tenant: str) -> str:
    """What an id is that is no registration's."""
    paths = (f"/servicePrincipals/{id_}", f"/servicePrincipals(appId='{id_}')", f"/directory/deletedItems/{id_}")
    for path, answer in batches.get(deployer, paths).items():
        if isinstance(answer, RefusedError):
            continue
        if "deletedItems" in path:
            return "this registration was deleted; restore it first"
        kind = _kind(answer, tenant)
        if kind:
            return f"this is one of the {kind}, which have no registration in this tenant"
        return f"this is a service principal; its registration has the client id {answer.get('appId')}"
    return "the tenant has no registration with this object id or client id"


def _kind(principal: Mapping[str, Any], tenant: str) -> str | None:
    """What a service principal is that has no registration in this tenant; None where it should have one."""
    if principal.get("servicePrincipalType") == "ManagedIdentity":
        return "managed identities"
    home = str(principal.get("appOwnerOrganizationId") or "").lower()
    if home in MICROSOFT:
        return "service principals of Microsoft's own apps"
    if home != tenant.lower():
        return "service principals of other tenants' apps"
    return None


def _skipped(deployer: Deployer, wanted: Wanted, tenant: str) -> tuple[dict[str, int], list[str]]:
    """How many there are that fit, and are no registrations of this tenant."""
    kinds: Counter[str] = Counter()
    notes: list[str] = []
    shown = "id,displayName,tags,servicePrincipalType,appOwnerOrganizationId"
    deleted = "/directory/deletedItems/microsoft.graph.application"
    try:
        for principal in _listed(deployer, "/servicePrincipals", wanted, select=shown):
            kind = _kind(principal, tenant)
            if kind and wanted.fits(principal):
                kinds[kind] += 1
    except RefusedError as error:
        notes.append(f"service principals without a registration here could not be counted: {error}")
    try:
        path = deployer.graph(deleted, select="id,displayName,tags", top=_PAGE)
        gone = sum(wanted.fits(entry) for entry in deployer.listed(path, "graph"))
        kinds["deleted registrations, which can still be restored"] = gone
    except RefusedError as error:
        notes.append(f"deleted registrations could not be counted: {error}")
    return {kind: count for kind, count in sorted(kinds.items()) if count}, notes
