"""How long until a browser that was never here can use the dashboard's first page.

From the navigation until the heading of the sign-in page has the focus: then the page's script
runs, has asked whether there is a session, and takes what is typed. The yardstick is an empty
document of the same server in the same browser. Beside it: what goes over the wire, compressed.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Request, sync_playwright

from tests.platform import Platform

CHROMIUM = os.environ.get("TALLYPORT_CHROMIUM", "/usr/bin/chromium")
ROUNDS = 7


def yardstick(browser: Browser, platform: Platform) -> float:
    """Return the seconds until a document with nothing to run is there."""
    context = browser.new_context(base_url=platform.api_url)
    page = context.new_page()
    began = time.monotonic()
    page.goto("/health/live")
    took = time.monotonic() - began
    context.close()
    return took


def first_page(browser: Browser, platform: Platform) -> tuple[float, int]:
    """Return the seconds until the first page can be used, and its bytes on the wire."""
    sizes: list[int] = []

    def finished(request: Request) -> None:
        sizes.append(request.sizes()["responseBodySize"])

    context = browser.new_context(base_url=platform.api_url)
    page = context.new_page()
    page.on("requestfinished", finished)
    began = time.monotonic()
    page.goto("/", wait_until="commit")
    page.locator("h1:focus").wait_for()
    took = time.monotonic() - began
    context.close()
    return took, sum(sizes)


def main() -> None:
    """Measure and print one line."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Platform(Path(folder) / "home") as platform,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        one = statistics.median(yardstick(browser, platform) for _ in range(ROUNDS))
        found = [first_page(browser, platform) for _ in range(ROUNDS)]
        browser.close()
    middle = statistics.median(seconds for seconds, _ in found)
    worst, size = max(seconds for seconds, _ in found), max(size for _, size in found)
    print(
        f"first_page: usable after {middle:.2f} s (worst of {ROUNDS}: {worst:.2f} s),"
        f" {middle / one:.1f} times an empty document; {size / 1000:.0f} kB on the wire"
    )


if __name__ == "__main__":
    main()
