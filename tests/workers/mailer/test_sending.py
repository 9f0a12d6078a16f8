"""A mailer at work: real log, real view, real mail server."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta

import msgspec

from commands.bus import Context
from commands.mail import MarkMailSent
from commands.work import NOBODY
from domain.mail.values import Template
from tests.mail_server import nobody_listening
from tests.wiring import Installation
from tests.workers.mailer.post import FAST, SITE, Post
from workers.mailer.sending import MailWorker

SENT = [("MailSent", None)]


async def test_a_mail_that_is_asked_for_is_sent_once(post: Post) -> None:
    anna = await post.installation.register()
    mail_id = await post.ask(user_id=anna.user_id)
    async with post.mailer():
        assert await post.outcome(mail_id) == SENT
        other_id = await post.ask(user_id=anna.user_id)
        assert await post.outcome(other_id) == SENT
    first, second = post.server.letters
    assert first["Message-ID"] == f"<{mail_id}@tallyport.example>"
    assert second["Message-ID"] == f"<{other_id}@tallyport.example>"
    assert post.server.recipients == [anna.email] * 2
    assert first["From"] == "Tallyport <no-reply@tallyport.example>"
    assert "Hello anna" in str(first)


async def test_the_token_of_a_link_is_in_the_letter_and_nowhere_else(post: Post) -> None:
    anna = await post.installation.register()
    mail_id = await post.ask_for_link(anna, ends_in=timedelta(minutes=30))
    async with post.mailer():
        assert await post.outcome(mail_id) == SENT
    token = post.core(post.server.port).links().issue("reset_password", anna.user_id, "n" * 22)
    [letter] = post.server.letters
    assert f"{SITE}/reset-password#{token}" in letter.as_string()
    signature = token.rpartition(".")[2]
    stored = await post.installation.as_admin("SELECT string_agg(state::text, '') FROM events")
    assert signature not in str(stored)
    assert signature.encode().hex() not in str(stored)


async def test_what_the_server_puts_off_is_sent_later_and_holds_nothing_else_up(post: Post) -> None:
    anna, bert = [await post.installation.register(name) for name in ("anna", "bert")]
    post.server.answers["RCPT"] = ["451 4.7.1 anna@example.com: later", "452 4.2.2 full"]
    put_off = await post.ask(user_id=anna.user_id)
    async with post.mailer():
        await post.server.until(1)
        other = await post.ask(user_id=bert.user_id)
        assert await post.outcome(other) == SENT
        assert await post.outcome(put_off) == [
            ("MailFailed", "the server put the recipient off: 451 4.7.1"),
            ("MailFailed", "the server put the recipient off: 452 4.2.2"),
            ("MailSent", None),
        ]
    assert sorted(post.server.recipients) == ["anna@example.com", "bert@example.com"]


async def test_what_the_server_refuses_is_given_up_at_once(post: Post) -> None:
    anna = await post.installation.register()
    post.server.answers["RCPT"] = ["550 5.1.1 anna@example.com is unknown"]
    mail_id = await post.ask(user_id=anna.user_id)
    async with post.mailer():
        assert await post.outcome(mail_id) == [
            ("MailFailed", "the server refused the recipient: 550 5.1.1")
        ]
    assert post.server.letters == []


async def test_while_the_server_is_away_mails_wait_and_no_attempt_is_counted(
    post: Post,
) -> None:
    anna = await post.installation.register()
    mails = [await post.ask(user_id=anna.user_id) for _ in range(3)]
    with nobody_listening() as place:
        await _wait_for_the_server(post, place, mails)
    assert len(post.server.letters) == 3


async def _wait_for_the_server(post: Post, place: socket.socket, mails: list[str]) -> None:
    async with post.mailer(port=place.getsockname()[1]):
        await asyncio.sleep(0.3)  # whatever it does meanwhile, it may not lose or count anything
        assert [await post.attempts(mail_id) for mail_id in mails] == [0, 0, 0]
        async with post.server.open(place=place):
            assert [await post.outcome(mail_id) for mail_id in mails] == [SENT] * 3


async def test_after_a_day_a_mail_is_given_up(post: Post) -> None:
    anna = await post.installation.register()
    post.server.answers["DATA"] = ["451 later"]
    tomorrow = datetime.now(UTC) + timedelta(hours=25)
    put_off, waiting = [await post.ask(user_id=anna.user_id) for _ in range(2)]
    async with post.mailer(clock=lambda: tomorrow):
        outcomes = [await post.outcome(put_off), await post.outcome(waiting)]
    assert sorted(outcomes) == [[("MailFailed", "the server put the letter off: 451")], SENT]
    away = await post.ask(user_id=anna.user_id)
    with nobody_listening() as place:
        port = place.getsockname()[1]
        async with post.mailer(port=port, clock=lambda: tomorrow):
            [(event, reason)] = await post.outcome(away)
    assert event == "MailFailed"
    assert "cannot be reached" in str(reason)


async def test_a_link_that_has_ended_is_not_sent(post: Post) -> None:
    anna = await post.installation.register()
    mail_id = await post.ask_for_link(anna, ends_in=timedelta(seconds=-1))
    async with post.mailer():
        assert await post.outcome(mail_id) == [
            ("MailFailed", "its link had ended before it could be sent")
        ]
    assert post.server.connections == 0


async def test_nothing_is_sent_to_somebody_who_was_erased(post: Post) -> None:
    anna, bert = [await post.installation.register(name) for name in ("anna", "bert")]
    to_anna = await post.ask(user_id=anna.user_id)
    from_anna = await post.ask(
        Template.INVITATION,
        address="carl@example.com",
        team_id=bert.team_id,
        parameters={"team": "Weather", "role": "viewer"},
        people={"inviter": anna.user_id},
        link=post.invitation_link(),
    )
    await post.installation.as_admin("DELETE FROM subject_keys WHERE subject = %s", anna.user_id)
    async with post.mailer():
        assert await post.outcome(to_anna) == [("MailFailed", "the recipient was erased")]
        assert await post.outcome(from_anna) == SENT
    assert post.server.recipients == ["carl@example.com"]
    assert post.server.letters[0]["Subject"] == '[erased] invites you to the team "Weather"'


async def test_nobody_can_read_whom_it_went_to_when_it_went_to_nobody_we_know(post: Post) -> None:
    mail_id = await post.ask(Template.ERASED, address="gone@example.com")
    async with post.mailer():
        assert await post.outcome(mail_id) == SENT
        keys = "EXISTS (SELECT FROM subject_keys WHERE subject = %s)"
        await post.installation.until(f"NOT {keys}", mail_id)
    assert post.server.recipients == ["gone@example.com"]


async def test_what_cannot_be_written_is_given_up_and_the_rest_is_sent(post: Post) -> None:
    anna = await post.installation.register()
    broken, whole = [await post.ask(user_id=anna.user_id) for _ in range(2)]
    [recorded] = await post.installation.store.read_stream(broken)
    [event] = await post.installation.codec.decode_all([recorded])
    assert isinstance(event, msgspec.Struct)
    old = msgspec.structs.replace(event, mail_id="mai-0000000000", template="of_last_year")
    await post.installation.append("mai-0000000000", old)  # type: ignore[arg-type]
    async with post.mailer():
        assert await post.outcome(whole) == SENT
        [(failed, reason)] = await post.outcome("mai-0000000000")
    assert (failed, reason) == ("MailFailed", "it cannot be written: TemplateNotFound")


async def test_a_mail_that_cannot_be_read_any_more_holds_nothing_up(post: Post) -> None:
    anna = await post.installation.register()
    broken, whole = [await post.ask(user_id=anna.user_id) for _ in range(2)]
    await post.installation.append_raw(broken, 2, "mail.MailFailed@1", b"{}")
    async with post.mailer():
        assert await post.outcome(whole) == SENT
    assert len(post.server.letters) == 1


async def test_a_mail_that_the_view_still_shows_is_not_sent_again(post: Post) -> None:
    anna = await post.installation.register()
    mail_id = await post.ask(user_id=anna.user_id)
    await post.installation.dispatch(MarkMailSent(mail_id=mail_id), Context(actor=NOBODY))
    await post.outcome(mail_id)
    await post.installation.as_admin(
        "INSERT INTO views.mails SELECT %s, 'password_changed', now(), 0, now()", mail_id
    )
    async with post.mailer():
        assert await post.outcome(await post.ask(user_id=anna.user_id)) == SENT
    assert len(post.server.letters) == 1


async def test_what_is_put_off_again_and_again_is_sent_in_the_end(post: Post) -> None:
    anna = await post.installation.register()
    post.server.answers["RCPT"] = ["451 later"] * 5
    mail_id = await post.ask(user_id=anna.user_id)
    async with post.mailer(msgspec.structs.replace(FAST, interval_seconds=0.02)):
        outcome = await post.outcome(mail_id)
    assert [event for event, _ in outcome] == ["MailFailed"] * 5 + ["MailSent"]


def test_waits_double_up_to_an_hour_and_differ_a_little() -> None:
    worker = MailWorker(None, None, None)  # type: ignore[arg-type]
    for failures in range(40):
        longest = min(30 * 2**failures, 3600)
        waits = [worker._retry_seconds(failures) for _ in range(20)]
        assert len(set(waits)) > 1
        assert 0.75 * longest <= min(waits) < max(waits) <= longest


async def test_a_mailer_starts_before_there_is_a_view(installation: Installation) -> None:
    post = Post(installation)
    anna = await installation.register()
    mail_id = await post.ask(user_id=anna.user_id)
    async with post.server.open(), post.mailer():
        await asyncio.sleep(0.1)
        installation.start_views()
        assert await post.outcome(mail_id) == SENT
