"""Signatures with published keys: ECDSA with P-256 and SHA-256 over the body, DER in base64.

So GitHub's secret scanning signs, and Google's (deps.dev). The public keys are fetched from the
address the sender publishes them at and kept for an hour. What
strangers send makes us fetch at most twice a minute: an identifier that is not known is looked for
once more, because a new key may have been published since, and then refused.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import Callable

import httpx
import msgspec
import structlog
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from infrastructure.report_signatures import SignersAway, WrongSignature

ANSWER_BYTES_MAX = 256 * 1024

log = structlog.get_logger()


class PublishedKey(msgspec.Struct, frozen=True):
    """One of the sender's keys, as it is published."""

    key_identifier: str
    key: str
    """PEM."""


class PublishedKeys(msgspec.Struct, frozen=True):
    """What is found at the address."""

    public_keys: tuple[PublishedKey, ...]


class PublishedKeySignatures:
    """The port `ReportSignatures` for a sender that publishes its keys as GitHub does."""

    def __init__(
        self,
        keys_url: str,
        *,
        timeout_seconds: float = 5.0,
        fresh_seconds: float = 3600.0,
        pause_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys_url = keys_url
        self._timeout_seconds = timeout_seconds
        self._fresh_seconds = fresh_seconds
        self._pause_seconds = pause_seconds
        self._clock = clock
        self._keys: dict[str, ec.EllipticCurvePublicKey] = {}
        self._fetched_at = self._tried_at = -float("inf")
        self._fetching = asyncio.Lock()

    async def check(self, body: bytes, *, key_identifier: str, signature: str) -> None:
        """Return if GitHub signed exactly this."""
        key = await self._key(key_identifier)
        if key is None:
            raise WrongSignature
        try:
            key.verify(base64.b64decode(signature, validate=True), body, ec.ECDSA(SHA256()))
        except (InvalidSignature, binascii.Error, ValueError):
            raise WrongSignature from None

    async def _key(self, key_identifier: str) -> ec.EllipticCurvePublicKey | None:
        async with self._fetching:
            now = self._clock()
            is_fresh = now - self._fetched_at < self._fresh_seconds
            may_fetch = now - self._tried_at >= self._pause_seconds
            if may_fetch and not (is_fresh and key_identifier in self._keys):
                self._tried_at = now
                await self._fetch()
                is_fresh = True
        if not is_fresh:
            raise SignersAway
        return self._keys.get(key_identifier)

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                published = msgspec.json.decode(await self._download(), type=PublishedKeys)
        except (httpx.HTTPError, TimeoutError, msgspec.MsgspecError, ValueError) as error:
            log.warning("public keys for leak reports not fetched", error=repr(error)[:300])
            raise SignersAway from None
        self._keys = {
            one.key_identifier: key
            for one in published.public_keys
            if (key := _p256(one.key)) is not None
        }
        self._fetched_at = self._clock()

    async def _download(self) -> bytes:
        content = b""
        async with (
            httpx.AsyncClient(timeout=self._timeout_seconds) as client,
            client.stream("GET", self._keys_url) as answer,
        ):
            answer.raise_for_status()
            async for chunk in answer.aiter_bytes():
                content += chunk
                if len(content) > ANSWER_BYTES_MAX:
                    raise ValueError("the list of public keys is too long")
        return content


def _p256(pem: str) -> ec.EllipticCurvePublicKey | None:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    is_p256 = isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1"
    return key if is_p256 and isinstance(key, ec.EllipticCurvePublicKey) else None
