"""Where this machine's HAProxy lives, and how a process turns into it.

Kept apart from the other wiring because it has to be quick: nothing is imported that HAProxy does
not need.
"""

from bootstrap.embedded.haproxy import find_haproxy
from bootstrap.settings import Settings
from gateway.configuration import GatewayOptions
from gateway.launch import LaunchOptions, exec_haproxy


def launch_options(settings: Settings) -> LaunchOptions:
    """Return where this machine's HAProxy lives and what its operator chose."""
    gateway = settings.gateway
    folder = settings.home / "gateway"
    for name in ("run", "requests"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    return LaunchOptions(
        gateway_id=gateway.id,
        run_folder=folder / "run",
        requests_folder=folder / "requests",
        haproxy=find_haproxy(),
        gateway=GatewayOptions(
            binds=(f"{gateway.host}:{gateway.port}",),
            apps_domain=gateway.apps_domain,
            problem_type_base=f"{settings.api.public_url}/problems/",
            client_addresses=gateway.client_addresses,
        ),
    )


def become_haproxy(settings: Settings) -> None:
    """Turn this process into HAProxy."""
    exec_haproxy(launch_options(settings))
