"""Every page with things on it: what it shows, what can be done on it, who can use it."""

import re
from collections.abc import Callable

import pyotp
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Deployed, Visit
from tests.platform import PASSWORD, Person

Join = Callable[[], Person]


def row_of(page: Page, text: str) -> str:
    return page.get_by_role("row").filter(has_text=text).inner_text()


def test_deployments_are_listed_and_filtered(visit: Visit, deployed: Deployed) -> None:
    page = visit.page
    visit.sign_in(deployed.person, at="/deployments")
    expect(page.get_by_role("row").filter(has_text=deployed.app)).to_contain_text("running")
    visit.look("deployments")
    visit.must_be_accessible()
    page.get_by_label("Status").select_option("failed")
    expect(page.get_by_role("heading", name="Nothing is failed")).to_be_visible()
    page.get_by_label("Status").select_option("")
    page.get_by_role("link", name=deployed.app).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(deployed.app)


def test_a_deployment_is_shown_from_every_side(visit: Visit, deployed: Deployed) -> None:
    page = visit.page
    visit.sign_in(deployed.person, at=f"/deployments/{deployed.id}")
    expect(page.get_by_text("1 of 1")).to_be_visible()
    visit.look("deployment-overview")
    visit.must_be_accessible()
    for tab, shown in (
        ("Logs", "/status/418"),
        ("Metrics", "Time to answer"),
        ("Revisions", "created"),
        ("Environment", "No variables"),
        ("Settings", "Delete this deployment"),
    ):
        page.get_by_role("navigation", name="Views of").get_by_role("link", name=tab).click()
        expect(page.locator("main").get_by_text(shown).first).to_be_visible()
        visit.look(f"deployment-{tab.lower()}")
        visit.must_be_accessible()


def test_logs_are_searched_and_paused(visit: Visit, deployed: Deployed) -> None:
    page = visit.page
    visit.sign_in(deployed.person, at=f"/deployments/{deployed.id}/logs")
    log = page.get_by_role("log", name="Lines")
    expect(log).to_contain_text("/orders")
    page.get_by_label("Search in the logs").fill("418")
    expect(log).not_to_contain_text("/orders")
    expect(log).to_contain_text("418")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused", exact=True)).to_be_visible()


def test_a_deployment_is_made_changed_rolled_back_and_deleted(visit: Visit, join: Join) -> None:
    page, person = visit.page, join()
    name = f"made-{person.name}"
    visit.sign_in(person, at="/deployments/new")
    visit.look("new-deployment")
    visit.must_be_accessible()
    page.get_by_label("Name").fill(name)
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Environment").fill("GREETING=hello\nTOKEN=a=b")
    page.get_by_role("button", name="Deploy").click()
    head = page.locator(".page-head")
    expect(head).to_contain_text("running")
    page.get_by_role("link", name="Environment").click()
    expect(page.get_by_role("row")).to_have_count(3)
    assert "sealed" in row_of(page, "TOKEN")
    page.get_by_role("button", name="Set all variables").click()
    page.get_by_label("Variables").fill("not a variable")
    page.get_by_role("button", name="Save and restart").click()
    expect(page.get_by_role("alert")).to_contain_text("is not NAME=value")
    page.get_by_label("Variables").fill("GREETING=bye")
    page.get_by_role("button", name="Save and restart").click()
    page.get_by_role("button", name="Add a variable").click()
    page.get_by_label("Name").fill("LEVEL")
    page.get_by_label("Value").fill("debug")
    page.get_by_role("dialog").get_by_role("button", name="Save and restart").click()
    expect(page.get_by_role("row")).to_have_count(3)
    visit.look("environment")
    visit.must_be_accessible()
    page.get_by_role("button", name="Remove LEVEL").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="Revisions").click()
    expect(page.get_by_role("row").filter(has_text="updated").first).to_contain_text("live")
    page.get_by_role("button", name="Roll back to this").last.click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("row").filter(has_text="rolled back")).to_contain_text("live")
    page.get_by_role("button", name="Scale").click()
    page.get_by_role("dialog").get_by_label("Replicas").fill("100000")
    visit.expected = {422}
    page.get_by_role("dialog").get_by_role("button", name="Scale").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="Delete this deployment").click()
    sure = page.get_by_role("dialog").get_by_role("button", name="Delete")
    expect(sure).to_be_disabled()
    page.get_by_label(f"Type {name} to confirm").fill(name)
    visit.look("deployment-deleting")
    sure.click()
    expect(page.get_by_role("heading", name="Nothing runs here yet")).to_be_visible()


def test_a_key_is_made_shown_once_rotated_and_revoked(visit: Visit, deployed: Deployed) -> None:
    page = visit.page
    visit.sign_in(deployed.person, at="/keys?page=9")  # what was there once is on page 1 now
    expect(page.get_by_role("row").filter(has_text="till")).to_contain_text("call:*")
    visit.look("keys")
    visit.must_be_accessible()
    page.get_by_role("button", name="New key").click()
    visit.must_be_accessible()
    page.get_by_label("Name").fill("phone")
    page.get_by_label("Which").select_option(label=deployed.app)
    page.get_by_role("button", name="Make the key").click()
    key = page.get_by_label("the key", exact=True)
    expect(key).to_contain_text("tp_live_")
    first = key.inner_text()
    visit.look("key-made")
    page.get_by_role("button", name="I have it").click()
    assert first not in page.content()
    page.get_by_role("link", name="phone").click()
    expect(page.get_by_text(f"call:{deployed.id}")).to_be_visible()
    visit.look("key")
    visit.must_be_accessible()
    page.get_by_role("button", name="Rotate").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    expect(key).to_contain_text("tp_live_")
    assert key.inner_text() != first
    page.get_by_role("button", name="I have it").click()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_label("Type phone to confirm").fill("phone")
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("link", name="till")).to_be_visible()
    expect(page.get_by_role("link", name="phone")).not_to_be_visible()


def test_analytics_usage_and_audit_tell_what_happened(visit: Visit, deployed: Deployed) -> None:
    page = visit.page
    visit.sign_in(deployed.person, at="/analytics")
    assert re.search(r"GET /orders\s+2", row_of(page, "/orders"))
    expect(page.get_by_role("region", name="Answers")).to_contain_text("418")
    page.get_by_label("Deployment").select_option(label=deployed.app)
    expect(page.get_by_role("img", name="Time to answer")).to_be_visible()
    visit.look("analytics")
    visit.must_be_accessible()
    page.get_by_role("link", name="Usage and cost").click()
    expect(page.get_by_role("row").filter(has_text=deployed.app)).to_be_visible()
    visit.look("usage")
    visit.must_be_accessible()
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_text("Deployment requested").first).to_be_visible()
    page.get_by_label("What (a type of event)").fill("api_keys.ApiKeyCreated")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_text("Deployment requested")).not_to_be_visible()
    visit.look("audit")
    visit.must_be_accessible()
    page.get_by_role("link", name=deployed.key["id"]).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(deployed.key["id"])
    visit.must_be_accessible()


def test_single_requests_are_listed_narrowed_and_opened(visit: Visit, deployed: Deployed) -> None:
    page = visit.page
    visit.sign_in(deployed.person, at="/analytics")
    page.get_by_role("link", name="Requests").click()
    expect(page.get_by_role("row").filter(has_text="GET /orders")).to_have_count(2)
    page.get_by_label("Answer").fill("5xx")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("row").filter(has_text="/orders")).to_have_count(0)
    failed = page.get_by_role("row").filter(has_text="/status/500")
    failed.get_by_text("GET /status/500").click()
    expect(failed.get_by_role("link", name=deployed.key["id"])).to_be_visible()
    visit.look("requests")
    visit.must_be_accessible()
    page.get_by_label("Answer").fill("many")
    visit.expected = {422}
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("alert")).to_contain_text("status")
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("button", name="Slowest").click()
    expect(page.get_by_role("row").filter(has_text="GET /orders")).to_have_count(2)


def test_a_team_is_founded_and_somebody_invited(visit: Visit, join: Join) -> None:
    page = visit.page
    visit.sign_in(join(), at="/teams")
    page.get_by_role("button", name="New team").click()
    page.get_by_label("Name").fill("Acme")
    page.get_by_role("button", name="Found it").click()
    expect(page.get_by_role("heading", name="Acme")).to_be_visible()
    page.get_by_label("E-mail").fill("carl@example.com")
    page.get_by_role("button", name="Send the invitation").click()
    expect(page.get_by_role("row").filter(has_text="carl@example.com")).to_be_visible()
    visit.look("team")
    visit.must_be_accessible()
    page.get_by_role("button", name="Take back").click()
    expect(page.get_by_role("row").filter(has_text="carl@example.com")).not_to_be_visible()
    page.get_by_label("Team", exact=True).select_option(label="Personal")
    page.get_by_role("button", name="Delete this team").click()
    page.get_by_label("Type Acme to confirm").fill("Acme")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Teams")).to_be_visible()
    visit.look("teams")


def test_a_second_factor_is_turned_on_and_asked_for(visit: Visit, join: Join) -> None:
    page, person = visit.page, join()
    visit.sign_in(person, at="/profile")
    visit.look("profile")
    visit.must_be_accessible()
    page.get_by_role("link", name="Security").click()
    page.get_by_role("button", name="Turn on").click()
    page.get_by_role("dialog").get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("img", name="QR code with the secret")).to_be_visible()
    visit.look("second-factor")
    visit.must_be_accessible()
    codes = pyotp.TOTP(page.get_by_label("the secret", exact=True).inner_text())
    page.get_by_label("Code that the app shows").fill(codes.now())
    page.get_by_role("dialog").get_by_role("button", name="Turn on").click()
    recovery = page.get_by_label("the recovery codes", exact=True).inner_text().split()
    page.get_by_role("button", name="I have them").click()
    page.get_by_role("link", name="Sessions").click()
    expect(page.get_by_text("this one")).to_be_visible()
    visit.look("sessions")
    page.get_by_role("link", name="Your data").click()
    visit.must_be_accessible()
    page.get_by_role("button", name="Sign out").click()
    visit.expected = {401}
    page.get_by_label("E-mail").fill(person.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code").fill(recovery[0])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_help_is_one_click_away_and_is_searched(visit: Visit, deployed: Deployed) -> None:
    page = visit.page
    visit.sign_in(deployed.person)
    page.get_by_role("link", name="Help", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Help")
    visit.look("help")
    visit.must_be_accessible()
    page.get_by_role("searchbox").fill("rotated keys")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Search")
    page.get_by_role("main").get_by_role("link").first.click()
    expect(page).to_have_url(re.compile("/help/.*#"))
    visit.look("help-document")
    visit.must_be_accessible()
