from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.identity.events import SessionEnded, SessionRefreshed, SessionStarted, UserRegistered
from domain.identity.session import GRACE, SESSION, SessionOver
from domain.identity.user import USER
from domain.identity.values import (
    RESERVED_USERNAMES,
    InvalidUsername,
    email_identity,
    username,
    username_claims,
)
from tests.scenario import given

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)

started = SessionStarted(
    session_id="ses-0000000001",
    user_id="usr-0000000001",
    started_at=NOW,
    expires_at=NOW + timedelta(days=30),
    idle_seconds=7 * 86_400,
)
refreshed = SessionRefreshed(generation=2, refreshed_at=NOW)
ended = SessionEnded(reason="signed out")


def test_a_refresh_token_is_exchanged_for_the_next() -> None:
    (
        given(SESSION, started)
        .when(lambda s: s.refresh(generation=1, now=NOW))
        .then(refreshed)
        .then_state(generation=2)
    )


def test_who_lost_the_answer_gets_the_same_successor_within_seconds() -> None:
    (
        given(SESSION, started, refreshed)
        .when(lambda s: s.refresh(generation=1, now=NOW + GRACE))
        .then_nothing_happened()
        .then_state(generation=2)
    )


@pytest.mark.parametrize(
    ("generation", "later"),
    [(1, GRACE + timedelta(seconds=1)), (2, GRACE + timedelta(seconds=1)), (1, timedelta())],
)
def test_a_used_token_that_comes_back_ends_the_session(generation: int, later: timedelta) -> None:
    third = SessionRefreshed(generation=3, refreshed_at=NOW)
    (
        given(SESSION, started, refreshed, third)
        .when(lambda s: s.refresh(generation=generation, now=NOW + later))
        .then(SessionEnded(reason="refresh token used twice"))
        .then_state(ended=True)
    )


def test_a_token_from_after_a_restored_backup_is_refused_without_blame() -> None:
    (
        given(SESSION, started)
        .when(lambda s: s.refresh(generation=5, now=NOW))
        .then_refused(SessionOver)
    )


def test_sessions_of_before_tokens_had_generations_count_them() -> None:
    old = SessionRefreshed(refresh_hash="second" * 10, refreshed_at=NOW)
    given(SESSION, started, old, old).when(lambda _: []).then_state(generation=3)


def lasts(session: Any, *, epoch: int = 0, kept: str | None = None, now: datetime = NOW) -> Any:
    session.must_last(epoch=epoch, kept_session_id=kept, now=now)
    return []


def test_an_ended_session_is_over() -> None:
    given(SESSION, started).when(lasts).then_nothing_happened()
    given(SESSION, started, ended).when(lasts).then_refused(SessionOver)


def test_a_session_of_an_earlier_epoch_is_over_unless_it_was_kept() -> None:
    given(SESSION, started).when(lambda s: lasts(s, epoch=1)).then_refused(SessionOver)
    (
        given(SESSION, started)
        .when(lambda s: lasts(s, epoch=1, kept="ses-0000000001"))
        .then_nothing_happened()
    )


def test_an_expired_session_is_over_however_busy_it_was() -> None:
    end = NOW + timedelta(days=30)
    busy = SessionRefreshed(generation=2, refreshed_at=end - timedelta(seconds=1))
    given(SESSION, started, busy).when(lambda s: lasts(s, now=end)).then_refused(SessionOver)


@pytest.mark.parametrize(("days", "over"), [(7, False), (8, True)])
def test_a_session_that_is_not_used_for_a_week_is_over(*, days: int, over: bool) -> None:
    used = given(SESSION, started).when(lambda s: lasts(s, now=NOW + timedelta(days=days)))
    if over:
        used.then_refused(SessionOver)
    else:
        used.then_nothing_happened()


def test_signing_out_ends_the_session() -> None:
    given(SESSION, started).when(lambda s: s.end(reason="signed out")).then(ended)


def test_signing_out_twice_changes_nothing() -> None:
    (
        given(SESSION, started, ended)
        .when(lambda s: s.end(reason="signed out"))
        .then_nothing_happened()
    )


def test_events_of_a_session_that_never_started_leave_nothing() -> None:
    assert given(SESSION, refreshed, ended).state is None
    assert given(USER, ended).state is None


def test_a_registered_person_has_a_personal_team() -> None:
    registered = UserRegistered(
        user_id="usr-0000000001",
        team_id="org-0000000001",
        username="anna",
        email="anna@example.com",
        password_hash="$argon2id$",
    )
    user = given(USER, registered).state
    assert user is not None
    assert user.team_id == "org-0000000001"


ANNA_FULL_WIDTH = "\uff41\uff4e\uff4e\uff41"


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("anna", "anna"),
        ("Anna", "anna"),
        ("  anna\n", "anna"),
        ("a-n.n_a", "a-n.n_a"),
        ("a1b", "a1b"),
        ("x" * 32, "x" * 32),
        (ANNA_FULL_WIDTH, "anna"),  # the same letters, typed full width
        ("\N{KELVIN SIGN}elvin", "kelvin"),  # the sign folds to the letter
        ("stra\u00dfe", "strasse"),
        ("\N{LATIN SMALL LIGATURE FI}sh", "fish"),
    ],
)
def test_a_username_is_kept_in_one_form(written: str, kept: str) -> None:
    assert username(written) == kept


@pytest.mark.parametrize(
    "written",
    [
        "",
        "ab",
        "x" * 33,
        "-anna",
        "anna-",
        ".anna",
        "an na",
        "anna\0",
        "anna\u202e",
        "\u0430nna",  # Cyrillic a
        "ann\u03b1",  # Greek alpha
        "anna\u0301",
        "anna\ud800",
        "ann\u0131",  # dotless i
        "a/b/c",
        "a@b.c",
        "<b>anna",
        "an\u00adna",  # soft hyphen
        "an\u200bna",  # zero width
        *sorted(RESERVED_USERNAMES),
        "ADMIN",
        "\uff41\uff44\uff4d\uff49\uff4e",  # admin, full width
    ],
)
def test_a_username_that_is_none_or_looks_like_another_is_refused(written: str) -> None:
    with pytest.raises(InvalidUsername):
        username(written)


@for_all(st.text(max_size=40))
def test_a_username_is_either_refused_or_already_in_its_final_form(written: str) -> None:
    try:
        kept = username(written)
    except InvalidUsername:
        return
    assert username(kept) == kept
    assert kept.isascii()
    assert 3 <= len(kept) <= 32


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("Anna@Example.com", "anna@example.com"),
        (" anna@example.com ", "anna@example.com"),
        ("anna@ex\uff41mple.com", "anna@example.com"),
        ("CAF\u00c9@example.com", "cafe\u0301@example.com"),
    ],
)
def test_two_spellings_of_an_address_are_the_same_person(one: str, another: str) -> None:
    assert email_identity(one) == email_identity(another)


def test_two_people_with_different_addresses_stay_two() -> None:
    assert email_identity("anna@example.com") != email_identity("anna@example.org")
    assert email_identity("anna+1@example.com") != email_identity("anna@example.com")


@for_all(st.text(max_size=60))
def test_an_addresss_identity_is_final(text: str) -> None:
    assert email_identity(email_identity(text)) == email_identity(text)


@pytest.mark.parametrize(
    ("one", "another"),
    [
        ("paypa1", "paypal"),
        ("g00gle", "google"),
        ("rnike", "mike"),
        ("a.b.c", "a-b_c"),
        ("vvilma", "wilma"),
        ("cle0", "deo"),
    ],
)
def test_of_two_names_that_look_alike_only_one_can_be_had(one: str, another: str) -> None:
    assert set(username_claims(one)) & set(username_claims(another))


def test_names_that_look_different_do_not_get_in_each_others_way() -> None:
    assert not set(username_claims("anna")) & set(username_claims("hanna"))
    assert username_claims("anna") == ("anna",)
