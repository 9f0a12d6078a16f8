"""What only Docker does: hardening, networks, pinned content, neighbours, an engine away."""

import asyncio
import io
import ipaddress
import socket
import tarfile
import uuid
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from bootstrap.containers import pinned
from infrastructure.containers import (
    EngineUnavailable,
    ImageMissing,
    RegistryAuth,
    ReplicaSpec,
    ReplicaState,
    Resources,
)
from infrastructure.containers.catalogue import ECHO_PROGRAM
from infrastructure.containers.docker import DockerDriver, docker_problem
from infrastructure.containers.docker_networks import routed_networks
from infrastructure.containers.docker_request import network_name, user_id
from infrastructure.containers.python_image import build_context
from tests.docker.hardening import InspectedDocker, deviations
from tests.images.programs import (
    CRASHES,
    EATS_MEMORY,
    KEEPS_FILES,
    NEVER_OPENS,
    shell_image,
)
from tests.images.registry import Registry
from tests.infrastructure.containers.test_drivers import until_answering, until_state

Make = Callable[..., ReplicaSpec]
MEMORY = 64 * 1024**2


async def test_a_container_has_its_limits_and_nothing_of_ours_in_its_environment(
    docker_driver: InspectedDocker, spec: Make
) -> None:
    limits = Resources(cpu_millis=250, memory_bytes=MEMORY, storage_bytes=8 * 1024**2, pids=512)
    await docker_driver.start(spec(resources=limits, env={"A": "b"}))
    [replica] = await docker_driver.list_replicas()
    details = docker_driver._api().inspect_container(replica.engine_id)
    host, config = details["HostConfig"], details["Config"]
    assert host["Memory"] == host["MemorySwap"] == MEMORY
    assert host["NanoCpus"] == 250_000_000
    assert host["PidsLimit"] == 512
    assert list(host["Tmpfs"]) == ["/tmp"]
    assert "size=8388608" in host["Tmpfs"]["/tmp"].split(",")
    assert config["User"] == f"{user_id('dpl-1')}:{user_id('dpl-1')}"
    network = network_name(docker_driver._options.installation, "team-1")
    assert list(details["NetworkSettings"]["Networks"]) == [network]
    assert docker_driver._api().inspect_network(network)["Internal"] is True
    ours = {"A", "PORT", "TALLYPORT_REPLICA_ID", "TALLYPORT_DEPLOYMENT_ID"}
    of_image = {"PYTHONHOME", "LD_LIBRARY_PATH"}
    assert {each.split("=")[0] for each in config["Env"]} == ours | of_image
    assert docker_driver.inspected == 1  # and so are all others that any test makes


def test_a_container_that_may_more_than_all_may_is_told_apart() -> None:
    host = {"Privileged": True, "Binds": ["/:/host"], "CapDrop": None, "NetworkMode": "host"}
    found = deviations({"HostConfig": host, "Config": {}, "Mounts": [{"Type": "bind"}]})
    named = " ".join(found)
    assert all(word in named for word in (*host, "Mounts", "PidsLimit", "User", "Image"))


async def test_with_calls_out_allowed_a_teams_network_leads_out(
    new_docker_driver: Callable[..., InspectedDocker], spec: Make
) -> None:
    driver = new_docker_driver(internal=False)
    try:
        await driver.start(spec(NEVER_OPENS))
        network = network_name(driver._options.installation, "team-1")
        assert driver._api().inspect_network(network)["Internal"] is False
    finally:
        await driver.clear()
        await driver.close()


async def test_what_an_image_declares_as_a_volume_is_bounded_memory_too(
    docker_driver: InspectedDocker, spec: Make
) -> None:
    resources = Resources(cpu_millis=1000, memory_bytes=MEMORY, storage_bytes=4 * 1024**2)
    await docker_driver.start(spec(KEEPS_FILES, resources=resources))
    [replica] = await docker_driver.list_replicas()
    assert docker_driver._api().inspect_container(replica.engine_id)["Mounts"] == []
    for folder in ("/tmp", "/var/files"):
        fill = f"head -c 100000000 /dev/zero >{folder}/full"
        assert await docker_driver.check(replica, ["sh", "-c", fill], timeout_seconds=30)
        held = ["sh", "-c", f"test $(stat -c %s {folder}/full) -eq 4194304"]
        assert await docker_driver.check(replica, held, timeout_seconds=30) is None
    assert (await docker_driver.list_replicas())[0].state is ReplicaState.RUNNING


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
        image = shell_image(script_of).build()
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
    new_docker_driver: Callable[..., DockerDriver],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        host = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        hanging = new_docker_driver(host=host, answer_seconds_max=0.5)
        async with asyncio.timeout(60):
            with pytest.raises(EngineUnavailable):
                await hanging.list_replicas()
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


def test_the_ways_that_this_machine_has_of_its_own_are_read_from_its_table(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "br-1\t0080C00A\t00000000\t0001\t0\t0\t0\t80FFFFFF\t0\t0\t0\n"
    )
    assert routed_networks(table) == [ipaddress.IPv4Network("10.192.128.0/25")]
    assert routed_networks(tmp_path / "none") == []


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


async def test_a_registry_that_never_answers_is_not_waited_for_without_end(
    docker_driver: DockerDriver, spec: Make
) -> None:
    docker_driver._images._pull_seconds_max = 1
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image = f"127.0.0.1:{silent.getsockname()[1]}/you/api:1"
        with pytest.raises(ImageMissing, match="nothing came for 1 s"):
            await docker_driver.start(spec(image=image))


async def test_a_private_image_is_pulled_with_its_credentials_and_with_no_others(
    docker_driver: DockerDriver, spec: Make
) -> None:
    registry = Registry(user=("robot", "secret"))
    try:
        name = f"{uuid.uuid4().hex}/api:1"  # an engine keeps what an earlier run has pulled
        registry.push(name, "sleep 600")
        image = f"{registry.host}/{name}"
        for auth in (None, RegistryAuth(username="robot", password="wrong")):
            with pytest.raises(ImageMissing, match="not found"):
                await docker_driver.start(spec(image=image, registry_auth=auth))
        right = RegistryAuth(username="robot", password="secret")
        await docker_driver.start(spec(image=image, registry_auth=right))
        assert len(await docker_driver.list_replicas()) == 1
    finally:
        registry.close()
