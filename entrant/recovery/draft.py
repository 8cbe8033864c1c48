"""What goes into a state after a killed run: what it made is noted, one step of the program after the other."""

import base64
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from entrant.facts import pulumi_types as types
from entrant.facts.contract import ISSUED_EARLIER
from entrant.facts.marks import MARK
from entrant.recovery import traces
from entrant.recovery.traces import NotOurs, Search, Trace

_UNREAD = frozenset({"logoImage", "preventDuplicateNames"})
"""Inputs that no provider reads back: left out of what is noted, they are sent again by the next `up`."""


State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was made and is not in the state."""

    entry: State
    """What is written into the state."""
    unwanted: bool = False
    """Whether no file declares it (any more), so that the next `up` deletes it."""

    @property
    def found(self) -> bool:
        """Whether it is in the cloud, and no component or provider that it stands on."""
        return of_azure(self.entry["urn"])

    def __str__(self) -> str:
        end = ", which nothing declares: the next `up` deletes it" if self.unwanted else ""
        return f"{kind_and_name(self.entry['urn'])} ({self.entry['id']}){end}"


@dataclass(frozen=True, slots=True)
class Lost:
    """A secret whose value nobody has, or a certificate whose private key nobody has."""

    registration: str
    """Display name of the registration."""
    object_id: str
    key_id: str
    name: str
    kind: Literal["secret", "certificate"] = "secret"

    @property
    def what(self) -> str:
        """What nobody has of it."""
        return "value" if self.kind == "secret" else "private key"

    def __str__(self) -> str:
        return f'{self.kind} "{self.name}" of "{self.registration}" ({self.key_id})'


class Draft:
    """What a plan notes, while it is made."""

    def __init__(
        self, search: Search, held: Sequence[State], steps: Sequence[State], kept_credentials: Iterable[str] = ()
    ) -> None:
        self.search = search
        self.kept_credentials = {key_id.lower() for key_id in kept_credentials}
        """Key ids of the secrets that the file keeps: somebody uses them, whatever they are called."""
        self.held = held
        self.declared_urns = {step["urn"] for step in steps}
        self.wanted = [step["newState"] for step in steps if step.get("newState")]
        self.notes: list[Note] = []
        self.left: list[str] = []
        self.known = {
            entry["urn"]: Trace(entry["id"], entry.get("outputs") or {})
            for entry in held
            if entry.get("id") and not entry.get("delete")
        }
        self._places = {entry["urn"]: entry for entry in (*self.wanted, *held)}
        self._there = {entry["urn"]: entry for entry in reversed(held)}
        """What the state has, or will have with the notes; of those with one URN the first, others are yet to be deleted."""

    def declared(self) -> None:
        """What the program declares and the state has not."""
        for state in self.wanted:
            if state["custom"] and state["urn"] not in self.known:
                self._look(state)

    def under_way(self, operations: Sequence[State]) -> None:
        """What was being created when the run was killed and is declared no longer, or takes another's place."""
        for operation in operations:
            state = operation["resource"]
            if operation["type"] != "creating":
                continue
            # One that was to replace what is in the state goes too: the next `up` makes another.
            if state["urn"] in self.known or state["urn"] not in self.declared_urns:
                self._look(state, unwanted=True)

    def strays(self) -> None:
        """Registrations with the mark that are neither in the state nor declared, and their service principals.

        What was made at an unknown time, or before the runs asked about, stays: the stack may have released it.
        """
        for entry in self.search.strays():
            trace = traces.registration_trace(entry)
            if self.search.since is None or not self.search.made_since(entry["createdDateTime"]):
                self.left.append(
                    f'the registration "{entry["displayName"]}" ({entry["id"]}), which nothing declares; if this stack released '
                    f"it, take the tag {self.search.mark} off it"
                )
                continue
            application = self._stray(types.APPLICATION, trace)
            principal = self.search.principal_of(entry["appId"])
            if application and principal:
                self._stray(
                    types.PRINCIPAL,
                    traces.principal_trace(principal),
                    application,
                    {"clientId": entry["appId"]},
                )

    def lost(self) -> Iterator[Lost]:
        """Secrets and certificates with names of ours on registrations of the stack, whose key ids neither the state nor the file
        has."""
        entries = [*self.held, *(note.entry for note in self.notes if not note.unwanted)]
        kept = {str(entry["id"]).lower() for entry in self.held if entry.get("id")}
        for entry in entries:
            if entry["type"] != types.APPLICATION:
                continue
            object_id = entry["id"].rsplit("/", 1)[-1]
            found = self.search.registration(object_id) or {}
            for lost, began in (*_secrets(found, object_id, kept), *self._certificates(found, object_id, kept)):
                if lost.key_id.lower() in self.kept_credentials:
                    continue
                if self.search.made_since(began):
                    yield lost
                else:
                    self.left.append(f"{lost}, from before the last `up` that ended well")

    def _certificates(
        self, registration: Mapping[str, Any], object_id: str, kept: Collection[str]
    ) -> Iterator[tuple[Lost, str | None]]:
        """The certificates of a registration that were issued here and that the state has not, each with when it was made."""

        def unknown(entry: Mapping[str, Any]) -> bool:
            return f"{object_id}/certificate/{entry['keyId']}".lower() not in kept

        if not any(map(unknown, registration.get("keyCredentials") or ())):
            return
        for entry in filter(unknown, self.search.keys(object_id)):
            issued = _issued(str(entry.get("key") or ""))
            if issued is not None:
                name, made = issued
                yield Lost(registration["displayName"], object_id, entry["keyId"], name, "certificate"), made

    def _look(self, state: State, *, unwanted: bool = False) -> None:
        if state.get("importID"):  # the next `up` takes it over
            return
        depends = state.get("propertyDependencies") or {}
        inputs = traces.filled_in(state.get("inputs") or {}, depends, self.known)
        if inputs is None:
            return
        try:
            trace = self.search.find(state["type"], state["urn"].split("::", 3)[-1], inputs)
        except NotOurs as reason:
            self.left.append(f"{reason}; {kind_and_name(state['urn'])} cannot be made beside it")
            return
        if trace is None:
            return
        replaced = unwanted and state["urn"] in self.known
        entry = {name: value for name, value in state.items() if name not in ("outputs", "stackTrace")}
        entry["id"] = trace.id
        entry["inputs"] = {name: value for name, value in inputs.items() if name not in _UNREAD} | dict(trace.inputs)
        entry["outputs"] = {**entry["inputs"], **trace.outputs, "id": trace.id} if trace.kept else {}
        if "replacementTrigger" in entry:  # what hangs on an update of another is made again after the one that follows
            entry["replacementTrigger"] = "recovered"
        if replaced:
            entry |= {"delete": True, "outputs": {"id": trace.id}}
        else:
            self.known[state["urn"]] = trace
        self._note(entry, unwanted)

    def _stray(
        self, type_: str, trace: Trace, parent: State | None = None, inputs: Mapping[str, Any] | None = None
    ) -> State | None:
        """Note what no program declares: at the top of the stack, under its own id."""
        like = next((entry for entry in self._places.values() if entry["type"] == type_), None)
        root = next((urn for urn, entry in self._places.items() if entry["type"] == "pulumi:pulumi:Stack"), None)
        if like is None or root is None:
            self.left.append(f"{trace.id}, which nothing declares")
            return None
        start = "::".join(like["urn"].split("::")[:2])
        entry = {
            "urn": f"{start}::{type_}::{trace.id.rsplit('/', 1)[-1]}",
            "custom": True,
            "type": type_,
            "id": trace.id,
            "inputs": dict(inputs or {}),
            "outputs": {},
            "parent": root,
            "provider": like["provider"],
            "dependencies": [parent["urn"]] if parent else [],
        }
        self._note(entry, unwanted=True)
        return entry

    def _note(self, entry: State, unwanted: bool) -> None:
        """Note an entry, and before it what it needs to stand on: its provider, and the components around it."""
        above, urn = [], entry.get("parent")
        while urn and urn not in self._there:
            place = self._places.get(urn) or _component(urn)
            kept = ("urn", "custom", "type", "parent")
            above.append({name: place[name] for name in kept if name in place} | {"outputs": {}})
            urn = place.get("parent")
        for place in reversed(above):
            self._add(Note(place))
        provider = entry["provider"].rpartition("::")[0]
        if provider not in self._there:
            self._add(Note(_default_provider(provider)))
        entry["provider"] = f"{provider}::{self._there[provider]['id']}"
        entry["dependencies"] = [urn for urn in entry.get("dependencies") or () if urn in self._there]
        entry["propertyDependencies"] = {
            name: [urn for urn in urns if urn in self._there]
            for name, urns in (entry.get("propertyDependencies") or {}).items()
        }
        self._add(Note(entry, unwanted))
        self.search.held.add(entry["id"].lower())

    def _add(self, note: Note) -> None:
        self.notes.append(note)
        self._there.setdefault(note.entry["urn"], note.entry)


def _secrets(
    registration: Mapping[str, Any], object_id: str, kept: Collection[str]
) -> Iterator[tuple[Lost, str | None]]:
    """The secrets of a registration that have a name of ours and that the state has not, each with when it was made."""
    for secret in registration.get("passwordCredentials") or ():
        name = str(secret.get("displayName") or "")
        if name.startswith(f"{MARK} ") and f"{object_id}/password/{secret['keyId']}".lower() not in kept:
            yield Lost(registration["displayName"], object_id, secret["keyId"], name), secret.get("startDateTime")


def _issued(key: str) -> tuple[str, str] | None:
    """The name in a certificate (base64) that was issued here, and when it was made; None for any other."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode(key, validate=True))
        [organization] = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        [name] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        own = certificate.issuer == certificate.subject
    except ValueError:
        return None
    made = certificate.not_valid_before_utc + ISSUED_EARLIER
    return (str(name.value), made.isoformat()) if own and organization.value == MARK else None


def with_notes(entries: Sequence[State], notes: Sequence[Note]) -> list[State]:
    """The state with what was found: in the place of the entry that is gone, else after all that it may depend on."""
    wanted = {note.entry["urn"]: note.entry for note in notes if not note.entry.get("delete")}
    there = [entry if entry.get("delete") else wanted.pop(entry["urn"], entry) for entry in entries]
    return [*there, *wanted.values(), *(note.entry for note in notes if note.entry.get("delete"))]


def _component(urn: str) -> State:
    """A component that neither state nor program has any more, at the top of its stack."""
    stack, project, type_, _ = urn.removeprefix("urn:pulumi:").split("::", 3)
    root = f"urn:pulumi:{stack}::{project}::pulumi:pulumi:Stack::{project}-{stack}"
    made: State = {"urn": urn, "custom": False, "type": type_.rsplit("$", 1)[-1]}
    return made if urn == root else made | {"parent": root}


def _default_provider(urn: str) -> State:
    """The entry that Pulumi makes for a provider that a program does not configure: `default_6_11_1` is of version 6.11.1."""
    version = urn.rpartition("::default_")[2].replace("_", ".")
    type_ = urn.split("::")[2]
    inputs = {"__internal": {}, "version": version}
    return {
        "urn": urn, "custom": True, "id": str(uuid.uuid4()), "type": type_, "inputs": inputs, "outputs": {"version": version}
    }  # fmt: skip


def is_unread(entry: State) -> bool:
    """Whether an entry was noted and never read from the cloud."""
    return Note(entry).found and not entry.get("outputs")


def is_secret(entry: State) -> bool:
    return bool(entry["type"] == types.PASSWORD)


def of_azure(urn: str) -> bool:
    """Whether a resource is one that Azure's plugins make."""
    return _type(urn).startswith(("azuread:", "azure-native:"))


def _type(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1]


def kind_and_name(urn: str) -> str:
    """`…::entrant:index:AppIdentity$azuread:index/application:Application::log-reader` → `Application log-reader`."""
    return f"{traces.kind(_type(urn))} {urn.split('::', 3)[-1]}"
