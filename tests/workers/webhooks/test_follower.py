"""From the log into the ledger: a message per endpoint and event, once; again when asked for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from commands.deployments import StopDeployment, TransferDeployment
from commands.teams import DeleteTeam
from commands.webhooks import (
    DeleteWebhook,
    ReplayWebhook,
    RetryDelivery,
    SendTestMessage,
)
from tests.workers.webhooks.conftest import Scene

DAY = timedelta(days=1)


async def ledger(scene: Scene) -> list[tuple[str, str]]:
    """Return type and webhook of every message, in the order of the log."""
    await scene.caught_up()
    rows = await scene.installation.query(
        "SELECT event_type, webhook_id FROM webhook_deliveries"
        " ORDER BY position, cursor, webhook_id"
    )
    return [(row["event_type"], row["webhook_id"]) for row in rows]


async def test_each_endpoint_is_told_what_it_asked_for_and_only_of_its_own_team(
    scene: Scene,
) -> None:
    berta = await scene.installation.register("berta")
    made = [
        await scene.make("/all"),
        await scene.make("/keys", "key.*"),
        await scene.make("/gone", "deployment.deleted"),
    ]
    everything, keys, gone = (each.webhook.webhook_id for each in made)
    await scene.installation.deploy(berta, "theirs")
    [key_id] = await scene.keys()
    await scene.revoke(key_id)
    shop = await scene.installation.deploy(scene.anna, "shop")
    scene.start()
    assert sorted(await ledger(scene)) == sorted(
        [
            *(("key.created", each) for each in (everything, keys)),
            *(("key.revoked", each) for each in (everything, keys)),
            ("deployment.created", everything),
        ]
    )
    assert gone not in {webhook for _, webhook in await ledger(scene)}
    posted = await scene.receiver.until(3, "/all")
    bodies = {each["type"]: each for each in (json.loads(one.body) for one in posted)}
    assert set(bodies) == {"key.created", "key.revoked", "deployment.created"}
    told = bodies["deployment.created"]
    assert set(told) == {"type", "timestamp", "data"}
    assert told["data"] == {
        "teamId": scene.anna.team_id,
        "deploymentId": shop.deployment_id,
        "status": "pending",
    }
    assert told["timestamp"].endswith("Z")
    assert bodies["key.created"]["data"] == {"teamId": scene.anna.team_id, "keyId": key_id}


async def test_what_was_so_when_it_happened_decides(scene: Scene) -> None:
    await scene.keys()  # before there was a webhook
    webhook_id = (await scene.make("/hook", "key.created")).webhook.webhook_id
    await scene.change(webhook_id, event_types=("deployment.*",))
    await scene.keys()
    await scene.change(webhook_id, event_types=("key.*",), enabled=False)
    await scene.keys()
    await scene.change(webhook_id, enabled=True)
    [key_id] = await scene.keys()
    scene.start()
    assert await ledger(scene) == [("key.created", webhook_id)]
    [posted] = await scene.receiver.until(1)
    assert json.loads(posted.body)["data"]["keyId"] == key_id


async def told_of(scene: Scene, event_type: str, path: str = "/hook") -> dict[str, Any]:
    """Return what a message of that type said, whenever it comes: the order is not promised."""
    number = 0
    while True:
        number += 1
        for posted in (await scene.receiver.until(number, path))[number - 1 :]:
            told: dict[str, Any] = json.loads(posted.body)
            if told["type"] == event_type:
                return dict(told["data"])


async def test_a_status_is_told_with_the_one_before_also_after_a_new_start(scene: Scene) -> None:
    await scene.make()
    shop = await scene.installation.deploy(scene.anna, "shop")
    scene.start()
    await scene.caught_up()
    await scene.stop()
    stop = StopDeployment(deployment_id=shop.deployment_id)
    await scene.installation.dispatch(stop, scene.anna.context)
    scene.start()
    await scene.caught_up()
    changed = await told_of(scene, "deployment.status.changed")
    assert (changed["previousStatus"], changed["status"]) == ("pending", "stopping")


async def test_both_teams_are_told_of_a_transfer(scene: Scene) -> None:
    team_id = await scene.installation.found_team(scene.anna)
    before = (await scene.make("/before")).webhook.webhook_id
    after = (await scene.make("/after", team_id=team_id)).webhook.webhook_id
    shop = await scene.installation.deploy(scene.anna, "shop")
    transfer = TransferDeployment(deployment_id=shop.deployment_id, team_id=team_id)
    await scene.installation.dispatch(transfer, scene.anna.context)
    scene.start()
    told = await ledger(scene)
    assert ("deployment.transferred", before) in told
    assert ("deployment.transferred", after) in told
    transferred = await told_of(scene, "deployment.transferred", "/after")
    assert transferred["fromTeamId"] == scene.anna.team_id


async def test_reading_the_log_again_from_the_beginning_tells_nobody_twice(scene: Scene) -> None:
    await scene.make()
    await scene.keys(3)
    scene.start()
    await scene.settled(number=3)
    await scene.stop()
    before = await ledger_ids(scene)
    async with scene.installation.pool.connection() as connection:
        await connection.execute("UPDATE webhook_progress SET position = 0")
    scene.start()
    await scene.keys(1)
    await scene.settled(number=4)
    assert before <= await ledger_ids(scene)
    assert len(scene.receiver.at()) == len({each.id for each in scene.receiver.at()}) == 4


async def ledger_ids(scene: Scene) -> set[str]:
    rows = await scene.installation.query("SELECT id FROM webhook_deliveries")
    return {row["id"] for row in rows}


async def test_two_followers_at_once_write_each_message_once(scene: Scene) -> None:
    """One of them is fenced off; in production it starts again and finds where the other is."""
    await scene.make()
    await scene.keys(20)
    scene.forgive()
    scene.start()
    scene.start()
    await scene.until("(SELECT count(*) = 20 FROM webhook_deliveries)")
    assert (
        await scene.installation.query(
            "SELECT cursor FROM webhook_deliveries GROUP BY webhook_id, cursor HAVING count(*) > 1"
        )
        == []
    )


async def test_a_deleted_one_is_told_nothing_more_and_its_messages_are_gone(scene: Scene) -> None:
    made = [await scene.make("/hook"), await scene.make("/other")]
    await scene.keys(2)
    scene.start()
    await scene.settled(number=4)
    delete = DeleteWebhook(webhook_id=made[0].webhook.webhook_id)
    await scene.installation.dispatch(delete, scene.anna.context)
    await scene.keys(1)
    await scene.settled(number=3)
    assert {webhook for _, webhook in await ledger(scene)} == {made[1].webhook.webhook_id}
    assert len(scene.receiver.at("/hook")) == 2


async def test_a_team_that_is_no_more_has_no_endpoints(scene: Scene) -> None:
    team_id = await scene.installation.found_team(scene.anna)
    await scene.make("/theirs", team_id=team_id)
    await scene.make()
    await scene.installation.dispatch(DeleteTeam(team_id=team_id), scene.anna.context)
    scene.start()
    await scene.caught_up()
    [endpoint] = await scene.ledger.endpoints()
    assert endpoint.team_id == scene.anna.team_id


async def test_a_test_is_sent_to_a_disabled_one_too(scene: Scene) -> None:
    webhook_id = (await scene.make()).webhook.webhook_id
    await scene.change(webhook_id, enabled=False)
    scene.start()
    asked = await scene.installation.dispatch(
        SendTestMessage(webhook_id=webhook_id), scene.anna.context
    )
    [posted] = await scene.receiver.until(1)
    assert posted.id == asked.result.delivery_id
    assert json.loads(posted.body)["type"] == "webhook.test"


async def test_a_message_is_sent_again_when_somebody_asks_under_its_own_id(scene: Scene) -> None:
    webhook_id = (await scene.make()).webhook.webhook_id
    await scene.keys()
    scene.start()
    [row] = await scene.settled()
    retry = RetryDelivery(webhook_id=webhook_id, delivery_id=row["id"])
    await scene.installation.dispatch(retry, scene.anna.context)
    first, again = await scene.receiver.until(2)
    assert (first.id, first.body) == (again.id, again.body)
    await scene.until("(SELECT attempts = 2 FROM webhook_deliveries)")


async def test_all_since_a_time_is_replayed_from_the_log_also_what_was_missed(
    scene: Scene,
) -> None:
    started = datetime.now(UTC)
    await scene.keys(2)  # before there was a webhook
    made = await scene.make("/hook", "key.created")
    webhook_id = made.webhook.webhook_id
    scene.start()
    await scene.keys(1)
    [taken] = await scene.settled()
    await scene.change(webhook_id, enabled=False)
    await scene.keys(1)  # while it was disabled
    await scene.change(webhook_id, enabled=True)
    await scene.caught_up()

    replay = ReplayWebhook(webhook_id=webhook_id, since=started - DAY, missed_only=True)
    await scene.installation.dispatch(replay, scene.anna.context)
    await scene.settled(number=4)
    posted = scene.receiver.at()
    assert [each.id for each in posted].count(taken["id"]) == 1

    replay = ReplayWebhook(webhook_id=webhook_id, since=started - DAY)
    await scene.installation.dispatch(replay, scene.anna.context)
    posted = await scene.receiver.until(8)
    assert len({each.id for each in posted}) == 4
    assert {[each.id for each in posted].count(one.id) for one in posted} == {2}
    await scene.until("NOT EXISTS (SELECT FROM webhook_replays)")


async def test_a_replay_has_a_beginning_and_an_end(scene: Scene) -> None:
    [_, wanted, _] = [await scene.keys() for _ in range(3)]
    recorded = await scene.installation.store.read_all(after=0, limit=1000)
    moment = next(e.recorded_at for e in recorded if e.stream_id == wanted[0])
    webhook_id = (await scene.make("/hook", "key.*")).webhook.webhook_id
    scene.start()
    replay = ReplayWebhook(
        webhook_id=webhook_id, since=moment, until=moment + timedelta(microseconds=1)
    )
    await scene.installation.dispatch(replay, scene.anna.context)
    [posted] = await scene.receiver.until(1)
    assert json.loads(posted.body)["data"]["keyId"] == wanted[0]
    await scene.caught_up()
    await scene.until("NOT EXISTS (SELECT FROM webhook_replays)")
    assert len(await ledger_ids(scene)) == 1
