"""Reviews from YAML alone, and how reviews are shown: what fits, what is escaped, what the JSON looks like."""

import datetime as dt
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from entrant import changes, config
from entrant.cli import cli
from entrant.commands import review
from entrant.config.known import permission_id
from entrant.debug import masked
from entrant.facts.apis import FIRST_PARTY
from entrant.markdown import LIMIT
from entrant.review import document, page, reviewer
from entrant.review.document import Review
from entrant.review.reviewer import Base
from tests.golden import Golden, settled

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
SUBSCRIPTION = "7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-obs"
WORKSPACE = f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/law-dev"
SCHEMA = Path(document.__file__).with_name("review.schema.json")
READS = f"""\
apps:
  log-reader:
    display_name: Log reader
    owners: [deployer]
    secret: {{every: 90d, overlap: 7d}}
    roles:
      - {{role: Reader, scope: {WORKSPACE}}}
"""

Compare = Callable[[str, str], Review]


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """The review of a change from one environment's text to another's; an empty text is no file."""

    def check(name: str, text: str) -> config.Report | None:
        folder = tmp_path / name / "config"
        folder.mkdir(parents=True, exist_ok=True)
        if not text:
            return None
        (folder / "dev.yaml").write_text(text, "utf-8")
        report = config.check("dev", root=folder.parent)
        assert report.environment is not None, report.problems
        return report

    def compared(before: str, after: str) -> Review:
        old = check("before", before)
        made = reviewer.of_commits(
            "dev", Base("main", old.environment if old else None), check("after", after), now=NOW
        )
        jsonschema.validate(json.loads(made.model_dump_json()), json.loads(SCHEMA.read_text()))
        return made

    return compared


def shown(made: Review) -> str:
    return settled(page.markdown(made).complete(), start=dt.date(2026, 1, 1), known=(SUBSCRIPTION,))


def test_the_schema_of_the_json_is_the_one_beside_it(request: pytest.FixtureRequest) -> None:
    text = json.dumps(document.json_schema(), indent=2) + "\n"
    if request.config.getoption("--regenerate"):
        SCHEMA.write_text(text, "utf-8")
    assert text == SCHEMA.read_text("utf-8"), "run with --regenerate"


# ------------------------------------------------------------------------------------------------------------- what is told


def test_no_difference_is_nothing_to_review(compare: Compare, golden: Golden) -> None:
    made = compare(READS, READS)
    assert not made.changed
    golden("review/yaml-no-change.md", shown(made))


def test_what_is_gained_and_lost(compare: Compare, golden: Golden) -> None:
    after = READS.replace("role: Reader", "role: Log Analytics Reader").replace(
        "    secret: {every: 90d, overlap: 7d}\n",
        "    federated: [{github: {repository: contoso/obs, environment: dev}}]\n"
        "    web: {redirect_uris: [https://logs.example.com/cb]}\n"
        "    permissions: [{api: Microsoft Graph, application: [User.Read.All, Directory.ReadWrite.All], consent: true}]\n"
        "    directory_roles: [{role: Directory Readers}]\n"
        "    groups: [3b8d7f2e-5c1a-4d90-8e6b-0a9c4f7e1d25]\n"
        "    allow_privileged: true\n"
        "    reason: Takes stock of everybody (SEC-77).\n",
    )
    golden("review/yaml-gained-and-lost.md", shown(compare(READS, after)))


def test_a_privileged_grant_is_marked_and_its_reason_told(compare: Compare, golden: Golden) -> None:
    after = READS.replace("role: Reader", "role: Owner") + (
        f"      - {{role: Reader, scope: /subscriptions/{SUBSCRIPTION}}}\n"
        "    allow_privileged: true\n    reason: Moves </details> everything (OPS-7) @everyone\n"
    )
    golden("review/privileged-grant.md", shown(compare(READS, "policy: {wide-scope: error}\n" + after)))


def test_a_protected_app_that_is_removed_and_one_that_is_renamed(compare: Compare, golden: Golden) -> None:
    before = READS + "  guarded: {display_name: Guarded, protect: true, owners: [deployer]}\n"
    made = compare(before, READS.replace("log-reader:", "reader:"))
    assert [(entry.app, "protected" in entry.text) for entry in made.breaks] == [
        ("guarded", True),
        ("log-reader", False),
    ]
    golden("review/yaml-protected-removed.md", shown(made))


def test_an_app_that_is_kept_when_removed_breaks_nobody(compare: Compare) -> None:
    made = compare(READS + "  left: {on_remove: keep}\n", READS)
    assert [(entry.app, entry.change) for entry in made.apps] == [("left", "kept")]
    assert made.breaks == ()


def test_a_condition_that_goes_is_told(compare: Compare) -> None:
    """The role is the same, and what it allows is not."""
    condition = "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'logs'"
    narrow = READS.replace(
        f"{{role: Reader, scope: {WORKSPACE}}}",
        f'{{role: Owner, scope: {GROUP}, condition: "{condition}", condition_version: "2.0"}}',
    )
    wide = READS.replace(f"{{role: Reader, scope: {WORKSPACE}}}", f"{{role: Owner, scope: {GROUP}}}")
    wide += "    allow_privileged: true\n    reason: none\n"
    [entry] = compare(narrow, wide).access
    assert entry.change == "changed" and "was under the condition" in entry.was and "any role" in entry.danger


def test_a_custom_role_that_allows_more_is_a_change_of_whoever_has_it(compare: Compare) -> None:
    custom = (
        f"role_definitions: {{asker: {{actions: [Microsoft.Insights/metrics/read], assignable_scopes: [{GROUP}]}}}}\n"
    )
    before = custom + READS.replace("role: Reader", "role: asker")
    after = before.replace("actions: [", "actions: [Microsoft.Storage/storageAccounts/listKeys/action, ")
    [entry] = compare(before, after).access
    assert (entry.app, entry.change, entry.name) == ("log-reader", "changed", "asker")
    assert entry.allows == "obtains keys of storage accounts; reads metrics"
    assert entry.was.endswith("reads metrics")


def test_another_trust_of_a_federated_credential_breaks_whom_it_trusted(compare: Compare) -> None:
    before = (
        READS + "    federated: [{name: ci-system, issuer: https://ci.example.com, subject: a, audience: api://x}]\n"
    )
    made = compare(before, before.replace("subject: a", "subject: b"))
    [entry] = made.breaks
    assert "a of ci.example.com cannot sign in" in entry.text
    assert made.credentials[0].detail == "b of ci.example.com; was a of ci.example.com"


def test_a_credential_under_another_name_breaks_nobody_for_long(compare: Compare) -> None:
    """A trust is there once in an app, so it is missing for a moment; a key pair is under any name the same."""
    pem = Path(__file__).resolve().parents[2] / "examples" / "batch.pem"
    before = READS + f"    certificates: {{batch: {{path: {pem}}}}}\n"
    before += "    federated: [{name: ci-system, issuer: https://ci.example.com, subject: a}]\n"
    made = compare(before, before.replace("batch:", "nightly:").replace("ci-system", "builds"))
    assert [entry.text for entry in made.breaks] == [
        "a of ci.example.com cannot sign in as it for some seconds: its federated credential ci-system goes before builds comes"
    ]
    assert [(entry.kind, entry.change, entry.name, entry.detail.partition("; ")[2]) for entry in made.credentials] == [
        ("certificate", "changed", "nightly", "was called batch"),
        ("federated credential", "changed", "builds", "was called ci-system"),
    ]
    gone = compare(before, READS)
    assert [entry.text.partition(":")[0] for entry in gone.breaks] == [
        "its certificate batch is taken away",
        "its federated credential ci-system is taken away",
    ]


def test_an_address_that_goes_breaks_who_uses_it(compare: Compare) -> None:
    before = (
        READS + "    identifier_uris: ['api://{tenant_id}/logs']\n    web: {redirect_uris: [https://a.example.com/]}\n"
    )
    assert [entry.text for entry in compare(before, READS).breaks] == [
        "tokens for api://{tenant_id}/logs are no longer given",
        "sign-ins that return to https://a.example.com/ fail",
    ]


def test_a_service_principal_that_is_disabled_breaks_who_signs_in_as_it(compare: Compare) -> None:
    made = compare(READS, READS + "    service_principal: {enabled: false}\n")
    assert [entry.text.partition(":")[0] for entry in made.breaks] == ["it is disabled"]


def test_findings_of_policy_that_were_there_before_are_told_apart(compare: Compare) -> None:
    open_ = READS.replace("    owners: [deployer]\n", "")
    [old] = compare(open_, open_).findings
    assert (old.rule, old.new, old.place) == ("missing-owner", False, "config/dev.yaml:2:3")
    assert compare(READS, open_).findings[0].new


def test_the_digest_is_of_the_change_alone(compare: Compare) -> None:
    gains = READS.replace("Reader,", "Log Analytics Reader,")
    digests = [compare(*pair).digest for pair in [(READS, READS), (READS, gains), (READS, gains), (gains, READS)]]
    assert digests[1] == digests[2]
    assert len(set(digests)) == 3


# ------------------------------------------------------------------------------------------------------- from two commits


def git(root: Path, *arguments: str) -> None:
    environ = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=root, env=environ, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A project in git, whose `dev` extends a base that the branch `change` changes."""
    root = tmp_path / "project"
    (root / "config").mkdir(parents=True)
    (root / "config" / "base.yaml").write_text(READS)
    (root / "config" / "dev.yaml").write_text("extends: base.yaml\n")
    (root / "Pulumi.dev.yaml").write_text("{}\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "one")
    git(root, "switch", "-q", "-c", "change")
    return root


def run(root: Path, *arguments: str, code: int = 0) -> str:
    arguments_ = ["review", "-s", "dev", "-C", str(root), "--no-cloud", "--base", "main", *arguments]
    result = CliRunner().invoke(cli, arguments_, standalone_mode=False)
    assert result.exception is None, result.exception
    assert result.return_value == code, result.output
    return str(result.stdout)


def test_a_change_of_a_file_that_is_extended_is_reviewed_without_credentials(repository: Path) -> None:
    (repository / "config" / "base.yaml").write_text(READS.replace("Reader,", "Log Analytics Reader,"))
    made = Review.model_validate_json(run(repository, "--format", "json"))
    assert not made.saw_cloud
    assert [(entry.change, entry.name) for entry in made.access] == [
        ("gained", "Log Analytics Reader"),
        ("lost", "Reader"),
    ]
    assert "The cloud was not seen" in run(repository, "--format", "markdown")
    assert "The cloud was not seen" in run(repository)
    run(repository, "--expect", made.digest)
    run(repository, "--expect", "0" * 32, code=7)


def test_a_broken_rule_that_is_an_error_ends_with_the_exit_code_of_policy(repository: Path) -> None:
    open_ = READS.replace("    owners: [deployer]\n", "")
    (repository / "config" / "base.yaml").write_text("policy: {missing-owner: error}\n" + open_)
    assert "error missing-owner: log-reader" in run(repository, code=5)


def test_an_environment_with_errors_is_told_with_its_places(repository: Path) -> None:
    (repository / "config" / "base.yaml").write_text(READS.replace("Reader,", "Raeder,"))
    markdown = run(repository, "--format", "markdown", code=2)
    assert markdown.startswith("<!-- entrant-review stack=dev ") and "config/base.yaml:7:16: " in markdown
    assert "The environment has errors" in markdown and "is deleted" not in markdown, "what cannot be read is not gone"
    assert "seen until then" not in markdown and "digest" not in run(repository, code=2)


def test_a_base_with_errors_is_noted(repository: Path) -> None:
    (repository / "config" / "base.yaml").write_text(READS.replace("Reader,", "Raeder,"))
    git(repository, "commit", "-q", "-a", "-m", "broken")
    git(repository, "branch", "-q", "-f", "main", "change")
    (repository / "config" / "base.yaml").write_text(READS)
    made = Review.model_validate_json(run(repository, "--format", "json"))
    assert "config/base.yaml:7:16 at main has errors" in made.notes[0]
    assert made.apps[0].change == "added"


def test_an_environment_that_is_deleted_is_reviewed_as_such(repository: Path) -> None:
    (repository / "config" / "dev.yaml").unlink()
    made = Review.model_validate_json(run(repository, "--format", "json"))
    assert [(entry.app, entry.change) for entry in made.apps] == [("log-reader", "removed")]
    assert "pulumi destroy -s dev" in made.notes[0]
    command = ["review", "-s", "dev", "-C", str(repository), "--base", "main", "--format", "json"]
    result = CliRunner().invoke(cli, command, standalone_mode=False)
    assert result.return_value == 0, "with a cloud, too, there is no plan to make"
    assert Review.model_validate_json(result.stdout) == made


# ------------------------------------------------------------------------------------------------------------ how it is shown

HOSTILE = "</details> ``` | @everyone ![x](https://evil.example/#1) <img src=x> \u202egnp.exe \x1b[31m `code`"


def hostile(compare: Compare) -> Review:
    after = READS.replace("display_name: Log reader", f"display_name: {json.dumps(HOSTILE)}")
    after += f"    notes: {json.dumps(HOSTILE)}\n    allow_privileged: true\n    reason: {json.dumps(HOSTILE)}\n"
    after = after.replace("role: Reader", "role: Owner") + f"  {'x' * 60}: {{}}\n"
    return compare(READS, after)


def test_values_in_markdown_stay_values(compare: Compare) -> None:
    markdown = page.markdown(hostile(compare)).complete()
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", markdown)  # without code spans, where all is literal
    assert "@everyone" not in outside and "https://" not in outside and "<img" not in outside and "\x1b" not in markdown
    assert "\u202e" not in markdown
    assert outside.count("<details") == outside.count("</details>") == 2
    fences = [line for line in markdown.splitlines() if line.startswith("```")]
    assert fences == ["```mermaid", "```"]


def test_a_renderer_finds_no_markup_but_ours(compare: Compare) -> None:
    """As CommonMark with tables, strikethrough and bare links reads it."""
    reader = MarkdownIt("commonmark", {"linkify": False}).enable(["table", "strikethrough"])
    tokens = reader.parse(page.markdown(hostile(compare)).complete())
    inline = [child for token in tokens for child in token.children or ()]
    assert {token.type for token in inline} <= {
        "text", "text_special", "code_inline", "strong_open", "strong_close", "em_open", "em_close", "softbreak"
    }  # fmt: skip
    blocks = "".join(token.content for token in tokens if token.type == "html_block")
    assert set(re.findall(r"</?(\w+)", blocks)) == {"details", "summary"}
    assert [token.info for token in tokens if token.type == "fence"] == ["mermaid"]


def test_values_in_a_terminal_move_no_cursor(compare: Compare) -> None:
    shown = page.terminal(hostile(compare))
    assert "\x1b" not in shown and "\u202e" not in shown and "\\x1b[31m" in shown


def test_labels_of_the_picture_are_letters_and_codes(compare: Compare) -> None:
    custom = f"role_definitions: {{odd: {{name: {json.dumps(HOSTILE)}, actions: ['*/read'], assignable_scopes: [{GROUP}]}}}}\n"
    markdown = page.markdown(compare(READS, custom + READS.replace("role: Reader", "role: odd"))).complete()
    picture = markdown[markdown.index("```mermaid") : markdown.index("```\n", markdown.index("```mermaid") + 3)]
    labels = re.findall(r'"([^"]*)"', picture)
    assert len(labels) == 4
    assert all(re.fullmatch(r"(?:[\w ./-]|#\d+;)*", label) for label in labels)


def estate(apps: int, role: str, *, own: bool = False) -> str:
    """An environment of many apps with a role at the same two scopes, or each at two scopes of its own."""
    texts = [
        f"  app-{number:03}:\n    display_name: Application number {number}\n    owners: [deployer]\n"
        f"    federated: [{{github: {{repository: contoso/app-{number:03}, environment: production}}}}]\n"
        f"    roles:\n      - {{role: {role}, scope: {WORKSPACE}{f'-{number:03}' if own else ''}}}\n"
        f"      - {{role: {role}, scope: {GROUP}{f'-{number:03}' if own else ''}}}\n"
        for number in range(apps)
    ]
    return "apps:\n" + "".join(texts)


def test_three_hundred_apps_of_which_the_same_is_said_share_sentences(compare: Compare, golden: Golden) -> None:
    made = compare(estate(300, "Reader"), estate(300, "Monitoring Reader"))
    assert len(made.access) == 1200
    shown = review._shown(made, "markdown", None)
    assert shown.count("100 apps gain ") == shown.count("100 apps lose ") == 6
    assert all(shown.count(f"**app-{number:03}**") == 4 for number in range(300))
    golden("review/three-hundred-apps.md", settled(shown, start=dt.date(2026, 1, 1), known=(SUBSCRIPTION,)) + "\n")


def test_what_does_not_fit_is_in_the_summary(compare: Compare, tmp_path: Path) -> None:
    made = compare(estate(300, "Reader", own=True), estate(300, "Monitoring Reader", own=True))
    summary = tmp_path / "summary"
    summary.write_text("before\n")
    shown = review._shown(made, "markdown", summary)
    assert len(shown) <= LIMIT
    assert "600 gained" in shown.splitlines()[3]
    assert "Who loses what" in shown, "a long list hides none behind it"
    assert shown.count("<details") == shown.count("</details>") and shown.count("```") % 2 == 0
    assert shown.splitlines()[-1] == (
        "_Too long for a comment: a part of “Who gains what”, a part of “Who loses what”, the scopes in full. "
        "The whole review is in the job's summary._"
    )
    whole = summary.read_text()
    assert whole.startswith("before\n<!-- entrant-review") and whole.count(" loses **") == 600
    apart = review._shown(made, "markdown", None)
    assert len(apart) <= LIMIT and "in a terminal" in apart


def test_three_hundred_new_apps_fit(compare: Compare) -> None:
    shown = review._shown(compare("", estate(300, "Owner").replace(
        "    owners", "    allow_privileged: true\n    reason: It must be so.\n    owners")), "markdown", None)  # fmt: skip
    assert len(shown) <= LIMIT
    for title in ("Apps", "Who gains what", "Credentials", "Policy"):
        assert f"#### {title}\n\n- " in shown


def test_a_terminal_is_as_wide_as_it_is(compare: Compare, golden: Golden) -> None:
    made = compare(READS, READS.replace("Reader,", "Log Analytics Contributor,"))
    shown = page.terminal(made, width=60)
    assert all(len(line) <= 60 for line in shown.splitlines())
    golden("review/yaml-terminal.txt", settled(shown, start=dt.date(2026, 1, 1)) + "\n")
    assert "\x1b" not in shown
    assert "\x1b[1;32mWho gains what\x1b[0m" in page.terminal(made, colour=True)


def test_what_the_engine_says_is_told_without_secrets_of_the_process() -> None:
    environ = {"ARM_CLIENT_SECRET": "evening at the harbour", "PULUMI_CONFIG_PASSPHRASE": "warm bread", "HOME": "error"}
    shown = masked("error: evening at the harbour, warm bread", environ)
    assert shown == "error: ***, ***"


def test_an_error_of_the_program_is_what_was_raised_and_not_the_way_to_it() -> None:
    traced = (
        "Program failed with an unhandled exception:\nTraceback (most recent call last):\n"
        '  File "a.py", line 1, in f\n    g()\nValueError: one\n\nDuring handling, another:\n\n'
        'Traceback (most recent call last):\n  File "a.py", line 2\n    h()\nRuntimeError: two\nlines\n'
    )
    assert review._diagnostics([traced, "an unhandled error occurred: program exited with 1", "plain", "plain"]) == (
        "Program failed with an unhandled exception:\nRuntimeError: two\nlines",
        "plain",
    )


# -------------------------------------------------------------------------------------------------------- of a preview


def test_what_is_taken_over_is_no_gain(golden: Golden) -> None:
    """As the engine tells it: the import before, and what it found after."""
    owner = {"displayName": "Log reader", "owners": ["99999999-2222-3333-4444-555555555555"]}
    reader = {"scope": WORKSPACE, "roleDefinitionId": f"/providers/Microsoft.Authorization/roleDefinitions/{READER}"}
    trust = {
        "displayName": "gh-prod",
        "issuer": "https://token.actions.githubusercontent.com",
        "subject": "repo:contoso/obs:environment:prod",
        "audiences": ["api://AzureADTokenExchange"],
    }
    steps = []
    for kind, name, inputs in (
        (APPLICATION, "log-reader", owner),
        (FEDERATED, "log-reader/gh-prod", trust),
        (ASSIGNMENT, "log-reader-reader-law-dev-aa", reader),
    ):
        after = step("import", kind, name, inputs, inputs)["resourcePreEvent"]
        steps += [step("import", kind, name, None, inputs), {"resOutputsEvent": after}]
    made = of_steps(*steps)
    assert {entry.origin for entry in made.access} == {"adopted"}
    assert [entry.change for entry in made.credentials] == ["adopted"]
    golden("review/adoption.md", shown(made))


URN = "urn:pulumi:dev::entrant::entrant:index:AppIdentity"
PARENT = f"{URN}::log-reader"
PASSWORD = "azuread:index/applicationPassword:ApplicationPassword"
APPLICATION = "azuread:index/application:Application"
FEDERATED = "azuread:index/applicationFederatedIdentityCredential:ApplicationFederatedIdentityCredential"
ASSIGNMENT = "azure-native:authorization:RoleAssignment"


def step(
    operation: str, kind: str, name: str, old: dict[str, Any] | None, new: dict[str, Any] | None, **more: Any
) -> Any:
    urn = f"{URN}${kind}::{name}"

    def state(properties: dict[str, Any] | None) -> dict[str, Any] | None:
        if properties is None:
            return None
        outputs = {"clientId": "11111111-2222-3333-4444-555555555555"} if kind == APPLICATION else {}
        return {"type": kind, "urn": urn, "id": "1", "parent": PARENT, "inputs": properties, "outputs": outputs} | more

    metadata = {"op": operation, "urn": urn, "type": kind, "old": state(old), "new": state(new)}
    return {"resourcePreEvent": {"metadata": metadata}}


def of_steps(*steps: Any) -> Review:
    made = reviewer.of_preview("dev", changes.read(steps), None, now=NOW)
    jsonschema.validate(json.loads(made.model_dump_json()), json.loads(SCHEMA.read_text()))
    return made


APP = {"displayName": "Log reader"}
SAME = step("same", APPLICATION, "log-reader", APP, APP)


def test_a_registration_that_is_deleted_breaks_consumers_of_its_client_id() -> None:
    made = of_steps(step("delete", APPLICATION, "log-reader", APP, None))
    assert made.breaks[0].client_id == "11111111-2222-3333-4444-555555555555"
    assert made.apps[0].change == "removed"


def test_a_secret_taken_away_before_it_ends_breaks_who_uses_it_and_one_that_ended_does_not() -> None:
    live = {"displayName": "entrant 2026-11-01", "endDate": "2027-02-01T00:00:00Z"}
    ended = {"displayName": "entrant 2026-08-01", "endDate": "2026-11-08T00:00:00Z"}
    made = of_steps(
        SAME,
        step("delete", PASSWORD, "log-reader-secret-2026-11-01", live, None),
        step("delete", PASSWORD, "log-reader-secret-2026-08-01", ended, None),
    )
    assert [entry.text for entry in made.breaks] == [
        "its client secret 2026-11-01 is taken away before it ends on 2027-02-01: who still uses it cannot sign in"
    ]
    assert [(entry.name, entry.routine) for entry in made.credentials] == [("2026-08-01", True), ("2026-11-01", False)]


PRINCIPAL = "azuread:index/servicePrincipal:ServicePrincipal"


def test_a_service_principal_that_is_replaced_loses_its_roles() -> None:
    made = of_steps(SAME, step("replace", PRINCIPAL, "log-reader", {"useExisting": False}, {"useExisting": True}))
    assert [entry.text.partition(":")[0] for entry in made.breaks] == ["its service principal goes"]


def test_a_registration_that_was_deleted_manually_breaks_consumers_of_its_client_id() -> None:
    gone = step("refresh", APPLICATION, "log-reader", APP, None)["resourcePreEvent"]
    made = of_steps({"resOutputsEvent": gone}, step("create", APPLICATION, "log-reader", None, APP))
    [entry] = made.breaks
    assert entry.text.startswith(
        "its registration was deleted manually and is made anew: consumers of the old client id"
    )
    assert entry.client_id == "11111111-2222-3333-4444-555555555555"
    assert of_steps(step("create", APPLICATION, "log-reader", None, APP)).breaks == ()


def test_a_secret_in_place_of_one_that_ended_is_routine_and_of_one_that_lives_is_not() -> None:
    for ends, routine in (("2026-11-08T00:00:00Z", True), ("2027-02-01T00:00:00Z", False)):
        old = {"displayName": "entrant 2026-08-01", "endDate": ends}
        new = {"displayName": "entrant 2026-11-01", "endDate": "2027-03-01T00:00:00Z"}
        made = of_steps(
            SAME,
            step("delete", PASSWORD, "log-reader-secret-2026-08-01", old, None),
            step("create", PASSWORD, "log-reader-secret-2026-11-01", None, new),
        )
        details = {entry.change: (entry.detail, entry.routine) for entry in made.credentials}
        assert details["created"] == ("in place of 2026-08-01", routine)


def test_trusts_of_one_app_are_told_whatever_becomes_of_another(compare: Compare) -> None:
    trust = "federated: [{name: ci-system, issuer: https://ci.example.com, subject: a}]"
    before = f"apps:\n  gone: {{display_name: Gone, owners: [deployer], {trust}}}\n  stays: {{owners: [deployer], {trust}}}\n"
    made = compare(before, "apps:\n  stays: {owners: [deployer]}\n")
    assert [(entry.app, entry.text.partition(":")[0]) for entry in made.breaks] == [
        ("gone", "it is deleted"),
        ("stays", "its federated credential ci-system is taken away"),
    ]


def test_a_secret_that_ends_soon_is_told_with_the_day_of_the_next(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "dev.yaml").write_text(READS)
    live = {"displayName": "entrant 2026-09-05", "endDate": "2026-12-11T00:00:00Z"}
    reading = changes.read([SAME, step("same", PASSWORD, "log-reader-secret-2026-09-05", live, live)])
    made = reviewer.of_preview("dev", reading, config.check("dev", root=tmp_path), now=NOW)
    assert [entry.detail for entry in made.credentials] == ["an `up` from 2026-12-04 on makes the next one"]
    assert not made.changed
    without = reviewer.of_preview("dev", reading, None, now=NOW)
    assert [entry.detail for entry in without.credentials] == ["nothing that ends later is declared"]


def test_protection_that_goes_is_a_change_although_pulumi_counts_it_as_none() -> None:
    before = step("same", APPLICATION, "log-reader", APP, APP)
    before["resourcePreEvent"]["metadata"]["old"]["protect"] = True
    made = of_steps(before)
    assert made.changed
    assert [(entry.path, entry.old, entry.new) for entry in made.settings] == [("protect", True, False)]
    assert made.digest != of_steps(SAME).digest


def test_a_client_that_needs_no_consent_any_more_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    scopes = "    api: {scopes: {Logs.Read: {description: Reads logs., id: 99999999-2222-3333-4444-555555555555}}}\n"
    (tmp_path / "config" / "dev.yaml").write_text(READS + scopes)
    report = config.check("dev", root=tmp_path)
    assert report.environment is not None, report.problems
    kind = "azuread:index/applicationPreAuthorized:ApplicationPreAuthorized"
    inputs: dict[str, Any] = {"authorizedClientId": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}
    inputs["permissionIds"] = ["99999999-2222-3333-4444-555555555555"]
    reading = changes.read([SAME, step("create", kind, "log-reader-viewer", None, inputs)])
    [entry] = reviewer.of_preview("dev", reading, report, now=NOW).settings
    assert (entry.path, entry.old, entry.new) == ("preAuthorized[viewer].scopes[Logs.Read]", None, "Logs.Read")


def test_a_role_that_is_not_known_yet_is_named_by_the_environment(tmp_path: Path) -> None:
    custom = f"role_definitions: {{asker: {{actions: ['*/read'], assignable_scopes: [{GROUP}]}}}}\n"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "dev.yaml").write_text(custom + READS.replace("role: Reader", "role: asker"))
    digest = config.load("dev", root=tmp_path).apps["log-reader"].roles[0].digest
    unknown = {"scope": WORKSPACE, "roleDefinitionId": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}
    reading = changes.read([SAME, step("create", ASSIGNMENT, f"log-reader/custom-law-dev-{digest}", None, unknown)])
    [entry] = reviewer.of_preview("dev", reading, config.check("dev", root=tmp_path), now=NOW).access
    assert (entry.name, entry.allows) == ("asker", "reads everything in it")


READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"


def test_what_was_declared_before_and_not_applied_is_told_apart_from_the_change(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    file = tmp_path / "config" / "dev.yaml"
    file.write_text(READS)
    base = Base("main", config.load("dev", root=tmp_path))
    file.write_text(READS + f"      - {{role: Reader, scope: {GROUP}}}\n")
    definition = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    steps = [
        step("create", ASSIGNMENT, f"log-reader-reader-{name}", None, {"scope": scope, "roleDefinitionId": definition})
        for name, scope in (("law-dev-aa", WORKSPACE), ("rg-obs-bb", GROUP))
    ]
    report = config.check("dev", root=tmp_path)
    made = reviewer.of_preview("dev", changes.read([SAME, *steps]), report, now=NOW, base=base)
    assert {entry.scope: entry.origin for entry in made.access} == {WORKSPACE: "pending", GROUP: ""}
    assert made.digest == reviewer.of_preview("dev", changes.read([*steps, SAME]), report, now=NOW).digest
    shown = page.terminal(made)
    assert shown.index("resource group rg-obs") < shown.index("not of this change")


def test_what_other_hands_took_away_is_put_back(tmp_path: Path) -> None:
    definition = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{READER}"
    inputs = {"scope": WORKSPACE, "roleDefinitionId": definition}
    before = step("refresh", ASSIGNMENT, "log-reader-reader-law-dev-aa", inputs, None)
    gone = {"resOutputsEvent": before["resourcePreEvent"]}
    made = of_steps(before, gone, SAME, step("create", ASSIGNMENT, "log-reader-reader-law-dev-aa", None, inputs))
    assert [(entry.name, entry.origin) for entry in made.access] == [("Reader", "restored")]
    assert [entry.text for entry in made.outside] == ["role assignment Reader on law-dev is gone"]


CONSENT = "azuread:index/appRoleAssignment:AppRoleAssignment"


def test_permissions_have_their_names_whatever_api_they_are_of(tmp_path: Path) -> None:
    """Of Graph, of an app here, of an API that only the tenant knows; consent is not said twice."""
    (tmp_path / "config").mkdir()
    text = READS + (
        "    permissions:\n"
        "      - {api: Microsoft Graph, application: [User.Read.All]}\n"
        "      - {api: Log Analytics API, application: [Data.Read], consent: true}\n"
        "      - {api: store, application: [Goods.Read]}\n"
        "  store: {app_roles: {Goods.Read: {description: Reads goods.}}}\n"
    )
    (tmp_path / "config" / "dev.yaml").write_text(text)
    report = config.check("dev", root=tmp_path)
    assert report.environment is not None, report.problems
    goods = permission_id("store", "app role", "Goods.Read")
    user, logs = "df021288-bdef-4463-88db-98f22de89214", "e8f6e161-84d0-4cd7-9441-2d46ec9ec3d5"
    ids = {"Microsoft Graph": user, "Log Analytics API": logs}
    accesses = [
        {"resourceAppId": FIRST_PARTY[api], "resourceAccesses": [{"id": guid, "type": "Role"}]}
        for api, guid in ids.items()
    ]
    accesses.append(
        {"resourceAppId": "04da6b54-80e4-46f7-96ec-b56ff0331ba9", "resourceAccesses": [{"id": goods, "type": "Role"}]}
    )
    reading = changes.read(
        [
            step("create", APPLICATION, "log-reader", None, {"requiredResourceAccesses": accesses}),
            step("create", CONSENT, "log-reader/log-analytics-api/Data.Read", None, {"appRoleId": logs}),
        ]
    )
    made = reviewer.of_preview("dev", reading, report, now=NOW, base=Base("main", None))
    assert {(entry.kind, entry.scope, entry.name, entry.origin) for entry in made.access} == {
        ("consent", "Log Analytics API", "Data.Read", ""),
        ("permission", "Microsoft Graph", "User.Read.All", ""),
        ("permission", "store", "Goods.Read", ""),
    }


def test_a_consent_that_is_taken_away_has_the_name_that_the_base_gave_it(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    file = tmp_path / "config" / "dev.yaml"
    file.write_text(READS + "    permissions: [{api: Log Analytics API, application: [Data.Read], consent: true}]\n")
    base = Base("main", config.load("dev", root=tmp_path))
    file.write_text(READS)
    gone = {"appRoleId": "99999999-2222-3333-4444-555555555555", "resourceObjectId": "1"}
    reading = changes.read([SAME, step("delete", CONSENT, "log-reader/log-analytics-api/Data.Read", gone, None)])
    made = reviewer.of_preview("dev", reading, config.check("dev", root=tmp_path), now=NOW, base=base)
    assert [(entry.change, entry.scope, entry.name, entry.origin) for entry in made.access] == [
        ("lost", "Log Analytics API", "Data.Read", "")
    ]


def test_an_app_under_another_name_is_one_sentence(tmp_path: Path) -> None:
    """Nothing of it is gained, lost or taken away, nor of those that call it; only its outputs have other names."""
    (tmp_path / "config").mkdir()
    file = tmp_path / "config" / "dev.yaml"
    caller = "  caller: {permissions: [{api: API, application: [Read], consent: true}]}\n"
    store = "    display_name: Store\n    federated: [{name: main, issuer: 'https://i.example.com', subject: s}]\n"
    store += "    app_roles: {Read: {description: d}}\n"
    file.write_text("apps:\n  store:\n" + store + caller.replace("API", "store"))
    base = Base("main", config.load("dev", root=tmp_path))
    file.write_text("apps:\n  shop:\n    renamed_from: store\n" + store + caller.replace("API", "shop"))
    made = reviewer.of_commits("dev", base, config.check("dev", root=tmp_path), now=NOW)
    assert [(entry.app, entry.change, entry.was) for entry in made.apps] == [("shop", "renamed", "store")]
    assert (made.breaks, made.access, made.credentials, made.settings) == ((), (), (), ())
    assert (
        "shop (Store) has another name here and stays as it is in the cloud; it was store: the outputs store_… go, shop_… come"
        in page.terminal(made)
    )


def test_a_setting_that_only_its_key_says_is_a_line(compare: Compare) -> None:
    """A claim with nothing but a name, and `api: {}`, which asks for another version of tokens than no `api`."""
    bare = "apps:\n  log-reader:\n    display_name: Log reader\n"
    review = compare(bare + "    optional_claims: {id_token: [{name: upn}]}\n    api: {}\n", bare)
    assert [(each.path, each.old, each.new) for each in review.settings] == [
        ("api.token_version", 2, None),
        ("optional_claims.id_token[upn]", "upn", None),
    ]
