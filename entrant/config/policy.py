"""How much each rule of `policy/` matters in an environment. The rules themselves are there; their names stand here."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict

from .model import Model
from .source import Unclear

Level = Literal["error", "warning", "off"]


def _plain_off(value: Any) -> Any:
    """`off` needs no quotes here: the text and YAML 1.1's boolean mean the same."""
    return "off" if isinstance(value, Unclear) and value.kind.endswith(" off") else value


_Level = Annotated[Level, BeforeValidator(_plain_off)]


class Policy(Model):
    """Which policy rules matter here, and how much: `error` fails `validate` (exit code 5) and, with the policy pack, `pulumi
    up`; `warning` is said; `off` is not. What an app may have only with `allow_privileged` and a `reason` is refused without
    them, whatever stands here.
    """

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))

    privileged_role: _Level = "warning"
    """A role that can hand out roles, its own included, such as Owner, without a condition. Default warning."""
    wide_scope: _Level = "warning"
    """A role at a subscription, at a management group or at the root. Default warning."""
    privileged_directory_role: _Level = "warning"
    """A directory role that Microsoft labels privileged, such as Global Administrator. Default warning."""
    privileged_permission: _Level = "warning"
    """A Microsoft Graph permission that can take over accounts or the directory, such as `Directory.ReadWrite.All`.
    Default warning."""
    client_secret: _Level = "off"
    """Any client secret at all, for environments that do without. Default off."""
    avoidable_secret: _Level = "warning"
    """A client secret beside a federated credential, which could do its work. Default warning."""
    secret_lifetime: _Level = "warning"
    """A client secret that lives longer than `limits.secret_lifetime`, or, where that is not set, than 180 days.
    Default warning."""
    missing_owner: _Level = "warning"
    """A registration without owners. Default warning."""
    multi_tenant: _Level = "warning"
    """Accounts of other tenants, or personal ones, can sign in. Default warning."""
    wildcard_redirect: _Level = "error"
    """A redirect URI with a wildcard. Default error."""
    http_redirect: _Level = "error"
    """A redirect URI with http that is not a loopback address. Default error."""
    implicit_grant: _Level = "warning"
    """Access tokens straight from the authorization endpoint. Default warning."""

    def level(self, rule: str) -> Level:
        """How much a rule matters, by its name (`missing-owner`)."""
        level: Level = getattr(self, rule.replace("-", "_"))
        return level


RULES: Final = tuple(str(field.alias) for field in Policy.model_fields.values())
"""The names of the rules."""


@cache
def meanings() -> Mapping[str, str]:
    """The name of each rule → what it finds."""
    from .schema import docstrings

    written = dict(docstrings(Policy))
    return {
        str(field.alias): " ".join(written[name].split()).rsplit(" Default ", 1)[0]
        for name, field in Policy.model_fields.items()
    }
