"""Asks OSV (osv.dev) about every version that the lock files pin, of Python and of Node.

What could not be asked about is a failure too: no answer is not the answer that there is nothing.
Exit code 1: there are advisories. 2: it could not be asked.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "https://api.osv.dev"
BATCH_SIZE = 500
TIMEOUT_SECONDS = 60.0
FOUND, NOT_ASKED = 1, 2

Pin = tuple[str, str, str]
"""The ecosystem, as OSV calls it, the package and its version."""


def pins(root: Path) -> Iterator[Pin]:
    """Give what is pinned, once each."""
    seen: dict[Pin, None] = {}
    for lock in ("requirements.lock", "requirements-image.lock"):
        text = (root / lock).read_text()
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE):
            seen["PyPI", name, version] = None
    packages = json.loads((root / "dashboard" / "package-lock.json").read_text())["packages"]
    for path, package in packages.items():
        if path:  # the empty one is the dashboard itself
            name = package.get("name") or path.rpartition("node_modules/")[2]
            seen["npm", name, package["version"]] = None
    yield from seen


def advisories(client: httpx.Client, asked: list[Pin]) -> Iterator[tuple[Pin, str]]:
    """Give each advisory with what it is about; raises unless every pin was answered for."""
    queries: list[dict[str, Any]] = [
        {"package": {"ecosystem": ecosystem, "name": name}, "version": version}
        for ecosystem, name, version in asked
    ]
    answer = client.post("/v1/querybatch", json={"queries": queries})
    results = answer.raise_for_status().json()["results"]
    for pin, result in zip(asked, results, strict=True):
        if result.get("next_page_token"):
            raise ValueError(f"more advisories about {pin[1]} than one answer holds")
        for advisory in result.get("vulns", []):
            yield pin, advisory["id"]


def main() -> int:
    """Ask, print, and return the exit code."""
    parser = argparse.ArgumentParser(prog="bin/advisories", description=__doc__)
    parser.add_argument("--database", default=DATABASE, help="another database with OSV's API")
    options = parser.parse_args()
    asked = list(pins(ROOT))
    try:
        with httpx.Client(base_url=options.database, timeout=TIMEOUT_SECONDS) as client:
            found = [
                each
                for first in range(0, len(asked), BATCH_SIZE)
                for each in advisories(client, asked[first : first + BATCH_SIZE])
            ]
    except (httpx.HTTPError, ValueError, LookupError) as error:
        print(f"Could not ask {options.database}: {error}", file=sys.stderr)
        return NOT_ASKED
    for (_, name, version), advisory in sorted(found):
        print(f"{name} {version}: {advisory}")
    print(f"{len(asked)} packages, {len(found)} advisories.", file=sys.stderr)
    return FOUND if found else 0


if __name__ == "__main__":
    sys.exit(main())
