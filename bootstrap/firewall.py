"""Keeps the rule in force that shuts this machine's ports to the containers of teams."""

import signal
import threading

import structlog

from infrastructure.containers.docker_networks import SUBNETS
from infrastructure.firewall import FirewallRefused
from infrastructure.firewall.nftables import remove, shut_out

log = structlog.get_logger()

AGAIN_SECONDS = 30.0
"""Whoever reloads the machine's own rules may have flushed ours."""


def keep_firewall(*, once: bool) -> None:
    """Set the rule, and again and again until SIGTERM or SIGINT; it stays at the end.

    Raises `FirewallRefused` when the kernel does not take it at the start.
    """
    shut_out(SUBNETS)
    log.info("firewall set", network=str(SUBNETS))
    if once:
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(AGAIN_SECONDS):
        try:
            shut_out(SUBNETS)
        except FirewallRefused as error:
            log.warning("firewall not set again", reason=str(error))


def remove_firewall() -> None:
    """Take the rule away; raises `FirewallRefused`."""
    remove()
