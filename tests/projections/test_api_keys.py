"""The keys there are, how much each was used, and what the gateway is told of them."""

from datetime import UTC, datetime, timedelta

from commands.api_keys import RevokeApiKey
from projections.api_keys import API_KEYS, KEY_USAGE
from projections.gateway import KEYS
from tests.projections.asking import NOON, Gateway, at, digest, line, rebuild
from tests.wiring import Installation


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


async def test_replaying_twice_gives_the_same_view(
    installation: Installation, gateway: Gateway
) -> None:
    anna = await installation.register()
    for number in range(5):
        created = await installation.create_key(anna)
        await gateway.serve(line(number, key_id=created.key_id), line(number))
    await installation.dispatch(RevokeApiKey(key_id=created.key_id), anna.context)
    installation.start_views([API_KEYS, KEY_USAGE, KEYS])
    for view in (API_KEYS, KEY_USAGE, KEYS):
        before = await digest(installation, view)
        await rebuild(installation, view)
        assert await digest(installation, view) == before
