"""Fixtures for tests that follow the log: PostgreSQL, brokers, and a running relay."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from infrastructure.stream.kafka import KafkaStream, KafkaStreamLimits, KafkaStreamMetrics
from infrastructure.stream.kafka_connection import KafkaServers
from infrastructure.stream.kafka_publisher import KafkaPublisher, KafkaPublisherLimits
from tests.kafka import apache_kafka as apache
from tests.kafka.log import Log, open_log
from tests.kafka.postgres import PostgresServer
from tests.kafka.tansu import Tansu
from workers.relay import Relay, RelayLimits, RelayMetrics

Broker = apache.ApacheKafka | Tansu


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
async def log(postgres_server: PostgresServer) -> AsyncIterator[Log]:
    async with open_log(postgres_server.new_database()) as opened:
        yield opened


@pytest.fixture(scope="session")
def apache_broker() -> Iterator[apache.ApacheKafka]:
    reason = apache.missing()
    if reason is not None:
        if os.environ.get("TALLYPORT_REQUIRE_KAFKA") == "1":
            pytest.fail(f"{reason}, and TALLYPORT_REQUIRE_KAFKA=1")
        pytest.skip(reason)
    broker = apache.ApacheKafka()
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()


@pytest.fixture
def apache_kafka(apache_broker: apache.ApacheKafka) -> apache.ApacheKafka:
    """Apache Kafka, running, with no topics."""
    apache.delete_topics(apache_broker.bootstrap)
    return apache_broker


@pytest.fixture
def tansu() -> Iterator[Tansu]:
    """Tansu, running, empty."""
    broker = Tansu()
    try:
        broker.start()
        yield broker
    finally:
        broker.remove()


@pytest.fixture(params=["apache_kafka", "tansu"])
def broker(request: pytest.FixtureRequest) -> Broker:
    chosen: Broker = request.getfixturevalue(request.param)
    return chosen


class KafkaSide:
    """A broker, seen from a log: streams and relays over it."""

    def __init__(self, log: Log, broker: Broker) -> None:
        self.log = log
        self.broker = broker
        self.servers = KafkaServers(bootstrap=broker.bootstrap, connect_timeout_seconds=2)
        self.stream_metrics = KafkaStreamMetrics(CollectorRegistry())
        self.relay_metrics = RelayMetrics(CollectorRegistry())

    def stream(self, *, patience_seconds: float = 2.0) -> KafkaStream:
        limits = KafkaStreamLimits(patience_seconds=patience_seconds)
        return KafkaStream(self.servers, self.log.store, self.stream_metrics, limits)

    def publisher(self) -> KafkaPublisher:
        return KafkaPublisher(self.servers, KafkaPublisherLimits(delivery_seconds=6))

    def relay(self) -> Relay:
        return Relay(
            reader=self.log.store,
            publisher=self.publisher(),
            conninfo=self.log.conninfo,
            metrics=self.relay_metrics,
            limits=RelayLimits(
                standby_seconds=0.1, cluster_check_seconds=0.5, backoff_seconds_max=0.5
            ),
        )

    def taken(self, source: str) -> float:
        """Return how many events the followers took from `kafka` or from `store`."""
        return sum(
            sample.value
            for metric in self.stream_metrics.events.collect()
            for sample in metric.samples
            if sample.name.endswith("_total") and sample.labels["source"] == source
        )

    def joins(self) -> float:
        return sum(
            sample.value
            for metric in self.stream_metrics.joins.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        )


@asynccontextmanager
async def running(relay: Relay) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(relay.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


@pytest.fixture
def kafka_side(log: Log, broker: Broker) -> KafkaSide:
    return KafkaSide(log, broker)
