"""Webhooks in a browser: made with a secret shown once, tested, changed, rotated, deleted."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.dashboard.conftest import Visit
from tests.platform import Person

Join = Callable[[], Person]


def test_a_webhook_is_made_tested_changed_rotated_and_deleted(visit: Visit, join: Join) -> None:
    page = visit.page
    visit.sign_in(join(), at="/webhooks")
    expect(page.get_by_role("heading", name="Nobody is told yet")).to_be_visible()
    visit.must_be_accessible()
    page.get_by_role("button", name="New webhook").first.click()
    page.get_by_label("URL").fill("https://localhost/")
    visit.expected = {422}
    page.get_by_role("button", name="Make the webhook").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_be_visible()
    page.get_by_label("URL").fill("https://hooks.example.com/tallyport?token=abc")
    page.get_by_label("Description").fill("the pager")
    page.get_by_label("Everything").uncheck()
    page.get_by_label("key.created").check()
    visit.look("webhook-new")
    visit.must_be_accessible()
    page.get_by_role("button", name="Make the webhook").click()
    secret = page.get_by_label("the secret", exact=True)
    expect(secret).to_contain_text("whsec_")
    first = secret.inner_text()
    page.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("the pager")
    expect(page.get_by_text("token=abc")).to_be_visible()

    page.get_by_role("button", name="Send a test").click()
    row = page.get_by_role("row").filter(has_text="webhook.test")
    expect(row).to_be_visible()
    row.get_by_role("button", name="Look at").click()
    expect(page.get_by_label("what is sent", exact=True)).to_contain_text("webhookId")
    visit.look("webhook-delivery")
    visit.must_be_accessible()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    visit.look("webhook")
    visit.must_be_accessible()

    page.get_by_role("button", name="Rotate the secret").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    expect(secret).to_contain_text("whsec_")
    assert secret.inner_text() != first
    page.get_by_role("button", name="I have copied it").click()
    expect(page.get_by_text("signs along until")).to_be_visible()
    page.get_by_role("button", name="Replay").click()
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    expect(page.get_by_text("What happened is being sent again")).to_be_visible()
    page.get_by_role("button", name="Disable").click()
    expect(page.locator(".page-head")).to_contain_text("disabled")
    page.get_by_role("button", name="Enable").click()
    expect(page.locator(".page-head")).to_contain_text("enabled")
    page.get_by_role("button", name="Delete").click()
    sure = page.get_by_role("dialog").get_by_role("button", name="Delete")
    expect(sure).to_be_disabled()
    page.get_by_label("Type the pager to confirm").fill("the pager")
    sure.click()
    expect(page.get_by_role("heading", name="Nobody is told yet")).to_be_visible()
