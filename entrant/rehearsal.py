"""A rehearsal: an environment, unchanged, on the local Azure, with everything of its own below `.entrant/`.

What a rehearsal of `dev` keeps in `.entrant/rehearsal/dev/`: its local Azure, the Pulumi home with its plugins, a file backend, the
passphrase (mode 0600) and the stack's configuration. So nothing touches `Pulumi.dev.yaml`, the user's Pulumi login, `~/.pulumi`
or `~/.azure`, and two rehearsals do not meet.

A run that was killed, or that failed, is gone on with: what it made and did not note is found first (`entrant.recovery`). One
whose state cannot be read starts over from nothing, for it is disposable.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import local_azure
from entrant import config, engine, outputs, project, shells
from entrant.access import monitor, trials
from entrant.config.values import FileName, path_of
from entrant.errors import ConfigurationError, EngineError, EntrantError, NotReadyError
from entrant.facts.clouds import Cloud
from entrant.facts.scopes import Scope, parse_scope, role_definition_id
from entrant.pipeline import locks
from entrant.progress import Step, Steps
from entrant.recovery import checkpoints, unfinished
from entrant.setup import bootstrap, pins
from entrant.tokens import clouds, credentials
from local_azure import plugins

QUERY = "Heartbeat | take 5"
REQUESTS = "requests | take 5"
METRIC = "rehearsals"
_LOCATION = "westeurope"
_STACK = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Rehearsal:
    """Where one environment's rehearsal keeps its things. `file` is its file below `root` where that is not the stack's."""

    stack: str
    root: Path = project.ROOT
    file: str | None = None
    part: str = ""
    """The folder in the rehearsal's of a stack that stands for something else in it; see `_make_existing`."""

    @classmethod
    def of(cls, name: str, root: Path = project.ROOT) -> "Rehearsal":
        """The rehearsal of a stack, or of a file.

        A file's stack is called as the file is, as far as Pulumi takes the name; where a stack or the rehearsal of another file
        has that name, a few digits make it the file's own.

        Raises:
            ConfigurationError: Pulumi takes no stack of this name.
        """
        if not name.endswith((".yaml", ".yml")):
            stack = name.rpartition("/")[2]
            if not _STACK.fullmatch(stack) or not stack.strip("."):
                raise ConfigurationError(
                    f'"{name}" is no name of a stack', next_step="name a stack, or a file by its path"
                )
            found = cls(stack, root)
            return dataclasses.replace(found, file=found.made_of())
        path = Path(name).absolute()
        file = Path(os.path.relpath(path, root)).as_posix()
        stack = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-.")[:60] or "file"
        if config.environment_file(stack, root, {}).resolve() == path.resolve():
            return cls(stack, root)
        digits = hashlib.sha256(file.encode()).hexdigest()[:6]
        plain, own = cls(stack, root, file), cls(f"{stack}-{digits}", root, file)
        if own.folder.exists() or config.environment_file(stack, root, {}).exists():
            return own
        return plain if plain.made_of() == file or not plain.exists() else own

    def made_of(self) -> str | None:
        """The file that the rehearsal that is there was made of; None where that is its stack's own, or there is none."""
        if not self.exists():
            return None
        made = yaml.safe_load(self.stack_config.read_text("utf-8")) or {}
        file = (made.get("config") or {}).get("entrant:environment")
        return file if isinstance(file, str) else None

    def command(self, *more: str) -> str:
        """The `rehearse` command for this, as a shell reads it."""
        of = self.file or self.stack
        return shlex.join(["python3", "-m", "entrant", "rehearse", f"./{of}" if of.startswith("-") else of, *more])

    @property
    def folder(self) -> Path:
        """Everything of this rehearsal."""
        return self.root / ".entrant" / "rehearsal" / self.stack / self.part

    @property
    def azure(self) -> Path:
        """The local Azure's state."""
        return self.root / ".entrant" / "rehearsal" / self.stack / "azure"

    @property
    def home(self) -> Path:
        """Pulumi's home, with the plugins in use."""
        return self.root / ".entrant" / "rehearsal" / self.stack / "pulumi"

    @property
    def stack_config(self) -> Path:
        """The stack's configuration: a copy of the project's, with this rehearsal's own encryption."""
        return self.folder / f"Pulumi.{self.stack}.yaml"

    def exists(self) -> bool:
        """Whether there is anything to look at or to take down."""
        return self.stack_config.exists()

    def settings(self, azure: local_azure.LocalAzure) -> dict[str, str]:
        """The environment variables that make `pulumi` and Azure's clients use this rehearsal, secrets included."""
        return {
            **azure.settings(),
            **azure.trust(),
            "ENTRANT_METRICS_ENDPOINT": azure.url,
            **self.backend(),
        }

    def backend(self) -> dict[str, str]:
        """The environment variables that make `pulumi` use this rehearsal's state."""
        return {
            "PULUMI_HOME": str(self.home),
            # without a file beside each of the state's, which may be empty after a crash; nothing needs them
            "PULUMI_BACKEND_URL": f"{(self.folder / 'state').as_uri()}?metadata=skip",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.folder / "passphrase"),
            "PULUMI_OPTION_CONFIG_FILE": str(self.stack_config),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",  # the language host lists packages with pip, which would look for a newer pip
        }


def environ(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with a rehearsal's settings, and without what would lead back to a real cloud or backend."""
    foreign = ("ARM_", "AZURE_", "PULUMI_", "ACTIONS_ID_TOKEN_", shells.BEFORE)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return engine.environment(kept | dict(settings))


# ------------------------------------------------------------------------------------------------------------- the job


def run(
    rehearsal: Rehearsal, *, propagation: float, which: str, steps: Steps, patience: float = 120.0
) -> dict[str, Any]:
    """Set an environment up on the local Azure and use what it declares; the summary that `--json` prints.

    Args:
        propagation: seconds until a new role assignment or secret takes effect on the local Azure.
        which: plugins to use: `auto` (real ones where Pulumi can have them), `real` or `stand-in`.
        patience: seconds to wait for access.

    Raises:
        config.ConfigError: the environment's file has problems; nothing was made.
        EntrantError: a step failed; running again goes on from there.
    """
    report = config.check(rehearsal.file or rehearsal.stack, root=rehearsal.root)
    environment = report.environment
    if environment is None:
        raise config.ConfigError(report.problems)
    for problem in report.warnings:
        steps.out.print(str(problem), markup=False)
    left, broken = _unfinished(rehearsal, steps), _unreadable(rehearsal)
    if broken or (rehearsal.folder / _BEFORE).exists():
        reason = (
            f"its state cannot be read ({broken})" if broken else "it was killed while it made what the file takes over"
        )
        steps.out.print(f"The last run cannot be gone on with: {reason}; starting over.")
        _remove(rehearsal)
        left = False
    with steps.step("Local Azure") as step:
        azure = local_azure.start(rehearsal.azure, propagation=propagation, tenant=environment.tenant)
        if environment.tenant not in (None, azure.tenant_id):  # it was made before the file named this tenant
            steps.out.print(f"The file now belongs to tenant {environment.tenant}; starting over.")
            _remove(rehearsal)
            azure = local_azure.start(rehearsal.azure, propagation=propagation, tenant=environment.tenant)
        step.note = azure.url
    settings = rehearsal.settings(azure)
    env = environ(settings)
    with _trusting(settings["REQUESTS_CA_BUNDLE"]):
        with steps.step("What the file refers to") as step:
            named = _referred(environment)
            made = azure.admin("POST", "ensure", named)["created"]
            words = [f"{len(ids)} {kind.replace('_', ' ')}" for kind, ids in named.items() if ids]
            step.note = ", ".join([*words, f"{len(made)} made" if made else "all there"])
        with steps.step("Pulumi") as step:
            _prepare_stack(rehearsal, env)
            served = _plugins(rehearsal, env, which)
            step.note = ", ".join(f"{name} {kind}" for name, kind in served.items())
        if any(app.adopt for app in environment.apps.values()):
            with steps.step("What the file takes over") as step:
                step.note = _make_existing(rehearsal, environment, azure, step)
        if left:
            with steps.step("What the last run left") as step:
                step.note = _recover(rehearsal, env)
        with steps.step("pulumi up") as step, _at_work(rehearsal):
            summary = _change("up", rehearsal, env, step)
        with steps.step("Outputs") as step:
            declared = engine.stack_outputs(rehearsal.stack, cwd=rehearsal.root, environ=env)
            step.note = f"client ids and secrets of {len(declared.apps)} apps"
        trials = [
            trial
            for app in (_with_assertion(rehearsal, azure, app) for app in declared.apps.values())
            if app.secret or app.assertion
            for trial in _trials(app, clouds.resolve(app.cloud, settings))
        ]
        until = time.monotonic() + patience
        results = []
        for trial in trials:
            with steps.step(trial.title) as step:
                result = trial.until_it_works(until, step.update)
                step.note = result["said"]
                results.append(result)
    return {
        "stack": rehearsal.stack,
        "steps": [{"step": step.title, "seconds": round(step.seconds, 3), "note": step.note} for step in steps.done],
        "changes": dict(summary.changes),
        "apps": {name: _app_summary(app, results) for name, app in declared.apps.items()},
        "plugins": served,
        "local_azure": {"url": azure.url, "state": str(rehearsal.azure)},
        "pulumi": {"path": str(engine.find(env)), "state": str(rehearsal.folder)},
    }


def down(rehearsal: Rehearsal, steps: Steps) -> None:
    """Destroy the rehearsal's stack, stop its local Azure and remove everything of it."""
    if _unfinished(rehearsal, steps) or _unreadable(rehearsal):
        steps.out.print("The last run did not end well; its state goes without `pulumi destroy`.")
    elif rehearsal.exists():
        with steps.step("Local Azure") as step:
            azure = local_azure.start(rehearsal.azure)
            step.note = azure.url
        env = environ(rehearsal.settings(azure))
        with steps.step("pulumi destroy") as step:
            # What `protect` keeps on a real tenant goes too: the rehearsal's directory is removed with it.
            engine.run(
                ["state", "unprotect", "--all", "--yes", "--stack", rehearsal.stack], cwd=rehearsal.root, environ=env
            )
            # A refresh first, since what was taken away by hand cannot be destroyed.
            _change("destroy", rehearsal, env, step, "--refresh")
    with steps.step("State removed") as step:
        _remove(rehearsal)
        step.note = str(rehearsal.folder)


def _remove(rehearsal: Rehearsal) -> None:
    local_azure.stop(rehearsal.azure)
    if rehearsal.folder.exists():
        shutil.rmtree(rehearsal.folder)


def _referred(environment: config.Environment) -> dict[str, list[str]]:
    """What an environment names and does not declare, kind by kind; owners by id are taken for users."""
    owners = [owner for app in environment.apps.values() for owner in app.owners]
    owners += [
        owner for app in environment.apps.values() if app.service_principal for owner in app.service_principal.owners
    ]
    return {
        "scopes": [scope.id for scope in environment.all_scopes()],
        "users": sorted({owner.value for owner in owners if owner.kind in ("user", "object")}),
        "groups": sorted({group for app in environment.apps.values() for group in app.groups}),
        "administrative_units": sorted(
            {
                role.administrative_unit
                for app in environment.apps.values()
                for role in app.directory_roles
                if role.administrative_unit
            }
        ),
    }


# ------------------------------------------------------------------------------------- what an environment takes over

_BEFORE = "before"
_OF_REGISTRATIONS = frozenset(
    {
        "display_name",
        "description",
        "notes",
        "sign_in_audience",
        "identifier_uris",
        "web",
        "spa",
        "public_client",
        "links",
        "logo",
        "app_roles",
        "api",
        "optional_claims",
        "group_claims",
        "tags",
        "feature_tags",
        "service_management_reference",
        "owners",
        "service_principal",
        "permissions",
    }
)
"""Keys of an app that describe its registration and service principal, which `adopt` is about."""


def _make_existing(
    rehearsal: Rehearsal, environment: config.Environment, azure: local_azure.LocalAzure, step: Step
) -> str:
    """Make what the file takes over and the local Azure lacks, as the file describes it; what that was.

    Pulumi makes it, from an environment that holds nothing else and has no `adopt`, on a stack that is forgotten afterwards: so
    an import finds each property as the file has it. A role assignment is made with the name that the file has for it.
    """
    adopted = {name: app for name, app in environment.apps.items() if app.adopt}
    reserved = [
        {
            "display_name": app.display_name or name,
            **app.adopt.model_dump(mode="json", include={"application", "service_principal"}),
        }
        for name, app in adopted.items()
        if app.adopt
    ]
    new = set(azure.admin("POST", "ensure", {"reserved": reserved})["created"])
    missing = {name: app for name, app in adopted.items() if app.adopt and app.adopt.application in new}
    if not missing:
        return "all there"
    before = dataclasses.replace(
        rehearsal, part=_BEFORE, file=f".entrant/rehearsal/{rehearsal.stack}/{_BEFORE}/environment.yaml"
    )
    before.folder.mkdir(mode=0o700)
    tree = config.check(rehearsal.file or rehearsal.stack, root=rehearsal.root).tree
    assert tree is not None, "the environment was loaded from it"
    described = _described(tree.plain(), set(missing))
    (before.folder / "environment.yaml").write_text(yaml.safe_dump(described, allow_unicode=True), "utf-8")
    env = environ(before.settings(azure))
    _prepare_stack(before, env)
    _change("up", before, env, step)
    assignments = sum(_finish(azure, name, app) for name, app in missing.items())
    shutil.rmtree(before.folder)
    made = [f"{len(missing)} registration{'s' if len(missing) > 1 else ''}"]
    return ", ".join([*made, *([f"{assignments} role assignments"] if assignments else [])]) + " made as the file says"


def _described(data: Any, names: set[str]) -> dict[str, Any]:
    """The environment in which the apps of these names are alone and have their registrations and service principals alone."""

    def kept(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: kept(one) for key, one in value.items()}
        if isinstance(value, list):
            return [kept(one) for one in value]
        return str(path_of(value)) if isinstance(value, FileName) else value

    def known(owner: Any) -> bool:
        return owner not in data["apps"] or owner in names

    apps = {}
    for name in names:
        app = {key: kept(value) for key, value in data["apps"][name].items() if key in _OF_REGISTRATIONS}
        app["permissions"] = [
            {key: value for key, value in permission.items() if key != "consent"}
            for permission in app.get("permissions", [])
            if known(permission.get("api"))
        ]
        app["owners"] = [owner for owner in app.get("owners", []) if known(owner)]
        if isinstance(api := app.get("api"), dict):  # who may call it is declared apart
            app["api"] = {key: value for key, value in api.items() if key not in ("known_clients", "pre_authorized")}
        if isinstance(principal := app.get("service_principal"), dict) and "owners" in principal:
            principal["owners"] = [owner for owner in principal["owners"] if known(owner)]
        apps[name] = {key: value for key, value in app.items() if value != []}
    return {key: data[key] for key in ("cloud", "tenant") if key in data} | {"apps": apps}


def _finish(azure: local_azure.LocalAzure, name: str, app: config.App) -> int:
    """Let an app that was made be as if it had been made by hand; how many role assignments it has that are taken over."""
    assert app.adopt is not None
    path = f"/v1.0/applications/{app.adopt.application}"
    registration = azure.call("GET", path)
    principals = azure.call("GET", f"/v1.0/servicePrincipals?$filter=appId%20eq%20'{registration['appId']}'")["value"]
    for where, tags in (
        (path, registration["tags"]),
        *((f"/v1.0/servicePrincipals/{one['id']}", one["tags"]) for one in principals),
    ):
        if _MARK in tags and _MARK not in (app.tags or ()):
            azure.call("PATCH", where, {"tags": [tag for tag in tags if tag != _MARK]})
    if app.adopt.service_principal is None:
        for principal in principals:
            azure.call("DELETE", f"/v1.0/servicePrincipals/{principal['id']}")
        return 0
    grants = [grant for grant in app.roles if grant.adopt]
    for grant in grants:
        where = f"{grant.scope.id.rstrip('/')}/providers/Microsoft.Authorization/roleAssignments/{grant.adopt}"
        properties = {
            "roleDefinitionId": role_definition_id(grant.scope, grant.role.guid),
            "principalId": app.adopt.service_principal,
            "principalType": "ServicePrincipal",
            "description": grant.description,
            "condition": grant.condition,
            "conditionVersion": grant.condition_version,
        }
        given = {key: value for key, value in properties.items() if value is not None}
        azure.call("PUT", f"{where}?api-version=2022-04-01", {"properties": given})
    return len(grants)


_MARK = "entrant"
"""The tag of whatever is declared here (`components.registration.MARK`), which what was made by hand lacks."""


@contextlib.contextmanager
def _at_work(rehearsal: Rehearsal) -> Iterator[None]:
    """Leave a mark while Pulumi changes things; one that is found later tells of a run that was killed or failed."""
    mark = rehearsal.folder / "at-work"
    mark.touch()
    yield
    mark.unlink()


def _unfinished(rehearsal: Rehearsal, steps: Steps) -> bool:
    """Whether a run left something half made; waits for one that is at work, and removes the locks of dead ones."""
    killed = False
    for lock in (rehearsal.folder / "state" / ".pulumi" / "locks").rglob("*.json"):
        try:
            pid = int(json.loads(lock.read_text())["pid"])
        except (ValueError, KeyError, OSError):  # it was killed while it wrote its lock, or ended
            pid = 0
        if pid and locks.alive(pid):  # somebody's own, or what a killed run left running
            with steps.step(f"Waiting for pulumi (process {pid}), which is at work on this rehearsal"):
                while locks.alive(pid):
                    time.sleep(0.2)
        lock.unlink(missing_ok=True)
        killed = True
    return rehearsal.exists() and (killed or (rehearsal.folder / "at-work").exists())


def _unreadable(rehearsal: Rehearsal) -> str | None:
    """Why the rehearsal's state cannot be read; None if it can, or there is none."""
    backend = rehearsal.folder / "state"
    for broken in checkpoints.broken_attributes(backend):
        broken.unlink()
    files = [*(backend / ".pulumi" / "stacks").rglob(f"{rehearsal.stack}.json")]
    reasons = [checkpoints.unreadable(file) for file in files]
    meta = backend / ".pulumi" / "meta.yaml"
    if meta.exists() and not meta.read_bytes().strip():
        reasons.append("meta.yaml is empty")
    return next(filter(None, reasons), None)


def _recover(rehearsal: Rehearsal, env: Mapping[str, str]) -> str:
    """Note in the state what the last run made; in words, what was done."""
    done: list[str] = []

    def agree(plan: unfinished.Plan) -> bool:
        found = sum(note.found for note in plan.notes)
        lost = "secret removed" if len(plan.lost) == 1 else "secrets removed"
        told = {"noted": found, lost: len(plan.lost), "gone": len(plan.gone)}
        done.extend(f"{count} {what}" for what, count in told.items() if count)
        return True

    unfinished.recover(rehearsal.stack, agree=agree, cwd=rehearsal.root, environ=env)
    return ", ".join(done) or "nothing to recover"


def _change(operation: str, rehearsal: Rehearsal, env: Mapping[str, str], step: Step, *more: str) -> engine.Summary:
    """Run `up` or `destroy` on the rehearsal's stack, saying in `step` how far it is and what it did."""
    asked = [operation, *more, "--yes", "--skip-preview", "--stack", rehearsal.stack]
    summary = engine.operate(
        [*asked, "--config-file", str(rehearsal.stack_config)],
        cwd=rehearsal.root,
        environ=env,
        on_event=_narrate(step.update),
    )
    step.note = _told(summary)
    return summary


def _told(summary: engine.Summary) -> str:
    if not summary.changed:
        return "no changes"
    words = {"create": "created", "update": "updated", "delete": "deleted", "replace": "replaced", "same": "unchanged"}
    return ", ".join(f"{count} {words.get(kind, kind)}" for kind, count in sorted(summary.changes.items()) if count)


def _narrate(tell: Callable[[str], None]) -> Callable[[engine.Event], None]:
    def on_event(event: engine.Event) -> None:
        started = event.get("resourcePreEvent")
        if started and started["metadata"]["op"] != "same":
            metadata = started["metadata"]
            tell(f"{metadata['op']} {metadata['urn'].rsplit('::', 1)[-1]}")

    return on_event


class _trusting:
    """For a block, lets Azure's Python clients in this process trust a bundle; they read it from the environment only."""

    def __init__(self, bundle: str) -> None:
        self._bundle = bundle
        self._before: str | None = None

    def __enter__(self) -> None:
        self._before = os.environ.get("REQUESTS_CA_BUNDLE")
        os.environ["REQUESTS_CA_BUNDLE"] = self._bundle

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            del os.environ["REQUESTS_CA_BUNDLE"]
        else:
            os.environ["REQUESTS_CA_BUNDLE"] = self._before


# -------------------------------------------------------------------------------------------------------------- Pulumi


def _prepare_stack(rehearsal: Rehearsal, env: Mapping[str, str]) -> None:
    """Make the backend, the passphrase, the stack's configuration and the stack, whichever is missing."""
    folder = rehearsal.folder
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    (folder / "state").mkdir(exist_ok=True)
    passphrase = folder / "passphrase"
    if not passphrase.exists():
        _write_private(passphrase, secrets.token_urlsafe(32))
    made = yaml.safe_load(rehearsal.stack_config.read_text()) if rehearsal.stack_config.exists() else {}
    if "encryptionsalt" not in (made or {}):
        # `stack init` writes the salt beside a Pulumi.yaml; one of the rehearsal's own keeps it out of the project.
        name = yaml.safe_load((rehearsal.root / "Pulumi.yaml").read_text())["name"]
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": name, "runtime": "python"}))
        plain = {key: value for key, value in env.items() if key != "PULUMI_OPTION_CONFIG_FILE"}
        done = engine.run(
            ["stack", "init", rehearsal.stack, "--cwd", str(folder)], cwd=folder, environ=plain, check=False
        )
        if done.returncode and "already exists" in done.stderr:  # a run was killed between the stack and its salt
            engine.run(
                ["stack", "rm", rehearsal.stack, "--yes", "--force", "--cwd", str(folder)], cwd=folder, environ=plain
            )
            engine.run(["stack", "init", rehearsal.stack, "--cwd", str(folder)], cwd=folder, environ=plain)
        elif done.returncode:
            raise engine.failure(["stack", "init"], done.returncode, done.stderr)
        # Selected, so that commands in the rehearsal's shell need no -s.
        engine.run(["stack", "select", rehearsal.stack], cwd=rehearsal.root, environ=env)
        made = yaml.safe_load(rehearsal.stack_config.read_text())
    project = rehearsal.root / f"Pulumi.{rehearsal.stack}.yaml"
    own = (yaml.safe_load(project.read_text()) or {}) if project.exists() else {}
    for key in ("encryptionsalt", "secretsprovider", "encryptedkey"):
        own.pop(key, None)
    if rehearsal.file is not None:
        own["config"] = (own.get("config") or {}) | {"entrant:environment": rehearsal.file}
    _write_private(rehearsal.stack_config, yaml.safe_dump(own | {"encryptionsalt": made["encryptionsalt"]}))


def _write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 so that it is never seen half written or readable by others."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def _plugins(rehearsal: Rehearsal, env: Mapping[str, str], which: str) -> dict[str, str]:
    """Have a resource plugin for each provider: the real one where Pulumi can have it, else the stand-in.

    Returns `{"azuread": "real" | "stand-in", "azure-native": …}`.
    """
    rehearsal.home.mkdir(parents=True, exist_ok=True)
    served = {}
    for name in plugins.NAMES:
        version = plugins.sdk_version(name)
        real = which != "stand-in" and _real_plugin(rehearsal, env, name, version)
        if real:
            plugins.uninstall(rehearsal.home, [name])
        elif which == "real":
            raise EngineError(
                f"the real plugin {name} {version} cannot be had here",
                next_step=f"put pulumi-resource-{name} on PATH, or leave out --plugins real to use the stand-in",
            )
        else:
            plugins.install(rehearsal.home, sys.executable, rehearsal.root, [name])
        served[name] = "real" if real else "stand-in"
    return served


def users_home() -> Path:
    """The Pulumi home of whoever runs this, where Pulumi keeps the plugins it has downloaded; only ever read."""
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")


def _real_plugin(rehearsal: Rehearsal, env: Mapping[str, str], name: str, version: str) -> bool:
    if shutil.which(f"pulumi-resource-{name}", path=env["PATH"]):
        return True
    own = plugins.directory(rehearsal.home, name, version)
    if own.is_symlink() and not own.exists():  # what it led to was removed since
        own.unlink()
    if own.exists() and not plugins.is_stand_in(own):
        return True
    users = plugins.directory(users_home(), name, version)
    if users.is_dir() and not plugins.is_stand_in(users):  # in a shell with `--env`, it is a rehearsal's home
        plugins.uninstall(rehearsal.home, [name])
        own.parent.mkdir(parents=True, exist_ok=True)
        own.symlink_to(users, target_is_directory=True)
        return True
    if not bootstrap.reachable(bootstrap.RELEASES):
        return False
    plugins.uninstall(rehearsal.home, [name])
    archive = f"pulumi-resource-{name}-v{version}-{pins.platform(plugin=True)}.tar.gz"
    checksum = pins.read(rehearsal.root / pins.PLUGINS).get(archive)
    command = ["plugin", "install", "resource", name, version, *(["--checksum", checksum] if checksum else [])]
    return engine.run(command, cwd=rehearsal.folder, environ=env, check=False).returncode == 0


# -------------------------------------------------------------------------------------------------------------- trials


@dataclass(frozen=True)
class _Trial:
    """One use of a grant: what it is, and a call that makes it once."""

    app: outputs.App
    kind: str
    title: str
    attempt: Callable[[], dict[str, Any]]

    def until_it_works(self, until: float, tell: Callable[[str], None]) -> dict[str, Any]:
        """Try until the call is answered; new access takes its time, so a refusal is tried again once a second."""
        tries = 0
        while True:
            tries += 1
            try:
                result = self.attempt()
            except EntrantError as error:
                if time.monotonic() > until:
                    raise NotReadyError(f"{self.title}: still refused: {error}", next_step=error.next_step) from error
                tell(f"not yet ({error.code or 'refused'})")
                time.sleep(0.5)
            else:
                after = f" after {tries} tries" if tries > 1 else ""
                return (
                    {"app": self.app.name, "kind": self.kind, "tries": tries}
                    | result
                    | {"said": result["said"] + after}
                )


def _with_assertion(rehearsal: Rehearsal, azure: local_azure.LocalAzure, app: outputs.App) -> outputs.App:
    """An app without a secret, with an assertion of a federated credential's issuer, which the local Azure plays too."""
    if app.secret:
        return app
    for credential in app.credentials:
        if credential["kind"] == "federated" and credential.get("issuer") and credential.get("subject"):
            file = rehearsal.folder / f"{app.name}.assertion"
            _write_private(file, azure.assertion(credential["subject"], issuer=credential["issuer"]))
            return dataclasses.replace(app, assertion=str(file))
    return app


def _trials(app: outputs.App, cloud: Cloud) -> Iterator[_Trial]:
    """What can be tried with an app's roles: a query of each workspace and component it may read, a metric of each resource."""

    def token(audience: str) -> str:
        # A fresh client each time: MSAL repeats a refusal for a minute.
        return credentials.fetch(credentials.Credential(app, cloud), app, clouds.scope(cloud, audience)).access_token

    for grant in app.grants:
        scope, uses = parse_scope(grant.scope), trials.uses(grant)
        if "query" in uses:

            def query(scope: Scope = scope) -> dict[str, Any]:
                table = monitor.query_logs(cloud, token("logs"), scope.id, QUERY)
                return {"scope": scope.id, "rows": len(table.rows), "said": f"{len(table.rows)} rows"}

            yield _Trial(app, "query", f"{app.name} queries {scope.name}", query)
        if "insights" in uses:

            def read(scope: Scope = scope) -> dict[str, Any]:
                known = monitor.application_id(cloud, token("arm"), scope.id)
                table = monitor.query_insights(cloud, token("insights"), known, REQUESTS)
                return {"scope": scope.id, "rows": len(table.rows), "said": f"{len(table.rows)} rows"}

            yield _Trial(app, "query", f"{app.name} queries {scope.name}", read)
        if "metric" in uses:

            def send(scope: Scope = scope) -> dict[str, Any]:
                monitor.send_metrics(cloud, token("metrics"), scope.id, [monitor.metric(METRIC, 1)], region=_LOCATION)
                return {"scope": scope.id, "metric": "accepted", "said": "metric accepted"}

            yield _Trial(app, "metric", f"{app.name} reports on {scope.name}", send)


def _app_summary(app: outputs.App, results: list[dict[str, Any]]) -> dict[str, Any]:
    mine = [result for result in results if result["app"] == app.name]
    return {
        "client_id": app.client_id,
        "secret": app.secret is not None,
        "grants": [{"role": grant.role, "scope": grant.scope} for grant in app.grants],
        "queries": [
            {"scope": r["scope"], "rows": r["rows"], "tries": r["tries"]} for r in mine if r["kind"] == "query"
        ],
        "metrics": [
            {"scope": r["scope"], "status": r["metric"], "tries": r["tries"]} for r in mine if r["kind"] == "metric"
        ],
    }


def shell(rehearsal: Rehearsal) -> str:
    """Shell commands that point `pulumi` and Azure's clients at the rehearsal; for `eval`.

    Raises:
        ConfigurationError: there is no such rehearsal.
    """
    if not rehearsal.exists():
        raise ConfigurationError(
            f"there is no rehearsal of {rehearsal.stack}",
            next_step=f"run `{rehearsal.command()}`",
        )
    azure = local_azure.start(rehearsal.azure)
    folders = [str(Path(sys.executable).parent), str(engine.find(os.environ).parent)]
    return shells.give(rehearsal.settings(azure), "bash", os.environ, path=folders)
