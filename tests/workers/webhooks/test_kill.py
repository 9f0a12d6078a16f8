"""`kill -9` of the worker's process in the middle: each message arrives, some twice, all known."""

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from projections.catalogue import VIEWS
from tests.webhook_receiver import Posted, answering
from tests.wiring import SECRET
from tests.workers.webhooks.conftest import Scene

MESSAGES = 30


@asynccontextmanager
async def worker_process(scene: Scene, home: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the process as it is run in production; kill it at the end, if it still lives."""
    place = conninfo_to_dict(scene.installation.conninfo)
    environ = {
        **{name: text for name, text in os.environ.items() if not name.startswith("TALLYPORT_")},
        "TALLYPORT_HOME": str(home),
        "TALLYPORT_DATABASE_URL": "postgresql://{user}@{host}:{port}/{dbname}".format(**place),
        "TALLYPORT_SECRET_KEY": base64.b64encode(SECRET).decode(),
        "TALLYPORT_WEBHOOK_HOSTS": scene.receiver.host,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bootstrap.main", "worker", "webhooks"),
        env=environ,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_worker_that_is_killed_loses_nothing_and_repeats_itself_recognisably(
    scene: Scene, tmp_path: Path
) -> None:
    await scene.make()
    await scene.keys(MESSAGES)
    thank = answering(200)
    for number in (1, 11):  # killed with the first message on its way, and in the middle
        async with worker_process(scene, tmp_path) as process:

            async def die(
                posted: Posted,
                writer: asyncio.StreamWriter,
                *,
                process: asyncio.subprocess.Process = process,
                number: int = number,
            ) -> None:
                if len(scene.receiver.at()) == number:
                    process.kill()
                await thank(posted, writer)

            scene.receiver.answers["/hook"] = die
            assert await process.wait() == -signal.SIGKILL
    scene.receiver.answers["/hook"] = thank
    async with worker_process(scene, tmp_path):
        rows = await scene.settled(number=MESSAGES)
    assert len(rows) == MESSAGES
    ids = {row["id"] for row in rows}
    posted = scene.receiver.at()
    assert {each.id for each in posted} == ids, "every message arrives, under the id it keeps"
    assert len(posted) > MESSAGES, "what was on its way when it was killed came again"
    bodies = {(each.id, each.body) for each in posted}
    assert len(bodies) == MESSAGES, "the same bytes each time"
    shown = await scene.installation.query("SELECT view FROM view_generations")
    others = {row["view"] for row in shown} - {view.name for view in VIEWS}
    assert others == {"webhook_deliveries"}, "it says how far it is under a name that no view has"
