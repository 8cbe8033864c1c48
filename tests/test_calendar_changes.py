"""Changes of a secret's calendar with the real engine: the secret in use signs in until its successor's overlap is over."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

import local_azure
from local_azure import LocalAzure
from tests.conftest import Project
from tests.local_azure.conftest import Client

STACK = "calendar"
START = dt.date.today() - dt.timedelta(days=10)


@dataclass
class Stack:
    """A stack with one app, and every secret that was ever handed out to its consumers."""

    project: Project
    azure: LocalAzure
    seen: dict[str, str] = field(default_factory=dict)
    """Values of secrets by name."""

    def write(self, secret: str) -> None:
        """The environment, with what it says about the app's secret."""
        self.project.write(STACK, f"apps:\n  a: {{owners: [deployer], secret: {secret}}}\n")

    def at(self, day: int) -> None:
        """Let the program read calendars that many days after `START`."""
        file = self.project.rehearsal(STACK).stack_config
        settings = yaml.safe_load(file.read_text()) or {}
        settings.setdefault("config", {})["entrant:now"] = f"{START + dt.timedelta(days=day)}T12:00:00Z"
        file.write_text(yaml.safe_dump(settings))

    def review(self, *arguments: str) -> tuple[int, Any]:
        """The exit code of a review, and the review."""
        done = self.project.entrant("review", "-s", STACK, "--format", "json", *arguments, **self._settings())
        review = json.loads(done.stdout)
        review["credentials"] = [entry for entry in review["credentials"] if entry["change"] != "ending"]
        return done.returncode, review

    def up(self, *arguments: str) -> list[str]:
        """`pulumi up`: the names of the app's secrets, newest first."""
        done = self.project.pulumi(STACK, "up", "--yes", "--skip-preview", "-s", STACK, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        outputs = json.loads(
            self.project.pulumi(STACK, "stack", "output", "--json", "--show-secrets", "-s", STACK).stdout
        )
        names = [entry["name"].removeprefix("entrant ") for entry in outputs["identities"]["a"]["credentials"]]
        values = [outputs[name] for name in ("a_client_secret", "a_client_secret_previous") if name in outputs]
        for name, value in zip(names, values, strict=True):
            assert self.seen.setdefault(name, value) == value, "a secret keeps its value"
        self.client_id = outputs["a_client_id"]
        return names

    def signing_in(self) -> set[str]:
        """The secrets of all that were handed out that Entra ID still takes."""
        answers = {
            name: Client(self.azure, self.client_id, value).ask_token("https://graph.microsoft.com/.default")
            for name, value in self.seen.items()
        }
        assert all(answer.status_code == 200 or "AADSTS7000215" in answer.text for answer in answers.values())
        return {name for name, answer in answers.items() if answer.status_code == 200}

    def _settings(self) -> dict[str, str]:
        return self.project.rehearsal(STACK).settings(self.azure)


@pytest.fixture(scope="module")
def stack(project: Project) -> Iterator[Stack]:
    """The stack after its first `up`, ten days into a calendar of 90 days."""
    rehearsed = Stack(project, None)  # type: ignore[arg-type]
    rehearsed.write("false")
    done = project.entrant("rehearse", STACK, "--propagation", "0")
    assert done.returncode == 0, done.stderr
    yield Stack(project, local_azure.start(project.rehearsal(STACK).azure))


def day(number: int) -> str:
    """The date that many days after `START`, as secrets are named."""
    return str(START + dt.timedelta(days=number))


def test_a_series_of_changes(stack: Stack) -> None:
    """Of every change: what the review says, which secrets there are, and which sign in."""
    calendar = f"{{every: 90d, overlap: 7d, starts: {START}}}"
    stack.write(calendar)
    stack.at(10)
    first, shorter, second = day(0), day(30), f"{day(35)}-g2"
    assert stack.up() == [first]

    stack.write(calendar.replace("7d", "14d"))
    code, review = stack.review()
    assert (code, review["breaks"], review["credentials"]) == (0, [], []), "a longer overlap leaves the secret alone"
    assert stack.up() == [first]

    stack.write(calendar.replace("90d", "30d"))
    stack.at(40)
    _, review = stack.review("--only", "secrets")
    [created] = review["credentials"]
    assert (created["change"], created["name"], review["breaks"]) == ("created", shorter, [])
    assert created["detail"] == f"out of turn, beside {first}, which works until the first `up` from {day(47)} on"
    assert stack.up() == [shorter, first]
    assert stack.signing_in() == {first, shorter}

    moved = calendar.replace("90d", "30d").replace(str(START), day(5))
    stack.write(moved)
    stack.at(41)
    assert stack.up() == [shorter, first], "no slot has started since the newest was issued"

    stack.write(moved.replace("7d", "7d, generation: 2"))
    _, review = stack.review()
    assert [(entry["change"], entry["name"]) for entry in review["credentials"]] == [
        ("removed", first),
        ("created", second),
    ]
    [broken] = review["breaks"]
    assert broken["text"] == (
        f"its client secret {first} is taken away before its overlap ends on {day(47)}: who still uses it cannot sign in"
    )
    assert stack.up() == [second, shorter]
    assert stack.up("--expect-no-changes") == [second, shorter]
    assert stack.signing_in() == {shorter, second}, "a third secret at once: the oldest goes"

    stack.at(49)
    code, review = stack.review("--only", "secrets")
    assert code == 0, "the daily `up` may take away a secret whose overlap is over"
    [gone] = review["credentials"]
    assert (gone["change"], gone["detail"], gone["routine"]) == ("removed", "its overlap is over", True)
    assert review["breaks"] == []
    assert stack.up() == [second]
    assert stack.signing_in() == {second}


def test_a_secret_that_is_no_longer_wanted_goes_loudly(stack: Stack) -> None:
    """`secret: false` takes the secret in use away at once, which the review says; asked for again, another one is made."""
    stack.write(f"{{every: 90d, starts: {START}}}")
    stack.at(50)
    [before] = stack.up()
    stack.write("false")
    _, review = stack.review()
    [broken] = review["breaks"]
    assert broken["text"].startswith(f"its client secret {before} is taken away before it ends on ")
    assert stack.up() == []
    assert stack.signing_in() == set()
    stack.seen.clear()
    stack.write(f"{{every: 90d, starts: {START}}}")
    [again] = stack.up()
    assert stack.signing_in() == {again}


def test_a_review_says_when_the_next_one_is_made_as_the_outputs_do(stack: Stack) -> None:
    """Of a secret and an issued certificate that end soon, with the calendar that the file has from now on."""

    def write(calendar: str) -> None:
        app = f"{{owners: [deployer], secret: {calendar}, certificates: {{signing: {calendar}}}}}"
        stack.project.write(STACK, f"apps:\n  b: {app}\n")

    def dates() -> dict[str, str]:
        done = stack.project.pulumi(STACK, "up", "--yes", "--skip-preview", "-s", STACK)
        assert done.returncode == 0, done.stdout + done.stderr
        outputs = json.loads(stack.project.pulumi(STACK, "stack", "output", "--json", "-s", STACK).stdout)
        entries = outputs["identities"]["b"]["credentials"]
        assert len(entries) == 2, "no change makes another one today"
        return {entry["kind"]: entry["successor_starts"].removesuffix("T00:00:00Z") for entry in entries}

    stack.at(100)
    write(f"{{every: 30d, overlap: 7d, starts: {day(92)}}}")
    assert dates() == dict.fromkeys(("secret", "certificate"), day(122))
    for calendar, following in (
        (f"every: 10d, overlap: 0h, starts: {day(92)}", day(102)),
        (f"every: 60d, overlap: 7d, starts: {day(92)}", day(122)),
        (f"every: 60d, overlap: 14d, starts: {day(92)}", day(115)),
        (f"every: 12h, overlap: 1h, starts: {day(92)}", day(101)),
        (f"every: 30d, overlap: 7d, starts: {day(99)}", day(122)),
    ):
        write(f"{{{calendar}}}")
        done = stack.project.entrant("review", "-s", STACK, "--format", "json", **stack._settings())
        ending = {each["kind"]: each["detail"] for each in json.loads(done.stdout)["credentials"]}
        made = dates()
        assert ending == {kind: f"an `up` from {date} on makes the next one" for kind, date in made.items()}, calendar
        assert set(made.values()) == {following}, calendar
