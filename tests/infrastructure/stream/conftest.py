from tests.kafka.fixtures import (
    apache_broker,
    apache_kafka,
    broker,
    kafka_side,
    log,
    postgres_server,
    tansu,
)

__all__ = [
    "apache_broker",
    "apache_kafka",
    "broker",
    "kafka_side",
    "log",
    "postgres_server",
    "tansu",
]
