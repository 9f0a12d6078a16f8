"""The receiver in docs/webhooks.md, run as it stands there."""

import asyncio
import contextlib
import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from infrastructure.webhooks import Unreachable
from infrastructure.webhooks.http import HttpPoster
from workers.webhooks.signing import headers_of

PAGE = Path(__file__).parents[3] / "docs" / "webhooks.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"type":"webhook.test","timestamp":"2026-11-23T02:00:00Z","data":{}}'


@asynccontextmanager
async def documented_receiver(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", found[1]),
        env={**os.environ, "WEBHOOK_SECRET": SECRET, "PORT": str(port)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.communicate()


async def test_the_documented_receiver_takes_what_is_ours_once_and_nothing_else() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, now = f"http://127.0.0.1:{port}/", datetime.now(UTC)
    poster = HttpPoster(private_hosts=[f"127.0.0.1:{port}"])

    async def post(headers: dict[str, str]) -> int:
        return (await poster.post(url, headers=headers, body=BODY)).status

    async with documented_receiver(port) as process:
        genuine = headers_of("whd-0000000001", BODY, secrets=["whsec_AAAA", SECRET], at=now)
        async with asyncio.timeout(60):
            while True:  # until it listens
                with contextlib.suppress(Unreachable):
                    assert await post(genuine) == 204
                    break
                await asyncio.sleep(0.05)
        assert await post(genuine) == 204
        forged = {**genuine, "webhook-id": "whd-0000000002"}
        stale = headers_of("whd-1", BODY, secrets=[SECRET], at=now - timedelta(minutes=6))
        foreign = headers_of("whd-1", BODY, secrets=["whsec_AAAA"], at=now)
        assert [await post(each) for each in (forged, stale, foreign)] == [400, 400, 400]
        another = headers_of("whd-0000000003", BODY, secrets=[SECRET], at=now)
        assert await post(another) == 204
        assert process.stdout is not None
        lines = [await process.stdout.readline() for _ in range(2)]
    await poster.close()
    assert [json.loads(line)["type"] for line in lines] == ["webhook.test"] * 2
