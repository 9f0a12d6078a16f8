from collections.abc import AsyncIterator

import pytest

from projections.mail import MAILS
from tests.wiring import Installation
from tests.workers.mailer.post import Post


@pytest.fixture
async def post(installation: Installation) -> AsyncIterator[Post]:
    """A post whose mail server is open."""
    installation.start_views([MAILS])
    made = Post(installation)
    async with made.server.open():
        yield made
