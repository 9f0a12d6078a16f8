"""Markup in whatever people and programs can say: every page shows it as text."""

from collections.abc import Callable

import httpx
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import Visit
from tests.platform import PASSWORD, Person, Platform

Join = Callable[[], Person]
CANARY = "<img src=x onerror='window.__pwned=1'>"
SCRIPT = "<script>window.__pwned=1</script>"
OPEN_DETAILS = "document.querySelectorAll('details').forEach((each) => { each.open = true; })"


def text_of(page: Page, path: str) -> str:
    """Return what a page shows, once nothing on it was taken for markup."""
    page.goto(path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("Loading")).to_have_count(0)
    page.evaluate(OPEN_DETAILS)
    markup = page.locator("main").locator("img, script, iframe, object, embed")
    assert markup.count() == 0, path
    assert page.evaluate("window.__pwned") is None, path
    return page.locator("body").inner_text()


def test_no_page_takes_what_somebody_said_for_its_own_markup(
    visit: Visit, browse: Callable[..., Visit], join: Join, platform: Platform, admin: Person
) -> None:
    person, page = join(), visit.page
    app = f"said-{person.name}"
    deployment_id = person.deploy(app)["id"]
    key = person.create_key(name=CANARY, description=CANARY)
    team = person.post("/teams", name=CANARY)
    webhook = person.post(
        "/webhooks", url="https://hooks.example.com/x", eventTypes=["*"], description=CANARY
    )
    environment = {"CANARY": CANARY, "TOKEN": SCRIPT}
    changed = person.api.put(f"/deployments/{deployment_id}", json={"envVars": environment})
    assert changed.is_success, changed.text
    login = {"email": person.email, "password": PASSWORD}
    with httpx.Client(base_url=platform.api_url, headers={"User-Agent": CANARY}) as browser:
        assert browser.post("/v1/auth/login", json=login).is_success
    person.until_running(deployment_id, replicas=1)
    headers = {"Host": f"{app}.apps.localhost", "X-API-Key": key["apiKey"], "Referer": CANARY}
    with httpx.Client(base_url=platform.gateway_url, timeout=20, headers=headers) as client:
        platform.wait_until(lambda: client.get("/").is_success, 30, "the app does not answer")
        client.get(f"/{SCRIPT}", params={"said": CANARY})

    def counted() -> bool:
        found = person.get("/analytics/requests/raw")["requests"]
        return any("script" in each["path"] for each in found)

    platform.wait_until(counted, 60, "the call was not counted")
    for seen_by_now in ("/api-keys", "/teams", "/audit", f"/history/{key['id']}"):
        person.get(seen_by_now)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    visit.sign_in(person, at=f"/deployments/{deployment_id}/logs")
    expect(page.get_by_role("log", name="Lines")).to_contain_text("script")
    of_it = ("", "/metrics", "/revisions", "/environment", "/domains", "/portal", "/settings")
    shown: dict[str, str] = {}
    for path in (
        "/",
        "/deployments",
        *(f"/deployments/{deployment_id}{tab}" for tab in of_it),
        "/keys",
        f"/keys/{key['id']}",
        "/analytics",
        "/analytics/requests",
        "/alerts",
        "/webhooks",
        f"/webhooks/{webhook['id']}",
        "/usage",
        "/audit",
        f"/history/{key['id']}",
        f"/history/{deployment_id}",
        "/teams",
        f"/teams/{team['id']}",
        "/profile",
        "/profile/sessions",
        "/profile/security",
    ):
        shown[path] = text_of(page, path)
    admins = browse()
    admins.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    admins.sign_in(admin)
    teams = "/admin/teams?search=onerror"
    for path in ("/admin/people", teams, "/admin/mailbox"):
        shown[path] = text_of(admins.page, path)
    webhooks = ("/webhooks", f"/webhooks/{webhook['id']}")
    for path in (
        *webhooks,
        teams,
        "/keys",
        "/teams",
        f"/teams/{team['id']}",
        "/audit",
        f"/history/{key['id']}",
    ):
        assert CANARY in shown[path], f"{path} does not show it, so nothing was tried there"
    assert "script" in shown["/analytics/requests"]
    assert not dialogs
