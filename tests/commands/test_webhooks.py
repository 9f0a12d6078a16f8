"""Webhooks: whose they are, what is sealed, and who is told when one is disabled."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commands.bus import Context
from commands.webhooks import (
    SECRET_PURPOSE,
    URL_PURPOSE,
    Asked,
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    DisableFailingWebhook,
    ReplayWebhook,
    RetryDelivery,
    RotateWebhookSecret,
    SendTestMessage,
    ShownWebhook,
)
from commands.work import Actor
from domain.kernel.errors import NotAllowed, NotFound
from domain.mail.events import MailRequested
from domain.teams.values import Role
from domain.webhooks.values import DisabledBecause, InvalidEventType, InvalidWebhookUrl
from domain.webhooks.webhook import WEBHOOK, TooManyWebhooks, WebhookIsDisabled
from tests.wiring import Installation, Person

KNOWN = ("deployment.created", "key.created")
URL = "https://hooks.example.com/t?token=canary"
WORKER = Context(actor=Actor(id="webhooks"))
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def make(installation: Installation, person: Person, **changes: Any) -> ShownWebhook:
    wish: dict[str, Any] = {
        "team_id": person.team_id,
        "url": URL,
        "event_types": ("deployment.*",),
        "known_types": KNOWN,
        "present": 0,
        "webhooks_max": 3,
    }
    command = CreateWebhook(**{**wish, **changes})
    made: ShownWebhook = (await installation.dispatch(command, person.context)).result
    return made


async def test_url_and_secret_are_in_the_log_only_sealed(installation: Installation) -> None:
    anna = await installation.register()
    made = await make(installation, anna)
    webhook_id = made.webhook.webhook_id
    rotated = await installation.dispatch(
        RotateWebhookSecret(webhook_id=webhook_id, grace=timedelta(hours=1)), anna.context
    )
    assert made.secret.startswith("whsec_")
    assert made.secret != rotated.result.secret
    stored = b"".join(e.data for e in await installation.store.read_stream(webhook_id))
    for canary in ("canary", "hooks.example.com", made.secret[6:], rotated.result.secret[6:]):
        assert canary.encode() not in stored
    state = (await installation.another_bus().load(WEBHOOK, webhook_id, fresh=True)).present
    vault = installation.another_vault()
    await vault.load([anna.team_id])
    assert vault.open(state.url, purpose=URL_PURPOSE) == URL
    assert vault.open(state.secret, purpose=SECRET_PURPOSE) == rotated.result.secret
    assert state.previous_until is not None


async def test_it_is_changed_in_part_and_the_same_again_changes_nothing(
    installation: Installation,
) -> None:
    anna = await installation.register()
    webhook_id = (await make(installation, anna, description="to the pager")).webhook.webhook_id

    async def change(**changes: Any) -> ShownWebhook:
        command = ChangeWebhook(webhook_id=webhook_id, known_types=KNOWN, **changes)
        changed: ShownWebhook = (await installation.dispatch(command, anna.context)).result
        return changed

    changed = await change(event_types=("*",))
    assert (changed.url, changed.webhook.description) == (URL, "to the pager")
    assert changed.webhook.event_types == ("*",)
    changed = await change(url="https://example.com/", description=None, enabled=False)
    assert (changed.url, changed.webhook.enabled) == ("https://example.com/", False)
    before = await installation.store.last_position()
    await change(url="https://EXAMPLE.com", event_types=("*",), description=None, enabled=False)
    assert await installation.store.last_position() == before
    with pytest.raises(InvalidEventType):
        await change(event_types=("nothing",))
    with pytest.raises(InvalidWebhookUrl):
        await change(url="https://localhost/")
    assert await installation.store.last_position() == before


async def test_a_team_has_only_so_many_webhooks(installation: Installation) -> None:
    anna = await installation.register()
    with pytest.raises(TooManyWebhooks):
        await make(installation, anna, present=3)


async def test_another_teams_webhook_is_missing_and_a_viewer_may_not_touch_it(
    installation: Installation,
) -> None:
    anna, berta, carl = [await installation.register(name) for name in ("anna", "berta", "carl")]
    team_id = await installation.found_team(anna)
    await installation.add_member(team_id, carl, Role.VIEWER)
    webhook_id = (await make(installation, anna, team_id=team_id)).webhook.webhook_id
    for command in (
        ChangeWebhook(webhook_id=webhook_id, enabled=False, known_types=KNOWN),
        RotateWebhookSecret(webhook_id=webhook_id, grace=timedelta(0)),
        SendTestMessage(webhook_id=webhook_id),
        RetryDelivery(webhook_id=webhook_id, delivery_id="whd-0000000001"),
        ReplayWebhook(webhook_id=webhook_id, since=NOON),
        DeleteWebhook(webhook_id=webhook_id),
    ):
        with pytest.raises(NotFound):
            await installation.dispatch(command, berta.context)
        with pytest.raises(NotAllowed):
            await installation.dispatch(command, carl.context)


async def test_a_deleted_one_is_missing(installation: Installation) -> None:
    anna = await installation.register()
    webhook_id = (await make(installation, anna)).webhook.webhook_id
    await installation.dispatch(DeleteWebhook(webhook_id=webhook_id), anna.context)
    for command in (
        DeleteWebhook(webhook_id=webhook_id),
        SendTestMessage(webhook_id=webhook_id),
    ):
        with pytest.raises(NotFound):
            await installation.dispatch(command, anna.context)


async def test_a_test_has_an_id_of_its_own_and_a_replay_an_end(installation: Installation) -> None:
    anna = await installation.register()
    webhook_id = (await make(installation, anna)).webhook.webhook_id
    asked: Asked = (
        await installation.dispatch(SendTestMessage(webhook_id=webhook_id), anna.context)
    ).result
    assert asked.delivery_id.startswith("whd-")
    since = datetime.now(UTC) - timedelta(hours=1)
    replayed: Asked = (
        await installation.dispatch(ReplayWebhook(webhook_id=webhook_id, since=since), anna.context)
    ).result
    assert replayed.until is not None
    assert since < replayed.until <= datetime.now(UTC)


async def test_owners_and_admins_hear_once_that_one_was_disabled(
    installation: Installation,
) -> None:
    anna, berta, carl = [await installation.register(name) for name in ("anna", "berta", "carl")]
    team_id = await installation.found_team(anna)
    await installation.add_member(team_id, berta, Role.ADMIN)
    await installation.add_member(team_id, carl, Role.DEVELOPER)
    made = await make(installation, anna, team_id=team_id, description="to the pager")
    webhook_id = made.webhook.webhook_id
    command = DisableFailingWebhook(
        webhook_id=webhook_id, reason=DisabledBecause.FAILING, failing_since=NOON
    )
    for _ in range(2):
        await installation.dispatch(command, WORKER)
    mails = [
        event
        for event in await installation.codec.decode_all(
            await installation.store.read_all(after=0, limit=1000)
        )
        if isinstance(event, MailRequested) and event.template == "webhook_disabled"
    ]
    assert {mail.user_id for mail in mails} == {anna.user_id, berta.user_id}
    assert len(mails) == 2
    with pytest.raises(WebhookIsDisabled):
        await installation.dispatch(ReplayWebhook(webhook_id=webhook_id, since=NOON), anna.context)
