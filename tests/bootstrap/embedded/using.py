"""Use each server as the platform does, with its real client."""

import asyncio
import uuid
import warnings

import httpx
import psycopg
import redis.asyncio

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it reads its own files in an old way
    import kafka


async def write(postgres_url: str, valkey_url: str, value: str) -> None:
    """Leave a value in the stores that keep things."""
    async with await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        await connection.execute("INSERT INTO kept VALUES (%s)", [value])
    async with redis.asyncio.from_url(valkey_url) as client:
        await client.set("kept", value)


async def read(postgres_url: str, valkey_url: str) -> tuple[str | None, str | None]:
    """Return what is kept, newest first."""
    async with await psycopg.AsyncConnection.connect(postgres_url) as connection:
        cursor = await connection.execute("SELECT max(value) FROM kept")
        row = await cursor.fetchone()
    async with redis.asyncio.from_url(valkey_url, decode_responses=True) as client:
        kept = await client.get("kept")
    return (None if row is None else row[0]), (None if kept is None else str(kept))


async def clickhouse_selects(url: str) -> bool:
    """Return whether ClickHouse computes."""
    async with httpx.AsyncClient(timeout=10) as client:
        answer = await client.post(url, content="SELECT 6 * 7")
    return answer.status_code == 200 and answer.text.strip() == "42"


async def kafka_carries(bootstrap: str) -> bool:
    """Return whether a record comes out as it went in."""

    def round_trip() -> bool:
        topic = f"t{uuid.uuid4().hex}"
        producer = kafka.KafkaProducer(bootstrap_servers=bootstrap)
        try:
            sent = producer.send(topic, b"value", key=b"key", partition=0).get(timeout=10)
        finally:
            producer.close()
        partition = kafka.TopicPartition(topic, 0)
        consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=50)
        try:
            consumer.assign([partition])
            consumer.seek(partition, sent.offset)
            records = consumer.poll(timeout_ms=5_000).get(partition, [])
        finally:
            consumer.close()
        return [(r.key, r.value) for r in records] == [(b"key", b"value")]

    return await asyncio.to_thread(round_trip)
