"""Client secrets and certificates in Azure Key Vault: one secret there, with a version for each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pulumi
import pulumi_azure_native as azure_native
from pulumi_azure_native import authorization, keyvault

from entrant.facts.marks import of_stack
from entrant.facts.pulumi_types import VAULT_SECRET
from entrant.facts.scopes import Scope, parse_scope

from .arguments import KeyVaultDeliveryArgs
from .parts import Parts

_SECRET = "client secret of Microsoft Entra ID"
PEM = "application/x-pem-file"
"""What Key Vault calls the secret of a certificate in this form ("Certificate contents", Azure Key Vault)."""
_SETTINGS = (
    "auxiliary_tenant_ids",
    "client_certificate_password",
    "client_certificate_path",
    "client_id",
    "client_secret",
    "disable_instance_discovery",
    "environment",
    "metadata_host",
    "msi_endpoint",
    "oidc_request_token",
    "oidc_request_url",
    "oidc_token",
    "oidc_token_file_path",
    "tenant_id",
    "use_msi",
    "use_oidc",
)
"""Settings of azure-native in the stack's configuration, which a provider of one's own does not get by itself."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a version of a secret in a vault holds: a client secret, or a certificate with its private key."""

    name: str
    """Its slot."""
    key_id: pulumi.Output[str]
    ends: datetime
    value: pulumi.Output[str] | None
    """None: nobody has it any more, and what vaults hold stays as it is."""
    content_type: str = _SECRET
    where: str = "secret"
    """What delivers it, below the app in a file."""


class Vaults:
    """The vaults of one app."""

    def __init__(self, parts: Parts, client_id: pulumi.Output[str]) -> None:
        """Nothing yet, of the app with this client id."""
        self._parts = parts
        self._client_id = client_id
        self._providers: dict[str, azure_native.Provider | None] = {}

    def declare(self, content: Content, vaults: Sequence[KeyVaultDeliveryArgs]) -> None:
        """The content, the newest of its kind, as the newest version in each of these vaults.

        Raises:
            pulumi.RunError: a vault has such a secret, and it is not this stack's.
        """
        for vault in vaults:
            subscription = (parse_scope(vault["vault"]).subscription or "").lower()
            if subscription not in self._providers:
                self._providers[subscription] = _provider(self._parts, subscription)
            self._secret(content, vault, self._providers[subscription])

    def _secret(self, content: Content, args: KeyVaultDeliveryArgs, provider: azure_native.Provider | None) -> None:
        """A secret in a vault.

        It stays there when it is no longer declared: only the data plane of a vault deletes secrets, and their names are taken
        until they are purged. What this stack left there for the app gets the next version; what is not its own, only with `adopt`.
        """
        parts, vault = self._parts, parse_scope(args["vault"])
        key = f"key-vault-{vault.name}-{args['name']}".lower()
        names = [f"{app}/{key}" for app in parts.names]
        held = bool(parts.state.get(VAULT_SECRET, names))
        if content.value is None and not held:
            return
        there = None if held else _existing(vault, args["name"], provider)
        mark = of_stack(pulumi.get_project(), pulumi.get_stack())
        if there is not None and there.get("stack") != mark and not args.get("adopt"):
            raise pulumi.RunError(
                f"apps.{parts.name}.{content.where}.deliver: the vault {vault.name} has a secret {args['name']} that this stack "
                "did not make. To give it a new version, write `adopt: true` beside its name; else deliver under another name."
            )
        value: pulumi.Output[str] = pulumi.Output.secret("" if content.value is None else content.value)
        keyvault.Secret(
            names[0],
            resource_group_name=vault.resource_group,
            vault_name=vault.name,
            secret_name=args["name"],
            properties=keyvault.SecretPropertiesArgs(
                value=value,
                content_type=content.content_type,
                attributes=keyvault.SecretAttributesArgs(enabled=True, expires=int(content.ends.timestamp())),
            ),
            tags={
                "app": parts.name,
                "client_id": self._client_id,
                "key_id": content.key_id,
                "secret": content.name,
                "stack": mark,
            },
            opts=pulumi.ResourceOptions(
                parent=parts.app,
                aliases=parts.aliases(f"/{key}"),
                retain_on_delete=True,
                provider=provider,
                ignore_changes=["properties", "tags"] if content.value is None else None,
                import_=None if there is None else f"{vault.id}/secrets/{args['name']}",
            ),
        )


def _existing(vault: Scope, name: str, provider: azure_native.Provider | None) -> Mapping[str, str] | None:
    """The tags of a secret in a vault; None when there is none."""
    try:
        found = keyvault.get_secret(
            resource_group_name=vault.resource_group,
            vault_name=vault.name,
            secret_name=name,
            opts=pulumi.InvokeOptions(provider=provider),
        )
    except Exception as error:  # the SDK raises a bare Exception with the provider's words
        if re.search(r"\b404\b|NotFound", str(error)):
            return None
        raise
    return found.tags or {}


def _provider(parts: Parts, subscription: str) -> azure_native.Provider | None:
    """A provider for a subscription that is not the one azure-native is set to."""
    if subscription == authorization.get_client_config().subscription_id.lower():
        return None
    settings = {name: value for name in _SETTINGS if (value := getattr(azure_native.config, name)) is not None}
    opts = pulumi.ResourceOptions(parent=parts.app, aliases=parts.aliases(f"/{subscription}"))
    return azure_native.Provider(f"{parts.name}/{subscription}", subscription_id=subscription, **settings, opts=opts)
