"""What only Docker does: hardening, networks, pinned content, neighbours, an engine away."""

import asyncio
import io
import ipaddress
import socket
import tarfile
import time
from collections.abc import Callable

import docker
import pytest

from bootstrap.containers import pinned
from infrastructure.containers import EngineUnavailable, ReplicaSpec, ReplicaState, Resources
from infrastructure.containers.catalogue import ECHO_PROGRAM
from infrastructure.containers.docker import DockerDriver, docker_problem
from infrastructure.containers.docker_request import network_name, user_id
from infrastructure.containers.python_image import build_context
from tests.images.programs import CRASHES, EATS_MEMORY, NEVER_OPENS, badly_behaved
from tests.images.registry import Registry
from tests.infrastructure.containers.test_drivers import until_answering, until_state

Make = Callable[..., ReplicaSpec]
MEMORY = 64 * 1024**2


async def test_every_container_is_hardened(docker_driver: DockerDriver, spec: Make) -> None:
    await docker_driver.start(
        spec(resources=Resources(cpu_millis=250, memory_bytes=MEMORY), env={"A": "b"})
    )
    [replica] = await docker_driver.list_replicas()
    details = docker_driver._api().inspect_container(replica.engine_id)
    host, config = details["HostConfig"], details["Config"]
    assert host["Privileged"] is False
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["ReadonlyRootfs"] is True
    assert list(host["Tmpfs"]) == ["/tmp"]
    assert {"noexec", "nosuid", "size=67108864"} <= set(host["Tmpfs"]["/tmp"].split(","))
    assert config["User"] == f"{user_id('dpl-1')}:{user_id('dpl-1')}"
    assert user_id("dpl-1") >= 20_000
    assert not host["PidMode"]
    assert host["IpcMode"] == "private"
    assert not host["UTSMode"]
    assert not host["UsernsMode"]
    network = network_name(docker_driver._options.installation, "team-1")
    assert host["NetworkMode"] == network
    assert list(details["NetworkSettings"]["Networks"]) == [network]
    assert not host["Binds"]
    assert not details["Mounts"]
    assert not host["Devices"]
    assert not host["VolumesFrom"]
    assert host["PidsLimit"] == 256
    assert host["Memory"] == host["MemorySwap"] == MEMORY
    assert host["NanoCpus"] == 250_000_000
    limits = {each["Name"]: each["Hard"] for each in host["Ulimits"]}
    assert limits == {"nofile": 16_384, "nproc": 1_024, "core": 0}
    assert not host["OomKillDisable"]
    assert host["LogConfig"] == {
        "Type": "local",
        "Config": {"max-size": "10m", "max-file": "3"},
    }
    assert host["RestartPolicy"]["Name"] == "no"
    assert host["AutoRemove"] is False
    assert host["Init"] is True
    assert details["Image"].startswith("sha256:")
    assert config["Image"] == details["Image"]
    assert host["PublishAllPorts"] is False
    assert not host["PortBindings"]
    assert {
        name.removeprefix("tallyport.")
        for name in config["Labels"]
        if name.startswith("tallyport.")
    } >= {"installation", "deployment", "team", "replica", "revision", "config_hash"}
    ours = {"A", "PORT", "TALLYPORT_REPLICA_ID", "TALLYPORT_DEPLOYMENT_ID"}
    of_image = {"PYTHONHOME", "LD_LIBRARY_PATH"}
    assert {each.split("=")[0] for each in config["Env"]} == ours | of_image
    assert docker_driver._api().inspect_network(network)["Internal"] is True


async def test_inside_there_is_no_root_no_capability_and_one_writable_folder(
    docker_driver: DockerDriver, spec: Make
) -> None:
    await docker_driver.start(spec(NEVER_OPENS))
    [replica] = await docker_driver.list_replicas()
    api = docker_driver._api()

    def run(script: str) -> str:
        made = api.exec_create(replica.engine_id, ["sh", "-c", script])
        output: bytes = api.exec_start(made["Id"])
        return output.decode()

    assert run("id -u").strip() == str(user_id("dpl-1"))
    status = run("cat /proc/self/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    assert "Read-only file system" in run("touch /here")
    assert run("touch /tmp/here && echo written").strip() == "written"


async def test_a_replica_beyond_its_memory_is_killed_and_says_so(
    docker_driver: DockerDriver, spec: Make
) -> None:
    resources = Resources(cpu_millis=1000, memory_bytes=16 * 1024**2)
    await docker_driver.start(spec(EATS_MEMORY, resources=resources))
    ended = await until_state(docker_driver, ReplicaState.EXITED)
    assert ended.out_of_memory


async def test_teams_have_networks_of_their_own_that_go_with_the_last_replica(
    docker_driver: DockerDriver, spec: Make
) -> None:
    await docker_driver.start(spec())
    await docker_driver.start(spec(number=2, team_id="team-2"))
    one, two = sorted(await docker_driver.list_replicas(), key=lambda each: each.team_id)
    subnets = [_subnet(docker_driver, team) for team in ("team-1", "team-2")]
    assert not subnets[0].overlaps(subnets[1])
    assert ipaddress.ip_address(str(one.address)) in subnets[0]
    await until_answering(one)
    await until_answering(two)
    await docker_driver.remove(one)
    assert _networks(docker_driver) == {"team-2"}
    await docker_driver.remove(two)
    assert _networks(docker_driver) == set()


async def test_more_teams_fit_than_the_engine_has_networks_by_itself(
    docker_driver: DockerDriver,
) -> None:
    api = docker_driver._api()
    teams = [f"team-{number}" for number in range(40)]
    for team in teams:
        await docker_driver._call(docker_driver._networks.ensure, api, team)
    assert _networks(docker_driver) == set(teams)
    subnets = [_subnet(docker_driver, team) for team in teams]
    assert len(set(subnets)) == len(teams)


async def test_a_container_that_must_reach_the_replicas_is_put_on_their_network(
    new_docker_driver: Callable[..., DockerDriver], docker_driver: DockerDriver, spec: Make
) -> None:
    await docker_driver.start(spec(NEVER_OPENS, team_id="infrastructure"))
    [gateway] = await docker_driver.list_replicas()
    name = docker_driver._api().inspect_container(gateway.engine_id)["Name"].lstrip("/")
    attaching = new_docker_driver(attach=(name,))
    try:
        await attaching.start(spec())
        [replica] = await attaching.list_replicas()
        await until_answering(replica)
        made = attaching._api().exec_create(
            gateway.engine_id, ["wget", "-qO-", f"http://{replica.address}:8080/health"]
        )
        assert b"ok" in attaching._api().exec_start(made["Id"])
        await attaching.remove(replica)
        assert _networks(attaching) == set()
    finally:
        await attaching.clear()
        await attaching.close()


async def test_all_replicas_of_a_revision_run_the_same_content_though_the_tag_moved(
    docker_driver: DockerDriver, spec: Make
) -> None:
    api = docker_driver._api()
    tag = f"moves-{docker_driver._options.installation}"
    reference = f"tallyport-test/moving:{tag}"

    def move(script_of: str) -> None:
        image = badly_behaved(script_of).build()
        api.import_image_from_data(
            image.archive(),
            repository="tallyport-test/moving",
            tag=tag,
            changes=list(image.changes),
        )

    move(NEVER_OPENS)
    await docker_driver.start(spec(reference))
    move(CRASHES)
    await docker_driver.start(spec(reference, number=2))
    await docker_driver.start(spec(reference, number=3, replica_id="dpl-1-2-1", revision=2))
    digests = {each.replica_id: each.image_digest for each in await docker_driver.list_replicas()}
    assert digests["dpl-1-1-1"] == digests["dpl-1-1-2"] != digests["dpl-1-2-1"]
    await docker_driver.clear()
    api.remove_image(reference)


async def test_foreign_containers_are_never_seen_or_touched(
    docker_driver: DockerDriver, new_docker_driver: Callable[..., DockerDriver], spec: Make
) -> None:
    other = new_docker_driver()
    try:
        await other.start(spec())
        await docker_driver.start(spec())
        [theirs] = await other.list_replicas()
        await docker_driver.clear()
        assert await other.list_replicas() == [theirs]
        assert await docker_driver.list_replicas() == []
    finally:
        await other.clear()
        await other.close()


async def test_two_drivers_that_start_the_same_replica_make_one(
    docker_driver: DockerDriver, new_docker_driver: Callable[..., DockerDriver], spec: Make
) -> None:
    twin = new_docker_driver(installation=docker_driver._options.installation)
    await docker_driver.start(spec(number=9))
    for number in range(1, 4):
        await asyncio.gather(
            docker_driver.start(spec(number=number)), twin.start(spec(number=number))
        )
    assert len(await docker_driver.list_replicas()) == 4
    assert await twin.list_replicas() == await docker_driver.list_replicas()
    await twin.close()


async def test_an_engine_that_is_away_is_an_error_and_never_an_empty_answer(
    new_docker_driver: Callable[..., DockerDriver], spec: Make
) -> None:
    away = new_docker_driver(host="unix:///tmp/no-engine-here.sock")
    with pytest.raises(EngineUnavailable):
        await away.list_replicas()
    with pytest.raises(EngineUnavailable):
        await away.start(spec())
    assert "no Docker engine answers" in str(await docker_problem("unix:///tmp/no-engine.sock"))
    await away.close()


async def test_an_engine_that_hangs_is_an_error_in_bounded_time(
    new_docker_driver: Callable[..., DockerDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.containers.docker.ANSWER_SECONDS_MAX", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        hanging = new_docker_driver(host=f"tcp://127.0.0.1:{deaf.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(EngineUnavailable):
            await hanging.list_replicas()
        assert time.monotonic() - started < 5
        await hanging.close()


async def test_another_kind_of_engine_builds_the_sample_image_from_a_base_image(
    docker_driver: DockerDriver, spec: Make
) -> None:
    await docker_driver.start(spec())
    [replica] = await docker_driver.list_replicas()
    context = build_context(ECHO_PROGRAM, port=8080, base_image=str(replica.image_digest))
    with tarfile.open(fileobj=io.BytesIO(context)) as packed:
        assert packed.getnames() == ["Dockerfile", "server.py"]
    api = docker_driver._api()
    tag = f"tallyport-test/built:{docker_driver._options.installation}"
    steps = list(api.build(fileobj=io.BytesIO(context), custom_context=True, tag=tag, decode=True))
    assert not any("error" in step for step in steps)
    assert api.inspect_image(tag)["Config"]["User"] == "65534:65534"
    api.remove_image(tag)


def test_pulling_without_a_tag_means_latest_and_a_port_is_no_tag() -> None:
    from infrastructure.containers.docker_images import _split  # noqa: PLC0415

    assert _split("redis") == ("redis", "latest")
    assert _split("localhost:5000/redis") == ("localhost:5000/redis", "latest")
    assert _split("localhost:5000/redis:7") == ("localhost:5000/redis", "7")
    digest = "sha256:" + "a" * 64
    assert _split(f"ghcr.io/you/api:1@{digest}") == ("ghcr.io/you/api", digest)


def _networks(driver: DockerDriver) -> set[str]:
    label = f"tallyport.installation={driver._options.installation}"
    found = driver._api().networks(filters={"label": label})
    return {each["Labels"]["tallyport.team"] for each in found}


def _subnet(driver: DockerDriver, team: str) -> ipaddress.IPv4Network:
    api: docker.APIClient = driver._api()
    name = network_name(driver._options.installation, team)
    return ipaddress.IPv4Network(api.inspect_network(name)["IPAM"]["Config"][0]["Subnet"])


async def test_a_pinned_image_is_pulled_by_its_digest_though_its_tag_has_moved(
    docker_driver: DockerDriver, spec: Make
) -> None:
    registry = Registry()
    try:
        digest = registry.push("you/api:1", "echo first; sleep 600")
        image = pinned(f"{registry.host}/you/api:1", digest)
        registry.push("you/api:1", "echo second; sleep 600")
        await docker_driver.start(spec(image=image))
        [replica] = await docker_driver.list_replicas()
        async with asyncio.timeout(20):
            while not (lines := await docker_driver.tail(replica, lines=5)):  # noqa: ASYNC110 - asked
                await asyncio.sleep(0.05)
        assert lines == ["first"]
        assert replica.image_digest == digest
    finally:
        registry.close()
