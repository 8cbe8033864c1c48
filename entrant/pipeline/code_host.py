"""The forge whose pipeline runs this, GitHub, GitLab or Azure DevOps, and a stack's one comment on its pull request.

The forge is found from the variables of its pipelines. A comment is known by the hidden marker on its first line, such as
`<!-- entrant-review stack=dev … -->`, and by its author: only one that the token's own identity wrote is ever changed, since
anybody can write a marker.

| forge | found by | token |
|---|---|---|
| GitHub | `GITHUB_ACTIONS` | `GITHUB_TOKEN` with `pull-requests: write` |
| GitLab | `GITLAB_CI` | `GITLAB_TOKEN` with the scope `api` (a job token may not write notes) |
| Azure DevOps | `TF_BUILD` | `SYSTEM_ACCESSTOKEN` of an identity that may contribute to pull requests |

Sources: GitHub, "Default environment variables", GraphQL `Comment.viewerDidAuthor`, REST "Issue comments"; GitLab, "Predefined
CI/CD variables" and "Notes API"; Azure DevOps REST API 7.1, "Pull Request Threads" and "Pull Request Thread Comments".
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from entrant.errors import ConfigurationError, RefusedError
from entrant.markdown import read_marker

_PAGE = 100
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment of a pull request: its id in the forge's own form, whether this token wrote it, and its text."""

    id: str
    own: bool
    text: str


def pipeline(environ: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """The pipeline that runs this and its run, as texts that tell it from any other; None outside of one.

    >>> pipeline({"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "contoso/obs",
    ...           "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1"})
    ('https://github.com/contoso/obs', 'run 7/1')
    """
    if environ.get("GITHUB_ACTIONS"):
        where = f"{environ.get('GITHUB_SERVER_URL')}/{environ.get('GITHUB_REPOSITORY')}"
        return where, f"run {environ.get('GITHUB_RUN_ID')}/{environ.get('GITHUB_RUN_ATTEMPT')}"
    if environ.get("GITLAB_CI"):
        return str(environ.get("CI_PROJECT_URL")), f"job {environ.get('CI_JOB_ID')}"
    if environ.get("TF_BUILD"):
        names = ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "BUILD_REPOSITORY_NAME")
        where = "/".join(environ.get(name, "").strip("/") for name in names)
        return where, f"build {environ.get('BUILD_BUILDID')}/{environ.get('SYSTEM_JOBATTEMPT')}"
    return None


def find(environ: Mapping[str, str] = os.environ) -> "Forge":
    """The pull request that a pipeline's job is about.

    Raises:
        ConfigurationError: no pipeline of a known forge, no pull request, or no token.
    """
    for forge in (GitHub, GitLab, AzureDevOps):
        if environ.get(forge.sign):
            return forge(environ)
    raise ConfigurationError(
        "this is no pipeline of GitHub, GitLab or Azure DevOps",
        next_step=f"none of {', '.join(forge.sign for forge in (GitHub, GitLab, AzureDevOps))} is set",
    )


class Forge(ABC):
    """A pull request on a forge, and what can be done with its comments."""

    sign: ClassVar[str]
    """The variable that only this forge's pipelines set."""
    longest: ClassVar[int]
    """Characters that a comment may have."""
    permission: ClassVar[str]
    """What the token needs."""
    where: str
    """The pull request, for people."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @abstractmethod
    def comments(self) -> Iterator[Comment]:
        """Every comment, page by page."""

    @abstractmethod
    def create(self, text: str) -> None:
        """Write a new comment."""

    @abstractmethod
    def update(self, comment: Comment, text: str) -> None:
        """Change the text of one."""

    def put(self, text: str) -> str:
        """Make `text` the one comment with its marker: `created`, `updated` or `unchanged`.

        Raises:
            ConfigurationError: it has no marker, or is too long.
            RefusedError, UnreachableError: the forge refused, or did not answer.
        """
        known = read_marker(text)
        if known is None:
            raise ConfigurationError("the first line is no marker, such as `<!-- entrant-review stack=dev -->`")
        if len(text) > self.longest:
            raise ConfigurationError(
                f"the comment has {len(text):,} characters, and {self.where} takes {self.longest:,}",
                next_step="give `review` a --summary file for what does not fit",
            )
        for tries in range(1, _TRIES + 1):
            try:
                mine = next(
                    (found for found in self.comments() if found.own and read_marker(found.text) == known), None
                )
                if mine is None:
                    self.create(text)
                    return "created"
                if mine.text.strip() == text.strip():
                    return "unchanged"
                self.update(mine, text)
                return "updated"
            except RefusedError as error:
                # After a 5xx nobody knows whether the comment is there: look again before it is written again.
                if error.status < 500 or tries == _TRIES:
                    raise self._explained(error) from None
        raise AssertionError("the last try returns or raises")

    def _explained(self, error: RefusedError) -> RefusedError:
        steps = {
            401: f"the token is not valid here; it needs {self.permission}",
            403: f"give the token {self.permission}",
            404: f"it is not there, or the token may not see it: it needs {self.permission}",
            429: "too many requests; run it again later",
        }
        return RefusedError(f"{self.where}: {error}", status=error.status, next_step=steps.get(error.status))

    def _get(self, name: str, why: str) -> str:
        value = self._environ.get(name)
        if not value:
            raise ConfigurationError(f"{name} is not set", next_step=why)
        return value


def _call(method: str, url: str, token: str, **options: Any) -> dict[str, Any]:
    from entrant import http

    return http.call(method, url, token=token, **options)


class GitHub(Forge):
    """A pull request on GitHub."""

    sign = "GITHUB_ACTIONS"
    longest = 65_536
    permission = "`permissions: pull-requests: write`"
    _COMMENTS = """\
query($owner: String!, $name: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      comments(first: 100, after: $after) {
        nodes { databaseId body viewerDidAuthor }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}"""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self._token = self._get("GITHUB_TOKEN", "map it in the step: `env: GITHUB_TOKEN: ${{ github.token }}`")
        self._repository = self._get("GITHUB_REPOSITORY", "GitHub Actions sets it")
        self._api = environ.get("GITHUB_API_URL") or "https://api.github.com"
        self._graphql = environ.get("GITHUB_GRAPHQL_URL") or "https://api.github.com/graphql"
        self._number = self._pull_request()
        self.where = f"GitHub {self._repository}#{self._number}"

    def _pull_request(self) -> int:
        path = self._get("GITHUB_EVENT_PATH", "GitHub Actions sets it")
        try:
            event = json.loads(Path(path).read_text("utf-8"))
            return int(event["pull_request"]["number"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigurationError(
                "this run is about no pull request", next_step="comment in a workflow with `on: pull_request`"
            ) from None

    def comments(self) -> Iterator[Comment]:
        owner, _, name = self._repository.partition("/")
        variables: dict[str, Any] = {"owner": owner, "name": name, "number": self._number, "after": None}
        while True:
            body = {"query": self._COMMENTS, "variables": variables}
            answer = _call("POST", self._graphql, self._token, json=body, repeat=True)
            try:
                found = answer["data"]["repository"]["pullRequest"]["comments"]
            except (KeyError, TypeError):
                message = "; ".join(str(error.get("message")) for error in answer.get("errors", ())) or "no such thing"
                raise RefusedError(f"POST {self._graphql}: {message}", status=404) from None
            for node in found["nodes"]:
                yield Comment(str(node["databaseId"]), bool(node["viewerDidAuthor"]), node["body"])
            if not found["pageInfo"]["hasNextPage"]:
                return
            variables["after"] = found["pageInfo"]["endCursor"]

    def create(self, text: str) -> None:
        url = f"{self._api}/repos/{self._repository}/issues/{self._number}/comments"
        _call("POST", url, self._token, json={"body": text})

    def update(self, comment: Comment, text: str) -> None:
        url = f"{self._api}/repos/{self._repository}/issues/comments/{comment.id}"
        _call("PATCH", url, self._token, json={"body": text}, repeat=True)


class GitLab(Forge):
    """A merge request on GitLab."""

    sign = "GITLAB_CI"
    longest = 1_000_000
    permission = "the scope `api` and at least the role Reporter; a job token may not write notes"

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self._token = self._get(
            "GITLAB_TOKEN", "give the project an access token with the scope `api` as this variable"
        )
        self._api = self._get("CI_API_V4_URL", "GitLab sets it")
        request = self._get("CI_MERGE_REQUEST_IID", "run this in a merge request pipeline")
        project = environ.get("CI_MERGE_REQUEST_PROJECT_ID") or self._get("CI_PROJECT_ID", "GitLab sets it")
        self._notes = f"{self._api}/projects/{project}/merge_requests/{request}/notes"
        self.where = f"GitLab {environ.get('CI_MERGE_REQUEST_PROJECT_PATH', project)}!{request}"

    def comments(self) -> Iterator[Comment]:
        me = _call("GET", f"{self._api}/user", self._token)["id"]
        page = 1
        while True:
            params = {"per_page": str(_PAGE), "page": str(page), "sort": "asc", "order_by": "created_at"}
            notes = _call("GET", self._notes, self._token, params=params)["value"]
            for note in notes:
                own = note["author"]["id"] == me and not note.get("system")
                yield Comment(str(note["id"]), own, note["body"])
            if len(notes) < _PAGE:
                return
            page += 1

    def create(self, text: str) -> None:
        _call("POST", self._notes, self._token, json={"body": text})

    def update(self, comment: Comment, text: str) -> None:
        _call("PUT", f"{self._notes}/{comment.id}", self._token, json={"body": text})


class AzureDevOps(Forge):
    """A pull request of Azure Repos."""

    sign = "TF_BUILD"
    longest = 150_000
    permission = "*Contribute to pull requests* on the repository, for the build service"
    _VERSION: ClassVar[dict[str, str]] = {"api-version": "7.1"}

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        mapped = "map it in the step: `env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)`"
        self._token = self._get("SYSTEM_ACCESSTOKEN", mapped)
        self._collection = self._get("SYSTEM_COLLECTIONURI", "Azure Pipelines sets it").rstrip("/")
        project = self._get("SYSTEM_TEAMPROJECT", "Azure Pipelines sets it")
        repository = self._get("BUILD_REPOSITORY_ID", "Azure Pipelines sets it")
        request = self._get("SYSTEM_PULLREQUEST_PULLREQUESTID", "run this as a build validation of a pull request")
        base = f"{self._collection}/{project}/_apis/git/repositories/{repository}/pullRequests/{request}"
        self._threads = f"{base}/threads"
        self.where = f"Azure DevOps {project} !{request}"

    def _ask(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        headers = {"X-TFS-FedAuthRedirect": "Suppress"}  # without it a refusal is a redirect to a sign-in page
        options = {"params": self._VERSION} | options
        return _call(method, url, self._token, headers=headers, **options)

    def comments(self) -> Iterator[Comment]:
        who = self._ask("GET", f"{self._collection}/_apis/connectionData", params={"api-version": "7.1-preview"})
        me = who["authenticatedUser"]["id"]
        for thread in self._ask("GET", self._threads)["value"]:
            for comment in thread.get("comments", ()):
                if not comment.get("isDeleted"):
                    own = comment.get("author", {}).get("id") == me
                    yield Comment(f"{thread['id']}/comments/{comment['id']}", own, comment.get("content") or "")

    def create(self, text: str) -> None:
        comment = {"parentCommentId": 0, "content": text, "commentType": "text"}
        # Closed: an open thread would hold the pull request up where its policy wants every comment resolved.
        self._ask("POST", self._threads, json={"comments": [comment], "status": "closed"})

    def update(self, comment: Comment, text: str) -> None:
        self._ask("PATCH", f"{self._threads}/{comment.id}", json={"content": text}, repeat=True)


def post(stack: str, text: str, environ: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """Make `text` the comment of a stack on this pipeline's pull request; what was done, and where.

    Raises:
        EntrantError: see `find` and `Forge.put`; or the text is another stack's.
    """
    known = read_marker(text)
    if known is None or known[1] != stack:
        found = f"is the comment of {known[1]}, not of {stack}" if known else "has no marker on its first line"
        raise ConfigurationError(f"the text {found}", next_step=f"write it with `review -s {stack} --format markdown`")
    forge = find(environ)
    return forge.put(text), forge.where
