"""`wait`, `check`, `doctor`, `explain`: whether access works, and if not, why."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import click

from entrant import engine, markdown, outputs, project
from entrant import explain as explanations
from entrant.access import deployer as deployers
from entrant.access import trials
from entrant.commands import options
from entrant.errors import ConfigurationError, EntrantError, NotReadyError, RefusedError
from entrant.facts.clouds import Cloud
from entrant.facts.unsafe_text import harmless
from entrant.tokens import clouds

_MARKS = {"granted": "✓", "seen": "○", "ok": "✓", "pending": "…", "denied": "✗", "problem": "✗", "unknown": "?"}

_probe = click.option(
    "--probe",
    type=click.Choice(["read", "write"]),
    default="read",
    show_default=True,
    help="With write, custom metrics are proved by sending one.",
)


def _chosen(found: outputs.Outputs, apps: tuple[str, ...]) -> tuple[list[outputs.App], Callable[[outputs.App], Cloud]]:
    chosen = [found.app(name) for name in apps] if apps else list(found.apps.values())
    cloud = clouds.resolve(found.cloud, os.environ)
    return chosen, lambda app: cloud


@click.command()
@click.argument("apps", nargs=-1, shell_complete=options.complete_apps)
@options.stack
@options.cwd
@_probe
@click.option("--timeout", type=click.FloatRange(0), default=3600.0, show_default=True, help="Seconds to wait at most.")
@click.option(
    "--successes", type=click.IntRange(1, 100), default=trials.SUCCESSES, show_default=True, help="Tokens in a row."
)
def wait(apps: tuple[str, ...], stack: str, cwd: Path | None, probe: str, timeout: float, successes: int) -> int:
    """Wait until every declared grant works, tried as the service principals themselves.

    What cannot be tried as the app (it has no credential here, a consent for users, an owner, a group) is looked for as whoever
    is signed in, and told as seen, not tried. Exit code 9 when the time is up, at once where waiting cannot help, and
    where something could be neither tried nor seen.

    \b
    pulumi up -s dev && python3 -m entrant wait -s dev
    python3 -m entrant wait -s dev log-reader --timeout 600
    """
    found = engine.stack_outputs(stack, cwd=cwd)
    chosen, cloud = _chosen(found, apps)
    voice = threading.Lock()

    def tell(proof: trials.Proof, elapsed: float) -> None:
        with voice:
            options.remark(f"{_MARKS[proof.state]} {elapsed:5.1f} s  {proof.app}: {proof.target}: {proof.said}")

    proofs = trials.wait(
        chosen,
        cloud,
        deployer=deployers.find(cloud(chosen[0]), os.environ) if chosen else None,
        write=probe == "write",
        stack=stack,
        seconds=timeout,
        outputs=found,
        successes=successes,
        tell=tell,
    )
    missing = [proof for proof in proofs if proof.state not in ("granted", "seen")]
    if missing:
        listed = "; ".join(f"{proof.app}: {proof.target} ({proof.said}: {proof.evidence})" for proof in missing)
        raise NotReadyError(f"still missing: {listed}", next_step=missing[0].next_step)
    ready = all(proof.state == "granted" for proof in proofs)
    options.remark(f"{'ready' if ready else 'nothing is missing'}: {_counted(proofs)}")
    return 0


def _counted(proofs: list[trials.Proof]) -> str:
    """How many were tried, seen, and so on, in words."""
    words = {
        "granted": "work, tried as the app",
        "seen": "seen from outside, not tried as the app",
        "pending": "pending",
        "denied": "denied",
        "unknown": "neither tried nor seen",
    }
    counts = {state: sum(proof.state == state for proof in proofs) for state in words}
    return ", ".join(f"{count} {words[state]}" for state, count in counts.items() if count) or "nothing is declared"


@click.command()
@click.argument("apps", nargs=-1, shell_complete=options.complete_apps)
@options.stack
@options.cwd
@_probe
@options.form("text", "json", "junit", "markdown", default="text")
def check(apps: tuple[str, ...], stack: str, cwd: Path | None, probe: str, form: str) -> int:
    """Try every declared grant once, as the service principals themselves, and look for what is not declared.

    Each is granted, seen (from outside, as whoever is signed in, where it cannot be tried as the app), pending, denied or
    unknown, with evidence. Exit code 4 if one is pending or denied, else 9 if one could be neither tried nor seen, else 7 if
    something undeclared is there; another when looking for that failed.

    \b
    python3 -m entrant check -s dev
    python3 -m entrant check -s dev --format junit > access.xml
    """
    from entrant.drift import unmanaged

    found = engine.stack_outputs(stack, cwd=cwd)
    chosen, cloud = _chosen(found, apps)
    deployer = deployers.find(cloud(chosen[0]), os.environ) if chosen else None
    proofs = trials.check(chosen, cloud, deployer=deployer, write=probe == "write", stack=stack, outputs=found)
    extra: list[unmanaged.Unmanaged] = []
    code = 0
    if deployer is None:
        click.echo(
            "undeclared access was not looked for: there is no deployer (az login, or ARM_* variables)", err=True
        )
    else:
        try:
            seen = unmanaged.look(found, deployer, chosen)
        except EntrantError as error:
            click.echo(f"undeclared access was not looked for: {error}", err=True)
            code = error.exit_code
        else:
            extra = list(seen.found)
            for unseen in seen.unseen:
                click.echo(f"not looked at: {unseen}", err=True)
    click.echo(_REPORTS[form](stack, proofs, extra))
    states = {proof.state for proof in proofs}
    if states & {"pending", "denied"}:
        return RefusedError.exit_code
    if "unknown" in states:
        return NotReadyError.exit_code
    return 7 if extra else code


def _text(stack: str, proofs: list[trials.Proof], extra: list[Any]) -> str:
    lines = []
    for proof in proofs:
        lines.append(f"{_MARKS[proof.state]} {proof.app}: {proof.target}: {proof.said}: {proof.evidence}")
        if proof.next_step and proof.state != "granted":
            lines.append(f"    {proof.next_step}")
    return "\n".join([*lines, *(f"! {item}" for item in extra), _counted(proofs)])


def _json(stack: str, proofs: list[trials.Proof], extra: list[Any]) -> str:
    grants = [
        {name: getattr(proof, name) for name in ("app", "layer", "target", "state", "evidence", "next_step")}
        for proof in proofs
    ]
    undeclared = [{name: getattr(item, name) for name in ("app", "kind", "what", "id")} for item in extra]
    counts = {state: sum(proof.state == state for proof in proofs) for state in get_args(trials.State)}
    return json.dumps({"stack": stack, "counts": counts, "grants": grants, "undeclared": undeclared})


def _junit(stack: str, proofs: list[trials.Proof], extra: list[Any]) -> str:
    bad = [proof for proof in proofs if proof.state in ("pending", "denied")]
    unknown = [proof for proof in proofs if proof.state == "unknown"]
    counts = {"tests": len(proofs) + len(extra), "failures": len(bad) + len(extra), "errors": len(unknown)}
    suite = ElementTree.Element("testsuite", {"name": stack} | {key: str(value) for key, value in counts.items()})
    for proof in proofs:
        case = ElementTree.SubElement(suite, "testcase", classname=proof.app, name=f"{proof.layer}: {proof.target}")
        if proof.state in ("pending", "denied"):
            ElementTree.SubElement(case, "failure", type=proof.state, message=proof.evidence).text = proof.next_step
        elif proof.state == "unknown":
            ElementTree.SubElement(case, "error", type=proof.state, message=proof.evidence).text = proof.next_step
        elif proof.state == "seen":
            ElementTree.SubElement(case, "system-out").text = f"{proof.said}: {proof.evidence}"
    for item in extra:
        case = ElementTree.SubElement(suite, "testcase", classname=item.app, name=f"undeclared {item.kind}: {item.id}")
        ElementTree.SubElement(case, "failure", type="undeclared", message=item.what)
    for element in suite.iter():
        element.attrib.update({name: _in_xml(value) for name, value in element.attrib.items()})
        element.text = _in_xml(element.text) if element.text else element.text
    return ElementTree.tostring(suite, encoding="unicode")


def _in_xml(text: str) -> str:
    """A text of characters that XML 1.0 has (section 2.2): what is none, as an escape."""
    return re.sub("[\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", harmless(text, keep="\n\t"))


def _markdown(stack: str, proofs: list[trials.Proof], extra: list[Any]) -> str:
    lines = [f"### Access of {markdown.code(stack)}", "", f"{_counted(proofs)}.", ""]
    lines += ["| app | grant | state | evidence |", "|---|---|---|---|"]
    for proof in proofs:
        app, target, evidence = map(markdown.text, (proof.app, proof.target, proof.evidence))
        lines.append(f"| {app} | {target} | {_MARKS[proof.state]} {proof.said} | {evidence} |")
    return "\n".join([*lines, *([""] if extra else []), *(f"- ⚠️ {markdown.text(item)}" for item in extra)])


_REPORTS = {"text": _text, "json": _json, "junit": _junit, "markdown": _markdown}


@click.command()
@options.stack
@options.cwd
@options.form("text", "json", default="text")
def doctor(stack: str, cwd: Path | None, form: str) -> int:
    """Before `pulumi up`: whether the deployer may do what environment STACK asks for, and whether limits are in the way.

    Exit code 4 if something is.

    \b
    python3 -m entrant doctor -s dev
    """
    from entrant import config
    from entrant.access import doctor as examination

    try:
        environment = config.load(stack, root=cwd or project.ROOT)
    except config.ConfigError as error:
        raise ConfigurationError(
            str(error), next_step="correct the file; `python3 -m entrant validate` checks it"
        ) from None
    deployer = deployers.find(clouds.resolve(environment.cloud, os.environ), os.environ)
    findings = list(
        examination.examine(environment, deployer, cwd=cwd or project.ROOT, environ=os.environ, stack=stack)
    )
    if form == "json":
        fields = ("what", "state", "evidence", "next_step")
        click.echo(json.dumps([{name: getattr(finding, name) for name in fields} for finding in findings]))
    else:
        for finding in findings:
            click.echo(f"{_MARKS[finding.state]} {finding.what}: {finding.evidence}")
            if finding.next_step:
                click.echo(f"    {finding.next_step}")
    return RefusedError.exit_code if any(finding.state == "problem" for finding in findings) else 0


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.option("-s", "--stack", default="STACK", metavar="STACK", help="To name the stack in the next steps.")
def explain(words: tuple[str, ...], stack: str) -> int:
    """Explain an error of Entra ID, Graph, Resource Manager, Key Vault or Azure Monitor: a code in any case, a text that holds
    one, or a response body on standard input.

    After --, a command: it is run, and what it says is explained. Exit code 1 if nothing is known.

    \b
    python3 -m entrant explain AADSTS7000215
    curl … | python3 -m entrant explain
    python3 -m entrant explain -- az role assignment list
    """
    code = 0
    if "--" in sys.argv and words:
        done = subprocess.run(words, capture_output=True, text=True)
        sys.stdout.write(done.stdout)
        sys.stderr.write(done.stderr)
        code, text = done.returncode, done.stderr + done.stdout
        if code == 0:
            return 0
    else:
        text = " ".join(words) or sys.stdin.read()
    found = explanations.explain(text, stack=stack)
    if not found:
        click.echo("nothing in it is known", err=True)
        for number in dict.fromkeys(re.findall(r"(?i)AADSTS(\d+)", text)):
            click.echo(
                f"  Microsoft on AADSTS{number}: https://login.microsoftonline.com/error?code={number}", err=True
            )
        return code or EntrantError.exit_code
    again = {"no": "do not try again as it is", "later": "trying again later may help", "once": "try again once"}
    for finding in found:
        click.echo(f"{finding.code}: {finding.cause}\n  {again[finding.retry]}; {finding.next_step}")
    return code
