"""What proves an app's identity: its client secrets, certificates and federated credentials."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import pulumi
import pulumi_azuread as azuread

from entrant.config.rotation import Due
from entrant.config.values import moment_text
from entrant.facts.contract import SECRET_NAMES, issued_name
from entrant.facts.pulumi_types import APPLICATION, CERTIFICATE, FEDERATED, FLEXIBLE

from . import trusts
from .arguments import CertificateArgs, FederatedArgs
from .issuing import Issued
from .parts import Parts

Federated: TypeAlias = (
    azuread.ApplicationFederatedIdentityCredential | azuread.ApplicationFlexibleFederatedIdentityCredential
)


class Credentials:
    """The credentials of one registration."""

    def __init__(self, parts: Parts, application: azuread.Application) -> None:
        """Nothing yet, of the registration `application`."""
        self._parts = parts
        self._application = application
        self.secrets: list[tuple[Due, azuread.ApplicationPassword]] = []
        """Newest first."""
        self.issued: dict[str, list[tuple[Issued, azuread.ApplicationCertificate]]] = {}
        """By calendar, newest first."""
        self.certificates: dict[str, azuread.ApplicationCertificate] = {}
        self.federated: dict[str, Federated] = {}

    def declare_secrets(self, due: Sequence[Due]) -> None:
        """Declare the secrets that are to exist now, newest first."""
        for secret in due:
            rest = f"-secret-{secret.name}"
            password = azuread.ApplicationPassword(
                f"{self._parts.name}{rest}",
                application_id=self._application.id,
                display_name=f"{SECRET_NAMES}{secret.name}",
                end_date=moment_text(secret.ends),
                opts=pulumi.ResourceOptions(parent=self._parts.app, aliases=self._parts.aliases(rest)),
            )
            self.secrets.append((secret, password))

    def declare_issued(
        self, calendar: str, certificates: Sequence[Issued]
    ) -> list[tuple[Issued, azuread.ApplicationCertificate]]:
        """Declare the certificates of a calendar that are to exist now, newest first."""
        self.issued[calendar] = [
            (
                each,
                azuread.ApplicationCertificate(
                    f"{self._parts.name}/{calendar}/{each.about.name}",
                    application_id=self._application.id,
                    type="AsymmetricX509Cert",
                    value=each.certificate,
                    end_date=moment_text(each.about.ends),
                    opts=pulumi.ResourceOptions(
                        parent=self._parts.app,
                        aliases=self._parts.aliases(f"/{calendar}/{each.about.name}"),
                        hooks=self._not_again(calendar, each),
                    ),
                ),
            )
            for each in certificates
        ]
        return self.issued[calendar]

    def _not_again(self, calendar: str, certificate: Issued) -> pulumi.ResourceHookBinding | None:
        """What refuses to register a certificate again on the registration that it was removed from: with `--refresh` the run
        itself finds that it is gone, and the program has read the state before.
        """
        parts, slot = self._parts, certificate.about.name
        registration = parts.state.get(APPLICATION, parts.names).get("id")
        if not certificate.handed_out or registration is None:
            return None

        def refuse(args: pulumi.ResourceHookArgs) -> None:
            if (args.new_inputs or {}).get("applicationId") == registration:
                raise pulumi.RunError(
                    f"apps.{parts.name}.certificates.{calendar}: somebody removed {issued_name(calendar, slot)}, and its key may "
                    "have leaked, so it is not registered again. Run `pulumi up` once more: it makes another."
                )

        hook = pulumi.ResourceHook(f"{parts.name}/{calendar}/{slot} does not come back", refuse)
        return pulumi.ResourceHookBinding(before_create=[hook])

    def declare_certificates(self, certificates: Mapping[str, CertificateArgs]) -> None:
        """Declare certificates by key."""
        for key, certificate in certificates.items():
            self.certificates[key] = self._certificate(key, certificate, certificates)

    def _certificate(
        self, key: str, args: CertificateArgs, others: Mapping[str, CertificateArgs]
    ) -> azuread.ApplicationCertificate:
        parts, adopt, was, pem = self._parts, args.get("adopt"), args.get("renamed_from") or (), args["pem"]
        import_id = f"{parts.id_of(APPLICATION, key)}/certificate/{adopt}" if adopt else None
        # The provider reads a certificate's text and encoding back as empty, and takes any other for another certificate.
        names, unread = parts.names_of(key, *was), f"certificate {adopt}"
        there = import_id is not None and parts.read_as_it_is(CERTIFICATE, names, import_id, unread, pem)
        keep, held = args.get("on_remove") == "keep", parts.state.get(CERTIFICATE, names)
        if keep and held and (held.get("endDate") != args["ends"] or (import_id is not None and not there)):
            raise pulumi.RunError(
                f"apps.{parts.name}.certificates.{key}: the file has another certificate now, and `on_remove: keep` would leave "
                "the one before on the registration. Declare the new one beside it, under another key, and take this entry out "
                "once nothing uses it any more; or say `on_remove: delete` for it in an `up` before."
            )
        return azuread.ApplicationCertificate(
            f"{parts.name}/{key}",
            application_id=self._application.id,
            type="AsymmetricX509Cert",
            value="" if there else pem,
            end_date=args["ends"],
            opts=parts.options(
                CERTIFICATE,
                key,
                others=others,
                alike={} if there else {"value": pem},
                was=was,
                retain_on_delete=keep,
                ignore_changes=["encoding"] if there else None,
                **parts.adopted(CERTIFICATE, import_id, key, was),
            ),
        )

    def declare_federated(self, federated: Mapping[str, FederatedArgs]) -> None:
        """Declare federated credentials by key, in an order that Azure takes."""
        parts = self._parts
        names = {key: parts.names_of(key, *(args.get("renamed_from") or ())) for key, args in federated.items()}
        made: dict[str, Federated] = {}
        for key, first in trusts.order(parts.name, federated, names, trusts.of_app(parts.state, parts.ids)).items():
            made[key] = self._federated(key, federated, [made[other] for other in first])
        self.federated = {key: made[key] for key in federated}

    def _federated(
        self, key: str, federated: Mapping[str, FederatedArgs], depends_on: Sequence[Federated]
    ) -> Federated:
        args, others = federated[key], federated.keys()
        was, claims = args.get("renamed_from") or (), args.get("claims")
        # Its name in Azure never changes, so one that is renamed keeps the first; what it trusts is unique in the app, so
        # one that is replaced goes before the next comes.
        display_name = self._name_in_azure(claims is not None, key, was)
        adopt, subject = args.get("adopt"), args.get("subject")
        application = self._parts.id_of(APPLICATION, key) if adopt else ""
        if claims is None:
            type_, trusted = FEDERATED, {"subject": subject}
            import_id = f"{application}/federatedIdentityCredential/{adopt}"
        else:
            type_, trusted = FLEXIBLE, {"claimsMatchingExpression": claims}
            import_id = f"/applications/{application}/federatedIdentityCredentials/{adopt}"
        opts = self._parts.options(
            type_,
            key,
            others=others,
            alike={"issuer": args["issuer"], **trusted},
            was=was,
            depends_on=depends_on,
            delete_before_replace=True,
            retain_on_delete=args.get("on_remove") == "keep",
            **self._parts.adopted(type_, import_id if adopt else None, key, was),
        )
        if claims is None:
            return azuread.ApplicationFederatedIdentityCredential(
                f"{self._parts.name}/{key}",
                application_id=self._application.id,
                display_name=display_name,
                description=args.get("description"),
                issuer=args["issuer"],
                subject=subject,
                audiences=[args["audience"]],
                opts=opts,
            )
        return azuread.ApplicationFlexibleFederatedIdentityCredential(
            f"{self._parts.name}/{key}",
            application_id=self._application.id,
            display_name=display_name,
            description=args.get("description"),
            issuer=args["issuer"],
            claims_matching_expression=claims,
            audience=args["audience"],
            opts=opts,
        )

    def _name_in_azure(self, flexible: bool, key: str, was: Sequence[str]) -> str:
        """A federated credential's name in Azure: the first it had.

        Pulumi has two types for what is of one kind in Azure, where no two of an app have one name. One that goes from a subject to
        claims, or back, is made before the other goes, so it gets a name of its own and keeps that.
        """
        first = was[0] if was else key
        names = self._parts.names_of(key, *was)
        own, other = (FLEXIBLE, FEDERATED) if flexible else (FEDERATED, FLEXIBLE)
        apart = f"{first[:110]}-{'claims' if flexible else 'subject'}"
        held, going = (self._parts.state.get(type_, names).get("displayName") for type_ in (own, other))
        return apart if held == apart or (held is None and going == first) else first

    def described(self) -> list[dict[str, Any]]:
        """What can prove the identity, without any secret value."""
        secrets = [
            {
                "kind": "secret",
                "name": secret.display_name,
                "key_id": secret.key_id,
                "starts": secret.start_date,
                **_of_calendar(due, newest=index == 0),
            }
            for index, (due, secret) in enumerate(self.secrets)
        ]
        issued = [
            {
                "kind": "certificate",
                "name": issued_name(calendar, each.about.name),
                "calendar": calendar,
                "key_id": certificate.key_id,
                "pem": each.certificate,
                "thumbprint": each.thumbprint,
                "starts": certificate.start_date,
                **_of_calendar(each.about, newest=index == 0),
            }
            for calendar, made in self.issued.items()
            for index, (each, certificate) in enumerate(made)
        ]
        certificates = [
            {
                "kind": "certificate",
                "name": key,
                "key_id": certificate.key_id,
                "starts": certificate.start_date,
                "ends": certificate.end_date,
                "current": True,
            }
            for key, certificate in self.certificates.items()
        ]
        federated = [
            {
                "kind": "federated",
                "name": key,
                "key_id": credential.credential_id,
                "starts": None,
                "ends": None,
                "current": True,
                "issuer": credential.issuer,
                "subject": getattr(credential, "subject", None),
                "claims": getattr(credential, "claims_matching_expression", None),
            }
            for key, credential in self.federated.items()
        ]
        return [*secrets, *issued, *certificates, *federated]


def _of_calendar(about: Due, *, newest: bool) -> dict[str, Any]:
    """What the outputs say of a secret or a certificate that its calendar asks for."""
    return {
        "ends": moment_text(about.ends),
        "issued": moment_text(about.issued),
        "successor_starts": moment_text(about.successor),
        "kept_until": moment_text(about.kept_until),
        "current": newest,
        **({"delivered": True} if about.delivered else {}),
        **({"revoked": about.revoked} if about.revoked is not None else {}),
    }
