"""Client secrets and certificates, by calendar or not, in the vocabulary."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import (
    Discriminator,
    Field,
    PlainValidator,
    StrictInt,
    Tag,
    WithJsonSchema,
)

from entrant.facts import limits
from entrant.facts.contract import CLIENT_SECRET

from .broken import attempt, intact
from .delivery import Delivery
from .files import path_of, pem_blocks, read_file
from .model import Model
from .problems import Refused, shorten
from .source import text_of
from .values import Duration, Guid, Moment, OnRemove, RenamedFrom, Text, moment_text

# ---------------------------------------------------------------------------------------------------------------- calendars


class Calendar(Model):
    """What secrets and certificates that are made here have in common: each belongs to a slot of a calendar."""

    every: Duration = timedelta(days=90)
    """How long a slot lasts, and so how often a new secret is made: `90d`, `12h`, `4w`. Default 90d."""
    overlap: Duration = timedelta(days=7)
    """How long the one of the slot before stays valid beside the new one; shorter than `every`. Default 7d. Shortened, it also
    shortens the stay of one that has been succeeded; `0h` takes that one away at once."""
    starts: Moment = datetime(2026, 1, 1, tzinfo=UTC)
    """Where the calendar is anchored: a date or a time with zone. Default 2026-01-01."""
    generation: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 1
    """Raise it to have a fresh one at once, whatever the calendar says; the one before stays for `overlap`. After a leak, set
    `overlap: 0h` with it. Default 1."""
    deliver: tuple[Delivery, ...] = ()
    """Where each new one is delivered to: Key Vault by the deployment itself, other places by `entrant deliver` or
    `entrant rotate` after it. What is in other places stays until its own end, unless `rotate` saw its successor work and arrive
    in all of them."""

    def calendar_faults(self, what: str, longest: timedelta) -> Iterator[Refused]:
        """Why no `what` could belong to the calendar: at most two are valid, and none lives longer than `longest`."""
        if not timedelta(hours=1) <= self.every:
            yield Refused(f"expected 1h or more: the {what} of a slot lasts as long as the slot", "every")
        elif self.overlap >= self.every:
            yield Refused("`overlap` must be shorter than `every`, so that never more than two are valid", "overlap")
        elif self.every + self.overlap > longest:
            message = f"`every` and `overlap` together exceed {longest.days} days, the longest lifetime of a {what}"
            yield Refused(message, "every")


def calendar_path(name: str) -> tuple[str, ...]:
    """Where a calendar of an app stands, below the app."""
    return (CLIENT_SECRET,) if name == CLIENT_SECRET else ("certificates", name)


class Secret(Calendar):
    """A client secret that belongs to a slot of a calendar, so that it rotates without an outage.

    Slot k starts at `starts` plus k times `every`; its secret is valid until the slot ends and `overlap` has passed. The
    first `up` in a slot makes its secret, and the one before stays for the overlap: never more than two.

    A change of the calendar never takes the secret in use away. It stays until a slot of the new calendar starts, or until only
    `overlap` is left of its life; then the next one is made, and it stays beside it for `overlap` or until its own end. While two
    are in their overlap, a further change waits until the older one is gone (or until half of the newer one's life is over). A
    higher `generation` does not wait: the older of two goes at once, and `review` says so. `secret: false` takes all away at once.
    """

    def together(self) -> Iterator[Refused]:
        """The calendar has at most two valid secrets, which live as long as Microsoft Entra allows."""
        yield from self.calendar_faults("secret", limits.SECRET_LIFETIME)


SecretOrNot = Annotated[
    Annotated[Secret, Tag("mapping")] | Annotated[Literal[False], Tag("false")],
    Discriminator(lambda value: "false" if value is False else "mapping"),
]

# ------------------------------------------------------------------------------------------------------------- certificates


@dataclass(frozen=True, slots=True)
class PublicCertificate:
    """An X.509 certificate: its PEM text, validity (UTC) and SHA-1 thumbprint in upper-case hex, as the portal shows it.

    `file` is where it was read from, if from a file.
    """

    pem: str
    starts: datetime
    ends: datetime
    thumbprint: str
    file: Path | None = None


def parse_certificate(value: Any) -> PublicCertificate:
    """The one certificate in a PEM text; raises `Refused`, without a word of the text, for anything else."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        blocks = list(pem_blocks(text_of(value)))
        if any("PRIVATE KEY" in label for label, _ in blocks):
            raise Refused("there is a private key in it; only the certificate belongs here, keep the key to the app")
        certificates = [content for label, content in blocks if label in ("CERTIFICATE", "X509 CERTIFICATE")]
        if len(certificates) != 1:
            found = "none" if not certificates else str(len(certificates))
            raise Refused(f"expected one certificate in PEM form (-----BEGIN CERTIFICATE-----); found {found}")
        parsed = x509.load_der_x509_certificate(certificates[0])
        key = parsed.public_key()
    except Refused:
        raise
    except (ValueError, UnsupportedAlgorithm):
        raise Refused("the certificate is damaged: it cannot be read as X.509") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < limits.RSA_KEY:
        found = f"one of RSA with {key.key_size} bits" if isinstance(key, rsa.RSAPublicKey) else "none of RSA"
        remedy = f"make one: openssl req -x509 -newkey rsa:{limits.RSA_KEY} …"
        raise Refused(
            f"Microsoft Entra takes RSA keys of at least {limits.RSA_KEY} bits; this certificate's is {found}; {remedy}"
        )
    return PublicCertificate(
        parsed.public_bytes(Encoding.PEM).decode(),
        parsed.not_valid_before_utc,
        parsed.not_valid_after_utc,
        parsed.fingerprint(hashes.SHA1()).hex().upper(),
    )


def _certificate_file(value: Any) -> PublicCertificate:
    data = read_file(value, 64 * 1024)
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise Refused(
            f'"{shorten(str(value))}" is not in PEM form; convert it: openssl x509 -inform der -in …'
        ) from None
    return replace(parse_certificate(text or "-"), file=path_of(value))


_CertificateFile = Annotated[PublicCertificate, PlainValidator(_certificate_file), WithJsonSchema({"type": "string"})]
_CertificateText = Annotated[PublicCertificate, PlainValidator(parse_certificate), WithJsonSchema({"type": "string"})]


_NOT_ISSUED: Final = {
    "ends": "its calendar says when it ends",
    "renamed_from": "another key is another calendar, whose first certificate is made beside the old one's last",
    "adopt": "nobody has the key of one that exists; `every` makes new ones",
    "on_remove": "a certificate that is issued here goes when its calendar says so",
}
"""Keys of a certificate that one of a calendar has not, and why."""
_TAKEN_BACK: Final = "take one out (with `null` where a file that this one extends has it)"


class Certificate(Calendar):
    """A certificate: of a private key that the app holds (`path` or `pem`), or issued here by a calendar (`every`).

    To rotate one whose key the app holds, declare the next one beside it, then remove the old one. One that is issued here rotates
    as a client secret does: an `up` makes an RSA key and a certificate that it signs itself, for a slot of the calendar, and the
    private key of the newest is a secret of the stack's outputs until its successor is made.
    """

    every: Duration | None = None  # type: ignore[assignment]  # of those that `App.calendars` lists it is known
    """Issue it here, and how often a new one is made: `365d`, `12h`, `4w`. In place of `path` and `pem`; `overlap`, `starts`,
    `generation` and `deliver` go with it, with the words of `secret`. Default: it is not issued here."""
    path: _CertificateFile | None = None
    """A PEM file, relative to the file this stands in."""
    pem: _CertificateText | None = None
    """The certificate itself, as PEM text."""
    ends: Moment | None = None
    """When Azure takes it no more, where that is before the certificate's own end. Azure CLI says a second less."""
    renamed_from: RenamedFrom = ()
    """The certificate's key before, or a list of all it had."""
    adopt: Guid | None = None
    """Key id of the existing certificate to take over: `keyId` among the registration's `keyCredentials`."""
    on_remove: OnRemove | None = None
    """What becomes of the certificate when this entry goes. Default: `delete`; with `adopt`, what the app says."""

    def together(self) -> Iterator[Refused]:
        """It is issued here, or there is one certificate, which has not expired."""
        found = [f"`{name}`" for name in ("path", "pem", "every") if getattr(self, name) is not None]
        if len(found) != 1:
            listed = f"; found {' and '.join(found)}; {_TAKEN_BACK}" if found else ""
            yield Refused(f"a certificate has `path` or `pem`, or `every` to be issued here: one of the three{listed}")
        elif self.issued:
            yield from self._issued_faults()
        else:
            yield from self._held_faults()

    def _issued_faults(self) -> Iterator[Refused]:
        for name, why in _NOT_ISSUED.items():
            if name in self.model_fields_set:
                yield Refused(f"`{name}` does not go with `every`: {why}", name)
        yield from attempt(self.calendar_faults("certificate", limits.ISSUED_CERTIFICATE_LIFETIME))
        for index, delivery in intact(self.deliver):
            if delivery.gitlab is not None or delivery.azure_devops is not None:
                why = "which GitLab does not mask in job logs"
                if delivery.gitlab is None:
                    why = "which Azure DevOps does not keep in a secret variable"
                message = (
                    f"a certificate's PEM has several lines, {why}; deliver it to key_vault, kubernetes, github or exec"
                )
                yield Refused(message, "deliver", index)

    def _held_faults(self) -> Iterator[Refused]:
        for name in ("overlap", "starts", "generation", "deliver"):
            if name in self.model_fields_set:
                message = f"`{name}` goes with `every`, and the key of this certificate is the app's; {_TAKEN_BACK}"
                yield Refused(message, name)
        if self.ends is not None and not self.public.starts < self.ends <= self.public.ends:
            valid = f"from {moment_text(self.public.starts)} to {moment_text(self.public.ends)}"
            yield Refused(f"the certificate is valid {valid}; leave `ends` out, or name a moment in that time", "ends")
        elif self.adopt is None and self.expires <= datetime.now(UTC):
            ended = self.expires.date()
            yield Refused(f"the certificate expired on {ended}; Microsoft Entra takes no expired one", self._key)

    @property
    def issued(self) -> bool:
        """Whether it is issued here, by its calendar."""
        return self.every is not None

    @property
    def _key(self) -> str:
        return "pem" if self.path is None else "path"

    @property
    def public(self) -> PublicCertificate:
        """The certificate, where it is not issued here."""
        certificate = self.pem if self.path is None else self.path
        assert certificate is not None
        return certificate

    @property
    def expires(self) -> datetime:
        """The last moment at which Azure takes it."""
        return self.ends or self.public.ends


class KeptCredential(Model):
    """A client secret, or a certificate, that exists and stays as it is until its end. Nothing makes, changes or removes it;
    `drift` knows it and `expiry` lists it. Nobody can read a secret's value back: to replace one, declare `secret`, deliver the
    new value, see that it works, then remove the old secret and this entry."""

    key_id: Guid
    """Its `keyId` on the registration or on the service principal."""
    kind: Literal["secret", "certificate"] = "secret"
    """What it is. Default secret."""
    name: Text | None = None
    """What it is called there."""
    ends: Moment
    """When it ends: a date or a time with zone."""
    owner: Text | None = None
    """Whom to ask about it."""
