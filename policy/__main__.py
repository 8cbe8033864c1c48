"""The folder as a Pulumi policy pack: `pulumi preview --policy-pack policy`, `pulumi up --policy-pack policy`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the engine starts the folder, not the package

from entrant.policy.pack import serve

if __name__ == "__main__":
    serve()
