"""One network per team: replicas of one team may call each other, nobody else's.

An engine hands out about thirty networks by itself; beyond them we choose the addresses, so that
hundreds of teams fit.
"""

import ipaddress
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from infrastructure.containers import StartFailed
from infrastructure.containers import docker_request as request

SUBNETS = ipaddress.ip_network("10.192.0.0/12")
SUBNET_PREFIX = 25
ATTEMPTS = 50
FORBIDDEN = 403


class DockerNetworks:
    """The networks of one installation."""

    def __init__(self, installation: str, *, attach: tuple[str, ...]) -> None:
        self.internal = True
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
        for ipam in (None, *self._own_subnets(team_id)):
            try:
                api.create_network(
                    request.network_name(self._installation, team_id),
                    driver="bridge",
                    internal=self.internal,
                    check_duplicate=True,
                    ipam=ipam,
                    labels={
                        request.label("installation"): self._installation,
                        request.label("team"): team_id,
                    },
                )
            except APIError as error:
                if "already exists" in str(error.explanation):
                    return
                if "pool" not in str(error.explanation).lower():
                    raise
                refusal = error
            else:
                return
        raise StartFailed("no address range is left for the team's network") from refusal

    def _own_subnets(self, team_id: str) -> Iterator[IPAMConfig]:
        """Yield address ranges to try, beginning at a place of the team's own."""
        count = 2 ** (SUBNET_PREFIX - SUBNETS.prefixlen)
        first = zlib.crc32(f"{self._installation}/{team_id}".encode())
        size = 2 ** (32 - SUBNET_PREFIX)
        for step in range(ATTEMPTS):
            start = SUBNETS.network_address + ((first + step * 7) % count) * size
            yield IPAMConfig(pool_configs=[IPAMPool(subnet=f"{start}/{SUBNET_PREFIX}")])

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


def _connect(api: docker.APIClient, container: str, network_id: str) -> None:
    try:
        api.connect_container_to_network(container, network_id)
    except APIError as error:
        if "already exists" not in str(error.explanation):
            raise
