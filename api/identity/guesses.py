"""Guessing at passwords, kept slow without locking anybody out.

Every attempt is counted twice before the password is looked at: for the account and the network it
comes from, and for the account alone, so that changing one's address does not help. When the
account's own count is full, only networks from which its person has signed in before are let
through: a stranger can use up the others' attempts, never the person's own. Somebody who must come
from a new network meanwhile resets the password, which makes that network known.

An address without an account is counted in the same way, so the answers tell nothing.
"""

import asyncio
import contextlib
import hashlib
import hmac
import math
from collections.abc import AsyncIterator
from time import monotonic

from api.callers import network_of
from api.errors import TooManyRequests
from api.requests import Write
from commands.identity import TooManyGuesses, WrongCredentials
from domain.identity.values import email_identity

GUESSES_WINDOW_SECONDS = 900
MAILS_WINDOW_SECONDS = 60


@contextlib.asynccontextmanager
async def guessing(write: Write, account: str) -> AsyncIterator[int]:
    """Count an attempt at an account's password, unless it turns out right.

    Yields for how many seconds strangers are shut out, 0 for not at all. Raises `TooManyGuesses`
    when this network has guessed too often.
    """
    whole = f"guess:{_hidden(write, account)}"
    here = f"{whole}:{network(write)}"
    if wait_seconds := await _count(write, here, write.options.guesses_per_network):
        raise TooManyGuesses(retry_after_seconds=wait_seconds)
    strangers_wait_seconds = await _count(write, whole, write.options.guesses_per_account)
    wrong = False
    try:
        yield strangers_wait_seconds
    except WrongCredentials:
        wrong = True
        raise
    finally:
        if not wrong:
            await _count(write, here, write.options.guesses_per_network, cost=-1)
            if not strangers_wait_seconds:
                await _count(write, whole, write.options.guesses_per_account, cost=-1)


async def may_be_mailed(write: Write, email: str) -> bool:
    """Count a wish for a mail to an address; tell whether one more is sent.

    Raises `TooManyRequests` for a network that asks too often. That an address had enough mails
    is not told: the wish is answered as always, and the newest mail is on its way already.
    """
    count, limit = write.services.counters.count, write.options.mails_per_minute
    standing = await count(
        f"mails-from:{network(write)}", limit=limit, window_seconds=MAILS_WINDOW_SECONDS, cost=1
    )
    if not standing.allowed:
        wait_seconds = max(1, math.ceil(standing.reset_seconds))
        raise TooManyRequests(headers={"Retry-After": str(wait_seconds)})
    name = f"mails-to:{_hidden(write, email_identity(email))}"
    standing = await count(name, limit=limit, window_seconds=MAILS_WINDOW_SECONDS, cost=1)
    return standing.allowed


@contextlib.asynccontextmanager
async def as_long_as_always(write: Write) -> AsyncIterator[None]:
    """Take the same time whatever was found, so that the time tells nothing."""
    ends_at = monotonic() + write.options.even_answer_seconds
    try:
        yield
    finally:
        await asyncio.sleep(max(0.0, ends_at - monotonic()))


def network(write: Write) -> str:
    """Return from where the request comes, as one stranger is told from another."""
    return network_of(str(write.request.state.address))


async def _count(write: Write, name: str, limit: int, *, cost: int = 1) -> int:
    """Count, and return how many seconds to wait when it was too many already."""
    standing = await write.services.counters.count(
        name, limit=limit, window_seconds=GUESSES_WINDOW_SECONDS, cost=cost
    )
    return 0 if standing.allowed else max(1, math.ceil(standing.reset_seconds))


def _hidden(write: Write, account: str) -> str:
    """Return a name for the account from which the address cannot be read."""
    secret = write.services.secret
    return hmac.digest(secret, b"account\0" + account.encode("utf-8", "replace"), hashlib.sha256)[
        :16
    ].hex()
