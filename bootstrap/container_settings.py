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
    replicas_max: int = setting(
        "TALLYPORT_REPLICAS_MAX",
        kinds.number(1, 1000),
        "20",
        "Replicas that one deployment may ask for.",
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
