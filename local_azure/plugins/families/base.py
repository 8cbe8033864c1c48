"""What all families of operations over Microsoft Graph have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local_azure.plugins.azuread_values import GUID
from local_azure.plugins.graph import Graph, matching, not_found
from local_azure.plugins.schema import canonical
from local_azure.plugins.server import Partial, Resource
from local_azure.plugins.session import ApiError, PluginError
from local_azure.plugins.values import UNKNOWN, Properties
from local_azure.plugins.wire import from_wire, to_wire

_FEATURE_TAGS = {
    "customSingleSignOn": "WindowsAzureActiveDirectoryCustomSingleSignOnApplication",
    "enterprise": "WindowsAzureActiveDirectoryIntegratedApp",
    "gallery": "WindowsAzureActiveDirectoryGalleryApplicationNonPrimaryV1",
    "hide": "HideApp",
}


OLD_FEATURES = {
    "customSingleSignOnApp": "customSingleSignOn",
    "enterpriseApplication": "enterprise",
    "galleryApplication": "gallery",
}


def last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def same(one: Any, other: str) -> bool:
    return isinstance(one, str) and one.casefold() == other.casefold()


def plain(inputs: Mapping[str, Any]) -> Properties:
    return {name: value for name, value in inputs.items() if not name.startswith("__")}


def remembered(resource: Resource) -> Properties:
    """The properties no service stores: inputs as the program gives them, so that one left out goes; the rest from the state."""
    kept = {}
    for name, prop in resource.rtype.props.items():
        if prop.wire or (prop.computed and prop.is_input) or (prop.output_only and not prop.secret):
            continue
        source = resource.inputs if resource.inputs and prop.is_input else resource.state
        value = source.get(name)
        if value is None and prop.default is not None:
            value = prop.default
        kept[name] = value
    return kept


def tags_of(resource: Resource) -> list[str]:
    """The tags to send: from feature tags when those were set and changed, else the tags."""
    for name, expand in (("featureTags", _expand_features), ("features", _expand_old_features)):
        prop = resource.rtype.props.get(name)
        wanted = resource.inputs.get(name)
        if prop and wanted and canonical(prop, wanted) != canonical(prop, resource.state.get(name)):
            return expand(wanted[0])
    tags = resource.inputs.get("tags")
    return list(resource.state.get("tags") or [] if tags is None else tags)


def body_of(resource: Resource) -> Properties:
    """What to send of an object that has tags."""
    return {**to_wire(resource.rtype.props, resource.inputs), "tags": tags_of(resource)}


def _expand_features(features: Mapping[str, Any]) -> list[str]:
    return [tag for name, tag in _FEATURE_TAGS.items() if features.get(name)]


def _expand_old_features(features: Mapping[str, Any]) -> list[str]:
    named = {new: features.get(old) for old, new in OLD_FEATURES.items()}
    return _expand_features({**named, "hide": features.get("visibleToUsers") is False})


def features_of(tags: Any) -> Properties:
    present = {str(tag).casefold() for tag in tags or []}
    return {name: tag.casefold() in present for name, tag in _FEATURE_TAGS.items()}


def ids_by_value(items: Any) -> dict[str, str]:
    return {item["value"]: item["id"] for item in items or [] if item.get("value") and item.get("id")}


def references_not_there_yet(error: ApiError) -> bool:
    return not_found(error) or (
        error.status == 400
        and (
            "does not exist or one of its queried reference-property objects are not present" in error.message
            or "Not a valid reference update" in error.message
        )
    )


class Family:
    """How the types of one family are made, read, changed and deleted. ``read`` answers None for what is gone."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def preview(self, resource: Resource) -> None:
        """Look ahead, without writing, for what would make the update fail."""

    def create(self, resource: Resource) -> tuple[str, Properties]:
        """Make it; its id and what must be remembered of it, which `read` cannot see."""
        raise NotImplementedError

    def read(self, resource: Resource) -> Properties | None:
        """Its properties as the service holds them now."""
        raise NotImplementedError

    def update(self, resource: Resource) -> Properties:
        """Change it; what must be remembered of it."""
        raise PluginError(f"{resource.rtype.token} cannot be changed in place")

    def delete(self, resource: Resource) -> None:
        """Remove it."""
        raise NotImplementedError

    def parse(self, resource: Resource) -> dict[str, str]:
        """The parts of the resource's id; raises `PluginError` that shows the form an id must have."""
        form = resource.rtype.id_format
        pattern = re.escape(form)
        for part, value in (("parent", f"(?P<parent>{GUID})"), ("id", f"(?P<id>{GUID})"), ("key", "(?P<key>.+)")):
            pattern = pattern.replace(re.escape(f"{{{part}}}"), value)
        match = re.fullmatch(pattern, resource.id)
        if not match:
            raise PluginError(f"{resource.id!r} is not the id of a {resource.rtype.token}: it must look like {form}")
        return match.groupdict()

    def application(self, object_id: str) -> Properties:
        """The application with this object id; raises `PluginError` when there is none."""
        found = self.graph.get(f"/applications/{object_id}")
        if found is None:
            raise PluginError(f'Application (Application: "{object_id}") was not found')
        return found


class Grant(Family):
    """What a principal is given, as an object of its own, which goes when it is taken away."""

    def path(self, resource: Resource) -> str:
        """Where it is in Graph."""
        raise NotImplementedError

    def read(self, resource: Resource) -> Properties | None:
        found = self.graph.get(self.path(resource))
        return None if found is None else from_wire(resource.rtype.props, found)

    def delete(self, resource: Resource) -> None:
        self.graph.call("DELETE", self.path(resource))


class Entity(Family):
    """An object of its own, with owners."""

    collection = ""
    api = "v1.0"
    kind = ""

    def path(self, resource: Resource) -> str:
        return f"/{self.collection}/{self.parse(resource)['id']}"

    def owners(self, path: str, name: str = "owners") -> list[str]:
        return [str(item["id"]) for item in self.graph.listed(f"{path}/{name}", api=self.api)]

    def make(self, resource: Resource, body: Properties, retry_if: Callable[[ApiError], bool]) -> str:
        """Create it with the caller and up to 19 owners, then add the rest and take the caller out unless named."""
        caller = self.graph.caller()
        wanted = [str(owner) for owner in resource.inputs.get("owners") or []]
        first = [caller, *(owner for owner in wanted if owner != caller)][:20]
        body["owners@odata.bind"] = [self.graph.reference(owner, self.api) for owner in first]
        made = self.graph.call("POST", f"/{self.collection}", body, api=self.api, retry_if=retry_if)
        object_id = str(made.get("id") or "")
        if not object_id:
            raise PluginError(f"POST /{self.collection}: the answer names no id")
        return object_id

    def finish(self, resource: Resource, object_id: str, steps: Sequence[Callable[[str], None]]) -> None:
        """Do what follows a create; what fails here must not lose the object."""
        path = f"/{self.collection}/{object_id}"
        try:
            self.graph.appear(lambda: self.graph.get(path, api=self.api), f"the new {self.kind} {object_id}")
            for step in steps:
                step(path)
        except PluginError as error:
            resource_id = resource.rtype.id_format.format(id=object_id)
            raise Partial(str(error), resource_id, {**plain(resource.inputs), "objectId": object_id}) from None

    def settle_owners(self, resource: Resource) -> Callable[[str], None]:
        def step(path: str) -> None:
            caller = self.graph.caller()
            wanted = [str(owner) for owner in resource.inputs.get("owners") or []]
            for owner in [owner for owner in wanted if owner != caller][19:]:
                self.add(path, "owners", owner)
            if caller not in wanted:
                self.graph.call("DELETE", f"{path}/owners/{caller}/$ref", api=self.api)

        return step

    def add(self, path: str, name: str, member: str) -> None:
        self.graph.call(
            "POST", f"{path}/{name}/$ref", {"@odata.id": self.graph.reference(member, self.api)}, api=self.api
        )

    def sync(self, resource: Resource, path: str, name: str, *, add_first: bool = True) -> None:
        """Bring the list ``name`` (owners, members) to what the inputs say, if that changed."""
        prop = resource.rtype.props[name]
        wanted = resource.inputs.get(name)
        if wanted is None and prop.computed:
            return
        if canonical(prop, resource.state.get(name)) == canonical(prop, wanted):
            return
        now = self.owners(path, name)
        for member in [member for member in wanted or [] if member not in now]:
            self.add(path, name, member)
        for member in [member for member in now if member not in (wanted or [])]:
            self.graph.call("DELETE", f"{path}/{name}/{member}/$ref", api=self.api)

    def refuse_duplicates(self, resource: Resource) -> None:
        """What ``preventDuplicateNames`` asks for."""
        name = resource.inputs.get("displayName")
        if resource.inputs.get("preventDuplicateNames") is not True or name in (None, UNKNOWN):
            return
        own = resource.state.get("objectId")
        for found in self.graph.listed(f"/{self.collection}", api=self.api, params=matching("displayName", str(name))):
            if found.get("displayName") == name and found.get("id") != own:
                existing = resource.rtype.id_format.format(id=found.get("id"))
                raise PluginError(
                    f'An existing "azuread_{self.kind}" with name "{name}" (ID: "{found.get("id")}") was found and '
                    f"`prevent_duplicate_names` was specified. To be managed via Pulumi, this resource needs to be imported: "
                    f"in an environment's file with `adopt`, in a program with import_={existing!r}"
                )

    def delete(self, resource: Resource) -> None:
        path = self.path(resource)
        self.graph.call("DELETE", path, api=self.api)
        self.graph.vanish(lambda: self.graph.get(path, api=self.api) is not None, path)
