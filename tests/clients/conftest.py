"""The local Azure that other makers' programs are tried with."""

from tests.local_azure.conftest import azure as azure
from tests.local_azure.conftest import deployer as deployer
