"""``python -m local_azure.plugins NAME VERSION [engine address] [flags]``: serve one stand-in plugin to a Pulumi engine."""

from __future__ import annotations

import importlib.util
import sys


def _protocol_alone() -> None:
    """Let Pulumi's SDK be its protocol alone in this process: importing all of it takes as long as everything else here."""
    for name in ("pulumi", "pulumi.runtime", "pulumi.runtime.proto"):
        found = importlib.util.find_spec(name)
        if found is None:
            return
        sys.modules[name] = importlib.util.module_from_spec(found)


def main(arguments: list[str]) -> int:
    """Serve the plugin named first; flags the engine adds for its own plugins (``-v``, ``--tracing`` …) are accepted."""
    if len(arguments) < 2:
        sys.stderr.write("usage: python -m local_azure.plugins azuread|azure-native VERSION [engine address]\n")
        return 2
    name, version, *rest = arguments
    from local_azure.plugins.server import Plugin, serve

    plugin: Plugin
    if name == "azuread":
        from local_azure.plugins.azuread import AzureAd

        plugin = AzureAd(version)
    elif name == "azure-native":
        from local_azure.plugins.azure_native import AzureNative

        plugin = AzureNative(version)
    else:
        sys.stderr.write(f"there is no stand-in for the plugin {name!r}\n")
        return 2
    addresses = [argument for argument in rest if not argument.startswith("-") and ":" in argument]
    serve(plugin, addresses[-1] if addresses else "")
    return 0


if __name__ == "__main__":
    _protocol_alone()
    sys.exit(main(sys.argv[1:]))
