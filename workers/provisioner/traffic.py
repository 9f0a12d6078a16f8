"""What gateways say they do with replicas: when one is served, when one may be stopped."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from infrastructure.containers import ActualReplica
from workers.provisioner import DesiredDeployment


class ReplicasAtGateway(msgspec.Struct, frozen=True, kw_only=True):
    """What one gateway does with one deployment's replicas."""

    version: int
    """How much of the deployment's history it has taken over."""
    serving: Mapping[str, str]
    """The replicas it sends requests to, and where each is."""
    idle: frozenset[str]
    """The draining ones that have no request left."""


class GatewayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one gateway said last."""

    is_alive: bool
    """False when it has been silent for a while; its HAProxy may serve on all the same."""
    deployments: Mapping[str, ReplicasAtGateway] = {}


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """What all gateways said."""

    gateways: tuple[GatewayReport, ...] = ()

    def serves(self, replica: ActualReplica) -> bool:
        """Tell whether there is a gateway, and each that lives sends requests to the replica.

        Said once it stays true: the log names a replica as draining after it named the others as
        ready, and gateways take over the log in its order.
        """
        place = place_of(replica)
        said = [_of(gateway, replica) for gateway in self.gateways if gateway.is_alive]
        return bool(said) and all(
            each is not None and each.serving.get(replica.replica_id) == place for each in said
        )

    def has_let_go(self, replica: ActualReplica, desired: DesiredDeployment) -> bool:
        """Tell whether no gateway sends it anything any more, and none waits for its answer.

        One that is behind what the log says now, or silent, may.
        """
        return all(
            gateway.is_alive
            and (said := _of(gateway, replica)) is not None
            and said.version >= desired.version
            and replica.replica_id in said.idle
            for gateway in self.gateways
        )

    def may_reach(self, replica: ActualReplica) -> bool:
        """Tell whether some gateway sends requests to it, as far as is known."""
        said = [_of(gateway, replica) for gateway in self.gateways]
        return any(each is not None and replica.replica_id in each.serving for each in said)


class Gateways(Protocol):
    """Where it is heard what gateways do."""

    async def read(self) -> Traffic:
        """Return what is said now; raises when nobody can know."""
        ...


def place_of(replica: ActualReplica) -> str:
    """Return where a replica is, as gateways write it."""
    address = str(replica.address)
    return f"[{address}]:{replica.port}" if ":" in address else f"{address}:{replica.port}"


def _of(gateway: GatewayReport, replica: ActualReplica) -> ReplicasAtGateway | None:
    return gateway.deployments.get(replica.deployment_id)
