"""Which servers a home runs, and at which addresses: the one thing the wiring asks for.

Call it inside `async with Supervisor(home)`: ports are chosen when leftovers have ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bootstrap.embedded.clickhouse import clickhouse
from bootstrap.embedded.home import Home
from bootstrap.embedded.kafka import kafka as kafka_broker
from bootstrap.embedded.parts import ProcessSpec
from bootstrap.embedded.ports import assign_ports
from bootstrap.embedded.postgres import postgres
from bootstrap.embedded.valkey import valkey


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedServers:
    """The parts to start, and where they will be. URLs hold passwords: never log them."""

    specs: tuple[ProcessSpec, ...]
    postgres_url: str
    valkey_url: str
    clickhouse_url: str
    kafka_bootstrap: str | None


def servers(
    home: Home, *, kafka: bool = False, postgres_settings: Mapping[str, str] | None = None
) -> EmbeddedServers:
    """Return all embedded servers of a home; the broker only if it is wanted."""
    ports = assign_ports(home, ["postgres", "valkey", "clickhouse", "kafka"])
    postgres_spec, postgres_url = postgres(home, ports["postgres"], settings=postgres_settings)
    valkey_spec, valkey_url = valkey(home, ports["valkey"])
    clickhouse_spec, clickhouse_url = clickhouse(home, ports["clickhouse"])
    specs = [postgres_spec, valkey_spec, clickhouse_spec]
    kafka_bootstrap = None
    if kafka:
        kafka_spec, kafka_bootstrap = kafka_broker(home, ports["kafka"])
        specs.append(kafka_spec)
    return EmbeddedServers(
        specs=tuple(specs),
        postgres_url=postgres_url,
        valkey_url=valkey_url,
        clickhouse_url=clickhouse_url,
        kafka_bootstrap=kafka_bootstrap,
    )
