"""The certificate authority of one state directory, and the certificate of its server.

The CA is made on first use and kept (`ca.pem`, and `ca.key` with mode 0600); it is never installed anywhere. The server's own
certificate is made afresh at each start.
"""

from __future__ import annotations

from pathlib import Path

import trustme

from local_azure.files import write_private, write_public

NAMES = ("localhost", "*.localhost", "*.vault.localhost", "127.0.0.1", "::1")


def server_certificate(state: Path) -> Path:
    """Write `state/server.pem` (0600): key and chain of a certificate for `NAMES`, signed by the state's CA."""
    authority = _authority(state)
    leaf = authority.issue_cert(*NAMES, common_name="localhost")
    path = state / "server.pem"
    write_private(path, leaf.private_key_and_cert_chain_pem.bytes())
    return path


def _authority(state: Path) -> trustme.CA:
    certificate, key = state / "ca.pem", state / "ca.key"
    if certificate.exists() and key.exists():
        return trustme.CA.from_pem(certificate.read_bytes(), key.read_bytes())
    authority = trustme.CA(organization_name="Entrant local Azure", organization_unit_name=state.name)
    write_private(key, authority.private_key_pem.bytes())
    write_public(certificate, authority.cert_pem.bytes())
    return authority
