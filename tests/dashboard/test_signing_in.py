"""Signing up, in and out, in the browser."""

from collections.abc import Callable

from playwright.sync_api import expect

from tests.dashboard.conftest import Visit
from tests.platform import PASSWORD, Person

Join = Callable[[], Person]


def test_a_stranger_signs_up_and_is_in(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_focused()
    visit.look("sign-in")
    visit.must_be_accessible()
    page.get_by_role("link", name="Sign up").click()
    visit.look("sign-up")
    visit.must_be_accessible()
    page.get_by_label("Name").fill("berta")
    page.get_by_label("E-mail").fill("berta@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("link", name="berta")).to_be_visible()
    assert page.evaluate("Object.values({...localStorage}).join()").find("ey") == -1
    [cookie] = [each for each in visit.context.cookies() if each["name"] == "tallyport-session"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


def test_a_refusal_is_told_and_a_name_that_is_taken_is_said_at_its_field(
    visit: Visit, join: Join
) -> None:
    anna = join()
    page = visit.page
    visit.expected = {401, 409}
    page.goto("/sign-in")
    page.get_by_label("E-mail").fill(anna.email)
    page.get_by_label("Password").fill("not my password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    visit.must_be_accessible()
    page.get_by_role("link", name="Sign up").click()
    page.get_by_label("Name").fill(anna.name)
    page.get_by_label("E-mail").fill("other@example.com")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("alert")).to_be_visible()
    visit.look("sign-up-refused")


def test_a_session_outlives_a_reload_and_ends_in_every_tab(visit: Visit, join: Join) -> None:
    visit.sign_in(join(), at="/profile")
    assert visit.page.url.endswith("/profile")
    visit.page.reload()
    other = visit.open()
    other.goto("/")
    expect(other.get_by_role("button", name="Sign out")).to_be_visible()
    visit.page.get_by_role("button", name="Sign out").click()
    for page in (visit.page, other):
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert not visit.context.cookies()
    other.reload()
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
