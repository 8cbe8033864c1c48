"""A shell with the settings of a local Azure: every tool trusts it, and the shell gets back what it had."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

import local_azure
from entrant import shells
from entrant.commands import local
from entrant.errors import ConfigurationError
from tests.conftest import ROOT
from tests.local_azure.conftest import READER, Client

ENTRANT = f"{shlex.quote(sys.executable)} -m entrant"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A bundle of somebody's own, as a machine in a company names it for one tool or another."""
    file = tmp_path / "other.pem"
    file.write_text("A heading.\n" + trustme.CA(organization_name="Contoso").cert_pem.bytes().decode(), "ascii")
    return file


def bash(azure: local_azure.LocalAzure, script: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run a script whose `entrant` is this one and whose STATE is the local Azure's."""
    foreign = ("AZURE_", "ARM_", "ENTRANT_", *local_azure.TRUSTING, "JAVA_TOOL_OPTIONS", "SSL_CERT_DIR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    whole = f'entrant() {{ {ENTRANT} "$@"; }}\nSTATE={shlex.quote(str(azure.state))}\nset -e\n{script}'
    return subprocess.run(["bash", "-c", whole], cwd=ROOT, env=kept | environ, capture_output=True, text=True)


def everywhere(file: Path) -> dict[str, str]:
    """A machine that names a bundle in each variable that there is for one."""
    return dict.fromkeys(local_azure.TRUSTING, str(file)) | {"SSL_CERT_DIR": str(file.parent)}


SET = 'eval "$(entrant local env --state "$STATE")"\n'
UNSET = 'eval "$(entrant local env --unset)"\n'


@pytest.mark.parametrize("machine", ["plain", "CURL_CA_BUNDLE", "all"])
def test_curl_queries_with_a_token_as_the_article_does(
    azure: local_azure.LocalAzure, other: Path, machine: str
) -> None:
    """`curl -H "Authorization: Bearer $(entrant token …)" "$AZURE_AUTHORITY_HOST/v1/…"`, whatever the machine sets."""
    deployer = Client(azure)
    group = f"/subscriptions/{azure.subscription_id}/resourceGroups/rg-curl"
    workspace = f"{group}/providers/Microsoft.OperationalInsights/workspaces/law"
    azure.ensure([workspace])
    customer = deployer.arm("GET", workspace, version="2023-09-01")["properties"]["customerId"]
    identity = deployer.new_identity()
    deployer.grant(READER, workspace, identity.object_id)
    script = SET + (
        f"export AZURE_CLIENT_ID={identity.client_id} AZURE_CLIENT_SECRET={shlex.quote(identity.secret)}\n"
        'curl -sS --fail-with-body -H "Authorization: Bearer $(entrant token logs)" '
        '--get --data-urlencode "query=Heartbeat | count" '
        f'"$AZURE_AUTHORITY_HOST/v1/workspaces/{customer}/query"'
    )
    environ = {"plain": {}, "CURL_CA_BUNDLE": {"CURL_CA_BUNDLE": str(other)}, "all": everywhere(other)}[machine]
    done = bash(azure, script, **environ)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["tables"][0]["rows"] == [[36]]


TOOLS = {
    "node": """node -e 'fetch(process.env.AZURE_AUTHORITY_HOST + "/metadata/endpoints").then(r => console.log(r.status))'""",
    "git": 'git ls-remote "$AZURE_AUTHORITY_HOST/none.git" 2>&1 | grep -c "not found"',
    "python": f"""{shlex.quote(sys.executable)} -c '
import os, requests, urllib.request
url = os.environ["AZURE_AUTHORITY_HOST"] + "/metadata/endpoints"
print(urllib.request.urlopen(url).status, requests.get(url).status_code)'""",
    "javac": """cd "$FOLDER"; cat > Ask.java <<'END'
public class Ask {
  public static void main(String[] a) throws Exception {
    var url = new java.net.URL(System.getenv("AZURE_AUTHORITY_HOST") + "/metadata/endpoints");
    System.out.println(((javax.net.ssl.HttpsURLConnection) url.openConnection()).getResponseCode());
  }
}
END
javac -nowarn Ask.java 2>/dev/null; java Ask""",
}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_trusts_it_on_a_machine_with_bundles_of_its_own(
    azure: local_azure.LocalAzure, other: Path, tmp_path: Path, tool: str
) -> None:
    if shutil.which(tool) is None and tool != "python":
        pytest.skip(f"there is no {tool} on PATH")
    more = {"FOLDER": str(tmp_path), "JAVA_TOOL_OPTIONS": "-Dother=1", "NO_PROXY": "localhost"}
    done = bash(azure, SET + TOOLS[tool], **everywhere(other), **more)
    wanted = {"git": "1", "python": "200 200"}.get(tool, "200")
    assert (done.returncode, done.stdout.strip()) == (0, wanted), done.stderr


def test_what_the_machine_trusted_before_is_trusted_still(azure: local_azure.LocalAzure, other: Path) -> None:
    """The system's authorities, those of each bundle that a variable named, and the local one; in a second shell within too."""
    own, local = (shlex.quote(str(file)) for file in (other, azure.ca_file))
    script = SET + SET + 'python3 - "$CURL_CA_BUNDLE" "$GIT_SSL_CAINFO"'
    script += f" {own} {local} <<'END'\n"
    script += (
        "import sys\nbundle, git, *parts = [open(name).read() for name in sys.argv[1:]]\n"
        "assert bundle == git and bundle.count('BEGIN CERTIFICATE') > 10\n"
        "for part in parts:\n"
        "    assert bundle.count(part[part.index('-----BEGIN'):].strip()) == 1, 'each certificate once'\nEND\n"
    )
    done = bash(azure, script, CURL_CA_BUNDLE=str(other), JAVA_TOOL_OPTIONS="-Dother=1")
    assert done.returncode == 0, done.stderr
    options = bash(azure, SET + SET + 'echo "$JAVA_TOOL_OPTIONS"', JAVA_TOOL_OPTIONS="-Dother=1").stdout.split()
    assert options[0] == "-Dother=1" and len(options) == 3, options


def test_a_shell_gets_back_what_it_had(azure: local_azure.LocalAzure, other: Path) -> None:
    """Even a value with quotes and lines, after the settings were given twice, and for another identity."""
    secret = 'it\'s "mine"\n$HOME'
    show = "env -0 | sort -z | tr '\\0' '\\1' | grep -v '^_='\n"
    before = bash(azure, show, CURL_CA_BUNDLE=str(other), ARM_CLIENT_SECRET=secret)
    script = SET + SET + 'eval "$(entrant local identity guest --state "$STATE")"\n' + UNSET + show
    after = bash(azure, script, CURL_CA_BUNDLE=str(other), ARM_CLIENT_SECRET=secret)
    assert after.returncode == 0, after.stderr
    assert after.stdout == before.stdout
    assert bash(azure, f"{SET}{UNSET}test -z ${{ENTRANT_SHELL_BEFORE+x}}").returncode == 0


def test_a_shell_reads_a_file_of_settings_as_they_are(azure: local_azure.LocalAzure) -> None:
    """JAVA_TOOL_OPTIONS has spaces, which a shell would take for the end of the value."""
    script = (
        'set -a; . <(entrant local env --format dotenv --state "$STATE"); set +a; env -0 | grep -z JAVA_TOOL_OPTIONS'
    )
    done = bash(azure, script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip("\0") == f"JAVA_TOOL_OPTIONS={azure.environment()['JAVA_TOOL_OPTIONS']}"


def test_a_shell_without_settings_is_told_so(azure: local_azure.LocalAzure) -> None:
    done = bash(azure, "entrant local env --unset")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("entrant: this shell has no settings of a rehearsal or of a local Azure\n")
    assert bash(azure, "entrant local env --unset --format json").returncode == 2
    assert bash(azure, "entrant rehearse dev --unset").returncode == 2


@pytest.mark.parametrize(
    ("form", "forgotten"),
    [("bash", "unset A"), ("fish", "set -e A"), ("powershell", "Remove-Item Env:A -ErrorAction SilentlyContinue")],
)
def test_each_shell_forgets_in_its_own_language(form: str, forgotten: str) -> None:
    lines = shells.give({"A": "1", "B": "2"}, form, {"B": "old"}).splitlines()
    assert len(lines) == 3
    held = json.dumps({"variables": {"A": None, "B": "old"}, "path": []})
    restored, last = shells.take_back(form, {"A": "1", "B": "2", shells.BEFORE: held}).splitlines()[::2]
    assert restored == forgotten and shells.BEFORE in last


def test_folders_on_path_come_and_go() -> None:
    path = os.pathsep.join(["/usr/bin", "/bin"])
    lines = shells.give({"A": "1"}, "bash", {"PATH": path}, path=["/venv/bin", "/bin"])
    done = subprocess.run(
        ["bash", "-c", f'{lines}\necho "$PATH"; echo "$ENTRANT_SHELL_BEFORE"'],
        env={"PATH": path},
        capture_output=True,
        text=True,
    )
    with_it, held = done.stdout.splitlines()
    assert with_it == os.pathsep.join(["/venv/bin", path])
    later = {"PATH": os.pathsep.join(["/mine", with_it]), shells.BEFORE: held}
    assert f"export PATH={os.pathsep.join(['/mine', path])}\n" in shells.take_back("bash", later)


@pytest.mark.parametrize("held", ["", "{", "[]", '{"variables": 1, "path": []}'])
def test_what_is_no_memory_is_taken_for_none(held: str) -> None:
    with pytest.raises(ConfigurationError):
        shells.take_back("bash", {shells.BEFORE: held})


def test_a_local_azure_that_is_removed_leaves_a_hint(tmp_path: Path) -> None:
    azure = local_azure.start(tmp_path / "state")
    try:
        done = bash(azure, SET + 'entrant local reset --yes --purge --state "$STATE" 2>&1\n' + UNSET)
        assert done.returncode == 0, done.stderr
        assert done.stdout == (
            'This shell still has its settings; take them back: eval "$(python3 -m entrant local env --unset)"\n'
        )
    finally:
        local_azure.stop(tmp_path / "state")


@pytest.mark.parametrize(
    "value", ["$(touch made)", "`touch made`", "a;touch made", "a'b\"c", "a\nb=c", "#x", "~", "", "a b"]
)
def test_a_sourced_env_file_gives_values_and_runs_nothing(
    value: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    local._print({"VALUE": value}, "dotenv")
    (tmp_path / "env").write_text(capfd.readouterr().out, "utf-8")
    script = 'set -a; . ./env; printf "%s" "$VALUE"'
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == value
    assert [path.name for path in tmp_path.iterdir()] == ["env"]


def test_local_commands_are_about_the_local_azure_of_the_shell(azure: local_azure.LocalAzure) -> None:
    """Without -s and --state, and it is said; `--state` and a shell without settings mean what they say."""
    done = bash(
        azure,
        SET + "entrant local status --format json; entrant local faults slow --seconds 0; entrant local faults --clear",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.partition("\nseed")[0])["state"] == str(azure.state)
    assert done.stderr.count("the local Azure of ") == 3 and done.stderr.count("as this shell has its settings") == 3
    other = bash(azure, SET + 'entrant local status --state "$STATE/none" || true')
    assert (other.stdout, other.stderr) == ("not running\n", "")
    forgotten = bash(azure, SET + "entrant local reset --yes")
    assert (
        forgotten.returncode == 2 and "which local Azure? This shell has the settings of that of " in forgotten.stderr
    )
    assert "as this shell" not in bash(azure, SET + UNSET + "entrant local status || true").stderr


HOSTILE = (
    "$(touch made) `touch made` ${HOME} \"double\" 'single' \\ ! # ; & | > made < x * ? [a] ~ %PATH%\n"
    "second line\t\r\u00e9\u2028 end\\"
)


@pytest.mark.parametrize("shell", [shell for shell in ("bash", "sh", "zsh") if shutil.which(shell)])
@pytest.mark.parametrize("value", [HOSTILE, "", "\\'", "-n\n"])
def test_a_shell_takes_settings_and_gets_back_what_it_had_whatever_that_is(
    shell: str, value: str, tmp_path: Path
) -> None:
    """Nothing in a value is run, cut or changed: neither what is set, nor what is restored, nor in a .env file."""
    before = {"HELD": value, "PATH": f"{os.environ['PATH']}:/a dir"}
    give = shells.give({"HELD": f"new {value}", "ADDED": value}, "bash", before, path=["/b $(touch made)"])
    held = {name: f"new {value}" for name in ("HELD",)} | {"ADDED": value, "PATH": f"/b $(touch made):{before['PATH']}"}
    marked = json.dumps({"variables": {"HELD": value, "ADDED": None}, "path": ["/b $(touch made)"]})
    back = shells.take_back("bash", held | {shells.BEFORE: marked})
    show = f"{shlex.quote(sys.executable)} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    script = f'eval "$GIVE"\n{show}\neval "$BACK"\n{show}\n'
    done = subprocess.run(
        [shell, "-c", script],
        cwd=tmp_path,
        env=before | {"GIVE": give, "BACK": back},
        capture_output=True,
        text=True,
        check=True,
    )
    during, restored = map(json.loads, done.stdout.splitlines())
    assert {name: during[name] for name in held} == held and during[shells.BEFORE] == marked
    assert {name: restored.get(name) for name in (*held, shells.BEFORE)} == before | {
        "ADDED": None,
        shells.BEFORE: None,
    }
    assert list(tmp_path.iterdir()) == []
