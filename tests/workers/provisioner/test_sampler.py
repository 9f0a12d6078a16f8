"""Sampling: from a driver that plays a script, and from real replicas into a real ClickHouse."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from infrastructure.containers import (
    ActualReplica,
    ContainerDriver,
    EngineUnavailable,
    ReplicaStats,
    Resources,
)
from infrastructure.ending import end
from projections.analytics.samples import ClickHouseSampleSink, SampleQueries
from projections.analytics.schema import create_tables
from tests.images.programs import BUSY_BYTES, IS_BUSY
from tests.infrastructure.clickhouse.process import ClickHouseProcess
from tests.workers.provisioner.scene import until, wanted
from tests.workers.provisioner.test_plan import ended, replica
from workers.provisioner.sampler import ReplicaSample, Sampler, SamplerOptions

SECOND = 1_000_000_000
DESIRED = wanted(replicas=3)
ONE, TWO, THREE = (replica(number, of=DESIRED) for number in (1, 2, 3))
QUICK = SamplerOptions(interval_seconds=1)


def used(at: float, *, cpu: float = 0, memory: int = 1000, network: int | None = 0) -> ReplicaStats:
    """Return what was used until `at`: `cpu` in seconds."""
    return ReplicaStats(
        read_at_ns=int(at * SECOND),
        cpu_ns=int(cpu * SECOND),
        memory_bytes=memory,
        network_in_bytes=network,
        network_out_bytes=None if network is None else network * 2,
    )


class Script:
    """Stands in for a driver: says of each replica what is written, waits, or fails."""

    def __init__(self) -> None:
        self.says: dict[str, ReplicaStats | None] = {}
        self.hangs: set[str] = set()
        self.away = False

    async def stats(self, of: ActualReplica) -> ReplicaStats | None:
        if self.away:
            raise EngineUnavailable("the engine does not answer")
        if of.engine_id in self.hangs:
            await asyncio.Event().wait()
        return self.says[of.engine_id]


class Shelf:
    """Takes samples, unless it is full."""

    def __init__(self) -> None:
        self.samples: list[ReplicaSample] = []
        self.is_full = False
        self.refused = 0

    async def write(self, samples: Sequence[ReplicaSample]) -> None:
        if self.is_full:
            self.refused += 1
            raise ConnectionError("full")
        self.samples.extend(samples)


def sampler_of(
    script: Script,
    *replicas: ActualReplica,
    shelf: Shelf | None = None,
    options: SamplerOptions = QUICK,
) -> Sampler:
    return Sampler(script, lambda: replicas, shelf or Shelf(), options=options)  # type: ignore[arg-type]


async def test_a_sample_is_what_was_used_since_the_one_before() -> None:
    script = Script()
    sampler = sampler_of(script, ONE)
    script.says[ONE.engine_id] = used(100, cpu=50, network=1000)
    assert await sampler.sample(100) == []
    script.says[ONE.engine_id] = used(110, cpu=52.5, memory=7777, network=1500)
    assert await sampler.sample(110) == [
        ReplicaSample(
            at=110,
            team_id=ONE.team_id,
            deployment_id=ONE.deployment_id,
            replica_id=ONE.replica_id,
            cpu_millis=250.0,
            memory_bytes=7777,
            network_in_bytes=500,
            network_out_bytes=1000,
        )
    ]


async def test_a_replica_that_started_since_the_last_round_counts_from_its_start() -> None:
    script, replicas = Script(), [ONE]
    sampler = Sampler(script, lambda: replicas, Shelf(), options=QUICK)  # type: ignore[arg-type]
    script.says[ONE.engine_id] = used(100)
    await sampler.sample(100)
    started = datetime.now(UTC) + timedelta(seconds=1)
    new = msgspec.structs.replace(TWO, started_at=started)
    replicas.append(new)
    script.says[new.engine_id] = used(started.timestamp() + 2, cpu=1, network=30)
    [sample] = [each for each in await sampler.sample(110) if each.replica_id == new.replica_id]
    assert sample.cpu_millis == pytest.approx(500, abs=1)
    assert (sample.network_in_bytes, sample.network_out_bytes) == (30, 60)


async def test_only_what_runs_is_asked_and_what_cannot_be_told_is_left_out() -> None:
    script = Script()
    sampler = sampler_of(script, ONE, TWO, ended(3, of=DESIRED))
    script.says = {ONE.engine_id: used(100, network=None), TWO.engine_id: None}
    await sampler.sample(100)
    script.says[ONE.engine_id] = used(110, network=None)
    [sample] = await sampler.sample(110)
    assert sample.replica_id == ONE.replica_id
    assert (sample.network_in_bytes, sample.network_out_bytes) == (None, None)


async def test_a_clock_that_went_back_gives_no_sample_and_counters_that_did_none_below_zero() -> (
    None
):
    script = Script()
    sampler = sampler_of(script, ONE)
    script.says[ONE.engine_id] = used(100, cpu=9, network=900)
    await sampler.sample(100)
    script.says[ONE.engine_id] = used(90, cpu=10, network=1000)
    assert await sampler.sample(110) == []
    script.says[ONE.engine_id] = used(120, cpu=1, network=10)
    [sample] = await sampler.sample(120)
    assert (sample.cpu_millis, sample.network_in_bytes) == (0, 0)


async def test_a_replica_the_engine_is_silent_about_costs_the_others_nothing() -> None:
    script = Script()
    sampler = sampler_of(script, ONE, TWO, THREE)
    for each in (ONE, TWO, THREE):
        script.says[each.engine_id] = used(100)
    await sampler.sample(100)
    script.hangs = {TWO.engine_id}
    for each in (ONE, TWO, THREE):
        script.says[each.engine_id] = used(110, cpu=1)
    assert {each.replica_id for each in await sampler.sample(110)} == {
        ONE.replica_id,
        THREE.replica_id,
    }
    script.hangs = set()
    script.says = {each.engine_id: used(120, cpu=2) for each in (ONE, TWO, THREE)}
    shares = {each.replica_id: each.cpu_millis for each in await sampler.sample(120)}
    assert shares == {ONE.replica_id: 100, TWO.replica_id: 100, THREE.replica_id: 100}


async def test_an_engine_that_is_away_gives_no_samples_and_then_goes_on() -> None:
    script = Script()
    sampler = sampler_of(script, ONE)
    script.says[ONE.engine_id] = used(100)
    await sampler.sample(100)
    script.away = True
    assert await sampler.sample(110) == []
    script.away = False
    script.says[ONE.engine_id] = used(120, cpu=4)
    [sample] = await sampler.sample(120)
    assert sample.cpu_millis == 200


class Growing(Script):
    """Each time one is asked, a second has passed and some was used."""

    async def stats(self, of: ActualReplica) -> ReplicaStats | None:
        before = self.says.get(of.engine_id) or used(0)
        seconds = before.read_at_ns // SECOND + 1
        self.says[of.engine_id] = used(seconds, cpu=seconds / 10)
        return self.says[of.engine_id]


async def test_samples_that_cannot_be_stored_wait_and_the_newest_stay() -> None:
    shelf = Shelf()
    shelf.is_full = True
    options = SamplerOptions(interval_seconds=1, waiting_max=2)
    sampler = sampler_of(Growing(), ONE, shelf=shelf, options=options)
    running = asyncio.create_task(sampler.run())
    try:
        await until(lambda: shelf.refused >= 3)
        shelf.is_full = False
        await until(lambda: shelf.samples)
    finally:
        await end(running)
    times = [each.at for each in shelf.samples]
    assert len(times) == 2
    assert times == sorted(set(times)), "each round has a time of its own"
    assert {each.cpu_millis for each in shelf.samples} == {100}


@pytest.fixture
async def clickhouse(clickhouse_server: ClickHouseProcess) -> AsyncIterator[ClickHouseClient]:
    client = ClickHouseClient(ClickHouseOptions(url=clickhouse_server.url))
    await create_tables(client)
    yield client
    await client.close()


async def test_what_a_busy_replica_uses_is_read_back_from_clickhouse(
    driver: ContainerDriver, clickhouse: ClickHouseClient
) -> None:
    team_id = f"org-{driver.name}-{time.time_ns()}"
    limits = Resources(cpu_millis=200, memory_bytes=256 * 1024**2)
    desired = wanted(team_id=team_id, image=IS_BUSY).replica(1)
    await driver.start(msgspec.structs.replace(desired, resources=limits))
    replicas = await driver.list_replicas()
    sampler = Sampler(driver, lambda: replicas, ClickHouseSampleSink(clickhouse), options=QUICK)
    queries = SampleQueries(clickhouse)
    running = asyncio.create_task(sampler.run())
    try:
        async with asyncio.timeout(60):
            while True:
                now = datetime.now(UTC)
                found = await queries.newest(desired.deployment_id, team_id=team_id, now=now)
                busy = [each for each in found if each.cpu_millis > 20]
                if busy and busy[0].memory_bytes > BUSY_BYTES:
                    break
                await asyncio.sleep(0.2)
    finally:
        await end(running)
    assert busy[0].replica_id == desired.replica_id
    assert abs(busy[0].at - now.timestamp()) < 60
