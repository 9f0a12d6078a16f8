"""Cutting a frame: pure, from the bytes that follow the frame before to the next frame."""

import re
from collections.abc import Sequence

import msgspec

from domain.metering.events import RequestsServed
from domain.metering.values import RequestLine, WorkerLines, decode_lines, encode_lines

_LINE_BYTES_MAX = 64 * 1024
"""HAProxy writes at most 8 KiB per line."""
_MALFORMED = (msgspec.MsgspecError, ValueError)
_NOTICE = re.compile(rb"(Proxy|Pausing|Paused|Resuming|Resumed|Stopping|Stopped) [^{}\"]+")
"""What HAProxy says about itself in the same file, as when a reload stops the old worker. A request
line, or what is left of a torn one, always has a quote or a brace."""
_WORKERS_REMEMBERED = 64
"""A worker drains for minutes, so far fewer write to one log at once."""


def cut_frame(
    text: bytes,
    *,
    gateway_id: str,
    log: str,
    before: RequestsServed | None,
    keep_open_line: bool,
) -> tuple[RequestsServed | None, list[tuple[int, bytes]]]:
    """Return the next frame and its malformed lines by offset; None when there is nothing whole.

    `keep_open_line` leaves text after the last line end for the next frame. A text without any
    line end cannot be a request line when it is as long as a frame may be: it is malformed.
    """
    end = text.rfind(b"\n") + 1
    if not keep_open_line or (end == 0 and len(text) > _LINE_BYTES_MAX):
        end = len(text)
    if end == 0:
        return None, []
    start_offset = 0 if before is None else before.end_offset
    good, lines, malformed = _sort_out(text[:end], start_offset)
    workers, missing = _count(lines, () if before is None else before.workers)
    times = [line.time for line in lines]
    frame = RequestsServed(
        gateway_id=gateway_id,
        log=log,
        start_offset=start_offset,
        end_offset=start_offset + end,
        count=len(lines),
        first_at=min(times, default=0),
        last_at=max(times, default=0),
        workers=workers,
        missing=missing,
        malformed=len(malformed),
        lines=encode_lines(good),
    )
    return frame, malformed


def _sort_out(
    text: bytes, start_offset: int
) -> tuple[bytes, list[RequestLine], list[tuple[int, bytes]]]:
    if text.endswith(b"\n"):
        try:
            return text, decode_lines(text), []
        except _MALFORMED:
            pass  # one of them is: find out which
    good: list[bytes] = []
    lines: list[RequestLine] = []
    malformed: list[tuple[int, bytes]] = []
    offset = start_offset
    for row in text.removesuffix(b"\n").split(b"\n"):
        try:
            (line,) = decode_lines(row)
        except _MALFORMED:
            if not _NOTICE.fullmatch(row):
                malformed.append((offset, row))
        else:
            good.append(row + b"\n")
            lines.append(line)
        offset += len(row) + 1
    return b"".join(good), lines, malformed


def _count(
    lines: Sequence[RequestLine], known: Sequence[WorkerLines]
) -> tuple[tuple[WorkerLines, ...], int]:
    """Return every worker's numbering after these lines, and how many numbers were skipped."""
    workers = {(worker.pid, worker.started): worker for worker in known}
    missing_before = sum(worker.missing for worker in known)
    for line in lines:
        name = (line.pid, line.started)
        worker = workers.pop(name, None) or WorkerLines(*name, last=-1, lines=0)
        workers[name] = WorkerLines(
            *name, last=max(worker.last, line.number), lines=worker.lines + 1
        )
    missing = sum(worker.missing for worker in workers.values()) - missing_before
    # Sorted by who wrote last, so only workers long gone are forgotten.
    return tuple(workers.values())[-_WORKERS_REMEMBERED:], max(0, missing)
