"""What ends soon, and what of it anybody has to do something about."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import entrant
from entrant import ci, outputs
from entrant.cli import cli
from entrant.drift import expiry
from tests.entrant.test_outputs import SECRET, stack_outputs

DAY = timedelta(days=1)
ENDS = datetime(2027, 1, 3, tzinfo=UTC)
SUCCESSOR = datetime(2026, 12, 27, tzinfo=UTC)


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def secret(**changes: Any) -> dict[str, Any]:
    entry = {
        "kind": "secret",
        "name": "entrant 2026-09-28",
        "key_id": "k1",
        "starts": "2026-09-28T00:00:00Z",
        "ends": text(ENDS),
        "successor_starts": text(SUCCESSOR),
        "current": True,
    }
    return {key: value for key, value in (entry | changes).items() if value is not None}


def certificate(name: str, ends: datetime, **more: Any) -> dict[str, Any]:
    return {"kind": "certificate", "name": name, "key_id": name, "ends": text(ends), "current": True} | more


def with_credentials(*credentials: dict[str, Any]) -> dict[str, Any]:
    found = stack_outputs()
    found["identities"]["log-reader"]["credentials"] = list(credentials)
    return found


def find(
    *credentials: dict[str, Any], now: datetime, within: timedelta = 30 * DAY, strict: bool = False
) -> list[expiry.Ending]:
    read = outputs.parse(with_credentials(*credentials), secrets=False)
    return list(expiry.find("dev", read, now=now, within=within, strict=strict))


def counted(*credentials: dict[str, Any], now: datetime, **options: Any) -> list[str]:
    return [ending.name for ending in find(*credentials, now=now, **options) if ending.expected is None]


def test_what_ends_later_is_not_told() -> None:
    assert find(secret(), now=ENDS - 30 * DAY - timedelta(seconds=1)) == []
    assert len(find(secret(), now=ENDS - 30 * DAY)) == 1


def test_a_secret_that_its_calendar_rotates_in_time_is_told_and_does_not_count() -> None:
    [ending] = find(secret(), now=SUCCESSOR - timedelta(seconds=1))
    assert ending.expected == "its calendar rotates it in time"
    assert ending.next_step == "run `pulumi up -s dev` from 2026-12-27 on and before 2027-01-03"


@pytest.mark.parametrize(
    ("now", "remedy"),
    [
        (SUCCESSOR - DAY, "run {} from 2026-12-27 on and before 2027-01-03"),
        (SUCCESSOR, "run {}, which makes the next one: it has been due since 2026-12-27"),
        (ENDS, "run {}, which makes the next one"),
    ],
    ids=["in time", "due", "ended"],
)
def test_a_secret_that_rotate_delivers_is_rotated_by_it_and_not_by_an_up(now: datetime, remedy: str) -> None:
    """An `up` alone would make a secret that no place gets."""
    [ending] = find(secret(delivered=True), now=now, strict=True)
    assert ending.next_step == remedy.format("`python3 -m entrant rotate -s dev`")


def test_it_counts_when_asked_for_strictly() -> None:
    assert counted(secret(), now=SUCCESSOR - DAY, strict=True) == ["entrant 2026-09-28"]


def test_a_secret_whose_successor_is_due_and_was_not_made_counts() -> None:
    [ending] = find(secret(), now=SUCCESSOR)
    assert ending.expected is None
    assert "`pulumi up -s dev`" in ending.next_step and "due since 2026-12-27" in ending.next_step


def test_a_secret_that_has_ended_counts_whatever_its_calendar_says() -> None:
    [ending] = find(secret(), now=ENDS)
    assert ending.ended
    assert ending.expected is None


def test_a_secret_that_ends_as_its_successor_starts_counts_since_consumers_meet_a_gap() -> None:
    [ending] = find(secret(successor_starts=text(ENDS)), now=ENDS - DAY)
    assert ending.expected is None
    assert "give the secret of log-reader an `overlap`" in ending.next_step


def test_a_secret_that_did_not_arrive_everywhere_keeps_its_successor_waiting() -> None:
    before = secret(name="entrant 2026-06-30", current=False, delivered=True)
    [ending, _] = find(secret(successor_starts=text(ENDS)), before, now=ENDS - DAY)
    assert ending.expected is None
    expected = "it is not delivered everywhere yet, and no newer one is made before that: run `python3 -m entrant rotate -s dev`"
    assert ending.next_step == expected


def test_a_secret_of_older_outputs_without_a_calendar_counts() -> None:
    assert counted(secret(successor_starts=None), now=ENDS - DAY) == ["entrant 2026-09-28"]


@pytest.mark.parametrize("now", [ENDS - 2 * DAY, ENDS + DAY])
def test_the_secret_before_is_expected_to_end(now: datetime) -> None:
    newer = secret(name="entrant 2026-12-27", ends="2027-04-03T00:00:00Z", successor_starts="2027-03-27T00:00:00Z")
    [ending] = find(newer, secret(current=False), now=now, strict=True)
    assert ending.expected == "a newer secret has taken its place"


def issued(**changes: Any) -> dict[str, Any]:
    """A certificate of a calendar."""
    names = {"kind": "certificate", "calendar": "signing", "name": "signing-2026-09-28"}
    return secret(**(names | changes))


def test_a_certificate_that_its_calendar_rotates_is_told_as_a_secret_is() -> None:
    [ending] = find(issued(), now=SUCCESSOR - DAY)
    assert (ending.kind, ending.name) == ("certificate", "signing-2026-09-28")
    assert ending.expected == "its calendar rotates it in time"
    assert ending.next_step == "run `pulumi up -s dev` from 2026-12-27 on and before 2027-01-03"
    [ending] = find(issued(delivered=True), now=SUCCESSOR)
    assert ending.expected is None
    remedy = "run `python3 -m entrant rotate -s dev`, which makes the next one: it has been due since 2026-12-27"
    assert ending.next_step == remedy
    [ending] = find(issued(successor_starts=text(ENDS)), now=ENDS - DAY)
    assert "give `apps.log-reader.certificates.signing` an `overlap`" in ending.next_step


def test_a_certificate_that_was_succeeded_ends_when_it_is_taken_away() -> None:
    newer = issued(name="signing-2026-12-27", ends="2027-04-03T00:00:00Z", successor_starts="2027-03-27T00:00:00Z")
    [ending] = find(newer, issued(current=False, kept_until=text(ENDS - DAY)), now=ENDS - 2 * DAY)
    assert (ending.expected, ending.ends) == ("a newer certificate has taken its place", ENDS - DAY)


@pytest.mark.parametrize(
    ("now", "then"),
    [(ENDS - DAY, "it is in use until its successor"), (ENDS, "it ended before its successor")],
    ids=["in use", "ended"],
)
@pytest.mark.parametrize("of", [secret, issued], ids=["secret", "certificate"])
def test_one_whose_successor_did_not_arrive_everywhere_counts(of: Any, now: datetime, then: str) -> None:
    """Whoever has no other cannot sign in once it ends."""
    newer = of(name="newer", ends="2027-04-03T00:00:00Z", successor_starts="2027-03-27T00:00:00Z")
    [ending] = find(newer, of(current=False, delivered=True), now=now)
    assert ending.expected is None
    assert ending.next_step == f"{then} newer works and is delivered everywhere: run `python3 -m entrant rotate -s dev`"
    [ending] = find(newer | {"delivered": True}, of(current=False, delivered=True), now=now)
    assert ending.expected is not None


def test_who_delivered_another_calendar_does_not_matter() -> None:
    [ending] = find(issued(), issued(calendar="other", name="o", delivered=True, ends="2028-01-01"), now=SUCCESSOR)
    assert "`pulumi up -s dev`" in ending.next_step
    [ending] = find(secret(), issued(delivered=True, ends="2028-01-01"), now=SUCCESSOR)
    assert "`pulumi up -s dev`" in ending.next_step


def test_no_certificate_of_a_calendar_stands_for_one_whose_key_the_app_holds() -> None:
    mine = certificate("mine", ENDS)
    [ending] = find(mine, issued(ends="2028-01-01T00:00:00Z"), now=ENDS - DAY)
    assert ending.next_step.startswith("put a renewed certificate at `apps.log-reader.certificates.mine`")


def test_a_certificate_counts_and_its_file_is_named() -> None:
    [ending] = find(certificate("main", ENDS, file="config/batch.pem"), now=ENDS - DAY)
    assert ending.expected is None
    assert ending.next_step.startswith("put a renewed certificate in config/batch.pem, ")


def test_a_certificate_of_the_environment_file_is_named_by_its_place() -> None:
    [ending] = find(certificate("main", ENDS), now=ENDS - DAY)
    assert "at `apps.log-reader.certificates.main` in the file of dev" in ending.next_step


def test_a_certificate_beside_a_later_one_is_to_be_taken_out() -> None:
    [ending] = find(certificate("old", ENDS), certificate("new", ENDS + 300 * DAY), now=ENDS - DAY)
    assert ending.name == "old"
    assert ending.expected is None
    assert ending.next_step.startswith('use "new" everywhere, then take `apps.log-reader.certificates.old` out')


def test_a_federated_credential_never_ends() -> None:
    assert find({"kind": "federated", "name": "gh", "ends": None}, now=ENDS) == []


def test_the_soonest_end_is_that_of_a_secret_or_a_certificate_after_the_moment() -> None:
    read = outputs.parse(with_credentials(secret(), certificate("main", ENDS - DAY)), secrets=False)
    assert expiry.soonest(read, after=ENDS - 2 * DAY) == (ENDS - DAY, 'certificate "main" of log-reader')
    assert expiry.soonest(read, after=ENDS - DAY) == (ENDS, 'secret "entrant 2026-09-28" of log-reader')
    assert expiry.soonest(read, after=ENDS) is None


def test_a_secret_that_was_succeeded_ends_when_it_is_taken_away() -> None:
    [ending] = find(secret(current=False, kept_until=text(ENDS - 3 * DAY)), now=ENDS - 5 * DAY)
    assert ending.ends == ENDS - 3 * DAY
    assert ending.next_step == "nothing; the next `pulumi up -s dev` takes it away after its end"
    [ending] = find(secret(current=False, kept_until=text(ENDS - 3 * DAY)), now=ENDS - 3 * DAY)
    assert ending.next_step == "the next `pulumi up -s dev` takes it away"


@pytest.mark.parametrize("ends", [None, "soon", 3])
def test_an_end_that_is_no_time_is_named(ends: Any) -> None:
    entry = secret() | {"ends": ends}
    with pytest.raises(entrant.ContractError, match='log-reader: the secret "entrant 2026-09-28" has no `ends`'):
        find(entry, now=ENDS)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (5 * DAY, "in 5 days"),
        (2 * DAY, "in 2 days"),
        (2 * DAY - timedelta(seconds=1), "in 47 hours"),
        (DAY, "in 24 hours"),
        (timedelta(hours=1), "in 1 hour"),
        (timedelta(minutes=5), "in less than an hour"),
        (-timedelta(minutes=5), "less than an hour ago"),
        (-DAY * 3, "3 days ago"),
    ],
)
def test_how_soon_is_said_in_words(before: timedelta, words: str) -> None:
    [ending] = find(secret(), now=ENDS - before)
    assert ending.within(ENDS - before) == words


# ---------------------------------------------------------------------------------------------------------- the command


def run(tmp_path: Path, found: dict[str, Any], *arguments: str) -> tuple[int, str]:
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(found))
    done = CliRunner().invoke(cli, ["expiry", "--outputs", str(file), *arguments], standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, done.output


def test_the_exit_code_is_5_when_something_counts_and_0_otherwise(tmp_path: Path) -> None:
    assert run(tmp_path, with_credentials(secret()), "--now", "2026-12-20")[0] == 0
    assert run(tmp_path, with_credentials(secret()), "--now", "2026-12-28")[0] == 5
    assert run(tmp_path, with_credentials(secret()), "--now", "2026-12-28", "--within", "5d")[0] == 0


def test_masked_outputs_will_do_and_no_secret_is_read(tmp_path: Path) -> None:
    masked = with_credentials(secret()) | {"log_reader_client_secret": "[secret]"}
    code, stdout = run(tmp_path, masked, "-s", "dev", "--now", "2026-12-28", "--format", "json")
    assert code == 5
    assert [ending["stack"] for ending in json.loads(stdout)["endings"]] == ["dev"]
    _, stdout = run(tmp_path, with_credentials(secret()), "--now", "2026-12-28")
    assert SECRET not in stdout


def test_json_tells_all_and_what_counts(tmp_path: Path) -> None:
    _, stdout = run(tmp_path, with_credentials(secret()), "--now", "2026-12-20", "--format", "json")
    assert json.loads(stdout) == {
        "now": "2026-12-20T00:00:00Z",
        "endings": [
            {
                "stack": "STACK",
                "app": "log-reader",
                "kind": "secret",
                "name": "entrant 2026-09-28",
                "key_id": "k1",
                "ended": False,
                "expected": "its calendar rotates it in time",
                "next_step": "run `pulumi up -s STACK` from 2026-12-27 on and before 2027-01-03",
                "ends": "2027-01-03T00:00:00Z",
            }
        ],
    }


def test_github_gets_a_warning_with_what_to_do_and_an_error_for_what_has_ended(tmp_path: Path) -> None:
    _, stdout = run(tmp_path, with_credentials(secret()), "-s", "dev", "--now", "2026-12-28", "--format", "github")
    assert stdout == (
        '::warning title=dev%3A secret ends soon::secret "entrant 2026-09-28" of log-reader ends in 6 days (2027-01-03 00:00'
        " UTC). run `pulumi up -s dev`, which makes the next one: it has been due since 2026-12-27\n"
    )
    _, stdout = run(tmp_path, with_credentials(secret()), "-s", "dev", "--now", "2027-01-03", "--format", "github")
    assert stdout.startswith("::error title=dev%3A secret has ended::")


def test_azure_devops_gets_an_issue(tmp_path: Path) -> None:
    _, stdout = run(
        tmp_path, with_credentials(secret()), "-s", "dev", "--now", "2026-12-28", "--format", "azure-devops"
    )
    assert stdout.startswith("##vso[task.logissue type=warning;]dev: secret ends soon: secret")


def test_nothing_soon_is_said_with_what_comes_next(tmp_path: Path) -> None:
    code, stdout = run(tmp_path, with_credentials(secret()), "-s", "dev", "--now", "2026-10-01")
    assert (code, stdout) == (
        0,
        '✓ dev: nothing ends within 30 days; the next is secret "entrant 2026-09-28" of log-reader, 2027-01-03\n',
    )


def test_several_stacks_have_a_file_each(tmp_path: Path) -> None:
    with pytest.raises(entrant.ConfigurationError, match="2 stacks and 1 file of outputs"):
        CliRunner().invoke(
            cli, ["expiry", "-s", "a", "-s", "b", "--outputs", "x"], standalone_mode=False, catch_exceptions=False
        )


@pytest.mark.parametrize("within", ["soon", "30", "-1d"])
def test_a_time_that_is_none_is_a_usage_error(within: str) -> None:
    with pytest.raises(click.UsageError, match=r"expected a duration (such as|with its unit, such as) 90d"):
        CliRunner().invoke(
            cli, ["expiry", "-s", "a", "--within", within], standalone_mode=False, catch_exceptions=False
        )


def test_values_cannot_break_out_of_a_command_of_a_ci_system() -> None:
    assert ci.workflow_command("warning", "a\n::error::b%", title="x:y,z\n") == (
        "::warning title=x%3Ay%2Cz%0A::a%0A::error::b%25"
    )
    assert ci.logging_command("task.logissue", "a\n##vso[b]%", type="x;]") == (
        "##vso[task.logissue type=x%3B%5D;]a%0A##vso\\u005bb]%AZP25"
    )


def test_strict_counts_what_the_calendar_rotates_too(tmp_path: Path) -> None:
    assert run(tmp_path, with_credentials(secret()), "--now", "2026-12-20", "--strict")[0] == 5


def test_a_credential_that_is_kept_counts_with_whom_to_ask() -> None:
    found = with_credentials()
    kept = {"kind": "secret", "key_id": "k9", "name": None, "ends": text(ENDS), "owner": "ada@contoso.com"}
    found["identities"]["log-reader"]["kept_credentials"] = [kept]
    read = outputs.parse(found, secrets=False)
    [ending] = expiry.find("dev", read, now=ENDS - 5 * DAY, within=30 * DAY)
    assert (ending.kind, ending.name, ending.expected) == ("secret", "k9", None)
    assert "deliver it to whoever uses this one (ask ada@contoso.com), then remove this one" in ending.next_step
    [ended] = expiry.find("dev", read, now=ENDS, within=30 * DAY)
    assert ended.ended and "its entry from `apps.log-reader.kept_credentials`" in ended.next_step
    assert expiry.soonest(read, after=ENDS - 5 * DAY) == (ENDS, 'secret "k9" of log-reader')


def test_a_name_of_several_lines_makes_no_line_of_its_own(tmp_path: Path) -> None:
    name = "x\n✓ STACK: nothing ends within 30 days"
    found = with_credentials(secret(name=name, current=True, successor_starts=None))
    found["identities"]["log-reader"]["kept_credentials"] = [
        {"kind": "secret", "key_id": "k9", "name": name, "ends": text(ENDS), "owner": "a\n✓ b"}
    ]
    for moment in ("2026-12-28", "2026-10-01"):
        _, stdout = run(tmp_path, found, "--now", moment)
        assert stdout.count("x ✓ STACK: nothing ends within 30 days") > 0
        assert [line for line in stdout.splitlines() if line.startswith("✓")] == (
            [] if moment == "2026-12-28" else [stdout.strip()]
        )
