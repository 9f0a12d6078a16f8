"""Keys: made, restricted, revoked; by a person or by another key."""

import hashlib
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from commands.api_keys import RevokeApiKey
from commands.bus import Context
from commands.work import Actor
from domain.api_keys.api_key import ExpiryInThePast
from domain.api_keys.values import looks_like_key
from domain.kernel.errors import NotAllowed, NotFound
from domain.kernel.permissions import UnknownScope
from tests.wiring import Installation, Person


def by_key(person: Person, *scopes: str) -> Person:
    """The person's team, acted for by a key with these scopes."""
    other = msgspec.structs.replace(
        person.context.actor,
        id="key-0000000001",
        user_id=None,
        grants={person.team_id: frozenset(scopes)},
    )
    acting = object.__new__(Person)
    acting.__dict__.update(person.__dict__)
    acting.context = Context(actor=other)
    return acting


async def test_a_key_is_shown_once_and_only_its_hash_is_kept(installation: Installation) -> None:
    anna = await installation.register()
    created = await installation.create_key(anna)
    assert looks_like_key(created.key)
    assert created.key.startswith(created.prefix)
    [event] = await installation.store.read_stream(created.key_id)
    content = msgspec.json.decode(event.data)
    assert content["secret_hash"] == hashlib.sha256(created.key.encode()).hexdigest()
    assert created.key.removeprefix(created.prefix).encode() not in event.data


async def test_no_two_keys_are_equal(installation: Installation) -> None:
    anna = await installation.register()
    made = [await installation.create_key(anna) for _ in range(20)]
    assert len({one.key for one in made}) == len({one.key_id for one in made}) == 20


async def test_a_key_for_one_deployment_calls_only_that(installation: Installation) -> None:
    anna = await installation.register()
    deployment_id = (await installation.deploy(anna)).deployment_id
    created = await installation.create_key(anna, deployment_id=deployment_id)
    assert created.scopes == (f"call:{deployment_id}",)
    created = await installation.create_key(
        anna, deployment_id=deployment_id, scopes=("call:*", "logs:read")
    )
    assert created.scopes == (f"call:{deployment_id}", "logs:read")


async def test_a_key_for_somebody_elses_deployment_is_refused(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    deployment_id = (await installation.deploy(anna)).deployment_id
    with pytest.raises(NotFound):
        await installation.create_key(bert, deployment_id=deployment_id)
    with pytest.raises(NotFound):
        await installation.create_key(bert, deployment_id="dpl-0000000000")


async def test_nobody_makes_a_key_for_somebody_elses_team(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    with pytest.raises(NotFound):
        await installation.create_key(bert, team_id=anna.team_id)


async def test_an_unknown_scope_and_a_past_expiry_are_refused(installation: Installation) -> None:
    anna = await installation.register()
    with pytest.raises(UnknownScope):
        await installation.create_key(anna, scopes=("everything",))
    with pytest.raises(ExpiryInThePast):
        await installation.create_key(anna, expires_at=datetime.now(UTC) - timedelta(seconds=1))


async def test_a_key_gives_away_no_more_than_it_holds(installation: Installation) -> None:
    anna = await installation.register()
    maker = by_key(anna, "keys:write", "logs:read")
    await installation.create_key(maker, scopes=("logs:read",))
    for more in ("admin:*", "call:*", "audit:read"):
        with pytest.raises(NotAllowed):
            await installation.create_key(maker, scopes=(more,))
    administrator = by_key(anna, "admin:*")
    await installation.create_key(administrator, scopes=("admin:*", "call:*"))


async def test_a_key_without_the_scope_makes_and_revokes_none(installation: Installation) -> None:
    anna = await installation.register()
    created = await installation.create_key(anna)
    reader = by_key(anna, "keys:read", "call:*")
    with pytest.raises(NotAllowed):
        await installation.create_key(reader)
    with pytest.raises(NotAllowed):
        await installation.dispatch(RevokeApiKey(key_id=created.key_id), reader.context)


async def test_revoking_twice_is_one_event(installation: Installation) -> None:
    anna = await installation.register()
    created = await installation.create_key(anna)
    for _ in range(2):
        await installation.dispatch(RevokeApiKey(key_id=created.key_id), anna.context)
    assert len(await installation.store.read_stream(created.key_id)) == 2


async def test_nobody_revokes_somebody_elses_key(installation: Installation) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    created = await installation.create_key(anna)
    with pytest.raises(NotFound):
        await installation.dispatch(RevokeApiKey(key_id=created.key_id), bert.context)
    with pytest.raises(NotFound):
        await installation.dispatch(
            RevokeApiKey(key_id=created.key_id), Context(actor=Actor(id="anonymous"))
        )
