import functools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from domain.identity.events import (
    PasskeyAdded,
    PasskeyCountWentBack,
    PasskeyRemoved,
    PasskeyUsed,
    RecoveryCodesReplaced,
    RecoveryCodeUsed,
    SecondFactorRefused,
    TotpCodeAccepted,
    TotpDisabled,
    TotpEnabled,
    TotpPrepared,
)
from domain.identity.second_factors import (
    CONFIRM_WITHIN,
    PASSKEYS_MAX,
    SECOND_FACTORS,
    TRIES_MAX,
    TRIES_WINDOW,
    NothingToConfirm,
    OtpWrong,
    PasskeyRefused,
    SecondFactorIsOff,
    SecondFactorIsOn,
    SecondFactors,
    TooManyCodes,
    TooManyPasskeys,
    stream_of,
)
from domain.identity.values import CHALLENGE_LIFETIME
from domain.kernel.errors import NotFound
from domain.kernel.events import Event
from tests.scenario import given

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
ANNA = "usr-0000000001"
FIRST, SECOND = "a" * 64, "b" * 64

prepared = TotpPrepared(user_id=ANNA, secret="FIRST", expires_at=NOW + CONFIRM_WITHIN)
enabled = TotpEnabled(user_id=ANNA, step=100, recovery_hashes=(FIRST, SECOND))
refused = SecondFactorRefused(user_id=ANNA, refused_at=NOW)
added = PasskeyAdded(
    user_id=ANNA,
    passkey_id="psk-0000000001",
    name="phone",
    credential_id="phone-credential",
    public_key="phone-key",
    sign_count=0,
    synced=True,
)
used = PasskeyUsed(
    user_id=ANNA,
    passkey_id="psk-0000000001",
    sign_count=7,
    challenge_hash="c" * 64,
    used_at=NOW,
)


def sign(
    factors: SecondFactors, *, count: int, challenge_hash: str, now: datetime
) -> Sequence[Event]:
    """Let the phone's passkey sign a challenge."""
    return factors.use_passkey(
        factors.passkey_of("phone-credential"),
        sign_count=count,
        challenge_hash=challenge_hash,
        now=now,
    )


def test_the_stream_is_named_after_the_person() -> None:
    assert stream_of(ANNA) == "mfa-0000000001"


def test_an_app_counts_once_its_first_code_is_confirmed() -> None:
    (
        given(SECOND_FACTORS, prepared)
        .when(lambda s: s.confirm(step=100, recovery_hashes=[FIRST, SECOND], now=NOW))
        .then(enabled)
        .then_state(secret="FIRST", last_step=100, prepared_secret=None)
    )


def test_a_second_secret_takes_the_place_of_one_that_was_not_confirmed() -> None:
    again = TotpPrepared(user_id=ANNA, secret="SECOND", expires_at=NOW + CONFIRM_WITHIN)
    (
        given(SECOND_FACTORS, prepared)
        .when(lambda s: s.prepare(secret="SECOND", now=NOW))
        .then(again)
        .then_state(secret=None, prepared_secret="SECOND")
    )


def test_an_app_that_is_confirmed_too_late_does_not_count() -> None:
    late = NOW + CONFIRM_WITHIN + timedelta(seconds=1)
    (
        given(SECOND_FACTORS, prepared)
        .when(lambda s: s.confirm(step=100, recovery_hashes=[FIRST], now=late))
        .then_refused(NothingToConfirm)
    )


def test_a_wrong_first_code_is_counted_and_changes_nothing_else() -> None:
    (
        given(SECOND_FACTORS, prepared)
        .when(lambda s: s.confirm(step=None, recovery_hashes=[FIRST], now=NOW))
        .then(refused)
        .then_state(secret=None, prepared_secret="FIRST")
    )


def test_another_app_is_set_up_only_after_the_first_was_turned_off() -> None:
    (
        given(SECOND_FACTORS, prepared, enabled)
        .when(lambda s: s.prepare(secret="SECOND", now=NOW))
        .then_refused(SecondFactorIsOn)
    )
    (
        given(SECOND_FACTORS, prepared, enabled)
        .when(lambda s: s.disable())
        .then(TotpDisabled(user_id=ANNA))
        .then_state(secret=None, recovery_hashes=())
    )


def test_what_is_off_is_not_turned_off() -> None:
    (given(SECOND_FACTORS, prepared).when(lambda s: s.disable()).then_refused(SecondFactorIsOff))
    (
        given(SECOND_FACTORS, prepared)
        .when(lambda s: s.replace_recovery_codes([FIRST]))
        .then_refused(SecondFactorIsOff)
    )


def test_a_code_counts_once_and_so_does_every_code_before_it() -> None:
    past = given(SECOND_FACTORS, prepared, enabled)
    accepted = TotpCodeAccepted(user_id=ANNA, step=102)
    past.when(lambda s: s.accept(step=102, now=NOW)).then(accepted).then_state(last_step=102)
    for step in (100, 101, 102):
        code = functools.partial(SecondFactors.accept, step=step, now=NOW)
        given(SECOND_FACTORS, prepared, enabled, accepted).when(code).then(refused)


def test_after_too_many_wrong_codes_even_a_right_one_is_refused_for_a_while() -> None:
    past = [prepared, enabled, *[refused] * TRIES_MAX]
    (
        given(SECOND_FACTORS, *past)
        .when(lambda s: s.accept(step=101, now=NOW + TRIES_WINDOW - timedelta(seconds=1)))
        .then_refused(TooManyCodes)
    )
    (
        given(SECOND_FACTORS, *past)
        .when(lambda s: s.accept(step=101, now=NOW + TRIES_WINDOW))
        .then(TotpCodeAccepted(user_id=ANNA, step=101))
    )
    (
        given(SECOND_FACTORS, *past[:-1])
        .when(lambda s: s.accept(step=101, now=NOW))
        .then(TotpCodeAccepted(user_id=ANNA, step=101))
    )


def test_the_tries_come_back_one_by_one_as_the_wrong_codes_age() -> None:
    at = [NOW + timedelta(minutes=number) for number in range(TRIES_MAX)]
    wrong = [SecondFactorRefused(user_id=ANNA, refused_at=each) for each in at]
    then = NOW + TRIES_WINDOW
    again = SecondFactorRefused(user_id=ANNA, refused_at=then)
    (
        given(SECOND_FACTORS, prepared, enabled, *wrong)
        .when(lambda s: s.accept(step=None, now=then))
        .then(again)
        .and_then()
        .when(lambda s: s.accept(step=101, now=then))
        .then_refused(TooManyCodes)
    )


def test_a_recovery_code_counts_once_even_while_there_are_too_many_wrong_codes() -> None:
    (
        given(SECOND_FACTORS, prepared, enabled, *[refused] * TRIES_MAX)
        .when(lambda s: s.accept_recovery_code(FIRST))
        .then(RecoveryCodeUsed(user_id=ANNA, code_hash=FIRST))
        .and_then()
        .when(lambda s: s.accept_recovery_code(FIRST))
        .then_refused(OtpWrong)
    )


def test_new_recovery_codes_make_the_old_ones_void() -> None:
    (
        given(SECOND_FACTORS, prepared, enabled)
        .when(lambda s: s.replace_recovery_codes(["d" * 64]))
        .then(RecoveryCodesReplaced(user_id=ANNA, recovery_hashes=("d" * 64,)))
        .and_then()
        .when(lambda s: s.accept_recovery_code(FIRST))
        .then_refused(OtpWrong)
    )


def test_a_passkey_is_found_by_its_credential_and_counts_its_uses() -> None:
    (
        given(SECOND_FACTORS, added)
        .when(lambda s: sign(s, count=7, challenge_hash="c" * 64, now=NOW))
        .then(used)
        .and_then()
        .when(lambda s: s.passkey_of("another credential"))
        .then_refused(PasskeyRefused)
    )


def test_a_challenge_is_answered_once_for_as_long_as_it_lives() -> None:
    for late in (NOW, NOW + CHALLENGE_LIFETIME):
        once_more = msgspec.structs.replace(used, sign_count=8, challenge_hash="d" * 64)
        again = functools.partial(sign, count=9, challenge_hash="c" * 64, now=late)
        (
            given(SECOND_FACTORS, added, used, msgspec.structs.replace(once_more, used_at=late))
            .when(again)
            .then_refused(PasskeyRefused)
        )


def test_answered_challenges_are_forgotten_once_they_are_too_old_to_be_answered() -> None:
    late = NOW + CHALLENGE_LIFETIME + timedelta(seconds=1)
    (
        given(SECOND_FACTORS, added, used)
        .when(lambda s: sign(s, count=8, challenge_hash="d" * 64, now=late))
        .then_state(challenges=(("d" * 64, late),))
    )


def test_a_passkey_that_counts_back_is_refused_as_a_copy() -> None:
    for count in (0, 6, 7):
        went_back = PasskeyCountWentBack(
            user_id=ANNA, passkey_id="psk-0000000001", sign_count=count, seen_at=NOW
        )
        copy = functools.partial(sign, count=count, challenge_hash="d" * 64, now=NOW)
        given(SECOND_FACTORS, added, used).when(copy).then(went_back)


def test_a_passkey_that_never_counts_may_say_zero_for_ever() -> None:
    (
        given(SECOND_FACTORS, added)
        .when(lambda s: sign(s, count=0, challenge_hash="c" * 64, now=NOW))
        .then(
            PasskeyUsed(
                user_id=ANNA,
                passkey_id="psk-0000000001",
                sign_count=0,
                challenge_hash="c" * 64,
                used_at=NOW,
            )
        )
    )


def test_a_removed_passkey_is_gone_and_no_other() -> None:
    (
        given(SECOND_FACTORS, added)
        .when(lambda s: s.remove_passkey("psk-0000000001"))
        .then(PasskeyRemoved(user_id=ANNA, passkey_id="psk-0000000001"))
        .then_state(passkeys=())
    )
    (
        given(SECOND_FACTORS, added)
        .when(lambda s: s.remove_passkey("psk-0000000002"))
        .then_refused(NotFound)
    )


def test_nobody_has_more_passkeys_than_anybody_needs() -> None:
    (
        given(SECOND_FACTORS, *[added] * PASSKEYS_MAX)
        .when(lambda s: s.add_passkey(added))
        .then_refused(TooManyPasskeys)
    )
    given(SECOND_FACTORS, added).when(lambda s: s.add_passkey(added)).then(added)
