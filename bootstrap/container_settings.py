"""The settings about containers: where the deployed APIs run, and what is noted of their use."""

from dataclasses import dataclass

from bootstrap import setting_kinds as kinds
from bootstrap.setting_kinds import setting


@dataclass(frozen=True, kw_only=True)
class Containers:
    """Where the deployed APIs run."""

    driver: str = setting(
        "TALLYPORT_DRIVER",
        kinds.choice("auto", "docker", "process"),
        "auto",
        "`docker`; `process` for development without an engine; `auto`: Docker if it answers.",
    )
    docker_host: str = setting(
        "DOCKER_HOST",
        kinds.TEXT,
        "",
        "Docker Engine's address, as for the docker command.",
        otherwise="",
        shown_default="the engine's usual socket",
    )
    egress: str = setting(
        "TALLYPORT_CONTAINERS_EGRESS",
        kinds.choice("none", "allowed"),
        "none",
        "Whether deployed APIs may call out. `allowed` lets them reach whatever this machine can "
        "reach, unless its firewall says no; it counts for a team's network made from then on.",
    )
    drain_seconds: int = setting(
        "TALLYPORT_DRAIN_SECONDS",
        kinds.number(0, 3600),
        "30",
        "How long a replica that is to go may finish its requests, before it is stopped.",
    )
    registry_check: str = setting(
        "TALLYPORT_REGISTRY_CHECK",
        kinds.choice("on", "off"),
        "on",
        "Ask an image's registry before it is deployed; `off` for images only this engine has.",
    )
    private_registries: tuple[str, ...] = setting(
        "TALLYPORT_PRIVATE_REGISTRIES",
        kinds.HOSTS,
        "",
        "Registries on private networks (host or host:port) that may be asked, without TLS.",
        otherwise=(),
    )


@dataclass(frozen=True, kw_only=True)
class Quotas:
    """What one team may run at once, unless an admin of the platform sets it for that team."""

    deployments: int = setting(
        "TALLYPORT_QUOTA_DEPLOYMENTS",
        kinds.number(0, 1_000_000),
        "50",
        "Deployments that a team may have, stopped ones included.",
    )
    replicas: int = setting(
        "TALLYPORT_QUOTA_REPLICAS",
        kinds.number(0, 1_000_000),
        "100",
        "Replicas that all deployments of a team together may have.",
    )
    cpu_millis: int = setting(
        "TALLYPORT_QUOTA_CPU",
        kinds.CPU,
        "64",
        "Processor cores that those replicas may have.",
    )
    memory_bytes: int = setting(
        "TALLYPORT_QUOTA_MEMORY",
        kinds.MEMORY,
        "64Gi",
        "Memory that those replicas may have.",
    )


@dataclass(frozen=True, kw_only=True)
class ReplicaUsage:
    """What is noted of the processor, memory and network that the deployed APIs use."""

    sample_seconds: int = setting(
        "TALLYPORT_SAMPLE_SECONDS",
        kinds.number(1, 30),
        "10",
        "Seconds between two looks at what each replica uses.",
    )
    retention_days: int = setting(
        "TALLYPORT_SAMPLE_RETENTION_DAYS",
        kinds.number(1, 3650),
        "30",
        "Days for which it is kept what replicas used.",
    )


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Code that is uploaded instead of an image."""

    upload_limit_bytes: int = setting(
        "TALLYPORT_UPLOAD_LIMIT_BYTES",
        kinds.number(1024, 2**32),
        "52428800",
        "Largest archive of code that may be uploaded.",
    )
    source_limit_bytes: int = setting(
        "TALLYPORT_SOURCE_LIMIT_BYTES",
        kinds.number(1024, 2**34),
        "268435456",
        "What may come out of an uploaded archive, all files together.",
    )
    team_sources_limit_bytes: int = setting(
        "TALLYPORT_TEAM_SOURCES_LIMIT_BYTES",
        kinds.number(1024, 2**40),
        "1073741824",
        "Room for one team's uploaded code, compressed; what no deployment uses makes room.",
    )
    base_python: str = setting(
        "TALLYPORT_BASE_PYTHON",
        kinds.TEXT,
        "python:3.12-slim",
        "The image that uploaded Python code is built on.",
    )
    base_node: str = setting(
        "TALLYPORT_BASE_NODE",
        kinds.TEXT,
        "node:22-slim",
        "The image that uploaded Node.js code is built on.",
    )
    base_go: str = setting(
        "TALLYPORT_BASE_GO",
        kinds.TEXT,
        "golang:1.23",
        "The image that uploaded Go code is built on.",
    )
    build_seconds_max: int = setting(
        "TALLYPORT_BUILD_SECONDS",
        kinds.number(10, 86_400),
        "600",
        "How long it may take to make uploaded code ready to run.",
    )
    process_runs_code: str = setting(
        "TALLYPORT_PROCESS_RUNS_CODE",
        kinds.choice("local", "always", "never"),
        "local",
        "Whether the `process` driver runs uploaded code, which can then read what Tallyport can: "
        "`local` where the API listens to this machine only.",
    )
