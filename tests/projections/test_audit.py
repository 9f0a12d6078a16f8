"""The audit list has every fact of the control plane and no secret."""

import msgspec

from commands.api_keys import RevokeApiKey
from projections.audit import AUDIT, public_content
from tests.projections.asking import Gateway, digest, line, rebuild
from tests.wiring import Installation


async def test_every_fact_is_there_in_order_with_who_and_from_where(
    installation: Installation, gateway: Gateway
) -> None:
    anna, bert = await installation.register("anna"), await installation.register("bert")
    context = msgspec.structs.replace(
        anna.context, address="192.0.2.7", correlation_id="req-0000000001"
    )
    created = await installation.create_key(anna)
    await installation.create_key(bert)
    await gateway.serve(line(1))
    await installation.dispatch(RevokeApiKey(key_id=created.key_id, reason="leaked"), context)
    installation.start_views([AUDIT])
    rows = await installation.rows(AUDIT)
    stored = await installation.store.read_all(after=0, limit=100)
    assert [row["position"] for row in rows] == [
        event.position for event in stored if not event.topic.startswith("metering.")
    ]
    last = rows[-1]
    assert last["type"] == "api_keys.ApiKeyRevoked"
    assert last["actor"] == anna.user_id
    assert last["team_id"] == anna.team_id
    assert await installation.address(last["address"]) == "192.0.2.7"
    assert last["correlation_id"] == "req-0000000001"
    assert last["content"] == {"key_id": created.key_id, "reason": "leaked"}
    assert {row["team_id"] for row in rows} == {None, anna.team_id, bert.team_id}


async def test_nothing_secret_or_personal_is_in_it(installation: Installation) -> None:
    anna = await installation.register("anna")
    await installation.create_key(anna)
    await installation.deploy(anna, environment={"TOKEN": "a secret"}, registry_username="robot")
    installation.start_views([AUDIT])
    rows = await installation.rows(AUDIT)
    text = str(rows)
    for secret in ("anna", "example.com", "a secret", "argon2", "sealed:", "secret_hash"):
        assert secret not in text
    [deployed] = [row for row in rows if row["type"] == "deployments.DeploymentRequested"]
    assert deployed["content"]["environment"] == {"TOKEN": "[sealed]"}
    [joined] = [row for row in rows if row["type"] == "identity.UserRegistered"]
    assert joined["content"]["email"] == "[sealed]"


async def test_replaying_twice_gives_the_same_list(installation: Installation) -> None:
    for name in ("anna", "bert"):
        await installation.create_key(await installation.register(name))
    installation.start_views([AUDIT])
    before = await digest(installation, AUDIT)
    await rebuild(installation, AUDIT)
    assert await digest(installation, AUDIT) == before


def test_what_postgres_cannot_keep_is_replaced_and_what_nobody_can_read_is_said() -> None:
    assert public_content(b'{"a\\u0000":["x\\u0000"],"b":1}') == {
        "a\ufffd": ["x\ufffd"],
        "b": 1,
    }
    for unreadable in (b"", b"not JSON", b"[1]", b'"text"', b"[" * 100_000, b'{"a":"\\ud800"}'):
        assert public_content(unreadable) == {"unreadable": True}
