"""Commands that CI systems read in a job's output: of GitHub Actions and of Azure Pipelines."""

from entrant.facts.unsafe_text import harmless, no_command


def workflow_command(command: str, message: str, **properties: str) -> str:
    """A workflow command of GitHub Actions: `::warning file=config/dev.yaml,line=3::message`.

    GitHub, "Workflow commands": %, CR and LF of a value are percent-encoded; `:` and `,` too in properties.
    """
    encoded = ",".join(
        f"{name}={_escaped(value).replace(':', '%3A').replace(',', '%2C')}" for name, value in properties.items()
    )
    return f"::{command}{' ' if encoded else ''}{encoded}::{_escaped(message)}"


def _escaped(value: str) -> str:
    return _value(value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _value(text: str) -> str:
    """A text on one line for a command's value, with no other command in it."""
    return no_command(harmless(text, keep="\t"))


def logging_command(command: str, message: str, **properties: str) -> str:
    """A logging command of Azure Pipelines: `##vso[task.logissue type=warning;]message`.

    Azure DevOps, "Logging commands", Formatting commands: %, CR and LF of a value are encoded; `;` and `]` too in properties.
    """

    def escaped(value: str) -> str:
        return _value(value.replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A"))

    encoded = "".join(
        f"{name}={escaped(value).replace(';', '%3B').replace(']', '%5D')};" for name, value in properties.items()
    )
    return f"##vso[{command} {encoded}]{escaped(message)}"
