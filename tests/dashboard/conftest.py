"""The pages in a real browser, on a whole platform started once for all of them.

Every test fails when a page said anything on its console, when a request failed that the test did
not announce, or when something of ours broke the pages' own policy.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Response,
    expect,
    sync_playwright,
)

from tests.platform import PASSWORD, Person, Platform

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("TALLYPORT_CHROMIUM", "/usr/bin/chromium")
WIDTHS = {"phone": 390, "tablet": 820, "desk": 1280}
FAILED_LOAD = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
PATIENCE_SECONDS = 60
numbers = count(1)
expect.set_options(timeout=PATIENCE_SECONDS * 1000)


@pytest.fixture(scope="package")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    build = ROOT / "bin" / "_build_dashboard.py"
    subprocess.run([sys.executable, str(build), str(ROOT / "dashboard")], check=True)
    home: Path = tmp_path_factory.mktemp("dashboard") / "home"
    with Platform(home) as started:
        yield started


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Visit:
    """One person's browser, and what went wrong in it."""

    def __init__(
        self, browser: Browser, platform: Platform, *, width: int = WIDTHS["desk"], **more: Any
    ) -> None:
        self.platform = platform
        self.context: BrowserContext = browser.new_context(
            **{"base_url": platform.api_url, **more}, viewport={"width": width, "height": 860}
        )
        self.context.set_default_timeout(PATIENCE_SECONDS * 1000)
        self.expected: set[int] = set()
        """Statuses of refusals that the test provokes."""
        self.troubles: list[str] = []
        self.page = self.open()

    def open(self) -> Page:
        """Open another tab."""
        page = self.context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on("response", self._answered)
        return page

    def sign_in(self, person: Person, at: str = "/") -> None:
        """Sign in through the page."""
        self.page.goto(at)
        self.fill_in(person)
        self.page.locator("nav[aria-label=Sections]").wait_for(state="attached")

    def fill_in(self, person: Person) -> None:
        """Say at the door who one is."""
        self.page.get_by_label("E-mail").fill(person.email)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()

    def look(self, name: str) -> None:
        """Keep pictures in three widths, for a person to look at, where one is wanted."""
        folder = os.environ.get("TALLYPORT_SCREENSHOTS")
        if not folder:
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        before = self.page.viewport_size
        for size, width in WIDTHS.items():
            self.page.set_viewport_size({"width": width, "height": 860})
            self.page.screenshot(path=f"{folder}/{name}-{size}.png", full_page=True)
        if before is not None:
            self.page.set_viewport_size(before)

    def must_be_accessible(self, *rules: str) -> None:
        """Let axe look for what keeps people out; by these rules only, if any are named."""
        source = (ROOT / "dashboard/node_modules/axe-core/axe.min.js").read_text()
        self.page.evaluate(source)
        which = {"runOnly": rules} if rules else {}
        options = {"resultTypes": ["violations"], **which}
        found = self.page.evaluate("options => axe.run(document, options)", options)
        serious = [
            f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"
            for each in found["violations"]
            if each["impact"] in {"serious", "critical"}
        ]
        assert not serious, "\n".join(serious)

    def close(self) -> None:
        self.context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        if NETWORK_CHANGED in message.text:  # a container elsewhere began or ended: asked again
            return
        status = FAILED_LOAD.search(message.text)
        if status is None or int(status[1]) not in self.expected:
            self.troubles.append(f"console: {message.text} {message.location}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            with suppress(Exception):  # the page may be gone before its answer is read
                self.troubles.append(f"{response.status} {response.url} {response.text()[:300]}")


class Deployed:
    """Somebody with a deployment that was called with a key."""

    def __init__(self, person: Person, platform: Platform) -> None:
        self.person = person
        self.app = f"shop-{person.name}"
        self.id = person.deploy(self.app)["id"]
        self.key = person.create_key(name="till")
        headers = {"Host": f"{self.app}.apps.localhost", "X-API-Key": self.key["apiKey"]}
        with httpx.Client(base_url=platform.gateway_url, headers=headers, timeout=20) as client:
            platform.wait_until(lambda: client.get("/").is_success, 30, "the app does not answer")
            for path in ("/orders", "/orders", "/status/418", "/status/500"):
                client.get(path)

        def counted() -> bool:
            return bool(person.get("/analytics/overview")["totals"]["errors"])

        platform.wait_until(counted, 60, "the calls were not counted")


@pytest.fixture(scope="package")
def deployed(platform: Platform) -> Iterator[Deployed]:
    person = Person(platform, "keeper")
    yield Deployed(person, platform)
    person.close()


@pytest.fixture(scope="package")
def admin(platform: Platform) -> Iterator[Person]:
    """Somebody who looks after the platform, by the link that it printed at its first start."""
    person = Person(platform, "steward")
    link = re.search(r"/setup#(\S+)", (platform.home / "up.log").read_text())
    assert link
    person.post("/setup", token=link[1])
    yield person
    person.close()


@pytest.fixture
def browse(browser: Browser, platform: Platform) -> Iterator[Callable[..., Visit]]:
    """Open another browser, as the keywords say. Nothing may have gone wrong in it in the end."""
    visits: list[Visit] = []

    def another(**more: Any) -> Visit:
        visits.append(Visit(browser, platform, **more))
        return visits[-1]

    yield another
    for visit in visits:
        visit.close()
    troubles = [trouble for visit in visits for trouble in visit.troubles]
    assert not troubles, "\n".join(troubles)


@pytest.fixture
def visit(browse: Callable[..., Visit]) -> Visit:
    return browse()


@pytest.fixture
def join(platform: Platform) -> Iterator[Callable[[], Person]]:
    """Register somebody, over the API."""
    people: list[Person] = []

    def somebody() -> Person:
        people.append(Person(platform, f"person{next(numbers)}"))
        return people[-1]

    yield somebody
    for person in people:
        with suppress(httpx.HTTPError):
            person.close()
