"""``python -m local_azure.plugins NAME VERSION [engine address] [flags]``: serve one stand-in plugin to a Pulumi engine."""

from __future__ import annotations

import sys

from local_azure.plugins.server import Plugin, serve


def main(arguments: list[str]) -> int:
    """Serve the plugin named first; flags the engine adds for its own plugins (``-v``, ``--tracing`` …) are accepted."""
    if len(arguments) < 2:
        sys.stderr.write("usage: python -m local_azure.plugins azuread|azure-native VERSION [engine address]\n")
        return 2
    name, version, *rest = arguments
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
    sys.exit(main(sys.argv[1:]))
