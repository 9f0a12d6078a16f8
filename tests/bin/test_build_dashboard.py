"""bin/_build_dashboard.py where there is no Node, or one that is too old."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "bin" / "_build_dashboard.py"


@pytest.fixture
def dashboard(tmp_path: Path) -> Path:
    """The pages' sources, with what builds them but for Node."""
    subprocess.run([sys.executable, str(BUILD), str(ROOT / "dashboard")], check=True)
    copy = tmp_path / "dashboard"
    leave = shutil.ignore_patterns("node_modules", "dist", "dist.new")
    shutil.copytree(ROOT / "dashboard", copy, ignore=leave)
    (copy / "node_modules").symlink_to(ROOT / "dashboard" / "node_modules")
    return copy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with a shell and a Node of the past."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "sh").symlink_to(shutil.which("sh") or "/bin/sh")
    for name in ("node", "npm"):
        (programs / name).write_text("#!/bin/sh\necho v18.19.0\n")
        (programs / name).chmod(0o755)
    return programs


def build(
    python: Path, dashboard: Path, path: Path, **more: str
) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in {"HOME", "SSL_CERT_FILE"} or name.startswith("PIP_")
    }
    return subprocess.run(
        [str(python), str(BUILD), str(dashboard)],
        env={**kept, "PATH": str(path), **more},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_new_enough_node_one_is_fetched_with_pip(
    dashboard: Path, path: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    alone = build(python, dashboard, path, PIP_NO_INDEX="1")
    assert alone.returncode == 1
    assert "There is no Node 20.19 or newer on the PATH" in alone.stderr
    assert not (dashboard / "dist").exists()
    fetched = build(python, dashboard, path)
    assert fetched.returncode == 0, fetched.stderr
    assert "Fetching Node with pip" in fetched.stderr
    assert 'id="root"' in (dashboard / "dist" / "index.html").read_text()
    again = build(python, dashboard, path)
    assert (again.returncode, again.stderr) == (0, "")
