"""Admins of the platform: made on the server, never by registering."""

from dataclasses import replace

import pytest

from bootstrap.admins import another_admin_link, create_admin, first_admin_link
from bootstrap.settings import Settings
from commands.bus import Context
from commands.identity import FollowAdminLink
from domain.identity.links import LinkNotValid
from projections.identity import USERS
from tests.wiring import PASSWORD, SECRET, Installation


@pytest.fixture
def settings(installation: Installation) -> Settings:
    plain = Settings()
    return replace(
        plain,
        parts=replace(plain.parts, database_url=installation.conninfo),
        api=replace(plain.api, public_url="https://api.example.com"),
        secrets=replace(plain.secrets, secret_key=SECRET),
    )


async def admins(installation: Installation) -> list[str]:
    installation.start_views([USERS])
    rows = await installation.rows(USERS)
    return [row["username"] for row in rows if row["platform_admin"]]


async def test_an_account_made_on_the_server_looks_after_the_platform(
    installation: Installation, settings: Settings
) -> None:
    await installation.register("anna")
    assert await first_admin_link(settings) is not None
    said = await create_admin(settings, "boss", "boss@example.com", PASSWORD)
    assert said.startswith("boss (usr-")
    assert await admins(installation) == ["boss"]
    assert await first_admin_link(settings) is None


async def test_what_is_wrong_with_an_account_is_said(
    installation: Installation, settings: Settings
) -> None:
    for wrong in (
        ("boss", "boss@example.com", "password1"),
        ("b", "boss@example.com", PASSWORD),
    ):
        with pytest.raises(LookupError):
            await create_admin(settings, *wrong)
    assert await installation.store.last_position() == 0


async def test_a_new_link_voids_the_one_before_and_stands_behind_a_hash(
    installation: Installation, settings: Settings
) -> None:
    anna = await installation.register("anna")
    first = await first_admin_link(settings)
    said = await another_admin_link(settings)
    assert first is not None
    assert first.startswith("https://api.example.com/setup#adm-")
    assert said.startswith("https://api.example.com/setup#adm-")
    token = first.partition("#")[2]
    stored = await installation.query("SELECT state FROM events WHERE topic ~ 'AdminLink'")
    assert len(stored) == 2
    assert not any(token.encode() in bytes(row["state"]) for row in stored)
    with pytest.raises(LinkNotValid):
        await installation.dispatch(FollowAdminLink(token=token), Context(actor=anna.context.actor))
