"""A relay in a process of its own that dies at a chosen point: what `kill -9` leaves behind.

Arguments: the log's address, the broker's, the point, and at which publication.
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry

from infrastructure.stream import Outgoing, Place, Span
from infrastructure.stream.kafka_connection import KafkaServers
from infrastructure.stream.kafka_publisher import KafkaPublisher
from tests.kafka.log import open_log
from workers.relay import Relay, RelayLimits, RelayMetrics

POINTS = ("before_produce", "mid_page", "after_produce")
KILLED = 137


class MortalPublisher(KafkaPublisher):
    """Publishes, and dies at the given point of the given publication."""

    def __init__(self, servers: KafkaServers, point: str, at: int) -> None:
        super().__init__(servers)
        self._point = point
        self._left = at

    async def publish(self, records: Sequence[Outgoing]) -> Mapping[Place, Span]:
        self._left -= 1
        if self._left > 0:
            return await super().publish(records)
        if self._point == "mid_page":
            await super().publish(records[: (len(records) + 1) // 2])
        elif self._point == "after_produce":
            await super().publish(records)
        os._exit(KILLED)


async def main(conninfo: str, bootstrap: str, point: str, at: int) -> None:
    assert point in POINTS
    async with open_log(conninfo) as log:
        relay = Relay(
            reader=log.store,
            publisher=MortalPublisher(KafkaServers(bootstrap=bootstrap), point, at),
            conninfo=conninfo,
            metrics=RelayMetrics(CollectorRegistry()),
            limits=RelayLimits(page_size=20, standby_seconds=0.1),
        )
        await relay.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
