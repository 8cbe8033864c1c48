"""One import: what is meant is read, made a file, and previewed until the plan holds imports alone."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from entrant import config
from entrant.access.deployer import Deployer
from entrant.errors import ConfigurationError, EngineError
from entrant.progress import Steps
from entrant.words import counted

from . import azure_roles, checking, proof, reading, selection, translating
from .entries import Sheet, words
from .reading import Found
from .selection import Selected, Wanted
from .target import Target

ROUNDS: Final = 6
"""Previews at most."""


@dataclass
class Job:
    """An import into a file.

    Raises, in each of its steps:
        ConfigurationError: what is asked for is not there, or cannot be written. RefusedError, UnreachableError: Azure refused as a
        whole, or did not answer.
    """

    who: Deployer
    target: Target
    steps: Steps
    today: dt.date = field(default_factory=lambda: dt.datetime.now(dt.UTC).date())
    notes: list[str] = field(default_factory=list)
    """What could not be looked at."""
    rest: list[str] = field(default_factory=list)
    """What the plan holds besides imports."""
    _out: dict[str, list[str]] = field(default_factory=dict)
    """The apps that cannot be taken over unchanged, by client id, and why."""
    _declared: dict[str, str] = field(default_factory=dict)
    """Keys of what was asked for and the file has already, by client id."""

    @property
    def tenant(self) -> str:
        """The tenant of the login."""
        return str(self.who.claims("graph").get("tid", "")).lower()

    def select(self, wanted: Wanted) -> Selected:
        """The registrations that the file does not have yet."""
        own = self.target.environment.tenant if self.target.environment else None
        if own not in (None, self.tenant):
            raise ConfigurationError(
                f"{self.target.shown} is of the tenant {own}, and the login of {self.tenant}",
                next_step="log in to the former, or correct `tenant` in the file",
            )
        with self.steps.step("Registrations") as step:
            selected = selection.select(self.who, wanted, self.tenant)
            known = self.target.there().registrations
            new = tuple(entry for entry in selected.registrations if entry["id"].lower() not in known)
            old = [entry for entry in selected.registrations if entry["id"].lower() in known]
            self._declared = {entry["appId"].lower(): known[entry["id"].lower()] for entry in old}
            step.note = f"{len(new)} to import" + (f", {len(old)} in the file already" if old else "")
        return Selected(new, selected.skipped, selected.notes)

    def write(self, registrations: Sequence[dict[str, Any]], *, preview: bool) -> Sheet:
        """Read everything about these registrations, write the file and, if it can be, let the engine preview it."""
        notebook = reading.notebook(self.target.root, self.tenant, registrations)
        found = self._read(registrations, notebook)
        if not found:
            raise ConfigurationError(
                "everything that was to be imported has been deleted since it was listed",
                next_step="run the command again",
            )
        sheet = self._saved(found)
        if preview:
            sheet = self._proved(found, sheet)
        notebook.unlink(missing_ok=True)
        return sheet

    def _read(self, registrations: Sequence[dict[str, Any]], notebook: Any = None) -> list[Found]:
        count = len(registrations)
        with self.steps.step("What belongs to them") as step:
            found = reading.read(
                self.who, registrations, notebook, lambda done: step.update(f"{done} of {counted(count, 'app')}")
            )
            step.note = f"of {counted(len(found), 'app')}"
        there = {each.id for each in found}
        for entry in registrations:
            if entry["id"] not in there:
                self.notes.append(f"{words(entry.get('displayName'))} ({entry['id']}): deleted since it was listed")
        with self.steps.step("Azure roles") as step:
            tell = lambda done, of: step.update(f"{done} of {of} subscriptions and management groups")  # noqa: E731
            self.notes += reading.assign_roles(self.who, found, tell)
            step.note = counted(sum(len(each.roles) for each in found), "assignment")
        return found

    # -------------------------------------------------------------------------------------------------------- the file

    def _saved(self, found: Sequence[Found]) -> Sheet:
        """Write the file; what is in it."""
        with self.steps.step("File") as step:
            sheet = self._made(found, step.update)
            self.target.save(sheet, self.today)
            step.note = self.target.shown
        return sheet

    def _made(self, found: Sequence[Found], tell: Callable[[str], None]) -> Sheet:
        """What is to be written, without what `validate` refuses.

        Others refer to an app that is left out by its client id, so all is made anew once one is.
        """
        while True:
            tell("reading permissions and custom roles")
            sheet = self._translated(found)
            tell("being checked")
            left = checking.settle(sheet, lambda made=sheet: self._errors(made))  # type: ignore[misc]
            new = {
                entry.client_id: entry.faults
                for entry in sheet.apps
                if entry.faults and entry.client_id not in self._out
            }
            self._out |= new
            if not new:
                break
        if all(entry.faults for entry in sheet.apps):
            self.target.undo()
            reasons = "\n".join(f"  {entry.key}: {'; '.join(entry.faults)}" for entry in sheet.apps)
            raise ConfigurationError(
                f"none of these can be taken over unchanged, so {self.target.shown} is as it was:\n{reasons}",
                next_step="change them in the tenant, or import others",
            )
        if left:
            self.target.undo()
            message = "\n".join(str(problem) for problem in left)
            raise ConfigurationError(message, next_step="import other apps, or report this with the lines above")
        return sheet

    def _translated(self, found: Sequence[Found]) -> Sheet:
        definitions = reading.definitions_of(self.who, azure_roles.custom_roles(found), self.notes)
        translation = translating.Translation(
            found,
            reading.apis_of(self.who, found),
            definitions,
            tenant=self.tenant,
            cloud=self.target.cloud,
            there=self.target.there(),
            declared=self._declared,
            today=self.today,
            out=self._out,
        )
        sheet = translation.sheet()
        signed_in = str(self.who.claims("graph").get("appid", "")).lower()
        for entry in sheet.apps:
            if entry.client_id == signed_in:
                entry.note(
                    "", "decide: this is who ran the import. A stack that manages its own deployer can lock it out."
                )
            entry.in_folder(self.target.folder.name)
        return sheet

    def _errors(self, sheet: Sheet) -> Sequence[config.Problem]:
        self.target.save_files(sheet)
        draft = self.target.draft(self.target.written(sheet, self.today, compact=False))
        try:
            return config.check(str(draft), root=self.target.root).errors
        finally:
            draft.unlink()

    # ------------------------------------------------------------------------------------------------------- the proof

    def _proved(self, found: list[Found], sheet: Sheet) -> Sheet:
        """The file corrected until the plan holds imports alone: what differs is read again, and left out if it differs still."""
        again: set[str] = set()
        for turn in range(ROUNDS):
            wrong = self._previewed(sheet, everything=turn > 0)
            if not wrong:
                break
            stale = wrong.keys() - again
            again |= stale
            if stale:
                fresh = self._read([each.registration for each in found if each.client_id in stale])
                by_id = {each.id: each for each in fresh}
                found = [by_id.get(each.id, each) for each in found]
            self._out |= {client: list(words) for client, words in wrong.items() if client not in stale}
            sheet = self._saved(found)
        else:
            self.rest += [line for words in wrong.values() for line in words]
        return sheet

    def _previewed(self, sheet: Sheet, *, everything: bool) -> Mapping[str, tuple[str, ...]]:
        """What a preview would change in these apps, by client id; `rest` gets the other things.

        With `everything` a copy of the file is previewed in which each app may be changed: an adoption that differs is then planned
        and not refused, so that all show at once.
        """
        clients = {entry.key: entry.client_id for entry in sheet.apps}
        draft = None
        if everything:
            may = [replace(entry, data=_without_logo(entry.data) | {"change_adopted": True}) for entry in sheet.apps]
            draft = self.target.draft(self.target.written(replace(sheet, apps=may), self.today))
        with self.steps.step("Preview") as step:
            try:
                outcome = proof.preview(
                    self.target.stack,
                    self.target.shown,
                    self.target.root,
                    step.update,
                    draft=self.target.shown.removesuffix(self.target.path.name) + draft.name if draft else None,
                    apps=clients if self.target.environment else None,
                )
            except EngineError as error:
                step.note = "failed"
                self.rest = [str(error)]
                return {}
            finally:
                if draft is not None:
                    draft.unlink()
            wrong = {clients[app]: words for app, words in outcome.others.items() if app in clients}
            self.rest = [line for app, words in outcome.others.items() if app not in clients for line in words]
            count = sum(map(len, outcome.others.values()))
            step.note = f"{outcome.imports} to import, {f'{count} differ' if count else 'nothing else'}"
        return wrong


def _without_logo(data: Mapping[str, Any]) -> dict[str, Any]:
    """An app without its logo, which a provider cannot read: with `change_adopted` it would be sent."""
    return {name: value for name, value in data.items() if name != "logo"}
