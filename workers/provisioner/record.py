"""What the provisioner remembers between two looks. Losing it costs time, never correctness."""

import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta

from infrastructure.containers import ActualReplica, ReplicaSpec, ReplicaState
from workers.provisioner import DeploymentObservation, DesiredDeployment, ProvisionerOptions
from workers.provisioner.backoff import delay_seconds
from workers.provisioner.health import Health
from workers.provisioner.observe import observe, words_about_end
from workers.provisioner.plan import Action, Drain, Memory, StartFailure, leaving_replicas
from workers.provisioner.traffic import Traffic


class Record:
    """Drains begun, starts failed, ends explained, reports sent."""

    def __init__(self, options: ProvisionerOptions) -> None:
        self.last_reported: dict[str, DeploymentObservation] = {}
        self._options = options
        self._draining: set[str] = set()
        self._drained_at: dict[str, datetime] = {}
        self._start_failures: dict[str, StartFailure] = {}
        self._restarts: dict[str, int] = {}
        self._last_words: dict[str, str] = {}
        self._unknown_since: dict[str, float] = {}
        self._ids: dict[str, set[str]] = {}

    def memory(self, health: Mapping[str, Health], traffic: Traffic) -> Memory:
        """Return what a plan may know."""
        return Memory(
            health=health,
            traffic=traffic,
            drained_at=self._drained_at,
            start_failures=self._start_failures,
            restarts=self._restarts,
            last_words=self._last_words,
        )

    def note(
        self,
        desired: DesiredDeployment,
        actual: Sequence[ActualReplica],
        actions: Sequence[Action],
        memory: Memory,
    ) -> None:
        """Remember what was seen and decided; forget what is gone or stays after all."""
        name = desired.deployment_id
        leaving = {each.engine_id for each in leaving_replicas(desired, actual, memory)}
        staying = {each.engine_id for each in actual} - leaving
        self._draining |= {
            action.replica.engine_id for action in actions if isinstance(action, Drain)
        }
        wanted = {desired.replica_id(number) for number in range(1, desired.replicas + 1)}
        self._restarts.update({each.replica_id: each.restarts for each in actual})
        now_known = {each.engine_id for each in actual} | {each.replica_id for each in actual}
        gone = self._ids.get(name, set()) - now_known - wanted
        self._ids[name] = now_known | wanted
        self._draining -= staying | gone
        for known in (self._drained_at, self._last_words, self._restarts, self._start_failures):
            for each in gone:
                known.pop(each, None)
        for each in staying:
            self._drained_at.pop(each, None)

    def observation(
        self,
        desired: DesiredDeployment,
        actual: Sequence[ActualReplica],
        memory: Memory,
    ) -> DeploymentObservation:
        """Return what is seen of the deployment."""
        return observe(desired, actual, memory, draining=frozenset(self._draining))

    def is_news(self, name: str, observation: DeploymentObservation) -> bool:
        """Return whether this was not the last thing reported."""
        return self.last_reported.get(name) != observation

    def reported(
        self, name: str, observation: DeploymentObservation, actual: Sequence[ActualReplica]
    ) -> None:
        """Remember what was reported; a drain begins when it was."""
        self.last_reported[name] = observation
        now = datetime.now(UTC)
        for replica in actual:
            if replica.engine_id in self._draining:
                self._drained_at.setdefault(replica.engine_id, now)

    def wants_last_words(self, replica: ActualReplica) -> bool:
        """Return whether the replica ended and nobody asked why yet."""
        return replica.state is ReplicaState.EXITED and replica.engine_id not in self._last_words

    def note_end(self, replica: ActualReplica, tail: Sequence[str], *, memory_bytes: int) -> None:
        """Remember why a replica ended."""
        self._last_words[replica.engine_id] = words_about_end(
            replica, tail, memory_bytes=memory_bytes
        )

    def note_start(self, spec: ReplicaSpec) -> None:
        """Forget the failures before a start that worked."""
        self._start_failures.pop(spec.replica_id, None)

    def note_start_failure(self, spec: ReplicaSpec, reason: str) -> None:
        """Remember a start that failed, and when to try again."""
        known = self._start_failures.get(spec.replica_id)
        count = known.count + 1 if known is not None else 1
        wait = timedelta(seconds=delay_seconds(count, key=spec.replica_id))
        self._start_failures[spec.replica_id] = StartFailure(
            count=count, retry_at=datetime.now(UTC) + wait, reason=reason
        )

    def known(self, name: str) -> None:
        """Note that the deployment is a known one."""
        self._unknown_since.pop(name, None)

    def is_orphaned(self, name: str) -> bool:
        """Return whether nobody has known this deployment for long enough to be sure."""
        since = self._unknown_since.setdefault(name, time.monotonic())
        return time.monotonic() - since >= self._options.orphan_seconds

    def forget_all_but(self, names: AbstractSet[str]) -> None:
        """Drop what belongs to deployments that are nowhere any more."""
        for known in (self.last_reported, self._unknown_since, self._ids):
            for name in known.keys() - names:
                del known[name]
