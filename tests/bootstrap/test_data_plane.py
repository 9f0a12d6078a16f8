"""The gateway's table as it comes out of the views."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from bootstrap.data_plane import ViewTable
from commands.api_keys import RevokeApiKey, RotateApiKey
from domain.api_keys.values import hash_of
from domain.custom_domains.events import DomainRemoved, DomainVerified
from domain.custom_domains.values import DomainStatus
from gateway.configuration import Host, Key
from projections.gateway import HOSTS, KEYS, ROUTES
from projections.notices import MAINTENANCE
from projections.tables import KEYS_TOLD_MAX
from tests.wiring import Installation

WAIT_SECONDS = 10


@pytest.fixture
async def table(installation: Installation) -> AsyncIterator[ViewTable]:
    installation.start_views([KEYS, HOSTS, ROUTES, MAINTENANCE])
    opened = ViewTable(installation.pool, installation.conninfo)
    yield opened
    await opened.close()


async def keys_when(table: ViewTable, expected: set[str]) -> None:
    """Read each time news come, until the keys are these."""
    found: set[str] = set()
    for _ in range(50):
        if await table.wait_for_change(WAIT_SECONDS):
            try:
                found = {key.key_id for key in (await table.read()).keys}
            except OSError:
                continue  # the views are being made
        if found == expected:
            return
    raise AssertionError(f"{found} instead of {expected}")


async def test_a_created_and_a_revoked_key_are_told_one_by_one(
    installation: Installation, table: ViewTable
) -> None:
    anna = await installation.register()
    first = await installation.create_key(anna)
    await keys_when(table, {first.key_id})
    second = await installation.create_key(anna)
    await keys_when(table, {first.key_id, second.key_id})
    await installation.dispatch(RevokeApiKey(key_id=first.key_id), anna.context)
    await keys_when(table, {second.key_id})


async def test_a_verified_domain_is_told_and_untold_when_it_is_removed(
    installation: Installation, table: ViewTable
) -> None:
    async def hosts_when(*expected: Host) -> None:
        async with asyncio.timeout(30):
            while True:
                if await table.wait_for_change(WAIT_SECONDS):
                    with contextlib.suppress(OSError):  # the views are being made
                        if set((await table.read()).hosts) == set(expected):
                            return

    def of(number: int) -> tuple[str, Host]:
        name, deployment_id = f"{number}.example.com", f"dpl-{number:010}"
        return f"dom-{number:010}", Host(name=name, deployment_id=deployment_id)

    (first, host), (second, other) = of(1), of(2)
    now = datetime.now(UTC)
    for domain_id, each in ((first, host), (second, other)):
        verified = DomainVerified(
            name=each.name,
            deployment_id=each.deployment_id,
            previously=DomainStatus.PENDING,
            verified_at=now,
            next_check_at=now,
        )
        await installation.append(domain_id, verified)
    await hosts_when(host, other)
    removed = DomainRemoved(
        name=host.name,
        deployment_id=host.deployment_id,
        previously=DomainStatus.ACTIVE,
        removed_by="usr-1",
    )
    await installation.append(first, removed, after=1)
    await hosts_when(other)


async def test_a_rotated_key_is_two_entries_of_one_key_until_its_grace_ends(
    installation: Installation, table: ViewTable
) -> None:
    anna = await installation.register()
    key, other = await installation.create_key(anna), await installation.create_key(anna)

    async def rotate(grace: timedelta) -> str:
        command = RotateApiKey(key_id=key.key_id, grace=grace)
        return str((await installation.dispatch(command, anna.context)).result.key)

    async def hashes_when(*secrets: str) -> dict[str, Key]:
        async with asyncio.timeout(30):
            while True:
                if await table.wait_for_change(WAIT_SECONDS):
                    with contextlib.suppress(OSError):  # the views are being made
                        found = {entry.secret_hash: entry for entry in (await table.read()).keys}
                        if found.keys() == {hash_of(secret) for secret in secrets}:
                            return found

    second = await rotate(timedelta(hours=1))
    found = await hashes_when(key.key, second, other.key)
    current, retiring = found[hash_of(second)], found[hash_of(key.key)]
    assert current.expires_at is None
    assert retiring.expires_at is not None
    assert msgspec.structs.replace(retiring, secret_hash="", expires_at=None) == (
        msgspec.structs.replace(current, secret_hash="")
    )
    third = await rotate(timedelta(hours=1))
    await hashes_when(second, third, other.key)
    fourth = await rotate(timedelta(0))
    await hashes_when(fourth, other.key)


async def test_more_changes_than_fit_into_the_news_are_all_read(
    installation: Installation, table: ViewTable
) -> None:
    anna = await installation.register()
    created = [(await installation.create_key(anna)).key_id for _ in range(KEYS_TOLD_MAX + 50)]
    await keys_when(table, set(created))


async def test_a_read_that_nobody_announced_reads_everything(
    installation: Installation, table: ViewTable
) -> None:
    anna = await installation.register()
    key = await installation.create_key(anna)
    await keys_when(table, {key.key_id})
    async with installation.pool.connection() as connection:
        # Behind everybody's back, without news: as if the notification had been lost.
        await connection.execute("DELETE FROM views.gateway_keys")
    assert (await table.read()).keys == ()
