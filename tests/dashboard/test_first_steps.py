"""The first five minutes: from nothing to a call that is counted, without reading anything."""

from playwright.sync_api import expect

from tests.dashboard.conftest import Visit
from tests.platform import PASSWORD


def test_a_newcomer_gets_from_signing_up_to_a_counted_call(visit: Visit) -> None:
    page = visit.page
    page.goto("/sign-up")
    page.get_by_label("Name").fill("newcomer")
    page.get_by_label("E-mail").fill("newcomer@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Your first API, in four steps")).to_be_visible()
    visit.look("first-steps")
    visit.must_be_accessible()
    page.get_by_role("button", name="Deploy the sample").click()
    page.get_by_role("button", name="Make a key").click()
    key = page.get_by_label("the key", exact=True)
    expect(key).to_contain_text("tp_live_")
    secret = key.inner_text()
    expect(page.get_by_label("the curl line", exact=True)).to_contain_text(secret)
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_label("The answer")).to_contain_text('"method"')
    expect(page.get_by_text("1 counted, each of them once")).to_be_visible()
    visit.look("first-steps-done")
    visit.must_be_accessible()
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("region", name="The last 24 hours")).to_contain_text("1")
    visit.look("home")
