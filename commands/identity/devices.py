"""Sign in on a device without a browser: two codes, a person's word elsewhere, a session."""

import secrets
from datetime import datetime, timedelta

import msgspec

from commands.bus import Command, Handlers
from commands.identity.proofs import must_be_recent
from commands.identity.sessions import SignedIn, start_session
from commands.work import Loaded, Work
from domain.identity.device import (
    CODE_LENGTH,
    DEVICE_SIGN_IN,
    LETTERS,
    LIFETIME,
    AccessDenied,
    DeviceSignIn,
    shown,
    typed,
)
from domain.identity.events import DeviceSignInRequested
from domain.identity.session import SESSION
from domain.identity.user import USER
from domain.identity.values import InvalidGrant
from domain.kernel.errors import AlreadyTaken, NotAllowed, NotFound

DEVICE = "device"
"""What a device code is good for, among the tokens made with the same secret."""
CLAIMED_AS = "device_code"
"""The scope in which short codes are unique: only a keyed hash of one is stored."""


class RequestDeviceSignIn(Command, frozen=True, kw_only=True):
    """Ask for the two codes of a device."""


class DecideDeviceSignIn(Command, frozen=True, kw_only=True):
    """Approve or deny the device that shows this code."""

    user_code: str
    approve: bool


class CompleteDeviceSignIn(Command, frozen=True, kw_only=True):
    """Exchange the device's own code for a session, once it was approved."""

    device_code: str
    lifetime: timedelta = timedelta(days=30)
    idle_lifetime: timedelta = timedelta(days=7)
    network: str = ""
    user_agent: str | None = None


class DeviceCodes(msgspec.Struct, frozen=True):
    """The only sight of the two codes."""

    device_code: str
    user_code: str
    expires_at: datetime


async def request_device_sign_in(_: RequestDeviceSignIn, work: Work) -> DeviceCodes:
    """Make two codes."""
    code = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
    device_id = work.new_id("dev")
    await work.claim(CLAIMED_AS, code, owner_id=device_id, taken=AlreadyTaken())
    expires_at = work.now + LIFETIME
    loaded = work.create(DEVICE_SIGN_IN, device_id)
    work.record(loaded, [DeviceSignInRequested(device_id=device_id, expires_at=expires_at)])
    token = work.links.issue(DEVICE, device_id, work.new_nonce())
    return DeviceCodes(token, shown(code), expires_at)


async def decide_device_sign_in(command: DecideDeviceSignIn, work: Work) -> None:
    """Remember what the person decided. To approve, they must have proved to be there lately."""
    if work.actor.user_id is None or work.actor.session_id is None:
        raise NotAllowed
    device = await _by_user_code(command.user_code, work)
    if command.approve:
        await must_be_recent(work)
        session = (await work.load(SESSION, work.actor.session_id)).present
        user = (await work.load(USER, work.actor.user_id, fresh=True)).present
        events = device.present.approve(
            user_id=user.user_id, method=session.method, epoch=user.epoch, now=work.now
        )
    else:
        events = device.present.deny(user_id=work.actor.user_id, now=work.now)
    work.record(device, events)


async def complete_device_sign_in(command: CompleteDeviceSignIn, work: Work) -> SignedIn:
    """Start the session that was approved."""
    token = work.links.read(DEVICE, command.device_code)
    device = await work.load(DEVICE_SIGN_IN, token.subject, fresh=True) if token else None
    if device is None or device.state is None:
        raise InvalidGrant
    approved = device.state
    session_id = work.new_id("ses")
    work.record(device, approved.complete(session_id=session_id, now=work.now))
    user = (await work.load(USER, approved.user_id or "", fresh=True)).state
    if user is None or not user.may_sign_in or user.epoch != approved.approved_epoch:
        raise AccessDenied
    return await start_session(
        work,
        user,
        session_id=session_id,
        method=approved.method,
        lifetime=command.lifetime,
        idle_lifetime=command.idle_lifetime,
        network=command.network,
        user_agent=command.user_agent,
    )


async def _by_user_code(text: str, work: Work) -> Loaded[DeviceSignIn]:
    code = typed(text)
    device_id = await work.owner_of(CLAIMED_AS, code) if code is not None else None
    if device_id is None:
        raise NotFound
    return await work.load(DEVICE_SIGN_IN, device_id, fresh=True)


HANDLERS: Handlers = {
    RequestDeviceSignIn: request_device_sign_in,
    DecideDeviceSignIn: decide_device_sign_in,
    CompleteDeviceSignIn: complete_device_sign_in,
}
