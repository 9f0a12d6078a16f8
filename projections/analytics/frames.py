"""A stored frame's request lines as rows of ClickHouse."""

import time
from functools import lru_cache

import msgspec
import zstandard

from domain.metering.events import RequestsServed
from domain.metering.values import RequestLine, decode_frame
from infrastructure.event_store import Codec, RecordedEvent, UnreadableEvent
from infrastructure.stream import place_of
from projections.analytics.schema import RequestRow


def rows_of(event: RecordedEvent, codec: Codec) -> list[RequestRow]:
    """Return a frame's rows, numbered from 1; raises `UnreadableEvent`, never leaves one out."""
    frame = codec.decode(event.topic, event.data)
    if not isinstance(frame, RequestsServed):
        raise UnreadableEvent(f"{event.topic} is not a frame of requests")
    try:
        lines = decode_frame(frame)
        rows = [_row(event, number, line) for number, line in enumerate(lines, start=1)]
    except (msgspec.MsgspecError, zstandard.ZstdError, ValueError, OverflowError) as error:
        raise UnreadableEvent(f"the lines of frame {event.position} cannot be read") from error
    if len(rows) != frame.count:
        raise UnreadableEvent(f"frame {event.position} has {len(rows)} lines, not {frame.count}")
    return rows


def _row(event: RecordedEvent, number: int, line: RequestLine) -> RequestRow:
    return RequestRow(
        time=clickhouse_time(line.time),
        team_id=line.team_id,
        deployment_id=line.deployment_id,
        key_id=line.key_id,
        request_id=line.request_id,
        method=line.method,
        path=line.path,
        status=line.status,
        billable=line.billable,
        refused=line.refused,
        ended=line.ended,
        bytes_in=line.bytes_in,
        bytes_out=line.bytes_out,
        total_ms=line.total_ms,
        connect_ms=line.connect_ms,
        upstream_ms=line.upstream_ms,
        address=line.address,
        worker_pid=line.pid,
        worker_started=line.started,
        worker_line=line.number,
        stream_id=event.stream_id,
        frame=event.version,
        line=number,
        position=event.position,
        log_partition=place_of(event)[1],
    )


_YEAR_2300 = 10_413_792_000_000  # where ClickHouse's DateTime64 ends


def clickhouse_time(milliseconds: int) -> str:
    """Return a Unix time in milliseconds as ClickHouse reads it without guessing the unit."""
    if not 0 <= milliseconds < _YEAR_2300:
        raise ValueError(f"{milliseconds} is not a time that a clock can have shown")
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
