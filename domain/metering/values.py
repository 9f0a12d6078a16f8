"""The words of metering: a request line, and a worker's numbering of its lines."""

from typing import Literal, Protocol
from uuid import UUID, uuid5

import msgspec
import zstandard

LINES_BYTES_MAX = 64 * 1024**2
"""No frame unpacks to more: a meter cuts frames of about one MiB."""

_FRAME_IDS = UUID("6f1b3c0e-7a55-4d0f-9d5b-0c9a8f1f6a52")


class WorkerLines(msgspec.Struct, frozen=True):
    """How far one worker got in one request log. Workers number their lines 0, 1, 2, ..."""

    pid: int
    started: int
    """Unix milliseconds; with the process id it names the worker for ever."""
    last: int
    """The highest number seen."""
    lines: int
    """How many of the numbers 0 to `last` were seen."""

    @property
    def missing(self) -> int:
        """How many lines of this worker were never seen."""
        return self.last + 1 - self.lines


class RequestLine(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as the gateway wrote it down. The empty text means: there is none."""

    v: Literal[1]
    time: int
    """When it arrived, in Unix milliseconds."""
    request_id: str = msgspec.field(name="id")
    pid: int
    started: int = msgspec.field(name="start")
    number: int = msgspec.field(name="n")
    """The line's number within its worker (process id and start)."""
    deployment_id: str = msgspec.field(name="deployment")
    team_id: str = msgspec.field(name="team")
    """Whose app was called; the caller's own team where no app of theirs was."""
    key_id: str = msgspec.field(name="key")
    method: str
    path: str
    """Inside the app, at most 1,024 bytes, never with the query."""
    status: int
    bytes_in: int
    bytes_out: int
    total_ms: int
    connect_ms: int
    """-1 when the request was never handed to a replica."""
    upstream_ms: int
    """How long the replica took to answer; -1 when it did not."""
    ended: str
    """HAProxy's two letters for how it ended; `--` is well."""
    refused: str
    """The error code when the gateway itself refused it."""
    address: str
    """Where the caller connected from."""

    @property
    def billable(self) -> bool:
        """Whether it passed every check and was handed to a replica."""
        return not self.refused and bool(self.deployment_id) and self.connect_ms >= 0


class HasLines(Protocol):
    """What `decode_frame` needs of a frame."""

    @property
    def lines(self) -> bytes:
        """The compressed lines."""
        ...


_DECODER = msgspec.json.Decoder(RequestLine)


def decode_frame(frame: HasLines) -> list[RequestLine]:
    """Return a frame's request lines in the order they were written."""
    return decode_lines(
        zstandard.ZstdDecompressor().decompress(frame.lines, max_output_size=LINES_BYTES_MAX)
    )


def decode_lines(text: bytes) -> list[RequestLine]:
    """Return the lines of a whole text; raises `msgspec.MsgspecError` if any is malformed."""
    return _DECODER.decode_lines(_normalized(text))


def encode_lines(text: bytes) -> bytes:
    """Return JSON lines as a frame keeps them."""
    return zstandard.ZstdCompressor(level=3).compress(text)


def stream_of(gateway_id: str, generation: str) -> str:
    """Return the id of the stream that has one request log's frames."""
    return f"requests-{gateway_id}-{generation}"


def frame_event_id(stream_id: str, version: int) -> UUID:
    """Return a frame's event id: the same for everybody who stores the same frame."""
    return uuid5(_FRAME_IDS, f"{stream_id}/{version}")


def _normalized(text: bytes) -> bytes:
    # HAProxy writes "-" for what a request does not have. Quotes inside a value are escaped, so
    # this pattern can only be a whole value.
    return text.replace(b'":"-"', b'":""')
