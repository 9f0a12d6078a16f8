"""The rules of an account: its address, its password, its sessions, its admins."""

from datetime import UTC, datetime, timedelta

import pytest

from domain.identity.events import (
    AdminLinkIssued,
    EmailChanged,
    EmailVerificationRequested,
    EmailVerified,
    NewNetworkSeen,
    PasswordChanged,
    PasswordResetRequested,
    PlatformAdminGranted,
    SessionsRevoked,
    UsernameChanged,
    UserRegistered,
    UserReinstated,
    UserSuspended,
)
from domain.identity.links import LinkNotValid
from domain.identity.platform import PLATFORM, Platform
from domain.identity.user import NETWORKS_MAX, USER, AlreadyVerified
from tests.scenario import given

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
ANNA = "usr-0000000001"
SOON = NOW + timedelta(minutes=29, seconds=59)
LATE = NOW + timedelta(minutes=30)

joined = UserRegistered(
    user_id=ANNA,
    team_id="org-0000000001",
    username="anna",
    email="anna@example.com",
    password_hash="$argon2id$",
)
waiting = UserRegistered(
    user_id=ANNA,
    team_id="org-0000000001",
    username="anna",
    email="anna@example.com",
    password_hash="$argon2id$",
    pending=True,
)
asked = PasswordResetRequested(user_id=ANNA, nonce="first", expires_at=LATE)
asked_again = PasswordResetRequested(user_id=ANNA, nonce="second", expires_at=LATE)
reset = PasswordChanged(user_id=ANNA, password_hash="$argon2id$2", how="reset")
revoked = SessionsRevoked(user_id=ANNA, epoch=1, reason="password reset")


def test_a_link_to_reset_a_password_lasts_half_an_hour() -> None:
    given(USER, joined).when(lambda u: u.request_reset(nonce="first", now=NOW)).then(asked)
    past = given(USER, joined, asked)
    past.when(lambda u: u.check_reset(nonce="first", now=SOON) or []).then_nothing_happened()
    past.when(lambda u: u.check_reset(nonce="first", now=LATE) or []).then_refused(LinkNotValid)


@pytest.mark.parametrize(
    "past",
    [
        (joined,),
        (joined, asked, asked_again),
        (joined, asked, reset),
        (joined, asked, PasswordChanged(user_id=ANNA, password_hash="x", how="changed")),
    ],
)
def test_a_link_that_was_used_or_replaced_or_outrun_is_void(past: tuple) -> None:
    (
        given(USER, *past)
        .when(lambda u: u.check_reset(nonce="first", now=NOW) or [])
        .then_refused(LinkNotValid)
    )


def test_a_reset_ends_every_session() -> None:
    (
        given(USER, joined, asked)
        .when(lambda u: u.reset_password(password_hash="$argon2id$2"))
        .then(reset, revoked)
        .then_state(reset=None, epoch=1, kept_session_id=None, password_hash="$argon2id$2")
    )


def test_a_reset_shows_whose_the_address_is() -> None:
    (
        given(USER, waiting, asked)
        .when(lambda u: u.reset_password(password_hash="$argon2id$2"))
        .then(EmailVerified(user_id=ANNA, email="anna@example.com"), reset, revoked)
        .then_state(pending=False)
    )


def test_a_changed_password_keeps_the_session_that_changed_it() -> None:
    (
        given(USER, joined)
        .when(lambda u: u.change_password(password_hash="n", kept_session_id="ses-0000000001"))
        .then(
            PasswordChanged(user_id=ANNA, password_hash="n", how="changed"),
            SessionsRevoked(
                user_id=ANNA, epoch=1, kept_session_id="ses-0000000001", reason="password changed"
            ),
        )
    )


def verification(email: str, nonce: str = "first") -> EmailVerificationRequested:
    return EmailVerificationRequested(
        user_id=ANNA, email=email, nonce=nonce, expires_at=NOW + timedelta(hours=24)
    )


def test_an_address_is_verified_once_by_the_newest_link() -> None:
    first, second = verification("anna@example.com"), verification("anna@example.com", "second")
    (
        given(USER, waiting)
        .when(lambda u: u.request_verification(email=u.email, nonce="first", now=NOW))
        .then(first)
    )
    verified = EmailVerified(user_id=ANNA, email="anna@example.com")
    (
        given(USER, waiting, first)
        .when(lambda u: u.verify_email(nonce="first", now=NOW))
        .then(verified)
        .then_state(pending=False, verification=None)
    )
    for past in ((waiting,), (waiting, first, second), (waiting, first, verified)):
        (
            given(USER, *past)
            .when(lambda u: u.verify_email(nonce="first", now=NOW))
            .then_refused(LinkNotValid)
        )


def test_a_verified_address_needs_no_link() -> None:
    (
        given(USER, joined)
        .when(lambda u: u.request_verification(email="ANNA@example.com", nonce="n", now=NOW))
        .then_refused(AlreadyVerified)
    )


def test_another_address_counts_once_it_is_verified() -> None:
    wished = verification("new@example.com")
    given(USER, joined, wished).when(lambda _: []).then_state(email="anna@example.com")
    (
        given(USER, joined, wished)
        .when(lambda u: u.verify_email(nonce="first", now=NOW))
        .then(EmailVerified(user_id=ANNA, email="new@example.com"))
        .then_state(email="new@example.com")
    )


def test_an_address_that_was_set_another_way_voids_the_link() -> None:
    changed = EmailChanged(user_id=ANNA, email="other@example.com")
    (
        given(USER, joined, verification("new@example.com"), changed)
        .when(lambda u: u.verify_email(nonce="first", now=NOW))
        .then_refused(LinkNotValid)
    )


def test_a_name_that_stays_is_no_change() -> None:
    given(USER, joined).when(lambda u: u.rename("anna")).then_nothing_happened()
    (
        given(USER, joined)
        .when(lambda u: u.rename("bert"))
        .then(UsernameChanged(user_id=ANNA, username="bert"))
        .then_state(username="bert")
    )


def test_only_the_latest_networks_are_remembered_and_none_twice() -> None:
    seen = [NewNetworkSeen(user_id=ANNA, network=f"192.0.2.{n}") for n in range(NETWORKS_MAX + 1)]
    known = given(USER, joined, *seen)
    known.when(lambda u: u.see_network("192.0.2.1")).then_nothing_happened()
    known.when(lambda u: u.see_network("")).then_nothing_happened()
    known.when(lambda u: u.see_network("192.0.2.0")).then(seen[0])
    assert known.state is not None
    assert len(known.state.networks) == NETWORKS_MAX


def test_a_suspended_person_is_out_until_reinstated() -> None:
    suspended = UserSuspended(user_id=ANNA, reason="abuse")
    (
        given(USER, joined)
        .when(lambda u: u.suspend(reason="abuse"))
        .then(suspended, SessionsRevoked(user_id=ANNA, epoch=1, reason="suspended"))
        .then_state(may_sign_in=False)
    )
    out = given(USER, joined, suspended)
    out.when(lambda u: u.suspend(reason="again")).then_nothing_happened()
    out.when(lambda u: u.reinstate()).then(UserReinstated(user_id=ANNA))
    given(USER, joined).when(lambda u: u.reinstate()).then_nothing_happened()


issued = AdminLinkIssued(nonce="first", expires_at=NOW + timedelta(hours=24))
granted = PlatformAdminGranted(user_id=ANNA, how="link")


def test_the_first_to_follow_the_printed_link_looks_after_the_platform() -> None:
    assert Platform().issue_link(nonce="first", now=NOW) == [issued]
    (
        given(PLATFORM, issued)
        .when(lambda p: p.follow_link(user_id=ANNA, nonce="first", now=NOW))
        .then(granted)
        .then_state(admins=(ANNA,), link=None)
    )


@pytest.mark.parametrize(
    ("past", "later"),
    [
        ((issued, granted), timedelta()),
        ((issued,), timedelta(hours=24)),
        (
            (issued, AdminLinkIssued(nonce="second", expires_at=NOW + timedelta(hours=24))),
            timedelta(),
        ),
    ],
)
def test_the_printed_link_works_once_and_for_a_day(past: tuple, later: timedelta) -> None:
    (
        given(PLATFORM, *past)
        .when(lambda p: p.follow_link(user_id="usr-0000000002", nonce="first", now=NOW + later))
        .then_refused(LinkNotValid)
    )


def test_an_admin_made_on_the_command_line_leaves_the_link_as_it_was() -> None:
    made = PlatformAdminGranted(user_id="usr-0000000002", how="command line")
    given(PLATFORM, issued).when(lambda p: p.grant("usr-0000000002")).then(made)
    (
        given(PLATFORM, issued, made)
        .when(lambda p: p.grant("usr-0000000002"))
        .then_nothing_happened()
        .and_then()
        .when(lambda p: p.follow_link(user_id=ANNA, nonce="first", now=NOW))
        .then(granted)
    )
