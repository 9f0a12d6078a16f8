"""Ask how fast a view is filled anew from 100,000 events.

The events are a believable mixture: people, sessions, keys, deployments with their replicas; and
for the views of requests 100,000 request lines in frames of 500. Each view's runner starts alone,
with no key in memory, and is measured until the view has caught up. The yardstick is reading and
decoding the same events and doing nothing with them. The target is more than 30,000 events a second
for each view.
"""

import asyncio
import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec
import structlog
import uvloop

from domain.api_keys.events import ApiKeyCreated, ApiKeyRevoked
from domain.deployments.events import (
    DeploymentBecameHealthy,
    DeploymentRequested,
    DeploymentScaled,
    ReplicaBecameReady,
    ReplicaStarted,
    ReplicaStopped,
)
from domain.identity.events import SessionEnded, SessionStarted, UserRegistered
from domain.kernel.events import Event
from domain.metering.events import RequestsServed
from domain.metering.values import RequestLine, WorkerLines, encode_lines
from infrastructure.stream import FRAME_TOPIC_PREFIX, Topic, place_of
from projections.catalogue import VIEWS
from projections.view import View
from tests.servers import PostgresServer
from tests.wiring import SCHEMAS, Installation, open_installation

EVENTS = 100_000
LINES_PER_FRAME = 500
PAGE = 5000
STARTED = datetime(2026, 3, 14, tzinfo=UTC)
EXPIRES = datetime(2030, 1, 1, tzinfo=UTC)


def story(number: int) -> list[tuple[str, list[Event]]]:
    """Return the facts of one person: five streams, about twenty events."""
    name = f"{number:010d}"
    team_id, deployment_id, key_id = f"org-{name}", f"dpl-{name}", f"key-{name}"
    deployed: list[Event] = [
        DeploymentRequested(
            deployment_id=deployment_id,
            team_id=team_id,
            app_name=f"app-{number}",
            image="tallyport/echo",
            port=8000,
            replicas=2,
            requested_by=f"usr-{name}",
        ),
        *(ReplicaStarted(replica_id=f"{deployment_id}-{n}", revision=1) for n in range(4)),
        *(
            ReplicaBecameReady(replica_id=f"{deployment_id}-{n}", address="127.0.0.1", port=9000)
            for n in range(4)
        ),
        DeploymentBecameHealthy(ready=4),
        DeploymentScaled(replicas=3, previously=2),
        ReplicaStopped(replica_id=f"{deployment_id}-3"),
        DeploymentBecameHealthy(ready=3),
    ]
    keyed: list[Event] = [
        ApiKeyCreated(
            key_id=key_id,
            team_id=team_id,
            created_by=f"usr-{name}",
            name="a key",
            prefix="tp_live_0000",
            secret_hash=f"{number:064x}",
            scopes=("call:*",),
            requests_per_minute=60,
        ),
        *([ApiKeyRevoked(key_id=key_id, reason="old")] if number % 2 else []),
    ]
    joined: list[Event] = [
        UserRegistered(
            user_id=f"usr-{name}",
            team_id=team_id,
            username=f"user{number}",
            email=f"user{number}@example.com",
            password_hash="$argon2id$",  # noqa: S106 - nobody's
        )
    ]
    sessions: list[tuple[str, list[Event]]] = [
        (
            f"ses-{number:08d}-{n}",
            [
                SessionStarted(
                    session_id=f"ses-{number:08d}-{n}",
                    user_id=f"usr-{name}",
                    refresh_hash="0" * 64,
                    started_at=STARTED,
                    expires_at=EXPIRES,
                    idle_seconds=604_800,
                ),
                SessionEnded(reason="signed out"),
            ],
        )
        for n in range(2)
    ]
    return [(f"usr-{name}", joined), (deployment_id, deployed), (key_id, keyed), *sessions]


def request_frame(number: int) -> RequestsServed:
    """Return one frame of request lines, spread over keys, deployments and hours."""
    lines = [
        RequestLine(
            v=1,
            time=1_773_489_600_000 + number * 60_000 + step,
            request_id=f"req-{number}-{step}",
            pid=77,
            started=1,
            number=step,
            deployment_id=f"dpl-{step % 20:010d}",
            team_id=f"org-{step % 20:010d}",
            key_id=f"key-{step % 50:010d}",
            method="GET",
            path="/",
            status=200,
            bytes_in=100,
            bytes_out=1000,
            total_ms=12,
            connect_ms=1,
            upstream_ms=10,
            ended="--",
            refused="",
            address="192.0.2.7",
        )
        for step in range(LINES_PER_FRAME)
    ]
    return RequestsServed(
        gateway_id="gtw-0000000001",
        log="1.log",
        start_offset=number,
        end_offset=number + 1,
        count=len(lines),
        first_at=lines[0].time,
        last_at=lines[-1].time,
        workers=(WorkerLines(pid=77, started=1, last=0, lines=1),),
        lines=encode_lines(b"".join(msgspec.json.encode(one) + b"\n" for one in lines)),
    )


async def fill(installation: Installation) -> None:
    """Append all events of both kinds."""
    appended = 0
    number = 0
    while appended < EVENTS:
        await installation.vault.create(f"usr-{number:010d}")
        streams = story(number)
        await asyncio.gather(
            *(installation.append(stream_id, *events) for stream_id, events in streams)
        )
        appended += sum(len(events) for _, events in streams)
        number += 1
    for frame in range(EVENTS // LINES_PER_FRAME):
        await installation.append("requests-gtw-0000000001-1", request_frame(frame), after=frame)


async def read_and_decode(installation: Installation) -> float:
    """Return how many control-plane events a second are read and decoded, and nothing else."""
    installation.codec = installation.fresh_codec()
    began = time.perf_counter()
    position = count = 0
    while page := await installation.store.read_all(
        after=position, limit=PAGE, without_data_of=FRAME_TOPIC_PREFIX
    ):
        events = [event for event in page if place_of(event)[0] is Topic.EVENTS]
        await installation.codec.decode_all(events)
        position = page[-1].position
        count += len(events)
    return count / (time.perf_counter() - began)


async def rebuild(installation: Installation, view: View[Any]) -> float:
    """Return how many events a second go into the view."""
    installation.codec = installation.fresh_codec()
    stop = asyncio.Event()
    began = time.perf_counter()
    running = asyncio.create_task(installation.runner(view).run(stop))
    await installation.caught_up([view])
    seconds = time.perf_counter() - began
    stop.set()
    await running
    return EVENTS / seconds


async def measure(server: PostgresServer) -> str:
    """Return the line to print."""
    async with open_installation(server, server.new_database()) as installation:
        await fill(installation)
        parts, rates = [], []
        for view in VIEWS:
            yardstick = await read_and_decode(installation)  # each time: the machine is not alone
            rates.append(await rebuild(installation, view))
            parts.append(f"{view.name} {rates[-1] / 1000:.0f}k ({rates[-1] / yardstick:.2f})")
    return (
        "rebuild, events/s (ratio to only reading and decoding control-plane events):"
        f" {', '.join(parts)}; slowest {min(rates):,.0f}, target 30,000"
    )


def main() -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with PostgresServer(SCHEMAS, durable=True) as server:
        print(uvloop.run(measure(server)))


if __name__ == "__main__":
    main()
