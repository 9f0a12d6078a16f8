import asyncio
import socket
import time

import msgspec
import pytest

from infrastructure.clickhouse import ClickHouse, ClickHouseAway, ClickHouseRefused
from infrastructure.clickhouse.client import ClickHouseClient, ClickHouseOptions
from tests.infrastructure.clickhouse.process import ClickHouseProcess, free_port


class Number(msgspec.Struct, frozen=True):
    number: int


class Text(msgspec.Struct, frozen=True):
    id: int
    text: str


class Count(msgspec.Struct, frozen=True):
    rows: int
    parts: int


async def count(clickhouse: ClickHouse, table: str) -> Count:
    [found] = await clickhouse.query(
        Count, f"SELECT count() AS rows, uniqExact(_part) AS parts FROM {table}"
    )
    return found


async def test_rows_come_back_as_what_was_asked_for(clickhouse: ClickHouseClient) -> None:
    rows = await clickhouse.query(
        Number, "SELECT number FROM numbers({n:UInt32}) ORDER BY number", {"n": 3}
    )
    assert rows == [Number(0), Number(1), Number(2)]
    assert await clickhouse.query(Number, "SELECT 1 AS number WHERE 0") == []


async def test_what_is_inserted_is_there_as_one_part_whatever_the_text(
    clickhouse: ClickHouseClient,
) -> None:
    await clickhouse.command(
        "CREATE TABLE texts (id UInt64, text String) ENGINE=MergeTree ORDER BY id"
    )
    texts = ["", "a\x00b", "\n\n", "FORMAT CSV", "';--", "😀", "x" * 1_000_000]
    await clickhouse.insert("texts", [Text(n, t) for n, t in enumerate(texts)], writer="test")
    rows = await clickhouse.query(Text, "SELECT * FROM texts ORDER BY id")
    assert [row.text for row in rows] == texts
    assert await count(clickhouse, "texts") == Count(7, 1)
    many = [Text(number, "row") for number in range(100_000)]
    await clickhouse.insert("texts", many, writer="test")
    assert await count(clickhouse, "texts") == Count(100_007, 2)
    # An equal block is not a repetition for ClickHouse to drop.
    await clickhouse.insert("texts", many, writer="test")
    assert (await count(clickhouse, "texts")).rows == 200_007


async def test_a_wrong_statement_is_refused_with_its_number(clickhouse: ClickHouseClient) -> None:
    with pytest.raises(ClickHouseRefused) as caught:
        await clickhouse.query(Number, "SELECT number FROM nowhere")
    assert caught.value.code == 60
    with pytest.raises(ClickHouseRefused):
        await clickhouse.insert("nowhere", [Number(1)], writer="test")


async def test_a_wrong_password_is_refused(shared_server: ClickHouseProcess) -> None:
    url = f"http://tallyport:wrong@127.0.0.1:{shared_server.port}/default"
    client = ClickHouseClient(ClickHouseOptions(url=url))
    with pytest.raises(ClickHouseRefused) as caught:
        await client.query(Number, "SELECT 1 AS number")
    assert caught.value.code == 516
    assert "wrong" not in str(caught.value)
    await client.close()


async def test_twenty_queries_at_once_are_answered(clickhouse: ClickHouseClient) -> None:
    answers = await asyncio.gather(
        *(
            clickhouse.query(
                Number, "SELECT sum(number) + {n:UInt32} AS number FROM numbers(10)", {"n": n}
            )
            for n in range(20)
        )
    )
    assert [answer[0].number for answer in answers] == [45 + n for n in range(20)]


async def test_a_server_that_is_not_there_is_away_after_bounded_tries() -> None:
    options = ClickHouseOptions(
        url=f"http://u:p@127.0.0.1:{free_port()}/default", retries_max=2, retry_delay_seconds=0.05
    )
    client = ClickHouseClient(options)
    start = time.monotonic()
    with pytest.raises(ClickHouseAway):
        await client.query(Number, "SELECT 1 AS number")
    assert 0.15 <= time.monotonic() - start < 5
    await client.close()


async def test_a_query_is_asked_again_until_the_server_is_back(
    own_server: ClickHouseProcess,
) -> None:
    client = ClickHouseClient(ClickHouseOptions(url=own_server.url, retries_max=8))
    assert await client.query(Number, "SELECT 1 AS number") == [Number(1)]
    own_server.kill()
    restarted = asyncio.create_task(own_server.start_async())
    assert await client.query(Number, "SELECT 2 AS number") == [Number(2)]
    await restarted
    await client.close()


async def test_an_insert_is_sent_once_even_if_the_answer_is_lost() -> None:
    """The driver repeats an insert by itself when the connection breaks; ours must not."""
    posts = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal posts
        while head := await reader.readuntil(b"\r\n\r\n"):
            first = head.split(b"\r\n")[0]
            if b"INSERT" in first:
                posts += 1
                await reader.readuntil(b"0\r\n\r\n")
                writer.transport.abort()  # as a killed server: reset, without an answer
                return
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            )
            body = await reader.readexactly(length)
            answer = b"26.9.2.1\tUTC\n" if b"version()" in body else b""
            writer.write(
                b"HTTP/1.1 200 OK\r\nX-ClickHouse-Format: TSV\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(answer), answer)
            )

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = ClickHouseClient(ClickHouseOptions(url=f"http://u:p@127.0.0.1:{port}/default"))
    with pytest.raises(ClickHouseAway):
        await client.insert("t", [Number(1)], writer="test")
    assert posts == 1
    server.close()
    await client.close()


async def test_a_running_insert_of_a_writer_is_stopped_and_others_go_on(
    clickhouse: ClickHouseClient,
) -> None:
    await clickhouse.command(
        "CREATE TABLE slow (number UInt64, wait UInt8 MATERIALIZED sleepEachRow(0.05))"
        " ENGINE=MergeTree ORDER BY number"
    )
    rows = [Number(number) for number in range(50)]
    mine = asyncio.create_task(clickhouse.insert("slow", rows, writer="mine"))
    other = asyncio.create_task(clickhouse.insert("slow", rows[:20], writer="other"))
    running = "SELECT count() AS number FROM system.processes WHERE query_kind = 'Insert'"
    deadline = time.monotonic() + 30
    while await clickhouse.query(Number, running) != [Number(2)]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    await clickhouse.stop_inserts("mine")
    # Cancelled: whoever inserted does not know more than that.
    with pytest.raises(ClickHouseAway):
        await mine
    await other
    assert (await count(clickhouse, "slow")).rows == 20


async def test_a_cancelled_insert_has_ended_when_the_cancellation_is_through(
    clickhouse: ClickHouseClient,
) -> None:
    await clickhouse.command(
        "CREATE TABLE left_behind (number UInt64, wait UInt8 MATERIALIZED sleepEachRow(0.05))"
        " ENGINE=MergeTree ORDER BY number"
    )
    rows = [Number(number) for number in range(20)]
    insert = asyncio.create_task(clickhouse.insert("left_behind", rows, writer="test"))
    await asyncio.sleep(0.2)
    insert.cancel()
    with pytest.raises(asyncio.CancelledError):
        await insert
    running = "SELECT count() AS number FROM system.processes WHERE query_kind = 'Insert'"
    assert await clickhouse.query(Number, running) == [Number(0)]
    assert (await count(clickhouse, "left_behind")).rows == 20


async def test_a_server_that_never_answers_is_away_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        options = ClickHouseOptions(
            url=f"http://u:p@127.0.0.1:{port}/default", answer_timeout_seconds=1, retries_max=0
        )
        client = ClickHouseClient(options)
        with pytest.raises(ClickHouseAway):
            await client.query(Number, "SELECT 1 AS number")
        await client.close()
