"""Makes the virtual environment that the scripts beside this file use.

Runs on the bare interpreter. Two at once wait for each other; the file `made-from` is written last,
so an environment whose making was interrupted is never taken for a good one.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path


def main(root: Path, venv: Path) -> None:
    """Make the environment at `venv` for the checkout at `root`, unless it is there."""
    source = root / "requirements.lock"
    made_from = (
        os.fsencode(f"{root}\n") + source.read_bytes() + (root / "pyproject.toml").read_bytes()
    )
    # The children inherit the lock, so it holds until the last of them is gone.
    with source.open("rb") as lock:
        os.set_inheritable(lock.fileno(), True)  # noqa: FBT003  the library takes it by position
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = venv / "made-from"
        if stamp.is_file() and stamp.read_bytes() == made_from:
            return
        check_ground(venv)
        print(f"Making {venv} from requirements.lock (once; a minute or so) ...", flush=True)
        shutil.rmtree(venv, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(venv)])
        python = str(venv / "bin" / "python")
        pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        run([*pip, "--no-deps", "--require-hashes", "-r", str(source)])
        run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(root)])
        unfinished = venv / "made-from.new"
        unfinished.write_bytes(made_from)
        unfinished.replace(stamp)


def check_ground(venv: Path) -> None:
    """Say in words what is missing before anything is touched."""
    place = venv if venv.exists() else venv.parent
    place.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(place, os.W_OK):
        sys.exit(f"Cannot write to {place}: run this in a checkout that belongs to you.")
    ensurepip = [sys.executable, "-c", "import ensurepip, venv"]
    if subprocess.run(ensurepip, check=False, capture_output=True).returncode != 0:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        sys.exit(
            f"Python {version} ({sys.executable}) comes without its venv module.\n"
            f"  Debian, Ubuntu: sudo apt install python{version}-venv"
        )


def run(command: list[str]) -> None:
    """Run one step; what it prints tells why it failed."""
    finished = subprocess.run(
        command, check=False, close_fds=False, stdin=subprocess.DEVNULL, stdout=sys.stderr
    )
    if finished.returncode != 0:
        sys.exit(
            f"Setting up the environment failed at: {' '.join(command)}\n"
            "The reason stands above; run the same again once it is mended."
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
