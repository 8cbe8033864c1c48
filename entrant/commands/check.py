"""`entrant check`: every declared grant tried once, with evidence."""

import json
import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click

from entrant import engine, markdown
from entrant.access import deployer as deployers
from entrant.access import trials
from entrant.access.directory import Directory
from entrant.commands import options
from entrant.commands.proofs import MARKS, apps_and_clouds, counted, probe_option, records
from entrant.errors import EntrantError, NotReadyError, RefusedError
from entrant.facts.unsafe_text import harmless


@click.command()
@click.argument("apps", nargs=-1, shell_complete=options.complete_apps)
@options.stack
@options.cwd
@probe_option
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
    chosen, cloud = apps_and_clouds(found, apps)
    deployer = deployers.find(cloud(chosen[0]), os.environ) if chosen else None
    directory = Directory(deployer) if deployer else None
    proofs = trials.check(chosen, cloud, directory=directory, write=probe == "write", stack=stack, outputs=found)
    extra: list[unmanaged.Unmanaged] = []
    code = 0
    if deployer is None:
        click.echo(
            "undeclared access was not looked for: there is no deployer (az login, or ARM_* variables)", err=True
        )
    else:
        try:
            seen = unmanaged.look(found, deployer, chosen, directory)
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
        lines.append(f"{MARKS[proof.state]} {proof.app}: {proof.target}: {proof.in_words}: {proof.evidence}")
        if proof.next_step and proof.state != "granted":
            lines.append(f"    {proof.next_step}")
    return "\n".join([*lines, *(f"! {item}" for item in extra), counted(proofs)])


def _json(stack: str, proofs: list[trials.Proof], extra: list[Any]) -> str:
    undeclared = [{name: getattr(item, name) for name in ("app", "kind", "what", "id")} for item in extra]
    return json.dumps({"stack": stack, **records(proofs), "undeclared": undeclared})


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
            ElementTree.SubElement(case, "system-out").text = f"{proof.in_words}: {proof.evidence}"
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
    lines = [f"### Access of {markdown.code(stack)}", "", f"{counted(proofs)}.", ""]
    lines += ["| app | grant | state | evidence |", "|---|---|---|---|"]
    for proof in proofs:
        app, target, evidence = map(markdown.text, (proof.app, proof.target, proof.evidence))
        lines.append(f"| {app} | {target} | {MARKS[proof.state]} {proof.in_words} | {evidence} |")
    return "\n".join([*lines, *([""] if extra else []), *(f"- ⚠️ {markdown.text(item)}" for item in extra)])


_REPORTS = {"text": _text, "json": _json, "junit": _junit, "markdown": _markdown}
