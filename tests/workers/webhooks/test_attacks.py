"""Endpoints that mean harm: towards our own network, and towards us who ask them."""

import asyncio
import gc
import gzip

import pytest

from infrastructure.outside.client import Lookup
from infrastructure.webhooks import ANSWER_BYTES_MAX, Unreachable
from infrastructure.webhooks.http import HttpPoster
from tests.webhook_receiver import Posted, Receiver, answering, running_receiver
from tests.workers.webhooks.conftest import Scene

NAMES = "127.0.0.1 localhost localhost. 0.0.0.0 2130706433 0x7f.1 0x7f000001 0177.0.0.1 127.1"
LONG_ADDRESSES = "[::1] [::ffff:127.0.0.1] [::ffff:7f00:1] [64:ff9b::7f00:1]"
INTERNAL = (
    ["127.0.0.1"],
    ["10.0.0.1"],
    ["172.16.0.1"],
    ["192.168.0.1"],
    ["169.254.169.254"],
    ["100.64.0.1"],
    ["0.0.0.0"],
    ["::1"],
    ["fd00::8"],
    ["fe80::1"],
    ["::ffff:127.0.0.1"],
    ["64:ff9b::7f00:1"],
    ["1.1.1.1", "127.0.0.1"],
    ["1.1.1.1", "fd00::1"],
)


class Says(Lookup):
    """A resolver that answers what the test says, one answer after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = [*answers]

    async def __call__(self, host: str, port: int) -> list[str]:
        del host, port
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def post(poster: HttpPoster, url: str) -> int:
    try:
        return (await poster.post(url, headers={"webhook-id": "x"}, body=b"{}")).status
    finally:
        await poster.close()


async def test_no_spelling_of_this_machine_is_connected_to() -> None:
    async with running_receiver() as inside:
        for host in (*NAMES.split(), *LONG_ADDRESSES.split()):
            with pytest.raises(Unreachable):
                await post(HttpPoster(timeout_seconds=10), f"http://{host}:{inside.port}/")
        assert inside.posted == []


async def test_a_name_with_any_address_of_ours_is_not_connected_to() -> None:
    async with running_receiver() as inside:
        for answer in INTERNAL:
            poster = HttpPoster(timeout_seconds=10, lookup=Says(answer))
            with pytest.raises(Unreachable, match="public internet"):
                await post(poster, f"http://rebinding.example:{inside.port}/")
        assert inside.posted == []


async def test_a_name_that_answers_otherwise_the_second_time_gains_nothing() -> None:
    async with running_receiver() as inside:
        lookups = Says(["10.0.0.1"], ["127.0.0.1"])
        with pytest.raises(Unreachable, match="public internet"):
            await post(
                HttpPoster(timeout_seconds=10, lookup=lookups),
                f"http://rebinding.example:{inside.port}/",
            )
        assert lookups.answers == [["127.0.0.1"]]
        assert inside.posted == []


async def test_a_webhook_whose_host_is_not_vouched_for_any_more_is_not_told(scene: Scene) -> None:
    await scene.make()
    await scene.keys()
    scene.start(private_hosts=())
    await scene.until("(SELECT attempts = 1 FROM webhook_deliveries)")
    [row] = await scene.settled("pending")
    assert "https://" in row["problem"]
    assert scene.receiver.posted == []


def vouched(receiver: Receiver, *, timeout_seconds: float = 30.0) -> HttpPoster:
    return HttpPoster(private_hosts=[receiver.host], timeout_seconds=timeout_seconds)


async def test_a_redirect_inside_is_an_answer_and_nothing_more() -> None:
    async with running_receiver() as receiver:
        for status in (301, 302, 303, 307, 308):
            location = "Location: http://169.254.169.254/latest/meta-data/"
            receiver.answers["/"] = answering(status, location)
            assert await post(vouched(receiver), receiver.url("/")) == status
        loop = f"Location: {receiver.url('/')}"
        receiver.answers["/"] = answering(302, loop)
        before = len(receiver.posted)
        assert await post(vouched(receiver), receiver.url("/")) == 302
        assert len(receiver.posted) == before + 1


async def test_of_a_body_without_end_only_the_beginning_is_read() -> None:
    sent = 0

    async def endless(_: Posted, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while sent < 50_000_000:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    async with running_receiver() as receiver:
        receiver.answers["/"] = endless
        poster = vouched(receiver)
        answer = await poster.post(receiver.url("/"), headers={}, body=b"{}")
        await poster.close()
    assert (answer.status, len(answer.body)) == (200, ANSWER_BYTES_MAX)
    assert sent < 50_000_000


async def test_a_gzip_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(20_000_000))
    async with running_receiver() as receiver:
        receiver.answers["/"] = answering(200, "Content-Encoding: gzip", body=bomb)
        poster = vouched(receiver)
        answer = await poster.post(receiver.url("/"), headers={}, body=b"{}")
        await poster.close()
        assert receiver.posted[0].headers["accept-encoding"] == "identity"
    assert len(answer.body) <= len(bomb)


async def test_headers_without_end_are_no_answer() -> None:
    async def endless(_: Posted, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Filler: " + b"x" * 8000 + b"\r\n")
            await writer.drain()

    async with running_receiver() as receiver:
        receiver.answers["/"] = endless
        with pytest.raises(Unreachable, match="headers had no end"):
            await post(vouched(receiver), receiver.url("/"))


async def test_who_dribbles_is_waited_for_until_the_deadline_and_not_longer() -> None:
    """The whole answer has the one deadline, however often a byte comes."""
    stopped = asyncio.Event()

    async def dribble(_: Posted, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            stopped.set()
            raise

    async with running_receiver() as receiver:
        receiver.answers["/"] = dribble
        with pytest.raises(Unreachable, match="No answer within"):
            await post(vouched(receiver, timeout_seconds=0.3), receiver.url("/"))
        async with asyncio.timeout(30):
            await stopped.wait()


async def test_a_body_that_never_ends_does_not_undo_a_yes() -> None:
    async def silent(_: Posted, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nthanks")
        await writer.drain()
        await asyncio.sleep(3600)

    async with running_receiver() as receiver:
        receiver.answers["/"] = silent
        poster = vouched(receiver, timeout_seconds=1.0)
        answer = await poster.post(receiver.url("/"), headers={}, body=b"{}")
        await poster.close()
    assert (answer.status, answer.body) == (200, "thanks")


async def test_what_one_answer_sets_no_later_message_carries() -> None:
    async with running_receiver() as receiver:
        receiver.answers["/"] = answering(200, "Set-Cookie: who=anna; Path=/")
        poster = vouched(receiver)
        for _ in range(2):
            await poster.post(receiver.url("/"), headers={}, body=b"{}")
        await poster.close()
        assert ["cookie" in each.headers for each in receiver.posted] == [False, False]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"not http at all\r\n\r\n", "not HTTP"),
        (b"", "not HTTP|broke before"),
        (b"HTTP/1.1 999999 X\r\n\r\n", "not HTTP"),
    ],
)
async def test_nonsense_is_no_answer_and_is_not_repeated(answer: bytes, words: str) -> None:
    async def nonsense(_: Posted, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    async with running_receiver() as receiver:
        receiver.answers["/"] = nonsense
        with pytest.raises(Unreachable, match=words):
            await post(vouched(receiver), receiver.url("/"))


async def test_where_nobody_listens_the_team_is_told_so() -> None:
    async with running_receiver() as receiver:
        host, url = receiver.host, receiver.url("/")
    poster = HttpPoster(private_hosts=[host], timeout_seconds=10)
    with pytest.raises(Unreachable, match="nobody listens"):
        await post(poster, url)


async def test_without_tls_where_it_was_promised_nothing_is_sent() -> None:
    async with running_receiver() as receiver:
        receiver.greeting = b"HTTP/1.1 200 OK\r\n\r\n"
        url = receiver.url("/").replace("http:", "https:")
        with pytest.raises(Unreachable, match="TLS failed"):
            await post(vouched(receiver), url)
        assert receiver.posted == []


async def test_a_handshake_that_never_ends_is_ended_and_leaves_no_connection() -> None:
    """An open one would be a warning, and so a failure of this test."""
    async with running_receiver() as receiver:
        url = receiver.url("/").replace("http:", "https:")
        with pytest.raises(Unreachable, match="No answer within"):
            await post(vouched(receiver, timeout_seconds=0.3), url)
        gc.collect()
