"""Runs the jobs of a GitHub Actions workflow from its file: events, needs, matrices, conditions, reusable workflows, outputs.

What it does not know it refuses. Sources: GitHub, "Workflow syntax for GitHub Actions", "Evaluate expressions in workflows and
actions", "Workflow commands", "OpenID Connect reference".
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

import local_azure
from tests.pipelines.machine import Machine, NotUnderstoodError, only

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>\d+)|(?P<name>[A-Za-z_][\w-]*)|(?P<sign>==|!=|&&|\|\||[!().,\[\]]))"
)


class _Expression:
    """Recursive descent over an expression, evaluated as it is read."""

    def __init__(self, text: str, contexts: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> None:
        self.tokens: list[tuple[str, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if not found:
                raise NotUnderstoodError(f"expression {text!r} at {at}")
            assert found.lastgroup
            self.tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
        self.contexts, self.functions = contexts, functions
        self.text = text

    def value(self) -> Any:
        found = self._or()
        if self.tokens:
            raise NotUnderstoodError(f"expression {self.text!r}: {self.tokens}")
        return found

    def _take(self, *signs: str) -> str | None:
        if self.tokens and self.tokens[0][0] == "sign" and self.tokens[0][1] in signs:
            return self.tokens.pop(0)[1]
        return None

    def _or(self) -> Any:
        left = self._and()
        while self._take("||"):
            right = self._and()
            left = left or right
        return left

    def _and(self) -> Any:
        left = self._equal()
        while self._take("&&"):
            right = self._equal()
            left = left and right
        return left

    def _equal(self) -> Any:
        left = self._not()
        while sign := self._take("==", "!="):
            right = self._not()
            if isinstance(left, str) and isinstance(right, str):
                left, right = left.lower(), right.lower()
            left = (left == right) == (sign == "==")
        return left

    def _not(self) -> Any:
        return not self._not() if self._take("!") else self._plain()

    def _plain(self) -> Any:
        if self._take("("):
            found = self._or()
            assert self._take(")")
            return found
        if not self.tokens:
            raise NotUnderstoodError(f"expression {self.text!r} ends early")
        kind, text = self.tokens.pop(0)
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return int(text)
        if kind != "name":
            raise NotUnderstoodError(f"expression {self.text!r}: {text}")
        if text in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[text]
        if self._take("("):
            values = []
            while not self._take(")"):
                values.append(self._or())
                self._take(",")
            if text not in self.functions:
                raise NotUnderstoodError(f"function {text}")
            return self.functions[text](*values)
        if text not in self.contexts:
            raise NotUnderstoodError(f"context {text} is not there in {self.text!r}")
        found = self.contexts[text]
        while sign := self._take(".", "["):
            name = self.tokens.pop(0)[1].strip("'")
            assert sign == "." or self._take("]")
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


@dataclass
class Result:
    """A job that ended: `success`, `failure` or `skipped`."""

    result: str
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass
class Actions:
    """A repository on GitHub: its variables, secrets, environments, and the forge that takes its comments."""

    machine: Machine
    azure: local_azure.LocalAzure
    variables: dict[str, str]
    secrets: dict[str, str]
    environments: dict[str, dict[str, str]]
    """The variables of each environment."""
    forge: dict[str, str]
    """What GitHub sets about its API, with a token that may comment as `GITHUB_TOKEN`."""
    repository: str = "contoso/obs"
    identities: list[str] = field(default_factory=list)
    """Subjects of the assertions that jobs could ask for."""
    groups: list[str] = field(default_factory=list)
    """Concurrency groups that were entered and let nobody in beside."""
    _runs: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def event(self, file: str, name: str, commit: str, payload: dict[str, Any], ref: str) -> dict[str, Result]:
        """Run a workflow for an event at a commit; its jobs' results."""
        workflow = self._workflow(file, commit)
        triggers = workflow["on"]
        if name not in triggers:
            raise NotUnderstoodError(f"{file} is not started by {name}")
        only(triggers, {"pull_request", "push", "schedule", "workflow_dispatch"}, f"{file}: on")
        only((triggers[name] or {}) if name == "push" else {}, {"branches"}, f"{file}: on.{name}")
        if name == "push" and ref.removeprefix("refs/heads/") not in triggers[name]["branches"]:
            return {}
        github = {
            "event": payload,
            "event_name": name,
            "repository": self.repository,
            "ref": ref,
            "sha": commit,
            "run_id": str(next(self._runs)),
        }
        return self._jobs(workflow, github, {"vars": self.variables, "secrets": self.secrets}, "")

    def _workflow(self, file: str, commit: str) -> dict[str, Any]:
        from subprocess import run

        path = f"{commit}:.github/workflows/{file}"
        text = run(
            ["git", "-C", self.machine.repository, "show", path], capture_output=True, text=True, check=True
        ).stdout
        loaded: dict[Any, Any] = yaml.safe_load(text)
        workflow = {"on" if key is True else key: value for key, value in loaded.items()}  # YAML 1.1 reads `on` as true
        only(workflow, {"name", "on", "permissions", "jobs"}, file)
        assert workflow["permissions"] == {}, "each job says what it needs"
        return workflow

    def _jobs(
        self, workflow: dict[str, Any], github: dict[str, Any], contexts: dict[str, Any], above: str
    ) -> dict[str, Result]:
        done: dict[str, Result] = {}
        waiting = dict(workflow["jobs"])
        while waiting:
            name = next(
                name for name, job in waiting.items() if all(need in done for need in _listed(job.get("needs")))
            )
            job = waiting.pop(name)
            needs = {need: done[need] for need in _listed(job.get("needs"))}
            done[name] = self._job(f"{above}{name}", job, needs, github, contexts)
        return done

    def _job(
        self, name: str, job: dict[str, Any], needs: dict[str, Result], github: dict[str, Any], inputs: dict[str, Any]
    ) -> Result:
        plain = {"needs", "if", "strategy", "permissions"}
        called = {"uses", "with", "secrets"}
        own = {"runs-on", "timeout-minutes", "outputs", "concurrency", "env", "environment", "steps"}
        only(job, plain | (called if "uses" in job else own), name)
        contexts = inputs | {
            "github": github,
            "needs": {n: {"outputs": r.outputs, "result": r.result} for n, r in needs.items()},
        }
        results = [need.result for need in needs.values()]
        functions = _functions(all(r == "success" for r in results), "failure" in results)
        condition = str(job.get("if", "success()"))
        if not re.search(r"\b(success|failure|cancelled|always)\(", condition):
            condition = f"success() && ({_bare(condition)})"
        if not self._evaluate(_bare(condition), contexts, functions):
            return Result("skipped")
        legs: list[dict[str, Any]] = [{}]
        if "strategy" in job:
            only(job["strategy"], {"matrix", "fail-fast"}, f"{name}.strategy")
            matrix = self._evaluate(_bare(job["strategy"]["matrix"]), contexts, functions)
            only(matrix, {"include"}, f"{name}.strategy.matrix")
            assert matrix["include"], "GitHub refuses an empty matrix"
            legs = matrix["include"]
        ended = []
        for leg in legs:
            label = f"{name} ({leg['stack']})" if leg else name
            run = self._call if "uses" in job else self._steps
            ended.append(run(label, job, contexts | ({"matrix": leg} if leg else {})))
        outputs = {key: value for result in ended for key, value in result.outputs.items()}
        return Result("failure" if any(r.result == "failure" for r in ended) else "success", outputs)

    def _call(self, name: str, job: dict[str, Any], contexts: dict[str, Any]) -> Result:
        file = re.fullmatch(r"\./\.github/workflows/(.+)", job["uses"])
        if not file:
            raise NotUnderstoodError(job["uses"])
        workflow = self._workflow(file[1], contexts["github"]["sha"])
        declared = workflow["on"]["workflow_call"]
        only(declared, {"inputs", "secrets"}, f"{name}: workflow_call")
        inputs = {key: spec.get("default") for key, spec in declared["inputs"].items()}
        passed = {key: self._text(value, contexts) for key, value in job["with"].items()}
        only(passed, set(inputs), f"{name}.with")
        only(job["secrets"], set(declared["secrets"]), f"{name}.secrets")
        secrets = {key: self._text(value, contexts) for key, value in job["secrets"].items()}
        for inner in workflow["jobs"].values():
            assert inner["permissions"].items() <= job["permissions"].items(), "a called workflow gets no more"
        own = {"vars": self.variables, "inputs": inputs | passed, "secrets": secrets}
        ended = self._jobs(workflow, contexts["github"], own, f"{name} / ")
        return Result("failure" if any(result.result == "failure" for result in ended.values()) else "success")

    def _steps(self, name: str, job: dict[str, Any], contexts: dict[str, Any]) -> Result:
        permissions = job["permissions"]
        only(permissions, {"contents", "id-token", "pull-requests"}, f"{name}.permissions")
        environment = self._text(job["environment"], contexts) if "environment" in job else None
        if environment is not None:
            contexts = contexts | {"vars": self.variables | self.environments[environment]}
        if "concurrency" in job:
            group = self._text(job["concurrency"]["group"], contexts)
            if not job["concurrency"]["cancel-in-progress"]:
                self.groups.append(group)
        workspace = self.machine.workspace()
        temp = workspace.parent / "temp"
        contexts = contexts | {"steps": {}, "runner": {"temp": str(temp)}}
        contexts["github"] = contexts["github"] | {"token": self.forge["GITHUB_TOKEN"]}
        files = {name: temp / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
        event = temp / "event.json"
        event.write_text(json.dumps(contexts["github"]["event"]))
        env = {key: str(path) for key, path in files.items()} | {
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": self.repository,
            "GITHUB_RUN_ID": contexts["github"]["run_id"],
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_EVENT_PATH": str(event),
            "RUNNER_TEMP": str(temp),
        }
        env |= {key: value for key, value in self.forge.items() if key.endswith("_URL")}
        if permissions.get("id-token") == "write":
            env |= self.azure.github_settings(self._subject(contexts["github"], environment))
        env |= {key: self._text(value, contexts) for key, value in job.get("env", {}).items()}
        failed = False
        for step in job["steps"]:
            only(step, {"name", "id", "uses", "with", "run", "env", "if"}, f"{name}: a step")
            functions = _functions(not failed, failed)
            outcome: dict[str, Any] = {"outcome": "skipped", "outputs": {}}
            if self._evaluate(_bare(str(step.get("if", "success()"))), contexts, functions):
                if "uses" in step:
                    self._checkout(step, workspace, contexts["github"]["sha"])
                    code = 0
                else:
                    own = {key: self._text(value, contexts) for key, value in step.get("env", {}).items()}
                    files["GITHUB_OUTPUT"].write_text("")
                    code = self.machine.run(name, step.get("name", "run"), step["run"], env | own, workspace).code
                    outcome["outputs"] = _lines(files["GITHUB_OUTPUT"])
                    env |= _lines(files["GITHUB_ENV"])
                outcome["outcome"] = "failure" if code else "success"
                failed = failed or bool(code)
            if "id" in step:
                contexts["steps"][step["id"]] = outcome
        outputs = {key: self._text(value, contexts) for key, value in job.get("outputs", {}).items()}
        if files["GITHUB_STEP_SUMMARY"].exists():
            self.machine.run(name, "summary", 'cat "$GITHUB_STEP_SUMMARY"', env, workspace)
        return Result("failure" if failed else "success", outputs)

    def _checkout(self, step: dict[str, Any], workspace: Path, commit: str) -> None:
        if not re.fullmatch(r"actions/checkout@[0-9a-f]{40}", step["uses"]):
            raise NotUnderstoodError(step["uses"])
        inputs = step.get("with", {})
        only(inputs, {"fetch-depth", "persist-credentials"}, "actions/checkout")
        self.machine.checkout(workspace, commit, whole=inputs.get("fetch-depth") == 0)

    def _subject(self, github: dict[str, Any], environment: str | None) -> str:
        if environment is not None:
            what = f"environment:{environment}"
        elif github["event_name"] == "pull_request":
            what = "pull_request"
        else:
            what = f"ref:{github['ref']}"
        self.identities.append(f"repo:{self.repository}:{what}")
        return self.identities[-1]

    def _evaluate(self, text: str, contexts: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
        return _Expression(text, contexts, functions).value()

    def _text(self, value: Any, contexts: Mapping[str, Any]) -> str:
        """A value with its `${{ }}` put in; what is not there is empty."""

        def put(found: re.Match[str]) -> str:
            inner = self._evaluate(found[1], contexts, {})
            if inner is None or isinstance(inner, bool):
                return "" if inner is None else str(inner).lower()
            return str(inner)

        return re.sub(r"\$\{\{(.*?)\}\}", put, str(value))


def _functions(success: bool, failure: bool) -> dict[str, Callable[..., Any]]:
    return {
        "success": lambda: success,
        "failure": lambda: failure,
        "cancelled": lambda: False,
        "always": lambda: True,
        "fromJSON": json.loads,
    }


def _bare(text: str) -> str:
    found = re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", text, re.S)
    return found[1] if found else text


def _listed(value: Any) -> list[str]:
    return [] if value is None else [value] if isinstance(value, str) else list(value)


def _lines(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text().splitlines():
        name, equals, value = line.partition("=")
        if not equals or "<<" in name:
            raise NotUnderstoodError(f"{path.name}: {line}")
        found[name] = value
    return found
