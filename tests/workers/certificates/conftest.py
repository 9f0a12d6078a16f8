"""A certificate authority, a gateway, and active domains."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from bootstrap.tls import SharedTable
from domain.custom_domains.events import DomainAdded, DomainRemoved, DomainVerified
from domain.custom_domains.values import DomainStatus
from gateway.certificates import CertificateFollower, CertificateMetrics
from gateway.configuration import GatewayOptions
from infrastructure.acme.library import AcmeAuthority
from infrastructure.certificates import Certificate, Standing
from infrastructure.certificates.inspecting import facts_of_pem
from infrastructure.ending import end
from projections.certificates import CERTIFICATES, CertificateRow, certificates_of
from projections.custom_domains import CUSTOM_DOMAINS
from projections.reading import Reader
from tests.gateway.conftest import Gateway
from tests.infrastructure.acme.pebble import Pebble
from tests.servers import free_port
from tests.wiring import Installation, Person
from workers.certificates import CertificateKeeper

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Scene:
    """Everything between a domain and its certificate."""

    def __init__(self, installation: Installation, pebble: Pebble, gateway: Gateway) -> None:
        self.installation = installation
        self.pebble = pebble
        self.gateway = gateway
        self.now: datetime | None = None
        """None: as it is."""
        self.reader = Reader(installation.pool, installation.conninfo, [CERTIFICATES])
        self._following: list[asyncio.Task[None]] = []
        self._authorities: list[AcmeAuthority] = []
        self._domains = 0

    async def follow(self, gateway: Gateway, gateway_id: str) -> None:
        follower = CertificateFollower(
            SharedTable(self.installation.certificates, gateway_id),
            gateway.launch,
            CertificateMetrics(CollectorRegistry()),
            tick_seconds=0.05,
        )
        self._following.append(asyncio.create_task(follower.run()))

    async def close(self) -> None:
        await end(*self._following)
        for authority in self._authorities:
            await authority.close()

    def authority(self) -> AcmeAuthority:
        made = AcmeAuthority(
            self.pebble.directory,
            self.installation.certificates,
            ca_file=self.pebble.ca_file,
            poll_seconds=0.05,
        )
        self._authorities.append(made)
        return made

    def keeper(
        self,
        inspect: Callable[[str], Certificate] = facts_of_pem,
        *,
        gateway_seconds: float = 20,
    ) -> CertificateKeeper:
        return CertificateKeeper(
            self.installation.another_bus(),
            self.reader,
            self.installation.certificates,
            self.authority(),
            inspect,
            clock=lambda: self.now or datetime.now(UTC),
            gateway_seconds=gateway_seconds,
        )

    async def look(self, *keepers: CertificateKeeper) -> None:
        """Have the keepers do all that is due, and the views hear of it."""
        await self.installation.caught_up([CUSTOM_DOMAINS, CERTIFICATES])
        await asyncio.gather(*(keeper.look() for keeper in keepers))
        for keeper in keepers:
            await keeper.settle()
        await self.installation.caught_up([CERTIFICATES])

    async def domain(self, owner: Person, name: str) -> str:
        """Return the id of a domain that is active now."""
        self._domains += 1
        domain_id = f"dom-{self._domains:010}"
        deployment_id = (await self.installation.deploy(owner, f"app{self._domains}")).deployment_id
        added = DomainAdded(
            domain_id=domain_id,
            deployment_id=deployment_id,
            team_id=owner.team_id,
            name=name,
            token="abc",
            added_by=owner.user_id,
            added_at=NOON,
        )
        verified = DomainVerified(
            name=name,
            deployment_id=deployment_id,
            previously=DomainStatus.PENDING,
            verified_at=NOON,
            next_check_at=NOON + timedelta(days=1),
        )
        await self.installation.append(domain_id, added, verified)
        return domain_id

    async def remove(self, domain_id: str, name: str) -> None:
        gone = DomainRemoved(
            name=name,
            deployment_id="dpl-1",
            previously=DomainStatus.ACTIVE,
            removed_by="usr-1",
        )
        await self.installation.append(domain_id, gone, after=2)

    async def row(self, domain_id: str) -> CertificateRow | None:
        return (await certificates_of(self.reader, [domain_id])).get(domain_id)

    async def standings(self) -> dict[str, Standing]:
        return {one.name: one for one in await self.installation.certificates.standings()}

    def events_of(self, domain_id: str) -> str:
        return f"crt-{domain_id[4:]}"

    async def shown(self, host: str, gateway: Gateway | None = None) -> str:
        """Return the fingerprint of what a gateway shows for a host, as a browser sees it."""
        return (await self.visit(host, gateway))[0]

    async def visit(self, host: str, gateway: Gateway | None = None) -> tuple[str, bytes]:
        """Return the certificate's fingerprint and the head of the answer over TLS."""
        port = (gateway or self.gateway).launch.gateway.https_port
        context = ssl.create_default_context(cadata=self.pebble.root())
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname=host
        )
        try:
            channel: ssl.SSLObject = writer.get_extra_info("ssl_object")
            shown = ssl.DER_cert_to_PEM_cert(channel.getpeercert(binary_form=True) or b"")
            writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 404 " in head.split(b"\r\n")[0], head
        finally:
            writer.close()
            with suppress(OSError, ssl.SSLError):
                await writer.wait_closed()
        return facts_of_pem(shown).fingerprint, head.lower()


def a_gateway(folder: Path) -> Gateway:
    """Return a gateway that speaks TLS, not started yet."""
    folder.mkdir(exist_ok=True)
    plain, tls = free_port(), free_port()
    options = GatewayOptions(
        binds=(f"127.0.0.1:{plain}",), tls_binds=(f"127.0.0.1:{tls}",), https_port=tls
    )
    return Gateway(folder, options)


@pytest.fixture
async def scene(installation: Installation, tmp_path: Path) -> AsyncIterator[Scene]:
    gateway = a_gateway(tmp_path)
    installation.start_views([CUSTOM_DOMAINS, CERTIFICATES])
    async with Pebble(tmp_path, http_port=gateway.port) as pebble:
        scene = Scene(installation, pebble, gateway)
        await gateway.start()
        await scene.follow(gateway, "gateway-1")
        yield scene
        await scene.close()
        await gateway.stop()
