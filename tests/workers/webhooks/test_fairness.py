"""Places and turns: an endpoint that takes nothing is nobody else's trouble."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from commands.bus import Command
from commands.webhooks import RetryDelivery, SendTestMessage
from infrastructure.webhooks import Due, Endpoint, Message
from tests.webhook_receiver import Posted, answering
from tests.workers.webhooks.conftest import Scene
from workers.webhooks.sender import in_turn


async def test_a_dead_endpoint_has_one_place_and_delays_nobody(scene: Scene) -> None:
    """The dead one answers nothing while all of the other's messages are taken."""
    release = asyncio.Event()

    async def never(_: Posted, __: asyncio.StreamWriter) -> None:
        await release.wait()

    dead = (await scene.make("/dead")).webhook.webhook_id
    await scene.make("/well")
    scene.receiver.answers["/dead"] = never
    async with scene.installation.pool.connection() as connection:
        scene.start(at_once_max=4, per_endpoint_max=2)
        await scene.caught_up()
        await connection.execute(
            "UPDATE webhook_endpoints SET failing_since = now() WHERE webhook_id = %s", (dead,)
        )
    await scene.keys(20)
    await scene.receiver.until(20, "/well")
    await scene.settled(number=20)
    assert len(scene.receiver.at("/dead")) == 1
    release.set()


async def test_many_dead_endpoints_leave_half_of_the_places_to_the_others(scene: Scene) -> None:
    release = asyncio.Event()

    async def never(_: Posted, __: asyncio.StreamWriter) -> None:
        await release.wait()

    for number in range(6):
        await scene.make(f"/dead{number}")
        scene.receiver.answers[f"/dead{number}"] = never
    scene.start(at_once_max=4, per_endpoint_max=2)
    await scene.caught_up()
    async with scene.installation.pool.connection() as connection:
        await connection.execute("UPDATE webhook_endpoints SET failing_since = now()")
    await scene.make("/well")
    await scene.keys(10)
    await scene.receiver.until(10, "/well")
    dead = [each for each in scene.receiver.posted if each.path.startswith("/dead")]
    assert len(dead) == 2
    release.set()


async def test_one_endpoint_gets_only_so_much_at_once(scene: Scene) -> None:
    async def slowly(posted: Posted, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        await answering(200)(posted, writer)

    await scene.make()
    scene.receiver.answers["/hook"] = slowly
    await scene.keys(12)
    scene.start(per_endpoint_max=3)
    await scene.settled(number=12)
    assert 1 <= scene.receiver.under_way_most <= 3
    assert len(scene.receiver.at()) == 12


async def test_who_has_not_failed_yet_leaves_the_last_places_to_first_messages(
    scene: Scene,
) -> None:
    """The silent one has not failed once while all of the other's messages are taken."""
    release = asyncio.Event()

    async def never(_: Posted, __: asyncio.StreamWriter) -> None:
        await release.wait()

    await scene.make("/silent")
    scene.receiver.answers["/silent"] = never
    await scene.keys(8)
    scene.start(at_once_max=4, per_endpoint_max=8, unproven_share=0.75)
    await scene.receiver.until(3, "/silent")
    await scene.make("/well")
    await scene.keys(10)
    await scene.receiver.until(10, "/well")
    assert len(scene.receiver.at("/silent")) == 3
    release.set()


async def due(
    scene: Scene, *, at: datetime, busy: Mapping[str, int], limit: int = 100, failing: bool = False
) -> list[Due]:
    return [
        *await scene.ledger.due(
            now=at, limit=limit, per_endpoint=3, under_way=[], busy=busy, failing=failing
        )
    ]


def test_who_takes_messages_goes_before_those_not_known_and_of_them_who_waited_least() -> None:
    def due_at(webhook_id: str, position: int) -> Due:
        message = Message(
            delivery_id=f"{webhook_id}-{position}",
            webhook_id=webhook_id,
            cursor=f"{position}.0",
            position=position,
            event_type="key.created",
            body="{}",
        )
        endpoint = Endpoint(
            webhook_id=webhook_id, team_id="t", url="u", event_types=("*",), secret="s"
        )
        return Due(message=message, endpoint=endpoint, tries=0)

    found = [due_at(*each) for each in (("old", 1), ("new", 3), ("well", 4), ("old", 2))]
    turns = [due.message.delivery_id for due in in_turn(found, {"well"})]
    assert turns == ["well-4", "new-3", "old-1", "old-2"]


async def test_every_endpoint_has_its_turn_before_any_has_a_second(scene: Scene) -> None:
    """The first one's messages have all waited longer than the other's."""
    first = (await scene.make("/first")).webhook.webhook_id
    await scene.keys(5)
    second = (await scene.make("/second")).webhook.webhook_id
    await scene.keys(2)
    scene.start(at_once_max=0)
    await scene.caught_up()
    at = datetime.now(UTC) + timedelta(minutes=1)

    async def turns(**busy: int) -> list[str]:
        names = {"first": first, "second": second}
        counted = {names[name]: number for name, number in busy.items()}
        found = await due(scene, at=at, busy=counted)
        return ["first" if each.endpoint.webhook_id == first else "second" for each in found]

    assert await turns() == ["first", "second", "first", "second", "first"]
    assert await turns(first=1) == ["second", "first", "second", "first"]
    assert await turns(first=3) == ["second", "second"]


async def test_who_takes_nothing_is_left_alone_the_longer_it_goes_on(scene: Scene) -> None:
    at = datetime.now(UTC) + timedelta(minutes=1)
    await failing(scene, keys=4)
    for minutes, seconds in ((0, 1), (5, 30), (60 * 24, 60)):
        await scene.installation.as_admin(
            "UPDATE webhook_endpoints SET failing_since = %s, rests_until = NULL",
            at - timedelta(minutes=minutes),
        )
        tried = len(scene.receiver.at("/dead"))
        scene.start(clock=lambda: at)
        until = at + timedelta(seconds=seconds)
        await scene.until("(SELECT rests_until = %s FROM webhook_endpoints)", until)
        await scene.stop()
        assert len(scene.receiver.at("/dead")) == tried + 1
        assert await due(scene, at=at, busy={}, failing=True) == []
        assert await scene.ledger.next_due(after=at) == until


async def test_what_somebody_asks_for_goes_first_and_ends_the_rest(scene: Scene) -> None:
    at = datetime.now(UTC) + timedelta(minutes=1)
    webhook_id = await failing(scene, keys=5)
    scene.start(at_once_max=0)

    async def first_after(command: Command) -> Message:
        await scene.installation.as_admin(
            "UPDATE webhook_endpoints SET failing_since = now(), rests_until = %s",
            at + timedelta(hours=1),
        )
        assert await due(scene, at=at, busy={}, failing=True) == []
        await scene.installation.dispatch(command, scene.anna.context)
        await scene.caught_up()
        return (await due(scene, at=at, busy={}, failing=True))[0].message

    asked = await first_after(SendTestMessage(webhook_id=webhook_id))
    assert asked.event_type == "webhook.test"
    [*_, last, _test] = await scene.settled("pending", number=6)
    retry = RetryDelivery(webhook_id=webhook_id, delivery_id=last["id"])
    assert (await first_after(retry)).delivery_id == last["id"]


async def failing(scene: Scene, *, keys: int) -> str:
    """Make a webhook that takes nothing, with messages that wait; return its id."""
    made = await scene.make("/dead")
    scene.receiver.answers["/dead"] = answering(500)
    await scene.keys(keys)
    scene.start(at_once_max=0)
    await scene.caught_up()
    await scene.stop()
    return made.webhook.webhook_id
