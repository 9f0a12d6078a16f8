"""Make a webhook, change it, give it another secret; and ask for messages to be sent again."""

import contextlib
import secrets
from datetime import datetime, timedelta

import msgspec
from msgspec import UNSET, UnsetType

from commands.bus import Command, Handlers
from commands.mail import request_mail
from commands.teams import managers_of
from commands.work import Loaded, Work
from domain.kernel.errors import NotFound
from domain.mail.values import Template
from domain.webhooks.events import WebhookCreated
from domain.webhooks.values import (
    SECRET_BYTES,
    DisabledBecause,
    endpoint_of,
    event_types,
    secret_of,
)
from domain.webhooks.webhook import WEBHOOK, Webhook, must_have_room
from infrastructure.sealing import KeyDestroyed

URL_PURPOSE = "webhook url"
SECRET_PURPOSE = "webhook secret"  # noqa: S105 - a label bound to the sealed text


class CreateWebhook(Command, frozen=True, kw_only=True):
    """Let a team's own server be told of what happens."""

    team_id: str
    url: str
    event_types: tuple[str, ...]
    description: str | None = None
    known_types: tuple[str, ...]
    """The event types there are."""
    private_hosts: tuple[str, ...] = ()
    """Hosts the operator vouches for."""
    present: int
    """How many webhooks the team has."""
    webhooks_max: int


class ChangeWebhook(Command, frozen=True, kw_only=True):
    """Change what is set here and leave the rest as it is."""

    webhook_id: str
    url: str | UnsetType = UNSET
    event_types: tuple[str, ...] | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    known_types: tuple[str, ...]
    private_hosts: tuple[str, ...] = ()


class RotateWebhookSecret(Command, frozen=True, kw_only=True):
    """Sign with a new secret, and for a while with the one before too."""

    webhook_id: str
    grace: timedelta


class DeleteWebhook(Command, frozen=True, kw_only=True):
    """Let it go."""

    webhook_id: str


class SendTestMessage(Command, frozen=True, kw_only=True):
    """Send a message that means nothing."""

    webhook_id: str


class RetryDelivery(Command, frozen=True, kw_only=True):
    """Send a message now, whatever became of it before."""

    webhook_id: str
    delivery_id: str


class ReplayWebhook(Command, frozen=True, kw_only=True):
    """Send what happened since a time, from the log."""

    webhook_id: str
    since: datetime
    until: datetime | None = None
    missed_only: bool = False


class DisableFailingWebhook(Command, frozen=True, kw_only=True):
    """Stop telling an endpoint that takes nothing. Comes from the worker, at least once."""

    webhook_id: str
    reason: DisabledBecause
    failing_since: datetime


class ShownWebhook(msgspec.Struct, frozen=True):
    """The webhook after the command; `secret` is the only sight of a new one."""

    webhook: Webhook
    url: str
    at: datetime
    secret: str = ""


class Asked(msgspec.Struct, frozen=True):
    """What is about to be sent."""

    webhook_id: str
    delivery_id: str = ""
    until: datetime | None = None


async def create_webhook(command: CreateWebhook, work: Work) -> ShownWebhook:
    """Make it, with a secret that nobody sees again."""
    work.must_hold("webhooks:write", team_id=command.team_id)
    endpoint = endpoint_of(command.url, private_hosts=command.private_hosts)
    wanted = event_types(command.event_types, known=command.known_types)
    must_have_room(command.present, webhooks_max=command.webhooks_max)
    await work.vault.load([command.team_id])
    webhook_id = work.new_id("whk")
    secret = _new_secret()
    webhook = work.create(WEBHOOK, webhook_id)
    created = WebhookCreated(
        webhook_id=webhook_id,
        team_id=command.team_id,
        url=_sealed(endpoint.url, URL_PURPOSE, work, team_id=command.team_id),
        event_types=wanted,
        description=command.description,
        secret=_sealed(secret, SECRET_PURPOSE, work, team_id=command.team_id),
        created_by=work.actor.user_id or work.actor.id,
    )
    work.record(webhook, [created])
    return ShownWebhook(webhook.present, endpoint.url, work.now, secret)


async def change_webhook(command: ChangeWebhook, work: Work) -> ShownWebhook:
    """Change it; the same again changes nothing."""
    loaded = await _theirs(command.webhook_id, work)
    webhook = loaded.present
    url = work.vault.open(webhook.url, purpose=URL_PURPOSE)
    sealed, wanted = webhook.url, webhook.event_types
    if command.url is not UNSET:
        endpoint = endpoint_of(command.url, private_hosts=command.private_hosts)
        if endpoint.url != url:
            url = endpoint.url
            sealed = _sealed(url, URL_PURPOSE, work, team_id=webhook.team_id)
    if command.event_types is not UNSET:
        wanted = event_types(command.event_types, known=command.known_types)
    described = webhook.description if command.description is UNSET else command.description
    events = webhook.change(url=sealed, event_types=wanted, description=described)
    if command.enabled is not UNSET:
        switch = webhook.enable() if command.enabled else webhook.disable(DisabledBecause.ASKED)
        events += switch
    work.record(loaded, events)
    return ShownWebhook(loaded.present, url, work.now)


async def rotate_webhook_secret(command: RotateWebhookSecret, work: Work) -> ShownWebhook:
    """Give it another secret."""
    loaded = await _theirs(command.webhook_id, work)
    webhook = loaded.present
    secret = _new_secret()
    sealed = _sealed(secret, SECRET_PURPOSE, work, team_id=webhook.team_id)
    work.record(loaded, webhook.rotate(sealed, grace=command.grace, now=work.now))
    url = work.vault.open(webhook.url, purpose=URL_PURPOSE)
    return ShownWebhook(loaded.present, url, work.now, secret)


async def delete_webhook(command: DeleteWebhook, work: Work) -> None:
    """Let it go."""
    loaded = await _theirs(command.webhook_id, work)
    work.record(loaded, loaded.present.delete())


async def send_test_message(command: SendTestMessage, work: Work) -> Asked:
    """Send a message that means nothing."""
    loaded = await _theirs(command.webhook_id, work)
    delivery_id = work.new_id("whd")
    work.record(loaded, loaded.present.test(delivery_id))
    return Asked(command.webhook_id, delivery_id)


async def retry_delivery(command: RetryDelivery, work: Work) -> Asked:
    """Send one message again."""
    loaded = await _theirs(command.webhook_id, work)
    work.record(loaded, loaded.present.retry(command.delivery_id))
    return Asked(command.webhook_id, command.delivery_id)


async def replay_webhook(command: ReplayWebhook, work: Work) -> Asked:
    """Send what happened since a time."""
    loaded = await _theirs(command.webhook_id, work)
    until = min(command.until or work.now, work.now)
    events = loaded.present.replay(
        since=command.since, until=until, missed_only=command.missed_only, now=work.now
    )
    work.record(loaded, events)
    return Asked(command.webhook_id, until=until)


async def disable_failing_webhook(command: DisableFailingWebhook, work: Work) -> None:
    """Disable it, and tell those who look after the team. Reported twice, it is told once."""
    loaded = await work.load(WEBHOOK, command.webhook_id)
    webhook = loaded.present
    await work.vault.load([webhook.team_id])
    disabled = webhook.disable(command.reason, failing_since=command.failing_since)
    work.record(loaded, disabled)
    if not disabled:
        return
    told = {"name": webhook.description or command.webhook_id, "reason": command.reason.value}
    for user_id in await managers_of(webhook.team_id, work):
        with contextlib.suppress(KeyDestroyed, NotFound):  # erased: nobody is left to be told
            await request_mail(
                work,
                template=Template.WEBHOOK_DISABLED,
                user_id=user_id,
                parameters={**told, "since": f"{command.failing_since:%Y-%m-%d %H:%M} UTC"},
            )


HANDLERS: Handlers = {
    CreateWebhook: create_webhook,
    ChangeWebhook: change_webhook,
    RotateWebhookSecret: rotate_webhook_secret,
    DeleteWebhook: delete_webhook,
    SendTestMessage: send_test_message,
    RetryDelivery: retry_delivery,
    ReplayWebhook: replay_webhook,
    DisableFailingWebhook: disable_failing_webhook,
}


async def _theirs(webhook_id: str, work: Work) -> Loaded[Webhook]:
    """Return one of the actor's own webhooks, with the key of what is sealed in it loaded."""
    loaded = await work.load(WEBHOOK, webhook_id)
    work.must_hold("webhooks:write", team_id=loaded.present.team_id)
    if loaded.present.deleted:
        raise NotFound
    await work.vault.load([loaded.present.team_id])
    return loaded


def _new_secret() -> str:
    return secret_of(secrets.token_bytes(SECRET_BYTES))


def _sealed(text: str, purpose: str, work: Work, *, team_id: str) -> str:
    return work.vault.seal(text, subject=team_id, purpose=purpose)
