"""Challenges for passkeys: signed by us, so that nothing has to be kept until one is answered.

A challenge says until when it lives and, in its signature, what it is for. That it is answered
only once is remembered where the answer is: in the log.
"""

import base64
import hashlib
import hmac
import os
from datetime import datetime

import msgspec

from domain.identity.values import CHALLENGE_LIFETIME
from domain.kernel.errors import RuleViolated

TIME_BYTES = 8
NONCE_BYTES = 16


class ChallengeNotOurs(RuleViolated):
    """This answers no challenge of ours, or one that is too old; ask for another."""


class ClientData(msgspec.Struct, frozen=True):
    """What a browser signs, as far as it matters here."""

    challenge: str
    cross_origin: bool = msgspec.field(name="crossOrigin", default=False)


def challenge(secret: bytes, purpose: str, *, now: datetime) -> bytes:
    """Return a new challenge."""
    ends_at = int((now + CHALLENGE_LIFETIME).timestamp())
    content = ends_at.to_bytes(TIME_BYTES, "big") + os.urandom(NONCE_BYTES)
    return content + _signature(secret, purpose, content)


def answered(secret: bytes, purpose: str, client_data: str, *, now: datetime) -> bytes:
    """Return the challenge that a browser says it answers; raises `ChallengeNotOurs`."""
    try:
        said = msgspec.json.decode(_bytes(client_data), type=ClientData)
        found = _bytes(said.challenge)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise ChallengeNotOurs from None
    content, signature = found[: TIME_BYTES + NONCE_BYTES], found[TIME_BYTES + NONCE_BYTES :]
    if not hmac.compare_digest(signature, _signature(secret, purpose, content)):
        raise ChallengeNotOurs
    ends_at = int.from_bytes(content[:TIME_BYTES], "big")
    if now.timestamp() >= ends_at or said.cross_origin:
        raise ChallengeNotOurs
    return found


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)


def _signature(secret: bytes, purpose: str, content: bytes) -> bytes:
    message = b"challenge\0" + purpose.encode() + b"\0" + content
    return hmac.new(secret, message, hashlib.sha256).digest()
