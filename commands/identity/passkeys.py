"""Passkeys (WebAuthn): add one, remove one, sign in with one."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
import webauthn
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, parse_attestation_object
from webauthn.helpers.structs import AttestationFormat, CredentialDeviceType
from webauthn.registration.verify_registration_response import VerifiedRegistration

from commands.bus import Command, Handlers
from commands.identity.proofs import factors_of, must_be_recent, tell_of_change
from commands.identity.sessions import SignedIn, start_session
from commands.work import Work
from domain.identity.events import PasskeyAdded, PasskeyCountWentBack
from domain.identity.second_factors import PasskeyRefused
from domain.identity.user import USER, User
from domain.identity.values import FactorChange, SignInMethod
from domain.kernel.errors import AlreadyTaken, NotAllowed, RuleViolated

CLAIM_SCOPE = "passkey"
ATTESTATIONS = (AttestationFormat.NONE, AttestationFormat.PACKED)
"""None is asked for; some authenticators sign with their own key all the same. What the rest say
would need the roots of manufacturers, and parsers of formats that nobody asked for."""

Verified = TypeVar("Verified")


class PasskeyNotAccepted(RuleViolated):
    """This is not an answer to our challenge that we can accept."""


class PasskeyKnown(AlreadyTaken):
    """This passkey is added already."""


class RelyingParty(msgspec.Struct, frozen=True, kw_only=True):
    """Us, as authenticators know us: a passkey works for this name and page only."""

    id: str
    origin: str


class OfferPasskey(Command, frozen=True, kw_only=True):
    """Begin to add a passkey."""


class AddPasskey(Command, frozen=True, kw_only=True):
    """Let a passkey sign one in."""

    name: str
    credential: Mapping[str, Any]
    """The authenticator's answer, in WebAuthn's JSON form."""
    challenge: bytes
    relying_party: RelyingParty


class RemovePasskey(Command, frozen=True, kw_only=True):
    """Let a passkey sign one in no more."""

    passkey_id: str


class SignInWithPasskey(Command, frozen=True, kw_only=True):
    """Start a session for whoever holds the passkey and unlocked it."""

    credential: Mapping[str, Any]
    """The authenticator's answer, in WebAuthn's JSON form."""
    challenge: bytes
    relying_party: RelyingParty
    lifetime: timedelta = timedelta(days=30)
    idle_lifetime: timedelta = timedelta(days=7)
    network: str = ""
    user_agent: str | None = None


class PasskeyOffer(msgspec.Struct, frozen=True):
    """For whom a passkey is to be made."""

    user_id: str
    username: str
    email: str
    credential_ids: tuple[str, ...]
    """Of the passkeys that are there: one authenticator needs only one."""


class AddedPasskey(msgspec.Struct, frozen=True):
    """A new passkey."""

    passkey_id: str
    name: str
    synced: bool


async def offer_passkey(_: OfferPasskey, work: Work) -> PasskeyOffer:
    """Say for whom, to who proved lately to be there."""
    await must_be_recent(work)
    user = await _person(work)
    _loaded, state = await factors_of(work, user.user_id)
    state.must_have_room()
    known = tuple(passkey.credential_id for passkey in state.passkeys)
    return PasskeyOffer(user.user_id, user.username, user.email, known)


async def add_passkey(command: AddPasskey, work: Work) -> AddedPasskey:
    """Keep the public key, once the authenticator proved to have the other half."""
    await must_be_recent(work)
    user = await _person(work)
    made = _verified(lambda: _registration(command), PasskeyNotAccepted)
    credential_id = bytes_to_base64url(made.credential_id)
    if await work.owner_of(CLAIM_SCOPE, credential_id) is not None:
        raise PasskeyKnown
    await work.claim(CLAIM_SCOPE, credential_id, owner_id=user.user_id, taken=PasskeyKnown())
    factors, state = await factors_of(work, user.user_id)
    added = PasskeyAdded(
        user_id=user.user_id,
        passkey_id=work.new_id("psk"),
        name=command.name,
        credential_id=credential_id,
        public_key=bytes_to_base64url(made.credential_public_key),
        sign_count=made.sign_count,
        synced=made.credential_device_type is CredentialDeviceType.MULTI_DEVICE,
    )
    work.record(factors, state.add_passkey(added))
    await tell_of_change(work, user.user_id, FactorChange.PASSKEY_ADDED)
    return AddedPasskey(added.passkey_id, added.name, added.synced)


async def remove_passkey(command: RemovePasskey, work: Work) -> None:
    """Forget a passkey, for who proved lately to be there."""
    user = await _person(work)
    factors, state = await factors_of(work, user.user_id)
    events = state.remove_passkey(command.passkey_id)
    await must_be_recent(work)
    [gone] = [each for each in state.passkeys if each.passkey_id == command.passkey_id]
    work.record(factors, events)
    await work.release(CLAIM_SCOPE, gone.credential_id, owner_id=user.user_id)
    await tell_of_change(work, user.user_id, FactorChange.PASSKEY_REMOVED)


async def sign_in_with_passkey(command: SignInWithPasskey, work: Work) -> SignedIn | PasskeyRefused:
    """Start a session. A passkey that was copied is refused, and its owner told."""
    credential_id = str(command.credential["id"])
    user_id = await work.owner_of(CLAIM_SCOPE, credential_id)
    user = (await work.load(USER, user_id, fresh=True)).state if user_id is not None else None
    if user is None or not user.may_sign_in:
        raise PasskeyRefused
    factors, state = await factors_of(work, user.user_id)
    passkey = state.passkey_of(credential_id)
    signed = _verified(lambda: _authentication(command, passkey.public_key), PasskeyRefused)
    handle = command.credential["response"].get("userHandle")
    if handle is not None and base64url_to_bytes(handle) != user.user_id.encode():
        raise PasskeyRefused
    events = state.use_passkey(
        passkey,
        sign_count=signed.new_sign_count,
        challenge_hash=hashlib.sha256(command.challenge).hexdigest(),
        now=work.now,
    )
    work.record(factors, events)
    if any(isinstance(event, PasskeyCountWentBack) for event in events):
        await tell_of_change(work, user.user_id, FactorChange.PASSKEY_REFUSED)
        return PasskeyRefused()
    return await start_session(
        work,
        user,
        method=SignInMethod.PASSKEY,
        lifetime=command.lifetime,
        idle_lifetime=command.idle_lifetime,
        network=command.network,
        user_agent=command.user_agent,
    )


HANDLERS: Handlers = {
    OfferPasskey: offer_passkey,
    AddPasskey: add_passkey,
    RemovePasskey: remove_passkey,
    SignInWithPasskey: sign_in_with_passkey,
}


async def _person(work: Work) -> User:
    if work.actor.user_id is None:
        raise NotAllowed
    return (await work.load(USER, work.actor.user_id)).present


def _registration(command: AddPasskey) -> VerifiedRegistration:
    answer = command.credential["response"]["attestationObject"]
    if parse_attestation_object(base64url_to_bytes(answer)).fmt not in ATTESTATIONS:
        raise PasskeyNotAccepted
    return webauthn.verify_registration_response(
        credential=dict(command.credential),
        expected_challenge=command.challenge,
        expected_rp_id=command.relying_party.id,
        expected_origin=command.relying_party.origin,
        require_user_verification=True,
    )


def _authentication(command: SignInWithPasskey, public_key: str) -> VerifiedAuthentication:
    return webauthn.verify_authentication_response(
        credential=dict(command.credential),
        expected_challenge=command.challenge,
        expected_rp_id=command.relying_party.id,
        expected_origin=command.relying_party.origin,
        credential_public_key=base64url_to_bytes(public_key),
        credential_current_sign_count=0,  # whether it went back is a rule of ours, and recorded
        require_user_verification=True,
    )


def _verified(verify: Callable[[], Verified], refusal: type[RuleViolated | NotAllowed]) -> Verified:
    """Return what was verified. Whatever a hostile answer makes a parser raise refuses it."""
    try:
        return verify()
    except Exception as error:
        raise refusal from error
