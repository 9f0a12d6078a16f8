"""A second factor: set up, confirm, replace the recovery codes, turn off; and prove it again."""

import base64
import secrets
from datetime import datetime

import msgspec
import pyotp

from commands.bus import Command, Handlers
from commands.identity.proofs import (
    check_password,
    check_second_factor,
    factors_of,
    recovery_hash,
    step_of,
    tell_of_change,
)
from commands.work import Work
from domain.identity.events import SecondFactorRefused
from domain.identity.second_factors import OtpRequired, OtpWrong, SecondFactors
from domain.identity.session import SESSION, SessionOver
from domain.identity.values import FactorChange
from domain.kernel.errors import NotAllowed

SECRET_LENGTH = 32
"""In base32: 160 bits, as RFC 4226 recommends."""
RECOVERY_CODES = 10
RECOVERY_CODE_BYTES = 15
"""24 characters of base32."""


class PrepareTotp(Command, frozen=True, kw_only=True):
    """Give an authenticator app a secret."""

    password: str
    issuer: str
    """By which the app shows where its codes are for."""


class ConfirmTotp(Command, frozen=True, kw_only=True):
    """Ask for codes from now on."""

    otp: str


class ReplaceRecoveryCodes(Command, frozen=True, kw_only=True):
    """Make new recovery codes, and the old ones void."""

    password: str
    otp: str


class DisableTotp(Command, frozen=True, kw_only=True):
    """Ask for no codes any more."""

    password: str
    otp: str


class StepUp(Command, frozen=True, kw_only=True):
    """Prove once more, inside a session, to be there."""

    password: str
    otp: str | None = None


class PreparedTotp(msgspec.Struct, frozen=True):
    """What the app needs, for the only time."""

    secret: str
    uri: str
    expires_at: datetime


class RecoveryCodes(msgspec.Struct, frozen=True):
    """Recovery codes, for the only time."""

    codes: tuple[str, ...]


class SteppedUp(msgspec.Struct, frozen=True):
    """When the person last proved to be there."""

    session_id: str
    authenticated_at: datetime


async def prepare_totp(command: PrepareTotp, work: Work) -> PreparedTotp:
    """Make the secret. It counts for nothing until a code of it is confirmed."""
    user = await check_password(work, command.password)
    factors, state = await factors_of(work, user.user_id)
    secret = pyotp.random_base32(SECRET_LENGTH)
    work.record(factors, state.prepare(secret=secret, now=work.now))
    uri = pyotp.TOTP(secret).provisioning_uri(name=user.email, issuer_name=command.issuer)
    until = factors.present.prepared_until or work.now
    return PreparedTotp(secret, uri, until)


async def confirm_totp(command: ConfirmTotp, work: Work) -> RecoveryCodes | OtpWrong:
    """Turn codes on with the first one; show the recovery codes."""
    factors, state = await factors_of(work, _person(work))
    step = step_of(command.otp, state.waiting_secret(work.now), work)
    codes = _recovery_codes()
    events = state.confirm(step=step, recovery_hashes=_hashes(codes), now=work.now)
    work.record(factors, events)
    if any(isinstance(event, SecondFactorRefused) for event in events):
        return OtpWrong()
    await tell_of_change(work, state.user_id, FactorChange.ON)
    return RecoveryCodes(codes)


async def replace_recovery_codes(
    command: ReplaceRecoveryCodes, work: Work
) -> RecoveryCodes | OtpWrong:
    """Show new recovery codes to who knows the password and has the app, or an old code."""
    proved = await _prove_with_code(work, command.password, command.otp)
    if isinstance(proved, OtpWrong):
        return proved
    factors, _ = await factors_of(work, _person(work))
    codes = _recovery_codes()
    work.record(factors, factors.present.replace_recovery_codes(_hashes(codes)))
    await tell_of_change(work, factors.present.user_id, FactorChange.RECOVERY_CODES)
    return RecoveryCodes(codes)


async def disable_totp(command: DisableTotp, work: Work) -> OtpWrong | None:
    """Let the password sign in alone again, for who has everything that was needed until now."""
    proved = await _prove_with_code(work, command.password, command.otp)
    if isinstance(proved, OtpWrong):
        return proved
    factors, _ = await factors_of(work, _person(work))
    work.record(factors, factors.present.disable())
    await tell_of_change(work, factors.present.user_id, FactorChange.OFF)
    return None


async def step_up(command: StepUp, work: Work) -> SteppedUp | OtpWrong:
    """Remember that the person is there, by all that signing in would need."""
    user = await check_password(work, command.password)
    method = await check_second_factor(work, user.user_id, command.otp)
    if isinstance(method, OtpWrong):
        return method
    if work.actor.session_id is None:
        raise SessionOver
    session = await work.load(SESSION, work.actor.session_id)
    work.record(session, session.present.step_up(method=method, now=work.now))
    return SteppedUp(session.stream_id, work.now)


HANDLERS: Handlers = {
    PrepareTotp: prepare_totp,
    ConfirmTotp: confirm_totp,
    ReplaceRecoveryCodes: replace_recovery_codes,
    DisableTotp: disable_totp,
    StepUp: step_up,
}


async def _prove_with_code(work: Work, password: str, otp: str) -> SecondFactors | OtpWrong:
    """Check the password and a code; without codes turned on there is nothing to change."""
    user = await check_password(work, password)
    factors, state = await factors_of(work, user.user_id)
    state.present_secret()
    if not otp:
        raise OtpRequired
    method = await check_second_factor(work, user.user_id, otp)
    return method if isinstance(method, OtpWrong) else factors.present


def _person(work: Work) -> str:
    if work.actor.user_id is None:
        raise NotAllowed
    return work.actor.user_id


def _recovery_codes() -> tuple[str, ...]:
    return tuple(
        base64.b32encode(secrets.token_bytes(RECOVERY_CODE_BYTES)).decode()
        for _ in range(RECOVERY_CODES)
    )


def _hashes(codes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(recovery_hash(code) for code in codes)
