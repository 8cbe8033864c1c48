"""`entrant explain`: what an error of Azure means."""

import json
import re
import subprocess
import sys

import click

from entrant import explain as explanations
from entrant.commands import options
from entrant.errors import EntrantError


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.option("-s", "--stack", default="STACK", metavar="STACK", help="To name the stack in the next steps.")
@options.form(
    "text", "json", default="text", help="JSON is a list: code, cause, retry (no, later or once) and next step."
)
def explain(words: tuple[str, ...], stack: str, form: str) -> int:
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
        (sys.stderr if form == "json" else sys.stdout).write(done.stdout)
        sys.stderr.write(done.stderr)
        code, text = done.returncode, done.stderr + done.stdout
        if code == 0:
            if form == "json":
                click.echo("[]")
            return 0
    else:
        text = " ".join(words) or sys.stdin.read()
    found = explanations.explain(text, stack=stack)
    if form == "json":
        click.echo(json.dumps([finding._asdict() for finding in found]))
    if not found:
        click.echo("nothing in it is known", err=True)
        for number in dict.fromkeys(re.findall(r"(?i)AADSTS(\d+)", text)):
            click.echo(
                f"  Microsoft on AADSTS{number}: https://login.microsoftonline.com/error?code={number}", err=True
            )
        return code or EntrantError.exit_code
    if form == "json":
        return code
    again = {"no": "do not try again as it is", "later": "trying again later may help", "once": "try again once"}
    for finding in found:
        click.echo(f"{finding.code}: {finding.cause}\n  {again[finding.retry]}; {finding.next_step}")
    return code
