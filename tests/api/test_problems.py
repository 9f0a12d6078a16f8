"""Every code an error can have is explained, in one place for the pages and the documents."""

import pytest

from api.errors import CODES, ApiError, known_problems, problem_of
from api.problems import BY_STATUS, WHAT_TO_DO, Explanation, explain
from domain.kernel.errors import DomainError
from gateway.refusals import problems
from infrastructure.event_store import UnreadableEvent
from tests.api.conftest import Api


@pytest.fixture
def explained() -> dict[str, Explanation]:
    return {one.code: one for one in explain(api=known_problems(), gateway=problems())}


def kinds_of(kind: type[DomainError]) -> set[type[DomainError]]:
    below = {each for child in kind.__subclasses__() for each in kinds_of(child)}
    return {kind, *below}


def test_every_error_of_ours_is_explained_and_none_is_a_500(
    explained: dict[str, Explanation],
) -> None:
    for kind in kinds_of(DomainError) - {DomainError}:
        if kind.__module__.startswith("tests.") or kind in {ApiError, UnreadableEvent}:
            continue  # the second is our fault, whatever was asked
        problem = problem_of(kind())
        assert problem.status != 500, f"Give {kind.__name__} a status in api/errors.py"
        answers = explained[problem.code].answers
        assert problem.status in {answer.status for answer in answers}
        assert problem.message in answers[0].meaning


def test_what_has_no_class_of_ours_is_explained_too(explained: dict[str, Explanation]) -> None:
    assert set(CODES.values()) <= explained.keys()
    assert problem_of(ConnectionError()).code in explained
    assert problem_of(RuntimeError()).code in explained


def test_a_code_has_one_status(explained: dict[str, Explanation]) -> None:
    for one in explained.values():
        assert len({answer.status for answer in one.answers}) == 1, one


def test_there_is_something_to_do_about_everything_and_no_advice_is_left_over(
    explained: dict[str, Explanation],
) -> None:
    statuses = {answer.status for one in explained.values() for answer in one.answers}
    assert statuses <= BY_STATUS.keys(), "Say in BY_STATUS what to do about it"
    assert WHAT_TO_DO.keys() <= explained.keys(), "Take out what is no code any more"
    assert all(one.what_to_do.endswith(".") for one in explained.values())


async def test_the_type_of_an_error_is_the_address_of_its_page(
    api: Api, explained: dict[str, Explanation]
) -> None:
    for code, one in explained.items():
        page = await api.client.get(f"/problems/{code}")
        assert page.status_code == 200
        assert f"<strong>{one.answers[0].status} " in page.text
    index = (await api.client.get("/problems")).text
    assert all(f"<code>{code}</code>" in index for code in explained)
