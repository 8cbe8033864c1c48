"""What the tenant has of the file: what it refers to, takes over, or would make a second time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from urllib.parse import quote

from entrant import config
from entrant.access.deployer import Deployer
from entrant.access.existing import look
from entrant.config.access import offered_permissions
from entrant.doctor.findings import Finding, not_seen
from entrant.errors import EntrantError
from entrant.outputs import App


def look_ups(environment: config.Environment, deployer: Deployer, there: Mapping[str, App]) -> Iterator[Finding]:
    """What the program looks up in the directory, or refers to there."""
    for user in environment.all_users():
        path, right = f"/users/{quote(user)}", "grant User.Read.All, or name the owner by object id"
        yield from _seen(deployer, f"owner {user}", path, "correct the owner", right)
    for client_id in sorted(_apis(environment)):
        what, right = f"API {client_id}", "grant Application.Read.All"
        try:
            found = deployer.graph("/servicePrincipals", filter=f"appId eq '{client_id}'", select="id")["value"]
        except EntrantError as error:
            yield not_seen(error, what, right)
            continue
        if not found:
            step = f"check the id, or have an administrator add it: az ad sp create --id {client_id}"
            yield Finding(what, "problem", "it has no service principal in this tenant", step)
    for name, app in environment.apps.items():
        known = there.get(name)
        for group in sorted({each.group for each in app.memberships} - set((known.groups if known else None) or ())):
            yield from _seen(deployer, f"group {group}", f"/groups/{group}", "correct it", "grant GroupMember.Read.All")
        for unit in sorted({each.administrative_unit for each in app.directory_roles if each.administrative_unit}):
            path, right = f"/directory/administrativeUnits/{unit}", "grant AdministrativeUnit.Read.All to see it here"
            yield from _seen(deployer, f"administrative unit {unit}", path, "correct it", right, needed=False)
        if app.adopt and known is None:
            adopted = {"applications": app.adopt.application, "servicePrincipals": app.adopt.service_principal}
            for collection, guid in adopted.items():
                if guid:
                    right = "grant Application.Read.All"
                    yield from _seen(deployer, f"{name} adopts {guid}", f"/{collection}/{guid}", "correct it", right)


def _seen(
    deployer: Deployer, what: str, path: str, remedy: str, right: str, *, needed: bool = True
) -> Iterator[Finding]:
    """A finding where an object of the directory is not there, or cannot be seen though an `up` has to (`needed`)."""
    try:
        deployer.graph(path, select="id")
    except EntrantError as error:
        if error.code == "Request_ResourceNotFound":
            yield Finding(what, "problem", "there is none in this tenant", remedy)
        else:
            yield not_seen(error, what, right, needed=needed)


def _apis(environment: config.Environment) -> set[str]:
    """Client ids of the APIs whose service principals the program looks up."""
    return {
        permission.api.client_id
        for app in environment.apps.values()
        for permission in app.permissions
        if permission.api.client_id
        and (any(permission.consented().values()) or offered_permissions(permission.api.client_id) is None)
    }


def adopted_certificates(
    environment: config.Environment, deployer: Deployer, there: Mapping[str, App]
) -> Iterator[Finding]:
    """Whether a certificate that is taken over is the file's: the provider cannot read it back, so an `up` does not see it."""
    for name, app in environment.apps.items():
        adopted = {key: each for key, each in app.certificates.items() if each.adopt}
        id_ = app.adopt.application if app.adopt else there[name].object_id if name in there else None
        if not adopted or id_ is None:
            continue
        registration = deployer.graph(f"/applications/{id_}", select="id,keyCredentials")
        held = {entry["keyId"].lower(): entry for entry in registration.get("keyCredentials") or ()}
        for key, certificate in adopted.items():
            found, what = held.get(certificate.adopt or ""), f"apps.{name}.certificates.{key}"
            if found is None and name not in there:
                step = "correct `adopt`, or take it out to have the certificate made"
                yield Finding(
                    what, "problem", f"the registration has no certificate with the key id {certificate.adopt}", step
                )
            elif found and str(found.get("customKeyIdentifier")).upper() != certificate.public.thumbprint:
                evidence = f"the registration has {found.get('customKeyIdentifier')} there, not {certificate.public.thumbprint}"
                yield Finding(what, "problem", evidence, "put that certificate into the file, or correct `adopt`")


def existing(
    environment: config.Environment, deployer: Deployer, there: Mapping[str, App], held: Callable[[], Iterable[str]]
) -> Iterator[Finding]:
    """What the file declares anew and the tenant has already."""
    yield from adopted_certificates(environment, deployer, there)
    seen = look(environment, deployer, there, held())
    for each in seen.found:
        evidence = f"{each.what} exists and is not the stack's: an `up` would fail on it"
        yield Finding(each.place, "problem", evidence, each.remedy)
    for what in seen.unseen:
        yield Finding("what exists", "unknown", what)
