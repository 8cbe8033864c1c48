"""The parts of an app, each a resource of its own: what they are called, and under which names the stack holds them."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pulumi

from entrant.facts.pulumi_types import APPLICATION, PRINCIPAL

from .arguments import AdoptArgs
from .state import State, adopted


@dataclass(frozen=True)
class Parts:
    """The parts of one app."""

    app: pulumi.ComponentResource
    names: tuple[str, ...]
    """The app's name, and those that it had."""
    state: State
    adopt: AdoptArgs | None
    """What of it is taken over."""
    change_adopted: bool
    taken_over: list[str] = field(default_factory=list)
    """The ids of what is taken over, as they are imported."""
    as_is: dict[str, str] = field(default_factory=dict)
    """What no provider reads back and is taken for what is there: key and digest."""

    @property
    def name(self) -> str:
        """The app's name."""
        return self.names[0]

    def aliases(self, rest: str = "") -> list[pulumi.Alias]:
        """What a resource that is called after the app, and then `rest`, was called under its former names.

        The engine derives them from the component only where it finds that one under its former name; a run that failed may have
        left an empty component under the new one.
        """
        return [pulumi.Alias(name=f"{former}{rest}") for former in self.names[1:]]

    @cached_property
    def ids(self) -> set[str]:
        """The object ids of the app's registration and service principal in the state."""
        objects = (self.state.get(type_, self.names) for type_ in (APPLICATION, PRINCIPAL))
        return {str(outputs.get("objectId", "")).lower() for outputs in objects} - {""}

    def options(
        self,
        type_: str,
        key: str,
        *,
        parent: pulumi.Resource | None = None,
        others: Collection[str] = (),
        alike: Mapping[str, Any] | None = None,
        was: Iterable[str] = (),
        **more: Any,
    ) -> pulumi.ResourceOptions:
        """The options of a part of the app, a resource that is called `<app>/<key>`: no app's name has a slash.

        Args:
            type_: its type.
            parent: what it belongs to. Default: the app.
            key: what tells it apart.
            others: the keys of all parts of its kind.
            alike: outputs by which Azure tells it apart, as far as they are known: what has them in the state is this part,
                whatever it is called there.
            was: keys that it had before.
            more: further options.
        """
        aliases = [pulumi.Alias(name=name) for name in self._former(type_, key, others, alike or {}, was)]
        return pulumi.ResourceOptions(parent=parent or self.app, aliases=aliases, **more)

    def _former(
        self, type_: str, key: str, others: Collection[str], alike: Mapping[str, Any], was: Iterable[str]
    ) -> list[str]:
        """The other names that a part of the app has in the state."""
        taken = {f"{self.name}/{other}" for other in (key, *others)}
        names = self.names_of(key, *was)
        # Without an id of the app, what is alike may be another app's. Outputs tell their values only later.
        if self.ids and alike and all(isinstance(value, str) for value in alike.values()):
            names += [
                name
                for (of, name), outputs in self.state.resources.items()
                if of == type_ and all(outputs.get(output) == value for output, value in alike.items())
            ]
        wanted = (name for name in dict.fromkeys(names) if name not in taken)
        return self.state.aliases(type_, wanted, self.ids)

    def names_of(self, *keys: str) -> list[str]:
        """The names that a part with one of these keys may have in the state."""
        return [f"{app}{join}{key}" for app in self.names for key in keys for join in "/-"]

    def adopted(
        self, type_: str, import_id: str | None, key: str | None = None, was: Iterable[str] = ()
    ) -> dict[str, Any]:
        """The options that take an existing object over, as the app's own resource or as its part `key`; none without an id."""
        if import_id is None:
            return {}
        self.taken_over.append(import_id)
        names = self.names if key is None else (f"{self.name}/{key}", *self.names_of(key, *was))
        where = f"apps.{self.name}"
        return adopted(self.state, type_, names, import_id, change=self.change_adopted, where=where)

    def read_as_it_is(
        self, type_: str, names: Iterable[str], import_id: str, key: str, value: pulumi.Input[str]
    ) -> bool:
        """Whether a property that no provider reads back is taken for what is there.

        It is when its object, a resource that may have these names in the state, is taken over, and then for as long as it does
        not change.
        """
        digest = hashlib.sha256(str(value).encode()).hexdigest()[:16]
        before = next((self.state.as_is[name].get(key) for name in self.names if name in self.state.as_is), None)
        agreed = self.state.get(type_, names) and self.state.agreed(type_, import_id)
        same = before == digest if agreed else True
        if same:
            self.as_is[key] = digest
        return same

    def id_of(self, type_: str, what: str) -> str:
        """The object id of the registration or the service principal, as far as it is known before an operation.

        Raises:
            pulumi.RunError: it is not there yet, so nothing of it can be taken over.
        """
        registration = type_ == APPLICATION
        named = None
        if self.adopt is not None:
            named = self.adopt["application"] if registration else self.adopt.get("service_principal")
        id_ = named or self.state.get(type_, self.names).get("objectId")
        if not id_:
            called = "registration" if registration else "service principal"
            raise pulumi.RunError(
                f"apps.{self.name}: `adopt` of {what} names something of its {called}, which this stack neither holds nor takes "
                f"over. Name the {called} under `apps.{self.name}.adopt`, or take that `adopt` out to have it made."
            )
        return str(id_)
