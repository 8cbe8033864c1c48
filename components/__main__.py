"""`AppIdentity` for programs in any Pulumi language: Pulumi starts this folder as a plugin (docs/component.md)."""

import sys
from pathlib import Path

_ABOVE = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    if (_ABOVE / "components").is_dir() and (_ABOVE / "entrant").is_dir():  # a checkout
        sys.path[0] = str(_ABOVE)
        from components import AppIdentity
    else:
        sys.path.pop(0)
        from entrant.components import AppIdentity  # type: ignore[import-not-found,no-redef]

    from pulumi.provider.experimental import component_provider_host

    from entrant import __version__

    component_provider_host([AppIdentity], "entrant", version=__version__)
