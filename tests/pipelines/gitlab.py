"""Runs the jobs of a GitLab pipeline from its file: includes, extends, rules, needs, reports, child pipelines, id tokens.

What it does not know it refuses. Sources: GitLab, "CI/CD YAML syntax reference", "Predefined CI/CD variables", "Downstream
pipelines", "OpenID Connect (OIDC) Authentication Using ID Tokens".
"""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

import local_azure
from tests.pipelines.machine import Machine, NotUnderstoodError, only

_GLOBAL = {"include", "stages"}
_JOB = {
    *(
        "extends",
        "stage",
        "image",
        "timeout",
        "rules",
        "id_tokens",
        "variables",
        "before_script",
        "script",
        "artifacts",
    ),
    *("needs", "environment", "resource_group", "trigger"),
}
_COMPARED = re.compile(r'\s*\$(\w+)\s*([=!])=\s*(?:"([^"]*)"|\$(\w+))\s*')


@dataclass
class Ci:
    """A project on GitLab."""

    machine: Machine
    azure: local_azure.LocalAzure
    variables: dict[str, str]
    environments: dict[str, dict[str, str]]
    """The variables of each environment."""
    project: str = "contoso/obs"
    groups: list[str] = field(default_factory=list)
    """Resource groups that were entered."""
    asserted: list[str] = field(default_factory=list)
    """Jobs that an assertion was made for."""

    def run(self, file: str, commit: str, predefined: Mapping[str, str]) -> dict[str, str]:
        """Run a pipeline file at a commit; its jobs and how they ended."""
        return self._pipeline(
            self._document(yaml.safe_load(self._file(commit, file)), commit), commit, dict(predefined), ""
        )

    def _file(self, commit: str, path: str) -> str:
        command = ["git", "-C", str(self.machine.repository), "show", f"{commit}:{path}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def _document(self, document: dict[str, Any], commit: str) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for include in document.pop("include", []):
            only(include, {"local"}, "include")
            merged |= self._document(yaml.safe_load(self._file(commit, include["local"])), commit)
        return merged | document

    def _pipeline(
        self, document: dict[str, Any], commit: str, predefined: dict[str, str], above: str
    ) -> dict[str, str]:
        jobs = {
            name: _extended(name, document) for name in document if name not in _GLOBAL and not name.startswith(".")
        }
        for name, job in jobs.items():
            only(job, _JOB, name)
        taken = {name: job for name, job in jobs.items() if self._wanted(job, self.variables | predefined)}
        stages = document.get("stages", ["build", "test", "deploy"])
        done: dict[str, str] = {}
        reports: dict[str, dict[str, str]] = {}
        files: dict[str, dict[str, str]] = {}
        for name, job in sorted(taken.items(), key=lambda item: stages.index(item[1].get("stage", "test"))):
            earlier = (
                [other for other, its in taken.items() if stages.index(its["stage"]) < stages.index(job["stage"])]
                if "needs" not in job
                else job["needs"]
            )
            if any(done.get(need) != "success" for need in earlier):
                assert all(need in taken for need in earlier), "GitLab refuses a pipeline with a need that is not in it"
                done[name] = "skipped"
                continue
            if "trigger" in job:
                done[name] = self._child(job["trigger"], commit, predefined, files)
                continue
            variables = {key: value for need in earlier for key, value in reports.get(need, {}).items()}
            code, reports[name], files[name] = self._job(f"{above}{name}", job, commit, predefined | variables)
            done[name] = "failed" if code else "success"
        return done

    def _child(
        self, trigger: dict[str, Any], commit: str, predefined: dict[str, str], files: dict[str, dict[str, str]]
    ) -> str:
        only(trigger, {"include", "strategy"}, "trigger")
        assert trigger["strategy"] == "depend"
        document: dict[str, Any] = {}
        for include in trigger["include"]:
            text = (
                files[include["job"]][include["artifact"]]
                if "artifact" in include
                else self._file(commit, include["local"])
            )
            document |= self._document(yaml.safe_load(text), commit)
        ended = self._pipeline(document, commit, predefined | {"CI_PIPELINE_SOURCE": "parent_pipeline"}, "child / ")
        return "failed" if "failed" in ended.values() else "success"

    def _wanted(self, job: dict[str, Any], variables: Mapping[str, str]) -> bool:
        if "rules" not in job:
            return True
        for rule in job["rules"]:
            only(rule, {"if"}, "a rule")
            if any(all(_compare(part, variables) for part in any_.split("&&")) for any_ in rule["if"].split("||")):
                return True
        return False

    def _job(
        self, name: str, job: dict[str, Any], commit: str, predefined: Mapping[str, str]
    ) -> tuple[int, dict[str, str], dict[str, str]]:
        known = self.variables | dict(predefined)
        own = {key: _put(str(value), known) for key, value in job.get("variables", {}).items()}
        environment = _put(job["environment"], known | own) if "environment" in job else None
        if environment is not None:
            known |= self.environments[environment]
            own = {key: _put(str(value), known) for key, value in job["variables"].items()}
        if "resource_group" in job:
            self.groups.append(_put(job["resource_group"], known | own))
        branch = predefined["CI_COMMIT_REF_NAME"]
        subject = f"project_path:{self.project}:ref_type:branch:ref:{branch}"
        for variable, token in job.get("id_tokens", {}).items():
            only(token, {"aud"}, "id_tokens")
            self.asserted.append(name)
            own[variable] = self.azure.assertion(subject, issuer="https://gitlab.com", audience=token["aud"])
        workspace = self.machine.workspace()
        self.machine.checkout(workspace, commit, whole=own.get("GIT_DEPTH") == "0")
        script = "\n".join(["set -eo pipefail", *job.get("before_script", []), *job["script"]])
        built_in = {
            "GITLAB_CI": "true",
            "CI_PROJECT_URL": f"https://gitlab.com/{self.project}",
            "CI_JOB_ID": name,
            "CI_PROJECT_DIR": str(workspace),
            "TMPDIR": str(workspace.parent / "temp"),
        }
        code = self.machine.run(name, "script", script, built_in | known | own, workspace).code
        artifacts = job.get("artifacts", {})
        only(artifacts, {"paths", "reports"}, f"{name}.artifacts")
        report: dict[str, str] = {}
        if not code and "reports" in artifacts:
            only(artifacts["reports"], {"dotenv"}, f"{name}.artifacts.reports")
            lines = (workspace / artifacts["reports"]["dotenv"]).read_text().splitlines()
            report = dict(line.split("=", 1) for line in lines)
        kept = {path: (workspace / path).read_text() for path in artifacts.get("paths", []) if not code}
        return code, report, kept


def _extended(name: str, document: dict[str, Any]) -> dict[str, Any]:
    job: dict[str, Any] = document[name]
    if "extends" not in job:
        return {"stage": "test"} | job
    above = _extended(job["extends"], document)
    merged = above | job
    for key, value in job.items():
        if isinstance(value, dict) and isinstance(above.get(key), dict):
            merged[key] = above[key] | value
    return {key: value for key, value in merged.items() if key != "extends"}


def _compare(text: str, variables: Mapping[str, str]) -> bool:
    found = _COMPARED.fullmatch(text)
    if not found:
        raise NotUnderstoodError(f"rule {text!r}")
    right = found[3] if found[3] is not None else variables.get(found[4])
    return (variables.get(found[1]) == right) == (found[2] == "=")


def _put(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: known.get(found[1], ""), text)
