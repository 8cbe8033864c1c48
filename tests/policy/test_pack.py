"""The policy pack in the real engine: the same rules, judged on resources, with the environment's own levels."""

import json
import re
import subprocess
from collections.abc import Callable

import pytest

from entrant import config, policy
from tests.conftest import Project

SUBSCRIPTION = "7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631"
SOUND = "apps:\n  sound: {display_name: Sound (pack), owners: [deployer], secret: {every: 90d}}\n"
BROKEN = f"""
  plain:
    display_name: Plain (pack)
    secret: {{every: 200d}}
    federated: [{{github: {{repository: contoso/obs, branch: main}}}}]
    roles: [{{role: Reader, scope: /subscriptions/{SUBSCRIPTION}/resourceGroups/rg-pack}}]
    web: {{redirect_uris: ["https://*.pack.example/"], implicit_grant: {{access_tokens: true}}}}
  strong:
    display_name: Strong (pack)
    owners: [deployer]
    sign_in_audience: AzureADMultipleOrgs
    allow_privileged: true
    reason: SEC-77
    directory_roles: [{{role: Global Administrator}}]
    roles: [{{role: Owner, scope: {{subscription: {SUBSCRIPTION}}}}}]
    permissions: [{{api: Microsoft Graph, application: [Directory.ReadWrite.All], consent: true}}]
"""
Judge = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def judge(project: Project) -> Judge:
    """`judge(text, "preview", …)` runs pulumi with the pack on a stack that holds the sound app alone."""
    project.write("pack", SOUND)
    done = project.entrant("rehearse", "pack", "--propagation", "0")
    assert done.returncode == 0, done.stderr

    def run(text: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        project.write("pack", text)
        return project.pulumi("pack", *arguments, "-s", "pack", "--color=never", "--policy-pack", "policy")

    return run


def levels(default: str, **others: str) -> str:
    """Every rule at one level, but for some."""
    each = {name: default for name in policy.RULES} | {name.replace("_", "-"): level for name, level in others.items()}
    return "policy: {" + ", ".join(f"{name}: {level}" for name, level in each.items()) + "}\n"


def violations(output: str) -> set[tuple[str, str, str]]:
    """What the engine shows of the pack: app, rule, enforcement level."""
    found = re.findall(r"- \[(\w+)\] +(\S+) +\(.*\)\n.*\n +([\w-]+): ", output)
    return {(app, rule, level) for level, rule, app in found}


def test_an_environment_that_breaks_no_rule_passes(judge: Judge) -> None:
    done = judge(SOUND, "preview")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✅ entrant@v" in done.stdout
    assert violations(done.stdout) == set()


def test_the_pack_finds_in_resources_that_do_not_exist_yet_what_validate_finds_in_the_file(
    judge: Judge, project: Project
) -> None:
    """Ids are unknown in this preview; a rule that needs none must not be put off, nor be broken for want of one."""
    text = levels("warning") + SOUND + BROKEN
    done = judge(text, "preview")
    assert done.returncode == 0, done.stdout + done.stderr
    in_file = policy.evaluate(config.load("pack", root=project.root))
    assert violations(done.stdout) == {(found.app, found.rule, "advisory") for found in in_file}
    assert {found.rule for found in in_file} == set(policy.RULES) - {"http-redirect"}
    assert 'strong: Owner can give itself any role (reason given: "SEC-77"); give the narrower role' in done.stdout
    assert "can't run policy" not in done.stdout


def test_a_mandatory_rule_stops_an_up_before_anything_is_made(judge: Judge) -> None:
    done = judge(levels("off", wildcard_redirect="error") + SOUND + BROKEN, "up", "--yes")
    assert done.returncode != 0
    assert violations(done.stdout) == {("plain", "wildcard-redirect", "mandatory")}
    again = judge(levels("off") + SOUND, "preview", "--expect-no-changes")
    assert again.returncode == 0, again.stdout + again.stderr


def test_rules_that_are_off_are_silent_and_a_config_file_of_pulumi_has_the_last_word(
    judge: Judge, project: Project
) -> None:
    file = project.root / "levels.json"
    file.write_text(json.dumps({"wildcard-redirect": "advisory", "multi-tenant": "mandatory"}), "utf-8")
    text = levels("off", wildcard_redirect="error") + SOUND + BROKEN
    done = judge(text, "preview", "--policy-pack-config", str(file))
    assert done.returncode != 0
    assert violations(done.stdout) == {
        ("plain", "wildcard-redirect", "advisory"),
        ("strong", "multi-tenant", "mandatory"),
    }
