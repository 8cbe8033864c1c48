"""Runs the stages of an Azure DevOps pipeline from its file: templates expanded, then conditions, matrices, outputs, tasks.

What it does not know it refuses. Sources: Azure Pipelines, "YAML schema reference", "Expressions", "Template expressions", "Logging
commands", and what the task AzureCLI@2 sets for a script (azure-pipelines-tasks, AzureCLIV2).
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.entrant import forges
from tests.pipelines.machine import Machine, NotUnderstoodError, only

_PART = re.compile(r"\s*(?:'((?:[^']|'')*)'|([A-Za-z_]\w*)|([().,\[\]]))")
_ESCAPES = {"%AZP25": "%", "%3B": ";", "%0D": "\r", "%0A": "\n", "%5D": "]"}
_VARIABLE = re.compile(r"##vso\[task\.setvariable variable=(\w+);isOutput=true;?\](.*)")


def evaluate(text: str, contexts: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
    """An expression's value: names with `.x` and `['x']`, texts, calls."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while text[at:].strip():
        found = _PART.match(text, at)
        if not found:
            raise NotUnderstoodError(f"expression {text!r} at {at}")
        kind = ("text", "name", "sign")[(found.lastindex or 0) - 1]
        tokens.append((kind, found[found.lastindex or 0]))
        at = found.end()

    def take(sign: str) -> bool:
        if tokens and tokens[0] == ("sign", sign):
            tokens.pop(0)
            return True
        return False

    def value() -> Any:
        kind, word = tokens.pop(0)
        if kind == "text":
            return word.replace("''", "'")
        if kind != "name":
            raise NotUnderstoodError(f"expression {text!r}: {word}")
        if take("("):
            values = []
            while not take(")"):
                values.append(value())
                take(",")
            if word not in functions:
                raise NotUnderstoodError(f"function {word}")
            return functions[word](*values)
        if word not in contexts:
            raise NotUnderstoodError(f"{word} is not there in {text!r}")
        result = contexts[word]
        while True:
            if take("."):
                name = tokens.pop(0)[1]
            elif take("["):
                name = tokens.pop(0)[1]
                assert take("]")
            else:
                return result
            result = result.get(name) if isinstance(result, Mapping) else None

    result = value()
    if tokens:
        raise NotUnderstoodError(f"expression {text!r}: {tokens}")
    return result


_ALWAYS: dict[str, Callable[..., Any]] = {
    "replace": lambda text, old, new: text.replace(old, new),
    "eq": lambda left, right: str(left or "").lower() == str(right or "").lower(),
    "ne": lambda left, right: str(left or "").lower() != str(right or "").lower(),
    "and": lambda *all_: all(all_),
    "or": lambda *any_: any(any_),
    "not": lambda it: not it,
}


def expand(folder: Path, file: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A pipeline as Azure DevOps sees it at run time: templates put in, `${{ }}` evaluated."""
    document = yaml.safe_load((folder / file).read_text())
    declared = document.pop("parameters", [])
    values = dict(parameters or {})
    only(values, {parameter["name"] for parameter in declared}, f"parameters of {file}")
    values = {parameter["name"]: values.get(parameter["name"], parameter.get("default")) for parameter in declared}
    missing = [name for name, value in values.items() if value is None]
    assert not missing, f"{file} needs {missing}"
    expanded: dict[str, Any] = _expanded(document, {"parameters": values}, folder)
    return expanded


def _expanded(node: Any, contexts: dict[str, Any], folder: Path) -> Any:
    if isinstance(node, str):
        whole = re.fullmatch(r"\$\{\{(.*?)\}\}", node)
        if whole:
            return evaluate(whole[1], contexts, _ALWAYS)
        return re.sub(r"\$\{\{(.*?)\}\}", lambda found: str(evaluate(found[1], contexts, _ALWAYS)), node)
    if isinstance(node, dict):
        return {_expanded(key, contexts, folder): _expanded(value, contexts, folder) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    items: list[Any] = []
    for item in node:
        key = next(iter(item), "") if isinstance(item, dict) else ""
        each = re.fullmatch(r"\$\{\{ each (\w+) in (.*) \}\}", str(key))
        if each:
            for value in evaluate(each[2], contexts, _ALWAYS):
                items += _expanded(item[key], contexts | {each[1]: value}, folder)
        elif key == "template":
            only(item, {"template", "parameters"}, "a template")
            inner = expand(folder, item["template"], _expanded(item.get("parameters", {}), contexts, folder))
            (spliced,) = inner.values()
            items += spliced
        else:
            items.append(_expanded(item, contexts, folder))
    return items


@dataclass(frozen=True)
class Connection:
    """A service connection: its id, and the app registration behind it."""

    id: str
    client_id: str


@dataclass
class Ended:
    """A job or stage that ended: `Succeeded`, `Failed`, `Skipped`; its output variables as `step.variable`."""

    result: str
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass
class Pipelines:
    """A project on Azure DevOps."""

    machine: Machine
    pull: forges.PullRequest
    tenant: str
    variables: dict[str, str]
    """The variable group `entrant`."""
    hidden: dict[str, str]
    """Its secret ones, which a script gets only where they are mapped."""
    connections: dict[str, Connection]
    used: list[tuple[str, str]] = field(default_factory=list)
    """Job and connection of each task, in order."""
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    """Variable groups of stages."""
    entered: list[tuple[str, str]] = field(default_factory=list)
    """Stage and variable group, in order."""
    environments: list[str] = field(default_factory=list)
    """Environments that deployment jobs entered."""

    def run(
        self,
        folder: Path,
        file: str,
        commit: str,
        predefined: Mapping[str, str],
        parameters: Mapping[str, Any] | None = None,
    ) -> dict[str, Ended]:
        """Run a pipeline of `folder` at a commit; its stages, or its jobs where it has one stage only."""
        document = expand(folder, file, parameters)
        only(document, {"trigger", "schedules", "pool", "variables", "jobs", "stages"}, file)
        assert document["variables"] == [{"group": "entrant"}]
        variables = self.variables | dict(predefined)
        if "jobs" in document:
            return self._jobs("", document["jobs"], {"variables": variables}, commit)
        done: dict[str, Ended] = {}
        jobs: dict[str, dict[str, Ended]] = {}
        before: list[str] = []
        for stage in document["stages"]:
            only(
                stage,
                {"stage", "displayName", "dependsOn", "condition", "lockBehavior", "variables", "jobs"},
                stage["stage"],
            )
            depends = _listed(stage["dependsOn"]) if "dependsOn" in stage else before
            needs = {name: done[name] for name in depends}
            before = [stage["stage"]]
            contexts = {
                "variables": variables,
                "dependencies": {name: {"outputs": need.outputs} for name, need in needs.items()},
                "stageDependencies": {
                    name: {job: {"outputs": ended.outputs} for job, ended in jobs.get(name, {}).items()}
                    for name in needs
                },
            }
            name = stage["stage"]
            if not evaluate(stage.get("condition", "succeeded()"), contexts, _status(list(needs.values()))):
                done[name] = Ended("Skipped")
                continue
            own: dict[str, Any] = {}
            for item in stage.get("variables", []):
                if "group" in item:
                    self.entered.append((name, item["group"]))
                    own |= self.groups[item["group"]]
                else:
                    own[item["name"]] = self._runtime(item["value"], contexts)
            jobs[name] = self._jobs(f"{name} / ", stage["jobs"], {"variables": variables | own}, commit)
            outputs = {
                f"{job}.{key}": value for job, ended in jobs[name].items() for key, value in ended.outputs.items()
            }
            failed = any(ended.result == "Failed" for ended in jobs[name].values())
            done[name] = Ended("Failed" if failed else "Succeeded", outputs)
        return done

    def _runtime(self, text: str, contexts: Mapping[str, Any]) -> Any:
        found = re.fullmatch(r"\$\[(.*)\]", text)
        return evaluate(found[1], contexts, _ALWAYS) if found else text

    def _jobs(self, above: str, jobs: list[dict[str, Any]], contexts: dict[str, Any], commit: str) -> dict[str, Ended]:
        done: dict[str, Ended] = {}
        for job in jobs:
            keys = {
                "job",
                "deployment",
                "dependsOn",
                "condition",
                "timeoutInMinutes",
                "strategy",
                "steps",
                "environment",
            }
            name = job.get("job") or job["deployment"]
            only(job, keys, name)
            needs = {need: done[need] for need in _listed(job.get("dependsOn", []))}
            known = contexts | {"dependencies": {need: {"outputs": ended.outputs} for need, ended in needs.items()}}
            if not evaluate(job.get("condition", "succeeded()"), known, _status(list(needs.values()))):
                done[name] = Ended("Skipped")
                continue
            strategy = job.get("strategy", {})
            only(strategy, {"runOnce"} if "deployment" in job else {"matrix"}, f"{name}.strategy")
            steps = job["steps"] if "steps" in job else strategy["runOnce"]["deploy"]["steps"]
            if "environment" in job:
                self.environments.append(job["environment"])
            legs: dict[str, dict[str, str]] = {"": {}}
            if "matrix" in strategy:
                legs = json.loads(self._runtime(strategy["matrix"], known))
            ended = [
                self._steps(f"{above}{name} {leg}".strip(), steps, known["variables"] | values, commit)
                for leg, values in legs.items()
            ]
            outputs = {key: value for each in ended for key, value in each.outputs.items()}
            done[name] = Ended("Failed" if any(each.result == "Failed" for each in ended) else "Succeeded", outputs)
        return done

    def _steps(self, name: str, steps: list[dict[str, Any]], variables: Mapping[str, str], commit: str) -> Ended:
        workspace = self.machine.workspace()
        temp = workspace.parent / "temp"
        built_in = {
            "TF_BUILD": "True",
            "SYSTEM_COLLECTIONURI": f"{self.pull.url}/contoso/",
            "SYSTEM_TEAMPROJECT": "obs",
            "SYSTEM_OIDCREQUESTURI": f"{self.pull.url}/oidc",
            "BUILD_REPOSITORY_ID": "r1",
            "BUILD_REPOSITORY_NAME": "obs",
            "BUILD_BUILDID": "1",
            "SYSTEM_JOBATTEMPT": "1",
            "AGENT_TEMPDIRECTORY": str(temp),
        }
        env = built_in | {key.upper().replace(".", "_"): value for key, value in variables.items()}
        macros = {key.lower(): value for key, value in (dict(variables) | self.hidden).items()}
        macros["system.accesstoken"] = forges.TOKEN
        ended = Ended("Succeeded")
        for step in steps:
            functions = _status([ended])
            if "checkout" in step:
                only(step, {"checkout", "clean", "fetchDepth"}, f"{name}: checkout")
                self.machine.checkout(workspace, commit, whole=step.get("fetchDepth") == 0)
                continue
            only(step, {"script", "task", "name", "displayName", "condition", "inputs", "env"}, f"{name}: a step")
            if not evaluate(step.get("condition", "succeeded()"), {"variables": variables}, functions):
                continue
            own = {key: _macros(str(value), macros) for key, value in step.get("env", {}).items()}
            script = step["script"] if "script" in step else self._task(name, step, own)
            log = self.machine.run(name, step["displayName"], script, env | own, workspace, shell="+e")
            for variable, value in _VARIABLE.findall(log.text):
                for escaped, plain in _ESCAPES.items():
                    value = value.replace(escaped, plain)
                ended.outputs[f"{step['name']}.{variable}"] = value
            if log.code:
                ended.result = "Failed"
        return ended

    def _task(self, name: str, step: dict[str, Any], env: dict[str, str]) -> str:
        inputs = step["inputs"]
        if step["task"] != "AzureCLI@2":
            raise NotUnderstoodError(step["task"])
        only(inputs, {"azureSubscription", "scriptType", "scriptLocation", "inlineScript"}, step["task"])
        assert (inputs["scriptType"], inputs["scriptLocation"]) == ("bash", "inlineScript")
        connection = self.connections[inputs["azureSubscription"]]
        self.used.append((name, inputs["azureSubscription"]))
        env["AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"] = connection.id
        env["AZURESUBSCRIPTION_CLIENT_ID"] = connection.client_id
        env["AZURESUBSCRIPTION_TENANT_ID"] = self.tenant
        return str(inputs["inlineScript"])


def _status(needs: list[Ended]) -> dict[str, Callable[..., Any]]:
    failed = any(need.result == "Failed" for need in needs)
    return _ALWAYS | {
        "succeeded": lambda: all(need.result == "Succeeded" for need in needs),
        "failed": lambda: failed,
        "canceled": lambda: False,
        "succeededOrFailed": lambda: True,
    }


def _macros(text: str, known: Mapping[str, str]) -> str:
    """`$(name)` put in; a name that is not there stays as it is, as it does in Azure Pipelines."""
    return re.sub(r"\$\(([\w.]+)\)", lambda found: known.get(found[1].lower(), found[0]), text)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
