"""In which order an app's federated credentials can change what they trust: an app has an issuer and subject once.

Source: Microsoft Graph, "federatedIdentityCredential resource type": issuer and subject are unique on the app.
"""

from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

import pulumi

from entrant.facts.pulumi_types import FEDERATED, FLEXIBLE

from .arguments import FederatedArgs
from .state import State

Trust = tuple[str, str]
"""An issuer, and a subject or an expression of claims."""


def of_app(state: State, ids: Collection[str]) -> dict[str, Trust]:
    """What the federated credentials in the state trust, of the app with one of these ids, by the names of their resources.

    An app without ids is not there yet.
    """
    return {
        name: _held(state.get(type_, [name]))
        for type_ in (FEDERATED, FLEXIBLE)
        if ids
        for name in state.aliases(type_, [name for of, name in state.resources if of == type_], ids)
    }


def order(
    app: str,
    credentials: Mapping[str, FederatedArgs],
    names: Mapping[str, Sequence[str]],
    there: Mapping[str, Trust],
) -> dict[str, list[str]]:
    """The keys of the credentials, in an order that works, each with those of credentials that must let go of its trust first.

    Args:
        app: its name, for messages.
        credentials: what is declared, by key.
        names: by the same keys, the names that a credential may have in the state.
        there: what `of_app` found.

    Raises:
        pulumi.RunError: some exchange their trusts, or one that stays is to trust what one that goes trusts, and deletes come last.
    """
    before = {key: next((there[name] for name in names[key] if name in there), None) for key in credentials}
    first: dict[str, list[str]] = {}
    stuck: set[str] = set()
    for key, args in credentials.items():
        trust = _wanted(args)
        first[key] = [other for other, had in before.items() if trust is not None and had == trust and other != key]
        moves = before[key] is not None and before[key] != trust
        if moves and trust in there.values() and not first[key]:
            stuck.add(key)
    try:
        ordered = tuple(TopologicalSorter(first).static_order())
    except CycleError as error:
        stuck.update(error.args[1])
    if stuck:
        named = " and ".join(sorted(stuck))
        raise pulumi.RunError(
            f"apps.{app}.federated: {named} would trust what another federated credential of the app trusts now. Microsoft "
            "Entra takes an issuer and subject once in an app, and no order of these changes keeps to that. Nothing was "
            f"changed. Give {named} another `name` in the same change."
        )
    return {key: first[key] for key in ordered}


def _wanted(args: FederatedArgs) -> Trust | None:
    """What a federated credential is to trust; None as long as only another resource tells."""
    issuer, subject = args["issuer"], args.get("claims") or args.get("subject")
    return (issuer, subject) if isinstance(issuer, str) and isinstance(subject, str) else None


def _held(outputs: Mapping[str, Any]) -> Trust:
    """What a federated credential of the state trusts."""
    return str(outputs.get("issuer")), str(outputs.get("subject") or outputs.get("claimsMatchingExpression"))
