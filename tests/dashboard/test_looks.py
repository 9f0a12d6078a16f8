"""How pages look: on a phone, in the dark and in the light."""

from collections.abc import Callable, Iterable

from playwright.sync_api import expect

from tests.dashboard.conftest import Deployed, Visit
from tests.platform import Person

PHONE = 360
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

END_TRANSITIONS = """
for (const each of document.getAnimations()) if (each instanceof CSSTransition) each.finish();
"""
"""So that no colour is one in between."""


def look_at(visit: Visit, paths: Iterable[str]) -> None:
    """Hold that each fits on a phone, and can be read in the dark and in the light."""
    page = visit.page
    for path in paths:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("Loading …")).to_have_count(0)
        assert page.evaluate(TOO_WIDE) <= 0, path
        visit.must_be_accessible()
        page.emulate_media(color_scheme="light")
        page.evaluate(END_TRANSITIONS)
        visit.must_be_accessible("color-contrast")
        page.emulate_media(color_scheme="dark")


def test_no_page_is_wider_than_a_phone_and_all_can_be_read_in_any_light(
    browse: Callable[..., Visit], deployed: Deployed
) -> None:
    visit = browse(width=PHONE, color_scheme="dark")
    page, person = visit.page, deployed.person
    look_at(visit, ("/", "/sign-up", "/forgot-password"))
    visit.sign_in(person)
    deployment = f"/deployments/{deployed.id}"
    tabs = ("", "/logs", "/metrics", "/revisions", "/environment", "/domains", "/portal")
    look_at(
        visit,
        (
            "/",
            "/deployments",
            "/deployments/new",
            *(f"{deployment}{tab}" for tab in (*tabs, "/settings")),
            "/keys",
            f"/keys/{deployed.key['id']}",
            f"/analytics?deploymentId={deployed.id}",
            "/analytics/requests",
            "/alerts",
            "/webhooks",
            "/usage",
            "/audit",
            f"/history/{deployed.id}",
            "/teams",
            f"/teams/{person.get('/teams')['teams'][0]['id']}",
            "/profile",
            "/profile/security",
            "/profile/sessions",
            "/help",
        ),
    )
    page.goto("/")
    page.get_by_role("button", name="Menu").click()
    page.get_by_label("Colours").select_option("light")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    page.get_by_role("link", name="Deployments").click()
    expect(page.get_by_role("heading", name="Deployments")).to_be_visible()
    expect(page.get_by_role("navigation", name="Sections")).not_to_be_visible()


def test_the_pages_of_admins_fit_on_a_phone_and_can_be_read_in_any_light(
    browse: Callable[..., Visit], admin: Person
) -> None:
    visit = browse(width=PHONE, color_scheme="dark")
    visit.sign_in(admin)
    names = ("people", "teams", "system", "announcements", "mailbox")
    look_at(visit, (f"/admin/{name}" for name in names))
