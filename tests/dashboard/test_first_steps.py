"""The first five minutes: from nothing to a call that is counted, without reading anything."""

import subprocess

from playwright.sync_api import Locator, expect

from tests.dashboard.conftest import Visit
from tests.platform import PASSWORD


def highest(chart: Locator) -> float:
    """Return how far, in pixels, the highest point of a line is drawn above the lowest."""
    points = chart.locator("polyline.line").first.get_attribute("points") or ""
    heights = [float(point.split(",")[1]) for point in points.split()]
    return max(heights) - min(heights)


def test_a_newcomer_gets_from_signing_up_to_a_counted_call(visit: Visit) -> None:
    page = visit.page
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/")
    page.get_by_role("link", name="Sign up").click()
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
    expect(page.get_by_text("Nothing was called in this time")).to_be_visible()
    expect(page.get_by_label("the curl line", exact=True)).to_contain_text(secret)
    page.get_by_role("button", name="Copy the curl line").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_label("The answer")).to_contain_text('"method"')
    expect(page.get_by_text("1 counted, each of them once")).to_be_visible()
    chart = page.get_by_role("img", name="Requests per minute")
    before = highest(chart)
    answered = subprocess.run(
        ["bash", "-c", copied], check=True, capture_output=True, text=True, timeout=60
    )
    assert '"method"' in answered.stdout
    expect(page.get_by_text("2 counted, each of them once")).to_be_visible()
    assert before > 0
    assert highest(chart) > 0
    steps = page.get_by_role("region", name="First steps").get_by_role("listitem")
    expect(steps.last).to_contain_text("(done)")
    visit.look("first-steps-done")
    visit.must_be_accessible()
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_role("region", name="The last 24 hours")).to_contain_text("1")
    expect(page.get_by_role("img", name="Requests per hour")).to_be_visible()
    visit.look("home")
