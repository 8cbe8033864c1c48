"""Secrets in Key Vault, which the deployment writes: read back through Resource Manager, which never tells their values.

Source: azure-rest-api-specs, Microsoft.KeyVault 2023-07-01, `Secrets_Get`.
"""

import os
from collections.abc import Mapping

from entrant.access import deployer
from entrant.access.deployer import Deployer
from entrant.config.delivery import KeyVaultDelivery
from entrant.delivery.sinks import Item, Sink
from entrant.errors import ConfigurationError, EntrantError, RefusedError
from entrant.facts.clouds import Cloud


class KeyVault(Sink):
    """A secret in a vault; one of its tags has the key id."""

    filled_by = "`pulumi up` (after a manual change of the vault: `pulumi up --refresh`)"

    def __init__(self, place: KeyVaultDelivery, cloud: Cloud, environ: Mapping[str, str] = os.environ) -> None:
        super().__init__(environ)
        self._place, self._cloud = place, cloud

    def holds(self) -> str | None:
        """The tag of the newest version."""
        try:
            path = f"{self._place.vault.id}/secrets/{self._place.name}"
            found = self._deployer().arm(path, version="2023-07-01")
        except RefusedError as error:
            if error.status == 404:
                return None
            raise
        return (found.get("tags") or {}).get("key_id")

    def put(self, item: Item) -> None:
        """Refuse: the deployment writes it."""
        raise EntrantError(
            f"the vault {self._place.vault_name} does not hold it, and the deployment writes it",
            next_step=self.filled_by,
        )

    def _deployer(self) -> Deployer:
        found = deployer.find(self._cloud, self.environ)
        if found is None:
            raise ConfigurationError("there is no login", next_step="`az login`, or set the ARM_* variables")
        return found
