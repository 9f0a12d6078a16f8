"""One network per team: replicas of one team may call each other, nobody else's.

We choose the addresses: an engine hands out about thirty networks by itself, and hundreds of teams
must fit. An internal network's way out is an address that nobody has. So it leads nowhere, also on
an engine that sets no firewall rules; the engine's own promise is such a rule and no more.
"""

import ipaddress
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from infrastructure.containers import StartFailed
from infrastructure.containers import docker_request as request

SUBNETS = ipaddress.IPv4Network("10.192.0.0/12")
SUBNET_PREFIX = 25
ATTEMPTS = 50
FORBIDDEN = 403
NOWHERE = "DefaultGatewayIPv4"
"""The engine's name for the address that a network's members send everything else to."""
ALONE = "com.docker.network.bridge.enable_icc"
TAKEN = ("pool", "overlap")
ROUTES = Path("/proc/net/route")
ROUTE_FIELDS = 8


class DockerNetworks:
    """The networks of one installation."""

    def __init__(
        self,
        installation: str,
        *,
        attach: tuple[str, ...] = (),
        internal: bool = True,
        neighbours_meet: bool = True,
    ) -> None:
        """Let members leave unless `internal`, and call each other if `neighbours_meet`."""
        self.internal = internal
        self._neighbours_meet = neighbours_meet
        self._installation = installation
        self._attach = attach
        self._lock = threading.Lock()

    def ensure(self, api: docker.APIClient, team_id: str) -> str:
        """Make the team's network where it is missing; return its name."""
        name = request.network_name(self._installation, team_id)
        with self._lock:
            found = self._find(api, team_id)
            if not found:
                self._create(api, team_id)
                found = self._find(api, team_id)
            for container in self._attach:
                _connect(api, container, found[0]["Id"])
        return name

    def remove_if_unused(self, api: docker.APIClient, team_id: str) -> None:
        """Remove the team's network unless a replica is on it."""
        with self._lock:
            for network in self._find(api, team_id):
                self._remove(api, network["Id"])

    def remove_all(self, api: docker.APIClient) -> None:
        """Remove every unused network of this installation."""
        with self._lock:
            for network in api.networks(filters={"label": self._label()}):
                self._remove(api, network["Id"])

    def _label(self) -> str:
        return f"{request.label('installation')}={self._installation}"

    def _find(self, api: docker.APIClient, team_id: str) -> list[dict[str, Any]]:
        ours = [self._label(), f"{request.label('team')}={team_id}"]
        found = api.networks(filters={"label": ours})
        return sorted(found, key=lambda network: (network["Created"], network["Id"]))

    def _create(self, api: docker.APIClient, team_id: str) -> None:
        refusal: APIError | None = None
        for ipam in self._own_subnets(team_id):
            try:
                api.create_network(
                    request.network_name(self._installation, team_id),
                    driver="bridge",
                    internal=self.internal,
                    check_duplicate=True,
                    ipam=ipam,
                    options=None if self._neighbours_meet else {ALONE: "false"},
                    labels={
                        request.label("installation"): self._installation,
                        request.label("team"): team_id,
                    },
                )
            except APIError as error:
                if "already exists" in str(error.explanation):
                    return
                if not any(word in str(error.explanation).lower() for word in TAKEN):
                    raise
                refusal = error
            else:
                return
        raise StartFailed("no address range is left for the team's network") from refusal

    def _own_subnets(self, team_id: str) -> Iterator[IPAMConfig]:
        """Yield address ranges to try, beginning at a place of the team's own."""
        places = 2 ** (SUBNET_PREFIX - SUBNETS.prefixlen)
        size = 2 ** (32 - SUBNET_PREFIX)
        first = zlib.crc32(f"{self._installation}/{team_id}".encode())
        taken = routed_networks()
        for step in range(ATTEMPTS):
            start = SUBNETS.network_address + ((first + step * 7) % places) * size
            subnet = ipaddress.IPv4Network((start, SUBNET_PREFIX))
            if not any(subnet.overlaps(other) for other in taken):
                yield IPAMConfig(pool_configs=[self._pool(subnet)])

    def _pool(self, subnet: ipaddress.IPv4Network) -> IPAMPool:
        nobody = {NOWHERE: str(subnet.broadcast_address - 1)}
        return IPAMPool(
            subnet=str(subnet),
            gateway=str(subnet.network_address + 1),
            aux_addresses=nobody if self.internal else None,
        )

    def _remove(self, api: docker.APIClient, network_id: str) -> None:
        try:
            members = api.inspect_network(network_id)["Containers"] or {}
            names = {member["Name"] for member in members.values()}
            if names <= set(self._attach):
                for container in names:
                    api.disconnect_container_from_network(container, network_id)
            api.remove_network(network_id)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != FORBIDDEN:  # in use, so it stays
                raise


def routed_networks(table: Path = ROUTES) -> list[ipaddress.IPv4Network]:
    """Return the networks that this machine has its own way to; empty where it does not say."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return []
    found = []
    for fields in (line.split() for line in lines):
        if len(fields) >= ROUTE_FIELDS:
            address, mask = (int.from_bytes(bytes.fromhex(fields[at])[::-1]) for at in (1, 7))
            network = ipaddress.IPv4Network((address, mask.bit_count()), strict=False)
            if network.prefixlen:
                found.append(network)
    return found


def _connect(api: docker.APIClient, container: str, network_id: str) -> None:
    try:
        api.connect_container_to_network(container, network_id)
    except APIError as error:
        if "already exists" not in str(error.explanation):
            raise
