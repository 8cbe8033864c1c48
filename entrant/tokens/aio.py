"""The credential for Azure SDK clients that are asynchronous.

    from azure.monitor.query.aio import LogsQueryClient

    import entrant.tokens.aio

    async with entrant.tokens.aio.credential("dev", "log-reader") as credential, LogsQueryClient(credential) as client:
        ...

A token from memory is given at once; one that has to be asked for is asked for in a thread, so that no other HTTP library is
needed and tokens are shared with those who use the same credential synchronously.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from entrant.outputs import App
from entrant.tokens import credentials, exchange

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions


class Credential:
    """An azure-core `AsyncTokenCredential`: an `entrant.Credential` for asyncio."""

    def __init__(self, credential: credentials.Credential) -> None:
        self.sync = credential

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, **options: Any
    ) -> "AccessToken":
        """As `entrant.Credential.get_token`."""
        from azure.core.credentials import AccessToken

        info = await self._obtain(scopes, {"claims": claims, "tenant_id": tenant_id} | options)
        return AccessToken(info.token, info.expires_on)

    async def get_token_info(self, *scopes: str, options: "TokenRequestOptions | None" = None) -> "AccessTokenInfo":
        """As `entrant.Credential.get_token_info`."""
        return credentials.sdk(await self._obtain(scopes, dict(options or {})))

    async def close(self) -> None:
        """Forget the tokens."""
        self.sync.close()

    async def __aenter__(self) -> "Credential":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _obtain(self, scopes: tuple[str, ...], options: dict[str, Any]) -> exchange.Bearer:
        kept = self.sync.kept(scopes, options)
        return kept if kept is not None else await asyncio.to_thread(self.sync.obtain, scopes, options)


def credential(app: App | str, name: str | None = None, **options: Any) -> Credential:
    """An asynchronous credential; the arguments, and what they raise, are those of `entrant.credential`.

    async with entrant.tokens.aio.credential(entrant.from_environment()) as credential:
        token = await credential.get_token("https://api.loganalytics.io/.default")
    """
    return Credential(credentials.credential(app, name, **options))
