"""The arguments of the component are the words of an environment file: key by key, and type by type."""

import inspect
import types
from collections.abc import Iterator
from typing import Annotated, Any, ForwardRef, Literal, NotRequired, Union, get_args, get_origin

from pydantic import BaseModel

from components import arguments
from entrant.config.models import App

ARGUMENTS: dict[str, Any] = {
    name.removesuffix("Args"): value
    for name, value in vars(arguments).items()
    if isinstance(value, type) and value.__module__ == arguments.__name__
}
OTHER_NAMES = {
    "App": "AppIdentity",
    "Consented": "Consent",
    "DirectoryRoleGrant": "DirectoryRole",
    "RoleGrant": "RoleAssignment",
}
"""Model → its arguments, where they are called otherwise."""

NOT_IN_FILES = "HandedOut"
"""Arguments of no model: what an earlier run did."""

DIFFERENT: dict[str, tuple[str | None, str | None]] = {
    # What a file leaves to the program that declares it, or says for its checks.
    "App.allow_privileged": ("bool?", None),
    "App.reason": ("str?", None),
    "App.first_owners": (None, "[str]?"),
    "App.known_clients_apart": (None, "plain bool?"),
    "App.now": (None, "plain str?"),
    "App.secrets_handed_out": (None, "[HandedOut]?"),
    # An argument decides it alone.
    "App.display_name": ("str?", "str"),
    "AppRole.display_name": ("str?", "str"),
    "ExposedScope.display_name": ("str?", "str"),
    "AppRole.allowed": ("[str]?", "[str]"),
    "App.secret": ("Secret or bool?", "Secret?"),
    # Ids in place of names.
    "App.owners": ("[Owner]?", "[str]?"),
    "ServicePrincipal.owners": ("[Owner]?", "[str]?"),
    "AppRole.id": ("str?", "plain str"),
    "AppRole.renamed_from": ("[str]?", None),
    "ExposedScope.id": ("str?", "plain str"),
    "ExposedScope.renamed_from": ("[str]?", None),
    "Permission.api": ("ApiReference", None),
    "Permission.client_id": (None, "str"),
    "Permission.service_principal_id": (None, "str?"),
    "Permission.application": ("[str]?", "{str}?"),
    "Permission.delegated": ("[str]?", "{str}?"),
    "Consented.application": ("[str]?", "{str}?"),
    "Consented.delegated": ("[str]?", "{str}?"),
    "RoleGrant.role": ("Role", "str"),
    "RoleGrant.scope": ("Scope", "str"),
    "DirectoryRoleGrant.role": ("DirectoryRole", None),
    "DirectoryRoleGrant.role_id": (None, "str"),
    # Keys, which become names of resources, in place of lists.
    "App.federated": ("[Federated]?", "{Federated}?"),
    "App.permissions": ("[Permission]?", "{Permission}?"),
    "App.roles": ("[RoleGrant]?", "{RoleGrant}?"),
    "App.groups": ("[Membership or str]?", "{Membership}?"),
    "App.directory_roles": ("[DirectoryRoleGrant]?", "{DirectoryRoleGrant}?"),
    "Federated.name": ("str?", None),
    "RoleGrant.unique": (None, "plain bool?"),
    "Permission.renamed_from": (None, "[plain str]?"),
    "RoleGrant.renamed_from": (None, "[plain str]?"),
    # What decides which resources there are, which a preview must know.
    "Secret.every": ("timedelta?", "plain str?"),
    "Secret.overlap": ("timedelta?", "plain str?"),
    "Secret.starts": ("datetime?", "plain str?"),
    "Secret.generation": ("int?", "plain int?"),
    "ServicePrincipal.use_existing": ("bool?", "plain bool?"),
    "Permission.consent": ("Consented or bool?", "plain bool?"),
    "Permission.consented": (None, "Consented?"),
    "Adopt.application": ("str", "plain str"),
    "Adopt.service_principal": ("str?", "plain str?"),
    "App.change_adopted": ("bool?", "plain bool?"),
    "App.on_remove": ("str?", "plain str?"),
    "App.protect": ("bool?", "plain bool?"),
    "RoleGrant.adopt": ("str?", "plain str?"),
    "RoleGrant.on_remove": ("str?", "plain str?"),
    "RoleGrant.condition_version": ("str?", None),
    "App.renamed_from": ("[str]?", "[plain str]?"),
    "Certificate.renamed_from": ("[str]?", "[plain str]?"),
    "Federated.renamed_from": ("[str]?", "[plain str]?"),
    # A certificate is read from its file; a federated credential says what a preset makes.
    "Certificate.path": ("PublicCertificate?", None),
    "Certificate.pem": ("PublicCertificate?", "str"),
    "Certificate.ends": ("datetime?", "str"),
    "Federated.issuer": ("str?", "str"),
    "Federated.audience": ("str?", "str"),
    "Federated.github": ("GitHub?", None),
    "Federated.azure_devops": ("AzureDevOps?", None),
    "Federated.gitlab": ("GitLab?", None),
    "Federated.kubernetes": ("Kubernetes?", None),
    "Federated.hcp_terraform": ("HcpTerraform?", None),
    "Federated.pulumi_cloud": ("PulumiCloud?", None),
    "Adopt.known_clients": ("bool?", "plain bool?"),
    "Adopt.no_service_principal": ("bool?", "plain bool?"),
    "AdoptedConsent.application": ("{str}?", "{plain str}?"),
    "AdoptedConsent.delegated": ("str?", "plain str?"),
    "AdoptedConsent.api": (None, "plain str?"),
    **{
        f"{part}.{key}": ("str?", "plain str?")
        for part in ("Certificate", "DirectoryRoleGrant", "Federated")
        for key in ("adopt", "on_remove")
    },
    "Permission.on_remove": ("str?", "plain str?"),
    "Membership.adopt": ("bool?", "plain bool?"),
    "Membership.on_remove": ("str?", "plain str?"),
    # What exists and is no resource, for drift and expiry.
    "App.kept_credentials": ("[KeptCredential]?", None),
    "KeyVaultDelivery.vault": ("Scope", "plain str"),
    "KeyVaultDelivery.name": ("str", "plain str"),
    "KeyVaultDelivery.adopt": ("bool?", "plain bool?"),
    # Certificates are issued for environment files alone.
    "Certificate.every": ("timedelta?", None),
    "Certificate.overlap": ("timedelta?", None),
    "Certificate.starts": ("datetime?", None),
    "Certificate.generation": ("int?", None),
    "Certificate.deliver": ("[Delivery]?", None),
    # `entrant deliver` brings secrets there.
    "Delivery.github": ("GitHubDelivery?", None),
    "Delivery.azure_devops": ("AzureDevOpsDelivery?", None),
    "Delivery.gitlab": ("GitLabDelivery?", None),
    "Delivery.kubernetes": ("KubernetesDelivery?", None),
    "Delivery.exec": ("CommandDelivery?", None),
    # `ApiClients` declares them, after the API and its clients.
    "Api.known_clients": ("[Reference]?", None),
    "Api.pre_authorized": ("[PreAuthorized]?", None),
}
"""Where a file and the arguments differ: the type in a file, and that of the argument; None where there is none."""


def spelled(annotation: Any) -> str:
    """A type of either side in short: `[str]` a list, `{str}` a mapping by key; plain where an argument cannot be an output."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Annotated, NotRequired):
        return spelled(inner[0])
    if origin is Literal:
        return spelled(type(inner[0]))
    if origin in (list, tuple):
        return f"[{spelled(inner[0])}]"
    if origin is dict:
        return f"{{{spelled(inner[1])}}}"
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(spelled(each) for each in inner if each is not type(None)))
    assert isinstance(annotation, type)
    return annotation.__name__


def of_argument(annotation: Any) -> str:
    """`spelled`, for an argument, whose plain values are told from those that may be outputs."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is NotRequired:
        return of_argument(inner[0])
    if origin in (Union, types.UnionType):
        is_input = any(isinstance(each, ForwardRef) for each in inner)  # `Output[T]`
        return spelled(inner[0]) if is_input else of_argument(inner[0])
    if origin is list:
        return f"[{of_argument(inner[0])}]"
    if origin is dict:
        return f"{{{of_argument(inner[1])}}}"
    name: str = annotation.__name__
    if annotation in ARGUMENTS.values():
        name = name.removesuffix("Args")
        return {other: model for model, other in OTHER_NAMES.items()}.get(name, name)
    return f"plain {name}"


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and those in its fields that have arguments."""
    yield model
    annotations: list[Any] = [field.annotation for field in model.model_fields.values()]
    for annotation in annotations:
        annotations += get_args(annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and arguments_of(annotation) in ARGUMENTS:
            yield from models(annotation)


def arguments_of(model: type[BaseModel]) -> str:
    """The name of a model's arguments."""
    return OTHER_NAMES.get(model.__name__, model.__name__)


def test_arguments_and_environment_files_have_the_same_words() -> None:
    found: dict[str, tuple[str | None, str | None]] = {}
    seen = {NOT_IN_FILES}
    for model in models(App):
        name = arguments_of(model)
        seen.add(name)
        written = {
            key: f"{spelled(field.annotation)}{'' if field.is_required() else '?'}"
            for key, field in model.model_fields.items()
        }
        passed = {
            key: f"{of_argument(annotation)}{'' if key in ARGUMENTS[name].__required_keys__ else '?'}"
            for key, annotation in inspect.get_annotations(ARGUMENTS[name]).items()
        }
        for key in written | passed:
            if written.get(key) != passed.get(key):
                found[f"{model.__name__}.{key}"] = (written.get(key), passed.get(key))
    assert found == DIFFERENT
    assert seen == ARGUMENTS.keys(), "each has its model"
