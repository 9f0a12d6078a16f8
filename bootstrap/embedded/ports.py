"""Ports on the loopback address that nobody uses, remembered so that a restart keeps them."""

import json
import secrets
import socket
from collections.abc import Iterable

from bootstrap.embedded.home import Home, HomeError, write_private

LOOPBACK = "127.0.0.1"
FILE = "ports.json"

# Below the range from which systems take the ports of outgoing connections (32768 or 49152 up):
# a port that waits here for its server to be restarted is not handed to a client meanwhile.
FIRST_PORT, LAST_PORT = 20_000, 29_999
ATTEMPTS_MAX = 1_000


def assign_ports(home: Home, names: Iterable[str]) -> dict[str, int]:
    """Return a port for each name: the one remembered in this home, or a new one if it is taken.

    Call it with the supervisor's lock held and leftovers ended, else they hold their own ports.
    """
    remembered = remembered_ports(home)
    assigned = dict(remembered)
    for name in names:
        port = remembered.get(name)
        if port is None or not _is_free(port):
            assigned[name] = _free_port(besides=set(assigned.values()))
    if assigned != remembered:
        write_private(home.run / FILE, json.dumps(assigned, indent=1))
    return {name: assigned[name] for name in names}


def remembered_ports(home: Home) -> dict[str, int]:
    """Return the ports that were assigned in this home, by name."""
    file = home.run / FILE
    return _read(file.read_text(encoding="utf-8")) if file.exists() else {}


def _read(text: str) -> dict[str, int]:
    """Return what the file remembers; a damaged file remembers nothing."""
    try:
        ports = json.loads(text)
    except ValueError:
        return {}
    if not isinstance(ports, dict):
        return {}
    return {str(name): port for name, port in ports.items() if isinstance(port, int)}


def _free_port(*, besides: set[int]) -> int:
    for _ in range(ATTEMPTS_MAX):
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT + 1)
        if port not in besides and _is_free(port):
            return port
    raise HomeError(f"no free port between {FIRST_PORT} and {LAST_PORT} on {LOOPBACK}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections of the last life that still close do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
