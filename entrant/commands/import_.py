"""`entrant import`: from what a tenant has to an environment file that takes it over unchanged."""

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from entrant import config, project
from entrant.access import deployer as deployers
from entrant.access.deployer import Deployer
from entrant.commands import options
from entrant.errors import ConfigurationError, EngineError
from entrant.facts.clouds import CLOUDS
from entrant.facts.unsafe_text import harmless
from entrant.importing import checking, proof, reading, selection, translating, writing
from entrant.importing.reading import Found
from entrant.importing.translating import Sheet, There
from entrant.progress import Steps, console
from entrant.tokens import clouds

NOT_ALL = 7
"""Exit code when an app could not be taken over unchanged, or the plan holds more than imports."""
ROUNDS = 5
"""Previews at most."""


@click.command(name="import")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="Registrations of this display name; * and ? stand for any."
)
@click.option(
    "--owner",
    "owners",
    multiple=True,
    metavar="WHO",
    help="Registrations of this owner: a user principal name or an id.",
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Registrations with this tag.")
@click.option("--all", "everything", is_flag=True, help="Every registration of the tenant.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to make, such as config/legacy.yaml.",
)
@click.option(
    "--into", type=click.Path(dir_okay=False, exists=True, path_type=Path), help="A file to put into what is new."
)
@click.option("--no-preview", is_flag=True, help="Do not let Pulumi preview the file.")
@click.option(
    "--cloud", type=click.Choice(tuple(CLOUDS)), help="The Azure cloud. Default: public, or what the file says."
)
@options.cwd
def import_(
    ids: tuple[str, ...],
    names: tuple[str, ...],
    owners: tuple[str, ...],
    tags: tuple[str, ...],
    everything: bool,
    output: Path | None,
    into: Path | None,
    no_preview: bool,
    cloud: str | None,
    cwd: Path | None,
) -> int:
    """Write what the tenant has as an environment file that takes it over unchanged.

    Reads Microsoft Graph and Resource Manager as whoever is signed in (`az login`, or the ARM_* variables), and changes nothing
    there. Name registrations by object id or client id, or choose them: --name, --owner and --tag narrow one another, and one of
    them given twice widens. What the file cannot say stands in it as a comment, and on standard error. A killed run goes on where
    it stopped.

    Then Pulumi previews the file, as the stack of its name, and what it would change is read again, or left out as a comment, until
    the plan holds imports alone. Exit code 7 if an app had to be left out or something else would happen.

    \b
    python3 -m entrant import --name 'billing-*' --tag prod -o config/legacy.yaml
    python3 -m entrant import --all --into config/legacy.yaml
    """
    if bool(output) == bool(into):
        raise ConfigurationError("where to?", next_step="name a new file with -o, or one that is there with --into")
    wanted = selection.Wanted(ids, names, owners, tags)
    if wanted.everything != everything or (ids and (names or owners or tags)):
        raise ConfigurationError(
            "which registrations?", next_step="give ids, or --name, --owner and --tag, or --all, one of the three"
        )
    target = _Target.of(output or into or Path(), cwd or project.ROOT, new=into is None, cloud=cloud)
    return _Run(wanted, target, preview=not no_preview).run()


@dataclass(frozen=True)
class _Target:
    """The file to be written."""

    root: Path
    path: Path
    shown: str
    new: bool
    cloud: str
    environment: config.Environment | None
    text: str

    @classmethod
    def of(cls, file: Path, root: Path, *, new: bool, cloud: str | None) -> "_Target":
        path = Path(os.path.abspath(file))
        try:
            shown = path.relative_to(os.path.abspath(root)).as_posix()
        except ValueError:
            shown = str(path)
        if path.suffix not in (".yaml", ".yml"):
            raise ConfigurationError(f"{shown}: an environment's file ends in .yaml", next_step="name it so")
        if new:
            if os.path.lexists(path):
                raise ConfigurationError(
                    f"{shown} is there already", next_step=f"add to it with --into {shown}, or name another file"
                )
            if not path.parent.is_dir():
                raise ConfigurationError(f"there is no folder {path.parent}", next_step="make it first")
            return cls(root, path, shown, True, cloud or "public", None, "")
        report = config.check(str(path), root=root)
        if report.environment is None:
            raise ConfigurationError(
                "\n".join(str(problem) for problem in report.errors),
                next_step="correct the file; `python3 -m entrant validate` checks it",
            )
        if cloud not in (None, report.environment.cloud):
            raise ConfigurationError(
                f"{shown} is of the cloud {report.environment.cloud}", next_step="leave --cloud out"
            )
        return cls(
            root, path, shown, False, report.environment.cloud, report.environment, path.read_bytes().decode("utf-8")
        )

    @property
    def stack(self) -> str:
        """The stack of the file's name."""
        return self.path.stem

    def there(self) -> There:
        """What the file has."""
        environment = self.environment
        if environment is None:
            return There()
        definitions = environment.role_definitions
        return There(
            frozenset(environment.apps),
            {scope.id.lower(): name for name, scope in environment.scopes.items()},
            frozenset(environment.scopes),
            {definition.guid(key): key for key, definition in definitions.items()},
            frozenset(definitions),
            environment.subscription,
        )

    def defaults(self) -> Mapping[str, Any]:
        """What the file lays under each app."""
        if self.environment is None:
            return {}
        tree = config.check(str(self.path), root=self.root).tree
        found = tree.plain().get("defaults") if tree is not None else None
        return found or {}

    def declared(self) -> frozenset[str]:
        """The registrations that the file takes over already, by object id."""
        apps = self.environment.apps.values() if self.environment is not None else ()
        return frozenset(app.adopt.application for app in apps if app.adopt is not None)


@dataclass
class _Run:
    """One import."""

    wanted: selection.Wanted
    target: _Target
    preview: bool
    today: dt.date = field(default_factory=lambda: dt.datetime.now(dt.UTC).date())
    steps: Steps = field(default_factory=lambda: Steps(out=console(quiet=options.quiet())))

    def run(self) -> int:
        """Read, write, prove; the exit code."""
        who = deployers.find(clouds.resolve(self.target.cloud, os.environ), os.environ)
        if who is None:
            raise ConfigurationError(
                "nobody is signed in", next_step="log in with `az login`, or set the ARM_* variables"
            )
        tenant = _tenant(who)
        own = self.target.environment.tenant if self.target.environment else None
        if own not in (None, tenant):
            raise ConfigurationError(
                f"{self.target.shown} is of tenant {own}, and the login of {tenant}", next_step="log in to the former"
            )
        selected = self._select(who, tenant)
        if not selected:
            self._say(
                "nothing to import: no file was written" if self.target.new else "nothing new: the file is as it was"
            )
            return 0
        notebook = reading.notebook(self.target.root, tenant, selected)
        found, notes = self._read(who, selected, notebook)
        sheet = self._translate(who, found, tenant, notes)
        left = self._write(sheet)
        if left:
            self.target.path.unlink(missing_ok=True) if self.target.new else None
            raise ConfigurationError("\n".join(left), next_step="import other apps, or report this")
        rest = self._prove(who, sheet, found, tenant, notes) if self.preview else []
        notebook.unlink(missing_ok=True)
        return self._told(sheet, notes, rest)

    def _say(self, text: str) -> None:
        click.echo(harmless(text, keep="\n"), err=True)

    def _select(self, who: Deployer, tenant: str) -> list[dict[str, Any]]:
        with self.steps.step("Registrations") as step:
            selected = selection.select(who, self.wanted, tenant)
            known = self.target.declared()
            new = [entry for entry in selected.registrations if entry["id"].lower() not in known]
            step.note = f"{len(new)} to import" + (
                f", {len(selected.registrations) - len(new)} in the file already" if known else ""
            )
        for kind, count in selected.skipped.items():
            self._say(f"  skipped: {count} {kind}")
        for note in selected.notes:
            self._say(f"  not looked at: {note}")
        return new

    def _read(
        self, who: Deployer, selected: list[dict[str, Any]], notebook: Path | None
    ) -> tuple[list[Found], list[str]]:
        with self.steps.step("What belongs to them") as step:
            found = reading.read(who, selected, notebook, lambda done: step.update(f"{done} of {len(selected)}"))
            step.note = f"{len(found)} apps"
        with self.steps.step("Azure roles") as step:
            notes = reading.assign_roles(who, found, lambda done, of: step.update(f"{done} of {of} scopes"))
            step.note = f"{sum(len(each.roles) for each in found)} assignments"
        return found, notes

    def _translate(self, who: Deployer, found: list[Found], tenant: str, notes: list[str]) -> Sheet:
        apis = reading.apis_of(who, found)
        custom = translating.custom_roles(found)
        definitions = reading.definitions_of(who, custom, notes)
        translation = translating.Translation(
            found,
            apis,
            definitions,
            tenant=tenant,
            cloud=self.target.cloud,
            there=self.target.there(),
            today=self.today,
        )
        sheet = translation.sheet()
        for entry in sheet.apps:
            writing.with_folder(entry, writing.beside(self.target.path).name)
        return sheet

    # -------------------------------------------------------------------------------------------------------- the file

    def _write(self, sheet: Sheet) -> list[str]:
        """Write the file once nothing in it is refused; else what is refused."""
        folder = writing.beside(self.target.path)
        files = {name: data for entry in sheet.apps for name, data in entry.files.items()}
        if files:
            folder.mkdir(exist_ok=True)
        for name, data in files.items():
            writing.save(folder / name, data)
        draft = self.target.path.with_name(f".{self.target.path.stem}.importing.yaml")
        try:

            def errors() -> tuple[config.Problem, ...]:
                draft.write_text(self._text(sheet, compact=False), "utf-8", newline="")
                return config.check(str(draft), root=self.target.root).errors

            if left := checking.settle(sheet, errors):
                return [str(problem).replace(draft.name, self.target.path.name) for problem in left]
        finally:
            draft.unlink(missing_ok=True)
        writing.save(self.target.path, self._text(sheet, compact=True).encode())
        return []

    def _text(self, sheet: Sheet, *, compact: bool) -> str:
        if self.target.new:
            schema = self.target.root / "config" / "environment.schema.json"
            named = Path(os.path.relpath(schema, self.target.path.parent)).as_posix() if schema.exists() else None
            return writing.document(sheet, self.today, named, compact=compact)
        return writing.insert(self.target.path, self.target.shown, self.target.text, sheet, self.target.defaults())

    # ------------------------------------------------------------------------------------------------------- the proof

    def _prove(self, who: Deployer, sheet: Sheet, found: list[Found], tenant: str, notes: list[str]) -> list[str]:
        """Preview, and correct the file, until the plan holds imports alone; what remains."""
        if not proof.at_hand():
            self._say("  no preview: there is no Pulumi here; `entrant review` shows the plan where there is")
            return []
        again: set[str] = set()
        rest: list[str] = []
        for turn in range(ROUNDS):
            with self.steps.step("Preview") as step:
                try:
                    outcome = proof.preview(self.target.stack, self.target.shown, self.target.root, step.update)
                except EngineError as error:
                    step.note = "failed"
                    return [f"Pulumi could not preview: {error}"]
                mine = {entry.key for entry in sheet.apps}
                wrong = {app: words for app, words in outcome.others.items() if app in mine}
                rest = [line for app, words in outcome.others.items() if app not in mine for line in words]
                step.note = f"{outcome.imports} to import, " + (
                    f"{sum(map(len, wrong.values()))} other changes" if wrong else "nothing else"
                )
            if not wrong or turn == ROUNDS - 1:
                return rest + [line for words in wrong.values() for line in words]
            self._correct(who, sheet, found, tenant, notes, wrong, again)
        return rest

    def _correct(
        self,
        who: Deployer,
        sheet: Sheet,
        found: list[Found],
        tenant: str,
        notes: list[str],
        wrong: Mapping[str, tuple[str, ...]],
        again: set[str],
    ) -> None:
        """Read again what differs; leave out as a comment what differs still."""
        stale = {key for key in wrong if key not in again}
        again |= stale
        if stale:
            chosen = [
                each for each in found if translating.keys(found, self.target.there().apps)[each.client_id] in stale
            ]
            fresh, _ = self._read(who, [each.registration for each in chosen], None)
            by_id = {each.id: each for each in fresh}
            found[:] = [by_id.get(each.id, each) for each in found]
            redone = self._translate(who, found, tenant, notes)
            faults = {entry.key: entry.faults for entry in sheet.apps if entry.faults}
            for entry in redone.apps:
                entry.faults += [fault for fault in faults.get(entry.key, ()) if fault not in entry.faults]
            sheet.apps, sheet.scopes = redone.apps, redone.scopes
            sheet.role_definitions = redone.role_definitions
        for entry in sheet.apps:
            if entry.key in wrong and entry.key not in stale:
                entry.faults += wrong[entry.key]
        self._write(sheet)

    def _told(self, sheet: Sheet, notes: list[str], rest: list[str]) -> int:
        """Say what was left out and what remains; the exit code."""
        left_out = [entry for entry in sheet.apps if entry.faults]
        for entry in sheet.apps:
            for what in entry.unsaid:
                self._say(f"  {entry.key}: left as it is, not declared: {what}")
        for note in dict.fromkeys(notes):
            self._say(f"  not seen: {note}")
        for entry in left_out:
            why = "; ".join(" ".join(fault.split()) for fault in entry.faults)
            self._say(f"  {entry.key}: not taken over, stands in the file as a comment: {why}")
        for line in rest:
            self._say(f"  the plan holds besides: {line}")
        click.echo(self.target.shown)
        taken = len(sheet.apps) - len(left_out)
        options.remark(f"{taken} apps in {self.target.shown}. Next: python3 -m entrant review -s {self.target.stack}")
        return NOT_ALL if left_out or rest else 0


def _tenant(who: Deployer) -> str:
    """The tenant of the login."""
    from entrant.tokens.credentials import Token

    return str(Token(who.token("graph"), 0, "graph", "", "").claims.get("tid", "")).lower()
