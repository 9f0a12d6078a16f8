"""The store all gateways share: what is in it, who may change it, what is readable of it."""

import asyncio
import base64

import msgspec
import pytest

from infrastructure.certificates import Account, LeaseLost, StoredCertificate
from infrastructure.certificates.inspecting import facts_of_pem
from infrastructure.certificates.postgres import PostgresCertificateStore
from tests.certificates import Authority
from tests.wiring import Installation

SHOP, OPEN = "shop.example.com", "open.example.com"


def made(name: str = SHOP, owner_id: str = "dom-1", *, days: float = 90) -> StoredCertificate:
    chain, key = Authority().issue(name, days=days, began_days_ago=10)
    return StoredCertificate(
        name=name,
        owner_id=owner_id,
        origin="authority",
        chain=chain,
        private_key=key,
        certificate=facts_of_pem(chain),
    )


async def test_a_stored_certificate_is_read_as_it_was_and_each_change_is_a_version(
    installation: Installation,
) -> None:
    store, (shop, opened) = installation.certificates, (made(), made(OPEN, "dom-2"))
    assert (await store.read()).version == 0
    await store.put(shop)
    await store.put(opened, told=True)
    state = await store.read()
    assert (state.version, list(state.certificates)) == (2, [opened, shop])
    assert [(one.name, one.told) for one in await store.standings()] == [
        (OPEN, True),
        (SHOP, False),
    ]
    await store.mark_told(SHOP, fingerprint="of another one")
    assert not (await store.standings())[1].told
    await store.mark_told(SHOP, fingerprint=shop.certificate.fingerprint)
    assert (await store.standings())[1].told

    await store.remove(SHOP, owner_id="dom-2")
    assert len((await store.read()).certificates) == 2
    await store.remove(SHOP, owner_id="dom-1")
    state = await store.read()
    assert list(state.certificates) == [opened]
    assert state.version > 2
    await store.put(made(SHOP, days=-1))
    assert list((await store.read()).certificates) == [opened], "an expired one is not served"


async def test_no_private_key_is_readable_in_the_database_or_in_a_repr(
    installation: Installation,
) -> None:
    store, shop = installation.certificates, made()
    await store.put(shop)
    order = await store.take_order(OPEN, owner_id="dom-2", lease_seconds=60)
    assert order is not None
    await store.save_order(msgspec.structs.replace(order, private_key=shop.private_key))
    account = await store.save_account(Account(directory="https://ca", private_key="the account"))
    dump = str(
        await installation.as_admin(
            "SELECT to_jsonb(t) FROM certificates t UNION ALL"
            " SELECT to_jsonb(t) FROM certificate_orders t UNION ALL"
            " SELECT to_jsonb(t) FROM acme_accounts t"
        )
    )
    inner = "".join(shop.private_key.splitlines()[1:-1])
    for secret in ("PRIVATE", inner[:40], "the account", base64.b64encode(b"the account").decode()):
        assert secret not in dump
    assert "PRIVATE" not in f"{shop} {await store.read()} {order}"
    assert "the account" not in str(account)
    taken = msgspec.structs.replace(order, private_key=shop.private_key)
    assert "PRIVATE" not in f"{taken!r}"
    another = PostgresCertificateStore(installation.pool, secret=b"another secret, of 32 bytes ...")
    with pytest.raises(ValueError, match="secret key"):
        await another.read()


async def test_one_of_many_gets_the_lease_and_who_lost_it_changes_nothing(
    installation: Installation,
) -> None:
    store = installation.certificates
    took = await asyncio.gather(
        *(store.take_order(SHOP, owner_id="dom-1", lease_seconds=60) for _ in range(10))
    )
    [order] = [one for one in took if one is not None]
    assert await store.due({SHOP: "dom-1", OPEN: "dom-2"}) == [OPEN]
    order = msgspec.structs.replace(order, url="https://ca/order/1", private_key="a key")
    await store.save_order(order)
    await store.keep_order(order, lease_seconds=-1)

    resumed = await store.take_order(SHOP, owner_id="dom-1", lease_seconds=60)
    assert resumed is not None
    assert (resumed.url, resumed.private_key) == ("https://ca/order/1", "a key")
    for late in (
        store.save_order(order),
        store.keep_order(order, lease_seconds=60),
        store.publish(order, token="t", answer="a"),
        store.finish_order(order, made()),
        store.fail_order(order, retry_seconds=0),
    ):
        with pytest.raises(LeaseLost):
            await late
    assert not (await store.read()).certificates
    await store.finish_order(resumed, made())
    assert len((await store.read()).certificates) == 1
    again = await store.take_order(SHOP, owner_id="dom-1", lease_seconds=60)
    assert again is not None
    assert (again.url, again.private_key, again.failures) == (None, None, 0)
    with pytest.raises(LeaseLost):
        await store.save_order(resumed)


async def test_what_failed_waits_and_begins_anew_and_another_owner_does_not_wait(
    installation: Installation,
) -> None:
    store = installation.certificates
    order = await store.take_order(SHOP, owner_id="dom-1", lease_seconds=60)
    assert order is not None
    await store.save_order(msgspec.structs.replace(order, url="https://ca/1"))
    version = await store.publish(order, token="tok", answer="tok.print")
    state = await store.read()
    assert (state.version, state.challenges) == (version, {"tok": "tok.print"})
    await store.fail_order(order, retry_seconds=3600)
    assert (await store.read()).challenges == {}
    assert await store.due({SHOP: "dom-1"}) == []
    assert await store.take_order(SHOP, owner_id="dom-1", lease_seconds=60) is None
    other = await store.take_order(SHOP, owner_id="dom-9", lease_seconds=60)
    assert other is not None
    assert (other.failures, other.url) == (0, None)
    await store.fail_order(other, retry_seconds=-1)
    again = await store.take_order(SHOP, owner_id="dom-9", lease_seconds=60)
    assert again is not None
    assert again.failures == 1


async def test_a_version_is_everywhere_when_every_living_gateway_said_so(
    installation: Installation,
) -> None:
    store = installation.certificates
    assert not await store.is_everywhere(0)
    await store.put(made())
    assert await store.applied("gateway-1", 1) == 1
    assert await store.is_everywhere(1)
    await store.applied("gateway-2", 0)
    assert not await store.is_everywhere(1)
    await installation.as_admin(
        "UPDATE certificate_gateways SET seen_at = seen_at - interval '1 hour'"
        " WHERE gateway_id = 'gateway-2'"
    )
    assert await store.is_everywhere(1)


async def test_the_account_is_made_once(installation: Installation) -> None:
    store = installation.certificates
    assert await store.account("https://ca") is None
    kept = await asyncio.gather(
        *(
            store.save_account(Account(directory="https://ca", private_key=f"key {number}"))
            for number in range(5)
        )
    )
    assert len({account.private_key for account in kept}) == 1
    named = msgspec.structs.replace(kept[0], url="https://ca/account/1")
    assert await store.save_account(named) == named
    assert await store.account("https://ca") == named
