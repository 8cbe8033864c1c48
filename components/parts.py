"""The parts of an app, each a resource of its own: what they are called, and under which names the stack holds them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pulumi

from entrant.facts.pulumi_types import APPLICATION, PRINCIPAL

from .state import State, adopted


@dataclass(frozen=True)
class Parts:
    """The parts of one app."""

    app: pulumi.ComponentResource
    names: tuple[str, ...]
    """The app's name, and those that it had."""
    state: State
    change_adopted: bool

    @property
    def name(self) -> str:
        """The app's name."""
        return self.names[0]

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

    def adopted(self, type_: str, name: str, import_id: str | None) -> dict[str, Any]:
        """The options that take an existing object over as the resource `name`, where there is one to be taken over."""
        names = [name, *(f"{app}{name.removeprefix(self.name)}" for app in self.names[1:])]
        where = f"apps.{self.name}"
        return adopted(self.state, type_, names, import_id, change=self.change_adopted, where=where)
