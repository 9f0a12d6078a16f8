"""Trouble is shown while it lasts, and who looks after the platform can do something about it."""

from collections.abc import Callable

import httpx
from playwright.sync_api import expect

from tests.dashboard.conftest import Visit
from tests.platform import Person, Platform

Join = Callable[[], Person]


def app_of(person: Person, platform: Platform) -> tuple[str, httpx.Client]:
    """Deploy something and return its id and what calls it."""
    name = f"care-{person.name}"
    deployment_id = person.deploy(name)["id"]
    headers = {
        "Host": f"{name}.apps.localhost",
        "X-API-Key": person.create_key(name="till")["apiKey"],
    }
    client = httpx.Client(base_url=platform.gateway_url, headers=headers, timeout=20)
    return deployment_id, client


def becomes(platform: Platform, client: httpx.Client, status: int) -> None:
    """Return when the app answers so."""
    platform.wait_until(
        lambda: client.get("/").status_code == status, 30, f"the app does not answer {status}"
    )


def test_errors_become_an_alert_that_stands_on_every_page(
    visit: Visit, join: Join, platform: Platform
) -> None:
    page, person = visit.page, join()
    deployment_id, client = app_of(person, platform)
    visit.sign_in(person, at="/alerts")
    expect(page.get_by_role("heading", name="Nothing is wrong")).to_be_visible()
    with client:
        becomes(platform, client, 200)
        for _ in range(30):
            client.get("/status/500")
    row = page.get_by_role("row").filter(has_text="answers with errors")
    expect(row).to_contain_text("requests failed")
    expect(page.get_by_role("navigation", name="Sections")).to_contain_text("1 open")
    visit.look("alerts")
    visit.must_be_accessible()
    page.get_by_role("button", name="Turn mails to me off").click()
    expect(page.get_by_text("No letters about this team")).to_be_visible()
    page.get_by_role("button", name="Set Error rate").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Threshold (percent)").fill("60")
    dialog.get_by_label("On", exact=True).uncheck()
    visit.look("alert-rule")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Nothing is wrong")).to_be_visible()
    page.get_by_role("button", name="Past").click()
    expect(row).to_contain_text("the rule was turned off")
    row.get_by_role("link").click()
    page.wait_for_url(f"**/deployments/{deployment_id}")


def test_the_system_is_shown_part_by_part_and_a_view_is_filled_anew(
    visit: Visit, admin: Person
) -> None:
    page = visit.page
    visit.sign_in(admin, at="/admin/system")
    parts = page.get_by_role("table", name="Parts and workers")
    for part in ("postgres", "clickhouse", "redis", "gateways", "containers", "webhooks"):
        row = parts.get_by_role("row").filter(has=page.get_by_text(part, exact=True))
        expect(row).to_contain_text("up")
    expect(page.get_by_role("heading", name="No event is parked")).to_be_visible()
    visit.look("system")
    visit.must_be_accessible()
    page.get_by_role("button", name="Replay mails").click()
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_app_is_looked_after_while_everybody_is_told(
    visit: Visit, admin: Person, join: Join, platform: Platform
) -> None:
    page, person = visit.page, join()
    deployment_id, client = app_of(person, platform)
    visit.sign_in(admin, at="/admin/announcements")
    page.get_by_role("button", name="Announce").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Text").fill("New prices from January on")
    dialog.get_by_role("button", name="Announce").click()
    page.get_by_role("button", name="Plan maintenance").click()
    dialog.get_by_label("Why").fill("The disks are replaced")
    dialog.get_by_label("Until").fill("2099-01-01T00:00")
    visit.expected = {422}
    dialog.get_by_role("button", name="Plan", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("seven days")
    page.keyboard.press("Escape")
    soon = page.evaluate("new Date(Date.now() + 3600e3).toISOString()")
    planned = {"text": "New disks", "endsAt": soon, "deploymentId": deployment_id}
    admin.post("/admin/maintenance", **planned)
    with client:
        becomes(platform, client, 503)
        page.reload()
        banners = page.get_by_role("region", name="Announcements").first
        expect(banners).to_contain_text("New prices from January on")
        row = page.get_by_role("row").filter(has_text="New disks")
        expect(row).to_contain_text("under way")
        visit.look("announcements")
        visit.must_be_accessible()
        row.get_by_role("button", name="End").click()
        page.get_by_role("dialog").get_by_role("button", name="End").click()
        becomes(platform, client, 200)
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("heading", name="Nothing is announced")).to_be_visible()


def test_an_admin_acts_as_somebody_and_is_themselves_again(
    visit: Visit, admin: Person, join: Join
) -> None:
    page, person = visit.page, join()
    visit.sign_in(admin, at=f"/admin/people?search={person.name}")
    row = page.get_by_role("row").filter(has_text=person.email)
    row.get_by_role("button", name="Act as").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("Asked for help")
    dialog.get_by_role("button", name=f"Act as {person.name}").click()
    expect(page.get_by_text(f"You act as {person.name}")).to_be_visible()
    expect(page.get_by_role("navigation", name="Administration")).to_have_count(0)
    visit.look("acting")
    visit.must_be_accessible()
    page.get_by_role("button", name="Be yourself again").click()
    expect(page.get_by_role("navigation", name="Administration")).to_be_visible()


def test_a_team_gets_limits_of_its_own(visit: Visit, admin: Person, join: Join) -> None:
    page, person = visit.page, join()
    visit.sign_in(admin, at=f"/admin/teams?search={person.name}")
    row = page.get_by_role("row").filter(has_text=person.name)
    row.get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Replicas").fill("7")
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("0 of 7 *")
    visit.look("quotas")
    visit.must_be_accessible()
