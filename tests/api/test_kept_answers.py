"""Answers that are given again are as new as others, and for nobody else."""

import asyncio

import pytest

from api import kept_answers
from api.kept_answers import KeptAnswers
from domain.teams.values import Role
from projections.catalogue import VIEWS
from projections.reading import Reader
from tests.api.conftest import Api, Visitor, held_back

PATH = "/v1/deployments"


@pytest.fixture(autouse=True)
def _kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes an answer old is news, not time, however slow the machine is."""
    monkeypatch.setattr(kept_answers, "SECONDS", 3600.0)


def answers_of(api: Api) -> KeptAnswers:
    kept: KeptAnswers = api.app.state.kept_answers
    return kept


async def names(visitor: Visitor, path: str = PATH) -> list[str]:
    answer = await visitor.ask("GET", path)
    assert answer.status_code == 200, answer.text
    return [each["appName"] for each in answer.json()["deployments"]]


async def until_listening(api: Api) -> None:
    async with asyncio.timeout(30):
        while api.reader.changes(("deployments",)) is None:  # noqa: ASYNC110 - the reader is asked
            await asyncio.sleep(0.01)


async def test_the_same_question_is_answered_without_asking_the_views(api: Api) -> None:
    anna = await api.join()
    deployment = await anna.deploy("first")
    await anna.get(PATH)
    await until_listening(api)
    for path in (PATH, f"{PATH}/{deployment}"):
        first = await anna.ask("GET", path)
        async with held_back(api):  # so there can be no news
            kept = answers_of(api)
            before = await anna.ask("GET", path)
            asked = len(kept)
            again = await anna.ask("GET", path)
            assert len(kept) == asked > 0
        assert first.json() == before.json() == again.json()
        assert again.headers.get("etag") == first.headers.get("etag")
        assert again.headers["content-type"] == "application/json"
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
        left = [int(each.headers["x-ratelimit-remaining"]) for each in (before, again)]
        assert left[1] < left[0]


async def test_who_names_the_position_of_a_write_sees_it_at_once(api: Api) -> None:
    anna = await api.join()
    for number in range(5):
        await names(anna)
        await anna.deploy(f"app-{number}")
        answer = await anna.get(PATH)
        assert answer.json()["pagination"]["total"] == number + 1


async def test_who_names_none_sees_a_write_as_soon_as_there_is_news_of_it(api: Api) -> None:
    anna = await api.join()
    await until_listening(api)
    for number in range(5):
        await anna.deploy(f"app-{number}")
        async with asyncio.timeout(30):
            while len(await names(anna)) <= number:  # noqa: ASYNC110 - the API is asked
                await asyncio.sleep(0.01)


async def test_what_changes_no_rows_of_a_view_leaves_answers_made_from_it(api: Api) -> None:
    anna = await api.join()
    await until_listening(api)
    await anna.deploy("first")
    await anna.get(PATH)
    before = api.reader.changes(("deployments",))
    reached = api.reader.reached("deployments")
    ben = await api.join("ben")
    assert (await ben.get(PATH)).json()["deployments"] == []
    assert api.reader.reached("deployments") > reached
    assert api.reader.changes(("deployments",)) == before
    await ben.deploy("second")
    await ben.get(PATH)
    assert api.reader.changes(("deployments",)) != before


async def test_an_answer_is_for_its_caller_and_for_what_they_may_do_now(api: Api) -> None:
    anna, ben = await api.join("anna"), await api.join("ben")
    team_id = await anna.found_team()
    anna.team_id = team_id
    await anna.deploy("ours")
    await anna.get(PATH)
    assert await names(anna) == ["ours"]
    assert await names(ben) == []
    await api.add_member(team_id, ben, Role.VIEWER)
    assert await names(ben) == ["ours"]
    narrow = await anna.with_key("logs:read")
    refused = await narrow.ask("GET", PATH)
    assert refused.status_code == 403
    assert (await api.nobody.ask("GET", PATH)).status_code == 401


async def test_another_query_is_another_question(api: Api) -> None:
    anna = await api.join()
    for name in ("one", "two"):
        await anna.deploy(name)
    await anna.get(PATH)
    assert await names(anna, f"{PATH}?sort=createdAt") == ["one", "two"]
    assert await names(anna, f"{PATH}?sort=-createdAt") == ["two", "one"]
    assert await names(anna, f"{PATH}?limit=1&sort=createdAt") == ["one"]
    refused = await anna.ask("GET", f"{PATH}?limit=1&nope=1")
    assert refused.status_code == 422


async def test_no_more_is_kept_than_there_is_room_for(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_answers, "ANSWERS_MAX", 3)
    anna = await api.join()
    await until_listening(api)
    for limit in range(1, 10):
        await names(anna, f"{PATH}?limit={limit}")
    assert len(answers_of(api)) <= 3
    monkeypatch.setattr(kept_answers, "BODY_BYTES_MAX", 1)
    fresh = api.another()
    await names(anna.at(fresh))
    assert len(answers_of(fresh)) == 0
    await fresh.close()


async def test_nothing_is_kept_while_no_news_would_be_heard(api: Api) -> None:
    anna = await api.join()
    deaf = api.with_services(views=Reader(api.installation.pool, "", VIEWS))
    assert await names(anna.at(deaf)) == []
    assert len(answers_of(deaf)) == 0
    await deaf.close()
