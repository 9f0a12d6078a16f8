"""How HAProxy is started: this process becomes it.

Alone or under a supervisor, on a laptop or in a container, the start is the same: no former
generation lives, the files are there (of the last time, or of an empty table), and standard output
is a new request log.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

from gateway.certificate_files import CertificateFolder
from gateway.configuration import CONFIG, GatewayOptions, RoutingTable, render, render_config
from gateway.request_logs import end_former_generations, open_request_log
from gateway.runtime import MASTER_SOCKET
from gateway.snapshot import Snapshot, configuration_arguments
from gateway.tls import CERTIFICATES, EMPTY_FILES

_STANDARD_OUTPUT = 1


class LaunchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Where one gateway lives, and with which HAProxy."""

    gateway_id: str
    run_folder: Path
    """Configuration, maps and sockets."""
    requests_folder: Path
    """The request logs: on a volume of its own where that is possible."""
    haproxy: Path
    gateway: GatewayOptions = GatewayOptions()
    former_patience_seconds: float = 2.0


def haproxy_arguments(options: LaunchOptions) -> list[str]:
    """Return HAProxy's command line. Every name in it and in its files is seen from `-C`."""
    return [
        str(options.haproxy),
        "-W",
        "-db",
        "-S",
        f"unix@{MASTER_SOCKET},mode,600",
        "-C",
        str(options.run_folder),
        *configuration_arguments(),
    ]


def prepare_files(options: LaunchOptions) -> None:
    """Write what is missing, and what the operator's options have changed since last time."""
    snapshot = Snapshot(options.run_folder, options.haproxy)
    config = {CONFIG: render_config(options.gateway)}
    empty = render(RoutingTable(), options.gateway).files()
    missing = {name: text for name, text in empty.items() if snapshot.read(name) is None}
    if options.gateway.tls_binds:
        missing |= {name: text for name, text in EMPTY_FILES.items() if snapshot.read(name) is None}
        config[CERTIFICATES] = CertificateFolder(options.run_folder, options.haproxy).usable(
            snapshot.read(CERTIFICATES) or ""
        )
    snapshot.write(missing | config, check=False)


def exec_haproxy(
    options: LaunchOptions, *, execv: Callable[[str, list[str]], None] = os.execv
) -> NoReturn:
    """Become HAProxy. Nothing of this process is left but its id, its parent and its log."""
    end_former_generations(
        options.requests_folder,
        options.gateway_id,
        patience_seconds=options.former_patience_seconds,
    )
    prepare_files(options)
    log = open_request_log(options.requests_folder, options.gateway_id)
    os.dup2(log, _STANDARD_OUTPUT, inheritable=True)
    os.close(log)
    execv(str(options.haproxy), haproxy_arguments(options))
    raise AssertionError("exec does not return")
