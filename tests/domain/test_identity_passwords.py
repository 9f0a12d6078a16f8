"""Which passwords are refused."""

import contextlib

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.identity.passwords import PasswordRefused, check_new_password

ABOUT = {"anna", "anna@example.com"}

GUESSED_FIRST = """
password password1 password12 password123 passw0rd p@ssw0rd P@ssw0rd! Password1 PASSWORD 1password
12345678 123456789 1234567890 0123456789 11111111 00000000 87654321 123123123 12341234 11223344
112233445566 147258369 789456123 qwertyui qwerty12 qwerty123 qwertyuiop qwertz123 azertyuiop
asdfghjkl asdfasdf zxcvbnm1 1q2w3e4r 1q2w3e4r5t q1w2e3r4 1qaz2wsx zaq12wsx qazwsxedc 123qweasd
qweasdzxc abcd1234 abc12345 abcdefgh aaaaaaaa abababab aaaabbbb iloveyou iloveyou2 sunshine princess
football baseball superman letmein1 letmeinnow welcome1 Welcome123! trustno1 trustno1! whatever
computer internet starwars michelle jennifer changeme administrator admin123 adminadmin root1234
test1234 monkey123 dragon12 Dragon2026! master12 shadow12 mustang1 michael1 secret123 hello123
Summer2025! Winter2024 passwordpassword monkeymonkey !@#$%^&* postgres1 minecraft1
"""


@pytest.mark.parametrize("password", GUESSED_FIRST.split())
def test_what_is_tried_first_is_refused(password: str) -> None:
    with pytest.raises(PasswordRefused) as refusal:
        check_new_password(password, length_min=8)
    assert refusal.value.details == {"password": "is too common"}


@pytest.mark.parametrize(
    "password",
    ["annaanna", "anna12345", "Anna@Example.com", "tallyport1", "xxanna2026", "4nn@-anna"],
)
def test_what_has_to_do_with_the_person_is_refused(password: str) -> None:
    with pytest.raises(PasswordRefused):
        check_new_password(password, length_min=8, about=ABOUT)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "tr0ub4dor&3",
        "x9fj2kq0",
        "gK8#mQ2z",
        "kartoffelsalat",
        "dragons eat stones",
        "my name is anna and i cook",
        "no digits no capitals",
        "\u043c\u043e\u0439 \u043f\u0430\u0440\u043e\u043b\u044c",
        "\U0001f40e\U0001f50b\U0001f4ce\U0001f3e0\U0001f327\U0001f3b8\U0001f9ca\U0001f9ed",
        "kq0 " * 60,
    ],
)
def test_every_other_password_is_accepted_whatever_it_is_made_of(password: str) -> None:
    check_new_password(password, length_min=8, about=ABOUT)


def test_a_length_counts_characters_however_they_are_written() -> None:
    composed, decomposed = "caf\u00e9 kq", "cafe\u0301 kq"
    for password in (composed, decomposed):
        check_new_password(password, length_min=7)
        with pytest.raises(PasswordRefused):
            check_new_password(password, length_min=8)


@pytest.mark.parametrize(("length", "fine"), [(7, False), (8, True), (256, True), (257, False)])
def test_a_password_has_eight_to_256_characters(*, length: int, fine: bool) -> None:
    password = ("kq0 jx7;mv" * 26)[:length]
    if fine:
        check_new_password(password, length_min=8)
        return
    with pytest.raises(PasswordRefused):
        check_new_password(password, length_min=8)


@for_all(st.text(max_size=300))
def test_any_text_is_either_accepted_or_refused(text: str) -> None:
    with contextlib.suppress(PasswordRefused):
        check_new_password(text, length_min=8, about=ABOUT)
