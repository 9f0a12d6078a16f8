"""`kill -9` of the mailer's process between the server's yes and the mark in the log."""

import asyncio
import base64
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.mail_server import MailServer
from tests.wiring import SECRET, Installation
from tests.workers.mailer.post import Post


@asynccontextmanager
async def mailer_process(
    installation: Installation, server: MailServer, home: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the process as it is run in production; kill it at the end, if it still lives."""
    place = conninfo_to_dict(installation.conninfo)
    environ = {
        **{name: text for name, text in os.environ.items() if not name.startswith("TALLYPORT_")},
        "TALLYPORT_HOME": str(home),
        "TALLYPORT_DATABASE_URL": "postgresql://{user}@{host}:{port}/{dbname}".format(**place),
        "TALLYPORT_SECRET_KEY": base64.b64encode(SECRET).decode(),
        "TALLYPORT_MAIL_URL": f"smtp://127.0.0.1:{server.port}?tls=none",
        "TALLYPORT_MAIL_FROM": "no-reply@tallyport.example",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bootstrap.main", "worker", "mailer"),
        env=environ,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_mailer_that_is_killed_loses_nothing_and_repeats_itself_recognisably(
    post: Post, tmp_path: Path
) -> None:
    anna = await post.installation.register()
    mails = [await post.ask(user_id=anna.user_id) for _ in range(3)]
    async with mailer_process(post.installation, post.server, tmp_path) as first:
        post.server.on_letter = lambda: os.kill(first.pid, signal.SIGKILL)
        await post.server.until(1)
        assert await first.wait() == -signal.SIGKILL
    post.server.on_letter = lambda: None
    assert len(post.server.letters) == 1
    async with mailer_process(post.installation, post.server, tmp_path):
        outcomes = [await post.outcome(mail_id) for mail_id in mails]
    assert outcomes == [[("MailSent", None)]] * 3
    arrived = [letter["Message-ID"] for letter in post.server.letters]
    assert arrived[0] == arrived[1], "the letter in flight comes again under its own id"
    assert post.server.letters[0].as_bytes() == post.server.letters[1].as_bytes()
    assert sorted(arrived[1:]) == sorted(f"<{one}@tallyport.example>" for one in mails)
