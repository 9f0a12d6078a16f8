import subprocess
from pathlib import Path

import pytest

from bootstrap.embedded import haproxy
from bootstrap.embedded.haproxy import HAProxyMissing, find_haproxy


def test_the_haproxy_found_is_new_enough_and_runs() -> None:
    shown = subprocess.run([find_haproxy(), "-v"], capture_output=True, text=True, check=True)
    assert "HAProxy version" in shown.stdout


@pytest.fixture
def system_haproxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in for a system without the wheel, whose haproxy is this script."""
    monkeypatch.setattr(haproxy, "_bundled", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "haproxy"


def install(path: Path, version: str) -> None:
    path.write_text(f'#!/bin/sh\necho "{version}"\n')
    path.chmod(0o755)


def test_without_the_wheel_the_systems_haproxy_serves(system_haproxy: Path) -> None:
    install(system_haproxy, "HAProxy version 3.0.5-1 2026/01/01 - https://haproxy.org/")
    assert find_haproxy() == system_haproxy


@pytest.mark.parametrize("version", ["HAProxy version 2.6.12-1+deb12u4 2023/12/16", "what?"])
def test_a_system_haproxy_that_is_too_old_is_refused(system_haproxy: Path, version: str) -> None:
    install(system_haproxy, version)
    with pytest.raises(HAProxyMissing, match="too old for the gateway: install"):
        find_haproxy()


def test_no_haproxy_at_all_says_what_to_install(system_haproxy: Path) -> None:
    assert not system_haproxy.exists()
    with pytest.raises(HAProxyMissing, match="there is none: install"):
        find_haproxy()
