"""The pages of who looks after the platform."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.dashboard.conftest import Visit
from tests.platform import PASSWORD, Person


def test_somebody_is_found_suspended_and_let_in_again(
    visit: Visit, admin: Person, join: Callable[[], Person]
) -> None:
    page, troublemaker = visit.page, join()
    visit.sign_in(admin, at="/admin/people")
    myself = page.get_by_role("row").filter(has_text=admin.email)
    expect(myself.get_by_role("button", name="Reset password")).to_be_visible()
    expect(page.get_by_role("button", name="Suspend").first).to_be_visible()
    expect(myself.get_by_role("button", name="Suspend")).to_have_count(0)
    page.get_by_label("Search people").fill(troublemaker.name)
    page.get_by_role("button", name="Search").click()
    row = page.get_by_role("row").filter(has_text=troublemaker.email)
    row.get_by_role("button", name="Suspend").click()
    page.get_by_role("dialog").get_by_label("Reason").fill("sends too much")
    visit.must_be_accessible()
    page.get_by_role("dialog").get_by_role("button", name="Suspend").click()
    expect(row).to_contain_text("suspended")
    visit.look("people")
    wrong = {"email": troublemaker.email, "password": PASSWORD}
    assert troublemaker.api.post("/auth/login", json=wrong).is_error
    row.get_by_role("button", name="Let in again").click()
    expect(row).to_contain_text("active")
    assert troublemaker.api.post("/auth/login", json=wrong).is_success


def test_a_mail_is_read_as_text_and_its_link_leads_on(
    visit: Visit, browse: Callable[..., Visit], admin: Person, join: Callable[[], Person]
) -> None:
    page, guest = visit.page, join()
    markup = "<svg onload='window.__pwned=1'>"
    team = admin.post("/teams", name=markup)
    admin.post(f"/teams/{team['id']}/invitations", email=guest.email, role="viewer")
    visit.sign_in(admin)
    page.get_by_role("link", name="Mailbox").click()
    page.get_by_role("row").filter(has_text=guest.email).get_by_role("link").click()
    expect(page.locator("main")).to_contain_text("onload")
    assert page.locator(".letter svg").count() == 0
    visit.look("mail")
    visit.must_be_accessible()
    invitation = page.locator(".letter").inner_text().split("/invitations/")[1].split()[0]
    invited = browse()
    invited.page.goto(f"/invitations/{invitation}")
    invited.look("invitation")
    invited.page.get_by_role("link", name="Sign in").click()
    invited.fill_in(guest)
    invited.page.get_by_role("button", name=f"Join as {guest.name}").click()
    expect(invited.page.get_by_role("heading", level=1)).to_have_text(markup)
