import email
from datetime import UTC, datetime
from email.headerregistry import Address
from email.policy import default

import msgspec
import pytest

from infrastructure.mail import MailRefused, OutgoingMail
from infrastructure.mail.mime import build, sender_address

SENDER = Address("Tallyport", "no-reply", "tallyport.example")
LETTER = OutgoingMail(
    mail_id="mai-0000000001",
    recipient="anna@example.com",
    subject="Confirm your e-mail address",
    text="Hello\n\nhttps://tallyport.example/verify-email?token=" + "x" * 90 + "\n",
    html="<p>Hello</p>",
    requested_at=datetime(2026, 11, 23, 6, tzinfo=UTC),
)


def with_(**changes: str) -> OutgoingMail:
    return msgspec.structs.replace(LETTER, **changes)


def test_a_letter_arrives_as_text_with_the_same_as_html_beside_it() -> None:
    message = email.message_from_bytes(bytes(build(LETTER, sender=SENDER)), policy=default)
    assert message["From"] == "Tallyport <no-reply@tallyport.example>"
    assert message["To"] == "anna@example.com"
    assert message["Message-ID"] == "<mai-0000000001@tallyport.example>"
    assert message["Date"].datetime == LETTER.requested_at
    assert message["Auto-Submitted"] == "auto-generated"
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content().splitlines() == LETTER.text.splitlines()
    assert html.get_content().strip() == LETTER.html


def test_the_same_letter_is_the_same_message_every_time() -> None:
    assert bytes(build(LETTER, sender=SENDER)) == bytes(build(LETTER, sender=SENDER))


def test_a_link_can_be_copied_from_the_message_as_it_is_stored() -> None:
    assert b"?token=" + b"x" * 90 in bytes(build(LETTER, sender=SENDER))


def test_other_alphabets_arrive() -> None:
    letter = with_(subject="Grüße aus Łódź 🎉", text="Привет\n", recipient="anna@bücher.example")
    message = email.message_from_bytes(bytes(build(letter, sender=SENDER)), policy=default)
    assert message["Subject"] == letter.subject
    assert message["To"] == "anna@xn--bcher-kva.example"
    text, _ = message.iter_parts()
    assert text.get_content().splitlines() == letter.text.splitlines()


@pytest.mark.parametrize(
    "recipient",
    [
        "anna@example.com\r\nBcc: bert@example.com",
        "anna@example.com, bert@example.com",
        "anna@example.com>\r\nRCPT TO:<bert@example.com",
        "Anna <anna@example.com>",
        "anna",
        "",
        "\0@example.com",
    ],
)
def test_no_recipient_smuggles_in_another(recipient: str) -> None:
    with pytest.raises(MailRefused) as refused:
        build(with_(recipient=recipient), sender=SENDER)
    assert "anna" not in str(refused.value)


@pytest.mark.parametrize("subject", ["Hello\r\nBcc: bert@example.com", "Hello\nX: y", "\n\nbody"])
def test_no_subject_smuggles_in_a_header(subject: str) -> None:
    with pytest.raises(MailRefused):
        build(with_(subject=subject), sender=SENDER)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("no-reply@tallyport.example", "no-reply@tallyport.example"),
        ("Tallyport <no-reply@localhost>", "Tallyport <no-reply@localhost>"),
        ('"A, B" <ab@example.com>', '"A, B" <ab@example.com>'),
    ],
)
def test_a_sender_is_an_address_with_a_name_or_without(text: str, read: str) -> None:
    assert str(sender_address(text)) == read
    assert sender_address(str(sender_address(text))) == sender_address(text)


@pytest.mark.parametrize(
    "text", ["", "Tallyport", "a@b@c", "Tallyport <a@b.example>\r\nBcc: x@y.example", "ü@b.example"]
)
def test_what_no_letter_could_come_from_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be an address"):
        sender_address(text)
