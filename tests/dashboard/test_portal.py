"""A deployment's portal: opened by its team, read and tried out by a stranger, whatever it says."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, expect

from infrastructure.documents import read
from tests.dashboard.conftest import Visit
from tests.dashboard.languages import run
from tests.platform import Person, Platform

Join = Callable[[], Person]
CANARY = "<img src=x onerror='window.__pwned=1'>"
LINKS = "[a](javascript:window.__pwned=1) [b](data:text/html,x) [c](https://example.com/) " + CANARY
SAID = f"**{CANARY}**\n\n```\n{CANARY}\n```\n\n- `{CANARY}`\n- {LINKS}\n\n<svg onload=alert(1)>"
SCRIPT = "javascript:window.__pwned=1"
OPEN_EVERYTHING = """async () => {
    for (const each of document.querySelectorAll("details:not([open])")) each.open = true;
    for (const each of [...document.querySelectorAll("button.link")].slice(0, 10)) each.click();
    await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
}"""
SHELL = "'$(touch pwned)`touch pwned`\"\\"


def hostile_document() -> dict[str, Any]:
    """Return a document with a canary in every text, and references without end."""
    schema = {
        "type": "object",
        "title": CANARY,
        "description": SAID,
        "properties": {
            CANARY: {"type": "string", "enum": [CANARY], "default": CANARY, "pattern": CANARY},
            "again": {"$ref": "#/components/schemas/Loop"},
            "__proto__": {"type": "string", "example": CANARY},
        },
    }
    body = {
        "description": SAID,
        "content": {"application/json": {"schema": schema, "example": {SHELL: SHELL}}},
    }
    operation = {
        "tags": [CANARY],
        "summary": CANARY,
        "description": SAID,
        "operationId": CANARY,
        "parameters": [
            {"name": "q", "in": "query", "required": True, "description": SAID, "example": SHELL},
            {"name": "X-Said", "in": "header", "required": True, "example": SHELL},
            {"name": "@file", "in": "header", "required": True, "example": CANARY},
        ],
        "requestBody": body,
        "responses": {"200": body, "default": {"description": SAID}},
    }
    return {
        "openapi": "3.0.0",
        "info": {
            "title": CANARY,
            "version": CANARY,
            "description": SAID,
            "termsOfService": SCRIPT,
            "contact": {"name": CANARY, "url": SCRIPT},
            "license": {"name": CANARY, "url": "data:text/html,<script>window.__pwned=1</script>"},
        },
        "externalDocs": {"url": SCRIPT},
        "servers": [{"url": f"https://evil.example/{CANARY}"}],
        "paths": {"/it's/<svg/onload=window.__pwned=1>": {"post": operation}},
        "components": {"schemas": {"Loop": {**schema, "allOf": [{"$ref": "#/components/x-a"}]}},
                       "x-a": {"$ref": "#/components/x-a"}},
    }  # fmt: skip


def test_a_portal_is_opened_by_its_team_and_tried_out_by_a_stranger(
    visit: Visit, browser: Browser, join: Join, platform: Platform, tmp_path: Path
) -> None:
    person = join()
    app = f"portal-{person.name}"
    deployment_id = person.deploy(app)["id"]
    key = person.create_key()["apiKey"]
    page = visit.page
    visit.sign_in(person, at=f"/deployments/{deployment_id}/portal")
    page.get_by_label("The portal is for").select_option("team")
    page.get_by_role("button", name="Save").click()
    stranger = Visit(browser, platform)
    stranger.expected = {401}
    stranger.page.goto(f"/portal/{app}")
    expect(stranger.page.get_by_text("Sign in to read it")).to_be_visible()

    page.get_by_role("button", name="Fetch it from there").click()
    expect(page.get_by_role("region", name="Portal")).to_contain_text("Echo, version 1.0.0")
    page.get_by_label("The portal is for").select_option("public")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Everybody sees the portal")).to_be_visible()
    visit.look("deployment-portal")
    visit.must_be_accessible()
    page.get_by_role("link", name="Open the portal").click()
    expect(page.get_by_role("link", name="The deployment")).to_be_visible()

    read_it = stranger.page
    read_it.goto(f"/portal/{app}")
    expect(read_it.get_by_role("heading", level=1)).to_have_text("Echo")
    expect(read_it.get_by_text("healthy")).to_be_visible()
    read_it.get_by_label("Search").fill("echo a body")
    expect(read_it.get_by_text("Answer with a status")).to_have_count(0)
    read_it.get_by_text("Echo a body").click()
    read_it.get_by_label("Your API key").fill(key)
    form = read_it.get_by_role("form", name="Try POST /{part}")
    form.get_by_label("part (path)").fill("orders of today")
    form.get_by_role("button", name="Try it").click()
    answer = form.get_by_label("The answer")
    expect(answer).to_contain_text('"method": "POST"')
    expect(answer).to_contain_text("orders")
    expect(answer).to_contain_text("hello")
    stranger.look("portal")
    stranger.must_be_accessible()

    # Every language finds the gateway's own host; names below localhost only where the system does.
    own_url, anywhere = f"http://{app}.apps.localhost", f"{platform.gateway_url}/{app}"
    for language in ("curl", "Python", "JavaScript", "Go"):
        read_it.get_by_role("button", name=language, exact=True).click()
        example = read_it.get_by_label(f"{language} for POST /{{part}}", exact=True).inner_text()
        assert key not in example
        found = re.search(re.escape(own_url) + r"(:\d+)?", example)
        assert found, example
        example = example.replace(found[0], anywhere)
        printed = run(language, example, key=key, folder=tmp_path)
        assert printed is None or '"path": "/orders of today"' in printed, printed
        assert printed is None or "world" in printed, printed
    for words, start in (("JSON", b"{"), ("YAML", b"openapi:"), ("Postman", b"{")):
        with read_it.expect_download() as download:
            read_it.get_by_role("button", name=words).click()
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(start), words
        assert read(content)["info"]
    read_it.get_by_text("Changelog").click()
    expect(read_it.get_by_label("Publications")).to_contain_text("POST /{part}")
    stranger.close()
    assert not stranger.troubles, "\n".join(stranger.troubles)


def test_whatever_a_document_says_is_shown_as_text_and_quoted_as_text(
    visit: Visit, join: Join, platform: Platform, tmp_path: Path
) -> None:
    person, page = join(), visit.page
    app = f"hostile-{person.name}"
    sample = {"image": "tallyport/echo", "port": 8080}
    deployment_id = person.post("/deployments", appName=app, **sample)["id"]
    path = f"/deployments/{deployment_id}"
    for answer in (
        person.api.put(f"{path}/openapi", json=hostile_document()),
        person.api.put(f"{path}/portal", json={"visibility": "public"}),
    ):
        assert answer.is_success, answer.text
    portal = f"{platform.api_url}/v1/portals/{app}"
    platform.wait_until(lambda: httpx.get(portal).is_success, 30, "the portal is not open")
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.goto(f"/portal/{app}")
    expect(page.get_by_role("heading", level=1)).to_have_text(CANARY)
    curl_line = page.locator("pre[aria-label^=curl]")
    for _ in range(8):  # as deep as somebody looks, and there is always more
        page.evaluate(OPEN_EVERYTHING)
    expect(curl_line).to_be_visible()
    assert page.locator("main").locator("img, svg, script, iframe, object").count() == 0
    links = [link.get_attribute("href") or "" for link in page.locator("main a").all()]
    assert links
    assert all(re.match(r"https://example\.com/|/", link) for link in links), links
    assert "evil.example" not in page.content()
    curl = curl_line.inner_text()
    arguments = subprocess.run(
        ["bash", "-c", f'curl() {{ printf "%s\\0" "$@"; }}; {curl}'],
        env={"TALLYPORT_KEY": "the key"},
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout.split("\0")
    assert arguments[:2] == ["-X", "POST"]
    assert arguments[2].startswith(f"http://{app}.apps.localhost")
    assert "X-API-Key: the key" in arguments
    assert f"X-Said: {SHELL}" in arguments
    assert not any(argument.startswith("@") for argument in arguments)
    assert not list(tmp_path.iterdir())
    page.get_by_role("button", name="Python").click()
    compile(page.locator("pre[aria-label^=Python]").inner_text(), "example", "exec")
    assert page.evaluate("window.__pwned") is None
    assert page.evaluate("({}).example") is None
    assert not dialogs
    visit.look("portal-hostile")
    visit.must_be_accessible()
