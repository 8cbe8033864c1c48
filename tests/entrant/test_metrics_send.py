"""`metrics send`, to the other end: what arrived is read back from the local Azure's metrics."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import local_azure
from entrant.access import monitor
from entrant.commands.tables import only_grant
from entrant.errors import ConfigurationError
from entrant.outputs import App, Grant
from tests.conftest import ROOT
from tests.local_azure.conftest import METRICS_PUBLISHER, Client

Send = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def deployer(azure: local_azure.LocalAzure) -> Client:
    return Client(azure)


@pytest.fixture
def machine(deployer: Client) -> str:
    """A machine of the test's own that the deployer may report on."""
    group = f"/subscriptions/{deployer.azure.subscription_id}/resourceGroups/rg-{os.urandom(4).hex()}"
    deployer.arm("PUT", group, {"location": "westeurope"}, version="2021-04-01")
    machine = f"{group}/providers/Microsoft.Compute/virtualMachines/vm"
    deployer.arm("PUT", machine, {"location": "westeurope"}, version="2024-07-01")
    deployer.grant(METRICS_PUBLISHER, machine, deployer.azure.object_id)
    return machine


@pytest.fixture
def send(azure: local_azure.LocalAzure, machine: str) -> Send:
    """Run `metrics send` for the machine as the local Azure's deployer."""
    settings = azure.environment()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AZURE_", "ARM_", "ENTRANT_"))}

    def run(*arguments: str, text: str | bytes = "", resource: str = machine, **more: str) -> Any:
        command = [sys.executable, "-m", "entrant", "metrics", "send", "-r", resource, *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=kept | settings | {"ENTRANT_METRICS_ENDPOINT": azure.url} | more,
            input=text if isinstance(text, bytes) else text.encode(),
            capture_output=True,
        )
        decoded = subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in decoded.stderr, decoded.stderr
        return decoded

    return run


def arrived(
    client: Client, machine: str, name: str, namespace: str = "entrant", by: str = ""
) -> dict[str, list[float]]:
    """Total and count of a metric in the last ten minutes, by the value of a dimension."""
    query = f"metricnames={name}&metricnamespace={namespace}&interval=FULL&timespan=PT10M&aggregation=total,count"
    found = client.arm(
        "GET",
        f"{machine}/providers/microsoft.insights/metrics?{query}" + (f"&$filter={by} eq '*'&top=10000" if by else ""),
        version="2024-02-01",
    )["value"][0]["timeseries"]
    return {
        (one["metadatavalues"][0]["value"] if by else ""): [one["data"][0]["total"], one["data"][0]["count"]]
        for one in found
    }


def nothing_arrived(client: Client, machine: str) -> bool:
    found = client.arm("GET", f"{machine}/providers/microsoft.insights/metricNamespaces", version="2024-02-01")
    return not found["value"]


def lines(*samples: dict[str, Any]) -> str:
    return "".join(json.dumps(sample) + "\n" for sample in samples)


def test_what_a_file_holds_arrives(deployer: Client, machine: str, send: Send) -> None:
    text = lines(
        {"name": "queue", "value": 3, "dimensions": {"q": "mail"}},
        {"name": "queue", "value": 4.5, "dimensions": {"q": "mail"}},
        {"name": "queue", "value": -1, "dimensions": {"q": "line\u2028separator"}},
        {"name": "depth", "value": 9, "namespace": "shop"},
    )
    raw = text.replace("\\u2028", "\u2028").replace("\n", "\n\n", 1)
    done = send("--from", "-", text="\ufeff" + raw)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"accepted: 4 values in 2 requests for {machine}\n"
    assert arrived(deployer, machine, "queue", by="q") == {"mail": [7.5, 2], "line\u2028separator": [-1, 1]}
    assert arrived(deployer, machine, "depth", "shop") == {"": [9, 1]}


def test_one_value_arrives_with_its_dimensions(deployer: Client, machine: str, send: Send) -> None:
    done = send("queue", "7", "-d", "q=a=b", "--namespace", "shop")
    assert (done.returncode, done.stderr) == (0, f"accepted: 1 request for {machine}\n")
    assert arrived(deployer, machine, "queue", "shop", by="q") == {"a=b": [7, 1]}


@pytest.mark.parametrize("words", [["balance", "-3.5"], ["balance", "-3.5", "-d", "q=x"], ["--", "balance", "-35e-1"]])
def test_a_negative_number_arrives(deployer: Client, machine: str, send: Send, words: list[str]) -> None:
    done = send(*words)
    assert done.returncode == 0, done.stderr
    assert arrived(deployer, machine, "balance") == {"": [-3.5, 1]}


def test_many_series_go_in_requests_of_a_bounded_size(deployer: Client, machine: str, send: Send) -> None:
    count = 2 * monitor.MOST_SERIES + 1
    done = send(
        "--from", "-", text=lines(*({"name": "n", "value": 1, "dimensions": {"q": str(i)}} for i in range(count)))
    )
    assert done.stderr == f"accepted: {count} values in 3 requests for {machine}\n"
    assert arrived(deployer, machine, "n") == {"": [count, count]}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            '{"name": "q", "value": 1, "dimensions": {"q": 7}}',
            "the dimension q of q is 7, and a dimension's value is text",
        ),
        ('{"name": "q", "value": 1, "dimensions": {"q": null}}', "the dimension q of q is null"),
        ('{"name": "q", "value": 1, "dimensions": {"q": ["a"]}}', 'the dimension q of q is ["a"]'),
        ('{"name": "q", "value": 1, "dimensions": {" ": "a"}}', "a dimension of q has no name"),
        ('{"name": "q", "value": 1, "dimensions": {"q": "a", "q": "b"}}', '"q" is given twice'),
        ('{"name": "q", "value": 1, "value": 2}', '"value" is given twice'),
        ('{"name": "q", "value": 1, "dimensions": {"q": "a", "Q": "b"}}', "q has a dimension twice"),
        ('{"name": "q", "value": 1, "dimensions": null}', "the dimensions of q are not names with values"),
        (lines({"name": "q", "value": 1, "dimensions": {f"d{i}": "" for i in range(11)}}), "q has 11 dimensions"),
        (lines({"name": "q", "value": 1, "dimensions": {"q": "x" * 256}}), "the dimension q of q is too long"),
        (lines({"name": "q" * 256, "value": 1}), "the name of a metric has at most 255 characters"),
        ('{"name": "q", "value": 1, "time": "2026-11-24T08:00:00"}', "the time of q, 2026-11-24T08:00:00, has no zone"),
        ('{"name": "q", "value": 1, "time": 1764144000}', "the time 1764144000 cannot be read"),
        ('{"name": "q", "value": 1, "time": null}', "the time null cannot be read"),
        ('{"name": "q", "value": NaN}', "the value of q is not a number"),
        ('{"name": "q", "value": -Infinity}', "the value of q is not a number"),
        ('{"name": "q", "value": 1' + "0" * 400 + "}", "the value of q is not a number"),
        ('{"name": "q", "value": 1, "line": 3}', 'not a sample: "line" is no key of one'),
        ("[" * 100_000, "not a sample"),
        ("nothing of the kind", "not a sample"),
    ],
)
def test_a_wrong_line_keeps_everything_from_being_sent(
    deployer: Client, machine: str, send: Send, line: str, says: str
) -> None:
    done = send("--from", "-", text=lines({"name": "ok", "value": 1}) + line, TZ="America/New_York")
    assert done.returncode == 2
    assert f"standard input: nothing was sent: line 2: {says}" in done.stderr
    assert nothing_arrived(deployer, machine)


def test_a_misspelt_key_is_named_and_each_line_has_its_own_remedy(send: Send) -> None:
    done = send(
        "--from", "-", text='{"name": "q", "valeu": 1}\n[1]\n{"name": "q", "value": 1, "colour": 2}\n{"value": 1}\n'
    )
    example = 'write one a line, such as {"name": "queue", "value": 7'
    lines = [line for line in done.stderr.splitlines() if "line " in line]
    assert lines[0].endswith('line 1: not a sample: "valeu" is no key of one; did you mean "value"?')
    assert lines[1].startswith(f"line 2: not a sample: it is a list, and a sample is an object; {example}")
    keys = "a sample has name, value, namespace, dimensions, time"
    assert lines[2] == f'line 3: not a sample: "colour" is no key of one; {keys}'
    assert lines[3].startswith(f'line 4: not a sample: "name" is missing; {example}')
    assert "What to do: correct these lines\n" in done.stderr
    alike = send("--from", "-", text='{"name": "q", "valeu": 1}\n' * 2)
    assert alike.stderr.count("did you mean") == 1 and 'What to do: did you mean "value"?' in alike.stderr


def test_all_wrong_lines_are_named_and_no_more_than_one_can_read(send: Send) -> None:
    done = send("--from", "-", text="x\n" * 12)
    assert done.stderr.count("not a sample") == 10 and "\nand 2 more lines are wrong\n" in done.stderr


@pytest.mark.parametrize(
    ("text", "says"), [(b"", "there is no sample"), (b"\n \n", "there is no sample"), (b"\xff", "is not UTF-8")]
)
def test_a_file_without_samples_is_said_and_an_error(send: Send, text: bytes, says: str) -> None:
    done = send("--from", "-", text=text)
    assert done.returncode == 2 and says in done.stderr and "nothing was sent" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["q", "seven"], 'the value of a metric is a number, not "seven"'),
        (["q", "nan"], "the value of q is not a number"),
        (["q", "-inf"], "the value of q is not a number"),
        (["q", "1", "-d", "a=1", "-d", "a=2"], 'the dimension "a" is given twice'),
        (["q", "1", "-d", "a"], '"a" is not NAME=VALUE'),
        (["--from", "-", "-d", "a=1"], "--namespace and --dimension are of one value"),
        (["--from", "-", "--outputs", "-"], "standard input holds the samples"),
    ],
)
def test_a_wrong_call_sends_nothing(deployer: Client, machine: str, send: Send, words: list[str], says: str) -> None:
    done = send(*words)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert nothing_arrived(deployer, machine)


@pytest.mark.parametrize("resource", ["/subscriptions/00000000-0000-0000-0000-000000000000", ".example.com/x", "vm"])
def test_a_token_goes_only_to_a_resource(send: Send, resource: str) -> None:
    done = send("q", "1", resource=resource)
    assert done.returncode == 2 and resource in done.stderr


def test_a_failure_on_the_way_says_which_lines_were_accepted(
    azure: local_azure.LocalAzure, deployer: Client, machine: str, send: Send
) -> None:
    """The second of three requests is refused: its lines, and those after it, are named as not accepted."""
    one, two, three = ({"name": name, "value": 1} for name in ("one", "two", "three"))
    azure.admin(
        "PUT",
        "faults",
        {
            "rules": [
                {"kind": "slow", "family": "metrics", "seconds": 0, "count": 1},
                {"kind": "status", "family": "metrics", "status": 500},
            ],
            "seed": 1,
        },
    )
    try:
        done = send("--from", "-", text=lines(one, one, two, one, three))
    finally:
        azure.admin("PUT", "faults", {"rules": [], "seed": 0})
    assert done.returncode == 4, done.stderr
    assert f"accepted for {machine}: lines 1-2, 4; not accepted: lines 3, 5" in done.stderr
    assert arrived(deployer, machine, "one") == {"": [3, 3]}


GROUP = "/subscriptions/7a3d9c52-6f14-4e0b-9b1c-2d58e0f4a631/resourceGroups/rg"
DISKS = [f"{GROUP}/providers/Microsoft.Compute/disks/{name}" for name in ("one", "two", "three")]


@pytest.mark.parametrize(
    ("scopes", "kind", "message"),
    [
        ([GROUP], None, "writer has no role on any single resource"),
        (DISKS[:2], "Microsoft.Compute/x", "writer has no role on any single resource of type Microsoft.Compute/x"),
        (DISKS, None, f"writer has roles on 3 resources: {', '.join(DISKS)}"),
        (
            DISKS[:2],
            "Microsoft.Compute/disks",
            f"writer has roles on 2 resources of type Microsoft.Compute/disks: {', '.join(DISKS[:2])}",
        ),
    ],
)
def test_where_not_one_resource_comes_into_question_those_that_do_are_told(
    scopes: list[str], kind: str | None, message: str
) -> None:
    app = App("writer", "t", "c", grants=tuple(Grant("Reader", METRICS_PUBLISHER, scope) for scope in scopes))
    with pytest.raises(ConfigurationError) as refused:
        only_grant(app, kind, "--resource")
    assert (str(refused.value), refused.value.next_step) == (message, "say which with --resource")
    assert only_grant(App("w", "t", "c", grants=(app.grants[0], Grant("x", "y", DISKS[0]))), None, "-r") == DISKS[0]
