"""What every container of the platform must be, by `docker inspect`: no exception, in no test."""

from collections.abc import Mapping
from typing import Any

from infrastructure.containers.docker import DockerDriver

LABELS = {"installation", "deployment", "team", "replica", "revision", "config_hash"}
OURS = {"TALLYPORT_REPLICA_ID", "TALLYPORT_DEPLOYMENT_ID"}
ULIMITS = {"nofile": 16_384, "core": 0}
PROCESSES_MAX = 1_024
LOGS = {"Type": "local", "Config": {"max-size": "10m", "max-file": "3"}}
MOUNT_FLAGS = {"noexec", "nosuid", "nodev"}


class InspectedDocker(DockerDriver):
    """A driver each of whose containers is looked at before it runs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.inspected = 0
        self.deviations: list[str] = []

    def _start_container(self, container_id: str) -> None:
        details = self._api().inspect_container(container_id)
        self.deviations += deviations(details)
        self.inspected += 1
        super()._start_container(container_id)


def build_deviations(details: Mapping[str, Any]) -> list[str]:
    """Return in what an inspected container of a build differs from what all must be.

    An engine lets a build say less than a replica: its root is writable, it has Docker's usual
    capabilities for whoever is root, and nobody is.
    """
    host, config = details["HostConfig"], details["Config"]
    installation = (config.get("Labels") or {}).get("tallyport.source")
    return _unmet(
        _what_all_must_be(details)
        | {
            "SecurityOpt": "unconfined" not in str(host.get("SecurityOpt")),
            "User": config.get("User") == "65534:65534",
            "IpcMode": host.get("IpcMode") in {"private", "shareable", ""},
            "NetworkMode": host.get("NetworkMode") in {"none", f"tallyport-{installation}-builds"},
            "CpuShares": host.get("CpuShares") == 256,
            "Env": not [each for each in config.get("Env") or () if "TALLYPORT" in each],
        }
    )


def deviations(details: Mapping[str, Any]) -> list[str]:
    """Return in what an inspected container differs from what all must be."""
    host, config = details["HostConfig"], details["Config"]
    labels = config.get("Labels") or {}
    user = str(config.get("User") or "0").partition(":")[0]
    names = {each.partition("=")[0] for each in config.get("Env") or ()}
    tmpfs = host.get("Tmpfs") or {}
    own_network = f"tallyport-{labels.get('tallyport.installation')}-{labels.get('tallyport.team')}"
    as_it_must_be = _what_all_must_be(details) | {
        "CapDrop": host.get("CapDrop") == ["ALL"],
        "SecurityOpt": host.get("SecurityOpt") == ["no-new-privileges:true"],
        "ReadonlyRootfs": host.get("ReadonlyRootfs") is True,
        "Tmpfs": all(
            set(flags.split(",")) >= MOUNT_FLAGS and "size=" in flags for flags in tmpfs.values()
        )
        and "/tmp" in tmpfs,
        "User": user.isdigit() and int(user) >= 20_000,
        "IpcMode": host.get("IpcMode") == "private",
        "NetworkMode": host.get("NetworkMode") == own_network,
        "PidsLimit": 16 <= (host.get("PidsLimit") or 0) <= 4096,
        "NanoCpus": bool(host.get("NanoCpus")),
        "LogConfig": host.get("LogConfig") == LOGS,
        "RestartPolicy": (host.get("RestartPolicy") or {}).get("Name") == "no",
        "AutoRemove": host.get("AutoRemove") is False,
        "Init": host.get("Init") is True,
        "Image": str(config.get("Image")).startswith("sha256:"),
        "Healthcheck": (config.get("Healthcheck") or {}).get("Test") == ["NONE"],
        "Labels": {f"tallyport.{name}" for name in LABELS} <= labels.keys(),
        "Env": {name for name in names if name.startswith("TALLYPORT_")} <= OURS,
    }
    name = labels.get("tallyport.replica", "?")
    return [f"{name}: {what} is not as it must be" for what in _unmet(as_it_must_be)]


def _what_all_must_be(details: Mapping[str, Any]) -> dict[str, bool]:
    """Return what holds for whatever runs others' code, a replica or a build."""
    host = details["HostConfig"]
    return {
        "Privileged": host.get("Privileged") is False,
        "CapAdd": not host.get("CapAdd"),
        "PidMode": not host.get("PidMode"),
        "UTSMode": not host.get("UTSMode"),
        "UsernsMode": not host.get("UsernsMode"),
        "CgroupnsMode": host.get("CgroupnsMode") != "host" or not host.get("CgroupParent"),
        "Binds": not host.get("Binds"),
        "Mounts": not details.get("Mounts") and not host.get("Mounts"),
        "VolumesFrom": not host.get("VolumesFrom"),
        "Devices": not host.get("Devices") and not host.get("DeviceRequests"),
        "DeviceCgroupRules": not host.get("DeviceCgroupRules"),
        "GroupAdd": not host.get("GroupAdd"),
        "Sysctls": not host.get("Sysctls"),
        "ExtraHosts": not host.get("ExtraHosts"),
        "Links": not host.get("Links"),
        "Runtime": host.get("Runtime", "runc") in {"runc", "runsc"},
        "Memory": bool(host.get("Memory")) and host["Memory"] == host.get("MemorySwap"),
        "Ulimits": {each["Name"]: each["Hard"] for each in host.get("Ulimits") or ()}
        == ULIMITS | {"nproc": max(PROCESSES_MAX, 4 * (host.get("PidsLimit") or 0))},
        "OomKillDisable": not host.get("OomKillDisable"),
        "PublishAllPorts": host.get("PublishAllPorts") is False,
        "PortBindings": not host.get("PortBindings"),
        "MaskedPaths": bool(host.get("MaskedPaths")) and bool(host.get("ReadonlyPaths")),
    }


def _unmet(as_it_must_be: Mapping[str, bool]) -> list[str]:
    return [what for what, well in as_it_must_be.items() if not well]
