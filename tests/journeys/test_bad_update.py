"""A bad update takes nothing away: what ran before serves on, and the reason is told."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.platform import Person, Platform, Traffic


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with Platform(tmp_path / "home") as started:
        yield started


@pytest.fixture
def anna(platform: Platform) -> Iterator[Person]:
    person = Person(platform, "anna")
    yield person
    person.close()


def traffic_to(anna: Person, app: str) -> Traffic:
    """Return the callers once the gateway knows the app and the key."""
    key = anna.create_key()["apiKey"]
    headers = {"Host": f"{app}.apps.localhost", "X-API-Key": key}

    def answers() -> bool:
        return httpx.get(f"{anna.platform.gateway_url}/work", headers=headers).is_success

    anna.platform.wait_until(answers, 30, "the gateway does not know the app")
    return Traffic(anna.platform, app, key)


def test_an_update_that_cannot_start_gives_way_to_what_ran_before(
    platform: Platform, anna: Person
) -> None:
    created = anna.deploy("steady")
    path = f"/deployments/{created['id']}"
    with traffic_to(anna, "steady").flowing() as traffic:
        anna._answer(anna.api.put(path, json={"image": "nobody.invalid/nothing/here:1"}))

        def is_back() -> bool:
            shown = anna.get(path)
            return bool(shown["status"] == "running" and shown["revision"] == 1)

        platform.wait_until(is_back, 60, "the update was not rolled back")
    assert set(traffic.answers) == {200}, traffic.answers
    assert traffic.unknown == 0
    [failed, first] = anna.get(f"{path}/revisions")["revisions"]
    assert (failed["status"], first["status"]) == ("failed", "live")
    assert "nobody.invalid/nothing/here:1" in failed["failure"]
