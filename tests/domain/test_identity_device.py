from datetime import UTC, datetime, timedelta

import pytest

from domain.identity.device import (
    DEVICE_SIGN_IN,
    LIFETIME,
    AccessDenied,
    AuthorizationPending,
    DeviceSignIn,
    ExpiredToken,
    shown,
    typed,
)
from domain.identity.events import (
    DeviceSignInApproved,
    DeviceSignInCompleted,
    DeviceSignInDenied,
    DeviceSignInRequested,
)
from domain.identity.values import InvalidGrant, SignInMethod
from domain.kernel.errors import NotFound
from domain.kernel.events import Event
from tests.scenario import given

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ANNA, BELA = "usr-000000anna", "usr-000000bela"
DEVICE = "dev-0000000001"
AT_ONCE = timedelta()

requested = DeviceSignInRequested(device_id=DEVICE, expires_at=NOW + LIFETIME)
approved = DeviceSignInApproved(device_id=DEVICE, user_id=ANNA, method=SignInMethod.TOTP, epoch=1)
denied = DeviceSignInDenied(device_id=DEVICE, user_id=ANNA)
completed = DeviceSignInCompleted(device_id=DEVICE, user_id=ANNA, session_id="ses-0000000001")


def approve(device: DeviceSignIn, user_id: str = ANNA, later: timedelta = AT_ONCE) -> list[Event]:
    return device.approve(user_id=user_id, method=SignInMethod.TOTP, epoch=1, now=NOW + later)


def complete(device: DeviceSignIn, later: timedelta = AT_ONCE) -> list[Event]:
    return device.complete(session_id="ses-0000000001", now=NOW + later)


def test_a_device_that_was_approved_gets_its_session_once() -> None:
    given(DEVICE_SIGN_IN, requested).when(approve).then(approved)
    given(DEVICE_SIGN_IN, requested, approved).when(complete).then(completed)
    given(DEVICE_SIGN_IN, requested, approved, completed).when(complete).then_refused(InvalidGrant)


def test_a_device_that_nobody_approved_gets_nothing() -> None:
    given(DEVICE_SIGN_IN, requested).when(complete).then_refused(AuthorizationPending)


def test_a_device_that_was_denied_is_told_so() -> None:
    given(DEVICE_SIGN_IN, requested).when(lambda d: d.deny(user_id=ANNA, now=NOW)).then(denied)
    given(DEVICE_SIGN_IN, requested, denied).when(complete).then_refused(AccessDenied)


def test_codes_end_whatever_was_decided() -> None:
    def late(device: DeviceSignIn) -> list[Event]:
        return complete(device, LIFETIME)

    given(DEVICE_SIGN_IN, requested).when(late).then_refused(ExpiredToken)
    given(DEVICE_SIGN_IN, requested, approved).when(late).then_refused(ExpiredToken)
    given(DEVICE_SIGN_IN, requested).when(lambda d: approve(d, later=LIFETIME)).then_refused(
        NotFound
    )


def test_deciding_twice_alike_changes_nothing() -> None:
    given(DEVICE_SIGN_IN, requested, approved).when(approve).then_nothing_happened()
    given(DEVICE_SIGN_IN, requested, denied).when(
        lambda d: d.deny(user_id=ANNA, now=NOW)
    ).then_nothing_happened()


def test_what_was_decided_stays_and_looks_to_others_like_no_code_at_all() -> None:
    given(DEVICE_SIGN_IN, requested, denied).when(approve).then_refused(NotFound)
    given(DEVICE_SIGN_IN, requested, approved).when(
        lambda d: d.deny(user_id=ANNA, now=NOW)
    ).then_refused(NotFound)
    given(DEVICE_SIGN_IN, requested, approved).when(lambda d: approve(d, BELA)).then_refused(
        NotFound
    )


@pytest.mark.parametrize("text", ["BCDF-GHJK", "bcdfghjk", " b c d f_g.h-j k "])
def test_a_code_is_typed_as_one_likes(text: str) -> None:
    assert typed(text) == "BCDFGHJK"
    assert shown("BCDFGHJK") == "BCDF-GHJK"


@pytest.mark.parametrize("text", ["", "BCDF-GHJ", "BCDF-GHJA", "BCDF-GHJKL", "\uff22CDFGHJK"])
def test_what_is_no_code_is_none(text: str) -> None:
    assert typed(text) is None
