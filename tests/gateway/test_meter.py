"""The meter on real files and a real HAProxy, with a store that comes and goes."""

import asyncio
import fcntl
import os
import random
import signal
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from domain.metering.events import RequestsServed
from domain.metering.values import decode_frame
from gateway.framing import cut_frame
from gateway.meter import Meter, MeterMetrics, MeterOptions
from gateway.request_logs import RequestLog, open_request_log, request_logs
from tests.gateway.conftest import KEY, Frames, Gateway, Running, eventually


def line(number: int, *, pid: int = 7, path: str = "/") -> bytes:
    return (
        f'{{"v":1,"time":{1795401056000 + number},"id":"request-{number}","pid":{pid},"start":5,'
        f'"n":{number},"deployment":"dpl-1","team":"org-1","key":"-","method":"GET",'
        f'"path":"{path}","status":200,"bytes_in":1,"bytes_out":2,"total_ms":1,"connect_ms":0,'
        '"upstream_ms":1,"ended":"--","refused":"-","address":"127.0.0.1"}\n'
    ).encode()


def cut(
    text: bytes, before: RequestsServed | None = None, *, keep_open_line: bool = True
) -> tuple[RequestsServed | None, list[tuple[int, bytes]]]:
    return cut_frame(
        text, gateway_id="gw", log="gw-1.jsonl", before=before, keep_open_line=keep_open_line
    )


class TestFraming:
    def test_a_frame_ends_with_the_last_whole_line(self) -> None:
        frame, malformed = cut(line(0) + line(1) + line(2)[:50])
        assert frame is not None
        assert not malformed
        assert (frame.count, frame.start_offset) == (2, 0)
        assert frame.end_offset == len(line(0) + line(1))
        assert (frame.first_at, frame.last_at) == (1795401056000, 1795401056001)

    def test_nothing_whole_is_no_frame(self) -> None:
        assert cut(b"") == (None, [])
        assert cut(line(0)[:-1]) == (None, [])

    def test_frames_follow_each_other_without_a_gap_or_an_overlap(self) -> None:
        first, _ = cut(line(0) + line(1))
        assert first is not None
        second, _ = cut(line(2), first)
        assert second is not None
        assert second.start_offset == first.end_offset
        assert second.missing == 0
        assert [w.lines for w in second.workers] == [3]

    def test_a_skipped_number_is_counted_in_the_frame_where_it_shows(self) -> None:
        first, _ = cut(line(0) + line(1))
        second, _ = cut(line(5) + line(6), first)
        third, _ = cut(line(7), second)
        assert [f.missing for f in (first, second, third) if f] == [0, 3, 0]

    def test_two_workers_do_not_hide_each_others_gaps(self) -> None:
        frame, _ = cut(line(0, pid=1) + line(0, pid=2) + line(3, pid=1) + line(1, pid=2))
        assert frame is not None
        assert frame.missing == 2

    def test_a_malformed_line_is_set_aside_and_its_neighbours_kept(self) -> None:
        torn = line(1)[:70] + line(2)
        frame, malformed = cut(line(0) + torn + b"\x00\xff\n" + b"\n" + line(3))
        assert frame is not None
        assert [row.number for row in decode_frame(frame)] == [0, 3]
        assert frame.malformed == len(malformed) == 3
        assert malformed[0] == (len(line(0)), torn.rstrip(b"\n"))
        assert frame.missing == 2

    def test_what_haproxy_says_about_itself_is_no_request_line(self) -> None:
        notice = b"Proxy gateway stopped (cumulated conns: FE: 3, BE: 0).\n"
        frame, malformed = cut(line(0) + notice + line(1))
        assert frame is not None
        assert (frame.count, frame.malformed, malformed) == (2, 0, [])

    def test_a_log_that_ended_in_the_middle_of_a_line_has_one_malformed_line(self) -> None:
        frame, malformed = cut(line(0) + line(1)[:30], keep_open_line=False)
        assert frame is not None
        assert (frame.count, frame.malformed) == (1, 1)
        assert frame.end_offset == len(line(0)) + 30
        assert malformed == [(len(line(0)), line(1)[:30])]

    def test_a_line_no_haproxy_writes_does_not_stop_the_meter(self) -> None:
        frame, malformed = cut(b"x" * 100_000)
        assert frame is not None
        assert (frame.end_offset, frame.malformed, len(malformed)) == (100_000, 1, 1)

    @given(st.binary(max_size=300), st.integers(0, 3))
    def test_whatever_stands_between_good_lines_is_never_counted_as_one(
        self, junk: bytes, where: int
    ) -> None:
        rows = [line(n) for n in range(3)]
        rows.insert(where, junk + b"\n")
        frame, malformed = cut(b"".join(rows))
        assert frame is not None
        assert [row.number for row in decode_frame(frame)] == [0, 1, 2]
        assert frame.end_offset == sum(map(len, rows))
        assert len(malformed) == frame.malformed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "requests"


def meter_of(folder: Path, store: Frames, **options: int) -> Meter:
    return Meter(
        store,
        MeterOptions(gateway_id="gw-1", requests_folder=folder, **options),  # type: ignore[arg-type]
        MeterMetrics(CollectorRegistry()),
    )


def only_log(folder: Path) -> RequestLog:
    (log,) = request_logs(folder, "gw-1")
    return log


async def test_a_log_is_stored_in_frames_and_given_back_to_the_disk(folder: Path) -> None:
    descriptor = open_request_log(folder, "gw-1")
    store = Frames()
    meter = meter_of(folder, store, frame_bytes_max=100_000)
    os.write(descriptor, b"".join(line(n) for n in range(5_000)))
    await meter.turn()
    log = only_log(folder)
    status = log.path.stat()
    assert [row.number for row in store.lines()] == list(range(5_000))
    assert len(store.frames()) > 10
    assert all(f.end_offset - f.start_offset <= 100_000 for f in store.frames())
    assert list(store.streams) == [f"requests-gw-1-{log.generation}"]
    assert status.st_size > 1_000_000
    assert status.st_blocks * 512 < 20_000
    os.write(descriptor, line(5_000))
    await meter.turn()
    assert store.lines()[-1].number == 5_000
    os.close(descriptor)


async def test_a_generation_that_ended_is_stored_to_its_last_byte_then_deleted(
    folder: Path,
) -> None:
    descriptor = open_request_log(folder, "gw-1")
    store = Frames()
    os.write(descriptor, line(0) + line(1)[:40])
    meter = meter_of(folder, store)
    await meter.turn()
    log = only_log(folder)
    assert not log.is_finished()
    os.close(descriptor)
    await meter.turn()
    assert not log.path.exists()
    assert [frame.malformed for frame in store.frames()] == [0, 1]
    parked = log.path.with_suffix(".malformed").read_bytes()
    assert parked == b"%d\t%s\n" % (len(line(0)), line(1)[:40])


async def test_an_empty_generation_leaves_nothing(folder: Path) -> None:
    os.close(open_request_log(folder, "gw-1"))
    store = Frames()
    await meter_of(folder, store).turn()
    assert request_logs(folder, "gw-1") == []
    assert store.frames() == []


async def test_logs_of_other_gateways_are_left_alone(folder: Path) -> None:
    other = open_request_log(folder, "gw-1-b")
    os.write(other, line(0))
    store = Frames()
    await meter_of(folder, store).turn()
    assert store.frames() == []
    assert len(request_logs(folder, "gw-1-b")) == 1
    os.close(other)


async def test_while_the_store_is_away_lines_wait_and_none_is_lost(
    folder: Path, running: Running
) -> None:
    descriptor = open_request_log(folder, "gw-1")
    store = Frames()
    registry = CollectorRegistry()
    options = MeterOptions(
        gateway_id="gw-1", requests_folder=folder, interval_seconds=0.01, retry_seconds=0.01
    )
    running._start(Meter(store, options, MeterMetrics(registry)).run())
    store.away = True
    os.write(descriptor, line(0))
    await eventually(
        lambda: (registry.get_sample_value("tallyport_meter_store_failures_total") or 0) > 2
    )
    os.write(descriptor, line(1))
    store.away = False
    await eventually(lambda: len(store.lines()) == 2)
    assert registry.get_sample_value("tallyport_meter_lines_total") == 2
    await eventually(lambda: registry.get_sample_value("tallyport_meter_lag_bytes") == 0)
    os.close(descriptor)


class Treacherous(Frames):
    """Takes a frame and loses the answer, refuses, or works: at random."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    async def append(self, stream_id: str, version: int, frame: RequestsServed) -> None:
        fate = self._random.random()
        if fate < 0.2:
            raise ConnectionError("before")
        await super().append(stream_id, version, frame)
        if fate < 0.4:
            raise ConnectionError("after")


@pytest.mark.parametrize("seed", range(5))
async def test_two_meters_and_lost_answers_store_every_line_once(
    folder: Path, running: Running, seed: int
) -> None:
    descriptor = open_request_log(folder, "gw-1")
    store = Treacherous(seed)
    for size in (700, 1_900):
        options = MeterOptions(
            gateway_id="gw-1",
            requests_folder=folder,
            interval_seconds=0.002,
            retry_seconds=0.002,
            frame_bytes_max=size,
        )
        running._start(Meter(store, options, MeterMetrics(CollectorRegistry())).run())
    for number in range(300):
        os.write(descriptor, line(number))
        if number % 20 == 0:
            await asyncio.sleep(0.005)
    os.close(descriptor)
    await eventually(lambda: request_logs(folder, "gw-1") == [], within=30)
    assert [row.number for row in store.lines()] == list(range(300))
    assert sum(frame.missing + frame.malformed for frame in store.frames()) == 0


METER = """
import asyncio, sys
from pathlib import Path
import msgspec
from prometheus_client import CollectorRegistry
from domain.metering.events import RequestsServed
from gateway.meter import Meter, MeterMetrics, MeterOptions
from infrastructure.event_store import Conflict

class Files:
    def __init__(self, folder):
        self.folder = folder
    async def last_frame(self, stream_id):
        versions = sorted(int(p.name) for p in (self.folder / stream_id).glob("*"))
        if not versions:
            return None
        text = (self.folder / stream_id / str(versions[-1])).read_bytes()
        return versions[-1], msgspec.json.decode(text, type=RequestsServed)
    async def append(self, stream_id, version, frame):
        (self.folder / stream_id).mkdir(parents=True, exist_ok=True)
        new = self.folder / f"new-{sys.argv[3]}"
        new.write_bytes(msgspec.json.encode(frame))
        try:
            (self.folder / stream_id / str(version)).hardlink_to(new)
        except FileExistsError:
            raise Conflict from None
        finally:
            new.unlink()

options = MeterOptions(gateway_id="gw-1", requests_folder=Path(sys.argv[1]),
                       interval_seconds=0.02, frame_bytes_max=20_000)
meter = Meter(Files(Path(sys.argv[2])), options, MeterMetrics(CollectorRegistry()))
asyncio.run(meter.run())
"""


async def test_a_meter_killed_again_and_again_stores_every_request_once(
    serving: Gateway, tmp_path: Path
) -> None:
    stored = tmp_path / "stored"
    answered = 0
    for turn in range(6):
        meter = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            METER,
            str(serving.launch.requests_folder),
            str(stored),
            str(turn),
            cwd=Path(__file__).parents[2],
        )
        before = len(list(stored.glob("*/*")))
        async with asyncio.timeout(30):
            while len(list(stored.glob("*/*"))) < before + 3:
                answers = [serving.ask(f"/shop/{answered + n}", key=KEY) for n in range(8)]
                assert {(await answer).status for answer in asyncio.as_completed(answers)} == {200}
                answered += 8
        if turn < 5:
            meter.kill()
            await meter.wait()

    def frames() -> list[RequestsServed]:
        (folder,) = stored.glob("requests-*")
        paths = sorted(folder.glob("*"), key=lambda path: int(path.name))
        return [msgspec.json.decode(path.read_bytes(), type=RequestsServed) for path in paths]

    def metered() -> list[str]:
        return [
            row.path
            for frame in frames()
            for row in decode_frame(frame)
            if row.billable and row.path != "/"
        ]

    await eventually(lambda: len(metered()) >= answered)
    meter.kill()
    await meter.wait()
    assert sorted(metered()) == sorted(f"/{number}" for number in range(answered))
    assert sum(frame.missing + frame.malformed for frame in frames()) == 0


async def test_after_kills_of_haproxy_served_minus_metered_is_between_none_and_those_in_flight(
    serving: Gateway, running: Running
) -> None:
    store = Frames()
    running.meter(serving, store)
    in_flight_most, total_lost = 12, 0
    for turn in range(4):
        served: set[str] = set()
        stop = asyncio.Event()

        async def client(
            name: int, turn: int = turn, served: set[str] = served, stop: asyncio.Event = stop
        ) -> None:
            number = 0
            while not stop.is_set():
                path = f"/{turn}-{name}-{number}"
                try:
                    if (await serving.ask(f"/shop{path}", key=KEY)).status == 200:
                        served.add(path)
                except (OSError, asyncio.IncompleteReadError):
                    return
                number += 1

        clients = [asyncio.create_task(client(name)) for name in range(in_flight_most)]
        await eventually(lambda served=served: len(served) > 20)  # type: ignore[misc]
        await serving.kill()
        stop.set()
        await asyncio.gather(*clients)
        await serving.start()
        former = request_logs(serving.launch.requests_folder, "gw-1")[:-1]
        await eventually(lambda former=former: not any(log.path.exists() for log in former))  # type: ignore[misc]
        prefix = f"/{turn}-"
        metered = [row.path for row in store.lines() if row.path.startswith(prefix)]
        assert len(metered) == len(set(metered))
        lost = served - set(metered)
        total_lost += len(lost)
        assert 0 <= len(lost) <= in_flight_most
    assert sum(frame.missing for frame in store.frames()) <= total_lost


async def test_no_worker_outlives_its_master_and_a_stopped_one_is_ended_by_the_next_start(
    serving: Gateway,
) -> None:
    log = only_log(serving.launch.requests_folder)
    assert serving.process is not None
    worker = last_child_of(serving.process.pid)
    os.kill(worker, signal.SIGSTOP)
    await serving.kill()
    assert not log.is_finished()
    await serving.start()
    assert log.is_finished()
    assert (await serving.ask("/shop/", key=KEY)).status == 200


def last_child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[-1])


def test_a_log_is_locked_before_it_has_its_name(folder: Path) -> None:
    descriptor = open_request_log(folder, "gw-1")
    log = only_log(folder)
    assert not log.is_finished()
    with log.path.open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    os.close(descriptor)
    assert log.is_finished()
