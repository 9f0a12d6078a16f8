"""What is asked of the Docker engine: pure functions from a replica to a request.

Nothing here comes from a user but the image, the environment, the port and the limits; all that
decides what a container may do to its host is a constant. `tests/infrastructure/containers` reads
it back from the engine for every container it ever made.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from docker.types import EndpointConfig, HostConfig, LogConfig, NetworkingConfig, Ulimit

from infrastructure.containers import (
    LOG_BYTES_MAX,
    LOG_FILES_MAX,
    ActualReplica,
    NotRunnable,
    ReplicaSpec,
    ReplicaState,
)

API_VERSION = "1.41"
"""The oldest engine that is supported (20.10) speaks this; newer ones understand it."""
PREFIX = "tallyport"
FILES_MAX = 16_384
PROCESSES_MAX = 1_024
"""Of one user, which all replicas of a deployment are: room for four full ones on this engine."""
SCRATCH = "/tmp"  # noqa: S108 - the container's own
USER_IDS = range(20_000, 60_000)

_STATES = {
    "created": ReplicaState.CREATED,
    "running": ReplicaState.RUNNING,
    "paused": ReplicaState.RUNNING,
    "restarting": ReplicaState.RUNNING,
    "exited": ReplicaState.EXITED,
    "dead": ReplicaState.EXITED,
}
_FRACTION = re.compile(r"\.(\d{1,9})")


def label(name: str) -> str:
    """Return the full name of one of our labels."""
    return f"{PREFIX}.{name}"


def container_name(installation: str, replica_id: str) -> str:
    """Return the container's name: the same for the same replica, so a repeat finds it."""
    return f"{PREFIX}-{installation}-{replica_id}"


def network_name(installation: str, team_id: str) -> str:
    """Return the name of a team's own network."""
    return f"{PREFIX}-{installation}-{team_id}"


def user_id(deployment_id: str) -> int:
    """Return the user a deployment's containers run as: never root, and seldom a neighbour's."""
    return USER_IDS[zlib.crc32(deployment_id.encode()) % len(USER_IDS)]


def labels(installation: str, spec: ReplicaSpec) -> dict[str, str]:
    """Return all that a provisioner must know again after it was killed."""
    return {
        label("installation"): installation,
        label("deployment"): spec.deployment_id,
        label("team"): spec.team_id,
        label("app"): spec.app_name,
        label("replica"): spec.replica_id,
        label("revision"): str(spec.revision),
        label("config_hash"): spec.config_hash,
        label("port"): str(spec.port),
        label("image"): spec.image,
        label("restarts"): str(spec.restarts),
        label("crashes"): str(spec.crashes),
        label("reason"): spec.reason or "",
    }


def volumes_of(image: Mapping[str, object]) -> tuple[str, ...]:
    """Return the folders that an inspected image wants to write to."""
    config: dict = image["Config"] or {}  # type: ignore[assignment, type-arg]
    return tuple(sorted(config.get("Volumes") or {}))


def own_check(image: Mapping[str, object], name: str) -> tuple[str, ...]:
    """Return the command that an inspected image names to tell its health."""
    config: dict = image["Config"] or {}  # type: ignore[assignment, type-arg]
    kind, *arguments = (config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    if kind == "CMD" and arguments:
        return tuple(arguments)
    if kind == "CMD-SHELL" and arguments:
        return (*(config.get("Shell") or ("/bin/sh", "-c")), *arguments)
    raise NotRunnable(f"image {name} has no HEALTHCHECK; choose another type of health check")


def create_request(
    installation: str,
    spec: ReplicaSpec,
    *,
    image_id: str,
    network: str,
    publish: bool,
    volumes: Sequence[str] = (),
    check: Sequence[str] = (),
) -> dict[str, object]:
    """Return the arguments of `create_container` for one replica."""
    user = user_id(spec.deployment_id)
    return {
        "name": container_name(installation, spec.replica_id),
        "image": image_id,
        "user": f"{user}:{user}",
        "environment": {
            **spec.env,
            "PORT": str(spec.port),
            "TALLYPORT_REPLICA_ID": spec.replica_id,
            "TALLYPORT_DEPLOYMENT_ID": spec.deployment_id,
        },
        "labels": {
            **labels(installation, spec),
            label("own_check"): msgspec.json.encode(check).decode(),
        },
        "ports": [spec.port] if publish else None,
        "healthcheck": {"test": ["NONE"]},  # the provisioner probes; an image's own is a second one
        "host_config": _host_config(
            spec, user=user, network=network, publish=publish, volumes=volumes
        ),
        "networking_config": NetworkingConfig({network: EndpointConfig(API_VERSION)}),
    }


def _host_config(
    spec: ReplicaSpec, *, user: int, network: str, publish: bool, volumes: Sequence[str]
) -> HostConfig:
    # A mount takes its mode from the image's own folder; owning it makes it writable anyway.
    scratch = (
        f"size={spec.resources.storage_bytes},mode=1777,uid={user},gid={user},noexec,nosuid,nodev"
    )
    return HostConfig(
        API_VERSION,
        privileged=False,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        read_only=True,
        # Memory, also where the image declares a VOLUME: on the disk nobody would bound it.
        tmpfs=dict.fromkeys((SCRATCH, *volumes), scratch),
        ipc_mode="private",
        network_mode=network,
        pids_limit=spec.resources.pids,
        mem_limit=spec.resources.memory_bytes,
        memswap_limit=spec.resources.memory_bytes,
        nano_cpus=spec.resources.cpu_millis * 1_000_000,
        ulimits=ulimits(max(PROCESSES_MAX, 4 * spec.resources.pids)),
        oom_kill_disable=False,
        log_config=LogConfig(
            type="local",
            config={"max-size": f"{LOG_BYTES_MAX >> 20}m", "max-file": str(LOG_FILES_MAX)},
        ),
        restart_policy={"Name": "no"},  # the provisioner restarts, and says why
        auto_remove=False,
        init=True,
        publish_all_ports=False,
        port_bindings={spec.port: ("127.0.0.1", None)} if publish else None,
    )


def ulimits(processes: int = PROCESSES_MAX) -> list[Ulimit]:
    """Return what every process may open and start; it leaves no core behind."""
    return [
        Ulimit(name="nofile", soft=FILES_MAX, hard=FILES_MAX),
        Ulimit(name="nproc", soft=processes, hard=processes),
        Ulimit(name="core", soft=0, hard=0),
    ]


def actual_replica(
    inspected: Mapping[str, object], *, network: str, publish: bool
) -> ActualReplica | None:
    """Return what `inspect` says of one of our containers; None for one that is on its way out."""
    details: dict = inspected  # type: ignore[assignment, type-arg]
    state = _STATES.get(details["State"]["Status"])
    if state is None:
        return None
    found: dict[str, str] = details["Config"]["Labels"]
    address, port = _endpoint(details, network=network, port=int(found[label("port")]))
    if publish:
        address, port = _published(details, port=port)
    running = state is ReplicaState.RUNNING
    return msgspec.structs.replace(
        _labelled(details["Id"], found, image_id=details["Image"]),
        state=state,
        address=address if running else None,
        port=port,
        started_at=parse_time(details["State"]["StartedAt"]),
        finished_at=None if running else parse_time(details["State"]["FinishedAt"]),
        exit_code=details["State"]["ExitCode"] if state is ReplicaState.EXITED else None,
        out_of_memory=bool(details["State"]["OOMKilled"]),
    )


def half_made_replica(listed: Mapping[str, object]) -> ActualReplica | None:
    """Return a container that was never started by what a list says of it; None for any other.

    The engine does not answer `inspect` while it starts the container, and that may be long.
    """
    details: dict = listed  # type: ignore[assignment, type-arg]
    if _STATES.get(details["State"]) is not ReplicaState.CREATED:
        return None
    return _labelled(details["Id"], details["Labels"], image_id=details["ImageID"])


def _labelled(engine_id: str, found: Mapping[str, str], *, image_id: str) -> ActualReplica:
    """Return what the labels say, of a replica that does not run yet."""
    return ActualReplica(
        replica_id=found[label("replica")],
        engine_id=engine_id,
        deployment_id=found[label("deployment")],
        team_id=found[label("team")],
        revision=int(found[label("revision")]),
        config_hash=found[label("config_hash")],
        restarts=int(found[label("restarts")]),
        crashes=int(found[label("crashes")]),
        reason=found[label("reason")] or None,
        state=ReplicaState.CREATED,
        port=int(found[label("port")]),
        image_digest=found.get(label("image"), "").partition("@")[2] or image_id,
        own_check=msgspec.json.decode(found.get(label("own_check"), "[]"), type=tuple[str, ...]),
    )


def _endpoint(details: dict, *, network: str, port: int) -> tuple[str | None, int]:  # type: ignore[type-arg]
    endpoint = details["NetworkSettings"]["Networks"].get(network) or {}
    return endpoint.get("IPAddress") or None, port


def _published(details: dict, *, port: int) -> tuple[str | None, int]:  # type: ignore[type-arg]
    bound = (details["NetworkSettings"]["Ports"] or {}).get(f"{port}/tcp") or []
    return ("127.0.0.1", int(bound[0]["HostPort"])) if bound else (None, port)


def parse_time(text: str) -> datetime | None:
    """Return the engine's time (nanoseconds, or year 1 for never) as ours."""
    if text.startswith("0001-"):
        return None
    micro = _FRACTION.sub(lambda match: "." + match[1].ljust(6, "0")[:6], text)
    return datetime.fromisoformat(micro).astimezone(UTC)
