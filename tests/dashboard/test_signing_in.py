"""Signing up, in and out, in the browser."""

from collections.abc import Callable

import httpx
from playwright.sync_api import expect

from tests.dashboard.conftest import Visit
from tests.platform import PASSWORD, Person, Platform

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
    password = page.get_by_label("Password")
    expect(password).to_have_attribute("type", "password")
    paste = "new ClipboardEvent('paste', {bubbles: true, cancelable: true})"
    assert password.evaluate(f"field => field.dispatchEvent({paste})"), "pasting was prevented"
    password.fill(PASSWORD)
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


def test_a_device_is_signed_in_by_the_code_it_shows(
    visit: Visit, join: Join, platform: Platform
) -> None:
    def codes() -> dict[str, str]:
        return dict(httpx.post(f"{platform.api_url}/v1/auth/device").json())

    def exchanged(device_code: str) -> httpx.Response:
        body = {"device_code": device_code}
        return httpx.post(f"{platform.api_url}/v1/auth/device/token", json=body)

    page, anna, wanted = visit.page, join(), codes()
    visit.sign_in(anna, at=f"/device?code={wanted['user_code']}")
    expect(page.get_by_label("Code")).to_have_value(wanted["user_code"])
    visit.look("device")
    visit.must_be_accessible()
    page.get_by_role("button", name="Sign it in").click()
    expect(page.get_by_text("It is signed in as you.")).to_be_visible()
    token = exchanged(wanted["device_code"]).json()["access_token"]
    profile = httpx.get(
        f"{platform.api_url}/v1/user/profile", headers={"Authorization": f"Bearer {token}"}
    )
    assert profile.json()["username"] == anna.name

    unwanted = codes()
    page.goto("/device")
    page.get_by_label("Code").fill(unwanted["user_code"].lower())
    page.get_by_role("button", name="Refuse it").click()
    expect(page.get_by_text("It was refused.")).to_be_visible()
    assert exchanged(unwanted["device_code"]).json()["error"]["code"] == "access_denied"


def test_a_passkey_is_made_and_signs_in_without_a_password(
    browse: Callable[..., Visit], join: Join, platform: Platform
) -> None:
    visit = browse(base_url=f"http://localhost:{platform.api_port}")  # passkeys want a name
    page, person = visit.page, join()
    browser_itself = visit.context.new_cdp_session(page)
    browser_itself.send("WebAuthn.enable")
    key = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
    }
    browser_itself.send("WebAuthn.addVirtualAuthenticator", {"options": key})
    visit.sign_in(person, at="/profile/security")
    page.get_by_role("button", name="Add a passkey").click()
    page.get_by_role("dialog").get_by_label("Name").fill("laptop")
    page.get_by_role("dialog").get_by_role("button", name="Go on").click()
    expect(page.get_by_role("row").filter(has_text="laptop")).to_contain_text("never")
    visit.look("passkeys")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("link", name=person.name)).to_be_visible()
    page.get_by_role("link", name="Security").click()
    page.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("row").filter(has_text="laptop")).not_to_be_visible()


def test_the_first_page_is_small(visit: Visit) -> None:
    sizes: dict[str, int] = {}
    visit.page.on(
        "requestfinished",
        lambda request: sizes.update({request.url: request.sizes()["responseBodySize"]}),
    )
    visit.page.goto("/", wait_until="networkidle")
    expect(visit.page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert any(url.endswith(".js") for url in sizes)
    assert 10_000 < sum(sizes.values()) < 300_000, sizes
