"""HAProxy's configuration as a pure function of the routing table and the operator's options.

What a reader would not guess: the text never changes when a route, a key, a limit or a replica
does. Those are maps and servers, which the agent changes at run time; only a deployment that has
no backend yet needs a reload.
"""

import hashlib
import ipaddress
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Literal, NamedTuple

import msgspec

from domain.deployments.values import Visibility
from gateway.address_prefixes import address_prefixes
from gateway.closures import Closure, route_suffix
from gateway.refusals import DOUBTFUL, HAPROXY_ERRORS, KEY_PREFIX, REFUSALS, Refusal
from gateway.tls import HTTPS_REQUIRED, bind_lines, template_values

CONFIG, BACKENDS = "gateway.cfg", "backends.cfg"
ROUTES, HOSTS, KEYS, FLAGS = "routes.map", "hosts.map", "keys.map", "flags.map"
GRANTS, ADDRESSES = "grants.map", "addresses.map"
METERING_ON, METERING_PAUSED = "on", "paused"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_APP_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_OWN_SECTIONS = {"gateway", "limit_by_key", "limit_by_address", "refused"}
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_HTTPS_PORT = 443
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]{1,253}")
_NO_ORIGIN = "nowhere"
"""What no browser calls an origin."""
_HOST = re.compile(r"[a-z0-9.-]{1,253}|\[[0-9a-f:.]+\]")


class Replica(msgspec.Struct, frozen=True):
    """One place where a deployment answers."""

    id: str
    address: str
    """An IP address: HAProxy looks no names up."""
    port: int


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One app: its name, whose it is, who may call it, and where its healthy replicas are."""

    deployment_id: str
    team_id: str
    app_name: str
    visibility: Visibility = "private"
    replicas: tuple[Replica, ...] = ()
    draining: tuple[str, ...] = ()
    """Ids of replicas that get no new request, and are waited for."""
    is_open: bool = True
    """False once it is being deleted: nothing leads to it any more."""
    version: int = 0
    """How much of the deployment's history this row has in it."""


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """Another name of a deployment: a domain that was verified."""

    name: str
    deployment_id: str


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One API key that may be used: revoked ones are simply not in the table."""

    key_id: str
    team_id: str
    secret_hash: str
    """SHA-256 of the whole key, in hex."""
    scopes: tuple[str, ...] = ()
    requests_per_minute: int
    expires_at: datetime | None = None
    allowed_cidrs: tuple[str, ...] = ()
    """The networks it may be used from; none means from everywhere."""


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the gateway knows from the log."""

    routes: tuple[Route, ...] = ()
    hosts: tuple[Host, ...] = ()
    keys: tuple[Key, ...] = ()
    closures: tuple[Closure, ...] = ()


class GatewayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chooses. Times in milliseconds where HAProxy counts in them."""

    binds: tuple[str, ...] = ("127.0.0.1:8080",)
    tls_binds: tuple[str, ...] = ()
    """Where TLS is spoken; nowhere unless told."""
    https_port: int = 443
    """The port of HTTPS as callers see it: where those who come without are sent."""
    hsts_seconds: int = 31_536_000
    apps_domain: str = "apps.localhost"
    own_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    """The gateway's own names, on which `/<app>/...` selects the app."""
    dashboard_origins: tuple[str, ...] = ()
    """Where the dashboard is served: its pages may call apps from the browser."""
    public_scheme: Literal["http", "https"] = "http"
    problem_type_base: str = "/problems/"
    """Prefix of a problem's `type`; the error code follows."""
    window_seconds: int = 60
    """Length of the window in which a key may do its `requests_per_minute`."""
    address_requests_per_window: int = 6_000
    """Limit per client address where no key counts: public apps, refused requests."""
    client_addresses: str = "network"
    """What of a caller's address is written down: its `network` (24 bits of IPv4, 48 of IPv6), the
    `full` address, or `none` of it."""
    limit_entries_max: int = 200_000
    connections_max: int = 4_096
    replica_connections_max: int = 512
    request_timeout_ms: int = 10_000
    keep_alive_timeout_ms: int = 30_000
    client_timeout_ms: int = 60_000
    server_timeout_ms: int = 60_000
    connect_timeout_ms: int = 2_000
    queue_timeout_ms: int = 5_000
    tunnel_timeout_ms: int = 3_600_000
    retries: int = 3
    drain_seconds: int = 300
    """How long a worker that was replaced may go on with what it has."""
    reloads_alive_max: int = 20
    """How many replaced workers may be draining at once."""


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """What HAProxy loads: its configuration, and the maps by file name as keys and values."""

    config: str
    """`gateway.cfg`, which depends on nothing but the options."""
    servers: dict[str, dict[str, str]]
    """By deployment: each replica's place (`address:port`) by its name."""
    maps: dict[str, dict[str, str]]
    draining: dict[str, tuple[str, ...]] = {}
    """By deployment: the replicas that are waited for."""
    versions: dict[str, int] = {}
    """By deployment: how much of its history is in here."""
    rejected: tuple[str, ...] = ()
    """Why a route or key of the table was left out: one bad row must not stop the others."""

    def files(self) -> dict[str, str]:
        """Return every file's text by its name."""
        maps = {name: map_text(entries) for name, entries in self.maps.items()}
        backends = {BACKENDS: _backends_text(self.servers)}
        return {CONFIG: self.config, **backends, **maps}


_LOG_FORMAT: Mapping[str, str] = {
    "v": "1",
    "time": "%Ts%ms",
    "id": '"%[var(txn.id)]"',
    "pid": "%pid",
    "start": "%[var(proc.start)]",
    "n": "%lc",
    "deployment": '"%[var(txn.deployment)]"',
    "team": '"%[var(txn.team)]"',
    "key": '"%[var(txn.key_id)]"',
    "method": '"%[method]"',
    "path": '"%[var(txn.path)]"',
    "status": "%ST",
    "bytes_in": "%U",
    "bytes_out": "%B",
    "total_ms": "%Tt",
    "connect_ms": "%Tc",
    "upstream_ms": "%Tr",
    "ended": '"%ts"',
    "refused": '"%[var(txn.no)]"',
}
ADDRESS_FORMATS: Mapping[str, str] = {
    "network": '"%[var(sess.network)]"',
    "full": '"%[var(sess.address)]"',
    "none": '""',
}


def _log_format(options: GatewayOptions) -> str:
    fields = {**_LOG_FORMAT, "address": ADDRESS_FORMATS[options.client_addresses]}
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


def render(
    table: RoutingTable, options: GatewayOptions, *, metering: str = METERING_ON
) -> Rendered:
    """Return what makes HAProxy serve this table; `ValueError` for a wrong option."""
    routes = render_routes(table.routes, table.closures)
    hosts, refused_hosts = render_hosts(table.hosts, routes.entries)
    keys: dict[str, str] = {}
    grants: dict[str, str] = {}
    addresses: dict[str, str] = {}
    refused_keys: list[str] = []
    for key in table.keys:
        try:
            entries = key_entries(key)
        except ValueError as error:
            refused_keys.append(str(error))
        else:
            keys[entries.hash] = entries.entry
            grants.update(entries.grants)
            addresses.update(entries.addresses)
    return Rendered(
        config=render_config(options),
        servers=routes.servers,
        draining=routes.draining,
        versions=routes.versions,
        maps={
            ROUTES: routes.entries,
            HOSTS: hosts,
            KEYS: keys,
            GRANTS: grants,
            ADDRESSES: addresses,
            FLAGS: {"metering": metering},
        },
        rejected=(*routes.rejected, *refused_hosts, *refused_keys),
    )


class RenderedRoutes(msgspec.Struct, frozen=True, kw_only=True):
    """What all routes are in the maps and among the servers."""

    entries: dict[str, str] = {}
    servers: dict[str, dict[str, str]] = {}
    draining: dict[str, tuple[str, ...]] = {}
    versions: dict[str, int] = {}
    rejected: list[str] = []
    """Why a route was left out."""


def render_routes(table: Iterable[Route], closures: Sequence[Closure] = ()) -> RenderedRoutes:
    """Return what these routes are; what cannot be used is named."""
    rendered = RenderedRoutes()
    for route in table:
        name = route.deployment_id
        try:
            if name in rendered.servers or route.app_name in rendered.entries:
                raise ValueError(f"a second route {name!r}, {route.app_name!r}")  # noqa: TRY301 - one way out
            entry, places = _route_entry(route), _places(route)
        except ValueError as error:
            rendered.rejected.append(str(error))
            continue
        if route.is_open:
            rendered.entries[route.app_name] = entry + route_suffix(closures, name)
        rendered.servers[name] = places
        rendered.versions[name] = route.version
        if route.draining:
            rendered.draining[name] = route.draining
    return rendered


def render_hosts(
    table: Iterable[Host], routes: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """Return the map of hosts, and why one was left out; one without a route leads nowhere."""
    by_deployment = {entry.split(":")[1]: entry for entry in routes.values()}
    hosts: dict[str, str] = {}
    rejected: list[str] = []
    for host in table:
        if not _HOST.fullmatch(host.name):
            rejected.append(f"not a host name: {host.name!r}")
        elif host.deployment_id in by_deployment:
            hosts[host.name] = by_deployment[host.deployment_id]
    return hosts, rejected


class KeyEntries(NamedTuple):
    """What one key is in the maps."""

    hash: str
    entry: str
    grants: dict[str, str]
    addresses: dict[str, str]


def key_entries(key: Key) -> KeyEntries:
    """Return a key's entries; `ValueError` when it cannot be used."""
    # HAProxy's `hex` writes capitals: a capital hash saves it a step per request.
    return KeyEntries(key.secret_hash.upper(), _key_entry(key), _grants(key), _addresses(key))


def server_options(options: GatewayOptions) -> str:
    """Return the words that follow every server's address, in the file and at run time.

    A replica is checked rarely while its traffic says that it is well. Three failures in a row
    put it aside at once; it is then looked at each second.
    """
    return (
        f"maxconn {options.replica_connections_max} check inter 30s fastinter 1s downinter 1s"
        " rise 1 fall 2 observe layer4 error-limit 3 on-error mark-down"
    )


def render_config(options: GatewayOptions) -> str:
    """Return `gateway.cfg`, which depends on nothing but the options."""
    template = files("gateway").joinpath("haproxy.cfg.txt").read_text(encoding="utf-8")
    numbers = {
        name: str(value)
        for name, value in msgspec.structs.asdict(options).items()
        if isinstance(value, int)
    }
    tls = bool(options.tls_binds)
    https = {"https_required": HTTPS_REQUIRED} if tls else {}
    doubtful = {**https, **DOUBTFUL}
    values = numbers | {
        **template_values(options, on=tls),
        "binds": "\n".join(f"    bind {_bind(bind)}" for bind in options.binds)
        + bind_lines(tuple(_bind(bind) for bind in options.tls_binds)),
        "apps_domain": _host(options.apps_domain),
        "own_hosts": " ".join(_host(host) for host in options.own_hosts),
        "dashboard_origins": " ".join(map(_origin, options.dashboard_origins)) or _NO_ORIGIN,
        "key_prefix": KEY_PREFIX,
        "limit_expire_seconds": str(2 * options.window_seconds),
        "server_options": server_options(options),
        "log_format": _log_format(options),
        "errors": "\n".join(
            f"    http-error {_answer(code, refusal, options)}"
            for code, refusal in HAPROXY_ERRORS.items()
        ),
        "refusals": "\n".join(
            f"    http-request return {_answer(code, refusal, options)}"
            f" if {{ var(txn.no) -m str {code} }}"
            for code, refusal in REFUSALS.items()
            if tls or code != "https_required"
        ),
        "doubtful": "\n".join(
            f"    use_backend refused if {condition}" for condition in doubtful.values()
        ),
        "doubts": "\n".join(
            f"    http-request set-var(txn.no) str({code}) if {condition}"
            for code, condition in doubtful.items()
        ),
    }
    text = re.sub(r"@([a-z_]+)@", lambda match: values.get(match[1], match[0]), template)
    return text.replace("@digest@", digest_of(text))


def digest_of(config: str) -> str:
    """Return the name under which a running worker says which `gateway.cfg` it has."""
    unsigned = re.sub(r"(proc\.config str)\(\w+\)", r"\1(@digest@)", config)
    return hashlib.sha256(unsigned.encode()).hexdigest()[:16]


def _answer(code: str, refusal: Refusal, options: GatewayOptions) -> str:
    problem = {
        "type": options.problem_type_base + code,
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "requestId": "%[var(txn.id)]",
        "error": {"code": code, "message": refusal.detail, "details": []},
    }
    port = "" if options.https_port == _HTTPS_PORT else f":{options.https_port}"
    headers = "".join(
        f' hdr {name} "{value.replace("@https_port@", port)}"' for name, value in refusal.headers
    )
    return (
        f"status {refusal.status} content-type application/problem+json"
        f" lf-string '{json.dumps(problem)}'{headers}"
    )


def map_text(entries: Mapping[str, str]) -> str:
    """Return a map file's text."""
    return "".join([f"{key} {value}\n" for key, value in entries.items()])


def _backends_text(servers: Mapping[str, Mapping[str, str]]) -> str:
    sections = ["# The replicas of every deployment, from the log. Edits are overwritten."]
    for deployment_id, places in servers.items():
        section = [f"backend {deployment_id} from deployments"]
        section += [f"    server {name} {place}" for name, place in places.items()]
        sections.append("\n".join(section))
    return "\n\n".join(sections) + "\n"


def _route_entry(route: Route) -> str:
    if not _APP_NAME.fullmatch(route.app_name):
        raise ValueError(f"not an app name: {route.app_name!r}")
    if route.deployment_id in _OWN_SECTIONS:
        raise ValueError(f"not a deployment id: {route.deployment_id!r}")
    return f"{route.visibility}:{_name(route.deployment_id)}:{_name(route.team_id)}"


def _places(route: Route) -> dict[str, str]:
    return {_name(replica.id): _place(replica) for replica in route.replicas}


def _key_entry(key: Key) -> str:
    if not _HASH.fullmatch(key.secret_hash):
        raise ValueError(f"not a SHA-256 in hex: the hash of key {key.key_id!r}")
    expires = "" if key.expires_at is None else str(int(key.expires_at.timestamp()))
    calls = "all" if "call:*" in key.scopes or "admin:*" in key.scopes else "some"
    limit = max(0, key.requests_per_minute)
    whence = "listed" if key.allowed_cidrs else "anywhere"
    return f"{_name(key.key_id)}:{_name(key.team_id)}:{limit}:{expires}:{calls}:{whence}"


def _grants(key: Key) -> dict[str, str]:
    scopes = [scope for scope in key.scopes if scope.startswith("call:") and scope != "call:*"]
    return {f"{key.key_id}:{_name(scope.removeprefix('call:'))}": "call" for scope in scopes}


def _addresses(key: Key) -> dict[str, str]:
    return {
        f"{key.key_id}:{digits}": "allowed"
        for text in key.allowed_cidrs
        for digits in address_prefixes(text)
    }


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"not a name that is safe in HAProxy's configuration: {text!r}")
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(f"not a host name in lower case: {text!r}")
    return text


def _origin(text: str) -> str:
    if not _ORIGIN.fullmatch(text):
        raise ValueError(f"not an origin of web pages: {text!r}")
    return text


def _bind(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not (host == "*" or _HOST.fullmatch(host)) or not port.isdecimal():
        raise ValueError(f"not an address and port to listen on: {text!r}")
    return text


def _place(replica: Replica) -> str:
    address = ipaddress.ip_address(replica.address)
    if not 0 < replica.port < 65536:  # noqa: PLR2004 - TCP's own bound
        raise ValueError(f"not a port: {replica.port}")
    return f"[{address}]:{replica.port}" if address.version == 6 else f"{address}:{replica.port}"  # noqa: PLR2004 - IPv6
