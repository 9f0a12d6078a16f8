"""The facts of metering: a frame of request lines was recorded, keys were used."""

from datetime import datetime

from domain.kernel.events import Event
from domain.metering.values import WorkerLines


class RequestsServed(Event, frozen=True, kw_only=True):
    """These requests were answered. One frame of one request log, and the log's only memory.

    The stream is the log (`stream_of`), the version is the frame's number 1, 2, 3, ..., so the
    store itself refuses to have a frame twice. `start_offset` is the end of the frame before.
    """

    gateway_id: str
    log: str
    """Name of the file the lines stood in: one generation of one HAProxy process."""
    start_offset: int
    end_offset: int
    """Byte range in that file, malformed lines included."""
    count: int
    """How many request lines `lines` has."""
    first_at: int
    last_at: int
    """Earliest and latest arrival in the frame, in Unix milliseconds; 0 when it has no lines."""
    workers: tuple[WorkerLines, ...]
    """Every worker that wrote to this log, as known at the end of this frame."""
    missing: int = 0
    """Numbers that workers skipped in this frame: requests served, never metered."""
    malformed: int = 0
    """Lines that could not be read; they are kept aside beside the log, never guessed."""
    lines: bytes
    """The request lines, as the gateway wrote them: JSON lines, compressed with Zstandard."""


class ApiKeysUsed(Event, frozen=True, kw_only=True):
    """These keys were used at the REST API within the minute before.

    Noted once a minute for all of them, each time in a stream of its own: an event per call would
    cost too much, and nothing here is billed. What a gateway serves stands in `RequestsServed`.
    """

    at: datetime
    key_ids: tuple[str, ...]
