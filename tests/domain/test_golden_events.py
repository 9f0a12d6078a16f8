"""Every event ever stored is read for ever: one stored example per type and version.

A file is named after its topic and holds exactly what was stored. It is never changed and never
removed; a new version of an event gets a file of its own. A version that gained fields has a file
more, `<topic> with <field>.json`. Sealed fields are sealed with `KEY`.
"""

from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg_pool import AsyncConnectionPool

from domain.administration.notices import ANNOUNCEMENT, MAINTENANCE, UPKEEP
from domain.alerts.alerts import ALERTS
from domain.api_keys.api_key import API_KEY
from domain.catalogue import EVENTS, UPCASTERS
from domain.custom_domains.custom_domain import CUSTOM_DOMAIN
from domain.deployments.deployment import DEPLOYMENT
from domain.deployments.quota import TEAM_QUOTA
from domain.identity.device import DEVICE_SIGN_IN
from domain.identity.platform import PLATFORM
from domain.identity.second_factors import SECOND_FACTORS
from domain.identity.session import SESSION
from domain.identity.user import USER
from domain.kernel.aggregates import CLAIM, Aggregate
from domain.kernel.events import Event, personal_fields
from domain.mail.mail import MAIL
from domain.metering.events import RequestsServed
from domain.metering.values import decode_frame
from domain.portals.portal import PORTAL
from domain.teams.team import TEAM
from domain.webhooks.webhook import WEBHOOK
from infrastructure.event_store.codec import JsonCodec
from infrastructure.sealing import subjects_in
from infrastructure.sealing.postgres import PostgresVault

FOLDER = Path(__file__).parents[1] / "golden_events"
KEY = bytes(range(32))
AGGREGATES: tuple[Aggregate, ...] = (
    ALERTS,
    ANNOUNCEMENT,
    MAINTENANCE,
    UPKEEP,
    CLAIM,
    USER,
    SESSION,
    DEVICE_SIGN_IN,
    SECOND_FACTORS,
    PLATFORM,
    API_KEY,
    CUSTOM_DOMAIN,
    DEPLOYMENT,
    MAIL,
    PORTAL,
    TEAM,
    TEAM_QUOTA,
    WEBHOOK,
)
FILES = sorted(FOLDER.glob("*.json"))


@pytest.fixture
def codec() -> JsonCodec:
    vault = PostgresVault(AsyncConnectionPool(open=False), secret=b"golden")
    stored = b"".join(path.read_bytes() for path in FILES)
    vault._keys.update({subject: (0.0, AESGCM(KEY)) for subject in subjects_in(stored)})
    return JsonCodec(EVENTS, UPCASTERS, vault)


def topic_of(path: Path) -> str:
    return path.stem.partition(" ")[0]


def load(codec: JsonCodec, path: Path) -> Event:
    event = codec.decode(topic_of(path), path.read_bytes().strip())
    assert isinstance(event, Event)
    return event


def test_every_event_and_every_version_has_its_example() -> None:
    promised = {*EVENTS, *UPCASTERS}
    kept = {topic_of(path) for path in FILES}
    assert promised == kept, (
        "Store one event of each new type or version as tests/golden_events/<topic>.json, and "
        f"never remove one. Without example: {promised - kept}; without event: {kept - promised}"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_stored_event_is_still_read(codec: JsonCodec, path: Path) -> None:
    event = load(codec, path)
    assert not any(
        "sealed:" in (getattr(event, field) or "") for field in personal_fields(type(event))
    )
    if isinstance(event, RequestsServed):
        assert len(decode_frame(event)) == event.count


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_stored_today_has_the_form_of_the_example(codec: JsonCodec, path: Path) -> None:
    event = load(codec, path)
    topic, data = codec.encode(event)
    assert topic.partition("@")[0] == topic_of(path).partition("@")[0]
    assert codec.decode(topic, data) == event
    if topic == topic_of(path):
        ours, kept = (msgspec.json.decode(one) for one in (data, path.read_bytes()))
        sealed = set(personal_fields(type(event)))
        assert ours.keys() == kept.keys(), "The fields changed: that is the next version"
        assert {k: v for k, v in ours.items() if k not in sealed} == {
            k: v for k, v in kept.items() if k not in sealed
        }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_stored_event_still_evolves_every_state_without_an_error(
    codec: JsonCodec, path: Path
) -> None:
    event = load(codec, path)
    states = {
        (aggregate.name, other.stem): aggregate.replay([load(codec, other), event])
        for aggregate in AGGREGATES
        for other in FILES
    }
    assert any(states.values()) or isinstance(event, RequestsServed)
