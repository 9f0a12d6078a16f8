"""What the provisioner's tests share: wishes that change, an ear for reports and log lines."""

import asyncio
import time
from collections.abc import Callable, Sequence

import msgspec

from domain.deployments.values import ReplicaPhase, ReplicaReport
from workers.provisioner import CollectedLine, DeploymentObservation, DesiredDeployment
from workers.provisioner.traffic import Traffic


class Wishes:
    """The wanted state, in memory."""

    def __init__(self) -> None:
        self.deployments: dict[str, DesiredDeployment] = {}
        self.broken: Exception | None = None
        self._changed = asyncio.Event()

    def want(self, deployment: DesiredDeployment) -> None:
        self.deployments[deployment.deployment_id] = deployment
        self._changed.set()

    def change(self, deployment_id: str = "dpl-1", **fields: object) -> None:
        self.want(msgspec.structs.replace(self.deployments[deployment_id], **fields))

    def forget(self, deployment_id: str) -> None:
        del self.deployments[deployment_id]
        self._changed.set()

    async def read(self) -> Sequence[DesiredDeployment]:
        if self.broken is not None:
            raise self.broken
        return list(self.deployments.values())

    async def wait_for_change(self, timeout_seconds: float) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()


class Attentive(Traffic, frozen=True):
    """A gateway that takes everything over at once, and has no request anywhere."""

    def serves(self, *_: object) -> bool:
        return True

    def has_let_go(self, *_: object) -> bool:
        return True


class Doormen:
    """The gateways, in memory."""

    def __init__(self) -> None:
        self.traffic: Traffic = Attentive()

    async def read(self) -> Traffic:
        return self.traffic


class Ear:
    """Takes reports and log lines."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, DeploymentObservation]] = []
        self.lines: list[CollectedLine] = []
        self.deaf = False

    async def report(self, deployment_id: str, observation: DeploymentObservation) -> None:
        if self.deaf:
            raise ConnectionError("nobody listens")
        self.reports.append((deployment_id, observation))

    async def write(self, lines: Sequence[CollectedLine]) -> None:
        if self.deaf:
            raise ConnectionError("nobody listens")
        self.lines.extend(lines)

    def last(self, deployment_id: str = "dpl-1") -> DeploymentObservation:
        said = [each for name, each in self.reports if name == deployment_id]
        return said[-1] if said else DeploymentObservation()

    def ready(self, deployment_id: str = "dpl-1") -> list[ReplicaReport]:
        replicas = self.last(deployment_id).replicas
        return [each for each in replicas if each.phase is ReplicaPhase.READY]

    def phases(self, deployment_id: str = "dpl-1") -> list[ReplicaPhase]:
        said = [each for name, each in self.reports if name == deployment_id]
        return [replica.phase for observation in said for replica in observation.replicas]

    def first(self, phase: ReplicaPhase, deployment_id: str = "dpl-1") -> ReplicaReport:
        said = [each for name, each in self.reports if name == deployment_id]
        return next(
            replica
            for observation in said
            for replica in observation.replicas
            if replica.phase is phase
        )

    def messages(self, deployment_id: str = "dpl-1") -> list[str]:
        return [line.message for line in self.lines if line.deployment_id == deployment_id]


def wanted(deployment_id: str = "dpl-1", **fields: object) -> DesiredDeployment:
    known: dict[str, object] = {
        "deployment_id": deployment_id,
        "team_id": "team-1",
        "app_name": "hello",
        "image": "tallyport/echo",
        "port": 8080,
        "env": {},
        "replicas": 2,
        "revision": 1,
    }
    return DesiredDeployment(**{**known, **fields})  # type: ignore[arg-type]


async def until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)
