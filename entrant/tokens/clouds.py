"""The cloud in use: the tables in `facts.clouds`, with what this process's environment says instead.

| variable | says |
|---|---|
| `ARM_METADATA_HOSTNAME` | a cloud of its own, described at `https://HOST/metadata/endpoints` (as Pulumi's providers read it) |
| `AZURE_AUTHORITY_HOST` | where tokens come from (as azure-identity reads it) |
| `ENTRANT_LOGS_ENDPOINT`, `ENTRANT_INSIGHTS_ENDPOINT` | where those two APIs answer |
| `ENTRANT_METRICS_ENDPOINT` | where custom metrics are sent; it may hold `{region}` |
"""

import dataclasses
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from entrant.errors import ConfigurationError
from entrant.facts.audiences import AUDIENCES
from entrant.facts.clouds import CLOUDS, Cloud

_METADATA_VERSION = "2022-09-01"


def resolve(name: str, environ: Mapping[str, str]) -> Cloud:
    """The cloud called `name` (public, usgovernment, china) as `environ` changes it.

    Raises:
        ConfigurationError: no such cloud, or a metadata document that lacks what is needed.
        UnreachableError: the metadata host gives no answer.
    """
    if name not in CLOUDS:
        raise ConfigurationError(f'there is no cloud "{name}"', next_step=f"use one of {', '.join(CLOUDS)}")
    cloud = CLOUDS[name]
    host = environ.get("ARM_METADATA_HOSTNAME")
    if host:
        cloud = _described(cloud, host)
    changes = {
        "authority": environ.get("AZURE_AUTHORITY_HOST"),
        "logs": environ.get("ENTRANT_LOGS_ENDPOINT"),
        "insights": environ.get("ENTRANT_INSIGHTS_ENDPOINT"),
        "metrics": environ.get("ENTRANT_METRICS_ENDPOINT"),
    }
    fields: dict[str, Any] = {field: _url(value) for field, value in changes.items() if value}
    cloud = dataclasses.replace(cloud, **fields)
    if not _is_address(cloud.authority):
        raise ConfigurationError(
            f"tokens cannot be asked of {cloud.authority!r}, which is no address",
            next_step="check AZURE_AUTHORITY_HOST and ARM_METADATA_HOSTNAME",
        )
    return cloud


def meant(audience: str, apps: Mapping[str, str]) -> str:
    """What a word stands for where it names an app of the environment, whose audience `apps` has; APIs of Azure come first."""
    return apps[audience] if audience in apps and audience not in AUDIENCES else audience


def scope(cloud: Cloud, audience: str, apps: Mapping[str, str] = MappingProxyType({})) -> str:
    """The scope to ask a token for; see `Cloud.scope`. `apps` are the audiences of an environment's own apps by name.

    Raises:
        ConfigurationError: a word that is no audience, with the nearest name, or an API that has none in this cloud.
    """
    try:
        return cloud.scope(meant(audience, apps))
    except KeyError:
        pass
    if audience in AUDIENCES:
        raise ConfigurationError(
            f"{audience} ({AUDIENCES[audience].what}) has no audience of its own in the cloud {cloud.name}",
            next_step="name the resource's URL instead",
        )
    import difflib

    called = {word: name for name, api in AUDIENCES.items() for word in (*api.also, name)} | {app: app for app in apps}
    near = difflib.get_close_matches(audience.lower(), called, 1)
    own = f"; apps of the stack are {', '.join(apps)}" if apps else ""
    raise ConfigurationError(
        f'"{audience}" is no audience',
        next_step=(f'did you mean "{called[near[0]]}"? ' if near else "")
        + f"Names are {', '.join(cloud.audiences)}{own}; a resource URL or a scope is taken as it is",
    )


def is_known_authority(authority: str) -> bool:
    """Whether an authority host is one of Microsoft's, for which instance discovery makes sense."""
    return any(authority.rstrip("/") == cloud.authority for cloud in CLOUDS.values())


def _url(value: str) -> str:
    return (value if "://" in value else f"https://{value}").rstrip("/")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and not re.search(r"[\s\x00-\x1f\x7f]", url)
    except ValueError:
        return False


def _described(cloud: Cloud, host: str) -> Cloud:
    from entrant.tokens import exchange

    url = f"{_url(host)}/metadata/endpoints"
    if not url.lower().startswith("https://"):  # whoever answers says where secrets are sent
        raise ConfigurationError(
            f"{url} would be read unencrypted", next_step="set ARM_METADATA_HOSTNAME to the host alone"
        )
    document = exchange.document(f"{url}?api-version={_METADATA_VERSION}")
    if not isinstance(document, dict):  # asked for again by what tries more, and says why it does not work
        from entrant import http

        document = http.get_json(url, params={"api-version": _METADATA_VERSION})
    try:
        authentication: dict[str, Any] = document["authentication"]
        audiences = dict(cloud.audiences) | {
            "arm": str(authentication["audiences"][0]).rstrip("/"),
            "graph": str(document["microsoftGraphResourceId"]).rstrip("/"),
        }
        logs = str(document.get("logAnalyticsResourceId") or cloud.logs).rstrip("/")
        insights = str(document.get("appInsightsResourceId") or cloud.insights).rstrip("/")
        return dataclasses.replace(
            cloud,
            authority=str(authentication["loginEndpoint"]).rstrip("/"),
            resource_manager=str(document["resourceManager"]).rstrip("/"),
            graph=audiences["graph"],
            logs=logs,
            insights=insights,
            audiences=MappingProxyType(audiences | {"logs": logs, "insights": insights}),
        )
    except (KeyError, IndexError, TypeError) as error:
        raise ConfigurationError(
            f"{url} does not describe a cloud: {error!r} is missing", next_step="check ARM_METADATA_HOSTNAME"
        ) from error
