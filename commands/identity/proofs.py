"""What every delicate command asks for: the password, the second factor, a proof not long ago."""

import hashlib
import hmac
import re

import pyotp

from commands.mail import request_mail
from commands.work import Loaded, Work
from domain.identity.events import SecondFactorRefused
from domain.identity.second_factors import (
    SECOND_FACTORS,
    OtpRequired,
    OtpWrong,
    SecondFactors,
    stream_of,
)
from domain.identity.session import SESSION
from domain.identity.user import USER, User
from domain.identity.values import FactorChange, SignInMethod, StepUpRequired
from domain.kernel.errors import DomainError, NotAllowed
from domain.mail.values import Template

STEP_SECONDS = 30
RECOVERY_CODE_LENGTH = 24
_BETWEEN = re.compile(r"[\s-]+")


class WrongCredentials(DomainError):
    """E-mail address or password is wrong, or the address was not verified yet."""


async def check_password(work: Work, password: str) -> User:
    """Return who is signed in; raises `WrongCredentials` unless it is their password."""
    if work.actor.user_id is None:
        raise NotAllowed
    user = (await work.load(USER, work.actor.user_id, fresh=True)).present
    if not await work.passwords.verify(password, user.password_hash):
        raise WrongCredentials("The password is wrong.")
    return user


async def check_second_factor(work: Work, user_id: str, otp: str | None) -> SignInMethod | OtpWrong:
    """Return by what the person proved who they are, after the password was right.

    A wrong code is returned as a refusal, not raised: that it was tried has to be recorded.
    Raises `OtpRequired` when there is no code and one is needed, `TooManyCodes`.
    """
    factors = await work.load(SECOND_FACTORS, stream_of(user_id))
    state = factors.state
    if state is None or state.secret is None:
        return SignInMethod.PASSWORD
    code = _BETWEEN.sub("", otp or "")
    if not code:
        raise OtpRequired
    if len(code) == RECOVERY_CODE_LENGTH:
        work.record(factors, state.accept_recovery_code(recovery_hash(code)))
        await tell_of_change(work, user_id, FactorChange.RECOVERY_CODE_USED)
        return SignInMethod.RECOVERY_CODE
    events = state.accept(step=step_of(code, state.secret, work), now=work.now)
    work.record(factors, events)
    if any(isinstance(event, SecondFactorRefused) for event in events):
        if not factors.present.has_tries(work.now):
            await tell_of_change(work, user_id, FactorChange.TRIED_OFTEN)
        return OtpWrong()
    return SignInMethod.TOTP


async def must_be_recent(work: Work) -> None:
    """Refuse what is delicate unless the person proved a short time ago to be there."""
    if work.actor.session_id is None:
        raise StepUpRequired
    session = (await work.load(SESSION, work.actor.session_id)).present
    session.must_be_recent(work.now)


async def tell_of_change(work: Work, user_id: str, change: FactorChange) -> None:
    """Let the person know by mail what happened to how they sign in."""
    await request_mail(
        work,
        template=Template.SECOND_FACTOR_CHANGED,
        user_id=user_id,
        parameters={"change": change.value},
    )


async def factors_of(work: Work, user_id: str) -> tuple[Loaded[SecondFactors], SecondFactors]:
    """Return a person's second factors, none at first."""
    loaded = await work.load(SECOND_FACTORS, stream_of(user_id))
    return loaded, loaded.state or SecondFactors(user_id=user_id)


def step_of(code: str, secret: str, work: Work) -> int | None:
    """Return the step of a code: this one, or the one before for a clock that is slow."""
    now = int(work.now.timestamp()) // STEP_SECONDS
    app = pyotp.TOTP(secret, interval=STEP_SECONDS)
    found = None
    for step in (now - 1, now):  # always both, so that the time tells nothing
        if hmac.compare_digest(app.generate_otp(step).encode(), code.encode()):
            found = step
    return found


def recovery_hash(code: str) -> str:
    """Return what is kept of a recovery code."""
    return hashlib.sha256(code.upper().encode()).hexdigest()
