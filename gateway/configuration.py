"""HAProxy's configuration as a pure function of the routing table and the operator's options.

What a reader would not guess: the text never changes when a route, a key, a limit or a replica
does. Those are maps and servers, which the agent changes at run time; only a deployment that has
no backend yet needs a reload.
"""

import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from typing import Literal

import msgspec

from domain.deployments.values import Visibility

CONFIG, BACKENDS = "gateway.cfg", "backends.cfg"
ROUTES, KEYS, GRANTS, FLAGS = "routes.map", "keys.map", "grants.map", "flags.map"
METERING_ON, METERING_PAUSED = "on", "paused"
KEY_PREFIX = "tp_"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_APP_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_OWN_SECTIONS = {"gateway", "limit_by_key", "limit_by_address", "refused", "unavailable"}
_HASH = re.compile(r"[0-9a-fA-F]{64}")
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


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One API key that may be used: revoked ones are simply not in the table."""

    key_id: str
    team_id: str
    secret_hash: str
    """SHA-256 of the whole key, in hex."""
    scopes: tuple[str, ...] = ()
    requests_per_minute: int
    expires_at: datetime | None = None


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the gateway knows from the log."""

    routes: tuple[Route, ...] = ()
    keys: tuple[Key, ...] = ()


class GatewayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator chooses. Times in milliseconds where HAProxy counts in them."""

    binds: tuple[str, ...] = ("127.0.0.1:8080",)
    apps_domain: str = "apps.localhost"
    own_hosts: tuple[str, ...] = ("localhost", "127.0.0.1", "[::1]")
    """The gateway's own names, on which `/<app>/...` selects the app."""
    public_scheme: Literal["http", "https"] = "http"
    problem_type_base: str = "/problems/"
    """Prefix of a problem's `type`; the error code follows."""
    window_seconds: int = 60
    """Length of the window in which a key may do its `requests_per_minute`."""
    address_requests_per_window: int = 6_000
    """Limit per client address where no key counts: public apps, refused requests."""
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
    rejected: tuple[str, ...] = ()
    """Why a route or key of the table was left out: one bad row must not stop the others."""

    def files(self) -> dict[str, str]:
        """Return every file's text by its name."""
        maps = {name: map_text(entries) for name, entries in self.maps.items()}
        backends = {BACKENDS: _backends_text(self.servers)}
        return {CONFIG: self.config, **backends, **maps}


class Refusal(msgspec.Struct, frozen=True):
    """One way to be refused by the gateway itself."""

    status: int
    title: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()


_RETRY_IN_A_SECOND = (("Retry-After", "1"),)
REFUSALS: Mapping[str, Refusal] = {
    "request_malformed": Refusal(400, "Bad Request", "The request breaks the rules of HTTP."),
    "path_ambiguous": Refusal(
        400,
        "Bad Request",
        "The path has encoded dots, slashes or backslashes, empty segments or dot segments.",
    ),
    "body_unexpected": Refusal(400, "Bad Request", "GET and HEAD take no body here."),
    "key_in_query": Refusal(
        400,
        "Bad Request",
        "Send the API key in X-API-Key or as a bearer token, never in the address."
        " An address is logged by others: treat this key as known and rotate it.",
    ),
    "key_invalid": Refusal(
        401,
        "Unauthorized",
        "Send one valid API key in X-API-Key or as a bearer token.",
        (("WWW-Authenticate", "Bearer"),),
    ),
    "scope_missing": Refusal(403, "Forbidden", "This API key may not call this app."),
    "app_not_found": Refusal(404, "Not Found", "There is no such app."),
    "method_not_allowed": Refusal(
        405,
        "Method Not Allowed",
        "This method is not handed on.",
        (("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),),
    ),
    "limit_reached": Refusal(
        429,
        "Too Many Requests",
        "The limit of this window is used up.",
        (("Retry-After", "%[var(txn.reset),sub(txn.now)]"),),
    ),
    "no_healthy_replica": Refusal(
        503, "Service Unavailable", "No replica of this app is healthy.", _RETRY_IN_A_SECOND
    ),
    "metering_paused": Refusal(
        503,
        "Service Unavailable",
        "Requests cannot be recorded at the moment, so none are served.",
        (("Retry-After", "5"),),
    ),
}
"""The codes the gateway decides itself, in the words the caller reads."""

_HAPROXY_ERRORS: Mapping[str, Refusal] = {
    "request_unreadable": Refusal(400, "Bad Request", "The request could not be read as HTTP."),
    "request_too_slow": Refusal(408, "Request Timeout", "The request did not arrive in time."),
    "gateway_error": Refusal(500, "Internal Server Error", "The gateway failed."),
    "replica_failed": Refusal(
        502, "Bad Gateway", "The answer of the replica broke off or is no HTTP."
    ),
    "replica_unreachable": Refusal(
        503, "Service Unavailable", "No replica could be reached.", _RETRY_IN_A_SECOND
    ),
    "replica_too_slow": Refusal(504, "Gateway Timeout", "The replica did not answer in time."),
}
"""The codes behind HAProxy's own errors. What cannot even be read as the head of a request gets
HAProxy's fixed 400 or 408 page instead: no rule runs and no text can be set for that."""


def problems() -> dict[str, tuple[int, str]]:
    """Return status and meaning of every code that the gateway answers with."""
    known = {**REFUSALS, **_HAPROXY_ERRORS}
    return {code: (refusal.status, refusal.detail) for code, refusal in known.items()}


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
    "address": '"%ci"',
}


def render(
    table: RoutingTable, options: GatewayOptions, *, metering: str = METERING_ON
) -> Rendered:
    """Return what makes HAProxy serve this table; `ValueError` for a wrong option."""
    routes: dict[str, str] = {}
    servers: dict[str, dict[str, str]] = {}
    keys: dict[str, str] = {}
    grants: dict[str, str] = {}
    rejected: list[str] = []
    for route in table.routes:
        try:
            if route.deployment_id in servers or route.app_name in routes:
                raise ValueError(f"a second route {route.deployment_id!r}, {route.app_name!r}")  # noqa: TRY301 - one way out
            entry, places = _route_entry(route), _places(route)
        except ValueError as error:
            rejected.append(str(error))
        else:
            routes[route.app_name], servers[route.deployment_id] = entry, places
    for key in table.keys:
        try:
            entry, granted = _key_entry(key), _grants(key)
        except ValueError as error:
            rejected.append(str(error))
        else:
            # HAProxy's `hex` writes capitals: a capital hash saves it a step per request.
            keys[key.secret_hash.upper()] = entry
            grants.update(granted)
    return Rendered(
        config=render_config(options),
        servers=servers,
        maps={ROUTES: routes, KEYS: keys, GRANTS: grants, FLAGS: {"metering": metering}},
        rejected=tuple(rejected),
    )


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
    values = numbers | {
        "binds": "\n".join(f"    bind {_bind(bind)}" for bind in options.binds),
        "apps_domain": _host(options.apps_domain),
        "own_hosts": " ".join(_host(host) for host in options.own_hosts),
        "public_scheme": options.public_scheme,
        "key_prefix": KEY_PREFIX,
        "limit_expire_seconds": str(2 * options.window_seconds),
        "server_options": server_options(options),
        "log_format": "{" + ",".join(f'"{k}":{v}' for k, v in _LOG_FORMAT.items()) + "}",
        "errors": "\n".join(
            f"    http-error {_answer(code, refusal, options)}"
            for code, refusal in _HAPROXY_ERRORS.items()
        ),
        "refusals": "\n".join(
            f"    http-request return {_answer(code, refusal, options)}"
            f" if {{ var(txn.no) -m str {code} }}"
            for code, refusal in REFUSALS.items()
        ),
        "unavailable": _answer("no_healthy_replica", REFUSALS["no_healthy_replica"], options),
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
    fields = (("Server-Timing", "total;dur=%[date(0,ms),sub(txn.now_ms)]"), *refusal.headers)
    headers = "".join(f' hdr {name} "{value}"' for name, value in fields)
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
    return f"{_name(route.deployment_id)}:{_name(route.team_id)}:{route.visibility}"


def _places(route: Route) -> dict[str, str]:
    return {_name(replica.id): _place(replica) for replica in route.replicas}


def _key_entry(key: Key) -> str:
    if not _HASH.fullmatch(key.secret_hash):
        raise ValueError(f"not a SHA-256 in hex: the hash of key {key.key_id!r}")
    expires = "" if key.expires_at is None else str(int(key.expires_at.timestamp()))
    calls = "all" if "call:*" in key.scopes or "admin:*" in key.scopes else "some"
    limit = max(0, key.requests_per_minute)
    return f"{_name(key.key_id)}:{_name(key.team_id)}:{limit}:{expires}:{calls}"


def _grants(key: Key) -> dict[str, str]:
    scopes = [scope for scope in key.scopes if scope.startswith("call:") and scope != "call:*"]
    return {f"{key.key_id}:{_name(scope.removeprefix('call:'))}": "call" for scope in scopes}


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"not a name that is safe in HAProxy's configuration: {text!r}")
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(f"not a host name in lower case: {text!r}")
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
