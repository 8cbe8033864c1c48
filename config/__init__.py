"""Environments: YAML files, checked and turned into frozen models.

`load("dev")` reads `config/dev.yaml` with what it extends and returns an `Environment`, or raises `ConfigError` with
every problem of every file, each with file, line and column. `check` returns the same findings, warnings included,
without raising.
"""

from .loader import Report, check, environment_file, environments, load
from .models import App, Environment, Role, RoleGrant, Secret
from .problems import ConfigError, Problem

__all__ = [
    "App",
    "ConfigError",
    "Environment",
    "Problem",
    "Report",
    "Role",
    "RoleGrant",
    "Secret",
    "check",
    "environment_file",
    "environments",
    "load",
]
