"""How pages look: on a phone, and in the dark."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.dashboard.conftest import Deployed, Visit

PHONE = 360


def test_no_page_is_wider_than_a_phone_and_all_can_be_read_in_the_dark(
    browse: Callable[..., Visit], deployed: Deployed
) -> None:
    visit = browse(width=PHONE, color_scheme="dark")
    page = visit.page
    visit.sign_in(deployed.person)
    deployment = f"/deployments/{deployed.id}"
    for path in (
        "/",
        "/deployments",
        "/deployments/new",
        deployment,
        f"{deployment}/logs",
        f"{deployment}/settings",
        "/keys",
        f"/keys/{deployed.key['id']}",
        f"/analytics?deploymentId={deployed.id}",
        "/alerts",
        "/webhooks",
        "/usage",
        "/audit",
        f"/teams/{deployed.person.get('/teams')['teams'][0]['id']}",
        "/profile/security",
    ):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("Loading …")).to_have_count(0)
        too_wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(too_wide) <= 0, path
        visit.must_be_accessible()
    page.get_by_role("button", name="Menu").click()
    page.get_by_label("Colours").select_option("light")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    page.get_by_role("link", name="Deployments").click()
    expect(page.get_by_role("heading", name="Deployments")).to_be_visible()
    expect(page.get_by_role("navigation", name="Sections")).not_to_be_visible()
