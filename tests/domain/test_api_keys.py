import string
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.api_keys.api_key import API_KEY, ExpiryInThePast, must_be_in_the_future
from domain.api_keys.events import ApiKeyCreated, ApiKeyRevoked
from domain.api_keys.values import (
    BASE62,
    assemble_key,
    checksum,
    looks_like_key,
)
from domain.kernel.permissions import SCOPES, UnknownScope, scopes
from tests.scenario import given

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)

created = ApiKeyCreated(
    key_id="key-0000000001",
    team_id="org-0000000001",
    created_by="usr-0000000001",
    name="a key",
    prefix="tp_live_000000000000",
    secret_hash="0" * 64,
    scopes=("call:*",),
    requests_per_minute=60,
)
revoked = ApiKeyRevoked(key_id="key-0000000001", reason="leaked")


def test_a_key_is_revoked() -> None:
    given(API_KEY, created).when(lambda key: key.revoke(reason="leaked")).then(revoked)


def test_revoking_twice_changes_nothing() -> None:
    (
        given(API_KEY, created, revoked)
        .when(lambda key: key.revoke(reason="again"))
        .then_nothing_happened()
    )


def test_a_key_that_was_never_made_is_not_there() -> None:
    assert given(API_KEY, revoked).state is None


def test_a_key_expires_in_the_future_or_never() -> None:
    must_be_in_the_future(None, now=NOW)
    must_be_in_the_future(NOW + timedelta(seconds=1), now=NOW)
    for born_dead in (NOW, NOW - timedelta(days=1)):
        with pytest.raises(ExpiryInThePast):
            must_be_in_the_future(born_dead, now=NOW)


KEY = assemble_key("a" * 12, "B" * 30)

base62 = st.text(alphabet=BASE62, min_size=12, max_size=12)
secrets = st.text(alphabet=BASE62, min_size=30, max_size=30)


def test_a_key_has_a_fixed_beginning_and_a_checksum_behind() -> None:
    assert KEY.startswith("tp_live_aaaaaaaaaaaaBBBB")
    assert len(KEY) == 57
    number = 0
    for digit in KEY[-6:]:
        number = number * 62 + BASE62.index(digit)
    assert number == zlib.crc32(KEY[:-7].encode())
    assert set(BASE62) == set(string.ascii_letters + string.digits)


def test_a_small_checksum_is_filled_up_with_zeros() -> None:
    assert checksum("") == "000000"


@for_all(base62, secrets)
def test_every_key_we_make_looks_like_one(public: str, secret: str) -> None:
    assert looks_like_key(assemble_key(public, secret))


@for_all(base62, secrets, st.integers(0, 56), st.sampled_from(BASE62 + "_-"))
def test_a_typing_error_is_noticed_without_asking_anybody(
    public: str, secret: str, place: int, typed: str
) -> None:
    key = assemble_key(public, secret)
    wrong = key[:place] + typed + key[place + 1 :]
    assert looks_like_key(wrong) == (wrong == key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tp_live_",
        KEY[:-1],
        KEY + "\n",
        " " + KEY,
        KEY.replace("tp_live", "tp_test"),
        KEY[:20] + "\u0430" + KEY[21:],
        "x" * 10_000,
    ],
)
def test_what_is_no_key_does_not_look_like_one(text: str) -> None:
    assert not looks_like_key(text)


def test_scopes_are_sorted_and_each_once() -> None:
    assert scopes(("logs:read", "call:*", "logs:read")) == ("call:*", "logs:read")
    assert scopes(()) == ()
    assert scopes(tuple(SCOPES)) == tuple(sorted(SCOPES))
    assert scopes(("call:dpl-0123456789",)) == ("call:dpl-0123456789",)


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "*",
        "admin",
        "Admin:*",
        "call:",
        "call:dpl-",
        "call:dpl-0123456789\n",
        "call:dpl-ABCDEFGHIJ",
        "call:key-0123456789",
        "keys:read ",
    ],
)
def test_a_scope_that_does_not_exist_is_refused(scope: str) -> None:
    with pytest.raises(UnknownScope):
        scopes(("call:*", scope))
