"""Sending: signed, and again until it is taken."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from commands.webhooks import RotateWebhookSecret
from domain.mail.events import MailRequested
from domain.webhooks.events import WebhookDisabled
from tests.webhook_receiver import Posted, answering
from tests.wiring import Clock
from tests.workers.webhooks.conftest import Scene
from workers.webhooks import SenderOptions
from workers.webhooks.signing import headers_of

HOURS = (5 / 3600, 5 / 60, 0.5, 2, 5, 10, 14, 20, 24)


class Steps(Clock):
    """A clock that runs with the database's, and jumps ahead when a test says so."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def pass_by(self, **time: float) -> None:
        self.ahead += timedelta(**time)


async def test_the_reference_library_takes_what_is_signed_and_nothing_that_was_changed(
    scene: Scene,
) -> None:
    made = await scene.make()
    [key_id] = await scene.keys()
    scene.start()
    [posted] = await scene.receiver.until(1)
    receiver = Webhook(made.secret)
    assert receiver.verify(posted.body, posted.headers)["data"]["keyId"] == key_id
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["user-agent"] == "Tallyport-Webhooks/1"
    assert "cookie" not in posted.headers
    changed = [
        (posted.body + b" ", posted.headers),
        (posted.body, {**posted.headers, "webhook-id": "whd-0000000000"}),
        (posted.body, {**posted.headers, "webhook-timestamp": "1"}),
        (posted.body, {**posted.headers, "webhook-signature": ""}),
        (posted.body, {**posted.headers, "webhook-signature": "v1,AAAA"}),
    ]
    for body, headers in changed:
        with pytest.raises((WebhookVerificationError, ValueError)):
            receiver.verify(body, headers)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_message_of_another_time_is_refused(minutes: int) -> None:
    secret = "whsec_" + "A" * 43 + "="
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    headers = headers_of("whd-0000000001", b"{}", secrets=[secret], at=at)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(b"{}", headers)


def test_the_vector_of_the_standard_is_signed_as_it_says() -> None:
    """From the reference implementations' own tests."""
    headers = headers_of(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        secrets=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        at=datetime.fromtimestamp(1614265330, UTC),
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_while_a_secret_is_rotated_both_sign_and_after_it_one(scene: Scene) -> None:
    made = await scene.make()
    webhook_id = made.webhook.webhook_id
    rotated = await scene.installation.dispatch(
        RotateWebhookSecret(webhook_id=webhook_id, grace=timedelta(hours=1)), scene.anna.context
    )
    clock = Steps()
    scene.start(clock=clock)
    await scene.keys()
    [posted] = await scene.receiver.until(1)
    for secret in (made.secret, rotated.result.secret):
        assert Webhook(secret).verify(posted.body, posted.headers)
    clock.pass_by(hours=2)
    await scene.keys()
    [_, later] = await scene.receiver.until(2)
    assert len(later.headers["webhook-signature"].split(" ")) == 1
    ended = await scene.installation.dispatch(
        RotateWebhookSecret(webhook_id=webhook_id, grace=timedelta(0)), scene.anna.context
    )
    await scene.caught_up()
    clock.ahead = timedelta()
    await scene.keys()
    [_, _, last] = await scene.receiver.until(3)
    assert Webhook(ended.result.secret).verify(last.body, last.headers)
    for secret in (made.secret, rotated.result.secret):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(last.body, last.headers)


async def test_a_message_is_tried_as_often_as_the_standard_says_and_then_given_up(
    scene: Scene,
) -> None:
    clock = Steps()
    await scene.make()
    scene.receiver.answers["/hook"] = answering(500, body=b"broken")
    await scene.keys()
    scene.start(clock=clock, look_seconds=0.02, disable_days=30)
    for number, hours in enumerate(HOURS, start=1):
        await scene.until("(SELECT attempts >= %s FROM webhook_deliveries)", number)
        clock.pass_by(hours=hours)
    [row] = await scene.settled("failed")
    assert (row["attempts"], row["last_status"], row["problem"]) == (10, 500, "It answered 500.")
    posted = scene.receiver.at()
    assert len(posted) == 10
    assert len({(each.id, each.body) for each in posted}) == 1
    attempts = await scene.installation.query("SELECT * FROM webhook_attempts ORDER BY number")
    assert [each["number"] for each in attempts] == list(range(1, 11))
    assert {each["answer"] for each in attempts} == {"broken"}
    times = [each["at"] for each in attempts]
    for hours, before, after in zip(HOURS, times, times[1:], strict=False):
        assert after - before >= timedelta(hours=hours)


def test_the_waits_are_those_of_the_standard_and_spread_by_chance() -> None:
    options = SenderOptions()
    assert options.waits_seconds == tuple(round(hours * 3600) for hours in HOURS)
    assert 0 < options.jitter <= 0.5


@pytest.mark.parametrize("form", ["seconds", "date", "nonsense", "too long"])
async def test_an_endpoint_that_asks_for_time_gets_it(scene: Scene, form: str) -> None:
    clock = Steps()
    await scene.make()
    wanted, seconds = {
        "seconds": ("120", 120),
        "date": (format_datetime(clock() + timedelta(hours=1), usegmt=True), 3500),
        "nonsense": ("soon", 5),
        "too long": ("99999999", 24 * 3600),
    }[form]
    scene.receiver.answers["/hook"] = answering(503, f"Retry-After: {wanted}")
    await scene.keys()
    scene.start(clock=clock)
    await scene.until(
        "(SELECT due_at - last_attempt_at >= %s FROM webhook_deliveries)",
        timedelta(seconds=seconds),
    )
    [row] = await scene.settled("pending")
    assert row["due_at"] <= clock() + timedelta(seconds=max(seconds, 3600))


async def test_a_redirect_is_a_failure_and_is_not_followed(scene: Scene) -> None:
    await scene.make()
    elsewhere = f"Location: {scene.receiver.url('/elsewhere')}"
    scene.receiver.answers["/hook"] = answering(302, elsewhere)
    await scene.keys()
    scene.start()
    await scene.until("(SELECT last_status = 302 FROM webhook_deliveries)")
    [row] = await scene.settled("pending")
    assert row["problem"] == "It answered 302."
    assert scene.receiver.at("/elsewhere") == []


async def happened(scene: Scene, kind: type) -> list[object]:
    events = await scene.installation.store.read_all(after=0, limit=5000)
    decoded = await scene.installation.codec.decode_all(events)
    return [event for event in decoded if isinstance(event, kind)]


async def test_an_endpoint_that_is_gone_is_disabled_at_once_and_its_team_told(
    scene: Scene,
) -> None:
    made = await scene.make(description="to the pager")
    scene.receiver.answers["/hook"] = answering(410)
    await scene.keys()
    scene.start(per_endpoint_max=1)
    [row] = await scene.settled("failed")
    assert row["last_status"] == 410
    await scene.until("(SELECT NOT enabled FROM webhook_endpoints)")
    [disabled] = await happened(scene, WebhookDisabled)
    assert isinstance(disabled, WebhookDisabled)
    assert (disabled.webhook_id, disabled.reason) == (made.webhook.webhook_id, "gone")
    mails = [m for m in await happened(scene, MailRequested) if m.template == "webhook_disabled"]  # type: ignore[attr-defined]
    assert len(mails) == 1


async def test_after_days_without_one_message_taken_it_is_disabled_and_nothing_is_pending(
    scene: Scene,
) -> None:
    clock = Steps()
    await scene.make()
    scene.receiver.answers["/hook"] = answering(500)
    await scene.keys(2)
    scene.start(
        clock=clock, look_seconds=0.02, waits_seconds=(24 * 3600.0,) * 9, rest_seconds_max=0.0
    )
    for day in range(3):
        await scene.until("(SELECT min(attempts) = %s FROM webhook_deliveries)", day + 1)
        assert (await scene.ledger.endpoints())[0].enabled
        clock.pass_by(days=1)
    await scene.settled("failed", number=2)
    [disabled] = await happened(scene, WebhookDisabled)
    assert isinstance(disabled, WebhookDisabled)
    assert disabled.reason == "failing"
    assert disabled.failing_since is not None


async def test_what_was_given_up_while_it_was_under_way_is_not_tried_again(scene: Scene) -> None:
    may_answer = asyncio.Event()

    async def late(posted: Posted, writer: asyncio.StreamWriter) -> None:
        await may_answer.wait()
        await answering(500)(posted, writer)

    made = await scene.make()
    scene.receiver.answers["/hook"] = late
    await scene.keys()
    scene.start()
    await scene.receiver.until(1)
    await scene.change(made.webhook.webhook_id, enabled=False)
    await scene.settled("failed")
    may_answer.set()
    await scene.until("(SELECT attempts = 1 FROM webhook_deliveries)")
    [given_up] = await scene.settled("failed")
    assert given_up["due_at"] is None


async def test_one_message_taken_and_the_days_begin_anew(scene: Scene) -> None:
    clock = Steps()
    await scene.make()
    scene.receiver.answers["/hook"] = answering(500)
    await scene.keys()
    scene.start(clock=clock, look_seconds=0.02)
    await scene.until("(SELECT failing_since IS NOT NULL FROM webhook_endpoints)")
    scene.receiver.answers["/hook"] = answering(204, body=b"")
    clock.pass_by(days=2.9)
    await scene.settled()
    [endpoint] = await scene.ledger.endpoints()
    assert endpoint.failing_since is None


async def test_a_message_goes_to_where_the_webhook_leads_now(scene: Scene) -> None:
    clock = Steps()
    webhook_id = (await scene.make("/old")).webhook.webhook_id
    scene.receiver.answers["/old"] = answering(500)
    await scene.keys()
    scene.start(clock=clock, look_seconds=0.02)
    [old] = await scene.receiver.until(1, "/old")
    await scene.change(
        webhook_id,
        url=scene.receiver.url("/new"),
        private_hosts=(scene.receiver.host,),
    )
    await scene.caught_up()
    clock.pass_by(seconds=6)
    [new] = await scene.receiver.until(1, "/new")
    assert (old.id, old.body) == (new.id, new.body)


async def test_what_was_done_with_long_ago_is_forgotten(scene: Scene) -> None:
    clock = Steps()
    await scene.make("/hook")
    await scene.make("/dead")
    scene.receiver.answers["/dead"] = answering(500)
    await scene.keys(2)
    scene.start(clock=clock)
    await scene.settled(number=2)
    await scene.until("(SELECT sum(attempts) = 4 FROM webhook_deliveries)")
    await scene.stop()
    before = clock() + timedelta(days=31)
    assert await scene.ledger.prune(before=before, limit=1) == 1
    assert await scene.ledger.prune(before=before, limit=10) == 1
    assert await scene.ledger.prune(before=before, limit=10) == 0
    left = await scene.installation.query("SELECT status FROM webhook_deliveries")
    assert {row["status"] for row in left} == {"pending"}
    assert len(await scene.installation.query("SELECT FROM webhook_attempts")) == 2


async def test_an_answer_is_kept_as_the_team_may_see_it(scene: Scene) -> None:
    await scene.make()
    said = b"thanks \x00 \xff <script>alert(1)</script>"
    scene.receiver.answers["/hook"] = answering(201, "Set-Cookie: a=b", body=said)
    await scene.keys(2)
    scene.start(per_endpoint_max=1)
    await scene.settled(number=2)
    [attempt, _] = await scene.installation.query("SELECT * FROM webhook_attempts")
    assert attempt["answer"] == "thanks \ufffd \ufffd <script>alert(1)</script>"
    assert (attempt["status"], attempt["problem"]) == (201, None)
    assert all("cookie" not in each.headers for each in scene.receiver.at())
    assert json.loads(scene.receiver.at()[0].body)["type"] == "key.created"
