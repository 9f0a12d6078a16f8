"""Getting something to run, by its code, by the keyboard alone, and among ten thousand others."""

import io
import os
import re
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from playwright.sync_api import expect

from tests.dashboard.conftest import ROOT, Deployed, Visit
from tests.platform import PASSWORD, Person, Platform

Join = Callable[[], Person]
HOSTILE = r"""
import sys
for line in (
    "\x1b[2J\x1b[31mcoloured\x1b[0m \x1b]8;;https://evil.example\x07link\x1b]8;;\x07"
    "\x1b]0;new title\x07 ended",
    "bell\x07 \x9b2J \x1bc \x1bPq#0\x1b\\ \x1b[999",
    "admin\u202etxt.exe",
    "<img src=x onerror=window.__pwned=1>",
    '{"level": "info", "message": "json \\u001b[31mred\\u001b[0m \\u202eflip"}',
    "x" * 15_000,
):
    sys.stdout.buffer.write(line.encode() + b"\n")
"""
"""What a program writes that wants to be more than text."""
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
MANY = 10_000
ELEMENTS_MAX = 1000
"""Of a page with the whole of a full list on it: what is drawn does not grow with the list."""


def test_code_is_uploaded_and_seen_being_built(visit: Visit, join: Join) -> None:
    page, person = visit.page, join()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("main.py", HOSTILE + (ROOT / "examples/python/main.py").read_text())
    visit.sign_in(person, at="/deployments/new")
    page.get_by_role("button", name="Code").click()
    page.get_by_label("Archive").set_input_files(
        {"name": "code.zip", "mimeType": "application/zip", "buffer": archive.getvalue()}
    )
    page.get_by_label("Name").fill(f"code-{person.name}")
    visit.look("new-deployment-code")
    visit.must_be_accessible()
    page.get_by_role("button", name="Deploy").click()
    lines = page.get_by_role("log", name="Lines")
    expect(lines).to_contain_text("building with python")
    expect(page.locator(".page-head")).to_contain_text("running")
    visit.look("deployment-built")
    page.get_by_role("link", name="Logs").click()
    expect(lines).to_contain_text("coloured link ended")
    expect(lines).to_contain_text("admin\\u202etxt.exe")
    expect(lines).to_contain_text("json red \\u202eflip")
    expect(lines).to_contain_text("<img src=x onerror=window.__pwned=1>")
    assert lines.locator("img, a").count() == 0
    assert page.evaluate("window.__pwned") is None
    assert not UNSEEN.search(lines.inner_text())
    expect(lines).not_to_contain_text("x" * 3000)
    visit.look("hostile-lines")
    visit.must_be_accessible()
    lines.get_by_role("button", name="Show all 15,000 characters").click()
    expect(lines).to_contain_text("x" * 15_000)


def test_a_domain_shows_the_records_to_copy(visit: Visit, deployed: Deployed) -> None:
    page, name = visit.page, f"api.{deployed.app}.example.com"
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit.sign_in(deployed.person, at=f"/deployments/{deployed.id}/domains")
    page.get_by_label("Domain", exact=True).fill(name)
    page.get_by_role("button", name="Add").click()
    card = page.get_by_role("region", name=name)
    expect(card.get_by_role("row").filter(has_text="TXT")).to_be_visible()
    [domain] = deployed.person.get(f"/deployments/{deployed.id}/domains")["domains"]
    for record in domain["dnsRecords"]:
        row = card.get_by_role("row").filter(has_text=record["value"])
        for part in ("name", "value"):
            row.get_by_role("button", name=f"Copy {record['type']} {part}").first.click()
            assert page.evaluate("navigator.clipboard.readText()") == record[part]
    visit.look("domain")
    visit.must_be_accessible()
    other = "second-shop"
    sample = {"image": "tallyport/echo", "port": 8080, "replicas": 0}
    other_id = deployed.person.post("/deployments", appName=other, **sample)["id"]
    card.get_by_role("button", name="Move", exact=True).click()
    page.get_by_label("To deployment").fill("nothing-of-ours")
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("nothing-of-ours")
    visit.look("domain-moving")
    visit.must_be_accessible()
    page.get_by_label("To deployment").fill(other)
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_role("heading", name="No domains")).to_be_visible()
    page.goto(f"/deployments/{other_id}/domains")
    expect(card.get_by_role("row").filter(has_text="TXT")).to_be_visible()
    card.get_by_role("button", name="Remove").click()
    page.get_by_label(f"Type {name} to confirm").fill(name)
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("heading", name="No domains")).to_be_visible()


def test_everything_can_be_done_by_the_keyboard(visit: Visit, join: Join) -> None:
    page, keys, person = visit.page, visit.page.keyboard, join()

    def tab_to(role: str, name: str) -> None:
        wanted = page.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]
        expect(wanted).to_be_visible()
        for _ in range(40):
            keys.press("Tab")
            if wanted.evaluate("shown => shown === document.activeElement"):
                return
        raise AssertionError(f"nobody gets to the {role} {name} by Tab")

    page.goto("/deployments")
    tab_to("textbox", "E-mail")
    keys.type(person.email)
    keys.press("Tab")
    keys.type(PASSWORD)
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Deployments")).to_be_focused()
    tab_to("link", "Deploy something")
    keys.press("Enter")
    expect(page.get_by_role("heading", name="New deployment")).to_be_focused()
    tab_to("textbox", "Name")
    keys.type(f"keys-{person.name}")
    keys.press("Enter")
    expect(page.get_by_role("heading", name=f"keys-{person.name}")).to_be_focused()
    expect(page.locator(".page-head")).to_contain_text("running")
    tab_to("button", "Scale")
    keys.press("Enter")
    replicas = page.get_by_role("dialog").get_by_label("Replicas")
    expect(replicas).to_be_focused()
    keys.press("Escape")
    expect(page.get_by_role("button", name="Scale")).to_be_focused()
    page.reload()
    expect(page.get_by_role("heading", name=f"keys-{person.name}")).to_be_focused()
    for _ in range(40):
        keys.press("Shift+Tab")
        if page.evaluate("document.activeElement.textContent") == "Skip to the content":
            break
    keys.press("Enter")
    keys.press("Tab")
    assert page.evaluate("document.querySelector('main').contains(document.activeElement)")


@contextmanager
def many(platform: Platform, like: str) -> Iterator[None]:
    """Let the list have very many rows like one, while nobody starts what they name."""
    provisioner = platform.pid_of("provisioner")
    os.kill(provisioner, signal.SIGSTOP)
    try:
        with psycopg.connect(platform.database_owner_url, autocommit=True) as database:
            database.execute(
                "CREATE TEMP TABLE one AS SELECT * FROM views.deployments WHERE id = %s", [like]
            )
            database.execute(
                "INSERT INTO views.deployments SELECT copy.* FROM one, generate_series(2, %s) AS n,"
                " LATERAL jsonb_populate_record(one, jsonb_build_object("
                "'id', 'dpl-' || lpad(n::text, 10, '0'), 'app_name', 'many-' || n)) AS copy",
                [MANY],
            )
            try:
                yield
            finally:
                database.execute("DELETE FROM views.deployments WHERE app_name LIKE 'many-%'")
    finally:
        os.kill(provisioner, signal.SIGCONT)


def test_ten_thousand_deployments_are_a_page_like_any_other(
    visit: Visit, join: Join, platform: Platform
) -> None:
    page, person = visit.page, join()

    def elements() -> int:
        return int(page.evaluate("document.querySelectorAll('*').length"))

    first = person.deploy(f"first-{person.name}")
    with many(platform, first["id"]):
        visit.sign_in(person, at="/deployments")
        expect(page.get_by_text("1 to 25 of 10,000")).to_be_visible()
        assert elements() < ELEMENTS_MAX
        page.get_by_role("button", name="Last").click()
        expect(page.get_by_text("9,976 to 10,000 of 10,000")).to_be_visible()
        assert elements() < ELEMENTS_MAX
        visit.look("deployments-many")
        page.get_by_label("Find by name").fill("many-4711")
        page.keyboard.press("Enter")
        expect(page.get_by_role("row")).to_have_count(2)
        expect(page.get_by_role("link", name="many-4711")).to_be_visible()
        page.get_by_label("Find by name").fill("many")
        page.get_by_role("button", name="Find").click()
        expect(page.get_by_role("heading", name="Nothing is called many")).to_be_visible()
        page.get_by_role("link", name="Analytics").click()
        expect(page.get_by_label("Deployment").get_by_role("option")).to_have_count(101)
        assert elements() < ELEMENTS_MAX
