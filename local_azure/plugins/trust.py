"""The certificates that a plugin trusts: a file of them is read once, and not for each connection, which takes 15 ms."""

import ssl
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from requests.adapters import HTTPAdapter


class _Context(ssl.SSLContext):
    """A TLS context of many threads: urllib3 would set the protocols anew at each connection, while another thread reads them."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Nothing: without any, HTTP/1.1 is spoken."""


@lru_cache(2)
def _trusting(bundle: str) -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(bundle)
    return context


class Adapter(HTTPAdapter):
    """requests' own, whose connections to servers have one TLS context."""

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Have the connections of a pool trust what requests has them trust."""
        if "ssl_context" in conn.conn_kw:
            return
        super().cert_verify(conn, url, verify, cert)  # type: ignore[no-untyped-call]
        if conn.ca_certs and conn.proxy is None:  # a proxy's own TLS goes by `ca_certs`
            with suppress(OSError):  # the connection will say so
                conn.conn_kw["ssl_context"], conn.ca_certs = _trusting(conn.ca_certs), None
