"""Reviews of certificates that are issued here: what comes, what goes, and what is their calendar's routine."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from entrant import changes, config
from entrant.drift import manual_changes
from entrant.review import page, reviewer
from entrant.review.document import Review
from entrant.review.reviewer import Base
from tests.entrant.test_review_commits import APPLICATION, NOW, PASSWORD, SAME, Compare, compare, step

__all__ = ("compare",)
CERTIFICATE = "azuread:index/applicationCertificate:ApplicationCertificate"
STACK = "pulumi:pulumi:Stack"
OLD = {"endDate": "2026-12-20T00:00:00Z"}
NEW = {"endDate": "2027-03-20T00:00:00Z"}
FILE = """\
apps:
  log-reader:
    display_name: Log reader
    owners: [deployer]
    certificates:
      signing: {every: 90d, overlap: 30d%s}
"""
BARE = "apps:\n  log-reader:\n    display_name: Log reader\n    owners: [deployer]\n"


def certificate(
    operation: str, slot: str, old: dict[str, Any] | None, new: dict[str, Any] | None, key: str = "signing"
) -> Any:
    """An event about a certificate of a calendar."""
    return step(operation, CERTIFICATE, f"log-reader/{key}/{slot}", old, new)


def outputs(**kept_until: str) -> Any:
    """An event about the stack, whose outputs say until when certificates stay."""
    entries = [
        {
            "kind": "certificate",
            "calendar": "signing",
            "name": name.replace("_", "-"),
            "kept_until": kept,
            "starts": "2025-12-01T00:00:00Z",
            "ends": (OLD if name.endswith("old") else NEW)["endDate"],
        }
        for name, kept in kept_until.items()
    ]
    event = step("same", STACK, "entrant-dev", {}, {})
    exported = {"identities": {"log-reader": {"credentials": entries, "deliver": ["exec old"]}}}
    for side in ("old", "new"):
        event["resourcePreEvent"]["metadata"][side]["outputs"] = exported
    return event


def reviewed(tmp_path: Path, *steps: Any, more: str = "") -> Review:
    """The review of a preview of the file."""
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config" / "dev.yaml").write_text(FILE % more)
    report = config.check("dev", root=tmp_path)
    assert report.environment is not None, report.problems
    return reviewer.of_preview("dev", changes.read([SAME, *steps]), report, now=NOW)


def lines(made: Review) -> list[tuple[str, str, str, bool]]:
    """Of each credential: what becomes of it, its name, the detail, and whether it is routine."""
    return [(entry.change, entry.name, entry.detail, entry.routine) for entry in made.credentials]


def test_the_files_tell_of_a_calendar_and_its_places(compare: Compare) -> None:
    deliver = ", deliver: [{github: {repository: contoso/obs, name: SIGNING}}, {exec: {command: [put]}}]"
    made = compare(BARE, FILE % deliver)
    rule = "issued here, a new one every 90 days, the one before valid 30 days more"
    assert lines(made) == [("created", "signing", rule, False)]
    assert [(entry.path, entry.new) for entry in made.settings] == [
        ("certificates.signing.deliver[exec put]", "a place that it is delivered to"),
        ("certificates.signing.deliver[github contoso/obs SIGNING]", "a place that it is delivered to"),
    ]
    assert "**log-reader** gets a certificate `signing`: issued here" in page.markdown(made).complete()
    [change] = compare(FILE % "", (FILE % "").replace("90d", "60d")).credentials
    assert (change.change, change.detail) == (
        "changed",
        f"{rule.replace('90', '60')}; was {rule}",
    )
    assert [entry.text for entry in compare(FILE % "", BARE).breaks] == [
        "its certificate signing is taken away: who still uses it cannot sign in"
    ]


def test_of_two_calendars_of_one_rule_neither_is_a_new_name_of_the_other(compare: Compare) -> None:
    made = compare(FILE % "", (FILE % "").replace("signing", "other"))
    assert [(entry.change, entry.name) for entry in made.credentials] == [("created", "other"), ("removed", "signing")]
    assert len(made.breaks) == 1


def test_what_the_calendar_makes_and_takes_away_is_routine(tmp_path: Path) -> None:
    beside = [outputs(signing_old=OLD["endDate"]), certificate("same", "old", OLD, OLD)]
    made = reviewed(tmp_path, *beside, certificate("create", "new", None, NEW))
    assert lines(made)[0] == (
        "created",
        "signing-new",
        "rotated by its calendar; signing-old works until 2026-12-20",
        True,
    )
    assert "**log-reader** gets a certificate `signing-new`, until 2027-03-20" in page.markdown(made).complete()
    assert made.breaks == ()
    served = outputs(signing_old="2026-11-20T00:00:00Z")
    made = reviewed(tmp_path, served, certificate("delete", "old", OLD, None), certificate("same", "new", NEW, NEW))
    assert lines(made) == [("removed", "signing-old", "its overlap is over", True)]
    assert made.breaks == ()


def test_one_beside_it_out_of_turn_is_not(tmp_path: Path) -> None:
    live = {"endDate": "2027-02-01T00:00:00Z"}
    made = reviewed(tmp_path, certificate("same", "old", live, live), certificate("create", "new", None, NEW))
    detail = "out of turn, beside signing-old, which works until the first `up` from 2026-12-24 on"
    assert lines(made) == [("created", "signing-new", detail, False)]


def test_the_first_of_a_calendar_is_no_routine_whatever_other_calendars_have(tmp_path: Path) -> None:
    other = certificate("same", "old", OLD, OLD, key="other")
    secret = {"displayName": "entrant 2026-11-01", "endDate": OLD["endDate"]}
    made = reviewed(
        tmp_path, other, step("same", PASSWORD, "s", secret, secret), certificate("create", "new", None, NEW)
    )
    assert ("created", "signing-new", "", False) in lines(made)


def test_one_that_is_taken_away_before_its_time_breaks_who_uses_it(tmp_path: Path) -> None:
    kept = outputs(signing_old="2026-12-10T00:00:00Z")
    made = reviewed(tmp_path, kept, certificate("delete", "old", OLD, None))
    assert [entry.text for entry in made.breaks] == [
        "its certificate signing-old is taken away before its overlap ends on 2026-12-10: who still uses it cannot sign in"
    ]


def test_one_that_nobody_has_the_key_of_is_replaced(tmp_path: Path) -> None:
    made = reviewed(tmp_path, certificate("replace", "new", NEW, NEW))
    assert lines(made) == [("replaced", "signing-new", "a new key; the one before is taken away", False)]


def test_one_that_ends_soon_is_told_with_the_day_of_the_next(tmp_path: Path) -> None:
    made = reviewed(tmp_path, certificate("same", "old", OLD, OLD))
    assert lines(made) == [("ending", "signing-old", "an `up` from 2026-11-20 on makes the next one", False)]


def test_one_that_comes_with_this_up_is_not_said_to_be_there(tmp_path: Path) -> None:
    made = reviewed(tmp_path, certificate("same", "old", OLD, OLD), certificate("create", "new", None, NEW))
    [ending] = [line for line in lines(made) if line[0] == "ending"]
    assert ending[1:3] == ("signing-old", "signing-new is made to take its place")
    made = reviewed(tmp_path, certificate("same", "old", OLD, OLD), certificate("same", "new", NEW, NEW))
    [ending] = [line for line in lines(made) if line[0] == "ending"]
    assert ending[1:3] == ("signing-old", "signing-new is there already")
    succeeded = outputs(signing_new="2026-11-28T00:00:00Z")
    made = reviewed(tmp_path, succeeded, certificate("same", "old", OLD, OLD), certificate("same", "new", NEW, NEW))
    [ending] = [line for line in lines(made) if line[:2] == ("ending", "signing-old")]
    assert ending[2].startswith("an `up` from "), "what ends later, and has a successor, is none itself"


def test_a_program_that_tells_what_it_holds_is_a_place_in_words(tmp_path: Path) -> None:
    made = reviewed(tmp_path, more=", deliver: [{exec: {command: [put], holds: [ask]}}]")
    assert [(entry.path, entry.new) for entry in made.settings] == [
        ("certificates.signing.deliver[exec put]", "a place that it is delivered to, and tells by ask what it holds")
    ]


def test_places_that_come_and_go_are_told(tmp_path: Path) -> None:
    made = reviewed(tmp_path, outputs(signing_old=OLD["endDate"]), more=", deliver: [{exec: {command: [new]}}]")
    place = "a place that it is delivered to"
    assert [(entry.path, entry.old, entry.new) for entry in made.settings] == [
        ("certificates.signing.deliver[exec new]", None, place),
        ("deliver[exec old]", place, None),
    ]


KEPT = certificate("same", "old", OLD, OLD)
VAULT = step("update", "azure-native:keyvault:Secret", "log-reader/key-vault-kv-signing", {}, {})


def test_a_new_version_in_a_vault_is_told_with_the_place_it_is_in(tmp_path: Path) -> None:
    old, new = ({"tags": {"key_id": key_id}} for key_id in ("1", "2"))
    event = step("update", "azure-native:keyvault:Secret", "log-reader/key-vault-kv-signing", old, new)
    event["resourcePreEvent"]["metadata"]["detailedDiff"] = {"tags.key_id": {"diffKind": "update"}}
    made = reviewed(tmp_path, outputs(), event)
    assert [(entry.app, entry.path) for entry in made.settings if "tags" in entry.path] == [
        ("log-reader", "deliver[key-vault-kv-signing].tags.key_id")
    ]


@pytest.mark.parametrize(
    "steps",
    [
        [KEPT, certificate("create", "new", None, NEW)],
        [KEPT, certificate("create", "new", None, NEW), VAULT],
        [KEPT, certificate("delete", "older", {"endDate": "2026-11-01T00:00:00Z"}, None)],
        [outputs(signing_older="2026-11-01T00:00:00Z"), KEPT, certificate("delete", "older", NEW, None)],
        pytest.param([outputs(), certificate("replace", "new", NEW, NEW)], id="nobody has its key"),
    ],
)
def test_what_a_calendar_asks_for_is_rotation(steps: list[Any]) -> None:
    assert reviewer.besides_rotation(changes.read([SAME, *steps]), NOW) == []


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([certificate("create", "new", None, NEW)], id="the first of its calendar"),
        pytest.param([KEPT, certificate("create", "new", None, NEW, key="other")], id="the first of another calendar"),
        pytest.param([certificate("create", "new", None, NEW), VAULT], id="a vault of an app that had none"),
        pytest.param([KEPT, certificate("delete", "older", NEW, None)], id="one that is in use"),
        pytest.param(
            [outputs(signing_old="2026-12-20T00:00:00Z"), certificate("replace", "old", OLD, OLD)],
            id="one that was handed out",
        ),
        pytest.param(
            [KEPT, step("create", CERTIFICATE, "log-reader/mine", None, NEW)], id="one whose key the app holds"
        ),
        pytest.param([KEPT, step("update", APPLICATION, "other", {}, {"notes": "x"})], id="a setting"),
    ],
)
def test_anything_else_is_not(steps: list[Any]) -> None:
    assert reviewer.besides_rotation(changes.read([SAME, *steps]), NOW) != []


def test_one_may_go_by_the_name_that_the_outputs_have_for_it() -> None:
    reading = changes.read([SAME, KEPT, certificate("delete", "older", NEW, None)])
    assert reviewer.besides_rotation(reading, NOW, {("log-reader", "signing-older")}) == []
    assert reviewer.besides_rotation(reading, NOW, {("log-reader", "older")}) != []


def test_the_base_tells_what_is_pending(tmp_path: Path) -> None:
    """A certificate of the calendar is no change of the file, which has names for calendars alone."""
    made = reviewed(tmp_path, KEPT)
    environment = config.check("dev", root=tmp_path).environment
    base = Base("main", environment)
    report = config.check("dev", root=tmp_path)
    steps = changes.read([SAME, KEPT, certificate("create", "new", None, NEW)])
    again = reviewer.of_preview("dev", steps, report, now=dt.datetime(2026, 12, 1, tzinfo=dt.UTC), base=base)
    assert [entry.change for entry in again.credentials] == ["created", "ending"]
    assert [entry.change for entry in made.credentials] == ["ending"]


def test_one_that_has_ended_and_is_gone_is_missed_by_nobody() -> None:
    gone = certificate("refresh", "old", OLD, None)["resourcePreEvent"]
    found = changes.read([{"resOutputsEvent": gone}]).found
    [missed] = manual_changes.tell("dev", found, (), {}, NOW)
    assert missed.state == "gone"
    assert manual_changes.tell("dev", found, (), {}, dt.datetime.fromisoformat(OLD["endDate"])) == []
