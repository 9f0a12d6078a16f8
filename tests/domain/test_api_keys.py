import string
import zlib
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from domain.api_keys.api_key import (
    API_KEY,
    ApiKey,
    ExpiryInThePast,
    GraceTooLong,
    KeyExpired,
    KeyRevoked,
    must_be_in_the_future,
)
from domain.api_keys.events import (
    ApiKeyCreated,
    ApiKeyDescribed,
    ApiKeyExpiryAnnounced,
    ApiKeyExpirySet,
    ApiKeyGraceEnded,
    ApiKeyLeaked,
    ApiKeyLimitSet,
    ApiKeyNetworksAllowed,
    ApiKeyRevoked,
    ApiKeyRotated,
    ApiKeyScopesGranted,
)
from domain.api_keys.values import (
    BASE62,
    NETWORKS_MAX,
    NotANetwork,
    TooManyNetworks,
    assemble_key,
    checksum,
    is_within,
    looks_like_key,
    networks,
    without_keys,
)
from domain.kernel.events import Event
from domain.kernel.permissions import SCOPES, UnknownScope, scopes
from tests.scenario import given

KEY_ID = "key-0000000001"
NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST, SECOND, THIRD = "0" * 64, "1" * 64, "2" * 64

created = ApiKeyCreated(
    key_id="key-0000000001",
    team_id="org-0000000001",
    created_by="usr-0000000001",
    name="a key",
    prefix="tp_live_000000000000",
    secret_hash=FIRST,
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


def rotated(secret_hash: str, *, until: datetime | None = None) -> ApiKeyRotated:
    return ApiKeyRotated(
        key_id=KEY_ID, prefix="tp_live_next", secret_hash=secret_hash, previous_until=until
    )


def rotate(key: ApiKey, secret_hash: str = SECOND, *, grace: timedelta = HOUR) -> list[Event]:
    return key.rotate(prefix="tp_live_next", secret_hash=secret_hash, grace=grace, now=NOW)


def leak(
    key: ApiKey, secret_hash: str = FIRST, *, revoke: bool = True, now: datetime = NOW
) -> list[Event]:
    return key.report_leak(
        secret_hash=secret_hash, reported_by="github", url="https://x.test", revoke=revoke, now=now
    )


def leaked(secret_hash: str) -> ApiKeyLeaked:
    return ApiKeyLeaked(
        key_id=KEY_ID, secret_hash=secret_hash, reported_by="github", url="https://x.test"
    )


revoked_as_leaked = ApiKeyRevoked(key_id=KEY_ID, reason="leaked")


def test_each_change_says_what_happened_and_the_same_again_changes_nothing() -> None:
    later = NOW + HOUR
    for act, event in (
        (
            lambda key: key.describe(name="till", description="of the shop"),
            ApiKeyDescribed(key_id=KEY_ID, name="till", description="of the shop"),
        ),
        (
            lambda key: key.grant(("logs:read",)),
            ApiKeyScopesGranted(key_id=KEY_ID, scopes=("logs:read",)),
        ),
        (
            lambda key: key.allow_from(("192.0.2.0/24",)),
            ApiKeyNetworksAllowed(key_id=KEY_ID, allowed_cidrs=("192.0.2.0/24",)),
        ),
        (
            lambda key: key.expire(later, now=NOW),
            ApiKeyExpirySet(key_id=KEY_ID, expires_at=later),
        ),
        (lambda key: key.limit(7), ApiKeyLimitSet(key_id=KEY_ID, requests_per_minute=7)),
    ):
        done = given(API_KEY, created).when(act).then(event)
        done.and_then().when(act).then_nothing_happened()
        given(API_KEY, created, revoked).when(act).then_refused(KeyRevoked)


def test_an_expired_key_works_again_with_a_new_expiry_and_never_with_a_past_one() -> None:
    expired = ApiKeyExpirySet(key_id=KEY_ID, expires_at=NOW - HOUR)
    again = ApiKeyExpirySet(key_id=KEY_ID, expires_at=None)
    given(API_KEY, created, expired).when(lambda key: key.expire(None, now=NOW)).then(again)
    (
        given(API_KEY, created)
        .when(lambda key: key.expire(NOW, now=NOW))
        .then_refused(ExpiryInThePast)
    )


def test_an_expiry_is_announced_once_for_each_of_the_days() -> None:
    expires_at = NOW + timedelta(days=3)
    expires = ApiKeyExpirySet(key_id=KEY_ID, expires_at=expires_at)

    def announced(days_before: int) -> ApiKeyExpiryAnnounced:
        return ApiKeyExpiryAnnounced(key_id=KEY_ID, expires_at=expires_at, days_before=days_before)

    told = (
        given(API_KEY, created, expires, announced(14))
        .when(lambda key: key.announce_expiry(days_before=3, now=NOW))
        .then(announced(3))
        .and_then()
    )
    for days, now in (
        (14, NOW),
        (3, NOW),
        (1, NOW),  # not yet
        (1, expires_at),  # too late
    ):
        told.when(
            partial(ApiKey.announce_expiry, days_before=days, now=now)
        ).then_nothing_happened()
    day_before = expires_at - timedelta(days=1)
    told.when(lambda key: key.announce_expiry(days_before=1, now=day_before)).then(announced(1))
    for past in ((created,), (created, expires, revoked)):
        (
            given(API_KEY, *past)
            .when(lambda key: key.announce_expiry(days_before=3, now=NOW))
            .then_nothing_happened()
        )
    later = ApiKeyExpirySet(key_id=KEY_ID, expires_at=expires_at - timedelta(seconds=1))
    given(API_KEY, created, expires, announced(3), later).then_state(announced_days=None)


def test_a_rotated_key_has_a_new_secret_and_the_one_before_for_the_grace() -> None:
    (
        given(API_KEY, created)
        .when(rotate)
        .then(rotated(SECOND, until=NOW + HOUR))
        .then_state(
            key_id=KEY_ID,
            prefix="tp_live_next",
            scopes=("call:*",),
            secret_hash=SECOND,
            retiring_hash=FIRST,
            retiring_until=NOW + HOUR,
        )
    )


def test_without_a_grace_the_secret_before_is_gone() -> None:
    (
        given(API_KEY, created)
        .when(lambda key: rotate(key, grace=timedelta(0)))
        .then(rotated(SECOND))
        .then_state(secret_hash=SECOND, retiring_hash=None, retiring_until=None)
    )


def test_rotating_during_a_grace_ends_the_oldest_secret() -> None:
    (
        given(API_KEY, created, rotated(SECOND, until=NOW + HOUR))
        .when(lambda key: rotate(key, THIRD))
        .then_state(secret_hash=THIRD, retiring_hash=SECOND)
    )


def test_a_retiring_secret_never_outlives_its_key() -> None:
    soon, sooner = NOW + HOUR / 2, NOW + HOUR / 4
    expires = ApiKeyExpirySet(key_id=KEY_ID, expires_at=soon)
    given(API_KEY, created, expires).when(rotate).then(rotated(SECOND, until=soon))
    rotation = rotated(SECOND, until=soon)
    (
        given(API_KEY, created, rotation)
        .when(lambda key: key.expire(sooner, now=NOW))
        .then_state(expires_at=sooner, retiring_until=sooner)
    )
    (
        given(API_KEY, created, expires, rotation)
        .when(lambda key: key.expire(None, now=NOW))
        .then_state(expires_at=None, retiring_until=soon)
    )


def test_neither_a_revoked_nor_an_expired_key_is_rotated() -> None:
    expired = ApiKeyExpirySet(key_id=KEY_ID, expires_at=NOW)
    given(API_KEY, created, revoked).when(rotate).then_refused(KeyRevoked)
    given(API_KEY, created, expired).when(rotate).then_refused(KeyExpired)
    too_long = timedelta(days=7, seconds=1)
    given(API_KEY, created).when(lambda key: rotate(key, grace=too_long)).then_refused(GraceTooLong)


def test_a_leaked_key_is_revoked_once_however_often_it_is_reported() -> None:
    done = given(API_KEY, created).when(leak).then(leaked(FIRST), revoked_as_leaked)
    done.and_then().when(leak).then_nothing_happened()


def test_a_leak_that_is_only_reported_is_told_once_and_can_still_be_acted_upon() -> None:
    told = given(API_KEY, created).when(lambda key: leak(key, revoke=False)).then(leaked(FIRST))
    told.and_then().when(lambda key: leak(key, revoke=False)).then_nothing_happened()
    told.and_then().when(leak).then(revoked_as_leaked)


def test_of_a_key_that_was_rotated_only_the_leaked_secret_ends() -> None:
    rotation = rotated(SECOND, until=NOW + HOUR)
    (
        given(API_KEY, created, rotation)
        .when(leak)
        .then(leaked(FIRST), ApiKeyGraceEnded(key_id=KEY_ID))
        .then_state(secret_hash=SECOND, retiring_hash=None, revoked=False)
        .and_then()
        .when(leak)
        .then_nothing_happened()
    )
    (
        given(API_KEY, created, leaked(FIRST), rotation)
        .when(lambda key: leak(key, SECOND))
        .then(leaked(SECOND), revoked_as_leaked)
    )
    given(API_KEY, created, leaked(FIRST), rotation, rotated(THIRD)).then_state(leaked=())


def test_a_report_of_a_secret_that_opens_nothing_changes_nothing() -> None:
    rotation = rotated(SECOND, until=NOW + HOUR)
    for past, secret_hash, now in (
        ((created,), SECOND, NOW),
        ((created, rotated(SECOND)), FIRST, NOW),
        ((created, rotation), FIRST, NOW + HOUR),
        ((created, revoked), FIRST, NOW),
    ):
        (
            given(API_KEY, *past)
            .when(partial(leak, secret_hash=secret_hash, now=now))
            .then_nothing_happened()
        )


def test_networks_have_one_form_and_each_is_there_once() -> None:
    assert networks(
        [
            "2001:DB8::/32",
            "192.0.2.7",
            "10.0.0.0/8",
            "192.0.2.7/32",
            "::ffff:10.0.0.0/104",
            "2001:db8:0:0::1",
            "0.0.0.0/0",
        ]
    ) == ("0.0.0.0/0", "10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "2001:db8::1/128")
    assert networks(()) == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "localhost",
        "192.0.2.1/24",
        "192.0.2.0/33",
        "192.0.2/24",
        "192.0.2.0/255.255.255.0",
        "192.0.2.0/-1",
        "192.0.2.0/",
        " 192.0.2.0/24",
        "192.0.2.0/24\n",
        "192.0.002.0/24",
        "2001:db8::1/32",
        "2001:db8::/129",
        "fe80::1%eth0",
        "::ffff:10.0.0.1/104",
        "1\N{ARABIC-INDIC DIGIT ZERO}.0.0.0/8",
        "1" * 1000,
    ],
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(NotANetwork):
        networks(["192.0.2.0/24", text])


def test_a_key_has_a_limited_number_of_networks() -> None:
    assert len(networks([f"10.0.{n}.0/24" for n in range(NETWORKS_MAX)])) == NETWORKS_MAX
    with pytest.raises(TooManyNetworks):
        networks([f"10.0.{n}.0/24" for n in range(NETWORKS_MAX + 1)])


def test_an_address_is_within_its_networks_however_it_is_written() -> None:
    four, six = (ip_network("192.0.2.0/24"),), (ip_network("2001:db8::/32"),)
    for address, allowed, expected in (
        ("192.0.2.0", four, True),
        ("192.0.2.255", four, True),
        ("192.0.3.0", four, False),
        ("::ffff:192.0.2.9", four, True),
        ("::ffff:192.0.3.9", four, False),
        ("2001:db8::9", four, False),
        ("2001:db8::9", six, True),
        ("2001:db9::9", six, False),
        ("192.0.2.1", six + four, True),
        ("unknown", six + four, False),
        ("", six + four, False),
    ):
        assert is_within(address, allowed) is expected, address


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


def test_of_a_key_in_a_text_only_the_public_beginning_is_left() -> None:
    assert without_keys(f"https://x.test/?a={KEY}&b={KEY[:-9]}#tp_live_short") == (
        "https://x.test/?a=tp_live_aaaaaaaaaaaa...&b=tp_live_aaaaaaaaaaaa...#tp_live_short"
    )
    assert without_keys("") == ""


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
