"""One effect per `Idempotency-Key`, however often and however concurrently it is sent.

The answer is stored in the transaction of the command's events, so a repeat finds both or neither.
What is stored says nothing by itself: the key under which it lies is a keyed hash, and the answer
is sealed with a key made from the client's own, which nobody keeps.

A request that was refused changed nothing and is not remembered: it may be sent again. A route that
runs several commands remembers each: repeated, it goes on where it was interrupted.
"""

import asyncio
import hashlib
import hmac
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.requests import Request

from api.answers import Answer
from api.callers import Caller, network_of
from api.errors import IdempotencyKeyReused, Malformed, StillRunning, TooManyIdempotencyKeys
from api.services import Services
from commands.bus import Command, Context, Decided
from domain.kernel.errors import DomainError
from infrastructure.event_store import Idempotency

HEADER = "Idempotency-Key"
KEY = re.compile(r"[\x21-\x7e]{1,255}")
NONCE_BYTES = 12
DAY_SECONDS = 86_400
TURN_SECONDS_MAX = 10.0
"""How long a repeat waits for the first request to be answered before it is told to come back."""

ToAnswer = Callable[[Decided], Answer]

_decoder = msgspec.msgpack.Decoder(Answer)
_running: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
"""Requests with the same key wait for each other in this process, so that only one does the work;
between processes the store decides."""


@dataclass(frozen=True, kw_only=True)
class Once:
    """One request, to be carried out once."""

    services: Services
    who: str = ""
    key: bytes | None = None
    """Under which the answer is remembered; None when no key was sent."""
    fingerprint: bytes = b""
    seal_key: bytes = b""

    @classmethod
    async def of(
        cls, request: Request, services: Services, caller: Caller | None, command: Command
    ) -> "Once":
        """Return what the request's headers and body say about repeats of this command."""
        sent = key_in(request)
        if sent is None:
            return cls(services=services)
        who = caller.name if caller is not None else "nobody"
        step = type(command).__name__
        place = f"{who}\0{request.method}\0{request.url.path}\0{step}\0{sent}"
        secret = services.secret
        return cls(
            services=services,
            who=who if caller is not None else f"address:{network_of(request.state.address)}",
            key=_hash(secret, "key", place.encode()),
            # Keyed too: a body may hold a password that could be guessed from a plain hash.
            fingerprint=_hash(secret, "body", await request.body()),
            seal_key=_hash(secret, "answer", place.encode()),
        )

    async def run(self, command: Command, context: Context, answer: ToAnswer) -> Answer:
        """Run the command, or give the answer again that it got."""
        if self.key is None:
            receipt = await self.services.bus.dispatch(command, context)
            return _positioned(answer(receipt), receipt.position)
        lock = _running.get(self.key)
        if lock is None:
            lock = _running[self.key] = asyncio.Lock()
        try:
            async with asyncio.timeout(TURN_SECONDS_MAX):
                await lock.acquire()
        except TimeoutError:
            raise StillRunning from None
        try:
            return await self._answered() or await self._run_now(command, context, answer)
        finally:
            lock.release()

    async def _run_now(self, command: Command, context: Context, answer: ToAnswer) -> Answer:
        await self._must_be_within_the_quota()
        remembered: list[Answer] = []

        def remember(decided: Decided) -> Idempotency:
            # The very answer that is stored is given: made a second time its tokens would differ.
            remembered[:] = [answer(decided)]
            return self._remember(remembered[0])

        remembering = msgspec.structs.replace(context, idempotency=remember)
        try:
            receipt = await self.services.bus.dispatch(command, remembering)
        except DomainError:
            # Another process may have carried it out meanwhile: then its answer is the answer,
            # be it that the key is taken (`Repeated`) or that a name is (by ourselves).
            answered = await self._answered()
            if answered is None:
                raise
            return answered
        given = remembered[0] if remembered else answer(receipt)
        return _positioned(given, receipt.position)

    async def _must_be_within_the_quota(self) -> None:
        """Refuse to remember for one caller without end."""
        limit = self.services.options.idempotency_keys_max
        standing = await self.services.counters.count(
            f"idempotency:{self.who}", limit=limit, window_seconds=DAY_SECONDS, cost=1
        )
        if not standing.allowed:
            raise TooManyIdempotencyKeys(
                headers={"Retry-After": str(max(1, math.ceil(standing.reset_seconds)))}
            )

    async def _answered(self) -> Answer | None:
        """Return the answer remembered for this request; raises if it was another request."""
        if self.key is None:
            return None
        found = await self.services.log.answer_of(self.key)
        if found is None:
            return None
        fingerprint, sealed, position = found
        if not hmac.compare_digest(fingerprint, self.fingerprint):
            raise IdempotencyKeyReused
        try:
            opened = AESGCM(self.seal_key).decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], self.key
            )
        except InvalidTag as error:
            raise IdempotencyKeyReused from error
        return _positioned(_decoder.decode(opened), position).with_headers(
            Idempotency_Replayed="true"
        )

    def _remember(self, answer: Answer) -> Idempotency:
        if self.key is None:
            raise AssertionError  # only called with a key
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self.seal_key).encrypt(nonce, msgspec.msgpack.encode(answer), self.key)
        return Idempotency(key=self.key, fingerprint=self.fingerprint, answer=nonce + sealed)


def key_in(request: Request) -> str | None:
    """Return the key that was sent, None for none; raises `Malformed`."""
    sent = request.headers.getlist(HEADER)
    if not sent:
        return None
    if len(sent) > 1 or KEY.fullmatch(sent[0]) is None:
        raise Malformed(f"{HEADER} has 1 to 255 visible ASCII characters.")
    return sent[0]


def _positioned(answer: Answer, position: int) -> Answer:
    return answer.with_headers(X_Tallyport_Position=str(position))


def _hash(secret: bytes, purpose: str, content: bytes) -> bytes:
    return hmac.new(secret, purpose.encode() + b"\0" + content, hashlib.sha256).digest()
