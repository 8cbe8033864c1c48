"""How tokens and query results are printed."""

import csv
import datetime as dt
import io
import json
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from entrant.errors import ConfigurationError
from entrant.facts.unsafe_text import harmless

if TYPE_CHECKING:
    from entrant.tokens.credentials import Token

FORMS = {
    "raw": "the token alone",
    "json": "the token, both times of expiry, and who it is for",
    "header": "Authorization: Bearer …",
    "bash": "export NAME=…, for eval in bash, zsh and sh",
    "fish": "set -gx NAME …",
    "powershell": "$env:NAME = …",
    "az": "as `az account get-access-token -o json`",
    "kubernetes": "an ExecCredential, for a kubeconfig's `exec`",
    "bazel": "a Bazel credential helper's answer; the request is read from standard input",
    "github-env": "masked, then NAME in $GITHUB_ENV for the steps that follow",
    "github-output": "masked, then NAME in $GITHUB_OUTPUT",
    "azure-devops": "a secret variable NAME for the steps that follow",
}
"""Every form of a token, and what it is."""
SHELLS = ("bash", "fish", "powershell")
"""The forms that a shell reads as its own language."""


def variable(audience: str) -> str:
    """The environment variable that holds the token for an audience unless another is named.

    >>> variable("logs"), variable("https://vault.azure.net/.default")
    ('ENTRANT_TOKEN_LOGS', 'ENTRANT_TOKEN_VAULT_AZURE_NET')
    """
    plain = audience.removesuffix("/.default").partition("://")[2] or audience.removesuffix("/.default")
    return "ENTRANT_TOKEN_" + re.sub(r"[^A-Z0-9]+", "_", plain.upper()).strip("_")


def render(token: "Token", form: str, *, name: str = "ENTRANT_TOKEN", environ: Mapping[str, str] = os.environ) -> str:
    """A token as text, in one of `FORMS`; `name` is the variable that some of them set.

    JSON has `access_token`, `token_type`, `expires_on` (seconds since 1970), `expires_at` (RFC 3339, UTC), `audience`, `scope`,
    `tenant` and `client_id`. For Kubernetes, `environ` says which version of the API the caller speaks. The forms of GitHub and
    Bazel do more than give a text: `give_github` and `answer_bazel` are for them.
    """
    secret = token.access_token
    match form:
        case "raw":
            return secret
        case "header":
            return f"Authorization: Bearer {secret}"
        case "bash" | "fish" | "powershell":
            return assignment(form, name, secret)
        case "azure-devops":
            # Escapes of logging commands: Azure DevOps, "Logging commands".
            escaped = secret.replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A")
            return f"##vso[task.setvariable variable={name};issecret=true]{escaped}"
        case "az":
            return json.dumps(_az(token), indent=2)
        case "kubernetes":
            return json.dumps(_kubernetes(token, environ))
        case "json":
            return json.dumps(_json(token))
    raise ValueError(f"no form of a token: {form}")


def assignment(form: str, name: str, value: str) -> str:
    """A line by which a shell (`bash`, `fish`, `powershell`) exports a variable, whatever is in its value."""
    match form:
        case "bash":
            return f"export {name}={shlex.quote(value)}"
        case "fish":
            quoted = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"set -gx {name} '{quoted}'"
        case "powershell":
            quoted = re.sub(
                "(['\u2018-\u201b])", r"\1\1", value
            )  # all of them are quotes (PowerShell, about_Quoting_Rules)
            return f"$env:{name} = '{quoted}'"
    raise ValueError(f"no shell: {form}")


def removal(form: str, name: str) -> str:
    """A line by which a shell (`bash`, `fish`, `powershell`) forgets a variable, whether it has it or not."""
    match form:
        case "bash":
            return f"unset {name}"
        case "fish":
            return f"set -e {name}"
        case "powershell":
            return f"Remove-Item Env:{name} -ErrorAction SilentlyContinue"
    raise ValueError(f"no shell: {form}")


def _json(token: "Token") -> dict[str, Any]:
    return {
        "access_token": token.access_token,
        "token_type": "Bearer",
        "expires_on": token.expires_on,
        "expires_at": _utc(token.expires_on),
        "audience": token.audience,
        "scope": token.scope,
        "tenant": token.tenant_id,
        "client_id": token.client_id,
    }


def _az(token: "Token") -> dict[str, Any]:
    """Microsoft, "Sign in with Azure CLI": `expiresOn` is local time, `expires_on` (since 2.54) a POSIX timestamp.

    There is no `subscription`, as when az was asked with `--tenant`.
    """
    local = dt.datetime.fromtimestamp(token.expires_on)
    return {
        "accessToken": token.access_token,
        "expiresOn": local.strftime("%Y-%m-%d %H:%M:%S.%f"),
        "expires_on": token.expires_on,
        "tenant": token.tenant_id,
        "tokenType": "Bearer",
    }


def _kubernetes(token: "Token", environ: Mapping[str, str]) -> dict[str, Any]:
    """Kubernetes, "Client Authentication": the answer's version must be the one in `KUBERNETES_EXEC_INFO`."""
    version = "client.authentication.k8s.io/v1"
    request = environ.get("KUBERNETES_EXEC_INFO")
    if request:
        try:
            version = json.loads(request)["apiVersion"]
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError(
                "KUBERNETES_EXEC_INFO is not what kubectl sets", next_step="unset it, or let kubectl set it"
            ) from None
        if version not in ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"):
            raise ConfigurationError(
                f"kubectl asks for {version!r}, which no token can be given in",
                next_step="write apiVersion: client.authentication.k8s.io/v1 in the kubeconfig's exec",
            )
    return {
        "apiVersion": version,
        "kind": "ExecCredential",
        "status": {"token": token.access_token, "expirationTimestamp": _utc(token.expires_on)},
    }


def answer_bazel(token: "Token", request: str) -> str:
    """The answer to a Bazel credential helper's request `{"uri": "https://…"}`: its headers, and when they expire.

    A URI that is not https gets no headers: a token is not sent in clear.
    Source: EngFlow, credential-helper-spec (the protocol of Bazel 7 and later).

    Raises:
        ConfigurationError: the request is not of the protocol.
    """
    try:
        uri = json.loads(request)["uri"]
    except (ValueError, KeyError, TypeError):
        uri = None
    if not isinstance(uri, str):
        raise ConfigurationError(
            'standard input is not a credential helper\'s request, such as {"uri": "https://example.com/"}',
            next_step="let Bazel call it: --credential_helper=HOST=/path/to/a/script/that/runs/this",
        )
    if not uri.lower().startswith("https://"):
        return json.dumps({"headers": {}})
    headers = {"Authorization": [f"Bearer {token.access_token}"]}
    return json.dumps({"headers": headers, "expires": _utc(token.expires_on)})


def for_github(name: str, value: str) -> str:
    """A line or lines that give `$GITHUB_ENV` or `$GITHUB_OUTPUT` any value (GitHub, "Workflow commands", Multiline strings)."""
    if not re.search(r"[\r\n]", value):
        return f"{name}={value}\n"
    end = f"end-{os.urandom(16).hex()}"
    return f"{name}<<{end}\n{value}\n{end}\n"


def give_github(token: "Token", form: str, name: str, say: Callable[[str], object], environ: Mapping[str, str]) -> None:
    """Have GitHub mask the token (what `say` prints), and only then write it to `$GITHUB_ENV` or `$GITHUB_OUTPUT` as `name`.

    Raises:
        ConfigurationError: this is no GitHub Actions job.
    """
    file = {"github-env": "GITHUB_ENV", "github-output": "GITHUB_OUTPUT"}[form]
    path = environ.get(file)
    if not path:
        raise ConfigurationError(f"{file} is not set", next_step=f"--format {form} is for a step of GitHub Actions")
    say(f"::add-mask::{token.access_token}")
    with open(path, "a", encoding="utf-8") as output:
        output.write(for_github(name, token.access_token))


def _utc(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> str:
    """A query result as `table` (aligned columns), `csv`, or `json` (a list of objects); ends in a newline.

    A value is written as KQL and JSON write it (`true`, nested values as JSON text); in `csv` and `table` text stands without
    quotes and null is empty. In `csv` a text that a spreadsheet would take for a formula has a `'` before it. A `table` has no
    control characters: one that a log holds is shown as an escape.
    """
    if form == "json":
        return json.dumps([dict(zip(columns, row, strict=True)) for row in rows]) + "\n"
    texts = [[_text(value) for value in row] for row in rows]
    if form == "csv":
        out = io.StringIO()
        cells = [
            [_cell(text, value) for text, value in zip(*both, strict=True)] for both in zip(texts, rows, strict=True)
        ]
        csv.writer(out, lineterminator="\n").writerows([[_cell(name, name) for name in columns], *cells])
        return out.getvalue()
    columns, texts = [harmless(name) for name in columns], [[harmless(text) for text in row] for row in texts]
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in (columns, ["-" * width for width in widths], *texts)
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str, value: Any) -> str:
    """OWASP, "CSV Injection": what begins a formula."""
    return f"'{text}" if isinstance(value, str) and text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
