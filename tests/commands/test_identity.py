"""Joining, signing in, staying signed in, signing out: on a real log."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from commands.bus import Bus, Context
from commands.catalogue import HANDLERS
from commands.identity import (
    ChangePassword,
    EmailTaken,
    EndSession,
    RefreshSession,
    RegisterUser,
    SignedIn,
    SignIn,
    UsernameTaken,
    WrongCredentials,
)
from commands.identity.sessions import REFRESH
from commands.work import NOBODY
from domain.identity.session import SessionOver
from domain.identity.values import InvalidUsername
from domain.kernel.errors import NotFound
from infrastructure.link_tokens.hmac import HmacLinkTokens
from infrastructure.passwords.argon2 import Argon2Passwords
from tests.wiring import HASHING, PASSWORD, SECRET, Installation, Person

NO_ONE = Context(actor=NOBODY)


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 3, 14, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    return Clock()  # type: ignore[return-value]


@pytest.fixture
def bus(installation: Installation, clock: Clock) -> Bus:
    """A bus on which time passes only when a test says so."""
    return Bus(
        store=installation.store,
        codec=installation.codec,
        vault=installation.vault,
        passwords=installation.passwords,
        links=installation.links,
        handlers=HANDLERS,
        claim_secret=SECRET,
        clock=clock,
    )


async def sign_in(bus: Bus, email: str = "anna@example.com", password: str = PASSWORD) -> SignedIn:
    signed_in: SignedIn = (
        await bus.dispatch(SignIn(email=email, password=password), NO_ONE)
    ).result
    return signed_in


async def refresh(bus: Bus, token: str) -> SignedIn:
    refreshed: SignedIn = (await bus.dispatch(RefreshSession(refresh_token=token), NO_ONE)).result
    return refreshed


async def test_a_person_joins_with_a_team_of_their_own(installation: Installation) -> None:
    receipt = await installation.dispatch(
        RegisterUser(username="Anna", email=" Anna@Example.com ", password=PASSWORD), NO_ONE
    )
    registered = receipt.result
    assert registered.username == "anna"
    assert registered.email == "Anna@Example.com"
    assert registered.team_id == f"org-{registered.user_id.removeprefix('usr-')}"
    assert await installation.query("SELECT count(*) FROM subject_keys") == [{"count": 2}]


@pytest.mark.parametrize("username", ["anna", "ANNA", " anna ", "\uff41nna"])
async def test_a_username_belongs_to_one_person_however_it_is_written(
    installation: Installation, username: str
) -> None:
    await installation.register("anna")
    with pytest.raises(UsernameTaken):
        await installation.dispatch(
            RegisterUser(username=username, email="b@example.com", password=PASSWORD), NO_ONE
        )


@pytest.mark.parametrize(
    "email", ["anna@example.com", "ANNA@example.COM ", "anna@ex\uff41mple.com"]
)
async def test_an_address_belongs_to_one_person_however_it_is_written(
    installation: Installation, email: str
) -> None:
    await installation.register("anna")
    with pytest.raises(EmailTaken):
        await installation.dispatch(
            RegisterUser(username="bert", email=email, password=PASSWORD), NO_ONE
        )


async def test_a_refused_registration_leaves_the_names_free(installation: Installation) -> None:
    await installation.register("anna")
    with pytest.raises(EmailTaken):
        await installation.dispatch(
            RegisterUser(username="bert", email="anna@example.com", password=PASSWORD), NO_ONE
        )
    with pytest.raises(InvalidUsername):
        await installation.dispatch(
            RegisterUser(username="b", email="bert@example.com", password=PASSWORD), NO_ONE
        )
    await installation.register("bert")


async def test_the_claim_of_a_name_does_not_give_the_name_away(
    installation: Installation,
) -> None:
    await installation.register("anna")
    claims = await installation.query(
        "SELECT originator_id, convert_from(state, 'UTF8') AS state FROM events"
        " WHERE topic ~ 'ValueClaimed'"
    )
    assert len(claims) == 2
    for claim in claims:
        assert claim["originator_id"].startswith("claim-")
        assert "anna" not in claim["originator_id"] + claim["state"]


async def test_who_knows_the_password_is_signed_in(installation: Installation, bus: Bus) -> None:
    anna = await installation.register("anna")
    signed_in = await sign_in(bus, "ANNA@example.com")
    assert (signed_in.user_id, signed_in.username) == (anna.user_id, "anna")
    [event] = await installation.store.read_stream(signed_in.session_id)
    assert signed_in.refresh_token.encode() not in event.data


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("anna@example.com", "wrong"),
        ("anna@example.com", ""),
        ("anna@example.com", PASSWORD + " "),
        ("nobody@example.com", PASSWORD),
        ("", ""),
        ("anna@example.com\0", PASSWORD),
        ("half \ud800", PASSWORD),
        ("anna@example.com", "half \ud800"),
        ("x" * 100_000, PASSWORD),
    ],
)
async def test_a_wrong_address_and_a_wrong_password_get_the_same_answer(
    installation: Installation, bus: Bus, email: str, password: str
) -> None:
    await installation.register("anna")
    before = await installation.store.last_position()
    with pytest.raises(WrongCredentials):
        await sign_in(bus, email, password)
    assert await installation.store.last_position() == before


async def test_each_refresh_token_is_used_once_and_replaced(
    installation: Installation, bus: Bus, clock: Clock
) -> None:
    await installation.register("anna")
    first = await sign_in(bus)
    clock.now += timedelta(minutes=10)
    second = await refresh(bus, first.refresh_token)
    clock.now += timedelta(minutes=10)
    third = await refresh(bus, second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert first.session_id == second.session_id == third.session_id


async def test_a_stolen_token_that_comes_back_ends_the_session_for_everybody(
    installation: Installation, bus: Bus, clock: Clock
) -> None:
    await installation.register("anna")
    first = await sign_in(bus)
    second = await refresh(bus, first.refresh_token)
    clock.now += timedelta(minutes=1)
    assert (await refresh(bus, first.refresh_token)).refresh_token == ""
    with pytest.raises(SessionOver):
        await refresh(bus, second.refresh_token)


async def test_a_hundred_refreshes_at_once_make_one_successor(
    installation: Installation,
) -> None:
    await installation.register("anna")
    buses = [installation.another_bus() for _ in range(2)]
    first = await sign_in(buses[0])
    answers = await asyncio.gather(
        *(refresh(buses[n % 2], first.refresh_token) for n in range(100))
    )
    assert len({answer.refresh_token for answer in answers}) == 1
    assert answers[0].refresh_token != first.refresh_token
    assert len(await installation.store.read_stream(first.session_id)) == 2


async def test_an_answer_that_got_lost_may_be_asked_for_again_within_seconds(
    installation: Installation, bus: Bus, clock: Clock
) -> None:
    await installation.register("anna")
    first = await sign_in(bus)
    second = await refresh(bus, first.refresh_token)
    clock.now += timedelta(seconds=5)
    again = await refresh(bus, first.refresh_token)
    assert again.refresh_token == second.refresh_token
    assert (await refresh(bus, again.refresh_token)).refresh_token


async def test_a_forged_token_is_refused_and_ends_nothing(
    installation: Installation, bus: Bus
) -> None:
    await installation.register("anna")
    first = await sign_in(bus)
    session_id, generation, tag = first.refresh_token.split(".")
    for forged in (
        f"{session_id}.{generation}.{'x' * 43}",
        f"{session_id}.2.{tag}",
        f"{session_id}.0{generation}.{tag}",
        HmacLinkTokens(b"another secret").issue(REFRESH, session_id, "1"),
        HmacLinkTokens(SECRET).issue("reset_password", session_id, "1"),
    ):
        with pytest.raises(WrongCredentials):
            await refresh(bus, forged)
    assert await refresh(bus, first.refresh_token)


async def test_a_process_that_remembers_the_old_password_takes_it_no_more(
    installation: Installation,
) -> None:
    anna = await installation.register("anna")
    here, there = installation.another_bus(), installation.another_bus()
    first = await sign_in(there)
    change = ChangePassword(
        current_password=PASSWORD, new_password="another horse battery", session_id="ses-none"
    )
    await here.dispatch(change, anna.context)
    with pytest.raises(WrongCredentials):
        await sign_in(there)
    with pytest.raises(SessionOver):
        await refresh(there, first.refresh_token)
    assert await sign_in(there, password="another horse battery")


@pytest.mark.parametrize("token", ["", ".", "ses-0000000000.x", "ses-0000000000." + "x" * 43, "\0"])
async def test_a_token_of_nobody_is_refused(
    installation: Installation, bus: Bus, token: str
) -> None:
    del installation
    with pytest.raises(WrongCredentials):
        await refresh(bus, token)


async def test_a_session_ends_after_its_lifetime_and_after_a_week_unused(
    installation: Installation, bus: Bus, clock: Clock
) -> None:
    await installation.register("anna")
    idle, busy = await sign_in(bus), await sign_in(bus)
    for _ in range(5):
        clock.now += timedelta(days=6)
        if clock.now < datetime(2026, 4, 13, 12, tzinfo=UTC):
            busy = await refresh(bus, busy.refresh_token)
    for over in (idle, busy):
        with pytest.raises(SessionOver):
            await refresh(bus, over.refresh_token)


def as_person(person: Person) -> Context:
    return person.context


async def test_signing_out_ends_the_session_and_twice_changes_nothing(
    installation: Installation, bus: Bus
) -> None:
    anna = await installation.register("anna")
    signed_in = await sign_in(bus)
    for _ in range(2):
        await bus.dispatch(EndSession(session_id=signed_in.session_id), as_person(anna))
    assert len(await installation.store.read_stream(signed_in.session_id)) == 2
    with pytest.raises(SessionOver):
        await refresh(bus, signed_in.refresh_token)


async def test_nobody_ends_somebody_elses_session(installation: Installation, bus: Bus) -> None:
    await installation.register("anna")
    bert = await installation.register("bert")
    signed_in = await sign_in(bus)
    with pytest.raises(NotFound):
        await bus.dispatch(EndSession(session_id=signed_in.session_id), as_person(bert))
    assert await refresh(bus, signed_in.refresh_token)


async def test_a_password_is_hashed_anew_when_hashes_are_made_stronger(
    installation: Installation,
) -> None:
    anna = await installation.register("anna")
    stronger = Argon2Passwords(memory_kib=128, passes=1, lanes=1, processes=HASHING)
    installation.passwords, weaker = stronger, installation.passwords
    bus = installation.another_bus()
    await sign_in(bus)
    await sign_in(bus)
    events = await installation.store.read_stream(anna.user_id)
    topics = [event.topic.partition("@")[0] for event in events]
    assert topics == ["identity.UserRegistered", "identity.PasswordRehashed"]
    weaker.close()
    assert await sign_in(bus)
