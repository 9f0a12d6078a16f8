"""Passwords: verified, never kept, and never more at a time than the machine can bear."""

import asyncio
import contextlib
from collections.abc import Iterator

import pytest
from argon2 import Type, extract_parameters

from bootstrap.settings import Settings
from domain.kernel.errors import LimitReached
from infrastructure.passwords.argon2 import Argon2Passwords
from infrastructure.passwords.argon2_processes import HashingProcesses
from tests.wiring import HASHING


@pytest.fixture
def passwords() -> Iterator[Argon2Passwords]:
    processes = HashingProcesses(1, patience_seconds=0)
    made = Argon2Passwords(memory_kib=64, passes=1, lanes=1, processes=processes, waiting_max=3)
    yield made
    made.close()
    processes.close()


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
    assert {outcome.details["retry_after_seconds"] for outcome in refused} == {1}


async def test_who_is_told_to_come_back_is_told_when_the_queue_will_be_gone() -> None:
    made = Argon2Passwords(memory_kib=64, passes=1, lanes=1, processes=HASHING, waiting_max=198)
    with contextlib.ExitStack() as crowd:
        for _ in range(200):
            crowd.enter_context(made.place())
        with pytest.raises(LimitReached) as refused, made.place():
            pass
    made.close()
    assert refused.value.details["retry_after_seconds"] == 20


async def test_what_is_kept_is_no_weaker_than_recommended() -> None:
    settings = Settings().sessions
    made = Argon2Passwords(
        memory_kib=settings.argon2_memory_kib,
        passes=settings.argon2_time_cost,
        lanes=settings.argon2_parallelism,
        processes=HASHING,
    )
    kept = extract_parameters(await made.hash("correct horse"))
    made.close()
    assert kept.type is Type.ID
    assert (kept.salt_len, kept.hash_len) >= (16, 16)
    # OWASP, ASVS 5.0 appendix C: each pair is a floor.
    floors = [(46 * 1024, 1), (19 * 1024, 2), (12 * 1024, 3)]
    assert any(kept.memory_cost >= memory and kept.time_cost >= passes for memory, passes in floors)


async def test_by_default_fifty_wait_for_a_process_and_the_next_is_told_to_come_back() -> None:
    made = Argon2Passwords(memory_kib=64, passes=1, lanes=1, processes=HASHING)
    outcomes = await asyncio.gather(
        *(made.verify("correct horse", None) for _ in range(60)), return_exceptions=True
    )
    made.close()
    assert outcomes.count(False) == 52
    assert sum(isinstance(outcome, LimitReached) for outcome in outcomes) == 8


async def test_a_hash_made_with_other_parameters_is_outdated(passwords: Argon2Passwords) -> None:
    kept = await passwords.hash("correct horse")
    stronger = Argon2Passwords(memory_kib=128, passes=1, lanes=1, processes=HASHING)
    assert not passwords.is_outdated(kept)
    assert stronger.is_outdated(kept)
    assert await stronger.verify("correct horse", kept)
    stronger.close()


async def test_who_holds_a_place_is_served_and_counts_once(passwords: Argon2Passwords) -> None:
    with contextlib.ExitStack() as others:
        for _ in range(3):
            others.enter_context(passwords.place())
        with passwords.place():
            assert not await passwords.verify("correct horse", None)
            with pytest.raises(LimitReached):
                others.enter_context(passwords.place())
    assert await passwords.hash("correct horse")
