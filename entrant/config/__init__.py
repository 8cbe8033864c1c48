"""Environments: YAML files, checked and turned into frozen models.

`load("dev")` reads `config/dev.yaml` with what it extends and returns an `Environment`, or raises `ConfigError` with every
problem of every file, each with file, line and column. `check` returns the same findings, warnings included, without raising.
"""

from .access import Permission, RoleDefinition, RoleGrant
from .credentials import Certificate, Secret
from .drift import Drift, Ignored
from .federated import Federated
from .known import Role
from .loader import Report, check, environment_file, environments, is_stack, load, may_be_of_a_stack, other_path
from .models import App, Environment
from .policy import Policy
from .problems import ConfigError, Problem

__all__ = [
    "App",
    "Certificate",
    "ConfigError",
    "Drift",
    "Environment",
    "Federated",
    "Ignored",
    "Permission",
    "Policy",
    "Problem",
    "Report",
    "Role",
    "RoleDefinition",
    "RoleGrant",
    "Secret",
    "check",
    "environment_file",
    "environments",
    "is_stack",
    "load",
    "may_be_of_a_stack",
    "other_path",
]
