"""How an app proves who it is: with a secret, a certificate or an assertion, as the shell or a caller says."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from entrant.errors import ConfigurationError
from entrant.outputs import App
from entrant.tokens import assertions

if TYPE_CHECKING:
    from entrant.tokens.authority import Client


KINDS = ("secret", "certificate", "file", "github", "azure-devops")
"""The ways an app may prove that it is itself, in the order they are tried; see `entrant.tokens.assertions` for the last three."""

_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Way(NamedTuple):
    """How an app proves that it is itself: the kind, what only its owner has (the disk cache's key), and what to try in turn:
    clients of azure-identity, or fields of a request, where the proof is one that can be sent."""

    kind: str
    proof: Callable[[], bytes]
    clients: Callable[[], Iterator[Callable[..., "Client"]]]
    fields: Callable[[], Iterator[dict[str, str]]] | None = None


def choose(app: App, environ: Mapping[str, str], using: str = "auto") -> Way:
    """The way to prove an app: the first of `KINDS` that there is, or the one asked for.

    Raises:
        ConfigurationError: there is none, or not the one asked for.
    """
    certificate = certificate_file(app, environ)
    file = app.assertion or environ.get("AZURE_FEDERATED_TOKEN_FILE")
    there = {
        "secret": bool(app.secret),
        "certificate": bool(certificate or app.issued),
        "file": bool(file),
        "github": assertions.in_github(environ),
        "azure-devops": assertions.in_azure_devops(environ),
    }
    kind = next((kind for kind in KINDS if there[kind]), None) if using == "auto" else using
    if kind not in there:
        raise ConfigurationError(
            f"{app.name} has no credential to get tokens with"
            if kind is None
            else f'there is no kind of credential "{kind}"',
            next_step="give it a `secret:`, or a certificate with `every`, in its YAML, or set AZURE_CLIENT_CERTIFICATE_PATH or "
            "AZURE_FEDERATED_TOKEN_FILE, or run in a GitHub or Azure DevOps job that may ask for tokens"
            if kind is None
            else f"use one of {', '.join(KINDS)}",
        )
    if kind == "secret":
        return _with_secret(app)
    if kind == "certificate":
        if certificate or not app.issued:
            return _with_certificate(app, certificate, environ.get("AZURE_CLIENT_CERTIFICATE_PASSWORD"))
        return _with_issued(app)
    if kind == "file":
        if not file:
            raise ConfigurationError(
                f"{app.name} has no file with a federated token: AZURE_FEDERATED_TOKEN_FILE is not set"
            )
        return _with_assertion(app, kind, lambda: assertions.from_file(file), lambda: _content(file))
    ask = (
        (lambda: assertions.from_github(app.cloud, environ))
        if kind == "github"
        else (lambda: assertions.from_azure_devops(environ))
    )
    return _with_assertion(app, kind, ask, lambda: assertions.proof(kind, environ))


def certificate_file(app: App, environ: Mapping[str, str]) -> str | None:
    """The path of a file with a certificate that an app is to prove itself with; it comes before one that is issued here."""
    return app.certificate or environ.get("AZURE_CLIENT_CERTIFICATE_PATH")


def _with_secret(app: App) -> Way:
    if not app.secret:
        raise ConfigurationError(f"{app.name} has no client secret", next_step="give it a `secret:` in its YAML")
    secrets = [secret for secret in (app.secret, app.previous_secret) if secret]

    def clients() -> Iterator[Callable[..., "Client"]]:
        from entrant.tokens.authority import ClientSecretCredential

        return (partial(ClientSecretCredential, app.tenant_id, app.client_id, secret) for secret in secrets)

    return Way(
        "secret",
        lambda: secrets[0].encode(errors="surrogatepass"),
        clients,
        lambda: ({"client_secret": secret} for secret in secrets),
    )


def _with_certificate(app: App, path: str | None, password: str | None) -> Way:
    if not path:
        raise ConfigurationError(
            f"{app.name} has no certificate: AZURE_CLIENT_CERTIFICATE_PATH is not set, and the stack's outputs have none"
        )

    def client(**common: Any) -> "Client":
        from entrant.tokens.authority import CertificateCredential

        data = _content(path)
        try:
            return CertificateCredential(
                app.tenant_id, app.client_id, certificate_data=data, password=password, **common
            )
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{path} gives no certificate with its RSA private key: {error}",
                next_step="make it one PEM or PKCS #12 file; AZURE_CLIENT_CERTIFICATE_PASSWORD holds its password",
            ) from None

    return Way("certificate", lambda: _content(path), lambda: iter([client]))


def _with_issued(app: App) -> Way:
    """Each certificate in turn: of one that was just made the directory may not know yet."""

    def client(key: str, data: bytes, **common: Any) -> "Client":
        from entrant.tokens.authority import CertificateCredential

        try:
            return CertificateCredential(app.tenant_id, app.client_id, certificate_data=data, **common)
        except (ValueError, TypeError):  # whose words may be about the key
            raise ConfigurationError(
                f"the certificate {key} of {app.name} in the stack's outputs is none with its RSA private key",
                next_step=f"raise its `generation` in the file and run `pulumi up`, which makes another {key}",
            ) from None

    issued = {key: pem.encode() for key, pem in app.issued.items()}
    clients = [partial(client, key, data) for key, data in issued.items()]
    return Way("certificate", lambda: next(iter(issued.values())), lambda: iter(clients))


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ConfigurationError(f"the credential in {path} cannot be read: {error.strerror}") from None


def _with_assertion(app: App, kind: str, ask: Callable[[], str], proof: Callable[[], bytes]) -> Way:
    def client(**common: Any) -> "Client":
        from entrant.tokens.authority import ClientAssertionCredential

        assertion = ask()
        return ClientAssertionCredential(app.tenant_id, app.client_id, lambda: assertion, **common)

    def fields() -> Iterator[dict[str, str]]:
        yield {"client_assertion_type": _JWT_BEARER, "client_assertion": ask()}

    return Way(kind, proof, lambda: iter([client]), fields)
