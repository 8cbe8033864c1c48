"""Which resource plugins Pulumi may run for a project, and what a state or `Pulumi.yaml` asks for beyond them.

A plugin is a program that runs with the credentials of whoever runs Pulumi, and the state says which one: its package, version,
the address to download it from, and where it sends its credentials. Whoever may write to the state could so run a program as the
identity that deploys. So a state is looked at before any operation that would load a plugin from it.

Sources: Pulumi 3.259, pkg/resource/deploy/providers/registry.go (what a provider's inputs say, where a plugin comes from); the
settings of pulumi-azuread and pulumi-azure-native.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from entrant.facts.scopes import is_guid
from entrant.setup import pins

SDKS: Final = {"azuread": "pulumi-azuread", "azure-native": "pulumi-azure-native"}
"""Plugin → the Python package that speaks to it, whose version the plugin has."""
_SECRET: Final = "4dabf18193072939515e22adb298388d"
"""The key that marks an object in a state as a secret, an asset or another of the engine's own kinds."""
_CREDENTIALS: Final = frozenset(
    {"clientId", "clientSecret", "clientCertificate", "clientCertificatePassword", "oidcToken", "oidcRequestToken"}
)
"""Settings that may be encrypted: none of them says where something is sent."""
_PLAIN: Final = re.compile(r"(?i)true|false|public|global|usgovernment(l[45])?|dod|china|german|")
"""Values that name no place: switches, and Azure's own clouds."""


def allowed(root: Path) -> dict[str, set[str]]:
    """The plugins that may run: those of the installed SDKs, and what the project pins besides; name → versions."""
    from importlib import metadata

    found = {name: set(versions) for name, versions in pins.plugins(root).items()}
    for name, package in SDKS.items():
        try:
            found.setdefault(name, set()).add(metadata.version(package))
        except metadata.PackageNotFoundError:
            continue
    return found


def in_state(
    deployment: Mapping[str, Any], plugins: Mapping[str, set[str]], own: Callable[[str, str], Iterable[str]]
) -> list[str]:
    """What a state asks for that the project does not: one sentence each.

    Args:
        deployment: as `pulumi stack export` has it.
        plugins: those that may run, as `allowed` has them.
        own: the values that this environment and the stack's configuration have for a setting of a provider, by package and name.
    """
    state = deployment.get("deployment") or {}
    pending = [operation.get("resource") or {} for operation in state.get("pending_operations") or ()]
    found: dict[str, None] = {}
    for resource in (*(state.get("resources") or ()), *pending):
        found |= dict.fromkeys(_of_resource(resource, plugins, own))
    return list(found)


def _of_resource(
    resource: Mapping[str, Any], plugins: Mapping[str, set[str]], own: Callable[[str, str], Iterable[str]]
) -> Iterator[str]:
    kind, urn = str(resource.get("type")), str(resource.get("urn"))
    first, _, rest = kind.partition(":")
    provider = kind.startswith("pulumi:providers:")
    package = rest.partition(":")[2] if provider else first
    reference = str(resource.get("provider") or "")
    if _type_of(urn) != kind:  # Pulumi goes by the one here, by the other there
        yield f"{urn}: its type is {kind}, which its URN does not say"
    if package not in {"pulumi", *plugins} and (provider or reference or resource.get("custom")):
        yield f"{urn}: nothing in this project uses the package {package!r}"
        return
    if reference and _type_of(reference) != f"pulumi:providers:{package}":
        yield f"{urn}: its provider is {reference}, not {package}'s"
    if not provider:
        return
    for side in ("inputs", "outputs"):
        yield from _of_settings(urn, package, resource.get(side) or {}, plugins, own, side)


def _type_of(urn: str) -> str:
    """The type in a URN, or in a reference to a provider, which is a URN with an id behind it."""
    parts = urn.split("::")
    return parts[2].rpartition("$")[2] if len(parts) > 3 else ""


def _of_settings(
    urn: str,
    package: str,
    settings: Mapping[str, Any],
    plugins: Mapping[str, set[str]],
    own: Callable[[str, str], Iterable[str]],
    side: str,
) -> Iterator[str]:
    if package == "pulumi":
        if settings.get("__internal") or set(settings) - {"__internal", "version"}:
            yield f"{urn}: Pulumi's own provider takes no settings, and has {', '.join(sorted(settings))}"
        return
    version = settings.get("version")
    if isinstance(version, Mapping):
        version = "that is encrypted"
    if version not in plugins[package] and (side == "inputs" or version is not None):
        wanted = " or ".join(sorted(plugins[package]))
        yield f"{urn}: it asks for version {version} of {package}, and this project uses {wanted}"
    internal = settings.get("__internal") or {}
    hidden = sorted(internal) if isinstance(internal, Mapping) else ["__internal"]
    for name in (*hidden, *sorted({"pluginDownloadURL", "pluginChecksums", "parameterization"} & set(settings))):
        yield f"{urn}: it says {name}, which decides what program is run"
    for name, value in settings.items():
        if name in ("__internal", "version", "pluginDownloadURL", "pluginChecksums", "parameterization"):
            continue
        if not _harmless(name, value) and str(value) not in set(own(package, name)):
            yield f"{urn}: its setting {name} is neither this environment's nor the stack's configuration's"


def _harmless(name: str, value: Any) -> bool:
    if isinstance(value, Mapping) and _SECRET in value:
        return name in _CREDENTIALS
    return value is None or isinstance(value, bool) or bool(_PLAIN.fullmatch(str(value))) or is_guid(str(value))


def in_project(root: Path, plugins: Mapping[str, set[str]]) -> list[str]:
    """What the sections `plugins` and `packages` of a project's `Pulumi.yaml` would run: one sentence each."""
    import yaml

    file = next((root / name for name in ("Pulumi.yaml", "Pulumi.yml") if (root / name).is_file()), None)
    if file is None:
        return []
    try:
        project = yaml.safe_load(file.read_text("utf-8"))
    except yaml.YAMLError:
        return []  # Pulumi says so itself, and goes no further
    if not isinstance(project, Mapping):
        return []
    found = []
    if project.get("plugins"):
        found.append(f"{file.name}: `plugins` names programs to run as plugins")
    packages = project.get("packages") or {}
    for name, what in packages.items() if isinstance(packages, Mapping) else [("packages", packages)]:
        source, _, version = str(what).rpartition("@")
        if not isinstance(what, str) or (source or name) != name or version not in plugins.get(name, set()):
            found.append(f"{file.name}: `packages` takes {name} from {what}")
    return found
