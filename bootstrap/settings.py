"""Every setting, read once at the start. The only module that reads the environment.

`load` turns the environment into one frozen tree or names everything that is wrong with it. A
variable that is empty counts as not set. `docs/settings.md` and `.env.example` are written from
the same fields by `bootstrap/settings_reference.py`.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from bootstrap import setting_kinds as kinds
from bootstrap.leak_settings import Leaks
from bootstrap.setting_kinds import Declaration, setting

T = TypeVar("T")

PREFIX = "TALLYPORT_"
NOT_OURS = ("TALLYPORT_VENV", "TALLYPORT_REQUIRE_")
"""Read by the scripts in bin/ and by the tests, never by the product."""


class SettingsError(Exception):
    """One or more settings have values that cannot be used; `problems` has a line for each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(["Tallyport cannot start with these settings:", *problems]))


@dataclass(frozen=True, kw_only=True)
class Api:
    """The REST API."""

    host: str = setting(
        "TALLYPORT_API_HOST", kinds.HOST, "127.0.0.1", "Address the API listens on."
    )
    port: int = setting("TALLYPORT_API_PORT", kinds.PORT, "8000", "Port the API listens on.")
    public_url: str = setting(
        "TALLYPORT_PUBLIC_URL",
        kinds.url("http", "https"),
        "",
        "The API as its users reach it; used in links and as the issuer of tokens.",
        otherwise="",
        shown_default="http://localhost:<API port>",
    )
    cors_origins: tuple[str, ...] = setting(
        "TALLYPORT_CORS_ORIGINS",
        kinds.ORIGINS,
        "",
        "Web origins that may call the API from a browser; empty allows none.",
        otherwise=(),
    )
    body_limit_bytes: int = setting(
        "TALLYPORT_BODY_LIMIT_BYTES",
        kinds.number(1024, 2**30),
        "1048576",
        "Largest request body the API takes; a larger one is answered with 413.",
    )
    rate_auth: int = setting(
        "TALLYPORT_RATE_AUTH",
        kinds.number(1, 1_000_000),
        "10",
        "Sign-ins, registrations and token requests per minute and caller.",
    )
    rate_deployments: int = setting(
        "TALLYPORT_RATE_DEPLOYMENTS",
        kinds.number(1, 1_000_000),
        "30",
        "Writes to deployments and keys per minute and caller.",
    )
    rate_reads: int = setting(
        "TALLYPORT_RATE_READS",
        kinds.number(1, 1_000_000),
        "100",
        "Reads per minute and caller.",
    )
    rate_logs: int = setting(
        "TALLYPORT_RATE_LOGS",
        kinds.number(1, 1_000_000),
        "60",
        "Reads of logs and metrics per minute and caller.",
    )

    @property
    def local_url(self) -> str:
        """Where this machine itself reaches the API."""
        return _local_url(self.host, self.port)


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The gateway in front of the deployed APIs."""

    id: str = setting(
        "TALLYPORT_GATEWAY_ID",
        kinds.NAME,
        "gateway-1",
        "Name of this gateway in the log; two gateways need two names, one gateway keeps its own.",
    )
    host: str = setting(
        "TALLYPORT_GATEWAY_HOST", kinds.HOST, "127.0.0.1", "Address the gateway listens on."
    )
    port: int = setting(
        "TALLYPORT_GATEWAY_PORT", kinds.PORT, "8080", "Port the gateway listens on."
    )
    apps_domain: str = setting(
        "TALLYPORT_APPS_DOMAIN",
        kinds.DOMAIN,
        "apps.localhost",
        "Deployed APIs answer at <app name>.<this domain>.",
    )
    public_url: str = setting(
        "TALLYPORT_GATEWAY_URL",
        kinds.url("http", "https"),
        "",
        "The gateway as its users reach it; an API's URL is this one with its name put first.",
        otherwise="",
        shown_default="http://<apps domain>:<gateway port>",
    )
    key_limit_default: int = setting(
        "TALLYPORT_KEY_LIMIT_DEFAULT",
        kinds.number(1, 10_000_000),
        "6000",
        "Requests per minute that one API key may make at the gateway.",
    )

    @property
    def local_url(self) -> str:
        """Where this machine itself reaches the gateway."""
        return _local_url(self.host, self.port)

    def url_of(self, app_name: str) -> str:
        """Return the URL of a deployed API."""
        scheme, _, rest = self.public_url.partition("://")
        return f"{scheme}://{app_name}.{rest}"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The servers Tallyport stands on. An empty URL means: start an embedded one."""

    database_url: str = setting(
        "TALLYPORT_DATABASE_URL",
        kinds.url("postgresql", "postgres"),
        "",
        "PostgreSQL as the application: may add events and read them, never change them.",
        secret=True,
        otherwise="",
        shown_default="embedded",
    )
    database_owner_url: str = setting(
        "TALLYPORT_DATABASE_OWNER_URL",
        kinds.url("postgresql", "postgres"),
        "",
        "PostgreSQL as the owner of the tables; only `tallyport migrate` uses it.",
        secret=True,
        otherwise="",
        shown_default="embedded",
    )
    kafka: str = setting(
        "TALLYPORT_KAFKA",
        kinds.STREAM,
        "none",
        "Kafka's bootstrap addresses; `none`: workers follow the log itself; `embedded`: a small "
        "Kafka in memory, to try it.",
    )
    clickhouse_url: str = setting(
        "TALLYPORT_CLICKHOUSE_URL",
        kinds.url("http", "https", "clickhouse", "clickhouses"),
        "",
        "ClickHouse over HTTP, with user, password and database.",
        secret=True,
        otherwise="",
        shown_default="embedded",
    )
    redis_url: str = setting(
        "TALLYPORT_REDIS_URL",
        kinds.url("redis", "rediss"),
        "",
        "Redis or Valkey, for counters that may be lost.",
        secret=True,
        otherwise="",
        shown_default="embedded",
    )


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Keys. With the embedded parts they are made at the first start, under the home folder."""

    secret_key: bytes = setting(
        "TALLYPORT_SECRET_KEY",
        kinds.SECRET_KEY,
        "",
        "Wraps the keys that seal personal fields and environment values. Lose it and they are "
        "lost. `openssl rand -base64 32` makes one.",
        secret=True,
        otherwise=b"",
        shown_default="made at the first start",
    )
    signing_key: str = setting(
        "TALLYPORT_SIGNING_KEY",
        kinds.SIGNING_KEY,
        "",
        "Signs access tokens. `openssl genpkey -algorithm ed25519` makes one.",
        secret=True,
        otherwise="",
        shown_default="made at the first start",
    )


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Passwords and how long a sign-in lasts."""

    access_token_seconds: int = setting(
        "TALLYPORT_ACCESS_TOKEN_SECONDS",
        kinds.number(30, 86_400),
        "600",
        "Life of an access token.",
    )
    refresh_idle_days: int = setting(
        "TALLYPORT_REFRESH_IDLE_DAYS",
        kinds.number(1, 365),
        "7",
        "A session not used for so long ends.",
    )
    refresh_days_max: int = setting(
        "TALLYPORT_REFRESH_DAYS_MAX",
        kinds.number(1, 365),
        "30",
        "A session ends after so long, used or not.",
    )
    otp_issuer: str = setting(
        "TALLYPORT_OTP_ISSUER",
        kinds.TEXT,
        "Tallyport",
        "The name under which authenticator apps show the codes for this installation.",
    )
    argon2_memory_kib: int = setting(
        "TALLYPORT_ARGON2_MEMORY_KIB",
        kinds.number(19_456, 2**21),
        "65536",
        "Memory for hashing one password.",
    )
    argon2_time_cost: int = setting(
        "TALLYPORT_ARGON2_TIME_COST",
        kinds.number(2, 100),
        "3",
        "Passes over that memory.",
    )
    argon2_parallelism: int = setting(
        "TALLYPORT_ARGON2_PARALLELISM",
        kinds.number(1, 64),
        "4",
        "Lanes computed side by side.",
    )


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


@dataclass(frozen=True, kw_only=True)
class Logs:
    """Our own log, and the logs of the deployed APIs."""

    level: str = setting(
        "TALLYPORT_LOG_LEVEL",
        kinds.choice("debug", "info", "warning", "error"),
        "info",
        "The least serious line that is still written.",
    )
    format: str = setting(
        "TALLYPORT_LOG_FORMAT",
        kinds.choice("text", "json"),
        "text",
        "`text` for people, `json` for machines.",
    )
    retention_days: int = setting(
        "TALLYPORT_LOG_RETENTION_DAYS",
        kinds.number(1, 3650),
        "7",
        "Days the log lines of deployed APIs are kept.",
    )


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What a served request costs."""

    per_million_requests: Decimal = setting(
        "TALLYPORT_PRICE_PER_MILLION_REQUESTS",
        kinds.PRICE,
        "0.50",
        "Price of a million served requests.",
    )
    currency: str = setting("TALLYPORT_CURRENCY", kinds.CURRENCY, "EUR", "Currency of all prices.")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of them."""

    home: Path = setting(
        "TALLYPORT_HOME",
        kinds.FOLDER,
        "~/.tallyport",
        "Folder of everything the embedded parts keep: data, secrets, logs.",
    )
    api: Api = Api()
    gateway: Gateway = Gateway()
    parts: Parts = Parts()
    secrets: Secrets = Secrets()
    sessions: Sessions = Sessions()
    leaks: Leaks = Leaks()
    containers: Containers = Containers()
    logs: Logs = Logs()
    prices: Prices = Prices()


def load(
    environ: Mapping[str, str] | None = None, *, overrides: Mapping[str, str] | None = None
) -> Settings:
    """Read the settings from the environment; raise `SettingsError` with all that is wrong.

    `overrides` holds variables that were given in another way, by an option on the command line.
    """
    environ = {**(os.environ if environ is None else environ), **(overrides or {})}
    problems: list[str] = []
    own = _read(Settings, environ, problems)
    settings = replace(
        own,
        **{
            name: _read(type(section), environ, problems)
            for name, section in _sections(own).items()
        },
    )
    problems += _contradictions(settings)
    if problems:
        raise SettingsError(problems)
    return _derived(settings)


def given(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of ours as they are, to hand them to a child process."""
    environ = os.environ if environ is None else environ
    names = {declared.name for _, declared in declarations()}
    return {name: text for name, text in environ.items() if name in names}


def unknown_names(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a line for each TALLYPORT_ variable that nobody reads: most often a typing mistake."""
    environ = os.environ if environ is None else environ
    known = [declared.name for _, declared in declarations()]
    lines = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and not name.startswith(NOT_OURS):
            near = difflib.get_close_matches(name, known, n=1)
            lines.append(
                f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "")
            )
    return lines


def declarations() -> Iterator[tuple[str, Declaration]]:
    """Yield every setting with the heading it stands under, in the order of the reference."""
    yield from (("Everything", declared) for _, declared in _declared(Settings))
    for section in _sections(Settings()).values():
        heading = (type(section).__doc__ or "").rstrip(".")
        yield from ((heading, declared) for _, declared in _declared(type(section)))


def _sections(settings: Settings) -> dict[str, Any]:
    """Return the sections by name: every field that is not itself a setting."""
    own = dict(_declared(Settings))
    return {f.name: getattr(settings, f.name) for f in fields(settings) if f.name not in own}


def _declared(section: type[Any]) -> Iterator[tuple[str, Declaration]]:
    for one in fields(section):
        if "declared" in one.metadata:
            yield one.name, one.metadata["declared"]


def _read(section: type[T], environ: Mapping[str, str], problems: list[str]) -> T:
    values: dict[str, Any] = {}
    for field_name, declared in _declared(section):
        text = environ.get(declared.name, "").strip()
        if text:
            try:
                values[field_name] = declared.kind.parse(text)
            except ValueError as error:
                got = "" if declared.secret else f" (it is {text[:80]!r})"
                problems.append(f"  {declared.name} [{declared.kind.name}]: {error}{got}")
    return section(**values)


def _contradictions(settings: Settings) -> Iterator[str]:
    if settings.parts.database_owner_url and not settings.parts.database_url:
        yield "  TALLYPORT_DATABASE_OWNER_URL: is set, but TALLYPORT_DATABASE_URL is not"
    if settings.sessions.refresh_idle_days > settings.sessions.refresh_days_max:
        yield "  TALLYPORT_REFRESH_IDLE_DAYS: is more than TALLYPORT_REFRESH_DAYS_MAX"


def _local_url(host: str, port: int) -> str:
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    address = everywhere.get(host, host)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _derived(settings: Settings) -> Settings:
    api, gateway = settings.api, settings.gateway
    api_url = api.public_url or f"http://localhost:{api.port}"
    gateway_url = gateway.public_url or f"http://{gateway.apps_domain}:{gateway.port}"
    return replace(
        settings,
        api=replace(api, public_url=api_url),
        gateway=replace(gateway, public_url=gateway_url),
    )
