"""Views are asked as people ask them: through their rows, once the view has caught up."""

import hashlib
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from domain.metering.events import RequestsServed
from domain.metering.values import RequestLine, WorkerLines, encode_lines
from projections.view import View
from tests.wiring import Installation

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


def line(number: int = 0, **changes: Any) -> RequestLine:
    """A request line like any other."""
    usual = RequestLine(
        v=1,
        time=int(NOON.timestamp() * 1000),
        request_id=f"req-{number}",
        pid=77,
        started=1,
        number=number,
        deployment_id="dpl-0000000001",
        team_id="org-0000000001",
        key_id="key-0000000001",
        method="GET",
        path="/",
        status=200,
        bytes_in=100,
        bytes_out=1000,
        total_ms=12,
        connect_ms=1,
        upstream_ms=10,
        ended="--",
        refused="",
        address="192.0.2.7",
    )
    return msgspec.structs.replace(usual, **changes)


def at(hours: float = 0) -> int:
    """Unix milliseconds some hours after noon."""
    return int((NOON + timedelta(hours=hours)).timestamp() * 1000)


class Gateway:
    """Appends frames as the meter does."""

    def __init__(self, installation: Installation, name: str = "gtw-0000000001") -> None:
        self._installation = installation
        self._name = name
        self._version = 0

    async def serve(self, *lines: RequestLine) -> None:
        """Append one frame with these lines."""
        frame = RequestsServed(
            gateway_id=self._name,
            log="1.log",
            start_offset=self._version,
            end_offset=self._version + 1,
            count=len(lines),
            first_at=min((one.time for one in lines), default=0),
            last_at=max((one.time for one in lines), default=0),
            workers=(WorkerLines(pid=77, started=1, last=0, lines=1),),
            lines=encode_lines(b"".join(msgspec.json.encode(one) + b"\n" for one in lines)),
        )
        await self._installation.append(f"requests-{self._name}-1", frame, after=self._version)
        self._version += 1


async def digest(installation: Installation, view: View[Any]) -> str:
    """Return a hash of everything the view shows."""
    rows = await installation.rows(view)
    return hashlib.sha256(msgspec.json.encode(rows, order="deterministic")).hexdigest()


async def rebuild(installation: Installation, view: View[Any]) -> None:
    """Ask for a rebuild, as `tallyport replay` does, and wait until it is shown."""
    [row] = await installation.query(
        "SELECT generation FROM view_generations WHERE view = %s AND live", view.name
    )
    await installation.as_admin(
        "UPDATE view_generations SET rebuild_wanted = true WHERE view = %s AND live", view.name
    )
    await installation.until(
        "EXISTS (SELECT FROM view_generations WHERE view = %s AND live AND generation > %s)",
        view.name,
        row["generation"],
    )


def seeded() -> random.Random:
    """The same chance each time."""
    return random.Random(20260314)
