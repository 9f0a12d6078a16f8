import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.embedded import parts
from bootstrap.embedded.home import Home
from bootstrap.embedded.parts import State
from bootstrap.embedded.processes import MARK, Registry, identity_of
from bootstrap.embedded.supervisor import HomeInUse, PartFailed, ProcessSpec, Supervisor
from tests.bootstrap.embedded.looking import REPOSITORY, eventually, is_alive, processes_of

FOR_EVER = "while :; do sleep 0.05; done"


def part(home: Home, name: str, script: str = FOR_EVER, **options: object) -> ProcessSpec:
    return ProcessSpec(name=name, argv=("/bin/sh", "-c", script), cwd=home.root, **options)  # type: ignore[arg-type]


def pid_of(supervisor: Supervisor, name: str) -> int:
    pid = supervisor.status()[name].pid
    assert pid is not None
    return pid


async def test_parts_start_after_what_they_need_and_stop_before_it(home: Home) -> None:
    diary = home.root / "diary"

    def diarist(name: str, *needs: str) -> ProcessSpec:
        started = home.root / f"{name}.started"

        async def ready() -> bool:
            return started.exists()

        script = (
            f"trap 'echo stop {name} >> diary; exit 0' TERM; "
            f"sleep 0.05; echo start {name} >> diary; touch {name}.started; {FOR_EVER}"
        )
        return part(home, name, script, ready=ready, depends_on=needs)

    said: list[tuple[str, str]] = []
    async with Supervisor(home) as supervisor:
        await supervisor.start(
            [diarist("api", "store"), diarist("store", "disk"), diarist("disk")],
            lambda name, happened: said.append((name, happened)),
        )
    assert diary.read_text().splitlines() == [
        *("start disk", "start store", "start api"),
        *("stop api", "stop store", "stop disk"),
    ]
    assert [name for name, _ in said] == ["disk", "store", "api"]
    assert all(happened.startswith("ready in 0.") for _, happened in said)
    assert not processes_of(home.root)


async def test_a_part_that_is_killed_is_started_again(home: Home) -> None:
    async with Supervisor(home) as supervisor:
        await supervisor.start([part(home, "a"), part(home, "b")])
        killed, other = pid_of(supervisor, "a"), pid_of(supervisor, "b")
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: supervisor.status()["a"].pid not in {None, killed})
        assert supervisor.status()["a"].restarts == 1
        assert pid_of(supervisor, "b") == other


async def test_the_pauses_between_starts_grow(home: Home) -> None:
    async with Supervisor(home) as supervisor:
        await supervisor.start([part(home, "a", "echo born >> births; exit 1")])
        await asyncio.sleep(1.2)  # lives at 0, 0.1, 0.3, 0.7 s; the next at 1.5 s
        assert 2 <= len((home.root / "births").read_text().splitlines()) <= 4


async def test_a_part_that_cannot_start_is_an_error_with_the_end_of_its_log(home: Home) -> None:
    async def never() -> bool:
        return False

    (home.logs / "door.log").write_text("from an earlier day\n")
    failing = part(home, "door", "echo the key does not fit >&2; exit 3", ready=never)
    async with Supervisor(home) as supervisor:
        with pytest.raises(PartFailed) as failure:
            await supervisor.start(
                [part(home, "good"), failing, part(home, "later", depends_on=("door",))]
            )
    assert (failure.value.part, failure.value.reason) == ("door", "ended with exit code 3")
    assert set(failure.value.log_tail.splitlines()) == {"the key does not fit"}
    assert "door does not start: ended with exit code 3" in str(failure.value)
    assert not processes_of(home.root)


async def test_a_program_that_is_not_there_is_an_error_in_words(home: Home) -> None:
    async with Supervisor(home) as supervisor:
        with pytest.raises(PartFailed, match="no-such-program"):
            await supervisor.start(
                [ProcessSpec(name="a", argv=("/no-such-program",), cwd=home.root)]
            )


async def test_a_part_that_is_not_ready_in_time_is_an_error(home: Home) -> None:
    async def never() -> bool:
        return False

    async with Supervisor(home) as supervisor:
        with pytest.raises(PartFailed, match=r"a does not start: not ready after 0\.2 s"):
            await supervisor.start([part(home, "a", ready=never, ready_timeout_seconds=0.2)])


async def test_a_part_that_is_alive_but_fails_its_checks_is_started_again(home: Home) -> None:
    well = True

    async def ready() -> bool:
        if not well:
            raise ConnectionResetError
        return True

    spec = part(home, "a", ready=ready, health_interval_seconds=0.05, health_failures_max=3)
    async with Supervisor(home) as supervisor:
        await supervisor.start([spec])
        hung = pid_of(supervisor, "a")
        well = False
        await eventually(lambda: not is_alive(hung))
        well = True
        await eventually(lambda: supervisor.status()["a"].state is State.READY)
        assert pid_of(supervisor, "a") != hung


async def test_a_part_that_ignores_the_signal_is_killed_with_its_children(home: Home) -> None:
    stubborn = f"trap '' TERM; sleep 1000 & {FOR_EVER}"
    async with Supervisor(home) as supervisor:
        await supervisor.start([part(home, "a", stubborn, stop_timeout_seconds=0.2)])
        await eventually(lambda: len(processes_of(home.root)) >= 2)
    assert not processes_of(home.root)


async def test_children_of_a_part_that_died_do_not_live_beside_the_new_ones(home: Home) -> None:
    script = "sleep 1000 & echo $! >> children; wait"
    children = home.root / "children"
    async with Supervisor(home) as supervisor:
        await supervisor.start([part(home, "a", script)])
        await eventually(lambda: children.read_text().count("\n") == 1)
        os.kill(pid_of(supervisor, "a"), signal.SIGKILL)
        await eventually(lambda: children.read_text().count("\n") == 2)
        first, second = map(int, children.read_text().split())
        assert not is_alive(first)
        assert is_alive(second)


async def test_a_part_is_replaced_on_demand(home: Home) -> None:
    async with Supervisor(home) as supervisor:
        await supervisor.start([part(home, "a")])
        before = pid_of(supervisor, "a")
        await supervisor.restart("a")
        assert pid_of(supervisor, "a") != before
        assert not is_alive(before)


async def test_parts_can_be_added_later(home: Home) -> None:
    async with Supervisor(home) as supervisor:
        await supervisor.start([part(home, "a")])
        await supervisor.start([part(home, "b", depends_on=("a",))])
        assert {s.state for s in supervisor.status().values()} == {State.READY}


async def test_a_step_is_done_before_what_needs_it_starts(home: Home) -> None:
    step = part(home, "migrate", "sleep 0.1; touch migrated", restart=False)
    needing = part(home, "api", f"test -e migrated && touch happy; {FOR_EVER}")
    async with Supervisor(home) as supervisor:
        await supervisor.start([step, needing_of(needing, "migrate")])
        await eventually((home.root / "happy").exists)
        assert supervisor.status()["migrate"].state is State.STOPPED


def needing_of(spec: ProcessSpec, name: str) -> ProcessSpec:
    return ProcessSpec(name=spec.name, argv=spec.argv, cwd=spec.cwd, depends_on=(name,))


async def test_a_step_that_fails_is_an_error_at_once(home: Home) -> None:
    step = part(home, "migrate", "echo no such table; exit 1", restart=False)
    async with Supervisor(home) as supervisor:
        with pytest.raises(PartFailed, match="no such table"):
            await supervisor.start([step])


async def test_an_impossible_order_is_refused(home: Home) -> None:
    async with Supervisor(home) as supervisor:
        for specs in (
            [part(home, "a", depends_on=("b",)), part(home, "b", depends_on=("a",))],
            [part(home, "a", depends_on=("unknown",))],
            [part(home, "a"), part(home, "a")],
        ):
            with pytest.raises(ValueError, match="part"):
                await supervisor.start(specs)
        assert not supervisor.status()


async def test_giving_up_while_parts_start_leaves_nothing(home: Home) -> None:
    async def never() -> bool:
        return False

    async with Supervisor(home) as supervisor:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await supervisor.start([part(home, "a", ready=never), part(home, "b")])
    assert not processes_of(home.root)


async def test_a_stop_that_comes_while_parts_start_ends_the_waiting(home: Home) -> None:
    async def never() -> bool:
        return False

    stop_event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, stop_event.set)
    async with Supervisor(home) as supervisor:
        await supervisor.start([part(home, "a", ready=never)], stop_event=stop_event)
        await supervisor.run_until(stop_event)
    assert not processes_of(home.root)


async def test_a_cancelled_supervisor_leaves_nothing(home: Home) -> None:
    async def supervise() -> None:
        async with Supervisor(home) as supervisor:
            await supervisor.start([part(home, "a")])
            await supervisor.run_until(asyncio.Event())

    task = asyncio.create_task(supervise())
    await eventually(lambda: processes_of(home.root))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not processes_of(home.root)


async def test_a_home_has_one_supervisor_and_the_second_is_told_who(home: Home) -> None:
    async with Supervisor(home):
        with pytest.raises(HomeInUse, match=f"already runs in .*process {os.getpid()}, since"):
            async with Supervisor(home):
                pass
    async with Supervisor(home):
        pass


async def test_a_log_is_kept_bounded(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "LOG_BYTES_MAX", 2_000)
    chatty = "while :; do echo a line of the log; sleep 0.001; done"
    async with Supervisor(home) as supervisor:
        await supervisor.start([part(home, "a", chatty, health_interval_seconds=0.02)])
        await eventually((home.logs / "a.log.1").exists)
        await eventually(lambda: (home.logs / "a.log").read_bytes()[:6] == b"a line")


async def test_after_kill_9_of_the_supervisor_nothing_stays(home: Home) -> None:
    polite = FOR_EVER
    stubborn = f"trap '' TERM; sleep 1000 & {FOR_EVER}"
    supervisor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bootstrap.embedded.home_in_a_process", str(home.root)),
        *(polite, stubborn),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    assert supervisor.stdout is not None
    await supervisor.stdout.readline()
    found = {entry.name: entry for entry in Registry(home.run).registered()}
    assert set(found) == {"part-0", "part-1"}
    await eventually(lambda: len(processes_of(home.root)) >= 4)

    supervisor.kill()
    await supervisor.wait()
    await eventually(lambda: not is_alive(found["part-0"].pid))
    assert is_alive(found["part-1"].pid)

    async with Supervisor(home, leftover_seconds=0.2):
        assert not processes_of(home.root)
        assert not Registry(home.run).registered()


async def test_a_stranger_with_the_pid_of_a_part_is_not_touched(home: Home) -> None:
    stranger = await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True)
    try:
        registry = Registry(home.run)
        registry.record("a", stranger.pid, registry.new_mark("a"), signal.SIGTERM)
        [file] = home.run.glob("*.process")
        identity = identity_of(stranger.pid)
        assert identity is not None
        file.write_text(file.read_text().replace(identity, identity + "1"))
        async with Supervisor(home):
            assert is_alive(stranger.pid)
        assert stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()


async def test_children_that_outlived_their_killed_part_are_found_by_its_mark(home: Home) -> None:
    registry = Registry(home.run)
    mark = registry.new_mark("a")
    child = home.root / "child"
    leader = await asyncio.create_subprocess_exec(
        *("sh", "-c", "sleep 1000 & echo $! > child; wait"),
        cwd=home.root,
        env={"PATH": os.defpath, MARK: mark},
        start_new_session=True,
    )
    await eventually(lambda: child.read_text().endswith("\n"))
    registry.record("a", leader.pid, mark, signal.SIGTERM)
    leader.kill()
    await leader.wait()
    assert is_alive(int(child.read_text()))
    assert await registry.end_leftovers(timeout_seconds=1) == ["a"]
    assert not is_alive(int(child.read_text()))


async def test_a_damaged_registry_is_passed_over(home: Home) -> None:
    for number, damage in enumerate(["", "{", "[]", '{"pid": "x"}']):
        (home.run / f"{number}.process").write_text(damage)
    async with Supervisor(home) as supervisor:
        await supervisor.start([part(home, "a")])


def test_the_identity_of_a_process_that_ended_is_none(tmp_path: Path) -> None:
    process = subprocess.Popen(["true"], cwd=tmp_path)
    process.wait()
    assert identity_of(process.pid) is None
