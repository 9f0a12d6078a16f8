"""Passwords: verified, never kept, and never more at a time than the machine can bear."""

import asyncio
from collections.abc import Iterator

import pytest

from domain.kernel.errors import LimitReached
from infrastructure.passwords.argon2 import Argon2Passwords


@pytest.fixture
def passwords() -> Iterator[Argon2Passwords]:
    made = Argon2Passwords(memory_kib=64, passes=1, lanes=1, parallel=1, waiting_max=3)
    yield made
    made.close()


async def test_the_right_password_is_accepted_and_no_other(passwords: Argon2Passwords) -> None:
    kept = await passwords.hash("correct horse")
    assert kept.startswith("$argon2id$")
    assert "correct" not in kept
    assert await passwords.verify("correct horse", kept)
    for wrong in ("", "Correct horse", "correct horse ", "correct horse\0", "x" * 10_000):
        assert not await passwords.verify(wrong, kept)


async def test_the_same_password_is_hashed_differently_each_time(
    passwords: Argon2Passwords,
) -> None:
    assert await passwords.hash("correct horse") != await passwords.hash("correct horse")


async def test_two_ways_to_write_the_same_letters_are_the_same_password(
    passwords: Argon2Passwords,
) -> None:
    kept = await passwords.hash("caf\u00e9 au lait")
    assert await passwords.verify("cafe\u0301 au lait", kept)


@pytest.mark.parametrize("kept", [None, "", "garbage", "$argon2id$v=19$m=64"])
async def test_nobody_has_no_password(passwords: Argon2Passwords, kept: str | None) -> None:
    assert not await passwords.verify("the password of nobody", kept)


@pytest.mark.parametrize("password", ["half \ud800", "\udfff"])
async def test_half_a_character_is_simply_a_wrong_password(
    passwords: Argon2Passwords, password: str
) -> None:
    kept = await passwords.hash("correct horse")
    assert not await passwords.verify(password, kept)
    assert not await passwords.verify(password, None)


async def test_a_flood_is_told_to_come_back_and_the_rest_is_served(
    passwords: Argon2Passwords,
) -> None:
    outcomes = await asyncio.gather(
        *(passwords.hash("correct horse") for _ in range(20)), return_exceptions=True
    )
    served = [outcome for outcome in outcomes if isinstance(outcome, str)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, LimitReached)]
    assert (len(served), len(refused)) == (4, 16)
    assert await passwords.verify("correct horse", served[0])
