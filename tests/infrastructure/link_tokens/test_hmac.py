import secrets

import pytest

from infrastructure.link_tokens import LinkToken
from infrastructure.link_tokens.hmac import HmacLinkTokens

SUBJECT = "usr-0000000001"
NONCE = "A" * 22

ours = HmacLinkTokens(b"a secret")


def test_a_token_says_whom_and_which_request_it_is_about() -> None:
    for _ in range(50):
        nonce = secrets.token_urlsafe(16)
        token = ours.issue("verify_email", SUBJECT, nonce)
        assert ours.read("verify_email", token) == LinkToken(SUBJECT, nonce)


def test_the_same_request_has_the_same_token_every_time() -> None:
    again = HmacLinkTokens(b"a secret")
    assert again.issue("verify_email", SUBJECT, NONCE) == ours.issue("verify_email", SUBJECT, NONCE)


def test_a_token_is_good_for_its_purpose_only() -> None:
    token = ours.issue("verify_email", SUBJECT, NONCE)
    assert ours.read("reset_password", token) is None
    assert ours.read("", token) is None


def test_a_token_of_another_installation_is_not_ours() -> None:
    stranger = HmacLinkTokens(b"another secret")
    assert ours.read("verify_email", stranger.issue("verify_email", SUBJECT, NONCE)) is None


def test_no_changed_character_goes_unnoticed() -> None:
    token = ours.issue("verify_email", SUBJECT, NONCE)
    for place in range(len(token)):
        for other in "aZ0_":
            changed = token[:place] + other + token[place + 1 :]
            if changed != token:
                assert ours.read("verify_email", changed) is None, changed


def test_parts_cannot_be_moved_between_subject_and_nonce() -> None:
    signature = ours.issue("verify_email", SUBJECT, NONCE).rpartition(".")[2]
    for subject, nonce in ((SUBJECT[:-1], "1" + NONCE), (SUBJECT + "A", NONCE[1:])):
        assert ours.read("verify_email", f"{subject}.{nonce}.{signature}") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "\0",
        "é" * 90,
        "usr-0000000001." * 5000,
        f"{SUBJECT}.{NONCE}.{'A' * 43}",
    ],
)
def test_what_was_never_issued_is_nothing_and_no_error(text: str) -> None:
    assert ours.read("verify_email", text) is None


def test_a_token_can_stand_in_a_url_as_it_is() -> None:
    token = ours.issue("verify_email", SUBJECT, secrets.token_urlsafe(16))
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")


def test_a_token_with_a_line_end_is_another_token() -> None:
    assert ours.read("verify_email", ours.issue("verify_email", SUBJECT, NONCE) + "\n") is None
