"""The real application on real servers, asked in process."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email.headerregistry import Address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi import FastAPI
from prometheus_client import generate_latest

from api.app import create_app
from api.live.hub import Hub
from api.live.lines import Followers
from api.services import Options, Services
from commands.bus import Context
from commands.deployments import ReportReplicas
from commands.work import Actor
from domain.deployments.values import ReplicaPhase, ReplicaReport
from domain.kernel.ids import ALPHABET, LENGTH
from domain.teams.events import MemberAdded
from domain.teams.values import Role
from infrastructure.certificates.inspecting import inspected
from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from infrastructure.containers.catalogue import ECHO
from infrastructure.counters import Counters
from infrastructure.counters.redis import RedisCounters
from infrastructure.ending import end
from infrastructure.mail import OutgoingMail
from infrastructure.mail.mailbox import FolderMailbox, FolderMailer
from infrastructure.registries import NoRegistries
from infrastructure.sources.folder import FolderSources
from infrastructure.tokens.pyjwt import JwtTokens
from infrastructure.webhooks import Change, Endpoint, Enqueue, Message, PutEndpoint
from infrastructure.webhooks.postgres import PostgresLedger
from projections.analytics.logs import LogQueries
from projections.analytics.queries import AnalyticsQueries
from projections.analytics.samples import SampleQueries
from projections.analytics.schema import create_tables
from projections.catalogue import VIEWS
from projections.reading import Reader
from projections.upkeep import Upkeep
from projections.view import View
from tests.authenticator import Authenticator
from tests.infrastructure.clickhouse.process import ClickHouseProcess
from tests.servers import ValkeyServer
from tests.wiring import PASSWORD, SECRET, Clock, Installation

SIGNING_KEY = (
    Ed25519PrivateKey.generate()
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
PLENTY = 1_000_000
OPTIONS = Options(
    rate_auth=PLENTY,
    rate_deployments=PLENTY,
    rate_reads=PLENTY,
    rate_logs=PLENTY,
    guesses_per_network=PLENTY,
    guesses_per_account=PLENTY,
    mails_per_minute=PLENTY,
    even_answer_seconds=0.0,
    wait_seconds_max=20.0,
    deletion_wait_seconds=0.3,
    follow_seconds_max=0.3,
)

Body = dict[str, Any]

DOCUMENT: Body = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1.0"},
    "paths": {"/orders": {"get": {"responses": {"200": {"description": "The orders"}}}}},
}


CANARIES = ("$argon2", "sealed:1:", "secretHash", "secret_hash", PASSWORD, SECRET.decode())
"""What no answer may have: hashes, what is sealed, passwords, the installation's secret."""


async def must_not_tell(answer: httpx.Response) -> None:
    """Look into every answer of every test for what must never leave; what was sent may return."""
    await answer.aread()
    request = answer.request
    sent = str(request.url)
    with contextlib.suppress(httpx.RequestNotRead):  # a stream is gone once it is sent
        sent += request.content.decode("utf-8", "replace")
    told = [canary for canary in CANARIES if canary in answer.text and canary not in sent]
    assert not told, f"{request.method} {request.url} tells {told}"


class Visitor:
    """Somebody with a name, or nobody, asking over HTTP."""

    def __init__(self, api: "Api", headers: dict[str, str]) -> None:
        self.api = api
        self.headers = headers
        self.account: Body = {}
        self.session: Body = {}
        self.position = "0"
        self.team_id: str | None = None
        """Where what is made goes; the personal team unless set."""

    def at(self, api: "Api") -> "Visitor":
        """Return the same person, who asks another process."""
        visitor = Visitor(api, self.headers)
        visitor.account, visitor.session = self.account, self.session
        return visitor

    async def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> httpx.Response:
        sent = {
            **self.headers,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        answer = await self.api.client.request(method, path, json=body, headers=sent)
        self.position = answer.headers.get("X-Tallyport-Position", self.position)
        return answer

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Read after one's own last write."""
        return await self.ask("GET", path, X_Tallyport_Min_Position=self.position, **headers)

    async def post(self, path: str, body: object = None, **headers: str) -> httpx.Response:
        return await self.ask("POST", path, body, **headers)

    def _whose(self) -> Body:
        return {"teamId": self.team_id} if self.team_id else {}

    async def deploy(self, app_name: str = "hello", **changes: Any) -> str:
        wish = {"appName": app_name, "image": "tallyport/echo", "port": 8080}
        wish = {**wish, **self._whose(), **changes}
        answer = await self.post("/v1/deployments", wish)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def add_domain(self, deployment_id: str, domain: str = "www.example.com") -> Body:
        answer = await self.post(f"/v1/deployments/{deployment_id}/domains", {"domain": domain})
        assert answer.status_code == 201, answer.text
        added: Body = answer.json()
        return added

    async def add_webhook(self, *event_types: str, **changes: Any) -> Body:
        """Make a webhook; its secret is in what is returned."""
        wish = {"url": "https://hooks.example.com/t", "eventTypes": list(event_types or ("*",))}
        answer = await self.post("/v1/webhooks", {**wish, **self._whose(), **changes})
        assert answer.status_code == 201, answer.text
        made: Body = answer.json()
        return made

    async def publish(self, deployment_id: str) -> None:
        """Give a deployment a document."""
        path = f"/v1/deployments/{deployment_id}/openapi"
        answer = await self.ask("PUT", path, DOCUMENT)
        assert answer.status_code == 200, answer.text

    async def open_portal(self, visibility: str = "team") -> str:
        """Make a deployment with a document and a portal; return its id."""
        deployment_id = await self.deploy(f"app-{secrets.token_hex(5)}")
        await self.publish(deployment_id)
        path = f"/v1/deployments/{deployment_id}/portal"
        answer = await self.ask("PUT", path, {"visibility": visibility})
        assert answer.status_code == 200, answer.text
        return deployment_id

    async def add_delivery(self, webhook: Body | None = None, **changes: Any) -> str:
        """Put a message into the ledger, as the worker does; return its id."""
        webhook = webhook or await self.add_webhook()
        delivery_id = "whd-" + "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
        endpoint = Endpoint(
            webhook_id=webhook["id"],
            team_id=webhook["teamId"],
            url="sealed",
            event_types=("*",),
            secret="sealed",
        )
        message = Message(
            delivery_id=delivery_id,
            webhook_id=webhook["id"],
            cursor=delivery_id,
            position=1,
            body='{"type":"key.created"}',
            **{"event_type": "key.created", **changes},
        )
        ledger = PostgresLedger(self.api.installation.pool)
        position = await ledger.position()
        changed: list[Change] = [PutEndpoint(endpoint), Enqueue(message)]
        await ledger.advance(changed, before=position, after=position)
        return delivery_id

    async def add_passkey(self) -> str:
        """Let a new security key sign one in; return the passkey's id."""
        origin = self.api.services.options.public_url
        offered = await self.post("/v1/user/passkeys/options")
        assert offered.status_code == 200, offered.text
        made = Authenticator(origin, urlsplit(origin).hostname or "").create(
            offered.json()["publicKey"]
        )
        added = await self.post("/v1/user/passkeys", {"name": "a key", "credential": made})
        assert added.status_code == 201, added.text
        return str(added.json()["id"])

    async def create_key(self, *scopes: str, **changes: Any) -> Body:
        wish = {"name": "a key", "scopes": list(scopes or ("call:*",))}
        wish = {**wish, **self._whose(), **changes}
        answer = await self.post("/v1/api-keys", wish)
        assert answer.status_code == 201, answer.text
        made: Body = answer.json()
        return made

    async def found_team(self, name: str = "Acme") -> str:
        """Found a team."""
        answer = await self.post("/v1/teams", {"name": name})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def invite(self, email: str, team_id: str, role: str = "developer") -> str:
        """Invite somebody; return the invitation's id."""
        wish = {"email": email, "role": role}
        answer = await self.post(f"/v1/teams/{team_id}/invitations", wish)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def with_key(self, *scopes: str, **changes: Any) -> "Visitor":
        """Return a program that has a key of one's team."""
        key = await self.create_key(*scopes, **changes)
        return Visitor(self.api, {"X-API-Key": key["apiKey"]})


class Api:
    """One application and its parts."""

    def __init__(self, installation: Installation, services: Services, reader: Reader) -> None:
        self.installation = installation
        self.services = services
        self.reader = reader
        self.app: FastAPI = create_app(services)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, client=("192.0.2.1", 50000)),
            base_url="http://api.test",
            timeout=30,
            event_hooks={"response": [must_not_tell]},
        )
        self.nobody = Visitor(self, {})

    def another(self, **options: Any) -> "Api":
        """Return another process's application, with other options, on the same parts."""
        return self.with_counters(self.services.counters, **options)

    def at(self, moment: datetime) -> "Api":
        """Return another process's application whose clock stands at another time."""
        services = replace(self.services, bus=self.installation.another_bus(), clock=lambda: moment)
        return Api(self.installation, services, self.reader)

    def timed(self, clock: Clock, **options: Any) -> "Api":
        """Return one in which time passes only when the test says so."""
        services = replace(
            self.services,
            bus=self.installation.another_bus(clock),
            clock=clock,
            options=replace(self.services.options, **options),
        )
        return Api(self.installation, services, self.reader)

    def with_counters(self, counters: Counters, **options: Any) -> "Api":
        """Return one that counts elsewhere."""
        services = replace(
            self.services,
            bus=self.installation.another_bus(),
            counters=counters,
            options=replace(self.services.options, **options),
        )
        return Api(self.installation, services, self.reader)

    def with_services(self, **services: Any) -> "Api":
        """Return one with other services."""
        return Api(self.installation, replace(self.services, **services), self.reader)

    async def report(self, deployment_id: str, *phases: ReplicaPhase) -> None:
        """Say, as the provisioner does, what replicas there are."""
        replicas = tuple(
            ReplicaReport(
                replica_id=f"{deployment_id}-1-{number}",
                revision=1,
                phase=phase,
                address="127.0.0.1",
                port=9000 + number,
            )
            for number, phase in enumerate(phases, start=1)
        )
        command = ReportReplicas(deployment_id=deployment_id, replicas=replicas)
        await self.installation.dispatch(command, Context(actor=Actor(id="provisioner")))

    async def join(self, username: str = "anna") -> Visitor:
        """Register somebody and sign them in."""
        person = {"username": username, "email": f"{username}@example.com", "password": PASSWORD}
        registered = await self.nobody.post(
            "/v1/auth/register", {**person, "confirmPassword": PASSWORD}
        )
        assert registered.status_code == 201, registered.text
        visitor = await self.sign_in(person["email"])
        visitor.account = registered.json()
        return visitor

    async def sign_in(self, email: str) -> Visitor:
        login = await self.nobody.post("/v1/auth/login", {"email": email, "password": PASSWORD})
        assert login.status_code == 200, login.text
        visitor = Visitor(self, {"Authorization": f"Bearer {login.json()['accessToken']}"})
        visitor.session = login.json()
        visitor.account = visitor.session["user"]
        return visitor

    async def add_member(self, team_id: str, visitor: Visitor, role: Role) -> None:
        """Put somebody into a team, without an invitation; effective at once."""
        added = MemberAdded(user_id=visitor.account["id"], role=role)
        versions = await self.installation.store.versions([team_id])
        position = await self.installation.append(team_id, added, after=versions[team_id])
        await self.reader.wait_for("members", position, timeout_seconds=20)
        self.app.state.doorkeeper.forget_person(visitor.account["id"])

    async def new_member(self, team_id: str) -> str:
        """Put somebody new, who looks only, into a team; return their user id."""
        name = f"member-{secrets.token_hex(5)}"
        person = await self.installation.register(name)
        visitor = Visitor(self, {})
        visitor.account = {"id": person.user_id}
        await self.add_member(team_id, visitor, Role.VIEWER)
        return person.user_id

    async def new_mail(self, **more: Any) -> str:
        """Leave a letter in the mailbox, as the mailer does; return its id."""
        assert isinstance(self.services.mailbox, FolderMailbox)
        mail_id = f"mai-{secrets.token_hex(5)}"
        letter = OutgoingMail(
            mail_id=mail_id,
            recipient="anna@example.com",
            subject="Your link",
            text="Follow http://api.test/verify-email#token\n",
            html="<p>Follow it</p>",
            requested_at=datetime.now(UTC),
        )
        folder = self.services.mailbox.folder
        sender = Address("Tallyport", "no-reply", "localhost")
        await FolderMailer(folder, sender=sender).send(msgspec.structs.replace(letter, **more))
        return mail_id

    async def close(self) -> None:
        await self.client.aclose()


@asynccontextmanager
async def held_back(api: Api) -> AsyncIterator[None]:
    """Let no view get any further."""
    async with await psycopg.AsyncConnection.connect(api.installation.admin_conninfo) as blocking:
        await blocking.execute("LOCK TABLE view_positions IN EXCLUSIVE MODE")
        yield


async def looked_up(host: str, port: int) -> list[str]:
    """Answer as DNS does where nobody means harm."""
    del port
    return [host if host[0].isdigit() or ":" in host else "93.184.215.14"]


MakeServices = Callable[..., Services]


@pytest.fixture
async def clickhouse(clickhouse_server: ClickHouseProcess) -> AsyncIterator[ClickHouseClient]:
    """Teams never meet, so all tests share the tables."""
    client = ClickHouseClient(ClickHouseOptions(url=clickhouse_server.url, retries_max=0))
    await create_tables(client)
    yield client
    await client.close()


@asynccontextmanager
async def services_of(
    installation: Installation,
    counters: RedisCounters,
    clickhouse: ClickHouseClient,
    views: Iterable[View[Any]] = VIEWS,
) -> AsyncIterator[Services]:
    """Return what the application needs, with these views running."""
    installation.start_views(views)
    live = "SELECT view FROM view_generations WHERE live"
    while len(await installation.query(live)) < len(VIEWS):  # noqa: ASYNC110 - they say it there
        await asyncio.sleep(0.01)
    reader = Reader(installation.pool, installation.conninfo, VIEWS, poll_seconds=0.1)
    stop = asyncio.Event()
    listening = asyncio.create_task(reader.run(stop))
    hub = Hub(installation.stream(), installation.store, installation.codec)
    telling = asyncio.create_task(hub.run(stop))
    uploads = TemporaryDirectory()
    yield Services(
        bus=installation.bus,
        log=installation.store,
        decoder=installation.codec,
        vault=installation.vault,
        links=installation.links,
        views=reader,
        analytics=AnalyticsQueries(clickhouse),
        logs=LogQueries(clickhouse),
        samples=SampleQueries(clickhouse),
        counters=counters,
        live=hub,
        followers=Followers(LogQueries(clickhouse)),
        registries=NoRegistries(),
        sources=FolderSources(Path(uploads.name)),
        lookup=looked_up,
        certificates=installation.certificates,
        inspect_certificate=inspected,
        tokens=JwtTokens(
            signing_key_pem=SIGNING_KEY, issuer="http://api.test", lifetime_seconds=600
        ),
        secret=SECRET,
        images=(ECHO,),
        checks={"database": reader.check, "counters": counters.check},
        upkeep=Upkeep(installation.pool),
        metrics=generate_latest,
        mailbox=FolderMailbox(Path(uploads.name) / "mail"),
        options=OPTIONS,
    )
    uploads.cleanup()
    stop.set()
    await listening
    await end(telling)


@pytest.fixture
async def api(
    installation: Installation, valkey: ValkeyServer, clickhouse: ClickHouseClient
) -> AsyncIterator[Api]:
    """Return the application with its views running."""
    counters = RedisCounters(valkey.url)
    async with services_of(installation, counters, clickhouse) as services:
        opened = Api(installation, services, services.views)
        yield opened
        await opened.close()
    await counters.close()
