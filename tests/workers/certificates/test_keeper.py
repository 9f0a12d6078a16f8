"""From an active domain to a certificate that browsers take, at a real authority and gateway."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commands.bus import Context
from commands.certificates import NoteLostDomain
from commands.work import Actor
from domain.certificates.values import Origin
from gateway.runtime import Runtime
from infrastructure.certificates import Certificate, StoredCertificate
from infrastructure.certificates.inspecting import facts_of_pem
from projections.custom_domains import CUSTOM_DOMAINS
from tests.certificates import Authority
from tests.gateway.conftest import Gateway, eventually
from tests.wiring import Installation
from tests.workers.certificates.conftest import Scene, a_gateway
from workers.certificates import retry_seconds

SHOP, OPEN, NOWHERE = "shop.example.com", "open.example.com", "shop.nowhere.test"


async def shows(scene: Scene, host: str, fingerprint: str, gateway: Gateway | None = None) -> None:
    # The certificate comes first: who is sent to https before it is there would find nothing.
    async def does() -> bool:
        try:
            shown, head = await scene.visit(host, gateway)
        except OSError:
            return False
        return shown == fingerprint and b"strict-transport-security: max-age=" in head

    await eventually(does)


async def test_an_active_domain_is_served_with_a_certificate_and_renewed_without_a_failed_request(
    scene: Scene, installation: Installation
) -> None:
    anna = await installation.register()
    domain_id = await scene.domain(anna, SHOP)
    keeper = scene.keeper()
    await scene.look(keeper)
    first = (await scene.standings())[SHOP]
    assert first.told
    assert (await installation.certificates.read()).challenges == {}
    row = await scene.row(domain_id)
    assert row is not None
    assert (row.origin, row.fingerprint) == (Origin.AUTHORITY, first.certificate.fingerprint)
    await shows(scene, SHOP, first.certificate.fingerprint)

    await scene.look(keeper)
    assert scene.pebble.certificates_issued == 1
    workers = await Runtime(scene.gateway.launch.run_folder).workers()
    scene.now = datetime.now(UTC) + timedelta(days=61)
    renewed = asyncio.Event()

    async def keep_asking() -> set[str]:
        seen = set()
        while not renewed.is_set():
            seen.add(await scene.shown(SHOP))
        return seen

    asking = [asyncio.create_task(keep_asking()) for _ in range(3)]
    await scene.look(keeper)
    second = (await scene.standings())[SHOP].certificate.fingerprint
    assert second != first.certificate.fingerprint
    await shows(scene, SHOP, second)
    renewed.set()
    for seen in await asyncio.gather(*asking):
        assert seen <= {first.certificate.fingerprint, second}
    assert await Runtime(scene.gateway.launch.run_folder).workers() == workers
    events = await installation.store.read_stream(scene.events_of(domain_id))
    assert [event.topic for event in events] == ["certificates.CertificateIssued@1"] * 2


async def test_two_gateways_show_the_one_certificate_of_the_store_and_its_successor(
    scene: Scene, installation: Installation, tmp_path: Path
) -> None:
    anna = await installation.register()
    await scene.domain(anna, SHOP)
    second = a_gateway(tmp_path / "second")
    await second.start()
    try:
        await scene.follow(second, "gateway-2")
        for issued in (1, 2):
            await scene.look(scene.keeper())
            shown = (await scene.standings())[SHOP].certificate.fingerprint
            for gateway in (scene.gateway, second):
                await shows(scene, SHOP, shown, gateway)
            assert scene.pebble.certificates_issued == issued
            scene.now = datetime.now(UTC) + timedelta(days=61)
    finally:
        await second.stop()


async def test_two_keepers_order_each_certificate_once(
    scene: Scene, installation: Installation
) -> None:
    anna = await installation.register()
    for name in (SHOP, OPEN):
        await scene.domain(anna, name)
    await scene.look(*(scene.keeper() for _ in range(3)))
    assert scene.pebble.certificates_issued == 2
    assert set(await scene.standings()) == {SHOP, OPEN}


async def test_why_a_domain_has_none_is_told_its_owner_and_tried_again_later(
    scene: Scene, installation: Installation
) -> None:
    anna = await installation.register()
    lost, fine = await scene.domain(anna, NOWHERE), await scene.domain(anna, SHOP)
    keeper = scene.keeper()
    await scene.look(keeper)
    row = await scene.row(lost)
    assert row is not None
    assert row.failure is not None
    assert row.failure.startswith("The certificate authority says (")
    assert NOWHERE in row.failure
    assert row.retry_at is not None
    assert row.origin is None
    other = await scene.row(fine)
    assert other is not None
    assert other.failure is None
    await scene.look(keeper)
    events = await installation.store.read_stream(scene.events_of(lost))
    assert len(events) == 1, "it waits"
    assert [retry_seconds(failures) for failures in (1, 2, 3, 4, 9, 99)] == [
        *(60, 240, 960, 3840),
        *(86_400, 86_400),
    ]


async def test_an_order_is_resumed_where_its_keeper_was_killed(
    scene: Scene, installation: Installation
) -> None:
    anna = await installation.register()
    await scene.domain(anna, SHOP)
    keeper = scene.keeper(_killed)
    await installation.caught_up([CUSTOM_DOMAINS])
    await keeper.look()
    with pytest.raises(_Killed):
        await keeper.settle()
    assert not await scene.standings()
    assert scene.pebble.certificates_issued == 1
    await scene.look(scene.keeper())
    assert not await scene.standings(), "somebody may still be at it"
    await installation.as_admin("UPDATE certificate_orders SET held_until = '-infinity'")
    await scene.look(scene.keeper())
    assert set(await scene.standings()) == {SHOP}
    assert scene.pebble.certificates_issued == 1


async def test_what_the_log_was_not_told_is_told_later(
    scene: Scene, installation: Installation
) -> None:
    anna = await installation.register()
    domain_id = await scene.domain(anna, SHOP)
    chain, key = Authority().issue(SHOP)
    await installation.certificates.put(
        StoredCertificate(
            name=SHOP,
            owner_id=domain_id,
            origin="uploaded",
            chain=chain,
            private_key=key,
            certificate=facts_of_pem(chain),
        )
    )
    await scene.look(scene.keeper())
    row = await scene.row(domain_id)
    assert row is not None
    assert row.origin is Origin.UPLOADED
    assert scene.pebble.certificates_issued == 0, "the team's own is used until it ends"
    scene.now = datetime.now(UTC) + timedelta(days=91)
    await scene.look(scene.keeper())
    assert (await scene.standings())[SHOP].origin == "authority"


async def test_a_certificate_goes_with_its_domain_and_never_because_a_view_is_behind(
    scene: Scene, installation: Installation
) -> None:
    anna = await installation.register()
    shop, opened = await scene.domain(anna, SHOP), await scene.domain(anna, OPEN)
    keeper = scene.keeper()
    await scene.look(keeper)
    await shows(scene, SHOP, (await scene.standings())[SHOP].certificate.fingerprint)
    await scene.remove(shop, SHOP)
    await scene.look(keeper)
    assert set(await scene.standings()) == {OPEN}
    assert await scene.row(shop) is None
    assert (await scene.row(opened)) is not None

    async def refused() -> bool:
        try:
            await scene.shown(SHOP)
        except OSError:
            return True
        return False

    await eventually(refused)
    assert not await keeper._do(NoteLostDomain(domain_id=opened))
    with pytest.raises(Exception, match="active"):
        await installation.dispatch(
            NoteLostDomain(domain_id=opened), Context(actor=Actor(id="keeper"))
        )


async def test_the_authority_is_told_to_look_only_when_every_gateway_knows_the_answer(
    scene: Scene, installation: Installation
) -> None:
    anna = await installation.register()
    domain_id = await scene.domain(anna, SHOP)
    await installation.certificates.applied("gateway-2", 0)  # it lives, and hears nothing
    await scene.look(scene.keeper(gateway_seconds=0.3))
    row = await scene.row(domain_id)
    assert row is not None
    assert row.failure == "A gateway did not take the authority's question in time."
    assert scene.pebble.questions == []
    await installation.as_admin(
        "DELETE FROM certificate_gateways WHERE gateway_id = 'gateway-2'; "
        "UPDATE certificate_orders SET next_try_at = '-infinity'"
    )
    await scene.look(scene.keeper())
    assert set(await scene.standings()) == {SHOP}


class _Killed(Exception):
    pass


def _killed(chain: str) -> Certificate:
    raise _Killed(chain[:20])
