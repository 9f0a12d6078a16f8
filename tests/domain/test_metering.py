import msgspec
import pytest

from domain.catalogue import EVENTS
from domain.metering.events import RequestsServed
from domain.metering.values import (
    WorkerLines,
    decode_frame,
    decode_lines,
    encode_lines,
    frame_event_id,
    stream_of,
)

SERVED = (
    rb'{"v":1,"time":1795401056003,"id":"abcdefgh1","pid":27210,"start":1795401054993,"n":0,'
    rb'"deployment":"dpl-1","team":"org-1","key":"key-1","method":"GET","path":"\/a\/b",'
    rb'"status":200,"bytes_in":200,"bytes_out":463,"total_ms":1,"connect_ms":0,"upstream_ms":1,'
    rb'"ended":"--","refused":"-","address":"127.0.0.1"}' + b"\n"
)
REFUSED = (
    SERVED.replace(b'"n":0', b'"n":1')
    .replace(b'"key":"key-1"', b'"key":"-"')
    .replace(b'"refused":"-"', b'"refused":"key_invalid"')
    .replace(b'"connect_ms":0', b'"connect_ms":-1')
)


def frame_of(lines: bytes) -> RequestsServed:
    return RequestsServed(
        gateway_id="gw-1",
        log="gw-1-1.jsonl",
        start_offset=0,
        end_offset=len(lines),
        count=lines.count(b"\n"),
        first_at=1795401056003,
        last_at=1795401056003,
        workers=(WorkerLines(pid=27210, started=1795401054993, last=1, lines=2),),
        lines=encode_lines(lines),
    )


def test_a_frame_gives_back_every_line_in_order() -> None:
    first, second = decode_frame(frame_of(SERVED + REFUSED))
    assert (first.number, first.request_id, first.path) == (0, "abcdefgh1", "/a/b")
    assert (second.number, second.key_id, second.refused) == (1, "", "key_invalid")


def test_only_what_was_let_in_and_handed_to_a_replica_is_billable() -> None:
    unreachable = SERVED.replace(b'"connect_ms":0', b'"connect_ms":-1')
    nowhere = SERVED.replace(b'"deployment":"dpl-1"', b'"deployment":"-"')
    lines = decode_lines(SERVED + REFUSED + unreachable + nowhere)
    assert [line.billable for line in lines] == [True, False, False, False]


def test_a_value_that_contains_what_haproxy_writes_for_nothing_is_left_alone() -> None:
    line = SERVED.replace(rb'"\/a\/b"', rb'"\/\":\"-\""')
    assert decode_lines(line)[0].path == '/":"-"'


@pytest.mark.parametrize(
    "broken",
    [
        SERVED[:-20] + b"\n",
        SERVED.replace(b'"v":1', b'"v":2'),
        SERVED.replace(b'"status":200', b'"status":"200"'),
        SERVED.replace(b'"team":"org-1",', b""),
        b"\x00\x00\n",
    ],
)
def test_a_line_that_is_not_exactly_right_is_refused(broken: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_lines(SERVED + broken)


def test_a_skipped_number_is_a_missing_line() -> None:
    assert WorkerLines(pid=1, started=1, last=9, lines=10).missing == 0
    assert WorkerLines(pid=1, started=1, last=9, lines=7).missing == 3


def test_a_frame_survives_the_way_through_the_store() -> None:
    frame = frame_of(SERVED)
    stored = msgspec.json.encode(frame)
    assert msgspec.json.decode(stored, type=EVENTS["metering.RequestsServed@1"]) == frame


def test_the_same_frame_has_the_same_id_everywhere() -> None:
    stream = stream_of("gw-1", "g1")
    assert stream == "requests-gw-1-g1"
    assert frame_event_id(stream, 1) == frame_event_id(stream, 1)
    assert frame_event_id(stream, 1) != frame_event_id(stream, 2)
