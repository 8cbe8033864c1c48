"""`AppIdentity`: an app registration, its service principal, its credentials and what it may do, as one component."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pulumi
import pulumi_azuread as azuread
from pulumi_azure_native import authorization
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from entrant.config import App
from entrant.config.credentials import Secret
from entrant.config.registration import ServicePrincipal
from entrant.config.rotation import Due, HandedOut, due_by
from entrant.config.values import parse_moment
from entrant.facts.contract import issued_name
from entrant.facts.pulumi_types import APPLICATION, IDENTITY, PRINCIPAL

from .access import Access, check_each_once, read_role
from .arguments import AdoptArgs, AppIdentityArgs, SecretArgs, ServicePrincipalArgs, faults, reading
from .credentials import Credentials
from .issuing import IssuedByCalendar
from .parts import Parts
from .registration import application_inputs, principal_inputs, unsaid
from .state import State
from .vaults import PEM, Content, Vaults

_UNSAID = unsaid(App, "device_only_auth_enabled", "oauth2_post_response_required", "template_id")
_UNSAID_OF_PRINCIPAL = unsaid(
    ServicePrincipal, "alternative_names", "preferred_single_sign_on_mode", "saml_single_sign_on"
)
"""What the arguments have no word for: it stays as it is in what is taken over."""


@dataclass(frozen=True, slots=True)
class FromFile:
    """What `declare` knows of an app when it makes the component, whose scopes and roles it has read; else it is found out here."""

    state: State
    """What the stack holds already."""
    secrets: Sequence[Due]
    """The client secrets that are to exist now, newest first."""
    certificates: Mapping[str, IssuedByCalendar] = field(default_factory=dict)
    """The certificates that are issued here, by calendar."""


class AppIdentity(pulumi.ComponentResource):
    """An app registration with everything that makes it usable by a workload.

    Roles and credentials belong to the service principal and the registration declared here, and go with them. The component
    never looks a registration up by its display name. Secrets are `ApplicationPassword`s, which the portal shows under
    "Certificates & secrets", each with an explicit end date (the provider drops a relative one).

    Certificates that are issued by a calendar (`every` in an environment file) are made by `components.declare` alone. A program
    that uses this component gives it certificates whose private keys it has itself: the `certificates` of the arguments.
    """

    client_id: pulumi.Output[str]
    """The application (client) id, used to sign in."""
    object_id: pulumi.Output[str]
    """The registration's object id."""
    service_principal_id: pulumi.Output[str]
    """The service principal's object id, which roles are assigned to; empty where it has none."""
    client_secret: pulumi.Output[str] | None
    """The current client secret, a Pulumi secret; none when the app has none."""
    client_secret_previous: pulumi.Output[str] | None
    """The secret before, a Pulumi secret, while it is inside its overlap."""
    grants: list[dict[str, Any]]
    """The role assignments: `key`, `role_definition_id`, `scope`, `assignment_id`."""
    credentials: list[dict[str, Any]]
    """What can prove this identity, without any secret value: kind, name, key id, start, end, whether it is current.

    A secret's `issued` is when an `up` first declared it, by the clock that its calendar is read at; its `successor_starts` is the
    moment from which an `up` makes the next one, its `kept_until` that from which an `up` takes it away.
    """

    def __init__(
        self,
        name: str,
        args: AppIdentityArgs,
        opts: pulumi.ResourceOptions | None = None,
        *,
        known: FromFile | None = None,
    ) -> None:
        """Declare the identity `name`.

        Raises:
            pulumi.RunError: an argument is unknown, missing or malformed, or `adopt` names what the stack manages already.
        """
        former = tuple(args.get("renamed_from") or ())
        aliases = pulumi.ResourceOptions(aliases=[pulumi.Alias(name=old) for old in former])
        super().__init__(IDENTITY, name, {}, pulumi.ResourceOptions.merge(aliases, opts))
        roles = args.get("roles") or {}
        from_program = known is None
        if known is None:
            if wrong := list(faults(args)):
                raise pulumi.RunError(f'AppIdentity "{name}" {"; ".join(wrong)}')
            known = FromFile(State.read(), _secrets(f'AppIdentity "{name}": ', args))
            roles = {key: read_role(f'AppIdentity "{name}": roles.{key}', role) for key, role in roles.items()}
        whose = f'AppIdentity "{name}": ' if from_program else f"apps.{name}."
        for key, permission in (args.get("permissions") or {}).items():
            check_each_once(f"{whose}permissions.{key}", permission)
        self.parts = Parts(self, (name, *former), known.state, args.get("adopt"), args.get("change_adopted") or False)
        self._declare_registration(args)
        self._declare_credentials(args, known)
        access = Access(self.parts, self.service_principal_id)
        for key, permission in (args.get("permissions") or {}).items():
            access.consent(key, permission)
        self.role_assignments = {key: access.role(key, role) for key, role in roles.items()}
        access.groups(args.get("groups") or {})
        access.directory_roles(args.get("directory_roles") or {})
        self.grants = [_grant(key, assignment) for key, assignment in self.role_assignments.items()]
        self.register_outputs(
            {
                "client_id": self.client_id,
                "object_id": self.object_id,
                "service_principal_id": self.service_principal_id,
            }
        )

    def _declare_registration(self, args: AppIdentityArgs) -> None:
        adopt, keep = args.get("adopt"), args.get("on_remove") == "keep"
        inputs = application_inputs(args)
        owned, first_owned = args.get("owners") is not None, args.get("first_owners") is not None
        self.application = azuread.Application(
            self.parts.name,
            **inputs,
            # An adopted registration has its name already, and the provider would find it taken; so would the preview that
            # `entrant recover` makes to learn what a killed run was making.
            prevent_duplicate_names=None if adopt or os.environ.get("ENTRANT_RECOVERING") else True,
            opts=pulumi.ResourceOptions(
                parent=self,
                aliases=self.parts.aliases(),
                protect=args.get("protect"),
                retain_on_delete=keep,
                **self.parts.adopted(APPLICATION, f"/applications/{adopt['application']}" if adopt else None),
                ignore_changes=[
                    *(["api.knownClientApplications"] if args.get("known_clients_apart") else []),
                    *(["owners"] if first_owned and not owned else []),
                    *(_UNSAID if adopt else []),
                    *(["logoImage"] if adopt and self._logo_is_there(adopt, args.get("logo")) else []),
                ],
            ),
        )
        own = {name: value for name, value in inputs.items() if name != "owners" or owned}  # not the deployer
        self.registration_digest = pulumi.Output.json_dumps(own, sort_keys=True).apply(
            lambda text: hashlib.sha256(text.encode()).hexdigest()
        )
        self.client_id = self.application.client_id
        self.object_id = self.application.object_id
        self.service_principal = None if adopt and adopt.get("no_service_principal") else self._declare_principal(args)
        none = pulumi.Output.from_input("")
        self.service_principal_id = self.service_principal.object_id if self.service_principal else none

    def _declare_principal(self, args: AppIdentityArgs) -> azuread.ServicePrincipal:
        adopt, first_owned = args.get("adopt"), args.get("first_owners") is not None
        principal = args.get("service_principal") or ServicePrincipalArgs()
        principal_id = adopt.get("service_principal") if adopt else None
        return azuread.ServicePrincipal(
            self.parts.name,
            client_id=self.application.client_id,
            **principal_inputs(args),
            opts=pulumi.ResourceOptions(
                parent=self,
                aliases=self.parts.aliases(),
                protect=args.get("protect"),
                # The provider would delete a service principal even where it only used an existing one.
                retain_on_delete=args.get("on_remove") == "keep" or principal.get("use_existing") or False,
                **self.parts.adopted(PRINCIPAL, f"/servicePrincipals/{principal_id}" if principal_id else None),
                ignore_changes=[
                    *(["owners"] if first_owned and principal.get("owners") is None else []),
                    *(_UNSAID_OF_PRINCIPAL if principal_id else []),
                ],
            ),
        )

    def _logo_is_there(self, adopt: AdoptArgs, logo: pulumi.Input[str] | None) -> bool:
        """Whether the logo is taken for the one that the registration has: no provider reads it back."""
        if logo is None:
            return False
        id_ = f"/applications/{adopt['application']}"
        if self.parts.change_adopted and not self.parts.state.agreed(APPLICATION, id_):
            return False
        return self.parts.read_as_it_is(APPLICATION, self.parts.names, id_, "logo", logo)

    def _declare_credentials(self, args: AppIdentityArgs, known: FromFile) -> None:
        credentials = Credentials(self.parts, self.application)
        vaults = Vaults(self.parts, self.client_id)
        credentials.declare_secrets(known.secrets)
        places = (args.get("secret") or SecretArgs()).get("deliver") or ()
        for newest, password in credentials.secrets[:1]:
            content = Content(newest.name, password.key_id, newest.ends, password.value)
            vaults.declare(content, [vault for place in places if (vault := place.get("key_vault"))])
        self.issued: dict[str, pulumi.Output[str]] = {}
        """By calendar: private key and certificate of the newest, PEM, each a Pulumi secret. Other programs issue none."""
        for calendar, each in known.certificates.items():
            current, certificate = credentials.declare_issued(calendar, each.certificates)[0]
            if current.with_key is not None:
                self.issued[calendar] = current.with_key
            name, ends = issued_name(calendar, current.about.name), current.about.ends
            content = Content(name, certificate.key_id, ends, current.with_key, PEM, f"certificates.{calendar}")
            vaults.declare(content, each.vaults)
        credentials.declare_certificates(args.get("certificates") or {})
        credentials.declare_federated(args.get("federated") or {})
        values = [pulumi.Output.secret(password.value) for _, password in credentials.secrets]
        self.client_secret, self.client_secret_previous = (*values, None, None)[:2]
        self.credentials = credentials.described()


def _secrets(whose: str, args: AppIdentityArgs) -> Sequence[Due]:
    """The secrets that the arguments of a program ask for."""
    secret, now, handed_out = args.get("secret"), args.get("now"), args.get("secrets_handed_out")
    if secret is None:
        return ()
    try:
        rule = Secret.model_validate({name: value for name, value in secret.items() if value is not None})
    except ValidationError as error:
        raise pulumi.RunError(whose + "; ".join(map(_fault, error.errors()))) from None
    with reading(f"{whose}now"):
        moment = datetime.now(UTC) if now is None else parse_moment(now)
    with reading(f"{whose}secrets_handed_out"):
        there = None if handed_out is None else [HandedOut.read(**each) for each in handed_out]
    return due_by(rule, moment, there)


def _fault(error: ErrorDetails) -> str:
    path, message = ".".join(map(str, ("secret", *error["loc"]))), error["msg"].removeprefix("Value error, ")
    return f"{path}: {message}" + (f", not {error['input']!r}" if error["input"] is not None else "")


def _grant(key: str, assignment: authorization.RoleAssignment) -> dict[str, Any]:
    return {
        "key": key,
        "role_definition_id": assignment.role_definition_id,
        "scope": assignment.scope,
        "assignment_id": assignment.id,
    }
