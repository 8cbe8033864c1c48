"""What a program looks up in the tenant: who is signed in, users, and the service principals of APIs."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import pulumi
import pulumi_azuread as azuread

from entrant.facts import errors

_T = TypeVar("_T")


@dataclass
class Tenant:
    """The tenant that the login is for; whatever is looked up is looked up once."""

    _apis: dict[str, azuread.GetServicePrincipalResult] = field(default_factory=dict)
    _users: dict[str, str] = field(default_factory=dict)
    _clients: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _signed_in(self) -> azuread.GetClientConfigResult:
        return look_up(azuread.get_client_config, "who is signed in", missing="Nobody is signed in.", right="User.Read")

    @property
    def id(self) -> str:
        """The tenant's id."""
        id_: str = self._signed_in.tenant_id
        return id_

    @property
    def deployer(self) -> str:
        """The object id of whoever runs the program."""
        id_: str = self._signed_in.object_id
        return id_

    def api(self, client_id: str) -> azuread.GetServicePrincipalResult:
        """The service principal of an API that the environment does not declare."""
        if client_id not in self._apis:
            self._apis[client_id] = look_up(
                lambda: azuread.get_service_principal(client_id=client_id),
                f"the service principal of the API {client_id}",
                missing=f"The API {client_id} has no service principal in this tenant. "
                f"Check the id, or have an administrator add it: az ad sp create --id {client_id}",
                right="Application.Read.All or Application.ReadWrite.OwnedBy",
            )
        return self._apis[client_id]

    def client_id(self, application: str) -> str:
        """The client id of a registration that is taken over, by its object id."""
        if application not in self._clients:
            self._clients[application] = look_up(
                lambda: azuread.get_application(object_id=application).client_id,
                f"the registration {application}",
                missing=f"There is no registration {application} in this tenant. Correct `adopt`.",
                right="Application.Read.All or Application.ReadWrite.OwnedBy",
            )
        return self._clients[application]

    def user(self, name: str) -> str:
        """The object id of the user with a user principal name, who is to be an owner."""
        if name not in self._users:
            self._users[name] = look_up(
                lambda: azuread.get_user(user_principal_name=name).object_id,
                f"the owner {name}",
                missing=f"There is no user {name} in this tenant. Correct the owner, or give the object id.",
                right="User.ReadBasic.All, or give the owner's object id, which is not looked up",
            )
        return self._users[name]


_NOT_FOUND = re.compile(
    r"(?i)\b(user|service principal|application)\b.{0,200}\bnot found|"
    r"\bno (user|service principal|application)s?\b.{0,200}\bfound"
)
"""What the azuread provider says of something that the directory does not have; its own failures name a status besides."""


def look_up(read: Callable[[], _T], what: str, *, missing: str, right: str) -> _T:
    """What `read` finds in the directory.

    Args:
        what: what is looked up, in words that may begin a sentence after "Looking up".
        missing: what to say where the directory answers that there is no such thing, and what to do.
        right: the Graph permission that the look-up takes, for a refusal.

    Raises:
        pulumi.RunError: it is missing, or the look-up failed, which is told apart.
    """
    try:
        return read()
    except Exception as error:  # the SDK raises a bare Exception with the provider's words
        message = re.sub(
            r"^invoke of \S+ failed: (invocation of \S+ returned an error: )?", "", " ".join(str(error).split())
        )
    if _NOT_FOUND.search(message) and not re.search(r"\bstatus:? \d{3}\b", message):
        raise pulumi.RunError(f"{missing}\n{message}") from None
    known = [found[1] for code in errors.codes(message) if (found := errors.find(code))]
    steps = [
        f"What it means: {explanation.cause}; {explanation.remedy}."
        for explanation in known[-1:]
        if "{" not in explanation.remedy
    ]
    if re.search(r"\b403\b|Authorization_", message):
        steps = [f"Whoever runs Pulumi may not read it: grant the Microsoft Graph permission {right}."]
    nothing = "Whether it exists is not known."
    raise pulumi.RunError(" ".join((f"Looking up {what} failed: {message.rstrip('.')}. {nothing}", *steps))) from None
