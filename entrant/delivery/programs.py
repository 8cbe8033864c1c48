"""Places that are reached through a program: Kubernetes by kubectl, and anything by a program of one's own.

The secret or certificate is on a program's standard input, never in its arguments, and is masked in what it says.

Sources: Kubernetes, "Server-Side Apply" (an apply owns the fields it sets, and conflicts with another owner of one); "Secrets" (of
the type `kubernetes.io/tls`, whose type cannot be changed).
"""

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from entrant.config.delivery import CommandDelivery, KubernetesDelivery
from entrant.delivery.sinks import Item, Sink
from entrant.errors import ConfigurationError, EntrantError
from entrant.facts.contract import CLIENT_SECRET, kind_of
from entrant.tokens.runner import Masker

PATIENCE = 300.0
"""Seconds that a program may take."""
ANNOTATION = "entrant/key-id"
MANAGER = "entrant"
_SECRET_FIELDS = ("AZURE_CLIENT_SECRET",)
_CERTIFICATE_FIELDS = ("tls.crt", "tls.key", "client.pem")
"""Those of `kubernetes.io/tls`, and both in one, as AZURE_CLIENT_CERTIFICATE_PATH wants it."""


def run(command: Sequence[str], *, stdin: str = "", cwd: Path, environ: Mapping[str, str], secret: str = "") -> str:
    """Run a program with a text on its standard input; what it says on standard output.

    Raises:
        ConfigurationError: it is not there. EntrantError: it failed; with the end of what it said, without the secret.
    """
    at = cwd / command[0] if os.sep in command[0] else shutil.which(command[0], path=environ.get("PATH"))
    if at is None or not Path(at).exists():
        raise ConfigurationError(f"there is no program {command[0]}", next_step="install it, or correct its name")
    try:
        process = subprocess.Popen(
            [str(at), *command[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=dict(environ),
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigurationError(f"{command[0]} cannot be run: {error.strerror}") from None
    with process:
        try:
            out, err = process.communicate(stdin.encode(), timeout=PATIENCE)
        except BaseException as error:
            _kill(process)
            if isinstance(error, subprocess.TimeoutExpired):
                message = (
                    f"{command[0]}, or a program that it started, did not end within {PATIENCE:.0f} s and was killed"
                )
                raise EntrantError(message) from None
            raise
    if process.returncode:
        message = _masked(err or out, secret).strip()[-800:]
        raise EntrantError(f"{command[0]} ended with exit code {process.returncode}: {message}".removesuffix(": "))
    return _masked(out, secret)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a program and all that it started, which may have the secret, too."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _masked(data: bytes, secret: str) -> str:
    masker = Masker([secret] if secret else [])
    return (masker.feed(data) + masker.end()).decode("utf-8", "replace")


class Kubernetes(Sink):
    """A Secret that kubectl applies on the server; an annotation has the key id."""

    def __init__(
        self,
        place: KubernetesDelivery,
        root: Path,
        environ: Mapping[str, str] = os.environ,
        *,
        calendar: str = CLIENT_SECRET,
    ) -> None:
        super().__init__(environ)
        self._place, self._root = place, root
        self._fields = _SECRET_FIELDS if calendar == CLIENT_SECRET else _CERTIFICATE_FIELDS
        context = ["--context", place.context] if place.context else []
        self._kubectl = ["kubectl", *context, "--namespace", place.namespace]

    def address(self) -> str:
        """The API server of the context; without a kubeconfig, that of the cluster whose pod this runs in, as kubectl does it."""
        shown = ["config", "view", "--minify", "--output", "jsonpath={.clusters[0].cluster.server}"]
        cluster = self.environ.get("KUBERNETES_SERVICE_HOST")
        try:
            server = run([*self._kubectl, *shown], cwd=self._root, environ=self.environ).strip()
        except EntrantError as error:
            if "current-context must exist" not in str(error) or cluster is None:
                raise
            server = f"https://[{cluster}]" if ":" in cluster else f"https://{cluster}"
        return server if "://" in server else f"http://{server}"

    def holds(self) -> str | None:
        """The annotation, while no other manager has written a field with what is secret; that itself is not asked for."""
        shown = "{.metadata.annotations}{'\\n'}{.metadata.managedFields}"
        arguments = [
            "get",
            "secret",
            self._place.name,
            "--ignore-not-found",
            "--show-managed-fields",
            "-o",
            f"jsonpath={shown}",
        ]
        stdout = run([*self._kubectl, *arguments], cwd=self._root, environ=self.environ)
        annotations, _, managers = stdout.strip().partition("\n")
        try:
            noted = json.loads(annotations or "{}").get(ANNOTATION)
            owned = any(
                entry.get("manager") == MANAGER
                and entry.get("operation") == "Apply"
                and {f"f:{field}" for field in self._fields} <= (entry.get("fieldsV1", {}).get("f:data") or {}).keys()
                for entry in json.loads(managers or "[]")
            )
        except (ValueError, AttributeError):
            raise EntrantError(f"kubectl did not say what annotations the Secret {self._place.name} has") from None
        return noted if owned else None

    def put(self, item: Item) -> None:
        """Apply the Secret."""
        own = (item.value,) if item.calendar == CLIENT_SECRET else (*reversed(item.pair), item.value)
        values = {"AZURE_CLIENT_ID": item.client_id, "AZURE_TENANT_ID": item.tenant_id}
        values |= zip(self._fields, own, strict=True)
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            **({} if item.calendar == CLIENT_SECRET else {"type": "kubernetes.io/tls"}),
            "metadata": {
                "name": self._place.name,
                "namespace": self._place.namespace,
                "annotations": {ANNOTATION: item.key_id, "entrant/ends": f"{item.ends:%Y-%m-%dT%H:%M:%SZ}"},
            },
            "data": {name: base64.b64encode(value.encode()).decode() for name, value in values.items()},
        }
        arguments = ["apply", "--server-side", "--field-manager", MANAGER, "--validate=ignore", "--filename", "-"]
        try:
            run(
                [*self._kubectl, *arguments],
                stdin=json.dumps(manifest),
                cwd=self._root,
                environ=self.environ,
                secret=item.value,
            )
        except EntrantError as error:
            if "conflict" in str(error):
                error.next_step = (
                    f"something else writes this Secret too; let it stop, then let `{MANAGER}` have the fields: delete the Secret, "
                    "and deliver again"
                )
            elif "field is immutable" in str(error):
                error.next_step = (
                    f"the Secret {self._place.name} has another type than a {item.noun} needs, and types cannot be changed: "
                    "deliver under another name, or delete it and deliver again"
                )
            raise


class Command(Sink):
    """A program of one's own."""

    def __init__(
        self,
        place: CommandDelivery,
        app: str,
        root: Path,
        environ: Mapping[str, str] = os.environ,
        *,
        calendar: str = CLIENT_SECRET,
    ) -> None:
        super().__init__(environ)
        self._place, self._root, self._noun = place, root, kind_of(calendar)
        self._told = {"ENTRANT_APP": app} | ({} if calendar == CLIENT_SECRET else {"ENTRANT_CERTIFICATE": calendar})
        self.readable = place.holds is not None

    def holds(self) -> str | None:
        """What the program for it prints."""
        if self._place.holds is None:
            return None
        try:
            return run(self._place.holds, cwd=self._root, environ={**self.environ, **self._told}).strip() or None
        except ConfigurationError:
            raise
        except EntrantError as error:
            raise EntrantError(
                f"{error}; where there is no {self._noun} yet, `holds` prints nothing and ends with 0"
            ) from None

    def put(self, item: Item) -> None:
        """Run it with the secret or the certificate on standard input."""
        variables = {
            **self._told,
            "ENTRANT_TENANT_ID": item.tenant_id,
            "ENTRANT_CLIENT_ID": item.client_id,
            "ENTRANT_KEY_ID": item.key_id,
            "ENTRANT_ENDS": f"{item.ends:%Y-%m-%dT%H:%M:%SZ}",
        }
        environ = {**self.environ, **variables}
        run(self._place.command, stdin=item.value, cwd=self._root, environ=environ, secret=item.value)
