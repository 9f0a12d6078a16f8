"""A second factor (TOTP): set up, confirm, look at, turn off; and proving again to be there."""

import contextlib
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from api.answers import answer, respond
from api.guard import GuardedRoute
from api.openapi import refusals
from api.requests import Read, Writing, reading
from api.schemas import Input, Message, Output, Text
from commands.identity.second_factors import (
    ConfirmTotp,
    DisableTotp,
    PreparedTotp,
    PrepareTotp,
    RecoveryCodes,
    ReplaceRecoveryCodes,
    SteppedUp,
    StepUp,
)
from projections.reading import ViewBehind
from projections.second_factors import second_factors_of

router = APIRouter(route_class=GuardedRoute, prefix="/v1", tags=["Identity"])

Password = Annotated[Text, Field(min_length=1, max_length=256)]
Otp = Annotated[Text, Field(min_length=1, max_length=64)]
"""Six digits of an app, or a recovery code; blanks and hyphens in it do not matter."""


class PasswordAgain(Input):
    """The password, although one is signed in."""

    password: Password


class FirstCode(Input):
    """A code of the app that is being set up."""

    otp: Otp


class Proof(Input):
    """Everything that signing in asks for."""

    password: Password
    otp: Otp


class StepUpProof(Input):
    """Everything that signing in asks for: the code only of who has a second factor."""

    password: Password
    otp: Otp | None = None


class Preparation(Output):
    """What an authenticator app needs. Shown this once."""

    secret: str
    """Base32, to be typed."""
    otpauth_uri: str
    """The same, to be shown as a QR code."""
    expires_at: datetime
    """Confirm it with a code by then."""


class NewRecoveryCodes(Output):
    """Codes for the day the app is lost, each good for once. Shown this once."""

    recovery_codes: list[str]


class SecondFactor(Output):
    """Whether codes are asked for."""

    enabled: bool
    enabled_at: datetime | None
    recovery_codes_left: int


class StillThere(Output):
    """When the person last proved to be there."""

    authenticated_at: datetime


@router.get("/user/2fa", response_model=SecondFactor, responses=refusals(401, 403))
async def show(read: Annotated[Read, reading("second_factors")]) -> Response:
    """Show whether signing in asks for a code."""
    row = await second_factors_of(read.views, read.must_be_a_person())
    return respond(
        SecondFactor(
            enabled=row is not None and row.enabled_at is not None,
            enabled_at=row.enabled_at if row is not None else None,
            recovery_codes_left=row.recovery_codes_left if row is not None else 0,
        )
    )


@router.post("/user/2fa", response_model=Preparation, responses=refusals(401, 403, 409))
async def prepare(body: PasswordAgain, write: Writing) -> Response:
    """Get a secret for an authenticator app. Nothing changes until it is confirmed."""
    write.must_be_a_person()

    def prepared(made: PreparedTotp) -> Preparation:
        return Preparation(secret=made.secret, otpauth_uri=made.uri, expires_at=made.expires_at)

    return await write.dispatch(
        PrepareTotp(password=body.password, issuer=write.options.otp_issuer),
        lambda made: answer(prepared(made)),
    )


@router.post("/user/2fa/confirm", response_model=NewRecoveryCodes, responses=refusals(401, 403))
async def confirm(body: FirstCode, write: Writing) -> Response:
    """Turn the second factor on with the app's first code."""
    write.must_be_a_person()
    return await write.dispatch(ConfirmTotp(otp=body.otp), lambda made: answer(_codes(made)))


@router.post(
    "/user/2fa/recovery-codes", response_model=NewRecoveryCodes, responses=refusals(401, 403)
)
async def replace_codes(body: Proof, write: Writing) -> Response:
    """Get new recovery codes; those before count no more."""
    write.must_be_a_person()
    return await write.dispatch(
        ReplaceRecoveryCodes(password=body.password, otp=body.otp),
        lambda made: answer(_codes(made)),
    )


@router.delete("/user/2fa", response_model=Message, responses=refusals(401, 403))
async def disable(body: Proof, write: Writing) -> Response:
    """Turn the second factor off, by the password and a code or a recovery code."""
    write.must_be_a_person()
    return await write.dispatch(
        DisableTotp(password=body.password, otp=body.otp),
        lambda _: answer(Message(message="Two-factor authentication is off")),
    )


@router.post("/auth/step-up", response_model=StillThere, responses=refusals(401, 403))
async def step_up(body: StepUpProof, write: Writing) -> Response:
    """Prove again to be there. For 15 minutes the session may do what is delicate."""
    write.must_be_a_person()
    done = await write.run(
        StepUp(password=body.password, otp=body.otp),
        lambda made: answer(_still_there(made)),
    )
    position = int(done.headers["X-Tallyport-Position"])
    with contextlib.suppress(ViewBehind):  # it is so, also when the view is late
        await write.views.wait_for(
            "sessions", position, timeout_seconds=write.options.wait_seconds_max
        )
    write.doorkeeper.forget_session(write.caller.session_id or "")
    return done.response()


def _codes(made: RecoveryCodes) -> NewRecoveryCodes:
    return NewRecoveryCodes(recovery_codes=list(made.codes))


def _still_there(made: SteppedUp) -> StillThere:
    return StillThere(authenticated_at=made.authenticated_at)
