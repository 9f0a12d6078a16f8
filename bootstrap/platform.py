"""`tallyport up`: the whole platform on one machine, servers and processes under one supervisor."""

import asyncio
import base64
import secrets
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from bootstrap import settings as settings_module
from bootstrap.containers import installation_of, remove_replicas
from bootstrap.embedded.home import Home, write_private
from bootstrap.embedded.parts import ProcessSpec, Progress
from bootstrap.embedded.processes import environment_for_python
from bootstrap.embedded.servers import EmbeddedServers, servers
from bootstrap.embedded.supervisor import Supervisor
from bootstrap.migrate import migrate
from bootstrap.settings import Settings

DATABASE = "tallyport"
READY_TIMEOUT_SECONDS = 60.0

OWN_PROCESSES = (
    "api",
    "gateway",
    "views",
    "analytics",
    "provisioner",
    "mailer",
    "scheduler",
    "webhooks",
)


async def start_platform(
    supervisor: Supervisor,
    home: Home,
    settings: Settings,
    progress: Progress,
    stop: asyncio.Event,
) -> Settings:
    """Start everything and return when it is ready, with the settings that are in force."""
    embedded = servers(home, kafka=settings.parts.kafka == "embedded")
    environment = environment_of_parts(home, settings, embedded)
    in_force = settings_module.load(overrides=environment)
    await supervisor.start(wanted_servers(settings, embedded), progress, stop_event=stop)
    if stop.is_set():
        return in_force
    await migrate(in_force)
    specs = process_specs(home, in_force, environment, beside=tuple(supervisor.status()))
    await supervisor.start(specs, progress, stop_event=stop)
    return in_force


async def stop_platform(supervisor: Supervisor, settings: Settings) -> None:
    """Stop everything, the replicas included; what they should be stands in the log."""
    installation = await installation_of(settings)
    await supervisor.stop()
    await remove_replicas(settings, installation)


def wanted_servers(settings: Settings, embedded: EmbeddedServers) -> list[ProcessSpec]:
    """Return the servers that the settings do not already name elsewhere."""
    parts = settings.parts
    elsewhere = {
        "postgres": parts.database_url,
        "valkey": parts.redis_url,
        "clickhouse": parts.clickhouse_url,
    }
    return [spec for spec in embedded.specs if not elsewhere.get(spec.name)]


def environment_of_parts(
    home: Home, settings: Settings, embedded: EmbeddedServers
) -> dict[str, str]:
    """Return the settings that name the embedded servers, and the keys made at the first start."""
    parts = settings.parts
    environment = {
        "TALLYPORT_HOME": str(home.root),
        "TALLYPORT_API_PORT": str(settings.api.port),
        "TALLYPORT_GATEWAY_PORT": str(settings.gateway.port),
        "TALLYPORT_KAFKA": embedded.kafka_bootstrap or parts.kafka,
    }
    if not parts.database_url:
        owner = psycopg.conninfo.conninfo_to_dict(embedded.postgres_url)
        password = home.secret("postgres-app")
        address = f"{owner['host']}:{owner['port']}/{DATABASE}"
        owner_login = f"{owner['user']}:{quote(str(owner['password']), safe='')}"
        environment["TALLYPORT_DATABASE_URL"] = f"postgresql://tallyport_app:{password}@{address}"
        environment["TALLYPORT_DATABASE_OWNER_URL"] = f"postgresql://{owner_login}@{address}"
    if settings.mail.mailbox == "auto" and not settings.mail.url:
        environment["TALLYPORT_MAILBOX"] = "on"
    if not parts.clickhouse_url:
        environment["TALLYPORT_CLICKHOUSE_URL"] = embedded.clickhouse_url
    if not parts.redis_url:
        environment["TALLYPORT_REDIS_URL"] = embedded.valkey_url
    if not settings.secrets.secret_key:
        environment["TALLYPORT_SECRET_KEY"] = secret_key(home)
    if not settings.secrets.signing_key:
        environment["TALLYPORT_SIGNING_KEY"] = str(signing_key_file(home))
    return environment


def process_specs(
    home: Home, settings: Settings, environment: Mapping[str, str], *, beside: tuple[str, ...]
) -> list[ProcessSpec]:
    """Return HAProxy and every process of ours; they end before the servers they stand beside."""
    env = {**environment_for_python(), **settings_module.given(), **environment}
    health: dict[str, Callable[[], bool]] = {
        "api": lambda: _answers(f"{settings.api.local_url}/health/ready"),
        "haproxy": (home.root / "gateway" / "run" / "master.sock").exists,
    }

    def spec(name: str, *arguments: str, depends_on: tuple[str, ...] = beside) -> ProcessSpec:
        check = health.get(name)

        async def ready() -> bool:
            return check is None or await asyncio.to_thread(check)

        return ProcessSpec(
            name=name,
            argv=[sys.executable, "-P", "-m", "bootstrap.main", *arguments],
            cwd=home.run,
            env=env,
            ready=ready,
            ready_timeout_seconds=READY_TIMEOUT_SECONDS,
            depends_on=depends_on,
        )

    workers = [name for name in OWN_PROCESSES if name not in {"api", "gateway"}]
    if settings.parts.kafka != "none":
        workers.append("relay")
    return [
        spec("haproxy", "haproxy", depends_on=()),
        spec("api", "api"),
        spec("gateway", "gateway", depends_on=(*beside, "haproxy")),
        *(spec(name, "worker", name) for name in workers),
    ]


def secret_key(home: Home) -> str:
    """Return the installation's secret key; the first call makes it."""
    path = home.secret_file("secret-key")
    if not path.exists():
        write_private(path, base64.b64encode(secrets.token_bytes(32)).decode(), replace=False)
    return path.read_text(encoding="ascii").strip()


def signing_key_file(home: Home) -> Path:
    """Return the file with the key that signs access tokens; the first call makes it."""
    path = home.secret_file("signing-key.pem")
    if not path.exists():
        pem = Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        write_private(path, pem.decode(), replace=False)
    return path


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own http URL
            return bool(answer.status == 200)  # noqa: PLR2004 - OK
    except OSError:
        return False
