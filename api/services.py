"""What the API needs, handed in by whoever starts it. Nothing here is looked up or created."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from commands.bus import Bus
from domain.custom_domains.values import Target
from domain.deployments.values import Quota
from infrastructure.certificates import CertificateStore, Inspector
from infrastructure.containers import CatalogueImage
from infrastructure.counters import Counters
from infrastructure.event_store import RecordedEvent
from infrastructure.link_tokens import LinkTokens
from infrastructure.mail import Mailbox
from infrastructure.registries import Registries
from infrastructure.report_signatures import ReportSignatures
from infrastructure.sealing import Vault
from infrastructure.sources import Runtime, Sources
from infrastructure.tokens import Tokens
from projections.analytics.logs import LogEntry, LogQueries
from projections.analytics.queries import AnalyticsQueries
from projections.analytics.samples import SampleQueries
from projections.live import LiveEvent
from projections.reading import Reader
from projections.upkeep import Upkeep


class Log(Protocol):
    """What the API reads of the event store itself."""

    async def answer_of(self, key: bytes) -> tuple[bytes, bytes, int] | None:
        """Return fingerprint, answer and position remembered for an idempotency key."""
        ...

    async def read_stream(self, stream_id: str, *, after: int = 0) -> Sequence[RecordedEvent]:
        """Return a stream's events."""
        ...

    async def read_all(
        self, *, after: int, up_to: int | None = None, limit: int
    ) -> Sequence[RecordedEvent]:
        """Return at most `limit` events after a position, in order."""
        ...

    async def read_at(self, positions: Sequence[int]) -> Sequence[RecordedEvent]:
        """Return the events at these positions, in log order."""
        ...

    async def last_position(self) -> int:
        """Return the newest position."""
        ...


class Live(Protocol):
    """What happens, while it happens."""

    def watch(
        self, wants: Callable[[LiveEvent], bool], *, since: tuple[int, int] | None
    ) -> AsyncGenerator[LiveEvent, None]:
        """Yield what is wanted, from now on or since a place, each once and in order."""
        ...


class Followers(Protocol):
    """Follows the logs of deployments."""

    def follow(
        self,
        deployment_id: str,
        *,
        team_id: str,
        tail: int,
        since: datetime | None = None,
        search: str = "",
    ) -> AsyncGenerator[LogEntry, None]:
        """Yield the last lines and then each new one."""
        ...


class Lookup(Protocol):
    """Looks names up, to tell people early that we would not connect there."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return every address of the name; raises `OSError`."""
        ...


class EventDecoder(Protocol):
    """Turns stored events into today's."""

    async def decode_all(self, events: Sequence[RecordedEvent]) -> list[object]:
        """Return an event or an exception for each."""
        ...


@dataclass(frozen=True, kw_only=True)
class Options:
    """How this API behaves."""

    gateway_url: str = "http://apps.localhost:8080"
    """A deployment's URL is this one with its app name put first."""
    domain_target: Target = Target(apps_domain="apps.localhost")  # noqa: RUF009 - it is frozen
    """Where the records of custom domains have to lead."""
    platform_hosts: tuple[str, ...] = ("apps.localhost",)
    """Our own names: nobody adds one of them, or one below, as a custom domain."""
    kafka: bool = False
    """Whether Kafka stands between the log and its followers."""
    tls: bool = False
    """Whether the gateway speaks TLS, so that a certificate is of use."""
    webhooks_max: int = 20
    """How many webhooks a team may have."""
    webhook_hosts: tuple[str, ...] = ()
    """Hosts in networks of our own that the operator lets webhooks go to, also without TLS."""
    domains_max: int = 20
    """How many custom domains a deployment may have."""
    rate_auth: int = 10
    rate_deployments: int = 30
    rate_reads: int = 100
    rate_logs: int = 60
    """Requests per minute and caller."""
    public_url: str = "http://localhost:8000"
    """This API as its users reach it: passkeys work for its name only."""
    admin_second_factor: str = "once-set"
    """When admins of the platform need one: `always`, `once-set`, `never`."""
    oauth_form: bool = True
    """Whether OAuth 2's password form signs in."""
    otp_issuer: str = "Tallyport"
    """By which authenticator apps show where their codes are for."""
    idempotency_keys_max: int = 50_000
    """How many keys are remembered for one caller in a day."""
    body_limit_bytes: int = 1024 * 1024
    upload_limit_bytes: int = 50 * 1024 * 1024
    base_images: Mapping[Runtime, str] = field(
        default_factory=lambda: {
            "python": "python:3.12-slim",
            "node": "node:22-slim",
            "go": "golang:1.23",
        }
    )
    """What uploaded code is built on."""
    quota: Quota = Quota()  # noqa: RUF009 - frozen
    """What a team may run at once, where it has no limits of its own."""
    key_limit_default: int = 6000
    revoke_leaked_keys: bool = True
    """A key that somebody found is shut out at once, not only reported to its team."""
    price_per_million_requests: Decimal = Decimal("0.50")
    price_per_core_hour: Decimal = Decimal(0)
    price_per_gib_hour: Decimal = Decimal(0)
    currency: str = "EUR"
    cors_origins: tuple[str, ...] = ()
    https_only: bool = False
    """Tell browsers never to come without TLS."""
    access_token_seconds: int = 600
    session_lifetime: timedelta = timedelta(days=30)
    session_idle_lifetime: timedelta = timedelta(days=7)
    verify_email: bool = False
    """Let people sign in only after they have shown that their address is theirs."""
    password_length_min: int = 8
    guesses_per_network: int = 10
    guesses_per_account: int = 50
    """Wrong passwords for one account in a quarter of an hour: from one network, and altogether."""
    mails_per_minute: int = 5
    """Mails that one network may ask for, and that one address is sent, without signing in."""
    even_answer_seconds: float = 0.3
    """How long those answers take at least that must not tell whether an address has an account."""
    wait_seconds_max: float = 5.0
    """How long a read waits for its view to reach the position it asks for."""
    follow_seconds_max: float = 3600.0
    """After this a log followed over HTTP ends; whoever wants more asks again."""
    deletion_wait_seconds: float = 15.0
    """How long the deletion of a deployment is waited for before it is only promised."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """Everything a route may use."""

    bus: Bus
    log: Log
    decoder: EventDecoder
    vault: Vault
    links: LinkTokens
    views: Reader
    analytics: AnalyticsQueries
    logs: LogQueries
    samples: SampleQueries
    counters: Counters
    tokens: Tokens
    live: Live
    followers: Followers
    registries: Registries
    sources: Sources
    lookup: Lookup
    certificates: CertificateStore
    inspect_certificate: Inspector
    secret: bytes
    """Signs cursors and hides idempotency keys; the same in every API process."""
    images: Sequence[CatalogueImage]
    checks: Mapping[str, Callable[[], Awaitable[object]]]
    """Per part: returns when it answers, raises when it does not."""
    upkeep: Upkeep
    metrics: Callable[[], bytes]
    """This process's metrics in Prometheus' text format."""
    mailbox: Mailbox | None = None
    """Mails that stay on this machine; None: a mail server has them."""
    report_signatures: Mapping[str, ReportSignatures] = field(default_factory=dict)
    """Checks reports of leaked keys, by who sends them; reports of others are not taken."""
    options: Options = Options()
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
