"""bin/_venv in a small checkout of its own: made once, by one at a time, never taken half made."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKING = "Making "

SCRIPT = """\
#!/usr/bin/env bash
source "$(dirname "${BASH_SOURCE[0]}")/_venv"
exec "$venv/bin/python" -c 'import sys; print(sys.prefix)'
"""
PYPROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """\
import zipfile

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{wheel_directory}/tiny-1-py3-none-any.whl", "w") as wheel:
        for name, text in {
            "METADATA": "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1\\n",
            "WHEEL": "Wheel-Version: 1.0\\nTag: py3-none-any\\n",
            "RECORD": "",
        }.items():
            wheel.writestr(f"tiny-1.dist-info/{name}", text)
    return "tiny-1-py3-none-any.whl"
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "a path with spaces"
    (root / "bin").mkdir(parents=True)
    for name in ("_venv", "_make_venv.py"):
        shutil.copy(ROOT / "bin" / name, root / "bin" / name)
    (root / "bin" / "show").write_text(SCRIPT)
    (root / "bin" / "show").chmod(0o755)
    (root / "pyproject.toml").write_text(PYPROJECT)
    (root / "backend.py").write_text(BACKEND)
    (root / "requirements.lock").write_text("# nothing\n")
    return root


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHON": sys.executable, **more}


def show(root: Path, **more: str) -> subprocess.CompletedProcess[str]:
    script = str(root / "bin" / "show")
    return subprocess.run(
        [script], env=environment(**more), capture_output=True, text=True, check=False
    )


def start(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(root / "bin" / "show")],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_first_use_makes_the_environment_and_the_second_does_not(checkout: Path) -> None:
    first = show(checkout)
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip() == str(checkout / ".venv")
    assert MAKING in first.stderr

    began = time.monotonic()
    second = show(checkout)
    assert second.stdout == first.stdout
    assert second.stderr == ""
    assert time.monotonic() - began < 1

    (checkout / "requirements.lock").write_text("# something else\n")
    assert MAKING in show(checkout).stderr


def test_two_at_once_make_it_once(checkout: Path) -> None:
    both = [start(checkout), start(checkout)]
    outputs = [process.communicate() for process in both]

    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum(MAKING in stderr for _, stderr in outputs) == 1


def test_an_environment_whose_making_was_killed_is_made_again(checkout: Path) -> None:
    killed = start(checkout)
    while not (checkout / ".venv" / "bin" / "python").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()

    again = show(checkout)
    assert again.returncode == 0, again.stderr
    assert MAKING in again.stderr


def test_a_step_that_fails_says_which_and_leaves_nothing_that_looks_good(checkout: Path) -> None:
    (checkout / "requirements.lock").write_text("./not-there.whl --hash=sha256:00\n")
    failed = show(checkout)

    assert failed.returncode == 1
    assert "Setting up the environment failed at: " in failed.stderr
    assert not (checkout / ".venv" / "made-from").exists()


def test_without_a_new_enough_python_it_says_what_to_install(
    checkout: Path, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "env", "dirname", "cat", "cmp"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    (tools / "python3").write_text("#!/usr/bin/env bash\nexit 1\n")
    (tools / "python3").chmod(0o755)

    failed = show(checkout, PATH=str(tools), PYTHON="")
    assert failed.returncode == 1
    assert "Tallyport needs Python 3.11 or newer" in failed.stderr
    assert "sudo apt install python3 python3-venv" in failed.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else here")
def test_in_a_checkout_of_somebody_else_it_says_so(checkout: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    for folder in (checkout, *checkout.parents[:3]):
        folder.chmod(0o755)

    failed = subprocess.run(
        [str(checkout / "bin" / "show")],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin"},
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 1
    assert "run this in a checkout that belongs to you" in failed.stderr
