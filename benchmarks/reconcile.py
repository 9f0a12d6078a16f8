"""How long one pass of the provisioner takes when 500 applications are as they should be.

A pass reads what is wanted (the view's versions, each deployment from the log with its secrets
opened), asks the engine what there is and the gateways what they serve, compares, and finds nothing
to do. The log, the view and the gateways' words are in a real PostgreSQL; the engine is one that
answers from memory, so that its own time is not in the figure. The yardstick is one `SELECT` of
id and version of the 500 from the view, in the same run.
"""

import asyncio
import logging
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
import uvloop

from bootstrap.containers import PROVISIONER, BusReports, LogDesiredState
from bootstrap.core import Core
from bootstrap.traffic import TRAFFIC, TrafficReader, TrafficWriter
from commands.deployments import ReportReplicas
from domain.deployments.values import ReplicaPhase, ReplicaReport
from gateway.traffic import RouteTraffic
from infrastructure.containers import ActualReplica, LogLine, LogPosition, ReplicaState
from projections.deployments import DEPLOYMENTS, read_versions
from projections.news import ViewNews
from tests.servers import PostgresServer
from tests.wiring import SCHEMAS, Installation, open_installation
from workers.provisioner import DesiredDeployment
from workers.provisioner.logs import LogCollector
from workers.provisioner.reconciler import Provisioner

APPLICATIONS, TEAMS = 500, 20
PASSES = 30
SECRETS = {"DATABASE_URL": "postgres://somewhere", "TOKEN": "a secret", "MODE": "production"}


class FakeEngine:
    """An engine that has what it was told."""

    name = "docker"

    def __init__(self) -> None:
        self.replicas: list[ActualReplica] = []

    async def list_replicas(self) -> Sequence[ActualReplica]:
        """Return all of them."""
        return list(self.replicas)

    async def logs(
        self, _replica: ActualReplica, _after: LogPosition
    ) -> AsyncIterator[Sequence[LogLine]]:
        """Write nothing, for ever."""
        await asyncio.Event().wait()
        yield []


class NoSink:
    """Nobody who stores lines."""

    async def write(self, _lines: Sequence[object]) -> None:
        """Forget them."""


def as_wanted(desired: DesiredDeployment, port: int) -> ActualReplica:
    """Return the one replica of a deployment, as it should be."""
    spec = desired.replica(1)
    return ActualReplica(
        replica_id=spec.replica_id,
        engine_id=f"engine-{spec.replica_id}",
        deployment_id=spec.deployment_id,
        team_id=spec.team_id,
        revision=spec.revision,
        config_hash=spec.config_hash,
        restarts=0,
        crashes=0,
        reason=None,
        state=ReplicaState.RUNNING,
        address="127.0.0.1",
        port=port,
    )


async def run_all(installation: Installation, desired: LogDesiredState, port: int) -> FakeEngine:
    """Deploy the applications and say that they run and are served."""
    for number in range(TEAMS):
        anna = await installation.register(f"person-{number}")
        for other in range(APPLICATIONS // TEAMS):
            await installation.deploy(anna, f"app-{number}-{other}", environment=SECRETS)
    installation.start_views()
    await installation.caught_up()
    engine = FakeEngine()
    engine.replicas = [as_wanted(each, port) for each in await desired.read()]
    for replica in engine.replicas:
        report = ReplicaReport(
            replica_id=replica.replica_id,
            revision=1,
            phase=ReplicaPhase.READY,
            address=replica.address,
            port=replica.port,
        )
        command = ReportReplicas(deployment_id=replica.deployment_id, replicas=(report,))
        await installation.dispatch(command, PROVISIONER)
    await installation.caught_up()
    said = {
        replica.deployment_id: RouteTraffic(
            version=9, serving={replica.replica_id: f"127.0.0.1:{port}"}, idle=()
        )
        for replica in engine.replicas
    }
    await TrafficWriter(installation.pool, "bench").write(said, [], afresh=True)
    return engine


async def measure(server: PostgresServer, folder: Path, port: int) -> str:
    """Return the line to print."""
    async with open_installation(server, server.new_database()) as installation:
        bus = installation.another_bus()
        news = ViewNews(installation.conninfo, {DEPLOYMENTS.name, TRAFFIC})
        desired = LogDesiredState(cast("Core", installation), bus, news)
        engine = await run_all(installation, desired, port)
        provisioner = Provisioner(
            cast("Any", engine),
            desired,
            TrafficReader(installation.pool, news),
            BusReports(bus),
            LogCollector(cast("Any", engine), NoSink(), folder / "positions"),
        )
        passes, processor, reads = [], [], []
        for number in range(2 * PASSES):
            began, used = time.perf_counter(), time.process_time()
            await provisioner._look()  # noqa: SLF001 - the loop around it only waits
            await asyncio.gather(*provisioner._settling.values())  # noqa: SLF001 - the same
            if number >= PASSES:  # the first ones load, probe and report
                passes.append((time.perf_counter() - began) * 1000)
                processor.append((time.process_time() - used) * 1000)
            began = time.perf_counter()
            async with installation.pool.connection() as connection:
                await read_versions(connection)
            reads.append((time.perf_counter() - began) * 1000)
        if provisioner.status.actions or provisioner.status.failures:
            raise AssertionError(f"there was something to do: {provisioner.status}")
        await provisioner._monitor.close()  # noqa: SLF001 - as `run` ends it
        await news.close()
    took, yardstick = statistics.median(passes), statistics.median(reads)
    return (
        f"reconcile: {took:.0f} ms for a pass over {APPLICATIONS} applications"
        f" ({took / APPLICATIONS * 1000:.0f} us each, {statistics.median(processor):.0f} ms of"
        f" processor), {took / yardstick:.0f} times one SELECT of their versions"
        f" ({yardstick:.1f} ms)"
    )


def main() -> None:
    """Measure and print."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with (
        PostgresServer(SCHEMAS) as server,
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0), backlog=4096) as listening,
    ):
        # Connections are made by the kernel, so the probes find an open port.
        print(uvloop.run(measure(server, Path(folder), listening.getsockname()[1])))


if __name__ == "__main__":
    main()
