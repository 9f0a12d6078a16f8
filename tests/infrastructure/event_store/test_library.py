"""The same log through the `eventsourcing` library."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
from eventsourcing.persistence import IntegrityError

from domain.deployments.events import DeploymentScaled, DeploymentStopRequested
from domain.identity.events import SessionEnded
from infrastructure.event_store.library import Envelope, EventLog, open_log
from tests.wiring import Installation


@pytest.fixture
def log(installation: Installation) -> Iterator[EventLog]:
    opened = open_log(installation.conninfo, installation.codec)
    yield opened
    opened.close()


def envelope(version: int, replicas: int = 2) -> Envelope:
    event = DeploymentScaled(replicas=replicas, previously=1)
    return Envelope(originator_id="dpl-0000000001", originator_version=version, event=event)


def count(state: int | None, envelopes: Sequence[Envelope]) -> int | None:
    for one in envelopes:
        assert isinstance(one.event, DeploymentScaled)
        state = one.event.replicas
    return state


async def test_what_the_bus_wrote_the_library_reads(
    installation: Installation, log: EventLog
) -> None:
    anna = await installation.register("anna")
    deployment = await installation.deploy(anna)
    [stored] = log.recorder.select_events(deployment.deployment_id)
    assert stored.topic == "deployments.DeploymentRequested@1"
    section = log.notification_log.select(start=1, limit=10)
    ours = await installation.store.read_all(after=0, limit=10)
    assert [notification.id for notification in section] == [event.position for event in ours]


async def test_what_the_library_writes_everybody_reads(
    installation: Installation, log: EventLog
) -> None:
    recordings = log.save(envelope(1), envelope(2, replicas=3))
    assert log.get("dpl-0000000001", count) == 3
    stored = await installation.store.read_stream("dpl-0000000001")
    assert await installation.codec.decode_all(stored) == [envelope(1).event, envelope(2, 3).event]
    assert [event.metadata.actor for event in stored] == ["library", "library"]
    assert [r.notification.id for r in recordings] == [event.position for event in stored]


async def test_a_conflict_with_somebody_elses_append_is_an_integrity_error(
    installation: Installation, log: EventLog
) -> None:
    await installation.append("dpl-0000000001", DeploymentStopRequested())
    with pytest.raises(IntegrityError):
        log.save(envelope(1))
    log.save(envelope(2))
    assert len(await installation.store.read_stream("dpl-0000000001")) == 2


def test_nobody_writes_a_topic_that_is_not_in_the_catalogue(log: EventLog) -> None:
    class Unknown(SessionEnded, frozen=True):
        """Not promised to anybody."""

    unknown = Envelope(originator_id="s", originator_version=1, event=Unknown(reason="x"))
    with pytest.raises(KeyError):
        log.save(unknown)


async def test_a_subscription_of_the_library_is_woken_by_our_appends(
    installation: Installation, log: EventLog
) -> None:
    with log.recorder.subscribe(gt=0) as subscription:
        await installation.append("dpl-0000000001", DeploymentStopRequested())
        notification = await asyncio.to_thread(next, subscription)
    assert notification.topic == "deployments.DeploymentStopRequested@1"
