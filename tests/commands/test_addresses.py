"""An address is kept so that it goes with whom it tells about."""

import msgspec
import pytest

from commands.addresses import network_of
from commands.api_keys import CreateApiKey
from commands.bus import Command, Context
from commands.identity import RegisterUser, SignIn
from commands.work import NOBODY, Actor
from infrastructure.event_store import RecordedEvent
from tests.wiring import PASSWORD, Installation

ADDRESS = "198.51.100.77"


async def newest(installation: Installation, command: Command, context: Context) -> RecordedEvent:
    """Return the last event of a command that came from the address."""
    context = msgspec.structs.replace(context, address=ADDRESS)
    position = (await installation.dispatch(command, context)).position
    [event] = await installation.store.read_all(after=position - 1, limit=1)
    assert ADDRESS not in (event.metadata.address or "")
    return event


def key_of(team_id: str) -> CreateApiKey:
    return CreateApiKey(team_id=team_id, name="k", scopes=("call:*",), requests_per_minute=1)


async def test_it_is_sealed_with_the_key_of_the_person_who_acts(installation: Installation) -> None:
    anna = await installation.register()
    event = await newest(installation, key_of(anna.team_id), anna.context)
    assert await installation.address(event.metadata.address) == ADDRESS
    await installation.vault.destroy([anna.user_id])
    assert await installation.address(event.metadata.address) is None


async def test_of_somebody_not_signed_in_yet_it_is_sealed_with_their_key(
    installation: Installation,
) -> None:
    register = RegisterUser(username="anna", email="anna@example.com", password=PASSWORD)
    sign_in = SignIn(email="anna@example.com", password=PASSWORD)
    for command in (register, sign_in):
        event = await newest(installation, command, Context(actor=NOBODY))
        assert (event.metadata.address or "").startswith("sealed:1:usr-")
        assert await installation.address(event.metadata.address) == ADDRESS


async def test_of_a_key_it_is_sealed_with_the_key_of_its_team(installation: Installation) -> None:
    anna = await installation.register()
    robot = Actor(
        id="key-0000000001",
        grants={anna.team_id: frozenset({"keys:write", "call:*"})},
        home_team_id=anna.team_id,
    )
    event = await newest(installation, key_of(anna.team_id), Context(actor=robot))
    assert (event.metadata.address or "").startswith(f"sealed:1:{anna.team_id}:")
    assert await installation.address(event.metadata.address) == ADDRESS


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("198.51.100.77", "198.51.100.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("::ffff:198.51.100.77", "198.51.100.0/24"),
        ("unknown", None),
    ],
)
def test_where_it_is_nobodys_only_the_network_is_kept(address: str, network: str | None) -> None:
    assert network_of(address) == network
