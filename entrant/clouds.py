"""The cloud in use: the tables in `facts.clouds`, with what this process's environment says instead.

| variable | says |
|---|---|
| `ARM_METADATA_HOSTNAME` | a cloud of its own, described at `https://HOST/metadata/endpoints` (as Pulumi's providers read it) |
| `AZURE_AUTHORITY_HOST` | where tokens come from (as azure-identity reads it) |
| `ENTRANT_LOGS_ENDPOINT`, `ENTRANT_METRICS_ENDPOINT` | where those two APIs answer; metrics may hold `{region}` |
"""

import dataclasses
import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from entrant.errors import ConfigurationError
from facts.clouds import CLOUDS, Cloud

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
        "metrics": environ.get("ENTRANT_METRICS_ENDPOINT"),
    }
    given: dict[str, Any] = {field: _url(value) for field, value in changes.items() if value}
    return dataclasses.replace(cloud, **given)


def scope(cloud: Cloud, audience: str) -> str:
    """The scope to ask a token for; see `Cloud.scope`.

    Raises:
        ConfigurationError: a word that is no audience, with the nearest name.
    """
    try:
        return cloud.scope(audience)
    except KeyError:
        near = difflib.get_close_matches(audience, cloud.audiences, 1)
        raise ConfigurationError(
            f'"{audience}" is no audience',
            next_step=(f'did you mean "{near[0]}"? ' if near else "") + f"Names are {', '.join(cloud.audiences)}; "
            "a resource URL or a scope is taken as it is",
        ) from None


def is_known_authority(authority: str) -> bool:
    """Whether an authority host is one of Microsoft's, for which instance discovery makes sense."""
    return any(authority.rstrip("/") == cloud.authority for cloud in CLOUDS.values())


def _url(value: str) -> str:
    return (value if "://" in value else f"https://{value}").rstrip("/")


def _described(cloud: Cloud, host: str) -> Cloud:
    from entrant import http

    url = f"{_url(host)}/metadata/endpoints"
    document = http.get_json(url, params={"api-version": _METADATA_VERSION})
    try:
        authentication: dict[str, Any] = document["authentication"]
        audiences = dict(cloud.audiences) | {
            "arm": str(authentication["audiences"][0]).rstrip("/"),
            "graph": str(document["microsoftGraphResourceId"]).rstrip("/"),
        }
        logs = str(document.get("logAnalyticsResourceId") or cloud.logs).rstrip("/")
        return dataclasses.replace(
            cloud,
            authority=str(authentication["loginEndpoint"]).rstrip("/"),
            resource_manager=str(document["resourceManager"]).rstrip("/"),
            graph=audiences["graph"],
            logs=logs,
            audiences=MappingProxyType(audiences | {"logs": logs}),
        )
    except (KeyError, IndexError, TypeError) as error:
        raise ConfigurationError(
            f"{url} does not describe a cloud: {error!r} is missing", next_step="check ARM_METADATA_HOSTNAME"
        ) from error
