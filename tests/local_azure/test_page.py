"""The page in the browser, in a real one; and who may see it."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

import local_azure
from local_azure import page as page_module
from local_azure import visits
from local_azure.directory import Directory
from local_azure.resources import Assignment, Resources
from local_azure.store import Store
from local_azure.visits import Visits
from local_azure.world import World
from tests.clients.browser import chromium
from tests.local_azure.conftest import METRICS_PUBLISHER, READER, Client

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
GRAPH = "00000003-0000-0000-c000-000000000000"
READ_ALL = "df021288-bdef-4463-88db-98f22de89214"
WRITE_DIRECTORY = "19dbc75e-c2e2-444c-a770-ec69d8559fc7"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
MANY = 400


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_azure.LocalAzure]:
    """The local Azure of this module: three apps with roles, one of them with a hostile name and federated."""
    azure = local_azure.start(tmp_path_factory.mktemp("page") / "state")
    try:
        _fill(azure)
        yield azure
    finally:
        local_azure.stop(azure.state)


def _fill(azure: local_azure.LocalAzure) -> None:
    client, subscription = Client(azure), f"/subscriptions/{azure.subscription_id}"
    logs = f"{subscription}/resourceGroups/rg-obs/providers/Microsoft.OperationalInsights/workspaces/law-dev"
    machine = f"{subscription}/resourceGroups/rg-app/providers/Microsoft.Compute/virtualMachines/vm1"
    azure.ensure([logs, machine])
    reader, writer, hostile = (client.new_identity(name) for name in ("log-reader", "metrics-writer", HOSTILE))
    client.grant(READER, logs, reader.object_id)
    client.grant(METRICS_PUBLISHER, machine, writer.object_id)
    client.grant(READER, f"{subscription}/resourceGroups/rg-obs", hostile.object_id)
    needs = [{"resourceAppId": GRAPH, "resourceAccess": [{"id": READ_ALL, "type": "Role"}]}]
    client.graph("PATCH", f"/applications/{reader.application_id}", {"requiredResourceAccess": needs})
    trusted = {"issuer": "https://issuer.example", "subject": HOSTILE, "audiences": ["a"], "name": "github"}
    client.graph("POST", f"/applications/{hostile.application_id}/federatedIdentityCredentials", trusted)


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local_azure.LocalAzure]:
    """A local Azure with `MANY` apps: each reads one of three workspaces and writes metrics of a machine of its own.

    Every second one may read users, every tenth has no consent to it, every fortieth owns a resource group.
    """
    state = tmp_path_factory.mktemp("crowd") / "state"
    azure = local_azure.start(state)
    local_azure.stop(state)
    store = Store(state / "state.db")
    _fill_with_many(Directory(store), Resources(store), azure.subscription_id)
    store.close()
    yield local_azure.start(state)
    local_azure.stop(state)


def _fill_with_many(directory: Directory, resources: Resources, subscription: str) -> None:
    graph = directory.find("servicePrincipal", "appId", GRAPH)[0]["id"]
    groups = f"/subscriptions/{subscription}/resourceGroups"
    with directory.store.write():
        for number in range(MANY):
            app, principal, name = str(uuid.uuid4()), str(uuid.uuid4()), f"team-{number % 7}-service-{number:03}"
            access: list[Any] = [{"resourceAppId": GRAPH, "resourceAccess": [{"id": READ_ALL, "type": "Role"}]}]
            ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400 * (20 + number)))
            secret = {"keyId": str(uuid.uuid4()), "displayName": "main", "startDateTime": "2026-01-01T00:00:00Z"}
            doc: dict[str, Any] = {
                "id": str(uuid.uuid4()),
                "appId": app,
                "displayName": name,
                "tags": ["entrant", "entrant:shop/prod" if number % 2 else "entrant:shop/dev"],
            }
            doc |= {"passwordCredentials": [{**secret, "endDateTime": ends}]}
            directory.create("application", doc | ({"requiredResourceAccess": access} if number % 2 else {}))
            directory.create("servicePrincipal", {"id": principal, "appId": app, "displayName": name})
            if number % 2 and number % 10 != 1:
                directory.assign_app_role(str(uuid.uuid4()), graph, principal, READ_ALL)
            held = {
                f"{groups}/rg-obs/providers/Microsoft.OperationalInsights/workspaces/law-{number % 3}": READER,
                f"{groups}/rg-app/providers/Microsoft.Compute/virtualMachines/vm{number}": METRICS_PUBLISHER,
            } | ({f"{groups}/rg-app": OWNER} if number % 40 == 5 else {})
            for scope, role in held.items():
                resources.put_assignment(Assignment(str(uuid.uuid4()), scope, role, principal, time.time(), {}))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for this module."""
    with chromium() as running:
        yield running


class Tab:
    """A tab of a fresh profile, and all that it asked for and complained about."""

    def __init__(self, browser: Browser, **look: Any) -> None:
        self.context = browser.new_context(ignore_https_errors=True, **look)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))

    def open(self, azure: local_azure.LocalAzure) -> Page:
        """Follow a fresh link, and wait until the page shows something."""
        self.page.goto(azure.page())
        self.page.locator("#picture svg").wait_for()
        return self.page


@pytest.fixture
def tab(browser: Browser, own: local_azure.LocalAzure) -> Iterator[Tab]:
    """A tab that, in the end, has asked nobody else for anything and has nothing to complain about."""
    made = Tab(browser, viewport={"width": 1280, "height": 800})
    yield made
    made.context.close()
    own.faults()
    own.admin("PATCH", "settings", {"propagation": 0, "clock": {"offset": 0, "speed": 1}})
    assert made.complaints == []
    assert {url for url in made.asked if not url.startswith((own.url + "/", "data:"))} == set()


# ------------------------------------------------------------------------------------------------------- what it shows


def test_tenant_apps_and_grants(tab: Tab, own: local_azure.LocalAzure) -> None:
    """With a link the page shows the tenant, how to reach it, each app with credentials and permissions, and each grant."""
    page = tab.open(own)
    tenant = page.locator("#tenant")
    for text in (own.tenant_id, own.subscription_id, f"local env --state '{own.state}'"):
        expect(tenant).to_contain_text(text)
    page.get_by_text("What this sets").click()
    expect(page.locator("#variables")).to_contain_text(f"AZURE_AUTHORITY_HOST={own.url}")
    expect(page.locator("#variables")).not_to_contain_text("SECRET")
    app = page.locator(".app").filter(has_text="log-reader")
    app.locator("summary").click()
    expect(app).to_contain_text("secret, ends in")
    expect(app).to_contain_text("User.Read.All")
    expect(app).to_contain_text("declared, no consent")
    picture = page.locator("#picture svg")
    expect(picture.get_by_role("button", name="log-reader: Reader at law-dev")).to_be_visible()
    for text in ("metrics-writer", "Monitoring Metrics Publisher", "vm1", "virtual machine in rg-app"):
        expect(picture.get_by_text(text, exact=True)).to_be_visible()
    page.get_by_role("button", name="Table").click()
    row = page.get_by_role("row").filter(has_text="metrics-writer")
    expect(row).to_contain_text("effective")
    assert own.client_secret not in page.content()


def test_what_changes_is_seen(tab: Tab, own: local_azure.LocalAzure) -> None:
    """An app that is made and given a role appears by itself: still propagating, then effective."""
    page = tab.open(own)
    own.admin("PATCH", "settings", {"propagation": {"roles": 3600}})
    client = Client(own)
    late = client.new_identity("late-comer")
    client.grant(READER, f"/subscriptions/{own.subscription_id}", late.object_id)
    node = page.locator("#picture g.principal").filter(has_text="late-comer")
    expect(node.locator("text.soon")).to_have_text(re.compile(r"in 3[56]\d\d s"))
    expect(page.locator("#grants-count")).to_contain_text("still propagating")
    assert page.locator("#picture path.pending").count() >= 1
    own.admin("PATCH", "settings", {"clock": {"offset": 7200}})
    expect(node.locator("text.soon")).to_have_count(0)
    expect(page.locator("#picture path.pending")).to_have_count(0)
    expect(page.locator("#clock")).to_contain_text("2 hours ahead")


def test_hostile_names_are_only_text(tab: Tab, own: local_azure.LocalAzure) -> None:
    """Names with markup, of apps and in requests, are shown as they are written and do nothing."""
    page = tab.open(own)
    Client(own).session.get(f"{own.url}/v1.0/{HOSTILE}")
    page.locator("#log").get_by_text("onerror").wait_for()
    app = page.locator(".app").filter(has_text=HOSTILE)
    app.locator("summary").click()
    expect(app.locator("b")).to_have_text(HOSTILE)
    expect(app).to_contain_text(f"https://issuer.example {HOSTILE}")
    page.get_by_role("button", name="Table").click()
    expect(page.locator("#table")).to_contain_text(HOSTILE)
    assert page.locator("img").count() == 0 and page.title() == "Local Azure"


OVERLAPS = """() => {
  const boxes = [...document.querySelectorAll("#picture svg text")].filter((one) => one.textContent).map((one) => {
    const {left, right, top, bottom} = one.getBoundingClientRect();
    return {left, right, top: top + 1, bottom: bottom - 1, text: one.textContent};
  });
  const edge = document.querySelector("#picture svg").getBoundingClientRect();
  const meet = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const found = boxes.flatMap((a, at) => boxes.slice(at + 1).filter((b) => meet(a, b)).map((b) => [a.text, b.text]));
  const outside = boxes.filter((a) => a.left < edge.left || a.right > edge.right || a.top < edge.top || a.bottom > edge.bottom);
  return {count: boxes.length, found, outside, page: document.documentElement.scrollWidth - innerWidth};
}"""


@pytest.fixture
def many(browser: Browser, crowd: local_azure.LocalAzure) -> Iterator[Page]:
    """A tab with the page of the local Azure that has `MANY` apps; in the end it has nothing to complain about."""
    made = Tab(browser, viewport={"width": 1280, "height": 800})
    yield made.open(crowd)
    made.context.close()
    assert made.complaints == []


@pytest.mark.parametrize("width", [1280, 400])
def test_text_in_the_picture_never_overlaps(tab: Tab, own: local_azure.LocalAzure, width: int) -> None:
    """With few apps and with sixty, on a wide screen and on a phone; and the page never scrolls sideways."""
    tab.page.set_viewport_size({"width": width, "height": 800})
    few = tab.open(own).evaluate(OVERLAPS)
    assert few["count"] >= 10 and few["found"] == few["outside"] == [] and few["page"] <= 0
    client, subscription = Client(own), f"/subscriptions/{own.subscription_id}"
    own.admin("PATCH", "settings", {"propagation": {"roles": 3600}})
    held = {one["displayName"] for one in client.graph("GET", "/applications?$top=999")["value"]}
    for number in range(60):
        name = f"a service of team {number % 7} with a name that is long, number {number}"
        if name not in held:
            made = client.new_identity(name)
            client.grant(READER, f"{subscription}/resourceGroups/{('rg-obs', 'rg-app')[number % 2]}", made.object_id)
            client.grant(METRICS_PUBLISHER, subscription, made.object_id)
    count = len(client.graph("GET", "/applications?$top=999")["value"])
    expect(tab.page.locator("#apps-count")).to_contain_text(f"{count} app registrations", timeout=15_000)
    expect(tab.page.locator("#grants-count")).to_contain_text("still propagating")
    for _ in range(3):
        many = tab.page.evaluate(OVERLAPS)
        assert many["count"] > 50 and many["found"] == many["outside"] == [] and many["page"] <= 0
        if tab.page.locator("#on").is_enabled():
            tab.page.locator("#on").click()


# ----------------------------------------------------------------------------------------------- hundreds of apps at once

DRAWN = """() => {
  return [...document.querySelectorAll("#picture svg [data-key]")].map((one) => one.getAttribute("data-key"));
}"""
LISTED = "() => [...document.querySelectorAll('#app-list [data-key]')].map((one) => one.dataset.key)"


def drawn_in_all_parts(page: Page) -> list[str]:
    """What the picture draws, over all its parts; from the first on."""
    found: list[str] = page.evaluate(DRAWN)
    while page.locator("#on").is_enabled():
        page.locator("#on").click()
        found += page.evaluate(DRAWN)
    return found


def test_list_and_picture_show_the_same(many: Page) -> None:
    """Every app is in the list and drawn, in the same order, whatever is filtered, sorted and grouped; so are the counts."""
    expect(many.locator("#apps-count")).to_have_text(f"{MANY + 1} app registrations")
    everything = many.evaluate(LISTED)
    assert len(set(everything)) == MANY + 1 and drawn_in_all_parts(many) == everything
    many.locator("#sort").select_option("name")
    names = many.evaluate("() => [...document.querySelectorAll('.app b')].map((one) => one.textContent)")
    assert names == sorted(names) and drawn_in_all_parts(many) == many.evaluate(LISTED)
    many.locator("#filter").fill("team-3-")
    expect(many.locator("#apps-count")).to_have_text(f"{MANY + 1} app registrations, 57 shown")
    assert drawn_in_all_parts(many) == many.evaluate(LISTED)
    many.locator("#group").select_option("scope")
    many.get_by_role("button", name="Open all").click()
    listed = many.evaluate(LISTED)
    assert drawn_in_all_parts(many) == listed and len(listed) == len(set(listed)) > 57 * 3


def test_hundreds_of_apps_are_readable(many: Page) -> None:
    """The picture is about as high as a screen, the list scrolls in itself, and nothing overlaps on any screen."""
    for width in (1280, 400):
        many.set_viewport_size({"width": width, "height": 800})
        for way in ("", "scope", "role", "stack", "tag"):
            many.locator("#group").select_option(way)
            found = many.evaluate(OVERLAPS)
            assert found["found"] == found["outside"] == [] and found["page"] <= 0
            assert many.evaluate("document.querySelector('#picture svg').clientHeight") < 1200
            assert many.evaluate("document.documentElement.scrollHeight") < 4000
    assert many.evaluate("document.querySelectorAll('#console *').length") < 12_000


def test_hundreds_of_apps_draw_as_fast_as_a_plain_list(many: Page) -> None:
    """All is drawn anew in no more than some times what the browser needs for a plain table of the same apps."""
    timed = """(work) => Math.min(...[1, 2, 3, 4, 5].map(() => {
      const began = performance.now();
      %s;
      document.body.offsetHeight;
      return performance.now() - began;
    }))"""
    plain = """by("said").replaceChildren(...overview.apps.map((app) => make("p", {},
      ...Array.from({length: 10}, () => make("span", {}, app.name)))))"""
    yardstick = many.evaluate(timed % plain)
    assert many.evaluate(timed % "items = new Map(); showOverview()") < 25 * yardstick


def test_groups_open_and_close_everywhere_at_once(many: Page) -> None:
    """Groups are closed when there are many apps; one that is opened in the list is open in picture and table, and back."""
    many.locator("#group").select_option("stack")
    expect(many.locator("#apps-count")).to_contain_text("3 groups")
    expect(many.locator(".app")).to_have_count(0)
    listed = many.locator("#app-list").get_by_role("button", name="shop/dev")
    drawn = many.locator("#picture").get_by_role("button", name="shop/dev, stack: 200 principals")
    for one in (listed, drawn):
        expect(one).to_have_attribute("aria-expanded", "false")
    listed.click()
    expect(drawn).to_have_attribute("aria-expanded", "true")
    expect(listed).to_be_focused()
    expect(many.locator(".app")).to_have_count(200)
    many.get_by_role("button", name="Table").click()
    in_table = many.locator("#table").get_by_role("button", name="shop/dev")
    expect(in_table).to_have_attribute("aria-expanded", "true")
    in_table.click()
    expect(many.locator(".app")).to_have_count(0)
    many.get_by_role("button", name="Picture", exact=True).click()
    drawn.focus()
    many.keyboard.press("ArrowRight")
    expect(drawn).to_have_attribute("aria-expanded", "true")
    expect(drawn).to_be_focused()
    many.get_by_role("button", name="Close all").click()
    expect(listed).to_have_attribute("aria-expanded", "false")


def test_parts_of_the_picture_by_keyboard(many: Page) -> None:
    """Arrows go on into the next part, End goes to the last line, and Enter opens that app in the list."""
    nodes = many.locator("#picture g.principal")
    nodes.last.focus()
    many.keyboard.press("ArrowDown")
    expect(many.locator("#part")).to_have_text(f"26–50 of {MANY + 1}")
    expect(nodes.first).to_be_focused()
    many.keyboard.press("ArrowUp")
    expect(many.locator("#part")).to_have_text(f"1–25 of {MANY + 1}")
    expect(nodes.last).to_be_focused()
    many.keyboard.press("End")
    expect(nodes.last).to_be_focused()
    key = nodes.last.get_attribute("data-key")
    many.keyboard.press("Enter")
    expect(many.locator(".app[open]")).to_have_attribute("data-key", str(key))
    expect(many.locator(".app[open] summary")).to_be_focused()
    expect(many.locator(".app[open]")).to_be_in_viewport()


def test_many_scopes_are_drawn_as_one(many: Page) -> None:
    """Machines that hold one role each are one box, which says how many it stands for."""
    many.locator("#filter").fill("team-")
    expect(many.locator("#picture").get_by_text("25 virtual machines", exact=True)).to_be_visible()
    box = many.locator("#picture g.scope").filter(has_text="25 virtual machines")
    expect(box).to_contain_text("in 1 resource group")
    expect(box.locator("title")).to_contain_text(f"/virtualMachines/vm{MANY - 1}")


def test_what_deserves_a_look(many: Page) -> None:
    """Shown alone: what is dangerous, what needs attention, who has no access; and what ends first comes first."""
    many.locator("#show").select_option("danger")
    expect(many.locator("#apps-count")).to_contain_text("11 shown")
    many.locator("#show").select_option("trouble")
    expect(many.locator("#apps-count")).to_contain_text("40 shown")
    many.locator("#show").select_option("none")
    expect(many.locator("#app-list")).to_contain_text("Nothing fits")
    many.locator("#show").select_option("")
    many.locator("#sort").select_option("end")
    expect(many.locator(".app b").first).to_have_text("team-0-service-000")


# ------------------------------------------------------------------------------------------------ danger and permissions


def test_danger_is_marked_as_in_the_review(tab: Tab, own: local_azure.LocalAzure) -> None:
    """Privileged roles, wide scopes, privileged permissions and directory roles are marked in picture, table and list."""
    client = Client(own)
    app = client.new_identity("risky")
    subscription = f"/subscriptions/{own.subscription_id}"
    client.grant(OWNER, f"{subscription}/resourceGroups/rg-app", app.object_id)
    client.grant(READER, subscription, app.object_id)
    needs = [{"resourceAppId": GRAPH, "resourceAccess": [{"id": WRITE_DIRECTORY, "type": "Role"}]}]
    client.graph("PATCH", f"/applications/{app.application_id}", {"requiredResourceAccess": needs})
    role = {
        "principalId": app.object_id,
        "roleDefinitionId": "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3",
        "directoryScopeId": "/",
    }
    client.graph("POST", "/roleManagement/directory/roleAssignments", role)
    reasons = (
        "Owner can give itself any role",
        "Reader at a whole subscription reaches everything in it",
        "Directory.ReadWrite.All can take over accounts or the directory",
        "Application Administrator is a privileged directory role",
    )
    page = tab.open(own)
    page.locator("#filter").fill("risky")
    app_row = page.locator(".app").filter(has_text="risky")
    expect(app_row.locator("summary")).to_contain_text("! 4 dangerous")
    app_row.locator("summary").click()
    node = page.locator("#picture").get_by_role("button", name="risky")
    for reason in reasons:
        expect(app_row).to_contain_text(reason)
        expect(node).to_have_attribute("aria-label", re.compile(re.escape(f"dangerous: {reason}")))
    for name in ("Owner", "Reader", "Directory.ReadWrite.All", "Application Administrator"):
        expect(page.locator("#picture g.role.danger").get_by_text(f"! {name}", exact=True)).to_be_visible()
    expect(page.locator("#picture").get_by_text("Whole directory", exact=True)).to_be_visible()
    page.get_by_role("button", name="Table").click()
    for reason in reasons:
        expect(page.locator("#table")).to_contain_text(reason)
    client.graph("DELETE", f"/applications/{app.application_id}")


def test_consents_are_in_the_picture(tab: Tab, own: local_azure.LocalAzure) -> None:
    """A permission leads to its API: dashed while it has no consent, then as any grant."""
    page = tab.open(own)
    page.locator("#filter").fill("log-reader")
    picture = page.locator("#picture")
    for text in ("User.Read.All", "Microsoft Graph", "API"):
        expect(picture.get_by_text(text, exact=True)).to_be_visible()
    node = picture.get_by_role("button", name="User.Read.All at Microsoft Graph, no consent")
    expect(node).to_be_visible()
    expect(picture.locator("path.missing")).to_have_count(2)
    client = Client(own)
    reader = client.graph("GET", "/servicePrincipals?$filter=displayName eq 'log-reader'")["value"][0]["id"]
    graph = client.graph("GET", f"/servicePrincipals(appId='{GRAPH}')")["id"]
    assignment = {"principalId": reader, "resourceId": graph, "appRoleId": READ_ALL}
    made = client.graph("POST", f"/servicePrincipals/{reader}/appRoleAssignments", assignment)
    expect(picture.locator("path.missing")).to_have_count(0)
    expect(page.locator("#grants-count")).to_contain_text("1 consent")
    client.graph("DELETE", f"/servicePrincipals/{reader}/appRoleAssignments/{made['id']}")


def test_apps_that_are_left_out_have_no_grants_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the newest apps neither an app nor its grants are told, and what is no app has its grants all the same."""
    monkeypatch.setattr(page_module, "MOST_APPS", 10)
    state = tmp_path / "state"
    local_azure.start(state)
    local_azure.stop(state)
    store = Store(state / "state.db")
    world = World(store, "https://localhost:1")
    subscription = str(uuid.uuid4())
    _fill_with_many(world.directory, world.resources, subscription)
    with store.write():
        world.directory.create("group", {"id": "0" * 8 + str(uuid.uuid4())[8:], "displayName": "operators"})
        (operators,) = (doc["id"] for _, doc in world.directory.scan("group"))
        scope = f"/subscriptions/{subscription}"
        world.resources.put_assignment(Assignment(str(uuid.uuid4()), scope, READER, operators, time.time(), {}))
    found = page_module.overview(world)
    store.close()
    names = {one["name"] for one in found["apps"]}
    assert len(names) == 10 and found["apps_in_all"] == MANY + 1
    assert {one["principal"]["name"] for one in found["grants"]} == {*names, "operators"}
    assert found["grants_in_all"] > MANY * 2


# ------------------------------------------------------------------------------------------------- requests and faults


def test_a_refusal_appears_with_its_explanation(tab: Tab, own: local_azure.LocalAzure) -> None:
    """A refused request is seen as it comes: who, what, how long, the cause and what to do; never a secret or token."""
    page = tab.open(own)
    app = Client(own).new_identity("asker")
    client = Client(own, app.client_id, app.secret)
    client.call("GET", f"/subscriptions/{own.subscription_id}/resourceGroups/rg-obs?api-version=2024-03-01")
    client.session.get(f"{own.url}/v1.0/{client.token()}")
    Client(own, app.secret, "x").ask_token("https://graph.microsoft.com/.default")
    line = page.locator("#log li").filter(has_text="AuthorizationFailed")
    expect(line).to_contain_text("no role of the caller allows this")
    expect(line).to_contain_text("python3 -m entrant check")
    expect(line).to_contain_text("asker")
    expect(line.locator(".about")).to_contain_text(" s")
    wrong = page.locator("#log li").filter(has_text="AADSTS700016")
    expect(wrong).to_contain_text("the tenant has no such application")
    assert app.secret not in page.content() and "eyJ" not in page.content()
    page.get_by_role("button", name="Refused").click()
    assert "200" not in page.locator("#log .status").all_inner_texts()


def test_a_refusal_for_a_role_that_is_too_new(tab: Tab, own: local_azure.LocalAzure) -> None:
    """A request that is refused while the caller's role or secret is still propagating says so."""
    page, client = tab.open(own), Client(own)
    own.admin("PATCH", "settings", {"propagation": {"roles": 3600, "secrets": 0}})
    app = client.new_identity("too early")
    client.grant(READER, f"/subscriptions/{own.subscription_id}", app.object_id)
    page.locator(".app").filter(has_text="too early").wait_for()
    early = Client(own, app.client_id, app.secret)
    early.call("GET", f"/subscriptions/{own.subscription_id}/resourceGroups/rg-obs?api-version=2024-03-01")
    line = page.locator("#log li").filter(has_text="AuthorizationFailed").filter(has_text="too early")
    expect(line).to_contain_text("Its role Reader at Local subscription was not effective yet")
    own.admin("PATCH", "settings", {"propagation": {"secrets": 3600}})
    expect(page.locator("#propagation")).to_contain_text("secrets after 3600 s")
    early.ask_token("https://graph.microsoft.com/.default")
    line = page.locator("#log li").filter(has_text="AADSTS7000215").filter(has_text="too early")
    expect(line).to_contain_text("Its secret test was not known yet")


def test_no_request_is_shown_twice(tab: Tab, own: local_azure.LocalAzure) -> None:
    """News that comes twice, because two questions crossed, is taken once."""
    page, session = tab.open(own), Client(own).session
    session.get(f"{own.url}/none/twice")
    page.locator("#log li").filter(has_text="/none/twice").wait_for()
    page.evaluate("entry => take([entry])", own.requests()[-1])
    assert page.locator("#log li").filter(has_text="/none/twice").count() == 1


def test_a_fault_is_switched_on_and_off(tab: Tab, own: local_azure.LocalAzure) -> None:
    """The switch makes the next token call 429, the page says so, and off ends it."""
    page, client = tab.open(own), Client(own)
    switch = page.get_by_role("switch", name="Tokens throttled")
    switch.click()
    expect(switch).to_be_checked()
    expect(page.locator("#rules")).to_contain_text("429, Retry-After 2: tokens")
    assert client.ask_token("https://graph.microsoft.com/.default").status_code == 429
    expect(page.locator("#log li").first).to_contain_text("a fault rule of this local Azure did this on purpose")
    expect(page.locator("#rules")).to_contain_text("hit 1")
    switch.click()
    expect(switch).not_to_be_checked()
    assert client.ask_token("https://graph.microsoft.com/.default").status_code == 200


def test_a_rule_of_ones_own_and_delays(tab: Tab, own: local_azure.LocalAzure) -> None:
    """Kind, API, route, method, share and number of a rule are set in a form, as are delays and the clock, and all end."""
    page = tab.open(own)
    page.get_by_text("Another rule").click()
    page.get_by_label("What happens").select_option("503")
    page.get_by_label("To requests for").select_option(label="Microsoft Graph")
    page.get_by_label("Whose path begins").fill("/v1.0/groups")
    page.get_by_label("By method").select_option("GET")
    page.get_by_label("Seconds, or Retry-After").fill("3")
    page.get_by_label("Share that is hit").fill("50")
    page.get_by_label("At most").fill("4")
    page.get_by_role("button", name="Switch on").click()
    expect(page.locator("#rules")).to_contain_text(
        "503, Retry-After 3: Microsoft Graph GET /v1.0/groups, 50 %, at most 4"
    )
    rule = own.admin("GET", "faults")["rules"][0]
    wanted = {"status": 503, "family": "graph", "route": "/v1.0/groups", "method": "GET", "rate": 0.5, "count": 4}
    assert wanted | {"retry_after": 3} == {name: rule[name] for name in (*wanted, "retry_after")}
    page.get_by_role("button", name="All off").click()
    expect(page.locator("#rules li")).to_have_count(0)
    assert own.admin("GET", "faults")["rules"] == []
    page.get_by_text("Delays and clock").click()
    page.get_by_label("New roles work after").fill("12")
    page.get_by_label("Clock is ahead by").fill("86400")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator("#propagation")).to_contain_text("roles after 12 s")
    expect(page.locator("#clock")).to_contain_text("24 hours ahead")
    settings = own.admin("GET", "settings")
    assert settings["propagation"]["roles"] == 12 and round(settings["clock"]["offset"]) == 86400
    page.get_by_role("button", name="Back to none").click()
    expect(page.locator("#clock")).to_contain_text("as this machine's")


def test_the_page_itself_meets_no_faults_and_is_in_no_log(tab: Tab, own: local_azure.LocalAzure) -> None:
    """When everything fails the page can still be opened anew and end it; what it asks for is not among the requests."""
    page = tab.open(own)
    last = max((one["number"] for one in own.requests()), default=0)
    own.faults({"kind": "status", "status": 503})
    page.reload()
    page.get_by_role("button", name="All off").click()
    expect(page.locator("#rules li")).to_have_count(0)
    assert own.requests(after=last) == []


def test_the_log_on_the_page_is_bounded(tab: Tab, own: local_azure.LocalAzure) -> None:
    """However many requests come, the newest 300 are shown and the gap is named; a pause holds them back."""
    page, session = tab.open(own), Client(own).session
    page.get_by_role("button", name="Pause").click()
    for number in range(700):
        session.get(f"{own.url}/none/{number}")
    expect(page.locator("#log-note")).to_have_text("300 new")
    assert page.locator("#log li").count() <= 300
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#log li").first).to_contain_text("/none/699")
    assert page.locator("#log li").count() == 300


# ----------------------------------------------------------------------------------------------------- for all who look


def test_everything_by_keyboard(tab: Tab, own: local_azure.LocalAzure) -> None:
    """Tab reaches the switches and the picture, Space switches, arrows go through the apps, Enter opens one."""
    page = tab.open(own)
    switch = page.get_by_role("switch", name="Tokens throttled")
    for _ in range(100):
        page.keyboard.press("Tab")
        if switch.evaluate("one => one === document.activeElement"):
            break
    page.keyboard.press("Space")
    expect(switch).to_be_checked()
    nodes = page.locator("#picture g.principal")
    nodes.first.focus()
    page.keyboard.press("ArrowDown")
    expect(nodes.nth(1)).to_be_focused()
    expect(nodes.nth(1)).to_have_class("node principal on")
    name = (nodes.nth(1).get_attribute("aria-label") or "").partition(":")[0]
    page.keyboard.press("Enter")
    expect(page.locator(".app[open] b")).to_have_text(name)


def test_everything_has_a_name(tab: Tab, own: local_azure.LocalAzure) -> None:
    """Whatever can be used has a name for those who do not see it."""
    page = tab.open(own)
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    tree = tab.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    usable = {
        "button",
        "switch",
        "textbox",
        "searchbox",
        "spinbutton",
        "combobox",
        "checkbox",
        "link",
        "DisclosureTriangle",
    }
    found = [
        (node["role"]["value"], node["name"]["value"]) for node in tree if node.get("role", {}).get("value") in usable
    ]
    assert len(found) > 30 and [one for one in found if not one[1].strip()] == []


def test_light_and_dark(browser: Browser, own: local_azure.LocalAzure) -> None:
    """The page is light or dark as the reader's other programs are."""
    grounds = {}
    for scheme in ("light", "dark"):
        tab = Tab(browser, color_scheme=scheme)
        colour = tab.open(own).evaluate("getComputedStyle(document.body).backgroundColor")
        grounds[scheme] = sum(int(part) for part in colour.strip("rgb()").split(","))
        tab.context.close()
    assert grounds["dark"] < 150 < 600 < grounds["light"]


# --------------------------------------------------------------------------------------------------- who may look at it


def test_a_link_is_good_once(tab: Tab, own: local_azure.LocalAzure) -> None:
    """The link's code leaves the address, a reload goes on, a second tab with the same link only learns how to get one."""
    link = own.page()
    tab.page.goto(link)
    tab.page.locator("#picture svg").wait_for()
    assert tab.page.url == f"{own.url}/"
    tab.page.reload()
    tab.page.locator("#picture svg").wait_for()
    key = tab.page.evaluate("sessionStorage.getItem('key')")
    assert key not in (link, (own.state / "admin.key").read_text())
    other = tab.context.new_page()
    other.goto(link)
    expect(other.locator("#door")).to_contain_text("used already")
    expect(other.locator("#door")).to_contain_text("python3 -m entrant local page")
    other.goto("about:blank")
    other.goto(own.url)
    expect(other.locator("#door")).to_contain_text("It needs a key")
    expect(other.locator("#console")).to_be_hidden()


def test_the_key_of_a_visit_opens_only_what_the_page_needs(own: local_azure.LocalAzure) -> None:
    """It reads and switches faults; it makes no assertions, no links and no reset, and nothing opens without a key."""
    session = Client(own).session
    code = own.page().partition("#visit=")[2]
    key = session.post(f"{own.url}/_local/visits/redeem", json={"code": code}).json()["key"]
    again = session.post(f"{own.url}/_local/visits/redeem", json={"code": code})
    assert again.status_code == 401 and again.json()["error"]["code"] == "LinkUsed"
    headers = {"Authorization": f"Bearer {key}"}
    assert session.get(f"{own.url}/_local/news", headers=headers).status_code == 200
    for method, path in (
        ("POST", "assertions"),
        ("POST", "reset"),
        ("POST", "visits"),
        ("GET", "log"),
        ("PUT", "issuers"),
    ):
        assert session.request(method, f"{own.url}/_local/{path}", headers=headers, json={}).status_code == 403
    for method, path in (("GET", "overview"), ("GET", "news"), ("POST", "visits"), ("DELETE", "faults")):
        assert session.request(method, f"{own.url}/_local/{path}").status_code == 401


def test_links_and_keys_end() -> None:
    """A code is forgotten after two minutes and after use; only so many codes and keys are remembered."""
    time = [0.0]
    held = Visits(lambda: time[0])
    late, early = held.invite(), held.invite()
    key = held.redeem(early)
    assert key and held.holds(key) and held.redeem(early) is None and not held.holds("") and not held.holds(key + "é")
    time[0] = visits.LINK_SECONDS + 1
    assert held.redeem(late) is None
    codes = [held.invite() for _ in range(visits.MOST + 1)]
    assert held.redeem(codes[0]) is None
    for _ in range(visits.MOST):
        assert held.redeem(held.invite())
    assert not held.holds(key)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:443", "a.localhost"]
)
def test_a_wrong_host_is_refused(own: local_azure.LocalAzure, host: str) -> None:
    """A name that is pointed at this machine opens neither the page nor its data, whatever the key."""
    key = (own.state / "admin.key").read_text()
    headers = {"Host": host, "Accept": "text/html", "Authorization": f"Bearer {key}"}
    for path in ("/", "/_local/news", "/_local/settings"):
        assert requests.get(own.url + path, headers=headers, verify=str(own.ca_file)).status_code == 421


def test_another_site_is_refused(own: local_azure.LocalAzure) -> None:
    """What another site makes a browser ask for is refused, and no answer allows another origin; a link to the page works."""
    key = (own.state / "admin.key").read_text()
    session = Client(own).session
    for site in ("cross-site", "same-site"):
        headers = {"Authorization": f"Bearer {key}", "Sec-Fetch-Site": site, "Origin": "https://evil.example"}
        for method in ("GET", "OPTIONS", "DELETE"):
            answer = session.request(method, f"{own.url}/_local/faults", headers=headers)
            assert answer.status_code == 403 and not [
                name for name in answer.headers if "access-control" in name.lower()
            ]
        page = {"Accept": "text/html", "Sec-Fetch-Site": site}
        assert session.get(own.url, headers=page | {"Sec-Fetch-Mode": "no-cors"}).status_code == 403
        assert session.get(own.url, headers=page | {"Sec-Fetch-Mode": "navigate"}).status_code == 200


def test_root_for_other_clients(own: local_azure.LocalAzure) -> None:
    """Without `Accept: text/html` the root stays a JSON 404; with it comes the page, with a policy that names one script."""
    session = Client(own).session
    for accept in ("*/*", "application/json"):
        answer = session.get(own.url, headers={"Accept": accept})
        assert answer.status_code == 404 and answer.json()["error"]["code"] == "NotFound"
    answer = session.get(own.url, headers={"Accept": "text/html,*/*;q=0.8"})
    policy = answer.headers["Content-Security-Policy"]
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert (
        "default-src 'none'; script-src 'sha256-" in policy
        and "unsafe" not in policy
        and "frame-ancestors 'none'" in policy
    )
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy
    assert (
        own.tenant_id not in answer.text and session.post(own.url, headers={"Accept": "text/html"}).status_code == 404
    )


def test_injected_script_does_not_run(tab: Tab, own: local_azure.LocalAzure) -> None:
    """Even if text became markup, the browser would not run it."""
    page = tab.open(own)
    markup = "document.body.insertAdjacentHTML('beforeend', '<b></b>')"
    outcome = page.evaluate(f"() => {{ try {{ {markup}; return 'taken' }} catch (error) {{ return error.name }} }}")
    assert outcome == "TypeError" and len(tab.complaints) == 1 and "TrustedHTML" in tab.complaints[0]
    tab.complaints.clear()


def test_page_is_small() -> None:
    """One file, of a size that nobody waits for."""
    assert (Path(local_azure.__file__).with_name("page.html")).stat().st_size < 72_000
