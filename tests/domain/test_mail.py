from datetime import UTC, datetime, timedelta

from domain.mail.events import MailFailed, MailRequested, MailSent
from domain.mail.mail import MAIL
from domain.mail.values import LINKS, PARAMETERS, Template
from tests.scenario import given

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)

requested = MailRequested(
    mail_id="mai-0000000001",
    template="verify_email",
    user_id="usr-0000000001",
    address="sealed:1:usr-0000000001:AAAA",
    requested_at=NOW,
)
sent = MailSent(mail_id="mai-0000000001", attempt=1)
failed = MailFailed(mail_id="mai-0000000001", attempt=1, reason="away", retry_at=LATER)
given_up = MailFailed(mail_id="mai-0000000001", attempt=2, reason="refused", retry_at=None)


def test_a_mail_is_sent() -> None:
    given(MAIL, requested).when(lambda mail: mail.sent()).then(sent).then_state(pending=False)


def test_attempts_are_counted_until_one_succeeds() -> None:
    (
        given(MAIL, requested)
        .when(lambda mail: mail.failed(reason="away", retry_at=LATER))
        .then(failed)
        .then_state(pending=True, attempts=1)
        .and_then()
        .when(lambda mail: mail.sent())
        .then(MailSent(mail_id="mai-0000000001", attempt=2))
    )


def test_a_failure_without_a_next_time_is_the_end() -> None:
    (
        given(MAIL, requested, failed)
        .when(lambda mail: mail.failed(reason="refused", retry_at=None))
        .then(given_up)
        .then_state(pending=False, attempts=2)
    )


def test_nothing_more_happens_to_a_mail_that_is_done_with() -> None:
    for end in (sent, given_up):
        done = given(MAIL, requested, end)
        done.when(lambda mail: mail.sent()).then_nothing_happened()
        done.when(lambda mail: mail.failed(reason="x", retry_at=LATER)).then_nothing_happened()


def test_every_mail_says_what_it_has_to_be_told() -> None:
    assert PARAMETERS.keys() == set(Template)
    assert LINKS.keys() < set(Template)
