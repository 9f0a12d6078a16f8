"""Keys that are nearly right, and right keys in wrong places, byte by byte through HAProxy."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest

from gateway.configuration import RoutingTable
from tests.gateway.conftest import (
    FOREIGN_KEY,
    KEY,
    Answer,
    Gateway,
    Table,
    Upstream,
    key_named,
    route_named,
)

EXPIRED = "tp_live_expiredexpirsecretsecretsecretsecretsecr_a1b2c3"
REVOKED = "tp_live_revokedrevoksecretsecretsecretsecretsecr_a1b2c3"


@pytest.fixture
def table(upstream: Upstream) -> Table:
    keys = (
        key_named("key-1", KEY),
        key_named("key-3", FOREIGN_KEY, team_id="org-2"),
        key_named("key-4", EXPIRED, expires_at=datetime.now(UTC) - timedelta(seconds=1)),
    )
    return Table(RoutingTable(routes=(route_named("shop", upstream),), keys=keys))


def with_fields(*fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"GET /shop/ HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode("latin-1")


def flipped() -> list[str]:
    """Every key that differs in the case of one letter."""
    return [
        KEY[:n] + KEY[n].swapcase() + KEY[n + 1 :]
        for n in range(len(KEY))
        if KEY[n].swapcase() != KEY[n]
    ]


NEARLY = {
    **{f"cut to {length}": KEY[:length] for length in (1, 8, 20, len(KEY) - 7, len(KEY) - 1)},
    "without its beginning": KEY[1:],
    "extended": KEY + "0",
    "prefixed": "0" + KEY,
    "twice in one": KEY + KEY,
    "listed twice": f"{KEY}, {KEY}",
    "listed with another": f"{KEY},{FOREIGN_KEY}",
    "another checksum": KEY[:-6] + "000000",
    "without its checksum": KEY.rpartition("_")[0],
    "another environment": KEY.replace("tp_live_", "tp_test_"),
    "all capitals": KEY.upper(),
    "in quotes": f'"{KEY}"',
    "an encoded space behind": f"{KEY}%20",
    "an encoded letter": KEY.replace("t", "%74", 1),
    "a tab inside": KEY[:20] + "\t" + KEY[20:],
    "a space inside": KEY[:20] + " " + KEY[20:],
    "a pattern": KEY[:-1] + "?",
    "revoked": REVOKED,
    "expired": EXPIRED,
}
MISPLACED = {
    "two headers": (f"X-API-Key: {KEY}", f"X-API-Key: {KEY}"),
    "two headers, one wrong": (f"X-API-Key: {KEY}", "X-API-Key: tp_x"),
    "two headers, the right one last": ("X-API-Key: tp_x", f"X-API-Key: {KEY}"),
    "an empty one before": ("X-API-Key:", f"X-API-Key: {KEY}"),
    "in both": (f"X-API-Key: {KEY}", f"Authorization: Bearer {KEY}"),
    "in both, the bearer wrong": (f"X-API-Key: {KEY}", "Authorization: Bearer tp_x"),
    "in both, the header wrong": ("X-API-Key: tp_x", f"Authorization: Bearer {KEY}"),
    "an underscore in the name": (f"X_API_Key: {KEY}",),
    "another name": (f"Api-Key: {KEY}",),
    "no scheme": (f"Authorization: {KEY}",),
    "another scheme": (f"Authorization: Basic {b64encode(KEY.encode()).decode()}",),
    "as a password": (f"Authorization: Basic {b64encode(b'x:' + KEY.encode()).decode()}",),
    "in a list of schemes": (f"Authorization: Bearer {KEY}, Bearer {KEY}",),
    "in a cookie": (f"Cookie: X-API-Key={KEY}",),
    "told by a proxy": (f"X-Forwarded-X-API-Key: {KEY}",),
}


def said(answer: Answer) -> tuple[int, dict[str, object], str | None]:
    """What the caller can tell apart."""
    problem = answer.json() | {"requestId": ""}
    return answer.status, problem, answer.headers.get("www-authenticate")


async def test_a_key_that_is_nearly_right_is_refused_like_none(
    serving: Gateway, upstream: Upstream
) -> None:
    before = upstream.served
    none = said(await serving.ask("/shop/"))
    assert none[0] == 401
    keys = [*NEARLY.values(), *flipped()]
    fields = [f"{name} {key}" for key in keys for name in ("X-API-Key:", "Authorization: Bearer")]
    different = [field for field in fields if said(await serving.send(with_fields(field))) != none]
    assert different == []
    assert upstream.served == before


async def test_a_key_in_a_wrong_place_is_refused_like_none(
    serving: Gateway, upstream: Upstream
) -> None:
    before = upstream.served
    none = said(await serving.ask("/shop/"))
    answers = {name: await serving.send(with_fields(*f)) for name, f in MISPLACED.items()}
    assert [name for name, answer in answers.items() if said(answer) != none] == []
    assert upstream.served == before


async def test_two_authorizations_are_no_request(serving: Gateway, upstream: Upstream) -> None:
    before = upstream.served
    bearer = f"Authorization: Bearer {KEY}"
    for fields in ((bearer, bearer), (bearer, "Authorization: Basic dTpw")):
        answer = await serving.send(with_fields(*fields))
        assert (answer.status, answer.code) == (400, "request_malformed")
    assert upstream.served == before


async def test_a_zero_byte_in_a_key_is_no_request(serving: Gateway, upstream: Upstream) -> None:
    before = upstream.served
    assert (await serving.send(with_fields(f"X-API-Key: {KEY}\0"))).status == 400
    assert upstream.served == before


async def test_space_around_a_value_is_not_part_of_it(serving: Gateway) -> None:
    # RFC 9110, 5.5: every recipient takes it off before it looks at the value.
    for field in (f"X-API-Key: {KEY} ", f"X-API-Key:\t {KEY}\t", f"Authorization: Bearer {KEY} "):
        assert (await serving.send(with_fields(field))).status == 200


async def test_a_key_that_comes_after_the_body_is_none(serving: Gateway) -> None:
    head = "POST /shop/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
    sent = f"{head}Trailer: X-API-Key\r\n\r\n0\r\nX-API-Key: {KEY}\r\n\r\n"
    assert (await serving.send(sent.encode())).code == "key_invalid"


async def test_no_key_that_was_tried_is_written_anywhere(serving: Gateway) -> None:
    for fields in MISPLACED.values():
        await serving.send(with_fields(*fields))
    for target in (f"/shop/?api_key={KEY}", f"/shop/?x={KEY}", f"/shop/?X-API-KEY={KEY}"):
        answer = await serving.ask(target)
        assert (answer.status, answer.code) == (400, "key_in_query")
    assert (await serving.ask("/shop/", key=REVOKED)).status == 401
    written = serving.text_of_all_files()
    for key in (KEY, REVOKED):
        assert key.encode() not in written
        assert b64encode(key.encode()) not in written
