"""The grants of a rehearsed environment, tried until they work."""

import dataclasses
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import local_azure
from entrant import outputs
from entrant.access import from_outside, monitor, trials
from entrant.errors import AuthenticationError, EntrantError, NotReadyError
from entrant.explain import explain
from entrant.facts.clouds import Cloud
from entrant.facts.scopes import Scope, parse_scope
from entrant.progress import Steps
from entrant.rehearsal.place import Rehearsal, write_private
from entrant.tokens import clouds, credentials
from entrant.words import counted

QUERY = "Heartbeat | take 5"


REQUESTS = "requests | take 5"


METRIC = "rehearsals"


_LOCATION = "westeurope"


@dataclass(frozen=True)
class Tried:
    """A trial that worked, after how many tries, and what came of it in words."""

    trial: trials.Trial
    tries: int
    evidence: str


def until_it_works(trial: trials.Trial, until: float, tell: Callable[[str], None]) -> Tried:
    """Try until the call is answered, or until this moment of the monotonic clock; new access takes its time.

    Raises:
        NotReadyError: it is still refused, or the app gets no token and never will.
    """
    assert trial.attempt is not None, "whatever is tried here can be tried as the app"
    tries = 0
    while True:
        tries += 1
        try:
            return Tried(trial, tries, trial.attempt())
        except EntrantError as error:
            if gets_no_token(error) or time.monotonic() > until:
                message = f"{trial.app.name} {trial.target}: still refused: {error}"
                raise NotReadyError(message, next_step=error.next_step) from error
            tell(f"not yet ({error.code or 'refused'})")
            time.sleep(0.5)


def gets_no_token(error: BaseException | None) -> bool:
    """Whether an app was refused a token for what waiting cannot change, such as a disabled service principal."""
    known = explain(error.code or "") if isinstance(error, AuthenticationError) else ()
    return any(found.retry == "no" for found in known)


def all_that_work(
    apps: Iterable[outputs.App],
    trials_of_app: Callable[[outputs.App], Iterator[trials.Trial]],
    until: float,
    steps: Steps,
) -> list[Tried]:
    """Try what each app may do until it works; what does not keeps nobody from trying the rest.

    Raises:
        NotReadyError: what is refused, of all apps.
    """
    results: list[Tried] = []
    refused: list[NotReadyError] = []
    for app in apps:
        left = list(trials_of_app(app))
        while left:
            trial = left.pop(0)
            try:
                with steps.step(f"{app.name} {trial.target}") as step:
                    tried = until_it_works(trial, until, step.update)
                    step.note = tried.evidence + (f" after {tried.tries} tries" if tried.tries > 1 else "")
                    results.append(tried)
            except NotReadyError as error:
                refused.append(error)
                if left and gets_no_token(error.__cause__):
                    targets = ", ".join(each.target for each in left)
                    steps.out.print(f"  {app.name} gets no token; not tried: {targets}", markup=False)
                    break
    if refused:
        raise NotReadyError("; ".join(map(str, refused)), next_step=refused[0].next_step)
    return results


def with_assertion(rehearsal: Rehearsal, azure: local_azure.LocalAzure, app: outputs.App) -> outputs.App:
    """An app without secret or certificate, with an assertion of a federated credential's issuer: the local Azure is that too."""
    if trials.can_be(app):
        return app
    for credential in app.credentials:
        if credential["kind"] == "federated" and credential.get("issuer") and credential.get("subject"):
            file = rehearsal.folder / f"{app.name}.assertion"
            write_private(file, azure.assertion(credential["subject"], issuer=credential["issuer"]))
            return dataclasses.replace(app, assertion=str(file))
    return app


def trials_of(app: outputs.App, cloud: Cloud, rows: dict[str, int]) -> Iterator[trials.Trial]:
    """What can be tried with an app's roles: a query of each workspace and component it may read, a metric of each resource.

    A query that is answered notes in `rows` how many rows its scope gave.
    """

    def token(audience: str) -> str:
        # A fresh client each time: MSAL repeats a refusal for a minute.
        credential = credentials.Credential(app, cloud, environ={})
        return credentials.fetch(credential, app, clouds.scope(cloud, audience)).access_token

    def query(scope: Scope) -> str:
        rows[scope.id] = len(monitor.query_logs(cloud, token("logs"), scope.id, QUERY).rows)
        return counted(rows[scope.id], "row")

    def read(scope: Scope) -> str:
        known = monitor.application_id(cloud, token("arm"), scope.id)
        rows[scope.id] = len(monitor.query_insights(cloud, token("insights"), known, REQUESTS).rows)
        return counted(rows[scope.id], "row")

    def send(scope: Scope) -> str:
        monitor.send_metrics(cloud, token("metrics"), scope.id, [monitor.metric(METRIC, 1)], region=_LOCATION)
        return "metric accepted"

    kinds = {"query": ("query", "queries", query), "insights": ("query", "queries", read)}
    kinds["metric"] = ("metric", "reports on", send)
    for grant in app.grants:
        scope = parse_scope(grant.scope)
        for use in trials.uses(grant):
            layer, verb, attempt = kinds[use]
            yield trials.Trial(
                app,
                layer,
                f"{verb} {scope.name}",
                partial(attempt, scope),
                from_outside.assignment(app, grant),
                grant=grant,
            )


def summary(app: outputs.App, results: list[Tried], rows: Mapping[str, int]) -> dict[str, Any]:
    """What `--json` says of an app."""
    mine = [
        (parse_scope(tried.trial.grant.scope).id, tried)
        for tried in results
        if tried.trial.app.name == app.name and tried.trial.grant
    ]
    return {
        "client_id": app.client_id,
        "secret": app.secret is not None,
        "certificates": sorted(app.issued),
        "grants": [{"role": grant.role, "scope": grant.scope} for grant in app.grants],
        "queries": [
            {"scope": scope, "rows": rows[scope], "tries": tried.tries}
            for scope, tried in mine
            if tried.trial.layer == "query"
        ],
        "metrics": [
            {"scope": scope, "status": "accepted", "tries": tried.tries}
            for scope, tried in mine
            if tried.trial.layer == "metric"
        ],
    }
