"""Signing in on a device without a browser: OAuth 2.0's device grant (RFC 8628).

Names of fields and errors are the RFC's; bodies and answers are JSON as everywhere here.
"""

import math
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from api.answers import Answer, answer
from api.guard import OPEN_TO_ALL, GuardedRoute
from api.identity.guesses import network
from api.identity.sessions import OAuthToken, user_agent
from api.openapi import refusals
from api.requests import Write, Writing
from api.schemas import Input, Message, Output
from commands.identity import (
    CompleteDeviceSignIn,
    DecideDeviceSignIn,
    DeviceCodes,
    RequestDeviceSignIn,
    SignedIn,
)
from commands.identity.devices import DEVICE
from domain.identity.values import InvalidGrant
from domain.kernel.errors import RuleViolated

router = APIRouter(route_class=GuardedRoute, prefix="/v1/auth/device", tags=["Identity"])

INTERVAL_SECONDS = 2
PAGE = "/device"


class SlowDown(RuleViolated):
    """You asked before the interval was over; wait five seconds longer each time from now on."""


class Codes(Output):
    """The codes of a device, as RFC 8628 names them."""

    device_code: Annotated[str, Field(alias="device_code")]
    """For the device itself: exchanged for a session once somebody approved."""
    user_code: Annotated[str, Field(alias="user_code", examples=["BCDF-GHJK"])]
    """To be typed by a person who is signed in elsewhere."""
    verification_uri: Annotated[str, Field(alias="verification_uri")]
    """Where it is typed."""
    verification_uri_complete: Annotated[str, Field(alias="verification_uri_complete")]
    """The same with the code in it."""
    expires_in: Annotated[int, Field(alias="expires_in")]
    interval: int
    """How many seconds to wait between two questions."""


class Exchange(Input):
    """The device's code, to be exchanged."""

    device_code: Annotated[str, Field(alias="device_code", min_length=1, max_length=200)]


class Decision(Input):
    """Which device."""

    user_code: Annotated[str, Field(min_length=1, max_length=40, examples=["BCDF-GHJK"])]
    """What the device shows."""


@router.post("", response_model=Codes, responses=refusals(), openapi_extra=OPEN_TO_ALL)
async def request_device_codes(write: Writing) -> Response:
    """Ask for the codes of a device. They live for ten minutes."""

    def made(codes: DeviceCodes) -> Answer:
        page = f"{write.options.public_url}{PAGE}"
        left: timedelta = codes.expires_at - write.services.clock()
        return answer(
            Codes(
                device_code=codes.device_code,
                user_code=codes.user_code,
                verification_uri=page,
                verification_uri_complete=f"{page}?code={codes.user_code}",
                expires_in=math.ceil(left.total_seconds()),
                interval=INTERVAL_SECONDS,
            )
        )

    return await write.dispatch(RequestDeviceSignIn(), made)


@router.post("/token", response_model=OAuthToken, responses=refusals(), openapi_extra=OPEN_TO_ALL)
async def exchange_device_code(body: Exchange, write: Writing) -> Response:
    """Exchange the device's code for a session, once it was approved.

    Until then the answer is 400 with `authorization_pending`, or `slow_down`; in the end
    `access_denied` or `expired_token`.
    """
    await _must_not_hurry(body.device_code, write)
    options = write.options

    def signed_in(session: SignedIn) -> Answer:
        access_token, _ = write.services.tokens.issue(
            user_id=session.user_id, session_id=session.session_id, now=write.services.clock()
        )
        return answer(
            OAuthToken(
                access_token=access_token,
                token_type="bearer",  # noqa: S106 - the word, not a token
                expires_in=options.access_token_seconds,
                refresh_token=session.refresh_token,
            )
        )

    command = CompleteDeviceSignIn(
        device_code=body.device_code,
        lifetime=options.session_lifetime,
        idle_lifetime=options.session_idle_lifetime,
        network=network(write),
        user_agent=user_agent(write),
    )
    return await write.dispatch(command, signed_in)


@router.post("/approve", response_model=Message, responses=refusals(401, 403, 404))
async def approve_device(body: Decision, write: Writing) -> Response:
    """Let the device that shows this code sign in as you. Needs a proof not long ago."""
    return await _decide(body, write, approve=True)


@router.post("/deny", response_model=Message, responses=refusals(401, 403, 404))
async def deny_device(body: Decision, write: Writing) -> Response:
    """Refuse the device that shows this code."""
    return await _decide(body, write, approve=False)


async def _decide(body: Decision, write: Write, *, approve: bool) -> Response:
    write.must_be_a_person()
    said = "The device is signed in now" if approve else "The device is refused"
    return await write.dispatch(
        DecideDeviceSignIn(user_code=body.user_code, approve=approve),
        lambda _: answer(Message(message=said)),
    )


async def _must_not_hurry(device_code: str, write: Write) -> None:
    """Count questions per device, one per interval; a little early is not hurried."""
    device = write.services.links.read(DEVICE, device_code)
    if device is None:
        raise InvalidGrant
    standing = await write.services.counters.count(
        f"device:{device.subject}", limit=1, window_seconds=INTERVAL_SECONDS - 1, cost=1
    )
    if not standing.allowed:
        raise SlowDown
