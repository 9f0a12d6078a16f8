"""The settings by subject: each field with its variable, kind, default and one line of meaning.

`bootstrap/settings.py` reads them; nothing here looks at the environment.
"""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from bootstrap import setting_kinds as kinds
from bootstrap.certificate_settings import Tls
from bootstrap.container_settings import Containers, Quotas, ReplicaUsage, Sources
from bootstrap.domain_settings import Domains
from bootstrap.session_settings import Sessions
from bootstrap.setting_kinds import setting
from bootstrap.webhook_settings import Webhooks


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
    idempotency_keys_max: int = setting(
        "TALLYPORT_IDEMPOTENCY_KEYS_MAX",
        kinds.number(1, 10_000_000),
        "50000",
        "Writes with an Idempotency-Key a day and caller: so many answers are remembered.",
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
    client_addresses: str = setting(
        "TALLYPORT_CLIENT_ADDRESSES",
        kinds.choice("network", "full", "none"),
        "network",
        "What the request log keeps of a caller's address: its `network` (/24 or /48), the `full`"
        " address, or `none` of it. Limits count the full one, which is not kept.",
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
    signing_key_before: str = setting(
        "TALLYPORT_SIGNING_KEY_BEFORE",
        kinds.SIGNING_KEY,
        "",
        "The signing key before this one: its tokens are still taken while keys are changed.",
        secret=True,
        otherwise="",
        shown_default="none",
    )


@dataclass(frozen=True, kw_only=True)
class Leaks:
    """API keys that were found where others can read them."""

    action: str = setting(
        "TALLYPORT_LEAKED_KEYS",
        kinds.choice("revoke", "report"),
        "revoke",
        "What is done about a leaked key: `revoke` shuts it out at once, `report` only tells.",
    )
    github_keys_url: str = setting(
        "TALLYPORT_GITHUB_KEYS_URL",
        kinds.url("http", "https"),
        "",
        "Where GitHub publishes the keys it signs leak reports with: "
        "`https://api.github.com/meta/public_keys/secret_scanning`.",
        otherwise="",
        shown_default="reports from GitHub are not taken",
    )
    google_keys_url: str = setting(
        "TALLYPORT_GOOGLE_KEYS_URL",
        kinds.url("http", "https"),
        "",
        "Where Google's deps.dev publishes the keys it signs leak reports with: "
        "`https://storage.googleapis.com/depsdev-gcp-public-keys/secret_scanning`.",
        otherwise="",
        shown_default="reports from Google are not taken",
    )


@dataclass(frozen=True, kw_only=True)
class Mail:
    """Mail."""

    url: str = setting(
        "TALLYPORT_MAIL_URL",
        kinds.MAIL_URL,
        "",
        "The mail server: smtp://USER:PASSWORD@HOST:587 (with STARTTLS, unless ?tls=none says "
        "otherwise) or smtps://...; ?ca=/path names the certificates to trust. Empty: letters are "
        "files in the folder `mail` of the home.",
        secret=True,
        otherwise="",
        shown_default="the folder `mail` of the home",
    )
    sender: str = setting(
        "TALLYPORT_MAIL_FROM",
        kinds.SENDER,
        "",
        "Whom our letters come from. The mail server has to allow it.",
        otherwise="",
        shown_default="Tallyport <no-reply@HOST of TALLYPORT_PUBLIC_URL>",
    )
    mailbox: str = setting(
        "TALLYPORT_MAILBOX",
        kinds.choice("auto", "on", "off"),
        "auto",
        "Whether admins of the platform read in the dashboard what stands in that folder: `on` "
        "where the API has it too; `auto`: under `tallyport up`, without a mail server.",
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
    """What is paid for."""

    per_million_requests: Decimal = setting(
        "TALLYPORT_PRICE_PER_MILLION_REQUESTS",
        kinds.PRICE,
        "0.50",
        "Price of a million served requests.",
    )
    per_core_hour: Decimal = setting(
        "TALLYPORT_PRICE_PER_CORE_HOUR",
        kinds.PRICE,
        "0",
        "Price of one processor core, reserved for an hour; in estimates of a deployment's cost.",
    )
    per_gib_hour: Decimal = setting(
        "TALLYPORT_PRICE_PER_GIB_HOUR",
        kinds.PRICE,
        "0",
        "Price of one GiB of memory, reserved for an hour; in the same estimates.",
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
    tls: Tls = Tls()  # noqa: RUF009 - frozen as the others, only elsewhere
    parts: Parts = Parts()
    secrets: Secrets = Secrets()
    sessions: Sessions = Sessions()  # noqa: RUF009 - frozen as the others, only elsewhere
    leaks: Leaks = Leaks()
    mail: Mail = Mail()
    containers: Containers = Containers()  # noqa: RUF009 - frozen as the others, only elsewhere
    quotas: Quotas = Quotas()  # noqa: RUF009 - the same
    sources: Sources = Sources()  # noqa: RUF009 - the same
    domains: Domains = Domains()  # noqa: RUF009 - the same
    webhooks: Webhooks = Webhooks()  # noqa: RUF009 - the same
    logs: Logs = Logs()
    usage: ReplicaUsage = ReplicaUsage()  # noqa: RUF009 - the same
    prices: Prices = Prices()


def _local_url(host: str, port: int) -> str:
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    address = everywhere.get(host, host)
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
