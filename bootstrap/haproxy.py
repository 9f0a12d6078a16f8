"""Where this machine's HAProxy lives, and how a process turns into it.

Kept apart from the other wiring because it has to be quick: nothing is imported that HAProxy does
not need.
"""

from urllib.parse import urlsplit

from bootstrap.embedded.haproxy import find_haproxy
from bootstrap.settings import Settings
from gateway.configuration import GatewayOptions
from gateway.launch import LaunchOptions, exec_haproxy

HTTPS_PORT = 443


def launch_options(settings: Settings) -> LaunchOptions:
    """Return where this machine's HAProxy lives and what its operator chose."""
    gateway, tls = settings.gateway, settings.tls
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
            tls_binds=(f"{gateway.host}:{tls.port}",) if tls.port else (),
            https_port=_https_port(settings),
            hsts_seconds=tls.hsts_seconds,
            apps_domain=gateway.apps_domain,
            dashboard_origins=_dashboard_origins(settings),
            problem_type_base=f"{settings.api.public_url}/problems/",
            client_addresses=gateway.client_addresses,
        ),
    )


def _https_port(settings: Settings) -> int:
    """Return the port of HTTPS as callers see it: of the gateway's URL, if that says so."""
    url = urlsplit(settings.gateway.public_url)
    return (url.port or HTTPS_PORT) if url.scheme == "https" else settings.tls.port or HTTPS_PORT


def _dashboard_origins(settings: Settings) -> tuple[str, ...]:
    """Return where the dashboard is: of this machine's two names browsers make two origins."""
    url = urlsplit(settings.api.public_url)
    origin = f"{url.scheme}://{url.netloc}"
    numeric = origin.replace("://localhost", "://127.0.0.1", 1)
    return (origin, numeric) if url.hostname == "localhost" else (origin,)


def become_haproxy(settings: Settings) -> None:
    """Turn this process into HAProxy."""
    exec_haproxy(launch_options(settings))
