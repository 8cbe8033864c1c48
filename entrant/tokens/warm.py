"""The short cut of `entrant token AUDIENCE` with the `AZURE_*` variables and the cache: a token on disk, no set-up, few imports.

Whatever is not plainly this is left to the command itself.
"""

import os
from collections.abc import Mapping

from entrant.tokens import cache


def answer(arguments: list[str], environ: Mapping[str, str] = os.environ) -> str | None:
    """What `entrant token` would print for these arguments, if a token on disk is good for it; else None.

    >>> answer(["logs", "--format", "json"], {"ENTRANT_TOKEN_CACHE": "1"}) is None
    True
    """
    audience, form, validity = None, "raw", None
    cached = environ.get("ENTRANT_TOKEN_CACHE") == "1"
    words = iter(arguments)
    for word in words:
        if word == "--cache":
            cached = True
        elif word == "--format":
            form = next(words, "")
        elif word == "--min-valid":
            validity = next(words, "")
        elif word.startswith("-") or audience is not None:
            return None
        else:
            audience = word
    tenant, client = environ.get("AZURE_TENANT_ID"), environ.get("AZURE_CLIENT_ID")
    start = {"raw": "", "header": "Authorization: Bearer "}.get(form)
    if not (cached and audience and tenant and client) or start is None:
        return None
    proof = _proof(environ)
    store = cache.Cache(proof, cache.folder(environ)) if proof else None
    cloud = environ.get("ENTRANT_CLOUD", "public")
    try:
        known = store and store.read(*cache.asked_key(tenant, client, cloud, audience, environ))
    except ImportError:  # an interpreter without the requirements: the command will run in another
        return None
    if not (store and known):
        return None
    min_valid = 0
    if validity is not None:
        from entrant import times

        try:
            min_valid = times.seconds(validity)
        except ValueError:
            return None
    found = cache.token(store, cache.token_key(tenant, client, *known), min_valid)
    return start + found[1] if found else None


def _proof(environ: Mapping[str, str]) -> bytes | None:
    """As `entrant.tokens.ways.choose`, of what is in the environment or in a file that it names."""
    secret = environ.get("AZURE_CLIENT_SECRET")
    if secret:
        return secret.encode(errors="surrogatepass")
    for name in ("AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_FEDERATED_TOKEN_FILE"):
        path = environ.get(name)
        if path:
            try:
                with open(path, "rb") as file:
                    return file.read()
            except OSError:
                return None
    return None
