"""An erased user is nobody; what is left is how far the erasure got."""

from domain.identity.erasure import ERASURE
from domain.identity.events import ErasureFinished, UserErased, UserKeyDestroyed, UserRegistered
from domain.identity.user import USER
from tests.scenario import given

USER_ID, TEAM_ID = "usr-0000000001", "org-0000000001"
registered = UserRegistered(
    user_id=USER_ID, team_id=TEAM_ID, username="anna", email="a@example.com", password_hash="x"
)
erased = UserErased(user_id=USER_ID, team_id=TEAM_ID)
destroyed = UserKeyDestroyed(user_id=USER_ID)
finished = ErasureFinished(user_id=USER_ID)


def test_erasing_names_the_person_and_the_team_and_nothing_else() -> None:
    given(USER, registered).when(lambda user: user.erase()).then(erased)


def test_after_an_erasure_there_is_no_such_user() -> None:
    assert USER.replay([registered, erased, destroyed, finished]) is None


def test_that_the_key_is_destroyed_is_said_once() -> None:
    given(ERASURE, registered, erased).when(lambda e: e.key_is_destroyed()).then(destroyed)
    (
        given(ERASURE, registered, erased, destroyed)
        .when(lambda e: e.key_is_destroyed())
        .then_nothing_happened()
    )


def test_that_it_is_done_is_said_once() -> None:
    given(ERASURE, erased, destroyed).when(lambda e: e.finish()).then(finished)
    given(ERASURE, erased, destroyed, finished).when(lambda e: e.finish()).then_nothing_happened()
