"""Bearer tokens for an app: credentials that every Azure SDK client takes.

    import entrant

    credential = entrant.credential("dev", "log-reader")                  # for any Azure SDK client
    entrant.token(entrant.from_stack("dev").app("log-reader"), "logs").access_token

Each token request is made by a fresh client, since MSAL answers one that was refused (400, 429, 5xx) from its own cache for
a while. The tokens are kept here instead: in memory, and on disk when `ENTRANT_TOKEN_CACHE=1` or `cache=True` asks for it. All who
ask for the same token at once share one request.
"""

import base64
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from entrant.errors import AuthenticationError, ConfigurationError, UnreachableError
from entrant.explain import next_step
from entrant.facts.clouds import Cloud
from entrant.outputs import App
from entrant.tokens import cache as disk
from entrant.tokens import clouds, exchange
from entrant.tokens.exchange import Bearer, NoTokenError, Outcome
from entrant.tokens.ways import choose

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, AccessTokenInfo, TokenRequestOptions

SKEW = 60.0
"""Seconds that two clocks may differ by before it is told."""
_SPARE = 10
_AGAIN = 30.0
_NOT_THIS_ONE = frozenset({"AADSTS7000215", "AADSTS7000222", "AADSTS700027", "AADSTS1000502"})
"""Unknown or expired secret, unknown or expired certificate: Microsoft Entra authentication and authorization error codes."""
_CLOCK = frozenset({"AADSTS700024"})
"""An assertion outside its time range."""

_LOG = logging.getLogger("entrant")
# What azure-identity would say of a failure is in the error that is raised.
logging.getLogger("azure.identity").addHandler(logging.NullHandler())


class Credential:
    """An azure-core `TokenCredential` for one app. Threads may share it.

    If Entra ID refuses the newest client secret as unknown or expired, the previous one is tried: a secret that was just
    rotated takes some seconds to be known everywhere. The same goes for the app's other certificates, where it has several in
    the stack's outputs. Throttling (429), 5xx and broken connections are tried again, at most three times; a `Retry-After` is
    kept to, up to a minute.

        app = entrant.from_environment()
        with Credential(app, clouds.resolve(app.cloud, os.environ)) as credential:
            token = credential.get_token("https://api.loganalytics.io/.default")
    """

    def __init__(
        self,
        app: App,
        cloud: Cloud,
        *,
        using: str = "auto",
        environ: Mapping[str, str] = os.environ,
        store: disk.Cache | None = None,
    ) -> None:
        self.app = app
        self.cloud = cloud
        self.skew: float | None = None
        """Seconds that the authority's clock was ahead of this machine's when it last answered."""
        self._way = choose(app, environ, using)
        self._store = store
        self._held: dict[tuple[Any, ...], _Held] = {}
        self._guard = threading.Lock()

    def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, **options: Any
    ) -> "AccessToken":
        """A token for the scopes, such as `https://api.loganalytics.io/.default`.

        Raises:
            AuthenticationError: Entra ID refused; `code` is its AADSTS code.
            UnreachableError: it did not answer, or only that it is too busy.
        """
        from azure.core.credentials import AccessToken

        info = self.obtain(scopes, {"claims": claims, "tenant_id": tenant_id} | options)
        return AccessToken(info.token, info.expires_on)

    def get_token_info(self, *scopes: str, options: "TokenRequestOptions | None" = None) -> "AccessTokenInfo":
        """The same with the token's type and refresh time; what newer Azure SDK clients call."""
        return sdk(self.obtain(scopes, dict(options or {})))

    def close(self) -> None:
        """Forget the tokens. Connections do not outlive a request."""
        self._held.clear()

    def __enter__(self) -> "Credential":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def kept(self, scopes: tuple[str, ...], options: Mapping[str, Any]) -> Bearer | None:
        """The token in memory, if there is one that need not be renewed."""
        held = self._held.get(_key(scopes, options))
        return held.info if held and held.info and not options.get("claims") and not _due(held.info) else None

    def obtain(
        self, scopes: tuple[str, ...], options: Mapping[str, Any] = MappingProxyType({}), *, min_valid: float = 0
    ) -> Bearer:
        """A token from memory, from disk or from Entra ID, in this order.

        One that has less than `min_valid` seconds left (or five minutes, if that is more) is renewed. If that fails, the old one
        is still good for those who did not ask for more than it has.
        """
        if not scopes:
            raise ValueError("a token is for at least one scope")
        key = _key(scopes, options)
        with self._guard:
            held = self._held.setdefault(key, _Held())
        with held.lock:
            now = time.time()
            if options.get("claims"):  # an API did not accept the token that there was
                held.info = None
            if held.info and not _due(held.info, min_valid):
                return held.info
            usable = held.info if held.info and held.info.expires_on - now > max(_SPARE, min_valid) else None
            if usable and now - held.tried < _AGAIN:
                return usable
            held.tried = now
            try:
                held.info = self._stored_or_asked(scopes, options, min_valid)
            except (AuthenticationError, UnreachableError):
                if usable is None:
                    raise
                return usable
            return held.info

    def _stored_or_asked(self, scopes: tuple[str, ...], options: Mapping[str, Any], min_valid: float) -> Bearer:
        store = self._store
        plain = len(scopes) == 1 and not options.get("claims") and _key(scopes, options) == _key(scopes, {})
        if store is None or not plain:
            return self._request(scopes, options)
        name = disk.token_key(self.app.tenant_id, self.app.client_id, self.cloud.authority, scopes[0])
        found = _stored(store, name, min_valid)
        if found is None:
            with _alone(store, name):
                found = _stored(store, name, min_valid)
                if found is None:
                    found = self._request(scopes, options)
                    _keep(store, [str(found.expires_on), found.token], name)
        return found

    def _request(self, scopes: tuple[str, ...], options: Mapping[str, Any]) -> Bearer:
        refused: AuthenticationError | None = None
        for attempt in self._attempts(scopes, options):
            outcome = Outcome()
            try:
                return attempt(outcome)
            except ValueError as error:  # azure-identity's words about a tenant or client id that cannot be one
                raise ConfigurationError(f"no token for {self.app.name}: {error}") from None
            except NoTokenError as error:
                problem = _translate(str(error), outcome, self.app, self.cloud)
                if not isinstance(problem, AuthenticationError) or problem.code not in _NOT_THIS_ONE:
                    raise problem from None
                refused = refused or problem
            finally:
                self._look_at_the_clock(outcome.skew)
        assert refused is not None, "there is always one to try"
        raise refused

    def _attempts(self, scopes: tuple[str, ...], options: Mapping[str, Any]) -> Iterator[Callable[[Outcome], Bearer]]:
        authority, tenant, way = self.cloud.authority, self.app.tenant_id, self._way
        if way.fields is not None and not any(options.values()) and exchange.can_ask(authority, tenant):
            known = {"client_id": self.app.client_id, "scope": " ".join(scopes)}
            return (partial(exchange.ask, authority, tenant, known | fields) for fields in way.fields())
        from entrant.tokens import authority as azure_identity

        return (partial(azure_identity.ask, make, authority, scopes, options) for make in way.clients())

    def _look_at_the_clock(self, skew: float | None) -> None:
        if skew is None:
            return
        if abs(skew) > SKEW and self.skew is None:
            _LOG.warning("entrant: %s", _clock(skew))
        self.skew = skew


class _Held:
    """A token in memory, and who may renew it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.info: Bearer | None = None
        self.tried = 0.0


def _key(scopes: tuple[str, ...], options: Mapping[str, Any]) -> tuple[Any, ...]:
    return scopes, options.get("tenant_id"), bool(options.get("enable_cae"))


def sdk(info: Bearer) -> "AccessTokenInfo":
    """A token as azure-core has it."""
    from azure.core.credentials import AccessTokenInfo

    return AccessTokenInfo(info.token, info.expires_on, refresh_on=info.refresh_on)


def _due(info: Bearer, min_valid: float = 0) -> bool:
    now = time.time()
    return info.expires_on - now < max(disk.FRESH, min_valid) or (
        info.refresh_on is not None and info.refresh_on <= now
    )


def _stored(store: disk.Cache, name: tuple[str, ...], min_valid: float) -> Bearer | None:
    found = disk.token(store, name, min_valid)
    return Bearer(found[1], found[0]) if found else None


def _keep(store: disk.Cache, value: list[str], name: tuple[str, ...]) -> None:
    try:
        store.write(value, *name)
    except OSError as error:
        _not_kept(error)


@contextmanager
def _alone(store: disk.Cache, name: tuple[str, ...]) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(store.locked(*name))
        except OSError as error:
            _not_kept(error)
        yield


def _not_kept(error: OSError) -> None:
    _LOG.warning("entrant: the token cache is of no use (%s); set XDG_CACHE_HOME to a folder of your own", error)


def _clock(skew: float) -> str:
    which = "behind" if skew > 0 else "ahead of"
    return f"this machine's clock is {abs(skew):.0f} s {which} Entra ID's; set it, or tokens and assertions are refused"


def _translate(text: str, answer: Outcome, app: App, cloud: Cloud) -> AuthenticationError | UnreachableError:
    if answer.error is not None:
        message = str(answer.error)
        trust = "certificate verify failed" in message.lower()
        return UnreachableError(
            f"no token for {app.name}: {cloud.authority} gave no answer ({message[:300]})",
            next_step="name the CA bundle to trust in REQUESTS_CA_BUNDLE"
            if trust
            else "check the network, then try again",
        )
    if answer.too_busy:
        wait = f" and asks to wait {answer.retry_after} s" if answer.retry_after else ""
        return UnreachableError(
            f"no token for {app.name}: {cloud.authority} answers {answer.status}{wait}",
            next_step="try again later; `--cache` saves requests" if answer.status == 429 else "try again later",
        )
    with suppress(ValueError, KeyError, TypeError):  # not OAuth's error body: azure-identity's words then
        text = str(json.loads(answer.body)["error_description"])
    code = re.search(r"AADSTS\d+", text)
    words = re.sub(
        r"(?<!\s)\s*(Trace ID|Correlation ID|Timestamp):\s*\S+( \S+Z)?",
        "",
        text.removeprefix("Authentication failed: "),
    )
    found = code.group() if code else None
    step = next_step(found, app=app.name)
    if found in _CLOCK and answer.skew is not None and abs(answer.skew) > SKEW:
        step = _clock(answer.skew)
    return AuthenticationError(f"no token for {app.name}: {words.strip()[:800]}", code=found, next_step=step)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and what it is for. Its repr does not show it."""

    access_token: str
    expires_on: int
    """Seconds since 1970, by this machine's clock."""
    scope: str
    tenant_id: str
    client_id: str

    def __repr__(self) -> str:
        return f"Token(scope={self.scope!r}, client_id={self.client_id!r}, expires_on={self.expires_on})"

    @property
    def audience(self) -> str:
        """What the token was asked for: the scope without its `/.default`."""
        return self.scope.removesuffix("/.default")

    @property
    def claims(self) -> Mapping[str, Any]:
        """The token's claims, not verified: for looking at, never for deciding who somebody is."""
        try:
            payload = self.access_token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (IndexError, ValueError):
            return {}
        return claims if isinstance(claims, dict) else {}


def credential(
    app: App | str,
    name: str | None = None,
    *,
    using: str = "auto",
    cache: bool | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Credential:
    """An azure-core `TokenCredential` for an app, or for the app called `name` of the stack that the first argument names.

        client = LogsQueryClient(entrant.credential("dev", "log-reader"))

    Args:
        name: may be left out where the stack has one app.
        using: one of `KINDS` to prove the app with; without it, the first that there is.
        cache: keep tokens on disk too; without it, as `ENTRANT_TOKEN_CACHE` says.
        environ: may point to another cloud (see `entrant.tokens.clouds`) and hold `AZURE_CLIENT_CERTIFICATE_PATH` and the like.

    Raises:
        ConfigurationError: no such app, or nothing to prove it with. EngineError: the stack's outputs cannot be read.
    """
    if isinstance(app, str):
        from entrant.engine import stack_outputs

        app = stack_outputs(app, environ=environ).app(name)
    cloud = clouds.resolve(app.cloud, environ)
    return Credential(app, cloud, using=using, environ=environ, store=_store(app, using, cache, environ))


def _store(app: App, using: str, cache: bool | None, environ: Mapping[str, str]) -> disk.Cache | None:
    if not (disk.wanted(environ) if cache is None else cache):
        return None
    return disk.Cache(choose(app, environ, using).proof(), disk.folder(environ))


def token(
    app: App,
    audience: str,
    *,
    min_valid: float = 0,
    using: str = "auto",
    cache: bool | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Token:
    """A token for an audience: a name (`logs`, `insights`, `arm`, …), another app of the stack, a resource URL, or a scope.

        entrant.token(entrant.from_environment(), "logs", min_valid=600).access_token

    `min_valid` is in seconds; the other arguments are those of `credential`. A token that is on disk is found without asking
    anybody, not even the metadata host of a cloud.

    Raises:
        AuthenticationError: Entra ID refused. UnreachableError: no answer.
        ConfigurationError: an unknown audience, or a `min_valid` that is longer than Entra ID's tokens live.
    """
    store = _store(app, using, cache, environ)
    key = disk.asked_key(app.tenant_id, app.client_id, app.cloud, clouds.meant(audience, app.audiences), environ)
    if store is not None and (known := store.read(*key)):
        found = disk.token(store, disk.token_key(app.tenant_id, app.client_id, *known), min_valid)
        if found:
            return Token(found[1], found[0], known[1], app.tenant_id, app.client_id)
    source = Credential(app, clouds.resolve(app.cloud, environ), using=using, environ=environ, store=store)
    scope = clouds.scope(source.cloud, audience, app.audiences)
    made = fetch(source, app, scope, min_valid=min_valid)
    if store is not None:
        _keep(store, [source.cloud.authority, scope], key)
    return made


def fetch(credential: Credential, app: App, scope: str, *, min_valid: float = 0) -> Token:
    """One token for `scope`, valid for at least `min_valid` seconds.

    Raises:
        ConfigurationError: `min_valid` is longer than Entra ID's tokens live.
    """
    info = credential.obtain((scope,), min_valid=min_valid)
    left = info.expires_on - time.time()
    if left < min_valid:
        raise ConfigurationError(
            f"a new token for {scope} is valid for {left:.0f} s, less than the {min_valid:.0f} s asked for",
            next_step="ask for less; Entra ID decides how long its tokens live",
        )
    return Token(info.token, int(info.expires_on), scope, app.tenant_id, app.client_id)
