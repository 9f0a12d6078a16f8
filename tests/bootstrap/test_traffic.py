"""What gateways say, through PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection

import pytest

from bootstrap.traffic import FORGOTTEN_SECONDS, SILENT_SECONDS, TRAFFIC, TrafficReader
from bootstrap.traffic import TrafficWriter as Writer
from gateway.traffic import RouteTraffic
from infrastructure.containers import ActualReplica, ReplicaState
from projections.news import ViewNews
from projections.tables import KEYS_TOLD_MAX
from tests.wiring import Installation
from tests.workers.provisioner.scene import wanted
from workers.provisioner.traffic import Traffic

REPLICA = ActualReplica(
    replica_id="dpl-1-1-1",
    engine_id="e",
    deployment_id="dpl-1",
    team_id="team-1",
    revision=1,
    config_hash="",
    restarts=0,
    crashes=0,
    reason=None,
    state=ReplicaState.RUNNING,
    address="fd00::2",
    port=8080,
)
SERVED = RouteTraffic(version=3, serving={REPLICA.replica_id: "[fd00::2]:8080"}, idle=())
LET_GO = RouteTraffic(version=4, serving={}, idle=(REPLICA.replica_id,))


class Desk:
    """The provisioner's side, and two gateways."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.news = ViewNews(installation.conninfo, {TRAFFIC})
        self.reader = TrafficReader(installation.pool, self.news)
        self.first, self.second = (Writer(installation.pool, name) for name in ("one", "two"))

    async def until(self, condition: Callable[[Traffic], bool]) -> None:
        """Read each time news come, until it is so."""
        async with asyncio.timeout(30):
            while not condition(await self.reader.read()):
                await self.news.wait(5)

    async def let_pass(self, gateway: str, seconds: float) -> None:
        """Let it be so long ago that a gateway was seen."""
        async with self.installation.pool.connection() as connection:
            await connection.execute(
                "UPDATE gateways SET seen_at = seen_at - %s * interval '1 second'"
                " WHERE gateway_id = %s",
                (seconds, gateway),
            )


@pytest.fixture
async def desk(installation: Installation) -> AsyncIterator[Desk]:
    made = Desk(installation)
    yield made
    await made.news.close()


def is_served(said: Traffic) -> bool:
    return said.serves(REPLICA)


def is_not_served(said: Traffic) -> bool:
    return not said.serves(REPLICA)


def is_let_go(said: Traffic, version: int = 4) -> bool:
    return said.has_let_go(REPLICA, wanted(version=version))


async def test_a_replica_is_served_and_let_go_when_both_gateways_say_so(desk: Desk) -> None:
    await desk.until(is_not_served)
    await desk.first.write({"dpl-1": SERVED}, [], afresh=True)
    await desk.until(is_served)
    await desk.second.write({"dpl-2": SERVED}, [], afresh=True)
    await desk.until(is_not_served)
    await desk.second.write({"dpl-1": SERVED}, [], afresh=False)
    await desk.until(is_served)
    await desk.first.write({"dpl-1": LET_GO}, [], afresh=False)
    await desk.until(is_not_served)
    said = await desk.reader.read()
    assert said.may_reach(REPLICA)
    assert not is_let_go(said)
    await desk.second.write({"dpl-1": LET_GO}, [], afresh=False)
    await desk.until(is_let_go)
    said = await desk.reader.read()
    assert not is_let_go(said, version=5)
    assert not said.may_reach(REPLICA)


async def test_a_silent_gateway_is_not_waited_for_with_what_is_new_and_later_forgotten(
    desk: Desk,
) -> None:
    await desk.first.write({"dpl-1": SERVED}, [], afresh=True)
    await desk.second.write({"dpl-2": SERVED}, [], afresh=True)
    await desk.until(lambda said: len(said.gateways) == 2 and is_not_served(said))
    await desk.let_pass("two", SILENT_SECONDS)
    await desk.until(is_served)
    await desk.first.write({"dpl-1": LET_GO}, [], afresh=False)
    await desk.until(is_not_served)
    assert not is_let_go(await desk.reader.read())
    await desk.let_pass("two", FORGOTTEN_SECONDS)
    await desk.until(is_let_go)
    await desk.second.write({}, [], afresh=False)
    assert not is_let_go(await desk.reader.read())


async def test_what_a_gateway_says_afresh_replaces_all_that_it_said(desk: Desk) -> None:
    many = {f"dpl-{number}": SERVED for number in range(KEYS_TOLD_MAX + 5)}

    async def until_said(names: Collection[str]) -> None:
        await desk.until(lambda said: set(said.gateways[0].deployments) == set(names))

    await desk.first.write(many, [], afresh=False)
    await until_said(many)
    await desk.first.write({}, ["dpl-0"], afresh=False)
    await until_said(many.keys() - {"dpl-0"})
    await desk.first.write({"dpl-1": LET_GO}, [], afresh=True)
    await until_said({"dpl-1"})
