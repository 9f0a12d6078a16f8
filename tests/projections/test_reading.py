"""Waiting for a view: nobody waits longer than the view takes."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from domain.deployments.events import DeploymentScaled
from projections.api_keys import API_KEYS
from projections.catalogue import VIEWS
from projections.deployments import DEPLOYMENTS
from projections.reading import Reader, ViewBehind
from projections.usage import REQUEST_TOTALS
from tests.projections.asking import Gateway, line, rebuild
from tests.wiring import Installation

NEVER = 3600.0


@pytest.fixture
async def reader(installation: Installation) -> AsyncIterator[Reader]:
    """A reader that hears of everything and looks for nothing by itself."""
    made = Reader(installation.pool, installation.conninfo, VIEWS, poll_seconds=NEVER)
    listening = asyncio.create_task(made.run(asyncio.Event()))
    await installation.until(
        "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'tallyport reader'"
        " AND datname = current_database() AND query ~ 'LISTEN')"
    )
    yield made
    while not listening.done():
        listening.cancel()
        await asyncio.wait([listening], timeout=1)


async def test_news_that_comes_while_the_position_is_asked_for_is_not_lost(
    installation: Installation, reader: Reader
) -> None:
    installation.start_views([DEPLOYMENTS, API_KEYS])
    for version in range(400):
        position = await installation.append(
            f"dpl-{version % 10:010d}",
            DeploymentScaled(replicas=1, previously=0),
            after=version // 10,
        )
        view = (DEPLOYMENTS, API_KEYS)[version % 2].name
        await reader.wait_for(view, position, timeout_seconds=5)


async def test_a_crowd_that_waits_is_served_together(
    installation: Installation, reader: Reader
) -> None:
    installation.start_views([DEPLOYMENTS])

    async def write_and_wait(number: int) -> None:
        for version in range(10):
            position = await installation.append(
                f"dpl-{number:010d}", DeploymentScaled(replicas=1, previously=0), after=version
            )
            await reader.wait_for(DEPLOYMENTS.name, position, timeout_seconds=10)

    await asyncio.gather(*(write_and_wait(number) for number in range(40)))


async def test_a_view_of_several_partitions_is_waited_for_as_well(
    installation: Installation, reader: Reader
) -> None:
    installation.start_views([REQUEST_TOTALS])
    gateways = [Gateway(installation, f"gtw-{number:010d}") for number in range(5)]
    for number in range(60):
        await gateways[number % 5].serve(line(number))
        position = await installation.store.last_position()
        await reader.wait_for(REQUEST_TOTALS.name, position, timeout_seconds=5)
    assert sum(row["requests"] for row in await installation.rows(REQUEST_TOTALS)) == 60


async def test_what_was_reached_is_still_there_after_a_rebuild(
    installation: Installation, reader: Reader
) -> None:
    installation.start_views([DEPLOYMENTS])
    anna = await installation.register()
    deployment = await installation.deploy(anna)
    position = await installation.store.last_position()
    await reader.wait_for(DEPLOYMENTS.name, position, timeout_seconds=5)
    await rebuild(installation, DEPLOYMENTS)
    await reader.wait_for(DEPLOYMENTS.name, position, timeout_seconds=5)
    [row] = await installation.query("SELECT id FROM views.deployments")
    assert row["id"] == deployment.deployment_id


async def test_who_waits_for_what_does_not_come_is_told_in_time(
    installation: Installation, reader: Reader
) -> None:
    installation.start_views([DEPLOYMENTS])
    await installation.register()
    began = time.monotonic()
    with pytest.raises(ViewBehind):
        await reader.wait_for(DEPLOYMENTS.name, 10**9, timeout_seconds=0.2)
    assert time.monotonic() - began < 2
