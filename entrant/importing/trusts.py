"""Federated credentials in the vocabulary: the preset that makes the same issuer, subject and audience, where there is one."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from entrant.config import Federated
from entrant.facts import limits

_GITHUB = re.compile(
    r"repo:(?P<owner>[^/:@]+)(@(?P<owner_id>\d+))?/(?P<name>[^/:@]+)(@(?P<repository_id>\d+))?:"
    r"((?P<pull_request>pull_request)|environment:(?P<environment>.+)|ref:refs/heads/(?P<branch>.+)|ref:refs/tags/(?P<tag>.+))"
)
_GITHUB_ISSUER = re.compile(r"https://token\.actions\.githubusercontent\.com(/(?P<enterprise>[^/]+))?")
_VSTOKEN = re.compile(r"https://vstoken\.dev\.azure\.com/(?P<organization_id>[0-9a-fA-F-]{36})")
_CONNECTION = re.compile(r"sc://(?P<organization>[^/]+)/(?P<project>[^/]+)/(?P<service_connection>[^/]+)")
_GITLAB = re.compile(r"project_path:(?P<project>[^:]+):ref_type:(?P<kind>branch|tag):ref:(?P<ref>.+)")
_KUBERNETES = re.compile(r"system:serviceaccount:(?P<namespace>[^:]+):(?P<service_account>[^:]+)")
_TERRAFORM = re.compile(
    r"organization:(?P<organization>[^:]+):project:(?P<project>[^:]+):workspace:(?P<workspace>[^:]+):run_phase:(?P<run_phase>\w+)"
)
_ESC = re.compile(r"pulumi:environments:org:(?P<organization>[^:]+):env:(?P<environment>[^:]+)")
_DEPLOYMENT = re.compile(
    r"pulumi:deploy:org:(?P<organization>[^:]+):project:(?P<project>[^:]+):stack:(?P<stack>[^:]+)"
    r":operation:(?P<operation>\w+):scope:write"
)


def entry(credential: Mapping[str, Any], cloud: str) -> dict[str, Any]:
    """A federated credential, as Graph shows it, as an entry of `federated` that is taken over."""
    issuer, subject = str(credential["issuer"]), credential.get("subject")
    claims = (credential.get("claimsMatchingExpression") or {}).get("value")
    audience = next(iter(credential.get("audiences") or ()), limits.EXCHANGE_AUDIENCES[cloud])
    form = next(_presets(issuer, subject, audience, cloud), None) if subject else None
    if form is None:
        usual = audience == limits.EXCHANGE_AUDIENCES[cloud]
        form = {
            "issuer": issuer,
            **({"subject": subject} if subject else {"claims": claims}),
            **({} if usual else {"audience": audience}),
        }
    name = credential["name"]
    derived = _read(form)
    named = {} if derived is not None and derived.key == name else {"name": name}
    description = credential.get("description")
    described = {"description": description} if description else {}
    return {**named, **form, **described, "adopt": str(credential["id"]).lower()}


def _read(form: Mapping[str, Any]) -> Federated | None:
    try:
        return Federated.model_validate(form)
    except ValidationError:
        return None


def _presets(issuer: str, subject: str, audience: str, cloud: str) -> Iterator[dict[str, Any]]:
    """The presets that mean exactly this."""
    for name, settings in _candidates(issuer, subject):
        credential = {name: {key: value for key, value in settings.items() if value is not None}}
        for form in (credential, credential | {"audience": audience}):
            read = _read(form)
            trust = read.trust(cloud) if read is not None else None
            if trust is not None and (trust.issuer, trust.subject, trust.audience) == (issuer, subject, audience):
                yield form
                break


def _candidates(issuer: str, subject: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if (at := _GITHUB_ISSUER.fullmatch(issuer)) and (found := _GITHUB.fullmatch(subject)):
        environment = found["environment"]
        yield (
            "github",
            {
                "repository": f"{found['owner']}/{found['name']}",
                "owner_id": _number(found["owner_id"]),
                "repository_id": _number(found["repository_id"]),
                "environment": environment.replace("%3A", ":") if environment else None,
                "branch": found["branch"],
                "tag": found["tag"],
                "pull_request": True if found["pull_request"] else None,
                "enterprise": at["enterprise"],
            },
        )
    if (at := _VSTOKEN.fullmatch(issuer)) and (found := _CONNECTION.fullmatch(subject)):
        yield "azure_devops", {**at.groupdict(), **found.groupdict()}
    if subject.startswith("/eid1/"):
        yield "azure_devops", {"issuer": issuer, "subject": subject}
    if found := _GITLAB.fullmatch(subject):
        url = None if issuer == "https://gitlab.com" else issuer
        yield "gitlab", {"project": found["project"], found["kind"]: found["ref"], "url": url}
    if found := _KUBERNETES.fullmatch(subject):
        yield "kubernetes", {"issuer": issuer, **found.groupdict()}
    if found := _TERRAFORM.fullmatch(subject):
        values: dict[str, Any] = found.groupdict()
        values["project"] = None if values["project"] == "Default Project" else values["project"]
        yield "hcp_terraform", values | {"url": None if issuer == "https://app.terraform.io" else issuer}
    for pattern in (_ESC, _DEPLOYMENT):
        if found := pattern.fullmatch(subject):
            yield "pulumi_cloud", found.groupdict()


def _number(text: str | None) -> int | None:
    return int(text) if text else None
