"""`ApiClients`: the clients that an API's registration knows or authorizes in advance."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_azuread as azuread

from entrant.facts.pulumi_types import API_CLIENTS, APPLICATION, KNOWN_CLIENTS, PRE_AUTHORIZED

from .app_identity import AppIdentity


class PreAuthorizedArgs(TypedDict):
    """A client whose users are not asked for consent."""

    client_id: pulumi.Input[str]
    """The client's id."""
    scope_ids: list[pulumi.Input[str]]
    """Ids of the API's scopes that it may use."""
    renamed_from: NotRequired[list[str] | None]
    """Keys that it had before."""
    adopt: NotRequired[str | None]
    """The client's id, as a preview must know it, to take over the entry that exists."""
    on_remove: NotRequired[str | None]
    """`keep` leaves it where it is when it is removed from the program."""


class ApiClientsArgs(TypedDict):
    """The clients of one API."""

    known_clients: NotRequired[list[pulumi.Input[str]] | None]
    """Client ids of clients whose consent covers this API too."""
    pre_authorized: NotRequired[dict[str, PreAuthorizedArgs] | None]
    """Clients whose users are not asked for consent. Each key becomes part of a resource's name."""


class ApiClients(pulumi.ComponentResource):
    """Clients of an API, declared after both.

    They are not part of `AppIdentity`, because an API usually knows clients that ask for its permissions, and each would
    need the other's id first.
    """

    def __init__(
        self, name: str, api: AppIdentity, args: ApiClientsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        """Declare the clients of `api`, whose `known_clients_apart` is set when there are known ones."""
        former = pulumi.ResourceOptions(aliases=api.parts.aliases())
        super().__init__(API_CLIENTS, name, {}, pulumi.ResourceOptions.merge(former, opts))
        known_there = bool(api.parts.adopt and api.parts.adopt.get("known_clients"))
        if known := args.get("known_clients"):
            azuread.ApplicationKnownClients(
                name,
                application_id=api.application.id,
                known_client_ids=known,
                # Each update of the registration sends the known clients that the provider last read, often none:
                # whenever the registration changes, they are put again.
                opts=pulumi.ResourceOptions(
                    parent=self,
                    aliases=api.parts.aliases(),
                    delete_before_replace=True,
                    replacement_trigger=api.registration_digest,
                    # A registration that is kept keeps them: they go only when the file names none any more.
                    deleted_with=api.application,
                    **api.parts.adopted(
                        KNOWN_CLIENTS,
                        f"/applications/{api.parts.id_of(APPLICATION, 'known_clients')}/knownClients"
                        if known_there
                        else None,
                    ),
                ),
            )
        pre_authorized = args.get("pre_authorized") or {}
        for key, client in pre_authorized.items():
            adopt = client.get("adopt")
            azuread.ApplicationPreAuthorized(
                f"{name}/{key}",
                application_id=api.application.id,
                authorized_client_id=client["client_id"],
                permission_ids=client["scope_ids"],
                opts=api.parts.options(
                    PRE_AUTHORIZED,
                    key,
                    parent=self,
                    others=pre_authorized,
                    alike={"authorizedClientId": client["client_id"]},
                    was=client.get("renamed_from") or (),
                    delete_before_replace=True,
                    retain_on_delete=client.get("on_remove") == "keep",
                    **api.parts.adopted(
                        PRE_AUTHORIZED,
                        f"{api.parts.id_of(APPLICATION, key)}/preAuthorizedApplication/{adopt}" if adopt else None,
                        key,
                        client.get("renamed_from") or (),
                    ),
                ),
            )
        self.register_outputs({})
