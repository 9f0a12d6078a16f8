"""Asks the Docker engine what a container has used, without a thread: one answer, no waiting."""

import httpx
import msgspec

from infrastructure.containers import EngineUnavailable, ReplicaStats
from infrastructure.containers.docker_request import API_VERSION, parse_time

CACHES = ("inactive_file", "total_inactive_file")
"""Read files that the kernel drops when memory is short, in cgroups of version 2 and 1."""


class _CpuUsage(msgspec.Struct, frozen=True):
    total_usage: int = 0


class _Cpu(msgspec.Struct, frozen=True):
    cpu_usage: _CpuUsage = _CpuUsage()


class _Memory(msgspec.Struct, frozen=True):
    usage: int | None = None
    """Missing where the container does not run."""
    stats: dict[str, int] | None = None


class _Network(msgspec.Struct, frozen=True):
    rx_bytes: int = 0
    tx_bytes: int = 0


class _Answer(msgspec.Struct, frozen=True):
    read: str = ""
    cpu_stats: _Cpu = _Cpu()
    memory_stats: _Memory = _Memory()
    networks: dict[str, _Network] | None = None


async def read_stats(client: httpx.AsyncClient, container_id: str) -> ReplicaStats | None:
    """Return what the container has used, None when it does not run or is not there."""
    path = f"/v{API_VERSION}/containers/{container_id}/stats"
    try:
        # Without `one-shot` the engine would wait a second for a sample to compare with.
        answer = await client.get(path, params={"stream": "false", "one-shot": "true"})
    except httpx.HTTPError as error:
        raise EngineUnavailable(f"the engine did not say what is used: {error}") from error
    if answer.status_code in {httpx.codes.NOT_FOUND, httpx.codes.CONFLICT}:
        return None
    if answer.is_error:
        raise EngineUnavailable(f"the engine answered {answer.status_code} for what is used")
    return parse(answer.content)


def parse(content: bytes) -> ReplicaStats | None:
    """Return what the engine's answer says, None when it is about nothing that runs."""
    try:
        found = msgspec.json.decode(content, type=_Answer)
    except msgspec.DecodeError as error:
        raise EngineUnavailable(f"the engine's answer cannot be read: {error}") from error
    held = found.memory_stats.usage
    read_at = parse_time(found.read) if found.read else None
    if held is None or read_at is None:
        return None
    kept = found.memory_stats.stats or {}
    cache = next((kept[name] for name in CACHES if name in kept), 0)
    networks = None if found.networks is None else list(found.networks.values())
    return ReplicaStats(
        read_at_ns=int(read_at.timestamp() * 1_000_000) * 1_000,
        cpu_ns=found.cpu_stats.cpu_usage.total_usage,
        memory_bytes=max(0, held - cache),
        network_in_bytes=None if networks is None else sum(each.rx_bytes for each in networks),
        network_out_bytes=None if networks is None else sum(each.tx_bytes for each in networks),
    )
