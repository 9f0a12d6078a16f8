"""The keys there are, how much each was used, and what the gateway is told of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from commands.api_keys import (
    ChangeApiKey,
    CreatedApiKey,
    FoundKey,
    ReportLeakedKeys,
    RevokeApiKey,
    RotateApiKey,
)
from commands.bus import Context
from commands.metering import NoteKeyUse
from commands.work import Actor
from domain.api_keys.values import hash_of
from projections.api_keys import API_KEYS, KEY_CALLS, KEY_USAGE, key_by_id
from projections.catalogue import VIEWS
from projections.gateway import KEYS
from projections.reading import Reader
from tests.projections.asking import NOON, Gateway, at, digest, line, rebuild
from tests.wiring import Installation, Person

HOUR = timedelta(hours=1)


async def rotate(installation: Installation, person: Person, key: CreatedApiKey) -> str:
    command = RotateApiKey(key_id=key.key_id, grace=HOUR)
    return str((await installation.dispatch(command, person.context)).result.key)


async def change(
    installation: Installation, person: Person, key: CreatedApiKey, **changes: Any
) -> None:
    await installation.dispatch(ChangeApiKey(key_id=key.key_id, **changes), person.context)


async def test_keys_are_listed_without_their_secret_and_with_when_they_were_revoked(
    installation: Installation,
) -> None:
    anna = await installation.register()
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    first = await installation.create_key(
        anna, name="first", description="of two", scopes=("logs:read", "call:*"), expires_at=expires
    )
    second = await installation.create_key(anna, name="second", requests_per_minute=7)
    await installation.dispatch(RevokeApiKey(key_id=second.key_id), anna.context)
    installation.start_views([API_KEYS, KEYS])
    rows = {row["id"]: row for row in await installation.rows(API_KEYS)}
    assert rows.keys() == {first.key_id, second.key_id}
    one, two = rows[first.key_id], rows[second.key_id]
    assert one["scopes"] == ["call:*", "logs:read"]
    assert (one["name"], one["description"], one["prefix"]) == ("first", "of two", first.prefix)
    assert (one["expires_at"], one["revoked_at"]) == (expires, None)
    assert (two["requests_per_minute"], two["version"]) == (7, 2)
    assert two["revoked_at"] >= two["created_at"]
    assert first.key not in str(rows)


async def test_the_gateway_knows_the_keys_that_open_something_and_no_other(
    installation: Installation,
) -> None:
    anna = await installation.register()
    kept = [await installation.create_key(anna, name=str(number)) for number in range(3)]
    installation.start_views([KEYS])
    assert {row["key_id"] for row in await installation.rows(KEYS)} == {k.key_id for k in kept}
    await installation.dispatch(RevokeApiKey(key_id=kept[1].key_id), anna.context)
    left = await installation.rows(KEYS)
    assert {row["key_id"] for row in left} == {kept[0].key_id, kept[2].key_id}
    assert all(len(row["secret_hash"]) == 64 for row in left)


async def test_a_change_of_a_key_is_seen_by_people_and_by_the_gateway_and_of_no_other(
    installation: Installation,
) -> None:
    anna = await installation.register()
    key = await installation.create_key(anna, allowed_cidrs=("192.0.2.0/24",))
    other = await installation.create_key(anna)
    expires = datetime.now(UTC).replace(microsecond=0) + HOUR
    await change(
        installation,
        anna,
        key,
        name="till",
        description="of the shop",
        scopes=("logs:read",),
        expires_at=expires,
        requests_per_minute=7,
        allowed_cidrs=("2001:db8::/32", "10.0.0.0/8"),
    )
    installation.start_views([API_KEYS, KEYS])
    shown = {row["id"]: row for row in await installation.rows(API_KEYS)}
    served = {row["key_id"]: row for row in await installation.rows(KEYS)}
    wanted = {
        "scopes": ["logs:read"],
        "expires_at": expires,
        "requests_per_minute": 7,
        "allowed_cidrs": ["10.0.0.0/8", "2001:db8::/32"],
    }
    for row in (shown[key.key_id], served[key.key_id]):
        assert {name: row[name] for name in wanted} == wanted
    assert (shown[key.key_id]["name"], shown[key.key_id]["version"]) == ("till", 6)
    assert (shown[other.key_id]["name"], shown[other.key_id]["version"]) == ("a key", 1)
    assert served[other.key_id]["allowed_cidrs"] == []


async def test_a_rotated_key_is_found_by_either_secret_and_stays_one_key(
    installation: Installation,
) -> None:
    anna = await installation.register()
    key, other = await installation.create_key(anna), await installation.create_key(anna)
    second = await rotate(installation, anna, key)
    installation.start_views([API_KEYS, KEYS])
    await installation.caught_up([API_KEYS, KEYS])
    for view in (API_KEYS, KEYS):
        row = next(row for row in await installation.rows(view) if key.key_id in row.values())
        assert row["secret_hash"] == hash_of(second)
        assert row["retiring_hash"] == hash_of(key.key)
        assert row["retiring_until"] > datetime.now(UTC)
        assert {row["secret_hash"] for row in await installation.rows(view)} == {
            hash_of(second),
            hash_of(other.key),
        }
    third = await rotate(installation, anna, key)
    for view in (API_KEYS, KEYS):
        row = next(row for row in await installation.rows(view) if key.key_id in row.values())
        assert (row["secret_hash"], row["retiring_hash"]) == (hash_of(third), hash_of(second))


async def test_a_leak_is_seen_and_ends_what_leaked(installation: Installation) -> None:
    anna = await installation.register()
    keys = [await installation.create_key(anna) for _ in range(3)]
    await rotate(installation, anna, keys[0])
    for key, revoke in zip(keys, (True, True, False), strict=True):
        found = FoundKey(key_id=key.key_id, secret_hash=hash_of(key.key), prefix=key.prefix)
        report = ReportLeakedKeys(found=(found,), reported_by="holder", revoke=revoke)
        await installation.dispatch(report, Context(actor=Actor(id="leak report")))
    installation.start_views([API_KEYS, KEYS])
    shown = {row["id"]: row for row in await installation.rows(API_KEYS)}
    assert all(shown[key.key_id]["leaked_at"] is not None for key in keys)
    assert [shown[key.key_id]["revoked_at"] is not None for key in keys] == [False, True, False]
    assert shown[keys[0].key_id]["retiring_hash"] is None
    served = {row["key_id"]: row for row in await installation.rows(KEYS)}
    assert served.keys() == {keys[0].key_id, keys[2].key_id}
    assert served[keys[0].key_id]["retiring_hash"] is None


async def test_use_of_a_key_is_counted_over_all_gateways(
    installation: Installation, gateway: Gateway
) -> None:
    other = Gateway(installation, "gtw-0000000002")
    installation.start_views([KEY_USAGE])
    await gateway.serve(line(1), line(2, key_id="key-0000000002", time=at(1)), line(3, key_id=""))
    await other.serve(line(1, time=at(3)), line(2, time=at(2)))
    await gateway.serve(line(4, time=at(-5)), line(5, status=429, refused="rate_limited"))
    await gateway.serve()
    rows = {row["key_id"]: row for row in await installation.rows(KEY_USAGE)}
    assert {key: row["requests"] for key, row in rows.items()} == {
        "key-0000000001": 5,
        "key-0000000002": 1,
    }
    assert rows["key-0000000001"]["last_used"] == NOON + timedelta(hours=3)
    assert rows["key-0000000002"]["last_used"] == NOON + timedelta(hours=1)


async def test_a_key_was_last_used_when_either_the_gateway_or_the_rest_api_saw_it_last(
    installation: Installation, gateway: Gateway
) -> None:
    anna = await installation.register()
    keys = [(await installation.create_key(anna)).key_id for _ in range(4)]
    await gateway.serve(line(1, key_id=keys[0]), line(2, key_id=keys[1]))
    noted = Context(actor=Actor(id="api"))
    for minute, key_ids in (
        (NOON + HOUR, (keys[0], keys[2])),
        (NOON - HOUR, (keys[1], keys[2])),  # another process, a little late
    ):
        await installation.dispatch(NoteKeyUse(at=minute, key_ids=key_ids), noted)
    installation.start_views([API_KEYS, KEY_USAGE, KEY_CALLS])
    await installation.caught_up([API_KEYS, KEY_USAGE, KEY_CALLS])
    reader = Reader(installation.pool, installation.conninfo, VIEWS)
    used = {}
    for key_id in keys:
        key = await key_by_id(reader, key_id, team_ids=[anna.team_id])
        assert key is not None
        used[key_id] = (key.last_used, key.request_count)
    assert used == {
        keys[0]: (NOON + HOUR, 1),
        keys[1]: (NOON, 1),
        keys[2]: (NOON + HOUR, 0),
        keys[3]: (None, 0),
    }


async def test_replaying_twice_gives_the_same_view(
    installation: Installation, gateway: Gateway
) -> None:
    anna = await installation.register()
    for number in range(5):
        created = await installation.create_key(anna)
        await gateway.serve(line(number, key_id=created.key_id), line(number))
        await rotate(installation, anna, created)
        await change(installation, anna, created, requests_per_minute=number + 1)
    await installation.dispatch(RevokeApiKey(key_id=created.key_id), anna.context)
    installation.start_views([API_KEYS, KEY_USAGE, KEYS])
    for view in (API_KEYS, KEY_USAGE, KEYS):
        before = await digest(installation, view)
        await rebuild(installation, view)
        assert await digest(installation, view) == before
