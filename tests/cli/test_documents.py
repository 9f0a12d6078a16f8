"""Whoever does what the documentation says sees what it says."""

from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine, sign_in
from tests.cli.documents import FOLDER, Reader, documents_to_run, steps_of
from tests.platform import Person, Platform

BEGINNING_WITH_NOTHING = {"tutorial.md"}
OF_THEIR_OWN = {"operations/backups.md"}
"""They stop and start a platform: tests/journeys has one for them."""


@pytest.fixture(scope="module")
def shopkeeper(platform: Platform) -> str:
    """Somebody who has done the tutorial, and has a deployment that is called shop."""
    person = Person(platform, "shopkeeper")
    person.deploy("shop")
    person.close()
    return person.name


@pytest.mark.parametrize("name", [each for each in documents_to_run() if each not in OF_THEIR_OWN])
def test_what_a_document_says_is_so(
    name: str, platform: Platform, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    line = CommandLine(platform, tmp_path)
    line.environment["TALLYPORT_HOME"] = str(platform.home)
    if name in BEGINNING_WITH_NOTHING:
        del line.environment["TALLYPORT_URL"]
    else:
        sign_in(line, request.getfixturevalue("shopkeeper"))
    addresses = {
        "http://127.0.0.1:8000": platform.api_url,
        ".apps.localhost:8080": f".apps.localhost:{platform.gateway_port}",
    }
    with Reader(tmp_path, line.environment, addresses) as reader:
        reader.follow(FOLDER / name)


def test_the_tutorial_is_run_nearly_whole() -> None:
    assert len(steps_of(FOLDER / "tutorial.md")) > 12
