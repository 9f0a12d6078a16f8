"""docker-compose.yml: one service per process, in order, each with what it needs only."""

import os
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from bootstrap import settings_reference
from bootstrap.processes import PROCESSES, WORKERS
from bootstrap.settings import declarations
from tests.architecture.source_tree import ROOT

STORES = {"postgres", "kafka", "clickhouse", "redis"}
SET_BY_THE_IMAGE = {
    "TALLYPORT_HOME",
    "TALLYPORT_API_HOST",
    "TALLYPORT_API_PORT",
    "TALLYPORT_GATEWAY_HOST",
    "TALLYPORT_LOG_FORMAT",
    "DOCKER_HOST",
}

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if name not in STORES}


def having(variable: str) -> set[str]:
    return {n for n, service in SERVICES.items() if variable in service.get("environment", {})}


def test_the_services_are_the_processes_and_the_stores() -> None:
    assert SERVICES.keys() == {*PROCESSES, "firewall", "haproxy", "migrate", *STORES}
    for name, service in OURS.items():
        assert service["command"] == (["worker", name] if name in WORKERS else [name])


def test_every_store_is_there_with_a_pinned_image_a_health_check_and_a_volume() -> None:
    for name in STORES:
        service = SERVICES[name]
        assert re.search(r":\d+\.\d+", service["image"]), f"{name}: pin the version"
        assert "healthcheck" in service, name
        assert service["volumes"], name


def test_nothing_of_ours_starts_before_the_tables_are_there() -> None:
    early = [
        name
        for name, service in OURS.items()
        if name not in {"migrate", "haproxy", "firewall"}
        and service["depends_on"]["migrate"]["condition"] != "service_completed_successfully"
    ]
    assert not early


def test_every_process_of_ours_gives_up_what_it_does_not_need() -> None:
    for name, service in OURS.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name
        gets_back = ["NET_ADMIN"] if name == "firewall" else None
        assert (service.get("cap_add"), "user" in service) == (gets_back, gets_back is not None)


def test_only_the_provisioner_has_the_docker_socket() -> None:
    holders = {n for n, service in SERVICES.items() if "docker.sock" in str(service)}
    assert holders == {"provisioner"}


def test_secrets_are_where_they_are_needed_and_nowhere_else() -> None:
    assert having("TALLYPORT_DATABASE_OWNER_URL") == {"migrate"}
    assert having("TALLYPORT_SIGNING_KEY") == {"api"}
    assert "haproxy" not in having("TALLYPORT_DATABASE_URL")
    assert having("TALLYPORT_SECRET_KEY") == {
        *("api", "gateway", "mailer", "provisioner", "scheduler", "views", "webhooks")
    }


def test_only_the_mailer_knows_the_mail_server() -> None:
    assert having("TALLYPORT_MAIL_URL") == {"mailer"}


def test_haproxy_and_its_agent_share_one_volume() -> None:
    assert SERVICES["haproxy"]["volumes"] == SERVICES["gateway"]["volumes"]


def test_nothing_but_the_package_goes_into_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    taken = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    assert not {name for name in taken if name.startswith((".", "tests"))}


def test_every_setting_can_be_given_and_no_other_name_is_used() -> None:
    given = {name for service in OURS.values() for name in service["environment"]}
    known = {declared.name for _, declared in declarations()}

    assert not given - known, "a process would ignore these"
    missing = known - given - SET_BY_THE_IMAGE
    assert not missing, f"pass them to the processes that read them: {missing}"


def test_the_example_environment_names_everything_that_compose_insists_on() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    wanted = set(re.findall(r"\$\{([A-Z0-9_]+):\?", text))
    offered = set(re.findall(r"^([A-Z0-9_]+)=$", settings_reference.example(), re.MULTILINE))

    assert wanted == offered


@pytest.mark.skipif(
    not shutil.which("docker-compose") and not os.environ.get("TALLYPORT_REQUIRE_DOCKER"),
    reason="docker-compose is not installed (Debian: apt-get install docker-compose)",
)
def test_compose_itself_finds_nothing_wrong() -> None:
    example = settings_reference.example()
    environ = dict.fromkeys(re.findall(r"^([A-Z0-9_]+)=$", example, re.MULTILINE), "0")
    checked = subprocess.run(
        ["docker-compose", "--file", str(ROOT / "docker-compose.yml"), "config", "--quiet"],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
